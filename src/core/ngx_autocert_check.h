
/* What nginx -t says of the store, which it looks at and leaves as it is. */


#ifndef _NGX_AUTOCERT_CHECK_H_INCLUDED_
#define _NGX_AUTOCERT_CHECK_H_INCLUDED_


#include "../ngx_autocert.h"


#pragma GCC visibility push(hidden)

/* The configuration is complete.  Reads certificates, and never a key. */
void ngx_autocert_check(ngx_conf_t *cf, ngx_autocert_conf_t *acf);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_CHECK_H_INCLUDED_ */
