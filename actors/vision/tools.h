/* What the jobs of one actor share: the engine modules, opened at first use, and a bounded set of
 * text readers. A reader costs some 60 ms and 20 MiB to make, so it is kept, by its languages, and
 * lent to one job at a time; when all are lent a job waits, asking whether it must stop. When the
 * set is full of idle readers of other languages the one idle longest makes room.
 *
 * Threads: any, at once. Ownership is shared: ref() for every job, unref() at its end; the last
 * one closes the readers. Modules stay mapped for good.
 * Errors:  see base.h; AISYS_UNAVAILABLE when a module cannot be opened. */
#ifndef AISYS_VISION_TOOLS_H
#define AISYS_VISION_TOOLS_H

#include "engines.h"

#define VISION_READERS_MAX 64

/* Open @module (a file name) and return the address of @symbol in it; NULL with @err filled in.
 * Called on pool threads, by one at a time. */
typedef const void *(*vision_open_engine_fn)(
    const char *module, const char *symbol, struct vision_error *err);

struct vision_tools;

/* What one of the shared readers looks like to the job that has it. */
struct vision_reader {
    const struct vision_ocr_ops *ops;
    void *engine;
    unsigned place; /* in the set; not for the job */
};

struct vision_tools_stats {
    unsigned readers;      /* made and alive */
    unsigned readers_lent; /* of these, at work now */
    unsigned readers_max;
    uint64_t readers_made; /* since the start */
    uint64_t waits;        /* how often a job found all of them lent */
};

/* @readers_max is 1 to VISION_READERS_MAX. Returns 0 or -ENOMEM; the caller has one reference. */
int aisys_vision_tools_new(
    vision_open_engine_fn open_engine, unsigned readers_max, struct vision_tools **ret_tools);
struct vision_tools *aisys_vision_tools_ref(struct vision_tools *tools);
void aisys_vision_tools_unref(struct vision_tools *tools);

/* The table of the codes engine; it needs no set, a search keeps nothing. */
enum aisys_code aisys_vision_tools_codes(
    struct vision_tools *tools, const struct vision_codes_ops **ret_ops, struct vision_error *err);

/* A reader for @languages ("eng", "deu+eng"); give it back whatever happened to it. */
enum aisys_code aisys_vision_tools_take(struct vision_tools *tools, const char *languages,
    const struct vision_stop *stop, struct vision_reader *ret_reader, struct vision_error *err);
void aisys_vision_tools_give(struct vision_tools *tools, const struct vision_reader *reader);

void aisys_vision_tools_stats(struct vision_tools *tools, struct vision_tools_stats *ret_stats);

#endif
