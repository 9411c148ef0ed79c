
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_time.h"
#include "ngx_autocert_flow.h"
#include "ngx_autocert_account.h"
#include "ngx_autocert_limit.h"
#include "ngx_autocert_order.h"
#include "ngx_autocert_problem.h"
#include "ngx_autocert_renewal.h"
#include "ngx_autocert_revocation.h"


#define NGX_AUTOCERT_FLOW_BAD       10      /* badNonce in a row */
#define NGX_AUTOCERT_FLOW_BAD_ALL   100     /* in a flow */
#define NGX_AUTOCERT_FLOW_LOST      3       /* responses lost in a row */
#define NGX_AUTOCERT_FLOW_INTERVAL  10      /* of polling, at most, seconds */
#define NGX_AUTOCERT_FLOW_STEP      400     /* no answer takes so long */


static void ngx_autocert_flow_clock(ngx_autocert_flow_t *flow, time_t now);
static void ngx_autocert_flow_age(ngx_autocert_flow_t *flow);
static ngx_uint_t ngx_autocert_flow_decide(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action);
static ngx_uint_t ngx_autocert_flow_save(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action);
static ngx_uint_t ngx_autocert_flow_solve(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action, ngx_uint_t publish);
static ngx_uint_t ngx_autocert_flow_send(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action);
static ngx_int_t ngx_autocert_flow_sign(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request);
static ngx_int_t ngx_autocert_flow_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response);
static void ngx_autocert_flow_go(ngx_autocert_flow_t *flow, ngx_int_t rc,
    ngx_str_t *retry_after);
static ngx_int_t ngx_autocert_flow_poll(ngx_autocert_flow_t *flow,
    ngx_str_t *retry_after);
static ngx_int_t ngx_autocert_flow_repeat(ngx_autocert_flow_t *flow);
static void ngx_autocert_flow_failed(ngx_autocert_flow_t *flow);
static void ngx_autocert_flow_forget(ngx_autocert_flow_t *flow);
static ngx_uint_t ngx_autocert_flow_scope(ngx_autocert_flow_t *flow);
static const ngx_autocert_step_t *ngx_autocert_flow_step(
    ngx_autocert_flow_t *flow);


