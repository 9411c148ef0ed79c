
#include "ngx_autocert_helper.h"
#include "ngx_autocert_door.h"
#include "ngx_autocert_facts.h"
#include "ngx_autocert_jail.h"
#include "ngx_autocert_schedule.h"
#include "ngx_autocert_spawn.h"

#include <ngx_channel.h>

#include <openssl/rand.h>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>


#define NGX_AUTOCERT_HELPER_CONNECTIONS  64

#define NGX_AUTOCERT_HELPER_FILES                                            \
    (NGX_AUTOCERT_KEEPER_CHANNELS + 2 * NGX_AUTOCERT_KEEPER_RESERVE)

#define NGX_AUTOCERT_HELPER_KNOCKS       16     /* in one turn of the loop */

#define NGX_AUTOCERT_HELPER_PARENT       1000   /* ms */
#define NGX_AUTOCERT_HELPER_GRACE        500    /* ms */
#define NGX_AUTOCERT_HELPER_REPLACED     10     /* s, of a pair */

/*
 * Workers of a cycle without autocert take connections for 100 ms after those
 * of the next one have begun, and would not know a challenge.
 */
#define NGX_AUTOCERT_HELPER_ALONE        1000   /* ms */

#define NGX_AUTOCERT_HELPER_LOOP         60     /* s */
#define NGX_AUTOCERT_HELPER_PAUSE        500    /* ms, doubled up to */
#define NGX_AUTOCERT_HELPER_PAUSE_MAX    60000
#define NGX_AUTOCERT_HELPER_ROW          16     /* more make no difference */


typedef struct {
    ngx_autocert_helper_t    helper;

    ngx_event_t              parent;
    ngx_event_t              grace;

    sig_atomic_t             told;      /* to leave, by the master */
    unsigned                 draining:1;
    unsigned                 waited:1;  /* the grace is over */
    unsigned                 shut:2;    /* the door, and nobody was told */
} ngx_autocert_process_t;


static void ngx_autocert_helper_init(ngx_cycle_t *cycle,
    ngx_autocert_conf_t *acf);
static void ngx_autocert_helper_forget(ngx_cycle_t *cycle);
static void ngx_autocert_helper_strip(ngx_cycle_t *cycle);
static void ngx_autocert_helper_isolation(ngx_cycle_t *cycle,
    ngx_autocert_conf_t *acf);
static void ngx_autocert_helper_signals(ngx_cycle_t *cycle);
static void ngx_autocert_helper_quit(int signo, siginfo_t *info,
    void *context);
static void ngx_autocert_helper_channel(ngx_cycle_t *cycle);
static void ngx_autocert_helper_loop(ngx_autocert_starts_t *starts);
static void ngx_autocert_helper_pause(ngx_msec_t pause,
    ngx_autocert_starts_t *starts);
static void ngx_autocert_helper_keys(ngx_cycle_t *cycle);
static void ngx_autocert_helper_serve(void);
static void ngx_autocert_helper_drain(void);
static void ngx_autocert_helper_exit(void);
static void ngx_autocert_helper_fatal(void);

static ngx_int_t ngx_autocert_helper_load(void *data, ngx_uint_t index,
    ngx_autocert_chain_t **chain, EVP_PKEY **key);
static ngx_int_t ngx_autocert_helper_admit(void *data, int fd,
    ngx_autocert_hello_t *hello);
static void ngx_autocert_helper_door_handler(ngx_event_t *rev);
static void ngx_autocert_helper_ended_handler(ngx_event_t *rev);
static void ngx_autocert_helper_channel_handler(ngx_event_t *rev);
static ssize_t ngx_autocert_helper_look(int fd, ngx_channel_t *ch,
    ngx_pid_t *pid);
static void ngx_autocert_helper_obey(ngx_channel_t *ch);
static void ngx_autocert_helper_deaf(ngx_connection_t *c);
static void ngx_autocert_helper_parent_handler(ngx_event_t *ev);
static void ngx_autocert_helper_grace_handler(ngx_event_t *ev);


static ngx_autocert_process_t   ngx_autocert_process;
static struct sigaction         ngx_autocert_helper_nginx;  /* its own QUIT */


