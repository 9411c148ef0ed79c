
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/sha.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_json.h"
#include "../base/ngx_autocert_x509.h"
#include "ngx_autocert_store.h"
#include "ngx_autocert_store_ca.h"
#include "ngx_autocert_store_file.h"
#include "ngx_autocert_store_json.h"


#define NGX_AUTOCERT_CA            ".accounts"
#define NGX_AUTOCERT_CA_FILE       "state.json"
#define NGX_AUTOCERT_CA_HASH       (SHA256_DIGEST_LENGTH + 1)
#define NGX_AUTOCERT_CA_DOMAIN     sizeof(((ngx_autocert_domain_t *) 0)->data)
#define NGX_AUTOCERT_ISSUED        "issued"
#define NGX_AUTOCERT_ISSUED_FILE   ".json"


static ngx_int_t ngx_autocert_ca_hash(ngx_str_t *text,
    char hash[NGX_AUTOCERT_CA_HASH]);
static ngx_int_t ngx_autocert_ca_members(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_autocert_ca_t *ca, char **err);
static ngx_int_t ngx_autocert_ca_slots(ngx_autocert_json_t *json,
    ngx_autocert_ca_t *ca);
static ngx_int_t ngx_autocert_ca_domains(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_autocert_ca_t *ca);
static ngx_int_t ngx_autocert_ca_domain(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_autocert_domain_t *domain);
static ngx_uint_t ngx_autocert_ca_is_domain(ngx_str_t *domain);
static ngx_int_t ngx_autocert_ca_put(ngx_autocert_json_writer_t *w,
    ngx_autocert_ca_t *ca);
static ngx_int_t ngx_autocert_ca_put_domain(ngx_autocert_json_writer_t *w,
    ngx_autocert_domain_t *domain);

static ngx_int_t ngx_autocert_issued_dir(ngx_autocert_store_t *store,
    ngx_str_t *url, ngx_str_t *name, ngx_autocert_store_dir_t *dir,
    char file[NGX_AUTOCERT_STORE_NAME], ngx_uint_t create);
static ngx_int_t ngx_autocert_issued_file(ngx_str_t *name,
    char file[NGX_AUTOCERT_STORE_NAME]);
static ngx_int_t ngx_autocert_issued_members(ngx_pool_t *pool,
    ngx_autocert_json_t *json, ngx_autocert_issued_t *issued, char **err);
static ngx_int_t ngx_autocert_issued_put(ngx_autocert_json_writer_t *w,
    ngx_autocert_issued_t *issued);


static const ngx_autocert_store_member_t  ngx_autocert_ca_table[] = {
    ngx_autocert_store_member(ngx_autocert_ca_t, hold, TIME),
    ngx_autocert_store_member(ngx_autocert_ca_t, failures, COUNT),
    ngx_autocert_store_member(ngx_autocert_ca_t, failed_at, TIME),
    ngx_autocert_store_member(ngx_autocert_ca_t, kind, KIND),
    ngx_autocert_store_member(ngx_autocert_ca_t, why, TEXT),
    ngx_autocert_store_member(ngx_autocert_ca_t, detail, TEXT),
    ngx_autocert_store_member(ngx_autocert_ca_t, contacts_at, TIME),
    ngx_autocert_store_member(ngx_autocert_ca_t, blind, TIME),
    ngx_autocert_store_last_member
};


static const ngx_autocert_store_member_t  ngx_autocert_domain_table[] = {
    ngx_autocert_store_member(ngx_autocert_domain_t, until, TIME),
    ngx_autocert_store_member(ngx_autocert_domain_t, interval, TIME),
    ngx_autocert_store_member(ngx_autocert_domain_t, end, TIME),
    ngx_autocert_store_last_member
};


static const ngx_autocert_store_member_t  ngx_autocert_issued_table[] = {
    ngx_autocert_store_member(ngx_autocert_issued_t, life, TIME),
    ngx_autocert_store_member(ngx_autocert_issued_t, order, URL),
    ngx_autocert_store_last_member
};


