
#include "ngx_autocert_issuer.h"
#include "../keys/ngx_autocert_signer.h"

#include <openssl/obj_mac.h>


static ngx_int_t ngx_autocert_issuer_read(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_array_t *contacts, EVP_PKEY **key, ngx_str_t *kid,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_issuer_create(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, EVP_PKEY **key, ngx_autocert_fail_t *fail);


static ngx_autocert_issuer_t   ngx_autocert_issuer_account;
static EVP_PKEY               *ngx_autocert_issuer_key;


ngx_autocert_issuer_t *
ngx_autocert_issuer(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    EVP_PKEY               *key;
    ngx_int_t               rc;
    ngx_str_t               kid;
    ngx_array_t             contacts;
    ngx_autocert_signer_t  *signer;
    ngx_autocert_issuer_t  *issuer = &ngx_autocert_issuer_account;

    if (issuer->pool) {
        return issuer;
    }

    rc = ngx_autocert_issuer_read(helper, pool, &contacts, &key, &kid, fail);

    if (rc == NGX_DECLINED) {
        rc = ngx_autocert_issuer_create(helper, pool, &key, fail);
    }

    if (rc != NGX_OK) {
        return NULL;
    }

    issuer->kid.len = kid.len;
    issuer->kid.data = ngx_pstrdup(helper->cycle->pool, &kid);

    signer = ngx_autocert_signer_create(key);

    if (issuer->kid.data == NULL
        || signer == NULL
        || ngx_autocert_jose_public(helper->cycle->pool, key, &issuer->key)
           != NGX_OK)
    {
        ngx_autocert_signer_free(signer);
        EVP_PKEY_free(key);
        (void) ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "the account's key is not one of P-256");
        return NULL;
    }

    ngx_autocert_issuer_key = key;

    issuer->key.sign = ngx_autocert_signer_sign;
    issuer->key.data = signer;
    issuer->directory = helper->acf->ca;
    issuer->contacts = &helper->acf->contacts;
    issuer->pool = helper->cycle->pool;

    return issuer;
}


/* Returns as ngx_autocert_store_account_get(). */

static ngx_int_t
ngx_autocert_issuer_read(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_array_t *contacts, EVP_PKEY **key, ngx_str_t *kid,
    ngx_autocert_fail_t *fail)
{
    *key = NULL;
    ngx_str_null(kid);

    if (ngx_array_init(contacts, pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "no memory");
    }

    return ngx_autocert_store_account_get(&helper->store, pool,
                                          &helper->acf->ca, key, kid,
                                          contacts, fail);
}


static ngx_int_t
ngx_autocert_issuer_create(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    EVP_PKEY **key, ngx_autocert_fail_t *fail)
{
    ngx_str_t  kid;

    ngx_str_null(&kid);

    *key = ngx_autocert_key_create(NID_X9_62_prime256v1);

    if (*key == NULL) {
        return ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "the account's key could not be made");
    }

    if (ngx_autocert_store_account_put(&helper->store, pool,
                                       &helper->acf->ca, *key, &kid,
                                       &helper->acf->contacts, fail)
        != NGX_OK)
    {
        EVP_PKEY_free(*key);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_issuer_save(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    return ngx_autocert_store_account_put(&helper->store, pool,
                                          &helper->acf->ca,
                                          ngx_autocert_issuer_key,
                                          &ngx_autocert_issuer_account.kid,
                                          &helper->acf->contacts, fail);
}


ngx_uint_t
ngx_autocert_issuer_outdated(ngx_autocert_helper_t *helper, ngx_pool_t *pool)
{
    EVP_PKEY             *key;
    ngx_str_t             kid, *told, *wanted;
    ngx_uint_t            i;
    ngx_array_t           contacts;
    ngx_autocert_fail_t   ignored;

    if (ngx_autocert_issuer_read(helper, pool, &contacts, &key, &kid,
                                 &ignored)
        != NGX_OK)
    {
        return 0;
    }

    EVP_PKEY_free(key);

    if (kid.len == 0) {
        return 0;
    }

    if (contacts.nelts != helper->acf->contacts.nelts) {
        return 1;
    }

    told = contacts.elts;
    wanted = helper->acf->contacts.elts;

    for (i = 0; i < contacts.nelts; i++) {

        if (told[i].len != wanted[i].len
            || ngx_memcmp(told[i].data, wanted[i].data, told[i].len) != 0)
        {
            return 1;
        }
    }

    return 0;
}
