
/* A scripted CA, and flows that run against it. */


#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "../../src/acme/ngx_autocert_flow.h"
#include "../../src/base/ngx_autocert_base64.h"
#include "ngx_stub.h"


#define NOW       1700000000
#define CA        "https://ca.test/"
#define LOST      1
#define NONCE     9           /* number of the first: lengths differ */
#define RULES     6
#define ACTIONS   600
#define TOKEN     "dG9rZW4tb2YtdGhlLXRlc3Q"

#define NETWORK   NGX_AUTOCERT_FAIL_NETWORK
#define REFUSED   NGX_AUTOCERT_FAIL_REFUSED
#define LIMITED   NGX_AUTOCERT_FAIL_LIMITED
#define CONFIG    NGX_AUTOCERT_FAIL_CONFIGURATION
#define INTERNAL  NGX_AUTOCERT_FAIL_INTERNAL

#define URL_OF(s)  ((s).len ? (s).data : (u_char *) "")

#define PROBLEM(type, detail)                                                 \
    "{\"type\":\"urn:ietf:params:acme:error:" type "\","                      \
    "\"detail\":\"" detail "\"}"

#define IDENTIFIER  "{\"type\":\"dns\",\"value\":\"Example.org\"}"

#define ORDER(status, more)                                                   \
    "{\"status\":\"" status "\",\"identifiers\":[" IDENTIFIER "],"            \
    "\"authorizations\":[\"" CA "authz/1\"],"                                 \
    "\"finalize\":\"" CA "final/1\"" more "}"

#define CERTIFICATE  ",\"certificate\":\"" CA "cert/1\""

#define CHALLENGE(type, status, more)                                         \
    "{\"type\":\"" type "\",\"url\":\"" CA "chall/1\","                       \
    "\"token\":\"" TOKEN "\",\"status\":\"" status "\"" more "}"

#define AUTHZ(status, challenges)                                             \
    "{\"identifier\":" IDENTIFIER ",\"status\":\"" status "\","               \
    "\"challenges\":[{\"type\":\"dns-persist-01\"}" challenges "]}"

#define HTTP01(status, more)  "," CHALLENGE("http-01", status, more)

#define PEM                                                                   \
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


/* An answer to the nth request for a resource, or to each if nth is 0. */

typedef struct {
    const char  *url;
    ngx_uint_t   nth;
    ngx_uint_t   status;        /* or LOST */
    const char  *body;
    const char  *retry;
    const char  *location;
    const char  *type;
} test_rule_t;


/* In what the flow does: all lower-case words are resources of the CA. */

typedef struct {
    const char  *name;
    const char  *order;         /* resumed */
    const char  *kid;
    test_rule_t  rules[RULES];
    ngx_uint_t   kind;          /* 0: DONE */
    const char  *why;
    const char  *detail;
    time_t       retry_at;      /* after NOW */
    const char  *url;           /* of the order, at the end */
    const char  *did;           /* NULL: does not matter */
} test_case_t;


typedef struct {
    ngx_pool_t             *pool;
    ngx_autocert_flow_t     flow;
    ngx_autocert_issuer_t   issuer;
    ngx_autocert_order_t    order;

    const test_rule_t      *rules;
    time_t                  now;
    ngx_uint_t              nonces;         /* given out */
    ngx_uint_t              used[4096];
    ngx_uint_t              counts[16];
    ngx_uint_t              published;
    ngx_uint_t              nsent;
    ngx_uint_t              cancelled;
    ngx_uint_t              fail_at;        /* nth allocation */
    u_char                 *last;
    u_char                  did[65536];
} test_t;


static const test_rule_t  test_answers[] = {

    { "dir", 0, 200,
      "{\"newNonce\":\"" CA "nonce\",\"newAccount\":\"" CA "account\","
      "\"newOrder\":\"" CA "order\",\"x\":{\"y\":[1]},"
      "\"meta\":{\"termsOfService\":\"data:text/plain,be nice\"}}",
      NULL, NULL, NULL },

    { "nonce", 0, 200, "", NULL, NULL, NULL },

    { "account", 0, 201, "{\"status\":\"valid\"}",
      NULL, CA "acct/1", NULL },

    { "order", 0, 201, ORDER("pending", ""), NULL, CA "order/1", NULL },

    { "order/1", 0, 200, ORDER("valid", CERTIFICATE), NULL, NULL, NULL },

    { "authz/1", 1, 200, AUTHZ("pending", HTTP01("pending", "")),
      NULL, NULL, NULL },

    { "authz/1", 0, 200, AUTHZ("valid", HTTP01("valid", "")),
      NULL, NULL, NULL },

    { "authz/2", 1, 200, AUTHZ("pending", HTTP01("pending", "")),
      NULL, NULL, NULL },

    { "authz/2", 0, 200, AUTHZ("valid", HTTP01("valid", "")),
      NULL, NULL, NULL },

    { "chall/1", 0, 200, CHALLENGE("http-01", "pending", ""),
      NULL, NULL, NULL },

    { "final/1", 0, 200, ORDER("processing", ""), NULL, NULL, NULL },

    { "cert/1", 0, 200, PEM, NULL, NULL,
      "application/pem-certificate-chain" },

    { NULL, 0, 0, NULL, NULL, NULL, NULL }
};


static const char  *test_resources[] = {
    "dir", "nonce", "account", "order", "order/1", "authz/1", "authz/2",
    "chall/1", "final/1", "cert/1", "final/2", NULL
};


static EVP_PKEY    *test_key;

/* for type: the answer brings no nonce */
static const char   test_no_nonce[] = "application/problem+json";


static void
test_did(test_t *t, const char *fmt, ...)
{
    va_list  args;

    if (t->last != t->did) {
        *t->last++ = ' ';
    }

    va_start(args, fmt);
    t->last = ngx_vslprintf(t->last, t->did + sizeof(t->did) - 2, fmt, args);
    va_end(args);

    *t->last = '\0';
}


static void
test_str(ngx_str_t *str, const char *text)
{
    str->data = (u_char *) text;
    str->len = text ? ngx_strlen(text) : 0;
}


static void
test_init(test_t *t, const test_case_t *c)
{
    ngx_str_t  *contact;

    ngx_memzero(t, sizeof(test_t));

    t->pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(t->pool);

    t->rules = c->rules;
    t->now = NOW;
    t->last = t->did;
    t->cancelled = ACTIONS;

    t->issuer.pool = t->pool;
    test_str(&t->issuer.directory, CA "dir");
    test_str(&t->issuer.kid, c->kid);

    t->issuer.contacts = ngx_array_create(t->pool, 1, sizeof(ngx_str_t));
    contact = ngx_array_push(t->issuer.contacts);
    test_str(contact, "admin@example.org");

    assert_int_equal(ngx_autocert_jose_public(t->pool, test_key,
                                              &t->issuer.key),
                     NGX_OK);
    t->issuer.key.sign = ngx_autocert_jose_sign;
    t->issuer.key.data = test_key;

    test_str(&t->order.name, "example.org");
    test_str(&t->order.challenge, "http-01");
    test_str(&t->order.url, c->order);

    ngx_autocert_flow_init(&t->flow, t->pool, &t->issuer, &t->order);
}


static void
test_done(test_t *t)
{
    ngx_destroy_pool(t->pool);
}


/* the part of an URL that says which resource it is */

static const char *
test_resource(ngx_str_t *url)
{
    ngx_uint_t  i;

    assert_true(url->len > sizeof(CA) - 1);
    assert_memory_equal(url->data, CA, sizeof(CA) - 1);

    for (i = 0; test_resources[i]; i++) {

        if (url->len - (sizeof(CA) - 1) == ngx_strlen(test_resources[i])
            && ngx_strncmp(url->data + sizeof(CA) - 1, test_resources[i],
                           ngx_strlen(test_resources[i]))
               == 0)
        {
            return test_resources[i];
        }
    }

    fail_msg("unknown URL %.*s", (int) url->len, url->data);

    return NULL;
}


static void
test_decode(test_t *t, ngx_autocert_json_t *json, const char *name,
    ngx_str_t *out)
{
    ngx_str_t  value;

    assert_int_equal(ngx_autocert_json_get_string(json, name, &value), NGX_OK);
    assert_int_equal(ngx_autocert_base64_decode(t->pool, out, &value), NGX_OK);
}


static void
test_equal(ngx_autocert_json_t *json, const char *name, ngx_str_t *expected)
{
    ngx_str_t  value;

    assert_int_equal(ngx_autocert_json_get_string(json, name, &value), NGX_OK);
    assert_int_equal(value.len, expected->len);
    assert_memory_equal(value.data, expected->data, value.len);
}


/* The JWS is what RFC 8555, 6.2 wants; its payload is put down. */

