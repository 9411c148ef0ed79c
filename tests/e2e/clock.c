
/*
 * Preloaded: the wall clock is so many seconds ahead, so many seconds have
 * passed on all clocks, and the monotonic one runs slower or stands still, as
 * a file says that a test writes to while all processes run.
 */

#define _GNU_SOURCE 1

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


/* From when, in ns of the real one, to when, and in thousandths how fast. */

typedef struct {
    int64_t           real;
    int64_t           shown;
    int64_t           pace;
} clock_pace_t;


/* Of the two paces one holds: the other is written meanwhile. */

typedef struct {
    volatile int64_t  ahead;        /* of the wall clock, s */
    volatile int64_t  passed;       /* on all clocks, s */
    volatile int64_t  which;
    clock_pace_t      paces[2];
} clock_shift_t;


static clock_shift_t         clock_none = { 0, 0, 0, {{ 0, 0, 1000 },
                                                      { 0, 0, 1000 }} };
static const clock_shift_t  *clock_shift = &clock_none;

static int  (*clock_next)(clockid_t, struct timespec *);


/* NGINX takes variables out of its environment: it is looked for once */

__attribute__((constructor)) static void
clock_init(void)
{
    int    fd;
    char  *path;
    void  *p;

    *(void **) &clock_next = dlsym(RTLD_NEXT, "clock_gettime");

    path = getenv("AUTOCERT_CLOCK");
    fd = path ? open(path, O_RDONLY|O_CLOEXEC) : -1;

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(clock_shift_t), PROT_READ, MAP_SHARED, fd, 0);

    if (p != MAP_FAILED) {
        clock_shift = p;
    }

    close(fd);
}


static void
clock_paced(struct timespec *ts)
{
    int64_t              now;
    const clock_pace_t  *p;

    p = &clock_shift->paces[clock_shift->which];

    now = ts->tv_sec * INT64_C(1000000000) + ts->tv_nsec;

    if (now > p->real) {
        now = p->shown + (now - p->real) / 1000 * p->pace;

    } else {
        now = p->shown;
    }

    ts->tv_sec = now / 1000000000;
    ts->tv_nsec = now % 1000000000;
}


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    if (clock_next == NULL) {
        *(void **) &clock_next = dlsym(RTLD_NEXT, "clock_gettime");
    }

    if (clock_next(id, ts) != 0) {
        return -1;
    }

    switch (id) {

    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        ts->tv_sec += clock_shift->ahead + clock_shift->passed;
        break;

    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
        clock_paced(ts);
        ts->tv_sec += clock_shift->passed;
        break;
    }

    return 0;
}


int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec  ts;

    (void) tz;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;

    return 0;
}


time_t
time(time_t *t)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    if (t) {
        *t = ts.tv_sec;
    }

    return ts.tv_sec;
}
