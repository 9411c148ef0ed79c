
/*
 * All that a certificate needs of the store, from the lock to what is
 * remembered last, cut short at each of its system calls: by a kill, by an
 * error, by a loss of power.  What was done stays done, what was under way is
 * done or not, and whoever comes next goes on and leaves nothing behind.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#include <openssl/obj_mac.h>
#include <openssl/pem.h>

#include "../../src/base/ngx_autocert_x509.h"
#include "../../src/store/ngx_autocert_store.h"
#include "ngx_stub.h"


#define TEST_NOW     1800000000
#define TEST_AGAIN   6          /* kills at one call, one after the other */
#define TEST_PAIRS   4          /* 0: none */
#define TEST_OPS     512
#define TEST_DATA    65536
#define TEST_FILES   128
#define TEST_LOST    8          /* changes of directories, not yet synced */

#define TEST_KILL    1
#define TEST_ERROR   2          /* of one call */
#define TEST_ERRORS  3          /* of that one and all that follow */
#define TEST_SHORT   4          /* one that writes or reads one byte */
#define TEST_TRACE   5

#define TEST_FIRST        0     /* no store at all */
#define TEST_RENEWAL      1
#define TEST_INTERRUPTED  2     /* another was killed, and nobody has looked */
#define TEST_STARTS       3


/* What there is, each a number that goes up with the steps. */

typedef struct {
    ngx_uint_t  account;        /* 1: a key, 2: a URL as well */
    ngx_uint_t  ca;
    ngx_uint_t  state;
    ngx_uint_t  issued;
    ngx_uint_t  next;           /* 0: none, else of which pair */
    ngx_uint_t  pair;
} test_seen_t;


typedef struct {
    EVP_PKEY   *key;
    ngx_str_t   key_pem;
    ngx_str_t   chain_pem;
    u_char      id[NGX_AUTOCERT_KEY_ID];
} test_pair_t;


/* What reaches the disk, or does not. */

typedef enum {
    TEST_CREATE, TEST_MKDIR, TEST_RENAME, TEST_UNLINK,
    TEST_WRITE, TEST_SYNC, TEST_SYNC_DIR, TEST_DONE
} test_op_e;

typedef struct {
    test_op_e    op;
    char         path[160];     /* below the store */
    char         to[160];
    ngx_uint_t   file;
    size_t       offset, len;   /* in test_data */
} test_op_t;

typedef struct {
    char         path[160];
    ngx_uint_t   file;          /* 0: a directory */
} test_entry_t;


static char                   test_dir[64], test_path[96];
static ngx_str_t              test_name = ngx_string("example.org");
static ngx_str_t              test_ca = ngx_string("https://ca.example/dir");
static ngx_str_t              test_url = ngx_string("https://ca.example/a/1");
static ngx_str_t              test_none = ngx_null_string;
static ngx_pool_t            *test_pool;
static ngx_autocert_store_t   test_store;
static ngx_autocert_fail_t    test_fail;
static EVP_PKEY              *test_account;
static test_pair_t            test_pairs[TEST_PAIRS];

static ngx_uint_t             test_start;
static ngx_uint_t             test_mode;
static ngx_uint_t             test_at;      /* the call, from 1 on */
static ngx_uint_t             test_calls;
static ngx_uint_t             test_failed;  /* the last step did */
static int                    test_errno;
static ngx_uint_t            *test_steps;   /* done, seen by the parent */

static test_op_t              test_ops[TEST_OPS];
static ngx_uint_t             test_nops;
static u_char                 test_data[TEST_DATA];
static size_t                 test_size;
static test_entry_t           test_now[TEST_FILES];     /* in the trace */
static ngx_uint_t             test_nnow, test_nfiles;


/* -1: fails, 1: one byte alone. */

static int
test_call(void)
{
    if (test_mode == 0 || test_mode == TEST_TRACE) {
        return 0;
    }

    test_calls++;

    if (test_calls != test_at
        && !(test_mode == TEST_ERRORS && test_calls > test_at))
    {
        return 0;
    }

    if (test_mode == TEST_KILL) {
        (void) kill(getpid(), SIGKILL);
    }

    if (test_mode == TEST_SHORT) {
        return 1;
    }

    errno = test_errno;

    return -1;
}


