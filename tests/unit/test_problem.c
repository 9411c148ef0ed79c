
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/acme/ngx_autocert_limit.h"
#include "../../src/acme/ngx_autocert_problem.h"
#include "ngx_stub.h"


#define NOW       1700000000

#define NETWORK   NGX_AUTOCERT_FAIL_NETWORK
#define REFUSED   NGX_AUTOCERT_FAIL_REFUSED
#define LIMITED   NGX_AUTOCERT_FAIL_LIMITED
#define CONFIG    NGX_AUTOCERT_FAIL_CONFIGURATION

#define ACME(type)  "\"type\":\"urn:ietf:params:acme:error:" type "\""

#define ID(name)  "\"identifier\":{\"type\":\"dns\",\"value\":\"" name "\"}"


static const struct {
    ngx_uint_t   status;
    const char  *retry;
    const char  *link;
    const char  *body;
    ngx_uint_t   kind;
    time_t       retry_at;      /* after NOW */
    const char  *type;
    const char  *text;

} test_problems[] = {

    /* kinds by type */

    { 429, NULL, NULL, "{" ACME("rateLimited") "}", LIMITED, 0,
      "rateLimited", "rateLimited" },
    { 400, "10", NULL, "{" ACME("rateLimited") ",\"detail\":\"x\"}", LIMITED,
      10, "rateLimited", "rateLimited: x" },
    { 403, NULL, NULL, "{" ACME("unauthorized") "}", REFUSED, 0,
      "unauthorized", "unauthorized" },
    { 400, NULL, NULL, "{" ACME("malformed") "}", REFUSED, 0, "malformed",
      "malformed" },
    { 400, NULL, NULL, "{" ACME("rejectedIdentifier") "}", REFUSED, 0,
      "rejectedIdentifier", "rejectedIdentifier" },
    { 400, NULL, NULL, "{" ACME("unsupportedIdentifier") "}", REFUSED, 0,
      "unsupportedIdentifier", "unsupportedIdentifier" },
    { 403, NULL, NULL, "{" ACME("caa") "}", REFUSED, 0, "caa", "caa" },
    { 400, NULL, NULL, "{" ACME("dns") "}", REFUSED, 0, "dns", "dns" },
    { 400, NULL, NULL, "{" ACME("connection") "}", REFUSED, 0, "connection",
      "connection" },
    { 400, NULL, NULL, "{" ACME("tls") "}", REFUSED, 0, "tls", "tls" },
    { 403, NULL, NULL, "{" ACME("incorrectResponse") "}", REFUSED, 0,
      "incorrectResponse", "incorrectResponse" },
    { 400, NULL, NULL, "{" ACME("badCSR") "}", REFUSED, 0, "badCSR",
      "badCSR" },
    { 403, NULL, NULL, "{" ACME("externalAccountRequired") "}", CONFIG, 0,
      "externalAccountRequired", "externalAccountRequired" },
    { 403, NULL, NULL, "{" ACME("userActionRequired") "}", CONFIG, 0,
      "userActionRequired", "userActionRequired" },
    { 400, NULL, NULL, "{" ACME("invalidContact") "}", CONFIG, 0,
      "invalidContact", "invalidContact" },
    { 400, NULL, NULL, "{" ACME("unsupportedContact") "}", CONFIG, 0,
      "unsupportedContact", "unsupportedContact" },
    { 400, NULL, NULL, "{" ACME("accountDoesNotExist") "}", CONFIG, 0,
      "accountDoesNotExist", "accountDoesNotExist" },
    { 400, NULL, NULL, "{" ACME("badPublicKey") "}", CONFIG, 0,
      "badPublicKey", "badPublicKey" },
    { 400, NULL, NULL, "{" ACME("badSignatureAlgorithm") "}", CONFIG, 0,
      "badSignatureAlgorithm", "badSignatureAlgorithm" },
    { 400, NULL, NULL, "{" ACME("badNonce") "}", NETWORK, 0, "badNonce",
      "badNonce" },
    { 500, NULL, NULL, "{" ACME("serverInternal") "}", NETWORK, 0,
      "serverInternal", "serverInternal" },
    { 500, "5", NULL, "{" ACME("serverInternal") "}", LIMITED, 5,
      "serverInternal", "serverInternal" },

    /* kinds by status */

    { 400, NULL, NULL, "{" ACME("neverHeardOf") "}", REFUSED, 0,
      "neverHeardOf", "neverHeardOf" },
    { 503, NULL, NULL, "{" ACME("serverInternal") ",\"detail\":\"busy\"}",
      LIMITED, 0, "serverInternal", "serverInternal: busy" },
    { 503, NULL, NULL, "", LIMITED, 0, "", "" },
    { 429, "Tue, 14 Nov 2023 22:14:20 GMT", NULL, "", LIMITED, 60, "", "" },
    { 429, "nonsense", NULL, "", LIMITED, 0, "", "" },
    { 502, NULL, NULL, "<html>\r\n", NETWORK, 0, "", "\"<html>??\"" },
    { 504, "30", NULL, "", LIMITED, 30, "", "" },
    { 404, NULL, NULL, "", REFUSED, 0, "", "" },
    { 301, NULL, NULL, "", REFUSED, 0, "", "" },

    /* documents */

    { 403, NULL, NULL, "{}", REFUSED, 0, "", "\"{}\"" },
    { 403, NULL, NULL, "[1]", REFUSED, 0, "", "\"[1]\"" },
    { 403, NULL, NULL, "{\"type\":1,\"detail\":[]}", REFUSED, 0, "",
      "\"{\"type\":1,\"detail\":[]}\"" },
    { 403, NULL, NULL, "{\"detail\":\"just words\"}", REFUSED, 0, "",
      "just words" },
    { 403, NULL, NULL, "{\"title\":\"a title\"}", REFUSED, 0, "",
      "a title" },
    { 403, NULL, NULL, "{\"type\":\"about:blank\",\"detail\":\"x\"}", REFUSED,
      0, "about:blank", "about:blank: x" },
    { 403, NULL, NULL, "{\"type\":\"caa\"}", REFUSED, 0, "caa", "caa" },
    { 403, NULL, NULL, "{\"type\":\"urn:ietf:params:acme:error:\"}", REFUSED,
      0, "urn:ietf:params:acme:error:", "urn:ietf:params:acme:error:" },
    { 403, NULL, NULL, "{" ACME("dns") ",\"detail\":\"a\\nb\\u001b[31m\"}",
      REFUSED, 0, "dns", "dns: a?b?[31m" },
    { 403, NULL, NULL,
      "{" ACME("userActionRequired") ",\"detail\":\"read\","
      "\"instance\":\"https://ca.test/tos\"}", CONFIG, 0,
      "userActionRequired", "userActionRequired: read https://ca.test/tos" },
    { 403, NULL, "<https://ca.test/tos>;rel=\"terms-of-service\"",
      "{" ACME("userActionRequired") "}", CONFIG, 0, "userActionRequired",
      "userActionRequired https://ca.test/tos" },
    { 429, NULL, "<https://ca.test/limits>;rel=\"help\"", "", LIMITED, 0, "",
      "https://ca.test/limits" },

    /* subproblems: those of the name and of none */

    { 403, NULL, NULL,
      "{" ACME("malformed") ",\"detail\":\"some\",\"subproblems\":["
      "{" ACME("caa") ",\"detail\":\"a\"," ID("Example.ORG") "},"
      "{" ACME("dns") ",\"detail\":\"b\"," ID("example.com") "},"
      "{" ACME("tls") "},{},7,"
      "{\"detail\":\"c\",\"identifier\":7}]}",
      REFUSED, 0, "malformed", "malformed: some (caa: a) (tls) (c)" },
    { 403, NULL, NULL, "{" ACME("caa") ",\"subproblems\":{}}", REFUSED, 0,
      "caa", "caa" }
};


