
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_der.h"
#include "ngx_autocert_key.h"
#include "ngx_autocert_nettle.h"
#include "ngx_autocert_pem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/x509.h>


#define NGX_AUTOCERT_KEY_SCALAR    48
#define NGX_AUTOCERT_KEY_PKCS8     192
#define NGX_AUTOCERT_KEY_POINT     (2 * NGX_AUTOCERT_KEY_SCALAR + 1)
#define NGX_AUTOCERT_KEY_SPKI      120


/*
 * A curve; PKCS#8 (RFC 5958) of a key on it, which is the same for all keys
 * but for the scalar between head and tail and the point behind them; and
 * SubjectPublicKeyInfo (RFC 5480), to the first byte of the point.
 */

typedef struct {
    int            nid;
    char          *name;
    size_t         size;
    ngx_str_t      oid;
    ngx_str_t      head;
    ngx_str_t      tail;
    ngx_str_t      spki;
} ngx_autocert_key_curve_t;


/* What the text of a private key says. */

typedef struct {
    ngx_autocert_key_curve_t  *curve;
    ngx_str_t                  scalar;
    ngx_str_t                  point;       /* empty: it does not say */
} ngx_autocert_key_text_t;


static ngx_autocert_key_curve_t *ngx_autocert_key_facts(EVP_PKEY *key);
static ngx_int_t ngx_autocert_key_pkcs8(EVP_PKEY *key,
    ngx_autocert_key_curve_t *curve, u_char *der, size_t *len);
static ngx_int_t ngx_autocert_key_read(ngx_str_t *pem, ngx_str_t *der,
    ngx_autocert_key_text_t *text, char **err);
static ngx_int_t ngx_autocert_key_pkey(ngx_str_t *der,
    ngx_autocert_key_text_t *text, char **err);
static ngx_int_t ngx_autocert_key_sec1(ngx_str_t *der,
    ngx_autocert_key_text_t *text, char **err);
static EVP_PKEY *ngx_autocert_key_scalar(ngx_autocert_key_text_t *text,
    char **err);
static ngx_int_t ngx_autocert_key_point(ngx_autocert_key_curve_t *curve,
    BIGNUM *d, u_char *point, char **err);
static ngx_int_t ngx_autocert_key_point_id(ngx_autocert_key_curve_t *curve,
    ngx_str_t *point, u_char id[NGX_AUTOCERT_KEY_ID]);
static EVP_PKEY *ngx_autocert_key_fromdata(ngx_autocert_key_curve_t *curve,
    BIGNUM *d, u_char *point, size_t len);


static ngx_autocert_key_curve_t  ngx_autocert_key_curves[] = {

    { NID_X9_62_prime256v1, "prime256v1", 32,
      ngx_string("\x2a\x86\x48\xce\x3d\x03\x01\x07"),
      ngx_string("\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce"
                 "\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04"
                 "\x6d\x30\x6b\x02\x01\x01\x04\x20"),
      ngx_string("\xa1\x44\x03\x42\x00\x04"),
      ngx_string("\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
                 "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42"
                 "\x00\x04") },

    { NID_secp384r1, "secp384r1", 48,
      ngx_string("\x2b\x81\x04\x00\x22"),
      ngx_string("\x30\x81\xb6\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce"
                 "\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x04\x81\x9e\x30"
                 "\x81\x9b\x02\x01\x01\x04\x30"),
      ngx_string("\xa1\x64\x03\x62\x00\x04"),
      ngx_string("\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
                 "\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00\x04") },

    { NID_undef, NULL, 0, ngx_null_string, ngx_null_string, ngx_null_string,
      ngx_null_string }
};


static ngx_str_t  ngx_autocert_key_ec =
    ngx_string("\x2a\x86\x48\xce\x3d\x02\x01");


EVP_PKEY *
ngx_autocert_key_create(int nid)
{
    EVP_PKEY                   *key;
    ngx_autocert_key_curve_t  *curve;

    for (curve = ngx_autocert_key_curves; curve->name; curve++) {

        if (curve->nid == nid) {
            key = EVP_EC_gen(curve->name);

            if (key == NULL) {
                ERR_clear_error();
            }

            return key;
        }
    }

    return NULL;
}


