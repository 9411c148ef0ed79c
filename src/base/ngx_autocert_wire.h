
/*
 * Bounded fields of a binary message: integers are in network byte order, a
 * string is a 32-bit length and its bytes.  The first fault sticks, so that
 * a message is put or got whole and looked at once.
 */


#ifndef _NGX_AUTOCERT_WIRE_H_INCLUDED_
#define _NGX_AUTOCERT_WIRE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    u_char    *pos;
    u_char    *end;
    unsigned   failed:1;
} ngx_autocert_wire_t;


#pragma GCC visibility push(hidden)

void ngx_autocert_wire_init(ngx_autocert_wire_t *w, u_char *p, size_t len);

void ngx_autocert_wire_put_u32(ngx_autocert_wire_t *w, uint32_t n);
void ngx_autocert_wire_put_u64(ngx_autocert_wire_t *w, uint64_t n);
void ngx_autocert_wire_put_bytes(ngx_autocert_wire_t *w, const u_char *p,
    size_t len);
void ngx_autocert_wire_put_string(ngx_autocert_wire_t *w, const u_char *p,
    size_t len);

/* A failed get returns 0, or an empty string, or zeroed bytes. */
uint32_t ngx_autocert_wire_get_u32(ngx_autocert_wire_t *w);
uint64_t ngx_autocert_wire_get_u64(ngx_autocert_wire_t *w);
void ngx_autocert_wire_get_bytes(ngx_autocert_wire_t *w, u_char *p,
    size_t len);
void ngx_autocert_wire_get_string(ngx_autocert_wire_t *w, ngx_str_t *s);
                                                /* a view into the message */

/* NGX_OK if nothing failed and nothing is left over. */
ngx_int_t ngx_autocert_wire_done(ngx_autocert_wire_t *w);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_WIRE_H_INCLUDED_ */
