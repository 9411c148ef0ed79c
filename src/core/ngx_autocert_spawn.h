
/* The master's part: that there is a helper, one, whatever happens. */


#ifndef _NGX_AUTOCERT_SPAWN_H_INCLUDED_
#define _NGX_AUTOCERT_SPAWN_H_INCLUDED_


#include "ngx_autocert_core.h"


#pragma GCC visibility push(hidden)

/* While the configuration is read: all that can fail. */
ngx_int_t ngx_autocert_spawn_create(ngx_cycle_t *cycle,
    ngx_autocert_core_t *core);

/*
 * In init_module: has the helper of this cycle started, before the new workers
 * of a reload, else by the master's next reaping; acf NULL if it is to have
 * none.
 */
void ngx_autocert_spawn_arm(ngx_cycle_t *cycle, ngx_autocert_conf_t *acf);

/*
 * In the helper: ends another one of its cycle, which drains.  A master that
 * was told to stop its workers and then to start them anew has both; they have
 * one door, and the old one would take new workers.  What its own want of it
 * they find here.
 */
void ngx_autocert_spawn_succeed(ngx_cycle_t *cycle);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SPAWN_H_INCLUDED_ */
