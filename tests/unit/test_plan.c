
#include "../../src/core/ngx_autocert_plan.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/obj_mac.h>

#include "ngx_stub.h"


#define TEST_PLAN_NAMES  6
#define TEST_PLAN_NOW    1800000000
#define TEST_PLAN_DAY    86400
#define TEST_PLAN_LIFE   (90 * TEST_PLAN_DAY)


static ngx_pool_t                *test_pool;
static ngx_autocert_conf_t        test_acf;
static ngx_autocert_name_t        test_names[TEST_PLAN_NAMES];
static ngx_autocert_plan_name_t   test_plan_names[TEST_PLAN_NAMES];
static ngx_autocert_plan_t        test_plan;
static ngx_autocert_state_t       test_state;
static ngx_autocert_issued_t      test_issued;
static ngx_autocert_chain_t       test_chain;
static ngx_autocert_fail_t        test_fail;
static uint32_t                   test_random;
static ngx_str_t                  test_account = ngx_string("https://ca/a/1");


static uint32_t
test_plan_random(void)
{
    return test_random;
}


static int
test_plan_setup(void **data)
{
    ngx_uint_t  i;

    static char  *names[TEST_PLAN_NAMES] = {
        "a.test", "b.test", "c.example.com", "d.example.com", "example.com",
        "notexample.com"
    };

    (void) data;

    test_pool = ngx_create_pool(4096, &ngx_stub_log);

    ngx_memzero(&test_acf, sizeof(ngx_autocert_conf_t));
    ngx_memzero(&test_plan, sizeof(ngx_autocert_plan_t));
    ngx_memzero(test_names, sizeof(test_names));
    ngx_memzero(test_plan_names, sizeof(test_plan_names));
    ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
    ngx_memzero(&test_issued, sizeof(ngx_autocert_issued_t));
    ngx_memzero(&test_fail, sizeof(ngx_autocert_fail_t));
    ngx_memzero(&test_chain, sizeof(ngx_autocert_chain_t));
    test_random = 0;

    for (i = 0; i < TEST_PLAN_NAMES; i++) {
        test_names[i].name.data = (u_char *) names[i];
        test_names[i].name.len = ngx_strlen(names[i]);
        test_names[i].curve = NID_secp384r1;
        test_names[i].renew_before = 7 * TEST_PLAN_DAY;
    }

    test_acf.names.elts = test_names;
    test_acf.names.nelts = TEST_PLAN_NAMES;
    test_acf.names.size = sizeof(ngx_autocert_name_t);
    ngx_str_set(&test_acf.ca, "https://ca/dir");

    test_plan.acf = &test_acf;
    test_plan.names = test_plan_names;
    test_plan.random = test_plan_random;

    ngx_autocert_plan_init(&test_plan);

    test_chain.not_before = TEST_PLAN_NOW - TEST_PLAN_DAY;
    test_chain.not_after = test_chain.not_before + TEST_PLAN_LIFE;
    test_chain.curve = NID_secp384r1;
    test_chain.certid_len = 3;
    ngx_memcpy(test_chain.certid, "a.b", 3);
    test_chain.id[0] = 1;

    return 0;
}


static int
test_plan_teardown(void **data)
{
    (void) data;

    ngx_destroy_pool(test_pool);

    return 0;
}


/* As a process finds it that has just begun. */

static void
test_plan_found(ngx_uint_t index, time_t now, ngx_autocert_chain_t *chain,
    ngx_autocert_state_t *state, ngx_uint_t reload)
{
    ngx_memzero(&test_plan_names[index], sizeof(ngx_autocert_plan_name_t));
    ngx_autocert_plan_init(&test_plan);
    ngx_autocert_plan_found(&test_plan, index, now, chain, state, reload);
}


/* All names but the first n have a certificate that is far from due. */

static void
test_plan_only(ngx_uint_t n)
{
    ngx_uint_t            i;
    ngx_autocert_state_t  state;

    for (i = n; i < TEST_PLAN_NAMES; i++) {
        ngx_memzero(&state, sizeof(ngx_autocert_state_t));
        ngx_autocert_plan_found(&test_plan, i, TEST_PLAN_NOW, &test_chain,
                                &state, 0);
    }
}


static void
test_plan_issue(ngx_uint_t index, time_t now)
{
    ngx_autocert_plan_issued(&test_plan, index, now, &test_chain,
                             &test_account, &test_state, &test_issued,
                             test_pool);
}


static ngx_uint_t
test_plan_ask(time_t now, ngx_autocert_plan_next_t *next)
{
    ngx_autocert_plan_next(&test_plan, now,
                           (uint64_t) (now - TEST_PLAN_NOW + 100000) * 1000,
                           next);
    return next->what;
}


static time_t
test_plan_fail(ngx_uint_t index, time_t now, ngx_uint_t kind,
    ngx_uint_t scope)
{
    ngx_autocert_plan_failed_t  failed;

    test_fail.kind = kind;
    test_fail.scope = scope;

    ngx_autocert_plan_failed(&test_plan, index, now, &test_fail, &test_state,
                             &failed);
    return failed.next;
}


static ngx_int_t
test_plan_start(ngx_uint_t index, time_t now)
{
    return ngx_autocert_plan_begin(&test_plan, index, now, &test_state,
                                   &test_issued, test_pool, &test_fail);
}


/* A name without a certificate is due; then it is due by its certificate. */

static void
test_plan_due(void **data)
{
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(1);

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_ORDER);
    assert_int_equal(next.index, 0);

    ngx_str_set(&test_state.challenge, "tls-alpn-01");
    test_plan_issue(0, TEST_PLAN_NOW);

    /* the way that has worked */

    assert_int_equal(test_state.challenge.len, 11);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0),
                     test_chain.not_after - 7 * TEST_PLAN_DAY);
    assert_int_equal(test_state.issued_at, TEST_PLAN_NOW);
    assert_int_equal(test_issued.life, TEST_PLAN_LIFE);
    assert_int_equal(test_state.account.len, test_account.len);

    /* what is next is a look at the window, at once */

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_WINDOW);
    assert_int_equal(next.index, 0);

    ngx_autocert_plan_unseen(&test_plan, 0, TEST_PLAN_NOW, NULL,
                             &test_state);

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_WAIT);
    assert_int_equal(next.until, TEST_PLAN_NOW + TEST_PLAN_DAY);
}


static void
test_plan_order_of_work(void **data)
{
    ngx_uint_t                 i;
    ngx_autocert_plan_next_t   next;
    ngx_autocert_plan_name_t  *name = test_plan_names;

    static ngx_uint_t  wanted[] = { 3, 1, 5, 4, 0, 2 };

    (void) data;

    /* due later, none, failed, order, failed longer ago, due sooner */

    name[2].failed = 1;
    name[2].retry = TEST_PLAN_NOW - 10;
    name[4].failed = 1;
    name[4].retry = TEST_PLAN_NOW - 20;
    name[3].order = 1;
    name[0].end = TEST_PLAN_NOW + 200;
    name[5].end = TEST_PLAN_NOW + 100;

    for (i = 0; i < TEST_PLAN_NAMES; i++) {
        assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                         NGX_AUTOCERT_PLAN_ORDER);
        assert_int_equal(next.index, wanted[i]);
        name[next.index].never = 1;
        test_plan.turn++;
    }

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_WAIT);
    assert_int_equal(next.until, NGX_AUTOCERT_PLAN_NEVER);
}


/* Orders and windows by turns. */

static void
test_plan_turns(void **data)
{
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(2);
    test_plan_issue(0, TEST_PLAN_NOW);

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_WINDOW);
    ngx_autocert_plan_look(&test_plan, 0, TEST_PLAN_NOW, &test_state);
    test_plan_names[0].look = 0;

    ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_ORDER);
    assert_int_equal(test_plan_start(1, TEST_PLAN_NOW), NGX_OK);

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_WINDOW);
}


