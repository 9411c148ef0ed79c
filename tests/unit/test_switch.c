
/* The switch between stacks: what the ABI says is kept, is kept. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fenv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../src/core/ngx_autocert_switch.h"


#define STACK   (64 * 1024)
#define FIBERS  100


typedef struct {
    ngx_autocert_context_t   context;
    unsigned char           *stack;
    int                      count;
    double                   sum;
} fiber_t;


static ngx_autocert_context_t   loop;
static fiber_t                 *running;

#if !defined(__aarch64__)
static int                      seen_mode;
#endif


static void
fiber_init(fiber_t *f, void (*entry)(void))
{
    memset(f, 0, sizeof(fiber_t));

    f->stack = mmap(NULL, STACK, PROT_READ|PROT_WRITE,
                    MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(f->stack, MAP_FAILED);

    ngx_autocert_switch_make(&f->context, f->stack, STACK, entry);
}


static void
fiber_free(fiber_t *f)
{
    assert_int_equal(munmap(f->stack, STACK), 0);
}


static void
enter(fiber_t *f)
{
    running = f;
    ngx_autocert_switch(&loop, &f->context);
    running = NULL;
}


static void
leave(fiber_t *f)
{
    ngx_autocert_switch(&f->context, &loop);
}


/* locals and floating point live over each switch, in many fibers at once */

static void
counting(void)
{
    int       i;
    double    sum;
    fiber_t  *f = running;

    ngx_autocert_switch_entered(&loop);

    sum = 0;

    for (i = 1; /* void */ ; i++) {
        sum += i / 4.0;
        f->count = i;
        f->sum = sum;
        leave(f);
    }
}


static void
test_many(void **state)
{
    int      i, n;
    double   want;
    fiber_t  fibers[FIBERS];

    (void) state;

    for (i = 0; i < FIBERS; i++) {
        fiber_init(&fibers[i], counting);
    }

    want = 0;

    for (n = 1; n <= 1000; n++) {
        want += n / 4.0;

        for (i = 0; i < FIBERS; i++) {
            enter(&fibers[i]);
            assert_int_equal(fibers[i].count, n);
            assert_true(fibers[i].sum == want);
        }
    }

    for (i = 0; i < FIBERS; i++) {
        fiber_free(&fibers[i]);
    }
}


/*
 * Six values that a compiler keeps in the registers of the caller, over a
 * switch to code that uses the same registers for others.
 */

static uint64_t
churn(fiber_t *f, uint64_t seed)
{
    uint64_t  a, b, c, d, e, g;
    int       i;

    a = seed;
    b = seed * 3;
    c = seed * 5;
    d = seed * 7;
    e = seed * 11;
    g = seed * 13;

    for (i = 0; i < 100; i++) {
        a += b ^ c;
        b += c ^ d;
        c += d ^ e;
        d += e ^ g;
        e += g ^ a;
        g += a ^ b;

        if (f == NULL) {
            continue;
        }

        if (running == f) {
            leave(f);

        } else {
            enter(f);
        }
    }

    return a ^ b ^ c ^ d ^ e ^ g;
}


static void
churning(void)
{
    fiber_t  *f = running;

    ngx_autocert_switch_entered(&loop);

    f->count = (churn(f, 99) == churn(NULL, 99)) ? 1 : -1;

    for ( ;; ) {
        leave(f);
    }
}


static void
test_registers(void **state)
{
    fiber_t  f;

    (void) state;

    fiber_init(&f, churning);

    assert_true(churn(&f, 42) == churn(NULL, 42));

    enter(&f);
    assert_int_equal(f.count, 1);

    fiber_free(&f);
}


/* a stack begins where the ABI wants it: vector code relies on that */

static void
aligned(void)
{
    char                 v[16] __attribute__((aligned(16)));
    fiber_t             *f = running;
    volatile uintptr_t   place;

    ngx_autocert_switch_entered(&loop);

    /* volatile: the compiler believes what is to be shown here */

    place = (uintptr_t) v;
    f->count = (place % 16 == 0);

    for ( ;; ) {
        leave(f);
    }
}


static void
test_alignment(void **state)
{
    fiber_t  f;

    (void) state;

    fiber_init(&f, aligned);
    enter(&f);
    assert_int_equal(f.count, 1);
    fiber_free(&f);
}


#if !defined(__aarch64__)

/* the rounding mode goes with the flow of control; AAPCS64 leaves it */

static double
third(void)
{
    volatile double  one = 1.0, three = 3.0;

    return one / three;
}


static void
rounding(void)
{
    fiber_t  *f = running;

    ngx_autocert_switch_entered(&loop);

    (void) fesetround(FE_UPWARD);
    f->sum = third();
    leave(f);
    seen_mode = (fegetround() == FE_UPWARD && f->sum == third());

    for ( ;; ) {
        leave(f);
    }
}


static void
test_rounding(void **state)
{
    double   nearest;
    fiber_t  f;

    (void) state;

    assert_int_equal(fegetround(), FE_TONEAREST);
    nearest = third();

    fiber_init(&f, rounding);
    enter(&f);
    assert_int_equal(fegetround(), FE_TONEAREST);
    assert_true(third() == nearest);
    assert_true(f.sum > nearest);

    enter(&f);
    assert_true(seen_mode);
    assert_int_equal(fegetround(), FE_TONEAREST);

    fiber_free(&f);
}

#endif


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_alignment),
#if !defined(__aarch64__)
        cmocka_unit_test(test_rounding),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
