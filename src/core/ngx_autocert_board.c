
#include "ngx_autocert_core.h"

#include <sys/mman.h>


/* a writer is done in nanoseconds, or dead */
#define NGX_AUTOCERT_BOARD_TRIES    1000

#define NGX_AUTOCERT_BOARD_PENDING                                           \
    (NGX_AUTOCERT_BOARD_CHALLENGES * sizeof(ngx_autocert_pending_t))


static size_t ngx_autocert_board_ledger_size(ngx_uint_t n);
static void ngx_autocert_board_ledger(ngx_autocert_ledger_t *ledger, void *p,
    ngx_uint_t n);
static ngx_atomic_uint_t ngx_autocert_board_write(ngx_atomic_t *own,
    ngx_atomic_t *told);
static ngx_int_t ngx_autocert_board_copy(ngx_atomic_t *sequence,
    void *dst, void *src, size_t size);
static ngx_int_t ngx_autocert_board_carry(ngx_cycle_t *cycle,
    ngx_autocert_board_t *board);
static void ngx_autocert_board_cleanup(void *data);
static size_t ngx_autocert_board_size(ngx_uint_t n);
static size_t ngx_autocert_board_put(u_char *p, ngx_str_t *text);
static ngx_int_t ngx_autocert_board_read(ngx_autocert_pending_t *pending,
    ngx_autocert_board_challenge_t *challenge, u_char *buf);
static ngx_uint_t ngx_autocert_board_is(u_char *data, u_short len,
    size_t size, ngx_str_t *str);


/*
 * The master's, over all cycles.  Not a zone of NGINX's: that begins with a
 * lock whose words and pointers workers can write, and the master follows
 * them whenever a child has died.
 */
static ngx_autocert_pending_t  *ngx_autocert_board_pending;
static ngx_uint_t               ngx_autocert_board_cycles;


ngx_int_t
ngx_autocert_board_create(ngx_cycle_t *cycle, ngx_autocert_board_t *board,
    ngx_uint_t n)
{
    void  *p;

    board->shared = ngx_autocert_shared(cycle, ngx_autocert_board_size(n));

    if (board->shared == NULL) {
        return NGX_ERROR;
    }

    board->n = n;

    p = ngx_autocert_shared(cycle, ngx_autocert_board_ledger_size(n));

    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_autocert_board_ledger(&board->told, p, n);

    return ngx_autocert_board_carry(cycle, board);
}


/*
 * A new cycle is made before the one before it is destroyed: what is pending
 * goes on being answered.
 */

static ngx_int_t
ngx_autocert_board_carry(ngx_cycle_t *cycle, ngx_autocert_board_t *board)
{
    void                *p;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    if (ngx_autocert_board_cycles == 0) {
        p = mmap(NULL, NGX_AUTOCERT_BOARD_PENDING, PROT_READ|PROT_WRITE,
                 MAP_ANON|MAP_SHARED, -1, 0);

        if (p == MAP_FAILED) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "autocert: mmap(%uz) failed",
                          NGX_AUTOCERT_BOARD_PENDING);
            return NGX_ERROR;
        }

        ngx_autocert_board_pending = p;
    }

    board->pending = ngx_autocert_board_pending;
    board->carried = (ngx_autocert_board_cycles++ != 0);

    cln->handler = ngx_autocert_board_cleanup;

    return NGX_OK;
}


static void
ngx_autocert_board_cleanup(void *data)
{
    (void) data;

    if (--ngx_autocert_board_cycles == 0) {
        (void) munmap(ngx_autocert_board_pending, NGX_AUTOCERT_BOARD_PENDING);
    }
}


static size_t
ngx_autocert_board_size(ngx_uint_t n)
{
    return sizeof(ngx_autocert_records_t) + n * sizeof(ngx_autocert_record_t);
}


void
ngx_autocert_board_protect(ngx_autocert_board_t *board)
{
    (void) mprotect(board->shared, ngx_autocert_board_size(board->n),
                    PROT_READ);
    (void) mprotect(board->pending, NGX_AUTOCERT_BOARD_PENDING, PROT_READ);
    (void) mprotect(board->told.summed,
                    ngx_autocert_board_ledger_size(board->n), PROT_READ);
}


void
ngx_autocert_board_set(ngx_autocert_board_t *board, ngx_uint_t index,
    uint64_t generation)
{
    __atomic_store_n(&board->shared->records[index].generation,
                     (ngx_atomic_uint_t) generation, __ATOMIC_RELEASE);
}


ngx_uint_t
ngx_autocert_board_current(ngx_autocert_board_t *board, ngx_uint_t index,
    uint64_t generation)
{
    return __atomic_load_n(&board->shared->records[index].generation,
                           __ATOMIC_ACQUIRE)
           == (ngx_atomic_uint_t) generation;
}


void
ngx_autocert_board_ready(ngx_autocert_board_t *board)
{
    __atomic_store_n(&board->shared->ready, 1, __ATOMIC_RELEASE);
}


