
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_json.h"


#define NGX_AUTOCERT_JSON_BUFFER  512


typedef struct {
    ngx_pool_t  *pool;
    u_char      *pos;
    u_char      *last;
    char        *err;
    ngx_uint_t   nodes;
    ngx_uint_t   depth;
} ngx_autocert_json_parser_t;


static ngx_int_t ngx_autocert_json_value(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node);
static ngx_int_t ngx_autocert_json_array(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node);
static ngx_int_t ngx_autocert_json_object(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node);
static ngx_int_t ngx_autocert_json_member(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node);
static ngx_int_t ngx_autocert_json_unique(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node, ngx_uint_t n);
static int ngx_libc_cdecl ngx_autocert_json_cmp_names(const void *one,
    const void *two);
static ngx_int_t ngx_autocert_json_literal(ngx_autocert_json_parser_t *parser,
    const char *literal);
static ngx_int_t ngx_autocert_json_number(ngx_autocert_json_parser_t *parser,
    ngx_str_t *value);
static ngx_uint_t ngx_autocert_json_digits(ngx_autocert_json_parser_t *parser);
static ngx_int_t ngx_autocert_json_string(ngx_autocert_json_parser_t *parser,
    ngx_str_t *value);
static ngx_int_t ngx_autocert_json_decode(ngx_autocert_json_parser_t *parser,
    ngx_str_t *value);
static u_char *ngx_autocert_json_escape(ngx_autocert_json_parser_t *parser,
    u_char **src, u_char *last, u_char *dst);
static u_char *ngx_autocert_json_unicode(ngx_autocert_json_parser_t *parser,
    u_char **src, u_char *last, u_char *dst);
static ngx_int_t ngx_autocert_json_hex4(u_char *p, u_char *last);
static ngx_autocert_json_t *ngx_autocert_json_node(
    ngx_autocert_json_parser_t *parser);
static void ngx_autocert_json_space(ngx_autocert_json_parser_t *parser);
static ngx_uint_t ngx_autocert_json_take(ngx_autocert_json_parser_t *parser,
    u_char ch);
static ngx_int_t ngx_autocert_json_fault(ngx_autocert_json_parser_t *parser,
    char *err);

static void ngx_autocert_json_begin(ngx_autocert_json_writer_t *w,
    const char *name);
static void ngx_autocert_json_quote(ngx_autocert_json_writer_t *w,
    const u_char *p, size_t len);
static ngx_uint_t ngx_autocert_json_is_plain(u_char c);
static void ngx_autocert_json_write(ngx_autocert_json_writer_t *w,
    const void *p, size_t len);


ngx_autocert_json_t *
ngx_autocert_json_parse(ngx_pool_t *pool, ngx_str_t *text, char **err)
{
    ngx_autocert_json_t         *root;
    ngx_autocert_json_parser_t   parser;

    if (text->len == 0) {
        *err = "empty JSON text";
        return NULL;
    }

    if (text->len > NGX_AUTOCERT_JSON_SIZE) {
        *err = "JSON text is too long";
        return NULL;
    }

    parser.pool = pool;
    parser.pos = text->data;
    parser.last = text->data + text->len;
    parser.err = NULL;
    parser.nodes = 0;
    parser.depth = 0;

    root = ngx_autocert_json_node(&parser);
    if (root == NULL) {
        *err = parser.err;
        return NULL;
    }

    ngx_autocert_json_space(&parser);

    if (ngx_autocert_json_value(&parser, root) != NGX_OK) {
        *err = parser.err;
        return NULL;
    }

    ngx_autocert_json_space(&parser);

    if (parser.pos != parser.last) {
        *err = "trailing bytes after JSON text";
        return NULL;
    }

    return root;
}


ngx_autocert_json_t *
ngx_autocert_json_get(ngx_autocert_json_t *json, const char *name)
{
    size_t                len;
    ngx_autocert_json_t  *node;

    if (json == NULL || json->type != NGX_AUTOCERT_JSON_OBJECT) {
        return NULL;
    }

    len = ngx_strlen(name);

    for (node = json->child; node; node = node->next) {

        if (node->name.len == len
            && ngx_memcmp(node->name.data, name, len) == 0)
        {
            return node;
        }
    }

    return NULL;
}


