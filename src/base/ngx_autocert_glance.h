
/*
 * A look at a chain that takes a tenth of what libcrypto takes for it, which
 * decodes the public key of each certificate: with 10,000 names a start would
 * wait for that.
 */


#ifndef _NGX_AUTOCERT_GLANCE_H_INCLUDED_
#define _NGX_AUTOCERT_GLANCE_H_INCLUDED_


#include "ngx_autocert_x509.h"


#pragma GCC visibility push(hidden)

/*
 * All of facts but the certificates, as ngx_autocert_x509_chain_parse() finds
 * them, if that takes the chain: here only the structure is looked at, and
 * what is needed of it.  NGX_DECLINED: something is unusual or wrong, and that
 * function is to be asked.
 */
ngx_int_t ngx_autocert_glance(ngx_str_t *pem, ngx_autocert_chain_t *facts);

/*
 * Facts and body, to be freed as any chain; NULL in place of NGX_DECLINED.
 * Who decodes the body has to be ready for what is no certificate.
 */
ngx_autocert_chain_t *ngx_autocert_glance_chain(ngx_str_t *pem);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_GLANCE_H_INCLUDED_ */
