
#include "ngx_autocert_diagnosis.h"
#include "../base/ngx_autocert_cause.h"
#include "../base/ngx_autocert_name.h"

#include <ngx_event_connect.h>


#define NGX_AUTOCERT_DIAGNOSIS_EACH    5000     /* ms, of one address */
#define NGX_AUTOCERT_DIAGNOSIS_WHOLE   20000
#define NGX_AUTOCERT_DIAGNOSIS_TIMES   3        /* while it is right */
#define NGX_AUTOCERT_DIAGNOSIS_BUFFER  2048

#define NGX_AUTOCERT_DIAGNOSIS_ALPN    "\x0a" "acme-tls/1"


typedef struct {
    ngx_autocert_helper_t           *helper;
    ngx_autocert_diagnosis_done_pt   done;
    void                            *data;
    ngx_log_t                        log;       /* NGINX's own words: none */

    /* the look; pool NULL: none */
    ngx_pool_t                      *pool;
    ngx_autocert_board_challenge_t   challenge;
    ngx_str_t                        out;
    ngx_autocert_look_t              look;
    ngx_addr_t                       addrs[NGX_AUTOCERT_CAUSE_ADDRS];
    ngx_uint_t                       i;         /* address under way */
    ngx_uint_t                       times;
    ngx_resolver_ctx_t              *resolving;
    ngx_connection_t                *connection;
    SSL_CTX                         *ctx;
    size_t                           len;
    u_char                          *buf;
    ngx_event_t                      deadline;
    ngx_event_t                      next;
    ngx_event_t                      end;
    unsigned                         broken:1;  /* nothing is to be said */
} ngx_autocert_diagnosis_t;


static void ngx_autocert_diagnosis_resolve(ngx_autocert_diagnosis_t *d);
static void ngx_autocert_diagnosis_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_autocert_diagnosis_add(ngx_autocert_diagnosis_t *d,
    struct sockaddr *sa, socklen_t socklen);
static void ngx_autocert_diagnosis_connect(ngx_autocert_diagnosis_t *d);
static void ngx_autocert_diagnosis_connect_handler(ngx_event_t *ev);
static void ngx_autocert_diagnosis_send(ngx_autocert_diagnosis_t *d);
static void ngx_autocert_diagnosis_read_handler(ngx_event_t *rev);
static void ngx_autocert_diagnosis_shake(ngx_autocert_diagnosis_t *d);
static void ngx_autocert_diagnosis_shake_handler(ngx_event_t *ev);
static void ngx_autocert_diagnosis_shown(ngx_autocert_diagnosis_t *d,
    SSL *ssl, int n);
static void ngx_autocert_diagnosis_dummy_handler(ngx_event_t *ev);
static void ngx_autocert_diagnosis_saw(ngx_autocert_diagnosis_t *d,
    ngx_uint_t kind);
static void ngx_autocert_diagnosis_next_handler(ngx_event_t *ev);
static void ngx_autocert_diagnosis_deadline_handler(ngx_event_t *ev);
static void ngx_autocert_diagnosis_broken(ngx_autocert_diagnosis_t *d);
static void ngx_autocert_diagnosis_end(ngx_autocert_diagnosis_t *d);
static void ngx_autocert_diagnosis_end_handler(ngx_event_t *ev);
static void ngx_autocert_diagnosis_close(ngx_autocert_diagnosis_t *d);


static ngx_autocert_diagnosis_t  ngx_autocert_diagnosis;


void
ngx_autocert_diagnosis_start(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_autocert_board_challenge_t *challenge,
    ngx_autocert_diagnosis_done_pt done, void *data)
{
    ngx_autocert_diagnosis_t  *d = &ngx_autocert_diagnosis;

    ngx_memzero(d, sizeof(ngx_autocert_diagnosis_t));

    d->helper = helper;
    d->pool = pool;
    d->challenge = *challenge;
    d->done = done;
    d->data = data;
    d->look.port = (challenge->type == NGX_AUTOCERT_CHALLENGE_HTTP) ? 80 : 443;

    ngx_autocert_timer(&d->deadline, helper->log,
                       ngx_autocert_diagnosis_deadline_handler);
    ngx_autocert_timer(&d->next, helper->log,
                       ngx_autocert_diagnosis_next_handler);
    ngx_autocert_timer(&d->end, helper->log,
                       ngx_autocert_diagnosis_end_handler);

    ngx_add_timer(&d->deadline, NGX_AUTOCERT_DIAGNOSIS_WHOLE);

    ngx_autocert_diagnosis_resolve(d);
}


