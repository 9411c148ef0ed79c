
/* renew, revoke: what is asked for. */


#include "command.h"


#define COMMAND_AGAIN  10       /* helpers that went away meanwhile */


static const char  command_leaving[] =
    "one helper after the other goes away, NGINX's log says why";


static int command_want(command_t *command, const char *what,
    const char *name, const char *more);
static int command_serial(command_t *command, const char *name, char *serial,
    size_t size);
static int command_follow(command_t *command, command_link_t *link,
    const char *name, int *revoked);
static void command_told(command_t *command, command_line_t *line,
    const char *name);
static void command_meant(command_t *command, const char *name);
static size_t command_distance(const char *a, const char *b);


int
command_renew(command_t *command)
{
    int  i, rc, worst;

    worst = COMMAND_OK;

    for (i = 0; i < command->nargs; i++) {
        rc = command_want(command, "renew", command->args[i],
                          command->force ? ",\"force\":true" : "");

        worst = (rc > worst) ? rc : worst;
    }

    return worst;
}


int
command_revoke(command_t *command)
{
    char  more[32];

    snprintf(more, sizeof(more), ",\"reason\":%ld",
             command->reason == -1 ? 0 : command->reason);

    return command_want(command, "revoke", command->args[0], more);
}


/*
 * A reload replaces the helper in the middle of it.  The next one is asked
 * again, unless what was asked for is done by then.
 */

static int
command_want(command_t *command, const char *what, const char *name,
    const char *more)
{
    int             rc, i, revoked;
    char            before[128], now[128];
    command_link_t  link;

    rc = command_serial(command, name, before, sizeof(before));
    revoked = 0;

    for (i = 0; rc == COMMAND_OK && i < COMMAND_AGAIN; i++) {

        rc = revoked ? command_ask(&link, command, "renew", name,
                                   ",\"force\":true")
                     : command_ask(&link, command, what, name, more);

        if (rc != COMMAND_OK) {
            break;
        }

        rc = command_follow(command, &link, name, &revoked);
        command_close(&link);

        if (rc != COMMAND_NOBODY) {
            return rc;
        }

        rc = command_serial(command, name, now, sizeof(now));

        if (rc == COMMAND_OK && strcmp(before, now)) {

            if (strcmp(what, "revoke") == 0 && !revoked) {
                command_say("%s: the helper was replaced, and there is "
                            "another certificate now; whether that of before "
                            "is revoked is not known", name);
                return COMMAND_FAILED;
            }

            if (!command->json) {
                printf("%s: there is another certificate now\n", name);
            }

            return COMMAND_OK;
        }
    }

    if (rc == COMMAND_OK) {
        command_say("%s", command_leaving);
        rc = COMMAND_NOBODY;
    }

    return rc;
}


static int
command_serial(command_t *command, const char *name, char *serial,
    size_t size)
{
    int             i, rc;
    command_link_t  link;
    command_line_t  line;

    for (i = 0; i < COMMAND_AGAIN; i++) {
        serial[0] = '\0';

        rc = command_ask(&link, command, "show", name, "");

        if (rc != COMMAND_OK) {
            return rc;
        }

        while ((rc = command_read(&link, COMMAND_ANSWER)) == 1) {

            if (command_parse(&link, &line) == -1) {
                command_free(&line);
                break;
            }

            if (*line.report) {
                snprintf(serial, size, "%s", line.serial);
                command_free(&line);
                continue;
            }

            rc = command_end(command, &line, name);
            command_free(&line);
            command_close(&link);
            return rc;
        }

        command_close(&link);

        if (rc == 0) {
            command_say("%s", command_silent);
            return COMMAND_NOBODY;
        }
    }

    command_say("%s", command_leaving);

    return COMMAND_NOBODY;
}


/* COMMAND_NOBODY: it went away before the end. */

