
#include <ngx_config.h>
#include <ngx_core.h>

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "../../src/base/ngx_autocert_glance.h"
#include "../../src/base/ngx_autocert_wire.h"
#include "../../src/base/ngx_autocert_x509.h"
#include "../../src/keys/ngx_autocert_signer.h"
#include "ngx_stub.h"


#define TEST_NOW  1800000000


/* How a certificate of a test is made; zero means the usual. */

typedef struct {
    char          *name;            /* subjectAltName, as in openssl.cnf */
    char          *subject;
    EVP_PKEY      *key;
    X509          *issuer;          /* NULL: self-signed */
    EVP_PKEY      *signer;
    const EVP_MD  *md;
    char          *constraints;     /* "CA:TRUE" */
    char          *usage;           /* extendedKeyUsage */
    char          *aki;             /* authorityKeyIdentifier, hex of its DER */
    char          *serial;          /* hex */
    time_t         not_before;
    time_t         not_after;
} test_x509_spec_t;


static int            test_x509_nids[] = { NID_X9_62_prime256v1,
                                           NID_secp384r1 };

static u_char         test_x509_needle[3][48];
static size_t         test_x509_needle_size;
static ngx_uint_t     test_x509_found;

/* texts that both readers of keys, and of chains, took */
static ngx_uint_t     test_x509_stated;
static ngx_uint_t     test_x509_glanced;

static ngx_pool_t    *test_x509_pool;

/* a root, an intermediate, a leaf */
static EVP_PKEY      *test_x509_key[3];
static X509          *test_x509_cert[3];


/* Looks for a secret in what OpenSSL gives back. */

static void
test_x509_scan(void *p)
{
    size_t      size;
    ngx_uint_t  i;

    if (p == NULL || test_x509_needle_size == 0) {
        return;
    }

    size = malloc_usable_size(p);

    for (i = 0; i < 3; i++) {
        if (memmem(p, size, test_x509_needle[i], test_x509_needle_size)) {
            test_x509_found++;
        }
    }
}


static void *
test_x509_malloc(size_t size, const char *file, int line)
{
    (void) file;
    (void) line;

    return size ? malloc(size) : NULL;
}


static void
test_x509_free(void *p, const char *file, int line)
{
    (void) file;
    (void) line;

    test_x509_scan(p);
    free(p);
}


static void *
test_x509_realloc(void *p, size_t size, const char *file, int line)
{
    void  *fresh;

    fresh = size ? malloc(size) : NULL;

    if (p && fresh) {
        memcpy(fresh, p, ngx_min(size, malloc_usable_size(p)));
    }

    if (fresh || size == 0) {
        test_x509_free(p, file, line);
    }

    return fresh;
}


static void
test_x509_needle_set(EVP_PKEY *key, ngx_str_t *pem)
{
    int      i;
    size_t   n;
    BIGNUM  *d;

    d = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d),
                     1);

    n = 24;

    /* big-endian, little-endian, base64 from inside the scalar's lines */

    i = BN_num_bytes(d);
    assert_true(i > 28);

    BN_bn2bin(d, test_x509_needle[0]);
    BN_bn2lebinpad(d, test_x509_needle[1], i);
    memcpy(test_x509_needle[2], pem->data + 28 + 70, n);

    BN_clear_free(d);

    assert_true(pem->len > 28 + 70 + n);

    test_x509_found = 0;
    test_x509_needle_size = n;
}


static EVP_PKEY *
test_x509_key_parse(char *text, size_t len, char **err)
{
    u_char     *p, id[NGX_AUTOCERT_KEY_ID], stated[NGX_AUTOCERT_KEY_ID];
    ngx_str_t   pem;
    EVP_PKEY   *key;

    p = malloc(len + 1);
    assert_non_null(p);
    memcpy(p, text, len);

    pem.data = p;
    pem.len = len;

    /* nothing follows that could be read */
    p = realloc(p, len ? len : 1);
    assert_non_null(p);
    pem.data = p;

    *err = NULL;
    key = ngx_autocert_key_parse(&pem, err);

    if (ngx_autocert_key_stated(&pem, stated) == NGX_OK && key) {
        assert_int_equal(ngx_autocert_key_id(key, id), NGX_OK);
        assert_memory_equal(id, stated, sizeof(id));
        test_x509_stated++;
    }

    free(p);

    if (key == NULL) {
        assert_non_null(*err);
    }

    assert_int_equal(ERR_peek_error(), 0);

    return key;
}


/* What OpenSSL writes, and what it reads. */

static BIO *
test_x509_pkcs8(EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    BIO  *bio;

    bio = BIO_new(BIO_s_mem());
    assert_non_null(bio);
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, cipher,
                                                   cipher ? "secret" : NULL,
                                                   cipher ? 6 : 0, NULL,
                                                   NULL),
                     1);

    return bio;
}


static EVP_PKEY *
test_x509_bio_parse(BIO *bio, char **err)
{
    char  *p;
    long   len;

    len = BIO_get_mem_data(bio, &p);

    return test_x509_key_parse(p, len, err);
}


static void
test_x509_key_write(void **state)
{
    BIO         *bio;
    char        *p;
    long         len;
    EVP_PKEY    *key;
    ngx_str_t    pem;
    ngx_uint_t   i, n;

    (void) state;

    for (i = 0; i < 2; i++) {
        for (n = 0; n < 20; n++) {

            key = ngx_autocert_key_create(test_x509_nids[i]);
            assert_non_null(key);
            assert_int_equal(ngx_autocert_key_curve(key),
                             test_x509_nids[i]);

            assert_int_equal(ngx_autocert_key_write(key, &pem), NGX_OK);

            bio = test_x509_pkcs8(key, NULL);
            len = BIO_get_mem_data(bio, &p);
            assert_int_equal(pem.len, len);
            assert_memory_equal(pem.data, p, len);
            BIO_free(bio);

            ngx_autocert_pem_free(&pem);
            assert_null(pem.data);
            assert_int_equal(pem.len, 0);

            EVP_PKEY_free(key);
        }
    }

    assert_null(ngx_autocert_key_create(NID_secp521r1));
    assert_null(ngx_autocert_key_create(NID_undef));

    ngx_autocert_pem_free(&pem);
}


static void
test_x509_key_write_others(void **state)
{
    int            len;
    u_char        *der;
    EVP_PKEY      *key;
    ngx_str_t      pem;
    const u_char  *p;

    (void) state;

    key = EVP_EC_gen("secp521r1");
    assert_int_equal(ngx_autocert_key_write(key, &pem), NGX_ERROR);
    assert_null(pem.data);
    EVP_PKEY_free(key);

    key = EVP_RSA_gen(1024);
    assert_int_equal(ngx_autocert_key_write(key, &pem), NGX_ERROR);
    assert_int_equal(ngx_autocert_key_curve(key), NID_undef);
    EVP_PKEY_free(key);

    /* a public key alone */

    der = NULL;
    len = i2d_PUBKEY(test_x509_key[2], &der);
    p = der;
    key = d2i_PUBKEY(NULL, &p, len);
    OPENSSL_free(der);

    assert_int_equal(ngx_autocert_key_curve(key), NID_X9_62_prime256v1);
    assert_int_equal(ngx_autocert_key_write(key, &pem), NGX_ERROR);
    assert_null(pem.data);
    EVP_PKEY_free(key);

    assert_int_equal(ERR_peek_error(), 0);
}


static void
test_x509_key_parse_good(void **state)
{
    BIO         *bio;
    char        *err;
    EVP_PKEY    *key, *copy;
    ngx_uint_t   i, n;

    (void) state;

    for (i = 0; i < 2; i++) {
        for (n = 0; n < 20; n++) {

            key = ngx_autocert_key_create(test_x509_nids[i]);

            bio = test_x509_pkcs8(key, NULL);
            copy = test_x509_bio_parse(bio, &err);
            assert_non_null(copy);
            assert_int_equal(EVP_PKEY_eq(key, copy), 1);
            EVP_PKEY_free(copy);
            BIO_free(bio);

            bio = BIO_new(BIO_s_mem());
            assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key,
                                                                  NULL, NULL,
                                                                  0, NULL,
                                                                  NULL),
                             1);
            BIO_puts(bio, " \r\n\n\t");
            copy = test_x509_bio_parse(bio, &err);
            assert_non_null(copy);
            assert_int_equal(EVP_PKEY_eq(key, copy), 1);
            assert_int_equal(ngx_autocert_key_curve(copy),
                             test_x509_nids[i]);
            EVP_PKEY_free(copy);
            BIO_free(bio);

            EVP_PKEY_free(key);
        }
    }
}


