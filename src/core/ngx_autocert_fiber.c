
#include "ngx_autocert_fiber.h"
#include "ngx_autocert_switch.h"

#include <sys/mman.h>


/*
 * Address space, not memory: only pages that were touched cost any.  OpenSSL
 * goes some 12 KiB deep.  The callbacks of other modules have what they have
 * elsewhere: Lua stops a script that recurses after 4 MiB.
 */
#define NGX_AUTOCERT_FIBER_STACK  (8 * 1024 * 1024)

/* Handshakes that go on in one turn of the event loop, at least. */
#define NGX_AUTOCERT_FIBER_TURN   2

/* Far more than from one turn to the next. */
#define NGX_AUTOCERT_FIBER_STAY   1000  /* ms */

/* That there is no memory is logged no more often than that. */
#define NGX_AUTOCERT_FIBER_SAY    60    /* s */


typedef struct ngx_autocert_shaking_s  ngx_autocert_shaking_t;


/* A stack, with or without a handler on it. */

struct ngx_autocert_fiber_s {
    ngx_autocert_context_t         context;
    ngx_autocert_fiber_t          *next;        /* free */
    ngx_autocert_shaking_t        *shaking;
    ngx_event_t                   *event;       /* its handler's argument */
    ngx_event_handler_pt           handler;
    ngx_queue_t                    queue;       /* woken */
    ngx_autocert_fiber_cancel_pt   cancel;
    void                          *data;
    ngx_autocert_on_loop_pt        call;        /* to be called by the loop */
    void                          *argument;
    unsigned                       woken:1;
    unsigned                       aside:1;
    unsigned                       cancelled:1;
    unsigned                       done:1;      /* the handler has returned */
};


/* A connection from accept until its handshake is over, by its number. */

struct ngx_autocert_shaking_s {
    ngx_connection_t              *connection;  /* NULL: none of ours */
    ngx_event_handler_pt           first;       /* NGINX's very first handler */
    ngx_event_handler_pt           read;        /* NGINX's present ones */
    ngx_event_handler_pt           write;
    void                         (*over)(ngx_connection_t *c);
    ngx_autocert_fiber_t          *fiber;       /* laid aside */
    unsigned                       readable:1;  /* noted meanwhile */
    unsigned                       writable:1;
    unsigned                       finished:1;  /* over() is due */
    unsigned                       corked:1;
};


static void ngx_autocert_fiber_accept(ngx_connection_t *c);
static void ngx_autocert_fiber_gone(void *data);
static void ngx_autocert_fiber_wrap(ngx_autocert_shaking_t *s);
static void ngx_autocert_fiber_unwrap(ngx_autocert_shaking_t *s);
static void ngx_autocert_fiber_read(ngx_event_t *ev);
static void ngx_autocert_fiber_write(ngx_event_t *ev);
static void ngx_autocert_fiber_over(ngx_connection_t *c);
static void ngx_autocert_fiber_run(ngx_autocert_shaking_t *s,
    ngx_event_t *ev, ngx_event_handler_pt handler);
static void ngx_autocert_fiber_enter(ngx_autocert_fiber_t *fiber);
static void ngx_autocert_fiber_left(ngx_autocert_shaking_t *s);
static void ngx_autocert_fiber_cork(ngx_autocert_shaking_t *s);
static void ngx_autocert_fiber_settle(ngx_autocert_shaking_t *s);
static void ngx_autocert_fiber_guard(ngx_event_t *ev);
static void ngx_autocert_fiber_turn_handler(ngx_event_t *ev);
static ngx_autocert_fiber_t *ngx_autocert_fiber_get(void);
static void ngx_autocert_fiber_no_memory(void);
static void ngx_autocert_fiber_main(void);

#define ngx_autocert_fiber_shaking(c)                                        \
    (&ngx_autocert_shaking[(c) - ngx_cycle->connections])


