
#include "ngx_autocert_schedule.h"
#include "ngx_autocert_choice.h"
#include "ngx_autocert_control.h"
#include "ngx_autocert_driver.h"
#include "ngx_autocert_facts.h"
#include "ngx_autocert_issuer.h"
#include "ngx_autocert_plan.h"
#include "ngx_autocert_sweep.h"

#include <openssl/rand.h>


#define NGX_AUTOCERT_SCHEDULE_LOCK      500     /* ms between two tries */
#define NGX_AUTOCERT_SCHEDULE_LOOK      60000   /* ms; clocks are set */
#define NGX_AUTOCERT_SCHEDULE_BUDGET    (50 * 24 * 60 * 60)
#define NGX_AUTOCERT_SCHEDULE_DETAIL    400     /* bytes of it at least */
#define NGX_AUTOCERT_SCHEDULE_WORDS     300     /* of NGINX's and our own */
#define NGX_AUTOCERT_SCHEDULE_TELL      86400   /* s; again, as loudly */
#define NGX_AUTOCERT_SCHEDULE_DATE      24      /* bytes of a printed one */


/* What is under way; what the plan says is carried out here. */

typedef struct {
    ngx_autocert_helper_t    *helper;
    ngx_autocert_plan_t       plan;
    ngx_uint_t                goal;     /* if busy */
    ngx_uint_t                index;    /* of the name that it is for */
    ngx_autocert_chain_t      chain;    /* of it; without its certs */
    ngx_autocert_fail_told_t  failure;  /* of the CA */
    ngx_autocert_fail_told_t  unlocked; /* that the lock can't be had */
    ngx_event_t               event;
    ngx_uint_t                revoked;  /* index of the name ... */
    ngx_uint_t                reason;
    unsigned                  revoke:1; /* ... whose certificate is to be */
    unsigned                  ready:1;
    unsigned                  busy:1;
    unsigned                  told:1;   /* that another has the lock */
    unsigned                  reload:1; /* the first helper of its cycle */
} ngx_autocert_schedule_t;


