
/*
 * Sessions are good at the server that they come from, and at no other.
 *
 * OpenSSL compares a session's context with the connection's.  It does so
 * before it calls back for SNI, so that for all servers of a listener this is
 * the context of the first, and for a resumption of TLS 1.2 NGINX is even told
 * the session's name in place of the client's.  (Newer versions of NGINX
 * choose the server before.)  Here a session gets the context of the server
 * that it was made at, and the connection, in the callbacks that find a
 * session, that of the server which the client asks for.
 */

#include "ngx_http_autocert_module.h"

#include <openssl/evp.h>


static SSL_SESSION *ngx_http_autocert_session_get(ngx_ssl_conn_t *ssl,
    const u_char *id, int len, int *copy);
static SSL_TICKET_RETURN ngx_http_autocert_session_ticket(ngx_ssl_conn_t *ssl,
    SSL_SESSION *session, const u_char *name, size_t len,
    SSL_TICKET_STATUS status, void *data);
static void ngx_http_autocert_session_expect(ngx_ssl_conn_t *ssl);
static ngx_http_core_srv_conf_t *ngx_http_autocert_session_server(
    ngx_ssl_conn_t *ssl);
static ngx_uint_t ngx_http_autocert_session_of(ngx_http_connection_t *hc,
    ngx_http_core_srv_conf_t *cscf, u_char *id);
static int ngx_http_autocert_session_store(EVP_MD_CTX *md, X509_STORE *store);
static int ngx_libc_cdecl ngx_http_autocert_session_cmp(const void *one,
    const void *two);


/*
 * NGINX derives the context from the certificates of the server, and here
 * are none: all such servers would resume each other's sessions.
 */

ngx_int_t
ngx_http_autocert_session_context(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf)
{
    int                            i, n;
    u_char                         name[EVP_MAX_MD_SIZE];
    ngx_int_t                      rc;
    ngx_str_t                     *names;
    EVP_MD_CTX                    *md;
    ngx_uint_t                     k, verify[2];
    unsigned int                   len;
    ngx_http_server_name_t        *sn;
    ngx_http_ssl_srv_conf_t       *sscf;
    ngx_http_autocert_srv_conf_t  *ascf;

    STACK_OF(X509_NAME)           *list;

    ascf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_autocert_module);
    sscf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_ssl_module);
    sn = cscf->server_names.elts;

    names = ngx_palloc(cf->temp_pool,
                       cscf->server_names.nelts * sizeof(ngx_str_t));
    md = EVP_MD_CTX_new();

    if (names == NULL || md == NULL) {
        EVP_MD_CTX_free(md);
        return NGX_ERROR;
    }

    for (k = 0; k < cscf->server_names.nelts; k++) {
        names[k] = sn[k].name;
    }

    ngx_qsort(names, k, sizeof(ngx_str_t),
              ngx_http_autocert_session_cmp);

    verify[0] = sscf->verify;
    verify[1] = sscf->verify_depth;

    rc = EVP_DigestInit_ex(md, EVP_sha256(), NULL)
         && EVP_DigestUpdate(md, "HTTP", 4)
         && EVP_DigestUpdate(md, verify, sizeof(verify))
         && ngx_http_autocert_session_store(md,
                                       SSL_CTX_get_cert_store(sscf->ssl.ctx));

    for (k = 0; k < cscf->server_names.nelts; k++) {
        rc = rc && EVP_DigestUpdate(md, names[k].data, names[k].len)
             && EVP_DigestUpdate(md, "", 1);
    }

    list = SSL_CTX_get_client_CA_list(sscf->ssl.ctx);
    n = list ? sk_X509_NAME_num(list) : 0;

    for (i = 0; i < n; i++) {
        rc = rc && X509_NAME_digest(sk_X509_NAME_value(list, i), EVP_sha256(),
                                    name, &len)
             && EVP_DigestUpdate(md, name, len);
    }

    rc = rc && EVP_DigestFinal_ex(md, ascf->session, &len)
         && SSL_CTX_set_session_id_context(sscf->ssl.ctx, ascf->session, len);

    EVP_MD_CTX_free(md);

    if (!rc) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "autocert: the session id context could not be set");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Whom it would believe: a session that was good before a client certificate
 * was revoked, or at a server with another CA of the same name, is not.
 */

