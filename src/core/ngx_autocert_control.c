
#include "ngx_autocert_control.h"
#include "ngx_autocert_schedule.h"
#include "../acme/ngx_autocert_flow.h"
#include "../base/ngx_autocert_json.h"

#include <sys/un.h>


#define NGX_AUTOCERT_CONTROL_NAME     ".control"
#define NGX_AUTOCERT_CONTROL_TEMP     ".control.new"

#define NGX_AUTOCERT_CONTROL_CLIENTS  16
#define NGX_AUTOCERT_CONTROL_BACKLOG  16
#define NGX_AUTOCERT_CONTROL_IN       1024      /* bytes of a request */
#define NGX_AUTOCERT_CONTROL_OUT      65536     /* not yet taken */
#define NGX_AUTOCERT_CONTROL_LINE     (2 * NGX_AUTOCERT_REPORT_JSON)
#define NGX_AUTOCERT_CONTROL_ASK      5000      /* ms, for a request */
#define NGX_AUTOCERT_CONTROL_TAKE     30000     /* ms, for some of an answer */
#define NGX_AUTOCERT_CONTROL_PAUSE    1000      /* ms, without descriptors */


#define NGX_AUTOCERT_CONTROL_LIST     1
#define NGX_AUTOCERT_CONTROL_WATCH    2
#define NGX_AUTOCERT_CONTROL_SHOW     3
#define NGX_AUTOCERT_CONTROL_RENEW    4
#define NGX_AUTOCERT_CONTROL_REVOKE   5


typedef struct {
    ngx_uint_t                 what;
    ngx_str_t                  name;
    ngx_uint_t                 force;
    ngx_uint_t                 reason;
} ngx_autocert_control_request_t;


typedef struct {
    ngx_connection_t          *connection;  /* NULL: a place is free */
    ngx_uint_t                 what;        /* 0: has not asked yet */
    ngx_uint_t                 index;       /* RENEW, REVOKE: of the name */
    ngx_uint_t                 next;        /* LIST, WATCH: to be told */
    ngx_uint_t                 nchanged;    /* WATCH */
    u_char                    *changed;     /* a bit a name */
    size_t                     in;
    u_char                    *pos;         /* of out: to be sent */
    u_char                    *last;
    unsigned                   told:1;      /* all names, once */
    unsigned                   revoked:1;   /* REVOKE: waits for an order */
    unsigned                   ended:1;
    u_char                     request[NGX_AUTOCERT_CONTROL_IN];
    u_char                     out[NGX_AUTOCERT_CONTROL_OUT];
} ngx_autocert_control_client_t;


typedef struct {
    ngx_autocert_helper_t           *helper;
    ngx_connection_t                *listening;     /* NULL: it is not */
    ngx_event_t                      post;          /* something changed */
    ngx_autocert_control_client_t   *clients[NGX_AUTOCERT_CONTROL_CLIENTS];
} ngx_autocert_control_t;


static int ngx_autocert_control_bind(ngx_autocert_store_t *store,
    const char **what);
static int ngx_autocert_control_address(ngx_autocert_store_t *store, int fd);
static void ngx_autocert_control_accept_handler(ngx_event_t *ev);
static ngx_int_t ngx_autocert_control_accept(int fd, ngx_log_t *log);
static ngx_uint_t ngx_autocert_control_may(int fd, ngx_log_t *log);
static ngx_autocert_control_client_t *ngx_autocert_control_place(
    ngx_log_t *log);
static void ngx_autocert_control_close(ngx_autocert_control_client_t *client);
static void ngx_autocert_control_read_handler(ngx_event_t *rev);
static void ngx_autocert_control_write_handler(ngx_event_t *wev);
static void ngx_autocert_control_post_handler(ngx_event_t *ev);
static void ngx_autocert_control_ask(ngx_autocert_control_client_t *client);
static ngx_int_t ngx_autocert_control_parse(ngx_pool_t *pool,
    ngx_str_t *text, ngx_autocert_control_request_t *request, char **err);