static void ngx_autocert_schedule_leave(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_answer(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_found(ngx_uint_t index,
    ngx_autocert_chain_t *chain);
static void ngx_autocert_schedule_budget(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_state_t *state, ngx_pool_t *pool);
static void ngx_autocert_schedule_ready(void);
static void ngx_autocert_schedule_reach(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_unreached(ngx_autocert_schedule_t *s,
    ngx_autocert_name_t *name, ngx_uint_t n);
static void ngx_autocert_schedule_handler(ngx_event_t *ev);
static ngx_int_t ngx_autocert_schedule_lock(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_complete(ngx_autocert_schedule_t *s);
static ngx_int_t ngx_autocert_schedule_remember(ngx_autocert_schedule_t *s,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);
static void ngx_autocert_schedule_clock(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_next(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_moved(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_wait(ngx_autocert_schedule_t *s,
    time_t until);
static void ngx_autocert_schedule_kept(ngx_autocert_schedule_t *s,
    time_t until);
static void ngx_autocert_schedule_left(ngx_autocert_schedule_t *s,
    ngx_autocert_plan_next_t *next);
static void ngx_autocert_schedule_told(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_uint_t goal, char *why);
static void ngx_autocert_schedule_begin(ngx_autocert_schedule_t *s,
    ngx_autocert_plan_next_t *next, ngx_pool_t *pool);
static ngx_int_t ngx_autocert_schedule_look(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_pool_t *pool, ngx_autocert_state_t *state);
static void ngx_autocert_schedule_later(ngx_autocert_schedule_t *s,
    ngx_uint_t index);
static void ngx_autocert_schedule_unread(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_schedule_order(ngx_autocert_schedule_t *s,
    ngx_pool_t *pool, ngx_autocert_state_t *state);
static void ngx_autocert_schedule_done(ngx_autocert_outcome_t *outcome);
static void ngx_autocert_schedule_certificate(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_pool_t *pool);
static void ngx_autocert_schedule_issued(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_autocert_state_t *state,
    ngx_pool_t *pool);
static void ngx_autocert_schedule_failed(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_fail_t *fail,
    ngx_autocert_state_t *state, ngx_log_t *log);
static void ngx_autocert_schedule_refused(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_fail_t *fail,
    ngx_autocert_plan_failed_t *failed, ngx_log_t *log);
static size_t ngx_autocert_schedule_others(u_char *buf, size_t size,
    ngx_autocert_fail_t *fail, ngx_autocert_plan_failed_t *failed);
static ngx_uint_t ngx_autocert_schedule_level(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_fail_t *fail,
    ngx_autocert_plan_failed_t *failed);
static void ngx_autocert_schedule_window(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_pool_t *pool);
static void ngx_autocert_schedule_unseen(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, time_t look);
static void ngx_autocert_schedule_wanted(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_autocert_state_t *state,
    ngx_uint_t rc);
static void ngx_autocert_schedule_contacts(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome);
static void ngx_autocert_schedule_revocation(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_pool_t *pool);
static void ngx_autocert_schedule_put(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_state_t *state, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail);
static void ngx_autocert_schedule_put_issued(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_issued_t *issued, ngx_pool_t *pool);
static void ngx_autocert_schedule_put_ca(ngx_autocert_schedule_t *s,
    ngx_autocert_fail_t *fail, ngx_pool_t *pool);
static char *ngx_autocert_schedule_detail(ngx_autocert_schedule_t *s,
    ngx_autocert_fail_t *fail, size_t rest, ngx_str_t *detail);
static void ngx_autocert_schedule_date(ngx_str_t *date, u_char *buf,
    time_t t);
static uint32_t ngx_autocert_schedule_random(void);


static ngx_autocert_schedule_t  ngx_autocert_schedule;


ngx_int_t
ngx_autocert_schedule_start(ngx_autocert_helper_t *helper)
{
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    s->helper = helper;

    /*
     * By a person: not a restart, nor an upgrade, nor a helper that died,
     * be it long after the reload.
     */

    s->reload = (helper->acf->core->starts->at[1] == 0
                 && helper->acf->core->board.carried);

    s->plan.acf = helper->acf;
    s->plan.random = ngx_autocert_schedule_random;
    s->plan.names = ngx_pcalloc(helper->cycle->pool,
                                helper->acf->names.nelts
                                * sizeof(ngx_autocert_plan_name_t));

    if (s->plan.names == NULL
        || ngx_autocert_driver_init(helper, ngx_autocert_schedule_done)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_autocert_timer(&s->event, helper->log, ngx_autocert_schedule_handler);

    ngx_autocert_plan_init(&s->plan);
    ngx_autocert_schedule_reach(s);

    if (ngx_autocert_facts_start(helper, &s->plan) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, helper->log, 0,
                      "autocert: no memory for the status, which says "
                      "nothing");
    }

    ngx_autocert_schedule_answer(s);

    return ngx_autocert_sweep_start(helper, ngx_autocert_schedule_found,
                                    ngx_autocert_schedule_ready);
}


void
ngx_autocert_schedule_stop(void)
{
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    ngx_autocert_sweep_stop();
    ngx_autocert_control_stop();

    if (s->event.timer_set) {
        ngx_del_timer(&s->event);
    }

    ngx_autocert_schedule_leave(s);

    if (s->helper) {
        ngx_autocert_store_unlock(&s->helper->store);
    }
}


/* Whoever begins next goes on at once with what is left on purpose. */

static void
ngx_autocert_schedule_leave(ngx_autocert_schedule_t *s)
{
    ngx_pool_t            *pool;
    ngx_autocert_fail_t    ignored;
    ngx_autocert_name_t   *name;
    ngx_autocert_state_t   state;

    ngx_autocert_driver_leave();

    pool = NULL;

    if (s->busy && s->goal == NGX_AUTOCERT_GOAL_CERTIFICATE) {
        pool = ngx_create_pool(4096, s->helper->log);
    }

    s->busy = 0;

    if (pool == NULL) {
        return;
    }

    name = s->helper->acf->names.elts;
    name += s->index;

    if (ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                     &state, &ignored)
        == NGX_OK)
    {
        s->plan.names[s->index].order = (state.order.len != 0);

        ngx_autocert_plan_leave(&state);
        (void) ngx_autocert_store_state_put(&s->helper->store, pool,
                                            &name->name, &state, &ignored);
    }

    ngx_destroy_pool(pool);
}


/*
 * Before the pairs are looked at, of which there may be thousands: a worker
 * that finds no challenge on the board knows now that none is.
 */

static void
ngx_autocert_schedule_answer(ngx_autocert_schedule_t *s)
{
    ngx_autocert_board_t  *board;

    board = &s->helper->acf->core->board;

    if (board->carried || s->helper->store.fd == -1) {
        return;
    }

    ngx_autocert_driver_follow();
    ngx_autocert_board_ready(board);
}


/* A pair on disk: when is its name due? */

static void
ngx_autocert_schedule_found(ngx_uint_t index, ngx_autocert_chain_t *chain)
{
    ngx_int_t                 rc;
    ngx_pool_t               *pool;
    ngx_autocert_fail_t       fail;
    ngx_autocert_name_t      *name;
    ngx_autocert_state_t      state;
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    name = s->helper->acf->names.elts;
    name += index;

    pool = ngx_create_pool(4096, s->helper->log);
    if (pool == NULL) {
        return;
    }

    rc = ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                      &state, &fail);

    if (rc == NGX_ERROR && !fail.damaged) {
        ngx_autocert_schedule_unread(s, index, &fail);

    } else {
        if (rc == NGX_ERROR) {
            ngx_log_error(NGX_LOG_WARN, s->helper->log, 0,
                          "autocert: what is remembered of \"%V\" can't be "
                          "read and is begun anew: %V", &name->name,
                          &fail.why);
        }

        ngx_autocert_schedule_clock(s);
        ngx_autocert_plan_found(&s->plan, index, ngx_time(), chain, &state,
                                s->reload && !s->ready);
        ngx_autocert_facts_found(index, chain, &state);
        ngx_autocert_schedule_budget(s, index, &state, pool);
    }

    ngx_destroy_pool(pool);

    if (s->ready && !s->busy) {
        ngx_autocert_schedule_next(s);
    }
}


/* To be shown.  After so long it is whole, which takes no look at the disk. */

static void
ngx_autocert_schedule_budget(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_state_t *state, ngx_pool_t *pool)
{
    ngx_int_t               rc;
    ngx_autocert_fail_t     ignored;
    ngx_autocert_name_t    *name;
    ngx_autocert_issued_t   issued;

    name = s->helper->acf->names.elts;
    name += index;

    rc = NGX_OK;
    ngx_memzero(&issued, sizeof(ngx_autocert_issued_t));

    if (state->issued_at == 0
        || state->issued_at > ngx_time() - NGX_AUTOCERT_SCHEDULE_BUDGET)
    {
        rc = ngx_autocert_store_issued_get(&s->helper->store, pool,
                                           &s->helper->acf->ca, &name->name,
                                           &issued, &ignored);
    }

    if (rc != NGX_ERROR) {
        ngx_autocert_facts_issued(index, &issued);
    }
}


static void
ngx_autocert_schedule_ready(void)
{
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    s->ready = 1;

    ngx_autocert_schedule_handler(&s->event);

    /* where the store could not be opened at the start */

    ngx_autocert_board_ready(&s->helper->acf->core->board);
}


/* Where no listener can meet its challenge, nothing is asked of the CA. */

static void
ngx_autocert_schedule_reach(ngx_autocert_schedule_t *s)
{
    ngx_uint_t              i, n;
    ngx_autocert_name_t    *name, *first;
    ngx_autocert_choice_t   choice;

    name = s->helper->acf->names.elts;
    first = NULL;
    n = 0;

    for (i = 0; i < s->helper->acf->names.nelts; i++) {

        ngx_autocert_choice(s->helper->acf, &name[i], 0, 0, &choice);

        if (!name[i].bootstrap && choice.type) {
            continue;
        }

        s->plan.names[i].never = 1;

        if (!name[i].bootstrap && n++ == 0) {
            first = &name[i];
        }
    }

    if (n) {
        ngx_autocert_schedule_unreached(s, first, n);
    }
}


static void
ngx_autocert_schedule_unreached(ngx_autocert_schedule_t *s,
    ngx_autocert_name_t *name, ngx_uint_t n)
{
    u_char     more[sizeof(" and more") + NGX_INT_T_LEN];
    ngx_str_t  others;

    others.data = more;
    others.len = 0;

    if (n > 1) {
        others.len = ngx_sprintf(more, " and %ui more", n - 1) - more;
    }

    ngx_log_error(NGX_LOG_WARN, s->helper->log, 0,
                  "autocert: no certificate is ordered for \"%V\"%V: waiting "
                  "for a \"listen\" that can answer the CA's challenge, add "
                  "\"%s\" and reload", &name->name, &others,
                  name->challenge == NGX_AUTOCERT_CHALLENGE_TLS_ALPN
                      ? "listen 443 ssl;" : "listen 80;");
}


static void
ngx_autocert_schedule_handler(ngx_event_t *ev)
{
    ngx_int_t                 rc;
    ngx_uint_t                waiting;
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    waiting = (s->helper->store.lock == -1);

    rc = ngx_autocert_schedule_lock(s);

    /*
     * During an upgrade the order is that of the old master's helper, and the
     * CA asks the workers of both.
     */

    if (waiting) {
        ngx_autocert_driver_follow();
    }

    if (rc != NGX_OK) {
        ngx_add_timer(ev, NGX_AUTOCERT_SCHEDULE_LOCK);
        return;
    }

    ngx_autocert_schedule_next(s);
}


/* One client on this host: a helper before or beside us may still be it. */

static ngx_int_t
ngx_autocert_schedule_lock(ngx_autocert_schedule_t *s)
{
    ngx_int_t             rc;
    ngx_pool_t           *pool;
    ngx_autocert_fail_t   fail;

    if (s->helper->store.lock != -1) {
        return NGX_OK;
    }

    pool = ngx_create_pool(1024, s->helper->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_autocert_store_lock(&s->helper->store, pool, &fail);

    if (rc == NGX_OK) {
        rc = ngx_autocert_schedule_remember(s, pool, &fail);
    }

    if (rc == NGX_OK) {
        ngx_autocert_schedule_complete(s);
        ngx_autocert_control_start(s->helper);
    }

    if (rc == NGX_AGAIN && !s->told) {
        s->told = 1;
        ngx_log_error(NGX_LOG_INFO, s->helper->log, 0,
                      "autocert: another process renews the certificates in "
                      "\"%V\", waiting for it to leave",
                      &s->helper->acf->path);
    }

    if (rc == NGX_ERROR
        && ngx_autocert_fail_tell(&s->unlocked, &fail, ngx_time(),
                                  NGX_AUTOCERT_HELPER_TELL))
    {
        ngx_log_error(NGX_LOG_ERR, s->helper->log, 0,
                      "autocert: %V; no certificate is obtained until that "
                      "is mended", &fail.why);
    }

    ngx_destroy_pool(pool);

    return rc;
}


/* At the start the pairs were read without the lock. */

static void
ngx_autocert_schedule_complete(ngx_autocert_schedule_t *s)
{
    ngx_uint_t            i;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;

    for (i = 0; i < s->helper->acf->names.nelts; i++) {

        if (ngx_autocert_store_complete(&s->helper->store, &name[i].name)
            == NGX_OK)
        {
            ngx_autocert_sweep_own(i);
        }
    }
}


/* What whoever had the lock before knew of the CA; else without the lock. */

static ngx_int_t
ngx_autocert_schedule_remember(ngx_autocert_schedule_t *s, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    ngx_autocert_ca_t  ca;

    if (ngx_autocert_store_ca_get(&s->helper->store, pool,
                                  &s->helper->acf->ca, &ca, fail)
        == NGX_ERROR)
    {
        if (!fail->damaged) {
            ngx_autocert_store_unlock(&s->helper->store);
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_WARN, s->helper->log, 0,
                      "autocert: what is remembered of the CA can't be read "
                      "and is begun anew: %V", &fail->why);
    }

    ngx_autocert_plan_remember(&s->plan, ngx_time(), &ca, s->reload);

    s->plan.contacts = ngx_autocert_issuer_outdated(s->helper, pool);

    ngx_autocert_facts_all();

    return NGX_OK;
}


static void
ngx_autocert_schedule_clock(ngx_autocert_schedule_t *s)
{
    ngx_autocert_plan_clock(&s->plan, ngx_time(), ngx_current_msec);

    if (s->plan.step) {
        ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                      "autocert: the clock was set %T s %s",
                      ngx_abs(s->plan.step),
                      s->plan.step < 0 ? "back" : "ahead");
        s->plan.step = 0;
    }
}


static void
ngx_autocert_schedule_next(ngx_autocert_schedule_t *s)
{
    ngx_pool_t                *pool;
    ngx_autocert_plan_next_t   next;

    if (s->helper->store.lock == -1 || s->busy) {
        return;
    }

    ngx_autocert_schedule_clock(s);

    if (s->revoke) {
        s->revoke = 0;
        s->busy = 1;
        s->index = s->revoked;
        s->goal = NGX_AUTOCERT_GOAL_REVOCATION;
        ngx_autocert_driver_revoke(s->index, s->reason);
        return;
    }

    ngx_autocert_plan_next(&s->plan, ngx_time(), ngx_current_msec, &next);

    if ((s->plan.moved || s->plan.changed)
        && ngx_time() >= NGX_AUTOCERT_PLAN_EPOCH)
    {
        ngx_autocert_schedule_moved(s);
    }

    if (next.what == NGX_AUTOCERT_PLAN_WAIT) {
        ngx_autocert_schedule_kept(s, next.until);
        ngx_autocert_schedule_wait(s, next.until);
        return;
    }

    pool = ngx_create_pool(4096, s->helper->log);

    if (pool == NULL) {
        ngx_add_timer(&s->event, NGX_AUTOCERT_SCHEDULE_LOOK);
        return;
    }

    ngx_autocert_schedule_begin(s, &next, pool);
    ngx_destroy_pool(pool);

    if (!s->busy) {
        ngx_autocert_schedule_left(s, &next);
        ngx_add_timer(&s->event, 1);
    }
}


/* Nothing was begun: whoever waits for that is told, at least so much. */

static void
ngx_autocert_schedule_left(ngx_autocert_schedule_t *s,
    ngx_autocert_plan_next_t *next)
{
    if (next->what == NGX_AUTOCERT_PLAN_ORDER
        && s->plan.names[next->index].wanted)
    {
        s->plan.names[next->index].wanted = 0;
        ngx_autocert_schedule_told(s, next->index,
                                   NGX_AUTOCERT_GOAL_CERTIFICATE,
                                   "it could not be begun, NGINX's log says "
                                   "why");
    }
}


static void
ngx_autocert_schedule_told(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_uint_t goal, char *why)
{
    ngx_autocert_fail_t  fail;

    ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));
    fail.kind = NGX_AUTOCERT_FAIL_INTERNAL;
    fail.why.data = (u_char *) why;
    fail.why.len = ngx_strlen(why);

    ngx_autocert_control_end(index, goal, &fail,
                             ngx_autocert_plan_due(&s->plan, index));
}


/* The clock was set: what waits is to wait as long after a restart. */

static void
ngx_autocert_schedule_moved(ngx_autocert_schedule_t *s)
{
    ngx_uint_t             i;
    ngx_pool_t            *pool;
    ngx_autocert_fail_t    ignored;
    ngx_autocert_name_t   *name;
    ngx_autocert_state_t   state;

    pool = ngx_create_pool(4096, s->helper->log);
    if (pool == NULL) {
        return;
    }

    if (s->plan.changed) {
        ngx_autocert_schedule_put_ca(s, NULL, pool);
    }

    s->plan.moved = 0;
    name = s->helper->acf->names.elts;

    for (i = 0; i < s->helper->acf->names.nelts; i++) {

        if (!s->plan.names[i].moved) {
            continue;
        }

        if (ngx_autocert_store_state_get(&s->helper->store, pool,
                                         &name[i].name, &state, &ignored)
            == NGX_OK)
        {
            ngx_autocert_plan_moved(&s->plan, i, ngx_time(), &state);
            ngx_autocert_schedule_put(s, i, &state, pool, NULL);
        }

        ngx_reset_pool(pool);
    }

    ngx_destroy_pool(pool);

    ngx_autocert_facts_all();
}


static void
ngx_autocert_schedule_wait(ngx_autocert_schedule_t *s, time_t until)
{
    time_t      now;
    ngx_msec_t  delay;

    now = ngx_time();
    delay = NGX_AUTOCERT_SCHEDULE_LOOK;

    if (until - now < NGX_AUTOCERT_SCHEDULE_LOOK / 1000) {
        delay = ngx_max(until - now, 0) * 1000 + 1;
    }

    ngx_add_timer(&s->event, delay);
}


/* What is wanted is so yet, but nobody is to wait for it that long. */

static void
ngx_autocert_schedule_kept(ngx_autocert_schedule_t *s, time_t until)
{
    time_t               due;
    ngx_uint_t           i;
    ngx_autocert_fail_t  fail;

    ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));
    fail.kind = NGX_AUTOCERT_FAIL_LIMITED;
    ngx_str_set(&fail.why, "it has to wait for the CA, or its limits");

    for (i = 0; i < s->helper->acf->names.nelts; i++) {

        if (!s->plan.names[i].wanted) {
            continue;
        }

        due = ngx_max(ngx_autocert_plan_due(&s->plan, i), s->plan.ca.hold);

        ngx_autocert_control_end(i, NGX_AUTOCERT_GOAL_CERTIFICATE, &fail,
                                 due > ngx_time() ? due : until);
    }
}


/* s->busy says whether something is under way now. */

static void
ngx_autocert_schedule_begin(ngx_autocert_schedule_t *s,
    ngx_autocert_plan_next_t *next, ngx_pool_t *pool)
{
    ngx_str_t             certid;
    ngx_autocert_state_t  state;

    s->busy = 1;
    s->index = next->index;
    ngx_str_null(&certid);

    switch (next->what) {

    case NGX_AUTOCERT_PLAN_ORDER:
        if (ngx_autocert_schedule_look(s, s->index, pool, &state) != NGX_OK
            || ngx_autocert_schedule_order(s, pool, &state) != NGX_OK)
        {
            s->busy = 0;
            return;
        }

        s->goal = NGX_AUTOCERT_GOAL_CERTIFICATE;
        ngx_autocert_facts_busy(s->index, 1);
        break;

    case NGX_AUTOCERT_PLAN_WINDOW:
        if (ngx_autocert_schedule_look(s, s->index, pool, &state) != NGX_OK
            || s->plan.names[s->index].look > ngx_time())
        {
            s->busy = 0;
            return;
        }

        ngx_autocert_plan_look(&s->plan, s->index, ngx_time(), &state);
        ngx_autocert_schedule_put(s, s->index, &state, pool, NULL);

        s->goal = NGX_AUTOCERT_GOAL_WINDOW;
        break;

    default: /* NGX_AUTOCERT_PLAN_CONTACTS */
        ngx_autocert_plan_tell(&s->plan, ngx_time());
        ngx_autocert_schedule_put_ca(s, NULL, pool);

        s->goal = NGX_AUTOCERT_GOAL_CONTACTS;
        break;
    }

    if (s->goal != NGX_AUTOCERT_GOAL_CONTACTS
        && state.issuer.len == s->helper->acf->ca.len
        && ngx_memcmp(state.issuer.data, s->helper->acf->ca.data,
                      state.issuer.len)
           == 0)
    {
        certid.data = s->chain.certid;
        certid.len = s->chain.certid_len;
    }

    ngx_autocert_driver_start(s->goal, s->index, &certid);
}


/*
 * What there is of the name now: who had the lock before may have obtained
 * its certificate, or failed, since the start.  NGX_ERROR: it can't be read.
 */

static ngx_int_t
ngx_autocert_schedule_look(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_pool_t *pool, ngx_autocert_state_t *state)
{
    ngx_autocert_fail_t    fail;
    ngx_autocert_name_t   *name;
    ngx_autocert_chain_t  *chain;

    name = s->helper->acf->names.elts;
    name += index;

    if (ngx_autocert_sweep_look(index) != NGX_OK) {
        ngx_autocert_schedule_later(s, index);
        return NGX_ERROR;
    }

    ngx_memzero(&s->chain, sizeof(ngx_autocert_chain_t));

    if (ngx_autocert_store_chain(&s->helper->store, pool, &name->name,
                                 &chain, &fail)
        == NGX_ERROR
        && !fail.damaged)
    {
        ngx_autocert_schedule_unread(s, index, &fail);
        return NGX_ERROR;
    }

    if (ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                     state, &fail)
        == NGX_ERROR
        && !fail.damaged)
    {
        ngx_autocert_x509_chain_free(chain);
        ngx_autocert_schedule_unread(s, index, &fail);
        return NGX_ERROR;
    }

    ngx_autocert_plan_found(&s->plan, index, ngx_time(), chain, state, 0);
    ngx_autocert_facts_found(index, chain, state);

    if (chain) {
        s->chain = *chain;
        s->chain.certs = NULL;
        ngx_autocert_x509_chain_free(chain);
    }

    return NGX_OK;
}


/* Then it is looked at, whatever was planned. */

static void
ngx_autocert_schedule_later(ngx_autocert_schedule_t *s, ngx_uint_t index)
{
    time_t                     then;
    ngx_autocert_plan_name_t  *name;

    then = ngx_time() + NGX_AUTOCERT_SCHEDULE_LOOK / 1000;
    name = &s->plan.names[index];

    name->renew = 0;
    name->retry = then;
    name->next_attempt = 0;
    name->look = ngx_max(name->look, then);
}


/* Nor is it written: what is there may be good. */

static void
ngx_autocert_schedule_unread(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_fail_t *fail)
{
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += index;

    ngx_autocert_schedule_later(s, index);

    s->plan.names[index].wanted = 0;
    ngx_autocert_control_end(index, NGX_AUTOCERT_GOAL_CERTIFICATE, fail,
                             s->plan.names[index].retry);

    if (s->plan.names[index].unread) {
        return;
    }

    s->plan.names[index].unread = 1;

    ngx_log_error(NGX_LOG_ERR, s->helper->log, 0,
                  "autocert: what there is of \"%V\" can't be read: %V; no "
                  "certificate is ordered for it until that is mended, "
                  "looking again every minute", &name->name, &fail->why);
}


/* NGX_OK: it is written down that an order is begun, which can be now. */

static ngx_int_t
ngx_autocert_schedule_order(ngx_autocert_schedule_t *s, ngx_pool_t *pool,
    ngx_autocert_state_t *state)
{
    ngx_int_t                   rc;
    ngx_autocert_fail_t         fail;
    ngx_autocert_name_t        *name;
    ngx_autocert_issued_t       issued;
    ngx_autocert_plan_failed_t  failed;

    if (ngx_autocert_plan_due(&s->plan, s->index) > ngx_time()) {
        s->plan.names[s->index].unread = 0;
        return NGX_DECLINED;
    }

    name = s->helper->acf->names.elts;
    name += s->index;

    if (ngx_autocert_store_issued_get(&s->helper->store, pool,
                                      &s->helper->acf->ca, &name->name,
                                      &issued, &fail)
        == NGX_ERROR)
    {
        if (!fail.damaged) {
            ngx_autocert_schedule_unread(s, s->index, &fail);
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_WARN, s->helper->log, 0,
                      "autocert: what was issued to \"%V\" can't be read and "
                      "is begun anew: %V", &name->name, &fail.why);
    }

    s->plan.names[s->index].unread = 0;

    ngx_autocert_facts_issued(s->index, &issued);

    rc = ngx_autocert_plan_begin(&s->plan, s->index, ngx_time(), state,
                                 &issued, pool, &fail);

    if (rc == NGX_DECLINED) {
        ngx_memzero(&failed, sizeof(ngx_autocert_plan_failed_t));
        failed.next = fail.retry_at;
        ngx_autocert_schedule_refused(s, s->index, &fail, &failed,
                                      s->helper->log);
        ngx_autocert_schedule_put(s, s->index, state, pool, &fail);

        /* what a clock of before has written there is put right */

        ngx_autocert_schedule_put_issued(s, s->index, &issued, pool);
        return NGX_DECLINED;
    }

    if (rc == NGX_OK
        && ngx_autocert_store_state_put(&s->helper->store, pool,
                                        &name->name, state, &fail)
           == NGX_OK)
    {
        ngx_autocert_schedule_put_ca(s, NULL, pool);
        return NGX_OK;
    }

    /* without a memory the CA is not asked */

    ngx_autocert_schedule_failed(s, s->index, &fail, state, s->helper->log);

    return NGX_ERROR;
}


static void
ngx_autocert_schedule_done(ngx_autocert_outcome_t *outcome)
{
    ngx_pool_t               *pool;
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    s->busy = 0;

    ngx_autocert_schedule_clock(s);

    pool = ngx_create_pool(4096, s->helper->log);

    if (pool == NULL) {
        s->plan.names[outcome->index].wanted = 0;
        s->plan.names[outcome->index].retry = ngx_time()
                                   + NGX_AUTOCERT_SCHEDULE_LOOK / 1000;
        ngx_autocert_schedule_told(s, outcome->index, outcome->goal,
                                   "no memory");
        ngx_add_timer(&s->event, NGX_AUTOCERT_SCHEDULE_LOOK);
        return;
    }

    switch (outcome->goal) {

    case NGX_AUTOCERT_GOAL_CERTIFICATE:
        ngx_autocert_schedule_certificate(s, outcome, pool);
        ngx_autocert_facts_busy(outcome->index, 0);

        if (outcome->fail == NULL) {
            ngx_autocert_control_end(outcome->index, outcome->goal, NULL, 0);
        }

        break;

    case NGX_AUTOCERT_GOAL_WINDOW:
        ngx_autocert_schedule_window(s, outcome, pool);
        break;

    case NGX_AUTOCERT_GOAL_REVOCATION:
        ngx_autocert_schedule_revocation(s, outcome, pool);
        break;

    default: /* NGX_AUTOCERT_GOAL_CONTACTS */
        ngx_autocert_schedule_contacts(s, outcome);
        break;
    }

    if (outcome->anew) {
        ngx_autocert_plan_slot(&s->plan, ngx_time());
    }

    if (s->plan.changed) {
        ngx_autocert_schedule_put_ca(s, outcome->fail, pool);
    }

    ngx_autocert_facts_sums();
    ngx_destroy_pool(pool);

    /* not from within the driver, which is on its way out */

    ngx_add_timer(&s->event, 1);
}


static void
ngx_autocert_schedule_certificate(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_pool_t *pool)
{
    ngx_int_t              rc;
    ngx_autocert_fail_t    wrong;
    ngx_autocert_name_t   *name;
    ngx_autocert_state_t   state;

    name = s->helper->acf->names.elts;
    name += outcome->index;

    rc = ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                      &state, &wrong);

    if (outcome->fail == NULL) {
        ngx_autocert_schedule_issued(s, outcome, &state, pool);

    } else {
        ngx_autocert_schedule_failed(s, outcome->index, outcome->fail,
                                     &state, outcome->log);

        /* what went before is not known, and not to be lost */

        if (rc == NGX_ERROR && !wrong.damaged) {
            return;
        }
    }

    ngx_autocert_facts_state(outcome->index, &state);
    ngx_autocert_schedule_put(s, outcome->index, &state, pool,
                              outcome->fail);
}


