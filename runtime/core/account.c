/* Accounts: an actor's memory, sampled times, and the letters that reached nobody. */
#include "internal.h"

#include <errno.h>

/* ---- Memory --------------------------------------------------------------------------------- */

/* In front of what aisys_alloc() hands out. */
struct block {
    struct block *next, *prev;
    size_t bytes; /* asked for */
    struct aisys_actor *owner;
};
_Static_assert(sizeof(struct block) % _Alignof(max_align_t) == 0, "what follows is aligned");

static struct block *block_of(const struct aisys_actor *self, void *p)
{
    struct block *block = (struct block *)p - 1;

    AISYS_CHECK(block->owner == self);
    return block;
}

static void block_link(struct aisys_actor *self, struct block *block)
{
    block->owner = self;
    block->prev = NULL;
    block->next = self->blocks;
    if (block->next)
        block->next->prev = block;
    self->blocks = block;
    self->memory_bytes += block->bytes;
    if (self->memory_bytes > self->memory_peak_bytes)
        self->memory_peak_bytes = self->memory_bytes;
}

static void block_unlink(struct aisys_actor *self, struct block *block)
{
    if (block->prev)
        block->prev->next = block->next;
    else
        self->blocks = block->next;
    if (block->next)
        block->next->prev = block->prev;
    self->memory_bytes -= block->bytes;
}

/* Whether a block of @bytes may be made where @held bytes of the account are given back for it. */
static bool memory_fits(const struct aisys_actor *self, size_t bytes, size_t held)
{
    const uint64_t others = self->memory_bytes - held;

    return bytes <= SIZE_MAX - sizeof(struct block) &&
           (!self->memory_bytes_max ||
               (others <= self->memory_bytes_max && bytes <= self->memory_bytes_max - others));
}

void *aisys_alloc(struct aisys_actor *self, size_t bytes)
{
    struct block *block;

    if (!memory_fits(self, bytes, 0))
        return NULL;
    block = core_alloc(self->core, sizeof(*block) + bytes);
    if (!block)
        return NULL;
    memset(block, 0, sizeof(*block) + bytes);
    block->bytes = bytes;
    block_link(self, block);
    return block + 1;
}

void aisys_free(struct aisys_actor *self, void *p)
{
    struct block *block;

    if (!p)
        return;
    block = block_of(self, p);
    block_unlink(self, block);
    block->owner = NULL;
    core_release(self->core, block);
}

void *aisys_realloc(struct aisys_actor *self, void *p, size_t bytes)
{
    struct block *old = p ? block_of(self, p) : NULL;
    struct block *block;

    if (!old)
        return aisys_alloc(self, bytes);
    if (!memory_fits(self, bytes, old->bytes))
        return NULL;
    block = core_alloc(self->core, sizeof(*block) + bytes);
    if (!block)
        return NULL;
    block->bytes = bytes;
    memcpy(block + 1, p, bytes < old->bytes ? bytes : old->bytes);
    aisys_free(self, p);
    block_link(self, block);
    return block + 1;
}

char *aisys_strdup(struct aisys_actor *self, const char *s)
{
    const size_t bytes = strlen(s) + 1;
    char *copy = aisys_alloc(self, bytes);

    return copy ? memcpy(copy, s, bytes) : NULL;
}

void aisys_blocks_release(struct aisys_actor *actor)
{
    while (actor->blocks)
        aisys_free(actor, actor->blocks + 1);
    AISYS_CHECK(actor->memory_bytes == 0);
}

/* ---- Time ----------------------------------------------------------------------------------- */

static uint64_t ticks_to_ns(const struct aisys_core *core, uint64_t ticks)
{
    return (uint64_t)((double)ticks * 1e6 / (double)core->env->ticks_per_ms);
}

static void histogram_add(struct aisys_histogram *histogram, uint64_t ns)
{
    unsigned bucket = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;

    if (bucket >= AISYS_HISTOGRAM_BUCKETS)
        bucket = AISYS_HISTOGRAM_BUCKETS - 1;
    histogram->buckets[bucket]++;
    histogram->count++;
    histogram->sum_ns += ns;
}

void aisys_measured_sample(struct aisys_actor *actor, uint64_t wait_ticks, uint64_t handle_ticks)
{
    if (!actor->measured) {
        actor->measured = core_calloc(actor->core, sizeof(*actor->measured));
        if (!actor->measured)
            return; /* a sample is not worth an error */
    }
    histogram_add(&actor->measured->wait, ticks_to_ns(actor->core, wait_ticks));
    histogram_add(&actor->measured->handle, ticks_to_ns(actor->core, handle_ticks));
}

/* ---- Dead letters --------------------------------------------------------------------------- */

const char *aisys_dead_reason_name(enum aisys_dead_reason reason)
{
    static const char *const names[AISYS_DEAD_NR] = { "gone", "stopped", "late", "refused",
        "deadline", "memory" };

    return (unsigned)reason < AISYS_DEAD_NR ? names[reason] : "unknown";
}

