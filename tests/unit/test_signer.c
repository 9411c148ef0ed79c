
/* What signs is judged by OpenSSL, whatever library it is. */

#include <ngx_config.h>
#include <ngx_core.h>

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <sys/syscall.h>

#include "../../src/base/ngx_autocert_x509.h"
#include "../../src/keys/ngx_autocert_signer.h"


#define TEST_SIGNER_DIGEST   64     /* the longest */
#define TEST_SIGNER_THREADS  4
#define TEST_SIGNER_NEEDLE   24     /* bytes of a secret: no accident */
#define TEST_SIGNER_NEEDLES  256


typedef struct {
    int           nid;
    char         *group;
    size_t        size;         /* of a scalar */
    char         *library;
    ngx_uint_t    deep;         /* random digests, and as many by default */
    ngx_uint_t    usual;
} test_signer_curve_t;


/* A thread that signs and verifies. */

typedef struct {
    pthread_t                thread;
    test_signer_curve_t     *curve;
    EVP_PKEY                *key;       /* NULL: a new one now and then */
    ngx_autocert_signer_t   *signer;
    ngx_uint_t               n;
    char                    *fault;
} test_signer_work_t;


static test_signer_curve_t  test_signer_curves[] = {
    { NID_X9_62_prime256v1, "prime256v1", 32, "OpenSSL", 10000, 10000 },
#if (NGX_AUTOCERT_NETTLE)
    { NID_secp384r1, "secp384r1", 48, "Nettle", 100000, 10000 }
#else
    { NID_secp384r1, "secp384r1", 48, "OpenSSL", 1000, 1000 }
#endif
};

#define TEST_SIGNER_CURVES                                                   \
    (sizeof(test_signer_curves) / sizeof(test_signer_curves[0]))


/* of ASan, whose header for it gcc does not bring */
int  __sanitizer_install_malloc_and_free_hooks(
    void (*malloc_hook)(const volatile void *, size_t),
    void (*free_hook)(const volatile void *));


/* Secrets that no block may hold when it is given back. */

static u_char      test_signer_needles[TEST_SIGNER_NEEDLES]
                                      [TEST_SIGNER_NEEDLE];
static ngx_uint_t  test_signer_nneedles;
static ngx_uint_t  test_signer_scanning;
static ngx_uint_t  test_signer_scanned;
static ngx_uint_t  test_signer_found;
static ngx_uint_t  test_signer_nonces;


static BIGNUM *
test_signer_order(test_signer_curve_t *curve)
{
    BIGNUM    *order;
    EC_GROUP  *group;

    group = EC_GROUP_new_by_curve_name(curve->nid);
    assert_non_null(group);

    order = BN_dup(EC_GROUP_get0_order(group));
    assert_non_null(order);

    EC_GROUP_free(group);

    return order;
}


/* A key with this scalar. */

static EVP_PKEY *
test_signer_key(test_signer_curve_t *curve, BIGNUM *d)
{
    size_t           len;
    u_char           pub[1 + 2 * 48];
    EC_GROUP        *group;
    EC_POINT        *point;
    EVP_PKEY        *key;
    OSSL_PARAM      *params;
    EVP_PKEY_CTX    *ctx;
    OSSL_PARAM_BLD  *bld;

    group = EC_GROUP_new_by_curve_name(curve->nid);
    point = EC_POINT_new(group);
    assert_int_equal(EC_POINT_mul(group, point, d, NULL, NULL, NULL), 1);

    len = EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED,
                             pub, sizeof(pub), NULL);
    assert_int_equal(len, 1 + 2 * curve->size);

    bld = OSSL_PARAM_BLD_new();
    assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(bld,
                         OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_octet_string(bld,
                         OSSL_PKEY_PARAM_PUB_KEY, pub, len), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld,
                         OSSL_PKEY_PARAM_PRIV_KEY, d), 1);

    params = OSSL_PARAM_BLD_to_param(bld);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    key = NULL;

    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params),
                     1);

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EC_POINT_free(point);
    EC_GROUP_free(group);

    return key;
}


