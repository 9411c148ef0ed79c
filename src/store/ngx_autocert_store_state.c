
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/obj_mac.h>
#include <openssl/sha.h>

#include "../base/ngx_autocert_base64.h"
#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_json.h"
#include "../base/ngx_autocert_x509.h"
#include "ngx_autocert_store.h"
#include "ngx_autocert_store_file.h"
#include "ngx_autocert_store_state.h"


#define NGX_AUTOCERT_STATE_FILE    "state.json"
#define NGX_AUTOCERT_STATE_TIME    253402300799     /* the end of 9999 */
#define NGX_AUTOCERT_STATE_MAX     0xffffffff
#define NGX_AUTOCERT_STATE_TOKEN   128

#define NGX_AUTOCERT_ACCOUNTS      ".accounts"
#define NGX_AUTOCERT_ACCOUNT_KEY   "account.key"
#define NGX_AUTOCERT_ACCOUNT_FILE  "account.json"


typedef ngx_uint_t (*ngx_autocert_state_check_pt)(ngx_str_t *string);


static ngx_int_t ngx_autocert_state_members(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_autocert_state_t *state, char **err);
static ngx_int_t ngx_autocert_state_issued(ngx_autocert_json_t *json,
    ngx_autocert_state_t *state);
static ngx_int_t ngx_autocert_state_number(ngx_autocert_json_t *json,
    const char *name, int64_t max, int64_t *n);
static ngx_int_t ngx_autocert_state_string(ngx_pool_t *pool,
    ngx_autocert_json_t *json, const char *name,
    ngx_autocert_state_check_pt check, ngx_str_t *string);
static ngx_int_t ngx_autocert_state_text(ngx_pool_t *pool,
    ngx_autocert_json_t *json, const char *name, ngx_str_t *text);
static ngx_int_t ngx_autocert_state_copy(ngx_pool_t *pool, ngx_str_t *src,
    ngx_str_t *dst);
static ngx_uint_t ngx_autocert_state_is_url(ngx_str_t *url);
static ngx_uint_t ngx_autocert_state_is_token(ngx_str_t *token);
static ngx_uint_t ngx_autocert_state_is_contact(ngx_str_t *contact);
static ngx_uint_t ngx_autocert_state_is_time(time_t t);
static ngx_int_t ngx_autocert_account_members(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_autocert_store_account_t *account,
    char **err);
static ngx_int_t ngx_autocert_account_dir(ngx_autocert_store_t *store,
    ngx_str_t *ca, ngx_autocert_store_dir_t *dir, ngx_uint_t create);
static ngx_int_t ngx_autocert_account_key(ngx_autocert_store_dir_t *dir,
    EVP_PKEY **key);
static ngx_int_t ngx_autocert_account_read(ngx_autocert_store_dir_t *dir,
    ngx_str_t *ca, ngx_autocert_store_account_t *account);
static ngx_int_t ngx_autocert_account_key_put(ngx_autocert_store_dir_t *dir,
    EVP_PKEY *key);


