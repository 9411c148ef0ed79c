
/*
 * A CA that lies, in each field of each answer: the engine and the parsers,
 * put together as the helper does it.  Each lie ends in a failure with words
 * for it, or is harmless by a rule that is written here; and no certificate
 * is ever taken but one for our key and name.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "../../src/acme/ngx_autocert_flow.h"
#include "../../src/base/ngx_autocert_base64.h"
#include "../../src/base/ngx_autocert_x509.h"
#include "ngx_stub.h"


#define NOW       1700000000
#define DAY       86400
#define CA        "https://ca.test/"
#define NAME      "example.org"
#define TOKEN     "dG9rZW4tb2YtdGhlLXRlc3Q"
#define CERTID    "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
#define ACTIONS   1200
#define LEAST     5000

#define DONE      NGX_AUTOCERT_FLOW_DONE
#define FAILED    NGX_AUTOCERT_FLOW_FAILED
#define EITHER    0

#define STEP(s)   NGX_AUTOCERT_STEP_ ## s

#define JSON      "Content-Type: application/json\r\n"
#define PROBLEM   "Content-Type: application/problem+json\r\n"
#define CHAIN     "Content-Type: application/pem-certificate-chain\r\n"
#define NONCE     "Replay-Nonce: bm9uY2U\r\n"

#define IDENTIFIER  "{\"type\":\"dns\",\"value\":\"" NAME "\"}"

#define ORDER(status, more)                                                   \
    "{\"status\":\"" status "\",\"expires\":\"2023-12-01T00:00:00Z\","        \
    "\"identifiers\":[" IDENTIFIER "],"                                       \
    "\"authorizations\":[\"" CA "authz/1\"],"                                 \
    "\"finalize\":\"" CA "final/1\"" more "}"

#define CHALLENGE(type, status)                                               \
    "{\"type\":\"" type "\",\"url\":\"" CA "chall/1\","                       \
    "\"token\":\"" TOKEN "\",\"status\":\"" status "\"}"

#define AUTHZ(status, challenge)                                              \
    "{\"identifier\":" IDENTIFIER ",\"status\":\"" status "\","               \
    "\"expires\":\"2023-12-01T00:00:00Z\",\"wildcard\":false,"                \
    "\"challenges\":[" CHALLENGE("dns-01", "pending") ","                     \
    CHALLENGE("http-01", challenge) "]}"

#define REFUSAL                                                               \
    "{\"type\":\"urn:ietf:params:acme:error:malformed\",\"title\":\"No\","    \
    "\"detail\":\"it is not so\",\"status\":400,"                             \
    "\"instance\":\"" CA "problem/1\",\"subproblems\":["                      \
    "{\"type\":\"urn:ietf:params:acme:error:caa\",\"detail\":\"x\","          \
    "\"identifier\":" IDENTIFIER "},{\"detail\":\"y\"}]}"


/* What an honest CA says in each step. */

typedef struct {
    const char   *status;
    const char   *headers;
    const char   *body;         /* NULL: the chain */
} lies_answer_t;


static const lies_answer_t  lies_honest[NGX_AUTOCERT_STEPS] = {

    [STEP(DIRECTORY)] = { "200 OK", JSON,
        "{\"newNonce\":\"" CA "nonce\",\"newAccount\":\"" CA "account\","
        "\"newOrder\":\"" CA "order\",\"revokeCert\":\"" CA "revoke\","
        "\"keyChange\":\"" CA "key\",\"renewalInfo\":\"" CA "renew\","
        "\"meta\":{\"termsOfService\":\"" CA "terms\","
        "\"website\":\"" CA "\",\"caaIdentities\":[\"ca.test\"]}}" },

    [STEP(NONCE)] = { "200 OK", NONCE, "" },

    [STEP(ACCOUNT)] = { "201 Created",
        JSON NONCE "Location: " CA "acct/1\r\n",
        "{\"status\":\"valid\",\"contact\":[\"mailto:a@example.org\"],"
        "\"orders\":\"" CA "orders/1\"}" },

    [STEP(ORDER)] = { "201 Created",
        JSON NONCE "Location: " CA "order/1\r\n", ORDER("pending", "") },

    [STEP(RESUME)] = { "200 OK", JSON NONCE, ORDER("pending", "") },

    [STEP(AUTHZ)] = { "200 OK", JSON NONCE, AUTHZ("pending", "pending") },

    [STEP(CHALLENGE)] = { "200 OK", JSON NONCE,
        CHALLENGE("http-01", "processing") },

    [STEP(VALIDATE)] = { "200 OK", JSON NONCE, AUTHZ("valid", "valid") },

    [STEP(READY)] = { "200 OK", JSON NONCE, ORDER("ready", "") },

    [STEP(FINALIZE)] = { "200 OK", JSON NONCE, ORDER("processing", "") },

    [STEP(ISSUE)] = { "200 OK", JSON NONCE,
        ORDER("valid", ",\"certificate\":\"" CA "cert/1\"") },

    [STEP(CERTIFICATE)] = { "200 OK", CHAIN NONCE, NULL },

    [STEP(WINDOW)] = { "200 OK", JSON,
        "{\"suggestedWindow\":{\"start\":\"2023-11-15T00:00:00Z\","
        "\"end\":\"2023-11-16T00:00:00Z\"},"
        "\"explanationURL\":\"" CA "why\"}" },

    [STEP(CONTACTS)] = { "200 OK", JSON NONCE,
        "{\"status\":\"valid\",\"contact\":[\"mailto:a@example.org\"]}" },

    [STEP(REVOKE)] = { "200 OK", NONCE, "" }
};


/*
 * What is read of an answer, and what it may be instead.  All that is not
 * here is not read, so that whatever it is, all goes well.
 */

#define GONE      0x01
#define NIL       0x02          /* null */
#define EMPTY     0x04          /* [] */
#define ARRAY     0x08          /* any */
#define STRING    0x10          /* any */
#define URL       0x20          /* any that is https */

#define ANEW      "\"invalid\"|\"deactivated\"|\"expired\"|\"revoked\""
#define UNDERWAY  "\"pending\"|\"ready\"|\"processing\""
#define SAME      "\"" NAME "\"|\"EXAMPLE.org\""
#define INSTANTS  "\"2023-11-15T00:00:00.5+01:00\"|\"9999-12-31T23:59:59Z\""
#define TOKENS    "\"aaaaaaaaaaaaaaaa\"|\"-_-_-_-_-_-_-_-_-_-_\""

typedef struct {
    ngx_uint_t    step;
    const char   *path;
    ngx_uint_t    may;
    const char   *good;         /* JSON, with bars between */
} lies_rule_t;


