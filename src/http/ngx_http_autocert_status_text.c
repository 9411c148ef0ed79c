
#include "ngx_http_autocert_status.h"


/* Parts of the JSON; those of Prometheus are the series, then the end. */

#define NGX_HTTP_AUTOCERT_JSON_HEAD    0
#define NGX_HTTP_AUTOCERT_JSON_NAMES   1

/* Seconds, where a series of Prometheus begins and ends: 2^n us. */

#define NGX_HTTP_AUTOCERT_BUCKET       4
#define NGX_HTTP_AUTOCERT_BUCKETS      22


/* A series with a value a name; NGX_DECLINED: this name has none. */

typedef struct {
    ngx_str_t    metric;
    char        *help;
    ngx_int_t  (*value)(ngx_autocert_digest_t *digest, time_t *value);
    unsigned     state:1;       /* it has a label for it */
} ngx_http_autocert_series_t;


static u_char *ngx_http_autocert_json_head(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_json_instant(u_char *p, u_char *last,
    char *before, time_t t);
static u_char *ngx_http_autocert_json_seconds(u_char *p, u_char *last,
    char *before, uint64_t us);
static u_char *ngx_http_autocert_json_name(ngx_http_autocert_status_t *st,
    u_char *p);

static u_char *ngx_http_autocert_series_name(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_series_total(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_series_ca(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
static u_char *ngx_http_autocert_series_signatures(
    ngx_http_autocert_status_t *st, u_char *p, u_char *last);
static u_char *ngx_http_autocert_series_label(u_char *p, u_char *last,
    ngx_str_t *value);
static u_char *ngx_http_autocert_series_number(u_char *p, int64_t value);

static ngx_int_t ngx_http_autocert_series_not_after(
    ngx_autocert_digest_t *digest, time_t *value);
static ngx_int_t ngx_http_autocert_series_not_before(
    ngx_autocert_digest_t *digest, time_t *value);
static ngx_int_t ngx_http_autocert_series_renewal(
    ngx_autocert_digest_t *digest, time_t *value);
static ngx_int_t ngx_http_autocert_series_state(
    ngx_autocert_digest_t *digest, time_t *value);
static ngx_int_t ngx_http_autocert_series_failures(
    ngx_autocert_digest_t *digest, time_t *value);


static ngx_http_autocert_series_t  ngx_http_autocert_series[] = {

    { ngx_string("nginx_autocert_certificate_not_after_timestamp_seconds"),
      "The instant after which the certificate is not valid.",
      ngx_http_autocert_series_not_after, 0 },

    { ngx_string("nginx_autocert_certificate_not_before_timestamp_seconds"),
      "The instant from which on the certificate is valid.",
      ngx_http_autocert_series_not_before, 0 },

    { ngx_string("nginx_autocert_certificate_renewal_timestamp_seconds"),
      "The instant from which on the certificate is to be renewed.",
      ngx_http_autocert_series_renewal, 0 },

    { ngx_string("nginx_autocert_certificate_state"),
      "How it is with the certificate: 1 for the state that it is in.",
      ngx_http_autocert_series_state, 1 },

    { ngx_string("nginx_autocert_certificate_failures"),
      "Orders for the certificate that failed since the last success.",
      ngx_http_autocert_series_failures, 0 }
};


u_char *
ngx_http_autocert_status_json(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    if (st->part == NGX_HTTP_AUTOCERT_JSON_HEAD) {
        st->part = NGX_HTTP_AUTOCERT_JSON_NAMES;
        return ngx_http_autocert_json_head(st, p, last);
    }

    if (st->index == st->n) {
        st->done = 1;
        return ngx_cpymem(p, "\n]}\n", 4);
    }

    if (st->names[st->index].bootstrap) {
        st->index++;
        return p;
    }

    return ngx_http_autocert_json_name(st, p);
}


static u_char *
ngx_http_autocert_json_name(ngx_http_autocert_status_t *st, u_char *p)
{
    ngx_str_t               json;
    ngx_autocert_report_t   report;

    (void) ngx_autocert_report(st->acf, st->index++, st->now, &report);

    if (st->comma) {
        *p++ = ',';
    }

    st->comma = 1;
    *p++ = '\n';

    json.data = p;
    ngx_autocert_report_json(&report, &json);

    return ngx_cpymem(p, json.data, json.len);
}


static u_char *
ngx_http_autocert_json_head(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_uint_t              i;
    ngx_autocert_totals_t  *totals;

    totals = &st->totals;

    p = ngx_slprintf(p, last, "{\"version\":\"" NGX_AUTOCERT_VERSION "\"");
    p = ngx_http_autocert_json_instant(p, last, ",\"now\":", st->now);

    p = ngx_http_autocert_json_instant(p, last,
                                       ",\n\"helper\":{\"started_at\":",
                                       totals->started);
    p = ngx_slprintf(p, last, ",\"restarts\":%uL}", totals->restarts);

    p = ngx_slprintf(p, last, ",\n\"ca\":{\"url\":");

    if (st->n) {
        *p++ = '"';
        p = (u_char *) ngx_escape_json(p, st->acf->ca.data, st->acf->ca.len);
        *p++ = '"';

    } else {
        p = ngx_cpymem(p, "null", 4);
    }

    p = ngx_slprintf(p, last, ",\"reachable\":%s",
                     totals->reachable == -1 ? "null"
                     : totals->reachable ? "true" : "false");
    p = ngx_http_autocert_json_instant(p, last, ",\"last_answer\":",
                                       totals->answered_at);
    p = ngx_http_autocert_json_instant(p, last, ",\"last_failure\":",
                                       totals->lost_at);
    p = ngx_http_autocert_json_instant(p, last, ",\"held_until\":",
                                       totals->hold > st->now ? totals->hold
                                                              : 0);
    p = ngx_slprintf(p, last, ",\"failures\":%uL}", totals->failures);

    p = ngx_slprintf(p, last, ",\n\"signatures\":{\"total\":%uL",
                     totals->signatures);
    p = ngx_http_autocert_json_seconds(p, last, ",\"p50_seconds\":",
                                       totals->p50);
    p = ngx_http_autocert_json_seconds(p, last, ",\"p99_seconds\":",
                                       totals->p99);

    p = ngx_slprintf(p, last, "},\n\"queue\":%ui,\n\"states\":{",
                     st->queue);

    for (i = 0; i < NGX_AUTOCERT_STATES; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\":%ui", i ? "," : "",
                         ngx_autocert_state_name(i), st->states[i]);
    }

    return ngx_slprintf(p, last, "},\n\"total\":%ui,\n\"names\":[",
                        st->total);
}


static u_char *
ngx_http_autocert_json_instant(u_char *p, u_char *last, char *before,
    time_t t)
{
    if (t == 0) {
        return ngx_slprintf(p, last, "%snull", before);
    }

    p = ngx_slprintf(p, last, "%s\"", before);
    p = ngx_autocert_report_time(p, t);
    *p++ = '"';

    return p;
}


static u_char *
ngx_http_autocert_json_seconds(u_char *p, u_char *last, char *before,
    uint64_t us)
{
    if (us == 0) {
        return ngx_slprintf(p, last, "%snull", before);
    }

    return ngx_slprintf(p, last, "%s%uL.%06uL", before, us / 1000000,
                        us % 1000000);
}


u_char *
ngx_http_autocert_status_prometheus(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_http_autocert_series_t  *series;

    if (st->part == sizeof(ngx_http_autocert_series)
                    / sizeof(ngx_http_autocert_series_t))
    {
        st->done = 1;
        p = ngx_http_autocert_series_total(st, p, last);
        p = ngx_http_autocert_series_ca(st, p, last);
        return ngx_http_autocert_series_signatures(st, p, last);
    }

    series = &ngx_http_autocert_series[st->part];

    if (st->index == 0 && !st->comma) {
        st->comma = 1;
        return ngx_slprintf(p, last, "# HELP %V %s\n# TYPE %V gauge\n",
                            &series->metric, series->help, &series->metric);
    }

    if (st->index == st->n) {
        st->comma = 0;
        st->index = 0;
        st->part++;
        return p;
    }

    return ngx_http_autocert_series_name(st, p, last);
}


static u_char *
ngx_http_autocert_series_name(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    time_t                       value;
    ngx_int_t                    rc;
    ngx_str_t                   *state;
    ngx_autocert_name_t         *name;
    ngx_autocert_digest_t        digest;
    ngx_http_autocert_series_t  *series;

    series = &ngx_http_autocert_series[st->part];
    name = &st->names[st->index];

    rc = ngx_autocert_digest(st->acf, st->index++, st->now, &digest);

    /* of what is not known nothing is said: an alarm would come of it */

    if (rc != NGX_OK
        || name->bootstrap
        || series->value(&digest, &value) != NGX_OK)
    {
        return p;
    }

    p = ngx_cpymem(p, series->metric.data, series->metric.len);
    p = ngx_cpymem(p, "{name=\"", 7);
    p = ngx_http_autocert_series_label(p, last, &name->name);

    if (series->state) {
        state = ngx_autocert_state_name(digest.state);

        p = ngx_cpymem(p, "\",state=\"", 9);
        p = ngx_cpymem(p, state->data, state->len);
    }

    p = ngx_cpymem(p, "\"} ", 3);
    p = ngx_http_autocert_series_number(p, value);
    *p++ = '\n';

    return p;
}


static u_char *
ngx_http_autocert_series_total(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    ngx_uint_t  i;

    p = ngx_slprintf(p, last,
        "# HELP nginx_autocert_build_info 1, labeled with the version.\n"
        "# TYPE nginx_autocert_build_info gauge\n"
        "nginx_autocert_build_info{version=\"" NGX_AUTOCERT_VERSION "\"} 1\n"
        "# HELP nginx_autocert_names Names, by how it is with them.\n"
        "# TYPE nginx_autocert_names gauge\n");

    for (i = 0; i < NGX_AUTOCERT_STATES; i++) {
        p = ngx_slprintf(p, last, "nginx_autocert_names{state=\"%V\"} %ui\n",
                         ngx_autocert_state_name(i), st->states[i]);
    }

    return ngx_slprintf(p, last,
        "# HELP nginx_autocert_queue_length Names that are due now.\n"
        "# TYPE nginx_autocert_queue_length gauge\n"
        "nginx_autocert_queue_length %ui\n"
        "# HELP nginx_autocert_helper_start_time_seconds When the helper was "
        "started, 0 if it was not.\n"
        "# TYPE nginx_autocert_helper_start_time_seconds gauge\n"
        "nginx_autocert_helper_start_time_seconds %T\n"
        "# HELP nginx_autocert_helper_restarts_total Starts of the helper "
        "after the first since NGINX was started or reloaded.\n"
        "# TYPE nginx_autocert_helper_restarts_total counter\n"
        "nginx_autocert_helper_restarts_total %uL\n",
        st->queue, st->totals.started, st->totals.restarts);
}


static u_char *
ngx_http_autocert_series_ca(ngx_http_autocert_status_t *st, u_char *p,
    u_char *last)
{
    u_char      *label;
    ngx_str_t    ca;
    ngx_uint_t   i;

    struct {
        char    *metric;
        char    *help;
        time_t   value;
    } series[3] = {
        { "nginx_autocert_ca_reachable",
          "Whether the CA answered when it was last asked.",
          st->totals.reachable },
        { "nginx_autocert_ca_last_answer_timestamp_seconds",
          "When the CA last answered, 0 if it did not.",
          st->totals.answered_at },
        { "nginx_autocert_ca_held_until_timestamp_seconds",
          "Nothing is asked of the CA before this instant, 0 if it may be.",
          st->totals.hold > st->now ? st->totals.hold : 0 }
    };

    if (st->n == 0) {
        return p;
    }

    label = ngx_pnalloc(st->request->pool, 2 * st->acf->ca.len);
    if (label == NULL) {
        return p;
    }

    ca.data = label;
    ca.len = ngx_http_autocert_series_label(label,
                                            label + 2 * st->acf->ca.len,
                                            &st->acf->ca)
             - label;

    for (i = 0; i < 3; i++) {

        if (series[i].value == -1) {
            continue;
        }

        p = ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s gauge\n"
                                  "%s{ca=\"%V\"} %T\n",
                         series[i].metric, series[i].help, series[i].metric,
                         series[i].metric, &ca, series[i].value);
    }

    return p;
}


static u_char *
ngx_http_autocert_series_signatures(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last)
{
    ngx_uint_t              i;
    ngx_autocert_totals_t  *totals;

    totals = &st->totals;

    p = ngx_slprintf(p, last,
        "# HELP nginx_autocert_signature_duration_seconds How long the "
        "helper took for a signature, from the question's arrival.\n"
        "# TYPE nginx_autocert_signature_duration_seconds histogram\n");

    for (i = NGX_HTTP_AUTOCERT_BUCKET; i < NGX_HTTP_AUTOCERT_BUCKETS; i++) {
        p = ngx_slprintf(p, last,
                         "nginx_autocert_signature_duration_seconds_bucket"
                         "{le=\"%ui.%06ui\"} %uL\n",
                         ((ngx_uint_t) 1 << i) / 1000000,
                         ((ngx_uint_t) 1 << i) % 1000000,
                         totals->below[i]);
    }

    return ngx_slprintf(p, last,
        "nginx_autocert_signature_duration_seconds_bucket{le=\"+Inf\"} %uL\n"
        "nginx_autocert_signature_duration_seconds_sum %uL.%06uL\n"
        "nginx_autocert_signature_duration_seconds_count %uL\n",
        totals->signatures, totals->sum / 1000000, totals->sum % 1000000,
        totals->signatures);
}


/* The value of a label, with what has to be escaped in it. */

static u_char *
ngx_http_autocert_series_label(u_char *p, u_char *last, ngx_str_t *value)
{
    u_char  *s, *end;

    s = value->data;
    end = s + value->len;

    for ( /* void */ ; s < end && last - p >= 2; s++) {

        if (*s == '\\' || *s == '"') {
            *p++ = '\\';
            *p++ = *s;

        } else if (*s == '\n') {
            *p++ = '\\';
            *p++ = 'n';

        } else {
            *p++ = *s;
        }
    }

    return p;
}


/* ngx_sprintf() costs more than all else of a line. */

static u_char *
ngx_http_autocert_series_number(u_char *p, int64_t value)
{
    u_char     digits[NGX_INT64_LEN];
    ngx_int_t  n;
    uint64_t   rest;

    rest = ngx_max(value, 0);
    n = NGX_INT64_LEN;

    do {
        digits[--n] = '0' + rest % 10;
        rest /= 10;
    } while (rest);

    return ngx_cpymem(p, &digits[n], NGX_INT64_LEN - n);
}


static ngx_int_t
ngx_http_autocert_series_not_after(ngx_autocert_digest_t *digest,
    time_t *value)
{
    *value = digest->not_after;

    return digest->not_after ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_autocert_series_not_before(ngx_autocert_digest_t *digest,
    time_t *value)
{
    *value = digest->not_before;

    return digest->not_after ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_autocert_series_renewal(ngx_autocert_digest_t *digest,
    time_t *value)
{
    *value = digest->renew_at;

    return digest->not_after ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_autocert_series_state(ngx_autocert_digest_t *digest, time_t *value)
{
    (void) digest;

    *value = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_autocert_series_failures(ngx_autocert_digest_t *digest,
    time_t *value)
{
    *value = digest->failures;

    return NGX_OK;
}
