
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_cause.h"
#include "ngx_autocert_fail.h"


#define NGX_AUTOCERT_CAUSE_SIZE   480   /* of the sentence */
#define NGX_AUTOCERT_CAUSE_FIELD  64    /* of what is quoted of a field */
#define NGX_AUTOCERT_CAUSE_START  48    /* of what is quoted of a body */


static void ngx_autocert_cause_field(ngx_str_t *head, const char *name,
    ngx_str_t *value);
static u_char *ngx_autocert_cause_none(u_char *p, u_char *last,
    ngx_autocert_look_t *look);
static u_char *ngx_autocert_cause_some(u_char *p, u_char *last,
    ngx_autocert_look_t *look, ngx_autocert_seen_t *wrong);
static u_char *ngx_autocert_cause_seen(u_char *p, u_char *last,
    ngx_autocert_look_t *look, ngx_autocert_seen_t *seen);
static u_char *ngx_autocert_cause_other(u_char *p, u_char *last,
    ngx_autocert_seen_t *seen);
static u_char *ngx_autocert_cause_quote(u_char *p, u_char *last,
    const char *what, ngx_str_t *text, size_t max);


void
ngx_autocert_cause_http(ngx_autocert_seen_t *seen, ngx_str_t *response,
    ngx_str_t *value)
{
    u_char     *p, *last;
    ngx_int_t   status;
    ngx_str_t   head, body;

    seen->kind = NGX_AUTOCERT_CAUSE_OTHER;
    seen->status = 0;
    ngx_str_null(&seen->server);
    ngx_str_null(&seen->location);

    last = response->data + response->len;

    /* "HTTP/1.x NNN" */

    if (response->len < 12
        || ngx_strncmp(response->data, "HTTP/1.", 7) != 0
        || response->data[8] != ' ')
    {
        seen->start = *response;
        return;
    }

    status = ngx_atoi(response->data + 9, 3);
    seen->status = (status == NGX_ERROR) ? 0 : status;

    p = ngx_strnstr(response->data, CRLF CRLF, response->len);

    head.data = response->data;
    head.len = p ? (size_t) (p + 2 - head.data) : response->len;

    body.data = p ? p + 4 : last;
    body.len = last - body.data;

    ngx_autocert_cause_field(&head, CRLF "Server:", &seen->server);
    ngx_autocert_cause_field(&head, CRLF "Location:", &seen->location);

    seen->start = body;

    while (body.len > value->len
           && (body.data[body.len - 1] == LF || body.data[body.len - 1] == CR))
    {
        body.len--;
    }

    if (seen->status == 200
        && body.len == value->len
        && ngx_memcmp(body.data, value->data, value->len) == 0)
    {
        seen->kind = NGX_AUTOCERT_CAUSE_RIGHT;
    }
}


/* name begins with CRLF and ends with the colon */

static void
ngx_autocert_cause_field(ngx_str_t *head, const char *name, ngx_str_t *value)
{
    u_char  *p, *end, *last;

    p = ngx_strlcasestrn(head->data, head->data + head->len, (u_char *) name,
                         ngx_strlen(name) - 1);
    if (p == NULL) {
        return;
    }

    last = head->data + head->len;

    for (p += ngx_strlen(name); p < last && *p == ' '; p++) { /* void */ }

    for (end = p; end < last && *end != CR && *end != LF; end++) { /* void */ }

    value->data = p;
    value->len = end - p;
}


void
ngx_autocert_cause(ngx_pool_t *pool, ngx_autocert_look_t *look,
    ngx_str_t *text)
{
    u_char                buf[NGX_AUTOCERT_CAUSE_SIZE], *p, *last;
    ngx_str_t             raw;
    ngx_uint_t            i, right;
    ngx_autocert_seen_t  *wrong;

    ngx_str_null(text);

    p = buf;
    last = buf + sizeof(buf);

    right = 0;
    wrong = NULL;

    for (i = 0; i < look->n; i++) {

        if (look->seen[i].kind == NGX_AUTOCERT_CAUSE_RIGHT) {
            right++;

        } else if (wrong == NULL) {
            wrong = &look->seen[i];
        }
    }

    if (look->n == 0) {
        p = ngx_autocert_cause_none(p, last, look);

    } else if (wrong == NULL) {
        p = ngx_slprintf(p, last, "from here all is well, %V port %ui gives "
                         "the right answer: a firewall may keep the CA out, "
                         "or its DNS has another address",
                         &look->seen[0].addr, look->port);

    } else if (right || wrong->again
               || (wrong->v6 && wrong->kind == NGX_AUTOCERT_CAUSE_REFUSED))
    {
        p = ngx_autocert_cause_some(p, last, look, wrong);

    } else {
        p = ngx_autocert_cause_seen(p, last, look, wrong);
    }

    raw.data = buf;
    raw.len = p - buf;

    (void) ngx_autocert_fail_text(pool, &raw, sizeof(buf), text);
}


