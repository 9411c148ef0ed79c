
/*
 * Looks for private keys in the memory of other processes.
 *
 *     memscan -p pid ... < what
 *
 * Each line of standard input names a thing to look for:
 *
 *     bytes LABEL HEX     these bytes, anywhere in any readable memory
 *     point LABEL HEX     the private key of this uncompressed P-256 point:
 *                         each window of 32 bytes at an address that is a
 *                         multiple of 8, in memory that is writable or
 *                         anonymous, taken as a scalar in both byte orders and
 *                         multiplied by the generator
 *
 * What is found goes to standard output, one line each:
 *
 *     found PID LABEL ADDRESS HOW MAPPING
 *
 * then, for each process, how much was looked at:
 *
 *     scanned PID BYTES bytes, SCALARS scalars, UNREADABLE bytes not readable
 *
 * Exit status: 0 nothing found, 1 something found, 2 trouble.  The program
 * holds what it looks for: it must not be told to look at itself.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>


#define SCALAR       32
#define POINT        65
#define PIECE        (128 * 1024)
#define MAX_PATTERNS 4096
#define MAX_POINTS   64
#define MAX_PIDS     256
#define MAX_THREADS  64


typedef struct {
    char       *label;
    u_char     *bytes;
    size_t      len;
} thing_t;


/* A part of a mapping, small enough that threads share the work fairly. */

typedef struct {
    uint64_t    address;
    uint64_t    size;
    uint64_t    limit;          /* the mapping's end */
    int         scalars;        /* may hold a computed key */
    char        name[128];
} piece_t;


typedef struct {
    int         pid;
    int         mem;
    piece_t    *pieces;
    size_t      npieces;
    size_t      next;           /* to be taken by a thread */
    uint64_t    scanned;
    uint64_t    scalars;
    uint64_t    unreadable;
} process_t;


typedef struct {
    process_t  *process;
    piece_t    *piece;
    EC_GROUP   *group;
    EC_POINT   *wanted[MAX_POINTS];
    EC_POINT   *point;
    BIGNUM     *order;
    BIGNUM     *k;
    BN_CTX     *bn;
} scanner_t;


static thing_t          patterns[MAX_PATTERNS];
static size_t           npatterns;
static thing_t          points[MAX_POINTS];
static size_t           npoints;
static size_t           longest;

static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static int              found_any;


static void
fail(const char *what)
{
    fprintf(stderr, "memscan: %s: %s\n", what, strerror(errno));
    exit(2);
}


static void
found(int pid, const char *label, uint64_t address, const char *how,
    const char *mapping)
{
    pthread_mutex_lock(&lock);

    found_any = 1;
    printf("found %d %s %" PRIx64 " %s %s\n", pid, label, address, how,
           *mapping ? mapping : "[anonymous]");

    pthread_mutex_unlock(&lock);
}


static u_char *
from_hex(const char *hex, size_t *len)
{
    size_t     i;
    u_char    *bytes;
    unsigned   byte;

    *len = strlen(hex) / 2;
    bytes = malloc(*len + 1);

    if (bytes == NULL) {
        fail("malloc");
    }

    for (i = 0; i < *len; i++) {
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            errno = EINVAL;
            fail(hex);
        }

        bytes[i] = byte;
    }

    return bytes;
}


static void
read_things(void)
{
    char     *line, *kind, *label, *hex, *save;
    size_t    size;
    thing_t  *thing;

    line = NULL;
    size = 0;

    while (getline(&line, &size, stdin) > 0) {
        kind = strtok_r(line, " \n", &save);
        if (kind == NULL) {
            continue;
        }

        label = strtok_r(NULL, " \n", &save);
        hex = strtok_r(NULL, " \n", &save);

        errno = EINVAL;

        if (label == NULL || hex == NULL
            || npatterns == MAX_PATTERNS || npoints == MAX_POINTS)
        {
            fail("bad line on standard input");
        }

        thing = strcmp(kind, "point") == 0 ? &points[npoints++]
                                           : &patterns[npatterns++];
        thing->label = strdup(label);
        thing->bytes = from_hex(hex, &thing->len);

        if (strcmp(kind, "point") == 0) {
            if (thing->len != POINT || thing->bytes[0] != 4) {
                fail("not an uncompressed P-256 point");
            }

        } else if (strcmp(kind, "bytes") != 0 || thing->len < 8) {
            fail("neither a point nor at least 8 bytes");

        } else if (thing->len > longest) {
            longest = thing->len;
        }
    }

    free(line);
}


