
/* Preloaded: there is no memory for a stack. */

#define _GNU_SOURCE 1

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>


void *mmap64(void *addr, size_t size, int prot, int flags, int fd,
    off64_t offset);


/* what mmap() is called where files may be large, as in NGINX */

void *
mmap64(void *addr, size_t size, int prot, int flags, int fd, off64_t offset)
{
    static void  *(*next)(void *, size_t, int, int, int, off64_t);

    if (flags & MAP_STACK) {
        errno = ENOMEM;
        return MAP_FAILED;
    }

    if (next == NULL) {
        *(void **) &next = dlsym(RTLD_NEXT, "mmap64");
    }

    return next(addr, size, prot, flags, fd, offset);
}
