
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_json.h"
#include "../unit/ngx_stub.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_json_write(ngx_autocert_json_writer_t *w, ngx_autocert_json_t *json,
    ngx_uint_t named)
{
    char                  name[256];
    const char           *p;
    ngx_autocert_json_t  *child;

    p = NULL;

    if (named) {

        /* longer names would not fit and are not needed to find a fault */

        if (json->name.len >= sizeof(name)) {
            w->failed = 1;
            return;
        }

        *ngx_cpymem(name, json->name.data, json->name.len) = '\0';
        p = name;
    }

    switch (json->type) {

    case NGX_AUTOCERT_JSON_OBJECT:
    case NGX_AUTOCERT_JSON_ARRAY:
        named = (json->type == NGX_AUTOCERT_JSON_OBJECT);
        ngx_autocert_json_open(w, p, named ? '{' : '[');

        for (child = json->child; child; child = child->next) {
            fuzz_json_write(w, child, named);
        }

        ngx_autocert_json_close(w, named ? '}' : ']');
        break;

    case NGX_AUTOCERT_JSON_STRING:
        ngx_autocert_json_put_string(w, p, &json->value);
        break;

    case NGX_AUTOCERT_JSON_NUMBER:
        ngx_autocert_json_put_text(w, p, &json->value);
        break;

    case NGX_AUTOCERT_JSON_NULL:
        ngx_autocert_json_put_text(w, p, &(ngx_str_t) ngx_string("null"));
        break;

    default:
        ngx_autocert_json_put_bool(w, p, json->type == NGX_AUTOCERT_JSON_TRUE);
    }
}


static ngx_uint_t
fuzz_json_equal(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}


static void
fuzz_json_same(ngx_autocert_json_t *one, ngx_autocert_json_t *two)
{
    for ( /* void */ ; one && two; one = one->next, two = two->next) {

        if (one->type != two->type
            || !fuzz_json_equal(&one->name, &two->name)
            || !fuzz_json_equal(&one->value, &two->value))
        {
            abort();
        }

        fuzz_json_same(one->child, two->child);
    }

    if (one || two) {
        abort();
    }
}


static void
fuzz_json_look(ngx_autocert_json_t *json)
{
    int64_t     n;
    ngx_str_t   value;

    (void) ngx_autocert_json_get_integer(json, "status", &n);
    (void) ngx_autocert_json_get_string(json, "status", &value);
    (void) ngx_autocert_json_get(json, "");
}


/* Without memory there is no tree, and a reason. */

static void
fuzz_json_no_memory(ngx_pool_t *pool, ngx_str_t *text, ngx_uint_t n)
{
    char                 *err;
    ngx_autocert_json_t  *json;

    err = NULL;

    ngx_stub_fail_at = n;
    json = ngx_autocert_json_parse(pool, text, &err);
    ngx_stub_fail_at = 0;

    if ((json == NULL) != (err != NULL)) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                        *err;
    ngx_int_t                    rc;
    ngx_str_t                    text, out;
    ngx_pool_t                  *pool;
    ngx_autocert_json_t         *json, *again;
    ngx_autocert_json_writer_t   w;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    if (pool == NULL) {
        return 0;
    }

    text.data = (u_char *) data;
    text.len = size;
    err = NULL;

    json = ngx_autocert_json_parse(pool, &text, &err);

    if ((json == NULL) != (err != NULL)) {
        abort();
    }

    if (size) {
        fuzz_json_no_memory(pool, &text, 1 + data[size / 2] % 16);
    }

    if (json) {
        fuzz_json_look(json);

        (void) ngx_autocert_json_writer_init(&w, pool);
        fuzz_json_write(&w, json, 0);
        rc = ngx_autocert_json_done(&w, &out);

        /* escapes may be longer than what they were written for */

        if (rc == NGX_OK && out.len <= NGX_AUTOCERT_JSON_SIZE) {

            again = ngx_autocert_json_parse(pool, &out, &err);
            if (again == NULL) {
                abort();
            }

            fuzz_json_same(json, again);
        }
    }

    /* whatever a string holds, what is written can be read */

    if (size <= NGX_AUTOCERT_JSON_SIZE / 6 - 2) {

        (void) ngx_autocert_json_writer_init(&w, pool);
        ngx_autocert_json_put_string(&w, NULL, &text);

        if (ngx_autocert_json_done(&w, &out) != NGX_OK) {
            abort();
        }

        json = ngx_autocert_json_parse(pool, &out, &err);

        if (json == NULL && ngx_strlchr(text.data, text.data + size, '\0')
                            == NULL)
        {
            abort();
        }
    }

    ngx_destroy_pool(pool);

    return 0;
}
