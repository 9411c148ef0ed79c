
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "../../src/base/ngx_autocert_base64.h"
#include "../../src/base/ngx_autocert_jose.h"
#include "../../src/base/ngx_autocert_json.h"
#include "../../src/keys/ngx_autocert_signer.h"
#include "ngx_stub.h"


typedef struct {
    const char  *secret;
    const char  *x;
    const char  *y;
    const char  *jwk;
    const char  *thumbprint;
} test_jose_vector_t;


/*
 * The key of RFC 6979, A.2.5, one whose x and one whose y begins with a zero
 * byte.  Members and thumbprints were computed apart from this
 * module.
 */

static test_jose_vector_t  test_jose_vectors[] = {
    { "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
      "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
      "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
      "{\"crv\":\"P-256\",\"kty\":\"EC\","
      "\"x\":\"YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y\","
      "\"y\":\"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk\"}",
      "DOvxvJiAdIqVWIkFt5hDtCunXLF0BV4-JGv4f-ALSm0" },

    { "000000000000000000000000000000000000000000000000000000000000017b",
      "005543894af3d00ed7d740abdbd75c96b06877b787db5f70eea78b90a8d7c00a",
      "bb4c85a3d8ea29efaafa24406912dd84d5b14dc32bf656ef6c6bd58a5d943f92",
      "{\"crv\":\"P-256\",\"kty\":\"EC\","
      "\"x\":\"AFVDiUrz0A7X10Cr29dclrBod7eH219w7qeLkKjXwAo\","
      "\"y\":\"u0yFo9jqKe-q-iRAaRLdhNWxTcMr9lbvbGvVil2UP5I\"}",
      "7Yxe6c_3bAa6kiaK1G-BZmi9EeNsUmlcbdnrtLeuK4E" },

    { "000000000000000000000000000000000000000000000000000000000000002b",
      "986ae2506f1ff104d04230861d8f4b498f4bc4c6d009b30f7544dc129b82d28d",
      "003cccc0a6460e0ae328a4d97d3c7b61d86fc6289c189f2525110c441bb07e97",
      "{\"crv\":\"P-256\",\"kty\":\"EC\","
      "\"x\":\"mGriUG8f8QTQQjCGHY9LSY9LxMbQCbMPdUTcEpuC0o0\","
      "\"y\":\"ADzMwKZGDgrjKKTZfTx7YdhvxiicGJ8lJREMRBuwfpc\"}",
      "WZsjbh58q8kl1WsGShqtiycImZtCgGbukDn4RAacMig" },
};


#define TEST_JOSE_VECTORS                                                     \
    (sizeof(test_jose_vectors) / sizeof(test_jose_vectors[0]))


static int
test_jose_setup(void **state)
{
    *state = ngx_create_pool(4096, &ngx_stub_log);

    return *state == NULL;
}


static int
test_jose_teardown(void **state)
{
    ngx_stub_fail_at = 0;
    ngx_destroy_pool(*state);

    return 0;
}


static void
test_jose_unhex(u_char *dst, const char *hex)
{
    ngx_uint_t  i;

    for (i = 0; i < 32; i++) {
        dst[i] = (u_char) ngx_hextoi((u_char *) hex + 2 * i, 2);
    }
}


/* selection: EVP_PKEY_KEYPAIR or EVP_PKEY_PUBLIC_KEY */

static EVP_PKEY *
test_jose_key(test_jose_vector_t *v, int selection)
{
    u_char           point[65], secret[32];
    BIGNUM          *bn;
    EVP_PKEY        *pkey;
    OSSL_PARAM      *params;
    EVP_PKEY_CTX    *ctx;
    OSSL_PARAM_BLD  *bld;

    point[0] = 0x04;
    test_jose_unhex(point + 1, v->x);
    test_jose_unhex(point + 33, v->y);
    test_jose_unhex(secret, v->secret);

    bld = OSSL_PARAM_BLD_new();
    bn = BN_secure_new();
    assert_non_null(bld);
    assert_non_null(bn);
    assert_non_null(BN_bin2bn(secret, 32, bn));

    assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(bld,
                         OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_octet_string(bld,
                         OSSL_PKEY_PARAM_PUB_KEY, point, 65), 1);

    if (selection == EVP_PKEY_KEYPAIR) {
        assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY,
                                                bn), 1);
    }

    params = OSSL_PARAM_BLD_to_param(bld);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    assert_non_null(params);
    assert_non_null(ctx);

    pkey = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, selection, params), 1);

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(bn);

    return pkey;
}


