
/*
 * Two years of a server in a minute: the product's own plan, flow and texts
 * of the store, a clock that jumps, and a CA that is scripted.  What is
 * around them here is what the driver and the schedule do there.
 *
 *     simulate [-d days] [-n names] [-s seed] [-f fault] [-w] [-p]
 *
 * Each request takes a second or two.  Every day the process is gone for a
 * while, killed or by a reload, whatever it is at; all that it knows then is
 * what it has written.  With -w the CA gives no renewal windows, else a half
 * of the names have some; with -p they are all past, so that whatever is got
 * is due at once, and the budget is what stops it.  Exits with 1 and a
 * sentence for each rule that was broken.  The faults, planted around the
 * product, have to break one.
 */


#include "../../src/core/ngx_autocert_plan.c"

#include "../../src/base/ngx_autocert_jose.h"
#include "../../src/store/ngx_autocert_store_account.h"
#include "../../src/store/ngx_autocert_store_ca.h"
#include "../../src/store/ngx_autocert_store_state.h"
#include "../unit/ngx_stub.h"
#include "sim.h"

#include <openssl/evp.h>


#define SIM_NAMES    1000
#define SIM_DAYS     731

#define SIM_JITTER   1      /* chance is always the same */
#define SIM_FORGET   2      /* a start begins with nothing remembered */
#define SIM_HASTE    3      /* Retry-After is not seen */
#define SIM_SPEND    4      /* a start forgets what was issued */

/*
 * An end of a certificate is not held against the client if between its due
 * instant and its end the CA was there no longer than this: time for a turn
 * behind others and three failed validations in a row.
 */
#define SIM_ENOUGH    (15 * SIM_MINUTE)

#define SIM_BUDGET    3     /* certificates in half of a life */

/*
 * All names get their first certificate, or one again after an outage, within
 * this: a thousand orders last ten hours where 300 are allowed in three.
 */
#define SIM_PATIENCE  (12 * SIM_HOUR)

/*
 * Between two tries of a CA that is down pass 45 to 60 minutes, by chance: of
 * many servers that lose it at the same instant each comes back in a rhythm
 * of its own.  One server shows that by a rhythm that changes: any minute has
 * a fifteenth of its delays.  Without chance one minute has them all.
 */
#define SIM_RHYTHM    40    /* per cent */
#define SIM_GAPS      20    /* to tell it */

/*
 * Orders spread over the windows that the CA has given.  Where the half of a
 * life is the middle of the window, what would come behind it comes there: a
 * half of them all.  Without chance all come in the same tenth.
 */
#define SIM_CROWD     75    /* per cent */
#define SIM_CROWDED   200   /* orders, to tell it */


typedef struct {
    ngx_str_t                  text;
    size_t                     size;
} sim_file_t;


/* What there is of a name on disk. */

typedef struct {
    sim_file_t                 state;
    sim_file_t                 issued;
    ngx_autocert_chain_t       chain;
    uint64_t                   next;        /* key of the order; 0: none */
    unsigned                   held:1;
} sim_name_t;


typedef struct {
    sim_ca_t                   ca;
    ngx_uint_t                 fault;
    time_t                     now;
    time_t                     end;
    time_t                     leave;       /* the process has to */
    unsigned                   killed:1;    /* then, else by a reload */
    unsigned                   reload:1;    /* it was begun by one */

    /* on disk */
    sim_name_t                *names;
    sim_file_t                 file;        /* of the CA */
    sim_file_t                 account;

    /* of the process */
    ngx_autocert_conf_t        acf;
    ngx_autocert_plan_t        plan;
    ngx_autocert_issuer_t      issuer;
    ngx_pool_t                *life;

    /* of one turn */
    ngx_pool_t                *pool;
    ngx_pool_t                *answer;
    ngx_uint_t                 index;
    ngx_autocert_state_t       state;
    ngx_autocert_issued_t      issued;
    ngx_autocert_order_t       order;
    ngx_str_t                  counted;     /* as this order, if any */
    ngx_autocert_flow_t        flow;

    /* of it all */
    ngx_pool_t                *ever;
    ngx_autocert_jose_key_t    key;
    uint64_t                   keys;
    ngx_uint_t                 starts;
    ngx_uint_t                 interrupted;
    ngx_uint_t                 refused;     /* by the budget */
    ngx_uint_t                 expired;
    ngx_uint_t                 excused;
    time_t                     reached;     /* before an end, the most */
    time_t                     first;       /* certificate of all names */
    time_t                     without;     /* a certificate again */
    ngx_uint_t                 broken;
} sim_t;


