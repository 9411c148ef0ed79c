
/*
 * stream <port> <handshakes a second> <name> ...
 *
 * A steady stream of clients at 127.0.0.1, without a retry: full handshakes,
 * of TLS 1.2 and 1.3 and of each name in turn, each with one request and its
 * answer, begun at that rate whatever the server does; and for each version
 * and name a connection that is kept, with a request each 20 ms.  One that the
 * server closes between two requests is opened anew.
 *
 * Each line on standard input is answered by one of JSON: what there was since
 * the line before.  Its end ends the program.
 *
 *     handshakes, requests    that were done; requests over kept connections
 *     handshake, request      the longest of them, in ms
 *     failure                 the longest that it took until one had failed
 *     self                    handshakes that showed a self-signed certificate
 *     failed                  {how: number}
 *
 * How one fails: "refused", by the kernel; "broken", closed or reset in the
 * handshake; "alert"; "late", not over after 20 s; "name" and "expired", of the
 * certificate; "answer", of a new connection; "begun", a kept connection that
 * was closed within an answer; "dropped", one that was closed without a byte of
 * an answer, as all servers do that close just when a request is on its way.
 * Some are told of on standard error.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>


#define MILLISECOND  INT64_C(1000000)
#define SECOND       (1000 * MILLISECOND)

#define CONNECTIONS  2048
#define NAMES        16
#define VERSIONS     2
#define INTERVAL     (20 * MILLISECOND)
#define LATE         (20 * SECOND)
#define TOLD         20


typedef enum {
    FREE = 0,
    HANDSHAKE,
    ANSWER,
    KEPT                    /* nothing under way */
} state_t;


enum { REFUSED, BROKEN, ALERT, TOO_LATE, NAME, EXPIRED, UNANSWERED, BEGUN,
       DROPPED, FAILURES };


typedef struct {
    state_t      state;
    int          fd;
    int          version;
    const char  *name;
    SSL         *ssl;
    int          keep;
    int64_t      began;
    int64_t      due;       /* the next request */
    size_t       len;
    char         answer[4096];
} conn_t;


static const char  *failures[] = { "refused", "broken", "alert", "late",
                                   "name", "expired", "answer", "begun",
                                   "dropped" };

static struct sockaddr_in   address;
static SSL_CTX             *contexts[VERSIONS];
static conn_t               conns[CONNECTIONS];
static int                  top;        /* no higher one was ever used */
static int                  ep;
static unsigned             told;

static unsigned             handshakes, requests, self;
static int64_t              longest_handshake, longest_request;
static int64_t              longest_failure;
static unsigned             failed[FAILURES];


static int64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * SECOND + ts.tv_nsec;
}


static void
trouble(const char *what)
{
    perror(what);
    exit(2);
}


static void
conn_close(conn_t *c)
{
    SSL_free(c->ssl);
    close(c->fd);

    c->ssl = NULL;
    c->state = FREE;
}


static void
conn_failed(conn_t *c, int how)
{
    int64_t  took;

    took = now() - c->began;
    longest_failure = (took > longest_failure) ? took : longest_failure;
    failed[how]++;

    if (told++ < TOLD) {
        fprintf(stderr, "%ld: port %d, %s, TLS 1.%d, %s%s, after %ld ms: %s\n",
                (long) time(NULL), ntohs(address.sin_port), c->name,
                c->version + 2, c->keep ? "kept, " : "", failures[how],
                (long) (took / MILLISECOND), strerror(errno));
        ERR_print_errors_fp(stderr);
    }

    ERR_clear_error();
    conn_close(c);
}


