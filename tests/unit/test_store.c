
#include <ngx_config.h>
#include <ngx_core.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "../../src/base/ngx_autocert_json.h"
#include "../../src/base/ngx_autocert_x509.h"
#include "../../src/store/ngx_autocert_store.h"
#include "../../src/store/ngx_autocert_store_account.h"
#include "../../src/store/ngx_autocert_store_ca.h"
#include "../../src/store/ngx_autocert_store_file.h"
#include "../../src/store/ngx_autocert_store_state.h"
#include "ngx_stub.h"


#define TEST_NOW     1800000000
#define TEST_NOBODY  65534

#define TEST_CRASH   1
#define TEST_FAIL    2
#define TEST_COUNT   3

#define test_has(text, part)                                                 \
    assert_non_null(memmem((text).data, (text).len, part, strlen(part)))


/* A certificate and its key, both in PEM. */

typedef struct {
    EVP_PKEY    *key;
    ngx_str_t    key_pem;
    ngx_str_t    chain_pem;
} test_pair_t;


static char                   test_dir[64];     /* the store is in here */
static char                   test_path[80];
static ngx_str_t              test_name = ngx_string("example.org");
static ngx_str_t              test_ca = ngx_string("https://ca.example/dir");
static ngx_pool_t            *test_pool;
static ngx_autocert_store_t   test_store;
static ngx_autocert_fail_t    test_fail;
static test_pair_t            test_old, test_new, test_third;

static ngx_uint_t             test_mode;
static ngx_int_t              test_step;
static ngx_uint_t             test_steps;
static ngx_uint_t             test_unlinks_failed;
static ngx_uint_t             test_unsynced;
static ngx_uint_t             test_unsynced_renames;
static ngx_uint_t             test_cut_reads;
static ngx_uint_t             test_opened;
static const char            *test_fault;       /* is not opened */
static int                    test_fault_errno;


/* System calls that change something, each of which may be the last. */

static int
test_call(void)
{
    if (test_mode == 0) {
        return 0;
    }

    test_steps++;

    if (test_mode == TEST_COUNT || test_step-- != 0) {
        return 0;
    }

    if (test_mode == TEST_CRASH) {
        _exit(77);
    }

    errno = EIO;

    return -1;
}


int
renameat(int from, const char *name, int to, const char *new_name)
{
    if (test_call() == -1) {
        return -1;
    }

    if (strncmp(name, ".tmp.", 5) == 0) {
        test_unsynced_renames += test_unsynced;
    }

    return syscall(SYS_renameat2, from, name, to, new_name, 0);
}


int
unlinkat(int fd, const char *name, int flags)
{
    if (test_call() == -1) {
        test_unlinks_failed++;
        return -1;
    }

    return syscall(SYS_unlinkat, fd, name, flags);
}


int
mkdirat(int fd, const char *name, mode_t mode)
{
    return test_call() == -1 ? -1 : syscall(SYS_mkdirat, fd, name, mode);
}


int
fchmod(int fd, mode_t mode)
{
    return test_call() == -1 ? -1 : syscall(SYS_fchmod, fd, mode);
}


int
fsync(int fd)
{
    struct stat  st;

    if (test_call() == -1) {
        return -1;
    }

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        test_unsynced = 0;
    }

    return syscall(SYS_fsync, fd);
}


int
openat(int fd, const char *name, int flags, ...)
{
    int      mode;
    va_list  args;

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, int) : 0;
    va_end(args);

    if (test_fault && strcmp(name, test_fault) == 0) {
        errno = test_fault_errno;
        return -1;
    }

    return syscall(SYS_openat, fd, name, flags, mode);
}


/* A file that ends before its size says so. */

ssize_t
read(int fd, void *buf, size_t len)
{
    return test_cut_reads ? 0 : syscall(SYS_read, fd, buf, len);
}


/* In two halves: a crash leaves a part, and short writes are met. */

ssize_t
write(int fd, const void *buf, size_t len)
{
    if (test_call() == -1) {
        return -1;
    }

    if (test_mode && len > 1) {
        len /= 2;
    }

    test_unsynced = 1;

    return syscall(SYS_write, fd, buf, len);
}


/* A test that fails leaves nobody behind. */

static pid_t
test_fork(void)
{
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    }

    assert_true(pid != -1);

    return pid;
}


static ngx_str_t
test_bio_text(BIO *bio)
{
    char       *p;
    ngx_str_t   text;

    text.len = BIO_get_mem_data(bio, &p);
    text.data = malloc(text.len + 1);
    memcpy(text.data, p, text.len);
    text.data[text.len] = '\0';

    BIO_free(bio);

    return text;
}


static void
test_pair_make(test_pair_t *pair)
{
    BIO                   *bio;
    ngx_autocert_chain_t  *chain;

    pair->key = ngx_autocert_key_create(NID_X9_62_prime256v1);
    assert_non_null(pair->key);

    assert_int_equal(ngx_autocert_key_write(pair->key, &pair->key_pem),
                     NGX_OK);

    chain = ngx_autocert_x509_self_signed(pair->key, &test_name, TEST_NOW,
                                          90);
    assert_non_null(chain);

    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, sk_X509_value(chain->certs, 0)),
                     1);

    pair->chain_pem = test_bio_text(bio);

    ngx_autocert_x509_chain_free(chain);
}


static void
test_pair_destroy(test_pair_t *pair)
{
    EVP_PKEY_free(pair->key);
    ngx_autocert_pem_free(&pair->key_pem);
    free(pair->chain_pem.data);
}


static int
test_group_setup(void **state)
{
    (void) state;

    test_pair_make(&test_old);
    test_pair_make(&test_new);
    test_pair_make(&test_third);

    return 0;
}


static int
test_group_teardown(void **state)
{
    (void) state;

    test_pair_destroy(&test_old);
    test_pair_destroy(&test_new);
    test_pair_destroy(&test_third);

    return 0;
}


static char *
test_file(const char *fmt, ...)
{
    va_list  args;

    static char         path[4][256];
    static ngx_uint_t   n;

    n = (n + 1) % 4;

    va_start(args, fmt);
    (void) vsnprintf(path[n], sizeof(path[n]), fmt, args);
    va_end(args);

    return path[n];
}


/* of the name's directory */

static char *
test_in(const char *file)
{
    return test_file("%s/example.org/%s", test_path, file);
}


static void
test_put(const char *path, ngx_str_t *text, mode_t mode)
{
    int  fd;

    (void) unlink(path);

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL, 0600);
    assert_true(fd != -1);
    assert_int_equal(syscall(SYS_write, fd, text->data, text->len),
                     text->len);
    assert_int_equal(fchmod(fd, mode), 0);
    (void) close(fd);
}


static void
test_put_text(const char *path, const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    test_put(path, &s, 0600);
}


static void
test_put_pair(test_pair_t *chain, test_pair_t *key, test_pair_t *next)
{
    (void) mkdir(test_file("%s/example.org", test_path), 0700);

    (void) unlink(test_in("fullchain.pem"));
    (void) unlink(test_in("privkey.pem"));
    (void) unlink(test_in("privkey.next.pem"));

    if (chain) {
        test_put(test_in("fullchain.pem"), &chain->chain_pem, 0644);
    }

    if (key) {
        test_put(test_in("privkey.pem"), &key->key_pem, 0600);
    }

    if (next) {
        test_put(test_in("privkey.next.pem"), &next->key_pem, 0600);
    }
}


static ngx_uint_t
test_exists(const char *path)
{
    struct stat  st;

    return lstat(path, &st) == 0;
}


static mode_t
test_mode_of(const char *path)
{
    struct stat  st;

    assert_int_equal(lstat(path, &st), 0);

    return st.st_mode & 07777;
}


static ngx_uint_t
test_temps(const char *path)
{
    DIR            *d;
    ngx_uint_t      n;
    struct dirent  *de;

    n = 0;
    d = opendir(path);
    assert_non_null(d);

    while ((de = readdir(d)) != NULL) {
        n += strncmp(de->d_name, ".tmp.", 5) == 0;
    }

    (void) closedir(d);

    return n;
}


static void
test_remove(const char *path)
{
    char  *cmd;

    cmd = test_file("rm -rf '%s'", path);
    assert_int_equal(system(cmd), 0);
}


/* How many descriptors are open. */

static ngx_uint_t
test_fds(void)
{
    DIR         *d;
    ngx_uint_t   n;

    d = opendir("/proc/self/fd");
    assert_non_null(d);

    for (n = 0; readdir(d); n++) {
        /* void */
    }

    (void) closedir(d);

    return n;
}


static int
test_setup(void **state)
{
    ngx_str_t  path;

    (void) state;

    test_mode = 0;
    ngx_stub_fail_at = 0;
    test_fault = NULL;
    (void) umask(022);

    test_opened = test_fds();

    strcpy(test_dir, "/tmp/test_store.XXXXXX");
    assert_non_null(mkdtemp(test_dir));
    (void) sprintf(test_path, "%s/autocert", test_dir);

    test_pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(test_pool);

    memset(&test_fail, 0, sizeof(test_fail));

    path.data = (u_char *) test_path;
    path.len = strlen(test_path);

    assert_int_equal(ngx_autocert_store_open(&test_store, test_pool, &path,
                                             &test_fail),
                     NGX_OK);
    return 0;
}


static int
test_teardown(void **state)
{
    (void) state;

    test_mode = 0;
    test_cut_reads = 0;
    ngx_stub_fail_at = 0;
    assert_int_equal(seteuid(getuid()), 0);

    ngx_autocert_store_close(&test_store);
    ngx_destroy_pool(test_pool);
    test_remove(test_dir);
    assert_int_equal(test_fds(), test_opened);

    return 0;
}


static ngx_int_t
test_open(const char *path, ngx_autocert_store_t *store)
{
    ngx_str_t  s;

    s.data = (u_char *) path;
    s.len = strlen(path);

    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_open(store, test_pool, &s, &test_fail);
}


static void
test_lock(void)
{
    assert_int_equal(ngx_autocert_store_lock(&test_store, test_pool,
                                             &test_fail),
                     NGX_OK);
}


static ngx_int_t
test_load(ngx_autocert_pair_t *pair)
{
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_load(&test_store, test_pool, &test_name, pair,
                                   &test_fail);
}


/* Which one it is; it is freed. */

static test_pair_t *
test_found(ngx_autocert_pair_t *pair)
{
    ngx_uint_t    i;
    test_pair_t  *found;
    u_char        id[NGX_AUTOCERT_KEY_ID];

    test_pair_t  *pairs[] = { &test_old, &test_new, &test_third };

    found = NULL;

    assert_int_equal(ngx_autocert_key_id(pair->key, id), NGX_OK);
    assert_memory_equal(id, pair->chain->id, NGX_AUTOCERT_KEY_ID);

    for (i = 0; i < 3; i++) {
        if (EVP_PKEY_eq(pairs[i]->key, pair->key) == 1) {
            found = pairs[i];
        }
    }

    assert_non_null(found);

    ngx_autocert_store_pair_free(pair);
    assert_null(pair->chain);
    assert_null(pair->key);

    return found;
}


/* What load gives: one of the pairs, or NULL. */

static test_pair_t *
test_loaded(void)
{
    ngx_autocert_pair_t  pair;

    if (test_load(&pair) != NGX_OK) {
        assert_null(pair.chain);
        assert_null(pair.key);
        return NULL;
    }

    return test_found(&pair);
}


/* What there is to take without load. */

static test_pair_t *
test_taken(void)
{
    ngx_int_t             rc;
    ngx_pool_t           *pool;
    ngx_autocert_pair_t   pair;

    pool = ngx_create_pool(4096, &ngx_stub_log);
    assert_non_null(pool);

    rc = ngx_autocert_store_take(&test_store, pool, &test_name, &pair);

    ngx_destroy_pool(pool);

    if (rc != NGX_OK) {
        assert_int_equal(rc, NGX_DECLINED);
        assert_null(pair.chain);
        assert_null(pair.key);
        return NULL;
    }

    assert_null(pair.chain->certs);
    assert_true(pair.chain->body.len > 4);

    return test_found(&pair);
}


static void
test_load_failed(const char *why, ngx_uint_t damaged)
{
    ngx_autocert_pair_t  pair;

    assert_null(test_taken());

    assert_int_equal(test_load(&pair), NGX_ERROR);
    assert_null(pair.chain);
    assert_null(pair.key);

    test_has(test_fail.why, why);
    test_has(test_fail.why, test_path);
    assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_CONFIGURATION);
    assert_int_equal(test_fail.damaged, damaged);
}


/* For how it is kept: what is in it may be good. */

static void
test_load_refused(const char *why)
{
    test_load_failed(why, 0);
}


/* For what is in it. */

static void
test_load_damaged(const char *why)
{
    test_load_failed(why, 1);
}


static ngx_int_t
test_next_put(test_pair_t *pair)
{
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_next_put(&test_store, test_pool, &test_name,
                                       pair->key, &test_fail);
}


static ngx_int_t
test_commit(test_pair_t *pair)
{
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_commit(&test_store, test_pool, &test_name,
                                     &pair->chain_pem, &test_fail);
}


