
/*
 * The command nginx-autocert: asks the helper over the socket in its store,
 * by docs/PROTOCOL.md, and shows what it answers.  Links none of NGINX.
 */


#ifndef _COMMAND_H_INCLUDED_
#define _COMMAND_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../src/base/ngx_autocert_json.h"


#define COMMAND_DAY    86400
#define COMMAND_ANSWER 10000    /* ms, for a line of what is known */

/* The ends of the command; check has those of Nagios. */

#define COMMAND_OK       0
#define COMMAND_FAILED   1      /* tried, and it was not to be had */
#define COMMAND_USAGE    2
#define COMMAND_REFUSED  3      /* not tried: not due, over budget, ... */
#define COMMAND_NOBODY   4      /* there is none to be asked */

#define COMMAND_UNKNOWN  3      /* of check */


typedef struct {
    char       *path;           /* of the store */
    int         json;
    int         force;
    long        reason;         /* RFC 5280, 5.3.1 */
    long        warning;        /* days; -1: by the life of each */
    long        critical;
    char      **args;           /* behind the word that says what to do */
    int         nargs;
} command_t;


/* One connection, and the line that was read last. */

typedef struct {
    int         fd;
    size_t      start;          /* of what was read and not yet given out */
    size_t      len;
    char       *line;           /* ends with a NUL */
    size_t      length;
    char        buf[65536];
} command_link_t;


/* A line, taken apart; all strings end with a NUL and are never NULL. */

typedef struct {
    ngx_pool_t  *pool;
    char        *event;
    char        *step;
    char        *end;
    char        *why;
    char        *detail;
    char        *cause;
    char        *next;
    char        *report;        /* text; "": it is none, nor are these */
    char        *name;
    char        *state;
    char        *ca;
    char        *challenge;
    char        *key_type;
    char        *serial;
    char        *not_before;
    char        *not_after;
    char        *renew_at;
    char        *renew_why;
    char        *last_success;
    char        *next_attempt;
    char        *error_at;
    char        *error_why;
    char        *error_detail;
    char        *error_cause;
    int64_t      attempts;
    int64_t      budget;        /* -1: not known */
    int          grade;         /* check's own */
} command_line_t;


/*
 * Waits a while for a helper that is about to listen.  0, or -1: said why
 * unless quiet.
 */
int command_connect(command_link_t *link, const char *path, int quiet);
void command_close(command_link_t *link);

/* Connects and asks.  name NULL, more "": without. */
int command_ask(command_link_t *link, command_t *command, const char *what,
    const char *name, const char *more);
int command_request(command_link_t *link, const char *what, const char *name,
    const char *more);

/* 1: a line; 0: none within ms (-1: for ever); -1: the other side has gone. */
int command_read(command_link_t *link, int ms);

/* -1: it makes no sense.  To be freed either way. */
int command_parse(command_link_t *link, command_line_t *line);
void command_free(command_line_t *line);

/*
 * How it ended, as an exit status; says why where it is not well.  name NULL:
 * none was asked about.
 */
int command_end(command_t *command, command_line_t *line, const char *name);

/* Seconds since 1970, or 0. */
time_t command_time(const char *text);

/* Days until then, rounded down. */
long command_days(time_t until, time_t now);

/* What there is to say of a helper that is stopped. */
extern const char  command_silent[];

void command_say(const char *fmt, ...)
    __attribute__ ((format (printf, 1, 2)));

int command_list(command_t *command);
int command_show(command_t *command);
int command_check(command_t *command);
int command_renew(command_t *command);
int command_revoke(command_t *command);
int command_watch(command_t *command);


#endif /* _COMMAND_H_INCLUDED_ */