static void
ngx_autocert_schedule_issued(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_autocert_state_t *state,
    ngx_pool_t *pool)
{
    u_char                  end[NGX_AUTOCERT_SCHEDULE_DATE];
    u_char                  due[NGX_AUTOCERT_SCHEDULE_DATE];
    ngx_int_t               rc;
    ngx_str_t               e, d;
    ngx_uint_t              renewed;
    ngx_autocert_fail_t     fail;
    ngx_autocert_name_t    *name;
    ngx_autocert_chain_t   *chain;
    ngx_autocert_issued_t   issued;

    name = s->helper->acf->names.elts;
    name += outcome->index;
    chain = outcome->chain;

    rc = ngx_autocert_store_issued_get(&s->helper->store, pool,
                                       &s->helper->acf->ca, &name->name,
                                       &issued, &fail);

    renewed = (s->plan.names[outcome->index].end != 0);

    ngx_autocert_plan_issued(&s->plan, outcome->index, ngx_time(), chain,
                             outcome->account, state, &issued, pool);

    if (rc != NGX_ERROR || fail.damaged) {
        ngx_autocert_schedule_put_issued(s, outcome->index, &issued, pool);
        ngx_autocert_facts_issued(outcome->index, &issued);
    }

    ngx_autocert_facts_found(outcome->index, chain, state);

    ngx_autocert_schedule_date(&e, end, chain->not_after);
    ngx_autocert_schedule_date(&d, due,
                               ngx_autocert_plan_due(&s->plan,
                                                     outcome->index));

    ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                  "autocert: certificate of \"%V\" %s, served from now on, "
                  "valid until %V (%T days), to be renewed at %V, CA: %V",
                  &name->name, renewed ? "renewed" : "issued", &e,
                  (chain->not_after - ngx_time()) / 86400, &d,
                  &s->helper->acf->ca);
}