static void
test_store_open(void **state)
{
    char                  *file, *link, *absent, *open;
    ngx_str_t              s;
    ngx_autocert_store_t   store;

    (void) state;

    assert_int_equal(test_mode_of(test_path), 0700);
    assert_string_equal((char *) test_store.path.data, test_path);

    assert_int_equal(test_open(test_file("%s///", test_path), &store), NGX_OK);
    assert_int_equal(store.path.len, strlen(test_path));
    assert_int_equal(store.lock, -1);
    ngx_autocert_store_close(&store);
    assert_int_equal(store.fd, -1);
    ngx_autocert_store_close(&store);

    assert_int_equal(test_open("", &store), NGX_ERROR);
    assert_int_equal(store.fd, -1);
    assert_int_equal(test_open("autocert", &store), NGX_ERROR);
    test_has(test_fail.why, "absolute");

    s.data = (u_char *) "/tmp\0x";
    s.len = 6;
    assert_int_equal(ngx_autocert_store_open(&store, test_pool, &s,
                                             &test_fail),
                     NGX_ERROR);

    file = test_file("%s/file", test_dir);
    test_put_text(file, "");
    assert_int_equal(test_open(file, &store), NGX_ERROR);
    test_has(test_fail.why, "not a directory");
    test_has(test_fail.why, file);

    link = test_file("%s/link", test_dir);
    assert_int_equal(symlink(test_path, link), 0);
    assert_int_equal(test_open(link, &store), NGX_ERROR);
    test_has(test_fail.why, "not a directory");
    assert_int_equal(test_open(test_file("%s/", link), &store), NGX_ERROR);

    absent = test_file("%s/a/b", test_dir);
    assert_int_equal(test_open(absent, &store), NGX_ERROR);
    test_has(test_fail.why, "No such file");
    test_has(test_fail.why, absent);

    open = test_file("%s/open", test_dir);
    assert_int_equal(mkdir(open, 0700), 0);

    assert_int_equal(chmod(open, 0770), 0);
    assert_int_equal(test_open(open, &store), NGX_ERROR);
    test_has(test_fail.why, "chmod 700");

    assert_int_equal(chmod(open, 0702), 0);
    assert_int_equal(test_open(open, &store), NGX_ERROR);
    assert_int_equal(store.fd, -1);

    assert_int_equal(chmod(open, 0755), 0);
    assert_int_equal(test_open(open, &store), NGX_OK);
    ngx_autocert_store_close(&store);
}


static void
test_store_open_owner(void **state)
{
    char                  *other;
    ngx_autocert_store_t   store;

    (void) state;

    if (geteuid() != 0) {
        skip();
    }

    other = test_file("%s/other", test_dir);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(chown(other, TEST_NOBODY, 0), 0);

    assert_int_equal(test_open(other, &store), NGX_ERROR);
    test_has(test_fail.why, "chown 0");
    test_has(test_fail.why, "65534");

    /* a user of no rights: what is root's is not its own */

    assert_int_equal(chmod(test_dir, 0755), 0);
    assert_int_equal(chmod(test_path, 0755), 0);
    assert_int_equal(seteuid(TEST_NOBODY), 0);

    assert_int_equal(test_open(test_path, &store), NGX_ERROR);
    test_has(test_fail.why, "chown 65534");

    assert_int_equal(test_open(test_file("%s/mine", test_dir), &store),
                     NGX_ERROR);
    test_has(test_fail.why, "make the directory");
    test_has(test_fail.why, "Permission denied");
    assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_CONFIGURATION);

    assert_int_equal(test_open(other, &store), NGX_OK);
    ngx_autocert_store_close(&store);
}


static ngx_int_t
test_parents(void)
{
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_parents(&test_store, test_pool, &test_fail);
}


static void
test_store_parents(void **state)
{
    ngx_autocert_store_t  store;

    (void) state;

    assert_int_equal(test_parents(), NGX_OK);

    /* not the store itself, which is another's business */

    assert_int_equal(chmod(test_path, 0777), 0);
    assert_int_equal(test_parents(), NGX_OK);
    assert_int_equal(chmod(test_path, 0700), 0);

    assert_int_equal(chmod(test_dir, 0757), 0);
    assert_int_equal(test_parents(), NGX_ERROR);
    test_has(test_fail.why, test_file("run: chmod go-w \"%s\"", test_dir));

    assert_int_equal(chmod(test_dir, 01777), 0);
    assert_int_equal(test_parents(), NGX_OK);

    /* behind a link on the way */

    assert_int_equal(mkdir(test_file("%s/a", test_dir), 0700), 0);
    assert_int_equal(mkdir(test_file("%s/a/b", test_dir), 0777), 0);
    assert_int_equal(chmod(test_file("%s/a/b", test_dir), 0777), 0);
    assert_int_equal(mkdir(test_file("%s/a/b/c", test_dir), 0700), 0);
    assert_int_equal(symlink("a/b/c", test_file("%s/link", test_dir)), 0);
    assert_int_equal(test_open(test_file("%s/link/store", test_dir), &store),
                     NGX_OK);
    assert_int_equal(ngx_autocert_store_parents(&store, test_pool,
                                                &test_fail),
                     NGX_ERROR);
    test_has(test_fail.why, test_file("%s/a/b\"", test_dir));
    ngx_autocert_store_close(&store);

    if (geteuid() != 0) {
        return;
    }

    assert_int_equal(chown(test_dir, 0, TEST_NOBODY), 0);
    assert_int_equal(chmod(test_dir, 0770), 0);
    assert_int_equal(test_parents(), NGX_ERROR);
    test_has(test_fail.why, "run: chmod go-w ");

    assert_int_equal(chown(test_dir, 0, 0), 0);
    assert_int_equal(test_parents(), NGX_OK);

    assert_int_equal(chmod(test_dir, 0700), 0);
    assert_int_equal(chown(test_dir, TEST_NOBODY, 0), 0);
    assert_int_equal(test_parents(), NGX_ERROR);
    test_has(test_fail.why, test_file("run: chown 0 \"%s\"", test_dir));
}


static void
test_store_lock(void **state)
{
    int                    go[2], said[2], status;
    char                   c;
    pid_t                  pid;
    ngx_autocert_store_t   store;

    (void) state;

    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(said), 0);

    pid = test_fork();

    if (pid == 0) {
        (void) close(go[1]);

        if (test_open(test_path, &store) != NGX_OK
            || ngx_autocert_store_lock(&store, test_pool, &test_fail)
               != NGX_OK)
        {
            _exit(1);
        }

        (void) !write(said[1], "x", 1);
        (void) !read(go[0], &c, 1);

        _exit(0);
    }

    assert_int_equal(read(said[0], &c, 1), 1);

    assert_int_equal(ngx_autocert_store_lock(&test_store, test_pool,
                                             &test_fail),
                     NGX_AGAIN);
    assert_int_equal(test_store.lock, -1);

    (void) close(go[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    /* a process that died holds nothing */

    test_lock();
    test_lock();
    assert_true(test_store.lock != -1);
    assert_int_equal(test_mode_of(test_file("%s/.lock", test_path)), 0600);

    assert_int_equal(test_open(test_path, &store), NGX_OK);
    assert_int_equal(ngx_autocert_store_lock(&store, test_pool, &test_fail),
                     NGX_AGAIN);

    /* given up, though a child has inherited it */

    pid = test_fork();

    if (pid == 0) {
        (void) pause();
        _exit(0);
    }

    ngx_autocert_store_unlock(&test_store);
    assert_int_equal(test_store.lock, -1);
    ngx_autocert_store_unlock(&test_store);

    assert_int_equal(ngx_autocert_store_lock(&store, test_pool, &test_fail),
                     NGX_OK);

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, &status, 0);

    ngx_autocert_store_close(&store);
    test_lock();

    (void) close(go[0]);
    (void) close(said[0]);
    (void) close(said[1]);
}


static void
test_store_lock_refused(void **state)
{
    char        *lock;
    ngx_uint_t   i;

    (void) state;

    lock = test_file("%s/.lock", test_path);

    for (i = 0; i < 5; i++) {

        switch (i) {

        case 0:
            assert_int_equal(symlink("../file", lock), 0);
            break;

        case 1:
            assert_int_equal(mkfifo(lock, 0600), 0);
            break;

        case 2:
            assert_int_equal(mkdir(lock, 0700), 0);
            break;

        case 3:
            test_put_text(lock, "");
            assert_int_equal(chmod(lock, 0640), 0);
            break;

        default:
            if (geteuid() != 0) {
                return;
            }

            test_put_text(lock, "");
            assert_int_equal(chown(lock, TEST_NOBODY, 0), 0);
        }

        memset(&test_fail, 0, sizeof(test_fail));
        assert_int_equal(ngx_autocert_store_lock(&test_store, test_pool,
                                                 &test_fail),
                         NGX_ERROR);
        test_has(test_fail.why, lock);
        assert_int_equal(test_store.lock, -1);

        if (i == 3) {
            test_has(test_fail.why, "run: chmod 600 ");
        }

        if (i == 4) {
            test_has(test_fail.why, "run: chown 0 ");
        }

        assert_int_equal(remove(lock), 0);
    }

    assert_false(test_exists(test_file("%s/file", test_dir)));
}


static void
test_store_names(void **state)
{
    u_char                 long_name[256];
    EVP_PKEY              *key;
    ngx_str_t              zero;
    ngx_uint_t             i;
    ngx_autocert_pair_t    pair;
    ngx_autocert_chain_t  *chain;
    ngx_autocert_state_t   st;
    ngx_autocert_stamp_t   stamp;
    ngx_autocert_issued_t  issued;

    ngx_str_t  names[] = {
        ngx_string(""), ngx_string("."), ngx_string(".."),
        ngx_string(".lock"), ngx_string(".accounts"), ngx_string("/"),
        ngx_string("/etc"), ngx_string("a/b"), ngx_string("a/../../b"),
        ngx_string("a/"), ngx_string("a\0b"), { 256, long_name }
    };

    (void) state;

    memset(long_name, 'a', sizeof(long_name));
    memset(&zero, 0, sizeof(zero));
    memset(&st, 0, sizeof(st));
    memset(&issued, 0, sizeof(issued));

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

        assert_int_equal(ngx_autocert_store_load(&test_store, test_pool,
                                                 &names[i], &pair,
                                                 &test_fail),
                         NGX_ERROR);
        test_has(test_fail.why, "name");
        assert_int_equal(ngx_autocert_store_chain(&test_store, test_pool,
                                                  &names[i], &chain,
                                                  &test_fail),
                         NGX_ERROR);
        assert_int_equal(ngx_autocert_store_set_aside(&test_store, test_pool,
                                                      &names[i], &test_fail),
                         NGX_ERROR);
        assert_int_equal(ngx_autocert_store_next_get(&test_store, test_pool,
                                                     &names[i], &key,
                                                     &test_fail),
                         NGX_ERROR);
        assert_int_equal(ngx_autocert_store_next_put(&test_store, test_pool,
                                                     &names[i], test_new.key,
                                                     &test_fail),
                         NGX_ERROR);
        assert_int_equal(ngx_autocert_store_commit(&test_store, test_pool,
                                                   &names[i],
                                                   &test_new.chain_pem,
                                                   &test_fail),
                         NGX_ERROR);
        assert_int_equal(ngx_autocert_store_state_get(&test_store, test_pool,
                                                      &names[i], &st,
                                                      &test_fail),
                         NGX_ERROR);
        assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                      &names[i], &st,
                                                      &test_fail),
                         NGX_ERROR);

        assert_int_equal(ngx_autocert_store_issued_get(&test_store, test_pool,
                                                       &test_ca, &names[i],
                                                       &issued, &test_fail),
                         NGX_ERROR);
        test_has(test_fail.why, "name");
        assert_int_equal(ngx_autocert_store_issued_put(&test_store, test_pool,
                                                       &test_ca, &names[i],
                                                       &issued, &test_fail),
                         NGX_ERROR);
        test_has(test_fail.why, "name");

        ngx_autocert_store_next_drop(&test_store, &names[i]);

        memset(&stamp, 1, sizeof(stamp));
        ngx_autocert_store_stamp(&test_store, &names[i], &stamp);
        assert_int_equal(stamp.chain[1], 0);
    }

    assert_int_equal(rmdir(test_path), 0);
}


static void
test_store_load(void **state)
{
    ngx_autocert_pair_t    pair;
    ngx_autocert_chain_t  *chain;

    (void) state;

    assert_int_equal(test_load(&pair), NGX_DECLINED);
    assert_int_equal(ngx_autocert_store_chain(&test_store, test_pool,
                                              &test_name, &chain, &test_fail),
                     NGX_DECLINED);
    assert_null(chain);

    test_put_pair(NULL, NULL, NULL);
    assert_int_equal(test_load(&pair), NGX_DECLINED);

    test_put_pair(NULL, NULL, &test_new);
    assert_int_equal(test_load(&pair), NGX_DECLINED);
    assert_true(test_exists(test_in("privkey.next.pem")));

    test_put_pair(&test_old, &test_old, NULL);
    assert_ptr_equal(test_loaded(), &test_old);

    test_put_pair(&test_old, &test_old, &test_new);
    assert_ptr_equal(test_loaded(), &test_old);

    assert_int_equal(chmod(test_in("privkey.pem"), 0400), 0);
    assert_int_equal(chmod(test_in("fullchain.pem"), 0400), 0);
    assert_ptr_equal(test_loaded(), &test_old);

    assert_int_equal(ngx_autocert_store_chain(&test_store, test_pool,
                                              &test_name, &chain, &test_fail),
                     NGX_OK);
    assert_int_equal(sk_X509_num(chain->certs), 1);
    ngx_autocert_x509_chain_free(chain);
}


/* It takes the usual alone, and leaves all else to load as it was. */

static void
test_store_take(void **state)
{
    (void) state;

    assert_null(test_taken());

    test_put_pair(NULL, NULL, NULL);
    assert_null(test_taken());

    test_put_pair(&test_old, &test_old, NULL);
    assert_ptr_equal(test_taken(), &test_old);

    test_put_pair(&test_new, &test_new, &test_third);
    assert_ptr_equal(test_taken(), &test_new);
    assert_true(test_exists(test_in("privkey.next.pem")));

    /* a commit that was interrupted */

    test_put_pair(&test_new, &test_old, &test_new);
    assert_null(test_taken());
    assert_ptr_equal(test_loaded(), &test_new);

    test_put_pair(&test_old, &test_old, NULL);
    assert_int_equal(chmod(test_in("privkey.pem"), 0644), 0);
    assert_null(test_taken());
}


static void
test_store_load_no_pair(void **state)
{
    (void) state;

    test_put_pair(NULL, &test_old, NULL);
    test_load_damaged("without its certificate");

    test_put_pair(&test_old, NULL, NULL);
    test_load_damaged("without its key");

    test_put_pair(&test_old, NULL, &test_new);
    test_load_damaged("without its key");

    test_put_pair(&test_old, &test_new, NULL);
    test_load_damaged("is not the key of the certificate");

    test_put_pair(&test_old, &test_new, &test_third);
    test_lock();
    test_load_damaged("is not the key of the certificate");
    assert_true(test_exists(test_in("privkey.next.pem")));
}


