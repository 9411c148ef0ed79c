
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>

#include "../../src/keys/ngx_autocert_provider.h"
#include "../../src/keys/ngx_autocert_signer.h"


#define TEST_PROVIDER_KEYS  3


/* Pairs, and what the helper would hold of them. */

typedef struct {
    int                     nid;
    EVP_PKEY               *key;        /* the real one */
    EVP_PKEY               *remote;
    ngx_autocert_chain_t   *chain;
    X509                   *leaf;
} test_provider_pair_t;


static test_provider_pair_t  test_provider_pairs[TEST_PROVIDER_KEYS] = {
    { NID_X9_62_prime256v1, NULL, NULL, NULL, NULL },
    { NID_secp384r1, NULL, NULL, NULL, NULL },
    { NID_X9_62_prime256v1, NULL, NULL, NULL, NULL }
};


static ngx_str_t   test_provider_name = ngx_string("www.example.com");

static ngx_int_t   test_provider_rc;        /* of the callback */
static ngx_uint_t  test_provider_spoil;     /* the signature */
static ngx_uint_t  test_provider_calls;
static ngx_uint_t  test_provider_last;
static size_t      test_provider_digest;


static ngx_int_t
test_provider_sign(uint32_t index, u_char id[NGX_AUTOCERT_KEY_ID],
    ngx_str_t *digest, u_char *signature, size_t *len)
{
    ngx_int_t               rc;
    test_provider_pair_t   *pair;
    ngx_autocert_signer_t  *signer;

    if (index >= TEST_PROVIDER_KEYS) {
        abort();
    }

    pair = &test_provider_pairs[index];

    test_provider_calls++;
    test_provider_last = index;
    test_provider_digest = digest->len;

    if (ngx_memcmp(id, pair->chain->id, NGX_AUTOCERT_KEY_ID) != 0) {
        abort();
    }

    if (test_provider_rc != NGX_OK) {
        return test_provider_rc;
    }

    signer = ngx_autocert_signer_create(pair->key);
    assert_non_null(signer);

    rc = ngx_autocert_signer_sign(signer, digest, signature, len);

    ngx_autocert_signer_free(signer);

    if (test_provider_spoil) {
        signature[*len - 1] ^= 1;
    }

    return rc;
}


static int
test_provider_setup(void **state)
{
    uint32_t               i;
    test_provider_pair_t  *pair;

    (void) state;

    if (ngx_autocert_provider_load(test_provider_sign) != NGX_OK) {
        return 1;
    }

    for (i = 0; i < TEST_PROVIDER_KEYS; i++) {
        pair = &test_provider_pairs[i];

        pair->key = ngx_autocert_key_create(pair->nid);
        if (pair->key == NULL) {
            return 1;
        }

        pair->chain = ngx_autocert_x509_self_signed(pair->key,
                                                    &test_provider_name,
                                                    time(NULL), 10);
        if (pair->chain == NULL) {
            return 1;
        }

        pair->leaf = sk_X509_value(pair->chain->certs, 0);
        pair->remote = ngx_autocert_provider_key(pair->leaf, i,
                                                 pair->chain->id);
        if (pair->remote == NULL) {
            return 1;
        }
    }

    return 0;
}


static int
test_provider_teardown(void **state)
{
    ngx_uint_t             i;
    test_provider_pair_t  *pair;

    (void) state;

    for (i = 0; i < TEST_PROVIDER_KEYS; i++) {
        pair = &test_provider_pairs[i];

        EVP_PKEY_free(pair->key);
        EVP_PKEY_free(pair->remote);
        ngx_autocert_x509_chain_free(pair->chain);
    }

    return 0;
}


static int
test_provider_reset(void **state)
{
    (void) state;

    test_provider_rc = NGX_OK;
    test_provider_spoil = 0;
    test_provider_calls = 0;

    ERR_clear_error();

    return 0;
}


