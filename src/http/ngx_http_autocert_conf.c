
#include "ngx_http_autocert_module.h"

#include <openssl/obj_mac.h>


/* Set at build time; below the prefix if it is relative. */
#ifndef NGX_AUTOCERT_STATE
#define NGX_AUTOCERT_STATE              "autocert"
#endif

#define NGX_HTTP_AUTOCERT_RENEW_BEFORE  (7 * 24 * 60 * 60)
#define NGX_HTTP_AUTOCERT_RESOLV_CONF   "/etc/resolv.conf"
#define NGX_HTTP_AUTOCERT_RESOLVERS     8


static char *ngx_http_autocert_on(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_autocert_choice(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_autocert_renew_before(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_autocert_path(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_autocert_ca(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_autocert_ca_certificate(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_autocert_resolver(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_autocert_resolver_timeout(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

static ngx_http_autocert_srv_conf_t *ngx_http_autocert_first(ngx_conf_t *cf);
static ngx_int_t ngx_http_autocert_init_core(ngx_conf_t *cf,
    ngx_http_autocert_main_conf_t *amcf);
static ngx_int_t ngx_http_autocert_init_resolver(ngx_conf_t *cf,
    ngx_http_autocert_main_conf_t *amcf);
static ngx_uint_t ngx_http_autocert_system_resolver(ngx_conf_t *cf,
    ngx_str_t *addrs);
static ngx_int_t ngx_http_autocert_server(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_http_core_srv_conf_t *cscf);
static ngx_int_t ngx_http_autocert_names(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_http_core_srv_conf_t *cscf,
    ngx_http_autocert_srv_conf_t *ascf);
static int ngx_libc_cdecl ngx_http_autocert_cmp_indices(const void *one,
    const void *two);
static ngx_int_t ngx_http_autocert_identifier(ngx_conf_t *cf,
    ngx_http_server_name_t *sn, ngx_http_autocert_srv_conf_t *ascf,
    ngx_str_t *name);


static ngx_conf_enum_t  ngx_http_autocert_challenges[] = {
    { ngx_string("http-01"), NGX_AUTOCERT_CHALLENGE_HTTP },
    { ngx_string("tls-alpn-01"), NGX_AUTOCERT_CHALLENGE_TLS_ALPN },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_autocert_curves[] = {
    { ngx_string("secp384r1"), NID_secp384r1 },
    { ngx_string("secp256r1"), NID_X9_62_prime256v1 },
    { ngx_null_string, 0 }
};


ngx_command_t  ngx_http_autocert_commands[] = {

    { ngx_string("autocert"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE12,
      ngx_http_autocert_on,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("autocert_challenge"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_autocert_choice,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_autocert_srv_conf_t, challenge),
      ngx_http_autocert_challenges },

    { ngx_string("autocert_key_type"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_autocert_choice,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_autocert_srv_conf_t, curve),
      ngx_http_autocert_curves },

    { ngx_string("autocert_renew_before"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_autocert_renew_before,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("autocert_path"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_autocert_path,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("autocert_ca"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_autocert_ca,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("autocert_ca_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_autocert_ca_certificate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("autocert_resolver"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_autocert_resolver,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("autocert_resolver_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_autocert_resolver_timeout,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("autocert_status"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_autocert_status,
      0,
      0,
      NULL },

      ngx_null_command
};


void *
ngx_http_autocert_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_autocert_main_conf_t));
}


void *
ngx_http_autocert_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_autocert_srv_conf_t  *ascf;

    ascf = ngx_pcalloc(cf->pool, sizeof(ngx_http_autocert_srv_conf_t));
    if (ascf == NULL) {
        return NULL;
    }

    ascf->enable = NGX_CONF_UNSET;
    ascf->challenge = NGX_CONF_UNSET_UINT;
    ascf->curve = NGX_CONF_UNSET_UINT;
    ascf->renew_before = NGX_CONF_UNSET;

    return ascf;
}


/* The first thing of ours that NGINX runs: is the core there? */

ngx_int_t
ngx_http_autocert_preconfiguration(ngx_conf_t *cf)
{
    ngx_http_autocert_main_conf_t  *amcf;

    if (ngx_autocert_get_conf == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "autocert: ngx_autocert_module.so is not loaded before "
                      "ngx_http_autocert_module.so: put its \"load_module\" "
                      "line first");
        return NGX_ERROR;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_autocert_module);

    amcf->acf = ngx_autocert_get_conf(cf->cycle);
    amcf->ssl = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);

    return ngx_http_autocert_add_variables(cf);
}


/*
 * Runs before the merge of the ssl module: arrays of certificates that are
 * set, but empty, let a server listen without any.
 */

char *
ngx_http_autocert_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_autocert_srv_conf_t  *prev = parent;
    ngx_http_autocert_srv_conf_t  *conf = child;

    ngx_http_ssl_srv_conf_t        *sscf;
    ngx_http_autocert_main_conf_t  *amcf;

    conf->chosen = (conf->renew_before != NGX_CONF_UNSET
                    || prev->renew_before != NGX_CONF_UNSET);

    ngx_conf_merge_uint_value(conf->challenge, prev->challenge,
                              NGX_AUTOCERT_CHALLENGE_AUTO);
    ngx_conf_merge_uint_value(conf->curve, prev->curve, NID_secp384r1);
    ngx_conf_merge_sec_value(conf->renew_before, prev->renew_before,
                             NGX_HTTP_AUTOCERT_RENEW_BEFORE);

    /* a server opts in by itself; off at the http level turns all off */

    if (conf->enable == NGX_CONF_UNSET || prev->enable == 0) {
        conf->enable = 0;
    }

    if (!conf->enable) {
        return NGX_CONF_OK;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_autocert_module);
    sscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);

    if (sscf->certificates != NGX_CONF_UNSET_PTR
        || amcf->ssl->certificates != NGX_CONF_UNSET_PTR)
    {
        conf->fallback = 1;
        return NGX_CONF_OK;
    }

    sscf->certificates = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    sscf->certificate_keys = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));

    if (sscf->certificates == NULL || sscf->certificate_keys == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_autocert_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                      s;
    ngx_autocert_conf_t            *acf;
    ngx_http_core_srv_conf_t      **cscfp;
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_autocert_srv_conf_t   *first;
    ngx_http_autocert_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_autocert_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    acf = amcf->acf;

    first = ngx_http_autocert_first(cf);
    if (first == NULL) {
        return NGX_OK;
    }

    if (ngx_http_autocert_init_core(cf, amcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_autocert_listen(cf, acf, first) != NGX_OK) {
        return NGX_ERROR;
    }

    cscfp = cmcf->servers.elts;

    for (s = 0; s < cmcf->servers.nelts; s++) {
        if (ngx_http_autocert_server(cf, acf, cscfp[s]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_autocert_challenge(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_autocert_check_roots(cf, acf);

    return (ngx_autocert_prepare(cf, acf) == NGX_CONF_OK) ? NGX_OK
                                                          : NGX_ERROR;
}


/* The first server that opts in, or NULL. */

static ngx_http_autocert_srv_conf_t *
ngx_http_autocert_first(ngx_conf_t *cf)
{
    ngx_uint_t                      s;
    ngx_http_core_srv_conf_t      **cscfp;
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_autocert_srv_conf_t   *ascf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    cscfp = cmcf->servers.elts;

    for (s = 0; s < cmcf->servers.nelts; s++) {
        ascf = ngx_http_conf_get_module_srv_conf(cscfp[s],
                                                 ngx_http_autocert_module);
        if (ascf->enable) {
            return ascf;
        }
    }

    ascf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_autocert_module);

    if (ascf->enable == 1) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: no certificate is obtained: \"autocert on\" "
                      "at the http level is for all, but no server has "
                      "\"autocert on\" of its own, in %s:%ui",
                      ascf->file, ascf->line);
    }

    return NULL;
}


/* autocert on | off [email] */

static char *
ngx_http_autocert_on(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_autocert_srv_conf_t  *ascf = conf;

    ngx_str_t  *value;

    (void) cmd;

    if (ascf->enable != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcasecmp(value[1].data, (u_char *) "on") == 0) {
        ascf->enable = 1;

    } else if (ngx_strcasecmp(value[1].data, (u_char *) "off") == 0) {
        ascf->enable = 0;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"autocert\" directive, "
                           "it must be \"on\" or \"off\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    ascf->file = cf->conf_file->file.name.data;
    ascf->line = cf->conf_file->line;

    if (cf->args->nelts < 3) {
        return NGX_CONF_OK;
    }

    if (!ascf->enable) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"autocert off\" takes no email address");
        return NGX_CONF_ERROR;
    }

    return ngx_autocert_add_contact(cf, ngx_autocert_get_conf(cf->cycle),
                                    &value[2]);
}


/* One of two words. */

static char *
ngx_http_autocert_choice(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t        *value;
    ngx_uint_t       *np, i;
    ngx_conf_enum_t  *e;

    np = (ngx_uint_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;
    e = cmd->post;

    for (i = 0; i < 2; i++) {
        if (value[1].len == e[i].name.len
            && ngx_strncmp(value[1].data, e[i].name.data, value[1].len) == 0)
        {
            *np = e[i].value;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive, it must "
                       "be \"%V\" or \"%V\"",
                       &value[1], &cmd->name, &e[0].name, &e[1].name);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_autocert_renew_before(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_autocert_srv_conf_t  *ascf = conf;

    ngx_str_t  *value;

    (void) cmd;

    if (ascf->renew_before != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ascf->renew_before = ngx_parse_time(&value[1], 1);

    if (ascf->renew_before == NGX_ERROR || ascf->renew_before == 0) {
        return "invalid value, it must be a time, such as \"7d\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_autocert_path(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                      *value = cf->args->elts;
    ngx_autocert_conf_t            *acf;
    ngx_http_autocert_main_conf_t  *amcf = conf;

    (void) cmd;

    acf = amcf->acf;

    if (acf->path.data == NULL) {
        acf->path_file = cf->conf_file->file.name.data;
        acf->path_line = cf->conf_file->line;
    }

    if (value[1].len && value[1].data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"autocert_path\" \"%V\" is not absolute: the "
                           "store is below the prefix \"%V\", and moves with "
                           "it", &value[1], &cf->cycle->prefix);
    }

    return ngx_autocert_set_path(cf, acf, &value[1]);
}


static char *
ngx_http_autocert_ca(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                      *value = cf->args->elts;
    ngx_http_autocert_main_conf_t  *amcf = conf;

    (void) cmd;

    return ngx_autocert_set_ca(cf, amcf->acf, &value[1]);
}


static char *
ngx_http_autocert_ca_certificate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_str_t                      *value = cf->args->elts;
    ngx_http_autocert_main_conf_t  *amcf = conf;

    (void) cmd;

    return ngx_autocert_set_ca_certificate(cf, amcf->acf, &value[1]);
}


static char *
ngx_http_autocert_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                      *value = cf->args->elts;
    ngx_http_autocert_main_conf_t  *amcf = conf;

    (void) cmd;

    if (amcf->acf->resolver) {
        return "is duplicate";
    }

    amcf->acf->resolver = ngx_resolver_create(cf, &value[1],
                                              cf->args->nelts - 1);

    return amcf->acf->resolver ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_autocert_resolver_timeout(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_int_t                       ms;
    ngx_str_t                      *value = cf->args->elts;
    ngx_http_autocert_main_conf_t  *amcf = conf;

    (void) cmd;

    if (amcf->acf->resolver_timeout != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    /* NGINX's resolver takes 0 for "for ever" */

    ms = ngx_parse_time(&value[1], 0);

    if (ms == NGX_ERROR || ms == 0) {
        return "invalid value, it must be a time, such as \"30s\"";
    }

    amcf->acf->resolver_timeout = ms;

    return NGX_CONF_OK;
}


/* What the directives have left open. */

static ngx_int_t
ngx_http_autocert_init_core(ngx_conf_t *cf,
    ngx_http_autocert_main_conf_t *amcf)
{
    ngx_autocert_conf_t  *acf;

    static ngx_str_t  ca = ngx_string("letsencrypt");
    static ngx_str_t  path = ngx_string(NGX_AUTOCERT_STATE);

    acf = amcf->acf;

    if (acf->ca.data == NULL
        && ngx_autocert_set_ca(cf, acf, &ca) != NGX_CONF_OK)
    {
        return NGX_ERROR;
    }

    if (acf->path.data == NULL
        && ngx_autocert_set_path(cf, acf, &path) != NGX_CONF_OK)
    {
        return NGX_ERROR;
    }

    ngx_conf_init_msec_value(acf->resolver_timeout, 30000);

    if (acf->contacts.nelts == 0) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "autocert: no email address is given, the account will "
                      "have no contact; \"autocert on user@host;\" at the "
                      "http level sets one");
    }

    acf->handler = ngx_http_init_connection;
    acf->shakes = ngx_http_autocert_shakes;

    return ngx_http_autocert_init_resolver(cf, amcf);
}


/* Ours, else that of the http level, else the system's. */

static ngx_int_t
ngx_http_autocert_init_resolver(ngx_conf_t *cf,
    ngx_http_autocert_main_conf_t *amcf)
{
    ngx_str_t                  addrs[NGX_HTTP_AUTOCERT_RESOLVERS];
    ngx_uint_t                 n;
    ngx_autocert_conf_t       *acf;
    ngx_http_core_loc_conf_t  *clcf;

    acf = amcf->acf;

    if (acf->resolver) {
        return NGX_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver && ngx_http_autocert_compat_resolves(clcf->resolver)) {
        acf->resolver = clcf->resolver;
        return NGX_OK;
    }

    n = ngx_http_autocert_system_resolver(cf, addrs);

    if (n == 0) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: there is no \"resolver\" and no nameserver "
                      "in " NGX_HTTP_AUTOCERT_RESOLV_CONF ", so the CA can't "
                      "be found by name; set \"autocert_resolver\"");
        return NGX_OK;
    }

    acf->resolver = ngx_resolver_create(cf, addrs, n);

    return acf->resolver ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_http_autocert_system_resolver(ngx_conf_t *cf, ngx_str_t *addrs)
{
    FILE        *fp;
    char         line[512], word[256];
    u_char      *p;
    ngx_addr_t   addr;
    ngx_uint_t   n;

    fp = fopen(NGX_HTTP_AUTOCERT_RESOLV_CONF, "r");
    if (fp == NULL) {
        return 0;
    }

    n = 0;

    while (n < NGX_HTTP_AUTOCERT_RESOLVERS && fgets(line, sizeof(line), fp)) {

        /* others, such as an address with a scope, NGINX does not know */

        if (sscanf(line, " nameserver %255s", word) != 1
            || ngx_parse_addr(cf->pool, &addr, (u_char *) word,
                              ngx_strlen(word))
               != NGX_OK)
        {
            continue;
        }

        p = ngx_pnalloc(cf->pool, sizeof(word) + 2);
        if (p == NULL) {
            break;
        }

        addrs[n].data = p;

        p = ngx_sprintf(p, ngx_strchr(word, ':') ? "[%s]" : "%s", word);
        addrs[n].len = p - addrs[n].data;
        n++;
    }

    (void) fclose(fp);

    return n;
}


static ngx_int_t
ngx_http_autocert_server(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_http_core_srv_conf_t *cscf)
{
    ngx_http_ssl_srv_conf_t       *sscf;
    ngx_http_autocert_srv_conf_t  *ascf;

    ascf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_autocert_module);
    sscf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_ssl_module);

    if (!ascf->enable) {
        ngx_http_autocert_beside(cf, cscf);
        return NGX_OK;
    }

    ascf->acf = acf;

    if (ngx_http_autocert_names(cf, acf, cscf, ascf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_autocert_unanswerable(cf, acf, ascf);

    if (!ascf->tls) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: the server has no \"listen ... ssl\" to "
                      "serve its certificate on, in %s:%ui",
                      ascf->file, ascf->line);
    }

    if (sscf->ssl.ctx == NULL) {
        return NGX_OK;
    }

    ngx_http_autocert_check_stapling(cf, acf, cscf);

    if (ascf->fallback) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "autocert: the key of the \"ssl_certificate\" that is "
                      "served until one is issued is in the memory of the "
                      "workers, in %s:%ui", ascf->file, ascf->line);
    }

    return ngx_http_autocert_serve(cf, cscf);
}


static ngx_int_t
ngx_http_autocert_names(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_http_core_srv_conf_t *cscf, ngx_http_autocert_srv_conf_t *ascf)
{
    ngx_int_t                rc;
    ngx_uint_t               i, index, *own;
    ngx_autocert_name_t      name;
    ngx_http_server_name_t  *sn;

    if (ngx_array_init(&ascf->names, cf->pool, 1, sizeof(ngx_uint_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&name, sizeof(ngx_autocert_name_t));

    name.curve = ascf->curve;
    name.renew_before = ascf->renew_before;
    name.chosen = ascf->chosen;
    name.challenge = ascf->challenge;
    name.file = ascf->file;
    name.line = ascf->line;

    sn = cscf->server_names.elts;

    for (i = 0; i < cscf->server_names.nelts; i++) {

        if (ngx_http_autocert_identifier(cf, &sn[i], ascf, &name.name)
            != NGX_OK)
        {
            continue;
        }

        rc = ngx_autocert_add_name(cf, acf, &name, &index);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            continue;
        }

        own = ngx_array_push(&ascf->names);
        if (own == NULL) {
            return NGX_ERROR;
        }

        *own = index;
    }

    if (ascf->names.nelts) {
        own = ascf->names.elts;
        ascf->index = own[0];

        ngx_qsort(own, ascf->names.nelts, sizeof(ngx_uint_t),
                  ngx_http_autocert_cmp_indices);

        return NGX_OK;
    }

    /* the listener is up all the same, behind a bootstrap certificate */

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "autocert: the server has no \"server_name\" that a "
                  "certificate can be had for, in %s:%ui",
                  ascf->file, ascf->line);

    ngx_str_set(&name.name, "autocert.invalid");
    name.bootstrap = 1;

    rc = ngx_autocert_add_name(cf, acf, &name, &ascf->index);

    return (rc == NGX_OK) ? NGX_OK : NGX_ERROR;
}


static int ngx_libc_cdecl
ngx_http_autocert_cmp_indices(const void *one, const void *two)
{
    ngx_uint_t  a = *(const ngx_uint_t *) one;
    ngx_uint_t  b = *(const ngx_uint_t *) two;

    return (a > b) - (a < b);
}


ngx_uint_t
ngx_http_autocert_owns(ngx_http_autocert_srv_conf_t *ascf, ngx_uint_t index)
{
    return ascf->names.nelts
           && bsearch(&index, ascf->names.elts, ascf->names.nelts,
                      sizeof(ngx_uint_t), ngx_http_autocert_cmp_indices)
              != NULL;
}


/* What a server_name asks for; NGX_DECLINED if it is not one name. */

static ngx_int_t
ngx_http_autocert_identifier(ngx_conf_t *cf, ngx_http_server_name_t *sn,
    ngx_http_autocert_srv_conf_t *ascf, ngx_str_t *name)
{
    char  *what;

    *name = sn->name;

    if (name->len == 0) {
        return NGX_DECLINED;
    }

    what = NULL;

    if (ngx_strlchr(name->data, name->data + name->len, '*')) {
        what = "a wildcard";
    }

#if (NGX_PCRE)
    if (sn->regex) {
        what = "a regular expression";
    }
#endif

    if (what) {
        ngx_log_error(NGX_LOG_INFO, cf->log, 0,
                      "autocert: server_name \"%V\" gets no certificate of "
                      "its own, it is %s, in %s:%ui",
                      name, what, ascf->file, ascf->line);
        return NGX_DECLINED;
    }

    if (name->data[0] == '.') {
        name->data++;
        name->len--;

        ngx_log_error(NGX_LOG_INFO, cf->log, 0,
                      "autocert: of server_name \"%V\" only \"%V\" gets a "
                      "certificate, in %s:%ui",
                      &sn->name, name, ascf->file, ascf->line);
    }

    return NGX_OK;
}
