
#include <ngx_config.h>
#include <ngx_core.h>

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/sha.h>

#include "../../src/base/ngx_autocert_wire.h"
#include "../../src/keys/ngx_autocert_keeper.h"


#define TEST_KEEPER_NAMES       3
#define TEST_KEEPER_GENERATION  0x123456789abcdef0ULL
#define TEST_KEEPER_PATIENCE    30000   /* ms */
#define TEST_KEEPER_NOBODY      99999   /* a pid */


typedef struct {
    ngx_int_t            rc;        /* of the callback, by name */
    unsigned             glanced:1;
    unsigned             unfit:1;   /* and does not decode */
    int                  nid;
    ngx_uint_t           calls;
    pthread_barrier_t   *barrier;   /* all who load meet here */
    useconds_t           slow;      /* takes so long, at least */
} test_keeper_load_t;


/* An answer, the frame that it looks into, and what is left of that. */

typedef struct {
    ngx_autocert_answer_t   answer;
    ngx_uint_t              frames;
    u_char                 *next;
    u_char                 *end;
    u_char                  frame[NGX_AUTOCERT_PROTOCOL_SIZE];
} test_keeper_got_t;


typedef struct {
    int                      fd;
    uint32_t                 index;
    u_char                   id[NGX_AUTOCERT_KEY_ID];
    EVP_PKEY                *key;
    ngx_uint_t               n;
    ngx_uint_t               good;
} test_keeper_client_t;


static ngx_str_t  test_keeper_names[] = {
    ngx_string("one.example.com"),
    ngx_string("two.example.com"),
    ngx_string("three.example.com")
};


static test_keeper_load_t      test_keeper_loads[TEST_KEEPER_NAMES];
static ngx_autocert_keeper_t  *test_keeper;
static ngx_uint_t              test_keeper_open;    /* descriptors */
static uint32_t                test_keeper_pid;
static test_keeper_got_t       test_keeper_got;


static ngx_uint_t
test_keeper_descriptors(void)
{
    DIR         *dir;
    ngx_uint_t   n;

    dir = opendir("/proc/self/fd");
    assert_non_null(dir);

    for (n = 0; readdir(dir); n++) { /* void */ }

    closedir(dir);

    return n;
}


static void
test_keeper_pair(ngx_uint_t index, int nid, ngx_autocert_chain_t **chain,
    EVP_PKEY **key)
{
    *key = ngx_autocert_key_create(nid);
    if (*key == NULL) {
        abort();
    }

    *chain = ngx_autocert_x509_self_signed(*key, &test_keeper_names[index],
                                           time(NULL), 10);
    if (*chain == NULL) {
        abort();
    }
}


/* As what was taken at a glance: no certificate, but its DER. */

static void
test_keeper_glance(ngx_autocert_chain_t *chain)
{
    int                   len;
    u_char               *p;
    ngx_autocert_wire_t   w;

    len = i2d_X509(sk_X509_value(chain->certs, 0), NULL);
    if (len <= 0) {
        abort();
    }

    chain->body.len = 4 + len;
    chain->body.data = OPENSSL_malloc(chain->body.len);
    if (chain->body.data == NULL) {
        abort();
    }

    ngx_autocert_wire_init(&w, chain->body.data, chain->body.len);
    ngx_autocert_wire_put_u32(&w, len);
    p = w.pos;
    (void) i2d_X509(sk_X509_value(chain->certs, 0), &p);

    sk_X509_pop_free(chain->certs, X509_free);
    chain->certs = NULL;
}


static ngx_int_t
test_keeper_load(void *data, ngx_uint_t index, ngx_autocert_chain_t **chain,
    EVP_PKEY **key)
{
    test_keeper_load_t  *load = data;

    load += index;

    (void) __atomic_add_fetch(&load->calls, 1, __ATOMIC_SEQ_CST);

    if (load->barrier) {
        (void) pthread_barrier_wait(load->barrier);
    }

    if (load->slow) {
        (void) usleep(load->slow);
    }

    if (load->rc == NGX_OK) {
        test_keeper_pair(index, load->nid, chain, key);

        if (load->glanced) {
            test_keeper_glance(*chain);
        }

        if (load->unfit) {
            (*chain)->body.data[4] ^= 1;
        }
    }

    return load->rc;
}


static int
test_keeper_setup(void **state)
{
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < TEST_KEEPER_NAMES; i++) {
        ngx_memzero(&test_keeper_loads[i], sizeof(test_keeper_load_t));
        test_keeper_loads[i].nid = (i == 1) ? NID_secp384r1
                                            : NID_X9_62_prime256v1;
    }

    ngx_memzero(&test_keeper_got, sizeof(test_keeper_got_t));

    test_keeper_pid = 1000;
    test_keeper_open = test_keeper_descriptors();

    test_keeper = ngx_autocert_keeper_create(test_keeper_names,
                                             TEST_KEEPER_NAMES,
                                             TEST_KEEPER_GENERATION,
                                             test_keeper_load,
                                             test_keeper_loads);

    return test_keeper == NULL;
}


static int
test_keeper_teardown(void **state)
{
    (void) state;

    if (test_keeper) {
        if (ngx_autocert_keeper_destroy(test_keeper) != NGX_OK) {
            return 1;
        }

        test_keeper = NULL;
    }

    return test_keeper_descriptors() != test_keeper_open;
}


static int
test_keeper_serve(uint32_t pid)
{
    int                   fd[2];
    struct timeval        tv;
    ngx_autocert_hello_t  hello;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, fd),
                     0);

    tv.tv_sec = TEST_KEEPER_PATIENCE / 1000;
    tv.tv_usec = 0;
    assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv,
                                sizeof(tv)),
                     0);

    hello.worker = 0;
    hello.pid = pid;

    assert_int_equal(ngx_autocert_keeper_serve(test_keeper, fd[1], &hello),
                     NGX_OK);

    return fd[0];
}


static ngx_int_t
test_keeper_recv(int fd, test_keeper_got_t *got)
{
    size_t   len;
    ssize_t  n;

    if (got->next == got->end) {
        n = recv(fd, got->frame, sizeof(got->frame), 0);

        if (n <= 0) {
            return NGX_DONE;
        }

        got->frames++;
        got->next = got->frame;
        got->end = got->frame + n;
    }

    len = ngx_autocert_protocol_answer_get(&got->answer, got->next,
                                           got->end - got->next);
    got->next += len;

    return len ? NGX_OK : NGX_ERROR;
}


/* A channel that has been told to be ready. */

static int
test_keeper_channel(void)
{
    int  fd;

    fd = test_keeper_serve(test_keeper_pid++);

    assert_int_equal(test_keeper_recv(fd, &test_keeper_got), NGX_OK);
    assert_int_equal(test_keeper_got.answer.type,
                     NGX_AUTOCERT_PROTOCOL_READY);

    return fd;
}


/* The channel is closed: there is nothing to wait for. */

static void
test_keeper_at_end(int fd)
{
    u_char   byte;
    ssize_t  n;

    n = recv(fd, &byte, 1, 0);

    assert_true(n == 0 || (n == -1 && errno == ECONNRESET));

    (void) close(fd);
}


