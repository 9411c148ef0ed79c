
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_json.h"
#include "ngx_stub.h"


#define text(s)  s, sizeof(s) - 1


static int
test_json_setup(void **state)
{
    *state = ngx_create_pool(4096, &ngx_stub_log);

    return *state == NULL;
}


static int
test_json_teardown(void **state)
{
    ngx_stub_fail_at = 0;
    ngx_destroy_pool(*state);

    return 0;
}


/* a copy that ends where the text ends, so that ASan sees a step beyond */

static ngx_autocert_json_t *
test_json_parse(ngx_pool_t *pool, const char *data, size_t len, char **err)
{
    ngx_str_t  text;

    text.len = len;
    text.data = ngx_palloc(pool, len ? len : 1);
    assert_non_null(text.data);
    ngx_memcpy(text.data, data, len);

    *err = NULL;

    return ngx_autocert_json_parse(pool, &text, err);
}


static ngx_autocert_json_t *
test_json_good(ngx_pool_t *pool, const char *data)
{
    char                 *err;
    ngx_autocert_json_t  *json;

    json = test_json_parse(pool, data, strlen(data), &err);

    if (json == NULL) {
        fail_msg("%s: %s", data, err);
    }

    return json;
}


static void
test_json_is(ngx_str_t *value, const char *data, size_t len)
{
    assert_int_equal(value->len, len);
    assert_memory_equal(value->data, data, len);
}


/* each beginning of a good text is a bad text */

static void
test_json_cut(void **state)
{
    char    *err;
    size_t   len;

    static const char  data[] =
        "{\"a\":[1.5e+3,-0,null,true,false,{\"b\":\"\\ud83d\\ude39\\n\"}],"
        "\"\xe2\x82\xac\":\"\xf0\x9d\x84\x9e\"}";

    for (len = 0; len < sizeof(data) - 1; len++) {
        assert_null(test_json_parse(*state, data, len, &err));
        assert_non_null(err);
    }

    assert_non_null(test_json_parse(*state, data, len, &err));
}


static void
test_json_tree(void **state)
{
    ngx_autocert_json_t  *json, *node;

    json = test_json_good(*state, " {\"s\":\"v\",\"n\":-1.5e3,\"t\":true,"
                                  "\"f\":false,\"z\":null,\"o\":{},"
                                  "\"a\":[1,[2],{\"x\":3}]} ");

    assert_int_equal(json->type, NGX_AUTOCERT_JSON_OBJECT);
    assert_int_equal(json->name.len, 0);
    assert_null(json->next);

    node = json->child;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_STRING);
    test_json_is(&node->name, "s", 1);
    test_json_is(&node->value, "v", 1);

    node = node->next;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_NUMBER);
    test_json_is(&node->name, "n", 1);
    test_json_is(&node->value, "-1.5e3", 6);

    node = node->next;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_TRUE);
    node = node->next;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_FALSE);
    node = node->next;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_NULL);

    node = node->next;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_OBJECT);
    assert_null(node->child);

    node = node->next;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_ARRAY);
    test_json_is(&node->name, "a", 1);
    assert_null(node->next);

    node = node->child;
    test_json_is(&node->value, "1", 1);
    node = node->next;
    assert_int_equal(node->type, NGX_AUTOCERT_JSON_ARRAY);
    test_json_is(&node->child->value, "2", 1);
    node = node->next;
    assert_ptr_equal(ngx_autocert_json_get(node, "x"), node->child);
    assert_null(node->next);
}