/* What is wrong with a signature, or NULL. */

static char *
test_signer_judge(EVP_PKEY *key, ngx_str_t *digest, u_char *signature,
    size_t len)
{
    int            n, rc;
    u_char        *again;
    ECDSA_SIG     *sig;
    const u_char  *p;
    EVP_PKEY_CTX  *ctx;

    p = signature;
    sig = d2i_ECDSA_SIG(NULL, &p, len);

    if (sig == NULL || p != signature + len) {
        return "not the DER of one signature";
    }

    again = NULL;
    n = i2d_ECDSA_SIG(sig, &again);
    rc = (n == (int) len && memcmp(again, signature, len) == 0);

    OPENSSL_free(again);
    ECDSA_SIG_free(sig);

    if (!rc) {
        return "not canonical";
    }

    ctx = EVP_PKEY_CTX_new(key, NULL);

    rc = (EVP_PKEY_verify_init(ctx) == 1
          && EVP_PKEY_verify(ctx, signature, len, digest->data, digest->len)
             == 1);

    EVP_PKEY_CTX_free(ctx);

    return rc ? NULL : "not valid";
}


static char *
test_signer_once(ngx_autocert_signer_t *signer, EVP_PKEY *key,
    u_char *digest, size_t digest_len)
{
    size_t     len;
    u_char     signature[NGX_AUTOCERT_KEY_SIGNATURE];
    ngx_str_t  d;

    d.data = digest;
    d.len = digest_len;
    len = sizeof(signature);

    if (ngx_autocert_signer_sign(signer, &d, signature, &len) != NGX_OK) {
        return "refused";
    }

    return test_signer_judge(key, &d, signature, len);
}


static void
test_signer_check(char *fault, test_signer_curve_t *curve, char *what,
    u_char *digest, size_t len)
{
    size_t  i;

    if (fault == NULL) {
        return;
    }

    for (i = 0; i < len; i++) {
        fprintf(stderr, "%02x", digest[i]);
    }

    fail_msg("%s, %s: %s", curve->group, what, fault);
}


static void
test_signer_lengths(void **state)
{
    u_char                  digest[TEST_SIGNER_DIGEST];
    size_t                  len;
    EVP_PKEY               *key;
    ngx_uint_t              i, n;
    test_signer_curve_t    *curve;
    ngx_autocert_signer_t  *signer;

    (void) state;

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        curve = &test_signer_curves[i];
        key = ngx_autocert_key_create(curve->nid);
        signer = ngx_autocert_signer_create(key);
        assert_non_null(signer);

        assert_string_equal(ngx_autocert_signer_library(signer),
                            curve->library);

        for (len = 20; len <= TEST_SIGNER_DIGEST; len++) {
            for (n = 0; n < 8; n++) {
                assert_int_equal(RAND_bytes(digest, len), 1);
                test_signer_check(test_signer_once(signer, key, digest, len),
                                  curve, "a length", digest, len);
            }
        }

        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(key);
    }
}


/* All 0, all ff, n, n - 1, n + 1: cut or filled to some lengths. */

static void
test_signer_digests(ngx_autocert_signer_t *signer, EVP_PKEY *key,
    test_signer_curve_t *curve, BIGNUM *order)
{
    int          n;
    u_char       digest[TEST_SIGNER_DIGEST];
    size_t       j;
    BIGNUM      *z;
    ngx_uint_t   i;

    static size_t  lens[] = { 20, 32, 48, 64 };

    for (i = 0; i < 5; i++) {
        for (j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
            ngx_memset(digest, (i == 1) ? 0xff : 0, sizeof(digest));

            if (i >= 2) {
                z = BN_dup(order);
                n = (int) i - 3;
                assert_int_equal((n < 0) ? BN_sub_word(z, 1)
                                         : BN_add_word(z, n), 1);
                assert_int_equal(BN_bn2binpad(z, digest, curve->size),
                                 (int) curve->size);
                BN_free(z);
            }

            test_signer_check(test_signer_once(signer, key, digest, lens[j]),
                              curve, "an edge digest", digest, lens[j]);
        }
    }
}


