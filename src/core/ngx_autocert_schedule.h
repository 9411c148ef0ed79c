
/* What is due, and when: the clock of the helper, on its main thread. */


#ifndef _NGX_AUTOCERT_SCHEDULE_H_INCLUDED_
#define _NGX_AUTOCERT_SCHEDULE_H_INCLUDED_


#include "ngx_autocert_helper.h"


#pragma GCC visibility push(hidden)

ngx_int_t ngx_autocert_schedule_start(ngx_autocert_helper_t *helper);

/* No more ACME and no more looking at files; the store lock is given up. */
void ngx_autocert_schedule_stop(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SCHEDULE_H_INCLUDED_ */