static const ngx_autocert_step_t  ngx_autocert_flow_steps[] = {

    [NGX_AUTOCERT_STEP_DIRECTORY] = {
        "reading the CA's directory",
        ngx_autocert_directory_request,
        ngx_autocert_directory_response,
        NULL, 0, 0, 0
    },

    [NGX_AUTOCERT_STEP_NONCE] = {
        "getting a nonce",
        ngx_autocert_nonce_request,
        ngx_autocert_nonce_response,
        NULL, 0, 0, 0
    },

    [NGX_AUTOCERT_STEP_ACCOUNT] = {
        "registering the account",
        ngx_autocert_account_request,
        ngx_autocert_account_response,
        ngx_autocert_account_refused, 0, 0, 1
    },

    [NGX_AUTOCERT_STEP_ORDER] = {
        "creating the order",
        ngx_autocert_order_request,
        ngx_autocert_order_response,
        ngx_autocert_order_refused, 0, 0, 1
    },

    [NGX_AUTOCERT_STEP_RESUME] = {
        "resuming the order",
        ngx_autocert_resume_request,
        ngx_autocert_resume_response,
        ngx_autocert_resume_refused, 0, 0, 0
    },

    [NGX_AUTOCERT_STEP_AUTHZ] = {
        "reading the authorization",
        ngx_autocert_authz_request,
        ngx_autocert_authz_response,
        NULL, 0, 0, 0
    },

    [NGX_AUTOCERT_STEP_CHALLENGE] = {
        "answering the challenge",
        ngx_autocert_challenge_request,
        ngx_autocert_challenge_response,
        ngx_autocert_challenge_refused, 0, NGX_AUTOCERT_FLOW_SOLVE, 0
    },

    [NGX_AUTOCERT_STEP_VALIDATE] = {
        "awaiting the validation",
        ngx_autocert_authz_request,
        ngx_autocert_validate_response,
        NULL, 120, NGX_AUTOCERT_FLOW_SOLVE, 0
    },

    [NGX_AUTOCERT_STEP_READY] = {
        "awaiting the order to be ready",
        ngx_autocert_resume_request,
        ngx_autocert_ready_response,
        NULL, 60, 0, 0
    },

    [NGX_AUTOCERT_STEP_FINALIZE] = {
        "finalizing the order",
        ngx_autocert_finalize_request,
        ngx_autocert_finalize_response,
        ngx_autocert_finalize_refused, 0, NGX_AUTOCERT_FLOW_KEY, 1
    },

    [NGX_AUTOCERT_STEP_ISSUE] = {
        "awaiting the certificate",
        ngx_autocert_resume_request,
        ngx_autocert_issue_response,
        NULL, 300, NGX_AUTOCERT_FLOW_KEY, 0
    },

    [NGX_AUTOCERT_STEP_CERTIFICATE] = {
        "downloading the certificate",
        ngx_autocert_certificate_request,
        ngx_autocert_certificate_response,
        NULL, 0, NGX_AUTOCERT_FLOW_KEY, 0
    },

    [NGX_AUTOCERT_STEP_WINDOW] = {
        "asking when to renew",
        ngx_autocert_window_request,
        ngx_autocert_window_response,
        NULL, 0, 0, 0
    },

    [NGX_AUTOCERT_STEP_CONTACTS] = {
        "changing the contacts of the account",
        ngx_autocert_contacts_request,
        ngx_autocert_contacts_response,
        ngx_autocert_account_refused, 0, 0, 0
    },

    [NGX_AUTOCERT_STEP_REVOKE] = {
        "revoking the certificate",
        ngx_autocert_revocation_request,
        ngx_autocert_revocation_response,
        ngx_autocert_revocation_refused, 0, 0, 0
    }
};


void
ngx_autocert_flow_init(ngx_autocert_flow_t *flow, ngx_pool_t *pool,
    ngx_autocert_issuer_t *issuer, ngx_autocert_order_t *order,
    ngx_uint_t goal)
{
    ngx_memzero(flow, sizeof(ngx_autocert_flow_t));

    flow->pool = pool;
    flow->issuer = issuer;
    flow->order = order;
    flow->goal = goal;

    if (goal == NGX_AUTOCERT_GOAL_CERTIFICATE) {
        return;
    }

    /* an order under way is no business of theirs */

    if (goal == NGX_AUTOCERT_GOAL_WINDOW) {
        flow->own.certid = order->certid;
    }

    if (goal != NGX_AUTOCERT_GOAL_CONTACTS) {
        flow->own.name = order->name;
    }

    flow->order = &flow->own;
}


void
ngx_autocert_flow_next(ngx_autocert_flow_t *flow, time_t now,
    ngx_autocert_action_t *action)
{
    ngx_autocert_flow_clock(flow, now);

    if (flow->type == NGX_AUTOCERT_FLOW_SEND
        || flow->type == NGX_AUTOCERT_FLOW_KEY)
    {
        *action = flow->action;
        return;
    }

    if (!flow->begun) {
        flow->begun = 1;
        flow->began = now;
        ngx_autocert_flow_go(flow, ngx_autocert_account_next(flow), NULL);
    }

    ngx_autocert_flow_age(flow);

    do {
        ngx_memzero(action, sizeof(ngx_autocert_action_t));
        action->type = ngx_autocert_flow_decide(flow, action);

    } while (action->type == 0);

    flow->type = action->type;
    flow->action = *action;
}


/* A clock that is set is nobody's delay: no wait of a flow is as long. */