static void sim_init(sim_t *sim, ngx_uint_t names, ngx_uint_t days);
static void sim_done(sim_t *sim);
static void sim_run(sim_t *sim);
static void sim_start(sim_t *sim);
static void sim_look(sim_t *sim, ngx_uint_t reload);
static void sim_issuer(sim_t *sim);
static ngx_int_t sim_turn(sim_t *sim);
static ngx_int_t sim_order(sim_t *sim);
static void sim_order_init(sim_t *sim);
static ngx_int_t sim_window(sim_t *sim);
static ngx_int_t sim_flow(sim_t *sim, ngx_uint_t goal);
static ngx_int_t sim_wait(sim_t *sim, time_t until);
static ngx_int_t sim_send(sim_t *sim, ngx_autocert_request_t *request);
static void sim_save(sim_t *sim, ngx_autocert_action_t *action);
static void sim_key(sim_t *sim);
static void sim_install(sim_t *sim);
static void sim_ended(sim_t *sim, ngx_autocert_chain_t *chain);
static void sim_get(sim_t *sim);
static void sim_put_state(sim_t *sim);
static void sim_put_issued(sim_t *sim);
static void sim_put_ca(sim_t *sim);
static void sim_write(sim_file_t *file, ngx_str_t *text);
static void sim_tell(sim_t *sim);
static void sim_judge(sim_t *sim);
static ngx_uint_t sim_most(ngx_uint_t *counts, ngx_uint_t n,
    ngx_uint_t *sum);
static void sim_rule(sim_t *sim, ngx_uint_t broken, const char *fmt, ...);
static ngx_int_t sim_sign(void *data, ngx_str_t *digest, u_char *signature,
    size_t *len);
static uint32_t sim_same(void);
static ngx_uint_t sim_option(const char *text, ngx_uint_t max);
static void sim_bug(const char *what);


static uint64_t  sim_seed;


int
main(int argc, char **argv)
{
    int         c;
    ngx_uint_t  names, days, fault, blind, past;

    static sim_t  sim;

    names = SIM_NAMES;
    days = SIM_DAYS;
    fault = 0;
    blind = 0;
    past = 0;
    sim_random_seed(1);

    while ((c = getopt(argc, argv, "d:n:s:f:wp")) != -1) {

        switch (c) {

        case 'd':
            days = sim_option(optarg, 36500);
            break;

        case 'n':
            names = sim_option(optarg, 9999);
            break;

        case 's':
            sim_random_seed(sim_option(optarg, 1000000));
            break;

        case 'f':
            fault = (ngx_strcmp(optarg, "jitter") == 0) ? SIM_JITTER
                    : (ngx_strcmp(optarg, "forget") == 0) ? SIM_FORGET
                    : (ngx_strcmp(optarg, "haste") == 0) ? SIM_HASTE
                    : (ngx_strcmp(optarg, "spend") == 0) ? SIM_SPEND
                    : sim_option(optarg, 4);
            break;

        case 'w':
            blind = 1;
            break;

        case 'p':
            past = 1;
            break;

        default:
            return 2;
        }
    }

    sim_init(&sim, names, days);
    sim.fault = fault;
    sim.ca.blind = blind;
    sim.ca.past = past;

    sim_run(&sim);
    sim_tell(&sim);
    sim_judge(&sim);

    c = (sim.broken != 0);
    sim_done(&sim);

    return c;
}


static void
sim_init(sim_t *sim, ngx_uint_t names, ngx_uint_t days)
{
    EVP_PKEY             *key;
    ngx_uint_t            i;
    ngx_autocert_name_t  *name;

    sim_ca_init(&sim->ca, names, days);

    sim->now = SIM_BEGIN;
    sim->end = SIM_BEGIN + (time_t) days * SIM_DAY;
    sim->names = sim_alloc(names * sizeof(sim_name_t));

    sim->plan.names = sim_alloc(names * sizeof(ngx_autocert_plan_name_t));

    sim->pool = ngx_create_pool(16384, &ngx_stub_log);
    sim->answer = ngx_create_pool(16384, &ngx_stub_log);
    sim->life = ngx_create_pool(4096, &ngx_stub_log);
    sim->ever = ngx_create_pool(4096, &ngx_stub_log);

    ngx_str_set(&sim->acf.ca, SIM_CA "dir");
    sim->acf.listen = NGX_AUTOCERT_LISTEN_PLAIN|NGX_AUTOCERT_LISTEN_PLAIN_80;

    sim->acf.names.elts = sim_alloc(names * sizeof(ngx_autocert_name_t));
    sim->acf.names.nelts = names;
    name = sim->acf.names.elts;

    for (i = 0; i < names; i++) {
        name[i].name = sim->ca.names[i].name;
        name[i].curve = NID_secp384r1;
        name[i].renew_before = 7 * SIM_DAY;
    }

    key = ngx_autocert_key_create(NID_X9_62_prime256v1);

    if (ngx_autocert_jose_public(sim->ever, key, &sim->key) != NGX_OK) {
        sim_bug("the account has no key");
    }

    EVP_PKEY_free(key);

    sim->key.sign = sim_sign;
}


