
/*
 * A scripted CA, and the judge who sits there: both see what a real CA would
 * see, and know nothing of the client's plans.
 */


#include "sim.h"

#include "../../src/base/ngx_autocert_base64.h"
#include "../../src/base/ngx_autocert_json.h"
#include "../../src/base/ngx_autocert_time.h"
#include "../unit/ngx_stub.h"

#include <openssl/obj_mac.h>


#define SIM_FAILING    50           /* one validation in so many */
#define SIM_BACKDATED  SIM_HOUR     /* as Let's Encrypt does */
#define SIM_PACE       300          /* orders in 3 hours */
#define SIM_LONG       40           /* minutes */
#define SIM_AKI        "aYhba4dGQEHhs3uEe6CuLN4ByNQ."

#define SIM_PEM        "-----BEGIN CERTIFICATE-----\n"


typedef void (*sim_ca_answer_pt)(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);


typedef struct {
    ngx_str_t          path;
    sim_ca_answer_pt   answer;
    unsigned           numbered:1;  /* the path goes on with an order */
} sim_ca_route_t;


static void sim_ca_count_init(sim_count_t *count, time_t span,
    ngx_uint_t size);
static void sim_ca_plan_outages(sim_ca_t *ca, ngx_uint_t days);
static void sim_ca_refused(sim_ca_t *ca, time_t now);
static void sim_ca_busy(sim_ca_t *ca, time_t now,
    ngx_autocert_response_t *response, time_t *until);
static void sim_ca_retry(sim_ca_t *ca, ngx_autocert_response_t *response,
    time_t now, time_t delay, time_t *until);
static void sim_ca_strange(sim_ca_t *ca, ngx_autocert_response_t *response);
static void sim_ca_body(sim_ca_t *ca, ngx_autocert_response_t *response,
    const char *fmt, ...);
