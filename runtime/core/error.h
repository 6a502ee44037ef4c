/* Errors as they travel: an aisys.Error (proto/aisys/error.proto), the payload of an end that is not OK.
 * Core only. */
#ifndef AISYS_CORE_ERROR_H
#define AISYS_CORE_ERROR_H

#include "internal.h"

#define ERROR_WORDS_MAX       400
#define ERROR_WORDS_BYTES_MAX 512

/* Pack @words (made UTF-8, cut at ERROR_WORDS_MAX) into @buf; the result points there. */
struct aisys_bytes aisys_error_pack_words(
    int code, const char *words, unsigned char buf[ERROR_WORDS_BYTES_MAX]);

/* The same with the findings of @diag as details; the result's data is owned by the caller
 * (core_release). data is NULL when there is no memory. */
struct aisys_bytes aisys_error_pack_diag(
    struct aisys_core *core, int code, const struct aisys_diag *diag);

/* The words of a packed error, in @arena; the name of @code when it has none or is damaged. */
const char *aisys_error_words(int code, struct aisys_bytes packed, struct aisys_arena *arena);

#endif
