
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_time.h"
#include "ngx_autocert_problem.h"
#include "ngx_autocert_renewal.h"


#define NGX_AUTOCERT_WINDOW_URL  512    /* bytes of explanationURL */


static ngx_int_t ngx_autocert_window_instant(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json, const char *name, time_t *t);


/* RFC 9773, 4.1: unsigned, and of no account */

ngx_int_t
ngx_autocert_window_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    u_char     *p;
    ngx_str_t  *base, *certid;

    base = &flow->issuer->renewal_info;
    certid = &flow->order->certid;

    p = ngx_pnalloc(flow->pool, base->len + 1 + certid->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    request->method = NGX_AUTOCERT_GET;
    request->url.data = p;

    p = ngx_cpymem(p, base->data, base->len);

    if (p[-1] != '/') {
        *p++ = '/';
    }

    p = ngx_cpymem(p, certid->data, certid->len);
    request->url.len = p - request->url.data;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_window_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_str_t               url;
    ngx_autocert_json_t    *json, *suggested;
    ngx_autocert_window_t   window;

    ngx_memzero(&window, sizeof(ngx_autocert_window_t));

    json = ngx_autocert_flow_object(flow, response, "renewal window");
    if (json == NULL) {
        return NGX_ERROR;
    }

    suggested = ngx_autocert_json_get(json, "suggestedWindow");

    if (suggested == NULL || suggested->type != NGX_AUTOCERT_JSON_OBJECT) {
        return ngx_autocert_flow_nonsense(flow, "renewal window",
                                          "it has no suggestedWindow");
    }

    if (ngx_autocert_window_instant(flow, suggested, "start", &window.start)
        != NGX_OK
        || ngx_autocert_window_instant(flow, suggested, "end", &window.end)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* for people; it spoils no window */

    if (ngx_autocert_json_get_string(json, "explanationURL", &url) == NGX_OK
        && ngx_autocert_fail_text(flow->pool, &url, NGX_AUTOCERT_WINDOW_URL,
                                  &window.url)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_time_retry(&response->retry_after, flow->now,
                                &window.retry_at)
        != NGX_OK)
    {
        window.retry_at = 0;
    }

    flow->window = window;

    return NGX_DONE;
}


static ngx_int_t
ngx_autocert_window_instant(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json, const char *name, time_t *t)
{
    ngx_str_t  value;

    if (ngx_autocert_json_get_string(json, name, &value) != NGX_OK) {
        return ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_REFUSED,
                                 "the CA's renewal window has no %s", name);
    }

    if (ngx_autocert_time_rfc3339(&value, t) != NGX_OK) {
        (void) ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_REFUSED,
                                 "in the CA's renewal window %s is no instant",
                                 name);

        (void) ngx_autocert_fail_text(flow->pool, &value, 64,
                                      &flow->fail.detail);
        return NGX_ERROR;
    }

    /* 0 is for what is not said */

    *t = ngx_max(*t, 1);

    return NGX_OK;
}


ngx_uint_t
ngx_autocert_renewal_replaces(ngx_autocert_flow_t *flow)
{
    return !flow->alone
           && flow->order->certid.len
           && flow->issuer->renewal_info.len;
}


/*
 * RFC 9773, 5 has alreadyReplaced, with a status of 409; CAs say 400, 403,
 * 404 and 500 as well.
 */

ngx_uint_t
ngx_autocert_renewal_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    if (!ngx_autocert_renewal_replaces(flow)
        || problem->status == 429
        || (problem->status / 100 != 4 && problem->status != 500)
        || ngx_autocert_problem_is(problem, "rateLimited")
        || ngx_autocert_problem_is(problem, "badNonce"))
    {
        return 0;
    }

    flow->alone = 1;

    return 1;
}
