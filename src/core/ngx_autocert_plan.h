
/*
 * What is due, and when: values in, values out.  No clock, no file, no event,
 * no log, so that years of it pass in seconds under test.  The caller reads
 * what is remembered from the store before a call, and writes it back after
 * one that may have changed it.
 *
 * Instants are of two kinds.  Those that come from a certificate mean what
 * they say.  Those that come from a delay are moved along when the wall clock
 * is set, so that it neither prolongs nor ends a wait.
 */


#ifndef _NGX_AUTOCERT_PLAN_H_INCLUDED_
#define _NGX_AUTOCERT_PLAN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../ngx_autocert.h"
#include "../acme/ngx_autocert_flow.h"
#include "../base/ngx_autocert_fail.h"
#include "../store/ngx_autocert_store.h"


#define NGX_AUTOCERT_PLAN_NEVER  NGX_MAX_TIME_T_VALUE

/* No clock that is right has shown less: 2026-01-01. */
#define NGX_AUTOCERT_PLAN_EPOCH  1767225600

/* What to do next. */

#define NGX_AUTOCERT_PLAN_WAIT      0   /* until */
#define NGX_AUTOCERT_PLAN_ORDER     1   /* index; ask plan_begin() */
#define NGX_AUTOCERT_PLAN_WINDOW    2   /* index: ask for its renewal window */
#define NGX_AUTOCERT_PLAN_CONTACTS  3   /* tell the CA the contacts */


typedef struct {
    ngx_uint_t                 what;
    ngx_uint_t                 index;
    time_t                     until;
} ngx_autocert_plan_next_t;


/* Of a name. */

typedef struct {
    time_t                     renew;   /* from its certificate; 0: now */
    time_t                     retry;   /* not before; 0: at once */
    time_t                     look;    /* at its window; NEVER: not at all */
    time_t                     end;     /* of its certificate; 0: none */
    uint32_t                   setup;   /* CRC-32 of what it is ordered by */
    unsigned                   never:1; /* is not to be ordered at all */
    unsigned                   order:1; /* one is under way */
    unsigned                   wanted:1;    /* now, by a person */
    unsigned                   failed:1;
    unsigned                   unread:1;    /* the caller's: it is said */
    unsigned                   spent:1;         /* its budget is */
    unsigned                   moved:1;         /* along, not yet written */
    unsigned                   suspect:1;       /* the CA failed at it ... */
    ngx_uint_t                 issued;          /* when there were so many */
    time_t                     next_attempt;    /* of the state that retry */
    time_t                     look_at;         /* and look are made of */
    ngx_autocert_fail_told_t   told;            /* loudly; the caller's */
} ngx_autocert_plan_name_t;


typedef struct {
    ngx_autocert_conf_t       *acf;
    ngx_autocert_plan_name_t  *names;   /* as many as acf has */
    ngx_autocert_ca_t          ca;      /* why and detail: empty */
    uint32_t                 (*random)(void);
    time_t                     now;     /* seen last; 0: not yet */
    uint64_t                   clock;   /* ms of the clock that has no steps */
    time_t                     step;    /* of the wall clock, for the log */
    ngx_uint_t                 issued;  /* certificates */
    ngx_uint_t                 unseen;  /* windows, for all names, in a row */
    ngx_uint_t                 unreached;   /* network, names in a row */
    ngx_uint_t                 last;        /* of them */
    ngx_uint_t                 turn;    /* orders begun */
    unsigned                   contacts:1;  /* are to be told */
    unsigned                   looked:1;    /* the last turn was a window's */
    unsigned                   moved:1;     /* names are */
    unsigned                   changed:1;   /* ca: to be written by the caller,
                                               who resets it */
} ngx_autocert_plan_t;


/* What comes of a failure. */

typedef struct {
    time_t                     next;    /* try of the name, at the earliest */
    ngx_uint_t                 names;   /* DOMAIN: that wait with it */
    time_t                     all;     /* DOMAIN: can be done by then */
    ngx_uint_t                 times;   /* in a row, of the name or, held,
                                           of the CA; 0: not counted */
    unsigned                   held:1;  /* the CA is, for all names */
} ngx_autocert_plan_failed_t;


/* What comes of a window. */

#define NGX_AUTOCERT_PLAN_SAME     0    /* nothing new */
#define NGX_AUTOCERT_PLAN_CHOSEN   1    /* state->renew_at is new */
#define NGX_AUTOCERT_PLAN_PAST     2    /* likewise, and it is due at once */
#define NGX_AUTOCERT_PLAN_ABSURD   3    /* ignored */


#pragma GCC visibility push(hidden)

/*
 * acf is set, and names (zeroed), random; never where nothing can be ordered.
 * Computes the rest.
 */
void ngx_autocert_plan_init(ngx_autocert_plan_t *plan);

/* What the store has of the CA.  reload: as with found(). */
void ngx_autocert_plan_remember(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_ca_t *ca, ngx_uint_t reload);

/*
 * What there is of a name: at the start, and whenever its pair on disk has
 * changed.  chain NULL: none.  What state says of another pair or of another
 * configuration is forgotten.  reload: a person has begun this process, and
 * may have mended what failed; told once.
 */
void ngx_autocert_plan_found(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_chain_t *chain, ngx_autocert_state_t *state,
    ngx_uint_t reload);

