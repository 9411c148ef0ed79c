
#include "ngx_autocert_door.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>


#define NGX_AUTOCERT_DOOR_LEAVE  1      /* s */

/* More than one descriptor is refused, but has to be received to be closed */
#define NGX_AUTOCERT_DOOR_FDS  8


typedef struct {
    int                          fd;        /* our end of the door */
    int                          news[2];   /* from the thread */
    pthread_t                    thread;
    ngx_autocert_door_serve_pt   serve;
    void                        *data;
    unsigned                     open:1;
} ngx_autocert_door_t;


static void *ngx_autocert_door_thread(void *data);
static ngx_int_t ngx_autocert_door_next(ngx_autocert_door_t *d,
    ngx_autocert_knock_t *knock);
static ngx_int_t ngx_autocert_door_answer(int door, ngx_autocert_hello_t *hello,
    int *fd);
static void ngx_autocert_door_cleanup(void *data);
static ngx_uint_t ngx_autocert_door_control(struct msghdr *msg, int *fd,
    uint32_t *pid);
static ngx_uint_t ngx_autocert_door_channel(int fd, uint32_t pid);


static ngx_autocert_door_t  ngx_autocert_door;


ngx_int_t
ngx_autocert_door_create(ngx_cycle_t *cycle, int door[2])
{
    int                  on;
    ngx_pool_cleanup_t  *cln;

    door[0] = -1;
    door[1] = -1;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0,
                   door)
        == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "autocert: socketpair() failed");
        return NGX_ERROR;
    }

    cln->handler = ngx_autocert_door_cleanup;
    cln->data = door;

    /* the kernel says who knocks */

    on = 1;

    if (setsockopt(door[NGX_AUTOCERT_DOOR_HELPER], SOL_SOCKET, SO_PASSCRED,
                   &on, sizeof(int))
        == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "autocert: setsockopt(SO_PASSCRED) failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_autocert_door_close(int door[2], ngx_uint_t end)
{
    if (door[end] != -1) {
        (void) close(door[end]);
        door[end] = -1;
    }
}


int
ngx_autocert_door_knock(int door[2], ngx_autocert_hello_t *hello)
{
    int              channel[2];
    u_char           frame[NGX_AUTOCERT_PROTOCOL_HELLO];
    ssize_t          n;
    ngx_err_t        err;
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  align;
        u_char          space[CMSG_SPACE(sizeof(int))];
    } control;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, channel) == -1) {
        return -1;
    }

    iov.iov_base = frame;
    iov.iov_len = ngx_autocert_protocol_hello_put(hello, frame,
                                                  sizeof(frame));

    ngx_memzero(&msg, sizeof(struct msghdr));
    ngx_memzero(&control, sizeof(control));

    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);

    cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    ngx_memcpy(CMSG_DATA(cmsg), &channel[1], sizeof(int));

    /* flags of the door are shared: another worker may have made it block */

    do {
        n = sendmsg(door[NGX_AUTOCERT_DOOR_WORKER], &msg,
                    MSG_DONTWAIT|MSG_NOSIGNAL);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    /* only this end: the keeper's thread waits on the other one */

    if (n == -1 || ngx_nonblocking(channel[0]) == -1) {
        err = ngx_errno;
        (void) close(channel[0]);
        (void) close(channel[1]);
        ngx_set_errno(err);
        return -1;
    }

    (void) close(channel[1]);

    return channel[0];
}


int
ngx_autocert_door_open(int door[2], ngx_autocert_door_serve_pt serve,
    void *data)
{
    int                   rc;
    sigset_t              all, old;
    ngx_autocert_door_t  *d = &ngx_autocert_door;

    if (pipe2(d->news, O_CLOEXEC) == -1) {
        return -1;
    }

    d->fd = door[NGX_AUTOCERT_DOOR_HELPER];
    d->serve = serve;
    d->data = data;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);

    rc = pthread_create(&d->thread, NULL, ngx_autocert_door_thread, d);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc != 0 || ngx_nonblocking(d->news[0]) == -1) {
        (void) close(d->news[0]);
        (void) close(d->news[1]);
        return -1;
    }

    d->open = 1;

    return d->news[0];
}