static int
command_follow(command_t *command, command_link_t *link, const char *name,
    int *revoked)
{
    int             rc;
    command_line_t  line;

    while (command_read(link, -1) == 1) {

        if (command->json) {
            puts(link->line);
        }

        if (command_parse(link, &line) == -1) {
            command_free(&line);
            break;
        }

        if (strstr(line.event, "revoked")) {
            *revoked = 1;
        }

        if (*line.end) {
            rc = command_end(command, &line, name);
            command_free(&line);
            return rc;
        }

        if (!command->json) {
            command_told(command, &line, name);
        }

        command_free(&line);
    }

    return COMMAND_NOBODY;
}


static void
command_told(command_t *command, command_line_t *line, const char *name)
{
    if (*line->step) {
        printf("%s: %s\n", name, line->step);
        return;
    }

    if (*line->event) {
        printf("%s: the certificate %s, obtaining another one with another "
               "key\n", name, strcmp(line->event, "revoked") == 0
                              ? "is revoked" : "was revoked before");
        return;
    }

    printf("%s: certificate obtained, served from now on, valid until %s "
           "(%ld days), %s/%s/fullchain.pem\n", line->name, line->not_after,
           command_days(command_time(line->not_after), time(NULL)),
           command->path, line->name);
}


int
command_end(command_t *command, command_line_t *line, const char *name)
{
    if (strcmp(line->end, "done") == 0) {
        return COMMAND_OK;
    }

    if (name && strcmp(line->end, "unknown") == 0) {
        command_meant(command, name);
        return COMMAND_REFUSED;
    }

    if (strcmp(line->end, "busy") == 0) {
        command_say("too many others are asking, try again");
        return COMMAND_NOBODY;
    }

    if (*line->why == '\0') {
        command_say("the helper does not understand: this command and the "
                    "modules that NGINX has loaded are of two versions; "
                    "restart NGINX");
        return COMMAND_FAILED;
    }

    command_say("%s: %s%s%s%s%s%s%s%s", name ? name : "", line->why,
                *line->detail ? " (" : "", line->detail,
                *line->detail ? ")" : "",
                *line->cause ? "; likely cause: " : "", line->cause,
                *line->next ? strcmp(line->end, "refused") == 0
                              ? ", possible from " : ", next try at " : "",
                line->next);

    return strcmp(line->end, "refused") == 0 ? COMMAND_REFUSED
                                             : COMMAND_FAILED;
}


/* The name that is most like it, if there is one. */

static void
command_meant(command_t *command, const char *name)
{
    char            meant[256];
    size_t          n, least;
    command_link_t  link;
    command_line_t  line;

    meant[0] = '\0';
    least = strlen(name) / 3 + 1;

    if (command_ask(&link, command, "list", NULL, "") == COMMAND_OK) {

        while (command_read(&link, COMMAND_ANSWER) == 1) {

            if (command_parse(&link, &line) == 0 && *line.report) {
                n = command_distance(name, line.name);

                if (n < least) {
                    least = n;
                    snprintf(meant, sizeof(meant), "%s", line.name);
                }
            }

            command_free(&line);
        }

        command_close(&link);
    }

    command_say("NGINX obtains no certificate for \"%s\"%s%s%s", name,
                meant[0] ? ", did you mean \"" : "", meant,
                meant[0] ? "\"?" : ": nginx-autocert list has the names");
}


/* Levenshtein's, in any case; a name has 253 bytes at most. */

static size_t
command_distance(const char *a, const char *b)
{
    size_t  i, j, n, row[256], old, up;

    n = strlen(b);

    if (n > 253) {
        return n;
    }

    for (j = 0; j <= n; j++) {
        row[j] = j;
    }

    for (i = 0; a[i]; i++) {
        old = row[0];
        row[0] = i + 1;

        for (j = 1; j <= n; j++) {
            up = row[j];
            old += (tolower((u_char) a[i]) != tolower((u_char) b[j - 1]));
            row[j] = (up + 1 < old) ? up + 1 : old;
            row[j] = (row[j - 1] + 1 < row[j]) ? row[j - 1] + 1 : row[j];
            old = up;
        }
    }

    return row[n];
}
