
#include "ngx_autocert_client.h"

#include <ngx_event_connect.h>


#define NGX_AUTOCERT_CLIENT_CONNECT   10000     /* ms, each address */
#define NGX_AUTOCERT_CLIENT_TLS       10000
#define NGX_AUTOCERT_CLIENT_IDLE      30000     /* between two bytes */
#define NGX_AUTOCERT_CLIENT_WHOLE     90000     /* without resolving */

#define NGX_AUTOCERT_CLIENT_ADDRS     16
#define NGX_AUTOCERT_CLIENT_BUFFER    16384
#define NGX_AUTOCERT_CLIENT_NOTED     256


struct ngx_autocert_client_s {
    ngx_autocert_helper_t         *helper;
    ngx_ssl_t                      ssl;
    ngx_str_t                      agent;

    /* NGINX's own words about a connection, noted instead of logged */
    ngx_log_t                      log;
    size_t                         noted_len;
    u_char                         noted[NGX_AUTOCERT_CLIENT_NOTED];

    /* the connection, kept from one exchange to the next */
    ngx_connection_t              *connection;
    size_t                         peer_len;
    u_char                         peer[NGX_AUTOCERT_MESSAGE_URL];

    /* the exchange; pool NULL: none */
    ngx_pool_t                    *pool;        /* of who asked: fail */
    ngx_pool_t                    *own;         /* all else */
    ngx_autocert_url_t             url;
    ngx_str_t                      out;
    size_t                         sent;
    ngx_autocert_response_t        response;
    ngx_autocert_fail_t            fail;
    ngx_autocert_client_done_pt    done;
    void                          *data;
    ngx_uint_t                     method;
    ngx_resolver_ctx_t            *resolving;
    ngx_addr_t                     addrs[NGX_AUTOCERT_CLIENT_ADDRS];
    ngx_uint_t                     naddrs;
    ngx_uint_t                     addr;        /* the next to try */
    ngx_event_t                    deadline;
    ngx_event_t                    end;
    unsigned                       failed:1;
    unsigned                       kept:1;      /* on a kept connection */
    unsigned                       heard:1;     /* a byte of response */
};


static ngx_int_t ngx_autocert_client_trust(ngx_autocert_client_t *client);
static void ngx_autocert_client_resolve(ngx_autocert_client_t *client);
static void ngx_autocert_client_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_autocert_client_literal(ngx_autocert_client_t *client);
static void ngx_autocert_client_connect(ngx_autocert_client_t *client);
static void ngx_autocert_client_connect_handler(ngx_event_t *ev);
static void ngx_autocert_client_tls(ngx_autocert_client_t *client);
static ngx_int_t ngx_autocert_client_tls_name(ngx_autocert_client_t *client,
    SSL *ssl);
static void ngx_autocert_client_tls_handler(ngx_connection_t *c);
static void ngx_autocert_client_write(ngx_autocert_client_t *client);
static void ngx_autocert_client_write_handler(ngx_event_t *wev);
static void ngx_autocert_client_read_handler(ngx_event_t *rev);
static void ngx_autocert_client_idle_handler(ngx_event_t *rev);
static void ngx_autocert_client_dummy_handler(ngx_event_t *ev);
static void ngx_autocert_client_lost(ngx_autocert_client_t *client,
    char *what);
static void ngx_autocert_client_failed(ngx_autocert_client_t *client);
static void ngx_autocert_client_next(ngx_autocert_client_t *client,
    char *what);
static void ngx_autocert_client_finish(ngx_autocert_client_t *client);
static void ngx_autocert_client_end_handler(ngx_event_t *ev);
static void ngx_autocert_client_deadline_handler(ngx_event_t *ev);
static void ngx_autocert_client_close(ngx_autocert_client_t *client);
static void ngx_autocert_client_note(ngx_log_t *log, ngx_uint_t level,
    u_char *buf, size_t len);


static ngx_autocert_client_t  *ngx_autocert_client;