static void
test_plan_windows(void **data)
{
    time_t                 due, first;
    ngx_uint_t             i;
    ngx_autocert_window_t  window;

    static const struct {
        time_t      start, end;         /* days from not_before */
        ngx_uint_t  rc;
    } t[] = {
        { 59, 61, NGX_AUTOCERT_PLAN_CHOSEN },
        { -30, 61, NGX_AUTOCERT_PLAN_CHOSEN },
        { 80, 200, NGX_AUTOCERT_PLAN_CHOSEN },
        { -20, -10, NGX_AUTOCERT_PLAN_PAST },
        { 0, 1, NGX_AUTOCERT_PLAN_PAST },
        { 61, 59, NGX_AUTOCERT_PLAN_ABSURD },
        { 61, 61, NGX_AUTOCERT_PLAN_ABSURD },
        { 90, 91, NGX_AUTOCERT_PLAN_ABSURD },
        { 5000, 6000, NGX_AUTOCERT_PLAN_ABSURD },
    };

    (void) data;

    test_plan_only(1);
    first = test_chain.not_after - 7 * TEST_PLAN_DAY;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        test_plan_issue(0, TEST_PLAN_NOW);
        test_random = 1;

        ngx_memzero(&window, sizeof(ngx_autocert_window_t));
        window.start = test_chain.not_before + t[i].start * TEST_PLAN_DAY;
        window.end = test_chain.not_before + t[i].end * TEST_PLAN_DAY;

        assert_int_equal(ngx_autocert_plan_window(&test_plan, 0,
                                                  TEST_PLAN_NOW, &test_chain,
                                                  &window, &test_state),
                         t[i].rc);

        due = ngx_autocert_plan_due(&test_plan, 0);

        switch (t[i].rc) {

        case NGX_AUTOCERT_PLAN_CHOSEN:
            assert_in_range(test_state.renew_at,
                            ngx_max(window.start, test_chain.not_before),
                            ngx_min(window.end, test_chain.not_after));
            assert_int_equal(due, ngx_min(test_state.renew_at, first));

            /* once, and kept in a window that is moved a little */

            test_random = 123456789;
            assert_int_equal(ngx_autocert_plan_window(&test_plan, 0,
                                         TEST_PLAN_NOW, &test_chain,
                                         &window, &test_state),
                             NGX_AUTOCERT_PLAN_SAME);
            window.end += 3600;
            assert_int_equal(ngx_autocert_plan_window(&test_plan, 0,
                                         TEST_PLAN_NOW, &test_chain,
                                         &window, &test_state),
                             NGX_AUTOCERT_PLAN_SAME);
            assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), due);
            break;

        case NGX_AUTOCERT_PLAN_PAST:
            assert_true(due <= TEST_PLAN_NOW);
            assert_int_equal(ngx_autocert_plan_window(&test_plan, 0,
                                         TEST_PLAN_NOW, &test_chain,
                                         &window, &test_state),
                             NGX_AUTOCERT_PLAN_SAME);
            break;

        default:
            assert_int_equal(due, first);
            assert_int_equal(test_state.renew_at, 0);
        }

        /* as it is found again after a restart */

        due = ngx_autocert_plan_due(&test_plan, 0);
        test_plan_found(0, TEST_PLAN_NOW, &test_chain, &test_state, 0);
        assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), due);

        /* and goes with the certificate that it belongs to */

        test_chain.id[0]++;
        test_plan_found(0, TEST_PLAN_NOW, &test_chain, &test_state, 0);
        assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), first);
        assert_int_equal(test_plan_names[0].look, NGX_AUTOCERT_PLAN_NEVER);
    }
}


/* The window is looked at again by Retry-After, within bounds. */

static void
test_plan_looks(void **data)
{
    time_t                 look;
    ngx_uint_t             i;
    ngx_autocert_window_t  window;

    static const struct {
        time_t  retry, look;
    } t[] = {
        { 0, 6 * 3600 }, { 1, 60 }, { 7200, 7200 }, { 864000, 12 * 3600 },
    };

    (void) data;

    ngx_memzero(&window, sizeof(ngx_autocert_window_t));
    window.start = TEST_PLAN_NOW + 10;
    window.end = TEST_PLAN_NOW + 20;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        window.retry_at = t[i].retry ? TEST_PLAN_NOW + t[i].retry : 0;

        (void) ngx_autocert_plan_window(&test_plan, 0, TEST_PLAN_NOW,
                                        &test_chain, &window, &test_state);
        assert_int_equal(test_state.look_at - TEST_PLAN_NOW, t[i].look);
        assert_int_equal(test_plan_names[0].look, test_state.look_at);
    }

    /* it can't be asked: ever longer, up to six hours */

    test_fail.kind = NGX_AUTOCERT_FAIL_REFUSED;
    look = 0;

    for (i = 0; i < 20; i++) {
        ngx_autocert_plan_look(&test_plan, 0, TEST_PLAN_NOW, &test_state);
        assert_int_equal(test_plan_names[0].look, test_state.look_at);
        ngx_autocert_plan_unseen(&test_plan, 0, TEST_PLAN_NOW, &test_fail,
                                 &test_state);
        assert_true(test_state.look_at - TEST_PLAN_NOW >= look);
        look = test_state.look_at - TEST_PLAN_NOW;
        assert_true(look >= 60);
    }

    assert_int_equal(look, 60 << 8);
}


static void
test_plan_backoff(void **data)
{
    time_t      now, delay;
    ngx_uint_t  i;

    (void) data;

    test_random = 0xffffffff;
    now = TEST_PLAN_NOW;

    for (i = 1; i <= 400; i++) {
        delay = test_plan_fail(0, now, NGX_AUTOCERT_FAIL_REFUSED,
                               NGX_AUTOCERT_FAIL_NAME)
                - now;

        assert_int_equal(test_state.failures, i);
        assert_int_equal(test_state.next_attempt, now + delay);
        assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), now + delay);

        if (i == 1) {
            assert_in_range(delay, 45, 60);

        } else if (i < 7) {
            assert_in_range(delay, 45 << (i - 1), 60 << (i - 1));

        } else if (i <= 175) {
            assert_in_range(delay, 2700, 3600);

        } else {
            assert_in_range(delay, 64800, 86400);
        }

        now += delay;
    }

    /* a week or less is left: every hour again */

    test_plan_names[0].end = now + 7 * TEST_PLAN_DAY;
    delay = test_plan_fail(0, now, NGX_AUTOCERT_FAIL_REFUSED,
                           NGX_AUTOCERT_FAIL_NAME);
    assert_in_range(delay - now, 2700, 3600);

    test_plan_names[0].end = now + 8 * TEST_PLAN_DAY;
    delay = test_plan_fail(0, now, NGX_AUTOCERT_FAIL_REFUSED,
                           NGX_AUTOCERT_FAIL_NAME);
    assert_in_range(delay - now, 64800, 86400);

    /* the CA's wish counts if it is the later one */

    test_fail.retry_at = now + 200000;
    assert_int_equal(test_plan_fail(0, now, NGX_AUTOCERT_FAIL_LIMITED,
                                    NGX_AUTOCERT_FAIL_NAME),
                     now + 200000);
    test_fail.retry_at = now + 10;
    assert_true(test_plan_fail(0, now, NGX_AUTOCERT_FAIL_LIMITED,
                               NGX_AUTOCERT_FAIL_NAME)
                > now + 60000);
}


static void
test_plan_lasting(void **data)
{
    time_t  delay;

    (void) data;

    test_fail.lasting = 1;
    delay = test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_REFUSED,
                           NGX_AUTOCERT_FAIL_NAME)
            - TEST_PLAN_NOW;
    assert_in_range(delay, 64800, 86400);
}


