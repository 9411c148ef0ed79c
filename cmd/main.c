
/* nginx-autocert(8) */


#include "command.h"

#include "../src/ngx_autocert.h"

#include <getopt.h>
#include <stdarg.h>


/* where autocert_path leads to if it is not set */

#ifdef NGX_AUTOCERT_STATE
#define COMMAND_PATH  NGX_AUTOCERT_STATE
#else
#define COMMAND_PATH  NGX_PREFIX "autocert"
#endif


typedef struct {
    const char  *name;
    int          least;         /* arguments */
    int          most;
    int        (*run)(command_t *command);
} command_word_t;


static const command_word_t  command_words[] = {
    { "list",   0, 0,       command_list },
    { "show",   1, 1,       command_show },
    { "renew",  1, INT_MAX, command_renew },
    { "revoke", 1, 1,       command_revoke },
    { "check",  0, INT_MAX, command_check },
    { "watch",  0, INT_MAX, command_watch },
    { NULL,     0, 0,       NULL }
};


/* RFC 5280, 5.3.1 */

static const char  *command_reasons[] = {
    "unspecified", "keyCompromise", "cACompromise", "affiliationChanged",
    "superseded", "cessationOfOperation", "certificateHold", "",
    "removeFromCRL", "privilegeWithdrawn", "aACompromise", NULL
};


static const char  command_help[] =
    "usage: nginx-autocert [options] command\n"
    "\n"
    "    list                  all names and how it is with them\n"
    "    show NAME             all that is known of one\n"
    "    renew NAME ...        renews now what is due; --force: also what is "
    "not\n"
    "    revoke NAME           revokes its certificate, obtains another one\n"
    "    check [NAME ...]      for monitoring: exits with 0, 1, 2 or 3\n"
    "    watch [-- COMMAND ...]\n"
    "                          tells what happens, and runs COMMAND each time\n"
    "\n"
    "    -p, --path DIR        another store than " COMMAND_PATH "\n"
    "    -j, --json            JSON, an object a line\n"
    "    -f, --force           of renew\n"
    "    -r, --reason REASON   of revoke: keyCompromise, superseded, ...\n"
    "    -w, --warning DAYS    of check: so few are left\n"
    "    -c, --critical DAYS\n"
    "    -h, --help\n"
    "    -V, --version\n"
    "\n"
    "nginx-autocert(8) says more.\n";


static const struct option  command_options[] = {
    { "path",     required_argument, NULL, 'p' },
    { "json",     no_argument,       NULL, 'j' },
    { "force",    no_argument,       NULL, 'f' },
    { "reason",   required_argument, NULL, 'r' },
    { "warning",  required_argument, NULL, 'w' },
    { "critical", required_argument, NULL, 'c' },
    { "help",     no_argument,       NULL, 'h' },
    { "version",  no_argument,       NULL, 'V' },
    { NULL,       0,                 NULL, 0 }
};


static int command_written(int rc, int failed);
static int command_usage(const char *fmt, ...)
    __attribute__ ((format (printf, 1, 2)));
static void command_set(command_t *command, int option);
static long command_set_days(const char *text);
static long command_set_reason(const char *text);


static int  command_wrong = COMMAND_USAGE;


int
main(int argc, char **argv)
{
    int                    i, option;
    char                  *word;
    command_t              command;
    const command_word_t  *w;

    memset(&command, 0, sizeof(command_t));
    command.path = COMMAND_PATH;
    command.reason = -1;
    command.warning = -1;
    command.critical = -1;

    for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (strcmp(argv[i], "check") == 0) {
            command_wrong = COMMAND_UNKNOWN;
        }
    }

    for ( ;; ) {
        option = getopt_long(argc, argv, "p:jfr:w:c:hV", command_options,
                             NULL);
        if (option == -1) {
            break;
        }

        command_set(&command, option);
    }

    if (optind == argc) {
        (void) fputs(command_help, stderr);
        return command_wrong;
    }

    word = argv[optind++];

    for (w = command_words; w->name && strcmp(w->name, word); w++) {
        /* void */
    }

    command.args = &argv[optind];
    command.nargs = argc - optind;

    if (w->name == NULL) {
        return command_usage("there is no command \"%s\"", word);
    }

    if (command.nargs < w->least) {
        return command_usage("%s: which name?", word);
    }

    if (command.nargs > w->most) {
        return command_usage("%s: what is \"%s\"?", word,
                             command.args[w->most]);
    }

    if (command.force && w->run != command_renew) {
        return command_usage("--force is for renew");
    }

    if (command.reason != -1 && w->run != command_revoke) {
        return command_usage("--reason is for revoke");
    }

    if ((command.warning != -1 || command.critical != -1)
        && w->run != command_check)
    {
        return command_usage("-w and -c are for check");
    }

    (void) setvbuf(stdout, NULL, _IOLBF, 0);

    return command_written(w->run(&command),
                           w->run == command_check ? COMMAND_UNKNOWN
                                                   : COMMAND_FAILED);
}


/* Whoever reads what is not there would take it for all there is. */

static int
command_written(int rc, int failed)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return rc;
    }

    (void) fputs("nginx-autocert: what there was to say can't be written\n",
                 stderr);

    return failed;
}


static void
command_set(command_t *command, int option)
{
    switch (option) {

    case 'p':
        command->path = optarg;
        break;

    case 'j':
        command->json = 1;
        break;

    case 'f':
        command->force = 1;
        break;

    case 'r':
        command->reason = command_set_reason(optarg);
        break;

    case 'w':
        command->warning = command_set_days(optarg);
        break;

    case 'c':
        command->critical = command_set_days(optarg);
        break;

    case 'h':
        (void) fputs(command_help, stdout);
        exit(command_written(COMMAND_OK, COMMAND_FAILED));

    case 'V':
        (void) puts("nginx-autocert " NGX_AUTOCERT_VERSION);
        exit(command_written(COMMAND_OK, COMMAND_FAILED));

    default:
        exit(command_usage(NULL));
    }
}


static long
command_set_days(const char *text)
{
    long   days;
    char  *end;

    days = strtol(text, &end, 10);

    if (*text == '\0' || *end || days < 0 || days > 36500) {
        exit(command_usage("\"%s\" is no number of days", text));
    }

    return days;
}


static long
command_set_reason(const char *text)
{
    long  i;

    for (i = 0; command_reasons[i]; i++) {
        if (*text && strcasecmp(command_reasons[i], text) == 0) {
            return i;
        }
    }

    exit(command_usage("\"%s\" is no reason: one of unspecified, "
                       "keyCompromise, affiliationChanged, superseded, "
                       "cessationOfOperation, privilegeWithdrawn", text));
}


static int
command_usage(const char *fmt, ...)
{
    va_list  args;

    if (fmt) {
        (void) fputs("nginx-autocert: ", stderr);

        va_start(args, fmt);
        (void) vfprintf(stderr, fmt, args);
        va_end(args);

        (void) fputc('\n', stderr);
    }

    (void) fputs("nginx-autocert --help lists what there is\n", stderr);

    return command_wrong;
}


void
command_say(const char *fmt, ...)
{
    va_list  args;

    (void) fflush(stdout);
    (void) fputs("nginx-autocert: ", stderr);

    va_start(args, fmt);
    (void) vfprintf(stderr, fmt, args);
    va_end(args);

    (void) fputc('\n', stderr);
}
