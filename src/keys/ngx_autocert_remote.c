
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_remote.h"

#include <poll.h>


/* A call that is waited for. */

typedef struct {
    ngx_autocert_call_pt   ready;
    void                  *data;
    ngx_int_t              rc;      /* NGX_AGAIN until it has ended */
} ngx_autocert_remote_wait_t;


static ngx_int_t ngx_autocert_remote_send(ngx_autocert_remote_t *remote);
static size_t ngx_autocert_remote_frame(u_char *frame, ngx_queue_t *q,
    ngx_uint_t n);
static ngx_int_t ngx_autocert_remote_answers(ngx_autocert_remote_t *remote,
    u_char *frame, size_t len);
static void ngx_autocert_remote_lost(ngx_autocert_remote_t *remote);
static void ngx_autocert_remote_answered(ngx_autocert_remote_t *remote,
    ngx_autocert_answer_t *answer);
static void ngx_autocert_remote_waited(ngx_autocert_call_t *call,
    ngx_autocert_answer_t *answer);
static int64_t ngx_autocert_remote_now(void);


void
ngx_autocert_remote_init(ngx_autocert_remote_t *remote)
{
    remote->fd = -1;
    remote->number = 0;
    remote->nunsent = 0;
    remote->down = 0;

    ngx_queue_init(&remote->calls);
}


void
ngx_autocert_remote_start(ngx_autocert_remote_t *remote,
    ngx_autocert_call_t *call)
{
    call->question.number = ++remote->number;
    call->sent = 0;

    ngx_queue_insert_tail(&remote->calls, &call->queue);
    remote->nunsent++;
}


void
ngx_autocert_remote_cancel(ngx_autocert_remote_t *remote,
    ngx_autocert_call_t *call)
{
    if (!call->sent) {
        remote->nunsent--;
    }

    ngx_queue_remove(&call->queue);
}


void
ngx_autocert_remote_fail(ngx_autocert_remote_t *remote)
{
    ngx_queue_t          *q;
    ngx_autocert_call_t  *call;

    remote->nunsent = 0;

    while (!ngx_queue_empty(&remote->calls)) {
        q = ngx_queue_head(&remote->calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_autocert_call_t, queue);
        call->ready(call, NULL);
    }
}


