
#include "../../src/core/ngx_autocert_board.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sys/wait.h>

#include "ngx_stub.h"


#define TEST_BOARD_READERS  2
#define TEST_BOARD_READS    200000
#define TEST_BOARD_LOOKS    20000
#define TEST_BOARD_NAMES    3


static ngx_autocert_board_t  test_board;
static ngx_cycle_t           test_board_cycle;


/* What the master would do. */


void *
ngx_autocert_shared(ngx_cycle_t *cycle, size_t size)
{
    void  *p;

    (void) cycle;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED, -1, 0);

    return (p == MAP_FAILED) ? NULL : p;
}


static ngx_uint_t
test_board_create(ngx_cycle_t *cycle, ngx_autocert_board_t *board)
{
    ngx_memzero(cycle, sizeof(ngx_cycle_t));
    ngx_memzero(board, sizeof(ngx_autocert_board_t));

    cycle->log = &ngx_stub_log;
    cycle->pool = ngx_create_pool(1024, &ngx_stub_log);

    return cycle->pool != NULL
           && ngx_autocert_board_create(cycle, board, TEST_BOARD_NAMES)
              == NGX_OK;
}


static void
test_board_destroy(ngx_cycle_t *cycle, ngx_autocert_board_t *board)
{
    ngx_destroy_pool(cycle->pool);

    (void) munmap(board->shared, ngx_autocert_board_size(TEST_BOARD_NAMES));
    (void) munmap(board->told.summed,
                  ngx_autocert_board_ledger_size(TEST_BOARD_NAMES));
}


static int
test_board_setup(void **state)
{
    (void) state;

    return !test_board_create(&test_board_cycle, &test_board);
}


static int
test_board_teardown(void **state)
{
    (void) state;

    test_board_destroy(&test_board_cycle, &test_board);

    return ngx_autocert_board_cycles != 0;
}


static void
test_board_challenge(ngx_autocert_board_challenge_t *challenge, char *host,
    char *token)
{
    ngx_memzero(challenge, sizeof(ngx_autocert_board_challenge_t));

    challenge->type = 1;
    challenge->host.data = (u_char *) host;
    challenge->host.len = ngx_strlen(host);
    challenge->token.data = (u_char *) token;
    challenge->token.len = ngx_strlen(token);
}


static ngx_int_t
test_board_publish(ngx_uint_t i, char *host, char *token, char *value)
{
    ngx_autocert_board_challenge_t  challenge;

    test_board_challenge(&challenge, host, token);
    challenge.value.data = (u_char *) value;
    challenge.value.len = ngx_strlen(value);

    return ngx_autocert_board_publish(&test_board, i, &challenge);
}


/* True if exactly this value is found; NULL: none. */

static ngx_uint_t
test_board_finds(char *host, char *token, char *value)
{
    u_char                          buf[256];
    ngx_int_t                       rc;
    ngx_autocert_board_challenge_t  challenge;

    test_board_challenge(&challenge, host, token);

    rc = ngx_autocert_board_find(&test_board, &challenge, buf);

    if (rc == NGX_DECLINED) {
        return value == NULL;
    }

    return rc == NGX_OK
           && value != NULL
           && challenge.value.data == buf
           && challenge.value.len == ngx_strlen(value)
           && ngx_memcmp(buf, value, challenge.value.len) == 0;
}


static void
test_board_generations(void **state)
{
    (void) state;

    assert_true(ngx_autocert_board_current(&test_board, 1, 0));

    ngx_autocert_board_set(&test_board, 1, 0xfedcba9876543210ULL);

    assert_true(ngx_autocert_board_current(&test_board, 1,
                                           0xfedcba9876543210ULL));
    assert_false(ngx_autocert_board_current(&test_board, 1,
                                            0xfedcba9876543211ULL));
    assert_true(ngx_autocert_board_current(&test_board, 0, 0));
    assert_true(ngx_autocert_board_current(&test_board, 2, 0));
}


/* A worker that writes there by mistake dies of it. */