static const lies_rule_t  lies_rules[] = {

    { STEP(DIRECTORY), "", 0, NULL },
    { STEP(DIRECTORY), ".newNonce", URL, NULL },
    { STEP(DIRECTORY), ".newAccount", URL, NULL },
    { STEP(DIRECTORY), ".newOrder", URL, NULL },
    { STEP(DIRECTORY), ".meta.termsOfService", GONE|NIL|STRING, NULL },

    { STEP(ACCOUNT), "", 0, NULL },
    { STEP(ACCOUNT), ".status", 0, "\"valid\"" },

    { STEP(ORDER), "", 0, NULL },
    { STEP(ORDER), ".status", 0, UNDERWAY },
    { STEP(ORDER), ".finalize", URL, NULL },
    { STEP(ORDER), ".authorizations", GONE|NIL|EMPTY, NULL },
    { STEP(ORDER), ".authorizations.0", GONE|URL, NULL },

    { STEP(RESUME), "", 0, NULL },
    { STEP(RESUME), ".status", 0, UNDERWAY "|" ANEW },
    { STEP(RESUME), ".finalize", URL, NULL },
    { STEP(RESUME), ".authorizations", GONE|NIL|EMPTY, NULL },
    { STEP(RESUME), ".authorizations.0", GONE|URL, NULL },

    { STEP(AUTHZ), "", 0, NULL },
    { STEP(AUTHZ), ".status", 0, "\"pending\"|\"valid\"" },
    { STEP(AUTHZ), ".identifier", 0, NULL },
    { STEP(AUTHZ), ".identifier.type", 0, "\"dns\"" },
    { STEP(AUTHZ), ".identifier.value", 0, SAME },
    { STEP(AUTHZ), ".challenges", 0, NULL },
    { STEP(AUTHZ), ".challenges.1", 0, NULL },
    { STEP(AUTHZ), ".challenges.1.type", 0, "\"http-01\"" },
    { STEP(AUTHZ), ".challenges.1.url", URL, NULL },
    { STEP(AUTHZ), ".challenges.1.token", 0, TOKENS },
    { STEP(AUTHZ), ".challenges.1.status", 0, UNDERWAY "|\"valid\"" },

    { STEP(CHALLENGE), "", 0, NULL },
    { STEP(CHALLENGE), ".status", 0, UNDERWAY "|\"valid\"" },

    { STEP(VALIDATE), "", 0, NULL },
    { STEP(VALIDATE), ".status", 0, "\"valid\"" },
    { STEP(VALIDATE), ".identifier", 0, NULL },
    { STEP(VALIDATE), ".identifier.type", 0, "\"dns\"" },
    { STEP(VALIDATE), ".identifier.value", 0, SAME },
    { STEP(VALIDATE), ".challenges", ARRAY|EMPTY, NULL },

    { STEP(READY), "", 0, NULL },
    { STEP(READY), ".status", 0, "\"ready\"|\"processing\"" },
    { STEP(READY), ".finalize", URL, NULL },
    { STEP(READY), ".authorizations", GONE|NIL|EMPTY, NULL },
    { STEP(READY), ".authorizations.0", GONE|URL, NULL },

    { STEP(FINALIZE), "", 0, NULL },
    { STEP(FINALIZE), ".status", 0, UNDERWAY },
    { STEP(FINALIZE), ".finalize", URL, NULL },
    { STEP(FINALIZE), ".authorizations", GONE|NIL|EMPTY|ARRAY, NULL },

    { STEP(ISSUE), "", 0, NULL },
    { STEP(ISSUE), ".status", 0, "\"valid\"" },
    { STEP(ISSUE), ".finalize", URL, NULL },
    { STEP(ISSUE), ".certificate", URL, NULL },
    { STEP(ISSUE), ".authorizations", GONE|NIL|EMPTY|ARRAY, NULL },

    { STEP(WINDOW), "", 0, NULL },
    { STEP(WINDOW), ".suggestedWindow", 0, NULL },
    { STEP(WINDOW), ".suggestedWindow.start", 0, INSTANTS },
    { STEP(WINDOW), ".suggestedWindow.end", 0, INSTANTS },

    { 0, NULL, 0, NULL }
};


/* What is put in the place of a value.  is: GONE and so on, 0: else. */

#define TWICE     0x40
#define BROKEN    0x80          /* that is no JSON */

typedef struct {
    const char   *text;
    ngx_uint_t    is;
} lies_value_t;


static const lies_value_t  lies_values[] = {

    { "", GONE },
    { "", TWICE },
    { "null", NIL },

    /* other types */

    { "true", 0 }, { "false", 0 }, { "0", 0 }, { "-1", 0 }, { "0.5", 0 },
    { "1e999", 0 }, { "99999999999999999999", 0 }, { "{}", 0 },
    { "[]", EMPTY }, { "[null]", ARRAY }, { "[[]]", ARRAY }, { "[0]", ARRAY },
    { "[{}]", ARRAY }, { "[\"\"]", ARRAY }, { "{\"a\":1}", 0 },
    { "{\"\":{\"\":{}}}", 0 }, { "@array", ARRAY }, { "@deep", ARRAY },

    /* no JSON */

    { ",", BROKEN }, { "nul", BROKEN }, { "NaN", BROKEN }, { "+1", BROKEN },
    { "01", BROKEN }, { ".5", BROKEN }, { "1.", BROKEN }, { "0x1", BROKEN },
    { "'x'", BROKEN }, { "\"x", BROKEN }, { "\"\\\"", BROKEN },
    { "\"\\u0000\"", BROKEN }, { "\"" CA "\\u0000x\"", BROKEN },
    { "\"\\ud800\"", BROKEN }, { "\"\\udc00\\ud800\"", BROKEN },
    { "\"\\x41\"", BROKEN }, { "\"\n\"", BROKEN }, { "\"\xff\"", BROKEN },
    { "\"\xc0\xaf\"", BROKEN }, { "\"\xed\xa0\x80\"", BROKEN },
    { "\"a\" \"b\"", BROKEN }, { "[1,]", BROKEN }, { "[", BROKEN },
    { "{\"a\":1,\"a\":2}", BROKEN }, { "{\"a\"}", BROKEN },
    { "{a:1}", BROKEN }, { "/**/1", BROKEN }, { "]", BROKEN },
    { "@deeper", BROKEN }, { "@nodes", BROKEN }, { "@body", BROKEN },

    /* strings */

    { "\"\"", STRING }, { "\" \"", STRING }, { "\"x\"", STRING },
    { "\"\xc3\xbc\"", STRING }, { "\"\\u202e\\u0007\"", STRING },
    { "\"%s%n%V\"", STRING }, { "\"@string\"", STRING },

    /* URLs */

    { "\"https://other.test/x?y=z\"", STRING|URL },
    { "\"https://ca.test:8443/x\"", STRING|URL },
    { "\"https://[::1]/x\"", STRING|URL },
    { "\"https://127.0.0.1/\"", STRING|URL },
    { "\"http://ca.test/x\"", STRING }, { "\"ftp://ca.test/x\"", STRING },
    { "\"file:///etc/passwd\"", STRING }, { "\"data:,x\"", STRING },
    { "\"javascript:alert(1)\"", STRING }, { "\"unix:/run/x\"", STRING },
    { "\"//ca.test/x\"", STRING }, { "\"/x\"", STRING },
    { "\"https:\"", STRING }, { "\"https://\"", STRING },
    { "\"https:///x\"", STRING }, { "\"https:/ca.test/x\"", STRING },
    { "\"https://u:p@ca.test/x\"", STRING },
    { "\"https://ca.test@other.test/x\"", STRING },
    { "\"https://ca.test\\\\@other.test/x\"", STRING },
    { "\"https://ca.test/x\\r\\nX: y\"", STRING },
    { "\"https://ca.test\\r\\n/x\"", STRING },
    { "\"https://ca.test/x y\"", STRING },
    { "\"https://ca.test/\\tx\"", STRING },
    { "\"https://ca.test/\xc3\xbc\"", STRING },
    { "\"https://\xc3\xbc.test/x\"", STRING },
    { "\"https://ca.test/x#y\"", STRING }, { "\"https://:443/x\"", STRING },
    { "\"https://ca.test:0/x\"", STRING },
    { "\"https://ca.test:65536/x\"", STRING },
    { "\"https://ca.test:99999999999/x\"", STRING },
    { "\"https://ca.test:-1/x\"", STRING },
    { "\"https://ca.test:4a/x\"", STRING }, { "\"https://[::1/x\"", STRING },
    { "\"https://[]/x\"", STRING }, { "\"https://[x]/x\"", STRING },
    { "\"https://ca .test/x\"", STRING }, { "\"https://ca.test%2f/\"", STRING },
    { "\" https://ca.test/x\"", STRING }, { "\"@url\"", STRING },

    /* states */

    { "\"pending\"", STRING }, { "\"ready\"", STRING },
    { "\"processing\"", STRING }, { "\"valid\"", STRING },
    { "\"invalid\"", STRING }, { "\"deactivated\"", STRING },
    { "\"expired\"", STRING }, { "\"revoked\"", STRING },
    { "\"Valid\"", STRING }, { "\"VALID\"", STRING },
    { "\"valid \"", STRING }, { "\"vali\"", STRING },

    /* tokens */

    { "\"aaaaaaaaaaaaaaaa\"", STRING }, { "\"-_-_-_-_-_-_-_-_-_-_\"", STRING },
    { "\"aaaaaaaaaaaaaaa\"", STRING }, { "\"@token\"", STRING },
    { "\"../../../../../../etc/passwd\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaa/aaaaa\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaa.aaaaa\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaa%2faaa\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaa+aaaaa\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaaaaaaa=\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaa\\r\\naaa\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaa\\taaaa\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaaa aaaaa\"", STRING },
    { "\"aaaaaaaaaaaaaaaaaaa\xc3\xa9\xc3\xa9\"", STRING },

    /* names */

    { "\"dns\"", STRING }, { "\"ip\"", STRING }, { "\"" NAME "\"", STRING },
    { "\"EXAMPLE.org\"", STRING }, { "\"" NAME ".\"", STRING },
    { "\"*." NAME "\"", STRING }, { "\"www." NAME "\"", STRING },
    { "\"" NAME ".evil.test\"", STRING }, { "\"evil.test\"", STRING },
    { "\"" NAME "\\n\"", STRING }, { "\"ex\xd0\xb0mple.org\"", STRING },

    /* instants */

    { "\"2023-11-15T00:00:00.5+01:00\"", STRING },
    { "\"1969-12-31T23:59:59Z\"", STRING },
    { "\"9999-12-31T23:59:59Z\"", STRING },
    { "\"2023-02-30T00:00:00Z\"", STRING }, { "\"2023-11-15\"", STRING },
    { "\"2023-11-15T00:00:00\"", STRING },
    { "\"2023-11-15T24:00:00Z\"", STRING },
    { "\"99999-11-15T00:00:00Z\"", STRING }, { "\"now\"", STRING }
};


