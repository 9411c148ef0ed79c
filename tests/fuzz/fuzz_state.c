
/*
 * The texts of the store: whatever is taken is in bounds, and printed and
 * parsed again it is the same.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/store/ngx_autocert_store.h"
#include "../../src/store/ngx_autocert_store_account.h"
#include "../../src/store/ngx_autocert_store_ca.h"
#include "../../src/store/ngx_autocert_store_json.h"
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

    fuzz_assert(a.ca.len <= NGX_AUTOCERT_STORE_URL_MAX);
    fuzz_assert(a.key.len <= NGX_AUTOCERT_STORE_TOKEN_MAX);
    fuzz_assert(a.why.len <= NGX_AUTOCERT_STORE_TEXT_MAX);
    fuzz_assert(a.kind <= NGX_AUTOCERT_FAIL_BUDGET);
    fuzz_assert(a.setup <= 0xffffffff);

    fuzz_assert(ngx_autocert_store_state_print(pool, &a, &out) == NGX_OK);
    fuzz_assert(ngx_autocert_store_state_parse(pool, &out, &b, &err)
                == NGX_OK);

    fuzz_equal(&a.key, &b.key);
    fuzz_equal(&a.issuer, &b.issuer);
    fuzz_equal(&a.account, &b.account);
    fuzz_equal(&a.ca, &b.ca);
    fuzz_equal(&a.order, &b.order);
    fuzz_equal(&a.challenge, &b.challenge);
    fuzz_equal(&a.token, &b.token);
    fuzz_equal(&a.next_key, &b.next_key);
    fuzz_equal(&a.next_account, &b.next_account);
    fuzz_equal(&a.why, &b.why);
    fuzz_equal(&a.detail, &b.detail);
    fuzz_equal(&a.name, &b.name);

    fuzz_assert(a.issued_at == b.issued_at
                && a.window_start == b.window_start
                && a.window_end == b.window_end
                && a.renew_at == b.renew_at
                && a.look_at == b.look_at
                && a.looks == b.looks
                && a.setup == b.setup
                && a.tries == b.tries
                && a.failures == b.failures
                && a.next_attempt == b.next_attempt
                && a.kind == b.kind
                && a.failed_at == b.failed_at);

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

    fuzz_assert(a.contacts.nelts <= NGX_AUTOCERT_STORE_CONTACTS);

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


static void
fuzz_ca(ngx_pool_t *pool, ngx_str_t *text)
{
    char               *err;
    ngx_str_t           out, again;
    ngx_uint_t          i;
    ngx_autocert_ca_t   a, b;

    static ngx_autocert_ca_t  zero;

    err = NULL;

    if (ngx_autocert_store_ca_parse(pool, text, &a, &err) != NGX_OK) {
        fuzz_assert(err && memcmp(&a, &zero, sizeof(a)) == 0);
        return;
    }

    memset(text->data, 0, text->len);

    fuzz_assert(a.nslots <= NGX_AUTOCERT_STORE_SLOTS);
    fuzz_assert(a.ndomains <= NGX_AUTOCERT_STORE_DOMAINS);

    for (i = 0; i < a.ndomains; i++) {
        fuzz_assert(a.domains[i].len > 0
                    && a.domains[i].len <= sizeof(a.domains[i].data));
    }

    fuzz_assert(ngx_autocert_store_ca_print(pool, &a, &out) == NGX_OK);
    fuzz_assert(ngx_autocert_store_ca_parse(pool, &out, &b, &err) == NGX_OK);

    fuzz_equal(&a.why, &b.why);
    fuzz_equal(&a.detail, &b.detail);

    for (i = 0; i < a.ndomains; i++) {
        fuzz_assert(memcmp(a.domains[i].data, b.domains[i].data,
                           a.domains[i].len)
                    == 0);
        fuzz_assert(a.domains[i].until == b.domains[i].until
                    && a.domains[i].interval == b.domains[i].interval
                    && a.domains[i].end == b.domains[i].end);
    }

    fuzz_assert(a.hold == b.hold
                && a.failures == b.failures
                && a.failed_at == b.failed_at
                && a.kind == b.kind
                && a.contacts_at == b.contacts_at
                && a.blind == b.blind
                && a.nslots == b.nslots
                && memcmp(a.slots, b.slots, sizeof(a.slots)) == 0
                && a.ndomains == b.ndomains);

    fuzz_assert(ngx_autocert_store_ca_print(pool, &b, &again) == NGX_OK);
    fuzz_equal(&out, &again);
}


static void
fuzz_issued(ngx_pool_t *pool, ngx_str_t *text)
{
    char                   *err;
    ngx_str_t               out;
    ngx_autocert_issued_t   a, b;

    static ngx_autocert_issued_t  zero;

    err = NULL;

    if (ngx_autocert_store_issued_parse(pool, text, &a, &err) != NGX_OK) {
        fuzz_assert(err && memcmp(&a, &zero, sizeof(a)) == 0);
        return;
    }

    memset(text->data, 0, text->len);

    fuzz_assert(a.n <= NGX_AUTOCERT_STORE_ISSUED);

    fuzz_assert(ngx_autocert_store_issued_print(pool, &a, &out) == NGX_OK);
    fuzz_assert(ngx_autocert_store_issued_parse(pool, &out, &b, &err)
                == NGX_OK);

    fuzz_equal(&a.order, &b.order);
    fuzz_assert(a.life == b.life
                && a.n == b.n
                && memcmp(a.at, b.at, sizeof(a.at)) == 0);
}


/* Values as they come: what is printed is read again, the rest is refused. */

