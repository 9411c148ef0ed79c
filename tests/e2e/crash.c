/*
 * Preloaded: kills the process at one of its calls that change the store, when
 * it has committed a pair, or as it jails itself, and counts what a mere look
 * at the configuration must not do, as a test says by a file that is mapped.
 */

#define _GNU_SOURCE 1

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>


typedef struct {
    volatile uint32_t  calls;       /* that change the store */
    volatile uint32_t  at;          /* the one that is not made; 0: none */
    volatile uint32_t  early;       /* each helper is killed as it begins */
    volatile uint32_t  deaths;
    volatile uint32_t  opened;      /* files of the store, or itself */
    volatile uint32_t  connected;   /* to another host, or this one */
    volatile uint32_t  keys;        /* made */
    volatile uint32_t  committed;   /* killed once a pair is */
    char               store[224];
} crash_t;


static crash_t   crash_none;
static crash_t  *crash = &crash_none;


__attribute__((constructor)) static void
crash_init(void)
{
    int    fd;
    char  *path;
    void  *p;

    path = getenv("AUTOCERT_CRASH");
    fd = path ? open(path, O_RDWR|O_CLOEXEC) : -1;

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(crash_t), PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    if (p != MAP_FAILED) {
        crash = p;
    }

    close(fd);
}


static void
crash_die(void)
{
    __atomic_add_fetch(&crash->deaths, 1, __ATOMIC_SEQ_CST);
    (void) syscall(SYS_kill, getpid(), SIGKILL);
}


/* Is it below the store, or the store itself? */

static int
crash_in_store(int fd, const char *name)
{
    char     link[32], path[256];
    size_t   len;
    ssize_t  n;

    len = strlen(crash->store);

    if (len == 0) {
        return 0;
    }

    if (name && name[0] == '/') {
        return strncmp(name, crash->store, len) == 0;
    }

    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path));

    return n >= (ssize_t) len && memcmp(path, crash->store, len) == 0;
}


static void
crash_change(int fd, const char *name)
{
    uint32_t  n;

    if (!crash_in_store(fd, name)) {
        return;
    }

    n = __atomic_add_fetch(&crash->calls, 1, __ATOMIC_SEQ_CST);

    if (n == crash->at) {
        crash_die();
    }
}


static int
crash_open(int fd, const char *name, int flags, mode_t mode)
{
    if (flags & O_CREAT) {
        crash_change(fd, name);
    }

    if (crash_in_store(fd, name)) {
        __atomic_add_fetch(&crash->opened, 1, __ATOMIC_SEQ_CST);
    }

    return (int) syscall(SYS_openat, fd, name, flags, mode);
}


#define crash_mode(flags, mode)                                              \
    {                                                                        \
        va_list  args;                                                       \
                                                                             \
        va_start(args, flags);                                               \
        mode = (flags & O_CREAT) ? va_arg(args, mode_t) : 0;                 \
        va_end(args);                                                        \
    }


int
open(const char *name, int flags, ...)
{
    mode_t  mode;

    crash_mode(flags, mode);

    return crash_open(AT_FDCWD, name, flags, mode);
}


int
open64(const char *name, int flags, ...)
{
    mode_t  mode;

    crash_mode(flags, mode);

    return crash_open(AT_FDCWD, name, flags, mode);
}


int
openat(int fd, const char *name, int flags, ...)
{
    mode_t  mode;

    crash_mode(flags, mode);

    return crash_open(fd, name, flags, mode);
}


int
openat64(int fd, const char *name, int flags, ...)
{
    mode_t  mode;

    crash_mode(flags, mode);

    return crash_open(fd, name, flags, mode);
}


int
mkdir(const char *name, mode_t mode)
{
    crash_change(AT_FDCWD, name);

    return (int) syscall(SYS_mkdirat, AT_FDCWD, name, mode);
}


int
mkdirat(int fd, const char *name, mode_t mode)
{
    crash_change(fd, name);

    return (int) syscall(SYS_mkdirat, fd, name, mode);
}


int
renameat(int from, const char *name, int to, const char *new_name)
{
    int  rc;

    crash_change(from, name);

    rc = (int) syscall(SYS_renameat2, from, name, to, new_name, 0);

    if (rc == 0 && crash->committed && strcmp(new_name, "privkey.pem") == 0) {
        crash->committed = 0;
        crash_die();
    }

    return rc;
}


int
unlinkat(int fd, const char *name, int flags)
{
    crash_change(fd, name);

    return (int) syscall(SYS_unlinkat, fd, name, flags);
}


int
fchmod(int fd, mode_t mode)
{
    crash_change(fd, NULL);

    return (int) syscall(SYS_fchmod, fd, mode);
}


int
fsync(int fd)
{
    crash_change(fd, NULL);

    return (int) syscall(SYS_fsync, fd);
}


ssize_t
write(int fd, const void *buf, size_t len)
{
    crash_change(fd, NULL);

    return syscall(SYS_write, fd, buf, len);
}


int
connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6) {
        __atomic_add_fetch(&crash->connected, 1, __ATOMIC_SEQ_CST);
    }

    return (int) syscall(SYS_connect, fd, sa, len);
}


/* of OpenSSL: how keys are made here, with one argument more */

void *EVP_PKEY_Q_keygen(void *ctx, const char *query, const char *type, ...);

void *
EVP_PKEY_Q_keygen(void *ctx, const char *query, const char *type, ...)
{
    void      *arg;
    va_list    args;
    void    *(*real)(void *ctx, const char *query, const char *type, ...);

    __atomic_add_fetch(&crash->keys, 1, __ATOMIC_SEQ_CST);

    va_start(args, type);
    arg = va_arg(args, void *);
    va_end(args);

    *(void **) &real = dlsym(RTLD_NEXT, "EVP_PKEY_Q_keygen");

    return real(ctx, query, type, arg);
}


int
prctl(int option, ...)
{
    va_list        args;
    unsigned long  a, b, c, d;

    va_start(args, option);
    a = va_arg(args, unsigned long);
    b = va_arg(args, unsigned long);
    c = va_arg(args, unsigned long);
    d = va_arg(args, unsigned long);
    va_end(args);

    if (option == PR_SET_NO_NEW_PRIVS && crash->early) {
        crash_die();
    }

    return (int) syscall(SYS_prctl, option, a, b, c, d);
}
