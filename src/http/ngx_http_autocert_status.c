
#include "ngx_http_autocert_status.h"


#define NGX_HTTP_AUTOCERT_STATUS_BUFFER  65536
#define NGX_HTTP_AUTOCERT_STATUS_COUNT   2000   /* names in one turn */


static ngx_int_t ngx_http_autocert_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_autocert_status_format(ngx_http_request_t *r,
    ngx_http_autocert_status_t *st, ngx_str_t *type);
static void ngx_http_autocert_status_accept(ngx_http_request_t *r,
    ngx_str_t *format);
static ngx_int_t ngx_http_autocert_status_headers(
    ngx_http_autocert_status_t *st, ngx_str_t *type);
static ngx_int_t ngx_http_autocert_status_header(ngx_http_request_t *r,
    char *name, ngx_str_t *value);
static void ngx_http_autocert_status_writer(ngx_http_request_t *r);
static ngx_int_t ngx_http_autocert_status_send(ngx_http_request_t *r,
    ngx_http_autocert_status_t *st);
static ngx_int_t ngx_http_autocert_status_buffer(ngx_http_request_t *r,
    ngx_http_autocert_status_t *st, ngx_chain_t **out);
static void ngx_http_autocert_status_count(ngx_http_autocert_status_t *st);


char *
ngx_http_autocert_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    (void) cmd;
    (void) conf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_autocert_status_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_autocert_status_handler;

    return (ngx_http_autocert_status_html_policy() == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_autocert_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       type;
    ngx_http_autocert_status_t     *st;
    ngx_http_autocert_main_conf_t  *amcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    /* what it writes on its own would come in the midst of another answer */

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    st = ngx_pcalloc(r->pool, sizeof(ngx_http_autocert_status_t));
    if (st == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    amcf = ngx_http_get_module_main_conf(r, ngx_http_autocert_module);

    st->request = r;
    st->acf = amcf->acf;
    st->now = ngx_time();

    if (st->acf->core) {
        st->names = st->acf->names.elts;
        st->n = st->acf->names.nelts;
        ngx_autocert_totals(st->acf, &st->totals);

    } else {
        st->totals.reachable = -1;
    }

    rc = ngx_http_autocert_status_format(r, st, &type);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_autocert_status_headers(st, &type) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_set_ctx(r, st, ngx_http_autocert_module);

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_autocert_status_writer;

    ngx_http_autocert_status_writer(r);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_autocert_status_format(ngx_http_request_t *r,
    ngx_http_autocert_status_t *st, ngx_str_t *type)
{
    ngx_str_t  format;

    if (ngx_http_arg(r, (u_char *) "format", 6, &format) != NGX_OK) {
        ngx_http_autocert_status_accept(r, &format);
    }

    if (format.len == 4 && ngx_strncmp(format.data, "html", 4) == 0) {
        ngx_str_set(type, "text/html; charset=utf-8");
        st->write = ngx_http_autocert_status_html;
        st->html = 1;
        return ngx_http_autocert_status_html_init(st);
    }

    if (format.len == 4 && ngx_strncmp(format.data, "json", 4) == 0) {
        ngx_str_set(type, "application/json");
        st->write = ngx_http_autocert_status_json;
        return NGX_OK;
    }

    if (format.len == 10 && ngx_strncmp(format.data, "prometheus", 10) == 0) {
        ngx_str_set(type, "text/plain; version=0.0.4; charset=utf-8");
        st->write = ngx_http_autocert_status_prometheus;
        return NGX_OK;
    }

    return NGX_HTTP_BAD_REQUEST;
}


/* Browsers name HTML, and Prometheus its own; who says nothing is a program. */

static void
ngx_http_autocert_status_accept(ngx_http_request_t *r, ngx_str_t *format)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_str_set(format, "json");

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {

            if (part->next == NULL) {
                return;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == 6
            && ngx_strncasecmp(h[i].key.data, (u_char *) "Accept", 6) == 0)
        {
            break;
        }
    }

    /* values of headers end with a zero */

    if (ngx_strcasestrn(h[i].value.data, "text/html", 8)) {
        ngx_str_set(format, "html");

    } else if (ngx_strcasestrn(h[i].value.data, "application/json", 15)) {
        return;

    } else if (ngx_strcasestrn(h[i].value.data, "openmetrics", 10)
               || ngx_strcasestrn(h[i].value.data, "text/plain", 9))
    {
        ngx_str_set(format, "prometheus");
    }
}


static ngx_int_t
ngx_http_autocert_status_headers(ngx_http_autocert_status_t *st,
    ngx_str_t *type)
{
    ngx_http_request_t  *r = st->request;

    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  no_sniff = ngx_string("nosniff");
    static ngx_str_t  no_referrer = ngx_string("no-referrer");
    static ngx_str_t  nothing = ngx_string("default-src 'none'; "
                                           "frame-ancestors 'none'");

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_clear_accept_ranges(r);

    if (ngx_http_autocert_status_header(r, "Cache-Control", &no_store)
        != NGX_OK
        || ngx_http_autocert_status_header(r, "X-Content-Type-Options",
                                           &no_sniff)
           != NGX_OK
        || ngx_http_autocert_status_header(r, "Referrer-Policy",
                                           &no_referrer)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_autocert_status_header(r, "Content-Security-Policy",
                                           st->html
                                           ? &ngx_http_autocert_status_policy
                                           : &nothing);
}


static ngx_int_t
ngx_http_autocert_status_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}


/* A piece a turn: what comes for others in between is not held up. */

static void
ngx_http_autocert_status_writer(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_event_t                 *wev;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_autocert_status_t  *st;

    wev = r->connection->write;
    st = ngx_http_get_module_ctx(r, ngx_http_autocert_module);

    if (wev->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    rc = ngx_http_autocert_status_send(r, st);

    if (rc == NGX_ERROR || rc > NGX_OK || st->done) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->buffered || r->connection->buffered || wev->delayed || st->busy) {

        /* one that waits for the other parts of an answer is posted by these */

        if (r != r->connection->data) {
            return;
        }

        if (!wev->delayed) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    /* a worker that is to leave stays as long as there is a timer */

    ngx_add_timer(wev, clcf->send_timeout);

    ngx_post_event(wev, &ngx_posted_next_events);
}


static ngx_int_t
ngx_http_autocert_status_send(ngx_http_request_t *r,
    ngx_http_autocert_status_t *st)
{
    ngx_int_t     rc;
    ngx_chain_t  *out;

    out = NULL;

    if (st->busy == NULL
        && !r->buffered
        && !r->connection->buffered
        && !r->connection->write->delayed
        && ngx_http_autocert_status_buffer(r, st, &out) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (out == NULL && st->busy == NULL && !r->buffered
        && !r->connection->buffered)
    {
        return NGX_OK;
    }

    rc = ngx_http_output_filter(r, out);

    ngx_chain_update_chains(r->pool, &st->free, &st->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_autocert_module);

    return rc;
}


/* No buffer if all of the turn went by with counting. */

static ngx_int_t
ngx_http_autocert_status_buffer(ngx_http_request_t *r,
    ngx_http_autocert_status_t *st, ngx_chain_t **out)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (!st->counted) {
        ngx_http_autocert_status_count(st);
        return NGX_OK;
    }

    cl = ngx_chain_get_free_buf(r->pool, &st->free);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    b = cl->buf;

    if (b->start == NULL) {
        b->start = ngx_palloc(r->pool, NGX_HTTP_AUTOCERT_STATUS_BUFFER);
        if (b->start == NULL) {
            return NGX_ERROR;
        }

        b->end = b->start + NGX_HTTP_AUTOCERT_STATUS_BUFFER;
        b->temporary = 1;
        b->tag = (ngx_buf_tag_t) &ngx_http_autocert_module;
    }

    b->pos = b->start;
    b->last = b->start;

    while (!st->done
           && b->end - b->last >= NGX_HTTP_AUTOCERT_STATUS_PIECE)
    {
        b->last = st->write(st, b->last,
                            b->last + NGX_HTTP_AUTOCERT_STATUS_PIECE);
    }

    b->flush = 1;
    b->last_buf = st->done;
    b->last_in_chain = st->done;

    *out = cl;

    return NGX_OK;
}


static void
ngx_http_autocert_status_count(ngx_http_autocert_status_t *st)
{
    ngx_int_t              rc;
    ngx_uint_t             last;
    ngx_autocert_digest_t  digest;

    last = ngx_min(st->index + NGX_HTTP_AUTOCERT_STATUS_COUNT, st->n);

    for ( /* void */ ; st->index < last; st->index++) {

        if (st->names[st->index].bootstrap) {
            continue;
        }

        rc = ngx_autocert_digest(st->acf, st->index, st->now, &digest);

        st->total++;
        st->states[digest.state]++;

        if (rc == NGX_OK
            && digest.due <= st->now
            && digest.state != NGX_AUTOCERT_IS_HELD)
        {
            st->queue++;
        }

        if (st->html) {
            ngx_http_autocert_status_html_rank(st, st->index, &digest);
        }
    }

    if (st->index == st->n) {
        st->counted = 1;
        st->index = 0;
    }
}