static ngx_connection_handler_pt  *ngx_autocert_fiber_handlers;
static ngx_autocert_shakes_pt      ngx_autocert_fiber_shakes;
static ngx_autocert_shaking_t     *ngx_autocert_shaking;
static ngx_autocert_fiber_t       *ngx_autocert_fiber_free;
static ngx_autocert_fiber_t       *ngx_autocert_fiber_running;
static ngx_uint_t                  ngx_autocert_fiber_entries;
static ngx_event_t                 ngx_autocert_fiber_turn;
static ngx_queue_t                 ngx_autocert_fiber_woken;
static ngx_uint_t                  ngx_autocert_fiber_nwoken;
static ngx_autocert_context_t      ngx_autocert_fiber_loop;


ngx_int_t
ngx_autocert_fiber_note(ngx_cycle_t *cycle, ngx_autocert_conf_t *acf)
{
    ngx_uint_t                  i;
    ngx_array_t                *noted;
    ngx_listening_t            *ls;
    ngx_connection_handler_pt  *handler;

    noted = &acf->core->handlers;

    if (ngx_array_init(noted, cycle->pool, cycle->listening.nelts + 1,
                       sizeof(ngx_connection_handler_pt))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        handler = ngx_array_push(noted);

        *handler = (ls[i].handler == acf->handler && ls[i].type == SOCK_STREAM)
                   ? ls[i].handler : NULL;
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_fiber_init(ngx_cycle_t *cycle, ngx_autocert_conf_t *acf)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    if (!ngx_autocert_switch_usable()) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "autocert: shadow stacks are on, handshakes wait for "
                      "their signatures one at a time");
        return NGX_OK;
    }

    ngx_autocert_shaking = ngx_pcalloc(cycle->pool, cycle->connection_n
                                            * sizeof(ngx_autocert_shaking_t));
    if (ngx_autocert_shaking == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&ngx_autocert_fiber_woken);
    ngx_autocert_timer(&ngx_autocert_fiber_turn, cycle->log,
                       ngx_autocert_fiber_turn_handler);

    ngx_autocert_fiber_handlers = acf->core->handlers.elts;
    ngx_autocert_fiber_shakes = acf->shakes;

    ls = cycle->listening.elts;

    for (i = 0; i < acf->core->handlers.nelts; i++) {
        if (ngx_autocert_fiber_handlers[i]) {
            ngx_autocert_fiber_handlers[i] = ls[i].handler;
            ls[i].handler = ngx_autocert_fiber_accept;
        }
    }

    return NGX_OK;
}


ngx_autocert_fiber_t *
ngx_autocert_fiber_current(void)
{
    return ngx_autocert_fiber_running;
}


ngx_uint_t
ngx_autocert_fiber_entered(void)
{
    return ngx_autocert_fiber_entries;
}


void
ngx_autocert_fiber_pause(ngx_autocert_fiber_cancel_pt cancel, void *data)
{
    ngx_err_t              err;
    ngx_connection_t      *c;
    ngx_autocert_fiber_t  *fiber = ngx_autocert_fiber_running;

    err = ngx_errno;

    /* OpenSSL's queue of errors is the thread's, not the fiber's */

    ERR_clear_error();

    fiber->cancel = cancel;
    fiber->data = data;
    fiber->cancelled = 0;
    fiber->aside = 1;

    c = fiber->shaking->connection;

    fiber->shaking->fiber = fiber;
    fiber->shaking->read = c->read->handler;
    fiber->shaking->write = c->write->handler;

    c->read->handler = ngx_autocert_fiber_guard;
    c->write->handler = ngx_autocert_fiber_guard;

    ngx_autocert_switch(&fiber->context, &ngx_autocert_fiber_loop);

    fiber->aside = 0;
    fiber->shaking->fiber = NULL;

    c->read->handler = fiber->shaking->read;
    c->write->handler = fiber->shaking->write;

    ERR_clear_error();
    ngx_set_errno(err);
}


