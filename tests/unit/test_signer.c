
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/err.h>

#include "../../src/base/ngx_autocert_x509.h"
#include "../../src/keys/ngx_autocert_signer.h"


static int  test_signer_nids[] = { NID_X9_62_prime256v1, NID_secp384r1 };


static ngx_uint_t
test_signer_verify(EVP_PKEY *key, ngx_str_t *digest, u_char *signature,
    size_t len)
{
    int            rc;
    EVP_PKEY_CTX  *ctx;

    ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_non_null(ctx);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);

    rc = EVP_PKEY_verify(ctx, signature, len, digest->data, digest->len);

    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();

    return rc == 1;
}


static void
test_signer_sign(void **state)
{
    u_char       md[64], signature[NGX_AUTOCERT_SIGNER_SIZE];
    size_t       len;
    EVP_PKEY    *key;
    ngx_str_t    digest;
    ngx_uint_t   i, n;

    (void) state;

    ngx_memset(md, 0x5a, sizeof(md));
    digest.data = md;

    for (i = 0; i < 2; i++) {
        key = ngx_autocert_x509_key_create(test_signer_nids[i]);
        assert_non_null(key);

        for (n = 1; n <= sizeof(md); n++) {
            digest.len = n;
            len = sizeof(signature);

            assert_int_equal(ngx_autocert_signer_sign(key, &digest, signature,
                                                      &len),
                             NGX_OK);
            assert_in_range(len, 8, sizeof(signature));
            assert_true(test_signer_verify(key, &digest, signature, len));

            md[0] ^= 1;
            assert_false(test_signer_verify(key, &digest, signature, len));
            md[0] ^= 1;
        }

        EVP_PKEY_free(key);
    }
}


static void
test_signer_no_room(void **state)
{
    u_char      md[32], *signature;
    size_t      len;
    EVP_PKEY   *key;
    ngx_str_t   digest;

    (void) state;

    ngx_memset(md, 1, sizeof(md));
    digest.data = md;
    digest.len = sizeof(md);

    key = ngx_autocert_x509_key_create(NID_secp384r1);
    signature = malloc(8);
    assert_non_null(key);
    assert_non_null(signature);

    len = 8;
    assert_int_equal(ngx_autocert_signer_sign(key, &digest, signature, &len),
                     NGX_ERROR);
    assert_int_equal(ERR_peek_error(), 0);

    free(signature);
    EVP_PKEY_free(key);
}


static void
test_signer_public_key(void **state)
{
    u_char          md[32], signature[NGX_AUTOCERT_SIGNER_SIZE];
    u_char         *der, *p;
    int             n;
    size_t          len;
    EVP_PKEY       *key, *public;
    ngx_str_t       digest;
    const u_char   *q;

    (void) state;

    ngx_memset(md, 1, sizeof(md));
    digest.data = md;
    digest.len = sizeof(md);

    key = ngx_autocert_x509_key_create(NID_X9_62_prime256v1);
    assert_non_null(key);

    n = i2d_PUBKEY(key, NULL);
    assert_true(n > 0);
    der = malloc(n);
    assert_non_null(der);
    p = der;
    assert_int_equal(i2d_PUBKEY(key, &p), n);

    q = der;
    public = d2i_PUBKEY(NULL, &q, n);
    assert_non_null(public);

    len = sizeof(signature);
    assert_int_equal(ngx_autocert_signer_sign(public, &digest, signature,
                                              &len),
                     NGX_ERROR);
    assert_int_equal(ERR_peek_error(), 0);

    free(der);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_signer_sign),
        cmocka_unit_test(test_signer_no_room),
        cmocka_unit_test(test_signer_public_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