/* From RFC 9500, 2.3, whole, without its public key, and damaged. */

static struct {
    char  *text;
    char  *err;
} test_x509_keys[] = {

    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MHcCAQEEIObLW92AqkWunJXowVR2Z5/+yVPBaFHnEedDk5WJxk/BoAoGCCqGSM49\n"
      "AwEHoUQDQgAEQiVI+I+3gv+17KN0RFLHKh5Vj71vc75eSOkyMsxFxbFsTNEMTLjV\n"
      "uKFxOelIgsiZJXKZNCX0FBmrfpCkKklCcg==\n"
      "-----END EC PRIVATE KEY-----\n", NULL },

    { "  \n-----BEGIN EC PRIVATE KEY-----\r\n"
      "MDECAQEEIObLW92AqkWunJXowVR2Z5/+yVPBaFHnEedDk5WJxk/BoAoGCCqGSM49\r\n"
      "AwEH\r\n"
      "-----END EC PRIVATE KEY-----", NULL },

    /* another public key */
    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MHcCAQEEIObLW92AqkWunJXowVR2Z5/+yVPBaFHnEedDk5WJxk/AoAoGCCqGSM49\n"
      "AwEHoUQDQgAEQiVI+I+3gv+17KN0RFLHKh5Vj71vc75eSOkyMsxFxbFsTNEMTLjV\n"
      "uKFxOelIgsiZJXKZNCX0FBmrfpCkKklCcg==\n"
      "-----END EC PRIVATE KEY-----\n", "public key" },

    /* a scalar of 0, of the order and of 33 bytes */
    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MDECAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAoAoGCCqGSM49\n"
      "AwEH\n"
      "-----END EC PRIVATE KEY-----\n", "malformed" },

    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MDECAQEEIP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVRoAoGCCqGSM49\n"
      "AwEH\n"
      "-----END EC PRIVATE KEY-----\n", "malformed" },

    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MDICAQEEIQDmy1vdgKpFrpyV6MFUdmef/slTwWhR5xHnQ5OVicZPwaAKBggqhkjO\n"
      "PQMBBw==\n"
      "-----END EC PRIVATE KEY-----\n", "malformed" },

    /* a curve that is not named, and one that is another */
    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MCUCAQEEIObLW92AqkWunJXowVR2Z5/+yVPBaFHnEedDk5WJxk/B\n"
      "-----END EC PRIVATE KEY-----\n", "name its curve" },

    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MC4CAQEEIObLW92AqkWunJXowVR2Z5/+yVPBaFHnEedDk5WJxk/BoAcGBSuBBAAK\n"
      "-----END EC PRIVATE KEY-----\n", "P-256 or P-384" },

    /* bytes behind the sequence */
    { "-----BEGIN EC PRIVATE KEY-----\n"
      "MDECAQEEIObLW92AqkWunJXowVR2Z5/+yVPBaFHnEedDk5WJxk/BoAoGCCqGSM49\n"
      "AwEHAA==\n"
      "-----END EC PRIVATE KEY-----", "malformed" },

    { "", "empty" },
    { " \n\n", "empty" },
    { "rubbish", "not in PEM" },
    { "-----BEGIN", "not in PEM" },
    { "-----BEGIN ", "not in PEM" },
    { "-----BEGIN -----\n-----END -----\n", "not in PEM" },
    { "-----BEGIN PRIVATE KEY-----\n", "without its end" },
    { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END", "without its end" },
    { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY----",
      "without its end" },
    { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
      "without its end" },
    { "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "base64" },
    { "-----BEGIN PRIVATE KEY-----\nAAA\n-----END PRIVATE KEY-----\n",
      "base64" },
    { "-----BEGIN PRIVATE KEY-----\nA===\n-----END PRIVATE KEY-----\n",
      "base64" },
    { "-----BEGIN PRIVATE KEY-----\nAA=A\n-----END PRIVATE KEY-----\n",
      "base64" },
    { "-----BEGIN PRIVATE KEY-----\nAA==AAAA\n-----END PRIVATE KEY-----\n",
      "base64" },
    { "-----BEGIN PRIVATE KEY-----\nAB==\n-----END PRIVATE KEY-----\n",
      "base64" },
    { "-----BEGIN PRIVATE KEY-----\nAA_A\n-----END PRIVATE KEY-----\n",
      "base64" },
    { "-----BEGIN PRIVATE KEY-----\n====\n-----END PRIVATE KEY-----\n",
      "base64" },
    { "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
      "malformed" },
    { "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----x\n",
      "not in PEM" },
    { "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\nx\n",
      "something follows" },
    { "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
      "not a private key" },
    { "-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----\n",
      "not an EC key" },
    { "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
      "-----END EC PARAMETERS-----\n", "not a private key" }
};


static void
test_x509_key_parse_table(void **state)
{
    char        *err;
    EVP_PKEY    *key;
    ngx_uint_t   i;

    (void) state;

    for (i = 0; i < sizeof(test_x509_keys) / sizeof(test_x509_keys[0]); i++) {

        key = test_x509_key_parse(test_x509_keys[i].text,
                                  strlen(test_x509_keys[i].text), &err);

        if (test_x509_keys[i].err == NULL) {
            assert_non_null(key);
            EVP_PKEY_free(key);
            continue;
        }

        if (key || strstr(err, test_x509_keys[i].err) == NULL) {
            fail_msg("case %d: %s", (int) i, key ? "taken" : err);
        }
    }
}


static void
test_x509_key_parse_others(void **state)
{
    BIO       *bio;
    char      *err, *text;
    EVP_PKEY  *key, *ec;

    (void) state;

    key = EVP_RSA_gen(1024);
    bio = test_x509_pkcs8(key, NULL);
    assert_null(test_x509_bio_parse(bio, &err));
    assert_string_equal(err, "private key is not an EC key");
    BIO_free(bio);

    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL);
    assert_null(test_x509_bio_parse(bio, &err));
    assert_string_equal(err, "private key is not an EC key");
    BIO_free(bio);
    EVP_PKEY_free(key);

    key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bio = test_x509_pkcs8(key, NULL);
    assert_null(test_x509_bio_parse(bio, &err));
    assert_string_equal(err, "private key is not an EC key");
    BIO_free(bio);
    EVP_PKEY_free(key);

    key = EVP_EC_gen("secp521r1");
    bio = test_x509_pkcs8(key, NULL);
    assert_null(test_x509_bio_parse(bio, &err));
    assert_string_equal(err, "private key is not on curve P-256 or P-384");
    BIO_free(bio);
    EVP_PKEY_free(key);

    ec = ngx_autocert_key_create(NID_secp384r1);

    bio = test_x509_pkcs8(ec, EVP_aes_128_cbc());
    assert_null(test_x509_bio_parse(bio, &err));
    assert_string_equal(err, "private key is encrypted");
    BIO_free(bio);

    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey_traditional(bio, ec, EVP_aes_128_cbc(),
                                         (u_char *) "secret", 6, NULL, NULL);
    assert_null(test_x509_bio_parse(bio, &err));
    assert_non_null(strstr(err, "encrypted"));
    BIO_free(bio);

    /* two keys */

    bio = test_x509_pkcs8(ec, NULL);
    PEM_write_bio_PKCS8PrivateKey(bio, ec, NULL, NULL, 0, NULL, NULL);
    assert_null(test_x509_bio_parse(bio, &err));
    assert_string_equal(err, "something follows the private key");
    BIO_free(bio);

    /* parameters instead of a curve's name */

    EVP_PKEY_set_utf8_string_param(ec, OSSL_PKEY_PARAM_EC_ENCODING,
                                   OSSL_PKEY_EC_ENCODING_EXPLICIT);
    bio = test_x509_pkcs8(ec, NULL);
    assert_null(test_x509_bio_parse(bio, &err));
    assert_string_equal(err, "private key is not on a named curve");
    BIO_free(bio);
    EVP_PKEY_free(ec);

    text = malloc(NGX_AUTOCERT_PEM_SIZE + 1);
    memset(text, '\n', NGX_AUTOCERT_PEM_SIZE + 1);
    assert_null(test_x509_key_parse(text, NGX_AUTOCERT_PEM_SIZE + 1, &err));
    assert_string_equal(err, "private key is too long");
    free(text);
}


