
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_base64.h"
#include "ngx_autocert_problem.h"
#include "ngx_autocert_revocation.h"


ngx_int_t
ngx_autocert_revocation_next(ngx_autocert_flow_t *flow)
{
    if (flow->issuer->revoke_cert.len == 0) {
        return ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "the CA takes no revocations: its directory "
                                 "has no revokeCert");
    }

    if (flow->issuer->kid.len == 0) {
        flow->revocation->own = 1;
    }

    return NGX_AUTOCERT_STEP_REVOKE;
}


ngx_int_t
ngx_autocert_revocation_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    u_char                      *p;
    ngx_str_t                    text, *der;
    ngx_autocert_json_writer_t   w;

    request->method = NGX_AUTOCERT_POST;
    request->url = flow->issuer->revoke_cert;

    der = &flow->revocation->certificate;

    p = ngx_pnalloc(flow->pool, ngx_autocert_base64_length(der->len));

    if (p == NULL || ngx_autocert_json_writer_init(&w, flow->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    text.data = p;
    text.len = ngx_autocert_base64_encode(p, der->data, der->len) - p;

    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_string(&w, "certificate", &text);

    /* RFC 5280, 5.3.1: unspecified is said by saying nothing */

    if (flow->revocation->reason) {
        ngx_autocert_json_put_integer(&w, "reason", flow->revocation->reason);
    }

    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, &request->body);
}


ngx_int_t
ngx_autocert_revocation_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    (void) flow;
    (void) response;

    return NGX_DONE;
}


/* An account that may not leaves one who may: who has the key. */

ngx_int_t
ngx_autocert_revocation_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    if (ngx_autocert_problem_is(problem, "alreadyRevoked")) {
        flow->revocation->already = 1;
        return NGX_DONE;
    }

    if (!flow->revocation->own
        && (ngx_autocert_problem_is(problem, "unauthorized")
            || ngx_autocert_problem_is(problem, "accountDoesNotExist")))
    {
        flow->revocation->own = 1;
        return NGX_AUTOCERT_STEP_REVOKE;
    }

    return ngx_autocert_problem_fail(flow->pool, problem, &flow->fail);
}