static void
add_pieces(process_t *process, uint64_t from, uint64_t to, int scalars,
    const char *name)
{
    piece_t   *piece;
    uint64_t   at;

    for (at = from; at < to; at += PIECE) {
        process->pieces = realloc(process->pieces,
                                  (process->npieces + 1) * sizeof(piece_t));
        if (process->pieces == NULL) {
            fail("realloc");
        }

        piece = &process->pieces[process->npieces++];
        piece->address = at;
        piece->size = to - at < PIECE ? to - at : PIECE;
        piece->limit = to;
        piece->scalars = scalars;
        snprintf(piece->name, sizeof(piece->name), "%s", name);
    }
}


static void
read_maps(process_t *process)
{
    int        path;
    char       file[64], line[1024], perms[8];
    FILE      *maps;
    uint64_t   from, to, inode;

    snprintf(file, sizeof(file), "/proc/%d/maps", process->pid);

    maps = fopen(file, "r");
    if (maps == NULL) {
        fail(file);
    }

    while (fgets(line, sizeof(line), maps)) {
        path = 0;
        line[strcspn(line, "\n")] = '\0';

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*x %*s %" SCNu64 " %n",
                   &from, &to, perms, &inode, &path) < 4)
        {
            continue;
        }

        if (perms[0] != 'r' || strstr(line, "[vvar")
            || strstr(line, "[vsyscall]"))
        {
            continue;
        }

        add_pieces(process, from, to, perms[1] == 'w' || inode == 0,
                   line + path);
    }

    fclose(maps);
}


static void
scan_patterns(scanner_t *scanner, const u_char *p, size_t len, size_t fresh,
    uint64_t address)
{
    size_t         i;
    thing_t       *thing;
    const u_char  *at, *end;

    for (i = 0; i < npatterns; i++) {
        thing = &patterns[i];
        end = p + len;

        for (at = p; ; at++) {
            at = memmem(at, end - at, thing->bytes, thing->len);

            /* what begins beyond fresh belongs to the next read */
            if (at == NULL || (size_t) (at - p) >= fresh) {
                break;
            }

            found(scanner->process->pid, thing->label, address + (at - p),
                  "bytes", scanner->piece->name);
        }
    }
}


static void
try_scalar(scanner_t *scanner, uint64_t address, const char *how)
{
    size_t  i;

    /* 0 has no point; n or more is no private key: nothing else is skipped */

    if (BN_is_zero(scanner->k) || BN_cmp(scanner->k, scanner->order) >= 0) {
        return;
    }

    if (EC_POINT_mul(scanner->group, scanner->point, scanner->k, NULL, NULL,
                     scanner->bn)
        != 1)
    {
        fail("EC_POINT_mul");
    }

    for (i = 0; i < npoints; i++) {
        if (EC_POINT_cmp(scanner->group, scanner->point, scanner->wanted[i],
                         scanner->bn)
            == 0)
        {
            found(scanner->process->pid, points[i].label, address, how,
                  scanner->piece->name);
        }
    }

    __atomic_add_fetch(&scanner->process->scalars, 1, __ATOMIC_RELAXED);
}


static void
scan_scalars(scanner_t *scanner, const u_char *p, size_t len, size_t fresh,
    uint64_t address)
{
    size_t  i;

    for (i = 0; i < fresh && i + SCALAR <= len; i += 8) {

        /* the same window as before, say in a run of zeros, tells no more */
        if (i >= 8 && memcmp(p + i, p + i - 8, SCALAR) == 0) {
            continue;
        }

        BN_bin2bn(p + i, SCALAR, scanner->k);
        try_scalar(scanner, address + i, "scalar-big-endian");

        BN_lebin2bn(p + i, SCALAR, scanner->k);
        try_scalar(scanner, address + i, "scalar-little-endian");
    }
}


static void
scan_piece(scanner_t *scanner, u_char *buffer, size_t overlap)
{
    size_t      want, fresh;
    ssize_t     n;
    piece_t    *piece;
    uint64_t    at, end;
    process_t  *process;

    process = scanner->process;
    piece = scanner->piece;
    end = piece->address + piece->size;

    for (at = piece->address; at < end; at += fresh) {
        fresh = end - at;
        want = fresh + overlap;

        if (want > piece->limit - at) {
            want = piece->limit - at;
        }

        n = pread(process->mem, buffer, want, at);

        if (n <= 0) {
            /* a hole, say beyond the end of a file */
            fresh = 4096;
            __atomic_add_fetch(&process->unreadable, fresh, __ATOMIC_RELAXED);
            continue;
        }

        if (fresh > (size_t) n) {
            fresh = n;
        }

        __atomic_add_fetch(&process->scanned, fresh, __ATOMIC_RELAXED);

        scan_patterns(scanner, buffer, n, fresh, at);

        if (npoints && piece->scalars) {
            scan_scalars(scanner, buffer, n, fresh, at);
        }
    }
}


