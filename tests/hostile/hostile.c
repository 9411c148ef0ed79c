
/*
 * hostile <port> <connections> <seconds> <seed> <name> ...
 *
 * Connections to 127.0.0.1 that make trouble, always so many at a time: real
 * TLS handshakes of 1.2, of 1.3 and of 1.3 with a HelloRetryRequest, for each
 * name, that are cut off after each number of bytes in turn, sent in pieces,
 * with pauses, in small records, with a byte changed; ended by close, reset,
 * half of a close, silence, noise; and what should not come after a handshake.
 *
 * It comes from 127.0.1.0/24, so that a log tells it from others.  Its last
 * line says what became of the connections, and at how many bytes none was
 * cut off yet.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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


#define ROOM       16384
#define CUTS       1600     /* more bytes than a client's handshake has */
#define LIFE       4000     /* ms */
#define VERSIONS   3
#define KINDS      16       /* versions and names, at most */


enum {
    END_CLOSE,
    END_RESET,
    END_HALF,               /* then it reads what comes */
    END_SILENCE,
    END_TALK,               /* random bytes for ever */
    ENDS
};


enum {
    AFTER_NOTHING,
    AFTER_NOISE,
    AFTER_RECORD,           /* a record of noise */
    AFTER_PLAIN,            /* a request without TLS */
    AFTER_REQUEST,
    AFTER_PART,             /* of a request */
    AFTER_AGAIN,            /* renegotiation, or new keys and again */
    AFTERS
};


/* The handshakes of one version for one name. */

typedef struct {
    SSL_CTX   *ctx;
    char      *name;
    uint8_t    cut[CUTS];   /* was cut off there */
    size_t     at;          /* the last one */
    size_t     whole;       /* bytes of all of it; 0: not known yet */
} kind_t;


typedef struct {
    kind_t    *kind;
    int        fd;
    SSL       *ssl;
    BIO       *in;
    BIO       *out;

    uint8_t    room[ROOM];  /* to be sent */
    size_t     n;
    size_t     sent;        /* of room */
    size_t     total;       /* ever */

    size_t     cut;         /* stop after so many bytes */
    size_t     piece;       /* at most so many bytes at a time */
    int        pause;       /* ms between pieces */
    size_t     record;      /* the first flight in such records; 0: as it is */
    size_t     spoil;       /* the byte that is changed; CUTS: none */
    int        end;
    int        after;
    unsigned   greedy:1;    /* the end comes on the server's first byte */
    unsigned   plain:1;     /* nothing keeps it from the byte to be cut at */
    unsigned   half:1;
    unsigned   hello:1;     /* the first flight is made */
    unsigned   done:1;      /* the handshake is */
    unsigned   spoken:1;    /* and what comes after */
    unsigned   talk:1;
    unsigned   stranger:1;  /* asks for a name that the server has not */

    int64_t    next;        /* when it may send again */
    int64_t    last;        /* when it ends */
} client_t;


static uint64_t      seed;
static SSL_CTX      *contexts[VERSIONS];
static kind_t        kinds[KINDS];
static int           nkinds;
static int           port;
static int           ep;
static size_t        counter;

static unsigned      opened, refused, finished, cuts, answered, spoken;
static unsigned      overdue;


