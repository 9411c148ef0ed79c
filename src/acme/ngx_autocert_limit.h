
/*
 * What the words of a rate limit say, as far as they are those of Boulder:
 *
 *     too many certificates (50) already issued for "example.com" in the
 *     last 168h0m0s, retry after 2026-11-26 00:00:00 UTC: see https://...
 *
 * Other words say nothing, and each number is doubted.
 */


#ifndef _NGX_AUTOCERT_LIMIT_H_INCLUDED_
#define _NGX_AUTOCERT_LIMIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_fail.h"


#pragma GCC visibility push(hidden)

/* The instant after "retry after", bounded as a Retry-After is; 0: none. */
time_t ngx_autocert_limit_retry(ngx_str_t *text, time_t now);

/* Is this phrase, in lower case, part of text in whatever case? */
ngx_uint_t ngx_autocert_limit_says(ngx_str_t *text, const char *phrase);

/* Is this very name in text? */
ngx_uint_t ngx_autocert_limit_about(ngx_str_t *text, ngx_str_t *name);

/*
 * Whom a limit on new orders holds, by fail->detail: NGX_AUTOCERT_FAIL_NAME,
 * _DOMAIN or _CA.  Of a domain, fills domain (a view into name, which is in
 * lower case), interval and span.
 */
ngx_uint_t ngx_autocert_limit_scope(ngx_str_t *name,
    ngx_autocert_fail_t *fail);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_LIMIT_H_INCLUDED_ */