static void
test_jws(test_t *t, ngx_autocert_request_t *request, const char *resource)
{
    char                 *err;
    ngx_int_t             n;
    ngx_str_t             header, payload, value, alg;
    ngx_autocert_json_t  *jws, *head;

    test_str(&value, "application/jose+json");
    assert_int_equal(request->content_type.len, value.len);
    assert_memory_equal(request->content_type.data, value.data, value.len);

    jws = ngx_autocert_json_parse(t->pool, &request->body, &err);
    assert_non_null(jws);

    test_decode(t, jws, "protected", &header);
    test_decode(t, jws, "payload", &payload);
    test_decode(t, jws, "signature", &value);
    assert_int_equal(value.len, 64);

    head = ngx_autocert_json_parse(t->pool, &header, &err);
    assert_non_null(head);

    test_str(&alg, "ES256");
    test_equal(head, "alg", &alg);
    test_equal(head, "url", &request->url);

    if (ngx_strcmp(resource, "account") == 0) {
        assert_non_null(ngx_autocert_json_get(head, "jwk"));
        assert_null(ngx_autocert_json_get(head, "kid"));

    } else {
        test_equal(head, "kid", &t->issuer.kid);
        assert_true(t->issuer.kid.len > 0);
        assert_null(ngx_autocert_json_get(head, "jwk"));
    }

    /* each nonce is one of ours and used once */

    assert_int_equal(ngx_autocert_json_get_string(head, "nonce", &value),
                     NGX_OK);
    assert_true(value.len >= 2);
    assert_int_equal(value.data[0], 'N');

    n = ngx_atoi(value.data + 1, value.len - 1);
    assert_true(n >= NONCE && n < NONCE + (ngx_int_t) t->nonces);
    assert_int_equal(t->used[n - NONCE], 0);
    t->used[n - NONCE] = 1;

    /* while the CA is told, and until it is through, the token stands */

    if (ngx_strcmp(resource, "chall/1") == 0) {
        assert_int_equal(t->published, 1);
    }

    test_did(t, "%s%*s", resource, payload.len, URL_OF(payload));
}


static const test_rule_t *
test_rule(const test_rule_t *rules, ngx_uint_t n, const char *resource,
    ngx_uint_t nth)
{
    ngx_uint_t  i;

    for (i = 0; i < n && rules[i].url; i++) {

        if (ngx_strcmp(rules[i].url, resource) == 0
            && (rules[i].nth == 0 || rules[i].nth == nth))
        {
            return &rules[i];
        }
    }

    return NULL;
}


static void
test_answer(test_t *t, const test_rule_t *rule, ngx_uint_t method)
{
    u_char                    buf[16];
    ngx_autocert_response_t   response;

    ngx_memzero(&response, sizeof(ngx_autocert_response_t));

    response.pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(response.pool);

    response.status = rule->status;
    test_str(&response.body, rule->body);
    test_str(&response.retry_after, rule->retry);
    test_str(&response.location, rule->location);
    test_str(&response.content_type,
             rule->type ? rule->type : "application/json");

    if ((method == NGX_AUTOCERT_POST
         || (method == NGX_AUTOCERT_HEAD && rule->status == 200))
        && rule->type != test_no_nonce)
    {
        response.nonce.data = buf;
        response.nonce.len = ngx_sprintf(buf, "N%ui", NONCE + t->nonces++)
                             - buf;
    }

    assert_int_equal(ngx_array_init(&response.links, response.pool, 1,
                                    sizeof(ngx_str_t)),
                     NGX_OK);

    ngx_stub_fail_at = t->fail_at;
    ngx_autocert_flow_took(&t->flow, t->now, &response);
    t->fail_at = ngx_stub_fail_at;
    ngx_stub_fail_at = 0;

    /* nothing of it may be kept */

    ngx_memset(buf, 'x', sizeof(buf));
    ngx_destroy_pool(response.pool);
}


static void
test_send(test_t *t, ngx_autocert_request_t *request)
{
    ngx_uint_t            i;
    const char           *resource;
    const test_rule_t    *rule;
    ngx_autocert_fail_t   fail;

    t->nsent++;
    resource = test_resource(&request->url);

    for (i = 0; test_resources[i] != resource; i++) { /* void */ }

    t->counts[i]++;

    if (request->method == NGX_AUTOCERT_POST) {
        test_jws(t, request, resource);

    } else {
        assert_int_equal(request->body.len, 0);
        assert_int_equal(request->method, ngx_strcmp(resource, "dir") == 0
                                          ? NGX_AUTOCERT_GET
                                          : NGX_AUTOCERT_HEAD);
        test_did(t, "%s", resource);
    }

    rule = test_rule(t->rules, RULES, resource, t->counts[i]);

    if (rule == NULL) {
        rule = test_rule(test_answers, 100, resource, t->counts[i]);
        assert_non_null(rule);
    }

    if (rule->status == LOST) {
        ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));
        fail.kind = NETWORK;
        ngx_str_set(&fail.why, "connection reset");

        ngx_autocert_flow_lost(&t->flow, t->now, &fail);
        return;
    }

    test_answer(t, rule, request->method);
}


static void
test_solve(test_t *t, ngx_autocert_action_t *action)
{
    ngx_str_t  expected;

    test_did(t, action->publish ? "PUBLISH" : "UNPUBLISH");
    t->published = action->publish;

    assert_int_equal(action->token.len, sizeof(TOKEN) - 1);
    assert_memory_equal(action->token.data, TOKEN, sizeof(TOKEN) - 1);

    assert_int_equal(ngx_autocert_jose_key_authorization(t->pool,
                                   &t->issuer.key, &action->token, &expected),
                     NGX_OK);
    assert_int_equal(action->key_authorization.len, expected.len);
    assert_memory_equal(action->key_authorization.data, expected.data,
                        expected.len);
}


/* Does one action.  Returns its type. */

static ngx_uint_t
test_step(test_t *t)
{
    ngx_str_t              csr;
    ngx_autocert_action_t  action;

    ngx_stub_fail_at = t->fail_at;
    ngx_autocert_flow_next(&t->flow, t->now, &action);
    t->fail_at = ngx_stub_fail_at;
    ngx_stub_fail_at = 0;

    assert_non_null(ngx_autocert_flow_name(&t->flow));

    switch (action.type) {

    case NGX_AUTOCERT_FLOW_SEND:
        test_send(t, &action.request);
        break;

    case NGX_AUTOCERT_FLOW_WAIT:
        assert_true(action.until > t->now);
        test_did(t, "%T", action.until - t->now);
        t->now = action.until;
        break;

    case NGX_AUTOCERT_FLOW_SOLVE:
        test_solve(t, &action);
        break;

    case NGX_AUTOCERT_FLOW_KEY:
        test_did(t, "KEY");
        test_str(&csr, "CSR");

        ngx_stub_fail_at = t->fail_at;
        ngx_autocert_flow_key(&t->flow, &csr);
        t->fail_at = ngx_stub_fail_at;
        ngx_stub_fail_at = 0;
        break;

    case NGX_AUTOCERT_FLOW_SAVE:
        assert_true(action.account || action.order);
        test_did(t, "SAVE:%*s%s%*s",
                 action.account ? t->issuer.kid.len : 0, URL_OF(t->issuer.kid),
                 action.account && action.order ? "," : "",
                 action.order ? t->order.url.len : 0, URL_OF(t->order.url));
        break;

    case NGX_AUTOCERT_FLOW_DONE:
        assert_int_equal(t->order.chain.len, sizeof(PEM) - 1);
        assert_memory_equal(t->order.chain.data, PEM, sizeof(PEM) - 1);
        break;

    case NGX_AUTOCERT_FLOW_FAILED:
        assert_true(t->flow.fail.kind != 0);
        assert_true(t->flow.fail.why.len != 0);
        break;

    default:
        fail_msg("unknown action %lu", (unsigned long) action.type);
    }

    return action.type;
}


/* Runs to the end, cancels after so many actions.  Returns DONE or FAILED. */

static ngx_uint_t
test_run(test_t *t)
{
    ngx_uint_t  i, type;

    for (i = 0; i < ACTIONS; i++) {

        if (i == t->cancelled) {
            ngx_autocert_flow_cancel(&t->flow);
        }

        type = test_step(t);

        if (type == NGX_AUTOCERT_FLOW_DONE || type == NGX_AUTOCERT_FLOW_FAILED)
        {
            assert_int_equal(t->published, 0);

            /* it stays so */
            assert_int_equal(test_step(t), type);
            return type;
        }

        if (i >= t->cancelled) {
            assert_int_not_equal(type, NGX_AUTOCERT_FLOW_SEND);
            assert_int_not_equal(type, NGX_AUTOCERT_FLOW_WAIT);
            assert_int_not_equal(type, NGX_AUTOCERT_FLOW_KEY);
        }
    }

    fail_msg("the flow does not end: %s", (char *) t->did);

    return 0;
}


static ngx_uint_t
test_has(ngx_str_t *text, const char *part)
{
    size_t  i, len;

    len = ngx_strlen(part);

    for (i = 0; len && i + len <= text->len; i++) {
        if (ngx_memcmp(text->data + i, part, len) == 0) {
            return 1;
        }
    }

    return len == 0;
}


#define has(c, what, text, part)                                              \
    if ((part) && !test_has(text, part)) {                                    \
        fail_msg("%s: " what " is \"%.*s\", not \"%s\"", (c)->name,           \
                 (int) (text)->len, (text)->data, part);                      \
    }


