
/*
 * Certificates, keys, accounts and the state of names on disk.
 *
 *     <path>/.lock                     one client at a time on this host
 *     <path>/.accounts/<hash of URL>/  account.key, account.json, state.json
 *     <path>/.accounts/<hash of URL>/issued/<name>.json
 *     <path>/<name>/privkey.pem        fullchain.pem
 *     <path>/<name>/privkey.next.pem   the key of the order under way
 *     <path>/<name>/state.json
 *     <path>/.challenge/               a pair: what answers TLS-ALPN-01
 *     <path>/.challenge/state.json     the name that was last to be validated
 *
 * Everything is opened relative to a directory descriptor, without following
 * links; a file of a wrong owner, mode or type is refused.  Blocking; may be
 * called from several threads on one store, each with a pool of its own, as
 * long as only one of them writes.
 */


#ifndef _NGX_AUTOCERT_STORE_H_INCLUDED_
#define _NGX_AUTOCERT_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_fail.h"
#include "../base/ngx_autocert_x509.h"


#define NGX_AUTOCERT_STORE_ISSUED   8
#define NGX_AUTOCERT_STORE_SLOTS    20
#define NGX_AUTOCERT_STORE_DOMAINS  16

/* The one "name" that begins with a dot. */
#define NGX_AUTOCERT_STORE_CHALLENGE  ".challenge"


typedef struct {
    int         fd;             /* of path, -1 if not open */
    int         lock;           /* of .lock, -1 if not held */
    ngx_str_t   path;           /* for messages; NUL-terminated */
} ngx_autocert_store_t;


/* A chain and the key that belongs to it. */

typedef struct {
    ngx_autocert_chain_t  *chain;
    EVP_PKEY              *key;
} ngx_autocert_pair_t;


/* Changes whenever one of the two files of a pair is replaced or rewritten. */

typedef struct {
    uint64_t    chain[4];       /* device, inode, ctime in ns, size; 0: none */
    uint64_t    key[4];
} ngx_autocert_stamp_t;


/* What is remembered of a name: state.json.  Empty strings and 0: not set. */

typedef struct {
    /* of the pair on disk, as long as its key is this one */
    ngx_str_t   key;            /* id of the key, base64url */
    ngx_str_t   issuer;         /* directory URL of the CA that gave it */
    ngx_str_t   account;        /* URL of the account that it was given to */
    time_t      issued_at;
    time_t      window_start;   /* RFC 9773, 4.1; 0: none is known */
    time_t      window_end;
    time_t      renew_at;       /* an instant in the window, chosen once */
    time_t      look_at;        /* the window is asked for again */
    ngx_uint_t  looks;          /* such questions failed, in a row */

    /* of the next pair */
    ngx_str_t   ca;             /* directory URL that these belong to */
    ngx_uint_t  setup;          /* CRC-32 of the configuration, likewise */
    ngx_str_t   order;          /* URL of the order under way */
    ngx_str_t   challenge;      /* its type; or what is to be tried next */
    ngx_str_t   token;          /* of its challenge, once it is answerable */
    ngx_str_t   next_key;       /* id of its key, before a commit */
    ngx_str_t   next_account;   /* URL of the account that ordered it */
    ngx_uint_t  tries;          /* begun, in a row, with no end of any kind */
    ngx_uint_t  failures;       /* in a row */
    time_t      next_attempt;   /* not before */
    ngx_uint_t  kind;           /* of the last failure */
    ngx_str_t   why;
    ngx_str_t   detail;
    time_t      failed_at;

    ngx_str_t   name;           /* of .challenge alone: whose it is */
} ngx_autocert_state_t;


/*
 * When a CA was last asked to sign for a name, newest first.  Apart from the
 * name's own directory: whoever removes that gets no more certificates.
 */

typedef struct {
    time_t      life;           /* seconds, of the newest; 0: not known */
    ngx_str_t   order;          /* URL of the order that at[0] is of */
    ngx_uint_t  n;
    time_t      at[NGX_AUTOCERT_STORE_ISSUED];
} ngx_autocert_issued_t;


/* New orders in ten minutes. */

typedef struct {
    time_t      at;             /* when they begin */
    ngx_uint_t  n;
} ngx_autocert_slot_t;


/* A registered domain that the CA gives no more certificates for now. */

typedef struct {
    size_t      len;
    u_char      data[253];
    time_t      until;          /* none before */
    time_t      interval;       /* then one each so many seconds; 0: unknown */
    time_t      end;            /* of all this */
} ngx_autocert_domain_t;


/* What is remembered of a CA. */

typedef struct {
    time_t                 hold;        /* nothing is asked of it before */
    ngx_uint_t             failures;    /* of its own, in a row */
    time_t                 failed_at;
    ngx_uint_t             kind;
    ngx_str_t              why;
    ngx_str_t              detail;
    time_t                 contacts_at; /* changed contacts: not before */
    time_t                 blind;       /* no renewal windows before */
    ngx_uint_t             nslots;      /* oldest first */
    ngx_autocert_slot_t    slots[NGX_AUTOCERT_STORE_SLOTS];
    ngx_uint_t             ndomains;
    ngx_autocert_domain_t  domains[NGX_AUTOCERT_STORE_DOMAINS];
} ngx_autocert_ca_t;


#pragma GCC visibility push(hidden)

