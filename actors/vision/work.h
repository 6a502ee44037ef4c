/* The jobs of vision_processing: what one needs, owns and brings back. Everything slow, reading files
 * and laying out replies included, happens in aisys_vision_work_run(), on a pool thread.
 *
 * Threads: new() and the ends on the loop thread; run() and free() on any. */
#ifndef AISYS_VISION_WORK_H
#define AISYS_VISION_WORK_H

#include <aisys/actor.h>

#include "analyze.h"

/* What all jobs of one actor share. It lives until the actor and the last job have let go. */
struct vision_commons;

struct vision_commons_options {
    struct vision_limits limits;
    unsigned readers_max;
    vision_open_engine_fn open_engine;
    struct vision_roots roots; /* taken on success */
};

/* 0 or -ENOMEM. */
int aisys_vision_commons_new(
    const struct vision_commons_options *options, struct vision_commons **ret_commons);
void aisys_vision_commons_unref(struct vision_commons *commons); /* NULL is fine; any thread */
struct vision_tools *aisys_vision_commons_tools(struct vision_commons *commons); /* borrowed */

/* A picture, or what is already known of it. */
struct vision_side {
    const void *bytes; /* or NULL, and then one of these */
    size_t bytes_nr;
    const char *path;
    const char *hash;
};

enum vision_work_kind { VISION_WORK_ANALYZE, VISION_WORK_COMPARE };

struct vision_work;

/* Copies everything. @sides: one to analyze, two to compare. @wants, @languages: to analyze.
 * 0 or -ENOMEM. */
int aisys_vision_work_new(struct vision_commons *commons, enum vision_work_kind kind,
    const struct vision_side *sides, unsigned wants, const char *languages,
    struct vision_work **ret_work);
void aisys_vision_work_free(void *work); /* an aisys_free_fn */

/* An aisys_run_fn; the job's input is a vision_work, its result a vision_outcome. */
void aisys_vision_work_run(struct aisys_job *job);

/* How it went: a packed reply, or an error. */
struct vision_outcome {
    void *packed; /* owned; when error.code is AISYS_OK */
    size_t packed_bytes;
    struct vision_error error;
    bool engines; /* it took engines to get there: text or codes were wanted */
};

#endif
