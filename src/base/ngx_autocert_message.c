
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_message.h"


#define NGX_AUTOCERT_MESSAGE_INTERIM  4
#define NGX_AUTOCERT_MESSAGE_BLOCK    4096
#define NGX_AUTOCERT_MESSAGE_DIGITS   8     /* of a chunk's size */
#define NGX_AUTOCERT_MESSAGE_HOST     253


typedef enum {
    ngx_autocert_message_status = 0,
    ngx_autocert_message_field,
    ngx_autocert_message_length,        /* body of a known length */
    ngx_autocert_message_close,         /* body up to the end */
    ngx_autocert_message_chunk_size,
    ngx_autocert_message_chunk,
    ngx_autocert_message_chunk_end,
    ngx_autocert_message_trailer,
    ngx_autocert_message_done,
    ngx_autocert_message_failed
} ngx_autocert_message_state_e;


typedef struct {
    ngx_str_t    name;
    ngx_int_t  (*handler)(ngx_autocert_response_t *response,
                     ngx_str_t *value, ngx_uint_t offset);
    ngx_uint_t   offset;
} ngx_autocert_message_field_t;


static ngx_int_t ngx_autocert_message_authority(ngx_autocert_url_t *url);
static ngx_uint_t ngx_autocert_message_host(ngx_str_t *host);
static ngx_int_t ngx_autocert_message_address(int family, ngx_str_t *host);
static ngx_int_t ngx_autocert_message_text(ngx_str_t *s);
static ngx_int_t ngx_autocert_message_error(ngx_autocert_response_t *response,
    char *err);
static ngx_int_t ngx_autocert_message_line(ngx_autocert_response_t *response,
    u_char **pos, u_char *last);
static ngx_int_t ngx_autocert_message_line_take(
    ngx_autocert_response_t *response);
static ngx_int_t ngx_autocert_message_status_line(
    ngx_autocert_response_t *response, ngx_str_t *line);
static ngx_int_t ngx_autocert_message_field_line(
    ngx_autocert_response_t *response, ngx_str_t *line);
static ngx_int_t ngx_autocert_message_field_split(
    ngx_autocert_response_t *response, ngx_str_t *line, ngx_str_t *name,
    ngx_str_t *value);
static ngx_int_t ngx_autocert_message_header_done(
    ngx_autocert_response_t *response);
static void ngx_autocert_message_interim(ngx_autocert_response_t *response);
static ngx_int_t ngx_autocert_message_size_line(
    ngx_autocert_response_t *response, ngx_str_t *line);
static ngx_int_t ngx_autocert_message_body(ngx_autocert_response_t *response,
    u_char **pos, u_char *last);
static ngx_int_t ngx_autocert_message_body_add(
    ngx_autocert_response_t *response, u_char *p, size_t len);
static void ngx_autocert_message_done_state(
    ngx_autocert_response_t *response);
