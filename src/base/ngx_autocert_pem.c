
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_pem.h"

#include <openssl/crypto.h>


static ngx_int_t ngx_autocert_pem_base64(ngx_str_t *in, ngx_str_t *der);
static u_char ngx_autocert_pem_value(u_char c);


ngx_int_t
ngx_autocert_pem_block(ngx_str_t *in, ngx_str_t *label, ngx_str_t *der,
    char **err)
{
    u_char     *p, *last;
    ngx_str_t   body;

    ngx_autocert_pem_blanks(in);

    if (in->len == 0) {
        return NGX_DONE;
    }

    *err = "not in PEM";

    last = in->data + in->len;

    if (in->len < 11 || ngx_strncmp(in->data, "-----BEGIN ", 11) != 0) {
        return NGX_ERROR;
    }

    label->data = in->data + 11;

    for (p = label->data; p < last; p++) {
        if (*p != ' ' && (*p < 'A' || *p > 'Z') && (*p < '0' || *p > '9')) {
            break;
        }
    }

    label->len = p - label->data;

    if (label->len == 0
        || last - p < 5 || ngx_strncmp(p, "-----", 5) != 0)
    {
        return NGX_ERROR;
    }

    body.data = p + 5;

    for (p = body.data; p < last; p++) {

        if (*p == ':') {
            *err = "PEM with header fields, as of an encrypted key";
            return NGX_ERROR;
        }

        if (*p == '-' && (last - p < 5 || ngx_strncmp(p, "-----", 5) == 0)) {
            break;
        }
    }

    body.len = p - body.data;

    if ((size_t) (last - p) < 9 + label->len + 5
        || ngx_strncmp(p, "-----END ", 9) != 0
        || ngx_strncmp(p + 9, label->data, label->len) != 0
        || ngx_strncmp(p + 9 + label->len, "-----", 5) != 0)
    {
        *err = "PEM without its end";
        return NGX_ERROR;
    }

    p += 9 + label->len + 5;

    if (p < last && *p != '\n' && *p != '\r' && *p != ' ' && *p != '\t') {
        return NGX_ERROR;
    }

    if (ngx_autocert_pem_base64(&body, der) != NGX_OK) {
        *err = "PEM with damaged base64";
        return NGX_ERROR;
    }

    in->data = p;
    in->len = last - p;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_pem_base64(ngx_str_t *in, ngx_str_t *der)
{
    u_char      c, *p, *dst, value;
    size_t      i, size;
    uint32_t    bits;
    ngx_uint_t  n, pad;

    size = in->len / 4 * 3 + 3;

    der->data = OPENSSL_malloc(size);
    if (der->data == NULL) {
        return NGX_ERROR;
    }

    dst = der->data;
    bits = 0;
    n = 0;
    pad = 0;

    for (i = 0, p = in->data; i < in->len; i++, p++) {

        c = *p;

        if (c == '\n' || c == '\r' || c == ' ' || c == '\t') {
            continue;
        }

        if (c == '=') {
            pad++;
            n++;
            bits <<= 6;

            if (n % 4 == 1 || n % 4 == 2 || pad > 2) {
                goto failed;
            }

        } else {

            value = ngx_autocert_pem_value(c);

            if (value > 63 || pad) {
                goto failed;
            }

            n++;
            bits = bits << 6 | value;
        }

        if (n % 4 == 0) {
            *dst++ = (u_char) (bits >> 16);
            *dst++ = (u_char) (bits >> 8);
            *dst++ = (u_char) bits;
        }
    }

    if (n == 0 || n % 4) {
        goto failed;
    }

    /* the bits that padding stands for, and those left over, are zero */

    for ( /* void */ ; pad; pad--) {
        if (*--dst) {
            goto failed;
        }
    }

    der->len = dst - der->data;

    return NGX_OK;

failed:

    OPENSSL_clear_free(der->data, size);

    return NGX_ERROR;
}


/* RFC 4648, 4; 64: no character of it */

static u_char
ngx_autocert_pem_value(u_char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }

    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }

    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return (c == '+') ? 62 : (c == '/') ? 63 : 64;
}


void
ngx_autocert_pem_blanks(ngx_str_t *in)
{
    while (in->len
           && (*in->data == '\n' || *in->data == '\r'
               || *in->data == ' ' || *in->data == '\t'))
    {
        in->data++;
        in->len--;
    }
}


void
ngx_autocert_pem_free(ngx_str_t *secret)
{
    OPENSSL_clear_free(secret->data, secret->len);
    ngx_str_null(secret);
}
