
#include "../../src/core/ngx_autocert_board.c"
#include "../../src/core/ngx_autocert_plan.c"
#include "../../src/core/ngx_autocert_report.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ngx_stub.h"


#define TEST_REPORT_NAMES  2
#define TEST_REPORT_NOW    1800000000       /* 2027-01-15T08:00:00Z */
#define TEST_REPORT_DAY    86400


static ngx_pool_t             *test_pool;
static ngx_cycle_t             test_cycle;
static ngx_autocert_core_t     test_core;
static ngx_autocert_conf_t     test_acf;
static ngx_autocert_name_t     test_names[TEST_REPORT_NAMES];
static ngx_autocert_facts_t   *test_facts;
static ngx_autocert_report_t   test_report;
static u_char                  test_buf[NGX_AUTOCERT_REPORT_JSON];


void *
ngx_autocert_shared(ngx_cycle_t *cycle, size_t size)
{
    return ngx_pcalloc(cycle->pool, size);
}


static int
test_report_setup(void **state)
{
    (void) state;

    test_pool = ngx_create_pool(4096, &ngx_stub_log);

    ngx_memzero(&test_cycle, sizeof(ngx_cycle_t));
    ngx_memzero(&test_core, sizeof(ngx_autocert_core_t));
    ngx_memzero(&test_acf, sizeof(ngx_autocert_conf_t));

    test_cycle.pool = test_pool;
    test_cycle.log = &ngx_stub_log;

    ngx_str_set(&test_names[0].name, "a.test");
    ngx_str_set(&test_names[1].name, "b.test");

    test_acf.names.elts = test_names;
    test_acf.names.nelts = TEST_REPORT_NAMES;
    test_acf.core = &test_core;
    ngx_str_set(&test_acf.ca, "https://ca.test/dir");

    if (ngx_autocert_board_create(&test_cycle, &test_core.board,
                                  TEST_REPORT_NAMES)
        != NGX_OK
        || ngx_autocert_board_own(&test_core.board, 7) != NGX_OK)
    {
        return -1;
    }

    test_facts = &test_core.board.own.known[0].facts;

    return 0;
}


static int
test_report_teardown(void **state)
{
    (void) state;

    if (test_core.board.own.summed) {
        munmap(test_core.board.own.summed,
               ngx_autocert_board_ledger_size(TEST_REPORT_NAMES));
    }

    ngx_destroy_pool(test_pool);

    return 0;
}


static void
test_report_valid(void)
{
    test_facts->not_before = TEST_REPORT_NOW - 30 * TEST_REPORT_DAY;
    test_facts->not_after = TEST_REPORT_NOW + 60 * TEST_REPORT_DAY;
    test_facts->renew = TEST_REPORT_NOW + 53 * TEST_REPORT_DAY;
    test_facts->due = test_facts->renew;
    test_facts->issued_at = test_facts->not_before;
    test_facts->state = NGX_AUTOCERT_IS_VALID;
    test_facts->why = NGX_AUTOCERT_RENEW_BEFORE;
    test_facts->challenge = NGX_AUTOCERT_CHALLENGE_HTTP;
    test_facts->type = NGX_AUTOCERT_TYPE_P384;
    test_facts->serial_len = 2;
    test_facts->serial[0] = 0x0a;
    test_facts->serial[1] = 0xff;
}


static void
test_report_words(char *why, char *detail, char *cause)
{
    u_char                *p;
    ngx_autocert_words_t  *words;

    words = &test_core.board.own.words[0];

    words->why = ngx_strlen(why);
    words->detail = ngx_strlen(detail);
    words->cause = ngx_strlen(cause);

    p = ngx_cpymem(words->data, why, words->why);
    p = ngx_cpymem(p, detail, words->detail);
    ngx_memcpy(p, cause, words->cause);

    test_facts->kind = NGX_AUTOCERT_FAIL_REFUSED;
    test_facts->failed_at = TEST_REPORT_NOW - 60;
    test_facts->failures = 3;
}


/* As a worker sees it. */

static ngx_int_t
test_report_told(void)
{
    ngx_autocert_ledger_t  own;
    ngx_int_t              rc;

    own = test_core.board.own;
    ngx_memzero(&test_core.board.own, sizeof(ngx_autocert_ledger_t));

    rc = ngx_autocert_report(&test_acf, 0, TEST_REPORT_NOW, &test_report);

    test_core.board.own = own;

    return rc;
}


static void
test_report_is(const char *expected)
{
    ngx_str_t  json;

    json.data = test_buf;
    ngx_autocert_report_json(&test_report, &json);

    test_buf[json.len] = '\0';
    assert_string_equal((char *) json.data, expected);
}


