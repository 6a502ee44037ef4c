/* JSON Schema, the manual, and what holds for every service. */
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/tree_json.h"
#include "everything.h"
#include "schema/doc.h"
#include "schema/json_schema.h"
#include "schema/manual.h"
#include "services.h"

static struct aisys_arena arena;

static int setup(void **state)
{
    (void)state;
    aisys_arena_init(&arena, NULL, 1 << 22);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_arena_deinit(&arena);
    return 0;
}

static void json_schema(void **state)
{
    static const struct {
        const char *path, *json;
    } rows[] = {
        { "$schema", "\"https://json-schema.org/draft/2020-12/schema\"" },
        { "description", "\"Everything at once.\\n  Indented.\"" },
        { "type", "\"object\"" },
        { "additionalProperties", "false" },
        { "properties.i32", "{\"type\":\"integer\"}" },
        { "properties.u64", "{\"type\":[\"integer\",\"string\"],\"minimum\":0}" },
        { "properties.k", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":10}" },
        { "properties.want",
            "{\"type\":\"string\",\"enum\":[\"INFO\",\"TEXT\",\"CODES\"],\"default\":\"TEXT\"}" },
        { "properties.text", "{\"type\":\"string\",\"default\":\"as it was\"}" },
        { "properties.data",
            "{\"type\":\"string\",\"contentEncoding\":\"base64\",\"maxLength\":24}" },
        { "properties.since", "{\"type\":\"string\",\"format\":\"date-time\"}" },
        { "properties.lower", "{\"type\":\"string\",\"pattern\":\"^([a-z][a-z0-9_]*)$\"}" },
        { "properties.password", "{\"type\":\"string\",\"writeOnly\":true}" },
        { "properties.tags", "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":4},"
                             "\"maxItems\":3,\"uniqueItems\":true}" },
        { "properties.part", "{\"$ref\":\"#/$defs/aisys.test.Everything.Part\"}" },
    };
    struct aisys_node *root = NULL, *part;
    char *text;

    (void)state;
    assert_int_equal(aisys_json_schema(&aisys__test__everything__descriptor, &arena, &root), 0);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *const node = aisys_tree_find(root, rows[i].path, false);

        assert_non_null(node);
        assert_int_equal(aisys_tree_json(&arena, node, 0, &text, NULL), 0);
        assert_string_equal(text, rows[i].json);
    }
    part = aisys_node_get(aisys_node_get(root, "$defs"), "aisys.test.Everything.Part");
    assert_int_equal(aisys_tree_json(&arena, part, 0, &text, NULL), 0);
    assert_non_null(strstr(text, "\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":8,"
                                 "\"description\":\"What it is called.\"}"));
    assert_non_null(strstr(text, "\"required\":[\"name\"]"));
    assert_non_null(
        aisys_node_get(aisys_node_get(root, "$defs"), "aisys.test.Everything.Part.Leaf"));
}

static void json_schema_choices(void **state)
{
    struct aisys_node *root = NULL;
    char *text;

    (void)state;
    assert_int_equal(aisys_json_schema(&aisys__test__choices__descriptor, &arena, &root), 0);
    assert_int_equal(aisys_tree_json(&arena, aisys_node_get(root, "allOf"), 0, &text, NULL), 0);
    assert_string_equal(text,
        "[{\"oneOf\":[{\"required\":[\"image\"]},{\"required\":[\"path\"]}]},"
        "{\"oneOf\":[{\"required\":[\"ids\"]},{\"required\":[\"filter\"]},"
        "{\"not\":{\"anyOf\":[{\"required\":[\"ids\"]},{\"required\":[\"filter\"]}]}}]}]");
}

static void json_schema_out_of_memory(void **state)
{
    (void)state;
    for (size_t limit = 0;; limit += 512) {
        struct aisys_node *root = NULL;
        struct aisys_arena small;
        int r;

        aisys_arena_init(&small, NULL, limit);
        r = aisys_json_schema(&aisys__test__everything__descriptor, &small, &root);
        aisys_arena_deinit(&small);
        if (r == 0)
            break;
        assert_int_equal(r, -ENOMEM);
    }
}

struct text {
    char bytes[65536];
    size_t n;
};

static int text_add(void *ctx, const char *bytes, size_t n)
{
    struct text *const text = ctx;

    if (text->n + n >= sizeof(text->bytes))
        return -ENOSPC;
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    text->bytes[text->n] = '\0';
    return 0;
}

static void manual(void **state)
{
    static const char *const parts[] = {
        "## Everyone\n\nDoes everything.\n\n",
        "### Echo\n\nSays it back.\n\nIn so many words.\n\nRequest (Everything):\n\n",
        "| `k` | an integer from 1 to 1000 | `10` |  |\n",
        "| `want` | one of INFO, TEXT, CODES | `\"TEXT\"` |  |\n",
        "| `parts` | a list of Part |  |  |\n",
        "| `password` | a string |  |  Secret: never shown. |\n",
        "### Part\n\nA part.\n\n",
        "| `name` (required) | a string of 1 to 8 bytes |  | What it is called. |\n",
        "Exactly one of `image`, `path`.\n",
        "At most one of `ids`, `filter`.\n",
        "Reply (Nothing):\n\nNo fields.\n",
    };
    struct text *const text = calloc(1, sizeof(*text));

    (void)state;
    assert_int_equal(
        aisys_manual_service(&aisys__test__everyone__descriptor, 2, &arena, text_add, text), 0);
    for (size_t i = 0; i < ROWS(parts); i++)
        if (strstr(text->bytes, parts[i]) == NULL)
            fail_msg("no %s in\n%s", parts[i], text->bytes);
    text->n = 0;
    assert_int_equal(
        aisys_manual_message(&aisys__test__choices__descriptor, 1, &arena, text_add, text), 0);
    assert_memory_equal(text->bytes, "# Choices\n\nTwo choices.\n\n", 25);
    free(text);
}

/* Follow every message field; a type that contained itself would let the wire nest without end, and
 * protobuf-c unpacks recursively. */
static void check_depth(const ProtobufCMessageDescriptor *d, unsigned depth)
{
    if (depth == 0)
        fail_msg("%s is nested too deep, or in itself", d->name);
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            check_depth(d->fields[i].descriptor, depth - 1);
}

/* Every field of what a service takes or gives is documented. */
static void check_comments(const ProtobufCMessageDescriptor *d)
{
    const struct aisys_schema_message *const doc = aisys_schema_message(d->name);

    assert_non_null(doc);
    for (unsigned i = 0; i < d->n_fields; i++) {
        if (*aisys_schema_field(doc, &d->fields[i])->comment == '\0')
            fail_msg("%s.%s has no comment", d->name, d->fields[i].name);
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            check_comments(d->fields[i].descriptor);
    }
}

static void every_service(void **state)
{
    (void)state;
    for (const ProtobufCServiceDescriptor *const *service = aisys_services; *service != NULL;
         service++) {
        for (unsigned i = 0; i < (*service)->n_methods; i++) {
            check_depth((*service)->methods[i].input, 8);
            check_depth((*service)->methods[i].output, 8);
            check_comments((*service)->methods[i].input);
            check_comments((*service)->methods[i].output);
        }
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
        cmocka_unit_test_setup_teardown(json_schema, setup, teardown),
        cmocka_unit_test_setup_teardown(json_schema_choices, setup, teardown),
        cmocka_unit_test(json_schema_out_of_memory),
        cmocka_unit_test_setup_teardown(manual, setup, teardown),
        cmocka_unit_test(every_service),
    };

    return cmocka_run_group_tests(tests, load, NULL);
}