static test_op_t *
test_op(test_op_e op, int fd, const char *name)
{
    char         path[160], link[32];
    ssize_t      n;
    test_op_t   *o;

    assert_true(test_nops < TEST_OPS);
    o = &test_ops[test_nops++];
    ngx_memzero(o, sizeof(test_op_t));
    o->op = op;

    if (fd == -1) {
        return o;
    }

    (void) sprintf(link, "/proc/self/fd/%d", fd);
    n = syscall(SYS_readlink, link, path, sizeof(path) - 1);
    assert_true(n >= (ssize_t) strlen(test_path));
    path[n] = '\0';

    (void) snprintf(o->path, sizeof(o->path), "%s%s%s",
                    path + strlen(test_path), name ? "/" : "",
                    name ? name : "");

    return o;
}


static test_entry_t *
test_entry(test_entry_t *entries, ngx_uint_t n, const char *path)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (strcmp(entries[i].path, path) == 0) {
            return &entries[i];
        }
    }

    return NULL;
}


static void
test_enter(test_entry_t *entries, ngx_uint_t *n, const char *path,
    ngx_uint_t file)
{
    test_entry_t  *e;

    e = test_entry(entries, *n, path);

    if (e == NULL) {
        assert_true(*n < TEST_FILES);
        e = &entries[(*n)++];
        (void) strcpy(e->path, path);
    }

    e->file = file;
}


static void
test_leave(test_entry_t *entries, ngx_uint_t *n, const char *path)
{
    test_entry_t  *e;

    e = test_entry(entries, *n, path);

    if (e) {
        (*n)--;
        ngx_memmove(e, e + 1, (entries + *n - e) * sizeof(test_entry_t));
    }
}


/* A change of a directory. */

static void
test_apply(test_entry_t *entries, ngx_uint_t *n, test_op_t *o)
{
    test_entry_t  *e;

    switch (o->op) {

    case TEST_CREATE:
    case TEST_MKDIR:
        test_enter(entries, n, o->path, o->file);
        break;

    case TEST_UNLINK:
        test_leave(entries, n, o->path);
        break;

    case TEST_RENAME:
        e = test_entry(entries, *n, o->path);

        if (e && e->file == o->file) {
            test_leave(entries, n, o->path);
        }

        test_enter(entries, n, o->to, o->file);
        break;

    default:
        break;
    }
}


/* the calls that the store makes */

int
open(const char *path, int flags, ...)
{
    return test_call() == -1 ? -1 : (int) syscall(SYS_open, path, flags, 0);
}


int
openat(int fd, const char *name, int flags, ...)
{
    int         mode, rc;
    va_list     args;
    test_op_t  *o;

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, int) : 0;
    va_end(args);

    if (test_call() == -1) {
        return -1;
    }

    rc = (int) syscall(SYS_openat, fd, name, flags, mode);

    if (test_mode == TEST_TRACE && rc != -1 && (flags & O_CREAT)) {
        o = test_op(TEST_CREATE, fd, name);
        o->file = ++test_nfiles;
        test_apply(test_now, &test_nnow, o);
    }

    return rc;
}


int
mkdir(const char *path, mode_t mode)
{
    return test_call() == -1 ? -1 : (int) syscall(SYS_mkdir, path, mode);
}


int
mkdirat(int fd, const char *name, mode_t mode)
{
    if (test_call() == -1) {
        return -1;
    }

    if (test_mode == TEST_TRACE) {
        test_apply(test_now, &test_nnow, test_op(TEST_MKDIR, fd, name));
    }

    return (int) syscall(SYS_mkdirat, fd, name, mode);
}


int
rmdir(const char *path)
{
    return test_call() == -1 ? -1 : (int) syscall(SYS_rmdir, path);
}


int
renameat(int from, const char *name, int to, const char *new_name)
{
    char           path[160];
    test_op_t     *o;
    test_entry_t  *e;

    if (test_call() == -1) {
        return -1;
    }

    if (test_mode == TEST_TRACE) {
        o = test_op(TEST_RENAME, to, new_name);
        (void) strcpy(path, o->path);
        test_nops--;
        o = test_op(TEST_RENAME, from, name);
        (void) strcpy(o->to, path);
        e = test_entry(test_now, test_nnow, o->path);
        assert_non_null(e);
        o->file = e->file;
        test_apply(test_now, &test_nnow, o);
    }

    return (int) syscall(SYS_renameat2, from, name, to, new_name, 0);
}


int
unlinkat(int fd, const char *name, int flags)
{
    if (test_call() == -1) {
        return -1;
    }

    if (test_mode == TEST_TRACE) {
        test_apply(test_now, &test_nnow, test_op(TEST_UNLINK, fd, name));
    }

    return (int) syscall(SYS_unlinkat, fd, name, flags);
}


