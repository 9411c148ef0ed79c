
/* Directives, the certificate callback and the challenges of http servers. */


#ifndef _NGX_HTTP_AUTOCERT_MODULE_H_INCLUDED_
#define _NGX_HTTP_AUTOCERT_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../ngx_autocert.h"


typedef struct {
    ngx_autocert_conf_t      *acf;
    ngx_http_ssl_srv_conf_t  *ssl;          /* of the http level */
    SSL_CTX                  *alpn;         /* of the challenges */
} ngx_http_autocert_main_conf_t;


#define NGX_HTTP_AUTOCERT_SESSION  32   /* bytes of a session id context */


typedef int (*ngx_http_autocert_servername_pt)(ngx_ssl_conn_t *ssl,
    int *alert, void *data);
typedef SSL_SESSION *(*ngx_http_autocert_session_pt)(ngx_ssl_conn_t *ssl,
    const u_char *id, int len, int *copy);


typedef struct {
    ngx_flag_t                enable;
    ngx_uint_t                challenge;
    ngx_uint_t                curve;        /* NID */
    time_t                    renew_before;

    u_char                   *file;         /* of "autocert on" */
    ngx_uint_t                line;

    ngx_autocert_conf_t      *acf;
    ngx_uint_t                index;        /* of the first usable name */
    ngx_array_t               names;        /* ngx_uint_t: of all, sorted */
    unsigned                  fallback:1;   /* ssl_certificate is there */
    unsigned                  tls:1;        /* some listener speaks TLS */
    unsigned                  chosen:1;     /* renew_before is: no default */

    /* NGINX's look-up of a session, of a listener's first server */
    ngx_http_autocert_session_pt   session_get;
    u_char                    session[NGX_HTTP_AUTOCERT_SESSION];
} ngx_http_autocert_srv_conf_t;


extern ngx_module_t  ngx_http_autocert_module;


#pragma GCC visibility push(hidden)

extern ngx_command_t  ngx_http_autocert_commands[];

void *ngx_http_autocert_create_main_conf(ngx_conf_t *cf);
void *ngx_http_autocert_create_srv_conf(ngx_conf_t *cf);
char *ngx_http_autocert_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
ngx_int_t ngx_http_autocert_preconfiguration(ngx_conf_t *cf);
ngx_int_t ngx_http_autocert_postconfiguration(ngx_conf_t *cf);

/* Is the name with this index one of the server's own? */
ngx_uint_t ngx_http_autocert_owns(ngx_http_autocert_srv_conf_t *ascf,
    ngx_uint_t index);

/* A server without autocert, whose handshakes may begin where ours do. */
void ngx_http_autocert_beside(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf);

/* Sets the certificate callback and the session id context of a server. */
ngx_int_t ngx_http_autocert_serve(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf);

/* The session id context of a server: of all that makes it another one. */
ngx_int_t ngx_http_autocert_session_context(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf);

/*
 * Lets the handshakes of a listener, if a server of ours is there, take up
 * sessions of the server that SNI names, and of no other.
 */
void ngx_http_autocert_session_listen(ngx_http_conf_addr_t *addr);

/* NGINX has chosen the server.  NGX_ERROR: the session is another's. */
ngx_int_t ngx_http_autocert_session_begin(ngx_ssl_conn_t *ssl);

/* The one host_name of the server_name extension (RFC 6066, 3). */
ngx_int_t ngx_http_autocert_hello_name(ngx_ssl_conn_t *ssl, ngx_str_t *name);

/* Is the connection one of a TLS listener? */
ngx_uint_t ngx_http_autocert_shakes(ngx_connection_t *c);

/*
 * Which listeners could answer a CA, and which servers have one for TLS; the
 * latter will answer TLS-ALPN-01.  first is the first server that opts in.
 */
ngx_int_t ngx_http_autocert_listen(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_http_autocert_srv_conf_t *first);

/* Warns where "autocert_challenge" asks for what no listener can do. */
void ngx_http_autocert_unanswerable(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_http_autocert_srv_conf_t *ascf);

/* Warn of what is of no use, and of a store that is in a served directory. */
void ngx_http_autocert_check_stapling(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_http_core_srv_conf_t *cscf);
void ngx_http_autocert_check_roots(ngx_conf_t *cf, ngx_autocert_conf_t *acf);

/* Lets the handshakes that begin in this context answer TLS-ALPN-01. */
ngx_int_t ngx_http_autocert_alpn(ngx_conf_t *cf,
    ngx_http_ssl_srv_conf_t *sscf);

/* "autocert_status": a location that says how it is with all names. */
char *ngx_http_autocert_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* $autocert_name and those of its certificate. */
ngx_int_t ngx_http_autocert_add_variables(ngx_conf_t *cf);

/*
 * The name whose certificate a connection has, or is to get, from a server
 * with this configuration.
 */
ngx_uint_t ngx_http_autocert_index(ngx_http_autocert_srv_conf_t *ascf,
    ngx_ssl_conn_t *ssl, ngx_http_connection_t *hc);

/* Puts the answer to HTTP-01 ahead of all else. */
ngx_int_t ngx_http_autocert_challenge(ngx_conf_t *cf);

/* Is what a listener speaks within TLS, be it QUIC's; is HTTP/1 spoken? */
ngx_uint_t ngx_http_autocert_compat_tls(ngx_http_conf_addr_t *addr);
ngx_uint_t ngx_http_autocert_compat_http1(ngx_http_conf_addr_t *addr);

/* Does it have a nameserver to ask? */
ngx_uint_t ngx_http_autocert_compat_resolves(ngx_resolver_t *resolver);

/* Does NGINX choose the server before OpenSSL looks at the session? */
ngx_uint_t ngx_http_autocert_compat_early(void);

/* Takes the place of NGINX's callback for SNI, wherever that is called. */
ngx_int_t ngx_http_autocert_compat_servername(SSL_CTX *ctx,
    ngx_http_autocert_servername_pt servername);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_AUTOCERT_MODULE_H_INCLUDED_ */
