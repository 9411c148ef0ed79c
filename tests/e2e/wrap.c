
/*
 * A module that takes the places that the fibers take: the handler of every
 * listener, and both handlers of every connection for as long as it lives.
 * What it has seen goes to the log as its worker leaves.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct {
    ngx_connection_t       *connection;
    ngx_event_handler_pt    read;
    ngx_event_handler_pt    write;
} wrap_t;


static ngx_int_t wrap_init_process(ngx_cycle_t *cycle);
static void wrap_exit_process(ngx_cycle_t *cycle);
static void wrap_accept(ngx_connection_t *c);
static void wrap_gone(void *data);
static void wrap_put(wrap_t *w);
static void wrap_run(ngx_event_t *ev);
static void wrap_read(ngx_event_t *ev);
static void wrap_write(ngx_event_t *ev);


static ngx_connection_handler_pt  *wrap_handlers;
static wrap_t                     *wraps;
static ngx_uint_t                  wrap_accepted;
static ngx_uint_t                  wrap_closed;
static ngx_uint_t                  wrap_events;


static ngx_core_module_t  wrap_module_ctx = {
    ngx_string("wrap"),
    NULL,
    NULL
};


ngx_module_t  wrap_module = {
    NGX_MODULE_V1,
    &wrap_module_ctx,                  /* module context */
    NULL,                              /* module directives */
    NGX_CORE_MODULE,                   /* module type */
    NULL,                              /* init master */
    NULL,                              /* init module */
    wrap_init_process,                 /* init process */
    NULL,                              /* init thread */
    NULL,                              /* exit thread */
    wrap_exit_process,                 /* exit process */
    NULL,                              /* exit master */
    NGX_MODULE_V1_PADDING
};


/* what NGINX's build writes into a file of its own */

extern ngx_module_t  *ngx_modules[];
extern char          *ngx_module_names[];
extern char          *ngx_module_order[];

ngx_module_t  *ngx_modules[] = { &wrap_module, NULL };
char          *ngx_module_names[] = { "wrap_module", NULL };
char          *ngx_module_order[] = { NULL };


static ngx_int_t
wrap_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    ls = cycle->listening.elts;

    wraps = ngx_pcalloc(cycle->pool, cycle->connection_n * sizeof(wrap_t));
    wrap_handlers = ngx_pcalloc(cycle->pool, cycle->listening.nelts
                                         * sizeof(ngx_connection_handler_pt));
    if (wraps == NULL || wrap_handlers == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < cycle->listening.nelts; i++) {
        wrap_handlers[i] = ls[i].handler;
        ls[i].handler = wrap_accept;
    }

    return NGX_OK;
}


static void
wrap_exit_process(ngx_cycle_t *cycle)
{
    ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                  "wrap: %ui accepted, %ui closed, %ui events",
                  wrap_accepted, wrap_closed, wrap_events);
}


static void
wrap_accept(ngx_connection_t *c)
{
    wrap_t              *w;
    ngx_pool_cleanup_t  *cln;

    w = &wraps[c - ngx_cycle->connections];
    cln = ngx_pool_cleanup_add(c->pool, 0);

    if (cln) {
        cln->handler = wrap_gone;
        cln->data = w;
        w->connection = c;
        wrap_accepted++;
    }

    wrap_handlers[c->listening - (ngx_listening_t *)
                                          ngx_cycle->listening.elts](c);

    if (cln && w->connection) {
        wrap_put(w);
    }
}


static void
wrap_gone(void *data)
{
    wrap_t  *w = data;

    w->connection = NULL;
    wrap_closed++;
}


static void
wrap_put(wrap_t *w)
{
    ngx_connection_t  *c = w->connection;

    if (c->read->handler != wrap_read) {
        w->read = c->read->handler;
        c->read->handler = wrap_read;
    }

    if (c->write->handler != wrap_write) {
        w->write = c->write->handler;
        c->write->handler = wrap_write;
    }
}


static void
wrap_run(ngx_event_t *ev)
{
    wrap_t            *w;
    ngx_connection_t  *c = ev->data;

    w = &wraps[c - ngx_cycle->connections];

    wrap_events++;

    if (c->read->handler == wrap_read) {
        c->read->handler = w->read;
    }

    if (c->write->handler == wrap_write) {
        c->write->handler = w->write;
    }

    ev->write ? w->write(ev) : w->read(ev);

    if (w->connection == c) {
        wrap_put(w);
    }
}


static void
wrap_read(ngx_event_t *ev)
{
    wrap_run(ev);
}


static void
wrap_write(ngx_event_t *ev)
{
    wrap_run(ev);
}
