
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/keys/ngx_autocert_protocol.h"


#define TEST_PROTOCOL_SIZE  256


/* The length of the message that the frame begins with, or 0. */

typedef size_t (*test_protocol_get_pt)(u_char *frame, size_t len);


typedef struct {
    char                  *name;
    test_protocol_get_pt   get;
    u_char                *frame;
    size_t                 len;
    ngx_uint_t             alone;   /* nothing may stand behind it */
} test_protocol_frame_t;


static u_char  test_protocol_hello_frame[] = {
    0x61, 0x63, 0x6d, 0x65,
    0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x07,
    0x00, 0x01, 0xe2, 0x40
};


static u_char  test_protocol_chain_frame[] = {
    0x00, 0x00, 0x00, 0x02,
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
    0x00, 0x00, 0x00, 0x2a
};


static u_char  test_protocol_sign_frame[] = {
    0x00, 0x00, 0x00, 0x03,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
    0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
    0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
    0x00, 0x00, 0x00, 0x04, 'h', 'a', 's', 'h'
};


static u_char  test_protocol_answer_frame[] = {
    0x00, 0x00, 0x00, 0x02,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09,
    0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x01,
    0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x03, 'd', 'e', 'r'
};


static size_t
test_protocol_hello_get(u_char *frame, size_t len)
{
    ngx_int_t             rc;
    ngx_autocert_hello_t  hello;

    rc = ngx_autocert_protocol_hello_get(&hello, frame, len);

    return (rc == NGX_OK) ? len : 0;
}


static size_t
test_protocol_question_get(u_char *frame, size_t len)
{
    ngx_autocert_question_t  question;

    return ngx_autocert_protocol_question_get(&question, frame, len);
}


static size_t
test_protocol_answer_get(u_char *frame, size_t len)
{
    ngx_autocert_answer_t  answer;

    return ngx_autocert_protocol_answer_get(&answer, frame, len);
}


static test_protocol_frame_t  test_protocol_frames[] = {
    { "hello", test_protocol_hello_get, test_protocol_hello_frame,
      sizeof(test_protocol_hello_frame), 1 },
    { "chain", test_protocol_question_get, test_protocol_chain_frame,
      sizeof(test_protocol_chain_frame), 0 },
    { "sign", test_protocol_question_get, test_protocol_sign_frame,
      sizeof(test_protocol_sign_frame), 0 },
    { "answer", test_protocol_answer_get, test_protocol_answer_frame,
      sizeof(test_protocol_answer_frame), 0 },
    { NULL, NULL, NULL, 0, 0 }
};


/* In memory of exactly its length, so that a read beyond it is seen. */

static size_t
test_protocol_get(test_protocol_frame_t *f, size_t len)
{
    size_t   n;
    u_char  *p;

    p = malloc(len ? len : 1);
    assert_non_null(p);

    ngx_memzero(p, len ? len : 1);
    ngx_memcpy(p, f->frame, ngx_min(len, f->len));

    n = f->get(p, len);

    free(p);

    return n;
}


static void
test_protocol_cut_and_trailing(void **state)
{
    size_t                  len, n;
    test_protocol_frame_t  *f;

    (void) state;

    for (f = test_protocol_frames; f->name; f++) {

        for (len = 0; len < f->len + 9; len++) {

            n = (len == f->len || (len > f->len && !f->alone)) ? f->len : 0;

            if (test_protocol_get(f, len) != n) {
                fail_msg("%s, %zu bytes of %zu", f->name, len, f->len);
            }
        }
    }
}