static ngx_int_t ngx_autocert_control_member(ngx_autocert_json_t *json,
    ngx_autocert_control_request_t *request);
static void ngx_autocert_control_do(ngx_autocert_control_client_t *client,
    ngx_autocert_control_request_t *request, ngx_pool_t *pool);
static ngx_int_t ngx_autocert_control_watch(
    ngx_autocert_control_client_t *client);
static void ngx_autocert_control_fill(ngx_autocert_control_client_t *client);
static void ngx_autocert_control_fill_changed(
    ngx_autocert_control_client_t *client);
static void ngx_autocert_control_tell(ngx_autocert_control_client_t *client,
    ngx_uint_t index);
static void ngx_autocert_control_send(ngx_autocert_control_client_t *client);
static ngx_uint_t ngx_autocert_control_more(
    ngx_autocert_control_client_t *client);
static void ngx_autocert_control_later(void);
static ngx_uint_t ngx_autocert_control_waits(
    ngx_autocert_control_client_t *client, ngx_uint_t index);

static void ngx_autocert_control_report(ngx_autocert_control_client_t *client,
    ngx_uint_t index);
static void ngx_autocert_control_event(ngx_autocert_control_client_t *client,
    char *event, ngx_uint_t index, char *step);
static void ngx_autocert_control_answer(ngx_autocert_control_client_t *client,
    char *end, ngx_autocert_fail_t *fail, time_t next);
static size_t ngx_autocert_control_room(
    ngx_autocert_control_client_t *client);
static ngx_uint_t ngx_autocert_control_put(
    ngx_autocert_control_client_t *client, ngx_str_t *text);


static ngx_autocert_control_t  ngx_autocert_control;


void
ngx_autocert_control_start(ngx_autocert_helper_t *helper)
{
    int                      fd;
    const char              *what;
    ngx_autocert_control_t  *control = &ngx_autocert_control;

    if (control->listening) {
        return;
    }

    control->helper = helper;

    ngx_autocert_timer(&control->post, helper->log,
                       ngx_autocert_control_post_handler);

    fd = ngx_autocert_control_bind(&helper->store, &what);

    if (fd != -1) {
        control->listening = ngx_autocert_watch(fd, helper->log,
                                          ngx_autocert_control_accept_handler,
                                          control);
        what = "epoll_ctl()";
    }

    if (control->listening == NULL) {
        ngx_log_error(NGX_LOG_WARN, helper->log, ngx_errno,
                      "autocert: the command nginx-autocert can't be "
                      "answered: %s of \"%V/" NGX_AUTOCERT_CONTROL_NAME
                      "\" failed", what, &helper->store.path);

        if (fd != -1) {
            (void) close(fd);
        }
    }
}


/* Who finds the socket can connect to it: it gets its name last of all. */

static int
ngx_autocert_control_bind(ngx_autocert_store_t *store, const char **what)
{
    int  fd, err;

    *what = "socket()";

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    (void) unlinkat(store->fd, NGX_AUTOCERT_CONTROL_TEMP, 0);

    *what = "bind()";

    if (ngx_autocert_control_address(store, fd) == -1) {
        goto failed;
    }

    *what = "chmod()";

    if (fchmodat(store->fd, NGX_AUTOCERT_CONTROL_TEMP, 0600, 0) == -1) {
        goto failed;
    }

    *what = "listen()";

    if (listen(fd, NGX_AUTOCERT_CONTROL_BACKLOG) == -1) {
        goto failed;
    }

    *what = "rename()";

    if (renameat(store->fd, NGX_AUTOCERT_CONTROL_TEMP, store->fd,
                 NGX_AUTOCERT_CONTROL_NAME)
        == -1)
    {
        goto failed;
    }

    return fd;

failed:

    err = errno;
    (void) close(fd);
    errno = err;

    return -1;
}


