
/*
 * How long things took: a histogram of microseconds whose steps grow with
 * them, four to each doubling.  Written by several threads at a time.
 */


#ifndef _NGX_AUTOCERT_LATENCY_H_INCLUDED_
#define _NGX_AUTOCERT_LATENCY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_LATENCY_STEPS  96      /* the last: 2^25 us and more */


typedef struct {
    uint64_t  n;                            /* in all */
    uint64_t  sum;                          /* microseconds */
    uint64_t  steps[NGX_AUTOCERT_LATENCY_STEPS];
} ngx_autocert_latency_t;


#pragma GCC visibility push(hidden)

void ngx_autocert_latency_add(ngx_autocert_latency_t *latency, int64_t us);

/* A copy; what is added meanwhile may be in it in part. */
void ngx_autocert_latency_get(ngx_autocert_latency_t *latency,
    ngx_autocert_latency_t *copy);

/* What a share of them, in per cent, did not exceed; 0 if there are none. */
uint64_t ngx_autocert_latency_quantile(ngx_autocert_latency_t *latency,
    ngx_uint_t percent);

/* How many took less than 2^n us. */
uint64_t ngx_autocert_latency_below(ngx_autocert_latency_t *latency,
    ngx_uint_t n);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_LATENCY_H_INCLUDED_ */