void
ngx_autocert_helper_cycle(ngx_cycle_t *cycle, void *data)
{
    ngx_process = NGX_PROCESS_HELPER;
    ngx_cycle = cycle;

    ngx_autocert_helper_init(cycle, data);

    for ( ;; ) {
        ngx_process_events_and_timers(cycle);

        if (ngx_terminate) {
            ngx_autocert_helper_exit();
        }

        if (ngx_quit) {
            ngx_quit = 0;
            ngx_autocert_helper_drain();
        }

        if (ngx_reopen) {
            ngx_reopen = 0;
            ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0, "reopening logs");
            ngx_reopen_files(cycle, (ngx_uid_t) -1);
        }

        if (ngx_autocert_process.draining
            && ngx_autocert_process.waited
            && ngx_autocert_keeper_channels(
                   ngx_autocert_process.helper.keeper) == 0)
        {
            ngx_autocert_helper_exit();
        }
    }
}


ngx_int_t
ngx_autocert_helper_install(ngx_autocert_helper_t *helper, ngx_uint_t index,
    ngx_autocert_pair_t *pair)
{
    uint64_t  generation;

    generation = ngx_autocert_keeper_install(helper->keeper, index,
                                             pair->chain, pair->key);
    if (generation == 0) {
        return NGX_ERROR;
    }

    ngx_autocert_board_set(&helper->acf->core->board, index, generation);

    return NGX_OK;
}


ngx_int_t
ngx_autocert_helper_store(ngx_autocert_helper_t *helper)
{
    ngx_int_t             without;
    ngx_pool_t           *pool;
    ngx_autocert_fail_t   fail;
    ngx_autocert_store_t  store;

    if (helper->store.fd != -1) {
        return NGX_OK;
    }

    /* of this attempt; the path of a store that is open stays in it */

    pool = ngx_create_pool(1024, helper->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_autocert_store_open(&store, pool, &helper->acf->path, &fail)
        == NGX_OK)
    {
        /* the keeper's threads look at the descriptor first */

        helper->store.path = store.path;
        __atomic_store_n(&helper->store.fd, store.fd, __ATOMIC_RELEASE);

        if (helper->acf->core->starts->total == 0
            && ngx_autocert_store_parents(&store, pool, &fail) != NGX_OK)
        {
            ngx_log_error(NGX_LOG_WARN, helper->log, 0,
                          "autocert: who can write to a directory above the "
                          "store can put another in its place: %V",
                          &fail.why);
        }

        return NGX_OK;
    }

    without = (fail.kind == NGX_AUTOCERT_FAIL_INTERNAL) ? NGX_AGAIN
                                                        : NGX_DECLINED;
    __atomic_store_n(&helper->without, without, __ATOMIC_RELAXED);

    if (ngx_autocert_fail_tell(&helper->told, &fail, ngx_time(),
                               NGX_AUTOCERT_HELPER_TELL))
    {
        ngx_log_error(NGX_LOG_ERR, helper->log, 0,
                      "autocert: %V; no certificate is obtained or kept "
                      "until that is mended, looking again every few seconds",
                      &fail.why);
    }

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


static void
ngx_autocert_helper_init(ngx_cycle_t *cycle, ngx_autocert_conf_t *acf)
{
    ngx_autocert_helper_t  *helper;

    helper = &ngx_autocert_process.helper;

    helper->cycle = cycle;
    helper->log = cycle->log;
    helper->acf = acf;
    helper->store.fd = -1;
    helper->store.lock = -1;
    helper->without = NGX_AGAIN;
    helper->pause = acf->core->alone ? NGX_AUTOCERT_HELPER_ALONE : 0;

    ngx_setproctitle("autocert helper");

    ngx_autocert_helper_strip(cycle);
    ngx_autocert_helper_loop(acf->core->starts);
    (void) ngx_autocert_jail(cycle->log);
    ngx_autocert_helper_isolation(cycle, acf);
    ngx_autocert_door_close(acf->core->door, NGX_AUTOCERT_DOOR_WORKER);

    cycle->connection_n = NGX_AUTOCERT_HELPER_CONNECTIONS;

    /* no other module's: they take this for worker 0, and it is root */

    if (ngx_event_core_module.init_process(cycle) != NGX_OK) {
        ngx_autocert_helper_fatal();
    }

    ngx_use_accept_mutex = 0;

    ngx_autocert_spawn_succeed(cycle);
    ngx_autocert_helper_channel(cycle);
    ngx_autocert_helper_keys(cycle);

    if (ngx_autocert_schedule_start(helper) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "autocert: no memory for the schedule, certificates "
                      "are served but not renewed");
    }

    ngx_autocert_helper_forget(cycle);
}


