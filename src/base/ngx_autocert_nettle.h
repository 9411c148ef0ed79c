
/*
 * P-384 by Nettle, several times faster than by OpenSSL.  GMP gives no memory
 * back as it was, once a scalar has been made here.
 */


#ifndef _NGX_AUTOCERT_NETTLE_H_INCLUDED_
#define _NGX_AUTOCERT_NETTLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#if (NGX_AUTOCERT_NETTLE)

#include <gmp.h>
#include <nettle/ecc-curve.h>
#include <nettle/ecc.h>


#define NGX_AUTOCERT_NETTLE_SIZE   48
#define NGX_AUTOCERT_NETTLE_POINT  (2 * NGX_AUTOCERT_NETTLE_SIZE + 1)


#pragma GCC visibility push(hidden)

/*
 * To be given to ecc_scalar_clear().  NGX_ERROR, and there is none: it is 0,
 * or not below the order of the curve.
 */
ngx_int_t ngx_autocert_nettle_scalar(struct ecc_scalar *scalar,
    u_char p[NGX_AUTOCERT_NETTLE_SIZE]);

/* The public point of a private scalar, not compressed. */
void ngx_autocert_nettle_point(struct ecc_scalar *scalar,
    u_char p[NGX_AUTOCERT_NETTLE_POINT]);

#pragma GCC visibility pop


#endif


#endif /* _NGX_AUTOCERT_NETTLE_H_INCLUDED_ */
