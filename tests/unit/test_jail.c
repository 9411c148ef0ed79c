
#include "../../src/core/ngx_autocert_jail.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ngx_stub.h"


/* In a child, as the jail is for good: its exit status. */

static int
test_jail_child(int (*call)(void))
{
    int    status;
    pid_t  pid;

    pid = fork();
    assert_int_not_equal(pid, -1);

    if (pid == 0) {
        _exit(call());
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));

    return WEXITSTATUS(status);
}


static int
test_jail_process(void)
{
    struct rlimit                    rlmt;
    struct __user_cap_data_struct    data[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_header_struct  header;

    (void) ngx_autocert_jail(&ngx_stub_log);

    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return 1;
    }

    if (getrlimit(RLIMIT_CORE, &rlmt) == -1 || rlmt.rlim_max != 0) {
        return 2;
    }

    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
        return 3;
    }

    header.version = _LINUX_CAPABILITY_VERSION_3;
    header.pid = 0;

    if (syscall(SYS_capget, &header, data) == -1) {
        return 4;
    }

    if ((data[0].permitted & ~CAP_TO_MASK(CAP_DAC_OVERRIDE))
        || (data[0].effective & ~CAP_TO_MASK(CAP_DAC_OVERRIDE))
        || data[0].inheritable || data[1].permitted || data[1].inheritable)
    {
        return 5;
    }

    if (geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 1
        && prctl(PR_CAPBSET_READ, CAP_SETPCAP, 0, 0, 0) == 0)
    {
        return 6;
    }

    return 0;
}


static void
test_jail_powers(void **data)
{
    (void) data;

    assert_int_equal(test_jail_child(test_jail_process), 0);
}


#if (NGX_AUTOCERT_SECCOMP)

/* What docs/SECURITY.md promises, whatever else the jail denies. */

static const int  test_jail_promised[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
    SYS_process_vm_writev, SYS_pidfd_getfd, SYS_bpf, SYS_mount, SYS_umount2,
    SYS_kexec_load, SYS_init_module, SYS_finit_module, SYS_keyctl,
    SYS_perf_event_open, SYS_setns, SYS_unshare, SYS_chroot,
    SYS_io_uring_setup, SYS_userfaultfd, SYS_setuid
};


/* The filter alone: without a power EPERM would be no proof. */

static int
test_jail_each(void)
{
    ngx_uint_t  i;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
        || ngx_autocert_jail_filter(&ngx_stub_log) != NGX_OK)
    {
        return 255;
    }

    /* these arguments are wrong: a call that is made says something else */

    for (i = 0; i < sizeof(test_jail_promised) / sizeof(int); i++) {

        if (syscall(test_jail_promised[i], -1, -1, -1, -1, -1) != -1
            || errno != EPERM)
        {
            return i + 1;
        }
    }

    return 0;
}


static void
test_jail_denied(void **data)
{
    (void) data;

    assert_int_equal(test_jail_child(test_jail_each), 0);
}


static int
test_jail_fork(void)
{
    pid_t  pid;

    if (ngx_autocert_jail(&ngx_stub_log) != NGX_OK) {
        return 255;
    }

    pid = fork();

    if (pid == 0) {
        _exit(0);
    }

    return (pid == -1 && errno == EPERM) ? 0 : 1;
}


static void
test_jail_processes(void **data)
{
    (void) data;

    assert_int_equal(test_jail_child(test_jail_fork), 0);
}


static void *
test_jail_thread(void *data)
{
    /* the filter is that of the threads as well */

    *(int *) data = (syscall(SYS_ptrace, -1, -1, -1, -1) == -1
                     && errno == EPERM);
    return data;
}


static int
test_jail_work(void)
{
    int        fd, denied;
    char       c;
    pthread_t  thread;

    if (ngx_autocert_jail(&ngx_stub_log) != NGX_OK) {
        return 255;
    }

    denied = 0;

    if (pthread_create(&thread, NULL, test_jail_thread, &denied) != 0
        || pthread_join(thread, NULL) != 0 || !denied)
    {
        return 1;
    }

    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1 || close(fd) == -1) {
        return 2;
    }

    fd = open("/dev/urandom", O_RDONLY);
    if (fd == -1 || read(fd, &c, 1) != 1) {
        return 3;
    }

    return 0;
}


static void
test_jail_allowed(void **data)
{
    (void) data;

    assert_int_equal(test_jail_child(test_jail_work), 0);
}

#endif


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_jail_powers),
#if (NGX_AUTOCERT_SECCOMP)
        cmocka_unit_test(test_jail_denied),
        cmocka_unit_test(test_jail_processes),
        cmocka_unit_test(test_jail_allowed),
#endif
    };

    return cmocka_run_group_tests_name("jail", tests, NULL, NULL);
}