static void
fuzz_state_values(ngx_pool_t *pool, ngx_str_t *text, uint64_t n)
{
    char                  *err;
    ngx_int_t              rc;
    ngx_str_t              out;
    ngx_autocert_state_t   state;

    ngx_memzero(&state, sizeof(ngx_autocert_state_t));

    state.why = *text;
    state.failures = n >> 2;

    if (n & 1) {
        state.order = *text;
    }

    if (n & 2) {
        state.token = *text;
        state.renew_at = (time_t) n;
    }

    rc = ngx_autocert_store_state_print(pool, &state, &out);

    fuzz_assert(rc == NGX_DECLINED
                || ngx_autocert_store_state_parse(pool, &out, &state, &err)
                   == NGX_OK);
}


static void
fuzz_account_values(ngx_pool_t *pool, ngx_str_t *text, uint64_t n)
{
    char                          *err;
    ngx_int_t                      rc;
    ngx_str_t                      out, *contact;
    ngx_uint_t                     i;
    ngx_autocert_store_account_t   account;

    ngx_memzero(&account, sizeof(ngx_autocert_store_account_t));

    fuzz_assert(ngx_array_init(&account.contacts, pool, 4, sizeof(ngx_str_t))
                == NGX_OK);

    account.ca = *text;

    if (n & 1) {
        ngx_str_set(&account.ca, "https://ca.test/");
    }

    for (i = 0; i < (n >> 1) % (NGX_AUTOCERT_STORE_CONTACTS + 2); i++) {
        contact = ngx_array_push(&account.contacts);
        fuzz_assert(contact);
        *contact = *text;
    }

    rc = ngx_autocert_store_account_print(pool, &account, &out);

    fuzz_assert(rc == NGX_DECLINED
                || ngx_autocert_store_account_parse(pool, &out, &account, &err)
                   == NGX_OK);
}