/* A failure of the CA holds all names and is none of theirs. */

static void
test_plan_hold(void **data)
{
    time_t                    until;
    ngx_uint_t                i;
    ngx_autocert_ca_t         ca;
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(2);

    for (i = 1; i < 10; i++) {
        test_plan.changed = 0;
        until = test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_NETWORK,
                               NGX_AUTOCERT_FAIL_CA);

        assert_int_equal(test_plan.changed, 1);
        assert_int_equal(test_plan.ca.failures, i);
        assert_int_equal(test_state.failures, 0);
        assert_int_equal(test_state.next_attempt, 0);
        assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                         NGX_AUTOCERT_PLAN_WAIT);
        assert_int_equal(next.until, until);
        assert_true(until - TEST_PLAN_NOW <= 3600);
    }

    assert_int_equal(until - TEST_PLAN_NOW, 3600);

    test_fail.retry_at = TEST_PLAN_NOW + 7200;
    until = test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_LIMITED,
                           NGX_AUTOCERT_FAIL_CA);
    assert_int_equal(until, TEST_PLAN_NOW + 7200);
    assert_int_equal(test_plan_ask(until - 1, &next),
                     NGX_AUTOCERT_PLAN_WAIT);

    /* remembered; a reload does not break what the CA asked for */

    ca = test_plan.ca;
    ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW + 700, &ca, 1);
    assert_int_equal(test_plan.ca.hold, until);

    ca.kind = NGX_AUTOCERT_FAIL_NETWORK;
    ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW + 500, &ca, 1);
    assert_int_equal(test_plan.ca.hold, until);
    ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW + 700, &ca, 0);
    assert_int_equal(test_plan.ca.hold, until);
    ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW + 700, &ca, 1);
    assert_int_equal(test_plan.ca.hold, 0);

    /* that was written by a clock which is set right now */

    ca.hold = TEST_PLAN_NOW + 9 * TEST_PLAN_DAY;
    ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW, &ca, 0);
    assert_in_range(test_plan.ca.hold, TEST_PLAN_NOW, TEST_PLAN_NOW + 3600);

    test_plan_issue(0, TEST_PLAN_NOW);
    assert_int_equal(test_plan.ca.hold, 0);
    assert_int_equal(test_plan.ca.failures, 0);
}


/* Two names in a row that can't reach it: the CA. */

static void
test_plan_unreached(void **data)
{
    (void) data;

    (void) test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_NETWORK,
                          NGX_AUTOCERT_FAIL_NAME);
    assert_int_equal(test_plan.ca.hold, 0);

    (void) test_plan_fail(1, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_REFUSED,
                          NGX_AUTOCERT_FAIL_NAME);
    (void) test_plan_fail(2, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_NETWORK,
                          NGX_AUTOCERT_FAIL_NAME);
    assert_int_equal(test_plan.ca.hold, 0);

    (void) test_plan_fail(3, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_NETWORK,
                          NGX_AUTOCERT_FAIL_NAME);
    assert_true(test_plan.ca.hold > TEST_PLAN_NOW);
}


/* However often it is the same one. */

static void
test_plan_unreached_by_one(void **data)
{
    ngx_uint_t  i;

    (void) data;

    for (i = 0; i < 5; i++) {
        (void) test_plan_fail(3, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_NETWORK,
                              NGX_AUTOCERT_FAIL_NAME);
        assert_int_equal(test_plan.ca.hold, 0);
    }

    (void) test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_NETWORK,
                          NGX_AUTOCERT_FAIL_NAME);
    assert_true(test_plan.ca.hold > TEST_PLAN_NOW);
}


/*
 * One at which the CA fails every time, its order under way or not: the other
 * one has its turn, and then it is not the CA that is to blame.
 */

static void
test_plan_starved(void **data)
{
    time_t                    until;
    ngx_uint_t                order;
    ngx_autocert_plan_next_t  next;

    (void) data;

    for (order = 0; order < 2; order++) {

        test_plan_only(2);
        test_plan.ca.failures = 0;
        test_plan.ca.hold = 0;
        test_fail.retry_at = 0;
        ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
        test_plan_found(0, TEST_PLAN_NOW, NULL, &test_state, 0);
        test_plan_found(1, TEST_PLAN_NOW, NULL, &test_state, 0);

        if (order) {
            ngx_str_set(&test_state.order, "https://ca/o/1");
        }

        assert_int_equal(test_plan_start(0, TEST_PLAN_NOW), NGX_OK);
        until = test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_LIMITED,
                               NGX_AUTOCERT_FAIL_CA);
        assert_int_equal(test_plan.ca.hold, until);
        assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), until);

        if (order) {
            ngx_autocert_plan_found(&test_plan, 0, until, NULL, &test_state,
                                    0);
        }

        test_plan.turn = 0;
        test_plan.looked = 1;
        assert_int_equal(test_plan_ask(until, &next),
                         NGX_AUTOCERT_PLAN_ORDER);
        assert_int_equal(next.index, 1);

        /* it was held, so it is the CA: there is no more that is known */

        assert_int_equal(test_state.failures, 0);
        (void) test_plan_fail(0, until, NGX_AUTOCERT_FAIL_NETWORK,
                              NGX_AUTOCERT_FAIL_CA);
        assert_int_equal(test_state.failures, 0);
        assert_true(test_plan.ca.hold > until);

        ngx_autocert_plan_issued(&test_plan, 1, until, &test_chain,
                                 &test_account,
                                 &(ngx_autocert_state_t) { .failures = 0 },
                                 &test_issued, test_pool);
        assert_int_equal(test_plan.ca.hold, 0);

        test_plan_only(1);
        (void) test_plan_fail(0, until, NGX_AUTOCERT_FAIL_NETWORK,
                              NGX_AUTOCERT_FAIL_CA);
        assert_int_equal(test_state.failures, 1);
        assert_int_equal(test_plan.ca.hold, 0);
        assert_in_range(ngx_autocert_plan_due(&test_plan, 0), until + 45,
                        until + 60);

        /* what the CA asks for stands, and others have a while after it */

        test_fail.retry_at = until + 1000;
        (void) test_plan_fail(0, until, NGX_AUTOCERT_FAIL_LIMITED,
                              NGX_AUTOCERT_FAIL_CA);
        assert_int_equal(test_state.failures, 2);
        assert_int_equal(test_plan.ca.hold, until + 1000);
        assert_in_range(ngx_autocert_plan_due(&test_plan, 0),
                        until + 1000 + 90, until + 1000 + 120);

        /* it has succeeded: blame begins anew */

        ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
        test_plan_issue(0, until + 2000);
        test_fail.retry_at = 0;
        (void) test_plan_fail(0, until + 2000, NGX_AUTOCERT_FAIL_NETWORK,
                              NGX_AUTOCERT_FAIL_CA);
        assert_int_equal(test_state.failures, 0);
        assert_true(test_plan.ca.hold > until + 2000);
    }
}


/* A CA whose windows can't be asked for is asked for certificates. */

