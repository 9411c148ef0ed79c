
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_remote.h"

#include <poll.h>


static ngx_int_t ngx_autocert_remote_send(ngx_autocert_remote_t *remote,
    ngx_autocert_question_t *question);
static ngx_int_t ngx_autocert_remote_recv(ngx_autocert_remote_t *remote,
    ngx_autocert_answer_t *answer);
static ngx_int_t ngx_autocert_remote_wait(ngx_autocert_remote_t *remote,
    ngx_autocert_answer_t *answer, int64_t deadline);
static int64_t ngx_autocert_remote_now(void);


ngx_int_t
ngx_autocert_remote_ask(ngx_autocert_remote_t *remote,
    ngx_autocert_question_t *question, ngx_autocert_answer_t *answer)
{
    int64_t    start, waited;
    ngx_int_t  rc;

    if (remote->down && remote->fd != -1) {
        (void) ngx_autocert_remote_drain(remote);
    }

    if (remote->down) {
        return NGX_ERROR;
    }

    question->number = ++remote->number;

    start = ngx_autocert_remote_now();

    do {
        if (remote->fd == -1 && remote->connect(remote) == -1) {
            return NGX_ERROR;
        }

        rc = ngx_autocert_remote_send(remote, question);

        if (rc == NGX_OK) {
            rc = ngx_autocert_remote_wait(remote, answer,
                                          start + NGX_AUTOCERT_REMOTE_TIMEOUT);
        }

        if (rc == NGX_DECLINED) {
            remote->close(remote);
        }

        /* the helper is gone: its successor is asked the same */

    } while (rc == NGX_DECLINED
             && ngx_autocert_remote_now() - start
                < NGX_AUTOCERT_REMOTE_TIMEOUT);

    waited = ngx_autocert_remote_now() - start;

    if (waited > (int64_t) remote->waited) {
        remote->waited = waited;
    }

    if (rc == NGX_AGAIN) {
        remote->down = 1;
    }

    if (rc != NGX_OK
        || answer->type != question->type
        || answer->status != NGX_AUTOCERT_PROTOCOL_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_remote_drain(ngx_autocert_remote_t *remote)
{
    ngx_int_t              rc;
    ngx_autocert_answer_t  answer;

    do {
        rc = ngx_autocert_remote_recv(remote, &answer);
    } while (rc == NGX_OK);

    return (rc == NGX_AGAIN) ? NGX_OK : NGX_ERROR;
}


/* NGX_AGAIN: no room in the channel, the helper does not read */

static ngx_int_t
ngx_autocert_remote_send(ngx_autocert_remote_t *remote,
    ngx_autocert_question_t *question)
{
    size_t   len;
    ssize_t  n;

    len = ngx_autocert_protocol_question_put(question, remote->frame,
                                             NGX_AUTOCERT_PROTOCOL_SIZE);
    if (len == 0) {
        return NGX_ERROR;
    }

    do {
        n = send(remote->fd, remote->frame, len, MSG_NOSIGNAL);
    } while (n == -1 && errno == EINTR);

    if (n == (ssize_t) len) {
        return NGX_OK;
    }

    return (errno == EAGAIN) ? NGX_AGAIN : NGX_DECLINED;
}


/* The answer to the last question; those to earlier ones are dropped. */

static ngx_int_t
ngx_autocert_remote_wait(ngx_autocert_remote_t *remote,
    ngx_autocert_answer_t *answer, int64_t deadline)
{
    int64_t        left;
    ngx_int_t      rc;
    struct pollfd  pfd;

    pfd.fd = remote->fd;
    pfd.events = POLLIN;

    for ( ;; ) {
        left = deadline - ngx_autocert_remote_now();

        if (left <= 0) {
            return NGX_AGAIN;
        }

        if (poll(&pfd, 1, (int) left) == -1 && errno != EINTR) {
            return NGX_ERROR;
        }

        rc = ngx_autocert_remote_recv(remote, answer);

        if (rc == NGX_DECLINED) {
            return rc;
        }

        if (rc == NGX_OK && answer->type != NGX_AUTOCERT_PROTOCOL_READY
            && answer->number == remote->number)
        {
            return NGX_OK;
        }
    }
}


static ngx_int_t
ngx_autocert_remote_recv(ngx_autocert_remote_t *remote,
    ngx_autocert_answer_t *answer)
{
    ssize_t  n;

    do {
        n = recv(remote->fd, remote->frame, NGX_AUTOCERT_PROTOCOL_SIZE, 0);
    } while (n == -1 && errno == EINTR);

    if (n == -1 && errno == EAGAIN) {
        return NGX_AGAIN;
    }

    if (n <= 0
        || ngx_autocert_protocol_answer_get(answer, remote->frame, n)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    remote->down = 0;

    return NGX_OK;
}


static int64_t
ngx_autocert_remote_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
