
/*
 * The input is what a CA answers, one after the other:
 *
 *     byte 0      settings: 1, an order is resumed; 2, the account is known;
 *                 4, tls-alpn-01; 8, a certificate is replaced; 16, a look
 *                 at its window; 32, new contacts; 64, the name is an
 *                 address and there are contacts
 *     responses   status and 4 flags (1 byte), length of the body (2 bytes),
 *                 body; a status byte of 0: the response is lost
 *     events      ahead of a response, a byte each: see fuzz_event()
 *
 * Whatever it says, the flow ends, in bounded time and requests, and leaves
 * no token behind; a goal without an order leaves that of others alone.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/acme/ngx_autocert_flow.h"
#include "../unit/ngx_stub.h"


#define FUZZ_NOW      1700000000
#define FUZZ_ACTIONS  4000
#define FUZZ_URL      "https://ca.test/1"
#define FUZZ_CERTID   "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


typedef struct {
    const uint8_t  *pos;
    const uint8_t  *end;
    ngx_uint_t      nonce;
    time_t          now;
    time_t          late;
    ngx_uint_t      no_memory;      /* for the engine */
    ngx_uint_t      helpless;       /* whom the engine asks for something */
    const char     *bad_nonce;
    const char     *retry_after;
} fuzz_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_uint_t  fuzz_statuses[] = { 0, 200, 201, 301, 400, 403, 404, 409,
                                       429, 500, 503 };


#define fuzz_assert(x)  if (!(x)) { __builtin_trap(); }


/* the signature is not what is tested here */

static ngx_int_t
fuzz_sign(void *data, ngx_str_t *digest, u_char *signature, size_t *len)
{
    (void) data;
    (void) digest;

    *len = 8;
    ngx_memcpy(signature, "\x30\x06\x02\x01\x01\x02\x01\x01", 8);

    return NGX_OK;
}


static void
fuzz_str(ngx_str_t *str, const char *text)
{
    str->data = (u_char *) text;
    str->len = ngx_strlen(text);
}


/* Returns 0 if it is none. */

static ngx_uint_t
fuzz_event(fuzz_t *fuzz, ngx_uint_t event)
{
    switch (event) {

    case 11:
        fuzz->late = 110;
        return 1;

    case 12:
        fuzz->bad_nonce = "not base64url";
        return 1;

    case 13:
        fuzz->no_memory = 1;
        return 1;

    case 14:
        fuzz->helpless = 1;
        return 1;

    case 15:
        fuzz->retry_after = "90";
        return 1;

    default:
        return 0;
    }
}


/* Returns 0 if there is no response. */

static ngx_uint_t
fuzz_response(fuzz_t *fuzz, ngx_autocert_response_t *response, u_char *nonce)
{
    u_char      *body;
    uint8_t      flags;
    ngx_uint_t   i;

    fuzz->bad_nonce = NULL;
    fuzz->retry_after = "3";

    while (fuzz->pos < fuzz->end && fuzz_event(fuzz, *fuzz->pos & 0x0f)) {
        fuzz->pos++;
    }

    /* once: an engine takes a longer step for a clock that was set */

    fuzz->now += fuzz->late;
    fuzz->late = 0;

    if (fuzz->end - fuzz->pos < 3) {
        return 0;
    }

    flags = fuzz->pos[0];
    i = flags & 0x0f;

    if (i == 0 || i >= sizeof(fuzz_statuses) / sizeof(fuzz_statuses[0])) {
        fuzz->pos++;
        return 0;
    }

    response->status = fuzz_statuses[i];
    response->body.len = ngx_min((size_t) (fuzz->pos[1] << 8 | fuzz->pos[2]),
                                 (size_t) (fuzz->end - fuzz->pos - 3));
    fuzz->pos += 3;

    /* in memory of its own, so that nothing behind it is read */

    body = ngx_alloc(response->body.len + 1, &ngx_stub_log);
    fuzz_assert(body);

    ngx_memcpy(body, fuzz->pos, response->body.len);
    response->body.data = body;

    fuzz->pos += response->body.len;

    if (flags & 0x10) {
        fuzz_str(&response->location, FUZZ_URL);
    }

    if (flags & 0x20) {
        fuzz_str(&response->retry_after, fuzz->retry_after);
    }

    if (flags & 0x40) {
        response->nonce.data = nonce;
        response->nonce.len = ngx_sprintf(nonce, "n%ui", fuzz->nonce++)
                              - nonce;

        if (fuzz->bad_nonce) {
            fuzz_str(&response->nonce, fuzz->bad_nonce);
        }
    }

    fuzz_str(&response->content_type, (flags & 0x80)
                                      ? "application/pem-certificate-chain"
                                      : "application/json");

    return 1;
}


static void
fuzz_lost(fuzz_t *fuzz, ngx_autocert_flow_t *flow, ngx_uint_t kind)
{
    ngx_autocert_fail_t  fail;

    ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));
    fail.kind = kind;
    ngx_str_set(&fail.why, "lost");

    ngx_autocert_flow_lost(flow, fuzz->now, &fail);
}


