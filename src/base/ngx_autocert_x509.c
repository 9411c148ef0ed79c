
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_base64.h"
#include "ngx_autocert_pem.h"
#include "ngx_autocert_intermediate.h"
#include "ngx_autocert_wire.h"
#include "ngx_autocert_x509.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>


#define NGX_AUTOCERT_X509_CN       64       /* RFC 5280, ub-common-name */
#define NGX_AUTOCERT_X509_SKEW     300
#define NGX_AUTOCERT_X509_BITS     112      /* refuses MD5 and SHA-1 */
#define NGX_AUTOCERT_X509_SERIAL   16


typedef struct {
    EVP_PKEY      *key;
    ngx_str_t     *name;
    time_t         not_before;
    time_t         not_after;
    u_char        *hash;        /* of acmeIdentifier, or NULL */
} ngx_autocert_x509_spec_t;


static ngx_autocert_chain_t *ngx_autocert_x509_chain_new(char **err);
static ngx_int_t ngx_autocert_x509_chain_add(ngx_autocert_chain_t *chain,
    ngx_str_t *der, char **err);
static ngx_int_t ngx_autocert_x509_chain_end(ngx_autocert_chain_t *chain,
    char **err);
static ngx_int_t ngx_autocert_x509_chain_leaf(ngx_autocert_chain_t *chain);
static ngx_int_t ngx_autocert_x509_leaf_certid(ngx_autocert_chain_t *chain);
static void ngx_autocert_x509_number(ngx_autocert_chain_t *chain);
static ngx_int_t ngx_autocert_x509_time(const ASN1_TIME *in, time_t *t);
static ASN1_OCTET_STRING *ngx_autocert_x509_ip(ngx_str_t *name);
static ngx_int_t ngx_autocert_x509_leaf_check(X509 *leaf, ngx_str_t *name,
    char **err);
static ngx_int_t ngx_autocert_x509_signature_check(STACK_OF(X509) *certs,
    int i, char **err);
static GENERAL_NAMES *ngx_autocert_x509_san(ngx_str_t *name);
static const EVP_MD *ngx_autocert_x509_md(EVP_PKEY *key);
static ngx_int_t ngx_autocert_x509_csr_fill(X509_REQ *req, EVP_PKEY *key,
    ngx_str_t *name);
static ngx_int_t ngx_autocert_x509_csr_sign(X509_REQ *req, EVP_PKEY *key,
    ngx_autocert_sign_pt sign, void *data);
static ASN1_BIT_STRING *ngx_autocert_x509_bits(u_char *p, size_t len);
static ngx_autocert_chain_t *ngx_autocert_x509_build(
    ngx_autocert_x509_spec_t *spec);
static ngx_int_t ngx_autocert_x509_build_name(X509 *cert, ngx_str_t *name);
static ngx_int_t ngx_autocert_x509_build_serial(X509 *cert);
static ngx_int_t ngx_autocert_x509_build_extensions(X509 *cert,
    ngx_autocert_x509_spec_t *spec);
static ngx_int_t ngx_autocert_x509_build_acme(X509 *cert, u_char *hash);


static const EVP_MD *
ngx_autocert_x509_md(EVP_PKEY *key)
{
    switch (ngx_autocert_key_curve(key)) {

    case NID_X9_62_prime256v1:
        return EVP_sha256();

    case NID_secp384r1:
        return EVP_sha384();

    default:
        return NULL;
    }
}


