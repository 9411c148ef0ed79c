
/* A digest and a key give a signature. */


#ifndef _NGX_AUTOCERT_SIGNER_H_INCLUDED_
#define _NGX_AUTOCERT_SIGNER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>


#define NGX_AUTOCERT_SIGNER_SIZE  144   /* ECDSA-Sig-Value, P-384 and room */


#pragma GCC visibility push(hidden)

/*
 * ECDSA over digest (cut to the order of the curve by FIPS 186-4).  *len is
 * the room on entry, the length of the DER on return.
 */
ngx_int_t ngx_autocert_signer_sign(EVP_PKEY *key, ngx_str_t *digest,
    u_char *signature, size_t *len);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SIGNER_H_INCLUDED_ */
