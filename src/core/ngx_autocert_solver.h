
/* Makes a challenge answerable, and takes the answer away again. */


#ifndef _NGX_AUTOCERT_SOLVER_H_INCLUDED_
#define _NGX_AUTOCERT_SOLVER_H_INCLUDED_


#include "ngx_autocert_helper.h"


#pragma GCC visibility push(hidden)

/*
 * HTTP-01: on the board, for all workers at once.  There is one order at a
 * time, and so one answer; a later one takes its place.
 */
ngx_int_t ngx_autocert_solver_publish(ngx_autocert_helper_t *helper,
    ngx_str_t *name, ngx_str_t *token, ngx_str_t *key_authorization);
void ngx_autocert_solver_unpublish(ngx_autocert_helper_t *helper);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SOLVER_H_INCLUDED_ */