static void
test_json_strings(void **state)
{
    ngx_uint_t            i;
    ngx_autocert_json_t  *json;

    static struct {
        const char  *json;
        const char  *value;
        size_t       len;
    } cases[] = {
        { "\"\"", text("") },
        { "\"plain\"", text("plain") },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", text("\"\\/\b\f\n\r\t") },
        { "\"\\u0001\"", text("\x01") },
        { "\"\\u007f\"", text("\x7f") },
        { "\"\\u0080\"", text("\xc2\x80") },
        { "\"\\u07FF\"", text("\xdf\xbf") },
        { "\"\\u0800\"", text("\xe0\xa0\x80") },
        { "\"\\ud7ff\"", text("\xed\x9f\xbf") },
        { "\"\\ue000\"", text("\xee\x80\x80") },
        { "\"\\uffff\"", text("\xef\xbf\xbf") },
        { "\"\\ud800\\udc00\"", text("\xf0\x90\x80\x80") },
        { "\"\\uD834\\uDD1E\"", text("\xf0\x9d\x84\x9e") },
        { "\"\\uDBFF\\uDFFF\"", text("\xf4\x8f\xbf\xbf") },
        { "\"a\\u0062c\"", text("abc") },
        { "\"\\\\u0061\"", text("\\u0061") },
        { "\"\\\\\\\"\"", text("\\\"") },
        { "\"\xe2\x82\xac\\n\"", text("\xe2\x82\xac\n") },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json = test_json_good(*state, cases[i].json);

        assert_int_equal(json->type, NGX_AUTOCERT_JSON_STRING);
        test_json_is(&json->value, cases[i].value, cases[i].len);
    }
}


/* the promise that what needs no decoding is not copied */

static void
test_json_views(void **state)
{
    char                 *err;
    ngx_str_t             text;
    ngx_autocert_json_t  *json;

    ngx_str_set(&text, "{\"name\":\"value\",\"n\":12}");

    json = ngx_autocert_json_parse(*state, &text, &err);
    assert_non_null(json);

    assert_ptr_equal(json->child->name.data, text.data + 2);
    assert_ptr_equal(json->child->value.data, text.data + 9);
    assert_ptr_equal(json->child->next->value.data, text.data + 20);
}


static void
test_json_depth(void **state)
{
    char    *err;
    u_char   buf[20 * NGX_AUTOCERT_JSON_DEPTH], *p;
    size_t   depth, i;

    for (depth = NGX_AUTOCERT_JSON_DEPTH - 1;
         depth < NGX_AUTOCERT_JSON_DEPTH + 3;
         depth++)
    {
        ngx_memset(buf, '[', depth);
        ngx_memset(buf + depth, ']', depth);

        err = NULL;
        assert_int_equal(test_json_parse(*state, (char *) buf, 2 * depth, &err)
                         != NULL,
                         depth <= NGX_AUTOCERT_JSON_DEPTH);

        p = buf;

        for (i = 0; i < depth; i++) {
            p = ngx_cpymem(p, "{\"a\":", 5);
        }

        *p++ = '1';
        ngx_memset(p, '}', depth);
        p += depth;

        assert_int_equal(test_json_parse(*state, (char *) buf, p - buf, &err)
                         != NULL,
                         depth <= NGX_AUTOCERT_JSON_DEPTH);
    }

    /* depth is given back */

    p = buf;
    *p++ = '[';

    for (i = 0; i < NGX_AUTOCERT_JSON_DEPTH + 3; i++) {
        p = ngx_cpymem(p, "[],{},[[]],", 11);
    }

    p = ngx_cpymem(p, "{\"a\":1}]", 8);

    assert_non_null(test_json_parse(*state, (char *) buf, p - buf, &err));
}


static void
test_json_long_nesting(void **state)
{
    char    *err;
    u_char  *buf;

    buf = malloc(NGX_AUTOCERT_JSON_SIZE);
    assert_non_null(buf);
    ngx_memset(buf, '[', NGX_AUTOCERT_JSON_SIZE);

    assert_null(test_json_parse(*state, (char *) buf, NGX_AUTOCERT_JSON_SIZE,
                                &err));
    free(buf);
}


