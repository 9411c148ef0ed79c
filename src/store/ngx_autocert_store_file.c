
#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_x509.h"
#include "ngx_autocert_store_file.h"


#define NGX_AUTOCERT_STORE_TEMPS   32


static ngx_uint_t ngx_autocert_store_file_own(ngx_str_t *name);
static ngx_int_t ngx_autocert_store_file_owner(ngx_autocert_store_dir_t *dir,
    const char *name, struct stat *st, ngx_uint_t root);
static ngx_int_t ngx_autocert_store_file_fill(ngx_autocert_store_dir_t *dir,
    const char *name, int fd, ngx_str_t *text);
static int ngx_autocert_store_file_put(int fd, ngx_uint_t secret,
    ngx_str_t *text);


ngx_int_t
ngx_autocert_store_file_failed(ngx_autocert_store_dir_t *dir,
    const char *name, const char *what, int err)
{
    char        *text, buf[256];
    ngx_uint_t   kind;

#if (defined __GLIBC__)

    text = strerror_r(err, buf, sizeof(buf));

#else

    text = strerror_r(err, buf, sizeof(buf)) == 0 ? buf : "unknown error";

#endif

    switch (err) {

    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EISDIR:
    case ENOSPC:
    case EDQUOT:
        kind = NGX_AUTOCERT_FAIL_CONFIGURATION;
        break;

    default:
        kind = NGX_AUTOCERT_FAIL_INTERNAL;
    }

    return ngx_autocert_fail(dir->fail, dir->pool, kind,
                             "could not %s \"%V%s%s\": %s (%d)", what,
                             &dir->path, name ? "/" : "", name ? name : "",
                             text, err);
}


ngx_int_t
ngx_autocert_store_file_refuse(ngx_autocert_store_dir_t *dir,
    const char *name, const char *text, const char *reason)
{
    return ngx_autocert_fail(dir->fail, dir->pool,
                             NGX_AUTOCERT_FAIL_CONFIGURATION,
                             "\"%V%s%s\" %s%s", &dir->path,
                             name ? "/" : "", name ? name : "", text,
                             reason ? reason : "");
}


ngx_int_t
ngx_autocert_store_file_damaged(ngx_autocert_store_dir_t *dir,
    const char *name, const char *text, const char *reason)
{
    /* of a parser: says nothing about what it was given */

    if (reason && ngx_strcmp(reason, "out of memory") == 0) {
        return ngx_autocert_store_file_failed(dir, name, "read", ENOMEM);
    }

    (void) ngx_autocert_store_file_refuse(dir, name, text, reason);

    dir->fail->damaged = 1;

    return NGX_ERROR;
}


ngx_int_t
ngx_autocert_store_file_segment(ngx_str_t *name, char *buf)
{
    size_t  i;

    if (name->len == 0
        || name->len >= NGX_AUTOCERT_STORE_NAME
        || (name->data[0] == '.' && !ngx_autocert_store_file_own(name)))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < name->len; i++) {
        if (name->data[i] == '/' || name->data[i] == '\0') {
            return NGX_DECLINED;
        }

        buf[i] = (char) name->data[i];
    }

    buf[i] = '\0';

    return NGX_OK;
}


static ngx_uint_t
ngx_autocert_store_file_own(ngx_str_t *name)
{
    return name->len == sizeof(NGX_AUTOCERT_STORE_CHALLENGE) - 1
           && ngx_strncmp(name->data, NGX_AUTOCERT_STORE_CHALLENGE, name->len)
              == 0;
}


static ngx_int_t
ngx_autocert_store_file_owner(ngx_autocert_store_dir_t *dir,
    const char *name, struct stat *st, ngx_uint_t root)
{
    uid_t  uid;

    uid = geteuid();

    if (st->st_uid == uid || (root && st->st_uid == 0)) {
        return NGX_OK;
    }

    return ngx_autocert_fail(dir->fail, dir->pool,
                             NGX_AUTOCERT_FAIL_CONFIGURATION,
                             "\"%V%s%s\" belongs to the user with id %ui; "
                             "run: chown %ui \"%V%s%s\"",
                             &dir->path, name ? "/" : "", name ? name : "",
                             (ngx_uint_t) st->st_uid, (ngx_uint_t) uid,
                             &dir->path, name ? "/" : "", name ? name : "");
}


