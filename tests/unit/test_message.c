
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_message.h"
#include "ngx_stub.h"


#define test_message_n(a)  (sizeof(a) / sizeof((a)[0]))

#define TEST_OK   "HTTP/1.1 200 OK\r\n"
#define TEST_CHK  TEST_OK "Transfer-Encoding: chunked\r\n\r\n"


static ngx_pool_t  *test_message_pool;


static struct {
    char       *text;
    char       *authority;      /* NULL: refused */
    char       *host;
    in_port_t   port;
    char       *path;
    ngx_uint_t  literal;
} test_message_urls[] = {
    { "https://example.com/dir", "example.com", "example.com", 443, "/dir",
      0 },
    { "https://example.com", "example.com", "example.com", 443, "/", 0 },
    { "HTTPS://a-b_c.d./x?y=/@:z", "a-b_c.d.", "a-b_c.d.", 443, "/x?y=/@:z",
      0 },
    { "https://localhost:14000/", "localhost:14000", "localhost", 14000, "/",
      0 },
    { "https://a:65535", "a:65535", "a", 65535, "/", 0 },
    { "https://192.0.2.1:1/", "192.0.2.1:1", "192.0.2.1", 1, "/", 1 },
    { "https://[2001:db8::1]/x", "[2001:db8::1]", "2001:db8::1", 443, "/x",
      1 },
    { "https://[::1]:8443", "[::1]:8443", "::1", 8443, "/", 1 },

    { "", NULL, NULL, 0, NULL, 0 },
    { "https://", NULL, NULL, 0, NULL, 0 },
    { "https:///", NULL, NULL, 0, NULL, 0 },
    { "https:///path", NULL, NULL, 0, NULL, 0 },
    { "http://example.com/", NULL, NULL, 0, NULL, 0 },
    { "https:/example.com/", NULL, NULL, 0, NULL, 0 },
    { "https//example.com/", NULL, NULL, 0, NULL, 0 },
    { "//example.com/xxxxxxx", NULL, NULL, 0, NULL, 0 },
    { "/relative/path/only", NULL, NULL, 0, NULL, 0 },
    { "https://user@example.com/", NULL, NULL, 0, NULL, 0 },
    { "https://user:pw@example.com/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com/#x", NULL, NULL, 0, NULL, 0 },
    { "https://example.com#x", NULL, NULL, 0, NULL, 0 },
    { "https://example.com?x", NULL, NULL, 0, NULL, 0 },
    { "https://example.com/a b", NULL, NULL, 0, NULL, 0 },
    { "https://example.com/\r\nX: y", NULL, NULL, 0, NULL, 0 },
    { "https://example.com/\x7f", NULL, NULL, 0, NULL, 0 },
    { "https://example.com/\xc3\xa4", NULL, NULL, 0, NULL, 0 },
    { "https://exam%70le.com/", NULL, NULL, 0, NULL, 0 },
    { "https://exam\\ple.com/", NULL, NULL, 0, NULL, 0 },
    { "https://.example.com/", NULL, NULL, 0, NULL, 0 },
    { "https://example..com/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com:/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com:0/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com:65536/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com:99999999999999999999/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com:-1/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com:443x/", NULL, NULL, 0, NULL, 0 },
    { "https://example.com:443:443/", NULL, NULL, 0, NULL, 0 },
    { "https://::1/", NULL, NULL, 0, NULL, 0 },
    { "https://[::1/", NULL, NULL, 0, NULL, 0 },
    { "https://[::1]x/", NULL, NULL, 0, NULL, 0 },
    { "https://[]/xxx", NULL, NULL, 0, NULL, 0 },
    { "https://[192.0.2.1]/", NULL, NULL, 0, NULL, 0 },
    { "https://[fe80::1%25eth0]/", NULL, NULL, 0, NULL, 0 },
    { "https://[example.com]/", NULL, NULL, 0, NULL, 0 }
};


static void
test_message_equal(ngx_str_t *s, char *want)
{
    if (s->len != strlen(want)
        || (s->len && memcmp(s->data, want, s->len) != 0))
    {
        fail_msg("\"%.*s\", not \"%s\"", (int) s->len, (char *) s->data,
                 want);
    }
}