static void
test_str(ngx_str_t *str, const char *text)
{
    str->data = (u_char *) text;
    str->len = text ? ngx_strlen(text) : 0;
}


static void
test_equal(ngx_uint_t n, ngx_str_t *str, const char *text)
{
    if (str->len != ngx_strlen(text)
        || (str->len && ngx_strncmp(str->data, text, str->len) != 0))
    {
        fail_msg("%lu: \"%.*s\", not \"%s\"", (unsigned long) n,
                 (int) str->len, str->data, text);
    }
}


static void
test_response(ngx_pool_t *pool, ngx_autocert_response_t *response,
    ngx_uint_t status, const char *body, const char *retry, const char *link)
{
    ngx_memzero(response, sizeof(ngx_autocert_response_t));

    response->pool = pool;
    response->status = status;
    test_str(&response->body, body);
    test_str(&response->retry_after, retry);

    assert_int_equal(ngx_array_init(&response->links, pool, 1,
                                    sizeof(ngx_str_t)),
                     NGX_OK);
    if (link) {
        test_str(ngx_array_push(&response->links), link);
    }
}


static void
test_problem_response(void **state)
{
    ngx_str_t                 name;
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_autocert_fail_t       fail;
    ngx_autocert_problem_t    problem;
    ngx_autocert_response_t   response;

    (void) state;

    test_str(&name, "example.org");

    for (i = 0; i < sizeof(test_problems) / sizeof(test_problems[0]); i++) {

        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        test_response(pool, &response, test_problems[i].status,
                      test_problems[i].body, test_problems[i].retry,
                      test_problems[i].link);

        assert_int_equal(ngx_autocert_problem_response(pool, &response, &name,
                                                       NOW, &problem),
                         NGX_OK);

        test_equal(i, &problem.type, test_problems[i].type);
        test_equal(i, &problem.text, test_problems[i].text);
        assert_true(problem.type.len == 0
                    || ngx_autocert_problem_is(&problem,
                                               test_problems[i].type));
        assert_false(ngx_autocert_problem_is(&problem, "rate"));
        assert_int_equal(problem.status, test_problems[i].status);

        assert_int_equal(ngx_autocert_problem_fail(pool, &problem, &fail),
                         NGX_ERROR);

        if (fail.kind != test_problems[i].kind) {
            fail_msg("%lu: kind %lu", (unsigned long) i,
                     (unsigned long) fail.kind);
        }

        test_equal(i, &fail.detail, test_problems[i].text);
        assert_true(fail.why.len > 0);
        assert_int_equal(fail.retry_at, test_problems[i].retry_at
                                        ? NOW + test_problems[i].retry_at : 0);

        ngx_destroy_pool(pool);
    }
}