static int
ngx_http_autocert_session_store(EVP_MD_CTX *md, X509_STORE *store)
{
    int            i, n, ok;
    u_char         buf[EVP_MAX_MD_SIZE];
    X509_OBJECT   *object;
    unsigned int   len;

    STACK_OF(X509_OBJECT)  *list;

    list = X509_STORE_get0_objects(store);
    n = list ? sk_X509_OBJECT_num(list) : 0;
    ok = EVP_DigestUpdate(md, &n, sizeof(int));

    for (i = 0; i < n && ok; i++) {
        object = sk_X509_OBJECT_value(list, i);

        ok = (X509_OBJECT_get_type(object) == X509_LU_CRL)
             ? X509_CRL_digest(X509_OBJECT_get0_X509_CRL(object),
                               EVP_sha256(), buf, &len)
             : X509_digest(X509_OBJECT_get0_X509(object), EVP_sha256(), buf,
                           &len);

        ok = ok && EVP_DigestUpdate(md, buf, len);
    }

    return ok;
}


static int ngx_libc_cdecl
ngx_http_autocert_session_cmp(const void *one, const void *two)
{
    const ngx_str_t  *a = one;
    const ngx_str_t  *b = two;

    return (int) ngx_memn2cmp(a->data, b->data, a->len, b->len);
}


void
ngx_http_autocert_session_listen(ngx_http_conf_addr_t *addr)
{
    SSL_CTX                        *ctx;
    ngx_uint_t                      s;
    ngx_http_ssl_srv_conf_t        *sscf;
    ngx_http_core_srv_conf_t      **cscfp;
    ngx_http_autocert_srv_conf_t   *ascf;
    ngx_http_autocert_session_pt    get;

    if (ngx_http_autocert_compat_early()) {
        return;
    }

    cscfp = addr->servers.elts;

    for (s = 0; s < addr->servers.nelts; s++) {
        ascf = ngx_http_conf_get_module_srv_conf(cscfp[s],
                                                 ngx_http_autocert_module);
        if (ascf->enable) {
            break;
        }
    }

    ascf = ngx_http_conf_get_module_srv_conf(addr->default_server,
                                             ngx_http_autocert_module);
    sscf = ngx_http_conf_get_module_srv_conf(addr->default_server,
                                             ngx_http_ssl_module);

    ctx = sscf->ssl.ctx;

    if (s == addr->servers.nelts || ctx == NULL) {
        return;
    }

    (void) SSL_CTX_set_session_ticket_cb(ctx, NULL,
                                       ngx_http_autocert_session_ticket, NULL);

    get = SSL_CTX_sess_get_get_cb(ctx);

    if (get == NULL || get == ngx_http_autocert_session_get) {
        return;
    }

    /* OpenSSL's own cache, where it is as well, would be asked before */

    (void) SSL_CTX_set_session_cache_mode(ctx,
                                          SSL_CTX_get_session_cache_mode(ctx)
                                          | SSL_SESS_CACHE_NO_INTERNAL_LOOKUP);

    ascf->session_get = get;
    SSL_CTX_sess_set_get_cb(ctx, ngx_http_autocert_session_get);
}


static SSL_SESSION *
ngx_http_autocert_session_get(ngx_ssl_conn_t *ssl, const u_char *id, int len,
    int *copy)
{
    ngx_connection_t              *c;
    ngx_http_connection_t         *hc;
    ngx_http_autocert_srv_conf_t  *ascf;

    ngx_http_autocert_session_expect(ssl);

    c = ngx_ssl_get_connection(ssl);
    hc = c->data;

    ascf = ngx_http_conf_get_module_srv_conf(hc->addr_conf->default_server,
                                             ngx_http_autocert_module);

    return ascf->session_get(ssl, id, len, copy);
}


/* What OpenSSL does with a ticket where there is no such callback. */

