
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_base64.h"
#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_json.h"
#include "ngx_autocert_store_file.h"
#include "ngx_autocert_store_json.h"


static ngx_int_t ngx_autocert_store_json_get_number(ngx_autocert_json_t *json,
    const ngx_autocert_store_member_t *member, void *data);
static ngx_int_t ngx_autocert_store_json_get_string(ngx_pool_t *pool,
    ngx_autocert_json_t *json, const ngx_autocert_store_member_t *member,
    ngx_str_t *string);
static ngx_int_t ngx_autocert_store_json_put_number(
    ngx_autocert_json_writer_t *w, const ngx_autocert_store_member_t *member,
    void *data);
static ngx_int_t ngx_autocert_store_json_put_string(
    ngx_autocert_json_writer_t *w, const ngx_autocert_store_member_t *member,
    ngx_str_t *string);
static ngx_uint_t ngx_autocert_store_json_is_string(ngx_uint_t type,
    ngx_str_t *string);
static ngx_uint_t ngx_autocert_store_json_is_url(ngx_str_t *url);


ngx_autocert_json_t *
ngx_autocert_store_json_parse(ngx_pool_t *pool, ngx_str_t *text, char **err)
{
    ngx_autocert_json_t  *json;

    json = ngx_autocert_json_parse(pool, text, err);

    if (json && json->type != NGX_AUTOCERT_JSON_OBJECT) {
        *err = "no JSON object";
        return NULL;
    }

    return json;
}


