
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_time.h"


#define TEST_TIME_DAY   86400
#define TEST_TIME_WEEK  604800
#define TEST_TIME_NOW   1790000000


typedef ngx_int_t (*test_time_parse_pt)(ngx_str_t *text, time_t *t);


typedef struct {
    const char  *text;
    time_t       t;
} test_time_case_t;


static test_time_case_t  test_time_rfc3339_good[] = {
    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:01Z", 1 },
    { "1985-04-12T23:20:50.52Z", 482196050 },
    { "1996-12-19T16:39:57-08:00", 851042397 },
    { "1937-01-01T12:00:27.87+00:20", -1 },
    { "2000-02-29T12:00:00Z", 951825600 },
    { "2000-03-01T00:00:00Z", 951868800 },
    { "2026-11-24T00:00:00Z", 1795478400 },
    { "2026-11-24t00:00:00z", 1795478400 },
    { "2026-11-24T00:00:00.999999999Z", 1795478400 },
    { "2026-11-24T00:00:00.0000000000000000000000000000001Z", 1795478400 },
    { "2026-11-24T00:00:00+00:00", 1795478400 },
    { "2026-11-24T00:00:00-00:00", 1795478400 },
    { "2026-11-24T05:30:00+05:30", 1795478400 },
    { "2026-11-23T16:00:00-08:00", 1795478400 },
    { "2026-11-24T23:59:00+23:59", 1795478400 },
    { "2026-11-24T00:00:00.5+00:00", 1795478400 },
    { "2038-01-19T03:14:08Z", 2147483648LL },
    { "2100-02-28T00:00:00Z", 4107456000LL },
    { "2100-03-01T00:00:00Z", 4107542400LL },
    { "2400-02-29T00:00:00Z", 13574563200LL },
    { "9999-12-31T23:59:59Z", 253402300799LL },
    { "1990-12-31T23:59:60Z", 662688000 },
    { "1990-12-31T15:59:60-08:00", 662688000 },
    { "1970-01-01T01:00:00+01:00", 0 },
};


static const char  *test_time_rfc3339_bad[] = {
    "",
    "2026",
    "2026-11-24",
    "2026-11-24T00:00:00",
    "2026-11-24 00:00:00Z",
    "2026-11-24T00:00:00ZZ",
    "2026-11-24T00:00:00Z ",
    " 2026-11-24T00:00:00Z",
    "2026-11-24T00:00:00.Z",
    "2026-11-24T00:00:00,5Z",
    "2026-11-24T00:00:00.5",
    "2026-11-24T00:00Z",
    "2026-11-24T0:00:00Z",
    "2026-1-24T00:00:00Z",
    "26-11-24T00:00:00Z",
    "02026-11-24T00:00:00Z",
    "12026-11-24T00:00:00Z",
    "-2026-11-24T00:00:00Z",
    "+2026-11-24T00:00:00Z",
    "2026/11/24T00:00:00Z",
    "20261124T000000Z",
    "2026-00-24T00:00:00Z",
    "2026-13-24T00:00:00Z",
    "2026-11-00T00:00:00Z",
    "2026-11-31T00:00:00Z",
    "2026-12-32T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2024-02-30T00:00:00Z",
    "2026-11-24T24:00:00Z",
    "2026-11-24T00:60:00Z",
    "2026-11-24T00:00:60Z",
    "2026-11-24T23:59:61Z",
    "2026-11-24T00:00:00+24:00",
    "2026-11-24T00:00:00+00:60",
    "2026-11-24T00:00:00+00:99",
    "2026-11-24T00:00:00+0000",
    "2026-11-24T00:00:00+00",
    "2026-11-24T00:00:00+00:0",
    "2026-11-24T00:00:00+00:000",
    "2026-11-24T00:00:00+-1:00",
    "2026-11-24T00:00:00-",
    "2026-11-24T00:00:00GMT",
    "2026-11-24T00:00:00\xe2\x88\22208:00",
    "1969-12-31T23:59:59Z",
    "1969-12-31T23:30:00-01:00",
    "1970-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:60Z",
    "0000-00-00T00:00:00Z",
};