static SSL_TICKET_RETURN
ngx_http_autocert_session_ticket(ngx_ssl_conn_t *ssl, SSL_SESSION *session,
    const u_char *name, size_t len, SSL_TICKET_STATUS status, void *data)
{
    (void) session;
    (void) name;
    (void) len;
    (void) data;

    ngx_http_autocert_session_expect(ssl);

    switch (status) {

    case SSL_TICKET_SUCCESS:
        return SSL_TICKET_RETURN_USE;

    case SSL_TICKET_SUCCESS_RENEW:
        return SSL_TICKET_RETURN_USE_RENEW;

    default:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}


static void
ngx_http_autocert_session_expect(ngx_ssl_conn_t *ssl)
{
    u_char             id[NGX_HTTP_AUTOCERT_SESSION];
    ngx_connection_t  *c;

    c = ngx_ssl_get_connection(ssl);

    if (ngx_http_autocert_session_of(c->data,
                                     ngx_http_autocert_session_server(ssl),
                                     id))
    {
        (void) SSL_set_session_id_context(ssl, id, sizeof(id));
    }
}


/*
 * The server that NGINX will choose, as ngx_http_ssl_servername() does.  A
 * difference costs a resumption: ngx_http_autocert_session_begin() looks.
 */

static ngx_http_core_srv_conf_t *
ngx_http_autocert_session_server(ngx_ssl_conn_t *ssl)
{
    u_char                     host[256];
    ngx_str_t                  name;
    ngx_uint_t                 key;
#if (NGX_PCRE)
    ngx_uint_t                 i;
#endif
    ngx_connection_t          *c;
    ngx_http_connection_t     *hc;
    ngx_http_core_srv_conf_t  *cscf;
    ngx_http_virtual_names_t  *names;

    c = ngx_ssl_get_connection(ssl);
    hc = c->data;
    names = hc->addr_conf->virtual_names;

    if (names == NULL
        || ngx_http_autocert_hello_name(ssl, &name) != NGX_OK
        || name.len == 0 || name.len > sizeof(host))
    {
        return hc->addr_conf->default_server;
    }

    if (name.data[name.len - 1] == '.') {
        name.len--;
    }

    key = ngx_hash_strlow(host, name.data, name.len);
    name.data = host;

    cscf = ngx_hash_find_combined(&names->names, key, name.data, name.len);

    if (cscf) {
        return cscf;
    }

#if (NGX_PCRE)

    for (i = 0; i < names->nregex; i++) {

        if (ngx_regex_exec(names->regex[i].regex->regex, &name, NULL, 0)
            >= 0)
        {
            return names->regex[i].server;
        }
    }

#endif

    return hc->addr_conf->default_server;
}


/*
 * The context of sessions at a server; 0: what NGINX has, which is the one of
 * the listener's first server.  Where that is one of ours, and the server is
 * not, it would be ours: another byte makes it another one.
 */

static ngx_uint_t
ngx_http_autocert_session_of(ngx_http_connection_t *hc,
    ngx_http_core_srv_conf_t *cscf, u_char *id)
{
    ngx_http_autocert_srv_conf_t  *ascf, *first;

    ascf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_autocert_module);
    first = ngx_http_conf_get_module_srv_conf(hc->addr_conf->default_server,
                                              ngx_http_autocert_module);

    if (!ascf->enable && !first->enable) {
        return 0;
    }

    if (ascf->enable) {
        ngx_memcpy(id, ascf->session, NGX_HTTP_AUTOCERT_SESSION);

    } else {
        ngx_memcpy(id, first->session, NGX_HTTP_AUTOCERT_SESSION);
        id[0] ^= 1;
    }

    return 1;
}


ngx_int_t
ngx_http_autocert_session_begin(ngx_ssl_conn_t *ssl)
{
    u_char                      id[NGX_HTTP_AUTOCERT_SESSION];
    SSL_SESSION                *session;
    unsigned int                len;
    const u_char               *other;
    ngx_connection_t           *c;
    ngx_http_connection_t      *hc;
    ngx_http_core_srv_conf_t   *cscf;

    if (ngx_http_autocert_compat_early()) {
        return NGX_OK;
    }

    c = ngx_ssl_get_connection(ssl);
    hc = c->data;

    cscf = ngx_http_get_module_srv_conf(hc->conf_ctx, ngx_http_core_module);
    session = SSL_get_session(ssl);

    if (session == NULL || !ngx_http_autocert_session_of(hc, cscf, id)) {
        return NGX_OK;
    }

    if (!SSL_session_reused(ssl)) {
        return SSL_SESSION_set1_id_context(session, id, sizeof(id))
               ? NGX_OK : NGX_ERROR;
    }

    other = SSL_SESSION_get0_id_context(session, &len);

    return len == sizeof(id) && ngx_memcmp(other, id, sizeof(id)) == 0
           ? NGX_OK : NGX_ERROR;
}
