
/*
 * What the helper knows of names, as it comes to know it, and tells it on the
 * board.
 */


#ifndef _NGX_AUTOCERT_FACTS_H_INCLUDED_
#define _NGX_AUTOCERT_FACTS_H_INCLUDED_


#include "ngx_autocert_helper.h"
#include "ngx_autocert_plan.h"


#pragma GCC visibility push(hidden)

/* The plan knows what can never be ordered. */
ngx_int_t ngx_autocert_facts_start(ngx_autocert_helper_t *helper,
    ngx_autocert_plan_t *plan);

/* The pair on disk (chain NULL: none), and what is remembered. */
void ngx_autocert_facts_found(ngx_uint_t index, ngx_autocert_chain_t *chain,
    ngx_autocert_state_t *state);

/* What is remembered has changed; of the others, what the plan makes of it. */
void ngx_autocert_facts_state(ngx_uint_t index, ngx_autocert_state_t *state);

/* What its budget goes by. */
void ngx_autocert_facts_issued(ngx_uint_t index,
    ngx_autocert_issued_t *issued);

/* An order for it is under way, or no longer. */
void ngx_autocert_facts_busy(ngx_uint_t index, ngx_uint_t busy);

void ngx_autocert_facts_failed(ngx_uint_t index, ngx_autocert_fail_t *fail);

/* The CA has answered, whatever; or has not. */
void ngx_autocert_facts_heard(ngx_uint_t answered);

/* The plan has changed for many; and what is counted, from time to time. */
void ngx_autocert_facts_all(void);
void ngx_autocert_facts_sums(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_FACTS_H_INCLUDED_ */
