
/*
 * Loads a TLS server on the loopback and tells how long each operation took.
 *
 *     handshakes -p port -n name [-t 1.2|1.3] [-g group] [-e cipher]
 *                [-d seconds] [-c connections] [-r rate] [-m names [-o]]
 *                [-s | -k | -u path | -a]
 *
 *     (nothing)   an operation is a full handshake on a new connection
 *     -s          a handshake that resumes one session
 *     -k          a request over one of the connections, opened beforehand
 *     -u path     the same, of a path that is not there (404)
 *     -a          a handshake that offers "acme-tls/1" and is refused
 *
 *     -m names    at each handshake another name is asked for, at random one of
 *                 n0.NAME, n1.NAME, ...
 *     -o          instead, each of them once, in turn, however long that takes
 *
 * Without -r each connection begins anew as soon as it is done: -c 1 is one
 * at a time.  With it, operations fall due at that rate whatever the server
 * does, wait for a free connection if there is none, and are measured from
 * the instant at which they were due: a server that stalls cannot hide it.
 *
 * A line of JSON goes to standard output: operations done and failed, seconds
 * until the last was done, percentiles of the latency in microseconds, and the
 * latencies of the slowest.  Why operations failed goes to standard error.
 * Exit status: 0 all went well, 1 something failed, 2 trouble.
 *
 * Some functions of libcrypto's that libssl calls are replaced below by cheaper
 * ones, or the client would be what is measured: signatures and certificates
 * are taken unseen.
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>


#define MAX_EVENTS    64
#define MAX_TOLD      5
#define MAX_FAILED    1000
#define STALLED       10000     /* ms */
#define SLOWEST       100
#define SECOND        UINT64_C(1000000000)

#define REQUEST       "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"
#define ACME          "\x0a" "acme-tls/1"


typedef enum {
    IDLE = 0,
    HANDSHAKE,
    TICKET,         /* TLS 1.3: it proves that the server is done as well */
    ANSWERING
} state_t;


typedef struct conn_s  conn_t;

struct conn_s {
    state_t    state;
    int        fd;
    SSL       *ssl;
    uint64_t   began;
    int        ticket;
    size_t     len;
    char       answer[1024];
    conn_t    *next;            /* of those that are idle */
};


/* The options, and what follows from them. */

static struct sockaddr_in   address;
static const char          *name;
static const char          *group = "X25519:P-256:P-384";
static const char          *cipher;
static int                  version = TLS1_3_VERSION;
static double               duration = 1;
static double               rate;
static size_t               nconns = 1;
static uint64_t             nnames;
static int                  once;
static int                  resume;
static int                  requests;
static int                  refused;
static const char          *path = "/";
static const char          *answer = "HTTP/1.1 204";
static const char          *ending = "\r\n\r\n";

static char                 request[512];
static SSL_CTX             *ctx;
static SSL_SESSION         *session;    /* the one that -s resumes */

/* The kinds of keys, by what tells them in a certificate: OIDs of curves. */

#define CURVES        2

static const char          *curves[CURVES] = {
    "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",      /* P-256 */
    "\x06\x05\x2b\x81\x04"                              /* P-384 */
};

/* The run. */

static int                  ep;
static conn_t              *idle;
static size_t               busy;
static uint64_t             failed;
static uint64_t            *latencies;
static size_t               done;
static size_t               room;


static void
trouble(const char *what)
{
    fprintf(stderr, "handshakes: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(2);
}


/* In libcrypto's place: libssl has nothing to verify but the signature. */

int
EVP_DigestVerify(EVP_MD_CTX *mctx, const unsigned char *sig, size_t siglen,
    const unsigned char *tbs, size_t tbslen)
{
    (void) mctx;
    (void) sig;
    (void) siglen;
    (void) tbs;
    (void) tbslen;

    return 1;
}


/*
 * In libcrypto's place: of each curve the first certificate stands for all.
 * Nothing here looks into one, libssl but for the kind of its key; and to
 * decode 10,000 would take the client longer than the server's part takes.
 */

X509 *
d2i_X509(X509 **cert, const unsigned char **in, long len)
{
    int           i;
    X509         *found;
    static X509  *first[CURVES];

    for (i = 0; i < CURVES; i++) {
        if (memmem(*in, len, curves[i], strlen(curves[i])) != NULL) {
            break;
        }
    }

    if (i < CURVES && first[i] != NULL) {
        found = first[i];
        X509_up_ref(found);
        *in += len;

    } else {
        found = (X509 *) ASN1_item_d2i(NULL, in, len, ASN1_ITEM_rptr(X509));

        if (found == NULL) {
            return NULL;
        }

        if (i < CURVES) {
            first[i] = found;
            X509_up_ref(found);
        }
    }

    if (cert != NULL) {
        X509_free(*cert);
        *cert = found;
    }

    return found;
}


/*
 * In libcrypto's place: one ephemeral key for all.  A server that wants
 * another group than the first (-g) fails the handshake.
 */

int
EVP_PKEY_keygen(EVP_PKEY_CTX *pctx, EVP_PKEY **key)
{
    static EVP_PKEY  *last;

    if (last == NULL && EVP_PKEY_generate(pctx, &last) != 1) {
        return 0;
    }

    EVP_PKEY_up_ref(last);
    *key = last;

    return 1;
}


static int
verified(X509_STORE_CTX *store, void *data)
{
    (void) store;
    (void) data;

    return 1;
}


static uint64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * SECOND + (uint64_t) ts.tv_nsec;
}