static ngx_int_t
test_keeper_ask(int fd, ngx_autocert_question_t *question,
    test_keeper_got_t *got)
{
    size_t  len;
    u_char  frame[256];

    static uint64_t  number;

    question->number = __atomic_add_fetch(&number, 1, __ATOMIC_SEQ_CST);

    len = ngx_autocert_protocol_question_put(question, frame, sizeof(frame));

    if (len == 0
        || send(fd, frame, len, MSG_NOSIGNAL) != (ssize_t) len
        || test_keeper_recv(fd, got) != NGX_OK
        || got->answer.type != question->type
        || got->answer.number != question->number)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_autocert_answer_t *
test_keeper_question(int fd, uint32_t type, uint32_t index)
{
    ngx_autocert_question_t  question;

    question.type = type;
    question.index = index;

    assert_int_equal(test_keeper_ask(fd, &question, &test_keeper_got),
                     NGX_OK);

    return &test_keeper_got.answer;
}


static ngx_autocert_answer_t *
test_keeper_chain(int fd, uint32_t index)
{
    return test_keeper_question(fd, NGX_AUTOCERT_PROTOCOL_CHAIN, index);
}


/* Is this the DER of exactly these certificates? */

static ngx_uint_t
test_keeper_same(ngx_autocert_answer_t *answer, STACK_OF(X509) *certs)
{
    int                   i, rc;
    X509                 *x509;
    ngx_str_t             der;
    const u_char         *p;
    ngx_autocert_wire_t   w;

    ngx_autocert_wire_init(&w, answer->body.data, answer->body.len);

    for (i = 0; i < sk_X509_num(certs); i++) {
        ngx_autocert_wire_get_string(&w, &der);

        p = der.data;
        x509 = d2i_X509(NULL, &p, der.len);

        if (x509 == NULL || p != der.data + der.len) {
            return 0;
        }

        rc = X509_cmp(x509, sk_X509_value(certs, i));
        X509_free(x509);

        if (rc != 0) {
            return 0;
        }
    }

    return ngx_autocert_wire_done(&w) == NGX_OK;
}


/* The leaf of an answer; the caller frees it. */

static X509 *
test_keeper_leaf(ngx_autocert_answer_t *answer)
{
    X509                 *x509;
    ngx_str_t             der;
    const u_char         *p;
    ngx_autocert_wire_t   w;

    ngx_autocert_wire_init(&w, answer->body.data, answer->body.len);
    ngx_autocert_wire_get_string(&w, &der);

    p = der.data;
    x509 = d2i_X509(NULL, &p, der.len);
    assert_non_null(x509);

    return x509;
}


static ngx_int_t
test_keeper_verify(ngx_autocert_answer_t *answer, ngx_str_t *digest,
    EVP_PKEY *key)
{
    int            rc;
    EVP_PKEY_CTX  *ctx;

    ctx = EVP_PKEY_CTX_new(key, NULL);

    rc = ctx != NULL
         && EVP_PKEY_verify_init(ctx) == 1
         && EVP_PKEY_verify(ctx, answer->body.data, answer->body.len,
                            digest->data, digest->len)
            == 1;

    EVP_PKEY_CTX_free(ctx);

    return rc ? NGX_OK : NGX_ERROR;
}


/* NGX_OK if it was signed, and well; else what the keeper said. */

static ngx_int_t
test_keeper_sign(int fd, uint32_t index, u_char *id, EVP_PKEY *key,
    test_keeper_got_t *got)
{
    u_char                   md[32];
    ngx_autocert_question_t  question;

    ngx_memset(md, (int) index + 1, sizeof(md));

    question.type = NGX_AUTOCERT_PROTOCOL_SIGN;
    question.index = index;
    question.digest.data = md;
    question.digest.len = sizeof(md);
    ngx_memcpy(question.id, id, NGX_AUTOCERT_KEY_ID);

    if (test_keeper_ask(fd, &question, got) != NGX_OK) {
        return NGX_ERROR;
    }

    if (got->answer.status != NGX_AUTOCERT_PROTOCOL_OK) {
        return got->answer.body.len ? NGX_ERROR
                                    : (ngx_int_t) got->answer.status;
    }

    return test_keeper_verify(&got->answer, &question.digest, key);
}


static void
test_keeper_ended(ngx_autocert_keeper_end_t *end)
{
    struct pollfd  pfd;

    pfd.fd = ngx_autocert_keeper_fd(test_keeper);
    pfd.events = POLLIN;

    assert_int_equal(poll(&pfd, 1, TEST_KEEPER_PATIENCE), 1);
    assert_int_equal(ngx_autocert_keeper_ended(test_keeper, end), NGX_OK);
}


static void
test_keeper_starts(void **state)
{
    int                        fd, other;
    ngx_autocert_keeper_end_t  end;

    (void) state;

    assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 0);
    assert_int_equal(ngx_autocert_keeper_ended(test_keeper, &end),
                     NGX_DECLINED);

    fd = test_keeper_channel();
    other = test_keeper_channel();

    assert_int_equal(test_keeper_got.answer.number, 0);
    assert_int_equal(test_keeper_got.answer.body.len, 0);
    assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 2);

    (void) close(fd);

    test_keeper_ended(&end);
    assert_int_equal(end.peer.pid, 1000);
    assert_null(end.abuse);

    assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 1);
    assert_int_equal(ngx_autocert_keeper_ended(test_keeper, &end),
                     NGX_DECLINED);

    (void) close(other);
}


static void
test_keeper_loads_late(void **state)
{
    int                     fd;
    u_char                  id[NGX_AUTOCERT_KEY_ID], key_id[32];
    X509                   *leaf;
    ngx_autocert_answer_t  *a;

    (void) state;

    fd = test_keeper_channel();

    assert_int_equal(test_keeper_loads[1].calls, 0);
    assert_int_equal(ngx_autocert_keeper_id(test_keeper, 1, id),
                     NGX_DECLINED);

    a = test_keeper_chain(fd, 1);

    assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_OK);
    assert_int_equal(a->bootstrap, 0);
    assert_true(a->generation == TEST_KEEPER_GENERATION);

    leaf = test_keeper_leaf(a);

    assert_int_equal(ngx_autocert_keeper_id(test_keeper, 1, id), NGX_OK);
    assert_int_equal(ngx_autocert_key_id(X509_get0_pubkey(leaf), key_id),
                     NGX_OK);
    assert_memory_equal(id, key_id, sizeof(id));

    assert_int_equal(test_keeper_sign(fd, 1, id, X509_get0_pubkey(leaf),
                                      &test_keeper_got),
                     NGX_OK);

    (void) test_keeper_chain(fd, 1);

    assert_int_equal(test_keeper_loads[1].calls, 1);
    assert_int_equal(test_keeper_loads[0].calls, 0);
    assert_int_equal(test_keeper_loads[2].calls, 0);

    X509_free(leaf);
    (void) close(fd);
}


/*
 * What was taken at a glance is served until it can't be decoded: a worker's
 * word for that is not enough, and the store is not asked again.
 */

