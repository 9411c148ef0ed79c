
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_base64.h"
#include "ngx_stub.h"


typedef struct {
    const char  *plain;
    size_t       len;
    const char  *text;
} test_base64_pair_t;


#define plain(s)  s, sizeof(s) - 1


/* RFC 4648, 10; RFC 7515, A.1 and C */

static test_base64_pair_t  test_base64_pairs[] = {
    { plain(""), "" },
    { plain("f"), "Zg" },
    { plain("fo"), "Zm8" },
    { plain("foo"), "Zm9v" },
    { plain("foob"), "Zm9vYg" },
    { plain("fooba"), "Zm9vYmE" },
    { plain("foobar"), "Zm9vYmFy" },
    { plain("\x03\xec\xff\xe0\xc1"), "A-z_4ME" },
    { plain("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}"),
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" },
    { plain("\0"), "AA" },
    { plain("\0\0\0"), "AAAA" },
    { plain("\xff\xff\xff"), "____" },
    { plain("\xfb\xef\xbe"), "----" },
    { plain("\xff"), "_w" },
    { plain("\xff\xff"), "__8" },
};


static test_base64_pair_t  test_base64_malformed[] = {
    { NULL, 0, "A" },
    { NULL, 0, "AAAAA" },
    { NULL, 0, "AAAAAAAAA" },
    { NULL, 0, "Zg==" },
    { NULL, 0, "Zg=" },
    { NULL, 0, "Zm8=" },
    { NULL, 0, "=" },
    { NULL, 0, "====" },
    { NULL, 0, "Zm9v====" },
    { NULL, 0, "A+z/4ME" },
    { NULL, 0, "ab/d" },
    { NULL, 0, "ab+d" },
    { NULL, 0, "Zm9v\n" },
    { NULL, 0, "Zm9v\r\nYmFy" },
    { NULL, 0, " Zm9v" },
    { NULL, 0, "Zm 9v" },
    { NULL, 0, "Zm9v " },
    { NULL, 0, "Zm9.v" },
    { NULL, 0, "Zh" },
    { NULL, 0, "Z_" },
    { NULL, 0, "Zm9" },
    { NULL, 0, "Zm_" },
    { NULL, 0, "_x" },
    { NULL, 0, "__9" },
    { NULL, 0, "ab\xc3\xa4" },
    { NULL, 0, "\x80\x80" },
    { NULL, 0, "a@" },
    { NULL, 0, "a[" },
    { NULL, 0, "a`" },
    { NULL, 0, "a{" },
    { NULL, 0, "a:" },
};


static int
test_base64_setup(void **state)
{
    *state = ngx_create_pool(4096, &ngx_stub_log);

    return *state == NULL;
}


static int
test_base64_teardown(void **state)
{
    ngx_stub_fail_at = 0;
    ngx_destroy_pool(*state);

    return 0;
}


static ngx_int_t
test_base64_decode(ngx_pool_t *pool, ngx_str_t *out, const char *text,
    size_t len)
{
    u_char     *copy;
    ngx_int_t   rc;
    ngx_str_t   in;

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    ngx_memcpy(copy, text, len);

    in.data = copy;
    in.len = len;

    rc = ngx_autocert_base64_decode(pool, out, &in);

    free(copy);

    return rc;
}


static void
test_base64_known(void **state)
{
    u_char              *buf, *end;
    size_t               len;
    ngx_str_t            out;
    ngx_uint_t           i;
    test_base64_pair_t  *t;

    for (i = 0; i < sizeof(test_base64_pairs) / sizeof(test_base64_pairs[0]);
         i++)
    {
        t = &test_base64_pairs[i];
        len = ngx_strlen(t->text);

        assert_int_equal(ngx_autocert_base64_length(t->len), len);

        buf = malloc(len ? len : 1);
        assert_non_null(buf);

        end = ngx_autocert_base64_encode(buf, (u_char *) t->plain, t->len);
        assert_int_equal(end - buf, len);
        assert_memory_equal(buf, t->text, len);
        free(buf);

        assert_int_equal(test_base64_decode(*state, &out, t->text, len),
                         NGX_OK);
        assert_int_equal(out.len, t->len);
        assert_memory_equal(out.data, t->plain, t->len);
    }
}


static void
test_base64_refused(void **state)
{
    ngx_str_t   out;
    ngx_uint_t  i;

    for (i = 0;
         i < sizeof(test_base64_malformed) / sizeof(test_base64_malformed[0]);
         i++)
    {
        assert_int_equal(test_base64_decode(*state, &out,
                                      test_base64_malformed[i].text,
                                      strlen(test_base64_malformed[i].text)),
                         NGX_DECLINED);
    }

    assert_int_equal(test_base64_decode(*state, &out, "ab\0d", 4),
                     NGX_DECLINED);
}


/* each byte in each place, against the alphabet as the RFC lists it */

static void
test_base64_alphabet(void **state)
{
    char         text[5];
    ngx_str_t    out;
    ngx_uint_t   ch, i, known;

    static const char  alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz"
                                    "0123456789-_";

    for (ch = 0; ch < 256; ch++) {
        known = (ch != 0 && strchr(alphabet, (int) ch) != NULL);

        for (i = 0; i < 4; i++) {
            ngx_memcpy(text, "AAAA", 5);
            text[i] = (char) ch;

            assert_int_equal(test_base64_decode(*state, &out, text, 4),
                             known ? NGX_OK : NGX_DECLINED);
        }

        if (known) {
            ngx_memcpy(text, "AAAA", 5);
            text[3] = (char) ch;

            (void) test_base64_decode(*state, &out, text, 4);
            assert_int_equal(out.data[2], strchr(alphabet, (int) ch)
                                          - alphabet);
        }
    }
}


static void
test_base64_round_trip(void **state)
{
    u_char      *in, *text, *end;
    size_t       len;
    ngx_str_t    out;
    ngx_uint_t   i;

    for (len = 0; len < 300; len++) {

        in = malloc(len ? len : 1);
        text = malloc(ngx_autocert_base64_length(len) + 1);
        assert_non_null(in);
        assert_non_null(text);

        for (i = 0; i < len; i++) {
            in[i] = (u_char) (i * 31 + len * 17);
        }

        end = ngx_autocert_base64_encode(text, in, len);
        assert_int_equal(end - text, ngx_autocert_base64_length(len));

        assert_int_equal(test_base64_decode(*state, &out, (char *) text,
                                            end - text),
                         NGX_OK);
        assert_int_equal(out.len, len);
        assert_memory_equal(out.data, in, len);

        free(in);
        free(text);
    }
}


static void
test_base64_null(void **state)
{
    ngx_str_t  in, out;

    ngx_str_null(&in);

    assert_int_equal(ngx_autocert_base64_decode(*state, &out, &in), NGX_OK);
    assert_int_equal(out.len, 0);
    assert_non_null(out.data);
}


static void
test_base64_no_memory(void **state)
{
    ngx_str_t  out;

    ngx_stub_fail_at = 1;

    assert_int_equal(test_base64_decode(*state, &out, "Zm9v", 4), NGX_ERROR);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_base64_known),
        cmocka_unit_test(test_base64_refused),
        cmocka_unit_test(test_base64_alphabet),
        cmocka_unit_test(test_base64_round_trip),
        cmocka_unit_test(test_base64_null),
        cmocka_unit_test_setup_teardown(test_base64_no_memory,
                                        test_base64_setup,
                                        test_base64_teardown),
    };

    return cmocka_run_group_tests(tests, test_base64_setup,
                                  test_base64_teardown);
}
