
/*
 * The helper process: a child of the master like a worker, respawned like
 * one, with every key and the conversation with the CA inside.
 */


#ifndef _NGX_AUTOCERT_HELPER_H_INCLUDED_
#define _NGX_AUTOCERT_HELPER_H_INCLUDED_


#include "ngx_autocert_core.h"
#include "../base/ngx_autocert_time.h"
#include "../keys/ngx_autocert_keeper.h"
#include "../store/ngx_autocert_store.h"


#define NGX_AUTOCERT_HELPER_TELL  60    /* s; again, that it can't work */


/* The process, seen by its parts. */

typedef struct {
    ngx_cycle_t              *cycle;
    ngx_log_t                *log;
    ngx_autocert_conf_t      *acf;
    ngx_autocert_keeper_t    *keeper;
    ngx_autocert_store_t      store;    /* fd -1: can't be opened so far */
    ngx_int_t                 without;  /* what load() answers meanwhile */
    ngx_uint_t                restarts; /* in this cycle, to be shown */
    ngx_msec_t                pause;    /* before ACME begins */
    ngx_autocert_fail_told_t  told;     /* that the store can't be opened */
} ngx_autocert_helper_t;


#pragma GCC visibility push(hidden)

/* The process; never returns.  data is its ngx_autocert_conf_t. */
void ngx_autocert_helper_cycle(ngx_cycle_t *cycle, void *data);

/* Opens the store if it is not; NGX_ERROR is logged, once a minute. */
ngx_int_t ngx_autocert_helper_store(ngx_autocert_helper_t *helper);

/* Gives a name a new pair: to the keeper, and on the board. */
ngx_int_t ngx_autocert_helper_install(ngx_autocert_helper_t *helper,
    ngx_uint_t index, ngx_autocert_pair_t *pair);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_HELPER_H_INCLUDED_ */
