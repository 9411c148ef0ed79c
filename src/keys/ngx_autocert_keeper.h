
/*
 * The helper's side of the channels: it holds the keys, hands out chains and
 * signs.  One thread a channel; a thread touches no structure of NGINX's but
 * values, and shares only the table of pairs, under one lock that is never
 * held over a signature or a file.
 */


#ifndef _NGX_AUTOCERT_KEEPER_H_INCLUDED_
#define _NGX_AUTOCERT_KEEPER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_protocol.h"
#include "../base/ngx_autocert_latency.h"


#define NGX_AUTOCERT_KEEPER_CHANNELS  1024
#define NGX_AUTOCERT_KEEPER_RESERVE   128   /* descriptors for all else */
#define NGX_AUTOCERT_KEEPER_PROCESS   4     /* channels of one, as they end */


typedef struct ngx_autocert_keeper_s  ngx_autocert_keeper_t;


/*
 * Reads the pair of a name when it is first asked for; called from any
 * thread, several at a time.  NGX_OK: *chain and *key are the caller's.
 * NGX_AGAIN: it could not be read, and is at the next question; workers keep
 * what they have.  Else it is made, self-signed.  A chain may be taken at a
 * glance.
 */
typedef ngx_int_t (*ngx_autocert_keeper_load_pt)(void *data, ngx_uint_t index,
    ngx_autocert_chain_t **chain, EVP_PKEY **key);


/* How a channel came to its end. */

typedef struct {
    ngx_autocert_hello_t   peer;
    char                  *abuse;   /* what it did wrong; NULL: it left */
} ngx_autocert_keeper_end_t;


#pragma GCC visibility push(hidden)

/*
 * names are those of the cycle, n of them; generation is where the counting
 * starts, different for each process so that no worker takes a pair of a
 * predecessor for one of ours.  NULL if memory or descriptors run out.
 */
ngx_autocert_keeper_t *ngx_autocert_keeper_create(ngx_str_t *names,
    ngx_uint_t n, uint64_t generation, ngx_autocert_keeper_load_pt load,
    void *data);

/*
 * Makes this the pair of the name and keeps the last one besides, until that
 * is forgotten; owns both from now on.  Returns the name's new generation, 0 on
 * failure.
 */
uint64_t ngx_autocert_keeper_install(ngx_autocert_keeper_t *keeper,
    ngx_uint_t index, ngx_autocert_chain_t *chain, EVP_PKEY *key);

/*
 * Lets go of pairs that were replaced so many seconds ago: no handshake that
 * has begun with them is under way any more.
 */
void ngx_autocert_keeper_forget(ngx_autocert_keeper_t *keeper,
    ngx_uint_t seconds);

/*
 * NGX_OK and the id of the pair in memory; NGX_AGAIN: it is a bootstrap one;
 * NGX_DECLINED: nobody has asked for this name yet.
 */
ngx_int_t ngx_autocert_keeper_id(ngx_autocert_keeper_t *keeper,
    ngx_uint_t index, u_char id[NGX_AUTOCERT_KEY_ID]);

/*
 * Serves this channel in a thread of its own; owns fd, also on failure, and
 * may block to close it.  From any thread.
 */
ngx_int_t ngx_autocert_keeper_serve(ngx_autocert_keeper_t *keeper, int fd,
    ngx_autocert_hello_t *peer);

/* Readable when a channel has ended: then take ends until NGX_DECLINED. */
int ngx_autocert_keeper_fd(ngx_autocert_keeper_t *keeper);
ngx_int_t ngx_autocert_keeper_ended(ngx_autocert_keeper_t *keeper,
    ngx_autocert_keeper_end_t *end);

/* Channels that are served. */
ngx_uint_t ngx_autocert_keeper_channels(ngx_autocert_keeper_t *keeper);

/* How long signatures took that were made, from the question's arrival. */
void ngx_autocert_keeper_latency(ngx_autocert_keeper_t *keeper,
    ngx_autocert_latency_t *latency);

/*
 * Ends all channels, waits for their threads, frees the keys; NGX_AGAIN and
 * nothing is freed: a thread has not ended within a second, as to close what
 * a worker has sent may block.
 */
ngx_int_t ngx_autocert_keeper_destroy(ngx_autocert_keeper_t *keeper);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_KEEPER_H_INCLUDED_ */
