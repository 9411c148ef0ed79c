
/*
 * Certificates of CAs: few there are, and many chains have them.  Each is
 * decoded once, and kept once in memory.
 */


#ifndef _NGX_AUTOCERT_INTERMEDIATE_H_INCLUDED_
#define _NGX_AUTOCERT_INTERMEDIATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/x509.h>


#pragma GCC visibility push(hidden)

/*
 * As ngx_autocert_x509_read(): a reference to be freed, to a certificate
 * that is not to be changed.  NULL: no certificate.  Any thread may ask.
 */
X509 *ngx_autocert_intermediate(ngx_str_t *der);

/* Lets go of what is kept, as a process leaves. */
void ngx_autocert_intermediate_clear(void);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_INTERMEDIATE_H_INCLUDED_ */