/* By the descriptor, however long the path of the store is; or by that. */

static int
ngx_autocert_control_address(ngx_autocert_store_t *store, int fd)
{
    u_char              *last;
    struct sockaddr_un   sun;

    ngx_memzero(&sun, sizeof(struct sockaddr_un));
    sun.sun_family = AF_UNIX;

    (void) ngx_snprintf((u_char *) sun.sun_path, sizeof(sun.sun_path) - 1,
                        "/proc/self/fd/%d/" NGX_AUTOCERT_CONTROL_TEMP,
                        store->fd);

    if (bind(fd, (struct sockaddr *) &sun, sizeof(struct sockaddr_un)) == 0) {
        return 0;
    }

    if (errno != ENOENT
        || store->path.len + sizeof("/" NGX_AUTOCERT_CONTROL_TEMP)
           > sizeof(sun.sun_path))
    {
        return -1;
    }

    last = ngx_cpymem(sun.sun_path, store->path.data, store->path.len);
    ngx_memcpy(last, "/" NGX_AUTOCERT_CONTROL_TEMP,
               sizeof("/" NGX_AUTOCERT_CONTROL_TEMP));

    return bind(fd, (struct sockaddr *) &sun, sizeof(struct sockaddr_un));
}


void
ngx_autocert_control_stop(void)
{
    ngx_uint_t               i;
    ngx_autocert_control_t  *control = &ngx_autocert_control;

    if (control->listening == NULL) {
        return;
    }

    (void) unlinkat(control->helper->store.fd, NGX_AUTOCERT_CONTROL_NAME, 0);

    ngx_close_connection(control->listening);
    control->listening = NULL;

    if (control->post.timer_set) {
        ngx_del_timer(&control->post);
    }

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {
        if (control->clients[i]) {
            ngx_autocert_control_close(control->clients[i]);
        }
    }
}


static void
ngx_autocert_control_accept_handler(ngx_event_t *ev)
{
    int                fd;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = ev->data;

    if (ev->timedout) {
        ev->timedout = 0;
        (void) ngx_add_event(ev, NGX_READ_EVENT, 0);
        return;
    }

    for (i = 0; i < NGX_AUTOCERT_CONTROL_BACKLOG; i++) {

        fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == -1) {

            if (ngx_errno == NGX_EAGAIN || ngx_errno == NGX_ECONNABORTED) {
                return;
            }

            ngx_log_error(NGX_LOG_ALERT, ev->log, ngx_errno,
                          "autocert: accept4() of the control socket failed");

            (void) ngx_del_event(ev, NGX_READ_EVENT, 0);
            ngx_add_timer(ev, NGX_AUTOCERT_CONTROL_PAUSE);
            return;
        }

        if (ngx_autocert_control_accept(fd, ev->log) != NGX_OK) {
            (void) close(fd);
        }
    }
}


static ngx_int_t
ngx_autocert_control_accept(int fd, ngx_log_t *log)
{
    ngx_connection_t               *c;
    ngx_autocert_control_client_t  *client;

    static const char  busy[] = "{\"end\":\"busy\"}\n";

    if (!ngx_autocert_control_may(fd, log)) {
        return NGX_DECLINED;
    }

    client = ngx_autocert_control_place(log);

    if (client == NULL) {
        (void) send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL);
        return NGX_DECLINED;
    }

    c = ngx_autocert_watch(fd, log, ngx_autocert_control_read_handler,
                           client);
    if (c == NULL) {
        ngx_autocert_control_close(client);
        return NGX_ERROR;
    }

    c->write->handler = ngx_autocert_control_write_handler;
    client->connection = c;

    ngx_add_timer(c->read, NGX_AUTOCERT_CONTROL_ASK);

    return NGX_OK;
}


/* The directory and the socket keep others out; this does as well. */