static uint64_t
roll(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static int64_t
now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static void
give_up(const char *what)
{
    perror(what);
    exit(1);
}


/* The next byte to be cut at, one that was not yet if there is any. */

static size_t
kind_cut(kind_t *k)
{
    size_t  i, n;

    n = k->whole ? k->whole : CUTS;

    for (i = 1; i <= n; i++) {
        if (!k->cut[(k->at + i) % n]) {
            break;
        }
    }

    k->at = (k->at + ((i <= n) ? i : 1)) % n;

    return k->at;
}


/* How many places there are where no handshake was cut off. */

static unsigned
kinds_left(void)
{
    int       i;
    size_t    n;
    unsigned  left;

    left = 0;

    for (i = 0; i < nkinds; i++) {

        if (kinds[i].whole == 0) {
            left += CUTS;
        }

        for (n = 0; n < kinds[i].whole; n++) {
            left += !kinds[i].cut[n];
        }
    }

    return left;
}


/* Half of all are well behaved but for one thing, the others for many. */

static void
client_manners(client_t *c)
{
    uint64_t  r = roll();

    c->kind = &kinds[counter % nkinds];
    c->stranger = (r >> 44) % 32 == 0;
    c->piece = ROOM;
    c->spoil = CUTS;
    c->end = r % ENDS;
    c->greedy = (r >> 8) % 8 == 0;
    c->after = (r >> 56) % AFTERS;

    switch ((r >> 16) % 10) {

    case 0:
        c->piece = 1;
        break;

    case 1:
        c->piece = 1 + (r >> 24) % 64;
        c->pause = (r >> 32) % 20;
        break;

    case 2:
        c->piece = 1;
        c->pause = (r >> 32) % 3;
        break;

    case 3:
        c->record = 1 + (r >> 24) % 100;
        break;

    case 4:
        c->spoil = (r >> 24) % 800;
        break;

    case 5:
        c->record = 1 + (r >> 24) % 100;
        c->piece = 1 + (r >> 32) % 10;
        c->pause = (r >> 40) % 3;
        break;

    default:
        c->plain = !c->stranger && !c->greedy;
        break;
    }

    if (counter++ / nkinds % 4 == 0) {
        c->cut = (size_t) -1;

    } else if (c->plain) {
        c->cut = kind_cut(c->kind);

    } else {
        c->cut = roll() % 800;
    }
}


static int
client_open(client_t *c)
{
    int                 one = 1;
    struct sockaddr_in  sin;
    struct epoll_event  ee;

    memset(c, 0, sizeof(client_t));

    client_manners(c);

    c->fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0);
    if (c->fd == -1) {
        give_up("socket");
    }

    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    /* many addresses: one has not enough ports for all that just closed */

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(0x7f000100 + 1 + counter % 250);

    (void) setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
                      sizeof(one));

    if (bind(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        give_up("bind");
    }

    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        && errno != EINPROGRESS)
    {
        refused++;
        (void) close(c->fd);
        c->fd = -1;
        return -1;
    }

    c->ssl = SSL_new(c->kind->ctx);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());

    if (c->ssl == NULL || c->in == NULL || c->out == NULL) {
        give_up("openssl");
    }

    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_connect_state(c->ssl);

    (void) SSL_set_tlsext_host_name(c->ssl, c->stranger ? "no.example"
                                                        : c->kind->name);

    ee.events = EPOLLIN|EPOLLOUT|EPOLLET|EPOLLRDHUP;
    ee.data.ptr = c;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        give_up("epoll_ctl");
    }

    c->next = now();
    c->last = c->next + LIFE;
    opened++;

    return 0;
}


static void
client_close(client_t *c)
{
    SSL_free(c->ssl);
    (void) close(c->fd);
    c->fd = -1;
}


static void
client_end(client_t *c)
{
    struct linger  linger = { 1, 0 };

    cuts++;

    switch (c->end) {

    case END_RESET:
        (void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger,
                          sizeof(linger));
        client_close(c);
        return;

    case END_HALF:
        (void) shutdown(c->fd, SHUT_WR);
        c->half = 1;
        c->last = now() + 500;
        return;

    case END_SILENCE:
        c->half = 1;
        c->last = now() + roll() % 500;
        return;

    case END_TALK:
        c->cut = (size_t) -1;
        c->talk = 1;
        return;

    default:
        client_close(c);
    }
}


/* The records of a flight once more, each of at most size bytes. */

