
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_account.h"
#include "ngx_autocert_order.h"
#include "ngx_autocert_problem.h"
#include "ngx_autocert_revocation.h"


#define NGX_AUTOCERT_DIRECTORY_AGE  86400   /* read again after, seconds */

/* places in issuer->urls */

#define NGX_AUTOCERT_URL_NONCE      0
#define NGX_AUTOCERT_URL_ACCOUNT    1
#define NGX_AUTOCERT_URL_ORDER      2
#define NGX_AUTOCERT_URL_TERMS      3
#define NGX_AUTOCERT_URL_KID        4
#define NGX_AUTOCERT_URL_RENEWAL    5
#define NGX_AUTOCERT_URL_REVOKE     6


static void ngx_autocert_directory_optional(ngx_autocert_json_t *json,
    const char *name, ngx_str_t *url);
static ngx_int_t ngx_autocert_issuer_put(ngx_autocert_issuer_t *issuer,
    ngx_uint_t n, ngx_str_t *dst, ngx_str_t *src);
static ngx_int_t ngx_autocert_contacts_put(ngx_autocert_flow_t *flow,
    ngx_autocert_json_writer_t *w);


ngx_int_t
ngx_autocert_account_next(ngx_autocert_flow_t *flow)
{
    ngx_autocert_issuer_t  *issuer;

    issuer = flow->issuer;

    /* a clock that was set back makes the directory old, too */

    if (issuer->read_at == 0
        || flow->now < issuer->read_at
        || flow->now - issuer->read_at >= NGX_AUTOCERT_DIRECTORY_AGE)
    {
        return NGX_AUTOCERT_STEP_DIRECTORY;
    }

    if (flow->goal == NGX_AUTOCERT_GOAL_WINDOW) {
        return (issuer->renewal_info.len && flow->order->certid.len)
               ? NGX_AUTOCERT_STEP_WINDOW : NGX_DONE;
    }

    if (flow->goal == NGX_AUTOCERT_GOAL_REVOCATION) {
        return ngx_autocert_revocation_next(flow);
    }

    if (issuer->kid.len == 0) {
        return NGX_AUTOCERT_STEP_ACCOUNT;
    }

    if (flow->goal == NGX_AUTOCERT_GOAL_CONTACTS) {
        return NGX_AUTOCERT_STEP_CONTACTS;
    }

    if (flow->order->url.len) {
        return NGX_AUTOCERT_STEP_RESUME;
    }

    return NGX_AUTOCERT_STEP_ORDER;
}