static void
fuzz_send(fuzz_t *fuzz, ngx_autocert_flow_t *flow,
    ngx_autocert_request_t *request)
{
    u_char                    nonce[32];
    ngx_pool_t               *pool;
    ngx_autocert_url_t        url;
    ngx_autocert_response_t   response;

    fuzz_assert(ngx_autocert_message_url(&request->url, &url) == NGX_OK);
    fuzz_assert(fuzz->now < FUZZ_NOW + NGX_AUTOCERT_FLOW_LIFE);
    fuzz_assert((request->method == NGX_AUTOCERT_POST)
                == (request->body.len != 0));
    fuzz_assert(flow->goal != NGX_AUTOCERT_GOAL_WINDOW
                || request->method == NGX_AUTOCERT_GET);

    pool = ngx_create_pool(4096, &ngx_stub_log);
    fuzz_assert(pool);

    ngx_memzero(&response, sizeof(ngx_autocert_response_t));
    response.pool = pool;

    fuzz_assert(ngx_array_init(&response.links, pool, 1, sizeof(ngx_str_t))
                == NGX_OK);

    if (fuzz_response(fuzz, &response, nonce)) {
        ngx_stub_fail_at = fuzz->no_memory;
        ngx_autocert_flow_took(flow, fuzz->now, &response);
        ngx_stub_fail_at = 0;
        ngx_free(response.body.data);

    } else {
        fuzz_lost(fuzz, flow, NGX_AUTOCERT_FAIL_NETWORK);
    }

    ngx_destroy_pool(pool);
}


static void
fuzz_done(ngx_autocert_flow_t *flow)
{
    switch (flow->goal) {

    case NGX_AUTOCERT_GOAL_CERTIFICATE:
        fuzz_assert(flow->order->chain.len != 0);
        fuzz_assert(flow->order->url.len != 0);
        break;

    case NGX_AUTOCERT_GOAL_WINDOW:
        fuzz_assert((flow->window.start == 0) == (flow->window.end == 0));
        fuzz_assert(flow->window.start || flow->window.retry_at == 0);
        fuzz_assert(flow->window.retry_at <= FUZZ_NOW + 2 * 604800);
        break;

    case NGX_AUTOCERT_GOAL_REVOCATION:
        fuzz_assert(flow->revocation->own || flow->issuer->kid.len != 0);
        break;

    default:
        fuzz_assert(flow->issuer->kid.len != 0);
    }
}


static void
fuzz_failed(ngx_autocert_flow_t *flow)
{
    ngx_autocert_fail_t  *fail = &flow->fail;

    fuzz_assert(fail->kind != 0 && fail->why.len != 0);
    fuzz_assert(fail->retry_at <= FUZZ_NOW + 2 * 604800);
    fuzz_assert(fail->scope <= NGX_AUTOCERT_FAIL_WINDOWS);
    fuzz_assert(fail->scope != NGX_AUTOCERT_FAIL_WINDOWS
                || flow->goal == NGX_AUTOCERT_GOAL_WINDOW);
    fuzz_assert((fail->scope == NGX_AUTOCERT_FAIL_DOMAIN)
                == (fail->domain.len != 0));
    fuzz_assert(fail->interval >= 0 && fail->interval <= fail->span);
    fuzz_assert(fail->domain.len || fail->span == 0);
}


static void
fuzz_solve(ngx_autocert_action_t *action, ngx_str_t *token,
    ngx_uint_t *published)
{
    fuzz_assert(action->token.len >= 16 && action->token.len <= 128);

    if (action->publish) {
        fuzz_assert(!*published);
        *token = action->token;

    } else if (*published) {
        fuzz_assert(token->len == action->token.len
                    && ngx_memcmp(token->data, action->token.data, token->len)
                       == 0);
    }

    *published = action->publish;
}


static void
fuzz_key(fuzz_t *fuzz, ngx_autocert_flow_t *flow)
{
    ngx_str_t  csr;

    fuzz_str(&csr, fuzz->helpless ? "" : "CSR");

    ngx_stub_fail_at = fuzz->no_memory;
    ngx_autocert_flow_key(flow, &csr);
    ngx_stub_fail_at = 0;
}


/* Returns 1 at the end. */

