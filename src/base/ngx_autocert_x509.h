
/* Keys, requests and certificates (RFC 5280, 2986, 8737), by libcrypto. */


#ifndef _NGX_AUTOCERT_X509_H_INCLUDED_
#define _NGX_AUTOCERT_X509_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>
#include <openssl/x509.h>


#define NGX_AUTOCERT_X509_CHAIN     10      /* certificates in a chain */
#define NGX_AUTOCERT_X509_SIZE      65536   /* bytes of PEM */
#define NGX_AUTOCERT_X509_ID        32


/* A chain, leaf first, and what others ask of its leaf. */

typedef struct {
    STACK_OF(X509)  *certs;
    time_t           not_before;
    time_t           not_after;
    u_char           id[NGX_AUTOCERT_X509_ID];
                                /* SHA-256 of its SubjectPublicKeyInfo */
} ngx_autocert_chain_t;


#pragma GCC visibility push(hidden)

/* nid: NID_X9_62_prime256v1 or NID_secp384r1.  The caller frees the key. */
EVP_PKEY *ngx_autocert_x509_key_create(int nid);

/*
 * PKCS#8 in PEM, from a private key on one of these two curves.  The text is
 * malloc'ed and secret: give it to ngx_autocert_x509_secret_free().
 */
ngx_int_t ngx_autocert_x509_key_write(EVP_PKEY *key, ngx_str_t *pem);
void ngx_autocert_x509_secret_free(ngx_str_t *secret);

/*
 * PKCS#8 or SEC 1, one PEM block, not encrypted, P-256 or P-384; all else is
 * NULL and *err.  Keeps no copy of the text.
 */
EVP_PKEY *ngx_autocert_x509_key_parse(ngx_str_t *pem, char **err);

/* SHA-256 of the SubjectPublicKeyInfo. */
ngx_int_t ngx_autocert_x509_key_id(EVP_PKEY *key,
    u_char id[NGX_AUTOCERT_X509_ID]);

/* NID of an EC key's curve, or NID_undef. */
int ngx_autocert_x509_key_curve(EVP_PKEY *key);

/* PKCS#10 for one DNS name: subjectAltName, and CN if it fits 64 bytes. */
ngx_int_t ngx_autocert_x509_csr(ngx_pool_t *pool, EVP_PKEY *key,
    ngx_str_t *name, ngx_str_t *der);

/*
 * PEM: only certificates, white space between them, nothing behind; each but
 * the last is issued by the next.  NULL and *err otherwise.
 */
ngx_autocert_chain_t *ngx_autocert_x509_chain_parse(ngx_str_t *pem,
    char **err);
void ngx_autocert_x509_chain_free(ngx_autocert_chain_t *chain);

/*
 * Is this a chain that may be installed for name?  Key of the leaf, name
 * (subjectAltName, wildcards as in RFC 6125), validity at now, signature of
 * the issuer where it is there, no weak digest.  NGX_OK, or NGX_DECLINED and
 * *err.
 */
ngx_int_t ngx_autocert_x509_chain_check(ngx_autocert_chain_t *chain,
    EVP_PKEY *key, ngx_str_t *name, time_t now, char **err);

/* A self-signed chain of one, from an hour before now, for days. */
ngx_autocert_chain_t *ngx_autocert_x509_self_signed(EVP_PKEY *key,
    ngx_str_t *name, time_t now, ngx_uint_t days);

/*
 * The challenge certificate of RFC 8737, 3: self-signed, subjectAltName name,
 * critical acmeIdentifier with SHA-256 of the key authorization.
 */
ngx_autocert_chain_t *ngx_autocert_x509_alpn(EVP_PKEY *key, ngx_str_t *name,
    ngx_str_t *key_authorization, time_t now);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_X509_H_INCLUDED_ */