void
ngx_autocert_fiber_wake(ngx_autocert_fiber_t *fiber)
{
    if (fiber->woken) {
        return;
    }

    fiber->woken = 1;

    ngx_queue_insert_tail(&ngx_autocert_fiber_woken, &fiber->queue);
    ngx_autocert_fiber_nwoken++;

    ngx_post_event(&ngx_autocert_fiber_turn, &ngx_posted_events);
}


void
ngx_autocert_on_loop(ngx_autocert_on_loop_pt call, void *data)
{
    ngx_autocert_fiber_t  *fiber = ngx_autocert_fiber_running;

    if (fiber == NULL) {
        call(data);
        return;
    }

    fiber->call = call;
    fiber->argument = data;

    ngx_autocert_switch(&fiber->context, &ngx_autocert_fiber_loop);
}


/* In place of the listener's handler. */

static void
ngx_autocert_fiber_accept(ngx_connection_t *c)
{
    ngx_uint_t                  ready;
    ngx_event_t                *rev;
    ngx_listening_t            *ls;
    ngx_pool_cleanup_t         *cln;
    ngx_autocert_shaking_t     *s;
    ngx_connection_handler_pt   handler;

    ls = ngx_cycle->listening.elts;
    handler = ngx_autocert_fiber_handlers[c->listening - ls];

    s = ngx_autocert_fiber_shaking(c);

    cln = ngx_pool_cleanup_add(c->pool, 0);

    if (cln == NULL) {
        handler(c);
        return;
    }

    ngx_memzero(s, sizeof(ngx_autocert_shaking_t));
    s->connection = c;

    /* the only sure word that the connection is gone */

    cln->handler = ngx_autocert_fiber_gone;
    cln->data = s;

    /* with a deferred accept the handshake would begin in there at once */

    rev = c->read;
    ready = rev->ready;
    rev->ready = 0;

    handler(c);

    if (s->connection == NULL) {
        return;
    }

    if (ngx_autocert_fiber_shakes(c)) {
        s->first = rev->handler;
        ngx_autocert_fiber_wrap(s);
    }

    if (ready) {
        rev->ready = 1;
        ngx_post_event(rev, &ngx_posted_events);
    }
}


static void
ngx_autocert_fiber_gone(void *data)
{
    ngx_autocert_shaking_t  *s = data;

    s->connection = NULL;
}


static void
ngx_autocert_fiber_wrap(ngx_autocert_shaking_t *s)
{
    ngx_connection_t  *c = s->connection;

    s->read = c->read->handler;
    s->write = c->write->handler;

    c->read->handler = ngx_autocert_fiber_read;
    c->write->handler = ngx_autocert_fiber_write;

    /* the request that follows a handshake is not for this stack */

    if (c->ssl && c->ssl->handler
        && c->ssl->handler != ngx_autocert_fiber_over)
    {
        s->over = c->ssl->handler;
        c->ssl->handler = ngx_autocert_fiber_over;
    }
}


static void
ngx_autocert_fiber_unwrap(ngx_autocert_shaking_t *s)
{
    ngx_connection_t  *c = s->connection;

    if (c->read->handler == ngx_autocert_fiber_read) {
        c->read->handler = s->read;
    }

    if (c->write->handler == ngx_autocert_fiber_write) {
        c->write->handler = s->write;
    }
}


static void
ngx_autocert_fiber_read(ngx_event_t *ev)
{
    ngx_connection_t        *c = ev->data;
    ngx_autocert_shaking_t  *s = ngx_autocert_fiber_shaking(c);

    ngx_autocert_fiber_run(s, ev, s->read);
}


static void
ngx_autocert_fiber_write(ngx_event_t *ev)
{
    ngx_connection_t        *c = ev->data;
    ngx_autocert_shaking_t  *s = ngx_autocert_fiber_shaking(c);

    ngx_autocert_fiber_run(s, ev, s->write);
}


/*
 * In place of c->ssl->handler: that one is called from the loop's stack, which
 * is where NGINX itself calls from when it has asked for a client
 * certificate's OCSP status.
 */