ngx_int_t
ngx_autocert_x509_csr(ngx_pool_t *pool, EVP_PKEY *key,
    ngx_autocert_sign_pt sign, void *data, ngx_str_t *name, ngx_str_t *der)
{
    int        len;
    u_char    *p;
    X509_REQ  *req;

    p = NULL;
    len = -1;

    req = X509_REQ_new();

    if (req && ngx_autocert_x509_csr_fill(req, key, name) == NGX_OK
        && ngx_autocert_x509_csr_sign(req, key, sign, data) == NGX_OK)
    {
        len = i2d_X509_REQ(req, &p);
    }

    X509_REQ_free(req);
    ERR_clear_error();

    if (len <= 0) {
        return NGX_ERROR;
    }

    der->data = ngx_pnalloc(pool, len);

    if (der->data) {
        ngx_memcpy(der->data, p, len);
        der->len = len;
    }

    OPENSSL_free(p);

    return der->data ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_autocert_x509_csr_fill(X509_REQ *req, EVP_PKEY *key, ngx_str_t *name)
{
    ngx_int_t                 rc;
    X509_NAME                *subject;
    GENERAL_NAMES            *san;
    ASN1_OCTET_STRING        *ip;
    STACK_OF(X509_EXTENSION) *extensions;

    rc = NGX_ERROR;
    extensions = NULL;

    ip = ngx_autocert_x509_ip(name);
    subject = X509_NAME_new();
    san = ngx_autocert_x509_san(name);

    if (subject == NULL || san == NULL) {
        goto done;
    }

    if (ip == NULL && name->len <= NGX_AUTOCERT_X509_CN
        && X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                      name->data, name->len, -1, 0)
           != 1)
    {
        goto done;
    }

    if (X509V3_add1_i2d(&extensions, NID_subject_alt_name, san, 0,
                        X509V3_ADD_DEFAULT)
           != 1
        || X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1
        || X509_REQ_set_subject_name(req, subject) != 1
        || X509_REQ_set_pubkey(req, key) != 1
        || X509_REQ_add_extensions(req, extensions) != 1)
    {
        goto done;
    }

    rc = NGX_OK;

done:

    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(san);
    X509_NAME_free(subject);
    ASN1_OCTET_STRING_free(ip);

    return rc;
}


static ngx_int_t
ngx_autocert_x509_csr_sign(X509_REQ *req, EVP_PKEY *key,
    ngx_autocert_sign_pt sign, void *data)
{
    int               n, nid;
    u_char           *tbs, hash[EVP_MAX_MD_SIZE];
    u_char            signature[NGX_AUTOCERT_KEY_SIGNATURE];
    size_t            len;
    ngx_int_t         rc;
    ngx_str_t         digest;
    X509_ALGOR       *algor;
    unsigned int      hash_len;
    const EVP_MD     *md;
    ASN1_BIT_STRING  *bits;

    md = ngx_autocert_x509_md(key);

    if (md == NULL
        || OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(md), EVP_PKEY_EC)
           != 1)
    {
        return NGX_ERROR;
    }

    tbs = NULL;
    bits = NULL;
    rc = NGX_ERROR;
    algor = X509_ALGOR_new();

    /* RFC 5758, 3.2: the algorithm has no parameters */

    if (algor == NULL
        || X509_ALGOR_set0(algor, OBJ_nid2obj(nid), V_ASN1_UNDEF, NULL) != 1
        || X509_REQ_set1_signature_algo(req, algor) != 1)
    {
        goto done;
    }

    n = i2d_re_X509_REQ_tbs(req, &tbs);

    if (n <= 0 || EVP_Digest(tbs, n, hash, &hash_len, md, NULL) != 1) {
        goto done;
    }

    digest.data = hash;
    digest.len = hash_len;
    len = sizeof(signature);

    if (sign(data, &digest, signature, &len) != NGX_OK) {
        goto done;
    }

    bits = ngx_autocert_x509_bits(signature, len);

    if (bits) {
        X509_REQ_set0_signature(req, bits);
        rc = NGX_OK;
    }

done:

    OPENSSL_free(tbs);
    X509_ALGOR_free(algor);

    return rc;
}


/*
 * Out of its DER: what is set otherwise loses zero bits at its end, unless one
 * reaches into the structure.
 */

static ASN1_BIT_STRING *
ngx_autocert_x509_bits(u_char *p, size_t len)
{
    u_char         der[3 + NGX_AUTOCERT_KEY_SIGNATURE];
    const u_char  *in;

    /* a length of one byte (X.690, 8.1.3.4), which P-384 never exceeds */

    if (len > 126) {
        return NULL;
    }

    der[0] = V_ASN1_BIT_STRING;
    der[1] = (u_char) (1 + len);
    der[2] = 0;
    ngx_memcpy(&der[3], p, len);
    in = der;

    return d2i_ASN1_BIT_STRING(NULL, &in, 3 + len);
}


