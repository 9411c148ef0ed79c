
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_provider.h"
#include "ngx_autocert_signer.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/provider.h>


#define NGX_AUTOCERT_PROVIDER_NAME    "nginx-autocert"
#define NGX_AUTOCERT_PROVIDER_PARAM   "autocert-key"

#define NGX_AUTOCERT_PROVIDER_POINT   133   /* uncompressed, P-521 */
#define NGX_AUTOCERT_PROVIDER_DIGESTS 3


/* Where the private half is. */

typedef struct {
    uint32_t    index;
    u_char      id[NGX_AUTOCERT_KEY_ID];
} ngx_autocert_provider_place_t;


typedef struct {
    char                           group[32];
    u_char                         point[NGX_AUTOCERT_PROVIDER_POINT];
    size_t                         point_len;
    ngx_autocert_provider_place_t  place;
} ngx_autocert_provider_key_t;


typedef struct {
    ngx_autocert_provider_key_t   *key;     /* OpenSSL holds it meanwhile */
    const EVP_MD                  *md;
} ngx_autocert_provider_ctx_t;


static int ngx_autocert_provider_init(const OSSL_CORE_HANDLE *handle,
    const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx);
static const OSSL_ALGORITHM *ngx_autocert_provider_query(void *provctx,
    int operation, int *no_cache);

static void *ngx_autocert_provider_key_new(void *provctx);
static void ngx_autocert_provider_key_free(void *data);
static int ngx_autocert_provider_key_has(const void *data, int selection);
static int ngx_autocert_provider_key_match(const void *data1,
    const void *data2, int selection);
static int ngx_autocert_provider_key_import(void *data, int selection,
    const OSSL_PARAM params[]);
static int ngx_autocert_provider_key_export(void *data, int selection,
    OSSL_CALLBACK *callback, void *arg);
static const OSSL_PARAM *ngx_autocert_provider_key_types(int selection);
static int ngx_autocert_provider_key_get(void *data, OSSL_PARAM params[]);
static const OSSL_PARAM *ngx_autocert_provider_key_gettable(void *provctx);
static const char *ngx_autocert_provider_key_operation(int operation);

static void *ngx_autocert_provider_ctx_new(void *provctx,
    const char *propq);
static void ngx_autocert_provider_ctx_free(void *data);
static int ngx_autocert_provider_sign_init(void *data, const char *name,
    void *key, const OSSL_PARAM params[]);
static const EVP_MD *ngx_autocert_provider_digest(const char *name);
static int ngx_autocert_provider_sign(void *data, unsigned char *signature,
    size_t *len, size_t size, const unsigned char *text, size_t text_len);


static const OSSL_DISPATCH  ngx_autocert_provider_functions[] = {
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION,
      (void (*)(void)) ngx_autocert_provider_query },
    { 0, NULL }
};


static const OSSL_DISPATCH  ngx_autocert_provider_keymgmt[] = {
    { OSSL_FUNC_KEYMGMT_NEW,
      (void (*)(void)) ngx_autocert_provider_key_new },
    { OSSL_FUNC_KEYMGMT_FREE,
      (void (*)(void)) ngx_autocert_provider_key_free },
    { OSSL_FUNC_KEYMGMT_HAS,
      (void (*)(void)) ngx_autocert_provider_key_has },
    { OSSL_FUNC_KEYMGMT_MATCH,
      (void (*)(void)) ngx_autocert_provider_key_match },
    { OSSL_FUNC_KEYMGMT_IMPORT,
      (void (*)(void)) ngx_autocert_provider_key_import },
    { OSSL_FUNC_KEYMGMT_IMPORT_TYPES,
      (void (*)(void)) ngx_autocert_provider_key_types },
    { OSSL_FUNC_KEYMGMT_EXPORT,
      (void (*)(void)) ngx_autocert_provider_key_export },
    { OSSL_FUNC_KEYMGMT_EXPORT_TYPES,
      (void (*)(void)) ngx_autocert_provider_key_types },
    { OSSL_FUNC_KEYMGMT_GET_PARAMS,
      (void (*)(void)) ngx_autocert_provider_key_get },
    { OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS,
      (void (*)(void)) ngx_autocert_provider_key_gettable },
    { OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME,
      (void (*)(void)) ngx_autocert_provider_key_operation },
    { 0, NULL }
};