static void
test_keeper_unfit(void **state)
{
    int                     fd;
    u_char                  id[NGX_AUTOCERT_KEY_ID];
    X509                   *leaf;
    uint32_t                i;
    ngx_autocert_answer_t  *a;

    (void) state;

    test_keeper_loads[0].glanced = 1;
    test_keeper_loads[1].glanced = 1;
    test_keeper_loads[1].unfit = 1;

    fd = test_keeper_channel();

    a = test_keeper_chain(fd, 0);
    assert_int_equal(a->bootstrap, 0);
    leaf = test_keeper_leaf(a);

    a = test_keeper_chain(fd, 1);
    assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_OK);
    assert_int_equal(a->bootstrap, 0);
    assert_int_equal(ngx_autocert_keeper_id(test_keeper, 1, id), NGX_OK);

    test_keeper_loads[0].rc = NGX_ERROR;

    for (i = 0; i < 2; i++) {
        a = test_keeper_question(fd, NGX_AUTOCERT_PROTOCOL_UNFIT, 0);
        assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_OK);
        assert_int_equal(a->bootstrap, 0);
        assert_true(a->generation == TEST_KEEPER_GENERATION);
        X509_free(test_keeper_leaf(a));
    }

    /* others have it: they go on signing */

    assert_int_equal(ngx_autocert_keeper_id(test_keeper, 0, id), NGX_OK);
    assert_int_equal(test_keeper_sign(fd, 0, id, X509_get0_pubkey(leaf),
                                      &test_keeper_got),
                     NGX_OK);
    X509_free(leaf);

    for (i = 0; i < 2; i++) {
        a = test_keeper_question(fd, NGX_AUTOCERT_PROTOCOL_UNFIT, 1);
        assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_OK);
        assert_int_equal(a->bootstrap, 1);
        assert_true(a->generation == TEST_KEEPER_GENERATION);
        X509_free(test_keeper_leaf(a));
        assert_int_equal(ngx_autocert_keeper_id(test_keeper, 1, id),
                         NGX_AGAIN);
    }

    for (i = 0; i < 2; i++) {
        assert_int_equal(test_keeper_loads[i].calls, 1);
    }

    (void) close(fd);
}


/* A worker may sign with what it has from before the keeper was started. */

static void
test_keeper_sign_loads(void **state)
{
    int     fd;
    u_char  id[NGX_AUTOCERT_KEY_ID];

    (void) state;

    ngx_memzero(id, sizeof(id));

    fd = test_keeper_channel();

    assert_int_equal(test_keeper_sign(fd, 0, id, NULL, &test_keeper_got),
                     NGX_AUTOCERT_PROTOCOL_NONE);
    assert_int_equal(test_keeper_loads[0].calls, 1);
    assert_int_equal(ngx_autocert_keeper_id(test_keeper, 0, id), NGX_OK);

    (void) close(fd);
}


static void
test_keeper_bootstrap(void **state)
{
    int                      fd;
    u_char                   id[2][NGX_AUTOCERT_KEY_ID];
    X509                    *leaf;
    uint32_t                 i;
    EVP_PKEY                *key;
    ngx_autocert_chain_t    *chain;
    ngx_autocert_answer_t   *a;

    (void) state;

    test_keeper_loads[0].rc = NGX_DECLINED;
    test_keeper_loads[1].rc = NGX_ERROR;

    fd = test_keeper_channel();

    for (i = 0; i < 2; i++) {
        a = test_keeper_chain(fd, i);

        assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_OK);
        assert_int_equal(a->bootstrap, 1);
        assert_true(a->generation == TEST_KEEPER_GENERATION);

        leaf = test_keeper_leaf(a);

        assert_int_equal(X509_check_host(leaf,
                                         (char *) test_keeper_names[i].data,
                                         0, 0, NULL),
                         1);
        assert_int_equal(X509_verify(leaf, X509_get0_pubkey(leaf)), 1);

        assert_int_equal(ngx_autocert_keeper_id(test_keeper, i, id[i]),
                         NGX_AGAIN);
        assert_int_equal(test_keeper_sign(fd, i, id[i],
                                          X509_get0_pubkey(leaf),
                                          &test_keeper_got),
                         NGX_OK);

        X509_free(leaf);
    }

    /* it is the one key of the process */

    assert_memory_equal(id[0], id[1], NGX_AUTOCERT_KEY_ID);

    /* what is issued takes its place */

    test_keeper_pair(0, NID_secp384r1, &chain, &key);
    assert_true(ngx_autocert_keeper_install(test_keeper, 0, chain, key)
                == TEST_KEEPER_GENERATION + 1);

    a = test_keeper_chain(fd, 0);
    assert_int_equal(a->bootstrap, 0);
    assert_true(a->generation == TEST_KEEPER_GENERATION + 1);
    assert_int_equal(ngx_autocert_keeper_id(test_keeper, 0, id[0]), NGX_OK);

    assert_int_equal(test_keeper_loads[0].calls, 1);

    (void) close(fd);
}


/* What could not be read is not made: a worker keeps what it has. */

static void
test_keeper_unread(void **state)
{
    int                     fd;
    u_char                  id[NGX_AUTOCERT_KEY_ID];
    ngx_uint_t              i;
    ngx_autocert_answer_t  *a;

    (void) state;

    ngx_memzero(id, sizeof(id));
    test_keeper_loads[0].rc = NGX_AGAIN;

    fd = test_keeper_channel();

    for (i = 0; i < 2; i++) {
        a = test_keeper_chain(fd, 0);
        assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_FAILED);
        assert_int_equal(a->body.len, 0);

        assert_int_equal(test_keeper_sign(fd, 0, id, NULL, &test_keeper_got),
                         NGX_AUTOCERT_PROTOCOL_FAILED);
        assert_int_equal(ngx_autocert_keeper_id(test_keeper, 0, id),
                         NGX_DECLINED);
    }

    assert_int_equal(test_keeper_loads[0].calls, 4);

    test_keeper_loads[0].rc = NGX_OK;

    a = test_keeper_chain(fd, 0);
    assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_OK);
    assert_int_equal(a->bootstrap, 0);
    assert_true(a->generation == TEST_KEEPER_GENERATION);

    (void) close(fd);
}


static void
test_keeper_last_two(void **state)
{
    int                     fd;
    u_char                  id[4][NGX_AUTOCERT_KEY_ID];
    EVP_PKEY               *key[4];
    ngx_uint_t              i, k;
    STACK_OF(X509)         *certs;
    ngx_autocert_chain_t   *chain;
    ngx_autocert_answer_t  *a;

    (void) state;

    fd = test_keeper_channel();

    for (i = 0; i < 4; i++) {
        test_keeper_pair(1, i % 2 ? NID_secp384r1 : NID_X9_62_prime256v1,
                         &chain, &key[i]);

        ngx_memcpy(id[i], chain->id, NGX_AUTOCERT_KEY_ID);
        certs = X509_chain_up_ref(chain->certs);
        EVP_PKEY_up_ref(key[i]);

        assert_true(ngx_autocert_keeper_install(test_keeper, 1, chain, key[i])
                    == TEST_KEEPER_GENERATION + 1 + i);

        a = test_keeper_chain(fd, 1);
        assert_true(a->generation == TEST_KEEPER_GENERATION + 1 + i);
        assert_true(test_keeper_same(a, certs));

        for (k = 0; k <= i; k++) {
            assert_int_equal(test_keeper_sign(fd, 1, id[k], key[k],
                                              &test_keeper_got),
                             k + 2 > i ? NGX_OK : NGX_AUTOCERT_PROTOCOL_NONE);
        }

        sk_X509_pop_free(certs, X509_free);
    }

    /* never read: there was something better before it was asked for */

    assert_int_equal(test_keeper_loads[1].calls, 0);

    /* other names have nothing to do with it */

    assert_true(test_keeper_chain(fd, 0)->generation
                == TEST_KEEPER_GENERATION);
    assert_int_equal(test_keeper_sign(fd, 0, id[3], key[3],
                                      &test_keeper_got),
                     NGX_AUTOCERT_PROTOCOL_NONE);

    for (i = 0; i < 4; i++) {
        EVP_PKEY_free(key[i]);
    }

    (void) close(fd);
}