ngx_int_t
ngx_autocert_door_knocked(ngx_autocert_knock_t *knock)
{
    ssize_t  n;

    n = read(ngx_autocert_door.news[0], knock, sizeof(ngx_autocert_knock_t));

    return (n == sizeof(ngx_autocert_knock_t)) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_autocert_door_leave(void)
{
    struct timespec       ts;
    ngx_autocert_door_t  *d = &ngx_autocert_door;

    if (!d->open) {
        return NGX_OK;
    }

    /* which the thread sees at the other end */

    (void) close(d->news[0]);

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += NGX_AUTOCERT_DOOR_LEAVE;

    if (pthread_timedjoin_np(d->thread, NULL, &ts) != 0) {
        return NGX_AGAIN;
    }

    (void) close(d->news[1]);
    d->open = 0;

    return NGX_OK;
}


static void *
ngx_autocert_door_thread(void *data)
{
    ngx_autocert_door_t  *d = data;

    ssize_t               n;
    ngx_autocert_knock_t  knock;

    ngx_memzero(&knock, sizeof(ngx_autocert_knock_t));

    do {
        if (ngx_autocert_door_next(d, &knock) != NGX_OK) {
            break;
        }

        do {
            n = write(d->news[1], &knock, sizeof(ngx_autocert_knock_t));
        } while (n == -1 && ngx_errno == NGX_EINTR);

    } while (n != -1 && knock.rc != NGX_DONE);

    return NULL;
}


/* Waits for somebody; NGX_DECLINED: nobody listens any more. */

static ngx_int_t
ngx_autocert_door_next(ngx_autocert_door_t *d, ngx_autocert_knock_t *knock)
{
    int            fd;
    struct pollfd  pfd[2];

    pfd[0].fd = d->fd;
    pfd[0].events = POLLIN;
    pfd[1].fd = d->news[1];
    pfd[1].events = 0;

    do {
        pfd[0].revents = 0;
        pfd[1].revents = 0;

        (void) poll(pfd, 2, -1);

        if (pfd[1].revents) {
            return NGX_DECLINED;
        }

        knock->rc = ngx_autocert_door_answer(d->fd, &knock->hello, &fd);

    } while (knock->rc == NGX_AGAIN);

    if (knock->rc == NGX_OK) {
        knock->rc = d->serve(d->data, fd, &knock->hello);
        knock->err = ngx_errno;
    }

    return NGX_OK;
}


/*
 * The next channel that stands at the door.  NGX_OK and its fd; NGX_AGAIN:
 * nobody; NGX_DECLINED: what came was no channel, and is closed; NGX_DONE:
 * nobody can come any more.
 */

static ngx_int_t
ngx_autocert_door_answer(int door, ngx_autocert_hello_t *hello, int *fd)
{
    u_char         frame[NGX_AUTOCERT_PROTOCOL_HELLO + 1];
    ssize_t        n;
    uint32_t       pid;
    ngx_uint_t     sane;
    struct iovec   iov;
    struct msghdr  msg;

    union {
        struct cmsghdr  align;
        u_char          space[CMSG_SPACE(sizeof(struct ucred))
                              + CMSG_SPACE(NGX_AUTOCERT_DOOR_FDS
                                           * sizeof(int))];
    } control;

    iov.iov_base = frame;
    iov.iov_len = sizeof(frame);

    ngx_memzero(&msg, sizeof(struct msghdr));

    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);

    do {
        n = recvmsg(door, &msg, MSG_CMSG_CLOEXEC);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    if (n == -1) {
        return NGX_AGAIN;
    }

    /* an empty message says at least who has sent it */

    if (n == 0 && msg.msg_controllen == 0) {
        return NGX_DONE;
    }

    sane = ngx_autocert_door_control(&msg, fd, &pid);

    if (sane
        && (msg.msg_flags & (MSG_TRUNC|MSG_CTRUNC)) == 0
        && ngx_autocert_protocol_hello_get(hello, frame, n) == NGX_OK
        && hello->pid == pid
        && ngx_autocert_door_channel(*fd, pid))
    {
        return NGX_OK;
    }

    hello->pid = pid;

    if (*fd != -1) {
        (void) close(*fd);
    }

    return NGX_DECLINED;
}


/* True if there is exactly one descriptor; all others are closed. */

static ngx_uint_t
ngx_autocert_door_control(struct msghdr *msg, int *fd, uint32_t *pid)
{
    int              one;
    size_t           i, n;
    ngx_uint_t       count;
    struct ucred     cred;
    struct cmsghdr  *cmsg;

    *fd = -1;
    *pid = 0;
    count = 0;

    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {

        if (cmsg->cmsg_level != SOL_SOCKET) {
            continue;
        }

        if (cmsg->cmsg_type == SCM_CREDENTIALS) {
            ngx_memcpy(&cred, CMSG_DATA(cmsg), sizeof(struct ucred));
            *pid = cred.pid;
        }

        if (cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (i = 0; i < n; i++) {
            ngx_memcpy(&one, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));

            if (count++ == 0) {
                *fd = one;

            } else {
                (void) close(one);
            }
        }
    }

    return count == 1;
}


/* A pair that the process itself has made, not its way to someone else. */

static ngx_uint_t
ngx_autocert_door_channel(int fd, uint32_t pid)
{
    int           type, domain;
    socklen_t     len;
    struct ucred  cred;

    len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1) {
        return 0;
    }

    len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1) {
        return 0;
    }

    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1) {
        return 0;
    }

    return type == SOCK_SEQPACKET && domain == AF_UNIX
           && (uint32_t) cred.pid == pid;
}


static void
ngx_autocert_door_cleanup(void *data)
{
    int  *door = data;

    ngx_autocert_door_close(door, 0);
    ngx_autocert_door_close(door, 1);
}