static void
test_message_url(void **state)
{
    u_char              *p;
    ngx_int_t            rc;
    ngx_str_t            text;
    ngx_uint_t           i;
    ngx_autocert_url_t   url;

    (void) state;

    for (i = 0; i < test_message_n(test_message_urls); i++) {

        text.len = strlen(test_message_urls[i].text);
        text.data = malloc(text.len ? text.len : 1);
        memcpy(text.data, test_message_urls[i].text, text.len);

        rc = ngx_autocert_message_url(&text, &url);

        if ((rc == NGX_OK) != (test_message_urls[i].authority != NULL)) {
            fail_msg("%s: %d", test_message_urls[i].text, (int) rc);
        }

        if (rc == NGX_OK) {
            test_message_equal(&url.authority,
                               test_message_urls[i].authority);
            test_message_equal(&url.host, test_message_urls[i].host);
            test_message_equal(&url.path, test_message_urls[i].path);
            assert_int_equal(url.port, test_message_urls[i].port);
            assert_int_equal(url.literal, test_message_urls[i].literal);

        } else {
            assert_int_equal(rc, NGX_DECLINED);
        }

        free(text.data);
    }

    p = malloc(NGX_AUTOCERT_MESSAGE_URL + 1);
    memset(p, 'a', NGX_AUTOCERT_MESSAGE_URL + 1);
    memcpy(p, "https://a/", 10);
    text.data = p;

    text.len = NGX_AUTOCERT_MESSAGE_URL;
    assert_int_equal(ngx_autocert_message_url(&text, &url), NGX_OK);

    text.len = NGX_AUTOCERT_MESSAGE_URL + 1;
    assert_int_equal(ngx_autocert_message_url(&text, &url), NGX_DECLINED);

    /* a host of 254 */

    memcpy(p, "https://aa", 10);
    p[8 + 253] = '/';
    text.len = 300;
    assert_int_equal(ngx_autocert_message_url(&text, &url), NGX_OK);

    p[8 + 253] = 'a';
    p[8 + 254] = '/';
    assert_int_equal(ngx_autocert_message_url(&text, &url), NGX_DECLINED);

    free(p);
}


static void
test_message_request(void **state)
{
    ngx_str_t               agent = ngx_string("nginx-autocert/1"), out;
    ngx_str_t               text = ngx_string("https://ca.test:1/x?y");
    ngx_autocert_url_t      url;
    ngx_autocert_request_t  request;

    (void) state;

    assert_int_equal(ngx_autocert_message_url(&text, &url), NGX_OK);

    memset(&request, 0, sizeof(request));
    request.method = NGX_AUTOCERT_POST;
    ngx_str_set(&request.content_type, "application/jose+json");
    ngx_str_set(&request.accept, "application/pem-certificate-chain");
    ngx_str_set(&request.body, "{\"a\":1}");

    assert_int_equal(ngx_autocert_message_request(test_message_pool, &request,
                                                  &url, &agent, &out),
                     NGX_OK);
    test_message_equal(&out,
                       "POST /x?y HTTP/1.1\r\n"
                       "Host: ca.test:1\r\n"
                       "User-Agent: nginx-autocert/1\r\n"
                       "Accept-Encoding: identity\r\n"
                       "Accept-Language: en\r\n"
                       "Accept: application/pem-certificate-chain\r\n"
                       "Content-Type: application/jose+json\r\n"
                       "Content-Length: 7\r\n"
                       "\r\n"
                       "{\"a\":1}");

    /* content of a GET or HEAD stays at home */

    request.method = NGX_AUTOCERT_HEAD;
    ngx_str_null(&request.accept);

    assert_int_equal(ngx_autocert_message_request(test_message_pool, &request,
                                                  &url, &agent, &out),
                     NGX_OK);
    test_message_equal(&out,
                       "HEAD /x?y HTTP/1.1\r\n"
                       "Host: ca.test:1\r\n"
                       "User-Agent: nginx-autocert/1\r\n"
                       "Accept-Encoding: identity\r\n"
                       "Accept-Language: en\r\n"
                       "\r\n");

    request.method = 3;
    assert_int_equal(ngx_autocert_message_request(test_message_pool, &request,
                                                  &url, &agent, &out),
                     NGX_ERROR);

    request.method = NGX_AUTOCERT_POST;
    ngx_str_set(&request.accept, "x\r\nX-Other: y");
    assert_int_equal(ngx_autocert_message_request(test_message_pool, &request,
                                                  &url, &agent, &out),
                     NGX_ERROR);

    ngx_str_null(&request.accept);
    ngx_str_set(&agent, "x\ny");
    assert_int_equal(ngx_autocert_message_request(test_message_pool, &request,
                                                  &url, &agent, &out),
                     NGX_ERROR);

    ngx_str_set(&agent, "x");
    ngx_stub_fail_at = 1;
    assert_int_equal(ngx_autocert_message_request(test_message_pool, &request,
                                                  &url, &agent, &out),
                     NGX_ERROR);
    ngx_stub_fail_at = 0;
}