/* What the CA says in place of the honest answer in one step. */

typedef struct {
    ngx_uint_t    step;
    ngx_uint_t    once;         /* not again */
    ngx_uint_t    expect;       /* DONE, FAILED or EITHER */
    const char   *path;         /* for people */
    const char   *value;
    ngx_str_t     bytes;        /* all that comes, then the connection ends */
    const char   *order;        /* what newOrder says, if not pending */
} lies_t;


static EVP_PKEY       *lies_key;        /* of the certificate */
static EVP_PKEY       *lies_other;
static EVP_PKEY       *lies_ca_key;
static EVP_PKEY       *lies_rsa;        /* ECDSA knows no MD5 */
static X509           *lies_ca;
static ngx_str_t       lies_chain;
static ngx_pool_t     *lies_pool;       /* of one run */
static ngx_uint_t      lies_told;
static ngx_uint_t      lies_refused;
static ngx_uint_t      lies_wrong;      /* against the rules */
static ngx_uint_t      lies_recording;
static ngx_str_t       lies_recorded[NGX_AUTOCERT_STEPS];


static const char *
lies_step(ngx_uint_t step)
{
    static const char  *names[] = {
        "directory", "nonce", "account", "order", "resume", "authz",
        "challenge", "validate", "ready", "finalize", "issue", "certificate",
        "window", "contacts", "revoke", "told"
    };

    return names[step];
}


static void
lies_str(ngx_str_t *str, const char *text)
{
    str->data = (u_char *) text;
    str->len = ngx_strlen(text);
}


static ngx_int_t
lies_sign(void *data, ngx_str_t *digest, u_char *signature, size_t *len)
{
    /* ECDSA-Sig-Value of two times 7 */

    static u_char  der[] = { 0x30, 6, 2, 1, 7, 2, 1, 7 };

    (void) data;
    (void) digest;

    assert_true(*len >= sizeof(der));

    ngx_memcpy(signature, der, sizeof(der));
    *len = sizeof(der);

    return NGX_OK;
}


/* an answer as bytes, with what makes a whole message of it */

static void
lies_bytes(ngx_str_t *out, const char *status, const char *headers,
    ngx_str_t *body)
{
    char   *p;
    FILE   *f;
    size_t  len;

    f = open_memstream(&p, &len);
    assert_non_null(f);

    fprintf(f, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status,
            headers, body->len);
    (void) fwrite(body->data, 1, body->len, f);
    fclose(f);

    out->data = (u_char *) p;
    out->len = len;
}


static void
lies_body(ngx_uint_t step, ngx_str_t *body)
{
    if (lies_honest[step].body == NULL) {
        *body = lies_chain;
        return;
    }

    lies_str(body, lies_honest[step].body);
}


/* Whatever was said, this is what may be asked for. */

static void
lies_url(lies_t *lie, ngx_str_t *url)
{
    size_t  i, host;

    host = sizeof("https://") - 1;

    if (url->len <= host || url->len > NGX_AUTOCERT_MESSAGE_URL
        || ngx_memcmp(url->data, "https://", host) != 0)
    {
        fail_msg("%s%s: %s: asked for %.*s", lies_step(lie->step), lie->path,
                 lie->value, (int) url->len, url->data);
    }

    for (i = host; i < url->len && url->data[i] != '/'; i++) {
        assert_true(url->data[i] != '@' && url->data[i] != '\\');
    }

    assert_true(i > host);

    for (i = 0; i < url->len; i++) {
        assert_true(url->data[i] > 0x20 && url->data[i] < 0x7f);
    }
}


/* Fit for a line of the log, and of some use there. */

static void
lies_text(lies_t *lie, ngx_autocert_fail_t *fail)
{
    size_t      i;
    ngx_str_t  *text;

    if (fail->kind == 0 || fail->kind == NGX_AUTOCERT_FAIL_INTERNAL
        || fail->why.len < 10)
    {
        fail_msg("%s%s: %s: kind %lu: \"%.*s\"", lies_step(lie->step),
                 lie->path, lie->value, (unsigned long) fail->kind,
                 (int) fail->why.len, fail->why.data);
    }

    assert_true(fail->why.len <= 512 && fail->detail.len <= 4096);

    for (text = &fail->why; text; text = (text == &fail->why) ? &fail->detail
                                                              : NULL)
    {
        for (i = 0; i < text->len; i++) {
            assert_true(text->data[i] >= 0x20 && text->data[i] != 0x7f);
        }
    }
}


/* Takes it as the client does: the bytes, then the end of the connection. */

static void
lies_receive(lies_t *lie, ngx_autocert_flow_t *flow, time_t now,
    ngx_uint_t method, ngx_str_t *bytes)
{
    u_char                   *p, *copy;
    ngx_int_t                 rc;
    ngx_pool_t               *pool;
    ngx_autocert_fail_t       fail;
    ngx_autocert_response_t   response;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    assert_int_equal(ngx_autocert_message_init(&response, pool, method),
                     NGX_OK);

    /* nothing is before or behind it that could be read */

    copy = malloc(bytes->len + 1);
    assert_non_null(copy);
    ngx_memcpy(copy, bytes->data, bytes->len);
    copy = realloc(copy, ngx_max(bytes->len, 1));
    assert_non_null(copy);

    p = copy;
    rc = bytes->len ? ngx_autocert_message_parse(&response, &p,
                                                 copy + bytes->len)
                    : NGX_AGAIN;

    if (rc == NGX_AGAIN) {
        assert_ptr_equal(p, copy + bytes->len);
        rc = ngx_autocert_message_eof(&response);
    }

    free(copy);

    if (rc == NGX_OK) {
        ngx_autocert_flow_took(flow, now, &response);

    } else {
        assert_true(lie && (bytes == &lie->bytes));
        (void) ngx_autocert_fail(&fail, flow->pool,
                                 NGX_AUTOCERT_FAIL_NETWORK, "\"ca.test\": %s",
                                 response.err ? response.err
                                              : "the connection was closed");
        ngx_autocert_flow_lost(flow, now, &fail);
    }

    ngx_destroy_pool(pool);
}


