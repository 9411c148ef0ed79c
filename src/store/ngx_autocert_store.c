
#include <ngx_config.h>
#include <ngx_core.h>

#include <pthread.h>
#include <sys/file.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_glance.h"
#include "../base/ngx_autocert_x509.h"
#include "ngx_autocert_store.h"
#include "ngx_autocert_store_file.h"


#define NGX_AUTOCERT_STORE_TRIES  100

#define NGX_AUTOCERT_STORE_CHAIN  "fullchain.pem"
#define NGX_AUTOCERT_STORE_KEY    "privkey.pem"
#define NGX_AUTOCERT_STORE_NEXT   "privkey.next.pem"
#define NGX_AUTOCERT_STORE_BAD    10        /* pairs that are set aside */


typedef struct {
    const char  *file;
    u_char       name[sizeof(NGX_AUTOCERT_STORE_CHAIN ".bad.10")];
} ngx_autocert_store_bad_t;


static ngx_int_t ngx_autocert_store_sync_parent(
    ngx_autocert_store_dir_t *dir);
static ngx_int_t ngx_autocert_store_above(ngx_autocert_store_dir_t *dir);
static ngx_int_t ngx_autocert_store_parent(ngx_autocert_store_dir_t *dir);
static ngx_int_t ngx_autocert_store_pair(ngx_autocert_store_dir_t *dir,
    ngx_autocert_pair_t *pair, ngx_uint_t locked);
static ngx_int_t ngx_autocert_store_chain_text(ngx_autocert_store_t *store,
    ngx_str_t *name, ngx_autocert_store_dir_t *dir, ngx_str_t *text);
static ngx_int_t ngx_autocert_store_chain_read(ngx_autocert_store_dir_t *dir,
    ngx_autocert_chain_t **chain, struct stat *info);
static ngx_int_t ngx_autocert_store_key_match(ngx_autocert_store_dir_t *dir,
    const char *file, ngx_autocert_chain_t *chain, EVP_PKEY **key,
    struct stat *info);
static ngx_int_t ngx_autocert_store_finish(ngx_autocert_store_dir_t *dir,
    struct stat *chain, struct stat *next);
static ngx_int_t ngx_autocert_store_is(ngx_autocert_store_dir_t *dir,
    const char *file, struct stat *info);
static ngx_int_t ngx_autocert_store_settle(ngx_autocert_store_dir_t *dir);
static ngx_int_t ngx_autocert_store_commit_check(
    ngx_autocert_store_dir_t *dir, ngx_str_t *chain);
static ngx_int_t ngx_autocert_store_commit_write(
    ngx_autocert_store_dir_t *dir, ngx_str_t *chain);
static void ngx_autocert_store_stamp_file(int fd, const char *name,
    const char *file, uint64_t stamp[4]);
static void ngx_autocert_store_bad(ngx_autocert_store_dir_t *dir,
    ngx_autocert_store_bad_t bad[2]);


/*
 * Guards the name privkey.next.pem: a thread that loads may find a commit of
 * another half done, and must not finish it with what belongs to a later one.
 */

static pthread_mutex_t  ngx_autocert_store_mutex = PTHREAD_MUTEX_INITIALIZER;


