
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_base64.h"
#include "ngx_autocert_order.h"
#include "ngx_autocert_problem.h"
#include "ngx_autocert_renewal.h"


#define NGX_AUTOCERT_STATUS_PENDING     0
#define NGX_AUTOCERT_STATUS_READY       1
#define NGX_AUTOCERT_STATUS_PROCESSING  2
#define NGX_AUTOCERT_STATUS_VALID       3
#define NGX_AUTOCERT_STATUS_INVALID     4

#define NGX_AUTOCERT_ORDER_NOT_READY    3       /* times */
#define NGX_AUTOCERT_ORDER_ANSWERED     10      /* seconds */

#define NGX_AUTOCERT_TOKEN_MIN          16
#define NGX_AUTOCERT_TOKEN_MAX          128


typedef struct {
    char        *name;
    ngx_int_t    status;
} ngx_autocert_status_t;


static ngx_int_t ngx_autocert_order_status(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json, char *what);
static ngx_int_t ngx_autocert_order_read(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json);
static ngx_int_t ngx_autocert_order_authzs(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json);
static ngx_int_t ngx_autocert_order_begin(ngx_autocert_flow_t *flow,
    ngx_int_t status);
static ngx_int_t ngx_autocert_order_invalid(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *error, char *why);
static ngx_uint_t ngx_autocert_order_about(ngx_autocert_json_t *json,
    ngx_str_t *name);
static void ngx_autocert_order_type(ngx_str_t *name, ngx_str_t *type);
static ngx_uint_t ngx_autocert_order_identifier(ngx_autocert_json_t *json,
    ngx_str_t *name);
static ngx_int_t ngx_autocert_authz_read(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response, ngx_autocert_json_t **challenges);
static ngx_int_t ngx_autocert_authz_next(ngx_autocert_flow_t *flow);
static ngx_int_t ngx_autocert_authz_invalid(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *challenges);
static ngx_autocert_json_t *ngx_autocert_challenge_find(
    ngx_autocert_flow_t *flow, ngx_autocert_json_t *challenges);
static ngx_uint_t ngx_autocert_challenge_is(ngx_autocert_json_t *challenge,
    const char *wanted);
static ngx_int_t ngx_autocert_challenge_missing(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *challenges);
static ngx_int_t ngx_autocert_challenge_token(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *challenge);


static const ngx_autocert_status_t  ngx_autocert_order_statuses[] = {
    { "pending", NGX_AUTOCERT_STATUS_PENDING },
    { "ready", NGX_AUTOCERT_STATUS_READY },
    { "processing", NGX_AUTOCERT_STATUS_PROCESSING },
    { "valid", NGX_AUTOCERT_STATUS_VALID },
    { "invalid", NGX_AUTOCERT_STATUS_INVALID },

    /* of authorizations (RFC 8555, 7.1.6) */
    { "deactivated", NGX_AUTOCERT_STATUS_INVALID },
    { "expired", NGX_AUTOCERT_STATUS_INVALID },
    { "revoked", NGX_AUTOCERT_STATUS_INVALID },

    { NULL, 0 }
};


void
ngx_autocert_order_forget(ngx_autocert_flow_t *flow)
{
    flow->nauthz = 0;

    if (flow->order->url.len == 0) {
        return;
    }

    ngx_str_null(&flow->order->url);
    flow->save_order = 1;
}


ngx_int_t
ngx_autocert_order_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    ngx_str_t                   type;
    ngx_autocert_json_writer_t  w;

    request->method = NGX_AUTOCERT_POST;
    request->url = flow->issuer->new_order;

    if (ngx_autocert_json_writer_init(&w, flow->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_order_type(&flow->order->name, &type);

    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_open(&w, "identifiers", '[');
    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_string(&w, "type", &type);
    ngx_autocert_json_put_string(&w, "value", &flow->order->name);
    ngx_autocert_json_close(&w, '}');
    ngx_autocert_json_close(&w, ']');

    if (ngx_autocert_renewal_replaces(flow)) {
        ngx_autocert_json_put_string(&w, "replaces", &flow->order->certid);
    }

    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, &request->body);
}