static void
conn_open(conn_t *c, int version, const char *name, int keep)
{
    struct epoll_event  ee;

    memset(c, 0, sizeof(conn_t));

    c->version = version;
    c->name = name;
    c->keep = keep;
    c->state = HANDSHAKE;
    c->began = now();

    c->fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0);
    if (c->fd == -1) {
        trouble("socket");
    }

    c->ssl = SSL_new(contexts[version]);

    if (c->ssl == NULL
        || !SSL_set_fd(c->ssl, c->fd)
        || !SSL_set_tlsext_host_name(c->ssl, name))
    {
        trouble("openssl");
    }

    SSL_set_connect_state(c->ssl);

    if (connect(c->fd, (struct sockaddr *) &address, sizeof(address)) == -1
        && errno != EINPROGRESS)
    {
        conn_failed(c, REFUSED);
        return;
    }

    ee.events = EPOLLIN|EPOLLOUT|EPOLLET|EPOLLRDHUP;
    ee.data.ptr = c;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        trouble("epoll_ctl");
    }
}


static conn_t *
conn_free(void)
{
    int  i;

    for (i = 0; i < CONNECTIONS; i++) {
        if (conns[i].state == FREE) {
            top = (i < top) ? top : i + 1;
            return &conns[i];
        }
    }

    fprintf(stderr, "too many connections are open\n");
    exit(2);
}


static void
conn_ask(conn_t *c)
{
    int   len;
    char  request[512];

    len = snprintf(request, sizeof(request),
                   "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", c->name,
                   c->keep ? "" : "Connection: close\r\n");

    c->state = ANSWER;
    c->len = 0;
    c->began = now();
    c->due = c->began + INTERVAL;

    if (SSL_write(c->ssl, request, len) != len) {
        conn_failed(c, c->keep ? DROPPED : UNANSWERED);
    }
}


/* -1, or what is wrong with the certificate. */

static int
conn_certificate(conn_t *c)
{
    int    wrong;
    X509  *x509;

    wrong = NAME;
    x509 = SSL_get_peer_certificate(c->ssl);

    if (x509 != NULL && X509_check_host(x509, c->name, 0, 0, NULL) == 1) {
        wrong = (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0) ? EXPIRED
                                                                     : -1;
        self += X509_NAME_cmp(X509_get_subject_name(x509),
                              X509_get_issuer_name(x509)) == 0;
    }

    X509_free(x509);

    return wrong;
}


static void
conn_handshake(conn_t *c)
{
    int      rc, wrong;
    int64_t  took;

    rc = SSL_do_handshake(c->ssl);

    if (rc != 1) {
        rc = SSL_get_error(c->ssl, rc);

        if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE) {
            return;
        }

        if (rc == SSL_ERROR_SYSCALL && errno == ECONNREFUSED) {
            conn_failed(c, REFUSED);
            return;
        }

        conn_failed(c, (rc == SSL_ERROR_SSL
                        && ERR_GET_REASON(ERR_peek_error())
                           > SSL_AD_REASON_OFFSET)
                       ? ALERT : BROKEN);
        return;
    }

    took = now() - c->began;
    wrong = conn_certificate(c);

    if (wrong != -1) {
        conn_failed(c, wrong);
        return;
    }

    handshakes++;
    longest_handshake = (took > longest_handshake) ? took : longest_handshake;

    conn_ask(c);
}


static int
conn_whole(conn_t *c)
{
    char    *end;
    size_t   head;

    c->answer[c->len] = '\0';
    end = strstr(c->answer, "\r\n\r\n");

    if (end == NULL || strncmp(c->answer, "HTTP/1.1 200", 12) != 0) {
        return 0;
    }

    head = end + 4 - c->answer;
    end = strstr(c->answer, "Content-Length: ");

    return end && c->len == head + strtoul(end + 16, NULL, 10);
}


static void
conn_read(conn_t *c)
{
    int      rc;
    int64_t  took;

    for ( ;; ) {
        rc = SSL_read(c->ssl, c->answer + c->len,
                      sizeof(c->answer) - 1 - c->len);

        if (rc <= 0) {
            break;
        }

        c->len += rc;

        if (c->state != ANSWER || !conn_whole(c)) {
            continue;
        }

        if (!c->keep) {
            conn_close(c);
            return;
        }

        took = now() - c->began;
        requests++;
        longest_request = (took > longest_request) ? took : longest_request;
        c->state = KEPT;
    }

    if (SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ) {
        return;
    }

    ERR_clear_error();

    if (c->state == KEPT) {
        conn_close(c);
        return;
    }

    conn_failed(c, !c->keep ? UNANSWERED : c->len ? BEGUN : DROPPED);
}