static void
test_jose_signer(ngx_autocert_jose_key_t *key, EVP_PKEY *pkey)
{
    key->p384 = (EVP_PKEY_get_bits(pkey) == 384);
    key->sign = ngx_autocert_signer_sign;
    key->data = ngx_autocert_signer_create(pkey);
    assert_non_null(key->data);
}


static void
test_jose_verify(EVP_PKEY *pkey, ngx_str_t *message, u_char *raw)
{
    int          len;
    u_char      *der;
    ECDSA_SIG   *sig;
    EVP_MD_CTX  *ctx;

    sig = ECDSA_SIG_new();
    assert_non_null(sig);
    assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL),
                                    BN_bin2bn(raw + 32, 32, NULL)),
                     1);

    der = NULL;
    len = i2d_ECDSA_SIG(sig, &der);
    assert_true(len > 0);

    ctx = EVP_MD_CTX_new();
    assert_non_null(ctx);
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey),
                     1);
    assert_int_equal(EVP_DigestVerify(ctx, der, len, message->data,
                                      message->len),
                     1);

    message->data[0] ^= 1;
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey),
                     1);
    assert_int_not_equal(EVP_DigestVerify(ctx, der, len, message->data,
                                          message->len),
                         1);
    message->data[0] ^= 1;

    ERR_clear_error();
    EVP_MD_CTX_free(ctx);
    ECDSA_SIG_free(sig);
    OPENSSL_free(der);
}


static void
test_jose_is(ngx_str_t *value, const char *expected)
{
    assert_int_equal(value->len, strlen(expected));
    assert_memory_equal(value->data, expected, value->len);
}


static void
test_jose_thumbprint(void **state)
{
    EVP_PKEY                 *pkey;
    ngx_uint_t                i, half;
    ngx_autocert_jose_key_t   key;

    for (i = 0; i < TEST_JOSE_VECTORS; i++) {

        for (half = 0; half < 2; half++) {

            pkey = test_jose_key(&test_jose_vectors[i],
                                 half ? EVP_PKEY_PUBLIC_KEY
                                      : EVP_PKEY_KEYPAIR);

            /* the form of the point must not matter */

            if (half) {
                assert_int_equal(EVP_PKEY_set_utf8_string_param(pkey,
                             OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                             "compressed"), 1);
            }

            ngx_memzero(&key, sizeof(key));
            assert_int_equal(ngx_autocert_jose_public(*state, pkey, &key),
                             NGX_OK);

            test_jose_is(&key.jwk, test_jose_vectors[i].jwk);
            test_jose_is(&key.thumbprint, test_jose_vectors[i].thumbprint);

            EVP_PKEY_free(pkey);
        }
    }
}


static void
test_jose_other_keys(void **state)
{
    EVP_PKEY                 *keys[4];
    ngx_uint_t                i;
    ngx_autocert_jose_key_t   key;

    keys[0] = EVP_EC_gen("secp521r1");
    keys[1] = EVP_EC_gen("secp256k1");
    keys[2] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys[3] = EVP_RSA_gen(2048);

    for (i = 0; i < 4; i++) {
        assert_non_null(keys[i]);
        ngx_memzero(&key, sizeof(key));

        assert_int_equal(ngx_autocert_jose_public(*state, keys[i], &key),
                         NGX_ERROR);
        assert_int_equal(key.jwk.len, 0);
        assert_int_equal(ERR_peek_error(), 0);

        EVP_PKEY_free(keys[i]);
    }
}


