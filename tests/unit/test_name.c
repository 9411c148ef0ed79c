
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_name.h"
#include "ngx_stub.h"


#define TEST_63   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"         \
                  "aaaaaaaaaaaaa"
#define TEST_253  TEST_63 "." TEST_63 "." TEST_63 "."                         \
                  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"          \
                  "bbbbbbbbbbcom"

#define test_name_n(a)  (sizeof(a) / sizeof((a)[0]))


static ngx_str_t
test_name_copy(ngx_str_t *s)
{
    ngx_str_t  copy;

    copy.len = s->len;
    copy.data = malloc(s->len ? s->len : 1);
    assert_non_null(copy.data);
    memcpy(copy.data, s->data, s->len);

    return copy;
}


/* out NULL: refused with a word of this in the reason */

static struct {
    ngx_str_t   in;
    char       *out;
    char       *err;
} test_name_checks[] = {
    { ngx_string("example.com"), "example.com", NULL },
    { ngx_string("EXAMPLE.Com"), "example.com", NULL },
    { ngx_string("example.com."), "example.com", NULL },
    { ngx_string("localhost"), "localhost", NULL },
    { ngx_string("_"), "_", NULL },
    { ngx_string("_a.b_.c"), "_a.b_.c", NULL },
    { ngx_string("xn--bcher-kva.example"), "xn--bcher-kva.example", NULL },
    { ngx_string("a-b.c--d.e"), "a-b.c--d.e", NULL },
    { ngx_string("1a.2.c"), "1a.2.c", NULL },
    { ngx_string("0x7f"), "0x7f", NULL },
    { ngx_string(TEST_63 ".com"), TEST_63 ".com", NULL },
    { ngx_string(TEST_253), TEST_253, NULL },
    { ngx_string(TEST_253 "."), TEST_253, NULL },

    { ngx_string("192.0.2.1"), "192.0.2.1", NULL },
    { ngx_string("::1"), "::1", NULL },
    { ngx_string("[::1]"), "::1", NULL },
    { ngx_string("2001:DB8:0:0:0:0:0:1"), "2001:db8::1", NULL },
    { ngx_string("[2001:0db8::0001]"), "2001:db8::1", NULL },
    { ngx_string("::ffff:192.0.2.1"), "::ffff:192.0.2.1", NULL },

    { ngx_string(""), NULL, "empty" },
    { ngx_string("."), NULL, "empty" },
    { ngx_string(".."), NULL, "empty label" },
    { ngx_string("..."), NULL, "empty label" },
    { ngx_string("example.com.."), NULL, "empty label" },
    { ngx_string(".example.com"), NULL, "empty label" },
    { ngx_string("a..b"), NULL, "empty label" },
    { ngx_string("*.example.com"), NULL, "character" },
    { ngx_string("~^www"), NULL, "character" },
    { ngx_string("a/b"), NULL, "character" },
    { ngx_string("../x"), NULL, "empty label" },
    { ngx_string("a\\b"), NULL, "character" },
    { ngx_string("a b"), NULL, "character" },
    { ngx_string("a\0b"), NULL, "character" },
    { ngx_string("example.com\0"), NULL, "character" },
    { ngx_string("example.com\n"), NULL, "character" },
    { ngx_string("b\xc3\xbc" "cher.example"), NULL, "character" },
    { ngx_string("user@example.com"), NULL, "character" },
    { ngx_string("example.com:443"), NULL, "character" },
    { ngx_string("-a.com"), NULL, "hyphen" },
    { ngx_string("a-.com"), NULL, "hyphen" },
    { ngx_string("a.-"), NULL, "hyphen" },
    { ngx_string("a" TEST_63 ".com"), NULL, "63" },
    { ngx_string("a" TEST_253), NULL, "253" },
    { ngx_string("a." TEST_253), NULL, "253" },
    { ngx_string("256.0.2.1"), NULL, "number" },
    { ngx_string("1.2.3"), NULL, "number" },
    { ngx_string("192.0.2.1."), NULL, "number" },
    { ngx_string("1"), NULL, "number" },
    { ngx_string("a.1"), NULL, "number" },
    { ngx_string("[192.0.2.1]"), NULL, "character" },
    { ngx_string("[::1"), NULL, "character" },
    { ngx_string("[]"), NULL, "character" },
    { ngx_string("fe80::1%eth0"), NULL, "character" },
    { ngx_string("::1\0"), NULL, "character" },
    { ngx_string("192.0.2.1\0"), NULL, "character" },
    { ngx_string(":::"), NULL, "character" }
};


