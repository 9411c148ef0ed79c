
/*
 * What went wrong, as a record: written where it happens, read by the log,
 * the status page and the backoff.  Deep code fills it and never logs.
 */


#ifndef _NGX_AUTOCERT_FAIL_H_INCLUDED_
#define _NGX_AUTOCERT_FAIL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_FAIL_NETWORK        1  /* resolve, connect, TLS, cut */
#define NGX_AUTOCERT_FAIL_REFUSED        2  /* the CA says no */
#define NGX_AUTOCERT_FAIL_LIMITED        3  /* the CA says later */
#define NGX_AUTOCERT_FAIL_CONFIGURATION  4  /* a person has to act */
#define NGX_AUTOCERT_FAIL_INTERNAL       5  /* memory, disk, a bug */
#define NGX_AUTOCERT_FAIL_BUDGET         6  /* enough were issued lately */

/* Whom a failure holds. */

#define NGX_AUTOCERT_FAIL_NAME    0
#define NGX_AUTOCERT_FAIL_DOMAIN  1     /* domain, and all names below it */
#define NGX_AUTOCERT_FAIL_CA      2     /* all names */
#define NGX_AUTOCERT_FAIL_WINDOWS 3     /* all looks at renewal windows */


typedef struct {
    ngx_uint_t  kind;
    ngx_str_t   why;        /* a sentence of ours */
    ngx_str_t   detail;     /* the other side's own words, made printable */
    time_t      retry_at;   /* not before this instant; 0 if nobody said */
    ngx_str_t   cause;      /* what we saw ourselves; may be empty */
    ngx_uint_t  scope;
    ngx_str_t   domain;     /* DOMAIN; lower case */
    time_t      interval;   /* DOMAIN: one each so many seconds; 0: unknown */
    time_t      span;       /* DOMAIN: over so many seconds; 0: unknown */
    unsigned    lasting:1;  /* soon again is of no use */
    unsigned    damaged:1;  /* a file was read, and is of no use */
} ngx_autocert_fail_t;


/* What somebody was told last; zeroed: nothing. */

typedef struct {
    uint32_t    why;        /* CRC-32 of it */
    time_t      at;
} ngx_autocert_fail_told_t;


#pragma GCC visibility push(hidden)

/*
 * Sets kind and why (ngx_sprintf format, cut at 512 bytes, allocated from
 * pool), clears the rest.  pool NULL: kind alone is wanted.  Always returns
 * NGX_ERROR, so that a caller may "return ngx_autocert_fail(...)".
 */
ngx_int_t ngx_autocert_fail(ngx_autocert_fail_t *fail, ngx_pool_t *pool,
    ngx_uint_t kind, const char *fmt, ...);

/*
 * Is it to be told at now, which is noted then?  Another reason than the last
 * one is, and the same one each pace seconds.
 */
ngx_uint_t ngx_autocert_fail_tell(ngx_autocert_fail_told_t *told,
    ngx_autocert_fail_t *fail, time_t now, time_t pace);

/*
 * A copy of foreign text that is safe in a log line: at most max bytes,
 * control characters, marks that turn the direction and bytes that are not
 * UTF-8 replaced by '?'.
 */
ngx_int_t ngx_autocert_fail_text(ngx_pool_t *pool, ngx_str_t *text,
    size_t max, ngx_str_t *out);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_FAIL_H_INCLUDED_ */
