
#include "ngx_autocert_sweep.h"


#define NGX_AUTOCERT_SWEEP_CHUNK  64    /* names in one turn of the loop */


/* What is known of a name. */

typedef struct {
    ngx_autocert_stamp_t          stamp;    /* of what was looked at last */
    uint32_t                      told;     /* CRC-32 of why it is not read */
    unsigned                      known:1;  /* what there is at the start */
    unsigned                      glanced:1;    /* known, but never read */
    unsigned                      own:1;    /* the next change is our own */
} ngx_autocert_sweep_name_t;


typedef struct {
    ngx_autocert_helper_t        *helper;
    ngx_autocert_sweep_found_pt   found;
    ngx_autocert_sweep_ready_pt   ready;
    ngx_autocert_sweep_name_t    *names;
    ngx_uint_t                    next;
    ngx_event_t                   event;
    unsigned                      first:1;
} ngx_autocert_sweep_t;


static void ngx_autocert_sweep_handler(ngx_event_t *ev);
static ngx_int_t ngx_autocert_sweep_glance(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_stamp_t *stamp, ngx_pool_t *pool);
static ngx_uint_t ngx_autocert_sweep_again(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_stamp_t *stamp);
static void ngx_autocert_sweep_loaded(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_stamp_t *stamp, ngx_autocert_pair_t *pair);
static ngx_int_t ngx_autocert_sweep_pair(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_pair_t *pair, ngx_uint_t old);
static ngx_uint_t ngx_autocert_sweep_new(ngx_autocert_sweep_name_t *seen,
    ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_sweep_unread(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_fail_t *fail);
static ngx_int_t ngx_autocert_sweep_damaged(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_fail_t *fail, ngx_pool_t *pool);


static ngx_autocert_sweep_t  ngx_autocert_sweep;


ngx_int_t
ngx_autocert_sweep_start(ngx_autocert_helper_t *helper,
    ngx_autocert_sweep_found_pt found, ngx_autocert_sweep_ready_pt ready)
{
    ngx_autocert_sweep_t  *sweep = &ngx_autocert_sweep;

    sweep->names = ngx_pcalloc(helper->cycle->pool,
                               helper->acf->names.nelts
                               * sizeof(ngx_autocert_sweep_name_t));
    if (sweep->names == NULL) {
        return NGX_ERROR;
    }

    sweep->helper = helper;
    sweep->found = found;
    sweep->ready = ready;
    sweep->first = 1;

    ngx_autocert_timer(&sweep->event, helper->log,
                       ngx_autocert_sweep_handler);
    ngx_add_timer(&sweep->event, helper->pause);

    return NGX_OK;
}


void
ngx_autocert_sweep_stop(void)
{
    if (ngx_autocert_sweep.event.timer_set) {
        ngx_del_timer(&ngx_autocert_sweep.event);
    }
}


void
ngx_autocert_sweep_own(ngx_uint_t index)
{
    ngx_autocert_sweep.names[index].own = 1;
}


static void
ngx_autocert_sweep_handler(ngx_event_t *ev)
{
    ngx_uint_t             n, last;
    ngx_autocert_sweep_t  *sweep = &ngx_autocert_sweep;

    if (ngx_autocert_helper_store(sweep->helper) != NGX_OK) {
        ngx_add_timer(ev, NGX_AUTOCERT_SWEEP);
        return;
    }

    n = sweep->helper->acf->names.nelts;
    last = ngx_min(sweep->next + NGX_AUTOCERT_SWEEP_CHUNK, n);

    while (sweep->next < last) {
        (void) ngx_autocert_sweep_look(sweep->next++);
    }

    if (sweep->next < n) {
        ngx_add_timer(ev, 1);
        return;
    }

    sweep->next = 0;
    ngx_add_timer(ev, NGX_AUTOCERT_SWEEP);

    if (sweep->first) {
        sweep->first = 0;
        sweep->ready();
    }
}


ngx_int_t
ngx_autocert_sweep_look(ngx_uint_t index)
{
    u_char                      id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t                   rc;
    ngx_uint_t                  half;
    ngx_pool_t                 *pool;
    ngx_autocert_fail_t         fail;
    ngx_autocert_name_t        *name;
    ngx_autocert_pair_t         pair;
    ngx_autocert_stamp_t        stamp;
    ngx_autocert_sweep_t       *sweep = &ngx_autocert_sweep;
    ngx_autocert_sweep_name_t  *seen;

    name = sweep->helper->acf->names.elts;
    name += index;
    seen = &sweep->names[index];

    if (name->bootstrap) {
        return NGX_OK;
    }

    ngx_autocert_store_stamp(&sweep->helper->store, &name->name, &stamp);

    /* a keeper that could not use it when it was asked serves a bootstrap */

    if (seen->known
        && ngx_memcmp(&stamp, &seen->stamp, sizeof(ngx_autocert_stamp_t)) == 0
        && (stamp.chain[1] == 0
            || ngx_autocert_keeper_id(sweep->helper->keeper, index, id)
               != NGX_AGAIN))
    {
        return NGX_OK;
    }

    pool = ngx_create_pool(4096, sweep->helper->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_autocert_sweep_glance(sweep, index, &stamp, pool) == NGX_OK) {
        ngx_destroy_pool(pool);
        return NGX_OK;
    }

    half = ngx_autocert_sweep_again(sweep, index, &stamp);

    rc = ngx_autocert_store_load(&sweep->helper->store, pool, &name->name,
                                 &pair, &fail);

    if (rc == NGX_ERROR) {

        if (!fail.damaged) {
            rc = ngx_autocert_sweep_unread(sweep, index, &fail);

        } else {
            seen->stamp = stamp;
            rc = half ? NGX_ERROR
                      : ngx_autocert_sweep_damaged(sweep, index, &fail, pool);
        }

        ngx_destroy_pool(pool);

        return rc;
    }

    ngx_destroy_pool(pool);

    ngx_autocert_sweep_loaded(sweep, index, &stamp,
                              (rc == NGX_OK) ? &pair : NULL);

    return NGX_OK;
}


/* pair NULL: there is none in the store. */

static void
ngx_autocert_sweep_loaded(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_stamp_t *stamp, ngx_autocert_pair_t *pair)
{
    ngx_uint_t                  old, known;
    ngx_autocert_sweep_name_t  *seen;

    seen = &sweep->names[index];

    known = seen->known;
    old = !known || seen->own;

    seen->stamp = *stamp;
    seen->told = 0;
    seen->own = 0;
    seen->known = 1;

    if (pair == NULL) {

        if (!known) {
            sweep->found(index, NULL);
        }

        return;
    }

    sweep->found(index, pair->chain);

    if (ngx_autocert_sweep_pair(sweep, index, pair, old) != NGX_OK) {

        /* it is looked at again */

        ngx_memzero(&seen->stamp, sizeof(ngx_autocert_stamp_t));
    }
}


/*
 * At the start a look is enough, as to read 10,000 pairs takes seconds: the
 * keeper reads a pair when it is first asked for it.  So it is where the
 * keeper has what we have put there ourselves.
 */

static ngx_int_t
ngx_autocert_sweep_glance(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_stamp_t *stamp, ngx_pool_t *pool)
{
    u_char                      id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t                   rc;
    ngx_autocert_name_t        *name;
    ngx_autocert_chain_t        facts;
    ngx_autocert_sweep_name_t  *seen;

    name = sweep->helper->acf->names.elts;
    name += index;
    seen = &sweep->names[index];

    rc = ngx_autocert_keeper_id(sweep->helper->keeper, index, id);

    if (rc == NGX_AGAIN
        || (seen->known && !(rc == NGX_OK && seen->own))
        || ngx_autocert_store_glance(&sweep->helper->store, pool, &name->name,
                                     &facts)
           != NGX_OK
        || (rc == NGX_OK
            && ngx_memcmp(id, facts.id, NGX_AUTOCERT_KEY_ID) != 0))
    {
        return NGX_DECLINED;
    }

    seen->stamp = *stamp;
    seen->told = 0;
    seen->own = 0;
    seen->known = 1;
    seen->glanced = 1;

    sweep->found(index, &facts);

    return NGX_OK;
}


/*
 * Before a pair is read that was only looked at: what turns out now was there
 * at the start, unless the keeper has read it since.  Returns 1 if it has
 * changed, and so may be in the midst of being replaced, file by file.
 */

static ngx_uint_t
ngx_autocert_sweep_again(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_stamp_t *stamp)
{
    u_char                      id[NGX_AUTOCERT_KEY_ID];
    ngx_autocert_sweep_name_t  *seen;

    seen = &sweep->names[index];

    if (!seen->glanced) {
        return 0;
    }

    /* it may turn out yet that the keeper can't use it: it has looked as we */

    seen->known = (ngx_autocert_keeper_id(sweep->helper->keeper, index, id)
                   == NGX_OK);
    seen->glanced = seen->known;

    return !seen->known
           && ngx_memcmp(stamp, &seen->stamp, sizeof(ngx_autocert_stamp_t))
              != 0;
}


/*
 * At the start a pair is read by the keeper when it is first asked for.  old:
 * it is no news if the keeper has its key.
 */

static ngx_int_t
ngx_autocert_sweep_pair(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_pair_t *pair, ngx_uint_t old)
{
    u_char                date[sizeof("2026-11-24T00:00:00Z")];
    u_char                id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t             rc;
    ngx_str_t             end;
    ngx_autocert_name_t  *name;

    name = sweep->helper->acf->names.elts;
    name += index;

    rc = ngx_autocert_keeper_id(sweep->helper->keeper, index, id);

    if (rc == NGX_DECLINED
        || (rc == NGX_OK && old
            && ngx_memcmp(id, pair->chain->id, NGX_AUTOCERT_KEY_ID) == 0))
    {
        ngx_autocert_store_pair_free(pair);
        return NGX_OK;
    }

    end.data = date;
    end.len = ngx_autocert_time_print(date, pair->chain->not_after) - date;

    if (ngx_autocert_helper_install(sweep->helper, index, pair) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_log_error(NGX_LOG_NOTICE, sweep->helper->log, 0,
                  "autocert: the certificate of \"%V\" in the store has "
                  "changed, the new one is served from now on, valid until "
                  "%V", &name->name, &end);

    return NGX_OK;
}


/* Is this the first time?  What the system lacks is the same whatever it is. */

static ngx_uint_t
ngx_autocert_sweep_new(ngx_autocert_sweep_name_t *seen,
    ngx_autocert_fail_t *fail)
{
    uint32_t  told;

    told = (fail->kind == NGX_AUTOCERT_FAIL_INTERNAL)
           ? 1 : ngx_crc32_short(fail->why.data, fail->why.len);

    if (seen->told == told) {
        return 0;
    }

    seen->told = told;

    return 1;
}


/*
 * What could not be read may be good: it is left alone, and looked at until
 * it is read.  NGX_OK: a person has to act, and had a good pair before.
 */

static ngx_int_t
ngx_autocert_sweep_unread(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_fail_t *fail)
{
    ngx_int_t                   rc;
    ngx_autocert_name_t        *name;
    ngx_autocert_sweep_name_t  *seen;

    name = sweep->helper->acf->names.elts;
    name += index;
    seen = &sweep->names[index];

    rc = (seen->known && fail->kind != NGX_AUTOCERT_FAIL_INTERNAL)
         ? NGX_OK : NGX_ERROR;

    if (!ngx_autocert_sweep_new(seen, fail)) {
        return rc;
    }

    if (seen->known) {
        ngx_log_error(NGX_LOG_WARN, sweep->helper->log, 0,
                      "autocert: the certificate of \"%V\" in the store has "
                      "changed, but can't be used: %V; it is left alone, and "
                      "the one in memory is served on", &name->name,
                      &fail->why);

    } else {
        ngx_log_error(NGX_LOG_ERR, sweep->helper->log, 0,
                      "autocert: the certificate of \"%V\" can't be used: "
                      "%V; it is left alone, and none is ordered until that "
                      "is mended, looking again every few seconds",
                      &name->name, &fail->why);
    }

    return rc;
}


/* NGX_ERROR: it is still in the way. */

static ngx_int_t
ngx_autocert_sweep_damaged(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_fail_t *fail, ngx_pool_t *pool)
{
    ngx_uint_t                  first;
    ngx_autocert_fail_t         aside;
    ngx_autocert_name_t        *name;
    ngx_autocert_sweep_name_t  *seen;

    name = sweep->helper->acf->names.elts;
    name += index;
    seen = &sweep->names[index];

    first = ngx_autocert_sweep_new(seen, fail);

    if (seen->known) {

        if (first) {
            ngx_log_error(NGX_LOG_WARN, sweep->helper->log, 0,
                          "autocert: the certificate of \"%V\" in the store "
                          "has changed, but can't be used: %V; the one in "
                          "memory is served on", &name->name, &fail->why);
        }

        return NGX_OK;
    }

    if (first) {
        ngx_log_error(NGX_LOG_ERR, sweep->helper->log, 0,
                      "autocert: the certificate of \"%V\" can't be used: "
                      "%V; it is set aside and a new one ordered",
                      &name->name, &fail->why);
    }

    if (ngx_autocert_store_set_aside(&sweep->helper->store, pool, &name->name,
                                     &aside)
        != NGX_OK)
    {
        if (first) {
            ngx_log_error(NGX_LOG_ERR, sweep->helper->log, 0,
                          "autocert: setting it aside failed: %V; trying "
                          "again every few seconds", &aside.why);
        }

        return NGX_ERROR;
    }

    seen->known = 1;
    sweep->found(index, NULL);

    return NGX_OK;
}