ngx_int_t
ngx_autocert_key_write(EVP_PKEY *key, ngx_str_t *pem)
{
    u_char                     *p, *text, der[NGX_AUTOCERT_KEY_PKCS8];
    size_t                      i, n, len, size;
    ngx_int_t                   rc;
    ngx_autocert_key_curve_t  *curve;

    static u_char  head[] = "-----BEGIN PRIVATE KEY-----\n";
    static u_char  tail[] = "-----END PRIVATE KEY-----\n";

    ngx_str_null(pem);

    curve = ngx_autocert_key_facts(key);
    if (curve == NULL) {
        return NGX_ERROR;
    }

    /*
     * By hand: OpenSSL's encoders leave the key in memory that they free.
     * One more byte for the NUL of EVP_EncodeBlock().
     */

    rc = ngx_autocert_key_pkcs8(key, curve, der, &len);
    if (rc != NGX_OK) {
        goto done;
    }

    size = sizeof(head) + sizeof(tail) + (len + 2) / 3 * 4 + len / 48 + 2;

    text = OPENSSL_malloc(size);
    if (text == NULL) {
        rc = NGX_ERROR;
        goto done;
    }

    p = ngx_cpymem(text, head, sizeof(head) - 1);

    for (i = 0; i < len; i += n) {
        n = ngx_min(len - i, 48);
        p += EVP_EncodeBlock(p, der + i, n);
        *p++ = '\n';
    }

    p = ngx_cpymem(p, tail, sizeof(tail) - 1);

    pem->data = text;
    pem->len = p - text;

done:

    OPENSSL_cleanse(der, sizeof(der));

    return rc;
}


static ngx_int_t
ngx_autocert_key_pkcs8(EVP_PKEY *key, ngx_autocert_key_curve_t *curve,
    u_char *der, size_t *len)
{
    u_char     *p;
    BIGNUM     *d, *x, *y;
    ngx_int_t   rc;

    d = NULL;
    x = NULL;
    y = NULL;
    rc = NGX_ERROR;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) != 1
        || EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) != 1
        || EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) != 1)
    {
        goto done;
    }

    p = ngx_cpymem(der, curve->head.data, curve->head.len);

    if (BN_bn2binpad(d, p, curve->size) < 0) {
        goto done;
    }

    p = ngx_cpymem(p + curve->size, curve->tail.data, curve->tail.len);

    if (BN_bn2binpad(x, p, curve->size) < 0
        || BN_bn2binpad(y, p + curve->size, curve->size) < 0)
    {
        goto done;
    }

    *len = p + 2 * curve->size - der;
    rc = NGX_OK;

done:

    BN_clear_free(d);
    BN_free(x);
    BN_free(y);
    ERR_clear_error();

    return rc;
}


EVP_PKEY *
ngx_autocert_key_parse(ngx_str_t *pem, char **err)
{
    ngx_str_t                 der;
    EVP_PKEY                 *key;
    ngx_autocert_key_text_t   text;

    key = NULL;

    if (ngx_autocert_key_read(pem, &der, &text, err) == NGX_OK) {
        key = ngx_autocert_key_scalar(&text, err);
    }

    ngx_autocert_pem_free(&der);
    ERR_clear_error();

    return key;
}


ngx_int_t
ngx_autocert_key_stated(ngx_str_t *pem, u_char id[NGX_AUTOCERT_KEY_ID])
{
    char                     *err;
    ngx_int_t                 rc;
    ngx_str_t                 der;
    ngx_autocert_key_text_t   text;

    rc = ngx_autocert_key_read(pem, &der, &text, &err);

    if (rc == NGX_OK) {
        rc = ngx_autocert_key_point_id(text.curve, &text.point, id);
    }

    ngx_autocert_pem_free(&der);
    ERR_clear_error();

    return (rc == NGX_OK) ? NGX_OK : NGX_DECLINED;
}


/* text leads into der, which is secret and to be freed in any case. */

