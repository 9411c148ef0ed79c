
/* list, show, check: what is known. */


#include "command.h"


#define COMMAND_WARNING   5     /* days, but a quarter of a life at most */
#define COMMAND_CRITICAL  2     /* likewise, a tenth */


typedef struct {
    command_line_t  *names;
    size_t           n;
    size_t           size;
} command_names_t;


typedef struct {
    time_t           now;
    int              grade;         /* the worst */
    int              seen;          /* of those that were asked about */
    long             least;         /* days */
    size_t           n;
    size_t           bad;
    char             all[1024];
} command_check_t;


static int command_names(command_t *command, command_names_t *names,
    const char *what, const char *name);
static void command_names_free(command_names_t *names);
static int command_worse(const void *a, const void *b);
static int command_grade(const command_line_t *line);
static void command_row(const char *label, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));
static void command_error_rows(command_line_t *line);
static void command_check_one(command_t *command, command_line_t *line,
    command_check_t *check);
static void command_check_print(command_t *command, command_names_t *names,
    command_check_t *check);
static int command_check_name(command_t *command, command_line_t *line,
    time_t now, char *why, size_t size);
static int command_wanted(command_t *command, command_line_t *line,
    int *seen);


/* All that the helper has to say; --json: it is said as it comes. */

static int
command_names(command_t *command, command_names_t *names, const char *what,
    const char *name)
{
    int             rc;
    command_link_t  link;
    command_line_t  line;

    memset(names, 0, sizeof(command_names_t));

    rc = command_ask(&link, command, what, name, "");

    if (rc != COMMAND_OK) {
        return rc;
    }

    while ((rc = command_read(&link, COMMAND_ANSWER)) == 1) {

        if (command_parse(&link, &line) == -1) {
            command_free(&line);
            break;
        }

        if (*line.report == '\0') {
            rc = command_end(command, &line, name);
            command_free(&line);
            command_close(&link);
            return rc;
        }

        if (names->n == names->size) {
            names->size = names->size * 2 + 64;
            names->names = realloc(names->names,
                                   names->size * sizeof(command_line_t));
            if (names->names == NULL) {
                perror("nginx-autocert");
                exit(COMMAND_FAILED);
            }
        }

        names->names[names->n++] = line;
    }

    command_close(&link);
    command_say("%s", rc == 0 ? command_silent
                              : "the helper went away in the middle of its "
                                "answer, try again");

    return COMMAND_NOBODY;
}


static void
command_names_free(command_names_t *names)
{
    size_t  i;

    for (i = 0; i < names->n; i++) {
        command_free(&names->names[i]);
    }

    free(names->names);
}


/* What needs a person is first, then what ends first. */

static int
command_worse(const void *a, const void *b)
{
    int                    order;
    time_t                 ta, tb;
    const command_line_t  *la = a, *lb = b;

    order = command_grade(lb) - command_grade(la);

    if (order) {
        return order;
    }

    ta = command_time(la->not_after);
    tb = command_time(lb->not_after);

    if (ta != tb) {
        return (ta < tb) ? -1 : 1;
    }

    return strcmp(la->name, lb->name);
}


static int
command_grade(const command_line_t *line)
{
    if (strcmp(line->state, "failing") == 0) {
        return 2;
    }

    return strcmp(line->state, "held") == 0;
}


int
command_list(command_t *command)
{
    int               rc, width;
    char              days[24];
    size_t            i;
    command_line_t   *line;
    command_names_t   names;

    rc = command_names(command, &names, "list", NULL);

    width = sizeof("NAME") - 1;

    for (i = 0; i < names.n; i++) {
        if ((int) strlen(names.names[i].name) > width) {
            width = strlen(names.names[i].name);
        }
    }

    if (rc == COMMAND_OK && !command->json) {
        qsort(names.names, names.n, sizeof(command_line_t), command_worse);

        printf("%-*s  %-8s  %9s  %-10s  %-10s  %s\n", width, "NAME", "STATE",
               "DAYS LEFT", "UNTIL", "RENEWAL", "LAST ERROR");
    }

    for (i = 0; rc == COMMAND_OK && i < names.n; i++) {
        line = &names.names[i];

        if (command->json) {
            puts(line->report);
            continue;
        }

        snprintf(days, sizeof(days), "%ld",
                 command_days(command_time(line->not_after), time(NULL)));

        printf("%-*s  %-8s  %9s  %-10.10s  %-10.10s  %s\n", width,
               line->name, line->state, *line->not_after ? days : "-",
               *line->not_after ? line->not_after : "-",
               *line->next_attempt ? line->next_attempt : "-",
               *line->error_why ? line->error_why : "-");
    }

    command_names_free(&names);

    return rc;
}


