
#include "ngx_autocert_spawn.h"
#include "ngx_autocert_door.h"
#include "ngx_autocert_helper.h"

#include <ngx_channel.h>

#include <pthread.h>


static void ngx_autocert_spawn_await(ngx_cycle_t *old);
static void ngx_autocert_spawn_replaced(void *data);
static ngx_int_t ngx_autocert_spawn_slot(void);
static void ngx_autocert_spawn_fill(ngx_int_t s, ngx_uint_t just_spawn);
static void ngx_autocert_spawn_announce(ngx_int_t s, ngx_log_t *log);
static void ngx_autocert_spawn_prepare(void);
static void ngx_autocert_spawn_channel(void);


/* the configuration whose helper is to live, and the name of all of its own */
static ngx_autocert_conf_t  *ngx_autocert_spawn_wanted;
static char                 *ngx_autocert_spawn_name;
static ngx_uint_t            ngx_autocert_spawn_atfork;

/* the new cycle of a reload, until it has its helper */
static ngx_cycle_t          *ngx_autocert_spawn_reload;
static ngx_uint_t            ngx_autocert_spawn_forking;


ngx_int_t
ngx_autocert_spawn_create(ngx_cycle_t *cycle, ngx_autocert_core_t *core)
{
    if (ngx_autocert_door_create(cycle, core->door) != NGX_OK) {
        return NGX_ERROR;
    }

    core->starts = ngx_autocert_shared(cycle, sizeof(ngx_autocert_starts_t));

    return core->starts ? NGX_OK : NGX_ERROR;
}


/*
 * NGINX spawns children of modules nowhere but in its reaping: a slot that
 * looks like a dead child which wants to be respawned is started there, on a
 * cold start and a rollback alike.  On a reload it would be 100 ms later than
 * the new workers: there it is spawned once the old cycle has been put away.
 */

void
ngx_autocert_spawn_arm(ngx_cycle_t *cycle, ngx_autocert_conf_t *acf)
{
    ngx_int_t         s;
    ngx_uint_t        alone;
    ngx_core_conf_t  *ccf;

    alone = (ngx_autocert_spawn_wanted == NULL);

    ngx_autocert_spawn_wanted = NULL;
    ngx_autocert_spawn_reload = NULL;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (acf == NULL || !ccf->master) {
        return;
    }

    if (!ngx_autocert_spawn_atfork) {
        if (pthread_atfork(ngx_autocert_spawn_prepare, NULL, NULL) != 0) {
            ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                          "autocert: pthread_atfork() failed, there will be "
                          "no helper");
            return;
        }

        ngx_autocert_spawn_atfork = 1;
    }

    ngx_autocert_spawn_wanted = acf;

    /* never freed: a slot outlives this module when that is removed */

    ngx_autocert_spawn_name = strdup("autocert helper");

    if (ngx_autocert_spawn_name == NULL) {
        ngx_autocert_spawn_name = "";
    }

    if (ngx_process == NGX_PROCESS_MASTER) {
        acf->core->alone = alone;
        ngx_autocert_spawn_reload = cycle;
        ngx_autocert_spawn_await(cycle->old_cycle);
        return;
    }

    s = ngx_autocert_spawn_slot();

    if (s != NGX_INVALID_PID) {
        ngx_autocert_spawn_fill(s, 0);
    }
}


/* The last cleanup of its pool: the helper is to inherit nothing of it. */

static void
ngx_autocert_spawn_await(ngx_cycle_t *old)
{
    ngx_pool_cleanup_t  *cln, **last;

    cln = ngx_pool_cleanup_add(old->pool, 0);

    /* without memory the next fork arms a slot */

    if (cln == NULL) {
        return;
    }

    old->pool->cleanup = cln->next;

    last = &old->pool->cleanup;

    while (*last) {
        last = &(*last)->next;
    }

    *last = cln;

    cln->handler = ngx_autocert_spawn_replaced;
    cln->data = ngx_autocert_spawn_reload;
    cln->next = NULL;
}


/*
 * The pool of the old cycle goes: its sockets and files are closed, and the new
 * workers are spawned next.
 */

static void
ngx_autocert_spawn_replaced(void *data)
{
    ngx_pid_t     pid;
    ngx_cycle_t  *cycle = data;

    /*
     * At debug level the rest of its end is told to the old log, whose file
     * is closed: its descriptor would be one of what is opened here.
     */

    *cycle->old_cycle->log = *cycle->log;

    ngx_autocert_spawn_forking = 1;

    /* spared by the one QUIT that a reload sends to all older children */

    pid = ngx_spawn_process(cycle, ngx_autocert_helper_cycle,
                            ngx_autocert_spawn_wanted,
                            ngx_autocert_spawn_name,
                            NGX_PROCESS_JUST_RESPAWN);

    ngx_autocert_spawn_forking = 0;

    /* else the next fork arms a slot */

    if (pid != NGX_INVALID_PID) {
        ngx_autocert_spawn_reload = NULL;
        ngx_autocert_spawn_announce(ngx_process_slot, cycle->log);
    }
}


/* A free slot of the process table, or NGX_INVALID_PID. */

static ngx_int_t
ngx_autocert_spawn_slot(void)
{
    ngx_int_t  s;

    for (s = 0; s < ngx_last_process; s++) {
        if (ngx_processes[s].pid == -1) {
            return s;
        }
    }

    if (s == NGX_MAX_PROCESSES) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "autocert: no more than %d processes can be spawned",
                      NGX_MAX_PROCESSES);
        return NGX_INVALID_PID;
    }

    ngx_last_process++;

    return s;
}


