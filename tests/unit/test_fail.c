
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_fail.h"
#include "ngx_stub.h"


typedef struct {
    const char  *text;
    size_t       len;
    size_t       max;
    const char  *expected;
} test_fail_text_t;


#define text(s)  s, sizeof(s) - 1

#define TOKEN    "evaGxfADs6pSRb2LAv9IZ-"
#define PRINT    "AAAAxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"


static test_fail_text_t  test_fail_texts[] = {
    { text(""), 10, "" },
    { text("plain text"), 100, "plain text" },
    { text("plain text"), 5, "plain" },
    { text("plain text"), 0, "" },
    { text("a\nb\r\tc\x1b[31m"), 100, "a?b??c?[31m" },
    { text("nul\0here"), 100, "nul?here" },
    { text("del\x7f"), 100, "del?" },
    { text("gr\xc3\xbc\xc3\x9f" "e"), 100, "gr\xc3\xbc\xc3\x9f" "e" },
    { text("\xe2\x82\xac"), 3, "\xe2\x82\xac" },
    { text("\xe2\x82\xac"), 2, "" },
    { text("a\xf0\x9f\x98\x80"), 4, "a" },
    { text("a\xf0\x9f\x98\x80"), 5, "a\xf0\x9f\x98\x80" },
    { text("c1 \xc2\x85 \xc2\x9f \xc2\xa0"), 100, "c1 ? ? \xc2\xa0" },
    { text("\xc2\x85"), 1, "?" },
    { text("\xff\xfe"), 100, "??" },

    /* ends of lines, and marks that turn the direction or are not seen */

    { text("\xe2\x80\xa8\xe2\x80\xa9"), 100, "??" },
    { text("\xe2\x80\x8a \xe2\x80\x8b \xe2\x80\x8f \xe2\x80\x90"), 100,
      "\xe2\x80\x8a ? ? \xe2\x80\x90" },
    { text("\xe2\x80\xa7 \xe2\x80\xaa \xe2\x80\xae \xe2\x80\xaf"), 100,
      "\xe2\x80\xa7 ? ? \xe2\x80\xaf" },
    { text("\xe2\x81\xa5 \xe2\x81\xa6 \xe2\x81\xa9 \xe2\x81\xaa"), 100,
      "\xe2\x81\xa5 ? ? \xe2\x81\xaa" },
    { text("\xe2\x82\xa8 \xe2\x82\xa6"), 100,
      "\xe2\x82\xa8 \xe2\x82\xa6" },
    { text("\xd8\x9c \xd8\x9d"), 100, "? \xd8\x9d" },
    { text("\xe2\x80\xae"), 1, "?" },
    { text("\xc0\xaf"), 100, "??" },
    { text("\xe0\x80\xaf"), 100, "???" },
    { text("\xed\xa0\x80"), 100, "???" },
    { text("\xf4\x90\x80\x80"), 100, "????" },
    { text("cut \xe2\x82"), 100, "cut ??" },
    { text("cut \xc3"), 100, "cut ?" },

    /* thumbprints of key authorizations */

    { text("\"" TOKEN "." PRINT "\" (got \"x\")"), 100,
      "\"" TOKEN "...\" (got \"x\")" },
    { text(TOKEN "." PRINT), 100, TOKEN "..." },
    { text(TOKEN "." PRINT " " TOKEN "." PRINT), 200,
      TOKEN "... " TOKEN "..." },
    { text("x" TOKEN "." PRINT ".com"), 200, "x" TOKEN "....com" },
    { text(TOKEN "." PRINT "x"), 100, TOKEN "." PRINT "x" },
    { text(TOKEN "." "short"), 100, TOKEN "." "short" },
    { text("shorter-than-a-tokens." PRINT), 100,
      "shorter-than-a-tokens." PRINT },
    { text(TOKEN "." PRINT), 40, TOKEN "..." },
    { text(TOKEN "." PRINT), 23, TOKEN "." },
    { text(TOKEN "." PRINT), 25, TOKEN ".AA" },
    { text(TOKEN "." PRINT), 26, TOKEN "..." },
    { text("\x80"), 100, "?" },
};