static EVP_PKEY *
test_x509_sec1_parse(u_char *der, size_t len, char **err)
{
    u_char  *p, text[1024];

    static char  head[] = "-----BEGIN EC PRIVATE KEY-----\n";
    static char  tail[] = "\n-----END EC PRIVATE KEY-----\n";

    p = ngx_cpymem(text, head, sizeof(head) - 1);
    p += EVP_EncodeBlock(p, der, len);
    p = ngx_cpymem(p, tail, sizeof(tail) - 1);

    return test_x509_key_parse((char *) text, p - text, err);
}


/* The public point in each of its forms: it is the key's, or it is refused. */

static void
test_x509_key_parse_points(void **state)
{
    int          len, size;
    char        *err;
    u_char      *der, *form;
    EVP_PKEY    *key, *copy;
    ngx_uint_t   i, n, at;

    static char  *forms[] = { "uncompressed", "compressed", "hybrid" };

    (void) state;

    for (i = 0; i < 2; i++) {
        key = ngx_autocert_key_create(test_x509_nids[i]);
        size = (test_x509_nids[i] == NID_secp384r1) ? 48 : 32;

        for (n = 0; n < 3; n++) {
            assert_int_equal(EVP_PKEY_set_utf8_string_param(key,
                                 OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                 forms[n]),
                             1);
            der = NULL;
            len = i2d_PrivateKey(key, &der);
            form = der + len - (n == 1 ? size + 1 : 2 * size + 1);

            copy = test_x509_sec1_parse(der, len, &err);
            assert_non_null(copy);
            assert_int_equal(EVP_PKEY_eq(key, copy), 1);
            EVP_PKEY_free(copy);

            for (at = 0; form + at < der + len; at++) {
                form[at] ^= 1;
                assert_null(test_x509_sec1_parse(der, len, &err));
                assert_string_equal(err, "private key does not match its "
                                    "public key");
                form[at] ^= 1;
            }

            OPENSSL_free(der);
        }

        EVP_PKEY_free(key);
    }
}


/* Of P-384: 0, the order, one less, and 1 in a single byte. */

static void
test_x509_key_parse_scalars(void **state)
{
    char      *err;
    u_char     der[] = {
        0x30, 62, 0x02, 0x01, 0x01, 0x04, 48,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
        0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a,
        0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
        0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22
    };
    EVP_PKEY  *key;

    static u_char  one[] = {
        0x30, 15, 0x02, 0x01, 0x01, 0x04, 1, 1,
        0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22
    };

    (void) state;

    assert_null(test_x509_sec1_parse(der, sizeof(der), &err));
    assert_string_equal(err, "private key is malformed");

    der[54]--;
    key = test_x509_sec1_parse(der, sizeof(der), &err);
    assert_non_null(key);
    EVP_PKEY_free(key);

    key = test_x509_sec1_parse(one, sizeof(one), &err);
    assert_non_null(key);
    EVP_PKEY_free(key);

    memset(&der[7], 0, 48);
    assert_null(test_x509_sec1_parse(der, sizeof(der), &err));
    assert_string_equal(err, "private key is malformed");
}


/* A cut key is refused; one with a flipped bit is that key or none. */

static void
test_x509_key_parse_damaged(void **state)
{
    char       *err, text[1024];
    size_t      i;
    EVP_PKEY   *key, *copy;
    ngx_str_t   pem;

    (void) state;

    key = ngx_autocert_key_create(NID_X9_62_prime256v1);
    assert_int_equal(ngx_autocert_key_write(key, &pem), NGX_OK);

    for (i = 0; i < pem.len - 1; i++) {
        assert_null(test_x509_key_parse((char *) pem.data, i, &err));
    }

    for (i = 0; i < pem.len; i++) {
        memcpy(text, pem.data, pem.len);
        text[i] ^= 1;

        copy = test_x509_key_parse(text, pem.len, &err);

        if (copy) {
            assert_int_equal(EVP_PKEY_eq(key, copy), 1);
            EVP_PKEY_free(copy);
        }
    }

    ngx_autocert_pem_free(&pem);
    EVP_PKEY_free(key);
}


static void
test_x509_key_leaves_nothing(void **state)
{
    u_char      *p;
    char        *err;
    EVP_PKEY    *key;
    ngx_str_t    pem;
    ngx_uint_t   i;

    (void) state;

    for (i = 0; i < 2; i++) {
        key = ngx_autocert_key_create(test_x509_nids[i]);
        assert_int_equal(ngx_autocert_key_write(key, &pem), NGX_OK);

        test_x509_needle_set(key, &pem);

        EVP_PKEY_free(key);
        assert_int_equal(test_x509_found, 0);

        key = ngx_autocert_key_parse(&pem, &err);
        assert_non_null(key);
        assert_int_equal(test_x509_found, 0);

        ngx_autocert_pem_free(&pem);
        assert_int_equal(test_x509_found, 0);

        assert_int_equal(ngx_autocert_key_write(key, &pem), NGX_OK);
        assert_int_equal(test_x509_found, 0);

        EVP_PKEY_free(key);
        ngx_autocert_pem_free(&pem);
        assert_int_equal(test_x509_found, 0);

        /* the scan does find what is left behind */

        p = OPENSSL_malloc(128);
        memset(p, 0, 128);
        memcpy(p + 17, test_x509_needle[1], 48);
        OPENSSL_free(p);
        assert_int_equal(test_x509_found, 1);

        test_x509_needle_size = 0;
    }

}


static void
test_x509_key_id(void **state)
{
    int                    len;
    u_char                *der, id[NGX_AUTOCERT_KEY_ID];
    u_char                 hash[NGX_AUTOCERT_KEY_ID];
    EVP_PKEY              *key;
    ngx_str_t              name = ngx_string("example.com");
    ngx_autocert_chain_t  *chain;

    (void) state;

    key = ngx_autocert_key_create(NID_secp384r1);
    assert_int_equal(ngx_autocert_key_id(key, id), NGX_OK);

    der = NULL;
    len = i2d_PUBKEY(key, &der);
    EVP_Digest(der, len, hash, NULL, EVP_sha256(), NULL);
    OPENSSL_free(der);
    assert_memory_equal(id, hash, sizeof(id));

    chain = ngx_autocert_x509_self_signed(key, &name, TEST_NOW, 1);
    assert_non_null(chain);
    assert_memory_equal(id, chain->id, sizeof(id));
    ngx_autocert_x509_chain_free(chain);

    EVP_PKEY_free(key);
}


/* The only subjectAltName as "type:value"; subject's CN, or "". */

static void
test_x509_san(STACK_OF(X509_EXTENSION) *extensions, char *out)
{
    GENERAL_NAME       *gen;
    GENERAL_NAMES      *san;
    const ASN1_STRING  *s;

    san = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    assert_non_null(san);
    assert_int_equal(sk_GENERAL_NAME_num(san), 1);

    gen = sk_GENERAL_NAME_value(san, 0);

    if (gen->type == GEN_DNS) {
        s = gen->d.dNSName;
        sprintf(out, "DNS:%.*s", ASN1_STRING_length(s),
                (char *) ASN1_STRING_get0_data(s));

    } else {
        assert_int_equal(gen->type, GEN_IPADD);
        s = gen->d.iPAddress;
        sprintf(out, "IP:%d", ASN1_STRING_length(s));
    }

    GENERAL_NAMES_free(san);
}


#define TEST_64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"        \
                 ".example.com"


static struct {
    ngx_str_t   name;
    char       *san;
    ngx_uint_t  cn;
} test_x509_names[] = {
    { ngx_string("example.com"), "DNS:example.com", 1 },
    { ngx_string("*.example.com"), "DNS:*.example.com", 1 },
    { ngx_string("_x.example.com"), "DNS:_x.example.com", 1 },
    { ngx_string(TEST_64), "DNS:" TEST_64, 1 },
    { ngx_string("a" TEST_64), "DNS:a" TEST_64, 0 },
    { ngx_string("192.0.2.1"), "IP:4", 0 },
    { ngx_string("2001:db8::1"), "IP:16", 0 }
};