/* inside an object there is no status, and maybe no document */

static void
test_problem_parse(void **state)
{
    char                    *err;
    ngx_str_t                name, text;
    ngx_pool_t              *pool;
    ngx_autocert_fail_t      fail;
    ngx_autocert_json_t     *json;
    ngx_autocert_problem_t   problem;

    (void) state;

    test_str(&name, "example.org");

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    assert_int_equal(ngx_autocert_problem_parse(pool, NULL, &name, &problem),
                     NGX_OK);
    assert_int_equal(problem.text.len, 0);
    assert_int_equal(problem.type.len, 0);

    test_str(&text, "\"caa\"");
    json = ngx_autocert_json_parse(pool, &text, &err);
    assert_int_equal(ngx_autocert_problem_parse(pool, json, &name, &problem),
                     NGX_OK);
    assert_int_equal(problem.text.len, 0);

    test_str(&text, "{" ACME("serverInternal") ",\"status\":500}");
    json = ngx_autocert_json_parse(pool, &text, &err);
    assert_int_equal(ngx_autocert_problem_parse(pool, json, &name, &problem),
                     NGX_OK);
    assert_int_equal(problem.status, 0);

    assert_int_equal(ngx_autocert_problem_fail(pool, &problem, &fail),
                     NGX_ERROR);
    assert_int_equal(fail.kind, NETWORK);
    test_equal(0, &fail.why, "the CA has an internal error");

    ngx_destroy_pool(pool);
}


/* the CA's own text is bounded, however much there is of it */