ngx_int_t
ngx_autocert_store_json_get(ngx_pool_t *pool, ngx_autocert_json_t *json,
    const ngx_autocert_store_member_t *members, void *data, char **err)
{
    void                               *p;
    ngx_int_t                           rc;
    const ngx_autocert_store_member_t  *m;

    for (m = members; m->name; m++) {

        p = (u_char *) data + m->offset;

        if (m->type < NGX_AUTOCERT_STORE_URL) {
            rc = ngx_autocert_store_json_get_number(json, m, p);

        } else {
            rc = ngx_autocert_store_json_get_string(pool, json, m, p);
        }

        if (rc != NGX_OK) {
            *err = (rc == NGX_ABORT) ? "out of memory" : m->err;
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_store_json_get_number(ngx_autocert_json_t *json,
    const ngx_autocert_store_member_t *member, void *data)
{
    int64_t    n;
    ngx_int_t  rc;

    rc = ngx_autocert_json_get_integer(json, member->name, &n);

    if (rc == NGX_DECLINED) {
        n = 0;

    } else if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_autocert_store_json_is_number(member->type, n)) {
        return NGX_ERROR;
    }

    if (member->type == NGX_AUTOCERT_STORE_TIME) {
        *(time_t *) data = (time_t) n;

    } else {
        *(ngx_uint_t *) data = (ngx_uint_t) n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_store_json_get_string(ngx_pool_t *pool,
    ngx_autocert_json_t *json, const ngx_autocert_store_member_t *member,
    ngx_str_t *string)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    rc = ngx_autocert_json_get_string(json, member->name, &value);

    if (rc == NGX_DECLINED) {
        ngx_str_null(string);
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (member->type == NGX_AUTOCERT_STORE_TEXT) {
        rc = ngx_autocert_fail_text(pool, &value, NGX_AUTOCERT_STORE_TEXT_MAX,
                                    string);

    } else if (ngx_autocert_store_json_is_string(member->type, &value)) {
        rc = ngx_autocert_store_json_copy(pool, &value, string);

    } else {
        return NGX_ERROR;
    }

    return rc == NGX_OK ? NGX_OK : NGX_ABORT;
}


ngx_int_t
ngx_autocert_store_json_array(ngx_autocert_json_t *json, const char *name,
    ngx_autocert_json_t **array)
{
    *array = ngx_autocert_json_get(json, name);

    if (*array == NULL || (*array)->type == NGX_AUTOCERT_JSON_ARRAY) {
        return NGX_OK;
    }

    if ((*array)->type == NGX_AUTOCERT_JSON_NULL) {
        *array = NULL;
        return NGX_OK;
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_autocert_store_json_number(ngx_autocert_json_t *node, ngx_uint_t type,
    time_t *n)
{
    if (node == NULL || node->type != NGX_AUTOCERT_JSON_NUMBER) {
        return NGX_ERROR;
    }

    *n = ngx_atotm(node->value.data, node->value.len);

    return ngx_autocert_store_json_is_number(type, *n) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_autocert_store_json_copy(ngx_pool_t *pool, ngx_str_t *src, ngx_str_t *dst)
{
    dst->data = ngx_pnalloc(pool, src->len + 1);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(dst->data, src->data, src->len) = '\0';
    dst->len = src->len;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_json_put(ngx_autocert_json_writer_t *w,
    const ngx_autocert_store_member_t *members, void *data)
{
    void                               *p;
    ngx_int_t                           rc;
    const ngx_autocert_store_member_t  *m;

    for (m = members; m->name; m++) {

        p = (u_char *) data + m->offset;

        if (m->type < NGX_AUTOCERT_STORE_URL) {
            rc = ngx_autocert_store_json_put_number(w, m, p);

        } else {
            rc = ngx_autocert_store_json_put_string(w, m, p);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_store_json_put_number(ngx_autocert_json_writer_t *w,
    const ngx_autocert_store_member_t *member, void *data)
{
    int64_t  n;

    if (member->type == NGX_AUTOCERT_STORE_TIME) {
        n = *(time_t *) data;

    } else {
        n = (int64_t) *(ngx_uint_t *) data;
    }

    if (!ngx_autocert_store_json_is_number(member->type, n)) {
        return NGX_DECLINED;
    }

    ngx_autocert_json_put_integer(w, member->name, n);

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_store_json_put_string(ngx_autocert_json_writer_t *w,
    const ngx_autocert_store_member_t *member, ngx_str_t *string)
{
    ngx_str_t  text;

    text = *string;

    if (member->type == NGX_AUTOCERT_STORE_TEXT) {

        if (ngx_autocert_fail_text(w->pool, string,
                                   NGX_AUTOCERT_STORE_TEXT_MAX, &text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else if (!ngx_autocert_store_json_is_string(member->type, string)) {
        return NGX_DECLINED;
    }

    ngx_autocert_json_put_string(w, member->name, &text);

    return NGX_OK;
}


ngx_uint_t
ngx_autocert_store_json_is_number(ngx_uint_t type, int64_t n)
{
    int64_t  max;

    switch (type) {

    case NGX_AUTOCERT_STORE_TIME:
        max = NGX_AUTOCERT_STORE_TIME_MAX;
        break;

    case NGX_AUTOCERT_STORE_COUNT:
        max = NGX_AUTOCERT_STORE_COUNT_MAX;
        break;

    default:
        max = NGX_AUTOCERT_FAIL_BUDGET;
    }

    return n >= 0 && n <= max;
}


/* the names of challenges are of the alphabet of tokens as well */

static ngx_uint_t
ngx_autocert_store_json_is_string(ngx_uint_t type, ngx_str_t *string)
{
    if (type == NGX_AUTOCERT_STORE_URL) {
        return ngx_autocert_store_json_is_url(string);
    }

    return string->len <= NGX_AUTOCERT_STORE_TOKEN_MAX
           && ngx_autocert_base64_is(string);
}


static ngx_uint_t
ngx_autocert_store_json_is_url(ngx_str_t *url)
{
    size_t  i;

    for (i = 0; i < url->len; i++) {
        if (url->data[i] <= 0x20 || url->data[i] >= 0x7f) {
            return 0;
        }
    }

    return url->len <= NGX_AUTOCERT_STORE_URL_MAX;
}


ngx_int_t
ngx_autocert_store_json_write(ngx_autocert_store_dir_t *dir, const char *name,
    ngx_int_t rc, ngx_str_t *text)
{
    if (rc != NGX_OK) {
        return ngx_autocert_store_file_failed(dir, name, "write",
                                         rc == NGX_ERROR ? ENOMEM : EINVAL);
    }

    return ngx_autocert_store_file_write(dir, name,
                                         NGX_AUTOCERT_STORE_SECRET, text);
}