int
fchmod(int fd, mode_t mode)
{
    return test_call() == -1 ? -1 : (int) syscall(SYS_fchmod, fd, mode);
}


/* No test waits for a disk. */

int
fsync(int fd)
{
    test_op_t     *o;
    struct stat    st;
    test_entry_t  *e;

    if (test_call() == -1) {
        return -1;
    }

    if (test_mode == TEST_TRACE) {
        assert_int_equal(syscall(SYS_fstat, fd, &st), 0);
        o = test_op(S_ISDIR(st.st_mode) ? TEST_SYNC_DIR : TEST_SYNC, fd,
                    NULL);

        if (o->op == TEST_SYNC) {
            e = test_entry(test_now, test_nnow, o->path);
            assert_non_null(e);
            o->file = e->file;
        }
    }

    return 0;
}


int
fstat(int fd, struct stat *st)
{
    return test_call() == -1 ? -1 : (int) syscall(SYS_fstat, fd, st);
}


int
fstatat(int fd, const char *restrict name, struct stat *restrict st,
    int flags)
{
    return test_call() == -1 ? -1
                         : (int) syscall(SYS_newfstatat, fd, name, st, flags);
}


int
flock(int fd, int operation)
{
    return test_call() == -1 ? -1 : (int) syscall(SYS_flock, fd, operation);
}


ssize_t
read(int fd, void *buf, size_t len)
{
    int  rc;

    rc = test_call();

    return rc == -1 ? -1 : syscall(SYS_read, fd, buf, rc ? 1 : len);
}


/* In two halves, one of which a kill may leave. */

ssize_t
write(int fd, const void *buf, size_t len)
{
    int            rc;
    test_op_t     *o;
    test_entry_t  *e;

    rc = test_call();

    if (rc == -1) {
        return -1;
    }

    if (test_mode && len > 1) {
        len = rc ? 1 : len - len / 2;
    }

    if (test_mode == TEST_TRACE) {
        o = test_op(TEST_WRITE, fd, NULL);
        e = test_entry(test_now, test_nnow, o->path);
        assert_non_null(e);
        assert_true(test_size + len <= TEST_DATA);
        o->file = e->file;
        o->offset = test_size;
        o->len = len;
        memcpy(test_data + test_size, buf, len);
        test_size += len;
    }

    return syscall(SYS_write, fd, buf, len);
}


/* It is closed whatever it says. */

int
close(int fd)
{
    int  rc, err;

    rc = test_call();
    err = errno;

    (void) syscall(SYS_close, fd);
    errno = err;

    return rc == -1 ? -1 : 0;
}


/* files of the test's own */

static int
test_remove_file(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;

    return remove(path);
}


static void
test_clear(void)
{
    (void) nftw(test_path, test_remove_file, 16, FTW_DEPTH|FTW_PHYS);
}


static ngx_uint_t  test_counted, test_strays;

static int
test_count_file(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
    (void) st;
    (void) ftw;

    test_counted += (type == FTW_F);
    test_strays += (strstr(path, "/.tmp.") != NULL);

    return 0;
}


static ngx_uint_t
test_count(void)
{
    test_counted = 0;
    test_strays = 0;
    (void) nftw(test_path, test_count_file, 16, FTW_PHYS);

    return test_counted;
}


static void
test_put(const char *file, const void *data, size_t len)
{
    int   fd;
    char  path[256];

    (void) snprintf(path, sizeof(path), "%s%s", test_path, file);
    (void) syscall(SYS_unlink, path);

    fd = (int) syscall(SYS_open, path, O_WRONLY|O_CREAT|O_EXCL, 0600);
    assert_true(fd != -1);
    assert_int_equal(syscall(SYS_write, fd, data, len), len);
    (void) syscall(SYS_close, fd);
}


/* the steps */

static ngx_int_t
test_put_state(ngx_uint_t n)
{
    ngx_autocert_state_t  state;

    ngx_memzero(&state, sizeof(ngx_autocert_state_t));
    state.ca = test_ca;
    state.failures = n;

    return ngx_autocert_store_state_put(&test_store, test_pool, &test_name,
                                        &state, &test_fail);
}


static ngx_int_t
test_put_ca(ngx_uint_t n)
{
    ngx_autocert_ca_t  ca;

    ngx_memzero(&ca, sizeof(ngx_autocert_ca_t));
    ca.failures = n;

    return ngx_autocert_store_ca_put(&test_store, test_pool, &test_ca, &ca,
                                     &test_fail);
}


