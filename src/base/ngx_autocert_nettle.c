
#include "ngx_autocert_nettle.h"

#include <openssl/crypto.h>

#include <pthread.h>


#if (NGX_AUTOCERT_NETTLE)

static void ngx_autocert_nettle_memory(void);
static void *ngx_autocert_nettle_alloc(size_t size);
static void *ngx_autocert_nettle_realloc(void *old, size_t old_size,
    size_t size);
static void ngx_autocert_nettle_cleanse(void *p, size_t size);
static void ngx_autocert_nettle_coordinate(u_char *p, mpz_t n);


ngx_int_t
ngx_autocert_nettle_scalar(struct ecc_scalar *scalar,
    u_char p[NGX_AUTOCERT_NETTLE_SIZE])
{
    int                    good;
    mpz_t                  z;
    static pthread_once_t  once = PTHREAD_ONCE_INIT;

    (void) pthread_once(&once, ngx_autocert_nettle_memory);

    mpz_init(z);
    mpz_import(z, NGX_AUTOCERT_NETTLE_SIZE, 1, 1, 1, 0, p);

    ecc_scalar_init(scalar, nettle_get_secp_384r1());
    good = ecc_scalar_set(scalar, z);

    mpz_clear(z);

    if (!good) {
        ecc_scalar_clear(scalar);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_autocert_nettle_point(struct ecc_scalar *scalar,
    u_char p[NGX_AUTOCERT_NETTLE_POINT])
{
    mpz_t             x, y;
    struct ecc_point  point;

    mpz_init(x);
    mpz_init(y);
    ecc_point_init(&point, nettle_get_secp_384r1());

    ecc_point_mul_g(&point, scalar);
    ecc_point_get(&point, x, y);

    *p++ = 0x04;

    ngx_autocert_nettle_coordinate(p, x);
    ngx_autocert_nettle_coordinate(p + NGX_AUTOCERT_NETTLE_SIZE, y);

    ecc_point_clear(&point);
    mpz_clear(y);
    mpz_clear(x);
}


static void
ngx_autocert_nettle_coordinate(u_char *p, mpz_t n)
{
    size_t  len;

    len = (mpz_sizeinbase(n, 2) + 7) / 8;

    ngx_memzero(p, NGX_AUTOCERT_NETTLE_SIZE);
    mpz_export(p + NGX_AUTOCERT_NETTLE_SIZE - len, NULL, 1, 1, 1, 0, n);
}


/* Nonces pass through GMP's memory: none of it is given back as it was. */

static void
ngx_autocert_nettle_memory(void)
{
    mp_set_memory_functions(ngx_autocert_nettle_alloc,
                            ngx_autocert_nettle_realloc,
                            ngx_autocert_nettle_cleanse);
}


static void *
ngx_autocert_nettle_alloc(size_t size)
{
    void  *p;

    p = malloc(size);

    /* GMP does not look */

    if (p == NULL) {
        abort();
    }

    return p;
}


static void *
ngx_autocert_nettle_realloc(void *old, size_t old_size, size_t size)
{
    void  *p;

    p = ngx_autocert_nettle_alloc(size);

    ngx_memcpy(p, old, ngx_min(old_size, size));
    ngx_autocert_nettle_cleanse(old, old_size);

    return p;
}


static void
ngx_autocert_nettle_cleanse(void *p, size_t size)
{
    OPENSSL_cleanse(p, size);
    free(p);
}

#endif
