
/*
 * What a CA refuses by, to a failure record.  Input:
 *
 *     byte 0      which status, and which name the order is for
 *     byte 1      after how many allocations there is no memory; 0: there is
 *     two lines   Retry-After and Link, empty: not sent
 *     the rest    body
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/acme/ngx_autocert_limit.h"
#include "../../src/acme/ngx_autocert_problem.h"
#include "../unit/ngx_stub.h"


#define FUZZ_NOW   1700000000
#define FUZZ_WEEK  604800
#define FUZZ_SPAN  2678400
#define FUZZ_TEXT  (NGX_AUTOCERT_PROBLEM_TEXT + 3 * 300)


#define fuzz_assert(x)  if (!(x)) { __builtin_trap(); }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_uint_t  fuzz_statuses[] = { 301, 400, 403, 404, 429, 500, 503, 0 };

static ngx_str_t  fuzz_names[] = {
    ngx_string("example.org"),
    ngx_string("www.shop.example.co.uk"),
    ngx_string("*.example.org"),
    ngx_string("192.0.2.1")
};


/* One line off the front. */

static void
fuzz_line(ngx_str_t *in, ngx_str_t *line)
{
    u_char  *p;

    *line = *in;
    p = in->len ? ngx_strlchr(in->data, in->data + in->len, '\n') : NULL;

    if (p == NULL) {
        in->len = 0;
        return;
    }

    line->len = p - in->data;
    in->data = p + 1;
    in->len -= line->len + 1;
}


/* It can be put into a log line as it is. */

static void
fuzz_printable(ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_str_t  copy;

    fuzz_assert(ngx_autocert_fail_text(pool, text, text->len, &copy)
                == NGX_OK);
    fuzz_assert(copy.len == text->len);
    fuzz_assert(copy.len == 0
                || ngx_memcmp(copy.data, text->data, copy.len) == 0);
}


static void
fuzz_scope(ngx_str_t *name, ngx_autocert_fail_t *fail)
{
    u_char      *p;
    ngx_uint_t   scope;

    scope = ngx_autocert_limit_scope(name, fail);

    fuzz_assert(scope <= NGX_AUTOCERT_FAIL_CA);
    fuzz_assert((scope == NGX_AUTOCERT_FAIL_DOMAIN)
                == (fail->domain.len != 0));
    fuzz_assert(fail->span >= 0 && fail->span <= FUZZ_SPAN);
    fuzz_assert(fail->interval >= 0 && fail->interval <= fail->span);

    if (scope != NGX_AUTOCERT_FAIL_DOMAIN) {
        fuzz_assert(fail->span == 0);
        return;
    }

    /* the name, or what follows a dot of it, and no single label */

    p = name->data + name->len - fail->domain.len;

    fuzz_assert(fail->domain.data == p && p >= name->data);
    fuzz_assert(p == name->data || p[-1] == '.');
    fuzz_assert(ngx_strlchr(p, p + fail->domain.len, '.') != NULL);
    fuzz_assert(p == name->data || name->data[0] != '1');
}


static void
fuzz_fail(ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_problem_t *problem)
{
    ngx_autocert_fail_t  fail;

    fuzz_assert(ngx_autocert_problem_fail(pool, problem, &fail) == NGX_ERROR);

    fuzz_assert(fail.kind >= NGX_AUTOCERT_FAIL_NETWORK
                && fail.kind <= NGX_AUTOCERT_FAIL_CONFIGURATION);
    fuzz_assert(fail.why.len != 0 && fail.retry_at == problem->retry_at);
    fuzz_assert(!fail.lasting || fail.kind == NGX_AUTOCERT_FAIL_REFUSED);
    fuzz_assert(fail.kind != NGX_AUTOCERT_FAIL_NETWORK || fail.retry_at == 0);

    if (problem->status == 429 || problem->status == 503) {
        fuzz_assert(fail.kind == NGX_AUTOCERT_FAIL_LIMITED);
    }

    fuzz_scope(name, &fail);
}


static void
fuzz_problem(ngx_pool_t *pool, ngx_str_t *name, ngx_autocert_problem_t *problem)
{
    fuzz_assert(problem->text.len <= FUZZ_TEXT);
    fuzz_printable(pool, &problem->text);
    fuzz_printable(pool, &problem->type);

    fuzz_assert(problem->retry_at == 0
                || (problem->retry_at >= FUZZ_NOW
                    && problem->retry_at <= FUZZ_NOW + FUZZ_WEEK));

    fuzz_fail(pool, name, problem);
}


/* The same words, not yet printable, of exactly their length. */

static void
fuzz_limit(ngx_str_t *name, ngx_str_t *text)
{
    time_t               t;
    ngx_autocert_fail_t  fail;

    ngx_memzero(&fail, sizeof(ngx_autocert_fail_t));
    fail.detail = *text;

    fuzz_scope(name, &fail);

    t = ngx_autocert_limit_retry(text, FUZZ_NOW);

    fuzz_assert(t == 0 || (t >= FUZZ_NOW && t <= FUZZ_NOW + FUZZ_WEEK));
    fuzz_assert(!ngx_autocert_limit_about(text, name)
                || text->len >= name->len);
    fuzz_assert(ngx_autocert_limit_about(name, name));
}


static void
fuzz_response(ngx_str_t *name, ngx_autocert_response_t *response,
    ngx_uint_t fail_at)
{
    ngx_int_t                rc;
    ngx_autocert_problem_t   problem;

    ngx_stub_fail_at = fail_at;

    rc = ngx_autocert_problem_response(response->pool, response, name,
                                       FUZZ_NOW, &problem);
    ngx_stub_fail_at = 0;

    fuzz_assert(rc == NGX_OK || fail_at);

    if (rc == NGX_OK) {
        fuzz_problem(response->pool, name, &problem);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                   *copy;
    ngx_str_t                 in, link, *name;
    ngx_autocert_response_t   response;

    if (size < 2) {
        return 0;
    }

    copy = malloc(size - 2 + (size == 2));
    fuzz_assert(copy);
    ngx_memcpy(copy, data + 2, size - 2);

    in.data = copy;
    in.len = size - 2;

    name = &fuzz_names[data[0] >> 3 & 3];

    ngx_memzero(&response, sizeof(ngx_autocert_response_t));

    response.pool = ngx_create_pool(4096, &ngx_stub_log);
    fuzz_assert(response.pool);

    fuzz_assert(ngx_array_init(&response.links, response.pool, 1,
                               sizeof(ngx_str_t))
                == NGX_OK);

    response.status = fuzz_statuses[data[0] & 7];
    fuzz_line(&in, &response.retry_after);
    fuzz_line(&in, &link);
    response.body = in;

    if (link.len) {
        *(ngx_str_t *) ngx_array_push(&response.links) = link;
    }

    fuzz_limit(name, &in);
    fuzz_response(name, &response, data[1]);

    ngx_destroy_pool(response.pool);
    free(copy);

    return 0;
}