static void
test_plan_unseen(void **data)
{
    ngx_uint_t                i;
    ngx_autocert_state_t      state;
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(2);
    ngx_memzero(&state, sizeof(ngx_autocert_state_t));
    test_plan_issue(0, TEST_PLAN_NOW);
    test_fail.kind = NGX_AUTOCERT_FAIL_NETWORK;

    for (i = 0; i < 4; i++) {
        test_plan_names[0].look = 0;
        test_fail.scope = (i < 2) ? NGX_AUTOCERT_FAIL_WINDOWS
                                  : NGX_AUTOCERT_FAIL_NAME;
        test_fail.retry_at = i ? 0 : TEST_PLAN_NOW + TEST_PLAN_DAY;

        ngx_autocert_plan_look(&test_plan, 0, TEST_PLAN_NOW, &test_state);
        ngx_autocert_plan_unseen(&test_plan, 0, TEST_PLAN_NOW, &test_fail,
                                 &test_state);

        assert_int_equal(test_plan.ca.hold, 0);
        assert_int_equal(test_plan.ca.failures, 0);
        assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                         NGX_AUTOCERT_PLAN_ORDER);
    }

    /* not even of another name, before that is over */

    assert_int_equal(test_plan.ca.blind, TEST_PLAN_NOW + TEST_PLAN_DAY / 2);

    /* but it is the CA that can't be reached at all */

    test_fail.scope = NGX_AUTOCERT_FAIL_CA;
    ngx_autocert_plan_unseen(&test_plan, 0, TEST_PLAN_NOW, &test_fail,
                             &test_state);
    assert_true(test_plan.ca.hold > TEST_PLAN_NOW);
}


static void
test_plan_domains(void **data)
{
    ngx_uint_t                   i;
    ngx_autocert_plan_next_t     next;
    ngx_autocert_plan_failed_t   failed;

    (void) data;

    test_fail.kind = NGX_AUTOCERT_FAIL_LIMITED;
    test_fail.scope = NGX_AUTOCERT_FAIL_DOMAIN;
    test_fail.retry_at = TEST_PLAN_NOW + 20000;
    test_fail.interval = 12096;
    test_fail.span = 604800;
    ngx_str_set(&test_fail.domain, "example.com");

    ngx_autocert_plan_failed(&test_plan, 2, TEST_PLAN_NOW, &test_fail,
                             &test_state, &failed);

    assert_int_equal(failed.next, TEST_PLAN_NOW + 20000);
    assert_int_equal(failed.names, 3);
    assert_int_equal(failed.all, TEST_PLAN_NOW + 20000 + 2 * 12096);
    assert_int_equal(test_state.failures, 0);
    assert_int_equal(test_state.kind, NGX_AUTOCERT_FAIL_LIMITED);

    for (i = 0; i < TEST_PLAN_NAMES; i++) {
        assert_int_equal(ngx_autocert_plan_due(&test_plan, i),
                         i >= 2 && i <= 4 ? TEST_PLAN_NOW + 20000 : 0);
    }

    /* the others go on */

    for (i = 0; i < 3; i++) {
        assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                         NGX_AUTOCERT_PLAN_ORDER);
        assert_true(next.index < 2 || next.index == 5);
        test_plan_names[next.index].never = 1;
    }

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_WAIT);
    assert_int_equal(next.until, TEST_PLAN_NOW + 20000);

    /* one is had: the next one in its time, not at once */

    test_plan_issue(2, TEST_PLAN_NOW + 20100);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 3),
                     TEST_PLAN_NOW + 20100 + 12096);

    /* until all that is over */

    test_plan_issue(3, TEST_PLAN_NOW + 20000 + 604800);
    assert_int_equal(test_plan.ca.ndomains, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 4), 0);
}


/* More domains than there is room for: the first to end goes. */

static void
test_plan_domains_full(void **data)
{
    u_char                       buf[NGX_AUTOCERT_STORE_DOMAINS + 4][16];
    ngx_uint_t                   i;
    ngx_autocert_plan_failed_t   failed;

    (void) data;

    test_fail.scope = NGX_AUTOCERT_FAIL_DOMAIN;

    for (i = 0; i < NGX_AUTOCERT_STORE_DOMAINS + 4; i++) {
        test_fail.domain.data = buf[i];
        test_fail.domain.len = ngx_sprintf(buf[i], "d%ui.test", i) - buf[i];

        ngx_autocert_plan_failed(&test_plan, 0, TEST_PLAN_NOW + i,
                                 &test_fail, &test_state, &failed);
        assert_int_equal(failed.names, 0);
    }

    assert_int_equal(test_plan.ca.ndomains, NGX_AUTOCERT_STORE_DOMAINS);

    for (i = 0; i < NGX_AUTOCERT_STORE_DOMAINS; i++) {
        assert_true(test_plan.ca.domains[i].end
                    >= TEST_PLAN_NOW + 4 + 3600 + 604800);
    }
}


/* How many can be had from now on, one at each of n instants. */

static ngx_uint_t
test_plan_afford(time_t life, time_t step, time_t span)
{
    time_t      now;
    ngx_str_t   url;
    ngx_uint_t  n;
    u_char      buf[32];

    n = 0;
    test_issued.life = life;
    url.data = buf;

    for (now = TEST_PLAN_NOW; now < TEST_PLAN_NOW + span; now += step) {

        ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));

        if (test_plan_start(0, now) != NGX_OK) {
            assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_BUDGET);
            assert_int_equal(test_state.kind, NGX_AUTOCERT_FAIL_BUDGET);
            assert_true(test_fail.retry_at > now);
            assert_int_equal(test_state.next_attempt, test_fail.retry_at);
            assert_int_equal(test_plan_names[0].retry, test_fail.retry_at);
            assert_int_equal(test_state.failures, 0);
            continue;
        }

        url.len = ngx_sprintf(buf, "https://ca/o/%T", now) - buf;
        ngx_autocert_plan_count(&test_issued, now, &url);
        n++;
    }

    return n;
}


static void
test_plan_budget(void **data)
{
    ngx_uint_t  i;

    static const struct {
        time_t      life, step, span;
        ngx_uint_t  n;
    } t[] = {
        { 90 * TEST_PLAN_DAY, 600, 45 * TEST_PLAN_DAY, 3 },
        { 90 * TEST_PLAN_DAY, 600, 46 * TEST_PLAN_DAY, 6 },
        { 8 * TEST_PLAN_DAY, 600, 4 * TEST_PLAN_DAY, 3 },
        { 8 * TEST_PLAN_DAY, 600, 7 * TEST_PLAN_DAY, 4 },
        { 160 * 3600, 600, 80 * 3600, 3 },
        { 160 * 3600, 600, 160 * 3600, 6 },
        { 30, 1, 20, 3 },
        { 10, 1, 20, 3 },
        { 0, 600, 7 * TEST_PLAN_DAY, 4 },
        { 0, 600, 302400, 3 },
    };

    (void) data;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ngx_memzero(&test_issued, sizeof(ngx_autocert_issued_t));

        assert_int_equal(test_plan_afford(t[i].life, t[i].step, t[i].span),
                         t[i].n);
    }

    /* the clock was set back: they count as of now, for as long as others */

    test_issued.life = 1000;
    test_issued.n = 3;
    test_issued.at[0] = TEST_PLAN_NOW + 1000000;
    test_issued.at[1] = TEST_PLAN_NOW + 1000000;
    test_issued.at[2] = TEST_PLAN_NOW + 1000000;
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW), NGX_DECLINED);
    assert_int_equal(test_fail.retry_at, TEST_PLAN_NOW + 500);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0),
                     TEST_PLAN_NOW + 500);

    /* whoever begins anew looks at it anew */

    test_plan_found(0, TEST_PLAN_NOW, NULL, &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW + 499), NGX_DECLINED);
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW + 500), NGX_OK);

    /* that is over then: what comes of a crash loop counts again */

    assert_int_equal(test_state.kind, 0);
    assert_int_equal(test_state.why.len, 0);
    assert_int_equal(test_state.next_attempt, 0);

    for (i = 0; i < 4; i++) {
        assert_int_equal(test_plan_start(0, TEST_PLAN_NOW + 500), NGX_OK);
    }

    test_plan_found(0, TEST_PLAN_NOW + 500, NULL, &test_state, 0);
    assert_true(ngx_autocert_plan_due(&test_plan, 0)
                >= TEST_PLAN_NOW + 500 + 45);
}


