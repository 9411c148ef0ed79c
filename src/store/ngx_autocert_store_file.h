
/*
 * The store's own: directories and files by descriptor, without following
 * links, each checked before a byte of it is read.
 */


#ifndef _NGX_AUTOCERT_STORE_FILE_H_INCLUDED_
#define _NGX_AUTOCERT_STORE_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_store.h"


#define NGX_AUTOCERT_STORE_SIZE    65536    /* bytes of a file */
#define NGX_AUTOCERT_STORE_NAME    256      /* a path segment and its NUL */
#define NGX_AUTOCERT_STORE_TEMP    64       /* a temporary name and its NUL */

#define NGX_AUTOCERT_STORE_PUBLIC  0        /* others may read it */
#define NGX_AUTOCERT_STORE_SECRET  1


/* A directory that is open; pool is NULL where nobody is to be told why. */

typedef struct {
    int                   fd;
    ngx_str_t             path;     /* for messages */
    ngx_pool_t           *pool;
    ngx_autocert_fail_t  *fail;
} ngx_autocert_store_dir_t;


#pragma GCC visibility push(hidden)

/* Both fill dir->fail and return NGX_ERROR.  name NULL: dir itself. */
ngx_int_t ngx_autocert_store_file_failed(ngx_autocert_store_dir_t *dir,
    const char *name, const char *what, int err);
ngx_int_t ngx_autocert_store_file_refuse(ngx_autocert_store_dir_t *dir,
    const char *name, const char *text, const char *reason);

/* Likewise: it was read, and what is in it is wrong; sets damaged. */
ngx_int_t ngx_autocert_store_file_damaged(ngx_autocert_store_dir_t *dir,
    const char *name, const char *text, const char *reason);

/* Type, owner, mode and size of an open file. */
ngx_int_t ngx_autocert_store_file_check(ngx_autocert_store_dir_t *dir,
    const char *name, struct stat *st, ngx_uint_t secret);

/* Copies a name into buf[NGX_AUTOCERT_STORE_NAME] if it is a safe segment. */
ngx_int_t ngx_autocert_store_file_segment(ngx_str_t *name, char *buf);

/* Owner and mode of the open directory. */
ngx_int_t ngx_autocert_store_dir_check(ngx_autocert_store_dir_t *dir,
    ngx_uint_t root);

/*
 * Opens name in the directory parent, whose path is given for messages; pool
 * and fail of dir are set.  NGX_DECLINED: absent, and not to be created.
 */
ngx_int_t ngx_autocert_store_dir_open(ngx_autocert_store_dir_t *dir,
    int parent, ngx_str_t *path, const char *name, ngx_uint_t create);

/* The directory of a name, likewise; NGX_ERROR also if it is no segment. */
ngx_int_t ngx_autocert_store_dir(ngx_autocert_store_t *store,
    ngx_str_t *name, ngx_autocert_store_dir_t *dir, ngx_uint_t create);
void ngx_autocert_store_dir_close(ngx_autocert_store_dir_t *dir);
ngx_int_t ngx_autocert_store_dir_sync(ngx_autocert_store_dir_t *dir);

/* Removes what writers that crashed left behind. */
void ngx_autocert_store_dir_sweep(ngx_autocert_store_dir_t *dir);

/*
 * Reads a file whole; text is to be freed by ngx_autocert_store_file_free(),
 * which cleanses it.  info may be NULL.  NGX_DECLINED: absent.
 */
ngx_int_t ngx_autocert_store_file_read(ngx_autocert_store_dir_t *dir,
    const char *name, ngx_uint_t secret, ngx_str_t *text, struct stat *info);
void ngx_autocert_store_file_free(ngx_str_t *text);

/* Writes and syncs text under a new name, which goes into temp. */
ngx_int_t ngx_autocert_store_file_temp(ngx_autocert_store_dir_t *dir,
    const char *name, ngx_uint_t secret, ngx_str_t *text,
    char temp[NGX_AUTOCERT_STORE_TEMP]);

/* Replaces a file in one step; on the disk when it returns NGX_OK. */
ngx_int_t ngx_autocert_store_file_write(ngx_autocert_store_dir_t *dir,
    const char *name, ngx_uint_t secret, ngx_str_t *text);

ngx_int_t ngx_autocert_store_file_rename(ngx_autocert_store_dir_t *dir,
    const char *from, const char *to);

/* A private key.  Returns as file_read; also NGX_ERROR if it is no key. */
ngx_int_t ngx_autocert_store_file_key(ngx_autocert_store_dir_t *dir,
    const char *name, EVP_PKEY **key, struct stat *info);
ngx_int_t ngx_autocert_store_file_key_write(ngx_autocert_store_dir_t *dir,
    const char *name, EVP_PKEY *key);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_STORE_FILE_H_INCLUDED_ */
