
/*
 * hostile <port> <connections> <seconds> <seed> <name> ...
 *
 * Connections to 127.0.0.1 that make trouble, always so many at a time: real
 * TLS handshakes that are cut off after each number of bytes in turn, sent in
 * pieces, with pauses, in small records, with a byte changed; ended by close,
 * reset, half of a close, silence.  Its last line says what became of them.
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
#define CUTS       800      /* more bytes than a client's handshake has */
#define LIFE       4000     /* ms */


enum {
    END_CLOSE,
    END_RESET,
    END_HALF,               /* then it reads what comes */
    END_SILENCE,
    END_TALK,               /* random bytes for ever */
    ENDS
};


typedef struct {
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
    unsigned   greedy:1;    /* the end comes on the server's first byte */
    unsigned   half:1;
    unsigned   hello:1;     /* the first flight is made */

    int64_t    next;        /* when it may send again */
    int64_t    last;        /* when it ends */
} client_t;


static uint64_t      seed;
static SSL_CTX      *contexts[2];
static char        **names;
static int           nnames;
static int           port;
static int           ep;
static size_t        counter;

static unsigned      opened, refused, finished, cuts, answered, overdue;


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


/* Half of all are well behaved but for one thing, the others for many. */

static void
client_manners(client_t *c)
{
    uint64_t  r = roll();

    c->cut = counter++ % (CUTS * 5 / 4);
    c->piece = ROOM;
    c->spoil = CUTS;
    c->end = r % ENDS;
    c->greedy = (r >> 8) % 8 == 0;

    switch ((r >> 16) % 8) {

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
        c->spoil = (r >> 24) % CUTS;
        break;

    case 5:
        c->record = 1 + (r >> 24) % 100;
        c->piece = 1 + (r >> 32) % 10;
        c->pause = (r >> 40) % 3;
        break;

    default:
        break;
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

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
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

    c->ssl = SSL_new(contexts[roll() % 2]);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());

    if (c->ssl == NULL || c->in == NULL || c->out == NULL) {
        give_up("openssl");
    }

    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_connect_state(c->ssl);

    /* and now and then a name that the server has not */

    (void) SSL_set_tlsext_host_name(c->ssl, (roll() % 32) ? names[roll()
                                            % nnames] : "no.example");

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

    if (c->cut == (size_t) -1) {
        for (n = 0; n < 64; n++) {
            c->room[n] = (uint8_t) roll();
        }

        c->n = 64;
        c->pause = 10;
        return;
    }

    if (SSL_is_init_finished(c->ssl)) {
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

        /* nothing new comes of it any more */
        if (c->last > now() + 50) {
            c->last = now() + 50;
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


int
main(int argc, char **argv)
{
    int        i, n;
    client_t  *clients;

    if (argc < 6) {
        fprintf(stderr, "usage: hostile <port> <connections> <seconds> "
                "<seed> <name> ...\n");
        return 2;
    }

    port = atoi(argv[1]);
    n = atoi(argv[2]);
    seed = (strtoull(argv[4], NULL, 10) + 1) * 0x9e3779b97f4a7c15ULL;
    names = argv + 5;
    nnames = argc - 5;

    for (i = 0; i < 2; i++) {
        contexts[i] = SSL_CTX_new(TLS_client_method());

        if (contexts[i] == NULL
            || SSL_CTX_set_max_proto_version(contexts[i], i ? TLS1_3_VERSION
                                                            : TLS1_2_VERSION)
               != 1)
        {
            give_up("openssl");
        }
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
           "%u overdue\n", opened, refused, cuts, answered, finished, overdue);

    SSL_CTX_free(contexts[0]);
    SSL_CTX_free(contexts[1]);
    free(clients);

    return 0;
}
