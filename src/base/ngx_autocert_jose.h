
/* JWK and its thumbprint (RFC 7517, 7638) and flattened JWS (RFC 7515). */


#ifndef _NGX_AUTOCERT_JOSE_H_INCLUDED_
#define _NGX_AUTOCERT_JOSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_key.h"

#include <openssl/evp.h>


/* The public half of a key, and the way to its private half. */

typedef struct {
    ngx_str_t              jwk;
    ngx_str_t              thumbprint;      /* base64url */
    ngx_autocert_sign_pt   sign;
    void                  *data;
    unsigned               p384:1;          /* else P-256 */
} ngx_autocert_jose_key_t;


#pragma GCC visibility push(hidden)

/* Of a key of P-256 or P-384; all but sign and data (public half is enough). */
ngx_int_t ngx_autocert_jose_public(ngx_pool_t *pool, EVP_PKEY *pkey,
    ngx_autocert_jose_key_t *key);

/*
 * The flattened JWS of RFC 8555, 6.2, as JSON text.  kid NULL: the header
 * carries jwk instead.  payload NULL: POST-as-GET.
 */
ngx_int_t ngx_autocert_jose_jws(ngx_pool_t *pool, ngx_autocert_jose_key_t *key,
    ngx_str_t *kid, ngx_str_t *nonce, ngx_str_t *url, ngx_str_t *payload,
    ngx_str_t *jws);

/* token "." thumbprint (RFC 8555, 8.1) */
ngx_int_t ngx_autocert_jose_key_authorization(ngx_pool_t *pool,
    ngx_autocert_jose_key_t *key, ngx_str_t *token, ngx_str_t *out);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_JOSE_H_INCLUDED_ */