static void
test_store_load_damaged(void **state)
{
    BIO                  *bio;
    size_t                n;
    EVP_PKEY             *rsa;
    ngx_str_t             text;
    ngx_autocert_pair_t   pair;

    (void) state;

    for (n = 0; n < test_old.chain_pem.len - 1; n += 61) {
        test_put_pair(&test_old, &test_old, NULL);
        text = test_old.chain_pem;
        text.len = n;
        test_put(test_in("fullchain.pem"), &text, 0644);
        test_load_damaged("fullchain.pem\" is not a certificate chain: ");
    }

    for (n = 0; n < test_old.key_pem.len - 1; n += 23) {
        test_put_pair(&test_old, &test_old, NULL);
        text = test_old.key_pem;
        text.len = n;
        test_put(test_in("privkey.pem"), &text, 0600);
        test_load_damaged("privkey.pem\" is not a key of use here: ");
    }

    test_put_pair(&test_old, &test_old, NULL);
    test_cut_reads = 1;
    assert_int_equal(test_load(&pair), NGX_ERROR);
    test_has(test_fail.why, "was changed while it was read");
    assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_INTERNAL);
    assert_int_equal(test_fail.damaged, 0);
    test_cut_reads = 0;

    rsa = EVP_RSA_gen(2048);
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, rsa, NULL, NULL, 0, NULL,
                                              NULL),
                     1);
    EVP_PKEY_free(rsa);
    text = test_bio_text(bio);

    test_put_pair(&test_old, NULL, NULL);
    test_put(test_in("privkey.pem"), &text, 0600);
    test_load_damaged("privkey.pem\" is not a key of use here: ");
    free(text.data);

    text.len = 10 * 1024 * 1024;
    text.data = malloc(text.len);
    memset(text.data, '\n', text.len);

    test_put_pair(&test_old, &test_old, NULL);
    test_put(test_in("privkey.pem"), &text, 0600);
    test_load_damaged("privkey.pem\" is larger than 65536");

    text.len = 65537;
    test_put_pair(&test_old, &test_old, NULL);
    test_put(test_in("fullchain.pem"), &text, 0644);
    test_load_damaged("fullchain.pem\" is larger than 65536");

    text.len = 65536;
    test_put(test_in("fullchain.pem"), &text, 0644);
    test_load_damaged("fullchain.pem\" is not a certificate chain: ");
    free(text.data);
}


static void
test_store_load_types(void **state)
{
    char        *file;
    ngx_uint_t   i, k;

    static char  *files[] = { "fullchain.pem", "privkey.pem" };

    (void) state;

    for (i = 0; i < 2; i++) {
        for (k = 0; k < 4; k++) {

            test_put_pair(&test_old, &test_old, NULL);
            file = test_in(files[i]);

            switch (k) {

            case 0:
                /* a link to a good file */
                assert_int_equal(rename(file, test_in("other")), 0);
                assert_int_equal(symlink("other", file), 0);
                test_load_refused("is a symbolic link");
                break;

            case 1:
                assert_int_equal(unlink(file), 0);
                assert_int_equal(symlink("absent", file), 0);
                test_load_refused("is a symbolic link");
                break;

            case 2:
                assert_int_equal(unlink(file), 0);
                assert_int_equal(mkfifo(file, 0600), 0);
                test_load_refused("is not a regular file");
                break;

            default:
                assert_int_equal(unlink(file), 0);
                assert_int_equal(mkdir(file, 0700), 0);
                test_load_refused("is not a regular file");
                assert_int_equal(rmdir(file), 0);
            }
        }
    }

    /* the name itself */

    test_put_pair(&test_old, &test_old, NULL);
    file = test_file("%s/example.org", test_path);

    assert_int_equal(rename(file, test_file("%s/other", test_path)), 0);
    assert_int_equal(symlink("other", file), 0);
    test_load_refused("example.org\" is not a directory");
    assert_int_equal(unlink(file), 0);

    test_put_text(file, "");
    test_load_refused("example.org\" is not a directory");
    assert_int_equal(unlink(file), 0);

    assert_int_equal(mkfifo(file, 0600), 0);
    test_load_refused("example.org\" is not a directory");
    assert_int_equal(test_next_put(&test_new), NGX_ERROR);
}


static void
test_store_load_modes(void **state)
{
    ngx_uint_t  i;

    static struct {
        char    *file;
        mode_t   mode;
        char    *why;
    } cases[] = {
        { "privkey.pem", 0640, "chmod 600" },
        { "privkey.pem", 0604, "chmod 600" },
        { "privkey.pem", 0610, "chmod 600" },
        { "privkey.pem", 0602, "chmod 600" },
        { "fullchain.pem", 0664, "chmod 644" },
        { "fullchain.pem", 0646, "chmod 644" },
        { "", 0770, "chmod 700" },
        { "", 0702, "chmod 700" }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_put_pair(&test_old, &test_old, NULL);
        assert_int_equal(chmod(test_in(cases[i].file), cases[i].mode), 0);
        test_load_refused(cases[i].why);
        assert_int_equal(chmod(test_in(cases[i].file), 0700), 0);
    }

    if (geteuid() != 0) {
        return;
    }

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_put_pair(&test_old, &test_old, NULL);
        assert_int_equal(chown(test_in(cases[i].file), TEST_NOBODY, 0), 0);
        test_load_refused("chown 0");
        assert_int_equal(chown(test_in(cases[i].file), 0, 0), 0);
    }

    /* root's files are good for another user, if it can read them at all */

    test_put_pair(&test_old, &test_old, NULL);
    assert_int_equal(chmod(test_dir, 0755), 0);
    assert_int_equal(chmod(test_path, 0755), 0);
    assert_int_equal(chmod(test_in(""), 0755), 0);

    assert_int_equal(seteuid(TEST_NOBODY), 0);
    test_load_refused("Permission denied");

    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chown(test_in("privkey.pem"), TEST_NOBODY, 0), 0);

    assert_int_equal(seteuid(TEST_NOBODY), 0);
    assert_ptr_equal(test_loaded(), &test_old);
}


static void
test_store_next(void **state)
{
    EVP_PKEY  *key;

    (void) state;

    assert_int_equal(ngx_autocert_store_next_get(&test_store, test_pool,
                                                 &test_name, &key,
                                                 &test_fail),
                     NGX_DECLINED);
    ngx_autocert_store_next_drop(&test_store, &test_name);
    assert_false(test_exists(test_in("")));

    (void) umask(0);
    assert_int_equal(test_next_put(&test_new), NGX_OK);
    assert_int_equal(test_mode_of(test_in("")), 0700);
    assert_int_equal(test_mode_of(test_in("privkey.next.pem")), 0600);

    (void) umask(0777);
    assert_int_equal(test_next_put(&test_third), NGX_OK);
    assert_int_equal(test_mode_of(test_in("privkey.next.pem")), 0600);

    assert_int_equal(ngx_autocert_store_next_get(&test_store, test_pool,
                                                 &test_name, &key,
                                                 &test_fail),
                     NGX_OK);
    assert_int_equal(EVP_PKEY_eq(key, test_third.key), 1);
    EVP_PKEY_free(key);

    assert_int_equal(chmod(test_in("privkey.next.pem"), 0644), 0);
    assert_int_equal(ngx_autocert_store_next_get(&test_store, test_pool,
                                                 &test_name, &key,
                                                 &test_fail),
                     NGX_ERROR);
    assert_null(key);
    test_has(test_fail.why, "chmod 600");

    ngx_autocert_store_next_drop(&test_store, &test_name);
    assert_false(test_exists(test_in("privkey.next.pem")));

    /* what crashed writers left goes, if it cannot be a living one's */

    (void) umask(022);
    test_put_text(test_in(".tmp.1.0"), "x");
    test_put_text(test_in(test_file(".tmp.%d.0", (int) getpid())), "x");

    assert_int_equal(test_next_put(&test_new), NGX_OK);
    assert_int_equal(test_temps(test_in("")), 2);

    test_lock();
    assert_int_equal(test_next_put(&test_new), NGX_OK);
    assert_int_equal(test_temps(test_in("")), 0);
}


static void
test_store_next_keeps_pair(void **state)
{
    (void) state;

    /* a commit was interrupted, and nobody has loaded since */

    test_put_pair(&test_new, &test_old, &test_new);
    assert_int_equal(test_next_put(&test_third), NGX_OK);
    assert_ptr_equal(test_loaded(), &test_new);

    test_put_pair(&test_new, &test_old, &test_new);
    ngx_autocert_store_next_drop(&test_store, &test_name);
    assert_ptr_equal(test_loaded(), &test_new);
    assert_false(test_exists(test_in("privkey.next.pem")));

    test_put_pair(&test_new, NULL, &test_new);
    assert_int_equal(test_next_put(&test_third), NGX_OK);
    assert_ptr_equal(test_loaded(), &test_new);

    /* it cannot be finished: then the key stays where it is */

    test_put_pair(&test_new, &test_old, &test_new);
    test_mode = TEST_FAIL;
    test_step = 0;
    assert_int_equal(test_next_put(&test_third), NGX_ERROR);
    test_step = 0;
    ngx_autocert_store_next_drop(&test_store, &test_name);
    test_mode = 0;
    assert_ptr_equal(test_loaded(), &test_new);
}


/* What the system could not do says nothing about what is there. */

static void
test_store_unread(void **state)
{
    ngx_uint_t           i, k;
    ngx_autocert_pair_t  pair;

    static int   errors[] = { EMFILE, ENFILE, EIO, ENOMEM, ESTALE };
    static char  *files[] = { "example.org", "fullchain.pem", "privkey.pem",
                              "privkey.next.pem" };

    (void) state;

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        for (k = 0; k < sizeof(files) / sizeof(files[0]); k++) {

            /* a commit was interrupted, or not */

            test_put_pair(&test_old, k == 3 ? &test_new : &test_old,
                          k == 3 ? &test_old : NULL);

            test_fault = files[k];
            test_fault_errno = errors[i];

            assert_int_equal(test_load(&pair), NGX_ERROR);
            assert_null(pair.chain);
            assert_null(pair.key);
            assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_INTERNAL);
            assert_int_equal(test_fail.damaged, 0);
            test_has(test_fail.why, files[k]);
            test_has(test_fail.why, "could not open");

            test_fault = NULL;
            assert_ptr_equal(test_loaded(), &test_old);
        }
    }

    /* not without its key, if that may be the one that is not read */

    test_put_pair(&test_old, NULL, &test_old);
    test_fault = "privkey.next.pem";
    assert_int_equal(test_load(&pair), NGX_ERROR);
    assert_int_equal(test_fail.damaged, 0);
    test_has(test_fail.why, "privkey.next.pem");
}


/* An interrupted commit: the next key is the only one of the chain. */

static void
test_store_next_unread(void **state)
{
    ngx_uint_t   i;
    test_pair_t  *key;

    static char  *files[] = { "fullchain.pem", "privkey.pem",
                              "privkey.next.pem" };

    (void) state;

    for (i = 0; i < 6; i++) {
        key = (i < 3) ? &test_old : NULL;

        test_put_pair(&test_new, key, &test_new);
        test_fault = files[i % 3];
        test_fault_errno = EMFILE;

        ngx_autocert_store_next_drop(&test_store, &test_name);

        test_fault = NULL;
        assert_ptr_equal(test_loaded(), &test_new);

        test_put_pair(&test_new, key, &test_new);
        test_fault = files[i % 3];

        /* that the other is not read is no matter */

        if (i % 3 == 1) {
            assert_int_equal(test_next_put(&test_third), NGX_OK);

        } else {
            assert_int_equal(test_next_put(&test_third), NGX_ERROR);
            test_has(test_fail.why, files[i % 3]);
            test_has(test_fail.why, "Too many open files");
        }

        test_fault = NULL;
        assert_ptr_equal(test_loaded(), &test_new);
    }

    /* what is damaged needs no key */

    test_put_pair(NULL, &test_old, &test_new);
    test_put_text(test_in("fullchain.pem"), "x");
    assert_int_equal(test_next_put(&test_third), NGX_OK);
}


static void
test_store_complete(void **state)
{
    (void) state;

    assert_int_equal(ngx_autocert_store_complete(&test_store, &test_name),
                     NGX_DECLINED);

    test_lock();
    test_put_pair(&test_old, &test_old, NULL);
    assert_int_equal(ngx_autocert_store_complete(&test_store, &test_name),
                     NGX_DECLINED);

    /* an order is under way */

    test_put_pair(&test_old, &test_old, &test_new);
    assert_int_equal(ngx_autocert_store_complete(&test_store, &test_name),
                     NGX_DECLINED);
    assert_true(test_exists(test_in("privkey.next.pem")));
    assert_ptr_equal(test_loaded(), &test_old);

    test_put_pair(&test_new, &test_old, &test_new);
    assert_int_equal(ngx_autocert_store_complete(&test_store, &test_name),
                     NGX_OK);
    assert_false(test_exists(test_in("privkey.next.pem")));
    assert_ptr_equal(test_loaded(), &test_new);

    test_put_pair(&test_new, &test_old, &test_new);
    test_fault = "fullchain.pem";
    test_fault_errno = EIO;
    assert_int_equal(ngx_autocert_store_complete(&test_store, &test_name),
                     NGX_ERROR);
    test_fault = NULL;
    assert_true(test_exists(test_in("privkey.next.pem")));
}


