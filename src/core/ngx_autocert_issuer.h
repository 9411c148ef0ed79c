
/* The account at the CA, as it is in the store: the issuer of a flow. */


#ifndef _NGX_AUTOCERT_ISSUER_H_INCLUDED_
#define _NGX_AUTOCERT_ISSUER_H_INCLUDED_


#include "ngx_autocert_helper.h"
#include "../acme/ngx_autocert_flow.h"


#pragma GCC visibility push(hidden)

/*
 * The one of this process.  Its key is made at the first need, and read once;
 * NULL and fail.
 */
ngx_autocert_issuer_t *ngx_autocert_issuer(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);

/* Writes what the CA has said of the account, and the contacts it was told. */
ngx_int_t ngx_autocert_issuer_save(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);

/* Is there an account, and has it other contacts than the configuration? */
ngx_uint_t ngx_autocert_issuer_outdated(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_ISSUER_H_INCLUDED_ */
