/* Memory for messages: four sizes with free lists, carved from slabs; what is larger comes from the
 * environment's allocator. A free list never gives back: it holds what the busiest moment needed. */
#include "internal.h"

/* Payload sizes, so that a whole message is 128, 256, 1024 or 4096 bytes. */
static const uint32_t class_bytes[MESSAGE_CLASSES] = { MESSAGE_SMALL_BYTES, 192, 960, 4032 };

#define SLAB_BYTES (64u * 1024)
#define CACHE_LINE 64u

static size_t message_whole_bytes(unsigned size_class)
{
    return sizeof(struct message) + class_bytes[size_class];
}

static unsigned message_class(size_t bytes)
{
    for (unsigned i = 0; i < MESSAGE_CLASSES; i++)
        if (bytes <= class_bytes[i])
            return i;
    return MESSAGE_CLASS_HEAP;
}

/* A slab of one class: its first word links the slabs, the messages begin at a cache line. */
static int message_carve(struct aisys_core *core, unsigned size_class)
{
    struct message_pool *pool = &core->messages;
    const size_t each = message_whole_bytes(size_class);
    unsigned char *slab = core_alloc(core, SLAB_BYTES + CACHE_LINE);
    unsigned char *at;

    if (!slab)
        return -1;
    memcpy(slab, &pool->slabs, sizeof(pool->slabs));
    pool->slabs = slab;
    pool->bytes += SLAB_BYTES + CACHE_LINE;

    at = slab + CACHE_LINE - ((uintptr_t)slab & (CACHE_LINE - 1));
    if (at < slab + sizeof(pool->slabs))
        at += CACHE_LINE;
    for (; at + each <= slab + SLAB_BYTES + CACHE_LINE; at += each) {
        struct message *message = (struct message *)(void *)at;

        message->size_class = (uint8_t)size_class;
        message->next = pool->free[size_class];
        pool->free[size_class] = message;
    }
    return 0;
}

static struct message *message_from_heap(struct aisys_core *core, size_t bytes)
{
    struct message *message = core_alloc(core, sizeof(*message) + bytes);

    if (!message)
        return NULL;
    message->size_class = MESSAGE_CLASS_HEAP;
    core->messages.bytes += sizeof(*message) + bytes;
    return message;
}

struct message *aisys_message_new_slowly(struct aisys_core *core, size_t bytes)
{
    struct message_pool *pool = &core->messages;
    const unsigned size_class = message_class(bytes);
    struct message *message;

    if (size_class == MESSAGE_CLASS_HEAP) {
        message = message_from_heap(core, bytes);
        if (!message)
            return NULL;
    } else {
        if (!pool->free[size_class] && message_carve(core, size_class) < 0)
            return NULL;
        message = pool->free[size_class];
        pool->free[size_class] = message->next;
    }
    message->seen.bytes = (uint32_t)bytes;
    message->seen.data = bytes ? message->payload : NULL;
    message->flags = 0;
    return message;
}

void aisys_message_free_to_heap(struct aisys_core *core, struct message *message)
{
    core->messages.bytes -= sizeof(*message) + message->seen.bytes;
    core_release(core, message);
}

size_t aisys_message_capacity(const struct message *message)
{
    return message->size_class == MESSAGE_CLASS_HEAP ? message->seen.bytes
                                                     : class_bytes[message->size_class];
}

void aisys_message_pool_deinit(struct aisys_core *core)
{
    void *slab = core->messages.slabs;

    while (slab) {
        void *next;

        memcpy(&next, slab, sizeof(next));
        core_release(core, slab);
        slab = next;
    }
    core->messages = (struct message_pool){ 0 };
}
