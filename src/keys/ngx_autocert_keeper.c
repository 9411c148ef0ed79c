
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_keeper.h"
#include "ngx_autocert_signer.h"
#include "../base/ngx_autocert_wire.h"

#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>


#define NGX_AUTOCERT_KEEPER_BOOTSTRAP_DAYS  365

/* How long an answer waits for the others of its frame, in microseconds. */
#define NGX_AUTOCERT_KEEPER_PATIENCE        200

/* After so much work a worker that shares the core has its turn. */
#define NGX_AUTOCERT_KEEPER_WORK            300

#define NGX_AUTOCERT_KEEPER_DESTROY         1       /* s */


/* Never changed once it is in a slot; freed with its last reference. */

typedef struct {
    ngx_uint_t              refs;       /* under the keeper's lock */
    ngx_autocert_signer_t  *signer;
    u_char                  id[NGX_AUTOCERT_KEY_ID];
    u_char                 *body;       /* the chain as the answer has it */
    size_t                  len;
    unsigned                bootstrap:1;
    unsigned                glanced:1;  /* whether it decodes, workers see */
} ngx_autocert_keeper_pair_t;


typedef struct {
    uint64_t                     generation;
    ngx_autocert_keeper_pair_t  *current;
    ngx_autocert_keeper_pair_t  *previous;
    int64_t                      replaced;  /* when that was, if it is there */
} ngx_autocert_keeper_slot_t;


typedef struct {
    ngx_autocert_keeper_t    *keeper;
    int                       fd;       /* -1 as soon as it is not served */
    pthread_t                 thread;
    ngx_autocert_hello_t      peer;
    char                     *abuse;
    int64_t                   worked;       /* since a worker had its turn */

    /* of one frame; views into it */
    ngx_uint_t                n;
    ngx_autocert_question_t   questions[NGX_AUTOCERT_PROTOCOL_BATCH];
    u_char                    asked[NGX_AUTOCERT_PROTOCOL_BATCH
                                    * NGX_AUTOCERT_PROTOCOL_QUESTION];

    unsigned                  made:1;       /* a signature, just now */

    /* the answers that go out next */
    u_char                   *last;
    u_char                    answers[NGX_AUTOCERT_PROTOCOL_SIZE];
} ngx_autocert_keeper_channel_t;


/* Puts the answer into frame: its length, or 0 if there is none to give. */

typedef size_t (*ngx_autocert_keeper_handler_pt)(
    ngx_autocert_keeper_t *keeper, ngx_autocert_question_t *question,
    ngx_autocert_answer_t *answer, u_char *frame, size_t size);


typedef struct {
    uint32_t                         type;
    ngx_autocert_keeper_handler_pt   handler;
} ngx_autocert_keeper_handler_t;


struct ngx_autocert_keeper_s {
    pthread_mutex_t                  lock;
    ngx_str_t                       *names;
    ngx_uint_t                       n;
    ngx_autocert_keeper_slot_t      *slots;
    EVP_PKEY                        *bootstrap;     /* key of all of them */
    ngx_autocert_keeper_load_pt      load;
    void                            *data;

    int                              ends[2];
    ngx_autocert_latency_t           latency;

    /* under the lock */
    ngx_uint_t                       nreplaced;     /* pairs */
    ngx_uint_t                       nchannels;
    ngx_autocert_keeper_channel_t   *channels[NGX_AUTOCERT_KEEPER_CHANNELS];
};


static ngx_err_t ngx_autocert_keeper_admit(ngx_autocert_keeper_t *keeper,
    int fd, ngx_autocert_hello_t *peer);
static ngx_uint_t ngx_autocert_keeper_place(ngx_autocert_keeper_t *keeper,
    uint32_t pid);
static ngx_err_t ngx_autocert_keeper_start(ngx_autocert_keeper_channel_t *ch);
static void *ngx_autocert_keeper_thread(void *data);
static void ngx_autocert_keeper_loop(ngx_autocert_keeper_channel_t *ch);
static ngx_int_t ngx_autocert_keeper_ready(ngx_autocert_keeper_channel_t *ch);
static ngx_int_t ngx_autocert_keeper_receive(
    ngx_autocert_keeper_channel_t *ch);
