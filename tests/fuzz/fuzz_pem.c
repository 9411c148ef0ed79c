
/*
 * PEM and private keys.  Input: a text; or, if its first byte is '0' (DER's
 * SEQUENCE), the DER of a key, so that what is mutated is not base64.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "../../src/base/ngx_autocert_key.h"
#include "../../src/base/ngx_autocert_pem.h"


#define fuzz_assert(x)  if (!(x)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* A block of these bytes, malloc'ed. */

static void
fuzz_pem_print(ngx_str_t *label, ngx_str_t *der, ngx_str_t *pem)
{
    u_char  *p;

    pem->data = malloc(2 * label->len + 64 + (der->len + 2) / 3 * 4);
    fuzz_assert(pem->data);

    p = ngx_cpymem(pem->data, "-----BEGIN ", 11);
    p = ngx_cpymem(p, label->data, label->len);
    p = ngx_cpymem(p, "-----\n", 6);
    p += EVP_EncodeBlock(p, der->data, der->len);
    p = ngx_cpymem(p, "\n-----END ", 10);
    p = ngx_cpymem(p, label->data, label->len);
    p = ngx_cpymem(p, "-----", 5);

    pem->len = p - pem->data;
}


static ngx_uint_t
fuzz_pem_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}


/* But for blanks, what was read is the one spelling of these bytes. */

static void
fuzz_pem_spelling(u_char *p, u_char *last, ngx_str_t *pem)
{
    u_char  *q, *end;

    q = pem->data;
    end = q + pem->len;

    for ( ;; ) {
        while (p < last && ngx_strchr(" \t\r\n", *p)) {
            p++;
        }

        while (q < end && ngx_strchr(" \t\r\n", *q)) {
            q++;
        }

        if (p == last || q == end) {
            break;
        }

        fuzz_assert(*p++ == *q++);
    }

    fuzz_assert(p == last && q == end);
}


/* Printed and taken apart again it is the same. */

static void
fuzz_pem_again(ngx_str_t *text, ngx_str_t *label, ngx_str_t *der)
{
    char       *err;
    ngx_str_t   pem, in, label2, der2;

    fuzz_pem_print(label, der, &pem);
    fuzz_pem_spelling(text->data, text->data + text->len, &pem);
    in = pem;

    fuzz_assert(ngx_autocert_pem_block(&in, &label2, &der2, &err) == NGX_OK);
    fuzz_assert(fuzz_pem_same(label, &label2) && fuzz_pem_same(der, &der2));
    ngx_autocert_pem_free(&der2);

    fuzz_assert(ngx_autocert_pem_block(&in, &label2, &der2, &err)
                == NGX_DONE);

    free(pem.data);
}


static void
fuzz_pem_blocks(ngx_str_t *text)
{
    char       *err;
    size_t      len;
    ngx_int_t   rc;
    ngx_str_t   in, block, label, der;

    in = *text;

    for ( ;; ) {
        err = NULL;
        len = in.len;
        block.data = in.data;
        rc = ngx_autocert_pem_block(&in, &label, &der, &err);

        if (rc != NGX_OK) {
            break;
        }

        fuzz_assert(in.len < len && in.data + in.len == text->data + text->len);
        fuzz_assert(label.len && label.data > text->data
                    && label.data + label.len < in.data);
        fuzz_assert(der.len && der.len <= (len - in.len) / 4 * 3);

        block.len = in.data - block.data;
        fuzz_pem_again(&block, &label, &der);
        ngx_autocert_pem_free(&der);
    }

    fuzz_assert(rc == NGX_DONE ? in.len == 0 : err != NULL);
}


/* What was read can be written and is the same when read again. */

static void
fuzz_pem_key(ngx_str_t *text)
{
    char       *err;
    u_char      id[NGX_AUTOCERT_KEY_ID];
    EVP_PKEY   *key, *copy;
    ngx_str_t   pem;

    err = NULL;
    key = ngx_autocert_key_parse(text, &err);

    if (key == NULL) {
        fuzz_assert(err);
        return;
    }

    fuzz_assert(ngx_autocert_key_curve(key) == NID_X9_62_prime256v1
                || ngx_autocert_key_curve(key) == NID_secp384r1);
    fuzz_assert(ngx_autocert_key_id(key, id) == NGX_OK);
    fuzz_assert(ngx_autocert_key_write(key, &pem) == NGX_OK);

    copy = ngx_autocert_key_parse(&pem, &err);

    fuzz_assert(copy && EVP_PKEY_eq(key, copy) == 1);

    EVP_PKEY_free(copy);
    EVP_PKEY_free(key);
    ngx_autocert_pem_free(&pem);
}


static void
fuzz_pem_der(ngx_str_t *der)
{
    ngx_uint_t  i;
    ngx_str_t   pem;

    static ngx_str_t  labels[] = {
        ngx_string("PRIVATE KEY"),
        ngx_string("EC PRIVATE KEY")
    };

    for (i = 0; i < 2; i++) {
        fuzz_pem_print(&labels[i], der, &pem);
        fuzz_pem_blocks(&pem);
        fuzz_pem_key(&pem);
        free(pem.data);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t  text;

    /* exactly as long as it is, for the sanitizer */

    text.len = size;
    text.data = malloc(size ? size : 1);
    fuzz_assert(text.data);
    ngx_memcpy(text.data, data, size);

    if (size && data[0] == '0') {
        fuzz_pem_der(&text);

    } else {
        fuzz_pem_blocks(&text);
        fuzz_pem_key(&text);
    }

    fuzz_assert(ERR_peek_error() == 0);
    free(text.data);

    return 0;
}
