
/* What our parser of JSON takes of NGINX: memory, and a number. */


#include "command.h"


typedef struct {
    ngx_pool_large_t  large;
    max_align_t       data[];
} command_block_t;


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    command_block_t  *block;

    block = malloc(sizeof(command_block_t) + size);

    if (block == NULL) {
        perror("nginx-autocert");
        exit(COMMAND_FAILED);
    }

    block->large.next = pool->large;
    pool->large = &block->large;

    return block->data;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    return memset(ngx_palloc(pool, size), 0, size);
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    (void) pool;
    (void) p;

    return NGX_DECLINED;
}


/* A pool has its list of large blocks, and nothing else. */

ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    (void) size;
    (void) log;

    return calloc(1, sizeof(ngx_pool_t));
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_pool_large_t  *large, *next;

    for (large = pool->large; large; large = next) {
        next = large->next;
        free(large);
    }

    free(pool);
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    u_char     c;
    ngx_int_t  value;

    for (value = 0; n--; line++) {
        c = (u_char) (*line | 0x20);

        if (*line >= '0' && *line <= '9') {
            value = value * 16 + (*line - '0');

        } else if (c >= 'a' && c <= 'f') {
            value = value * 16 + (c - 'a' + 10);

        } else {
            return NGX_ERROR;
        }
    }

    return value;
}