static void
test_json_nodes(void **state)
{
    char    *err;
    u_char  *buf, *p;
    size_t   n, i;

    buf = malloc(3 * NGX_AUTOCERT_JSON_NODES);
    assert_non_null(buf);

    /* the array is a value too */

    for (n = NGX_AUTOCERT_JSON_NODES - 2; n < NGX_AUTOCERT_JSON_NODES + 2; n++)
    {
        p = buf;
        *p++ = '[';

        for (i = 0; i < n; i++) {
            *p++ = '0';
            *p++ = (i == n - 1) ? ']' : ',';
        }

        assert_int_equal(test_json_parse(*state, (char *) buf, p - buf, &err)
                         != NULL,
                         n + 1 <= NGX_AUTOCERT_JSON_NODES);
    }

    free(buf);
}


static void
test_json_size(void **state)
{
    char    *err;
    u_char  *buf;

    buf = malloc(NGX_AUTOCERT_JSON_SIZE + 1);
    assert_non_null(buf);
    ngx_memset(buf, ' ', NGX_AUTOCERT_JSON_SIZE + 1);
    buf[NGX_AUTOCERT_JSON_SIZE - 1] = '1';

    assert_non_null(test_json_parse(*state, (char *) buf,
                                    NGX_AUTOCERT_JSON_SIZE, &err));

    assert_null(test_json_parse(*state, (char *) buf,
                                NGX_AUTOCERT_JSON_SIZE + 1, &err));
    free(buf);
}


/*
 * As many names as fit, alike but for their ends, so that each comparison
 * runs long; the duplicate is found wherever it stands.
 */

static void
test_json_many_names(void **state)
{
    char        *err;
    u_char      *buf, *p;
    ngx_int_t    i, dup;

    static ngx_int_t  places[] = { -1, 0, 1, 4000, 8189 };

    buf = malloc(NGX_AUTOCERT_JSON_SIZE);
    assert_non_null(buf);

    for (dup = 0; dup < 5; dup++) {

        p = buf;
        *p++ = '{';

        for (i = 0; i < 8190; i++) {
            p = ngx_sprintf(p, "\"aaaaaaaaaaaaaaaaaaaa%04i\":0,", i);
        }

        p = ngx_sprintf(p, "\"aaaaaaaaaaaaaaaaaaaa%04i\":0}",
                        places[dup] == -1 ? 9999 : places[dup]);

        assert_int_equal(test_json_parse(*state, (char *) buf, p - buf, &err)
                         != NULL,
                         places[dup] == -1);
    }

    assert_non_null(strstr(err, "duplicate"));

    free(buf);
}


static void
test_json_get(void **state)
{
    ngx_autocert_json_t  *json;

    json = test_json_good(*state, "{\"ab\":1,\"a\":2,\"\":3,"
                                  "\"\\u0061b\\n\":4}");

    test_json_is(&ngx_autocert_json_get(json, "ab")->value, "1", 1);
    test_json_is(&ngx_autocert_json_get(json, "a")->value, "2", 1);
    test_json_is(&ngx_autocert_json_get(json, "")->value, "3", 1);
    test_json_is(&ngx_autocert_json_get(json, "ab\n")->value, "4", 1);
    assert_null(ngx_autocert_json_get(json, "abc"));
    assert_null(ngx_autocert_json_get(json, "b"));
    assert_null(ngx_autocert_json_get(json, "A"));
    assert_null(ngx_autocert_json_get(NULL, "a"));
    assert_null(ngx_autocert_json_get(json->child, "a"));

    json = test_json_good(*state, "[{\"a\":1}]");
    assert_null(ngx_autocert_json_get(json, "a"));
    assert_null(ngx_autocert_json_get(json, ""));

    json = test_json_good(*state, "{}");
    assert_null(ngx_autocert_json_get(json, "a"));
}