static void
test_protocol_hello(void **state)
{
    u_char                frame[NGX_AUTOCERT_PROTOCOL_HELLO];
    size_t                size;
    ngx_autocert_hello_t  hello;

    (void) state;

    assert_int_equal(sizeof(test_protocol_hello_frame),
                     NGX_AUTOCERT_PROTOCOL_HELLO);

    assert_int_equal(ngx_autocert_protocol_hello_get(&hello,
                                       test_protocol_hello_frame,
                                       sizeof(test_protocol_hello_frame)),
                     NGX_OK);

    assert_int_equal(hello.worker, 7);
    assert_int_equal(hello.pid, 123456);

    for (size = 0; size < sizeof(frame); size++) {
        assert_int_equal(ngx_autocert_protocol_hello_put(&hello, frame, size),
                         0);
    }

    assert_int_equal(ngx_autocert_protocol_hello_put(&hello, frame, size),
                     size);
    assert_memory_equal(frame, test_protocol_hello_frame, size);
}


/* Any bit of the magic or of the version makes it another protocol. */

static void
test_protocol_hello_foreign(void **state)
{
    u_char      frame[NGX_AUTOCERT_PROTOCOL_HELLO];
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < 8 * sizeof(frame); i++) {
        ngx_memcpy(frame, test_protocol_hello_frame, sizeof(frame));
        frame[i / 8] ^= 1 << i % 8;

        assert_int_equal(test_protocol_hello_get(frame, sizeof(frame)),
                         i < 64 ? 0 : sizeof(frame));
    }
}


static void
test_protocol_question_chain(void **state)
{
    u_char                   frame[TEST_PROTOCOL_SIZE];
    size_t                   size;
    ngx_autocert_question_t  q;

    (void) state;

    size = sizeof(test_protocol_chain_frame);

    assert_int_equal(ngx_autocert_protocol_question_get(&q,
                                            test_protocol_chain_frame, size),
                     size);

    assert_int_equal(q.type, NGX_AUTOCERT_PROTOCOL_CHAIN);
    assert_true(q.number == 0x0102030405060708ULL);
    assert_int_equal(q.index, 42);
    assert_int_equal(q.digest.len, 0);

    assert_int_equal(ngx_autocert_protocol_question_put(&q, frame, size - 1),
                     0);
    assert_int_equal(ngx_autocert_protocol_question_put(&q, frame,
                                                        sizeof(frame)),
                     size);
    assert_memory_equal(frame, test_protocol_chain_frame, size);
}


static void
test_protocol_question_sign(void **state)
{
    u_char                   frame[TEST_PROTOCOL_SIZE];
    size_t                   i, size;
    ngx_autocert_question_t  q;

    (void) state;

    size = sizeof(test_protocol_sign_frame);

    assert_int_equal(ngx_autocert_protocol_question_get(&q,
                                             test_protocol_sign_frame, size),
                     size);

    assert_int_equal(q.type, NGX_AUTOCERT_PROTOCOL_SIGN);
    assert_true(q.number == 0xffffffffffffffffULL);
    assert_int_equal(q.index, 0);
    assert_int_equal(q.digest.len, 4);
    assert_memory_equal(q.digest.data, "hash", 4);

    for (i = 0; i < NGX_AUTOCERT_KEY_ID; i++) {
        assert_int_equal(q.id[i], i);
    }

    for (i = 0; i < size; i++) {
        assert_int_equal(ngx_autocert_protocol_question_put(&q, frame, i), 0);
    }

    assert_int_equal(ngx_autocert_protocol_question_put(&q, frame, size),
                     size);
    assert_memory_equal(frame, test_protocol_sign_frame, size);
}


