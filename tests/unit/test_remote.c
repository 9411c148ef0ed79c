
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/keys/ngx_autocert_remote.h"


#define TEST_REMOTE_CHANNELS  8


/*
 * What the helper's side does.  Numbers of questions are known beforehand,
 * so all is said before it is waited for, and no test depends on its pace.
 */

typedef enum {
    TEST_REMOTE_DONE = 0,
    TEST_REMOTE_READY,      /* says so */
    TEST_REMOTE_ANSWER,     /* the next question */
    TEST_REMOTE_EARLIER,    /* the one before it */
    TEST_REMOTE_NONE,
    TEST_REMOTE_FAILED,
    TEST_REMOTE_OTHER,      /* an answer of another type */
    TEST_REMOTE_GARBAGE,
    TEST_REMOTE_CLOSE       /* after all that was asked so far */
} test_remote_step_e;


typedef struct {
    ngx_autocert_call_t    call;
    ngx_autocert_answer_t  answer;
    u_char                 body[16];
    ngx_uint_t             ended;
} test_remote_call_t;


/* A frame of questions that was received, and how many there were. */

typedef struct {
    ngx_uint_t             frames;
    u_char                *next;
    u_char                *end;
    u_char                 frame[2 * NGX_AUTOCERT_PROTOCOL_BATCH
                                 * NGX_AUTOCERT_PROTOCOL_QUESTION];
} test_remote_taken_t;


static test_remote_step_e      test_remote_scripts[TEST_REMOTE_CHANNELS][8];
static test_remote_taken_t     test_remote_takens[TEST_REMOTE_CHANNELS];
static int                     test_remote_peer[TEST_REMOTE_CHANNELS];
static ngx_uint_t              test_remote_connects;
static ngx_uint_t              test_remote_closes;
static ngx_uint_t              test_remote_refuse;
static ngx_autocert_remote_t  *test_remote;


static size_t
test_remote_add(u_char *p, size_t size, uint32_t type, uint32_t status,
    uint64_t number)
{
    ngx_autocert_answer_t  answer;

    ngx_memzero(&answer, sizeof(ngx_autocert_answer_t));

    answer.type = type;
    answer.number = number;
    answer.status = status;
    answer.generation = number;

    if (status == NGX_AUTOCERT_PROTOCOL_OK) {
        ngx_str_set(&answer.body, "answer");
    }

    return ngx_autocert_protocol_answer_put(&answer, p, size);
}


static void
test_remote_put(int fd, uint32_t type, uint32_t status, uint64_t number)
{
    size_t  len;
    u_char  frame[128];

    len = test_remote_add(frame, sizeof(frame), type, status, number);

    assert_int_equal(send(fd, frame, len, MSG_NOSIGNAL), len);
}


/* Answers to these questions in one frame, and what is no answer. */

static void
test_remote_put_all(int fd, uint64_t *numbers, ngx_uint_t n, char *garbage)
{
    u_char      *p, frame[1024];
    ngx_uint_t   i;

    p = frame;

    for (i = 0; i < n; i++) {
        p += test_remote_add(p, frame + sizeof(frame) - p,
                             NGX_AUTOCERT_PROTOCOL_CHAIN,
                             NGX_AUTOCERT_PROTOCOL_OK, numbers[i]);
    }

    p = ngx_cpymem(p, garbage, ngx_strlen(garbage));

    assert_int_equal(send(fd, frame, p - frame, MSG_NOSIGNAL), p - frame);
}


/* next is the number of the question to come. */

