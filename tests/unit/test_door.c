
#include "../../src/core/ngx_autocert_door.c"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ngx_stub.h"


static int                   test_door[2];
static ngx_cycle_t           test_door_cycle;
static ngx_uint_t            test_door_open;
static ngx_autocert_hello_t  test_door_me;


int
ngx_nonblocking(ngx_socket_t s)
{
    return fcntl(s, F_SETFL, fcntl(s, F_GETFL) | O_NONBLOCK);
}


static ngx_uint_t
test_door_descriptors(void)
{
    DIR         *dir;
    ngx_uint_t   n;

    dir = opendir("/proc/self/fd");
    assert_non_null(dir);

    for (n = 0; readdir(dir); n++) { /* void */ }

    closedir(dir);

    return n;
}


static int
test_door_setup(void **state)
{
    (void) state;

    test_door_open = test_door_descriptors();

    test_door_me.worker = 3;
    test_door_me.pid = getpid();

    test_door_cycle.log = &ngx_stub_log;
    test_door_cycle.pool = ngx_create_pool(1024, &ngx_stub_log);

    return test_door_cycle.pool == NULL
           || ngx_autocert_door_create(&test_door_cycle, test_door) != NGX_OK;
}


static int
test_door_teardown(void **state)
{
    (void) state;

    /* the door goes with the pool of its cycle */

    ngx_destroy_pool(test_door_cycle.pool);

    return test_door_descriptors() != test_door_open;
}


static int
test_door_knock(void)
{
    return ngx_autocert_door_knock(test_door, &test_door_me);
}


static ngx_int_t
test_door_answer(ngx_autocert_hello_t *hello, int *fd)
{
    return ngx_autocert_door_answer(test_door[NGX_AUTOCERT_DOOR_HELPER],
                                    hello, fd);
}


static void
test_door_expect(ngx_int_t expected, uint32_t pid)
{
    int                   fd;
    ngx_autocert_hello_t  hello;

    hello.pid = 0;

    assert_int_equal(test_door_answer(&hello, &fd), expected);

    if (expected == NGX_OK) {
        assert_int_equal(hello.worker, 3);
        (void) close(fd);
    }

    if (pid) {
        assert_int_equal(hello.pid, pid);
    }
}


