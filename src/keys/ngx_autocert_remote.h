
/* The worker's side of a channel: questions under way, and their answers. */


#ifndef _NGX_AUTOCERT_REMOTE_H_INCLUDED_
#define _NGX_AUTOCERT_REMOTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_protocol.h"


#define NGX_AUTOCERT_REMOTE_TIMEOUT  250    /* ms, of a wait */


typedef struct ngx_autocert_remote_s  ngx_autocert_remote_t;
typedef struct ngx_autocert_call_s    ngx_autocert_call_t;


/*
 * The end of a call: an answer with a view that is good until this returns,
 * or NULL.  It may not ask anything by itself.
 */
typedef void (*ngx_autocert_call_pt)(ngx_autocert_call_t *call,
    ngx_autocert_answer_t *answer);


/* A question under way; what question points to must live as long. */

struct ngx_autocert_call_s {
    ngx_autocert_question_t   question;
    ngx_autocert_call_pt      ready;
    void                     *data;

    /* the remote's own */
    ngx_queue_t               queue;
    unsigned                  sent:1;
};


struct ngx_autocert_remote_s {
    int           fd;           /* nonblocking SOCK_SEQPACKET, -1: none */
    uint64_t      number;       /* of the last question */
    ngx_queue_t   calls;        /* oldest first */
    ngx_uint_t    nunsent;
    unsigned      down:1;       /* a wait timed out: do not wait again */

    /* Brings a new channel to the door: its fd, or -1. */
    int         (*connect)(ngx_autocert_remote_t *remote);
    /* Takes fd out of use, also out of the event loop; sets it to -1. */
    void        (*close)(ngx_autocert_remote_t *remote);

    u_char        frame[NGX_AUTOCERT_PROTOCOL_SIZE];
};


#pragma GCC visibility push(hidden)

/* connect and close are set before. */
void ngx_autocert_remote_init(ngx_autocert_remote_t *remote);

/*
 * Begins a call, which goes out with the next flush; ends in ready(), unless
 * it is cancelled.
 */
void ngx_autocert_remote_start(ngx_autocert_remote_t *remote,
    ngx_autocert_call_t *call);
void ngx_autocert_remote_cancel(ngx_autocert_remote_t *remote,
    ngx_autocert_call_t *call);

/* There is no helper and will be none: all calls end without an answer. */
void ngx_autocert_remote_fail(ngx_autocert_remote_t *remote);

/*
 * Sends what has not been sent.  A helper that is gone is replaced by its
 * successor, and asked all that was not answered again: ECDSA is safe to ask
 * twice.  NGX_AGAIN: not all could be sent, to be called again later.
 */
ngx_int_t ngx_autocert_remote_flush(ngx_autocert_remote_t *remote);

/*
 * Takes all answers there are.  NGX_OK, or NGX_DECLINED at the end of the
 * channel, which is closed then.
 */
ngx_int_t ngx_autocert_remote_take(ngx_autocert_remote_t *remote);

/*
 * Asks and waits, at most NGX_AUTOCERT_REMOTE_TIMEOUT, after which it fails
 * at once until the channel has been answered, or has ended; it also does
 * where no channel can be had.  Other calls may end meanwhile.  NGX_OK if
 * ready() was called with an answer.
 */
ngx_int_t ngx_autocert_remote_ask(ngx_autocert_remote_t *remote,
    ngx_autocert_call_t *call);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_REMOTE_H_INCLUDED_ */
