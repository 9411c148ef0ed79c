
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_time.h"


#define FUZZ_TIME_MAX   253402300799LL
#define FUZZ_TIME_NOW   1790000000
#define FUZZ_TIME_WEEK  604800


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* An instant is printed as a text that is the same instant. */

static void
fuzz_time_check(time_t t)
{
    time_t      back;
    u_char      buf[20];
    ngx_str_t   text;

    if (t < 0 || t > FUZZ_TIME_MAX) {
        abort();
    }

    text.data = buf;
    text.len = ngx_autocert_time_print(buf, t) - buf;

    if (text.len != 20
        || ngx_autocert_time_rfc3339(&text, &back) != NGX_OK
        || back != t)
    {
        abort();
    }
}


static void
fuzz_time_numbers(const uint8_t *data)
{
    time_t      before, after, due, renew, delay;
    u_char      buf[20];
    uint64_t    n[3];

    ngx_memcpy(n, data, sizeof(n));

    if (ngx_autocert_time_print(buf, (time_t) n[0]) != buf + 20) {
        abort();
    }

    before = (time_t) (n[0] % FUZZ_TIME_MAX);
    after = (time_t) (n[1] % FUZZ_TIME_MAX);
    renew = (time_t) n[2];

    due = ngx_autocert_time_renewal(before, after, renew);

    if (due > after || (after > before && due < before + (after - before) / 2))
    {
        abort();
    }

    delay = ngx_autocert_time_backoff((ngx_uint_t) n[0], (uint32_t) n[1]);

    if (delay < 45 || delay > 3600) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    time_t      t;
    ngx_str_t   text;

    text.data = (u_char *) data;
    text.len = size;

    if (ngx_autocert_time_rfc3339(&text, &t) == NGX_OK) {
        fuzz_time_check(t);
    }

    if (ngx_autocert_time_der(&text, &t) == NGX_OK) {
        fuzz_time_check(t);
    }

    if (ngx_autocert_time_http(&text, &t) == NGX_OK) {
        fuzz_time_check(t);
    }

    if (ngx_autocert_time_retry(&text, FUZZ_TIME_NOW, &t) == NGX_OK
        && (t < FUZZ_TIME_NOW || t > FUZZ_TIME_NOW + FUZZ_TIME_WEEK))
    {
        abort();
    }

    if (size >= 3 * sizeof(uint64_t)) {
        fuzz_time_numbers(data);
    }

    return 0;
}