ngx_int_t
ngx_autocert_store_file_check(ngx_autocert_store_dir_t *dir,
    const char *name, struct stat *st, ngx_uint_t secret)
{
    if (!S_ISREG(st->st_mode)) {
        return ngx_autocert_store_file_refuse(dir, name,
                                              "is not a regular file", NULL);
    }

    if (ngx_autocert_store_file_owner(dir, name, st, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    if (st->st_mode & (secret ? 077 : 022)) {
        return ngx_autocert_fail(dir->fail, dir->pool,
                                 NGX_AUTOCERT_FAIL_CONFIGURATION,
                                 "\"%V/%s\" is open to users other than its "
                                 "owner; run: chmod %s \"%V/%s\"",
                                 &dir->path, name, secret ? "600" : "644",
                                 &dir->path, name);
    }

    if (st->st_size > NGX_AUTOCERT_STORE_SIZE) {
        return ngx_autocert_store_file_damaged(dir, name,
                              "is larger than 65536 bytes and not read", NULL);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_dir_check(ngx_autocert_store_dir_t *dir, ngx_uint_t root)
{
    struct stat  st;

    if (fstat(dir->fd, &st) == -1) {
        return ngx_autocert_store_file_failed(dir, NULL, "look at", errno);
    }

    if (ngx_autocert_store_file_owner(dir, NULL, &st, root) != NGX_OK) {
        return NGX_ERROR;
    }

    if ((st.st_mode & 022) == 0) {
        return NGX_OK;
    }

    return ngx_autocert_fail(dir->fail, dir->pool,
                             NGX_AUTOCERT_FAIL_CONFIGURATION,
                             "the directory \"%V\" may be written by users "
                             "other than its owner; run: chmod 700 \"%V\"",
                             &dir->path, &dir->path);
}


ngx_int_t
ngx_autocert_store_dir_open(ngx_autocert_store_dir_t *dir, int parent,
    ngx_str_t *path, const char *name, ngx_uint_t create)
{
    int      flags, err;
    u_char  *p;

    dir->fd = -1;
    ngx_str_null(&dir->path);

    if (dir->pool) {
        p = ngx_pnalloc(dir->pool, path->len + 1 + ngx_strlen(name));
        if (p == NULL) {
            dir->path = *path;
            return ngx_autocert_store_file_failed(dir, name, "open", ENOMEM);
        }

        dir->path.data = p;
        p = ngx_cpymem(p, path->data, path->len);
        *p++ = '/';
        p = ngx_cpymem(p, name, ngx_strlen(name));
        dir->path.len = p - dir->path.data;
    }

    flags = O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC;

    dir->fd = openat(parent, name, flags);

    if (dir->fd == -1 && errno == ENOENT) {

        if (!create) {
            return NGX_DECLINED;
        }

        if (mkdirat(parent, name, 0700) == -1 && errno != EEXIST) {
            return ngx_autocert_store_file_failed(dir, NULL,
                                                  "make the directory", errno);
        }

        /* else a power cut could take it with what is synced inside */

        if (fsync(parent) == -1 && errno != EINVAL) {
            err = errno;

            (void) unlinkat(parent, name, AT_REMOVEDIR);
            return ngx_autocert_store_file_failed(dir, NULL, "sync", err);
        }

        dir->fd = openat(parent, name, flags);
    }

    if (dir->fd == -1) {
        err = errno;

        if (err == ENOTDIR || err == ELOOP) {
            return ngx_autocert_store_file_refuse(dir, NULL,
                      "is not a directory (links are not followed here)",
                      NULL);
        }

        return ngx_autocert_store_file_failed(dir, NULL, "open", err);
    }

    if (ngx_autocert_store_dir_check(dir, 1) != NGX_OK) {
        ngx_autocert_store_dir_close(dir);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_dir(ngx_autocert_store_t *store, ngx_str_t *name,
    ngx_autocert_store_dir_t *dir, ngx_uint_t create)
{
    char  segment[NGX_AUTOCERT_STORE_NAME];

    if (ngx_autocert_store_file_segment(name, segment) != NGX_OK) {
        dir->fd = -1;
        dir->path = store->path;
        return ngx_autocert_store_file_refuse(dir, NULL,
                           "cannot hold a name with these characters", NULL);
    }

    return ngx_autocert_store_dir_open(dir, store->fd, &store->path, segment,
                                       create);
}


void
ngx_autocert_store_dir_close(ngx_autocert_store_dir_t *dir)
{
    if (dir->fd != -1) {
        (void) close(dir->fd);
        dir->fd = -1;
    }
}


ngx_int_t
ngx_autocert_store_dir_sync(ngx_autocert_store_dir_t *dir)
{
    /* EINVAL: a file system that cannot, such as some of the network */

    if (fsync(dir->fd) == -1 && errno != EINVAL) {
        return ngx_autocert_store_file_failed(dir, NULL, "sync", errno);
    }

    return NGX_OK;
}


void
ngx_autocert_store_dir_sweep(ngx_autocert_store_dir_t *dir)
{
    int             fd;
    DIR            *d;
    struct dirent  *de;

    fd = openat(dir->fd, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    d = fdopendir(fd);
    if (d == NULL) {
        (void) close(fd);
        return;
    }

    for ( ;; ) {
        de = readdir(d);
        if (de == NULL) {
            break;
        }

        if (ngx_strncmp(de->d_name, ".tmp.", 5) == 0) {
            (void) unlinkat(dir->fd, de->d_name, 0);
        }
    }

    (void) closedir(d);
}


ngx_int_t
ngx_autocert_store_file_read(ngx_autocert_store_dir_t *dir, const char *name,
    ngx_uint_t secret, ngx_str_t *text, struct stat *info)
{
    int          fd, err;
    ngx_int_t    rc;
    struct stat  st;

    /* O_NONBLOCK: a FIFO must not keep us waiting for its writer */

    fd = openat(dir->fd, name,
                O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1) {
        err = errno;

        if (err == ENOENT) {
            return NGX_DECLINED;
        }

        /* a socket, or a device that is not there */

        if (err == ENXIO || err == ENODEV) {
            return ngx_autocert_store_file_refuse(dir, name,
                                              "is not a regular file", NULL);
        }

        if (err == ELOOP) {
            return ngx_autocert_store_file_refuse(dir, name,
                      "is a symbolic link, which is not followed here; "
                      "put a copy of the file there", NULL);
        }

        return ngx_autocert_store_file_failed(dir, name, "open", err);
    }

    if (fstat(fd, &st) == -1) {
        rc = ngx_autocert_store_file_failed(dir, name, "look at", errno);
        goto done;
    }

    rc = ngx_autocert_store_file_check(dir, name, &st, secret);
    if (rc != NGX_OK) {
        goto done;
    }

    text->len = (size_t) st.st_size;

    rc = ngx_autocert_store_file_fill(dir, name, fd, text);

    if (info) {
        *info = st;
    }

done:

    (void) close(fd);

    return rc;
}


static ngx_int_t
ngx_autocert_store_file_fill(ngx_autocert_store_dir_t *dir, const char *name,
    int fd, ngx_str_t *text)
{
    int      err;
    size_t   len, size;
    ssize_t  n;

    len = 0;
    size = text->len;

    /* one byte more than told, to see a file that grows */

    text->data = OPENSSL_malloc(size + 1);
    if (text->data == NULL) {
        return ngx_autocert_store_file_failed(dir, name, "read", ENOMEM);
    }

    while (len <= size) {
        n = read(fd, text->data + len, size + 1 - len);

        if (n == -1) {
            err = errno;

            if (err == EINTR) {
                continue;
            }

            ngx_autocert_store_file_free(text);
            return ngx_autocert_store_file_failed(dir, name, "read", err);
        }

        if (n == 0) {
            break;
        }

        len += n;
    }

    if (len != size) {
        ngx_autocert_store_file_free(text);
        return ngx_autocert_fail(dir->fail, dir->pool,
                                 NGX_AUTOCERT_FAIL_INTERNAL,
                                 "\"%V/%s\" was changed while it was read",
                                 &dir->path, name);
    }

    return NGX_OK;
}


void
ngx_autocert_store_file_free(ngx_str_t *text)
{
    OPENSSL_clear_free(text->data, text->len + 1);
    ngx_str_null(text);
}


ngx_int_t
ngx_autocert_store_file_temp(ngx_autocert_store_dir_t *dir, const char *name,
    ngx_uint_t secret, ngx_str_t *text, char temp[NGX_AUTOCERT_STORE_TEMP])
{
    int         fd, err;
    ngx_uint_t  i;

    for (i = 0; /* void */ ; i++) {

        /* the dot keeps it apart from the names of certificates */

        *ngx_snprintf((u_char *) temp, NGX_AUTOCERT_STORE_TEMP - 1,
                      ".tmp.%P.%ui", getpid(), i) = '\0';

        fd = openat(dir->fd, temp,
                    O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);

        if (fd != -1) {
            break;
        }

        err = errno;

        if (err != EEXIST || i == NGX_AUTOCERT_STORE_TEMPS) {
            return ngx_autocert_store_file_failed(dir, name, "write", err);
        }
    }

    err = ngx_autocert_store_file_put(fd, secret, text);

    if (close(fd) == -1 && err == 0) {
        err = errno;
    }

    if (err) {
        (void) unlinkat(dir->fd, temp, 0);
        return ngx_autocert_store_file_failed(dir, name, "write", err);
    }

    return NGX_OK;
}


static int
ngx_autocert_store_file_put(int fd, ngx_uint_t secret, ngx_str_t *text)
{
    size_t   len;
    ssize_t  n;

    /* the mode must not depend on the umask */

    if (fchmod(fd, secret ? 0600 : 0644) == -1) {
        return errno;
    }

    for (len = 0; len < text->len; len += n) {
        n = write(fd, text->data + len, text->len - len);

        if (n == -1) {
            if (errno != EINTR) {
                return errno;
            }

            n = 0;
        }
    }

    if (fsync(fd) == -1) {
        return errno;
    }

    return 0;
}


ngx_int_t
ngx_autocert_store_file_write(ngx_autocert_store_dir_t *dir, const char *name,
    ngx_uint_t secret, ngx_str_t *text)
{
    char  temp[NGX_AUTOCERT_STORE_TEMP];

    if (ngx_autocert_store_file_temp(dir, name, secret, text, temp)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_store_file_rename(dir, temp, name) != NGX_OK) {
        (void) unlinkat(dir->fd, temp, 0);
        return NGX_ERROR;
    }

    return ngx_autocert_store_dir_sync(dir);
}


ngx_int_t
ngx_autocert_store_file_rename(ngx_autocert_store_dir_t *dir,
    const char *from, const char *to)
{
    if (renameat(dir->fd, from, dir->fd, to) == -1) {
        return ngx_autocert_store_file_failed(dir, to, "replace", errno);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_file_key(ngx_autocert_store_dir_t *dir, const char *name,
    EVP_PKEY **key, struct stat *info)
{
    char       *err;
    ngx_int_t   rc;
    ngx_str_t   text;

    *key = NULL;
    err = "";

    rc = ngx_autocert_store_file_read(dir, name, NGX_AUTOCERT_STORE_SECRET,
                                      &text, info);
    if (rc != NGX_OK) {
        return rc;
    }

    *key = ngx_autocert_key_parse(&text, &err);

    ngx_autocert_store_file_free(&text);

    if (*key == NULL) {
        return ngx_autocert_store_file_damaged(dir, name,
                                        "is not a key of use here: ", err);
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_store_file_key_write(ngx_autocert_store_dir_t *dir,
    const char *name, EVP_PKEY *key)
{
    ngx_int_t  rc;
    ngx_str_t  pem;

    if (ngx_autocert_key_write(key, &pem) != NGX_OK) {
        return ngx_autocert_store_file_failed(dir, name,
                                              "encode the key for", EINVAL);
    }

    rc = ngx_autocert_store_file_write(dir, name, NGX_AUTOCERT_STORE_SECRET,
                                       &pem);

    ngx_autocert_pem_free(&pem);

    return rc;
}