static ngx_int_t
ngx_autocert_key_read(ngx_str_t *pem, ngx_str_t *der,
    ngx_autocert_key_text_t *text, char **err)
{
    ngx_int_t  rc;
    ngx_str_t  in, label;

    ngx_str_null(der);
    ngx_memzero(text, sizeof(ngx_autocert_key_text_t));

    if (pem->len > NGX_AUTOCERT_PEM_SIZE) {
        *err = "private key is too long";
        return NGX_ERROR;
    }

    in = *pem;

    rc = ngx_autocert_pem_block(&in, &label, der, err);

    if (rc == NGX_DONE) {
        *err = "private key is empty";
    }

    if (rc != NGX_OK) {
        ngx_str_null(der);
        return NGX_ERROR;
    }

    ngx_autocert_pem_blanks(&in);

    if (in.len) {
        *err = "something follows the private key";
        return NGX_ERROR;
    }

    if (label.len == 11 && ngx_strncmp(label.data, "PRIVATE KEY", 11) == 0) {
        return ngx_autocert_key_pkey(der, text, err);
    }

    if (label.len == 14 && ngx_strncmp(label.data, "EC PRIVATE KEY", 14) == 0)
    {
        return ngx_autocert_key_sec1(der, text, err);
    }

    if (label.len == 21
        && ngx_strncmp(label.data, "ENCRYPTED PRIVATE KEY", 21) == 0)
    {
        *err = "private key is encrypted";

    } else if (label.len > 11
               && ngx_strncmp(label.data + label.len - 11, "PRIVATE KEY", 11)
                  == 0)
    {
        *err = "private key is not an EC key";

    } else {
        *err = "not a private key";
    }

    return NGX_ERROR;
}


/*
 * RFC 5958 and RFC 5915.  By hand: OpenSSL's decoders leave the key in memory
 * that they free.
 */

static ngx_int_t
ngx_autocert_key_pkey(ngx_str_t *der, ngx_autocert_key_text_t *text,
    char **err)
{
    ngx_str_t                   in, seq, version, alg, oid, name, octets, skip;
    ngx_autocert_key_curve_t  *curve;

    *err = "private key is malformed";

    in = *der;

    if (ngx_autocert_der_get(&in, NGX_AUTOCERT_DER_SEQUENCE, &seq) != NGX_OK
        || in.len
        || ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_INTEGER, &version)
           != NGX_OK
        || version.len != 1 || version.data[0] > 1
        || ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_SEQUENCE, &alg)
           != NGX_OK
        || ngx_autocert_der_get(&alg, NGX_AUTOCERT_DER_OID, &oid) != NGX_OK
        || ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_OCTETS, &octets)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* attributes and the public key are of no use here, but have to be well */

    (void) ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_TAG0, &skip);

    if (version.data[0] == 1) {
        (void) ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_FIELD1, &skip);
    }

    if (seq.len) {
        return NGX_ERROR;
    }

    if (oid.len != ngx_autocert_key_ec.len
        || ngx_memcmp(oid.data, ngx_autocert_key_ec.data, oid.len) != 0)
    {
        *err = "private key is not an EC key";
        return NGX_ERROR;
    }

    if (ngx_autocert_der_get(&alg, NGX_AUTOCERT_DER_OID, &name) != NGX_OK
        || alg.len)
    {
        *err = "private key is not on a named curve";
        return NGX_ERROR;
    }

    for (curve = ngx_autocert_key_curves; curve->name; curve++) {

        if (name.len == curve->oid.len
            && ngx_memcmp(name.data, curve->oid.data, name.len) == 0)
        {
            text->curve = curve;
            return ngx_autocert_key_sec1(&octets, text, err);
        }
    }

    *err = "private key is not on curve P-256 or P-384";

    return NGX_ERROR;
}


static ngx_int_t
ngx_autocert_key_sec1(ngx_str_t *der, ngx_autocert_key_text_t *text,
    char **err)
{
    ngx_str_t                   in, seq, version, tagged, name, *point;
    ngx_autocert_key_curve_t  *named;

    *err = "private key is malformed";

    in = *der;

    if (ngx_autocert_der_get(&in, NGX_AUTOCERT_DER_SEQUENCE, &seq) != NGX_OK
        || in.len
        || ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_INTEGER, &version)
           != NGX_OK
        || version.len != 1 || version.data[0] != 1
        || ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_OCTETS, &text->scalar)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_TAG0, &tagged)
        == NGX_OK)
    {
        if (ngx_autocert_der_get(&tagged, NGX_AUTOCERT_DER_OID, &name)
            != NGX_OK
            || tagged.len)
        {
            *err = "private key is not on a named curve";
            return NGX_ERROR;
        }

        for (named = ngx_autocert_key_curves; named->name; named++) {

            if (name.len == named->oid.len
                && ngx_memcmp(name.data, named->oid.data, name.len) == 0)
            {
                break;
            }
        }

        if (named->name == NULL
            || (text->curve && text->curve != named)) {
            *err = "private key is not on curve P-256 or P-384";
            return NGX_ERROR;
        }

        text->curve = named;
    }

    point = &text->point;

    if (ngx_autocert_der_get(&seq, NGX_AUTOCERT_DER_TAG1, &tagged)
        == NGX_OK)
    {
        if (ngx_autocert_der_get(&tagged, NGX_AUTOCERT_DER_BITS, point)
            != NGX_OK
            || tagged.len || point->len < 2 || point->data[0] != 0)
        {
            return NGX_ERROR;
        }

        point->data++;
        point->len--;
    }

    if (seq.len) {
        return NGX_ERROR;
    }

    if (text->curve == NULL) {
        *err = "private key does not name its curve";
        return NGX_ERROR;
    }

    return NGX_OK;
}


