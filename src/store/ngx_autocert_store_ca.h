
/*
 * The store's own: the directory of a CA, and the texts of its state.json and
 * issued/<name>.json.
 */


#ifndef _NGX_AUTOCERT_STORE_CA_H_INCLUDED_
#define _NGX_AUTOCERT_STORE_CA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_store.h"
#include "ngx_autocert_store_file.h"


#pragma GCC visibility push(hidden)

/* As ngx_autocert_store_dir(). */
ngx_int_t ngx_autocert_store_ca_dir(ngx_autocert_store_t *store,
    ngx_str_t *url, ngx_autocert_store_dir_t *dir, ngx_uint_t create);

/*
 * As those of ngx_autocert_store_state.h.  Of more entries than there is room
 * for, the oldest are left out.
 */
ngx_int_t ngx_autocert_store_ca_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_ca_t *ca, char **err);
ngx_int_t ngx_autocert_store_issued_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_issued_t *issued, char **err);

ngx_int_t ngx_autocert_store_ca_print(ngx_pool_t *pool,
    ngx_autocert_ca_t *ca, ngx_str_t *text);
ngx_int_t ngx_autocert_store_issued_print(ngx_pool_t *pool,
    ngx_autocert_issued_t *issued, ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_STORE_CA_H_INCLUDED_ */