static void
test_provider_public_half(void **state)
{
    ngx_uint_t             i;
    test_provider_pair_t  *pair;

    (void) state;

    for (i = 0; i < TEST_PROVIDER_KEYS; i++) {
        pair = &test_provider_pairs[i];

        assert_int_equal(EVP_PKEY_is_a(pair->remote, "EC"), 1);
        assert_int_equal(EVP_PKEY_get_bits(pair->remote), i == 1 ? 384 : 256);
        assert_int_equal(EVP_PKEY_get_security_bits(pair->remote),
                         i == 1 ? 192 : 128);
        assert_true(EVP_PKEY_get_size(pair->remote)
                    >= EVP_PKEY_get_size(pair->key));

        assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(pair->leaf),
                                     pair->remote),
                         1);
        assert_int_equal(X509_check_private_key(pair->leaf, pair->remote), 1);
    }

    assert_int_equal(X509_check_private_key(test_provider_pairs[0].leaf,
                                            test_provider_pairs[2].remote),
                     0);

    assert_int_equal(test_provider_calls, 0);
}


/* There is no private half: whoever asks for one gets nothing. */

static void
test_provider_private_half(void **state)
{
    u_char      *der;
    EVP_PKEY    *remote;
    OSSL_PARAM  *params;
    BIGNUM      *d;

    (void) state;

    remote = test_provider_pairs[0].remote;

    params = NULL;
    assert_int_not_equal(EVP_PKEY_todata(remote, EVP_PKEY_KEYPAIR, &params),
                         1);
    assert_null(params);

    der = NULL;
    assert_true(i2d_PrivateKey(remote, &der) <= 0);
    assert_null(der);

    d = NULL;
    assert_int_not_equal(EVP_PKEY_get_bn_param(remote,
                                               OSSL_PKEY_PARAM_PRIV_KEY, &d),
                         1);
    assert_null(d);

    assert_int_equal(EVP_PKEY_todata(remote, EVP_PKEY_PUBLIC_KEY, &params),
                     1);
    assert_null(OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PRIV_KEY));
    assert_non_null(OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PUB_KEY));
    OSSL_PARAM_free(params);

    assert_int_equal(test_provider_calls, 0);

    ERR_clear_error();
}


static void
test_provider_digest_sign(void **state)
{
    u_char       signature[NGX_AUTOCERT_KEY_SIGNATURE];
    size_t       len;
    ngx_uint_t   i, k;
    EVP_MD_CTX  *ctx;

    static const struct {
        char    *md;
        size_t   len;
    } mds[] = { { "SHA256", 32 }, { "SHA384", 48 }, { "SHA512", 64 } };

    (void) state;

    for (i = 0; i < TEST_PROVIDER_KEYS; i++) {
        for (k = 0; k < 3; k++) {

            ctx = EVP_MD_CTX_new();
            assert_non_null(ctx);

            assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, mds[k].md,
                                                   NULL, NULL,
                                             test_provider_pairs[i].remote,
                                                   NULL),
                             1);

            assert_int_equal(EVP_DigestSign(ctx, NULL, &len,
                                            (u_char *) "text", 4),
                             1);
            assert_true(len >= 72 && len <= sizeof(signature));

            len = sizeof(signature);
            assert_int_equal(EVP_DigestSign(ctx, signature, &len,
                                            (u_char *) "text", 4),
                             1);

            EVP_MD_CTX_free(ctx);

            assert_int_equal(test_provider_last, i);
            assert_int_equal(test_provider_digest, mds[k].len);

            ctx = EVP_MD_CTX_new();
            assert_non_null(ctx);

            assert_int_equal(EVP_DigestVerifyInit_ex(ctx, NULL, mds[k].md,
                                                     NULL, NULL,
                                X509_get0_pubkey(test_provider_pairs[i].leaf),
                                                     NULL),
                             1);
            assert_int_equal(EVP_DigestVerify(ctx, signature, len,
                                              (u_char *) "text", 4),
                             1);

            EVP_MD_CTX_free(ctx);
        }
    }

    assert_int_equal(test_provider_calls, 9);
}


/* Ours alone is asked for by name: no fetch of other code meets it. */

