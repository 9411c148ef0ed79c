
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-*): the C library's own */
#define _GNU_SOURCE

#include "ngx_autocert_switch.h"

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if (NGX_AUTOCERT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif


#if !defined(NGX_AUTOCERT_UCONTEXT)

#pragma GCC visibility push(hidden)
void ngx_autocert_switch_stack(void **from, void *to);
#pragma GCC visibility pop

#endif


#if defined(NGX_AUTOCERT_UCONTEXT)

/* portable, at the price of a system call for the signal mask */

#elif defined(__x86_64__)

/*
 * System V ABI: rbx, rbp, r12 to r15, MXCSR's and the x87's control bits
 * belong to the caller.
 */

__asm__(
    ".text\n"
    ".hidden ngx_autocert_switch_stack\n"
    ".globl ngx_autocert_switch_stack\n"
    ".type ngx_autocert_switch_stack, @function\n"
    ".p2align 4\n"
    "ngx_autocert_switch_stack:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    subq $8, %rsp\n"
    "    stmxcsr (%rsp)\n"
    "    fnstcw 4(%rsp)\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    ldmxcsr (%rsp)\n"
    "    fldcw 4(%rsp)\n"
    "    addq $8, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size ngx_autocert_switch_stack, . - ngx_autocert_switch_stack\n"
);

#define NGX_AUTOCERT_SWITCH_FRAME  9    /* words, with two of alignment */
#define NGX_AUTOCERT_SWITCH_ENTRY  7    /* the word that is returned to */

#elif defined(__aarch64__)

/* AAPCS64: x19 to x30, sp and the lower halves of v8 to v15 */

__asm__(
    ".text\n"
    ".hidden ngx_autocert_switch_stack\n"
    ".globl ngx_autocert_switch_stack\n"
    ".type ngx_autocert_switch_stack, %function\n"
    ".p2align 4\n"
    "ngx_autocert_switch_stack:\n"
    "    sub sp, sp, #160\n"
    "    stp x19, x20, [sp, #0]\n"
    "    stp x21, x22, [sp, #16]\n"
    "    stp x23, x24, [sp, #32]\n"
    "    stp x25, x26, [sp, #48]\n"
    "    stp x27, x28, [sp, #64]\n"
    "    stp x29, x30, [sp, #80]\n"
    "    stp d8, d9, [sp, #96]\n"
    "    stp d10, d11, [sp, #112]\n"
    "    stp d12, d13, [sp, #128]\n"
    "    stp d14, d15, [sp, #144]\n"
    "    mov x9, sp\n"
    "    str x9, [x0]\n"
    "    mov sp, x1\n"
    "    ldp x19, x20, [sp, #0]\n"
    "    ldp x21, x22, [sp, #16]\n"
    "    ldp x23, x24, [sp, #32]\n"
    "    ldp x25, x26, [sp, #48]\n"
    "    ldp x27, x28, [sp, #64]\n"
    "    ldp x29, x30, [sp, #80]\n"
    "    ldp d8, d9, [sp, #96]\n"
    "    ldp d10, d11, [sp, #112]\n"
    "    ldp d12, d13, [sp, #128]\n"
    "    ldp d14, d15, [sp, #144]\n"
    "    add sp, sp, #160\n"
    "    ret\n"
    ".size ngx_autocert_switch_stack, . - ngx_autocert_switch_stack\n"
);

#define NGX_AUTOCERT_SWITCH_FRAME  20
#define NGX_AUTOCERT_SWITCH_ENTRY  11   /* x30 */

#endif


int
ngx_autocert_switch_usable(void)
{
#if defined(__x86_64__) && !defined(NGX_AUTOCERT_UCONTEXT)

    uint64_t  features;

    /* arch_prctl(ARCH_SHSTK_STATUS), unknown to older kernels */

    features = 0;

    if (syscall(SYS_arch_prctl, 0x5005, &features) == 0) {
        return (features & 1) == 0;
    }

#endif

    return 1;
}


void
ngx_autocert_switch_make(ngx_autocert_context_t *ctx, void *stack,
    size_t size, void (*entry)(void))
{
#if (NGX_AUTOCERT_ASAN)
    /* what stood at this address before */
    __asan_unpoison_memory_region(stack, size);
#endif

#if defined(NGX_AUTOCERT_UCONTEXT)

    (void) getcontext(&ctx->uc);

    ctx->uc.uc_stack.ss_sp = stack;
    ctx->uc.uc_stack.ss_size = size;
    ctx->uc.uc_link = NULL;

    makecontext(&ctx->uc, entry, 0);

#else

    void  **sp;

    sp = (void **) ((unsigned char *) stack + size) - NGX_AUTOCERT_SWITCH_FRAME;

    (void) memset(sp, 0, NGX_AUTOCERT_SWITCH_FRAME * sizeof(void *));

    sp[NGX_AUTOCERT_SWITCH_ENTRY] = (void *) (uintptr_t) entry;

#if defined(__x86_64__)
    __asm__ volatile ("stmxcsr %0" : "=m" (*(uint32_t *) &sp[0]));
    __asm__ volatile ("fnstcw %0"
                      : "=m" (*(uint16_t *) ((unsigned char *) sp + 4)));
#endif

    ctx->sp = sp;

#endif

#if (NGX_AUTOCERT_ASAN)
    ctx->stack = stack;
    ctx->size = size;
    ctx->fake = NULL;
#endif
}


void
ngx_autocert_switch_entered(ngx_autocert_context_t *from)
{
#if (NGX_AUTOCERT_ASAN)
    __sanitizer_finish_switch_fiber(NULL, &from->stack, &from->size);
#else
    (void) from;
#endif
}


void
ngx_autocert_switch(ngx_autocert_context_t *from, ngx_autocert_context_t *to)
{
#if (NGX_AUTOCERT_ASAN)
    __sanitizer_start_switch_fiber(&from->fake, to->stack, to->size);
#endif

#if defined(NGX_AUTOCERT_UCONTEXT)
    (void) swapcontext(&from->uc, &to->uc);
#else
    ngx_autocert_switch_stack(&from->sp, to->sp);
#endif

#if (NGX_AUTOCERT_ASAN)
    __sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#endif
}