/* The address that name is, or NULL if it is none. */

static ASN1_OCTET_STRING *
ngx_autocert_x509_ip(ngx_str_t *name)
{
    u_char              address[16];
    char                text[NGX_INET6_ADDRSTRLEN + 1];
    size_t              len;
    ASN1_OCTET_STRING  *ip;

    if (name->len == 0 || name->len >= sizeof(text)) {
        return NULL;
    }

    ngx_memcpy(text, name->data, name->len);
    text[name->len] = '\0';

    if (inet_pton(AF_INET, text, address) == 1) {
        len = 4;

    } else if (inet_pton(AF_INET6, text, address) == 1) {
        len = 16;

    } else {
        return NULL;
    }

    ip = ASN1_OCTET_STRING_new();

    if (ip && ASN1_OCTET_STRING_set(ip, address, len) != 1) {
        ASN1_OCTET_STRING_free(ip);
        return NULL;
    }

    return ip;
}


static GENERAL_NAMES *
ngx_autocert_x509_san(ngx_str_t *name)
{
    int             type;
    ASN1_STRING    *value;
    GENERAL_NAME   *gen;
    GENERAL_NAMES  *san;

    if (name->len == 0 || ngx_strlchr(name->data, name->data + name->len, '\0'))
    {
        return NULL;
    }

    type = GEN_IPADD;
    value = ngx_autocert_x509_ip(name);

    if (value == NULL) {
        type = GEN_DNS;
        value = ASN1_IA5STRING_new();

        if (value && ASN1_STRING_set(value, name->data, name->len) != 1) {
            ASN1_STRING_free(value);
            return NULL;
        }
    }

    san = GENERAL_NAMES_new();
    gen = GENERAL_NAME_new();

    if (value == NULL || san == NULL || gen == NULL) {
        ASN1_STRING_free(value);
        goto failed;
    }

    GENERAL_NAME_set0_value(gen, type, value);

    if (sk_GENERAL_NAME_push(san, gen) <= 0) {
        goto failed;
    }

    return san;

failed:

    GENERAL_NAME_free(gen);
    GENERAL_NAMES_free(san);

    return NULL;
}


X509 *
ngx_autocert_x509_read(ngx_str_t *der)
{
    X509          *cert;
    const u_char  *p;

    p = der->data;
    cert = d2i_X509(NULL, &p, der->len);

    if (cert && p != der->data + der->len) {
        X509_free(cert);
        return NULL;
    }

    return cert;
}


ngx_autocert_chain_t *
ngx_autocert_x509_chain_parse(ngx_str_t *pem, char **err)
{
    ngx_int_t              rc;
    ngx_str_t              in, label, der;
    ngx_autocert_chain_t  *chain;

    if (pem->len > NGX_AUTOCERT_PEM_SIZE) {
        *err = "certificate chain is too long";
        return NULL;
    }

    chain = ngx_autocert_x509_chain_new(err);
    if (chain == NULL) {
        return NULL;
    }

    in = *pem;

    for ( ;; ) {

        rc = ngx_autocert_pem_block(&in, &label, &der, err);

        if (rc != NGX_OK) {
            break;
        }

        if (label.len == 11
            && ngx_strncmp(label.data, "CERTIFICATE", 11) == 0)
        {
            rc = ngx_autocert_x509_chain_add(chain, &der, err);

        } else {
            *err = "not a certificate";
            rc = NGX_ERROR;
        }

        ngx_autocert_pem_free(&der);

        if (rc != NGX_OK) {
            break;
        }
    }

    if (rc != NGX_DONE || ngx_autocert_x509_chain_end(chain, err) != NGX_OK) {
        ngx_autocert_x509_chain_free(chain);
        chain = NULL;
    }

    ERR_clear_error();

    return chain;
}


