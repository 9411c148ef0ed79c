
/*
 * The worker's part: its channel to the helper, the chains it has been
 * given, and their hand-over to a connection.
 */


#ifndef _NGX_AUTOCERT_WORKER_H_INCLUDED_
#define _NGX_AUTOCERT_WORKER_H_INCLUDED_


#include "ngx_autocert_core.h"


#pragma GCC visibility push(hidden)

ngx_int_t ngx_autocert_worker_init(ngx_cycle_t *cycle,
    ngx_autocert_conf_t *acf);
void ngx_autocert_worker_exit(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_WORKER_H_INCLUDED_ */