static const OSSL_DISPATCH  ngx_autocert_provider_signature[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX,
      (void (*)(void)) ngx_autocert_provider_ctx_new },
    { OSSL_FUNC_SIGNATURE_FREECTX,
      (void (*)(void)) ngx_autocert_provider_ctx_free },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT,
      (void (*)(void)) ngx_autocert_provider_sign_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN,
      (void (*)(void)) ngx_autocert_provider_sign },
    { 0, NULL }
};


static const OSSL_ALGORITHM  ngx_autocert_provider_keymgmts[] = {
    { "EC", "provider=" NGX_AUTOCERT_PROVIDER_NAME,
      ngx_autocert_provider_keymgmt, "EC key of the autocert helper" },
    { NULL, NULL, NULL, NULL }
};


static const OSSL_ALGORITHM  ngx_autocert_provider_signatures[] = {
    { "ECDSA", "provider=" NGX_AUTOCERT_PROVIDER_NAME,
      ngx_autocert_provider_signature, "ECDSA by the autocert helper" },
    { NULL, NULL, NULL, NULL }
};


static const OSSL_PARAM  ngx_autocert_provider_types[] = {
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_octet_string(NGX_AUTOCERT_PROVIDER_PARAM, NULL, 0),
    OSSL_PARAM_END
};


static const OSSL_PARAM  ngx_autocert_provider_gettable[] = {
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_END
};


/* Of TLS, fetched once: the way from a name to a digest is a long one. */

static char  *ngx_autocert_provider_names[NGX_AUTOCERT_PROVIDER_DIGESTS] = {
    "SHA256", "SHA384", "SHA512"
};

static EVP_MD  *ngx_autocert_provider_digests[NGX_AUTOCERT_PROVIDER_DIGESTS];

static OSSL_LIB_CTX                   *ngx_autocert_provider_libctx;
static ngx_autocert_provider_sign_pt   ngx_autocert_provider_ask;


ngx_int_t
ngx_autocert_provider_load(ngx_autocert_provider_sign_pt sign)
{
    ngx_uint_t  i;

    ngx_autocert_provider_ask = sign;

    ngx_autocert_provider_libctx = OSSL_LIB_CTX_new();

    if (ngx_autocert_provider_libctx == NULL
        || OSSL_PROVIDER_add_builtin(ngx_autocert_provider_libctx,
                                     NGX_AUTOCERT_PROVIDER_NAME,
                                     ngx_autocert_provider_init)
           != 1
        || OSSL_PROVIDER_load(ngx_autocert_provider_libctx,
                              NGX_AUTOCERT_PROVIDER_NAME)
           == NULL)
    {
        ERR_clear_error();
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_AUTOCERT_PROVIDER_DIGESTS; i++) {
        ngx_autocert_provider_digests[i] =
                    EVP_MD_fetch(NULL, ngx_autocert_provider_names[i], NULL);
    }

    ERR_clear_error();

    return NGX_OK;
}


