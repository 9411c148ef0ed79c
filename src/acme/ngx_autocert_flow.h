
/*
 * ACME (RFC 8555) as tables of steps and one engine that runs them: no I/O,
 * no clock, no log.  The caller asks what to do next, does it, and tells.
 */


#ifndef _NGX_AUTOCERT_FLOW_H_INCLUDED_
#define _NGX_AUTOCERT_FLOW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_json.h"
#include "../base/ngx_autocert_jose.h"
#include "../base/ngx_autocert_message.h"


/* What to do next. */

#define NGX_AUTOCERT_FLOW_SEND     1    /* request; then took() or lost() */
#define NGX_AUTOCERT_FLOW_WAIT     2    /* until; then next() */
#define NGX_AUTOCERT_FLOW_SOLVE    3    /* publish or unpublish; then next() */
#define NGX_AUTOCERT_FLOW_KEY      4    /* csr for order->name; then key() */
#define NGX_AUTOCERT_FLOW_SAVE     5    /* account or order URL; then next() */
#define NGX_AUTOCERT_FLOW_DONE     6    /* order->chain, or flow->window */
#define NGX_AUTOCERT_FLOW_FAILED   7    /* flow->fail, flow->step */

#define NGX_AUTOCERT_FLOW_LIFE     600  /* seconds, from the first next() */
#define NGX_AUTOCERT_FLOW_NONCES   8    /* kept for later */
#define NGX_AUTOCERT_FLOW_NONCE    256  /* bytes of one */
#define NGX_AUTOCERT_FLOW_URLS     7    /* strings of an issuer */
#define NGX_AUTOCERT_FLOW_AUTHZS   10   /* authorizations of an order */


/* What a flow is for. */

#define NGX_AUTOCERT_GOAL_CERTIFICATE  0
#define NGX_AUTOCERT_GOAL_WINDOW       1    /* when to renew (RFC 9773) */
#define NGX_AUTOCERT_GOAL_CONTACTS     2    /* of the account (7.3.2) */
#define NGX_AUTOCERT_GOAL_REVOCATION   3    /* of a certificate (7.6) */


/* The steps, in the order of RFC 8555. */

#define NGX_AUTOCERT_STEP_DIRECTORY    0
#define NGX_AUTOCERT_STEP_NONCE        1
#define NGX_AUTOCERT_STEP_ACCOUNT      2
#define NGX_AUTOCERT_STEP_ORDER        3    /* newOrder */
#define NGX_AUTOCERT_STEP_RESUME       4    /* an order of before is read */
#define NGX_AUTOCERT_STEP_AUTHZ        5
#define NGX_AUTOCERT_STEP_CHALLENGE    6
#define NGX_AUTOCERT_STEP_VALIDATE     7    /* the authorization is polled */
#define NGX_AUTOCERT_STEP_READY        8    /* the order is polled */
#define NGX_AUTOCERT_STEP_FINALIZE     9
#define NGX_AUTOCERT_STEP_ISSUE        10   /* the order is polled */
#define NGX_AUTOCERT_STEP_CERTIFICATE  11
#define NGX_AUTOCERT_STEP_WINDOW       12
#define NGX_AUTOCERT_STEP_CONTACTS     13
#define NGX_AUTOCERT_STEP_REVOKE       14
#define NGX_AUTOCERT_STEPS             15


typedef struct {
    size_t                    len;
    u_char                    data[NGX_AUTOCERT_FLOW_NONCE];
} ngx_autocert_nonce_t;


/*
 * A CA with our account there.  Lives longer than a flow, and has one flow
 * at a time.  Zeroed by the caller, who sets the first part; the flow writes
 * kid and the rest, into memory that it takes from pool once.
 */

typedef struct {
    ngx_pool_t               *pool;
    ngx_str_t                 directory;    /* URL */
    ngx_array_t              *contacts;     /* ngx_str_t: user@host; or NULL */
    ngx_autocert_jose_key_t   key;
    ngx_str_t                 kid;          /* account URL; empty: not known */

    /* of the directory resource; read_at 0: not read yet */
    time_t                    read_at;
    ngx_str_t                 new_nonce;
    ngx_str_t                 new_account;
    ngx_str_t                 new_order;
    ngx_str_t                 renewal_info; /* empty: it has none */
    ngx_str_t                 revoke_cert;  /* likewise */
    ngx_str_t                 terms;        /* printable; may be empty */

    u_char                   *urls;         /* room for these and kid */
    ngx_uint_t                nnonces;
    ngx_autocert_nonce_t      nonces[NGX_AUTOCERT_FLOW_NONCES];
} ngx_autocert_issuer_t;


