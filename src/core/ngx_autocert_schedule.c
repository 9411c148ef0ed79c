
#include "ngx_autocert_schedule.h"
#include "ngx_autocert_choice.h"
#include "ngx_autocert_driver.h"
#include "ngx_autocert_solver.h"
#include "ngx_autocert_sweep.h"

#include <openssl/rand.h>


#define NGX_AUTOCERT_SCHEDULE_LOCK      500     /* ms between two tries */
#define NGX_AUTOCERT_SCHEDULE_LOOK      60000   /* ms; clocks are set */
#define NGX_AUTOCERT_SCHEDULE_RELOAD    600     /* s */
#define NGX_AUTOCERT_SCHEDULE_NEVER     NGX_MAX_TIME_T_VALUE
#define NGX_AUTOCERT_SCHEDULE_FOLLOW    64      /* names looked at */
#define NGX_AUTOCERT_SCHEDULE_DETAIL    800     /* bytes; a line has 2048 */


/* What the clock knows of a name. */

typedef struct {
    time_t                    due;      /* to be ordered, not before */
    unsigned                  held:1;   /* has a certificate */
    unsigned                  order:1;  /* was being obtained before us */
    unsigned                  never:1;  /* is not to be ordered at all */
} ngx_autocert_due_t;


typedef struct {
    ngx_autocert_helper_t    *helper;
    ngx_autocert_due_t       *names;
    time_t                    hold;     /* the CA can't be reached */
    ngx_uint_t                unreached;
    ngx_event_t               event;
    unsigned                  ready:1;
    unsigned                  busy:1;
    unsigned                  told:1;   /* that another has the lock */
    unsigned                  reload:1; /* the first helper of its cycle */
} ngx_autocert_schedule_t;


static void ngx_autocert_schedule_found(ngx_uint_t index,
    ngx_autocert_chain_t *chain);