ngx_int_t
ngx_autocert_store_state_get(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_state_t *state, ngx_autocert_fail_t *fail)
{
    char                      *err, segment[NGX_AUTOCERT_STORE_NAME];
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_autocert_store_dir_t   dir;

    ngx_memzero(state, sizeof(ngx_autocert_state_t));

    dir.path = store->path;
    dir.pool = pool;
    dir.fail = fail;

    if (ngx_autocert_store_file_segment(name, segment) != NGX_OK) {
        return ngx_autocert_store_file_refuse(&dir, NULL,
                           "cannot hold a name with these characters", NULL);
    }

    rc = ngx_autocert_store_dir_open(&dir, store->fd, &store->path, segment,
                                     0);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_file_read(&dir, NGX_AUTOCERT_STATE_FILE,
                                      NGX_AUTOCERT_STORE_SECRET, &text, NULL);
    if (rc == NGX_OK) {

        rc = ngx_autocert_store_state_parse(pool, &text, state, &err);

        ngx_autocert_store_file_free(&text);

        if (rc != NGX_OK) {
            (void) ngx_autocert_store_file_refuse(&dir,
                             NGX_AUTOCERT_STATE_FILE, "is damaged: ", err);
        }
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_state_put(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_state_t *state, ngx_autocert_fail_t *fail)
{
    char                      segment[NGX_AUTOCERT_STORE_NAME];
    ngx_int_t                 rc;
    ngx_str_t                 text;
    ngx_autocert_store_dir_t  dir;

    dir.path = store->path;
    dir.pool = pool;
    dir.fail = fail;

    if (ngx_autocert_store_file_segment(name, segment) != NGX_OK) {
        return ngx_autocert_store_file_refuse(&dir, NULL,
                           "cannot hold a name with these characters", NULL);
    }

    rc = ngx_autocert_store_dir_open(&dir, store->fd, &store->path, segment,
                                     1);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_state_print(pool, state, &text);

    if (rc == NGX_OK) {
        rc = ngx_autocert_store_file_write(&dir, NGX_AUTOCERT_STATE_FILE,
                                           NGX_AUTOCERT_STORE_SECRET, &text);

    } else {
        rc = ngx_autocert_store_file_failed(&dir, NGX_AUTOCERT_STATE_FILE,
                                "write", rc == NGX_ERROR ? ENOMEM : EINVAL);
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_state_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_state_t *state, char **err)
{
    ngx_autocert_json_t  *json;

    ngx_memzero(state, sizeof(ngx_autocert_state_t));

    json = ngx_autocert_json_parse(pool, text, err);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (json->type != NGX_AUTOCERT_JSON_OBJECT) {
        *err = "no JSON object";
        return NGX_ERROR;
    }

    if (ngx_autocert_state_members(pool, json, state, err) != NGX_OK) {
        ngx_memzero(state, sizeof(ngx_autocert_state_t));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_state_members(ngx_pool_t *pool, ngx_autocert_json_t *json,
    ngx_autocert_state_t *state, char **err)
{
    int64_t     n;
    ngx_uint_t  i;

    struct {
        const char  *name;
        time_t      *value;
    } times[] = {
        { "renew_at", &state->renew_at },
        { "next_attempt", &state->next_attempt },
        { "failed_at", &state->failed_at },
        { "issued_at", &state->issued_at }
    };

    *err = "a time is out of range";

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {

        if (ngx_autocert_state_number(json, times[i].name,
                                      NGX_AUTOCERT_STATE_TIME, &n)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        *times[i].value = (time_t) n;
    }

    if (ngx_autocert_state_issued(json, state) != NGX_OK) {
        return NGX_ERROR;
    }

    *err = "\"failures\" is out of range";

    if (ngx_autocert_state_number(json, "failures", NGX_AUTOCERT_STATE_MAX,
                                  &n)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    state->failures = (ngx_uint_t) n;

    *err = "\"kind\" is out of range";

    if (ngx_autocert_state_number(json, "kind", NGX_AUTOCERT_FAIL_INTERNAL,
                                  &n)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    state->kind = (ngx_uint_t) n;

    *err = "\"ca\" or \"order\" is no URL";

    if (ngx_autocert_state_string(pool, json, "ca",
                                  ngx_autocert_state_is_url, &state->ca)
        != NGX_OK
        || ngx_autocert_state_string(pool, json, "order",
                                     ngx_autocert_state_is_url, &state->order)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    *err = "\"challenge\" or \"token\" is no token";

    if (ngx_autocert_state_string(pool, json, "challenge",
                                  ngx_autocert_state_is_token,
                                  &state->challenge)
        != NGX_OK
        || ngx_autocert_state_string(pool, json, "token",
                                     ngx_autocert_state_is_token,
                                     &state->token)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    *err = "\"why\" or \"detail\" is no text";

    if (ngx_autocert_state_text(pool, json, "why", &state->why) != NGX_OK
        || ngx_autocert_state_text(pool, json, "detail", &state->detail)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_state_issued(ngx_autocert_json_t *json,
    ngx_autocert_state_t *state)
{
    time_t                t;
    ngx_autocert_json_t  *node;

    node = ngx_autocert_json_get(json, "issued");

    if (node == NULL || node->type == NGX_AUTOCERT_JSON_NULL) {
        return NGX_OK;
    }

    if (node->type != NGX_AUTOCERT_JSON_ARRAY) {
        return NGX_ERROR;
    }

    for (node = node->child; node; node = node->next) {

        if (node->type != NGX_AUTOCERT_JSON_NUMBER) {
            return NGX_ERROR;
        }

        t = ngx_atotm(node->value.data, node->value.len);

        if (t == (time_t) NGX_ERROR || !ngx_autocert_state_is_time(t)) {
            return NGX_ERROR;
        }

        /* newest first: more than are remembered now are the oldest */

        if (state->nissued < NGX_AUTOCERT_STATE_BUDGET) {
            state->issued[state->nissued++] = t;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_state_number(ngx_autocert_json_t *json, const char *name,
    int64_t max, int64_t *n)
{
    ngx_int_t  rc;

    rc = ngx_autocert_json_get_integer(json, name, n);

    if (rc == NGX_DECLINED) {
        *n = 0;
        return NGX_OK;
    }

    if (rc != NGX_OK || *n < 0 || *n > max) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_state_string(ngx_pool_t *pool, ngx_autocert_json_t *json,
    const char *name, ngx_autocert_state_check_pt check, ngx_str_t *string)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    rc = ngx_autocert_json_get_string(json, name, &value);

    if (rc == NGX_DECLINED) {
        ngx_str_null(string);
        return NGX_OK;
    }

    if (rc != NGX_OK || !check(&value)) {
        return NGX_ERROR;
    }

    return ngx_autocert_state_copy(pool, &value, string);
}


static ngx_int_t
ngx_autocert_state_text(ngx_pool_t *pool, ngx_autocert_json_t *json,
    const char *name, ngx_str_t *text)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    rc = ngx_autocert_json_get_string(json, name, &value);

    if (rc == NGX_DECLINED) {
        ngx_str_null(text);
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_autocert_fail_text(pool, &value, NGX_AUTOCERT_STATE_TEXT,
                                  text);
}


static ngx_int_t
ngx_autocert_state_copy(ngx_pool_t *pool, ngx_str_t *src, ngx_str_t *dst)
{
    dst->data = ngx_pnalloc(pool, src->len + 1);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(dst->data, src->data, src->len) = '\0';
    dst->len = src->len;

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_state_is_url(ngx_str_t *url)
{
    size_t  i;

    for (i = 0; i < url->len; i++) {
        if (url->data[i] <= 0x20 || url->data[i] >= 0x7f) {
            return 0;
        }
    }

    return url->len <= NGX_AUTOCERT_STATE_URL;
}


/* the names of challenges are of that alphabet as well */

static ngx_uint_t
ngx_autocert_state_is_token(ngx_str_t *token)
{
    return token->len <= NGX_AUTOCERT_STATE_TOKEN
           && ngx_autocert_base64_is(token);
}


static ngx_uint_t
ngx_autocert_state_is_contact(ngx_str_t *contact)
{
    size_t  i;

    for (i = 0; i < contact->len; i++) {
        if (contact->data[i] <= 0x20 || contact->data[i] == 0x7f) {
            return 0;
        }
    }

    return contact->len > 0 && contact->len <= NGX_AUTOCERT_STATE_TEXT;
}


static ngx_uint_t
ngx_autocert_state_is_time(time_t t)
{
    return t >= 0 && t <= NGX_AUTOCERT_STATE_TIME;
}


ngx_int_t
ngx_autocert_store_state_print(ngx_pool_t *pool, ngx_autocert_state_t *state,
    ngx_str_t *text)
{
    ngx_str_t                   why, detail;
    ngx_uint_t                  i;
    ngx_autocert_json_writer_t  w;

    if (!ngx_autocert_state_is_url(&state->ca)
        || !ngx_autocert_state_is_url(&state->order)
        || !ngx_autocert_state_is_token(&state->challenge)
        || !ngx_autocert_state_is_token(&state->token)
        || !ngx_autocert_state_is_time(state->renew_at)
        || !ngx_autocert_state_is_time(state->next_attempt)
        || !ngx_autocert_state_is_time(state->failed_at)
        || !ngx_autocert_state_is_time(state->issued_at)
        || state->failures > NGX_AUTOCERT_STATE_MAX
        || state->kind > NGX_AUTOCERT_FAIL_INTERNAL
        || state->nissued > NGX_AUTOCERT_STATE_BUDGET)
    {
        return NGX_DECLINED;
    }

    if (ngx_autocert_fail_text(pool, &state->why, NGX_AUTOCERT_STATE_TEXT,
                               &why)
        != NGX_OK
        || ngx_autocert_fail_text(pool, &state->detail,
                                  NGX_AUTOCERT_STATE_TEXT, &detail)
           != NGX_OK
        || ngx_autocert_json_writer_init(&w, pool) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');

    ngx_autocert_json_put_string(&w, "ca", &state->ca);
    ngx_autocert_json_put_integer(&w, "renew_at", state->renew_at);
    ngx_autocert_json_put_string(&w, "order", &state->order);
    ngx_autocert_json_put_string(&w, "challenge", &state->challenge);
    ngx_autocert_json_put_string(&w, "token", &state->token);
    ngx_autocert_json_put_integer(&w, "failures", state->failures);
    ngx_autocert_json_put_integer(&w, "next_attempt", state->next_attempt);
    ngx_autocert_json_put_integer(&w, "kind", state->kind);
    ngx_autocert_json_put_string(&w, "why", &why);
    ngx_autocert_json_put_string(&w, "detail", &detail);
    ngx_autocert_json_put_integer(&w, "failed_at", state->failed_at);
    ngx_autocert_json_put_integer(&w, "issued_at", state->issued_at);

    ngx_autocert_json_open(&w, "issued", '[');

    for (i = 0; i < state->nissued; i++) {

        if (!ngx_autocert_state_is_time(state->issued[i])) {
            return NGX_DECLINED;
        }

        ngx_autocert_json_put_integer(&w, NULL, state->issued[i]);
    }

    ngx_autocert_json_close(&w, ']');
    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, text);
}


ngx_int_t
ngx_autocert_store_account_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_store_account_t *account, char **err)
{
    ngx_autocert_json_t  *json;

    ngx_memzero(account, sizeof(ngx_autocert_store_account_t));

    json = ngx_autocert_json_parse(pool, text, err);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (json->type != NGX_AUTOCERT_JSON_OBJECT) {
        *err = "no JSON object";
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

    *err = "\"ca\" or \"url\" is no URL";

    if (ngx_autocert_state_string(pool, json, "ca",
                                  ngx_autocert_state_is_url, &account->ca)
        != NGX_OK
        || ngx_autocert_state_string(pool, json, "url",
                                     ngx_autocert_state_is_url, &account->url)
           != NGX_OK
        || account->ca.len == 0)
    {
        return NGX_ERROR;
    }

    *err = "\"contacts\" are no contacts";

    if (ngx_array_init(&account->contacts, pool, 1, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    node = ngx_autocert_json_get(json, "contacts");

    if (node == NULL || node->type == NGX_AUTOCERT_JSON_NULL) {
        return NGX_OK;
    }

    if (node->type != NGX_AUTOCERT_JSON_ARRAY) {
        return NGX_ERROR;
    }

    for (node = node->child; node; node = node->next) {

        if (node->type != NGX_AUTOCERT_JSON_STRING
            || !ngx_autocert_state_is_contact(&node->value)
            || account->contacts.nelts == NGX_AUTOCERT_STATE_CONTACTS)
        {
            return NGX_ERROR;
        }

        contact = ngx_array_push(&account->contacts);

        if (contact == NULL
            || ngx_autocert_state_copy(pool, &node->value, contact) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_account_print(ngx_pool_t *pool,
    ngx_autocert_store_account_t *account, ngx_str_t *text)
{
    ngx_str_t                   *contact;
    ngx_uint_t                   i;
    ngx_autocert_json_writer_t   w;

    if (account->ca.len == 0
        || !ngx_autocert_state_is_url(&account->ca)
        || !ngx_autocert_state_is_url(&account->url)
        || account->contacts.nelts > NGX_AUTOCERT_STATE_CONTACTS)
    {
        return NGX_DECLINED;
    }

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');

    ngx_autocert_json_put_string(&w, "ca", &account->ca);
    ngx_autocert_json_put_string(&w, "url", &account->url);

    ngx_autocert_json_open(&w, "contacts", '[');

    contact = account->contacts.elts;

    for (i = 0; i < account->contacts.nelts; i++) {

        if (!ngx_autocert_state_is_contact(&contact[i])) {
            return NGX_DECLINED;
        }

        ngx_autocert_json_put_string(&w, NULL, &contact[i]);
    }

    ngx_autocert_json_close(&w, ']');
    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, text);
}


static ngx_int_t
ngx_autocert_account_dir(ngx_autocert_store_t *store, ngx_str_t *ca,
    ngx_autocert_store_dir_t *dir, ngx_uint_t create)
{
    u_char                    hash[SHA256_DIGEST_LENGTH];
    char                      name[SHA256_DIGEST_LENGTH + 1];
    ngx_int_t                 rc;
    ngx_autocert_store_dir_t  accounts;

    accounts.pool = dir->pool;
    accounts.fail = dir->fail;

    rc = ngx_autocert_store_dir_open(&accounts, store->fd, &store->path,
                                     NGX_AUTOCERT_ACCOUNTS, create);
    if (rc != NGX_OK) {
        return rc;
    }

    if (EVP_Digest(ca->data, ca->len, hash, NULL, EVP_sha256(), NULL) != 1) {
        rc = ngx_autocert_store_file_failed(&accounts, NULL, "look in",
                                            ENOMEM);

    } else {
        *ngx_hex_dump((u_char *) name, hash, SHA256_DIGEST_LENGTH / 2) = '\0';

        rc = ngx_autocert_store_dir_open(dir, accounts.fd, &accounts.path,
                                         name, create);
    }

    ngx_autocert_store_dir_close(&accounts);

    return rc;
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
        (void) ngx_autocert_store_file_refuse(dir, NGX_AUTOCERT_ACCOUNT_FILE,
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

    rc = ngx_autocert_account_dir(store, ca, &dir, 0);
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

    rc = ngx_autocert_account_dir(store, ca, &dir, 1);
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

    if (rc != NGX_OK) {
        rc = ngx_autocert_store_file_failed(&dir, NGX_AUTOCERT_ACCOUNT_FILE,
                                "write", rc == NGX_ERROR ? ENOMEM : EINVAL);
        goto done;
    }

    rc = ngx_autocert_store_file_write(&dir, NGX_AUTOCERT_ACCOUNT_FILE,
                                       NGX_AUTOCERT_STORE_SECRET, &text);

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