ngx_int_t
ngx_autocert_remote_flush(ngx_autocert_remote_t *remote)
{
    ngx_int_t   rc;
    ngx_uint_t  tries;

    /* a successor that is gone as well is looked for later */

    for (tries = 0; tries < 2; tries++) {

        if (remote->fd == -1 && remote->connect(remote) == -1) {
            return NGX_AGAIN;
        }

        rc = ngx_autocert_remote_send(remote);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        ngx_autocert_remote_lost(remote);
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_autocert_remote_take(ngx_autocert_remote_t *remote)
{
    ssize_t  n;

    while (remote->fd != -1) {
        /* MSG_TRUNC: the length that the frame has, not that of its copy */

        n = recv(remote->fd, remote->frame, NGX_AUTOCERT_PROTOCOL_SIZE,
                 MSG_TRUNC);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1 && errno == EAGAIN) {
            return NGX_OK;
        }

        if (n <= 0 || n > NGX_AUTOCERT_PROTOCOL_SIZE
            || ngx_autocert_remote_answers(remote, remote->frame, n) != NGX_OK)
        {
            ngx_autocert_remote_lost(remote);
            return NGX_DECLINED;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_autocert_remote_ask(ngx_autocert_remote_t *remote,
    ngx_autocert_call_t *call)
{
    int64_t                     left, deadline;
    struct pollfd               pfd;
    ngx_autocert_remote_wait_t  wait;

    if (remote->down && remote->fd != -1) {
        (void) ngx_autocert_remote_take(remote);
    }

    if (remote->down) {
        return NGX_ERROR;
    }

    wait.ready = call->ready;
    wait.data = call->data;
    wait.rc = NGX_AGAIN;

    call->ready = ngx_autocert_remote_waited;
    /* cppcheck-suppress autoVariables ; nobody has the call when this ends */
    call->data = &wait;

    ngx_autocert_remote_start(remote, call);

    deadline = ngx_autocert_remote_now() + NGX_AUTOCERT_REMOTE_TIMEOUT;

    for ( ;; ) {
        if (remote->nunsent) {
            (void) ngx_autocert_remote_flush(remote);
        }

        if (remote->fd == -1) {
            ngx_autocert_remote_cancel(remote, call);
            return NGX_ERROR;
        }

        left = deadline - ngx_autocert_remote_now();

        if (left <= 0) {
            remote->down = 1;
            ngx_autocert_remote_cancel(remote, call);
            return NGX_ERROR;
        }

        /* what could not be sent is tried again soon */

        pfd.fd = remote->fd;
        pfd.events = POLLIN;

        (void) poll(&pfd, 1, remote->nunsent ? (int) ngx_min(left, 5)
                                             : (int) left);

        if (ngx_autocert_remote_take(remote) != NGX_OK) {
            /* whoever closes channels as fast as they come sets the pace */
            (void) poll(NULL, 0, 1);
        }

        if (wait.rc != NGX_AGAIN) {
            return wait.rc;
        }
    }
}


/* NGX_AGAIN: the channel is full, NGX_DECLINED: its other end is gone. */

static ngx_int_t
ngx_autocert_remote_send(ngx_autocert_remote_t *remote)
{
    size_t                len;
    ssize_t               n;
    ngx_uint_t            i, count;
    ngx_queue_t          *q;
    ngx_autocert_call_t  *call;

    u_char  frame[NGX_AUTOCERT_PROTOCOL_BATCH
                  * NGX_AUTOCERT_PROTOCOL_QUESTION];

    /* the oldest calls that are not sent: they stand at the end */

    q = ngx_queue_sentinel(&remote->calls);

    for (i = 0; i < remote->nunsent; i++) {
        q = ngx_queue_prev(q);
    }

    while (remote->nunsent) {
        count = ngx_min(remote->nunsent, NGX_AUTOCERT_PROTOCOL_BATCH);

        len = ngx_autocert_remote_frame(frame, q, count);

        do {
            n = send(remote->fd, frame, len, MSG_NOSIGNAL);
        } while (n == -1 && errno == EINTR);

        if (n == -1) {
            return (errno == EAGAIN) ? NGX_AGAIN : NGX_DECLINED;
        }

        for (i = 0; i < count; i++) {
            call = ngx_queue_data(q, ngx_autocert_call_t, queue);
            q = ngx_queue_next(q);

            call->sent = 1;
        }

        remote->nunsent -= count;
    }

    return NGX_OK;
}


/* The questions of n calls, one behind the other: the length of all. */

static size_t
ngx_autocert_remote_frame(u_char *frame, ngx_queue_t *q, ngx_uint_t n)
{
    u_char               *p, *end;
    ngx_autocert_call_t  *call;

    p = frame;
    end = frame + n * NGX_AUTOCERT_PROTOCOL_QUESTION;

    for ( /* void */ ; n; n--) {
        call = ngx_queue_data(q, ngx_autocert_call_t, queue);
        q = ngx_queue_next(q);

        p += ngx_autocert_protocol_question_put(&call->question, p, end - p);
    }

    return p - frame;
}


/* All of a frame's answers; NGX_ERROR if it is not made of them. */

static ngx_int_t
ngx_autocert_remote_answers(ngx_autocert_remote_t *remote, u_char *frame,
    size_t len)
{
    size_t                  n;
    u_char                 *p, *end;
    ngx_autocert_answer_t   answer;

    end = frame + len;

    for (p = frame; p < end; p += n) {
        n = ngx_autocert_protocol_answer_get(&answer, p, end - p);

        if (n == 0) {
            return NGX_ERROR;
        }

        remote->down = 0;

        ngx_autocert_remote_answered(remote, &answer);
    }

    return NGX_OK;
}


/* The helper is gone: all that it has not answered is to be asked again. */

static void
ngx_autocert_remote_lost(ngx_autocert_remote_t *remote)
{
    ngx_queue_t          *q;
    ngx_autocert_call_t  *call;

    remote->close(remote);
    remote->nunsent = 0;
    remote->down = 0;

    for (q = ngx_queue_head(&remote->calls);
         q != ngx_queue_sentinel(&remote->calls);
         q = ngx_queue_next(q))
    {
        call = ngx_queue_data(q, ngx_autocert_call_t, queue);
        call->sent = 0;
        remote->nunsent++;
    }
}


/* Answers come in the order of the questions; one too late finds no call. */

static void
ngx_autocert_remote_answered(ngx_autocert_remote_t *remote,
    ngx_autocert_answer_t *answer)
{
    ngx_queue_t          *q;
    ngx_autocert_call_t  *call;

    for (q = ngx_queue_head(&remote->calls);
         q != ngx_queue_sentinel(&remote->calls);
         q = ngx_queue_next(q))
    {
        call = ngx_queue_data(q, ngx_autocert_call_t, queue);

        if (call->question.number != answer->number || !call->sent) {
            continue;
        }

        ngx_queue_remove(&call->queue);

        call->ready(call, (answer->type == call->question.type
                           && answer->status == NGX_AUTOCERT_PROTOCOL_OK)
                          ? answer : NULL);
        return;
    }
}


static void
ngx_autocert_remote_waited(ngx_autocert_call_t *call,
    ngx_autocert_answer_t *answer)
{
    ngx_autocert_remote_wait_t  *wait = call->data;

    call->ready = wait->ready;
    call->data = wait->data;

    wait->rc = answer ? NGX_OK : NGX_ERROR;
    call->ready(call, answer);
}


static int64_t
ngx_autocert_remote_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