/* An order that is counted goes on; one that comes to nothing is not. */

static void
test_plan_count(void **data)
{
    ngx_str_t   url = ngx_string("https://ca/o/1");
    ngx_str_t   other = ngx_string("https://ca/o/2");
    ngx_uint_t  i;

    (void) data;

    test_issued.life = TEST_PLAN_LIFE;

    for (i = 0; i < 12; i++) {
        ngx_autocert_plan_count(&test_issued, TEST_PLAN_NOW + i, &url);
    }

    assert_int_equal(test_issued.n, NGX_AUTOCERT_STORE_ISSUED);
    assert_int_equal(test_issued.at[0], TEST_PLAN_NOW + 11);
    assert_int_equal(test_issued.at[7], TEST_PLAN_NOW + 4);

    test_state.ca = test_acf.ca;
    test_state.order = url;
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW + 12), NGX_OK);
    test_state.order = other;
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW + 12), NGX_DECLINED);

    ngx_autocert_plan_uncount(&test_issued, &other);
    assert_int_equal(test_issued.n, NGX_AUTOCERT_STORE_ISSUED);
    ngx_autocert_plan_uncount(&test_issued, &url);
    assert_int_equal(test_issued.n, NGX_AUTOCERT_STORE_ISSUED - 1);
    assert_int_equal(test_issued.at[0], TEST_PLAN_NOW + 10);
    ngx_autocert_plan_uncount(&test_issued, &url);
    assert_int_equal(test_issued.n, NGX_AUTOCERT_STORE_ISSUED - 1);
}


/* Begun again and again with no end: three times at once, then ever later. */

static void
test_plan_crashes(void **data)
{
    time_t      now, wait;
    ngx_uint_t  i;

    (void) data;

    now = TEST_PLAN_NOW;
    wait = 0;

    for (i = 1; i <= 12; i++) {
        assert_int_equal(test_plan_start(0, now), NGX_OK);

        test_plan_found(0, now, NULL, &test_state, 0);

        if (i <= 3) {
            assert_true(ngx_autocert_plan_due(&test_plan, 0) <= now);
            continue;
        }

        assert_true(ngx_autocert_plan_due(&test_plan, 0) - now >= wait);
        wait = ngx_autocert_plan_due(&test_plan, 0) - now;
        assert_true(wait >= 60);
        now += wait;
    }

    assert_int_equal(wait, 3600);

    /* nor does a reload begin that anew */

    test_plan_found(0, now - 1, NULL, &test_state, 1);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), now);

    /* nor does one that ends what was begun: each would ask for an order */

    ngx_autocert_plan_leave(&test_state);
    test_plan_found(0, now - 1, NULL, &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), now);

    ngx_str_set(&test_state.order, "https://ca/o/1");
    ngx_autocert_plan_leave(&test_state);
    test_plan_found(0, now, NULL, &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);
}


/* 1,000 new orders: never 300 in 3 hours, and not forgotten in between. */

static void
test_plan_pace(void **data)
{
    time_t                    now, at[1000];
    ngx_uint_t                i, j, n;
    ngx_autocert_ca_t         ca;
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(1);
    now = TEST_PLAN_NOW;

    for (n = 0; n < 1000; /* void */ ) {

        ca = test_plan.ca;
        ngx_autocert_plan_remember(&test_plan, now, &ca, 0);

        if (test_plan_ask(now, &next) == NGX_AUTOCERT_PLAN_WAIT) {
            assert_true(next.until > now);
            now = next.until;
            continue;
        }

        ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
        assert_int_equal(test_plan_start(0, now), NGX_OK);
        at[n++] = now;
        now += 2;
    }

    for (i = 0; i < n; i++) {
        for (j = i; j < n && at[j] < at[i] + 3 * 3600; j++) { /* void */ }

        assert_true(j - i <= 290);
    }

    /* nor much slower than that */

    assert_true(now - TEST_PLAN_NOW < 4 * 11500);

    /* what is begun already is not held up by it */

    test_plan_names[0].order = 1;
    assert_int_equal(test_plan_ask(now, &next), NGX_AUTOCERT_PLAN_ORDER);
}


static void
test_plan_reload(void **data)
{
    time_t  next;

    (void) data;

    next = test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_REFUSED,
                          NGX_AUTOCERT_FAIL_NAME);
    test_state.next_attempt = TEST_PLAN_NOW + 3600;
    next = test_state.next_attempt;

    /* a restart changes nothing, a reload does after ten minutes */

    test_plan_found(0, TEST_PLAN_NOW + 700, NULL, &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), next);
    test_plan_found(0, TEST_PLAN_NOW + 599, NULL, &test_state, 1);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), next);
    test_plan_found(0, TEST_PLAN_NOW + 600, NULL, &test_state, 1);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);

    /* once, whatever is looked at in between */

    ngx_autocert_plan_found(&test_plan, 0, TEST_PLAN_NOW + 601, NULL,
                            &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);
    next = test_plan_fail(0, TEST_PLAN_NOW + 601, NGX_AUTOCERT_FAIL_REFUSED,
                          NGX_AUTOCERT_FAIL_NAME);
    ngx_autocert_plan_found(&test_plan, 0, TEST_PLAN_NOW + 1300, NULL,
                            &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), next);

    /* but not what the CA has asked for */

    test_state.kind = NGX_AUTOCERT_FAIL_LIMITED;
    test_plan_found(0, TEST_PLAN_NOW + 1300, NULL, &test_state, 1);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), next);

    /* of a clock that was wrong */

    test_state.next_attempt = TEST_PLAN_NOW + 9 * TEST_PLAN_DAY;
    test_plan_found(0, TEST_PLAN_NOW, NULL, &test_state, 0);
    assert_in_range(ngx_autocert_plan_due(&test_plan, 0), TEST_PLAN_NOW,
                    TEST_PLAN_NOW + 3600);

    /* another configuration: at once */

    test_names[0].challenge = NGX_AUTOCERT_CHALLENGE_HTTP;
    ngx_autocert_plan_init(&test_plan);
    test_plan_found(0, TEST_PLAN_NOW, NULL, &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);
    assert_int_equal(test_state.failures, 0);
}


/* A certificate of ours, of another curve or CA than is wanted now. */

static void
test_plan_changed(void **data)
{
    ngx_str_t             order = ngx_string("https://ca/o/1");
    ngx_autocert_state_t  state;

    (void) data;

    test_plan_only(1);
    test_plan_issue(0, TEST_PLAN_NOW);
    assert_true(ngx_autocert_plan_due(&test_plan, 0) > TEST_PLAN_NOW);

    test_names[0].curve = NID_X9_62_prime256v1;
    ngx_autocert_plan_init(&test_plan);
    state = test_state;
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);

    /* one that was put there by hand is left as it is */

    ngx_memzero(&state, sizeof(ngx_autocert_state_t));
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &state, 0);
    assert_true(ngx_autocert_plan_due(&test_plan, 0) > TEST_PLAN_NOW);

    test_names[0].curve = NID_secp384r1;
    ngx_str_set(&test_acf.ca, "https://other/dir");
    ngx_autocert_plan_init(&test_plan);
    state = test_state;
    state.order = order;
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);
    assert_int_equal(test_plan_names[0].look, NGX_AUTOCERT_PLAN_NEVER);
    assert_int_equal(state.order.len, 0);
}


/* The helper was killed between the commit and what is remembered of it. */

