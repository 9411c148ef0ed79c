
#include "ngx_http_autocert_module.h"


static ngx_int_t ngx_http_autocert_challenge_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_autocert_challenge_answer(ngx_http_request_t *r,
    ngx_uint_t status, char *line, ngx_str_t *body);
static ngx_int_t ngx_http_autocert_challenge_send(ngx_http_request_t *r,
    ngx_uint_t status, char *line, ngx_str_t *body);


static ngx_str_t  ngx_http_autocert_challenge_path =
    ngx_string("/.well-known/acme-challenge/");


/*
 * The first phase of all, before any server's rewrite.  Handlers of a phase
 * run in the reverse of the order in which they were added: NGINX's own
 * (realip) after ours, those of a module that is loaded after ours before it.
 */

ngx_int_t
ngx_http_autocert_challenge(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_autocert_challenge_handler;

    return NGX_OK;
}


/* What no challenge is pending for goes its normal way. */

static ngx_int_t
ngx_http_autocert_challenge_handler(ngx_http_request_t *r)
{
    u_char     *low;
    u_char      buf[NGX_AUTOCERT_CHALLENGE_SIZE];
    ngx_int_t   rc;
    ngx_str_t   host, token, body, *path;

    path = &ngx_http_autocert_challenge_path;

    if (r->uri.len <= path->len
        || ngx_memcmp(r->uri.data, path->data, path->len) != 0
        || r->headers_in.server.len == 0
        || r->http_version >= NGX_HTTP_VERSION_20)
    {
        return NGX_DECLINED;
    }

    token.data = r->uri.data + path->len;
    token.len = r->uri.len - path->len;

    host.len = r->headers_in.server.len;

    low = ngx_pnalloc(r->pool, host.len);
    if (low == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(low, r->headers_in.server.data, host.len);
    host.data = low;

    /* an IPv6 address is in brackets here, and in no other place */

    if (host.len > 2 && low[0] == '[' && low[host.len - 1] == ']') {
        host.data++;
        host.len -= 2;
    }

    rc = ngx_autocert_challenge(&host, &token, &body, buf);

    if (rc == NGX_ABORT) {
        return ngx_http_autocert_challenge_answer(r, NGX_HTTP_NOT_FOUND,
                                                  "404 Not Found", &body);
    }

    if (rc != NGX_OK) {
        return NGX_DECLINED;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        ngx_str_null(&body);
        return ngx_http_autocert_challenge_answer(r, NGX_HTTP_NOT_ALLOWED,
                            "405 Not Allowed" CRLF "Allow: GET, HEAD", &body);
    }

    return ngx_http_autocert_challenge_answer(r, NGX_HTTP_OK, "200 OK",
                                              &body);
}


static ngx_int_t
ngx_http_autocert_challenge_answer(ngx_http_request_t *r, ngx_uint_t status,
    char *line, ngx_str_t *body)
{
    ngx_int_t  rc;

    rc = ngx_http_autocert_challenge_send(r, status, line, body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/*
 * Past all filters and "error_page": whatever is configured to change status,
 * bodies and fields, the CA gets these bytes (RFC 8555, 8.3).
 */

static ngx_int_t
ngx_http_autocert_challenge_send(ngx_http_request_t *r, ngx_uint_t status,
    char *line, ngx_str_t *body)
{
    size_t        size;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    static char  header[] = "HTTP/1.1 %s" CRLF
                            "Content-Type: application/octet-stream" CRLF
                            "Content-Length: %uz" CRLF
                            "Cache-Control: no-store" CRLF
                            "Connection: close" CRLF CRLF;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    size = sizeof(header) + ngx_strlen(line) + NGX_SIZE_T_LEN + body->len;

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_sprintf(b->last, header, line, body->len);

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;
    r->header_size = b->last - b->pos;
    r->header_sent = 1;
    r->keepalive = 0;

    /* a CA waits for seconds; "limit_rate" is for what is larger */

    r->limit_rate = 0;
    r->limit_rate_set = 1;

    if (r->method != NGX_HTTP_HEAD && body->len) {
        b->last = ngx_cpymem(b->last, body->data, body->len);
    }

    b->last_buf = 1;
    b->flush = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_write_filter(r, &out);
}