static void
test_door_channel(void **state)
{
    int                   ours, theirs;
    u_char                byte;
    ngx_autocert_hello_t  hello;

    (void) state;

    test_door_expect(NGX_AGAIN, 0);

    ours = test_door_knock();
    assert_true(ours != -1);

    assert_int_equal(test_door_answer(&hello, &theirs), NGX_OK);
    assert_int_equal(hello.worker, 3);
    assert_int_equal(hello.pid, getpid());

    /* the worker never waits, the keeper's thread does */

    assert_true(fcntl(ours, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(theirs, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(ours, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(theirs, F_GETFD) & FD_CLOEXEC);

    assert_int_equal(send(ours, "q", 1, 0), 1);
    assert_int_equal(recv(theirs, &byte, 1, 0), 1);
    assert_int_equal(send(theirs, "a", 1, 0), 1);
    assert_int_equal(recv(ours, &byte, 1, 0), 1);

    test_door_expect(NGX_AGAIN, 0);

    /* no third one has it: the end of one is seen by the other */

    (void) close(theirs);
    assert_int_equal(recv(ours, &byte, 1, 0), 0);
    (void) close(ours);
}


/* While no helper lives, the next one finds all who have come. */

static void
test_door_waits(void **state)
{
    int         fd[4];
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < 4; i++) {
        fd[i] = test_door_knock();
        assert_true(fd[i] != -1);
    }

    for (i = 0; i < 4; i++) {
        test_door_expect(NGX_OK, getpid());
        (void) close(fd[i]);
    }

    test_door_expect(NGX_AGAIN, 0);
}


static void
test_door_shut(void **state)
{
    ngx_uint_t  before;

    (void) state;

    ngx_autocert_door_close(test_door, NGX_AUTOCERT_DOOR_WORKER);
    assert_int_equal(test_door[NGX_AUTOCERT_DOOR_WORKER], -1);

    test_door_expect(NGX_DONE, 0);

    before = test_door_descriptors();
    assert_int_equal(test_door_knock(), -1);
    assert_int_equal(test_door_descriptors(), before);
}


static void
test_door_no_helper(void **state)
{
    ngx_uint_t  before;

    (void) state;

    ngx_autocert_door_close(test_door, NGX_AUTOCERT_DOOR_HELPER);
    ngx_autocert_door_close(test_door, NGX_AUTOCERT_DOOR_HELPER);

    before = test_door_descriptors();
    assert_int_equal(test_door_knock(), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(test_door_descriptors(), before);
}


typedef struct {
    char        *name;
    size_t       len;       /* of the hello */
    ngx_uint_t   fds;
    int          family;    /* 0: a pipe */
    int          type;
    ngx_uint_t   flip;      /* byte of the hello + 1 */
} test_door_case_t;


static test_door_case_t  test_door_cases[] = {
    { "no descriptor", 16, 0, 0, 0, 0 },
    { "two", 16, 2, AF_UNIX, SOCK_SEQPACKET, 0 },
    { "more than are looked at", 16, 100, AF_UNIX, SOCK_SEQPACKET, 0 },
    { "a stream", 16, 1, AF_UNIX, SOCK_STREAM, 0 },
    { "datagrams", 16, 1, AF_UNIX, SOCK_DGRAM, 0 },
    { "not of this host", 16, 1, AF_INET, SOCK_STREAM, 0 },
    { "a pipe", 16, 1, 0, 0, 0 },
    { "another magic", 16, 1, AF_UNIX, SOCK_SEQPACKET, 1 },
    { "another version", 16, 1, AF_UNIX, SOCK_SEQPACKET, 8 },
    { "another process", 16, 1, AF_UNIX, SOCK_SEQPACKET, 16 },
    { "short", 15, 1, AF_UNIX, SOCK_SEQPACKET, 0 },
    { "long", 17, 1, AF_UNIX, SOCK_SEQPACKET, 0 },
    { "empty", 0, 0, 0, 0, 0 },
    { "empty with a channel", 0, 1, AF_UNIX, SOCK_SEQPACKET, 0 },
    { NULL, 0, 0, 0, 0, 0 }
};


static void
test_door_descriptor(test_door_case_t *t, int fd[2])
{
    if (t->family == AF_UNIX) {
        assert_int_equal(socketpair(AF_UNIX, t->type, 0, fd), 0);

    } else if (t->family) {
        fd[0] = socket(t->family, t->type, 0);
        fd[1] = dup(fd[0]);

    } else {
        assert_int_equal(pipe(fd), 0);
    }
}


static void
test_door_send(test_door_case_t *t)
{
    int              fd[2], fds[100];
    u_char           frame[32];
    ngx_uint_t       i;
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  align;
        u_char          space[CMSG_SPACE(sizeof(fds))];
    } control;

    ngx_memzero(frame, sizeof(frame));
    ngx_memzero(&msg, sizeof(struct msghdr));
    ngx_memzero(&control, sizeof(control));

    assert_int_equal(ngx_autocert_protocol_hello_put(&test_door_me, frame,
                                                     sizeof(frame)),
                     NGX_AUTOCERT_PROTOCOL_HELLO);

    if (t->flip) {
        frame[t->flip - 1] ^= 0x40;
    }

    iov.iov_base = frame;
    iov.iov_len = t->len;
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;

    test_door_descriptor(t, fd);

    for (i = 0; i < t->fds; i++) {
        fds[i] = fd[0];
    }

    if (t->fds) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(t->fds * sizeof(int));

        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(t->fds * sizeof(int));
        ngx_memcpy(CMSG_DATA(cmsg), fds, t->fds * sizeof(int));
    }

    assert_int_equal(sendmsg(test_door[NGX_AUTOCERT_DOOR_WORKER], &msg, 0),
                     t->len);

    (void) close(fd[0]);
    (void) close(fd[1]);
}


/* Refused, with who it was, nothing left open, and the door is open still. */

static void
test_door_refused(void **state)
{
    int                    fd;
    ngx_uint_t             before;
    ngx_int_t              rc;
    test_door_case_t      *t;
    ngx_autocert_hello_t   hello;

    (void) state;

    before = test_door_descriptors();

    for (t = test_door_cases; t->name; t++) {
        test_door_send(t);

        rc = test_door_answer(&hello, &fd);

        if (rc != NGX_DECLINED) {
            fail_msg("%s: %d", t->name, (int) rc);
        }

        assert_int_equal(hello.pid, getpid());

        if (test_door_descriptors() != before) {
            fail_msg("%s: a descriptor is left", t->name);
        }

        fd = test_door_knock();
        assert_true(fd != -1);
        test_door_expect(NGX_OK, getpid());
        (void) close(fd);
    }

    test_door_expect(NGX_AGAIN, 0);
}


/*
 * A door that nobody looks at fills up, and its flags are those of all who
 * hold it: a worker does not wait there even if another has changed them.
 */

static void
test_door_full(void **state)
{
    int         end;
    ngx_uint_t  before;

    (void) state;

    end = test_door[NGX_AUTOCERT_DOOR_WORKER];

    assert_int_equal(fcntl(end, F_SETFL, fcntl(end, F_GETFL) & ~O_NONBLOCK),
                     0);

    while (send(end, "x", 1, MSG_DONTWAIT) == 1) { /* void */ }

    before = test_door_descriptors();

    (void) alarm(30);
    assert_int_equal(test_door_knock(), -1);
    (void) alarm(0);

    assert_int_equal(test_door_descriptors(), before);
}


/* The thread: who is served, who is not, and how it ends. */

static ngx_int_t
test_door_serve(void *data, int fd, ngx_autocert_hello_t *hello)
{
    ngx_int_t  *rc = data;

    assert_int_equal(hello->worker, 3);
    (void) close(fd);
    errno = EMFILE;

    return *rc;
}


static void
test_door_news(int fd, ngx_int_t rc)
{
    struct pollfd         pfd;
    ngx_autocert_knock_t  knock;

    pfd.fd = fd;
    pfd.events = POLLIN;
    assert_int_equal(poll(&pfd, 1, 30000), 1);

    assert_int_equal(ngx_autocert_door_knocked(&knock), NGX_OK);
    assert_int_equal(knock.rc, rc);

    if (rc != NGX_DONE) {
        assert_int_equal(knock.hello.pid, getpid());
    }

    if (rc == NGX_ERROR) {
        assert_int_equal(knock.err, EMFILE);
    }
}


static void
test_door_open_leave(void **state)
{
    int                   news, fd;
    u_char                byte;
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_autocert_knock_t  knock;

    (void) state;

    assert_int_equal(ngx_autocert_door_leave(), NGX_OK);

    for (i = 0; i < 2; i++) {
        rc = i ? NGX_ERROR : NGX_OK;
        news = ngx_autocert_door_open(test_door, test_door_serve, &rc);
        assert_true(news != -1);
        assert_int_equal(ngx_autocert_door_knocked(&knock), NGX_DECLINED);

        fd = test_door_knock();
        test_door_news(news, rc);
        assert_int_equal(recv(fd, &byte, 1, 0), 0);
        (void) close(fd);

        test_door_send(&test_door_cases[0]);
        test_door_news(news, NGX_DECLINED);
        assert_int_equal(ngx_autocert_door_knocked(&knock), NGX_DECLINED);

        assert_int_equal(ngx_autocert_door_leave(), NGX_OK);
    }
}


static void
test_door_open_shut(void **state)
{
    int        news;
    ngx_int_t  rc;

    (void) state;

    news = ngx_autocert_door_open(test_door, test_door_serve, &rc);
    assert_true(news != -1);

    ngx_autocert_door_close(test_door, NGX_AUTOCERT_DOOR_WORKER);
    test_door_news(news, NGX_DONE);

    assert_int_equal(ngx_autocert_door_leave(), NGX_OK);
}


/* Nobody reads the news: it can end all the same. */

static void
test_door_open_full(void **state)
{
    int         news;
    ngx_int_t   rc;
    ngx_uint_t  i;

    (void) state;

    news = ngx_autocert_door_open(test_door, test_door_serve, &rc);
    assert_true(news != -1);
    assert_true(fcntl(news, F_SETPIPE_SZ, 4096) >= 4096);

    for (i = 0; i < 4096 / sizeof(ngx_autocert_knock_t) + 2; i++) {
        assert_int_equal(send(test_door[NGX_AUTOCERT_DOOR_WORKER], "x", 1, 0),
                         1);
    }

    assert_int_equal(ngx_autocert_door_leave(), NGX_OK);
}


#define test_door_unit(f)                                                    \
    cmocka_unit_test_setup_teardown(f, test_door_setup, test_door_teardown)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_door_unit(test_door_channel),
        test_door_unit(test_door_waits),
        test_door_unit(test_door_shut),
        test_door_unit(test_door_no_helper),
        test_door_unit(test_door_refused),
        test_door_unit(test_door_full),
        test_door_unit(test_door_open_leave),
        test_door_unit(test_door_open_shut),
        test_door_unit(test_door_open_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
