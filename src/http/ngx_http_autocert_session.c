
/* Sessions are good at the server that they come from, and at no other. */

#include "ngx_http_autocert_module.h"

#include <openssl/evp.h>


static int ngx_http_autocert_session_store(EVP_MD_CTX *md, X509_STORE *store);
static int ngx_libc_cdecl ngx_http_autocert_session_cmp(const void *one,
    const void *two);


/*
 * NGINX derives the context from the certificates of the server, and here
 * are none: all such servers would resume each other's sessions.
 */

ngx_int_t
ngx_http_autocert_session_context(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf)
{
    int                       i, n;
    u_char                    id[EVP_MAX_MD_SIZE], name[EVP_MAX_MD_SIZE];
    ngx_int_t                 rc;
    ngx_str_t                *names;
    EVP_MD_CTX               *md;
    ngx_uint_t                k, verify[2];
    unsigned int              len;
    ngx_http_server_name_t   *sn;
    ngx_http_ssl_srv_conf_t  *sscf;

    STACK_OF(X509_NAME)      *list;

    sscf = ngx_http_conf_get_module_srv_conf(cscf, ngx_http_ssl_module);
    sn = cscf->server_names.elts;

    names = ngx_palloc(cf->temp_pool,
                       cscf->server_names.nelts * sizeof(ngx_str_t));
    md = EVP_MD_CTX_new();

    if (names == NULL || md == NULL) {
        EVP_MD_CTX_free(md);
        return NGX_ERROR;
    }

    for (k = 0; k < cscf->server_names.nelts; k++) {
        names[k] = sn[k].name;
    }

    ngx_qsort(names, k, sizeof(ngx_str_t),
              ngx_http_autocert_session_cmp);

    verify[0] = sscf->verify;
    verify[1] = sscf->verify_depth;

    rc = EVP_DigestInit_ex(md, EVP_sha256(), NULL)
         && EVP_DigestUpdate(md, "HTTP", 4)
         && EVP_DigestUpdate(md, verify, sizeof(verify))
         && ngx_http_autocert_session_store(md,
                                       SSL_CTX_get_cert_store(sscf->ssl.ctx));

    for (k = 0; k < cscf->server_names.nelts; k++) {
        rc = rc && EVP_DigestUpdate(md, names[k].data, names[k].len)
             && EVP_DigestUpdate(md, "", 1);
    }

    list = SSL_CTX_get_client_CA_list(sscf->ssl.ctx);
    n = list ? sk_X509_NAME_num(list) : 0;

    for (i = 0; i < n; i++) {
        rc = rc && X509_NAME_digest(sk_X509_NAME_value(list, i), EVP_sha256(),
                                    name, &len)
             && EVP_DigestUpdate(md, name, len);
    }

    rc = rc && EVP_DigestFinal_ex(md, id, &len)
         && SSL_CTX_set_session_id_context(sscf->ssl.ctx, id, len);

    EVP_MD_CTX_free(md);

    if (!rc) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "autocert: the session id context could not be set");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Whom it would believe: a session that was good before a client certificate
 * was revoked, or at a server with another CA of the same name, is not.
 */

static int
ngx_http_autocert_session_store(EVP_MD_CTX *md, X509_STORE *store)
{
    int            i, n, ok;
    u_char         buf[EVP_MAX_MD_SIZE];
    X509_OBJECT   *object;
    unsigned int   len;

    STACK_OF(X509_OBJECT)  *list;

    list = X509_STORE_get0_objects(store);
    n = list ? sk_X509_OBJECT_num(list) : 0;
    ok = EVP_DigestUpdate(md, &n, sizeof(int));

    for (i = 0; i < n && ok; i++) {
        object = sk_X509_OBJECT_value(list, i);

        ok = (X509_OBJECT_get_type(object) == X509_LU_CRL)
             ? X509_CRL_digest(X509_OBJECT_get0_X509_CRL(object),
                               EVP_sha256(), buf, &len)
             : X509_digest(X509_OBJECT_get0_X509(object), EVP_sha256(), buf,
                           &len);

        ok = ok && EVP_DigestUpdate(md, buf, len);
    }

    return ok;
}


static int ngx_libc_cdecl
ngx_http_autocert_session_cmp(const void *one, const void *two)
{
    const ngx_str_t  *a = one;
    const ngx_str_t  *b = two;

    return (int) ngx_memn2cmp(a->data, b->data, a->len, b->len);
}