static int
test_fail_setup(void **state)
{
    *state = ngx_create_pool(4096, &ngx_stub_log);

    return *state == NULL;
}


static int
test_fail_teardown(void **state)
{
    ngx_stub_fail_at = 0;
    ngx_destroy_pool(*state);

    return 0;
}


static void
test_fail_record(void **state)
{
    ngx_str_t            name;
    ngx_autocert_fail_t  fail;

    ngx_str_set(&name, "example.com");
    ngx_memset(&fail, 0xff, sizeof(ngx_autocert_fail_t));
    ngx_str_set(&fail.detail, "old");
    fail.retry_at = 17;

    assert_int_equal(ngx_autocert_fail(&fail, *state,
                                       NGX_AUTOCERT_FAIL_LIMITED,
                                       "%V: %ui of %d%%", &name,
                                       (ngx_uint_t) 7, 100),
                     NGX_ERROR);

    assert_int_equal(fail.kind, NGX_AUTOCERT_FAIL_LIMITED);
    assert_int_equal(fail.why.len, sizeof("example.com: 7 of 100%") - 1);
    assert_memory_equal(fail.why.data, "example.com: 7 of 100%",
                        fail.why.len);
    assert_int_equal(fail.detail.len, 0);
    assert_null(fail.detail.data);
    assert_int_equal(fail.retry_at, 0);
    assert_int_equal(fail.cause.len, 0);
    assert_int_equal(fail.scope, NGX_AUTOCERT_FAIL_NAME);
    assert_int_equal(fail.domain.len, 0);
    assert_int_equal(fail.interval, 0);
    assert_int_equal(fail.span, 0);
    assert_int_equal(fail.lasting, 0);
    assert_int_equal(fail.damaged, 0);

    /* nobody is to be told */

    assert_int_equal(ngx_autocert_fail(&fail, NULL,
                                       NGX_AUTOCERT_FAIL_INTERNAL, "why"),
                     NGX_ERROR);
    assert_int_equal(fail.kind, NGX_AUTOCERT_FAIL_INTERNAL);
    assert_int_equal(fail.why.len, 0);
}


static void
test_fail_wrap(void **state)
{
    ngx_autocert_fail_t  fail;

    (void) ngx_autocert_fail(&fail, *state, NGX_AUTOCERT_FAIL_NETWORK,
                             "connection reset");
    (void) ngx_autocert_fail(&fail, *state, NGX_AUTOCERT_FAIL_NETWORK,
                             "no nonce: %V", &fail.why);

    assert_int_equal(fail.why.len, sizeof("no nonce: connection reset") - 1);
    assert_memory_equal(fail.why.data, "no nonce: connection reset",
                        fail.why.len);
}


static void
test_fail_empty(void **state)
{
    ngx_autocert_fail_t  fail;

    (void) ngx_autocert_fail(&fail, *state, NGX_AUTOCERT_FAIL_INTERNAL, "%s",
                             "");

    assert_int_equal(fail.why.len, 0);
}


static void
test_fail_cut(void **state)
{
    size_t                i;
    u_char                buf[2000];
    ngx_str_t             text;
    ngx_autocert_fail_t   fail;

    ngx_memset(buf, 'x', sizeof(buf));
    text.data = buf;

    for (i = 500; i < 530; i++) {
        text.len = i;

        (void) ngx_autocert_fail(&fail, *state, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "%V", &text);

        assert_int_equal(fail.why.len, ngx_min(i, 512));
        assert_memory_equal(fail.why.data, buf, fail.why.len);

        /* numbers at the edge */

        (void) ngx_autocert_fail(&fail, *state, NGX_AUTOCERT_FAIL_INTERNAL,
                                 "%V%d%ui%T%%%p", &text, -12345,
                                 (ngx_uint_t) 777, (time_t) 1, buf);

        assert_true(fail.why.len <= 512);
        assert_true(fail.why.len >= ngx_min(i, 512));
    }

    text.len = sizeof(buf);
    (void) ngx_autocert_fail(&fail, *state, NGX_AUTOCERT_FAIL_INTERNAL,
                             "a %V b", &text);

    assert_int_equal(fail.why.len, 512);
    assert_memory_equal(fail.why.data, "a xxx", 5);
}