/* A pair that was replaced is forgotten once it is old enough, no other is. */

static void
test_keeper_forgotten(void **state)
{
    int                    fd;
    u_char                 id[3][NGX_AUTOCERT_KEY_ID];
    EVP_PKEY              *key[3];
    ngx_uint_t             i, n;
    ngx_autocert_chain_t  *chain;

    /* index, and whether its first, second and third pair sign */

    static struct {
        ngx_uint_t  seconds;
        ngx_uint_t  signs[3];
    } looks[] = {
        { 3600, { 0, 1, 1 } }, { 0, { 0, 0, 1 } }, { 0, { 0, 0, 1 } },
    };

    (void) state;

    fd = test_keeper_channel();

    /* nothing to forget: neither where none is, nor where one is */

    ngx_autocert_keeper_forget(test_keeper, 0);

    for (i = 0; i < 3; i++) {
        test_keeper_pair(1, NID_X9_62_prime256v1, &chain, &key[i]);
        ngx_memcpy(id[i], chain->id, NGX_AUTOCERT_KEY_ID);
        EVP_PKEY_up_ref(key[i]);

        assert_true(ngx_autocert_keeper_install(test_keeper, 1, chain, key[i])
                    != 0);
    }

    for (n = 0; n < sizeof(looks) / sizeof(looks[0]); n++) {
        ngx_autocert_keeper_forget(test_keeper, looks[n].seconds);

        for (i = 0; i < 3; i++) {
            assert_int_equal(test_keeper_sign(fd, 1, id[i], key[i],
                                              &test_keeper_got),
                             looks[n].signs[i] ? NGX_OK
                                               : NGX_AUTOCERT_PROTOCOL_NONE);
        }
    }

    for (i = 0; i < 3; i++) {
        EVP_PKEY_free(key[i]);
    }

    (void) close(fd);
}


/* A chain as long as a frame does not fit into one: that is said. */

static void
test_keeper_chain_too_long(void **state)
{
    int                     fd;
    X509                   *leaf;
    EVP_PKEY               *key;
    ngx_uint_t              i;
    ngx_autocert_chain_t   *chain;
    ngx_autocert_answer_t  *a;

    (void) state;

    test_keeper_pair(0, NID_X9_62_prime256v1, &chain, &key);
    leaf = sk_X509_value(chain->certs, 0);

    for (i = 0; i < 256; i++) {
        X509_up_ref(leaf);
        assert_true(sk_X509_push(chain->certs, leaf) > 0);
    }

    assert_true(ngx_autocert_keeper_install(test_keeper, 0, chain, key) != 0);

    fd = test_keeper_channel();

    a = test_keeper_chain(fd, 0);
    assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_FAILED);
    assert_int_equal(a->body.len, 0);

    a = test_keeper_chain(fd, 1);
    assert_int_equal(a->status, NGX_AUTOCERT_PROTOCOL_OK);

    (void) close(fd);
}


/* n questions in one frame, and bytes that are none. */

static void
test_keeper_send(int fd, ngx_autocert_question_t *questions, ngx_uint_t n,
    u_char *more, size_t len)
{
    u_char      *p, frame[4096];
    ngx_uint_t   i;

    p = frame;

    for (i = 0; i < n; i++) {
        p += ngx_autocert_protocol_question_put(&questions[i], p,
                                                frame + sizeof(frame) - p);
    }

    if (len) {
        p = ngx_cpymem(p, more, len);
    }

    assert_int_equal(send(fd, frame, p - frame, MSG_NOSIGNAL), p - frame);
}


/* Questions to be signed with the key of the first name. */

static EVP_PKEY *
test_keeper_questions(int fd, ngx_autocert_question_t *q, ngx_uint_t n,
    u_char *digest, size_t len)
{
    X509        *leaf;
    EVP_PKEY    *key;
    ngx_uint_t   i;

    leaf = test_keeper_leaf(test_keeper_chain(fd, 0));
    key = X509_get_pubkey(leaf);
    X509_free(leaf);

    ngx_memset(digest, 'd', len);
    ngx_memzero(q, n * sizeof(ngx_autocert_question_t));

    for (i = 0; i < n; i++) {
        q[i].type = NGX_AUTOCERT_PROTOCOL_SIGN;
        q[i].number = 100 + i;
        q[i].digest.data = digest;
        q[i].digest.len = len;

        assert_int_equal(ngx_autocert_key_id(key, q[i].id), NGX_OK);
    }

    test_keeper_got.frames = 0;

    return key;
}


static void
test_keeper_answers_to(int fd, ngx_autocert_question_t *q, EVP_PKEY *key,
    uint32_t status)
{
    ngx_autocert_answer_t  *a = &test_keeper_got.answer;

    assert_int_equal(test_keeper_recv(fd, &test_keeper_got), NGX_OK);

    assert_int_equal(a->type, q->type);
    assert_true(a->number == q->number);
    assert_int_equal(a->status, status);

    if (status != NGX_AUTOCERT_PROTOCOL_OK) {
        assert_int_equal(a->body.len, 0);

    } else if (q->type == NGX_AUTOCERT_PROTOCOL_SIGN) {
        assert_int_equal(test_keeper_verify(a, &q->digest, key), NGX_OK);

    } else {
        X509_free(test_keeper_leaf(a));

        /* in a frame of its own */

        assert_ptr_equal(test_keeper_got.next, test_keeper_got.end);
        assert_int_equal(a->body.data - 32 - test_keeper_got.frame, 0);
    }
}


/* As many as there may be, of the greatest length that they can have. */

