
/*
 * A module that makes workers do what a test tells them: a thread of theirs
 * calls functions by their names, for whoever connects to the abstract socket
 * "taken.<pid>".  So a test has what one who took a worker over would have.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_channel.h>

#include <pthread.h>
#include <stddef.h>


#define TAKEN_SCRATCH  (1024 * 1024)


typedef long (*taken_pt)(long a, long b, long c, long d, long e, long f);


typedef struct {
    char   name[40];
    long   args[6];
} taken_order_t;


typedef struct {
    long   value;
    long   error;
} taken_result_t;


static ngx_int_t taken_init_process(ngx_cycle_t *cycle);
static void taken_start(void *(*run)(void *), int fd);
static void *taken_listen(void *data);
static void *taken_obey(void *data);

long taken_pid(long slot);
long taken_channel(long slot);


static ngx_core_module_t  taken_module_ctx = {
    ngx_string("taken"),
    NULL,
    NULL
};


ngx_module_t  taken_module = {
    NGX_MODULE_V1,
    &taken_module_ctx,                 /* module context */
    NULL,                              /* module directives */
    NGX_CORE_MODULE,                   /* module type */
    NULL,                              /* init master */
    NULL,                              /* init module */
    taken_init_process,                /* init process */
    NULL,                              /* init thread */
    NULL,                              /* exit thread */
    NULL,                              /* exit process */
    NULL,                              /* exit master */
    NGX_MODULE_V1_PADDING
};


/* what NGINX's build writes into a file of its own */

extern ngx_module_t  *ngx_modules[];
extern char          *ngx_module_names[];
extern char          *ngx_module_order[];

ngx_module_t  *ngx_modules[] = { &taken_module, NULL };
char          *ngx_module_names[] = { "taken_module", NULL };
char          *ngx_module_order[] = { NULL };


/* NGINX's table, of the processes that this worker knows */

long
taken_pid(long slot)
{
    return (slot < ngx_last_process) ? ngx_processes[slot].pid : 0;
}


long
taken_channel(long slot)
{
    return ngx_processes[slot].channel[0];
}


static ngx_int_t
taken_init_process(ngx_cycle_t *cycle)
{
    int                 fd, len;
    struct sockaddr_un  sun;

    (void) cycle;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return NGX_ERROR;
    }

    ngx_memzero(&sun, sizeof(sun));
    sun.sun_family = AF_UNIX;
    len = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "taken.%d",
                   (int) ngx_pid);

    if (bind(fd, (struct sockaddr *) &sun,
             offsetof(struct sockaddr_un, sun_path) + 1 + len)
        == -1
        || listen(fd, 16) == -1)
    {
        return NGX_ERROR;
    }

    taken_start(taken_listen, fd);

    return NGX_OK;
}


static void
taken_start(void *(*run)(void *), int fd)
{
    sigset_t   all, old;
    pthread_t  thread;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);

    if (pthread_create(&thread, NULL, run, (void *) (intptr_t) fd) == 0) {
        (void) pthread_detach(thread);
    }

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
}


static void *
taken_listen(void *data)
{
    int  fd;

    for ( ;; ) {
        fd = accept4((int) (intptr_t) data, NULL, NULL, SOCK_CLOEXEC);

        if (fd != -1) {
            taken_start(taken_obey, fd);
        }
    }

    return NULL;
}


/* Says first what its own descriptor is and where there is memory to use. */

static void *
taken_obey(void *data)
{
    int             fd;
    long           *args, about[2];
    taken_pt        function;
    taken_order_t   order;
    taken_result_t  result;

    fd = (int) (intptr_t) data;

    about[0] = fd;
    about[1] = (long) malloc(TAKEN_SCRATCH);
    (void) send(fd, about, sizeof(about), MSG_NOSIGNAL);

    while (recv(fd, &order, sizeof(order), MSG_WAITALL) == sizeof(order)) {
        args = order.args;
        function = (taken_pt) (intptr_t) dlsym(RTLD_DEFAULT, order.name);

        errno = function ? 0 : ENOSYS;
        result.value = function ? function(args[0], args[1], args[2], args[3],
                                           args[4], args[5])
                                : -1;
        result.error = errno;

        (void) send(fd, &result, sizeof(result), MSG_NOSIGNAL);
    }

    (void) close(fd);
    free((void *) about[1]);

    return NULL;
}