static void
test_board_protected(void **state)
{
    int         status;
    pid_t       pid;
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < 2; i++) {
        pid = fork();
        assert_true(pid != -1);

        if (pid == 0) {
            (void) signal(SIGSEGV, SIG_DFL);
            ngx_autocert_board_protect(&test_board);

            if (i == 0) {
                ngx_autocert_board_set(&test_board, 0, 1);

            } else {
                (void) ngx_autocert_board_publish(&test_board, 0, NULL);
            }

            _exit(0);
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
}


static void
test_board_challenges(void **state)
{
    (void) state;

    assert_true(test_board_finds("a.example", "token", NULL));

    assert_int_equal(test_board_publish(0, "a.example", "token", "value"),
                     NGX_OK);
    assert_int_equal(test_board_publish(NGX_AUTOCERT_BOARD_CHALLENGES - 1,
                                        "b.example", "other", "thing"),
                     NGX_OK);

    assert_true(test_board_finds("a.example", "token", "value"));
    assert_true(test_board_finds("b.example", "other", "thing"));

    assert_true(test_board_finds("a.example", "other", NULL));
    assert_true(test_board_finds("b.example", "token", NULL));
    assert_true(test_board_finds("a.exampl", "token", NULL));
    assert_true(test_board_finds("a.example", "toke", NULL));
    assert_true(test_board_finds("a.example.", "token", NULL));
    assert_true(test_board_finds("A.example", "token", NULL));

    /* a place is written over, and freed */

    assert_int_equal(test_board_publish(0, "a.example", "token", "v"), NGX_OK);
    assert_true(test_board_finds("a.example", "token", "v"));

    assert_int_equal(ngx_autocert_board_publish(&test_board, 0, NULL),
                     NGX_OK);
    assert_true(test_board_finds("a.example", "token", NULL));
    assert_true(test_board_finds("", "token", NULL));
    assert_true(test_board_finds("", "", NULL));
    assert_true(test_board_finds("b.example", "other", "thing"));
}


static void
test_board_room(void **state)
{
    char  *text;

    (void) state;

    text = malloc(400);
    assert_non_null(text);
    ngx_memset(text, 'x', 399);
    text[399] = '\0';

    assert_int_equal(test_board_publish(0, text + 399 - 254,
                                        text + 399 - 128, text + 399 - 256),
                     NGX_OK);
    assert_true(test_board_finds(text + 399 - 254, text + 399 - 128,
                                 text + 399 - 256));

    /* more than that is not cut short, but not there */

    assert_int_equal(test_board_publish(0, text + 399 - 255, "t", "v"),
                     NGX_ERROR);
    assert_true(test_board_finds(text + 399 - 255, "t", NULL));

    assert_int_equal(test_board_publish(0, "h", text + 399 - 129, "v"),
                     NGX_ERROR);
    assert_true(test_board_finds("h", text + 399 - 129, NULL));

    assert_int_equal(test_board_publish(0, "h", "t", text + 399 - 257),
                     NGX_ERROR);
    assert_true(test_board_finds("h", "t", NULL));

    free(text);
}


/*
 * A reload gives on what is pending, one that fails takes nothing with it, and
 * with the last cycle all is gone.
 */

static void
test_board_reload(void **state)
{
    ngx_uint_t            i;
    ngx_cycle_t           cycle;
    ngx_autocert_board_t  board;

    (void) state;

    assert_false(ngx_autocert_board_is_ready(&test_board));

    assert_int_equal(test_board_publish(0, "a.example", "token", "value"),
                     NGX_OK);

    for (i = 0; i < 2; i++) {
        assert_true(test_board_create(&cycle, &board));
        assert_ptr_equal(board.pending, test_board.pending);
        assert_true(ngx_autocert_board_is_ready(&board));
        test_board_destroy(&cycle, &board);

        assert_true(test_board_finds("a.example", "token", "value"));
    }

    assert_true(test_board_create(&cycle, &board));
    test_board_destroy(&test_board_cycle, &test_board);

    test_board_cycle = cycle;
    test_board = board;
    assert_true(test_board_finds("a.example", "token", "value"));

    test_board_destroy(&test_board_cycle, &test_board);
    assert_int_equal(ngx_autocert_board_cycles, 0);

    assert_true(test_board_create(&test_board_cycle, &test_board));
    assert_false(ngx_autocert_board_is_ready(&test_board));
    assert_true(test_board_finds("a.example", "token", NULL));

    ngx_autocert_board_ready(&test_board);
    assert_true(ngx_autocert_board_is_ready(&test_board));
}


/* What answers one kind of question is no answer to another. */

static void
test_board_types(void **state)
{
    u_char                          buf[256];
    ngx_autocert_board_challenge_t  challenge;

    (void) state;

    /* as the solver does: no token is one that is not there */

    test_board_challenge(&challenge, "h", "");
    ngx_str_null(&challenge.token);

    assert_int_equal(ngx_autocert_board_publish(&test_board, 0, &challenge),
                     NGX_OK);

    test_board_challenge(&challenge, "h", "");
    assert_int_equal(ngx_autocert_board_find(&test_board, &challenge, buf),
                     NGX_OK);

    challenge.type = 2;
    assert_int_equal(ngx_autocert_board_find(&test_board, &challenge, buf),
                     NGX_DECLINED);
}


/* What a taken-over worker may have written harms nobody who reads it. */

static void
test_board_hostile(void **state)
{
    ngx_autocert_pending_t  *p;

    (void) state;

    assert_int_equal(test_board_publish(0, "h", "t", "v"), NGX_OK);

    p = test_board.pending;

    p->value_len = 65535;
    assert_true(test_board_finds("h", "t", NULL));

    p->value_len = 1;
    p->host_len = 65535;
    p->token_len = 65535;
    assert_true(test_board_finds("h", "t", NULL));

    p->host_len = 1;
    p->token_len = 1;
    assert_true(test_board_finds("h", "t", "v"));

    /* written for ever: given up, and the next one who writes mends it */

    p->sequence = 7;
    assert_true(test_board_finds("h", "t", NULL));

    assert_int_equal(test_board_publish(0, "h", "t", "v"), NGX_OK);
    assert_int_equal(p->sequence % 2, 0);
    assert_true(test_board_finds("h", "t", "v"));
}


/* host, token and value belong together: "<n>", "<n>" and n times n. */

static void
test_board_write(ngx_uint_t n)
{
    char  digit[2], value[200];

    digit[0] = '0' + n;
    digit[1] = '\0';
    ngx_memset(value, '0' + n, sizeof(value));
    value[20 * n] = '\0';

    (void) test_board_publish(n % 2, digit, digit, value);
}


/* 0: what was found was whole each time, and it was found at times. */

static int
test_board_reader(void)
{
    char                            digit[2];
    u_char                          buf[256];
    ngx_uint_t                      i, k, n, found;
    ngx_autocert_board_challenge_t  challenge;

    found = 0;

    for (i = 0; i < TEST_BOARD_READS; i++) {
        n = 1 + i % 9;
        digit[0] = '0' + n;
        digit[1] = '\0';
        test_board_challenge(&challenge, digit, digit);

        if (ngx_autocert_board_find(&test_board, &challenge, buf) != NGX_OK) {
            continue;
        }

        found++;

        if (challenge.value.len != 20 * n) {
            return 1;
        }

        for (k = 0; k < challenge.value.len; k++) {
            if (buf[k] != digit[0]) {
                return 1;
            }
        }
    }

    return found ? 0 : 2;
}


static void
test_board_torn(void **state)
{
    int         status;
    pid_t       pid[TEST_BOARD_READERS];
    ngx_uint_t  i, n, left;

    (void) state;

    test_board_write(1);

    for (i = 0; i < TEST_BOARD_READERS; i++) {
        pid[i] = fork();
        assert_true(pid[i] != -1);

        if (pid[i] == 0) {
            _exit(test_board_reader());
        }
    }

    left = TEST_BOARD_READERS;

    for (n = 0; left; n++) {
        test_board_write(1 + n % 9);

        if (n % 1024) {
            continue;
        }

        for (i = 0; i < TEST_BOARD_READERS; i++) {
            if (pid[i] && waitpid(pid[i], &status, WNOHANG) == pid[i]) {
                pid[i] = 0;
                left--;

                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
            }
        }
    }
}


/* All of what is told of a name is of n; without words where n is even. */

static void
test_board_tell(ngx_uint_t n)
{
    ngx_autocert_facts_t  *facts;
    ngx_autocert_words_t  *words;

    facts = &test_board.own.known[1].facts;
    words = &test_board.own.words[1];

    ngx_memset(facts, n, sizeof(ngx_autocert_facts_t));
    facts->kind = n % 2;
    facts->serial_len = 20;

    ngx_memset(words->data, n, sizeof(words->data));
    words->why = n;
    words->detail = 2 * n;
    words->cause = 0;

    test_board.own.summed->sums.restarts = n;
    test_board.own.summed->sums.signatures.steps[95] = n;

    ngx_autocert_board_tell(&test_board, 1);
    ngx_autocert_board_tell_sums(&test_board);
}


static ngx_uint_t
test_board_is_whole(ngx_autocert_facts_t *facts, ngx_autocert_words_t *words)
{
    ngx_uint_t  i, n;

    n = facts->failures & 0xff;

    if (facts->not_before != facts->issued[3]
        || facts->state != n
        || facts->serial[19] != n
        || facts->kind != n % 2)
    {
        return 0;
    }

    if (facts->kind == 0) {
        return 1;
    }

    for (i = 0; i < sizeof(words->data); i++) {
        if (words->data[i] != n) {
            return 0;
        }
    }

    return words->why == n && words->detail == 2 * n;
}


static int
test_board_looker(void)
{
    ngx_uint_t             i, n, seen;
    ngx_autocert_sums_t    sums;
    ngx_autocert_facts_t   facts;
    ngx_autocert_words_t   words;

    ngx_memzero(&test_board.own, sizeof(ngx_autocert_ledger_t));
    ngx_memzero(&words, sizeof(ngx_autocert_words_t));
    seen = 0;

    /* until something else was told meanwhile, on whatever machine */

    (void) alarm(60);

    for (i = 0; i < TEST_BOARD_LOOKS || (seen & (seen - 1)) == 0; i++) {

        if (ngx_autocert_board_look(&test_board, 1, &facts, &words) != NGX_OK)
        {
            continue;
        }

        if (!test_board_is_whole(&facts, &words)) {
            return 1;
        }

        n = facts.failures & 0xff;
        seen |= 1 << n;

        if (ngx_autocert_board_look_sums(&test_board, &sums) == NGX_OK
            && sums.restarts != sums.signatures.steps[95])
        {
            return 2;
        }
    }

    return 0;
}


static void
test_board_known(void **state)
{
    int                    status;
    pid_t                  pid;
    ngx_uint_t             n;
    ngx_autocert_facts_t   facts;

    (void) state;

    assert_int_equal(ngx_autocert_board_look(&test_board, 1, &facts, NULL),
                     NGX_DECLINED);

    assert_int_equal(ngx_autocert_board_own(&test_board, UINT64_MAX),
                     NGX_OK);
    assert_int_equal(ngx_autocert_board_look(&test_board, 0, &facts, NULL),
                     NGX_OK);

    test_board_tell(1);

    pid = fork();
    assert_true(pid != -1);

    if (pid == 0) {
        _exit(test_board_looker());
    }

    for (n = 0; waitpid(pid, &status, WNOHANG) != pid; n++) {
        test_board_tell(1 + n % 20);
    }

    (void) munmap(test_board.own.summed,
                  ngx_autocert_board_ledger_size(TEST_BOARD_NAMES));
    ngx_memzero(&test_board.own, sizeof(ngx_autocert_ledger_t));

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}


#define test_board_unit(f)                                                   \
    cmocka_unit_test_setup_teardown(f, test_board_setup, test_board_teardown)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_board_unit(test_board_generations),
        test_board_unit(test_board_protected),
        test_board_unit(test_board_challenges),
        test_board_unit(test_board_room),
        test_board_unit(test_board_reload),
        test_board_unit(test_board_types),
        test_board_unit(test_board_hostile),
        test_board_unit(test_board_torn),
        test_board_unit(test_board_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
