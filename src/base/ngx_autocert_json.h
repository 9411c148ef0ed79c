
/* JSON (RFC 8259): a strict parser into a tree of nodes, and a writer. */


#ifndef _NGX_AUTOCERT_JSON_H_INCLUDED_
#define _NGX_AUTOCERT_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_JSON_NULL     0
#define NGX_AUTOCERT_JSON_FALSE    1
#define NGX_AUTOCERT_JSON_TRUE     2
#define NGX_AUTOCERT_JSON_NUMBER   3
#define NGX_AUTOCERT_JSON_STRING   4
#define NGX_AUTOCERT_JSON_ARRAY    5
#define NGX_AUTOCERT_JSON_OBJECT   6

#define NGX_AUTOCERT_JSON_SIZE     262144   /* bytes of text */
#define NGX_AUTOCERT_JSON_DEPTH    32
#define NGX_AUTOCERT_JSON_NODES    8192


typedef struct ngx_autocert_json_s  ngx_autocert_json_t;

struct ngx_autocert_json_s {
    ngx_uint_t            type;
    ngx_str_t             name;     /* of an object's member, decoded */
    ngx_str_t             value;    /* string: decoded; number: its text */
    ngx_autocert_json_t  *child;    /* first of an array or object */
    ngx_autocert_json_t  *next;
};


/* Text under construction; the first failure sticks and done reports it. */

typedef struct {
    ngx_pool_t  *pool;
    u_char      *start;
    u_char      *last;
    u_char      *end;
    unsigned     comma:1;
    unsigned     failed:1;
} ngx_autocert_json_writer_t;


#pragma GCC visibility push(hidden)

/*
 * Strings in the tree point into text where nothing had to be decoded, so
 * text must outlive the pool.  Refused: duplicate names, invalid UTF-8, lone
 * surrogates, NUL in a string, trailing bytes, more than the limits above.
 * Returns NULL and sets *err (a constant) at the first fault; never reads
 * past text.
 */
ngx_autocert_json_t *ngx_autocert_json_parse(ngx_pool_t *pool,
    ngx_str_t *text, char **err);

/* The member of an object, or NULL if absent or json is no object or NULL. */
ngx_autocert_json_t *ngx_autocert_json_get(ngx_autocert_json_t *json,
    const char *name);

/*
 * A member of the given type.  NGX_OK; NGX_DECLINED if absent or null;
 * NGX_ERROR if it has another type or (number) is no integer that fits.
 */
ngx_int_t ngx_autocert_json_get_string(ngx_autocert_json_t *json,
    const char *name, ngx_str_t *value);
ngx_int_t ngx_autocert_json_get_integer(ngx_autocert_json_t *json,
    const char *name, int64_t *value);

/* Length of the well-formed UTF-8 character at p (RFC 3629), or 0. */
size_t ngx_autocert_json_utf8(const u_char *p, const u_char *last);

ngx_int_t ngx_autocert_json_writer_init(ngx_autocert_json_writer_t *w,
    ngx_pool_t *pool);

/* Into buf, which does not grow: what is longer fails. */
void ngx_autocert_json_writer_over(ngx_autocert_json_writer_t *w,
    u_char *buf, size_t size);

/*
 * Inside an object name is the member's; inside an array it is NULL.  open
 * is '{' or '[', close '}' or ']'.  put_text puts a fragment that is JSON
 * already.
 */
void ngx_autocert_json_open(ngx_autocert_json_writer_t *w, const char *name,
    u_char open);
void ngx_autocert_json_close(ngx_autocert_json_writer_t *w, u_char close);
void ngx_autocert_json_put_string(ngx_autocert_json_writer_t *w,
    const char *name, ngx_str_t *value);
void ngx_autocert_json_put_integer(ngx_autocert_json_writer_t *w,
    const char *name, int64_t value);
void ngx_autocert_json_put_null(ngx_autocert_json_writer_t *w,
    const char *name);
void ngx_autocert_json_put_bool(ngx_autocert_json_writer_t *w,
    const char *name, ngx_uint_t value);
void ngx_autocert_json_put_text(ngx_autocert_json_writer_t *w,
    const char *name, ngx_str_t *text);

/* NGX_OK and the text, or NGX_ERROR if memory ran out on the way. */
ngx_int_t ngx_autocert_json_done(ngx_autocert_json_writer_t *w,
    ngx_str_t *text);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_JSON_H_INCLUDED_ */