static void
ngx_autocert_flow_clock(ngx_autocert_flow_t *flow, time_t now)
{
    time_t  step;

    step = flow->begun ? now - flow->now : 0;
    flow->now = now;

    if (step >= 0 && step <= NGX_AUTOCERT_FLOW_STEP) {
        return;
    }

    flow->began += step;
    flow->until += flow->until ? step : 0;
    flow->deadline += flow->deadline ? step : 0;
    flow->answer_at += flow->answer_at ? step : 0;
}


static void
ngx_autocert_flow_age(ngx_autocert_flow_t *flow)
{
    if (flow->end || flow->now - flow->began < NGX_AUTOCERT_FLOW_LIFE) {
        return;
    }

    flow->status = 0;
    flow->limited = 0;

    (void) ngx_autocert_fail(&flow->fail, flow->pool,
                             NGX_AUTOCERT_FAIL_LIMITED,
                             "the CA takes longer than %d s",
                             NGX_AUTOCERT_FLOW_LIFE);

    ngx_autocert_flow_failed(flow);
}


/* Returns the type of the action, or 0 if the flow has just failed. */

static ngx_uint_t
ngx_autocert_flow_decide(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action)
{
    ngx_uint_t  needs;

    needs = flow->end ? 0 : ngx_autocert_flow_steps[flow->step].needs;

    /* a token stands as long as the step needs it, so none is left behind */

    if (flow->published && needs != NGX_AUTOCERT_FLOW_SOLVE) {
        return ngx_autocert_flow_solve(flow, action, 0);
    }

    if (flow->save_account || flow->save_order) {
        return ngx_autocert_flow_save(flow, action);
    }

    if (flow->end) {
        return flow->end;
    }

    if (!flow->published && needs == NGX_AUTOCERT_FLOW_SOLVE) {
        return ngx_autocert_flow_solve(flow, action, 1);
    }

    if (flow->order->csr.len == 0 && needs == NGX_AUTOCERT_FLOW_KEY) {
        return NGX_AUTOCERT_FLOW_KEY;
    }

    if (flow->until > flow->now) {
        action->until = ngx_min(flow->until,
                                flow->began + NGX_AUTOCERT_FLOW_LIFE);

        if (flow->brief) {
            flow->brief = 0;
            flow->until = 0;
            action->brief = 1;
        }

        return NGX_AUTOCERT_FLOW_WAIT;
    }

    return ngx_autocert_flow_send(flow, action);
}


static ngx_uint_t
ngx_autocert_flow_save(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action)
{
    action->account = flow->save_account;
    action->order = flow->save_order;

    flow->save_account = 0;
    flow->save_order = 0;

    return NGX_AUTOCERT_FLOW_SAVE;
}


static ngx_uint_t
ngx_autocert_flow_solve(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action, ngx_uint_t publish)
{
    action->publish = publish;
    action->token = flow->token;
    action->key_authorization = flow->key_authorization;

    flow->published = publish;

    return NGX_AUTOCERT_FLOW_SOLVE;
}


static ngx_uint_t
ngx_autocert_flow_send(ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action)
{
    ngx_autocert_request_t  *request;

    request = &action->request;
    flow->asking = 0;

    if (ngx_autocert_flow_step(flow)->request(flow, request) != NGX_OK) {
        ngx_autocert_flow_failed(flow);
        return 0;
    }

    if (request->method != NGX_AUTOCERT_POST) {
        return NGX_AUTOCERT_FLOW_SEND;
    }

    if (flow->issuer->nnonces == 0) {
        flow->asking = 1;
        ngx_memzero(request, sizeof(ngx_autocert_request_t));
        (void) ngx_autocert_flow_step(flow)->request(flow, request);
        return NGX_AUTOCERT_FLOW_SEND;
    }

    if (ngx_autocert_flow_sign(flow, request) != NGX_OK) {
        ngx_autocert_flow_failed(flow);
        return 0;
    }

    return NGX_AUTOCERT_FLOW_SEND;
}