void
ngx_autocert_diagnosis_cancel(void)
{
    ngx_autocert_diagnosis_t  *d = &ngx_autocert_diagnosis;

    if (d->pool == NULL) {
        return;
    }

    ngx_autocert_diagnosis_close(d);

    if (d->resolving) {
        ngx_resolve_name_done(d->resolving);
        d->resolving = NULL;
    }

    if (d->deadline.timer_set) {
        ngx_del_timer(&d->deadline);
    }

    if (d->next.posted) {
        ngx_delete_posted_event(&d->next);
    }

    if (d->end.posted) {
        ngx_delete_posted_event(&d->end);
    }

    SSL_CTX_free(d->ctx);
    d->ctx = NULL;
    d->pool = NULL;
}


static void
ngx_autocert_diagnosis_resolve(ngx_autocert_diagnosis_t *d)
{
    ngx_str_t            name;
    ngx_addr_t           addr;
    ngx_resolver_ctx_t  *ctx;

    if (ngx_parse_addr(d->pool, &addr, d->challenge.host.data,
                       d->challenge.host.len)
        == NGX_OK)
    {
        ngx_autocert_diagnosis_add(d, addr.sockaddr, addr.socklen);
        ngx_autocert_diagnosis_connect(d);
        return;
    }

    /* the resolver writes to the name: it folds case */

    name.len = d->challenge.host.len;
    name.data = ngx_pstrdup(d->pool, &d->challenge.host);

    ctx = NULL;

    if (name.data && d->helper->acf->resolver) {
        ctx = ngx_resolve_start(d->helper->acf->resolver, NULL);
    }

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        d->look.unresolved = NGX_ERROR;
        ngx_autocert_diagnosis_end(d);
        return;
    }

    ctx->name = name;
    ctx->handler = ngx_autocert_diagnosis_resolve_handler;
    ctx->data = d;
    ctx->timeout = d->helper->acf->resolver_timeout;

    /* may answer before it returns: nothing is touched after */

    d->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        d->resolving = NULL;
        d->look.unresolved = NGX_ERROR;
        ngx_autocert_diagnosis_end(d);
    }
}


static void
ngx_autocert_diagnosis_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_autocert_diagnosis_t  *d = ctx->data;

    d->resolving = NULL;
    d->look.unresolved = ctx->state;

    for (i = 0; ctx->state == 0 && i < ctx->naddrs; i++) {
        ngx_autocert_diagnosis_add(d, ctx->addrs[i].sockaddr,
                                   ctx->addrs[i].socklen);
    }

    ngx_resolve_name_done(ctx);

    ngx_autocert_diagnosis_connect(d);
}


static void
ngx_autocert_diagnosis_add(ngx_autocert_diagnosis_t *d, struct sockaddr *sa,
    socklen_t socklen)
{
    u_char               *text;
    ngx_addr_t           *addr;
    ngx_autocert_seen_t  *seen;

    if (d->look.n == NGX_AUTOCERT_CAUSE_ADDRS) {
        return;
    }

    addr = &d->addrs[d->look.n];
    seen = &d->look.seen[d->look.n];

    addr->sockaddr = ngx_palloc(d->pool, socklen);
    text = ngx_palloc(d->pool, NGX_SOCKADDR_STRLEN);

    if (addr->sockaddr == NULL || text == NULL) {
        return;
    }

    ngx_memcpy(addr->sockaddr, sa, socklen);
    addr->socklen = socklen;
    ngx_inet_set_port(addr->sockaddr, d->look.port);

    seen->addr.data = text;
    seen->addr.len = ngx_sock_ntop(sa, socklen, text, NGX_SOCKADDR_STRLEN, 0);
    seen->v6 = (sa->sa_family == AF_INET6);
    seen->kind = NGX_AUTOCERT_CAUSE_TIMEOUT;

    d->look.n++;
}


