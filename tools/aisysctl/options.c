#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/suggest.h"
#include "show.h"

static const struct {
    const char *name;
    const char *args;
    const char *help;
    int least, most; /* how many words; most -1: any number */
} commands[CTL_COMMANDS] = {
    [CTL_CALL] = { "call", "ACTOR METHOD [KEY=VALUE... | -]", "ask an actor", 2, -1 },
    [CTL_PS] = { "ps", "", "the actors of the node, and how they fare", 0, 0 },
    [CTL_DESCRIBE] = { "describe", "ACTOR [METHOD]", "what an actor can be asked, and all about it",
        1, 2 },
    [CTL_HEALTH] = { "health", "", "whether the node is well, check by check", 0, 0 },
    [CTL_CONFIG] = { "config", "check|print|schema [OPTION...]", "the configuration", 1, -1 },
    [CTL_BENCH] = { "bench", "[NAME...]", "measure this build on this machine", 0, -1 },
    [CTL_COMPLETION] = { "completion", "bash", "completion for the shell, to be sourced", 1, 3 },
};

enum option { TO, JSON, DEADLINE, ALL, HELP, VERSION, OPTIONS };

static const struct {
    const char *name;
    const char *value; /* NULL: takes none */
    const char *help;
} options[OPTIONS] = {
    [TO] = { "--to", "URL", "the node's request door (" CTL_TO_DEFAULT ")" },
    [JSON] = { "--json", NULL, "one line of JSON for each answer, instead of text for people" },
    [DEADLINE] = { "--deadline", "MS", "how long an answer may take (5000; at most 600000)" },
    [ALL] = { "--all", NULL, "ps: also the parts of the node itself" },
    [HELP] = { "--help", NULL, "this text" },
    [VERSION] = { "--version", NULL, "the version of aisysctl" },
};

/* --- words ---------------------------------------------------------------------------------------- */

void ctl_options_help(FILE *out)
{
    fprintf(out, "usage: aisysctl [OPTION...] COMMAND\n\nTalks to a running aisys-runtime.\n\n");
    for (unsigned i = 0; i < CTL_COMMANDS; i++) {
        char left[64];

        snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].args);
        fprintf(out, "  %-40s %s\n", left, commands[i].help);
    }
    fprintf(out, "\n");
    for (unsigned i = 0; i < OPTIONS; i++) {
        char left[64];

        snprintf(
            left, sizeof(left), "%s %s", options[i].name, options[i].value ? options[i].value : "");
        fprintf(out, "  %-20s %s\n", left, options[i].help);
    }
    fprintf(out,
        "\n"
        "VALUE: repeat a KEY for a list (commas split only enums and numbers); @FILE "
        "takes the bytes of\n"
        "a file, @@ is a literal @; KEY.KEY=VALUE reaches into a message. - reads all as "
        "JSON from\n"
        "standard input.\n"
        "config check and schema need no node and take the options of aisys-runtime "
        "(--role, --env,\n"
        "--config, --set, --only); print asks the node.\n"
        "\n"
        "Exit: 0; 1 the call answered an error, or the node is not well; 64 usage; 69 node not\n"
        "reached; 70 an answer that is none, or no memory; 75 deadline.\n"
        "\n"
        "  aisysctl ps\n"
        "  aisysctl describe memory_orchestrator Search\n"
        "  aisysctl call memory_orchestrator Search query='where is the key' k=3\n"
        "  aisysctl call vision_processing Analyze image=@receipt.png want=TEXT,CODES\n");
}

void ctl_options_words(FILE *out)
{
    for (unsigned i = 0; i < CTL_COMMANDS; i++)
        fprintf(out, "%s\n", commands[i].name);
    for (unsigned i = 0; i < OPTIONS; i++)
        fprintf(out, "%s\n", options[i].name);
}

static void say_try_help(FILE *err)
{
    fprintf(err, "aisysctl --help says how to use it\n");
}

/* --- options ---------------------------------------------------------------------------------------- */

static int unknown_option(const char *word, FILE *err)
{
    struct aisys_suggest suggest;

    aisys_suggest_init(&suggest, word);
    for (unsigned i = 0; i < OPTIONS; i++)
        aisys_suggest_offer(&suggest, options[i].name);
    fprintf(err, "aisysctl: unknown option ");
    ctl_show_line(err, word, strlen(word));
    if (suggest.best)
        fprintf(err, ", did you mean %s?", suggest.best);
    fprintf(err, "\n");
    say_try_help(err);
    return CTL_USAGE;
}

static int take_deadline(const char *value, FILE *err, unsigned *ret_ms)
{
    char *end;
    unsigned long ms;

    errno = 0;
    ms = strtoul(value, &end, 10);
    if (errno || end == value || *end || value[0] == '-' || ms < 1 || ms > CTL_DEADLINE_MAX_MS) {
        fprintf(err, "aisysctl: --deadline is '");
        ctl_show_line(err, value, strlen(value));
        fprintf(err, "'; expected milliseconds, 1 to %u\n", CTL_DEADLINE_MAX_MS);
        return CTL_USAGE;
    }
    *ret_ms = (unsigned)ms;
    return 0;
}