/*
 * In a reload the master is about to destroy the old cycle: here it would be
 * kept.  What its pool has to clean up it has cleaned up.
 */

static void
ngx_autocert_helper_forget(ngx_cycle_t *cycle)
{
    ngx_pool_t  *pool;

    if (cycle->old_cycle == NULL) {
        return;
    }

    pool = cycle->old_cycle->pool;
    cycle->old_cycle = NULL;

    pool->cleanup = NULL;
    ngx_destroy_pool(pool);

#ifdef __GLIBC__
    (void) malloc_trim(0);
#endif
}


/* Of what the master has, and a child of its inherits. */

static void
ngx_autocert_helper_strip(ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    struct rlimit     rlmt;
    ngx_listening_t  *ls;

    (void) prctl(PR_SET_PDEATHSIG, SIGQUIT, 0, 0, 0);

    /* the usual limit is as high as the number of channels */

    if (getrlimit(RLIMIT_NOFILE, &rlmt) == 0
        && rlmt.rlim_cur < NGX_AUTOCERT_HELPER_FILES)
    {
        rlmt.rlim_cur = ngx_min(rlmt.rlim_max, NGX_AUTOCERT_HELPER_FILES);
        (void) setrlimit(RLIMIT_NOFILE, &rlmt);
    }

    /* ngx_close_listening_sockets() would leave those of QUIC bound */

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (ls[i].fd != (ngx_socket_t) -1) {
            (void) ngx_close_socket(ls[i].fd);
            ls[i].fd = (ngx_socket_t) -1;
        }
    }

    cycle->listening.nelts = 0;

    if (ngx_set_environment(cycle, NULL) == NULL) {
        ngx_autocert_helper_fatal();
    }

    (void) umask(077);

    ngx_autocert_helper_signals(cycle);
}


static void
ngx_autocert_helper_signals(ngx_cycle_t *cycle)
{
    sigset_t          set;
    struct sigaction  sa;

    if (sigaction(SIGQUIT, NULL, &ngx_autocert_helper_nginx) == 0) {
        sa = ngx_autocert_helper_nginx;
        sa.sa_sigaction = ngx_autocert_helper_quit;
        (void) sigaction(SIGQUIT, &sa, NULL);
    }

    (void) sigemptyset(&set);

    if (sigprocmask(SIG_SETMASK, &set, NULL) == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "sigprocmask() failed");
    }
}


/* Where the channel takes nothing the master signals, as anybody may. */

static void
ngx_autocert_helper_quit(int signo, siginfo_t *info, void *context)
{
    if (info->si_pid == ngx_parent) {
        ngx_autocert_process.told = 1;
    }

    ngx_autocert_helper_nginx.sa_sigaction(signo, info, context);
}


/* Between processes of one user the kernel guards memory, but not files. */

static void
ngx_autocert_helper_isolation(ngx_cycle_t *cycle, ngx_autocert_conf_t *acf)
{
    if (geteuid() == 0 || acf->core->starts->total) {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                  "autocert: workers and the helper run as the same user: the "
                  "helper's memory is closed to workers, but the key files in "
                  "\"%V\" are not; start NGINX as root, with another \"user\" "
                  "for workers, to keep keys from them", &acf->path);
}


/* The master's channel; those of its other children are not ours. */

