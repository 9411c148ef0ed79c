
#include "ngx_autocert_core.h"
#include "ngx_autocert_plan.h"
#include "../base/ngx_autocert_json.h"
#include "../base/ngx_autocert_time.h"


#define NGX_AUTOCERT_REPORT_DAY   86400

#define ngx_autocert_report_of(words, i)                                     \
    ngx_autocert_report_word(words, sizeof(words) / sizeof(ngx_str_t), i)


static ngx_str_t ngx_autocert_report_word(ngx_str_t *words, ngx_uint_t n,
    ngx_uint_t i);
static ngx_uint_t ngx_autocert_report_state(ngx_autocert_facts_t *facts,
    time_t now, time_t hold);
static ngx_int_t ngx_autocert_report_budget(ngx_autocert_facts_t *facts,
    time_t now);
static void ngx_autocert_report_failure(ngx_autocert_report_t *report,
    ngx_autocert_words_t *words, u_char *p);
static void ngx_autocert_report_string(ngx_autocert_json_writer_t *w,
    const char *name, ngx_str_t *value);
static void ngx_autocert_report_instant(ngx_autocert_json_writer_t *w,
    const char *name, time_t t);
static void ngx_autocert_report_certificate(ngx_autocert_json_writer_t *w,
    ngx_autocert_report_t *report);
static void ngx_autocert_report_error(ngx_autocert_json_writer_t *w,
    ngx_autocert_report_t *report);


static ngx_str_t  ngx_autocert_report_states[] = {
    ngx_string("waiting"), ngx_string("issuing"), ngx_string("valid"),
    ngx_string("renewing"), ngx_string("failing"), ngx_string("held")
};

static ngx_str_t  ngx_autocert_report_challenges[] = {
    ngx_string(""), ngx_string("http-01"), ngx_string("tls-alpn-01")
};

static ngx_str_t  ngx_autocert_report_types[] = {
    ngx_string(""), ngx_string("secp256r1"), ngx_string("secp384r1"),
    ngx_string("other")
};

static ngx_str_t  ngx_autocert_report_reasons[] = {
    ngx_string(""), ngx_string("renew_before"), ngx_string("ari"),
    ngx_string("configuration")
};

static ngx_str_t  ngx_autocert_report_kinds[] = {
    ngx_string(""), ngx_string("network"), ngx_string("refused"),
    ngx_string("limited"), ngx_string("configuration"),
    ngx_string("internal"), ngx_string("budget")
};


ngx_int_t
ngx_autocert_report(ngx_autocert_conf_t *acf, ngx_uint_t index, time_t now,
    ngx_autocert_report_t *report)
{
    u_char                *p;
    time_t                 hold;
    ngx_int_t              rc;
    ngx_autocert_name_t   *name;
    ngx_autocert_facts_t   facts;
    ngx_autocert_words_t   words;

    name = acf->names.elts;

    rc = ngx_autocert_board_look(&acf->core->board, index, &facts, &words);
    hold = ngx_autocert_board_hold(&acf->core->board);

    ngx_memzero(report, offsetof(ngx_autocert_report_t, text));

    report->now = now;
    report->name = name[index].name;
    report->ca = acf->ca;

    report->not_before = facts.not_before;
    report->not_after = facts.not_after;
    report->renew_at = facts.renew;
    report->issued_at = facts.issued_at;
    report->due = ngx_max(facts.due, hold);
    report->failures = facts.failures;
    report->budget = ngx_autocert_report_budget(&facts, now);
    report->state = ngx_autocert_report_state(&facts, now, hold);

    report->challenge =
               ngx_autocert_report_of(ngx_autocert_report_challenges,
                                      facts.challenge);
    report->key_type = ngx_autocert_report_of(ngx_autocert_report_types,
                                              facts.type);
    report->renew_why = ngx_autocert_report_of(ngx_autocert_report_reasons,
                                               facts.why);

    p = ngx_hex_dump(report->text, facts.serial, facts.serial_len);

    report->serial.data = report->text;
    report->serial.len = p - report->text;

    if (facts.kind) {
        report->kind = ngx_autocert_report_of(ngx_autocert_report_kinds,
                                              facts.kind);
        report->failed_at = facts.failed_at;
        ngx_autocert_report_failure(report, &words, p);
    }

    return rc;
}


