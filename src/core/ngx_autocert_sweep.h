
/*
 * Pairs on disk, seen by the helper's main thread: each is looked at once at
 * the start, and those that change later, by hand or by another host of a
 * shared volume, are served within NGX_AUTOCERT_SWEEP.
 */


#ifndef _NGX_AUTOCERT_SWEEP_H_INCLUDED_
#define _NGX_AUTOCERT_SWEEP_H_INCLUDED_


#include "ngx_autocert_helper.h"


#define NGX_AUTOCERT_SWEEP  5000    /* ms from one look to the next */


#pragma GCC visibility push(hidden)

/*
 * found tells of each name at the start, and whenever its pair on disk has
 * changed; chain NULL: there is none.  ready: every name has been looked at,
 * and told if it could be read.
 */
typedef void (*ngx_autocert_sweep_found_pt)(ngx_uint_t index,
    ngx_autocert_chain_t *chain);
typedef void (*ngx_autocert_sweep_ready_pt)(void);

ngx_int_t ngx_autocert_sweep_start(ngx_autocert_helper_t *helper,
    ngx_autocert_sweep_found_pt found, ngx_autocert_sweep_ready_pt ready);
void ngx_autocert_sweep_stop(void);

/*
 * Looks at the pair of one name now, as the sweep does in its turn.
 * NGX_ERROR: nothing is known of it, which is said once; found will tell.
 */
ngx_int_t ngx_autocert_sweep_look(ngx_uint_t index);

/* A pair on disk that is new by our own doing is no news. */
void ngx_autocert_sweep_own(ngx_uint_t index);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SWEEP_H_INCLUDED_ */