static void
test_store_commit(void **state)
{
    (void) state;

    /* the directory of the name, and its key, have to be there */

    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    test_has(test_fail.why, "No such file");
    assert_false(test_exists(test_in("")));

    test_put_pair(&test_old, &test_old, NULL);
    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    test_has(test_fail.why, "privkey.next.pem");
    assert_ptr_equal(test_loaded(), &test_old);

    assert_int_equal(test_next_put(&test_third), NGX_OK);
    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    test_has(test_fail.why, "is not the key");
    assert_ptr_equal(test_loaded(), &test_old);

    test_put_text(test_in("privkey.next.pem"), "damaged");
    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    assert_ptr_equal(test_loaded(), &test_old);

    assert_int_equal(test_next_put(&test_new), NGX_OK);
    test_new.chain_pem.len -= 30;
    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    test_new.chain_pem.len += 30;
    test_has(test_fail.why, "would not be a certificate chain");
    assert_ptr_equal(test_loaded(), &test_old);

    /* nothing gets its name before it is on the disk */

    test_mode = TEST_COUNT;
    test_unsynced_renames = 0;
    assert_int_equal(test_next_put(&test_new), NGX_OK);

    (void) umask(077);
    assert_int_equal(test_commit(&test_new), NGX_OK);
    test_mode = 0;
    assert_int_equal(test_unsynced_renames, 0);
    assert_ptr_equal(test_loaded(), &test_new);
    assert_false(test_exists(test_in("privkey.next.pem")));
    assert_int_equal(test_mode_of(test_in("privkey.pem")), 0600);
    assert_int_equal(test_mode_of(test_in("fullchain.pem")), 0644);
    assert_int_equal(test_temps(test_in("")), 0);

    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    assert_ptr_equal(test_loaded(), &test_new);
}


static void
test_store_commit_states(void **state)
{
    ngx_uint_t  i;

    /* what a crash leaves; the last two are a power cut's */

    struct {
        test_pair_t  *chain;
        test_pair_t  *key;
        test_pair_t  *next;
        test_pair_t  *loaded;
    } cases[] = {
        { &test_old, &test_old, &test_new, &test_old },
        { &test_new, &test_old, &test_new, &test_new },
        { &test_new, &test_new, NULL, &test_new },
        { &test_new, NULL, &test_new, &test_new },
        { &test_new, &test_new, &test_new, &test_new },
        { &test_new, &test_new, &test_old, &test_new }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        test_put_pair(cases[i].chain, cases[i].key, cases[i].next);
        test_put_text(test_in(".tmp.1.0"), "half a ch");

        /* not ours to touch */

        assert_ptr_equal(test_loaded(), cases[i].loaded);
        assert_int_equal(test_exists(test_in("privkey.next.pem")),
                         cases[i].next != NULL);
        assert_int_equal(test_exists(test_in("privkey.pem")),
                         cases[i].key != NULL);

        test_lock();
        assert_ptr_equal(test_loaded(), cases[i].loaded);

        if (cases[i].key != cases[i].loaded) {
            assert_false(test_exists(test_in("privkey.next.pem")));
        }

        ngx_autocert_store_unlock(&test_store);

        (void) unlink(test_in("privkey.next.pem"));
        assert_ptr_equal(test_loaded(), cases[i].loaded);
    }

    /* a key that is refused does not hide the good one */

    test_put_pair(&test_new, &test_old, &test_new);
    assert_int_equal(chmod(test_in("privkey.pem"), 0644), 0);
    assert_ptr_equal(test_loaded(), &test_new);

    /* the renames cannot be finished: the pair is good all the same */

    test_lock();
    test_mode = TEST_FAIL;
    test_step = 0;
    assert_ptr_equal(test_loaded(), &test_new);
    test_step = 1;
    assert_ptr_equal(test_loaded(), &test_new);
    test_mode = 0;
    assert_true(test_exists(test_in("privkey.next.pem")));
}


static void
test_store_issue(void)
{
    if (test_next_put(&test_new) != NGX_OK
        || test_commit(&test_new) != NGX_OK)
    {
        _exit(1);
    }

    _exit(0);
}


static void
test_store_commit_crash(void **state)
{
    int           status;
    pid_t         pid;
    ngx_int_t     step;
    ngx_uint_t    first, seen_old, seen_new, locked;
    test_pair_t  *loaded;

    (void) state;

    /* also the first one, where there is no old pair */

    for (first = 0; first < 2; first++) {

        seen_old = 0;
        seen_new = 0;

        for (step = 0; step < 100; step++) {

            locked = step & 1;

            test_remove(test_in(""));

            if (!first) {
                test_put_pair(&test_old, &test_old, NULL);
            }

            pid = test_fork();

            if (pid == 0) {
                test_mode = TEST_CRASH;
                test_step = step;
                test_store_issue();
            }

            assert_int_equal(waitpid(pid, &status, 0), pid);

            if (locked) {
                test_lock();
            }

            loaded = test_loaded();

            if (status == 0) {
                assert_ptr_equal(loaded, &test_new);
                ngx_autocert_store_unlock(&test_store);
                break;
            }

            assert_int_equal(WEXITSTATUS(status), 77);
            assert_true(loaded == (first ? NULL : &test_old)
                        || loaded == &test_new);

            /* never back, whatever the repair did */

            if (loaded == &test_new) {
                seen_new++;

            } else {
                assert_int_equal(seen_new, 0);
                seen_old++;
            }

            assert_ptr_equal(test_loaded(), loaded);

            /* and the next one is not disturbed */

            test_lock();
            assert_int_equal(test_next_put(&test_third), NGX_OK);
            assert_ptr_equal(test_loaded(), loaded);
            assert_int_equal(test_commit(&test_third), NGX_OK);
            assert_ptr_equal(test_loaded(), &test_third);
            assert_int_equal(test_temps(test_in("")), 0);
            ngx_autocert_store_unlock(&test_store);
        }

        assert_true(step < 100);
        assert_true(seen_old >= 10);
        assert_true(seen_new >= 3);
    }
}


static void
test_store_commit_fail(void **state)
{
    ngx_int_t     rc, step;
    ngx_uint_t    failed;
    test_pair_t  *loaded;

    (void) state;

    failed = 0;

    for (step = 0; step < 100; step++) {

        test_remove(test_in(""));
        test_put_pair(&test_old, &test_old, NULL);

        test_mode = TEST_FAIL;
        test_step = step;
        test_unlinks_failed = 0;

        rc = test_next_put(&test_new);

        if (rc == NGX_OK) {
            rc = test_commit(&test_new);
        }

        test_mode = 0;

        assert_int_equal(test_temps(test_in("")), test_unlinks_failed);

        if (rc == NGX_ERROR) {
            failed++;
            test_has(test_fail.why, "Input/output error");
            test_has(test_fail.why, test_path);
            assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_INTERNAL);
        }

        loaded = test_loaded();
        assert_true(loaded == &test_old || loaded == &test_new);

        if (test_step >= 0) {
            assert_int_equal(rc, NGX_OK);
            break;
        }
    }

    assert_true(failed >= 10);
}


/* A name that a power cut could take along is not one that is there. */

static void
test_store_directory_fail(void **state)
{
    ngx_int_t   step;
    ngx_uint_t  failed;

    (void) state;

    failed = 0;

    for (step = 0; step < 3; step++) {

        test_mode = TEST_FAIL;
        test_step = step;

        if (test_next_put(&test_new) == NGX_ERROR
            && !test_exists(test_in("")))
        {
            failed++;
            test_has(test_fail.why, "Input/output error");
            assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_INTERNAL);
        }

        test_mode = 0;
        test_remove(test_in(""));
    }

    /* made, and synced */

    assert_int_equal(failed, 2);
    assert_int_equal(test_next_put(&test_new), NGX_OK);
}


static void
test_store_full_disk(void **state)
{
    struct rlimit  saved, limit;

    (void) state;

    test_put_pair(&test_old, &test_old, NULL);
    assert_int_equal(test_next_put(&test_new), NGX_OK);

    (void) signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
    limit = saved;
    limit.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);

    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);

    test_has(test_fail.why, "File too large");
    test_has(test_fail.why, "fullchain.pem");
    assert_int_equal(test_temps(test_in("")), 0);
    assert_ptr_equal(test_loaded(), &test_old);

    assert_int_equal(test_commit(&test_new), NGX_OK);
    assert_ptr_equal(test_loaded(), &test_new);
}


static void
test_store_read_only(void **state)
{
    ngx_str_t              other = ngx_string("other.example");
    ngx_str_t              ca = ngx_string("https://ca.example/dir");
    ngx_str_t              url = ngx_null_string;
    ngx_array_t            contacts;
    ngx_autocert_state_t   st;

    (void) state;

    if (geteuid() != 0) {
        skip();
    }

    memset(&st, 0, sizeof(st));
    assert_int_equal(ngx_array_init(&contacts, test_pool, 1,
                                    sizeof(ngx_str_t)),
                     NGX_OK);

    test_put_pair(&test_old, &test_old, &test_new);

    assert_int_equal(chmod(test_dir, 0755), 0);
    assert_int_equal(system(test_file("chown -R %d %s", TEST_NOBODY,
                                      test_path)),
                     0);
    assert_int_equal(chmod(test_path, 0500), 0);
    assert_int_equal(chmod(test_in(""), 0500), 0);

    assert_int_equal(seteuid(TEST_NOBODY), 0);

    assert_ptr_equal(test_loaded(), &test_old);

    assert_int_equal(test_next_put(&test_third), NGX_ERROR);
    test_has(test_fail.why, "Permission denied");
    test_has(test_fail.why, "example.org/privkey.next.pem");
    assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_CONFIGURATION);

    assert_int_equal(test_commit(&test_new), NGX_ERROR);
    test_has(test_fail.why, "Permission denied");

    assert_int_equal(ngx_autocert_store_set_aside(&test_store, test_pool,
                                                  &test_name, &test_fail),
                     NGX_ERROR);
    assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                  &test_name, &st,
                                                  &test_fail),
                     NGX_ERROR);
    test_has(test_fail.why, "state.json");
    assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                  &other, &st, &test_fail),
                     NGX_ERROR);
    test_has(test_fail.why, "make the directory");
    assert_int_equal(ngx_autocert_store_account_put(&test_store, test_pool,
                                                    &ca, test_old.key, &url,
                                                    &contacts, &test_fail),
                     NGX_ERROR);
    assert_int_equal(ngx_autocert_store_lock(&test_store, test_pool,
                                             &test_fail),
                     NGX_ERROR);
    test_has(test_fail.why, ".lock");

    assert_ptr_equal(test_loaded(), &test_old);
}


static void
test_store_load_beside_commit(void **state)
{
    int           status;
    pid_t         pid;
    ngx_uint_t    i, loads;
    test_pair_t  *pair;

    (void) state;

    test_put_pair(&test_old, &test_old, NULL);

    pid = test_fork();

    if (pid == 0) {
        for (i = 0; i < 300; i++) {
            pair = (i & 1) ? &test_old : &test_new;

            if (test_next_put(pair) != NGX_OK || test_commit(pair) != NGX_OK) {
                _exit(1);
            }
        }

        _exit(0);
    }

    for (loads = 0; waitpid(pid, &status, WNOHANG) == 0; loads++) {
        assert_non_null(test_loaded());
    }

    assert_int_equal(status, 0);
    assert_true(loads > 10);
}


static void *
test_store_loader(void *data)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_pool_t           *pool;
    ngx_autocert_fail_t   fail;
    ngx_autocert_pair_t   pair;

    (void) data;

    for (i = 0; i < 500; i++) {
        pool = ngx_create_pool(4096, &ngx_stub_log);

        rc = ngx_autocert_store_load(&test_store, pool, &test_name, &pair,
                                     &fail);
        ngx_autocert_store_pair_free(&pair);
        ngx_destroy_pool(pool);

        if (rc != NGX_OK) {
            return "failed";
        }
    }

    return NULL;
}


static void
test_store_threads(void **state)
{
    void         *result;
    pthread_t     tid[2];
    ngx_uint_t    i;
    test_pair_t  *pair;

    (void) state;

    test_put_pair(&test_old, &test_old, NULL);
    test_lock();

    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&tid[i], NULL, test_store_loader,
                                        NULL),
                         0);
    }

    for (i = 0; i < 300; i++) {
        pair = (i & 1) ? &test_old : &test_new;

        assert_int_equal(test_next_put(pair), NGX_OK);
        assert_int_equal(test_commit(pair), NGX_OK);
    }

    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(tid[i], &result), 0);
        assert_null(result);
    }

    assert_ptr_equal(test_loaded(), &test_old);
}


static void
test_store_stamp(void **state)
{
    ngx_uint_t             i;
    struct timespec        times[2];
    ngx_autocert_stamp_t   last, stamp;

    static ngx_autocert_stamp_t  zero;

    (void) state;

    ngx_autocert_store_stamp(&test_store, &test_name, &stamp);
    assert_memory_equal(&stamp, &zero, sizeof(zero));

    test_put_pair(&test_old, NULL, NULL);
    ngx_autocert_store_stamp(&test_store, &test_name, &stamp);
    assert_int_not_equal(stamp.chain[1], 0);
    assert_memory_equal(stamp.key, zero.key, sizeof(zero.key));

    test_put_pair(&test_old, &test_old, NULL);

    for (i = 0; i < 6; i++) {

        ngx_autocert_store_stamp(&test_store, &test_name, &last);
        ngx_autocert_store_stamp(&test_store, &test_name, &stamp);
        assert_memory_equal(&stamp, &last, sizeof(stamp));

        /* time stamps of files move by ticks */

        (void) usleep(20000);

        times[0].tv_sec = 1;
        times[0].tv_nsec = 0;
        times[1] = times[0];

        switch (i) {

        case 0:
            test_put(test_in("fullchain.pem"), &test_old.chain_pem, 0644);
            break;

        case 1:
            test_put(test_in("privkey.pem"), &test_old.key_pem, 0600);
            break;

        case 2:
            assert_int_equal(utimensat(AT_FDCWD, test_in("privkey.pem"),
                                       times, 0),
                             0);
            break;

        case 3:
            /* as mended after a refusal */
            assert_int_equal(chmod(test_in("privkey.pem"), 0400), 0);
            break;

        case 4:
            assert_int_equal(truncate(test_in("fullchain.pem"), 10), 0);
            break;

        default:
            assert_int_equal(test_next_put(&test_new), NGX_OK);
            assert_int_equal(test_commit(&test_new), NGX_OK);
        }

        ngx_autocert_store_stamp(&test_store, &test_name, &stamp);
        assert_memory_not_equal(&stamp, &last, sizeof(stamp));
    }
}


