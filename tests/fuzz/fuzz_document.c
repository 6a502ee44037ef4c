/* Fuzz target of everything that reads a document: the first byte says whether the rest is JSON,
 * YAML or a packed message. Whatever comes in is either refused with a finding, or becomes a
 * message that, written and read again, is the same one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tree_json.h"
#include "core/tree_yaml.h"
#include "everything.h"
#include "port/jansson_port.h"
#include "port/yaml_port.h"
#include "schema/check.h"
#include "schema/doc.h"
#include "schema/read.h"
#include "schema/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define FUZZ_BYTES_MAX (1u << 22)

static void fuzz_expect(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

struct fuzz_text {
    char bytes[1u << 20];
    size_t n;
};

static int fuzz_text_add(void *ctx, const char *bytes, size_t n)
{
    struct fuzz_text *const text = ctx;

    if (n > sizeof(text->bytes) - text->n)
        return -1;
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    return 0;
}

static int fuzz_parse(uint8_t kind, const char *text, size_t bytes, struct aisys_arena *arena,
    struct aisys_diag *diag, struct aisys_node **ret_root)
{
    if (kind % 3 == 0)
        return aisys_json_parse(arena, text, bytes, NULL, diag, ret_root);
    return aisys_yaml_parse(arena, "fuzz", text, bytes, NULL, diag, ret_root);
}

/* Any tree survives being written as YAML. */
static void fuzz_yaml_round_trip(const struct aisys_node *root, struct aisys_arena *arena)
{
    static struct fuzz_text text;
    static struct aisys_diag diag;
    struct aisys_node *again = NULL;

    text.n = 0;
    if (aisys_tree_yaml_write(root, NULL, NULL, fuzz_text_add, &text) != 0)
        return;
    aisys_diag_init(&diag);
    if (aisys_yaml_parse(arena, NULL, text.bytes, text.n, NULL, &diag, &again) == 0)
        fuzz_expect(aisys_tree_count(root) == aisys_tree_count(again), "another tree from YAML");
}

static void fuzz_message_round_trip(const ProtobufCMessage *message, struct aisys_arena *arena)
{
    static struct aisys_diag diag;
    struct aisys_node *root = NULL, *again = NULL;
    ProtobufCMessage *copy = NULL;
    char *text = NULL;
    size_t bytes = 0;
    int r;

    if (aisys_schema_write(message, 0, arena, &root) < 0 ||
        aisys_tree_json(arena, root, 0, &text, &bytes) < 0)
        return;
    aisys_diag_init(&diag);
    r = aisys_json_parse(arena, text, bytes, NULL, &diag, &again);
    if (r == 0)
        r = aisys_schema_read(message->descriptor, again, arena, &diag, &copy);
    fuzz_expect(r != AISYS_TREE_INVALID, "what was written cannot be read");
    if (r < 0 || aisys_schema_write(copy, 0, arena, &again) < 0)
        return;
    fuzz_expect(aisys_tree_equal(root, again), "another message was read");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const ProtobufCMessageDescriptor *const everything = &aisys__test__everything__descriptor;
    static struct aisys_diag diag;
    ProtobufCMessage *message = NULL;
    struct aisys_node *root = NULL;
    struct aisys_arena arena;
    int r;

    if (bytes == 0 || aisys_schema_add(everything_set, everything_set_bytes) < 0)
        return 0;
    aisys_arena_init(&arena, NULL, FUZZ_BYTES_MAX);
    aisys_diag_init(&diag);
    if (data[0] % 3 == 2) {
        r = aisys_schema_unpack(everything, data + 1, bytes - 1, &arena, &diag, &message);
    } else {
        r = fuzz_parse(data[0], (const char *)data + 1, bytes - 1, &arena, &diag, &root);
        if (r == 0) {
            fuzz_yaml_round_trip(root, &arena);
            r = aisys_schema_read(everything, root, &arena, &diag, &message);
        }
    }
    fuzz_expect((r == AISYS_TREE_INVALID) == (aisys_diag_errors(&diag) > 0), "refused in silence");
    if (r == 0)
        fuzz_message_round_trip(message, &arena);
    aisys_arena_deinit(&arena);
    return 0;
}