static void
test_keeper_batch(void **state)
{
    int                       fd;
    u_char                    digest[NGX_AUTOCERT_PROTOCOL_DIGEST];
    EVP_PKEY                 *key;
    ngx_uint_t                i;
    ngx_autocert_latency_t    latency;
    ngx_autocert_question_t   q[NGX_AUTOCERT_PROTOCOL_BATCH];

    (void) state;

    fd = test_keeper_channel();
    key = test_keeper_questions(fd, q, NGX_AUTOCERT_PROTOCOL_BATCH, digest,
                                sizeof(digest));

    test_keeper_send(fd, q, NGX_AUTOCERT_PROTOCOL_BATCH, NULL, 0);

    for (i = 0; i < NGX_AUTOCERT_PROTOCOL_BATCH; i++) {
        test_keeper_answers_to(fd, &q[i], key, NGX_AUTOCERT_PROTOCOL_OK);
    }

    ngx_autocert_keeper_latency(test_keeper, &latency);
    assert_int_equal(latency.n, NGX_AUTOCERT_PROTOCOL_BATCH);

    /* one without a key, two for whom nobody has asked yet, chains */

    q[1].id[0] ^= 1;
    q[4].index = 1;
    q[5].type = NGX_AUTOCERT_PROTOCOL_CHAIN;
    q[9].type = NGX_AUTOCERT_PROTOCOL_CHAIN;
    q[9].index = 2;
    q[15].type = NGX_AUTOCERT_PROTOCOL_CHAIN;

    test_keeper_send(fd, q, NGX_AUTOCERT_PROTOCOL_BATCH, NULL, 0);

    for (i = 0; i < NGX_AUTOCERT_PROTOCOL_BATCH; i++) {
        test_keeper_answers_to(fd, &q[i], key, i == 1 || i == 4
                                               ? NGX_AUTOCERT_PROTOCOL_NONE
                                               : NGX_AUTOCERT_PROTOCOL_OK);
    }

    /* two had no key to be made with, and three are no signatures */

    ngx_autocert_keeper_latency(test_keeper, &latency);
    assert_int_equal(latency.n, 2 * NGX_AUTOCERT_PROTOCOL_BATCH - 5);

    EVP_PKEY_free(key);
    (void) close(fd);
}


/* What is quickly found leaves together, unless the machine is too busy. */

static void
test_keeper_together(void **state)
{
    int                       fd;
    u_char                    digest[32];
    EVP_PKEY                 *key;
    ngx_uint_t                i, n;
    ngx_autocert_question_t   q[NGX_AUTOCERT_PROTOCOL_BATCH];

    (void) state;

    fd = test_keeper_channel();
    key = test_keeper_questions(fd, q, NGX_AUTOCERT_PROTOCOL_BATCH, digest,
                                sizeof(digest));

    for (i = 0; i < NGX_AUTOCERT_PROTOCOL_BATCH; i++) {
        q[i].id[0] ^= 1;
    }

    for (n = 0; n < 10000; n++) {
        test_keeper_got.frames = 0;
        test_keeper_send(fd, q, NGX_AUTOCERT_PROTOCOL_BATCH, NULL, 0);

        for (i = 0; i < NGX_AUTOCERT_PROTOCOL_BATCH; i++) {
            test_keeper_answers_to(fd, &q[i], key, NGX_AUTOCERT_PROTOCOL_NONE);
        }

        if (test_keeper_got.frames == 1) {
            break;
        }
    }

    assert_int_equal(test_keeper_got.frames, 1);

    EVP_PKEY_free(key);
    (void) close(fd);
}


/* One that takes long holds up neither those before it nor its own answer. */

static void
test_keeper_slow(void **state)
{
    int                       fd;
    u_char                    digest[32];
    EVP_PKEY                 *key;
    ngx_autocert_question_t   q[3];

    (void) state;

    test_keeper_loads[2].slow = 2000;

    fd = test_keeper_channel();
    key = test_keeper_questions(fd, q, 3, digest, sizeof(digest));

    q[1].index = 2;

    test_keeper_send(fd, q, 3, NULL, 0);

    test_keeper_answers_to(fd, &q[0], key, NGX_AUTOCERT_PROTOCOL_OK);
    assert_int_equal(test_keeper_got.frames, 1);

    /* this pair was read meanwhile, long enough for the patience of any */

    test_keeper_answers_to(fd, &q[1], key, NGX_AUTOCERT_PROTOCOL_NONE);
    assert_int_equal(test_keeper_got.frames, 2);

    test_keeper_answers_to(fd, &q[2], key, NGX_AUTOCERT_PROTOCOL_OK);
    assert_int_equal(test_keeper_got.frames, 3);

    EVP_PKEY_free(key);
    (void) close(fd);
}


/* Answers that together are longer than a frame, and than a socket's room. */

static void
test_keeper_long_chains(void **state)
{
    int                      fd;
    X509                    *leaf;
    u_char                   digest[32];
    EVP_PKEY                *key;
    ngx_uint_t               i;
    ngx_autocert_chain_t    *chain;
    ngx_autocert_question_t  q[NGX_AUTOCERT_PROTOCOL_BATCH];

    (void) state;

    test_keeper_pair(0, NID_X9_62_prime256v1, &chain, &key);
    leaf = sk_X509_value(chain->certs, 0);

    for (i = 0; i < 128; i++) {
        X509_up_ref(leaf);
        assert_true(sk_X509_push(chain->certs, leaf) > 0);
    }

    assert_true(ngx_autocert_keeper_install(test_keeper, 0, chain, key) != 0);

    fd = test_keeper_channel();
    key = test_keeper_questions(fd, q, NGX_AUTOCERT_PROTOCOL_BATCH, digest,
                                sizeof(digest));

    for (i = 0; i < NGX_AUTOCERT_PROTOCOL_BATCH; i++) {
        if (i % 4 != 0) {
            q[i].type = NGX_AUTOCERT_PROTOCOL_CHAIN;
        }
    }

    test_keeper_send(fd, q, NGX_AUTOCERT_PROTOCOL_BATCH, NULL, 0);

    for (i = 0; i < NGX_AUTOCERT_PROTOCOL_BATCH; i++) {
        test_keeper_answers_to(fd, &q[i], key, NGX_AUTOCERT_PROTOCOL_OK);

        if (q[i].type == NGX_AUTOCERT_PROTOCOL_CHAIN) {
            assert_true(test_keeper_got.answer.body.len > 32768);
        }
    }

    EVP_PKEY_free(key);
    (void) close(fd);
}


typedef struct {
    ngx_uint_t   n;         /* good questions before it */
    size_t       len;
    u_char       frame[32];
    char        *abuse;
    ngx_uint_t   greatest;  /* they are as long as they can be */
} test_keeper_spoilt_t;


static test_keeper_spoilt_t  test_keeper_spoilts[] = {
    { 17, 0, { 0 }, "too many questions at once", 0 },
    { 16, 1, { 2 }, "too many questions at once", 0 },
    { 16, 1, { 2 }, "a message too long or with descriptors", 1 },
    { 17, 0, { 0 }, "a message too long or with descriptors", 1 },
    { 1, 16, { 0, 0, 0, 5 }, "a malformed message", 0 },
    { 3, 1, { 0 }, "a malformed message", 0 },
    { 15, 15, { 0, 0, 0, 2 }, "a malformed message", 0 },
    { 15, 16, { [3] = 2, [15] = TEST_KEEPER_NAMES },
      "a name that does not exist", 0 },
    { 0, 0, { 0 }, NULL, 0 }
};


/* Nothing of a frame is answered, nor done, if something in it is bad. */

static void
test_keeper_spoilt(void **state)
{
    int                         fd;
    u_char                      digest[NGX_AUTOCERT_PROTOCOL_DIGEST];
    EVP_PKEY                   *key;
    ngx_uint_t                  i;
    test_keeper_spoilt_t       *s;
    ngx_autocert_question_t     q[NGX_AUTOCERT_PROTOCOL_BATCH + 1];
    ngx_autocert_keeper_end_t   end;

    (void) state;

    for (s = test_keeper_spoilts; s->abuse; s++) {
        fd = test_keeper_channel();
        key = test_keeper_questions(fd, q, s->n, digest, sizeof(digest));

        for (i = 0; i < s->n && !s->greatest; i++) {
            q[i].type = NGX_AUTOCERT_PROTOCOL_CHAIN;
            q[i].index = 2;
        }

        test_keeper_send(fd, q, s->n, s->frame, s->len);
        test_keeper_at_end(fd);
        test_keeper_ended(&end);

        assert_non_null(end.abuse);
        assert_string_equal(end.abuse, s->abuse);
        assert_int_equal(test_keeper_loads[2].calls, 0);

        EVP_PKEY_free(key);
    }
}


