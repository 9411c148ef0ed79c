
#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../src/base/ngx_autocert_wire.h"


#define TEST_WIRE_SIZE  (4 + 8 + 4 + 5 + 4 + 3)


static u_char  test_wire_message[TEST_WIRE_SIZE] = {
    0xde, 0xad, 0xbe, 0xef,
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
    0x00, 0x00, 0x00, 0x05, 'h', 'e', 'l', 'l', 'o',
    0x00, 0x00, 0x00, 0x00,
    'x', 'y', 'z'
};


static size_t
test_wire_put_all(u_char *p, size_t size, ngx_uint_t *failed)
{
    ngx_autocert_wire_t  w;

    ngx_autocert_wire_init(&w, p, size);
    ngx_autocert_wire_put_u32(&w, 0xdeadbeef);
    ngx_autocert_wire_put_u64(&w, 0x0102030405060708ULL);
    ngx_autocert_wire_put_string(&w, (u_char *) "hello", 5);
    ngx_autocert_wire_put_string(&w, NULL, 0);
    ngx_autocert_wire_put_bytes(&w, (u_char *) "xyz", 3);

    *failed = w.failed;

    return w.pos - p;
}


static void
test_wire_put(void **state)
{
    u_char      *p;
    size_t       size;
    ngx_uint_t   failed;

    (void) state;

    for (size = 1; size < TEST_WIRE_SIZE + 4; size++) {

        p = malloc(size);
        assert_non_null(p);

        if (size < TEST_WIRE_SIZE) {
            assert_true(test_wire_put_all(p, size, &failed) <= size);
            assert_int_equal(failed, 1);

        } else {
            assert_int_equal(test_wire_put_all(p, size, &failed),
                             TEST_WIRE_SIZE);
            assert_int_equal(failed, 0);
            assert_memory_equal(p, test_wire_message, TEST_WIRE_SIZE);
        }

        free(p);
    }
}


static void
test_wire_put_too_long(void **state)
{
    u_char               buf[16];
    ngx_autocert_wire_t  w;

    (void) state;

#if (NGX_PTR_SIZE == 8)

    /* the length does not fit, and buf must not be read that far */

    ngx_autocert_wire_init(&w, buf, sizeof(buf));
    ngx_autocert_wire_put_string(&w, buf, (size_t) 0x100000000ULL);
    assert_int_equal(w.failed, 1);
    assert_ptr_equal(w.pos, buf);

#endif

    ngx_autocert_wire_init(&w, buf, sizeof(buf));
    ngx_autocert_wire_put_bytes(&w, buf, (size_t) -1);
    assert_int_equal(w.failed, 1);
    assert_ptr_equal(w.pos, buf);
}


static void
test_wire_get(void **state)
{
    u_char               bytes[3];
    ngx_str_t            s;
    ngx_autocert_wire_t  w;

    (void) state;

    ngx_autocert_wire_init(&w, test_wire_message, TEST_WIRE_SIZE);

    assert_int_equal(ngx_autocert_wire_get_u32(&w), 0xdeadbeef);
    assert_true(ngx_autocert_wire_get_u64(&w) == 0x0102030405060708ULL);

    ngx_autocert_wire_get_string(&w, &s);
    assert_int_equal(s.len, 5);
    assert_ptr_equal(s.data, test_wire_message + 16);

    ngx_autocert_wire_get_string(&w, &s);
    assert_int_equal(s.len, 0);

    assert_int_equal(ngx_autocert_wire_done(&w), NGX_ERROR);

    ngx_autocert_wire_get_bytes(&w, bytes, 3);
    assert_memory_equal(bytes, "xyz", 3);

    assert_int_equal(ngx_autocert_wire_done(&w), NGX_OK);
}