/*
 * What an order is about and what comes of it.  url is emptied, and to be
 * saved so, when nothing more can come of that order.
 */

typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 challenge;    /* "http-01" or "tls-alpn-01" */
    ngx_str_t                 url;          /* set: resume this order */
    ngx_str_t                 certid;       /* of the certificate before; may
                                               be empty (RFC 9773, 4.1, 5) */
    ngx_str_t                 csr;          /* DER, set by key() */
    ngx_str_t                 chain;        /* PEM, when DONE */
} ngx_autocert_order_t;


/* By the account, or else (own) by the key of the certificate itself. */

typedef struct {
    ngx_str_t                 certificate;  /* DER */
    ngx_uint_t                reason;       /* RFC 5280, 5.3.1 */
    ngx_autocert_jose_key_t  *key;          /* of the certificate */
    unsigned                  own:1;
    unsigned                  already:1;    /* it was, before */
} ngx_autocert_revocation_t;


/* What the CA says of the certificate order->certid (RFC 9773, 4.2). */

typedef struct {
    time_t                    start;        /* 0: it says nothing */
    time_t                    end;
    time_t                    retry_at;     /* ask again; 0: it did not say */
    ngx_str_t                 url;          /* why so; printable or empty */
} ngx_autocert_window_t;


/* Strings live as long as the flow's pool. */

typedef struct {
    ngx_uint_t                type;
    ngx_autocert_request_t    request;          /* SEND */
    time_t                    until;            /* WAIT */
    unsigned                  brief:1;          /* WAIT: or for a moment */
    unsigned                  publish:1;        /* SOLVE: else unpublish */
    unsigned                  account:1;        /* SAVE: issuer->kid */
    unsigned                  order:1;          /* SAVE: order->url */
    ngx_str_t                 token;            /* SOLVE */
    ngx_str_t                 key_authorization;
} ngx_autocert_action_t;


typedef struct ngx_autocert_flow_s     ngx_autocert_flow_t;
typedef struct ngx_autocert_problem_s  ngx_autocert_problem_t;


/*
 * request() fills method, url, accept, and for a POST the payload in body
 * (data NULL: POST-as-GET): the engine adds nonce and signature.  response()
 * is given what has a status of 2xx, refused() what the CA says instead.
 * These two return the next step, or NGX_AGAIN: ask again later, NGX_DONE:
 * the flow is done, NGX_ERROR: flow->fail.
 */

typedef struct {
    char        *name;          /* "creating order": the log's action */
    ngx_int_t  (*request)(ngx_autocert_flow_t *flow,
                     ngx_autocert_request_t *request);
    ngx_int_t  (*response)(ngx_autocert_flow_t *flow,
                     ngx_autocert_response_t *response);
    ngx_int_t  (*refused)(ngx_autocert_flow_t *flow,
                     ngx_autocert_problem_t *problem);
    time_t       poll;          /* give up polling after so many seconds */
    ngx_uint_t   needs;         /* SOLVE: token is published; KEY: csr */
    unsigned     once:1;        /* not repeated when the response is lost */
} ngx_autocert_step_t;


struct ngx_autocert_flow_s {
    ngx_pool_t               *pool;
    ngx_autocert_issuer_t    *issuer;
    ngx_autocert_order_t     *order;

    ngx_uint_t                goal;         /* NGX_AUTOCERT_GOAL_ */
    ngx_uint_t                step;         /* NGX_AUTOCERT_STEP_ */
    ngx_autocert_fail_t       fail;         /* when FAILED */
    ngx_autocert_window_t     window;       /* GOAL_WINDOW, when DONE */
    ngx_autocert_revocation_t  *revocation; /* GOAL_REVOCATION */

    /* the engine's own */
    time_t                    now;
    time_t                    began;
    time_t                    until;        /* nothing is sent before */
    time_t                    deadline;     /* of polling; 0: not begun */
    time_t                    interval;
    ngx_uint_t                type;         /* of action; 0: answered */
    ngx_uint_t                end;          /* DONE or FAILED; 0: runs */
    ngx_uint_t                nbad;         /* badNonce in a row */
    ngx_uint_t                nbads;        /* in all */
    ngx_uint_t                nlost;        /* responses lost in a row */
    ngx_uint_t                status;       /* of the last response; 0: lost */
    ngx_autocert_order_t      own;          /* of goals without an order */
    ngx_autocert_action_t     action;       /* given out last */