static void
test_plan_promise(void **data)
{
    ngx_uint_t             i;
    ngx_str_t              order = ngx_string("https://ca/o/1");
    ngx_autocert_state_t   was, state;

    (void) data;

    test_plan_only(1);

    test_state.ca = test_acf.ca;
    test_state.setup = test_plan_names[0].setup;
    test_state.order = order;
    test_state.failures = 2;
    test_state.next_attempt = TEST_PLAN_NOW + 1000;
    ngx_str_set(&test_state.challenge, "http-01");
    ngx_str_set(&test_state.token, "token");

    assert_int_equal(ngx_autocert_plan_promise(&test_state, test_chain.id,
                                               &test_account, test_pool),
                     NGX_OK);
    assert_int_equal(ngx_autocert_plan_promise(&test_state, test_chain.id,
                                               &test_account, test_pool),
                     NGX_DECLINED);

    /* nothing has come of it so far, nor does the pair of before */

    test_chain.id[0]++;

    for (i = 0; i < 2; i++) {
        state = test_state;
        test_plan_found(0, TEST_PLAN_NOW, i ? &test_chain : NULL, &state, 0);
        assert_int_equal(state.key.len, 0);
        assert_int_equal(state.order.len, order.len);
        assert_int_equal(state.next_key.len, test_state.next_key.len);
    }

    /* as if it had been remembered */

    test_chain.id[0]--;
    was = test_state;
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &test_state, 0);

    assert_true(ngx_autocert_plan_obtained(&test_state, &test_chain));
    assert_true(ngx_autocert_plan_is(&test_state.issuer, &test_acf.ca));
    assert_true(ngx_autocert_plan_is(&test_state.account, &test_account));
    assert_int_equal(test_plan_names[0].look, TEST_PLAN_NOW);
    assert_int_equal(test_plan_names[0].order, 0);
    assert_int_equal(test_plan_names[0].failed, 0);
    assert_int_equal(test_state.token.len, 0);
    assert_int_equal(test_state.next_attempt, 0);
    assert_int_equal(test_state.challenge.len, 7);

    state = was;
    test_state = was;
    test_plan_issue(0, TEST_PLAN_NOW);
    ngx_autocert_plan_found(&test_plan, 0, TEST_PLAN_NOW, &test_chain,
                            &state, 0);
    state.key.data = test_state.key.data;
    assert_memory_equal(&state, &test_state, sizeof(state));

    /* by a CA of before, it is ours all the same, and ordered anew */

    ngx_str_set(&test_acf.ca, "https://other/dir");
    state = was;
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &state, 0);
    assert_true(ngx_autocert_plan_is(&state.issuer, &was.ca));
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);

    /* while an order of that one's is not to be taken for the new one's */

    test_chain.id[0]++;
    state = was;
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &state, 0);
    test_chain.id[0]--;
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &state, 0);
    assert_int_equal(state.key.len, 0);
}


/* What is found at a start was written by a clock that was ahead. */

static void
test_plan_found_ahead(void **data)
{
    time_t             ahead;
    ngx_uint_t         i;
    ngx_autocert_ca_t  ca;

    static const time_t  t[] = { 6, 400, 20000 };

    (void) data;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ahead = TEST_PLAN_NOW + t[i] * TEST_PLAN_DAY;

        ngx_memzero(&ca, sizeof(ngx_autocert_ca_t));
        ca.failures = 1;
        ca.kind = NGX_AUTOCERT_FAIL_NETWORK;
        ca.failed_at = ahead;
        ca.hold = ahead + 3600;
        ca.blind = ahead + 7200;
        ca.contacts_at = ahead + 1000;
        ca.nslots = 1;
        ca.slots[0].at = ahead - 100;
        ca.slots[0].n = 5;
        ca.ndomains = 1;
        ca.domains[0].until = ahead + 5000;
        ca.domains[0].end = ahead + 700000;

        test_plan.changed = 0;
        ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW, &ca, 0);

        assert_int_equal(test_plan.changed, 1);
        assert_int_equal(test_plan.ca.failed_at, TEST_PLAN_NOW);
        assert_int_equal(test_plan.ca.hold, TEST_PLAN_NOW + 3600);
        assert_int_equal(test_plan.ca.blind, TEST_PLAN_NOW + 7200);
        assert_int_equal(test_plan.ca.contacts_at, TEST_PLAN_NOW + 1000);
        assert_int_equal(test_plan.ca.slots[0].at, TEST_PLAN_NOW - 100);
        assert_int_equal(test_plan.ca.domains[0].until,
                         TEST_PLAN_NOW + 5000);
        assert_int_equal(test_plan.ca.domains[0].end, TEST_PLAN_NOW + 700000);

        /* by the slots alone */

        ca.failed_at = 0;
        ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW, &ca, 0);
        assert_int_equal(test_plan.ca.domains[0].until,
                         TEST_PLAN_NOW + 5100);

        /* or by how far away that would be */

        ca.nslots = 0;
        ca.domains[0].until = TEST_PLAN_NOW + 400 * TEST_PLAN_DAY;
        ngx_autocert_plan_remember(&test_plan, TEST_PLAN_NOW, &ca, 0);
        assert_int_equal(test_plan.ca.domains[0].until, TEST_PLAN_NOW + 3600);
        assert_int_equal(test_plan.ca.domains[0].end,
                         TEST_PLAN_NOW + 604800);

        /* a name, and a helper that has died each time it began */

        ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
        test_state.ca = test_acf.ca;
        test_state.setup = test_plan_names[0].setup;
        test_state.failures = 1;
        test_state.failed_at = ahead;
        test_state.next_attempt = ahead + 3000;

        test_plan.moved = 0;
        test_plan_found(0, TEST_PLAN_NOW, NULL, &test_state, 0);
        assert_int_equal(ngx_autocert_plan_due(&test_plan, 0),
                         TEST_PLAN_NOW + 3000);
        assert_int_equal(test_plan.moved, 1);
        assert_int_equal(test_plan_names[0].moved, 1);

        /* as it is written then */

        test_state.failed_at = ahead;
        test_state.next_attempt = ahead + 3000;
        ngx_autocert_plan_moved(&test_plan, 0, TEST_PLAN_NOW + 1,
                                &test_state);
        assert_int_equal(test_state.failed_at, TEST_PLAN_NOW + 1);
        assert_int_equal(test_state.next_attempt, TEST_PLAN_NOW + 3000);
        assert_int_equal(test_plan_names[0].moved, 0);

        test_plan_found(0, TEST_PLAN_NOW + 1, NULL, &test_state, 0);
        assert_int_equal(test_plan_names[0].moved, 0);
        assert_int_equal(ngx_autocert_plan_due(&test_plan, 0),
                         TEST_PLAN_NOW + 3000);
    }

    ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
    test_state.tries = 10;
    test_state.ca = test_acf.ca;
    test_state.setup = test_plan_names[0].setup;
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW + 6 * TEST_PLAN_DAY),
                     NGX_OK);
    test_plan_found(0, TEST_PLAN_NOW, NULL, &test_state, 0);
    assert_in_range(ngx_autocert_plan_due(&test_plan, 0), TEST_PLAN_NOW + 60,
                    TEST_PLAN_NOW + 3600);

    /* a window is looked at anew */

    test_plan_issue(0, TEST_PLAN_NOW);
    test_state.look_at = TEST_PLAN_NOW + TEST_PLAN_DAY;
    test_plan_found(0, TEST_PLAN_NOW, &test_chain, &test_state, 0);
    assert_int_equal(test_plan_names[0].look, TEST_PLAN_NOW);
}


/* A host without a battery: what is counted is put right by a right clock. */