static void
test_json_get_string(void **state)
{
    ngx_str_t             value;
    ngx_autocert_json_t  *json;

    json = test_json_good(*state, "{\"s\":\"v\",\"e\":\"\",\"z\":null,\"n\":1,"
                                  "\"t\":true,\"a\":[\"s\"],\"o\":{}}");

    assert_int_equal(ngx_autocert_json_get_string(json, "s", &value), NGX_OK);
    test_json_is(&value, "v", 1);

    assert_int_equal(ngx_autocert_json_get_string(json, "z", &value),
                     NGX_DECLINED);
    assert_int_equal(ngx_autocert_json_get_string(json, "x", &value),
                     NGX_DECLINED);
    assert_int_equal(ngx_autocert_json_get_string(NULL, "s", &value),
                     NGX_DECLINED);
    assert_int_equal(ngx_autocert_json_get_string(json, "n", &value),
                     NGX_ERROR);
    assert_int_equal(ngx_autocert_json_get_string(json, "t", &value),
                     NGX_ERROR);
    assert_int_equal(ngx_autocert_json_get_string(json, "a", &value),
                     NGX_ERROR);
    assert_int_equal(ngx_autocert_json_get_string(json, "o", &value),
                     NGX_ERROR);
    test_json_is(&value, "v", 1);

    assert_int_equal(ngx_autocert_json_get_string(json, "e", &value), NGX_OK);
    assert_int_equal(value.len, 0);
}