static int take_to(const char *value, FILE *err, const char **ret_to)
{
    if (strncmp(value, "tcp://", 6) != 0 && strncmp(value, "ipc://", 6) != 0) {
        fprintf(err, "aisysctl: --to is '");
        ctl_show_line(err, value, strlen(value));
        fprintf(
            err, "'; expected a URL such as %s or ipc:///path/to/request.sock\n", CTL_TO_DEFAULT);
        return CTL_USAGE;
    }
    *ret_to = value;
    return 0;
}

static int take_option(
    enum option option, const char *value, FILE *err, struct ctl_options *options_out)
{
    switch (option) {
    case TO:
        return take_to(value, err, &options_out->to);
    case DEADLINE:
        return take_deadline(value, err, &options_out->deadline_ms);
    case JSON:
        options_out->json = true;
        return 0;
    case ALL:
        options_out->all = true;
        return 0;
    case HELP:
        options_out->help = true;
        return 0;
    case VERSION:
    default:
        options_out->version = true;
        return 0;
    }
}

/* Take the option at @argv[*at] and leave *@at at its last word. */
static int parse_option(int argc, char **argv, int *at, FILE *err, struct ctl_options *ret_options)
{
    const char *word = argv[*at];
    const size_t n = strcspn(word, "=");
    const char *value = word[n] ? word + n + 1 : NULL;

    for (unsigned i = 0; i < OPTIONS; i++) {
        if (strlen(options[i].name) != n || strncmp(options[i].name, word, n) != 0)
            continue;
        if (!options[i].value && value) {
            fprintf(err, "aisysctl: %s takes no value\n", options[i].name);
            return CTL_USAGE;
        }
        if (options[i].value && !value) {
            if (*at + 1 >= argc) {
                fprintf(err, "aisysctl: %s wants a value: %s %s\n", options[i].name,
                    options[i].name, options[i].value);
                return CTL_USAGE;
            }
            value = argv[++*at];
        }
        return take_option((enum option)i, value ? value : "", err, ret_options);
    }
    return unknown_option(word, err);
}

/* --- the whole -------------------------------------------------------------------------------------- */

static int parse_command(const char *word, FILE *err, enum ctl_command *ret_command)
{
    struct aisys_suggest suggest;

    aisys_suggest_init(&suggest, word);
    for (unsigned i = 0; i < CTL_COMMANDS; i++) {
        if (strcmp(commands[i].name, word) == 0) {
            *ret_command = (enum ctl_command)i;
            return 0;
        }
        aisys_suggest_offer(&suggest, commands[i].name);
    }
    fprintf(err, "aisysctl: unknown command ");
    ctl_show_line(err, word, strlen(word));
    if (suggest.best)
        fprintf(err, ", did you mean %s?", suggest.best);
    fprintf(err, "\n");
    say_try_help(err);
    return CTL_USAGE;
}

static int check_count(const struct ctl_options *o, FILE *err)
{
    const int least = commands[o->command].least, most = commands[o->command].most;

    if (o->args_nr >= least && (most < 0 || o->args_nr <= most))
        return 0;
    fprintf(err, "aisysctl: usage: aisysctl %s %s\n", commands[o->command].name,
        commands[o->command].args);
    return CTL_USAGE;
}

/* Whether the rest of the line belongs to aisys-runtime. */
static bool passes_on(char **argv, int words)
{
    return words == 2 && strcmp(argv[1], "config") == 0 &&
           (strcmp(argv[2], "check") == 0 || strcmp(argv[2], "schema") == 0);
}

int ctl_options_parse(int argc, char **argv, FILE *err, struct ctl_options *ret_options)
{
    struct ctl_options o = { .to = CTL_TO_DEFAULT, .deadline_ms = CTL_DEADLINE_DEFAULT_MS };
    bool only_words = false;
    int words = 0; /* kept at the front of argv, behind the program's name */
    int r = 0;

    for (int i = 1; i < argc && r == 0; i++) {
        if (passes_on(argv, words))
            only_words = true;
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && strcmp(argv[i], "-h") == 0)
            o.help = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1])
            r = parse_option(argc, argv, &i, err, &o);
        else
            argv[++words] = argv[i];
    }
    if (r == 0 && !o.help && !o.version) {
        if (words == 0) {
            ctl_options_help(err);
            return CTL_USAGE;
        }
        r = parse_command(argv[1], err, &o.command);
        argv[words + 1 < argc ? words + 1 : argc] = NULL;
        o.args = argv + 2;
        o.args_nr = words - 1;
        if (r == 0)
            r = check_count(&o, err);
    }
    if (r == 0)
        *ret_options = o;
    return r;
}
