
/*
 * All that a server module (http, later stream) sees of the core: what to
 * obtain, told at configuration time, and the questions of a worker.
 */


#ifndef _NGX_AUTOCERT_H_INCLUDED_
#define _NGX_AUTOCERT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


#define NGX_AUTOCERT_VERSION         "0.1.0"


/*
 * A server module refers to the core weakly: loaded in the wrong order it
 * can still say so, instead of failing in the dynamic linker.
 */
#ifdef NGX_AUTOCERT_CORE
#define ngx_autocert_import
#else
#define ngx_autocert_import  __attribute__((weak))
#endif


#define NGX_AUTOCERT_CHALLENGE_AUTO      0
#define NGX_AUTOCERT_CHALLENGE_HTTP      1
#define NGX_AUTOCERT_CHALLENGE_TLS_ALPN  2


#define NGX_AUTOCERT_LISTEN_PLAIN     0x01
#define NGX_AUTOCERT_LISTEN_PLAIN_80  0x02      /* and not on loopback alone */
#define NGX_AUTOCERT_LISTEN_TLS       0x04
#define NGX_AUTOCERT_LISTEN_TLS_443   0x08


/* How it is with a name. */

#define NGX_AUTOCERT_IS_WAITING  0      /* there is no certificate yet */
#define NGX_AUTOCERT_IS_ISSUING  1      /* an order is under way */
#define NGX_AUTOCERT_IS_VALID    2
#define NGX_AUTOCERT_IS_RENEWING 3      /* likewise, with a certificate */
#define NGX_AUTOCERT_IS_FAILING  4      /* the last try failed */
#define NGX_AUTOCERT_IS_HELD     5      /* it is due, and not to be tried */
#define NGX_AUTOCERT_STATES      6

/* A certificate to obtain and keep. */

typedef struct {
    ngx_str_t        name;
    int              curve;          /* NID */
    time_t           renew_before;   /* seconds */
    ngx_uint_t       challenge;
    u_char          *file;           /* of the server block, for messages */
    ngx_uint_t       line;
    unsigned         bootstrap:1;    /* never ordered: self-signed for ever */
    unsigned         chosen:1;       /* renew_before is: no default */
} ngx_autocert_name_t;


/* Does this connection, just accepted, begin with a TLS handshake? */
typedef ngx_uint_t (*ngx_autocert_shakes_pt)(ngx_connection_t *c);


typedef void (*ngx_autocert_on_loop_pt)(void *data);


typedef struct ngx_autocert_core_s  ngx_autocert_core_t;

typedef struct {
    ngx_array_t          names;      /* ngx_autocert_name_t */
    ngx_array_t          contacts;   /* ngx_str_t, user@host */
    ngx_str_t            path;       /* of the store */
    u_char              *path_file;  /* where that is said; NULL: nowhere */
    ngx_uint_t           path_line;
    ngx_str_t            ca;         /* URL of the directory */
    ngx_str_t            ca_certificate;    /* empty: the system's bundle */
    ngx_resolver_t      *resolver;   /* NULL: names can't be resolved */
    ngx_msec_t           resolver_timeout;
    ngx_rbtree_t         tree;       /* of names, while they are added */
    ngx_rbtree_node_t    sentinel;
    ngx_hash_t           hash;       /* name -> index + 1 */
    /*
     * Connections of listeners with this handler do not hold a worker up
     * while the helper signs, as far as shakes() is true of them.
     */
    ngx_connection_handler_pt  handler;
    ngx_autocert_shakes_pt     shakes;

    /* listeners where a CA may ask, NGX_AUTOCERT_LISTEN_ */
    ngx_uint_t           listen;

    unsigned             public:1;   /* the CA signs public names alone */

    ngx_autocert_core_t *core;       /* NULL: nothing to do in this cycle */
} ngx_autocert_conf_t;


#define NGX_AUTOCERT_REPORT_TEXT     1056   /* bytes of all strings of one */
#define NGX_AUTOCERT_REPORT_JSON     12288
#define NGX_AUTOCERT_REPORT_SERIES   26     /* of durations, by 2^n us */

/*
 * What is known of a name at an instant.  Instants: 0, not known; due:
 * NGX_MAX_TIME_T_VALUE, never.  Strings may be empty, and a CA's words: they
 * are cut, and free of control characters, and to be escaped.
 */

typedef struct {
    ngx_str_t        name;
    ngx_str_t        ca;             /* URL of the directory */
    ngx_uint_t       state;          /* NGX_AUTOCERT_IS_ */
    ngx_str_t        challenge;      /* http-01, tls-alpn-01 */
    ngx_str_t        key_type;       /* secp256r1, secp384r1, other */
    ngx_str_t        serial;         /* hexadecimal */
    time_t           not_before;     /* these of the certificate */
    time_t           not_after;
    time_t           renew_at;
    ngx_str_t        renew_why;      /* ari, renew_before, configuration */
    time_t           issued_at;
    time_t           due;            /* the next order */
    ngx_uint_t       failures;       /* in a row */
    ngx_int_t        budget;         /* certificates; -1: not known */
    time_t           failed_at;      /* these of the last failure, if any */
    ngx_str_t        kind;           /* network, refused, limited, ... */
    ngx_str_t        why;            /* a sentence of ours */
    ngx_str_t        type;           /* the CA's; part of detail */
    ngx_str_t        detail;         /* the other side's words */
    ngx_str_t        cause;          /* what we saw ourselves */
    time_t           now;
    u_char           text[NGX_AUTOCERT_REPORT_TEXT];
} ngx_autocert_report_t;


/* The few of these that are soon had, for all names at once. */