static void
test_json_get_integer(void **state)
{
    char                  buf[100];
    int64_t               value;
    ngx_uint_t            i;
    ngx_autocert_json_t  *json;

    static struct {
        const char  *json;
        ngx_int_t    rc;
        int64_t      value;
    } cases[] = {
        { "0", NGX_OK, 0 },
        { "-0", NGX_OK, 0 },
        { "7", NGX_OK, 7 },
        { "-7", NGX_OK, -7 },
        { "2147483648", NGX_OK, 2147483648LL },
        { "9223372036854775799", NGX_OK, INT64_MAX - 8 },
        { "9223372036854775807", NGX_OK, INT64_MAX },
        { "-9223372036854775807", NGX_OK, -INT64_MAX },
        { "-9223372036854775808", NGX_OK, INT64_MIN },
        { "9223372036854775808", NGX_ERROR, 0 },
        { "9223372036854775810", NGX_ERROR, 0 },
        { "-9223372036854775809", NGX_ERROR, 0 },
        { "18446744073709551616", NGX_ERROR, 0 },
        { "18446744073709551617", NGX_ERROR, 0 },
        { "100000000000000000000000000000000", NGX_ERROR, 0 },
        { "1.0", NGX_ERROR, 0 },
        { "1e2", NGX_ERROR, 0 },
        { "1E0", NGX_ERROR, 0 },
        { "-0.0", NGX_ERROR, 0 },
        { "\"1\"", NGX_ERROR, 0 },
        { "true", NGX_ERROR, 0 },
        { "[1]", NGX_ERROR, 0 },
        { "{}", NGX_ERROR, 0 },
        { "null", NGX_DECLINED, 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        *ngx_snprintf((u_char *) buf, sizeof(buf) - 1, "{\"n\":%s}",
                      cases[i].json) = '\0';

        json = test_json_good(*state, buf);
        value = 0;

        assert_int_equal(ngx_autocert_json_get_integer(json, "n", &value),
                         cases[i].rc);
        assert_true(value == cases[i].value);

        assert_int_equal(ngx_autocert_json_get_integer(json, "m", &value),
                         NGX_DECLINED);
    }
}


static void
test_json_utf8(void **state)
{
    u_char      buf[4], *p;
    size_t      len, n;
    uint32_t    ch;

    (void) state;

    for (ch = 0; ch < 0x120000; ch++) {

        p = buf;
        len = ch < 0x80 ? 1 : ch < 0x800 ? 2 : ch < 0x10000 ? 3 : 4;

        if (len == 1) {
            *p++ = (u_char) ch;

        } else {
            *p++ = (u_char) (0xf00 >> len | ch >> 6 * (len - 1));

            for (n = len - 1; n > 0; n--) {
                *p++ = (u_char) (0x80 | (ch >> 6 * (n - 1) & 0x3f));
            }
        }

        n = (ch > 0x10ffff || (ch >= 0xd800 && ch < 0xe000)) ? 0 : len;

        assert_int_equal(ngx_autocert_json_utf8(buf, p), n);
        assert_int_equal(ngx_autocert_json_utf8(buf, p - 1), 0);
    }

    assert_int_equal(ngx_autocert_json_utf8((u_char *) "\xc1\xbf", buf), 0);
    assert_int_equal(ngx_autocert_json_utf8(NULL, NULL), 0);
}


static void
test_json_write(void **state)
{
    ngx_str_t                   value, out;
    ngx_autocert_json_writer_t  w;

    static const char  expected[] =
        "{\"a\":\"v\",\"b\":[],\"c\":[\"v\",1,{\"d\":true},{},[false]],"
        "\"e\":-9223372036854775808,\"f\":9223372036854775807,\"g\":0,"
        "\"n\":-70,"
        "\"h\":{\"k\": [1]},\"q\\\"\":\"v\"}";

    ngx_str_set(&value, "v");

    assert_int_equal(ngx_autocert_json_writer_init(&w, *state), NGX_OK);
    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_string(&w, "a", &value);
    ngx_autocert_json_open(&w, "b", '[');
    ngx_autocert_json_close(&w, ']');
    ngx_autocert_json_open(&w, "c", '[');
    ngx_autocert_json_put_string(&w, NULL, &value);
    ngx_autocert_json_put_integer(&w, NULL, 1);
    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_put_bool(&w, "d", 1);
    ngx_autocert_json_close(&w, '}');
    ngx_autocert_json_open(&w, NULL, '{');
    ngx_autocert_json_close(&w, '}');
    ngx_autocert_json_open(&w, NULL, '[');
    ngx_autocert_json_put_bool(&w, NULL, 0);
    ngx_autocert_json_close(&w, ']');
    ngx_autocert_json_close(&w, ']');
    ngx_autocert_json_put_integer(&w, "e", INT64_MIN);
    ngx_autocert_json_put_integer(&w, "f", INT64_MAX);
    ngx_autocert_json_put_integer(&w, "g", 0);
    ngx_autocert_json_put_integer(&w, "n", -70);
    ngx_str_set(&out, "{\"k\": [1]}");
    ngx_autocert_json_put_text(&w, "h", &out);
    ngx_autocert_json_put_string(&w, "q\"", &value);
    ngx_autocert_json_close(&w, '}');

    assert_int_equal(ngx_autocert_json_done(&w, &out), NGX_OK);
    test_json_is(&out, expected, sizeof(expected) - 1);
}


static void
test_json_write_strings(void **state)
{
    ngx_str_t                    value, out;
    ngx_uint_t                   i;
    ngx_autocert_json_writer_t   w;

    static struct {
        const char  *value;
        size_t       len;
        const char  *json;
    } cases[] = {
        { text(""), "\"\"" },
        { text("plain/'<>&"), "\"plain/'<>&\"" },
        { text("\"\\"), "\"\\\"\\\\\"" },
        { text("\0\x01\n\x1f\x20\x7f"),
          "\"\\u0000\\u0001\\u000a\\u001f \\u007f\"" },
        { text("\xe2\x82\xac\xf0\x9d\x84\x9e"),
          "\"\xe2\x82\xac\xf0\x9d\x84\x9e\"" },
        { text("a\xff" "b"), "\"a\\ufffdb\"" },
        { text("\xc0\xaf"), "\"\\ufffd\\ufffd\"" },
        { text("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"" },
        { text("cut\xe2\x82"), "\"cut\\ufffd\\ufffd\"" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        value.data = (u_char *) cases[i].value;
        value.len = cases[i].len;

        assert_int_equal(ngx_autocert_json_writer_init(&w, *state), NGX_OK);
        ngx_autocert_json_put_string(&w, NULL, &value);
        assert_int_equal(ngx_autocert_json_done(&w, &out), NGX_OK);

        test_json_is(&out, cases[i].json, strlen(cases[i].json));
    }

    ngx_str_null(&value);

    assert_int_equal(ngx_autocert_json_writer_init(&w, *state), NGX_OK);
    ngx_autocert_json_put_string(&w, NULL, &value);
    assert_int_equal(ngx_autocert_json_done(&w, &out), NGX_OK);
    test_json_is(&out, "\"\"", 2);
}


static void
test_json_write_long(void **state)
{
    size_t                       len;
    u_char                       buf[5000];
    ngx_str_t                    value, out;
    ngx_autocert_json_t         *json;
    ngx_autocert_json_writer_t   w;

    ngx_memset(buf, 'x', sizeof(buf));
    value.data = buf;

    for (len = 400; len < sizeof(buf); len = len < 600 ? len + 1 : len * 2) {
        value.len = len;
        buf[len / 2] = '\n';

        assert_int_equal(ngx_autocert_json_writer_init(&w, *state), NGX_OK);
        ngx_autocert_json_open(&w, NULL, '{');
        ngx_autocert_json_put_string(&w, "a", &value);
        ngx_autocert_json_put_string(&w, "b", &value);
        ngx_autocert_json_close(&w, '}');
        assert_int_equal(ngx_autocert_json_done(&w, &out), NGX_OK);

        json = test_json_parse(*state, (char *) out.data, out.len,
                               &(char *) { NULL });
        assert_non_null(json);
        test_json_is(&ngx_autocert_json_get(json, "a")->value, (char *) buf,
                     len);
        test_json_is(&ngx_autocert_json_get(json, "b")->value, (char *) buf,
                     len);
    }
}


static void
test_json_no_memory(void **state)
{
    char                        *err;
    u_char                       buf[2000];
    ngx_int_t                    rc;
    ngx_str_t                    text, value, out;
    ngx_uint_t                   n;
    ngx_autocert_json_t         *json;
    ngx_autocert_json_writer_t   w;

    ngx_str_set(&text, "{\"\\u0061\":[1,{\"b\":\"\\n\",\"c\":null}],\"d\":2}");

    for (n = 1; /* void */ ; n++) {
        err = NULL;
        ngx_stub_fail_at = n;
        json = ngx_autocert_json_parse(*state, &text, &err);
        ngx_stub_fail_at = 0;

        if (json) {
            break;
        }

        assert_string_equal(err, "out of memory");
    }

    assert_true(n > 8);

    ngx_memset(buf, 'x', sizeof(buf));
    value.data = buf;
    value.len = sizeof(buf);

    for (n = 1; /* void */ ; n++) {
        ngx_stub_fail_at = n;
        rc = ngx_autocert_json_writer_init(&w, *state);
        assert_int_equal(rc, n == 1 ? NGX_ERROR : NGX_OK);

        ngx_autocert_json_open(&w, NULL, '[');
        ngx_autocert_json_put_string(&w, NULL, &value);
        ngx_autocert_json_put_string(&w, NULL, &value);
        ngx_autocert_json_put_integer(&w, NULL, 5);
        ngx_autocert_json_close(&w, ']');

        rc = ngx_autocert_json_done(&w, &out);
        ngx_stub_fail_at = 0;

        if (rc == NGX_OK) {
            break;
        }
    }

    assert_true(n > 3);
    assert_int_equal(out.len, 2 * sizeof(buf) + 9);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_json_cut),
        cmocka_unit_test(test_json_tree),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_json_views),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_long_nesting),
        cmocka_unit_test(test_json_nodes),
        cmocka_unit_test(test_json_size),
        cmocka_unit_test(test_json_many_names),
        cmocka_unit_test(test_json_get),
        cmocka_unit_test(test_json_get_string),
        cmocka_unit_test(test_json_get_integer),
        cmocka_unit_test(test_json_utf8),
        cmocka_unit_test(test_json_write),
        cmocka_unit_test(test_json_write_strings),
        cmocka_unit_test(test_json_write_long),
        cmocka_unit_test(test_json_no_memory),
    };

    return cmocka_run_group_tests(tests, test_json_setup, test_json_teardown);
}