static void
lies_answer(lies_t *lie, ngx_autocert_flow_t *flow, time_t now,
    ngx_autocert_request_t *request)
{
    ngx_str_t             body, bytes;
    ngx_uint_t            step;
    const lies_answer_t  *honest;

    lies_url(lie, &request->url);

    step = flow->asking ? STEP(NONCE) : flow->step;

    if (step == lie->step && lie->bytes.data) {
        lies_receive(lie, flow, now, request->method, &lie->bytes);

        if (lie->once) {
            lie->step = NGX_AUTOCERT_STEPS;
        }

        return;
    }

    honest = &lies_honest[step];
    lies_body(step, &body);

    if (step == STEP(ORDER) && lie->order) {
        lies_str(&body, lie->order);
    }

    lies_bytes(&bytes, honest->status, honest->headers, &body);
    lies_receive(lie, flow, now, request->method, &bytes);

    if (lies_recording) {
        free(lies_recorded[step].data);
        lies_recorded[step] = bytes;
        return;
    }

    free(bytes.data);
}


static void
lies_solve(ngx_autocert_action_t *action)
{
    size_t  i;

    assert_true(action->token.len >= 16 && action->token.len <= 128);

    for (i = 0; i < action->token.len; i++) {
        assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
                               action->token.data[i]));
    }
}


/*
 * What the driver does with a chain; and what OpenSSL alone says of one that
 * it takes.
 */

static ngx_uint_t
lies_install(lies_t *lie, ngx_str_t *pem, ngx_autocert_fail_t *fail)
{
    char                  *err;
    X509                  *leaf;
    time_t                 now;
    ngx_str_t              name;
    ngx_autocert_chain_t  *chain;

    /* the honest one, of which one look is enough */

    if (lie->step != STEP(CERTIFICATE) && pem->len == lies_chain.len
        && ngx_memcmp(pem->data, lies_chain.data, pem->len) == 0)
    {
        return DONE;
    }

    lies_str(&name, NAME);
    now = NOW;

    err = NULL;
    chain = ngx_autocert_x509_chain_parse(pem, &err);

    if (chain == NULL
        || ngx_autocert_x509_chain_check(chain, lies_key, &name, NOW, &err)
           != NGX_OK)
    {
        assert_non_null(err);
        ngx_autocert_x509_chain_free(chain);
        (void) ngx_autocert_fail(fail, lies_pool, NGX_AUTOCERT_FAIL_REFUSED,
                                 "the CA gave a certificate that can't be "
                                 "used: %s", err);
        return FAILED;
    }

    leaf = sk_X509_value(chain->certs, 0);

    if (EVP_PKEY_eq(X509_get0_pubkey(leaf), lies_key) != 1
        || X509_check_host(leaf, NAME, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                           NULL)
           != 1
        || X509_cmp_time(X509_get0_notBefore(leaf), &now) > 0
        || X509_cmp_time(X509_get0_notAfter(leaf), &now) < 0)
    {
        fail_msg("%s: %s: this certificate was taken", lie->path, lie->value);
    }

    ngx_autocert_x509_chain_free(chain);

    return DONE;
}


static ngx_uint_t
lies_goal(ngx_uint_t step)
{
    return (step == STEP(WINDOW)) ? NGX_AUTOCERT_GOAL_WINDOW
           : (step == STEP(CONTACTS)) ? NGX_AUTOCERT_GOAL_CONTACTS
           : (step == STEP(REVOKE)) ? NGX_AUTOCERT_GOAL_REVOCATION
           : NGX_AUTOCERT_GOAL_CERTIFICATE;
}


/* Runs a flow against it.  Returns DONE or FAILED. */

static ngx_uint_t
lies_flow(lies_t *lie, ngx_autocert_issuer_t *issuer,
    ngx_autocert_order_t *order)
{
    time_t                      now;
    ngx_str_t                   csr;
    ngx_uint_t                  n, published;
    ngx_autocert_flow_t         flow;
    ngx_autocert_action_t       action;
    ngx_autocert_revocation_t   revocation;

    now = NOW;
    published = 0;

    ngx_autocert_flow_init(&flow, lies_pool, issuer, order,
                           lies_goal(lie->step));

    ngx_memzero(&revocation, sizeof(ngx_autocert_revocation_t));
    lies_str(&revocation.certificate, "DER");
    revocation.key = &issuer->key;
    flow.revocation = &revocation;

    for (n = 0; n < ACTIONS; n++) {
        ngx_autocert_flow_next(&flow, now, &action);

        switch (action.type) {

        case NGX_AUTOCERT_FLOW_SEND:
            lies_answer(lie, &flow, now, &action.request);
            break;

        case NGX_AUTOCERT_FLOW_WAIT:
            assert_true(action.until > now);
            now = action.until;
            break;

        case NGX_AUTOCERT_FLOW_SOLVE:
            lies_solve(&action);
            published = action.publish;
            break;

        case NGX_AUTOCERT_FLOW_KEY:
            lies_str(&csr, "CSR");
            ngx_autocert_flow_key(&flow, &csr);
            break;

        case NGX_AUTOCERT_FLOW_SAVE:
            if (action.account && issuer->kid.len) {
                lies_url(lie, &issuer->kid);
            }
            if (action.order && order->url.len) {
                lies_url(lie, &order->url);
            }
            break;

        case NGX_AUTOCERT_FLOW_DONE:
            assert_int_equal(published, 0);
            assert_true(now - NOW <= NGX_AUTOCERT_FLOW_LIFE);

            if (flow.goal != NGX_AUTOCERT_GOAL_CERTIFICATE
                || lies_install(lie, &order->chain, &flow.fail) == DONE)
            {
                return DONE;
            }

            /* fall through */

        default:
            assert_int_equal(published, 0);
            assert_true(now - NOW <= NGX_AUTOCERT_FLOW_LIFE);
            lies_text(lie, &flow.fail);
            return FAILED;
        }
    }

    fail_msg("%s%s: %s: the flow does not end", lies_step(lie->step),
             lie->path, lie->value);

    return 0;
}


static void
lies_tell(lies_t *lie)
{
    ngx_uint_t             ended, step;
    ngx_autocert_order_t   order;
    ngx_autocert_issuer_t  issuer;

    lies_pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(lies_pool);

    ngx_memzero(&issuer, sizeof(issuer));
    issuer.pool = lies_pool;
    lies_str(&issuer.directory, CA "dir");
    issuer.key.sign = lies_sign;
    lies_str(&issuer.key.jwk, "{}");
    lies_str(&issuer.key.thumbprint,
             "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ");

    ngx_memzero(&order, sizeof(order));
    lies_str(&order.name, NAME);
    lies_str(&order.challenge, "http-01");
    lies_str(&order.certid, CERTID);

    if (lie->step == STEP(RESUME)) {
        lies_str(&order.url, CA "order/1");
        lies_str(&issuer.kid, CA "acct/1");
    }

    if (lie->step == STEP(CONTACTS)) {
        lies_str(&issuer.kid, CA "acct/1");
    }

    lie->order = (lie->step == STEP(READY))
                 ? "{\"status\":\"pending\",\"finalize\":\"" CA "final/1\"}"
                 : NULL;

    step = lie->step;
    ended = lies_flow(lie, &issuer, &order);

    ngx_destroy_pool(lies_pool);

    if (lie->expect != EITHER && ended != lie->expect) {
        lies_wrong++;
        print_message("%s%s: %.60s: %s, against the rules\n",
                      lies_step(step), lie->path, lie->value,
                      ended == DONE ? "taken" : "refused");
    }

    lies_told++;
    lies_refused += (ended == FAILED);
}


/* a text that is made, for "@..." */

static void
lies_put(FILE *f, const char *text)
{
    ngx_uint_t  i;

    static const struct {
        const char  *name;
        ngx_uint_t   n;
        const char  *first;
        const char  *each;
        const char  *last;

    } *m, made[] = {
        { "@array", 4000, "[0", ",0", "]" },
        { "@nodes", 8200, "[0", ",0", "]" },
        { "@body", 30000, "[\"", "xxxxxxxxxx", "\"]" },
        { "@deep", 12, "[", "[", "" },
        { "@deeper", 40, "[", "[", "" },
        { "\"@string\"", 6500, "\"", "aaaaaaaaaa", "\"" },
        { "\"@url\"", 6500, "\"" CA, "aaaaaaaaaa", "\"" },
        { "\"@token\"", 129, "\"", "a", "\"" },
        { NULL, 0, NULL, NULL, NULL }
    };

    for (m = made; m->name && strcmp(m->name, text) != 0; m++) {
        /* void */
    }

    if (m->name == NULL) {
        fputs(text, f);
        return;
    }

    fputs(m->first, f);

    for (i = 0; i < m->n; i++) {
        fputs(m->each, f);
    }

    for (i = 0; m->each[0] == '[' && i <= m->n; i++) {
        fputs("]", f);
    }

    fputs(m->last, f);
}


