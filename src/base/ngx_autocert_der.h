
/* One element of DER after the other (X.690, 10), views into the input. */


#ifndef _NGX_AUTOCERT_DER_H_INCLUDED_
#define _NGX_AUTOCERT_DER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_DER_BOOLEAN   0x01
#define NGX_AUTOCERT_DER_INTEGER   0x02
#define NGX_AUTOCERT_DER_BITS      0x03
#define NGX_AUTOCERT_DER_OCTETS    0x04
#define NGX_AUTOCERT_DER_OID       0x06
#define NGX_AUTOCERT_DER_UTC       0x17
#define NGX_AUTOCERT_DER_TIME      0x18
#define NGX_AUTOCERT_DER_SEQUENCE  0x30
#define NGX_AUTOCERT_DER_FIELD0    0x80
#define NGX_AUTOCERT_DER_FIELD1    0x81
#define NGX_AUTOCERT_DER_TAG0      0xa0
#define NGX_AUTOCERT_DER_TAG1      0xa1
#define NGX_AUTOCERT_DER_TAG3      0xa3


#pragma GCC visibility push(hidden)

/*
 * One element off the front of in, lengths in their shortest form and of at
 * most two bytes.  NGX_DECLINED, and in as it was, if it is something else.
 */
ngx_int_t ngx_autocert_der_get(ngx_str_t *in, ngx_uint_t tag,
    ngx_str_t *content);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_DER_H_INCLUDED_ */
