/* The parts of the Redis port that need no loop: answers within limits, commands on the wire, the wheel
 * of deadlines, the configuration's check. */
#include <errno.h>
#include <stdlib.h>

#include "port/redis_deadline.h"
#include "port/redis_reply.h"
#include "port/redis_wire.h"
#include "unit.h"

static size_t live_pieces;

static void *counted_resize(void *ctx, void *old, size_t bytes)
{
    (void)ctx;
    if (bytes == 0) {
        live_pieces -= old != NULL;
        free(old);
        return NULL;
    }
    live_pieces += old == NULL;
    return realloc(old, bytes);
}

static const struct aisys_redis_memory memory = { counted_resize, NULL };
static const struct redis_limits limits = {
    .string_bytes_max = 100000,
    .answer_bytes_max = 1000000,
    .array_max = 1000,
    .depth_max = 4,
};

/* Writes @value as text: [1, "a", +OK, -ERR, nil]. */
static void show(const struct aisys_redis_value *value, char *to, size_t bytes)
{
    const size_t used = strlen(to);

    switch (value->type) {
    case AISYS_REDIS_NIL:
        snprintf(to + used, bytes - used, "nil");
        break;
    case AISYS_REDIS_INTEGER:
        snprintf(to + used, bytes - used, "%lld", (long long)value->integer);
        break;
    case AISYS_REDIS_STRING:
    case AISYS_REDIS_STATUS:
    case AISYS_REDIS_ERROR:
        assert_int_equal(value->text[value->text_bytes], '\0');
        if (value->text_bytes > 100)
            snprintf(to + used, bytes - used, "%zu bytes", value->text_bytes);
        else
            snprintf(to + used, bytes - used, "%c%s", "  \"+-"[value->type], value -> text);
        break;
    case AISYS_REDIS_ARRAY:
        snprintf(to + used, bytes - used, "[");
        for (size_t i = 0; i < value->element_nr; i++) {
            if (i > 0)
                snprintf(to + strlen(to), bytes - strlen(to), " ");
            show(&value->elements[i], to, bytes);
        }
        snprintf(to + strlen(to), bytes - strlen(to), "]");
        break;
    }
}

/* Feeds @input in pieces of @piece bytes and writes every answer, a refusal as !problem, what ends
 * the stream as #problem, one behind the other. */
static void parse(const char *input, size_t input_bytes, size_t piece, char *ret, size_t ret_bytes)
{
    struct redis_parser parser;
    size_t taken;
    int r = 0;

    ret[0] = '\0';
    aisys_redis_parser_init(&parser, &memory, &limits);
    assert_int_equal(aisys_redis_parser_start(&parser), 0);
    while (input_bytes > 0 && r >= 0) {
        assert_int_equal(aisys_redis_parser_feed(
                             &parser, input, piece < input_bytes ? piece : input_bytes, &taken),
            0);
        assert_true(taken > 0);
        input += taken;
        input_bytes -= taken;
        for (;;) {
            if (aisys_redis_parser_wants_arena(&parser))
                aisys_redis_parser_begin(&parser, &parser.scratch);
            r = aisys_redis_parser_next(&parser);
            if (r <= 0)
                break;
            if (ret[0])
                snprintf(ret + strlen(ret), ret_bytes - strlen(ret), " ");
            if (parser.refusal == REDIS_TAKEN)
                show(&parser.root, ret, ret_bytes);
            else
                snprintf(ret + strlen(ret), ret_bytes - strlen(ret), "!%s", parser.problem);
        }
    }
    if (r < 0)
        snprintf(ret + strlen(ret), ret_bytes - strlen(ret), "#%s", parser.problem);
    aisys_redis_parser_deinit(&parser);
}

struct reply_row {
    const char *input;
    const char *shown;
};

