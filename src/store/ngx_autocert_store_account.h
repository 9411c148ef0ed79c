
/* The store's own: the text of a CA's account.json. */


#ifndef _NGX_AUTOCERT_STORE_ACCOUNT_H_INCLUDED_
#define _NGX_AUTOCERT_STORE_ACCOUNT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_STORE_CONTACTS  16


typedef struct {
    ngx_str_t    ca;
    ngx_str_t    url;
    ngx_array_t  contacts;      /* ngx_str_t */
} ngx_autocert_store_account_t;


#pragma GCC visibility push(hidden)

/* As those of ngx_autocert_store_state.h. */
ngx_int_t ngx_autocert_store_account_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_store_account_t *account, char **err);
ngx_int_t ngx_autocert_store_account_print(ngx_pool_t *pool,
    ngx_autocert_store_account_t *account, ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_STORE_ACCOUNT_H_INCLUDED_ */