/* What signs a CSR, and how. */

typedef struct {
    ngx_autocert_signer_t  *signer;
    ngx_str_t               der;        /* instead; NULL: refused */
    ngx_uint_t              calls;
    size_t                  digest;
    u_char                  last;       /* byte of the signature */
} test_x509_hook_t;


static ngx_int_t
test_x509_hook(void *data, ngx_str_t *digest, u_char *signature, size_t *len)
{
    test_x509_hook_t *hook = data;

    hook->calls++;
    hook->digest = digest->len;

    if (hook->signer) {
        assert_int_equal(ngx_autocert_signer_sign(hook->signer, digest,
                                                  signature, len),
                         NGX_OK);
        hook->last = signature[*len - 1];
        return NGX_OK;
    }

    if (hook->der.data == NULL) {
        return NGX_ERROR;
    }

    assert_true(hook->der.len <= *len);
    ngx_memcpy(signature, hook->der.data, hook->der.len);
    *len = hook->der.len;

    return NGX_OK;
}


static X509_REQ *
test_x509_csr_verified(EVP_PKEY *key, ngx_str_t *name, test_x509_hook_t *hook)
{
    EVP_PKEY      *public;
    X509_REQ      *req;
    ngx_str_t      der;
    const u_char  *p;

    hook->calls = 0;

    assert_int_equal(ngx_autocert_x509_csr(test_x509_pool, key,
                                           test_x509_hook, hook, name, &der),
                     NGX_OK);
    assert_int_equal(hook->calls, 1);

    p = der.data;
    req = d2i_X509_REQ(NULL, &p, der.len);
    assert_non_null(req);
    assert_ptr_equal(p, der.data + der.len);

    public = X509_REQ_get0_pubkey(req);
    assert_int_equal(EVP_PKEY_eq(public, key), 1);
    assert_int_equal(X509_REQ_verify(req, public), 1);

    return req;
}


static void
test_x509_csr(void **state)
{
    int                        len, nid;
    char                       cn[256], san[512];
    EVP_PKEY                  *key;
    X509_REQ                  *req;
    ngx_uint_t                 i, n;
    test_x509_hook_t           hook;
    STACK_OF(X509_EXTENSION)  *extensions;

    (void) state;

    for (i = 0; i < 2; i++) {
        key = ngx_autocert_key_create(test_x509_nids[i]);
        hook.signer = ngx_autocert_signer_create(key);
        assert_non_null(hook.signer);

        for (n = 0; n < sizeof(test_x509_names) / sizeof(test_x509_names[0]);
             n++)
        {
            req = test_x509_csr_verified(key, &test_x509_names[n].name, &hook);

            assert_int_equal(hook.digest, i ? 48 : 32);
            assert_int_equal(X509_REQ_get_version(req), 0);

            nid = X509_REQ_get_signature_nid(req);
            assert_int_equal(nid, i ? NID_ecdsa_with_SHA384
                                    : NID_ecdsa_with_SHA256);

            len = X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(req),
                                            NID_commonName, cn, sizeof(cn));

            if (test_x509_names[n].cn) {
                assert_int_equal(len, test_x509_names[n].name.len);
                assert_memory_equal(cn, test_x509_names[n].name.data, len);

            } else {
                assert_int_equal(len, -1);
            }

            extensions = X509_REQ_get_extensions(req);
            assert_int_equal(sk_X509_EXTENSION_num(extensions), 1);
            test_x509_san(extensions, san);
            assert_string_equal(san, test_x509_names[n].san);

            sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
            X509_REQ_free(req);
        }

        /* until one's last byte is zero: all bits of a signature are its */

        do {
            X509_REQ_free(test_x509_csr_verified(key, &test_x509_names[0].name,
                                                 &hook));
        } while (hook.last);

        ngx_autocert_signer_free(hook.signer);
        EVP_PKEY_free(key);
    }
}


/* By the hook; and what is too long, and would read well as another length. */

static void
test_x509_csr_refused(void **state)
{
    u_char             room[129];
    ngx_str_t          der, name;
    ngx_uint_t         i;
    test_x509_hook_t   hook;

    (void) state;

    ngx_str_set(&name, "example.com");
    ngx_memset(room, 2, sizeof(room));
    ngx_memzero(&hook, sizeof(hook));

    for (i = 0; i < 2; i++) {
        hook.der.data = i ? room : NULL;
        hook.der.len = sizeof(room);

        assert_int_equal(ngx_autocert_x509_csr(test_x509_pool,
                                               test_x509_key[2],
                                               test_x509_hook, &hook, &name,
                                               &der),
                         NGX_ERROR);
        assert_int_equal(hook.calls, i + 1);
        assert_int_equal(ERR_peek_error(), 0);
    }
}


static ngx_int_t
test_x509_csr_of(EVP_PKEY *key, ngx_str_t *name)
{
    ngx_int_t          rc;
    ngx_str_t          der;
    test_x509_hook_t   hook;

    ngx_memzero(&hook, sizeof(hook));
    hook.signer = ngx_autocert_signer_create(key);
    assert_non_null(hook.signer);

    rc = ngx_autocert_x509_csr(test_x509_pool, key, test_x509_hook, &hook,
                               name, &der);

    ngx_autocert_signer_free(hook.signer);

    return rc;
}


static void
test_x509_csr_bad(void **state)
{
    EVP_PKEY   *key;
    ngx_str_t   name, empty;

    (void) state;

    ngx_str_set(&name, "example.com");
    ngx_str_null(&empty);

    key = EVP_RSA_gen(1024);
    assert_int_equal(test_x509_csr_of(key, &name), NGX_ERROR);
    EVP_PKEY_free(key);

    assert_int_equal(test_x509_csr_of(test_x509_key[2], &empty), NGX_ERROR);

    ngx_str_set(&name, "exa\0mple.com");
    assert_int_equal(test_x509_csr_of(test_x509_key[2], &name), NGX_ERROR);

    ngx_str_set(&name, "example.com");
    ngx_stub_fail_at = 1;
    assert_int_equal(test_x509_csr_of(test_x509_key[2], &name), NGX_ERROR);
    ngx_stub_fail_at = 0;

    assert_int_equal(ERR_peek_error(), 0);
}


static void
test_x509_self_signed(void **state)
{
    int                    bits;
    X509                  *cert;
    char                   san[512], *err;
    BIGNUM                *serial, *prev;
    EVP_PKEY              *key;
    ngx_str_t             *name;
    ngx_uint_t             i, n;
    ngx_autocert_chain_t  *chain;

    (void) state;

    prev = NULL;

    for (i = 0; i < 2; i++) {
        key = ngx_autocert_key_create(test_x509_nids[i]);

        for (n = 0; n < sizeof(test_x509_names) / sizeof(test_x509_names[0]);
             n++)
        {
            name = &test_x509_names[n].name;

            chain = ngx_autocert_x509_self_signed(key, name, TEST_NOW, 30);
            assert_non_null(chain);
            assert_int_equal(sk_X509_num(chain->certs), 1);
            assert_int_equal(chain->not_before, TEST_NOW - 3600);
            assert_int_equal(chain->not_after, TEST_NOW + 30 * 86400);
            assert_int_equal(chain->curve, test_x509_nids[i]);
            assert_int_equal(chain->certid_len, 0);

            cert = sk_X509_value(chain->certs, 0);
            assert_int_equal(X509_get_version(cert), X509_VERSION_3);
            assert_int_equal(X509_self_signed(cert, 1), 1);
            assert_int_equal(X509_get_signature_nid(cert),
                             i ? NID_ecdsa_with_SHA384
                               : NID_ecdsa_with_SHA256);
            assert_int_equal(X509_check_ca(cert), 0);
            assert_true(X509_get_extension_flags(cert) & EXFLAG_BCONS);

            test_x509_san((STACK_OF(X509_EXTENSION) *)
                              X509_get0_extensions(cert), san);
            assert_string_equal(san, test_x509_names[n].san);

            serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
            bits = BN_num_bits(serial);
            assert_false(BN_is_negative(serial));
            assert_true(bits >= 64 && bits < 160);
            assert_true(prev == NULL || BN_cmp(prev, serial) != 0);
            BN_free(prev);
            prev = serial;

            if (name->data[0] != '*') {
                err = NULL;
                assert_int_equal(ngx_autocert_x509_chain_check(chain, key,
                                                               name, TEST_NOW,
                                                               &err),
                                 NGX_OK);
            }

            ngx_autocert_x509_chain_free(chain);
        }

        EVP_PKEY_free(key);
    }

    BN_free(prev);

    key = EVP_RSA_gen(1024);
    assert_null(ngx_autocert_x509_self_signed(key, &test_x509_names[0].name,
                                              TEST_NOW, 30));
    EVP_PKEY_free(key);
}


