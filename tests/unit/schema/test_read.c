/* Trees into messages and back. */
#include "unit.h"

#include <errno.h>
#include <stdbool.h>

#include "core/tree_json.h"
#include "everything.h"
#include "port/jansson_port.h"
#include "port/yaml_port.h"
#include "schema/doc.h"
#include "schema/read.h"
#include "schema/write.h"

#define EVERYTHING (&aisys__test__everything__descriptor)
#define CHOICES    (&aisys__test__choices__descriptor)

static struct aisys_arena arena;
static struct aisys_diag diag;

static int setup(void **state)
{
    (void)state;
    aisys_arena_init(&arena, NULL, 64 << 20);
    aisys_diag_init(&diag);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_arena_deinit(&arena);
    return 0;
}

static int read_json(
    const ProtobufCMessageDescriptor *descriptor, const char *text, ProtobufCMessage **ret)
{
    struct aisys_node *root = NULL;

    assert_int_equal(aisys_json_parse(&arena, text, strlen(text), NULL, &diag, &root), 0);
    return aisys_schema_read(descriptor, root, &arena, &diag, ret);
}

static int read_yaml(
    const ProtobufCMessageDescriptor *descriptor, const char *text, ProtobufCMessage **ret)
{
    struct aisys_node *root = NULL;

    assert_int_equal(aisys_yaml_parse(&arena, "f", text, strlen(text), NULL, &diag, &root), 0);
    return aisys_schema_read(descriptor, root, &arena, &diag, ret);
}

static const char *written(const ProtobufCMessage *message, unsigned flags)
{
    struct aisys_node *node = NULL;
    char *text = NULL;

    assert_int_equal(aisys_schema_write(message, flags, &arena, &node), 0);
    assert_int_equal(aisys_tree_json(&arena, node, 0, &text, NULL), 0);
    return text;
}

/* The lists that an Everything always shows, by their place among the fields. */
#define NUMBERS "\"numbers\":[],\"tags\":[],\"wants\":[],\"parts\":[]"
#define REST    "\"blobs\":[],\"flags\":[],\"weights\":[]"

