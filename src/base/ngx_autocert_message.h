
/* HTTP/1.1 messages of a client (RFC 9112): a request out, a response in. */


#ifndef _NGX_AUTOCERT_MESSAGE_H_INCLUDED_
#define _NGX_AUTOCERT_MESSAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AUTOCERT_MESSAGE_HEADER  16384    /* bytes of status and fields */
#define NGX_AUTOCERT_MESSAGE_BODY    262144
#define NGX_AUTOCERT_MESSAGE_URL     2048


/* An https URL, in views into the text that was parsed. */

typedef struct {
    ngx_str_t   authority;  /* host[:port], as it goes into Host */
    ngx_str_t   host;       /* without the brackets of an IPv6 literal */
    in_port_t   port;       /* host byte order */
    ngx_str_t   path;       /* with query; "/" if empty */
    unsigned    literal:1;  /* host is an IP address */
} ngx_autocert_url_t;


#define NGX_AUTOCERT_GET   0
#define NGX_AUTOCERT_HEAD  1
#define NGX_AUTOCERT_POST  2


typedef struct {
    ngx_uint_t  method;
    ngx_str_t   url;
    ngx_str_t   content_type;   /* of body */
    ngx_str_t   accept;         /* may be empty */
    ngx_str_t   body;           /* POST only */
} ngx_autocert_request_t;


/* The fields a client of ACME acts upon; all others are checked, not kept. */

typedef struct {
    ngx_uint_t    status;
    ngx_str_t     content_type; /* without parameters, lower case */
    ngx_str_t     nonce;        /* Replay-Nonce */
    ngx_str_t     location;
    ngx_str_t     retry_after;  /* as sent, see ngx_autocert_time_retry() */
    ngx_str_t     date;         /* as sent */
    ngx_array_t   links;        /* ngx_str_t: Link fields, as sent */
    ngx_str_t     body;
    unsigned      keepalive:1;  /* the connection may be used again */

    /* the parser's own */
    ngx_pool_t   *pool;
    char         *err;
    ngx_uint_t    state;
    ngx_uint_t    method;
    ngx_buf_t    *line;
    size_t        header_size;
    off_t         length;       /* -1: not told */
    size_t        rest;
    size_t        size;         /* allocated for body */
    ngx_uint_t    interim;      /* 1xx responses skipped */
    unsigned      chunked:1;
    unsigned      has_length:1;
    unsigned      http10:1;
    unsigned      close:1;
} ngx_autocert_response_t;


#pragma GCC visibility push(hidden)

/*
 * https only, no user information, no fragment, host of name characters or
 * an IP literal, no byte below 0x21 or above 0x7e.  NGX_DECLINED otherwise.
 */
ngx_int_t ngx_autocert_message_url(ngx_str_t *text, ngx_autocert_url_t *url);

/* The bytes to send.  agent goes into User-Agent. */
ngx_int_t ngx_autocert_message_request(ngx_pool_t *pool,
    ngx_autocert_request_t *request, ngx_autocert_url_t *url,
    ngx_str_t *agent, ngx_str_t *out);

ngx_int_t ngx_autocert_message_init(ngx_autocert_response_t *response,
    ngx_pool_t *pool, ngx_uint_t method);

/*
 * Eats bytes in any portions.  NGX_OK: complete, *pos is behind it;
 * NGX_AGAIN: all eaten, more to come; NGX_ERROR: response->err says why
 * (malformed, conflicting or repeated lengths, over a limit).  1xx responses
 * are skipped.
 */
ngx_int_t ngx_autocert_message_parse(ngx_autocert_response_t *response,
    u_char **pos, u_char *last);

/* The connection was closed: NGX_OK if the response is complete by that. */
ngx_int_t ngx_autocert_message_eof(ngx_autocert_response_t *response);

/*
 * Finds the target of a Link field with this relation (RFC 8288), for the
 * n-th match counted from 0.  NGX_OK, or NGX_DECLINED.
 */
ngx_int_t ngx_autocert_message_link(ngx_autocert_response_t *response,
    const char *rel, ngx_uint_t n, ngx_str_t *target);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_MESSAGE_H_INCLUDED_ */
