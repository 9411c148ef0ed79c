
/*
 * watch: what happens, an event a line.  The helper tells how it is with each
 * name, all of them at first and then those that change; what has happened is
 * the difference.  So nothing is lost when there is another helper, nor told
 * twice.
 */


#include "command.h"

#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>


#define COMMAND_TICK   60000    /* ms: ends come nearer */
#define COMMAND_RETRY  500      /* ms, from one try to the next */
#define COMMAND_BUSY   5000     /* likewise, if the last one was refused */
#define COMMAND_GRACE  600      /* s, for a renewal that is due just then */


typedef struct {
    char        *name;
    char        *serial;        /* "": no certificate */
    char        *report;        /* text */
    time_t       not_before;
    time_t       not_after;
    long         told;          /* that it ends in so many days; 0: not yet */
    unsigned     failing:1;
    unsigned     present:1;     /* in what the helper tells now */
} command_known_t;


typedef struct {
    command_t         *command;
    command_known_t  **known;       /* by name */
    size_t             n;
    size_t             size;
    time_t             heard;       /* the last one was there; 0: not yet */
    unsigned           whole:1;     /* all names were told once */
    unsigned           refused:1;   /* since then, and that was said */
} command_watch_t;


static void command_watch_once(command_watch_t *watch, command_link_t *link);
static void command_watch_line(command_watch_t *watch, command_line_t *line);
static void command_watch_whole(command_watch_t *watch);
static command_known_t *command_watch_find(command_watch_t *watch,
    const char *name, int *fresh);
static void command_watch_name(command_watch_t *watch,
    command_line_t *line);
static int command_watch_failing(command_known_t *known,
    command_line_t *line);
static void command_watch_ends(command_watch_t *watch,
    command_known_t *known);
static void command_watch_event(command_watch_t *watch,
    command_known_t *known, const char *event, command_line_t *line);
static void command_watch_run(command_watch_t *watch,
    command_known_t *known, const char *event, command_line_t *line);
static void command_watch_environment(command_watch_t *watch,
    command_known_t *known, const char *event, command_line_t *line);
static void command_date(time_t t, char date[24]);
static char *command_copy(char *old, const char *text);


int
command_watch(command_t *command)
{
    int              said;
    command_link_t   link;
    command_watch_t  watch;

    memset(&watch, 0, sizeof(command_watch_t));
    watch.command = command;

    said = 0;

    /* what is ignored is inherited, and leaves no status */

    (void) signal(SIGCHLD, SIG_DFL);

    for ( ;; ) {

        if (command_connect(&link, command->path, 1) == 0) {

            if (said) {
                command_say("there is a helper again");
            }

            said = 0;
            command_watch_once(&watch, &link);
            command_close(&link);

        } else {

            if (!said) {
                command_say("waiting for NGINX, nobody answers in \"%s\"",
                            command->path);
            }

            said = 1;
        }

        (void) poll(NULL, 0, watch.refused ? COMMAND_BUSY : COMMAND_RETRY);
    }

    return COMMAND_OK;
}


/* Until the helper goes away. */

static void
command_watch_once(command_watch_t *watch, command_link_t *link)
{
    int              rc;
    size_t           i;
    time_t           began;
    command_line_t   line;

    /* what it has said may be read much later */
    began = time(NULL);

    if (command_request(link, "watch", NULL, "") == -1) {
        return;
    }

    watch->whole = 0;

    for (i = 0; i < watch->n; i++) {
        watch->known[i]->present = 0;
    }

    for ( ;; ) {
        rc = command_read(link, COMMAND_TICK);

        if (rc == -1) {
            return;
        }

        for (i = 0; i < watch->n && rc == 0; i++) {
            command_watch_ends(watch, watch->known[i]);
        }

        if (rc == 1) {

            if (command_parse(link, &line) == 0) {
                command_watch_line(watch, &line);
            }

            command_free(&line);
        }

        if (watch->whole) {
            watch->heard = began;
        }
    }
}


