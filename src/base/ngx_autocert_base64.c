
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_base64.h"


static ngx_int_t ngx_autocert_base64_value(u_char ch);


static u_char  ngx_autocert_base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


u_char *
ngx_autocert_base64_encode(u_char *dst, const u_char *src, size_t len)
{
    uint32_t       n;
    const u_char  *a;

    a = ngx_autocert_base64_alphabet;

    while (len > 2) {
        n = (uint32_t) src[0] << 16 | (uint32_t) src[1] << 8 | src[2];

        *dst++ = a[n >> 18];
        *dst++ = a[n >> 12 & 0x3f];
        *dst++ = a[n >> 6 & 0x3f];
        *dst++ = a[n & 0x3f];

        src += 3;
        len -= 3;
    }

    if (len == 0) {
        return dst;
    }

    *dst++ = a[src[0] >> 2];

    if (len == 1) {
        *dst++ = a[(src[0] & 0x03) << 4];
        return dst;
    }

    *dst++ = a[(src[0] & 0x03) << 4 | src[1] >> 4];
    *dst++ = a[(src[1] & 0x0f) << 2];

    return dst;
}


ngx_uint_t
ngx_autocert_base64_is(ngx_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (ngx_autocert_base64_value(text->data[i]) < 0) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_autocert_base64_decode(ngx_pool_t *pool, ngx_str_t *dst, ngx_str_t *src)
{
    u_char      *p, *start;
    uint32_t     bits;
    ngx_int_t    value;
    ngx_uint_t   i, n;

    if (src->len % 4 == 1) {
        return NGX_DECLINED;
    }

    start = ngx_pnalloc(pool, src->len / 4 * 3 + 3);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = start;
    bits = 0;
    n = 0;

    for (i = 0; i < src->len; i++) {

        value = ngx_autocert_base64_value(src->data[i]);
        if (value == NGX_ERROR) {
            return NGX_DECLINED;
        }

        bits = bits << 6 | (uint32_t) value;
        n += 6;

        if (n >= 8) {
            n -= 8;
            *p++ = (u_char) (bits >> n);
            bits &= ((uint32_t) 1 << n) - 1;
        }
    }

    /* RFC 4648, 3.5: bits left over must be zero, or two texts are one */

    if (bits != 0) {
        return NGX_DECLINED;
    }

    dst->data = start;
    dst->len = p - start;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_base64_value(u_char ch)
{
    if (ch >= 'A' && ch <= 'Z') {
        return ch - 'A';
    }

    if (ch >= 'a' && ch <= 'z') {
        return ch - 'a' + 26;
    }

    if (ch >= '0' && ch <= '9') {
        return ch - '0' + 52;
    }

    if (ch == '-') {
        return 62;
    }

    if (ch == '_') {
        return 63;
    }

    return NGX_ERROR;
}
