
/*
 * Runs a flow: the only place where ACME meets events, files and keys.  One
 * certificate at a time.
 */


#ifndef _NGX_AUTOCERT_DRIVER_H_INCLUDED_
#define _NGX_AUTOCERT_DRIVER_H_INCLUDED_


#include "ngx_autocert_helper.h"


/*
 * The certificate of the name is served (chain without its certs), or fail
 * says why not.  log knows the name and what was being done.
 */
typedef void (*ngx_autocert_driver_done_pt)(ngx_uint_t index,
    ngx_autocert_chain_t *chain, ngx_autocert_fail_t *fail, ngx_log_t *log);


#pragma GCC visibility push(hidden)

ngx_int_t ngx_autocert_driver_init(ngx_autocert_helper_t *helper,
    ngx_autocert_driver_done_pt done);

/*
 * Obtains a certificate for the name with this index, going on with an order
 * of before if the state of the name has one.  The store is locked by us.
 */
void ngx_autocert_driver_start(ngx_uint_t index);

/*
 * Makes the challenge of another process's order for this name answerable
 * here as well.  NGX_DECLINED: it has none under way.
 */
ngx_int_t ngx_autocert_driver_follow(ngx_uint_t index);

/*
 * Leaves everything as it is, for the next helper to go on with: the order
 * in the store, the answer to its challenge on the board.
 */
void ngx_autocert_driver_leave(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_DRIVER_H_INCLUDED_ */