static void
ngx_autocert_schedule_failed(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_fail_t *fail, ngx_autocert_state_t *state, ngx_log_t *log)
{
    ngx_autocert_plan_failed_t  failed;

    ngx_autocert_plan_failed(&s->plan, index, ngx_time(), fail, state,
                             &failed);

    ngx_autocert_schedule_refused(s, index, fail, &failed, log);
}


static void
ngx_autocert_schedule_refused(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_fail_t *fail, ngx_autocert_plan_failed_t *failed,
    ngx_log_t *log)
{
    char                 *cut;
    u_char                date[NGX_AUTOCERT_SCHEDULE_DATE], buf[512];
    ngx_str_t             d, detail, others;
    ngx_uint_t            level;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += index;

    ngx_autocert_facts_failed(index, fail);
    ngx_autocert_control_end(index, NGX_AUTOCERT_GOAL_CERTIFICATE, fail,
                             failed->next);

    others.data = buf;
    others.len = ngx_autocert_schedule_others(buf, sizeof(buf), fail, failed);

    cut = ngx_autocert_schedule_detail(s, fail,
                                       2 * name->name.len + others.len,
                                       &detail);

    ngx_autocert_schedule_date(&d, date, failed->next);

    /* the macro evaluates it twice */

    level = ngx_autocert_schedule_level(s, index, fail, failed);

    ngx_log_error(level, log, 0,
                  "autocert: no %scertificate for \"%V\": %V%s%V%s%s%s%V, "
                  "next try at %V%V",
                  s->plan.names[index].end ? "new " : "", &name->name,
                  &fail->why, detail.len ? " (" : "",
                  &detail, cut, detail.len ? ")" : "",
                  fail->cause.len ? "; likely cause: " : "", &fail->cause,
                  &d, &others);
}


