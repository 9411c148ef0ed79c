
#include "ngx_http_autocert_module.h"


static ngx_uint_t ngx_http_autocert_listen_addr(ngx_http_conf_addr_t *addr);
static ngx_uint_t ngx_http_autocert_listen_loopback(struct sockaddr *sa);
static void ngx_http_autocert_listen_tell(ngx_conf_t *cf, ngx_uint_t listen,
    ngx_http_autocert_srv_conf_t *first);


ngx_int_t
ngx_http_autocert_listen(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_http_autocert_srv_conf_t *first)
{
    ngx_uint_t                  i, j, port, bits;
    ngx_http_conf_port_t       *ports;
    ngx_http_conf_addr_t       *addr;
    ngx_http_ssl_srv_conf_t    *sscf;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ports = cmcf->ports->elts;

    for (i = 0; i < cmcf->ports->nelts; i++) {

        addr = ports[i].addrs.elts;
        port = ports[i].port;

        for (j = 0; j < ports[i].addrs.nelts; j++) {

            bits = ngx_http_autocert_listen_addr(&addr[j]);

            /* also where "ssl on" or QUIC speaks TLS */

            sscf = ngx_http_conf_get_module_srv_conf(addr[j].default_server,
                                                     ngx_http_ssl_module);

            if (ngx_http_autocert_alpn(cf, sscf) != NGX_OK) {
                return NGX_ERROR;
            }

            ngx_http_autocert_session_listen(&addr[j]);

            /* NGINX has the port in the order of the host, and 0 for unix: */

            if (ports[i].family == AF_UNIX) {
                continue;
            }

            acf->listen |= bits;

            if (ngx_http_autocert_listen_loopback(addr[j].opt.sockaddr)) {
                continue;
            }

            if (port == 80 && (bits & NGX_AUTOCERT_LISTEN_PLAIN)) {
                acf->listen |= NGX_AUTOCERT_LISTEN_PLAIN_80;
            }

            if (port == 443 && (bits & NGX_AUTOCERT_LISTEN_TLS)) {
                acf->listen |= NGX_AUTOCERT_LISTEN_TLS_443;
            }
        }
    }

    ngx_http_autocert_listen_tell(cf, acf->listen, first);

    return NGX_OK;
}


/* What it speaks; all its servers do. */

static ngx_uint_t
ngx_http_autocert_listen_addr(ngx_http_conf_addr_t *addr)
{
    ngx_uint_t                      s, tls, bits;
    ngx_http_core_srv_conf_t      **cscfp;
    ngx_http_autocert_srv_conf_t   *ascf;

    tls = ngx_http_autocert_compat_tls(addr);
    bits = 0;

    /* a CA speaks nothing newer */

    if (ngx_http_autocert_compat_http1(addr)) {
        bits = tls ? NGX_AUTOCERT_LISTEN_TLS : NGX_AUTOCERT_LISTEN_PLAIN;
    }

    if (!tls) {
        return bits;
    }

    cscfp = addr->servers.elts;

    for (s = 0; s < addr->servers.nelts; s++) {
        ascf = ngx_http_conf_get_module_srv_conf(cscfp[s],
                                                 ngx_http_autocert_module);
        ascf->tls = 1;
    }

    return bits;
}


/* No CA comes from there, save one on this host. */

static ngx_uint_t
ngx_http_autocert_listen_loopback(struct sockaddr *sa)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;

    if (sa->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) sa;
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
    }
#endif

    sin = (struct sockaddr_in *) sa;

    return sa->sa_family == AF_INET
           && (ntohl(sin->sin_addr.s_addr) >> 24) == 127;
}


static void
ngx_http_autocert_listen_tell(ngx_conf_t *cf, ngx_uint_t listen,
    ngx_http_autocert_srv_conf_t *first)
{
    if (listen == 0) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: no \"listen\" can answer a CA's challenge, "
                      "add \"listen 443 ssl;\" or \"listen 80;\", in %s:%ui",
                      first->file, first->line);
        return;
    }

    if (listen & (NGX_AUTOCERT_LISTEN_PLAIN_80|NGX_AUTOCERT_LISTEN_TLS_443)) {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                  "autocert: a CA asks on port 80 (http-01) or 443 "
                  "(tls-alpn-01), and nothing listens there: %s has to lead "
                  "to one of the listeners",
                  (listen & NGX_AUTOCERT_LISTEN_PLAIN) ? "port 80"
                                                       : "port 443");
}


void
ngx_http_autocert_unanswerable(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_http_autocert_srv_conf_t *ascf)
{
    char        *type, *line;
    ngx_uint_t   needs;

    if (ascf->challenge == NGX_AUTOCERT_CHALLENGE_AUTO) {
        return;
    }

    needs = NGX_AUTOCERT_LISTEN_PLAIN;
    type = "http-01";
    line = "listen 80;";

    if (ascf->challenge == NGX_AUTOCERT_CHALLENGE_TLS_ALPN) {
        needs = NGX_AUTOCERT_LISTEN_TLS;
        type = "tls-alpn-01";
        line = "listen 443 ssl;";
    }

    if (acf->listen & needs) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "autocert: no \"listen\" can answer \"autocert_challenge "
                  "%s\", add \"%s\", in %s:%ui",
                  type, line, ascf->file, ascf->line);
}
