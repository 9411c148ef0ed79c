
#include "ngx_autocert_check.h"
#include "ngx_autocert_core.h"
#include "ngx_autocert_spawn.h"
#include "../base/ngx_autocert_message.h"
#include "../base/ngx_autocert_name.h"

#include <openssl/err.h>


#define NGX_AUTOCERT_CONF_NAME  253


typedef struct {
    char            *alias;
    ngx_str_t        url;
} ngx_autocert_ca_t;


typedef struct {
    ngx_str_node_t   sn;
    ngx_uint_t       index;
} ngx_autocert_name_node_t;


static char *ngx_autocert_conf_system_bundle(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf);
static ngx_int_t ngx_autocert_conf_hash(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf);


static ngx_autocert_ca_t  ngx_autocert_cas[] = {
    { "letsencrypt",
      ngx_string("https://acme-v02.api.letsencrypt.org/directory") },
    { "letsencrypt-staging",
      ngx_string("https://acme-staging-v02.api.letsencrypt.org/directory") },
    { NULL, ngx_null_string }
};


static char  *ngx_autocert_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",       /* Debian, Alpine, Arch */
    "/etc/pki/tls/certs/ca-bundle.crt",         /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",                   /* SUSE */
    "/etc/ssl/cert.pem",
    NULL
};


char *
ngx_autocert_set_ca(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_str_t *value)
{
    ngx_autocert_ca_t   *ca;
    ngx_autocert_url_t   url;

    if (acf->ca.data) {
        return "is duplicate";
    }

    for (ca = ngx_autocert_cas; ca->alias; ca++) {
        if (ngx_strcmp(value->data, ca->alias) == 0) {
            acf->ca = ca->url;
            acf->public = 1;
            return NGX_CONF_OK;
        }

        acf->public |= (value->len == ca->url.len
                        && ngx_strncmp(value->data, ca->url.data, value->len)
                           == 0);
    }

    if (ngx_autocert_message_url(value, &url) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"autocert_ca\" "
                           "directive, it must be \"letsencrypt\", "
                           "\"letsencrypt-staging\" or the https URL of an "
                           "ACME directory", value);
        return NGX_CONF_ERROR;
    }

    acf->ca = *value;

    return NGX_CONF_OK;
}


char *
ngx_autocert_set_ca_certificate(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_str_t *value)
{
    X509_STORE  *store;

    if (acf->ca_certificate.data) {
        return "is duplicate";
    }

    acf->ca_certificate = *value;

    if (ngx_conf_full_name(cf->cycle, &acf->ca_certificate, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    store = X509_STORE_new();
    if (store == NULL) {
        return NGX_CONF_ERROR;
    }

    if (X509_STORE_load_file(store, (char *) acf->ca_certificate.data) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"autocert_ca_certificate\" \"%V\" has no certificate "
                      "in PEM that can be read, in %V:%ui",
                      &acf->ca_certificate, &cf->conf_file->file.name,
                      cf->conf_file->line);
        X509_STORE_free(store);
        return NGX_CONF_ERROR;
    }

    X509_STORE_free(store);

    /* the end of the file is one more error to it */
    ERR_clear_error();

    return NGX_CONF_OK;
}


char *
ngx_autocert_set_path(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_str_t *value)
{
    if (acf->path.data) {
        return "is duplicate";
    }

    if (value->len == 0 || ngx_strchr(value->data, '$')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"autocert_path\" "
                           "directive, it must be a directory, without "
                           "variables", value);
        return NGX_CONF_ERROR;
    }

    acf->path.len = value->len;

    while (acf->path.len > 1 && value->data[acf->path.len - 1] == '/') {
        acf->path.len--;
    }

    /* a copy: the default is a constant, and the end is to be a NUL */

    acf->path.data = ngx_pnalloc(cf->pool, acf->path.len + 1);
    if (acf->path.data == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn(acf->path.data, value->data, acf->path.len + 1);

    return (ngx_conf_full_name(cf->cycle, &acf->path, 0) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_autocert_add_contact(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_str_t *value)
{
    u_char     *p, *last, *at;
    ngx_str_t  *contact;
    ngx_uint_t  i;

    at = NULL;
    last = value->data + value->len;

    for (p = value->data; p < last; p++) {

        if (*p == '@' && at == NULL && p != value->data) {
            at = p;
            continue;
        }

        /* what would end or extend the mailto URL is not of an address */

        if (*p <= 0x20 || *p >= 0x7f || ngx_strchr("@,;:?&%\"\\<>()[]", *p)) {
            at = NULL;
            break;
        }
    }

    if (at == NULL || last - at < 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"autocert\" directive, "
                           "it must be an email address", value);
        return NGX_CONF_ERROR;
    }

    contact = acf->contacts.elts;

    for (i = 0; i < acf->contacts.nelts; i++) {
        if (contact[i].len == value->len
            && ngx_strncmp(contact[i].data, value->data, value->len) == 0)
        {
            return NGX_CONF_OK;
        }
    }

    contact = ngx_array_push(&acf->contacts);
    if (contact == NULL) {
        return NGX_CONF_ERROR;
    }

    *contact = *value;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_autocert_add_name(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_autocert_name_t *name, ngx_uint_t *index)
{
    char                     *err;
    uint32_t                  hash;
    ngx_str_t                 folded;
    ngx_autocert_name_t      *n, *first;
    ngx_autocert_name_node_t  *node;

    if (acf->tree.root == NULL) {
        ngx_rbtree_init(&acf->tree, &acf->sentinel,
                        ngx_str_rbtree_insert_value);
    }

    if (ngx_autocert_name_check(cf->pool, &name->name, &folded, &err)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: server_name \"%V\" gets no certificate, "
                      "%s, in %s:%ui", &name->name, err, name->file,
                      name->line);
        return NGX_DECLINED;
    }

    err = acf->public ? ngx_autocert_name_private(&folded) : NULL;

    if (err && !name->bootstrap) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: server_name \"%V\" gets no certificate, "
                      "no public CA signs it: %s, in %s:%ui",
                      &folded, err, name->file, name->line);
        return NGX_DECLINED;
    }

    hash = ngx_crc32_long(folded.data, folded.len);

    node = (ngx_autocert_name_node_t *)
               ngx_str_rbtree_lookup(&acf->tree, &folded, hash);

    if (node) {
        *index = node->index;

        first = acf->names.elts;
        first += node->index;

        if (!name->bootstrap
            && (first->curve != name->curve
                || first->renew_before != name->renew_before
                || first->challenge != name->challenge))
        {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "autocert: \"%V\" is in servers with different "
                          "options, those of %s:%ui are taken and not those "
                          "of %s:%ui", &folded, first->file, first->line,
                          name->file, name->line);
        }

        return NGX_OK;
    }

    node = ngx_palloc(cf->pool, sizeof(ngx_autocert_name_node_t));
    n = ngx_array_push(&acf->names);

    if (node == NULL || n == NULL) {
        return NGX_ERROR;
    }

    *n = *name;
    n->name = folded;

    node->sn.node.key = hash;
    node->sn.str = folded;
    node->index = acf->names.nelts - 1;

    ngx_rbtree_insert(&acf->tree, &node->sn.node);

    *index = node->index;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_find_name(ngx_autocert_conf_t *acf, ngx_str_t *name,
    ngx_uint_t *index)
{
    size_t      len;
    u_char      low[NGX_AUTOCERT_CONF_NAME];
    uintptr_t   found;
    ngx_uint_t  key;

    len = name->len;

    if (len && name->data[len - 1] == '.') {
        len--;
    }

    if (len == 0 || len > NGX_AUTOCERT_CONF_NAME) {
        return NGX_DECLINED;
    }

    key = ngx_hash_strlow(low, name->data, len);

    found = (uintptr_t) ngx_hash_find(&acf->hash, key, low, len);

    if (found == 0) {
        return NGX_DECLINED;
    }

    *index = found - 1;

    return NGX_OK;
}


