
/* What is due, and when: the clock of the helper, on its main thread. */


#ifndef _NGX_AUTOCERT_SCHEDULE_H_INCLUDED_
#define _NGX_AUTOCERT_SCHEDULE_H_INCLUDED_


#include "ngx_autocert_helper.h"


#pragma GCC visibility push(hidden)

ngx_int_t ngx_autocert_schedule_start(ngx_autocert_helper_t *helper);

/* No more ACME and no more looking at files; the store lock is given up. */
void ngx_autocert_schedule_stop(void);

/*
 * A person wants the name's certificate renewed, or revoked and then replaced;
 * the store is locked by us.  NGX_OK: control is told of the end.  Else fail;
 * NGX_DECLINED: it is not to be.
 */
ngx_int_t ngx_autocert_schedule_renew(ngx_uint_t index, ngx_uint_t force,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);
ngx_int_t ngx_autocert_schedule_revoke(ngx_uint_t index, ngx_uint_t reason,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SCHEDULE_H_INCLUDED_ */