ngx_uint_t
ngx_autocert_board_is_ready(ngx_autocert_board_t *board)
{
    return board->carried
           || __atomic_load_n(&board->shared->ready, __ATOMIC_ACQUIRE) != 0;
}


ngx_int_t
ngx_autocert_board_publish(ngx_autocert_board_t *board, ngx_uint_t i,
    ngx_autocert_board_challenge_t *challenge)
{
    ngx_uint_t               fits;
    ngx_autocert_pending_t  *p;

    p = board->pending;
    p += i;

    fits = challenge != NULL
           && challenge->host.len <= sizeof(p->host)
           && challenge->token.len <= sizeof(p->token)
           && challenge->value.len <= sizeof(p->value);

    __atomic_fetch_add(&p->sequence, p->sequence % 2 ? 2 : 1,
                       __ATOMIC_ACQ_REL);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    p->host_len = 0;

    if (fits) {
        p->type = challenge->type;
        p->host_len = ngx_autocert_board_put(p->host, &challenge->host);
        p->token_len = ngx_autocert_board_put(p->token, &challenge->token);
        p->value_len = ngx_autocert_board_put(p->value, &challenge->value);
    }

    __atomic_fetch_add(&p->sequence, 1, __ATOMIC_RELEASE);

    return (challenge == NULL || fits) ? NGX_OK : NGX_ERROR;
}


static size_t
ngx_autocert_board_put(u_char *p, ngx_str_t *text)
{
    /* memcpy() may not be given NULL, not even for no bytes */

    if (text->len) {
        ngx_memcpy(p, text->data, text->len);
    }

    return text->len;
}