static ngx_int_t
ngx_autocert_flow_sign(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    ngx_str_t                 nonce, jws, *kid, *payload;
    ngx_autocert_issuer_t    *issuer;
    ngx_autocert_jose_key_t  *key;

    issuer = flow->issuer;
    key = &issuer->key;

    if (ngx_autocert_nonce_get(issuer, &nonce) != NGX_OK) {
        return NGX_ERROR;
    }

    /* RFC 8555, 6.2: newAccount is signed with a jwk, others with a kid */

    kid = (flow->step == NGX_AUTOCERT_STEP_ACCOUNT) ? NULL : &issuer->kid;

    if (flow->step == NGX_AUTOCERT_STEP_REVOKE && flow->revocation->own) {
        kid = NULL;
        key = flow->revocation->key;
    }

    payload = request->body.data ? &request->body : NULL;

    if (ngx_autocert_jose_jws(flow->pool, key, kid, &nonce,
                              &request->url, payload, &jws)
        != NGX_OK)
    {
        return ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_INTERNAL,
                                 "the request could not be signed");
    }

    request->body = jws;
    ngx_str_set(&request->content_type, "application/jose+json");

    return NGX_OK;
}


void
ngx_autocert_flow_took(ngx_autocert_flow_t *flow, time_t now,
    ngx_autocert_response_t *response)
{
    ngx_int_t  rc;

    if (flow->type != NGX_AUTOCERT_FLOW_SEND) {
        return;
    }

    flow->type = 0;
    ngx_autocert_flow_clock(flow, now);
    flow->until = 0;
    flow->status = response->status;
    flow->limited = 0;

    ngx_autocert_nonce_put(flow->issuer, &response->nonce);

    if (response->status >= 200 && response->status < 300) {
        rc = ngx_autocert_flow_step(flow)->response(flow, response);

        /* a nonce says nothing about the step that it is for */

        if (!flow->asking) {
            flow->nbad = 0;
            flow->nlost = 0;

        } else if (rc != NGX_ERROR) {
            flow->asking = 0;
        }

    } else {
        rc = ngx_autocert_flow_refused(flow, response);
    }

    ngx_autocert_flow_go(flow, rc, &response->retry_after);
}


static ngx_int_t
ngx_autocert_flow_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t                   rc;
    ngx_autocert_problem_t      problem;
    const ngx_autocert_step_t  *step;

    if (ngx_autocert_problem_response(response->pool, response,
                                      &flow->order->name, flow->now, &problem)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /*
     * RFC 8555, 6.5: repeated with the nonce that came with the refusal; the
     * older ones are likely to be no better.
     */

    if (ngx_autocert_problem_is(&problem, "badNonce")
        && flow->nbad++ < NGX_AUTOCERT_FLOW_BAD
        && flow->nbads++ < NGX_AUTOCERT_FLOW_BAD_ALL)
    {
        flow->issuer->nnonces = 0;
        ngx_autocert_nonce_put(flow->issuer, &response->nonce);
        return flow->step;
    }

    if (ngx_autocert_problem_is(&problem, "accountDoesNotExist")
        && flow->step != NGX_AUTOCERT_STEP_ACCOUNT
        && flow->goal != NGX_AUTOCERT_GOAL_WINDOW
        && flow->goal != NGX_AUTOCERT_GOAL_REVOCATION)
    {
        return ngx_autocert_account_lost(flow, &problem);
    }

    flow->limited = ngx_autocert_problem_is(&problem, "rateLimited");
    step = ngx_autocert_flow_step(flow);

    rc = step->refused ? step->refused(flow, &problem)
                       : ngx_autocert_problem_fail(flow->pool, &problem,
                                                   &flow->fail);
    if (rc != NGX_ERROR) {
        return rc;
    }

    if (flow->fail.kind == NGX_AUTOCERT_FAIL_NETWORK) {
        return ngx_autocert_flow_repeat(flow);
    }

    /* a busy CA ends no validation that is under way */

    if (flow->fail.kind == NGX_AUTOCERT_FAIL_LIMITED
        && ngx_autocert_flow_steps[flow->step].poll
        && flow->now < flow->deadline
        && flow->fail.retry_at <= flow->deadline)
    {
        flow->until = flow->fail.retry_at;
        ngx_memzero(&flow->fail, sizeof(ngx_autocert_fail_t));
        flow->nbad = 0;
        flow->nlost = 0;
        return NGX_AGAIN;
    }

    return NGX_ERROR;
}


