
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_der.h"
#include "ngx_autocert_glance.h"
#include "ngx_autocert_pem.h"
#include "ngx_autocert_time.h"
#include "ngx_autocert_wire.h"

#include <openssl/err.h>


/* The parts of a certificate (RFC 5280, 4.1) that are looked at. */

typedef struct {
    ngx_str_t  serial;
    ngx_str_t  issuer;
    ngx_str_t  validity;
    ngx_str_t  subject;
    ngx_str_t  spki;            /* with its tag and length */
    ngx_str_t  extensions;
} ngx_autocert_glance_cert_t;


static ngx_int_t ngx_autocert_glance_read(ngx_str_t *pem,
    ngx_autocert_chain_t *facts, ngx_autocert_wire_t *body);
static ngx_int_t ngx_autocert_glance_same(ngx_str_t *one, ngx_str_t *other);
static ngx_int_t ngx_autocert_glance_cert(ngx_str_t *der,
    ngx_autocert_glance_cert_t *cert);
static ngx_int_t ngx_autocert_glance_leaf(ngx_autocert_glance_cert_t *cert,
    ngx_autocert_chain_t *facts);
static ngx_int_t ngx_autocert_glance_validity(ngx_str_t *in,
    ngx_autocert_chain_t *facts);
static ngx_int_t ngx_autocert_glance_time(ngx_str_t *in, time_t *t);
static ngx_int_t ngx_autocert_glance_aki(ngx_str_t *extensions,
    ngx_str_t *aki);


/* authorityKeyIdentifier (RFC 5280, 4.2.1.1) */

static ngx_str_t  ngx_autocert_glance_aki_oid = ngx_string("\x55\x1d\x23");


ngx_int_t
ngx_autocert_glance(ngx_str_t *pem, ngx_autocert_chain_t *facts)
{
    return ngx_autocert_glance_read(pem, facts, NULL);
}


ngx_autocert_chain_t *
ngx_autocert_glance_chain(ngx_str_t *pem)
{
    u_char                *body;
    ngx_autocert_wire_t    w;
    ngx_autocert_chain_t  *chain;

    chain = OPENSSL_malloc(sizeof(ngx_autocert_chain_t));
    body = OPENSSL_malloc(pem->len);    /* DER is shorter */

    if (chain == NULL || body == NULL) {
        goto failed;
    }

    ngx_autocert_wire_init(&w, body, pem->len);

    if (ngx_autocert_glance_read(pem, chain, &w) != NGX_OK || w.failed) {
        goto failed;
    }

    chain->body.data = body;
    chain->body.len = w.pos - body;

    return chain;

failed:

    OPENSSL_free(body);
    OPENSSL_free(chain);

    return NULL;
}


/* body, if not NULL, takes the certificates as strings. */