ngx_int_t
ngx_autocert_json_get_string(ngx_autocert_json_t *json, const char *name,
    ngx_str_t *value)
{
    ngx_autocert_json_t  *node;

    node = ngx_autocert_json_get(json, name);

    if (node == NULL || node->type == NGX_AUTOCERT_JSON_NULL) {
        return NGX_DECLINED;
    }

    if (node->type != NGX_AUTOCERT_JSON_STRING) {
        return NGX_ERROR;
    }

    *value = node->value;

    return NGX_OK;
}


ngx_int_t
ngx_autocert_json_get_integer(ngx_autocert_json_t *json, const char *name,
    int64_t *value)
{
    u_char               *p, *last;
    uint64_t              n, max;
    ngx_uint_t            digit, negative;
    ngx_autocert_json_t  *node;

    node = ngx_autocert_json_get(json, name);

    if (node == NULL || node->type == NGX_AUTOCERT_JSON_NULL) {
        return NGX_DECLINED;
    }

    if (node->type != NGX_AUTOCERT_JSON_NUMBER) {
        return NGX_ERROR;
    }

    p = node->value.data;
    last = p + node->value.len;

    negative = (*p == '-');
    p += negative;

    max = (uint64_t) INT64_MAX + negative;
    n = 0;

    while (p < last) {

        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        digit = *p++ - '0';

        if (n > (max - digit) / 10) {
            return NGX_ERROR;
        }

        n = n * 10 + digit;
    }

    if (!negative) {
        *value = (int64_t) n;
        return NGX_OK;
    }

    /* -INT64_MIN does not exist */

    *value = n ? -(int64_t) (n - 1) - 1 : 0;

    return NGX_OK;
}


size_t
ngx_autocert_json_utf8(const u_char *p, const u_char *last)
{
    u_char  low, high;
    size_t  len, i;

    if (p >= last) {
        return 0;
    }

    /* RFC 3629, 4: overlong forms and surrogates show in the second byte */

    low = 0x80;
    high = 0xbf;

    if (p[0] < 0x80) {
        return 1;
    }

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;

    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        low = (p[0] == 0xe0) ? 0xa0 : low;
        high = (p[0] == 0xed) ? 0x9f : high;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = (p[0] == 0xf0) ? 0x90 : low;
        high = (p[0] == 0xf4) ? 0x8f : high;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < len || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < len; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }

    return len;
}


static ngx_int_t
ngx_autocert_json_value(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node)
{
    if (parser->pos == parser->last) {
        return ngx_autocert_json_fault(parser, "unexpected end of JSON text");
    }

    switch (*parser->pos) {

    case '{':
        node->type = NGX_AUTOCERT_JSON_OBJECT;
        return ngx_autocert_json_object(parser, node);

    case '[':
        node->type = NGX_AUTOCERT_JSON_ARRAY;
        return ngx_autocert_json_array(parser, node);

    case '"':
        node->type = NGX_AUTOCERT_JSON_STRING;
        return ngx_autocert_json_string(parser, &node->value);

    case 'n':
        node->type = NGX_AUTOCERT_JSON_NULL;
        return ngx_autocert_json_literal(parser, "null");

    case 'f':
        node->type = NGX_AUTOCERT_JSON_FALSE;
        return ngx_autocert_json_literal(parser, "false");

    case 't':
        node->type = NGX_AUTOCERT_JSON_TRUE;
        return ngx_autocert_json_literal(parser, "true");

    default:
        node->type = NGX_AUTOCERT_JSON_NUMBER;
        return ngx_autocert_json_number(parser, &node->value);
    }
}