static void
test_store_set_aside(void **state)
{
    ngx_autocert_pair_t  pair;

    (void) state;

    assert_int_equal(ngx_autocert_store_set_aside(&test_store, test_pool,
                                                  &test_name, &test_fail),
                     NGX_OK);
    assert_false(test_exists(test_in("")));

    test_put_pair(&test_old, &test_new, &test_third);
    test_load_damaged("");

    assert_int_equal(ngx_autocert_store_set_aside(&test_store, test_pool,
                                                  &test_name, &test_fail),
                     NGX_OK);
    assert_int_equal(test_load(&pair), NGX_DECLINED);
    assert_true(test_exists(test_in("fullchain.pem.bad")));
    assert_true(test_exists(test_in("privkey.pem.bad")));
    assert_true(test_exists(test_in("privkey.next.pem")));
    assert_int_equal(test_mode_of(test_in("privkey.pem.bad")), 0600);

    /* one file alone, and a link as a link */

    test_put_pair(NULL, NULL, NULL);
    assert_int_equal(symlink("/etc/passwd", test_in("privkey.pem")), 0);
    assert_int_equal(ngx_autocert_store_set_aside(&test_store, test_pool,
                                                  &test_name, &test_fail),
                     NGX_OK);
    assert_int_equal(test_load(&pair), NGX_DECLINED);
    assert_int_equal(readlink(test_in("privkey.pem.bad.2"), test_dir + 60, 1),
                     1);
    test_dir[60] = '\0';

    assert_true(test_exists(test_in("privkey.pem.bad")));
    assert_false(test_exists(test_in("fullchain.pem.bad.2")));
}


static void
test_set_aside_holds(const char *file, ngx_uint_t n, ngx_uint_t value)
{
    char        *path, text[3];
    FILE        *f;
    ngx_uint_t   got;

    path = test_in(n == 1 ? file : test_file("%s.%d", file, (int) n));
    memset(text, 0, sizeof(text));

    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    (void) fclose(f);

    got = atoi(text);
    assert_int_equal(got, value);
}


/* What was set aside before stays: it may be the only copy of a key. */

static void
test_store_set_aside_again(void **state)
{
    ngx_uint_t  i, n, value;

    (void) state;

    (void) mkdir(test_file("%s/example.org", test_path), 0700);

    for (i = 1; i <= 12; i++) {
        test_put_text(test_in("privkey.pem"), test_file("%02d", (int) i));

        /* a number is that of both files */

        if (i != 3) {
            test_put_text(test_in("fullchain.pem"),
                          test_file("%02d", (int) i));
        }

        assert_int_equal(ngx_autocert_store_set_aside(&test_store, test_pool,
                                                      &test_name, &test_fail),
                         NGX_OK);
        assert_false(test_exists(test_in("privkey.pem")));
        assert_false(test_exists(test_in("fullchain.pem")));

        for (n = 1; n <= ngx_min(i, 10); n++) {
            value = (n == 10) ? i : n;

            test_set_aside_holds("privkey.pem.bad", n, value);

            if (n != 3) {
                test_set_aside_holds("fullchain.pem.bad", n, value);
            }
        }
    }

    assert_false(test_exists(test_in("privkey.pem.bad.11")));
}


static void
test_state_fill(ngx_autocert_state_t *st)
{
    memset(st, 0, sizeof(ngx_autocert_state_t));

    ngx_str_set(&st->key, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
    ngx_str_set(&st->issuer, "https://other.example/dir");
    ngx_str_set(&st->account, "https://other.example/acct/1");
    st->issued_at = TEST_NOW - 5;
    st->window_start = TEST_NOW + 1000;
    st->window_end = TEST_NOW + 2000;
    st->renew_at = 253402300799;
    st->look_at = TEST_NOW + 7;
    st->looks = 4294967295;

    ngx_str_set(&st->ca, "https://ca.example/dir");
    st->setup = 0xfedcba98;
    ngx_str_set(&st->order, "https://ca.example/order/\"1\"\\2");
    ngx_str_set(&st->challenge, "tls-alpn-01");
    ngx_str_set(&st->token, "aZ09-_0123456789");
    ngx_str_set(&st->next_key, "_7DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
    ngx_str_set(&st->next_account, "https://ca.example/acct/2");
    st->tries = 2;
    st->failures = 3;
    st->next_attempt = TEST_NOW + 60;
    st->kind = NGX_AUTOCERT_FAIL_BUDGET;
    ngx_str_set(&st->why, "the CA says \"no\"");
    ngx_str_set(&st->detail, "d\xc3\xa9tail \\ of it");
    st->failed_at = TEST_NOW;

    ngx_str_set(&st->name, "www.example.com");
}


static void
test_str_equal(ngx_str_t *a, ngx_str_t *b)
{
    assert_int_equal(a->len, b->len);

    if (a->len) {
        assert_memory_equal(a->data, b->data, a->len);
    }
}


static void
test_state_equal(ngx_autocert_state_t *a, ngx_autocert_state_t *b)
{
    test_str_equal(&a->key, &b->key);
    test_str_equal(&a->issuer, &b->issuer);
    test_str_equal(&a->account, &b->account);
    assert_int_equal(a->issued_at, b->issued_at);
    assert_int_equal(a->window_start, b->window_start);
    assert_int_equal(a->window_end, b->window_end);
    assert_int_equal(a->renew_at, b->renew_at);
    assert_int_equal(a->look_at, b->look_at);
    assert_int_equal(a->looks, b->looks);

    test_str_equal(&a->ca, &b->ca);
    assert_int_equal(a->setup, b->setup);
    test_str_equal(&a->order, &b->order);
    test_str_equal(&a->challenge, &b->challenge);
    test_str_equal(&a->token, &b->token);
    test_str_equal(&a->next_key, &b->next_key);
    test_str_equal(&a->next_account, &b->next_account);
    assert_int_equal(a->tries, b->tries);
    assert_int_equal(a->failures, b->failures);
    assert_int_equal(a->next_attempt, b->next_attempt);
    assert_int_equal(a->kind, b->kind);
    test_str_equal(&a->why, &b->why);
    test_str_equal(&a->detail, &b->detail);
    assert_int_equal(a->failed_at, b->failed_at);

    test_str_equal(&a->name, &b->name);
}


static ngx_int_t
test_state_get(ngx_autocert_state_t *st)
{
    memset(st, 1, sizeof(ngx_autocert_state_t));
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_state_get(&test_store, test_pool, &test_name,
                                        st, &test_fail);
}


static void
test_store_state(void **state)
{
    u_char                 url[2049], text[2000], token[129];
    ngx_str_t              s;
    ngx_uint_t             i;
    ngx_autocert_state_t   st, back;

    static ngx_autocert_state_t  zero;

    (void) state;

    assert_int_equal(test_state_get(&back), NGX_DECLINED);
    assert_memory_equal(&back, &zero, sizeof(zero));

    test_put_pair(NULL, NULL, NULL);
    assert_int_equal(test_state_get(&back), NGX_DECLINED);
    assert_memory_equal(&back, &zero, sizeof(zero));

    test_state_fill(&st);

    for (i = 0; i < 3; i++) {

        if (i == 1) {
            st = zero;
        }

        if (i == 2) {
            /* the longest */
            memset(url, '"', sizeof(url));
            memset(text, '\\', sizeof(text));
            st.ca.data = st.order.data = url;
            st.ca.len = st.order.len = 2048;
            st.issuer = st.account = st.ca;
            memset(token, 'a', sizeof(token));
            st.key.data = st.challenge.data = st.token.data = token;
            st.key.len = st.challenge.len = st.token.len = 128;
            st.why.data = st.detail.data = text;
            st.why.len = st.detail.len = 1024;
            st.name = st.why;
        }

        assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                      &test_name, &st,
                                                      &test_fail),
                         NGX_OK);
        assert_int_equal(test_mode_of(test_in("state.json")), 0600);
        assert_int_equal(test_state_get(&back), NGX_OK);
        test_state_equal(&st, &back);
    }

    /* made printable and short on the way */

    st.why.len = 2000;
    ngx_str_set(&st.detail, "a\n\x1b\xff");
    assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                  &test_name, &st,
                                                  &test_fail),
                     NGX_OK);
    assert_int_equal(test_state_get(&back), NGX_OK);
    assert_int_equal(back.why.len, 1024);
    assert_int_equal(back.detail.len, 4);
    assert_memory_equal(back.detail.data, "a???", 4);

    /* what get would refuse is not put */

    for (i = 0; i < 21; i++) {
        test_state_fill(&st);

        switch (i) {
        case 0: st.ca.data = url; st.ca.len = 2049; break;
        case 1: ngx_str_set(&st.order, "https://a b"); break;
        case 2: st.renew_at = -1; break;
        case 3: st.kind = NGX_AUTOCERT_FAIL_BUDGET + 1; break;
        case 4: st.setup = 0x100000000; break;
        case 5: st.issued_at = -1; break;
        case 6: st.failures = 0x100000000; break;
        case 7: st.token.data = token; st.token.len = 129; break;
        case 8: ngx_str_set(&st.challenge, "../x"); break;
        case 9: ngx_str_set(&st.key, "a+b"); break;
        case 10: ngx_str_set(&st.issuer, "a\n"); break;
        case 11: st.account.data = url; st.account.len = 2049; break;
        case 12: st.window_start = -1; break;
        case 13: st.window_end = 253402300800; break;
        case 14: st.look_at = -1; break;
        case 15: st.looks = (ngx_uint_t) -1; break;
        case 16: st.tries = 0x100000000; break;
        case 17: st.failed_at = -1; break;
        case 18: ngx_str_set(&st.next_key, "a/b"); break;
        case 19: ngx_str_set(&st.next_account, "a b"); break;
        default: st.next_attempt = 253402300800; break;
        }

        assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                      &test_name, &st,
                                                      &test_fail),
                         NGX_ERROR);
        test_has(test_fail.why, "state.json");
    }

    assert_int_equal(test_state_get(&back), NGX_OK);
    assert_int_equal(back.why.len, 1024);

    (void) unlink(test_in("state.json"));
    s.data = text;
    s.len = sizeof(text);
    test_put(test_in("state.json"), &s, 0640);
    assert_int_equal(test_state_get(&back), NGX_ERROR);
    test_has(test_fail.why, "chmod 600");
    assert_memory_equal(&back, &zero, sizeof(zero));
}


static void
test_store_state_damaged(void **state)
{
    size_t                 n;
    ngx_str_t              text;
    ngx_uint_t             i;
    ngx_autocert_state_t   st;

    static ngx_autocert_state_t  zero;

    static char  *cases[] = {
        "", "{", "[]", "null", "1", "\"ca\"", "{} x", "{\"ca\":1}",
        "{\"ca\":\"https://x\",\"ca\":\"https://x\"}",
        "{\"ca\":\"https://a\\nb\"}", "{\"order\":\"h\xc3\xa9\"}",
        "{\"order\":[]}", "{\"why\":{}}", "{\"detail\":true}",
        "{\"token\":\"a/b\"}", "{\"token\":1}", "{\"challenge\":\"a.b\"}",
        "{\"challenge\":\"\\u0000\"}", "{\"token\":\"a b\"}",
        "{\"renew_at\":\"1\"}", "{\"renew_at\":-1}", "{\"renew_at\":1.5}",
        "{\"renew_at\":1e3}", "{\"renew_at\":253402300800}",
        "{\"next_attempt\":99999999999999999999}", "{\"failed_at\":[1]}",
        "{\"issued_at\":-1}", "{\"failures\":-1}", "{\"failures\":4294967296}",
        "{\"kind\":7}", "{\"kind\":-1}", "{\"kind\":\"6\"}",
        "{\"key\":\"a+b\"}", "{\"key\":1}", "{\"issuer\":\"a b\"}",
        "{\"issuer\":[]}", "{\"account\":\"\\u0001\"}", "{\"account\":0}",
        "{\"window_start\":-1}", "{\"window_start\":253402300800}",
        "{\"window_end\":\"2026-01-01T00:00:00Z\"}", "{\"window_end\":1.5}",
        "{\"look_at\":-1}", "{\"looks\":4294967296}", "{\"looks\":-1}",
        "{\"setup\":4294967296}", "{\"setup\":-1}", "{\"setup\":\"0xfe\"}",
        "{\"tries\":4294967296}", "{\"tries\":true}", "{\"name\":1}",
        "{\"next_key\":\"a=\"}", "{\"next_account\":1}",
        "{\"ca\":\"https://x\",\"kind\":3,\"setup\":7,\"why\":0}"
    };

    (void) state;

    test_put_pair(NULL, NULL, NULL);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_put_text(test_in("state.json"), cases[i]);

        if (test_state_get(&st) != NGX_ERROR) {
            fail_msg("taken: %s", cases[i]);
        }

        assert_memory_equal(&st, &zero, sizeof(zero));
        test_has(test_fail.why, "state.json\" is damaged: ");
    }

    /* a text that is cut anywhere */

    test_state_fill(&st);
    assert_int_equal(ngx_autocert_store_state_print(test_pool, &st, &text),
                     NGX_OK);

    n = text.len;

    for (text.len = 0; text.len < n; text.len += 7) {
        test_put(test_in("state.json"), &text, 0600);
        assert_int_equal(test_state_get(&st), NGX_ERROR);
        assert_memory_equal(&st, &zero, sizeof(zero));
    }

    (void) unlink(test_in("state.json"));
    assert_int_equal(symlink("/etc/passwd", test_in("state.json")), 0);
    assert_int_equal(test_state_get(&st), NGX_ERROR);
    test_has(test_fail.why, "symbolic link");
}


/* What other versions have written, or may write. */