static void
scanner_init(scanner_t *scanner, process_t *process)
{
    size_t  i;

    scanner->process = process;
    scanner->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    scanner->point = EC_POINT_new(scanner->group);
    scanner->order = BN_new();
    scanner->k = BN_new();
    scanner->bn = BN_CTX_new();

    if (scanner->point == NULL || scanner->order == NULL || scanner->k == NULL
        || scanner->bn == NULL
        || EC_GROUP_get_order(scanner->group, scanner->order, scanner->bn)
           != 1)
    {
        fail("out of memory");
    }

    for (i = 0; i < npoints; i++) {
        scanner->wanted[i] = EC_POINT_new(scanner->group);

        if (scanner->wanted[i] == NULL
            || EC_POINT_oct2point(scanner->group, scanner->wanted[i],
                                  points[i].bytes, POINT, scanner->bn)
               != 1)
        {
            errno = EINVAL;
            fail("not a point of P-256");
        }
    }
}


static void
scanner_free(scanner_t *scanner)
{
    size_t  i;

    for (i = 0; i < npoints; i++) {
        EC_POINT_free(scanner->wanted[i]);
    }

    EC_POINT_free(scanner->point);
    BN_CTX_free(scanner->bn);
    BN_free(scanner->k);
    BN_free(scanner->order);
    EC_GROUP_free(scanner->group);
}


static void *
scan_thread(void *data)
{
    size_t      i, overlap;
    u_char     *buffer;
    process_t  *process;
    scanner_t   scanner;

    process = data;
    scanner_init(&scanner, process);

    overlap = longest > SCALAR ? longest : SCALAR;

    buffer = malloc(PIECE + overlap);
    if (buffer == NULL) {
        fail("malloc");
    }

    for ( ;; ) {
        i = __atomic_fetch_add(&process->next, 1, __ATOMIC_RELAXED);
        if (i >= process->npieces) {
            break;
        }

        scanner.piece = &process->pieces[i];
        scan_piece(&scanner, buffer, overlap);
    }

    free(buffer);
    scanner_free(&scanner);

    return NULL;
}


static void
scan_process(int pid, int nthreads)
{
    int        i;
    char       file[64];
    process_t  process;
    pthread_t  threads[MAX_THREADS];

    memset(&process, 0, sizeof(process));

    process.pid = pid;
    read_maps(&process);

    snprintf(file, sizeof(file), "/proc/%d/mem", pid);

    process.mem = open(file, O_RDONLY);
    if (process.mem == -1) {
        fail(file);
    }

    for (i = 0; i < nthreads; i++) {
        errno = pthread_create(&threads[i], NULL, scan_thread, &process);
        if (errno) {
            fail("pthread_create");
        }
    }

    for (i = 0; i < nthreads; i++) {
        pthread_join(threads[i], NULL);
    }

    close(process.mem);
    free(process.pieces);

    printf("scanned %d %" PRIu64 " bytes, %" PRIu64 " scalars, %" PRIu64
           " bytes not readable\n",
           pid, process.scanned, process.scalars, process.unreadable);

    if (process.scanned == 0) {
        errno = ENODATA;
        fail(file);
    }
}


int
main(int argc, char **argv)
{
    int  c, i, nthreads, npids, pids[MAX_PIDS];

    npids = 0;
    nthreads = sysconf(_SC_NPROCESSORS_ONLN);

    while ((c = getopt(argc, argv, "p:")) != -1) {
        if (c == 'p' && npids < MAX_PIDS && atoi(optarg) != getpid()) {
            pids[npids++] = atoi(optarg);

        } else {
            fprintf(stderr, "usage: memscan -p pid ... < what\n");
            return 2;
        }
    }

    if (nthreads < 1) {
        nthreads = 1;
    }

    if (nthreads > MAX_THREADS) {
        nthreads = MAX_THREADS;
    }

    read_things();

    if (npids == 0 || npatterns + npoints == 0) {
        fprintf(stderr, "memscan: nothing to look at or for\n");
        return 2;
    }

    for (i = 0; i < npids; i++) {
        scan_process(pids[i], nthreads);
    }

    return found_any ? 1 : 0;
}