static ngx_int_t
test_put_issued(ngx_uint_t n)
{
    ngx_autocert_issued_t  issued;

    ngx_memzero(&issued, sizeof(ngx_autocert_issued_t));
    issued.life = (time_t) n;

    return ngx_autocert_store_issued_put(&test_store, test_pool, &test_ca,
                                         &test_name, &issued, &test_fail);
}


static ngx_int_t
test_put_account(ngx_str_t *url)
{
    ngx_array_t  contacts;

    assert_int_equal(ngx_array_init(&contacts, test_pool, 1,
                                    sizeof(ngx_str_t)),
                     NGX_OK);

    return ngx_autocert_store_account_put(&test_store, test_pool, &test_ca,
                                          test_account, url, &contacts,
                                          &test_fail);
}


static ngx_int_t
test_open(void)
{
    ngx_str_t  path;

    path.data = (u_char *) test_path;
    path.len = strlen(test_path);

    if (ngx_autocert_store_open(&test_store, test_pool, &path, &test_fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_autocert_store_lock(&test_store, test_pool, &test_fail);
}


/* As a helper does that begins. */

static ngx_int_t
test_begin(void)
{
    ngx_int_t            rc;
    ngx_autocert_pair_t  pair;

    if (test_open() != NGX_OK) {
        return NGX_ERROR;
    }

    /* what could not be read then is to be left whole by what follows */

    if (test_start == TEST_INTERRUPTED) {
        return NGX_OK;
    }

    (void) ngx_autocert_store_complete(&test_store, &test_name);

    ngx_memzero(&pair, sizeof(ngx_autocert_pair_t));

    rc = ngx_autocert_store_load(&test_store, test_pool, &test_name, &pair,
                                 &test_fail);
    ngx_autocert_store_pair_free(&pair);

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/*
 * What there is after so many steps of the issuance of pair n; rc of the last
 * one if it is to be done.
 */

#define TEST_LAST  11

static ngx_int_t
test_step(ngx_uint_t step, ngx_uint_t n, test_seen_t *seen, ngx_uint_t doit)
{
    ngx_int_t  rc;

    rc = NGX_OK;

    switch (step) {

    case 1:
        return doit ? test_begin() : NGX_OK;

    case 2:
        if (seen->account == 0) {
            seen->account = 1;
            rc = doit ? test_put_account(&test_none) : NGX_OK;
        }

        return rc;

    case 3:
        seen->state = 10 * n + 1;
        return doit ? test_put_state(seen->state) : NGX_OK;

    case 4:
        seen->ca = n;
        return doit ? test_put_ca(n) : NGX_OK;

    case 5:
        seen->account = 2;
        return doit ? test_put_account(&test_url) : NGX_OK;

    case 6:
        seen->next = n;
        return doit ? ngx_autocert_store_next_put(&test_store, test_pool,
                                                  &test_name,
                                                  test_pairs[n].key,
                                                  &test_fail)
                    : NGX_OK;

    case 7:
        seen->state = 10 * n + 2;
        return doit ? test_put_state(seen->state) : NGX_OK;

    case 8:
        seen->issued = 10 * n + 1;
        return doit ? test_put_issued(seen->issued) : NGX_OK;

    case 9:
        seen->next = 0;
        seen->pair = n;
        return doit ? ngx_autocert_store_commit(&test_store, test_pool,
                                                &test_name,
                                                &test_pairs[n].chain_pem,
                                                &test_fail)
                    : NGX_OK;

    case 10:
        seen->issued = 10 * n + 2;
        return doit ? test_put_issued(seen->issued) : NGX_OK;

    default: /* TEST_LAST */
        seen->state = 10 * n + 3;
        return doit ? test_put_state(seen->state) : NGX_OK;
    }
}


/* Returns how many steps are done; what is wrong is in test_fail. */

static ngx_uint_t
test_issue(ngx_uint_t n, test_seen_t seen)
{
    ngx_uint_t  step;

    ngx_memzero(&test_fail, sizeof(ngx_autocert_fail_t));
    test_store.fd = -1;
    test_store.lock = -1;
    test_failed = 0;

    for (step = 1; step <= TEST_LAST; step++) {

        if (test_step(step, n, &seen, 1) != NGX_OK) {
            test_failed = 1;
            return step - 1;
        }

        *test_steps = step;

        if (test_mode == TEST_TRACE) {
            (void) test_op(TEST_DONE, -1, NULL);
        }

        /* that it was got over does not count on what would have followed */

        if (test_mode == TEST_ERROR && test_calls >= test_at) {
            return step;
        }
    }

    return TEST_LAST;
}


/* Never an error; what is left of a commit is finished. */

static void
test_look(test_seen_t *seen)
{
    EVP_PKEY               *key;
    ngx_int_t               rc;
    ngx_str_t               url;
    ngx_uint_t              i;
    ngx_array_t             contacts;
    ngx_autocert_ca_t       ca;
    ngx_autocert_pair_t     pair;
    ngx_autocert_state_t    state;
    ngx_autocert_issued_t   issued;

    ngx_memzero(seen, sizeof(test_seen_t));
    assert_int_equal(ngx_array_init(&contacts, test_pool, 1,
                                    sizeof(ngx_str_t)),
                     NGX_OK);

    assert_int_equal(test_open(), NGX_OK);
    assert_int_not_equal(ngx_autocert_store_complete(&test_store, &test_name),
                         NGX_ERROR);

    rc = ngx_autocert_store_load(&test_store, test_pool, &test_name, &pair,
                                 &test_fail);
    assert_int_not_equal(rc, NGX_ERROR);

    for (i = 1; rc == NGX_OK && i < TEST_PAIRS; i++) {
        if (EVP_PKEY_eq(pair.key, test_pairs[i].key) == 1) {
            assert_memory_equal(pair.chain->id, test_pairs[i].id,
                                NGX_AUTOCERT_KEY_ID);
            seen->pair = i;
        }
    }

    assert_int_equal(rc == NGX_OK, seen->pair != 0);
    ngx_autocert_store_pair_free(&pair);

    rc = ngx_autocert_store_next_get(&test_store, test_pool, &test_name, &key,
                                     &test_fail);
    assert_int_not_equal(rc, NGX_ERROR);

    for (i = 1; rc == NGX_OK && i < TEST_PAIRS; i++) {
        if (EVP_PKEY_eq(key, test_pairs[i].key) == 1) {
            seen->next = i;
        }
    }

    EVP_PKEY_free(key);

    rc = ngx_autocert_store_account_get(&test_store, test_pool, &test_ca,
                                        &key, &url, &contacts, &test_fail);
    assert_int_not_equal(rc, NGX_ERROR);

    if (rc == NGX_OK) {
        assert_int_equal(EVP_PKEY_eq(key, test_account), 1);
        seen->account = url.len ? 2 : 1;
        EVP_PKEY_free(key);
    }

    assert_int_not_equal(ngx_autocert_store_state_get(&test_store, test_pool,
                                                      &test_name, &state,
                                                      &test_fail),
                         NGX_ERROR);
    assert_int_not_equal(ngx_autocert_store_ca_get(&test_store, test_pool,
                                                   &test_ca, &ca, &test_fail),
                         NGX_ERROR);
    assert_int_not_equal(ngx_autocert_store_issued_get(&test_store, test_pool,
                                                       &test_ca, &test_name,
                                                       &issued, &test_fail),
                         NGX_ERROR);

    seen->state = state.failures;
    seen->ca = ca.failures;
    seen->issued = (ngx_uint_t) issued.life;

    ngx_autocert_store_close(&test_store);
}


static void
test_within(const char *what, ngx_uint_t seen, ngx_uint_t done,
    ngx_uint_t doing)
{
    if (seen != done && seen != doing) {
        fail_msg("call %d, %s: %d, neither %d nor %d", (int) test_at, what,
                 (int) seen, (int) done, (int) doing);
    }
}


/* All of what was done, and of the step after it all or nothing. */

static void
test_check(test_seen_t *start, ngx_uint_t n, ngx_uint_t steps)
{
    ngx_uint_t    i;
    test_seen_t   seen, done, doing;

    done = *start;

    for (i = 1; i <= steps; i++) {
        (void) test_step(i, n, &done, 0);
    }

    doing = done;

    if (steps < TEST_LAST) {
        (void) test_step(steps + 1, n, &doing, 0);
    }

    test_look(&seen);

    test_within("account", seen.account, done.account, doing.account);
    test_within("CA", seen.ca, done.ca, doing.ca);
    test_within("state", seen.state, done.state, doing.state);
    test_within("issued", seen.issued, done.issued, doing.issued);
    test_within("next key", seen.next, done.next, doing.next);
    test_within("pair", seen.pair, done.pair, doing.pair);
}


/* Whoever comes next is done, and nothing is left but what is to be. */

static void
test_go_on(ngx_uint_t n)
{
    ngx_uint_t   files;
    test_seen_t  seen;

    test_look(&seen);
    assert_int_equal(test_issue(n, seen), TEST_LAST);
    ngx_autocert_store_close(&test_store);

    (void) test_step(TEST_LAST, n, &seen, 0);
    test_check(&seen, n, TEST_LAST);

    files = test_count();

    if (test_strays || files != 8) {
        fail_msg("call %d: %d files, %d of them stray", (int) test_at,
                 (int) files, (int) test_strays);
    }
}


/* Returns the pair that is issued next. */

static ngx_uint_t
test_prepare(ngx_uint_t start, test_seen_t *seen)
{
    ngx_uint_t  mode;

    mode = test_mode;
    test_mode = 0;
    test_start = start;

    test_clear();
    ngx_memzero(seen, sizeof(test_seen_t));

    if (start != TEST_FIRST) {
        assert_int_equal(test_issue(1, *seen), TEST_LAST);
        ngx_autocert_store_close(&test_store);
        test_look(seen);
    }

    if (start == TEST_INTERRUPTED) {
        test_put("/example.org/fullchain.pem", test_pairs[2].chain_pem.data,
                 test_pairs[2].chain_pem.len);
        test_put("/example.org/privkey.next.pem", test_pairs[2].key_pem.data,
                 test_pairs[2].key_pem.len);
        seen->pair = 2;
    }

    ngx_reset_pool(test_pool);
    test_mode = mode;
    test_calls = 0;
    *test_steps = 0;

    return start == TEST_INTERRUPTED ? 3 : 2;
}


/* Returns whether it came to be killed. */

static ngx_uint_t
test_killed(ngx_uint_t n, test_seen_t seen)
{
    int    status;
    pid_t  pid;

    *test_steps = 0;
    pid = fork();
    assert_true(pid != -1);

    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        test_mode = TEST_KILL;
        _exit(test_issue(n, seen) != TEST_LAST);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);

    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return 0;
    }

    assert_int_equal(WTERMSIG(status), SIGKILL);

    return 1;
}


static void
test_crash_kill(void **state)
{
    ngx_uint_t   i, n, start, killed;
    test_seen_t  seen;

    (void) state;

    for (start = 0; start < TEST_STARTS; start++) {

        for (test_at = 1; /* void */ ; test_at++) {

            n = test_prepare(start, &seen);
            killed = test_killed(n, seen);
            test_check(&seen, n, *test_steps);

            if (!killed) {
                break;
            }

            /* one is left in a directory, not one of each that was killed */

            for (i = 1; i < TEST_AGAIN && start != TEST_INTERRUPTED; i++) {
                test_look(&seen);
                (void) test_killed(n, seen);
                test_check(&seen, n, *test_steps);
                (void) test_count();

                if (test_strays > 3) {
                    fail_msg("call %d: %d stray files", (int) test_at,
                             (int) test_strays);
                }
            }

            test_go_on(n);
            ngx_reset_pool(test_pool);
        }

        print_message("killed at each of %d calls\n", (int) test_at - 1);
        assert_true(test_at > 150);
    }
}


static void
test_errors(ngx_uint_t mode, int err)
{
    ngx_uint_t   n, start, steps, failed;
    test_seen_t  seen;

    test_mode = mode;
    test_errno = err;

    for (start = 0; start < TEST_STARTS; start++) {

        failed = 0;

        for (test_at = 1; /* void */ ; test_at++) {

            n = test_prepare(start, &seen);
            steps = test_issue(n, seen);
            test_mode = 0;

            ngx_autocert_store_close(&test_store);

            if (test_failed) {
                failed++;
                assert_true(test_fail.why.len > 0);
            }

            if (test_failed && test_fail.damaged) {
                fail_msg("call %d: %.*s", (int) test_at,
                         (int) test_fail.why.len,
                         (char *) test_fail.why.data);
            }

            test_check(&seen, n, steps);

            if (test_calls < test_at) {
                break;
            }

            test_go_on(n);
            ngx_reset_pool(test_pool);
            test_mode = mode;
        }

        assert_true(test_at > 150);
        assert_true(mode == TEST_SHORT || err == EINTR || failed > 60);
        test_mode = mode;
    }

    test_mode = 0;
}


static void
test_crash_full(void **state)
{
    (void) state;

    test_errors(TEST_ERRORS, ENOSPC);
}


static void
test_crash_disk(void **state)
{
    (void) state;

    test_errors(TEST_ERROR, EIO);
}


static void
test_crash_read_only(void **state)
{
    (void) state;

    test_errors(TEST_ERRORS, EROFS);
}


static void
test_crash_interrupted(void **state)
{
    (void) state;

    test_errors(TEST_ERROR, EINTR);
    test_errors(TEST_SHORT, 0);
}


/* a loss of power */

static void
test_record(const char *path)
{
    int         fd;
    char        file[256];
    ssize_t     n;
    test_op_t  *o;

    (void) snprintf(file, sizeof(file), "%s%s", test_path, path);

    o = test_op(TEST_CREATE, -1, NULL);
    (void) strcpy(o->path, path);
    o->file = ++test_nfiles;
    test_apply(test_now, &test_nnow, o);

    fd = (int) syscall(SYS_open, file, O_RDONLY, 0);
    assert_true(fd != -1);
    n = syscall(SYS_read, fd, test_data + test_size, TEST_DATA - test_size);
    assert_true(n >= 0);
    (void) syscall(SYS_close, fd);

    o = test_op(TEST_WRITE, -1, NULL);
    o->file = test_nfiles;
    o->offset = test_size;
    o->len = n;
    test_size += n;

    o = test_op(TEST_SYNC, -1, NULL);
    o->file = test_nfiles;
}


static int
test_record_file(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
    test_op_t  *o;

    (void) st;
    (void) ftw;

    path += strlen(test_path);

    if (type == FTW_F) {
        test_record(path);
        return 0;
    }

    if (*path) {
        o = test_op(TEST_MKDIR, -1, NULL);
        (void) strcpy(o->path, path);
        test_apply(test_now, &test_nnow, o);
    }

    return 0;
}


/* What was there before is on the disk; returns the first op that may not. */

static ngx_uint_t
test_trace(ngx_uint_t n, test_seen_t seen)
{
    ngx_uint_t  first;

    test_nops = 0;
    test_nnow = 0;
    test_nfiles = 0;
    test_size = 0;

    (void) nftw(test_path, test_record_file, 16, FTW_PHYS);
    first = test_nops;

    test_mode = TEST_TRACE;
    assert_int_equal(test_issue(n, seen), TEST_LAST);
    test_mode = 0;

    ngx_autocert_store_close(&test_store);

    return first;
}


/* Is the i-th change on the disk for certain, if the power is lost at end? */

static ngx_uint_t
test_synced(ngx_uint_t i, ngx_uint_t end)
{
    char    *path;
    size_t   len;

    path = test_ops[i].op == TEST_RENAME ? test_ops[i].to : test_ops[i].path;
    len = strrchr(path, '/') - path;

    while (++i < end) {
        if (test_ops[i].op == TEST_SYNC_DIR
            && strlen(test_ops[i].path) == len
            && strncmp(test_ops[i].path, path, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* What is not synced of a file: 0: is there, 1: not, 2: zeros in its place. */

static void
test_fill(test_entry_t *e, ngx_uint_t end, ngx_uint_t how)
{
    size_t      len;
    ngx_uint_t  i, synced;

    static u_char  text[TEST_DATA];

    synced = 0;
    len = 0;

    for (i = 0; i < end; i++) {
        if (test_ops[i].op == TEST_SYNC && test_ops[i].file == e->file) {
            synced = i;
        }
    }

    for (i = 0; i < end; i++) {

        if (test_ops[i].op != TEST_WRITE || test_ops[i].file != e->file
            || (how == 1 && i > synced))
        {
            continue;
        }

        if (how == 2 && i > synced) {
            ngx_memzero(text + len, test_ops[i].len);

        } else {
            ngx_memcpy(text + len, test_data + test_ops[i].offset,
                       test_ops[i].len);
        }

        len += test_ops[i].len;
    }

    test_put(e->path, text, len);
}


static void
test_materialize(ngx_uint_t first, ngx_uint_t end, ngx_uint_t kept,
    ngx_uint_t how)
{
    char           path[256], *name;
    ngx_uint_t     i, n, bit;
    test_entry_t   entries[TEST_FILES];

    n = 0;
    bit = 0;

    for (i = 0; i < end; i++) {

        if (test_ops[i].op <= TEST_UNLINK && i >= first
            && !test_synced(i, end) && !(kept & (1 << bit++)))
        {
            continue;
        }

        test_apply(entries, &n, &test_ops[i]);
    }

    test_clear();
    (void) syscall(SYS_mkdir, test_path, 0700);

    /* a directory comes before what is in it, if it is there */

    for (i = 0; i < n; i++) {
        *ngx_sprintf((u_char *) path, "%s%s", test_path, entries[i].path)
            = '\0';

        if (entries[i].file == 0) {
            (void) syscall(SYS_mkdir, path, 0700);
            continue;
        }

        name = strrchr(path, '/');
        *name = '\0';

        if (syscall(SYS_access, path, F_OK) == 0) {
            test_fill(&entries[i], end, how);
        }
    }
}


static void
test_crash_power(void **state)
{
    ngx_uint_t   i, n, how, end, first, kept, lost, steps, start, cuts;
    test_seen_t  seen;

    (void) state;

    cuts = 0;

    for (start = 0; start < TEST_STARTS; start++) {

        n = test_prepare(start, &seen);

        if (start == TEST_FIRST) {
            (void) syscall(SYS_mkdir, test_path, 0700);
        }

        first = test_trace(n, seen);
        assert_true(test_nops - first > 60);

        for (end = first; end <= test_nops; end++) {

            test_at = end - first;
            steps = 0;
            lost = 0;

            for (i = first; i < end; i++) {
                steps += (test_ops[i].op == TEST_DONE);
                lost += (test_ops[i].op <= TEST_UNLINK
                         && !test_synced(i, end));
            }

            assert_true(lost <= TEST_LOST);

            for (kept = 0; kept < (1U << lost); kept++) {

                for (how = 0; how < 3; how++) {
                    test_materialize(first, end, kept, how);
                    test_check(&seen, n, steps);
                    cuts++;
                }

                ngx_reset_pool(test_pool);
            }

            test_go_on(n);
        }
    }

    print_message("%d states of the disk\n", (int) cuts);
}


static void
test_pair_make(test_pair_t *pair)
{
    BIO                   *bio;
    char                  *p;
    ngx_autocert_chain_t  *chain;

    pair->key = ngx_autocert_key_create(NID_X9_62_prime256v1);
    assert_non_null(pair->key);
    assert_int_equal(ngx_autocert_key_id(pair->key, pair->id), NGX_OK);
    assert_int_equal(ngx_autocert_key_write(pair->key, &pair->key_pem),
                     NGX_OK);

    chain = ngx_autocert_x509_self_signed(pair->key, &test_name, TEST_NOW,
                                          90);
    assert_non_null(chain);

    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, sk_X509_value(chain->certs, 0)),
                     1);

    pair->chain_pem.len = BIO_get_mem_data(bio, &p);
    pair->chain_pem.data = malloc(pair->chain_pem.len);
    memcpy(pair->chain_pem.data, p, pair->chain_pem.len);

    BIO_free(bio);
    ngx_autocert_x509_chain_free(chain);
}


static int
test_group_setup(void **state)
{
    ngx_uint_t  i;

    (void) state;

    (void) umask(022);

    for (i = 1; i < TEST_PAIRS; i++) {
        test_pair_make(&test_pairs[i]);
    }

    test_account = ngx_autocert_key_create(NID_X9_62_prime256v1);
    test_steps = mmap(NULL, sizeof(ngx_uint_t), PROT_READ|PROT_WRITE,
                      MAP_SHARED|MAP_ANONYMOUS, -1, 0);

    (void) sprintf(test_dir, "%s/test_crash.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");

    return test_account == NULL || test_steps == MAP_FAILED
           || mkdtemp(test_dir) == NULL;
}


static int
test_group_teardown(void **state)
{
    ngx_uint_t  i;

    (void) state;

    for (i = 1; i < TEST_PAIRS; i++) {
        EVP_PKEY_free(test_pairs[i].key);
        ngx_autocert_pem_free(&test_pairs[i].key_pem);
        free(test_pairs[i].chain_pem.data);
    }

    EVP_PKEY_free(test_account);

    return (int) syscall(SYS_rmdir, test_dir);
}


static int
test_setup(void **state)
{
    (void) state;

    (void) sprintf(test_path, "%s/store", test_dir);
    test_mode = 0;
    test_pool = ngx_create_pool(4096, &ngx_stub_log);

    return test_pool == NULL;
}


static int
test_teardown(void **state)
{
    (void) state;

    test_mode = 0;
    test_clear();
    ngx_destroy_pool(test_pool);

    return 0;
}


#define test_case(f)  cmocka_unit_test_setup_teardown(f, test_setup,         \
                                                      test_teardown)


/* all, or the one that is named */

int
main(int argc, char **argv)
{
    const struct CMUnitTest  tests[] = {
        test_case(test_crash_kill),
        test_case(test_crash_full),
        test_case(test_crash_disk),
        test_case(test_crash_read_only),
        test_case(test_crash_interrupted),
        test_case(test_crash_power)
    };

    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }

    return cmocka_run_group_tests(tests, test_group_setup,
                                  test_group_teardown);
}