static void
fuzz_ca_values(ngx_pool_t *pool, ngx_str_t *text, uint64_t n)
{
    char               *err;
    ngx_int_t           rc;
    ngx_str_t           out;
    ngx_autocert_ca_t   ca;

    ngx_memzero(&ca, sizeof(ngx_autocert_ca_t));

    ca.detail = *text;
    ca.hold = (time_t) (n >> 8);
    ca.nslots = n % (NGX_AUTOCERT_STORE_SLOTS + 2);
    ca.slots[0].at = (time_t) (n >> 4);
    ca.ndomains = (n >> 1) % (NGX_AUTOCERT_STORE_DOMAINS + 2);
    ca.domains[0].until = (time_t) (n >> 12);
    ca.domains[0].len = ngx_min(text->len, sizeof(ca.domains[0].data));
    ngx_memcpy(ca.domains[0].data, text->data, ca.domains[0].len);

    if (ca.ndomains > 1) {
        ca.ndomains = (n & 1) ? 1 : NGX_AUTOCERT_STORE_DOMAINS + 1;
    }

    rc = ngx_autocert_store_ca_print(pool, &ca, &out);

    fuzz_assert(rc == NGX_DECLINED
                || ngx_autocert_store_ca_parse(pool, &out, &ca, &err)
                   == NGX_OK);
}


static void
fuzz_issued_values(ngx_pool_t *pool, ngx_str_t *text, uint64_t n)
{
    char                   *err;
    ngx_int_t               rc;
    ngx_str_t               out;
    ngx_autocert_issued_t   issued;

    ngx_memzero(&issued, sizeof(ngx_autocert_issued_t));

    issued.order = *text;
    issued.n = n % (NGX_AUTOCERT_STORE_ISSUED + 2);
    issued.at[0] = (time_t) (n >> 8);

    rc = ngx_autocert_store_issued_print(pool, &issued, &out);

    fuzz_assert(rc == NGX_DECLINED
                || ngx_autocert_store_issued_parse(pool, &out, &issued, &err)
                   == NGX_OK);
}


/* Without memory nothing is taken, and no text is half of one. */

static void
fuzz_no_memory(ngx_pool_t *pool, ngx_str_t *text, ngx_uint_t n)
{
    char                          *err;
    ngx_str_t                      out;
    ngx_autocert_ca_t              ca;
    ngx_autocert_state_t           state;
    ngx_autocert_issued_t          issued;
    ngx_autocert_store_account_t   account;

    ngx_stub_fail_at = n;

    if (ngx_autocert_store_state_parse(pool, text, &state, &err) == NGX_OK) {
        (void) ngx_autocert_store_state_print(pool, &state, &out);
    }

    ngx_stub_fail_at = n;

    if (ngx_autocert_store_account_parse(pool, text, &account, &err)
        == NGX_OK)
    {
        (void) ngx_autocert_store_account_print(pool, &account, &out);
    }

    ngx_stub_fail_at = n;

    if (ngx_autocert_store_ca_parse(pool, text, &ca, &err) == NGX_OK) {
        (void) ngx_autocert_store_ca_print(pool, &ca, &out);
    }

    ngx_stub_fail_at = n;

    if (ngx_autocert_store_issued_parse(pool, text, &issued, &err) == NGX_OK) {
        (void) ngx_autocert_store_issued_print(pool, &issued, &out);
    }

    ngx_stub_fail_at = 0;
}


static void
fuzz_values(ngx_pool_t *pool, ngx_str_t *text)
{
    uint64_t  n;

    n = 0;
    ngx_memcpy(&n, text->data + text->len - ngx_min(text->len, sizeof(n)),
               ngx_min(text->len, sizeof(n)));

    fuzz_state_values(pool, text, n);
    fuzz_account_values(pool, text, n);
    fuzz_ca_values(pool, text, n);
    fuzz_issued_values(pool, text, n);

    fuzz_no_memory(pool, text, 1 + n % 64);
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    ngx_str_t    text;
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    static void  (*targets[])(ngx_pool_t *pool, ngx_str_t *text) = {
        fuzz_state, fuzz_account, fuzz_ca, fuzz_issued, fuzz_values
    };

    for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {

        pool = ngx_create_pool(4096, &ngx_stub_log);

        /* exactly as long as it is, for the sanitizer */

        text.len = size;
        text.data = malloc(size ? size : 1);
        memcpy(text.data, data, size);

        targets[i](pool, &text);

        free(text.data);
        ngx_destroy_pool(pool);
    }

    return 0;
}