ngx_int_t
ngx_autocert_directory_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    request->method = NGX_AUTOCERT_GET;
    request->url = flow->issuer->directory;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_directory_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t               rc;
    ngx_str_t               nonce, account, order, renewal, revoke, terms;
    ngx_str_t               text;
    ngx_autocert_json_t    *json;
    ngx_autocert_issuer_t  *issuer;

    json = ngx_autocert_flow_object(flow, response, "directory");

    if (json == NULL
        || ngx_autocert_flow_url(flow, json, "directory", "newNonce", &nonce)
           != NGX_OK
        || ngx_autocert_flow_url(flow, json, "directory", "newAccount",
                                 &account)
           != NGX_OK
        || ngx_autocert_flow_url(flow, json, "directory", "newOrder", &order)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_null(&text);

    rc = ngx_autocert_json_get_string(ngx_autocert_json_get(json, "meta"),
                                      "termsOfService", &terms);

    if (rc == NGX_ERROR) {
        return ngx_autocert_flow_nonsense(flow, "directory",
                                          "termsOfService is no string");
    }

    if (rc == NGX_OK
        && ngx_autocert_fail_text(flow->pool, &terms,
                                  NGX_AUTOCERT_MESSAGE_URL, &text)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_autocert_directory_optional(json, "renewalInfo", &renewal);
    ngx_autocert_directory_optional(json, "revokeCert", &revoke);

    issuer = flow->issuer;

    if (ngx_autocert_issuer_put(issuer, NGX_AUTOCERT_URL_NONCE,
                                &issuer->new_nonce, &nonce)
        != NGX_OK
        || ngx_autocert_issuer_put(issuer, NGX_AUTOCERT_URL_ACCOUNT,
                                   &issuer->new_account, &account)
           != NGX_OK
        || ngx_autocert_issuer_put(issuer, NGX_AUTOCERT_URL_ORDER,
                                   &issuer->new_order, &order)
           != NGX_OK
        || ngx_autocert_issuer_put(issuer, NGX_AUTOCERT_URL_RENEWAL,
                                   &issuer->renewal_info, &renewal)
           != NGX_OK
        || ngx_autocert_issuer_put(issuer, NGX_AUTOCERT_URL_REVOKE,
                                   &issuer->revoke_cert, &revoke)
           != NGX_OK
        || ngx_autocert_issuer_put(issuer, NGX_AUTOCERT_URL_TERMS,
                                   &issuer->terms, &text)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    issuer->read_at = flow->now;

    return ngx_autocert_account_next(flow);
}


/* An address of no use is as good as none. */

static void
ngx_autocert_directory_optional(ngx_autocert_json_t *json, const char *name,
    ngx_str_t *url)
{
    ngx_autocert_url_t  parts;

    if (ngx_autocert_json_get_string(json, name, url) != NGX_OK
        || url->len > NGX_AUTOCERT_MESSAGE_URL
        || ngx_autocert_message_url(url, &parts) != NGX_OK)
    {
        ngx_str_null(url);
    }
}


/* the strings of an issuer are replaced for years: each has its own room */

static ngx_int_t
ngx_autocert_issuer_put(ngx_autocert_issuer_t *issuer, ngx_uint_t n,
    ngx_str_t *dst, ngx_str_t *src)
{
    size_t  size;

    size = NGX_AUTOCERT_MESSAGE_URL;

    if (issuer->urls == NULL) {
        issuer->urls = ngx_pnalloc(issuer->pool,
                                   NGX_AUTOCERT_FLOW_URLS * size);
        if (issuer->urls == NULL) {
            return NGX_ERROR;
        }
    }

    dst->data = issuer->urls + n * size;
    dst->len = ngx_min(src->len, size);

    if (dst->len) {
        ngx_memcpy(dst->data, src->data, dst->len);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_nonce_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    request->method = NGX_AUTOCERT_HEAD;
    request->url = flow->issuer->new_nonce;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_nonce_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    (void) response;

    if (flow->issuer->nnonces == 0) {
        return ngx_autocert_flow_nonsense(flow, "answer to newNonce",
                                          "there is no valid nonce in it");
    }

    return flow->step;
}


void
ngx_autocert_nonce_put(ngx_autocert_issuer_t *issuer, ngx_str_t *nonce)
{
    size_t                 i;
    u_char                 c;
    ngx_autocert_nonce_t  *n;

    if (nonce->len == 0 || nonce->len > NGX_AUTOCERT_FLOW_NONCE) {
        return;
    }

    /* RFC 8555, 6.5.1: a client must ignore what is not base64url */

    for (i = 0; i < nonce->len; i++) {
        c = nonce->data[i];

        if ((c < '0' || c > '9') && (c < 'A' || c > 'Z')
            && (c < 'a' || c > 'z') && c != '-' && c != '_')
        {
            return;
        }
    }

    if (issuer->nnonces == NGX_AUTOCERT_FLOW_NONCES) {
        ngx_memmove(&issuer->nonces[0], &issuer->nonces[1],
                    (NGX_AUTOCERT_FLOW_NONCES - 1)
                    * sizeof(ngx_autocert_nonce_t));
        issuer->nnonces--;
    }

    n = &issuer->nonces[issuer->nnonces++];

    n->len = nonce->len;
    ngx_memcpy(n->data, nonce->data, nonce->len);
}


ngx_int_t
ngx_autocert_nonce_get(ngx_autocert_issuer_t *issuer, ngx_str_t *nonce)
{
    if (issuer->nnonces == 0) {
        return NGX_DECLINED;
    }

    issuer->nnonces--;

    nonce->len = issuer->nonces[issuer->nnonces].len;
    nonce->data = issuer->nonces[issuer->nnonces].data;

    return NGX_OK;
}


/* RFC 8555, 7.3: the answer is the account, a new one or that of the key */

ngx_int_t
ngx_autocert_account_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    ngx_array_t                *contacts;
    ngx_autocert_json_writer_t  w;

    request->method = NGX_AUTOCERT_POST;
    request->url = flow->issuer->new_account;

    if (ngx_autocert_json_writer_init(&w, flow->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_bool(&w, "termsOfServiceAgreed", 1);

    contacts = flow->issuer->contacts;

    if (contacts && contacts->nelts
        && ngx_autocert_contacts_put(flow, &w) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, &request->body);
}


static ngx_int_t
ngx_autocert_contacts_put(ngx_autocert_flow_t *flow,
    ngx_autocert_json_writer_t *w)
{
    ngx_str_t     mailto, *contact;
    ngx_uint_t    i, n;
    ngx_array_t  *contacts;

    contacts = flow->issuer->contacts;
    contact = contacts ? contacts->elts : NULL;
    n = contacts ? contacts->nelts : 0;

    ngx_autocert_json_open(w, "contact", '[');

    for (i = 0; i < n; i++) {
        mailto.len = sizeof("mailto:") - 1 + contact[i].len;
        mailto.data = ngx_pnalloc(flow->pool, mailto.len);
        if (mailto.data == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(mailto.data, "mailto:%V", &contact[i]);
        ngx_autocert_json_put_string(w, NULL, &mailto);
    }

    ngx_autocert_json_close(w, ']');

    return NGX_OK;
}


ngx_int_t
ngx_autocert_account_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    ngx_int_t               rc;
    ngx_str_t               status;
    ngx_autocert_url_t      url;
    ngx_autocert_json_t    *json;
    ngx_autocert_issuer_t  *issuer;

    json = ngx_autocert_flow_object(flow, response, "account");
    if (json == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_autocert_json_get_string(json, "status", &status);

    if (rc != NGX_OK) {
        return ngx_autocert_flow_nonsense(flow, "account",
                                          "it has no status");
    }

    if (status.len != 5 || ngx_strncmp(status.data, "valid", 5) != 0) {
        (void) ngx_autocert_fail(&flow->fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "the account at the CA is not valid");

        (void) ngx_autocert_fail_text(flow->pool, &status, 64,
                                      &flow->fail.detail);
        return NGX_ERROR;
    }

    if (ngx_autocert_message_url(&response->location, &url) != NGX_OK
        || response->location.len > NGX_AUTOCERT_MESSAGE_URL)
    {
        return ngx_autocert_flow_nonsense(flow, "account",
                                          "it has no https URL in Location");
    }

    issuer = flow->issuer;

    if (ngx_autocert_issuer_put(issuer, NGX_AUTOCERT_URL_KID, &issuer->kid,
                                &response->location)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    flow->save_account = 1;

    /* RFC 8555, 7.3.1: one that there was has the contacts of then */

    if (flow->goal == NGX_AUTOCERT_GOAL_CONTACTS && response->status == 201) {
        return NGX_DONE;
    }

    return ngx_autocert_account_next(flow);
}


/* whatever is wrong with an account, it is not mended by waiting */

ngx_int_t
ngx_autocert_account_refused(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    (void) ngx_autocert_problem_fail(flow->pool, problem, &flow->fail);

    if (flow->fail.kind == NGX_AUTOCERT_FAIL_REFUSED) {
        flow->fail.kind = NGX_AUTOCERT_FAIL_CONFIGURATION;
    }

    if (ngx_autocert_problem_is(problem, "unauthorized")) {
        ngx_str_set(&flow->fail.why, "the CA refuses the account");
    }

    return NGX_ERROR;
}


/* RFC 8555, 7.3.2: without contacts the list is empty, not absent */

ngx_int_t
ngx_autocert_contacts_request(ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    ngx_autocert_json_writer_t  w;

    request->method = NGX_AUTOCERT_POST;
    request->url = flow->issuer->kid;

    if (ngx_autocert_json_writer_init(&w, flow->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');

    if (ngx_autocert_contacts_put(flow, &w) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, &request->body);
}


ngx_int_t
ngx_autocert_contacts_response(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response)
{
    (void) response;

    flow->save_account = 1;

    return NGX_DONE;
}


ngx_int_t
ngx_autocert_account_lost(ngx_autocert_flow_t *flow,
    ngx_autocert_problem_t *problem)
{
    if (flow->registered || flow->issuer->kid.len == 0) {
        return ngx_autocert_problem_fail(flow->pool, problem, &flow->fail);
    }

    flow->registered = 1;
    flow->issuer->kid.len = 0;
    flow->save_account = 1;

    /* the certificate before was given to an account that is no more */

    flow->alone = 1;

    ngx_autocert_order_forget(flow);

    return ngx_autocert_account_next(flow);
}
