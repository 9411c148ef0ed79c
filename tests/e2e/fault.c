
/*
 * Preloaded: files that can't be opened, and a pair that is put into the
 * store in the midst of a commit, as a test says by a file that is mapped.
 */

#define _GNU_SOURCE 1

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>


typedef struct {
    volatile int32_t   error;       /* of openat(); 0: none */
    volatile uint32_t  hits;        /* how often it was met */
    volatile uint32_t  swap;        /* after the next rename to privkey.pem */
    char               name[52];    /* of the file */
} fault_t;


static fault_t   fault_none;
static fault_t  *fault = &fault_none;


/* NGINX takes variables out of its environment: it is looked for once */

__attribute__((constructor)) static void
fault_init(void)
{
    int    fd;
    char  *path;
    void  *p;

    path = getenv("AUTOCERT_FAULT");
    fd = path ? open(path, O_RDWR|O_CLOEXEC) : -1;

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(fault_t), PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    if (p != MAP_FAILED) {
        fault = p;
    }

    close(fd);
}


static int
fault_open(int fd, const char *name, int flags, mode_t mode)
{
    if (fault->error && strcmp(name, fault->name) == 0) {
        __atomic_add_fetch(&fault->hits, 1, __ATOMIC_SEQ_CST);
        errno = fault->error;
        return -1;
    }

    return (int) syscall(SYS_openat, fd, name, flags, mode);
}


int
openat(int fd, const char *name, int flags, ...)
{
    mode_t   mode;
    va_list  args;

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, mode_t) : 0;
    va_end(args);

    return fault_open(fd, name, flags, mode);
}


int
openat64(int fd, const char *name, int flags, ...)
{
    mode_t   mode;
    va_list  args;

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, mode_t) : 0;
    va_end(args);

    return fault_open(fd, name, flags, mode);
}


int
renameat(int from, const char *name, int to, const char *new_name)
{
    int  rc;

    rc = (int) syscall(SYS_renameat2, from, name, to, new_name, 0);

    if (rc == 0 && fault->swap && strcmp(new_name, "privkey.pem") == 0) {
        fault->swap = 0;
        (void) syscall(SYS_renameat2, to, "hand.chain", to, "fullchain.pem",
                       0);
        (void) syscall(SYS_renameat2, to, "hand.key", to, "privkey.pem", 0);
    }

    return rc;
}
