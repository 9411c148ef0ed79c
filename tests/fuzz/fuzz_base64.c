
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_base64.h"
#include "../unit/ngx_stub.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* As text: what is accepted is the one spelling of its bytes. */

static void
fuzz_base64_text(ngx_pool_t *pool, ngx_str_t *text)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   out;

    if (ngx_autocert_base64_decode(pool, &out, text) != NGX_OK) {
        return;
    }

    len = ngx_autocert_base64_length(out.len);

    p = ngx_pnalloc(pool, len + 1);
    if (p == NULL) {
        return;
    }

    if (len != text->len
        || ngx_autocert_base64_encode(p, out.data, out.len) != p + len
        || ngx_memcmp(p, text->data, len) != 0)
    {
        abort();
    }
}


/* As bytes: there and back. */

static void
fuzz_base64_bytes(ngx_pool_t *pool, ngx_str_t *bytes)
{
    u_char     *p;
    ngx_str_t   text, out;

    text.len = ngx_autocert_base64_length(bytes->len);

    p = ngx_pnalloc(pool, text.len + 1);
    if (p == NULL) {
        return;
    }

    text.data = p;

    if (ngx_autocert_base64_encode(p, bytes->data, bytes->len) != p + text.len
        || ngx_autocert_base64_decode(pool, &out, &text) != NGX_OK
        || out.len != bytes->len
        || (out.len && ngx_memcmp(out.data, bytes->data, out.len) != 0))
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t    input;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    if (pool == NULL) {
        return 0;
    }

    input.data = (u_char *) data;
    input.len = size;

    fuzz_base64_text(pool, &input);
    fuzz_base64_bytes(pool, &input);

    ngx_destroy_pool(pool);

    return 0;
}
