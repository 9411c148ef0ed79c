
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_json.h"
#include "ngx_autocert_store.h"
#include "ngx_autocert_store_file.h"
#include "ngx_autocert_store_json.h"
#include "ngx_autocert_store_state.h"


#define NGX_AUTOCERT_STATE_FILE  "state.json"

#define ngx_autocert_state_member(name, what)                                \
    ngx_autocert_store_member(ngx_autocert_state_t, name, what)


static const ngx_autocert_store_member_t  ngx_autocert_state_members[] = {

    ngx_autocert_state_member(key, TOKEN),
    ngx_autocert_state_member(issuer, URL),
    ngx_autocert_state_member(account, URL),
    ngx_autocert_state_member(issued_at, TIME),
    ngx_autocert_state_member(window_start, TIME),
    ngx_autocert_state_member(window_end, TIME),
    ngx_autocert_state_member(renew_at, TIME),
    ngx_autocert_state_member(look_at, TIME),
    ngx_autocert_state_member(looks, COUNT),

    ngx_autocert_state_member(ca, URL),
    ngx_autocert_state_member(setup, COUNT),
    ngx_autocert_state_member(order, URL),
    ngx_autocert_state_member(challenge, TOKEN),
    ngx_autocert_state_member(token, TOKEN),
    ngx_autocert_state_member(next_key, TOKEN),
    ngx_autocert_state_member(next_account, URL),
    ngx_autocert_state_member(tries, COUNT),
    ngx_autocert_state_member(failures, COUNT),
    ngx_autocert_state_member(next_attempt, TIME),
    ngx_autocert_state_member(kind, KIND),
    ngx_autocert_state_member(why, TEXT),
    ngx_autocert_state_member(detail, TEXT),
    ngx_autocert_state_member(failed_at, TIME),

    ngx_autocert_state_member(name, TEXT),

    ngx_autocert_store_last_member
};


ngx_int_t
ngx_autocert_store_state_get(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_state_t *state, ngx_autocert_fail_t *fail)
{
    char                      *err;
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_autocert_store_dir_t   dir;

    ngx_memzero(state, sizeof(ngx_autocert_state_t));

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_file_read(&dir, NGX_AUTOCERT_STATE_FILE,
                                      NGX_AUTOCERT_STORE_SECRET, &text, NULL);
    if (rc == NGX_OK) {

        rc = ngx_autocert_store_state_parse(pool, &text, state, &err);

        ngx_autocert_store_file_free(&text);

        if (rc != NGX_OK) {
            (void) ngx_autocert_store_file_damaged(&dir,
                             NGX_AUTOCERT_STATE_FILE, "is damaged: ", err);
        }
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_state_put(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_state_t *state, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_str_t                 text;
    ngx_autocert_store_dir_t  dir;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    if (store->lock != -1) {
        ngx_autocert_store_dir_sweep(&dir);
    }

    rc = ngx_autocert_store_state_print(pool, state, &text);
    rc = ngx_autocert_store_json_write(&dir, NGX_AUTOCERT_STATE_FILE, rc,
                                       &text);

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_state_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_state_t *state, char **err)
{
    ngx_autocert_json_t  *json;

    ngx_memzero(state, sizeof(ngx_autocert_state_t));

    json = ngx_autocert_store_json_parse(pool, text, err);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (ngx_autocert_store_json_get(pool, json, ngx_autocert_state_members,
                                    state, err)
        != NGX_OK)
    {
        ngx_memzero(state, sizeof(ngx_autocert_state_t));
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_state_print(ngx_pool_t *pool, ngx_autocert_state_t *state,
    ngx_str_t *text)
{
    ngx_int_t                   rc;
    ngx_autocert_json_writer_t  w;

    if (ngx_autocert_json_writer_init(&w, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_autocert_json_open(&w, NULL, '{');

    rc = ngx_autocert_store_json_put(&w, ngx_autocert_state_members, state);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_autocert_json_close(&w, '}');

    return ngx_autocert_json_done(&w, text);
}
