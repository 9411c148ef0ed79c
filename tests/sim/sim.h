
/*
 * Two years of a server's life against a scripted CA, in seconds: what the
 * parts of the simulation know of each other.
 */


#ifndef _SIM_H_INCLUDED_
#define _SIM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/base/ngx_autocert_message.h"
#include "../../src/base/ngx_autocert_x509.h"


#define SIM_BEGIN    1800000000
#define SIM_MINUTE   60
#define SIM_HOUR     3600
#define SIM_DAY      86400
#define SIM_WEEK     (7 * SIM_DAY)
#define SIM_MONTH    (30 * SIM_DAY + 10 * SIM_HOUR)

#define SIM_CA       "https://ca.test/"
#define SIM_KINDS    3          /* of certificates, by their life */
#define SIM_TENTHS   10
#define SIM_MINUTES  64


/* How many events there are in any span. */

typedef struct {
    time_t       span;
    time_t      *at;            /* a ring */
    ngx_uint_t   size;
    ngx_uint_t   first;
    ngx_uint_t   n;
    ngx_uint_t   most;
} sim_count_t;


typedef struct {
    time_t       begin;
    time_t       end;
    unsigned     busy:1;        /* answers 503, else refuses connections */
} sim_outage_t;


/* An order of the CA, and the certificate that comes of it. */

typedef struct {
    uint32_t     name;
    uint64_t     key;
    time_t       valid_at;      /* the validation ends; 0: not begun */
    time_t       issued_at;     /* the certificate is there; 0: not asked for */
    time_t       not_before;
    time_t       not_after;
    time_t       ask_at;        /* polled again, not before */
    time_t       look_at;       /* at its window, not before */
    unsigned     bad:1;         /* the validation fails */
    unsigned     told:1;        /* the client knows of it */
    unsigned     seen:1;        /* its window was told */
    unsigned     done:1;        /* nothing more is to come of it */
} sim_order_t;


typedef struct {
    ngx_str_t    name;
    ngx_uint_t   kind;
    unsigned     ari:1;         /* its certificates have a certid */
    ngx_uint_t   order;         /* the last one; 0: none */
    sim_count_t  orders;        /* in a week */
    sim_count_t  spent;         /* certificates in a span of the budget */
    sim_count_t  week;          /* certificates in a week */
} sim_ca_name_t;


typedef struct {
    ngx_uint_t      nnames;
    sim_ca_name_t  *names;
    sim_order_t    *orders;     /* the first one is not used */
    ngx_uint_t      norders;
    ngx_uint_t      size;
    sim_outage_t   *outages;
    ngx_uint_t      noutages;
    ngx_uint_t      outage;     /* the one now or next */

    /* of the answer that is on its way */
    time_t         *until;      /* what its Retry-After is about */
    time_t          wait;
    ngx_uint_t      made;       /* the order that it tells of; 0: none */

    unsigned        blind:1;    /* it has no renewal windows */
    unsigned        past:1;     /* they are always over */

    /* while it is out of order */
    time_t          hold;       /* Retry-After */
    time_t          unseen;     /* of a window, which is about windows */
    time_t          refused_at; /* the last connection */
    ngx_uint_t      gaps[SIM_MINUTES];  /* between two, when it is long */

    /* what the judge sees */
    sim_count_t     hour;       /* requests */
    sim_count_t     pace;       /* orders in three hours */
    uint64_t        requests;
    uint64_t        windows;
    ngx_uint_t      certificates;
    ngx_uint_t      failed;     /* validations */
    ngx_uint_t      early;      /* requests while told to wait */
    ngx_uint_t      limited;    /* 429 */
    ngx_uint_t      left;       /* orders that were not gone on with */
    ngx_uint_t      resumed;    /* that were, after a restart */
    ngx_uint_t      replaces;
    ngx_uint_t      strange;    /* requests that make no sense */
    ngx_uint_t      tenths[SIM_TENTHS];     /* of windows, where ordered */
    u_char          body[4096];
    u_char          header[256];
} sim_ca_t;


typedef struct {
    char           *title;
    time_t          life;
    time_t          renew;      /* due that long before the end */
    ngx_uint_t      budget;     /* certificates in a week */
} sim_kind_t;


extern const sim_kind_t  sim_kinds[SIM_KINDS];


uint32_t sim_random(void);
void sim_random_seed(uint64_t seed);
void *sim_alloc(size_t size);

void sim_count(sim_count_t *count, time_t now);

void sim_ca_init(sim_ca_t *ca, ngx_uint_t nnames, ngx_uint_t days);
void sim_ca_free(sim_ca_t *ca);

/*
 * The answer to a request for the name with this index, in memory of the CA
 * until the next one.  NGX_DECLINED: the connection is refused.
 */
ngx_int_t sim_ca_ask(sim_ca_t *ca, time_t now, ngx_uint_t index,
    ngx_autocert_request_t *request, ngx_autocert_response_t *response);

/* The client has read the answer. */
void sim_ca_heard(sim_ca_t *ca);

/* The certificate that a text of the CA stands for, or NULL. */
sim_order_t *sim_ca_certificate(sim_ca_t *ca, ngx_str_t *pem);
void sim_ca_chain(sim_ca_t *ca, sim_order_t *order,
    ngx_autocert_chain_t *chain);

/* How long it could be reached between two instants. */
time_t sim_ca_reached(sim_ca_t *ca, time_t from, time_t till);


#endif /* _SIM_H_INCLUDED_ */