static void accepted(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "{}", "{" NUMBERS "," REST "}" },
        { "{\"i32\":null,\"numbers\":null,\"part\":null}", "{" NUMBERS "," REST "}" },
        { "{\"i32\":-2147483648,\"s32\":2147483647,\"sf32\":-1}",
            "{\"i32\":-2147483648,\"s32\":2147483647,\"sf32\":-1," NUMBERS "," REST "}" },
        { "{\"i64\":-5,\"s64\":\"-9223372036854775808\",\"sf64\":\"9223372036854775807\"}",
            "{\"i64\":\"-5\",\"s64\":\"-9223372036854775808\",\"sf64\":"
            "\"9223372036854775807\"," NUMBERS "," REST "}" },
        { "{\"u32\":4294967295,\"f32\":0,\"u64\":\"18446744073709551615\",\"f64\":7}",
            "{\"u32\":4294967295,\"f32\":0,\"u64\":\"18446744073709551615\",\"f64\":\"7\"," NUMBERS
            "," REST "}" },
        { "{\"i32\":1e3,\"u32\":2.0}", "{\"i32\":1000,\"u32\":2," NUMBERS "," REST "}" },
        { "{\"real\":0.1,\"wide\":0.1,\"flag\":false}",
            "{\"real\":0.1,\"wide\":0.1,\"flag\":false," NUMBERS "," REST "}" },
        { "{\"want\":\"CODES\",\"text\":\"gr\\u00fcn\",\"data\":\"Zm9v\"}",
            "{\"want\":\"CODES\",\"text\":\"gr\xc3\xbcn\",\"data\":\"Zm9v\"," NUMBERS "," REST
            "}" },
        { "{\"want\":2}", "{\"want\":\"CODES\"," NUMBERS "," REST "}" },
        { "{\"want\":\"codes\"}", "{\"want\":\"CODES\"," NUMBERS "," REST "}" },
        { "{\"text\":\"\",\"data\":\"\"}", "{\"text\":\"\",\"data\":\"\"," NUMBERS "," REST "}" },
        { "{\"part\":{\"name\":\"x\",\"leaves\":[{\"green\":true},{}]}}",
            "{\"part\":{\"name\":\"x\",\"leaves\":[{\"green\":true},{}]}," NUMBERS "," REST "}" },
        { "{\"numbers\":[1,2],\"tags\":[\"a\"],\"wants\":[\"TEXT\",0],\"parts\":[{\"name\":\"a\"},"
          "{\"name\":\"b\"}]}",
            "{\"numbers\":[1,2],\"tags\":[\"a\"],\"wants\":[\"TEXT\",\"INFO\"],\"parts\":[{"
            "\"name\":"
            "\"a\",\"leaves\":[]},{\"name\":\"b\",\"leaves\":[]}]," REST "}" },
        { "{\"since\":\"2026-01-31T12:00:00Z\",\"until\":\"2026-01-31T14:00:00+01:00\"}",
            "{" NUMBERS
            ",\"since\":\"2026-01-31T12:00:00Z\",\"until\":\"2026-01-31T13:00:00Z\"," REST "}" },
        { "{\"left\":\"l\"}", "{" NUMBERS ",\"left\":\"l\"," REST "}" },
        { "{\"right\":0}", "{" NUMBERS ",\"right\":0," REST "}" },
        { "{\"blobs\":[\"Zg==\",\"\"],\"flags\":[true,false],\"weights\":[1,2.5]}",
            "{" NUMBERS ",\"blobs\":[\"Zg==\",\"\"],\"flags\":[true,false],\"weights\":[1,2.5]}" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        ProtobufCMessage *message = NULL;
        uint8_t packed[1024];
        size_t n;

        aisys_diag_init(&diag);
        if (read_json(EVERYTHING, rows[i].in, &message) != 0)
            fail_msg("%s: %s: %s", rows[i].in, diag.entries[0].path, diag.entries[0].problem);
        assert_string_equal(written(message, 0), rows[i].out);
        /* protobuf-c takes it for a message of its own */
        assert_true(protobuf_c_message_check(message));
        n = protobuf_c_message_pack(message, packed);
        message = protobuf_c_message_unpack(EVERYTHING, NULL, n, packed);
        assert_non_null(message);
        assert_string_equal(written(message, 0), rows[i].out);
        protobuf_c_message_free_unpacked(message, NULL);
    }
}

struct refusal {
    const char *in, *path, *problem, *expected; /* problem and expected: a part of it */
};

static void expect_refusal(int r, const struct refusal *row)
{
    assert_int_equal(r, AISYS_TREE_INVALID);
    if (aisys_diag_errors(&diag) != 1)
        fail_msg("%s: %u errors", row->in, aisys_diag_errors(&diag));
    assert_string_equal(diag.entries[0].path, row->path);
    if (strstr(diag.entries[0].problem, row->problem) == NULL)
        fail_msg("%s: %s", row->in, diag.entries[0].problem);
    if (strstr(diag.entries[0].expected, row->expected) == NULL)
        fail_msg("%s: %s", row->in, diag.entries[0].expected);
}

