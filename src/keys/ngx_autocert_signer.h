
/*
 * A digest and a key give a signature, by the library that is fastest for
 * the curve: Nettle for P-384 where the build has it, else OpenSSL.
 */


#ifndef _NGX_AUTOCERT_SIGNER_H_INCLUDED_
#define _NGX_AUTOCERT_SIGNER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_key.h"

#include <openssl/evp.h>


typedef struct ngx_autocert_signer_s  ngx_autocert_signer_t;


#pragma GCC visibility push(hidden)

/* Takes a reference of its own to key; NULL if memory runs out. */
ngx_autocert_signer_t *ngx_autocert_signer_create(EVP_PKEY *key);
void ngx_autocert_signer_free(ngx_autocert_signer_t *signer);

/*
 * An ngx_autocert_sign_pt whose data is a signer: ECDSA over digest (cut to
 * the order of the curve by FIPS 186-4); from any thread.
 */
ngx_int_t ngx_autocert_signer_sign(void *data, ngx_str_t *digest,
    u_char *signature, size_t *len);

/* The name of the library that signs with this key. */
char *ngx_autocert_signer_library(ngx_autocert_signer_t *signer);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SIGNER_H_INCLUDED_ */