static void
test_report_nothing(void **state)
{
    (void) state;

    assert_int_equal(test_report_told(), NGX_DECLINED);
    test_report_is("{\"name\":\"a.test\",\"state\":\"waiting\","
                   "\"ca\":\"https://ca.test/dir\",\"challenge\":null,"
                   "\"key_type\":null,\"serial\":null,\"not_before\":null,"
                   "\"not_after\":null,\"days_left\":null,\"renew_at\":null,"
                   "\"renew_why\":null,\"last_success\":null,"
                   "\"last_error\":null,\"attempts\":0,"
                   "\"next_attempt\":null,\"budget_left\":null}");
}


static void
test_report_whole(void **state)
{
    (void) state;

    test_report_valid();
    test_report_words("the CA refuses", "caa: <b>\"no\"</b> (a.test)",
                      "no route");
    test_facts->nissued = 2;
    test_facts->life = 90 * TEST_REPORT_DAY;
    test_facts->issued[0] = TEST_REPORT_NOW - 30 * TEST_REPORT_DAY;

    ngx_autocert_board_tell(&test_core.board, 0);

    assert_int_equal(test_report_told(), NGX_OK);
    test_report_is("{\"name\":\"a.test\",\"state\":\"valid\","
                   "\"ca\":\"https://ca.test/dir\","
                   "\"challenge\":\"http-01\",\"key_type\":\"secp384r1\","
                   "\"serial\":\"0aff\","
                   "\"not_before\":\"2026-12-16T08:00:00Z\","
                   "\"not_after\":\"2027-03-16T08:00:00Z\","
                   "\"days_left\":60,"
                   "\"renew_at\":\"2027-03-09T08:00:00Z\","
                   "\"renew_why\":\"renew_before\","
                   "\"last_success\":\"2026-12-16T08:00:00Z\","
                   "\"last_error\":{\"at\":\"2027-01-15T07:59:00Z\","
                   "\"kind\":\"refused\",\"why\":\"the CA refuses\","
                   "\"type\":\"caa\","
                   "\"detail\":\"caa: <b>\\\"no\\\"</b> (a.test)\","
                   "\"cause\":\"no route\"},"
                   "\"attempts\":3,"
                   "\"next_attempt\":\"2027-03-09T08:00:00Z\","
                   "\"budget_left\":2}");
}


static void
test_report_type(void **state)
{
    ngx_uint_t  i;

    static struct {
        char    *detail;
        size_t   len;
    } cases[] = {
        { "unauthorized: no", 12 },
        { "rateLimited", 11 },
        { "connect() failed", 0 },
        { "error:0A000086", 0 },
        { "caa:", 0 },
        { "", 0 }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_report_words("why", cases[i].detail, "");
        ngx_autocert_board_tell(&test_core.board, 0);

        assert_int_equal(test_report_told(), NGX_OK);
        assert_int_equal(test_report.type.len, cases[i].len);
    }
}


/* What time makes of it. */

static void
test_report_states(void **state)
{
    ngx_uint_t  i;

    static struct {
        u_char      told;
        int         renew;      /* from now */
        int         due;
        int         end;
        int         hold;
        u_char      held;
        ngx_uint_t  is;
    } cases[] = {
        { NGX_AUTOCERT_IS_WAITING, -1, -1, 0, 0, 0, NGX_AUTOCERT_IS_WAITING },
        { NGX_AUTOCERT_IS_WAITING, -1, 9, 0, 0, 1, NGX_AUTOCERT_IS_HELD },
        { NGX_AUTOCERT_IS_WAITING, -1, -1, 0, 9, 0, NGX_AUTOCERT_IS_HELD },
        { NGX_AUTOCERT_IS_VALID, 5, 9, 9, 9, 1, NGX_AUTOCERT_IS_VALID },
        { NGX_AUTOCERT_IS_VALID, -1, 9, 9, 0, 1, NGX_AUTOCERT_IS_HELD },
        { NGX_AUTOCERT_IS_VALID, -1, -1, 9, 9, 0, NGX_AUTOCERT_IS_HELD },
        { NGX_AUTOCERT_IS_VALID, -5, -1, -1, 0, 0, NGX_AUTOCERT_IS_FAILING },
        { NGX_AUTOCERT_IS_FAILING, -1, 9, 9, 9, 0, NGX_AUTOCERT_IS_FAILING },
        { NGX_AUTOCERT_IS_FAILING, -1, 9, 9, 0, 1, NGX_AUTOCERT_IS_HELD },
        { NGX_AUTOCERT_IS_FAILING, -1, -1, 9, 0, 1,
          NGX_AUTOCERT_IS_FAILING },
        { NGX_AUTOCERT_IS_ISSUING, -1, -1, 0, 9, 1, NGX_AUTOCERT_IS_ISSUING },
        { NGX_AUTOCERT_IS_HELD, -1, -1, 0, 0, 0, NGX_AUTOCERT_IS_HELD },
        { 200, 5, -1, 0, 0, 0, NGX_AUTOCERT_IS_WAITING }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_facts->state = cases[i].told;
        test_facts->renew = TEST_REPORT_NOW + cases[i].renew;
        test_facts->due = TEST_REPORT_NOW + cases[i].due;
        test_facts->not_after = TEST_REPORT_NOW + cases[i].end;
        test_facts->held = cases[i].held;
        test_core.board.own.summed->sums.hold = cases[i].hold
                                        ? TEST_REPORT_NOW + cases[i].hold : 0;

        ngx_autocert_board_tell(&test_core.board, 0);
        ngx_autocert_board_tell_sums(&test_core.board);

        assert_int_equal(test_report_told(), NGX_OK);
        assert_int_equal(test_report.state, cases[i].is);
    }
}


