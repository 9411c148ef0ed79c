
/* Steps: directory, nonce, account, its contacts (RFC 8555, 7.1.1 to 7.3). */


#ifndef _NGX_AUTOCERT_ACCOUNT_H_INCLUDED_
#define _NGX_AUTOCERT_ACCOUNT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_flow.h"


#pragma GCC visibility push(hidden)

/* The step to go on with towards the goal, or NGX_DONE. */
ngx_int_t ngx_autocert_account_next(ngx_autocert_flow_t *flow);

ngx_int_t ngx_autocert_directory_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_directory_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);

ngx_int_t ngx_autocert_nonce_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_nonce_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);

/* Takes the nonce of any response; what is no nonce is ignored. */
void ngx_autocert_nonce_put(ngx_autocert_issuer_t *issuer, ngx_str_t *nonce);

/* The newest one, valid until the next put.  NGX_DECLINED if there is none. */
ngx_int_t ngx_autocert_nonce_get(ngx_autocert_issuer_t *issuer,
    ngx_str_t *nonce);

ngx_int_t ngx_autocert_account_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_account_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_account_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);

ngx_int_t ngx_autocert_contacts_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_contacts_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);

/*
 * The CA does not know the account any more: forgets it and what belongs to
 * it, and makes a new one, once in a flow.
 */
ngx_int_t ngx_autocert_account_lost(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_ACCOUNT_H_INCLUDED_ */