static void
test_remote_play(int fd, test_remote_step_e *script, uint64_t next)
{
    for ( /* void */ ; *script != TEST_REMOTE_DONE; script++) {

        switch (*script) {

        case TEST_REMOTE_READY:
            test_remote_put(fd, NGX_AUTOCERT_PROTOCOL_READY,
                            NGX_AUTOCERT_PROTOCOL_OK, 0);
            break;

        case TEST_REMOTE_ANSWER:
            test_remote_put(fd, NGX_AUTOCERT_PROTOCOL_CHAIN,
                            NGX_AUTOCERT_PROTOCOL_OK, next);
            break;

        case TEST_REMOTE_EARLIER:
            test_remote_put(fd, NGX_AUTOCERT_PROTOCOL_CHAIN,
                            NGX_AUTOCERT_PROTOCOL_OK, next - 1);
            break;

        case TEST_REMOTE_NONE:
            test_remote_put(fd, NGX_AUTOCERT_PROTOCOL_CHAIN,
                            NGX_AUTOCERT_PROTOCOL_NONE, next);
            break;

        case TEST_REMOTE_FAILED:
            test_remote_put(fd, NGX_AUTOCERT_PROTOCOL_CHAIN,
                            NGX_AUTOCERT_PROTOCOL_FAILED, next);
            break;

        case TEST_REMOTE_OTHER:
            test_remote_put(fd, NGX_AUTOCERT_PROTOCOL_SIGN,
                            NGX_AUTOCERT_PROTOCOL_OK, next);
            break;

        case TEST_REMOTE_GARBAGE:
            assert_int_equal(send(fd, "garbage", 7, MSG_NOSIGNAL), 7);
            break;

        default:
            /* it can still be written to, as if it had died a bit later */
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        }
    }
}


static int
test_remote_connect(ngx_autocert_remote_t *remote)
{
    int  fd[2];

    if (test_remote_refuse || test_remote_connects == TEST_REMOTE_CHANNELS) {
        return -1;
    }

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK, 0, fd),
                     0);

    /* the number of the question that brought us here */

    test_remote_play(fd[1], test_remote_scripts[test_remote_connects],
                     remote->number);

    test_remote_peer[test_remote_connects++] = fd[1];
    remote->fd = fd[0];

    return fd[0];
}


static void
test_remote_close(ngx_autocert_remote_t *remote)
{
    if (remote->fd != -1) {
        (void) close(remote->fd);
        remote->fd = -1;
        test_remote_closes++;
    }
}


/* The next question on this channel, or NGX_DECLINED. */

static ngx_int_t
test_remote_taken(ngx_uint_t channel, ngx_autocert_question_t *question)
{
    size_t                len;
    ssize_t               n;
    test_remote_taken_t  *t = &test_remote_takens[channel];

    if (t->next == t->end) {
        n = recv(test_remote_peer[channel], t->frame, sizeof(t->frame), 0);

        if (n <= 0) {
            return NGX_DECLINED;
        }

        t->frames++;
        t->next = t->frame;
        t->end = t->frame + n;
    }

    len = ngx_autocert_protocol_question_get(question, t->next,
                                             t->end - t->next);
    t->next += len;

    return len ? NGX_OK : NGX_ERROR;
}


/* On the channel that is there: what is said before the next question. */

static void
test_remote_say(test_remote_step_e step)
{
    test_remote_step_e  script[2] = { step, TEST_REMOTE_DONE };

    test_remote_play(test_remote_peer[test_remote_connects - 1], script,
                     test_remote->number + 1);
}


static void
test_remote_ready(ngx_autocert_call_t *call, ngx_autocert_answer_t *answer)
{
    test_remote_call_t  *c = (test_remote_call_t *) call;

    c->ended++;

    if (answer == NULL) {
        return;
    }

    c->answer = *answer;
    assert_true(answer->body.len <= sizeof(c->body));
    ngx_memcpy(c->body, answer->body.data, answer->body.len);
    c->answer.body.data = c->body;
}


static void
test_remote_make(test_remote_call_t *c, uint32_t index)
{
    ngx_memzero(c, sizeof(test_remote_call_t));

    c->call.question.type = NGX_AUTOCERT_PROTOCOL_CHAIN;
    c->call.question.index = index;
    c->call.ready = test_remote_ready;
}


static ngx_int_t
test_remote_ask(uint32_t index, ngx_autocert_answer_t *answer)
{
    ngx_int_t  rc;

    static test_remote_call_t  c;

    test_remote_make(&c, index);

    rc = ngx_autocert_remote_ask(test_remote, &c.call);

    if (rc == NGX_OK) {
        assert_int_equal(c.ended, 1);
        *answer = c.answer;
    }

    /* nothing of it is left behind */

    assert_true(ngx_queue_empty(&test_remote->calls));
    assert_int_equal(test_remote->nunsent, 0);

    return rc;
}


