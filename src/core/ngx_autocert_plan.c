
#include "ngx_autocert_plan.h"
#include "../base/ngx_autocert_base64.h"
#include "../base/ngx_autocert_time.h"


#define NGX_AUTOCERT_PLAN_HOUR      3600
#define NGX_AUTOCERT_PLAN_DAY       86400
#define NGX_AUTOCERT_PLAN_WEEK      604800

#define NGX_AUTOCERT_PLAN_RELOAD    600     /* s, from a failure */
#define NGX_AUTOCERT_PLAN_HOURLY    175     /* failures: about a week of them */
#define NGX_AUTOCERT_PLAN_TRIES     3       /* begun, with no end, in a row */
#define NGX_AUTOCERT_PLAN_AHEAD     (8 * NGX_AUTOCERT_PLAN_DAY)
#define NGX_AUTOCERT_PLAN_TURNS     4       /* one of them for the failed */
#define NGX_AUTOCERT_PLAN_STEP      30      /* s, of a clock that was set */

/* Let's Encrypt allows 300 */
#define NGX_AUTOCERT_PLAN_PACE      290     /* orders in 3 hours */
#define NGX_AUTOCERT_PLAN_SLOT      600     /* s */
#define NGX_AUTOCERT_PLAN_SPAN      (3 * NGX_AUTOCERT_PLAN_HOUR               \
                                     + NGX_AUTOCERT_PLAN_SLOT)

/* certificates for a name: 3 in half a life, and 4 in a week */
#define NGX_AUTOCERT_PLAN_BUDGET    3
#define NGX_AUTOCERT_PLAN_WEEKLY    4
#define NGX_AUTOCERT_PLAN_LEAST     20      /* s */

#define NGX_AUTOCERT_PLAN_LOOK      (6 * NGX_AUTOCERT_PLAN_HOUR)
#define NGX_AUTOCERT_PLAN_LOOK_MIN  60
#define NGX_AUTOCERT_PLAN_LOOK_MAX  (12 * NGX_AUTOCERT_PLAN_HOUR)

#define NGX_AUTOCERT_PLAN_KEY                                                \
    ngx_autocert_base64_length(NGX_AUTOCERT_KEY_ID)


static uint32_t ngx_autocert_plan_setup(ngx_autocert_conf_t *acf,
    ngx_autocert_name_t *name);
static ngx_uint_t ngx_autocert_plan_is(ngx_str_t *a, ngx_str_t *b);
static void ngx_autocert_plan_adopt(time_t now, ngx_autocert_chain_t *chain,
    ngx_autocert_state_t *state);
static void ngx_autocert_plan_settle(ngx_autocert_plan_t *plan,
    ngx_uint_t index, ngx_autocert_state_t *state);
static void ngx_autocert_plan_forget(ngx_autocert_state_t *state);
static void ngx_autocert_plan_key(u_char *id, u_char *buf, ngx_str_t *key);
static void ngx_autocert_plan_renew(ngx_autocert_plan_t *plan,
    ngx_uint_t index, ngx_autocert_chain_t *chain,
    ngx_autocert_state_t *state);
static ngx_uint_t ngx_autocert_plan_anew(time_t now,
    ngx_autocert_state_t *state);
