
/*
 * The store's own: members of a JSON object by a table, each checked when it
 * is read and when it is written, so that what is written is read again.
 */


#ifndef _NGX_AUTOCERT_STORE_JSON_H_INCLUDED_
#define _NGX_AUTOCERT_STORE_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_json.h"
#include "ngx_autocert_store_file.h"


#define NGX_AUTOCERT_STORE_URL_MAX    2048  /* bytes */
#define NGX_AUTOCERT_STORE_TEXT_MAX   1024  /* bytes of why and detail */
#define NGX_AUTOCERT_STORE_TOKEN_MAX  128   /* bytes */
#define NGX_AUTOCERT_STORE_COUNT_MAX  0xffffffff
#define NGX_AUTOCERT_STORE_TIME_MAX   253402300799  /* the end of 9999 */


/* Types of members, and what they are in the structure. */

#define NGX_AUTOCERT_STORE_TIME   0     /* time_t: an instant, or seconds */
#define NGX_AUTOCERT_STORE_COUNT  1     /* ngx_uint_t: 32 bits of it */
#define NGX_AUTOCERT_STORE_KIND   2     /* ngx_uint_t: of a failure */
#define NGX_AUTOCERT_STORE_URL    3     /* ngx_str_t */
#define NGX_AUTOCERT_STORE_TOKEN  4     /* ngx_str_t of base64url's alphabet */
#define NGX_AUTOCERT_STORE_TEXT   5     /* ngx_str_t: made printable, cut */


typedef struct {
    const char  *name;          /* NULL: the table's end */
    char        *err;
    size_t       offset;
    ngx_uint_t   type;
} ngx_autocert_store_member_t;


#define ngx_autocert_store_member(type, name, what)                          \
    { #name, "\"" #name "\" is malformed or out of range",                   \
      offsetof(type, name), NGX_AUTOCERT_STORE_##what }

#define ngx_autocert_store_last_member  { NULL, NULL, 0, 0 }


#pragma GCC visibility push(hidden)

/* The object that text is, or NULL and *err (a constant). */
ngx_autocert_json_t *ngx_autocert_store_json_parse(ngx_pool_t *pool,
    ngx_str_t *text, char **err);

/*
 * The members of an object, into the structure data; zero or empty where
 * absent or null.  Strings are copied.  NGX_ERROR and *err otherwise.
 */
ngx_int_t ngx_autocert_store_json_get(ngx_pool_t *pool,
    ngx_autocert_json_t *json, const ngx_autocert_store_member_t *members,
    void *data, char **err);

/*
 * The array of that name; NULL if it is absent or null.  NGX_ERROR: it is
 * something else.
 */
ngx_int_t ngx_autocert_store_json_array(ngx_autocert_json_t *json,
    const char *name, ngx_autocert_json_t **array);

/* An element that is a number of the type; node may be NULL. */
ngx_int_t ngx_autocert_store_json_number(ngx_autocert_json_t *node,
    ngx_uint_t type, time_t *n);

ngx_int_t ngx_autocert_store_json_copy(ngx_pool_t *pool, ngx_str_t *src,
    ngx_str_t *dst);

/* NGX_DECLINED: a value that get would refuse.  NGX_ERROR: no memory. */
ngx_int_t ngx_autocert_store_json_put(ngx_autocert_json_writer_t *w,
    const ngx_autocert_store_member_t *members, void *data);

/* Is it in the type's range? */
ngx_uint_t ngx_autocert_store_json_is_number(ngx_uint_t type, int64_t n);

/* Writes text, or says why there is none: rc is what a print returned. */
ngx_int_t ngx_autocert_store_json_write(ngx_autocert_store_dir_t *dir,
    const char *name, ngx_int_t rc, ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_STORE_JSON_H_INCLUDED_ */