static void
command_row(const char *label, const char *fmt, ...)
{
    va_list  args;

    printf("%-14s ", label);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    putchar('\n');
}


int
command_show(command_t *command)
{
    int               rc;
    command_line_t   *line;
    command_names_t   names;

    rc = command_names(command, &names, "show", command->args[0]);

    if (rc != COMMAND_OK || names.n == 0) {
        command_names_free(&names);
        return rc;
    }

    line = &names.names[0];

    if (command->json) {
        puts(line->report);
        command_names_free(&names);
        return COMMAND_OK;
    }

    command_row("name", "%s", line->name);
    command_row("state", "%s", line->state);
    command_row("CA", "%s", line->ca);
    command_row("challenge", "%s", *line->challenge ? line->challenge : "-");

    if (*line->not_after) {
        command_row("certificate", "%s/%s/fullchain.pem", command->path,
                    line->name);
        command_row("serial", "%s", line->serial);
        command_row("key", "%s", line->key_type);
        command_row("valid", "from %s until %s (%ld days left)",
                    line->not_before, line->not_after,
                    command_days(command_time(line->not_after), time(NULL)));

    } else {
        command_row("certificate", "none yet");
    }

    command_row("issued", "%s", *line->last_success ? line->last_success
                                                    : "-");

    if (*line->next_attempt) {
        command_row("next order", "%s%s%s%s", line->next_attempt,
                    *line->renew_why ? " (" : "", line->renew_why,
                    *line->renew_why ? ")" : "");

    } else {
        command_row("next order",
                    strcmp(line->state, "held") == 0
                    ? "never: no \"listen\" can answer the CA" : "now");
    }

    if (line->budget >= 0) {
        command_row("budget", "%d more certificates now", (int) line->budget);
    }

    command_error_rows(line);
    command_names_free(&names);

    return COMMAND_OK;
}


static void
command_error_rows(command_line_t *line)
{
    if (line->attempts) {
        command_row("failures", "%d in a row", (int) line->attempts);
    }

    if (*line->error_why == '\0') {
        return;
    }

    command_row("last error", "%s (%s)", line->error_why, line->error_at);

    if (*line->error_detail) {
        command_row("", "%s", line->error_detail);
    }

    if (*line->error_cause) {
        command_row("likely cause", "%s", line->error_cause);
    }
}


/* https://www.monitoring-plugins.org/doc/guidelines.html */

int
command_check(command_t *command)
{
    int              rc;
    size_t           i;
    command_check_t  check;
    command_names_t  names;

    rc = command_names(command, &names, "list", NULL);

    if (rc != COMMAND_OK) {
        printf(command->json
               ? "{\"status\":\"UNKNOWN\"}\n"
               : "AUTOCERT UNKNOWN - NGINX's helper does not answer\n");
        command_names_free(&names);
        return COMMAND_UNKNOWN;
    }

    qsort(names.names, names.n, sizeof(command_line_t), command_worse);

    memset(&check, 0, sizeof(command_check_t));
    check.now = time(NULL);
    check.least = LONG_MAX;

    for (i = 0; i < names.n; i++) {
        if (command_wanted(command, &names.names[i], &check.seen)) {
            command_check_one(command, &names.names[i], &check);
        }
    }

    if (check.least == LONG_MAX) {
        check.least = 0;
    }

    if (check.seen < command->nargs) {
        check.grade = COMMAND_UNKNOWN;
        snprintf(check.all, sizeof(check.all), "no certificate is obtained "
                 "for some of these names");
    }

    command_check_print(command, &names, &check);
    command_names_free(&names);

    return check.grade;
}


