
/* PEM (RFC 7468), without a copy left behind of what may be secret. */


#ifndef _NGX_AUTOCERT_PEM_H_INCLUDED_
#define _NGX_AUTOCERT_PEM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_PEM_SIZE  65536    /* of a text, at most */


#pragma GCC visibility push(hidden)

/*
 * One block off the front of in.  NGX_DONE at the end; NGX_ERROR and *err where
 * that is no PEM; label points into the text; der is malloc'ed and to
 * be given to ngx_autocert_pem_free().
 */
ngx_int_t ngx_autocert_pem_block(ngx_str_t *in, ngx_str_t *label,
    ngx_str_t *der, char **err);

/* White space off the front. */
void ngx_autocert_pem_blanks(ngx_str_t *in);

/* Cleanses and frees what was malloc'ed and secret. */
void ngx_autocert_pem_free(ngx_str_t *secret);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_PEM_H_INCLUDED_ */