EVP_PKEY *
ngx_autocert_provider_key(X509 *leaf, uint32_t index,
    u_char id[NGX_AUTOCERT_KEY_ID])
{
    char                            group[32];
    u_char                          point[NGX_AUTOCERT_PROVIDER_POINT];
    size_t                          len;
    EVP_PKEY                       *public, *key;
    OSSL_PARAM                      params[4];
    EVP_PKEY_CTX                   *ctx;
    ngx_autocert_provider_place_t   place;

    public = X509_get0_pubkey(leaf);

    /* this form of the point is uncompressed, however the leaf has it */

    if (public == NULL
        || EVP_PKEY_get_group_name(public, group, sizeof(group), &len) != 1
        || EVP_PKEY_get_octet_string_param(public,
                                           OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                           point, sizeof(point), &len)
           != 1)
    {
        ERR_clear_error();
        return NULL;
    }

    ngx_memzero(&place, sizeof(ngx_autocert_provider_place_t));
    place.index = index;
    ngx_memcpy(place.id, id, NGX_AUTOCERT_KEY_ID);

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 group, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  point, len);
    params[2] = OSSL_PARAM_construct_octet_string(NGX_AUTOCERT_PROVIDER_PARAM,
                                                  &place, sizeof(place));
    params[3] = OSSL_PARAM_construct_end();

    key = NULL;
    ctx = EVP_PKEY_CTX_new_from_name(ngx_autocert_provider_libctx, "EC", NULL);

    if (ctx == NULL
        || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
    {
        ERR_clear_error();
        key = NULL;
    }

    EVP_PKEY_CTX_free(ctx);

    return key;
}


static int
ngx_autocert_provider_init(const OSSL_CORE_HANDLE *handle,
    const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
    (void) in;

    *out = ngx_autocert_provider_functions;
    *provctx = (void *) handle;

    return 1;
}


static const OSSL_ALGORITHM *
ngx_autocert_provider_query(void *provctx, int operation, int *no_cache)
{
    (void) provctx;

    *no_cache = 0;

    switch (operation) {

    case OSSL_OP_KEYMGMT:
        return ngx_autocert_provider_keymgmts;

    case OSSL_OP_SIGNATURE:
        return ngx_autocert_provider_signatures;
    }

    return NULL;
}


static void *
ngx_autocert_provider_key_new(void *provctx)
{
    (void) provctx;

    return OPENSSL_zalloc(sizeof(ngx_autocert_provider_key_t));
}


static void
ngx_autocert_provider_key_free(void *data)
{
    OPENSSL_free(data);
}


static int
ngx_autocert_provider_key_has(const void *data, int selection)
{
    const ngx_autocert_provider_key_t  *key = data;

    (void) selection;

    return key->point_len != 0;
}


/*
 * Else OpenSSL makes a key of its own of each of ours to compare it, and keeps
 * it: here it makes one of ours of its own, which is a tenth of that.
 */

static int
ngx_autocert_provider_key_match(const void *data1, const void *data2,
    int selection)
{
    ngx_str_t                           stated;
    const ngx_autocert_provider_key_t  *one, *other;

    one = data1;
    other = data2;

    if (ngx_strcmp(one->group, other->group) != 0) {
        return 0;
    }

    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0) {
        return 1;
    }

    /* of OpenSSL's the point may be compressed */

    if (one->point[0] != 0x04) {
        one = data2;
        other = data1;
    }

    stated.data = (u_char *) other->point;
    stated.len = other->point_len;

    return one->point[0] == 0x04
           && ngx_autocert_key_is_point(&stated, (u_char *) one->point,
                                        (one->point_len - 1) / 2);
}


/* Without a place a key is there to be compared. */

static int
ngx_autocert_provider_key_import(void *data, int selection,
    const OSSL_PARAM params[])
{
    size_t                        len;
    void                         *place, *point;
    char                         *group;
    const OSSL_PARAM             *p;
    ngx_autocert_provider_key_t  *key = data;

    (void) selection;

    place = &key->place;
    point = key->point;
    group = key->group;

    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    if (p == NULL
        || OSSL_PARAM_get_utf8_string(p, &group, sizeof(key->group)) != 1)
    {
        return 0;
    }

    p = OSSL_PARAM_locate_const(params, NGX_AUTOCERT_PROVIDER_PARAM);
    if (p
        && (OSSL_PARAM_get_octet_string(p, &place, sizeof(key->place), &len)
            != 1
            || len != sizeof(key->place)))
    {
        return 0;
    }

    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);

    return p != NULL
           && OSSL_PARAM_get_octet_string(p, &point, sizeof(key->point),
                                          &key->point_len)
              == 1;
}


/*
 * The public half alone: an export that included the private one would let
 * the default provider take the signing over.
 */