static void
test_protocol_question_digest(void **state)
{
    u_char                   frame[TEST_PROTOCOL_SIZE], digest[128];
    size_t                   len, n, got_len;
    ngx_autocert_question_t  q, got;

    (void) state;

    ngx_memset(digest, 'd', sizeof(digest));
    ngx_memzero(&q, sizeof(ngx_autocert_question_t));

    q.type = NGX_AUTOCERT_PROTOCOL_SIGN;
    q.digest.data = digest;

    for (len = 0; len <= sizeof(digest); len++) {
        q.digest.len = len;

        n = ngx_autocert_protocol_question_put(&q, frame, sizeof(frame));
        assert_int_equal(n, 52 + len);

        got_len = ngx_autocert_protocol_question_get(&got, frame, n);

        assert_int_equal(got_len, len >= 1
                                  && len <= NGX_AUTOCERT_PROTOCOL_DIGEST
                                  ? n : 0);

        if (got_len) {
            assert_true(n <= NGX_AUTOCERT_PROTOCOL_QUESTION);
            assert_int_equal(got.digest.len, len);
            assert_ptr_equal(got.digest.data, frame + 52);
        }
    }

    /* the greatest of all */

    q.digest.len = NGX_AUTOCERT_PROTOCOL_DIGEST;

    assert_int_equal(ngx_autocert_protocol_question_put(&q, frame,
                                             NGX_AUTOCERT_PROTOCOL_QUESTION),
                     NGX_AUTOCERT_PROTOCOL_QUESTION);
}


static void
test_protocol_question_types(void **state)
{
    size_t      chain, sign;
    u_char      frame[sizeof(test_protocol_sign_frame)];
    ngx_uint_t  i, asks;

    static uint32_t  types[] = {
        0, NGX_AUTOCERT_PROTOCOL_READY, NGX_AUTOCERT_PROTOCOL_CHAIN,
        NGX_AUTOCERT_PROTOCOL_SIGN, NGX_AUTOCERT_PROTOCOL_UNFIT, 5, 0x102,
        0x02000000, 0x80000003, 0xffffffff
    };

    (void) state;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {

        ngx_memcpy(frame, test_protocol_sign_frame, sizeof(frame));

        frame[0] = (u_char) (types[i] >> 24);
        frame[1] = (u_char) (types[i] >> 16);
        frame[2] = (u_char) (types[i] >> 8);
        frame[3] = (u_char) types[i];

        chain = test_protocol_question_get(frame,
                                           sizeof(test_protocol_chain_frame));
        sign = test_protocol_question_get(frame, sizeof(frame));

        /* a chain is whole there, whatever follows */

        asks = types[i] == NGX_AUTOCERT_PROTOCOL_CHAIN
               || types[i] == NGX_AUTOCERT_PROTOCOL_UNFIT;

        assert_int_equal(chain, asks ? sizeof(test_protocol_chain_frame) : 0);

        if (!asks) {
            assert_int_equal(sign, types[i] == NGX_AUTOCERT_PROTOCOL_SIGN
                                   ? sizeof(frame) : 0);
        }
    }
}


/* A length that is not the one of what follows. */

static void
test_protocol_lying_length(void **state)
{
    u_char      frame[TEST_PROTOCOL_SIZE];
    size_t      at, n;
    ngx_uint_t  i, f;

    static u_char  lies[][4] = {
        { 0x00, 0x00, 0x00, 0x00 },
        { 0x00, 0x00, 0x00, 0x01 },
        { 0x00, 0x00, 0x00, 0x05 },
        { 0x00, 0x00, 0x01, 0x03 },
        { 0x03, 0x00, 0x00, 0x00 },
        { 0x7f, 0xff, 0xff, 0xff },
        { 0xff, 0xff, 0xff, 0xff },
    };

    (void) state;

    for (f = 2; f < 4; f++) {
        at = (f == 2) ? 48 : 28;

        for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
            ngx_memcpy(frame, test_protocol_frames[f].frame,
                       test_protocol_frames[f].len);
            ngx_memcpy(frame + at, lies[i], 4);

            n = test_protocol_frames[f].get(frame,
                                            test_protocol_frames[f].len);

            /* one that is too small leaves bytes that are no message */

            if (n != 0) {
                assert_true(lies[i][0] == 0 && lies[i][2] == 0);
                assert_int_equal(n, at + 4 + lies[i][3]);
                assert_true(n < test_protocol_frames[f].len);

                assert_int_equal(test_protocol_frames[f].get(frame + n,
                                             test_protocol_frames[f].len - n),
                                 0);
            }
        }
    }
}