static void
test_jose_member(ngx_pool_t *pool, ngx_autocert_json_t *json, const char *name,
    ngx_str_t *raw, ngx_str_t *decoded)
{
    assert_int_equal(ngx_autocert_json_get_string(json, name, raw), NGX_OK);
    assert_int_equal(ngx_autocert_base64_decode(pool, decoded, raw), NGX_OK);
}


/* takes the JWS apart as a CA would; returns the decoded header */

static ngx_str_t
test_jose_open(ngx_pool_t *pool, EVP_PKEY *pkey, ngx_str_t *jws,
    ngx_str_t *payload, u_char *raw_signature)
{
    char                 *err;
    u_char               *p;
    ngx_str_t             raw[3], header, signature, input;
    ngx_autocert_json_t  *json;

    json = ngx_autocert_json_parse(pool, jws, &err);
    assert_non_null(json);
    assert_non_null(json->child->next->next);
    assert_null(json->child->next->next->next);

    test_jose_member(pool, json, "protected", &raw[0], &header);
    test_jose_member(pool, json, "payload", &raw[1], payload);
    test_jose_member(pool, json, "signature", &raw[2], &signature);

    assert_int_equal(signature.len, 64);
    assert_int_equal(raw[2].len, 86);

    input.len = raw[0].len + 1 + raw[1].len;
    input.data = ngx_palloc(pool, input.len);
    assert_non_null(input.data);

    p = ngx_cpymem(input.data, raw[0].data, raw[0].len);
    *p++ = '.';
    ngx_memcpy(p, raw[1].data, raw[1].len);

    test_jose_verify(pkey, &input, signature.data);

    if (raw_signature) {
        ngx_memcpy(raw_signature, signature.data, 64);
    }

    return header;
}


/* what a certificate is revoked with: its own key */

static void
test_jose_p384(void **state)
{
    char                     *err;
    EVP_PKEY                 *pkey;
    EVP_MD_CTX               *ctx;
    ECDSA_SIG                *sig;
    ngx_str_t                 nonce, url, payload, jws, raw[3], header, member;
    ngx_str_t                 signature, x, input;
    u_char                   *p, der[NGX_AUTOCERT_KEY_SIGNATURE];
    ngx_autocert_json_t      *json;
    ngx_autocert_jose_key_t   key;

    pkey = EVP_EC_gen("P-384");
    ngx_memzero(&key, sizeof(key));
    assert_int_equal(ngx_autocert_jose_public(*state, pkey, &key), NGX_OK);
    test_jose_signer(&key, pkey);

    ngx_str_set(&nonce, "n");
    ngx_str_set(&url, "https://ca.test/revoke");
    ngx_str_set(&payload, "{}");
    assert_int_equal(ngx_autocert_jose_jws(*state, &key, NULL, &nonce, &url,
                                           &payload, &jws),
                     NGX_OK);

    json = ngx_autocert_json_parse(*state, &jws, &err);
    assert_non_null(json);
    test_jose_member(*state, json, "protected", &raw[0], &header);
    test_jose_member(*state, json, "payload", &raw[1], &member);
    test_jose_member(*state, json, "signature", &raw[2], &signature);
    assert_int_equal(signature.len, 96);

    json = ngx_autocert_json_parse(*state, &header, &err);
    assert_non_null(json);
    assert_int_equal(ngx_autocert_json_get_string(json, "alg", &member),
                     NGX_OK);
    test_jose_is(&member, "ES384");

    json = ngx_autocert_json_get(json, "jwk");
    assert_int_equal(ngx_autocert_json_get_string(json, "crv", &member),
                     NGX_OK);
    test_jose_is(&member, "P-384");
    test_jose_member(*state, json, "x", &member, &x);
    assert_int_equal(x.len, 48);

    input.data = ngx_palloc(*state, raw[0].len + 1 + raw[1].len);
    p = ngx_cpymem(input.data, raw[0].data, raw[0].len);
    *p++ = '.';
    p = ngx_cpymem(p, raw[1].data, raw[1].len);
    input.len = p - input.data;

    sig = ECDSA_SIG_new();
    assert_int_equal(ECDSA_SIG_set0(sig,
                                    BN_bin2bn(signature.data, 48, NULL),
                                    BN_bin2bn(signature.data + 48, 48, NULL)),
                     1);
    p = der;
    signature.len = i2d_ECDSA_SIG(sig, &p);

    ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL,
                                          pkey), 1);
    assert_int_equal(EVP_DigestVerify(ctx, der, signature.len, input.data,
                                      input.len), 1);

    EVP_MD_CTX_free(ctx);
    ECDSA_SIG_free(sig);
    ngx_autocert_signer_free(key.data);
    EVP_PKEY_free(pkey);
}