static void
test_provider_apart(void **state)
{
    EVP_PKEY  *key;

    (void) state;

    assert_int_equal(OSSL_PROVIDER_available(NULL, "nginx-autocert"), 0);

    key = ngx_autocert_key_create(NID_X9_62_prime256v1);
    assert_non_null(key);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)),
                        "default");

    EVP_PKEY_free(key);
}


/* A certificate with an RSA key is no case for this. */

static void
test_provider_foreign_leaf(void **state)
{
    X509      *x509;
    u_char     id[NGX_AUTOCERT_KEY_ID];
    EVP_PKEY  *rsa;

    (void) state;

    ngx_memzero(id, sizeof(id));

    x509 = X509_new();
    rsa = EVP_RSA_gen(2048);
    assert_non_null(x509);
    assert_non_null(rsa);

    assert_null(ngx_autocert_provider_key(x509, 0, id));

    assert_int_equal(X509_set_pubkey(x509, rsa), 1);
    assert_null(ngx_autocert_provider_key(x509, 0, id));

    assert_int_equal(ERR_peek_error(), 0);

    EVP_PKEY_free(rsa);
    X509_free(x509);
}


static SSL_CTX *
test_provider_ssl_ctx(const SSL_METHOD *method, int version)
{
    SSL_CTX  *ctx;

    ctx = SSL_CTX_new(method);
    assert_non_null(ctx);

    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);

    return ctx;
}


static void
test_provider_use(void **state)
{
    SSL         *ssl;
    SSL_CTX     *ctx;
    ngx_uint_t   i, k;

    (void) state;

    ctx = test_provider_ssl_ctx(TLS_server_method(), TLS1_3_VERSION);

    for (i = 0; i < TEST_PROVIDER_KEYS; i++) {
        for (k = 0; k < TEST_PROVIDER_KEYS; k++) {

            ssl = SSL_new(ctx);
            assert_non_null(ssl);

            assert_int_equal(SSL_use_cert_and_key(ssl,
                                              test_provider_pairs[i].leaf,
                                              test_provider_pairs[k].remote,
                                              NULL, 1),
                             i == k);
            SSL_free(ssl);
            ERR_clear_error();
        }
    }

    SSL_CTX_free(ctx);

    assert_int_equal(test_provider_calls, 0);
}


/*
 * A handshake in memory.  NGX_OK; or NGX_DECLINED if the server gave up,
 * NGX_ABORT if the client did.
 */

static ngx_int_t
test_provider_handshake(test_provider_pair_t *pair, int version)
{
    int         rc, err;
    BIO        *ours, *theirs;
    SSL        *client, *server;
    SSL_CTX    *cctx, *sctx;
    ngx_int_t   result;
    ngx_uint_t  i;

    cctx = test_provider_ssl_ctx(TLS_client_method(), version);
    sctx = test_provider_ssl_ctx(TLS_server_method(), version);

    /* the leaf is its own anchor: the chain is verified as a whole */

    SSL_CTX_set_verify(cctx, SSL_VERIFY_PEER, NULL);
    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(cctx),
                                         pair->leaf),
                     1);

    client = SSL_new(cctx);
    server = SSL_new(sctx);
    assert_non_null(client);
    assert_non_null(server);

    assert_int_equal(SSL_use_cert_and_key(server, pair->leaf, pair->remote,
                                          NULL, 1),
                     1);

    assert_int_equal(BIO_new_bio_pair(&ours, 0, &theirs, 0), 1);
    SSL_set_bio(server, ours, ours);
    SSL_set_bio(client, theirs, theirs);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    assert_int_equal(SSL_set1_host(client, "www.example.com"), 1);

    result = NGX_AGAIN;

    for (i = 0; i < 20 && result == NGX_AGAIN; i++) {

        rc = SSL_do_handshake(client);
        err = SSL_get_error(client, rc);

        if (rc != 1 && err != SSL_ERROR_WANT_READ) {
            result = NGX_ABORT;
            break;
        }

        rc = SSL_do_handshake(server);
        err = SSL_get_error(server, rc);

        if (rc != 1 && err != SSL_ERROR_WANT_READ) {
            result = NGX_DECLINED;

        } else if (SSL_is_init_finished(client)
                   && SSL_is_init_finished(server))
        {
            result = NGX_OK;
        }
    }

    ERR_clear_error();

    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(cctx);
    SSL_CTX_free(sctx);

    return result;
}