static void
test_protocol_answer(void **state)
{
    u_char                 frame[TEST_PROTOCOL_SIZE];
    size_t                 i, size;
    ngx_autocert_answer_t  a;

    (void) state;

    size = sizeof(test_protocol_answer_frame);

    assert_int_equal(ngx_autocert_protocol_answer_get(&a,
                                           test_protocol_answer_frame, size),
                     size);

    assert_int_equal(a.type, NGX_AUTOCERT_PROTOCOL_CHAIN);
    assert_true(a.number == 9);
    assert_int_equal(a.status, NGX_AUTOCERT_PROTOCOL_OK);
    assert_int_equal(a.bootstrap, 1);
    assert_true(a.generation == 0x8000000000000001ULL);
    assert_int_equal(a.body.len, 3);
    assert_ptr_equal(a.body.data, test_protocol_answer_frame + 32);

    for (i = 0; i < size; i++) {
        assert_int_equal(ngx_autocert_protocol_answer_put(&a, frame, i), 0);
    }

    assert_int_equal(ngx_autocert_protocol_answer_put(&a, frame, size), size);
    assert_memory_equal(frame, test_protocol_answer_frame, size);
}


/* The largest body that a frame has room for, and one byte more. */

static void
test_protocol_answer_room(void **state)
{
    u_char                 *frame, *body;
    ngx_autocert_answer_t   a;

    (void) state;

    frame = malloc(NGX_AUTOCERT_PROTOCOL_SIZE);
    body = calloc(1, NGX_AUTOCERT_PROTOCOL_SIZE);
    assert_non_null(frame);
    assert_non_null(body);

    ngx_memzero(&a, sizeof(ngx_autocert_answer_t));
    a.body.data = body;
    a.body.len = NGX_AUTOCERT_PROTOCOL_SIZE - 32;

    assert_int_equal(ngx_autocert_protocol_answer_put(&a, frame,
                                                  NGX_AUTOCERT_PROTOCOL_SIZE),
                     NGX_AUTOCERT_PROTOCOL_SIZE);
    assert_int_equal(ngx_autocert_protocol_answer_get(&a, frame,
                                                  NGX_AUTOCERT_PROTOCOL_SIZE),
                     NGX_AUTOCERT_PROTOCOL_SIZE);

    a.body.data = body;
    a.body.len++;

    assert_int_equal(ngx_autocert_protocol_answer_put(&a, frame,
                                                  NGX_AUTOCERT_PROTOCOL_SIZE),
                     0);

    free(frame);
    free(body);
}


/* All that the frame is made of, one behind the other, at its own length. */

static void
test_protocol_behind(void **state)
{
    size_t                  n, len;
    u_char                 *frame, *p;
    ngx_uint_t              i;
    test_protocol_frame_t  *f;

    static ngx_uint_t  order[] = { 2, 1, 1, 2, 3, 3 };

    (void) state;

    len = 0;

    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        len += test_protocol_frames[order[i]].len;
    }

    frame = malloc(len);
    assert_non_null(frame);

    p = frame;

    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        f = &test_protocol_frames[order[i]];
        p = ngx_cpymem(p, f->frame, f->len);
    }

    p = frame;

    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        f = &test_protocol_frames[order[i]];

        n = f->get(p, frame + len - p);
        assert_int_equal(n, f->len);

        p += n;
    }

    assert_ptr_equal(p, frame + len);

    free(frame);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_protocol_cut_and_trailing),
        cmocka_unit_test(test_protocol_hello),
        cmocka_unit_test(test_protocol_hello_foreign),
        cmocka_unit_test(test_protocol_question_chain),
        cmocka_unit_test(test_protocol_question_sign),
        cmocka_unit_test(test_protocol_question_digest),
        cmocka_unit_test(test_protocol_question_types),
        cmocka_unit_test(test_protocol_lying_length),
        cmocka_unit_test(test_protocol_answer),
        cmocka_unit_test(test_protocol_answer_room),
        cmocka_unit_test(test_protocol_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
