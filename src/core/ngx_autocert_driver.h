
/*
 * Runs a flow: the only place where ACME meets events, files and keys.  One
 * at a time.
 */


#ifndef _NGX_AUTOCERT_DRIVER_H_INCLUDED_
#define _NGX_AUTOCERT_DRIVER_H_INCLUDED_


#include "ngx_autocert_helper.h"
#include "../acme/ngx_autocert_flow.h"


/* What came of it; all that it points to is gone when it was told. */

typedef struct {
    ngx_uint_t                goal;
    ngx_uint_t                index;
    ngx_autocert_fail_t      *fail;     /* NULL: it was reached */
    ngx_autocert_chain_t     *chain;    /* is served; without its certs */
    ngx_autocert_window_t    *window;
    ngx_str_t                *account;  /* URL; NULL if there is none yet */
    u_char                   *id;       /* of the key of what was revoked */
    ngx_log_t                *log;      /* knows the name and the step */
    unsigned                  anew:1;   /* in place of the order of before */
    unsigned                  already:1;    /* was revoked before */
} ngx_autocert_outcome_t;


typedef void (*ngx_autocert_driver_done_pt)(ngx_autocert_outcome_t *outcome);


#pragma GCC visibility push(hidden)

ngx_int_t ngx_autocert_driver_init(ngx_autocert_helper_t *helper,
    ngx_autocert_driver_done_pt done);

/*
 * Reaches a goal for the name with this index; a certificate by going on with
 * an order of before if the state of the name has one.  certid is of the
 * certificate that is there, or empty; it lives until done.  The store is
 * locked by us.
 */
void ngx_autocert_driver_start(ngx_uint_t goal, ngx_uint_t index,
    ngx_str_t *certid);

/* Likewise, revokes the certificate of a name; reason: RFC 5280, 5.3.1. */
void ngx_autocert_driver_revoke(ngx_uint_t index, ngx_uint_t reason);

/*
 * Makes the challenge of the order under way, be it another process's,
 * answerable here as well, and no longer once it has ended.
 */
void ngx_autocert_driver_follow(void);

/*
 * Leaves everything as it is, for the next helper to go on with: the order
 * in the store, the answer to its challenge on the board.
 */
void ngx_autocert_driver_leave(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_DRIVER_H_INCLUDED_ */