static void
ngx_autocert_fiber_over(ngx_connection_t *c)
{
    ngx_autocert_shaking_t  *s = ngx_autocert_fiber_shaking(c);

    s->finished = 1;

    if (ngx_autocert_fiber_running == NULL) {
        ngx_autocert_fiber_unwrap(s);
        ngx_autocert_fiber_settle(s);
    }
}


static void
ngx_autocert_fiber_run(ngx_autocert_shaking_t *s, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ngx_autocert_fiber_t  *fiber, *outer;

    ngx_autocert_fiber_unwrap(s);
    ngx_autocert_fiber_cork(s);

    /* a handler that needs a connection makes NGINX close idle ones at once */

    outer = ngx_autocert_fiber_running;
    fiber = outer ? NULL : ngx_autocert_fiber_get();

    if (fiber == NULL) {
        ngx_autocert_fiber_running = NULL;
        handler(ev);
        ngx_autocert_fiber_settle(s);
        ngx_autocert_fiber_running = outer;
        return;
    }

    fiber->shaking = s;
    fiber->event = ev;
    fiber->handler = handler;
    fiber->done = 0;

    ngx_autocert_fiber_enter(fiber);
}


static void
ngx_autocert_fiber_enter(ngx_autocert_fiber_t *fiber)
{
    ngx_autocert_shaking_t  *s = fiber->shaking;

    ngx_autocert_fiber_entries++;

    for ( ;; ) {
        ngx_autocert_fiber_running = fiber;
        ngx_autocert_switch(&ngx_autocert_fiber_loop, &fiber->context);
        ngx_autocert_fiber_running = NULL;

        if (fiber->call == NULL) {
            break;
        }

        fiber->call(fiber->argument);
        fiber->call = NULL;
    }

    if (!fiber->done) {
        return;
    }

    fiber->next = ngx_autocert_fiber_free;
    ngx_autocert_fiber_free = fiber;

    ngx_autocert_fiber_left(s);
}


/* The handler has returned: what came meanwhile is delivered. */

static void
ngx_autocert_fiber_left(ngx_autocert_shaking_t *s)
{
    ngx_connection_t  *c;

    c = s->connection;

    if (c == NULL) {
        return;
    }

    if (s->readable) {
        s->readable = 0;
        ngx_post_event(c->read, &ngx_posted_events);
    }

    if (s->writable) {
        s->writable = 0;
        ngx_post_event(c->write, &ngx_posted_events);
    }

    ngx_autocert_fiber_settle(s);
}


/*
 * A full handshake of TLS 1.3 ends with several tickets, which OpenSSL writes
 * one by one: they leave in one segment.
 */

static void
ngx_autocert_fiber_cork(ngx_autocert_shaking_t *s)
{
    SSL               *ssl;
    ngx_connection_t  *c = s->connection;

    if (c->ssl == NULL) {
        return;
    }

    ssl = c->ssl->connection;

    /* the state in which all but the client's last flight is there */

    s->corked = SSL_get_state(ssl) == TLS_ST_EARLY_DATA
                && SSL_version(ssl) == TLS1_3_VERSION
                && !SSL_session_reused(ssl)
                && SSL_get_num_tickets(ssl) > 1
                && ngx_tcp_nopush(c->fd) == 0;
}


/* Goes on with the handshake, or leaves the connection to NGINX. */

static void
ngx_autocert_fiber_settle(ngx_autocert_shaking_t *s)
{
    ngx_connection_t  *c;

    c = s->connection;

    if (c == NULL) {
        return;
    }

    if (s->corked) {
        s->corked = 0;
        (void) ngx_tcp_push(c->fd);
    }

    if (s->finished) {
        s->finished = 0;

        /* a close that waits for the client looks like a handshake */

        s->connection = NULL;

        c->ssl->handler = s->over;
        c->ssl->handler(c);
        return;
    }

    if (c->read->handler == s->first || (c->ssl && !c->ssl->handshaked)) {
        ngx_autocert_fiber_wrap(s);
    }
}


/* While the handler is laid aside nothing else may touch the connection. */

