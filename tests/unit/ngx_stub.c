
/*
 * What the binary would bring: enough for the layers that run without it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_stub.h"


static ngx_time_t         ngx_stub_time;

volatile ngx_cycle_t     *ngx_cycle;
volatile ngx_time_t      *ngx_cached_time = &ngx_stub_time;
ngx_uint_t                ngx_pagesize = 4096;
ngx_uint_t                ngx_pagesize_shift = 12;
ngx_uint_t                ngx_cacheline_size = 64;
ngx_pid_t                 ngx_pid;

ngx_uint_t                ngx_stub_fail_at;
ngx_uint_t                ngx_stub_logged;
ngx_log_t                 ngx_stub_log;


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    (void) level;
    (void) log;
    (void) err;
    (void) fmt;

    ngx_stub_logged++;
}


static ngx_uint_t
ngx_stub_fails(void)
{
    if (ngx_stub_fail_at == 0) {
        return 0;
    }

    if (ngx_stub_fail_at == 1) {
        return 1;
    }

    ngx_stub_fail_at--;

    return 0;
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return ngx_stub_fails() ? NULL : malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return ngx_stub_fails() ? NULL : calloc(1, size);
}


void *
ngx_memalign(size_t alignment, size_t size, ngx_log_t *log)
{
    void  *p;

    (void) log;

    if (ngx_stub_fails() || posix_memalign(&p, alignment, size) != 0) {
        return NULL;
    }

    return p;
}
