#include "ctl_stage.h"

#include "core/tree_json.h"
#include "aisys/system.pb-c.h"

static struct ctl_stage stage;

static int setup(void **state)
{
    (void)state;
    ctl_stage_init(&stage);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ctl_stage_deinit(&stage);
    return 0;
}

static const char *json_of(const struct aisys_node *node)
{
    char *text = NULL;

    assert_int_equal(aisys_tree_json(&stage.ctl.arena, node, 0, &text, NULL), 0);
    return text;
}

/* A file with @bytes of @data; the result is the word "k=@NAME". */
static char *file_word(const char *data, size_t bytes, char *name, size_t size)
{
    static char word[100];
    FILE *file;
    int fd;

    snprintf(name, size, "/tmp/aisysctl.XXXXXX");
    fd = mkstemp(name);
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
    snprintf(word, sizeof(word), "k=@%s", name);
    return word;
}

static void words_for_an_unknown_method(void **state)
{
    static const struct {
        const char *words[3];
        const char *json;
    } rows[] = {
        { { "k=3", "t=text", "b=true" }, "{\"k\":3,\"t\":\"text\",\"b\":true}" },
        { { "l=a", "l=2", "l=c d" }, "{\"l\":[\"a\",2,\"c d\"]}" },
        { { "o={\"a\":[1]}", "q=\"5\"", "n=null" }, "{\"o\":{\"a\":[1]},\"q\":\"5\",\"n\":null}" },
        { { "a=@@home", "e=", "x=1=2" }, "{\"a\":\"@home\",\"e\":\"\",\"x\":\"1=2\"}" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char copies[3][40], *words[3];
        struct aisys_node *args = NULL;

        for (size_t j = 0; j < 3; j++) {
            snprintf(copies[j], sizeof(copies[j]), "%s", rows[i].words[j]);
            words[j] = copies[j];
        }
        assert_int_equal(ctl_words(&stage.ctl, NULL, words, 3, &args), 0);
        assert_string_equal(json_of(args), rows[i].json);
    }
}

static void files(void **state)
{
    static const struct {
        const char *data;
        size_t bytes;
        const char *json;
    } rows[] = {
        { "text", 4, "{\"k\":\"text\"}" },
        { "\xff\0\xfe", 3, "{\"k\":\"/wD+\"}" },
        { "", 0, "{\"k\":\"\"}" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *args = NULL;
        char name[40];
        char *word = file_word(rows[i].data, rows[i].bytes, name, sizeof(name));

        assert_int_equal(ctl_words(&stage.ctl, NULL, &word, 1, &args), 0);
        assert_string_equal(json_of(args), rows[i].json);
        remove(name);
    }
}

static void words_for_a_known_method(void **state)
{
    char all[] = "all=true", wrong[] = "al=true", alone[] = "all";
    char *words[] = { all, wrong, alone };
    struct aisys_node *args = NULL;

    (void)state;
    assert_int_equal(
        ctl_words(&stage.ctl, &aisys__system__list_request__descriptor, words, 1, &args), 0);
    assert_string_equal(json_of(args), "{\"all\":true}");
    assert_int_equal(
        ctl_words(&stage.ctl, &aisys__system__list_request__descriptor, words, 3, &args),
        CTL_USAGE);
    assert_string_equal(ctl_stage_err(&stage),
        "aisysctl: the arguments are not right:\n"
        "  al: unknown field, did you mean \"all\"?; expected one of all\n"
        "  all: is no key=value; expected key=value\n");
}

static void refused(void **state)
{
    static const struct {
        const char *word, *words;
    } rows[] = {
        { "nothing", "nothing: is no key=value; expected key=value" },
        { "=x", "=x: is no key=value" },
        { "k=@/nonexistent/\033x",
            "k: /nonexistent/?x: No such file or directory; expected a file" },
        { "k=@/", "k: /: Is a directory" },
        { "k=\xff", "k: is not UTF-8; expected UTF-8" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *args = NULL;
        char copy[60], *word = copy;
        const char *err;

        snprintf(copy, sizeof(copy), "%s", rows[i].word);
        assert_int_equal(ctl_words(&stage.ctl, NULL, &word, 1, &args), CTL_USAGE);
        err = ctl_stage_err(&stage);
        if (!strstr(err, rows[i].words))
            fail_msg("%s says: %s", rows[i].word, err);
    }
}

static void standard_input(void **state)
{
    static const struct {
        const char *text, *json, *err;
    } rows[] = {
        { "{\"k\":3}\n", "{\"k\":3}", NULL },
        { "[1]", NULL, "is a list; expected an object" },
        { "{\"k\":", NULL, "standard input is not right" },
        { "", NULL, "standard input is not right" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *args = NULL;
        FILE *in = tmpfile();
        int r;

        fputs(rows[i].text, in);
        rewind(in);
        r = ctl_words_stdin(&stage.ctl, in, &args);
        fclose(in);
        assert_int_equal(r, rows[i].json ? 0 : CTL_USAGE);
        if (rows[i].json)
            assert_string_equal(json_of(args), rows[i].json);
        else if (!strstr(ctl_stage_err(&stage), rows[i].err))
            fail_msg("%s says: %s", rows[i].text, stage.err);
    }
}

static void services(void **state)
{
    static const struct {
        const char *actor, *service;
    } rows[] = { { "orchestrator", "aisys.system.Orchestrator" },
        { "health_service", "aisys.system.HealthService" }, { "health", NULL },
        { "healthservice", "aisys.system.HealthService" }, { "nobody", NULL }, { "", NULL } };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const ProtobufCServiceDescriptor *service = ctl_service_guess(rows[i].actor);

        if (rows[i].service)
            assert_ptr_equal(service, ctl_service_find(rows[i].service));
        else
            assert_null(service);
    }
    assert_non_null(ctl_service_method(ctl_service_guess("orchestrator"), "List"));
    assert_null(ctl_service_method(ctl_service_guess("orchestrator"), "list"));
    assert_null(ctl_service_method(NULL, "List"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(words_for_an_unknown_method),
        TEST(files),
        TEST(words_for_a_known_method),
        TEST(refused),
        TEST(standard_input),
        TEST(services),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