static void
command_check_one(command_t *command, command_line_t *line,
    command_check_t *check)
{
    long    left;
    char   *p, why[256];
    size_t  len;

    check->n++;
    line->grade = command_check_name(command, line, check->now, why,
                                     sizeof(why));

    if (*line->not_after) {
        left = command_days(command_time(line->not_after), check->now);
        check->least = (left < check->least) ? left : check->least;
    }

    if (line->grade == 0) {
        return;
    }

    check->bad++;
    check->grade = (line->grade > check->grade) ? line->grade : check->grade;

    len = strlen(check->all);

    if (len + strlen(line->name) + strlen(why) + 5 < sizeof(check->all)) {
        p = stpcpy(check->all + len, len ? "; " : "");
        p = stpcpy(p, line->name);
        p = stpcpy(p, ": ");
        (void) stpcpy(p, why);
    }
}


static void
command_check_print(command_t *command, command_names_t *names,
    command_check_t *check)
{
    char    *comma;
    size_t   i;

    static const char  *words[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

    if (command->json) {
        printf("{\"status\":\"%s\",\"names\":%zu,\"bad\":%zu,"
               "\"days_left\":%ld,\"attention\":[", words[check->grade],
               check->n, check->bad, check->least);

        for (comma = "", i = 0; i < names->n; i++) {
            if (names->names[i].grade) {
                printf("%s%s", comma, names->names[i].report);
                comma = ",";
            }
        }

        puts("]}");
        return;
    }

    printf("AUTOCERT %s - ", words[check->grade]);

    switch (check->grade) {

    case 0:
        printf("%zu names, the next end in %ld days", check->n,
               check->least);
        break;

    case COMMAND_UNKNOWN:
        printf("%s", check->all);
        break;

    default:
        printf("%zu of %zu names: %s", check->bad, check->n, check->all);
    }

    printf(" | names=%zu bad=%zu days_left=%ld\n", check->n, check->bad,
           check->least);
}


/* Is it one of those that are asked about?  Without any, all are. */

static int
command_wanted(command_t *command, command_line_t *line, int *seen)
{
    int  i, found;

    if (command->nargs == 0) {
        return 1;
    }

    found = 0;

    for (i = 0; i < command->nargs; i++) {
        if (strcasecmp(command->args[i], line->name) == 0) {
            found = 1;
            (*seen)++;
        }
    }

    return found;
}


static int
command_check_name(command_t *command, command_line_t *line, time_t now,
    char *why, size_t size)
{
    int     grade;
    long    warning, critical;
    time_t  end, life, left;

    end = command_time(line->not_after);
    life = end - command_time(line->not_before);
    left = end - now;

    warning = COMMAND_WARNING * COMMAND_DAY;
    critical = COMMAND_CRITICAL * COMMAND_DAY;

    warning = (life / 4 < warning) ? life / 4 : warning;
    critical = (life / 10 < critical) ? life / 10 : critical;

    if (command->warning != -1) {
        warning = command->warning * COMMAND_DAY;
    }

    if (command->critical != -1) {
        critical = command->critical * COMMAND_DAY;
    }

    if (end == 0) {
        snprintf(why, size, "no certificate yet%s%s",
                 *line->error_why ? ", " : "", line->error_why);
        return line->attempts ? 2 : 1;
    }

    if (left <= 0) {
        snprintf(why, size, "expired %.10s", line->not_after);
        return 2;
    }

    grade = (left < critical) ? 2 : (left < warning) ? 1 : 0;

    if (command_grade(line)) {
        snprintf(why, size, "%s, %ld days left%s%s", line->state,
                 command_days(end, now), *line->error_why ? ", " : "",
                 line->error_why);
        return grade ? grade : 1;
    }

    if (grade) {
        snprintf(why, size, "%ld days left", command_days(end, now));
    }

    return grade;
}