static void
ngx_autocert_fiber_guard(ngx_event_t *ev)
{
    ngx_connection_t        *c = ev->data;
    ngx_autocert_shaking_t  *s = ngx_autocert_fiber_shaking(c);

    if (ev->write) {
        s->writable = 1;

    } else {
        s->readable = 1;
    }

    if ((ev->timedout || c->close) && !s->fiber->cancelled) {
        s->fiber->cancelled = 1;
        s->fiber->cancel(s->fiber->data);
    }
}


/*
 * Answers come together, and each lets a handshake run for a while: others
 * have their turn in between.  The more wait, the more go on at once.
 */

static void
ngx_autocert_fiber_turn_handler(ngx_event_t *ev)
{
    ngx_uint_t             n;
    ngx_queue_t           *q;
    ngx_autocert_fiber_t  *fiber;

    n = ngx_max(NGX_AUTOCERT_FIBER_TURN, ngx_autocert_fiber_nwoken / 4);

    while (n-- && ngx_autocert_fiber_nwoken) {
        q = ngx_queue_head(&ngx_autocert_fiber_woken);
        fiber = ngx_queue_data(q, ngx_autocert_fiber_t, queue);

        ngx_queue_remove(q);
        ngx_autocert_fiber_nwoken--;
        fiber->woken = 0;

        ngx_autocert_fiber_enter(fiber);
    }

    if (ngx_autocert_fiber_nwoken) {
        ngx_post_event(ev, &ngx_posted_next_events);

        /* a worker that is to leave stays as long as there is a timer */
        ngx_add_timer(ev, NGX_AUTOCERT_FIBER_STAY);

    } else if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}


/* A fiber without a handler, or NULL if no more memory can be mapped. */

static ngx_autocert_fiber_t *
ngx_autocert_fiber_get(void)
{
    u_char                *p;
    size_t                 size;
    ngx_autocert_fiber_t  *fiber;

    fiber = ngx_autocert_fiber_free;

    if (fiber) {
        ngx_autocert_fiber_free = fiber->next;
        return fiber;
    }

    fiber = ngx_calloc(sizeof(ngx_autocert_fiber_t), ngx_cycle->log);
    if (fiber == NULL) {
        return NULL;
    }

    size = NGX_AUTOCERT_FIBER_STACK;

    p = mmap(NULL, size + ngx_pagesize, PROT_READ|PROT_WRITE,
             MAP_PRIVATE|MAP_ANONYMOUS|MAP_STACK|MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED || mprotect(p, ngx_pagesize, PROT_NONE) == -1) {
        ngx_autocert_fiber_no_memory();

        if (p != MAP_FAILED) {
            (void) munmap(p, size + ngx_pagesize);
        }

        ngx_free(fiber);
        return NULL;
    }

    /* a huge page would be memory, and is what some kernels give first */

    (void) madvise(p + ngx_pagesize, size, MADV_NOHUGEPAGE);

    ngx_autocert_switch_make(&fiber->context, p + ngx_pagesize, size,
                             ngx_autocert_fiber_main);

    return fiber;
}


/* Where each mapping counts in full this may be so for long. */

static void
ngx_autocert_fiber_no_memory(void)
{
    ngx_err_t  err;

    static time_t  said;

    err = ngx_errno;

    if (said == ngx_time() / NGX_AUTOCERT_FIBER_SAY) {
        return;
    }

    said = ngx_time() / NGX_AUTOCERT_FIBER_SAY;

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, err,
                  "autocert: no memory for the stack of a handshake");
}


/* The bottom of every fiber's stack: one handler after the other. */

static void
ngx_autocert_fiber_main(void)
{
    ngx_autocert_fiber_t  *fiber;

    ngx_autocert_switch_entered(&ngx_autocert_fiber_loop);

    fiber = ngx_autocert_fiber_running;

    for ( ;; ) {
        fiber->handler(fiber->event);
        fiber->done = 1;

        ngx_autocert_switch(&fiber->context, &ngx_autocert_fiber_loop);
    }
}
