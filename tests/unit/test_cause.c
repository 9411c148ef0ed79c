
#include "../../src/base/ngx_autocert_cause.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ngx_stub.h"


#define VALUE  "token.thumbprint"

#define OTHER  NGX_AUTOCERT_CAUSE_OTHER
#define RIGHT  NGX_AUTOCERT_CAUSE_RIGHT


typedef struct {
    const char  *response;
    ngx_uint_t   kind;
    ngx_uint_t   status;
    const char  *server;
    const char  *location;
    const char  *start;
} test_response_t;


static ngx_pool_t  *test_pool;


static const test_response_t  test_responses[] = {
    { "HTTP/1.1 200 OK\r\n\r\n" VALUE, RIGHT, 200, "", "", VALUE },
    { "HTTP/1.0 200 OK\r\nServer: nginx\r\n\r\n" VALUE "\r\n",
      RIGHT, 200, "nginx", "", VALUE "\r\n" },
    { "HTTP/1.1 200 OK\r\n\r\n" VALUE "x", OTHER, 200, "", "", VALUE "x" },
    { "HTTP/1.1 200 OK\r\n\r\ntoken", OTHER, 200, "", "", "token" },
    { "HTTP/1.1 200 OK\r\n\r\n", OTHER, 200, "", "", "" },
    { "HTTP/1.1 404 Not Found\r\n\r\n" VALUE, OTHER, 404, "", "", VALUE },
    { "HTTP/1.1 301 Moved\r\nSERVER:  a b \r\nlocation:http://x/\r\n\r\n<p>",
      OTHER, 301, "a b ", "http://x/", "<p>" },
    { "HTTP/1.1 200 OK\r\nServer: cut", OTHER, 200, "cut", "", "" },
    { "HTTP/1.1 200 OK\r\nX-Server: a\r\n\r\nServer: b", OTHER, 200, "", "",
      "Server: b" },
    { "HTTP/1.1 xyz\r\n\r\n", OTHER, 0, "", "", "" },
    { "HTTP/1.1 20", OTHER, 0, "", "", "HTTP/1.1 20" },
    { "HTTP/2.0 200 OK\r\n\r\n", OTHER, 0, "", "", "HTTP/2.0 200 OK\r\n\r\n" },
    { "SSH-2.0-OpenSSH_9.2\r\n", OTHER, 0, "", "", "SSH-2.0-OpenSSH_9.2\r\n" },
    { "", OTHER, 0, "", "", "" }
};


static void
test_str(ngx_str_t *str, const char *text)
{
    str->data = (u_char *) text;
    str->len = ngx_strlen(text);
}


static void
test_equal(ngx_str_t *str, const char *text)
{
    assert_int_equal(str->len, ngx_strlen(text));
    assert_memory_equal(str->data, text, str->len);
}


/* From exactly as much memory as there is, so that ASan sees what is past. */

static void
test_cause_http(void **state)
{
    u_char                  *copy;
    ngx_str_t                response, value;
    ngx_uint_t               i;
    ngx_autocert_seen_t      seen;
    const test_response_t   *r;

    (void) state;

    test_str(&value, VALUE);

    for (i = 0; i < sizeof(test_responses) / sizeof(test_responses[0]); i++) {
        r = &test_responses[i];

        response.len = ngx_strlen(r->response);
        copy = malloc(response.len ? response.len : 1);
        assert_non_null(copy);
        ngx_memcpy(copy, r->response, response.len);
        response.data = copy;

        ngx_memset(&seen, 0xff, sizeof(seen));
        ngx_autocert_cause_http(&seen, &response, &value);

        assert_int_equal(seen.kind, r->kind);
        assert_int_equal(seen.status, r->status);
        test_equal(&seen.server, r->server);
        test_equal(&seen.location, r->location);
        test_equal(&seen.start, r->start);

        free(copy);
    }
}


static void
test_add(ngx_autocert_look_t *look, const char *addr, ngx_uint_t kind)
{
    ngx_autocert_seen_t  *seen;

    seen = &look->seen[look->n++];

    test_str(&seen->addr, addr);
    seen->kind = kind;
    seen->v6 = (ngx_strchr(addr, ':') != NULL);
}


static void
test_says(ngx_autocert_look_t *look, const char *text)
{
    ngx_str_t  cause;

    ngx_autocert_cause(test_pool, look, &cause);
    test_equal(&cause, text);

    ngx_memzero(look, sizeof(ngx_autocert_look_t));
    look->port = 80;
}


static void
test_cause_none(void **state)
{
    ngx_autocert_look_t  look;

    (void) state;

    ngx_memzero(&look, sizeof(look));

    test_says(&look, "the DNS has no address for the name");

    look.unresolved = 3;
    test_says(&look, "the DNS says that there is no such name (NXDOMAIN)");

    look.unresolved = 2;
    test_says(&look, "the name can't be resolved from here either (2)");

    look.unresolved = 110;
    test_says(&look, "the name can't be resolved from here either (110)");
}