static ngx_int_t ngx_autocert_plan_asked_to_wait(
    ngx_autocert_plan_t *plan, ngx_uint_t index, time_t now,
    ngx_autocert_state_t *state, ngx_pool_t *pool, ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_plan_until(ngx_pool_t *pool,
    ngx_autocert_fail_t *fail, ngx_uint_t kind, char *why, time_t until);
static time_t ngx_autocert_plan_wait(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now, ngx_autocert_state_t *state);
static void ngx_autocert_plan_step(ngx_autocert_plan_t *plan, time_t step);
static void ngx_autocert_plan_step_ca(ngx_autocert_ca_t *ca, time_t step);
static time_t ngx_autocert_plan_stepped(time_t t, time_t step);
static time_t ngx_autocert_plan_pace(ngx_autocert_plan_t *plan, time_t now);
static ngx_uint_t ngx_autocert_plan_before(ngx_autocert_plan_name_t *a,
    ngx_autocert_plan_name_t *b);
static void ngx_autocert_plan_spent(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now, ngx_autocert_fail_t *fail,
    ngx_autocert_state_t *state);
static ngx_uint_t ngx_autocert_plan_used(ngx_autocert_issued_t *issued,
    time_t now, ngx_uint_t max, time_t span);
static ngx_int_t ngx_autocert_plan_within(ngx_autocert_issued_t *issued,
    time_t now, ngx_uint_t max, time_t span, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail);
static void ngx_autocert_plan_ended(ngx_autocert_state_t *state);
static void ngx_autocert_plan_suspect(ngx_autocert_plan_t *plan,
    ngx_uint_t index, ngx_autocert_state_t *state);
static ngx_uint_t ngx_autocert_plan_blamed(ngx_autocert_plan_t *plan,
    ngx_uint_t index);
static time_t ngx_autocert_plan_backoff(ngx_autocert_plan_t *plan,
    ngx_uint_t failures);
static time_t ngx_autocert_plan_daily(ngx_autocert_plan_t *plan);
static time_t ngx_autocert_plan_delay(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now, ngx_autocert_fail_t *fail,
    ngx_uint_t failures);
static void ngx_autocert_plan_hold(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail);
static void ngx_autocert_plan_asked(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail);
static void ngx_autocert_plan_alive(ngx_autocert_plan_t *plan);
static void ngx_autocert_plan_unreached(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now, ngx_autocert_fail_t *fail);
static void ngx_autocert_plan_limited(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail, ngx_autocert_plan_failed_t *failed);
static ngx_autocert_domain_t *ngx_autocert_plan_domain(
    ngx_autocert_plan_t *plan, ngx_str_t *domain);
static ngx_uint_t ngx_autocert_plan_below(ngx_str_t *name, u_char *domain,
    size_t len);
static time_t ngx_autocert_plan_limit(ngx_autocert_plan_t *plan,
    ngx_uint_t index);
static void ngx_autocert_plan_spread(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now);


void
ngx_autocert_plan_init(ngx_autocert_plan_t *plan)
{
    ngx_uint_t            i;
    ngx_autocert_name_t  *name;

    name = plan->acf->names.elts;

    for (i = 0; i < plan->acf->names.nelts; i++) {
        plan->names[i].setup = ngx_autocert_plan_setup(plan->acf, &name[i]);
        plan->names[i].look = NGX_AUTOCERT_PLAN_NEVER;
    }
}


static uint32_t
ngx_autocert_plan_setup(ngx_autocert_conf_t *acf, ngx_autocert_name_t *name)
{
    uint32_t    crc;
    ngx_uint_t  values[3];

    values[0] = name->curve;
    values[1] = name->challenge;
    values[2] = acf->listen;

    ngx_crc32_init(crc);
    ngx_crc32_update(&crc, acf->ca.data, acf->ca.len);
    ngx_crc32_update(&crc, (u_char *) values, sizeof(values));
    ngx_crc32_final(crc);

    return crc;
}


void
ngx_autocert_plan_remember(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_ca_t *ca, ngx_uint_t reload)
{
    time_t      seen;
    ngx_uint_t  i;

    plan->ca = *ca;
    ca = &plan->ca;

    ngx_str_null(&ca->why);
    ngx_str_null(&ca->detail);

    /* the clock was set back meanwhile, by so much at least */

    seen = ca->nslots ? ca->slots[ca->nslots - 1].at : 0;
    seen = ngx_max(seen, ca->failed_at);

    if (seen > now) {
        ngx_autocert_plan_step_ca(ca, now - seen);
        ca->failed_at = ngx_min(ca->failed_at, now);
        plan->changed = 1;
    }

    if (reload && ca->kind != NGX_AUTOCERT_FAIL_LIMITED
        && now - ca->failed_at >= NGX_AUTOCERT_PLAN_RELOAD)
    {
        ca->hold = 0;
    }

    if (ca->hold > now + NGX_AUTOCERT_PLAN_AHEAD) {
        ca->hold = now + ngx_autocert_plan_backoff(plan, ca->failures);
    }

    if (ca->contacts_at > now + NGX_AUTOCERT_PLAN_AHEAD) {
        ca->contacts_at = 0;
    }

    if (ca->blind > now + NGX_AUTOCERT_PLAN_DAY) {
        ca->blind = 0;
    }

    for (i = 0; i < ca->ndomains; i++) {

        if (ca->domains[i].until > now + NGX_AUTOCERT_PLAN_AHEAD) {
            ca->domains[i].until = now + NGX_AUTOCERT_PLAN_HOUR;
            ca->domains[i].end = now + NGX_AUTOCERT_PLAN_WEEK;
        }
    }
}


void
ngx_autocert_plan_found(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_chain_t *chain, ngx_autocert_state_t *state,
    ngx_uint_t reload)
{
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];

    if (chain) {
        ngx_autocert_plan_adopt(now, chain, state);
    }

    ngx_autocert_plan_settle(plan, index, state);

    if (chain == NULL || !ngx_autocert_plan_obtained(state, chain)) {
        ngx_autocert_plan_forget(state);
    }

    ngx_autocert_plan_renew(plan, index, chain, state);

    name->end = chain ? chain->not_after : 0;
    name->order = (state->order.len != 0);
    name->failed = (state->failures || name->suspect);

    /* what is known already may have been moved along with the clock */

    if (state->next_attempt != name->next_attempt) {
        name->next_attempt = state->next_attempt;
        name->retry = ngx_autocert_plan_wait(plan, index, now, state);
    }

    if (reload && ngx_autocert_plan_anew(now, state)) {
        name->retry = 0;
    }

    if (chain == NULL || chain->certid_len == 0
        || !ngx_autocert_plan_is(&state->issuer, &plan->acf->ca))
    {
        name->look = NGX_AUTOCERT_PLAN_NEVER;
        name->look_at = 0;

    } else if (name->look == NGX_AUTOCERT_PLAN_NEVER
               || state->look_at != name->look_at)
    {
        name->look_at = state->look_at;
        name->look = state->look_at;

        if (name->look > now + NGX_AUTOCERT_PLAN_LOOK_MAX) {
            name->look = now;
        }
    }
}


static ngx_uint_t
ngx_autocert_plan_is(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || ngx_memcmp(a->data, b->data, a->len) == 0);
}


/* The pair on disk is what came of the order under way: that is over. */

static void
ngx_autocert_plan_adopt(time_t now, ngx_autocert_chain_t *chain,
    ngx_autocert_state_t *state)
{
    u_char                 buf[NGX_AUTOCERT_PLAN_KEY];
    ngx_str_t              key;
    ngx_autocert_state_t   was;

    ngx_autocert_plan_key(chain->id, buf, &key);

    if (!ngx_autocert_plan_is(&state->next_key, &key)) {
        return;
    }

    was = *state;

    ngx_memzero(state, sizeof(ngx_autocert_state_t));

    state->challenge = was.challenge;
    state->ca = was.ca;
    state->setup = was.setup;
    state->key = was.next_key;
    state->issuer = was.ca;
    state->account = was.next_account;
    state->issued_at = now;
    state->look_at = now;
}


/* What is remembered of another CA or another setup does not count now. */

static void
ngx_autocert_plan_settle(ngx_autocert_plan_t *plan, ngx_uint_t index,
    ngx_autocert_state_t *state)
{
    ngx_uint_t  same;

    same = ngx_autocert_plan_is(&state->ca, &plan->acf->ca);

    if (!same) {
        state->ca = plan->acf->ca;
        ngx_str_null(&state->order);
        ngx_str_null(&state->token);
        ngx_str_null(&state->next_key);
        ngx_str_null(&state->next_account);
    }

    if (!same || state->setup != plan->names[index].setup) {
        state->setup = plan->names[index].setup;
        state->tries = 0;
        state->failures = 0;
        state->next_attempt = 0;
    }
}


ngx_uint_t
ngx_autocert_plan_obtained(ngx_autocert_state_t *state,
    ngx_autocert_chain_t *chain)
{
    u_char     buf[NGX_AUTOCERT_PLAN_KEY];
    ngx_str_t  key;

    ngx_autocert_plan_key(chain->id, buf, &key);

    return ngx_autocert_plan_is(&state->key, &key);
}


/* The pair on disk is not the one that was obtained. */