static void
ngx_autocert_helper_channel(ngx_cycle_t *cycle)
{
    int        offset;
    ngx_int_t  n;

    for (n = 0; n < ngx_last_process; n++) {

        if (ngx_processes[n].pid != -1 && n != ngx_process_slot) {
            ngx_autocert_door_close(ngx_processes[n].channel, 0);
            ngx_autocert_door_close(ngx_processes[n].channel, 1);
        }
    }

    if (close(ngx_processes[ngx_process_slot].channel[0]) == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "close() channel failed");
    }

    /* to look on behind what is left there */

    offset = 0;
    (void) setsockopt(ngx_channel, SOL_SOCKET, SO_PEEK_OFF, &offset,
                      sizeof(int));

    if (ngx_add_channel_event(cycle, ngx_channel, NGX_READ_EVENT,
                              ngx_autocert_helper_channel_handler)
        == NGX_ERROR)
    {
        ngx_autocert_helper_fatal();
    }
}


/*
 * A helper that dies again and again must not drive the master round: from
 * the third start in a minute ACME waits, from the sixth the keys do too.  What
 * is read may be a worker's: it is read once, and can but make for a wait.
 */

static void
ngx_autocert_helper_loop(ngx_autocert_starts_t *starts)
{
    time_t                   now;
    ngx_uint_t               i, n;
    ngx_msec_t               pause;
    ngx_autocert_starts_t    was, is;
    ngx_autocert_process_t  *p = &ngx_autocert_process;

    was = *starts;
    ngx_memory_barrier();

    now = ngx_time();
    n = 0;

    for (i = 0; i < NGX_AUTOCERT_STARTS; i++) {
        if (was.at[i] <= now && was.at[i] > now - NGX_AUTOCERT_HELPER_LOOP) {
            n++;
        }
    }

    is.at[0] = now;
    is.total = n ? ngx_min(was.total, NGX_AUTOCERT_HELPER_ROW) + 1 : 0;

    for (i = 1; i < NGX_AUTOCERT_STARTS; i++) {
        is.at[i] = was.at[i - 1];
    }

    is.count = was.count + 1;
    p->helper.restarts = was.count;

    *starts = is;

    if (n < 3) {
        return;
    }

    pause = NGX_AUTOCERT_HELPER_PAUSE;

    for (i = 3; i < is.total; i++) {
        pause = ngx_min(pause * 2, NGX_AUTOCERT_HELPER_PAUSE_MAX);
    }

    pause = ngx_max(pause, p->helper.pause);
    p->helper.pause = pause;

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "autocert: the helper was started %ui times within a "
                  "minute, %s after %M ms", n + 1,
                  n < NGX_AUTOCERT_STARTS ? "it talks to the CA"
                                          : "it serves keys",
                  pause);

    if (n >= NGX_AUTOCERT_STARTS) {
        ngx_autocert_helper_pause(pause, &is);
        *starts = is;
    }
}


/*
 * Before anything that it could die of, else the master would start it some
 * hundred times a second.  Ended by a signal and by a word of the master's.
 * The minute is one of its life: it does not go on meanwhile.
 */

static void
ngx_autocert_helper_pause(ngx_msec_t pause, ngx_autocert_starts_t *starts)
{
    time_t          began;
    ngx_uint_t      i;
    struct pollfd   word;

    began = ngx_time();

    word.fd = ngx_channel;
    word.events = POLLIN;

    (void) poll(&word, 1, (int) pause);

    ngx_time_update();

    for (i = 0; i < NGX_AUTOCERT_STARTS; i++) {
        starts->at[i] += ngx_time() - began;
    }
}


