
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_x509.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>


#define NGX_AUTOCERT_X509_CN       64       /* RFC 5280, ub-common-name */
#define NGX_AUTOCERT_X509_SCALAR   48
#define NGX_AUTOCERT_X509_PKCS8    192
#define NGX_AUTOCERT_X509_SKEW     300
#define NGX_AUTOCERT_X509_BITS     112      /* refuses MD5 and SHA-1 */
#define NGX_AUTOCERT_X509_SERIAL   16

#define NGX_AUTOCERT_DER_INTEGER   0x02
#define NGX_AUTOCERT_DER_BITS      0x03
#define NGX_AUTOCERT_DER_OCTETS    0x04
#define NGX_AUTOCERT_DER_OID       0x06
#define NGX_AUTOCERT_DER_SEQUENCE  0x30
#define NGX_AUTOCERT_DER_TAG0      0xa0
#define NGX_AUTOCERT_DER_TAG1      0xa1


/*
 * A curve, and PKCS#8 (RFC 5958) of a key on it, which is the same for all
 * keys but for the scalar between head and tail and the point behind them.
 */

typedef struct {
    int            nid;
    char          *name;
    size_t         size;
    ngx_str_t      oid;
    ngx_str_t      head;
    ngx_str_t      tail;
} ngx_autocert_x509_curve_t;


typedef struct {
    EVP_PKEY      *key;
    ngx_str_t     *name;
    time_t         not_before;
    time_t         not_after;
    u_char        *hash;        /* of acmeIdentifier, or NULL */
} ngx_autocert_x509_spec_t;


static ngx_autocert_x509_curve_t *ngx_autocert_x509_curve(EVP_PKEY *key);
static ngx_int_t ngx_autocert_x509_pkcs8(EVP_PKEY *key,
    ngx_autocert_x509_curve_t *curve, u_char *der, size_t *len);
static EVP_PKEY *ngx_autocert_x509_pkey(ngx_str_t *der, ngx_uint_t pkcs8,
    char **err);
static EVP_PKEY *ngx_autocert_x509_sec1(ngx_str_t *der,
    ngx_autocert_x509_curve_t *curve, char **err);
static EVP_PKEY *ngx_autocert_x509_scalar(ngx_autocert_x509_curve_t *curve,
    ngx_str_t *scalar, ngx_str_t *point, char **err);
static EVP_PKEY *ngx_autocert_x509_fromdata(ngx_autocert_x509_curve_t *curve,
    BIGNUM *d, u_char *point, size_t len);
static ngx_int_t ngx_autocert_x509_der(ngx_str_t *in, ngx_uint_t tag,
    ngx_str_t *content);
static ngx_int_t ngx_autocert_x509_pem(ngx_str_t *in, ngx_str_t *label,
    ngx_str_t *der, char **err);
static ngx_int_t ngx_autocert_x509_base64(ngx_str_t *in, ngx_str_t *der);
static void ngx_autocert_x509_blanks(ngx_str_t *in);
static ngx_int_t ngx_autocert_x509_chain_leaf(ngx_autocert_chain_t *chain);
static ngx_int_t ngx_autocert_x509_time(const ASN1_TIME *in, time_t *t);
static ngx_int_t ngx_autocert_x509_hash(u_char *p, int len,
    u_char id[NGX_AUTOCERT_X509_ID]);
static ASN1_OCTET_STRING *ngx_autocert_x509_ip(ngx_str_t *name);
static ngx_int_t ngx_autocert_x509_leaf_check(X509 *leaf, ngx_str_t *name,
    char **err);
static ngx_int_t ngx_autocert_x509_signature_check(STACK_OF(X509) *certs,
    int i, char **err);
static GENERAL_NAMES *ngx_autocert_x509_san(ngx_str_t *name);
static const EVP_MD *ngx_autocert_x509_md(EVP_PKEY *key);
static ngx_int_t ngx_autocert_x509_csr_fill(X509_REQ *req, EVP_PKEY *key,
    ngx_str_t *name);
static ngx_autocert_chain_t *ngx_autocert_x509_build(
    ngx_autocert_x509_spec_t *spec);
static ngx_int_t ngx_autocert_x509_build_name(X509 *cert, ngx_str_t *name);
static ngx_int_t ngx_autocert_x509_build_serial(X509 *cert);
static ngx_int_t ngx_autocert_x509_build_extensions(X509 *cert,
    ngx_autocert_x509_spec_t *spec);
static ngx_int_t ngx_autocert_x509_build_acme(X509 *cert, u_char *hash);