static size_t
ngx_autocert_schedule_others(u_char *buf, size_t size,
    ngx_autocert_fail_t *fail, ngx_autocert_plan_failed_t *failed)
{
    u_char     *p, *last, date[NGX_AUTOCERT_SCHEDULE_DATE];
    ngx_str_t   all;

    p = buf;
    last = buf + size;

    if (failed->times > 1) {
        p = ngx_slprintf(p, last, ", %ui failures in a row", failed->times);
    }

    if (failed->held) {
        p = ngx_slprintf(p, last, ", all names wait for this CA");

    } else if (fail->scope == NGX_AUTOCERT_FAIL_DOMAIN) {
        ngx_autocert_schedule_date(&all, date, failed->all);
        p = ngx_slprintf(p, last, ", %ui names of \"%V\" wait, all can be "
                         "done by %V", failed->names, &fail->domain, &all);
    }

    return p - buf;
}


/* The same failure is loud once a day, and after a start. */

static ngx_uint_t
ngx_autocert_schedule_level(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_fail_t *fail, ngx_autocert_plan_failed_t *failed)
{
    ngx_autocert_fail_told_t  *told;

    told = failed->held ? &s->failure : &s->plan.names[index].told;

    if (failed->times < 2) {
        ngx_memzero(told, sizeof(ngx_autocert_fail_told_t));
    }

    if (!ngx_autocert_fail_tell(told, fail, ngx_time(),
                                NGX_AUTOCERT_SCHEDULE_TELL))
    {
        return NGX_LOG_INFO;
    }

    return (fail->kind == NGX_AUTOCERT_FAIL_CONFIGURATION
            || fail->kind == NGX_AUTOCERT_FAIL_BUDGET)
           ? NGX_LOG_ERR : NGX_LOG_WARN;
}


