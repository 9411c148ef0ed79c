
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_json.h"


#define NGX_AUTOCERT_FAIL_WHY         512
#define NGX_AUTOCERT_FAIL_TOKEN       22    /* RFC 8555, 8: 128 bits at least */
#define NGX_AUTOCERT_FAIL_THUMBPRINT  43


static u_char *ngx_autocert_fail_hide(u_char *p, u_char *last,
    ngx_uint_t cut);
static ngx_uint_t ngx_autocert_fail_is_base64url(u_char c);
static ngx_uint_t ngx_autocert_fail_is_control(u_char *p);


ngx_int_t
ngx_autocert_fail(ngx_autocert_fail_t *fail, ngx_pool_t *pool,
    ngx_uint_t kind, const char *fmt, ...)
{
    u_char   *p, *last;
    size_t    len;
    va_list   args;
    u_char    buf[NGX_AUTOCERT_FAIL_WHY];

    if (pool == NULL) {
        ngx_memzero(fail, sizeof(ngx_autocert_fail_t));
        fail->kind = kind;
        return NGX_ERROR;
    }

    /* an argument may be part of the record that is overwritten */

    va_start(args, fmt);
    last = ngx_vslprintf(buf, buf + NGX_AUTOCERT_FAIL_WHY, fmt, args);
    va_end(args);

    len = last - buf;

    ngx_memzero(fail, sizeof(ngx_autocert_fail_t));
    fail->kind = kind;

    p = ngx_pnalloc(pool, len + 1);

    if (p == NULL) {
        ngx_str_set(&fail->why, "out of memory");
        return NGX_ERROR;
    }

    ngx_memcpy(p, buf, len);

    fail->why.data = p;
    fail->why.len = len;

    return NGX_ERROR;
}


ngx_uint_t
ngx_autocert_fail_tell(ngx_autocert_fail_told_t *told,
    ngx_autocert_fail_t *fail, time_t now, time_t pace)
{
    uint32_t  why;

    why = ngx_crc32_long(fail->why.data, fail->why.len);

    /* of a later time: the clock was set back */

    if (told->why == why && now >= told->at && now - told->at < pace) {
        return 0;
    }

    told->why = why;
    told->at = now;

    return 1;
}


ngx_int_t
ngx_autocert_fail_text(ngx_pool_t *pool, ngx_str_t *text, size_t max,
    ngx_str_t *out)
{
    u_char  *p, *last, *dst, *start, *end;
    size_t   len, size;

    size = ngx_min(text->len, max);

    start = ngx_pnalloc(pool, size + 1);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = text->data;
    last = text->len ? p + text->len : p;
    dst = start;
    end = start + size;

    while (p < last && dst < end) {

        len = ngx_autocert_json_utf8(p, last);

        if (len == 0) {
            *dst++ = '?';
            p++;
            continue;
        }

        if (ngx_autocert_fail_is_control(p)) {
            *dst++ = '?';
            p += len;
            continue;
        }

        if ((size_t) (end - dst) < len) {
            break;
        }

        dst = ngx_cpymem(dst, p, len);
        p += len;
    }

    out->data = start;
    out->len = ngx_autocert_fail_hide(start, dst, p < last) - start;

    return NGX_OK;
}


/*
 * A CA that has got a wrong answer may quote the right one: of a key
 * authorization (RFC 8555, 8.1) the thumbprint becomes "..".
 */

static u_char *
ngx_autocert_fail_hide(u_char *p, u_char *last, ngx_uint_t cut)
{
    u_char  *dst, *end;
    size_t   n, token;

    dst = p;
    token = 0;

    while (p < last) {
        *dst++ = *p;

        if (ngx_autocert_fail_is_base64url(*p++)) {
            token++;
            continue;
        }

        if (dst[-1] == '.' && token >= NGX_AUTOCERT_FAIL_TOKEN) {

            for (end = p; end < last; end++) {
                if (!ngx_autocert_fail_is_base64url(*end)) {
                    break;
                }
            }

            n = end - p;

            if (n == NGX_AUTOCERT_FAIL_THUMBPRINT
                || (cut && end == last && n > 2))
            {
                dst = ngx_cpymem(dst, "..", 2);
                p = end;
            }
        }

        token = 0;
    }

    return dst;
}


static ngx_uint_t
ngx_autocert_fail_is_base64url(u_char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '-' || c == '_';
}


/* One character of UTF-8 that ends a line, turns its direction or hides. */

static ngx_uint_t
ngx_autocert_fail_is_control(u_char *p)
{
    switch (p[0]) {

    case 0xc2:                                          /* C1 */
        return p[1] < 0xa0;

    case 0xd8:                                          /* U+061C */
        return p[1] == 0x9c;

    case 0xe2:
        return (p[1] == 0x80
                && ((p[2] >= 0x8b && p[2] <= 0x8f)      /* U+200B to 200F */
                    || (p[2] >= 0xa8 && p[2] <= 0xae))) /* U+2028 to 202E */
               || (p[1] == 0x81
                   && p[2] >= 0xa6 && p[2] <= 0xa9);    /* U+2066 to 2069 */

    default:
        return p[0] < 0x20 || p[0] == 0x7f;
    }
}