static EVP_PKEY *
ngx_autocert_key_scalar(ngx_autocert_key_text_t *text, char **err)
{
    BIGNUM                    *d;
    u_char                     point[NGX_AUTOCERT_KEY_POINT];
    EVP_PKEY                  *key;
    ngx_str_t                 *scalar;
    ngx_autocert_key_curve_t  *curve;

    curve = text->curve;
    scalar = &text->scalar;

    if (scalar->len == 0 || scalar->len > curve->size) {
        return NULL;
    }

    key = NULL;

    d = BN_new();

    if (d == NULL) {
        *err = "out of memory";
        return NULL;
    }

    BN_set_flags(d, BN_FLG_CONSTTIME);

    if (BN_bin2bn(scalar->data, scalar->len, d) == NULL
        || ngx_autocert_key_point(curve, d, point, err) != NGX_OK)
    {
        goto done;
    }

    if (text->point.len
        && !ngx_autocert_key_is_point(&text->point, point, curve->size))
    {
        *err = "private key does not match its public key";
        goto done;
    }

    key = ngx_autocert_key_fromdata(curve, d, point, 2 * curve->size + 1);

done:

    BN_clear_free(d);

    return key;
}


/* The public point of d, not compressed. */

static ngx_int_t
ngx_autocert_key_point(ngx_autocert_key_curve_t *curve, BIGNUM *d,
    u_char *point, char **err)
{
    BN_CTX     *ctx;
    EC_GROUP   *group;
    EC_POINT   *mine;
    ngx_int_t   rc;

#if (NGX_AUTOCERT_NETTLE)

    u_char             p[NGX_AUTOCERT_NETTLE_SIZE];
    struct ecc_scalar  scalar;

    if (curve->nid == NID_secp384r1) {
        rc = (BN_bn2binpad(d, p, sizeof(p)) == sizeof(p))
             ? ngx_autocert_nettle_scalar(&scalar, p) : NGX_ERROR;

        OPENSSL_cleanse(p, sizeof(p));

        if (rc == NGX_OK) {
            ngx_autocert_nettle_point(&scalar, point);
            ecc_scalar_clear(&scalar);
        }

        return rc;
    }

#endif

    mine = NULL;
    rc = NGX_ERROR;

    ctx = BN_CTX_secure_new();
    group = EC_GROUP_new_by_curve_name(curve->nid);

    if (ctx == NULL || group == NULL) {
        *err = "out of memory";
        goto done;
    }

    mine = EC_POINT_new(group);

    if (mine
        && !BN_is_zero(d)
        && BN_cmp(d, EC_GROUP_get0_order(group)) < 0
        && EC_POINT_mul(group, mine, d, NULL, NULL, ctx) == 1
        && EC_POINT_point2oct(group, mine, POINT_CONVERSION_UNCOMPRESSED,
                              point, NGX_AUTOCERT_KEY_POINT, ctx)
           == 2 * curve->size + 1)
    {
        rc = NGX_OK;
    }

done:

    EC_POINT_free(mine);
    EC_GROUP_free(group);
    BN_CTX_free(ctx);

    return rc;
}


ngx_uint_t
ngx_autocert_key_is_point(ngx_str_t *stated, u_char *point, size_t size)
{
    u_char  form, odd;
    size_t  len;

    if (stated->len == 0) {
        return 0;
    }

    form = stated->data[0];
    odd = point[2 * size] & 1;

    len = (form == (0x02 | odd)) ? size + 1 : 2 * size + 1;

    return (form == 0x04 || form == (0x02 | odd) || form == (0x06 | odd))
           && stated->len == len
           && ngx_memcmp(&stated->data[1], &point[1], len - 1) == 0;
}


