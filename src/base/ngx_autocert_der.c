
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_der.h"


ngx_int_t
ngx_autocert_der_get(ngx_str_t *in, ngx_uint_t tag, ngx_str_t *content)
{
    u_char  *p;
    size_t   n, len;

    if (in->len < 2 || in->data[0] != tag) {
        return NGX_DECLINED;
    }

    p = in->data + 2;
    len = in->data[1];

    if (len >= 0x80) {
        n = len & 0x7f;

        if (n < 1 || n > 2 || in->len - 2 < n) {
            return NGX_DECLINED;
        }

        len = (n == 1) ? p[0] : (size_t) (p[0] << 8 | p[1]);
        p += n;

        if (len < 0x80 || (n == 2 && len < 0x100)) {
            return NGX_DECLINED;
        }
    }

    if ((size_t) (in->data + in->len - p) < len) {
        return NGX_DECLINED;
    }

    content->data = p;
    content->len = len;

    in->len -= p + len - in->data;
    in->data = p + len;

    return NGX_OK;
}
