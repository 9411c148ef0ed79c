
#include "../../src/base/ngx_autocert_latency.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>

#include "ngx_stub.h"


#define TEST_LATENCY_THREADS  4
#define TEST_LATENCY_EACH     50000


static ngx_autocert_latency_t  test_latency;


static int
test_latency_setup(void **state)
{
    (void) state;

    ngx_memzero(&test_latency, sizeof(ngx_autocert_latency_t));

    return 0;
}


/* Each value is in the step that ends behind it, and not in the one before. */

static void
test_latency_steps(void **state)
{
    uint64_t    us;
    ngx_uint_t  step;

    (void) state;

    for (us = 0; us < 1 << 24; us = us < 4096 ? us + 1 : us + us / 100) {
        step = ngx_autocert_latency_step(us);

        assert_true(us < ngx_autocert_latency_end(step));
        assert_true(step == 0 || us >= ngx_autocert_latency_end(step - 1));
    }

    assert_int_equal(ngx_autocert_latency_step(UINT64_MAX),
                     NGX_AUTOCERT_LATENCY_STEPS - 1);
}


static void
test_latency_quantiles(void **state)
{
    ngx_uint_t  i;

    (void) state;

    assert_int_equal(ngx_autocert_latency_quantile(&test_latency, 50), 0);

    for (i = 0; i < 98; i++) {
        ngx_autocert_latency_add(&test_latency, 20);
    }

    ngx_autocert_latency_add(&test_latency, 1000);
    ngx_autocert_latency_add(&test_latency, 1000000);

    assert_int_equal(test_latency.n, 100);
    assert_int_equal(test_latency.sum, 98 * 20 + 1000 + 1000000);

    assert_int_equal(ngx_autocert_latency_quantile(&test_latency, 50), 24);
    assert_int_equal(ngx_autocert_latency_quantile(&test_latency, 98), 24);
    assert_int_equal(ngx_autocert_latency_quantile(&test_latency, 99), 1024);
    assert_int_equal(ngx_autocert_latency_quantile(&test_latency, 100),
                     1048576);

    assert_int_equal(ngx_autocert_latency_below(&test_latency, 4), 0);
    assert_int_equal(ngx_autocert_latency_below(&test_latency, 5), 98);
    assert_int_equal(ngx_autocert_latency_below(&test_latency, 10), 99);
    assert_int_equal(ngx_autocert_latency_below(&test_latency, 20), 100);
}


static void
test_latency_extremes(void **state)
{
    (void) state;

    ngx_autocert_latency_add(&test_latency, -1);
    ngx_autocert_latency_add(&test_latency, INT64_MAX);

    assert_int_equal(test_latency.n, 2);
    assert_int_equal(test_latency.steps[0], 1);
    assert_int_equal(test_latency.steps[NGX_AUTOCERT_LATENCY_STEPS - 1], 1);
    assert_int_equal(ngx_autocert_latency_below(&test_latency, 0), 1);
}


static void *
test_latency_thread(void *data)
{
    ngx_uint_t  i;

    (void) data;

    for (i = 0; i < TEST_LATENCY_EACH; i++) {
        ngx_autocert_latency_add(&test_latency, i % 7);
    }

    return NULL;
}


static void
test_latency_threads(void **state)
{
    ngx_uint_t              i;
    pthread_t               threads[TEST_LATENCY_THREADS];
    ngx_autocert_latency_t  copy;

    (void) state;

    for (i = 0; i < TEST_LATENCY_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        test_latency_thread, NULL),
                         0);
    }

    for (i = 0; i < TEST_LATENCY_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }

    ngx_autocert_latency_get(&test_latency, &copy);

    assert_int_equal(copy.n, TEST_LATENCY_THREADS * TEST_LATENCY_EACH);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup(test_latency_steps, test_latency_setup),
        cmocka_unit_test_setup(test_latency_quantiles, test_latency_setup),
        cmocka_unit_test_setup(test_latency_extremes, test_latency_setup),
        cmocka_unit_test_setup(test_latency_threads, test_latency_setup)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