static int64_t
test_remote_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static int
test_remote_setup(void **state)
{
    (void) state;

    test_remote = calloc(1, sizeof(ngx_autocert_remote_t));
    if (test_remote == NULL) {
        return 1;
    }

    test_remote->connect = test_remote_connect;
    test_remote->close = test_remote_close;
    ngx_autocert_remote_init(test_remote);

    ngx_memzero(test_remote_scripts, sizeof(test_remote_scripts));
    ngx_memzero(test_remote_takens, sizeof(test_remote_takens));
    test_remote_connects = 0;
    test_remote_closes = 0;
    test_remote_refuse = 0;

    return 0;
}


static int
test_remote_teardown(void **state)
{
    (void) state;

    test_remote_close(test_remote);

    while (test_remote_connects) {
        (void) close(test_remote_peer[--test_remote_connects]);
    }

    free(test_remote);

    return 0;
}


static void
test_remote_answered(void **state)
{
    ngx_uint_t               i;
    ngx_autocert_answer_t    answer;
    ngx_autocert_question_t  q;

    (void) state;

    test_remote_scripts[0][0] = TEST_REMOTE_READY;
    test_remote_scripts[0][1] = TEST_REMOTE_ANSWER;

    for (i = 0; i < 3; i++) {

        if (i > 0) {
            test_remote_say(TEST_REMOTE_ANSWER);
        }

        assert_int_equal(test_remote_ask(40 + i, &answer), NGX_OK);
        assert_int_equal(answer.type, NGX_AUTOCERT_PROTOCOL_CHAIN);
        assert_true(answer.number == test_remote->number);
        assert_int_equal(answer.body.len, 6);
        assert_memory_equal(answer.body.data, "answer", 6);

        assert_int_equal(test_remote_taken(0, &q), NGX_OK);
        assert_int_equal(q.type, NGX_AUTOCERT_PROTOCOL_CHAIN);
        assert_int_equal(q.index, 40 + i);
        assert_true(q.number == test_remote->number);
    }

    assert_int_equal(test_remote_connects, 1);
    assert_int_equal(test_remote_closes, 0);
}


static void
test_remote_signs(void **state)
{
    test_remote_call_t       c;
    ngx_autocert_question_t  q;

    (void) state;

    test_remote_make(&c, 7);
    c.call.question.type = NGX_AUTOCERT_PROTOCOL_SIGN;
    ngx_memset(c.call.question.id, 'i', NGX_AUTOCERT_KEY_ID);
    ngx_str_set(&c.call.question.digest, "digest");

    test_remote_scripts[0][0] = TEST_REMOTE_OTHER;

    assert_int_equal(ngx_autocert_remote_ask(test_remote, &c.call), NGX_OK);
    assert_int_equal(c.answer.body.len, 6);

    assert_int_equal(test_remote_taken(0, &q), NGX_OK);
    assert_int_equal(q.type, NGX_AUTOCERT_PROTOCOL_SIGN);
    assert_int_equal(q.index, 7);
    assert_memory_equal(q.id, c.call.question.id, NGX_AUTOCERT_KEY_ID);
    assert_int_equal(q.digest.len, 6);
    assert_memory_equal(q.digest.data, "digest", 6);
}


/* Refusals are answers: the channel stays, and the next one is asked. */

static void
test_remote_refused(void **state)
{
    ngx_uint_t               i;
    ngx_autocert_answer_t    answer;
    ngx_autocert_question_t  q;

    static test_remote_step_e  steps[] = { TEST_REMOTE_NONE,
                                           TEST_REMOTE_FAILED,
                                           TEST_REMOTE_OTHER };

    (void) state;

    assert_true(test_remote_connect(test_remote) != -1);

    for (i = 0; i < 3; i++) {
        test_remote_say(steps[i]);
        assert_int_equal(test_remote_ask(0, &answer), NGX_ERROR);
        assert_int_equal(test_remote_taken(0, &q), NGX_OK);
    }

    test_remote_say(TEST_REMOTE_ANSWER);
    assert_int_equal(test_remote_ask(0, &answer), NGX_OK);

    assert_int_equal(test_remote_connects, 1);
    assert_int_equal(test_remote_closes, 0);
}


