
#ifndef _NGX_STUB_H_INCLUDED_
#define _NGX_STUB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * An allocator that fails: set to n, the n-th allocation from now on returns
 * NULL and each one after it too; 0, all succeed.  Built with NGX_DEBUG_PALLOC
 * each ngx_palloc() is one allocation.  Goes for NGINX's allocations only,
 * not for those of OpenSSL.
 */
extern ngx_uint_t  ngx_stub_fail_at;

/* How many lines were logged since the start. */
extern ngx_uint_t  ngx_stub_logged;

/* For ngx_create_pool(): drops all that is written to it. */
extern ngx_log_t   ngx_stub_log;


#endif /* _NGX_STUB_H_INCLUDED_ */
