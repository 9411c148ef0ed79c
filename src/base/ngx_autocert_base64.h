
/* base64url without padding (RFC 4648, 5; RFC 7515, 2). */


#ifndef _NGX_AUTOCERT_BASE64_H_INCLUDED_
#define _NGX_AUTOCERT_BASE64_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define ngx_autocert_base64_length(len)  (((len) * 4 + 2) / 3)


#pragma GCC visibility push(hidden)

/* True if text has bytes of base64url's alphabet alone. */
ngx_uint_t ngx_autocert_base64_is(ngx_str_t *text);

/* Writes ngx_autocert_base64_length(len) bytes; returns the end. */
u_char *ngx_autocert_base64_encode(u_char *dst, const u_char *src, size_t len);

/*
 * Strict: the alphabet alone, no padding, no length of 4n + 1, trailing bits
 * zero.  NGX_OK with *dst allocated from pool, NGX_DECLINED if src is not
 * that, NGX_ERROR if memory ran out.
 */
ngx_int_t ngx_autocert_base64_decode(ngx_pool_t *pool, ngx_str_t *dst,
    ngx_str_t *src);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_BASE64_H_INCLUDED_ */
