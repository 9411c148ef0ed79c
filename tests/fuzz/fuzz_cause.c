
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_cause.h"
#include "../unit/ngx_stub.h"


#define FUZZ_VALUE  "token.thumbprint"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_assert(int ok)
{
    if (!ok) {
        abort();
    }
}


static void
fuzz_within(ngx_str_t *field, ngx_str_t *response)
{
    fuzz_assert(field->len == 0
                || (field->data >= response->data
                    && field->data + field->len
                       <= response->data + response->len));
}


/* What comes from another server: one line of a log, its quotations closed. */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                i, n;
    ngx_str_t             response, value, text;
    ngx_pool_t           *pool;
    ngx_autocert_look_t   look;
    ngx_autocert_seen_t  *seen;

    pool = ngx_create_pool(1024, &ngx_stub_log);
    fuzz_assert(pool != NULL);

    ngx_memzero(&look, sizeof(ngx_autocert_look_t));
    look.port = 80;
    look.n = 1;

    seen = look.seen;
    ngx_str_set(&seen->addr, "192.0.2.1");

    response.data = (u_char *) data;
    response.len = size;
    ngx_str_set(&value, FUZZ_VALUE);

    ngx_autocert_cause_http(seen, &response, &value);

    fuzz_within(&seen->server, &response);
    fuzz_within(&seen->location, &response);
    fuzz_within(&seen->start, &response);

    fuzz_assert(seen->status <= 999);
    fuzz_assert(seen->kind == NGX_AUTOCERT_CAUSE_OTHER
                || (seen->kind == NGX_AUTOCERT_CAUSE_RIGHT
                    && seen->status == 200
                    && size > sizeof(FUZZ_VALUE)));

    ngx_autocert_cause(pool, &look, &text);

    n = 0;

    for (i = 0; i < text.len; i++) {
        fuzz_assert(text.data[i] >= 0x20 && text.data[i] != 0x7f);
        n += (text.data[i] == '"');
    }

    fuzz_assert(text.len && n == 2 * ((seen->server.len != 0)
                                      + (seen->location.len != 0)
                                      + (seen->start.len != 0))
                                 * (seen->kind == NGX_AUTOCERT_CAUSE_OTHER));

    ngx_destroy_pool(pool);

    return 0;
}