static ngx_autocert_x509_curve_t  ngx_autocert_x509_curves[] = {

    { NID_X9_62_prime256v1, "prime256v1", 32,
      ngx_string("\x2a\x86\x48\xce\x3d\x03\x01\x07"),
      ngx_string("\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce"
                 "\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04"
                 "\x6d\x30\x6b\x02\x01\x01\x04\x20"),
      ngx_string("\xa1\x44\x03\x42\x00\x04") },

    { NID_secp384r1, "secp384r1", 48,
      ngx_string("\x2b\x81\x04\x00\x22"),
      ngx_string("\x30\x81\xb6\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce"
                 "\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x04\x81\x9e\x30"
                 "\x81\x9b\x02\x01\x01\x04\x30"),
      ngx_string("\xa1\x64\x03\x62\x00\x04") },

    { NID_undef, NULL, 0, ngx_null_string, ngx_null_string, ngx_null_string }
};


static ngx_str_t  ngx_autocert_x509_ec =
    ngx_string("\x2a\x86\x48\xce\x3d\x02\x01");


EVP_PKEY *
ngx_autocert_x509_key_create(int nid)
{
    EVP_PKEY                   *key;
    ngx_autocert_x509_curve_t  *curve;

    for (curve = ngx_autocert_x509_curves; curve->name; curve++) {

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
ngx_autocert_x509_key_write(EVP_PKEY *key, ngx_str_t *pem)
{
    u_char                     *p, *text, der[NGX_AUTOCERT_X509_PKCS8];
    size_t                      i, n, len, size;
    ngx_int_t                   rc;
    ngx_autocert_x509_curve_t  *curve;

    static u_char  head[] = "-----BEGIN PRIVATE KEY-----\n";
    static u_char  tail[] = "-----END PRIVATE KEY-----\n";

    ngx_str_null(pem);

    curve = ngx_autocert_x509_curve(key);
    if (curve == NULL) {
        return NGX_ERROR;
    }

    /*
     * By hand: OpenSSL's encoders leave the key in memory that they free.
     * One more byte for the NUL of EVP_EncodeBlock().
     */

    rc = ngx_autocert_x509_pkcs8(key, curve, der, &len);
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


void
ngx_autocert_x509_secret_free(ngx_str_t *secret)
{
    OPENSSL_clear_free(secret->data, secret->len);
    ngx_str_null(secret);
}


static ngx_int_t
ngx_autocert_x509_pkcs8(EVP_PKEY *key, ngx_autocert_x509_curve_t *curve,
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
ngx_autocert_x509_key_parse(ngx_str_t *pem, char **err)
{
    ngx_str_t   in, label, der;
    EVP_PKEY   *key;

    if (pem->len > NGX_AUTOCERT_X509_SIZE) {
        *err = "private key is too long";
        return NULL;
    }

    in = *pem;

    switch (ngx_autocert_x509_pem(&in, &label, &der, err)) {

    case NGX_OK:
        break;

    case NGX_DONE:
        *err = "private key is empty";
        return NULL;

    default:
        return NULL;
    }

    key = NULL;

    ngx_autocert_x509_blanks(&in);

    if (in.len) {
        *err = "something follows the private key";

    } else if (label.len == 11
               && ngx_strncmp(label.data, "PRIVATE KEY", 11) == 0)
    {
        key = ngx_autocert_x509_pkey(&der, 1, err);

    } else if (label.len == 14
               && ngx_strncmp(label.data, "EC PRIVATE KEY", 14) == 0)
    {
        key = ngx_autocert_x509_pkey(&der, 0, err);

    } else if (label.len == 21
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

    ngx_autocert_x509_secret_free(&der);
    ERR_clear_error();

    return key;
}


/*
 * RFC 5958 and RFC 5915.  By hand: OpenSSL's decoders leave the key in memory
 * that they free.
 */

static EVP_PKEY *
ngx_autocert_x509_pkey(ngx_str_t *der, ngx_uint_t pkcs8, char **err)
{
    ngx_str_t                   in, seq, version, alg, oid, name, octets, skip;
    ngx_autocert_x509_curve_t  *curve;

    if (!pkcs8) {
        return ngx_autocert_x509_sec1(der, NULL, err);
    }

    *err = "private key is malformed";

    in = *der;

    if (ngx_autocert_x509_der(&in, NGX_AUTOCERT_DER_SEQUENCE, &seq) != NGX_OK
        || in.len
        || ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_INTEGER, &version)
           != NGX_OK
        || version.len != 1 || version.data[0] > 1
        || ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_SEQUENCE, &alg)
           != NGX_OK
        || ngx_autocert_x509_der(&alg, NGX_AUTOCERT_DER_OID, &oid) != NGX_OK
        || ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_OCTETS, &octets)
           != NGX_OK)
    {
        return NULL;
    }

    /* attributes and the public key are of no use here, but have to be well */

    (void) ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_TAG0, &skip);

    if (version.data[0] == 1) {
        (void) ngx_autocert_x509_der(&seq, 0x81, &skip);
    }

    if (seq.len) {
        return NULL;
    }

    if (oid.len != ngx_autocert_x509_ec.len
        || ngx_memcmp(oid.data, ngx_autocert_x509_ec.data, oid.len) != 0)
    {
        *err = "private key is not an EC key";
        return NULL;
    }

    if (ngx_autocert_x509_der(&alg, NGX_AUTOCERT_DER_OID, &name) != NGX_OK
        || alg.len)
    {
        *err = "private key is not on a named curve";
        return NULL;
    }

    for (curve = ngx_autocert_x509_curves; curve->name; curve++) {

        if (name.len == curve->oid.len
            && ngx_memcmp(name.data, curve->oid.data, name.len) == 0)
        {
            return ngx_autocert_x509_sec1(&octets, curve, err);
        }
    }

    *err = "private key is not on curve P-256 or P-384";

    return NULL;
}


static EVP_PKEY *
ngx_autocert_x509_sec1(ngx_str_t *der, ngx_autocert_x509_curve_t *curve,
    char **err)
{
    ngx_str_t                   in, seq, version, scalar, tagged, name, point;
    ngx_autocert_x509_curve_t  *named;

    *err = "private key is malformed";

    in = *der;

    if (ngx_autocert_x509_der(&in, NGX_AUTOCERT_DER_SEQUENCE, &seq) != NGX_OK
        || in.len
        || ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_INTEGER, &version)
           != NGX_OK
        || version.len != 1 || version.data[0] != 1
        || ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_OCTETS, &scalar)
           != NGX_OK)
    {
        return NULL;
    }

    if (ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_TAG0, &tagged)
        == NGX_OK)
    {
        if (ngx_autocert_x509_der(&tagged, NGX_AUTOCERT_DER_OID, &name)
            != NGX_OK
            || tagged.len)
        {
            *err = "private key is not on a named curve";
            return NULL;
        }

        for (named = ngx_autocert_x509_curves; named->name; named++) {

            if (name.len == named->oid.len
                && ngx_memcmp(name.data, named->oid.data, name.len) == 0)
            {
                break;
            }
        }

        if (named->name == NULL || (curve && curve != named)) {
            *err = "private key is not on curve P-256 or P-384";
            return NULL;
        }

        curve = named;
    }

    ngx_str_null(&point);

    if (ngx_autocert_x509_der(&seq, NGX_AUTOCERT_DER_TAG1, &tagged)
        == NGX_OK)
    {
        if (ngx_autocert_x509_der(&tagged, NGX_AUTOCERT_DER_BITS, &point)
            != NGX_OK
            || tagged.len || point.len < 2 || point.data[0] != 0)
        {
            return NULL;
        }

        point.data++;
        point.len--;
    }

    if (seq.len) {
        return NULL;
    }

    if (curve == NULL) {
        *err = "private key does not name its curve";
        return NULL;
    }

    return ngx_autocert_x509_scalar(curve, &scalar, &point, err);
}