static void
ngx_autocert_plan_forget(ngx_autocert_state_t *state)
{
    ngx_str_null(&state->key);
    ngx_str_null(&state->issuer);
    ngx_str_null(&state->account);
    state->issued_at = 0;
    state->window_start = 0;
    state->window_end = 0;
    state->renew_at = 0;
    state->look_at = 0;
    state->looks = 0;
}


static void
ngx_autocert_plan_key(u_char *id, u_char *buf, ngx_str_t *key)
{
    ngx_autocert_base64_encode(buf, id, NGX_AUTOCERT_KEY_ID);

    key->data = buf;
    key->len = ngx_autocert_base64_length(NGX_AUTOCERT_KEY_ID);
}


static void
ngx_autocert_plan_renew(ngx_autocert_plan_t *plan, ngx_uint_t index,
    ngx_autocert_chain_t *chain, ngx_autocert_state_t *state)
{
    time_t                    *renew;
    ngx_autocert_name_t       *name;

    name = plan->acf->names.elts;
    name += index;

    renew = &plan->names[index].renew;
    *renew = 0;

    if (chain == NULL) {
        return;
    }

    /* ours, of before the configuration was changed */

    if (state->key.len
        && (!ngx_autocert_plan_is(&state->issuer, &plan->acf->ca)
            || chain->curve != name->curve))
    {
        return;
    }

    *renew = ngx_autocert_time_renewal(chain->not_before, chain->not_after,
                                       name->renew_before);

    if (state->renew_at) {
        *renew = ngx_min(*renew, state->renew_at);
    }
}


/*
 * Whoever reloads has mended something: one try, now and then, but what the
 * CA asked for stands.
 */

static ngx_uint_t
ngx_autocert_plan_anew(time_t now, ngx_autocert_state_t *state)
{
    return state->failures
           && state->kind != NGX_AUTOCERT_FAIL_LIMITED
           && now - state->failed_at >= NGX_AUTOCERT_PLAN_RELOAD;
}


static time_t
ngx_autocert_plan_wait(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_state_t *state)
{
    if (state->failed_at > now) {
        state->next_attempt = ngx_autocert_plan_stepped(state->next_attempt,
                                                    now - state->failed_at);
        state->failed_at = now;

        plan->names[index].moved = 1;
        plan->moved = 1;
    }

    /* what is left of the budget is looked at whenever it is to be used */

    if (state->kind == NGX_AUTOCERT_FAIL_BUDGET) {
        return 0;
    }

    /* so far ahead is nothing that was written by this clock */

    if (state->next_attempt > now + NGX_AUTOCERT_PLAN_AHEAD) {
        return now + ngx_autocert_plan_backoff(plan, state->failures);
    }

    return state->next_attempt;
}


void
ngx_autocert_plan_moved(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_state_t *state)
{
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];
    name->moved = 0;

    state->failed_at = ngx_min(state->failed_at, now);

    if (state->next_attempt) {
        state->next_attempt = name->retry;
        name->next_attempt = name->retry;
    }
}


time_t
ngx_autocert_plan_due(ngx_autocert_plan_t *plan, ngx_uint_t index)
{
    time_t                     due;
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];

    if (name->never) {
        return NGX_AUTOCERT_PLAN_NEVER;
    }

    due = name->wanted ? 0 : ngx_max(name->renew, name->retry);

    if (plan->ca.ndomains) {
        due = ngx_max(due, ngx_autocert_plan_limit(plan, index));
    }

    return due;
}


ngx_uint_t
ngx_autocert_plan_held(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now)
{
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];

    return (name->spent && name->retry > now)
           || (plan->ca.ndomains
               && ngx_autocert_plan_limit(plan, index)
                  > ngx_max(name->retry, now));
}


void
ngx_autocert_plan_next(ngx_autocert_plan_t *plan, time_t now, uint64_t clock,
    ngx_autocert_plan_next_t *next)
{
    time_t                     due, pace, look;
    ngx_uint_t                 i, n, order, failed, window;
    ngx_autocert_plan_name_t  *name;

    ngx_autocert_plan_clock(plan, now, clock);

    n = plan->acf->names.nelts;
    name = plan->names;
    order = n;
    failed = n;
    window = n;
    pace = ngx_autocert_plan_pace(plan, now);

    next->what = NGX_AUTOCERT_PLAN_WAIT;
    next->index = 0;
    next->until = NGX_AUTOCERT_PLAN_NEVER;

    for (i = 0; i < n; i++) {

        due = ngx_autocert_plan_due(plan, i);

        if (!name[i].order) {
            due = ngx_max(due, pace);
        }

        look = ngx_max(name[i].look, plan->ca.blind);

        next->until = ngx_min(next->until, ngx_min(due, look));

        if (due <= now && name[i].failed && !name[i].wanted) {

            if (failed == n || name[i].retry < name[failed].retry) {
                failed = i;
            }

        } else if (due <= now
                   && (order == n
                       || ngx_autocert_plan_before(&name[i], &name[order])))
        {
            order = i;
        }

        if (look <= now
            && (window == n || name[i].look < name[window].look))
        {
            window = i;
        }
    }

    if (plan->contacts) {
        next->until = ngx_min(next->until, plan->ca.contacts_at);
    }

    if (plan->ca.hold > now) {
        next->until = ngx_max(next->until, plan->ca.hold);
        return;
    }

    if (plan->contacts && plan->ca.contacts_at <= now) {
        next->what = NGX_AUTOCERT_PLAN_CONTACTS;
        return;
    }

    /* by turns, so that none waits for the end of the others */

    if (order == n
        || (failed != n
            && plan->turn % NGX_AUTOCERT_PLAN_TURNS
               == NGX_AUTOCERT_PLAN_TURNS - 1))
    {
        order = failed;
    }

    if (order != n && (window == n || plan->looked)) {
        next->what = NGX_AUTOCERT_PLAN_ORDER;
        next->index = order;
        return;
    }

    if (window != n) {
        next->what = NGX_AUTOCERT_PLAN_WINDOW;
        next->index = window;
    }
}


void
ngx_autocert_plan_clock(ngx_autocert_plan_t *plan, time_t now,
    uint64_t clock)
{
    time_t  step;

    /* which may begin anew where an ngx_msec_t has 32 bits */

    step = plan->now ? now - plan->now
                       - (time_t) ((ngx_msec_t) (clock - plan->clock) / 1000)
                     : 0;

    plan->now = now;
    plan->clock = clock;

    if (step > NGX_AUTOCERT_PLAN_STEP || step < -NGX_AUTOCERT_PLAN_STEP) {
        plan->step = step;
        ngx_autocert_plan_step(plan, step);
    }
}