static void
test_report_days(void **state)
{
    (void) state;

    assert_int_equal(ngx_autocert_days_left(86400, 0), 1);
    assert_int_equal(ngx_autocert_days_left(86399, 0), 0);
    assert_int_equal(ngx_autocert_days_left(0, 0), 0);
    assert_int_equal(ngx_autocert_days_left(0, 1), -1);
    assert_int_equal(ngx_autocert_days_left(0, 86400), -1);
    assert_int_equal(ngx_autocert_days_left(0, 86401), -2);
}


/* A process that was taken over may have written there. */

static void
test_report_hostile(void **state)
{
    ngx_str_t               json;
    ngx_uint_t              i;
    ngx_autocert_words_t   *words;
    ngx_autocert_known_t   *known;
    ngx_autocert_totals_t   totals;

    (void) state;

    known = &test_core.board.told.known[0];
    words = &test_core.board.told.words[0];

    for (i = 0; i < 256; i++) {
        ngx_memset(known, i, sizeof(ngx_autocert_known_t));
        ngx_memset(words, i, sizeof(ngx_autocert_words_t));
        ngx_memset(test_core.board.told.summed, i,
                   sizeof(ngx_autocert_summed_t));
        known->sequence = 2;
        test_core.board.told.summed->sequence = 2;

        assert_int_equal(test_report_told(), NGX_OK);
        assert_in_range(test_report.state, 0, NGX_AUTOCERT_STATES - 1);

        json.data = test_buf;
        ngx_autocert_report_json(&test_report, &json);

        assert_true(json.len > 2);
        assert_non_null(ngx_autocert_json_parse(test_pool, &json,
                                                &(char *) { NULL }));

        ngx_autocert_totals(&test_acf, &totals);
    }

    /* as if its writer had died */

    known->sequence = 3;
    assert_int_equal(test_report_told(), NGX_DECLINED);
}


/* The helper's own copy is what it says, whatever is on the board. */

static void
test_report_own(void **state)
{
    (void) state;

    test_report_valid();
    ngx_autocert_board_tell(&test_core.board, 0);

    ngx_memset(&test_core.board.told.known[0], 0xff,
               sizeof(ngx_autocert_known_t));

    assert_int_equal(ngx_autocert_report(&test_acf, 0, TEST_REPORT_NOW,
                                         &test_report),
                     NGX_OK);
    assert_int_equal(test_report.state, NGX_AUTOCERT_IS_VALID);
    assert_int_equal(test_report.not_after, test_facts->not_after);
}


static void
test_report_totals(void **state)
{
    ngx_autocert_sums_t    *sums;
    ngx_autocert_totals_t   totals;

    (void) state;

    sums = &test_core.board.own.summed->sums;

    ngx_autocert_totals(&test_acf, &totals);
    assert_int_equal(totals.reachable, -1);
    assert_int_equal(totals.signatures, 0);

    sums->reachable = 2;
    sums->restarts = 4;
    ngx_autocert_latency_add(&sums->signatures, 20);

    ngx_autocert_totals(&test_acf, &totals);
    assert_int_equal(totals.reachable, 0);
    assert_int_equal(totals.restarts, 4);
    assert_int_equal(totals.signatures, 1);
    assert_int_equal(totals.p99, 24);
    assert_int_equal(totals.below[4], 0);
    assert_int_equal(totals.below[5], 1);

    sums->reachable = 1;
    ngx_autocert_totals(&test_acf, &totals);
    assert_int_equal(totals.reachable, 1);
}


#define test_report_test(name)                                               \
    cmocka_unit_test_setup_teardown(name, test_report_setup,                 \
                                    test_report_teardown)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_report_test(test_report_nothing),
        test_report_test(test_report_whole),
        test_report_test(test_report_type),
        test_report_test(test_report_states),
        test_report_test(test_report_days),
        test_report_test(test_report_hostile),
        test_report_test(test_report_own),
        test_report_test(test_report_totals)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