static void
test_plan_budget_in_1970(void **data)
{
    (void) data;

    test_issued.life = TEST_PLAN_LIFE;
    test_issued.n = 3;
    test_issued.at[0] = TEST_PLAN_NOW - 10;
    test_issued.at[1] = TEST_PLAN_NOW - 20;
    test_issued.at[2] = TEST_PLAN_NOW - 30;

    assert_int_equal(test_plan_start(0, 600), NGX_DECLINED);
    assert_int_equal(test_fail.retry_at, 600 + TEST_PLAN_LIFE / 2);
    assert_int_equal(test_issued.at[0], TEST_PLAN_NOW - 10);
    assert_int_equal(test_issued.at[2], TEST_PLAN_NOW - 30);

    test_plan.now = 600;
    test_plan.clock = 1000;
    ngx_autocert_plan_clock(&test_plan, TEST_PLAN_NOW, 1000);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 0), 0);
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW), NGX_DECLINED);
    assert_int_equal(test_fail.retry_at,
                     TEST_PLAN_NOW - 30 + TEST_PLAN_LIFE / 2);

    /* nor is what was counted then forgotten now */

    test_issued.at[0] = test_issued.at[1] = test_issued.at[2] = 1000;
    assert_int_equal(test_plan_start(0, TEST_PLAN_NOW), NGX_DECLINED);
    assert_int_equal(test_issued.at[0], TEST_PLAN_NOW);
}


/* Waits survive a clock that is set, certificates are not moved. */

static void
test_plan_clock(void **data)
{
    time_t                    back, renew, retry;
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(1);
    test_plan_issue(1, TEST_PLAN_NOW);
    ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
    (void) test_plan_start(0, TEST_PLAN_NOW);
    (void) test_plan_fail(0, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_REFUSED,
                          NGX_AUTOCERT_FAIL_NAME);
    renew = test_plan_names[1].renew;
    test_plan_names[1].look = TEST_PLAN_NOW + 100;
    test_plan.ca.hold = TEST_PLAN_NOW + 200;

    ngx_autocert_plan_next(&test_plan, TEST_PLAN_NOW, 5000, &next);
    assert_int_equal(test_plan.step, 0);

    back = TEST_PLAN_NOW - 400 * TEST_PLAN_DAY;
    ngx_autocert_plan_next(&test_plan, back, 6000, &next);
    assert_in_range(-test_plan.step, 400 * TEST_PLAN_DAY,
                    400 * TEST_PLAN_DAY + 1);

    assert_in_range(ngx_autocert_plan_due(&test_plan, 0), back + 50,
                    back + 61);
    assert_in_range(test_plan_names[1].look, back + 98, back + 101);
    assert_in_range(test_plan.ca.hold, back + 198, back + 201);
    assert_in_range(test_plan.ca.slots[0].at, back - 2, back);
    assert_int_equal(test_plan_names[1].renew, renew);

    /* what the store has of it is of the clock before */

    retry = test_plan_names[0].retry;
    ngx_autocert_plan_found(&test_plan, 0, back, NULL, &test_state, 0);
    assert_int_equal(test_plan_names[0].retry, retry);
    assert_int_equal(test_plan_names[2].look, NGX_AUTOCERT_PLAN_NEVER);

    assert_int_equal(test_plan.moved, 1);
    assert_int_equal(test_plan_names[0].moved, 1);
    assert_int_equal(test_plan_names[1].moved, 0);

    /* there and back, and by way of 1970: nothing is over, or put off */

    ngx_autocert_plan_next(&test_plan, TEST_PLAN_NOW + 2, 7000, &next);
    ngx_autocert_plan_next(&test_plan, 100, 7000, &next);
    test_plan.step = 0;
    ngx_autocert_plan_next(&test_plan, TEST_PLAN_NOW + 3, 8000, &next);
    assert_true(test_plan.step > 0);

    assert_int_equal(next.what, NGX_AUTOCERT_PLAN_WAIT);
    assert_in_range(ngx_autocert_plan_due(&test_plan, 0), TEST_PLAN_NOW + 50,
                    TEST_PLAN_NOW + 64);
    assert_in_range(test_plan_names[1].look, TEST_PLAN_NOW + 98,
                    TEST_PLAN_NOW + 102);
    assert_in_range(test_plan.ca.hold, TEST_PLAN_NOW + 198,
                    TEST_PLAN_NOW + 202);
    assert_in_range(test_plan.ca.slots[0].at, TEST_PLAN_NOW - 2,
                    TEST_PLAN_NOW + 2);
    assert_int_equal(test_plan_names[1].renew, renew);

    ngx_autocert_plan_next(&test_plan, TEST_PLAN_NOW + 205, 210000, &next);
    assert_int_equal(next.what, NGX_AUTOCERT_PLAN_WINDOW);
    ngx_autocert_plan_look(&test_plan, 1, TEST_PLAN_NOW + 205, &test_state);
    ngx_autocert_plan_next(&test_plan, TEST_PLAN_NOW + 205, 210000, &next);
    assert_int_equal(next.what, NGX_AUTOCERT_PLAN_ORDER);
    assert_int_equal(next.index, 0);

    /* time that passes is no step */

    test_plan.step = 0;
    ngx_autocert_plan_next(&test_plan, TEST_PLAN_NOW + 205 + 86400,
                           210000 + 86400 * 1000, &next);
    assert_int_equal(test_plan.step, 0);
}


/* What a person wants: NGX_OK, or NGX_DECLINED for a reason with this in it. */

static ngx_int_t
test_plan_want(ngx_uint_t index, ngx_uint_t force, const char *why)
{
    ngx_int_t  rc;

    rc = ngx_autocert_plan_want(&test_plan, index, TEST_PLAN_NOW, force,
                                &test_state, &test_issued, test_pool,
                                &test_fail);

    if (rc == NGX_OK) {
        assert_null(why);
        assert_int_equal(test_plan_names[index].wanted, 1);
        return rc;
    }

    assert_non_null(why);
    assert_non_null(ngx_strnstr(test_fail.why.data, (char *) why,
                                test_fail.why.len));
    assert_int_equal(test_plan_names[index].wanted, 0);

    return rc;
}


/* Ahead of the others, once, and whatever waits on our own account. */

static void
test_plan_wanted(void **data)
{
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(2);

    /* two that are due and have none; one that is far from due */

    assert_int_equal(test_plan_want(3, 0, "not due yet"), NGX_DECLINED);
    assert_true(test_fail.retry_at > TEST_PLAN_NOW);
    assert_int_equal(test_plan_want(3, 1, NULL), NGX_OK);

    test_plan_ask(TEST_PLAN_NOW, &next);
    assert_int_equal(next.what, NGX_AUTOCERT_PLAN_ORDER);
    assert_int_equal(next.index, 3);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 3), 0);

    assert_int_equal(ngx_autocert_plan_begin(&test_plan, 3, TEST_PLAN_NOW,
                                             &test_state, &test_issued,
                                             test_pool, &test_fail),
                     NGX_OK);
    test_plan_issue(3, TEST_PLAN_NOW);

    assert_true(ngx_autocert_plan_due(&test_plan, 3) > TEST_PLAN_NOW);

    /* inside the CA's window it may be */

    test_state.window_start = TEST_PLAN_NOW - 1;
    assert_int_equal(test_plan_want(4, 0, NULL), NGX_OK);

    /* what has failed waits for itself alone: it goes on, and only once */

    ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
    test_plan_fail(4, TEST_PLAN_NOW, NGX_AUTOCERT_FAIL_REFUSED,
                   NGX_AUTOCERT_FAIL_NAME);
    assert_int_equal(test_plan_names[4].wanted, 0);
    assert_true(ngx_autocert_plan_due(&test_plan, 4) > TEST_PLAN_NOW);
    assert_int_equal(test_plan_want(4, 1, NULL), NGX_OK);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 4), 0);
}


/* What the CA has asked for, and the budget, stand. */