typedef struct {
    char        *name;
    size_t       len;
    ngx_uint_t   fds;
    u_char       frame[64];
} test_keeper_abuse_t;


static test_keeper_abuse_t  test_keeper_abuses[] = {
    { "one byte", 1, 0, { 0 } },
    { "no type", 16, 0, { 0 } },
    { "ready", 16, 0, { 0, 0, 0, 1 } },
    { "unknown type", 16, 0, { 0, 0, 0, 5 } },
    { "cut", 15, 0, { 0, 0, 0, 2 } },
    { "trailing byte", 17, 0, { 0, 0, 0, 2 } },
    { "no such name", 16, 0, { [3] = 2, [15] = TEST_KEEPER_NAMES } },
    { "no such name, far", 16, 0, { [3] = 2, [12] = 0xff, [13] = 0xff,
                                    [14] = 0xff, [15] = 0xff } },
    { "sign for no name", 53, 0, { [3] = 3, [12] = 0x80, [51] = 1 } },
    { "sign nothing", 52, 0, { [3] = 3 } },
    { "sign too much", 64, 0, { [3] = 3, [51] = 65 } },
    { "huge", NGX_AUTOCERT_PROTOCOL_SIZE + 1, 0, { 0, 0, 0, 2 } },
    { "a descriptor", 16, 1, { 0, 0, 0, 2 } },
    { "many descriptors", 16, 64, { 0, 0, 0, 2 } },
    { NULL, 0, 0, { 0 } }
};


static void
test_keeper_misuse(int fd, test_keeper_abuse_t *abuse)
{
    int              fds[64];
    u_char          *frame;
    ngx_uint_t       i;
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  align;
        u_char          space[CMSG_SPACE(sizeof(fds))];
    } control;

    frame = calloc(1, abuse->len + sizeof(abuse->frame));
    assert_non_null(frame);
    ngx_memcpy(frame, abuse->frame, sizeof(abuse->frame));

    iov.iov_base = frame;
    iov.iov_len = abuse->len;

    ngx_memzero(&msg, sizeof(struct msghdr));
    ngx_memzero(&control, sizeof(control));
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;

    if (abuse->fds) {
        for (i = 0; i < abuse->fds; i++) {
            fds[i] = fd;
        }

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(abuse->fds * sizeof(int));

        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(abuse->fds * sizeof(int));
        ngx_memcpy(CMSG_DATA(cmsg), fds, abuse->fds * sizeof(int));
    }

    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), abuse->len);

    free(frame);
}


static void
test_keeper_abuse(void **state)
{
    int                         fd, other;
    uint32_t                    pid;
    ngx_uint_t                  before;
    test_keeper_abuse_t        *abuse;
    ngx_autocert_keeper_end_t   end;

    (void) state;

    other = test_keeper_channel();
    before = test_keeper_descriptors();

    for (abuse = test_keeper_abuses; abuse->name; abuse++) {
        pid = test_keeper_pid;
        fd = test_keeper_channel();

        test_keeper_misuse(fd, abuse);
        test_keeper_at_end(fd);
        test_keeper_ended(&end);

        if (end.abuse == NULL) {
            fail_msg("%s: not reported", abuse->name);
        }

        assert_int_equal(end.peer.pid, pid);

        /* the other one is served on, and nothing is left behind */

        assert_int_equal(test_keeper_chain(other, 0)->status,
                         NGX_AUTOCERT_PROTOCOL_OK);
        assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 1);
        assert_int_equal(test_keeper_descriptors(), before);
    }

    (void) close(other);
}


static void
test_keeper_same_process(void **state)
{
    int                        first, second, other;
    ngx_autocert_keeper_end_t  end;

    (void) state;

    other = test_keeper_channel();
    first = test_keeper_serve(TEST_KEEPER_NOBODY);
    assert_int_equal(test_keeper_recv(first, &test_keeper_got), NGX_OK);

    second = test_keeper_serve(TEST_KEEPER_NOBODY);
    assert_int_equal(test_keeper_recv(second, &test_keeper_got), NGX_OK);

    test_keeper_at_end(first);
    test_keeper_ended(&end);

    assert_int_equal(end.peer.pid, TEST_KEEPER_NOBODY);
    assert_null(end.abuse);
    assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 2);

    (void) test_keeper_chain(second, 0);
    (void) test_keeper_chain(other, 0);

    (void) close(second);
    (void) close(other);
}


/* Threads that read the same pair at the same time: one of them is kept. */

static void *
test_keeper_chain_thread(void *data)
{
    test_keeper_client_t  *client = data;

    test_keeper_got_t        *got;
    ngx_autocert_question_t   question;

    got = calloc(1, sizeof(test_keeper_got_t));
    if (got == NULL) {
        return NULL;
    }

    question.type = NGX_AUTOCERT_PROTOCOL_CHAIN;
    question.index = client->index;

    if (test_keeper_ask(client->fd, &question, got) == NGX_OK
        && got->answer.status == NGX_AUTOCERT_PROTOCOL_OK
        && SHA256(got->answer.body.data, got->answer.body.len, client->id))
    {
        client->good = 1;
    }

    free(got);

    return NULL;
}


static void
test_keeper_load_race(void **state)
{
    pthread_t              thread[4];
    ngx_uint_t             i;
    pthread_barrier_t      barrier;
    test_keeper_client_t   client[4];

    (void) state;

    (void) pthread_barrier_init(&barrier, NULL, 4);
    test_keeper_loads[2].barrier = &barrier;

    for (i = 0; i < 4; i++) {
        ngx_memzero(&client[i], sizeof(test_keeper_client_t));
        client[i].fd = test_keeper_channel();
        client[i].index = 2;

        assert_int_equal(pthread_create(&thread[i], NULL,
                                        test_keeper_chain_thread, &client[i]),
                         0);
    }

    for (i = 0; i < 4; i++) {
        (void) pthread_join(thread[i], NULL);
        (void) close(client[i].fd);
    }

    for (i = 0; i < 4; i++) {
        assert_int_equal(client[i].good, 1);
        assert_memory_equal(client[i].id, client[0].id, 32);
    }

    assert_int_equal(test_keeper_loads[2].calls, 4);

    (void) pthread_barrier_destroy(&barrier);
}


static void *
test_keeper_sign_thread(void *data)
{
    test_keeper_client_t  *client = data;

    ngx_uint_t          i;
    test_keeper_got_t  *got;

    got = calloc(1, sizeof(test_keeper_got_t));
    if (got == NULL) {
        return NULL;
    }

    for (i = 0; i < client->n; i++) {
        if (test_keeper_sign(client->fd, client->index, client->id,
                             client->key, got)
            == NGX_OK)
        {
            client->good++;
        }
    }

    free(got);

    return NULL;
}


/* A name is renewed again and again while others are signed for. */