/* The document, with value in the place of target. */

static void
lies_print(FILE *f, ngx_autocert_json_t *json, ngx_autocert_json_t *target,
    const lies_value_t *value)
{
    ngx_uint_t            n, times;
    ngx_autocert_json_t  *node;

    if (json == target && !(value->is & (GONE|TWICE))) {
        lies_put(f, value->text);
        return;
    }

    switch (json->type) {

    case NGX_AUTOCERT_JSON_ARRAY:
    case NGX_AUTOCERT_JSON_OBJECT:
        fputc(json->type == NGX_AUTOCERT_JSON_ARRAY ? '[' : '{', f);
        n = 0;

        for (node = json->child; node; node = node->next) {

            times = (node != target) ? 1 : (value->is & GONE) ? 0
                    : (value->is & TWICE) ? 2 : 1;

            while (times--) {
                fputs(n++ ? "," : "", f);

                if (json->type == NGX_AUTOCERT_JSON_OBJECT) {
                    fprintf(f, "\"%.*s\":", (int) node->name.len,
                            node->name.data);
                }

                lies_print(f, node, target, value);
            }
        }

        fputc(json->type == NGX_AUTOCERT_JSON_ARRAY ? ']' : '}', f);
        break;

    case NGX_AUTOCERT_JSON_STRING:
        fprintf(f, "\"%.*s\"", (int) json->value.len, json->value.data);
        break;

    case NGX_AUTOCERT_JSON_NUMBER:
        fprintf(f, "%.*s", (int) json->value.len, json->value.data);
        break;

    default:
        fputs(json->type == NGX_AUTOCERT_JSON_TRUE ? "true"
              : json->type == NGX_AUTOCERT_JSON_FALSE ? "false" : "null", f);
    }
}


static ngx_uint_t
lies_listed(const char *list, const char *text)
{
    size_t       len;
    const char  *p;

    len = strlen(text);

    for (p = list; p && len; p = strchr(p, '|')) {

        p += (*p == '|');

        if (strncmp(p, text, len) == 0 && (p[len] == '|' || p[len] == '\0')) {
            return 1;
        }
    }

    return 0;
}


/* By the rules: is it harmless? */

static ngx_uint_t
lies_expect(ngx_uint_t step, const char *path, ngx_uint_t element,
    const lies_value_t *value)
{
    const lies_rule_t  *rule;

    /* nothing of the body is read */

    if (step == STEP(CONTACTS)) {
        return strcmp(value->text, "@body") == 0 ? FAILED : DONE;
    }

    /* RFC 8259 leaves open what that means: refused */

    if ((value->is & BROKEN) || ((value->is & TWICE) && !element)) {
        return FAILED;
    }

    if (value->is & TWICE) {
        return DONE;
    }

    for (rule = lies_rules; rule->path; rule++) {

        if (rule->step != step || strcmp(rule->path, path) != 0) {
            continue;
        }

        return (rule->may & value->is) || lies_listed(rule->good, value->text)
               ? DONE : FAILED;
    }

    return DONE;
}


/* Each value in the place of this one, and of all below it. */

static void
lies_walk(lies_t *lie, ngx_autocert_json_t *root, ngx_autocert_json_t *json,
    const char *path, const char *status)
{
    char                  below[256], *p;
    FILE                 *f;
    size_t                len;
    ngx_str_t             body;
    ngx_uint_t            i, n, element;
    ngx_autocert_json_t  *node;
    const lies_answer_t  *honest;

    honest = &lies_honest[lie->step];
    element = (json != root && json->name.data == NULL);

    for (i = 0; i < sizeof(lies_values) / sizeof(lies_values[0]); i++) {

        if (json == root && (lies_values[i].is & (GONE|TWICE))) {
            continue;
        }

        f = open_memstream(&p, &len);
        assert_non_null(f);
        lies_print(f, root, json, &lies_values[i]);
        fclose(f);

        body.data = (u_char *) p;
        body.len = len;

        lies_bytes(&lie->bytes, status ? status : honest->status,
                   honest->headers, &body);
        free(p);

        lie->path = path;
        lie->value = (lies_values[i].is & GONE) ? "missing"
                     : (lies_values[i].is & TWICE) ? "twice"
                     : lies_values[i].text;

        lie->expect = status ? FAILED
                             : lies_expect(lie->step, path, element,
                                           &lies_values[i]);

        lies_tell(lie);
        free(lie->bytes.data);
    }

    n = 0;

    for (node = json->child; node; node = node->next) {

        if (json->type == NGX_AUTOCERT_JSON_ARRAY) {
            (void) snprintf(below, sizeof(below), "%s.%lu", path,
                            (unsigned long) n++);

        } else {
            (void) snprintf(below, sizeof(below), "%s.%.*s", path,
                            (int) node->name.len, node->name.data);
        }

        lies_walk(lie, root, node, below, status);
    }
}


static void
lies_document(ngx_uint_t step, const char *text, const char *status)
{
    char                 *err;
    lies_t                lie;
    ngx_str_t             body;
    ngx_pool_t           *pool;
    ngx_autocert_json_t  *json;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    lies_str(&body, text);
    json = ngx_autocert_json_parse(pool, &body, &err);
    assert_non_null(json);

    ngx_memzero(&lie, sizeof(lies_t));
    lie.step = step;

    lies_walk(&lie, json, json, "", status);

    ngx_destroy_pool(pool);
}


static void
test_lies_honest(void **state)
{
    lies_t      lie;
    ngx_uint_t  step;

    (void) state;

    for (step = 0; step < NGX_AUTOCERT_STEPS; step++) {
        ngx_memzero(&lie, sizeof(lies_t));
        lie.step = step;
        lie.expect = DONE;
        lie.path = "";
        lie.value = "the truth";
        lies_tell(&lie);
    }

    lies_told = 0;
}


static void
test_lies_fields(void **state)
{
    ngx_uint_t  step;

    (void) state;

    for (step = 0; step < NGX_AUTOCERT_STEPS; step++) {

        if (step == STEP(NONCE) || step == STEP(CERTIFICATE)
            || step == STEP(REVOKE))
        {
            continue;
        }

        lies_document(step, lies_honest[step].body, NULL);
    }

    print_message("fields: %lu lies, %lu refused\n",
                  (unsigned long) lies_told, (unsigned long) lies_refused);
}


/* refusals, and what is said inside of an object that has failed */

static void
test_lies_problems(void **state)
{
    ngx_uint_t  i;

    static const ngx_uint_t  steps[] = {
        STEP(ACCOUNT), STEP(AUTHZ), STEP(FINALIZE), STEP(WINDOW)
    };

    (void) state;

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        lies_document(steps[i], REFUSAL, "400 Bad Request");
    }

    lies_document(STEP(FINALIZE), "{\"status\":\"invalid\",\"error\":" REFUSAL
                  "}", "200 OK");
}


/*
 * The message around the answer: all of it, with %s for the honest status,
 * headers and body where it has them.
 */

#define LENGTH  "Content-Length: "

typedef struct {
    const char   *text;
    ngx_uint_t    expect;
} lies_message_t;


