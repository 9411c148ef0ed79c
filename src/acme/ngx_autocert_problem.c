
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_time.h"
#include "ngx_autocert_limit.h"
#include "ngx_autocert_problem.h"


#define NGX_AUTOCERT_PROBLEM_BODY  256      /* of what is no document */


typedef struct {
    char        *type;
    ngx_uint_t   kind;
    char        *why;
    ngx_uint_t   lasting;
} ngx_autocert_problem_type_t;


/* Under construction; a character more, so that the last one is whole. */

typedef struct {
    u_char      *last;
    u_char       data[NGX_AUTOCERT_PROBLEM_TEXT + 4];
} ngx_autocert_problem_text_t;


static void ngx_autocert_problem_type(ngx_autocert_json_t *json,
    ngx_str_t *type);
static ngx_uint_t ngx_autocert_problem_detail(ngx_autocert_json_t *json,
    ngx_str_t *detail);
static void ngx_autocert_problem_sentence(ngx_autocert_problem_text_t *text,
    ngx_str_t *type, ngx_autocert_json_t *json);
static void ngx_autocert_problem_subproblem(ngx_autocert_problem_text_t *text,
    ngx_autocert_json_t *json, ngx_str_t *name,
    ngx_autocert_problem_t *problem);
static void ngx_autocert_problem_put(ngx_autocert_problem_text_t *text,
    const char *before, ngx_str_t *more);
static const ngx_autocert_problem_type_t *ngx_autocert_problem_find(
    ngx_str_t *type);
static ngx_int_t ngx_autocert_problem_append(ngx_pool_t *pool,
    ngx_str_t *text, char *before, ngx_str_t *more, char *after);
static ngx_int_t ngx_autocert_problem_body(ngx_pool_t *pool,
    ngx_autocert_response_t *response, ngx_autocert_problem_t *problem);
static ngx_int_t ngx_autocert_problem_link(ngx_pool_t *pool,
    ngx_autocert_response_t *response, const char *rel,
    ngx_autocert_problem_t *problem);


static ngx_str_t  ngx_autocert_problem_prefix =
    ngx_string("urn:ietf:params:acme:error:");


/* What is not here is judged by its status. */

