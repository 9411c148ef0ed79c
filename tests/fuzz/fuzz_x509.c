
/*
 * Chains.  Input: a text; or, if its first byte is '0' (DER's SEQUENCE), DER
 * of certificates one after the other, so that what is mutated is not base64.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/err.h>

#include "../../src/base/ngx_autocert_glance.h"
#include "../../src/base/ngx_autocert_x509.h"
#include "../unit/ngx_stub.h"


#define FUZZ_DAY  86400         /* more than clocks may differ by */

#define fuzz_assert(x)  if (!(x)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* The chain as it is printed is the same chain. */

static void
fuzz_x509_again(ngx_autocert_chain_t *chain)
{
    char                  *err;
    ngx_str_t              pem;
    ngx_pool_t            *pool;
    ngx_autocert_chain_t  *again;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    fuzz_assert(pool);

    fuzz_assert(ngx_autocert_x509_chain_print(pool, chain, &pem) == NGX_OK);

    /* a lesser text than the one that was read */

    again = ngx_autocert_x509_chain_parse(&pem, &err);
    fuzz_assert(again || pem.len > NGX_AUTOCERT_PEM_SIZE);

    if (again) {
        fuzz_assert(sk_X509_num(again->certs) == sk_X509_num(chain->certs));
        fuzz_assert(ngx_memcmp(again->id, chain->id, NGX_AUTOCERT_KEY_ID)
                    == 0);
        fuzz_assert(again->not_before == chain->not_before
                    && again->not_after == chain->not_after);
        ngx_autocert_x509_chain_free(again);
    }

    ngx_destroy_pool(pool);
}


static void
fuzz_x509_check(ngx_autocert_chain_t *chain, EVP_PKEY *key, time_t now,
    ngx_uint_t never)
{
    char        *err;
    ngx_int_t    rc;
    ngx_uint_t   i;

    static ngx_str_t  names[] = {
        ngx_string("example.com"),
        ngx_string("a.example.com"),
        ngx_string("192.0.2.1"),
        ngx_string("2001:db8::1")
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        err = NULL;

        rc = ngx_autocert_x509_chain_check(chain, key, &names[i], now, &err);

        fuzz_assert(rc == NGX_OK || err);
        fuzz_assert(rc != NGX_OK || !never);
    }
}


static void
fuzz_x509_chain(ngx_autocert_chain_t *chain)
{
    int               n;
    EVP_PKEY         *key;

    static EVP_PKEY  *other;

    n = sk_X509_num(chain->certs);

    fuzz_assert(n >= 1 && n <= NGX_AUTOCERT_X509_CHAIN);
    fuzz_assert(chain->certid_len <= NGX_AUTOCERT_X509_CERTID);

    /* with its own key the check goes all the way */

    key = X509_get0_pubkey(sk_X509_value(chain->certs, 0));

    if (key) {
        fuzz_x509_check(chain, key, chain->not_before, 0);
        fuzz_x509_check(chain, key, chain->not_before - FUZZ_DAY, 1);
        fuzz_x509_check(chain, key, chain->not_after + 1, 1);
    }

    if (other == NULL) {
        other = ngx_autocert_key_create(NID_X9_62_prime256v1);
    }

    fuzz_x509_check(chain, other, chain->not_before, 1);
    fuzz_x509_again(chain);
}


static void
fuzz_x509_text(ngx_str_t *pem)
{
    char                  *err;
    ngx_int_t              rc;
    ngx_autocert_chain_t  *chain, facts;

    err = NULL;
    rc = ngx_autocert_glance(pem, &facts);
    chain = ngx_autocert_x509_chain_parse(pem, &err);

    if (chain == NULL) {
        fuzz_assert(err);
        return;
    }

    /* what both take they find the same in */

    fuzz_assert(rc != NGX_OK
                || (facts.not_before == chain->not_before
                    && facts.not_after == chain->not_after
                    && facts.curve == chain->curve
                    && ngx_memcmp(facts.id, chain->id, NGX_AUTOCERT_KEY_ID)
                       == 0
                    && facts.certid_len == chain->certid_len
                    && ngx_memcmp(facts.certid, chain->certid,
                                  chain->certid_len)
                       == 0));

    fuzz_x509_chain(chain);
    ngx_autocert_x509_chain_free(chain);
}


/* How long is the element that it begins with, by its header? */

static size_t
fuzz_x509_element(const uint8_t *data, size_t size)
{
    size_t  len;

    len = size;

    if (size > 4 && data[1] == 0x82) {
        len = 4 + (size_t) (data[2] << 8 | data[3]);

    } else if (size > 3 && data[1] == 0x81) {
        len = 3 + (size_t) data[2];

    } else if (size > 2 && data[1] < 0x80) {
        len = 2 + (size_t) data[1];
    }

    return ngx_min(len, size);
}


static void
fuzz_x509_der(const uint8_t *data, size_t size)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   pem;

    static u_char  head[] = "-----BEGIN CERTIFICATE-----\n";
    static u_char  tail[] = "\n-----END CERTIFICATE-----\n";

    pem.data = malloc(size * 64 + 64);
    fuzz_assert(pem.data);

    for (p = pem.data; size; data += len, size -= len) {
        len = fuzz_x509_element(data, size);

        p = ngx_cpymem(p, head, sizeof(head) - 1);
        p += EVP_EncodeBlock(p, data, len);
        p = ngx_cpymem(p, tail, sizeof(tail) - 1);
    }

    pem.len = p - pem.data;

    fuzz_x509_text(&pem);
    free(pem.data);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t  pem;

    if (size && data[0] == '0') {
        fuzz_x509_der(data, size);

    } else {
        pem.len = size;
        pem.data = malloc(size ? size : 1);
        fuzz_assert(pem.data);
        ngx_memcpy(pem.data, data, size);

        fuzz_x509_text(&pem);
        free(pem.data);
    }

    fuzz_assert(ERR_peek_error() == 0);

    return 0;
}