static const lies_message_t  lies_messages[] = {

    /* no HTTP */

    { "", FAILED }, { "\r\n\r\n", FAILED }, { "SSH-2.0-x\r\n", FAILED },
    { "\x16\x03\x01", FAILED }, { "HTTP/0.9 200 OK\r\n\r\n", FAILED },
    { "HTTP/2.0 200 OK\r\n\r\n", FAILED },
    { "HTTP/1.1\r\n\r\n", FAILED }, { "HTTP/1.1 2x0 OK\r\n\r\n", FAILED },
    { "HTTP/1.1 20 OK\r\n\r\n", FAILED },
    { "HTTP/1.1 2000 OK\r\n\r\n", FAILED },
    { "HTTP/1.1 -20 OK\r\n\r\n", FAILED },
    { "HTTP/1.1 000 OK\r\n\r\n", FAILED },
    { "http/1.1 200 OK\r\n\r\n", FAILED }, { "<html>", FAILED },
    { "@long", FAILED },

    /* other statuses */

    { "HTTP/1.1 100 Continue\r\n\r\n", FAILED }, { "@interim", FAILED },
    { "HTTP/1.1 101 Switching Protocols\r\n\r\n", FAILED },
    { "HTTP/1.1 300 X\r\nLocation: " CA "dir\r\nContent-Length: 0\r\n\r\n",
      FAILED },
    { "HTTP/1.1 301 X\r\nLocation: " CA "dir\r\nContent-Length: 0\r\n\r\n",
      FAILED },
    { "HTTP/1.1 302 X\r\nLocation: " CA "dir\r\nContent-Length: 0\r\n\r\n",
      FAILED },
    { "HTTP/1.1 303 X\r\nLocation: " CA "dir\r\nContent-Length: 0\r\n\r\n",
      FAILED },
    { "HTTP/1.1 304 X\r\n\r\n", FAILED },
    { "HTTP/1.1 307 X\r\nLocation: http://ca.test/\r\nContent-Length: 0\r\n"
      "\r\n", FAILED },
    { "HTTP/1.1 308 X\r\nLocation: " CA "dir\r\nContent-Length: 0\r\n\r\n",
      FAILED },
    { "HTTP/1.1 401 X\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n"
      "\r\n", FAILED },
    { "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", FAILED },
    { "HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", FAILED },
    { "HTTP/1.1 429 X\r\nRetry-After: 99999999999999999999\r\n"
      "Content-Length: 0\r\n\r\n", FAILED },
    { "HTTP/1.1 429 X\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n",
      FAILED },
    { "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", FAILED },
    { "HTTP/1.1 503 X\r\nRetry-After: Fri, 31 Feb 2023 00:00:00 GMT\r\n"
      "Content-Length: 0\r\n\r\n", FAILED },
    { "HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", FAILED },
    { "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", FAILED },

    /* how long it is */

    { "HTTP/1.1 %s\r\n%s" LENGTH "1\r\n" LENGTH "2\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "1, 2\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "-1\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "+1\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "0x10\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "1 1\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "18446744073709551617\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s" LENGTH "9999999999\r\n\r\n%s", EITHER },
    { "HTTP/1.1 %s\r\n%s" LENGTH "9999\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\n", FAILED },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: gzip\r\n\r\n", FAILED },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked, gzip\r\n\r\n", FAILED },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n", FAILED },
    { "HTTP/1.0 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      FAILED },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n\r\n", EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n-1\r\n", EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n 1\r\n", EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n0x1\r\n", EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n",
      EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n"
      "ffffffffffffffff\r\n{", EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n"
      "10000000000000001\r\n{", EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n80000000\r\n{",
      EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n1\n{\n0\n\n",
      EITHER },
    { "HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n0\r\nX: y",
      EITHER },
    { "@chunks", EITHER }, { "@extension", EITHER }, { "@trailer", EITHER },
    { "@endless", EITHER },

    /* headers */

    { "HTTP/1.1 %s\r\n%sX\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s: y\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%sX : y\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s X: y\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%sX: y\r\n\tz\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%sX: y\rZ: z\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%sX\x01: y\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%sX: \x01\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%sX\xff: y\r\n\r\n%s", FAILED },
    { "HTTP/1.1 %s\r\n%s", FAILED }, { "@header", FAILED },
    { "@headers", FAILED },
    { "HTTP/1.1 %s\r\n%sLink: <\r\nLink: <x>;rel=\r\n\r\n%s", DONE },
    { "HTTP/1.1 %s\r\n%sReplay-Nonce: x\r\n\r\n%s", EITHER },
    { "HTTP/1.1 %s\r\n%sRetry-After: 99999999999999999999\r\n\r\n%s",
      EITHER },
    { "HTTP/1.1 %s\r\n%sRetry-After: -5\r\n\r\n%s", DONE },
    { "HTTP/1.1 %s\r\n%sRetry-After: Fri, 31 Feb 2023 00:00:00 GMT\r\n\r\n%s",
      DONE },
    { "HTTP/1.1 %s\r\n%sRetry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n%s",
      DONE },
    { "HTTP/1.1 %s\r\n%sDate: never\r\nServer: \r\n\r\n%s", DONE },
    { "HTTP/1.1 %s\r\n%sConnection: close, close\r\n\r\n%s", DONE },
    { "HTTP/1.1 %s\r\n%sContent-Encoding: gzip\r\n\r\n%s", EITHER },
    { NULL, 0 }
};


/* those that are too long to be written down */

static void
lies_long(FILE *f, const char *text, const char *status, const char *headers)
{
    ngx_uint_t  i;

    if (strcmp(text, "@long") == 0) {
        fprintf(f, "HTTP/1.1 200 %065536d\r\n\r\n", 0);
        return;
    }

    if (strcmp(text, "@interim") == 0) {
        for (i = 0; i < 1000; i++) {
            fputs("HTTP/1.1 102 Wait\r\n\r\n", f);
        }

        return;
    }

    fprintf(f, "HTTP/1.1 %s\r\n%s", status, headers);

    if (strcmp(text, "@header") == 0) {
        fprintf(f, "X: %065536d\r\n\r\n", 0);
        return;
    }

    if (strcmp(text, "@headers") == 0) {
        for (i = 0; i < 5000; i++) {
            fprintf(f, "X%lu: y\r\n", (unsigned long) i);
        }

        fputs("\r\n", f);
        return;
    }

    if (strcmp(text, "@endless") == 0) {
        fprintf(f, "\r\n{%0300000d", 0);
        return;
    }

    fputs("Transfer-Encoding: chunked\r\n\r\n", f);

    if (strcmp(text, "@extension") == 0) {
        fprintf(f, "1;x=%0100000d\r\n{\r\n", 0);
        return;
    }

    if (strcmp(text, "@trailer") == 0) {
        fprintf(f, "0\r\nX: %0100000d\r\n\r\n", 0);
        return;
    }

    for (i = 0; i < 50000; i++) {
        fputs("8\r\n        \r\n", f);
    }
}


static void
lies_message(lies_t *lie, const char *text, const lies_answer_t *honest,
    ngx_str_t *body)
{
    char        *p;
    FILE        *f;
    size_t       len;
    const char  *s, *rest;
    ngx_uint_t   n;

    f = open_memstream(&p, &len);
    assert_non_null(f);

    if (text[0] == '@') {
        lies_long(f, text, honest->status, honest->headers);

    } else {
        n = 0;

        for (s = text; (rest = strstr(s, "%s")) != NULL; s = rest + 2) {
            (void) fwrite(s, 1, rest - s, f);

            if (n == 2) {
                (void) fwrite(body->data, 1, body->len, f);

            } else {
                fputs(n ? honest->headers : honest->status, f);
            }

            n++;
        }

        fputs(s, f);
    }

    fclose(f);

    lie->bytes.data = (u_char *) p;
    lie->bytes.len = len;
    lie->path = "";
    lie->value = text;
    lies_tell(lie);
    free(p);
}


static void
test_lies_messages(void **state)
{
    lies_t      lie;
    ngx_str_t   body;
    ngx_uint_t  i, step;

    (void) state;

    for (step = 0; step < NGX_AUTOCERT_STEPS; step++) {
        for (i = 0; lies_messages[i].text; i++) {

            ngx_memzero(&lie, sizeof(lies_t));
            lie.step = step;
            lie.expect = lies_messages[i].expect;
            lies_body(step, &body);

            /* an order that is not there any more is made anew */

            if (step == STEP(RESUME)
                && (strncmp(lies_messages[i].text, "HTTP/1.1 3", 10) == 0
                    || strncmp(lies_messages[i].text, "HTTP/1.1 40", 11) == 0))
            {
                lie.expect = DONE;
            }

            /* what is at fault in a body that HEAD has not, or no one reads */

            if (lie.expect == EITHER && step != STEP(NONCE)
                && step != STEP(CONTACTS)
                && strstr(lies_messages[i].text, "chunked"))
            {
                lie.expect = FAILED;
            }

            lies_message(&lie, lies_messages[i].text, &lies_honest[step],
                         &body);
        }
    }
}


/* Headers that are read, and are lied about. */

static void
test_lies_headers(void **state)
{
    lies_t         lie;
    ngx_str_t      body;
    ngx_uint_t     i;
    lies_answer_t  honest;

    static const struct {
        ngx_uint_t    step;
        const char   *headers;
        ngx_uint_t    expect;

    } headers[] = {

        { STEP(NONCE), "", FAILED },
        { STEP(NONCE), "Replay-Nonce: \r\n", FAILED },
        { STEP(NONCE), "Replay-Nonce: a b\r\n", FAILED },
        { STEP(NONCE), "Replay-Nonce: a/b\r\n", FAILED },
        { STEP(NONCE), "Replay-Nonce: a+b\r\n", FAILED },
        { STEP(NONCE), "Replay-Nonce: ab==\r\n", FAILED },
        { STEP(NONCE), "Replay-Nonce: \"ab\"\r\n", FAILED },
        { STEP(NONCE), "Replay-Nonce: a\xc3\xbc\r\n", FAILED },
        { STEP(NONCE), "Replay-Nonce: a\r\nReplay-Nonce: b\r\n", EITHER },

        { STEP(CERTIFICATE), NONCE, FAILED },
        { STEP(CERTIFICATE), NONCE JSON, FAILED },
        { STEP(CERTIFICATE), NONCE "Content-Type: \r\n", FAILED },
        { STEP(CERTIFICATE), NONCE "Content-Type: text/html\r\n", FAILED },
        { STEP(CERTIFICATE), NONCE "Content-Type: application/pkix-cert\r\n",
          FAILED },
        { STEP(CERTIFICATE), NONCE "Content-Type: "
          "application/pem-certificate-chainx\r\n", FAILED },
        { STEP(CERTIFICATE), NONCE CHAIN JSON, EITHER },
        { STEP(CERTIFICATE), NONCE "Content-Type: "
          "APPLICATION/pem-certificate-chain; charset=x\r\n", DONE }
    };

    static const char  *locations[] = {
        "", "Location: \r\n", "Location: /acct/1\r\n",
        "Location: http://ca.test/acct/1\r\n",
        "Location: ftp://ca.test/acct/1\r\n", "Location: //ca.test/1\r\n",
        "Location: https://\r\n", "Location: https://u@ca.test/1\r\n",
        "Location: https://u:p@ca.test/1\r\n",
        "Location: https://ca.test/1#2\r\n",
        "Location: https://ca.test/1 2\r\n",
        "Location: https://ca.test:0/1\r\n",
        "Location: https://ca.test:65536/1\r\n",
        "Location: https://ca.test/\xc3\xbc\r\n",
        "Location: file:///etc/passwd\r\n", "@url"
    };

    (void) state;

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        ngx_memzero(&lie, sizeof(lies_t));
        lie.step = headers[i].step;
        lie.expect = headers[i].expect;
        lies_body(lie.step, &body);

        honest = lies_honest[lie.step];
        honest.headers = headers[i].headers;
        lies_message(&lie, "HTTP/1.1 %s\r\n%s\r\n%s", &honest, &body);
    }

    for (i = 0; i < 2 * sizeof(locations) / sizeof(locations[0]); i++) {
        char  text[8192];

        ngx_memzero(&lie, sizeof(lies_t));
        lie.step = (i % 2) ? STEP(ORDER) : STEP(ACCOUNT);
        lie.expect = FAILED;
        lies_body(lie.step, &body);

        (void) snprintf(text, sizeof(text), JSON NONCE "%s", locations[i / 2]);

        if (locations[i / 2][0] == '@') {
            (void) snprintf(text, sizeof(text), JSON NONCE "Location: " CA
                            "%04096d\r\n", 0);
        }

        honest = lies_honest[lie.step];
        honest.headers = text;
        lies_message(&lie, "HTTP/1.1 %s\r\n%s\r\n%s", &honest, &body);
    }
}


