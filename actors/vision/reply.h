/* From results to the packed replies of proto/aisys/vision.proto. On the pool: a page of text is
 * thousands of words, too many to lay out on the loop.
 *
 * Threads: any.  Errors: 0 or -ENOMEM. */
#ifndef AISYS_VISION_REPLY_H
#define AISYS_VISION_REPLY_H

#include "analyze.h"

/* An AnalyzeReply with what @wants names. *@ret_packed is malloc() memory of *@ret_bytes. */
int aisys_vision_reply_analyze(
    const struct vision_result *result, unsigned wants, void **ret_packed, size_t *ret_bytes);

int aisys_vision_reply_compare(unsigned distance, void **ret_packed, size_t *ret_bytes);

#endif
