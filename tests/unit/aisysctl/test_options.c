#include "ctl_stage.h"

#define WORDS_MAX 12

/* Split @line at blanks into @argv, behind a program's name. */
static int split(char *line, char **argv)
{
    static char program[] = "aisysctl";
    int argc = 0;

    argv[argc++] = program;
    for (char *save, *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    argv[argc] = NULL;
    return argc;
}

static void accepted(void **state)
{
    static const struct {
        const char *line;
        enum ctl_command command;
        const char *to;
        unsigned deadline_ms;
        bool json, all;
        int args_nr;
        const char *last;
    } rows[] = {
        { "ps", CTL_PS, CTL_TO_DEFAULT, 5000, false, false, 0, NULL },
        { "ps --all --json", CTL_PS, CTL_TO_DEFAULT, 5000, true, true, 0, NULL },
        { "--to ipc:///x --deadline 7 health", CTL_HEALTH, "ipc:///x", 7, false, false, 0, NULL },
        { "health --to=tcp://a:1 --deadline=600000", CTL_HEALTH, "tcp://a:1", 600000, false, false,
            0, NULL },
        { "call a M x=1 y=-2", CTL_CALL, CTL_TO_DEFAULT, 5000, false, false, 4, "y=-2" },
        { "call a M -", CTL_CALL, CTL_TO_DEFAULT, 5000, false, false, 3, "-" },
        { "call a M --json text=--x", CTL_CALL, CTL_TO_DEFAULT, 5000, true, false, 3, "text=--x" },
        { "call a M -- --k=v", CTL_CALL, CTL_TO_DEFAULT, 5000, false, false, 3, "--k=v" },
        { "describe a", CTL_DESCRIBE, CTL_TO_DEFAULT, 5000, false, false, 1, "a" },
        { "config print --json", CTL_CONFIG, CTL_TO_DEFAULT, 5000, true, false, 1, "print" },
        { "config check --role pc2 --set a.b=c", CTL_CONFIG, CTL_TO_DEFAULT, 5000, false, false, 5,
            "a.b=c" },
        { "--json config schema --json", CTL_CONFIG, CTL_TO_DEFAULT, 5000, true, false, 2,
            "--json" },
        { "bench", CTL_BENCH, CTL_TO_DEFAULT, 5000, false, false, 0, NULL },
        { "bench one_way ring --json", CTL_BENCH, CTL_TO_DEFAULT, 5000, true, false, 2, "ring" },
        { "completion bash", CTL_COMPLETION, CTL_TO_DEFAULT, 5000, false, false, 1, "bash" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char line[100], *argv[WORDS_MAX];
        struct ctl_options o = { 0 };

        snprintf(line, sizeof(line), "%s", rows[i].line);
        if (ctl_options_parse(split(line, argv), argv, stderr, &o) != 0)
            fail_msg("%s", rows[i].line);
        assert_int_equal(o.command, rows[i].command);
        assert_string_equal(o.to, rows[i].to);
        assert_int_equal(o.deadline_ms, rows[i].deadline_ms);
        assert_int_equal(o.json, rows[i].json);
        assert_int_equal(o.all, rows[i].all);
        assert_int_equal(o.args_nr, rows[i].args_nr);
        assert_null(o.args[o.args_nr]);
        if (rows[i].last)
            assert_string_equal(o.args[o.args_nr - 1], rows[i].last);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *line, *words;
    } rows[] = {
        { "", "usage: aisysctl" },
        { "pss", "unknown command pss, did you mean ps?" },
        { "qqqqqqqq", "unknown command qqqqqqqq\n" },
        { "ps --jsno", "unknown option --jsno, did you mean --json?" },
        { "ps -x", "unknown option -x" },
        { "ps --json=1", "--json takes no value" },
        { "ps --to", "--to wants a value: --to URL" },
        { "ps --to localhost", "--to is 'localhost'; expected a URL such as tcp://127.0.0.1:5555" },
        { "ps --to http://127.0.0.1:8080", "expected a URL such as tcp://" },
        { "ps --deadline 0", "--deadline is '0'; expected milliseconds, 1 to 600000" },
        { "ps --deadline 600001", "expected milliseconds" },
        { "ps --deadline 5s", "expected milliseconds" },
        { "ps --deadline -1", "expected milliseconds" },
        { "ps x", "usage: aisysctl ps" },
        { "call a", "usage: aisysctl call ACTOR METHOD [KEY=VALUE... | -]" },
        { "describe", "usage: aisysctl describe ACTOR [METHOD]" },
        { "config", "usage: aisysctl config check|print|schema" },
        { "completion", "usage: aisysctl completion bash" },
        { "\033[31mx", "unknown command ?[31mx" },
    };
    struct ctl_stage stage;

    (void)state;
    ctl_stage_init(&stage);
    for (size_t i = 0; i < ROWS(rows); i++) {
        char line[100], *argv[WORDS_MAX];
        struct ctl_options o = { 0 };
        const char *err;

        snprintf(line, sizeof(line), "%s", rows[i].line);
        assert_int_equal(ctl_options_parse(split(line, argv), argv, stage.ctl.err, &o), CTL_USAGE);
        err = ctl_stage_err(&stage);
        if (!strstr(err, rows[i].words))
            fail_msg("'%s' says: %s", rows[i].line, err);
    }
    ctl_stage_deinit(&stage);
}

static void help_wins(void **state)
{
    static const char *const lines[] = { "--help", "-h", "ps --help", "--version",
        "nonsense --help" };

    (void)state;
    for (size_t i = 0; i < ROWS(lines); i++) {
        char line[100], *argv[WORDS_MAX];
        struct ctl_options o = { 0 };

        snprintf(line, sizeof(line), "%s", lines[i]);
        assert_int_equal(ctl_options_parse(split(line, argv), argv, stderr, &o), 0);
        assert_true(o.help || o.version);
    }
}

static void help_has_every_word(void **state)
{
    struct ctl_stage stage;
    char *save = NULL;

    (void)state;
    ctl_stage_init(&stage);
    ctl_options_help(stage.ctl.out);
    ctl_options_words(stage.ctl.err);
    ctl_stage_out(&stage);
    ctl_stage_err(&stage);
    for (char *word = strtok_r(stage.err, "\n", &save); word; word = strtok_r(NULL, "\n", &save))
        if (!strstr(stage.out, word))
            fail_msg("--help does not say %s", word);
    ctl_stage_deinit(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(help_wins),
        cmocka_unit_test(help_has_every_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