static void
test_problem_size(void **state)
{
    u_char                   *p;
    ngx_str_t                 name, body;
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_autocert_problem_t    problem;
    ngx_autocert_response_t   response;

    (void) state;

    test_str(&name, "example.org");

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    body.data = ngx_pnalloc(pool, 200000);
    assert_non_null(body.data);

    p = ngx_sprintf(body.data, "{" ACME("caa") ",\"subproblems\":[{}");

    for (i = 0; i < 1000; i++) {
        p = ngx_sprintf(p, ",{\"detail\":\"0123456789012345678901234567890123"
                        "456789012345678901234567890123456789\"}");
    }

    p = ngx_sprintf(p, "]}");
    body.len = p - body.data;

    test_response(pool, &response, 403, NULL, NULL, NULL);
    response.body = body;

    assert_int_equal(ngx_autocert_problem_response(pool, &response, &name,
                                                   NOW, &problem),
                     NGX_OK);
    test_equal(0, &problem.type, "caa");
    assert_int_equal(problem.text.len, NGX_AUTOCERT_PROBLEM_TEXT);

    /* a page */

    ngx_memset(body.data, 'x', body.len);

    assert_int_equal(ngx_autocert_problem_response(pool, &response, &name,
                                                   NOW, &problem),
                     NGX_OK);
    assert_int_equal(problem.text.len, 258);

    ngx_destroy_pool(pool);
}


/* Let's Encrypt's words, and what looks like them */

#define MANY    "too many certificates (50) already issued for "
#define WEEK    " in the last 168h0m0s"
#define LATER   ", retry after 2023-11-14 23:13:20 UTC: see https://ca.test/"
#define NAME    NGX_AUTOCERT_FAIL_NAME
#define DOMAIN  NGX_AUTOCERT_FAIL_DOMAIN
#define ALL     NGX_AUTOCERT_FAIL_CA