/*
 * Opens path, makes it (0700, one level) if it is absent.  NGX_ERROR and
 * fail: not absolute, not a directory, another owner than the effective
 * user, writable by others, unwritable parent.
 */
ngx_int_t ngx_autocert_store_open(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *path, ngx_autocert_fail_t *fail);
void ngx_autocert_store_close(ngx_autocert_store_t *store);

/*
 * Who may write to a directory above the store can put another in its place.
 * NGX_ERROR and fail: somebody else than root and the effective user may.
 */
ngx_int_t ngx_autocert_store_parents(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);

/* NGX_OK, NGX_AGAIN if another process holds it, NGX_ERROR and fail. */
ngx_int_t ngx_autocert_store_lock(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_autocert_fail_t *fail);
void ngx_autocert_store_unlock(ngx_autocert_store_t *store);

/*
 * NGX_OK: a pair that matches, to be freed by the caller; completes a commit
 * that was interrupted (takes whichever of privkey.pem and privkey.next.pem
 * matches; finishes the renames if the store is locked by us).
 * NGX_DECLINED: nothing there.
 * NGX_ERROR and fail: something is there that is no pair (damaged), or that
 * could not be read, which says nothing about it.
 */
ngx_int_t ngx_autocert_store_load(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_pair_t *pair,
    ngx_autocert_fail_t *fail);
void ngx_autocert_store_pair_free(ngx_autocert_pair_t *pair);

/*
 * The facts of a pair that load would give, as far as one sees without a look
 * into key and signature.  NGX_DECLINED: ask load.
 */
ngx_int_t ngx_autocert_store_glance(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_chain_t *facts);

/*
 * The pair itself, its chain taken at a glance, if its key is in its place and
 * is its own: a tenth of what load takes.  NGX_DECLINED: ask load.
 */
ngx_int_t ngx_autocert_store_take(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_pair_t *pair);

/* The chain alone, no key read: for the clock.  Returns as load. */
ngx_int_t ngx_autocert_store_chain(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_chain_t **chain,
    ngx_autocert_fail_t *fail);

/*
 * Completes a commit that was interrupted; the store is locked by us.
 * NGX_DECLINED: there is none.
 */
ngx_int_t ngx_autocert_store_complete(ngx_autocert_store_t *store,
    ngx_str_t *name);

/* Zeroed where there is no such file.  Two fstatat(), no open. */
void ngx_autocert_store_stamp(ngx_autocert_store_t *store, ngx_str_t *name,
    ngx_autocert_stamp_t *stamp);

/* Renames what is there of a damaged pair to *.bad. */
ngx_int_t ngx_autocert_store_set_aside(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_fail_t *fail);

/*
 * The key of the order under way: read if it is there (NGX_OK), else
 * NGX_DECLINED; put writes it before finalize; drop removes it.
 */
ngx_int_t ngx_autocert_store_next_get(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, EVP_PKEY **key,
    ngx_autocert_fail_t *fail);
ngx_int_t ngx_autocert_store_next_put(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, EVP_PKEY *key,
    ngx_autocert_fail_t *fail);
void ngx_autocert_store_next_drop(ngx_autocert_store_t *store,
    ngx_str_t *name);

/*
 * Makes the chain (PEM) and the key in privkey.next.pem the pair of name.
 * Old or new after a crash at any instruction, never none.  The caller has
 * checked that they match.
 */
ngx_int_t ngx_autocert_store_commit(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_str_t *chain,
    ngx_autocert_fail_t *fail);

/*
 * NGX_OK, NGX_DECLINED (none; state zeroed), NGX_ERROR and fail (damaged, or
 * could not be read; state zeroed).  Strings are allocated from pool.
 */
ngx_int_t ngx_autocert_store_state_get(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_state_t *state,
    ngx_autocert_fail_t *fail);
ngx_int_t ngx_autocert_store_state_put(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_state_t *state,
    ngx_autocert_fail_t *fail);

/*
 * The account at a CA.  get: NGX_OK with the key and the account's URL (empty
 * if it is not registered yet), NGX_DECLINED, NGX_ERROR and fail.  contacts
 * is an array of ngx_str_t.  put writes account.key once and account.json
 * each time.
 */
ngx_int_t ngx_autocert_store_account_get(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *ca, EVP_PKEY **key, ngx_str_t *url,
    ngx_array_t *contacts, ngx_autocert_fail_t *fail);
ngx_int_t ngx_autocert_store_account_put(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *ca, EVP_PKEY *key, ngx_str_t *url,
    ngx_array_t *contacts, ngx_autocert_fail_t *fail);

/*
 * What is remembered of a CA, and of what it has signed for a name.  They
 * return as state_get and state_put do.
 */
ngx_int_t ngx_autocert_store_ca_get(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *url, ngx_autocert_ca_t *ca,
    ngx_autocert_fail_t *fail);
ngx_int_t ngx_autocert_store_ca_put(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *url, ngx_autocert_ca_t *ca,
    ngx_autocert_fail_t *fail);
ngx_int_t ngx_autocert_store_issued_get(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *url, ngx_str_t *name,
    ngx_autocert_issued_t *issued, ngx_autocert_fail_t *fail);
ngx_int_t ngx_autocert_store_issued_put(ngx_autocert_store_t *store,
    ngx_pool_t *pool, ngx_str_t *url, ngx_str_t *name,
    ngx_autocert_issued_t *issued, ngx_autocert_fail_t *fail);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_STORE_H_INCLUDED_ */
