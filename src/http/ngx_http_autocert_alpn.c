
/*
 * TLS-ALPN-01 (RFC 8737): a handshake that offers "acme-tls/1" alone is led
 * into a context of ours before NGINX looks at it, and the connection ends
 * with it.  All others go their normal way.
 */

#include "ngx_http_autocert_module.h"


/* The data of an extension with one protocol; that protocol. */
#define NGX_HTTP_AUTOCERT_ALPN_DATA  "\x00\x0b\x0a" "acme-tls/1"
#define NGX_HTTP_AUTOCERT_ALPN       (&NGX_HTTP_AUTOCERT_ALPN_DATA[3])
#define NGX_HTTP_AUTOCERT_ALPN_LEN   10


static int ngx_http_autocert_alpn_begin(ngx_ssl_conn_t *ssl, int *alert,
    void *data);
static ngx_uint_t ngx_http_autocert_alpn_offered(ngx_ssl_conn_t *ssl);
static size_t ngx_http_autocert_alpn_reread(ngx_ssl_conn_t *ssl,
    const unsigned char **data);
static ngx_int_t ngx_http_autocert_alpn_switch(ngx_ssl_conn_t *ssl);
static SSL_CTX *ngx_http_autocert_alpn_context(ngx_conf_t *cf);
static void ngx_http_autocert_alpn_free(void *data);
static int ngx_http_autocert_alpn_servername(ngx_ssl_conn_t *ssl, int *alert,
    void *data);
static int ngx_http_autocert_alpn_select(ngx_ssl_conn_t *ssl,
    const unsigned char **out, unsigned char *outlen, const unsigned char *in,
    unsigned int inlen, void *data);
static int ngx_http_autocert_alpn_certificate(ngx_ssl_conn_t *ssl,
    void *data);
static void ngx_http_autocert_alpn_info(const ngx_ssl_conn_t *ssl, int where,
    int ret);


/*
 * The callback of SNI, which NGINX's is called by, is the only one with all
 * of the hello in reach that no other module sets: a client hello callback
 * would take the place of Lua's.
 */

ngx_int_t
ngx_http_autocert_alpn(ngx_conf_t *cf, ngx_http_ssl_srv_conf_t *sscf)
{
    ngx_http_autocert_main_conf_t  *amcf;

    if (sscf->ssl.ctx == NULL) {
        return NGX_OK;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_autocert_module);

    if (amcf->alpn == NULL) {
        amcf->alpn = ngx_http_autocert_alpn_context(cf);

        if (amcf->alpn == NULL) {
            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "autocert: no TLS context for challenges");
            return NGX_ERROR;
        }
    }

    return ngx_http_autocert_compat_servername(sscf->ssl.ctx,
                                               ngx_http_autocert_alpn_begin);
}


/* RFC 8737, 3: with no challenge there is no such protocol. */

static int
ngx_http_autocert_alpn_begin(ngx_ssl_conn_t *ssl, int *alert, void *data)
{
    int        rc;
    ngx_str_t  name;

    if (!ngx_http_autocert_alpn_offered(ssl)) {
        rc = ngx_http_ssl_servername(ssl, alert, data);

        if (rc == SSL_TLSEXT_ERR_OK
            && ngx_http_autocert_session_begin(ssl) != NGX_OK)
        {
            *alert = SSL_AD_ACCESS_DENIED;
            return SSL_TLSEXT_ERR_ALERT_FATAL;
        }

        return rc;
    }

    if (ngx_http_autocert_hello_name(ssl, &name) == NGX_OK
        && ngx_autocert_alpn(&name) == NGX_OK
        && ngx_http_autocert_alpn_switch(ssl) == NGX_OK)
    {
        return SSL_TLSEXT_ERR_OK;
    }

    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;

    return SSL_TLSEXT_ERR_ALERT_FATAL;
}


static ngx_uint_t
ngx_http_autocert_alpn_offered(ngx_ssl_conn_t *ssl)
{
    size_t                len;
    const unsigned char  *p;

    if (!SSL_client_hello_get0_ext(ssl,
                             TLSEXT_TYPE_application_layer_protocol_negotiation,
                             &p, &len))
    {
        return 0;
    }

    if (len == 0) {
        len = ngx_http_autocert_alpn_reread(ssl, &p);
    }

    return len == sizeof(NGX_HTTP_AUTOCERT_ALPN_DATA) - 1
           && ngx_memcmp(p, NGX_HTTP_AUTOCERT_ALPN_DATA, len) == 0;
}


/*
 * When OpenSSL calls back for SNI it has read the extension: nothing is left
 * of it but where it ended, *data.  It is found again in the hello, where the
 * extensions follow the ciphers and the compression methods.  The length of
 * its data, 0 if it is not there.
 */

