
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "../base/ngx_autocert_base64.h"
#include "../base/ngx_autocert_jose.h"
#include "../base/ngx_autocert_json.h"
#include "../base/ngx_autocert_x509.h"


#define NGX_AUTOCERT_JOSE_P256  32      /* bytes of a coordinate */
#define NGX_AUTOCERT_JOSE_P384  48


static size_t ngx_autocert_jose_size(EVP_PKEY *pkey);
static ngx_int_t ngx_autocert_jose_coordinate(EVP_PKEY *pkey,
    const char *param, size_t size, u_char *text, ngx_str_t *value);
static ngx_int_t ngx_autocert_jose_sign(ngx_autocert_jose_key_t *key,
    ngx_str_t *message, u_char *signature);
static ngx_int_t ngx_autocert_jose_raw(const u_char *der, size_t len,
    size_t size, u_char *signature);
static ngx_int_t ngx_autocert_jose_header(ngx_pool_t *pool,
    ngx_autocert_jose_key_t *key, ngx_str_t *kid, ngx_str_t *nonce,
    ngx_str_t *url, ngx_str_t *header);


ngx_int_t
ngx_autocert_jose_public(ngx_pool_t *pool, EVP_PKEY *pkey,
    ngx_autocert_jose_key_t *key)
{
    u_char                      *p;
    size_t                       size;
    ngx_str_t                    crv, kty, x, y, jwk;
    ngx_autocert_json_writer_t   w;
    u_char                       text[2][NGX_AUTOCERT_JOSE_P384 * 2], md[32];

    size = ngx_autocert_jose_size(pkey);

    if (size == 0
        || ngx_autocert_jose_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, size,
                                        text[0], &x)
           != NGX_OK
        || ngx_autocert_jose_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, size,
                                        text[1], &y)
           != NGX_OK)
    {
        ERR_clear_error();
        return NGX_ERROR;
    }

    ngx_str_set(&crv, "P-256");
    ngx_str_set(&kty, "EC");

    if (size == NGX_AUTOCERT_JOSE_P384) {
        ngx_str_set(&crv, "P-384");
    }

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    /* RFC 7638, 3: just these members, in this order, no white space */

    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_string(&w, "crv", &crv);
    ngx_autocert_json_put_string(&w, "kty", &kty);
    ngx_autocert_json_put_string(&w, "x", &x);
    ngx_autocert_json_put_string(&w, "y", &y);
    ngx_autocert_json_close(&w, '}');

    if (ngx_autocert_json_done(&w, &jwk) != NGX_OK) {
        return NGX_ERROR;
    }

    if (EVP_Digest(jwk.data, jwk.len, md, NULL, EVP_sha256(), NULL) != 1) {
        ERR_clear_error();
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, ngx_autocert_base64_length(sizeof(md)));
    if (p == NULL) {
        return NGX_ERROR;
    }

    key->p384 = (size == NGX_AUTOCERT_JOSE_P384);
    key->jwk = jwk;
    key->thumbprint.data = p;
    key->thumbprint.len = ngx_autocert_base64_encode(p, md, sizeof(md)) - p;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_jose_jws(ngx_pool_t *pool, ngx_autocert_jose_key_t *key,
    ngx_str_t *kid, ngx_str_t *nonce, ngx_str_t *url, ngx_str_t *payload,
    ngx_str_t *jws)
{
    u_char                      *p;
    size_t                       len, size;
    ngx_str_t                    header, input, part, body;
    ngx_autocert_json_writer_t   w;
    u_char                       signature[2 * NGX_AUTOCERT_JOSE_P384];
    u_char                       text[2 * sizeof(signature)];

    if (ngx_autocert_jose_header(pool, key, kid, nonce, url, &header)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    len = ngx_autocert_base64_length(header.len) + 1;

    if (payload) {
        len += ngx_autocert_base64_length(payload->len);
    }

    input.data = ngx_pnalloc(pool, len);
    if (input.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_autocert_base64_encode(input.data, header.data, header.len);

    part.data = input.data;
    part.len = p - part.data;

    *p++ = '.';

    body.data = p;

    if (payload) {
        p = ngx_autocert_base64_encode(p, payload->data, payload->len);
    }

    body.len = p - body.data;
    input.len = p - input.data;

    if (ngx_autocert_jose_sign(key, &input, signature) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_string(&w, "protected", &part);
    ngx_autocert_json_put_string(&w, "payload", &body);

    size = key->p384 ? NGX_AUTOCERT_JOSE_P384 : NGX_AUTOCERT_JOSE_P256;

    part.data = text;
    part.len = ngx_autocert_base64_encode(text, signature, 2 * size) - text;

    ngx_autocert_json_put_string(&w, "signature", &part);
    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, jws);
}


ngx_int_t
ngx_autocert_jose_key_authorization(ngx_pool_t *pool,
    ngx_autocert_jose_key_t *key, ngx_str_t *token, ngx_str_t *out)
{
    u_char  *p, *start;

    start = ngx_pnalloc(pool, token->len + 1 + key->thumbprint.len);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(start, token->data, token->len);
    *p++ = '.';
    p = ngx_cpymem(p, key->thumbprint.data, key->thumbprint.len);

    out->data = start;
    out->len = p - start;

    return NGX_OK;
}


static size_t
ngx_autocert_jose_size(EVP_PKEY *pkey)
{
    switch (ngx_autocert_key_curve(pkey)) {

    case NID_X9_62_prime256v1:
        return NGX_AUTOCERT_JOSE_P256;

    case NID_secp384r1:
        return NGX_AUTOCERT_JOSE_P384;
    }

    return 0;
}


static ngx_int_t
ngx_autocert_jose_coordinate(EVP_PKEY *pkey, const char *param, size_t size,
    u_char *text, ngx_str_t *value)
{
    int      n;
    BIGNUM  *bn;
    u_char   buf[NGX_AUTOCERT_JOSE_P384];

    bn = NULL;

    if (EVP_PKEY_get_bn_param(pkey, param, &bn) != 1) {
        return NGX_ERROR;
    }

    /* RFC 7518, 6.2.1.2: leading zeros stay */

    n = BN_bn2binpad(bn, buf, (int) size);
    BN_free(bn);

    if (n != (int) size) {
        return NGX_ERROR;
    }

    value->data = text;
    value->len = ngx_autocert_base64_encode(text, buf, size) - text;

    return NGX_OK;
}


/* ES256 or ES384: r and s, as long as a coordinate (RFC 7518, 3.4). */

static ngx_int_t
ngx_autocert_jose_sign(ngx_autocert_jose_key_t *key, ngx_str_t *message,
    u_char *signature)
{
    size_t         len, size;
    u_char         md[EVP_MAX_MD_SIZE], der[NGX_AUTOCERT_KEY_SIGNATURE];
    ngx_str_t      digest;
    const EVP_MD  *type;

    type = key->p384 ? EVP_sha384() : EVP_sha256();
    size = key->p384 ? NGX_AUTOCERT_JOSE_P384 : NGX_AUTOCERT_JOSE_P256;
    digest.data = md;
    digest.len = EVP_MD_get_size(type);
    len = sizeof(der);

    if (EVP_Digest(message->data, message->len, md, NULL, type, NULL) != 1
        || key->sign(key->data, &digest, der, &len) != NGX_OK
        || ngx_autocert_jose_raw(der, len, size, signature) != NGX_OK)
    {
        ERR_clear_error();
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_jose_raw(const u_char *der, size_t len, size_t size,
    u_char *signature)
{
    int            n;
    ngx_int_t      rc;
    ECDSA_SIG     *sig;
    const BIGNUM  *r, *s;

    sig = d2i_ECDSA_SIG(NULL, &der, (long) len);
    if (sig == NULL) {
        return NGX_ERROR;
    }

    ECDSA_SIG_get0(sig, &r, &s);

    rc = NGX_OK;
    n = (int) size;

    if (BN_bn2binpad(r, signature, n) != n
        || BN_bn2binpad(s, signature + size, n) != n)
    {
        rc = NGX_ERROR;
    }

    ECDSA_SIG_free(sig);

    return rc;
}


static ngx_int_t
ngx_autocert_jose_header(ngx_pool_t *pool, ngx_autocert_jose_key_t *key,
    ngx_str_t *kid, ngx_str_t *nonce, ngx_str_t *url, ngx_str_t *header)
{
    ngx_str_t                   alg;
    ngx_autocert_json_writer_t  w;

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&alg, "ES256");

    if (key->p384) {
        ngx_str_set(&alg, "ES384");
    }

    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_string(&w, "alg", &alg);

    if (kid) {
        ngx_autocert_json_put_string(&w, "kid", kid);

    } else {
        ngx_autocert_json_put_text(&w, "jwk", &key->jwk);
    }

    ngx_autocert_json_put_string(&w, "nonce", nonce);
    ngx_autocert_json_put_string(&w, "url", url);
    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, header);
}
