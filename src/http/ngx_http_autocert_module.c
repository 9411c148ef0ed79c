
#include "ngx_http_autocert_module.h"


static ngx_http_module_t  ngx_http_autocert_module_ctx = {
    ngx_http_autocert_preconfiguration,    /* preconfiguration */
    ngx_http_autocert_postconfiguration,   /* postconfiguration */

    ngx_http_autocert_create_main_conf,    /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_autocert_create_srv_conf,     /* create server configuration */
    ngx_http_autocert_merge_srv_conf,      /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_autocert_module = {
    NGX_MODULE_V1,
    &ngx_http_autocert_module_ctx,         /* module context */
    ngx_http_autocert_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};