/* i: 1, 2, n - 1, n - 2, then such with more and more zero bytes in front */

static BIGNUM *
test_signer_scalar(test_signer_curve_t *curve, BIGNUM *order, ngx_uint_t i)
{
    BIGNUM  *d;

    if (i < 2) {
        d = BN_new();
        assert_int_equal(BN_set_word(d, i + 1), 1);
        return d;
    }

    if (i < 4) {
        d = BN_dup(order);
        assert_int_equal(BN_sub_word(d, i - 1), 1);
        return d;
    }

    if (i - 3 >= curve->size) {
        return NULL;
    }

    d = BN_new();
    assert_int_equal(BN_rand(d, (curve->size - (i - 3)) * 8, BN_RAND_TOP_ONE,
                             BN_RAND_BOTTOM_ANY), 1);

    return d;
}


static void
test_signer_scalars(void **state)
{
    BIGNUM                 *d, *order;
    EVP_PKEY               *key;
    ngx_uint_t              i, n;
    test_signer_curve_t    *curve;
    ngx_autocert_signer_t  *signer;

    (void) state;

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        curve = &test_signer_curves[i];
        order = test_signer_order(curve);

        for (n = 0; /* void */ ; n++) {
            d = test_signer_scalar(curve, order, n);
            if (d == NULL) {
                break;
            }

            key = test_signer_key(curve, d);
            signer = ngx_autocert_signer_create(key);
            assert_non_null(signer);

            test_signer_digests(signer, key, curve, order);

            ngx_autocert_signer_free(signer);
            EVP_PKEY_free(key);
            BN_free(d);
        }

        assert_true(n > curve->size);
        BN_free(order);
    }
}


/* Any room but enough is refused, and nothing is written behind it. */

static void
test_signer_room(void **state)
{
    u_char                  digest[32], room[NGX_AUTOCERT_KEY_SIGNATURE];
    size_t                  i, n, len;
    EVP_PKEY               *key;
    ngx_str_t               d;
    test_signer_curve_t    *curve;
    ngx_autocert_signer_t  *signer;

    (void) state;

    ngx_memset(digest, 7, sizeof(digest));
    d.data = digest;
    d.len = sizeof(digest);

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        curve = &test_signer_curves[i];
        key = ngx_autocert_key_create(curve->nid);
        signer = ngx_autocert_signer_create(key);

        /* shorter by five bytes than usual comes once in 2^40 */

        for (n = 0; n < 2 * curve->size + 3; n++) {
            ngx_memset(room, 0xa5, sizeof(room));
            len = n;

            assert_int_equal(ngx_autocert_signer_sign(signer, &d, room, &len),
                             NGX_ERROR);
            assert_int_equal(ERR_peek_error(), 0);

            for (len = n; len < sizeof(room); len++) {
                assert_int_equal(room[len], 0xa5);
            }
        }

        len = 2 * curve->size + 9;
        assert_int_equal(ngx_autocert_signer_sign(signer, &d, room, &len),
                         NGX_OK);
        assert_null(test_signer_judge(key, &d, room, len));

        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(key);
    }
}


/* A public key: no signer, or one that refuses. */

static void
test_signer_public(void **state)
{
    int                     n;
    size_t                  len;
    u_char                 *der, digest[32], room[NGX_AUTOCERT_KEY_SIGNATURE];
    EVP_PKEY               *key, *pub;
    ngx_str_t               d;
    ngx_uint_t              i;
    const u_char           *p;
    ngx_autocert_signer_t  *signer;

    (void) state;

    ngx_memset(digest, 7, sizeof(digest));
    d.data = digest;
    d.len = sizeof(digest);

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        key = ngx_autocert_key_create(test_signer_curves[i].nid);

        der = NULL;
        n = i2d_PUBKEY(key, &der);
        p = der;
        pub = d2i_PUBKEY(NULL, &p, n);
        assert_non_null(pub);
        OPENSSL_free(der);

        signer = ngx_autocert_signer_create(pub);

        if (signer) {
            len = sizeof(room);
            assert_int_equal(ngx_autocert_signer_sign(signer, &d, room, &len),
                             NGX_ERROR);
        }

        assert_int_equal(ERR_peek_error(), 0);

        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(pub);
        EVP_PKEY_free(key);
    }

    ngx_autocert_signer_free(NULL);
}