static size_t
ngx_http_autocert_alpn_reread(ngx_ssl_conn_t *ssl, const unsigned char **data)
{
    size_t                size;
    ngx_uint_t            type;
    const unsigned char  *p, *last;

    last = *data;

    p = NULL;
    size = SSL_client_hello_get0_ciphers(ssl, &p);

    if (p == NULL || last == NULL) {
        return 0;
    }

    p += size;
    p += 1 + p[0];
    p += 2;

    while (p < last && last - p >= 4) {
        type = p[0] << 8 | p[1];
        size = p[2] << 8 | p[3];
        p += 4;

        if (size > (size_t) (last - p)) {
            return 0;
        }

        if (type == TLSEXT_TYPE_application_layer_protocol_negotiation) {
            *data = p;
            return (p + size == last) ? size : 0;
        }

        p += size;
    }

    return 0;
}


ngx_int_t
ngx_http_autocert_hello_name(ngx_ssl_conn_t *ssl, ngx_str_t *name)
{
    size_t                len;
    const unsigned char  *p;

    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len)) {
        return NGX_DECLINED;
    }

    if (len == 0) {
        name->data = (u_char *) SSL_get_servername(ssl,
                                                   TLSEXT_NAMETYPE_host_name);
        name->len = name->data ? ngx_strlen(name->data) : 0;

        return name->len ? NGX_OK : NGX_DECLINED;
    }

    if (len < 6
        || (size_t) (p[0] << 8 | p[1]) != len - 2
        || p[2] != TLSEXT_NAMETYPE_host_name
        || (size_t) (p[3] << 8 | p[4]) != len - 5)
    {
        return NGX_DECLINED;
    }

    name->data = (u_char *) p + 5;
    name->len = len - 5;

    return NGX_OK;
}


static ngx_int_t
ngx_http_autocert_alpn_switch(ngx_ssl_conn_t *ssl)
{
    ngx_connection_t               *c;
    ngx_http_connection_t          *hc;
    ngx_http_autocert_main_conf_t  *amcf;

    c = ngx_ssl_get_connection(ssl);
    hc = c->data;

    /* a CA does not come by QUIC, whose context has more to it */

    if (c->type != SOCK_STREAM) {
        return NGX_DECLINED;
    }

    amcf = ngx_http_get_module_main_conf(hc->conf_ctx,
                                         ngx_http_autocert_module);

    if (SSL_set_SSL_CTX(ssl, amcf->alpn) == NULL) {
        return NGX_ERROR;
    }

    /* what a connection has taken from the context that it began in */

    SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    SSL_set_info_callback(ssl, ngx_http_autocert_alpn_info);
    (void) SSL_set_options(ssl, SSL_OP_NO_TICKET);
    (void) SSL_set_num_tickets(ssl, 0);

    return NGX_OK;
}


static SSL_CTX *
ngx_http_autocert_alpn_context(ngx_conf_t *cf)
{
    SSL_CTX             *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        SSL_CTX_free(ctx);
        return NULL;
    }

    cln->handler = ngx_http_autocert_alpn_free;
    cln->data = ctx;

    SSL_CTX_set_alpn_select_cb(ctx, ngx_http_autocert_alpn_select, NULL);
    SSL_CTX_set_cert_cb(ctx, ngx_http_autocert_alpn_certificate, NULL);
    (void) SSL_CTX_set_tlsext_servername_callback(ctx,
                                           ngx_http_autocert_alpn_servername);

    return ctx;
}


static void
ngx_http_autocert_alpn_free(void *data)
{
    SSL_CTX_free(data);
}


/* Without it OpenSSL would ask the context that the connection began in. */

static int
ngx_http_autocert_alpn_servername(ngx_ssl_conn_t *ssl, int *alert, void *data)
{
    (void) ssl;
    (void) alert;
    (void) data;

    return SSL_TLSEXT_ERR_OK;
}


static int
ngx_http_autocert_alpn_select(ngx_ssl_conn_t *ssl, const unsigned char **out,
    unsigned char *outlen, const unsigned char *in, unsigned int inlen,
    void *data)
{
    (void) ssl;
    (void) in;
    (void) inlen;
    (void) data;

    *out = (const unsigned char *) NGX_HTTP_AUTOCERT_ALPN;
    *outlen = NGX_HTTP_AUTOCERT_ALPN_LEN;

    return SSL_TLSEXT_ERR_OK;
}


static int
ngx_http_autocert_alpn_certificate(ngx_ssl_conn_t *ssl, void *data)
{
    (void) data;

    return ngx_autocert_alpn_handshake(ngx_ssl_get_connection(ssl)) == NGX_OK;
}


/* The CA has seen what it wanted: for HTTP this is the end of the stream. */

static void
ngx_http_autocert_alpn_info(const ngx_ssl_conn_t *ssl, int where, int ret)
{
    (void) ret;

    if (where & SSL_CB_HANDSHAKE_DONE) {
        SSL_set_shutdown((ngx_ssl_conn_t *) ssl, SSL_RECEIVED_SHUTDOWN);
    }
}
