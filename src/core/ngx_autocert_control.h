
/*
 * What the command nginx-autocert asks of the helper, over a socket in the
 * store that only root can reach: docs/PROTOCOL.md.  All of it on the event
 * loop; who asks is waited for nowhere.
 */


#ifndef _NGX_AUTOCERT_CONTROL_H_INCLUDED_
#define _NGX_AUTOCERT_CONTROL_H_INCLUDED_


#include "ngx_autocert_helper.h"


#pragma GCC visibility push(hidden)

/* The store is locked by us: so of all helpers one listens. */
void ngx_autocert_control_start(ngx_autocert_helper_t *helper);

/* Before the lock is given up; whoever is connected is to ask the next one. */
void ngx_autocert_control_stop(void);

/* What there is to say of a name is another thing now, or will be soon. */
void ngx_autocert_control_changed(ngx_uint_t index);

/*
 * How it goes with a name that somebody waits for; fail NULL: it is well.  The
 * end of a revocation is for those who have asked for one and wait for it yet,
 * that of an order (goal) is for all others.
 */
void ngx_autocert_control_step(ngx_uint_t index, char *step);
void ngx_autocert_control_revoked(ngx_uint_t index, ngx_uint_t already);
void ngx_autocert_control_end(ngx_uint_t index, ngx_uint_t goal,
    ngx_autocert_fail_t *fail, time_t next);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_CONTROL_H_INCLUDED_ */