static void refused(void **state)
{
    static const struct refusal rows[] = {
        { "[]", "", "is a list", "a map" },
        { "5", "", "is an integer", "a map" },
        { "{\"txet\":\"x\"}", "txet", "unknown field, did you mean \"text\"?", "one of i32, s32" },
        { "{\"zebra\":1}", "zebra", "unknown field", "one of" },
        { "{\"part\":{\"nmae\":\"x\",\"name\":\"y\"}}", "part.nmae", "did you mean \"name\"?",
            "one of name, weight, leaves" },
        { "{\"i32\":\"abc\"}", "i32", "is the string \"abc\"", "an integer" },
        { "{\"i32\":1.5}", "i32", "is 1.5", "an integer" },
        { "{\"i32\":2147483648}", "i32", "is 2147483648, too large", "an integer" },
        { "{\"i32\":true}", "i32", "is true", "an integer" },
        { "{\"i32\":[1]}", "i32", "is a list", "an integer" },
        { "{\"i32\":\"\"}", "i32", "is the string \"\"", "an integer" },
        { "{\"i32\":\" 1\"}", "i32", "is the string", "an integer" },
        { "{\"i64\":\"9223372036854775808\"}", "i64", "too large", "an integer" },
        { "{\"u32\":-1}", "u32", "is -1", "from 0 to 4294967295" },
        { "{\"u64\":\"-1\"}", "u64", "\"-1\"", "an integer, 0 or more" },
        { "{\"u64\":\"18446744073709551616\"}", "u64", "\"18446744073709551616\"", "an integer" },
        { "{\"real\":1e39}", "real", "too large", "a number" },
        { "{\"wide\":\"nan\"}", "wide", "\"nan\"", "a number" },
        { "{\"flag\":\"true\"}", "flag", "is the string \"true\"", "true or false" },
        { "{\"flag\":1}", "flag", "is 1", "true or false" },
        { "{\"want\":\"TXET\"}", "want", "did you mean TEXT?", "one of INFO, TEXT, CODES" },
        { "{\"want\":9}", "want", "is 9", "one of INFO" },
        { "{\"text\":5}", "text", "is 5", "a string" },
        { "{\"text\":{}}", "text", "is a map", "a string" },
        { "{\"data\":\"***\"}", "data", "not base64", "base64 of at most 16 bytes" },
        { "{\"data\":\"AAAAAAAAAAAAAAAAAAAAAAA=\"}", "data", "has 17 bytes", "at most 16 bytes" },
        { "{\"data\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", "data", "has 36 bytes",
            "at most 16 bytes" },
        { "{\"part\":\"x\"}", "part", "is the string \"x\"", "a map of fields" },
        { "{\"part\":{}}", "part.name", "is missing", "a string of 1 to 8 bytes" },
        { "{\"part\":{\"name\":\"\"}}", "part.name", "is empty", "a string of 1 to 8 bytes" },
        { "{\"part\":{\"name\":\"123456789\"}}", "part.name", "has 9 bytes", "1 to 8 bytes" },
        { "{\"part\":{\"name\":5}}", "part.name", "is 5", "a string" },
        { "{\"part\":{\"name\":\"x\",\"weight\":101}}", "part.weight", "is 101",
            "an integer from 0 to 100 (kg)" },
        { "{\"numbers\":5}", "numbers", "is 5", "a list of at most 4 different, each an integer" },
        { "{\"numbers\":[1,2,3,4,5]}", "numbers", "has 5 elements", "at most 4" },
        { "{\"numbers\":[1,0]}", "numbers[1]", "is 0", "1 or more" },
        { "{\"numbers\":[1,\"x\",0]}", "numbers[1]", "is the string", "an integer" },
        { "{\"numbers\":[1,null]}", "numbers[1]", "is null", "an integer" },
        { "{\"numbers\":[3,3]}", "numbers[1]", "same as element 0", "differ" },
        { "{\"tags\":[\"abcde\"]}", "tags[0]", "has 5 bytes", "at most 4" },
        { "{\"tags\":[\"a\",\"b\",\"a\"]}", "tags[2]", "same as element 0", "differ" },
        { "{\"parts\":[{\"name\":\"x\"}]}", "parts", "has 1 element", "at least 2" },
        { "{\"parts\":[{\"name\":\"x\"},{\"leaves\":[{\"green\":1}],\"name\":\"y\"}]}",
            "parts[1].leaves[0].green", "is 1", "true or false" },
        { "{\"since\":5}", "since", "is 5", "a time such as" },
        { "{\"since\":\"yesterday\"}", "since", "\"yesterday\"", "a time such as" },
        { "{\"since\":\"2026-01-02T00:00:00Z\",\"until\":\"2026-01-01T00:00:00Z\"}", "until",
            "is before since", "until after since" },
        { "{\"since\":\"2026-01-02T00:00:00Z\",\"until\":\"2026-01-02T00:00:00Z\"}", "until",
            "is the same as since", "until after since" },
        { "{\"k\":0}", "k", "is 0", "an integer from 1 to 1000" },
        { "{\"k\":\"1001\"}", "k", "is 1001", "an integer from 1 to 1000" },
        { "{\"small\":8}", "small", "is 8", "an integer from 0 to 7" },
        { "{\"lower\":\"Abc\"}", "lower", "is \"Abc\"", "lower case letters, digits and _" },
        { "{\"lower\":\"ab\\n\"}", "lower", "is \"ab?\"", "lower case letters" },
        { "{\"left\":\"a\",\"right\":1}", "right", "excludes left", "one of them" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        ProtobufCMessage *message = NULL;

        aisys_diag_init(&diag);
        expect_refusal(read_json(EVERYTHING, rows[i].in, &message), &rows[i]);
        assert_null(message);
    }
}

static void choices(void **state)
{
    static const struct refusal rows[] = {
        { "{}", "", "has none of image or path", "exactly one of image or path" },
        { "{\"image\":\"a\",\"path\":\"b\"}", "", "has both image and path", "exactly one of" },
        { "{\"image\":\"a\",\"ids\":[\"1\"],\"filter\":\"f\"}", "", "has both ids and filter",
            "at most one of ids or filter" },
    };
    static const char *const good[] = { "{\"image\":\"a\"}", "{\"path\":\"\",\"ids\":[\"1\"]}",
        "{\"path\":\"b\",\"filter\":\"f\",\"ids\":[]}" };
    ProtobufCMessage *message = NULL;

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        aisys_diag_init(&diag);
        expect_refusal(read_json(CHOICES, rows[i].in, &message), &rows[i]);
    }
    aisys_diag_init(&diag);
    for (size_t i = 0; i < ROWS(good); i++)
        assert_int_equal(read_json(CHOICES, good[i], &message), 0);

    /* A part that could not be read is not reported as missing, too. */
    aisys_diag_init(&diag);
    assert_int_equal(read_json(CHOICES, "{\"image\":5}", &message), AISYS_TREE_INVALID);
    assert_int_equal(aisys_diag_errors(&diag), 1);
}