static const struct reply_row replies[] = {
    { "+OK\r\n", "+OK" },
    { ":42\r\n:-7\r\n:9223372036854775807\r\n", "42 -7 9223372036854775807" },
    { "$-1\r\n*-1\r\n", "nil nil" },
    { "$0\r\n\r\n$3\r\nabc\r\n", "\" \"abc" },
    { "-ERR no\r\n+next\r\n", "-ERR no +next" },
    { "*0\r\n", "[]" },
    { "*3\r\n:1\r\n$1\r\na\r\n*2\r\n$-1\r\n+OK\r\n:5\r\n", "[1 \"a [nil +OK]] 5" },
    { "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "[[[[1]]]]" },
    { "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n:2\r\n",
        "!arrays are nested deeper than the limit of 4 2" },
    { "*1001\r\n", "" }, /* its elements are swallowed as they come */
    { "HTTP/1.1 400 Bad Request\r\n", "#Protocol error, got \"H\" as reply type byte" },
    { "$abc\r\n", "#" },
    { "$99999999999999999999999999999999999999999\r\n", "#" },
    { "$5000000000\r\nabc", "#a string longer than any that Redis sends" },
    { "*5000000000\r\n", "#" },
    { "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "#" },
    { ":123456789012345678901234567890123456789012345678901234567890", "#" },
};

static void answers_arrive_whole_however_they_are_cut(void **state)
{
    char shown[512];

    (void)state;
    for (size_t i = 0; i < ROWS(replies); i++)
        for (size_t piece = 1; piece <= strlen(replies[i].input); piece++) {
            parse(replies[i].input, strlen(replies[i].input), piece, shown, sizeof(shown));
            if (!strcmp(replies[i].shown, "#"))
                assert_int_equal(shown[0], '#');
            else
                assert_string_equal(shown, replies[i].shown);
        }
    assert_int_equal(live_pieces, 0);
}

static void a_string_over_the_limit_costs_only_its_own_answer(void **state)
{
    const size_t lengths[] = { 99999, 100000, 100001, 3000000 };
    const size_t pieces[] = { 1, 7, 1000, 65536, SIZE_MAX };
    char *input = malloc(3000100);
    char shown[512];
    char expected[512];

    (void)state;
    for (size_t i = 0; i < ROWS(lengths); i++) {
        int used = sprintf(input, ":1\r\n*2\r\n$%zu\r\n", lengths[i]);

        memset(input + used, 'x', lengths[i]);
        used += (int)lengths[i];
        used += sprintf(input + used, "\r\n:2\r\n:3\r\n");
        if (lengths[i] > limits.string_bytes_max)
            snprintf(expected, sizeof(expected),
                "1 !a string of %zu bytes is over the limit of 100000 3", lengths[i]);
        else
            snprintf(expected, sizeof(expected), "1 [%zu bytes 2] 3", lengths[i]);
        for (size_t p = 0; p < ROWS(pieces); p++) {
            parse(input, (size_t)used, pieces[p], shown, sizeof(shown));
            assert_string_equal(shown, expected);
        }
    }
    free(input);
    assert_int_equal(live_pieces, 0);
}

static void an_array_or_answer_over_the_limit_costs_only_itself(void **state)
{
    char *input = malloc(3000000);
    int used = sprintf(input, "*1001\r\n");
    char shown[512];

    (void)state;
    for (int i = 0; i < 1001; i++)
        used += sprintf(input + used, "$2\r\nab\r\n");
    used += sprintf(input + used, ":7\r\n*20\r\n");
    for (int i = 0; i < 20; i++) {
        used += sprintf(input + used, "$90000\r\n");
        memset(input + used, 'y', 90000);
        used += 90000;
        used += sprintf(input + used, "\r\n");
    }
    used += sprintf(input + used, ":8\r\n");
    parse(input, (size_t)used, 5000, shown, sizeof(shown));
    assert_string_equal(shown, "!an array of 1001 elements is over the limit of 1000 7 "
                               "!the answer needs more than the limit of 1000000 bytes 8");
    free(input);
    assert_int_equal(live_pieces, 0);
}

/* Whatever comes in and however it is cut: no crash, nothing left, and the same answers. */
static void random_streams_mean_the_same_however_they_are_cut(void **state)
{
    static const char *const tokens[] = { "+OK\r\n", ":1\r\n", "$-1\r\n", "$3\r\nabc\r\n", "*2\r\n",
        "*1\r\n", "*0\r\n", "-ERR x\r\n", "*-1\r\n", "$0\r\n\r\n", "$200000\r\n", "*5000\r\n",
        "\r\n", "$", "*", "1", "\r", "\n", "-", "x" };
    unsigned random = 7;
    char input[256];
    char whole[4096];
    char cut[4096];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t bytes = 0;
        size_t same;

        while (bytes < 100) {
            random = random * 1103515245u + 12345u;
            bytes += (size_t)sprintf(
                input + bytes, "%s", tokens[(random >> 16) % (i % 2 ? 12 : ROWS(tokens))]);
        }
        parse(input, bytes, bytes, whole, sizeof(whole));
        parse(input, bytes, 1 + (random >> 8) % 7, cut, sizeof(cut));
        same = strcspn(whole, "#"); /* how broken bytes are called may differ */
        assert_int_equal(strcspn(cut, "#"), same);
        assert_memory_equal(cut, whole, same);
    }
    assert_int_equal(live_pieces, 0);
}

static void an_announced_array_is_not_allocated(void **state)
{
    char shown[512];

    (void)state;
    live_pieces = 0;
    parse("*2147483647\r\n:1\r\n", 17, 17, shown, sizeof(shown));
    assert_string_equal(shown, "");
    assert_int_equal(live_pieces, 0);
}

/* --- commands --- */

static void commands_are_written_as_resp(void **state)
{
    const struct aisys_redis_arg args[] = { aisys_redis_word("SET"), aisys_redis_bytes("k\0y", 3),
        { NULL, 0 } };
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$3\r\nk\0y\r\n$0\r\n\r\n";
    struct redis_out out;

    (void)state;
    aisys_redis_out_init(&out, &memory);
    for (int i = 0; i < 1000; i++) { /* grows, and moves what is left to the front */
        assert_int_equal(aisys_redis_out_reserve(&out, aisys_redis_wire_bytes(args, 3)), 0);
        aisys_redis_wire_append(&out, args, 3);
        if (i % 3 == 0)
            aisys_redis_out_consume(&out, sizeof(expected) - 1);
    }
    while (aisys_redis_out_bytes(&out) > 0) {
        assert_memory_equal(out.data + out.start, expected, sizeof(expected) - 1);
        aisys_redis_out_consume(&out, sizeof(expected) - 1);
    }
    aisys_redis_out_deinit(&out);
    assert_int_equal(live_pieces, 0);
    assert_int_equal(
        aisys_redis_wire_bytes(&(struct aisys_redis_arg){ "", SIZE_MAX / 2 }, 1), SIZE_MAX);
}

struct forbidden_row {
    const char *words[6];
    bool forbidden;
};

static const struct forbidden_row forbidden[] = {
    { { "GET", "SELECT" }, false },
    { { "SELECT", "1" }, true },
    { { "select", "1" }, true },
    { { "Subscribe", "c" }, true },
    { { "PUBLISH", "c", "m" }, false },
    { { "BLPOP", "k", "0" }, true },
    { { "LPOP", "k" }, false },
    { { "MULTI" }, true },
    { { "XREAD", "COUNT", "1", "STREAMS", "BLOCK", "0" }, false },
    { { "XREAD", "BLOCK", "0", "STREAMS", "k", "0" }, true },
    { { "CLIENT", "REPLY", "OFF" }, true },
    { { "CLIENT", "ID" }, false },
    { { "HSETNX", "a", "b", "c" }, false },
};

static void commands_that_change_the_connection_are_forbidden(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(forbidden); i++) {
        struct aisys_redis_arg args[6];
        size_t nr = 0;

        while (nr < 6 && forbidden[i].words[nr]) {
            args[nr] = aisys_redis_word(forbidden[i].words[nr]);
            nr++;
        }
        assert_int_equal(aisys_redis_wire_forbidden(args, nr), forbidden[i].forbidden);
    }
}