static test_time_case_t  test_time_http_good[] = {
    { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
    { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
    { "Sun Nov  6 08:49:37 1994", 784111777 },
    { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
    { "Thursday, 01-Jan-70 00:00:00 GMT", 0 },
    { "Thu Jan  1 00:00:00 1970", 0 },
    { "Tue, 24 Nov 2026 00:00:00 GMT", 1795478400 },
    { "Tuesday, 24-Nov-26 00:00:00 GMT", 1795478400 },
    { "Tue Nov 24 00:00:00 2026", 1795478400 },
    { "Mon Nov 24 00:00:00 2026", 1795478400 },
    { "Tue, 29 Feb 2000 12:00:00 GMT", 951825600 },
    { "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799LL },
    { "Mon, 31 Dec 1990 23:59:60 GMT", 662688000 },
};


static const char  *test_time_http_bad[] = {
    "",
    "Sun",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 GMT ",
    "Sun, 06 Nov 1994 08:49:37 GMTx",
    " Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 +0000",
    "Sun,06 Nov 1994 08:49:37 GMT",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun,  6 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "sun, 06 Nov 1994 08:49:37 GMT",
    "Xxx, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Xxx 1994 08:49:37 GMT",
    "Sun, 06 Nov 94 08:49:37 GMT",
    "Sun, 06-Nov-1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:49:37 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:60 GMT",
    "Sun, 06 Nov 1994 8:49:37 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1969 08:49:37 GMT",
    "Sunday, 06-Nov-1994 08:49:37 GMT",
    "Sunday, 06 Nov 94 08:49:37 GMT",
    "Sunday, 6-Nov-94 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37",
    "Sunday 06-Nov-94 08:49:37 GMT",
    "Sunday Nov  6 08:49:37 1994",
    "Sun Nov 6 08:49:37 1994",
    "Sun Nov   6 08:49:37 1994",
    "Sun Nov 06 08:49:37 94",
    "Sun Nov  6 08:49:37 1994 GMT",
    "Sun Nov  6 08:49:37 GMT 1994",
    "Sun Nov  0 08:49:37 1994",
    "Sun Nov  x 08:49:37 1994",
    "1994-11-06T08:49:37Z",
    "120",
    "06 Nov 1994 08:49:37 GMT",
};


/* a copy that ends where the text ends, so that ASan sees a step beyond */

static ngx_int_t
test_time_parse(test_time_parse_pt parse, const char *text, size_t len,
    time_t *t)
{
    u_char     *copy;
    ngx_int_t   rc;
    ngx_str_t   in;

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    ngx_memcpy(copy, text, len);

    in.data = copy;
    in.len = len;

    rc = parse(&in, t);

    free(copy);

    return rc;
}


static void
test_time_good(test_time_parse_pt parse, test_time_case_t *cases, ngx_uint_t n)
{
    time_t      t;
    size_t      len;
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        t = -77;
        len = strlen(cases[i].text);
        rc = test_time_parse(parse, cases[i].text, len, &t);

        if (cases[i].t == -1) {
            assert_int_equal(rc, NGX_ERROR);
            continue;
        }

        if (rc != NGX_OK || t != cases[i].t) {
            fail_msg("%s: rc %d, %lld", cases[i].text, (int) rc,
                     (long long) t);
        }

        /* no beginning of it is a date */

        while (len-- > 0) {
            assert_int_equal(test_time_parse(parse, cases[i].text, len, &t),
                             NGX_ERROR);
        }
    }
}


static void
test_time_bad(test_time_parse_pt parse, const char **cases, ngx_uint_t n)
{
    time_t      t;
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        t = -77;

        if (test_time_parse(parse, cases[i], strlen(cases[i]), &t)
            != NGX_ERROR)
        {
            fail_msg("accepted: %s", cases[i]);
        }

        assert_int_equal(t, -77);
    }
}


static void
test_time_rfc3339(void **state)
{
    time_t  t;

    (void) state;

    test_time_good(ngx_autocert_time_rfc3339, test_time_rfc3339_good,
                   sizeof(test_time_rfc3339_good) / sizeof(test_time_case_t));

    test_time_bad(ngx_autocert_time_rfc3339, test_time_rfc3339_bad,
                  sizeof(test_time_rfc3339_bad) / sizeof(char *));

    assert_int_equal(test_time_parse(ngx_autocert_time_rfc3339,
                                     "2026-11-24T00:00:00Z\0", 21, &t),
                     NGX_ERROR);
    assert_int_equal(test_time_parse(ngx_autocert_time_rfc3339,
                                     "2026-11-24\0" "00:00:00Z", 20, &t),
                     NGX_ERROR);
}


static test_time_case_t  test_time_der_good[] = {
    { "700101000000Z", 0 },
    { "491231235959Z", 2524607999LL },
    { "991231235959Z", 946684799 },
    { "240229120000Z", 1709208000 },
    { "20500101000000Z", 2524608000LL },
    { "20261124000000Z", 1795478400 },
};


static const char  *test_time_der_bad[] = {
    "",
    "Z",
    "261124000000",
    "26112400000Z",
    "2611240000000Z",
    "261124000000z",
    "2611240000+00",
    "261324000000Z",
    "260229000000Z",
    "261124240000Z",
    "261124006000Z",
    "901231235960Z",
    "500101000000Z",
    "26112400 000Z",
    "20261124000000",
    "2026112400000.Z",
    "20261124000000+",
    "020261124000000Z",
};


static void
test_time_der(void **state)
{
    (void) state;

    test_time_good(ngx_autocert_time_der, test_time_der_good,
                   sizeof(test_time_der_good) / sizeof(test_time_case_t));

    test_time_bad(ngx_autocert_time_der, test_time_der_bad,
                  sizeof(test_time_der_bad) / sizeof(char *));
}


static void
test_time_http(void **state)
{
    time_t  t;

    (void) state;

    test_time_good(ngx_autocert_time_http, test_time_http_good,
                   sizeof(test_time_http_good) / sizeof(test_time_case_t));

    test_time_bad(ngx_autocert_time_http, test_time_http_bad,
                  sizeof(test_time_http_bad) / sizeof(char *));

    /* the two digits of a century */

    assert_int_equal(test_time_parse(ngx_autocert_time_http,
                                     "Monday, 01-Jan-69 00:00:00 GMT", 30, &t),
                     NGX_OK);
    assert_true(t == 3124224000LL);
}


static void
test_time_retry(void **state)
{
    time_t       t;
    ngx_str_t    text;
    ngx_uint_t   i;

    static test_time_case_t  cases[] = {
        { "0", 0 },
        { "1", 1 },
        { "120", 120 },
        { "00120", 120 },
        { "604800", TEST_TIME_WEEK },
        { "604801", TEST_TIME_WEEK },
        { "18446744073709551617", TEST_TIME_WEEK },
        { "99999999999999999999999999999999999999999", TEST_TIME_WEEK },
        { "Mon, 21 Sep 2026 14:13:20 GMT", 0 },
        { "Mon, 21 Sep 2026 14:13:21 GMT", 1 },
        { "Monday, 21-Sep-26 14:13:30 GMT", 10 },
        { "Mon Sep 21 14:13:30 2026", 10 },
        { "Mon, 21 Sep 2026 14:13:19 GMT", 0 },
        { "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
        { "Mon, 28 Sep 2026 14:13:20 GMT", TEST_TIME_WEEK },
        { "Mon, 28 Sep 2026 14:13:21 GMT", TEST_TIME_WEEK },
        { "Fri, 31 Dec 9999 23:59:59 GMT", TEST_TIME_WEEK },
        { "", -1 },
        { " ", -1 },
        { "-1", -1 },
        { "+1", -1 },
        { "1.5", -1 },
        { "1 ", -1 },
        { " 1", -1 },
        { "1, 2", -1 },
        { "0x10", -1 },
        { "soon", -1 },
        { "999999999999999999999999x", -1 },
        { "2026-11-24T00:00:00Z", -1 },
        { "Mon, 21 Sep 2026", -1 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text.data = (u_char *) cases[i].text;
        text.len = strlen(cases[i].text);
        t = -77;

        if (cases[i].t == -1) {
            assert_int_equal(ngx_autocert_time_retry(&text, TEST_TIME_NOW, &t),
                             NGX_DECLINED);
            assert_int_equal(t, -77);
            continue;
        }

        assert_int_equal(ngx_autocert_time_retry(&text, TEST_TIME_NOW, &t),
                         NGX_OK);
        assert_int_equal(t, TEST_TIME_NOW + cases[i].t);
    }

    ngx_str_null(&text);
    assert_int_equal(ngx_autocert_time_retry(&text, TEST_TIME_NOW, &t),
                     NGX_DECLINED);
}


static void
test_time_renewal(void **state)
{
    time_t      due;
    ngx_uint_t  i;

    /* life, renew_before, how long before the end */

    static time_t  cases[][3] = {
        { 90 * TEST_TIME_DAY, 7 * TEST_TIME_DAY, 7 * TEST_TIME_DAY },
        { 90 * TEST_TIME_DAY, 30 * TEST_TIME_DAY, 30 * TEST_TIME_DAY },
        { 90 * TEST_TIME_DAY, 31 * TEST_TIME_DAY, 30 * TEST_TIME_DAY },
        { 90 * TEST_TIME_DAY, 900 * TEST_TIME_DAY, 30 * TEST_TIME_DAY },
        { 90 * TEST_TIME_DAY, 0, 0 },
        { 90 * TEST_TIME_DAY, -5, 0 },
        { 90 * TEST_TIME_DAY, 1, 1 },
        { 10 * TEST_TIME_DAY, 7 * TEST_TIME_DAY, 288000 },
        { 10 * TEST_TIME_DAY - 2, 7 * TEST_TIME_DAY, 431999 },
        { 6 * TEST_TIME_DAY, 7 * TEST_TIME_DAY, 3 * TEST_TIME_DAY },
        { 6 * TEST_TIME_DAY, TEST_TIME_DAY, TEST_TIME_DAY },
        { 30, 7 * TEST_TIME_DAY, 15 },
        { 1, 7 * TEST_TIME_DAY, 0 },
        { 0, 7 * TEST_TIME_DAY, 0 },
        { -100, 7 * TEST_TIME_DAY, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        due = ngx_autocert_time_renewal(TEST_TIME_NOW,
                                        TEST_TIME_NOW + cases[i][0],
                                        cases[i][1]);

        assert_int_equal(TEST_TIME_NOW + cases[i][0] - due, cases[i][2]);
    }
}


static void
test_time_backoff(void **state)
{
    time_t      delay, last;
    uint32_t    random;
    ngx_uint_t  n, i;

    static time_t  delays[] = { 60, 120, 240, 480, 960, 1920, 3600, 3600 };

    (void) state;

    for (n = 1; n <= 8; n++) {
        assert_int_equal(ngx_autocert_time_backoff(n, 0), delays[n - 1]);
        assert_int_equal(ngx_autocert_time_backoff(n, 0xffffffff),
                         delays[n - 1] - delays[n - 1] / 4);

        last = delays[n - 1];

        for (i = 0; i < 64; i++) {
            random = (uint32_t) i << 26;
            delay = ngx_autocert_time_backoff(n, random);

            assert_true(delay <= last);
            assert_true(delay >= delays[n - 1] - delays[n - 1] / 4);
            last = delay;
        }

        assert_true(last < delays[n - 1]);
    }

    assert_int_equal(ngx_autocert_time_backoff(0, 0), 60);
    assert_int_equal(ngx_autocert_time_backoff(64, 0), 3600);
    assert_int_equal(ngx_autocert_time_backoff((ngx_uint_t) -1, 0), 3600);
}


static void
test_time_print_one(time_t t, const char *expected)
{
    u_char  *p;

    p = malloc(20);
    assert_non_null(p);

    assert_ptr_equal(ngx_autocert_time_print(p, t), p + 20);
    assert_memory_equal(p, expected, 20);

    free(p);
}


static void
test_time_print(void **state)
{
    (void) state;

    test_time_print_one(0, "1970-01-01T00:00:00Z");
    test_time_print_one(86399, "1970-01-01T23:59:59Z");
    test_time_print_one(951825600, "2000-02-29T12:00:00Z");
    test_time_print_one(1795478400, "2026-11-24T00:00:00Z");
    test_time_print_one(1798761599, "2026-12-31T23:59:59Z");
    test_time_print_one(1798761600, "2027-01-01T00:00:00Z");
    test_time_print_one(4107542399LL, "2100-02-28T23:59:59Z");
    test_time_print_one(253402300799LL, "9999-12-31T23:59:59Z");

    /* out of range */

    test_time_print_one(-1, "1970-01-01T00:00:00Z");
    test_time_print_one(INT64_MIN, "1970-01-01T00:00:00Z");
    test_time_print_one(253402300800LL, "9999-12-31T23:59:59Z");
    test_time_print_one(INT64_MAX, "9999-12-31T23:59:59Z");
}


/* every day there is, against libc and back */

static void
test_time_calendar(void **state)
{
    time_t      t, back;
    char        text[64];
    struct tm   tm;
    ngx_str_t   s;

    (void) state;

    for (t = 12345; t < 253402300800LL; t += TEST_TIME_DAY) {

        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ",
                                  &tm),
                         20);
        test_time_print_one(t, text);

        s.data = (u_char *) text;
        s.len = 20;
        assert_int_equal(ngx_autocert_time_rfc3339(&s, &back), NGX_OK);
        assert_true(back == t);

        s.len = strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_int_equal(ngx_autocert_time_http(&s, &back), NGX_OK);
        assert_true(back == t);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_time_rfc3339),
        cmocka_unit_test(test_time_der),
        cmocka_unit_test(test_time_http),
        cmocka_unit_test(test_time_retry),
        cmocka_unit_test(test_time_renewal),
        cmocka_unit_test(test_time_backoff),
        cmocka_unit_test(test_time_print),
        cmocka_unit_test(test_time_calendar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