ngx_int_t
ngx_autocert_store_ca_dir(ngx_autocert_store_t *store, ngx_str_t *url,
    ngx_autocert_store_dir_t *dir, ngx_uint_t create)
{
    char                      hash[NGX_AUTOCERT_CA_HASH];
    ngx_int_t                 rc;
    ngx_autocert_store_dir_t  accounts;

    /* cppcheck-suppress ctuuninitvar ; whoever calls has set the two */
    accounts.pool = dir->pool;
    accounts.fail = dir->fail;

    rc = ngx_autocert_store_dir_open(&accounts, store->fd, &store->path,
                                     NGX_AUTOCERT_CA, create);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_autocert_ca_hash(url, hash) != NGX_OK) {
        rc = ngx_autocert_store_file_failed(&accounts, NULL, "look in",
                                            ENOMEM);

    } else {
        rc = ngx_autocert_store_dir_open(dir, accounts.fd, &accounts.path,
                                         hash, create);
    }

    ngx_autocert_store_dir_close(&accounts);

    return rc;
}


/* Half of its SHA-256, in hex. */

static ngx_int_t
ngx_autocert_ca_hash(ngx_str_t *text, char hash[NGX_AUTOCERT_CA_HASH])
{
    u_char  digest[SHA256_DIGEST_LENGTH];

    if (EVP_Digest(text->data, text->len, digest, NULL, EVP_sha256(), NULL)
        != 1)
    {
        return NGX_ERROR;
    }

    *ngx_hex_dump((u_char *) hash, digest, SHA256_DIGEST_LENGTH / 2) = '\0';

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_ca_get(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *url, ngx_autocert_ca_t *ca, ngx_autocert_fail_t *fail)
{
    char                      *err;
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_autocert_store_dir_t   dir;

    ngx_memzero(ca, sizeof(ngx_autocert_ca_t));

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_ca_dir(store, url, &dir, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_file_read(&dir, NGX_AUTOCERT_CA_FILE,
                                      NGX_AUTOCERT_STORE_SECRET, &text, NULL);
    if (rc == NGX_OK) {

        rc = ngx_autocert_store_ca_parse(pool, &text, ca, &err);

        ngx_autocert_store_file_free(&text);

        if (rc != NGX_OK) {
            (void) ngx_autocert_store_file_damaged(&dir, NGX_AUTOCERT_CA_FILE,
                                                   "is damaged: ", err);
        }
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_ca_put(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *url, ngx_autocert_ca_t *ca, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_str_t                 text;
    ngx_autocert_store_dir_t  dir;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_ca_dir(store, url, &dir, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    if (store->lock != -1) {
        ngx_autocert_store_dir_sweep(&dir);
    }

    rc = ngx_autocert_store_ca_print(pool, ca, &text);
    rc = ngx_autocert_store_json_write(&dir, NGX_AUTOCERT_CA_FILE, rc, &text);

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_ca_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_ca_t *ca, char **err)
{
    ngx_autocert_json_t  *json;

    ngx_memzero(ca, sizeof(ngx_autocert_ca_t));

    json = ngx_autocert_store_json_parse(pool, text, err);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (ngx_autocert_ca_members(pool, json, ca, err) != NGX_OK) {
        ngx_memzero(ca, sizeof(ngx_autocert_ca_t));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_ca_members(ngx_pool_t *pool, ngx_autocert_json_t *json,
    ngx_autocert_ca_t *ca, char **err)
{
    if (ngx_autocert_store_json_get(pool, json, ngx_autocert_ca_table, ca,
                                    err)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_ca_slots(json, ca) != NGX_OK) {
        *err = "\"slots\" are malformed or out of range";
        return NGX_ERROR;
    }

    if (ngx_autocert_ca_domains(pool, json, ca) != NGX_OK) {
        *err = "\"domains\" are malformed or out of range";
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_ca_slots(ngx_autocert_json_t *json, ngx_autocert_ca_t *ca)
{
    time_t                at, n;
    ngx_autocert_json_t  *node, *value;

    if (ngx_autocert_store_json_array(json, "slots", &node) != NGX_OK) {
        return NGX_ERROR;
    }

    for (node = node ? node->child : NULL; node; node = node->next) {

        if (node->type != NGX_AUTOCERT_JSON_ARRAY) {
            return NGX_ERROR;
        }

        value = node->child;

        if (ngx_autocert_store_json_number(value, NGX_AUTOCERT_STORE_TIME,
                                           &at)
            != NGX_OK
            || ngx_autocert_store_json_number(value->next,
                                              NGX_AUTOCERT_STORE_COUNT, &n)
               != NGX_OK
            || value->next->next)
        {
            return NGX_ERROR;
        }

        if (ca->nslots == NGX_AUTOCERT_STORE_SLOTS) {
            ca->nslots--;
            ngx_memmove(&ca->slots[0], &ca->slots[1],
                        ca->nslots * sizeof(ngx_autocert_slot_t));
        }

        ca->slots[ca->nslots].at = at;
        ca->slots[ca->nslots].n = (ngx_uint_t) n;
        ca->nslots++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_ca_domains(ngx_pool_t *pool, ngx_autocert_json_t *json,
    ngx_autocert_ca_t *ca)
{
    ngx_autocert_json_t    *node;
    ngx_autocert_domain_t   domain;

    if (ngx_autocert_store_json_array(json, "domains", &node) != NGX_OK) {
        return NGX_ERROR;
    }

    for (node = node ? node->child : NULL; node; node = node->next) {

        if (ngx_autocert_ca_domain(pool, node, &domain) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ca->ndomains == NGX_AUTOCERT_STORE_DOMAINS) {
            ca->ndomains--;
            ngx_memmove(&ca->domains[0], &ca->domains[1],
                        ca->ndomains * sizeof(ngx_autocert_domain_t));
        }

        ca->domains[ca->ndomains++] = domain;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_ca_domain(ngx_pool_t *pool, ngx_autocert_json_t *json,
    ngx_autocert_domain_t *domain)
{
    char       *err;
    ngx_str_t   name;

    ngx_memzero(domain, sizeof(ngx_autocert_domain_t));

    if (json->type != NGX_AUTOCERT_JSON_OBJECT
        || ngx_autocert_json_get_string(json, "domain", &name) != NGX_OK
        || !ngx_autocert_ca_is_domain(&name))
    {
        return NGX_ERROR;
    }

    ngx_memcpy(domain->data, name.data, name.len);
    domain->len = name.len;

    return ngx_autocert_store_json_get(pool, json, ngx_autocert_domain_table,
                                       domain, &err);
}


/* Part of a name that is ordered, or the whole: an address, too. */

static ngx_uint_t
ngx_autocert_ca_is_domain(ngx_str_t *domain)
{
    u_char  c;
    size_t  i;

    if (domain->len == 0 || domain->len > NGX_AUTOCERT_CA_DOMAIN) {
        return 0;
    }

    for (i = 0; i < domain->len; i++) {
        c = domain->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
              || c == '-' || c == '.' || c == '_' || c == ':'))
        {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_autocert_store_ca_print(ngx_pool_t *pool, ngx_autocert_ca_t *ca,
    ngx_str_t *text)
{
    ngx_int_t                   rc;
    ngx_autocert_json_writer_t  w;

    if (ca->nslots > NGX_AUTOCERT_STORE_SLOTS
        || ca->ndomains > NGX_AUTOCERT_STORE_DOMAINS)
    {
        return NGX_DECLINED;
    }

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_autocert_ca_put(&w, ca);

    return rc == NGX_OK ? ngx_autocert_json_done(&w, text) : rc;
}


static ngx_int_t
ngx_autocert_ca_put(ngx_autocert_json_writer_t *w, ngx_autocert_ca_t *ca)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_autocert_slot_t  *slot;

    ngx_autocert_json_open(w, NULL, '{');

    rc = ngx_autocert_store_json_put(w, ngx_autocert_ca_table, ca);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_autocert_json_open(w, "slots", '[');

    for (i = 0; i < ca->nslots; i++) {
        slot = &ca->slots[i];

        if (!ngx_autocert_store_json_is_number(NGX_AUTOCERT_STORE_TIME,
                                               slot->at)
            || !ngx_autocert_store_json_is_number(NGX_AUTOCERT_STORE_COUNT,
                                                  slot->n))
        {
            return NGX_DECLINED;
        }

        ngx_autocert_json_open(w, NULL, '[');
        ngx_autocert_json_put_integer(w, NULL, slot->at);
        ngx_autocert_json_put_integer(w, NULL, slot->n);
        ngx_autocert_json_close(w, ']');
    }

    ngx_autocert_json_close(w, ']');
    ngx_autocert_json_open(w, "domains", '[');

    for (i = 0; i < ca->ndomains; i++) {
        rc = ngx_autocert_ca_put_domain(w, &ca->domains[i]);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_autocert_json_close(w, ']');
    ngx_autocert_json_close(w, '}');

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_ca_put_domain(ngx_autocert_json_writer_t *w,
    ngx_autocert_domain_t *domain)
{
    ngx_int_t  rc;
    ngx_str_t  name;

    name.len = domain->len;
    name.data = domain->data;

    if (!ngx_autocert_ca_is_domain(&name)) {
        return NGX_DECLINED;
    }

    ngx_autocert_json_open(w, NULL, '{');
    ngx_autocert_json_put_string(w, "domain", &name);

    rc = ngx_autocert_store_json_put(w, ngx_autocert_domain_table, domain);

    ngx_autocert_json_close(w, '}');

    return rc;
}


ngx_int_t
ngx_autocert_store_issued_get(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *url, ngx_str_t *name, ngx_autocert_issued_t *issued,
    ngx_autocert_fail_t *fail)
{
    char                      *err, file[NGX_AUTOCERT_STORE_NAME];
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_autocert_store_dir_t   dir;

    ngx_memzero(issued, sizeof(ngx_autocert_issued_t));

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_issued_dir(store, url, name, &dir, file, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_file_read(&dir, file, NGX_AUTOCERT_STORE_SECRET,
                                      &text, NULL);
    if (rc == NGX_OK) {

        rc = ngx_autocert_store_issued_parse(pool, &text, issued, &err);

        ngx_autocert_store_file_free(&text);

        if (rc != NGX_OK) {
            (void) ngx_autocert_store_file_damaged(&dir, file, "is damaged: ",
                                                   err);
        }
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_issued_put(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *url, ngx_str_t *name, ngx_autocert_issued_t *issued,
    ngx_autocert_fail_t *fail)
{
    char                      file[NGX_AUTOCERT_STORE_NAME];
    ngx_int_t                 rc;
    ngx_str_t                 text;
    ngx_autocert_store_dir_t  dir;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_issued_dir(store, url, name, &dir, file, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    if (store->lock != -1) {
        ngx_autocert_store_dir_sweep(&dir);
    }

    rc = ngx_autocert_store_issued_print(pool, issued, &text);
    rc = ngx_autocert_store_json_write(&dir, file, rc, &text);

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


static ngx_int_t
ngx_autocert_issued_dir(ngx_autocert_store_t *store, ngx_str_t *url,
    ngx_str_t *name, ngx_autocert_store_dir_t *dir,
    char file[NGX_AUTOCERT_STORE_NAME], ngx_uint_t create)
{
    ngx_int_t                 rc;
    ngx_autocert_store_dir_t  ca;

    dir->path = store->path;

    rc = ngx_autocert_issued_file(name, file);

    if (rc == NGX_DECLINED) {
        return ngx_autocert_store_file_refuse(dir, NULL,
                           "cannot hold a name with these characters", NULL);
    }

    if (rc != NGX_OK) {
        return ngx_autocert_store_file_failed(dir, NULL, "look in", ENOMEM);
    }

    ca.fd = -1;
    ca.pool = dir->pool;
    ca.fail = dir->fail;

    rc = ngx_autocert_store_ca_dir(store, url, &ca, create);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_dir_open(dir, ca.fd, &ca.path,
                                     NGX_AUTOCERT_ISSUED, create);

    ngx_autocert_store_dir_close(&ca);

    return rc;
}


/* A name too long for a file with an ending: the file is named by its hash. */

static ngx_int_t
ngx_autocert_issued_file(ngx_str_t *name, char file[NGX_AUTOCERT_STORE_NAME])
{
    size_t  len;

    if (ngx_autocert_store_file_segment(name, file) != NGX_OK) {
        return NGX_DECLINED;
    }

    len = name->len;

    if (len + sizeof(NGX_AUTOCERT_ISSUED_FILE) > NGX_AUTOCERT_STORE_NAME) {

        if (ngx_autocert_ca_hash(name, file) != NGX_OK) {
            return NGX_ERROR;
        }

        len = NGX_AUTOCERT_CA_HASH - 1;
    }

    ngx_memcpy(file + len, NGX_AUTOCERT_ISSUED_FILE,
               sizeof(NGX_AUTOCERT_ISSUED_FILE));

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_issued_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_issued_t *issued, char **err)
{
    ngx_autocert_json_t  *json;

    ngx_memzero(issued, sizeof(ngx_autocert_issued_t));

    json = ngx_autocert_store_json_parse(pool, text, err);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (ngx_autocert_issued_members(pool, json, issued, err) != NGX_OK) {
        ngx_memzero(issued, sizeof(ngx_autocert_issued_t));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_issued_members(ngx_pool_t *pool, ngx_autocert_json_t *json,
    ngx_autocert_issued_t *issued, char **err)
{
    time_t                at;
    ngx_autocert_json_t  *node;

    if (ngx_autocert_store_json_get(pool, json, ngx_autocert_issued_table,
                                    issued, err)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    *err = "\"at\" is malformed or out of range";

    if (ngx_autocert_store_json_array(json, "at", &node) != NGX_OK) {
        return NGX_ERROR;
    }

    for (node = node ? node->child : NULL; node; node = node->next) {

        if (ngx_autocert_store_json_number(node, NGX_AUTOCERT_STORE_TIME, &at)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (issued->n < NGX_AUTOCERT_STORE_ISSUED) {
            issued->at[issued->n++] = at;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_issued_print(ngx_pool_t *pool,
    ngx_autocert_issued_t *issued, ngx_str_t *text)
{
    ngx_int_t                   rc;
    ngx_autocert_json_writer_t  w;

    if (issued->n > NGX_AUTOCERT_STORE_ISSUED) {
        return NGX_DECLINED;
    }

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_autocert_issued_put(&w, issued);

    return rc == NGX_OK ? ngx_autocert_json_done(&w, text) : rc;
}


static ngx_int_t
ngx_autocert_issued_put(ngx_autocert_json_writer_t *w,
    ngx_autocert_issued_t *issued)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    ngx_autocert_json_open(w, NULL, '{');

    rc = ngx_autocert_store_json_put(w, ngx_autocert_issued_table, issued);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_autocert_json_open(w, "at", '[');

    for (i = 0; i < issued->n; i++) {

        if (!ngx_autocert_store_json_is_number(NGX_AUTOCERT_STORE_TIME,
                                               issued->at[i]))
        {
            return NGX_DECLINED;
        }

        ngx_autocert_json_put_integer(w, NULL, issued->at[i]);
    }

    ngx_autocert_json_close(w, ']');
    ngx_autocert_json_close(w, '}');

    return NGX_OK;
}
