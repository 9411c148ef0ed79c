
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_wire.h"


static u_char *ngx_autocert_wire_advance(ngx_autocert_wire_t *w, size_t len);


void
ngx_autocert_wire_init(ngx_autocert_wire_t *w, u_char *p, size_t len)
{
    w->pos = p;
    w->end = len ? p + len : p;
    w->failed = 0;
}


void
ngx_autocert_wire_put_u32(ngx_autocert_wire_t *w, uint32_t n)
{
    u_char  *p;

    p = ngx_autocert_wire_advance(w, 4);
    if (p == NULL) {
        return;
    }

    p[0] = (u_char) (n >> 24);
    p[1] = (u_char) (n >> 16);
    p[2] = (u_char) (n >> 8);
    p[3] = (u_char) n;
}


void
ngx_autocert_wire_put_u64(ngx_autocert_wire_t *w, uint64_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_autocert_wire_advance(w, 8);
    if (p == NULL) {
        return;
    }

    for (i = 0; i < 8; i++) {
        p[i] = (u_char) (n >> (56 - 8 * i));
    }
}


void
ngx_autocert_wire_put_bytes(ngx_autocert_wire_t *w, const u_char *p,
    size_t len)
{
    u_char  *dst;

    if (len == 0) {
        return;
    }

    dst = ngx_autocert_wire_advance(w, len);
    if (dst == NULL) {
        return;
    }

    ngx_memcpy(dst, p, len);
}


void
ngx_autocert_wire_put_string(ngx_autocert_wire_t *w, const u_char *p,
    size_t len)
{
    if ((uint64_t) len > 0xffffffff) {
        w->failed = 1;
        return;
    }

    ngx_autocert_wire_put_u32(w, (uint32_t) len);
    ngx_autocert_wire_put_bytes(w, p, len);
}


uint32_t
ngx_autocert_wire_get_u32(ngx_autocert_wire_t *w)
{
    u_char  *p;

    p = ngx_autocert_wire_advance(w, 4);
    if (p == NULL) {
        return 0;
    }

    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


uint64_t
ngx_autocert_wire_get_u64(ngx_autocert_wire_t *w)
{
    u_char      *p;
    uint64_t     n;
    ngx_uint_t   i;

    p = ngx_autocert_wire_advance(w, 8);
    if (p == NULL) {
        return 0;
    }

    n = 0;

    for (i = 0; i < 8; i++) {
        n = n << 8 | p[i];
    }

    return n;
}


void
ngx_autocert_wire_get_bytes(ngx_autocert_wire_t *w, u_char *p, size_t len)
{
    u_char  *src;

    if (len == 0) {
        return;
    }

    src = ngx_autocert_wire_advance(w, len);

    if (src == NULL) {
        ngx_memzero(p, len);
        return;
    }

    ngx_memcpy(p, src, len);
}


void
ngx_autocert_wire_get_string(ngx_autocert_wire_t *w, ngx_str_t *s)
{
    u_char    *p;
    uint32_t   len;

    ngx_str_null(s);

    len = ngx_autocert_wire_get_u32(w);

    p = ngx_autocert_wire_advance(w, len);
    if (p == NULL) {
        return;
    }

    s->data = p;
    s->len = len;
}


ngx_int_t
ngx_autocert_wire_done(ngx_autocert_wire_t *w)
{
    if (w->failed || w->pos != w->end) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static u_char *
ngx_autocert_wire_advance(ngx_autocert_wire_t *w, size_t len)
{
    u_char  *p;

    if (w->failed) {
        return NULL;
    }

    if ((size_t) (w->end - w->pos) < len) {
        w->failed = 1;
        return NULL;
    }

    p = w->pos;
    w->pos += len;

    return p;
}
