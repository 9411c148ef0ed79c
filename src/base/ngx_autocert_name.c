
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_name.h"


#define NGX_AUTOCERT_NAME_LENGTH  253
#define NGX_AUTOCERT_NAME_LABEL   63


static ngx_int_t ngx_autocert_name_address(ngx_str_t *in, u_char *text);
static ngx_int_t ngx_autocert_name_label(u_char *p, size_t len, char **err);
static ngx_uint_t ngx_autocert_name_numeric(u_char *p, size_t len);


/* RFC 2606, 6761, 6762, 7686, 8375, 9476, and what is in use without one */

static ngx_str_t  ngx_autocert_name_domains[] = {
    ngx_string("alt"),
    ngx_string("corp"),
    ngx_string("example"),
    ngx_string("home"),
    ngx_string("home.arpa"),
    ngx_string("internal"),
    ngx_string("intranet"),
    ngx_string("invalid"),
    ngx_string("lan"),
    ngx_string("local"),
    ngx_string("localdomain"),
    ngx_string("localhost"),
    ngx_string("onion"),
    ngx_string("private"),
    ngx_string("test"),
    ngx_null_string
};


ngx_int_t
ngx_autocert_name_check(ngx_pool_t *pool, ngx_str_t *in, ngx_str_t *out,
    char **err)
{
    u_char     *p, *last, *dot, address[NGX_INET6_ADDRSTRLEN + 1];
    ngx_str_t   name;

    name = *in;

    if (ngx_autocert_name_address(&name, address) == NGX_OK) {
        name.data = address;
        name.len = ngx_strlen(address);
        goto done;
    }

    if (name.len && name.data[name.len - 1] == '.') {
        name.len--;
    }

    if (name.len == 0) {
        *err = "name is empty";
        return NGX_DECLINED;
    }

    if (name.len > NGX_AUTOCERT_NAME_LENGTH) {
        *err = "name is longer than 253 characters";
        return NGX_DECLINED;
    }

    last = name.data + name.len;

    for (p = name.data; /* void */ ; p = dot + 1) {

        dot = ngx_strlchr(p, last, '.');

        if (dot == NULL) {
            dot = last;
        }

        if (ngx_autocert_name_label(p, dot - p, err) != NGX_OK) {
            return NGX_DECLINED;
        }

        if (dot == last) {
            break;
        }
    }

    /* RFC 1123, 2.1: what ends in a number is meant as an address */

    if (ngx_autocert_name_numeric(p, last - p)) {
        *err = "name ends in a number but is not an IP address";
        return NGX_DECLINED;
    }

done:

    out->data = ngx_pnalloc(pool, name.len + 1);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(out->data, name.data, name.len);
    out->data[name.len] = '\0';
    out->len = name.len;

    return NGX_OK;
}


/* Writes the address as in RFC 5952, which ACME wants (RFC 8738, 3). */

