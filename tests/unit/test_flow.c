
/* A scripted CA, and flows that run against it. */


#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <malloc.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "../../src/acme/ngx_autocert_flow.h"
#include "../../src/base/ngx_autocert_base64.h"
#include "../../src/keys/ngx_autocert_signer.h"
#include "ngx_stub.h"


#define NOW       1700000000
#define CA        "https://ca.test/"
#define LOST      1
#define NONCE     9           /* number of the first: lengths differ */
#define RULES     6
#define ACTIONS   1200
#define CERTID    "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
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

    ngx_autocert_revocation_t  revocation;
    ngx_autocert_jose_key_t    own;         /* key of the certificate */

    const test_rule_t      *rules;
    time_t                  now;
    ngx_uint_t              nonces;         /* given out */
    ngx_uint_t              used[4096];
    ngx_uint_t              counts[16];
    ngx_uint_t              published;
    ngx_uint_t              nsent;
    ngx_uint_t              cancelled;
    ngx_uint_t              fail_at;        /* nth allocation */
    time_t                  slow;           /* seconds of each request */
    ngx_uint_t              brief;          /* waits that may be cut short */
    u_char                 *last;
    u_char                  did[65536];
} test_t;


static const test_rule_t  test_answers[] = {

    { "dir", 0, 200,
      "{\"newNonce\":\"" CA "nonce\",\"newAccount\":\"" CA "account\","
      "\"newOrder\":\"" CA "order\",\"x\":{\"y\":[1]},"
      "\"renewalInfo\":\"" CA "renew\","
      "\"revokeCert\":\"" CA "revoke\","
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

    { "acct/1", 0, 200, "{\"status\":\"valid\"}", NULL, NULL, NULL },

    { "renew/" CERTID, 0, 200,
      "{\"suggestedWindow\":{\"start\":\"2023-11-15T00:00:00Z\","
      "\"end\":\"2023-11-16T00:00:00Z\"}}", NULL, NULL, NULL },

    { "revoke", 0, 200, "", NULL, NULL, NULL },

    { NULL, 0, 0, NULL, NULL, NULL, NULL }
};


static const char  *test_resources[] = {
    "dir", "nonce", "account", "order", "order/1", "authz/1", "authz/2",
    "chall/1", "final/1", "cert/1", "final/2", "acct/1", "renew/" CERTID,
    "revoke", NULL
};


static EVP_PKEY               *test_key;
static ngx_autocert_signer_t  *test_signer;    /* of test_key */

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
    t->issuer.key.sign = ngx_autocert_signer_sign;
    t->issuer.key.data = test_signer;

    test_str(&t->order.name, "example.org");
    test_str(&t->order.challenge, "http-01");
    test_str(&t->order.url, c->order);

    ngx_autocert_flow_init(&t->flow, t->pool, &t->issuer, &t->order,
                           NGX_AUTOCERT_GOAL_CERTIFICATE);
}


/* the flow anew, as that of the next turn */

