
/* The step that revokes a certificate (RFC 8555, 7.6). */


#ifndef _NGX_AUTOCERT_REVOCATION_H_INCLUDED_
#define _NGX_AUTOCERT_REVOCATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_flow.h"


#pragma GCC visibility push(hidden)

/* The step of the goal, or NGX_ERROR: the CA takes no revocations. */
ngx_int_t ngx_autocert_revocation_next(ngx_autocert_flow_t *flow);

ngx_int_t ngx_autocert_revocation_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_revocation_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
ngx_int_t ngx_autocert_revocation_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_REVOCATION_H_INCLUDED_ */
