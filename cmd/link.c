
/* The connection with the helper. */


#include "command.h"

#include <poll.h>
#include <sys/un.h>


#define COMMAND_WAIT   30       /* times, for a helper that begins */
#define COMMAND_PAUSE  100      /* ms */


const char  command_silent[] = "the helper is there, and does not answer";


static int command_socket(int dir, const char *path);
static void command_absent(const char *path, int err);
static char *command_text(ngx_pool_t *pool, ngx_autocert_json_t *json,
    const char *name);
static void command_report(command_link_t *link, command_line_t *line,
    ngx_autocert_json_t *report);


int
command_connect(command_link_t *link, const char *path, int quiet)
{
    int  dir, i, err;

    link->start = 0;
    link->len = 0;
    link->fd = -1;

    /* it is the directory that says whether there is something to wait for */

    dir = open(path, O_PATH|O_DIRECTORY|O_CLOEXEC);

    if (dir == -1) {
        if (!quiet) {
            command_absent(path, errno);
        }

        return -1;
    }

    err = 0;

    for (i = 0; i < COMMAND_WAIT; i++) {

        if (i) {
            (void) poll(NULL, 0, COMMAND_PAUSE);
        }

        link->fd = command_socket(dir, path);

        if (link->fd != -1) {
            break;
        }

        err = errno;

        if (err != ENOENT && err != ECONNREFUSED) {
            break;
        }
    }

    (void) close(dir);

    if (link->fd != -1) {
        return 0;
    }

    if (!quiet) {
        command_absent(path, err);
    }

    return -1;
}


/* However long the path is. */

static int
command_socket(int dir, const char *path)
{
    int                  fd, err;
    struct timeval       tv;
    struct sockaddr_un   sun;

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return -1;
    }

    /* where its queue is full, connect() waits as well */

    tv.tv_sec = COMMAND_ANSWER / 1000;
    tv.tv_usec = 0;
    (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;

    if (snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/.control", path)
        >= (int) sizeof(sun.sun_path))
    {
        (void) snprintf(sun.sun_path, sizeof(sun.sun_path),
                        "/proc/self/fd/%d/.control", dir);
    }

    if (connect(fd, (struct sockaddr *) &sun, sizeof(sun)) == 0) {
        return fd;
    }

    err = errno;
    (void) close(fd);
    errno = err;

    return -1;
}


static void
command_absent(const char *path, int err)
{
    switch (err) {

    case EACCES:
    case EPERM:
        command_say("\"%s\" is for root alone: use sudo", path);
        return;

    case EAGAIN:
        command_say("%s", command_silent);
        return;

    case ENOENT:
    case ECONNREFUSED:

        if (access(path, F_OK) == 0) {
            command_say("nobody answers in \"%s\": NGINX is not running with "
                        "it, or another host is the one that renews there",
                        path);
            return;
        }

        /* fall through */

    case ENOTDIR:
        command_say("there is no store \"%s\": NGINX was never run with "
                    "\"autocert on\", or has another \"autocert_path\", which "
                    "--path can tell", path);
        return;
    }

    command_say("\"%s/.control\": %s", path, strerror(err));
}


void
command_close(command_link_t *link)
{
    if (link->fd != -1) {
        (void) close(link->fd);
        link->fd = -1;
    }
}


int
command_ask(command_link_t *link, command_t *command, const char *what,
    const char *name, const char *more)
{
    if (command_connect(link, command->path, 0) == -1) {
        return COMMAND_NOBODY;
    }

    if (command_request(link, what, name, more) == -1) {
        command_close(link);
        return COMMAND_USAGE;
    }

    return COMMAND_OK;
}


/* A name that has no place in a request is none. */

int
command_request(command_link_t *link, const char *what, const char *name,
    const char *more)
{
    int          n;
    char         text[1024];
    const char  *p;

    for (p = name; p && *p; p++) {

        if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f
            || *p == '"' || *p == '\\')
        {
            command_say("\"%s\" is no name", name);
            return -1;
        }
    }

    n = snprintf(text, sizeof(text), "{\"do\":\"%s\"%s%s%s%s}\n", what,
                 name ? ",\"name\":\"" : "", name ? name : "",
                 name ? "\"" : "", more);

    if (n >= (int) sizeof(text)) {
        command_say("\"%.64s...\" is no name", name);
        return -1;
    }

    /* whoever hangs up at once has said why */

    (void) send(link->fd, text, n, MSG_NOSIGNAL);

    return 0;
}


