
/*
 * Steps: order, authorization, challenge, validation, finalization,
 * certificate (RFC 8555, 7.4 and 7.5).
 */


#ifndef _NGX_AUTOCERT_ORDER_H_INCLUDED_
#define _NGX_AUTOCERT_ORDER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_flow.h"


#pragma GCC visibility push(hidden)

/* Nothing more comes of the order: its URL is emptied, to be saved so. */
void ngx_autocert_order_forget(ngx_autocert_flow_t *flow);

ngx_int_t ngx_autocert_order_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_order_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_order_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);

/* The order is read: to be resumed, to see it ready, to see it issued. */
ngx_int_t ngx_autocert_resume_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_resume_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_resume_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);
ngx_int_t ngx_autocert_ready_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_issue_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);

ngx_int_t ngx_autocert_authz_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_authz_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_validate_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);

ngx_int_t ngx_autocert_challenge_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_challenge_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_challenge_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);

ngx_int_t ngx_autocert_finalize_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_finalize_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_finalize_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);

ngx_int_t ngx_autocert_certificate_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_certificate_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_ORDER_H_INCLUDED_ */