static ngx_int_t
ngx_autocert_json_array(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node)
{
    ngx_autocert_json_t  *child, **next;

    if (++parser->depth > NGX_AUTOCERT_JSON_DEPTH) {
        return ngx_autocert_json_fault(parser, "JSON text is nested too deep");
    }

    parser->pos++;
    ngx_autocert_json_space(parser);

    if (ngx_autocert_json_take(parser, ']')) {
        parser->depth--;
        return NGX_OK;
    }

    next = &node->child;

    for ( ;; ) {
        child = ngx_autocert_json_node(parser);
        if (child == NULL) {
            return NGX_ERROR;
        }

        *next = child;
        next = &child->next;

        if (ngx_autocert_json_value(parser, child) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_autocert_json_space(parser);

        if (ngx_autocert_json_take(parser, ']')) {
            parser->depth--;
            return NGX_OK;
        }

        if (!ngx_autocert_json_take(parser, ',')) {
            return ngx_autocert_json_fault(parser,
                                           "no comma or end in JSON array");
        }

        ngx_autocert_json_space(parser);
    }
}


static ngx_int_t
ngx_autocert_json_object(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node)
{
    ngx_uint_t            n;
    ngx_autocert_json_t  *child, **next;

    if (++parser->depth > NGX_AUTOCERT_JSON_DEPTH) {
        return ngx_autocert_json_fault(parser, "JSON text is nested too deep");
    }

    parser->pos++;
    ngx_autocert_json_space(parser);

    if (ngx_autocert_json_take(parser, '}')) {
        parser->depth--;
        return NGX_OK;
    }

    next = &node->child;

    for (n = 1; /* void */ ; n++) {
        child = ngx_autocert_json_node(parser);
        if (child == NULL) {
            return NGX_ERROR;
        }

        *next = child;
        next = &child->next;

        if (ngx_autocert_json_member(parser, child) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_autocert_json_space(parser);

        if (ngx_autocert_json_take(parser, '}')) {
            parser->depth--;
            return ngx_autocert_json_unique(parser, node, n);
        }

        if (!ngx_autocert_json_take(parser, ',')) {
            return ngx_autocert_json_fault(parser,
                                           "no comma or end in JSON object");
        }

        ngx_autocert_json_space(parser);
    }
}


static ngx_int_t
ngx_autocert_json_member(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node)
{
    if (parser->pos == parser->last || *parser->pos != '"') {
        return ngx_autocert_json_fault(parser, "no name in JSON object");
    }

    if (ngx_autocert_json_string(parser, &node->name) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_space(parser);

    if (!ngx_autocert_json_take(parser, ':')) {
        return ngx_autocert_json_fault(parser, "no colon in JSON object");
    }

    ngx_autocert_json_space(parser);

    return ngx_autocert_json_value(parser, node);
}


static ngx_int_t
ngx_autocert_json_unique(ngx_autocert_json_parser_t *parser,
    ngx_autocert_json_t *node, ngx_uint_t n)
{
    ngx_uint_t             i;
    ngx_autocert_json_t   *child, **members;

    if (n < 2) {
        return NGX_OK;
    }

    members = ngx_palloc(parser->pool, n * sizeof(ngx_autocert_json_t *));
    if (members == NULL) {
        return ngx_autocert_json_fault(parser, "out of memory");
    }

    for (i = 0, child = node->child; child; child = child->next) {
        members[i++] = child;
    }

    /* sorted: thousands of names, all of them hostile, cost n log n */

    ngx_qsort(members, n, sizeof(ngx_autocert_json_t *),
              ngx_autocert_json_cmp_names);

    for (i = 1; i < n; i++) {
        if (ngx_autocert_json_cmp_names(&members[i - 1], &members[i]) == 0) {
            return ngx_autocert_json_fault(parser,
                                           "duplicate name in JSON object");
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_autocert_json_cmp_names(const void *one, const void *two)
{
    ngx_str_t  *first, *second;

    first = &(*(ngx_autocert_json_t * const *) one)->name;
    second = &(*(ngx_autocert_json_t * const *) two)->name;

    if (first->len != second->len) {
        return (first->len < second->len) ? -1 : 1;
    }

    return ngx_memcmp(first->data, second->data, first->len);
}


static ngx_int_t
ngx_autocert_json_literal(ngx_autocert_json_parser_t *parser,
    const char *literal)
{
    size_t  len;

    len = ngx_strlen(literal);

    if ((size_t) (parser->last - parser->pos) < len
        || ngx_memcmp(parser->pos, literal, len) != 0)
    {
        return ngx_autocert_json_fault(parser, "unknown word in JSON text");
    }

    parser->pos += len;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_json_number(ngx_autocert_json_parser_t *parser, ngx_str_t *value)
{
    u_char  *start;

    start = parser->pos;

    (void) ngx_autocert_json_take(parser, '-');

    /* no digit may follow a leading zero: the caller will trip over it */

    if (!ngx_autocert_json_take(parser, '0')
        && ngx_autocert_json_digits(parser) == 0)
    {
        return ngx_autocert_json_fault(parser, "no value in JSON text");
    }

    if (ngx_autocert_json_take(parser, '.')
        && ngx_autocert_json_digits(parser) == 0)
    {
        return ngx_autocert_json_fault(parser, "malformed JSON number");
    }

    if (ngx_autocert_json_take(parser, 'e')
        || ngx_autocert_json_take(parser, 'E'))
    {
        if (!ngx_autocert_json_take(parser, '+')) {
            (void) ngx_autocert_json_take(parser, '-');
        }

        if (ngx_autocert_json_digits(parser) == 0) {
            return ngx_autocert_json_fault(parser, "malformed JSON number");
        }
    }

    value->data = start;
    value->len = parser->pos - start;

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_json_digits(ngx_autocert_json_parser_t *parser)
{
    u_char  *start;

    start = parser->pos;

    while (parser->pos < parser->last
           && *parser->pos >= '0' && *parser->pos <= '9')
    {
        parser->pos++;
    }

    return parser->pos - start;
}


static ngx_int_t
ngx_autocert_json_string(ngx_autocert_json_parser_t *parser, ngx_str_t *value)
{
    u_char      *p, *last;
    size_t       len;
    ngx_uint_t   escaped;

    p = ++parser->pos;
    last = parser->last;
    escaped = 0;

    while (p < last && *p != '"') {

        if (*p < 0x20) {
            return ngx_autocert_json_fault(parser,
                                           "control byte in JSON string");
        }

        if (*p == '\\') {
            escaped = 1;

            if (last - p < 2) {
                break;
            }

            /* which byte may stand here is found when it is decoded */

            p += 2;
            continue;
        }

        len = ngx_autocert_json_utf8(p, last);
        if (len == 0) {
            return ngx_autocert_json_fault(parser,
                                           "invalid UTF-8 in JSON string");
        }

        p += len;
    }

    if (p == last || *p != '"') {
        return ngx_autocert_json_fault(parser, "unterminated JSON string");
    }

    value->data = parser->pos;
    value->len = p - parser->pos;

    parser->pos = p + 1;

    if (escaped) {
        return ngx_autocert_json_decode(parser, value);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_json_decode(ngx_autocert_json_parser_t *parser, ngx_str_t *value)
{
    u_char  *src, *last, *dst, *start;

    /* no escape is shorter than what it stands for */

    start = ngx_pnalloc(parser->pool, value->len);
    if (start == NULL) {
        return ngx_autocert_json_fault(parser, "out of memory");
    }

    src = value->data;
    last = src + value->len;
    dst = start;

    while (src < last) {

        if (*src != '\\') {
            *dst++ = *src++;
            continue;
        }

        src++;

        dst = ngx_autocert_json_escape(parser, &src, last, dst);
        if (dst == NULL) {
            return NGX_ERROR;
        }
    }

    value->data = start;
    value->len = dst - start;

    return NGX_OK;
}


static u_char *
ngx_autocert_json_escape(ngx_autocert_json_parser_t *parser, u_char **src,
    u_char *last, u_char *dst)
{
    u_char  ch;

    ch = *(*src)++;

    switch (ch) {

    case '"':
    case '\\':
    case '/':
        break;

    case 'b':
        ch = '\b';
        break;

    case 'f':
        ch = '\f';
        break;

    case 'n':
        ch = LF;
        break;

    case 'r':
        ch = CR;
        break;

    case 't':
        ch = '\t';
        break;

    case 'u':
        return ngx_autocert_json_unicode(parser, src, last, dst);

    default:
        (void) ngx_autocert_json_fault(parser, "unknown escape in JSON string");
        return NULL;
    }

    *dst++ = ch;

    return dst;
}


static u_char *
ngx_autocert_json_unicode(ngx_autocert_json_parser_t *parser, u_char **src,
    u_char *last, u_char *dst)
{
    u_char     *p;
    ngx_int_t   n, low;

    p = *src;

    n = ngx_autocert_json_hex4(p, last);

    if (n == NGX_ERROR) {
        (void) ngx_autocert_json_fault(parser,
                                       "malformed escape in JSON string");
        return NULL;
    }

    if (n == 0) {
        (void) ngx_autocert_json_fault(parser, "NUL in JSON string");
        return NULL;
    }

    p += 4;

    if (n >= 0xd800 && n <= 0xdfff) {

        low = NGX_ERROR;

        if (n <= 0xdbff && last - p >= 2 && p[0] == '\\' && p[1] == 'u') {
            low = ngx_autocert_json_hex4(p + 2, last);
        }

        if (low < 0xdc00 || low > 0xdfff) {
            (void) ngx_autocert_json_fault(parser,
                                           "lone surrogate in JSON string");
            return NULL;
        }

        n = 0x10000 + ((n - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }

    *src = p;

    if (n < 0x80) {
        *dst++ = (u_char) n;
        return dst;
    }

    if (n < 0x800) {
        *dst++ = (u_char) (0xc0 | n >> 6);
        *dst++ = (u_char) (0x80 | (n & 0x3f));
        return dst;
    }

    if (n < 0x10000) {
        *dst++ = (u_char) (0xe0 | n >> 12);
        *dst++ = (u_char) (0x80 | (n >> 6 & 0x3f));
        *dst++ = (u_char) (0x80 | (n & 0x3f));
        return dst;
    }

    *dst++ = (u_char) (0xf0 | n >> 18);
    *dst++ = (u_char) (0x80 | (n >> 12 & 0x3f));
    *dst++ = (u_char) (0x80 | (n >> 6 & 0x3f));
    *dst++ = (u_char) (0x80 | (n & 0x3f));

    return dst;
}


static ngx_int_t
ngx_autocert_json_hex4(u_char *p, u_char *last)
{
    if (last - p < 4) {
        return NGX_ERROR;
    }

    return ngx_hextoi(p, 4);
}


static ngx_autocert_json_t *
ngx_autocert_json_node(ngx_autocert_json_parser_t *parser)
{
    ngx_autocert_json_t  *node;

    if (parser->nodes == NGX_AUTOCERT_JSON_NODES) {
        (void) ngx_autocert_json_fault(parser, "too many values in JSON text");
        return NULL;
    }

    node = ngx_pcalloc(parser->pool, sizeof(ngx_autocert_json_t));

    if (node == NULL) {
        (void) ngx_autocert_json_fault(parser, "out of memory");
        return NULL;
    }

    parser->nodes++;

    return node;
}


static void
ngx_autocert_json_space(ngx_autocert_json_parser_t *parser)
{
    while (parser->pos < parser->last
           && (*parser->pos == ' ' || *parser->pos == '\t'
               || *parser->pos == CR || *parser->pos == LF))
    {
        parser->pos++;
    }
}


static ngx_uint_t
ngx_autocert_json_take(ngx_autocert_json_parser_t *parser, u_char ch)
{
    if (parser->pos == parser->last || *parser->pos != ch) {
        return 0;
    }

    parser->pos++;

    return 1;
}


static ngx_int_t
ngx_autocert_json_fault(ngx_autocert_json_parser_t *parser, char *err)
{
    parser->err = err;

    return NGX_ERROR;
}


ngx_int_t
ngx_autocert_json_writer_init(ngx_autocert_json_writer_t *w, ngx_pool_t *pool)
{
    ngx_memzero(w, sizeof(ngx_autocert_json_writer_t));

    w->pool = pool;

    w->start = ngx_pnalloc(pool, NGX_AUTOCERT_JSON_BUFFER);
    if (w->start == NULL) {
        w->failed = 1;
        return NGX_ERROR;
    }

    w->last = w->start;
    w->end = w->start + NGX_AUTOCERT_JSON_BUFFER;

    return NGX_OK;
}


void
ngx_autocert_json_writer_over(ngx_autocert_json_writer_t *w, u_char *buf,
    size_t size)
{
    ngx_memzero(w, sizeof(ngx_autocert_json_writer_t));

    w->start = buf;
    w->last = buf;
    w->end = buf + size;
}


void
ngx_autocert_json_open(ngx_autocert_json_writer_t *w, const char *name,
    u_char open)
{
    ngx_autocert_json_begin(w, name);
    ngx_autocert_json_write(w, &open, 1);
    w->comma = 0;
}


void
ngx_autocert_json_close(ngx_autocert_json_writer_t *w, u_char close)
{
    ngx_autocert_json_write(w, &close, 1);
    w->comma = 1;
}


void
ngx_autocert_json_put_string(ngx_autocert_json_writer_t *w, const char *name,
    ngx_str_t *value)
{
    ngx_autocert_json_begin(w, name);
    ngx_autocert_json_quote(w, value->data, value->len);
}


void
ngx_autocert_json_put_integer(ngx_autocert_json_writer_t *w, const char *name,
    int64_t value)
{
    u_char    *p;
    uint64_t   n;
    u_char     buf[NGX_INT64_LEN];

    ngx_autocert_json_begin(w, name);

    p = buf;
    n = (uint64_t) value;

    if (value < 0) {

        /* not "%L": it negates, which INT64_MIN does not survive */

        *p++ = '-';
        n = 0 - n;
    }

    p = ngx_slprintf(p, buf + NGX_INT64_LEN, "%uL", n);

    ngx_autocert_json_write(w, buf, p - buf);
}


void
ngx_autocert_json_put_null(ngx_autocert_json_writer_t *w, const char *name)
{
    ngx_autocert_json_begin(w, name);
    ngx_autocert_json_write(w, "null", 4);
}


void
ngx_autocert_json_put_bool(ngx_autocert_json_writer_t *w, const char *name,
    ngx_uint_t value)
{
    const char  *text;

    text = value ? "true" : "false";

    ngx_autocert_json_begin(w, name);
    ngx_autocert_json_write(w, text, ngx_strlen(text));
}


void
ngx_autocert_json_put_text(ngx_autocert_json_writer_t *w, const char *name,
    ngx_str_t *text)
{
    ngx_autocert_json_begin(w, name);
    ngx_autocert_json_write(w, text->data, text->len);
}


ngx_int_t
ngx_autocert_json_done(ngx_autocert_json_writer_t *w, ngx_str_t *text)
{
    if (w->failed) {
        return NGX_ERROR;
    }

    text->data = w->start;
    text->len = w->last - w->start;

    return NGX_OK;
}


static void
ngx_autocert_json_begin(ngx_autocert_json_writer_t *w, const char *name)
{
    if (w->comma) {
        ngx_autocert_json_write(w, ",", 1);
    }

    if (name) {
        ngx_autocert_json_quote(w, (const u_char *) name, ngx_strlen(name));
        ngx_autocert_json_write(w, ":", 1);
    }

    w->comma = 1;
}


static void
ngx_autocert_json_quote(ngx_autocert_json_writer_t *w, const u_char *p,
    size_t len)
{
    size_t         n;
    u_char         buf[6];
    const u_char  *last, *start;

    ngx_autocert_json_write(w, "\"", 1);

    last = len ? p + len : p;

    while (p < last) {

        for (start = p; p < last && ngx_autocert_json_is_plain(*p); p++) {
            /* void */
        }

        ngx_autocert_json_write(w, start, p - start);

        if (p == last) {
            break;
        }

        n = ngx_autocert_json_utf8(p, last);

        if (n == 0) {

            /* what is no character still has to leave a valid text */

            ngx_autocert_json_write(w, "\\ufffd", 6);
            p++;
            continue;
        }

        if (*p < 0x20 || *p == 0x7f) {
            (void) ngx_sprintf(buf, "\\u%04xd", (int) *p);
            ngx_autocert_json_write(w, buf, 6);
            p++;
            continue;
        }

        if (*p == '"' || *p == '\\') {
            ngx_autocert_json_write(w, "\\", 1);
        }

        ngx_autocert_json_write(w, p, n);
        p += n;
    }

    ngx_autocert_json_write(w, "\"", 1);
}


static ngx_uint_t
ngx_autocert_json_is_plain(u_char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}


static void
ngx_autocert_json_write(ngx_autocert_json_writer_t *w, const void *p,
    size_t len)
{
    u_char  *start;
    size_t   used, size;

    if (w->failed || len == 0) {
        return;
    }

    if ((size_t) (w->end - w->last) < len) {

        used = w->last - w->start;
        size = 2 * (used + len);

        start = w->pool ? ngx_pnalloc(w->pool, size) : NULL;

        if (start == NULL) {
            w->failed = 1;
            return;
        }

        ngx_memcpy(start, w->start, used);
        (void) ngx_pfree(w->pool, w->start);

        w->start = start;
        w->last = start + used;
        w->end = start + size;
    }

    w->last = ngx_cpymem(w->last, p, len);
}