static void
ngx_autocert_plan_step(ngx_autocert_plan_t *plan, time_t step)
{
    ngx_uint_t                 i;
    ngx_autocert_plan_name_t  *name;

    name = plan->names;

    for (i = 0; i < plan->acf->names.nelts; i++) {

        if (name[i].look != NGX_AUTOCERT_PLAN_NEVER) {
            name[i].look = ngx_autocert_plan_stepped(name[i].look, step);
        }

        if (name[i].retry == 0) {
            continue;
        }

        /* a budget is of certificates: it is looked at anew */

        name[i].retry = name[i].spent ? 0
                        : ngx_autocert_plan_stepped(name[i].retry, step);
        name[i].moved = 1;
        plan->moved = 1;
    }

    ngx_autocert_plan_step_ca(&plan->ca, step);

    plan->changed = 1;
}


static void
ngx_autocert_plan_step_ca(ngx_autocert_ca_t *ca, time_t step)
{
    ngx_uint_t  i;

    ca->blind = ngx_autocert_plan_stepped(ca->blind, step);
    ca->hold = ngx_autocert_plan_stepped(ca->hold, step);
    ca->failed_at = ngx_autocert_plan_stepped(ca->failed_at, step);
    ca->contacts_at = ngx_autocert_plan_stepped(ca->contacts_at, step);

    for (i = 0; i < ca->nslots; i++) {
        ca->slots[i].at = ngx_autocert_plan_stepped(ca->slots[i].at, step);
    }

    for (i = 0; i < ca->ndomains; i++) {
        ca->domains[i].until = ngx_autocert_plan_stepped(ca->domains[i].until,
                                                         step);
        ca->domains[i].end = ngx_autocert_plan_stepped(ca->domains[i].end,
                                                       step);
    }
}


/* 0 is for what is not set, or is over. */

static time_t
ngx_autocert_plan_stepped(time_t t, time_t step)
{
    return t ? ngx_max(t + step, 1) : 0;
}


/* From when on one more order keeps the pace; slots that are over go. */

static time_t
ngx_autocert_plan_pace(ngx_autocert_plan_t *plan, time_t now)
{
    ngx_uint_t            i, n;
    ngx_autocert_slot_t  *slot;

    slot = plan->ca.slots;
    n = 0;

    for (i = 0; i < plan->ca.nslots; i++) {

        if (slot[i].at > now) {
            slot[i].at = now;
        }

        if (slot[i].at + NGX_AUTOCERT_PLAN_SPAN > now) {
            break;
        }
    }

    plan->ca.nslots -= i;
    ngx_memmove(slot, &slot[i],
                plan->ca.nslots * sizeof(ngx_autocert_slot_t));

    for (i = 0; i < plan->ca.nslots; i++) {
        n += slot[i].n;
    }

    for (i = 0; n >= NGX_AUTOCERT_PLAN_PACE && i < plan->ca.nslots; i++) {
        n -= slot[i].n;

        if (n < NGX_AUTOCERT_PLAN_PACE) {
            return slot[i].at + NGX_AUTOCERT_PLAN_SPAN;
        }
    }

    return 0;
}


void
ngx_autocert_plan_slot(ngx_autocert_plan_t *plan, time_t now)
{
    ngx_autocert_ca_t    *ca;
    ngx_autocert_slot_t  *slot;

    ca = &plan->ca;
    slot = ca->nslots ? &ca->slots[ca->nslots - 1] : NULL;

    if (slot == NULL || now - slot->at >= NGX_AUTOCERT_PLAN_SLOT) {

        if (ca->nslots == NGX_AUTOCERT_STORE_SLOTS) {
            ca->slots[1].n += ca->slots[0].n;
            ca->nslots--;
            ngx_memmove(ca->slots, &ca->slots[1],
                        ca->nslots * sizeof(ngx_autocert_slot_t));
        }

        slot = &ca->slots[ca->nslots++];
        slot->at = now;
        slot->n = 0;
    }

    slot->n++;
    plan->changed = 1;
}


/*
 * An order under way, as its challenge may be: one that is begun would take
 * its place on the board.  Then what a person waits for, no certificate yet,
 * the nearest end.
 */

static ngx_uint_t
ngx_autocert_plan_before(ngx_autocert_plan_name_t *a,
    ngx_autocert_plan_name_t *b)
{
    if (a->order != b->order) {
        return a->order;
    }

    if (a->wanted != b->wanted) {
        return a->wanted;
    }

    return a->end < b->end;
}


ngx_int_t
ngx_autocert_plan_want(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_uint_t force, ngx_autocert_state_t *state,
    ngx_autocert_issued_t *issued, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];

    if (name->never) {
        (void) ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "no certificate is ordered for it: the CA "
                                 "signs no such name, or no \"listen\" can "
                                 "answer its challenge");
        return NGX_DECLINED;
    }

    if (!force && name->renew > now
        && (state->window_start == 0 || state->window_start > now))
    {
        return ngx_autocert_plan_until(pool, fail,
                                       NGX_AUTOCERT_FAIL_CONFIGURATION,
                                       "it is not due yet (--force renews it "
                                       "all the same)", name->renew);
    }

    if (ngx_autocert_plan_asked_to_wait(plan, index, now, state, pool, fail)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (!name->order
        && ngx_autocert_plan_afford(issued, now, pool, fail) != NGX_OK)
    {
        return (fail->kind == NGX_AUTOCERT_FAIL_BUDGET) ? NGX_DECLINED
                                                        : NGX_ERROR;
    }

    if (plan->ca.hold > now) {
        plan->ca.hold = 0;
        plan->changed = 1;
    }

    name->wanted = 1;

    return NGX_OK;
}


/* And the pace, which is the CA's limit. */