ngx_int_t
ngx_autocert_digest(ngx_autocert_conf_t *acf, ngx_uint_t index, time_t now,
    ngx_autocert_digest_t *digest)
{
    time_t                hold;
    ngx_int_t             rc;
    ngx_autocert_facts_t  facts;

    rc = ngx_autocert_board_look(&acf->core->board, index, &facts, NULL);
    hold = ngx_autocert_board_hold(&acf->core->board);

    digest->state = ngx_autocert_report_state(&facts, now, hold);
    digest->not_before = facts.not_before;
    digest->not_after = facts.not_after;
    digest->renew_at = facts.renew;
    digest->due = ngx_max(facts.due, hold);
    digest->failures = facts.failures;

    return rc;
}


/* The board may say anything. */

static ngx_str_t
ngx_autocert_report_word(ngx_str_t *words, ngx_uint_t n, ngx_uint_t i)
{
    return words[i < n ? i : 0];
}


ngx_str_t *
ngx_autocert_state_name(ngx_uint_t state)
{
    return &ngx_autocert_report_states[state < NGX_AUTOCERT_STATES ? state
                                                                   : 0];
}


/* What the passing of time makes of what was told. */

static ngx_uint_t
ngx_autocert_report_state(ngx_autocert_facts_t *facts, time_t now,
    time_t hold)
{
    ngx_uint_t  state;

    state = facts->state;

    switch (state) {

    case NGX_AUTOCERT_IS_WAITING:
    case NGX_AUTOCERT_IS_VALID:
    case NGX_AUTOCERT_IS_FAILING:

        if (facts->renew > now) {
            break;
        }

        if ((facts->held && facts->due > now)
            || (hold > now && state != NGX_AUTOCERT_IS_FAILING))
        {
            return NGX_AUTOCERT_IS_HELD;
        }

        break;
    }

    if (state == NGX_AUTOCERT_IS_VALID && facts->not_after <= now) {
        return NGX_AUTOCERT_IS_FAILING;
    }

    return state < NGX_AUTOCERT_STATES ? state : NGX_AUTOCERT_IS_WAITING;
}


static ngx_int_t
ngx_autocert_report_budget(ngx_autocert_facts_t *facts, time_t now)
{
    ngx_autocert_issued_t  issued;

    if (facts->nissued == 0) {
        return -1;
    }

    issued.life = facts->life;
    issued.n = ngx_min(facts->nissued - 1, NGX_AUTOCERT_BOARD_ISSUED);
    ngx_memcpy(issued.at, facts->issued, sizeof(facts->issued));

    return ngx_autocert_plan_left(&issued, now);
}


/* As the text of a problem is made: "type: detail". */

static void
ngx_autocert_report_failure(ngx_autocert_report_t *report,
    ngx_autocert_words_t *words, u_char *p)
{
    size_t  i;

    ngx_memcpy(p, words->data, words->why + words->detail + words->cause);

    report->why.data = p;
    report->why.len = words->why;
    p += words->why;

    report->detail.data = p;
    report->detail.len = words->detail;
    p += words->detail;

    report->cause.data = p;
    report->cause.len = words->cause;

    p = report->detail.data;

    for (i = 0; i < report->detail.len; i++) {
        if ((p[i] | 0x20) < 'a' || (p[i] | 0x20) > 'z') {
            break;
        }
    }

    if (i == report->detail.len
        || (i + 1 < report->detail.len && p[i] == ':' && p[i + 1] == ' '))
    {
        report->type.data = p;
        report->type.len = i;
    }
}


void
ngx_autocert_totals(ngx_autocert_conf_t *acf, ngx_autocert_totals_t *totals)
{
    ngx_uint_t           i;
    ngx_autocert_sums_t  sums;

    (void) ngx_autocert_board_look_sums(&acf->core->board, &sums);

    totals->started = sums.started;
    totals->restarts = sums.restarts;
    totals->answered_at = sums.answered_at;
    totals->lost_at = sums.lost_at;
    totals->reachable = (sums.reachable == 0) ? -1 : (sums.reachable == 1);
    totals->hold = sums.hold;
    totals->failures = sums.failures;
    totals->signatures = sums.signatures.n;
    totals->sum = sums.signatures.sum;
    totals->p50 = ngx_autocert_latency_quantile(&sums.signatures, 50);
    totals->p99 = ngx_autocert_latency_quantile(&sums.signatures, 99);

    for (i = 0; i < NGX_AUTOCERT_REPORT_SERIES; i++) {
        totals->below[i] = ngx_autocert_latency_below(&sums.signatures, i);
    }
}