static void
ngx_autocert_diagnosis_connect(ngx_autocert_diagnosis_t *d)
{
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    if (d->i >= d->look.n) {
        ngx_autocert_diagnosis_end(d);
        return;
    }

    ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

    pc.sockaddr = d->addrs[d->i].sockaddr;
    pc.socklen = d->addrs[d->i].socklen;
    pc.name = &d->look.seen[d->i].addr;
    pc.get = ngx_event_get_peer;
    pc.log = &d->log;
    pc.log_error = NGX_ERROR_INFO;

    rc = ngx_event_connect_peer(&pc);

    d->connection = pc.connection;

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        d->look.seen[d->i].err = ngx_socket_errno;
        ngx_autocert_diagnosis_saw(d, NGX_AUTOCERT_CAUSE_FAILED);
        return;
    }

    c = pc.connection;

    c->data = d;
    c->read->handler = ngx_autocert_diagnosis_connect_handler;
    c->write->handler = ngx_autocert_diagnosis_connect_handler;

    ngx_add_timer(c->read, NGX_AUTOCERT_DIAGNOSIS_EACH);

    if (rc == NGX_OK) {
        ngx_autocert_diagnosis_connect_handler(c->write);
    }
}


static void
ngx_autocert_diagnosis_connect_handler(ngx_event_t *ev)
{
    int                        err;
    socklen_t                  len;
    ngx_connection_t          *c = ev->data;
    ngx_autocert_diagnosis_t  *d = c->data;

    if (ev->timedout) {
        ngx_autocert_diagnosis_saw(d, NGX_AUTOCERT_CAUSE_TIMEOUT);
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        d->look.seen[d->i].err = err;
        ngx_autocert_diagnosis_saw(d, err == NGX_ECONNREFUSED
                                      ? NGX_AUTOCERT_CAUSE_REFUSED
                                      : err == NGX_ETIMEDOUT
                                        ? NGX_AUTOCERT_CAUSE_TIMEOUT
                                        : NGX_AUTOCERT_CAUSE_FAILED);
        return;
    }

    if (d->challenge.type == NGX_AUTOCERT_CHALLENGE_HTTP) {
        ngx_autocert_diagnosis_send(d);

    } else {
        ngx_autocert_diagnosis_shake(d);
    }
}


/* A request that fits any socket's buffer, so it is sent at once or never. */

static void
ngx_autocert_diagnosis_send(ngx_autocert_diagnosis_t *d)
{
    size_t             size;
    u_char            *p;
    ngx_connection_t  *c = d->connection;

    static char  format[] = "GET /.well-known/acme-challenge/%V HTTP/1.0" CRLF
                            "Host: %V" CRLF
                            "User-Agent: nginx-autocert" CRLF
                            "Connection: close" CRLF CRLF;

    size = sizeof(format) + d->challenge.token.len + d->challenge.host.len;

    d->len = 0;
    d->buf = ngx_palloc(d->pool, size + NGX_AUTOCERT_DIAGNOSIS_BUFFER);

    if (d->buf == NULL) {
        ngx_autocert_diagnosis_broken(d);
        return;
    }

    p = ngx_sprintf(d->buf, format, &d->challenge.token, &d->challenge.host);

    if (c->send(c, d->buf, p - d->buf) != p - d->buf) {
        ngx_autocert_diagnosis_saw(d, NGX_AUTOCERT_CAUSE_CLOSED);
        return;
    }

    c->write->handler = ngx_autocert_diagnosis_dummy_handler;
    c->read->handler = ngx_autocert_diagnosis_read_handler;

    ngx_autocert_diagnosis_read_handler(c->read);
}


/* The first bytes tell enough: what comes behind them is not waited for. */