static void
sim_done(sim_t *sim)
{
    ngx_uint_t  i;

    for (i = 0; i < sim->acf.names.nelts; i++) {
        free(sim->names[i].state.text.data);
        free(sim->names[i].issued.text.data);
    }

    free(sim->file.text.data);
    free(sim->account.text.data);
    free(sim->names);
    free(sim->plan.names);
    free(sim->acf.names.elts);

    ngx_destroy_pool(sim->pool);
    ngx_destroy_pool(sim->answer);
    ngx_destroy_pool(sim->life);
    ngx_destroy_pool(sim->ever);

    sim_ca_free(&sim->ca);
}


static void
sim_run(sim_t *sim)
{
    ngx_uint_t  i;
    ngx_int_t   rc;

    while (sim->now < sim->end) {

        sim->leave = sim->now - (sim->now - SIM_BEGIN) % SIM_DAY
                     + SIM_DAY + sim_random() % (SIM_DAY - SIM_HOUR);
        sim->leave = ngx_min(sim->leave, sim->end);
        sim->killed = sim_random() % 2;

        sim_start(sim);

        do {
            rc = sim_turn(sim);
            ngx_reset_pool(sim->pool);
        } while (rc == NGX_OK);

        sim->reload = !sim->killed;
        sim->now = sim->leave + 10 + sim_random() % 20;
    }

    sim->now = sim->end;

    for (i = 0; i < sim->acf.names.nelts; i++) {
        sim->index = i;
        sim_ended(sim, NULL);
    }
}


/* A process that knows what is written, and no more. */

static void
sim_start(sim_t *sim)
{
    char                      *err;
    ngx_str_t                  none;
    ngx_uint_t                 i;
    ngx_autocert_ca_t          ca;
    ngx_autocert_plan_t       *plan;
    ngx_autocert_plan_name_t  *names;

    sim->starts++;
    plan = &sim->plan;
    ngx_str_null(&none);

    if (sim->fault == SIM_FORGET) {
        sim_write(&sim->file, &none);

        for (i = 0; i < sim->acf.names.nelts; i++) {
            sim_write(&sim->names[i].state, &none);
            sim_write(&sim->names[i].issued, &none);
        }
    }

    for (i = 0; i < sim->acf.names.nelts && sim->fault == SIM_SPEND; i++) {
        sim_write(&sim->names[i].issued, &none);
    }

    names = plan->names;
    ngx_memzero(plan, sizeof(ngx_autocert_plan_t));
    ngx_memzero(names,
                sim->acf.names.nelts * sizeof(ngx_autocert_plan_name_t));

    plan->acf = &sim->acf;
    plan->names = names;
    plan->random = (sim->fault == SIM_JITTER) ? sim_same : sim_random;

    ngx_memzero(&ca, sizeof(ngx_autocert_ca_t));

    if (sim->file.text.len
        && ngx_autocert_store_ca_parse(sim->pool, &sim->file.text, &ca, &err)
           != NGX_OK)
    {
        sim_bug(err);
    }

    ngx_autocert_plan_init(plan);
    ngx_autocert_plan_remember(plan, sim->now, &ca, sim->reload);
    sim_issuer(sim);

    for (i = 0; i < sim->acf.names.nelts; i++) {
        sim->index = i;
        sim_look(sim, sim->reload);
        ngx_reset_pool(sim->pool);
    }
}


/* What there is of the name. */

static void
sim_look(sim_t *sim, ngx_uint_t reload)
{
    sim_name_t  *name;

    name = &sim->names[sim->index];

    sim_get(sim);
    ngx_autocert_plan_found(&sim->plan, sim->index, sim->now,
                            name->held ? &name->chain : NULL, &sim->state,
                            reload);
}