static void
test_remote_timeout(void **state)
{
    int64_t                  start;
    ngx_uint_t               i;
    ngx_autocert_answer_t    answer;
    ngx_autocert_question_t  q;

    (void) state;

    start = test_remote_now();

    assert_int_equal(test_remote_ask(1, &answer), NGX_ERROR);

    assert_true(test_remote_now() - start >= NGX_AUTOCERT_REMOTE_TIMEOUT);
    assert_int_equal(test_remote_taken(0, &q), NGX_OK);

    /* the next ones do not wait, for they do not ask */

    for (i = 0; i < 1000; i++) {
        assert_int_equal(test_remote_ask(2, &answer), NGX_ERROR);
    }

    assert_int_equal(test_remote_taken(0, &q), NGX_DECLINED);
    assert_int_equal(test_remote_closes, 0);

    /* the answer to what was given up says that the helper lives */

    test_remote_say(TEST_REMOTE_EARLIER);
    test_remote_say(TEST_REMOTE_ANSWER);

    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    test_remote_say(TEST_REMOTE_ANSWER);

    assert_int_equal(test_remote_ask(3, &answer), NGX_OK);
    assert_int_equal(test_remote_taken(0, &q), NGX_OK);
    assert_int_equal(q.index, 3);

    assert_int_equal(test_remote_connects, 1);
}


/* The answer has come before the event loop has looked. */

static void
test_remote_timeout_over(void **state)
{
    ngx_autocert_answer_t    answer;
    ngx_autocert_question_t  q;

    (void) state;

    assert_int_equal(test_remote_ask(1, &answer), NGX_ERROR);
    assert_int_equal(test_remote_taken(0, &q), NGX_OK);

    test_remote_say(TEST_REMOTE_READY);

    /* nobody answers this one, but it is asked again */

    assert_int_equal(test_remote_ask(4, &answer), NGX_ERROR);
    assert_int_equal(test_remote_taken(0, &q), NGX_OK);
    assert_int_equal(q.index, 4);
}


/* Nor has the event loop seen that it died: its successor is waited for. */

static void
test_remote_timeout_dead(void **state)
{
    ngx_autocert_answer_t  answer;

    (void) state;

    assert_int_equal(test_remote_ask(1, &answer), NGX_ERROR);
    assert_int_equal(test_remote->down, 1);

    assert_int_equal(shutdown(test_remote_peer[0], SHUT_RDWR), 0);

    test_remote_scripts[1][0] = TEST_REMOTE_ANSWER;

    assert_int_equal(test_remote_ask(2, &answer), NGX_OK);
    assert_int_equal(test_remote_connects, 2);
    assert_int_equal(test_remote_closes, 1);
}


/* Answers to earlier questions are passed over. */

static void
test_remote_late_answer(void **state)
{
    ngx_autocert_answer_t  answer;

    static test_remote_step_e  script[] = {
        TEST_REMOTE_READY, TEST_REMOTE_EARLIER, TEST_REMOTE_EARLIER,
        TEST_REMOTE_READY, TEST_REMOTE_ANSWER, TEST_REMOTE_DONE
    };

    (void) state;

    test_remote->number = 5;
    ngx_memcpy(test_remote_scripts[0], script, sizeof(script));

    assert_int_equal(test_remote_ask(9, &answer), NGX_OK);
    assert_true(answer.number == 6);
    assert_int_equal(answer.type, NGX_AUTOCERT_PROTOCOL_CHAIN);
}


/* A helper that dies over a question: its successor gets it again. */