static void
test_x509_alpn(void **state)
{
    int                       pos;
    X509                     *cert;
    char                      san[512];
    u_char                    want[34];
    ASN1_OBJECT              *oid;
    X509_EXTENSION           *extension;
    ngx_str_t                 name = ngx_string("example.com");
    ngx_str_t                 authorization = ngx_string("token.thumbprint");
    ASN1_OCTET_STRING        *value;
    ngx_autocert_chain_t     *chain, *again;
    char                     *err;
    ngx_str_t                 pem;

    (void) state;

    chain = ngx_autocert_x509_alpn(test_x509_key[2], &name, &authorization,
                                   TEST_NOW);
    assert_non_null(chain);

    cert = sk_X509_value(chain->certs, 0);
    test_x509_san((STACK_OF(X509_EXTENSION) *) X509_get0_extensions(cert),
                  san);
    assert_string_equal(san, "DNS:example.com");
    assert_int_equal(X509_self_signed(cert, 1), 1);

    oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    pos = X509_get_ext_by_OBJ(cert, oid, -1);
    assert_true(pos >= 0);
    assert_true(X509_get_ext_by_OBJ(cert, oid, pos) < 0);
    ASN1_OBJECT_free(oid);

    extension = X509_get_ext(cert, pos);
    assert_true(X509_EXTENSION_get_critical(extension));

    want[0] = 0x04;
    want[1] = 0x20;
    EVP_Digest("token.thumbprint", 16, want + 2, NULL, EVP_sha256(), NULL);

    value = X509_EXTENSION_get_data(extension);
    assert_int_equal(ASN1_STRING_length(value), 34);
    assert_memory_equal(ASN1_STRING_get0_data(value), want, 34);

    assert_true(chain->not_before < TEST_NOW);
    assert_true(chain->not_after > TEST_NOW);
    assert_int_equal(chain->curve, NID_X9_62_prime256v1);
    assert_int_equal(chain->certid_len, 0);

    /* printed and parsed again it is the same */

    assert_int_equal(ngx_autocert_x509_chain_print(test_x509_pool, chain,
                                                   &pem),
                     NGX_OK);
    again = ngx_autocert_x509_chain_parse(&pem, &err);
    assert_non_null(again);
    assert_int_equal(X509_cmp(cert, sk_X509_value(again->certs, 0)), 0);

    ngx_autocert_x509_chain_free(again);
    ngx_autocert_x509_chain_free(chain);
}


static void
test_x509_extension(X509 *cert, int nid, char *value)
{
    X509_EXTENSION  *extension;

    if (value == NULL) {
        return;
    }

    extension = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}


static void
test_x509_serial(X509 *cert, char *hex)
{
    BIGNUM  *n;

    n = NULL;

    assert_true(BN_hex2bn(&n, hex) > 0);
    assert_non_null(BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)));
    BN_free(n);
}


static void
test_x509_aki(X509 *cert, char *hex)
{
    char  value[1024];

    if (hex) {
        (void) snprintf(value, sizeof(value), "DER:%s", hex);
        test_x509_extension(cert, NID_authority_key_identifier, value);
    }
}


static X509 *
test_x509_issue(test_x509_spec_t *spec)
{
    X509       *cert;
    X509_NAME  *name;

    cert = X509_new();
    assert_non_null(cert);

    X509_set_version(cert, X509_VERSION_3);
    test_x509_serial(cert, spec->serial ? spec->serial : "1");

    ASN1_TIME_set(X509_getm_notBefore(cert),
                  spec->not_before ? spec->not_before : TEST_NOW - 86400);
    ASN1_TIME_set(X509_getm_notAfter(cert),
                  spec->not_after ? spec->not_after : TEST_NOW + 86400);

    name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                               (u_char *) (spec->subject ? spec->subject
                                                         : "example.com"),
                               -1, -1, 0);

    if (spec->issuer) {
        name = X509_get_subject_name(spec->issuer);
    }

    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, spec->key ? spec->key : test_x509_key[2]);

    test_x509_extension(cert, NID_basic_constraints, spec->constraints);
    test_x509_extension(cert, NID_subject_alt_name, spec->name);
    test_x509_extension(cert, NID_ext_key_usage, spec->usage);
    test_x509_aki(cert, spec->aki);

    assert_true(X509_sign(cert, spec->signer ? spec->signer
                                             : test_x509_key[1],
                          spec->md ? spec->md : EVP_sha256())
                > 0);

    return cert;
}


static void
test_x509_pem(X509 **certs, ngx_uint_t n, ngx_str_t *pem)
{
    BIO         *bio;
    char        *p;
    ngx_uint_t   i;

    bio = BIO_new(BIO_s_mem());

    for (i = 0; i < n; i++) {
        assert_int_equal(PEM_write_bio_X509(bio, certs[i]), 1);
    }

    pem->len = BIO_get_mem_data(bio, &p);
    pem->data = malloc(pem->len + 1);
    ngx_cpystrn(pem->data, (u_char *) (pem->len ? p : ""), pem->len + 1);

    BIO_free(bio);
}


/* What both readers take they find the same in. */

static void
test_x509_glance_same(ngx_autocert_chain_t *chain, ngx_autocert_chain_t *facts)
{
    assert_int_equal(facts->not_before, chain->not_before);
    assert_int_equal(facts->not_after, chain->not_after);
    assert_memory_equal(facts->id, chain->id, NGX_AUTOCERT_KEY_ID);
    assert_int_equal(facts->curve, chain->curve);
    assert_int_equal(facts->certid_len, chain->certid_len);
    assert_memory_equal(facts->certid, chain->certid, chain->certid_len);
    assert_int_equal(facts->serial_len, chain->serial_len);
    assert_memory_equal(facts->serial, chain->serial, chain->serial_len);
}


/* The body is what the text has, byte by byte. */

static void
test_x509_glance_body(ngx_str_t *pem, ngx_autocert_chain_t *taken)
{
    char                 *err;
    ngx_str_t             in, label, der, got;
    ngx_autocert_wire_t   w;

    assert_null(taken->certs);

    ngx_autocert_wire_init(&w, taken->body.data, taken->body.len);

    in = *pem;

    while (ngx_autocert_pem_block(&in, &label, &der, &err) == NGX_OK) {
        ngx_autocert_wire_get_string(&w, &got);

        assert_int_equal(got.len, der.len);
        assert_memory_equal(got.data, der.data, der.len);

        ngx_autocert_pem_free(&der);
    }

    assert_int_equal(ngx_autocert_wire_done(&w), NGX_OK);
}


static ngx_autocert_chain_t *
test_x509_parse(u_char *text, size_t len, char **err)
{
    ngx_str_t              pem;
    ngx_autocert_chain_t  *chain, *taken, facts;

    pem.len = len;
    pem.data = malloc(len ? len : 1);
    assert_non_null(pem.data);
    memcpy(pem.data, text, len);

    *err = NULL;
    chain = ngx_autocert_x509_chain_parse(&pem, err);

    taken = ngx_autocert_glance_chain(&pem);

    if (ngx_autocert_glance(&pem, &facts) == NGX_OK) {
        assert_non_null(taken);

        if (chain) {
            test_x509_glance_same(chain, &facts);
            test_x509_glance_same(chain, taken);
            test_x509_glance_body(&pem, taken);
            test_x509_glanced++;
        }

    } else {
        assert_null(taken);
    }

    ngx_autocert_x509_chain_free(taken);

    free(pem.data);

    if (chain == NULL) {
        assert_non_null(*err);
    }

    assert_int_equal(ERR_peek_error(), 0);

    return chain;
}


static ngx_autocert_chain_t *
test_x509_chain(X509 **certs, ngx_uint_t n, char **err)
{
    ngx_str_t              pem;
    ngx_autocert_chain_t  *chain;

    test_x509_pem(certs, n, &pem);
    chain = test_x509_parse(pem.data, pem.len, err);
    free(pem.data);

    return chain;
}