static void
test_store_state_versions(void **state)
{
    ngx_uint_t             i;
    ngx_autocert_state_t   st, want;

    static char  *texts[] = {

        "{\"ca\":\"https://ca.example/dir\",\"renew_at\":1800000000,"
        "\"order\":\"https://ca.example/order/1\",\"challenge\":\"http-01\","
        "\"token\":\"abc\",\"failures\":2,\"next_attempt\":1800000060,"
        "\"kind\":3,\"why\":\"no\",\"detail\":\"\",\"failed_at\":1799999999,"
        "\"issued_at\":1799999000,\"issued\":[1799999000,1799990000]}",

        "{\"issued\":[-1],\"later\":{\"a\":[1,{}]},\"ca\":null,\"looks\":0,"
        "\"failures\":2,\"key\":\"\"}",

        "{}"
    };

    (void) state;

    test_put_pair(NULL, NULL, NULL);

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

        memset(&want, 0, sizeof(want));

        if (i == 0) {
            ngx_str_set(&want.ca, "https://ca.example/dir");
            ngx_str_set(&want.order, "https://ca.example/order/1");
            ngx_str_set(&want.challenge, "http-01");
            ngx_str_set(&want.token, "abc");
            ngx_str_set(&want.why, "no");
            want.renew_at = 1800000000;
            want.next_attempt = 1800000060;
            want.kind = NGX_AUTOCERT_FAIL_LIMITED;
            want.failed_at = 1799999999;
            want.issued_at = 1799999000;
        }

        want.failures = (i < 2) ? 2 : 0;

        test_put_text(test_in("state.json"), texts[i]);
        assert_int_equal(test_state_get(&st), NGX_OK);
        test_state_equal(&st, &want);
    }
}


/* The directory of the account at "https://ca.example/dir". */

static char *
test_account(const char *file)
{
    return test_file("%s/.accounts/1242d0bcd49c7eabd2dea91d14ff4af8/%s",
                     test_path, file);
}


static ngx_int_t
test_account_get(EVP_PKEY **key, ngx_str_t *url, ngx_array_t *contacts)
{
    memset(&test_fail, 0, sizeof(test_fail));

    assert_int_equal(ngx_array_init(contacts, test_pool, 1,
                                    sizeof(ngx_str_t)),
                     NGX_OK);

    return ngx_autocert_store_account_get(&test_store, test_pool, &test_ca,
                                          key, url, contacts, &test_fail);
}


static ngx_int_t
test_account_put(EVP_PKEY *key, char *url, char *contact)
{
    ngx_str_t    s, *c;
    ngx_array_t  contacts;

    s.data = (u_char *) url;
    s.len = strlen(url);

    assert_int_equal(ngx_array_init(&contacts, test_pool, 1,
                                    sizeof(ngx_str_t)),
                     NGX_OK);

    if (contact) {
        c = ngx_array_push(&contacts);
        c->data = (u_char *) contact;
        c->len = strlen(contact);
    }

    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_account_put(&test_store, test_pool, &test_ca,
                                          key, &s, &contacts, &test_fail);
}


static void
test_store_account(void **state)
{
    EVP_PKEY     *key, *p384;
    ngx_str_t     url, *c;
    ngx_array_t   contacts;
    struct stat   before, after;

    (void) state;

    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_DECLINED);
    assert_null(key);
    assert_int_equal(url.len, 0);

    assert_int_equal(test_account_put(test_old.key, "", NULL), NGX_OK);
    assert_int_equal(test_mode_of(test_file("%s/.accounts", test_path)),
                     0700);
    assert_int_equal(test_mode_of(test_account("")), 0700);
    assert_int_equal(test_mode_of(test_account("account.key")), 0600);
    assert_int_equal(test_mode_of(test_account("account.json")), 0600);

    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_OK);
    assert_int_equal(EVP_PKEY_eq(key, test_old.key), 1);
    EVP_PKEY_free(key);
    assert_int_equal(url.len, 0);
    assert_int_equal(contacts.nelts, 0);

    /* the key is written once */

    assert_int_equal(stat(test_account("account.key"), &before), 0);
    assert_int_equal(test_account_put(test_old.key, "https://ca.example/1",
                                      "mailto:a@example.org"),
                     NGX_OK);
    assert_int_equal(stat(test_account("account.key"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);

    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_OK);
    EVP_PKEY_free(key);
    assert_int_equal(url.len, 20);
    assert_memory_equal(url.data, "https://ca.example/1", 20);
    assert_int_equal(contacts.nelts, 1);
    c = contacts.elts;
    assert_int_equal(c->len, 20);
    assert_memory_equal(c->data, "mailto:a@example.org", 20);

    /* what would not be read again is not written */

    assert_int_equal(test_account_put(test_old.key, "https://ca.example/1",
                                      "mailto:\xff@example.org"),
                     NGX_ERROR);
    assert_int_equal(test_account_put(test_old.key, "https://ca.example/1",
                                      "mailto:\xc3\xa9@example.org"),
                     NGX_ERROR);

    /* another key does not take its place */

    assert_int_equal(test_account_put(test_new.key, "https://ca.example/2",
                                      NULL),
                     NGX_ERROR);
    test_has(test_fail.why, "of another account");
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_OK);
    assert_int_equal(EVP_PKEY_eq(key, test_old.key), 1);
    EVP_PKEY_free(key);
    assert_int_equal(url.data[19], '1');

    /* nor does one that is refused */

    assert_int_equal(test_account_put(test_old.key, "https://ca.example/ 2",
                                      NULL),
                     NGX_ERROR);
    assert_int_equal(test_account_put(test_old.key, "", ""), NGX_ERROR);
    assert_int_equal(test_account_put(test_old.key, "", "a b"), NGX_ERROR);

    /* no account.json: not registered yet */

    assert_int_equal(unlink(test_account("account.json")), 0);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_OK);
    EVP_PKEY_free(key);
    assert_int_equal(url.len, 0);

    assert_int_equal(unlink(test_account("account.key")), 0);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_DECLINED);

    p384 = ngx_autocert_key_create(NID_secp384r1);
    assert_int_equal(ngx_autocert_key_write(p384, &url), NGX_OK);
    EVP_PKEY_free(p384);
    test_put(test_account("account.key"), &url, 0600);
    ngx_autocert_pem_free(&url);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_ERROR);
    assert_null(key);
    test_has(test_fail.why, "P-256");
}


static void
test_store_account_damaged(void **state)
{
    char                          *dir, *other, *err;
    EVP_PKEY                      *key;
    ngx_str_t                      url;
    ngx_uint_t                     i;
    ngx_array_t                    contacts;
    ngx_autocert_store_account_t   account;

    static ngx_str_t  none = ngx_string("{\"url\":\"https://x\"}");

    static char  *cases[] = {
        "", "{}", "[]", "{\"ca\":\"https://ca.example/di\"}",
        "{\"ca\":\"https://ca.example/dix\"}", "{\"ca\":1}", "{\"ca\":\"\"}",
        "{\"ca\":\"https://ca.example/dir2\"}",
        "{\"ca\":\"https://ca.example/dir\"", "{\"ca\":\"https://ca.example/"
        "dir\"}}", "{\"ca\":\"https://ca.example/dir\",\"url\":1}",
        "{\"ca\":\"https://ca.example/dir\",\"url\":\"a\\u0000b\"}",
        "{\"ca\":\"https://ca.example/dir\",\"contacts\":\"a\"}",
        "{\"ca\":\"https://ca.example/dir\",\"contacts\":[1]}",
        "{\"ca\":\"https://ca.example/dir\",\"contacts\":[\"\"]}",
        "{\"ca\":\"https://ca.example/dir\",\"contacts\":[\"a\\rb\"]}",
        "{\"ca\":\"https://ca.example/dir\",\"contacts\":[\"1\",\"1\",\"1\","
        "\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\","
        "\"1\",\"1\",\"1\"]}"
    };

    (void) state;

    assert_int_equal(test_account_put(test_old.key, "https://x", NULL),
                     NGX_OK);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_put_text(test_account("account.json"), cases[i]);

        if (test_account_get(&key, &url, &contacts) != NGX_ERROR) {
            fail_msg("taken: %s", cases[i]);
        }

        assert_null(key);
        assert_int_equal(url.len, 0);
        assert_int_equal(contacts.nelts, 0);
        test_has(test_fail.why, "account.json\" is damaged");
    }

    assert_int_equal(ngx_autocert_store_account_parse(test_pool, &none,
                                                      &account, &err),
                     NGX_ERROR);
    assert_int_equal(account.url.len, 0);

    /* it is written anew */

    assert_int_equal(test_account_put(test_old.key, "https://x", NULL),
                     NGX_OK);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_OK);
    EVP_PKEY_free(key);

    test_put_text(test_account("account.key"), "damaged");
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_ERROR);
    assert_int_equal(test_account_put(test_old.key, "https://x", NULL),
                     NGX_ERROR);
    test_has(test_fail.why, "account.key");

    /* links at each level above */

    test_put(test_account("account.key"), &test_old.key_pem, 0600);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_OK);
    EVP_PKEY_free(key);

    dir = test_file("%s/.accounts", test_path);
    other = test_file("%s/other", test_path);
    assert_int_equal(rename(dir, other), 0);
    assert_int_equal(symlink("other", dir), 0);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_ERROR);
    test_has(test_fail.why, "is not a directory");

    assert_int_equal(unlink(dir), 0);
    assert_int_equal(rename(other, dir), 0);
    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_ERROR);
    test_has(test_fail.why, "chmod 700");

    assert_int_equal(chmod(dir, 0700), 0);
    dir = test_account("");
    dir[strlen(dir) - 1] = '\0';
    other = test_file("%s/other", test_path);
    assert_int_equal(rename(dir, other), 0);
    assert_int_equal(symlink("../other", dir), 0);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_ERROR);
    test_has(test_fail.why, "is not a directory");
}


static void
test_ca_fill(ngx_autocert_ca_t *ca)
{
    ngx_uint_t  i;

    memset(ca, 0, sizeof(ngx_autocert_ca_t));

    ca->hold = TEST_NOW + 3600;
    ca->failures = 4;
    ca->failed_at = TEST_NOW;
    ca->kind = NGX_AUTOCERT_FAIL_NETWORK;
    ngx_str_set(&ca->why, "could not \"connect\"");
    ngx_str_set(&ca->detail, "\\ d\xc3\xa9tail");
    ca->contacts_at = TEST_NOW + 86400;
    ca->blind = TEST_NOW + 43200;

    ca->nslots = NGX_AUTOCERT_STORE_SLOTS;

    for (i = 0; i < NGX_AUTOCERT_STORE_SLOTS; i++) {
        ca->slots[i].at = TEST_NOW + i * 600;
        ca->slots[i].n = 4294967295 - i;
    }

    ca->ndomains = NGX_AUTOCERT_STORE_DOMAINS;

    for (i = 0; i < NGX_AUTOCERT_STORE_DOMAINS; i++) {
        ca->domains[i].len = 253;
        memset(ca->domains[i].data, 'a' + i, 253);
        ca->domains[i].data[3] = '.';
        ca->domains[i].data[5] = '-';
        ca->domains[i].data[6] = '_';
        ca->domains[i].data[7] = '0';
        ca->domains[i].data[10] = ':';
        ca->domains[i].data[8] = '9';
        ca->domains[i].data[9] = 'z';
        ca->domains[i].until = TEST_NOW + i;
        ca->domains[i].interval = 12096 + i;
        ca->domains[i].end = 253402300799 - i;
    }
}


static void
test_ca_equal(ngx_autocert_ca_t *a, ngx_autocert_ca_t *b)
{
    ngx_uint_t  i;

    assert_int_equal(a->hold, b->hold);
    assert_int_equal(a->failures, b->failures);
    assert_int_equal(a->failed_at, b->failed_at);
    assert_int_equal(a->kind, b->kind);
    test_str_equal(&a->why, &b->why);
    test_str_equal(&a->detail, &b->detail);
    assert_int_equal(a->contacts_at, b->contacts_at);
    assert_int_equal(a->blind, b->blind);
    assert_int_equal(a->nslots, b->nslots);
    assert_memory_equal(a->slots, b->slots, sizeof(a->slots));
    assert_int_equal(a->ndomains, b->ndomains);

    for (i = 0; i < a->ndomains; i++) {
        assert_int_equal(a->domains[i].len, b->domains[i].len);
        assert_memory_equal(a->domains[i].data, b->domains[i].data,
                            a->domains[i].len);
        assert_int_equal(a->domains[i].until, b->domains[i].until);
        assert_int_equal(a->domains[i].interval, b->domains[i].interval);
        assert_int_equal(a->domains[i].end, b->domains[i].end);
    }
}


static ngx_int_t
test_ca_get(ngx_autocert_ca_t *ca)
{
    memset(ca, 1, sizeof(ngx_autocert_ca_t));
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_ca_get(&test_store, test_pool, &test_ca, ca,
                                     &test_fail);
}


static ngx_int_t
test_ca_put(ngx_autocert_ca_t *ca)
{
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_ca_put(&test_store, test_pool, &test_ca, ca,
                                     &test_fail);
}