static void
test_fail_no_memory(void **state)
{
    ngx_str_t            in, out;
    ngx_autocert_fail_t  fail;

    ngx_str_set(&in, "text");
    ngx_stub_fail_at = 1;

    assert_int_equal(ngx_autocert_fail(&fail, *state,
                                       NGX_AUTOCERT_FAIL_REFUSED, "no"),
                     NGX_ERROR);
    assert_int_equal(fail.kind, NGX_AUTOCERT_FAIL_REFUSED);
    assert_int_not_equal(fail.why.len, 0);
    assert_int_equal(fail.detail.len, 0);
    assert_int_equal(fail.retry_at, 0);

    assert_int_equal(ngx_autocert_fail_text(*state, &in, 10, &out),
                     NGX_ERROR);
}


static void
test_fail_foreign(void **state)
{
    u_char            *copy;
    ngx_str_t          in, out;
    ngx_uint_t         i;
    test_fail_text_t  *t;

    for (i = 0; i < sizeof(test_fail_texts) / sizeof(test_fail_texts[0]); i++) {
        t = &test_fail_texts[i];

        copy = malloc(t->len ? t->len : 1);
        assert_non_null(copy);
        ngx_memcpy(copy, t->text, t->len);

        in.data = copy;
        in.len = t->len;

        assert_int_equal(ngx_autocert_fail_text(*state, &in, t->max, &out),
                         NGX_OK);
        free(copy);

        assert_int_equal(out.len, ngx_strlen(t->expected));
        assert_memory_equal(out.data, t->expected, out.len);
    }
}


static void
test_fail_foreign_null(void **state)
{
    ngx_str_t  text;

    ngx_str_null(&text);

    assert_int_equal(ngx_autocert_fail_text(*state, &text, 10, &text),
                     NGX_OK);
    assert_int_equal(text.len, 0);
}


static void
test_fail_foreign_in_place(void **state)
{
    ngx_str_t  text;

    ngx_str_set(&text, "in\nplace");

    assert_int_equal(ngx_autocert_fail_text(*state, &text, 7, &text), NGX_OK);
    assert_int_equal(text.len, 7);
    assert_memory_equal(text.data, "in?plac", 7);
}


/* Another reason at once; the same one each ten seconds, whatever the clock. */

static void
test_fail_told(void **state)
{
    ngx_uint_t                i;
    ngx_autocert_fail_t       fail;
    ngx_autocert_fail_told_t  told;

    static struct {
        char        *why;
        time_t       now;
        ngx_uint_t   tell;
    } looks[] = {
        { "a", 1000, 1 }, { "a", 1000, 0 }, { "a", 1009, 0 },
        { "a", 1010, 1 }, { "a", 1019, 0 }, { "b", 1019, 1 },
        { "b", 1028, 0 }, { "a", 1028, 1 }, { "a", 500, 1 },
        { "a", 509, 0 }, { "a", 510, 1 },
    };

    (void) state;

    ngx_memzero(&told, sizeof(ngx_autocert_fail_told_t));
    ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));

    for (i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        fail.why.data = (u_char *) looks[i].why;
        fail.why.len = 1;

        assert_int_equal(ngx_autocert_fail_tell(&told, &fail, looks[i].now,
                                                10),
                         looks[i].tell);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_fail_record),
        cmocka_unit_test(test_fail_wrap),
        cmocka_unit_test(test_fail_empty),
        cmocka_unit_test(test_fail_cut),
        cmocka_unit_test_setup_teardown(test_fail_no_memory, test_fail_setup,
                                        test_fail_teardown),
        cmocka_unit_test(test_fail_foreign),
        cmocka_unit_test(test_fail_foreign_null),
        cmocka_unit_test(test_fail_foreign_in_place),
        cmocka_unit_test(test_fail_told),
    };

    return cmocka_run_group_tests(tests, test_fail_setup, test_fail_teardown);
}