static void
conn_event(conn_t *c)
{
    if (c->state == HANDSHAKE) {
        conn_handshake(c);
    }

    if (c->state == ANSWER || c->state == KEPT) {
        conn_read(c);
    }
}


/* The figures since the last time. */

static void
report(void)
{
    int          i;
    const char  *comma;

    printf("{\"handshakes\": %u, \"requests\": %u, \"handshake\": %.1f, "
           "\"request\": %.1f, \"failure\": %.1f, \"self\": %u, \"failed\": {",
           handshakes, requests, (double) longest_handshake / MILLISECOND,
           (double) longest_request / MILLISECOND,
           (double) longest_failure / MILLISECOND, self);

    comma = "";

    for (i = 0; i < FAILURES; i++) {
        if (failed[i]) {
            printf("%s\"%s\": %u", comma, failures[i], failed[i]);
            comma = ", ";
        }
    }

    printf("}}\n");
    fflush(stdout);

    handshakes = 0;
    requests = 0;
    self = 0;
    longest_handshake = 0;
    longest_request = 0;
    longest_failure = 0;
    memset(failed, 0, sizeof(failed));
}


/* Once a millisecond. */

static void
look(conn_t *kept, int nkept)
{
    int      i;
    int64_t  t;
    conn_t  *c;

    t = now();

    for (i = 0; i < top; i++) {
        c = &conns[i];

        if ((c->state == HANDSHAKE || c->state == ANSWER)
            && t - c->began > LATE)
        {
            conn_failed(c, TOO_LATE);
        }
    }

    for (c = kept; c < kept + nkept; c++) {

        if (c->state == FREE) {
            conn_open(c, c->version, c->name, 1);

        } else if (c->state == KEPT && t >= c->due) {
            conn_ask(c);
        }
    }
}


static void
run(double rate, char **names, int n)
{
    int                 i, nkept, events;
    char                line[64];
    int64_t             start, begun, last;
    struct pollfd       pfd;
    struct epoll_event  list[256];

    nkept = n * VERSIONS;

    for (i = 0; i < nkept; i++) {
        top = i + 1;
        conn_open(&conns[i], i % VERSIONS, names[i / VERSIONS], 1);
    }

    start = now();
    begun = 0;
    last = 0;

    for ( ;; ) {
        events = epoll_wait(ep, list, 256, 1);

        for (i = 0; i < events; i++) {
            conn_event(list[i].data.ptr);
        }

        while (begun < (now() - start) * rate / SECOND) {
            conn_open(conn_free(), begun % VERSIONS,
                      names[begun / VERSIONS % n], 0);
            begun++;
        }

        if (now() - last < MILLISECOND) {
            continue;
        }

        last = now();
        look(conns, nkept);

        pfd.fd = STDIN_FILENO;
        pfd.events = POLLIN;

        if (poll(&pfd, 1, 0) == 1) {
            if (read(STDIN_FILENO, line, sizeof(line)) <= 0) {
                return;
            }

            report();
        }
    }
}


int
main(int argc, char **argv)
{
    int  i, version;

    if (argc < 4 || argc - 3 > NAMES) {
        fprintf(stderr, "stream: see the head of stream.c\n");
        return 2;
    }

    signal(SIGPIPE, SIG_IGN);

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(atoi(argv[1]));

    for (i = 0; i < VERSIONS; i++) {
        version = i ? TLS1_3_VERSION : TLS1_2_VERSION;
        contexts[i] = SSL_CTX_new(TLS_client_method());

        if (contexts[i] == NULL
            || !SSL_CTX_set_min_proto_version(contexts[i], version)
            || !SSL_CTX_set_max_proto_version(contexts[i], version))
        {
            trouble("openssl");
        }
    }

    ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep == -1) {
        trouble("epoll_create1");
    }

    run(atof(argv[2]), argv + 3, argc - 3);

    return 0;
}