static void
test_again(test_t *t, ngx_uint_t goal)
{
    ngx_str_null(&t->order.csr);
    ngx_str_null(&t->order.chain);

    ngx_memzero(t->counts, sizeof(t->counts));
    t->last = t->did;
    t->nsent = 0;

    ngx_autocert_flow_init(&t->flow, t->pool, &t->issuer,
                           goal == NGX_AUTOCERT_GOAL_CONTACTS ? NULL
                                                              : &t->order,
                           goal);

    if (goal == NGX_AUTOCERT_GOAL_REVOCATION) {
        ngx_memzero(&t->revocation, sizeof(t->revocation));
        test_str(&t->revocation.certificate, "DER");
        t->revocation.reason = 4;
        t->revocation.key = &t->own;
        t->own = t->issuer.key;
        t->flow.revocation = &t->revocation;
    }
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
    assert_true(url->len <= NGX_AUTOCERT_MESSAGE_URL);
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

    if (ngx_strcmp(resource, "account") == 0
        || (ngx_strcmp(resource, "revoke") == 0 && t->revocation.own))
    {
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
    t->now += t->slow;
    resource = test_resource(&request->url);

    for (i = 0; test_resources[i] != resource; i++) { /* void */ }

    t->counts[i]++;

    if (request->method == NGX_AUTOCERT_POST) {
        test_jws(t, request, resource);

    } else {
        assert_int_equal(request->body.len, 0);
        assert_int_equal(request->method, ngx_strcmp(resource, "nonce") == 0
                                          ? NGX_AUTOCERT_HEAD
                                          : NGX_AUTOCERT_GET);
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
        assert_true(action.until - t->now <= NGX_AUTOCERT_FLOW_LIFE);
        test_did(t, "%T", action.until - t->now);
        t->now = action.until;
        t->brief += action.brief;
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
        assert_true(!action.order
                    || t->flow.goal == NGX_AUTOCERT_GOAL_CERTIFICATE);
        break;

    case NGX_AUTOCERT_FLOW_DONE:

        if (t->flow.goal != NGX_AUTOCERT_GOAL_CERTIFICATE) {
            break;
        }

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
      CREATED " 1 order/1 1 order/1 2 order/1 4 order/1 8 order/1 "
      "10 order/1 10 order/1 10 order/1 10 order/1 4 order/1" },

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
      RESUMED " authz/1 PUBLISH 1 authz/1 1 authz/1 2 authz/1 4 authz/1"
      " 8 authz/1 chall/1{} 1 authz/1 UNPUBLISH " ISSUED },

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
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 1 authz/1 2 authz/1 "
      "4 authz/1 8 authz/1 10 authz/1 10 authz/1 10 authz/1 10 authz/1 "
      "10 authz/1 10 authz/1 10 authz/1 10 authz/1 10 authz/1 10 authz/1 "
      "4 authz/1 UNPUBLISH" },

    { "validation takes a day", NULL, NULL,
      { { "authz/1", 2, 200, AUTHZ("pending", HTTP01("pending", "")), "86400",
          NULL, NULL } },
      LIMITED, "takes longer than 120 s", "", 86401, URL,
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 UNPUBLISH" },

    { "busy while validating", NULL, NULL,
      { { "authz/1", 2, 503, "", "5", NULL, NULL },
        { "authz/1", 3, 429, "", NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " authz/1 PUBLISH chall/1{} 1 authz/1 5 authz/1 2 authz/1 "
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
      CREATED " " SOLVED " KEY " FINAL " 1 order/1 1 order/1 2 order/1 "
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

    { "finalize busy", NULL, NULL,
      { { "final/1", 0, 503, "busy", "60", NULL, NULL } },
      LIMITED, "later", "\"busy\"", 61, URL,
      CREATED " " SOLVED " KEY " FINAL },

    { "finalized, a rate limit", NULL, NULL,
      { { "order/1", 0, 429, PROBLEM("rateLimited", "x"), "600", NULL,
          NULL } },
      LIMITED, "rate limit", "rateLimited: x", 602, URL,
      CREATED " " SOLVED " KEY " FINAL " 1 order/1" },

    { "finalized, a rate limit that tells when", NULL, NULL,
      { { "order/1", 1, 429,
          PROBLEM("rateLimited", "retry after 2023-11-14 22:13:52 UTC"),
          NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " KEY " FINAL " 1 order/1 30 order/1 cert/1" },

    { "finalized, Retry-After in both forms", NULL, NULL,
      { { "final/1", 0, 200, ORDER("processing", ""), "3", NULL, NULL },
        { "order/1", 1, 200, ORDER("processing", ""),
          "Tue, 14 Nov 2023 22:13:33 GMT", NULL, NULL },
        { "order/1", 2, 200, ORDER("processing", ""),
          "Tue, 14 Nov 2023 22:13:20 GMT", NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      CREATED " " SOLVED " KEY " FINAL " 3 order/1 9 order/1 1 order/1 "
      "cert/1" },

    { "challenge valid at once", NULL, NULL,
      { { "chall/1", 0, 200, CHALLENGE("http-01", "valid", ""), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL, CREATED " " SOLVED " " ISSUED },

    { "members in another order", URL, KID,
      { { "order/1", 1, 200,
          "{\"finalize\":\"" CA "final/1\",\"authorizations\":["
          "\"" CA "authz/2\",\"" CA "authz/1\"],\"identifiers\":"
          "[{\"value\":\"EXAMPLE.ORG\",\"type\":\"dns\"}],"
          "\"status\":\"pending\"}", NULL, NULL, NULL },
        { "authz/1", 1, 200,
          "{\"challenges\":[],\"status\":\"valid\",\"identifier\":"
          "{\"value\":\"example.ORG\",\"type\":\"dns\"}}", NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " authz/2 PUBLISH 1 authz/2 UNPUBLISH authz/1 " ISSUED },

    { "resume two names, ours among them", URL, KID,
      { { "order/1", 1, 200,
          "{\"status\":\"ready\",\"identifiers\":["
          "{\"type\":\"dns\",\"value\":\"example.com\"}," IDENTIFIER
          "],\"finalize\":\"" CA "final/2\"}", NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      RESUMED " SAVE: " NEWORDER " " SAVED " " SOLVED " " ISSUED },

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


/* what is in a pool, where each allocation is one of malloc() */

static size_t
test_held(ngx_pool_t *pool)
{
    size_t             size;
    ngx_pool_large_t  *large;

    size = 0;

    for (large = pool->large; large; large = large->next) {
        size += malloc_usable_size(large->alloc);
    }

    for ( /* void */ ; pool; pool = pool->d.next) {
        size += pool->d.end - (u_char *) pool;
    }

    return size;
}


/* An object of these members that is as large, and as many, as may be. */

static char *
test_huge(const char *members, const char *sub)
{
    size_t       len;
    char        *body;
    ngx_uint_t   i;

    body = malloc(NGX_AUTOCERT_MESSAGE_BODY + 1);
    assert_non_null(body);

    len = sprintf(body, "{%s,\"subproblems\":[{}", members);

    for (i = 0; i < 1500; i++) {
        len += sprintf(body + len, ",%s", sub);
    }

    len += sprintf(body + len, "],\"x\":\"");

    while (len < NGX_AUTOCERT_MESSAGE_BODY - 4) {
        len += sprintf(body + len, "\\/");
    }

    (void) sprintf(body + len, "\"}");

    return body;
}


/* a CA that has an answer to everything, and each as large as it may be */

static void
test_flow_endless(void **state)
{
    test_t      *t;
    char        *refusal, *order;
    ngx_uint_t   n, type;
    test_case_t  c;
    ngx_pool_t  *pool;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    refusal = test_huge("\"type\":\"urn:ietf:params:acme:error:badNonce\"",
                        "{\"detail\":\"xxxxxxxxxxx\"}");
    order = test_huge("\"status\":\"processing\","
                      "\"finalize\":\"" CA "final/1\"", "[[],0,\"\\/\"]");

    c.rules[0].url = "order/1";

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    test_init(t, &c);
    t->flow.pool = pool;

    for (n = 0; n < 20 * ACTIONS; n++) {

        if (t->counts[4] % 11 == 10) {
            c.rules[0].status = 200;
            c.rules[0].body = order;
            c.rules[0].retry = "1";

        } else {
            c.rules[0].status = 400;
            c.rules[0].body = refusal;
            c.rules[0].retry = NULL;
        }

        t->last = t->did;
        type = test_step(t);

        if (type == NGX_AUTOCERT_FLOW_FAILED) {
            break;
        }
    }

    assert_int_equal(type, NGX_AUTOCERT_FLOW_FAILED);
    assert_int_equal(t->flow.fail.kind, NETWORK);
    has(&c, "why", &t->flow.fail.why, "the CA accepts no nonce");
    has(&c, "detail", &t->flow.fail.detail, "badNonce (xxxxxxxxxxx) (xxx");
    assert_true(t->counts[4] > 100 && t->counts[4] < 120);
    assert_true(test_held(pool) < 256 * 1024);
    test_done(t);

    /* each second, as long as it may last */

    ngx_reset_pool(pool);

    c.rules[0].status = 200;
    c.rules[0].body = order;
    c.rules[0].retry = "1";

    test_init(t, &c);
    t->flow.pool = pool;

    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    has(&c, "why", &t->flow.fail.why, "the CA takes longer than 300 s");
    assert_true(t->counts[4] > 290 && t->counts[4] < 310);
    assert_true(test_held(pool) < 512 * 1024);

    test_done(t);

    ngx_destroy_pool(pool);
    free(refusal);
    free(order);
    free(t);
}


/* what could not be copied is not there */

static void
test_flow_copy(void **state)
{
    ngx_str_t            dst, src;
    ngx_autocert_flow_t  flow;

    (void) state;

    ngx_memzero(&flow, sizeof(ngx_autocert_flow_t));
    flow.pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(flow.pool);

    ngx_str_set(&src, "new");
    ngx_str_set(&dst, "before");

    ngx_stub_fail_at = 1;
    assert_int_equal(ngx_autocert_flow_copy(&flow, &dst, &src), NGX_ERROR);
    ngx_stub_fail_at = 0;

    assert_int_equal(dst.len, 0);
    assert_null(dst.data);

    assert_int_equal(ngx_autocert_flow_copy(&flow, &dst, &src), NGX_OK);
    assert_int_equal(dst.len, 3);
    assert_memory_equal(dst.data, "new", 3);

    ngx_destroy_pool(flow.pool);
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

        ngx_autocert_flow_init(&t->flow, pool, &t->issuer, &t->order,
                               NGX_AUTOCERT_GOAL_CERTIFICATE);
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

        ngx_autocert_flow_init(&t->flow, t->pool, &t->issuer, &t->order,
                               NGX_AUTOCERT_GOAL_CERTIFICATE);
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


/* the CA is told which certificate is replaced, and is not if it minds */

#define REPLACES   "order{\"identifiers\":"                                   \
                   "[{\"type\":\"dns\",\"value\":\"example.org\"}],"          \
                   "\"replaces\":\"" CERTID "\"}"
#define DIRECTORY  "{\"newNonce\":\"" CA "nonce\","                           \
                   "\"newAccount\":\"" CA "account\","                        \
                   "\"newOrder\":\"" CA "order\""
#define RENEWAL    "renew/" CERTID
#define WINDOW(start, end, more)                                              \
    "{\"suggestedWindow\":{\"start\":\"" start "\",\"end\":\"" end "\"}" more \
    "}"

#define NAME       NGX_AUTOCERT_FAIL_NAME
#define DOMAIN     NGX_AUTOCERT_FAIL_DOMAIN
#define ALL        NGX_AUTOCERT_FAIL_CA
#define WINDOWS    NGX_AUTOCERT_FAIL_WINDOWS


static void
test_flow_replaces(void **state)
{
    test_t      *t;
    ngx_str_t    did;
    ngx_uint_t   i, type;
    test_case_t  c;

    static const struct {
        ngx_uint_t   status;
        const char  *body;
        const char  *retry;
        ngx_uint_t   again;
        ngx_uint_t   kind;      /* if the second one is refused as well */

    } refusals[] = {
        { 409, PROBLEM("alreadyReplaced", "x"), NULL, 1, REFUSED },
        { 409, PROBLEM("malformed", "x"), NULL, 1, REFUSED },
        { 400, PROBLEM("malformed", "x"), NULL, 1, REFUSED },
        { 404, PROBLEM("malformed", "x"), NULL, 1, REFUSED },
        { 404, "", NULL, 1, REFUSED },
        { 403, PROBLEM("unauthorized", "x"), NULL, 1, CONFIG },
        { 500, PROBLEM("serverInternal", "x"), NULL, 1, NETWORK },
        { 500, PROBLEM("serverInternal", "x"), "9", 1, LIMITED },

        { 429, PROBLEM("rateLimited", "x"), NULL, 0, LIMITED },
        { 429, PROBLEM("malformed", "x"), NULL, 0, LIMITED },
        { 400, PROBLEM("rateLimited", "x"), NULL, 0, LIMITED },
        { 503, PROBLEM("serverInternal", "x"), NULL, 0, LIMITED },
        { 502, "", NULL, 0, NETWORK },
        { 301, "", NULL, 0, REFUSED },
        { LOST, NULL, NULL, 0, NETWORK }
    };

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {

        ngx_memzero(&c, sizeof(test_case_t));
        c.name = refusals[i].body ? refusals[i].body : "lost";
        c.kid = KID;
        c.rules[0].url = "order";
        c.rules[0].nth = 1;
        c.rules[0].status = refusals[i].status;
        c.rules[0].body = refusals[i].body;
        c.rules[0].retry = refusals[i].retry;

        test_init(t, &c);
        test_str(&t->order.certid, CERTID);
        type = test_run(t);

        test_str(&did, (char *) t->did);
        has(&c, "did", &did, "dir nonce " REPLACES);

        if (refusals[i].again) {
            assert_int_equal(type, NGX_AUTOCERT_FLOW_DONE);
            has(&c, "did", &did, REPLACES " " NEWORDER " " SAVED);

        } else {
            assert_int_equal(type, NGX_AUTOCERT_FLOW_FAILED);
            assert_int_equal(t->flow.fail.kind, refusals[i].kind);
            assert_int_equal(t->nsent, 3);
        }

        test_done(t);

        /* refused whatever it names */

        c.rules[0].nth = 0;

        test_init(t, &c);
        test_str(&t->order.certid, CERTID);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
        assert_int_equal(t->flow.fail.kind, refusals[i].kind);
        assert_int_equal(t->counts[3], 1 + refusals[i].again);
        test_done(t);

        /* and without it once is enough */

        test_init(t, &c);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
        assert_int_equal(t->counts[3], 1);
        test_done(t);
    }

    free(t);
}


static void
test_flow_replaces_account(void **state)
{
    test_t      *t;
    ngx_str_t    did;
    test_case_t  c;

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    /* a nonce is no reason */

    ngx_memzero(&c, sizeof(test_case_t));
    c.name = "replaces, badNonce";
    c.kid = KID;
    c.rules[0].url = "order";
    c.rules[0].status = 400;
    c.rules[0].body = PROBLEM("badNonce", "x");

    test_init(t, &c);
    test_str(&t->order.certid, CERTID);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    assert_int_equal(t->flow.fail.kind, NETWORK);
    assert_int_equal(t->counts[3], 11);
    assert_null(strstr((char *) t->did, NEWORDER));
    test_done(t);

    /* another account has replaced nothing */

    c.name = "replaces, account gone";
    c.kid = CA "acct/0";
    c.rules[0].nth = 1;
    c.rules[0].body = PROBLEM("accountDoesNotExist", "x");

    test_init(t, &c);
    test_str(&t->order.certid, CERTID);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    test_str(&did, (char *) t->did);
    has(&c, "did", &did, REPLACES " SAVE: account" ACCOUNT " " NEWORDER " ");
    test_done(t);

    free(t);
}


/* a directory without renewalInfo, or with one of no use, is as good */

static void
test_flow_renewal_info(void **state)
{
    char        *end;
    test_t      *t;
    ngx_str_t    did;
    ngx_uint_t   i;
    test_case_t  c;

    static const char  *bodies[] = {
        DIRECTORY "}",
        DIRECTORY ",\"renewalInfo\":\"http://ca.test/renew\"}",
        DIRECTORY ",\"renewalInfo\":\"/renew\"}",
        DIRECTORY ",\"renewalInfo\":\"\"}",
        DIRECTORY ",\"renewalInfo\":null}",
        DIRECTORY ",\"renewalInfo\":[\"" CA "renew\"]}"
    };

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    ngx_memzero(&c, sizeof(test_case_t));
    c.name = "no renewalInfo";
    c.kid = KID;
    c.rules[0].url = "dir";
    c.rules[0].status = 200;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {

        c.rules[0].body = bodies[i];

        test_init(t, &c);
        test_str(&t->order.certid, CERTID);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
        test_str(&did, (char *) t->did);
        has(&c, "did", &did, "dir nonce " NEWORDER " ");
        assert_int_equal(t->issuer.renewal_info.len, 0);

        /* there is nothing to be asked then */

        test_again(t, NGX_AUTOCERT_GOAL_WINDOW);
        t->issuer.read_at = 0;
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
        assert_string_equal((char *) t->did, "dir");
        assert_int_equal(t->flow.window.start, 0);
        test_done(t);
    }

    /* a URL that is too long is none; the longest is kept whole */

    for (i = 0; i < 2; i++) {
        char  body[4096], url[2100];

        (void) memset(url, 'u', sizeof(url));
        (void) memcpy(url, CA, sizeof(CA) - 1);
        url[NGX_AUTOCERT_MESSAGE_URL + i] = '\0';

        end = body + snprintf(body, sizeof(body),
                              DIRECTORY ",\"renewalInfo\":\"%s\"}", url);
        assert_true(end < body + sizeof(body));
        c.rules[0].body = body;

        test_init(t, &c);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
        assert_int_equal(t->issuer.renewal_info.len,
                         i ? 0 : NGX_AUTOCERT_MESSAGE_URL);
        test_done(t);
    }

    free(t);
}


static const struct {
    ngx_uint_t   status;
    const char  *body;
    const char  *retry;
    const char  *why;           /* NULL: DONE */
    time_t       start;         /* after NOW */
    time_t       end;
    time_t       retry_at;
    const char  *url;

} test_windows[] = {

    { 200, WINDOW("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z", ""), NULL,
      NULL, 1, 2, 0, "" },
    { 200, WINDOW("2023-11-14T22:13:21.999999999Z",
                  "2023-11-15T00:13:22.0+02:00", ""), "21600",
      NULL, 1, 2, 21600, "" },
    { 201, WINDOW("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z",
                  ",\"explanationURL\":\"https://ca.test/why\n\""), NULL,
      "makes no sense", 0, 0, 0, "" },
    { 200, WINDOW("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z",
                  ",\"explanationURL\":\"https://ca.test/why\",\"x\":[]"),
      "Tue, 14 Nov 2023 22:14:20 GMT", NULL, 1, 2, 60,
      "https://ca.test/why" },
    { 200, WINDOW("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z",
                  ",\"explanationURL\":\"a\\n\\u001b[31m\""), "later", NULL,
      1, 2, 0, "a??[31m" },
    { 200, WINDOW("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z",
                  ",\"explanationURL\":7"), "-1", NULL, 1, 2, 0, "" },
    { 200, WINDOW("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z",
                  ",\"explanationURL\":null"), "99999999", NULL, 1, 2,
      604800, "" },

    /* well-formed, whatever is to be thought of it */

    { 200, WINDOW("2023-11-14T22:13:19Z", "2023-11-14T22:13:18Z", ""), NULL,
      NULL, -1, -2, 0, "" },
    { 200, WINDOW("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", ""), NULL,
      NULL, 1 - NOW, 1 - NOW, 0, "" },

    /* malformed */

    { 200, "", NULL, "renewal window makes no sense", 0, 0, 0, "" },
    { 200, "[]", NULL, "no object", 0, 0, 0, "" },
    { 200, "{}", NULL, "no suggestedWindow", 0, 0, 0, "" },
    { 200, "{\"suggestedWindow\":null}", NULL, "no suggestedWindow", 0, 0, 0,
      "" },
    { 200, "{\"suggestedWindow\":[1,2]}", NULL, "no suggestedWindow", 0, 0, 0,
      "" },
    { 200, "{\"suggestedWindow\":{}}", NULL, "has no start", 0, 0, 0, "" },
    { 200, "{\"suggestedWindow\":{\"start\":1,\"end\":2}}", NULL,
      "has no start", 0, 0, 0, "" },
    { 200, "{\"suggestedWindow\":{\"start\":\"2023-11-14T22:13:21Z\"}}", NULL,
      "has no end", 0, 0, 0, "" },
    { 200, WINDOW("soon", "2023-11-14T22:13:22Z", ""), NULL,
      "start is no instant", 0, 0, 0, "" },
    { 200, WINDOW("2023-11-14T22:13:22Z", "2023-11-14", ""), NULL,
      "end is no instant", 0, 0, 0, "" },
    { 200, WINDOW("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", ""), NULL,
      "start is no instant", 0, 0, 0, "" },
    { 200, WINDOW("2023-11-14T22:13:22.Z", "2023-11-14T22:13:22Z", ""), NULL,
      "start is no instant", 0, 0, 0, "" }
};


/* a flow that asks for a window; the directory was read a minute before */

static void
test_window(test_t *t, test_case_t *c, ngx_uint_t status, const char *body,
    const char *retry)
{
    ngx_memzero(c, sizeof(test_case_t));
    c->name = body ? body : "lost";
    c->rules[0].url = RENEWAL;
    c->rules[0].status = status;
    c->rules[0].body = body;
    c->rules[0].retry = retry;

    test_init(t, c);
    test_again(t, NGX_AUTOCERT_GOAL_WINDOW);
    test_str(&t->order.certid, CERTID);
    test_str(&t->order.url, URL);
    t->flow.own.certid = t->order.certid;

    test_str(&t->issuer.renewal_info, CA "renew");
    t->issuer.read_at = NOW - 60;
}


static void
test_flow_window(void **state)
{
    test_t                 *t;
    ngx_uint_t              i, type;
    test_case_t             c;
    ngx_autocert_window_t  *window;

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (i = 0; i < sizeof(test_windows) / sizeof(test_windows[0]); i++) {

        test_window(t, &c, test_windows[i].status, test_windows[i].body,
                    test_windows[i].retry);

        type = test_run(t);
        window = &t->flow.window;

        assert_string_equal((char *) t->did, RENEWAL);
        assert_int_equal(t->order.url.len, sizeof(URL) - 1);
        assert_int_equal(t->issuer.read_at, NOW - 60);

        if (test_windows[i].why) {
            assert_int_equal(type, NGX_AUTOCERT_FLOW_FAILED);
            assert_int_equal(t->flow.fail.kind, REFUSED);
            assert_int_equal(t->flow.fail.scope, NAME);
            has(&c, "why", &t->flow.fail.why, test_windows[i].why);
            assert_int_equal(window->start, 0);
            test_done(t);
            continue;
        }

        if (type != NGX_AUTOCERT_FLOW_DONE
            || window->start != NOW + test_windows[i].start
            || window->end != NOW + test_windows[i].end
            || window->retry_at != (test_windows[i].retry_at
                                    ? NOW + test_windows[i].retry_at : 0))
        {
            fail_msg("%s: %ld to %ld, again at %ld", test_windows[i].body,
                     (long) (window->start - NOW), (long) (window->end - NOW),
                     (long) window->retry_at);
        }

        assert_int_equal(window->url.len, ngx_strlen(test_windows[i].url));
        has(&c, "url", &window->url, test_windows[i].url);
        test_done(t);
    }

    /* a slash between, never two */

    test_window(t, &c, 200, WINDOW("2023-11-14T22:13:21Z",
                                   "2023-11-14T22:13:22Z", ""), NULL);
    test_str(&t->issuer.renewal_info, CA "renew/");
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_string_equal((char *) t->did, RENEWAL);
    test_done(t);

    /* an old directory is read again, by a flow without an account */

    test_window(t, &c, 200, WINDOW("2023-11-14T22:13:21Z",
                                   "2023-11-14T22:13:22Z", ""), NULL);
    t->issuer.read_at = NOW - 86400;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_string_equal((char *) t->did, "dir " RENEWAL);
    assert_int_equal(t->issuer.read_at, NOW);
    assert_int_equal(t->flow.window.start, NOW + 1);
    test_done(t);

    free(t);
}


static void
test_flow_window_refused(void **state)
{
    test_t      *t;
    ngx_uint_t   i;
    test_case_t  c;

    static const struct {
        ngx_uint_t   status;
        const char  *body;
        const char  *retry;
        ngx_uint_t   kind;
        ngx_uint_t   scope;
        time_t       retry_at;
        ngx_uint_t   gone;      /* the directory is to be read again */
        ngx_uint_t   sent;

    } refusals[] = {
        { 404, PROBLEM("malformed", "x"), NULL, REFUSED, NAME, 0, 1, 1 },
        { 410, "", NULL, REFUSED, NAME, 0, 1, 1 },
        { 400, PROBLEM("malformed", "x"), "9", REFUSED, NAME, 9, 0, 1 },
        { 403, PROBLEM("userActionRequired", "x"), NULL, CONFIG, NAME, 0, 0,
          1 },
        { 400, PROBLEM("accountDoesNotExist", "x"), NULL, CONFIG, NAME, 0, 0,
          1 },
        { 429, PROBLEM("rateLimited", "x"), "9", LIMITED, WINDOWS, 9, 0, 1 },
        { 503, PROBLEM("rateLimited", "Service busy"), "9", LIMITED, WINDOWS,
          9, 0, 1 },
        { 400, PROBLEM("rateLimited", "Service Busy; retry later."), NULL,
          LIMITED, WINDOWS, 0, 0, 1 },
        { 500, "", NULL, NETWORK, WINDOWS, 0, 0, 4 },
        { LOST, NULL, NULL, NETWORK, WINDOWS, 0, 0, 4 }
    };

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {

        test_window(t, &c, refusals[i].status, refusals[i].body,
                    refusals[i].retry);
        test_str(&t->issuer.kid, KID);

        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);

        if (t->flow.fail.kind != refusals[i].kind
            || t->flow.fail.scope != refusals[i].scope
            || (t->issuer.read_at == 0) != refusals[i].gone
            || t->nsent != refusals[i].sent
            || t->flow.fail.retry_at != (refusals[i].retry_at
                                         ? NOW + refusals[i].retry_at : 0))
        {
            fail_msg("%s: kind %lu, scope %lu", c.name,
                     (unsigned long) t->flow.fail.kind,
                     (unsigned long) t->flow.fail.scope);
        }

        assert_int_equal(t->order.url.len, sizeof(URL) - 1);
        assert_int_equal(t->issuer.kid.len, sizeof(KID) - 1);
        assert_string_equal(ngx_autocert_flow_name(&t->flow),
                            "asking when to renew");
        test_done(t);
    }

    free(t);
}


#define CONTACTS  "acct/1{\"contact\":[\"mailto:admin@example.org\"]}"


static const test_case_t  test_updates[] = {

    { "contacts", NULL, KID, { { 0 } }, 0, NULL, NULL, 0, NULL,
      "dir nonce " CONTACTS " SAVE:" KID },

    { "contacts, registered with them", NULL, NULL, { { 0 } }, 0, NULL, NULL,
      0, NULL, BEGIN },

    { "contacts, registered before", NULL, NULL,
      { { "account", 0, 200, "{\"status\":\"valid\"}", NULL, KID, NULL } },
      0, NULL, NULL, 0, NULL, BEGIN " " CONTACTS " SAVE:" KID },

    { "contacts, account gone", NULL, KID,
      { { "acct/1", 1, 400, PROBLEM("accountDoesNotExist", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL,
      "dir nonce " CONTACTS " SAVE: account" ACCOUNT },

    { "contacts, answer without a body", NULL, KID,
      { { "acct/1", 0, 204, "", NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, "dir nonce " CONTACTS " SAVE:" KID },

    { "contacts, lost", NULL, KID,
      { { "acct/1", 1, LOST, NULL, NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      "dir nonce " CONTACTS " 1 nonce " CONTACTS " SAVE:" KID },

    { "contacts, badNonce", NULL, KID,
      { { "acct/1", 1, 400, PROBLEM("badNonce", "x"), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL,
      "dir nonce " CONTACTS " " CONTACTS " SAVE:" KID },

    { "contacts refused", NULL, KID,
      { { "acct/1", 0, 400, PROBLEM("invalidContact", "x"), NULL, NULL,
          NULL } },
      CONFIG, "refuses the contact", "invalidContact: x", 0, "",
      "dir nonce " CONTACTS },

    { "contacts of a deactivated account", NULL, KID,
      { { "acct/1", 0, 403, PROBLEM("unauthorized", "x"), NULL, NULL,
          NULL } },
      CONFIG, "refuses the account", "unauthorized: x", 0, "",
      "dir nonce " CONTACTS },

    { "contacts, later", NULL, KID,
      { { "acct/1", 0, 429, PROBLEM("rateLimited", "x"), "60", NULL,
          NULL } },
      LIMITED, "rate limit", "rateLimited: x", 60, "", "dir nonce " CONTACTS }
};


static void
test_flow_update(void **state)
{
    test_t             *t;
    ngx_uint_t          i, type;
    const test_case_t  *c;

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (i = 0; i < sizeof(test_updates) / sizeof(test_updates[0]); i++) {

        c = &test_updates[i];

        test_init(t, c);
        test_str(&t->order.url, URL);
        test_again(t, NGX_AUTOCERT_GOAL_CONTACTS);
        type = test_run(t);

        if (ngx_strcmp(t->did, c->did) != 0) {
            fail_msg("%s: did\n%s\nnot\n%s", c->name, (char *) t->did, c->did);
        }

        assert_int_equal(type, c->kind ? NGX_AUTOCERT_FLOW_FAILED
                                       : NGX_AUTOCERT_FLOW_DONE);
        assert_int_equal(t->flow.fail.kind, c->kind);
        has(c, "why", &t->flow.fail.why, c->why);
        has(c, "detail", &t->flow.fail.detail, c->detail);
        assert_int_equal(t->flow.fail.retry_at,
                         c->retry_at ? NOW + c->retry_at : 0);

        assert_int_equal(t->order.url.len, sizeof(URL) - 1);
        assert_int_equal(t->issuer.read_at, NOW);
        assert_int_equal(t->issuer.kid.len, sizeof(KID) - 1);
        test_done(t);
    }

    /* none: they are taken away */

    test_init(t, &test_updates[0]);
    t->issuer.contacts = NULL;
    test_again(t, NGX_AUTOCERT_GOAL_CONTACTS);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_string_equal((char *) t->did,
                        "dir nonce acct/1{\"contact\":[]} SAVE:" KID);
    test_done(t);

    free(t);
}


/* what the CA took in but we could not write down is not done */

static void
test_flow_update_unsaved(void **state)
{
    test_t                 *t;
    ngx_autocert_fail_t     fail;
    ngx_autocert_action_t   action;

    (void) state;

    ngx_memzero(&fail, sizeof(fail));
    fail.kind = INTERNAL;
    ngx_str_set(&fail.why, "disk full");

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    test_init(t, &test_updates[0]);
    test_again(t, NGX_AUTOCERT_GOAL_CONTACTS);

    while (t->nsent < 3) {
        (void) test_step(t);
    }

    ngx_autocert_flow_next(&t->flow, t->now, &action);
    assert_int_equal(action.type, NGX_AUTOCERT_FLOW_SAVE);
    ngx_autocert_flow_lost(&t->flow, t->now, &fail);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    assert_int_equal(t->flow.fail.kind, INTERNAL);

    test_done(t);
    free(t);
}


#define REVOKE    "revoke{\"certificate\":\"REVS\",\"reason\":4}"
#define NO_REVOKE                                                             \
    "{\"newNonce\":\"" CA "nonce\","                                          \
    "\"newAccount\":\"" CA "account\","                                       \
    "\"newOrder\":\"" CA "order\"}"


static const test_case_t  test_revocations[] = {

    { "happy", NULL, KID, { { 0 } }, 0, NULL, NULL, 0, NULL,
      "dir nonce " REVOKE },

    { "no account: by the key itself, none is made", NULL, NULL, { { 0 } }, 0,
      NULL, NULL, 0, NULL, "dir nonce " REVOKE },

    { "not this account's", NULL, KID,
      { { "revoke", 1, 403, PROBLEM("unauthorized", "whose?"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL, "dir nonce " REVOKE " " REVOKE },

    { "an account that is gone: no other is made", NULL, KID,
      { { "revoke", 1, 400, PROBLEM("accountDoesNotExist", "who?"), NULL,
          NULL, NULL } },
      0, NULL, NULL, 0, NULL, "dir nonce " REVOKE " " REVOKE },

    { "nor the key's", NULL, KID,
      { { "revoke", 0, 403, PROBLEM("unauthorized", "no"), NULL, NULL,
          NULL } },
      REFUSED, NULL, "no", 0, NULL, "dir nonce " REVOKE " " REVOKE },

    { "before", NULL, KID,
      { { "revoke", 1, 400, PROBLEM("alreadyRevoked", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL, "dir nonce " REVOKE },

    { "reason", NULL, KID,
      { { "revoke", 0, 400, PROBLEM("badRevocationReason", "not this"), NULL,
          NULL, NULL } },
      REFUSED, NULL, "not this", 0, NULL, "dir nonce " REVOKE },

    { "bad nonce", NULL, KID,
      { { "revoke", 1, 400, PROBLEM("badNonce", "x"), NULL, NULL, NULL } },
      0, NULL, NULL, 0, NULL, "dir nonce " REVOKE " " REVOKE },

    { "lost, and done nonetheless", NULL, KID,
      { { "revoke", 1, LOST, NULL, NULL, NULL, NULL },
        { "revoke", 2, 400, PROBLEM("alreadyRevoked", "x"), NULL, NULL,
          NULL } },
      0, NULL, NULL, 0, NULL, "dir nonce " REVOKE " 1 nonce " REVOKE },

    { "later", NULL, KID,
      { { "revoke", 0, 429, PROBLEM("rateLimited", "slowly"), "60", NULL,
          NULL } },
      LIMITED, NULL, "slowly", 60, NULL, "dir nonce " REVOKE },

    { "none taken", NULL, KID,
      { { "dir", 0, 200, NO_REVOKE, NULL, NULL, NULL } },
      CONFIG, "the CA takes no revocations", NULL, 0, NULL, "dir" }
};


static void
test_flow_revoke(void **state)
{
    test_t             *t;
    ngx_uint_t          i, n, type;
    const test_case_t  *c;

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    n = sizeof(test_revocations) / sizeof(test_revocations[0]);

    for (i = 0; i < n; i++) {

        c = &test_revocations[i];

        test_init(t, c);
        test_again(t, NGX_AUTOCERT_GOAL_REVOCATION);
        type = test_run(t);

        if (ngx_strcmp(t->did, c->did) != 0) {
            fail_msg("%s: did\n%s\nnot\n%s", c->name, (char *) t->did, c->did);
        }

        assert_int_equal(type, c->kind ? NGX_AUTOCERT_FLOW_FAILED
                                       : NGX_AUTOCERT_FLOW_DONE);
        assert_int_equal(t->flow.fail.kind, c->kind);
        has(c, "why", &t->flow.fail.why, c->why);
        has(c, "detail", &t->flow.fail.detail, c->detail);
        assert_int_equal(t->flow.fail.retry_at,
                         c->retry_at ? NOW + c->retry_at : 0);
        assert_int_equal(t->revocation.already,
                         ngx_strstr(c->did, "1 nonce")
                         || ngx_strcmp(c->name, "before") == 0);
        test_done(t);
    }

    /* without a reason none is given */

    test_init(t, &test_revocations[0]);
    test_again(t, NGX_AUTOCERT_GOAL_REVOCATION);
    t->revocation.reason = 0;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_string_equal((char *) t->did,
                        "dir nonce revoke{\"certificate\":\"REVS\"}");
    test_done(t);

    free(t);
}


/* whom a failure holds: any step, any way to fail */

static const struct {
    const char  *url;
    ngx_uint_t   status;
    const char  *body;
    ngx_uint_t   scope;
    const char  *domain;

} test_scopes[] = {

    /* the directory, a nonce, the account: whatever it is */

    { "dir", LOST, NULL, ALL, NULL },
    { "dir", 500, "", ALL, NULL },
    { "dir", 200, "<html>", ALL, NULL },
    { "dir", 404, "", ALL, NULL },
    { "nonce", LOST, NULL, ALL, NULL },
    { "nonce", 429, "", ALL, NULL },
    { "nonce", 405, "", ALL, NULL },
    { "account", LOST, NULL, ALL, NULL },
    { "account", 429, PROBLEM("rateLimited", "for \\\"example.org\\\""), ALL,
      NULL },
    { "account", 403, PROBLEM("unauthorized", "x"), ALL, NULL },
    { "account", 403, PROBLEM("externalAccountRequired", "x"), ALL, NULL },
    { "account", 403, PROBLEM("userActionRequired", "x"), ALL, NULL },
    { "account", 200, "{\"status\":\"deactivated\"}", ALL, NULL },
    { "account", 200, "[]", ALL, NULL },

    /* a new order */

    { "order", LOST, NULL, ALL, NULL },
    { "order", 503, "", ALL, NULL },
    { "order", 503, PROBLEM("rateLimited", "for \\\"example.org\\\""), ALL,
      NULL },
    { "order", 429, "", ALL, NULL },
    { "order", 429, "example.org", ALL, NULL },
    { "order", 429, PROBLEM("rateLimited", "too many new orders"), ALL,
      NULL },
    { "order", 400, PROBLEM("rateLimited", "too many new orders"), ALL,
      NULL },
    { "order", 429, PROBLEM("rateLimited", "(5) for this exact set"), NAME,
      NULL },
    { "order", 429, PROBLEM("rateLimited", "(50) for \\\"Example.org\\\" in "
                            "the last 168h0m0s"), DOMAIN, "example.org" },
    { "order", 403, PROBLEM("userActionRequired", "x"), ALL, NULL },
    { "order", 403, PROBLEM("unauthorized", "deactivated"), ALL, NULL },
    { "order", 403, PROBLEM("unauthorized", "not for example.org"), NAME,
      NULL },
    { "order", 400, PROBLEM("rejectedIdentifier", "x"), NAME, NULL },
    { "order", 500, PROBLEM("serverInternal", "x"), NAME, NULL },
    { "order", 400, PROBLEM("malformed", "x"), NAME, NULL },
    { "order", 200, "[]", NAME, NULL },

    /* an order that there is: its name, but for a CA that is busy */

    { "authz/1", LOST, NULL, NAME, NULL },
    { "authz/1", 503, "", ALL, NULL },
    { "authz/1", 429, PROBLEM("rateLimited", "x"), NAME, NULL },
    { "authz/1", 429, PROBLEM("rateLimited", "Service busy"), ALL, NULL },
    { "authz/1", 403, PROBLEM("userActionRequired", "x"), NAME, NULL },
    { "authz/1", 200, AUTHZ("invalid", HTTP01("invalid", ",\"error\":"
                            PROBLEM("dns", "x"))), NAME, NULL },
    { "authz/1", 200, AUTHZ("invalid", HTTP01("invalid", ",\"error\":"
                            PROBLEM("rateLimited", "x"))), NAME, NULL },
    { "chall/1", 503, "", ALL, NULL },
    { "final/1", 503, "", ALL, NULL },
    { "final/1", LOST, NULL, NAME, NULL },
    { "final/1", 429, PROBLEM("rateLimited", "(50) for \\\"example.org\\\" "
                              "in the last 168h0m0s"), NAME, NULL },
    { "final/1", 400, PROBLEM("badPublicKey", "x"), NAME, NULL },
    { "order/1", 503, "", ALL, NULL },
    { "order/1", LOST, NULL, NAME, NULL },
    { "cert/1", 503, "", ALL, NULL },
    { "cert/1", 404, "", NAME, NULL }
};


static void
test_flow_scope(void **state)
{
    test_t                 *t;
    ngx_uint_t              i;
    test_case_t             c;
    ngx_autocert_fail_t     fail;
    ngx_autocert_action_t   action;

    (void) state;

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (i = 0; i < sizeof(test_scopes) / sizeof(test_scopes[0]); i++) {

        ngx_memzero(&c, sizeof(test_case_t));
        c.rules[0].url = test_scopes[i].url;
        c.rules[0].status = test_scopes[i].status;
        c.rules[0].body = test_scopes[i].body;
        c.rules[0].location = KID;
        c.kid = (ngx_strcmp(c.rules[0].url, "nonce") == 0) ? KID : NULL;

        test_init(t, &c);
        assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);

        if (t->flow.fail.scope != test_scopes[i].scope) {
            fail_msg("%s: %lu %s: scope %lu", test_scopes[i].url,
                     (unsigned long) test_scopes[i].status,
                     test_scopes[i].body, (unsigned long) t->flow.fail.scope);
        }

        assert_int_equal(t->flow.fail.domain.len != 0,
                         test_scopes[i].domain != NULL);
        has(&c, "domain", &t->flow.fail.domain, test_scopes[i].domain);

        test_done(t);
    }

    /* what is wrong on our side holds no CA */

    ngx_memzero(&c, sizeof(test_case_t));
    test_init(t, &c);
    t->cancelled = 1;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    assert_int_equal(t->flow.fail.scope, NAME);
    test_done(t);

    ngx_memzero(&fail, sizeof(fail));
    fail.kind = INTERNAL;
    ngx_str_set(&fail.why, "out of memory");

    test_init(t, &c);
    ngx_autocert_flow_next(&t->flow, t->now, &action);
    assert_int_equal(action.type, NGX_AUTOCERT_FLOW_SEND);
    ngx_autocert_flow_lost(&t->flow, t->now, &fail);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    assert_int_equal(t->flow.fail.scope, NAME);
    test_done(t);

    free(t);
}


/* a flow ends in time, and its order is left, whatever the CA makes of it */

static void
test_flow_life(void **state)
{
    time_t       slow;
    test_t      *t;
    ngx_uint_t   type, late;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));
    c.name = "life";
    c.rules[0].url = "order/1";
    c.rules[0].status = 200;
    c.rules[0].body = ORDER("processing", "");
    c.rules[1].url = "authz/1";
    c.rules[1].nth = 2;
    c.rules[1].status = 200;
    c.rules[1].body = AUTHZ("pending", HTTP01("processing", ""));

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    late = 0;

    for (slow = 0; slow <= 400; slow++) {
        test_init(t, &c);
        t->slow = slow;

        type = test_run(t);

        assert_int_equal(type, NGX_AUTOCERT_FLOW_FAILED);
        assert_int_equal(t->flow.fail.kind, LIMITED);
        assert_int_equal(t->published, 0);
        assert_true(t->now - NOW < NGX_AUTOCERT_FLOW_LIFE + slow + 1);
        assert_int_equal(t->order.url.len, t->counts[3] ? sizeof(URL) - 1
                                                        : 0);

        if (test_has(&t->flow.fail.why, "takes longer than 600 s")) {
            assert_true(t->now - NOW >= NGX_AUTOCERT_FLOW_LIFE);
            late++;
        }

        test_done(t);
    }

    assert_true(late > 300 && late < 400);

    /* the last wait ends with it; the directory is the CA's own business */

    c.rules[0].url = "dir";
    c.rules[0].status = LOST;
    test_init(t, &c);
    t->slow = 199;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    assert_string_equal((char *) t->did, "dir 1 dir 2 dir");
    assert_int_equal(t->now, NOW + NGX_AUTOCERT_FLOW_LIFE);
    assert_int_equal(t->flow.fail.scope, ALL);
    test_done(t);

    /* a nonce that came at last is none of it */

    ngx_memzero(c.rules, sizeof(c.rules));
    c.kid = KID;
    test_init(t, &c);
    t->slow = 300;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_FAILED);
    assert_string_equal((char *) t->did, "dir nonce");
    assert_int_equal(t->flow.fail.scope, NAME);
    test_done(t);

    /* what comes late and ends the flow is not thrown away */

    test_init(t, &c);

    do {
        type = test_step(t);
        t->slow = (t->counts[4] != 0) ? 400 : 0;
    } while (type != NGX_AUTOCERT_FLOW_DONE
             && type != NGX_AUTOCERT_FLOW_FAILED);

    assert_int_equal(type, NGX_AUTOCERT_FLOW_DONE);
    test_done(t);

    free(t);
}


/* a clock that is set in between neither prolongs nor ends it */

static void
test_flow_clock(void **state)
{
    time_t       waited, was;
    test_t      *t;
    ngx_uint_t   i, n, k, type;
    test_case_t  c;

    static const time_t  steps[] = { -NOW + 86400, -86400, -700, -5, 5, 700,
                                     86400, 100000000 };

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));
    c.rules[0].url = "order/1";
    c.rules[0].status = 200;
    c.rules[0].body = ORDER("processing", "");
    c.rules[0].retry = "50";

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {

        for (n = 0; n < 25; n++) {
            test_init(t, &c);
            waited = 0;

            for (i = 0; i < ACTIONS; i++) {

                if (i == n) {
                    t->now += steps[k];
                }

                was = t->now;
                type = test_step(t);
                waited += t->now - was;

                if (type == NGX_AUTOCERT_FLOW_DONE
                    || type == NGX_AUTOCERT_FLOW_FAILED)
                {
                    break;
                }
            }

            assert_int_equal(type, NGX_AUTOCERT_FLOW_FAILED);
            assert_int_equal(t->flow.fail.kind, LIMITED);
            assert_in_range(waited, 240, 305);
            assert_int_equal(t->published, 0);
            test_done(t);
        }
    }

    free(t);
}


/* the first poll of each kind need not wait for a second, if it is not said */

static void
test_flow_brief(void **state)
{
    test_t      *t;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    t = malloc(sizeof(test_t));
    assert_non_null(t);
    test_init(t, &c);
    t->brief = 0;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_int_equal(t->brief, 2);
    test_done(t);

    /* validated at the third, and said when for what is finalized */

    c.rules[0].url = "authz/1";
    c.rules[0].nth = 2;
    c.rules[0].status = 200;
    c.rules[0].body = AUTHZ("pending", HTTP01("processing", ""));
    c.rules[1].url = "authz/1";
    c.rules[1].nth = 3;
    c.rules[1].status = 200;
    c.rules[1].body = AUTHZ("pending", HTTP01("processing", ""));
    c.rules[2].url = "final/1";
    c.rules[2].status = 200;
    c.rules[2].body = ORDER("processing", "");
    c.rules[2].retry = "3";

    test_init(t, &c);
    t->brief = 0;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_int_equal(t->brief, 1);
    test_done(t);

    free(t);
}


/* how often a CA is bothered for one certificate */

static void
test_flow_requests(void **state)
{
    test_t      *t;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    t = malloc(sizeof(test_t));
    assert_non_null(t);
    test_init(t, &c);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);

    /* all is known by now: a fresh authorization, and a valid one */

    ngx_str_null(&t->order.url);
    test_again(t, NGX_AUTOCERT_GOAL_CERTIFICATE);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_string_equal((char *) t->did,
                        NEWORDER " " SAVED " " SOLVED " " ISSUED);
    assert_true(t->nsent <= 8);

    ngx_str_null(&t->order.url);
    test_again(t, NGX_AUTOCERT_GOAL_CERTIFICATE);
    t->counts[5] = 1;
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_string_equal((char *) t->did, NEWORDER " " SAVED " authz/1 " ISSUED);
    assert_true(t->nsent <= 5);

    /* a look at the window, new contacts: one each */

    test_str(&t->order.certid, CERTID);
    test_again(t, NGX_AUTOCERT_GOAL_WINDOW);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_int_equal(t->nsent, 1);

    test_again(t, NGX_AUTOCERT_GOAL_CONTACTS);
    assert_int_equal(test_run(t), NGX_AUTOCERT_FLOW_DONE);
    assert_int_equal(t->nsent, 1);

    test_done(t);
    free(t);
}


static void
test_flow_goals_memory(void **state)
{
    test_t      *t;
    ngx_uint_t   goal, n, type;
    test_case_t  c;

    (void) state;

    ngx_memzero(&c, sizeof(test_case_t));

    t = malloc(sizeof(test_t));
    assert_non_null(t);

    for (goal = NGX_AUTOCERT_GOAL_CERTIFICATE;
         goal <= NGX_AUTOCERT_GOAL_REVOCATION;
         goal++)
    {
        for (n = 1; n < 5000; n++) {
            test_init(t, &c);
            test_str(&t->order.certid, CERTID);
            test_str(&t->issuer.kid, KID);
            test_again(t, goal);
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

        assert_true(n > 10 && n < 5000);
    }

    free(t);
}


static int
test_setup(void **state)
{
    (void) state;

    test_key = EVP_EC_gen("P-256");
    test_signer = ngx_autocert_signer_create(test_key);

    return test_signer == NULL;
}


static int
test_teardown(void **state)
{
    (void) state;

    ngx_autocert_signer_free(test_signer);
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
        cmocka_unit_test(test_flow_endless),
        cmocka_unit_test(test_flow_copy),
        cmocka_unit_test(test_flow_cancel),
        cmocka_unit_test(test_flow_cancel_pending),
        cmocka_unit_test(test_flow_unable),
        cmocka_unit_test(test_flow_memory),
        cmocka_unit_test(test_flow_issuer),
        cmocka_unit_test(test_flow_nonces),
        cmocka_unit_test(test_flow_stale),
        cmocka_unit_test(test_flow_contacts),
        cmocka_unit_test(test_flow_address),
        cmocka_unit_test(test_flow_replaces),
        cmocka_unit_test(test_flow_replaces_account),
        cmocka_unit_test(test_flow_renewal_info),
        cmocka_unit_test(test_flow_window),
        cmocka_unit_test(test_flow_window_refused),
        cmocka_unit_test(test_flow_update),
        cmocka_unit_test(test_flow_update_unsaved),
        cmocka_unit_test(test_flow_revoke),
        cmocka_unit_test(test_flow_scope),
        cmocka_unit_test(test_flow_life),
        cmocka_unit_test(test_flow_clock),
        cmocka_unit_test(test_flow_brief),
        cmocka_unit_test(test_flow_requests),
        cmocka_unit_test(test_flow_goals_memory)
    };

    return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