static void
test_plan_unwanted(void **data)
{
    ngx_uint_t  i;

    (void) data;

    test_plan_only(0);

    test_plan_names[0].never = 1;
    assert_int_equal(test_plan_want(0, 1, "no certificate is ordered"),
                     NGX_DECLINED);

    test_plan.ca.hold = TEST_PLAN_NOW + 100;
    test_plan.ca.kind = NGX_AUTOCERT_FAIL_LIMITED;
    assert_int_equal(test_plan_want(1, 1, "asked to wait"), NGX_DECLINED);
    assert_int_equal(test_fail.retry_at, TEST_PLAN_NOW + 100);

    test_plan.ca.kind = NGX_AUTOCERT_FAIL_NETWORK;
    assert_int_equal(test_plan_want(1, 1, NULL), NGX_OK);
    assert_int_equal(test_plan.ca.hold, 0);
    test_plan_names[1].wanted = 0;

    test_state.failures = 1;
    test_state.kind = NGX_AUTOCERT_FAIL_LIMITED;
    test_plan_names[1].retry = TEST_PLAN_NOW + 50;
    assert_int_equal(test_plan_want(1, 1, "asked to wait with it"),
                     NGX_DECLINED);
    ngx_memzero(&test_state, sizeof(ngx_autocert_state_t));
    test_plan_names[1].retry = 0;

    test_plan.ca.ndomains = 1;
    test_plan.ca.domains[0].len = 4;
    ngx_memcpy(test_plan.ca.domains[0].data, "test", 4);
    test_plan.ca.domains[0].until = TEST_PLAN_NOW + 9;
    assert_int_equal(test_plan_want(1, 1, "registered domain"), NGX_DECLINED);
    assert_int_equal(test_plan_want(2, 1, NULL), NGX_OK);
    test_plan_names[2].wanted = 0;
    test_plan.ca.ndomains = 0;

    for (i = 0; i < 290; i++) {
        ngx_autocert_plan_slot(&test_plan, TEST_PLAN_NOW);
    }

    assert_int_equal(test_plan_want(1, 1, "three hours"), NGX_DECLINED);
    test_plan.ca.nslots = 0;

    for (i = 0; i < 3; i++) {
        ngx_autocert_plan_count(&test_issued, TEST_PLAN_NOW, &test_account);
    }

    test_issued.life = TEST_PLAN_LIFE;
    assert_int_equal(test_plan_want(1, 1, "the budget"), NGX_DECLINED);
    assert_int_equal(test_state.kind, 0);
}


/* Another one is due, also for whoever reads of it after a restart. */

static void
test_plan_revoked(void **data)
{
    (void) data;

    test_plan_only(0);
    test_plan_issue(1, TEST_PLAN_NOW);
    assert_true(ngx_autocert_plan_due(&test_plan, 1) > TEST_PLAN_NOW);

    ngx_autocert_plan_revoked(&test_plan, 1, test_chain.id, &test_state,
                              test_pool);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 1), 0);
    assert_int_equal(test_plan_names[1].wanted, 1);

    test_plan_found(1, TEST_PLAN_NOW, &test_chain, &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 1), 0);
    assert_int_equal(test_plan_names[1].look, NGX_AUTOCERT_PLAN_NEVER);
}


/* Likewise if a person put it there, or it is just what an order gave. */

static void
test_plan_revoked_by_hand(void **data)
{
    (void) data;

    test_plan_only(0);
    test_plan_found(1, TEST_PLAN_NOW, &test_chain, &test_state, 0);
    assert_int_equal(test_state.key.len, 0);
    assert_true(ngx_autocert_plan_due(&test_plan, 1) > TEST_PLAN_NOW);

    assert_int_equal(ngx_autocert_plan_promise(&test_state, test_chain.id,
                                               &test_account, test_pool),
                     NGX_OK);

    ngx_autocert_plan_revoked(&test_plan, 1, test_chain.id, &test_state,
                              test_pool);
    assert_int_equal(test_state.next_key.len, 0);
    assert_int_equal(test_state.next_account.len, 0);

    test_plan_found(1, TEST_PLAN_NOW, &test_chain, &test_state, 0);
    assert_int_equal(ngx_autocert_plan_due(&test_plan, 1), 0);
    assert_int_equal(test_plan_names[1].look, NGX_AUTOCERT_PLAN_NEVER);

    /* what is put there then is another one */

    test_chain.id[0]++;
    test_plan_found(1, TEST_PLAN_NOW, &test_chain, &test_state, 0);
    assert_true(ngx_autocert_plan_due(&test_plan, 1) > TEST_PLAN_NOW);
}


/* The CA has answered; or has asked to wait. */

static void
test_plan_revoked_hold(void **data)
{
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(0);
    test_fail.kind = NGX_AUTOCERT_FAIL_LIMITED;
    test_fail.retry_at = TEST_PLAN_NOW + 2 * TEST_PLAN_DAY;

    ngx_autocert_plan_unrevoked(&test_plan, TEST_PLAN_NOW, &test_fail);
    assert_int_equal(test_plan.ca.hold, 0);

    test_fail.scope = NGX_AUTOCERT_FAIL_CA;
    ngx_autocert_plan_unrevoked(&test_plan, TEST_PLAN_NOW, &test_fail);
    assert_int_equal(test_plan.ca.hold, test_fail.retry_at);
    assert_int_equal(test_plan.changed, 1);

    ngx_autocert_plan_revoked(&test_plan, 1, test_chain.id, &test_state,
                              test_pool);
    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_ORDER);
    assert_int_equal(next.index, 1);
}


static void
test_plan_contacts(void **data)
{
    ngx_autocert_plan_next_t  next;

    (void) data;

    test_plan_only(0);
    test_plan.contacts = 1;

    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_CONTACTS);

    test_fail.kind = NGX_AUTOCERT_FAIL_CONFIGURATION;
    ngx_autocert_plan_told(&test_plan, TEST_PLAN_NOW, &test_fail);
    assert_int_equal(test_plan_ask(TEST_PLAN_NOW, &next),
                     NGX_AUTOCERT_PLAN_WAIT);
    assert_int_equal(next.until, TEST_PLAN_NOW + TEST_PLAN_DAY);

    assert_int_equal(test_plan_ask(next.until, &next),
                     NGX_AUTOCERT_PLAN_CONTACTS);
    ngx_autocert_plan_told(&test_plan, TEST_PLAN_NOW, NULL);
    assert_int_equal(test_plan_ask(TEST_PLAN_NOW + TEST_PLAN_DAY, &next),
                     NGX_AUTOCERT_PLAN_WAIT);
}


#define test_plan_case(test)                                                  \
    cmocka_unit_test_setup_teardown(test, test_plan_setup, test_plan_teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_plan_case(test_plan_due),
        test_plan_case(test_plan_order_of_work),
        test_plan_case(test_plan_turns),
        test_plan_case(test_plan_windows),
        test_plan_case(test_plan_looks),
        test_plan_case(test_plan_backoff),
        test_plan_case(test_plan_lasting),
        test_plan_case(test_plan_hold),
        test_plan_case(test_plan_unreached),
        test_plan_case(test_plan_unreached_by_one),
        test_plan_case(test_plan_starved),
        test_plan_case(test_plan_unseen),
        test_plan_case(test_plan_domains),
        test_plan_case(test_plan_domains_full),
        test_plan_case(test_plan_budget),
        test_plan_case(test_plan_count),
        test_plan_case(test_plan_crashes),
        test_plan_case(test_plan_pace),
        test_plan_case(test_plan_reload),
        test_plan_case(test_plan_changed),
        test_plan_case(test_plan_promise),
        test_plan_case(test_plan_found_ahead),
        test_plan_case(test_plan_budget_in_1970),
        test_plan_case(test_plan_clock),
        test_plan_case(test_plan_wanted),
        test_plan_case(test_plan_unwanted),
        test_plan_case(test_plan_revoked),
        test_plan_case(test_plan_revoked_by_hand),
        test_plan_case(test_plan_revoked_hold),
        test_plan_case(test_plan_contacts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