static void
command_watch_line(command_watch_t *watch, command_line_t *line)
{
    if (*line->report) {
        command_watch_name(watch, line);

    } else if (strcmp(line->event, "complete") == 0) {
        command_watch_whole(watch);

    } else if (*line->end && !watch->refused) {
        watch->refused = 1;
        (void) command_end(watch->command, line, NULL);
    }
}


/* Those that are not in the configuration any more are forgotten. */

static void
command_watch_whole(command_watch_t *watch)
{
    size_t            i, n;
    command_known_t  *known;

    watch->whole = 1;
    watch->refused = 0;

    for (i = 0, n = 0; i < watch->n; i++) {
        known = watch->known[i];

        if (known->present) {
            watch->known[n++] = known;
            continue;
        }

        free(known->name);
        free(known->serial);
        free(known->report);
        free(known);
    }

    watch->n = n;
}


static command_known_t *
command_watch_find(command_watch_t *watch, const char *name, int *fresh)
{
    int               order;
    size_t            low, high, i;
    command_known_t  *known;

    *fresh = 0;
    low = 0;
    high = watch->n;

    while (low < high) {
        i = (low + high) / 2;
        order = strcmp(name, watch->known[i]->name);

        if (order == 0) {
            return watch->known[i];
        }

        if (order < 0) {
            high = i;

        } else {
            low = i + 1;
        }
    }

    *fresh = 1;

    if (watch->n == watch->size) {
        watch->size = watch->size * 2 + 64;
        watch->known = realloc(watch->known,
                               watch->size * sizeof(command_known_t *));
    }

    known = calloc(1, sizeof(command_known_t));

    if (watch->known == NULL || known == NULL) {
        perror("nginx-autocert");
        exit(COMMAND_FAILED);
    }

    known->name = command_copy(NULL, name);
    known->serial = command_copy(NULL, "");

    memmove(&watch->known[low + 1], &watch->known[low],
            (watch->n - low) * sizeof(command_known_t *));
    watch->known[low] = known;
    watch->n++;

    return known;
}


/*
 * At the beginning there is no news but what is not as it should be.  Later
 * a name may be new that has a certificate already: it is news if it was
 * issued after the last helper was asked, which had no such name.
 */

static void
command_watch_name(command_watch_t *watch, command_line_t *line)
{
    int               fresh, had, failing;
    command_known_t  *known;

    known = command_watch_find(watch, line->name, &fresh);
    known->present = 1;

    had = (*known->serial != '\0');
    failing = command_watch_failing(known, line);

    known->report = command_copy(known->report, line->report);
    known->not_before = command_time(line->not_before);
    known->not_after = command_time(line->not_after);

    if (strcmp(known->serial, line->serial)) {
        known->serial = command_copy(known->serial, line->serial);
        known->told = 0;

        if (*line->serial
            && (!fresh || (watch->heard
                           && command_time(line->last_success)
                              >= watch->heard)))
        {
            command_watch_event(watch, known, had ? "renewed" : "issued",
                                line);
        }
    }

    if (failing && !known->failing) {
        command_watch_event(watch, known, "failing", line);
    }

    known->failing = failing;

    command_watch_ends(watch, known);
}


/* The next try does not end it; what comes of one does. */

static int
command_watch_failing(command_known_t *known, command_line_t *line)
{
    if (line->attempts
        || (*line->error_why && strcmp(line->state, "held") == 0))
    {
        return 1;
    }

    return known->failing && *line->error_why
           && strcmp(known->serial, line->serial) == 0;
}


/* At 7, 3 and 1 days, as far as it is to be renewed earlier than that. */

static void
command_watch_ends(command_watch_t *watch, command_known_t *known)
{
    size_t  i;
    time_t  left, life, limit;

    static const long  days[] = { 1, 3, 7 };

    if (*known->serial == '\0') {
        return;
    }

    left = known->not_after - time(NULL);
    life = known->not_after - known->not_before;

    for (i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        limit = days[i] * COMMAND_DAY;

        if (limit > life / 3 || left >= limit - COMMAND_GRACE) {
            continue;
        }

        if (known->told == 0 || days[i] < known->told) {
            known->told = days[i];
            command_watch_event(watch, known, "expiring", NULL);
        }

        return;
    }
}


