
#include "ngx_autocert_driver.h"
#include "ngx_autocert_choice.h"
#include "ngx_autocert_client.h"
#include "ngx_autocert_control.h"
#include "ngx_autocert_diagnosis.h"
#include "ngx_autocert_facts.h"
#include "ngx_autocert_issuer.h"
#include "ngx_autocert_plan.h"
#include "ngx_autocert_solver.h"
#include "ngx_autocert_sweep.h"
#include "../keys/ngx_autocert_signer.h"


/*
 * When to look for the first time at what the CA was asked to do, in ms: it is
 * learnt how soon that is of use.  Each look in vain is a request, and another
 * second.
 */
#define NGX_AUTOCERT_DRIVER_BRIEF      250
#define NGX_AUTOCERT_DRIVER_BRIEF_MIN  20
#define NGX_AUTOCERT_DRIVER_BRIEF_MAX  1000


typedef struct {
    ngx_autocert_helper_t         *helper;
    ngx_autocert_client_t         *client;
    ngx_autocert_driver_done_pt    done;
    ngx_event_t                    timer;
    ngx_log_t                      log;

    /* of this CA's: how long the first look waits, and was once too soon */
    ngx_msec_t                     brief;
    ngx_msec_t                     least;
    ngx_uint_t                     looking;     /* the step; 0: no first look */

    /* what is under way; pool NULL: nothing */
    ngx_pool_t                    *pool;
    ngx_uint_t                     index;
    ngx_autocert_name_t           *name;
    ngx_autocert_issuer_t         *issuer;
    ngx_autocert_state_t           state;
    ngx_autocert_choice_t          choice;
    ngx_autocert_order_t           order;
    ngx_autocert_flow_t            flow;
    EVP_PKEY                      *key;
    ngx_autocert_jose_key_t        own;         /* key, for a revocation */
    ngx_autocert_revocation_t      revocation;
    u_char                         id[NGX_AUTOCERT_KEY_ID];     /* of key */
    ngx_str_t                      counted;     /* URL of the order */
    char                          *step;        /* logged last */
    unsigned                       anew:1;      /* the order of before is
                                                   lost, another is made */

    /* the token of another process's order */
    size_t                         len;
    u_char                         followed[128];
} ngx_autocert_driver_t;


static ngx_int_t ngx_autocert_driver_pending(ngx_autocert_driver_t *d,
    ngx_autocert_board_challenge_t *challenge);