static void
ngx_autocert_schedule_window(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_pool_t *pool)
{
    ngx_uint_t             rc;
    ngx_autocert_fail_t    fail;
    ngx_autocert_name_t   *name;
    ngx_autocert_state_t   state;

    name = s->helper->acf->names.elts;
    name += outcome->index;

    if (ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                     &state, &fail)
        == NGX_ERROR
        && !fail.damaged)
    {
        ngx_autocert_schedule_unread(s, outcome->index, &fail);
        return;
    }

    if (outcome->fail == NULL && outcome->window->start == 0) {
        ngx_autocert_plan_unseen(&s->plan, outcome->index, ngx_time(), NULL,
                                 &state);

    } else if (outcome->fail) {
        ngx_autocert_plan_unseen(&s->plan, outcome->index, ngx_time(),
                                 outcome->fail, &state);

        ngx_autocert_schedule_unseen(s, outcome, state.look_at);

    } else {
        rc = ngx_autocert_plan_window(&s->plan, outcome->index, ngx_time(),
                                      &s->chain, outcome->window, &state);

        ngx_autocert_schedule_wanted(s, outcome, &state, rc);
    }

    ngx_autocert_facts_state(outcome->index, &state);
    ngx_autocert_schedule_put(s, outcome->index, &state, pool, NULL);
}


