
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_time.h"
#include "ngx_autocert_limit.h"


#define NGX_AUTOCERT_LIMIT_WEEK    604800
#define NGX_AUTOCERT_LIMIT_SPAN    2678400      /* 31 days */
#define NGX_AUTOCERT_LIMIT_DIGITS  9


static u_char *ngx_autocert_limit_after(u_char *p, u_char *last,
    const char *phrase);
static ngx_uint_t ngx_autocert_limit_letter(u_char c);
static ngx_uint_t ngx_autocert_limit_ends(u_char *p, u_char *last);
static ngx_uint_t ngx_autocert_limit_above(ngx_str_t *name, ngx_str_t *word);
static time_t ngx_autocert_limit_count(ngx_str_t *text);
static time_t ngx_autocert_limit_span(ngx_str_t *text);
static u_char *ngx_autocert_limit_number(u_char *p, u_char *last, time_t *n);


time_t
ngx_autocert_limit_retry(ngx_str_t *text, time_t now)
{
    u_char     *p, *last, buf[sizeof("2026-11-26T00:00:00Z") - 1];
    time_t      t;
    ngx_str_t   instant;

    static ngx_str_t  form = ngx_string("2026-11-26 00:00:00 UTC");

    if (text->len == 0) {
        return 0;
    }

    last = text->data + text->len;
    p = ngx_autocert_limit_after(text->data, last, "retry after ");

    if (p == NULL
        || (size_t) (last - p) < form.len
        || p[10] != ' '
        || ngx_strncmp(p + 19, " UTC", 4) != 0)
    {
        return 0;
    }

    ngx_memcpy(buf, p, sizeof(buf));
    buf[10] = 'T';
    buf[19] = 'Z';

    instant.data = buf;
    instant.len = sizeof(buf);

    if (ngx_autocert_time_rfc3339(&instant, &t) != NGX_OK) {
        return 0;
    }

    t = ngx_max(t, now);

    return ngx_min(t, now + NGX_AUTOCERT_LIMIT_WEEK);
}


ngx_uint_t
ngx_autocert_limit_says(ngx_str_t *text, const char *phrase)
{
    return text->len
           && ngx_autocert_limit_after(text->data, text->data + text->len,
                                       phrase)
              != NULL;
}


/* What follows the phrase, or NULL. */

static u_char *
ngx_autocert_limit_after(u_char *p, u_char *last, const char *phrase)
{
    size_t  len;

    len = ngx_strlen(phrase);

    if ((size_t) (last - p) < len) {
        return NULL;
    }

    p = ngx_strlcasestrn(p, last, (u_char *) phrase, len - 1);

    return p ? p + len : NULL;
}


ngx_uint_t
ngx_autocert_limit_about(ngx_str_t *text, ngx_str_t *name)
{
    u_char  *p, *last;

    if (name->len == 0 || text->len < name->len) {
        return 0;
    }

    last = text->data + text->len;

    for (p = text->data; (size_t) (last - p) >= name->len; p++) {

        if ((p == text->data || !ngx_autocert_limit_letter(p[-1]))
            && ngx_strncasecmp(p, name->data, name->len) == 0
            && ngx_autocert_limit_ends(p + name->len, last))
        {
            return 1;
        }
    }

    return 0;
}


/* of a name, an address, or a wildcard */

static ngx_uint_t
ngx_autocert_limit_letter(u_char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9')
           || c == '-' || c == '_' || c == '.' || c == ':' || c == '*';
}


/* a dot or colon may be that of the sentence */

static ngx_uint_t
ngx_autocert_limit_ends(u_char *p, u_char *last)
{
    if (p < last && (*p == '.' || *p == ':')) {
        p++;
    }

    return p == last || !ngx_autocert_limit_letter(*p);
}