static void
test_expect(const test_case_t *c)
{
    test_t      *t;
    ngx_str_t    did;
    ngx_uint_t   type;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    test_init(t, c);
    type = test_run(t);

    test_str(&did, (char *) t->did);

    if (c->did && ngx_strcmp(t->did, c->did) != 0) {
        fail_msg("%s: did\n%s\nnot\n%s", c->name, (char *) t->did, c->did);
    }

    if (c->kind == 0) {
        if (type != NGX_AUTOCERT_FLOW_DONE) {
            fail_msg("%s: failed: %.*s: %.*s", c->name,
                     (int) t->flow.fail.why.len, t->flow.fail.why.data,
                     (int) t->flow.fail.detail.len, t->flow.fail.detail.data);
        }

        test_done(t);
        free(t);
        return;
    }

    if (type != NGX_AUTOCERT_FLOW_FAILED || t->flow.fail.kind != c->kind) {
        fail_msg("%s: ended %lu of kind %lu, not %lu: %.*s", c->name,
                 (unsigned long) type, (unsigned long) t->flow.fail.kind,
                 (unsigned long) c->kind, (int) t->flow.fail.why.len,
                 t->flow.fail.why.data);
    }

    has(c, "why", &t->flow.fail.why, c->why);
    has(c, "detail", &t->flow.fail.detail, c->detail);

    if (t->flow.fail.retry_at != (c->retry_at ? NOW + c->retry_at : 0)) {
        fail_msg("%s: retry_at is %ld", c->name,
                 (long) (t->flow.fail.retry_at - NOW));
    }

    if (c->url) {
        assert_int_equal(t->order.url.len, ngx_strlen(c->url));
        has(c, "order", &t->order.url, c->url);
    }

    test_done(t);
    free(t);
}


#define BEGIN     "dir nonce account" ACCOUNT
#define ACCOUNT   "{\"termsOfServiceAgreed\":true,"                           \
                  "\"contact\":[\"mailto:admin@example.org\"]}"               \
                  " SAVE:" CA "acct/1"
#define NEWORDER  "order{\"identifiers\":"                                    \
                  "[{\"type\":\"dns\",\"value\":\"example.org\"}]}"
#define SAVED     "SAVE:" CA "order/1"
#define CREATED   BEGIN " " NEWORDER " " SAVED
#define SOLVED    "authz/1 PUBLISH chall/1{} 1 authz/1 UNPUBLISH"
#define FINAL     "final/1{\"csr\":\"Q1NS\"}"
#define ISSUED    "KEY " FINAL " 1 order/1 cert/1"
#define RESUMED   "dir nonce order/1"
#define KID       CA "acct/1"
#define URL       CA "order/1"


