
/* The worker's side of a channel: a question, and a bounded wait. */


#ifndef _NGX_AUTOCERT_REMOTE_H_INCLUDED_
#define _NGX_AUTOCERT_REMOTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_protocol.h"


#define NGX_AUTOCERT_REMOTE_TIMEOUT  250    /* ms */


typedef struct ngx_autocert_remote_s  ngx_autocert_remote_t;

struct ngx_autocert_remote_s {
    int           fd;           /* nonblocking SOCK_SEQPACKET, -1: none */
    uint64_t      number;       /* of the last question */
    unsigned      down:1;       /* the last one timed out: do not wait */

    /* Brings a new channel to the door: its fd, or -1. */
    int         (*connect)(ngx_autocert_remote_t *remote);
    /* Takes fd out of use, also out of the event loop; sets it to -1. */
    void        (*close)(ngx_autocert_remote_t *remote);

    ngx_uint_t    waited;       /* longest wait so far, ms */
    u_char        frame[NGX_AUTOCERT_PROTOCOL_SIZE];
};


#pragma GCC visibility push(hidden)

/*
 * Asks and waits, at most NGX_AUTOCERT_REMOTE_TIMEOUT.  A helper that dies
 * meanwhile is replaced by its successor and asked again.  After a time-out
 * every call fails at once, until the channel has been answered.  NGX_OK and
 * an answer with a view into remote->frame, good until the next call;
 * NGX_ERROR otherwise.
 */
ngx_int_t ngx_autocert_remote_ask(ngx_autocert_remote_t *remote,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer);

/*
 * Takes what has come without being waited for: late answers, which say that
 * the helper lives again.  NGX_OK, or NGX_ERROR at the end of the channel.
 */
ngx_int_t ngx_autocert_remote_drain(ngx_autocert_remote_t *remote);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_REMOTE_H_INCLUDED_ */
