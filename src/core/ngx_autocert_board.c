
#include "ngx_autocert_core.h"

#include <sys/mman.h>


#define NGX_AUTOCERT_BOARD_ZONE  (8 * ngx_pagesize)


static ngx_int_t ngx_autocert_board_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_int_t ngx_autocert_board_read(ngx_autocert_pending_t *pending,
    ngx_str_t *host, ngx_str_t *token, ngx_str_t *value, u_char *buf);


static ngx_str_t  ngx_autocert_board_zone_name =
    ngx_string("autocert_challenges");


ngx_int_t
ngx_autocert_board_create(ngx_conf_t *cf, ngx_autocert_board_t *board,
    ngx_uint_t n)
{
    board->records = ngx_autocert_shared(cf->cycle,
                                         n * sizeof(ngx_autocert_record_t));
    if (board->records == NULL) {
        return NGX_ERROR;
    }

    board->n = n;

    board->zone = ngx_shared_memory_add(cf, &ngx_autocert_board_zone_name,
                                        NGX_AUTOCERT_BOARD_ZONE,
                                        &ngx_autocert_module);
    if (board->zone == NULL) {
        return NGX_ERROR;
    }

    board->zone->init = ngx_autocert_board_init_zone;

    return NGX_OK;
}


void
ngx_autocert_board_protect(ngx_autocert_board_t *board)
{
    (void) mprotect(board->records, board->n * sizeof(ngx_autocert_record_t),
                    PROT_READ);
}


void
ngx_autocert_board_set(ngx_autocert_board_t *board, ngx_uint_t index,
    uint64_t generation)
{
    __atomic_store_n(&board->records[index].generation,
                     (ngx_atomic_uint_t) generation, __ATOMIC_RELEASE);
}


ngx_uint_t
ngx_autocert_board_current(ngx_autocert_board_t *board, ngx_uint_t index,
    uint64_t generation)
{
    return __atomic_load_n(&board->records[index].generation,
                           __ATOMIC_ACQUIRE)
           == (ngx_atomic_uint_t) generation;
}


ngx_int_t
ngx_autocert_board_publish(ngx_autocert_board_t *board, ngx_uint_t i,
    ngx_str_t *host, ngx_str_t *token, ngx_str_t *value)
{
    ngx_uint_t               fits;
    ngx_autocert_pending_t  *p;

    p = board->zone->data;
    p += i;

    fits = host != NULL
           && host->len <= sizeof(p->host)
           && token->len <= sizeof(p->token)
           && value->len <= sizeof(p->value);

    __atomic_fetch_add(&p->sequence, p->sequence % 2 ? 2 : 1,
                       __ATOMIC_ACQ_REL);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    p->host_len = 0;

    if (fits) {
        p->host_len = host->len;
        p->token_len = token->len;
        p->value_len = value->len;
        ngx_memcpy(p->host, host->data, host->len);
        ngx_memcpy(p->token, token->data, token->len);
        ngx_memcpy(p->value, value->data, value->len);
    }

    __atomic_fetch_add(&p->sequence, 1, __ATOMIC_RELEASE);

    return (host == NULL || fits) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_autocert_board_find(ngx_autocert_board_t *board, ngx_str_t *host,
    ngx_str_t *token, ngx_str_t *value, u_char *buf)
{
    ngx_int_t                rc;
    ngx_uint_t               i, tries;
    ngx_autocert_pending_t  *p;

    p = board->zone->data;

    for (i = 0; i < NGX_AUTOCERT_BOARD_CHALLENGES; i++) {

        /* a writer is done in nanoseconds, or dead */

        for (tries = 0; tries < 1000; tries++) {
            rc = ngx_autocert_board_read(&p[i], host, token, value, buf);

            if (rc == NGX_OK) {
                return NGX_OK;
            }

            if (rc == NGX_DECLINED) {
                break;
            }

            ngx_cpu_pause();
        }
    }

    return NGX_DECLINED;
}


/* NGX_AGAIN if it was written meanwhile */

static ngx_int_t
ngx_autocert_board_read(ngx_autocert_pending_t *pending, ngx_str_t *host,
    ngx_str_t *token, ngx_str_t *value, u_char *buf)
{
    ngx_uint_t              matches;
    ngx_atomic_uint_t       sequence;
    ngx_autocert_pending_t  copy;

    sequence = __atomic_load_n(&pending->sequence, __ATOMIC_ACQUIRE);

    if (sequence % 2) {
        return NGX_AGAIN;
    }

    ngx_memcpy(&copy, pending, sizeof(ngx_autocert_pending_t));

    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    if (__atomic_load_n(&pending->sequence, __ATOMIC_RELAXED) != sequence) {
        return NGX_AGAIN;
    }

    matches = copy.host_len != 0
              && copy.host_len == host->len
              && copy.token_len == token->len
              && copy.value_len <= sizeof(copy.value)
              && host->len <= sizeof(copy.host)
              && token->len <= sizeof(copy.token)
              && ngx_memcmp(copy.host, host->data, host->len) == 0
              && ngx_memcmp(copy.token, token->data, token->len) == 0;

    if (!matches) {
        return NGX_DECLINED;
    }

    ngx_memcpy(buf, copy.value, copy.value_len);

    value->data = buf;
    value->len = copy.value_len;

    return NGX_OK;
}


/* Carried over a reload: what is pending goes on being answered. */

static ngx_int_t
ngx_autocert_board_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    if (data) {
        zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        zone->data = shpool->data;
        return NGX_OK;
    }

    zone->data = ngx_slab_calloc(shpool, NGX_AUTOCERT_BOARD_CHALLENGES
                                         * sizeof(ngx_autocert_pending_t));
    if (zone->data == NULL) {
        return NGX_ERROR;
    }

    shpool->data = zone->data;

    return NGX_OK;
}
