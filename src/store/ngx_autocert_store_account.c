
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/obj_mac.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_json.h"
#include "../base/ngx_autocert_x509.h"
#include "ngx_autocert_store.h"
#include "ngx_autocert_store_account.h"
#include "ngx_autocert_store_ca.h"
#include "ngx_autocert_store_file.h"
#include "ngx_autocert_store_json.h"


#define NGX_AUTOCERT_ACCOUNT_KEY   "account.key"
#define NGX_AUTOCERT_ACCOUNT_FILE  "account.json"


static ngx_int_t ngx_autocert_account_members(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_autocert_store_account_t *account,
    char **err);
static ngx_uint_t ngx_autocert_account_is_contact(ngx_str_t *contact);
static ngx_int_t ngx_autocert_account_key(ngx_autocert_store_dir_t *dir,
    EVP_PKEY **key);
static ngx_int_t ngx_autocert_account_read(ngx_autocert_store_dir_t *dir,
    ngx_str_t *ca, ngx_autocert_store_account_t *account);
static ngx_int_t ngx_autocert_account_key_put(ngx_autocert_store_dir_t *dir,
    EVP_PKEY *key);


static const ngx_autocert_store_member_t  ngx_autocert_account_table[] = {
    ngx_autocert_store_member(ngx_autocert_store_account_t, ca, URL),
    ngx_autocert_store_member(ngx_autocert_store_account_t, url, URL),
    ngx_autocert_store_last_member
};


