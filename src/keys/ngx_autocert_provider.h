
/* An OpenSSL provider: EC keys whose signatures are asked for elsewhere. */


#ifndef _NGX_AUTOCERT_PROVIDER_H_INCLUDED_
#define _NGX_AUTOCERT_PROVIDER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_x509.h"


/*
 * Asks for the signature of digest by the key of the name with this index
 * and this id; NGX_OK, and *len set from the room to the length.
 */
typedef ngx_int_t (*ngx_autocert_provider_sign_pt)(uint32_t index,
    u_char id[NGX_AUTOCERT_KEY_ID], ngx_str_t *digest, u_char *signature,
    size_t *len);


#pragma GCC visibility push(hidden)

/*
 * Loads the provider into a library context of its own, so that no fetch of
 * other code ever meets it.  Once in a process, never in the master: a
 * builtin provider outlives dlclose().
 */
ngx_int_t ngx_autocert_provider_load(ngx_autocert_provider_sign_pt sign);

/* A key with the public half of leaf.  The caller frees it. */
EVP_PKEY *ngx_autocert_provider_key(X509 *leaf, uint32_t index,
    u_char id[NGX_AUTOCERT_KEY_ID]);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_PROVIDER_H_INCLUDED_ */