static void
test_remote_reconnect(void **state)
{
    ngx_uint_t               i;
    ngx_autocert_answer_t    answer;
    ngx_autocert_question_t  q;

    (void) state;

    test_remote_scripts[0][0] = TEST_REMOTE_READY;
    test_remote_scripts[0][1] = TEST_REMOTE_CLOSE;

    test_remote_scripts[1][0] = TEST_REMOTE_READY;
    test_remote_scripts[1][1] = TEST_REMOTE_GARBAGE;

    test_remote_scripts[2][0] = TEST_REMOTE_READY;
    test_remote_scripts[2][1] = TEST_REMOTE_ANSWER;

    assert_int_equal(test_remote_ask(11, &answer), NGX_OK);
    assert_true(answer.number == test_remote->number);

    assert_int_equal(test_remote_connects, 3);
    assert_int_equal(test_remote_closes, 2);

    for (i = 0; i < 3; i++) {
        assert_int_equal(test_remote_taken(i, &q), NGX_OK);
        assert_int_equal(q.index, 11);
        assert_true(q.number == test_remote->number);
    }
}


/* It has died since: seen when the question is sent. */

static void
test_remote_dead(void **state)
{
    ngx_autocert_answer_t  answer;

    (void) state;

    assert_true(test_remote_connect(test_remote) != -1);
    assert_int_equal(shutdown(test_remote_peer[0], SHUT_RDWR), 0);

    test_remote_scripts[1][0] = TEST_REMOTE_ANSWER;

    assert_int_equal(test_remote_ask(2, &answer), NGX_OK);
    assert_int_equal(test_remote_connects, 2);
    assert_int_equal(test_remote_closes, 1);
}


static void
test_remote_nobody(void **state)
{
    ngx_autocert_answer_t  answer;

    (void) state;

    test_remote_refuse = 1;
    assert_int_equal(test_remote_ask(1, &answer), NGX_ERROR);
    assert_int_equal(test_remote->fd, -1);

    /* that was no time-out: the next one tries */

    test_remote_refuse = 0;
    test_remote_scripts[0][0] = TEST_REMOTE_ANSWER;
    assert_int_equal(test_remote_ask(2, &answer), NGX_OK);
}


/* The successor can't be reached either. */

static void
test_remote_nobody_after(void **state)
{
    ngx_autocert_answer_t  answer;

    (void) state;

    assert_true(test_remote_connect(test_remote) != -1);
    assert_int_equal(shutdown(test_remote_peer[0], SHUT_RDWR), 0);

    test_remote_refuse = 1;
    assert_int_equal(test_remote_ask(2, &answer), NGX_ERROR);
    assert_int_equal(test_remote->fd, -1);
    assert_int_equal(test_remote_closes, 1);
}


/* Its queue is full: there is no room for a question. */

static void
test_remote_deaf(void **state)
{
    u_char                 frame[16];
    ngx_autocert_answer_t  answer;

    (void) state;

    assert_true(test_remote_connect(test_remote) != -1);

    ngx_memzero(frame, sizeof(frame));

    while (send(test_remote->fd, frame, sizeof(frame), MSG_NOSIGNAL) != -1) {
        /* void */
    }

    assert_true(errno == EAGAIN);

    assert_int_equal(test_remote_ask(1, &answer), NGX_ERROR);
    assert_int_equal(test_remote_ask(1, &answer), NGX_ERROR);
    assert_int_equal(test_remote_closes, 0);
}


static void
test_remote_takes(void **state)
{
    (void) state;

    assert_true(test_remote_connect(test_remote) != -1);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    test_remote_say(TEST_REMOTE_READY);
    test_remote_say(TEST_REMOTE_EARLIER);
    test_remote_say(TEST_REMOTE_ANSWER);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    test_remote_say(TEST_REMOTE_READY);
    test_remote_say(TEST_REMOTE_CLOSE);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_DECLINED);
}


static void
test_remote_takes_garbage(void **state)
{
    (void) state;

    assert_true(test_remote_connect(test_remote) != -1);

    test_remote_say(TEST_REMOTE_GARBAGE);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_DECLINED);
}


/* Many at once leave together, and end in the order of their answers. */

