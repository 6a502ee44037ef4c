#include "ctl_stage.h"

#include <arpa/inet.h>
#include <pthread.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

/* A door that gives the answers it was told, in order, and keeps what it was asked. */
static struct door {
    nng_socket socket;
    pthread_t thread;
    char url[64];
    const char *const *answers; /* NULL ends: from then on it is silent */
    char asked[4][400];
    unsigned asked_nr;
} door;

static void *door_run(void *arg)
{
    (void)arg;
    for (unsigned i = 0; door.answers[i]; i++) {
        void *data;
        size_t bytes;

        if (nng_recv(door.socket, &data, &bytes, NNG_FLAG_ALLOC) != 0)
            return NULL;
        snprintf(door.asked[i % 4], sizeof(door.asked[0]), "%.*s", (int)bytes, (char *)data);
        door.asked_nr = i + 1;
        nng_free(data, bytes);
        nng_send(door.socket, (void *)(uintptr_t)door.answers[i], strlen(door.answers[i]), 0);
    }
    return NULL;
}

static void door_open(const char *const *answers)
{
    nng_listener listener;
    nng_sockaddr address;

    memset(&door, 0, sizeof(door));
    door.answers = answers;
    assert_int_equal(nng_rep0_open(&door.socket), 0);
    assert_int_equal(nng_listen(door.socket, "tcp://127.0.0.1:0", &listener, 0), 0);
    assert_int_equal(nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &address), 0);
    snprintf(
        door.url, sizeof(door.url), "tcp://127.0.0.1:%u", (unsigned)ntohs(address.s_in.sa_port));
    assert_int_equal(pthread_create(&door.thread, NULL, door_run, NULL), 0);
}

static void door_close(void)
{
    nng_close(door.socket);
    pthread_join(door.thread, NULL);
}

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

/* Run @command with @words against a door with @answers. */
static int run(const char *const *answers, char **words, int (*command)(struct ctl *ctl))
{
    int r;

    door_open(answers);
    stage.ctl.options.to = door.url;
    stage.ctl.options.args = words;
    stage.ctl.options.args_nr = 0;
    while (words[stage.ctl.options.args_nr])
        stage.ctl.options.args_nr++;
    r = command(&stage.ctl);
    door_close();
    return r;
}