static ngx_int_t ngx_autocert_message_keep(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_content_type(
    ngx_autocert_response_t *response, ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_nonce(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_link_keep(
    ngx_autocert_response_t *response, ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_content_length(
    ngx_autocert_response_t *response, ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_transfer(
    ngx_autocert_response_t *response, ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_encoding(
    ngx_autocert_response_t *response, ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_connection(
    ngx_autocert_response_t *response, ngx_str_t *value, ngx_uint_t offset);
static ngx_int_t ngx_autocert_message_copy(ngx_pool_t *pool, ngx_str_t *dst,
    ngx_str_t *src);
static ngx_uint_t ngx_autocert_message_is(ngx_str_t *s, const char *word);
static ngx_uint_t ngx_autocert_message_token(u_char c);
static void ngx_autocert_message_blanks(ngx_str_t *s);
static ngx_int_t ngx_autocert_message_link_next(ngx_str_t *in,
    ngx_str_t *target, ngx_str_t *rel);
static ngx_int_t ngx_autocert_message_link_param(ngx_str_t *in,
    ngx_str_t *name, ngx_str_t *value);
static ngx_uint_t ngx_autocert_message_link_rel(ngx_str_t *rel,
    const char *word);


static ngx_str_t  ngx_autocert_message_methods[] = {
    ngx_string("GET"),
    ngx_string("HEAD"),
    ngx_string("POST")
};


static ngx_autocert_message_field_t  ngx_autocert_message_fields[] = {

    { ngx_string("Content-Type"), ngx_autocert_message_content_type, 0 },

    { ngx_string("Replay-Nonce"), ngx_autocert_message_nonce, 0 },

    { ngx_string("Location"), ngx_autocert_message_keep,
      offsetof(ngx_autocert_response_t, location) },

    { ngx_string("Retry-After"), ngx_autocert_message_keep,
      offsetof(ngx_autocert_response_t, retry_after) },

    { ngx_string("Date"), ngx_autocert_message_keep,
      offsetof(ngx_autocert_response_t, date) },

    { ngx_string("Link"), ngx_autocert_message_link_keep, 0 },

    { ngx_string("Content-Length"), ngx_autocert_message_content_length, 0 },

    { ngx_string("Transfer-Encoding"), ngx_autocert_message_transfer, 0 },

    { ngx_string("Content-Encoding"), ngx_autocert_message_encoding, 0 },

    { ngx_string("Connection"), ngx_autocert_message_connection, 0 },

    { ngx_null_string, NULL, 0 }
};


ngx_int_t
ngx_autocert_message_url(ngx_str_t *text, ngx_autocert_url_t *url)
{
    u_char  *p, *last;

    ngx_memzero(url, sizeof(ngx_autocert_url_t));

    if (text->len > NGX_AUTOCERT_MESSAGE_URL
        || text->len < 9
        || ngx_strncasecmp(text->data, (u_char *) "https://", 8) != 0)
    {
        return NGX_DECLINED;
    }

    last = text->data + text->len;

    for (p = text->data; p < last; p++) {
        if (*p < 0x21 || *p > 0x7e || *p == '#') {
            return NGX_DECLINED;
        }
    }

    url->authority.data = text->data + 8;

    for (p = url->authority.data; p < last; p++) {

        if (*p == '/') {
            break;
        }

        /* a query without a path has no view that is a request target */

        if (*p == '@' || *p == '?') {
            return NGX_DECLINED;
        }
    }

    url->authority.len = p - url->authority.data;

    if (p == last) {
        ngx_str_set(&url->path, "/");

    } else {
        url->path.data = p;
        url->path.len = last - p;
    }

    return ngx_autocert_message_authority(url);
}


static ngx_int_t
ngx_autocert_message_authority(ngx_autocert_url_t *url)
{
    u_char     *p, *last;
    ngx_int_t   port;

    p = url->authority.data;
    last = p + url->authority.len;

    url->host.data = p;
    url->port = 443;

    if (p < last && *p == '[') {
        url->host.data++;
        p = ngx_strlchr(p, last, ']');

        if (p == NULL) {
            return NGX_DECLINED;
        }

        url->host.len = p - url->host.data;
        url->literal = 1;
        p++;

        if (ngx_autocert_message_address(AF_INET6, &url->host) != NGX_OK) {
            return NGX_DECLINED;
        }

    } else {
        p = ngx_strlchr(p, last, ':');

        if (p == NULL) {
            p = last;
        }

        url->host.len = p - url->host.data;

        if (!ngx_autocert_message_host(&url->host)) {
            return NGX_DECLINED;
        }

        if (ngx_autocert_message_address(AF_INET, &url->host) == NGX_OK) {
            url->literal = 1;
        }
    }

    if (p == last) {
        return NGX_OK;
    }

    if (*p != ':') {
        return NGX_DECLINED;
    }

    port = ngx_atoi(p + 1, last - p - 1);

    if (port < 1 || port > 65535) {
        return NGX_DECLINED;
    }

    url->port = (in_port_t) port;

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_message_host(ngx_str_t *host)
{
    u_char  c;
    size_t  i;

    if (host->len == 0 || host->len > NGX_AUTOCERT_MESSAGE_HOST) {
        return 0;
    }

    for (i = 0; i < host->len; i++) {

        c = host->data[i];

        if (c == '.') {
            if (i == 0 || host->data[i - 1] == '.') {
                return 0;
            }

            continue;
        }

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
            && (c < '0' || c > '9') && c != '-' && c != '_')
        {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_autocert_message_address(int family, ngx_str_t *host)
{
    char    text[NGX_INET6_ADDRSTRLEN + 1];
    u_char  address[16];

    if (host->len >= sizeof(text)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(text, host->data, host->len);
    text[host->len] = '\0';

    return (inet_pton(family, text, address) == 1) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_autocert_message_request(ngx_pool_t *pool,
    ngx_autocert_request_t *request, ngx_autocert_url_t *url,
    ngx_str_t *agent, ngx_str_t *out)
{
    u_char     *p;
    size_t      size;
    ngx_str_t  *method;

    static char  start[] = "%V %V HTTP/1.1" CRLF
                           "Host: %V" CRLF
                           "User-Agent: %V" CRLF
                           "Accept-Encoding: identity" CRLF
                           "Accept-Language: en" CRLF;
    static char  accept[] = "Accept: %V" CRLF;
    static char  content[] = "Content-Type: %V" CRLF
                             "Content-Length: %uz" CRLF;

    if (request->method > NGX_AUTOCERT_POST
        || ngx_autocert_message_text(&url->path) != NGX_OK
        || ngx_autocert_message_text(&url->authority) != NGX_OK
        || ngx_autocert_message_text(agent) != NGX_OK
        || ngx_autocert_message_text(&request->accept) != NGX_OK
        || ngx_autocert_message_text(&request->content_type) != NGX_OK)
    {
        return NGX_ERROR;
    }

    method = &ngx_autocert_message_methods[request->method];

    size = sizeof(start) + sizeof(accept) + sizeof(content) + NGX_SIZE_T_LEN
           + method->len + url->path.len + url->authority.len + agent->len
           + request->accept.len + request->content_type.len
           + request->body.len + 2;

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;

    p = ngx_sprintf(p, start, method, &url->path, &url->authority, agent);

    if (request->accept.len) {
        p = ngx_sprintf(p, accept, &request->accept);
    }

    if (request->method == NGX_AUTOCERT_POST) {
        p = ngx_sprintf(p, content, &request->content_type,
                        request->body.len);
    }

    *p++ = CR;
    *p++ = LF;

    if (request->method == NGX_AUTOCERT_POST && request->body.len) {
        p = ngx_cpymem(p, request->body.data, request->body.len);
    }

    out->len = p - out->data;

    return NGX_OK;
}


/* What goes into a line of a request may not end it. */

static ngx_int_t
ngx_autocert_message_text(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < 0x20 || s->data[i] > 0x7e) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_message_init(ngx_autocert_response_t *response,
    ngx_pool_t *pool, ngx_uint_t method)
{
    ngx_memzero(response, sizeof(ngx_autocert_response_t));

    response->pool = pool;
    response->method = method;
    response->state = ngx_autocert_message_status;
    response->length = -1;

    response->line = ngx_pcalloc(pool, sizeof(ngx_buf_t));
    if (response->line == NULL) {
        return NGX_ERROR;
    }

    response->line->start = ngx_pnalloc(pool, NGX_AUTOCERT_MESSAGE_HEADER);
    if (response->line->start == NULL) {
        return NGX_ERROR;
    }

    response->line->last = response->line->start;
    response->line->end = response->line->start + NGX_AUTOCERT_MESSAGE_HEADER;

    return ngx_array_init(&response->links, pool, 4, sizeof(ngx_str_t));
}


ngx_int_t
ngx_autocert_message_parse(ngx_autocert_response_t *response, u_char **pos,
    u_char *last)
{
    ngx_int_t  rc;

    for ( ;; ) {

        switch (response->state) {

        case ngx_autocert_message_done:
            return NGX_OK;

        case ngx_autocert_message_failed:
            return NGX_ERROR;

        case ngx_autocert_message_length:
        case ngx_autocert_message_close:
        case ngx_autocert_message_chunk:
            rc = ngx_autocert_message_body(response, pos, last);
            break;

        default:
            rc = ngx_autocert_message_line(response, pos, last);

            if (rc == NGX_OK) {
                rc = ngx_autocert_message_line_take(response);
            }

            break;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


ngx_int_t
ngx_autocert_message_eof(ngx_autocert_response_t *response)
{
    switch (response->state) {

    case ngx_autocert_message_close:
        ngx_autocert_message_done_state(response);
        return NGX_OK;

    case ngx_autocert_message_done:
        return NGX_OK;

    case ngx_autocert_message_failed:
        return NGX_ERROR;

    case ngx_autocert_message_status:

        if (response->header_size == 0) {
            return ngx_autocert_message_error(response,
                                              "connection closed before "
                                              "response");
        }

        break;

    default:
        break;
    }

    return ngx_autocert_message_error(response,
                                      "connection closed within response");
}


static ngx_int_t
ngx_autocert_message_error(ngx_autocert_response_t *response, char *err)
{
    response->err = err;
    response->state = ngx_autocert_message_failed;
    response->keepalive = 0;

    return NGX_ERROR;
}


/* A CR is in the buffer only until the LF that has to follow it. */

static ngx_int_t
ngx_autocert_message_line(ngx_autocert_response_t *response, u_char **pos,
    u_char *last)
{
    u_char      c;
    ngx_buf_t  *line;

    line = response->line;

    while (*pos < last) {

        c = *(*pos)++;

        if (++response->header_size > NGX_AUTOCERT_MESSAGE_HEADER) {
            return ngx_autocert_message_error(response,
                                              "response header is too long");
        }

        if (line->last > line->start && line->last[-1] == CR) {

            if (c != LF) {
                return ngx_autocert_message_error(response,
                                                  "CR without LF");
            }

            line->last--;

            return NGX_OK;
        }

        if (c == LF) {
            return ngx_autocert_message_error(response, "LF without CR");
        }

        if ((c < 0x20 && c != '\t' && c != CR) || c == 0x7f) {
            return ngx_autocert_message_error(response,
                                              "control character in header");
        }

        *line->last++ = c;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_autocert_message_line_take(ngx_autocert_response_t *response)
{
    ngx_str_t  line, name, value;

    line.data = response->line->start;
    line.len = response->line->last - response->line->start;

    response->line->last = response->line->start;

    switch (response->state) {

    case ngx_autocert_message_status:
        return ngx_autocert_message_status_line(response, &line);

    case ngx_autocert_message_field:

        if (line.len == 0) {
            return ngx_autocert_message_header_done(response);
        }

        return ngx_autocert_message_field_line(response, &line);

    case ngx_autocert_message_chunk_size:
        return ngx_autocert_message_size_line(response, &line);

    case ngx_autocert_message_chunk_end:

        if (line.len) {
            return ngx_autocert_message_error(response,
                                              "chunk is longer than its size");
        }

        response->header_size -= 2;
        response->state = ngx_autocert_message_chunk_size;

        return NGX_OK;

    default: /* ngx_autocert_message_trailer */

        if (line.len) {
            return ngx_autocert_message_field_split(response, &line, &name,
                                                    &value);
        }

        ngx_autocert_message_done_state(response);

        return NGX_OK;
    }
}


static ngx_int_t
ngx_autocert_message_status_line(ngx_autocert_response_t *response,
    ngx_str_t *line)
{
    u_char     *p;
    ngx_int_t   status;

    /* "HTTP/1.1 200 " */

    p = line->data;

    if (line->len < 13
        || ngx_strncmp(p, "HTTP/1.", 7) != 0
        || p[7] < '0' || p[7] > '9'
        || p[8] != ' ' || p[12] != ' ')
    {
        return ngx_autocert_message_error(response,
                                          "not an HTTP/1.1 status line");
    }

    status = ngx_atoi(p + 9, 3);

    if (status < 100 || status > 599) {
        return ngx_autocert_message_error(response, "invalid status code");
    }

    response->status = status;
    response->http10 = (p[7] == '0');
    response->keepalive = !response->http10;
    response->state = ngx_autocert_message_field;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_field_line(ngx_autocert_response_t *response,
    ngx_str_t *line)
{
    ngx_str_t                      name, value;
    ngx_autocert_message_field_t  *field;

    if (ngx_autocert_message_field_split(response, line, &name, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (field = ngx_autocert_message_fields; field->handler; field++) {

        if (field->name.len == name.len
            && ngx_strncasecmp(field->name.data, name.data, name.len) == 0)
        {
            return field->handler(response, &value, field->offset);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_field_split(ngx_autocert_response_t *response,
    ngx_str_t *line, ngx_str_t *name, ngx_str_t *value)
{
    u_char  *p, *last;

    last = line->data + line->len;

    if (*line->data == ' ' || *line->data == '\t') {
        return ngx_autocert_message_error(response, "folded header field");
    }

    for (p = line->data; p < last; p++) {
        if (!ngx_autocert_message_token(*p)) {
            break;
        }
    }

    if (p == line->data || p == last || *p != ':') {
        return ngx_autocert_message_error(response, "malformed header field");
    }

    name->data = line->data;
    name->len = p - line->data;

    value->data = p + 1;
    value->len = last - p - 1;

    ngx_autocert_message_blanks(value);

    while (value->len
           && (value->data[value->len - 1] == ' '
               || value->data[value->len - 1] == '\t'))
    {
        value->len--;
    }

    return NGX_OK;
}


/* RFC 9112, 6.3 */

static ngx_int_t
ngx_autocert_message_header_done(ngx_autocert_response_t *response)
{
    if (response->status == 101) {
        return ngx_autocert_message_error(response,
                                          "unexpected change of protocol");
    }

    if (response->chunked && response->has_length) {
        return ngx_autocert_message_error(response,
                                          "both Content-Length and "
                                          "Transfer-Encoding");
    }

    if (response->chunked && response->http10) {
        return ngx_autocert_message_error(response,
                                          "Transfer-Encoding in HTTP/1.0");
    }

    if (response->status < 200) {

        if (++response->interim > NGX_AUTOCERT_MESSAGE_INTERIM) {
            return ngx_autocert_message_error(response,
                                              "too many 1xx responses");
        }

        ngx_autocert_message_interim(response);

        return NGX_OK;
    }

    if (response->close) {
        response->keepalive = 0;
    }

    if (response->status == 204
        && (response->chunked || response->length > 0))
    {
        /* nobody knows what follows */
        response->keepalive = 0;
    }

    if (response->method == NGX_AUTOCERT_HEAD
        || response->status == 204
        || response->status == 304)
    {
        ngx_autocert_message_done_state(response);
        return NGX_OK;
    }

    if (response->chunked) {
        response->state = ngx_autocert_message_chunk_size;
        return NGX_OK;
    }

    if (!response->has_length) {
        response->keepalive = 0;
        response->state = ngx_autocert_message_close;
        return NGX_OK;
    }

    if (response->length > NGX_AUTOCERT_MESSAGE_BODY) {
        return ngx_autocert_message_error(response,
                                          "response body is too long");
    }

    response->rest = response->length;
    response->state = ngx_autocert_message_length;

    return NGX_OK;
}


/* Nothing of a 1xx response stays but its bytes in header_size. */

static void
ngx_autocert_message_interim(ngx_autocert_response_t *response)
{
    ngx_str_null(&response->content_type);
    ngx_str_null(&response->nonce);
    ngx_str_null(&response->location);
    ngx_str_null(&response->retry_after);
    ngx_str_null(&response->date);

    response->status = 0;
    response->keepalive = 0;
    response->links.nelts = 0;
    response->length = -1;
    response->chunked = 0;
    response->has_length = 0;
    response->http10 = 0;
    response->close = 0;
    response->state = ngx_autocert_message_status;
}


static ngx_int_t
ngx_autocert_message_size_line(ngx_autocert_response_t *response,
    ngx_str_t *line)
{
    u_char      c;
    size_t      n;
    ngx_str_t   rest;

    n = 0;
    rest = *line;

    for ( /* void */ ; rest.len; rest.data++, rest.len--) {

        c = ngx_tolower(*rest.data);

        if (c >= '0' && c <= '9') {
            c = c - '0';

        } else if (c >= 'a' && c <= 'f') {
            c = c - 'a' + 10;

        } else {
            break;
        }

        if (rest.data - line->data == NGX_AUTOCERT_MESSAGE_DIGITS) {
            return ngx_autocert_message_error(response,
                                              "response body is too long");
        }

        n = n << 4 | c;
    }

    if (rest.data == line->data) {
        return ngx_autocert_message_error(response, "malformed chunk size");
    }

    if (rest.len == 0) {

        /* only extensions and trailers count as a part of the header */

        response->header_size -= line->len + 2;

    } else {
        ngx_autocert_message_blanks(&rest);

        if (rest.len == 0 || *rest.data != ';') {
            return ngx_autocert_message_error(response,
                                              "malformed chunk size");
        }
    }

    if (n == 0) {
        response->state = ngx_autocert_message_trailer;
        return NGX_OK;
    }

    if (n > NGX_AUTOCERT_MESSAGE_BODY - response->body.len) {
        return ngx_autocert_message_error(response,
                                          "response body is too long");
    }

    response->rest = n;
    response->state = ngx_autocert_message_chunk;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_body(ngx_autocert_response_t *response, u_char **pos,
    u_char *last)
{
    size_t  n;

    n = last - *pos;

    if (response->state == ngx_autocert_message_close) {

        if (n == 0) {
            return NGX_AGAIN;
        }

        if (n > NGX_AUTOCERT_MESSAGE_BODY - response->body.len) {
            return ngx_autocert_message_error(response,
                                              "response body is too long");
        }

    } else {
        n = ngx_min(n, response->rest);

        if (n == 0 && response->rest) {
            return NGX_AGAIN;
        }

        response->rest -= n;
    }

    if (ngx_autocert_message_body_add(response, *pos, n) != NGX_OK) {
        return ngx_autocert_message_error(response, "out of memory");
    }

    *pos += n;

    if (response->state == ngx_autocert_message_close || response->rest) {
        return NGX_OK;
    }

    if (response->state == ngx_autocert_message_chunk) {
        response->state = ngx_autocert_message_chunk_end;
        return NGX_OK;
    }

    ngx_autocert_message_done_state(response);

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_body_add(ngx_autocert_response_t *response, u_char *p,
    size_t len)
{
    u_char  *body;
    size_t   size, need;

    if (len == 0) {
        return NGX_OK;
    }

    need = response->body.len + len;

    if (need > response->size) {

        size = response->size ? response->size : NGX_AUTOCERT_MESSAGE_BLOCK;

        while (size < need) {
            size *= 2;
        }

        body = ngx_pnalloc(response->pool, size);
        if (body == NULL) {
            return NGX_ERROR;
        }

        if (response->body.len) {
            ngx_memcpy(body, response->body.data, response->body.len);
            (void) ngx_pfree(response->pool, response->body.data);
        }

        response->body.data = body;
        response->size = size;
    }

    ngx_memcpy(response->body.data + response->body.len, p, len);
    response->body.len = need;

    return NGX_OK;
}


static void
ngx_autocert_message_done_state(ngx_autocert_response_t *response)
{
    response->state = ngx_autocert_message_done;

    if (response->line->start) {
        (void) ngx_pfree(response->pool, response->line->start);
        response->line->start = NULL;
        response->line->last = NULL;
        response->line->end = NULL;
    }
}


/* Of a field that comes twice the first is taken. */

static ngx_int_t
ngx_autocert_message_keep(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    ngx_str_t  *s;

    s = (ngx_str_t *) ((u_char *) response + offset);

    if (s->data) {
        return NGX_OK;
    }

    if (ngx_autocert_message_copy(response->pool, s, value) != NGX_OK) {
        return ngx_autocert_message_error(response, "out of memory");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_content_type(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    u_char     *p;
    ngx_str_t   type;

    (void) offset;

    if (response->content_type.data) {
        return NGX_OK;
    }

    type = *value;

    p = ngx_strlchr(type.data, type.data + type.len, ';');
    if (p) {
        type.len = p - type.data;
    }

    while (type.len
           && (type.data[type.len - 1] == ' '
               || type.data[type.len - 1] == '\t'))
    {
        type.len--;
    }

    if (ngx_autocert_message_copy(response->pool, &response->content_type,
                                  &type)
        != NGX_OK)
    {
        return ngx_autocert_message_error(response, "out of memory");
    }

    ngx_strlow(response->content_type.data, response->content_type.data,
               response->content_type.len);

    return NGX_OK;
}


/* RFC 8555, 6.5.1: a nonce that is not base64url is to be ignored */

static ngx_int_t
ngx_autocert_message_nonce(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    u_char  c;
    size_t  i;

    (void) offset;

    if (value->len == 0) {
        return NGX_OK;
    }

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
            && (c < '0' || c > '9') && c != '-' && c != '_')
        {
            return NGX_OK;
        }
    }

    return ngx_autocert_message_keep(response, value,
                                     offsetof(ngx_autocert_response_t, nonce));
}


static ngx_int_t
ngx_autocert_message_link_keep(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    ngx_str_t  *link;

    (void) offset;

    link = ngx_array_push(&response->links);

    if (link == NULL
        || ngx_autocert_message_copy(response->pool, link, value) != NGX_OK)
    {
        return ngx_autocert_message_error(response, "out of memory");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_content_length(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    off_t  length;

    (void) offset;

    if (response->has_length) {
        return ngx_autocert_message_error(response,
                                          "repeated Content-Length");
    }

    length = ngx_atoof(value->data, value->len);

    if (length < 0) {
        return ngx_autocert_message_error(response,
                                          "invalid Content-Length");
    }

    response->has_length = 1;
    response->length = length;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_transfer(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    (void) offset;

    if (response->chunked) {
        return ngx_autocert_message_error(response,
                                          "repeated Transfer-Encoding");
    }

    if (!ngx_autocert_message_is(value, "chunked")) {
        return ngx_autocert_message_error(response,
                                          "unsupported Transfer-Encoding");
    }

    response->chunked = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_encoding(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    (void) offset;

    if (value->len && !ngx_autocert_message_is(value, "identity")) {
        return ngx_autocert_message_error(response,
                                          "unsupported Content-Encoding");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_connection(ngx_autocert_response_t *response,
    ngx_str_t *value, ngx_uint_t offset)
{
    u_char     *p, *last;
    ngx_str_t   option;

    (void) offset;

    last = value->data + value->len;

    for (p = value->data; p < last; p++) {

        option.data = p;

        while (p < last && *p != ',') {
            p++;
        }

        option.len = p - option.data;
        ngx_autocert_message_blanks(&option);

        while (option.len
               && (option.data[option.len - 1] == ' '
                   || option.data[option.len - 1] == '\t'))
        {
            option.len--;
        }

        if (ngx_autocert_message_is(&option, "close")) {
            response->close = 1;

        } else if (ngx_autocert_message_is(&option, "keep-alive")) {
            response->keepalive = 1;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_message_copy(ngx_pool_t *pool, ngx_str_t *dst, ngx_str_t *src)
{
    dst->data = ngx_pnalloc(pool, src->len + 1);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, src->data, src->len);
    dst->data[src->len] = '\0';
    dst->len = src->len;

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_message_is(ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_strncasecmp(s->data, (u_char *) word, s->len) == 0;
}


/* tchar of RFC 9110, 5.6.2 */

static ngx_uint_t
ngx_autocert_message_token(u_char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
        || (c >= '0' && c <= '9'))
    {
        return 1;
    }

    return c && ngx_strchr("!#$%&'*+-.^_`|~", c) != NULL;
}


static void
ngx_autocert_message_blanks(ngx_str_t *s)
{
    while (s->len && (*s->data == ' ' || *s->data == '\t')) {
        s->data++;
        s->len--;
    }
}


ngx_int_t
ngx_autocert_message_link(ngx_autocert_response_t *response, const char *rel,
    ngx_uint_t n, ngx_str_t *target)
{
    ngx_str_t   *link, in, rels;
    ngx_uint_t   i;

    link = response->links.elts;

    for (i = 0; i < response->links.nelts; i++) {

        in = link[i];

        while (ngx_autocert_message_link_next(&in, target, &rels) == NGX_OK) {

            if (!ngx_autocert_message_link_rel(&rels, rel)) {
                continue;
            }

            if (n-- == 0) {
                return NGX_OK;
            }
        }
    }

    ngx_str_null(target);

    return NGX_DECLINED;
}


/*
 * One link-value off the front of in (RFC 8288, 3); rel is empty if it has
 * none or is about something else than this response.
 */

static ngx_int_t
ngx_autocert_message_link_next(ngx_str_t *in, ngx_str_t *target,
    ngx_str_t *rel)
{
    u_char      *p, *last;
    ngx_str_t    name, value;
    ngx_uint_t   anchor;

    while (in->len
           && (*in->data == ',' || *in->data == ' ' || *in->data == '\t'))
    {
        in->data++;
        in->len--;
    }

    if (in->len == 0 || *in->data != '<') {
        return NGX_DECLINED;
    }

    last = in->data + in->len;

    p = ngx_strlchr(in->data, last, '>');
    if (p == NULL) {
        return NGX_DECLINED;
    }

    target->data = in->data + 1;
    target->len = p - target->data;

    in->data = p + 1;
    in->len = last - in->data;

    ngx_str_null(rel);
    anchor = 0;

    for ( ;; ) {

        ngx_autocert_message_blanks(in);

        if (in->len == 0 || *in->data == ',') {
            break;
        }

        if (*in->data != ';') {
            return NGX_DECLINED;
        }

        in->data++;
        in->len--;

        if (ngx_autocert_message_link_param(in, &name, &value) != NGX_OK) {
            return NGX_DECLINED;
        }

        /* RFC 8288, 3.3: the first one counts */

        if (rel->data == NULL && ngx_autocert_message_is(&name, "rel")) {
            *rel = value;

        } else if (ngx_autocert_message_is(&name, "anchor")) {
            anchor = 1;
        }
    }

    if (anchor) {
        ngx_str_null(rel);
    }

    return NGX_OK;
}


/* name, name=token or name="quoted"; also nothing, as in "<x>; ; rel=up" */

static ngx_int_t
ngx_autocert_message_link_param(ngx_str_t *in, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char  *p, *last;

    ngx_autocert_message_blanks(in);

    last = in->data + in->len;

    for (p = in->data; p < last && ngx_autocert_message_token(*p); p++) {
        /* void */
    }

    name->data = in->data;
    name->len = p - in->data;

    in->data = p;
    in->len = last - p;

    ngx_autocert_message_blanks(in);

    value->data = in->data;
    value->len = 0;

    if (in->len == 0 || *in->data != '=') {
        return NGX_OK;
    }

    in->data++;
    in->len--;

    ngx_autocert_message_blanks(in);

    p = in->data;

    if (in->len == 0 || *p != '"') {

        while (p < last && *p != ';' && *p != ',' && *p != ' ' && *p != '\t') {
            p++;
        }

        value->data = in->data;
        value->len = p - in->data;

        in->data = p;
        in->len = last - p;

        return NGX_OK;
    }

    value->data = ++p;

    while (p < last && *p != '"') {
        p += (*p == '\\') ? 2 : 1;
    }

    if (p >= last) {
        return NGX_DECLINED;
    }

    value->len = p - value->data;

    in->data = p + 1;
    in->len = last - in->data;

    return NGX_OK;
}


/* Relation types are words between spaces, in any case. */

static ngx_uint_t
ngx_autocert_message_link_rel(ngx_str_t *rel, const char *word)
{
    u_char     *p, *last;
    ngx_str_t   s;

    if (rel->len == 0) {
        return 0;
    }

    last = rel->data + rel->len;

    for (p = rel->data; p < last; p++) {

        s.data = p;

        while (p < last && *p != ' ') {
            p++;
        }

        s.len = p - s.data;

        if (ngx_autocert_message_is(&s, word)) {
            return 1;
        }
    }

    return 0;
}