static ngx_int_t ngx_autocert_keeper_parse(ngx_autocert_keeper_channel_t *ch,
    size_t len);
static ngx_int_t ngx_autocert_keeper_answers(
    ngx_autocert_keeper_channel_t *ch);
static ngx_int_t ngx_autocert_keeper_answer(ngx_autocert_keeper_channel_t *ch,
    ngx_autocert_question_t *question);
static ngx_int_t ngx_autocert_keeper_flush(ngx_autocert_keeper_channel_t *ch);
static int64_t ngx_autocert_keeper_now(void);
static size_t ngx_autocert_keeper_chain(ngx_autocert_keeper_t *keeper,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer,
    u_char *frame, size_t size);
static size_t ngx_autocert_keeper_unfit(ngx_autocert_keeper_t *keeper,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer,
    u_char *frame, size_t size);
static size_t ngx_autocert_keeper_sign(ngx_autocert_keeper_t *keeper,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer,
    u_char *frame, size_t size);
static ngx_int_t ngx_autocert_keeper_fill(ngx_autocert_keeper_t *keeper,
    ngx_uint_t index);
static ngx_int_t ngx_autocert_keeper_fit(ngx_autocert_keeper_pair_t *pair);
static ngx_autocert_keeper_pair_t *ngx_autocert_keeper_bootstrap(
    ngx_autocert_keeper_t *keeper, ngx_uint_t index);
static ngx_autocert_keeper_pair_t *ngx_autocert_keeper_pair(
    ngx_autocert_chain_t *chain, EVP_PKEY *key);
static ngx_int_t ngx_autocert_keeper_copy(ngx_autocert_keeper_pair_t *pair,
    ngx_str_t *body);
static ngx_int_t ngx_autocert_keeper_body(ngx_autocert_keeper_pair_t *pair,
    STACK_OF(X509) *certs);
static ngx_autocert_keeper_pair_t *ngx_autocert_keeper_get(
    ngx_autocert_keeper_t *keeper, ngx_uint_t index, u_char *id,
    uint64_t *generation);
static void ngx_autocert_keeper_put(ngx_autocert_keeper_t *keeper,
    ngx_autocert_keeper_pair_t *pair);
static void ngx_autocert_keeper_unref(ngx_autocert_keeper_pair_t *pair);


static ngx_autocert_keeper_handler_t  ngx_autocert_keeper_handlers[] = {
    { NGX_AUTOCERT_PROTOCOL_CHAIN, ngx_autocert_keeper_chain },
    { NGX_AUTOCERT_PROTOCOL_UNFIT, ngx_autocert_keeper_unfit },
    { NGX_AUTOCERT_PROTOCOL_SIGN, ngx_autocert_keeper_sign },
    { 0, NULL }
};


ngx_autocert_keeper_t *
ngx_autocert_keeper_create(ngx_str_t *names, ngx_uint_t n,
    uint64_t generation, ngx_autocert_keeper_load_pt load, void *data)
{
    ngx_uint_t              i;
    ngx_autocert_keeper_t  *keeper;

    keeper = calloc(1, sizeof(ngx_autocert_keeper_t));
    if (keeper == NULL) {
        return NULL;
    }

    keeper->slots = calloc(n ? n : 1, sizeof(ngx_autocert_keeper_slot_t));
    if (keeper->slots == NULL) {
        free(keeper);
        return NULL;
    }

    if (pipe2(keeper->ends, O_CLOEXEC|O_NONBLOCK) == -1) {
        free(keeper->slots);
        free(keeper);
        return NULL;
    }

    (void) pthread_mutex_init(&keeper->lock, NULL);

    keeper->names = names;
    keeper->n = n;
    keeper->load = load;
    keeper->data = data;

    for (i = 0; i < n; i++) {
        keeper->slots[i].generation = generation;
    }

    return keeper;
}