static ngx_int_t
ngx_autocert_plan_asked_to_wait(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_state_t *state, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    time_t  until;

    if (ngx_autocert_plan_paused(plan, now, pool, fail) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (state->failures && state->kind == NGX_AUTOCERT_FAIL_LIMITED
        && plan->names[index].retry > now)
    {
        return ngx_autocert_plan_until(pool, fail, NGX_AUTOCERT_FAIL_LIMITED,
                                       "the CA has asked to wait with it",
                                       plan->names[index].retry);
    }

    until = ngx_autocert_plan_limit(plan, index);

    if (until > now) {
        return ngx_autocert_plan_until(pool, fail, NGX_AUTOCERT_FAIL_LIMITED,
                                       "the CA gives no more certificates to "
                                       "its registered domain for now",
                                       until);
    }

    until = ngx_autocert_plan_pace(plan, now);

    if (until > now && !plan->names[index].order) {
        return ngx_autocert_plan_until(pool, fail, NGX_AUTOCERT_FAIL_LIMITED,
                                       "there were as many orders in the last "
                                       "three hours as a CA takes", until);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_plan_paused(ngx_autocert_plan_t *plan, time_t now,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail)
{
    if (plan->ca.hold <= now || plan->ca.kind != NGX_AUTOCERT_FAIL_LIMITED) {
        return NGX_OK;
    }

    return ngx_autocert_plan_until(pool, fail, NGX_AUTOCERT_FAIL_LIMITED,
                                   "the CA has asked to wait", plan->ca.hold);
}


/* Always NGX_DECLINED. */

static ngx_int_t
ngx_autocert_plan_until(ngx_pool_t *pool, ngx_autocert_fail_t *fail,
    ngx_uint_t kind, char *why, time_t until)
{
    (void) ngx_autocert_fail(fail, pool, kind, "%s", why);

    fail->retry_at = until;

    return NGX_DECLINED;
}


/*
 * It is ours, also if it was put there by hand, and of no CA: so it is to be
 * replaced, and nothing is asked about it.
 */

void
ngx_autocert_plan_revoked(ngx_autocert_plan_t *plan, ngx_uint_t index,
    u_char *id, ngx_autocert_state_t *state, ngx_pool_t *pool)
{
    u_char     *buf;
    ngx_str_t   key;

    ngx_autocert_plan_alive(plan);

    buf = ngx_pnalloc(pool, NGX_AUTOCERT_PLAN_KEY);

    if (buf) {
        ngx_autocert_plan_key(id, buf, &key);
        state->key = key;

        if (ngx_autocert_plan_is(&state->next_key, &key)) {
            ngx_str_null(&state->next_key);
            ngx_str_null(&state->next_account);
        }
    }

    ngx_str_null(&state->issuer);
    state->window_start = 0;
    state->window_end = 0;
    state->renew_at = 0;
    state->look_at = 0;

    plan->names[index].look = NGX_AUTOCERT_PLAN_NEVER;
    plan->names[index].renew = 0;
    plan->names[index].wanted = !plan->names[index].never;
}


void
ngx_autocert_plan_unrevoked(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail)
{
    if (fail->scope == NGX_AUTOCERT_FAIL_CA) {
        ngx_autocert_plan_hold(plan, now, fail);
    }
}


ngx_int_t
ngx_autocert_plan_begin(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_state_t *state, ngx_autocert_issued_t *issued,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail)
{
    plan->looked = 0;
    plan->turn++;

    ngx_autocert_plan_settle(plan, index, state);

    /* one that is counted already is gone on with */

    if ((state->order.len == 0
         || !ngx_autocert_plan_is(&issued->order, &state->order))
        && ngx_autocert_plan_afford(issued, now, pool, fail) != NGX_OK)
    {
        if (fail->kind != NGX_AUTOCERT_FAIL_BUDGET) {
            return NGX_ERROR;
        }

        ngx_autocert_plan_spent(plan, index, now, fail, state);

        return NGX_DECLINED;
    }

    if (state->kind == NGX_AUTOCERT_FAIL_BUDGET) {
        state->kind = 0;
        ngx_str_null(&state->why);
        state->next_attempt = 0;
    }

    plan->names[index].spent = 0;

    state->tries++;

    if (state->tries > NGX_AUTOCERT_PLAN_TRIES) {
        state->failed_at = now;
        state->next_attempt = now + ngx_autocert_plan_backoff(plan,
                                     state->tries - NGX_AUTOCERT_PLAN_TRIES);
    }

    if (state->order.len == 0) {
        ngx_autocert_plan_slot(plan, now);
    }

    return NGX_OK;
}


/* The budget is. */

static void
ngx_autocert_plan_spent(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_fail_t *fail, ngx_autocert_state_t *state)
{
    state->kind = fail->kind;
    state->why = fail->why;
    ngx_str_null(&state->detail);
    state->failed_at = now;
    state->next_attempt = fail->retry_at;

    plan->names[index].spent = 1;
    plan->names[index].wanted = 0;
    plan->names[index].retry = fail->retry_at;
    plan->names[index].next_attempt = fail->retry_at;
}


ngx_int_t
ngx_autocert_plan_afford(ngx_autocert_issued_t *issued, time_t now,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail)
{
    time_t      life;
    ngx_uint_t  i;

    /*
     * By a clock of before or after this one's time: as of now.  But a clock
     * that is wrong itself puts nothing right.
     */

    for (i = 0; i < issued->n && now >= NGX_AUTOCERT_PLAN_EPOCH; i++) {
        if (issued->at[i] > now || issued->at[i] < NGX_AUTOCERT_PLAN_EPOCH) {
            issued->at[i] = now;
        }
    }

    life = issued->life ? issued->life : NGX_AUTOCERT_PLAN_WEEK;

    if (life >= NGX_AUTOCERT_PLAN_WEEK
        && ngx_autocert_plan_within(issued, now, NGX_AUTOCERT_PLAN_WEEKLY,
                                    NGX_AUTOCERT_PLAN_WEEK, pool, fail)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_autocert_plan_within(issued, now, NGX_AUTOCERT_PLAN_BUDGET,
                                    ngx_max(life / 2,
                                            NGX_AUTOCERT_PLAN_LEAST),
                                    pool, fail);
}


ngx_uint_t
ngx_autocert_plan_left(ngx_autocert_issued_t *issued, time_t now)
{
    time_t      life;
    ngx_uint_t  left;

    life = issued->life ? issued->life : NGX_AUTOCERT_PLAN_WEEK;

    left = NGX_AUTOCERT_PLAN_BUDGET
           - ngx_autocert_plan_used(issued, now, NGX_AUTOCERT_PLAN_BUDGET,
                                    ngx_max(life / 2,
                                            NGX_AUTOCERT_PLAN_LEAST));

    if (life < NGX_AUTOCERT_PLAN_WEEK) {
        return left;
    }

    return ngx_min(left, NGX_AUTOCERT_PLAN_WEEKLY
                         - ngx_autocert_plan_used(issued, now,
                                                  NGX_AUTOCERT_PLAN_WEEKLY,
                                                  NGX_AUTOCERT_PLAN_WEEK));
}


static ngx_uint_t
ngx_autocert_plan_used(ngx_autocert_issued_t *issued, time_t now,
    ngx_uint_t max, time_t span)
{
    ngx_uint_t  i;

    max = ngx_min(max, issued->n);

    for (i = 0; i < max; i++) {
        if (ngx_min(issued->at[i], now) + span <= now) {
            break;
        }
    }

    return i;
}


static ngx_int_t
ngx_autocert_plan_within(ngx_autocert_issued_t *issued, time_t now,
    ngx_uint_t max, time_t span, ngx_pool_t *pool, ngx_autocert_fail_t *fail)
{
    char       *unit;
    u_char      date[24];
    time_t      n, first;
    ngx_str_t   since;

    if (issued->n < max) {
        return NGX_OK;
    }

    first = ngx_min(issued->at[max - 1], now);

    if (first + span <= now) {
        return NGX_OK;
    }

    since.data = date;
    since.len = ngx_autocert_time_print(date, first) - date;

    n = span;
    unit = "s";

    if (span >= 2 * NGX_AUTOCERT_PLAN_DAY) {
        n = span / NGX_AUTOCERT_PLAN_DAY;
        unit = "days";

    } else if (span >= 2 * NGX_AUTOCERT_PLAN_HOUR) {
        n = span / NGX_AUTOCERT_PLAN_HOUR;
        unit = "hours";
    }

    (void) ngx_autocert_fail(fail, pool, NGX_AUTOCERT_FAIL_BUDGET,
                             "the budget is used up: %ui certificates since "
                             "%V, at most %ui in %T %s",
                             max, &since, max, n, unit);

    fail->retry_at = first + span;

    return NGX_ERROR;
}


void
ngx_autocert_plan_leave(ngx_autocert_state_t *state)
{
    /* without one, whoever begins asks for one */

    if (state->order.len) {
        ngx_autocert_plan_ended(state);
    }
}


static void
ngx_autocert_plan_ended(ngx_autocert_state_t *state)
{
    state->tries = 0;

    if (state->failures == 0) {
        state->next_attempt = 0;
    }
}


void
ngx_autocert_plan_count(ngx_autocert_issued_t *issued, time_t now,
    ngx_str_t *order)
{
    if (issued->n < NGX_AUTOCERT_STORE_ISSUED) {
        issued->n++;
    }

    ngx_memmove(&issued->at[1], &issued->at[0],
                (issued->n - 1) * sizeof(time_t));

    issued->at[0] = now;
    issued->order = *order;
}


void
ngx_autocert_plan_uncount(ngx_autocert_issued_t *issued, ngx_str_t *order)
{
    if (issued->n == 0 || !ngx_autocert_plan_is(&issued->order, order)) {
        return;
    }

    issued->n--;

    ngx_memmove(&issued->at[0], &issued->at[1], issued->n * sizeof(time_t));
    ngx_str_null(&issued->order);
}


ngx_int_t
ngx_autocert_plan_promise(ngx_autocert_state_t *state, u_char *id,
    ngx_str_t *account, ngx_pool_t *pool)
{
    u_char     *buf;
    ngx_str_t   key;

    buf = ngx_pnalloc(pool, NGX_AUTOCERT_PLAN_KEY);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_autocert_plan_key(id, buf, &key);

    if (ngx_autocert_plan_is(&state->next_key, &key)
        && ngx_autocert_plan_is(&state->next_account, account))
    {
        return NGX_DECLINED;
    }

    state->next_key = key;
    state->next_account = *account;

    return NGX_OK;
}


void
ngx_autocert_plan_issued(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_chain_t *chain, ngx_str_t *account,
    ngx_autocert_state_t *state, ngx_autocert_issued_t *issued,
    ngx_pool_t *pool)
{
    ngx_str_t  challenge;

    ngx_autocert_plan_alive(plan);
    ngx_autocert_plan_spread(plan, index, now);

    plan->issued++;
    plan->names[index].suspect = 0;
    plan->names[index].wanted = 0;

    challenge = state->challenge;
    issued->life = ngx_max(chain->not_after - chain->not_before, 1);

    ngx_memzero(state, sizeof(ngx_autocert_state_t));

    state->challenge = challenge;
    state->ca = plan->acf->ca;
    state->setup = plan->names[index].setup;

    /* without it the pair is one like those that are put there by hand */

    (void) ngx_autocert_plan_promise(state, chain->id, account, pool);

    ngx_autocert_plan_found(plan, index, now, chain, state, 0);
}


void
ngx_autocert_plan_failed(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_fail_t *fail, ngx_autocert_state_t *state,
    ngx_autocert_plan_failed_t *failed)
{
    time_t                     from;
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];
    name->order = (state->order.len != 0);
    name->wanted = 0;

    ngx_memzero(failed, sizeof(ngx_autocert_plan_failed_t));

    ngx_autocert_plan_settle(plan, index, state);
    ngx_autocert_plan_ended(state);

    from = now;

    if (fail->scope == NGX_AUTOCERT_FAIL_CA) {

        if (!ngx_autocert_plan_blamed(plan, index)) {
            ngx_autocert_plan_hold(plan, now, fail);
            ngx_autocert_plan_suspect(plan, index, state);

            failed->next = plan->ca.hold;
            failed->times = plan->ca.failures;
            failed->held = 1;
            return;
        }

        ngx_autocert_plan_asked(plan, now, fail);
        from = ngx_max(plan->ca.hold, now);
    }

    if (fail->kind == NGX_AUTOCERT_FAIL_BUDGET) {
        ngx_autocert_plan_spent(plan, index, now, fail, state);
        failed->next = name->retry;
        return;
    }

    state->kind = fail->kind;
    state->why = fail->why;
    state->detail = fail->detail;
    state->failed_at = now;

    if (fail->scope == NGX_AUTOCERT_FAIL_DOMAIN) {
        ngx_autocert_plan_alive(plan);
        ngx_autocert_plan_limited(plan, now, fail, failed);
        return;
    }

    state->failures++;
    state->next_attempt = from + ngx_autocert_plan_delay(plan, index, now,
                                                         fail,
                                                         state->failures);
    state->next_attempt = ngx_max(state->next_attempt, fail->retry_at);

    name->retry = state->next_attempt;
    name->next_attempt = state->next_attempt;
    name->failed = 1;
    failed->next = name->retry;

    ngx_autocert_plan_unreached(plan, index, now, fail);
    failed->held = (plan->ca.hold > now);
    failed->times = state->failures;
}


/*
 * It is not the name's fault: it goes on when the CA does, but behind the
 * others, for it may be.
 */

static void
ngx_autocert_plan_suspect(ngx_autocert_plan_t *plan, ngx_uint_t index,
    ngx_autocert_state_t *state)
{
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];

    if (!name->suspect) {
        name->suspect = 1;
        name->issued = plan->issued;
    }

    name->failed = 1;
    name->retry = plan->ca.hold;
    name->next_attempt = state->next_attempt;
}


/* The CA has failed at it before, and not at another one since. */

static ngx_uint_t
ngx_autocert_plan_blamed(ngx_autocert_plan_t *plan, ngx_uint_t index)
{
    ngx_autocert_plan_name_t  *name;

    name = &plan->names[index];

    return name->suspect && name->issued != plan->issued;
}


static time_t
ngx_autocert_plan_backoff(ngx_autocert_plan_t *plan, ngx_uint_t failures)
{
    return ngx_autocert_time_backoff(ngx_max(failures, 1), plan->random());
}


static time_t
ngx_autocert_plan_daily(ngx_autocert_plan_t *plan)
{
    return NGX_AUTOCERT_PLAN_DAY
           - plan->random() % (NGX_AUTOCERT_PLAN_DAY / 4);
}


static time_t
ngx_autocert_plan_delay(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_fail_t *fail, ngx_uint_t failures)
{
    time_t  end;

    end = plan->names[index].end;

    if (fail->lasting) {
        return ngx_autocert_plan_daily(plan);
    }

    /* more often again around the end of what is served */

    if (failures > NGX_AUTOCERT_PLAN_HOURLY
        && (end > now + NGX_AUTOCERT_PLAN_WEEK
            || end + NGX_AUTOCERT_PLAN_WEEK < now))
    {
        return ngx_autocert_plan_daily(plan);
    }

    return ngx_autocert_plan_backoff(plan, failures);
}


static void
ngx_autocert_plan_hold(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail)
{
    ngx_autocert_ca_t  *ca;

    ca = &plan->ca;

    ca->failures++;
    ca->failed_at = now;
    ca->kind = fail->kind;
    ca->hold = now + ngx_autocert_plan_backoff(plan, ca->failures);
    ca->hold = ngx_max(ca->hold, fail->retry_at);

    plan->changed = 1;
}


/* What the CA asks for stands, whoever is to blame. */

static void
ngx_autocert_plan_asked(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail)
{
    ngx_autocert_ca_t  *ca;

    ca = &plan->ca;

    if (fail->retry_at <= ngx_max(ca->hold, now)) {
        return;
    }

    ca->failures = ngx_max(ca->failures, 1);
    ca->failed_at = now;
    ca->kind = fail->kind;
    ca->hold = fail->retry_at;

    plan->changed = 1;
}


static void
ngx_autocert_plan_alive(ngx_autocert_plan_t *plan)
{
    plan->unreached = 0;

    if (plan->ca.failures) {
        plan->ca.failures = 0;
        plan->ca.hold = 0;
        plan->changed = 1;
    }
}


/* What is the name's own at first is the CA's when the next one meets it. */

static void
ngx_autocert_plan_unreached(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_fail_t *fail)
{
    switch (fail->kind) {

    case NGX_AUTOCERT_FAIL_NETWORK:

        if (plan->unreached && plan->last == index) {
            break;
        }

        plan->last = index;

        if (++plan->unreached >= 2) {
            ngx_autocert_plan_hold(plan, now, fail);
        }

        break;

    case NGX_AUTOCERT_FAIL_REFUSED:
        ngx_autocert_plan_alive(plan);
        break;
    }
}


/* The CA gives no more certificates to names below a domain for now. */

static void
ngx_autocert_plan_limited(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail, ngx_autocert_plan_failed_t *failed)
{
    time_t                  due, interval;
    ngx_uint_t              i;
    ngx_autocert_name_t    *name;
    ngx_autocert_domain_t  *domain;

    domain = ngx_autocert_plan_domain(plan, &fail->domain);

    domain->until = now + NGX_AUTOCERT_PLAN_HOUR;
    domain->until = ngx_max(domain->until, fail->retry_at);
    domain->interval = ngx_min(fail->interval, NGX_AUTOCERT_PLAN_WEEK);
    domain->end = domain->until
                  + ngx_max(fail->span, NGX_AUTOCERT_PLAN_WEEK);

    plan->changed = 1;

    interval = domain->interval ? domain->interval : domain->until - now;
    name = plan->acf->names.elts;

    failed->next = domain->until;
    failed->all = domain->until;

    for (i = 0; i < plan->acf->names.nelts; i++) {

        due = ngx_max(plan->names[i].renew, plan->names[i].retry);

        if (plan->names[i].never || due > domain->until
            || !ngx_autocert_plan_below(&name[i].name, domain->data,
                                        domain->len))
        {
            continue;
        }

        if (failed->names++) {
            failed->all += interval;
        }
    }
}


/* The place of a domain; the one that is over first makes room. */

static ngx_autocert_domain_t *
ngx_autocert_plan_domain(ngx_autocert_plan_t *plan, ngx_str_t *domain)
{
    ngx_uint_t              i;
    ngx_autocert_domain_t  *d, *first;

    d = plan->ca.domains;
    first = d;

    for (i = 0; i < plan->ca.ndomains; i++) {

        if (d[i].len == domain->len
            && ngx_memcmp(d[i].data, domain->data, domain->len) == 0)
        {
            return &d[i];
        }

        if (d[i].end < first->end) {
            first = &d[i];
        }
    }

    if (plan->ca.ndomains < NGX_AUTOCERT_STORE_DOMAINS) {
        first = &d[plan->ca.ndomains++];
    }

    first->len = ngx_min(domain->len, sizeof(first->data));
    ngx_memcpy(first->data, domain->data, first->len);

    return first;
}


static ngx_uint_t
ngx_autocert_plan_below(ngx_str_t *name, u_char *domain, size_t len)
{
    u_char  *tail;

    if (name->len < len) {
        return 0;
    }

    tail = name->data + name->len - len;

    return ngx_memcmp(tail, domain, len) == 0
           && (name->len == len || tail[-1] == '.');
}


/* No order for the name before. */

static time_t
ngx_autocert_plan_limit(ngx_autocert_plan_t *plan, ngx_uint_t index)
{
    time_t                  until;
    ngx_uint_t              i;
    ngx_autocert_name_t    *name;
    ngx_autocert_domain_t  *domain;

    name = plan->acf->names.elts;
    domain = plan->ca.domains;
    until = 0;

    for (i = 0; i < plan->ca.ndomains; i++) {

        if (domain[i].until > until
            && ngx_autocert_plan_below(&name[index].name, domain[i].data,
                                       domain[i].len))
        {
            until = domain[i].until;
        }
    }

    return until;
}


/* One was had: the next one below the same domain in its time. */

static void
ngx_autocert_plan_spread(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now)
{
    ngx_uint_t              i;
    ngx_autocert_name_t    *name;
    ngx_autocert_domain_t  *domain;

    name = plan->acf->names.elts;
    domain = plan->ca.domains;

    for (i = 0; i < plan->ca.ndomains; /* void */ ) {

        if (domain[i].end <= now) {
            domain[i] = domain[--plan->ca.ndomains];
            plan->changed = 1;
            continue;
        }

        if (ngx_autocert_plan_below(&name[index].name, domain[i].data,
                                    domain[i].len))
        {
            domain[i].until = now + domain[i].interval;
            plan->changed = 1;
        }

        i++;
    }
}


ngx_uint_t
ngx_autocert_plan_window(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_chain_t *chain, ngx_autocert_window_t *window,
    ngx_autocert_state_t *state)
{
    time_t      start, end, look;
    ngx_uint_t  same, rc;

    plan->unseen = 0;

    look = window->retry_at ? window->retry_at : now + NGX_AUTOCERT_PLAN_LOOK;
    look = ngx_max(look, now + NGX_AUTOCERT_PLAN_LOOK_MIN);
    look = ngx_min(look, now + NGX_AUTOCERT_PLAN_LOOK_MAX);

    state->look_at = look;
    state->looks = 0;
    plan->names[index].look = look;
    plan->names[index].look_at = look;

    same = (state->window_start == window->start
            && state->window_end == window->end && state->renew_at);

    state->window_start = window->start;
    state->window_end = window->end;

    start = ngx_max(window->start, chain->not_before);
    end = ngx_min(window->end, chain->not_after);

    if (window->end <= window->start || window->start >= chain->not_after) {
        state->window_start = 0;
        state->window_end = 0;
        state->renew_at = 0;
        rc = NGX_AUTOCERT_PLAN_ABSURD;

    /* NOLINTNEXTLINE(bugprone-branch-clone): the order of the cases counts */
    } else if (same) {
        rc = NGX_AUTOCERT_PLAN_SAME;

    } else if (window->end <= now || end <= start) {
        state->renew_at = window->end;
        rc = NGX_AUTOCERT_PLAN_PAST;

    } else if (state->renew_at >= start && state->renew_at <= end) {
        rc = NGX_AUTOCERT_PLAN_SAME;

    } else {
        state->renew_at = start + plan->random() % (end - start);
        rc = NGX_AUTOCERT_PLAN_CHOSEN;
    }

    ngx_autocert_plan_renew(plan, index, chain, state);

    return rc;
}


void
ngx_autocert_plan_look(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_state_t *state)
{
    time_t  delay;

    plan->looked = 1;

    delay = NGX_AUTOCERT_PLAN_LOOK_MIN << ngx_min(state->looks, 8);
    delay = ngx_min(delay, NGX_AUTOCERT_PLAN_LOOK);
    delay -= plan->random() % (delay / 4);

    state->looks++;
    state->look_at = now + delay;
    plan->names[index].look = state->look_at;
    plan->names[index].look_at = state->look_at;
}


void
ngx_autocert_plan_unseen(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_fail_t *fail, ngx_autocert_state_t *state)
{
    time_t  most, blind;

    if (fail == NULL) {
        state->looks = 0;
        plan->ca.blind = now + NGX_AUTOCERT_PLAN_DAY;
        plan->changed = 1;
        return;
    }

    most = now + NGX_AUTOCERT_PLAN_LOOK_MAX;

    state->look_at = ngx_max(state->look_at, fail->retry_at);
    state->look_at = ngx_min(state->look_at, most);
    plan->names[index].look = state->look_at;
    plan->names[index].look_at = state->look_at;

    switch (fail->scope) {

    case NGX_AUTOCERT_FAIL_CA:
        ngx_autocert_plan_hold(plan, now, fail);
        break;

    case NGX_AUTOCERT_FAIL_WINDOWS:
        blind = now + ngx_autocert_plan_backoff(plan, ++plan->unseen);
        blind = ngx_min(ngx_max(blind, fail->retry_at), most);

        plan->ca.blind = ngx_max(plan->ca.blind, blind);
        plan->changed = 1;
        break;
    }
}


void
ngx_autocert_plan_tell(ngx_autocert_plan_t *plan, time_t now)
{
    plan->ca.contacts_at = now + NGX_AUTOCERT_PLAN_HOUR;
    plan->changed = 1;
}


void
ngx_autocert_plan_told(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail)
{
    if (fail == NULL) {
        plan->contacts = 0;
        plan->ca.contacts_at = 0;
        plan->changed = 1;
        ngx_autocert_plan_alive(plan);
        return;
    }

    if (fail->scope == NGX_AUTOCERT_FAIL_CA) {
        ngx_autocert_plan_hold(plan, now, fail);
    }

    plan->ca.contacts_at = now + NGX_AUTOCERT_PLAN_DAY;
    plan->ca.contacts_at = ngx_max(plan->ca.contacts_at, fail->retry_at);
    plan->changed = 1;
}