static void
test_provider_handshakes(void **state)
{
    ngx_uint_t  i, k;

    static int  versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    (void) state;

    for (i = 0; i < TEST_PROVIDER_KEYS; i++) {
        for (k = 0; k < 2; k++) {
            test_provider_calls = 0;

            assert_int_equal(test_provider_handshake(&test_provider_pairs[i],
                                                     versions[k]),
                             NGX_OK);

            assert_int_equal(test_provider_calls, 1);
            assert_int_equal(test_provider_last, i);

            /* TLS 1.3 binds the digest to the curve: RFC 8446, 4.2.3 */

            if (versions[k] == TLS1_3_VERSION) {
                assert_int_equal(test_provider_digest, i == 1 ? 48 : 32);
            }
        }
    }
}


static void
test_provider_refused(void **state)
{
    ngx_uint_t  i;

    static int  versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    (void) state;

    for (i = 0; i < 2; i++) {

        test_provider_rc = NGX_ERROR;
        assert_int_equal(test_provider_handshake(&test_provider_pairs[0],
                                                 versions[i]),
                         NGX_DECLINED);

        test_provider_rc = NGX_OK;
        test_provider_spoil = 1;
        assert_int_equal(test_provider_handshake(&test_provider_pairs[1],
                                                 versions[i]),
                         NGX_ABORT);

        /* neither is remembered */

        test_provider_spoil = 0;
        assert_int_equal(test_provider_handshake(&test_provider_pairs[0],
                                                 versions[i]),
                         NGX_OK);
    }

    assert_int_equal(test_provider_calls, 6);
}


/* A leaf may have its point compressed; what it can do is the same. */

static void
test_provider_compressed(void **state)
{
    EVP_PKEY              *key;
    test_provider_pair_t   pair;

    (void) state;

    pair = test_provider_pairs[0];
    key = EVP_PKEY_dup(pair.key);
    pair.leaf = X509_dup(pair.leaf);
    assert_non_null(key);
    assert_non_null(pair.leaf);

    assert_int_equal(EVP_PKEY_set_utf8_string_param(key,
                                  OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                  "compressed"),
                     1);
    assert_int_equal(X509_set_pubkey(pair.leaf, key), 1);
    assert_true(X509_sign(pair.leaf, pair.key, EVP_sha256()) > 0);

    pair.remote = ngx_autocert_provider_key(pair.leaf, 0, pair.chain->id);
    assert_non_null(pair.remote);

    assert_int_equal(EVP_PKEY_get_bits(pair.remote), 256);
    assert_int_equal(EVP_PKEY_get_security_bits(pair.remote), 128);
    assert_int_equal(X509_check_private_key(pair.leaf, pair.remote), 1);
    assert_int_equal(X509_check_private_key(pair.leaf,
                                            test_provider_pairs[2].remote),
                     0);
    assert_int_equal(test_provider_handshake(&pair, TLS1_3_VERSION), NGX_OK);

    EVP_PKEY_free(pair.remote);
    EVP_PKEY_free(key);
    X509_free(pair.leaf);
}


#define test_provider_unit(f)                                                \
    cmocka_unit_test_setup(f, test_provider_reset)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_provider_unit(test_provider_public_half),
        test_provider_unit(test_provider_private_half),
        test_provider_unit(test_provider_digest_sign),
        test_provider_unit(test_provider_apart),
        test_provider_unit(test_provider_foreign_leaf),
        test_provider_unit(test_provider_use),
        test_provider_unit(test_provider_handshakes),
        test_provider_unit(test_provider_refused),
        test_provider_unit(test_provider_compressed),
    };

    return cmocka_run_group_tests(tests, test_provider_setup,
                                  test_provider_teardown);
}