/* How a certificate is made; zero means as it should be. */

typedef struct {
    const char     *what;
    ngx_uint_t      expect;
    char           *names;          /* "-": none */
    char           *subject;
    EVP_PKEY      **key;
    EVP_PKEY      **signer;
    const EVP_MD *(*md)(void);
    char           *constraints;
    char           *usage;
    time_t          not_before;     /* from NOW */
    time_t          not_after;
    ngx_uint_t      copies;         /* of the issuer in the chain */
    unsigned        alone:1;        /* without its issuer */
    unsigned        own:1;          /* self-signed */
    unsigned        issuer:1;       /* the issuer alone */
    unsigned        turned:1;       /* the issuer first */
} lies_spec_t;


static void
lies_extension(X509 *cert, int nid, char *value)
{
    X509_EXTENSION  *extension;

    extension = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}


static X509 *
lies_issue(const lies_spec_t *spec)
{
    X509       *cert;
    EVP_PKEY   *key, *signer;
    X509_NAME  *subject;

    key = spec->key ? *spec->key : lies_key;
    signer = spec->signer ? *spec->signer : spec->own ? key : lies_ca_key;

    cert = X509_new();
    assert_non_null(cert);

    (void) X509_set_version(cert, 2);
    (void) ASN1_INTEGER_set(X509_get_serialNumber(cert), 4711);

    subject = X509_get_subject_name(cert);
    (void) X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                      (u_char *) (spec->subject ? spec->subject
                                                                : NAME),
                                      -1, -1, 0);

    (void) X509_set_issuer_name(cert, (spec->own || lies_ca == NULL)
                                      ? subject
                                      : X509_get_subject_name(lies_ca));

    (void) ASN1_TIME_set(X509_getm_notBefore(cert),
                         NOW + (spec->not_before ? spec->not_before : -DAY));
    (void) ASN1_TIME_set(X509_getm_notAfter(cert),
                         NOW + (spec->not_after ? spec->not_after : 90 * DAY));
    (void) X509_set_pubkey(cert, key);

    lies_extension(cert, NID_basic_constraints,
                   spec->constraints ? spec->constraints
                                     : "critical,CA:FALSE");

    if (spec->usage) {
        lies_extension(cert, NID_ext_key_usage, spec->usage);
    }

    if (spec->names == NULL || spec->names[0] != '-') {
        lies_extension(cert, NID_subject_alt_name,
                       spec->names ? spec->names : "DNS:" NAME);
    }

    assert_true(X509_sign(cert, signer, spec->md ? spec->md() : EVP_sha256())
                > 0);

    return cert;
}


static void
lies_pem(const lies_spec_t *spec, ngx_str_t *pem)
{
    BIO         *bio;
    X509        *cert;
    char        *p;
    ngx_uint_t   i;

    bio = BIO_new(BIO_s_mem());
    assert_non_null(bio);

    cert = lies_issue(spec);

    if (!spec->issuer && !spec->turned) {
        (void) PEM_write_bio_X509(bio, cert);
    }

    for (i = 0; !spec->alone && i < ngx_max(spec->copies, 1); i++) {
        (void) PEM_write_bio_X509(bio, lies_ca);
    }

    if (spec->turned) {
        (void) PEM_write_bio_X509(bio, cert);
    }

    X509_free(cert);

    pem->len = BIO_get_mem_data(bio, &p);
    pem->data = malloc(pem->len);
    assert_non_null(pem->data);
    ngx_memcpy(pem->data, p, pem->len);

    BIO_free(bio);
}