static void answers_and_exit_codes(void **state)
{
    static const struct {
        const char *answer;
        int exit_code;
        const char *out, *err;
    } rows[] = {
        { "{\"ok\":true,\"result\":{\"id\":\"7\"}}", 0, "id: 7\n", "" },
        { "{\"ok\":true,\"result\":{}}", 0, "done\n", "" },
        { "{\"ok\":false,\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"no such "
          "actor\\u001b\",\"details\":[]}}",
            CTL_FAILED, "", "aisysctl: NOT_FOUND: no such actor?\n" },
        { "{\"ok\":false,\"error\":{\"code\":\"INVALID_ARGUMENT\",\"message\":\"bad\",\"details\":["
          "{\"path\":\"k\",\"problem\":\"is 0\",\"expected\":\"1 to "
          "1000\"},{\"problem\":\"odd\"}]}}",
            CTL_FAILED, "",
            "aisysctl: INVALID_ARGUMENT: bad\n  k: is 0; expected 1 to 1000\n  odd\n" },
        { "{\"ok\":false,\"error\":{\"code\":\"DEADLINE_EXCEEDED\",\"message\":\"late\"}}",
            CTL_DEADLINE, "", "aisysctl: DEADLINE_EXCEEDED: late\n" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const char *const answers[] = { rows[i].answer, NULL };
        char actor[] = "memory", method[] = "Get";
        char *words[] = { actor, method, NULL };

        assert_int_equal(run(answers, words, ctl_call), rows[i].exit_code);
        assert_string_equal(ctl_stage_out(&stage), rows[i].out);
        assert_string_equal(ctl_stage_err(&stage), rows[i].err);
        assert_string_equal(door.asked[0],
            "{\"to\":\"memory\",\"method\":\"Get\",\"args\":{},\"deadline_ms\":2000}");
    }
}

static void what_is_no_answer(void **state)
{
    static const struct {
        const char *answer, *words;
    } rows[] = {
        { "healthy", "gave an answer that is no JSON: " },
        { "[]", "gave an answer that is neither a result nor an error" },
        { "{\"ok\":true}", "neither a result nor an error" },
        { "{\"ok\":\"yes\",\"result\":{}}", "neither a result nor an error" },
        { "", "no JSON" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const char *const answers[] = { rows[i].answer, NULL };
        char actor[] = "memory", method[] = "Get";
        char *words[] = { actor, method, NULL };

        assert_int_equal(run(answers, words, ctl_call), CTL_INTERNAL);
        if (!strstr(ctl_stage_err(&stage), rows[i].words))
            fail_msg("'%s' says %s", rows[i].answer, stage.err);
    }
}

/* The node says which service an actor has; the words then become what its method wants. */
static void words_are_typed_by_what_the_node_says(void **state)
{
    static const char *const answers[] = {
        "{\"ok\":true,\"result\":{\"service\":\"aisys.system.Orchestrator\"}}",
        "{\"ok\":true,\"result\":{\"actors\":[]}}", NULL
    };
    static const char *const unknown[] = {
        "{\"ok\":false,\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"\"}}",
        "{\"ok\":true,\"result\":{}}", NULL
    };
    char actor[] = "boss", method[] = "List", word[] = "all=TRUE";
    char *words[] = { actor, method, word, NULL };

    (void)state;
    stage.ctl.options.json = true;
    assert_int_equal(run(answers, words, ctl_call), 0);
    assert_non_null(strstr(door.asked[0], "\"method\":\"Describe\",\"args\":{\"actor\":\"boss\"}"));
    assert_non_null(strstr(door.asked[1], "\"args\":{\"all\":true}"));
    assert_string_equal(ctl_stage_out(&stage), "{\"actors\":[]}\n");
    assert_int_equal(run(unknown, words, ctl_call), 0);
    assert_non_null(strstr(door.asked[1], "\"args\":{\"all\":\"TRUE\"}"));
}

static void bytes_are_shown_as_text_where_they_are(void **state)
{
    static const struct {
        const char *base64, *shown;
    } rows[] = { { "QGhvbWU=", "@home" }, { "/wD+", "/wD+ (base64)" }, { "", "\"\"" },
        { "Z3LDvG4=", "gr\xc3\xbcn" }, { "G1sybQ==", "G1sybQ== (base64)" }, { "%", "%" } };
    char actor[] = "cache_manager", method[] = "Get";
    char *words[] = { actor, method, NULL };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char text[100], want[100];
        const char *const answers[] = { text, NULL };

        snprintf(text, sizeof(text), "{\"ok\":true,\"result\":{\"value\":\"%s\"}}", rows[i].base64);
        snprintf(want, sizeof(want), "value: %s\n", rows[i].shown);
        assert_int_equal(run(answers, words, ctl_call), 0);
        assert_string_equal(ctl_stage_out(&stage), want);
    }
}

static void errors_as_json(void **state)
{
    static const char *const answers[] = {
        "{\"ok\":false,\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"x\",\"details\":[]}}", NULL
    };
    char actor[] = "memory", method[] = "Get";
    char *words[] = { actor, method, NULL };

    (void)state;
    stage.ctl.options.json = true;
    assert_int_equal(run(answers, words, ctl_call), CTL_FAILED);
    assert_string_equal(
        ctl_stage_err(&stage), "{\"code\":\"NOT_FOUND\",\"message\":\"x\",\"details\":[]}\n");
}

static void ps_and_health(void **state)
{
    static const char *const lists[] = { "{\"ok\":true,\"result\":{\"actors\":[{\"name\":\"a\"}]}}",
        NULL };
    static const char *const well[] = { "{\"ok\":true,\"result\":{\"status\":\"HEALTHY\"}}", NULL };
    char *words[] = { NULL };

    (void)state;
    stage.ctl.options.all = true;
    assert_int_equal(run(lists, words, ctl_ps), 0);
    assert_non_null(strstr(door.asked[0], "\"method\":\"List\",\"args\":{\"all\":true}"));
    assert_non_null(strstr(ctl_stage_out(&stage), "\na  "));
    assert_int_equal(run(well, words, ctl_health), 0);
    assert_non_null(
        strstr(door.asked[0], "{\"to\":\"health_service\",\"method\":\"Check\",\"args\":{}"));
    assert_string_equal(ctl_stage_out(&stage), "HEALTHY\n");
}

static void describe(void **state)
{
    static const char *const answers[] = {
        "{\"ok\":true,\"result\":{\"actor\":{\"name\":\"a\"},\"methods\":[{\"name\":\"Do\"}]}}",
        NULL
    };
    char actor[] = "a", method[] = "Undo";
    char *words[] = { actor, method, NULL };

    (void)state;
    assert_int_equal(run(answers, words, ctl_describe), CTL_FAILED);
    assert_string_equal(ctl_stage_err(&stage), "aisysctl: a has no method Undo; it has: Do\n");
    words[1] = NULL;
    assert_int_equal(run(answers, words, ctl_describe), 0);
    assert_non_null(strstr(ctl_stage_out(&stage), "\nDo\n"));
}

static void config_print(void **state)
{
    static const char *const answers[] = {
        "{\"ok\":true,\"result\":{\"text\":\"redis:\\n  port: 6379  # base.yaml:3\\n\"}}", NULL
    };
    char print[] = "print", odd[] = "odd";
    char *words[] = { print, NULL };

    (void)state;
    assert_int_equal(run(answers, words, ctl_config), 0);
    assert_string_equal(ctl_stage_out(&stage), "redis:\n  port: 6379  # base.yaml:3\n");
    words[0] = odd;
    assert_int_equal(ctl_config(&stage.ctl), CTL_USAGE);
}

static void completion(void **state)
{
    static const char *const answers[] = {
        "{\"ok\":true,\"result\":{\"actors\":[{\"name\":\"a_b\"},{\"name\":\"$(rm)\"},{}]}}", NULL
    };
    char actors[] = "actors", bash[] = "bash";
    char *words[] = { actors, NULL };

    (void)state;
    assert_int_equal(run(answers, words, ctl_completion), 0);
    assert_string_equal(ctl_stage_out(&stage), "a_b\n");
    words[0] = bash;
    assert_int_equal(ctl_completion(&stage.ctl), 0);
    assert_non_null(strstr(ctl_stage_out(&stage), "complete -o default -F _aisysctl aisysctl"));
}

static void nobody_there(void **state)
{
    static const char *const silent[] = { NULL };
    char *words[] = { NULL };

    (void)state;
    door_open(silent);
    stage.ctl.options.to = door.url;
    stage.ctl.options.deadline_ms = 1;
    assert_int_equal(ctl_ps(&stage.ctl), CTL_DEADLINE);
    assert_non_null(strstr(ctl_stage_err(&stage), "within 1 ms (--deadline MS waits longer)"));
    door_close();
    stage.ctl.options.args = words;
    stage.ctl.options.deadline_ms = 2000;
    assert_int_equal(ctl_ps(&stage.ctl), CTL_UNREACHABLE);
    assert_non_null(strstr(ctl_stage_err(&stage), "aisysctl: no node at tcp://127.0.0.1:"));
    assert_non_null(strstr(stage.err, "aisys-runtime --role ROLE"));
    stage.ctl.options.to = "ipc:///nonexistent/request.sock";
    assert_int_equal(ctl_ps(&stage.ctl), CTL_UNREACHABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_and_exit_codes),
        TEST(what_is_no_answer),
        TEST(words_are_typed_by_what_the_node_says),
        TEST(bytes_are_shown_as_text_where_they_are),
        TEST(errors_as_json),
        TEST(ps_and_health),
        TEST(describe),
        TEST(config_print),
        TEST(completion),
        TEST(nobody_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
