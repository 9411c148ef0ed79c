
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/err.h>

#include "../../src/base/ngx_autocert_x509.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* What was read can be written and is the same when read again. */

static void
fuzz_x509_key(EVP_PKEY *key)
{
    char       *err;
    u_char      id[NGX_AUTOCERT_KEY_ID];
    EVP_PKEY   *copy;
    ngx_str_t   pem;

    if (ngx_autocert_key_curve(key) == NID_undef
        || ngx_autocert_key_id(key, id) != NGX_OK
        || ngx_autocert_key_write(key, &pem) != NGX_OK)
    {
        abort();
    }

    copy = ngx_autocert_key_parse(&pem, &err);

    if (copy == NULL || EVP_PKEY_eq(key, copy) != 1) {
        abort();
    }

    EVP_PKEY_free(copy);
    ngx_autocert_pem_free(&pem);
}


static void
fuzz_x509_chain(ngx_autocert_chain_t *chain)
{
    int               n;
    char             *err;
    EVP_PKEY         *key;
    ngx_str_t         name = ngx_string("example.com");

    static EVP_PKEY  *other;

    n = sk_X509_num(chain->certs);

    if (n < 1 || n > NGX_AUTOCERT_X509_CHAIN) {
        abort();
    }

    if (chain->certid_len > NGX_AUTOCERT_X509_CERTID) {
        abort();
    }

    /* with its own key the check goes all the way */

    key = X509_get0_pubkey(sk_X509_value(chain->certs, 0));

    if (key) {
        err = NULL;

        if (ngx_autocert_x509_chain_check(chain, key, &name,
                                          chain->not_before, &err)
            != NGX_OK
            && err == NULL)
        {
            abort();
        }
    }

    if (other == NULL) {
        other = ngx_autocert_key_create(NID_X9_62_prime256v1);
    }

    if (ngx_autocert_x509_chain_check(chain, other, &name, chain->not_before,
                                      &err)
        == NGX_OK)
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                  *err;
    EVP_PKEY              *key;
    ngx_str_t              pem;
    ngx_autocert_chain_t  *chain;

    pem.data = (u_char *) data;
    pem.len = size;

    err = NULL;
    key = ngx_autocert_key_parse(&pem, &err);

    if (key) {
        fuzz_x509_key(key);
        EVP_PKEY_free(key);

    } else if (err == NULL) {
        abort();
    }

    err = NULL;
    chain = ngx_autocert_x509_chain_parse(&pem, &err);

    if (chain) {
        fuzz_x509_chain(chain);
        ngx_autocert_x509_chain_free(chain);

    } else if (err == NULL) {
        abort();
    }

    if (ERR_peek_error()) {
        abort();
    }

    return 0;
}
