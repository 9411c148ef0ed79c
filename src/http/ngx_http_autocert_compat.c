
/* What is not the same in all versions of NGINX, and in Angie. */

#include "ngx_http_autocert_module.h"


#if (NGX_AUTOCERT_CLIENT_HELLO)

extern int  ngx_ssl_client_hello_arg_index;

#endif


/* QUIC is of 1.25.0, "ssl on;" ended with 1.25.1. */

ngx_uint_t
ngx_http_autocert_compat_tls(ngx_http_conf_addr_t *addr)
{
#if (nginx_version < 1025001)

    ngx_http_ssl_srv_conf_t  *sscf;

    sscf = ngx_http_conf_get_module_srv_conf(addr->default_server,
                                             ngx_http_ssl_module);
    if (sscf->enable) {
        return 1;
    }

#endif

#if (nginx_version >= 1025000)

    if (addr->opt.quic) {
        return 1;
    }

#endif

    return addr->opt.ssl;
}


/* From 1.25.1 on a listener of HTTP/2 speaks HTTP/1 as well. */

ngx_uint_t
ngx_http_autocert_compat_http1(ngx_http_conf_addr_t *addr)
{
#if (nginx_version < 1025001)

    if (addr->opt.http2 && !ngx_http_autocert_compat_tls(addr)) {
        return 0;
    }

#endif

#if (nginx_version >= 1025000)

    if (addr->opt.quic) {
        return 0;
    }

#endif

    (void) addr;

    return 1;
}


ngx_uint_t
ngx_http_autocert_compat_resolves(ngx_resolver_t *resolver)
{
#if (NGX_AUTOCERT_RESOLVER_LIST)

    return resolver->connections != NULL;

#else

    return resolver->connections.nelts != 0;

#endif
}


ngx_uint_t
ngx_http_autocert_compat_early(void)
{
#if (NGX_AUTOCERT_CLIENT_HELLO)

    return 1;

#else

    return 0;

#endif
}


ngx_int_t
ngx_http_autocert_compat_servername(SSL_CTX *ctx,
    ngx_http_autocert_servername_pt servername)
{
#if (NGX_AUTOCERT_CLIENT_HELLO)

    static ngx_ssl_client_hello_arg  arg;

    arg.servername = servername;

    if (SSL_CTX_set_ex_data(ctx, ngx_ssl_client_hello_arg_index, &arg) == 0) {
        return NGX_ERROR;
    }

#endif

    (void) SSL_CTX_set_tlsext_servername_callback(ctx, servername);

    return NGX_OK;
}