static const lies_spec_t  lies_specs[] = {

    { .what = "as it should be", .expect = DONE },
    { .what = "for more names", .expect = DONE,
      .names = "DNS:a.test,DNS:" NAME },
    { .what = "for a wildcard", .expect = FAILED, .names = "DNS:*." NAME },
    { .what = "for another name", .expect = FAILED, .names = "DNS:evil.test" },
    { .what = "for a name below", .expect = FAILED,
      .names = "DNS:www." NAME },
    { .what = "for all", .expect = FAILED, .names = "DNS:*" },
    { .what = "for all of org", .expect = EITHER, .names = "DNS:*.org" },
    { .what = "for a part of the name", .expect = FAILED,
      .names = "DNS:ex*.org" },
    { .what = "for no name", .expect = FAILED, .names = "-" },
    { .what = "for an address", .expect = FAILED, .names = "IP:127.0.0.1" },
    { .what = "for a mailbox", .expect = FAILED, .names = "email:a@" NAME },
    { .what = "for a URI", .expect = FAILED, .names = "URI:https://" NAME },
    { .what = "for another key", .expect = FAILED, .key = &lies_other },
    { .what = "for the key of the CA", .expect = FAILED,
      .key = &lies_ca_key },
    { .what = "signed by another", .expect = FAILED, .signer = &lies_other },
    { .what = "signed by our key", .expect = FAILED, .signer = &lies_key },
    { .what = "expired", .expect = FAILED, .not_before = -90 * DAY,
      .not_after = -1 },
    { .what = "expired long ago", .expect = FAILED,
      .not_before = -9000 * (time_t) DAY, .not_after = -8000 * (time_t) DAY },
    { .what = "not yet valid", .expect = FAILED, .not_before = 2 * DAY },
    { .what = "ends before it begins", .expect = FAILED,
      .not_before = 2 * DAY, .not_after = -2 * DAY },
    { .what = "signed with MD5", .expect = FAILED, .md = EVP_md5,
      .signer = &lies_rsa },
    { .what = "MD5, without its issuer", .expect = FAILED, .md = EVP_md5,
      .signer = &lies_rsa, .alone = 1 },
    { .what = "signed with SHA-1", .expect = FAILED, .md = EVP_sha1 },
    { .what = "SHA-1, without its issuer", .expect = FAILED, .md = EVP_sha1,
      .alone = 1 },
    { .what = "that of a CA", .expect = FAILED,
      .constraints = "critical,CA:TRUE" },
    { .what = "for clients", .expect = FAILED, .usage = "clientAuth" },
    { .what = "for code", .expect = FAILED, .usage = "codeSigning" },
    { .what = "self-signed, other key", .expect = FAILED, .own = 1,
      .alone = 1, .key = &lies_other },
    { .what = "self-signed, with a chain", .expect = FAILED, .own = 1 },
    { .what = "chain of 50", .expect = FAILED, .copies = 50 },
    { .what = "chain of 11", .expect = FAILED, .copies = 10 },
    { .what = "the issuer alone", .expect = FAILED, .issuer = 1 },
    { .what = "the wrong way round", .expect = FAILED, .turned = 1 }
};


static void
lies_certificate(const char *what, ngx_uint_t expect, ngx_str_t *pem)
{
    lies_t  lie;

    ngx_memzero(&lie, sizeof(lies_t));
    lie.step = STEP(CERTIFICATE);
    lie.expect = expect;
    lie.path = "";
    lie.value = what;

    lies_bytes(&lie.bytes, "200 OK", CHAIN NONCE, pem);
    lies_tell(&lie);
    free(lie.bytes.data);
}


static void
test_lies_certificates(void **state)
{
    ngx_str_t   pem;
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < sizeof(lies_specs) / sizeof(lies_specs[0]); i++) {
        lies_pem(&lies_specs[i], &pem);
        lies_certificate(lies_specs[i].what, lies_specs[i].expect, &pem);
        free(pem.data);
    }
}


/* one byte of the chain is another, or it ends there */

static void
test_lies_chain_bytes(void **state)
{
    size_t     i;
    ngx_str_t  pem;

    (void) state;

    pem.data = malloc(lies_chain.len);
    assert_non_null(pem.data);

    for (i = 0; i < lies_chain.len; i++) {
        ngx_memcpy(pem.data, lies_chain.data, lies_chain.len);

        pem.len = lies_chain.len;
        pem.data[i] = (pem.data[i] == 'A') ? 'B' : 'A';
        lies_certificate("a byte is another", EITHER, &pem);

        pem.data[i] ^= 0x80;
        lies_certificate("a byte is no text", FAILED, &pem);

        pem.len = i;
        lies_certificate("cut", EITHER, &pem);
    }

    free(pem.data);
}


/*
 * A good exchange is cut at each byte of each answer: what came is never
 * taken for all of it.  Once, it is asked for again where that is safe;
 * always (at some of the bytes), it fails.
 */

static void
test_lies_cuts(void **state)
{
    size_t      i;
    lies_t      lie;
    ngx_uint_t  step, once, cuts;

    (void) state;

    cuts = 0;
    lies_recording = 1;

    for (step = 0; step < NGX_AUTOCERT_STEPS; step++) {
        ngx_memzero(&lie, sizeof(lies_t));
        lie.step = step;
        lie.expect = DONE;
        lies_tell(&lie);
    }

    lies_recording = 0;

    for (step = 0; step < NGX_AUTOCERT_STEPS; step++) {
        assert_non_null(lies_recorded[step].data);

        for (i = 0; i < lies_recorded[step].len; i++) {
            for (once = (i % 16 != 0); once < 2; once++) {
                ngx_memzero(&lie, sizeof(lies_t));
                lie.step = step;
                lie.once = once;
                lie.path = "";
                lie.value = "cut";
                lie.bytes.data = lies_recorded[step].data;
                lie.bytes.len = i;

                lie.expect = (once && step != STEP(ACCOUNT)
                              && step != STEP(ORDER)
                              && step != STEP(FINALIZE)) ? DONE : FAILED;
                lies_tell(&lie);
                cuts++;
            }
        }

        free(lies_recorded[step].data);
    }

    lies_told -= cuts;
    print_message("cuts: %lu\n", (unsigned long) cuts);
}


static void
test_lies_enough(void **state)
{
    (void) state;

    assert_int_equal(lies_wrong, 0);

    print_message("lies: %lu, refused %lu\n", (unsigned long) lies_told,
                  (unsigned long) lies_refused);

    assert_true(lies_told >= LEAST);
    assert_true(lies_refused >= LEAST / 2);
}


static int
test_setup(void **state)
{
    static const lies_spec_t  ca = { .subject = "CA", .names = "-", .own = 1,
                                     .key = &lies_ca_key,
                                     .constraints = "critical,CA:TRUE" };
    static const lies_spec_t  good;

    (void) state;

    lies_key = EVP_EC_gen("P-256");
    lies_other = EVP_EC_gen("P-256");
    lies_ca_key = EVP_EC_gen("P-256");
    lies_rsa = EVP_RSA_gen(2048);

    if (lies_key == NULL || lies_other == NULL || lies_ca_key == NULL
        || lies_rsa == NULL)
    {
        return -1;
    }

    lies_ca = lies_issue(&ca);
    lies_pem(&good, &lies_chain);

    return 0;
}


static int
test_teardown(void **state)
{
    (void) state;

    free(lies_chain.data);
    X509_free(lies_ca);
    EVP_PKEY_free(lies_rsa);
    EVP_PKEY_free(lies_ca_key);
    EVP_PKEY_free(lies_other);
    EVP_PKEY_free(lies_key);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_lies_honest),
        cmocka_unit_test(test_lies_fields),
        cmocka_unit_test(test_lies_problems),
        cmocka_unit_test(test_lies_messages),
        cmocka_unit_test(test_lies_headers),
        cmocka_unit_test(test_lies_certificates),
        cmocka_unit_test(test_lies_chain_bytes),
        cmocka_unit_test(test_lies_cuts),
        cmocka_unit_test(test_lies_enough)
    };

    return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