/* often enough for an r or s that is shorter than 32 bytes */

static void
test_jose_signature(void **state)
{
    u_char                    buf[100], signature[64];
    EVP_PKEY                 *pkey;
    ngx_str_t                 nonce, url, payload, jws, out;
    ngx_uint_t                i, short_r, short_s;
    ngx_pool_t               *pool;
    ngx_autocert_jose_key_t   key;

    (void) state;

    pkey = test_jose_key(&test_jose_vectors[0], EVP_PKEY_KEYPAIR);
    test_jose_signer(&key, pkey);
    ngx_str_set(&key.jwk, "{}");
    ngx_str_set(&nonce, "bm9uY2U");
    ngx_str_set(&url, "https://ca.example/");
    short_r = 0;
    short_s = 0;

    for (i = 0; short_r == 0 || short_s == 0; i++) {
        pool = ngx_create_pool(4096, &ngx_stub_log);
        assert_non_null(pool);

        payload.data = buf;
        payload.len = ngx_sprintf(buf, "message %ui", i) - buf;

        assert_int_equal(ngx_autocert_jose_jws(pool, &key, NULL, &nonce, &url,
                                               &payload, &jws),
                         NGX_OK);

        (void) test_jose_open(pool, pkey, &jws, &out, signature);

        short_r += (signature[0] == 0);
        short_s += (signature[32] == 0);

        ngx_destroy_pool(pool);
    }

    ngx_autocert_signer_free(key.data);
    EVP_PKEY_free(pkey);
}


static void
test_jose_jws(void **state)
{
    EVP_PKEY                 *pkey;
    ngx_str_t                 kid, nonce, url, payload, jws, header, out;
    ngx_autocert_jose_key_t   key;

    pkey = test_jose_key(&test_jose_vectors[0], EVP_PKEY_KEYPAIR);
    assert_int_equal(ngx_autocert_jose_public(*state, pkey, &key), NGX_OK);

    test_jose_signer(&key, pkey);

    ngx_str_set(&kid, "https://ca.example/acct/1");
    ngx_str_set(&nonce, "bm9uY2U");
    ngx_str_set(&url, "https://ca.example/new-order");
    ngx_str_set(&payload, "{\"identifiers\":[]}");

    /* the account is known */

    assert_int_equal(ngx_autocert_jose_jws(*state, &key, &kid, &nonce, &url,
                                           &payload, &jws),
                     NGX_OK);

    header = test_jose_open(*state, pkey, &jws, &out, NULL);

    test_jose_is(&header, "{\"alg\":\"ES256\","
                          "\"kid\":\"https://ca.example/acct/1\","
                          "\"nonce\":\"bm9uY2U\","
                          "\"url\":\"https://ca.example/new-order\"}");
    test_jose_is(&out, "{\"identifiers\":[]}");

    /* POST-as-GET, which is not the empty object */

    assert_int_equal(ngx_autocert_jose_jws(*state, &key, &kid, &nonce, &url,
                                           NULL, &jws),
                     NGX_OK);

    (void) test_jose_open(*state, pkey, &jws, &out, NULL);
    assert_int_equal(out.len, 0);
    assert_non_null(strstr((char *) ngx_pstrdup(*state, &jws),
                           "\"payload\":\"\","));

    /* the account is new */

    assert_int_equal(ngx_autocert_jose_jws(*state, &key, NULL, &nonce, &url,
                                           &payload, &jws),
                     NGX_OK);

    header = test_jose_open(*state, pkey, &jws, &out, NULL);

    test_jose_is(&header, "{\"alg\":\"ES256\",\"jwk\":{\"crv\":\"P-256\","
             "\"kty\":\"EC\","
             "\"x\":\"YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y\","
             "\"y\":\"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk\"},"
             "\"nonce\":\"bm9uY2U\",\"url\":\"https://ca.example/new-order\"}");

    ngx_autocert_signer_free(key.data);
    EVP_PKEY_free(pkey);
}