static u_char *
ngx_autocert_cause_none(u_char *p, u_char *last, ngx_autocert_look_t *look)
{
    switch (look->unresolved) {

    case 0:
        return ngx_slprintf(p, last, "the DNS has no address for the name");

    case 3: /* NGX_RESOLVE_NXDOMAIN */
        return ngx_slprintf(p, last, "the DNS says that there is no such "
                            "name (NXDOMAIN)");

    default:
        return ngx_slprintf(p, last, "the name can't be resolved from here "
                            "either (%i)", look->unresolved);
    }
}


/* What is wrong is that there is this address. */

static u_char *
ngx_autocert_cause_some(u_char *p, u_char *last, ngx_autocert_look_t *look,
    ngx_autocert_seen_t *wrong)
{
    if (wrong->again) {
        p = ngx_slprintf(p, last, "it is right at times only, a replica "
                         "behind a load balancer that does not share "
                         "\"autocert_path\"? ");

    } else if (wrong->v6 && wrong->kind != NGX_AUTOCERT_CAUSE_OTHER) {
        p = ngx_slprintf(p, last, "the AAAA record leads where this server "
                         "does not listen, add \"listen [::]:%ui%s;\" or "
                         "remove the record: ", look->port,
                         look->port == 443 ? " ssl" : "");

    } else {
        p = ngx_slprintf(p, last, "not all addresses of the name lead to "
                         "this server, a replica behind a load balancer or "
                         "an old record? ");
    }

    return ngx_autocert_cause_seen(p, last, look, wrong);
}


static u_char *
ngx_autocert_cause_seen(u_char *p, u_char *last, ngx_autocert_look_t *look,
    ngx_autocert_seen_t *seen)
{
    switch (seen->kind) {

    case NGX_AUTOCERT_CAUSE_REFUSED:
        return ngx_slprintf(p, last, "nothing listens at %V port %ui "
                            "(connection refused)", &seen->addr, look->port);

    case NGX_AUTOCERT_CAUSE_TIMEOUT:
        return ngx_slprintf(p, last, "%V port %ui does not answer (time-out), "
                            "is there a firewall?", &seen->addr, look->port);

    case NGX_AUTOCERT_CAUSE_CLOSED:
        return ngx_slprintf(p, last, "%V port %ui closes the connection "
                            "without the answer", &seen->addr, look->port);

    case NGX_AUTOCERT_CAUSE_FAILED:
        return ngx_slprintf(p, last, "%V port %ui can't be reached (error "
                            "%d)", &seen->addr, look->port, seen->err);

    default:
        p = ngx_slprintf(p, last, "another server answers at %V port %ui",
                         &seen->addr, look->port);
        return ngx_autocert_cause_other(p, last, seen);
    }
}


static u_char *
ngx_autocert_cause_other(u_char *p, u_char *last, ngx_autocert_seen_t *seen)
{
    if (seen->status) {
        p = ngx_slprintf(p, last, ", status %ui", seen->status);
    }

    p = ngx_autocert_cause_quote(p, last, "Server: ", &seen->server,
                                 NGX_AUTOCERT_CAUSE_FIELD);
    p = ngx_autocert_cause_quote(p, last, "Location: ", &seen->location,
                                 NGX_AUTOCERT_CAUSE_FIELD);
    p = ngx_autocert_cause_quote(p, last, "", &seen->start,
                                 NGX_AUTOCERT_CAUSE_START);
    p = ngx_autocert_cause_quote(p, last, "certificate: ", &seen->subject,
                                 NGX_AUTOCERT_CAUSE_FIELD);
    return ngx_autocert_cause_quote(p, last, "TLS: ", &seen->tls,
                                    NGX_AUTOCERT_CAUSE_FIELD);
}


/* A quotation mark within would end it, and what follows be taken for ours. */

static u_char *
ngx_autocert_cause_quote(u_char *p, u_char *last, const char *what,
    ngx_str_t *text, size_t max)
{
    size_t  i, len;

    len = ngx_min(text->len, max);

    if (len == 0) {
        return p;
    }

    p = ngx_slprintf(p, last, ", %s\"", what);

    for (i = 0; i < len && p < last; i++) {
        *p++ = (text->data[i] == '"') ? '\'' : text->data[i];
    }

    return ngx_slprintf(p, last, "\"");
}
