
#include "ngx_http_autocert_module.h"


/* A call of NGINX's own certificate callback. */

typedef struct {
    ngx_ssl_conn_t           *ssl;
    ngx_http_ssl_srv_conf_t  *sscf;
    int                       rc;
} ngx_http_autocert_variables_t;


static int ngx_http_autocert_certificate(ngx_ssl_conn_t *ssl, void *data);
static int ngx_http_autocert_variables(ngx_ssl_conn_t *ssl, void *data);
static void ngx_http_autocert_variables_call(void *data);


ngx_int_t
ngx_http_autocert_serve(ngx_conf_t *cf, ngx_http_core_srv_conf_t *cscf)
{
    ngx_http_ssl_srv_conf_t  *sscf;

    sscf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_ssl_module);

    /*
     * where ssl_certificate has variables this takes the place of NGINX's
     * own callback, and calls it
     */

    SSL_CTX_set_cert_cb(sscf->ssl.ctx, ngx_http_autocert_certificate, cscf);

    return ngx_http_autocert_session_context(cf, cscf);
}


void
ngx_http_autocert_beside(ngx_conf_t *cf, ngx_http_core_srv_conf_t *cscf)
{
    ngx_uint_t                i;
    ngx_http_ssl_srv_conf_t  *sscf;

    sscf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_ssl_module);

    /* Lua may have a callback there, which can't be asked for and called */

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name, "ngx_http_lua_module")
            == 0)
        {
            return;
        }
    }

    if (sscf->ssl.ctx && sscf->certificate_values) {
        SSL_CTX_set_cert_cb(sscf->ssl.ctx, ngx_http_autocert_variables, sscf);
    }
}


ngx_uint_t
ngx_http_autocert_shakes(ngx_connection_t *c)
{
    ngx_http_connection_t  *hc = c->data;

    return hc->ssl;
}


/*
 * Called by OpenSSL after NGINX has chosen the server by SNI.  1: go on,
 * 0: the handshake fails.
 */

static int
ngx_http_autocert_certificate(ngx_ssl_conn_t *ssl, void *data)
{
    ngx_http_core_srv_conf_t  *cscf = data;

    ngx_int_t                      rc;
    ngx_uint_t                     index;
    ngx_connection_t              *c;
    ngx_http_ssl_srv_conf_t       *sscf;
    ngx_http_autocert_srv_conf_t  *ascf;

    c = ngx_ssl_get_connection(ssl);

    if (c->ssl->handshaked) {
        return 0;
    }

    ascf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_autocert_module);
    sscf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_ssl_module);

    index = ngx_http_autocert_index(ascf, ssl, c->data);

    rc = ngx_autocert_handshake(c, index, ascf->fallback);

    if (rc == NGX_DECLINED && sscf->certificate_values) {
        return ngx_http_autocert_variables(ssl, sscf);
    }

    return rc != NGX_ERROR;
}


ngx_uint_t
ngx_http_autocert_index(ngx_http_autocert_srv_conf_t *ascf,
    ngx_ssl_conn_t *ssl, ngx_http_connection_t *hc)
{
    ngx_str_t   name;
    ngx_uint_t  index;

    name.data = (u_char *) SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    if (name.data == NULL) {
        return ascf->index;
    }

    name.len = ngx_strlen(name.data);

    /* another server's certificate would lend that one's name to this */

    if (ngx_autocert_find_name(ascf->acf, &name, &index) == NGX_OK
        && (hc->ssl_servername || ngx_http_autocert_owns(ascf, index)))
    {
        return index;
    }

    return ascf->index;
}


/* In place of NGINX's own: what computes variables expects NGINX's stack. */

static int
ngx_http_autocert_variables(ngx_ssl_conn_t *ssl, void *data)
{
    ngx_http_autocert_variables_t  variables;

    variables.ssl = ssl;
    variables.sscf = data;

    ngx_autocert_on_loop(ngx_http_autocert_variables_call, &variables);

    return variables.rc;
}


static void
ngx_http_autocert_variables_call(void *data)
{
    ngx_http_autocert_variables_t  *variables = data;

    variables->rc = ngx_http_ssl_certificate(variables->ssl, variables->sscf);
}
