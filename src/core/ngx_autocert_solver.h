
/* Makes a challenge answerable, and takes the answer away again. */


#ifndef _NGX_AUTOCERT_SOLVER_H_INCLUDED_
#define _NGX_AUTOCERT_SOLVER_H_INCLUDED_


#include "ngx_autocert_helper.h"


#pragma GCC visibility push(hidden)

/*
 * On the board, for all workers at once.  There is one order at a time, and
 * so one answer; a later one takes its place.  For TLS-ALPN-01 the pair of
 * the challenge is made (RFC 8737, 3), written to the store, where a helper
 * after us finds it, and served.  The value is the key authorization.
 */
ngx_int_t ngx_autocert_solver_publish(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_autocert_board_challenge_t *challenge,
    ngx_autocert_fail_t *fail);
void ngx_autocert_solver_unpublish(ngx_autocert_helper_t *helper);

/*
 * The same for an order of another process, whose pair is in the store:
 * during an upgrade the workers of both are asked.
 */
void ngx_autocert_solver_follow(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_autocert_board_challenge_t *challenge);

/* "http-01" <-> NGX_AUTOCERT_CHALLENGE_HTTP; 0: not one of ours. */
void ngx_autocert_solver_name(ngx_uint_t type, ngx_str_t *name);
ngx_uint_t ngx_autocert_solver_type(ngx_str_t *name);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SOLVER_H_INCLUDED_ */