static EVP_PKEY *
ngx_autocert_x509_scalar(ngx_autocert_x509_curve_t *curve, ngx_str_t *scalar,
    ngx_str_t *point, char **err)
{
    BIGNUM    *d;
    u_char     public[2 * NGX_AUTOCERT_X509_SCALAR + 1];
    size_t     len;
    BN_CTX    *ctx;
    EC_GROUP  *group;
    EC_POINT  *mine, *theirs;
    EVP_PKEY  *key;

    key = NULL;
    mine = NULL;
    theirs = NULL;

    ctx = BN_CTX_secure_new();
    group = EC_GROUP_new_by_curve_name(curve->nid);
    d = BN_new();

    if (ctx == NULL || group == NULL || d == NULL) {
        *err = "out of memory";
        goto done;
    }

    mine = EC_POINT_new(group);
    theirs = EC_POINT_new(group);

    if (mine == NULL || theirs == NULL
        || scalar->len == 0 || scalar->len > curve->size)
    {
        goto done;
    }

    BN_set_flags(d, BN_FLG_CONSTTIME);

    if (BN_bin2bn(scalar->data, scalar->len, d) == NULL
        || BN_is_zero(d)
        || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0
        || EC_POINT_mul(group, mine, d, NULL, NULL, ctx) != 1)
    {
        goto done;
    }

    if (point->len
        && (EC_POINT_oct2point(group, theirs, point->data, point->len, ctx)
            != 1
            || EC_POINT_cmp(group, mine, theirs, ctx) != 0))
    {
        *err = "private key does not match its public key";
        goto done;
    }

    len = EC_POINT_point2oct(group, mine, POINT_CONVERSION_UNCOMPRESSED,
                             public, sizeof(public), ctx);
    if (len) {
        key = ngx_autocert_x509_fromdata(curve, d, public, len);
    }

done:

    EC_POINT_free(theirs);
    EC_POINT_free(mine);
    EC_GROUP_free(group);
    BN_clear_free(d);
    BN_CTX_free(ctx);

    return key;
}


