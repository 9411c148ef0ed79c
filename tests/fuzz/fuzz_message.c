
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_message.h"
#include "../unit/ngx_stub.h"


/*
 * Input: a byte of flags (the method, is the connection closed at the end), a
 * byte that steers the sizes of the portions, and the bytes of a response.
 */


typedef struct {
    ngx_int_t                 rc;
    size_t                    eaten;
    ngx_autocert_response_t   response;
} fuzz_message_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_message_same(ngx_str_t *one, ngx_str_t *two)
{
    if (one->len != two->len
        || (one->len && ngx_memcmp(one->data, two->data, one->len) != 0))
    {
        abort();
    }
}


/* seed 0: all bytes at once */

static void
fuzz_message_feed(fuzz_message_t *m, ngx_pool_t *pool, ngx_uint_t flags,
    uint32_t seed, const uint8_t *data, size_t size)
{
    size_t   n;
    u_char  *p, *block;

    if (ngx_autocert_message_init(&m->response, pool, flags % 3) != NGX_OK) {
        abort();
    }

    m->rc = NGX_AGAIN;

    for (m->eaten = 0; m->eaten < size && m->rc == NGX_AGAIN; /* void */ ) {

        n = size - m->eaten;

        if (seed) {
            seed = seed * 1103515245 + 12345;
            n = ngx_min(n, 1 + (seed >> 16) % ((seed >> 8) % 64 + 1));
        }

        block = malloc(n);
        if (block == NULL) {
            abort();
        }

        ngx_memcpy(block, data + m->eaten, n);
        p = block;

        m->rc = ngx_autocert_message_parse(&m->response, &p, block + n);

        if (p > block + n || (m->rc == NGX_AGAIN && p != block + n)) {
            abort();
        }

        m->eaten += p - block;
        free(block);
    }

    if (m->rc == NGX_AGAIN && (flags & 0x80)) {
        m->rc = ngx_autocert_message_eof(&m->response);
    }

    /* what has come to an end stays at it */

    if (m->rc != NGX_AGAIN) {
        p = (u_char *) data;

        if (ngx_autocert_message_eof(&m->response) != m->rc
            || ngx_autocert_message_parse(&m->response, &p, p + size)
               != m->rc
            || p != data)
        {
            abort();
        }
    }
}


static void
fuzz_message_compare(fuzz_message_t *one, fuzz_message_t *two)
{
    ngx_str_t   *a, *b;
    ngx_uint_t   i;

    if (one->rc != two->rc || one->response.err != two->response.err) {
        abort();
    }

    /* a body over the limit is refused with its portion */

    if (one->rc == NGX_ERROR) {
        return;
    }

    if (one->eaten != two->eaten
        || one->response.status != two->response.status
        || one->response.keepalive != two->response.keepalive
        || one->response.links.nelts != two->response.links.nelts)
    {
        abort();
    }

    fuzz_message_same(&one->response.content_type,
                      &two->response.content_type);
    fuzz_message_same(&one->response.nonce, &two->response.nonce);
    fuzz_message_same(&one->response.location, &two->response.location);
    fuzz_message_same(&one->response.retry_after, &two->response.retry_after);
    fuzz_message_same(&one->response.date, &two->response.date);
    fuzz_message_same(&one->response.body, &two->response.body);

    a = one->response.links.elts;
    b = two->response.links.elts;

    for (i = 0; i < one->response.links.nelts; i++) {
        fuzz_message_same(&a[i], &b[i]);
    }
}


static void
fuzz_message_whole(ngx_autocert_response_t *response, ngx_uint_t method)
{
    if (response->status < 200 || response->status > 599
        || response->body.len > NGX_AUTOCERT_MESSAGE_BODY)
    {
        abort();
    }

    if (response->body.len
        && (method == NGX_AUTOCERT_HEAD || response->status == 204
            || response->status == 304))
    {
        abort();
    }
}


static void
fuzz_message_views(ngx_autocert_response_t *response)
{
    ngx_str_t            target;
    ngx_uint_t           n;
    ngx_autocert_url_t   url;

    for (n = 0; n < 4; n++) {
        if (ngx_autocert_message_link(response, "alternate", n, &target)
            != NGX_OK)
        {
            break;
        }

        if (target.len > NGX_AUTOCERT_MESSAGE_HEADER) {
            abort();
        }

        (void) ngx_autocert_message_url(&target, &url);
    }
}


/* A URL that passes makes a request that has as many lines as it should. */

static void
fuzz_message_url(ngx_pool_t *pool, ngx_uint_t method, const uint8_t *data,
    size_t size)
{
    size_t                   i;
    ngx_str_t                text, out, agent;
    ngx_uint_t               lines;
    ngx_autocert_url_t       url;
    ngx_autocert_request_t   request;

    text.data = (u_char *) data;
    text.len = size;

    if (ngx_autocert_message_url(&text, &url) != NGX_OK) {
        return;
    }

    if (url.host.len == 0 || url.port == 0 || url.path.data[0] != '/') {
        abort();
    }

    ngx_memzero(&request, sizeof(ngx_autocert_request_t));
    ngx_str_set(&agent, "fuzz");

    request.method = method;

    if (method == NGX_AUTOCERT_POST) {
        ngx_str_set(&request.accept, "text/plain");
        ngx_str_set(&request.content_type, "application/jose+json");
        ngx_str_set(&request.body, "{}");
    }

    if (ngx_autocert_message_request(pool, &request, &url, &agent, &out)
        != NGX_OK)
    {
        abort();
    }

    for (i = 0, lines = 0; i < out.len; i++) {
        lines += (out.data[i] == LF);
    }

    if (lines != (ngx_uint_t) (method == NGX_AUTOCERT_POST ? 9 : 6)) {
        abort();
    }
}


/* Without memory the response is refused, or none of it was needed. */

static void
fuzz_message_no_memory(ngx_pool_t *pool, const uint8_t *data, size_t size)
{
    u_char                   *p;
    ngx_int_t                 rc;
    ngx_autocert_response_t   response;

    ngx_stub_fail_at = 1 + data[1] % 16;

    if (ngx_autocert_message_init(&response, pool, data[0] % 3) == NGX_OK) {

        p = (u_char *) data + 2;
        rc = ngx_autocert_message_parse(&response, &p, p + size - 2);

        if ((rc == NGX_ERROR) != (response.err != NULL)) {
            abort();
        }
    }

    ngx_stub_fail_at = 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_pool_t      *pool;
    fuzz_message_t   whole, split;

    if (size < 2) {
        return 0;
    }

    pool = ngx_create_pool(4096, &ngx_stub_log);
    if (pool == NULL) {
        abort();
    }

    fuzz_message_feed(&whole, pool, data[0], 0, data + 2, size - 2);
    fuzz_message_feed(&split, pool, data[0], 1 + data[1], data + 2, size - 2);
    fuzz_message_compare(&whole, &split);

    if (whole.rc == NGX_OK) {
        fuzz_message_whole(&whole.response, data[0] % 3);
    }

    fuzz_message_views(&whole.response);
    fuzz_message_url(pool, data[0] % 3, data + 2, size - 2);
    fuzz_message_no_memory(pool, data, size);

    ngx_destroy_pool(pool);

    return 0;
}
