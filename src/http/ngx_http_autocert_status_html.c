
#include "ngx_http_autocert_status.h"

#include <openssl/evp.h>


#define NGX_HTTP_AUTOCERT_HTML_HEAD    0
#define NGX_HTTP_AUTOCERT_HTML_NAMES   1
#define NGX_HTTP_AUTOCERT_HTML_TAIL    2

#define NGX_HTTP_AUTOCERT_BAR          1000     /* its width */

/* Bytes of arguments, with a zero behind. */
#define NGX_HTTP_AUTOCERT_HTML_NAME    256
#define NGX_HTTP_AUTOCERT_HTML_WORD    16

#define NGX_HTTP_AUTOCERT_HTML_DATE    24       /* bytes of a printed one */
#define NGX_HTTP_AUTOCERT_HTML_SPAN    32


static int ngx_libc_cdecl ngx_http_autocert_html_cmp(const void *one,
    const void *two);
static void ngx_http_autocert_html_arg(ngx_http_request_t *r, char *arg,
    u_char *buf, size_t size, ngx_str_t *value);

static u_char *ngx_http_autocert_html_head(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_summary(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_facts(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_filter(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_name(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_bar(ngx_autocert_report_t *report,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_when(ngx_autocert_report_t *report,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_trouble(ngx_autocert_report_t *report,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_details(ngx_autocert_report_t *report,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_row(u_char *p, u_char *last,
    char *title, ngx_str_t *value);
static u_char *ngx_http_autocert_html_date(u_char *p, u_char *last,
    char *title, time_t t);
static u_char *ngx_http_autocert_html_instant(u_char *p, u_char *last,
    char *title, time_t t, time_t now);
static u_char *ngx_http_autocert_html_tail(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_html_link(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last, ngx_uint_t page, char *title);

static u_char *ngx_http_autocert_html_text(u_char *p, u_char *last,
    ngx_str_t *text);
static u_char *ngx_http_autocert_html_time(u_char *p, u_char *last, time_t t);
static u_char *ngx_http_autocert_html_span(u_char *p, u_char *last,
    time_t span);


static char  ngx_http_autocert_html_style[] =
    ":root{color-scheme:light dark;"
    "--bg:#f6f7f8;--card:#fff;--ink:#16191d;--dim:#5b636d;--line:#e1e4e8;"
    "--link:#0b57c2;--ok:#1f8a4c;--mid:#e0a100;--bad:#c9302c;--calm:#3b73c8;"
    "--badink:#b3261e;--midink:#7a5600;--okink:#166b3a;--calmink:#2a58a3;"
    "--badbg:#fdecea;--midbg:#fff4d6;--okbg:#e5f5ec;--calmbg:#e8f0fc;"
    "--soft:#a9d9bc;--track:#e9ecef;--spent:#d3d9de}"
    "@media(prefers-color-scheme:dark){:root{"
    "--bg:#101316;--card:#181c20;--ink:#e8eaed;--dim:#9aa4af;--line:#2a3036;"
    "--link:#8ab4f8;--ok:#3fb56f;--mid:#e2ad2e;--bad:#ef5f56;--calm:#6f9fe8;"
    "--badink:#ff9a92;--midink:#f3c969;--okink:#7fd8a2;--calmink:#a9c7fa;"
    "--badbg:#3a1a19;--midbg:#342a10;--okbg:#14301f;--calmbg:#1b2a42;"
    "--soft:#265c3d;--track:#262c32;--spent:#3c444c}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;"
    "-webkit-text-size-adjust:100%}"
    "main{max-width:960px;margin:0 auto;padding:28px 20px 40px}"
    "a{color:var(--link);text-decoration:none}a:hover{text-decoration:"
    "underline}"
    ":focus-visible{outline:2px solid var(--link);outline-offset:2px}"
    "header{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 14px;"
    "margin-bottom:18px}"
    "h1{font-size:24px;line-height:1.2;font-weight:650;"
    "letter-spacing:-.015em;margin:0}"
    "header p{margin:0;color:var(--dim)}"
    ".tiles{display:grid;grid-template-columns:repeat(6,1fr);gap:10px;"
    "margin:0 0 14px;padding:0;list-style:none}"
    ".tiles a{display:block;padding:10px 14px;background:var(--card);"
    "border:1px solid var(--line);border-radius:10px;color:var(--ink)}"
    ".tiles a:hover{border-color:var(--dim);text-decoration:none}"
    ".tiles b{display:block;font-size:22px;line-height:1.25;font-weight:600;"
    "font-variant-numeric:tabular-nums}"
    ".tiles span{color:var(--dim);font-size:13px}"
    ".tiles .none b{color:var(--dim);font-weight:400}"
    ".tiles .on{border-color:var(--link);box-shadow:inset 0 0 0 1px "
    "var(--link)}"
    ".tiles .failing:not(.none) b{color:var(--badink)}"
    ".tiles .held:not(.none) b{color:var(--midink)}"
    ".tiles .waiting:not(.none) b{color:var(--midink)}"
    ".facts{display:flex;flex-wrap:wrap;gap:4px 22px;margin:0 0 22px;"
    "padding:0;color:var(--dim);font-size:13px;list-style:none}"
    ".facts b{color:var(--ink);font-weight:550;overflow-wrap:anywhere}"
    ".facts .alarm b{color:var(--badink)}"
    "form{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 14px}"
    "input,select,button{font:inherit;color:var(--ink);"
    "background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:7px 11px;min-height:40px}"
    "input{flex:1 1 220px;min-width:0}"
    "button{background:var(--ink);border-color:var(--ink);color:var(--bg);"
    "font-weight:550;padding:7px 18px;cursor:pointer}"
    ".count{display:flex;flex-wrap:wrap;gap:0 16px;color:var(--dim);"
    "font-size:13px;margin:0 2px 8px}"
    ".count span{margin-left:auto}"
    ".count i{display:inline-block;width:10px;height:10px;margin:0 5px 0 "
    "12px;border-radius:3px;vertical-align:-1px}"
    ".count .s{background:var(--spent)}.count .g{background:var(--ok)}"
    ".count .w{background:var(--soft)}"
    "ol.list{margin:0;padding:0;list-style:none;background:var(--card);"
    "border:1px solid var(--line);border-radius:12px;overflow:hidden}"
    ".list>li{padding:15px 18px 13px;border-top:1px solid var(--line)}"
    ".list>li:first-child{border-top:0}"
    ".top{display:flex;align-items:baseline;gap:10px}"
    "h2{font-size:15px;line-height:1.4;font-weight:600;margin:0;"
    "overflow-wrap:anywhere;min-width:0}"
    ".left{margin-left:auto;white-space:nowrap;"
    "font-variant-numeric:tabular-nums}"
    ".left b{font-weight:650}.left span{color:var(--dim)}"
    ".tag{flex:none;font-size:12px;line-height:20px;font-weight:550;"
    "padding:0 8px;border-radius:10px;background:var(--calmbg);"
    "color:var(--calmink)}"
    ".valid .tag{background:var(--okbg);color:var(--okink)}"
    ".failing .tag{background:var(--badbg);color:var(--badink)}"
    ".held .tag,.waiting .tag{background:var(--midbg);color:var(--midink)}"
    ".bar{display:block;width:100%;height:8px;margin:9px 0 7px;"
    "border-radius:4px}"
    ".bar .t{fill:var(--track)}.bar .s{fill:var(--spent)}"
    ".bar .g{fill:var(--ok)}.bar .w{fill:var(--soft)}"
    ".bar .r{fill:var(--mid)}.bar .x{fill:var(--bad)}"
    ".bar .n{fill:var(--ink)}"
    ".why{margin:9px 0 2px;padding:8px 12px;border-radius:8px;"
    "background:var(--badbg);font-size:14px;overflow-wrap:anywhere}"
    ".held .why{background:var(--midbg)}"
    ".why b{font-weight:600}.why q{quotes:none;color:var(--ink)}"
    ".why small{display:block;color:var(--dim);font-size:13px}"
    "details{font-size:13px}"
    "summary{display:flex;flex-wrap:wrap;gap:0 18px;cursor:pointer;"
    "color:var(--dim);border-radius:4px;list-style:none;"
    "font-variant-numeric:tabular-nums}"
    "summary::-webkit-details-marker{display:none}"
    "summary .more{margin-left:auto;color:var(--link)}"
    "summary:hover .more{text-decoration:underline}"
    "[open] .more .s,.more .h{display:none}[open] .more .h{display:inline}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;"
    "margin:8px 0 6px;padding:10px 12px;background:var(--bg);"
    "border-radius:8px}"
    "dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}"
    "dd.m{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;"
    "font-size:12.5px}"
    ".empty{padding:44px 20px;text-align:center;color:var(--dim);"
    "background:var(--card);border:1px solid var(--line);"
    "border-radius:12px;margin:0}"
    "nav{display:flex;justify-content:space-between;gap:12px;"
    "margin:16px 2px 0}"
    "footer{margin-top:30px;padding-top:14px;border-top:1px solid "
    "var(--line);color:var(--dim);font-size:13px;display:flex;"
    "flex-wrap:wrap;gap:4px 16px}"
    ".v{position:absolute;width:1px;height:1px;overflow:hidden;"
    "clip-path:inset(50%);white-space:nowrap}"
    "@media(max-width:700px){main{padding:20px 14px 32px}"
    ".tiles{grid-template-columns:repeat(3,1fr);gap:8px}"
    ".tiles a{padding:8px 11px}"
    ".list>li{padding:14px 14px 12px}"
    "form{display:grid;grid-template-columns:1fr auto}"
    "input{grid-column:1/-1}}";


/* The worst first. */

static ngx_uint_t  ngx_http_autocert_html_states[] = {
    NGX_AUTOCERT_IS_FAILING, NGX_AUTOCERT_IS_HELD, NGX_AUTOCERT_IS_WAITING,
    NGX_AUTOCERT_IS_ISSUING, NGX_AUTOCERT_IS_RENEWING, NGX_AUTOCERT_IS_VALID
};


ngx_str_t  ngx_http_autocert_status_policy;

/* of no pool: that of a reload that fails is gone, and the next is the same */

static u_char  ngx_http_autocert_html_policy[256];


/* The page's own style sheet, and nothing else. */

ngx_int_t
ngx_http_autocert_status_html_policy(void)
{
    u_char        digest[EVP_MAX_MD_SIZE], hash[64];
    ngx_str_t     src, dst, *policy;
    unsigned int  len;

    static char  format[] =
        "default-src 'none'; style-src 'sha256-%V'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

    if (EVP_Digest(ngx_http_autocert_html_style,
                   sizeof(ngx_http_autocert_html_style) - 1, digest, &len,
                   EVP_sha256(), NULL)
        != 1)
    {
        return NGX_ERROR;
    }

    src.data = digest;
    src.len = len;
    dst.data = hash;

    ngx_encode_base64(&dst, &src);

    policy = &ngx_http_autocert_status_policy;

    policy->data = ngx_http_autocert_html_policy;
    policy->len = ngx_snprintf(policy->data,
                               sizeof(ngx_http_autocert_html_policy), format,
                               &dst)
                  - policy->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_autocert_status_html_init(ngx_http_autocert_status_t *st)
{
    u_char              *buf;
    ngx_str_t            value;
    ngx_int_t            page;
    ngx_uint_t           i;
    ngx_http_request_t  *r = st->request;

    buf = ngx_pnalloc(r->pool, NGX_HTTP_AUTOCERT_HTML_NAME
                               + 2 * NGX_HTTP_AUTOCERT_HTML_WORD);

    st->ranked = ngx_palloc(r->pool,
                            (st->n + 1) * sizeof(ngx_http_autocert_ranked_t));

    if (buf == NULL || st->ranked == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_autocert_html_arg(r, "name", buf,
                               NGX_HTTP_AUTOCERT_HTML_NAME, &st->name);
    ngx_strlow(st->name.data, st->name.data, st->name.len);
    buf += NGX_HTTP_AUTOCERT_HTML_NAME;

    st->state = -1;

    ngx_http_autocert_html_arg(r, "state", buf,
                               NGX_HTTP_AUTOCERT_HTML_WORD, &value);

    for (i = 0; i < NGX_AUTOCERT_STATES; i++) {
        if (value.len == ngx_autocert_state_name(i)->len
            && ngx_memcmp(value.data, ngx_autocert_state_name(i)->data,
                          value.len)
               == 0)
        {
            st->state = i;
        }
    }

    ngx_http_autocert_html_arg(r, "page",
                               buf + NGX_HTTP_AUTOCERT_HTML_WORD,
                               NGX_HTTP_AUTOCERT_HTML_WORD, &value);

    page = ngx_atoi(value.data, value.len);
    st->page = ngx_max(page, 1) - 1;

    return NGX_OK;
}


/* As forms send it; what surrounds it is not meant. */

static void
ngx_http_autocert_html_arg(ngx_http_request_t *r, char *arg, u_char *buf,
    size_t size, ngx_str_t *value)
{
    u_char     *dst, *src;
    ngx_str_t   raw;

    value->data = buf;
    value->len = 0;

    if (ngx_http_arg(r, (u_char *) arg, ngx_strlen(arg), &raw) != NGX_OK
        || raw.len >= size)
    {
        return;
    }

    dst = buf;
    src = raw.data;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    value->len = dst - buf;

    while (value->len && (value->data[0] == '+' || value->data[0] == ' ')) {
        value->data++;
        value->len--;
    }

    while (value->len && (value->data[value->len - 1] == '+'
                          || value->data[value->len - 1] == ' '))
    {
        value->len--;
    }

    value->data[value->len] = '\0';
}


/* The worst first: a class, and in it the nearest end. */

void
ngx_http_autocert_status_html_rank(ngx_http_autocert_status_t *st,
    ngx_uint_t index, ngx_autocert_digest_t *digest)
{
    uint64_t                     rank;
    ngx_str_t                   *name;
    ngx_http_autocert_ranked_t  *ranked;

    name = &st->names[index].name;

    if (st->state >= 0 && (ngx_uint_t) st->state != digest->state) {
        return;
    }

    if (st->name.len
        && (st->name.len > name->len
            || ngx_strnstr(name->data, (char *) st->name.data, name->len)
               == NULL))
    {
        return;
    }

    for (rank = 0; rank < NGX_AUTOCERT_STATES - 1; rank++) {
        if (ngx_http_autocert_html_states[rank] == digest->state) {
            break;
        }
    }

    /* without a valid certificate it is worse in each of them */

    rank = 2 * rank + (digest->not_after > st->now);

    ranked = &st->ranked[st->nranked++];
    ranked->rank = (rank << 48)
                   + ngx_min((uint64_t) ngx_max(digest->not_after, 0),
                             ((uint64_t) 1 << 48) - 1);
    ranked->index = index;
}


static int ngx_libc_cdecl
ngx_http_autocert_html_cmp(const void *one, const void *two)
{
    const ngx_http_autocert_ranked_t  *a = one;
    const ngx_http_autocert_ranked_t  *b = two;

    if (a->rank != b->rank) {
        return (a->rank < b->rank) ? -1 : 1;
    }

    return (a->index < b->index) ? -1 : (a->index > b->index);
}


u_char *
ngx_http_autocert_status_html(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_uint_t  end;

    switch (st->part) {

    case NGX_HTTP_AUTOCERT_HTML_HEAD:
        ngx_qsort(st->ranked, st->nranked, sizeof(ngx_http_autocert_ranked_t),
                  ngx_http_autocert_html_cmp);

        end = st->nranked ? (st->nranked - 1) / NGX_HTTP_AUTOCERT_STATUS_PAGE
                          : 0;

        st->page = ngx_min(st->page, end);
        st->index = st->page * NGX_HTTP_AUTOCERT_STATUS_PAGE;

        st->part = NGX_HTTP_AUTOCERT_HTML_NAMES;

        return ngx_http_autocert_html_head(st, p, last);

    case NGX_HTTP_AUTOCERT_HTML_NAMES:
        if (st->index < st->nranked
            && st->index < (st->page + 1) * NGX_HTTP_AUTOCERT_STATUS_PAGE)
        {
            return ngx_http_autocert_html_name(st, p, last);
        }

        st->part = NGX_HTTP_AUTOCERT_HTML_TAIL;
        return p;

    default: /* NGX_HTTP_AUTOCERT_HTML_TAIL */
        st->done = 1;
        return ngx_http_autocert_html_tail(st, p, last);
    }
}


static u_char *
ngx_http_autocert_html_head(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_str_t   host;
    ngx_uint_t  end;

    host = ngx_cycle->hostname;

    p = ngx_slprintf(p, last,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,"
        "initial-scale=1\"><meta name=\"robots\" content=\"noindex\">"
        "<link rel=\"icon\" href=\"data:image/svg+xml,%%3Csvg xmlns="
        "'http://www.w3.org/2000/svg' viewBox='0 0 8 8'%%3E%%3Ccircle "
        "cx='4' cy='4' r='4' fill='%%23%s'/%%3E%%3C/svg%%3E\"><title>",
        st->states[NGX_AUTOCERT_IS_FAILING] ? "c9302c" : "1f8a4c");

    if (st->states[NGX_AUTOCERT_IS_FAILING]) {
        p = ngx_slprintf(p, last, "(%ui failing) ",
                         st->states[NGX_AUTOCERT_IS_FAILING]);
    }

    p = ngx_slprintf(p, last, "Certificates</title><style>%s</style></head>\n"
                              "<body><main><header><h1>Certificates</h1><p>",
                     ngx_http_autocert_html_style);
    p = ngx_http_autocert_html_text(p, last, &host);
    p = ngx_slprintf(p, last, " &middot; ");
    p = ngx_http_autocert_html_time(p, last, st->now);
    p = ngx_slprintf(p, last, "</p></header>\n");

    p = ngx_http_autocert_html_summary(st, p, last);
    p = ngx_http_autocert_html_facts(st, p, last);
    p = ngx_http_autocert_html_filter(st, p, last);

    if (st->nranked == 0) {
        return ngx_slprintf(p, last, "<p class=\"empty\" role=\"status\">"
                                     "%s</p>\n",
                            st->total ? "No name is like that."
                                      : "No server has autocert on.");
    }

    end = ngx_min(st->index + NGX_HTTP_AUTOCERT_STATUS_PAGE, st->nranked);

    return ngx_slprintf(p, last,
                        "<p class=\"count\" role=\"status\">%ui&ndash;%ui of "
                        "%ui, the worst first<span aria-hidden=\"true\">"
                        "<i class=\"s\"></i>spent<i class=\"g\"></i>until "
                        "renewal<i class=\"w\"></i>to spare</span></p>\n"
                        "<ol class=\"list\" start=\"%ui\">\n",
                        st->index + 1, end, st->nranked, st->index + 1);
}


/* How many of each, as links to these. */

static u_char *
ngx_http_autocert_html_summary(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_str_t   *name;
    ngx_uint_t   i, state, on;

    static ngx_str_t  none = ngx_null_string;

    p = ngx_slprintf(p, last, "<ul class=\"tiles\" aria-label=\"names by "
                              "state\">\n");

    for (i = 0; i < NGX_AUTOCERT_STATES; i++) {
        state = ngx_http_autocert_html_states[i];
        name = ngx_autocert_state_name(state);
        on = (st->state == (ngx_int_t) state);

        p = ngx_slprintf(p, last,
                         "<li><a class=\"%V%s%s\"%s href=\"?format=html"
                         "&amp;state=%V\"><b>%ui</b> <span>%V</span></a>"
                         "</li>\n",
                         name, st->states[state] ? "" : " none",
                         on ? " on" : "", on ? " aria-current=\"true\"" : "",
                         on ? &none : name, st->states[state], name);
    }

    return ngx_slprintf(p, last, "</ul>\n");
}


static u_char *
ngx_http_autocert_html_facts(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_autocert_totals_t  *totals;

    totals = &st->totals;

    p = ngx_slprintf(p, last, "<ul class=\"facts\">\n");

    if (st->n) {
        p = ngx_slprintf(p, last, "<li%s>CA <b>",
                         totals->reachable == 0 ? " class=\"alarm\"" : "");
        p = ngx_http_autocert_html_text(p, last, &st->acf->ca);
        p = ngx_slprintf(p, last, "</b> %s",
                         totals->reachable == 0 ? "does not answer"
                         : totals->reachable == 1 ? "answers" : "");

        if (totals->hold > st->now) {
            p = ngx_slprintf(p, last, ", asked again in ");
            p = ngx_http_autocert_html_span(p, last, totals->hold - st->now);
        }

        p = ngx_slprintf(p, last, "</li>\n<li>Queue <b>%ui</b></li>\n",
                         st->queue);
    }

    if (totals->started) {
        p = ngx_slprintf(p, last, "<li>Helper up <b>");
        p = ngx_http_autocert_html_span(p, last, st->now - totals->started);
        p = ngx_slprintf(p, last, "</b></li>\n");
    }

    if (totals->restarts) {
        p = ngx_slprintf(p, last, "<li class=\"alarm\">Restarts "
                                  "<b>%uL</b></li>\n", totals->restarts);
    }

    if (totals->signatures) {
        p = ngx_slprintf(p, last,
                         "<li>Signatures <b>%uL</b>, half within "
                         "<b>%uL.%02uL ms</b>, 99 %% within "
                         "<b>%uL.%02uL ms</b></li>\n",
                         totals->signatures, totals->p50 / 1000,
                         totals->p50 % 1000 / 10, totals->p99 / 1000,
                         totals->p99 % 1000 / 10);
    }

    return ngx_slprintf(p, last, "</ul>\n");
}


static u_char *
ngx_http_autocert_html_filter(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_int_t   state;
    ngx_uint_t  i;

    p = ngx_slprintf(p, last,
        "<form method=\"get\" role=\"search\">"
        "<input type=\"hidden\" name=\"format\" value=\"html\">"
        "<input type=\"search\" name=\"name\" placeholder=\"Part of a name\""
        " aria-label=\"Part of a name\" autocomplete=\"off\" "
        "autocapitalize=\"none\" spellcheck=\"false\" value=\"");
    p = ngx_http_autocert_html_text(p, last, &st->name);
    p = ngx_slprintf(p, last, "\"><select name=\"state\" "
                              "aria-label=\"State\">"
                              "<option value=\"\">any state</option>");

    for (i = 0; i < NGX_AUTOCERT_STATES; i++) {
        state = ngx_http_autocert_html_states[i];

        p = ngx_slprintf(p, last, "<option%s>%V</option>",
                         st->state == state ? " selected" : "",
                         ngx_autocert_state_name(state));
    }

    return ngx_slprintf(p, last,
                        "</select><button>Show</button></form>\n");
}


static u_char *
ngx_http_autocert_html_name(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_int_t               days;
    ngx_str_t              *state;
    ngx_autocert_report_t   report;

    (void) ngx_autocert_report(st->acf, st->ranked[st->index++].index,
                               st->now, &report);

    state = ngx_autocert_state_name(report.state);

    p = ngx_slprintf(p, last, "<li class=\"%V\"><div class=\"top\"><h2>",
                     state);
    p = ngx_http_autocert_html_text(p, last, &report.name);
    p = ngx_slprintf(p, last, "</h2> <span class=\"tag\">%V</span>", state);

    if (report.not_after) {
        days = ngx_autocert_days_left(report.not_after, report.now);

        if (report.not_after <= report.now) {
            p = ngx_slprintf(p, last, "<div class=\"left\"><b>expired</b>"
                                      "</div>");

        } else {
            p = ngx_slprintf(p, last, "<div class=\"left\"><b>%i</b> <span>"
                                      "day%s left</span></div>",
                             days, days == 1 ? "" : "s");
        }
    }

    p = ngx_slprintf(p, last, "</div>\n");

    p = ngx_http_autocert_html_bar(&report, p, last);
    p = ngx_http_autocert_html_details(&report, p, last);

    if (report.kind.len) {
        p = ngx_http_autocert_html_trouble(&report, p, last);
    }

    return ngx_slprintf(p, last, "</li>\n");
}


/*
 * From its beginning to its end: what is spent, what is left until it is to
 * be renewed, and what is left then.
 */

static u_char *
ngx_http_autocert_html_bar(ngx_autocert_report_t *report, u_char *p,
    u_char *last)
{
    char    *rest;
    time_t   life, now, renew;

    life = report->not_after - report->not_before;

    if (report->not_after == 0 || life <= 0) {
        return ngx_slprintf(p, last,
                            "<svg class=\"bar\" viewBox=\"0 0 1000 8\" "
                            "preserveAspectRatio=\"none\" role=\"img\" "
                            "aria-label=\"no certificate yet\"><rect "
                            "class=\"t\" width=\"1000\" height=\"8\"/>"
                            "</svg>\n");
    }

    now = ngx_min(ngx_max(report->now - report->not_before, 0), life);
    renew = ngx_min(ngx_max(report->renew_at - report->not_before, 0), life);

    /* past its renewal it is on its way to a new one, or to the end */

    rest = (now < renew) ? "w"
           : (report->state == NGX_AUTOCERT_IS_FAILING
              || report->state == NGX_AUTOCERT_IS_HELD) ? "x" : "r";

    now = (time_t) ((int64_t) now * NGX_HTTP_AUTOCERT_BAR / life);
    renew = (time_t) ((int64_t) renew * NGX_HTTP_AUTOCERT_BAR / life);
    renew = ngx_max(renew, now);

    if (report->now >= report->not_after) {
        rest = "x";
        now = 0;
        renew = 0;
    }

    return ngx_slprintf(p, last,
                        "<svg class=\"bar\" viewBox=\"0 0 1000 8\" "
                        "preserveAspectRatio=\"none\" role=\"img\" "
                        "aria-label=\"%T of %T days of its life are over\">"
                        "<rect class=\"s\" width=\"%T\" height=\"8\"/>"
                        "<rect class=\"g\" x=\"%T\" width=\"%T\" "
                        "height=\"8\"/>"
                        "<rect class=\"%s\" x=\"%T\" width=\"%T\" "
                        "height=\"8\"/>"
                        "<rect class=\"n\" x=\"%T\" width=\"%T\" "
                        "height=\"8\"/></svg>\n",
                        ngx_min(ngx_max(report->now - report->not_before, 0),
                                life) / 86400,
                        life / 86400, now, now, renew - now, rest, renew,
                        NGX_HTTP_AUTOCERT_BAR - renew,
                        ngx_min(now, NGX_HTTP_AUTOCERT_BAR - 3),
                        (time_t) (now ? 3 : 0));
}


static u_char *
ngx_http_autocert_html_when(ngx_autocert_report_t *report, u_char *p,
    u_char *last)
{
    if (report->not_after == 0) {
        return ngx_slprintf(p, last, "<span>no certificate yet</span>");
    }

    p = ngx_http_autocert_html_instant(p, last, "issued", report->not_before,
                                       report->now);
    p = ngx_http_autocert_html_instant(p, last, "renewal", report->renew_at,
                                       report->now);

    return ngx_http_autocert_html_instant(p, last,
                                          report->not_after > report->now
                                          ? "expires" : "expired",
                                          report->not_after, report->now);
}


static u_char *
ngx_http_autocert_html_trouble(ngx_autocert_report_t *report, u_char *p,
    u_char *last)
{
    p = ngx_slprintf(p, last, "<p class=\"why\"><b>");
    p = ngx_http_autocert_html_text(p, last, &report->why);
    p = ngx_slprintf(p, last, "</b>");

    if (report->detail.len) {
        p = ngx_slprintf(p, last, ": <q>");
        p = ngx_http_autocert_html_text(p, last, &report->detail);
        p = ngx_slprintf(p, last, "</q>");
    }

    if (report->cause.len) {
        p = ngx_slprintf(p, last, "<small>Likely cause: ");
        p = ngx_http_autocert_html_text(p, last, &report->cause);
        p = ngx_slprintf(p, last, "</small>");
    }

    p = ngx_slprintf(p, last, "<small>");

    if (report->failures > 1) {
        p = ngx_slprintf(p, last, "%ui failures in a row, the last ",
                         report->failures);
    }

    p = ngx_http_autocert_html_span(p, last,
                                    report->now - report->failed_at);
    p = ngx_slprintf(p, last, " ago");

    if (report->due == NGX_MAX_TIME_T_VALUE) {
        p = ngx_slprintf(p, last, ", not tried again");

    } else if (report->due > report->now) {
        p = ngx_slprintf(p, last, ", next try in ");
        p = ngx_http_autocert_html_span(p, last, report->due - report->now);
    }

    return ngx_slprintf(p, last, "</small></p>\n");
}


static u_char *
ngx_http_autocert_html_details(ngx_autocert_report_t *report, u_char *p,
    u_char *last)
{
    u_char     buf[NGX_HTTP_AUTOCERT_HTML_SPAN];
    ngx_str_t  value;

    p = ngx_slprintf(p, last, "<details><summary>");
    p = ngx_http_autocert_html_when(report, p, last);
    p = ngx_slprintf(p, last, "<span class=\"more\"><span class=\"s\">more"
                              "</span><span class=\"h\">less</span>"
                              "<span class=\"v\"> of ");
    p = ngx_http_autocert_html_text(p, last, &report->name);
    p = ngx_slprintf(p, last, "</span></span></summary><dl>");

    p = ngx_http_autocert_html_row(p, last, "CA", &report->ca);
    p = ngx_http_autocert_html_row(p, last, "Challenge", &report->challenge);
    p = ngx_http_autocert_html_row(p, last, "Key", &report->key_type);
    p = ngx_http_autocert_html_row(p, last, "Serial", &report->serial);

    p = ngx_http_autocert_html_date(p, last, "Valid from",
                                    report->not_before);
    p = ngx_http_autocert_html_date(p, last, "Valid until",
                                    report->not_after);
    p = ngx_http_autocert_html_date(p, last, "Renewal", report->renew_at);
    p = ngx_http_autocert_html_row(p, last, "Renewal by", &report->renew_why);
    p = ngx_http_autocert_html_date(p, last, "Last success",
                                    report->issued_at);
    p = ngx_http_autocert_html_date(p, last, "Next attempt", report->due);

    if (report->kind.len) {
        p = ngx_http_autocert_html_row(p, last, "Failure", &report->kind);
        p = ngx_http_autocert_html_row(p, last, "Type", &report->type);
    }

    if (report->budget >= 0) {
        value.data = buf;
        value.len = ngx_sprintf(buf, "%i", report->budget) - buf;
        p = ngx_http_autocert_html_row(p, last, "Budget left", &value);
    }

    return ngx_slprintf(p, last, "</dl></details>");
}


static u_char *
ngx_http_autocert_html_row(u_char *p, u_char *last, char *title,
    ngx_str_t *value)
{
    if (value->len == 0) {
        return p;
    }

    p = ngx_slprintf(p, last, "<dt>%s</dt><dd>", title);
    p = ngx_http_autocert_html_text(p, last, value);

    return ngx_slprintf(p, last, "</dd>");
}


static u_char *
ngx_http_autocert_html_date(u_char *p, u_char *last, char *title, time_t t)
{
    if (t == 0 || t == NGX_MAX_TIME_T_VALUE) {
        return p;
    }

    p = ngx_slprintf(p, last, "<dt>%s</dt><dd>", title);
    p = ngx_http_autocert_html_time(p, last, t);

    return ngx_slprintf(p, last, "</dd>");
}


static u_char *
ngx_http_autocert_html_instant(u_char *p, u_char *last, char *title, time_t t,
    time_t now)
{
    p = ngx_slprintf(p, last, "<span>%s ", title);

    if (t == 0) {
        return ngx_slprintf(p, last, "now</span>");
    }

    if (t > now) {
        p = ngx_slprintf(p, last, "in ");
        p = ngx_http_autocert_html_span(p, last, t - now);

    } else {
        p = ngx_http_autocert_html_span(p, last, now - t);
        p = ngx_slprintf(p, last, " ago");
    }

    return ngx_slprintf(p, last, "</span>");
}


static u_char *
ngx_http_autocert_html_tail(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    if (st->nranked) {
        p = ngx_slprintf(p, last, "</ol>\n");
    }

    if (st->nranked > NGX_HTTP_AUTOCERT_STATUS_PAGE) {
        p = ngx_slprintf(p, last, "<nav aria-label=\"pages\">");

        p = st->page ? ngx_http_autocert_html_link(st, p, last, st->page,
                                                   "&larr; Worse")
                     : ngx_slprintf(p, last, "<span></span>");

        if ((st->page + 1) * NGX_HTTP_AUTOCERT_STATUS_PAGE < st->nranked) {
            p = ngx_http_autocert_html_link(st, p, last, st->page + 2,
                                            "Better &rarr;");
        }

        p = ngx_slprintf(p, last, "</nav>\n");
    }

    return ngx_slprintf(p, last,
                        "<footer><span>nginx-autocert " NGX_AUTOCERT_VERSION
                        "</span><a href=\"?format=json\">JSON</a>"
                        "<a href=\"?format=prometheus\">Prometheus</a>"
                        "</footer></main></body></html>\n");
}


static u_char *
ngx_http_autocert_html_link(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last, ngx_uint_t page, char *title)
{
    u_char     buf[3 * NGX_HTTP_AUTOCERT_HTML_NAME];
    ngx_str_t  name;

    static ngx_str_t  none = ngx_null_string;

    name.data = buf;
    name.len = (u_char *) ngx_escape_uri(buf, st->name.data, st->name.len,
                                         NGX_ESCAPE_URI_COMPONENT)
               - buf;

    p = ngx_slprintf(p, last, "<a href=\"?format=html&amp;name=");
    p = ngx_http_autocert_html_text(p, last, &name);

    return ngx_slprintf(p, last, "&amp;state=%V&amp;page=%ui\">%s</a>",
                        st->state >= 0 ? ngx_autocert_state_name(st->state)
                                       : &none,
                        page, title);
}


static u_char *
ngx_http_autocert_html_text(u_char *p, u_char *last, ngx_str_t *text)
{
    if ((size_t) (last - p) < 6 * text->len) {
        return p;
    }

    return (u_char *) ngx_escape_html(p, text->data, text->len);
}


static u_char *
ngx_http_autocert_html_time(u_char *p, u_char *last, time_t t)
{
    ngx_tm_t   tm;
    u_char     buf[NGX_HTTP_AUTOCERT_HTML_DATE];
    ngx_str_t  date;

    static char  *months[] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
        "Nov", "Dec"
    };

    date.data = buf;
    date.len = ngx_autocert_report_time(buf, t) - buf;

    ngx_gmtime(t, &tm);

    return ngx_slprintf(p, last,
                        "<time datetime=\"%V\">%d %s %d, %02d:%02d UTC"
                        "</time>",
                        &date, tm.ngx_tm_mday, months[tm.ngx_tm_mon - 1],
                        tm.ngx_tm_year, tm.ngx_tm_hour, tm.ngx_tm_min);
}


/* In the largest unit of which there are two. */

static u_char *
ngx_http_autocert_html_span(u_char *p, u_char *last, time_t span)
{
    ngx_uint_t  i;

    static struct {
        char    *name;
        time_t   seconds;
    } units[] = {
        { "days", 86400 },
        { "hours", 3600 },
        { "minutes", 60 }
    };

    span = ngx_max(span, 0);

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (span >= 2 * units[i].seconds) {
            return ngx_slprintf(p, last, "%T %s", span / units[i].seconds,
                                units[i].name);
        }
    }

    return ngx_slprintf(p, last, "%T s", span);
}
