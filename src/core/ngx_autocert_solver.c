
#include "ngx_autocert_solver.h"
#include "../base/ngx_autocert_name.h"

#include <openssl/obj_mac.h>


static ngx_int_t ngx_autocert_solver_pair(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_autocert_board_challenge_t *challenge,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_solver_serve(ngx_autocert_helper_t *helper,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_solver_post(ngx_autocert_helper_t *helper,
    ngx_autocert_board_challenge_t *challenge);


static ngx_str_t  ngx_autocert_solver_dir =
    ngx_string(NGX_AUTOCERT_STORE_CHALLENGE);

/* by type */
static ngx_str_t  ngx_autocert_solver_names[] = {
    ngx_null_string,
    ngx_string("http-01"),
    ngx_string("tls-alpn-01")
};


ngx_int_t
ngx_autocert_solver_publish(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_autocert_board_challenge_t *challenge, ngx_autocert_fail_t *fail)
{
    if (challenge->type == NGX_AUTOCERT_CHALLENGE_TLS_ALPN
        && (ngx_autocert_solver_pair(helper, pool, challenge, fail) != NGX_OK
            || ngx_autocert_solver_serve(helper, pool, fail) != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_solver_post(helper, challenge) != NGX_OK) {
        return ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_REFUSED,
                                 "the token of the challenge is too long");
    }

    return NGX_OK;
}


void
ngx_autocert_solver_unpublish(ngx_autocert_helper_t *helper)
{
    (void) ngx_autocert_board_publish(&helper->acf->core->board, 0, NULL);
}


void
ngx_autocert_solver_follow(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_autocert_board_challenge_t *challenge)
{
    ngx_autocert_fail_t  ignored;

    if (challenge->type == NGX_AUTOCERT_CHALLENGE_TLS_ALPN
        && ngx_autocert_solver_serve(helper, pool, &ignored) != NGX_OK)
    {
        return;
    }

    (void) ngx_autocert_solver_post(helper, challenge);
}


/* Any key does: the account is proved by what it signs. */

static ngx_int_t
ngx_autocert_solver_pair(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_autocert_board_challenge_t *challenge, ngx_autocert_fail_t *fail)
{
    EVP_PKEY              *key;
    ngx_int_t              rc;
    ngx_str_t              pem;
    ngx_autocert_chain_t  *chain;

    chain = NULL;
    key = ngx_autocert_key_create(NID_X9_62_prime256v1);

    if (key) {
        chain = ngx_autocert_x509_alpn(key, &challenge->host,
                                       &challenge->value, ngx_time());
    }

    if (chain == NULL
        || ngx_autocert_x509_chain_print(pool, chain, &pem) != NGX_OK)
    {
        rc = ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_INTERNAL,
                               "the certificate of the challenge could not "
                               "be made");

    } else if (ngx_autocert_store_next_put(&helper->store, pool,
                                           &ngx_autocert_solver_dir, key, fail)
               == NGX_OK)
    {
        rc = ngx_autocert_store_commit(&helper->store, pool,
                                       &ngx_autocert_solver_dir, &pem, fail);

    } else {
        rc = NGX_ERROR;
    }

    ngx_autocert_x509_chain_free(chain);
    EVP_PKEY_free(key);

    return rc;
}


/* The pair of the challenge stands behind those of the names. */

static ngx_int_t
ngx_autocert_solver_serve(ngx_autocert_helper_t *helper, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    ngx_autocert_pair_t  pair;

    if (ngx_autocert_store_load(&helper->store, pool,
                                &ngx_autocert_solver_dir, &pair, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_helper_install(helper, helper->acf->names.nelts, &pair)
        != NGX_OK)
    {
        return ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "no memory");
    }

    return NGX_OK;
}


/* Who asks by TLS knows the name alone, and an address by its reverse name. */

static ngx_int_t
ngx_autocert_solver_post(ngx_autocert_helper_t *helper,
    ngx_autocert_board_challenge_t *challenge)
{
    u_char                          buf[NGX_AUTOCERT_NAME_SNI];
    ngx_autocert_board_challenge_t  posted;

    posted = *challenge;

    if (posted.type == NGX_AUTOCERT_CHALLENGE_TLS_ALPN) {
        ngx_autocert_name_sni(&challenge->host, buf, &posted.host);
        ngx_str_null(&posted.token);
        ngx_str_null(&posted.value);
    }

    return ngx_autocert_board_publish(&helper->acf->core->board, 0, &posted);
}


void
ngx_autocert_solver_name(ngx_uint_t type, ngx_str_t *name)
{
    *name = ngx_autocert_solver_names[type];
}


ngx_uint_t
ngx_autocert_solver_type(ngx_str_t *name)
{
    ngx_uint_t  type;

    for (type = 2; type; type--) {
        if (name->len == ngx_autocert_solver_names[type].len
            && ngx_strncmp(name->data, ngx_autocert_solver_names[type].data,
                           name->len)
               == 0)
        {
            break;
        }
    }

    return type;
}