static void
test_keeper_threads(void **state)
{
    X509                   *leaf;
    EVP_PKEY               *key;
    pthread_t               thread[6];
    ngx_uint_t              i;
    ngx_autocert_chain_t   *chain;
    test_keeper_client_t    client[6];
    ngx_autocert_answer_t  *a;

    (void) state;

    for (i = 0; i < 6; i++) {
        ngx_memzero(&client[i], sizeof(test_keeper_client_t));

        client[i].fd = test_keeper_channel();
        client[i].index = i % 2;
        client[i].n = 50;

        a = test_keeper_chain(client[i].fd, client[i].index);
        leaf = test_keeper_leaf(a);

        client[i].key = X509_get_pubkey(leaf);
        assert_int_equal(ngx_autocert_key_id(client[i].key,
                                                  client[i].id),
                         NGX_OK);
        X509_free(leaf);

        assert_int_equal(pthread_create(&thread[i], NULL,
                                        test_keeper_sign_thread, &client[i]),
                         0);
    }

    for (i = 0; i < 50; i++) {
        test_keeper_pair(2, NID_X9_62_prime256v1, &chain, &key);
        assert_true(ngx_autocert_keeper_install(test_keeper, 2, chain, key)
                    == TEST_KEEPER_GENERATION + 1 + i);
    }

    for (i = 0; i < 6; i++) {
        (void) pthread_join(thread[i], NULL);
        (void) close(client[i].fd);
        EVP_PKEY_free(client[i].key);

        assert_int_equal(client[i].good, client[i].n);
    }
}


/* Asks and never reads, until the keeper's thread waits in its answer. */

static int
test_keeper_deaf(uint32_t pid)
{
    int                      fd;
    size_t                   len;
    u_char                   frame[64];
    struct pollfd            pfd;
    ngx_autocert_question_t  question;

    fd = test_keeper_serve(pid);

    question.type = NGX_AUTOCERT_PROTOCOL_CHAIN;
    question.number = 1;
    question.index = 0;

    len = ngx_autocert_protocol_question_put(&question, frame, sizeof(frame));

    pfd.fd = fd;
    pfd.events = POLLOUT;

    do {
        while (send(fd, frame, len, MSG_DONTWAIT|MSG_NOSIGNAL) != -1) {
            /* void */
        }

        assert_true(errno == EAGAIN);

        /* writable again within this time only if it still reads */

    } while (poll(&pfd, 1, 200) == 1);

    return fd;
}


static void
test_keeper_deaf_peer(void **state)
{
    int                        deaf, other, again;
    ngx_autocert_keeper_end_t  end;

    (void) state;

    deaf = test_keeper_deaf(TEST_KEEPER_NOBODY);
    other = test_keeper_channel();

    assert_int_equal(test_keeper_chain(other, 0)->status,
                     NGX_AUTOCERT_PROTOCOL_OK);

    /* its next channel frees the thread of this one */

    again = test_keeper_serve(TEST_KEEPER_NOBODY);
    test_keeper_ended(&end);

    assert_int_equal(end.peer.pid, TEST_KEEPER_NOBODY);
    assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 2);

    (void) close(deaf);
    (void) close(other);
    (void) close(again);
}


static void
test_keeper_destroy(void **state)
{
    int         fd, deaf, lost;
    ngx_uint_t  n;

    (void) state;

    lost = test_keeper_channel();
    fd = test_keeper_channel();
    deaf = test_keeper_deaf(TEST_KEEPER_NOBODY);
    (void) test_keeper_chain(fd, 0);

    /* one has ended, but nobody has looked */

    (void) close(lost);

    assert_int_equal(ngx_autocert_keeper_destroy(test_keeper), NGX_OK);
    test_keeper = NULL;

    n = test_keeper_descriptors();
    assert_int_equal(n, test_keeper_open + 2);

    test_keeper_at_end(fd);
    (void) close(deaf);
}


/*
 * A descriptor whose close takes long, and its peer.  Who closes that, or
 * reads, ends the waiting.
 */

static int
test_keeper_lingering(int *peer)
{
    int                 fd, server;
    u_char              data[4096];
    socklen_t           len;
    struct linger       linger;
    struct sockaddr_in  sin;

    ngx_memzero(data, sizeof(data));
    ngx_memzero(&sin, sizeof(struct sockaddr_in));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(struct sockaddr_in);

    server = socket(AF_INET, SOCK_STREAM, 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(server != -1 && fd != -1);
    assert_int_equal(bind(server, (struct sockaddr *) &sin, len), 0);
    assert_int_equal(listen(server, 1), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *) &sin, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *) &sin, len), 0);

    *peer = accept(server, NULL, NULL);
    assert_true(*peer != -1);
    (void) close(server);

    linger.l_onoff = 1;
    linger.l_linger = 600;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
                                sizeof(struct linger)),
                     0);

    while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0) { /* void */ }

    return fd;
}


static void
test_keeper_pass(int fd, int other)
{
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  align;
        u_char          space[CMSG_SPACE(sizeof(int))];
    } control;

    iov.iov_base = (u_char *) "x";
    iov.iov_len = 1;

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
    ngx_memcpy(CMSG_DATA(cmsg), &other, sizeof(int));

    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), 1);
}


/*
 * It holds up the thread of its channel, and nobody else: not the others, not
 * who looks for the ends, nor who ends the keeper.
 */

static void
test_keeper_slow_close(void **state)
{
    int                        fd, slow, peer, other;
    int                        pair[2];
    ngx_uint_t                 i;
    struct pollfd              pfd;
    ngx_autocert_hello_t       hello;
    ngx_autocert_keeper_end_t  end;

    (void) state;

    other = test_keeper_channel();

    hello.worker = 0;
    hello.pid = TEST_KEEPER_NOBODY;

    slow = test_keeper_lingering(&peer);

    for (i = 0; i < NGX_AUTOCERT_KEEPER_PROCESS; i++) {
        /* behind what ends the channel, before there is a thread */

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        assert_int_equal(send(pair[0], "x", 1, 0), 1);
        test_keeper_pass(pair[0], slow);

        if (i + 1 == NGX_AUTOCERT_KEEPER_PROCESS) {
            (void) close(slow);
        }

        assert_int_equal(ngx_autocert_keeper_serve(test_keeper, pair[1],
                                                   &hello),
                         NGX_OK);
        (void) close(pair[0]);
    }

    /* three of them ended at once, the last one to close it waits */

    for (i = 0; i + 1 < NGX_AUTOCERT_KEEPER_PROCESS; i++) {
        test_keeper_ended(&end);
        assert_int_equal(end.peer.pid, TEST_KEEPER_NOBODY);
    }

    pfd.fd = ngx_autocert_keeper_fd(test_keeper);
    pfd.events = POLLIN;
    assert_int_equal(poll(&pfd, 1, 100), 0);

    assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 1);
    assert_int_equal(test_keeper_chain(other, 0)->status,
                     NGX_AUTOCERT_PROTOCOL_OK);

    fd = test_keeper_serve(TEST_KEEPER_NOBODY);
    assert_int_equal(test_keeper_recv(fd, &test_keeper_got), NGX_OK);

    assert_int_equal(ngx_autocert_keeper_destroy(test_keeper), NGX_AGAIN);
    test_keeper_at_end(fd);
    test_keeper_at_end(other);

    (void) close(peer);
    assert_int_equal(poll(&pfd, 1, TEST_KEEPER_PATIENCE), 1);
}


