
/*
 * A look of our own at a name that the CA could not validate: each of its
 * addresses is asked what the CA asks.
 */


#ifndef _NGX_AUTOCERT_DIAGNOSIS_H_INCLUDED_
#define _NGX_AUTOCERT_DIAGNOSIS_H_INCLUDED_


#include "ngx_autocert_helper.h"


/* What was found, a sentence; maybe empty. */
typedef void (*ngx_autocert_diagnosis_done_pt)(void *data, ngx_str_t *cause);


#pragma GCC visibility push(hidden)

/*
 * One at a time, on the event loop, for 20 s at most; challenge is what is
 * published.  All of it lives in pool until done was called, which is never
 * from within this call.
 */
void ngx_autocert_diagnosis_start(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_autocert_board_challenge_t *challenge,
    ngx_autocert_diagnosis_done_pt done, void *data);

/* Forgets the look under way, if any; done will not be called. */
void ngx_autocert_diagnosis_cancel(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_DIAGNOSIS_H_INCLUDED_ */
