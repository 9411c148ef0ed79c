
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_wire.h"


/*
 * The first byte tells how many of the next bytes are a script of what to
 * get; the rest is the message.  A message that was got whole, put again by
 * the same script, is the same message.
 */


#define FUZZ_WIRE_SCRIPT  32


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_wire_step(ngx_autocert_wire_t *get, ngx_autocert_wire_t *put, u_char op)
{
    u_char     *start, buf[16];
    size_t      len;
    uint32_t    u32;
    uint64_t    u64;
    ngx_str_t   s;

    start = get->pos;
    len = op >> 2 & 0x0f;

    switch (op & 3) {

    case 0:
        u32 = ngx_autocert_wire_get_u32(get);
        ngx_autocert_wire_put_u32(put, u32);

        if (get->failed && u32 != 0) {
            abort();
        }

        break;

    case 1:
        u64 = ngx_autocert_wire_get_u64(get);
        ngx_autocert_wire_put_u64(put, u64);

        if (get->failed && u64 != 0) {
            abort();
        }

        break;

    case 2:
        ngx_memset(buf, 0xa5, sizeof(buf));
        ngx_autocert_wire_get_bytes(get, buf, len);
        ngx_autocert_wire_put_bytes(put, buf, len);

        if (get->failed && len && buf[0] != 0) {
            abort();
        }

        break;

    default:
        ngx_autocert_wire_get_string(get, &s);

        if (s.len && (s.data < start || s.data + s.len > get->end)) {
            abort();
        }

        if (get->failed && s.len != 0) {
            abort();
        }

        ngx_autocert_wire_put_string(put, s.data, s.len);
    }

    if (get->pos > get->end || put->pos > put->end) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char               *out, *message;
    size_t                steps, len, i;
    ngx_autocert_wire_t   get, put;

    if (size == 0) {
        return 0;
    }

    steps = ngx_min(data[0] % FUZZ_WIRE_SCRIPT, size - 1);
    message = (u_char *) data + 1 + steps;
    len = size - 1 - steps;

    out = malloc(len + 1);
    if (out == NULL) {
        return 0;
    }

    ngx_autocert_wire_init(&get, message, len);
    ngx_autocert_wire_init(&put, out, len);

    for (i = 0; i < steps; i++) {
        fuzz_wire_step(&get, &put, data[1 + i]);
    }

    if (ngx_autocert_wire_done(&get) == NGX_OK
        && (ngx_autocert_wire_done(&put) != NGX_OK
            || ngx_memcmp(out, message, len) != 0))
    {
        abort();
    }

    free(out);

    return 0;
}
