
/* What the helper can do no more: dumps, privileges, system calls. */


#ifndef _NGX_AUTOCERT_JAIL_H_INCLUDED_
#define _NGX_AUTOCERT_JAIL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#pragma GCC visibility push(hidden)

/*
 * For good, for the calling thread and all that it starts later: to be called
 * while there is no other.  NGX_OK; NGX_DECLINED if the kernel, or the build,
 * has no filter of system calls: all the rest is done then.
 */
ngx_int_t ngx_autocert_jail(ngx_log_t *log);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_JAIL_H_INCLUDED_ */