uint64_t
ngx_autocert_keeper_install(ngx_autocert_keeper_t *keeper, ngx_uint_t index,
    ngx_autocert_chain_t *chain, EVP_PKEY *key)
{
    uint64_t                     generation;
    ngx_autocert_keeper_pair_t  *pair, *oldest;
    ngx_autocert_keeper_slot_t  *slot;

    pair = ngx_autocert_keeper_pair(chain, key);
    if (pair == NULL) {
        return 0;
    }

    slot = &keeper->slots[index];

    (void) pthread_mutex_lock(&keeper->lock);

    oldest = slot->previous;
    slot->previous = slot->current;
    slot->replaced = ngx_autocert_keeper_now();
    slot->current = pair;
    generation = ++slot->generation;

    if (slot->previous && oldest == NULL) {
        keeper->nreplaced++;
    }

    ngx_autocert_keeper_unref(oldest);

    (void) pthread_mutex_unlock(&keeper->lock);

    return generation;
}


void
ngx_autocert_keeper_forget(ngx_autocert_keeper_t *keeper, ngx_uint_t seconds)
{
    int64_t                      before;
    ngx_uint_t                   i;
    ngx_autocert_keeper_slot_t  *slot;

    before = ngx_autocert_keeper_now() - (int64_t) seconds * 1000000;

    (void) pthread_mutex_lock(&keeper->lock);

    for (i = 0; i < keeper->n && keeper->nreplaced; i++) {
        slot = &keeper->slots[i];

        if (slot->previous && slot->replaced <= before) {
            ngx_autocert_keeper_unref(slot->previous);
            slot->previous = NULL;
            keeper->nreplaced--;
        }
    }

    (void) pthread_mutex_unlock(&keeper->lock);
}


ngx_int_t
ngx_autocert_keeper_id(ngx_autocert_keeper_t *keeper, ngx_uint_t index,
    u_char id[NGX_AUTOCERT_KEY_ID])
{
    ngx_int_t                    rc;
    ngx_autocert_keeper_pair_t  *pair;

    rc = NGX_DECLINED;

    (void) pthread_mutex_lock(&keeper->lock);

    pair = keeper->slots[index].current;

    if (pair != NULL) {
        ngx_memcpy(id, pair->id, NGX_AUTOCERT_KEY_ID);
        rc = pair->bootstrap ? NGX_AGAIN : NGX_OK;
    }

    (void) pthread_mutex_unlock(&keeper->lock);

    return rc;
}


ngx_int_t
ngx_autocert_keeper_serve(ngx_autocert_keeper_t *keeper, int fd,
    ngx_autocert_hello_t *peer)
{
    ngx_err_t  err;

    (void) pthread_mutex_lock(&keeper->lock);

    err = ngx_autocert_keeper_admit(keeper, fd, peer);

    (void) pthread_mutex_unlock(&keeper->lock);

    if (err == 0) {
        return NGX_OK;
    }

    (void) close(fd);
    errno = err;

    return NGX_ERROR;
}


static ngx_err_t
ngx_autocert_keeper_admit(ngx_autocert_keeper_t *keeper, int fd,
    ngx_autocert_hello_t *peer)
{
    ngx_err_t                       err;
    ngx_uint_t                      place;
    ngx_autocert_keeper_channel_t  *ch;

    place = ngx_autocert_keeper_place(keeper, peer->pid);

    if (place == NGX_AUTOCERT_KEEPER_CHANNELS) {
        return EMFILE;
    }

    ch = calloc(1, sizeof(ngx_autocert_keeper_channel_t));
    if (ch == NULL) {
        return ENOMEM;
    }

    ch->keeper = keeper;
    ch->fd = fd;
    ch->peer = *peer;

    err = ngx_autocert_keeper_start(ch);

    if (err) {
        free(ch);
        return err;
    }

    keeper->channels[place] = ch;
    keeper->nchannels++;

    return 0;
}


/* A free place, if there may be one more; ends the process's other channel. */

