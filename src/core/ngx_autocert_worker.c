
#include "ngx_autocert_worker.h"
#include "ngx_autocert_door.h"
#include "ngx_autocert_fiber.h"
#include "../base/ngx_autocert_base64.h"
#include "../base/ngx_autocert_intermediate.h"
#include "../base/ngx_autocert_wire.h"
#include "../base/ngx_autocert_x509.h"
#include "../keys/ngx_autocert_provider.h"
#include "../keys/ngx_autocert_remote.h"

#include <sys/mman.h>


#define NGX_AUTOCERT_WORKER_NAME      253   /* bytes */
#define NGX_AUTOCERT_WORKER_TOKEN_MIN 16
#define NGX_AUTOCERT_WORKER_TOKEN_MAX 128
#define NGX_AUTOCERT_WORKER_KNOCK     50    /* ms from one try to the next */
#define NGX_AUTOCERT_WORKER_TOLD      60000 /* ms, before it is told again */
#define NGX_AUTOCERT_WORKER_DEADLINE  2000  /* ms that a fiber is laid aside */
#define NGX_AUTOCERT_WORKER_FRESH     500   /* ms, for the helper to say */

/*
 * Waking the helper is what costs, and handshakes that take the same step
 * together find the caches warm: so questions are held while the turns of the
 * loop, none of which waits, have handshakes to go on with.  With half as many
 * the gain came and went from run to run, with twice as many it was less.
 */
#define NGX_AUTOCERT_WORKER_HELD      16    /* questions */
#define NGX_AUTOCERT_WORKER_TURNS     16


/* What the helper gave for a name. */

typedef struct {
    uint64_t           generation;
    X509              *leaf;
    STACK_OF(X509)    *chain;           /* the others */
    EVP_PKEY          *key;             /* remote */
    unsigned           bootstrap:1;
} ngx_autocert_served_t;


/* A question of a handshake's; on its stack. */

typedef struct ngx_autocert_asking_s  ngx_autocert_asking_t;

struct ngx_autocert_asking_s {
    ngx_autocert_call_t      call;
    ngx_autocert_fiber_t    *fiber;     /* NULL: it is waited for */
    ngx_event_t              deadline;

    /* makes use of an answer: NGX_OK or NGX_ERROR */
    ngx_int_t              (*take)(ngx_autocert_asking_t *asking,
                                 ngx_autocert_answer_t *answer);
    ngx_int_t                rc;
    unsigned                 ended:1;
    unsigned                 unfit:1;       /* CHAIN: could not be decoded */

    u_char                  *signature;     /* SIGN */
    size_t                   len;
};


typedef struct {
    ngx_autocert_conf_t     *acf;
    ngx_log_t               *log;
    ngx_autocert_served_t  **served;    /* by the index of the name */
    ngx_connection_t        *channel;
    ngx_msec_t               started;
    ngx_event_t              knock;
    ngx_msec_t               knocked;       /* when, the last time */
    ngx_msec_t               told;          /* when, that it was in vain */
    ngx_uint_t               tries;         /* in vain, since then */
    ngx_event_t              flush;
    ngx_uint_t               entered;       /* fibers, a turn ago */
    ngx_uint_t               turns;
    unsigned                 orphaned:1;    /* no helper will come */
    unsigned                 complained:1;
    ngx_autocert_remote_t    remote;
} ngx_autocert_worker_t;


static ngx_int_t ngx_autocert_worker_find(
    ngx_autocert_board_challenge_t *challenge, u_char *buf);
static ngx_uint_t ngx_autocert_worker_is_reverse(ngx_str_t *host);
static int ngx_autocert_worker_connect(ngx_autocert_remote_t *remote);
static void ngx_autocert_worker_unreached(ngx_autocert_worker_t *w,
    ngx_err_t err);
