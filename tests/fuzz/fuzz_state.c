
/*
 * The texts of state.json and account.json: whatever is taken is in bounds,
 * and printed and parsed again it is the same.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/store/ngx_autocert_store.h"
#include "../../src/store/ngx_autocert_store_state.h"
#include "../unit/ngx_stub.h"


#define fuzz_assert(x)  if (!(x)) { abort(); }


int LLVMFuzzerTestOneInput(const u_char *data, size_t size);


static void
fuzz_equal(ngx_str_t *a, ngx_str_t *b)
{
    fuzz_assert(a->len == b->len
                && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0));
}


static void
fuzz_state(ngx_pool_t *pool, ngx_str_t *text)
{
    char                  *err;
    ngx_str_t              out, again;
    ngx_autocert_state_t   a, b;

    static ngx_autocert_state_t  zero;

    err = NULL;

    if (ngx_autocert_store_state_parse(pool, text, &a, &err) != NGX_OK) {
        fuzz_assert(err && memcmp(&a, &zero, sizeof(a)) == 0);
        return;
    }

    /* nothing points into what the caller frees */

    memset(text->data, 0, text->len);

    fuzz_assert(a.nissued <= NGX_AUTOCERT_STATE_BUDGET);
    fuzz_assert(a.ca.len <= NGX_AUTOCERT_STATE_URL);
    fuzz_assert(a.why.len <= NGX_AUTOCERT_STATE_TEXT);

    fuzz_assert(ngx_autocert_store_state_print(pool, &a, &out) == NGX_OK);
    fuzz_assert(ngx_autocert_store_state_parse(pool, &out, &b, &err)
                == NGX_OK);

    fuzz_equal(&a.ca, &b.ca);
    fuzz_equal(&a.order, &b.order);
    fuzz_equal(&a.challenge, &b.challenge);
    fuzz_equal(&a.token, &b.token);
    fuzz_equal(&a.why, &b.why);
    fuzz_equal(&a.detail, &b.detail);

    fuzz_assert(a.renew_at == b.renew_at
                && a.failures == b.failures
                && a.next_attempt == b.next_attempt
                && a.kind == b.kind
                && a.failed_at == b.failed_at
                && a.issued_at == b.issued_at
                && a.nissued == b.nissued
                && memcmp(a.issued, b.issued, sizeof(a.issued)) == 0);

    fuzz_assert(ngx_autocert_store_state_print(pool, &b, &again) == NGX_OK);
    fuzz_equal(&out, &again);
}


static void
fuzz_account(ngx_pool_t *pool, ngx_str_t *text)
{
    char                          *err;
    ngx_str_t                      out, *ca, *cb;
    ngx_uint_t                     i;
    ngx_autocert_store_account_t   a, b;

    err = NULL;

    if (ngx_autocert_store_account_parse(pool, text, &a, &err) != NGX_OK) {
        fuzz_assert(err && a.ca.len == 0 && a.contacts.nelts == 0);
        return;
    }

    memset(text->data, 0, text->len);

    fuzz_assert(a.contacts.nelts <= NGX_AUTOCERT_STATE_CONTACTS);

    fuzz_assert(ngx_autocert_store_account_print(pool, &a, &out) == NGX_OK);
    fuzz_assert(ngx_autocert_store_account_parse(pool, &out, &b, &err)
                == NGX_OK);

    fuzz_equal(&a.ca, &b.ca);
    fuzz_equal(&a.url, &b.url);
    fuzz_assert(a.contacts.nelts == b.contacts.nelts);

    ca = a.contacts.elts;
    cb = b.contacts.elts;

    for (i = 0; i < a.contacts.nelts; i++) {
        fuzz_equal(&ca[i], &cb[i]);
    }
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    ngx_str_t    text;
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    for (i = 0; i < 2; i++) {

        pool = ngx_create_pool(4096, &ngx_stub_log);

        /* exactly as long as it is, for the sanitizer */

        text.len = size;
        text.data = malloc(size ? size : 1);
        memcpy(text.data, data, size);

        if (i == 0) {
            fuzz_state(pool, &text);

        } else {
            fuzz_account(pool, &text);
        }

        free(text.data);
        ngx_destroy_pool(pool);
    }

    return 0;
}