ngx_int_t
ngx_autocert_store_open(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *path, ngx_autocert_fail_t *fail)
{
    int                        flags;
    size_t                     len;
    ngx_autocert_store_dir_t   dir;

    store->fd = -1;
    store->lock = -1;

    dir.pool = pool;
    dir.fail = fail;
    dir.path = *path;

    if (path->len == 0
        || path->data[0] != '/'
        || ngx_strlchr(path->data, path->data + path->len, '\0'))
    {
        return ngx_autocert_store_file_refuse(&dir, NULL,
                                              "is not an absolute path", NULL);
    }

    /* a slash at the end would follow a link */

    for (len = path->len; len > 1 && path->data[len - 1] == '/'; len--) {
        /* void */
    }

    store->path.data = ngx_pnalloc(pool, len + 1);
    if (store->path.data == NULL) {
        return ngx_autocert_store_file_failed(&dir, NULL, "open", ENOMEM);
    }

    *ngx_cpymem(store->path.data, path->data, len) = '\0';
    store->path.len = len;
    dir.path = store->path;

    flags = O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC;

    dir.fd = open((char *) store->path.data, flags);

    if (dir.fd == -1 && errno == ENOENT) {

        if (mkdir((char *) store->path.data, 0700) == -1 && errno != EEXIST) {
            return ngx_autocert_store_file_failed(&dir, NULL,
                                                  "make the directory", errno);
        }

        dir.fd = open((char *) store->path.data, flags);

        if (dir.fd != -1
            && ngx_autocert_store_sync_parent(&dir) != NGX_OK)
        {
            ngx_autocert_store_dir_close(&dir);
            (void) rmdir((char *) store->path.data);
            return NGX_ERROR;
        }
    }

    if (dir.fd == -1) {

        if (errno == ENOTDIR || errno == ELOOP) {
            return ngx_autocert_store_file_refuse(&dir, NULL,
                      "is not a directory (a link is not followed; name the "
                      "directory itself)", NULL);
        }

        return ngx_autocert_store_file_failed(&dir, NULL, "open", errno);
    }

    if (ngx_autocert_store_dir_check(&dir, 0) != NGX_OK) {
        ngx_autocert_store_dir_close(&dir);
        return NGX_ERROR;
    }

    store->fd = dir.fd;

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_store_sync_parent(ngx_autocert_store_dir_t *dir)
{
    int  fd, err;

    fd = openat(dir->fd, "..", O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    /* one that may be searched, but not read */

    if (fd == -1 && errno == EACCES) {
        return NGX_OK;
    }

    err = (fd == -1 || fsync(fd) == -1) ? errno : 0;

    if (fd != -1) {
        (void) close(fd);
    }

    if (err == 0 || err == EINVAL) {
        return NGX_OK;
    }

    return ngx_autocert_store_file_failed(dir, NULL, "sync", err);
}


void
ngx_autocert_store_close(ngx_autocert_store_t *store)
{
    ngx_autocert_store_unlock(store);

    if (store->fd != -1) {
        (void) close(store->fd);
        store->fd = -1;
    }
}


ngx_int_t
ngx_autocert_store_parents(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    char                      *real;
    ngx_int_t                  rc;
    ngx_autocert_store_dir_t   dir;

    dir.fd = -1;
    dir.pool = pool;
    dir.fail = fail;
    dir.path = store->path;

    rc = ngx_autocert_store_above(&dir);
    if (rc != NGX_OK) {
        return rc;
    }

    /* where links on the way lead to */

    real = realpath((char *) store->path.data, NULL);

    if (real) {
        dir.path.data = (u_char *) real;
        dir.path.len = ngx_strlen(real);

        rc = ngx_autocert_store_above(&dir);

        free(real);
    }

    return rc;
}


static ngx_int_t
ngx_autocert_store_above(ngx_autocert_store_dir_t *dir)
{
    u_char  *path;

    path = ngx_pnalloc(dir->pool, dir->path.len + 1);
    if (path == NULL) {
        return NGX_OK;
    }

    ngx_memcpy(path, dir->path.data, dir->path.len);
    dir->path.data = path;

    while (dir->path.len > 1) {

        while (path[dir->path.len - 1] != '/') {
            dir->path.len--;
        }

        while (dir->path.len > 1 && path[dir->path.len - 1] == '/') {
            dir->path.len--;
        }

        path[dir->path.len] = '\0';

        if (ngx_autocert_store_parent(dir) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_store_parent(ngx_autocert_store_dir_t *dir)
{
    mode_t       others;
    struct stat  st;

    if (stat((char *) dir->path.data, &st) == -1) {
        return NGX_OK;
    }

    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        return ngx_autocert_fail(dir->fail, dir->pool,
                                 NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "\"%V\" belongs to the user with id %ui; "
                                 "run: chown 0 \"%V\"", &dir->path,
                                 (ngx_uint_t) st.st_uid, &dir->path);
    }

    /* in one that is sticky each renames what is its own alone */

    others = (st.st_gid == 0) ? 002 : 022;

    if ((st.st_mode & others) && !(st.st_mode & S_ISVTX)) {
        return ngx_autocert_fail(dir->fail, dir->pool,
                                 NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "\"%V\" may be written by users other than "
                                 "its owner; run: chmod go-w \"%V\"",
                                 &dir->path, &dir->path);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_lock(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_autocert_fail_t *fail)
{
    int                       fd, err;
    struct stat               st;
    ngx_autocert_store_dir_t  dir;

    if (store->lock != -1) {
        return NGX_OK;
    }

    dir.fd = store->fd;
    dir.path = store->path;
    dir.pool = pool;
    dir.fail = fail;

    fd = openat(store->fd, ".lock",
                O_RDWR|O_CREAT|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC, 0600);
    if (fd == -1) {
        return ngx_autocert_store_file_failed(&dir, ".lock", "open", errno);
    }

    if (fstat(fd, &st) == -1) {
        err = errno;

        (void) close(fd);
        return ngx_autocert_store_file_failed(&dir, ".lock", "look at", err);
    }

    /* who else may open it may hold it for ever */

    if (ngx_autocert_store_file_check(&dir, ".lock", &st,
                                      NGX_AUTOCERT_STORE_SECRET)
        != NGX_OK)
    {
        (void) close(fd);
        return NGX_ERROR;
    }

    if (flock(fd, LOCK_EX|LOCK_NB) == -1) {
        err = errno;

        (void) close(fd);

        if (err == EWOULDBLOCK) {
            return NGX_AGAIN;
        }

        return ngx_autocert_store_file_failed(&dir, ".lock", "lock", err);
    }

    store->lock = fd;

    return NGX_OK;
}


void
ngx_autocert_store_unlock(ngx_autocert_store_t *store)
{
    if (store->lock == -1) {
        return;
    }

    /* close alone leaves it to a child that has inherited the descriptor */

    (void) flock(store->lock, LOCK_UN);
    (void) close(store->lock);

    store->lock = -1;
}


ngx_int_t
ngx_autocert_store_load(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_pair_t *pair, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_autocert_stamp_t      before, after;
    ngx_autocert_store_dir_t  dir;

    pair->chain = NULL;
    pair->key = NULL;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    /* a pair that is replaced between two reads looks like no pair */

    for (i = 0; i < NGX_AUTOCERT_STORE_TRIES; i++) {

        ngx_autocert_store_stamp(store, name, &before);

        rc = ngx_autocert_store_pair(&dir, pair, store->lock != -1);
        if (rc != NGX_ERROR) {
            break;
        }

        ngx_autocert_store_stamp(store, name, &after);

        if (ngx_memcmp(&before, &after, sizeof(ngx_autocert_stamp_t)) == 0) {
            break;
        }
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


static ngx_int_t
ngx_autocert_store_pair(ngx_autocert_store_dir_t *dir,
    ngx_autocert_pair_t *pair, ngx_uint_t locked)
{
    ngx_int_t                 rc, next;
    struct stat               st, chain;
    ngx_autocert_fail_t       fail;
    ngx_autocert_store_dir_t  quiet;

    rc = ngx_autocert_store_chain_read(dir, &pair->chain, &chain);

    if (rc == NGX_DECLINED
        && fstatat(dir->fd, NGX_AUTOCERT_STORE_KEY, &st, AT_SYMLINK_NOFOLLOW)
           == 0)
    {
        return ngx_autocert_store_file_damaged(dir, NGX_AUTOCERT_STORE_KEY,
                    "is there without its certificate; put fullchain.pem "
                    "next to it, or remove it", NULL);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_key_match(dir, NGX_AUTOCERT_STORE_KEY,
                                      pair->chain, &pair->key, &st);
    if (rc == NGX_OK) {
        return NGX_OK;
    }

    quiet = *dir;
    quiet.fail = &fail;

    next = ngx_autocert_store_key_match(&quiet, NGX_AUTOCERT_STORE_NEXT,
                                        pair->chain, &pair->key, &st);
    if (next == NGX_OK) {

        /* the pair is good already, and the next load tries again */

        if (locked) {
            (void) ngx_autocert_store_finish(&quiet, &chain, &st);
        }

        return NGX_OK;
    }

    ngx_autocert_store_pair_free(pair);

    /* a key that could not be read may be the one */

    if (next == NGX_ERROR && !fail.damaged
        && (rc == NGX_DECLINED || dir->fail->damaged))
    {
        *dir->fail = fail;
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_autocert_store_file_damaged(dir, NGX_AUTOCERT_STORE_CHAIN,
                    "is there without its key; put privkey.pem next to it, "
                    "or remove it", NULL);
    }

    return NGX_ERROR;
}


void
ngx_autocert_store_pair_free(ngx_autocert_pair_t *pair)
{
    if (pair->chain) {
        ngx_autocert_x509_chain_free(pair->chain);
        pair->chain = NULL;
    }

    EVP_PKEY_free(pair->key);
    pair->key = NULL;
}


ngx_int_t
ngx_autocert_store_glance(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_chain_t *facts)
{
    u_char                    id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t                 rc;
    ngx_str_t                 text;
    ngx_autocert_fail_t       ignored;
    ngx_autocert_store_dir_t  dir;

    dir.pool = pool;
    dir.fail = &ignored;

    if (ngx_autocert_store_chain_text(store, name, &dir, &text) != NGX_OK) {
        return NGX_DECLINED;
    }

    rc = ngx_autocert_glance(&text, facts);
    ngx_autocert_store_file_free(&text);

    if (rc == NGX_OK) {
        rc = ngx_autocert_store_file_read(&dir, NGX_AUTOCERT_STORE_KEY,
                                          NGX_AUTOCERT_STORE_SECRET, &text,
                                          NULL);
    }

    if (rc == NGX_OK) {
        rc = ngx_autocert_key_stated(&text, id);
        ngx_autocert_store_file_free(&text);
    }

    ngx_autocert_store_dir_close(&dir);

    return (rc == NGX_OK
            && ngx_memcmp(id, facts->id, NGX_AUTOCERT_KEY_ID) == 0)
           ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_autocert_store_take(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_pair_t *pair)
{
    ngx_int_t                 rc;
    ngx_str_t                 text;
    struct stat               st;
    ngx_autocert_fail_t       ignored;
    ngx_autocert_store_dir_t  dir;

    pair->chain = NULL;
    pair->key = NULL;

    dir.pool = pool;
    dir.fail = &ignored;

    if (ngx_autocert_store_chain_text(store, name, &dir, &text) != NGX_OK) {
        return NGX_DECLINED;
    }

    pair->chain = ngx_autocert_glance_chain(&text);
    ngx_autocert_store_file_free(&text);

    rc = NGX_DECLINED;

    if (pair->chain
        && ngx_autocert_store_key_match(&dir, NGX_AUTOCERT_STORE_KEY,
                                        pair->chain, &pair->key, &st)
           == NGX_OK)
    {
        rc = NGX_OK;
    }

    ngx_autocert_store_dir_close(&dir);

    if (rc != NGX_OK) {
        ngx_autocert_store_pair_free(pair);
    }

    return rc;
}


/* The text of the name's chain; the directory is open then, and only then. */

static ngx_int_t
ngx_autocert_store_chain_text(ngx_autocert_store_t *store, ngx_str_t *name,
    ngx_autocert_store_dir_t *dir, ngx_str_t *text)
{
    if (ngx_autocert_store_dir(store, name, dir, 0) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (ngx_autocert_store_file_read(dir, NGX_AUTOCERT_STORE_CHAIN,
                                     NGX_AUTOCERT_STORE_PUBLIC, text, NULL)
        == NGX_OK)
    {
        return NGX_OK;
    }

    ngx_autocert_store_dir_close(dir);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_autocert_store_chain_read(ngx_autocert_store_dir_t *dir,
    ngx_autocert_chain_t **chain, struct stat *info)
{
    char       *err;
    ngx_int_t   rc;
    ngx_str_t   text;

    *chain = NULL;
    err = "";

    rc = ngx_autocert_store_file_read(dir, NGX_AUTOCERT_STORE_CHAIN,
                                      NGX_AUTOCERT_STORE_PUBLIC, &text, info);
    if (rc != NGX_OK) {
        return rc;
    }

    *chain = ngx_autocert_x509_chain_parse(&text, &err);

    ngx_autocert_store_file_free(&text);

    if (*chain == NULL) {
        return ngx_autocert_store_file_damaged(dir, NGX_AUTOCERT_STORE_CHAIN,
                                        "is not a certificate chain: ", err);
    }

    return NGX_OK;
}


/* NGX_OK; NGX_DECLINED: no such file; NGX_ERROR: no key, or of another. */

static ngx_int_t
ngx_autocert_store_key_match(ngx_autocert_store_dir_t *dir, const char *file,
    ngx_autocert_chain_t *chain, EVP_PKEY **key, struct stat *info)
{
    u_char     id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t  rc;

    rc = ngx_autocert_store_file_key(dir, file, key, info);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_key_id(*key, id);

    /* NOLINTNEXTLINE(clang-analyzer-*): a chain that was read is there */
    if (rc == NGX_OK && ngx_memcmp(id, chain->id, NGX_AUTOCERT_KEY_ID) == 0) {
        return NGX_OK;
    }

    EVP_PKEY_free(*key);
    *key = NULL;

    if (rc != NGX_OK) {
        return ngx_autocert_store_file_failed(dir, file, "read", ENOMEM);
    }

    return ngx_autocert_store_file_damaged(dir, file,
                    "is not the key of the certificate in fullchain.pem; put "
                    "the two files of one pair there, or remove both", NULL);
}


/* The second half of a commit, if the two files still are those read. */

static ngx_int_t
ngx_autocert_store_finish(ngx_autocert_store_dir_t *dir, struct stat *chain,
    struct stat *next)
{
    ngx_int_t  rc;

    (void) pthread_mutex_lock(&ngx_autocert_store_mutex);

    rc = ngx_autocert_store_is(dir, NGX_AUTOCERT_STORE_CHAIN, chain);

    if (rc == NGX_OK) {
        rc = ngx_autocert_store_is(dir, NGX_AUTOCERT_STORE_NEXT, next);
    }

    if (rc == NGX_DECLINED) {
        rc = NGX_OK;

    } else if (rc == NGX_OK) {

        /* fullchain.pem must be on the disk before the old key goes */

        rc = ngx_autocert_store_dir_sync(dir);

        if (rc == NGX_OK) {
            rc = ngx_autocert_store_file_rename(dir, NGX_AUTOCERT_STORE_NEXT,
                                                NGX_AUTOCERT_STORE_KEY);
        }

        if (rc == NGX_OK) {
            rc = ngx_autocert_store_dir_sync(dir);
        }
    }

    (void) pthread_mutex_unlock(&ngx_autocert_store_mutex);

    return rc;
}


/* NGX_OK; NGX_DECLINED: another, or none; NGX_ERROR: cannot be looked at. */

static ngx_int_t
ngx_autocert_store_is(ngx_autocert_store_dir_t *dir, const char *file,
    struct stat *info)
{
    struct stat  st;

    if (fstatat(dir->fd, file, &st, AT_SYMLINK_NOFOLLOW) == -1) {

        if (errno == ENOENT) {
            return NGX_DECLINED;
        }

        return ngx_autocert_store_file_failed(dir, file, "look at", errno);
    }

    return st.st_dev == info->st_dev
           && st.st_ino == info->st_ino
           && st.st_size == info->st_size
           && st.st_mtim.tv_sec == info->st_mtim.tv_sec
           && st.st_mtim.tv_nsec == info->st_mtim.tv_nsec
           ? NGX_OK : NGX_DECLINED;
}


/*
 * Before privkey.next.pem is replaced or removed: after a commit that was
 * interrupted it is the only key of fullchain.pem.  What could not be read
 * may be that chain, or that key.
 */

static ngx_int_t
ngx_autocert_store_settle(ngx_autocert_store_dir_t *dir)
{
    ngx_int_t            rc;
    struct stat          st, chain;
    ngx_autocert_pair_t  pair;

    pair.key = NULL;

    rc = ngx_autocert_store_chain_read(dir, &pair.chain, &chain);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED || dir->fail->damaged) ? NGX_OK : NGX_ERROR;
    }

    rc = ngx_autocert_store_key_match(dir, NGX_AUTOCERT_STORE_KEY, pair.chain,
                                      &pair.key, &st);

    if (rc != NGX_OK) {
        rc = ngx_autocert_store_key_match(dir, NGX_AUTOCERT_STORE_NEXT,
                                          pair.chain, &pair.key, &st);

        if (rc == NGX_OK) {
            rc = ngx_autocert_store_finish(dir, &chain, &st);

        } else if (rc == NGX_DECLINED || dir->fail->damaged) {
            rc = NGX_OK;
        }
    }

    ngx_autocert_store_pair_free(&pair);

    return rc;
}


ngx_int_t
ngx_autocert_store_complete(ngx_autocert_store_t *store, ngx_str_t *name)
{
    ngx_int_t                 rc;
    struct stat               st;
    ngx_autocert_fail_t       ignored;
    ngx_autocert_store_dir_t  dir;

    dir.pool = NULL;
    dir.fail = &ignored;

    rc = ngx_autocert_store_dir(store, name, &dir, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    if (fstatat(dir.fd, NGX_AUTOCERT_STORE_NEXT, &st, AT_SYMLINK_NOFOLLOW)
        == -1)
    {
        rc = (errno == ENOENT) ? NGX_DECLINED : NGX_ERROR;

    } else {
        rc = ngx_autocert_store_settle(&dir);

        /* that of an order that is under way is where it was */

        if (rc == NGX_OK) {
            rc = ngx_autocert_store_is(&dir, NGX_AUTOCERT_STORE_NEXT, &st);

            if (rc != NGX_ERROR) {
                rc = (rc == NGX_OK) ? NGX_DECLINED : NGX_OK;
            }
        }
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_chain(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_chain_t **chain, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_autocert_store_dir_t  dir;

    *chain = NULL;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_chain_read(&dir, chain, NULL);

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


void
ngx_autocert_store_stamp(ngx_autocert_store_t *store, ngx_str_t *name,
    ngx_autocert_stamp_t *stamp)
{
    char  segment[NGX_AUTOCERT_STORE_NAME];

    ngx_memzero(stamp, sizeof(ngx_autocert_stamp_t));

    if (ngx_autocert_store_file_segment(name, segment) != NGX_OK) {
        return;
    }

    ngx_autocert_store_stamp_file(store->fd, segment,
                                  NGX_AUTOCERT_STORE_CHAIN, stamp->chain);
    ngx_autocert_store_stamp_file(store->fd, segment,
                                  NGX_AUTOCERT_STORE_KEY, stamp->key);
}


static void
ngx_autocert_store_stamp_file(int fd, const char *name, const char *file,
    uint64_t stamp[4])
{
    u_char       path[NGX_AUTOCERT_STORE_NAME * 2];
    struct stat  st;

    *ngx_snprintf(path, sizeof(path) - 1, "%s/%s", name, file) = '\0';

    if (fstatat(fd, (char *) path, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return;
    }

    /* ctime sees what mtime does, and a mode or an owner that was mended */

    stamp[0] = (uint64_t) st.st_dev;
    stamp[1] = (uint64_t) st.st_ino;
    stamp[2] = (uint64_t) st.st_ctim.tv_sec * 1000000000
               + (uint64_t) st.st_ctim.tv_nsec;
    stamp[3] = (uint64_t) st.st_size;
}


ngx_int_t
ngx_autocert_store_set_aside(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_autocert_store_dir_t  dir;
    ngx_autocert_store_bad_t  bad[2];

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 0);
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    bad[0].file = NGX_AUTOCERT_STORE_CHAIN;
    bad[1].file = NGX_AUTOCERT_STORE_KEY;

    ngx_autocert_store_bad(&dir, bad);

    for (i = 0; i < 2; i++) {

        if (renameat(dir.fd, bad[i].file, dir.fd, (char *) bad[i].name) == -1
            && errno != ENOENT)
        {
            rc = ngx_autocert_store_file_failed(&dir, bad[i].file,
                                                "set aside", errno);
            goto done;
        }
    }

    rc = ngx_autocert_store_dir_sync(&dir);

done:

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


/*
 * Names that neither file of a pair has been set aside as: one of them may
 * hold the only copy of a key.  All but the last are for good.
 */

static void
ngx_autocert_store_bad(ngx_autocert_store_dir_t *dir,
    ngx_autocert_store_bad_t bad[2])
{
    const char  *format;
    ngx_uint_t   i, n, taken;
    struct stat  st;

    for (n = 1; n <= NGX_AUTOCERT_STORE_BAD; n++) {

        format = (n == 1) ? "%s.bad%Z" : "%s.bad.%ui%Z";
        taken = 0;

        for (i = 0; i < 2; i++) {
            (void) ngx_snprintf(bad[i].name, sizeof(bad[i].name), format,
                                bad[i].file, n);

            if (fstatat(dir->fd, (char *) bad[i].name, &st,
                        AT_SYMLINK_NOFOLLOW)
                == 0
                || errno != ENOENT)
            {
                taken = 1;
            }
        }

        if (!taken) {
            return;
        }
    }
}


ngx_int_t
ngx_autocert_store_next_get(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, EVP_PKEY **key, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_autocert_store_dir_t  dir;

    *key = NULL;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_file_key(&dir, NGX_AUTOCERT_STORE_NEXT, key,
                                     NULL);

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


ngx_int_t
ngx_autocert_store_next_put(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, EVP_PKEY *key, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_autocert_store_dir_t  dir;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    if (store->lock != -1) {
        ngx_autocert_store_dir_sweep(&dir);
    }

    rc = ngx_autocert_store_settle(&dir);

    if (rc == NGX_OK) {
        (void) pthread_mutex_lock(&ngx_autocert_store_mutex);

        rc = ngx_autocert_store_file_key_write(&dir, NGX_AUTOCERT_STORE_NEXT,
                                               key);

        (void) pthread_mutex_unlock(&ngx_autocert_store_mutex);
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


void
ngx_autocert_store_next_drop(ngx_autocert_store_t *store, ngx_str_t *name)
{
    ngx_autocert_fail_t       ignored;
    ngx_autocert_store_dir_t  dir;

    dir.pool = NULL;
    dir.fail = &ignored;

    if (ngx_autocert_store_dir(store, name, &dir, 0) != NGX_OK) {
        return;
    }

    if (ngx_autocert_store_settle(&dir) == NGX_OK) {
        (void) pthread_mutex_lock(&ngx_autocert_store_mutex);

        (void) unlinkat(dir.fd, NGX_AUTOCERT_STORE_NEXT, 0);

        (void) pthread_mutex_unlock(&ngx_autocert_store_mutex);

        (void) ngx_autocert_store_dir_sync(&dir);
    }

    ngx_autocert_store_dir_close(&dir);
}


ngx_int_t
ngx_autocert_store_commit(ngx_autocert_store_t *store, ngx_pool_t *pool,
    ngx_str_t *name, ngx_str_t *chain, ngx_autocert_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_autocert_store_dir_t  dir;

    dir.pool = pool;
    dir.fail = fail;

    rc = ngx_autocert_store_dir(store, name, &dir, 0);

    if (rc == NGX_DECLINED) {
        return ngx_autocert_store_file_failed(&dir, NULL, "open", ENOENT);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_autocert_store_commit_check(&dir, chain);

    if (rc == NGX_OK) {
        rc = ngx_autocert_store_commit_write(&dir, chain);
    }

    ngx_autocert_store_dir_close(&dir);

    return rc;
}


/*
 * The key as it is on the disk: a chain without it would replace a pair that
 * works by none.
 */

static ngx_int_t
ngx_autocert_store_commit_check(ngx_autocert_store_dir_t *dir,
    ngx_str_t *chain)
{
    char                 *err;
    u_char                id[NGX_AUTOCERT_KEY_ID];
    ngx_int_t             rc;
    ngx_autocert_pair_t   pair;

    err = "";

    rc = ngx_autocert_store_file_key(dir, NGX_AUTOCERT_STORE_NEXT, &pair.key,
                                     NULL);

    if (rc == NGX_DECLINED) {
        return ngx_autocert_store_file_failed(dir, NGX_AUTOCERT_STORE_NEXT,
                                              "open", ENOENT);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    pair.chain = ngx_autocert_x509_chain_parse(chain, &err);

    if (pair.chain == NULL) {
        rc = ngx_autocert_store_file_refuse(dir, NGX_AUTOCERT_STORE_CHAIN,
                                    "would not be a certificate chain: ", err);

    } else if (ngx_autocert_key_id(pair.key, id) != NGX_OK
               || ngx_memcmp(id, pair.chain->id, NGX_AUTOCERT_KEY_ID) != 0)
    {
        rc = ngx_autocert_store_file_refuse(dir, NGX_AUTOCERT_STORE_NEXT,
                        "is not the key of the certificate that came", NULL);
    }

    ngx_autocert_store_pair_free(&pair);

    return rc;
}


static ngx_int_t
ngx_autocert_store_commit_write(ngx_autocert_store_dir_t *dir,
    ngx_str_t *chain)
{
    char       temp[NGX_AUTOCERT_STORE_TEMP];
    ngx_int_t  rc;

    rc = ngx_autocert_store_file_temp(dir, NGX_AUTOCERT_STORE_CHAIN,
                                      NGX_AUTOCERT_STORE_PUBLIC, chain, temp);
    if (rc != NGX_OK) {
        return rc;
    }

    (void) pthread_mutex_lock(&ngx_autocert_store_mutex);

    rc = ngx_autocert_store_file_rename(dir, temp, NGX_AUTOCERT_STORE_CHAIN);

    if (rc != NGX_OK) {
        (void) unlinkat(dir->fd, temp, 0);
        goto done;
    }

    /*
     * Renames may reach the disk in any order, and the old chain with the
     * new key, the old key gone, is the one state the loader cannot mend.
     */

    rc = ngx_autocert_store_dir_sync(dir);
    if (rc != NGX_OK) {
        goto done;
    }

    rc = ngx_autocert_store_file_rename(dir, NGX_AUTOCERT_STORE_NEXT,
                                        NGX_AUTOCERT_STORE_KEY);
    if (rc != NGX_OK) {
        goto done;
    }

    rc = ngx_autocert_store_dir_sync(dir);

done:

    (void) pthread_mutex_unlock(&ngx_autocert_store_mutex);

    return rc;
}