static void
ngx_autocert_schedule_unseen(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, time_t look)
{
    char                 *cut;
    u_char                date[NGX_AUTOCERT_SCHEDULE_DATE];
    ngx_str_t             d, detail;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += outcome->index;

    cut = ngx_autocert_schedule_detail(s, outcome->fail, 2 * name->name.len,
                                       &detail);

    ngx_autocert_schedule_date(&d, date, look);

    ngx_log_error(NGX_LOG_INFO, outcome->log, 0,
                  "autocert: the renewal window of \"%V\" could not be asked "
                  "for: %V%s%V%s%s, next try at %V", &name->name,
                  &outcome->fail->why, detail.len ? " (" : "", &detail, cut,
                  detail.len ? ")" : "", &d);
}


static void
ngx_autocert_schedule_wanted(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_autocert_state_t *state,
    ngx_uint_t rc)
{
    char                 *see;
    u_char                from[NGX_AUTOCERT_SCHEDULE_DATE];
    u_char                to[NGX_AUTOCERT_SCHEDULE_DATE];
    u_char                due[NGX_AUTOCERT_SCHEDULE_DATE];
    ngx_str_t             f, t, d, *url;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += outcome->index;

    url = &outcome->window->url;
    see = url->len ? ", see " : "";

    ngx_autocert_schedule_date(&f, from, outcome->window->start);
    ngx_autocert_schedule_date(&t, to, outcome->window->end);
    ngx_autocert_schedule_date(&d, due, state->renew_at);

    switch (rc) {

    case NGX_AUTOCERT_PLAN_CHOSEN:
        ngx_log_error(NGX_LOG_INFO, s->helper->log, 0,
                      "autocert: the CA wants \"%V\" renewed between %V and "
                      "%V, it will be at %V%s%V", &name->name, &f, &t, &d, see,
                      url);
        break;

    case NGX_AUTOCERT_PLAN_PAST:
        ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                      "autocert: the CA wants \"%V\" renewed at once%s%V, "
                      "CA: %V", &name->name, see, url, &s->helper->acf->ca);
        break;

    case NGX_AUTOCERT_PLAN_ABSURD:
        ngx_autocert_schedule_date(&d, due,
                                   ngx_autocert_plan_due(&s->plan,
                                                         outcome->index));

        ngx_log_error(NGX_LOG_WARN, s->helper->log, 0,
                      "autocert: the CA's renewal window of \"%V\" makes no "
                      "sense and is ignored: from %V to %V, it will be "
                      "renewed at %V, CA: %V", &name->name, &f, &t, &d,
                      &s->helper->acf->ca);
        break;
    }
}


static void
ngx_autocert_schedule_contacts(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome)
{
    char      *cut;
    u_char     date[NGX_AUTOCERT_SCHEDULE_DATE];
    ngx_str_t  d, detail;

    ngx_autocert_plan_told(&s->plan, ngx_time(), outcome->fail);

    if (outcome->fail == NULL) {
        ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                      "autocert: the contacts of the account are changed at "
                      "the CA %V", &s->helper->acf->ca);
        return;
    }

    cut = ngx_autocert_schedule_detail(s, outcome->fail, 0, &detail);

    ngx_autocert_schedule_date(&d, date, s->plan.ca.contacts_at);

    ngx_log_error(NGX_LOG_WARN, s->helper->log, 0,
                  "autocert: the contacts of the account could not be "
                  "changed: %V%s%V%s%s, next try at %V, CA: %V",
                  &outcome->fail->why, detail.len ? " (" : "", &detail, cut,
                  detail.len ? ")" : "", &d, &s->helper->acf->ca);
}


/* A certificate that was revoked is served until there is another one. */

static void
ngx_autocert_schedule_revocation(ngx_autocert_schedule_t *s,
    ngx_autocert_outcome_t *outcome, ngx_pool_t *pool)
{
    char                  *cut;
    ngx_str_t              detail;
    ngx_autocert_fail_t    fail;
    ngx_autocert_name_t   *name;
    ngx_autocert_state_t   state;

    name = s->helper->acf->names.elts;
    name += outcome->index;

    if (outcome->fail) {
        cut = ngx_autocert_schedule_detail(s, outcome->fail,
                                           2 * name->name.len, &detail);

        ngx_log_error(NGX_LOG_ERR, outcome->log, 0,
                      "autocert: the certificate of \"%V\" is not revoked: "
                      "%V%s%V%s%s", &name->name, &outcome->fail->why,
                      detail.len ? " (" : "", &detail, cut,
                      detail.len ? ")" : "");

        ngx_autocert_plan_unrevoked(&s->plan, ngx_time(), outcome->fail);
        ngx_autocert_control_end(outcome->index, outcome->goal,
                                 outcome->fail, 0);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                  "autocert: the certificate of \"%V\" %s revoked, another "
                  "one with another key is ordered, CA: %V", &name->name,
                  outcome->already ? "was" : "is", &s->helper->acf->ca);

    ngx_autocert_control_revoked(outcome->index, outcome->already);

    if (ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                     &state, &fail)
        == NGX_ERROR
        && !fail.damaged)
    {
        ngx_autocert_schedule_unread(s, outcome->index, &fail);
        return;
    }

    ngx_autocert_plan_revoked(&s->plan, outcome->index, outcome->id, &state,
                              pool);
    ngx_autocert_facts_state(outcome->index, &state);
    ngx_autocert_schedule_put(s, outcome->index, &state, pool, NULL);

    if (s->plan.names[outcome->index].never) {
        ngx_autocert_schedule_told(s, outcome->index,
                                   NGX_AUTOCERT_GOAL_CERTIFICATE,
                                   "no other certificate is ordered for the "
                                   "name, which has no \"listen\" that can "
                                   "answer the CA");
    }
}