/* rc is what a step has returned */

static void
ngx_autocert_flow_go(ngx_autocert_flow_t *flow, ngx_int_t rc,
    ngx_str_t *retry_after)
{
    time_t  poll;

    if (rc >= 0 && rc != (ngx_int_t) flow->step) {
        flow->step = rc;
        flow->nbad = 0;
        flow->nlost = 0;
        flow->interval = 0;
        flow->soon = 1;

        poll = ngx_autocert_flow_steps[rc].poll;
        flow->deadline = flow->now + poll;

        /* what has just been asked for is not there at once */

        rc = poll ? NGX_AGAIN : rc;
    }

    if (rc == NGX_AGAIN) {
        rc = ngx_autocert_flow_poll(flow, retry_after);
    }

    if (rc == NGX_DONE) {
        flow->end = NGX_AUTOCERT_FLOW_DONE;
    }

    if (rc == NGX_ERROR) {
        ngx_autocert_flow_failed(flow);
    }
}


static ngx_int_t
ngx_autocert_flow_poll(ngx_autocert_flow_t *flow, ngx_str_t *retry_after)
{
    time_t  retry;

    if (ngx_autocert_time_retry(retry_after, flow->now, &retry) != NGX_OK) {
        retry = 0;
    }

    if (flow->now >= flow->deadline || retry > flow->deadline) {
        (void) ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_LIMITED,
                                 "the CA takes longer than %T s",
                                 ngx_autocert_flow_steps[flow->step].poll);
        flow->fail.retry_at = retry;
        return NGX_ERROR;
    }

    /* the first time a moment is enough: a private CA is quick */

    if (flow->soon && retry == 0 && flow->until <= flow->now) {
        flow->soon = 0;
        flow->brief = 1;
        flow->until = ngx_min(flow->now + 1, flow->deadline);
        return NGX_OK;
    }

    flow->soon = 0;

    flow->interval = flow->interval
                     ? ngx_min(flow->interval * 2, NGX_AUTOCERT_FLOW_INTERVAL)
                     : 1;

    retry = ngx_max(retry, flow->until);

    flow->until = retry ? ngx_max(retry, flow->now + 1)
                        : ngx_min(flow->now + flow->interval, flow->deadline);

    return NGX_OK;
}


/* Once more after a while, if that is safe; fail is set by the caller. */

static ngx_int_t
ngx_autocert_flow_repeat(ngx_autocert_flow_t *flow)
{
    if (ngx_autocert_flow_step(flow)->once
        || flow->nlost == NGX_AUTOCERT_FLOW_LOST)
    {
        return NGX_ERROR;
    }

    flow->until = flow->now + ((time_t) 1 << flow->nlost);
    flow->nlost++;

    ngx_memzero(&flow->fail, sizeof(ngx_autocert_fail_t));

    return flow->step;
}