ngx_int_t
ngx_autocert_board_find(ngx_autocert_board_t *board,
    ngx_autocert_board_challenge_t *challenge, u_char *buf)
{
    ngx_int_t                rc;
    ngx_uint_t               i, tries;
    ngx_autocert_pending_t  *p;

    p = board->pending;

    for (i = 0; i < NGX_AUTOCERT_BOARD_CHALLENGES; i++) {

        for (tries = 0; tries < NGX_AUTOCERT_BOARD_TRIES; tries++) {
            rc = ngx_autocert_board_read(&p[i], challenge, buf);

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
ngx_autocert_board_read(ngx_autocert_pending_t *pending,
    ngx_autocert_board_challenge_t *challenge, u_char *buf)
{
    ngx_atomic_uint_t       sequence;
    ngx_autocert_pending_t  copy;

    sequence = __atomic_load_n(&pending->sequence, __ATOMIC_ACQUIRE);

    if (sequence % 2) {
        return NGX_AGAIN;
    }

    /* most are free: a flood of questions is to cost little */

    if (pending->host_len == 0) {
        return NGX_DECLINED;
    }

    ngx_memcpy(&copy, pending, sizeof(ngx_autocert_pending_t));

    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    if (__atomic_load_n(&pending->sequence, __ATOMIC_RELAXED) != sequence) {
        return NGX_AGAIN;
    }

    if (copy.type != challenge->type
        || copy.value_len > sizeof(copy.value)
        || !ngx_autocert_board_is(copy.host, copy.host_len,
                                  sizeof(copy.host), &challenge->host)
        || (challenge->token.data
            && !ngx_autocert_board_is(copy.token, copy.token_len,
                                      sizeof(copy.token), &challenge->token)))
    {
        return NGX_DECLINED;
    }

    ngx_memcpy(buf, copy.value, copy.value_len);

    challenge->value.data = buf;
    challenge->value.len = copy.value_len;

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_board_is(u_char *data, u_short len, size_t size, ngx_str_t *str)
{
    return len == str->len
           && len <= size
           && ngx_memcmp(data, str->data, len) == 0;
}


static size_t
ngx_autocert_board_ledger_size(ngx_uint_t n)
{
    return sizeof(ngx_autocert_summed_t)
           + n * (sizeof(ngx_autocert_known_t) + sizeof(ngx_autocert_words_t));
}


static void
ngx_autocert_board_ledger(ngx_autocert_ledger_t *ledger, void *p,
    ngx_uint_t n)
{
    ledger->summed = p;
    ledger->known = (ngx_autocert_known_t *) (ledger->summed + 1);
    ledger->words = (ngx_autocert_words_t *) (ledger->known + n);
}


ngx_int_t
ngx_autocert_board_own(ngx_autocert_board_t *board, uint64_t seed)
{
    void        *p;
    ngx_uint_t   i;

    p = mmap(NULL, ngx_autocert_board_ledger_size(board->n),
             PROT_READ|PROT_WRITE, MAP_ANON|MAP_PRIVATE, -1, 0);

    if (p == MAP_FAILED) {
        return NGX_ERROR;
    }

    ngx_autocert_board_ledger(&board->own, p, board->n);

    /* even, and not what one before us has used */

    board->own.summed->sequence = seed << 1;

    for (i = 0; i < board->n; i++) {
        board->own.known[i].sequence = seed << 1;
    }

    return NGX_OK;
}


void
ngx_autocert_board_tell(ngx_autocert_board_t *board, ngx_uint_t index)
{
    ngx_atomic_uint_t      done;
    ngx_autocert_known_t  *own, *told;

    own = &board->own.known[index];
    told = &board->told.known[index];

    done = ngx_autocert_board_write(&own->sequence, &told->sequence);

    ngx_memcpy(&told->facts, &own->facts, sizeof(ngx_autocert_facts_t));

    if (own->facts.kind) {
        ngx_memcpy(&board->told.words[index], &board->own.words[index],
                   sizeof(ngx_autocert_words_t));
    }

    __atomic_store_n(&told->sequence, done, __ATOMIC_RELEASE);
}


void
ngx_autocert_board_tell_sums(ngx_autocert_board_t *board)
{
    ngx_atomic_uint_t       done;
    ngx_autocert_summed_t  *own, *told;

    own = board->own.summed;
    told = board->told.summed;

    done = ngx_autocert_board_write(&own->sequence, &told->sequence);

    ngx_memcpy(&told->sums, &own->sums, sizeof(ngx_autocert_sums_t));

    __atomic_store_n(&told->sequence, done, __ATOMIC_RELEASE);
}


/* Begins to write; returns what the count is to be at the end. */

static ngx_atomic_uint_t
ngx_autocert_board_write(ngx_atomic_t *own, ngx_atomic_t *told)
{
    *own += 2;

    if (*own == 0) {
        *own = 2;
    }

    __atomic_store_n(told, *own - 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    return *own;
}


ngx_int_t
ngx_autocert_board_look(ngx_autocert_board_t *board, ngx_uint_t index,
    ngx_autocert_facts_t *facts, ngx_autocert_words_t *words)
{
    ngx_uint_t              i;
    ngx_atomic_uint_t       before;
    ngx_autocert_known_t   *known;
    ngx_autocert_ledger_t  *ledger;

    ledger = board->own.summed ? &board->own : &board->told;
    known = &ledger->known[index];
    before = 0;

    for (i = 0; i < NGX_AUTOCERT_BOARD_TRIES; i++) {

        before = __atomic_load_n(&known->sequence, __ATOMIC_ACQUIRE);

        if (ngx_autocert_board_copy(&known->sequence, facts, &known->facts,
                                    sizeof(ngx_autocert_facts_t))
            != NGX_OK)
        {
            continue;
        }

        if (words == NULL || facts->kind == 0) {
            break;
        }

        if (ngx_autocert_board_copy(&known->sequence, words,
                                    &ledger->words[index],
                                    sizeof(ngx_autocert_words_t))
            == NGX_OK
            && __atomic_load_n(&known->sequence, __ATOMIC_RELAXED) == before)
        {
            break;
        }
    }

    if (i == NGX_AUTOCERT_BOARD_TRIES || before == 0) {
        ngx_memzero(facts, sizeof(ngx_autocert_facts_t));
        return NGX_DECLINED;
    }

    facts->serial_len = ngx_min(facts->serial_len, sizeof(facts->serial));

    if (words && facts->kind) {
        words->why = ngx_min(words->why, NGX_AUTOCERT_BOARD_WHY);
        words->detail = ngx_min(words->detail, NGX_AUTOCERT_BOARD_DETAIL);
        words->cause = ngx_min(words->cause, NGX_AUTOCERT_BOARD_CAUSE);
    }

    return NGX_OK;
}


time_t
ngx_autocert_board_hold(ngx_autocert_board_t *board)
{
    ngx_autocert_ledger_t  *ledger;

    ledger = board->own.summed ? &board->own : &board->told;

    return __atomic_load_n(&ledger->summed->sums.hold, __ATOMIC_RELAXED);
}


ngx_int_t
ngx_autocert_board_look_sums(ngx_autocert_board_t *board,
    ngx_autocert_sums_t *sums)
{
    ngx_uint_t              i;
    ngx_autocert_ledger_t  *ledger;
    ngx_autocert_summed_t  *summed;

    ledger = board->own.summed ? &board->own : &board->told;
    summed = ledger->summed;

    for (i = 0; i < NGX_AUTOCERT_BOARD_TRIES; i++) {

        if (ngx_autocert_board_copy(&summed->sequence, sums, &summed->sums,
                                    sizeof(ngx_autocert_sums_t))
            == NGX_OK)
        {
            return NGX_OK;
        }
    }

    ngx_memzero(sums, sizeof(ngx_autocert_sums_t));

    return NGX_DECLINED;
}


/* NGX_AGAIN: it was written meanwhile. */

static ngx_int_t
ngx_autocert_board_copy(ngx_atomic_t *sequence, void *dst, void *src,
    size_t size)
{
    ngx_atomic_uint_t  before;

    before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);

    if (before % 2) {
        ngx_cpu_pause();
        return NGX_AGAIN;
    }

    ngx_memcpy(dst, src, size);

    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    return (__atomic_load_n(sequence, __ATOMIC_RELAXED) == before)
           ? NGX_OK : NGX_AGAIN;
}
