
/* What our parser of JSON takes of NGINX: memory, and a number. */


#include "command.h"


typedef struct command_block_s  command_block_t;

struct command_block_s {
    command_block_t  *next;
    max_align_t       data[];
};


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    command_block_t  *block, **first;

    block = malloc(sizeof(command_block_t) + size);

    if (block == NULL) {
        perror("nginx-autocert");
        exit(COMMAND_FAILED);
    }

    first = (command_block_t **) pool;
    block->next = *first;
    *first = block;

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


/* A pool is the place of its first block. */

ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    (void) size;
    (void) log;

    return calloc(1, sizeof(command_block_t *));
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    command_block_t  *block, *next;

    for (block = *(command_block_t **) pool; block; block = next) {
        next = block->next;
        free(block);
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
