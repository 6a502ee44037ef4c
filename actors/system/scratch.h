/* Memory for one answer: taken piece by piece from the actor's account, given back at once.
 *
 * Threads: the loop thread.  Errors: sticky; NULL from then on, see scratch_failed(). */
#ifndef ACTORS_SYSTEM_SCRATCH_H
#define ACTORS_SYSTEM_SCRATCH_H

#include <aisys/system.h>

struct scratch_chunk;

struct scratch {
    struct aisys_actor *self;
    struct scratch_chunk *chunks; /* owned; the newest first */
    bool failed;
};

static inline void scratch_init(struct scratch *scratch, struct aisys_actor *self)
{
    *scratch = (struct scratch){ .self = self };
}

/* Everything that came from it is gone. */
void scratch_deinit(struct scratch *scratch);

static inline bool scratch_failed(const struct scratch *scratch)
{
    return scratch->failed;
}

/* Zeroed. NULL: no memory. */
void *scratch_alloc(struct scratch *scratch, size_t bytes);

/* Formatted text; "" when there is no memory. For protobuf-c, whose strings are not const. */
char *scratch_text(struct scratch *scratch, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Every named actor of the node, as it is at this moment. */
struct snapshot {
    struct aisys_actor_info *actors; /* in the scratch */
    size_t nr;
};

/* False: no memory. */
bool snapshot_take(struct scratch *scratch, struct snapshot *ret_snapshot);

/* protobuf-c's strings are not const, and it does not change them: a constant as one of them. "" is
 * unset (NULL). */
static inline char *text_or_unset(const char *text)
{
    return text && text[0] ? (char *)(uintptr_t)text : NULL;
}

#endif