ngx_autocert_client_t *
ngx_autocert_client_create(ngx_autocert_helper_t *helper)
{
    ngx_autocert_client_t  *client;

    client = ngx_pcalloc(helper->cycle->pool, sizeof(ngx_autocert_client_t));
    if (client == NULL) {
        return NULL;
    }

    client->helper = helper;
    ngx_str_set(&client->agent, "nginx-autocert/" NGX_AUTOCERT_VERSION " "
                                NGINX_VER);

    client->log.log_level = NGX_LOG_INFO;
    client->log.writer = ngx_autocert_client_note;
    client->log.wdata = client;

    ngx_autocert_timer(&client->deadline, helper->log,
                       ngx_autocert_client_deadline_handler);
    ngx_autocert_timer(&client->end, helper->log,
                       ngx_autocert_client_end_handler);

    ngx_autocert_client = client;

    return client;
}


void
ngx_autocert_client_send(ngx_autocert_client_t *client, ngx_pool_t *pool,
    ngx_autocert_request_t *request, ngx_autocert_client_done_pt done,
    void *data)
{
    client->pool = pool;
    client->done = done;
    client->data = data;
    client->failed = 0;
    client->kept = 0;
    client->noted_len = 0;
    client->method = request->method;
    ngx_memzero(&client->fail, sizeof(ngx_autocert_fail_t));

    if (ngx_autocert_message_url(&request->url, &client->url) != NGX_OK) {
        (void) ngx_autocert_fail(&client->fail, pool,
                                 NGX_AUTOCERT_FAIL_REFUSED,
                                 "the CA gave a URL that can't be used");
        ngx_autocert_client_failed(client);
        return;
    }

    client->own = ngx_create_pool(4096, client->helper->log);

    if (client->own == NULL
        || ngx_autocert_message_request(client->own, request, &client->url,
                                        &client->agent, &client->out)
           != NGX_OK
        || ngx_autocert_client_trust(client) != NGX_OK)
    {
        ngx_autocert_client_failed(client);
        return;
    }

    if (client->connection
        && client->peer_len == client->url.authority.len
        && ngx_memcmp(client->peer, client->url.authority.data,
                      client->peer_len)
           == 0)
    {
        client->kept = 1;
        ngx_add_timer(&client->deadline, NGX_AUTOCERT_CLIENT_WHOLE);
        ngx_autocert_client_write(client);
        return;
    }

    ngx_autocert_client_resolve(client);
}


void
ngx_autocert_client_cancel(ngx_autocert_client_t *client)
{
    if (client->resolving) {
        ngx_resolve_name_done(client->resolving);
        client->resolving = NULL;
    }

    if (client->deadline.timer_set) {
        ngx_del_timer(&client->deadline);
    }

    if (client->end.posted) {
        ngx_delete_posted_event(&client->end);
    }

    ngx_autocert_client_close(client);

    client->pool = NULL;

    if (client->own) {
        ngx_destroy_pool(client->own);
        client->own = NULL;
    }
}


/* The anchors are read once they can be; the CA is never talked to before. */