static void
test_x509_chain_parse(void **state)
{
    char                  *err;
    X509                  *certs[3];
    u_char                 id[NGX_AUTOCERT_KEY_ID];
    ngx_uint_t             n;
    ngx_autocert_chain_t  *chain;

    (void) state;

    certs[0] = test_x509_cert[2];
    certs[1] = test_x509_cert[1];
    certs[2] = test_x509_cert[0];

    for (n = 1; n <= 3; n++) {
        chain = test_x509_chain(certs, n, &err);
        assert_non_null(chain);
        assert_int_equal(sk_X509_num(chain->certs), n);
        assert_int_equal(X509_cmp(sk_X509_value(chain->certs, 0), certs[0]),
                         0);
        assert_int_equal(chain->not_before, TEST_NOW - 86400);
        assert_int_equal(chain->not_after, TEST_NOW + 86400);

        ngx_autocert_key_id(test_x509_key[2], id);
        assert_memory_equal(chain->id, id, sizeof(id));

        ngx_autocert_x509_chain_free(chain);
    }

    assert_null(test_x509_chain(certs, 0, &err));
    assert_string_equal(err, "certificate chain is empty");

    /* leaf and root without what is between, and the order turned round */

    certs[1] = test_x509_cert[0];
    assert_null(test_x509_chain(certs, 2, &err));
    assert_non_null(strstr(err, "not issued by"));

    certs[0] = test_x509_cert[1];
    certs[1] = test_x509_cert[2];
    assert_null(test_x509_chain(certs, 2, &err));
    assert_non_null(strstr(err, "not issued by"));

    ngx_autocert_x509_chain_free(NULL);
}


/* The usual is taken at a glance, and what is none of it is left. */

static void
test_x509_glance(void **state)
{
    char                  *err;
    X509                  *certs[3], *odd;
    ngx_uint_t             n;
    ngx_str_t              pem;
    EVP_PKEY              *rsa;
    test_x509_spec_t       spec;
    ngx_autocert_chain_t  *chain, facts;

    (void) state;

    certs[0] = test_x509_cert[2];
    certs[1] = test_x509_cert[1];
    certs[2] = test_x509_cert[0];

    for (n = 1; n <= 3; n++) {
        test_x509_glanced = 0;
        chain = test_x509_chain(certs, n, &err);
        assert_int_equal(test_x509_glanced, 1);
        ngx_autocert_x509_chain_free(chain);
    }

    /* the end of a chain is not that of its text */

    test_x509_pem(certs, 2, &pem);
    pem.data[pem.len - 2] = 'x';
    assert_int_equal(ngx_autocert_glance(&pem, &facts), NGX_DECLINED);
    free(pem.data);

    pem.len = 0;
    pem.data = (u_char *) "";
    assert_int_equal(ngx_autocert_glance(&pem, &facts), NGX_DECLINED);

    /* not issued by the next one */

    certs[1] = test_x509_cert[0];
    test_x509_pem(certs, 2, &pem);
    assert_int_equal(ngx_autocert_glance(&pem, &facts), NGX_DECLINED);
    free(pem.data);

    /* of no curve of ours */

    rsa = EVP_RSA_gen(2048);
    memset(&spec, 0, sizeof(spec));
    spec.key = rsa;
    odd = test_x509_issue(&spec);

    test_x509_glanced = 0;
    chain = test_x509_chain(&odd, 1, &err);
    assert_non_null(chain);
    assert_int_equal(test_x509_glanced, 0);

    ngx_autocert_x509_chain_free(chain);
    X509_free(odd);
    EVP_PKEY_free(rsa);
}


/* Each byte of a certificate is another: no reader finds what the other not. */

static void
test_x509_glance_damaged(void **state)
{
    int                    len;
    char                  *err;
    u_char                *der, *text, *p;
    size_t                 n;
    ngx_uint_t             i, bit;
    ngx_autocert_chain_t  *chain;

    static char  head[] = "-----BEGIN CERTIFICATE-----\n";
    static char  tail[] = "\n-----END CERTIFICATE-----\n";

    (void) state;

    der = NULL;
    len = i2d_X509(test_x509_cert[2], &der);
    text = malloc(2 * len + 128);
    test_x509_glanced = 0;

    for (i = 0; i < (ngx_uint_t) len; i++) {

        for (bit = 1; bit < 0x100; bit <<= 1) {
            der[i] ^= bit;

            p = ngx_cpymem(text, head, sizeof(head) - 1);
            p += EVP_EncodeBlock(p, der, len);
            p = ngx_cpymem(p, tail, sizeof(tail) - 1);
            n = p - text;

            chain = test_x509_parse(text, n, &err);
            ngx_autocert_x509_chain_free(chain);

            der[i] ^= bit;
        }
    }

    /* those of the signature alone are a seventh of it */

    assert_true(test_x509_glanced > (ngx_uint_t) len);

    free(text);
    OPENSSL_free(der);
}


static void
test_x509_certid_is(char *aki, char *serial, char *id)
{
    char                  *err;
    X509                  *cert;
    test_x509_spec_t       spec;
    ngx_autocert_chain_t  *chain;

    memset(&spec, 0, sizeof(spec));
    spec.aki = aki;
    spec.serial = serial;

    cert = test_x509_issue(&spec);
    chain = test_x509_chain(&cert, 1, &err);
    assert_non_null(chain);

    assert_int_equal(chain->certid_len, strlen(id));
    assert_memory_equal(chain->certid, id, strlen(id));

    ngx_autocert_x509_chain_free(chain);
    X509_free(cert);
}