static const ngx_autocert_problem_type_t  ngx_autocert_problem_types[] = {

    { "rateLimited", NGX_AUTOCERT_FAIL_LIMITED,
      "a rate limit of the CA is reached", 0 },

    { "serverInternal", NGX_AUTOCERT_FAIL_NETWORK,
      "the CA has an internal error", 0 },

    { "badNonce", NGX_AUTOCERT_FAIL_NETWORK,
      "the CA accepts no nonce", 0 },

    { "externalAccountRequired", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA wants an external account binding", 0 },

    { "userActionRequired", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA wants the owner of the account to act", 0 },

    { "agreementRequired", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA wants its terms of service to be agreed to", 0 },

    { "accountDoesNotExist", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA does not know the account", 0 },

    { "invalidContact", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA refuses the contact address", 0 },

    { "unsupportedContact", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA refuses the contact address", 0 },

    { "badPublicKey", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA refuses the public key", 0 },

    { "badSignatureAlgorithm", NGX_AUTOCERT_FAIL_CONFIGURATION,
      "the CA refuses ES256 signatures", 0 },

    { "rejectedIdentifier", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA does not sign this name", 1 },

    { "unsupportedIdentifier", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA does not sign names of this kind", 1 },

    { "caa", NGX_AUTOCERT_FAIL_REFUSED,
      "a CAA record forbids this CA to sign the name", 1 },

    { "dns", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA could not look the name up", 0 },

    { "connection", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA could not connect to the name", 0 },

    { "tls", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA could not make a TLS connection to the name", 0 },

    { "incorrectResponse", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA got another answer to its challenge than it expected", 0 },

    { "unauthorized", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA found no authorization", 0 },

    { "badCSR", NGX_AUTOCERT_FAIL_REFUSED,
      "the CA refuses the certificate signing request", 0 },

    { NULL, 0, NULL, 0 }
};


ngx_int_t
ngx_autocert_problem_parse(ngx_pool_t *pool, ngx_autocert_json_t *json,
    ngx_str_t *name, ngx_autocert_problem_t *problem)
{
    ngx_str_t                    type, instance, whole;
    ngx_autocert_problem_text_t  text;

    ngx_memzero(problem, sizeof(ngx_autocert_problem_t));

    if (json == NULL || json->type != NGX_AUTOCERT_JSON_OBJECT) {
        return NGX_OK;
    }

    ngx_autocert_problem_type(json, &type);

    if (ngx_autocert_fail_text(pool, &type, NGX_AUTOCERT_PROBLEM_BODY,
                               &problem->type)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    problem->lasting = ngx_autocert_problem_find(&type)->lasting;

    text.last = text.data;

    ngx_autocert_problem_sentence(&text, &problem->type, json);
    ngx_autocert_problem_subproblem(&text, json, name, problem);

    /* RFC 8555, 6.7 and 7.3.3: where a person may look or act */

    if (ngx_autocert_json_get_string(json, "instance", &instance) == NGX_OK) {
        ngx_autocert_problem_put(&text, " ", &instance);
    }

    whole.data = text.data;
    whole.len = text.last - text.data;

    return ngx_autocert_fail_text(pool, &whole, NGX_AUTOCERT_PROBLEM_TEXT,
                                  &problem->text);
}


static void
ngx_autocert_problem_type(ngx_autocert_json_t *json, ngx_str_t *type)
{
    ngx_str_t  *prefix;

    prefix = &ngx_autocert_problem_prefix;

    if (ngx_autocert_json_get_string(json, "type", type) != NGX_OK) {
        ngx_str_null(type);
        return;
    }

    if (type->len > prefix->len
        && ngx_strncmp(type->data, prefix->data, prefix->len) == 0)
    {
        type->data += prefix->len;
        type->len -= prefix->len;
    }
}


static ngx_uint_t
ngx_autocert_problem_detail(ngx_autocert_json_t *json, ngx_str_t *detail)
{
    return (ngx_autocert_json_get_string(json, "detail", detail) == NGX_OK
            || ngx_autocert_json_get_string(json, "title", detail) == NGX_OK)
           && detail->len;
}


/* "type: detail", or the one of them that is there */

static void
ngx_autocert_problem_sentence(ngx_autocert_problem_text_t *text,
    ngx_str_t *type, ngx_autocert_json_t *json)
{
    ngx_str_t  detail;

    if (type->len) {
        ngx_autocert_problem_put(text, "", type);
    }

    if (ngx_autocert_problem_detail(json, &detail)) {
        ngx_autocert_problem_put(text, type->len ? ": " : "", &detail);
    }
}


/* RFC 8555, 6.7.1: subproblems of other names are left out */

static void
ngx_autocert_problem_subproblem(ngx_autocert_problem_text_t *text,
    ngx_autocert_json_t *json, ngx_str_t *name,
    ngx_autocert_problem_t *problem)
{
    ngx_str_t             value, type;
    ngx_autocert_json_t  *array, *sub;

    static ngx_str_t  open = ngx_string(" ("), close = ngx_string(")");

    array = ngx_autocert_json_get(json, "subproblems");

    if (array == NULL || array->type != NGX_AUTOCERT_JSON_ARRAY) {
        return;
    }

    for (sub = array->child; sub; sub = sub->next) {

        if (text->last == text->data + sizeof(text->data)) {
            break;
        }

        if (ngx_autocert_json_get_string(
                ngx_autocert_json_get(sub, "identifier"), "value", &value)
            == NGX_OK
            && (value.len != name->len
                || ngx_strncasecmp(value.data, name->data, name->len) != 0))
        {
            continue;
        }

        ngx_autocert_problem_type(sub, &type);

        if (ngx_autocert_problem_find(&type)->lasting) {
            problem->lasting = 1;
        }

        if (type.len || ngx_autocert_problem_detail(sub, &value)) {
            ngx_autocert_problem_put(text, "", &open);
            ngx_autocert_problem_sentence(text, &type, sub);
            ngx_autocert_problem_put(text, "", &close);
        }
    }
}


/* What there is no room for is left out. */

static void
ngx_autocert_problem_put(ngx_autocert_problem_text_t *text,
    const char *before, ngx_str_t *more)
{
    text->last = ngx_slprintf(text->last, text->data + sizeof(text->data),
                              "%s%V", before, more);
}


static ngx_int_t
ngx_autocert_problem_append(ngx_pool_t *pool, ngx_str_t *text, char *before,
    ngx_str_t *more, char *after)
{
    u_char  *p, *start;
    size_t   len;

    len = ngx_min(more->len, NGX_AUTOCERT_PROBLEM_TEXT);

    start = ngx_pnalloc(pool, text->len + ngx_strlen(before) + len
                              + ngx_strlen(after));
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = start;

    if (text->len) {
        p = ngx_cpymem(p, text->data, text->len);
    }

    p = ngx_cpymem(p, before, ngx_strlen(before));

    if (len) {
        p = ngx_cpymem(p, more->data, len);
    }

    p = ngx_cpymem(p, after, ngx_strlen(after));

    text->data = start;
    text->len = p - start;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_problem_response(ngx_pool_t *pool,
    ngx_autocert_response_t *response, ngx_str_t *name, time_t now,
    ngx_autocert_problem_t *problem)
{
    char                 *err;
    ngx_autocert_json_t  *json;

    json = ngx_autocert_json_parse(response->pool, &response->body, &err);

    if (ngx_autocert_problem_parse(pool, json, name, problem) != NGX_OK) {
        return NGX_ERROR;
    }

    if (problem->text.len == 0
        && ngx_autocert_problem_body(pool, response, problem) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_problem_link(pool, response, "help", problem) != NGX_OK
        || ngx_autocert_problem_link(pool, response, "terms-of-service",
                                     problem)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    problem->status = response->status;

    if (ngx_autocert_time_retry(&response->retry_after, now,
                                &problem->retry_at)
        != NGX_OK)
    {
        problem->retry_at = 0;

        if (ngx_autocert_problem_is(problem, "rateLimited")) {
            problem->retry_at = ngx_autocert_limit_retry(&problem->text, now);
        }
    }

    return NGX_OK;
}


/* no problem document: a proxy's page, or a server that is no CA */

static ngx_int_t
ngx_autocert_problem_body(ngx_pool_t *pool, ngx_autocert_response_t *response,
    ngx_autocert_problem_t *problem)
{
    ngx_str_t  body;

    if (response->body.len == 0) {
        return NGX_OK;
    }

    if (ngx_autocert_fail_text(pool, &response->body,
                               NGX_AUTOCERT_PROBLEM_BODY, &body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_autocert_problem_append(pool, &problem->text, "\"", &body,
                                       "\"");
}


static ngx_int_t
ngx_autocert_problem_link(ngx_pool_t *pool, ngx_autocert_response_t *response,
    const char *rel, ngx_autocert_problem_t *problem)
{
    ngx_str_t  target, text;

    if (ngx_autocert_message_link(response, rel, 0, &target) != NGX_OK) {
        return NGX_OK;
    }

    if (ngx_autocert_fail_text(pool, &target, NGX_AUTOCERT_PROBLEM_BODY,
                               &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_autocert_problem_append(pool, &problem->text,
                                       problem->text.len ? " " : "", &text,
                                       "");
}


ngx_uint_t
ngx_autocert_problem_is(ngx_autocert_problem_t *problem, const char *type)
{
    return problem->type.len == ngx_strlen(type)
           && ngx_strncmp(problem->type.data, type, problem->type.len) == 0;
}


/* Never NULL: what is not known has no why. */

static const ngx_autocert_problem_type_t *
ngx_autocert_problem_find(ngx_str_t *type)
{
    const ngx_autocert_problem_type_t  *known;

    for (known = ngx_autocert_problem_types; known->type; known++) {

        if (type->len == ngx_strlen(known->type)
            && ngx_strncmp(type->data, known->type, type->len) == 0)
        {
            break;
        }
    }

    return known;
}


ngx_int_t
ngx_autocert_problem_fail(ngx_pool_t *pool, ngx_autocert_problem_t *problem,
    ngx_autocert_fail_t *fail)
{
    char                               *why;
    ngx_uint_t                          kind;
    const ngx_autocert_problem_type_t  *type;

    type = ngx_autocert_problem_find(&problem->type);
    kind = type->kind;
    why = type->why;

    if (why == NULL) {
        kind = (problem->status >= 500) ? NGX_AUTOCERT_FAIL_NETWORK
                                        : NGX_AUTOCERT_FAIL_REFUSED;
        why = (problem->status >= 500) ? "the CA is out of order"
                                       : "the CA refuses";
    }

    if (problem->status == 429 || problem->status == 503) {
        why = (kind == NGX_AUTOCERT_FAIL_LIMITED) ? why
                                                  : "the CA says: later";
        kind = NGX_AUTOCERT_FAIL_LIMITED;
    }

    if (kind == NGX_AUTOCERT_FAIL_NETWORK && problem->retry_at) {
        kind = NGX_AUTOCERT_FAIL_LIMITED;
    }

    if (problem->status) {
        (void) ngx_autocert_fail(fail, pool, kind, "%s (status %ui)", why,
                                 problem->status);

    } else {
        (void) ngx_autocert_fail(fail, pool, kind, "%s", why);
    }

    /* without memory for it the failure is told without */

    if (problem->text.len) {
        fail->detail.data = ngx_pstrdup(pool, &problem->text);
        fail->detail.len = fail->detail.data ? problem->text.len : 0;
    }

    fail->retry_at = problem->retry_at;
    fail->lasting = (kind == NGX_AUTOCERT_FAIL_REFUSED && problem->lasting);

    return NGX_ERROR;
}