ngx_int_t
ngx_autocert_store_account_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_store_account_t *account, char **err)
{
    ngx_autocert_json_t  *json;

    ngx_memzero(account, sizeof(ngx_autocert_store_account_t));

    json = ngx_autocert_store_json_parse(pool, text, err);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (ngx_autocert_account_members(pool, json, account, err) != NGX_OK) {
        ngx_memzero(account, sizeof(ngx_autocert_store_account_t));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_account_members(ngx_pool_t *pool, ngx_autocert_json_t *json,
    ngx_autocert_store_account_t *account, char **err)
{
    ngx_str_t            *contact;
    ngx_autocert_json_t  *node;

    if (ngx_autocert_store_json_get(pool, json, ngx_autocert_account_table,
                                    account, err)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (account->ca.len == 0) {
        *err = "\"ca\" is missing";
        return NGX_ERROR;
    }

    *err = "\"contacts\" are no contacts";

    if (ngx_array_init(&account->contacts, pool, 1, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_store_json_array(json, "contacts", &node) != NGX_OK) {
        return NGX_ERROR;
    }

    for (node = node ? node->child : NULL; node; node = node->next) {

        if (node->type != NGX_AUTOCERT_JSON_STRING
            || !ngx_autocert_account_is_contact(&node->value)
            || account->contacts.nelts == NGX_AUTOCERT_STORE_CONTACTS)
        {
            return NGX_ERROR;
        }

        contact = ngx_array_push(&account->contacts);

        if (contact == NULL
            || ngx_autocert_store_json_copy(pool, &node->value, contact)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_account_is_contact(ngx_str_t *contact)
{
    size_t  i;

    for (i = 0; i < contact->len; i++) {
        if (contact->data[i] <= 0x20 || contact->data[i] >= 0x7f) {
            return 0;
        }
    }

    return contact->len > 0 && contact->len <= NGX_AUTOCERT_STORE_TEXT_MAX;
}


ngx_int_t
ngx_autocert_store_account_print(ngx_pool_t *pool,
    ngx_autocert_store_account_t *account, ngx_str_t *text)
{
    ngx_int_t                    rc;
    ngx_str_t                   *contact;
    ngx_uint_t                   i;
    ngx_autocert_json_writer_t   w;

    if (account->ca.len == 0
        || account->contacts.nelts > NGX_AUTOCERT_STORE_CONTACTS)
    {
        return NGX_DECLINED;
    }

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');

    rc = ngx_autocert_store_json_put(&w, ngx_autocert_account_table, account);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_autocert_json_open(&w, "contacts", '[');

    contact = account->contacts.elts;

    for (i = 0; i < account->contacts.nelts; i++) {

        if (!ngx_autocert_account_is_contact(&contact[i])) {
            return NGX_DECLINED;
        }

        ngx_autocert_json_put_string(&w, NULL, &contact[i]);
    }

    ngx_autocert_json_close(&w, ']');
    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, text);
}


static ngx_int_t
ngx_autocert_account_key(ngx_autocert_store_dir_t *dir, EVP_PKEY **key)
{
    ngx_int_t  rc;

    rc = ngx_autocert_store_file_key(dir, NGX_AUTOCERT_ACCOUNT_KEY, key,
                                     NULL);
    if (rc != NGX_OK) {
        return rc;
    }

    /* ES256 is what requests are signed by */

    if (ngx_autocert_key_curve(*key) == NID_X9_62_prime256v1) {
        return NGX_OK;
    }

    EVP_PKEY_free(*key);
    *key = NULL;

    return ngx_autocert_store_file_refuse(dir, NGX_AUTOCERT_ACCOUNT_KEY,
                "is not a P-256 key; put the account's key back, or remove "
                "the directory for a new account", NULL);
}


static ngx_int_t
ngx_autocert_account_read(ngx_autocert_store_dir_t *dir, ngx_str_t *ca,
    ngx_autocert_store_account_t *account)
{
    char       *err;
    ngx_int_t   rc;
    ngx_str_t   text;

    ngx_memzero(account, sizeof(ngx_autocert_store_account_t));

    rc = ngx_autocert_store_file_read(dir, NGX_AUTOCERT_ACCOUNT_FILE,
                                      NGX_AUTOCERT_STORE_SECRET, &text, NULL);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_account_parse(dir->pool, &text, account, &err);

    ngx_autocert_store_file_free(&text);

    if (rc == NGX_OK
        && (account->ca.len != ca->len
            || ngx_memcmp(account->ca.data, ca->data, ca->len) != 0))
    {
        rc = NGX_ERROR;
        err = "it is of another CA";
    }

    if (rc != NGX_OK) {
        (void) ngx_autocert_store_file_damaged(dir, NGX_AUTOCERT_ACCOUNT_FILE,
                    "is damaged; remove it, the account is found again by "
                    "its key: ", err);
    }

    return rc;
}


ngx_int_t
ngx_autocert_store_account_get(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *ca, EVP_PKEY **key, ngx_str_t *url, ngx_array_t *contacts,
    ngx_autocert_fail_t *fail)
{
    ngx_int_t                      rc;
    ngx_str_t                     *contact, *c;
    ngx_uint_t                     i;
    ngx_autocert_store_dir_t       dir;
    ngx_autocert_store_account_t   account;

    *key = NULL;
    ngx_str_null(url);

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_ca_dir(store, ca, &dir, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_account_key(&dir, key);
    if (rc != NGX_OK) {
        goto done;
    }

    rc = ngx_autocert_account_read(&dir, ca, &account);

    if (rc == NGX_DECLINED) {
        rc = NGX_OK;
    }

    if (rc != NGX_OK) {
        goto failed;
    }

    contact = account.contacts.elts;

    for (i = 0; i < account.contacts.nelts; i++) {

        c = ngx_array_push(contacts);
        if (c == NULL) {
            contacts->nelts -= i;
            rc = ngx_autocert_store_file_failed(&dir,
                                   NGX_AUTOCERT_ACCOUNT_FILE, "read", ENOMEM);
            goto failed;
        }

        *c = contact[i];
    }

    *url = account.url;

    goto done;

failed:

    EVP_PKEY_free(*key);
    *key = NULL;

done:

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_account_put(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *ca, EVP_PKEY *key, ngx_str_t *url, ngx_array_t *contacts,
    ngx_autocert_fail_t *fail)
{
    ngx_int_t                      rc;
    ngx_str_t                      text;
    ngx_autocert_store_dir_t       dir;
    ngx_autocert_store_account_t   account;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_ca_dir(store, ca, &dir, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    if (store->lock != -1) {
        ngx_autocert_store_dir_sweep(&dir);
    }

    rc = ngx_autocert_account_key_put(&dir, key);
    if (rc != NGX_OK) {
        goto done;
    }

    account.ca = *ca;
    account.url = *url;
    account.contacts = *contacts;

    rc = ngx_autocert_store_account_print(pool, &account, &text);
    rc = ngx_autocert_store_json_write(&dir, NGX_AUTOCERT_ACCOUNT_FILE, rc,
                                       &text);

done:

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


/* A key that is there is the account: it is never replaced. */

static ngx_int_t
ngx_autocert_account_key_put(ngx_autocert_store_dir_t *dir, EVP_PKEY *key)
{
    u_char      id[NGX_AUTOCERT_KEY_ID], old[NGX_AUTOCERT_KEY_ID];
    EVP_PKEY   *present;
    ngx_int_t   rc;

    rc = ngx_autocert_account_key(dir, &present);

    if (rc == NGX_DECLINED) {
        return ngx_autocert_store_file_key_write(dir,
                                             NGX_AUTOCERT_ACCOUNT_KEY, key);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_autocert_key_id(present, old) != NGX_OK
        || ngx_autocert_key_id(key, id) != NGX_OK
        || ngx_memcmp(id, old, NGX_AUTOCERT_KEY_ID) != 0)
    {
        rc = ngx_autocert_store_file_refuse(dir, NGX_AUTOCERT_ACCOUNT_KEY,
                          "is the key of another account and was kept", NULL);
    }

    EVP_PKEY_free(present);

    return rc;
}
