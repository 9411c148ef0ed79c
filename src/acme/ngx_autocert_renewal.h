
/*
 * Renewal information (RFC 9773): the step that asks when to renew, and what
 * an order says of the certificate that it replaces.
 */


#ifndef _NGX_AUTOCERT_RENEWAL_H_INCLUDED_
#define _NGX_AUTOCERT_RENEWAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_flow.h"


#pragma GCC visibility push(hidden)

ngx_int_t ngx_autocert_window_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
ngx_int_t ngx_autocert_window_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);

/* Does newOrder name the certificate before? */
ngx_uint_t ngx_autocert_renewal_replaces(ngx_autocert_flow_t *flow);

/*
 * May newOrder have been refused because it names the certificate before?
 * Then 1, for once, and the next one does not name it.
 */
ngx_uint_t ngx_autocert_renewal_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_RENEWAL_H_INCLUDED_ */