static void ngx_autocert_worker_close(ngx_autocert_remote_t *remote);
static void ngx_autocert_worker_read_handler(ngx_event_t *rev);
static void ngx_autocert_worker_take(ngx_autocert_worker_t *w);
static void ngx_autocert_worker_knock_handler(ngx_event_t *ev);
static void ngx_autocert_worker_held_handler(ngx_event_t *ev);
static void ngx_autocert_worker_flush(ngx_autocert_worker_t *w);
static ngx_int_t ngx_autocert_worker_ask(ngx_autocert_asking_t *asking);
static void ngx_autocert_worker_ready(ngx_autocert_call_t *call,
    ngx_autocert_answer_t *answer);
static void ngx_autocert_worker_cancel(void *data);
static void ngx_autocert_worker_deadline_handler(ngx_event_t *ev);
static ngx_int_t ngx_autocert_worker_sign(uint32_t index,
    u_char id[NGX_AUTOCERT_KEY_ID], ngx_str_t *digest, u_char *signature,
    size_t *len);
static ngx_int_t ngx_autocert_worker_take_signature(
    ngx_autocert_asking_t *asking, ngx_autocert_answer_t *answer);
static ngx_autocert_served_t *ngx_autocert_worker_served(ngx_uint_t index);
static void ngx_autocert_worker_fetch(ngx_uint_t index);
static ngx_int_t ngx_autocert_worker_take_chain(
    ngx_autocert_asking_t *asking, ngx_autocert_answer_t *answer);
static ngx_int_t ngx_autocert_worker_parse(ngx_autocert_served_t *served,
    ngx_uint_t index, ngx_str_t *body, char **err);
static void ngx_autocert_worker_free(ngx_autocert_served_t *served);
static int ngx_autocert_worker_never_resume(SSL *ssl, int forward_secure);


static ngx_autocert_worker_t  *ngx_autocert_worker;


ngx_int_t
ngx_autocert_worker_init(ngx_cycle_t *cycle, ngx_autocert_conf_t *acf)
{
    ngx_autocert_core_t    *core;
    ngx_autocert_worker_t  *w;

    core = acf->core;

    ngx_autocert_door_close(core->door, NGX_AUTOCERT_DOOR_HELPER);
    ngx_autocert_board_protect(&core->board);

    /* out of reach, but mapped: the pool of the cycle will unmap it */
    (void) mprotect(core->starts, sizeof(ngx_autocert_starts_t), PROT_NONE);

    if (ngx_process != NGX_PROCESS_WORKER) {
        ngx_autocert_door_close(core->door, NGX_AUTOCERT_DOOR_WORKER);
        return NGX_OK;
    }

    w = ngx_pcalloc(cycle->pool, sizeof(ngx_autocert_worker_t));
    if (w == NULL) {
        return NGX_ERROR;
    }

    w->served = ngx_pcalloc(cycle->pool,
                            acf->core->board.n * sizeof(void *));
    if (w->served == NULL) {
        return NGX_ERROR;
    }

    w->acf = acf;
    w->log = cycle->log;
    w->started = ngx_current_msec;
    w->remote.connect = ngx_autocert_worker_connect;
    w->remote.close = ngx_autocert_worker_close;
    ngx_autocert_remote_init(&w->remote);

    ngx_autocert_timer(&w->knock, cycle->log,
                       ngx_autocert_worker_knock_handler);
    w->knock.cancelable = 1;
    ngx_autocert_timer(&w->flush, cycle->log,
                       ngx_autocert_worker_held_handler);

    if (ngx_autocert_provider_load(ngx_autocert_worker_sign) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "autocert: OpenSSL did not take the provider of remote "
                      "keys");
        return NGX_ERROR;
    }

    ngx_autocert_worker = w;

    (void) ngx_autocert_worker_connect(&w->remote);

    return ngx_autocert_fiber_init(cycle, acf);
}


void
ngx_autocert_worker_exit(void)
{
    ngx_uint_t              i;
    ngx_autocert_worker_t  *w = ngx_autocert_worker;

    if (w == NULL) {
        return;
    }

    if (w->knock.timer_set) {
        ngx_del_timer(&w->knock);
    }

    ngx_autocert_worker_close(&w->remote);

    for (i = 0; i < w->acf->core->board.n; i++) {
        ngx_autocert_worker_free(w->served[i]);
        w->served[i] = NULL;
    }

    ngx_autocert_intermediate_clear();
}