static void all_errors_at_once(void **state)
{
    static const char *const lines[] = {
        "f:1:1: txet: unknown field, did you mean \"text\"?; expected one of i32, s32, ",
        "f:5:3: numbers[1]: is \"x\"; expected an integer, 1 or more",
        "f:7:3: part.name: is missing; expected a string of 1 to 8 bytes",
        "f:7:13: part.weight: is 200; expected an integer from 0 to 100 (kg)",
        "f:3:4: k: is 0; expected an integer from 1 to 1000",
    };
    ProtobufCMessage *message = NULL;

    (void)state;
    assert_int_equal(read_yaml(EVERYTHING,
                         "txet:\n"
                         "  5\n"
                         "k: 0\n"
                         "numbers: [3,\n"
                         "  x]\n"
                         "part:\n"
                         "  weight:   200\n",
                         &message),
        AISYS_TREE_INVALID);
    assert_int_equal(diag.kept, ROWS(lines));
    for (unsigned i = 0; i < ROWS(lines); i++) {
        char line[1024];

        aisys_diag_line(&diag, i, line, sizeof(line));
        line[strlen(lines[i])] = '\0';
        assert_string_equal(line, lines[i]);
    }
}

static void yaml_is_more_generous(void **state)
{
    ProtobufCMessage *message = NULL;
    const Aisys__Test__Everything *m;

    (void)state;
    assert_int_equal(
        read_yaml(EVERYTHING,
            "text: 5555\ntags: [on, 08, 1.0, null]\nwant: text\ni64: 7\nlower: true\n", &message),
        AISYS_TREE_INVALID); /* null is null; four are one too many as well, but not said then */
    assert_int_equal(aisys_diag_errors(&diag), 1);
    aisys_diag_init(&diag);
    assert_int_equal(
        read_yaml(EVERYTHING,
            "text: 5555\ntags: [on, 08, 1.0]\nwant: text\ni64: 7\nlower: true\nu32: 0x10\n",
            &message),
        0);
    m = (const Aisys__Test__Everything *)message;
    assert_string_equal(m->text, "5555");
    assert_string_equal(m->tags[0], "on");
    assert_string_equal(m->tags[1], "08");
    assert_string_equal(m->tags[2], "1.0");
    assert_string_equal(m->lower, "true");
    assert_int_equal(m->want, AISYS__TEST__EVERYTHING__WANT__TEXT);
    assert_int_equal(m->u32, 16);
}

