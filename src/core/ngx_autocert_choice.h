
/* Which challenge is to prove a name, and why. */


#ifndef _NGX_AUTOCERT_CHOICE_H_INCLUDED_
#define _NGX_AUTOCERT_CHOICE_H_INCLUDED_


#include "ngx_autocert_core.h"


typedef struct {
    ngx_uint_t   type;      /* NGX_AUTOCERT_CHALLENGE_; 0: none can be met */
    char        *why;       /* for the log */
} ngx_autocert_choice_t;


#pragma GCC visibility push(hidden)

/*
 * The challenge that is set for the name; else what was found to be the
 * better way before (failed: the last try did not get a certificate), if
 * there still is a listener for it; else http-01 where a plain listener has
 * port 80, then tls-alpn-01 where a TLS one has 443, then whatever listener
 * there is: a port may be mapped to it.
 */
void ngx_autocert_choice(ngx_autocert_conf_t *acf, ngx_autocert_name_t *name,
    ngx_uint_t better, ngx_uint_t failed, ngx_autocert_choice_t *choice);

/* The way to try where type did not do, or type. */
ngx_uint_t ngx_autocert_choice_other(ngx_autocert_conf_t *acf,
    ngx_autocert_name_t *name, ngx_uint_t type);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_CHOICE_H_INCLUDED_ */