static void
test_cause_one(void **state)
{
    ngx_autocert_look_t  look;

    (void) state;

    ngx_memzero(&look, sizeof(look));
    look.port = 80;

    test_add(&look, "192.0.2.1", RIGHT);
    test_says(&look, "from here all is well, 192.0.2.1 port 80 gives the "
              "right answer: a firewall may keep the CA out, or its DNS has "
              "another address");

    test_add(&look, "192.0.2.1", NGX_AUTOCERT_CAUSE_REFUSED);
    test_says(&look, "nothing listens at 192.0.2.1 port 80 (connection "
              "refused)");

    test_add(&look, "192.0.2.1", NGX_AUTOCERT_CAUSE_TIMEOUT);
    test_says(&look, "192.0.2.1 port 80 does not answer (time-out), is there "
              "a firewall?");

    test_add(&look, "192.0.2.1", NGX_AUTOCERT_CAUSE_CLOSED);
    look.port = 443;
    test_says(&look, "192.0.2.1 port 443 closes the connection without the "
              "answer");

    test_add(&look, "192.0.2.1", NGX_AUTOCERT_CAUSE_FAILED);
    look.seen[0].err = 113;
    test_says(&look, "192.0.2.1 port 80 can't be reached (error 113)");

    test_add(&look, "192.0.2.1", OTHER);
    test_says(&look, "another server answers at 192.0.2.1 port 80");

    test_add(&look, "2001:db8::1", NGX_AUTOCERT_CAUSE_REFUSED);
    test_says(&look, "the AAAA record leads where this server does not "
              "listen, add \"listen [::]:80;\" or remove the record: nothing "
              "listens at 2001:db8::1 port 80 (connection refused)");
}


static void
test_cause_several(void **state)
{
    ngx_autocert_look_t  look;

    (void) state;

    ngx_memzero(&look, sizeof(look));
    look.port = 443;

    test_add(&look, "192.0.2.1", RIGHT);
    test_add(&look, "2001:db8::1", NGX_AUTOCERT_CAUSE_TIMEOUT);
    test_says(&look, "the AAAA record leads where this server does not "
              "listen, add \"listen [::]:443 ssl;\" or remove the record: "
              "2001:db8::1 port 443 does not answer (time-out), is there a "
              "firewall?");

    test_add(&look, "192.0.2.1", RIGHT);
    test_add(&look, "192.0.2.2", OTHER);
    look.seen[1].status = 404;
    test_str(&look.seen[1].server, "x");
    test_says(&look, "not all addresses of the name lead to this server, a "
              "replica behind a load balancer or an old record? another "
              "server answers at 192.0.2.2 port 80, status 404, Server: "
              "\"x\"");

    test_add(&look, "192.0.2.1", OTHER);
    look.seen[0].again = 1;
    look.seen[0].status = 404;
    test_says(&look, "it is right at times only, a replica behind a load "
              "balancer that does not share \"autocert_path\"? another "
              "server answers at 192.0.2.1 port 80, status 404");

    test_add(&look, "192.0.2.1", RIGHT);
    test_add(&look, "192.0.2.2", RIGHT);
    look.seen[0].again = 1;
    test_says(&look, "from here all is well, 192.0.2.1 port 80 gives the "
              "right answer: a firewall may keep the CA out, or its DNS has "
              "another address");
}


/* Nothing of a stranger's ends the quotation that it is in. */

static void
test_cause_quoted(void **state)
{
    ngx_autocert_look_t  look;

    (void) state;

    ngx_memzero(&look, sizeof(look));
    look.port = 80;

    test_add(&look, "192.0.2.1", OTHER);
    look.seen[0].status = 200;
    test_str(&look.seen[0].server, "a\", next try at \"");
    test_str(&look.seen[0].location, "\"\"");
    test_str(&look.seen[0].start, "<a href=\"x\">\xe2\x80\xae");
    test_says(&look, "another server answers at 192.0.2.1 port 80, status "
              "200, Server: \"a', next try at '\", Location: \"''\", "
              "\"<a href='x'>?\"");

    test_add(&look, "192.0.2.1", OTHER);
    look.port = 443;
    test_str(&look.seen[0].subject, "/CN=\"");
    test_says(&look, "another server answers at 192.0.2.1 port 443, "
              "certificate: \"/CN='\"");

    test_add(&look, "192.0.2.1", OTHER);
    test_str(&look.seen[0].tls, "wrong version number");
    test_says(&look, "another server answers at 192.0.2.1 port 80, TLS: "
              "\"wrong version number\"");
}


/* What a stranger says is cut, and can't be taken for a line of ours. */

static void
test_cause_hostile(void **state)
{
    size_t                i;
    char                  text[4096];
    ngx_str_t             cause;
    ngx_autocert_look_t   look;

    (void) state;

    for (i = 0; i < sizeof(text) - 1; i++) {
        text[i] = 1 + i % 31;
    }

    text[i] = '\0';

    ngx_memzero(&look, sizeof(look));
    look.port = 80;
    test_add(&look, "192.0.2.1", OTHER);
    look.seen[0].status = 200;
    test_str(&look.seen[0].server, text);
    test_str(&look.seen[0].location, text);
    test_str(&look.seen[0].start, text);

    ngx_autocert_cause(test_pool, &look, &cause);

    assert_true(cause.len > 200 && cause.len <= 480);

    for (i = 0; i < cause.len; i++) {
        assert_true(cause.data[i] >= 0x20 && cause.data[i] != 0x7f);
    }
}


static int
test_setup(void **state)
{
    (void) state;

    test_pool = ngx_create_pool(4096, &ngx_stub_log);

    return test_pool == NULL;
}


static int
test_teardown(void **state)
{
    (void) state;

    ngx_destroy_pool(test_pool);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_cause_http),
        cmocka_unit_test(test_cause_none),
        cmocka_unit_test(test_cause_one),
        cmocka_unit_test(test_cause_several),
        cmocka_unit_test(test_cause_quoted),
        cmocka_unit_test(test_cause_hostile),
    };

    return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
