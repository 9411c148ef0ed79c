
/* Requests and certificates (RFC 5280, 2986, 8737), by libcrypto. */


#ifndef _NGX_AUTOCERT_X509_H_INCLUDED_
#define _NGX_AUTOCERT_X509_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_key.h"

#include <openssl/evp.h>
#include <openssl/x509.h>


#define NGX_AUTOCERT_X509_CHAIN     10      /* certificates in a chain */
#define NGX_AUTOCERT_X509_CERTID    128     /* bytes */
#define NGX_AUTOCERT_X509_NUMBER    20      /* RFC 5280, 4.1.2.2 */


/*
 * A chain, leaf first, and what others ask of its leaf.  One that was taken at
 * a glance has no certs but body: each a string of DER.
 */

typedef struct {
    STACK_OF(X509)  *certs;
    ngx_str_t        body;
    time_t           not_before;
    time_t           not_after;
    u_char           id[NGX_AUTOCERT_KEY_ID];
                                /* SHA-256 of its SubjectPublicKeyInfo */
    int              curve;     /* NID; 0: not of a curve */
    size_t           certid_len;    /* RFC 9773, 4.1; 0: it has none */
    u_char           certid[NGX_AUTOCERT_X509_CERTID];
    size_t           serial_len;    /* 0: longer than it may be */
    u_char           serial[NGX_AUTOCERT_X509_NUMBER];
} ngx_autocert_chain_t;


#pragma GCC visibility push(hidden)

/*
 * PKCS#10 for one DNS name: subjectAltName, and CN if it fits 64 bytes.  Of
 * key the public half is enough; sign(data) signs with the private one.
 */
ngx_int_t ngx_autocert_x509_csr(ngx_pool_t *pool, EVP_PKEY *key,
    ngx_autocert_sign_pt sign, void *data, ngx_str_t *name, ngx_str_t *der);

/* The whole of der, or NULL.  The caller frees the certificate. */
X509 *ngx_autocert_x509_read(ngx_str_t *der);

/*
 * PEM: only certificates, white space between them, nothing behind; each but
 * the last is issued by the next.  NULL and *err otherwise.
 */
ngx_autocert_chain_t *ngx_autocert_x509_chain_parse(ngx_str_t *pem,
    char **err);

/* The same of what was taken at a glance: each certificate a string of DER. */
ngx_autocert_chain_t *ngx_autocert_x509_chain_read(ngx_str_t *body,
    char **err);
void ngx_autocert_x509_chain_free(ngx_autocert_chain_t *chain);

/*
 * Sets the identifier of RFC 9773, 4.1, if it fits: of the leaf's
 * keyIdentifier and the content of its serial number.
 */
void ngx_autocert_x509_certid(ngx_autocert_chain_t *chain, ngx_str_t *aki,
    ngx_str_t *serial);

/* The chain as PEM, in pool. */
ngx_int_t ngx_autocert_x509_chain_print(ngx_pool_t *pool,
    ngx_autocert_chain_t *chain, ngx_str_t *pem);

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