void
ngx_autocert_flow_lost(ngx_autocert_flow_t *flow, time_t now,
    ngx_autocert_fail_t *fail)
{
    ngx_int_t   rc;
    ngx_uint_t  type;

    type = flow->type;

    flow->type = 0;
    ngx_autocert_flow_clock(flow, now);

    if (flow->end == NGX_AUTOCERT_FLOW_FAILED
        || (flow->end && type != NGX_AUTOCERT_FLOW_SAVE)
        || type == NGX_AUTOCERT_FLOW_WAIT
        || (type == NGX_AUTOCERT_FLOW_SOLVE && !flow->action.publish))
    {
        return;
    }

    flow->fail = *fail;
    flow->status = 0;
    flow->limited = 0;

    /* what is wrong on our side is no better in a second */

    rc = (type == NGX_AUTOCERT_FLOW_SEND
          && fail->kind == NGX_AUTOCERT_FAIL_NETWORK)
         ? ngx_autocert_flow_repeat(flow) : NGX_ERROR;

    if (rc == NGX_ERROR) {
        ngx_autocert_flow_failed(flow);
    }
}


void
ngx_autocert_flow_key(ngx_autocert_flow_t *flow, ngx_str_t *csr)
{
    if (flow->type != NGX_AUTOCERT_FLOW_KEY) {
        return;
    }

    flow->type = 0;

    if (csr->len == 0
        || ngx_autocert_flow_copy(flow, &flow->order->csr, csr) != NGX_OK)
    {
        ngx_autocert_flow_failed(flow);
    }
}


void
ngx_autocert_flow_cancel(ngx_autocert_flow_t *flow)
{
    flow->type = 0;

    if (flow->end) {
        return;
    }

    ngx_memzero(&flow->fail, sizeof(ngx_autocert_fail_t));

    flow->fail.kind = NGX_AUTOCERT_FAIL_INTERNAL;
    ngx_str_set(&flow->fail.why, "cancelled");

    flow->begun = 1;
    flow->end = NGX_AUTOCERT_FLOW_FAILED;
}


/* the one way to fail */

static void
ngx_autocert_flow_failed(ngx_autocert_flow_t *flow)
{
    flow->end = NGX_AUTOCERT_FLOW_FAILED;

    if (flow->fail.kind == 0) {
        flow->fail.kind = NGX_AUTOCERT_FAIL_INTERNAL;
        ngx_str_set(&flow->fail.why, "out of memory");
    }

    flow->fail.scope = ngx_autocert_flow_scope(flow);

    ngx_autocert_flow_forget(flow);
}


/* what the failure shows to be out of date */

static void
ngx_autocert_flow_forget(ngx_autocert_flow_t *flow)
{
    if (flow->fail.kind != NGX_AUTOCERT_FAIL_REFUSED
        && flow->fail.kind != NGX_AUTOCERT_FAIL_CONFIGURATION)
    {
        return;
    }

    /* a look at a window shows nothing else than that its URL is gone */

    if (flow->goal == NGX_AUTOCERT_GOAL_WINDOW
        && flow->status != 404 && flow->status != 405 && flow->status != 410)
    {
        return;
    }

    /* asked again, the CA would say the same of this order */

    if (flow->goal != NGX_AUTOCERT_GOAL_WINDOW
        && flow->step >= NGX_AUTOCERT_STEP_RESUME && !flow->asking)
    {
        ngx_autocert_order_forget(flow);
        return;
    }

    /* or the URLs have changed */

    flow->issuer->read_at = 0;
}


/* by the step that failed, and by what the CA says */