static ngx_int_t
ngx_autocert_client_trust(ngx_autocert_client_t *client)
{
    ngx_str_t  *file;

    if (client->ssl.ctx) {
        return NGX_OK;
    }

    file = &client->helper->acf->ca_certificate;
    client->ssl.log = &client->log;

    if (ngx_ssl_create(&client->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        == NGX_OK
        && file->len
        && SSL_CTX_load_verify_file(client->ssl.ctx, (char *) file->data)
           == 1)
    {
        (void) SSL_CTX_set_session_cache_mode(client->ssl.ctx,
                                              SSL_SESS_CACHE_OFF);

        /* NGINX sets it, but here an end may be that of a body */

        (void) SSL_CTX_clear_options(client->ssl.ctx,
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);

        return NGX_OK;
    }

    ERR_clear_error();

    if (client->ssl.ctx) {
        SSL_CTX_free(client->ssl.ctx);
        client->ssl.ctx = NULL;
    }

    return ngx_autocert_fail(&client->fail, client->pool,
                             NGX_AUTOCERT_FAIL_CONFIGURATION,
                             "no certificates to trust the CA by can be read "
                             "from \"%V\", see \"autocert_ca_certificate\"",
                             file);
}


static void
ngx_autocert_client_resolve(ngx_autocert_client_t *client)
{
    ngx_str_t            name;
    ngx_resolver_t      *resolver;
    ngx_resolver_ctx_t  *ctx;

    ngx_autocert_client_close(client);

    client->naddrs = 0;
    client->addr = 0;

    if (client->url.literal) {
        ngx_autocert_client_literal(client);
        return;
    }

    /* the resolver writes to the name: it folds case */

    name.len = client->url.host.len;
    name.data = ngx_pstrdup(client->own, &client->url.host);

    if (name.data == NULL) {
        ngx_autocert_client_lost(client, "allocating");
        return;
    }

    resolver = client->helper->acf->resolver;
    ctx = resolver ? ngx_resolve_start(resolver, NULL) : NGX_NO_RESOLVER;

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        (void) ngx_autocert_fail(&client->fail, client->pool,
                                 NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "\"%V\" can't be resolved without a "
                                 "resolver, set \"autocert_resolver\"",
                                 &client->url.host);
        ngx_autocert_client_failed(client);
        return;
    }

    ctx->name = name;
    ctx->handler = ngx_autocert_client_resolve_handler;
    ctx->data = client;
    ctx->timeout = client->helper->acf->resolver_timeout;

    /* may answer before it returns: nothing is touched after */

    client->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        client->resolving = NULL;
        ngx_autocert_client_lost(client, "resolving");
    }
}


static void
ngx_autocert_client_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t              i;
    ngx_addr_t             *addr;
    ngx_autocert_client_t  *client = ctx->data;

    client->resolving = NULL;

    if (ctx->state) {
        (void) ngx_autocert_fail(&client->fail, client->pool,
                                 NGX_AUTOCERT_FAIL_NETWORK,
                                 "\"%V\" could not be resolved (%i: %s)",
                                 &ctx->name, ctx->state,
                                 ngx_resolver_strerror(ctx->state));
        ngx_resolve_name_done(ctx);
        ngx_autocert_client_failed(client);
        return;
    }

    for (i = 0; i < ctx->naddrs; i++) {

        if (client->naddrs == NGX_AUTOCERT_CLIENT_ADDRS) {
            break;
        }

        addr = &client->addrs[client->naddrs];

        addr->sockaddr = ngx_palloc(client->own, ctx->addrs[i].socklen);
        if (addr->sockaddr == NULL) {
            break;
        }

        ngx_memcpy(addr->sockaddr, ctx->addrs[i].sockaddr,
                   ctx->addrs[i].socklen);
        addr->socklen = ctx->addrs[i].socklen;

        client->naddrs++;
    }

    ngx_resolve_name_done(ctx);

    ngx_add_timer(&client->deadline, NGX_AUTOCERT_CLIENT_WHOLE);
    ngx_autocert_client_connect(client);
}


static void
ngx_autocert_client_literal(ngx_autocert_client_t *client)
{
    if (ngx_parse_addr(client->own, &client->addrs[0], client->url.host.data,
                       client->url.host.len)
        != NGX_OK)
    {
        ngx_autocert_client_lost(client, "reading the address");
        return;
    }

    client->naddrs = 1;

    ngx_add_timer(&client->deadline, NGX_AUTOCERT_CLIENT_WHOLE);
    ngx_autocert_client_connect(client);
}


/* To the next address there is. */

