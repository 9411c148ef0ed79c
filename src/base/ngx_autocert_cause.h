
/*
 * What a look at a name that could not be validated has shown, said in a
 * sentence: observations in, text out.
 */


#ifndef _NGX_AUTOCERT_CAUSE_H_INCLUDED_
#define _NGX_AUTOCERT_CAUSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_CAUSE_ADDRS    8

#define NGX_AUTOCERT_CAUSE_RIGHT    1   /* what the CA wants to see */
#define NGX_AUTOCERT_CAUSE_OTHER    2   /* an answer, but not that one */
#define NGX_AUTOCERT_CAUSE_REFUSED  3   /* nothing listens */
#define NGX_AUTOCERT_CAUSE_TIMEOUT  4
#define NGX_AUTOCERT_CAUSE_CLOSED   5   /* cut before there was an answer */
#define NGX_AUTOCERT_CAUSE_FAILED   6   /* no route, and the like */


/* Of one address; the strings are foreign text. */

typedef struct {
    ngx_str_t        addr;          /* without the port */
    ngx_uint_t       kind;
    ngx_uint_t       status;        /* of HTTP; 0: none */
    ngx_str_t        server;        /* its Server field */
    ngx_str_t        location;      /* its Location field */
    ngx_str_t        start;         /* of its body */
    ngx_str_t        subject;       /* of its certificate */
    ngx_str_t        tls;           /* why there is no handshake with it */
    ngx_err_t        err;           /* FAILED */
    unsigned         v6:1;
    unsigned         again:1;       /* was right before */
} ngx_autocert_seen_t;


typedef struct {
    ngx_uint_t           port;
    ngx_int_t            unresolved;    /* the resolver's code; 0: resolved */
    ngx_uint_t           n;
    ngx_autocert_seen_t  seen[NGX_AUTOCERT_CAUSE_ADDRS];
} ngx_autocert_look_t;


#pragma GCC visibility push(hidden)

/*
 * Reads what came of an HTTP/1.x response, whole or not, into seen; value is
 * what the body should be.
 */
void ngx_autocert_cause_http(ngx_autocert_seen_t *seen, ngx_str_t *response,
    ngx_str_t *value);

/* The sentence, printable, allocated from pool; empty without memory. */
void ngx_autocert_cause(ngx_pool_t *pool, ngx_autocert_look_t *look,
    ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_CAUSE_H_INCLUDED_ */