static void
test_remote_many(void **state)
{
    ngx_uint_t               i;
    test_remote_call_t       c[40];
    ngx_autocert_question_t  q;

    (void) state;

    for (i = 0; i < 40; i++) {
        test_remote_make(&c[i], i);
        ngx_autocert_remote_start(test_remote, &c[i].call);
    }

    assert_int_equal(test_remote_connects, 0);
    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);
    assert_int_equal(test_remote->nunsent, 0);

    for (i = 0; i < 40; i++) {
        assert_int_equal(test_remote_taken(0, &q), NGX_OK);
        assert_int_equal(q.index, i);
        assert_int_equal(test_remote_takens[0].frames, i / 16 + 1);
    }

    assert_int_equal(test_remote_taken(0, &q), NGX_DECLINED);

    /* the last one first; one that is not there; one that was given up */

    ngx_autocert_remote_cancel(test_remote, &c[5].call);

    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, 40);
    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, 41);
    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, 6);

    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    for (i = 0; i < 40; i++) {
        assert_int_equal(c[i].ended, i == 39 ? 1 : 0);
    }

    for (i = 0; i < 39; i++) {
        test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                        i % 2 ? NGX_AUTOCERT_PROTOCOL_OK
                              : NGX_AUTOCERT_PROTOCOL_NONE, i + 1);
    }

    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    for (i = 0; i < 39; i++) {
        assert_int_equal(c[i].ended, i == 5 ? 0 : 1);
        assert_int_equal(c[i].answer.body.len, (i % 2 && i != 5) ? 6 : 0);
    }

    assert_true(ngx_queue_empty(&test_remote->calls));
}


/* The longest frame that there is, and questions of both kinds in one. */

static void
test_remote_mixed(void **state)
{
    u_char                   digest[NGX_AUTOCERT_PROTOCOL_DIGEST];
    ngx_uint_t               i;
    test_remote_call_t       c[32];
    ngx_autocert_question_t  q;

    (void) state;

    ngx_memset(digest, 'd', sizeof(digest));

    for (i = 0; i < 32; i++) {
        test_remote_make(&c[i], i);

        if (i < 16 || i % 2) {
            c[i].call.question.type = NGX_AUTOCERT_PROTOCOL_SIGN;
            c[i].call.question.digest.data = digest;
            c[i].call.question.digest.len = (i < 16) ? sizeof(digest) : i;
            ngx_memset(c[i].call.question.id, i, NGX_AUTOCERT_KEY_ID);
        }

        ngx_autocert_remote_start(test_remote, &c[i].call);
    }

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);

    for (i = 0; i < 32; i++) {
        assert_int_equal(test_remote_taken(0, &q), NGX_OK);

        assert_int_equal(q.index, i);
        assert_true(q.number == i + 1);
        assert_int_equal(q.type, c[i].call.question.type);
        assert_int_equal(q.digest.len, c[i].call.question.digest.len);
        assert_memory_equal(q.id, c[i].call.question.id, NGX_AUTOCERT_KEY_ID);

        if (i == 0) {
            assert_int_equal(test_remote_takens[0].end
                             - test_remote_takens[0].frame,
                             NGX_AUTOCERT_PROTOCOL_BATCH
                             * NGX_AUTOCERT_PROTOCOL_QUESTION);
        }
    }

    assert_int_equal(test_remote_takens[0].frames, 2);
}


/* There is no room for the last frames: what is in them stays unsent. */

static void
test_remote_no_room(void **state)
{
    int                      size;
    ngx_uint_t               i, sent;
    test_remote_call_t       c[200];
    ngx_autocert_question_t  q;

    (void) state;

    assert_true(test_remote_connect(test_remote) != -1);

    size = 1;
    assert_int_equal(setsockopt(test_remote->fd, SOL_SOCKET, SO_SNDBUF, &size,
                                sizeof(size)),
                     0);

    for (i = 0; i < 200; i++) {
        test_remote_make(&c[i], i);
        ngx_autocert_remote_start(test_remote, &c[i].call);
    }

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_AGAIN);

    sent = 200 - test_remote->nunsent;

    assert_true(sent > 0 && sent < 200 && sent % 16 == 0);

    for (i = 0; i < 200; i++) {
        assert_int_equal(c[i].call.sent, i < sent);
    }

    /* one of them is given up, one can't have been answered */

    ngx_autocert_remote_cancel(test_remote, &c[sent + 1].call);
    assert_int_equal(test_remote->nunsent, 200 - sent - 1);

    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, sent + 1);
    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, sent);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    assert_int_equal(c[sent].ended, 0);
    assert_int_equal(c[sent - 1].ended, 1);

    /* each goes out once, in the order in which it was asked */

    for (i = 0; i < 200; i++) {

        if (i == sent + 1) {
            continue;
        }

        if (test_remote_taken(0, &q) != NGX_OK) {
            (void) ngx_autocert_remote_flush(test_remote);
            assert_int_equal(test_remote_taken(0, &q), NGX_OK);
        }

        assert_int_equal(q.index, i);
    }

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);
    assert_int_equal(test_remote->nunsent, 0);
    assert_int_equal(test_remote_taken(0, &q), NGX_DECLINED);
    assert_int_equal(test_remote_closes, 0);
}