static void
ngx_autocert_client_connect(ngx_autocert_client_t *client)
{
    ngx_int_t               rc;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    while (client->addr < client->naddrs) {

        addr = &client->addrs[client->addr++];
        ngx_inet_set_port(addr->sockaddr, client->url.port);

        ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

        pc.sockaddr = addr->sockaddr;
        pc.socklen = addr->socklen;
        pc.name = &client->url.authority;
        pc.get = ngx_event_get_peer;
        pc.log = &client->log;
        pc.log_error = NGX_ERROR_ERR;

        rc = ngx_event_connect_peer(&pc);

        if (rc != NGX_OK && rc != NGX_AGAIN) {

            if (pc.connection) {
                ngx_close_connection(pc.connection);
            }

            continue;
        }

        c = pc.connection;
        client->connection = c;

        c->data = client;
        c->pool = ngx_create_pool(1024, client->helper->log);

        if (c->pool == NULL) {
            break;
        }

        c->read->handler = ngx_autocert_client_connect_handler;
        c->write->handler = ngx_autocert_client_connect_handler;

        if (rc == NGX_OK) {
            ngx_autocert_client_tls(client);
            return;
        }

        ngx_add_timer(c->write, NGX_AUTOCERT_CLIENT_CONNECT);
        return;
    }

    ngx_autocert_client_lost(client, "connecting");
}


static void
ngx_autocert_client_connect_handler(ngx_event_t *ev)
{
    int                     err;
    socklen_t               len;
    ngx_connection_t       *c = ev->data;
    ngx_autocert_client_t  *client = c->data;

    if (ev->timedout) {
        ngx_autocert_client_next(client, "connecting timed out");
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_log_error(NGX_LOG_ERR, &client->log, err, "connect() failed");
        ngx_autocert_client_next(client, "connecting");
        return;
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    ngx_autocert_client_tls(client);
}


static void
ngx_autocert_client_tls(ngx_autocert_client_t *client)
{
    ngx_int_t          rc;
    ngx_connection_t  *c = client->connection;

    c->log = &client->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->log_error = NGX_ERROR_ERR;

    if (ngx_ssl_create_connection(&client->ssl, c,
                                  NGX_SSL_BUFFER|NGX_SSL_CLIENT)
        != NGX_OK
        || ngx_autocert_client_tls_name(client, c->ssl->connection) != NGX_OK)
    {
        ngx_autocert_client_next(client, "setting up TLS");
        return;
    }

    c->read->handler = ngx_autocert_client_dummy_handler;
    c->write->handler = ngx_autocert_client_dummy_handler;

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        ngx_add_timer(c->read, NGX_AUTOCERT_CLIENT_TLS);
        c->ssl->handler = ngx_autocert_client_tls_handler;
        return;
    }

    ngx_autocert_client_tls_handler(c);
}


/* The name that the certificate must have, by OpenSSL's own check. */

