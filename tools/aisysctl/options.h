/* The command line of aisysctl: what was asked for, and the words that explain it. Pure.
 *
 * Options may stand anywhere before `--`; `config check` and `config schema` pass on whatever follows
 * them to aisys-runtime. */
#ifndef AISYSCTL_OPTIONS_H
#define AISYSCTL_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#define CTL_TO_DEFAULT          "tcp://127.0.0.1:5555"
#define CTL_DEADLINE_DEFAULT_MS 5000u
#define CTL_DEADLINE_MAX_MS     600000u

/* Exit codes. */
enum {
    CTL_OK = 0,
    CTL_FAILED = 1,       /* the call answered an error */
    CTL_USAGE = 64,       /* the command line makes no sense */
    CTL_UNREACHABLE = 69, /* the node was not reached */
    CTL_INTERNAL = 70,    /* no memory, or an answer that is none */
    CTL_DEADLINE = 75,    /* no answer in time */
};

enum ctl_command {
    CTL_CALL,
    CTL_PS,
    CTL_DESCRIBE,
    CTL_HEALTH,
    CTL_CONFIG,
    CTL_BENCH,
    CTL_COMPLETION,
    CTL_COMMANDS
};

struct ctl_options {
    const char *to;
    unsigned deadline_ms;
    bool json;
    bool all;
    bool help;
    bool version;
    enum ctl_command command; /* meaningful unless help or version */
    char *const *args;        /* of the command; NULL ends */
    int args_nr;
};

/* Read @argv, which is put in order: words of the command last. Returns 0, or CTL_USAGE after saying on
 * @err what is wrong and what would be right. */
int ctl_options_parse(int argc, char **argv, FILE *err, struct ctl_options *ret_options);

/* --help. */
void ctl_options_help(FILE *out);

/* Every command and option, one a line: for completion, and for the test of the manual. */
void ctl_options_words(FILE *out);

#endif