static ngx_uint_t
fuzz_act(fuzz_t *fuzz, ngx_autocert_flow_t *flow,
    ngx_autocert_action_t *action, ngx_str_t *token, ngx_uint_t *published)
{
    switch (action->type) {

    case NGX_AUTOCERT_FLOW_SEND:
        fuzz_send(fuzz, flow, &action->request);
        return 0;

    case NGX_AUTOCERT_FLOW_WAIT:
        fuzz_assert(action->until > fuzz->now
                    && action->until <= FUZZ_NOW + NGX_AUTOCERT_FLOW_LIFE);
        fuzz->now = action->until;
        return 0;

    case NGX_AUTOCERT_FLOW_SOLVE:
        fuzz_solve(action, token, published);

        if (action->publish && fuzz->helpless) {
            fuzz_lost(fuzz, flow, NGX_AUTOCERT_FAIL_INTERNAL);
        }

        return 0;

    case NGX_AUTOCERT_FLOW_KEY:
        fuzz_key(fuzz, flow);
        return 0;

    case NGX_AUTOCERT_FLOW_SAVE:
        fuzz_assert(!action->order
                    || flow->goal == NGX_AUTOCERT_GOAL_CERTIFICATE);
        fuzz_assert(!action->account
                    || flow->goal != NGX_AUTOCERT_GOAL_WINDOW);
        return 0;

    case NGX_AUTOCERT_FLOW_DONE:
        fuzz_done(flow);
        return 1;

    case NGX_AUTOCERT_FLOW_FAILED:
        fuzz_failed(flow);
        return 1;

    default:
        fuzz_assert(0);
    }

    return 1;
}


static void
fuzz_run(fuzz_t *fuzz, ngx_autocert_flow_t *flow)
{
    ngx_str_t               token;
    ngx_uint_t              i, published;
    ngx_autocert_action_t   action;

    published = 0;
    ngx_str_null(&token);

    for (i = 0; i < FUZZ_ACTIONS; i++) {

        ngx_stub_fail_at = fuzz->no_memory;
        ngx_autocert_flow_next(flow, fuzz->now, &action);
        ngx_stub_fail_at = 0;

        fuzz_assert(ngx_autocert_flow_name(flow) != NULL);

        if (fuzz_act(fuzz, flow, &action, &token, &published)) {
            fuzz_assert(!published);
            return;
        }
    }

    /* each response is eaten, so that what is left is lost at last */

    fuzz_assert(fuzz->end - fuzz->pos >= 3);
}


/* Returns the goal. */

static ngx_uint_t
fuzz_settings(uint8_t flags, ngx_autocert_issuer_t *issuer,
    ngx_autocert_order_t *order)
{
    static ngx_str_t    contact = ngx_string("root@example.org");
    static ngx_array_t  contacts = { &contact, 1, sizeof(ngx_str_t), 1, NULL };

    issuer->key.sign = fuzz_sign;
    fuzz_str(&issuer->directory, FUZZ_URL);
    fuzz_str(&issuer->key.jwk, "{}");
    fuzz_str(&issuer->key.thumbprint, "thumbprint");

    fuzz_str(&order->name, "example.org");
    fuzz_str(&order->challenge, (flags & 4) ? "tls-alpn-01" : "http-01");

    if (flags & 64) {
        fuzz_str(&order->name, "192.0.2.1");
        issuer->contacts = &contacts;
    }

    if (flags & 1) {
        fuzz_str(&order->url, FUZZ_URL);
    }

    if (flags & 2) {
        fuzz_str(&issuer->kid, FUZZ_URL);
    }

    if (flags & (8 | 16)) {
        fuzz_str(&order->certid, FUZZ_CERTID);
    }

    if ((flags & 48) == 48) {
        return NGX_AUTOCERT_GOAL_REVOCATION;
    }

    if (flags & 16) {
        return NGX_AUTOCERT_GOAL_WINDOW;
    }

    return (flags & 32) ? NGX_AUTOCERT_GOAL_CONTACTS
                        : NGX_AUTOCERT_GOAL_CERTIFICATE;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_t                      fuzz;
    ngx_uint_t                  goal;
    ngx_autocert_flow_t         flow;
    ngx_autocert_order_t        order;
    ngx_autocert_issuer_t       issuer;
    ngx_autocert_revocation_t   revocation;

    if (size == 0) {
        return 0;
    }

    ngx_memzero(&issuer, sizeof(ngx_autocert_issuer_t));
    ngx_memzero(&order, sizeof(ngx_autocert_order_t));
    ngx_memzero(&fuzz, sizeof(fuzz_t));

    issuer.pool = ngx_create_pool(4096, &ngx_stub_log);
    fuzz_assert(issuer.pool);

    goal = fuzz_settings(data[0], &issuer, &order);

    fuzz.pos = data + 1;
    fuzz.end = data + size;
    fuzz.now = FUZZ_NOW;

    ngx_memzero(&revocation, sizeof(ngx_autocert_revocation_t));
    fuzz_str(&revocation.certificate, "DER");
    revocation.key = &issuer.key;

    ngx_autocert_flow_init(&flow, issuer.pool, &issuer, &order, goal);
    flow.revocation = &revocation;
    fuzz_run(&fuzz, &flow);

    fuzz_assert(goal == NGX_AUTOCERT_GOAL_CERTIFICATE
                || (order.url.len != 0) == (data[0] & 1));

    ngx_destroy_pool(issuer.pool);

    return 0;
}
