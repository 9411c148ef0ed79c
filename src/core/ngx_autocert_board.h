
/*
 * Shared memory that only the helper writes and that workers read without a
 * lock.  The helper never reads it back: a worker that is taken over could
 * have written there.
 */


#ifndef _NGX_AUTOCERT_BOARD_H_INCLUDED_
#define _NGX_AUTOCERT_BOARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_latency.h"
#include "../base/ngx_autocert_x509.h"


#define NGX_AUTOCERT_BOARD_CHALLENGES  16
#define NGX_AUTOCERT_BOARD_ISSUED      4    /* the plan's budget looks at */
#define NGX_AUTOCERT_BOARD_WHY         200
#define NGX_AUTOCERT_BOARD_DETAIL      512
#define NGX_AUTOCERT_BOARD_CAUSE       304


/* Of a name, in a mapping of its cycle. */

typedef struct {
    ngx_atomic_t              generation;   /* of its pair; 0: no helper yet */
} ngx_autocert_record_t;


typedef struct {
    ngx_atomic_t              ready;        /* the helper knows what pends */
    ngx_autocert_record_t     records[];
} ngx_autocert_records_t;


/* A pending challenge; readers go by the sequence count. */

typedef struct {
    ngx_atomic_t              sequence;     /* odd while it is written */
    u_short                   type;         /* NGX_AUTOCERT_CHALLENGE_ */
    u_short                   host_len;     /* 0: free */
    u_short                   token_len;
    u_short                   value_len;
    u_char                    host[254];
    u_char                    token[128];
    u_char                    value[256];
} ngx_autocert_pending_t;


/* Why a certificate is renewed when it is. */

#define NGX_AUTOCERT_RENEW_NONE        0
#define NGX_AUTOCERT_RENEW_BEFORE      1    /* autocert_renew_before */
#define NGX_AUTOCERT_RENEW_ARI         2    /* the CA said so, RFC 9773 */
#define NGX_AUTOCERT_RENEW_SETUP       3    /* not what is configured */

/* The key of a certificate. */

#define NGX_AUTOCERT_TYPE_NONE         0
#define NGX_AUTOCERT_TYPE_P256         1
#define NGX_AUTOCERT_TYPE_P384         2
#define NGX_AUTOCERT_TYPE_OTHER        3


/* What is known of a name; 0: not set. */

typedef struct {
    time_t                    not_before;   /* of its certificate */
    time_t                    not_after;
    time_t                    renew;        /* then it is to be renewed */
    time_t                    due;          /* the next order */
    time_t                    issued_at;
    time_t                    failed_at;
    time_t                    life;         /* what the budget goes by */
    time_t                    issued[NGX_AUTOCERT_BOARD_ISSUED];
    uint32_t                  failures;     /* in a row */
    u_char                    state;        /* NGX_AUTOCERT_IS_ */
    u_char                    why;          /* NGX_AUTOCERT_RENEW_ */
    u_char                    challenge;
    u_char                    type;         /* NGX_AUTOCERT_TYPE_ */
    u_char                    kind;         /* of the failure */
    u_char                    nissued;      /* plus 1; 0: not known */
    u_char                    held;         /* by a limit or the budget */
    u_char                    busy;         /* an order is under way */
    u_char                    serial_len;
    u_char                    serial[NGX_AUTOCERT_X509_NUMBER];
} ngx_autocert_facts_t;


/* The words of its failure: why, detail, cause, one behind the other. */

typedef struct {
    u_short                   why;          /* lengths */
    u_short                   detail;
    u_short                   cause;
    u_short                   unused;
    u_char                    data[NGX_AUTOCERT_BOARD_WHY
                                   + NGX_AUTOCERT_BOARD_DETAIL
                                   + NGX_AUTOCERT_BOARD_CAUSE];
} ngx_autocert_words_t;


/* What is known of all of them together. */

typedef struct {
    time_t                    started;      /* the helper; 0: not yet */
    uint64_t                  restarts;     /* in this cycle */
    time_t                    answered_at;  /* the CA, at all */
    time_t                    lost_at;      /* it did not */
    uint64_t                  reachable;    /* 0: not asked, 1, 2: no */
    time_t                    hold;         /* nothing is asked of it before */
    uint64_t                  failures;     /* of its own, in a row */
    ngx_autocert_latency_t    signatures;
} ngx_autocert_sums_t;