static ngx_int_t
ngx_autocert_name_address(ngx_str_t *in, u_char *text)
{
    char      *dst;
    u_char     address[16];
    ngx_str_t  s;

    s = *in;

    if (s.len > 2 && s.data[0] == '[' && s.data[s.len - 1] == ']') {
        s.data++;
        s.len -= 2;

        if (ngx_strlchr(s.data, s.data + s.len, ':') == NULL) {
            return NGX_DECLINED;
        }
    }

    if (s.len == 0 || s.len > NGX_INET6_ADDRSTRLEN) {
        return NGX_DECLINED;
    }

    dst = (char *) text;

    ngx_memcpy(dst, s.data, s.len);
    dst[s.len] = '\0';

    /* inet_pton() would take what is before a NUL for the whole */

    if (ngx_strlen(dst) != s.len) {
        return NGX_DECLINED;
    }

    if (inet_pton(AF_INET, dst, address) == 1) {
        return NGX_OK;
    }

    if (inet_pton(AF_INET6, dst, address) == 1
        && inet_ntop(AF_INET6, address, dst, NGX_INET6_ADDRSTRLEN + 1))
    {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_autocert_name_label(u_char *p, size_t len, char **err)
{
    u_char  c;
    size_t  i;

    if (len == 0) {
        *err = "name has an empty label";
        return NGX_DECLINED;
    }

    if (len > NGX_AUTOCERT_NAME_LABEL) {
        *err = "name has a label of more than 63 characters";
        return NGX_DECLINED;
    }

    if (p[0] == '-' || p[len - 1] == '-') {
        *err = "name has a label that begins or ends with a hyphen";
        return NGX_DECLINED;
    }

    for (i = 0; i < len; i++) {
        c = ngx_tolower(p[i]);

        if (c >= 0x80) {
            *err = "name has a character that no DNS name has, it is to be "
                   "written as an A-label (\"xn--...\")";
            return NGX_DECLINED;
        }

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9')
            && c != '-' && c != '_')
        {
            *err = "name has a character that no DNS name has";
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_name_numeric(u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }
    }

    return 1;
}


char *
ngx_autocert_name_private(ngx_str_t *name)
{
    u_char     *p, *last, text[NGX_INET6_ADDRSTRLEN + 1];
    ngx_str_t  *domain;

    if (ngx_autocert_name_address(name, text) == NGX_OK) {
        return "it is an IP address";
    }

    last = name->data + name->len;

    if (ngx_strlchr(name->data, last, '_')) {
        return "it has an underscore";
    }

    for (domain = ngx_autocert_name_domains; domain->len; domain++) {

        if (name->len < domain->len) {
            continue;
        }

        p = last - domain->len;

        if (ngx_strncasecmp(p, domain->data, domain->len) == 0
            && (p == name->data || p[-1] == '.'))
        {
            return "it is not of the public DNS";
        }
    }

    if (ngx_strlchr(name->data, last, '.') == NULL) {
        return "it is a single label";
    }

    return NULL;
}


void
ngx_autocert_name_sni(ngx_str_t *name, u_char buf[NGX_AUTOCERT_NAME_SNI],
    ngx_str_t *sni)
{
    u_char      *p, a[16], text[NGX_INET6_ADDRSTRLEN + 1];
    ngx_uint_t   i;

    *sni = *name;

    if (ngx_autocert_name_address(name, text) != NGX_OK) {
        return;
    }

    p = buf;

    if (inet_pton(AF_INET, (char *) text, a) == 1) {
        p = ngx_sprintf(p, "%d.%d.%d.%d.in-addr.arpa", a[3], a[2], a[1], a[0]);

    } else if (inet_pton(AF_INET6, (char *) text, a) == 1) {

        for (i = 16; i > 0; i--) {
            p = ngx_sprintf(p, "%xd.%xd.", a[i - 1] & 0xf, a[i - 1] >> 4);
        }

        p = ngx_cpymem(p, "ip6.arpa", sizeof("ip6.arpa") - 1);
    }

    sni->data = buf;
    sni->len = p - buf;
}


ngx_uint_t
ngx_autocert_name_match(ngx_str_t *pattern, ngx_str_t *name)
{
    u_char     *dot, text[NGX_INET6_ADDRSTRLEN + 1];
    ngx_str_t   rest;

    if (pattern->len == name->len
        && ngx_strncasecmp(pattern->data, name->data, name->len) == 0)
    {
        return name->len != 0;
    }

    if (pattern->len < 3 || pattern->data[0] != '*' || pattern->data[1] != '.')
    {
        return 0;
    }

    if (ngx_autocert_name_address(name, text) == NGX_OK) {
        return 0;
    }

    /* RFC 6125, 6.4.3: the asterisk is one whole label */

    dot = ngx_strlchr(name->data, name->data + name->len, '.');

    if (dot == NULL || dot == name->data) {
        return 0;
    }

    rest.data = dot;
    rest.len = name->data + name->len - dot;

    return rest.len == pattern->len - 1
           && ngx_strncasecmp(rest.data, pattern->data + 1, rest.len) == 0;
}