static ngx_int_t
ngx_autocert_glance_read(ngx_str_t *pem, ngx_autocert_chain_t *facts,
    ngx_autocert_wire_t *body)
{
    char                        *err;
    ngx_int_t                    rc;
    ngx_str_t                    in, label, der, held;
    ngx_uint_t                   n;
    ngx_autocert_glance_cert_t   cert, prev;

    if (pem->len > NGX_AUTOCERT_PEM_SIZE) {
        return NGX_DECLINED;
    }

    ngx_memzero(facts, sizeof(ngx_autocert_chain_t));
    ngx_memzero(&cert, sizeof(ngx_autocert_glance_cert_t));
    ngx_memzero(&prev, sizeof(ngx_autocert_glance_cert_t));
    ngx_str_null(&held);

    in = *pem;

    for (n = 0; /* void */ ; n++) {

        rc = ngx_autocert_pem_block(&in, &label, &der, &err);

        if (rc != NGX_OK) {
            break;
        }

        if (n == NGX_AUTOCERT_X509_CHAIN
            || label.len != 11
            || ngx_strncmp(label.data, "CERTIFICATE", 11) != 0
            || ngx_autocert_glance_cert(&der, &cert) != NGX_OK)
        {
            rc = NGX_DECLINED;

        } else if (n == 0) {
            rc = ngx_autocert_glance_leaf(&cert, facts);

        } else {
            rc = ngx_autocert_glance_same(&prev.issuer, &cert.subject);
        }

        if (rc != NGX_OK) {
            ngx_autocert_pem_free(&der);
            break;
        }

        if (body) {
            ngx_autocert_wire_put_string(body, der.data, der.len);
        }

        /* the next one's subject is compared with what is in this */

        ngx_autocert_pem_free(&held);
        held = der;
        prev = cert;
    }

    ngx_autocert_pem_free(&held);
    ERR_clear_error();

    return (rc == NGX_DONE && n) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_autocert_glance_same(ngx_str_t *one, ngx_str_t *other)
{
    return (one->len == other->len
            && ngx_memcmp(one->data, other->data, one->len) == 0)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_autocert_glance_cert(ngx_str_t *der, ngx_autocert_glance_cert_t *cert)
{
    ngx_str_t  in, outer, tbs, skip, version, number;

    in = *der;

    if (ngx_autocert_der_get(&in, NGX_AUTOCERT_DER_SEQUENCE, &outer) != NGX_OK
        || in.len
        || ngx_autocert_der_get(&outer, NGX_AUTOCERT_DER_SEQUENCE, &tbs)
           != NGX_OK
        || ngx_autocert_der_get(&outer, NGX_AUTOCERT_DER_SEQUENCE, &skip)
           != NGX_OK
        || ngx_autocert_der_get(&outer, NGX_AUTOCERT_DER_BITS, &skip)
           != NGX_OK
        || outer.len)
    {
        return NGX_DECLINED;
    }

    /* version 3 alone has extensions, and is all that is given today */

    if (ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_TAG0, &version) != NGX_OK
        || ngx_autocert_der_get(&version, NGX_AUTOCERT_DER_INTEGER, &number)
           != NGX_OK
        || number.len != 1 || number.data[0] != 2 || version.len
        || ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_INTEGER, &cert->serial)
           != NGX_OK
        || ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_SEQUENCE, &skip)
           != NGX_OK
        || ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_SEQUENCE, &cert->issuer)
           != NGX_OK
        || ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_SEQUENCE,
                                &cert->validity)
           != NGX_OK
        || ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_SEQUENCE,
                                &cert->subject)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    cert->spki = tbs;

    if (ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_SEQUENCE, &skip)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    cert->spki.len -= tbs.len;

    /* the unique identifiers, which nobody uses, are for the other reader */

    if (ngx_autocert_der_get(&tbs, NGX_AUTOCERT_DER_TAG3, &skip) != NGX_OK
        || tbs.len
        || ngx_autocert_der_get(&skip, NGX_AUTOCERT_DER_SEQUENCE,
                                &cert->extensions)
           != NGX_OK
        || skip.len)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_glance_leaf(ngx_autocert_glance_cert_t *cert,
    ngx_autocert_chain_t *facts)
{
    ngx_str_t  aki, serial;

    serial = cert->serial;

    /* a negative one is unusual; a zero in front makes it no such one */

    if (serial.len == 0 || serial.data[0] & 0x80) {
        return NGX_DECLINED;
    }

    if (serial.len > 1 && serial.data[0] == 0) {
        serial.data++;
        serial.len--;
    }

    if (serial.len <= NGX_AUTOCERT_X509_NUMBER) {
        ngx_memcpy(facts->serial, serial.data, serial.len);
        facts->serial_len = serial.len;
    }

    if (ngx_autocert_key_spki(&cert->spki, &facts->curve, facts->id) != NGX_OK
        || ngx_autocert_glance_validity(&cert->validity, facts) != NGX_OK
        || ngx_autocert_glance_aki(&cert->extensions, &aki) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (aki.len) {
        ngx_autocert_x509_certid(facts, &aki, &cert->serial);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_glance_validity(ngx_str_t *in, ngx_autocert_chain_t *facts)
{
    return (ngx_autocert_glance_time(in, &facts->not_before) == NGX_OK
            && ngx_autocert_glance_time(in, &facts->not_after) == NGX_OK
            && in->len == 0)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_autocert_glance_time(ngx_str_t *in, time_t *t)
{
    ngx_str_t  text;

    if (ngx_autocert_der_get(in, NGX_AUTOCERT_DER_UTC, &text) == NGX_OK) {
        return (text.len == sizeof("YYMMDDHHMMSSZ") - 1)
               ? ngx_autocert_time_der(&text, t) : NGX_ERROR;
    }

    if (ngx_autocert_der_get(in, NGX_AUTOCERT_DER_TIME, &text) == NGX_OK) {
        return (text.len == sizeof("YYYYMMDDHHMMSSZ") - 1)
               ? ngx_autocert_time_der(&text, t) : NGX_ERROR;
    }

    return NGX_ERROR;
}


/* The keyIdentifier of the issuer's key; empty where there is none. */

static ngx_int_t
ngx_autocert_glance_aki(ngx_str_t *extensions, ngx_str_t *aki)
{
    ngx_str_t  in, extension, oid, value, skip;

    ngx_str_null(aki);

    for (in = *extensions; in.len; /* void */) {

        if (ngx_autocert_der_get(&in, NGX_AUTOCERT_DER_SEQUENCE, &extension)
            != NGX_OK
            || ngx_autocert_der_get(&extension, NGX_AUTOCERT_DER_OID, &oid)
               != NGX_OK)
        {
            return NGX_DECLINED;
        }

        (void) ngx_autocert_der_get(&extension, NGX_AUTOCERT_DER_BOOLEAN,
                                    &skip);

        if (ngx_autocert_der_get(&extension, NGX_AUTOCERT_DER_OCTETS, &value)
            != NGX_OK
            || extension.len)
        {
            return NGX_DECLINED;
        }

        if (ngx_autocert_glance_same(&oid, &ngx_autocert_glance_aki_oid)
            != NGX_OK)
        {
            continue;
        }

        /* twice, or with more in it than a key's identifier */

        if (aki->data
            || ngx_autocert_der_get(&value, NGX_AUTOCERT_DER_SEQUENCE, &skip)
               != NGX_OK
            || value.len
            || ngx_autocert_der_get(&skip, NGX_AUTOCERT_DER_FIELD0, aki)
               != NGX_OK
            || skip.len)
        {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}