static void
ngx_autocert_diagnosis_read_handler(ngx_event_t *rev)
{
    ssize_t                    n;
    ngx_str_t                  response;
    ngx_connection_t          *c = rev->data;
    ngx_autocert_diagnosis_t  *d = c->data;
    ngx_autocert_seen_t       *seen = &d->look.seen[d->i];

    do {
        n = rev->timedout ? 0
                          : c->recv(c, d->buf + d->len,
                                    NGX_AUTOCERT_DIAGNOSIS_BUFFER - d->len);

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_autocert_diagnosis_broken(d);
            }

            return;
        }

        d->len += ngx_max(n, 0);

    } while (n > 0 && d->len < NGX_AUTOCERT_DIAGNOSIS_BUFFER);

    if (d->len == 0) {
        ngx_autocert_diagnosis_saw(d, rev->timedout
                                      ? NGX_AUTOCERT_CAUSE_TIMEOUT
                                      : NGX_AUTOCERT_CAUSE_CLOSED);
        return;
    }

    response.data = d->buf;
    response.len = d->len;

    ngx_autocert_cause_http(seen, &response, &d->challenge.value);
    ngx_autocert_diagnosis_saw(d, seen->kind);
}


static void
ngx_autocert_diagnosis_shake(ngx_autocert_diagnosis_t *d)
{
    SSL               *ssl;
    u_char            *name, buf[NGX_AUTOCERT_NAME_SNI];
    ngx_str_t          sni;
    ngx_ssl_t          context;
    ngx_connection_t  *c = d->connection;

    if (d->ctx == NULL) {
        d->ctx = SSL_CTX_new(TLS_client_method());
    }

    ngx_autocert_name_sni(&d->challenge.host, buf, &sni);

    c->pool = ngx_create_pool(512, d->helper->log);
    name = ngx_pnalloc(d->pool, sni.len + 1);

    if (d->ctx == NULL || c->pool == NULL || name == NULL) {
        ngx_autocert_diagnosis_broken(d);
        return;
    }

    (void) ngx_cpystrn(name, sni.data, sni.len + 1);

    ngx_memzero(&context, sizeof(ngx_ssl_t));
    context.ctx = d->ctx;
    context.log = &d->log;

    c->log = &d->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->log_error = NGX_ERROR_INFO;

    if (ngx_ssl_create_connection(&context, c, NGX_SSL_CLIENT) != NGX_OK) {
        ngx_autocert_diagnosis_broken(d);
        return;
    }

    ssl = c->ssl->connection;

    if (SSL_set_tlsext_host_name(ssl, (char *) name) != 1
        || SSL_set_alpn_protos(ssl,
                              (u_char *) NGX_AUTOCERT_DIAGNOSIS_ALPN,
                              sizeof(NGX_AUTOCERT_DIAGNOSIS_ALPN) - 1)
           != 0)
    {
        ngx_autocert_diagnosis_broken(d);
        return;
    }

    c->read->handler = ngx_autocert_diagnosis_shake_handler;
    c->write->handler = ngx_autocert_diagnosis_shake_handler;

    ngx_autocert_diagnosis_shake_handler(c->read);
}


/* The certificate is not looked into: who has the protocol has it right. */

static void
ngx_autocert_diagnosis_shake_handler(ngx_event_t *ev)
{
    int                        n, err;
    unsigned                   len;
    const u_char              *protocol;
    ngx_connection_t          *c = ev->data;
    ngx_autocert_diagnosis_t  *d = c->data;

    if (ev->timedout) {
        ngx_autocert_diagnosis_saw(d, NGX_AUTOCERT_CAUSE_TIMEOUT);
        return;
    }

    ERR_clear_error();

    n = SSL_do_handshake(c->ssl->connection);
    err = SSL_get_error(c->ssl->connection, n);

    if (err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE) {
        ngx_autocert_diagnosis_shown(d, c->ssl->connection, n);
    }

    ERR_clear_error();

    if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE) {
        c->read->ready = 0;
        c->write->ready = (err == SSL_ERROR_WANT_READ);

        if (ngx_handle_read_event(c->read, 0) != NGX_OK
            || ngx_handle_write_event(c->write, 0) != NGX_OK)
        {
            ngx_autocert_diagnosis_broken(d);
        }

        return;
    }

    SSL_get0_alpn_selected(c->ssl->connection, &protocol, &len);

    if (n == 1 && len) {
        ngx_autocert_diagnosis_saw(d, NGX_AUTOCERT_CAUSE_RIGHT);

    } else {
        ngx_autocert_diagnosis_saw(d, (err == SSL_ERROR_SYSCALL)
                                      ? NGX_AUTOCERT_CAUSE_CLOSED
                                      : NGX_AUTOCERT_CAUSE_OTHER);
    }
}


