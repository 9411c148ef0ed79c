
/* Problem documents (RFC 7807; RFC 8555, 6.7) -> failure records. */


#ifndef _NGX_AUTOCERT_PROBLEM_H_INCLUDED_
#define _NGX_AUTOCERT_PROBLEM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_flow.h"


#define NGX_AUTOCERT_PROBLEM_TEXT  2048     /* bytes of text */


/*
 * type is without the prefix of RFC 8555 and empty if there is none; text
 * is all that the CA says about name, printable: "type: detail (subproblem)
 * instance".
 */

struct ngx_autocert_problem_s {
    ngx_uint_t   status;        /* of HTTP; 0: an error inside an object */
    ngx_str_t    type;
    ngx_str_t    text;
    time_t       retry_at;      /* Retry-After, or by text; 0: none */
    unsigned     lasting:1;     /* the name is not signed, soon or later */
};


#pragma GCC visibility push(hidden)

/* The document; json may be NULL or of any type. */
ngx_int_t ngx_autocert_problem_parse(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_str_t *name,
    ngx_autocert_problem_t *problem);

/*
 * What a response with a status of not 2xx says, problem document or not.
 * These two return NGX_OK, or NGX_ERROR if memory ran out.
 */
ngx_int_t ngx_autocert_problem_response(ngx_pool_t *pool,
    ngx_autocert_response_t *response, ngx_str_t *name, time_t now,
    ngx_autocert_problem_t *problem);

/* Is type, without its prefix, this one? */
ngx_uint_t ngx_autocert_problem_is(ngx_autocert_problem_t *problem,
    const char *type);

/* Fills fail, its strings in pool.  Always returns NGX_ERROR. */
ngx_int_t ngx_autocert_problem_fail(ngx_pool_t *pool,
    ngx_autocert_problem_t *problem, ngx_autocert_fail_t *fail);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_PROBLEM_H_INCLUDED_ */