static void
sim_issuer(sim_t *sim)
{
    char                          *err;
    ngx_autocert_issuer_t         *issuer;
    ngx_autocert_store_account_t   account;

    ngx_reset_pool(sim->life);

    issuer = &sim->issuer;
    ngx_memzero(issuer, sizeof(ngx_autocert_issuer_t));

    issuer->pool = sim->life;
    issuer->directory = sim->acf.ca;
    issuer->key = sim->key;

    if (sim->account.text.len == 0) {
        return;
    }

    if (ngx_autocert_store_account_parse(sim->life, &sim->account.text,
                                         &account, &err)
        != NGX_OK)
    {
        sim_bug(err);
    }

    issuer->kid = account.url;
}


/* NGX_ABORT: the process is gone. */

static ngx_int_t
sim_turn(sim_t *sim)
{
    ngx_int_t                 rc;
    ngx_autocert_plan_next_t  next;

    if (sim->now >= sim->leave) {
        return NGX_ABORT;
    }

    ngx_autocert_plan_next(&sim->plan, sim->now,
                           (uint64_t) (sim->now - SIM_BEGIN) * 1000, &next);
    sim_put_ca(sim);

    sim->index = next.index;

    switch (next.what) {

    case NGX_AUTOCERT_PLAN_WAIT:

        if (next.until <= sim->now) {
            sim_bug("the plan waits for what has passed");
        }

        return sim_wait(sim, next.until);

    case NGX_AUTOCERT_PLAN_ORDER:
        sim_look(sim, 0);
        rc = sim_order(sim);
        break;

    case NGX_AUTOCERT_PLAN_WINDOW:
        sim_look(sim, 0);
        rc = sim_window(sim);
        break;

    default:
        sim_bug("the plan tells contacts that there are not");
        return NGX_ABORT;
    }

    if (rc == NGX_ABORT && !sim->killed) {
        ngx_autocert_plan_leave(&sim->state);
    }

    sim_put_state(sim);
    sim_put_ca(sim);

    return rc;
}


static ngx_int_t
sim_order(sim_t *sim)
{
    ngx_int_t                    rc;
    ngx_autocert_fail_t          fail;
    ngx_autocert_plan_failed_t   failed;

    if (ngx_autocert_plan_due(&sim->plan, sim->index) > sim->now) {
        return NGX_OK;
    }

    rc = ngx_autocert_plan_begin(&sim->plan, sim->index, sim->now,
                                 &sim->state, &sim->issued, sim->pool, &fail);
    if (rc != NGX_OK) {
        sim->refused++;
        sim_put_issued(sim);
        return NGX_OK;
    }

    sim_put_state(sim);
    sim_put_ca(sim);

    sim_order_init(sim);

    rc = sim_flow(sim, NGX_AUTOCERT_GOAL_CERTIFICATE);

    if (rc == NGX_ABORT) {
        sim->interrupted += (sim->state.order.len != 0);
        return NGX_ABORT;
    }

    if (rc == NGX_OK) {
        sim_install(sim);
        return NGX_OK;
    }

    /* the order has ended before a certificate was there */

    if (sim->counted.len && sim->order.url.len == 0
        && sim->flow.step < NGX_AUTOCERT_STEP_CERTIFICATE)
    {
        ngx_autocert_plan_uncount(&sim->issued, &sim->counted);
        sim_put_issued(sim);
    }

    ngx_autocert_plan_failed(&sim->plan, sim->index, sim->now,
                             &sim->flow.fail, &sim->state, &failed);

    return NGX_OK;
}


static void
sim_order_init(sim_t *sim)
{
    sim_name_t            *name;
    ngx_autocert_order_t  *order;

    name = &sim->names[sim->index];
    order = &sim->order;

    ngx_memzero(order, sizeof(ngx_autocert_order_t));

    order->name = sim->ca.names[sim->index].name;
    order->url = sim->state.order;
    ngx_str_set(&order->challenge, "http-01");

    if (order->url.len == 0) {
        name->next = 0;
    }

    ngx_str_null(&sim->counted);

    if (name->held && name->chain.certid_len
        && ngx_autocert_plan_is(&sim->state.issuer, &sim->acf.ca)
        && ngx_autocert_plan_is(&sim->state.account, &sim->issuer.kid))
    {
        order->certid.data = name->chain.certid;
        order->certid.len = name->chain.certid_len;
    }
}