static ngx_uint_t
ngx_autocert_control_may(int fd, ngx_log_t *log)
{
    socklen_t     len;
    struct ucred  cred;

    len = sizeof(struct ucred);
    ngx_memzero(&cred, sizeof(struct ucred));

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0
        && (cred.uid == 0 || cred.uid == geteuid()))
    {
        return 1;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "autocert: process %P of user %ui is at the control socket, "
                  "refused", (ngx_pid_t) cred.pid, (ngx_uint_t) cred.uid);

    return 0;
}


static ngx_autocert_control_client_t *
ngx_autocert_control_place(ngx_log_t *log)
{
    ngx_uint_t                      i;
    ngx_autocert_control_client_t  *client, **clients;

    clients = ngx_autocert_control.clients;

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {

        if (clients[i]) {
            continue;
        }

        client = ngx_alloc(sizeof(ngx_autocert_control_client_t), log);

        if (client) {
            ngx_memzero(client, offsetof(ngx_autocert_control_client_t, out));
            client->pos = client->out;
            client->last = client->out;
            clients[i] = client;
        }

        return client;
    }

    return NULL;
}


static void
ngx_autocert_control_close(ngx_autocert_control_client_t *client)
{
    ngx_uint_t               i;
    ngx_autocert_control_t  *control = &ngx_autocert_control;

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {
        if (control->clients[i] == client) {
            control->clients[i] = NULL;
        }
    }

    if (client->connection) {
        ngx_close_connection(client->connection);
    }

    if (client->changed) {
        ngx_free(client->changed);
    }

    ngx_free(client);
}


/* One line, and nothing behind it: what else comes is the end. */

static void
ngx_autocert_control_read_handler(ngx_event_t *rev)
{
    ssize_t                         n;
    u_char                         *last;
    ngx_connection_t               *c;
    ngx_autocert_control_client_t  *client;

    c = rev->data;
    client = c->data;

    if (rev->timedout) {
        ngx_autocert_control_close(client);
        return;
    }

    n = recv(c->fd, client->request + client->in,
             NGX_AUTOCERT_CONTROL_IN - client->in, 0);

    if (n == -1 && (ngx_errno == NGX_EAGAIN || ngx_errno == NGX_EINTR)) {
        return;
    }

    if (n <= 0 || client->what) {
        ngx_autocert_control_close(client);
        return;
    }

    client->in += n;
    last = client->request + client->in - 1;

    if (ngx_strlchr(client->request, last, LF)) {
        ngx_autocert_control_close(client);
        return;
    }

    if (*last == LF) {
        ngx_del_timer(rev);
        ngx_autocert_control_ask(client);
        ngx_autocert_control_send(client);

    } else if (client->in == NGX_AUTOCERT_CONTROL_IN) {
        ngx_autocert_control_close(client);
    }
}


static void
ngx_autocert_control_write_handler(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    if (wev->timedout) {
        ngx_autocert_control_close(c->data);
        return;
    }

    ngx_autocert_control_send(c->data);
}


static void
ngx_autocert_control_ask(ngx_autocert_control_client_t *client)
{
    char                            *err;
    ngx_str_t                        text;
    ngx_pool_t                      *pool;
    ngx_autocert_control_request_t   request;

    text.data = client->request;
    text.len = client->in - 1;

    pool = ngx_create_pool(4096, ngx_autocert_control.helper->log);

    if (pool == NULL) {
        client->ended = 1;
        return;
    }

    if (ngx_autocert_control_parse(pool, &text, &request, &err) == NGX_OK) {
        client->what = request.what;
        ngx_autocert_control_do(client, &request, pool);

    } else {
        ngx_autocert_control_answer(client, "bad", NULL, 0);
    }

    ngx_destroy_pool(pool);
}