/*
 * The time of what is told from now on; done by next() as well.  clock in ms
 * is never set back.  A step is left in plan->step.
 */
void ngx_autocert_plan_clock(ngx_autocert_plan_t *plan, time_t now,
    uint64_t clock);

/*
 * A name is moved: what its state has of another clock is put right, to be
 * written; not before the clock shows EPOCH.
 */
void ngx_autocert_plan_moved(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_state_t *state);

/*
 * What to do at now.  The store is locked by us.  The answer is the same until
 * something is told.
 */
void ngx_autocert_plan_next(ngx_autocert_plan_t *plan, time_t now,
    uint64_t clock, ngx_autocert_plan_next_t *next);

/*
 * A person wants a certificate for the name now: once, ahead of others, and
 * whatever waits on our own account does not.  What the CA has asked for
 * stands, and so does the budget; force: what is not due is ordered as well.
 * NGX_DECLINED and fail: not now, and nothing is changed; NGX_ERROR likewise.
 */
ngx_int_t ngx_autocert_plan_want(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_uint_t force, ngx_autocert_state_t *state,
    ngx_autocert_issued_t *issued, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail);

/*
 * The certificate was revoked, whose key has this id: another one is wanted,
 * also after a restart.
 */
void ngx_autocert_plan_revoked(ngx_autocert_plan_t *plan, ngx_uint_t index,
    u_char *id, ngx_autocert_state_t *state, ngx_pool_t *pool);

/* It was not. */
void ngx_autocert_plan_unrevoked(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail);

/* Does the CA want nothing asked of it now?  Then NGX_ERROR and fail. */
ngx_int_t ngx_autocert_plan_paused(ngx_autocert_plan_t *plan, time_t now,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);

/*
 * NGX_OK: to be ordered now, which is counted in state and plan->ca.
 * NGX_DECLINED: the budget is used up, fail and state say so.  NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_autocert_plan_begin(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now, ngx_autocert_state_t *state,
    ngx_autocert_issued_t *issued, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail);

/* Is there something left of the budget?  Else NGX_ERROR and fail. */
ngx_int_t ngx_autocert_plan_afford(ngx_autocert_issued_t *issued, time_t now,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);

/* How many certificates are left of it. */
ngx_uint_t ngx_autocert_plan_left(ngx_autocert_issued_t *issued, time_t now);

/* One more order was made, in place of that which was to be gone on with. */
void ngx_autocert_plan_slot(ngx_autocert_plan_t *plan, time_t now);

/* Left on purpose, without an end: an order is gone on with at once. */
void ngx_autocert_plan_leave(ngx_autocert_state_t *state);

/* Before the CA is asked to sign; and: nothing came of it. */
void ngx_autocert_plan_count(ngx_autocert_issued_t *issued, time_t now,
    ngx_str_t *order);
void ngx_autocert_plan_uncount(ngx_autocert_issued_t *issued,
    ngx_str_t *order);

/*
 * A pair of the key id is ordered, by account: wherever the process ends, it
 * is known for ours once it is on disk.  NGX_OK: to be written now;
 * NGX_DECLINED: that is so already; NGX_ERROR: no memory.
 */
ngx_int_t ngx_autocert_plan_promise(ngx_autocert_state_t *state, u_char *id,
    ngx_str_t *account, ngx_pool_t *pool);

/* The chain is on disk; account is the URL of ours. */
void ngx_autocert_plan_issued(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_chain_t *chain, ngx_str_t *account,
    ngx_autocert_state_t *state, ngx_autocert_issued_t *issued,
    ngx_pool_t *pool);

void ngx_autocert_plan_failed(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_fail_t *fail, ngx_autocert_state_t *state,
    ngx_autocert_plan_failed_t *failed);

/* The CA has said when to renew chain; returns what comes of it. */
ngx_uint_t ngx_autocert_plan_window(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now, ngx_autocert_chain_t *chain,
    ngx_autocert_window_t *window, ngx_autocert_state_t *state);

/* The CA is about to be asked for a window: written before it is. */
void ngx_autocert_plan_look(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_state_t *state);

/* It could not be asked; or (fail NULL) does not say such things at all. */
void ngx_autocert_plan_unseen(ngx_autocert_plan_t *plan, ngx_uint_t index,
    time_t now, ngx_autocert_fail_t *fail, ngx_autocert_state_t *state);

/* The CA is about to be told the contacts, likewise. */
void ngx_autocert_plan_tell(ngx_autocert_plan_t *plan, time_t now);

/* The contacts were told; fail: were not. */
void ngx_autocert_plan_told(ngx_autocert_plan_t *plan, time_t now,
    ngx_autocert_fail_t *fail);

/* Is the pair on disk the one that was obtained by us last? */
ngx_uint_t ngx_autocert_plan_obtained(ngx_autocert_state_t *state,
    ngx_autocert_chain_t *chain);

/* When a name is due, for the log. */
time_t ngx_autocert_plan_due(ngx_autocert_plan_t *plan, ngx_uint_t index);

/* Does its budget, or a limit on its domain, keep it from being ordered? */
ngx_uint_t ngx_autocert_plan_held(ngx_autocert_plan_t *plan,
    ngx_uint_t index, time_t now);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_PLAN_H_INCLUDED_ */