static void
test_remote_answers(void **state)
{
    ngx_uint_t          i;
    test_remote_call_t  c[6];

    /* one of them twice, one of nobody, one that was given up */
    static uint64_t  numbers[] = { 1, 3, 2, 3, 77, 4, 5 };

    (void) state;

    for (i = 0; i < 6; i++) {
        test_remote_make(&c[i], i);
        ngx_autocert_remote_start(test_remote, &c[i].call);
    }

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);

    ngx_autocert_remote_cancel(test_remote, &c[3].call);
    test_remote->down = 1;

    test_remote_put_all(test_remote_peer[0], numbers, 7, "");
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    for (i = 0; i < 6; i++) {
        assert_int_equal(c[i].ended, i == 3 || i == 5 ? 0 : 1);

        if (c[i].ended) {
            assert_true(c[i].answer.number == i + 1);
            assert_int_equal(c[i].answer.body.len, 6);
            assert_memory_equal(c[i].body, "answer", 6);
        }
    }

    assert_int_equal(test_remote->down, 0);
    assert_int_equal(test_remote_closes, 0);
}


/* What was said before the nonsense holds; the rest is asked elsewhere. */

static void
test_remote_answers_garbage(void **state)
{
    ngx_uint_t               i;
    test_remote_call_t       c[6];
    ngx_autocert_question_t  q;

    static uint64_t  numbers[] = { 2, 1 };

    (void) state;

    for (i = 0; i < 6; i++) {
        test_remote_make(&c[i], i);
        ngx_autocert_remote_start(test_remote, &c[i].call);
    }

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);

    ngx_autocert_remote_cancel(test_remote, &c[4].call);

    test_remote_put_all(test_remote_peer[0], numbers, 2, "garbage");
    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, 3);

    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_DECLINED);
    assert_int_equal(test_remote_closes, 1);
    assert_int_equal(test_remote->nunsent, 3);

    for (i = 0; i < 6; i++) {
        assert_int_equal(c[i].ended, i < 2);
        assert_int_equal(c[i].answer.body.len, i < 2 ? 6 : 0);
    }

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);

    for (i = 2; i < 6; i++) {
        if (i != 4) {
            assert_int_equal(test_remote_taken(1, &q), NGX_OK);
            assert_int_equal(q.index, i);
            assert_true(q.number == i + 1);
        }
    }

    assert_int_equal(test_remote_takens[1].frames, 1);
    assert_int_equal(test_remote_taken(1, &q), NGX_DECLINED);
}


/* A frame as long as one may be; one byte more is not passed over. */

static void
test_remote_answers_long(void **state)
{
    size_t                  len;
    u_char                 *frame, *body;
    ngx_autocert_answer_t   answer;

    (void) state;

    frame = calloc(1, NGX_AUTOCERT_PROTOCOL_SIZE + 1);
    body = calloc(1, NGX_AUTOCERT_PROTOCOL_SIZE);
    assert_non_null(frame);
    assert_non_null(body);

    ngx_memzero(&answer, sizeof(ngx_autocert_answer_t));
    answer.type = NGX_AUTOCERT_PROTOCOL_CHAIN;
    answer.number = 77;
    answer.body.data = body;
    answer.body.len = NGX_AUTOCERT_PROTOCOL_SIZE - 32;

    len = ngx_autocert_protocol_answer_put(&answer, frame,
                                           NGX_AUTOCERT_PROTOCOL_SIZE);
    assert_int_equal(len, NGX_AUTOCERT_PROTOCOL_SIZE);

    assert_true(test_remote_connect(test_remote) != -1);

    assert_int_equal(send(test_remote_peer[0], frame, len, MSG_NOSIGNAL), len);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_OK);

    len++;

    assert_int_equal(send(test_remote_peer[0], frame, len, MSG_NOSIGNAL), len);
    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_DECLINED);
    assert_int_equal(test_remote_closes, 1);

    free(frame);
    free(body);
}


