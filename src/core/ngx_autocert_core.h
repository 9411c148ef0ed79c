
/* What the files of the core share with each other. */


#ifndef _NGX_AUTOCERT_CORE_H_INCLUDED_
#define _NGX_AUTOCERT_CORE_H_INCLUDED_


#define NGX_AUTOCERT_CORE

#include "../ngx_autocert.h"

#include "ngx_autocert_board.h"


#define NGX_AUTOCERT_STARTS  6


/* When the last helpers of this cycle were started, newest first. */

typedef struct {
    time_t                        at[NGX_AUTOCERT_STARTS];
    ngx_uint_t                    total;    /* one soon after the other */
    ngx_uint_t                    count;    /* in this cycle, to be shown */
} ngx_autocert_starts_t;


/* Of one cycle; made in the master, inherited by its children. */

struct ngx_autocert_core_s {
    int                           door[2];  /* worker's end, helper's end */
    ngx_autocert_board_t          board;
    ngx_autocert_starts_t        *starts;   /* shared, of the helpers alone */
    ngx_array_t                   handlers; /* of listeners, see fiber_note */
    unsigned                      alone:1;  /* the old workers have none */
};


extern ngx_module_t  ngx_autocert_module;


#pragma GCC visibility push(hidden)

/* The configuration of a running cycle, or NULL if it has no names. */
ngx_autocert_conf_t *ngx_autocert_running(ngx_cycle_t *cycle);

/* Makes a shared mapping that goes with the cycle; NULL on failure. */
void *ngx_autocert_shared(ngx_cycle_t *cycle, size_t size);

/*
 * Makes a timer of ev.  Its data is not ours to use: NGINX takes it for a
 * connection when it logs.
 */
void ngx_autocert_timer(ngx_event_t *ev, ngx_log_t *log,
    ngx_event_handler_pt handler);

/*
 * A connection for a descriptor of ours that is watched for reading.  It
 * shares the descriptor's life: end it by ngx_close_connection().
 */
ngx_connection_t *ngx_autocert_watch(int fd, ngx_log_t *log,
    ngx_event_handler_pt handler, void *data);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_CORE_H_INCLUDED_ */