ngx_int_t
ngx_autocert_handshake(ngx_connection_t *c, ngx_uint_t index,
    ngx_uint_t fallback)
{
    SSL                    *ssl;
    ngx_autocert_served_t  *served;

    served = ngx_autocert_worker ? ngx_autocert_worker_served(index) : NULL;

    if (served == NULL || (served->bootstrap && fallback)) {
        return fallback ? NGX_DECLINED : NGX_ERROR;
    }

    ssl = c->ssl->connection;

    /* else a client that prefers RSA would get the fallback */
    SSL_certs_clear(ssl);

    if (SSL_use_cert_and_key(ssl, served->leaf, served->key, served->chain, 1)
        != 1)
    {
        ngx_ssl_error(NGX_LOG_ALERT, c->log, 0,
                      "autocert: SSL_use_cert_and_key() failed");
        return NGX_ERROR;
    }

    if (served->bootstrap) {
        (void) SSL_set_options(ssl, SSL_OP_NO_TICKET);
        (void) SSL_set_num_tickets(ssl, 0);
        SSL_set_not_resumable_session_callback(ssl,
                                             ngx_autocert_worker_never_resume);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_challenge(ngx_str_t *host, ngx_str_t *token,
    ngx_str_t *key_authorization, u_char *buf)
{
    ngx_int_t                       rc;
    ngx_autocert_board_challenge_t  challenge;

    challenge.type = NGX_AUTOCERT_CHALLENGE_HTTP;
    challenge.host = *host;
    challenge.token = *token;

    rc = ngx_autocert_worker_find(&challenge, buf);

    *key_authorization = challenge.value;

    /* what a CA could have made may be for another client, and goes on */

    if (rc == NGX_DECLINED
        && (token->len < NGX_AUTOCERT_WORKER_TOKEN_MIN
            || token->len > NGX_AUTOCERT_WORKER_TOKEN_MAX
            || !ngx_autocert_base64_is(token)))
    {
        ngx_str_null(&challenge.token);

        if (ngx_autocert_worker_find(&challenge, buf) == NGX_OK) {
            return NGX_ABORT;
        }
    }

    return rc;
}


ngx_int_t
ngx_autocert_alpn(ngx_str_t *name)
{
    u_char                          low[NGX_AUTOCERT_WORKER_NAME];
    u_char                          buf[NGX_AUTOCERT_CHALLENGE_SIZE];
    ngx_autocert_board_challenge_t  challenge;

    if (name->len > sizeof(low)) {
        return NGX_DECLINED;
    }

    ngx_strlow(low, name->data, name->len);

    challenge.type = NGX_AUTOCERT_CHALLENGE_TLS_ALPN;
    challenge.host.data = low;
    challenge.host.len = name->len;
    ngx_str_null(&challenge.token);

    return ngx_autocert_worker_find(&challenge, buf);
}


ngx_int_t
ngx_autocert_alpn_handshake(ngx_connection_t *c)
{
    ngx_uint_t              index;
    ngx_autocert_served_t  *served;

    index = ngx_autocert_worker->acf->names.nelts;

    served = ngx_autocert_worker_served(index);

    if (served == NULL || served->bootstrap) {
        return NGX_ERROR;
    }

    return ngx_autocert_handshake(c, index, 0);
}


/* A worker that was just started may be asked before its helper has said. */

static ngx_int_t
ngx_autocert_worker_find(ngx_autocert_board_challenge_t *challenge,
    u_char *buf)
{
    ngx_int_t               rc;
    ngx_uint_t              index;
    ngx_autocert_board_t   *board;
    ngx_autocert_worker_t  *w = ngx_autocert_worker;

    ngx_str_null(&challenge->value);

    if (w == NULL) {
        return NGX_DECLINED;
    }

    board = &w->acf->core->board;

    rc = ngx_autocert_board_find(board, challenge, buf);

    if (rc == NGX_OK || ngx_autocert_board_is_ready(board)
        || (ngx_autocert_find_name(w->acf, &challenge->host, &index) != NGX_OK
            && !ngx_autocert_worker_is_reverse(&challenge->host)))
    {
        return rc;
    }

    while (!ngx_autocert_board_is_ready(board)
           && ngx_current_msec - w->started < NGX_AUTOCERT_WORKER_FRESH)
    {
        ngx_msleep(1);
        ngx_time_update();
    }

    return ngx_autocert_board_find(board, challenge, buf);
}


/* As addresses have in TLS: they are not found by it. */

static ngx_uint_t
ngx_autocert_worker_is_reverse(ngx_str_t *host)
{
    size_t  len;

    len = sizeof(".arpa") - 1;

    return host->len > len
           && ngx_strncmp(host->data + host->len - len, ".arpa", len) == 0;
}


static int
ngx_autocert_worker_connect(ngx_autocert_remote_t *remote)
{
    ngx_autocert_hello_t    hello;
    ngx_autocert_worker_t  *w = ngx_autocert_worker;

    if (w->orphaned) {
        return -1;
    }

    hello.worker = ngx_worker;
    hello.pid = ngx_pid;

    w->knocked = ngx_current_msec;

    remote->fd = ngx_autocert_door_knock(w->acf->core->door, &hello);

    if (remote->fd == -1) {
        ngx_autocert_worker_unreached(w, ngx_errno);
        return -1;
    }

    w->channel = ngx_autocert_watch(remote->fd, w->log,
                                    ngx_autocert_worker_read_handler, w);

    if (w->channel == NULL) {
        (void) close(remote->fd);
        remote->fd = -1;
    }

    return remote->fd;
}


static void
ngx_autocert_worker_unreached(ngx_autocert_worker_t *w, ngx_err_t err)
{
    /* a helper that had gone with its cycle: there will be no other */
    w->orphaned = (err == EPIPE);
    w->tries++;

    if (w->complained
        && ngx_current_msec - w->told < NGX_AUTOCERT_WORKER_TOLD)
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, w->log, err,
                  "autocert: the helper could not be reached, tried %ui %s",
                  w->tries, w->tries == 1 ? "time" : "times");

    w->complained = 1;
    w->told = ngx_current_msec;
    w->tries = 0;
}


static void
ngx_autocert_worker_close(ngx_autocert_remote_t *remote)
{
    if (remote->fd != -1) {
        remote->fd = -1;
        ngx_close_connection(ngx_autocert_worker->channel);
    }
}


static void
ngx_autocert_worker_read_handler(ngx_event_t *rev)
{
    (void) rev;

    ngx_autocert_worker_take(ngx_autocert_worker);
}


static void
ngx_autocert_worker_take(ngx_autocert_worker_t *w)
{
    if (ngx_autocert_remote_take(&w->remote) == NGX_OK) {
        return;
    }

    /*
     * The helper has gone; its successor finds the hello in the door.  Where
     * channels are closed as fast as they come, the timer sets the pace.
     */

    if (w->remote.nunsent
        && ngx_current_msec - w->knocked > NGX_AUTOCERT_WORKER_KNOCK)
    {
        ngx_autocert_worker_flush(w);
        return;
    }

    ngx_add_timer(&w->knock, NGX_AUTOCERT_WORKER_KNOCK);
}


static void
ngx_autocert_worker_knock_handler(ngx_event_t *ev)
{
    ngx_autocert_worker_t  *w = ngx_autocert_worker;

    if (w->remote.nunsent) {
        ngx_autocert_worker_flush(w);
        return;
    }

    if (w->remote.fd == -1 && ngx_autocert_worker_connect(&w->remote) == -1
        && !w->orphaned)
    {
        ngx_add_timer(ev, NGX_AUTOCERT_WORKER_KNOCK);
    }
}


/* What the handshakes of the last turns of the loop have asked for. */

static void
ngx_autocert_worker_held_handler(ngx_event_t *ev)
{
    ngx_uint_t              entered;
    ngx_autocert_worker_t  *w = ngx_autocert_worker;

    entered = ngx_autocert_fiber_entered();

    if (entered != w->entered && w->remote.nunsent < NGX_AUTOCERT_WORKER_HELD
        && w->turns++ < NGX_AUTOCERT_WORKER_TURNS)
    {
        w->entered = entered;
        ngx_post_event(ev, &ngx_posted_next_events);
        return;
    }

    w->turns = 0;

    ngx_autocert_worker_flush(w);
}


static void
ngx_autocert_worker_flush(ngx_autocert_worker_t *w)
{
    if (ngx_autocert_remote_flush(&w->remote) == NGX_OK) {
        return;
    }

    if (w->remote.fd == -1 && w->orphaned) {
        ngx_autocert_remote_fail(&w->remote);
        return;
    }

    ngx_add_timer(&w->knock, NGX_AUTOCERT_WORKER_KNOCK);
}


/*
 * Asks the helper: on a fiber the handshake is laid aside until the answer or
 * the deadline, elsewhere the worker waits.
 */

static ngx_int_t
ngx_autocert_worker_ask(ngx_autocert_asking_t *asking)
{
    ngx_autocert_worker_t  *w = ngx_autocert_worker;

    asking->call.ready = ngx_autocert_worker_ready;
    asking->call.data = asking;
    asking->rc = NGX_ERROR;
    asking->ended = 0;
    asking->fiber = ngx_autocert_fiber_current();

    if (asking->fiber == NULL) {
        (void) ngx_autocert_remote_ask(&w->remote, &asking->call);

        /* the channel was lost meanwhile, with questions of fibers or none */

        if (w->remote.nunsent || w->remote.fd == -1) {
            ngx_add_timer(&w->knock, NGX_AUTOCERT_WORKER_KNOCK);
        }

        return asking->rc;
    }

    ngx_autocert_remote_start(&w->remote, &asking->call);

    if (!w->flush.posted) {
        w->entered = ngx_autocert_fiber_entered();
        ngx_post_event(&w->flush, &ngx_posted_next_events);
    }

    ngx_memzero(&asking->deadline, sizeof(ngx_event_t));
    ngx_autocert_timer(&asking->deadline, w->log,
                       ngx_autocert_worker_deadline_handler);
    ngx_add_timer(&asking->deadline, NGX_AUTOCERT_WORKER_DEADLINE);

    ngx_autocert_fiber_pause(ngx_autocert_worker_cancel, asking);

    if (asking->deadline.timer_set) {
        ngx_del_timer(&asking->deadline);
    }

    return asking->rc;
}


static void
ngx_autocert_worker_ready(ngx_autocert_call_t *call,
    ngx_autocert_answer_t *answer)
{
    ngx_autocert_asking_t  *asking = call->data;

    asking->ended = 1;

    if (answer) {
        asking->rc = asking->take(asking, answer);
    }

    if (asking->fiber) {
        ngx_autocert_fiber_wake(asking->fiber);
    }
}


static void
ngx_autocert_worker_cancel(void *data)
{
    ngx_autocert_asking_t  *asking = data;

    /* answered already, and about to go on */

    if (asking->ended) {
        return;
    }

    asking->ended = 1;

    ngx_autocert_remote_cancel(&ngx_autocert_worker->remote, &asking->call);
    ngx_autocert_fiber_wake(asking->fiber);
}


static void
ngx_autocert_worker_deadline_handler(ngx_event_t *ev)
{
    /* after a stall timers may come before the answers that are there */

    ngx_autocert_worker_take(ngx_autocert_worker);

    ngx_autocert_worker_cancel((u_char *) ev
                               - offsetof(ngx_autocert_asking_t, deadline));
}


static ngx_int_t
ngx_autocert_worker_sign(uint32_t index, u_char id[NGX_AUTOCERT_KEY_ID],
    ngx_str_t *digest, u_char *signature, size_t *len)
{
    ngx_autocert_asking_t  asking;

    asking.call.question.type = NGX_AUTOCERT_PROTOCOL_SIGN;
    asking.call.question.index = index;
    asking.call.question.digest = *digest;
    ngx_memcpy(asking.call.question.id, id, NGX_AUTOCERT_KEY_ID);

    asking.take = ngx_autocert_worker_take_signature;
    asking.signature = signature;
    asking.len = *len;

    if (ngx_autocert_worker_ask(&asking) != NGX_OK) {
        return NGX_ERROR;
    }

    *len = asking.len;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_worker_take_signature(ngx_autocert_asking_t *asking,
    ngx_autocert_answer_t *answer)
{
    if (answer->body.len == 0 || answer->body.len > asking->len) {
        return NGX_ERROR;
    }

    ngx_memcpy(asking->signature, answer->body.data, answer->body.len);
    asking->len = answer->body.len;

    return NGX_OK;
}


/* What to serve for the name; an older pair if the helper does not answer. */

static ngx_autocert_served_t *
ngx_autocert_worker_served(ngx_uint_t index)
{
    ngx_autocert_board_t   *board;
    ngx_autocert_worker_t  *w = ngx_autocert_worker;
    ngx_autocert_served_t  *served;

    board = &w->acf->core->board;
    served = w->served[index];

    if (served == NULL
        || !ngx_autocert_board_current(board, index, served->generation))
    {
        ngx_autocert_worker_fetch(index);
    }

    return w->served[index];
}


static void
ngx_autocert_worker_fetch(ngx_uint_t index)
{
    ngx_autocert_asking_t  asking;

    asking.call.question.type = NGX_AUTOCERT_PROTOCOL_CHAIN;
    asking.call.question.index = index;

    asking.take = ngx_autocert_worker_take_chain;
    asking.unfit = 0;

    (void) ngx_autocert_worker_ask(&asking);

    /* the helper has not decoded it: now it does, and finds what is wrong */

    if (asking.unfit) {
        asking.call.question.type = NGX_AUTOCERT_PROTOCOL_UNFIT;

        (void) ngx_autocert_worker_ask(&asking);
    }
}


/* What is served is replaced here: no handshake keeps it over a question. */

static ngx_int_t
ngx_autocert_worker_take_chain(ngx_autocert_asking_t *asking,
    ngx_autocert_answer_t *answer)
{
    char                   *err;
    ngx_uint_t              index;
    ngx_autocert_worker_t  *w = ngx_autocert_worker;
    ngx_autocert_served_t  *served;

    index = asking->call.question.index;
    served = w->served[index];

    /* as many have asked as were waiting */

    if (served && served->generation == answer->generation) {
        return NGX_OK;
    }

    served = ngx_calloc(sizeof(ngx_autocert_served_t), w->log);
    if (served == NULL) {
        return NGX_ERROR;
    }

    served->generation = answer->generation;
    served->bootstrap = answer->bootstrap != 0;

    if (ngx_autocert_worker_parse(served, index, &answer->body, &err)
        != NGX_OK)
    {
        ngx_autocert_worker_free(served);

        if (answer->type == NGX_AUTOCERT_PROTOCOL_CHAIN) {
            asking->unfit = 1;
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_ALERT, w->log, 0,
                      "autocert: a chain from the helper could not be used: "
                      "%s", err);
        return NGX_ERROR;
    }

    ngx_autocert_worker_free(w->served[index]);
    w->served[index] = served;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_worker_parse(ngx_autocert_served_t *served, ngx_uint_t index,
    ngx_str_t *body, char **err)
{
    ngx_autocert_chain_t  *chain;

    chain = ngx_autocert_x509_chain_read(body, err);
    if (chain == NULL) {
        return NGX_ERROR;
    }

    served->leaf = sk_X509_shift(chain->certs);
    served->chain = chain->certs;
    chain->certs = NULL;

    served->key = ngx_autocert_provider_key(served->leaf, index, chain->id);

    ngx_autocert_x509_chain_free(chain);

    *err = "its key is not known";

    return served->key ? NGX_OK : NGX_ERROR;
}


static void
ngx_autocert_worker_free(ngx_autocert_served_t *served)
{
    if (served == NULL) {
        return;
    }

    EVP_PKEY_free(served->key);
    X509_free(served->leaf);
    sk_X509_pop_free(served->chain, X509_free);
    ngx_free(served);
}


static int
ngx_autocert_worker_never_resume(SSL *ssl, int forward_secure)
{
    (void) forward_secure;

    /* else a client of TLS 1.2 may be told an id to come back with */

    (void) SSL_SESSION_set1_id(SSL_get_session(ssl), (u_char *) "", 0);

    return 1;
}