static ngx_uint_t
ngx_autocert_keeper_place(ngx_autocert_keeper_t *keeper, uint32_t pid)
{
    ngx_uint_t                      i, place, taken, own;
    struct rlimit                   rlmt;
    ngx_autocert_keeper_channel_t  *ch;

    place = NGX_AUTOCERT_KEEPER_CHANNELS;
    taken = 0;
    own = 0;

    for (i = 0; i < NGX_AUTOCERT_KEEPER_CHANNELS; i++) {
        ch = keeper->channels[i];

        if (ch == NULL) {
            place = ngx_min(place, i);
            continue;
        }

        taken++;

        if (ch->peer.pid == pid) {
            own++;

            if (ch->fd != -1) {
                (void) shutdown(ch->fd, SHUT_RDWR);
            }
        }
    }

    /* its thread may be held up by what it was sent */

    if (own >= NGX_AUTOCERT_KEEPER_PROCESS) {
        return NGX_AUTOCERT_KEEPER_CHANNELS;
    }

    if (getrlimit(RLIMIT_NOFILE, &rlmt) == 0
        && rlmt.rlim_cur < taken + NGX_AUTOCERT_KEEPER_RESERVE)
    {
        return NGX_AUTOCERT_KEEPER_CHANNELS;
    }

    return place;
}


static ngx_err_t
ngx_autocert_keeper_start(ngx_autocert_keeper_channel_t *ch)
{
    int       rc;
    sigset_t  all, old;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);

    rc = pthread_create(&ch->thread, NULL, ngx_autocert_keeper_thread, ch);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    return rc;
}


int
ngx_autocert_keeper_fd(ngx_autocert_keeper_t *keeper)
{
    return keeper->ends[0];
}


ngx_int_t
ngx_autocert_keeper_ended(ngx_autocert_keeper_t *keeper,
    ngx_autocert_keeper_end_t *end)
{
    ngx_uint_t                      i;
    ngx_autocert_keeper_channel_t  *ch;

    if (read(keeper->ends[0], &ch, sizeof(ch)) != sizeof(ch)) {
        return NGX_DECLINED;
    }

    (void) pthread_mutex_lock(&keeper->lock);

    for (i = 0; i < NGX_AUTOCERT_KEEPER_CHANNELS; i++) {
        if (keeper->channels[i] == ch) {
            keeper->channels[i] = NULL;
        }
    }

    (void) pthread_mutex_unlock(&keeper->lock);

    (void) pthread_join(ch->thread, NULL);

    end->peer = ch->peer;
    end->abuse = ch->abuse;

    free(ch);

    return NGX_OK;
}


ngx_uint_t
ngx_autocert_keeper_channels(ngx_autocert_keeper_t *keeper)
{
    ngx_uint_t  n;

    (void) pthread_mutex_lock(&keeper->lock);

    n = keeper->nchannels;

    (void) pthread_mutex_unlock(&keeper->lock);

    return n;
}


void
ngx_autocert_keeper_latency(ngx_autocert_keeper_t *keeper,
    ngx_autocert_latency_t *latency)
{
    ngx_autocert_latency_get(&keeper->latency, latency);
}


ngx_int_t
ngx_autocert_keeper_destroy(ngx_autocert_keeper_t *keeper)
{
    ngx_uint_t                       i;
    struct timespec                  ts;
    ngx_autocert_keeper_channel_t  **ch;

    ch = keeper->channels;

    (void) pthread_mutex_lock(&keeper->lock);

    for (i = 0; i < NGX_AUTOCERT_KEEPER_CHANNELS; i++) {
        if (ch[i] && ch[i]->fd != -1) {
            (void) shutdown(ch[i]->fd, SHUT_RDWR);
        }
    }

    (void) pthread_mutex_unlock(&keeper->lock);

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += NGX_AUTOCERT_KEEPER_DESTROY;

    for (i = 0; i < NGX_AUTOCERT_KEEPER_CHANNELS; i++) {

        if (ch[i] == NULL) {
            continue;
        }

        if (pthread_timedjoin_np(ch[i]->thread, NULL, &ts) != 0) {
            return NGX_AGAIN;
        }

        free(ch[i]);
        ch[i] = NULL;
    }

    for (i = 0; i < keeper->n; i++) {
        ngx_autocert_keeper_unref(keeper->slots[i].current);
        ngx_autocert_keeper_unref(keeper->slots[i].previous);
    }

    EVP_PKEY_free(keeper->bootstrap);

    (void) close(keeper->ends[0]);
    (void) close(keeper->ends[1]);
    (void) pthread_mutex_destroy(&keeper->lock);

    free(keeper->slots);
    free(keeper);

    return NGX_OK;
}