/* what the CA sent cannot reach beyond its place in the header */

static void
test_jose_hostile(void **state)
{
    char                     *err;
    EVP_PKEY                 *pkey;
    ngx_str_t                 kid, nonce, url, jws, header, out, value;
    ngx_autocert_json_t      *json;
    ngx_autocert_jose_key_t   key;

    pkey = test_jose_key(&test_jose_vectors[0], EVP_PKEY_KEYPAIR);
    assert_int_equal(ngx_autocert_jose_public(*state, pkey, &key), NGX_OK);

    test_jose_signer(&key, pkey);

    ngx_str_set(&kid, "\\");
    ngx_str_set(&nonce, "x\",\"alg\":\"none\",\"y\":\"\n");
    ngx_str_set(&url, "https://ca.example/\"}");

    assert_int_equal(ngx_autocert_jose_jws(*state, &key, &kid, &nonce, &url,
                                           NULL, &jws),
                     NGX_OK);

    header = test_jose_open(*state, pkey, &jws, &out, NULL);
    json = ngx_autocert_json_parse(*state, &header, &err);
    assert_non_null(json);

    assert_int_equal(ngx_autocert_json_get_string(json, "alg", &value),
                     NGX_OK);
    test_jose_is(&value, "ES256");
    assert_int_equal(ngx_autocert_json_get_string(json, "kid", &value),
                     NGX_OK);
    test_jose_is(&value, "\\");
    assert_int_equal(ngx_autocert_json_get_string(json, "nonce", &value),
                     NGX_OK);
    test_jose_is(&value, "x\",\"alg\":\"none\",\"y\":\"\n");
    assert_int_equal(ngx_autocert_json_get_string(json, "url", &value),
                     NGX_OK);
    test_jose_is(&value, "https://ca.example/\"}");

    ngx_autocert_signer_free(key.data);
    EVP_PKEY_free(pkey);
}


typedef struct {
    ngx_str_t   der;            /* NULL: refused */
    ngx_uint_t  calls;
} test_jose_hook_t;


static ngx_int_t
test_jose_hook(void *data, ngx_str_t *digest, u_char *signature, size_t *len)
{
    test_jose_hook_t *hook = data;

    hook->calls++;
    assert_int_equal(digest->len, 32);

    if (hook->der.data == NULL) {
        return NGX_ERROR;
    }

    assert_true(hook->der.len <= *len);
    ngx_memcpy(signature, hook->der.data, hook->der.len);
    *len = hook->der.len;

    return NGX_OK;
}


/* Refused, not DER, and an r that has no place in a signature of P-256. */

