
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_signer.h"

#include <openssl/err.h>


ngx_int_t
ngx_autocert_signer_sign(EVP_PKEY *key, ngx_str_t *digest, u_char *signature,
    size_t *len)
{
    ngx_int_t      rc;
    EVP_PKEY_CTX  *ctx;

    ctx = EVP_PKEY_CTX_new(key, NULL);

    if (ctx != NULL
        && EVP_PKEY_sign_init(ctx) == 1
        && EVP_PKEY_sign(ctx, signature, len, digest->data, digest->len) == 1)
    {
        rc = NGX_OK;

    } else {
        ERR_clear_error();
        rc = NGX_ERROR;
    }

    EVP_PKEY_CTX_free(ctx);

    return rc;
}
