
/* Instants are seconds since 1970 in UTC, without leap seconds. */


#ifndef _NGX_AUTOCERT_TIME_H_INCLUDED_
#define _NGX_AUTOCERT_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#pragma GCC visibility push(hidden)

/* RFC 3339, fractions dropped, years 1970 to 9999.  NGX_ERROR if malformed. */
ngx_int_t ngx_autocert_time_rfc3339(ngx_str_t *text, time_t *t);

/* UTCTime or GeneralizedTime as certificates have it (RFC 5280, 4.1.2.5). */
ngx_int_t ngx_autocert_time_der(ngx_str_t *text, time_t *t);

/* IMF-fixdate, and the two obsolete forms of RFC 9110, 5.6.7. */
ngx_int_t ngx_autocert_time_http(ngx_str_t *text, time_t *t);

/*
 * Retry-After (RFC 9110, 10.2.3): seconds or a date, as an instant not
 * before now and at most a week ahead.  NGX_DECLINED if empty or malformed.
 */
ngx_int_t ngx_autocert_time_retry(ngx_str_t *text, time_t now, time_t *t);

/*
 * When a certificate is due: before its end by renew_before, capped at a
 * third of its life, or at half if it lives less than 10 days.
 */
time_t ngx_autocert_time_renewal(time_t not_before, time_t not_after,
    time_t renew_before);

/*
 * Delay after the n-th failure in a row (n from 1): 60 s doubling to an
 * hour, less up to a quarter by random (any 32 bits).
 */
time_t ngx_autocert_time_backoff(ngx_uint_t n, uint32_t random);

/* "2026-11-24T00:00:00Z", 20 bytes; returns the end. */
u_char *ngx_autocert_time_print(u_char *p, time_t t);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_TIME_H_INCLUDED_ */