void aisys_dead_letter_add(struct aisys_core *core, struct aisys_id from, struct aisys_id to,
    uint8_t kind, uint32_t type, uint32_t bytes, enum aisys_dead_reason reason)
{
    const struct aisys_actor *actor = actor_find(core, to);
    struct dead_letters *dead = &core->dead;
    struct aisys_dead_letter *letter;

    dead->count[reason]++;
    if (!dead->ring)
        dead->ring = core_calloc(core, AISYS_DEAD_LETTERS_MAX * sizeof(*dead->ring));
    if (!dead->ring)
        return; /* counted all the same */
    letter = &dead->ring[dead->written++ % AISYS_DEAD_LETTERS_MAX];
    *letter = (struct aisys_dead_letter){ .at_ms = core->now_ms,
        .from = from,
        .to = to,
        .reason = reason,
        .type = type,
        .bytes = bytes,
        .kind = kind };
    if (actor && actor_name(actor))
        strncpy(letter->to_name, actor_name(actor), sizeof(letter->to_name) - 1);
}

void aisys_dead_message(
    struct aisys_actor *actor, struct message *message, enum aisys_dead_reason reason)
{
    actor->dead++;
    aisys_dead_letter_add(actor->core, message->seen.from, actor_id(actor), message->kind,
        message->seen.type, message->seen.bytes, reason);
    message_free(actor->core, message);
}

void aisys_core_dead_letters(const struct aisys_core *core,
    void (*each)(void *ctx, const struct aisys_dead_letter *letter), void *ctx)
{
    const uint64_t written = core->dead.written;
    uint64_t i = written > AISYS_DEAD_LETTERS_MAX ? written - AISYS_DEAD_LETTERS_MAX : 0;

    for (; i < written; i++)
        each(ctx, &core->dead.ring[i % AISYS_DEAD_LETTERS_MAX]);
}

/* ---- Looking -------------------------------------------------------------------------------- */

static uint32_t ops_count(const struct aisys_actor *actor)
{
    uint32_t n = 0;

    for (const struct op *op = actor->ops; op; op = op->next)
        n++;
    return n;
}

static uint32_t replies_count(const struct aisys_actor *actor)
{
    uint32_t n = 0;

    for (const struct reply *reply = actor->replies; reply; reply = reply->next)
        n++;
    return n;
}

static const char *const no_depends[] = { NULL };

static void info_fill(const struct aisys_actor *actor, struct aisys_actor_info *info)
{
    const struct supervised *supervised = actor->supervised;
    const struct aisys_core *core = actor->core;

    *info = (struct aisys_actor_info){
        .id = actor_id(actor),
        .name = supervised ? supervised->name : "",
        .alias = supervised && supervised->alias ? supervised->alias : "",
        .ops = actor->class->ops,
        .config = actor->config,
        .state = aisys_life_name(actor->life),
        .depends = supervised && supervised->depends ? (const char *const *)supervised->depends
                                                     : no_depends,
        .running = actor->life == LIFE_RUNNING,
        .down = actor->life == LIFE_DOWN,
        .hidden = supervised && supervised->hidden,
        .restarts = supervised ? supervised->restarts : 0,
        .last_failure = supervised ? supervised->last_failure : "",
        .accounts = { .offered = actor->offered,
            .handled = actor->handled,
            .failed = actor->failed,
            .refused = actor->refused,
            .dropped = actor->dropped,
            .dead = actor->dead,
            .queued = actor->queued,
            .in_hand = core->current == actor && core->in_hand ? 1 : 0 },
        .mailbox_messages = actor->queued,
        .mailbox_messages_max = actor->queued_max,
        .mailbox_bytes = (uint32_t)actor->queued_bytes,
        .mailbox_bytes_max = (uint32_t)actor->queued_bytes_max,
        .memory_bytes = actor->memory_bytes,
        .memory_peak_bytes = actor->memory_peak_bytes,
        .memory_bytes_max = actor->memory_bytes_max,
        .loop_ns = ticks_to_ns(core, actor->loop_ticks),
        .pool_ns = ticks_to_ns(core, actor->pool_ticks),
        .open_ops = ops_count(actor),
        .open_replies = replies_count(actor),
        .wait = actor->measured ? &actor->measured->wait : NULL,
        .handle = actor->measured ? &actor->measured->handle : NULL,
    };
}

bool aisys_core_info(
    const struct aisys_core *core, struct aisys_id id, struct aisys_actor_info *ret_info)
{
    const struct aisys_actor *actor = actor_find(core, id);

    if (actor)
        info_fill(actor, ret_info);
    return actor != NULL;
}

void aisys_core_each(const struct aisys_core *core,
    void (*each)(void *ctx, const struct aisys_actor_info *info), void *ctx)
{
    for (const struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next) {
        struct aisys_actor_info info;

        info_fill(actor, &info);
        each(ctx, &info);
    }
}

void aisys_core_stats(const struct aisys_core *core, struct aisys_core_info *ret_info)
{
    *ret_info = (struct aisys_core_info){
        .state = core->state,
        .actors = core->actors.used,
        .actors_down = aisys_core_down(core),
        .ops = core->ops.used,
        .ops_max = core->ops.max,
        .turns = core->turns,
        .activations = core->activations,
        .unknown = core->unknown,
        .message_bytes = core->messages.bytes,
    };
    memcpy(ret_info->dead, core->dead.count, sizeof(ret_info->dead));
    for (unsigned i = 0; i < AISYS_LANE_NR; i++) {
        const struct lane *lane = &core->lanes[i];

        ret_info->lanes[i].running = lane->running;
        ret_info->lanes[i].queued = lane->queued;
        ret_info->lanes[i].done = lane->done;
        ret_info->lanes[i].refused = lane->refused;
        ret_info->lanes[i].pool_ns = ticks_to_ns(core, lane->pool_ticks);
        ret_info->lanes[i].limits = lane->limits;
    }
}
