
#include <ngx_config.h>
#include <ngx_core.h>

#include "../../src/keys/ngx_autocert_protocol.h"


/*
 * Each input is a hello, a frame of questions and a frame of answers.  What is
 * got of it, put again, is the same bytes, and does not fit into one less.
 */


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_protocol_view(ngx_str_t *s, u_char *frame, size_t size)
{
    if (s->len
        && (s->data < frame || s->len > size
            || s->data > frame + size - s->len))
    {
        abort();
    }
}


static void
fuzz_protocol_same(u_char *out, size_t len, u_char *frame, size_t size)
{
    if (len != size || ngx_memcmp(out, frame, size) != 0) {
        abort();
    }
}


static void
fuzz_protocol_hello(u_char *frame, size_t size, u_char *out)
{
    ngx_autocert_hello_t  hello;

    if (ngx_autocert_protocol_hello_get(&hello, frame, size) != NGX_OK) {
        return;
    }

    if (size != NGX_AUTOCERT_PROTOCOL_HELLO
        || ngx_autocert_protocol_hello_put(&hello, out, size - 1) != 0)
    {
        abort();
    }

    fuzz_protocol_same(out, ngx_autocert_protocol_hello_put(&hello, out, size),
                       frame, size);
}


/* The length of the question that the frame begins with, or 0. */

static size_t
fuzz_protocol_question(u_char *frame, size_t size, u_char *out)
{
    size_t                   n;
    ngx_autocert_question_t  q;

    n = ngx_autocert_protocol_question_get(&q, frame, size);

    if (n == 0) {
        return 0;
    }

    if (n > size || n > NGX_AUTOCERT_PROTOCOL_QUESTION) {
        abort();
    }

    fuzz_protocol_view(&q.digest, frame, n);

    switch (q.type) {

    case NGX_AUTOCERT_PROTOCOL_CHAIN:
    case NGX_AUTOCERT_PROTOCOL_UNFIT:
        if (q.digest.len != 0) {
            abort();
        }

        break;

    case NGX_AUTOCERT_PROTOCOL_SIGN:
        if (q.digest.len == 0
            || q.digest.len > NGX_AUTOCERT_PROTOCOL_DIGEST)
        {
            abort();
        }

        break;

    default:
        abort();
    }

    if (ngx_autocert_protocol_question_put(&q, out, n - 1) != 0) {
        abort();
    }

    fuzz_protocol_same(out, ngx_autocert_protocol_question_put(&q, out, n),
                       frame, n);

    return n;
}


static size_t
fuzz_protocol_answer(u_char *frame, size_t size, u_char *out)
{
    size_t                 n;
    ngx_autocert_answer_t  a;

    n = ngx_autocert_protocol_answer_get(&a, frame, size);

    if (n == 0) {
        return 0;
    }

    if (n > size) {
        abort();
    }

    fuzz_protocol_view(&a.body, frame, n);

    if (ngx_autocert_protocol_answer_put(&a, out, n - 1) != 0) {
        abort();
    }

    fuzz_protocol_same(out, ngx_autocert_protocol_answer_put(&a, out, n),
                       frame, n);

    return n;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t   n;
    u_char  *frame, *out, *p;

    /* a copy of exactly its length: a read beyond it is seen */

    frame = malloc(size ? size : 1);
    out = malloc(size ? size : 1);

    if (frame != NULL && out != NULL) {
        ngx_memcpy(frame, data, size);

        fuzz_protocol_hello(frame, size, out);

        p = frame;

        do {
            n = fuzz_protocol_question(p, frame + size - p, out);
            p += n;
        } while (n);

        p = frame;

        do {
            n = fuzz_protocol_answer(p, frame + size - p, out);
            p += n;
        } while (n);
    }

    free(frame);
    free(out);

    return 0;
}
