
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_autocert_protocol.h"
#include "../base/ngx_autocert_wire.h"


#define NGX_AUTOCERT_PROTOCOL_MAGIC  0x61636d65


static size_t ngx_autocert_protocol_length(ngx_autocert_wire_t *w,
    u_char *frame);


size_t
ngx_autocert_protocol_hello_put(ngx_autocert_hello_t *hello, u_char *frame,
    size_t size)
{
    ngx_autocert_wire_t  w;

    ngx_autocert_wire_init(&w, frame, size);

    ngx_autocert_wire_put_u32(&w, NGX_AUTOCERT_PROTOCOL_MAGIC);
    ngx_autocert_wire_put_u32(&w, NGX_AUTOCERT_PROTOCOL_VERSION);
    ngx_autocert_wire_put_u32(&w, hello->worker);
    ngx_autocert_wire_put_u32(&w, hello->pid);

    return ngx_autocert_protocol_length(&w, frame);
}


ngx_int_t
ngx_autocert_protocol_hello_get(ngx_autocert_hello_t *hello, u_char *frame,
    size_t len)
{
    uint32_t             magic, version;
    ngx_autocert_wire_t  w;

    ngx_autocert_wire_init(&w, frame, len);

    magic = ngx_autocert_wire_get_u32(&w);
    version = ngx_autocert_wire_get_u32(&w);
    hello->worker = ngx_autocert_wire_get_u32(&w);
    hello->pid = ngx_autocert_wire_get_u32(&w);

    if (ngx_autocert_wire_done(&w) != NGX_OK
        || magic != NGX_AUTOCERT_PROTOCOL_MAGIC
        || version != NGX_AUTOCERT_PROTOCOL_VERSION)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


size_t
ngx_autocert_protocol_question_put(ngx_autocert_question_t *question,
    u_char *frame, size_t size)
{
    ngx_autocert_wire_t  w;

    ngx_autocert_wire_init(&w, frame, size);

    ngx_autocert_wire_put_u32(&w, question->type);
    ngx_autocert_wire_put_u64(&w, question->number);
    ngx_autocert_wire_put_u32(&w, question->index);

    if (question->type == NGX_AUTOCERT_PROTOCOL_SIGN) {
        ngx_autocert_wire_put_bytes(&w, question->id, NGX_AUTOCERT_KEY_ID);
        ngx_autocert_wire_put_string(&w, question->digest.data,
                                     question->digest.len);
    }

    return ngx_autocert_protocol_length(&w, frame);
}


size_t
ngx_autocert_protocol_question_get(ngx_autocert_question_t *question,
    u_char *frame, size_t size)
{
    ngx_autocert_wire_t  w;

    ngx_memzero(question, sizeof(ngx_autocert_question_t));

    ngx_autocert_wire_init(&w, frame, size);

    question->type = ngx_autocert_wire_get_u32(&w);
    question->number = ngx_autocert_wire_get_u64(&w);
    question->index = ngx_autocert_wire_get_u32(&w);

    switch (question->type) {

    case NGX_AUTOCERT_PROTOCOL_CHAIN:
    case NGX_AUTOCERT_PROTOCOL_UNFIT:
        break;

    case NGX_AUTOCERT_PROTOCOL_SIGN:
        ngx_autocert_wire_get_bytes(&w, question->id, NGX_AUTOCERT_KEY_ID);
        ngx_autocert_wire_get_string(&w, &question->digest);

        if (question->digest.len == 0
            || question->digest.len > NGX_AUTOCERT_PROTOCOL_DIGEST)
        {
            return 0;
        }

        break;

    default:
        return 0;
    }

    return ngx_autocert_protocol_length(&w, frame);
}


size_t
ngx_autocert_protocol_answer_put(ngx_autocert_answer_t *answer, u_char *frame,
    size_t size)
{
    ngx_autocert_wire_t  w;

    ngx_autocert_wire_init(&w, frame, size);

    ngx_autocert_wire_put_u32(&w, answer->type);
    ngx_autocert_wire_put_u64(&w, answer->number);
    ngx_autocert_wire_put_u32(&w, answer->status);
    ngx_autocert_wire_put_u32(&w, answer->bootstrap);
    ngx_autocert_wire_put_u64(&w, answer->generation);
    ngx_autocert_wire_put_string(&w, answer->body.data, answer->body.len);

    return ngx_autocert_protocol_length(&w, frame);
}


size_t
ngx_autocert_protocol_answer_get(ngx_autocert_answer_t *answer, u_char *frame,
    size_t size)
{
    ngx_autocert_wire_t  w;

    ngx_autocert_wire_init(&w, frame, size);

    answer->type = ngx_autocert_wire_get_u32(&w);
    answer->number = ngx_autocert_wire_get_u64(&w);
    answer->status = ngx_autocert_wire_get_u32(&w);
    answer->bootstrap = ngx_autocert_wire_get_u32(&w);
    answer->generation = ngx_autocert_wire_get_u64(&w);
    ngx_autocert_wire_get_string(&w, &answer->body);

    return ngx_autocert_protocol_length(&w, frame);
}


static size_t
ngx_autocert_protocol_length(ngx_autocert_wire_t *w, u_char *frame)
{
    return w->failed ? 0 : (size_t) (w->pos - frame);
}