char *
ngx_autocert_prepare(ngx_conf_t *cf, ngx_autocert_conf_t *acf)
{
    ngx_autocert_core_t  *core;

    if (acf->ca_certificate.data == NULL
        && ngx_autocert_conf_system_bundle(cf, acf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_autocert_conf_hash(cf, acf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_test_config) {
        ngx_autocert_check(cf, acf);
    }

    core = ngx_pcalloc(cf->pool, sizeof(ngx_autocert_core_t));
    if (core == NULL) {
        return NGX_CONF_ERROR;
    }

    /* one more: the certificate that answers TLS-ALPN-01 */

    if (ngx_autocert_board_create(cf->cycle, &core->board,
                                  acf->names.nelts + 1)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!ngx_test_config && ngx_process != NGX_PROCESS_SIGNALLER
        && ngx_autocert_spawn_create(cf->cycle, core) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    acf->core = core;

    return NGX_CONF_OK;
}


static char *
ngx_autocert_conf_system_bundle(ngx_conf_t *cf, ngx_autocert_conf_t *acf)
{
    char  **p;

    for (p = ngx_autocert_bundles; *p; p++) {
        if (access(*p, R_OK) == 0) {
            acf->ca_certificate.data = (u_char *) *p;
            acf->ca_certificate.len = ngx_strlen(*p);
            return NGX_CONF_OK;
        }
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "autocert: the system has no bundle of CA certificates "
                  "(Debian: package ca-certificates), so no CA can be "
                  "trusted; install it or set \"autocert_ca_certificate\"");

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_autocert_conf_hash(ngx_conf_t *cf, ngx_autocert_conf_t *acf)
{
    ngx_uint_t            i, n;
    ngx_hash_key_t       *keys;
    ngx_hash_init_t       init;
    ngx_autocert_name_t  *name;

    name = acf->names.elts;
    n = acf->names.nelts;

    keys = ngx_palloc(cf->temp_pool, n * sizeof(ngx_hash_key_t));
    if (keys == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        keys[i].key = name[i].name;
        keys[i].key_hash = ngx_hash_key(name[i].name.data, name[i].name.len);
        keys[i].value = (void *) (uintptr_t) (i + 1);
    }

    init.hash = &acf->hash;
    init.key = ngx_hash_key;
    init.max_size = ngx_max(512, n);
    init.bucket_size = ngx_align(512, ngx_cacheline_size);
    init.name = "autocert_names";
    init.pool = cf->pool;
    init.temp_pool = NULL;

    return ngx_hash_init(&init, keys, n);
}