static EVP_PKEY *
ngx_autocert_key_fromdata(ngx_autocert_key_curve_t *curve, BIGNUM *d,
    u_char *point, size_t len)
{
    u_char         scalar[NGX_AUTOCERT_KEY_SCALAR];
    EVP_PKEY      *key;
    OSSL_PARAM     params[4];
    EVP_PKEY_CTX  *ctx;

    key = NULL;

    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (ctx == NULL) {
        return NULL;
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 curve->name, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  point, len);
    params[2] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar,
                                        curve->size);
    params[3] = OSSL_PARAM_construct_end();

    if (BN_bn2nativepad(d, scalar, curve->size) < 0
        || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
    {
        key = NULL;
    }

    OPENSSL_cleanse(scalar, sizeof(scalar));
    EVP_PKEY_CTX_free(ctx);

    return key;
}


ngx_int_t
ngx_autocert_key_id(EVP_PKEY *key, u_char id[NGX_AUTOCERT_KEY_ID])
{
    int                        len;
    u_char                    *p, buf[NGX_AUTOCERT_KEY_POINT];
    ngx_int_t                  rc;
    ngx_str_t                  point;
    ngx_autocert_key_curve_t  *curve;

    curve = ngx_autocert_key_facts(key);

    if (curve) {
        point.data = buf;

        rc = (EVP_PKEY_get_octet_string_param(key,
                                            OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                            buf, sizeof(buf), &point.len)
              == 1)
             ? ngx_autocert_key_point_id(curve, &point, id) : NGX_ERROR;

        ERR_clear_error();

        return rc;
    }

    p = NULL;

    len = i2d_PUBKEY(key, &p);
    rc = NGX_ERROR;

    if (len > 0 && EVP_Digest(p, len, id, NULL, EVP_sha256(), NULL) == 1) {
        rc = NGX_OK;
    }

    OPENSSL_free(p);
    ERR_clear_error();

    return rc;
}


/* By hand: OpenSSL's encoder takes fifty times as long. */

static ngx_int_t
ngx_autocert_key_point_id(ngx_autocert_key_curve_t *curve, ngx_str_t *point,
    u_char id[NGX_AUTOCERT_KEY_ID])
{
    u_char  *p, spki[NGX_AUTOCERT_KEY_SPKI];

    if (point->len != 2 * curve->size + 1 || point->data[0] != 0x04) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(spki, curve->spki.data, curve->spki.len);
    p = ngx_cpymem(p, point->data + 1, point->len - 1);

    return EVP_Digest(spki, p - spki, id, NULL, EVP_sha256(), NULL) == 1
           ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_autocert_key_spki(ngx_str_t *spki, int *nid,
    u_char id[NGX_AUTOCERT_KEY_ID])
{
    ngx_autocert_key_curve_t  *curve;

    for (curve = ngx_autocert_key_curves; curve->name; curve++) {

        if (spki->len == curve->spki.len + 2 * curve->size
            && ngx_memcmp(spki->data, curve->spki.data, curve->spki.len) == 0
            && EVP_Digest(spki->data, spki->len, id, NULL, EVP_sha256(), NULL)
               == 1)
        {
            *nid = curve->nid;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


int
ngx_autocert_key_curve(EVP_PKEY *key)
{
    int     nid;
    char    name[64];
    size_t  len;

    if (!EVP_PKEY_is_a(key, "EC")
        || EVP_PKEY_get_group_name(key, name, sizeof(name), &len) != 1)
    {
        ERR_clear_error();
        return NID_undef;
    }

    nid = OBJ_sn2nid(name);

    if (nid == NID_undef) {
        nid = EC_curve_nist2nid(name);
    }

    return nid;
}


static ngx_autocert_key_curve_t *
ngx_autocert_key_facts(EVP_PKEY *key)
{
    int                         nid;
    ngx_autocert_key_curve_t  *curve;

    nid = ngx_autocert_key_curve(key);

    for (curve = ngx_autocert_key_curves; curve->name; curve++) {
        if (curve->nid == nid) {
            return curve;
        }
    }

    return NULL;
}