ngx_autocert_chain_t *
ngx_autocert_x509_chain_read(ngx_str_t *body, char **err)
{
    ngx_int_t              rc;
    ngx_str_t              der;
    ngx_autocert_wire_t    w;
    ngx_autocert_chain_t  *chain;

    chain = ngx_autocert_x509_chain_new(err);
    if (chain == NULL) {
        return NULL;
    }

    ngx_autocert_wire_init(&w, body->data, body->len);

    rc = NGX_OK;

    while (rc == NGX_OK && w.pos < w.end) {
        ngx_autocert_wire_get_string(&w, &der);
        rc = ngx_autocert_x509_chain_add(chain, &der, err);
    }

    if (rc != NGX_OK || ngx_autocert_x509_chain_end(chain, err) != NGX_OK) {
        ngx_autocert_x509_chain_free(chain);
        chain = NULL;
    }

    ERR_clear_error();

    return chain;
}


static ngx_autocert_chain_t *
ngx_autocert_x509_chain_new(char **err)
{
    ngx_autocert_chain_t  *chain;

    *err = "out of memory";

    chain = OPENSSL_zalloc(sizeof(ngx_autocert_chain_t));
    if (chain == NULL) {
        return NULL;
    }

    chain->certs = sk_X509_new_null();
    if (chain->certs == NULL) {
        OPENSSL_free(chain);
        return NULL;
    }

    return chain;
}