int
command_read(command_link_t *link, int ms)
{
    char           *end;
    ssize_t         n;
    struct pollfd   pfd;

    for ( ;; ) {
        end = memchr(link->buf + link->start, '\n', link->len);

        if (end) {
            *end = '\0';
            link->line = link->buf + link->start;
            link->length = end - link->line;
            link->start += link->length + 1;
            link->len -= link->length + 1;
            return 1;
        }

        memmove(link->buf, link->buf + link->start, link->len);
        link->start = 0;

        if (link->len == sizeof(link->buf)) {
            return -1;
        }

        pfd.fd = link->fd;
        pfd.events = POLLIN;

        n = poll(&pfd, 1, ms);

        if (n == 0 || (n == -1 && errno == EINTR)) {
            return 0;
        }

        n = read(link->fd, link->buf + link->len,
                 sizeof(link->buf) - link->len);

        if (n <= 0) {
            return -1;
        }

        link->len += n;
    }
}


int
command_parse(command_link_t *link, command_line_t *line)
{
    char                 *err;
    ngx_str_t             text;
    ngx_pool_t           *pool;
    ngx_autocert_json_t  *json;

    memset(line, 0, sizeof(command_line_t));

    pool = ngx_create_pool(0, NULL);

    if (pool == NULL) {
        perror("nginx-autocert");
        exit(COMMAND_FAILED);
    }

    line->pool = pool;

    text.data = (u_char *) link->line;
    text.len = link->length;

    json = ngx_autocert_json_parse(pool, &text, &err);

    if (json == NULL || json->type != NGX_AUTOCERT_JSON_OBJECT) {
        command_say("what the helper answers makes no sense");
        return -1;
    }

    line->event = command_text(pool, json, "event");
    line->step = command_text(pool, json, "step");
    line->end = command_text(pool, json, "end");
    line->why = command_text(pool, json, "why");
    line->detail = command_text(pool, json, "detail");
    line->cause = command_text(pool, json, "cause");
    line->next = command_text(pool, json, "next");
    line->name = command_text(pool, json, "name");
    line->report = "";

    json = ngx_autocert_json_get(json, "report");

    if (json) {
        command_report(link, line, json);
    }

    return 0;
}


static void
command_report(command_link_t *link, command_line_t *line,
    ngx_autocert_json_t *report)
{
    size_t                len;
    ngx_pool_t           *pool;
    ngx_autocert_json_t  *error;

    pool = line->pool;

    /* {"report":...} */

    len = link->length - (sizeof("{\"report\":}") - 1);
    line->report = ngx_pcalloc(pool, len + 1);
    memcpy(line->report, link->line + sizeof("{\"report\":") - 1, len);

    line->name = command_text(pool, report, "name");
    line->state = command_text(pool, report, "state");
    line->ca = command_text(pool, report, "ca");
    line->challenge = command_text(pool, report, "challenge");
    line->key_type = command_text(pool, report, "key_type");
    line->serial = command_text(pool, report, "serial");
    line->not_before = command_text(pool, report, "not_before");
    line->not_after = command_text(pool, report, "not_after");
    line->renew_at = command_text(pool, report, "renew_at");
    line->renew_why = command_text(pool, report, "renew_why");
    line->last_success = command_text(pool, report, "last_success");
    line->next_attempt = command_text(pool, report, "next_attempt");

    if (ngx_autocert_json_get_integer(report, "attempts", &line->attempts)
        != NGX_OK)
    {
        line->attempts = 0;
    }

    if (ngx_autocert_json_get_integer(report, "budget_left", &line->budget)
        != NGX_OK)
    {
        line->budget = -1;
    }

    error = ngx_autocert_json_get(report, "last_error");

    line->error_at = command_text(pool, error, "at");
    line->error_why = command_text(pool, error, "why");
    line->error_detail = command_text(pool, error, "detail");
    line->error_cause = command_text(pool, error, "cause");
}


static char *
command_text(ngx_pool_t *pool, ngx_autocert_json_t *json, const char *name)
{
    char       *text;
    ngx_str_t   value;

    if (ngx_autocert_json_get_string(json, name, &value) != NGX_OK) {
        return "";
    }

    text = ngx_pcalloc(pool, value.len + 1);
    memcpy(text, value.data, value.len);

    return text;
}


void
command_free(command_line_t *line)
{
    if (line->pool) {
        ngx_destroy_pool(line->pool);
        line->pool = NULL;
    }
}


time_t
command_time(const char *text)
{
    struct tm  tm;

    memset(&tm, 0, sizeof(tm));

    if (strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) == NULL) {
        return 0;
    }

    return timegm(&tm);
}


long
command_days(time_t until, time_t now)
{
    time_t  left;

    left = until - now;

    return (left < 0 ? left - COMMAND_DAY + 1 : left) / COMMAND_DAY;
}