static void
ngx_autocert_spawn_fill(ngx_int_t s, ngx_uint_t just_spawn)
{
    ngx_process_t  *p;

    p = &ngx_processes[s];

    ngx_memzero(p, sizeof(ngx_process_t));

    p->pid = NGX_MAX_INT32_VALUE;
    p->proc = ngx_autocert_helper_cycle;
    p->data = ngx_autocert_spawn_wanted;
    p->respawn = 1;
    p->just_spawn = just_spawn;
    p->exited = 1;
    p->name = ngx_autocert_spawn_name;

    /* reaping closes the channel, and workers are told of it */

    if (socketpair(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0,
                   p->channel)
        == -1)
    {
        p->channel[0] = -1;
        p->channel[1] = -1;
    }

    ngx_autocert_spawn_announce(s, ngx_cycle->log);

    ngx_reap = 1;
}


void
ngx_autocert_spawn_succeed(ngx_cycle_t *cycle)
{
    ngx_int_t       n;
    ngx_process_t  *p;

    for (n = 0; n < ngx_last_process; n++) {
        p = &ngx_processes[n];

        /* of another cycle, whose configuration had the same address: never */

        if (n == ngx_process_slot
            || p->pid == -1
            || p->exited
            || p->name != ngx_autocert_spawn_name)
        {
            continue;
        }

        if (kill(p->pid, SIGTERM) == -1) {
            ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                          "kill(%P, SIGTERM) failed", p->pid);
        }
    }
}


/* As the static ngx_pass_open_channel() does. */

static void
ngx_autocert_spawn_announce(ngx_int_t s, ngx_log_t *log)
{
    ngx_int_t      i;
    ngx_channel_t  ch;

    if (ngx_processes[s].channel[0] == -1) {
        return;
    }

    ngx_memzero(&ch, sizeof(ngx_channel_t));

    ch.command = NGX_CMD_OPEN_CHANNEL;
    ch.pid = ngx_processes[s].pid;
    ch.slot = s;
    ch.fd = ngx_processes[s].channel[0];

    for (i = 0; i < ngx_last_process; i++) {

        if (i == s
            || ngx_processes[i].pid == -1
            || ngx_processes[i].exited
            || ngx_processes[i].channel[0] == -1)
        {
            continue;
        }

        (void) ngx_write_channel(ngx_processes[i].channel[0], &ch,
                                 sizeof(ngx_channel_t), log);
    }
}


/*
 * Run by the C library in the master before each fork.  A master that comes
 * out of a failed upgrade starts its workers anew without init_module; and
 * an armed slot is only looked at after a signal.
 */

static void
ngx_autocert_spawn_prepare(void)
{
    sigset_t    set;
    ngx_int_t   i, s;
    ngx_uint_t  reload;

    ngx_autocert_spawn_channel();

    if (ngx_autocert_spawn_forking
        || ngx_autocert_spawn_wanted == NULL
        || ngx_process != NGX_PROCESS_MASTER
        || ngx_pid != ngx_getpid()
        || ngx_quit
        || ngx_terminate
        || sigprocmask(SIG_BLOCK, NULL, &set) == -1
        || !sigismember(&set, SIGCHLD))
    {
        return;
    }

    for (i = 0; i < ngx_last_process; i++) {

        if (ngx_processes[i].pid == -1
            || ngx_processes[i].proc != ngx_autocert_helper_cycle
            || ngx_processes[i].data != ngx_autocert_spawn_wanted
            || ngx_processes[i].exiting
            || ngx_processes[i].detached)
        {
            continue;
        }

        if (ngx_processes[i].exited && i != ngx_process_slot) {
            ngx_reap = 1;
            (void) raise(SIGCHLD);
        }

        return;
    }

    /* somebody's else, in a reload that is not that far */

    if (ngx_autocert_spawn_reload && ngx_autocert_spawn_reload != ngx_cycle) {
        return;
    }

    /* the old cycle's pool has not done it */

    reload = (ngx_autocert_spawn_reload != NULL);
    ngx_autocert_spawn_reload = NULL;

    s = ngx_autocert_spawn_slot();

    if (s == ngx_process_slot) {

        /* the fork under way has chosen the one past the end for itself */

        ngx_processes[s].pid = -1;
        s = (ngx_last_process < NGX_MAX_PROCESSES) ? ngx_last_process++
                                                   : NGX_INVALID_PID;
    }

    if (s != NGX_INVALID_PID) {
        ngx_autocert_spawn_fill(s, reload);
        (void) raise(SIGCHLD);
    }
}


/*
 * NGINX gives the master's end of each child's channel to all workers: the
 * kernel is to say who writes to a helper, from the first message on.
 */

static void
ngx_autocert_spawn_channel(void)
{
    int             on;
    ngx_process_t  *p;

    p = &ngx_processes[ngx_process_slot];

    if (!ngx_autocert_spawn_forking
        && (ngx_process_slot >= ngx_last_process
            || p->pid == -1
            || !p->exited
            || p->proc != ngx_autocert_helper_cycle))
    {
        return;
    }

    on = 1;

    (void) setsockopt(p->channel[1], SOL_SOCKET, SO_PASSCRED, &on,
                      sizeof(int));

    /* what is out of band would wake the helper, and not be seen */
    (void) setsockopt(p->channel[1], SOL_SOCKET, SO_OOBINLINE, &on,
                      sizeof(int));
}