static void
ngx_autocert_helper_keys(ngx_cycle_t *cycle)
{
    uint64_t                 generation;
    ngx_str_t               *names;
    ngx_uint_t               i, n;
    ngx_autocert_name_t     *name;
    ngx_autocert_helper_t   *helper;
    ngx_autocert_process_t  *p = &ngx_autocert_process;

    helper = &p->helper;
    name = helper->acf->names.elts;
    n = helper->acf->names.nelts;
    generation = 0;

    names = ngx_palloc(cycle->pool, (n + 1) * sizeof(ngx_str_t));

    if (names == NULL
        || RAND_bytes((u_char *) &generation, sizeof(uint64_t)) != 1)
    {
        ngx_autocert_helper_fatal();
    }

    for (i = 0; i < n; i++) {
        names[i] = name[i].name;
    }

    /* behind them: what answers TLS-ALPN-01 */

    ngx_str_set(&names[n], NGX_AUTOCERT_STORE_CHALLENGE);
    n++;

    helper->keeper = ngx_autocert_keeper_create(names, n, generation,
                                                ngx_autocert_helper_load,
                                                helper);
    if (helper->keeper == NULL) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "autocert: the keeper of the keys could not be made");
        ngx_autocert_helper_fatal();
    }

    for (i = 0; i < n; i++) {
        ngx_autocert_board_set(&helper->acf->core->board, i, generation);
    }

    if (ngx_autocert_watch(ngx_autocert_keeper_fd(helper->keeper), cycle->log,
                           ngx_autocert_helper_ended_handler, p)
        == NULL)
    {
        ngx_autocert_helper_fatal();
    }

    ngx_autocert_timer(&p->parent, cycle->log,
                       ngx_autocert_helper_parent_handler);
    ngx_autocert_timer(&p->grace, cycle->log,
                       ngx_autocert_helper_grace_handler);

    /* the signal of the parent's death may have been missed */

    ngx_autocert_helper_parent_handler(&p->parent);

    ngx_autocert_helper_serve();
}


static void
ngx_autocert_helper_serve(void)
{
    int                      fd;
    ngx_autocert_process_t  *p = &ngx_autocert_process;

    /* keys may be asked for at once: the store is there before the door */

    (void) ngx_autocert_helper_store(&p->helper);

    fd = ngx_autocert_door_open(p->helper.acf->core->door,
                                ngx_autocert_helper_admit, p->helper.keeper);

    if (fd == -1
        || ngx_autocert_watch(fd, p->helper.log,
                              ngx_autocert_helper_door_handler, p)
           == NULL)
    {
        ngx_autocert_helper_fatal();
    }
}


/*
 * Told by the master, or the master is gone: no more ACME, but signatures
 * until the last worker has left.  A bare signal is a restart: the master
 * respawns us at once.
 */

static void
ngx_autocert_helper_drain(void)
{
    ngx_autocert_process_t  *p = &ngx_autocert_process;

    if (p->draining) {
        return;
    }

    if (!p->told && ngx_getppid() == ngx_parent) {
        ngx_log_error(NGX_LOG_NOTICE, p->helper.log, 0,
                      "autocert: signalled to quit while the master lives, "
                      "exiting to be started anew");
        ngx_autocert_helper_exit();
    }

    ngx_log_error(NGX_LOG_NOTICE, p->helper.log, 0,
                  "autocert: signing for %ui workers until they have left",
                  ngx_autocert_keeper_channels(p->helper.keeper));

    ngx_setproctitle("autocert helper is shutting down");

    ngx_autocert_schedule_stop();

    p->draining = 1;

    /* a worker that was just started may not have knocked yet */

    ngx_add_timer(&p->grace, NGX_AUTOCERT_HELPER_GRACE);
}


/* The pool of the cycle stays: it would unload this very code. */

static void
ngx_autocert_helper_exit(void)
{
    ngx_int_t  rc;

    ngx_autocert_schedule_stop();

    rc = ngx_autocert_door_leave();

    if (rc == NGX_OK) {
        rc = ngx_autocert_keeper_destroy(ngx_autocert_process.helper.keeper);
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "exiting");

    if (rc != NGX_OK) {
        /* what holds a thread up does not hold up the end of its process */
        _exit(0);
    }

    exit(0);
}


/* The master respawns at once: this keeps the pace. */

static void
ngx_autocert_helper_fatal(void)
{
    ngx_msleep(ngx_max(ngx_autocert_process.helper.pause,
                       NGX_AUTOCERT_HELPER_PAUSE));
    exit(1);
}


/* Called by the keeper's threads. */