static void
client_split(client_t *c, size_t size)
{
    size_t   i, n, m, len;
    uint8_t  old[ROOM], *p, *to;

    memcpy(old, c->room, c->n);
    to = c->room;

    for (p = old; p + 5 <= old + c->n; p += 5 + len) {
        len = (p[3] << 8) + p[4];

        for (i = 0; i < len; i += m) {
            m = (len - i < size) ? len - i : size;
            n = to - c->room;

            if (n + 5 + m > ROOM) {
                return;
            }

            memcpy(to, p, 3);
            to[3] = m >> 8;
            to[4] = m & 0xff;
            memcpy(to + 5, p + 5 + i, m);
            to += 5 + m;
        }
    }

    c->n = to - c->room;
}


static void
client_noise(client_t *c, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        c->room[c->n++] = (uint8_t) roll();
    }
}


/* What should not come, now that there is a connection; or a request. */

static void
client_speak(client_t *c)
{
    int  i, n;

    static const uint8_t  head[] = { 23, 3, 3, 0, 64 };
    static const char     request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    c->spoken = 1;
    spoken++;

    switch (c->after) {

    case AFTER_NOISE:
        c->talk = 1;
        client_noise(c, 64);
        return;

    case AFTER_RECORD:
        memcpy(c->room, head, sizeof(head));
        c->n = sizeof(head);
        client_noise(c, 64);
        return;

    case AFTER_PLAIN:
        c->n = sizeof(request) - 1;
        memcpy(c->room, request, c->n);
        return;

    case AFTER_REQUEST:
        (void) SSL_write(c->ssl, request, sizeof(request) - 1);
        break;

    case AFTER_PART:
        (void) SSL_write(c->ssl, request, 1 + roll() % 20);
        break;

    case AFTER_AGAIN:
        for (i = 0; i < 8; i++) {
            if (SSL_version(c->ssl) == TLS1_3_VERSION) {
                (void) SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);

            } else if (i == 0) {
                (void) SSL_renegotiate(c->ssl);
            }

            (void) SSL_do_handshake(c->ssl);
        }

        break;

    default:
        break;
    }

    ERR_clear_error();

    n = BIO_read(c->out, c->room, ROOM / 4);
    c->n = (n > 0) ? n : 0;
}


/* Fills room with what the client has to say next. */

static void
client_think(client_t *c)
{
    int  n, rc;

    if (c->sent < c->n) {
        return;
    }

    c->n = 0;
    c->sent = 0;

    if (c->talk) {
        client_noise(c, 64);
        c->pause = 10;
        return;
    }

    if (c->done) {
        if (!c->spoken) {
            client_speak(c);
        }

        return;
    }

    rc = SSL_do_handshake(c->ssl);
    ERR_clear_error();

    n = BIO_read(c->out, c->room, ROOM / 4);
    c->n = (n > 0) ? n : 0;

    if (c->record && !c->hello) {
        client_split(c, c->record);
    }

    c->hello = 1;

    if (rc == 1) {
        finished++;
        c->done = 1;

        if (c->plain) {
            c->kind->whole = c->total + c->n;
        }

        /* nothing new comes of it any more */
        if (c->last > now() + 100) {
            c->last = now() + 100;
        }
    }
}


static void
client_send(client_t *c, int64_t t)
{
    size_t   n;
    ssize_t  rc;

    for ( ;; ) {

        if (c->half || t < c->next) {
            return;
        }

        client_think(c);

        n = c->n - c->sent;

        if (n == 0) {
            return;
        }

        if (n > c->piece) {
            n = c->piece;
        }

        if (c->cut - c->total < n) {
            n = c->cut - c->total;
        }

        if (n && c->spoil >= c->total && c->spoil < c->total + n) {
            c->room[c->sent + (c->spoil - c->total)] ^= 1 << roll() % 8;
        }

        if (n) {
            rc = send(c->fd, c->room + c->sent, n, MSG_NOSIGNAL);

            if (rc == -1 && (errno == EAGAIN || errno == ENOTCONN)) {
                c->spoil = CUTS;
                return;
            }

            if (rc == -1) {
                client_close(c);
                return;
            }

            c->sent += rc;
            c->total += rc;
        }

        if (c->cut != (size_t) -1 && c->total >= c->cut) {

            if (c->plain) {
                c->kind->cut[c->cut] = 1;
            }

            client_end(c);
            return;
        }

        if (c->pause) {
            c->next = t + c->pause;
        }
    }
}