static void
test_name_check(void **state)
{
    char        *err;
    ngx_int_t    rc;
    ngx_str_t    in, out;
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    (void) state;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    for (i = 0; i < test_name_n(test_name_checks); i++) {

        in = test_name_copy(&test_name_checks[i].in);
        err = NULL;

        rc = ngx_autocert_name_check(pool, &in, &out, &err);

        free(in.data);

        if (test_name_checks[i].out) {

            if (rc != NGX_OK) {
                fail_msg("%d: %s", (int) i, err);
            }

            assert_string_equal((char *) out.data,
                                test_name_checks[i].out);
            assert_int_equal(out.len, strlen(test_name_checks[i].out));
            continue;
        }

        if (rc != NGX_DECLINED || err == NULL
            || strstr(err, test_name_checks[i].err) == NULL)
        {
            fail_msg("%d: %s", (int) i, err ? err : "taken");
        }
    }

    ngx_destroy_pool(pool);
}


static void
test_name_memory(void **state)
{
    char        *err;
    ngx_str_t    in = ngx_string("example.com"), out;
    ngx_pool_t  *pool;

    (void) state;

    pool = ngx_create_pool(4096, &ngx_stub_log);

    ngx_stub_fail_at = 1;
    assert_int_equal(ngx_autocert_name_check(pool, &in, &out, &err),
                     NGX_ERROR);
    ngx_stub_fail_at = 0;

    ngx_destroy_pool(pool);
}


static struct {
    ngx_str_t   name;
    char       *why;
} test_name_privates[] = {
    { ngx_string("example.com"), NULL },
    { ngx_string("www.example.com"), NULL },
    { ngx_string("local.example.com"), NULL },
    { ngx_string("notlocal.notatest"), NULL },
    { ngx_string("a.mylocalhost"), NULL },
    { ngx_string("arpa.home.net"), NULL },
    { ngx_string("localhost"), "public DNS" },
    { ngx_string("LOCALHOST"), "public DNS" },
    { ngx_string("a.localhost"), "public DNS" },
    { ngx_string("printer.local"), "public DNS" },
    { ngx_string("a.b.internal"), "public DNS" },
    { ngx_string("nas.lan"), "public DNS" },
    { ngx_string("a.test"), "public DNS" },
    { ngx_string("a.invalid"), "public DNS" },
    { ngx_string("a.example"), "public DNS" },
    { ngx_string("router.home.arpa"), "public DNS" },
    { ngx_string("a.onion"), "public DNS" },
    { ngx_string("com"), "single label" },
    { ngx_string("host"), "single label" },
    { ngx_string("_"), "underscore" },
    { ngx_string("a_b.example.com"), "underscore" },
    { ngx_string("192.0.2.1"), "IP address" },
    { ngx_string("2001:db8::1"), "IP address" }
};


static void
test_name_private(void **state)
{
    char        *why;
    ngx_str_t    name;
    ngx_uint_t   i;

    (void) state;

    for (i = 0; i < test_name_n(test_name_privates); i++) {

        name = test_name_copy(&test_name_privates[i].name);
        why = ngx_autocert_name_private(&name);
        free(name.data);

        if (test_name_privates[i].why == NULL) {

            if (why) {
                fail_msg("%d: %s", (int) i, why);
            }

            continue;
        }

        if (why == NULL || strstr(why, test_name_privates[i].why) == NULL) {
            fail_msg("%d: %s", (int) i, why ? why : "public");
        }
    }
}


