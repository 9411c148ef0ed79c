
#include "ngx_autocert_core.h"
#include "ngx_autocert_fiber.h"
#include "ngx_autocert_spawn.h"
#include "ngx_autocert_worker.h"

#include <sys/mman.h>


typedef struct {
    void    *addr;
    size_t   size;
} ngx_autocert_mapping_t;


static void *ngx_autocert_create_conf(ngx_cycle_t *cycle);
static char *ngx_autocert_init_conf(ngx_cycle_t *cycle, void *conf);
static ngx_int_t ngx_autocert_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_autocert_init_process(ngx_cycle_t *cycle);
static void ngx_autocert_exit_process(ngx_cycle_t *cycle);
static void ngx_autocert_unmap(void *data);


static ngx_core_module_t  ngx_autocert_module_ctx = {
    ngx_string("autocert"),
    ngx_autocert_create_conf,
    ngx_autocert_init_conf
};


ngx_module_t  ngx_autocert_module = {
    NGX_MODULE_V1,
    &ngx_autocert_module_ctx,          /* module context */
    NULL,                              /* module directives */
    NGX_CORE_MODULE,                   /* module type */
    NULL,                              /* init master */
    ngx_autocert_init_module,          /* init module */
    ngx_autocert_init_process,         /* init process */
    NULL,                              /* init thread */
    NULL,                              /* exit thread */
    ngx_autocert_exit_process,         /* exit process */
    NULL,                              /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_autocert_conf_t *
ngx_autocert_get_conf(ngx_cycle_t *cycle)
{
    return (ngx_autocert_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                                ngx_autocert_module);
}


ngx_autocert_conf_t *
ngx_autocert_running(ngx_cycle_t *cycle)
{
    ngx_autocert_conf_t  *acf;

    acf = ngx_autocert_get_conf(cycle);

    return acf->core ? acf : NULL;
}


void *
ngx_autocert_shared(ngx_cycle_t *cycle, size_t size)
{
    ngx_pool_cleanup_t      *cln;
    ngx_autocert_mapping_t  *mapping;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_autocert_mapping_t));
    if (cln == NULL) {
        return NULL;
    }

    mapping = cln->data;

    mapping->size = size;
    mapping->addr = mmap(NULL, size, PROT_READ|PROT_WRITE,
                         MAP_ANON|MAP_SHARED, -1, 0);

    if (mapping->addr == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "autocert: mmap(%uz) failed", size);
        return NULL;
    }

    cln->handler = ngx_autocert_unmap;

    return mapping->addr;
}


void
ngx_autocert_timer(ngx_event_t *ev, ngx_log_t *log,
    ngx_event_handler_pt handler)
{
    static ngx_connection_t  dummy;

    dummy.fd = (ngx_socket_t) -1;

    ev->handler = handler;
    ev->data = &dummy;
    ev->log = log;
}


ngx_connection_t *
ngx_autocert_watch(int fd, ngx_log_t *log, ngx_event_handler_pt handler,
    void *data)
{
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, log);
    if (c == NULL) {
        return NULL;
    }

    c->data = data;
    rev = c->read;

    /* not a client's: NGINX does not count or report it as one */
    rev->channel = 1;
    c->write->channel = 1;

    rev->log = log;
    c->write->log = log;
    rev->handler = handler;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        return NULL;
    }

    return c;
}


static void *
ngx_autocert_create_conf(ngx_cycle_t *cycle)
{
    ngx_autocert_conf_t  *acf;

    acf = ngx_pcalloc(cycle->pool, sizeof(ngx_autocert_conf_t));
    if (acf == NULL) {
        return NULL;
    }

    acf->resolver_timeout = NGX_CONF_UNSET_MSEC;

    if (ngx_array_init(&acf->names, cycle->pool, 4,
                       sizeof(ngx_autocert_name_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&acf->contacts, cycle->pool, 1, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    return acf;
}


/* The line may stand below the http block. */

static char *
ngx_autocert_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_autocert_conf_t  *acf = conf;

    ngx_core_conf_t      *ccf;
    ngx_autocert_name_t  *name;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (acf->core == NULL) {
        return NGX_CONF_OK;
    }

    if (ccf->master) {
        return (ngx_autocert_fiber_note(cycle, acf) == NGX_OK)
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    name = acf->names.elts;

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                  "\"autocert on\" needs the master process, which "
                  "\"master_process off\" leaves out: remove that line, "
                  "in %s:%ui", name->file, name->line);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_autocert_init_module(ngx_cycle_t *cycle)
{
    if (ngx_test_config || ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    ngx_autocert_spawn_arm(cycle, ngx_autocert_running(cycle));

    /* an error would make the master exit on a reload */

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_init_process(ngx_cycle_t *cycle)
{
    ngx_autocert_conf_t  *acf;

    acf = ngx_autocert_running(cycle);

    if (acf == NULL) {
        return NGX_OK;
    }

    return ngx_autocert_worker_init(cycle, acf);
}


static void
ngx_autocert_exit_process(ngx_cycle_t *cycle)
{
    (void) cycle;

    ngx_autocert_worker_exit();
}


static void
ngx_autocert_unmap(void *data)
{
    ngx_autocert_mapping_t  *mapping = data;

    (void) munmap(mapping->addr, mapping->size);
}