static void
test_jose_refused(void **state)
{
    ngx_str_t                 text, jws;
    ngx_uint_t                i;
    test_jose_hook_t          hook;
    ngx_autocert_jose_key_t   key;

    static ngx_str_t  signatures[] = {
        ngx_null_string,
        ngx_string(""),
        ngx_string("\x30\x06\x02\x01\x01\x02\x01"),
        ngx_string("\x30\x26\x02\x21\x01" "0123456789abcdef0123456789abcdef"
                   "\x02\x01\x01")
    };

    ngx_str_set(&text, "x");
    ngx_str_set(&key.jwk, "{}");

    key.p384 = 0;
    key.sign = test_jose_hook;
    key.data = &hook;

    for (i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        hook.der = signatures[i];
        hook.calls = 0;

        assert_int_equal(ngx_autocert_jose_jws(*state, &key, NULL, &text,
                                               &text, &text, &jws),
                         NGX_ERROR);
        assert_int_equal(hook.calls, 1);
        assert_int_equal(ERR_peek_error(), 0);
    }
}


static void
test_jose_without_secret(void **state)
{
    EVP_PKEY                 *pkey;
    ngx_str_t                 text, jws;
    ngx_autocert_jose_key_t   key;

    pkey = test_jose_key(&test_jose_vectors[0], EVP_PKEY_PUBLIC_KEY);
    test_jose_signer(&key, pkey);
    ngx_str_set(&key.jwk, "{}");
    ngx_str_set(&text, "x");

    assert_int_equal(ngx_autocert_jose_jws(*state, &key, NULL, &text, &text,
                                           &text, &jws),
                     NGX_ERROR);
    assert_int_equal(ERR_peek_error(), 0);

    ngx_autocert_signer_free(key.data);
    EVP_PKEY_free(pkey);
}


static void
test_jose_key_authorization(void **state)
{
    ngx_str_t                 token, out;
    ngx_autocert_jose_key_t   key;

    ngx_str_set(&token, "DGyRejmCefe7v4NfDGDKfA");
    ngx_str_set(&key.thumbprint, "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI");

    assert_int_equal(ngx_autocert_jose_key_authorization(*state, &key, &token,
                                                         &out),
                     NGX_OK);
    test_jose_is(&out, "DGyRejmCefe7v4NfDGDKfA."
                       "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI");
}


static void
test_jose_no_memory(void **state)
{
    EVP_PKEY                 *pkey;
    ngx_int_t                 rc;
    ngx_str_t                 text, out;
    ngx_uint_t                n;
    ngx_autocert_jose_key_t   key;

    pkey = test_jose_key(&test_jose_vectors[0], EVP_PKEY_KEYPAIR);
    ngx_str_set(&text, "text");

    for (n = 1; /* void */ ; n++) {
        ngx_stub_fail_at = n;
        rc = ngx_autocert_jose_public(*state, pkey, &key);
        ngx_stub_fail_at = 0;

        if (rc == NGX_OK) {
            break;
        }

        assert_int_equal(rc, NGX_ERROR);
    }

    assert_int_equal(n, 3);

    test_jose_signer(&key, pkey);

    for (n = 1; /* void */ ; n++) {
        ngx_stub_fail_at = n;
        rc = ngx_autocert_jose_jws(*state, &key, NULL, &text, &text, &text,
                                   &out);
        ngx_stub_fail_at = 0;

        if (rc == NGX_OK) {
            break;
        }

        assert_int_equal(rc, NGX_ERROR);
    }

    assert_true(n > 3);

    ngx_stub_fail_at = 1;
    assert_int_equal(ngx_autocert_jose_key_authorization(*state, &key, &text,
                                                         &out),
                     NGX_ERROR);
    ngx_stub_fail_at = 0;

    ngx_autocert_signer_free(key.data);
    EVP_PKEY_free(pkey);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_jose_thumbprint),
        cmocka_unit_test(test_jose_p384),
        cmocka_unit_test(test_jose_other_keys),
        cmocka_unit_test(test_jose_signature),
        cmocka_unit_test(test_jose_without_secret),
        cmocka_unit_test(test_jose_jws),
        cmocka_unit_test(test_jose_hostile),
        cmocka_unit_test(test_jose_refused),
        cmocka_unit_test(test_jose_key_authorization),
        cmocka_unit_test(test_jose_no_memory),
    };

    return cmocka_run_group_tests(tests, test_jose_setup, test_jose_teardown);
}