static const test_case_t  test_cases[] = {

    { "happy", NULL, NULL, { { 0 } }, 0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " " ISSUED },

    { "account known", NULL, KID, { { 0 } }, 0, NULL, NULL, 0, NULL,
      "dir nonce " NEWORDER " " SAVED " " SOLVED " " ISSUED },

    { "account exists", NULL, NULL,
      { { "account", 0, 200, "{\"status\":\"valid\"}", NULL, CA "acct/1",
          NULL } },
      0, NULL, NULL, 0, NULL, CREATED " " SOLVED " " ISSUED },

    { "badNonce once", NULL, NULL,
      { { "order", 1, 400, PROBLEM("badNonce", "x"), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      BEGIN " " NEWORDER " " NEWORDER " " SAVED " " SOLVED " " ISSUED },

    { "badNonce on account, authz, challenge, finalize", NULL, NULL,
      { { "account", 1, 400, PROBLEM("badNonce", "x"), NULL, NULL, NULL },
        { "authz/1", 2, 400, PROBLEM("badNonce", "x"), NULL, NULL, NULL },
        { "authz/1", 1, 200, AUTHZ("pending", HTTP01("pending", "")), NULL,
          NULL, NULL },
        { "chall/1", 1, 400, PROBLEM("badNonce", "x"), NULL, NULL, NULL },
        { "final/1", 1, 400, PROBLEM("badNonce", "x"), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, NULL },

    { "badNonce for ever", NULL, NULL,
      { { "order", 0, 400, PROBLEM("badNonce", "no good"), NULL, NULL,
          NULL } },
      NETWORK, "accepts no nonce", "badNonce: no good", 0, "",
      BEGIN " " NEWORDER " " NEWORDER " " NEWORDER " " NEWORDER " " NEWORDER
      " " NEWORDER " " NEWORDER " " NEWORDER " " NEWORDER " " NEWORDER
      " " NEWORDER },

    /* the account */

    { "account gone, order resumed", URL, KID,
      { { "order/1", 1, 400, PROBLEM("accountDoesNotExist", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " SAVE:, account" ACCOUNT " " NEWORDER " " SAVED " " SOLVED
      " " ISSUED },

    { "account gone at newOrder", NULL, CA "acct/0",
      { { "order", 1, 400, PROBLEM("accountDoesNotExist", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      "dir nonce " NEWORDER " SAVE: account" ACCOUNT " " NEWORDER " " SAVED
      " " SOLVED " " ISSUED },

    { "account gone while polling", NULL, CA "acct/0",
      { { "authz/1", 2, 400, PROBLEM("accountDoesNotExist", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      "dir nonce " NEWORDER " " SAVED " authz/1 PUBLISH chall/1{} 1 authz/1 "
      "UNPUBLISH SAVE:, account" ACCOUNT " " NEWORDER " " SAVED " authz/1 "
      ISSUED },

    { "account gone for ever", NULL, CA "acct/0",
      { { "order", 0, 400, PROBLEM("accountDoesNotExist", "x"), NULL, NULL,
          NULL } },
      CONFIG, "does not know the account", "accountDoesNotExist: x", 0, "",
      NULL },

    { "account deactivated, key refused", NULL, NULL,
      { { "account", 0, 403, PROBLEM("unauthorized", "deactivated"), NULL,
          NULL, NULL } },
      CONFIG, "refuses the account", "unauthorized: deactivated", 0, "",
      "dir nonce account{\"termsOfServiceAgreed\":true,"
      "\"contact\":[\"mailto:admin@example.org\"]}" },

    { "account deactivated, newOrder refused", NULL, KID,
      { { "order", 0, 403, PROBLEM("unauthorized", "deactivated"), NULL,
          NULL, NULL } },
      CONFIG, "refuses the account", "unauthorized: deactivated", 0, "",
      NULL },

    { "account deactivated, returned", NULL, NULL,
      { { "account", 0, 200, "{\"status\":\"deactivated\"}", NULL,
          CA "acct/1", NULL } },
      CONFIG, "account at the CA is not valid", "deactivated", 0, "", NULL },

    { "account malformed", NULL, NULL,
      { { "account", 0, 400, PROBLEM("malformed", "x"), NULL, NULL, NULL } },
      CONFIG, "refuses", "malformed: x", 0, "", NULL },

    { "contact refused", NULL, NULL,
      { { "account", 0, 400, PROBLEM("invalidContact", "x"), NULL, NULL,
          NULL } },
      CONFIG, "contact", "invalidContact: x", 0, "", NULL },

    { "external account", NULL, NULL,
      { { "account", 0, 403, PROBLEM("externalAccountRequired", "x"), NULL,
          NULL, NULL } },
      CONFIG, "external account", "x", 0, "", NULL },

    { "user action", NULL, KID,
      { { "order", 0, 403,
          "{\"type\":\"urn:ietf:params:acme:error:userActionRequired\","
          "\"detail\":\"new terms\",\"instance\":\"https://ca.test/tos\"}",
          NULL, NULL, NULL } },
      CONFIG, "to act",
      "userActionRequired: new terms https://ca.test/tos", 0, "", NULL },

    /* the order */

    { "order ready", NULL, NULL,
      { { "order", 0, 201, ORDER("ready", ""), NULL, URL, NULL } },
      0, NULL, NULL, 0, NULL, CREATED " " ISSUED },

    { "order without authorizations, ready", NULL, NULL,
      { { "order", 0, 201,
          "{\"status\":\"ready\",\"authorizations\":[],"
          "\"finalize\":\"" CA "final/1\"}", NULL, URL, NULL } },
      0, NULL, NULL, 0, NULL, CREATED " " ISSUED },

    { "order without authorizations, pending", NULL, NULL,
      { { "order", 0, 201,
          "{\"status\":\"pending\",\"authorizations\":null,"
          "\"finalize\":\"" CA "final/1\"}", NULL, URL, NULL },
        { "order/1", 1, 200, ORDER("ready", ""), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, CREATED " 1 order/1 " ISSUED },

    { "order stays pending without authorizations", NULL, NULL,
      { { "order", 0, 201,
          "{\"status\":\"pending\",\"finalize\":\"" CA "final/1\"}",
          NULL, URL, NULL },
        { "order/1", 0, 200,
          "{\"status\":\"pending\",\"finalize\":\"" CA "final/1\"}",
          NULL, NULL, NULL } },
      LIMITED, "takes longer than 60 s", "", 0, URL,
      CREATED " 1 order/1 2 order/1 4 order/1 8 order/1 10 order/1 "
      "10 order/1 10 order/1 10 order/1 5 order/1" },

    { "order processing", NULL, NULL,
      { { "order", 0, 201, ORDER("processing", ""), NULL, URL, NULL } },
      0, NULL, NULL, 0, NULL, CREATED " KEY 1 order/1 cert/1" },

    { "order valid", NULL, NULL,
      { { "order", 0, 201, ORDER("valid", CERTIFICATE), NULL, URL, NULL } },
      0, NULL, NULL, 0, NULL, CREATED " KEY cert/1" },

    { "order invalid", NULL, NULL,
      { { "order", 0, 201,
          "{\"status\":\"invalid\",\"error\":" PROBLEM("caa", "no") "}",
          NULL, URL, NULL } },
      REFUSED, "CAA", "caa: no", 0, "", BEGIN " " NEWORDER " SAVE:" },

    { "order rate limited", NULL, NULL,
      { { "order", 0, 429, PROBLEM("rateLimited", "see https://x/"), "3600",
          NULL, NULL } },
      LIMITED, "rate limit", "rateLimited: see https://x/", 3600, "", NULL },

    { "order rate limited, a date", NULL, NULL,
      { { "order", 0, 429, PROBLEM("rateLimited", "x"),
          "Tue, 14 Nov 2023 22:14:20 GMT", NULL, NULL } },
      LIMITED, "rate limit", "rateLimited: x", 60, "", NULL },

    { "order rate limited, no Retry-After", NULL, NULL,
      { { "order", 0, 400, PROBLEM("rateLimited", "x"), NULL, NULL, NULL } },
      LIMITED, "rate limit", "x", 0, "", NULL },

    { "order rejected", NULL, NULL,
      { { "order", 0, 403,
          "{\"type\":\"urn:ietf:params:acme:error:rejectedIdentifier\","
          "\"detail\":\"policy\",\"subproblems\":["
          "{\"type\":\"urn:ietf:params:acme:error:malformed\","
          "\"detail\":\"other\",\"identifier\":"
          "{\"type\":\"dns\",\"value\":\"example.com\"}},"
          "{\"type\":\"urn:ietf:params:acme:error:caa\","
          "\"detail\":\"mine\",\"identifier\":"
          "{\"type\":\"dns\",\"value\":\"EXAMPLE.org\"}}]}",
          NULL, NULL, NULL } },
      REFUSED, "does not sign", "rejectedIdentifier: policy (caa: mine)", 0,
      "", NULL },

    /* an order of before */

    { "resume pending", URL, KID,
      { { "order/1", 1, 200, ORDER("pending", ""), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " authz/1 PUBLISH 1 authz/1 UNPUBLISH " ISSUED },

    { "resume pending, never answered", URL, KID,
      { { "order/1", 1, 200, ORDER("pending", ""), NULL, NULL, NULL },
        { "authz/1", 2, 200, AUTHZ("pending", HTTP01("pending", "")),
          NULL, NULL, NULL },
        { "authz/1", 3, 200, AUTHZ("pending", HTTP01("pending", "")),
          NULL, NULL, NULL },
        { "authz/1", 4, 200, AUTHZ("pending", HTTP01("pending", "")),
          NULL, NULL, NULL },
        { "authz/1", 5, 200, AUTHZ("pending", HTTP01("pending", "")),
          NULL, NULL, NULL },
        { "authz/1", 6, 200, AUTHZ("pending", HTTP01("pending", "")),
          NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " authz/1 PUBLISH 1 authz/1 2 authz/1 4 authz/1 8 authz/1"
      " chall/1{} 1 authz/1 2 authz/1 UNPUBLISH " ISSUED },

    { "resume pending, challenge processing", URL, KID,
      { { "order/1", 1, 200, ORDER("pending", ""), NULL, NULL, NULL },
        { "authz/1", 1, 200, AUTHZ("pending", HTTP01("processing", "")),
          NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " authz/1 PUBLISH 1 authz/1 UNPUBLISH " ISSUED },

    { "resume pending, authorization valid", URL, KID,
      { { "order/1", 1, 200, ORDER("pending", ""), NULL, NULL, NULL },
        { "authz/1", 0, 200, AUTHZ("valid", HTTP01("valid", "")),
          NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, RESUMED " authz/1 UNPUBLISH " ISSUED },

    { "resume pending, authorization valid by other means", URL, KID,
      { { "order/1", 1, 200, ORDER("pending", ""), NULL, NULL, NULL },
        { "authz/1", 0, 200, AUTHZ("valid", ""), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, RESUMED " authz/1 " ISSUED },

    { "resume pending, authorization invalid", URL, KID,
      { { "order/1", 1, 200, ORDER("pending", ""), NULL, NULL, NULL },
        { "authz/1", 0, 200,
          AUTHZ("invalid", HTTP01("invalid",
                                  ",\"error\":" PROBLEM("dns", "nx"))),
          NULL, NULL, NULL } },
      REFUSED, "look the name up", "dns: nx", 0, "",
      RESUMED " authz/1 UNPUBLISH SAVE:" },

    { "resume ready", URL, KID,
      { { "order/1", 1, 200, ORDER("ready", ""), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, RESUMED " " ISSUED },

    { "resume processing", URL, KID,
      { { "order/1", 1, 200, ORDER("processing", ""), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, RESUMED " KEY 1 order/1 cert/1" },

    { "resume valid", URL, KID, { { 0 } }, 0, NULL, NULL, 0, NULL,
      RESUMED " KEY cert/1" },

    { "resume invalid", URL, KID,
      { { "order/1", 1, 200, "{\"status\":\"invalid\"}", NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " SAVE: " NEWORDER " " SAVED " " SOLVED " " ISSUED },

    { "resume gone", URL, KID,
      { { "order/1", 1, 404, PROBLEM("malformed", "x"), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " SAVE: " NEWORDER " " SAVED " " SOLVED " " ISSUED },

    { "resume another's", URL, KID,
      { { "order/1", 1, 403, PROBLEM("unauthorized", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " SAVE: " NEWORDER " " SAVED " " SOLVED " " ISSUED },

    { "resume another name's", URL, KID,
      { { "order/1", 1, 200,
          "{\"status\":\"ready\",\"identifiers\":["
          "{\"type\":\"dns\",\"value\":\"example.com\"}],"
          "\"authorizations\":[\"" CA "authz/2\"],"
          "\"finalize\":\"" CA "final/2\"}", NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " SAVE: " NEWORDER " " SAVED " " SOLVED " " ISSUED },

    { "resume busy", URL, KID,
      { { "order/1", 1, 503, "busy", "7", NULL, NULL } },
      LIMITED, "later", "\"busy\"", 7, URL, RESUMED },

    { "resume without account", URL, NULL, { { 0 } },
      0, NULL, NULL, 0, NULL, BEGIN " order/1 KEY cert/1" },

    /* authorizations and challenges */

    { "authorization valid", NULL, NULL,
      { { "authz/1", 0, 200, AUTHZ("valid", HTTP01("valid", "")), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL, CREATED " authz/1 " ISSUED },

    { "two authorizations", NULL, NULL,
      { { "order", 0, 201,
          "{\"status\":\"pending\",\"authorizations\":[\"" CA "authz/1\","
          "\"" CA "authz/2\"],\"finalize\":\"" CA "final/1\"}", NULL, URL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " authz/2 PUBLISH chall/1{} 1 authz/2 UNPUBLISH "
      ISSUED },

    { "two authorizations, the first valid", NULL, NULL,
      { { "order", 0, 201,
          "{\"status\":\"pending\",\"authorizations\":[\"" CA "authz/1\","
          "\"" CA "authz/2\"],\"finalize\":\"" CA "final/1\"}", NULL, URL,
          NULL },
        { "authz/1", 0, 200, AUTHZ("valid", HTTP01("valid", "")), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 authz/2 PUBLISH chall/1{} 1 authz/2 UNPUBLISH "
      ISSUED },

    { "authorization expired", NULL, NULL,
      { { "authz/1", 0, 200, AUTHZ("expired", HTTP01("pending", "")), NULL,
          NULL, NULL } },
      REFUSED, "authorization is not valid", "", 0, "",
      CREATED " authz/1 SAVE:" },

    { "authorization deactivated", NULL, NULL,
      { { "authz/1", 0, 200, AUTHZ("deactivated", ""), NULL, NULL, NULL } },
      REFUSED, "authorization is not valid", "", 0, "", NULL },

    { "authorization revoked while polled", NULL, NULL,
      { { "authz/1", 2, 200, AUTHZ("revoked", ""), NULL, NULL, NULL } },
      REFUSED, "authorization is not valid", "", 0, "",
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 UNPUBLISH SAVE:" },

    { "authorization for another name", NULL, NULL,
      { { "authz/1", 0, 200,
          "{\"identifier\":{\"type\":\"dns\",\"value\":\"example.com\"},"
          "\"status\":\"pending\",\"challenges\":["
          CHALLENGE("http-01", "pending", "") "]}", NULL, NULL, NULL } },
      REFUSED, "not for this name", "", 0, "", NULL },

    { "authorization gone", NULL, NULL,
      { { "authz/1", 0, 404, PROBLEM("malformed", "x"), NULL, NULL, NULL } },
      REFUSED, "refuses (status 404)", "malformed: x", 0, "", NULL },

    { "challenge not offered", NULL, NULL,
      { { "authz/1", 0, 200,
          AUTHZ("pending", "," CHALLENGE("dns-01", "pending", "")), NULL,
          NULL, NULL } },
      REFUSED, "does not offer the challenge http-01",
      "offered: dns-persist-01 dns-01", 0, "", CREATED " authz/1 SAVE:" },

    { "challenge processing", NULL, NULL,
      { { "authz/1", 1, 200, AUTHZ("pending", HTTP01("processing", "")), NULL,
          NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 PUBLISH 1 authz/1 UNPUBLISH " ISSUED },

    { "challenge valid", NULL, NULL,
      { { "authz/1", 1, 200, AUTHZ("pending", HTTP01("valid", "")), NULL,
          NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 PUBLISH 1 authz/1 UNPUBLISH " ISSUED },

    { "challenge invalid before", NULL, NULL,
      { { "authz/1", 1, 200,
          AUTHZ("pending", HTTP01("invalid",
                                  ",\"error\":" PROBLEM("tls", "x"))),
          NULL, NULL, NULL } },
      REFUSED, "TLS connection", "tls: x", 0, "", CREATED " authz/1 SAVE:" },

    { "challenge invalid at once", NULL, NULL,
      { { "chall/1", 1, 200,
          CHALLENGE("http-01", "invalid",
                    ",\"error\":" PROBLEM("connection", "x")),
          NULL, NULL, NULL } },
      REFUSED, "could not connect", "connection: x", 0, "",
      CREATED " authz/1 PUBLISH chall/1{} UNPUBLISH SAVE:" },

    { "challenge refused", NULL, NULL,
      { { "chall/1", 1, 403, PROBLEM("unauthorized", "x"), NULL, NULL,
          NULL } },
      REFUSED, "no authorization", "unauthorized: x", 0, "",
      CREATED " authz/1 PUBLISH chall/1{} UNPUBLISH SAVE:" },

    { "challenge lost, then too late", NULL, NULL,
      { { "chall/1", 1, LOST, NULL, NULL, NULL, NULL },
        { "chall/1", 2, 400, PROBLEM("malformed", "x"), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 PUBLISH chall/1{} 1 nonce chall/1{} 1 authz/1 "
      "UNPUBLISH " ISSUED },

    { "validation fails", NULL, NULL,
      { { "authz/1", 2, 200,
          AUTHZ("invalid", HTTP01("invalid", ",\"error\":"
                                  PROBLEM("incorrectResponse", "got 404"))),
          NULL, NULL, NULL } },
      REFUSED, "another answer", "incorrectResponse: got 404", 0, "",
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 UNPUBLISH SAVE:" },

    { "validation fails, authorization lags", NULL, NULL,
      { { "authz/1", 2, 200,
          AUTHZ("pending", HTTP01("invalid", ",\"error\":"
                                  PROBLEM("unauthorized", "x"))),
          NULL, NULL, NULL } },
      REFUSED, "no authorization", "unauthorized: x", 0, "",
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 UNPUBLISH SAVE:" },

    { "validation fails by a rate limit", NULL, NULL,
      { { "authz/1", 2, 200,
          AUTHZ("invalid", HTTP01("invalid", ",\"error\":"
                                  PROBLEM("rateLimited", "x"))),
          NULL, NULL, NULL } },
      LIMITED, "rate limit", "rateLimited: x", 0, "", NULL },

    { "validation with Retry-After", NULL, NULL,
      { { "chall/1", 0, 200, CHALLENGE("http-01", "processing", ""), "3",
          NULL, NULL },
        { "authz/1", 1, 200, AUTHZ("pending", HTTP01("pending", "")), NULL,
          NULL, NULL },
        { "authz/1", 2, 200, AUTHZ("pending", HTTP01("processing", "")), "0",
          NULL, NULL },
        { "authz/1", 3, 200, AUTHZ("pending", HTTP01("processing", "")),
          "Tue, 14 Nov 2023 22:13:33 GMT", NULL, NULL },
        { "authz/1", 4, 200, AUTHZ("pending", HTTP01("processing", "")), "?",
          NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 PUBLISH chall/1{} 3 authz/1 1 authz/1 9 authz/1 8 "
      "authz/1 UNPUBLISH " ISSUED },

    { "validation for ever", NULL, NULL,
      { { "authz/1", 0, 200, AUTHZ("pending", HTTP01("pending", "")), NULL,
          NULL, NULL } },
      LIMITED, "takes longer than 120 s", "", 0, URL,
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 2 authz/1 4 authz/1 "
      "8 authz/1 10 authz/1 10 authz/1 10 authz/1 10 authz/1 10 authz/1 "
      "10 authz/1 10 authz/1 10 authz/1 10 authz/1 10 authz/1 5 authz/1 "
      "UNPUBLISH" },

    { "validation takes a day", NULL, NULL,
      { { "authz/1", 2, 200, AUTHZ("pending", HTTP01("pending", "")), "86400",
          NULL, NULL } },
      LIMITED, "takes longer than 120 s", "", 86401, URL,
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 UNPUBLISH" },

    { "busy while validating", NULL, NULL,
      { { "authz/1", 2, 503, "", "5", NULL, NULL },
        { "authz/1", 3, 429, "", NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 5 authz/1 4 authz/1 "
      "UNPUBLISH " ISSUED },

    { "busy for ever while validating", NULL, NULL,
      { { "authz/1", 1, 200, AUTHZ("pending", HTTP01("pending", "")), NULL,
          NULL, NULL },
        { "authz/1", 0, 503, "", "50", NULL, NULL } },
      LIMITED, "later", "", 151, URL,
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 50 authz/1 50 authz/1 "
      "UNPUBLISH" },

    { "lost and busy while validating", NULL, NULL,
      { { "authz/1", 2, LOST, NULL, NULL, NULL, NULL },
        { "authz/1", 3, LOST, NULL, NULL, NULL, NULL },
        { "authz/1", 4, 503, "", NULL, NULL, NULL },
        { "authz/1", 5, LOST, NULL, NULL, NULL, NULL },
        { "authz/1", 6, LOST, NULL, NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, NULL },

    { "no nonce while validating", NULL, NULL,
      { { "authz/1", 2, LOST, NULL, NULL, NULL, NULL },
        { "nonce", 2, 503, "", "5", NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 1 nonce 5 nonce authz/1 "
      "UNPUBLISH " ISSUED },

    /* finalization */

    { "issued at once", NULL, NULL,
      { { "final/1", 0, 200, ORDER("valid", CERTIFICATE), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " KEY " FINAL " cert/1" },

    { "order not ready", NULL, NULL,
      { { "final/1", 1, 403, PROBLEM("orderNotReady", "x"), "2", NULL, NULL },
        { "order/1", 1, 200, ORDER("pending", ""), NULL, NULL, NULL },
        { "order/1", 2, 200, ORDER("ready", ""), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " KEY " FINAL " 2 order/1 2 order/1 " FINAL
      " 1 order/1 cert/1" },

    { "order never ready", NULL, NULL,
      { { "final/1", 0, 403, PROBLEM("orderNotReady", "x"), NULL, NULL,
          NULL },
        { "order/1", 0, 200, ORDER("ready", ""), NULL, NULL, NULL } },
      REFUSED, "refuses", "orderNotReady: x", 0, "",
      CREATED " " SOLVED " KEY " FINAL " 1 order/1 " FINAL " 1 order/1 "
      FINAL " 1 order/1 " FINAL " SAVE:" },

    { "order not ready, then issued", NULL, NULL,
      { { "final/1", 1, 403, PROBLEM("orderNotReady", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " KEY " FINAL " 1 order/1 cert/1" },

    { "order not ready, then invalid", NULL, NULL,
      { { "final/1", 1, 403, PROBLEM("orderNotReady", "x"), NULL, NULL,
          NULL },
        { "order/1", 0, 200, "{\"status\":\"invalid\"}", NULL, NULL,
          NULL } },
      REFUSED, "the order is invalid", "", 0, "", NULL },

    { "finalized, parts of the CA lag", NULL, NULL,
      { { "final/1", 1, 200, ORDER("ready", ""), NULL, NULL, NULL },
        { "order/1", 1, 200, ORDER("ready", ""), NULL, NULL, NULL },
        { "order/1", 2, 200, ORDER("pending", ""), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " KEY " FINAL " 1 order/1 2 order/1 4 order/1 "
      "cert/1" },

    { "finalized, invalid", NULL, NULL,
      { { "order/1", 1, 200,
          "{\"status\":\"invalid\",\"error\":" PROBLEM("caa", "x") "}",
          NULL, NULL, NULL } },
      REFUSED, "CAA", "caa: x", 0, "",
      CREATED " " SOLVED " KEY " FINAL " 1 order/1 SAVE:" },

    { "processing for ever", NULL, NULL,
      { { "order/1", 0, 200, ORDER("processing", ""), "100", NULL, NULL } },
      LIMITED, "takes longer than 300 s", "", 302, URL,
      CREATED " " SOLVED " KEY " FINAL " 1 order/1 100 order/1 100 order/1" },

    { "finalize rate limited", NULL, NULL,
      { { "final/1", 0, 429, PROBLEM("rateLimited", "x"), "60", NULL,
          NULL } },
      LIMITED, "rate limit", "rateLimited: x", 61, URL,
      CREATED " " SOLVED " KEY " FINAL },

    { "csr refused", NULL, NULL,
      { { "final/1", 0, 400, PROBLEM("badCSR", "x"), NULL, NULL, NULL } },
      REFUSED, "signing request", "badCSR: x", 0, "", NULL },

    { "certificate gone", NULL, NULL,
      { { "cert/1", 0, 404, "<html>\n", NULL, NULL, "text/html" } },
      REFUSED, "status 404", "\"<html>?\"", 0, "", NULL },

    { "certificate of another media type", NULL, NULL,
      { { "cert/1", 0, 200, PEM, NULL, NULL, "application/pkix-cert" } },
      REFUSED, "media type", "", 0, "", NULL },

    { "certificate is no PEM", NULL, NULL,
      { { "cert/1", 0, 200, "\x30\x82\x01", NULL, NULL,
          "application/pem-certificate-chain" } },
      REFUSED, "does not begin as PEM", "", 0, "", NULL },

    { "certificate is no text", NULL, NULL,
      { { "cert/1", 0, 200, PEM "\x80", NULL, NULL,
          "application/pem-certificate-chain" } },
      REFUSED, "no text", "", 0, "", NULL },

    { "redirect", NULL, NULL,
      { { "dir", 0, 301, "moved", NULL, CA "x", NULL } },
      REFUSED, "status 301", "\"moved\"", 0, "", "dir" },

    { "directory is a page", NULL, NULL,
      { { "dir", 0, 200, "<html>", NULL, NULL, NULL } },
      REFUSED, "directory makes no sense", "<html>", 0, "", "dir" },

    { "nonce not allowed", NULL, NULL,
      { { "nonce", 0, 405, "", NULL, NULL, NULL } },
      REFUSED, "status 405", "", 0, "", "dir nonce" },

    { "nonce not allowed, order resumed", URL, KID,
      { { "nonce", 0, 405, "", NULL, NULL, NULL } },
      REFUSED, "status 405", "", 0, URL, "dir nonce" }
};


static void
test_flow_cases(void **state)
{
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < sizeof(test_cases) / sizeof(test_cases[0]); i++) {
        test_expect(&test_cases[i]);
    }
}


/* what a CA that is broken or malicious says instead: all refused */

static const struct {
    const char  *url;
    const char  *body;
    const char  *location;
    const char  *why;

} test_faults[] = {

    { "dir", "[]", NULL, "no object" },
    { "dir", "", NULL, "" },
    { "dir", "{\"newAccount\":\"" CA "a\",\"newOrder\":\"" CA "o\"}", NULL,
      "no newNonce" },
    { "dir", "{\"newNonce\":\"" CA "n\",\"newOrder\":\"" CA "o\"}", NULL,
      "no newAccount" },
    { "dir", "{\"newNonce\":\"" CA "n\",\"newAccount\":\"" CA "a\"}", NULL,
      "no newOrder" },
    { "dir", "{\"newNonce\":7,\"newAccount\":\"" CA "a\","
      "\"newOrder\":\"" CA "o\"}", NULL, "no newNonce" },
    { "dir", "{\"newNonce\":\"http://ca.test/n\",\"newAccount\":\"" CA "a\","
      "\"newOrder\":\"" CA "o\"}", NULL, "newNonce is no https URL" },
    { "dir", "{\"newNonce\":\"" CA "n\",\"newAccount\":\"/a\","
      "\"newOrder\":\"" CA "o\"}", NULL, "newAccount is no https URL" },
    { "dir", "{\"newNonce\":\"" CA "n\",\"newAccount\":\"" CA "a\","
      "\"newOrder\":\"\"}", NULL, "newOrder is no https URL" },
    { "dir", "{\"newNonce\":\"" CA "n\",\"newAccount\":\"" CA "a\","
      "\"newOrder\":\"" CA "o\",\"meta\":{\"termsOfService\":[]}}", NULL,
      "termsOfService" },

    { "order", "[]", URL, "no object" },
    { "order", "{}", URL, "no status" },
    { "order", "{\"status\":1}", URL, "no status" },
    { "order", "{\"status\":\"VALID\"}", URL, "status is unknown" },
    { "order", ORDER("pending", ""), NULL, "Location" },
    { "order", ORDER("pending", ""), "/order/1", "Location" },
    { "order", ORDER("pending", ""), "http://ca.test/order/1", "Location" },
    { "order", ORDER("valid", ""), URL, "no certificate" },
    { "order", ORDER("valid", ",\"certificate\":\"http://ca.test/\""), URL,
      "certificate is no https URL" },
    { "order", "{\"status\":\"pending\",\"authorizations\":[]}", URL,
      "no finalize" },
    { "order", "{\"status\":\"pending\",\"authorizations\":[],"
      "\"finalize\":\"x\"}", URL, "finalize is no https URL" },
    { "order", "{\"status\":\"pending\",\"authorizations\":{},"
      "\"finalize\":\"" CA "f\"}", URL, "no list of authorizations" },
    { "order", "{\"status\":\"pending\",\"authorizations\":[1],"
      "\"finalize\":\"" CA "f\"}", URL, "authorization is no https URL" },
    { "order", "{\"status\":\"pending\",\"authorizations\":[\"http://a/\"],"
      "\"finalize\":\"" CA "f\"}", URL, "authorization is no https URL" },
    { "order", "{\"status\":\"pending\",\"authorizations\":["
      "\"" CA "1\",\"" CA "2\",\"" CA "3\",\"" CA "4\",\"" CA "5\","
      "\"" CA "6\",\"" CA "7\",\"" CA "8\",\"" CA "9\","
      "\"" CA "a\",\"" CA "b\"],"
      "\"finalize\":\"" CA "f\"}", URL, "too many authorizations" },

    { "authz/1", "7", NULL, "no object" },
    { "authz/1", "{\"identifier\":" IDENTIFIER ",\"challenges\":[]}", NULL,
      "no status" },
    { "authz/1", AUTHZ("odd", ""), NULL, "status is unknown" },
    { "authz/1", "{\"status\":\"pending\",\"challenges\":[]}", NULL,
      "not for this name" },
    { "authz/1", "{\"identifier\":\"example.org\",\"status\":\"pending\","
      "\"challenges\":[]}", NULL, "not for this name" },
    { "authz/1", "{\"identifier\":{\"type\":\"ip\","
      "\"value\":\"example.org\"},\"status\":\"pending\",\"challenges\":[]}",
      NULL, "not for this name" },
    { "authz/1", "{\"identifier\":" IDENTIFIER ",\"status\":\"valid\"}", NULL,
      "no list of challenges" },
    { "authz/1", "{\"identifier\":" IDENTIFIER ",\"status\":\"valid\","
      "\"challenges\":\"http-01\"}", NULL, "no list of challenges" },
    { "authz/1", "{\"identifier\":" IDENTIFIER ",\"status\":\"pending\","
      "\"challenges\":[1,\"http-01\",{\"type\":{}}]}", NULL,
      "does not offer" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"token\":\"" TOKEN "\",\"status\":\"pending\"}"), NULL, "no url" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\",\"url\":\"x\","
      "\"token\":\"" TOKEN "\",\"status\":\"pending\"}"), NULL,
      "url is no https URL" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"token\":\"" TOKEN "\"}"), NULL,
      "no status" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"token\":\"" TOKEN "\","
      "\"status\":\"gone\"}"), NULL, "status is unknown" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"status\":\"pending\"}"), NULL,
      "no token" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"token\":[],\"status\":\"pending\"}"), NULL,
      "no token" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"token\":\"abcdefghijklmno\","
      "\"status\":\"pending\"}"), NULL, "too short or long" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"token\":\""
      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0\","
      "\"status\":\"pending\"}"), NULL, "too short or long" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"token\":\"../../../etc/passwd\","
      "\"status\":\"pending\"}"), NULL, "not base64url" },
    { "authz/1", AUTHZ("pending", ",{\"type\":\"http-01\","
      "\"url\":\"" CA "chall/1\",\"token\":\"dG9rZW4tb2YtdGhlLXRlc3Q=\","
      "\"status\":\"pending\"}"), NULL, "not base64url" },

    { "chall/1", "null", NULL, "no object" },
    { "chall/1", "{}", NULL, "no status" },
    { "chall/1", "{\"status\":\"?\"}", NULL, "status is unknown" },

    { "final/1", "[]", NULL, "no object" },
    { "final/1", "{\"status\":null}", NULL, "no status" },
    { "final/1", ORDER("valid", ""), NULL, "no certificate" },
    { "order/1", "\"valid\"", NULL, "no object" },
    { "order/1", ORDER("valid", ",\"certificate\":{}"), NULL,
      "no certificate" },
    { "cert/1", "", NULL, "certificate makes no sense" },

    { "account", "[]", KID, "no object" },
    { "account", "{}", KID, "no status" },
    { "account", "{\"status\":[]}", KID, "no status" },
    { "account", "{\"status\":\"valid\"}", NULL, "Location" },
    { "account", "{\"status\":\"valid\"}", "http://ca.test/1", "Location" }
};


static void
test_flow_faults(void **state)
{
    char         name[128];
    ngx_uint_t   i;
    test_case_t  c;

    (void) state;

    for (i = 0; i < sizeof(test_faults) / sizeof(test_faults[0]); i++) {
        ngx_memzero(&c, sizeof(test_case_t));

        (void) snprintf(name, sizeof(name), "fault %lu (%s)",
                        (unsigned long) i, test_faults[i].url);

        c.name = name;
        c.kind = REFUSED;
        c.why = test_faults[i].why;
        c.url = "";
        c.rules[0].url = test_faults[i].url;
        c.rules[0].status = 200;
        c.rules[0].body = test_faults[i].body;
        c.rules[0].location = test_faults[i].location;
        c.rules[0].type = "application/pem-certificate-chain";

        test_expect(&c);
    }
}


/* the steps of the happy path, in which each request may meet with a mishap */

static const struct {
    const char  *url;
    ngx_uint_t   nth;
    ngx_uint_t   once;          /* not repeated */
    time_t       at;            /* after NOW */
    const char  *kept;          /* the order that is left after a failure */
    const char  *seconds;       /* of the waits, if lost for ever */

} test_requests[] = {
    { "dir", 0, 0, 0, "", " dir 1 dir 2 dir 4 dir" },
    { "nonce", 0, 0, 0, "", " nonce 1 nonce 2 nonce 4 nonce" },
    { "account", 0, 1, 0, "", NULL },
    { "order", 0, 1, 0, "", NULL },
    { "authz/1", 0, 0, 0, URL,
      " authz/1 1 nonce authz/1 2 nonce authz/1 4 nonce authz/1" },
    { "chall/1", 0, 0, 0, URL,
      " chall/1{} 1 nonce chall/1{} 2 nonce chall/1{} 4 nonce chall/1{} "
      "UNPUBLISH" },
    { "final/1", 0, 1, 1, URL, NULL },
    { "order/1", 0, 0, 2, URL,
      " order/1 1 nonce order/1 2 nonce order/1 4 nonce order/1" },
    { "cert/1", 0, 0, 2, URL,
      " cert/1 1 nonce cert/1 2 nonce cert/1 4 nonce cert/1" }
};


static void
test_flow_lost(void **state)
{
    test_t      *t;
    ngx_str_t    did;
    ngx_uint_t   i, type;
    test_case_t  c;

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (i = 0; i < sizeof(test_requests) / sizeof(test_requests[0]); i++) {

        ngx_memzero(&c, sizeof(test_case_t));
        c.name = test_requests[i].url;
        c.rules[0].url = test_requests[i].url;
        c.rules[0].status = LOST;

        /* once */

        c.rules[0].nth = 1;
        c.kind = test_requests[i].once ? NETWORK : 0;
        c.why = "connection reset";
        c.url = test_requests[i].kept;

        test_expect(&c);

        /* for ever */

        c.rules[0].nth = 0;
        c.kind = NETWORK;

        test_expect(&c);

        if (test_requests[i].seconds == NULL) {
            continue;
        }

        test_init(t, &c);
        type = test_run(t);
        assert_int_equal(type, NGX_AUTOCERT_FLOW_FAILED);

        test_str(&did, (char *) t->did);
        if (i) {
            has(&c, "did", &did, test_requests[i].seconds);

        } else {
            has(&c, "did", &did, test_requests[i].seconds + 1);
        }

        test_done(t);
    }

    free(t);
}


static void
test_flow_later(void **state)
{
    ngx_uint_t   i;
    test_case_t  c;

    (void) state;

    for (i = 0; i < sizeof(test_requests) / sizeof(test_requests[0]); i++) {

        ngx_memzero(&c, sizeof(test_case_t));
        c.name = test_requests[i].url;
        c.rules[0].url = test_requests[i].url;
        c.rules[0].retry = "1000";
        c.rules[0].body = PROBLEM("serverInternal", "x");

        c.kind = LIMITED;
        c.detail = ngx_strcmp(c.name, "nonce") == 0 ? "" : "serverInternal: x";
        c.url = test_requests[i].kept;
        c.retry_at = 1000 + test_requests[i].at;

        c.rules[0].status = 503;
        test_expect(&c);

        c.rules[0].status = 429;
        test_expect(&c);

        /* other statuses of 5xx are a limit only with Retry-After */

        c.rules[0].status = 500;
        test_expect(&c);

        c.rules[0].nth = 1;
        c.rules[0].retry = NULL;
        c.kind = test_requests[i].once ? NETWORK : 0;
        c.retry_at = 0;
        test_expect(&c);

        c.rules[0].nth = 0;
        c.kind = NETWORK;
        test_expect(&c);
    }
}


static void
test_flow_bad_nonce(void **state)
{
    ngx_uint_t   i;
    test_rule_t  rules[2];
    test_case_t  c;

    (void) state;

    ngx_memzero(rules, sizeof(rules));
    ngx_memzero(&c, sizeof(test_case_t));

    /* ten times in a row, where the same request comes but once */

    for (i = 2; i < sizeof(test_requests) / sizeof(test_requests[0]); i++) {

        test_t      *t;
        ngx_uint_t   n, type;

        t = malloc(sizeof(test_t));
        assert_non_null(t);

        c.name = test_requests[i].url;
        test_init(t, &c);
        t->rules = rules;

        rules[0].status = 400;
        rules[0].body = PROBLEM("badNonce", "x");

        for (n = 0; n < ACTIONS; n++) {

            /* refused until ten are counted */

            rules[0].url = (t->flow.nbad < 9) ? test_requests[i].url : NULL;

            type = test_step(t);

            if (type == NGX_AUTOCERT_FLOW_DONE
                || type == NGX_AUTOCERT_FLOW_FAILED)
            {
                break;
            }
        }

        assert_int_equal(type, NGX_AUTOCERT_FLOW_DONE);
        assert_true(t->nsent >= 9 + 8);

        test_done(t);
        free(t);
    }
}


static void
test_flow_cancel(void **state)
{
    test_t      *t;
    ngx_uint_t   n, type;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (n = 0; n < ACTIONS; n++) {
        test_init(t, &c);
        t->cancelled = n;

        type = test_run(t);
        test_done(t);

        if (type == NGX_AUTOCERT_FLOW_DONE) {
            break;
        }

        assert_int_equal(t->flow.fail.kind, INTERNAL);
    }

    free(t);
    assert_int_equal(n, 17);
}


/* while a request is under way: what comes for it later is not heard */

static void
test_flow_cancel_pending(void **state)
{
    test_t                   *t;
    test_case_t               c;
    ngx_autocert_fail_t       fail;
    ngx_autocert_action_t     action, again;
    ngx_autocert_response_t   response;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    t = malloc(sizeof(test_t));
    assert_non_null(t);
    test_init(t, &c);

    ngx_autocert_flow_next(&t->flow, NOW, &action);
    assert_int_equal(action.type, NGX_AUTOCERT_FLOW_SEND);

    ngx_autocert_flow_next(&t->flow, NOW, &again);
    assert_memory_equal(&action, &again, sizeof(action));

    ngx_autocert_flow_cancel(&t->flow);

    ngx_memzero(&response, sizeof(response));
    response.status = 200;
    response.pool = t->pool;
    ngx_autocert_flow_took(&t->flow, NOW, &response);

    ngx_memzero(&fail, sizeof(fail));
    fail.kind = NETWORK;
    ngx_autocert_flow_lost(&t->flow, NOW, &fail);

    ngx_autocert_flow_next(&t->flow, NOW, &action);
    assert_int_equal(action.type, NGX_AUTOCERT_FLOW_FAILED);
    assert_int_equal(t->flow.fail.kind, INTERNAL);

    test_done(t);
    free(t);
}


/* the caller cannot: its own words are the failure, and the token goes */

static void
test_flow_unable(void **state)
{
    test_t                 *t;
    ngx_uint_t              n, type;
    test_case_t             c;
    ngx_autocert_fail_t     fail;
    ngx_autocert_action_t   action;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));
    ngx_memzero(&fail, sizeof(fail));
    fail.kind = INTERNAL;
    ngx_str_set(&fail.why, "disk full");

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (n = 0; n < ACTIONS; n++) {
        ngx_uint_t  i;

        test_init(t, &c);

        for (i = 0; i < n; i++) {
            (void) test_step(t);
        }

        ngx_autocert_flow_next(&t->flow, t->now, &action);

        if (action.type == NGX_AUTOCERT_FLOW_DONE) {
            test_done(t);
            break;
        }

        if (action.type == NGX_AUTOCERT_FLOW_SOLVE) {
            t->published = action.publish;
        }

        ngx_autocert_flow_lost(&t->flow, t->now, &fail);
        type = test_run(t);

        if ((action.type == NGX_AUTOCERT_FLOW_SOLVE && action.publish)
            || action.type == NGX_AUTOCERT_FLOW_SEND
            || action.type == NGX_AUTOCERT_FLOW_KEY
            || action.type == NGX_AUTOCERT_FLOW_SAVE)
        {
            assert_int_equal(type, NGX_AUTOCERT_FLOW_FAILED);
            assert_int_equal(t->flow.fail.kind, INTERNAL);
            has(&c, "why", &t->flow.fail.why, "disk full");
        }

        if (action.type == NGX_AUTOCERT_FLOW_SOLVE && !action.publish) {
            assert_int_equal(type, NGX_AUTOCERT_FLOW_DONE);
        }

        test_done(t);
    }

    free(t);
    assert_int_equal(n, 17);
}


static void
test_flow_memory(void **state)
{
    test_t      *t;
    ngx_uint_t   n, type;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));
    c.kid = KID;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (n = 1; n < 5000; n++) {
        test_init(t, &c);
        t->fail_at = n;

        type = test_run(t);

        if (type == NGX_AUTOCERT_FLOW_FAILED) {
            assert_true(t->flow.fail.kind == INTERNAL
                        || t->flow.fail.kind == REFUSED);
        }

        test_done(t);

        if (type == NGX_AUTOCERT_FLOW_DONE) {
            break;
        }
    }

    free(t);
    assert_true(n > 50 && n < 5000);
}


/* years of renewals: nothing of a flow stays in the issuer's pool */

static void
test_flow_issuer(void **state)
{
    test_t      *t;
    u_char      *urls;
    ngx_pool_t  *pool;
    test_case_t  c;
    ngx_uint_t   n;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    t = malloc(sizeof(test_t));
    assert_non_null(t);
    test_init(t, &c);

    urls = NULL;

    for (n = 0; n < 5; n++) {
        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        ngx_memzero(t->counts, sizeof(t->counts));
        t->last = t->did;
        ngx_str_null(&t->order.url);
        ngx_str_null(&t->order.csr);
        ngx_str_null(&t->order.chain);

        ngx_autocert_flow_init(&t->flow, pool, &t->issuer, &t->order);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
        ngx_destroy_pool(pool);

        assert_true(urls == NULL || urls == t->issuer.urls);
        urls = t->issuer.urls;

        /* the directory is read at the first time, and when it is old */

        assert_int_equal(t->counts[0], n == 0 || n == 3 || n == 4);
        assert_int_equal(t->counts[2], n == 0);

        if (n == 2) {
            t->now = t->issuer.read_at + 86400;
        }

        if (n == 3) {
            t->now = t->issuer.read_at - 1;
        }
    }

    test_done(t);
    free(t);
}


static void
test_flow_nonces(void **state)
{
    test_t                   *t;
    u_char                    text[300];
    ngx_uint_t                n;
    test_case_t               c;
    ngx_autocert_action_t     action;
    ngx_autocert_response_t   response;

    static const char  *bad[] = { "", "a b", "a+b", "a/b", "a=", "\xc3\xbc",
                                  "a\"b", NULL };

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    /* RFC 8555, 6.5.1: what is no nonce is ignored */

    for (n = 0; bad[n]; n++) {
        test_init(t, &c);
        (void) test_step(t);

        ngx_memzero(&response, sizeof(response));
        response.status = 200;
        response.pool = t->pool;
        test_str(&response.nonce, bad[n]);

        ngx_autocert_flow_next(&t->flow, t->now, &action);
        ngx_autocert_flow_took(&t->flow, t->now, &response);
        assert_int_equal(t->issuer.nnonces, 0);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
        assert_int_equal(t->flow.fail.kind, REFUSED);
        test_done(t);
    }

    /* the last eight are kept, the newest is taken first */

    test_init(t, &c);

    ngx_memset(text, 'a', sizeof(text));

    for (n = 0; n < 20; n++) {
        ngx_memzero(&response, sizeof(response));
        response.status = 500;
        response.pool = t->pool;
        (void) ngx_array_init(&response.links, t->pool, 1, sizeof(ngx_str_t));

        response.nonce.data = text;
        response.nonce.len = (n % 2) ? 1 + n : 257 + n;

        ngx_autocert_flow_init(&t->flow, t->pool, &t->issuer, &t->order);
        ngx_autocert_flow_next(&t->flow, t->now, &action);
        assert_int_equal(action.type, NGX_AUTOCERT_FLOW_SEND);
        ngx_autocert_flow_took(&t->flow, t->now, &response);
    }

    assert_int_equal(t->issuer.nnonces, NGX_AUTOCERT_FLOW_NONCES);
    assert_int_equal(t->issuer.nonces[0].len, 6);
    assert_int_equal(t->issuer.nonces[7].len, 20);

    test_done(t);
    free(t);
}


/* stale ones are stale together: the retry takes that of the refusal */

static void
test_flow_stale(void **state)
{
    test_t      *t;
    ngx_uint_t   n;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));
    c.kid = KID;
    c.rules[0].url = "order";
    c.rules[0].nth = 1;
    c.rules[0].status = 400;
    c.rules[0].body = PROBLEM("badNonce", "x");

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    test_init(t, &c);

    for (n = 0; n < 3; n++) {
        t->issuer.nonces[n].len = ngx_sprintf(t->issuer.nonces[n].data, "N%ui",
                                              NONCE + n)
                                  - t->issuer.nonces[n].data;
    }

    t->issuer.nnonces = 3;
    t->nonces = 3;

    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_int_equal(t->counts[1], 0);
    assert_int_equal(t->used[0], 0);
    assert_int_equal(t->used[1], 0);
    assert_int_equal(t->used[2], 1);
    assert_int_equal(t->used[3], 1);
    assert_true(t->issuer.read_at == NOW);

    test_done(t);

    /* and where it brings none, a new one is asked for */

    c.rules[0].type = test_no_nonce;

    test_init(t, &c);
    t->nonces = 1;
    t->issuer.nnonces = 2;
    t->issuer.nonces[0].len = 2;
    t->issuer.nonces[1].len = 2;
    ngx_memcpy(t->issuer.nonces[0].data, "N0", 2);
    ngx_memcpy(t->issuer.nonces[1].data, "N9", 2);

    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_int_equal(t->counts[1], 1);
    test_done(t);

    c.rules[0].type = NULL;

    /* what refuses newNonce may have moved: the directory is read again */

    c.rules[0].url = "nonce";
    c.rules[0].nth = 0;
    c.rules[0].status = 404;
    c.rules[0].body = PROBLEM("malformed", "x");

    test_init(t, &c);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    assert_true(t->issuer.read_at == 0);
    test_done(t);

    free(t);
}


static void
test_flow_contacts(void **state)
{
    test_t      *t;
    ngx_str_t    did, *contact;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));
    c.name = "contacts";

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    test_init(t, &c);
    t->issuer.contacts = NULL;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    test_str(&did, (char *) t->did);
    has(&c, "did", &did, " account{\"termsOfServiceAgreed\":true} ");
    test_done(t);

    test_init(t, &c);
    contact = ngx_array_push(t->issuer.contacts);
    test_str(contact, "a\"b@example.org");
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    test_str(&did, (char *) t->did);
    has(&c, "did", &did, "\"contact\":[\"mailto:admin@example.org\","
                         "\"mailto:a\\\"b@example.org\"]}");
    test_done(t);

    free(t);
}


/* RFC 8738: an address is asked for as such, and a name is no answer */

static void
test_flow_address(void **state)
{
    size_t       i;
    char         ip[64], *wanted = ip;
    test_t      *t;
    ngx_str_t    did;
    test_case_t  c;

    static const char  *names[] = {
        "192.0.2.1", "0.0.0.0", "2001:db8::1", "::1"
    };

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ngx_memzero(&c, sizeof(test_case_t));
        c.name = names[i];

        (void) snprintf(ip, sizeof(ip),
                        "{\"type\":\"ip\",\"value\":\"%s\"}", names[i]);

        test_init(t, &c);
        test_str(&t->order.name, names[i]);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
        test_str(&did, (char *) t->did);
        has(&c, "did", &did, wanted);
        has(&c, "why", &t->flow.fail.why, "not for this name");
        test_done(t);
    }

    free(t);
}


static int
test_setup(void **state)
{
    (void) state;

    test_key = EVP_EC_gen("P-256");

    return test_key == NULL;
}


static int
test_teardown(void **state)
{
    (void) state;

    EVP_PKEY_free(test_key);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_flow_cases),
        cmocka_unit_test(test_flow_faults),
        cmocka_unit_test(test_flow_lost),
        cmocka_unit_test(test_flow_later),
        cmocka_unit_test(test_flow_bad_nonce),
        cmocka_unit_test(test_flow_cancel),
        cmocka_unit_test(test_flow_cancel_pending),
        cmocka_unit_test(test_flow_unable),
        cmocka_unit_test(test_flow_memory),
        cmocka_unit_test(test_flow_issuer),
        cmocka_unit_test(test_flow_nonces),
        cmocka_unit_test(test_flow_stale),
        cmocka_unit_test(test_flow_contacts),
        cmocka_unit_test(test_flow_address)
    };

    return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
