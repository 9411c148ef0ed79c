
/*
 * The answer of "autocert_status", made in pieces: as many as fit a buffer,
 * and not more in one turn of the event loop than take a fraction of a ms.
 */


#ifndef _NGX_HTTP_AUTOCERT_STATUS_H_INCLUDED_
#define _NGX_HTTP_AUTOCERT_STATUS_H_INCLUDED_


#include "ngx_http_autocert_module.h"


/* Bytes that a piece may have; all strings in it are cut, and escaped. */
#define NGX_HTTP_AUTOCERT_STATUS_PIECE  24576

#define NGX_HTTP_AUTOCERT_STATUS_PAGE   100     /* names on a page of HTML */


/* What the page has found of a name, while it is looked for the worst. */

typedef struct {
    uint64_t                       rank;
    ngx_uint_t                     index;
} ngx_http_autocert_ranked_t;


typedef struct ngx_http_autocert_status_s  ngx_http_autocert_status_t;


/*
 * Writes the next piece at p and returns its end; moves on st->part and
 * st->index, and sets st->done behind the last one.
 */
typedef u_char *(*ngx_http_autocert_status_pt)(
    ngx_http_autocert_status_t *st, u_char *p, u_char *last);


struct ngx_http_autocert_status_s {
    ngx_http_request_t            *request;
    ngx_autocert_conf_t           *acf;
    ngx_autocert_name_t           *names;
    ngx_uint_t                     n;           /* names; 0: no autocert */
    ngx_http_autocert_status_pt    write;
    time_t                         now;
    ngx_autocert_totals_t          totals;

    /* of all names, once they are counted */
    ngx_uint_t                     total;
    ngx_uint_t                     queue;       /* due, and not done */
    ngx_uint_t                     states[NGX_AUTOCERT_STATES];

    ngx_uint_t                     part;
    ngx_uint_t                     index;       /* of the next name */

    /* of the page */
    ngx_str_t                      name;        /* asked for; lower case */
    ngx_int_t                      state;       /* likewise; -1: any */
    ngx_uint_t                     page;
    ngx_http_autocert_ranked_t    *ranked;
    ngx_uint_t                     nranked;

    ngx_chain_t                   *free;
    ngx_chain_t                   *busy;

    unsigned                       html:1;
    unsigned                       counted:1;
    unsigned                       comma:1;
    unsigned                       done:1;
};


#pragma GCC visibility push(hidden)

u_char *ngx_http_autocert_status_json(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
u_char *ngx_http_autocert_status_prometheus(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);
u_char *ngx_http_autocert_status_html(ngx_http_autocert_status_t *st,
    u_char *p, u_char *last);

/* For the page: what it was asked for, and its policy. */
ngx_int_t ngx_http_autocert_status_html_init(ngx_http_autocert_status_t *st);
ngx_int_t ngx_http_autocert_status_html_policy(void);
extern ngx_str_t  ngx_http_autocert_status_policy;

/* For the page: a name is counted; ranks it if it is asked for. */
void ngx_http_autocert_status_html_rank(ngx_http_autocert_status_t *st,
    ngx_uint_t index, ngx_autocert_digest_t *digest);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_AUTOCERT_STATUS_H_INCLUDED_ */
