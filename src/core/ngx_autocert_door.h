
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


/* Takes a channel in the helper, and owns fd, also on failure. */

typedef ngx_int_t (*ngx_autocert_door_serve_pt)(void *data, int fd,
    ngx_autocert_hello_t *hello);


/*
 * What came of somebody who knocked: NGX_OK, NGX_ERROR: was not served, errno
 * in err; NGX_DECLINED: brought no channel; NGX_DONE: nobody can come any more.
 */

typedef struct {
    ngx_int_t                  rc;
    ngx_err_t                  err;
    ngx_autocert_hello_t       hello;
} ngx_autocert_knock_t;


#pragma GCC visibility push(hidden)

/* In the master: the door goes with the cycle. */
ngx_int_t ngx_autocert_door_create(ngx_cycle_t *cycle, int door[2]);

/* In a child: closes one end or, of a process without a use for it, both. */
void ngx_autocert_door_close(int door[2], ngx_uint_t end);

/* In a worker: makes a channel and sends its other end.  -1: errno says why. */
int ngx_autocert_door_knock(int door[2], ngx_autocert_hello_t *hello);

/*
 * In the helper: who knocks is answered by a thread, since to let go of what
 * came may block.  Returns what is readable when there is news, or -1; the one
 * door of the process.
 */
int ngx_autocert_door_open(int door[2], ngx_autocert_door_serve_pt serve,
    void *data);
ngx_int_t ngx_autocert_door_knocked(ngx_autocert_knock_t *knock);

/* Ends the thread; NGX_AGAIN: it is blocked. */
ngx_int_t ngx_autocert_door_leave(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_DOOR_H_INCLUDED_ */