/* Where the store is what failed, that is said already. */

static void
ngx_autocert_schedule_put(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_state_t *state, ngx_pool_t *pool, ngx_autocert_fail_t *fail)
{
    ngx_autocert_fail_t   wrong;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += index;

    if (ngx_autocert_store_state_put(&s->helper->store, pool, &name->name,
                                     state, &wrong)
        != NGX_OK
        && (fail == NULL || fail->kind != wrong.kind))
    {
        ngx_log_error(NGX_LOG_ERR, s->helper->log, 0,
                      "autocert: what is to be remembered of \"%V\" can't "
                      "be written: %V", &name->name, &wrong.why);
    }
}


static void
ngx_autocert_schedule_put_issued(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_issued_t *issued, ngx_pool_t *pool)
{
    ngx_autocert_fail_t   wrong;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += index;

    if (ngx_autocert_store_issued_put(&s->helper->store, pool,
                                      &s->helper->acf->ca, &name->name,
                                      issued, &wrong)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, s->helper->log, 0,
                      "autocert: what was issued to \"%V\" can't be written: "
                      "%V", &name->name, &wrong.why);
    }
}


static void
ngx_autocert_schedule_put_ca(ngx_autocert_schedule_t *s,
    ngx_autocert_fail_t *fail, ngx_pool_t *pool)
{
    ngx_autocert_ca_t    ca, kept;
    ngx_autocert_fail_t  wrong;

    ca = s->plan.ca;
    s->plan.changed = 0;

    if (fail && ca.failures) {
        ca.why = fail->why;
        ca.detail = fail->detail;

    } else if (ca.failures
               && ngx_autocert_store_ca_get(&s->helper->store, pool,
                                            &s->helper->acf->ca, &kept,
                                            &wrong)
                  == NGX_OK)
    {
        ca.why = kept.why;
        ca.detail = kept.detail;
    }

    if (ngx_autocert_store_ca_put(&s->helper->store, pool,
                                  &s->helper->acf->ca, &ca, &wrong)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, s->helper->log, 0,
                      "autocert: what is to be remembered of the CA can't be "
                      "written: %V", &wrong.why);
    }
}


ngx_int_t
ngx_autocert_schedule_renew(ngx_uint_t index, ngx_uint_t force,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_autocert_name_t      *name;
    ngx_autocert_state_t      state;
    ngx_autocert_issued_t     issued;
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    name = s->helper->acf->names.elts;
    name += index;

    if (s->busy && s->goal == NGX_AUTOCERT_GOAL_CERTIFICATE
        && s->index == index)
    {
        return NGX_OK;
    }

    if ((ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                      &state, fail)
         == NGX_ERROR
         && !fail->damaged)
        || (ngx_autocert_store_issued_get(&s->helper->store, pool,
                                          &s->helper->acf->ca, &name->name,
                                          &issued, fail)
            == NGX_ERROR
            && !fail->damaged))
    {
        return NGX_ERROR;
    }

    rc = ngx_autocert_plan_want(&s->plan, index, ngx_time(), force, &state,
                                &issued, pool, fail);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                  "autocert: a certificate for \"%V\" is asked for by "
                  "nginx-autocert%s", &name->name,
                  force ? ", by force" : "");

    if (!s->busy) {
        ngx_add_timer(&s->event, 1);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_schedule_revoke(ngx_uint_t index, ngx_uint_t reason,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail)
{
    ngx_autocert_name_t      *name;
    ngx_autocert_state_t      state;
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    name = s->helper->acf->names.elts;
    name += index;

    if (s->revoke || (s->busy && s->goal == NGX_AUTOCERT_GOAL_REVOCATION)) {
        (void) ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "another revocation is under way");
        return NGX_DECLINED;
    }

    if (ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                     &state, fail)
        == NGX_ERROR
        && !fail->damaged)
    {
        return NGX_ERROR;
    }

    if (state.issuer.len
        && (state.issuer.len != s->helper->acf->ca.len
            || ngx_memcmp(state.issuer.data, s->helper->acf->ca.data,
                          state.issuer.len)
               != 0))
    {
        (void) ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "its certificate is of another CA: %V",
                                 &state.issuer);
        return NGX_DECLINED;
    }

    if (ngx_autocert_plan_paused(&s->plan, ngx_time(), pool, fail) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                  "autocert: the revocation of the certificate of \"%V\" is "
                  "asked for by nginx-autocert, for reason %ui", &name->name,
                  reason);

    s->revoke = 1;
    s->revoked = index;
    s->reason = reason;

    /* what is served now is what is meant, not what comes of an order */

    if (s->busy && s->goal == NGX_AUTOCERT_GOAL_CERTIFICATE
        && s->index == index)
    {
        ngx_autocert_schedule_leave(s);
        ngx_autocert_facts_busy(index, 0);
    }

    if (!s->busy) {
        ngx_add_timer(&s->event, 1);
    }

    return NGX_OK;
}


/*
 * As much of the detail as a line of NGINX's log has room for, with rest more
 * bytes of text; what follows it.
 */

static char *
ngx_autocert_schedule_detail(ngx_autocert_schedule_t *s,
    ngx_autocert_fail_t *fail, size_t rest, ngx_str_t *detail)
{
    size_t  room;

    rest += NGX_AUTOCERT_SCHEDULE_WORDS + s->helper->acf->ca.len
            + fail->why.len + fail->cause.len;

    room = NGX_AUTOCERT_SCHEDULE_DETAIL;

    if (rest + room < NGX_MAX_ERROR_STR) {
        room = NGX_MAX_ERROR_STR - rest;
    }

    *detail = fail->detail;

    if (detail->len <= room) {
        return "";
    }

    /* not in the middle of a character */

    while (room && (detail->data[room] & 0xc0) == 0x80) {
        room--;
    }

    detail->len = room;

    return "...";
}


static void
ngx_autocert_schedule_date(ngx_str_t *date, u_char *buf, time_t t)
{
    date->data = buf;
    date->len = ngx_autocert_time_print(buf, t) - buf;
}


static uint32_t
ngx_autocert_schedule_random(void)
{
    uint32_t  random;

    if (RAND_bytes((u_char *) &random, sizeof(uint32_t)) != 1) {
        random = 0;
    }

    return random;
}