static void *
ngx_autocert_keeper_thread(void *data)
{
    ngx_autocert_keeper_channel_t  *ch = data;

    int                     fd;
    ssize_t                 n;
    ngx_autocert_keeper_t  *keeper;

    ngx_autocert_keeper_loop(ch);

    fd = ch->fd;
    keeper = ch->keeper;

    (void) pthread_mutex_lock(&keeper->lock);

    ch->fd = -1;
    keeper->nchannels--;

    (void) pthread_mutex_unlock(&keeper->lock);

    /* descriptors may be in it whose close takes long */

    (void) close(fd);

    /* a pipe of 64 KiB has room for a pointer of each channel */

    do {
        n = write(keeper->ends[1], &ch, sizeof(ch));
    } while (n == -1 && errno == EINTR);

    return NULL;
}


static void
ngx_autocert_keeper_loop(ngx_autocert_keeper_channel_t *ch)
{
    if (ngx_autocert_keeper_ready(ch) != NGX_OK) {
        return;
    }

    while (ngx_autocert_keeper_receive(ch) == NGX_OK
           && ngx_autocert_keeper_answers(ch) == NGX_OK)
    {
        /* void */
    }
}


static ngx_int_t
ngx_autocert_keeper_ready(ngx_autocert_keeper_channel_t *ch)
{
    ngx_autocert_answer_t  answer;

    ngx_memzero(&answer, sizeof(ngx_autocert_answer_t));
    answer.type = NGX_AUTOCERT_PROTOCOL_READY;

    ch->last = ch->answers
               + ngx_autocert_protocol_answer_put(&answer, ch->answers,
                                                  NGX_AUTOCERT_PROTOCOL_SIZE);

    return ngx_autocert_keeper_flush(ch);
}


/* Waits for a frame of questions. */

static ngx_int_t
ngx_autocert_keeper_receive(ngx_autocert_keeper_channel_t *ch)
{
    ssize_t        n;
    struct iovec   iov;
    struct msghdr  msg;

    iov.iov_base = ch->asked;
    iov.iov_len = sizeof(ch->asked);

    /* no room for control data: descriptors that come are closed */

    ngx_memzero(&msg, sizeof(struct msghdr));
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;

    do {
        n = recvmsg(ch->fd, &msg, MSG_CMSG_CLOEXEC);
    } while (n == -1 && errno == EINTR);

    /* an empty frame is the end of the channel as well */

    if (n <= 0) {
        return NGX_ERROR;
    }

    if (msg.msg_flags & (MSG_TRUNC|MSG_CTRUNC)) {
        ch->abuse = "a message too long or with descriptors";
        return NGX_ERROR;
    }

    return ngx_autocert_keeper_parse(ch, n);
}