typedef struct {
    ngx_uint_t       state;
    time_t           not_before;
    time_t           not_after;
    time_t           renew_at;
    time_t           due;
    ngx_uint_t       failures;
} ngx_autocert_digest_t;


/* What is known of all of them. */

typedef struct {
    time_t           started;        /* the helper; 0: not known */
    uint64_t         restarts;
    time_t           answered_at;    /* the CA */
    time_t           lost_at;        /* it did not answer */
    ngx_int_t        reachable;      /* 1, 0; -1: not asked yet */
    time_t           hold;           /* it is not asked before */
    uint64_t         failures;       /* its own, in a row */
    uint64_t         signatures;
    uint64_t         sum;            /* of their durations, in us */
    uint64_t         p50;            /* us */
    uint64_t         p99;
    uint64_t         below[NGX_AUTOCERT_REPORT_SERIES];   /* 2^n us */
} ngx_autocert_totals_t;


/* The configuration of the cycle that is being read. */
ngx_autocert_import ngx_autocert_conf_t *ngx_autocert_get_conf(
    ngx_cycle_t *cycle);

/*
 * Values of directives: NULL (NGX_CONF_OK), or what is wrong with them.
 * add_contact drops duplicates.
 */
ngx_autocert_import char *ngx_autocert_set_ca(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_str_t *value);
ngx_autocert_import char *ngx_autocert_set_ca_certificate(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_str_t *value);
ngx_autocert_import char *ngx_autocert_set_path(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_str_t *value);
ngx_autocert_import char *ngx_autocert_add_contact(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_str_t *value);

/*
 * Adds a name, once, and gives its index.  NGX_DECLINED: no certificate can
 * be had for it, which was logged; NGX_ERROR: memory.  The CA is set before.
 */
ngx_autocert_import ngx_int_t ngx_autocert_add_name(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf, ngx_autocert_name_t *name, ngx_uint_t *index);

/*
 * The configuration is complete: reserves all that a helper and the workers
 * will need.  Call only if there are names.
 */
ngx_autocert_import char *ngx_autocert_prepare(ngx_conf_t *cf,
    ngx_autocert_conf_t *acf);

/* The index of a name, in any case, or NGX_DECLINED. */
ngx_autocert_import ngx_int_t ngx_autocert_find_name(
    ngx_autocert_conf_t *acf, ngx_str_t *name, ngx_uint_t *index);

/*
 * In the certificate callback of a worker: gives the connection the chain
 * and the remote key of the name with this index.  fallback: the connection
 * has a certificate of its own, so no bootstrap one is wanted.  NGX_OK;
 * NGX_DECLINED: the fallback is to be served; NGX_ERROR: there is none.
 */
ngx_autocert_import ngx_int_t ngx_autocert_handshake(ngx_connection_t *c,
    ngx_uint_t index, ngx_uint_t fallback);

/*
 * Calls call(data) at once, on the stack of the event loop, wherever the
 * caller is: engines of scripts compare addresses on their stack with those
 * of an earlier call.  Nothing in there may lay a handshake aside.
 */
ngx_autocert_import void ngx_autocert_on_loop(ngx_autocert_on_loop_pt call,
    void *data);

/*
 * The key authorization of a pending HTTP-01 challenge, for this host (lower
 * case) and token, in buf of at least NGX_AUTOCERT_CHALLENGE_SIZE bytes.
 * NGX_OK; NGX_DECLINED if none is pending; NGX_ABORT: one is pending for the
 * host, and this is no token at all.
 */
#define NGX_AUTOCERT_CHALLENGE_SIZE  256

ngx_autocert_import ngx_int_t ngx_autocert_challenge(ngx_str_t *host,
    ngx_str_t *token, ngx_str_t *key_authorization, u_char *buf);

/* Is a TLS-ALPN-01 challenge pending for this name, in any case? */
ngx_autocert_import ngx_int_t ngx_autocert_alpn(ngx_str_t *name);

/*
 * As ngx_autocert_handshake(), with the certificate of the challenge that is
 * pending.  NGX_OK or NGX_ERROR.
 */
ngx_autocert_import ngx_int_t ngx_autocert_alpn_handshake(
    ngx_connection_t *c);

/*
 * What is known, in a worker or the helper; nothing is asked of anybody.
 * acf->core is set.  NGX_DECLINED: a helper has yet to look at the name; the
 * report is of one that waits.
 */
ngx_autocert_import ngx_int_t ngx_autocert_report(ngx_autocert_conf_t *acf,
    ngx_uint_t index, time_t now, ngx_autocert_report_t *report);
ngx_autocert_import ngx_int_t ngx_autocert_digest(ngx_autocert_conf_t *acf,
    ngx_uint_t index, time_t now, ngx_autocert_digest_t *digest);
ngx_autocert_import void ngx_autocert_totals(ngx_autocert_conf_t *acf,
    ngx_autocert_totals_t *totals);

/* A report as a JSON object in json->data, of NGX_AUTOCERT_REPORT_JSON. */
ngx_autocert_import void ngx_autocert_report_json(
    ngx_autocert_report_t *report, ngx_str_t *json);

/* Whole days until then, rounded down. */
ngx_autocert_import ngx_int_t ngx_autocert_days_left(time_t not_after,
    time_t now);

/* An instant by RFC 3339, in 20 bytes; returns the end. */
ngx_autocert_import u_char *ngx_autocert_report_time(u_char *p, time_t t);

/* "waiting", and so on; of a state that is none: "waiting". */
ngx_autocert_import ngx_str_t *ngx_autocert_state_name(ngx_uint_t state);


#endif /* _NGX_AUTOCERT_H_INCLUDED_ */
