
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_time.h"
#include "../store/ngx_autocert_store.h"
#include "ngx_autocert_check.h"


static void ngx_autocert_check_place(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    char *what, ngx_str_t *why);
static void ngx_autocert_check_names(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_autocert_store_t *store, ngx_pool_t *pool);
static ngx_int_t ngx_autocert_check_early(ngx_conf_t *cf,
    ngx_autocert_name_t *name, ngx_autocert_chain_t *chain);


void
ngx_autocert_check(ngx_conf_t *cf, ngx_autocert_conf_t *acf)
{
    ngx_pool_t            *pool;
    struct stat            st;
    ngx_autocert_fail_t    fail;
    ngx_autocert_store_t   store;

    pool = ngx_create_pool(4096, cf->log);
    if (pool == NULL) {
        return;
    }

    store.path = acf->path;

    if (ngx_autocert_store_parents(&store, pool, &fail) != NGX_OK) {
        ngx_autocert_check_place(cf, acf, "who can write to a directory above "
                                 "the store can put another in its place",
                                 &fail.why);
    }

    /* one that is not there is not made; one of root's is for root alone */

    if (lstat((char *) acf->path.data, &st) == 0
        && (geteuid() == 0 || geteuid() == st.st_uid))
    {
        if (ngx_autocert_store_open(&store, pool, &acf->path, &fail)
            == NGX_OK)
        {
            ngx_autocert_check_names(cf, acf, &store, pool);
            ngx_autocert_store_close(&store);

        } else {
            ngx_autocert_check_place(cf, acf, "no certificate will be "
                                     "obtained or kept", &fail.why);
        }
    }

    ngx_destroy_pool(pool);
}


static void
ngx_autocert_check_place(ngx_conf_t *cf, ngx_autocert_conf_t *acf, char *what,
    ngx_str_t *why)
{
    if (acf->path_file) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: %s: %V, in %s:%ui", what, why,
                      acf->path_file, acf->path_line);
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0, "autocert: %s: %V", what, why);
}


static void
ngx_autocert_check_names(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_autocert_store_t *store, ngx_pool_t *pool)
{
    ngx_uint_t             i, line;
    ngx_autocert_fail_t    fail;
    ngx_autocert_name_t   *name;
    ngx_autocert_chain_t  *chain;

    name = acf->names.elts;
    line = 0;

    for (i = 0; i < acf->names.nelts; i++) {

        /* one of the names of a server is enough */

        if (!name[i].chosen || name[i].line == line
            || ngx_autocert_store_chain(store, pool, &name[i].name, &chain,
                                        &fail)
               != NGX_OK)
        {
            continue;
        }

        if (ngx_autocert_check_early(cf, &name[i], chain) != NGX_OK) {
            line = name[i].line;
        }

        ngx_autocert_x509_chain_free(chain);
    }
}


static ngx_int_t
ngx_autocert_check_early(ngx_conf_t *cf, ngx_autocert_name_t *name,
    ngx_autocert_chain_t *chain)
{
    time_t  life, before;

    life = chain->not_after - chain->not_before;
    before = chain->not_after
             - ngx_autocert_time_renewal(chain->not_before, chain->not_after,
                                         name->renew_before);

    if (before >= name->renew_before) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "autocert: \"autocert_renew_before\" is too long for the "
                  "certificate of \"%V\", which lives %T hours: it is "
                  "renewed %T hours before its end, in %s:%ui",
                  &name->name, life / 3600, before / 3600,
                  name->file, name->line);

    return NGX_DECLINED;
}