static void
test_store_ca(void **state)
{
    u_char              text[2000];
    EVP_PKEY           *key;
    ngx_str_t           url, s;
    ngx_uint_t          i;
    ngx_array_t         contacts;
    ngx_autocert_ca_t   ca, back;

    static ngx_str_t          other = ngx_string("https://ca.example/dir2");
    static ngx_autocert_ca_t  zero;

    (void) state;

    assert_int_equal(test_ca_get(&back), NGX_DECLINED);
    assert_memory_equal(&back, &zero, sizeof(zero));
    assert_false(test_exists(test_file("%s/.accounts", test_path)));

    test_ca_fill(&ca);

    for (i = 0; i < 2; i++) {
        assert_int_equal(test_ca_put(&ca), NGX_OK);
        assert_int_equal(test_mode_of(test_account("")), 0700);
        assert_int_equal(test_mode_of(test_account("state.json")), 0600);
        assert_int_equal(test_ca_get(&back), NGX_OK);
        test_ca_equal(&ca, &back);

        ca = zero;
    }

    assert_int_equal(test_mode_of(test_file("%s/.accounts", test_path)),
                     0700);

    /* of that CA alone, and of no account */

    assert_int_equal(ngx_autocert_store_ca_get(&test_store, test_pool, &other,
                                               &back, &test_fail),
                     NGX_DECLINED);
    assert_int_equal(test_account_get(&key, &url, &contacts), NGX_DECLINED);

    /* beside one */

    test_ca_fill(&ca);
    assert_int_equal(test_ca_put(&ca), NGX_OK);
    assert_int_equal(test_account_put(test_old.key, "https://x", NULL),
                     NGX_OK);
    assert_int_equal(test_ca_get(&back), NGX_OK);
    test_ca_equal(&ca, &back);

    /* made printable and short on the way */

    memset(text, 'x', sizeof(text));
    ca.why.data = text;
    ca.why.len = sizeof(text);
    ngx_str_set(&ca.detail, "a\n\x1b\xff");
    assert_int_equal(test_ca_put(&ca), NGX_OK);
    assert_int_equal(test_ca_get(&back), NGX_OK);
    assert_int_equal(back.why.len, 1024);
    assert_int_equal(back.detail.len, 4);
    assert_memory_equal(back.detail.data, "a???", 4);

    /* what get would refuse is not put */

    for (i = 0; i < 18; i++) {
        test_ca_fill(&ca);

        switch (i) {
        case 0: ca.hold = -1; break;
        case 1: ca.failures = 0x100000000; break;
        case 2: ca.failed_at = 253402300800; break;
        case 3: ca.kind = NGX_AUTOCERT_FAIL_BUDGET + 1; break;
        case 4: ca.contacts_at = -1; break;
        case 5: ca.nslots = NGX_AUTOCERT_STORE_SLOTS + 1; break;
        case 6: ca.slots[NGX_AUTOCERT_STORE_SLOTS - 1].at = -1; break;
        case 7: ca.slots[0].n = 0x100000000; break;
        case 8: ca.ndomains = NGX_AUTOCERT_STORE_DOMAINS + 1; break;
        case 9: ca.domains[15].len = 0; break;
        case 10: ca.domains[0].len = 254; break;
        case 11: ca.domains[15].data[252] = 'A'; break;
        case 12: ca.domains[0].data[0] = '*'; break;
        case 13: ca.domains[0].data[1] = '/'; break;
        case 14: ca.domains[0].data[2] = '\0'; break;
        case 15: ca.domains[15].until = -1; break;
        case 16: ca.domains[0].interval = -1; break;
        default: ca.domains[0].end = 253402300800; break;
        }

        if (test_ca_put(&ca) != NGX_ERROR) {
            fail_msg("put: %d", (int) i);
        }

        test_has(test_fail.why, "state.json");
    }

    assert_int_equal(test_ca_get(&back), NGX_OK);
    assert_int_equal(back.why.len, 1024);

    (void) unlink(test_account("state.json"));
    s.data = text;
    s.len = sizeof(text);
    test_put(test_account("state.json"), &s, 0640);
    assert_int_equal(test_ca_get(&back), NGX_ERROR);
    test_has(test_fail.why, "chmod 600");
    assert_memory_equal(&back, &zero, sizeof(zero));
}


static void
test_store_ca_damaged(void **state)
{
    size_t              n;
    ngx_str_t           text;
    ngx_uint_t          i;
    ngx_autocert_ca_t   ca;

    static ngx_autocert_ca_t  zero;

#define TEST_SLOTS(s)    "{\"hold\":1,\"slots\":" s "}"
#define TEST_DOMAINS(s)  "{\"hold\":1,\"slots\":[[1,2]],\"domains\":" s "}"
#define TEST_DOMAIN(s)   TEST_DOMAINS("[{\"domain\":\"a\"},{" s "}]")

    static char  *cases[] = {
        "", "{", "[]", "null", "{} x", "{\"hold\":1,\"hold\":1}",
        "{\"hold\":-1}", "{\"hold\":253402300800}", "{\"hold\":\"1\"}",
        "{\"failures\":4294967296}", "{\"failures\":-1}",
        "{\"failed_at\":1.5}", "{\"kind\":7}", "{\"kind\":-1}",
        "{\"why\":1}", "{\"detail\":[]}", "{\"contacts_at\":-1}",

        TEST_SLOTS("1"), TEST_SLOTS("{}"), TEST_SLOTS("\"\""),
        TEST_SLOTS("[1]"), TEST_SLOTS("[null]"), TEST_SLOTS("[{}]"),
        TEST_SLOTS("[[]]"), TEST_SLOTS("[[1]]"), TEST_SLOTS("[[1,2,3]]"),
        TEST_SLOTS("[[1,2],[1,null]]"), TEST_SLOTS("[[\"1\",2]]"),
        TEST_SLOTS("[[-1,2]]"), TEST_SLOTS("[[1,-2]]"),
        TEST_SLOTS("[[1.0,2]]"), TEST_SLOTS("[[1,2e1]]"),
        TEST_SLOTS("[[253402300800,2]]"), TEST_SLOTS("[[1,4294967296]]"),
        TEST_SLOTS("[[99999999999999999999,2]]"),
        TEST_SLOTS("[[-1,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],"
                   "[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],"
                   "[0,0],[0,0],[0,0]]"),

        TEST_DOMAINS("1"), TEST_DOMAINS("{}"), TEST_DOMAINS("\"a\""),
        TEST_DOMAINS("[\"a\"]"), TEST_DOMAINS("[null]"),
        TEST_DOMAINS("[{}]"), TEST_DOMAINS("[[]]"),
        TEST_DOMAIN("\"domain\":null"), TEST_DOMAIN("\"domain\":1"),
        TEST_DOMAIN("\"domain\":\"\""), TEST_DOMAIN("\"domain\":\"A\""),
        TEST_DOMAIN("\"domain\":\"a;b\""), TEST_DOMAIN("\"domain\":\"a/b\""),
        TEST_DOMAIN("\"domain\":\"a\\u0000\""),
        TEST_DOMAIN("\"domain\":\"\xc3\xa9\""),
        TEST_DOMAIN("\"domain\":\"*.a\""),
        TEST_DOMAIN("\"domain\":\"a`\""), TEST_DOMAIN("\"domain\":\"a{\""),
        TEST_DOMAIN("\"domain\":\"a%\""), TEST_DOMAIN("\"domain\":\"a b\""),
        TEST_DOMAIN("\"domain\":\"b\",\"until\":-1"),
        TEST_DOMAIN("\"domain\":\"b\",\"interval\":1.5"),
        TEST_DOMAIN("\"domain\":\"b\",\"end\":253402300800"),
        TEST_DOMAIN("\"domain\":\"b\",\"end\":\"\"")
    };

    (void) state;

    memset(&ca, 0, sizeof(ca));
    assert_int_equal(test_ca_put(&ca), NGX_OK);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_put_text(test_account("state.json"), cases[i]);

        if (test_ca_get(&ca) != NGX_ERROR) {
            fail_msg("taken: %s", cases[i]);
        }

        assert_memory_equal(&ca, &zero, sizeof(zero));
        test_has(test_fail.why, "state.json\" is damaged: ");
    }

    /* a text that is cut anywhere */

    test_ca_fill(&ca);
    assert_int_equal(ngx_autocert_store_ca_print(test_pool, &ca, &text),
                     NGX_OK);

    n = text.len;

    for (text.len = 0; text.len < n; text.len += 41) {
        test_put(test_account("state.json"), &text, 0600);
        assert_int_equal(test_ca_get(&ca), NGX_ERROR);
        assert_memory_equal(&ca, &zero, sizeof(zero));
    }

    (void) unlink(test_account("state.json"));
    assert_int_equal(symlink("/etc/passwd", test_account("state.json")), 0);
    assert_int_equal(test_ca_get(&ca), NGX_ERROR);
    test_has(test_fail.why, "symbolic link");

    /* written again, it is a file */

    assert_int_equal(test_ca_put(&ca), NGX_OK);
    assert_int_equal(test_ca_get(&ca), NGX_OK);
}


/* What a later version may write, and more than there is room for. */

static void
test_store_ca_versions(void **state)
{
    char               *p, text[8192];
    u_char              domain[254];
    ngx_uint_t          i;
    ngx_autocert_ca_t   ca;

    (void) state;

    memset(&ca, 0, sizeof(ca));
    assert_int_equal(test_ca_put(&ca), NGX_OK);

    test_put_text(test_account("state.json"),
                  "{\"later\":[{}],\"hold\":7,\"slots\":null,\"domains\":["
                  "{\"later\":{},\"end\":null,\"domain\":\"a.b-c.0\"}]}");
    assert_int_equal(test_ca_get(&ca), NGX_OK);
    assert_int_equal(ca.hold, 7);
    assert_int_equal(ca.nslots, 0);
    assert_int_equal(ca.ndomains, 1);
    assert_int_equal(ca.domains[0].len, 7);
    assert_memory_equal(ca.domains[0].data, "a.b-c.0", 7);
    assert_int_equal(ca.domains[0].end, 0);

    /* the oldest are first, and go */

    p = text + sprintf(text, "{\"slots\":[[100,0]");

    for (i = 1; i < 23; i++) {
        p += sprintf(p, ",[%d,%d]", (int) (100 + i), (int) i);
    }

    p += sprintf(p, "],\"domains\":[{\"domain\":\"d0\"}");

    for (i = 1; i < 18; i++) {
        p += sprintf(p, ",{\"domain\":\"d%d\",\"until\":%d}", (int) i,
                     (int) i);
    }

    (void) sprintf(p, "]}");

    test_put_text(test_account("state.json"), text);
    assert_int_equal(test_ca_get(&ca), NGX_OK);

    assert_int_equal(ca.nslots, NGX_AUTOCERT_STORE_SLOTS);

    for (i = 0; i < ca.nslots; i++) {
        assert_int_equal(ca.slots[i].at, 103 + i);
        assert_int_equal(ca.slots[i].n, 3 + i);
    }

    assert_int_equal(ca.ndomains, NGX_AUTOCERT_STORE_DOMAINS);
    assert_memory_equal(ca.domains[0].data, "d2", 2);
    assert_memory_equal(ca.domains[15].data, "d17", 3);

    for (i = 0; i < ca.ndomains; i++) {
        assert_int_equal(ca.domains[i].until, 2 + i);
    }

    /* a domain that is too long by one */

    for (i = 253; i <= 254; i++) {
        memset(domain, 'a', sizeof(domain));
        (void) sprintf(text, "{\"domains\":[{\"domain\":\"%.*s\"}]}", (int) i,
                       domain);
        test_put_text(test_account("state.json"), text);
        assert_int_equal(test_ca_get(&ca), i == 253 ? NGX_OK : NGX_ERROR);
        assert_int_equal(ca.ndomains, i == 253);
    }
}


static void
test_issued_fill(ngx_autocert_issued_t *issued)
{
    ngx_uint_t  i;

    memset(issued, 0, sizeof(ngx_autocert_issued_t));

    issued->life = 90 * 86400;
    ngx_str_set(&issued->order, "https://ca.example/order/\"1\"");
    issued->n = NGX_AUTOCERT_STORE_ISSUED;

    for (i = 0; i < NGX_AUTOCERT_STORE_ISSUED; i++) {
        issued->at[i] = TEST_NOW - i * 100;
    }
}


static void
test_issued_equal(ngx_autocert_issued_t *a, ngx_autocert_issued_t *b)
{
    assert_int_equal(a->life, b->life);
    test_str_equal(&a->order, &b->order);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->at, b->at, sizeof(a->at));
}


static ngx_int_t
test_issued_get(ngx_str_t *name, ngx_autocert_issued_t *issued)
{
    memset(issued, 1, sizeof(ngx_autocert_issued_t));
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_issued_get(&test_store, test_pool, &test_ca,
                                         name, issued, &test_fail);
}


static ngx_int_t
test_issued_put(ngx_str_t *name, ngx_autocert_issued_t *issued)
{
    memset(&test_fail, 0, sizeof(test_fail));

    return ngx_autocert_store_issued_put(&test_store, test_pool, &test_ca,
                                         name, issued, &test_fail);
}


static void
test_store_unread_texts(void **state)
{
    ngx_uint_t             i;
    ngx_autocert_ca_t      ca;
    ngx_autocert_state_t   st;
    ngx_autocert_issued_t  issued;

    static char  *files[] = { "state.json", "example.org.json", "issued",
                              ".accounts" };

    (void) state;

    test_state_fill(&st);
    test_ca_fill(&ca);
    test_issued_fill(&issued);
    assert_int_equal(test_ca_put(&ca), NGX_OK);
    assert_int_equal(test_issued_put(&test_name, &issued), NGX_OK);
    assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                  &test_name, &st,
                                                  &test_fail),
                     NGX_OK);

    test_fault_errno = EMFILE;

    for (i = 0; i < 4; i++) {
        test_fault = files[i];
        memset(&test_fail, 0xff, sizeof(test_fail));

        if (i == 0) {
            assert_int_equal(test_state_get(&st), NGX_ERROR);
            assert_int_equal(st.failures, 0);
        }

        if (i == 0 || i == 3) {
            assert_int_equal(test_ca_get(&ca), NGX_ERROR);

        } else {
            assert_int_equal(test_issued_get(&test_name, &issued), NGX_ERROR);
        }

        assert_int_equal(test_fail.kind, NGX_AUTOCERT_FAIL_INTERNAL);
        assert_int_equal(test_fail.damaged, 0);
    }
}