static struct aisys_node *text_node(const char *text)
{
    struct aisys_node *const node = aisys_node_string(&arena, text);

    node->style = AISYS_STYLE_TEXT;
    return node;
}

static void text_becomes_what_the_field_is(void **state)
{
    static const struct {
        const char *key, *text;
        bool good;
    } rows[] = {
        { "i32", "-5", true },
        { "i32", "5x", false },
        { "i32", "", false },
        { "flag", "TRUE", true },
        { "flag", "off", true },
        { "flag", "1", true },
        { "flag", "maybe", false },
        { "real", "0.5", true },
        { "real", "half", false },
        { "want", "codes", true },
        { "want", "1", true },
        { "text", "", true },
        { "text", "a,b", true },
        { "text", "\xff", false },
        { "numbers", "1, 2,3", true },
        { "numbers", "1,x", false },
        { "numbers", "", true },
        { "tags", "a,b", true },
        { "wants", "text,codes", true },
        { "part", "x", false },
        { "parts", "x", false },
        { "since", "2026-01-01T00:00:00Z", true },
        { "data", "Zm9v", true },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *const root = aisys_node_map(&arena);
        ProtobufCMessage *message = NULL;

        aisys_diag_init(&diag);
        aisys_node_set(root, rows[i].key, text_node(rows[i].text));
        if (aisys_schema_read(EVERYTHING, root, &arena, &diag, &message) !=
            (rows[i].good ? 0 : AISYS_TREE_INVALID))
            fail_msg("%s=%s: %s", rows[i].key, rows[i].text, diag.entries[0].problem);
        if (rows[i].good && strcmp(rows[i].key, "numbers") == 0 && rows[i].text[0] != '\0')
            assert_non_null(strstr(written(message, 0), "\"numbers\":[1,2,3]"));
    }
}

static void defaults_and_flags(void **state)
{
    ProtobufCMessage *message = NULL;
    const char *text;

    (void)state;
    assert_int_equal(read_json(EVERYTHING,
                         "{\"password\":\"hunter2\",\"i64\":\"5\",\"text\":\"new\"}", &message),
        0);
    text = written(message, 0);
    assert_non_null(strstr(text, "hunter2"));
    assert_null(strstr(text, "\"k\""));
    text = written(message, AISYS_WRITE_MASK | AISYS_WRITE_DEFAULTS | AISYS_WRITE_NUMBERS);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "\"password\":\"********\""));
    assert_non_null(strstr(text, "\"k\":10"));
    assert_non_null(strstr(text, "\"i64\":5,"));
    assert_non_null(strstr(text, "\"want\":\"TEXT\""));
    assert_non_null(strstr(text, "\"text\":\"new\""));
    assert_int_equal(aisys_schema_read(EVERYTHING, NULL, &arena, &diag, &message), 0);
    text = written(message, AISYS_WRITE_DEFAULTS);
    assert_non_null(strstr(text, "\"text\":\"as it was\""));
}

static void exhausted_memory(void **state)
{
    static const char text[] = "{\"part\":{\"name\":\"x\"},\"numbers\":[1,2],\"data\":\"Zm9v\"}";
    struct aisys_node *root = NULL;

    (void)state;
    assert_int_equal(aisys_json_parse(&arena, text, strlen(text), NULL, &diag, &root), 0);
    for (size_t limit = 0;; limit += 64) {
        struct aisys_arena small;
        ProtobufCMessage *message = NULL;
        int r;

        aisys_arena_init(&small, NULL, limit);
        r = aisys_schema_read(EVERYTHING, root, &small, &diag, &message);
        aisys_arena_deinit(&small);
        if (r == 0)
            break;
        assert_int_equal(r, -ENOMEM);
    }
}

static int load(void **state)
{
    (void)state;
    return aisys_schema_add(everything_set, everything_set_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(choices, setup, teardown),
        cmocka_unit_test_setup_teardown(all_errors_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(yaml_is_more_generous, setup, teardown),
        cmocka_unit_test_setup_teardown(text_becomes_what_the_field_is, setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_and_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(exhausted_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, load, NULL);
}