/* The signer outlives the caller's reference. */

static void
test_signer_reference(void **state)
{
    u_char                  digest[48];
    EVP_PKEY               *key, *copy;
    ngx_uint_t              i;
    ngx_autocert_signer_t  *signer;

    (void) state;

    ngx_memset(digest, 7, sizeof(digest));

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        key = ngx_autocert_key_create(test_signer_curves[i].nid);
        copy = EVP_PKEY_dup(key);
        signer = ngx_autocert_signer_create(key);
        EVP_PKEY_free(key);

        assert_null(test_signer_once(signer, copy, digest, sizeof(digest)));

        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(copy);
    }
}


static void *
test_signer_thread(void *data)
{
    test_signer_work_t *work = data;

    u_char                  digest[TEST_SIGNER_DIGEST];
    size_t                  len;
    EVP_PKEY               *key;
    ngx_uint_t              i;
    ngx_autocert_signer_t  *signer;

    key = work->key;
    signer = work->signer;

    for (i = 0; i < work->n && work->fault == NULL; i++) {

        if (work->key == NULL && i % 500 == 0) {
            ngx_autocert_signer_free(signer);
            EVP_PKEY_free(key);

            key = ngx_autocert_key_create(work->curve->nid);
            signer = ngx_autocert_signer_create(key);
        }

        len = (i % 2) ? work->curve->size : 32;

        if (RAND_bytes(digest, len) != 1) {
            work->fault = "no random bytes";
            break;
        }

        work->fault = test_signer_once(signer, key, digest, len);
    }

    if (work->key == NULL) {
        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(key);
    }

    return NULL;
}


/* n signatures by some threads, of one key or of many. */

static void
test_signer_run(test_signer_curve_t *curve, EVP_PKEY *key,
    ngx_autocert_signer_t *signer, ngx_uint_t n)
{
    ngx_uint_t          i;
    test_signer_work_t  works[TEST_SIGNER_THREADS];

    ngx_memzero(works, sizeof(works));

    for (i = 0; i < TEST_SIGNER_THREADS; i++) {
        works[i].curve = curve;
        works[i].key = key;
        works[i].signer = signer;
        works[i].n = n / TEST_SIGNER_THREADS;

        assert_int_equal(pthread_create(&works[i].thread, NULL,
                                        test_signer_thread, &works[i]), 0);
    }

    for (i = 0; i < TEST_SIGNER_THREADS; i++) {
        assert_int_equal(pthread_join(works[i].thread, NULL), 0);
        test_signer_check(works[i].fault, curve, "in a thread", NULL, 0);
    }
}


static void
test_signer_threads(void **state)
{
    EVP_PKEY               *key;
    ngx_uint_t              i;
    test_signer_curve_t    *curve;
    ngx_autocert_signer_t  *signer;

    (void) state;

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        curve = &test_signer_curves[i];
        key = ngx_autocert_key_create(curve->nid);
        signer = ngx_autocert_signer_create(key);

        test_signer_run(curve, key, signer, 2000);

        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(key);
    }
}


static void
test_signer_random(void **state)
{
    ngx_uint_t            i;
    test_signer_curve_t  *curve;

    (void) state;

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        curve = &test_signer_curves[i];

        test_signer_run(curve, NULL, NULL,
                        getenv("AUTOCERT_DEEP") ? curve->deep : curve->usual);
    }
}


/* Each block that anybody gives back, OpenSSL, Nettle or GMP. */