static EVP_PKEY *
ngx_autocert_x509_fromdata(ngx_autocert_x509_curve_t *curve, BIGNUM *d,
    u_char *point, size_t len)
{
    u_char         scalar[NGX_AUTOCERT_X509_SCALAR];
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


/*
 * One element off the front of in, lengths in their shortest form (X.690,
 * 10.1).  NGX_DECLINED, and in as it was, if it is something else.
 */

static ngx_int_t
ngx_autocert_x509_der(ngx_str_t *in, ngx_uint_t tag, ngx_str_t *content)
{
    u_char  *p;
    size_t   n, len;

    if (in->len < 2 || in->data[0] != tag) {
        return NGX_DECLINED;
    }

    p = in->data + 2;
    len = in->data[1];

    if (len >= 0x80) {
        n = len & 0x7f;

        if (n < 1 || n > 2 || in->len - 2 < n) {
            return NGX_DECLINED;
        }

        len = (n == 1) ? p[0] : (size_t) (p[0] << 8 | p[1]);
        p += n;

        if (len < 0x80 || (n == 2 && len < 0x100)) {
            return NGX_DECLINED;
        }
    }

    if ((size_t) (in->data + in->len - p) < len) {
        return NGX_DECLINED;
    }

    content->data = p;
    content->len = len;

    in->len -= p + len - in->data;
    in->data = p + len;

    return NGX_OK;
}


/*
 * One block off the front of in (RFC 7468).  NGX_DONE at the end; der is to
 * be freed as a secret; label points into the text.
 */

static ngx_int_t
ngx_autocert_x509_pem(ngx_str_t *in, ngx_str_t *label, ngx_str_t *der,
    char **err)
{
    u_char     *p, *last;
    ngx_str_t   body;

    ngx_autocert_x509_blanks(in);

    if (in->len == 0) {
        return NGX_DONE;
    }

    *err = "not in PEM";

    last = in->data + in->len;

    if (in->len < 11 || ngx_strncmp(in->data, "-----BEGIN ", 11) != 0) {
        return NGX_ERROR;
    }

    label->data = in->data + 11;

    for (p = label->data; p < last; p++) {
        if (*p != ' ' && (*p < 'A' || *p > 'Z') && (*p < '0' || *p > '9')) {
            break;
        }
    }

    label->len = p - label->data;

    if (label->len == 0
        || last - p < 5 || ngx_strncmp(p, "-----", 5) != 0)
    {
        return NGX_ERROR;
    }

    body.data = p + 5;

    for (p = body.data; p < last; p++) {

        if (*p == ':') {
            *err = "PEM with header fields, as of an encrypted key";
            return NGX_ERROR;
        }

        if (*p == '-' && (last - p < 5 || ngx_strncmp(p, "-----", 5) == 0)) {
            break;
        }
    }

    body.len = p - body.data;

    if ((size_t) (last - p) < 9 + label->len + 5
        || ngx_strncmp(p, "-----END ", 9) != 0
        || ngx_strncmp(p + 9, label->data, label->len) != 0
        || ngx_strncmp(p + 9 + label->len, "-----", 5) != 0)
    {
        *err = "PEM without its end";
        return NGX_ERROR;
    }

    p += 9 + label->len + 5;

    if (p < last && *p != '\n' && *p != '\r' && *p != ' ' && *p != '\t') {
        return NGX_ERROR;
    }

    if (ngx_autocert_x509_base64(&body, der) != NGX_OK) {
        *err = "PEM with damaged base64";
        return NGX_ERROR;
    }

    in->data = p;
    in->len = last - p;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_base64(ngx_str_t *in, ngx_str_t *der)
{
    u_char      c, *p, *dst;
    size_t      i, size;
    uint32_t    bits;
    ngx_uint_t  n, pad;

    size = in->len / 4 * 3 + 3;

    der->data = OPENSSL_malloc(size);
    if (der->data == NULL) {
        return NGX_ERROR;
    }

    dst = der->data;
    bits = 0;
    n = 0;
    pad = 0;

    for (i = 0, p = in->data; i < in->len; i++, p++) {

        c = *p;

        if (c == '\n' || c == '\r' || c == ' ' || c == '\t') {
            continue;
        }

        if (c == '=') {
            pad++;
            n++;
            bits <<= 6;

            if (n % 4 == 1 || n % 4 == 2 || pad > 2) {
                goto failed;
            }

        } else {

            if (c >= 'A' && c <= 'Z') {
                c = c - 'A';

            } else if (c >= 'a' && c <= 'z') {
                c = c - 'a' + 26;

            } else if (c >= '0' && c <= '9') {
                c = c - '0' + 52;

            } else if (c == '+') {
                c = 62;

            } else if (c == '/') {
                c = 63;

            } else {
                goto failed;
            }

            if (pad) {
                goto failed;
            }

            n++;
            bits = bits << 6 | c;
        }

        if (n % 4 == 0) {
            *dst++ = (u_char) (bits >> 16);
            *dst++ = (u_char) (bits >> 8);
            *dst++ = (u_char) bits;
        }
    }

    if (n == 0 || n % 4) {
        goto failed;
    }

    /* the bits that padding stands for, and those left over, are zero */

    for ( /* void */ ; pad; pad--) {
        if (*--dst) {
            goto failed;
        }
    }

    der->len = dst - der->data;

    return NGX_OK;

failed:

    OPENSSL_clear_free(der->data, size);

    return NGX_ERROR;
}


static void
ngx_autocert_x509_blanks(ngx_str_t *in)
{
    while (in->len
           && (*in->data == '\n' || *in->data == '\r'
               || *in->data == ' ' || *in->data == '\t'))
    {
        in->data++;
        in->len--;
    }
}


ngx_int_t
ngx_autocert_x509_key_id(EVP_PKEY *key, u_char id[NGX_AUTOCERT_X509_ID])
{
    int         len;
    u_char     *p;
    ngx_int_t   rc;

    p = NULL;

    len = i2d_PUBKEY(key, &p);
    rc = ngx_autocert_x509_hash(p, len, id);

    OPENSSL_free(p);
    ERR_clear_error();

    return rc;
}


static ngx_int_t
ngx_autocert_x509_hash(u_char *p, int len, u_char id[NGX_AUTOCERT_X509_ID])
{
    if (len <= 0 || p == NULL) {
        return NGX_ERROR;
    }

    if (EVP_Digest(p, len, id, NULL, EVP_sha256(), NULL) != 1) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


int
ngx_autocert_x509_key_curve(EVP_PKEY *key)
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


static ngx_autocert_x509_curve_t *
ngx_autocert_x509_curve(EVP_PKEY *key)
{
    int                         nid;
    ngx_autocert_x509_curve_t  *curve;

    nid = ngx_autocert_x509_key_curve(key);

    for (curve = ngx_autocert_x509_curves; curve->name; curve++) {
        if (curve->nid == nid) {
            return curve;
        }
    }

    return NULL;
}


static const EVP_MD *
ngx_autocert_x509_md(EVP_PKEY *key)
{
    switch (ngx_autocert_x509_key_curve(key)) {

    case NID_X9_62_prime256v1:
        return EVP_sha256();

    case NID_secp384r1:
        return EVP_sha384();

    default:
        return NULL;
    }
}


ngx_int_t
ngx_autocert_x509_csr(ngx_pool_t *pool, EVP_PKEY *key, ngx_str_t *name,
    ngx_str_t *der)
{
    int        len;
    u_char    *p;
    X509_REQ  *req;

    p = NULL;
    len = -1;

    req = X509_REQ_new();

    if (req && ngx_autocert_x509_csr_fill(req, key, name) == NGX_OK) {
        len = i2d_X509_REQ(req, &p);
    }

    X509_REQ_free(req);
    ERR_clear_error();

    if (len <= 0) {
        return NGX_ERROR;
    }

    der->data = ngx_pnalloc(pool, len);

    if (der->data) {
        ngx_memcpy(der->data, p, len);
        der->len = len;
    }

    OPENSSL_free(p);

    return der->data ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_autocert_x509_csr_fill(X509_REQ *req, EVP_PKEY *key, ngx_str_t *name)
{
    ngx_int_t                 rc;
    X509_NAME                *subject;
    const EVP_MD             *md;
    GENERAL_NAMES            *san;
    ASN1_OCTET_STRING        *ip;
    STACK_OF(X509_EXTENSION) *extensions;

    md = ngx_autocert_x509_md(key);
    if (md == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;
    extensions = NULL;

    ip = ngx_autocert_x509_ip(name);
    subject = X509_NAME_new();
    san = ngx_autocert_x509_san(name);

    if (subject == NULL || san == NULL) {
        goto done;
    }

    if (ip == NULL && name->len <= NGX_AUTOCERT_X509_CN
        && X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                      name->data, name->len, -1, 0)
           != 1)
    {
        goto done;
    }

    if (X509V3_add1_i2d(&extensions, NID_subject_alt_name, san, 0,
                        X509V3_ADD_DEFAULT)
           != 1
        || X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1
        || X509_REQ_set_subject_name(req, subject) != 1
        || X509_REQ_set_pubkey(req, key) != 1
        || X509_REQ_add_extensions(req, extensions) != 1
        || X509_REQ_sign(req, key, md) <= 0)
    {
        goto done;
    }

    rc = NGX_OK;

done:

    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(san);
    X509_NAME_free(subject);
    ASN1_OCTET_STRING_free(ip);

    return rc;
}


/* The address that name is, or NULL if it is none. */

static ASN1_OCTET_STRING *
ngx_autocert_x509_ip(ngx_str_t *name)
{
    u_char              address[16];
    char                text[NGX_INET6_ADDRSTRLEN + 1];
    size_t              len;
    ASN1_OCTET_STRING  *ip;

    if (name->len == 0 || name->len >= sizeof(text)) {
        return NULL;
    }

    ngx_memcpy(text, name->data, name->len);
    text[name->len] = '\0';

    if (inet_pton(AF_INET, text, address) == 1) {
        len = 4;

    } else if (inet_pton(AF_INET6, text, address) == 1) {
        len = 16;

    } else {
        return NULL;
    }

    ip = ASN1_OCTET_STRING_new();

    if (ip && ASN1_OCTET_STRING_set(ip, address, len) != 1) {
        ASN1_OCTET_STRING_free(ip);
        return NULL;
    }

    return ip;
}


static GENERAL_NAMES *
ngx_autocert_x509_san(ngx_str_t *name)
{
    int             type;
    ASN1_STRING    *value;
    GENERAL_NAME   *gen;
    GENERAL_NAMES  *san;

    if (name->len == 0 || ngx_strlchr(name->data, name->data + name->len, '\0'))
    {
        return NULL;
    }

    type = GEN_IPADD;
    value = ngx_autocert_x509_ip(name);

    if (value == NULL) {
        type = GEN_DNS;
        value = ASN1_IA5STRING_new();

        if (value && ASN1_STRING_set(value, name->data, name->len) != 1) {
            ASN1_STRING_free(value);
            return NULL;
        }
    }

    san = GENERAL_NAMES_new();
    gen = GENERAL_NAME_new();

    if (value == NULL || san == NULL || gen == NULL) {
        ASN1_STRING_free(value);
        goto failed;
    }

    GENERAL_NAME_set0_value(gen, type, value);

    if (sk_GENERAL_NAME_push(san, gen) <= 0) {
        goto failed;
    }

    return san;

failed:

    GENERAL_NAME_free(gen);
    GENERAL_NAMES_free(san);

    return NULL;
}


ngx_autocert_chain_t *
ngx_autocert_x509_chain_parse(ngx_str_t *pem, char **err)
{
    X509                  *cert, *prev;
    ngx_int_t              rc;
    ngx_str_t              in, label, der;
    const u_char          *p;
    ngx_autocert_chain_t  *chain;

    if (pem->len > NGX_AUTOCERT_X509_SIZE) {
        *err = "certificate chain is too long";
        return NULL;
    }

    *err = "out of memory";

    chain = OPENSSL_zalloc(sizeof(ngx_autocert_chain_t));
    if (chain == NULL) {
        return NULL;
    }

    chain->certs = sk_X509_new_null();
    if (chain->certs == NULL) {
        goto failed;
    }

    in = *pem;
    prev = NULL;

    for ( ;; ) {

        rc = ngx_autocert_x509_pem(&in, &label, &der, err);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc != NGX_OK) {
            goto failed;
        }

        p = der.data;
        cert = NULL;

        if (label.len == 11
            && ngx_strncmp(label.data, "CERTIFICATE", 11) == 0)
        {
            cert = d2i_X509(NULL, &p, der.len);
        }

        if (cert && p != der.data + der.len) {
            X509_free(cert);
            cert = NULL;
        }

        ngx_autocert_x509_secret_free(&der);

        if (cert == NULL) {
            *err = "not a certificate";
            goto failed;
        }

        if (sk_X509_push(chain->certs, cert) <= 0) {
            X509_free(cert);
            *err = "out of memory";
            goto failed;
        }

        if (sk_X509_num(chain->certs) > NGX_AUTOCERT_X509_CHAIN) {
            *err = "too many certificates in chain";
            goto failed;
        }

        if (prev && X509_check_issued(cert, prev) != X509_V_OK) {
            *err = "certificate is not issued by the next one in chain";
            goto failed;
        }

        prev = cert;
    }

    if (prev == NULL) {
        *err = "certificate chain is empty";
        goto failed;
    }

    if (ngx_autocert_x509_chain_leaf(chain) != NGX_OK) {
        *err = "certificate is malformed";
        goto failed;
    }

    ERR_clear_error();

    return chain;

failed:

    ngx_autocert_x509_chain_free(chain);
    ERR_clear_error();

    return NULL;
}


void
ngx_autocert_x509_chain_free(ngx_autocert_chain_t *chain)
{
    if (chain) {
        sk_X509_pop_free(chain->certs, X509_free);
        OPENSSL_free(chain);
    }
}


static ngx_int_t
ngx_autocert_x509_chain_leaf(ngx_autocert_chain_t *chain)
{
    int         len;
    X509       *leaf;
    u_char     *p;
    ngx_int_t   rc;

    leaf = sk_X509_value(chain->certs, 0);

    if (X509_get_extension_flags(leaf) & EXFLAG_INVALID) {
        return NGX_ERROR;
    }

    if (ngx_autocert_x509_time(X509_get0_notBefore(leaf), &chain->not_before)
        != NGX_OK
        || ngx_autocert_x509_time(X509_get0_notAfter(leaf), &chain->not_after)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = NULL;

    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &p);
    rc = ngx_autocert_x509_hash(p, len, chain->id);

    OPENSSL_free(p);

    return rc;
}


static ngx_int_t
ngx_autocert_x509_time(const ASN1_TIME *in, time_t *t)
{
    struct tm  tm;

    if (in == NULL || ASN1_TIME_to_tm(in, &tm) != 1) {
        return NGX_ERROR;
    }

    *t = timegm(&tm);

    return (*t == (time_t) -1) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_autocert_x509_chain_check(ngx_autocert_chain_t *chain, EVP_PKEY *key,
    ngx_str_t *name, time_t now, char **err)
{
    int     i, n;
    u_char  id[NGX_AUTOCERT_X509_ID];

    if (ngx_autocert_x509_key_id(key, id) != NGX_OK
        || ngx_memcmp(id, chain->id, NGX_AUTOCERT_X509_ID) != 0)
    {
        *err = "certificate is for another key";
        return NGX_DECLINED;
    }

    if (chain->not_before - NGX_AUTOCERT_X509_SKEW > now) {
        *err = "certificate is not valid yet";
        return NGX_DECLINED;
    }

    if (chain->not_after < now) {
        *err = "certificate has expired";
        return NGX_DECLINED;
    }

    if (ngx_autocert_x509_leaf_check(sk_X509_value(chain->certs, 0), name,
                                     err)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    n = sk_X509_num(chain->certs);

    for (i = 0; i < n; i++) {
        if (ngx_autocert_x509_signature_check(chain->certs, i, err)
            != NGX_OK)
        {
            ERR_clear_error();
            return NGX_DECLINED;
        }
    }

    ERR_clear_error();

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_leaf_check(X509 *leaf, ngx_str_t *name, char **err)
{
    int                 rc;
    ngx_uint_t          flags;
    ASN1_OCTET_STRING  *ip;

    /* X509_check_host() takes a length of 0 for a C string */

    *err = "certificate is for another name";

    if (name->len == 0) {
        return NGX_DECLINED;
    }

    flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
            |X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

    ip = ngx_autocert_x509_ip(name);

    if (ip) {
        rc = X509_check_ip(leaf, ASN1_STRING_get0_data(ip),
                           ASN1_STRING_length(ip), flags);
        ASN1_OCTET_STRING_free(ip);

    } else {
        rc = X509_check_host(leaf, (char *) name->data, name->len, flags,
                             NULL);
    }

    ERR_clear_error();

    if (rc != 1) {
        return NGX_DECLINED;
    }

    if (X509_check_ca(leaf) != 0) {
        *err = "certificate is that of a CA";
        return NGX_DECLINED;
    }

    /* all bits are set if there is no such extension */

    if (!(X509_get_extended_key_usage(leaf) & (XKU_SSL_SERVER|XKU_ANYEKU))) {
        *err = "certificate is not for servers";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_signature_check(STACK_OF(X509) *certs, int i, char **err)
{
    int    bits;
    X509  *cert, *issuer;

    cert = sk_X509_value(certs, i);

    issuer = (i + 1 < sk_X509_num(certs)) ? sk_X509_value(certs, i + 1)
                                          : NULL;

    /* a root is trusted for what it is, not for its signature */

    if (i > 0 && issuer == NULL && X509_self_signed(cert, 0) == 1) {
        return NGX_OK;
    }

    if (X509_get_signature_info(cert, NULL, NULL, &bits, NULL) != 1
        || bits < NGX_AUTOCERT_X509_BITS)
    {
        *err = "certificate is signed with a weak or unknown algorithm";
        return NGX_DECLINED;
    }

    if (issuer == NULL) {
        return NGX_OK;
    }

    if (X509_check_ca(issuer) == 0) {
        *err = "issuer of certificate is not a CA";
        return NGX_DECLINED;
    }

    if (X509_verify(cert, X509_get0_pubkey(issuer)) != 1) {
        *err = "signature of certificate is wrong";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_autocert_chain_t *
ngx_autocert_x509_self_signed(EVP_PKEY *key, ngx_str_t *name, time_t now,
    ngx_uint_t days)
{
    ngx_autocert_x509_spec_t  spec;

    spec.key = key;
    spec.name = name;
    spec.not_before = now - 3600;
    spec.not_after = now + (time_t) days * 86400;
    spec.hash = NULL;

    return ngx_autocert_x509_build(&spec);
}


ngx_autocert_chain_t *
ngx_autocert_x509_alpn(EVP_PKEY *key, ngx_str_t *name,
    ngx_str_t *key_authorization, time_t now)
{
    u_char                    hash[SHA256_DIGEST_LENGTH];
    ngx_autocert_x509_spec_t  spec;

    if (EVP_Digest(key_authorization->data, key_authorization->len, hash,
                   NULL, EVP_sha256(), NULL)
        != 1)
    {
        ERR_clear_error();
        return NULL;
    }

    spec.key = key;
    spec.name = name;
    spec.not_before = now - 3600;
    spec.not_after = now + 7 * 86400;
    spec.hash = hash;

    return ngx_autocert_x509_build(&spec);
}


static ngx_autocert_chain_t *
ngx_autocert_x509_build(ngx_autocert_x509_spec_t *spec)
{
    X509                  *cert;
    const EVP_MD          *md;
    ngx_autocert_chain_t  *chain;

    md = ngx_autocert_x509_md(spec->key);
    if (md == NULL) {
        return NULL;
    }

    cert = X509_new();
    chain = OPENSSL_zalloc(sizeof(ngx_autocert_chain_t));

    if (cert == NULL || chain == NULL) {
        goto failed;
    }

    if (X509_set_version(cert, X509_VERSION_3) != 1
        || ngx_autocert_x509_build_serial(cert) != NGX_OK
        || ngx_autocert_x509_build_name(cert, spec->name) != NGX_OK
        || ASN1_TIME_set(X509_getm_notBefore(cert), spec->not_before) == NULL
        || ASN1_TIME_set(X509_getm_notAfter(cert), spec->not_after) == NULL
        || X509_set_pubkey(cert, spec->key) != 1
        || ngx_autocert_x509_build_extensions(cert, spec) != NGX_OK
        || X509_sign(cert, spec->key, md) <= 0)
    {
        goto failed;
    }

    chain->certs = sk_X509_new_null();

    if (chain->certs == NULL || sk_X509_push(chain->certs, cert) <= 0) {
        goto failed;
    }

    cert = NULL;

    if (ngx_autocert_x509_chain_leaf(chain) == NGX_OK) {
        return chain;
    }

failed:

    X509_free(cert);
    ngx_autocert_x509_chain_free(chain);
    ERR_clear_error();

    return NULL;
}


static ngx_int_t
ngx_autocert_x509_build_name(X509 *cert, ngx_str_t *name)
{
    u_char      *p;
    size_t       len;
    X509_NAME   *subject;

    static u_char  other[] = "nginx-autocert";

    /* an issuer may not be empty (RFC 5280, 4.1.2.4) */

    p = name->data;
    len = name->len;

    if (len > NGX_AUTOCERT_X509_CN) {
        p = other;
        len = sizeof(other) - 1;
    }

    subject = X509_get_subject_name(cert);

    if (X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, p,
                                   len, -1, 0)
        != 1
        || X509_set_issuer_name(cert, subject) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_build_serial(X509 *cert)
{
    u_char         serial[NGX_AUTOCERT_X509_SERIAL];
    BIGNUM        *n;
    ASN1_INTEGER  *integer;

    if (RAND_bytes(serial, sizeof(serial)) != 1) {
        return NGX_ERROR;
    }

    /* positive, and of the same length each time */

    serial[0] = (serial[0] & 0x3f) | 0x40;

    n = BN_bin2bn(serial, sizeof(serial), NULL);
    if (n == NULL) {
        return NGX_ERROR;
    }

    integer = BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));

    BN_free(n);

    return integer ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_autocert_x509_build_extensions(X509 *cert, ngx_autocert_x509_spec_t *spec)
{
    ngx_int_t           rc;
    GENERAL_NAMES      *san;
    BASIC_CONSTRAINTS  *constraints;

    rc = NGX_ERROR;

    constraints = BASIC_CONSTRAINTS_new();
    san = ngx_autocert_x509_san(spec->name);

    if (constraints && san
        && X509_add1_ext_i2d(cert, NID_basic_constraints, constraints, 1,
                             X509V3_ADD_DEFAULT)
           == 1
        && X509_add1_ext_i2d(cert, NID_subject_alt_name, san, 0,
                             X509V3_ADD_DEFAULT)
           == 1)
    {
        rc = spec->hash ? ngx_autocert_x509_build_acme(cert, spec->hash)
                        : NGX_OK;
    }

    GENERAL_NAMES_free(san);
    BASIC_CONSTRAINTS_free(constraints);

    return rc;
}


static ngx_int_t
ngx_autocert_x509_build_acme(X509 *cert, u_char *hash)
{
    u_char              der[2 + SHA256_DIGEST_LENGTH];
    ngx_int_t           rc;
    ASN1_OBJECT        *oid;
    X509_EXTENSION     *extension;
    ASN1_OCTET_STRING  *value;

    der[0] = NGX_AUTOCERT_DER_OCTETS;
    der[1] = SHA256_DIGEST_LENGTH;
    ngx_memcpy(der + 2, hash, SHA256_DIGEST_LENGTH);

    rc = NGX_ERROR;
    extension = NULL;

    oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    value = ASN1_OCTET_STRING_new();

    if (oid && value
        && ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1)
    {
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
    }

    if (extension && X509_add_ext(cert, extension, -1) == 1) {
        rc = NGX_OK;
    }

    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);

    return rc;
}