static ngx_int_t
ngx_autocert_helper_load(void *data, ngx_uint_t index,
    ngx_autocert_chain_t **chain, EVP_PKEY **key)
{
    ngx_autocert_helper_t  *helper = data;

    ngx_log_t               log;
    ngx_int_t               rc;
    ngx_str_t               segment;
    ngx_pool_t             *pool;
    ngx_autocert_fail_t     fail;
    ngx_autocert_name_t    *name;
    ngx_autocert_pair_t     pair;
    ngx_autocert_store_t    store;

    /* what is wrong with a pair is said by the schedule, once */

    ngx_memzero(&log, sizeof(ngx_log_t));

    pool = ngx_create_pool(4096, &log);
    if (pool == NULL) {
        return NGX_AGAIN;
    }

    name = helper->acf->names.elts;

    /* of the lock, if it is held, the main thread alone makes use */

    store.fd = __atomic_load_n(&helper->store.fd, __ATOMIC_ACQUIRE);
    store.path = helper->store.path;
    store.lock = -1;

    if (index < helper->acf->names.nelts) {
        segment = name[index].name;

    } else {
        ngx_str_set(&segment, NGX_AUTOCERT_STORE_CHALLENGE);
    }

    ngx_memzero(&pair, sizeof(ngx_autocert_pair_t));

    if (store.fd == -1) {
        rc = __atomic_load_n(&helper->without, __ATOMIC_RELAXED);

    } else {
        rc = ngx_autocert_store_take(&store, pool, &segment, &pair);

        if (rc == NGX_DECLINED) {
            rc = ngx_autocert_store_load(&store, pool, &segment, &pair,
                                         &fail);
        }

        if (rc == NGX_ERROR && fail.kind == NGX_AUTOCERT_FAIL_INTERNAL) {
            rc = NGX_AGAIN;
        }
    }

    if (rc == NGX_OK) {
        *chain = pair.chain;
        *key = pair.key;
    }

    ngx_destroy_pool(pool);

    return rc;
}


/* Called by the thread of the door. */

static ngx_int_t
ngx_autocert_helper_admit(void *data, int fd, ngx_autocert_hello_t *hello)
{
    return ngx_autocert_keeper_serve(data, fd, hello);
}


static void
ngx_autocert_helper_door_handler(ngx_event_t *rev)
{
    ngx_uint_t            i;
    ngx_autocert_knock_t  knock;

    /* who knocks without end must not keep the helper from its other work */

    for (i = 0; i < NGX_AUTOCERT_HELPER_KNOCKS; i++) {

        if (ngx_autocert_door_knocked(&knock) != NGX_OK) {
            return;
        }

        switch (knock.rc) {

        case NGX_OK:
            ngx_log_error(NGX_LOG_INFO, rev->log, 0,
                          "autocert: signing for worker process %uD",
                          knock.hello.pid);
            break;

        case NGX_DECLINED:
            ngx_log_error(NGX_LOG_ALERT, rev->log, 0,
                          "autocert: process %uD brought no channel to the "
                          "door, refused", knock.hello.pid);
            break;

        case NGX_DONE:
            ngx_autocert_process.shut = 1;
            break;

        default:
            ngx_log_error(NGX_LOG_ALERT, rev->log, knock.err,
                          "autocert: no channel for worker process %uD",
                          knock.hello.pid);
            break;
        }
    }
}


static void
ngx_autocert_helper_ended_handler(ngx_event_t *rev)
{
    ngx_connection_t           *c;
    ngx_autocert_process_t     *p;
    ngx_autocert_keeper_end_t   end;

    c = rev->data;
    p = c->data;

    while (ngx_autocert_keeper_ended(p->helper.keeper, &end) == NGX_OK) {

        if (end.abuse) {
            ngx_log_error(NGX_LOG_ALERT, rev->log, 0,
                          "autocert: worker process %uD sent %s, its channel "
                          "is closed", end.peer.pid, end.abuse);
        }
    }
}


/*
 * All workers can write there, and a descriptor that came along could block
 * whoever lets go of it.  So the kernel is asked first who it was, and what is
 * not the master's stays where it is.
 */