static void
client_read(client_t *c)
{
    ssize_t  n;
    uint8_t  buf[ROOM];

    for ( ;; ) {
        n = recv(c->fd, buf, sizeof(buf), 0);

        if (n == -1 && (errno == EAGAIN || errno == ENOTCONN)) {
            return;
        }

        if (n <= 0) {
            refused += (n == -1 && errno == ECONNREFUSED);
            client_close(c);
            return;
        }

        answered++;

        if (c->greedy && !c->half) {
            client_end(c);

            if (c->fd == -1) {
                return;
            }
        }

        (void) BIO_write(c->in, buf, n);
    }
}


static void
run(client_t *clients, int n, int seconds)
{
    int                 i, events;
    int64_t             t, stop;
    client_t           *c;
    struct epoll_event  list[512];

    stop = now() + (int64_t) seconds * 1000;

    for ( ;; ) {
        t = now();

        if (t > stop) {
            return;
        }

        for (i = 0; i < n; i++) {
            c = &clients[i];

            if (c->fd != -1 && t > c->last) {
                overdue++;
                client_close(c);
            }

            if (c->fd == -1 && client_open(c) == -1) {
                continue;
            }

            client_send(c, t);
        }

        events = epoll_wait(ep, list, 512, 1);

        for (i = 0; i < events; i++) {
            c = list[i].data.ptr;

            if (c->fd != -1) {
                client_read(c);
            }

            if (c->fd != -1) {
                client_send(c, t);
            }
        }
    }
}


/* 1.2, 1.3, and 1.3 whose first key share the server does not take. */

static SSL_CTX *
context(int n)
{
    int       version;
    SSL_CTX  *ctx;

    version = n ? TLS1_3_VERSION : TLS1_2_VERSION;

    ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL
        || SSL_CTX_set_max_proto_version(ctx, version) != 1
        || (n == 2 && SSL_CTX_set1_groups_list(ctx, "X448:P-256") != 1))
    {
        give_up("openssl");
    }

    return ctx;
}


int
main(int argc, char **argv)
{
    int        i, n;
    client_t  *clients;

    if (argc < 6 || (argc - 5) * VERSIONS > KINDS) {
        fprintf(stderr, "usage: hostile <port> <connections> <seconds> "
                "<seed> <name> ...\n");
        return 2;
    }

    port = atoi(argv[1]);
    n = atoi(argv[2]);
    seed = (strtoull(argv[4], NULL, 10) + 1) * 0x9e3779b97f4a7c15ULL;

    for (i = 0; i < VERSIONS; i++) {
        contexts[i] = context(i);
    }

    nkinds = (argc - 5) * VERSIONS;

    for (i = 0; i < nkinds; i++) {
        kinds[i].ctx = contexts[i % VERSIONS];
        kinds[i].name = argv[5 + i / VERSIONS];
    }

    ep = epoll_create1(0);
    clients = calloc(n, sizeof(client_t));

    if (ep == -1 || clients == NULL) {
        give_up("hostile");
    }

    for (i = 0; i < n; i++) {
        clients[i].fd = -1;
    }

    run(clients, n, atoi(argv[3]));

    for (i = 0; i < n; i++) {
        if (clients[i].fd != -1) {
            client_close(&clients[i]);
        }
    }

    printf("%u connections, %u refused, %u cut off, %u answers, %u finished, "
           "%u spoken after, %u overdue, %u never cut at\n", opened, refused,
           cuts, answered, finished, spoken, overdue, kinds_left());

    for (i = 0; i < VERSIONS; i++) {
        SSL_CTX_free(contexts[i]);
    }

    free(clients);

    return 0;
}