/* Called for each ticket of TLS 1.3, and once for a session of TLS 1.2. */

static int
new_session(SSL *ssl, SSL_SESSION *new)
{
    conn_t  *c;

    c = SSL_get_app_data(ssl);

    if (c != NULL) {
        c->ticket = 1;
    }

    if (session == NULL) {
        session = new;
        return 1;
    }

    return 0;
}


static void
make_context(void)
{
    ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL
        || !SSL_CTX_set_min_proto_version(ctx, version)
        || !SSL_CTX_set_max_proto_version(ctx, version)
        || !SSL_CTX_set1_groups_list(ctx, group)
        || (cipher && !(version == TLS1_3_VERSION
                        ? SSL_CTX_set_ciphersuites(ctx, cipher)
                        : SSL_CTX_set_cipher_list(ctx, cipher))))
    {
        trouble("a context");
    }

    SSL_CTX_set_cert_verify_callback(ctx, verified, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT
                                        |SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, new_session);
}


/* OpenSSL marks a session of TLS 1.3 as used up: each gets a copy. */

static void
conn_resume(conn_t *c)
{
    SSL_SESSION  *copy;

    copy = SSL_SESSION_dup(session);

    if (copy == NULL || !SSL_set_session(c->ssl, copy)) {
        trouble("a session");
    }

    SSL_SESSION_free(copy);
}


/* The name that the next handshake asks for. */

static const char *
pick(void)
{
    uint64_t         n;
    static char      buf[256];
    static uint64_t  next, random = 88172645463325252;

    if (nnames == 0) {
        return name;
    }

    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;

    n = once ? next++ : random % nnames;

    snprintf(buf, sizeof(buf), "n%" PRIu64 ".%s", n, name);

    return buf;
}


static void
conn_open(conn_t *c, int flags)
{
    c->fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|flags, 0);

    if (c->fd == -1) {
        trouble("socket");
    }

    if (connect(c->fd, (struct sockaddr *) &address, sizeof(address)) == -1
        && errno != EINPROGRESS)
    {
        trouble("connect");
    }

    c->ssl = SSL_new(ctx);

    if (c->ssl == NULL
        || !SSL_set_fd(c->ssl, c->fd)
        || !SSL_set_tlsext_host_name(c->ssl, pick()))
    {
        trouble("a connection");
    }

    if (resume && session != NULL) {
        conn_resume(c);
    }

    if (refused
        && SSL_set_alpn_protos(c->ssl, (unsigned char *) ACME,
                               sizeof(ACME) - 1)
           != 0)
    {
        trouble("a protocol");
    }

    SSL_set_app_data(c->ssl, c);
    SSL_set_connect_state(c->ssl);

    c->ticket = 0;
}


static void
conn_close(conn_t *c)
{
    struct linger  reset = { 1, 0 };

    /* else OpenSSL takes the session for a broken one, that is not resumed */
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN|SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);

    /* a reset leaves no TIME_WAIT: there are not ports enough for them */
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(c->fd);

    c->ssl = NULL;
}


static void
conn_watch(conn_t *c)
{
    struct epoll_event  ee;

    ee.events = EPOLLIN|EPOLLOUT|EPOLLET;
    ee.data.ptr = c;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        trouble("epoll_ctl");
    }
}


/* A whole handshake, and the ticket where a session is wanted. */

static void
conn_dial(conn_t *c)
{
    char  byte;

    conn_open(c, 0);

    if (SSL_do_handshake(c->ssl) != 1) {
        trouble("the first handshake");
    }

    /* a read that met a ticket only shall return, though the socket blocks */
    SSL_clear_mode(c->ssl, SSL_MODE_AUTO_RETRY);

    while (resume && session == NULL) {
        if (SSL_read(c->ssl, &byte, 1) != -1
            || SSL_get_error(c->ssl, -1) != SSL_ERROR_WANT_READ)
        {
            trouble("no session came");
        }
    }

    SSL_set_mode(c->ssl, SSL_MODE_AUTO_RETRY);
}


