
#include "ngx_http_autocert_module.h"


#define NGX_HTTP_AUTOCERT_NAME       0
#define NGX_HTTP_AUTOCERT_NOT_AFTER  1
#define NGX_HTTP_AUTOCERT_DAYS_LEFT  2
#define NGX_HTTP_AUTOCERT_STATE      3


static ngx_int_t ngx_http_autocert_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_autocert_connection_name(ngx_http_request_t *r,
    ngx_autocert_conf_t **acf, ngx_uint_t *index);
static ngx_int_t ngx_http_autocert_variable_digest(ngx_http_request_t *r,
    ngx_autocert_digest_t *digest, uintptr_t data, ngx_str_t *value);


static ngx_http_variable_t  ngx_http_autocert_vars[] = {

    { ngx_string("autocert_name"), NULL, ngx_http_autocert_variable,
      NGX_HTTP_AUTOCERT_NAME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("autocert_not_after"), NULL, ngx_http_autocert_variable,
      NGX_HTTP_AUTOCERT_NOT_AFTER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("autocert_days_left"), NULL, ngx_http_autocert_variable,
      NGX_HTTP_AUTOCERT_DAYS_LEFT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("autocert_state"), NULL, ngx_http_autocert_variable,
      NGX_HTTP_AUTOCERT_STATE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_autocert_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_autocert_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_autocert_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t               value;
    ngx_uint_t              index;
    ngx_autocert_conf_t    *acf;
    ngx_autocert_name_t    *name;
    ngx_autocert_digest_t   digest;

    v->not_found = 1;

    if (ngx_http_autocert_connection_name(r, &acf, &index) != NGX_OK) {
        return NGX_OK;
    }

    name = acf->names.elts;

    if (data == NGX_HTTP_AUTOCERT_NAME) {
        value = name[index].name;

    } else {
        (void) ngx_autocert_digest(acf, index, ngx_time(), &digest);

        if (data != NGX_HTTP_AUTOCERT_STATE && digest.not_after == 0) {
            return NGX_OK;
        }

        if (ngx_http_autocert_variable_digest(r, &digest, data, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* By the server that the handshake was with, which a Host may not name. */

static ngx_int_t
ngx_http_autocert_connection_name(ngx_http_request_t *r,
    ngx_autocert_conf_t **acf, ngx_uint_t *index)
{
    ngx_autocert_name_t           *name;
    ngx_http_connection_t         *hc;
    ngx_http_autocert_srv_conf_t  *ascf;

    hc = r->http_connection;

    if (hc == NULL || r->connection->ssl == NULL) {
        return NGX_DECLINED;
    }

    ascf = hc->conf_ctx->srv_conf[ngx_http_autocert_module.ctx_index];

    if (ascf->acf == NULL || ascf->acf->core == NULL) {
        return NGX_DECLINED;
    }

    *acf = ascf->acf;
    *index = ngx_http_autocert_index(ascf, r->connection->ssl->connection,
                                     hc);

    name = ascf->acf->names.elts;

    return name[*index].bootstrap ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_http_autocert_variable_digest(ngx_http_request_t *r,
    ngx_autocert_digest_t *digest, uintptr_t data, ngx_str_t *value)
{
    u_char  *p;

    if (data == NGX_HTTP_AUTOCERT_STATE) {
        *value = *ngx_autocert_state_name(digest->state);
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("2026-11-24T00:00:00Z")
                             + NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;

    if (data == NGX_HTTP_AUTOCERT_NOT_AFTER) {
        p = ngx_autocert_report_time(p, digest->not_after);

    } else {
        p = ngx_sprintf(p, "%i", ngx_autocert_days_left(digest->not_after,
                                                        ngx_time()));
    }

    value->len = p - value->data;

    return NGX_OK;
}