static const struct {
    const char  *name;
    const char  *text;
    ngx_uint_t   scope;
    const char  *domain;
    time_t       interval;
    time_t       span;
    time_t       retry_at;      /* after NOW */

} test_limits[] = {

    { "www.example.com", MANY "\"example.com\"" WEEK LATER,
      DOMAIN, "example.com", 12096, 604800, 3600 },
    { "example.com", MANY "\"example.com\"" WEEK LATER,
      DOMAIN, "example.com", 12096, 604800, 3600 },
    { "a.b.example.com", MANY "\"b.Example.COM\"" WEEK,
      DOMAIN, "b.example.com", 12096, 604800, 0 },
    { "192.0.2.1", MANY "\"192.0.2.1\"" WEEK, DOMAIN, "192.0.2.1", 12096,
      604800, 0 },

    { "www.example.com",
      "too many certificates (5) already issued for this exact set of "
      "identifiers" WEEK LATER, NAME, NULL, 0, 0, 3600 },
    { "www.example.com",
      "too many certificates (5) already issued for this Exact Set of "
      "identifiers: \"example.com\"" WEEK, NAME, NULL, 0, 0, 0 },
    { "www.example.com",
      "too many failed authorizations (5) for \"www.example.com\" in the "
      "last 1h0m0s" LATER, NAME, NULL, 0, 0, 3600 },
    { "www.example.com",
      "too many failed authorizations (5) for \"example.com\" in the "
      "last 1h0m0s" LATER, NAME, NULL, 0, 0, 3600 },
    { "www.example.com",
      "Your account is temporarily prevented from requesting certificates "
      "for www.example.com and possibly others. Please visit: https://x/",
      NAME, NULL, 0, 0, 0 },
    { "www.example.com", "too many for WWW.Example.com.", NAME, NULL, 0, 0,
      0 },

    { "www.example.com",
      "too many new orders (300) from this account in the last 3h0m0s"
      LATER, ALL, NULL, 0, 0, 3600 },
    { "www.example.com", "", ALL, NULL, 0, 0, 0 },
    { "www.example.com", "Service busy; retry later.", ALL, NULL, 0, 0, 0 },
    { "www.example.com", "for xwww.example.com, www.example.com.org, "
      "*.www.example.com, www.example.com:1", ALL, NULL, 0, 0, 0 },

    /* what is no domain of this name */

    { "www.example.com", MANY "\"ample.com\"" WEEK, NAME, NULL, 0, 0, 0 },
    { "www.example.com", MANY "\".example.com\"" WEEK, NAME, NULL, 0, 0,
      0 },
    { "www.example.com", MANY "\"example.com.\"" WEEK, NAME, NULL, 0, 0,
      0 },
    { "www.example.com", MANY "\"x.www.example.com\"" WEEK, NAME, NULL, 0,
      0, 0 },
    { "www.example.com", MANY "\"*.example.com\"" WEEK, NAME, NULL, 0, 0,
      0 },
    { "www.example.com", MANY "\"com\"" WEEK, ALL, NULL, 0, 0, 0 },
    { "www.example.com", MANY "\"\"" WEEK, ALL, NULL, 0, 0, 0 },
    { "www.example.com", MANY "\"example.com" WEEK, ALL, NULL, 0, 0, 0 },
    { "www.example.com", MANY "example.com\"" WEEK, ALL, NULL, 0, 0, 0 },
    { "www.example.com", MANY "example.com" WEEK " \"", ALL, NULL, 0, 0, 0 },
    { "www.example.com", MANY "\"example.com and others\"" WEEK, ALL, NULL,
      0, 0, 0 },
    { "10.192.0.2", MANY "\"192.0.2\"" WEEK, NAME, NULL, 0, 0, 0 },
    { "2001:db8::1", MANY "\"2001:db8::1\"" WEEK, NAME, NULL, 0, 0, 0 },

    /* a quote too many hides nothing */

    { "www.example.com", "\" " MANY "\"example.com\"" WEEK, DOMAIN,
      "example.com", 12096, 604800, 0 },
    { "www.example.com", MANY "\"example.org\", \"example.com\"" WEEK,
      DOMAIN, "example.com", 12096, 604800, 0 },

    /* numbers */

    { "a.b.c", "(10) \"b.c\" in the last 3h0m0s", DOMAIN, "b.c", 1080,
      10800, 0 },
    { "a.b.c", "(x) (2) \"b.c\" in the last 30m0s", DOMAIN, "b.c", 900,
      1800, 0 },
    { "a.b.c", "((3) \"b.c\" in the last 90s.", DOMAIN, "b.c", 30, 90, 0 },
    { "a.b.c", "(300) \"b.c\" in the last 90s", DOMAIN, "b.c", 1, 90, 0 },
    { "a.b.c", "(1) \"b.c\" in the last 744h", DOMAIN, "b.c", 2678400,
      2678400, 0 },
    { "a.b.c", "(1) \"b.c\" in the last 744h0m1s", DOMAIN, "b.c", 0, 0, 0 },
    { "a.b.c", "(0) \"b.c\" in the last 1h", DOMAIN, "b.c", 0, 3600, 0 },
    { "a.b.c", "(-5) \"b.c\" in the last 1h", DOMAIN, "b.c", 0, 3600, 0 },
    { "a.b.c", "50 \"b.c\" in the last 1h", DOMAIN, "b.c", 0, 3600, 0 },
    { "a.b.c", "(50 \"b.c\" in the last 1h", DOMAIN, "b.c", 0, 3600, 0 },
    { "a.b.c", "(99999999999999999999999) \"b.c\" in the last 1h", DOMAIN,
      "b.c", 0, 3600, 0 },
    { "a.b.c", "(4) \"b.c\" in the last 99999999999999999999999h", DOMAIN,
      "b.c", 0, 0, 0 },
    { "a.b.c", "(4) \"b.c\" in the last 999999999h999999999h", DOMAIN,
      "b.c", 0, 0, 0 },
    { "a.b.c", "(4) \"b.c\" in the last 1.5h", DOMAIN, "b.c", 0, 0, 0 },
    { "a.b.c", "(4) \"b.c\" in the last 5", DOMAIN, "b.c", 0, 0, 0 },
    { "a.b.c", "(4) \"b.c\" in the last 5hours", DOMAIN, "b.c", 0, 0, 0 },
    { "a.b.c", "(4) \"b.c\" in the last week", DOMAIN, "b.c", 0, 0, 0 },
    { "a.b.c", "(4) \"b.c\" in the last ", DOMAIN, "b.c", 0, 0, 0 },
    { "a.b.c", "\"b.c\" (4", DOMAIN, "b.c", 0, 0, 0 },
    { "a.b.c", "\"b.c\" (", DOMAIN, "b.c", 0, 0, 0 },

    /* instants: not before now, not after a week */

    { "a.b.c", "Retry After 2023-11-14 22:13:21 UTC", ALL, NULL, 0, 0, 1 },
    { "a.b.c", "retry after 1999-11-14 22:13:21 UTC", ALL, NULL, 0, 0, -1 },
    { "a.b.c", "retry after 9999-11-14 22:13:21 UTC", ALL, NULL, 0, 0,
      604800 },
    { "a.b.c", "retry after 2023-11-14 22:13:21", ALL, NULL, 0, 0, 0 },
    { "a.b.c", "retry after 2023-11-14T22:13:21 UTC", ALL, NULL, 0, 0, 0 },
    { "a.b.c", "retry after 2023-11-14 22:13:21 CET", ALL, NULL, 0, 0, 0 },
    { "a.b.c", "retry after 2023-13-14 22:13:21 UTC", ALL, NULL, 0, 0, 0 },
    { "a.b.c", "retry after ", ALL, NULL, 0, 0, 0 }
};