static void
conn_idle(conn_t *c)
{
    c->state = IDLE;
    c->next = idle;
    idle = c;
    busy--;
}


static void
conn_failed(conn_t *c, const char *why, int error)
{
    if (failed++ < MAX_TOLD) {
        fprintf(stderr, "handshakes: %s (%d, %s)\n", why, error,
                error == SSL_ERROR_SYSCALL ? strerror(errno) : "TLS");
        ERR_print_errors_fp(stderr);
    }

    ERR_clear_error();

    /* a connection that was opened beforehand is not opened again */

    if (requests || failed == MAX_FAILED) {
        fprintf(stderr, "handshakes: giving up\n");
        exit(1);
    }

    conn_close(c);
    conn_idle(c);
}


static void
conn_measured(conn_t *c)
{
    if (done == room) {
        room = room ? room * 2 : 4096;
        latencies = realloc(latencies, room * sizeof(uint64_t));

        if (latencies == NULL) {
            trouble("realloc");
        }
    }

    latencies[done++] = now() - c->began;
}


/* Goes on with an operation as far as it gets. */

static void
conn_handshake(conn_t *c)
{
    int   rc, error;
    char  byte;

    if (c->state == HANDSHAKE) {
        rc = SSL_do_handshake(c->ssl);

        if (rc != 1) {
            error = SSL_get_error(c->ssl, rc);

            if (refused
                && ERR_GET_REASON(ERR_peek_error())
                   == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL)
            {
                ERR_clear_error();
                conn_measured(c);
                conn_close(c);
                conn_idle(c);
                return;
            }

            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
                conn_failed(c, "handshake failed", error);
            }

            return;
        }

        if (refused) {
            conn_failed(c, "handshake that was not refused", SSL_ERROR_NONE);
            return;
        }

        if (SSL_session_reused(c->ssl) != resume) {
            conn_failed(c, "handshake of the wrong kind", SSL_ERROR_NONE);
            return;
        }

        conn_measured(c);
        c->state = TICKET;
    }

    if (version == TLS1_3_VERSION && !c->ticket) {
        rc = SSL_read(c->ssl, &byte, 1);

        if (!c->ticket) {
            error = SSL_get_error(c->ssl, rc);

            if (error != SSL_ERROR_WANT_READ) {
                done--;
                conn_failed(c, "no ticket came", error);
            }

            return;
        }
    }

    conn_close(c);
    conn_idle(c);
}


static void
conn_request(conn_t *c)
{
    int  rc, error;

    for ( ;; ) {
        rc = SSL_read(c->ssl, c->answer + c->len, sizeof(c->answer) - c->len);

        if (rc <= 0) {
            break;
        }

        c->len += rc;

        if (c->state != ANSWERING
            || strncmp(c->answer, answer, strlen(answer)) != 0)
        {
            conn_failed(c, "not the answer", SSL_ERROR_NONE);
        }

        if (c->len >= strlen(ending)
            && memcmp(c->answer + c->len - strlen(ending), ending,
                      strlen(ending))
               == 0)
        {
            conn_measured(c);
            conn_idle(c);
        }
    }

    error = SSL_get_error(c->ssl, rc);

    if (error != SSL_ERROR_WANT_READ) {
        conn_failed(c, "request failed", error);
    }
}


static void
conn_begin(conn_t *c, uint64_t began)
{
    int  len;

    c->began = began;
    busy++;

    if (!requests) {
        c->state = HANDSHAKE;
        conn_open(c, SOCK_NONBLOCK);
        conn_watch(c);
        conn_handshake(c);
        return;
    }

    c->state = ANSWERING;
    c->len = 0;
    len = strlen(request);

    if (SSL_write(c->ssl, request, len) != len) {
        conn_failed(c, "no request could be sent", SSL_ERROR_NONE);
    }
}


static conn_t *
make_conns(void)
{
    int      flags;
    conn_t  *conns, *c, first;

    conns = calloc(nconns, sizeof(conn_t));
    if (conns == NULL) {
        trouble("calloc");
    }

    if (resume) {
        conn_dial(&first);
        conn_close(&first);
    }

    for (c = conns; c < conns + nconns; c++) {
        busy++;
        conn_idle(c);

        if (requests) {
            conn_dial(c);
            flags = fcntl(c->fd, F_GETFL);
            fcntl(c->fd, F_SETFL, flags | O_NONBLOCK);
            conn_watch(c);
        }
    }

    return conns;
}