static ngx_uint_t sim_ca_number(ngx_str_t *text, size_t skip);
static void sim_ca_directory(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_nonce(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_account(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_new_order(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_order(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_authz(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_challenge(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_finalize(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_pem(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_window(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static ngx_int_t sim_ca_payload(ngx_autocert_request_t *request,
    ngx_autocert_response_t *response, ngx_str_t *payload);
static ngx_uint_t sim_ca_asked(sim_ca_t *ca, sim_ca_name_t *name,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);
static void sim_ca_tenth(sim_ca_t *ca, time_t now, sim_order_t *order);
static void sim_ca_span(sim_order_t *order, time_t *start, time_t *end);
static char *sim_ca_status(sim_order_t *order, time_t now);
static void sim_ca_poll(sim_ca_t *ca, sim_order_t *order, time_t now,
    ngx_autocert_response_t *response);


static const sim_ca_route_t  sim_ca_routes[] = {
    { ngx_string("authz/"), sim_ca_authz, 1 },
    { ngx_string("chall/"), sim_ca_challenge, 1 },
    { ngx_string("final/"), sim_ca_finalize, 1 },
    { ngx_string("order/"), sim_ca_order, 1 },
    { ngx_string("cert/"), sim_ca_pem, 1 },
    { ngx_string("ari/" SIM_AKI), sim_ca_window, 1 },
    { ngx_string("order"), sim_ca_new_order, 0 },
    { ngx_string("nonce"), sim_ca_nonce, 0 },
    { ngx_string("account"), sim_ca_account, 0 },
    { ngx_string("dir"), sim_ca_directory, 0 },
    { ngx_null_string, NULL, 0 }
};


const sim_kind_t  sim_kinds[SIM_KINDS] = {

    /* autocert_renew_before is 7 days, at most half of a life below ten */

    { "45 days", 45 * SIM_DAY, 7 * SIM_DAY, 4 },
    { "160 hours", 160 * SIM_HOUR, 80 * SIM_HOUR, 3 * 3 },
    { "24 hours", 24 * SIM_HOUR, 12 * SIM_HOUR, 3 * 15 }
};


static void
sim_ca_count_init(sim_count_t *count, time_t span, ngx_uint_t size)
{
    count->span = span;
    count->size = size;
    count->at = sim_alloc(size * sizeof(time_t));
}


void
sim_count(sim_count_t *count, time_t now)
{
    while (count->n && count->at[count->first] + count->span <= now) {
        count->first = (count->first + 1) % count->size;
        count->n--;
    }

    /* a ring that is full has said enough */

    if (count->n == count->size) {
        count->first = (count->first + 1) % count->size;
        count->n--;
    }

    count->at[(count->first + count->n++) % count->size] = now;
    count->most = ngx_max(count->most, count->n);
}


void
sim_ca_init(sim_ca_t *ca, ngx_uint_t nnames, ngx_uint_t days)
{
    ngx_uint_t      i;
    sim_ca_name_t  *name;

    ngx_memzero(ca, sizeof(sim_ca_t));

    ca->nnames = nnames;
    ca->names = sim_alloc(nnames * sizeof(sim_ca_name_t));
    ca->size = 4096;
    ca->norders = 1;
    ca->orders = sim_alloc(ca->size * sizeof(sim_order_t));

    sim_ca_count_init(&ca->hour, SIM_HOUR, 8192);
    sim_ca_count_init(&ca->pace, 3 * SIM_HOUR, 2048);

    for (i = 0; i < nnames; i++) {
        name = &ca->names[i];

        name->name.data = sim_alloc(32);
        name->name.len = ngx_sprintf(name->name.data, "www.site-%04ui.org", i)
                         - name->name.data;
        name->kind = i % SIM_KINDS;
        name->ari = (i / SIM_KINDS) % 2;

        sim_ca_count_init(&name->orders, SIM_WEEK, 256);
        sim_ca_count_init(&name->week, SIM_WEEK, 256);

        /* what the client has counted arrives a little later */

        sim_ca_count_init(&name->spent,
                          sim_kinds[name->kind].life / 2 - SIM_MINUTE, 64);
    }

    sim_ca_plan_outages(ca, days);
}


/* A day in each month, at any hour. */

static void
sim_ca_plan_outages(sim_ca_t *ca, ngx_uint_t days)
{
    time_t         month, end;
    sim_outage_t  *outage;

    end = SIM_BEGIN + (time_t) days * SIM_DAY;
    ca->outages = sim_alloc((days / 30 + 2) * sizeof(sim_outage_t));

    for (month = SIM_BEGIN; month < end; month += SIM_MONTH) {
        outage = &ca->outages[ca->noutages];

        outage->begin = month + 3 * SIM_DAY + sim_random() % (24 * SIM_DAY);
        outage->end = outage->begin + SIM_DAY;
        outage->busy = ca->noutages % 2;

        if (outage->begin < end) {
            ca->noutages++;
        }
    }

    outage = &ca->outages[ca->noutages];
    outage->begin = NGX_MAX_TIME_T_VALUE;
    outage->end = NGX_MAX_TIME_T_VALUE;
}


void
sim_ca_free(sim_ca_t *ca)
{
    ngx_uint_t  i;

    for (i = 0; i < ca->nnames; i++) {
        free(ca->names[i].name.data);
        free(ca->names[i].orders.at);
        free(ca->names[i].week.at);
        free(ca->names[i].spent.at);
    }

    free(ca->hour.at);
    free(ca->pace.at);
    free(ca->names);
    free(ca->orders);
    free(ca->outages);
}


time_t
sim_ca_reached(sim_ca_t *ca, time_t from, time_t till)
{
    time_t         n, begin, end;
    sim_outage_t  *outage;

    n = till - from;

    for (outage = ca->outages; outage->begin < till; outage++) {
        begin = ngx_max(outage->begin, from);
        end = ngx_min(outage->end, till);
        n -= ngx_max(end - begin, 0);
    }

    return n;
}


ngx_int_t
sim_ca_ask(sim_ca_t *ca, time_t now, ngx_uint_t index,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    ngx_str_t              path;
    ngx_uint_t             n, window;
    sim_outage_t          *outage;
    const sim_ca_route_t  *route;

    ca->requests++;
    ca->until = NULL;
    ca->made = 0;
    sim_count(&ca->hour, now);

    while (ca->outages[ca->outage].end <= now) {
        ca->outage++;
        ca->refused_at = 0;
    }

    window = (ngx_strncmp(request->url.data, SIM_CA "ari/",
                          sizeof(SIM_CA "ari/") - 1)
              == 0);

    if (now < ca->hold || (window && now < ca->unseen)) {
        ca->early++;
    }

    outage = &ca->outages[ca->outage];

    if (outage->begin <= now) {

        if (!outage->busy) {
            sim_ca_refused(ca, now);
            return NGX_DECLINED;
        }

        sim_ca_busy(ca, now, response, window ? &ca->unseen : &ca->hold);
        return NGX_OK;
    }

    path = request->url;

    if (path.len < sizeof(SIM_CA)
        || ngx_strncmp(path.data, SIM_CA, sizeof(SIM_CA) - 1) != 0)
    {
        sim_ca_strange(ca, response);
        return NGX_OK;
    }

    path.data += sizeof(SIM_CA) - 1;
    path.len -= sizeof(SIM_CA) - 1;

    for (route = sim_ca_routes; route->answer; route++) {

        if (path.len < route->path.len
            || ngx_memcmp(path.data, route->path.data, route->path.len) != 0)
        {
            continue;
        }

        n = route->numbered ? sim_ca_number(&path, route->path.len) : index;

        if (route->numbered
            ? (n == 0 || n >= ca->norders || ca->orders[n].name != index)
            : path.len != route->path.len)
        {
            break;
        }

        response->status = 200;
        ngx_str_set(&response->content_type, "application/json");
        ngx_str_set(&response->nonce, "bm9uY2Utb2YtdGhlLXNpbXVsYXRpb24");

        route->answer(ca, now, n, request, response);

        return NGX_OK;
    }

    sim_ca_strange(ca, response);

    return NGX_OK;
}


static void
sim_ca_refused(sim_ca_t *ca, time_t now)
{
    ngx_uint_t  minutes;

    minutes = (now - ca->refused_at) / SIM_MINUTE;

    if (ca->refused_at && minutes >= SIM_LONG) {
        ca->gaps[ngx_min(minutes, SIM_MINUTES - 1)]++;
    }

    ca->refused_at = now;
}


static void
sim_ca_busy(sim_ca_t *ca, time_t now, ngx_autocert_response_t *response,
    time_t *until)
{
    response->status = 503;
    ngx_str_set(&response->content_type, "text/html");
    ngx_str_set(&response->body, "<h1>Service busy; retry later.</h1>");

    sim_ca_retry(ca, response, now, SIM_HOUR, until);
}


/* In one of its two forms; binding from when the client has read it. */

static void
sim_ca_retry(sim_ca_t *ca, ngx_autocert_response_t *response, time_t now,
    time_t delay, time_t *until)
{
    size_t     len;
    struct tm  tm;

    ca->until = until;
    ca->wait = now + delay;

    response->retry_after.data = ca->header;

    if (sim_random() % 2) {
        response->retry_after.len = ngx_sprintf(ca->header, "%T", delay)
                                    - ca->header;
        return;
    }

    now += delay;
    gmtime_r(&now, &tm);

    len = strftime((char *) ca->header, 64, "%a, %d %b %Y %H:%M:%S GMT", &tm);

    response->retry_after.len = len;
}


static void
sim_ca_strange(sim_ca_t *ca, ngx_autocert_response_t *response)
{
    ca->strange++;

    response->status = 400;
    ngx_str_set(&response->content_type, "application/problem+json");
    ngx_str_set(&response->body,
                "{\"type\":\"urn:ietf:params:acme:error:malformed\"}");
}


static void
sim_ca_body(sim_ca_t *ca, ngx_autocert_response_t *response,
    const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    response->body.len = ngx_vslprintf(ca->body,
                                       ca->body + sizeof(ca->body), fmt, args)
                         - ca->body;
    va_end(args);

    response->body.data = ca->body;
}


/* of an order, in 16 hexadecimal digits */

static ngx_uint_t
sim_ca_number(ngx_str_t *text, size_t skip)
{
    ngx_int_t  n;

    if (text->len < skip + 16) {
        return 0;
    }

    n = ngx_hextoi(text->data + skip, 16);

    return (n == NGX_ERROR) ? 0 : (ngx_uint_t) n;
}


static void
sim_ca_directory(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    (void) now;
    (void) n;
    (void) request;

    sim_ca_body(ca, response,
                "{\"newNonce\":\"" SIM_CA "nonce\","
                "\"newAccount\":\"" SIM_CA "account\","
                "\"newOrder\":\"" SIM_CA "order\"%s}",
                ca->blind ? "" : ",\"renewalInfo\":\"" SIM_CA "ari\"");
}


static void
sim_ca_nonce(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    (void) ca;
    (void) now;
    (void) n;
    (void) request;

    ngx_str_null(&response->body);
}


static void
sim_ca_account(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    (void) now;
    (void) n;
    (void) request;

    response->status = 201;
    ngx_str_set(&response->location, SIM_CA "acct/1");

    sim_ca_body(ca, response, "{\"status\":\"valid\"}");
}


static void
sim_ca_new_order(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    ngx_uint_t      replaces;
    sim_order_t    *order, *last;
    sim_ca_name_t  *name;

    name = &ca->names[n];
    last = &ca->orders[name->order];

    replaces = sim_ca_asked(ca, name, request, response);

    if (replaces == 0) {
        return;
    }

    sim_count(&ca->pace, now);
    sim_count(&name->orders, now);

    if (ca->pace.n > SIM_PACE) {
        ca->limited++;
        response->status = 429;
        ngx_str_set(&response->content_type, "application/problem+json");
        sim_ca_retry(ca, response, now, SIM_HOUR, &ca->hold);
        sim_ca_body(ca, response,
                    "{\"type\":\"urn:ietf:params:acme:error:rateLimited\","
                    "\"detail\":\"too many new orders (300) from this account "
                    "in the last 3h0m0s\"}");
        return;
    }

    if (name->order) {

        if (last->told && !last->done
            && !(last->bad && last->valid_at <= now))
        {
            ca->left++;
        }

        sim_ca_tenth(ca, now, last);
    }

    if (ca->norders == ca->size) {
        ca->size *= 2;
        ca->orders = realloc(ca->orders, ca->size * sizeof(sim_order_t));

        if (ca->orders == NULL) {
            abort();
        }
    }

    name->order = ca->norders++;
    ca->made = name->order;
    order = &ca->orders[name->order];

    ngx_memzero(order, sizeof(sim_order_t));
    order->name = n;

    response->status = 201;
    response->location.data = ca->header + 128;
    response->location.len = ngx_sprintf(response->location.data,
                                         SIM_CA "order/%016xi", name->order)
                             - response->location.data;

    sim_ca_order(ca, now, name->order, request, response);
}


/* Is it for this name?  0: no; 1: yes; 2: in place of its last one. */

static ngx_uint_t
sim_ca_asked(sim_ca_t *ca, sim_ca_name_t *name,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    char                 *err;
    ngx_str_t             payload, value;
    ngx_autocert_json_t  *json, *identifiers;

    if (sim_ca_payload(request, response, &payload) != NGX_OK) {
        sim_ca_strange(ca, response);
        return 0;
    }

    json = ngx_autocert_json_parse(response->pool, &payload, &err);
    identifiers = ngx_autocert_json_get(json, "identifiers");

    if (identifiers == NULL || identifiers->child == NULL
        || ngx_autocert_json_get_string(identifiers->child, "value", &value)
           != NGX_OK
        || value.len != name->name.len
        || ngx_memcmp(value.data, name->name.data, value.len) != 0)
    {
        sim_ca_strange(ca, response);
        return 0;
    }

    if (ngx_autocert_json_get_string(json, "replaces", &value) != NGX_OK) {
        return 1;
    }

    ca->replaces++;

    return 2;
}


static ngx_int_t
sim_ca_payload(ngx_autocert_request_t *request,
    ngx_autocert_response_t *response, ngx_str_t *payload)
{
    char                 *err;
    ngx_str_t             value;
    ngx_autocert_json_t  *json;

    json = ngx_autocert_json_parse(response->pool, &request->body, &err);

    if (ngx_autocert_json_get_string(json, "payload", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_autocert_base64_decode(response->pool, payload, &value);
}


/* Where in the window of the last certificate the next one is ordered. */

static void
sim_ca_tenth(sim_ca_t *ca, time_t now, sim_order_t *order)
{
    time_t      start, end;
    ngx_uint_t  n;

    if (!order->seen) {
        return;
    }

    sim_ca_span(order, &start, &end);

    if (now < start || now >= end) {
        return;
    }

    n = (now - start) * SIM_TENTHS / (end - start);
    ca->tenths[n]++;
}


static void
sim_ca_order(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    u_char        certificate[128];
    sim_order_t  *order;

    (void) request;

    order = &ca->orders[n];
    certificate[0] = '\0';

    if (order->issued_at && order->issued_at <= now) {
        *ngx_sprintf(certificate, ",\"certificate\":\"" SIM_CA
                                  "cert/%016xi\"", n) = '\0';
    }

    sim_ca_body(ca, response,
                "{\"status\":\"%s\",\"identifiers\":[{\"type\":\"dns\","
                "\"value\":\"%V\"}],\"authorizations\":[\"" SIM_CA
                "authz/%016xi\"],\"finalize\":\"" SIM_CA "final/%016xi\"%s}",
                sim_ca_status(order, now), &ca->names[order->name].name, n, n,
                certificate);

    if (order->issued_at > now) {
        sim_ca_poll(ca, order, now, response);
    }
}


static char *
sim_ca_status(sim_order_t *order, time_t now)
{
    if (order->valid_at == 0 || order->valid_at > now) {
        return "pending";
    }

    if (order->bad) {
        return "invalid";
    }

    if (order->issued_at == 0) {
        return "ready";
    }

    return (order->issued_at > now) ? "processing" : "valid";
}


/* Some CAs say when to ask again, some do not. */

static void
sim_ca_poll(sim_ca_t *ca, sim_order_t *order, time_t now,
    ngx_autocert_response_t *response)
{
    time_t  delay;

    if (now < order->ask_at) {
        ca->early++;
    }

    delay = sim_random() % 4;

    if (delay) {
        sim_ca_retry(ca, response, now, delay, &order->ask_at);
    }
}


static void
sim_ca_authz(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    char         *status, *error;
    sim_order_t  *order;

    (void) request;

    order = &ca->orders[n];
    error = "";

    if (order->valid_at == 0 || order->valid_at > now) {
        status = "pending";

    } else if (order->bad) {
        status = "invalid";
        error = ",\"error\":{\"type\":"
                "\"urn:ietf:params:acme:error:connection\","
                "\"detail\":\"Timeout during connect (likely firewall "
                "problem)\",\"status\":400}";

    } else {
        status = "valid";
    }

    sim_ca_body(ca, response,
                "{\"identifier\":{\"type\":\"dns\",\"value\":\"%V\"},"
                "\"status\":\"%s\",\"challenges\":[{\"type\":\"http-01\","
                "\"url\":\"" SIM_CA "chall/%016xi\",\"status\":\"%s\","
                "\"token\":\"dG9rZW4tb2YtdGhlLXNpbXVsYXRpb24\"%s}]}",
                &ca->names[order->name].name, status, n, status, error);

    if (order->valid_at > now) {
        sim_ca_poll(ca, order, now, response);
    }
}


static void
sim_ca_challenge(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    sim_order_t  *order;

    (void) request;

    order = &ca->orders[n];

    if (order->valid_at == 0) {
        order->valid_at = now + 1 + sim_random() % 3;
        order->bad = (sim_random() % SIM_FAILING == 0);
        ca->failed += order->bad;
    }

    sim_ca_body(ca, response,
                "{\"type\":\"http-01\",\"url\":\"" SIM_CA "chall/%016xi\","
                "\"status\":\"processing\","
                "\"token\":\"dG9rZW4tb2YtdGhlLXNpbXVsYXRpb24\"}", n);
}


static void
sim_ca_finalize(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    char                 *err;
    ngx_str_t             payload, value, csr;
    sim_order_t          *order;
    sim_ca_name_t        *name;
    ngx_autocert_json_t  *json;

    order = &ca->orders[n];
    name = &ca->names[order->name];

    if (sim_ca_payload(request, response, &payload) != NGX_OK
        || ngx_strcmp(sim_ca_status(order, now), "ready") != 0)
    {
        sim_ca_strange(ca, response);
        return;
    }

    json = ngx_autocert_json_parse(response->pool, &payload, &err);

    if (ngx_autocert_json_get_string(json, "csr", &value) != NGX_OK
        || ngx_autocert_base64_decode(response->pool, &csr, &value) != NGX_OK
        || csr.len != sizeof(uint64_t))
    {
        sim_ca_strange(ca, response);
        return;
    }

    ngx_memcpy(&order->key, csr.data, sizeof(uint64_t));

    order->issued_at = now + sim_random() % 3;
    order->not_before = now - SIM_BACKDATED;
    order->not_after = order->not_before + sim_kinds[name->kind].life;

    ca->certificates++;
    sim_count(&name->spent, now);
    sim_count(&name->week, now);

    sim_ca_order(ca, now, n, request, response);
}


static void
sim_ca_pem(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    (void) now;
    (void) request;

    ngx_str_set(&response->content_type, "application/pem-certificate-chain");

    sim_ca_body(ca, response,
                SIM_PEM "%016xi\n-----END CERTIFICATE-----\n", n);
}


/* RFC 9773, as Boulder answers: around two thirds of a life, or the half. */

static void
sim_ca_window(sim_ca_t *ca, time_t now, ngx_uint_t n,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response)
{
    time_t        start, end;
    u_char        from[24], till[24];
    ngx_str_t     f, t;
    sim_order_t  *order;

    (void) request;

    order = &ca->orders[n];
    order->seen = !ca->past;
    ca->windows++;

    if (now < order->look_at) {
        ca->early++;
    }

    sim_ca_span(order, &start, &end);

    if (ca->past) {
        start = order->not_before - 2 * SIM_HOUR;
        end = order->not_before - SIM_HOUR;
    }

    f.data = from;
    f.len = ngx_autocert_time_print(from, start) - from;
    t.data = till;
    t.len = ngx_autocert_time_print(till, end) - till;

    sim_ca_body(ca, response,
                "{\"suggestedWindow\":{\"start\":\"%V\",\"end\":\"%V\"}}",
                &f, &t);

    /* six hours, more or less by a fifth */

    start = 6 * SIM_HOUR - 72 * SIM_MINUTE + sim_random() % (144 * SIM_MINUTE);

    sim_ca_retry(ca, response, now, start, &order->look_at);
}


static void
sim_ca_span(sim_order_t *order, time_t *start, time_t *end)
{
    time_t  life, centre;

    life = order->not_after - order->not_before;

    centre = order->not_before
             + (life < 10 * SIM_DAY ? life / 2 : 2 * life / 3);

    *start = centre - life / 100;
    *end = centre + life / 100;
}


void
sim_ca_heard(sim_ca_t *ca)
{
    ca->orders[ca->made].told = 1;

    if (ca->until) {
        *ca->until = ca->wait;
    }
}


sim_order_t *
sim_ca_certificate(sim_ca_t *ca, ngx_str_t *pem)
{
    ngx_uint_t  n;

    n = sim_ca_number(pem, sizeof(SIM_PEM) - 1);

    return (n && n < ca->norders) ? &ca->orders[n] : NULL;
}


void
sim_ca_chain(sim_ca_t *ca, sim_order_t *order, ngx_autocert_chain_t *chain)
{
    ngx_memzero(chain, sizeof(ngx_autocert_chain_t));

    chain->not_before = order->not_before;
    chain->not_after = order->not_after;
    chain->curve = NID_secp384r1;
    ngx_memcpy(chain->id, &order->key, sizeof(uint64_t));

    if (ca->names[order->name].ari) {
        chain->certid_len = ngx_sprintf(chain->certid, SIM_AKI "%016xi",
                                        order - ca->orders)
                            - chain->certid;
    }
}
