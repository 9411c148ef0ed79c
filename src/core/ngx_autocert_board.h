
/*
 * Shared memory that only the helper writes and that workers read without a
 * lock.  The helper never reads it back: a worker that is taken over could
 * have written there.
 */


#ifndef _NGX_AUTOCERT_BOARD_H_INCLUDED_
#define _NGX_AUTOCERT_BOARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_BOARD_CHALLENGES  16


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


typedef struct {
    ngx_autocert_records_t   *shared;
    ngx_uint_t                n;            /* records */
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

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_BOARD_H_INCLUDED_ */