static ngx_int_t
ngx_autocert_client_tls_name(ngx_autocert_client_t *client, SSL *ssl)
{
    u_char     *name;
    ngx_str_t  *host = &client->url.host;

    name = ngx_pnalloc(client->own, host->len + 1);
    if (name == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(name, host->data, host->len + 1);

    if (client->url.literal) {
        return (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
                                              (char *) name)
                == 1)
               ? NGX_OK : NGX_ERROR;
    }

    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

    if (SSL_set1_host(ssl, (char *) name) != 1
        || SSL_set_tlsext_host_name(ssl, (char *) name) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_autocert_client_tls_handler(ngx_connection_t *c)
{
    long                    rc;
    ngx_autocert_client_t  *client = c->data;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (!c->ssl->handshaked) {
        ngx_autocert_client_next(client, c->read->timedout
                                         ? "the TLS handshake timed out"
                                         : "the TLS handshake failed");
        return;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    /* without a certificate there is nothing that could be wrong with it */

    if (SSL_get0_peer_certificate(c->ssl->connection) == NULL) {
        rc = X509_V_ERR_UNSPECIFIED;
    }

    if (rc != X509_V_OK) {
        (void) ngx_autocert_fail(&client->fail, client->pool,
                                 NGX_AUTOCERT_FAIL_NETWORK,
                                 "the certificate of \"%V\" is not trusted "
                                 "(%l: %s), see \"autocert_ca_certificate\"",
                                 &client->url.authority, rc,
                                 X509_verify_cert_error_string(rc));
        ngx_autocert_client_failed(client);
        return;
    }

    client->peer_len = client->url.authority.len;
    ngx_memcpy(client->peer, client->url.authority.data, client->peer_len);

    ngx_autocert_client_write(client);
}


static void
ngx_autocert_client_write(ngx_autocert_client_t *client)
{
    ngx_connection_t  *c = client->connection;

    client->sent = 0;
    client->heard = 0;

    if (ngx_autocert_message_init(&client->response, client->own,
                                  client->method)
        != NGX_OK)
    {
        ngx_autocert_client_lost(client, "allocating");
        return;
    }

    c->idle = 0;
    c->read->handler = ngx_autocert_client_read_handler;
    c->write->handler = ngx_autocert_client_write_handler;

    ngx_autocert_client_write_handler(c->write);
}


static void
ngx_autocert_client_write_handler(ngx_event_t *wev)
{
    ssize_t                 n;
    ngx_connection_t       *c = wev->data;
    ngx_autocert_client_t  *client = c->data;

    if (wev->timedout) {
        client->kept = 0;
        ngx_autocert_client_lost(client, "sending timed out");
        return;
    }

    while (client->sent < client->out.len) {
        n = c->send(c, client->out.data + client->sent,
                    client->out.len - client->sent);

        if (n == NGX_AGAIN) {
            ngx_add_timer(wev, NGX_AUTOCERT_CLIENT_IDLE);

            if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                ngx_autocert_client_lost(client, "sending");
            }

            return;
        }

        if (n <= 0) {
            ngx_autocert_client_lost(client, "sending");
            return;
        }

        client->sent += n;
    }

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    wev->handler = ngx_autocert_client_dummy_handler;

    ngx_add_timer(c->read, NGX_AUTOCERT_CLIENT_IDLE);
    ngx_autocert_client_read_handler(c->read);
}


static void
ngx_autocert_client_read_handler(ngx_event_t *rev)
{
    u_char                 *p, buf[NGX_AUTOCERT_CLIENT_BUFFER];
    ssize_t                 n;
    ngx_int_t               rc;
    ngx_connection_t       *c = rev->data;
    ngx_autocert_client_t  *client = c->data;

    if (rev->timedout) {
        client->kept = 0;
        ngx_autocert_client_lost(client, "waiting for the answer timed out");
        return;
    }

    for ( ;; ) {
        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_autocert_client_lost(client, "receiving");
            }

            return;
        }

        if (n <= 0) {

            if (n == 0
                && ngx_autocert_message_eof(&client->response) == NGX_OK)
            {
                client->response.keepalive = 0;
                ngx_autocert_client_finish(client);
                return;
            }

            ngx_autocert_client_lost(client, "the connection was closed "
                                             "before the answer was whole");
            return;
        }

        client->heard = 1;
        ngx_add_timer(rev, NGX_AUTOCERT_CLIENT_IDLE);

        p = buf;
        rc = ngx_autocert_message_parse(&client->response, &p, buf + n);

        if (rc == NGX_ERROR) {
            ngx_autocert_client_lost(client, client->response.err);
            return;
        }

        if (rc == NGX_OK) {

            /* bytes that nobody has asked for: not to be gone on with */

            if (p != buf + n) {
                client->response.keepalive = 0;
            }

            ngx_autocert_client_finish(client);
            return;
        }
    }
}


/* A kept connection is closed when its peer does so, or talks unasked. */

static void
ngx_autocert_client_idle_handler(ngx_event_t *rev)
{
    ngx_connection_t  *c = rev->data;

    ngx_autocert_client_close(c->data);
}


