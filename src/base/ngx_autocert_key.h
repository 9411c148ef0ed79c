
/* Private keys on P-256 and P-384, and their text (RFC 5958, 5915). */


#ifndef _NGX_AUTOCERT_KEY_H_INCLUDED_
#define _NGX_AUTOCERT_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_pem.h"

#include <openssl/evp.h>


#define NGX_AUTOCERT_KEY_ID        32
#define NGX_AUTOCERT_KEY_SIGNATURE 144  /* ECDSA-Sig-Value, P-384 and room */


/*
 * Signs a digest with the private key that data leads to: ECDSA-Sig-Value in
 * DER.  *len is the room on entry, its length on return.
 */
typedef ngx_int_t (*ngx_autocert_sign_pt)(void *data, ngx_str_t *digest,
    u_char *signature, size_t *len);


#pragma GCC visibility push(hidden)

/* nid: NID_X9_62_prime256v1 or NID_secp384r1.  The caller frees the key. */
EVP_PKEY *ngx_autocert_key_create(int nid);

/*
 * PKCS#8 in PEM, from a private key on one of these two curves.  The text is
 * malloc'ed and secret: give it to ngx_autocert_pem_free().
 */
ngx_int_t ngx_autocert_key_write(EVP_PKEY *key, ngx_str_t *pem);

/*
 * PKCS#8 or SEC 1, one PEM block, not encrypted, P-256 or P-384; all else is
 * NULL and *err.  Keeps no copy of the text.
 */
EVP_PKEY *ngx_autocert_key_parse(ngx_str_t *pem, char **err);

/* SHA-256 of the SubjectPublicKeyInfo. */
ngx_int_t ngx_autocert_key_id(EVP_PKEY *key,
    u_char id[NGX_AUTOCERT_KEY_ID]);

/*
 * The same of a key's text, by the point that is stated there: that it is the
 * private key's own, ngx_autocert_key_parse() alone knows.  NGX_DECLINED: no
 * such text, or it states none.
 */
ngx_int_t ngx_autocert_key_stated(ngx_str_t *pem,
    u_char id[NGX_AUTOCERT_KEY_ID]);

/* The same of DER; and the curve.  NGX_DECLINED: not of one of these two. */
ngx_int_t ngx_autocert_key_spki(ngx_str_t *spki, int *nid,
    u_char id[NGX_AUTOCERT_KEY_ID]);

/*
 * Is it this point, whose coordinates have size bytes each, in any of the
 * forms of SEC 1, 2.3.3, or the hybrid one of X9.62?  point: not compressed.
 */
ngx_uint_t ngx_autocert_key_is_point(ngx_str_t *stated, u_char *point,
    size_t size);

/* NID of an EC key's curve, or NID_undef. */
int ngx_autocert_key_curve(EVP_PKEY *key);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_KEY_H_INCLUDED_ */
