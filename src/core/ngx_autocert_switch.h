
/*
 * A stack of one's own, and the switch from one to another.  Plain C, so that
 * it can be tested on processors that NGINX is not built for.
 */


#ifndef _NGX_AUTOCERT_SWITCH_H_INCLUDED_
#define _NGX_AUTOCERT_SWITCH_H_INCLUDED_


#include <stddef.h>


#if !defined(NGX_AUTOCERT_UCONTEXT)                                          \
    && !defined(__x86_64__) && !defined(__aarch64__)
#define NGX_AUTOCERT_UCONTEXT  1
#endif

#if defined(NGX_AUTOCERT_UCONTEXT)
#include <ucontext.h>
#endif


/* Where a flow of control goes on: saved by a switch away from it. */

typedef struct {
#if defined(NGX_AUTOCERT_UCONTEXT)
    ucontext_t    uc;
#else
    void         *sp;
#endif

#if (NGX_AUTOCERT_ASAN)
    const void   *stack;
    size_t        size;
    void         *fake;
#endif
} ngx_autocert_context_t;


#pragma GCC visibility push(hidden)

/* False where the processor guards returns by a shadow stack. */
int ngx_autocert_switch_usable(void);

/*
 * Makes ctx begin with entry(), which never returns, on the stack of size
 * bytes from stack.
 */
void ngx_autocert_switch_make(ngx_autocert_context_t *ctx, void *stack,
    size_t size, void (*entry)(void));

/* To be called first in entry(): from is what was switched away from. */
void ngx_autocert_switch_entered(ngx_autocert_context_t *from);

/* Saves the flow of control in from and goes on in to. */
void ngx_autocert_switch(ngx_autocert_context_t *from,
    ngx_autocert_context_t *to);

#pragma GCC visibility pop


#endif /* _NGX_AUTOCERT_SWITCH_H_INCLUDED_ */
