/* One picture, from bytes or path to everything that was asked of it: what a job does.
 *
 * Threads: any; one call per picture, several at once.
 * Errors:  see base.h. Either everything wanted is there or an error is. */
#ifndef AISYS_VISION_ANALYZE_H
#define AISYS_VISION_ANALYZE_H

#include "hash.h"
#include "roots.h"
#include "tools.h"

enum vision_want {
    VISION_WANT_INFO = 1 << 0,
    VISION_WANT_TEXT = 1 << 1,
    VISION_WANT_CODES = 1 << 2,
    VISION_WANT_HASH = 1 << 3,
};

/* All borrowed for the call. */
struct vision_request {
    const void *bytes; /* the picture; or NULL, and then */
    size_t bytes_nr;
    const char *path; /* it is read from here, inside */
    const struct vision_roots *roots;
    unsigned wants;        /* enum vision_want, or-ed */
    const char *languages; /* of the text: "eng", "deu+eng" */
    struct vision_limits limits;
};

struct vision_result {
    struct vision_image_info info; /* always */
    struct vision_text text;
    struct vision_codes codes;
    uint64_t hash;
};

/* The caller releases *@ret_result with aisys_vision_result_deinit(). What was not wanted is empty. */
enum aisys_code aisys_vision_analyze(struct vision_tools *tools,
    const struct vision_request *request, const struct vision_stop *stop,
    struct vision_result *ret_result, struct vision_error *err);

void aisys_vision_result_deinit(struct vision_result *result);

#endif