/* What a helper that dies leaves unanswered goes to its successor. */

static void
test_remote_again(void **state)
{
    ngx_uint_t               i;
    test_remote_call_t       c[4];
    ngx_autocert_question_t  q;

    (void) state;

    for (i = 0; i < 4; i++) {
        test_remote_make(&c[i], i);
        ngx_autocert_remote_start(test_remote, &c[i].call);
    }

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);

    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, 1);
    assert_int_equal(shutdown(test_remote_peer[0], SHUT_RDWR), 0);

    ngx_autocert_remote_cancel(test_remote, &c[2].call);

    assert_int_equal(ngx_autocert_remote_take(test_remote), NGX_DECLINED);
    assert_int_equal(c[0].ended, 1);
    assert_int_equal(test_remote->nunsent, 2);

    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);
    assert_int_equal(test_remote_connects, 2);

    assert_int_equal(test_remote_taken(1, &q), NGX_OK);
    assert_int_equal(q.index, 1);
    assert_true(q.number == 2);
    assert_int_equal(test_remote_taken(1, &q), NGX_OK);
    assert_int_equal(q.index, 3);
    assert_int_equal(test_remote_taken(1, &q), NGX_DECLINED);

    ngx_autocert_remote_fail(test_remote);

    assert_int_equal(c[1].ended, 1);
    assert_int_equal(c[2].ended, 0);
    assert_int_equal(c[3].ended, 1);
    assert_int_equal(c[3].answer.body.len, 0);
}


/* One that is waited for does not hold the others up. */

static void
test_remote_beside(void **state)
{
    test_remote_call_t     c;
    ngx_autocert_answer_t  answer;

    (void) state;

    test_remote_make(&c, 1);
    ngx_autocert_remote_start(test_remote, &c.call);
    assert_int_equal(ngx_autocert_remote_flush(test_remote), NGX_OK);

    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, 1);
    test_remote_put(test_remote_peer[0], NGX_AUTOCERT_PROTOCOL_CHAIN,
                    NGX_AUTOCERT_PROTOCOL_OK, 2);

    assert_int_equal(test_remote_ask(2, &answer), NGX_OK);
    assert_true(answer.number == 2);
    assert_int_equal(c.ended, 1);
}


#define test_remote_unit(f)                                                  \
    cmocka_unit_test_setup_teardown(f, test_remote_setup,                    \
                                    test_remote_teardown)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_remote_unit(test_remote_answered),
        test_remote_unit(test_remote_signs),
        test_remote_unit(test_remote_refused),
        test_remote_unit(test_remote_timeout),
        test_remote_unit(test_remote_timeout_over),
        test_remote_unit(test_remote_timeout_dead),
        test_remote_unit(test_remote_late_answer),
        test_remote_unit(test_remote_reconnect),
        test_remote_unit(test_remote_dead),
        test_remote_unit(test_remote_many),
        test_remote_unit(test_remote_mixed),
        test_remote_unit(test_remote_no_room),
        test_remote_unit(test_remote_answers),
        test_remote_unit(test_remote_answers_garbage),
        test_remote_unit(test_remote_answers_long),
        test_remote_unit(test_remote_again),
        test_remote_unit(test_remote_beside),
        test_remote_unit(test_remote_nobody),
        test_remote_unit(test_remote_nobody_after),
        test_remote_unit(test_remote_deaf),
        test_remote_unit(test_remote_takes),
        test_remote_unit(test_remote_takes_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