static void ngx_autocert_schedule_ready(void);
static void ngx_autocert_schedule_reach(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_unreached(ngx_autocert_schedule_t *s,
    ngx_autocert_name_t *name, ngx_uint_t n);
static void ngx_autocert_schedule_handler(ngx_event_t *ev);
static void ngx_autocert_schedule_follow(ngx_autocert_schedule_t *s);
static ngx_int_t ngx_autocert_schedule_lock(ngx_autocert_schedule_t *s);
static void ngx_autocert_schedule_next(ngx_autocert_schedule_t *s);
static ngx_uint_t ngx_autocert_schedule_before(ngx_autocert_due_t *a,
    ngx_autocert_due_t *b);
static void ngx_autocert_schedule_done(ngx_uint_t index,
    ngx_autocert_chain_t *chain, ngx_autocert_fail_t *fail, ngx_log_t *log);
static void ngx_autocert_schedule_issued(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_chain_t *chain,
    ngx_autocert_state_t *state);
static void ngx_autocert_schedule_failed(ngx_autocert_schedule_t *s,
    ngx_uint_t index, ngx_autocert_fail_t *fail, ngx_autocert_state_t *state,
    ngx_log_t *log);
static time_t ngx_autocert_schedule_backoff(ngx_uint_t failures);


static ngx_autocert_schedule_t  ngx_autocert_schedule;


ngx_int_t
ngx_autocert_schedule_start(ngx_autocert_helper_t *helper)
{
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    s->helper = helper;
    s->reload = (helper->acf->core->starts->total == 0);

    s->names = ngx_pcalloc(helper->cycle->pool,
                           helper->acf->names.nelts
                           * sizeof(ngx_autocert_due_t));

    if (s->names == NULL
        || ngx_autocert_driver_init(helper, ngx_autocert_schedule_done)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_autocert_timer(&s->event, helper->log, ngx_autocert_schedule_handler);

    ngx_autocert_schedule_reach(s);

    return ngx_autocert_sweep_start(helper, ngx_autocert_schedule_found,
                                    ngx_autocert_schedule_ready);
}


void
ngx_autocert_schedule_stop(void)
{
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    ngx_autocert_sweep_stop();

    if (s->event.timer_set) {
        ngx_del_timer(&s->event);
    }

    ngx_autocert_driver_leave();
    s->busy = 0;

    if (s->helper) {
        ngx_autocert_store_unlock(&s->helper->store);
    }
}


/* A pair on disk: when is its name due? */

static void
ngx_autocert_schedule_found(ngx_uint_t index, ngx_autocert_chain_t *chain)
{
    ngx_pool_t               *pool;
    ngx_autocert_due_t       *due;
    ngx_autocert_fail_t       fail;
    ngx_autocert_name_t      *name;
    ngx_autocert_state_t      state;
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    due = &s->names[index];
    name = s->helper->acf->names.elts;
    name += index;

    due->held = (chain != NULL);
    due->due = chain ? ngx_autocert_time_renewal(chain->not_before,
                                                 chain->not_after,
                                                 name->renew_before)
                     : 0;

    pool = ngx_create_pool(4096, s->helper->log);
    if (pool == NULL) {
        return;
    }

    if (ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                     &state, &fail)
        == NGX_ERROR)
    {
        ngx_log_error(NGX_LOG_WARN, s->helper->log, 0,
                      "autocert: what is remembered of \"%V\" can't be read "
                      "and is begun anew: %V", &name->name, &fail.why);
    }

    due->order = (state.order.len != 0);

    /* an operator who reloads has mended something: one try, now and then */

    if (state.failures
        && !(s->reload
             && ngx_time() - state.failed_at >= NGX_AUTOCERT_SCHEDULE_RELOAD))
    {
        due->due = ngx_max(due->due, state.next_attempt);
    }

    if (due->never) {
        due->due = NGX_AUTOCERT_SCHEDULE_NEVER;
    }

    ngx_destroy_pool(pool);

    if (s->ready && !s->busy) {
        ngx_autocert_schedule_next(s);
    }
}


static void
ngx_autocert_schedule_ready(void)
{
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    s->ready = 1;

    ngx_autocert_schedule_handler(&s->event);

    /* now a worker that finds no challenge on the board knows that none is */

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

        ngx_autocert_choice(s->helper->acf, &name[i], 0, &choice);

        if (!name[i].bootstrap && choice.type) {
            continue;
        }

        s->names[i].never = 1;
        s->names[i].due = NGX_AUTOCERT_SCHEDULE_NEVER;

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
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    if (ngx_autocert_schedule_lock(s) != NGX_OK) {
        ngx_autocert_schedule_follow(s);
        ngx_add_timer(ev, NGX_AUTOCERT_SCHEDULE_LOCK);
        return;
    }

    ngx_autocert_schedule_next(s);
}


/*
 * During an upgrade the order is that of the old master's helper, and the CA
 * asks the workers of both.
 */

static void
ngx_autocert_schedule_follow(ngx_autocert_schedule_t *s)
{
    time_t      now;
    ngx_uint_t  i, looked;

    now = ngx_time();
    looked = 0;

    for (i = 0; i < s->helper->acf->names.nelts; i++) {

        if (s->names[i].due > now) {
            continue;
        }

        if (ngx_autocert_driver_follow(i) == NGX_OK
            || ++looked == NGX_AUTOCERT_SCHEDULE_FOLLOW)
        {
            return;
        }
    }
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

    if (rc != NGX_OK && !s->told) {
        s->told = 1;

        if (rc == NGX_AGAIN) {
            ngx_log_error(NGX_LOG_INFO, s->helper->log, 0,
                          "autocert: another process renews the certificates "
                          "in \"%V\", waiting for it to leave",
                          &s->helper->acf->path);

        } else {
            ngx_log_error(NGX_LOG_ERR, s->helper->log, 0,
                          "autocert: %V; no certificate is obtained until "
                          "that is mended", &fail.why);
        }
    }

    ngx_destroy_pool(pool);

    return rc;
}


static void
ngx_autocert_schedule_next(ngx_autocert_schedule_t *s)
{
    time_t               now, when;
    ngx_uint_t           i, n, best;
    ngx_msec_t           delay;
    ngx_autocert_due_t  *name;

    if (s->helper->store.lock == -1 || s->busy) {
        return;
    }

    now = ngx_time();
    name = s->names;
    n = s->helper->acf->names.nelts;
    best = n;
    when = NGX_AUTOCERT_SCHEDULE_NEVER;

    for (i = 0; i < n; i++) {
        when = ngx_min(when, name[i].due);

        if (name[i].due > now) {
            continue;
        }

        if (best == n
            || ngx_autocert_schedule_before(&name[i], &name[best]))
        {
            best = i;
        }
    }

    if (best != n && s->hold <= now) {
        s->busy = 1;

        /* who had the lock before may have obtained it meanwhile */

        ngx_autocert_sweep_look(best);

        if (name[best].due <= now) {
            name[best].order = 0;
            ngx_autocert_driver_start(best);
            return;
        }

        s->busy = 0;
        ngx_add_timer(&s->event, 1);
        return;
    }

    when = ngx_max(when, s->hold);

    delay = NGX_AUTOCERT_SCHEDULE_LOOK;

    if (when - now < NGX_AUTOCERT_SCHEDULE_LOOK / 1000) {
        delay = ngx_max(when - now, 0) * 1000 + 1;
    }

    ngx_add_timer(&s->event, delay);
}


/*
 * An order under way, as its challenge may be: one that is begun would take
 * its place on the board.  Then no certificate yet, then the earliest instant.
 */

static ngx_uint_t
ngx_autocert_schedule_before(ngx_autocert_due_t *a, ngx_autocert_due_t *b)
{
    if (a->order != b->order) {
        return a->order;
    }

    if (a->held != b->held) {
        return b->held;
    }

    return a->due < b->due;
}


static void
ngx_autocert_schedule_done(ngx_uint_t index, ngx_autocert_chain_t *chain,
    ngx_autocert_fail_t *fail, ngx_log_t *log)
{
    ngx_pool_t               *pool;
    ngx_autocert_fail_t       wrong;
    ngx_autocert_name_t      *name;
    ngx_autocert_state_t      state;
    ngx_autocert_schedule_t  *s = &ngx_autocert_schedule;

    s->busy = 0;

    name = s->helper->acf->names.elts;
    name += index;

    pool = ngx_create_pool(4096, s->helper->log);

    if (pool == NULL) {
        s->names[index].due = ngx_time() + ngx_autocert_schedule_backoff(1);
        ngx_add_timer(&s->event, NGX_AUTOCERT_SCHEDULE_LOOK);
        return;
    }

    (void) ngx_autocert_store_state_get(&s->helper->store, pool, &name->name,
                                        &state, &wrong);

    state.ca = s->helper->acf->ca;

    if (chain) {
        ngx_autocert_schedule_issued(s, index, chain, &state);

    } else {
        ngx_autocert_schedule_failed(s, index, fail, &state, log);
    }

    /* where the store is what failed, that is said already */

    if (ngx_autocert_store_state_put(&s->helper->store, pool, &name->name,
                                     &state, &wrong)
        != NGX_OK
        && (chain || fail->kind != wrong.kind))
    {
        ngx_log_error(NGX_LOG_ERR, s->helper->log, 0,
                      "autocert: what is to be remembered of \"%V\" can't "
                      "be written: %V", &name->name, &wrong.why);
    }

    ngx_destroy_pool(pool);

    /* not from within the driver, which is on its way out */

    ngx_add_timer(&s->event, 1);
}


static void
ngx_autocert_schedule_issued(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_chain_t *chain, ngx_autocert_state_t *state)
{
    u_char                end[24], renewal[24];
    time_t                due;
    ngx_str_t             e, r;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += index;

    due = ngx_autocert_time_renewal(chain->not_before, chain->not_after,
                                    name->renew_before);

    e.data = end;
    e.len = ngx_autocert_time_print(end, chain->not_after) - end;
    r.data = renewal;
    r.len = ngx_autocert_time_print(renewal, due) - renewal;

    ngx_log_error(NGX_LOG_NOTICE, s->helper->log, 0,
                  "autocert: certificate of \"%V\" %s, served from now on, "
                  "valid until %V (%T days), to be renewed at %V, CA: %V",
                  &name->name, s->names[index].held ? "renewed" : "issued",
                  &e, (chain->not_after - ngx_time()) / 86400, &r,
                  &s->helper->acf->ca);

    s->names[index].held = 1;
    s->names[index].due = due;
    s->unreached = 0;

    if (state->nissued < NGX_AUTOCERT_STATE_BUDGET) {
        state->nissued++;
    }

    ngx_memmove(&state->issued[1], &state->issued[0],
                (state->nissued - 1) * sizeof(time_t));
    state->issued[0] = ngx_time();
    state->issued_at = ngx_time();

    ngx_str_null(&state->order);
    ngx_str_null(&state->token);
    ngx_str_null(&state->why);
    ngx_str_null(&state->detail);
    state->failures = 0;
    state->next_attempt = 0;
    state->failed_at = 0;
    state->kind = 0;
}


static void
ngx_autocert_schedule_failed(ngx_autocert_schedule_t *s, ngx_uint_t index,
    ngx_autocert_fail_t *fail, ngx_autocert_state_t *state, ngx_log_t *log)
{
    u_char                date[24];
    time_t                next;
    ngx_str_t             d, detail;
    ngx_uint_t            level;
    ngx_autocert_name_t  *name;

    name = s->helper->acf->names.elts;
    name += index;

    state->failures++;

    next = ngx_time() + ngx_autocert_schedule_backoff(state->failures);
    next = ngx_max(next, fail->retry_at);

    /* a CA that can't be reached for one name can't be for the others */

    if (fail->kind == NGX_AUTOCERT_FAIL_NETWORK) {
        s->hold = ngx_time() + ngx_autocert_schedule_backoff(++s->unreached);

    } else {
        s->unreached = 0;
    }

    d.data = date;
    d.len = ngx_autocert_time_print(date, next) - date;

    detail = fail->detail;
    detail.len = ngx_min(detail.len, NGX_AUTOCERT_SCHEDULE_DETAIL);

    level = NGX_LOG_WARN;

    if (fail->kind == NGX_AUTOCERT_FAIL_CONFIGURATION) {
        level = NGX_LOG_ERR;
    }

    ngx_log_error(level, log, 0,
                  "autocert: no %scertificate for \"%V\": %V%s%V%s%s%V, "
                  "next try at %V",
                  s->names[index].held ? "new " : "", &name->name,
                  &fail->why, fail->detail.len ? " (" : "",
                  &detail, fail->detail.len ? ")" : "",
                  fail->cause.len ? "; likely cause: " : "", &fail->cause,
                  &d);

    s->names[index].due = next;

    state->kind = fail->kind;
    state->why = fail->why;
    state->detail = fail->detail;
    state->failed_at = ngx_time();
    state->next_attempt = next;
}


static time_t
ngx_autocert_schedule_backoff(ngx_uint_t failures)
{
    uint32_t  random;

    if (RAND_bytes((u_char *) &random, sizeof(uint32_t)) != 1) {
        random = 0;
    }

    return ngx_autocert_time_backoff(failures, random);
}