ngx_uint_t
ngx_autocert_limit_scope(ngx_str_t *name, ngx_autocert_fail_t *fail)
{
    u_char      *p, *end, *last;
    time_t       count;
    ngx_str_t    word, *text;
    ngx_uint_t   other;

    text = &fail->detail;

    if (text->len == 0) {
        return NGX_AUTOCERT_FAIL_CA;
    }

    if (ngx_autocert_limit_says(text, "exact set")) {
        return NGX_AUTOCERT_FAIL_NAME;
    }

    other = 0;
    last = text->data + text->len;

    for (p = text->data; p < last; p++) {

        if (*p != '"') {
            continue;
        }

        for (end = p + 1;
             end < last && ngx_autocert_limit_letter(*end);
             end++)
        {
            /* void */
        }

        if (end == last || *end != '"') {
            continue;
        }

        word.data = p + 1;
        word.len = end - word.data;

        if (ngx_strlchr(word.data, end, '.') == NULL
            && ngx_strlchr(word.data, end, ':') == NULL)
        {
            continue;
        }

        if (ngx_autocert_limit_says(text, "authorizations")
            || !ngx_autocert_limit_above(name, &word))
        {
            other = 1;
            continue;
        }

        fail->domain.data = name->data + name->len - word.len;
        fail->domain.len = word.len;

        fail->span = ngx_autocert_limit_span(text);
        count = ngx_autocert_limit_count(text);

        if (fail->span && count) {
            fail->interval = ngx_max(fail->span / count, 1);
        }

        return NGX_AUTOCERT_FAIL_DOMAIN;
    }

    return (other || ngx_autocert_limit_about(text, name))
           ? NGX_AUTOCERT_FAIL_NAME : NGX_AUTOCERT_FAIL_CA;
}


/* Is word the name, or a domain of two labels or more that it is below? */

static ngx_uint_t
ngx_autocert_limit_above(ngx_str_t *name, ngx_str_t *word)
{
    u_char  *p;

    if (word->len > name->len
        || word->data[0] == '.'
        || ngx_strlchr(word->data, word->data + word->len, '.') == NULL)
    {
        return 0;
    }

    p = name->data + name->len - word->len;

    if (ngx_strncasecmp(p, word->data, word->len) != 0) {
        return 0;
    }

    /* nothing is below an address */

    return p == name->data
           || (p[-1] == '.'
               && ngx_inet_addr(name->data, name->len) == INADDR_NONE);
}


/* "(50)" */

static time_t
ngx_autocert_limit_count(ngx_str_t *text)
{
    u_char  *p, *last;
    time_t   n;

    last = text->data + text->len;

    for (p = text->data; p < last; p++) {

        if (*p != '(') {
            continue;
        }

        p = ngx_autocert_limit_number(p + 1, last, &n);

        if (n && p < last && *p == ')') {
            return n;
        }

        p--;
    }

    return 0;
}


/* "in the last 168h0m0s" */

static time_t
ngx_autocert_limit_span(ngx_str_t *text)
{
    u_char  *p, *last;
    time_t   n, span, unit;

    span = 0;
    last = text->data + text->len;

    p = ngx_autocert_limit_after(text->data, last, "in the last ");
    if (p == NULL) {
        return 0;
    }

    while (p < last && *p >= '0' && *p <= '9') {

        p = ngx_autocert_limit_number(p, last, &n);

        switch (p < last ? *p++ : 0) {

        case 'h':
            unit = 3600;
            break;

        case 'm':
            unit = 60;
            break;

        case 's':
            unit = 1;
            break;

        default:
            return 0;
        }

        /* n may be of 9 digits, and time_t of 32 bits */

        if (n > (NGX_AUTOCERT_LIMIT_SPAN - span) / unit) {
            return 0;
        }

        span += n * unit;
    }

    return ngx_autocert_limit_ends(p, last) ? span : 0;
}


/* Returns the end of the digits; of too many of them n is 0. */

static u_char *
ngx_autocert_limit_number(u_char *p, u_char *last, time_t *n)
{
    u_char  *start;

    *n = 0;

    for (start = p; p < last && *p >= '0' && *p <= '9'; p++) {
        if (p - start < NGX_AUTOCERT_LIMIT_DIGITS) {
            *n = *n * 10 + (*p - '0');
        }
    }

    if (p - start > NGX_AUTOCERT_LIMIT_DIGITS) {
        *n = 0;
    }

    return p;
}
