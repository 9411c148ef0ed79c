
/* The store's own: the texts of state.json and account.json. */


#ifndef _NGX_AUTOCERT_STORE_STATE_H_INCLUDED_
#define _NGX_AUTOCERT_STORE_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_store.h"


#define NGX_AUTOCERT_STATE_URL       2048   /* bytes */
#define NGX_AUTOCERT_STATE_TEXT      1024   /* bytes of why and detail */
#define NGX_AUTOCERT_STATE_CONTACTS  16


typedef struct {
    ngx_str_t    ca;
    ngx_str_t    url;
    ngx_array_t  contacts;      /* ngx_str_t */
} ngx_autocert_store_account_t;


#pragma GCC visibility push(hidden)

/*
 * Nothing of the result points into text, members that are not known are
 * skipped.  NGX_ERROR and *err (a constant): damaged; state is zeroed.
 */
ngx_int_t ngx_autocert_store_state_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_state_t *state, char **err);
ngx_int_t ngx_autocert_store_account_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_store_account_t *account, char **err);

/*
 * What they write is parsed again to the same.  NGX_DECLINED: a value that
 * would be refused then; NGX_ERROR: memory ran out.
 */
ngx_int_t ngx_autocert_store_state_print(ngx_pool_t *pool,
    ngx_autocert_state_t *state, ngx_str_t *text);
ngx_int_t ngx_autocert_store_account_print(ngx_pool_t *pool,
    ngx_autocert_store_account_t *account, ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_STORE_STATE_H_INCLUDED_ */
