
/*
 * How workers reach the helper: one door (a pair of sockets) per cycle, made
 * in the master and kept there, and through it one channel per worker.  What
 * is sent while no helper lives waits in the door for the next one.
 */


#ifndef _NGX_AUTOCERT_DOOR_H_INCLUDED_
#define _NGX_AUTOCERT_DOOR_H_INCLUDED_


#include "ngx_autocert_core.h"
#include "../keys/ngx_autocert_protocol.h"


#define NGX_AUTOCERT_DOOR_WORKER  0
#define NGX_AUTOCERT_DOOR_HELPER  1


#pragma GCC visibility push(hidden)

/* In the master: the door goes with the cycle. */
ngx_int_t ngx_autocert_door_create(ngx_cycle_t *cycle, int door[2]);

/* In a child: closes one end or, of a process without a use for it, both. */
void ngx_autocert_door_close(int door[2], ngx_uint_t end);

/* In a worker: makes a channel and sends its other end.  The fd, or -1. */
int ngx_autocert_door_knock(int door[2], ngx_autocert_hello_t *hello,
    ngx_log_t *log);

/*
 * In the helper: the next channel that stands at the door.  NGX_OK and its
 * fd; NGX_AGAIN: nobody; NGX_DECLINED: what came was no channel, and is
 * closed; NGX_DONE: nobody can come any more.
 */
ngx_int_t ngx_autocert_door_answer(int door[2], ngx_autocert_hello_t *hello,
    int *fd);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_DOOR_H_INCLUDED_ */
