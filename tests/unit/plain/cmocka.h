
/* As much of cmocka as a test needs on a processor that it is not built for. */

#include <stdio.h>
#include <stdlib.h>


struct CMUnitTest {
    const char   *name;
    void        (*test)(void **state);
};


#define cmocka_unit_test(f)  { #f, f }

#define assert_true(x)                                                       \
    do {                                                                     \
        if (!(x)) {                                                          \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #x);                   \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

#define assert_int_equal(a, b)      assert_true((a) == (b))
#define assert_ptr_not_equal(a, b)  assert_true((a) != (b))

#define cmocka_run_group_tests(tests, setup, teardown)                       \
    run(tests, sizeof(tests) / sizeof(tests[0]))


static int
run(const struct CMUnitTest *tests, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        tests[i].test(NULL);
        printf("[       OK ] %s\n", tests[i].name);
    }

    printf("[==========] %zu test(s) run.\n", n);
    printf("[  PASSED  ] %zu test(s).\n", n);

    return 0;
}
