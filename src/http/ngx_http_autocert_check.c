
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_autocert_module.h"


static ngx_str_t *ngx_http_autocert_check_location(ngx_str_t *path,
    ngx_http_core_loc_conf_t *clcf);
static ngx_str_t *ngx_http_autocert_check_tree(ngx_str_t *path,
    ngx_http_location_tree_node_t *node);
static ngx_uint_t ngx_http_autocert_check_below(ngx_str_t *path,
    ngx_str_t *root);


void
ngx_http_autocert_check_stapling(ngx_conf_t *cf, ngx_autocert_conf_t *acf,
    ngx_http_core_srv_conf_t *cscf)
{
    ngx_http_ssl_srv_conf_t       *sscf;
    ngx_http_autocert_srv_conf_t  *ascf;

    sscf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_ssl_module);
    ascf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_autocert_module);

    if (sscf->stapling != 1) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "autocert: \"ssl_stapling on\" has no effect here: NGINX "
                  "staples to certificates of \"ssl_certificate\" alone%s, in "
                  "%s:%ui", acf->public ? ", and the CA has no OCSP" : "",
                  ascf->file, ascf->line);
}


void
ngx_http_autocert_check_roots(ngx_conf_t *cf, ngx_autocert_conf_t *acf)
{
    ngx_str_t                   *root;
    ngx_uint_t                   s;
    ngx_http_core_srv_conf_t   **cscfp;
    ngx_http_core_main_conf_t   *cmcf;

    static ngx_str_t  all = ngx_string("/");

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    cscfp = cmcf->servers.elts;

    for (s = 0; s < cmcf->servers.nelts; s++) {

        root = ngx_http_autocert_check_location(&acf->path,
                   cscfp[s]->ctx->loc_conf[ngx_http_core_module.ctx_index]);

        if (root == NULL) {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "autocert: the store \"%V\" is below \"%V\", of which "
                      "files are served: put it elsewhere with "
                      "\"autocert_path\", in %s:%ui",
                      &acf->path, root->len ? root : &all,
                      cscfp[s]->file_name, cscfp[s]->line);
        return;
    }
}


/* The root of this location, or of one within, that path is below; or NULL. */

static ngx_str_t *
ngx_http_autocert_check_location(ngx_str_t *path,
    ngx_http_core_loc_conf_t *clcf)
{
#if (NGX_PCRE)
    ngx_str_t                  *root;
    ngx_http_core_loc_conf_t  **regex;
#endif

    /* what has variables is not known yet */

    if (clcf->root_lengths == NULL
        && ngx_http_autocert_check_below(path, &clcf->root))
    {
        return &clcf->root;
    }

#if (NGX_PCRE)

    for (regex = clcf->regex_locations; regex && *regex; regex++) {
        root = ngx_http_autocert_check_location(path, *regex);
        if (root) {
            return root;
        }
    }

#endif

    return ngx_http_autocert_check_tree(path, clcf->static_locations);
}


static ngx_str_t *
ngx_http_autocert_check_tree(ngx_str_t *path,
    ngx_http_location_tree_node_t *node)
{
    ngx_str_t  *root;

    root = NULL;

    for ( /* void */ ; node && root == NULL; node = node->right) {

        if (node->exact) {
            root = ngx_http_autocert_check_location(path, node->exact);
        }

        if (root == NULL && node->inclusive) {
            root = ngx_http_autocert_check_location(path, node->inclusive);
        }

        if (root == NULL) {
            root = ngx_http_autocert_check_tree(path, node->left);
        }

        if (root == NULL) {
            root = ngx_http_autocert_check_tree(path, node->tree);
        }
    }

    return root;
}


static ngx_uint_t
ngx_http_autocert_check_below(ngx_str_t *path, ngx_str_t *root)
{
    size_t  len;

    /* NGINX has cut the slash off: of "/", too */

    len = root->len;

    while (len && root->data[len - 1] == '/') {
        len--;
    }

    return path->len >= len
           && ngx_strncmp(path->data, root->data, len) == 0
           && (path->len == len || path->data[len] == '/');
}