/* Whose certificate it is, or what the alert or OpenSSL says. */

static void
ngx_autocert_diagnosis_shown(ngx_autocert_diagnosis_t *d, SSL *ssl, int n)
{
    char                  subject[256];
    X509                 *cert;
    const char           *reason;
    ngx_autocert_seen_t  *seen;

    seen = &d->look.seen[d->i];

    if (n != 1) {
        reason = ERR_reason_error_string(ERR_peek_error());

        if (reason) {
            seen->tls.data = (u_char *) reason;
            seen->tls.len = ngx_strlen(reason);
        }

        return;
    }

    cert = SSL_get0_peer_certificate(ssl);

    if (cert && X509_NAME_oneline(X509_get_subject_name(cert), subject,
                                  sizeof(subject)))
    {
        seen->subject.len = ngx_strlen(subject);
        seen->subject.data = ngx_pnalloc(d->pool, seen->subject.len);

        if (seen->subject.data == NULL) {
            seen->subject.len = 0;
            return;
        }

        ngx_memcpy(seen->subject.data, subject, seen->subject.len);
    }
}


static void
ngx_autocert_diagnosis_dummy_handler(ngx_event_t *ev)
{
    (void) ev;
}


/*
 * Of this address.  What is right is asked again: there may be several
 * servers behind it.
 */

static void
ngx_autocert_diagnosis_saw(ngx_autocert_diagnosis_t *d, ngx_uint_t kind)
{
    ngx_autocert_seen_t  *seen;

    seen = &d->look.seen[d->i];

    seen->kind = kind;
    seen->again = (d->times != 0);

    ngx_autocert_diagnosis_close(d);

    if (kind == NGX_AUTOCERT_CAUSE_RIGHT
        && ++d->times < NGX_AUTOCERT_DIAGNOSIS_TIMES)
    {
        ngx_post_event(&d->next, &ngx_posted_events);
        return;
    }

    d->times = 0;
    d->i++;

    ngx_post_event(&d->next, &ngx_posted_events);
}


static void
ngx_autocert_diagnosis_next_handler(ngx_event_t *ev)
{
    (void) ev;

    ngx_autocert_diagnosis_connect(&ngx_autocert_diagnosis);
}


/* Those that were not asked are not spoken of. */

static void
ngx_autocert_diagnosis_deadline_handler(ngx_event_t *ev)
{
    ngx_autocert_diagnosis_t  *d = &ngx_autocert_diagnosis;

    (void) ev;

    if (d->resolving) {
        d->look.unresolved = NGX_RESOLVE_TIMEDOUT;
    }

    d->look.n = ngx_min(d->look.n, d->i + 1);

    ngx_autocert_diagnosis_end(d);
}


/* It is here that something is wrong: no verdict on others. */

static void
ngx_autocert_diagnosis_broken(ngx_autocert_diagnosis_t *d)
{
    d->broken = 1;
    ngx_autocert_diagnosis_end(d);
}


static void
ngx_autocert_diagnosis_end(ngx_autocert_diagnosis_t *d)
{
    ngx_autocert_diagnosis_close(d);
    ngx_post_event(&d->end, &ngx_posted_events);
}


static void
ngx_autocert_diagnosis_end_handler(ngx_event_t *ev)
{
    ngx_str_t                  cause;
    ngx_autocert_diagnosis_t  *d = &ngx_autocert_diagnosis;

    (void) ev;

    ngx_str_null(&cause);

    if (!d->broken) {
        ngx_autocert_cause(d->pool, &d->look, &cause);
    }

    ngx_autocert_diagnosis_cancel();

    d->done(d->data, &cause);
}


static void
ngx_autocert_diagnosis_close(ngx_autocert_diagnosis_t *d)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c = d->connection;

    d->connection = NULL;

    if (c == NULL) {
        return;
    }

    pool = c->pool;

    if (c->ssl) {
        SSL_free(c->ssl->connection);
        c->ssl = NULL;
    }

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}