static ngx_int_t
sim_window(sim_t *sim)
{
    ngx_int_t       rc;
    sim_name_t     *name;

    if (sim->plan.names[sim->index].look > sim->now) {
        return NGX_OK;
    }

    name = &sim->names[sim->index];

    ngx_autocert_plan_look(&sim->plan, sim->index, sim->now, &sim->state);
    sim_put_state(sim);

    ngx_memzero(&sim->order, sizeof(ngx_autocert_order_t));
    sim->order.name = sim->ca.names[sim->index].name;
    sim->order.certid.data = name->chain.certid;
    sim->order.certid.len = name->chain.certid_len;

    rc = sim_flow(sim, NGX_AUTOCERT_GOAL_WINDOW);

    if (rc == NGX_ABORT) {
        return NGX_ABORT;
    }

    if (rc == NGX_ERROR) {
        ngx_autocert_plan_unseen(&sim->plan, sim->index, sim->now,
                                 &sim->flow.fail, &sim->state);
        return NGX_OK;
    }

    if (sim->flow.window.start == 0) {
        ngx_autocert_plan_unseen(&sim->plan, sim->index, sim->now, NULL,
                                 &sim->state);
        return NGX_OK;
    }

    if (ngx_autocert_plan_window(&sim->plan, sim->index, sim->now,
                                 &name->chain, &sim->flow.window,
                                 &sim->state)
        == NGX_AUTOCERT_PLAN_ABSURD)
    {
        sim_bug("a window of the CA makes no sense");
    }

    return NGX_OK;
}


/* NGX_OK, NGX_ERROR: flow.fail; NGX_ABORT: the process is gone. */

