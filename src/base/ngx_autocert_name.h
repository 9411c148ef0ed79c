
/* Identifiers: which server_name becomes a certificate's name, and how. */


#ifndef _NGX_AUTOCERT_NAME_H_INCLUDED_
#define _NGX_AUTOCERT_NAME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_NAME_SNI  72   /* bytes of a reverse name */


#pragma GCC visibility push(hidden)

/*
 * Folds case, drops one trailing dot.  NGX_OK; NGX_DECLINED and *err if it
 * is no DNS name (RFC 1123 labels of 1 to 63, 253 in all, '_' allowed here
 * because private CAs sign it) nor an IP address: such a name is not asked
 * for and never becomes a path segment.  Names that pass are safe as one.
 */
ngx_int_t ngx_autocert_name_check(ngx_pool_t *pool, ngx_str_t *in,
    ngx_str_t *out, char **err);

/*
 * Would a public CA sign it?  NULL if so, else the reason: single label,
 * IP address, underscore, or a name that is not of the public DNS
 * (localhost, .local, .internal, .lan, .test, .invalid, ...).
 */
char *ngx_autocert_name_private(ngx_str_t *name);

/*
 * What a CA sends as SNI to validate a name by TLS-ALPN-01: the name, or for
 * an IP address its reverse name (RFC 8738, 6), written to buf.
 */
void ngx_autocert_name_sni(ngx_str_t *name,
    u_char buf[NGX_AUTOCERT_NAME_SNI], ngx_str_t *sni);

/* Does a certificate's pattern ("*.example.com" or plain) cover the name? */
ngx_uint_t ngx_autocert_name_match(ngx_str_t *pattern, ngx_str_t *name);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_NAME_H_INCLUDED_ */