static ngx_int_t
ngx_autocert_control_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_autocert_control_request_t *request, char **err)
{
    ngx_uint_t            named;
    ngx_autocert_json_t  *json;

    ngx_memzero(request, sizeof(ngx_autocert_control_request_t));

    json = ngx_autocert_json_parse(pool, text, err);

    if (json == NULL || json->type != NGX_AUTOCERT_JSON_OBJECT) {
        return NGX_ERROR;
    }

    for (json = json->child; json; json = json->next) {
        if (ngx_autocert_control_member(json, request) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    named = (request->what >= NGX_AUTOCERT_CONTROL_SHOW);

    if (request->what == 0
        || (request->name.len != 0) != named
        || (request->force && request->what != NGX_AUTOCERT_CONTROL_RENEW)
        || (request->reason && request->what != NGX_AUTOCERT_CONTROL_REVOKE))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_autocert_control_member(ngx_autocert_json_t *json,
    ngx_autocert_control_request_t *request)
{
    ngx_int_t   n;
    ngx_uint_t  i;
    ngx_str_t  *name, *value;

    static ngx_str_t  what[] = {
        ngx_string("list"), ngx_string("watch"), ngx_string("show"),
        ngx_string("renew"), ngx_string("revoke")
    };

    name = &json->name;
    value = &json->value;

    if (name->len == 4 && ngx_strncmp(name->data, "name", 4) == 0) {
        request->name = *value;
        return (json->type == NGX_AUTOCERT_JSON_STRING) ? NGX_OK : NGX_ERROR;
    }

    if (name->len == 5 && ngx_strncmp(name->data, "force", 5) == 0) {
        request->force = (json->type == NGX_AUTOCERT_JSON_TRUE);
        return request->force ? NGX_OK : NGX_ERROR;
    }

    if (name->len == 6 && ngx_strncmp(name->data, "reason", 6) == 0) {
        n = ngx_atoi(value->data, value->len);
        request->reason = n;

        /* RFC 5280, 5.3.1 */

        return (json->type == NGX_AUTOCERT_JSON_NUMBER && n >= 0 && n <= 10
                && n != 7)
               ? NGX_OK : NGX_ERROR;
    }

    if (name->len != 2 || ngx_strncmp(name->data, "do", 2) != 0
        || json->type != NGX_AUTOCERT_JSON_STRING)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {

        if (value->len == what[i].len
            && ngx_memcmp(value->data, what[i].data, value->len) == 0)
        {
            request->what = i + 1;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


static void
ngx_autocert_control_do(ngx_autocert_control_client_t *client,
    ngx_autocert_control_request_t *request, ngx_pool_t *pool)
{
    ngx_int_t               rc;
    ngx_autocert_fail_t     fail;
    ngx_autocert_name_t    *name;
    ngx_autocert_helper_t  *helper;

    helper = ngx_autocert_control.helper;
    name = helper->acf->names.elts;
    rc = NGX_OK;

    if (request->name.len
        && (ngx_autocert_find_name(helper->acf, &request->name,
                                   &client->index)
            != NGX_OK
            || name[client->index].bootstrap))
    {
        ngx_autocert_control_answer(client, "unknown", NULL, 0);
        return;
    }

    switch (request->what) {

    case NGX_AUTOCERT_CONTROL_WATCH:
        if (ngx_autocert_control_watch(client) != NGX_OK) {
            client->ended = 1;
        }
        break;

    case NGX_AUTOCERT_CONTROL_SHOW:
        ngx_autocert_control_report(client, client->index);
        ngx_autocert_control_answer(client, "done", NULL, 0);
        break;

    case NGX_AUTOCERT_CONTROL_RENEW:
        rc = ngx_autocert_schedule_renew(client->index, request->force, pool,
                                         &fail);
        break;

    case NGX_AUTOCERT_CONTROL_REVOKE:
        rc = ngx_autocert_schedule_revoke(client->index, request->reason,
                                          pool, &fail);
        break;
    }

    if (rc != NGX_OK) {
        ngx_autocert_control_answer(client, rc == NGX_DECLINED ? "refused"
                                                               : "failed",
                                    &fail, fail.retry_at);
    }
}


static ngx_int_t
ngx_autocert_control_watch(ngx_autocert_control_client_t *client)
{
    ngx_autocert_helper_t  *helper;

    helper = ngx_autocert_control.helper;

    client->changed = ngx_calloc(helper->acf->names.nelts / 8 + 1,
                                 helper->log);

    return client->changed ? NGX_OK : NGX_ERROR;
}


/* As many names as there is room for: the rest when some of it is taken. */

static void
ngx_autocert_control_fill(ngx_autocert_control_client_t *client)
{
    ngx_uint_t  n;

    if (client->what != NGX_AUTOCERT_CONTROL_LIST
        && client->what != NGX_AUTOCERT_CONTROL_WATCH)
    {
        return;
    }

    n = ngx_autocert_control.helper->acf->names.nelts;

    while (!client->told) {

        if (ngx_autocert_control_room(client) < NGX_AUTOCERT_CONTROL_LINE) {
            return;
        }

        if (client->next < n) {
            ngx_autocert_control_tell(client, client->next++);
            continue;
        }

        client->told = 1;

        if (client->what == NGX_AUTOCERT_CONTROL_LIST) {
            ngx_autocert_control_answer(client, "done", NULL, 0);

        } else {
            ngx_autocert_control_event(client, "complete", 0, NULL);
        }
    }

    ngx_autocert_control_fill_changed(client);
}


static void
ngx_autocert_control_fill_changed(ngx_autocert_control_client_t *client)
{
    ngx_uint_t  i, n;

    n = ngx_autocert_control.helper->acf->names.nelts;

    for (i = 0; i < n && client->nchanged; i++) {

        if (!(client->changed[i / 8] & (1 << i % 8))) {
            continue;
        }

        if (ngx_autocert_control_room(client) < NGX_AUTOCERT_CONTROL_LINE) {
            return;
        }

        client->changed[i / 8] &= ~(1 << i % 8);
        client->nchanged--;

        ngx_autocert_control_tell(client, i);
    }
}


/* What is never ordered is none of the names that anybody asks about. */

static void
ngx_autocert_control_tell(ngx_autocert_control_client_t *client,
    ngx_uint_t index)
{
    ngx_autocert_name_t  *name;

    name = ngx_autocert_control.helper->acf->names.elts;

    if (!name[index].bootstrap) {
        ngx_autocert_control_report(client, index);
    }
}


/* One buffer full in a turn of the loop, at most.  The client may be gone. */

static void
ngx_autocert_control_send(ngx_autocert_control_client_t *client)
{
    ssize_t       n;
    ngx_event_t  *wev;

    wev = client->connection->write;

    ngx_autocert_control_fill(client);

    n = (client->last == client->pos)
        ? 0 : send(client->connection->fd, client->pos,
                   client->last - client->pos, MSG_NOSIGNAL);

    if (n == -1 && ngx_errno != NGX_EAGAIN && ngx_errno != NGX_EINTR) {
        ngx_autocert_control_close(client);
        return;
    }

    if (n > 0) {
        client->pos += n;

        ngx_memmove(client->out, client->pos, client->last - client->pos);
        client->last -= client->pos - client->out;
        client->pos = client->out;
    }

    if (!ngx_autocert_control_more(client)) {

        if (client->ended) {
            ngx_autocert_control_close(client);
            return;
        }

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        if (wev->active) {
            (void) ngx_del_event(wev, NGX_WRITE_EVENT, 0);
        }

        return;
    }

    if (n > 0 || !wev->timer_set) {
        ngx_add_timer(wev, NGX_AUTOCERT_CONTROL_TAKE);
    }

    if (!wev->active && ngx_add_event(wev, NGX_WRITE_EVENT, 0) != NGX_OK) {
        ngx_autocert_control_close(client);
    }
}


static ngx_uint_t
ngx_autocert_control_more(ngx_autocert_control_client_t *client)
{
    return client->last != client->pos
           || client->nchanged
           || (!client->told && !client->ended
               && (client->what == NGX_AUTOCERT_CONTROL_LIST
                   || client->what == NGX_AUTOCERT_CONTROL_WATCH));
}


static void
ngx_autocert_control_post_handler(ngx_event_t *ev)
{
    ngx_uint_t                       i;
    ngx_autocert_control_client_t  **clients;

    (void) ev;

    clients = ngx_autocert_control.clients;

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {
        if (clients[i] && clients[i]->what) {
            ngx_autocert_control_send(clients[i]);
        }
    }
}


/* In the next turn: what is told then is what has become of it. */

static void
ngx_autocert_control_later(void)
{
    if (!ngx_autocert_control.post.timer_set) {
        ngx_add_timer(&ngx_autocert_control.post, 1);
    }
}


void
ngx_autocert_control_changed(ngx_uint_t index)
{
    u_char                          *place;
    ngx_uint_t                       i;
    ngx_autocert_control_client_t  **clients;

    clients = ngx_autocert_control.clients;

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {

        if (clients[i] == NULL || clients[i]->changed == NULL) {
            continue;
        }

        place = &clients[i]->changed[index / 8];

        if (!(*place & (1 << index % 8))) {
            *place |= 1 << index % 8;
            clients[i]->nchanged++;
        }

        ngx_autocert_control_later();
    }
}


static ngx_uint_t
ngx_autocert_control_waits(ngx_autocert_control_client_t *client,
    ngx_uint_t index)
{
    return client && !client->ended && client->index == index
           && (client->what == NGX_AUTOCERT_CONTROL_RENEW
               || client->what == NGX_AUTOCERT_CONTROL_REVOKE);
}


void
ngx_autocert_control_step(ngx_uint_t index, char *step)
{
    ngx_uint_t                       i;
    ngx_autocert_control_client_t  **clients;

    clients = ngx_autocert_control.clients;

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {
        if (ngx_autocert_control_waits(clients[i], index)) {
            ngx_autocert_control_event(clients[i], "step", index, step);
            ngx_autocert_control_later();
        }
    }
}


void
ngx_autocert_control_revoked(ngx_uint_t index, ngx_uint_t already)
{
    ngx_uint_t                       i;
    ngx_autocert_control_client_t  **clients;

    clients = ngx_autocert_control.clients;

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {

        if (ngx_autocert_control_waits(clients[i], index)
            && clients[i]->what == NGX_AUTOCERT_CONTROL_REVOKE)
        {
            clients[i]->revoked = 1;
            ngx_autocert_control_event(clients[i], already ? "was revoked"
                                                           : "revoked",
                                       index, NULL);
            ngx_autocert_control_later();
        }
    }
}


void
ngx_autocert_control_end(ngx_uint_t index, ngx_uint_t goal,
    ngx_autocert_fail_t *fail, time_t next)
{
    ngx_uint_t                       i, revocation;
    ngx_autocert_control_client_t  **clients;

    clients = ngx_autocert_control.clients;

    for (i = 0; i < NGX_AUTOCERT_CONTROL_CLIENTS; i++) {

        if (!ngx_autocert_control_waits(clients[i], index)) {
            continue;
        }

        revocation = (clients[i]->what == NGX_AUTOCERT_CONTROL_REVOKE
                      && !clients[i]->revoked);

        if (revocation != (goal == NGX_AUTOCERT_GOAL_REVOCATION)) {
            continue;
        }

        if (fail == NULL) {
            ngx_autocert_control_report(clients[i], index);
        }

        ngx_autocert_control_answer(clients[i], fail ? "failed" : "done",
                                    fail, next);
        ngx_autocert_control_later();
    }
}


static void
ngx_autocert_control_report(ngx_autocert_control_client_t *client,
    ngx_uint_t index)
{
    ngx_str_t               text;
    ngx_autocert_conf_t    *acf;
    ngx_autocert_report_t   report;
    u_char                  json[NGX_AUTOCERT_REPORT_JSON];
    u_char                  line[sizeof(json) + 16];

    acf = ngx_autocert_control.helper->acf;

    (void) ngx_autocert_report(acf, index, ngx_time(), &report);

    text.data = json;
    ngx_autocert_report_json(&report, &text);

    text.len = ngx_sprintf(line, "{\"report\":%V}", &text) - line;
    text.data = line;

    (void) ngx_autocert_control_put(client, &text);
}


/* Words of ours, and names, have nothing to escape. */

static void
ngx_autocert_control_event(ngx_autocert_control_client_t *client, char *event,
    ngx_uint_t index, char *step)
{
    u_char               *p, line[NGX_AUTOCERT_CONTROL_IN];
    ngx_str_t             text;
    ngx_autocert_name_t  *name;

    /* whoever does not take them misses some of these, and no more */

    if (ngx_autocert_control_room(client) < NGX_AUTOCERT_CONTROL_LINE) {
        return;
    }

    name = ngx_autocert_control.helper->acf->names.elts;

    p = ngx_sprintf(line, "{\"event\":\"%s\"", event);

    if (client->what >= NGX_AUTOCERT_CONTROL_SHOW) {
        p = ngx_sprintf(p, ",\"name\":\"%V\"", &name[index].name);
    }

    if (step) {
        p = ngx_sprintf(p, ",\"step\":\"%s\"", step);
    }

    *p++ = '}';

    text.data = line;
    text.len = p - line;

    (void) ngx_autocert_control_put(client, &text);
}


static void
ngx_autocert_control_answer(ngx_autocert_control_client_t *client, char *end,
    ngx_autocert_fail_t *fail, time_t next)
{
    u_char                       date[24];
    ngx_str_t                    text;
    ngx_pool_t                  *pool;
    ngx_autocert_json_writer_t   w;

    client->ended = 1;

    pool = ngx_create_pool(4096, ngx_autocert_control.helper->log);
    if (pool == NULL) {
        return;
    }

    if (ngx_autocert_json_writer_init(&w, pool) == NGX_OK) {
        text.data = (u_char *) end;
        text.len = ngx_strlen(end);

        ngx_autocert_json_open(&w, NULL, '{');
        ngx_autocert_json_put_string(&w, "end", &text);

        if (fail) {
            ngx_autocert_json_put_string(&w, "why", &fail->why);

            if (fail->detail.len) {
                ngx_autocert_json_put_string(&w, "detail", &fail->detail);
            }

            if (fail->cause.len) {
                ngx_autocert_json_put_string(&w, "cause", &fail->cause);
            }

            if (next && next != NGX_MAX_TIME_T_VALUE) {
                text.data = date;
                text.len = ngx_autocert_time_print(date, next) - date;
                ngx_autocert_json_put_string(&w, "next", &text);
            }
        }

        ngx_autocert_json_close(&w, '}');

        if (ngx_autocert_json_done(&w, &text) == NGX_OK) {
            (void) ngx_autocert_control_put(client, &text);
        }
    }

    ngx_destroy_pool(pool);
}


static size_t
ngx_autocert_control_room(ngx_autocert_control_client_t *client)
{
    return client->out + NGX_AUTOCERT_CONTROL_OUT - client->last;
}


/* A line is there whole, or not at all. */

static ngx_uint_t
ngx_autocert_control_put(ngx_autocert_control_client_t *client,
    ngx_str_t *text)
{
    if (text->len + 1 > ngx_autocert_control_room(client)) {
        return 0;
    }

    client->last = ngx_cpymem(client->last, text->data, text->len);
    *client->last++ = LF;

    return 1;
}