/* Readers go by the sequence counts; 0: nothing is known yet. */

typedef struct {
    ngx_atomic_t              sequence;
    ngx_autocert_facts_t      facts;
} ngx_autocert_known_t;


typedef struct {
    ngx_atomic_t              sequence;
    ngx_autocert_sums_t       sums;
} ngx_autocert_summed_t;


/*
 * Apart from the generations, which each handshake reads.  The words are
 * last: those of names without a failure take no memory.
 */

typedef struct {
    ngx_autocert_summed_t    *summed;
    ngx_autocert_known_t     *known;
    ngx_autocert_words_t     *words;
} ngx_autocert_ledger_t;


typedef struct {
    ngx_autocert_records_t   *shared;
    ngx_uint_t                n;            /* records */
    ngx_autocert_ledger_t     told;
    ngx_autocert_ledger_t     own;          /* the helper's; else NULL */
    ngx_autocert_pending_t   *pending;      /* the same in all cycles */
    unsigned                  carried:1;    /* a cycle before had it too */
} ngx_autocert_board_t;


/* A challenge; all but host are empty for TLS-ALPN-01. */

typedef struct {
    ngx_uint_t                type;
    ngx_str_t                 host;
    ngx_str_t                 token;
    ngx_str_t                 value;
} ngx_autocert_board_challenge_t;


#pragma GCC visibility push(hidden)

/*
 * In the master: n records, which go with the cycle, and the challenges, which
 * go with the last cycle that has any.
 */
ngx_int_t ngx_autocert_board_create(ngx_cycle_t *cycle,
    ngx_autocert_board_t *board, ngx_uint_t n);

/* In a worker: the board can't be written by mistake. */
void ngx_autocert_board_protect(ngx_autocert_board_t *board);

void ngx_autocert_board_set(ngx_autocert_board_t *board, ngx_uint_t index,
    uint64_t generation);

/* True if a pair of this generation is still the one to serve. */
ngx_uint_t ngx_autocert_board_current(ngx_autocert_board_t *board,
    ngx_uint_t index, uint64_t generation);

/*
 * Writes place i; NULL frees it.  NGX_ERROR: something does not fit, the
 * place is free.
 */
ngx_int_t ngx_autocert_board_publish(ngx_autocert_board_t *board,
    ngx_uint_t i, ngx_autocert_board_challenge_t *challenge);

/*
 * Is this challenge pending, by its type, host and token (data NULL: with
 * any)?  NGX_OK and the value, a copy in buf (256 bytes), or NGX_DECLINED.
 */
ngx_int_t ngx_autocert_board_find(ngx_autocert_board_t *board,
    ngx_autocert_board_challenge_t *challenge, u_char *buf);

/*
 * What a helper of this cycle, or of the one before, has to say of challenges
 * is on the board: until then a worker does not know whether one is pending.
 */
void ngx_autocert_board_ready(ngx_autocert_board_t *board);
ngx_uint_t ngx_autocert_board_is_ready(ngx_autocert_board_t *board);

/*
 * In the helper, once: what it knows, to be changed in board->own, from where
 * it is told.  seed is different for each process.
 */
ngx_int_t ngx_autocert_board_own(ngx_autocert_board_t *board,
    uint64_t seed);
void ngx_autocert_board_tell(ngx_autocert_board_t *board, ngx_uint_t index);
void ngx_autocert_board_tell_sums(ngx_autocert_board_t *board);

/*
 * What was told, in a worker, or the helper's own: copies.  Of words, if not
 * NULL, all lengths are in bounds.  NGX_DECLINED: nothing is known yet.
 */
ngx_int_t ngx_autocert_board_look(ngx_autocert_board_t *board,
    ngx_uint_t index, ngx_autocert_facts_t *facts,
    ngx_autocert_words_t *words);

/* Until when nothing is asked of the CA. */
time_t ngx_autocert_board_hold(ngx_autocert_board_t *board);

ngx_int_t ngx_autocert_board_look_sums(ngx_autocert_board_t *board,
    ngx_autocert_sums_t *sums);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_BOARD_H_INCLUDED_ */