static int
ngx_autocert_provider_key_export(void *data, int selection,
    OSSL_CALLBACK *callback, void *arg)
{
    OSSL_PARAM                    params[3];
    ngx_autocert_provider_key_t  *key = data;

    if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) {
        return 0;
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 key->group, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  key->point, key->point_len);
    params[2] = OSSL_PARAM_construct_end();

    return callback(params, arg);
}


static const OSSL_PARAM *
ngx_autocert_provider_key_types(int selection)
{
    (void) selection;

    return ngx_autocert_provider_types;
}


static int
ngx_autocert_provider_key_get(void *data, OSSL_PARAM params[])
{
    int                           bits, strength;
    OSSL_PARAM                   *p;
    ngx_autocert_provider_key_t  *key = data;

    /* an uncompressed point is 04 and two coordinates */

    bits = (int) (key->point_len - 1) / 2 * 8;
    strength = bits / 2;

    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_BITS);
    if (p && OSSL_PARAM_set_int(p, bits) != 1) {
        return 0;
    }

    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_SECURITY_BITS);
    if (p && OSSL_PARAM_set_int(p, strength) != 1) {
        return 0;
    }

    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_MAX_SIZE);
    if (p && OSSL_PARAM_set_int(p, NGX_AUTOCERT_KEY_SIGNATURE) != 1) {
        return 0;
    }

    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST);
    if (p && OSSL_PARAM_set_utf8_string(p, "SHA256") != 1) {
        return 0;
    }

    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_GROUP_NAME);
    if (p && OSSL_PARAM_set_utf8_string(p, key->group) != 1) {
        return 0;
    }

    p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);

    return p == NULL
           || OSSL_PARAM_set_octet_string(p, key->point, key->point_len) == 1;
}


static const OSSL_PARAM *
ngx_autocert_provider_key_gettable(void *provctx)
{
    (void) provctx;

    return ngx_autocert_provider_gettable;
}


static const char *
ngx_autocert_provider_key_operation(int operation)
{
    return (operation == OSSL_OP_SIGNATURE) ? "ECDSA" : NULL;
}


static void *
ngx_autocert_provider_ctx_new(void *provctx, const char *propq)
{
    (void) provctx;
    (void) propq;

    return OPENSSL_zalloc(sizeof(ngx_autocert_provider_ctx_t));
}


static void
ngx_autocert_provider_ctx_free(void *data)
{
    OPENSSL_free(data);
}


static int
ngx_autocert_provider_sign_init(void *data, const char *name, void *key,
    const OSSL_PARAM params[])
{
    ngx_autocert_provider_ctx_t  *ctx = data;

    (void) params;

    if (key != NULL) {
        ctx->key = key;
    }

    ctx->md = ngx_autocert_provider_digest(name ? name : "SHA256");

    return ctx->md != NULL && ctx->key != NULL;
}


static const EVP_MD *
ngx_autocert_provider_digest(const char *name)
{
    EVP_MD      *md;
    ngx_uint_t   i;

    for (i = 0; i < NGX_AUTOCERT_PROVIDER_DIGESTS; i++) {
        md = ngx_autocert_provider_digests[i];

        if (md && ngx_strcmp(EVP_MD_get0_name(md), name) == 0) {
            return md;
        }
    }

    return EVP_get_digestbyname(name);
}


static int
ngx_autocert_provider_sign(void *data, unsigned char *signature, size_t *len,
    size_t size, const unsigned char *text, size_t text_len)
{
    u_char                        md[EVP_MAX_MD_SIZE];
    unsigned int                  md_len;
    ngx_str_t                     digest;
    ngx_autocert_provider_ctx_t  *ctx = data;

    if (signature == NULL) {
        *len = NGX_AUTOCERT_KEY_SIGNATURE;
        return 1;
    }

    if (EVP_Digest(text, text_len, md, &md_len, ctx->md, NULL) != 1) {
        return 0;
    }

    digest.data = md;
    digest.len = md_len;

    *len = size;

    return ngx_autocert_provider_ask(ctx->key->place.index, ctx->key->place.id,
                                     &digest, signature, len)
           == NGX_OK;
}