static void
test_x509_certid(void **state)
{
    char              *err, serial[1001], id[1001];
    X509              *cert;
    ngx_uint_t         i, n;
    test_x509_spec_t   spec;

    static char  aki[] = "3016801469885B6B87464041E1B37B847BA0AE2CDE01C8D4";

    static struct {
        char  *aki;
        char  *serial;
        char  *id;
    } cases[] = {

        /* RFC 9773, 4.1 */
        { aki, "87654321", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE" },
        { aki, "7654321", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.B2VDIQ" },

        /* with an issuer and a serial of its own besides the key */
        { "3006800107820101", "87654321", "Bw.AIdlQyE" },

        /* zero, and what no serial should be */
        { "3003800100", "0", "AA.AA" },
        { "3003800100", "-1", "AA._w" },
        { "3003800100", "-80", "AA.gA" },
        { "3003800100", "-81", "AA._38" },

        /* no extension, one without a key, an empty key */
        { NULL, "87654321", "" },
        { "3000", "87654321", "" },
        { "3003820101", "87654321", "" },
        { "30028000", "87654321", "" }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_x509_certid_is(cases[i].aki, cases[i].serial, cases[i].id);
    }

    /* as long as it fits: 27 + 1 + 100 bytes */

    for (n = 72; n <= 500; n += (n < 80) ? 1 : 47) {
        memset(serial, '1', n * 2);
        serial[n * 2] = '\0';

        id[0] = '\0';

        if (n <= 75) {
            (void) strcpy(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.");

            for (i = 0; i < n; i += 3) {
                (void) strcat(id, n - i == 1 ? "EQ" : n - i == 2 ? "ERE"
                                                                : "ERER");
            }
        }

        test_x509_certid_is(aki, serial, id);
    }

    for (n = 92; n <= 127; n++) {
        (void) snprintf(serial, sizeof(serial), "30%s%02x80%02x",
                        n + 2 < 0x80 ? "" : "81", (int) n + 2, (int) n);

        id[0] = '\0';

        for (i = 0; i < n; i++) {
            (void) strcat(serial, "00");
        }

        if (n <= 93) {
            memset(id, 'A', (n * 4 + 2) / 3);
            (void) strcpy(id + (n * 4 + 2) / 3, ".AQ");
        }

        test_x509_certid_is(serial, "1", id);
    }

    /* an extension that is none */

    memset(&spec, 0, sizeof(spec));
    spec.aki = "020101";
    cert = test_x509_issue(&spec);
    assert_null(test_x509_chain(&cert, 1, &err));
    assert_string_equal(err, "certificate is malformed");
    X509_free(cert);
}


static void
test_x509_curve(void **state)
{
    char                  *err;
    X509                  *cert;
    EVP_PKEY              *key;
    ngx_uint_t             i;
    test_x509_spec_t       spec;
    ngx_autocert_chain_t  *chain;

    static struct {
        char  *name;
        int    nid;
    } cases[] = {
        { "P-256", NID_X9_62_prime256v1 },
        { "P-384", NID_secp384r1 },
        { "P-521", NID_secp521r1 },
        { NULL, NID_undef }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        key = cases[i].name ? EVP_EC_gen(cases[i].name) : EVP_RSA_gen(2048);
        assert_non_null(key);

        memset(&spec, 0, sizeof(spec));
        spec.key = key;

        cert = test_x509_issue(&spec);
        chain = test_x509_chain(&cert, 1, &err);
        assert_non_null(chain);
        assert_int_equal(chain->curve, cases[i].nid);

        ngx_autocert_x509_chain_free(chain);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
}


static void
test_x509_chain_limits(void **state)
{
    char                  *err;
    X509                  *certs[NGX_AUTOCERT_X509_CHAIN + 1];
    u_char                *text;
    ngx_str_t              pem;
    ngx_uint_t             i;
    ngx_autocert_chain_t  *chain;

    (void) state;

    for (i = 0; i <= NGX_AUTOCERT_X509_CHAIN; i++) {
        certs[i] = test_x509_cert[0];
    }

    chain = test_x509_chain(certs, NGX_AUTOCERT_X509_CHAIN, &err);
    assert_non_null(chain);
    ngx_autocert_x509_chain_free(chain);

    assert_null(test_x509_chain(certs, NGX_AUTOCERT_X509_CHAIN + 1, &err));
    assert_string_equal(err, "too many certificates in chain");

    test_x509_pem(certs, 1, &pem);

    text = malloc(NGX_AUTOCERT_PEM_SIZE + 1);
    memset(text, '\n', NGX_AUTOCERT_PEM_SIZE + 1);
    memcpy(text, pem.data, pem.len);

    chain = test_x509_parse(text, NGX_AUTOCERT_PEM_SIZE, &err);
    assert_non_null(chain);
    ngx_autocert_x509_chain_free(chain);

    assert_null(test_x509_parse(text, NGX_AUTOCERT_PEM_SIZE + 1, &err));
    assert_string_equal(err, "certificate chain is too long");

    free(text);
    free(pem.data);
}


static void
test_x509_chain_damaged(void **state)
{
    int                    len;
    char                  *err;
    u_char                *der, *p, *text;
    size_t                 i;
    ngx_str_t              pem;
    ngx_uint_t             n;
    ngx_autocert_chain_t  *chain;

    static char  *frames[][2] = {
        { "x\n", "" },
        { "", "x" },
        { "", "\0" },
        { "subject=CN = x\n", "" },
        { "\n-----BEGIN CERTIFICATE-----\n", "" },
        { "", "\n-----BEGIN CERTIFICATE-----\n" },
        { "", "-----END CERTIFICATE-----\n" },
        { "", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----" },
        { "", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----" }
    };

    (void) state;

    test_x509_pem(&test_x509_cert[2], 1, &pem);
    text = malloc(2 * pem.len + 256);

    for (i = 0; i < pem.len - 1; i++) {
        assert_null(test_x509_parse(pem.data, i, &err));
    }

    for (i = 0; i < pem.len; i++) {
        memcpy(text, pem.data, pem.len);
        text[i] ^= 4;
        chain = test_x509_parse(text, pem.len, &err);
        ngx_autocert_x509_chain_free(chain);
    }

    for (n = 0; n < sizeof(frames) / sizeof(frames[0]); n++) {
        p = ngx_cpymem(text, frames[n][0], strlen(frames[n][0]));
        p = ngx_cpymem(p, pem.data, pem.len);
        i = (n == 2) ? 1 : strlen(frames[n][1]);
        p = ngx_cpymem(p, frames[n][1], i);

        chain = test_x509_parse(text, p - text, &err);

        if (chain) {
            fail_msg("frame %d taken", (int) n);
        }
    }

    free(pem.data);

    /* a byte behind the certificate, within its block */

    der = NULL;
    len = i2d_X509(test_x509_cert[2], &der);

    for (n = 0; n < 2; n++) {
        i = len + n;
        p = malloc(i);
        memcpy(p, der, len);
        p[i - 1] = n ? 0 : p[i - 1];

        i = sprintf((char *) text, "-----BEGIN CERTIFICATE-----\n");
        i += EVP_EncodeBlock(text + i, p, len + n);
        i += sprintf((char *) text + i, "\n-----END CERTIFICATE-----\n");

        chain = test_x509_parse(text, i, &err);
        assert_int_equal(chain == NULL, n);
        ngx_autocert_x509_chain_free(chain);
        free(p);
    }

    OPENSSL_free(der);

    i = sprintf((char *) text, "-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n"
                               "-----END TRUSTED CERTIFICATE-----\n");
    assert_null(test_x509_parse(text, i, &err));
    assert_string_equal(err, "not a certificate");

    free(text);
}


static void
test_x509_check(X509 **certs, ngx_uint_t n, EVP_PKEY *key, char *name,
    time_t now, char *want)
{
    char                  *err;
    ngx_int_t              rc;
    ngx_str_t              s;
    ngx_autocert_chain_t  *chain;

    chain = test_x509_chain(certs, n, &err);

    if (chain == NULL) {
        fail_msg("%s", err);
    }

    s.len = strlen(name);
    s.data = malloc(s.len ? s.len : 1);
    memcpy(s.data, name, s.len);

    err = NULL;
    rc = ngx_autocert_x509_chain_check(chain, key, &s, now, &err);

    if (want == NULL && rc != NGX_OK) {
        fail_msg("%s: %s", name, err);
    }

    if (want) {
        assert_int_equal(rc, NGX_DECLINED);

        if (strstr(err, want) == NULL) {
            fail_msg("%s: %s, not %s", name, err, want);
        }
    }

    assert_int_equal(ERR_peek_error(), 0);

    free(s.data);
    ngx_autocert_x509_chain_free(chain);
}


static struct {
    char  *san;
    char  *name;
    int    match;
} test_x509_matches[] = {
    { "DNS:example.com", "example.com", 1 },
    { "DNS:EXAMPLE.com", "example.COM", 1 },
    { "DNS:www.example.com,DNS:example.com", "example.com", 1 },
    { "DNS:*.example.com", "www.example.com", 1 },
    { "DNS:*.example.com", "example.com", 0 },
    { "DNS:*.example.com", "a.b.example.com", 0 },
    { "DNS:w*.example.com", "www.example.com", 0 },
    { "DNS:*w.example.com", "www.example.com", 0 },
    { "DNS:www.example.com", "example.com", 0 },
    { "DNS:example.com", "www.example.com", 0 },
    { "DNS:example.com", ".example.com", 0 },
    { "DNS:example.com", "", 0 },
    { "IP:192.0.2.1", "192.0.2.1", 1 },
    { "IP:192.0.2.1", "192.0.2.2", 0 },
    { "DNS:192.0.2.1", "192.0.2.1", 0 },
    { "IP:2001:db8::1", "2001:db8:0::1", 1 },
    { "IP:2001:db8::1", "2001:db8::2", 0 },

    /* the subject is example.com, but that is no name */
    { NULL, "example.com", 0 },
    { "email:root@example.com", "example.com", 0 }
};


static void
test_x509_chain_names(void **state)
{
    X509              *certs[2];
    ngx_uint_t         i;
    test_x509_spec_t   spec;

    (void) state;

    certs[1] = test_x509_cert[1];

    for (i = 0;
         i < sizeof(test_x509_matches) / sizeof(test_x509_matches[0]);
         i++)
    {
        memset(&spec, 0, sizeof(spec));
        spec.name = test_x509_matches[i].san;
        spec.issuer = certs[1];
        certs[0] = test_x509_issue(&spec);

        test_x509_check(certs, 2, test_x509_key[2],
                        test_x509_matches[i].name, TEST_NOW,
                        test_x509_matches[i].match ? NULL : "another name");

        X509_free(certs[0]);
    }
}


static void
test_x509_chain_time(void **state)
{
    ngx_uint_t  i;

    static struct {
        time_t   now;
        char    *err;
    } cases[] = {
        { TEST_NOW - 86400, NULL },
        { TEST_NOW - 86400 - 300, NULL },
        { TEST_NOW - 86400 - 301, "not valid yet" },
        { TEST_NOW + 86400, NULL },
        { TEST_NOW + 86400 + 1, "expired" },
        { 0, "not valid yet" }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_x509_check(&test_x509_cert[2], 1, test_x509_key[2],
                        "example.com", cases[i].now, cases[i].err);
    }
}


static void
test_x509_chain_check(void **state)
{
    X509              *certs[3];
    EVP_PKEY          *key;
    test_x509_spec_t   spec;

    (void) state;

    certs[0] = test_x509_cert[2];
    certs[1] = test_x509_cert[1];
    certs[2] = test_x509_cert[0];

    test_x509_check(certs, 3, test_x509_key[2], "example.com", TEST_NOW,
                    NULL);
    test_x509_check(certs, 3, test_x509_key[1], "example.com", TEST_NOW,
                    "another key");

    key = ngx_autocert_key_create(NID_X9_62_prime256v1);
    test_x509_check(certs, 3, key, "example.com", TEST_NOW, "another key");

    /* signed by another key under the issuer's name */

    memset(&spec, 0, sizeof(spec));
    spec.name = "DNS:example.com";
    spec.issuer = certs[1];
    spec.signer = key;
    certs[0] = test_x509_issue(&spec);
    test_x509_check(certs, 3, test_x509_key[2], "example.com", TEST_NOW,
                    "signature of certificate is wrong");
    test_x509_check(certs, 1, test_x509_key[2], "example.com", TEST_NOW,
                    NULL);
    X509_free(certs[0]);
    EVP_PKEY_free(key);

    spec.signer = NULL;
    spec.constraints = "critical,CA:TRUE";
    certs[0] = test_x509_issue(&spec);
    test_x509_check(certs, 3, test_x509_key[2], "example.com", TEST_NOW,
                    "that of a CA");
    X509_free(certs[0]);

    spec.constraints = "critical,CA:FALSE";
    spec.usage = "clientAuth,emailProtection";
    certs[0] = test_x509_issue(&spec);
    test_x509_check(certs, 3, test_x509_key[2], "example.com", TEST_NOW,
                    "not for servers");
    X509_free(certs[0]);

    spec.usage = "clientAuth,serverAuth";
    certs[0] = test_x509_issue(&spec);
    test_x509_check(certs, 3, test_x509_key[2], "example.com", TEST_NOW,
                    NULL);
    X509_free(certs[0]);

    /* an issuer that is no CA */

    memset(&spec, 0, sizeof(spec));
    spec.subject = "intermediate";
    spec.issuer = test_x509_cert[0];
    spec.signer = test_x509_key[0];
    spec.key = test_x509_key[1];
    spec.constraints = "critical,CA:FALSE";
    certs[0] = test_x509_cert[2];
    certs[1] = test_x509_issue(&spec);
    test_x509_check(certs, 2, test_x509_key[2], "example.com", TEST_NOW,
                    "is not a CA");
    X509_free(certs[1]);
}


static void
test_x509_chain_digests(void **state)
{
    X509              *certs[3];
    ngx_uint_t         i;
    test_x509_spec_t   spec;

    const EVP_MD      *weak[2];

    (void) state;

    weak[0] = EVP_sha1();
    weak[1] = EVP_md5();

    /* self-signed, but no root */

    memset(&spec, 0, sizeof(spec));
    spec.name = "DNS:example.com";
    spec.md = weak[0];
    spec.signer = test_x509_key[2];
    certs[0] = test_x509_issue(&spec);
    test_x509_check(certs, 1, test_x509_key[2], "example.com", TEST_NOW,
                    "weak");
    X509_free(certs[0]);

    for (i = 0; i < 2; i++) {

        /* there is no ECDSA with MD5 */

        if (i == 0) {
            memset(&spec, 0, sizeof(spec));
            spec.name = "DNS:example.com";
            spec.md = weak[i];
            spec.issuer = test_x509_cert[1];
            certs[0] = test_x509_issue(&spec);
            test_x509_check(certs, 1, test_x509_key[2], "example.com",
                            TEST_NOW, "weak");
            X509_free(certs[0]);
        }

        /* intermediate: signed by the RSA root */

        memset(&spec, 0, sizeof(spec));
        spec.subject = "intermediate";
        spec.issuer = test_x509_cert[0];
        spec.signer = test_x509_key[0];
        spec.key = test_x509_key[1];
        spec.constraints = "critical,CA:TRUE";
        spec.md = weak[i];

        certs[0] = test_x509_cert[2];
        certs[1] = test_x509_issue(&spec);
        test_x509_check(certs, 2, test_x509_key[2], "example.com", TEST_NOW,
                        "weak");
        X509_free(certs[1]);

        /* a root may be */

        memset(&spec, 0, sizeof(spec));
        spec.subject = "root";
        spec.signer = test_x509_key[0];
        spec.key = test_x509_key[0];
        spec.constraints = "critical,CA:TRUE";
        spec.md = weak[i];

        certs[1] = test_x509_cert[1];
        certs[2] = test_x509_issue(&spec);
        test_x509_check(certs, 3, test_x509_key[2], "example.com", TEST_NOW,
                        NULL);
        X509_free(certs[2]);
    }
}


static int
test_x509_setup(void **state)
{
    ngx_uint_t         i;
    test_x509_spec_t   spec;

    static char  *subjects[] = { "root", "intermediate", "example.com" };

    (void) state;

    test_x509_pool = ngx_create_pool(4096, &ngx_stub_log);

    test_x509_key[0] = EVP_RSA_gen(2048);
    test_x509_key[1] = ngx_autocert_key_create(NID_secp384r1);
    test_x509_key[2] = ngx_autocert_key_create(NID_X9_62_prime256v1);

    for (i = 0; i < 3; i++) {
        memset(&spec, 0, sizeof(spec));
        spec.subject = subjects[i];
        spec.key = test_x509_key[i];
        spec.issuer = i ? test_x509_cert[i - 1] : NULL;
        spec.signer = test_x509_key[i ? i - 1 : 0];
        spec.constraints = (i < 2) ? "critical,CA:TRUE" : NULL;
        spec.name = (i < 2) ? NULL : "DNS:example.com";

        test_x509_cert[i] = test_x509_issue(&spec);
    }

    return test_x509_pool == NULL;
}


static int
test_x509_teardown(void **state)
{
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < 3; i++) {
        X509_free(test_x509_cert[i]);
        EVP_PKEY_free(test_x509_key[i]);
    }

    ngx_destroy_pool(test_x509_pool);

    return 0;
}


int
main(void)
{
    static const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_x509_key_write),
        cmocka_unit_test(test_x509_key_write_others),
        cmocka_unit_test(test_x509_key_parse_good),
        cmocka_unit_test(test_x509_key_parse_table),
        cmocka_unit_test(test_x509_key_parse_others),
        cmocka_unit_test(test_x509_key_parse_points),
        cmocka_unit_test(test_x509_key_parse_scalars),
        cmocka_unit_test(test_x509_key_parse_damaged),
        cmocka_unit_test(test_x509_key_leaves_nothing),
        cmocka_unit_test(test_x509_key_id),
        cmocka_unit_test(test_x509_csr),
        cmocka_unit_test(test_x509_csr_refused),
        cmocka_unit_test(test_x509_csr_bad),
        cmocka_unit_test(test_x509_self_signed),
        cmocka_unit_test(test_x509_alpn),
        cmocka_unit_test(test_x509_chain_parse),
        cmocka_unit_test(test_x509_glance),
        cmocka_unit_test(test_x509_glance_damaged),
        cmocka_unit_test(test_x509_certid),
        cmocka_unit_test(test_x509_curve),
        cmocka_unit_test(test_x509_chain_limits),
        cmocka_unit_test(test_x509_chain_damaged),
        cmocka_unit_test(test_x509_chain_names),
        cmocka_unit_test(test_x509_chain_time),
        cmocka_unit_test(test_x509_chain_check),
        cmocka_unit_test(test_x509_chain_digests)
    };

    if (CRYPTO_set_mem_functions(test_x509_malloc, test_x509_realloc,
                                 test_x509_free)
        != 1)
    {
        return 1;
    }

    return cmocka_run_group_tests(tests, test_x509_setup,
                                  test_x509_teardown);
}