static ngx_int_t
ngx_autocert_x509_chain_add(ngx_autocert_chain_t *chain, ngx_str_t *der,
    char **err)
{
    int    n;
    X509  *cert, *prev;

    n = sk_X509_num(chain->certs);
    prev = n ? sk_X509_value(chain->certs, n - 1) : NULL;

    cert = prev ? ngx_autocert_intermediate(der)
                : ngx_autocert_x509_read(der);

    if (cert == NULL) {
        *err = "not a certificate";
        return NGX_ERROR;
    }

    if (sk_X509_push(chain->certs, cert) <= 0) {
        X509_free(cert);
        *err = "out of memory";
        return NGX_ERROR;
    }

    if (n == NGX_AUTOCERT_X509_CHAIN) {
        *err = "too many certificates in chain";
        return NGX_ERROR;
    }

    if (prev && X509_check_issued(cert, prev) != X509_V_OK) {
        *err = "certificate is not issued by the next one in chain";
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_chain_end(ngx_autocert_chain_t *chain, char **err)
{
    if (sk_X509_num(chain->certs) == 0) {
        *err = "certificate chain is empty";
        return NGX_ERROR;
    }

    if (ngx_autocert_x509_chain_leaf(chain) != NGX_OK) {
        *err = "certificate is malformed";
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_autocert_x509_chain_free(ngx_autocert_chain_t *chain)
{
    if (chain) {
        sk_X509_pop_free(chain->certs, X509_free);
        OPENSSL_free(chain->body.data);
        OPENSSL_free(chain);
    }
}


static ngx_int_t
ngx_autocert_x509_chain_leaf(ngx_autocert_chain_t *chain)
{
    X509      *leaf;
    EVP_PKEY  *key;

    leaf = sk_X509_value(chain->certs, 0);

    if (X509_get_extension_flags(leaf) & EXFLAG_INVALID) {
        return NGX_ERROR;
    }

    if (ngx_autocert_x509_time(X509_get0_notBefore(leaf), &chain->not_before)
        != NGX_OK
        || ngx_autocert_x509_time(X509_get0_notAfter(leaf), &chain->not_after)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    key = X509_get0_pubkey(leaf);

    if (key == NULL || ngx_autocert_key_id(key, chain->id) != NGX_OK) {
        return NGX_ERROR;
    }

    chain->curve = ngx_autocert_key_curve(key);

    ngx_autocert_x509_number(chain);

    return ngx_autocert_x509_leaf_certid(chain);
}


static void
ngx_autocert_x509_number(ngx_autocert_chain_t *chain)
{
    size_t               len;
    const ASN1_INTEGER  *serial;

    serial = X509_get0_serialNumber(sk_X509_value(chain->certs, 0));
    len = ASN1_STRING_length(serial);

    if (len <= NGX_AUTOCERT_X509_NUMBER) {
        ngx_memcpy(chain->serial, ASN1_STRING_get0_data(serial), len);
        chain->serial_len = len;
    }
}


/* RFC 9773, 4.1: the content octets of the serial, as DER has them. */

static ngx_int_t
ngx_autocert_x509_leaf_certid(ngx_autocert_chain_t *chain)
{
    int                       len;
    X509                     *leaf;
    u_char                   *der;
    ngx_str_t                 aki, serial;
    const ASN1_OCTET_STRING  *id;

    leaf = sk_X509_value(chain->certs, 0);

    id = X509_get0_authority_key_id(leaf);

    if (id == NULL || ASN1_STRING_length(id) == 0) {
        return NGX_OK;
    }

    der = NULL;

    len = i2d_ASN1_INTEGER(X509_get0_serialNumber(leaf), &der);
    if (len <= 0) {
        return NGX_ERROR;
    }

    aki.data = (u_char *) ASN1_STRING_get0_data(id);
    aki.len = ASN1_STRING_length(id);

    /* behind a tag and a length of one byte each: a longer one cannot fit */

    serial.data = der + 2;
    serial.len = len - 2;

    if (serial.len < 0x80) {
        ngx_autocert_x509_certid(chain, &aki, &serial);
    }

    OPENSSL_free(der);

    return NGX_OK;
}


void
ngx_autocert_x509_certid(ngx_autocert_chain_t *chain, ngx_str_t *aki,
    ngx_str_t *serial)
{
    u_char  *p;

    if (aki->len > NGX_AUTOCERT_X509_CERTID
        || serial->len > NGX_AUTOCERT_X509_CERTID
        || ngx_autocert_base64_length(aki->len) + 1
           + ngx_autocert_base64_length(serial->len)
           > NGX_AUTOCERT_X509_CERTID)
    {
        return;
    }

    p = ngx_autocert_base64_encode(chain->certid, aki->data, aki->len);
    *p++ = '.';
    p = ngx_autocert_base64_encode(p, serial->data, serial->len);

    chain->certid_len = p - chain->certid;
}


static ngx_int_t
ngx_autocert_x509_time(const ASN1_TIME *in, time_t *t)
{
    struct tm  tm;

    if (in == NULL || ASN1_TIME_to_tm(in, &tm) != 1) {
        return NGX_ERROR;
    }

    *t = timegm(&tm);

    return (*t == (time_t) -1) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_autocert_x509_chain_check(ngx_autocert_chain_t *chain, EVP_PKEY *key,
    ngx_str_t *name, time_t now, char **err)
{
    int     i, n;
    u_char  id[NGX_AUTOCERT_KEY_ID];

    if (ngx_autocert_key_id(key, id) != NGX_OK
        || ngx_memcmp(id, chain->id, NGX_AUTOCERT_KEY_ID) != 0)
    {
        *err = "certificate is for another key";
        return NGX_DECLINED;
    }

    if (chain->not_before - NGX_AUTOCERT_X509_SKEW > now) {
        *err = "certificate is not valid yet";
        return NGX_DECLINED;
    }

    if (chain->not_after < now) {
        *err = "certificate has expired";
        return NGX_DECLINED;
    }

    if (ngx_autocert_x509_leaf_check(sk_X509_value(chain->certs, 0), name,
                                     err)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    n = sk_X509_num(chain->certs);

    for (i = 0; i < n; i++) {
        if (ngx_autocert_x509_signature_check(chain->certs, i, err)
            != NGX_OK)
        {
            ERR_clear_error();
            return NGX_DECLINED;
        }
    }

    ERR_clear_error();

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_leaf_check(X509 *leaf, ngx_str_t *name, char **err)
{
    int                 rc;
    ngx_uint_t          flags;
    ASN1_OCTET_STRING  *ip;

    /* X509_check_host() takes a length of 0 for a C string */

    *err = "certificate is for another name";

    if (name->len == 0) {
        return NGX_DECLINED;
    }

    flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
            |X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

    ip = ngx_autocert_x509_ip(name);

    if (ip) {
        rc = X509_check_ip(leaf, ASN1_STRING_get0_data(ip),
                           ASN1_STRING_length(ip), flags);
        ASN1_OCTET_STRING_free(ip);

    } else {
        rc = X509_check_host(leaf, (char *) name->data, name->len, flags,
                             NULL);
    }

    ERR_clear_error();

    if (rc != 1) {
        return NGX_DECLINED;
    }

    if (X509_check_ca(leaf) != 0) {
        *err = "certificate is that of a CA";
        return NGX_DECLINED;
    }

    /* all bits are set if there is no such extension */

    if (!(X509_get_extended_key_usage(leaf) & (XKU_SSL_SERVER|XKU_ANYEKU))) {
        *err = "certificate is not for servers";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_signature_check(STACK_OF(X509) *certs, int i, char **err)
{
    int    bits;
    X509  *cert, *issuer;

    cert = sk_X509_value(certs, i);

    issuer = (i + 1 < sk_X509_num(certs)) ? sk_X509_value(certs, i + 1)
                                          : NULL;

    /* a root is trusted for what it is, not for its signature */

    if (i > 0 && issuer == NULL && X509_self_signed(cert, 0) == 1) {
        return NGX_OK;
    }

    if (X509_get_signature_info(cert, NULL, NULL, &bits, NULL) != 1
        || bits < NGX_AUTOCERT_X509_BITS)
    {
        *err = "certificate is signed with a weak or unknown algorithm";
        return NGX_DECLINED;
    }

    if (issuer == NULL) {
        return NGX_OK;
    }

    if (X509_check_ca(issuer) == 0) {
        *err = "issuer of certificate is not a CA";
        return NGX_DECLINED;
    }

    if (X509_verify(cert, X509_get0_pubkey(issuer)) != 1) {
        *err = "signature of certificate is wrong";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_autocert_x509_chain_print(ngx_pool_t *pool, ngx_autocert_chain_t *chain,
    ngx_str_t *pem)
{
    int        i, ok;
    BIO       *bio;
    char      *data;
    long       len;
    ngx_int_t  rc;

    bio = BIO_new(BIO_s_mem());
    ok = (bio != NULL);

    for (i = 0; ok && i < sk_X509_num(chain->certs); i++) {
        ok = PEM_write_bio_X509(bio, sk_X509_value(chain->certs, i));
    }

    rc = NGX_ERROR;

    if (ok) {
        len = BIO_get_mem_data(bio, &data);

        pem->data = ngx_pnalloc(pool, len);

        if (pem->data) {
            pem->len = len;
            ngx_memcpy(pem->data, data, len);
            rc = NGX_OK;
        }
    }

    BIO_free(bio);
    ERR_clear_error();

    return rc;
}


ngx_autocert_chain_t *
ngx_autocert_x509_self_signed(EVP_PKEY *key, ngx_str_t *name, time_t now,
    ngx_uint_t days)
{
    ngx_autocert_x509_spec_t  spec;

    spec.key = key;
    spec.name = name;
    spec.not_before = now - 3600;
    spec.not_after = now + (time_t) days * 86400;
    spec.hash = NULL;

    return ngx_autocert_x509_build(&spec);
}


ngx_autocert_chain_t *
ngx_autocert_x509_alpn(EVP_PKEY *key, ngx_str_t *name,
    ngx_str_t *key_authorization, time_t now)
{
    u_char                    hash[SHA256_DIGEST_LENGTH];
    ngx_autocert_x509_spec_t  spec;

    if (EVP_Digest(key_authorization->data, key_authorization->len, hash,
                   NULL, EVP_sha256(), NULL)
        != 1)
    {
        ERR_clear_error();
        return NULL;
    }

    spec.key = key;
    spec.name = name;
    spec.not_before = now - 3600;
    spec.not_after = now + 7 * 86400;
    spec.hash = hash;

    return ngx_autocert_x509_build(&spec);
}


static ngx_autocert_chain_t *
ngx_autocert_x509_build(ngx_autocert_x509_spec_t *spec)
{
    X509                  *cert;
    const EVP_MD          *md;
    ngx_autocert_chain_t  *chain;

    md = ngx_autocert_x509_md(spec->key);
    if (md == NULL) {
        return NULL;
    }

    cert = X509_new();
    chain = OPENSSL_zalloc(sizeof(ngx_autocert_chain_t));

    if (cert == NULL || chain == NULL) {
        goto failed;
    }

    if (X509_set_version(cert, X509_VERSION_3) != 1
        || ngx_autocert_x509_build_serial(cert) != NGX_OK
        || ngx_autocert_x509_build_name(cert, spec->name) != NGX_OK
        || ASN1_TIME_set(X509_getm_notBefore(cert), spec->not_before) == NULL
        || ASN1_TIME_set(X509_getm_notAfter(cert), spec->not_after) == NULL
        || X509_set_pubkey(cert, spec->key) != 1
        || ngx_autocert_x509_build_extensions(cert, spec) != NGX_OK
        || X509_sign(cert, spec->key, md) <= 0)
    {
        goto failed;
    }

    chain->certs = sk_X509_new_null();

    if (chain->certs == NULL || sk_X509_push(chain->certs, cert) <= 0) {
        goto failed;
    }

    cert = NULL;

    if (ngx_autocert_x509_chain_leaf(chain) == NGX_OK) {
        return chain;
    }

failed:

    X509_free(cert);
    ngx_autocert_x509_chain_free(chain);
    ERR_clear_error();

    return NULL;
}


static ngx_int_t
ngx_autocert_x509_build_name(X509 *cert, ngx_str_t *name)
{
    u_char      *p;
    size_t       len;
    X509_NAME   *subject;

    static u_char  other[] = "nginx-autocert";

    /* an issuer may not be empty (RFC 5280, 4.1.2.4) */

    p = name->data;
    len = name->len;

    if (len > NGX_AUTOCERT_X509_CN) {
        p = other;
        len = sizeof(other) - 1;
    }

    subject = X509_get_subject_name(cert);

    if (X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, p,
                                   len, -1, 0)
        != 1
        || X509_set_issuer_name(cert, subject) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_x509_build_serial(X509 *cert)
{
    u_char         serial[NGX_AUTOCERT_X509_SERIAL];
    BIGNUM        *n;
    ASN1_INTEGER  *integer;

    if (RAND_bytes(serial, sizeof(serial)) != 1) {
        return NGX_ERROR;
    }

    /* positive, and of the same length each time */

    serial[0] = (serial[0] & 0x3f) | 0x40;

    n = BN_bin2bn(serial, sizeof(serial), NULL);
    if (n == NULL) {
        return NGX_ERROR;
    }

    integer = BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));

    BN_free(n);

    return integer ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_autocert_x509_build_extensions(X509 *cert, ngx_autocert_x509_spec_t *spec)
{
    ngx_int_t           rc;
    GENERAL_NAMES      *san;
    BASIC_CONSTRAINTS  *constraints;

    rc = NGX_ERROR;

    constraints = BASIC_CONSTRAINTS_new();
    san = ngx_autocert_x509_san(spec->name);

    if (constraints && san
        && X509_add1_ext_i2d(cert, NID_basic_constraints, constraints, 1,
                             X509V3_ADD_DEFAULT)
           == 1
        && X509_add1_ext_i2d(cert, NID_subject_alt_name, san, 0,
                             X509V3_ADD_DEFAULT)
           == 1)
    {
        rc = spec->hash ? ngx_autocert_x509_build_acme(cert, spec->hash)
                        : NGX_OK;
    }

    GENERAL_NAMES_free(san);
    BASIC_CONSTRAINTS_free(constraints);

    return rc;
}


static ngx_int_t
ngx_autocert_x509_build_acme(X509 *cert, u_char *hash)
{
    u_char              der[2 + SHA256_DIGEST_LENGTH];
    ngx_int_t           rc;
    ASN1_OBJECT        *oid;
    X509_EXTENSION     *extension;
    ASN1_OCTET_STRING  *value;

    der[0] = 0x04;              /* OCTET STRING */
    der[1] = SHA256_DIGEST_LENGTH;
    ngx_memcpy(der + 2, hash, SHA256_DIGEST_LENGTH);

    rc = NGX_ERROR;
    extension = NULL;

    oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
    value = ASN1_OCTET_STRING_new();

    if (oid && value
        && ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1)
    {
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
    }

    if (extension && X509_add_ext(cert, extension, -1) == 1) {
        rc = NGX_OK;
    }

    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);

    return rc;
}