static void
command_watch_event(command_watch_t *watch, command_known_t *known,
    const char *event, command_line_t *line)
{
    char  date[24];

    command_date(time(NULL), date);

    printf("{\"event\":\"%s\",\"name\":\"%s\",\"at\":\"%s\",", event,
           known->name, date);

    if (known->told) {
        printf("\"days\":%ld,", known->told);
    }

    printf("\"report\":%s}\n", known->report);
    (void) fflush(stdout);

    if (watch->command->nargs) {
        command_watch_run(watch, known, event, line);
    }
}


/* One after the other; what happens meanwhile is told after it. */

static void
command_watch_run(command_watch_t *watch, command_known_t *known,
    const char *event, command_line_t *line)
{
    int                          err, status;
    char                       **args;
    pid_t                        pid;
    posix_spawn_file_actions_t   actions;

    args = watch->command->args;

    command_watch_environment(watch, known, event, line);

    (void) posix_spawn_file_actions_init(&actions);
    (void) posix_spawn_file_actions_addopen(&actions, 0, "/dev/null",
                                            O_RDONLY, 0);

    err = posix_spawnp(&pid, args[0], &actions, NULL, args, environ);

    (void) posix_spawn_file_actions_destroy(&actions);

    if (err) {
        command_say("\"%s\" can't be run: %s", args[0], strerror(err));
        return;
    }

    status = 0;

    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) { /* void */ }

    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        command_say("\"%s\" has failed at \"%s\" of %s", args[0], event,
                    known->name);
    }
}


static void
command_watch_environment(command_watch_t *watch, command_known_t *known,
    const char *event, command_line_t *line)
{
    char  text[4096];

    (void) setenv("AUTOCERT_EVENT", event, 1);
    (void) setenv("AUTOCERT_NAME", known->name, 1);
    (void) setenv("AUTOCERT_SERIAL", known->serial, 1);
    (void) setenv("AUTOCERT_REPORT", known->report, 1);

    command_date(known->not_before, text);
    (void) setenv("AUTOCERT_NOT_BEFORE", text, 1);

    command_date(known->not_after, text);
    (void) setenv("AUTOCERT_NOT_AFTER", text, 1);

    (void) snprintf(text, sizeof(text), "%ld",
                    command_days(known->not_after, time(NULL)));
    (void) setenv("AUTOCERT_DAYS_LEFT", known->not_after ? text : "", 1);

    (void) snprintf(text, sizeof(text), "%s/%s/fullchain.pem",
                    watch->command->path, known->name);
    (void) setenv("AUTOCERT_CERTIFICATE", text, 1);

    (void) snprintf(text, sizeof(text), "%s/%s/privkey.pem",
                    watch->command->path, known->name);
    (void) setenv("AUTOCERT_KEY", text, 1);

    text[0] = '\0';

    if (line && *line->error_why) {
        (void) snprintf(text, sizeof(text), "%s%s%s%s", line->error_why,
                        *line->error_detail ? " (" : "", line->error_detail,
                        *line->error_detail ? ")" : "");
    }

    (void) setenv("AUTOCERT_ERROR", text, 1);
}


/* "": it is not known */

static void
command_date(time_t t, char date[24])
{
    struct tm  tm;

    date[0] = '\0';

    if (t) {
        (void) gmtime_r(&t, &tm);
        (void) strftime(date, 24, "%Y-%m-%dT%H:%M:%SZ", &tm);
    }
}


static char *
command_copy(char *old, const char *text)
{
    char  *copy;

    free(old);

    copy = strdup(text);

    if (copy == NULL) {
        perror("nginx-autocert");
        exit(COMMAND_FAILED);
    }

    return copy;
}
