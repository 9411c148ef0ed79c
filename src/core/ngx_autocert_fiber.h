
/*
 * NGINX's handshake can wait for nothing but the socket.  Here its event
 * handlers run on a stack of their own, that is laid aside where OpenSSL
 * needs what the helper has, and gone on with when the answer is there; the
 * event loop meanwhile serves all others.
 *
 * The one file that touches NGINX's connection internals.
 */


#ifndef _NGX_AUTOCERT_FIBER_H_INCLUDED_
#define _NGX_AUTOCERT_FIBER_H_INCLUDED_


#include "ngx_autocert_core.h"


/* What is waited for will not be waited for any longer: answer it now. */
typedef void (*ngx_autocert_fiber_cancel_pt)(void *data);

typedef struct ngx_autocert_fiber_s  ngx_autocert_fiber_t;


#pragma GCC visibility push(hidden)

/*
 * In the master, once all listeners are known: which of them are meant by
 * handler of ngx_autocert_conf_t.  In a worker another module may have put
 * itself in its place.
 */
ngx_int_t ngx_autocert_fiber_note(ngx_cycle_t *cycle,
    ngx_autocert_conf_t *acf);

/* In a worker. */
ngx_int_t ngx_autocert_fiber_init(ngx_cycle_t *cycle,
    ngx_autocert_conf_t *acf);

/* The fiber that runs, or NULL: then only waiting is left. */
ngx_autocert_fiber_t *ngx_autocert_fiber_current(void);

/* How often fibers were begun or gone on with: is there anything to do? */
ngx_uint_t ngx_autocert_fiber_entered(void);

/*
 * Lays the running fiber aside until ngx_autocert_fiber_wake().  The client
 * may give up before: then cancel(data) is called, which must lead to wake.
 */
void ngx_autocert_fiber_pause(ngx_autocert_fiber_cancel_pt cancel,
    void *data);

/* It goes on in this turn of the event loop or a later one. */
void ngx_autocert_fiber_wake(ngx_autocert_fiber_t *fiber);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_FIBER_H_INCLUDED_ */