static ngx_int_t
ngx_autocert_keeper_parse(ngx_autocert_keeper_channel_t *ch, size_t len)
{
    size_t                    n;
    u_char                   *p, *end;
    ngx_autocert_question_t  *question;

    ch->n = 0;
    end = ch->asked + len;

    for (p = ch->asked; p < end; p += n) {

        if (ch->n == NGX_AUTOCERT_PROTOCOL_BATCH) {
            ch->abuse = "too many questions at once";
            return NGX_ERROR;
        }

        question = &ch->questions[ch->n++];

        n = ngx_autocert_protocol_question_get(question, p, end - p);

        if (n == 0) {
            ch->abuse = "a malformed message";
            return NGX_ERROR;
        }

        if (question->index >= ch->keeper->n) {
            ch->abuse = "a name that does not exist";
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Those that are quickly found leave together. */

static ngx_int_t
ngx_autocert_keeper_answers(ngx_autocert_keeper_channel_t *ch)
{
    int64_t     came, began, now;
    ngx_uint_t  i;

    came = ngx_autocert_keeper_now();
    began = came;

    for (i = 0; i < ch->n; i++) {

        if (ngx_autocert_keeper_answer(ch, &ch->questions[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        now = ngx_autocert_keeper_now();

        if (ch->made) {
            ngx_autocert_latency_add(&ch->keeper->latency, now - came);
        }

        if (now - began < NGX_AUTOCERT_KEEPER_PATIENCE && i + 1 < ch->n) {
            continue;
        }

        if (ngx_autocert_keeper_flush(ch) != NGX_OK) {
            return NGX_ERROR;
        }

        ch->worked += now - began;

        if (ch->worked >= NGX_AUTOCERT_KEEPER_WORK) {
            ch->worked = 0;
            (void) sched_yield();
        }

        began = now;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_keeper_answer(ngx_autocert_keeper_channel_t *ch,
    ngx_autocert_question_t *question)
{
    u_char                          id[NGX_AUTOCERT_KEY_ID];
    size_t                          len, room;
    ngx_int_t                       rc;
    ngx_autocert_answer_t           answer;
    ngx_autocert_keeper_handler_t  *h;

    rc = ngx_autocert_keeper_id(ch->keeper, question->index, id);

    /* a chain may take all the room there is, and to read a pair long */

    if ((question->type != NGX_AUTOCERT_PROTOCOL_SIGN || rc == NGX_DECLINED)
        && ngx_autocert_keeper_flush(ch) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* to sign, too: the chain may be known from a predecessor of ours */

    if (rc == NGX_DECLINED) {
        rc = ngx_autocert_keeper_fill(ch->keeper, question->index);
    }

    room = ch->answers + NGX_AUTOCERT_PROTOCOL_SIZE - ch->last;

    ngx_memzero(&answer, sizeof(ngx_autocert_answer_t));
    answer.type = question->type;
    answer.number = question->number;

    len = 0;

    for (h = ngx_autocert_keeper_handlers; h->handler; h++) {
        if (h->type == question->type && rc != NGX_ERROR) {
            len = h->handler(ch->keeper, question, &answer, ch->last, room);
        }
    }

    if (len == 0) {
        answer.status = NGX_AUTOCERT_PROTOCOL_FAILED;
        ngx_str_null(&answer.body);

        len = ngx_autocert_protocol_answer_put(&answer, ch->last, room);
    }

    ch->last += len;
    ch->made = (question->type == NGX_AUTOCERT_PROTOCOL_SIGN
                && answer.status == NGX_AUTOCERT_PROTOCOL_OK);

    if (question->type != NGX_AUTOCERT_PROTOCOL_SIGN) {
        return ngx_autocert_keeper_flush(ch);
    }

    return NGX_OK;
}


/* Sends the answers that there are, in one frame. */

static ngx_int_t
ngx_autocert_keeper_flush(ngx_autocert_keeper_channel_t *ch)
{
    size_t   len;
    ssize_t  n;

    len = ch->last - ch->answers;
    ch->last = ch->answers;

    if (len == 0) {
        return NGX_OK;
    }

    do {
        n = send(ch->fd, ch->answers, len, MSG_NOSIGNAL);
    } while (n == -1 && errno == EINTR);

    return (n == -1) ? NGX_ERROR : NGX_OK;
}


/* Microseconds of a clock that is never set. */

static int64_t
ngx_autocert_keeper_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static size_t
ngx_autocert_keeper_chain(ngx_autocert_keeper_t *keeper,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer,
    u_char *frame, size_t size)
{
    size_t                       len;
    ngx_autocert_keeper_pair_t  *pair;

    pair = ngx_autocert_keeper_get(keeper, question->index, NULL,
                                   &answer->generation);
    if (pair == NULL) {
        return 0;
    }

    answer->bootstrap = pair->bootstrap;
    answer->body.data = pair->body;
    answer->body.len = pair->len;

    len = ngx_autocert_protocol_answer_put(answer, frame, size);

    ngx_autocert_keeper_put(keeper, pair);

    return len;
}


/*
 * A worker could not decode it: what others may be served with is given up only
 * if it can't be decoded here, whatever the store has by now.
 */

static size_t
ngx_autocert_keeper_unfit(ngx_autocert_keeper_t *keeper,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer,
    u_char *frame, size_t size)
{
    ngx_autocert_keeper_pair_t  *pair, *made;
    ngx_autocert_keeper_slot_t  *slot;

    pair = ngx_autocert_keeper_get(keeper, question->index, NULL, NULL);
    if (pair == NULL) {
        return 0;
    }

    made = NULL;

    if (ngx_autocert_keeper_fit(pair) != NGX_OK) {
        made = ngx_autocert_keeper_bootstrap(keeper, question->index);
    }

    slot = &keeper->slots[question->index];

    (void) pthread_mutex_lock(&keeper->lock);

    if (made && slot->current == pair) {
        slot->current = made;
        made = NULL;

        pair->refs--;
    }

    ngx_autocert_keeper_unref(made);
    ngx_autocert_keeper_unref(pair);

    (void) pthread_mutex_unlock(&keeper->lock);

    return ngx_autocert_keeper_chain(keeper, question, answer, frame, size);
}


static ngx_int_t
ngx_autocert_keeper_fit(ngx_autocert_keeper_pair_t *pair)
{
    char                  *err;
    ngx_str_t              body;
    ngx_autocert_chain_t  *chain;

    if (!pair->glanced) {
        return NGX_OK;
    }

    body.data = pair->body;
    body.len = pair->len;

    chain = ngx_autocert_x509_chain_read(&body, &err);
    if (chain == NULL) {
        return NGX_ERROR;
    }

    ngx_autocert_x509_chain_free(chain);

    return NGX_OK;
}


static size_t
ngx_autocert_keeper_sign(ngx_autocert_keeper_t *keeper,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer,
    u_char *frame, size_t size)
{
    u_char                       signature[NGX_AUTOCERT_KEY_SIGNATURE];
    ngx_int_t                    rc;
    ngx_autocert_keeper_pair_t  *pair;

    pair = ngx_autocert_keeper_get(keeper, question->index, question->id,
                                   NULL);
    if (pair == NULL) {
        answer->status = NGX_AUTOCERT_PROTOCOL_NONE;
        return ngx_autocert_protocol_answer_put(answer, frame, size);
    }

    answer->body.data = signature;
    answer->body.len = sizeof(signature);

    rc = ngx_autocert_signer_sign(pair->signer, &question->digest, signature,
                                  &answer->body.len);

    ngx_autocert_keeper_put(keeper, pair);

    if (rc != NGX_OK) {
        return 0;
    }

    return ngx_autocert_protocol_answer_put(answer, frame, size);
}


/*
 * Reads or makes the pair of a name that nobody has asked for before.
 * NGX_ERROR: there is none, and the next question is another try.
 */

static ngx_int_t
ngx_autocert_keeper_fill(ngx_autocert_keeper_t *keeper, ngx_uint_t index)
{
    ngx_int_t                    rc;
    EVP_PKEY                    *key;
    ngx_autocert_chain_t        *chain;
    ngx_autocert_keeper_pair_t  *pair;
    ngx_autocert_keeper_slot_t  *slot;

    rc = keeper->load(keeper->data, index, &chain, &key);

    if (rc == NGX_OK) {
        pair = ngx_autocert_keeper_pair(chain, key);

    } else if (rc == NGX_AGAIN) {
        pair = NULL;

    } else {
        pair = ngx_autocert_keeper_bootstrap(keeper, index);
    }

    slot = &keeper->slots[index];

    (void) pthread_mutex_lock(&keeper->lock);

    if (slot->current == NULL) {
        slot->current = pair;

    } else {
        ngx_autocert_keeper_unref(pair);
    }

    rc = slot->current ? NGX_OK : NGX_ERROR;

    (void) pthread_mutex_unlock(&keeper->lock);

    /* gcc-analyzer malloc-leak: the slot has it */
    return rc;
}


static ngx_autocert_keeper_pair_t *
ngx_autocert_keeper_bootstrap(ngx_autocert_keeper_t *keeper, ngx_uint_t index)
{
    EVP_PKEY                    *key;
    ngx_autocert_chain_t        *chain;
    ngx_autocert_keeper_pair_t  *pair;

    (void) pthread_mutex_lock(&keeper->lock);

    if (keeper->bootstrap == NULL) {
        keeper->bootstrap =
                         ngx_autocert_key_create(NID_X9_62_prime256v1);
    }

    key = keeper->bootstrap;

    (void) pthread_mutex_unlock(&keeper->lock);

    if (key == NULL) {
        return NULL;
    }

    chain = ngx_autocert_x509_self_signed(key, &keeper->names[index],
                                          time(NULL),
                                          NGX_AUTOCERT_KEEPER_BOOTSTRAP_DAYS);
    if (chain == NULL) {
        return NULL;
    }

    (void) EVP_PKEY_up_ref(key);

    pair = ngx_autocert_keeper_pair(chain, key);

    if (pair != NULL) {
        pair->bootstrap = 1;
    }

    return pair;
}


/* Owns chain and key; only the DER of the chain is kept. */

static ngx_autocert_keeper_pair_t *
ngx_autocert_keeper_pair(ngx_autocert_chain_t *chain, EVP_PKEY *key)
{
    ngx_int_t                    rc;
    ngx_autocert_keeper_pair_t  *pair;

    pair = calloc(1, sizeof(ngx_autocert_keeper_pair_t));

    if (pair) {
        pair->refs = 1;
        pair->glanced = (chain->certs == NULL);
        ngx_memcpy(pair->id, chain->id, NGX_AUTOCERT_KEY_ID);

        rc = pair->glanced ? ngx_autocert_keeper_copy(pair, &chain->body)
                           : ngx_autocert_keeper_body(pair, chain->certs);

        if (rc == NGX_OK) {
            pair->signer = ngx_autocert_signer_create(key);
        }

        if (pair->signer == NULL) {
            ngx_autocert_keeper_unref(pair);
            pair = NULL;
        }
    }

    ngx_autocert_x509_chain_free(chain);
    EVP_PKEY_free(key);
    ERR_clear_error();

    return pair;
}


static ngx_int_t
ngx_autocert_keeper_copy(ngx_autocert_keeper_pair_t *pair, ngx_str_t *body)
{
    pair->body = malloc(body->len);
    if (pair->body == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(pair->body, body->data, body->len);
    pair->len = body->len;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_keeper_body(ngx_autocert_keeper_pair_t *pair,
    STACK_OF(X509) *certs)
{
    int                   i, n, der;
    size_t                len;
    u_char               *p;
    ngx_autocert_wire_t   w;

    len = 0;
    n = sk_X509_num(certs);

    for (i = 0; i < n; i++) {
        der = i2d_X509(sk_X509_value(certs, i), NULL);
        if (der <= 0) {
            return NGX_ERROR;
        }

        len += 4 + der;
    }

    /* NOLINTNEXTLINE(clang-analyzer-*): no chain is without a certificate */
    pair->body = malloc(len);
    if (pair->body == NULL) {
        return NGX_ERROR;
    }

    pair->len = len;

    ngx_autocert_wire_init(&w, pair->body, len);

    for (i = 0; i < n; i++) {
        p = w.pos + 4;
        der = i2d_X509(sk_X509_value(certs, i), &p);

        ngx_autocert_wire_put_u32(&w, der);
        w.pos = p;
    }

    return NGX_OK;
}


/* A reference to the pair with this id, or to the current one. */

static ngx_autocert_keeper_pair_t *
ngx_autocert_keeper_get(ngx_autocert_keeper_t *keeper, ngx_uint_t index,
    u_char *id, uint64_t *generation)
{
    ngx_autocert_keeper_pair_t  *pair;
    ngx_autocert_keeper_slot_t  *slot;

    slot = &keeper->slots[index];

    (void) pthread_mutex_lock(&keeper->lock);

    pair = slot->current;

    if (id && pair && ngx_memcmp(pair->id, id, NGX_AUTOCERT_KEY_ID) != 0) {
        pair = slot->previous;

        if (pair && ngx_memcmp(pair->id, id, NGX_AUTOCERT_KEY_ID) != 0) {
            pair = NULL;
        }
    }

    if (pair) {
        pair->refs++;
    }

    if (generation) {
        *generation = slot->generation;
    }

    (void) pthread_mutex_unlock(&keeper->lock);

    return pair;
}


static void
ngx_autocert_keeper_put(ngx_autocert_keeper_t *keeper,
    ngx_autocert_keeper_pair_t *pair)
{
    (void) pthread_mutex_lock(&keeper->lock);

    ngx_autocert_keeper_unref(pair);

    (void) pthread_mutex_unlock(&keeper->lock);
}


static void
ngx_autocert_keeper_unref(ngx_autocert_keeper_pair_t *pair)
{
    if (pair == NULL || --pair->refs) {
        return;
    }

    ngx_autocert_signer_free(pair->signer);
    free(pair->body);
    free(pair);
}
