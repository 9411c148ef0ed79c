
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_signer.h"
#include "../base/ngx_autocert_nettle.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include <pthread.h>

#if (NGX_AUTOCERT_NETTLE)
#include <nettle/dsa.h>
#include <nettle/ecdsa.h>
#include <sys/random.h>
#endif


/* Contexts that wait for their next use; a context is no thread's own. */
#define NGX_AUTOCERT_SIGNER_CONTEXTS  4


struct ngx_autocert_signer_s {
    EVP_PKEY            *key;
    EVP_PKEY_CTX        *contexts[NGX_AUTOCERT_SIGNER_CONTEXTS];

#if (NGX_AUTOCERT_NETTLE)
    struct ecc_scalar    scalar;
    unsigned             nettle:1;
#endif
};


static ngx_int_t ngx_autocert_signer_openssl(ngx_autocert_signer_t *signer,
    ngx_str_t *digest, u_char *signature, size_t *len);

#if (NGX_AUTOCERT_NETTLE)

/* Two integers of up to 48 bytes, with room for the sign. */
#define NGX_AUTOCERT_SIGNER_INTEGER   49

static ngx_int_t ngx_autocert_signer_scalar(ngx_autocert_signer_t *signer);
static ngx_int_t ngx_autocert_signer_nettle(ngx_autocert_signer_t *signer,
    ngx_str_t *digest, u_char *signature, size_t *len);
static void ngx_autocert_signer_random(void *data, size_t len, uint8_t *dst);
static u_char *ngx_autocert_signer_integer(u_char *p, mpz_t n);

#endif


ngx_autocert_signer_t *
ngx_autocert_signer_create(EVP_PKEY *key)
{
    ngx_autocert_signer_t  *signer;

    signer = OPENSSL_zalloc(sizeof(ngx_autocert_signer_t));
    if (signer == NULL) {
        return NULL;
    }

    if (EVP_PKEY_up_ref(key) != 1) {
        OPENSSL_free(signer);
        return NULL;
    }

    signer->key = key;

#if (NGX_AUTOCERT_NETTLE)

    if (ngx_autocert_key_curve(key) == NID_secp384r1
        && ngx_autocert_signer_scalar(signer) != NGX_OK)
    {
        ngx_autocert_signer_free(signer);
        return NULL;
    }

#endif

    return signer;
}


void
ngx_autocert_signer_free(ngx_autocert_signer_t *signer)
{
    ngx_uint_t  i;

    if (signer == NULL) {
        return;
    }

    for (i = 0; i < NGX_AUTOCERT_SIGNER_CONTEXTS; i++) {
        EVP_PKEY_CTX_free(signer->contexts[i]);
    }

#if (NGX_AUTOCERT_NETTLE)
    if (signer->nettle) {
        ecc_scalar_clear(&signer->scalar);
    }
#endif

    EVP_PKEY_free(signer->key);
    OPENSSL_free(signer);
}


ngx_int_t
ngx_autocert_signer_sign(void *data, ngx_str_t *digest, u_char *signature,
    size_t *len)
{
    ngx_autocert_signer_t *signer = data;

#if (NGX_AUTOCERT_NETTLE)
    if (signer->nettle) {
        return ngx_autocert_signer_nettle(signer, digest, signature, len);
    }
#endif

    return ngx_autocert_signer_openssl(signer, digest, signature, len);
}


char *
ngx_autocert_signer_library(ngx_autocert_signer_t *signer)
{
#if (NGX_AUTOCERT_NETTLE)
    if (signer->nettle) {
        return "Nettle";
    }
#endif

    (void) signer;

    return "OpenSSL";
}


static ngx_int_t
ngx_autocert_signer_openssl(ngx_autocert_signer_t *signer, ngx_str_t *digest,
    u_char *signature, size_t *len)
{
    EVP_PKEY_CTX  *ctx, **place;

    place = &signer->contexts[((uintptr_t) pthread_self() >> 12)
                              % NGX_AUTOCERT_SIGNER_CONTEXTS];

    ctx = __atomic_exchange_n(place, NULL, __ATOMIC_ACQ_REL);

    if (ctx == NULL) {
        ctx = EVP_PKEY_CTX_new(signer->key, NULL);

        if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1) {
            goto failed;
        }
    }

    if (EVP_PKEY_sign(ctx, signature, len, digest->data, digest->len) != 1) {
        goto failed;
    }

    /* another thread may have put its own there meanwhile */

    ctx = __atomic_exchange_n(place, ctx, __ATOMIC_ACQ_REL);
    EVP_PKEY_CTX_free(ctx);

    return NGX_OK;

failed:

    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();

    return NGX_ERROR;
}


#if (NGX_AUTOCERT_NETTLE)

static ngx_int_t
ngx_autocert_signer_scalar(ngx_autocert_signer_t *signer)
{
    int      n;
    u_char   scalar[NGX_AUTOCERT_NETTLE_SIZE];
    BIGNUM  *bn;

    bn = NULL;

    if (EVP_PKEY_get_bn_param(signer->key, OSSL_PKEY_PARAM_PRIV_KEY, &bn)
        != 1)
    {
        ERR_clear_error();
        return NGX_ERROR;
    }

    n = BN_bn2binpad(bn, scalar, sizeof(scalar));
    BN_clear_free(bn);

    signer->nettle = (n == sizeof(scalar)
                      && ngx_autocert_nettle_scalar(&signer->scalar, scalar)
                         == NGX_OK);

    OPENSSL_cleanse(scalar, sizeof(scalar));

    return signer->nettle ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_autocert_signer_nettle(ngx_autocert_signer_t *signer, ngx_str_t *digest,
    u_char *signature, size_t *len)
{
    u_char                *p, body[2 * (2 + NGX_AUTOCERT_SIGNER_INTEGER)];
    struct dsa_signature   rs;

    dsa_signature_init(&rs);

    ecdsa_sign(&signer->scalar, NULL, ngx_autocert_signer_random,
               digest->len, digest->data, &rs);

    p = ngx_autocert_signer_integer(body, rs.r);
    p = ngx_autocert_signer_integer(p, rs.s);

    dsa_signature_clear(&rs);

    /* SEQUENCE, of less than 128 bytes with this curve (X.690, 8.1.3.4) */

    if (*len < (size_t) (p - body) + 2) {
        return NGX_ERROR;
    }

    *len = p - body + 2;

    signature[0] = 0x30;
    signature[1] = (u_char) (p - body);
    ngx_memcpy(&signature[2], body, p - body);

    return NGX_OK;
}


/* Without randomness a signature would give the key away. */

static void
ngx_autocert_signer_random(void *data, size_t len, uint8_t *dst)
{
    ssize_t  n;

    (void) data;

    while (len) {
        n = getrandom(dst, len, 0);

        if (n == -1) {

            if (errno == EINTR) {
                continue;
            }

            abort();
        }

        dst += n;
        len -= n;
    }
}


/* INTEGER, positive: a leading bit that is set needs a zero before it. */

static u_char *
ngx_autocert_signer_integer(u_char *p, mpz_t n)
{
    size_t  len;

    len = mpz_sizeinbase(n, 2) / 8 + 1;

    p[0] = 0x02;
    p[1] = (u_char) len;

    ngx_memzero(p + 2, len);
    mpz_export(p + 2 + len - (mpz_sizeinbase(n, 2) + 7) / 8, NULL, 1, 1, 1, 0,
               n);

    return p + 2 + len;
}

#endif