u_char *
ngx_autocert_report_time(u_char *p, time_t t)
{
    return ngx_autocert_time_print(p, t);
}


void
ngx_autocert_report_json(ngx_autocert_report_t *report, ngx_str_t *json)
{
    ngx_autocert_json_writer_t  w;

    ngx_autocert_json_writer_over(&w, json->data, NGX_AUTOCERT_REPORT_JSON);

    ngx_autocert_json_open(&w, NULL, '{');

    ngx_autocert_json_put_string(&w, "name", &report->name);
    ngx_autocert_json_put_string(&w, "state",
                                 ngx_autocert_state_name(report->state));
    ngx_autocert_json_put_string(&w, "ca", &report->ca);
    ngx_autocert_report_string(&w, "challenge", &report->challenge);

    ngx_autocert_report_certificate(&w, report);

    ngx_autocert_report_instant(&w, "last_success", report->issued_at);

    if (report->kind.len) {
        ngx_autocert_report_error(&w, report);

    } else {
        ngx_autocert_json_put_null(&w, "last_error");
    }

    ngx_autocert_json_put_integer(&w, "attempts", report->failures);
    ngx_autocert_report_instant(&w, "next_attempt", report->due);

    if (report->budget >= 0) {
        ngx_autocert_json_put_integer(&w, "budget_left", report->budget);

    } else {
        ngx_autocert_json_put_null(&w, "budget_left");
    }

    ngx_autocert_json_close(&w, '}');

    if (ngx_autocert_json_done(&w, json) != NGX_OK) {
        ngx_str_set(json, "{}");
    }
}


static void
ngx_autocert_report_certificate(ngx_autocert_json_writer_t *w,
    ngx_autocert_report_t *report)
{
    ngx_autocert_report_string(w, "key_type", &report->key_type);
    ngx_autocert_report_string(w, "serial", &report->serial);
    ngx_autocert_report_instant(w, "not_before", report->not_before);
    ngx_autocert_report_instant(w, "not_after", report->not_after);

    if (report->not_after) {
        ngx_autocert_json_put_integer(w, "days_left",
                                  ngx_autocert_days_left(report->not_after,
                                                         report->now));

    } else {
        ngx_autocert_json_put_null(w, "days_left");
    }

    ngx_autocert_report_instant(w, "renew_at", report->renew_at);
    ngx_autocert_report_string(w, "renew_why", &report->renew_why);
}


/* Rounded down, below zero as well. */

ngx_int_t
ngx_autocert_days_left(time_t not_after, time_t now)
{
    time_t  left;

    left = not_after - now;

    if (left < 0) {
        left -= NGX_AUTOCERT_REPORT_DAY - 1;
    }

    return left / NGX_AUTOCERT_REPORT_DAY;
}


static void
ngx_autocert_report_error(ngx_autocert_json_writer_t *w,
    ngx_autocert_report_t *report)
{
    ngx_autocert_json_open(w, "last_error", '{');

    ngx_autocert_report_instant(w, "at", report->failed_at);
    ngx_autocert_json_put_string(w, "kind", &report->kind);
    ngx_autocert_json_put_string(w, "why", &report->why);
    ngx_autocert_report_string(w, "type", &report->type);
    ngx_autocert_report_string(w, "detail", &report->detail);
    ngx_autocert_report_string(w, "cause", &report->cause);

    ngx_autocert_json_close(w, '}');
}


static void
ngx_autocert_report_string(ngx_autocert_json_writer_t *w, const char *name,
    ngx_str_t *value)
{
    if (value->len) {
        ngx_autocert_json_put_string(w, name, value);

    } else {
        ngx_autocert_json_put_null(w, name);
    }
}


static void
ngx_autocert_report_instant(ngx_autocert_json_writer_t *w, const char *name,
    time_t t)
{
    u_char     buf[sizeof("2026-11-24T00:00:00Z")];
    ngx_str_t  value;

    if (t == 0 || t == NGX_MAX_TIME_T_VALUE) {
        ngx_autocert_json_put_null(w, name);
        return;
    }

    value.data = buf;
    value.len = ngx_autocert_time_print(buf, t) - buf;

    ngx_autocert_json_put_string(w, name, &value);
}