static void
test_signer_free_hook(const volatile void *block)
{
    void        *p = (void *) (uintptr_t) block;
    size_t       size;
    ngx_uint_t   i;

    if (!test_signer_scanning || p == NULL) {
        return;
    }

    size = malloc_usable_size(p);
    test_signer_scanned++;

    for (i = 0; i < test_signer_nneedles; i++) {
        if (memmem(p, size, test_signer_needles[i], TEST_SIGNER_NEEDLE)) {
            test_signer_found++;
        }
    }
}


static void
test_signer_malloc_hook(const volatile void *block, size_t size)
{
    (void) block;
    (void) size;
}


/* From the middle of a number, in both orders. */

static void
test_signer_needle(u_char *number, size_t size)
{
    size_t   i;
    u_char  *n;

    if (test_signer_nneedles + 2 > TEST_SIGNER_NEEDLES) {
        return;
    }

    number += (size - TEST_SIGNER_NEEDLE) / 2;

    n = test_signer_needles[test_signer_nneedles];
    ngx_memcpy(n, number, TEST_SIGNER_NEEDLE);

    for (i = 0; i < TEST_SIGNER_NEEDLE; i++) {
        n[TEST_SIGNER_NEEDLE + i] = number[TEST_SIGNER_NEEDLE - 1 - i];
    }

    test_signer_nneedles += 2;
}


/*
 * In place of libc's: what a signer draws is a nonce, which gives the key
 * away as well.
 */

ssize_t  getrandom(void *buf, size_t len, unsigned int flags);

ssize_t
getrandom(void *buf, size_t len, unsigned int flags)
{
    long  n;

    n = syscall(SYS_getrandom, buf, len, flags);

    if (test_signer_scanning && n == 48) {
        test_signer_needle(buf, 48);
        test_signer_nonces++;
    }

    return n;
}


static void
test_signer_memory(void **state)
{
    u_char                  digest[48], number[48], *control;
    BIGNUM                 *d;
    EVP_PKEY               *key;
    ngx_uint_t              i, n;
    test_signer_curve_t    *curve;
    ngx_autocert_signer_t  *signer;

    (void) state;

    ngx_memset(digest, 7, sizeof(digest));

    for (i = 0; i < TEST_SIGNER_CURVES; i++) {
        curve = &test_signer_curves[i];

        key = ngx_autocert_key_create(curve->nid);
        d = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY,
                                               &d), 1);
        BN_bn2binpad(d, number, curve->size);
        BN_clear_free(d);

        test_signer_nneedles = 0;
        test_signer_found = 0;
        test_signer_scanned = 0;
        test_signer_nonces = 0;
        test_signer_needle(number, curve->size);
        test_signer_scanning = 1;

        /* it would be seen */

        control = OPENSSL_malloc(curve->size + 3);
        ngx_memcpy(control + 3, number, curve->size);
        OPENSSL_free(control);
        assert_int_equal(test_signer_found, 1);
        test_signer_found = 0;

        signer = ngx_autocert_signer_create(key);

        for (n = 0; n < 100; n++) {
            assert_null(test_signer_once(signer, key, digest,
                                         sizeof(digest)));
        }

        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(key);

        test_signer_scanning = 0;

        assert_true(test_signer_scanned > 100);
        assert_int_equal(test_signer_found, 0);

        if (ngx_strcmp(curve->library, "Nettle") == 0) {
            assert_true(test_signer_nonces >= 100);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_signer_lengths),
        cmocka_unit_test(test_signer_scalars),
        cmocka_unit_test(test_signer_room),
        cmocka_unit_test(test_signer_public),
        cmocka_unit_test(test_signer_reference),
        cmocka_unit_test(test_signer_threads),
        cmocka_unit_test(test_signer_random),
        cmocka_unit_test(test_signer_memory),
    };

    (void) __sanitizer_install_malloc_and_free_hooks(test_signer_malloc_hook,
                                                     test_signer_free_hook);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