static void
ngx_autocert_helper_channel_handler(ngx_event_t *rev)
{
    ssize_t            n;
    ngx_pid_t          pid;
    ngx_channel_t      ch;
    ngx_connection_t  *c;

    if (rev->timedout) {
        rev->timedout = 0;
        return;
    }

    c = rev->data;

    for ( ;; ) {
        n = ngx_autocert_helper_look(c->fd, &ch, &pid);

        if (n == -1) {
            return;
        }

        if (n != sizeof(ngx_channel_t) || pid != ngx_parent) {

            if (n) {
                ngx_log_error(NGX_LOG_ALERT, rev->log, 0,
                              "autocert: process %P wrote to the helper's "
                              "channel of the master, which is closed: from "
                              "now on only the master's signals count", pid);
            }

            ngx_autocert_helper_deaf(c);
            return;
        }

        ngx_autocert_helper_obey(&ch);

        /* the end of a sibling's channel may come along: dropped */

        (void) recv(c->fd, &ch, sizeof(ngx_channel_t), 0);
    }
}


/* What is said next and by whom, without taking it. */

static ssize_t
ngx_autocert_helper_look(int fd, ngx_channel_t *ch, ngx_pid_t *pid)
{
    ssize_t          n;
    struct iovec     iov;
    struct ucred     cred;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  align;
        u_char          space[CMSG_SPACE(sizeof(struct ucred))];
    } control;

    iov.iov_base = ch;
    iov.iov_len = sizeof(ngx_channel_t);

    ngx_memzero(&msg, sizeof(struct msghdr));
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);

    do {
        n = recvmsg(fd, &msg, MSG_PEEK|MSG_DONTWAIT);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    *pid = 0;

    if (n == -1) {
        return n;
    }

    cmsg = CMSG_FIRSTHDR(&msg);

    if (cmsg
        && cmsg->cmsg_level == SOL_SOCKET
        && cmsg->cmsg_type == SCM_CREDENTIALS)
    {
        ngx_memcpy(&cred, CMSG_DATA(cmsg), sizeof(struct ucred));
        *pid = cred.pid;
    }

    return n;
}


static void
ngx_autocert_helper_obey(ngx_channel_t *ch)
{
    switch (ch->command) {

    case NGX_CMD_QUIT:
        ngx_autocert_process.told = 1;
        ngx_quit = 1;
        break;

    case NGX_CMD_TERMINATE:
        ngx_terminate = 1;
        break;

    case NGX_CMD_REOPEN:
        ngx_reopen = 1;
        break;
    }
}


/*
 * A master that can't write to the channel signals.  What it has written
 * before is heeded still; the rest goes with the process.
 */

static void
ngx_autocert_helper_deaf(ngx_connection_t *c)
{
    ssize_t        n;
    ngx_pid_t      pid;
    ngx_channel_t  ch;

    (void) shutdown(c->fd, SHUT_RD);

    for ( ;; ) {
        n = ngx_autocert_helper_look(c->fd, &ch, &pid);

        if (n <= 0) {
            break;
        }

        if (n == sizeof(ngx_channel_t) && pid == ngx_parent) {
            ngx_autocert_helper_obey(&ch);
        }
    }

    (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
}


static void
ngx_autocert_helper_parent_handler(ngx_event_t *ev)
{
    ngx_autocert_process_t  *p = &ngx_autocert_process;

    if (ngx_getppid() != ngx_parent) {
        ngx_quit = 1;
        return;
    }

    ngx_autocert_facts_sums();
    ngx_autocert_keeper_forget(p->helper.keeper,
                               NGX_AUTOCERT_HELPER_REPLACED);

    /*
     * It ends by itself as well, with the workers of an old configuration,
     * who may be told to leave before the helper is: so not at the first look.
     */

    if (p->shut && !p->draining && p->shut++ > 1) {
        p->shut = 0;

        ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                      "autocert: a process has shut the door, workers have no "
                      "way to the helper but the channels that they have; a "
                      "reload makes another door");
    }

    ngx_add_timer(ev, NGX_AUTOCERT_HELPER_PARENT);
}


static void
ngx_autocert_helper_grace_handler(ngx_event_t *ev)
{
    (void) ev;

    ngx_autocert_process.waited = 1;
}
