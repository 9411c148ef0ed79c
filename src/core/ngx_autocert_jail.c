
#include "ngx_autocert_jail.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/capability.h>

/* LeakSanitizer looks at a process from another one */
#if (NGX_AUTOCERT_ASAN)
#undef NGX_AUTOCERT_SECCOMP
#endif

#if (NGX_AUTOCERT_SECCOMP)
#include <sched.h>
#include <seccomp.h>
#endif


/*
 * Of root's powers one is left: logs are reopened by path, where they belong
 * to the user of the workers.  The store is root's own.
 */
#define NGX_AUTOCERT_JAIL_CAPABILITY  CAP_DAC_OVERRIDE


static void ngx_autocert_jail_capabilities(ngx_log_t *log);
static ngx_int_t ngx_autocert_jail_filter(ngx_log_t *log);


ngx_int_t
ngx_autocert_jail(ngx_log_t *log)
{
    struct rlimit  rlmt;

    (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

    rlmt.rlim_cur = 0;
    rlmt.rlim_max = 0;
    (void) setrlimit(RLIMIT_CORE, &rlmt);

    ngx_autocert_jail_capabilities(log);

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "autocert: prctl(PR_SET_NO_NEW_PRIVS) failed");
        return NGX_DECLINED;
    }

    return ngx_autocert_jail_filter(log);
}


static void
ngx_autocert_jail_capabilities(ngx_log_t *log)
{
    int                             cap;
    ngx_uint_t                      i;
    struct __user_cap_data_struct   data[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_header_struct header;

    /* EINVAL is the end of those that the kernel knows; EPERM: none is had */

    for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (cap != NGX_AUTOCERT_JAIL_CAPABILITY) {
            (void) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
        }
    }

    (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

    header.version = _LINUX_CAPABILITY_VERSION_3;
    header.pid = 0;

    if (syscall(SYS_capget, &header, data) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "autocert: capget() failed");
        return;
    }

    for (i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted &= (i == CAP_TO_INDEX(NGX_AUTOCERT_JAIL_CAPABILITY))
                             ? CAP_TO_MASK(NGX_AUTOCERT_JAIL_CAPABILITY) : 0;
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }

    if (syscall(SYS_capset, &header, data) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "autocert: capset() failed");
    }
}


#if (NGX_AUTOCERT_SECCOMP)

/*
 * What the process never does, and whoever took it over would: programs,
 * other processes' memory, the kernel's own, other namespaces and roots.
 */

static const int  ngx_autocert_jail_denied[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork),

    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),

    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),

    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
    SCMP_SYS(chroot), SCMP_SYS(move_mount), SCMP_SYS(open_tree),
    SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(fsconfig),
    SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(setns),
    SCMP_SYS(unshare), SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at), SCMP_SYS(fanotify_init),

    SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module),
    SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(reboot),
    SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(quotactl),
    SCMP_SYS(acct), SCMP_SYS(syslog), SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime),
    SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(personality),
    SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(modify_ldt),
    SCMP_SYS(lookup_dcookie),

    SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),

    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid),
    SCMP_SYS(setregid), SCMP_SYS(setresuid), SCMP_SYS(setresgid),
    SCMP_SYS(setgroups), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid),
    SCMP_SYS(capset), SCMP_SYS(mknod), SCMP_SYS(mknodat)
};


static ngx_int_t
ngx_autocert_jail_filter(ngx_log_t *log)
{
    int              rc;
    ngx_uint_t       i;
    scmp_filter_ctx  ctx;

    ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (ctx == NULL) {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "autocert: seccomp_init() failed");
        return NGX_DECLINED;
    }

    rc = 0;

    for (i = 0;
         rc == 0 && i < sizeof(ngx_autocert_jail_denied) / sizeof(int);
         i++)
    {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM),
                              ngx_autocert_jail_denied[i], 0);
    }

    /*
     * Threads, and no processes.  What clone3() is asked for can't be seen;
     * libc takes clone() where there is none.
     */

    if (rc == 0) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    }

    if (rc == 0) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3),
                              0);
    }

    if (rc == 0) {
        rc = seccomp_load(ctx);
    }

    seccomp_release(ctx);

    if (rc == 0) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_NOTICE, log, -rc,
                  "autocert: the kernel takes no filter of system calls, "
                  "the helper goes on without");

    return NGX_DECLINED;
}

#else

static ngx_int_t
ngx_autocert_jail_filter(ngx_log_t *log)
{
    (void) log;

    return NGX_DECLINED;
}

#endif