static void
test_store_issued(void **state)
{
    char                   *dir, *file;
    u_char                  url[2049], name[255];
    ngx_str_t               other;
    ngx_uint_t              i;
    ngx_autocert_issued_t   issued, back;

    static ngx_str_t              ca = ngx_string("https://ca.example/dir2");
    static ngx_autocert_issued_t  zero;

    (void) state;

    assert_int_equal(test_issued_get(&test_name, &back), NGX_DECLINED);
    assert_memory_equal(&back, &zero, sizeof(zero));
    assert_false(test_exists(test_file("%s/.accounts", test_path)));

    test_issued_fill(&issued);

    for (i = 0; i < 3; i++) {
        assert_int_equal(test_issued_put(&test_name, &issued), NGX_OK);
        assert_int_equal(test_mode_of(test_account("issued/example.org.json")),
                         0600);
        assert_int_equal(test_issued_get(&test_name, &back), NGX_OK);
        test_issued_equal(&issued, &back);

        issued = zero;

        if (i == 0) {
            memset(url, '"', sizeof(url));
            issued.order.data = url;
            issued.order.len = 2048;
            issued.n = 1;
            issued.at[0] = issued.life = 253402300799;
        }
    }

    assert_int_equal(test_mode_of(test_file("%s/.accounts", test_path)),
                     0700);
    assert_int_equal(test_mode_of(test_account("")), 0700);
    assert_int_equal(test_mode_of(test_account("issued")), 0700);

    /* nothing in the name's own directory, nothing of another CA */

    assert_false(test_exists(test_in("")));
    assert_int_equal(ngx_autocert_store_issued_get(&test_store, test_pool,
                                                   &ca, &test_name, &back,
                                                   &test_fail),
                     NGX_DECLINED);

    /* what get would refuse is not put */

    test_issued_fill(&issued);
    assert_int_equal(test_issued_put(&test_name, &issued), NGX_OK);

    for (i = 0; i < 6; i++) {
        test_issued_fill(&issued);

        switch (i) {
        case 0: issued.life = -1; break;
        case 1: issued.order.data = url; issued.order.len = 2049; break;
        case 2: ngx_str_set(&issued.order, "a b"); break;
        case 3: issued.n = NGX_AUTOCERT_STORE_ISSUED + 1; break;
        case 4: issued.at[7] = -1; break;
        default: issued.at[0] = 253402300800; break;
        }

        assert_int_equal(test_issued_put(&test_name, &issued), NGX_ERROR);
        test_has(test_fail.why, "issued/example.org.json");
    }

    test_issued_fill(&issued);
    assert_int_equal(test_issued_get(&test_name, &back), NGX_OK);
    test_issued_equal(&issued, &back);

    /* as long as names are, each with a file of its own */

    memset(name, 'a', sizeof(name));
    other.data = name;

    for (other.len = 249; other.len <= sizeof(name); other.len++) {
        assert_int_equal(test_issued_get(&other, &back), NGX_DECLINED);
        issued.life = other.len;
        assert_int_equal(test_issued_put(&other, &issued), NGX_OK);
    }

    for (other.len = 249; other.len <= sizeof(name); other.len++) {
        assert_int_equal(test_issued_get(&other, &back), NGX_OK);
        assert_int_equal(back.life, other.len);
    }

    /* a link in place of the directory, or one that others may write */

    dir = test_account("issued");
    file = test_account("other");
    assert_int_equal(rename(dir, file), 0);
    assert_int_equal(symlink("other", dir), 0);
    assert_int_equal(test_issued_get(&test_name, &back), NGX_ERROR);
    test_has(test_fail.why, "is not a directory");
    assert_int_equal(test_issued_put(&test_name, &issued), NGX_ERROR);

    assert_int_equal(unlink(dir), 0);
    assert_int_equal(rename(file, dir), 0);
    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(test_issued_get(&test_name, &back), NGX_ERROR);
    test_has(test_fail.why, "chmod 700");
    assert_int_equal(test_issued_put(&test_name, &issued), NGX_ERROR);
}


static void
test_store_issued_damaged(void **state)
{
    char                   *file;
    size_t                  n;
    ngx_str_t               text;
    ngx_uint_t              i;
    ngx_autocert_issued_t   issued;

    static ngx_autocert_issued_t  zero;

    static char  *cases[] = {
        "", "{", "[]", "[1]", "null", "{} x", "{\"at\":[],\"at\":[]}",
        "{\"life\":-1}", "{\"life\":253402300800}", "{\"life\":\"1\"}",
        "{\"order\":1}", "{\"order\":\"a b\"}", "{\"order\":\"\\u0000\"}",
        "{\"at\":1}", "{\"at\":{}}", "{\"at\":[\"1\"]}", "{\"at\":[-1]}",
        "{\"at\":[1,null]}", "{\"at\":[1.0]}", "{\"at\":[[1]]}",
        "{\"at\":[253402300800]}", "{\"at\":[99999999999999999999]}",
        "{\"at\":[0,1,2,3,4,5,6,7,8,-1]}",
        "{\"life\":3,\"order\":\"https://x\",\"at\":[7,\"\"]}"
    };

    (void) state;

    test_issued_fill(&issued);
    assert_int_equal(test_issued_put(&test_name, &issued), NGX_OK);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_put_text(test_account("issued/example.org.json"), cases[i]);

        if (test_issued_get(&test_name, &issued) != NGX_ERROR) {
            fail_msg("taken: %s", cases[i]);
        }

        assert_memory_equal(&issued, &zero, sizeof(zero));
        test_has(test_fail.why, "issued/example.org.json\" is damaged: ");
    }

    test_issued_fill(&issued);
    assert_int_equal(ngx_autocert_store_issued_print(test_pool, &issued,
                                                     &text),
                     NGX_OK);

    n = text.len;

    for (text.len = 0; text.len < n; text.len++) {
        test_put(test_account("issued/example.org.json"), &text, 0600);
        assert_int_equal(test_issued_get(&test_name, &issued), NGX_ERROR);
        assert_memory_equal(&issued, &zero, sizeof(zero));
    }

    /* what a later version may write: newest first, the oldest go */

    test_put_text(test_account("issued/example.org.json"),
                  "{\"later\":1,\"order\":null,"
                  "\"at\":[9,8,7,6,5,4,3,2,1,0]}");
    assert_int_equal(test_issued_get(&test_name, &issued), NGX_OK);
    assert_int_equal(issued.n, NGX_AUTOCERT_STORE_ISSUED);
    assert_int_equal(issued.at[0], 9);
    assert_int_equal(issued.at[7], 2);

    file = test_account("issued/example.org.json");
    assert_int_equal(chmod(file, 0604), 0);
    assert_int_equal(test_issued_get(&test_name, &issued), NGX_ERROR);
    test_has(test_fail.why, "chmod 600");

    (void) unlink(file);
    assert_int_equal(symlink("/etc/passwd", file), 0);
    assert_int_equal(test_issued_get(&test_name, &issued), NGX_ERROR);
    test_has(test_fail.why, "symbolic link");
    assert_memory_equal(&issued, &zero, sizeof(zero));
}


/*
 * Below .accounts, a crash or an error at each call in turn: what was there
 * or what was to be, never a part, and what is left over goes with the next.
 */

static ngx_int_t
test_ca_write(ngx_uint_t n)
{
    ngx_autocert_ca_t      ca;
    ngx_autocert_issued_t  issued;

    test_ca_fill(&ca);
    test_issued_fill(&issued);
    ca.hold = issued.life = n;

    if (test_ca_put(&ca) != NGX_OK) {
        return NGX_ERROR;
    }

    return test_issued_put(&test_name, &issued);
}


static void
test_ca_written(ngx_uint_t from, ngx_uint_t to)
{
    ngx_int_t              rc;
    ngx_autocert_ca_t      ca;
    ngx_autocert_issued_t  issued;

    rc = test_ca_get(&ca);
    assert_int_equal(rc, ca.hold ? NGX_OK : NGX_DECLINED);
    assert_true(ca.hold == (time_t) from || ca.hold == (time_t) to);

    rc = test_issued_get(&test_name, &issued);
    assert_int_equal(rc, issued.life ? NGX_OK : NGX_DECLINED);
    assert_true(issued.life == (time_t) from || issued.life == (time_t) to);
}


static void
test_store_ca_crash(void **state)
{
    int         status;
    pid_t       pid;
    ngx_uint_t  i, n, steps;

    (void) state;

    test_lock();

    for (i = 0; i < 2; i++) {

        /* at first there is nothing, then there is another */

        test_mode = TEST_COUNT;
        test_steps = 0;
        test_remove(test_file("%s/.accounts", test_path));

        if (i) {
            assert_int_equal(test_ca_write(7), NGX_OK);
            test_steps = 0;
        }

        assert_int_equal(test_ca_write(8), NGX_OK);
        test_mode = 0;
        steps = test_steps;
        assert_true(steps > 8);

        for (n = 0; n < steps * 2; n++) {

            test_remove(test_file("%s/.accounts", test_path));

            if (i) {
                assert_int_equal(test_ca_write(7), NGX_OK);
            }

            if (n < steps) {
                pid = test_fork();

                if (pid == 0) {
                    test_step = n;
                    test_mode = TEST_CRASH;
                    (void) test_ca_write(8);
                    _exit(0);
                }

                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 77);

            } else {
                test_step = n - steps;
                test_mode = TEST_FAIL;
                (void) test_ca_write(8);
                test_mode = 0;
            }

            test_ca_written(i ? 7 : 0, 8);

            assert_int_equal(test_ca_write(9), NGX_OK);
            test_ca_written(9, 9);
            assert_int_equal(test_temps(test_account("")), 0);
            assert_int_equal(test_temps(test_account("issued")), 0);
        }
    }

    assert_int_equal(test_unsynced_renames, 0);
}


/* Memory that runs out at each allocation in turn: no leak, no crash. */

static void
test_store_memory(void **state)
{
    EVP_PKEY              *key;
    ngx_int_t              rc[10];
    ngx_str_t              url;
    ngx_uint_t             n, done, i;
    ngx_array_t            contacts;
    ngx_autocert_pair_t    pair;
    ngx_autocert_ca_t      ca, ca_back;
    ngx_autocert_state_t   st, back;
    ngx_autocert_issued_t  issued, issued_back;

    (void) state;

    test_put_pair(&test_old, &test_old, NULL);
    test_state_fill(&st);
    test_ca_fill(&ca);
    test_issued_fill(&issued);
    assert_int_equal(test_ca_put(&ca), NGX_OK);
    assert_int_equal(test_issued_put(&test_name, &issued), NGX_OK);
    assert_int_equal(test_account_put(test_old.key, "https://x", "mailto:a"),
                     NGX_OK);
    assert_int_equal(ngx_autocert_store_state_put(&test_store, test_pool,
                                                  &test_name, &st,
                                                  &test_fail),
                     NGX_OK);

    for (i = 0; i < 10; i++) {

        for (n = 1, done = 0; n < 500 && !done; n++) {

            assert_int_equal(ngx_array_init(&contacts, test_pool, 1,
                                            sizeof(ngx_str_t)),
                             NGX_OK);

            key = NULL;
            ngx_stub_fail_at = n;

            switch (i) {

            case 0:
                rc[i] = test_load(&pair);
                ngx_autocert_store_pair_free(&pair);
                break;

            case 1:
                rc[i] = test_next_put(&test_new);
                break;

            case 2:
                rc[i] = test_state_get(&back);
                break;

            case 3:
                rc[i] = ngx_autocert_store_state_put(&test_store, test_pool,
                                                     &test_name, &st,
                                                     &test_fail);
                break;

            case 4:
                rc[i] = ngx_autocert_store_account_get(&test_store, test_pool,
                                                       &test_ca, &key, &url,
                                                       &contacts, &test_fail);
                EVP_PKEY_free(key);
                break;

            case 5:
                rc[i] = test_ca_get(&ca_back);
                break;

            case 6:
                rc[i] = test_ca_put(&ca);
                break;

            case 7:
                rc[i] = test_issued_get(&test_name, &issued_back);
                break;

            case 8:
                rc[i] = test_issued_put(&test_name, &issued);
                break;

            default:
                rc[i] = ngx_autocert_store_account_put(&test_store, test_pool,
                                                       &test_ca, test_old.key,
                                                       &test_ca, &contacts,
                                                       &test_fail);
            }

            ngx_stub_fail_at = 0;

            if (rc[i] == NGX_OK) {
                done = 1;

            } else {
                assert_int_equal(rc[i], NGX_ERROR);
                assert_true(test_fail.why.len > 0);

                /* of an account nothing is made anew, whatever is wrong */

                if (i != 4 && i != 9) {
                    assert_int_equal(test_fail.damaged, 0);
                }
            }
        }

        assert_true(done);
        assert_true(n > 2);
    }

    assert_ptr_equal(test_loaded(), &test_old);
    assert_int_equal(test_state_get(&back), NGX_OK);
    test_state_equal(&st, &back);
    test_ca_equal(&ca, &ca_back);
    test_issued_equal(&issued, &issued_back);
}


#define test_case(f)  cmocka_unit_test_setup_teardown(f, test_setup,         \
                                                      test_teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test_case(test_store_open),
        test_case(test_store_open_owner),
        test_case(test_store_parents),
        test_case(test_store_lock),
        test_case(test_store_lock_refused),
        test_case(test_store_names),
        test_case(test_store_load),
        test_case(test_store_take),
        test_case(test_store_load_no_pair),
        test_case(test_store_load_damaged),
        test_case(test_store_load_types),
        test_case(test_store_load_modes),
        test_case(test_store_next),
        test_case(test_store_next_keeps_pair),
        test_case(test_store_unread),
        test_case(test_store_unread_texts),
        test_case(test_store_next_unread),
        test_case(test_store_complete),
        test_case(test_store_commit),
        test_case(test_store_commit_states),
        test_case(test_store_commit_crash),
        test_case(test_store_commit_fail),
        test_case(test_store_directory_fail),
        test_case(test_store_full_disk),
        test_case(test_store_read_only),
        test_case(test_store_load_beside_commit),
        test_case(test_store_threads),
        test_case(test_store_stamp),
        test_case(test_store_set_aside),
        test_case(test_store_set_aside_again),
        test_case(test_store_state),
        test_case(test_store_state_damaged),
        test_case(test_store_state_versions),
        test_case(test_store_account),
        test_case(test_store_account_damaged),
        test_case(test_store_ca),
        test_case(test_store_ca_damaged),
        test_case(test_store_ca_versions),
        test_case(test_store_issued),
        test_case(test_store_issued_damaged),
        test_case(test_store_ca_crash),
        test_case(test_store_memory)
    };

    return cmocka_run_group_tests(tests, test_group_setup,
                                  test_group_teardown);
}