typedef struct {
    ngx_uint_t   method;
    char        *text;
    char        *more;          /* not eaten: belongs to the next */
    ngx_uint_t   eof;           /* complete by the end of the connection */
    ngx_uint_t   status;
    ngx_uint_t   keepalive;
    char        *body;
} test_message_good_t;


static test_message_good_t  test_message_goods[] = {

    { NGX_AUTOCERT_GET,
      TEST_OK "Content-Length: 5\r\n\r\nhello", "HTTP", 0, 200, 1, "hello" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.1 200 \r\ncontent-LENGTH:5\t \r\n\r\nhello", "", 0, 200, 1,
      "hello" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.1 404 \xfc\r\nContent-Length: 0\r\n\r\n", "x", 0, 404, 1, "" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.1 599 x\r\nContent-Length: 0000000001\r\n\r\nx", "", 0, 599, 1,
      "x" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.7 200 x\r\nContent-Length: 1\r\n\r\nx", "", 0, 200, 1, "x" },

    { NGX_AUTOCERT_GET, TEST_OK "\r\nhello\r\n", NULL, 1, 200, 0,
      "hello\r\n" },

    { NGX_AUTOCERT_GET, TEST_OK "\r\n", NULL, 1, 200, 0, "" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", NULL, 1, 200,
      0, "hello" },

    /* no body */

    { NGX_AUTOCERT_HEAD,
      TEST_OK "Content-Length: 500\r\n\r\n", "HTTP", 0, 200, 1, "" },

    { NGX_AUTOCERT_HEAD,
      TEST_OK "Content-Length: 999999999999\r\n\r\n", "", 0, 200, 1, "" },

    { NGX_AUTOCERT_HEAD, TEST_CHK, "HTTP", 0, 200, 1, "" },

    { NGX_AUTOCERT_HEAD, TEST_OK "\r\n", "", 0, 200, 1, "" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.1 204 No Content\r\n\r\n", "HTTP", 0, 204, 1, "" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP", 0, 204,
      1, "" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "abc", 0, 204,
      0, "" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.1 304 x\r\nContent-Length: 3\r\n\r\n", "HTTP", 0, 304, 1, "" },

    /* keepalive */

    { NGX_AUTOCERT_GET,
      TEST_OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", "", 0, 200,
      0, "x" },

    { NGX_AUTOCERT_GET,
      TEST_OK "Connection: x,\tClose ,keep-alive\r\n"
      "Connection: keep-alive\r\nContent-Length: 1\r\n\r\nx", "", 0, 200, 0,
      "x" },

    { NGX_AUTOCERT_GET,
      TEST_OK "Connection: closed, xclose,,\r\nContent-Length: 1\r\n\r\nx",
      "", 0, 200, 1, "x" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "", 0, 200, 0, "x" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n"
      "Content-Length: 1\r\n\r\nx", "", 0, 200, 1, "x" },

    { NGX_AUTOCERT_GET,
      "HTTP/1.0 200 OK\r\nConnection: close, Keep-Alive\r\n"
      "Content-Length: 1\r\n\r\nx", "", 0, 200, 0, "x" },

    /* chunked */

    { NGX_AUTOCERT_GET,
      TEST_CHK "5\r\nhello\r\n0\r\n\r\n", "HTTP", 0, 200, 1, "hello" },

    { NGX_AUTOCERT_GET,
      TEST_OK "TRANSFER-ENCODING:CHUNKED\r\n\r\n"
      "1\r\nh\r\n0000003\r\nell\r\nA\r\no 23456789\r\n00\r\n\r\n", "", 0, 200,
      1, "hello 23456789" },

    { NGX_AUTOCERT_GET,
      TEST_CHK "5;a=b;c=\"d;e\"\r\nhello\r\n0 ; x\r\n"
      "Trailer: x\r\nContent-Length: 7\r\nReplay-Nonce: no\r\n\r\n", "", 0,
      200, 1, "hello" },

    { NGX_AUTOCERT_GET, TEST_CHK "0\r\n\r\n", "", 0, 200, 1, "" },

    { NGX_AUTOCERT_GET,
      TEST_CHK "4\r\n\r\n\r\n\r\n0\r\n\r\n", "", 0, 200, 1, "\r\n\r\n" },

    /* 1xx */

    { NGX_AUTOCERT_POST,
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 103 Hints\r\nLink: <x>; rel=up\r\nConnection: close\r\n"
      "Content-Length: 9\r\nReplay-Nonce: no\r\nLocation: no\r\n\r\n"
      "HTTP/1.1 102 x\r\n\r\n"
      "HTTP/1.1 100 x\r\n\r\n"
      TEST_OK "Content-Length: 2\r\n\r\nok", "", 0, 200, 1, "ok" }
};


/* A fault that has to be found at the same place however the bytes come. */

static struct {
    char  *text;
    char  *err;
} test_message_bads[] = {
    { "\r\n" TEST_OK, "status line" },
    { "\n", "LF without CR" },
    { "HTTP/1.1 200 OK\n", "LF without CR" },
    { "HTTP/1.1 200 OK\rX", "CR without LF" },
    { "HTTP/1.1 200 OK\r\r\n", "CR without LF" },
    { "HTTP/1.1 200 O\x01K\r\n", "control" },
    { "HTTP/1.1 200 O\x7fK\r\n", "control" },
    { "HTTP/1.1 200\r\n", "status line" },
    { "HTTP/1.1  200 OK\r\n", "status" },
    { "HTTP/1.1 2000 OK\r\n", "status line" },
    { "HTTP/1.1 20x OK\r\n", "status code" },
    { "HTTP/1.1 -20 OK\r\n", "status code" },
    { "HTTP/1.1 099 OK\r\n", "status code" },
    { "HTTP/1.1 600 OK\r\n", "status code" },
    { "HTTP/2.0 200 OK\r\n", "status line" },
    { "HTTP/1.x 200 OK\r\n", "status line" },
    { "HTTP/1.10 200 OK\r\n", "status line" },
    { "http/1.1 200 OK\r\n", "status line" },
    { "ICY 200 OK and more\r\n", "status line" },
    { "SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "status line" },

    { TEST_OK " X: y\r\n", "folded" },
    { TEST_OK "X: y\r\n z\r\n", "folded" },
    { TEST_OK "X: y\r\n\tz\r\n", "folded" },
    { TEST_OK "X: y\nZ: z\r\n", "LF without CR" },
    { TEST_OK "X: y\rZ: z\r\n", "CR without LF" },
    { TEST_OK "X y\r\n", "malformed header" },
    { TEST_OK "X : y\r\n", "malformed header" },
    { TEST_OK "X\r\n", "malformed header" },
    { TEST_OK ": y\r\n", "malformed header" },
    { TEST_OK "X(: y\r\n", "malformed header" },
    { TEST_OK "X\xfc: y\r\n", "malformed header" },
    { TEST_OK "X: \x02\r\n", "control" },
    { TEST_OK "X: y\r\n\n", "LF without CR" },

    { TEST_OK "Content-Length: \r\n", "invalid Content-Length" },
    { TEST_OK "Content-Length: -1\r\n", "invalid Content-Length" },
    { TEST_OK "Content-Length: +1\r\n", "invalid Content-Length" },
    { TEST_OK "Content-Length: 1 1\r\n", "invalid Content-Length" },
    { TEST_OK "Content-Length: 5, 5\r\n", "invalid Content-Length" },
    { TEST_OK "Content-Length: 0x5\r\n", "invalid Content-Length" },
    { TEST_OK "Content-Length: 9223372036854775808\r\n",
      "invalid Content-Length" },
    { TEST_OK "Content-Length: 18446744073709551621\r\n",
      "invalid Content-Length" },
    { TEST_OK "Content-Length: 5\r\nContent-Length: 5\r\n",
      "repeated Content-Length" },
    { TEST_OK "Content-Length: 5\r\nContent-Length: 6\r\n",
      "repeated Content-Length" },
    { TEST_OK "Content-Length: 262145\r\n\r\n", "body is too long" },
    { TEST_OK "Content-Length: 9223372036854775807\r\n\r\n",
      "body is too long" },
    { TEST_OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      "both" },
    { TEST_OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
      "both" },
    { TEST_OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "repeated Transfer-Encoding" },
    { TEST_OK "Transfer-Encoding: chunked, chunked\r\n", "unsupported" },
    { TEST_OK "Transfer-Encoding: gzip, chunked\r\n", "unsupported" },
    { TEST_OK "Transfer-Encoding: identity\r\n", "unsupported" },
    { TEST_OK "Transfer-Encoding: \r\n", "unsupported" },
    { TEST_OK "Transfer-Encoding: xchunked\r\n", "unsupported" },
    { TEST_OK "Content-Encoding: gzip\r\n", "unsupported" },
    { "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0" },

    { TEST_CHK "\r\n", "malformed chunk" },
    { TEST_CHK "x\r\n", "malformed chunk" },
    { TEST_CHK " 5\r\n", "malformed chunk" },
    { TEST_CHK "-5\r\n", "malformed chunk" },
    { TEST_CHK "0x5\r\n", "malformed chunk" },
    { TEST_CHK "5 \r\n", "malformed chunk" },
    { TEST_CHK "5 x\r\n", "malformed chunk" },
    { TEST_CHK "5\n", "LF without CR" },
    { TEST_CHK ";a\r\n", "malformed chunk" },
    { TEST_CHK "5;\x01\r\n", "control" },
    { TEST_CHK "40001\r\n", "body is too long" },
    { TEST_CHK "ffffffff\r\n", "body is too long" },
    { TEST_CHK "100000001\r\n", "body is too long" },
    { TEST_CHK "10000000000000001\r\n", "body is too long" },
    { TEST_CHK "1\r\nx\r\n40000\r\n", "body is too long" },
    { TEST_CHK "1\r\nxy\r\n", "longer than its size" },
    { TEST_CHK "1\r\nx\n", "LF without CR" },
    { TEST_CHK "0\r\nX\r\n", "malformed header" },
    { TEST_CHK "0\r\n x: y\r\n", "folded" },
    { TEST_CHK "0\r\n\n", "LF without CR" },

    { "HTTP/1.1 101 Switching\r\n\r\n", "protocol" },
    { "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 b\r\n\r\nHTTP/1.1 100 c\r\n\r\n"
      "HTTP/1.1 100 d\r\n\r\nHTTP/1.1 100 e\r\n\r\n", "too many" }
};


/*
 * Gives text in portions of step bytes, the first of them cut at cut.  Each
 * portion is a block of its own, so that ASan sees what reads past it.
 */

static ngx_int_t
test_message_feed(ngx_autocert_response_t *response, ngx_pool_t *pool,
    ngx_uint_t method, char *text, size_t len, size_t cut, size_t step,
    size_t *eaten)
{
    size_t      n, i;
    u_char     *p, *block;
    ngx_int_t   rc;

    assert_int_equal(ngx_autocert_message_init(response, pool, method),
                     NGX_OK);

    rc = NGX_AGAIN;

    for (i = 0; i < len; i += n) {

        n = (i == 0 && cut) ? cut : step;
        n = ngx_min(n, len - i);

        block = malloc(n);
        memcpy(block, text + i, n);
        p = block;

        rc = ngx_autocert_message_parse(response, &p, block + n);

        *eaten = i + (p - block);

        if (rc == NGX_AGAIN) {
            assert_ptr_equal(p, block + n);
        }

        free(block);

        if (rc != NGX_AGAIN) {
            return rc;
        }
    }

    return rc;
}


static void
test_message_good(test_message_good_t *good, size_t cut, size_t step)
{
    size_t                    len, eaten;
    char                     *text;
    ngx_int_t                 rc;
    ngx_pool_t               *pool;
    ngx_autocert_response_t   response;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    len = strlen(good->text);
    text = malloc(len + 16);
    strcpy(text, good->text);

    if (good->more) {
        strcat(text, good->more);
    }

    rc = test_message_feed(&response, pool, good->method, text, strlen(text),
                           cut, step, &eaten);

    free(text);

    if (good->eof) {
        assert_int_equal(rc, NGX_AGAIN);
        rc = ngx_autocert_message_eof(&response);
    }

    if (rc != NGX_OK) {
        fail_msg("%s: %s", good->text, response.err);
    }

    assert_int_equal(eaten, len);
    assert_int_equal(response.status, good->status);
    assert_int_equal(response.keepalive, good->keepalive);
    test_message_equal(&response.body, good->body);
    assert_int_equal(ngx_autocert_message_eof(&response), NGX_OK);

    assert_int_equal(response.nonce.len, 0);
    assert_int_equal(response.location.len, 0);
    assert_int_equal(response.links.nelts, 0);

    ngx_destroy_pool(pool);
}


static void
test_message_goods_all(void **state)
{
    size_t      cut, len;
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < test_message_n(test_message_goods); i++) {

        len = strlen(test_message_goods[i].text);

        test_message_good(&test_message_goods[i], 0, 65536);
        test_message_good(&test_message_goods[i], 0, 1);
        test_message_good(&test_message_goods[i], 0, 3);

        for (cut = 1; cut < len; cut++) {
            test_message_good(&test_message_goods[i], cut, 65536);
        }
    }
}


/* What is cut off short is never taken for whole. */

static void
test_message_cut(void **state)
{
    size_t                    n, len, eaten;
    char                     *text;
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_autocert_response_t   response;

    (void) state;

    for (i = 0; i < test_message_n(test_message_goods); i++) {

        if (test_message_goods[i].eof) {
            continue;
        }

        text = test_message_goods[i].text;
        len = strlen(text);

        for (n = 0; n < len; n++) {
            pool = ngx_create_pool(4096, &ngx_stub_log);

            assert_int_equal(test_message_feed(&response, pool,
                                               test_message_goods[i].method,
                                               text, n, 0, 65536, &eaten),
                             NGX_AGAIN);
            assert_int_equal(ngx_autocert_message_eof(&response), NGX_ERROR);
            assert_string_equal(response.err,
                                n ? "connection closed within response"
                                  : "connection closed before response");
            assert_int_equal(response.keepalive, 0);
            assert_int_equal(ngx_autocert_message_eof(&response), NGX_ERROR);

            ngx_destroy_pool(pool);
        }
    }
}


static void
test_message_bads_all(void **state)
{
    size_t                    cut, len, eaten, whole;
    u_char                   *p;
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_autocert_response_t   response;

    (void) state;

    for (i = 0; i < test_message_n(test_message_bads); i++) {

        len = strlen(test_message_bads[i].text);
        whole = 0;

        for (cut = 0; cut <= len; cut++) {
            pool = ngx_create_pool(4096, &ngx_stub_log);
            eaten = 0;

            rc = test_message_feed(&response, pool, NGX_AUTOCERT_GET,
                                   test_message_bads[i].text, len,
                                   (cut < len) ? cut : 0,
                                   (cut < len) ? 65536 : 1, &eaten);

            if (rc != NGX_ERROR
                || strstr(response.err, test_message_bads[i].err) == NULL)
            {
                fail_msg("%d: %s", (int) i,
                         response.err ? response.err : "taken");
            }

            if (cut == 0) {
                whole = eaten;
            }

            assert_int_equal(eaten, whole);
            assert_int_equal(response.keepalive, 0);

            /* it stays so */

            p = (u_char *) TEST_OK;
            assert_int_equal(ngx_autocert_message_parse(&response, &p,
                                                        p + 10),
                             NGX_ERROR);
            assert_int_equal(ngx_autocert_message_eof(&response), NGX_ERROR);

            ngx_destroy_pool(pool);
        }
    }
}


static void
test_message_fields(void **state)
{
    size_t                    eaten;
    ngx_str_t                *link;
    ngx_uint_t                step;
    ngx_pool_t               *pool;
    ngx_autocert_response_t   response;

    static char  text[] =
        "HTTP/1.1 201 Created\r\n"
        "Server: x\r\n"
        "Content-Type:\tApplication/Problem+JSON ; charset=\"X\"\r\n"
        "content-type: text/plain\r\n"
        "Replay-Nonce: not/base64url\r\n"
        "Replay-Nonce:\r\n"
        "REPLAY-NONCE: abc-_019\r\n"
        "Replay-Nonce: second\r\n"
        "Location: https://ca.test/1\r\n"
        "Location: https://ca.test/2\r\n"
        "Retry-After: 120\r\n"
        "Date: Tue, 24 Nov 2026 00:00:00 GMT\r\n"
        "Link: <a>;rel=index\r\n"
        "Content-Encoding: identity\r\n"
        "Link: \r\n"
        "Link: <b>; rel=\"up\"\r\n"
        "!#$%&'*+-.^_`|~9: y\r\n"
        "Content-Length: 0\r\n"
        "\r\n";

    (void) state;

    for (step = 1; step < sizeof(text); step += 5) {

        pool = ngx_create_pool(4096, &ngx_stub_log);

        assert_int_equal(test_message_feed(&response, pool, NGX_AUTOCERT_GET,
                                           text, sizeof(text) - 1, 0, step,
                                           &eaten),
                         NGX_OK);

        test_message_equal(&response.content_type,
                           "application/problem+json");
        test_message_equal(&response.nonce, "abc-_019");
        test_message_equal(&response.location, "https://ca.test/1");
        test_message_equal(&response.retry_after, "120");
        test_message_equal(&response.date, "Tue, 24 Nov 2026 00:00:00 GMT");

        assert_int_equal(response.links.nelts, 3);
        link = response.links.elts;
        test_message_equal(&link[0], "<a>;rel=index");
        test_message_equal(&link[1], "");
        test_message_equal(&link[2], "<b>; rel=\"up\"");

        ngx_destroy_pool(pool);
    }
}


/* head, n times unit, tail; complete unless err */

static void
test_message_repeat(char *head, char *unit, size_t n, char *tail, char *err)
{
    size_t                    i, len, eaten, step;
    char                     *text, *p;
    ngx_int_t                 rc;
    ngx_pool_t               *pool;
    ngx_autocert_response_t   response;

    text = malloc(strlen(head) + n * strlen(unit) + strlen(tail) + 1);
    p = text + sprintf(text, "%s", head);

    for (i = 0; i < n; i++) {
        p = (char *) ngx_cpymem(p, unit, strlen(unit));
    }

    p += sprintf(p, "%s", tail);
    len = p - text;

    for (step = 1; step < 10000000; step *= 4093) {

        pool = ngx_create_pool(4096, &ngx_stub_log);
        rc = test_message_feed(&response, pool, NGX_AUTOCERT_GET, text, len,
                               0, step, &eaten);

        if (rc == NGX_AGAIN) {
            rc = ngx_autocert_message_eof(&response);
        }

        if (err == NULL && rc != NGX_OK) {
            fail_msg("%s", response.err);
        }

        if (err) {
            assert_int_equal(rc, NGX_ERROR);
            assert_string_equal(response.err, err);
        }

        ngx_destroy_pool(pool);
    }

    free(text);
}


static void
test_message_limits(void **state)
{
    size_t  rest;

    (void) state;

    /* header: its last byte is the LF of the empty line */

    rest = NGX_AUTOCERT_MESSAGE_HEADER
           - strlen(TEST_OK "Content-Length: 0\r\nX: \r\n\r\n");

    test_message_repeat(TEST_OK "Content-Length: 0\r\nX: ", "a", rest,
                        "\r\n\r\n", NULL);
    test_message_repeat(TEST_OK "Content-Length: 0\r\nX: ", "a", rest + 1,
                        "\r\n\r\n", "response header is too long");
    test_message_repeat(TEST_OK, "X: y\r\n", 4000, "\r\n",
                        "response header is too long");
    test_message_repeat("", "a", 20000, "", "response header is too long");

    /* body: by length, chunked, to the end */

    test_message_repeat(TEST_OK "Content-Length: 262144\r\n\r\n", "a",
                        NGX_AUTOCERT_MESSAGE_BODY, "", NULL);
    test_message_repeat(TEST_CHK "40000\r\n", "a", NGX_AUTOCERT_MESSAGE_BODY,
                        "\r\n0\r\n\r\n", NULL);
    test_message_repeat(TEST_CHK, "1\r\na\r\n", NGX_AUTOCERT_MESSAGE_BODY,
                        "0\r\n\r\n", NULL);
    test_message_repeat(TEST_CHK, "1\r\na\r\n",
                        NGX_AUTOCERT_MESSAGE_BODY + 1,
                        "0\r\n\r\n", "response body is too long");
    test_message_repeat(TEST_OK "\r\n", "a", NGX_AUTOCERT_MESSAGE_BODY, "",
                        NULL);
    test_message_repeat(TEST_OK "\r\n", "a", NGX_AUTOCERT_MESSAGE_BODY + 1,
                        "", "response body is too long");

    /* extensions and trailers */

    test_message_repeat(TEST_CHK "1;", "a", 16000, "\r\na\r\n0\r\n\r\n",
                        NULL);
    test_message_repeat(TEST_CHK "1;", "a", 17000, "\r\na\r\n0\r\n\r\n",
                        "response header is too long");
    test_message_repeat(TEST_CHK, "1;a=b\r\na\r\n", 4000, "0\r\n\r\n",
                        "response header is too long");
    test_message_repeat(TEST_CHK "0\r\n", "X: y\r\n", 2000, "\r\n", NULL);
    test_message_repeat(TEST_CHK "0\r\n", "X: y\r\n", 4000, "\r\n",
                        "response header is too long");
}


/* Each allocation in turn fails. */

static void
test_message_memory(void **state)
{
    u_char                   *p;
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_autocert_response_t   response;

    static char  text[] =
        TEST_OK
        "Content-Type: x/y\r\nReplay-Nonce: n\r\nLocation: l\r\n"
        "Link: <1>\r\nLink: <2>\r\nLink: <3>\r\nLink: <4>\r\nLink: <5>\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
        "1\r\na\r\n5\r\nhello\r\n0\r\n\r\n";

    (void) state;

    for (i = 1; i < 1000; i++) {

        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        ngx_stub_fail_at = i;

        rc = ngx_autocert_message_init(&response, pool, NGX_AUTOCERT_GET);

        if (rc == NGX_OK) {
            p = (u_char *) text;
            rc = ngx_autocert_message_parse(&response, &p,
                                            p + sizeof(text) - 1);

            if (rc == NGX_OK) {
                assert_ptr_equal(p, text + sizeof(text) - 1);

            } else {
                assert_string_equal(response.err, "out of memory");
            }
        }

        ngx_stub_fail_at = 0;
        ngx_destroy_pool(pool);

        if (rc == NGX_OK) {
            break;
        }

        assert_int_equal(rc, NGX_ERROR);
    }

    assert_true(i > 8 && i < 1000);
}


static struct {
    char  *field;
    char  *rel;
    char  *targets[3];
} test_message_links[] = {
    { "<https://a/>; rel=\"alternate\"", "alternate", { "https://a/" } },
    { "<https://a/>;rel=alternate", "alternate", { "https://a/" } },
    { "<a> ; REL = \"x Alternate y\" ; title=z", "alternate", { "a" } },
    { "<a>; rel=up, <b>; rel=alternate,<c>;rel=\"alternate\"", "alternate",
      { "b", "c" } },
    { ",, <a,;>; rel=up ,", "up", { "a,;" } },
    { "<a>; title=\"x, <no>; rel=up\"; rel=up", "up", { "a" } },
    { "<a>; title=\"x\\\"; rel=no\"; rel=up", "up", { "a" } },
    { "<a>; title*=UTF-8''x; rel=up", "up", { "a" } },
    { "<a>; ; rel=up", "up", { "a" } },
    { "<a>; x; rel=up;", "up", { "a" } },
    { "<>; rel=up", "up", { "" } },

    { "<a>; rel=up; rel=alternate", "alternate", { NULL } },
    { "<a>; rel=alternates", "alternate", { NULL } },
    { "<a>; rel=\"\"", "alternate", { NULL } },
    { "<a>; rel", "alternate", { NULL } },
    { "<a>; rel=alternate; anchor=\"/x\"", "alternate", { NULL } },
    { "<a>; anchor=\"/x\"; rel=up, <b>; rel=up", "up", { "b" } },
    { "<a>", "alternate", { NULL } },
    { "<a; rel=alternate", "alternate", { NULL } },
    { "a; rel=alternate", "alternate", { NULL } },
    { "<a> rel=alternate", "alternate", { NULL } },
    { "<a>; rel=\"alternate", "alternate", { NULL } },
    { "<a>; rel=\"alternate\\", "alternate", { NULL } },
    { "<a>; rel=up x, <b>; rel=alternate", "alternate", { NULL } },
    { "", "alternate", { NULL } }
};


static void
test_message_link(void **state)
{
    ngx_str_t                *link, target;
    ngx_uint_t                i, n;
    ngx_autocert_response_t   response;

    (void) state;

    for (i = 0; i < test_message_n(test_message_links); i++) {

        assert_int_equal(ngx_autocert_message_init(&response,
                                                   test_message_pool,
                                                   NGX_AUTOCERT_GET),
                         NGX_OK);

        link = ngx_array_push(&response.links);
        link->len = strlen(test_message_links[i].field);
        link->data = malloc(link->len ? link->len : 1);
        memcpy(link->data, test_message_links[i].field, link->len);

        for (n = 0; test_message_links[i].targets[n]; n++) {

            if (ngx_autocert_message_link(&response,
                                          test_message_links[i].rel, n,
                                          &target)
                != NGX_OK)
            {
                fail_msg("%s: %d", test_message_links[i].field, (int) n);
            }

            test_message_equal(&target, test_message_links[i].targets[n]);
        }

        if (ngx_autocert_message_link(&response, test_message_links[i].rel,
                                      n, &target)
            != NGX_DECLINED)
        {
            fail_msg("%s: one more", test_message_links[i].field);
        }

        free(link->data);
    }

    /* counted across fields */

    assert_int_equal(ngx_autocert_message_init(&response, test_message_pool,
                                               NGX_AUTOCERT_GET),
                     NGX_OK);

    link = ngx_array_push(&response.links);
    ngx_str_set(link, "<a>;rel=up,<b>;rel=up, broken");
    link = ngx_array_push(&response.links);
    ngx_str_set(link, "<c>;rel=up");

    assert_int_equal(ngx_autocert_message_link(&response, "up", 2, &target),
                     NGX_OK);
    test_message_equal(&target, "c");
    assert_int_equal(ngx_autocert_message_link(&response, "up", 3, &target),
                     NGX_DECLINED);
}


static int
test_message_setup(void **state)
{
    (void) state;

    test_message_pool = ngx_create_pool(4096, &ngx_stub_log);

    return test_message_pool == NULL;
}


static int
test_message_teardown(void **state)
{
    (void) state;

    ngx_destroy_pool(test_message_pool);

    return 0;
}


int
main(void)
{
    static const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_message_url),
        cmocka_unit_test(test_message_request),
        cmocka_unit_test(test_message_goods_all),
        cmocka_unit_test(test_message_cut),
        cmocka_unit_test(test_message_bads_all),
        cmocka_unit_test(test_message_fields),
        cmocka_unit_test(test_message_limits),
        cmocka_unit_test(test_message_memory),
        cmocka_unit_test(test_message_link)
    };

    return cmocka_run_group_tests(tests, test_message_setup,
                                  test_message_teardown);
}