static int
make_timer(uint64_t start, uint64_t interval)
{
    int                 fd;
    struct epoll_event  ee;
    struct itimerspec   its;

    its.it_value.tv_sec = start / SECOND;
    its.it_value.tv_nsec = start % SECOND;
    its.it_interval.tv_sec = interval / SECOND;
    its.it_interval.tv_nsec = interval % SECOND;

    ee.events = EPOLLIN;
    ee.data.ptr = NULL;

    fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK|TFD_CLOEXEC);

    if (fd == -1
        || timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == -1
        || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ee) == -1)
    {
        trouble("a timer");
    }

    return fd;
}


/* Returns the time that it took, also to finish what was under way. */

static uint64_t
run(void)
{
    int                 i, n, timer;
    conn_t             *c;
    uint64_t            start, stop, interval, begun, due, ticks;
    struct epoll_event  events[MAX_EVENTS];

    start = now();
    stop = start + (uint64_t) (duration * SECOND);
    interval = rate ? (uint64_t) (SECOND / rate) : 0;
    timer = interval ? make_timer(start, interval) : -1;
    begun = 0;
    due = 0;

    for ( ;; ) {

        while (idle != NULL && (once ? begun < nnames
                                : interval ? begun < due : now() < stop))
        {
            c = idle;
            idle = c->next;
            conn_begin(c, interval ? start + begun * interval : now());
            begun++;
        }

        if (once ? begun == nnames : now() >= stop) {

            if (timer != -1) {
                close(timer);
                timer = -1;
            }

            if (busy == 0) {
                return now() - start;
            }
        }

        n = epoll_wait(ep, events, MAX_EVENTS, STALLED);

        if (n == -1 && errno != EINTR) {
            trouble("epoll_wait");
        }

        if (n == 0) {
            fprintf(stderr, "handshakes: nothing moves\n");
            exit(1);
        }

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;

            if (c != NULL) {
                if (requests) {
                    conn_request(c);

                } else {
                    conn_handshake(c);
                }

            } else if (read(timer, &ticks, sizeof(ticks)) == sizeof(ticks)) {
                due += ticks;
            }
        }
    }
}


static int
compare(const void *one, const void *two)
{
    const uint64_t  *a, *b;

    a = one;
    b = two;

    return (*a > *b) - (*a < *b);
}


static double
percentile(double part)
{
    size_t  n;

    n = (size_t) (part / 100 * done);

    return latencies[n < done ? n : done - 1] / 1000.0;
}


static void
report(uint64_t took)
{
    size_t               i;
    static const double  parts[] = { 50, 90, 99, 99.9, 100 };

    qsort(latencies, done, sizeof(uint64_t), compare);

    printf("{\"done\": %zu, \"failed\": %" PRIu64 ", \"seconds\": %.6f",
           done, failed, (double) took / SECOND);

    for (i = 0; done && i < sizeof(parts) / sizeof(parts[0]); i++) {
        printf(", \"p%g\": %.1f", parts[i], percentile(parts[i]));
    }

    printf(", \"slowest\": [");

    for (i = (done > SLOWEST) ? done - SLOWEST : 0; i < done; i++) {
        printf("%.1f%s", latencies[i] / 1000.0, (i + 1 < done) ? ", " : "");
    }

    printf("]}\n");
}


static void
options(int argc, char **argv)
{
    int  option;

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    while ((option = getopt(argc, argv, "p:n:t:g:e:d:c:r:m:osku:a")) != -1) {

        switch (option) {
        case 'p': address.sin_port = htons(atoi(optarg)); break;
        case 'n': name = optarg; break;
        case 't': version = strcmp(optarg, "1.2") == 0 ? TLS1_2_VERSION
                                                       : TLS1_3_VERSION; break;
        case 'g': group = optarg; break;
        case 'e': cipher = optarg; break;
        case 'd': duration = atof(optarg); break;
        case 'c': nconns = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'm': nnames = strtoull(optarg, NULL, 10); break;
        case 'o': once = 1; break;
        case 's': resume = 1; break;
        case 'k': requests = 1; break;
        case 'u': requests = 1; path = optarg; answer = "HTTP/1.1 404";
                  ending = "</html>\r\n"; break;
        case 'a': refused = 1; break;
        default:  exit(2);
        }
    }

    if (name == NULL || address.sin_port == 0 || nconns == 0
        || resume + requests + refused > 1 || (once && nnames == 0)
        || (nnames && resume) || optind != argc)
    {
        fprintf(stderr, "handshakes: see the head of handshakes.c\n");
        exit(2);
    }

    snprintf(request, sizeof(request), REQUEST, path, name);
}


int
main(int argc, char **argv)
{
    uint64_t  took;

    options(argc, argv);
    make_context();

    ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep == -1) {
        trouble("epoll_create1");
    }

    if (make_conns() == NULL) {
        return 2;
    }

    took = run();
    report(took);

    return failed || done == 0 ? 1 : 0;
}