static ngx_int_t
sim_flow(sim_t *sim, ngx_uint_t goal)
{
    ngx_int_t              rc;
    ngx_autocert_action_t  action;

    ngx_autocert_flow_init(&sim->flow, sim->pool, &sim->issuer, &sim->order,
                           goal);

    for ( ;; ) {
        rc = NGX_OK;
        ngx_autocert_flow_next(&sim->flow, sim->now, &action);

        switch (action.type) {

        case NGX_AUTOCERT_FLOW_SEND:
            rc = sim_send(sim, &action.request);
            break;

        case NGX_AUTOCERT_FLOW_WAIT:
            rc = sim_wait(sim, action.until);
            break;

        case NGX_AUTOCERT_FLOW_SOLVE:

            if (action.publish) {
                sim->state.challenge = sim->order.challenge;
                sim->state.token = action.token;
                sim_put_state(sim);
            }

            break;

        case NGX_AUTOCERT_FLOW_KEY:
            sim_key(sim);
            break;

        case NGX_AUTOCERT_FLOW_SAVE:
            sim_save(sim, &action);
            break;

        case NGX_AUTOCERT_FLOW_DONE:
            return NGX_OK;

        default: /* NGX_AUTOCERT_FLOW_FAILED */
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


static ngx_int_t
sim_wait(sim_t *sim, time_t until)
{
    sim->now = ngx_max(sim->now, ngx_min(until, sim->leave));

    return (sim->now < sim->leave) ? NGX_OK : NGX_ABORT;
}


/* The CA does what it is asked; the answer takes a while, and may be lost. */

static ngx_int_t
sim_send(sim_t *sim, ngx_autocert_request_t *request)
{
    ngx_int_t                rc;
    ngx_autocert_fail_t      fail;
    ngx_autocert_response_t  response;

    ngx_reset_pool(sim->answer);
    ngx_memzero(&response, sizeof(ngx_autocert_response_t));
    response.pool = sim->answer;

    if (sim->flow.step == NGX_AUTOCERT_STEP_RESUME && !sim->flow.asking) {
        sim->ca.resumed++;
    }

    rc = sim_ca_ask(&sim->ca, sim->now, sim->index, request, &response);

    if (sim_wait(sim, sim->now + 1 + sim_random() % 2) != NGX_OK) {
        return NGX_ABORT;
    }

    if (rc != NGX_OK) {
        ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));
        fail.kind = NGX_AUTOCERT_FAIL_NETWORK;
        ngx_str_set(&fail.why, "connection refused");

        ngx_autocert_flow_lost(&sim->flow, sim->now, &fail);
        return NGX_OK;
    }

    sim_ca_heard(&sim->ca);

    if (sim->fault == SIM_HASTE) {
        ngx_str_null(&response.retry_after);
    }

    ngx_autocert_flow_took(&sim->flow, sim->now, &response);

    return NGX_OK;
}


static void
sim_save(sim_t *sim, ngx_autocert_action_t *action)
{
    ngx_str_t                     text;
    ngx_autocert_store_account_t  account;

    if (action->account) {
        ngx_memzero(&account, sizeof(ngx_autocert_store_account_t));
        account.ca = sim->acf.ca;
        account.url = sim->issuer.kid;

        if (ngx_autocert_store_account_print(sim->pool, &account, &text)
            != NGX_OK)
        {
            sim_bug("the account can't be written");
        }

        sim_write(&sim->account, &text);
    }

    if (!action->order) {
        return;
    }

    if (sim->order.url.len == 0) {
        ngx_str_null(&sim->state.token);

        if (sim->flow.end == 0) {
            ngx_autocert_plan_slot(&sim->plan, sim->now);
        }
    }

    sim->state.ca = sim->acf.ca;
    sim->state.order = sim->order.url;
    sim_put_state(sim);
}


static void
sim_key(sim_t *sim)
{
    ngx_str_t             csr;
    sim_name_t           *name;
    ngx_autocert_fail_t   fail;

    name = &sim->names[sim->index];

    if (name->next == 0) {
        name->next = ++sim->keys;
    }

    sim->counted = sim->order.url;

    if (sim->flow.step == NGX_AUTOCERT_STEP_FINALIZE
        && !ngx_autocert_plan_is(&sim->issued.order, &sim->order.url))
    {
        if (ngx_autocert_plan_afford(&sim->issued, sim->now, sim->pool, &fail)
            != NGX_OK)
        {
            ngx_autocert_flow_lost(&sim->flow, sim->now, &fail);
            return;
        }

        ngx_autocert_plan_count(&sim->issued, sim->now, &sim->order.url);
        sim_put_issued(sim);
    }

    csr.data = (u_char *) &name->next;
    csr.len = sizeof(uint64_t);

    ngx_autocert_flow_key(&sim->flow, &csr);
}


static void
sim_install(sim_t *sim)
{
    sim_name_t            *name;
    sim_order_t           *order;
    ngx_autocert_chain_t   chain;

    name = &sim->names[sim->index];
    order = sim_ca_certificate(&sim->ca, &sim->order.chain);

    if (order == NULL || order->key != name->next) {
        sim_bug("a certificate is of another key than that of its order");
    }

    order->done = 1;
    sim_ca_chain(&sim->ca, order, &chain);
    sim_ended(sim, &chain);

    name->chain = chain;
    name->held = 1;
    name->next = 0;

    ngx_autocert_plan_issued(&sim->plan, sim->index, sim->now, &chain,
                             &sim->issuer.kid, &sim->state, &sim->issued,
                             sim->pool);
    sim_put_issued(sim);
}


/* Has the certificate that was served until now come to its end? */

static void
sim_ended(sim_t *sim, ngx_autocert_chain_t *chain)
{
    time_t       end, due, reached;
    sim_name_t  *name;

    name = &sim->names[sim->index];

    if (!name->held) {
        sim->first = ngx_max(sim->first, sim->now - SIM_BEGIN);
        return;
    }

    end = name->chain.not_after;

    if (end >= (chain ? ngx_min(sim->now, chain->not_after) : sim->now)) {
        return;
    }

    due = end - sim_kinds[sim->ca.names[sim->index].kind].renew;
    reached = sim_ca_reached(&sim->ca, due, end);

    sim->without = ngx_max(sim->without,
                           sim_ca_reached(&sim->ca, end, sim->now));
    sim->reached = ngx_max(sim->reached, reached);

    if (reached < SIM_ENOUGH) {
        sim->excused++;

    } else {
        sim->expired++;
    }
}


static void
sim_get(sim_t *sim)
{
    char        *err;
    sim_name_t  *name;

    name = &sim->names[sim->index];

    ngx_memzero(&sim->state, sizeof(ngx_autocert_state_t));
    ngx_memzero(&sim->issued, sizeof(ngx_autocert_issued_t));

    if (name->state.text.len
        && ngx_autocert_store_state_parse(sim->pool, &name->state.text,
                                          &sim->state, &err)
           != NGX_OK)
    {
        sim_bug(err);
    }

    if (name->issued.text.len
        && ngx_autocert_store_issued_parse(sim->pool, &name->issued.text,
                                           &sim->issued, &err)
           != NGX_OK)
    {
        sim_bug(err);
    }
}


static void
sim_put_state(sim_t *sim)
{
    ngx_str_t  text;

    if (ngx_autocert_store_state_print(sim->pool, &sim->state, &text)
        != NGX_OK)
    {
        sim_bug("the state of a name can't be written");
    }

    sim_write(&sim->names[sim->index].state, &text);
}


static void
sim_put_issued(sim_t *sim)
{
    ngx_str_t  text;

    if (ngx_autocert_store_issued_print(sim->pool, &sim->issued, &text)
        != NGX_OK)
    {
        sim_bug("what was issued can't be written");
    }

    sim_write(&sim->names[sim->index].issued, &text);
}


static void
sim_put_ca(sim_t *sim)
{
    ngx_str_t  text;

    if (!sim->plan.changed) {
        return;
    }

    sim->plan.changed = 0;

    if (ngx_autocert_store_ca_print(sim->pool, &sim->plan.ca, &text)
        != NGX_OK)
    {
        sim_bug("the state of the CA can't be written");
    }

    sim_write(&sim->file, &text);
}


static void
sim_write(sim_file_t *file, ngx_str_t *text)
{
    if (file->size < text->len) {
        free(file->text.data);
        file->size = 2 * text->len;
        file->text.data = sim_alloc(file->size);
    }

    if (text->len) {
        ngx_memcpy(file->text.data, text->data, text->len);
    }

    file->text.len = text->len;
}


static void
sim_tell(sim_t *sim)
{
    ngx_uint_t      i, k, sum, most, orders[SIM_KINDS], week[SIM_KINDS];
    sim_ca_t       *ca;
    sim_ca_name_t  *name;

    ca = &sim->ca;
    ngx_memzero(orders, sizeof(orders));
    ngx_memzero(week, sizeof(week));

    for (i = 0; i < ca->nnames; i++) {
        name = &ca->names[i];
        k = name->kind;
        orders[k] = ngx_max(orders[k], name->orders.most);
        week[k] = ngx_max(week[k], name->week.most);
    }

    printf("%zu names, %ld days, %zu starts, CA down on %zu days\n",
           (size_t) ca->nnames, (long) ((sim->end - SIM_BEGIN) / SIM_DAY),
           (size_t) sim->starts, (size_t) ca->noutages);
    printf("%zu certificates, %zu orders, %zu failed validations, "
           "%zu orders interrupted by a restart, %zu in place of another\n",
           (size_t) ca->certificates, (size_t) ca->norders - 1,
           (size_t) ca->failed, (size_t) sim->interrupted,
           (size_t) ca->replaces);
    printf("%zu requests, %.2f for a certificate without the %zu for "
           "renewal windows\n", (size_t) ca->requests,
           (double) (ca->requests - ca->windows)
           / (ca->certificates ? ca->certificates : 1), (size_t) ca->windows);
    printf("certificates expired while the CA could be reached: %zu "
           "(while not: %zu, reached for up to %ld s since due)\n",
           (size_t) sim->expired, (size_t) sim->excused,
           (long) sim->reached);
    printf("all names had their first certificate after %ld s, and after an "
           "outage one again %ld s after its end\n", (long) sim->first,
           (long) sim->without);

    for (k = 0; k < SIM_KINDS; k++) {
        printf("%s: most in a week for a name: %zu orders, %zu certificates "
               "(budget %zu)\n", sim_kinds[k].title, (size_t) orders[k],
               (size_t) week[k], (size_t) sim_kinds[k].budget);
    }

    printf("most orders in 3 hours: %zu (CA allows 300), most requests in an "
           "hour: %zu\n", (size_t) ca->pace.most, (size_t) ca->hour.most);
    printf("requests while told to wait: %zu, budget refused: %zu, orders "
           "left behind: %zu\n", (size_t) ca->early, (size_t) sim->refused,
           (size_t) ca->left);
    most = sim_most(ca->gaps, SIM_MINUTES, &sum);

    printf("long delays between tries of a CA that is down: %zu, in the same "
           "minute at most %zu\n", (size_t) sum, (size_t) most);
    printf("orders in each tenth of their windows:");

    for (i = 0; i < SIM_TENTHS; i++) {
        printf(" %zu", (size_t) ca->tenths[i]);
    }

    printf("\n");
}


static void
sim_judge(sim_t *sim)
{
    ngx_uint_t      i, sum, most;
    sim_ca_t       *ca;
    sim_ca_name_t  *name;

    ca = &sim->ca;

    sim_rule(sim, sim->expired, "%zu certificates expired although the CA "
             "could be reached", (size_t) sim->expired);
    sim_rule(sim, ngx_max(sim->first, sim->without) > SIM_PATIENCE,
             "a name had no certificate for %ld s while the CA could be "
             "reached", (long) ngx_max(sim->first, sim->without));
    sim_rule(sim, ca->early, "%zu requests came while the CA had said to "
             "wait", (size_t) ca->early);
    sim_rule(sim, ca->limited, "the limit of 300 orders in 3 hours was met "
             "%zu times", (size_t) ca->limited);
    sim_rule(sim, ca->left, "%zu orders were begun anew that could be gone "
             "on with", (size_t) ca->left);
    sim_rule(sim, ca->blind == (ca->replaces != 0), "%zu orders name a "
             "certificate that they replace", (size_t) ca->replaces);
    sim_rule(sim, ca->past && sim->refused == 0, "the budget was not met");
    sim_rule(sim, ca->strange, "the CA could not make sense of %zu requests",
             (size_t) ca->strange);

    for (i = 0; i < ca->nnames; i++) {
        name = &ca->names[i];

        if (name->spent.most > SIM_BUDGET
            || name->week.most > sim_kinds[name->kind].budget
            || (!ca->past
                && name->orders.most > sim_kinds[name->kind].budget))
        {
            sim_rule(sim, 1, "%s got %zu certificates in half a life, %zu in "
                     "a week by %zu orders: over the budget",
                     (char *) name->name.data, (size_t) name->spent.most,
                     (size_t) name->week.most, (size_t) name->orders.most);
            break;
        }
    }

    most = sim_most(ca->gaps, SIM_MINUTES, &sum);

    sim_rule(sim, sum >= SIM_GAPS && most * 100 > sum * SIM_RHYTHM,
             "a CA that is down is tried in one rhythm: %zu of %zu delays "
             "are of the same minute", (size_t) most, (size_t) sum);

    most = sim_most(ca->tenths, SIM_TENTHS, &sum);

    sim_rule(sim, sum >= SIM_CROWDED && most * 100 > sum * SIM_CROWD,
             "%zu of %zu renewals crowd in one tenth of their windows",
             (size_t) most, (size_t) sum);
}


static ngx_uint_t
sim_most(ngx_uint_t *counts, ngx_uint_t n, ngx_uint_t *sum)
{
    ngx_uint_t  i, most;

    most = 0;
    *sum = 0;

    for (i = 0; i < n; i++) {
        *sum += counts[i];
        most = ngx_max(most, counts[i]);
    }

    return most;
}


static void
sim_rule(sim_t *sim, ngx_uint_t broken, const char *fmt, ...)
{
    va_list  args;

    if (!broken) {
        return;
    }

    sim->broken++;

    printf("BROKEN: ");

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
}


static ngx_int_t
sim_sign(void *data, ngx_str_t *digest, u_char *signature, size_t *len)
{
    (void) data;
    (void) digest;

    *len = 8;
    ngx_memcpy(signature, "\x30\x06\x02\x01\x01\x02\x01\x01", 8);

    return NGX_OK;
}


static uint32_t
sim_same(void)
{
    return 0;
}


void
sim_random_seed(uint64_t seed)
{
    sim_seed = seed * 0x9e3779b97f4a7c15 + 1;
}


/* Steele, Lea, Flood: splitmix64 */

uint32_t
sim_random(void)
{
    uint64_t  z;

    sim_seed += 0x9e3779b97f4a7c15;

    z = sim_seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;

    return (z ^ (z >> 31)) >> 32;
}


void *
sim_alloc(size_t size)
{
    void  *p;

    p = calloc(1, size);

    if (p == NULL) {
        sim_bug("no memory");
    }

    return p;
}


static ngx_uint_t
sim_option(const char *text, ngx_uint_t max)
{
    ngx_int_t  n;

    n = ngx_atoi((u_char *) text, ngx_strlen(text));

    if (n <= 0 || (ngx_uint_t) n > max) {
        fprintf(stderr, "invalid value \"%s\"\n", text);
        exit(2);
    }

    return n;
}


static void
sim_bug(const char *what)
{
    printf("BROKEN: %s\n", what);
    exit(1);
}
