#include "error.h"

#include "utf8.h"
#include <aisys/error.pb-c.h>
#include <stdio.h>

/* The name of a code says less than words, but more than nothing. */
struct aisys_bytes aisys_error_pack_words(
    int code, const char *words, unsigned char buf[ERROR_WORDS_BYTES_MAX])
{
    Aisys__Error error = AISYS__ERROR__INIT;
    char cut[ERROR_WORDS_MAX];

    aisys_utf8_copy(cut, sizeof(cut), words);
    error.has_code = 1;
    error.code = (Aisys__Error__Code)code;
    error.message = cut;
    AISYS_CHECK(aisys__error__get_packed_size(&error) <= ERROR_WORDS_BYTES_MAX);
    return AISYS_BYTES(buf, aisys__error__pack(&error, buf));
}

static void error_detail(const struct aisys_diag_entry *entry, Aisys__Error__Detail *detail)
{
    aisys__error__detail__init(detail);
    detail->path = (char *)(uintptr_t)entry->path;
    detail->problem = (char *)(uintptr_t)entry->problem;
    detail->expected = entry->expected[0] ? (char *)(uintptr_t)entry->expected : NULL;
}

struct aisys_bytes aisys_error_pack_diag(
    struct aisys_core *core, int code, const struct aisys_diag *diag)
{
    Aisys__Error__Detail details[AISYS_DIAG_MAX];
    Aisys__Error__Detail *pointers[AISYS_DIAG_MAX];
    Aisys__Error error = AISYS__ERROR__INIT;
    char message[1100];
    unsigned char *packed;

    for (unsigned i = 0; i < diag->kept; i++) {
        error_detail(&diag->entries[i], &details[i]);
        pointers[i] = &details[i];
    }
    if (diag->kept)
        snprintf(message, sizeof(message), "%s%s%s%s", diag->entries[0].path,
            diag->entries[0].path[0] ? ": " : "", diag->entries[0].problem,
            diag->errors > 1 ? ", and more" : "");
    error.has_code = 1;
    error.code = (Aisys__Error__Code)code;
    error.message = diag->kept ? message : NULL;
    error.n_details = diag->kept;
    error.details = pointers;
    packed = core_alloc(core, aisys__error__get_packed_size(&error));
    return packed ? AISYS_BYTES(packed, aisys__error__pack(&error, packed)) : AISYS_NO_BYTES;
}

const char *aisys_error_words(int code, struct aisys_bytes packed, struct aisys_arena *arena)
{
    ProtobufCAllocator allocator = aisys_arena_protobuf(arena);
    const Aisys__Error *error = aisys__error__unpack(&allocator, packed.len, packed.data);

    return error && error->message && error->message[0] ? error->message : aisys_code_name(code);
}