static void
test_problem_limits(void **state)
{
    u_char                   *body;
    time_t                    wanted;
    ngx_str_t                 name, detail;
    ngx_uint_t                i, scope;
    ngx_pool_t               *pool;
    ngx_autocert_fail_t       fail;
    ngx_autocert_problem_t    problem;
    ngx_autocert_response_t   response;
    ngx_autocert_json_writer_t  w;

    (void) state;

    for (i = 0; i < sizeof(test_limits) / sizeof(test_limits[0]); i++) {

        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        test_str(&name, test_limits[i].name);
        test_str(&detail, test_limits[i].text);
        test_response(pool, &response, 429, NULL, NULL, NULL);

        assert_int_equal(ngx_autocert_json_writer_init(&w, pool), NGX_OK);
        ngx_autocert_json_open(&w, NULL, '{');
        ngx_autocert_json_put_text(&w, "type", &(ngx_str_t)
            ngx_string("\"urn:ietf:params:acme:error:rateLimited\""));
        ngx_autocert_json_put_string(&w, "detail", &detail);
        ngx_autocert_json_close(&w, '}');
        assert_int_equal(ngx_autocert_json_done(&w, &response.body), NGX_OK);

        assert_int_equal(ngx_autocert_problem_response(pool, &response, &name,
                                                       NOW, &problem),
                         NGX_OK);
        (void) ngx_autocert_problem_fail(pool, &problem, &fail);

        assert_int_equal(fail.kind, LIMITED);
        assert_int_equal(fail.scope, NAME);

        /* in memory of its own, so that nothing around it is read */

        body = malloc(fail.detail.len);
        assert_non_null(body);
        ngx_memcpy(body, fail.detail.data, fail.detail.len);
        fail.detail.data = body;

        scope = ngx_autocert_limit_scope(&name, &fail);

        wanted = test_limits[i].retry_at;
        wanted = (wanted < 0) ? NOW : (wanted ? NOW + wanted : 0);

        if (scope != test_limits[i].scope
            || fail.interval != test_limits[i].interval
            || fail.span != test_limits[i].span
            || fail.retry_at != wanted
            || problem.retry_at != wanted)
        {
            fail_msg("%s for %s: scope %lu, %ld s of %ld s, at %ld",
                     test_limits[i].text, test_limits[i].name,
                     (unsigned long) scope, (long) fail.interval,
                     (long) fail.span, (long) fail.retry_at);
        }

        test_equal(i, &fail.domain,
                   test_limits[i].domain ? test_limits[i].domain : "");

        free(body);
        ngx_destroy_pool(pool);
    }
}


/* Retry-After goes before the text, whose instant is that of a limit only */

static void
test_problem_retry(void **state)
{
    ngx_str_t                 name;
    ngx_pool_t               *pool;
    ngx_autocert_problem_t    problem;
    ngx_autocert_response_t   response;

    static const struct {
        const char  *body;
        const char  *retry;
        time_t       at;        /* after NOW */

    } answers[] = {
        { "{" ACME("rateLimited") ",\"detail\":\"x" LATER "\"}", "7", 7 },
        { "{" ACME("rateLimited") ",\"detail\":\"x" LATER "\"}",
          "Tue, 14 Nov 2023 22:14:20 GMT", 60 },
        { "{" ACME("rateLimited") ",\"detail\":\"x" LATER "\"}", "soon",
          3600 },
        { "{" ACME("malformed") ",\"detail\":\"x" LATER "\"}", NULL, 0 },
        { "x" LATER, NULL, 0 }
    };

    ngx_uint_t  i;

    (void) state;

    test_str(&name, "example.org");

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        test_response(pool, &response, 429, answers[i].body, answers[i].retry,
                      NULL);
        assert_int_equal(ngx_autocert_problem_response(pool, &response, &name,
                                                       NOW, &problem),
                         NGX_OK);
        assert_int_equal(problem.retry_at,
                         answers[i].at ? NOW + answers[i].at : 0);

        ngx_destroy_pool(pool);
    }
}