/* Channels of one process that end slowly are not without number. */

static void
test_keeper_process_full(void **state)
{
    int                        fd[2], slow, peer[NGX_AUTOCERT_KEEPER_PROCESS];
    ngx_uint_t                 i;
    ngx_autocert_hello_t       hello;
    ngx_autocert_keeper_end_t  end;

    (void) state;

    hello.worker = 0;
    hello.pid = TEST_KEEPER_NOBODY;

    for (i = 0; i < NGX_AUTOCERT_KEEPER_PROCESS; i++) {
        slow = test_keeper_lingering(&peer[i]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
        test_keeper_pass(fd[0], slow);
        (void) close(slow);

        assert_int_equal(ngx_autocert_keeper_serve(test_keeper, fd[1],
                                                   &hello),
                         NGX_OK);
        (void) close(fd[0]);
    }

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(ngx_autocert_keeper_serve(test_keeper, fd[1], &hello),
                     NGX_ERROR);
    test_keeper_at_end(fd[0]);

    for (i = 0; i < NGX_AUTOCERT_KEEPER_PROCESS; i++) {
        (void) close(peer[i]);
    }

    for (i = 0; i < NGX_AUTOCERT_KEEPER_PROCESS; i++) {
        test_keeper_ended(&end);
    }

    fd[0] = test_keeper_serve(TEST_KEEPER_NOBODY);
    assert_int_equal(test_keeper_recv(fd[0], &test_keeper_got), NGX_OK);
    (void) close(fd[0]);
}


/* Files, connections to the CA and the log have descriptors left. */

static void
test_keeper_reserve(void **state)
{
    int                   fd[2], first, second;
    struct rlimit         limit, tight;
    ngx_autocert_hello_t  hello;

    (void) state;

    hello.worker = 0;
    hello.pid = TEST_KEEPER_NOBODY;

    first = test_keeper_channel();

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = limit;
    tight.rlim_cur = NGX_AUTOCERT_KEEPER_RESERVE + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);

    second = test_keeper_channel();

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(ngx_autocert_keeper_serve(test_keeper, fd[1], &hello),
                     NGX_ERROR);
    assert_int_equal(errno, EMFILE);
    test_keeper_at_end(fd[0]);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

    (void) test_keeper_chain(first, 0);
    (void) close(first);
    (void) close(second);
}


/* Signals are for the main thread: NGINX's handlers run nowhere else. */

static void
test_keeper_signals(void **state)
{
    int             fd;
    DIR            *dir;
    FILE           *file;
    char            path[64], line[256];
    sigset_t        set;
    ngx_uint_t      threads;
    struct dirent  *de;

    (void) state;

    fd = test_keeper_channel();

    threads = 0;
    dir = opendir("/proc/self/task");
    assert_non_null(dir);

    while ((de = readdir(dir)) != NULL) {

        if (de->d_name[0] == '.' || atoi(de->d_name) == getpid()) {
            continue;
        }

        (void) snprintf(path, sizeof(path), "/proc/self/task/%.16s/status",
                        de->d_name);
        file = fopen(path, "r");
        assert_non_null(file);

        while (fgets(line, sizeof(line), file)) {
            if (ngx_strncmp(line, "SigBlk:", 7) == 0) {
                threads++;

                /* all of the standard ones, but KILL and STOP */
                assert_true((strtoull(line + 7, NULL, 16) & 0x7fffffff)
                            == (0x7fffffff & ~(1u << (SIGKILL - 1))
                                & ~(1u << (SIGSTOP - 1))));
            }
        }

        (void) fclose(file);
    }

    (void) closedir(dir);

    assert_int_equal(threads, 1);

    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    assert_int_equal(sigismember(&set, SIGTERM), 0);

    (void) close(fd);
}


/* There is an end to channels, which costs those that live nothing. */

static void
test_keeper_full(void **state)
{
    int                        fd[2], i, *fds;
    ngx_uint_t                 before;
    struct rlimit              limit;
    ngx_autocert_hello_t       hello;
    ngx_autocert_keeper_end_t  end;

    (void) state;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;

    if (limit.rlim_max < 4 * NGX_AUTOCERT_KEEPER_CHANNELS
        || setrlimit(RLIMIT_NOFILE, &limit) == -1)
    {
        skip();
    }

    fds = calloc(NGX_AUTOCERT_KEEPER_CHANNELS, sizeof(int));
    assert_non_null(fds);

    for (i = 0; i < NGX_AUTOCERT_KEEPER_CHANNELS; i++) {
        fds[i] = test_keeper_serve(test_keeper_pid++);
    }

    before = test_keeper_descriptors();

    hello.worker = 0;
    hello.pid = TEST_KEEPER_NOBODY;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(ngx_autocert_keeper_serve(test_keeper, fd[1], &hello),
                     NGX_ERROR);

    test_keeper_at_end(fd[0]);
    assert_int_equal(test_keeper_descriptors(), before);

    assert_int_equal(test_keeper_recv(fds[7], &test_keeper_got), NGX_OK);
    (void) test_keeper_chain(fds[7], 0);

    /* who leaves makes room */

    (void) close(fds[3]);
    test_keeper_ended(&end);
    fds[3] = test_keeper_channel();

    for (i = 0; i < NGX_AUTOCERT_KEEPER_CHANNELS; i++) {
        (void) close(fds[i]);
    }

    for (i = 0; i < NGX_AUTOCERT_KEEPER_CHANNELS; i++) {
        test_keeper_ended(&end);
        assert_null(end.abuse);
    }

    assert_int_equal(ngx_autocert_keeper_channels(test_keeper), 0);

    free(fds);
}


#define test_keeper_unit(f)                                                  \
    cmocka_unit_test_setup_teardown(f, test_keeper_setup,                    \
                                    test_keeper_teardown)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_keeper_unit(test_keeper_starts),
        test_keeper_unit(test_keeper_loads_late),
        test_keeper_unit(test_keeper_unfit),
        test_keeper_unit(test_keeper_sign_loads),
        test_keeper_unit(test_keeper_unread),
        test_keeper_unit(test_keeper_bootstrap),
        test_keeper_unit(test_keeper_last_two),
        test_keeper_unit(test_keeper_forgotten),
        test_keeper_unit(test_keeper_chain_too_long),
        test_keeper_unit(test_keeper_batch),
        test_keeper_unit(test_keeper_together),
        test_keeper_unit(test_keeper_slow),
        test_keeper_unit(test_keeper_long_chains),
        test_keeper_unit(test_keeper_spoilt),
        test_keeper_unit(test_keeper_abuse),
        test_keeper_unit(test_keeper_same_process),
        test_keeper_unit(test_keeper_load_race),
        test_keeper_unit(test_keeper_threads),
        test_keeper_unit(test_keeper_deaf_peer),
        test_keeper_unit(test_keeper_destroy),
        test_keeper_unit(test_keeper_slow_close),
        test_keeper_unit(test_keeper_process_full),
        test_keeper_unit(test_keeper_reserve),
        test_keeper_unit(test_keeper_signals),
        test_keeper_unit(test_keeper_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