/* --- deadlines --- */

static void deadlines_come_when_due_and_not_before(void **state)
{
    enum { NR = 2000 };
    static struct redis_deadline deadlines[NR];
    static struct redis_wheel wheel;
    uint64_t now_ms = 1000000;
    unsigned random = 1;
    unsigned left = 0;

    (void)state;
    memset(deadlines, 0, sizeof(deadlines));
    aisys_redis_wheel_init(&wheel, now_ms);
    for (unsigned i = 0; i < NR; i++) {
        random = random * 1103515245u + 12345u;
        aisys_redis_wheel_add(&wheel, &deadlines[i], now_ms + 1 + (random >> 8) % 3000);
        left++;
    }
    for (unsigned i = 0; i < NR; i += 3) {
        aisys_redis_wheel_remove(&deadlines[i]);
        aisys_redis_wheel_remove(&deadlines[i]); /* again does no harm */
        left--;
    }
    while (left > 0) {
        const uint64_t next_ms = aisys_redis_wheel_next_ms(&wheel);
        struct redis_deadline *due;

        assert_true(next_ms > now_ms);
        for (unsigned i = 0; i < NR; i++)
            if (deadlines[i].next)
                assert_true(deadlines[i].due_ms >= next_ms || deadlines[i].due_ms > now_ms);
        now_ms = next_ms + (left % 7 == 0 ? 700 : 0); /* late at times */
        aisys_redis_wheel_collect(&wheel, now_ms);
        while ((due = aisys_redis_wheel_take(&wheel))) {
            assert_true(due->due_ms <= now_ms);
            left--;
        }
        for (unsigned i = 0; i < NR; i++)
            if (deadlines[i].next)
                assert_true(deadlines[i].due_ms > now_ms);
    }
    assert_int_equal(aisys_redis_wheel_next_ms(&wheel), 0);
}

