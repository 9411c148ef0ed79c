
/*
 * One HTTPS exchange at a time, on the event loop of the helper: resolve,
 * connect, verify, send, receive; each step has a time-out.  A connection is
 * kept for the next exchange with the same host.
 */


#ifndef _NGX_AUTOCERT_CLIENT_H_INCLUDED_
#define _NGX_AUTOCERT_CLIENT_H_INCLUDED_


#include "ngx_autocert_helper.h"
#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_message.h"


/*
 * The end of an exchange, never called from within the call that began it:
 * a whole response, which is gone when done returns, or NULL and fail.
 */
typedef void (*ngx_autocert_client_done_pt)(void *data,
    ngx_autocert_response_t *response, ngx_autocert_fail_t *fail);


typedef struct ngx_autocert_client_s  ngx_autocert_client_t;


#pragma GCC visibility push(hidden)

/* One for the life of the process. */
ngx_autocert_client_t *ngx_autocert_client_create(
    ngx_autocert_helper_t *helper);

/* The strings of request live until done is called; those of fail in pool. */
void ngx_autocert_client_send(ngx_autocert_client_t *client,
    ngx_pool_t *pool, ngx_autocert_request_t *request,
    ngx_autocert_client_done_pt done, void *data);

/* Forgets the exchange under way, if any; done will not be called. */
void ngx_autocert_client_cancel(ngx_autocert_client_t *client);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_CLIENT_H_INCLUDED_ */
