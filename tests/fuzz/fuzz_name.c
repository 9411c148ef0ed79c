
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_name.h"
#include "../unit/ngx_stub.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* A name that passes is a safe path segment, and passes again unchanged. */

static void
fuzz_name_passed(ngx_pool_t *pool, ngx_str_t *name)
{
    char       *err;
    size_t      i;
    ngx_str_t   again;

    if (name->len == 0 || name->len > 253 || name->data[0] == '.') {
        abort();
    }

    for (i = 0; i < name->len; i++) {
        if (name->data[i] <= 0x20 || name->data[i] >= 0x7f
            || name->data[i] == '/' || ngx_tolower(name->data[i])
                                       != name->data[i])
        {
            abort();
        }
    }

    if (ngx_autocert_name_check(pool, name, &again, &err) != NGX_OK
        || again.len != name->len
        || ngx_memcmp(again.data, name->data, name->len) != 0
        || !ngx_autocert_name_match(name, name))
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char        *err;
    u_char      *p, sni[NGX_AUTOCERT_NAME_SNI];
    ngx_str_t    in, out, pattern;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, &ngx_stub_log);
    if (pool == NULL) {
        abort();
    }

    in.data = (u_char *) data;
    in.len = size;

    err = NULL;

    if (ngx_autocert_name_check(pool, &in, &out, &err) == NGX_OK) {
        fuzz_name_passed(pool, &out);

    } else if (err == NULL) {
        abort();
    }

    (void) ngx_autocert_name_private(&in);

    ngx_autocert_name_sni(&in, sni, &out);

    if (out.data == sni && (out.len == 0 || out.len > sizeof(sni))) {
        abort();
    }

    /* "pattern\nname" */

    p = ngx_strlchr(in.data, in.data + in.len, '\n');

    if (p) {
        pattern.data = in.data;
        pattern.len = p - in.data;

        in.data = p + 1;
        in.len = size - pattern.len - 1;

        (void) ngx_autocert_name_match(&pattern, &in);
    }

    ngx_destroy_pool(pool);

    return 0;
}
