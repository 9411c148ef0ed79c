
#include "ngx_autocert_sweep.h"


#define NGX_AUTOCERT_SWEEP_CHUNK  64    /* names in one turn of the loop */


typedef struct {
    ngx_autocert_helper_t        *helper;
    ngx_autocert_sweep_found_pt   found;
    ngx_autocert_sweep_ready_pt   ready;
    ngx_autocert_stamp_t         *stamps;
    ngx_uint_t                    next;
    ngx_event_t                   event;
    unsigned                      first:1;
} ngx_autocert_sweep_t;


static void ngx_autocert_sweep_handler(ngx_event_t *ev);
static void ngx_autocert_sweep_pair(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_pair_t *pair);
static void ngx_autocert_sweep_damaged(ngx_autocert_sweep_t *sweep,
    ngx_uint_t index, ngx_autocert_fail_t *fail, ngx_pool_t *pool);


static ngx_autocert_sweep_t  ngx_autocert_sweep;


ngx_int_t
ngx_autocert_sweep_start(ngx_autocert_helper_t *helper,
    ngx_autocert_sweep_found_pt found, ngx_autocert_sweep_ready_pt ready)
{
    ngx_autocert_sweep_t  *sweep = &ngx_autocert_sweep;

    sweep->stamps = ngx_pcalloc(helper->cycle->pool,
                                helper->acf->names.nelts
                                * sizeof(ngx_autocert_stamp_t));
    if (sweep->stamps == NULL) {
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
ngx_autocert_sweep_known(ngx_uint_t index)
{
    ngx_autocert_name_t   *name;
    ngx_autocert_sweep_t  *sweep = &ngx_autocert_sweep;

    name = sweep->helper->acf->names.elts;

    ngx_autocert_store_stamp(&sweep->helper->store, &name[index].name,
                             &sweep->stamps[index]);
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
        ngx_autocert_sweep_look(sweep->next++);
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


void
ngx_autocert_sweep_look(ngx_uint_t index)
{
    u_char                 id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t              rc;
    ngx_uint_t             same;
    ngx_pool_t            *pool;
    ngx_autocert_fail_t    fail;
    ngx_autocert_name_t   *name;
    ngx_autocert_pair_t    pair;
    ngx_autocert_stamp_t   stamp;
    ngx_autocert_sweep_t  *sweep = &ngx_autocert_sweep;

    name = sweep->helper->acf->names.elts;
    name += index;

    if (name->bootstrap) {
        return;
    }

    ngx_autocert_store_stamp(&sweep->helper->store, &name->name, &stamp);

    same = !sweep->first
           && ngx_memcmp(&stamp, &sweep->stamps[index],
                         sizeof(ngx_autocert_stamp_t))
              == 0;

    /* a keeper that could not read it when it was asked serves a bootstrap */

    if (same
        && (stamp.chain[1] == 0
            || ngx_autocert_keeper_id(sweep->helper->keeper, index, id)
               != NGX_AGAIN))
    {
        return;
    }

    sweep->stamps[index] = stamp;

    pool = ngx_create_pool(4096, sweep->helper->log);
    if (pool == NULL) {
        return;
    }

    rc = ngx_autocert_store_load(&sweep->helper->store, pool, &name->name,
                                 &pair, &fail);

    switch (rc) {

    case NGX_OK:
        sweep->found(index, pair.chain);
        ngx_autocert_sweep_pair(sweep, index, &pair);
        break;

    case NGX_DECLINED:
        if (sweep->first) {
            sweep->found(index, NULL);
        }
        break;

    default:
        if (!same) {
            ngx_autocert_sweep_damaged(sweep, index, &fail, pool);
        }
    }

    ngx_destroy_pool(pool);
}


/* At the start a pair is read by the keeper when it is first asked for. */

static void
ngx_autocert_sweep_pair(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_pair_t *pair)
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
        || (rc == NGX_OK && sweep->first
            && ngx_memcmp(id, pair->chain->id, NGX_AUTOCERT_KEY_ID) == 0))
    {
        ngx_autocert_store_pair_free(pair);
        return;
    }

    end.data = date;
    end.len = ngx_autocert_time_print(date, pair->chain->not_after) - date;

    if (ngx_autocert_helper_install(sweep->helper, index, pair) != NGX_OK) {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, sweep->helper->log, 0,
                  "autocert: the certificate of \"%V\" in the store has "
                  "changed, the new one is served from now on, valid until "
                  "%V", &name->name, &end);
}


static void
ngx_autocert_sweep_damaged(ngx_autocert_sweep_t *sweep, ngx_uint_t index,
    ngx_autocert_fail_t *fail, ngx_pool_t *pool)
{
    ngx_autocert_fail_t    aside;
    ngx_autocert_name_t   *name;

    name = sweep->helper->acf->names.elts;
    name += index;

    if (!sweep->first) {
        ngx_log_error(NGX_LOG_WARN, sweep->helper->log, 0,
                      "autocert: the certificate of \"%V\" in the store has "
                      "changed, but can't be used: %V; the one in memory is "
                      "served on", &name->name, &fail->why);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, sweep->helper->log, 0,
                  "autocert: the certificate of \"%V\" can't be used: %V; it "
                  "is set aside and a new one ordered", &name->name,
                  &fail->why);

    if (ngx_autocert_store_set_aside(&sweep->helper->store, pool, &name->name,
                                     &aside)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, sweep->helper->log, 0,
                      "autocert: setting it aside failed: %V", &aside.why);
    }

    ngx_autocert_sweep_known(index);
    sweep->found(index, NULL);
}
