/* Mailboxes: three queues of messages, served by weight. */
#include "internal.h"

/* How many messages of each priority an actor takes before the others have had theirs, by enum
 * aisys_priority, and the order in which the queues are asked. */
static const uint8_t weights[PRIORITIES] = {
    [AISYS_NORMAL] = 4, [AISYS_HIGH] = 8, [AISYS_LOW] = 1
};
static const uint8_t serve_order[PRIORITIES] = { AISYS_HIGH, AISYS_NORMAL, AISYS_LOW };

struct message *aisys_mailbox_pop_weighed(struct aisys_actor *actor)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PRIORITIES; i++) {
            const unsigned priority = serve_order[i];

            if (actor->tail[priority] && actor->credits[priority]) {
                actor->credits[priority]--;
                return mailbox_take(actor, priority);
            }
        }
        memcpy(actor->credits, weights, sizeof(weights));
    }
    aisys_check_failed("a mailbox that counts messages has one", __FILE__, __LINE__);
}

/* Take the oldest message of @priority that is an end, or that is none; NULL: there is no such. */
static struct message *mailbox_extract(struct aisys_actor *actor, unsigned priority, bool ends)
{
    struct message *tail = actor->tail[priority];
    struct message *before = tail;

    if (!tail)
        return NULL;
    do {
        struct message *message = before->next;

        if ((message->kind == AISYS_ENVELOPE_END) == ends) {
            if (message == before)
                actor->tail[priority] = NULL;
            else if (message == tail)
                actor->tail[priority] = before;
            before->next = message->next;
            mailbox_took(actor, message);
            return message;
        }
        before = message;
    } while (before != tail);
    return NULL;
}

struct message *aisys_mailbox_pop_end(struct aisys_actor *actor)
{
    for (unsigned i = 0; actor->ends_queued && i < PRIORITIES; i++) {
        struct message *message = mailbox_extract(actor, serve_order[i], true);

        if (message)
            return message;
    }
    return NULL;
}

struct message *aisys_mailbox_drop_oldest(struct aisys_actor *actor)
{
    for (unsigned i = PRIORITIES; i-- > 0;) {
        struct message *message = mailbox_extract(actor, serve_order[i], false);

        if (message)
            return message;
    }
    return NULL;
}