static ngx_uint_t
ngx_autocert_flow_scope(ngx_autocert_flow_t *flow)
{
    ngx_autocert_fail_t  *fail;

    fail = &flow->fail;

    if (fail->kind == NGX_AUTOCERT_FAIL_INTERNAL) {
        return NGX_AUTOCERT_FAIL_NAME;
    }

    if (!flow->asking && flow->step == NGX_AUTOCERT_STEP_WINDOW) {
        return (fail->kind == NGX_AUTOCERT_FAIL_NETWORK
                || fail->kind == NGX_AUTOCERT_FAIL_LIMITED)
               ? NGX_AUTOCERT_FAIL_WINDOWS : NGX_AUTOCERT_FAIL_NAME;
    }

    if (flow->asking
        || flow->step <= NGX_AUTOCERT_STEP_ACCOUNT
        || flow->status == 503
        || (flow->limited
            && ngx_autocert_limit_says(&fail->detail, "service busy")))
    {
        return NGX_AUTOCERT_FAIL_CA;
    }

    if (flow->step != NGX_AUTOCERT_STEP_ORDER) {
        return NGX_AUTOCERT_FAIL_NAME;
    }

    if (flow->limited) {
        return ngx_autocert_limit_scope(&flow->order->name, fail);
    }

    /* lost, or of the account, unless it is told that the name is at fault */

    if (flow->status == 429
        || (flow->status == 0 && fail->kind == NGX_AUTOCERT_FAIL_NETWORK)
        || (fail->kind == NGX_AUTOCERT_FAIL_CONFIGURATION
            && !ngx_autocert_limit_about(&fail->detail, &flow->order->name)))
    {
        return NGX_AUTOCERT_FAIL_CA;
    }

    return NGX_AUTOCERT_FAIL_NAME;
}


/* the step that the request under way is for */

static const ngx_autocert_step_t *
ngx_autocert_flow_step(ngx_autocert_flow_t *flow)
{
    return &ngx_autocert_flow_steps[flow->asking ? NGX_AUTOCERT_STEP_NONCE
                                                 : flow->step];
}


ngx_uint_t
ngx_autocert_flow_validating(ngx_autocert_flow_t *flow)
{
    return flow->step == NGX_AUTOCERT_STEP_AUTHZ
           || flow->step == NGX_AUTOCERT_STEP_CHALLENGE
           || flow->step == NGX_AUTOCERT_STEP_VALIDATE;
}


char *
ngx_autocert_flow_name(ngx_autocert_flow_t *flow)
{
    return ngx_autocert_flow_step(flow)->name;
}


ngx_int_t
ngx_autocert_flow_copy(ngx_autocert_flow_t *flow, ngx_str_t *dst,
    ngx_str_t *src)
{
    u_char  *p;

    p = ngx_pnalloc(flow->pool, src->len);

    if (p == NULL) {
        ngx_str_null(dst);
        return NGX_ERROR;
    }

    ngx_memcpy(p, src->data, src->len);

    dst->data = p;
    dst->len = src->len;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_flow_url(ngx_autocert_flow_t *flow, ngx_autocert_json_t *json,
    char *what, const char *name, ngx_str_t *url)
{
    ngx_str_t           value;
    ngx_autocert_url_t  parts;

    if (ngx_autocert_json_get_string(json, name, &value) != NGX_OK) {
        return ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_REFUSED,
                                 "the CA's %s has no %s", what, name);
    }

    if (value.len > NGX_AUTOCERT_MESSAGE_URL
        || ngx_autocert_message_url(&value, &parts) != NGX_OK)
    {
        (void) ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_REFUSED,
                                 "in the CA's %s %s is no https URL",
                                 what, name);

        (void) ngx_autocert_fail_text(flow->pool, &value, 256,
                                      &flow->fail.detail);
        return NGX_ERROR;
    }

    return ngx_autocert_flow_copy(flow, url, &value);
}


ngx_autocert_json_t *
ngx_autocert_flow_object(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response, char *what)
{
    char                 *err;
    ngx_autocert_json_t  *json;

    err = "it is no object";
    json = ngx_autocert_json_parse(response->pool, &response->body, &err);

    if (json && json->type == NGX_AUTOCERT_JSON_OBJECT) {
        return json;
    }

    (void) ngx_autocert_flow_nonsense(flow, what, err);
    (void) ngx_autocert_fail_text(flow->pool, &response->body, 256,
                                  &flow->fail.detail);
    return NULL;
}


ngx_int_t
ngx_autocert_flow_nonsense(ngx_autocert_flow_t *flow, char *what, char *why)
{
    return ngx_autocert_fail(&flow->fail, flow->pool,
                             NGX_AUTOCERT_FAIL_REFUSED,
                             "the CA's %s makes no sense: %s", what, why);
}