static void
test_wire_get_cut(void **state)
{
    u_char              *p;
    size_t               size;
    u_char               bytes[3];
    ngx_str_t            s;
    ngx_autocert_wire_t  w;

    (void) state;

    for (size = 0; size < TEST_WIRE_SIZE; size++) {

        p = malloc(size ? size : 1);
        assert_non_null(p);
        ngx_memcpy(p, test_wire_message, size);

        ngx_autocert_wire_init(&w, p, size);

        assert_int_equal(ngx_autocert_wire_get_u32(&w),
                         size >= 4 ? 0xdeadbeef : 0);
        assert_true(ngx_autocert_wire_get_u64(&w)
                    == (size >= 12 ? 0x0102030405060708ULL : 0));

        ngx_autocert_wire_get_string(&w, &s);
        assert_int_equal(s.len, size >= 21 ? 5 : 0);

        ngx_autocert_wire_get_string(&w, &s);
        assert_int_equal(s.len, 0);

        ngx_memset(bytes, 'q', 3);
        ngx_autocert_wire_get_bytes(&w, bytes, 3);
        assert_memory_equal(bytes, "\0\0\0", 3);

        assert_int_equal(w.failed, 1);
        assert_int_equal(ngx_autocert_wire_done(&w), NGX_ERROR);

        free(p);
    }
}


static void
test_wire_get_lying_length(void **state)
{
    ngx_str_t             s;
    ngx_uint_t            i;
    ngx_autocert_wire_t   w;

    static u_char  lies[][6] = {
        { 0x00, 0x00, 0x00, 0x03, 'a', 'b' },
        { 0x00, 0x01, 0x00, 0x00, 'a', 'b' },
        { 0x7f, 0xff, 0xff, 0xff, 'a', 'b' },
        { 0x80, 0x00, 0x00, 0x00, 'a', 'b' },
        { 0xff, 0xff, 0xff, 0xfe, 'a', 'b' },
        { 0xff, 0xff, 0xff, 0xff, 'a', 'b' },
    };

    (void) state;

    for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        ngx_autocert_wire_init(&w, lies[i], 6);

        s.len = 99;
        ngx_autocert_wire_get_string(&w, &s);

        assert_int_equal(s.len, 0);
        assert_null(s.data);
        assert_int_equal(w.failed, 1);
    }
}


static void
test_wire_sticks(void **state)
{
    u_char               buf[8], bytes[2];
    ngx_str_t            s;
    ngx_autocert_wire_t  w;

    (void) state;

    ngx_memset(buf, 0, sizeof(buf));
    ngx_autocert_wire_init(&w, buf, 5);

    (void) ngx_autocert_wire_get_u64(&w);
    assert_int_equal(w.failed, 1);

    /* there would be room for each of these */

    buf[3] = 1;
    assert_int_equal(ngx_autocert_wire_get_u32(&w), 0);

    buf[3] = 0;
    ngx_autocert_wire_get_string(&w, &s);
    assert_null(s.data);

    ngx_memset(bytes, 'q', 2);
    ngx_autocert_wire_get_bytes(&w, bytes, 2);
    assert_memory_equal(bytes, "\0\0", 2);

    ngx_autocert_wire_put_u32(&w, 0xffffffff);
    ngx_autocert_wire_put_bytes(&w, (u_char *) "z", 1);
    assert_memory_equal(buf, "\0\0\0\0\0", 5);
    assert_int_equal(ngx_autocert_wire_done(&w), NGX_ERROR);
}


static void
test_wire_empty(void **state)
{
    ngx_autocert_wire_t  w;

    (void) state;

    ngx_autocert_wire_init(&w, NULL, 0);
    ngx_autocert_wire_put_bytes(&w, NULL, 0);
    ngx_autocert_wire_get_bytes(&w, NULL, 0);
    assert_int_equal(ngx_autocert_wire_done(&w), NGX_OK);

    assert_int_equal(ngx_autocert_wire_get_u32(&w), 0);
    assert_int_equal(ngx_autocert_wire_done(&w), NGX_ERROR);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_wire_put),
        cmocka_unit_test(test_wire_put_too_long),
        cmocka_unit_test(test_wire_get),
        cmocka_unit_test(test_wire_get_cut),
        cmocka_unit_test(test_wire_get_lying_length),
        cmocka_unit_test(test_wire_sticks),
        cmocka_unit_test(test_wire_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
