/* Words of a command line, `key=value`, into a tree that is a request in JSON.
 *
 *   text='The spare key' kind=KNOWLEDGE tags=home tags=keys  a list: repeat the key
 *   want=TEXT,CODES numbers=1,2,3                            commas split only enums and numbers
 *   image=@receipt.png text=@@home                           the bytes of a file; a literal @
 *   filter.session=s1                                        a field of a nested message
 *
 * The message's descriptor says what a value becomes (bytes go as base64); whether it is allowed
 * is for the reader to say, here or on the other side, so a value that does not look right goes as
 * it is.
 *
 * Threads: any. */
#ifndef AISYS_SCHEMA_WORDS_H
#define AISYS_SCHEMA_WORDS_H

#include <protobuf-c/protobuf-c.h>

#include "core/tree.h"

/* Read the file at @path for `key=@path`, into @arena or borrowed for as long. Returns 0 or a
 * negative errno, which is reported at the key. */
typedef int (*aisys_words_file_fn)(void *ctx, const char *path, struct aisys_arena *arena,
    const char **ret_data, size_t *ret_bytes);

/* Turn @count words into the tree of a request of @descriptor. @file may be NULL: then @ means
 * itself.
 *
 * Returns 0, AISYS_TREE_INVALID with all findings in @diag, or -ENOMEM. */
int aisys_schema_words(const ProtobufCMessageDescriptor *descriptor, const char *const *words,
    size_t count, aisys_words_file_fn file, void *file_ctx, struct aisys_arena *arena,
    struct aisys_diag *diag, struct aisys_node **ret_root);

#endif
