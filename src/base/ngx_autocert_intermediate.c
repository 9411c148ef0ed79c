
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_intermediate.h"
#include "ngx_autocert_x509.h"

#include <pthread.h>


#define NGX_AUTOCERT_INTERMEDIATES  8


typedef struct {
    X509       *cert;
    ngx_str_t   der;        /* as it was read: libcrypto's may be another */
} ngx_autocert_intermediate_t;


static X509 *ngx_autocert_intermediate_find(ngx_str_t *der);
static void ngx_autocert_intermediate_keep(X509 *cert, ngx_str_t *der);


static ngx_autocert_intermediate_t
                     ngx_autocert_intermediates[NGX_AUTOCERT_INTERMEDIATES];
static ngx_uint_t       ngx_autocert_intermediate_next;
static pthread_mutex_t  ngx_autocert_intermediate_mutex =
                                                  PTHREAD_MUTEX_INITIALIZER;


X509 *
ngx_autocert_intermediate(ngx_str_t *der)
{
    X509  *cert;

    (void) pthread_mutex_lock(&ngx_autocert_intermediate_mutex);

    cert = ngx_autocert_intermediate_find(der);

    (void) pthread_mutex_unlock(&ngx_autocert_intermediate_mutex);

    if (cert) {
        return cert;
    }

    cert = ngx_autocert_x509_read(der);
    if (cert == NULL) {
        return NULL;
    }

    (void) pthread_mutex_lock(&ngx_autocert_intermediate_mutex);

    ngx_autocert_intermediate_keep(cert, der);

    (void) pthread_mutex_unlock(&ngx_autocert_intermediate_mutex);

    return cert;
}


static X509 *
ngx_autocert_intermediate_find(ngx_str_t *der)
{
    ngx_uint_t                    i;
    ngx_autocert_intermediate_t  *known;

    for (i = 0; i < NGX_AUTOCERT_INTERMEDIATES; i++) {
        known = &ngx_autocert_intermediates[i];

        if (known->cert
            && known->der.len == der->len
            && ngx_memcmp(known->der.data, der->data, der->len) == 0
            && X509_up_ref(known->cert) == 1)
        {
            return known->cert;
        }
    }

    return NULL;
}


/* In the place of the oldest; without memory for it, not at all. */

static void
ngx_autocert_intermediate_keep(X509 *cert, ngx_str_t *der)
{
    u_char                       *copy;
    ngx_autocert_intermediate_t  *oldest;

    copy = malloc(der->len);

    if (copy == NULL || X509_up_ref(cert) != 1) {
        free(copy);
        return;
    }

    oldest = &ngx_autocert_intermediates[ngx_autocert_intermediate_next++
                                         % NGX_AUTOCERT_INTERMEDIATES];

    X509_free(oldest->cert);
    free(oldest->der.data);

    ngx_memcpy(copy, der->data, der->len);

    oldest->cert = cert;
    oldest->der.data = copy;
    oldest->der.len = der->len;
}


void
ngx_autocert_intermediate_clear(void)
{
    ngx_uint_t                    i;
    ngx_autocert_intermediate_t  *known;

    (void) pthread_mutex_lock(&ngx_autocert_intermediate_mutex);

    for (i = 0; i < NGX_AUTOCERT_INTERMEDIATES; i++) {
        known = &ngx_autocert_intermediates[i];

        X509_free(known->cert);
        free(known->der.data);

        ngx_memzero(known, sizeof(ngx_autocert_intermediate_t));
    }

    (void) pthread_mutex_unlock(&ngx_autocert_intermediate_mutex);
}