static ngx_int_t ngx_autocert_driver_begin(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_driver_certificate(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_driver_order(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_driver_again(ngx_autocert_driver_t *d);
static void ngx_autocert_driver_run(ngx_autocert_driver_t *d);
static void ngx_autocert_driver_step(ngx_autocert_driver_t *d);
static void ngx_autocert_driver_learn(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action);
static void ngx_autocert_driver_wait(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action);
static void ngx_autocert_driver_solve(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action);
static ngx_int_t ngx_autocert_driver_publish(ngx_autocert_driver_t *d,
    ngx_str_t *token, ngx_str_t *key_authorization,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_driver_note(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail);
static void ngx_autocert_driver_save(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action);
static void ngx_autocert_driver_key(ngx_autocert_driver_t *d);
static ngx_int_t ngx_autocert_driver_csr(ngx_autocert_driver_t *d,
    ngx_str_t *csr);
static ngx_int_t ngx_autocert_driver_new_key(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_driver_promise(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_driver_count(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail);
static void ngx_autocert_driver_uncount(ngx_autocert_driver_t *d);
static void ngx_autocert_driver_install(ngx_autocert_driver_t *d);
static ngx_int_t ngx_autocert_driver_check(ngx_autocert_driver_t *d,
    ngx_autocert_chain_t **chain, ngx_autocert_fail_t *fail);
static void ngx_autocert_driver_failed(ngx_autocert_driver_t *d);
static void ngx_autocert_driver_other(ngx_autocert_driver_t *d);
static ngx_uint_t ngx_autocert_driver_unproved(ngx_autocert_driver_t *d);
static void ngx_autocert_driver_diagnosed(void *data, ngx_str_t *cause);
static void ngx_autocert_driver_end(ngx_autocert_driver_t *d,
    ngx_autocert_chain_t *chain, ngx_autocert_fail_t *fail);
static void ngx_autocert_driver_free(ngx_autocert_driver_t *d);
static void ngx_autocert_driver_response(void *data,
    ngx_autocert_response_t *response, ngx_autocert_fail_t *fail);
static void ngx_autocert_driver_timer_handler(ngx_event_t *ev);
static u_char *ngx_autocert_driver_log_handler(ngx_log_t *log, u_char *buf,
    size_t len);


static ngx_autocert_driver_t  ngx_autocert_driver;

static ngx_str_t  ngx_autocert_driver_challenge =
    ngx_string(NGX_AUTOCERT_STORE_CHALLENGE);


ngx_int_t
ngx_autocert_driver_init(ngx_autocert_helper_t *helper,
    ngx_autocert_driver_done_pt done)
{
    ngx_autocert_driver_t  *d = &ngx_autocert_driver;

    d->helper = helper;
    d->done = done;
    d->brief = NGX_AUTOCERT_DRIVER_BRIEF;
    d->least = NGX_AUTOCERT_DRIVER_BRIEF_MIN;
    d->client = ngx_autocert_client_create(helper);

    if (d->client == NULL) {
        return NGX_ERROR;
    }

    d->log = *helper->log;
    d->log.handler = ngx_autocert_driver_log_handler;
    d->log.data = d;

    ngx_autocert_timer(&d->timer, helper->log,
                       ngx_autocert_driver_timer_handler);

    return NGX_OK;
}


void
ngx_autocert_driver_start(ngx_uint_t goal, ngx_uint_t index,
    ngx_str_t *certid)
{
    ngx_autocert_fail_t     fail;
    ngx_autocert_driver_t  *d = &ngx_autocert_driver;

    d->index = index;
    d->name = d->helper->acf->names.elts;
    d->name += index;
    d->step = NULL;
    d->log.action = NULL;
    d->key = NULL;
    d->anew = 0;
    d->flow.goal = goal;
    ngx_str_null(&d->counted);

    ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));
    fail.kind = NGX_AUTOCERT_FAIL_INTERNAL;
    ngx_str_set(&fail.why, "no memory");

    ngx_memzero(&d->order, sizeof(ngx_autocert_order_t));
    d->order.name = d->name->name;
    d->order.certid = *certid;

    d->pool = ngx_create_pool(8192, d->helper->log);

    if (d->pool == NULL || ngx_autocert_driver_begin(d, &fail) != NGX_OK) {
        ngx_autocert_driver_end(d, NULL, &fail);
        return;
    }

    ngx_autocert_driver_run(d);
}


void
ngx_autocert_driver_revoke(ngx_uint_t index, ngx_uint_t reason)
{
    ngx_str_t               none;
    ngx_autocert_driver_t  *d = &ngx_autocert_driver;

    ngx_memzero(&d->revocation, sizeof(ngx_autocert_revocation_t));
    d->revocation.reason = reason;
    d->revocation.key = &d->own;

    ngx_str_null(&none);
    ngx_autocert_driver_start(NGX_AUTOCERT_GOAL_REVOCATION, index, &none);
}


static ngx_int_t
ngx_autocert_driver_begin(ngx_autocert_driver_t *d, ngx_autocert_fail_t *fail)
{
    ngx_uint_t  goal;

    goal = d->flow.goal;

    d->issuer = ngx_autocert_issuer(d->helper, d->pool, fail);

    if (d->issuer == NULL) {
        return NGX_ERROR;
    }

    if (goal == NGX_AUTOCERT_GOAL_CERTIFICATE
        && ngx_autocert_driver_order(d, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (goal == NGX_AUTOCERT_GOAL_REVOCATION
        && ngx_autocert_driver_certificate(d, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_autocert_flow_init(&d->flow, d->pool, d->issuer, &d->order, goal);
    d->flow.revocation = &d->revocation;

    if (goal == NGX_AUTOCERT_GOAL_CERTIFICATE) {
        ngx_log_error(NGX_LOG_INFO, d->helper->log, 0,
                      "autocert: %s the order for \"%V\" by %V (%s), CA: %V",
                      d->order.url.len ? "going on with" : "beginning",
                      &d->name->name, &d->order.challenge, d->choice.why,
                      &d->helper->acf->ca);
    }

    return NGX_OK;
}


/* What is to be revoked, and its key. */

static ngx_int_t
ngx_autocert_driver_certificate(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail)
{
    int                   len;
    u_char               *p;
    ngx_int_t             rc;
    ngx_autocert_pair_t   pair;

    rc = ngx_autocert_store_load(&d->helper->store, d->pool, &d->name->name,
                                 &pair, fail);

    if (rc == NGX_DECLINED) {
        return ngx_autocert_fail(fail, d->pool, NGX_AUTOCERT_FAIL_REFUSED,
                                 "there is no certificate of it");
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    len = i2d_X509(sk_X509_value(pair.chain->certs, 0), NULL);
    p = (len > 0) ? ngx_pnalloc(d->pool, len) : NULL;
    d->revocation.certificate.data = p;
    d->revocation.certificate.len = len;

    if (p) {
        (void) i2d_X509(sk_X509_value(pair.chain->certs, 0), &p);
    }

    ngx_memcpy(d->id, pair.chain->id, NGX_AUTOCERT_KEY_ID);
    ngx_autocert_x509_chain_free(pair.chain);

    d->key = pair.key;
    d->own.sign = ngx_autocert_signer_sign;
    d->own.data = ngx_autocert_signer_create(d->key);

    if (p == NULL || d->own.data == NULL
        || ngx_autocert_jose_public(d->pool, d->key, &d->own) != NGX_OK)
    {
        return ngx_autocert_fail(fail, d->pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "no memory");
    }

    return NGX_OK;
}


/* One of before is gone on with, by the challenge that it was begun with. */

static ngx_int_t
ngx_autocert_driver_order(ngx_autocert_driver_t *d, ngx_autocert_fail_t *fail)
{
    ngx_autocert_conf_t  *acf;

    acf = d->helper->acf;

    /* a damaged state is one that knows of no order */

    if (ngx_autocert_store_state_get(&d->helper->store, d->pool,
                                     &d->name->name, &d->state, fail)
        == NGX_ERROR
        && !fail->damaged)
    {
        return NGX_ERROR;
    }

    /* RFC 9773, 5: a certificate of this account alone can be replaced */

    if (d->state.account.len != d->issuer->kid.len
        || ngx_memcmp(d->state.account.data, d->issuer->kid.data,
                      d->issuer->kid.len)
           != 0)
    {
        d->order.certid.len = 0;
    }

    ngx_autocert_choice(acf, d->name,
                        ngx_autocert_solver_type(&d->state.challenge),
                        d->state.failures, &d->choice);
    ngx_autocert_solver_name(d->choice.type, &d->order.challenge);

    if (d->state.ca.len == acf->ca.len
        && ngx_strncmp(d->state.ca.data, acf->ca.data, acf->ca.len) == 0)
    {
        d->order.url = d->state.order;
    }

    if (d->order.url.len && ngx_autocert_driver_again(d) == NGX_OK) {
        return NGX_OK;
    }

    ngx_autocert_solver_unpublish(d->helper);

    if (d->order.url.len == 0) {
        ngx_autocert_store_next_drop(&d->helper->store, &d->name->name);
    }

    return NGX_OK;
}


/*
 * The CA may be about to ask, and the board may be a new one: its question is
 * answerable before anything is asked of the CA.
 */

static ngx_int_t
ngx_autocert_driver_again(ngx_autocert_driver_t *d)
{
    ngx_str_t            ka;
    ngx_uint_t           type;
    ngx_autocert_fail_t  ignored;

    type = ngx_autocert_solver_type(&d->state.challenge);

    if (d->state.token.len == 0 || type != d->choice.type) {
        return NGX_DECLINED;
    }

    if (ngx_autocert_jose_key_authorization(d->pool, &d->issuer->key,
                                            &d->state.token, &ka)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_autocert_driver_publish(d, &d->state.token, &ka, &ignored);
}


void
ngx_autocert_driver_follow(void)
{
    ngx_str_t                       token;
    ngx_autocert_driver_t          *d = &ngx_autocert_driver;
    ngx_autocert_board_challenge_t  challenge;

    d->pool = ngx_create_pool(4096, d->helper->log);
    if (d->pool == NULL) {
        return;
    }

    token.data = d->followed;
    token.len = d->len;

    if (ngx_autocert_driver_pending(d, &challenge) != NGX_OK) {

        if (d->len) {
            d->len = 0;
            ngx_autocert_solver_unpublish(d->helper);
        }

    } else if (challenge.token.len != token.len
               || ngx_memcmp(challenge.token.data, token.data, token.len) != 0)
    {
        d->len = challenge.token.len;
        ngx_memcpy(d->followed, challenge.token.data, d->len);

        ngx_autocert_solver_follow(d->helper, d->pool, &challenge);
    }

    ngx_destroy_pool(d->pool);
    d->pool = NULL;
}


/* What the store says of it. */

static ngx_int_t
ngx_autocert_driver_pending(ngx_autocert_driver_t *d,
    ngx_autocert_board_challenge_t *challenge)
{
    ngx_uint_t             index;
    ngx_autocert_conf_t   *acf;
    ngx_autocert_fail_t    fail;
    ngx_autocert_name_t   *name;
    ngx_autocert_state_t   state;

    acf = d->helper->acf;

    (void) ngx_autocert_store_state_get(&d->helper->store, d->pool,
                                        &ngx_autocert_driver_challenge,
                                        &state, &fail);

    if (ngx_autocert_find_name(acf, &state.name, &index) != NGX_OK) {
        return NGX_DECLINED;
    }

    name = acf->names.elts;
    challenge->host = name[index].name;

    (void) ngx_autocert_store_state_get(&d->helper->store, d->pool,
                                        &challenge->host, &state, &fail);

    challenge->type = ngx_autocert_solver_type(&state.challenge);
    challenge->token = state.token;

    if (state.order.len == 0 || state.token.len == 0 || challenge->type == 0
        || state.token.len > sizeof(d->followed)
        || state.ca.len != acf->ca.len
        || ngx_memcmp(state.ca.data, acf->ca.data, acf->ca.len) != 0)
    {
        return NGX_DECLINED;
    }

    d->issuer = ngx_autocert_issuer(d->helper, d->pool, &fail);

    if (d->issuer == NULL) {
        return NGX_DECLINED;
    }

    return ngx_autocert_jose_key_authorization(d->pool, &d->issuer->key,
                                               &state.token,
                                               &challenge->value);
}


void
ngx_autocert_driver_leave(void)
{
    ngx_autocert_driver_t  *d = &ngx_autocert_driver;

    if (d->client) {
        ngx_autocert_client_cancel(d->client);
        ngx_autocert_diagnosis_cancel();
    }

    if (d->pool) {
        ngx_autocert_driver_free(d);
    }
}


static void
ngx_autocert_driver_run(ngx_autocert_driver_t *d)
{
    ngx_autocert_action_t  action;

    for ( ;; ) {
        ngx_autocert_flow_next(&d->flow, ngx_time(), &action);
        ngx_autocert_driver_learn(d, &action);

        switch (action.type) {

        case NGX_AUTOCERT_FLOW_SEND:
            ngx_autocert_driver_step(d);
            ngx_autocert_client_send(d->client, d->pool, &action.request,
                                     ngx_autocert_driver_response, d);
            return;

        case NGX_AUTOCERT_FLOW_WAIT:
            ngx_autocert_driver_wait(d, &action);
            return;

        case NGX_AUTOCERT_FLOW_SOLVE:
            ngx_autocert_driver_solve(d, &action);
            break;

        case NGX_AUTOCERT_FLOW_KEY:
            ngx_autocert_driver_key(d);
            break;

        case NGX_AUTOCERT_FLOW_SAVE:
            ngx_autocert_driver_save(d, &action);
            break;

        case NGX_AUTOCERT_FLOW_DONE:

            if (d->flow.goal == NGX_AUTOCERT_GOAL_CERTIFICATE) {
                ngx_autocert_driver_install(d);

            } else {
                ngx_autocert_driver_end(d, NULL, NULL);
            }

            return;

        default: /* NGX_AUTOCERT_FLOW_FAILED */
            ngx_autocert_driver_failed(d);
            return;
        }
    }
}


/* One line for each step of what is to be told, however often repeated. */

static void
ngx_autocert_driver_step(ngx_autocert_driver_t *d)
{
    char  *step;

    step = ngx_autocert_flow_name(&d->flow);

    if (step == d->step) {
        return;
    }

    d->step = step;
    d->log.action = step;

    if (d->flow.goal != NGX_AUTOCERT_GOAL_CERTIFICATE
        && d->flow.goal != NGX_AUTOCERT_GOAL_REVOCATION)
    {
        return;
    }

    ngx_autocert_control_step(d->index, step);

    ngx_log_error(NGX_LOG_INFO, d->helper->log, 0,
                  "autocert: %s, name: %V, CA: %V", step, &d->name->name,
                  &d->helper->acf->ca);
}


/* The first look was in time if another step follows, and not another wait. */

static void
ngx_autocert_driver_learn(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action)
{
    if (d->looking && d->flow.step != d->looking) {
        d->brief = ngx_max(d->brief / 2, d->least);
        d->looking = 0;
    }

    if (action->type != NGX_AUTOCERT_FLOW_WAIT) {
        return;
    }

    if (d->looking && d->flow.status == 200) {
        d->brief = ngx_min(d->brief * 2, NGX_AUTOCERT_DRIVER_BRIEF_MAX);
        d->least = d->brief;
    }

    d->looking = action->brief ? d->flow.step : 0;
}


static void
ngx_autocert_driver_wait(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action)
{
    time_t  delay;

    if (action->brief) {
        ngx_add_timer(&d->timer, d->brief);
        return;
    }

    delay = action->until - ngx_time();
    delay = ngx_max(delay, 0);
    delay = ngx_min(delay, 24 * 60 * 60);

    ngx_add_timer(&d->timer, (ngx_msec_t) delay * 1000 + 1);
}


static void
ngx_autocert_driver_solve(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action)
{
    ngx_autocert_fail_t  fail;

    if (!action->publish) {

        /* there is a look to come: driver_end() takes it away */

        if (!ngx_autocert_driver_unproved(d)) {
            ngx_autocert_solver_unpublish(d->helper);
        }

        return;
    }

    if (ngx_autocert_driver_publish(d, &action->token,
                                    &action->key_authorization, &fail)
        != NGX_OK)
    {
        ngx_autocert_flow_lost(&d->flow, ngx_time(), &fail);
    }
}


static ngx_int_t
ngx_autocert_driver_publish(ngx_autocert_driver_t *d, ngx_str_t *token,
    ngx_str_t *key_authorization, ngx_autocert_fail_t *fail)
{
    ngx_autocert_board_challenge_t  challenge;

    challenge.type = d->choice.type;
    challenge.host = d->name->name;
    challenge.token = *token;
    challenge.value = *key_authorization;

    if (ngx_autocert_solver_publish(d->helper, d->pool, &challenge, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* for who goes on with the order after us, or beside us in an upgrade */

    d->state.challenge = d->order.challenge;
    d->state.token = *token;

    if (ngx_autocert_store_state_put(&d->helper->store, d->pool,
                                     &d->name->name, &d->state, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_autocert_driver_note(d, fail);
}


/* Which name it is: however many there are, it is found at once. */

static ngx_int_t
ngx_autocert_driver_note(ngx_autocert_driver_t *d, ngx_autocert_fail_t *fail)
{
    ngx_autocert_state_t  state;

    ngx_memzero(&state, sizeof(ngx_autocert_state_t));
    state.name = d->name->name;

    return ngx_autocert_store_state_put(&d->helper->store, d->pool,
                                        &ngx_autocert_driver_challenge,
                                        &state, fail);
}


static void
ngx_autocert_driver_save(ngx_autocert_driver_t *d,
    ngx_autocert_action_t *action)
{
    ngx_int_t            rc;
    ngx_autocert_fail_t  fail;

    rc = NGX_OK;

    if (action->account) {
        rc = ngx_autocert_issuer_save(d->helper, d->pool, &fail);
    }

    if (rc == NGX_OK && action->order) {
        d->state.ca = d->helper->acf->ca;
        d->state.order = d->order.url;

        if (d->order.url.len == 0) {
            ngx_str_null(&d->state.token);
            d->anew |= (d->flow.end == 0);
        }

        rc = ngx_autocert_store_state_put(&d->helper->store, d->pool,
                                          &d->name->name, &d->state, &fail);
    }

    if (rc != NGX_OK) {
        ngx_autocert_flow_lost(&d->flow, ngx_time(), &fail);
    }
}


/*
 * The key is on disk and known for ours, and the certificate counted, before
 * the CA is asked for it.
 */

static void
ngx_autocert_driver_key(ngx_autocert_driver_t *d)
{
    ngx_str_t            csr;
    ngx_autocert_fail_t  fail;

    /* of an order that was resumed the flow does not know each token */

    ngx_autocert_solver_unpublish(d->helper);

    if (ngx_autocert_driver_new_key(d, &fail) != NGX_OK
        || ngx_autocert_driver_promise(d, &fail) != NGX_OK
        || ngx_autocert_driver_count(d, &fail) != NGX_OK)
    {
        ngx_autocert_flow_lost(&d->flow, ngx_time(), &fail);
        return;
    }

    if (ngx_autocert_driver_csr(d, &csr) != NGX_OK) {
        (void) ngx_autocert_fail(&fail, d->pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "the CSR could not be made");
        ngx_autocert_flow_lost(&d->flow, ngx_time(), &fail);
        return;
    }

    ngx_autocert_flow_key(&d->flow, &csr);
}


static ngx_int_t
ngx_autocert_driver_csr(ngx_autocert_driver_t *d, ngx_str_t *csr)
{
    ngx_int_t               rc;
    ngx_autocert_signer_t  *signer;

    signer = ngx_autocert_signer_create(d->key);
    if (signer == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_autocert_x509_csr(d->pool, d->key, ngx_autocert_signer_sign,
                               signer, &d->name->name, csr);

    ngx_autocert_signer_free(signer);

    return rc;
}


static ngx_int_t
ngx_autocert_driver_new_key(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail)
{
    ngx_int_t  rc;

    EVP_PKEY_free(d->key);
    d->key = NULL;

    /* of an order that is gone on with; its curve may be one of before */

    rc = ngx_autocert_store_next_get(&d->helper->store, d->pool,
                                     &d->name->name, &d->key, fail);

    if (rc == NGX_ERROR && !fail->damaged) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {

        if (d->flow.step != NGX_AUTOCERT_STEP_FINALIZE
            || ngx_autocert_key_curve(d->key) == d->name->curve)
        {
            return NGX_OK;
        }

        EVP_PKEY_free(d->key);
    }

    d->key = ngx_autocert_key_create(d->name->curve);

    if (d->key == NULL) {
        return ngx_autocert_fail(fail, d->pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "the key could not be made");
    }

    return ngx_autocert_store_next_put(&d->helper->store, d->pool,
                                       &d->name->name, d->key, fail);
}


static ngx_int_t
ngx_autocert_driver_promise(ngx_autocert_driver_t *d,
    ngx_autocert_fail_t *fail)
{
    u_char     id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t  rc;

    rc = ngx_autocert_key_id(d->key, id);

    if (rc == NGX_OK) {
        rc = ngx_autocert_plan_promise(&d->state, id, &d->issuer->kid,
                                       d->pool);
    }

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return ngx_autocert_fail(fail, d->pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "no memory");
    }

    return ngx_autocert_store_state_put(&d->helper->store, d->pool,
                                        &d->name->name, &d->state, fail);
}


/* What is damaged is begun anew: the CA has limits of its own. */

static ngx_int_t
ngx_autocert_driver_count(ngx_autocert_driver_t *d, ngx_autocert_fail_t *fail)
{
    ngx_str_t               *url;
    ngx_autocert_issued_t    issued;
    ngx_autocert_helper_t   *helper;

    helper = d->helper;
    url = &d->order.url;

    if (ngx_autocert_store_issued_get(&helper->store, d->pool,
                                      &helper->acf->ca, &d->name->name,
                                      &issued, fail)
        == NGX_ERROR
        && !fail->damaged)
    {
        return NGX_ERROR;
    }

    d->counted = *url;

    if (d->flow.step != NGX_AUTOCERT_STEP_FINALIZE
        || (issued.order.len == url->len
            && ngx_memcmp(issued.order.data, url->data, url->len) == 0))
    {
        return NGX_OK;
    }

    /* it may have been made in place of one that was counted */

    if (ngx_autocert_plan_afford(&issued, ngx_time(), d->pool, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_autocert_plan_count(&issued, ngx_time(), url);

    return ngx_autocert_store_issued_put(&helper->store, d->pool,
                                         &helper->acf->ca, &d->name->name,
                                         &issued, fail);
}


/* The order has ended before a certificate was there. */

static void
ngx_autocert_driver_uncount(ngx_autocert_driver_t *d)
{
    ngx_autocert_fail_t     ignored;
    ngx_autocert_issued_t   issued;
    ngx_autocert_helper_t  *helper;

    helper = d->helper;

    if (d->counted.len == 0 || d->order.url.len
        || d->flow.step >= NGX_AUTOCERT_STEP_CERTIFICATE
        || ngx_autocert_store_issued_get(&helper->store, d->pool,
                                         &helper->acf->ca, &d->name->name,
                                         &issued, &ignored)
           != NGX_OK)
    {
        return;
    }

    ngx_autocert_plan_uncount(&issued, &d->counted);

    (void) ngx_autocert_store_issued_put(&helper->store, d->pool,
                                         &helper->acf->ca, &d->name->name,
                                         &issued, &ignored);
}


static void
ngx_autocert_driver_install(ngx_autocert_driver_t *d)
{
    ngx_autocert_fail_t    fail, ignored;
    ngx_autocert_pair_t    pair;
    ngx_autocert_chain_t  *chain, facts;

    if (ngx_autocert_driver_check(d, &chain, &fail) != NGX_OK) {

        /* nothing more can come of this order */

        ngx_str_null(&d->state.order);
        (void) ngx_autocert_store_state_put(&d->helper->store, d->pool,
                                            &d->name->name, &d->state,
                                            &ignored);
        ngx_autocert_store_next_drop(&d->helper->store, &d->name->name);
        ngx_autocert_driver_end(d, NULL, &fail);
        return;
    }

    if (ngx_autocert_store_commit(&d->helper->store, d->pool, &d->name->name,
                                  &d->order.chain, &fail)
        != NGX_OK)
    {
        ngx_autocert_x509_chain_free(chain);
        ngx_autocert_driver_end(d, NULL, &fail);
        return;
    }

    ngx_autocert_sweep_own(d->index);

    facts = *chain;
    facts.certs = NULL;

    pair.chain = chain;
    pair.key = d->key;
    d->key = NULL;

    if (ngx_autocert_helper_install(d->helper, d->index, &pair) != NGX_OK) {
        (void) ngx_autocert_fail(&fail, d->pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "no memory to serve the new certificate");
        ngx_autocert_driver_end(d, NULL, &fail);
        return;
    }

    ngx_autocert_driver_end(d, &facts, NULL);
}


/* What the CA gave is a chain for this key and this name, or is not used. */

static ngx_int_t
ngx_autocert_driver_check(ngx_autocert_driver_t *d,
    ngx_autocert_chain_t **chain, ngx_autocert_fail_t *fail)
{
    char  *err;

    *chain = ngx_autocert_x509_chain_parse(&d->order.chain, &err);

    if (*chain
        && ngx_autocert_x509_chain_check(*chain, d->key, &d->name->name,
                                         ngx_time(), &err)
           == NGX_OK)
    {
        return NGX_OK;
    }

    ngx_autocert_x509_chain_free(*chain);

    return ngx_autocert_fail(fail, d->pool, NGX_AUTOCERT_FAIL_REFUSED,
                             "the CA gave a certificate that can't be used: "
                             "%s", err);
}


/*
 * What the CA could not validate is looked at, and tried the other way next
 * time, as is what it does not offer.
 */

static void
ngx_autocert_driver_failed(ngx_autocert_driver_t *d)
{
    ngx_autocert_board_challenge_t  challenge;

    if (d->flow.missing) {
        ngx_autocert_driver_other(d);
    }

    if (!ngx_autocert_driver_unproved(d)) {
        ngx_autocert_driver_end(d, NULL, &d->flow.fail);
        return;
    }

    ngx_autocert_driver_other(d);

    challenge.type = d->choice.type;
    challenge.host = d->name->name;
    challenge.token = d->flow.token;
    challenge.value = d->flow.key_authorization;

    ngx_autocert_diagnosis_start(d->helper, d->pool, &challenge,
                                 ngx_autocert_driver_diagnosed, d);
}


static void
ngx_autocert_driver_other(ngx_autocert_driver_t *d)
{
    ngx_uint_t           type;
    ngx_autocert_fail_t  ignored;

    type = ngx_autocert_choice_other(d->helper->acf, d->name,
                                     d->choice.type);

    if (type != d->choice.type) {
        ngx_autocert_solver_name(type, &d->state.challenge);
        ngx_str_null(&d->state.token);

        (void) ngx_autocert_store_state_put(&d->helper->store, d->pool,
                                            &d->name->name, &d->state,
                                            &ignored);
    }
}


/* Has the CA asked, and not been content with what it saw? */

static ngx_uint_t
ngx_autocert_driver_unproved(ngx_autocert_driver_t *d)
{
    return d->flow.end == NGX_AUTOCERT_FLOW_FAILED
           && d->flow.fail.kind == NGX_AUTOCERT_FAIL_REFUSED
           && !d->flow.fail.lasting
           && !d->flow.missing
           && d->flow.token.len
           && ngx_autocert_flow_validating(&d->flow);
}


static void
ngx_autocert_driver_diagnosed(void *data, ngx_str_t *cause)
{
    ngx_autocert_driver_t  *d = data;

    d->flow.fail.cause = *cause;

    ngx_autocert_driver_end(d, NULL, &d->flow.fail);
}


static void
ngx_autocert_driver_end(ngx_autocert_driver_t *d, ngx_autocert_chain_t *chain,
    ngx_autocert_fail_t *fail)
{
    ngx_pool_t               *pool;
    ngx_autocert_outcome_t    outcome;

    outcome.goal = d->flow.goal;
    outcome.index = d->index;
    outcome.chain = chain;
    outcome.window = &d->flow.window;
    outcome.account = d->issuer ? &d->issuer->kid : NULL;
    outcome.id = d->id;
    outcome.fail = fail;
    outcome.log = &d->log;
    outcome.anew = d->anew;
    outcome.already = d->revocation.already;

    pool = d->pool;

    if (pool && d->flow.goal == NGX_AUTOCERT_GOAL_CERTIFICATE) {
        ngx_autocert_solver_unpublish(d->helper);
        ngx_autocert_driver_uncount(d);
    }

    /* what it points to may live in the pool */

    d->pool = NULL;
    d->done(&outcome);

    d->pool = pool;
    ngx_autocert_driver_free(d);
}


static void
ngx_autocert_driver_free(ngx_autocert_driver_t *d)
{
    if (d->timer.timer_set) {
        ngx_del_timer(&d->timer);
    }

    d->looking = 0;

    EVP_PKEY_free(d->key);
    d->key = NULL;

    ngx_autocert_signer_free(d->own.data);
    d->own.data = NULL;

    if (d->pool) {
        ngx_destroy_pool(d->pool);
        d->pool = NULL;
    }
}


static void
ngx_autocert_driver_response(void *data, ngx_autocert_response_t *response,
    ngx_autocert_fail_t *fail)
{
    ngx_autocert_driver_t  *d = data;

    ngx_autocert_facts_heard(response != NULL);

    if (response) {
        ngx_autocert_flow_took(&d->flow, ngx_time(), response);

    } else {
        ngx_autocert_flow_lost(&d->flow, ngx_time(), fail);
    }

    ngx_autocert_driver_run(d);
}


static void
ngx_autocert_driver_timer_handler(ngx_event_t *ev)
{
    (void) ev;

    ngx_autocert_driver_run(&ngx_autocert_driver);
}


static u_char *
ngx_autocert_driver_log_handler(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_autocert_driver_t  *d = log->data;

    if (log->action == NULL) {
        return buf;
    }

    return ngx_snprintf(buf, len, " while %s, name: %V, CA: %V", log->action,
                        &d->name->name, &d->helper->acf->ca);
}