    /* the steps' */
    ngx_uint_t                nauthz;
    ngx_uint_t                authz;        /* index of the one under way */
    ngx_uint_t                nready;       /* orderNotReady so far */
    ngx_str_t                 authzs[NGX_AUTOCERT_FLOW_AUTHZS];
    ngx_str_t                 finalize;
    ngx_str_t                 certificate;
    ngx_str_t                 challenge;    /* URL */
    time_t                    answer_at;    /* if it is still pending */
    ngx_str_t                 token;
    ngx_str_t                 key_authorization;

    unsigned                  begun:1;
    unsigned                  asking:1;     /* for a nonce, ahead of step */
    unsigned                  limited:1;    /* so it was: rateLimited */
    unsigned                  soon:1;       /* the next poll is the first */
    unsigned                  brief:1;      /* until may be cut short */
    unsigned                  published:1;
    unsigned                  save_account:1;
    unsigned                  save_order:1;
    unsigned                  resumed:1;    /* the order is one of before */
    unsigned                  registered:1; /* the account is a new one */
    unsigned                  alone:1;      /* the order names no certid */
    unsigned                  missing:1;    /* order->challenge: not offered */
};


#pragma GCC visibility push(hidden)

/*
 * order->name is checked and in lower case.  GOAL_CERTIFICATE: challenge is
 * set.  GOAL_WINDOW: certid is set, nothing is signed and no account needed.
 * GOAL_CONTACTS: order is not looked at.  GOAL_REVOCATION: of order the name
 * alone is; revocation is to be set before the first next().  A flow ends
 * within FLOW_LIFE.
 */
void ngx_autocert_flow_init(ngx_autocert_flow_t *flow, ngx_pool_t *pool,
    ngx_autocert_issuer_t *issuer, ngx_autocert_order_t *order,
    ngx_uint_t goal);

/*
 * Says what to do now in action.  Calling it again means: SOLVE and SAVE are
 * done.  SEND and KEY are given again until took(), key() or lost(); WAIT
 * until its time has come; DONE and FAILED for ever.  Whatever happens, all
 * that was published is unpublished before DONE and FAILED.  On a resumed
 * order something may be unpublished that this flow did not publish.
 */
void ngx_autocert_flow_next(ngx_autocert_flow_t *flow, time_t now,
    ngx_autocert_action_t *action);

/*
 * The response to SEND, complete.  Nothing of it is kept; response->pool is
 * used for what is not kept.
 */
void ngx_autocert_flow_took(ngx_autocert_flow_t *flow, time_t now,
    ngx_autocert_response_t *response);

/*
 * The last action could not be done, fail says why (its strings live as long
 * as the flow).  SEND is repeated up to 3 times where that is safe and the
 * network is what failed; SOLVE, KEY and SAVE end the flow (unpublishing does
 * not).
 */
void ngx_autocert_flow_lost(ngx_autocert_flow_t *flow, time_t now,
    ngx_autocert_fail_t *fail);

/*
 * Answers KEY.  With a resumed order that is being issued or is issued
 * already, csr must be of the key that it was finalized with, or the chain
 * will not match: that is for the caller to check.
 */
void ngx_autocert_flow_key(ngx_autocert_flow_t *flow, ngx_str_t *csr);

/*
 * Ends the flow at any time: next() gives no SEND, WAIT or KEY any more, but
 * unpublishes what is published; then FAILED.  The order stays resumable.
 */
void ngx_autocert_flow_cancel(ngx_autocert_flow_t *flow);

/* Is, or was at the end, the proof of the name what it is about? */
ngx_uint_t ngx_autocert_flow_validating(ngx_autocert_flow_t *flow);

/* The name of the step under way, for the log. */
char *ngx_autocert_flow_name(ngx_autocert_flow_t *flow);

/*
 * For the steps: a string of foreign text, copied into the flow's pool; dst
 * is empty if that fails.
 */
ngx_int_t ngx_autocert_flow_copy(ngx_autocert_flow_t *flow, ngx_str_t *dst,
    ngx_str_t *src);

/*
 * For the steps: a member of a response that has to be an https URL, copied
 * into the flow's pool.  what names the resource.  NGX_ERROR and flow->fail.
 */
ngx_int_t ngx_autocert_flow_url(ngx_autocert_flow_t *flow,
    ngx_autocert_json_t *json, char *what, const char *name, ngx_str_t *url);

/* For the steps: the JSON object in a response, or NULL and flow->fail. */
ngx_autocert_json_t *ngx_autocert_flow_object(ngx_autocert_flow_t *flow,
    ngx_autocert_response_t *response, char *what);

/* For the steps: the response makes no sense.  Always NGX_ERROR. */
ngx_int_t ngx_autocert_flow_nonsense(ngx_autocert_flow_t *flow, char *what,
    char *why);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_FLOW_H_INCLUDED_ */
