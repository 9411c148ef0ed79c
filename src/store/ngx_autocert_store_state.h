
/* The store's own: the text of a name's state.json. */


#ifndef _NGX_AUTOCERT_STORE_STATE_H_INCLUDED_
#define _NGX_AUTOCERT_STORE_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_store.h"


#pragma GCC visibility push(hidden)

/*
 * Nothing of the result points into text, members that are not known are
 * skipped.  NGX_ERROR and *err (a constant): damaged; state is zeroed.
 */
ngx_int_t ngx_autocert_store_state_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_state_t *state, char **err);

/*
 * What is written is parsed again to the same.  NGX_DECLINED: a value that
 * would be refused then; NGX_ERROR: memory ran out.
 */
ngx_int_t ngx_autocert_store_state_print(ngx_pool_t *pool,
    ngx_autocert_state_t *state, ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_STORE_STATE_H_INCLUDED_ */