ngx_int_t
ngx_autocert_order_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t             status;
    ngx_autocert_url_t    url;
    ngx_autocert_json_t  *json;

    json = ngx_autocert_flow_object(flow, response, "order");
    if (json == NULL) {
        return NGX_ERROR;
    }

    status = ngx_autocert_order_read(flow, json);
    if (status == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* an order says nowhere else where it is */

    if (ngx_autocert_message_url(&response->location, &url) != NGX_OK
        || response->location.len > NGX_AUTOCERT_MESSAGE_URL)
    {
        return ngx_autocert_flow_nonsense(flow, "order",
                                          "it has no https URL in Location");
    }

    if (ngx_autocert_flow_copy(flow, &flow->order->url, &response->location)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    flow->resumed = 0;
    flow->save_order = 1;

    if (status == NGX_AUTOCERT_STATUS_INVALID) {
        return ngx_autocert_order_invalid(flow,
                                          ngx_autocert_json_get(json, "error"),
                                          "the order is invalid");
    }

    return ngx_autocert_order_begin(flow, status);
}


/* RFC 8555, 7.3.6: so does the CA speak to a deactivated account */

ngx_int_t
ngx_autocert_order_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    if (ngx_autocert_renewal_refused(flow, problem)) {
        return NGX_AUTOCERT_STEP_ORDER;
    }

    (void) ngx_autocert_problem_fail(flow->pool, problem, &flow->fail);

    if (ngx_autocert_problem_is(problem, "unauthorized")) {
        flow->fail.kind = NGX_AUTOCERT_FAIL_CONFIGURATION;
        ngx_str_set(&flow->fail.why, "the CA refuses the account");
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_autocert_order_status(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json, char *what)
{
    ngx_str_t                     value;
    const ngx_autocert_status_t  *status;

    if (ngx_autocert_json_get_string(json, "status", &value) != NGX_OK) {
        return ngx_autocert_flow_nonsense(flow, what, "it has no status");
    }

    for (status = ngx_autocert_order_statuses; status->name; status++) {

        if (value.len == ngx_strlen(status->name)
            && ngx_strncmp(value.data, status->name, value.len) == 0)
        {
            return status->status;
        }
    }

    return ngx_autocert_flow_nonsense(flow, what, "its status is unknown");
}


/* Takes the fields of an order and returns its status. */

static ngx_int_t
ngx_autocert_order_read(ngx_autocert_flow_t *flow, ngx_autocert_json_t *json)
{
    ngx_int_t  status;

    status = ngx_autocert_order_status(flow, json, "order");

    if (status == NGX_ERROR || status == NGX_AUTOCERT_STATUS_INVALID) {
        return status;
    }

    if (ngx_autocert_flow_url(flow, json, "order", "finalize",
                              &flow->finalize)
        != NGX_OK
        || ngx_autocert_order_authzs(flow, json) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (status == NGX_AUTOCERT_STATUS_VALID
        && ngx_autocert_flow_url(flow, json, "order", "certificate",
                                 &flow->certificate)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return status;
}


static ngx_int_t
ngx_autocert_order_authzs(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json)
{
    ngx_uint_t            n;
    ngx_autocert_url_t    url;
    ngx_autocert_json_t  *array, *authz;

    array = ngx_autocert_json_get(json, "authorizations");

    if (array == NULL || array->type == NGX_AUTOCERT_JSON_NULL) {
        return NGX_OK;
    }

    if (array->type != NGX_AUTOCERT_JSON_ARRAY) {
        return ngx_autocert_flow_nonsense(flow, "order",
                                          "it has no list of authorizations");
    }

    /* once they are being worked through their order must not change */

    if (flow->nauthz) {
        return NGX_OK;
    }

    n = 0;

    for (authz = array->child; authz; authz = authz->next) {

        if (n == NGX_AUTOCERT_FLOW_AUTHZS) {
            return ngx_autocert_flow_nonsense(flow, "order",
                                              "too many authorizations");
        }

        if (authz->type != NGX_AUTOCERT_JSON_STRING
            || authz->value.len > NGX_AUTOCERT_MESSAGE_URL
            || ngx_autocert_message_url(&authz->value, &url) != NGX_OK)
        {
            return ngx_autocert_flow_nonsense(flow, "order",
                                         "an authorization is no https URL");
        }

        if (ngx_autocert_flow_copy(flow, &flow->authzs[n++], &authz->value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    flow->nauthz = n;
    flow->authz = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_order_begin(ngx_autocert_flow_t *flow, ngx_int_t status)
{
    switch (status) {

    case NGX_AUTOCERT_STATUS_PENDING:
        return flow->nauthz ? NGX_AUTOCERT_STEP_AUTHZ
                            : NGX_AUTOCERT_STEP_READY;

    case NGX_AUTOCERT_STATUS_READY:
        return NGX_AUTOCERT_STEP_FINALIZE;

    case NGX_AUTOCERT_STATUS_PROCESSING:
        return NGX_AUTOCERT_STEP_ISSUE;

    default: /* NGX_AUTOCERT_STATUS_VALID */
        return NGX_AUTOCERT_STEP_CERTIFICATE;
    }
}


/* error is the problem document inside an order, a challenge; or NULL */

static ngx_int_t
ngx_autocert_order_invalid(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *error, char *why)
{
    ngx_autocert_problem_t  problem;

    ngx_autocert_order_forget(flow);

    if (ngx_autocert_problem_parse(flow->pool, error, &flow->order->name,
                                   &problem)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (problem.type.len == 0) {
        (void) ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_REFUSED, "%s", why);
        flow->fail.detail = problem.text;
        return NGX_ERROR;
    }

    return ngx_autocert_problem_fail(flow->pool, &problem, &flow->fail);
}


ngx_int_t
ngx_autocert_resume_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    request->method = NGX_AUTOCERT_POST;
    request->url = flow->order->url;

    return NGX_OK;
}


/* an order that is of no use any more is replaced by a new one */

ngx_int_t
ngx_autocert_resume_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t             status;
    ngx_autocert_json_t  *json;

    json = ngx_autocert_flow_object(flow, response, "order");
    if (json == NULL) {
        return NGX_ERROR;
    }

    status = ngx_autocert_order_read(flow, json);
    if (status == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (status == NGX_AUTOCERT_STATUS_INVALID
        || !ngx_autocert_order_about(json, &flow->order->name))
    {
        ngx_autocert_order_forget(flow);
        return NGX_AUTOCERT_STEP_ORDER;
    }

    flow->resumed = 1;

    return ngx_autocert_order_begin(flow, status);
}


ngx_int_t
ngx_autocert_resume_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    (void) ngx_autocert_problem_fail(flow->pool, problem, &flow->fail);

    if (flow->fail.kind != NGX_AUTOCERT_FAIL_REFUSED) {
        return NGX_ERROR;
    }

    ngx_memzero(&flow->fail, sizeof(ngx_autocert_fail_t));
    ngx_autocert_order_forget(flow);

    return NGX_AUTOCERT_STEP_ORDER;
}


static ngx_uint_t
ngx_autocert_order_about(ngx_autocert_json_t *json, ngx_str_t *name)
{
    ngx_autocert_json_t  *array;

    array = ngx_autocert_json_get(json, "identifiers");

    return array
           && array->type == NGX_AUTOCERT_JSON_ARRAY
           && array->child
           && array->child->next == NULL
           && ngx_autocert_order_identifier(array->child, name);
}


/* Addresses have a type of their own (RFC 8738, 3). */

static void
ngx_autocert_order_type(ngx_str_t *name, ngx_str_t *type)
{
    if (ngx_strlchr(name->data, name->data + name->len, ':')
        || ngx_inet_addr(name->data, name->len) != INADDR_NONE)
    {
        ngx_str_set(type, "ip");
        return;
    }

    ngx_str_set(type, "dns");
}


static ngx_uint_t
ngx_autocert_order_identifier(ngx_autocert_json_t *json, ngx_str_t *name)
{
    ngx_str_t  type, value, wanted;

    ngx_autocert_order_type(name, &wanted);

    return ngx_autocert_json_get_string(json, "type", &type) == NGX_OK
           && ngx_autocert_json_get_string(json, "value", &value) == NGX_OK
           && type.len == wanted.len
           && ngx_strncmp(type.data, wanted.data, wanted.len) == 0
           && value.len == name->len
           && ngx_strncasecmp(value.data, name->data, name->len) == 0;
}


ngx_int_t
ngx_autocert_authz_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    request->method = NGX_AUTOCERT_POST;
    request->url = flow->authzs[flow->authz];

    return NGX_OK;
}


/* Returns the status of the authorization. */

static ngx_int_t
ngx_autocert_authz_read(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response, ngx_autocert_json_t **challenges)
{
    ngx_int_t             status;
    ngx_autocert_json_t  *json, *array;

    json = ngx_autocert_flow_object(flow, response, "authorization");
    if (json == NULL) {
        return NGX_ERROR;
    }

    status = ngx_autocert_order_status(flow, json, "authorization");
    if (status == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (!ngx_autocert_order_identifier(
            ngx_autocert_json_get(json, "identifier"), &flow->order->name))
    {
        (void) ngx_autocert_flow_nonsense(flow, "authorization",
                                          "it is not for this name");
        return NGX_ERROR;
    }

    array = ngx_autocert_json_get(json, "challenges");

    if (array == NULL || array->type != NGX_AUTOCERT_JSON_ARRAY) {
        (void) ngx_autocert_flow_nonsense(flow, "authorization",
                                          "it has no list of challenges");
        return NGX_ERROR;
    }

    *challenges = array;

    return status;
}


ngx_int_t
ngx_autocert_authz_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t             status;
    ngx_autocert_json_t  *challenges, *challenge;

    status = ngx_autocert_authz_read(flow, response, &challenges);
    if (status == NGX_ERROR) {
        return NGX_ERROR;
    }

    challenge = ngx_autocert_challenge_find(flow, challenges);

    if (status != NGX_AUTOCERT_STATUS_PENDING) {

        /* what published its token may be gone, and the token still there */

        if (flow->resumed && challenge
            && ngx_autocert_challenge_token(flow, challenge) == NGX_OK)
        {
            flow->published = 1;
        }

        ngx_memzero(&flow->fail, sizeof(ngx_autocert_fail_t));

        if (status == NGX_AUTOCERT_STATUS_VALID) {
            return ngx_autocert_authz_next(flow);
        }

        return ngx_autocert_authz_invalid(flow, challenges);
    }

    if (challenge == NULL) {
        return ngx_autocert_challenge_missing(flow, challenges);
    }

    if (ngx_autocert_flow_url(flow, challenge, "challenge", "url",
                              &flow->challenge)
        != NGX_OK
        || ngx_autocert_challenge_token(flow, challenge) != NGX_OK)
    {
        return NGX_ERROR;
    }

    status = ngx_autocert_order_status(flow, challenge, "challenge");

    switch (status) {

    case NGX_ERROR:
        return NGX_ERROR;

    case NGX_AUTOCERT_STATUS_INVALID:
        return ngx_autocert_authz_invalid(flow, challenges);

    case NGX_AUTOCERT_STATUS_PENDING:

        if (!flow->resumed) {
            return NGX_AUTOCERT_STEP_CHALLENGE;
        }

        /*
         * Answered before, it seems: a second answer begins a validation
         * that may outlast the first, and the token.
         */

        flow->answer_at = flow->now + NGX_AUTOCERT_ORDER_ANSWERED;
        return NGX_AUTOCERT_STEP_VALIDATE;

    default:
        return NGX_AUTOCERT_STEP_VALIDATE;
    }
}


/*
 * RFC 8555, 7.4: with all authorizations valid the order may be finalized;
 * a CA that lags behind says orderNotReady.
 */

static ngx_int_t
ngx_autocert_authz_next(ngx_autocert_flow_t *flow)
{
    flow->authz++;

    return (flow->authz < flow->nauthz) ? NGX_AUTOCERT_STEP_AUTHZ
                                        : NGX_AUTOCERT_STEP_FINALIZE;
}


static ngx_int_t
ngx_autocert_authz_invalid(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *challenges)
{
    ngx_autocert_json_t  *challenge, *error;

    error = NULL;
    challenge = ngx_autocert_challenge_find(flow, challenges);

    if (challenge) {
        error = ngx_autocert_json_get(challenge, "error");
    }

    /* it may have been another challenge that failed before */

    for (challenge = challenges->child;
         challenge && error == NULL;
         challenge = challenge->next)
    {
        error = ngx_autocert_json_get(challenge, "error");
    }

    return ngx_autocert_order_invalid(flow, error,
                                      "the authorization is not valid");
}


ngx_int_t
ngx_autocert_validate_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_autocert_json_t  *challenges, *challenge;

    switch (ngx_autocert_authz_read(flow, response, &challenges)) {

    case NGX_ERROR:
        return NGX_ERROR;

    case NGX_AUTOCERT_STATUS_VALID:
        return ngx_autocert_authz_next(flow);

    case NGX_AUTOCERT_STATUS_INVALID:
        return ngx_autocert_authz_invalid(flow, challenges);

    default:
        break;
    }

    challenge = ngx_autocert_challenge_find(flow, challenges);

    if (ngx_autocert_challenge_is(challenge, "invalid")) {
        return ngx_autocert_authz_invalid(flow, challenges);
    }

    if (flow->answer_at
        && flow->now >= flow->answer_at
        && ngx_autocert_challenge_is(challenge, "pending"))
    {
        flow->answer_at = 0;
        return NGX_AUTOCERT_STEP_CHALLENGE;
    }

    return NGX_AGAIN;
}


static ngx_uint_t
ngx_autocert_challenge_is(ngx_autocert_json_t *challenge, const char *wanted)
{
    ngx_str_t  status;

    return challenge
           && ngx_autocert_json_get_string(challenge, "status", &status)
              == NGX_OK
           && status.len == ngx_strlen(wanted)
           && ngx_strncmp(status.data, wanted, status.len) == 0;
}


static ngx_autocert_json_t *
ngx_autocert_challenge_find(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *challenges)
{
    ngx_str_t             type, *wanted;
    ngx_autocert_json_t  *challenge;

    wanted = &flow->order->challenge;

    for (challenge = challenges->child;
         challenge;
         challenge = challenge->next)
    {
        if (ngx_autocert_json_get_string(challenge, "type", &type) == NGX_OK
            && type.len == wanted->len
            && ngx_strncmp(type.data, wanted->data, wanted->len) == 0)
        {
            return challenge;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_autocert_challenge_missing(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *challenges)
{
    u_char                buf[256], *p;
    ngx_str_t             type, text;
    ngx_autocert_json_t  *challenge;

    flow->missing = 1;

    p = ngx_cpymem(buf, "offered:", sizeof("offered:") - 1);

    for (challenge = challenges->child;
         challenge;
         challenge = challenge->next)
    {
        if (ngx_autocert_json_get_string(challenge, "type", &type) == NGX_OK) {
            p = ngx_slprintf(p, buf + sizeof(buf), " %V", &type);
        }
    }

    (void) ngx_autocert_fail(&flow->fail, flow->pool,
                             NGX_AUTOCERT_FAIL_REFUSED,
                             "the CA does not offer the challenge %V",
                             &flow->order->challenge);

    text.data = buf;
    text.len = p - buf;

    (void) ngx_autocert_fail_text(flow->pool, &text, sizeof(buf),
                                  &flow->fail.detail);
    return NGX_ERROR;
}


/* the token becomes part of a path, a file, a response: nothing odd in it */

static ngx_int_t
ngx_autocert_challenge_token(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *challenge)
{
    ngx_str_t  token;

    if (ngx_autocert_json_get_string(challenge, "token", &token) != NGX_OK) {
        return ngx_autocert_flow_nonsense(flow, "challenge",
                                          "it has no token");
    }

    if (token.len < NGX_AUTOCERT_TOKEN_MIN
        || token.len > NGX_AUTOCERT_TOKEN_MAX)
    {
        return ngx_autocert_flow_nonsense(flow, "challenge",
                                          "its token is too short or long");
    }

    if (!ngx_autocert_base64_is(&token)) {
        return ngx_autocert_flow_nonsense(flow, "challenge",
                                          "its token is not base64url");
    }

    if (ngx_autocert_flow_copy(flow, &flow->token, &token) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_autocert_jose_key_authorization(flow->pool, &flow->issuer->key,
                                               &flow->token,
                                               &flow->key_authorization);
}


/* RFC 8555, 7.5.1: an empty object, which is not a POST-as-GET */

ngx_int_t
ngx_autocert_challenge_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    request->method = NGX_AUTOCERT_POST;
    request->url = flow->challenge;
    ngx_str_set(&request->body, "{}");

    return NGX_OK;
}


ngx_int_t
ngx_autocert_challenge_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t             status;
    ngx_autocert_json_t  *json;

    json = ngx_autocert_flow_object(flow, response, "challenge");
    if (json == NULL) {
        return NGX_ERROR;
    }

    status = ngx_autocert_order_status(flow, json, "challenge");

    switch (status) {

    case NGX_ERROR:
        return NGX_ERROR;

    case NGX_AUTOCERT_STATUS_INVALID:
        return ngx_autocert_order_invalid(flow,
                                          ngx_autocert_json_get(json, "error"),
                                          "the challenge has failed");

    default:
        return NGX_AUTOCERT_STEP_VALIDATE;
    }
}


/* repeated after a lost response, it may be too late: the CA is at it */

ngx_int_t
ngx_autocert_challenge_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    (void) ngx_autocert_problem_fail(flow->pool, problem, &flow->fail);

    if (flow->nlost == 0 || flow->fail.kind != NGX_AUTOCERT_FAIL_REFUSED) {
        return NGX_ERROR;
    }

    ngx_memzero(&flow->fail, sizeof(ngx_autocert_fail_t));

    return NGX_AUTOCERT_STEP_VALIDATE;
}


/* an order whose authorizations are done is ready in a moment */

ngx_int_t
ngx_autocert_ready_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t             status;
    ngx_autocert_json_t  *json;

    json = ngx_autocert_flow_object(flow, response, "order");
    if (json == NULL) {
        return NGX_ERROR;
    }

    status = ngx_autocert_order_read(flow, json);

    switch (status) {

    case NGX_ERROR:
        return NGX_ERROR;

    case NGX_AUTOCERT_STATUS_PENDING:
        return NGX_AGAIN;

    case NGX_AUTOCERT_STATUS_INVALID:
        return ngx_autocert_order_invalid(flow,
                                          ngx_autocert_json_get(json, "error"),
                                          "the order is invalid");

    default:
        return ngx_autocert_order_begin(flow, status);
    }
}


ngx_int_t
ngx_autocert_finalize_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    ngx_str_t                   csr;
    ngx_autocert_json_writer_t  w;

    request->method = NGX_AUTOCERT_POST;
    request->url = flow->finalize;

    csr.len = ngx_autocert_base64_length(flow->order->csr.len);
    csr.data = ngx_pnalloc(flow->pool, csr.len);
    if (csr.data == NULL) {
        return NGX_ERROR;
    }

    ngx_autocert_base64_encode(csr.data, flow->order->csr.data,
                               flow->order->csr.len);

    if (ngx_autocert_json_writer_init(&w, flow->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_string(&w, "csr", &csr);
    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, &request->body);
}


ngx_int_t
ngx_autocert_finalize_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t  rc;

    rc = ngx_autocert_issue_response(flow, response);

    return (rc == NGX_AGAIN) ? NGX_AUTOCERT_STEP_ISSUE : rc;
}


ngx_int_t
ngx_autocert_finalize_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    if (ngx_autocert_problem_is(problem, "orderNotReady")
        && flow->nready++ < NGX_AUTOCERT_ORDER_NOT_READY)
    {
        return NGX_AUTOCERT_STEP_READY;
    }

    return ngx_autocert_problem_fail(flow->pool, problem, &flow->fail);
}


/* just finalized, it may look ready for a while where the CA's parts lag */

ngx_int_t
ngx_autocert_issue_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t  rc;

    rc = ngx_autocert_ready_response(flow, response);

    return (rc == NGX_AUTOCERT_STEP_ISSUE || rc == NGX_AUTOCERT_STEP_FINALIZE)
           ? NGX_AGAIN : rc;
}


ngx_int_t
ngx_autocert_certificate_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    request->method = NGX_AUTOCERT_POST;
    request->url = flow->certificate;
    ngx_str_set(&request->accept, "application/pem-certificate-chain");

    return NGX_OK;
}


ngx_int_t
ngx_autocert_certificate_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    size_t      i;
    u_char      c;
    ngx_str_t  *body, *type;

    static ngx_str_t  pem = ngx_string("application/pem-certificate-chain");
    static ngx_str_t  begin = ngx_string("-----BEGIN CERTIFICATE-----");

    type = &response->content_type;

    if (type->len != pem.len
        || ngx_strncmp(type->data, pem.data, pem.len) != 0)
    {
        return ngx_autocert_flow_nonsense(flow, "certificate",
                                          "its media type is another");
    }

    body = &response->body;

    if (body->len < begin.len
        || ngx_strncmp(body->data, begin.data, begin.len) != 0)
    {
        return ngx_autocert_flow_nonsense(flow, "certificate",
                                          "it does not begin as PEM does");
    }

    for (i = 0; i < body->len; i++) {
        c = body->data[i];

        if ((c < 0x20 && c != CR && c != LF && c != '\t') || c > 0x7e) {
            return ngx_autocert_flow_nonsense(flow, "certificate",
                                              "it is no text");
        }
    }

    if (ngx_autocert_flow_copy(flow, &flow->order->chain, body) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_DONE;
}