static struct {
    ngx_str_t   pattern;
    ngx_str_t   name;
    ngx_uint_t  match;
} test_name_matches[] = {
    { ngx_string("example.com"), ngx_string("example.com"), 1 },
    { ngx_string("Example.COM"), ngx_string("eXample.com"), 1 },
    { ngx_string("*.example.com"), ngx_string("www.example.com"), 1 },
    { ngx_string("*.EXAMPLE.com"), ngx_string("www.example.COM"), 1 },
    { ngx_string("*.example.com"), ngx_string("*.example.com"), 1 },
    { ngx_string("192.0.2.1"), ngx_string("192.0.2.1"), 1 },

    { ngx_string("example.com"), ngx_string("www.example.com"), 0 },
    { ngx_string("www.example.com"), ngx_string("example.com"), 0 },
    { ngx_string("example.com"), ngx_string("example.co"), 0 },
    { ngx_string("*.example.com"), ngx_string("example.com"), 0 },
    { ngx_string("*.example.com"), ngx_string(".example.com"), 0 },
    { ngx_string("*.example.com"), ngx_string("a.b.example.com"), 0 },
    { ngx_string("*.example.com"), ngx_string("wwwXexample.com"), 0 },
    { ngx_string("*.example.com"), ngx_string("www.example.org"), 0 },
    { ngx_string("w*.example.com"), ngx_string("www.example.com"), 0 },
    { ngx_string("www.*.com"), ngx_string("www.example.com"), 0 },
    { ngx_string("*"), ngx_string("example"), 0 },
    { ngx_string("*."), ngx_string("example."), 0 },
    { ngx_string("*.0.2.1"), ngx_string("192.0.2.1"), 0 },
    { ngx_string(""), ngx_string(""), 0 },
    { ngx_string(""), ngx_string("a"), 0 },
    { ngx_string("*.a"), ngx_string(""), 0 }
};


static void
test_name_match(void **state)
{
    ngx_str_t   pattern, name;
    ngx_uint_t  i, match;

    (void) state;

    for (i = 0; i < test_name_n(test_name_matches); i++) {

        pattern = test_name_copy(&test_name_matches[i].pattern);
        name = test_name_copy(&test_name_matches[i].name);

        match = ngx_autocert_name_match(&pattern, &name);

        free(pattern.data);
        free(name.data);

        if (match != test_name_matches[i].match) {
            fail_msg("%d", (int) i);
        }
    }
}


static struct {
    ngx_str_t    name;
    const char  *sni;
} test_name_snis[] = {
    { ngx_string("example.com"), "example.com" },
    { ngx_string("192.0.2.1"), "1.2.0.192.in-addr.arpa" },
    { ngx_string("255.254.253.252"), "252.253.254.255.in-addr.arpa" },
    { ngx_string("::1"),
      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
      "ip6.arpa" },
    { ngx_string("2001:db8::f0a1"),
      "1.a.0.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
      "ip6.arpa" }
};


static void
test_name_sni(void **state)
{
    u_char      buf[NGX_AUTOCERT_NAME_SNI];
    ngx_str_t   name, sni;
    ngx_uint_t  i;

    (void) state;

    for (i = 0; i < test_name_n(test_name_snis); i++) {
        name = test_name_copy(&test_name_snis[i].name);

        ngx_autocert_name_sni(&name, buf, &sni);

        assert_int_equal(sni.len, strlen(test_name_snis[i].sni));
        assert_memory_equal(sni.data, test_name_snis[i].sni, sni.len);

        free(name.data);
    }
}


int
main(void)
{
    static const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_name_check),
        cmocka_unit_test(test_name_memory),
        cmocka_unit_test(test_name_private),
        cmocka_unit_test(test_name_match),
        cmocka_unit_test(test_name_sni)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
