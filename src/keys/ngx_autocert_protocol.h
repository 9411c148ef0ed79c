
/*
 * Messages between a worker and the keeper, in frames of SOCK_SEQPACKET: a
 * hello alone, questions and answers one or more behind each other.
 * docs/PROTOCOL.md gives them byte by byte.
 */


#ifndef _NGX_AUTOCERT_PROTOCOL_H_INCLUDED_
#define _NGX_AUTOCERT_PROTOCOL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_x509.h"


#define NGX_AUTOCERT_PROTOCOL_VERSION  1

#define NGX_AUTOCERT_PROTOCOL_READY    1    /* keeper: the channel lives */
#define NGX_AUTOCERT_PROTOCOL_CHAIN    2
#define NGX_AUTOCERT_PROTOCOL_SIGN     3
#define NGX_AUTOCERT_PROTOCOL_UNFIT    4    /* CHAIN, but another */

#define NGX_AUTOCERT_PROTOCOL_OK       0
#define NGX_AUTOCERT_PROTOCOL_NONE     1    /* no such name or key */
#define NGX_AUTOCERT_PROTOCOL_FAILED   2

#define NGX_AUTOCERT_PROTOCOL_DIGEST   64
#define NGX_AUTOCERT_PROTOCOL_SIZE     65536    /* of a frame, at most */
#define NGX_AUTOCERT_PROTOCOL_BATCH    16       /* questions in a frame */
#define NGX_AUTOCERT_PROTOCOL_QUESTION 116      /* bytes, at most */
#define NGX_AUTOCERT_PROTOCOL_HELLO    16       /* exactly */


/* What a worker says of itself when it brings its channel to the door. */

typedef struct {
    uint32_t    worker;     /* its number, from 0 */
    uint32_t    pid;
} ngx_autocert_hello_t;


typedef struct {
    uint32_t    type;
    uint64_t    number;     /* repeated in the answer */
    uint32_t    index;      /* of the name in this cycle's list */
    u_char      id[NGX_AUTOCERT_KEY_ID];   /* SIGN */
    ngx_str_t   digest;                     /* SIGN */
} ngx_autocert_question_t;


typedef struct {
    uint32_t    type;
    uint64_t    number;
    uint32_t    status;
    uint32_t    bootstrap;  /* CHAIN, UNFIT: self-signed, until one is
                               issued */
    uint64_t    generation; /* CHAIN, UNFIT */
    ngx_str_t   body;       /* CHAIN, UNFIT: strings of DER, leaf first;
                               SIGN: ECDSA-Sig-Value */
} ngx_autocert_answer_t;


#pragma GCC visibility push(hidden)

/*
 * put returns the length of the message, 0 if it does not fit.  get returns
 * that of the message which the frame begins with, 0 if it is cut short or
 * not of the protocol; strings are views into the frame.  A hello is a frame
 * of its own: NGX_OK or NGX_ERROR.
 */
size_t ngx_autocert_protocol_hello_put(ngx_autocert_hello_t *hello,
    u_char *frame, size_t size);
ngx_int_t ngx_autocert_protocol_hello_get(ngx_autocert_hello_t *hello,
    u_char *frame, size_t len);

size_t ngx_autocert_protocol_question_put(ngx_autocert_question_t *question,
    u_char *frame, size_t size);
size_t ngx_autocert_protocol_question_get(ngx_autocert_question_t *question,
    u_char *frame, size_t size);

size_t ngx_autocert_protocol_answer_put(ngx_autocert_answer_t *answer,
    u_char *frame, size_t size);
size_t ngx_autocert_protocol_answer_get(ngx_autocert_answer_t *answer,
    u_char *frame, size_t size);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_PROTOCOL_H_INCLUDED_ */