static void
test_problem_lasting(void **state)
{
    ngx_str_t                 name;
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_autocert_fail_t       fail;
    ngx_autocert_problem_t    problem;
    ngx_autocert_response_t   response;

    static const struct {
        ngx_uint_t   status;
        const char  *body;
        ngx_uint_t   lasting;

    } answers[] = {
        { 403, "{" ACME("caa") "}", 1 },
        { 0, "{" ACME("caa") "}", 1 },
        { 400, "{" ACME("rejectedIdentifier") "}", 1 },
        { 400, "{" ACME("unsupportedIdentifier") "}", 1 },
        { 400, "{\"type\":\"caa\"}", 1 },
        { 403, "{" ACME("malformed") ",\"subproblems\":["
          "{" ACME("dns") "},{" ACME("caa") "," ID("EXAMPLE.org") "}]}", 1 },

        { 403, "{" ACME("malformed") ",\"subproblems\":["
          "{" ACME("dns") "},{" ACME("caa") "," ID("example.com") "}]}", 0 },
        { 403, "{" ACME("caaa") "}", 0 },
        { 403, "{" ACME("CAA") "}", 0 },
        { 403, "{\"detail\":\"caa\"}", 0 },
        { 403, "{" ACME("dns") ",\"detail\":\"caa\"}", 0 },
        { 403, "{" ACME("unauthorized") "}", 0 },
        { 403, "caa", 0 },
        { 403, "", 0 },
        { 429, "{" ACME("rateLimited") "}", 0 },
        { 503, "{" ACME("rejectedIdentifier") "}", 0 }
    };

    (void) state;

    test_str(&name, "example.org");

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        test_response(pool, &response, answers[i].status, answers[i].body,
                      NULL, NULL);
        assert_int_equal(ngx_autocert_problem_response(pool, &response, &name,
                                                       NOW, &problem),
                         NGX_OK);
        (void) ngx_autocert_problem_fail(pool, &problem, &fail);

        if (fail.lasting != answers[i].lasting) {
            fail_msg("%s: lasting is %d", answers[i].body, fail.lasting);
        }

        ngx_destroy_pool(pool);
    }
}


static void
test_problem_memory(void **state)
{
    ngx_int_t                 rc;
    ngx_str_t                 name;
    ngx_uint_t                n, failed;
    ngx_pool_t               *pool;
    ngx_autocert_problem_t    problem;
    ngx_autocert_response_t   response;

    (void) state;

    test_str(&name, "example.org");

    for (n = 1; n < 1000; n++) {
        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        test_response(pool, &response, 403,
                      "{" ACME("caa") ",\"detail\":\"x\",\"subproblems\":["
                      "{" ACME("caa") ",\"detail\":\"a\"}],"
                      "\"instance\":\"y\"}",
                      NULL, "<https://ca.test/>;rel=\"help\"");

        ngx_stub_fail_at = n;
        rc = ngx_autocert_problem_response(pool, &response, &name, NOW,
                                           &problem);
        failed = (ngx_stub_fail_at == 1);
        ngx_stub_fail_at = 0;

        ngx_destroy_pool(pool);

        if (!failed) {
            assert_int_equal(rc, NGX_OK);
            break;
        }
    }

    assert_true(n > 5 && n < 1000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_problem_response),
        cmocka_unit_test(test_problem_parse),
        cmocka_unit_test(test_problem_size),
        cmocka_unit_test(test_problem_limits),
        cmocka_unit_test(test_problem_retry),
        cmocka_unit_test(test_problem_lasting),
        cmocka_unit_test(test_problem_memory)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