static void a_deadline_in_the_past_is_due_at_the_next_look(void **state)
{
    static struct redis_wheel wheel;
    struct redis_deadline deadline = { 0 };

    (void)state;
    aisys_redis_wheel_init(&wheel, 500);
    aisys_redis_wheel_add(&wheel, &deadline, 20);
    assert_int_equal(aisys_redis_wheel_next_ms(&wheel), 501);
    aisys_redis_wheel_collect(&wheel, 501);
    assert_ptr_equal(aisys_redis_wheel_take(&wheel), &deadline);
    assert_null(aisys_redis_wheel_take(&wheel));
}

/* --- configuration --- */

struct config_row {
    struct aisys_redis_config config;
    const char *problem; /* part of it; NULL: none */
};

static const struct config_row configs[] = {
    { { .host = "localhost" }, NULL },
    { { .unix_path = "/run/redis.sock" }, NULL },
    { { 0 }, "neither host nor unix_path" },
    { { .host = "", .unix_path = "" }, "neither host nor unix_path" },
    { { .host = "h", .username = "u" }, "password is not" },
    { { .host = "h", .username = "u", .password = "p" }, NULL },
    { { .host = "h", .database = 65536 }, "database 65536: at most 65535" },
    { { .host = "h", .depth_max = 8 }, "depth_max 8: at most 7" },
    { { .host = "h", .deadline_ms = 600001 }, "deadline_ms 600001: at most 600000" },
    { { .host = "h", .client_name = "a b" }, "client_name" },
    { { .host = "h", .backoff_min_ms = 20000 }, "backoff_min_ms is more" },
};

static void a_bad_configuration_is_told_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(configs); i++) {
        const char *problem = aisys_redis_config_problem(&configs[i].config);

        if (configs[i].problem) {
            assert_non_null(problem);
            assert_non_null(strstr(problem, configs[i].problem));
        } else {
            assert_null(problem);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_arrive_whole_however_they_are_cut),
        cmocka_unit_test(a_string_over_the_limit_costs_only_its_own_answer),
        cmocka_unit_test(an_array_or_answer_over_the_limit_costs_only_itself),
        cmocka_unit_test(random_streams_mean_the_same_however_they_are_cut),
        cmocka_unit_test(an_announced_array_is_not_allocated),
        cmocka_unit_test(commands_are_written_as_resp),
        cmocka_unit_test(commands_that_change_the_connection_are_forbidden),
        cmocka_unit_test(deadlines_come_when_due_and_not_before),
        cmocka_unit_test(a_deadline_in_the_past_is_due_at_the_next_look),
        cmocka_unit_test(a_bad_configuration_is_told_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
