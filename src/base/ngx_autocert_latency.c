
#include "ngx_autocert_latency.h"


static ngx_uint_t ngx_autocert_latency_step(uint64_t us);
static uint64_t ngx_autocert_latency_end(ngx_uint_t step);


void
ngx_autocert_latency_add(ngx_autocert_latency_t *latency, int64_t us)
{
    uint64_t  n;

    n = ngx_max(us, 0);

    (void) __atomic_fetch_add(&latency->steps[ngx_autocert_latency_step(n)],
                              1, __ATOMIC_RELAXED);
    (void) __atomic_fetch_add(&latency->sum, n, __ATOMIC_RELAXED);
    (void) __atomic_fetch_add(&latency->n, 1, __ATOMIC_RELAXED);
}


void
ngx_autocert_latency_get(ngx_autocert_latency_t *latency,
    ngx_autocert_latency_t *copy)
{
    ngx_uint_t  i;

    copy->sum = __atomic_load_n(&latency->sum, __ATOMIC_RELAXED);
    copy->n = 0;

    /* their sum, whatever was added meanwhile */

    for (i = 0; i < NGX_AUTOCERT_LATENCY_STEPS; i++) {
        copy->steps[i] = __atomic_load_n(&latency->steps[i],
                                         __ATOMIC_RELAXED);
        copy->n += copy->steps[i];
    }
}


uint64_t
ngx_autocert_latency_quantile(ngx_autocert_latency_t *latency,
    ngx_uint_t percent)
{
    uint64_t    seen, wanted;
    ngx_uint_t  i;

    if (latency->n == 0) {
        return 0;
    }

    wanted = latency->n - latency->n / 100 * (100 - percent)
             - latency->n % 100 * (100 - percent) / 100;
    seen = 0;

    for (i = 0; i < NGX_AUTOCERT_LATENCY_STEPS - 1; i++) {
        seen += latency->steps[i];

        if (seen >= wanted) {
            break;
        }
    }

    return ngx_autocert_latency_end(i);
}


uint64_t
ngx_autocert_latency_below(ngx_autocert_latency_t *latency, ngx_uint_t n)
{
    uint64_t    seen;
    ngx_uint_t  i;

    seen = 0;

    for (i = 0; i < NGX_AUTOCERT_LATENCY_STEPS; i++) {

        if (ngx_autocert_latency_end(i) > (uint64_t) 1 << n) {
            break;
        }

        seen += latency->steps[i];
    }

    return seen;
}


/* 0, 1, 2, 3, then each power of two in quarters. */

static ngx_uint_t
ngx_autocert_latency_step(uint64_t us)
{
    ngx_uint_t  power, step;

    if (us < 4) {
        return us;
    }

    power = 63 - __builtin_clzll(us);
    step = 4 * (power - 1) + ((us >> (power - 2)) & 3);

    return ngx_min(step, NGX_AUTOCERT_LATENCY_STEPS - 1);
}


/* The first that is in the step behind. */

static uint64_t
ngx_autocert_latency_end(ngx_uint_t step)
{
    ngx_uint_t  next;

    next = step + 1;

    if (next < 4) {
        return next;
    }

    return (uint64_t) (4 + next % 4) << (next / 4 - 1);
}