static void
ngx_autocert_client_dummy_handler(ngx_event_t *ev)
{
    (void) ev;
}


/* This address does not do: the next one, or the end. */

static void
ngx_autocert_client_next(ngx_autocert_client_t *client, char *what)
{
    ngx_autocert_client_close(client);

    if (client->addr < client->naddrs) {
        ngx_autocert_client_connect(client);
        return;
    }

    ngx_autocert_client_lost(client, what);
}


static void
ngx_autocert_client_lost(ngx_autocert_client_t *client, char *what)
{
    ngx_str_t  noted;

    /*
     * A server may close a kept connection at the moment it is used again; one
     * that is silent may well have taken the request.
     */

    if (client->kept && !client->heard) {
        client->kept = 0;
        ngx_autocert_client_resolve(client);
        return;
    }

    (void) ngx_autocert_fail(&client->fail, client->pool,
                             NGX_AUTOCERT_FAIL_NETWORK, "\"%V\": %s",
                             &client->url.authority, what);

    noted.data = client->noted;
    noted.len = client->noted_len;

    (void) ngx_autocert_fail_text(client->pool, &noted,
                                  NGX_AUTOCERT_CLIENT_NOTED,
                                  &client->fail.detail);

    ngx_autocert_client_failed(client);
}


static void
ngx_autocert_client_failed(ngx_autocert_client_t *client)
{
    client->failed = 1;
    ngx_autocert_client_finish(client);
}


static void
ngx_autocert_client_finish(ngx_autocert_client_t *client)
{
    ngx_connection_t  *c = client->connection;

    if (client->deadline.timer_set) {
        ngx_del_timer(&client->deadline);
    }

    if (client->resolving) {
        ngx_resolve_name_done(client->resolving);
        client->resolving = NULL;
    }

    if (client->failed
        || !client->response.keepalive
        || client->sent < client->out.len)
    {
        ngx_autocert_client_close(client);

    } else {
        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        c->read->handler = ngx_autocert_client_idle_handler;

        if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
            ngx_autocert_client_close(client);
        }
    }

    ngx_post_event(&client->end, &ngx_posted_events);
}


static void
ngx_autocert_client_end_handler(ngx_event_t *ev)
{
    ngx_pool_t             *own;
    ngx_autocert_client_t  *client = ngx_autocert_client;

    (void) ev;

    /* done() may begin the next exchange */

    own = client->own;

    client->own = NULL;
    client->pool = NULL;

    client->done(client->data, client->failed ? NULL : &client->response,
                 &client->fail);

    if (own) {
        ngx_destroy_pool(own);
    }
}


static void
ngx_autocert_client_deadline_handler(ngx_event_t *ev)
{
    ngx_autocert_client_t  *client = ngx_autocert_client;

    (void) ev;

    client->kept = 0;
    ngx_autocert_client_lost(client, "the exchange took too long");
}


static void
ngx_autocert_client_close(ngx_autocert_client_t *client)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c = client->connection;

    if (c == NULL) {
        return;
    }

    client->connection = NULL;
    client->peer_len = 0;

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }

    pool = c->pool;

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


/* What comes behind time, level, process and connection number. */

static void
ngx_autocert_client_note(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len)
{
    u_char                 *p, *last;
    ngx_autocert_client_t  *client = log->wdata;

    (void) level;

    last = buf + len;

    p = ngx_strlchr(buf, last, '#');
    p = p ? ngx_strlchr(p, last, ' ') : NULL;

    if (p == NULL) {
        return;
    }

    p++;

    if (p < last && *p == '*') {
        p = ngx_strlchr(p, last, ' ');
        p = p ? p + 1 : last;
    }

    while (last > p && last[-1] == LF) {
        last--;
    }

    client->noted_len = ngx_min((size_t) (last - p),
                                NGX_AUTOCERT_CLIENT_NOTED);
    ngx_memcpy(client->noted, p, client->noted_len);
}
