/* Mailboxes: served by weight, emptied of ends first while gated, of what is old when full. */
#include "unit.h"

#include "core/internal.h"
#include "fake_env.h"

static struct fake_env fake;
static struct aisys_core *core;
static struct aisys_actor box; /* nobody's: the queues alone are used */

static int setup(void **state)
{
    static const struct aisys_core_options options = { .node = 1 };

    (void)state;
    fake_env_init(&fake);
    box = (struct aisys_actor){ 0 };
    return aisys_core_new(&fake.env, &options, &core);
}

static int teardown(void **state)
{
    struct message *message;

    (void)state;
    while ((message = mailbox_pop(&box)))
        message_free(core, message);
    assert_int_equal(box.queued_bytes, 0);
    assert_int_equal(box.ends_queued, 0);
    aisys_core_free(core);
    fake_env_deinit(&fake);
    return 0;
}

static void push(uint8_t priority, uint8_t kind, uint32_t type)
{
    struct message *message = message_new(core, type % 50);

    assert_non_null(message);
    message->priority = priority;
    message->kind = kind;
    message->seen.type = type;
    mailbox_push(&box, message);
}

/* The next message's type; 0: none. */
static uint32_t took(struct message *message)
{
    const uint32_t type = message ? message->seen.type : 0;

    if (message)
        message_free(core, message);
    return type;
}

/* Every combination of queues that have messages, twenty in each. */
static void test_weights(void **state)
{
    static const struct {
        const char *full;
        const char *expected; /* the first 26 */
    } rows[] = {
        { "n", "nnnnnnnnnnnnnnnnnnnn" },
        { "h", "hhhhhhhhhhhhhhhhhhhh" },
        { "l", "llllllllllllllllllll" },
        { "hn", "hhhhhhhhnnnnhhhhhhhhnnnnhh" },
        { "hl", "hhhhhhhhlhhhhhhhhlhhhhllll" },
        { "nl", "nnnnlnnnnlnnnnlnnnnlnnnnll" },
        { "hnl", "hhhhhhhhnnnnlhhhhhhhhnnnnl" },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        char got[27] = "";

        memset(box.credits, 0, sizeof(box.credits));
        for (unsigned n = 0; n < 20; n++)
            for (const char *p = rows[i].full; *p; p++)
                push(*p == 'n'   ? AISYS_NORMAL
                     : *p == 'h' ? AISYS_HIGH
                                 : AISYS_LOW,
                    AISYS_ENVELOPE_TELL, (uint32_t)*p);
        for (unsigned n = 0; n < strlen(rows[i].expected); n++)
            got[n] = (char)took(mailbox_pop(&box));
        assert_string_equal(got, rows[i].expected);
        while (took(mailbox_pop(&box)))
            ;
    }
}

/* Against three plain lists. */
static struct listed {
    uint32_t type;
    bool end;
} lists[PRIORITIES][400];
static unsigned list_nr[PRIORITIES];

static uint32_t list_take(unsigned priority, unsigned i)
{
    const uint32_t type = lists[priority][i].type;

    memmove(&lists[priority][i], &lists[priority][i + 1],
        (--list_nr[priority] - i) * sizeof(lists[priority][0]));
    return type;
}

/* The oldest that is an end or none, where the queues are asked in @order. */
static uint32_t list_extract(const uint8_t order[PRIORITIES], bool end)
{
    for (unsigned k = 0; k < PRIORITIES; k++)
        for (unsigned i = 0; i < list_nr[order[k]]; i++)
            if (lists[order[k]][i].end == end)
                return list_take(order[k], i);
    return 0;
}

static void test_extraction(void **state)
{
    static const uint8_t important[] = { AISYS_HIGH, AISYS_NORMAL, AISYS_LOW };
    static const uint8_t unimportant[] = { AISYS_LOW, AISYS_NORMAL, AISYS_HIGH };
    uint64_t chance = 88172645463325252u;

    (void)state;
    for (uint32_t type = 1; type < 4000; type++) {
        const uint8_t priority = (uint8_t)(chance >> 33) % PRIORITIES;
        const bool end = chance >> 40 & 1;
        uint32_t got;

        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        switch ((chance >> 50) % 6) {
        case 0:
            got = took(aisys_mailbox_pop_end(&box));
            assert_int_equal(got, list_extract(important, true));
            break;
        case 1:
            got = took(aisys_mailbox_drop_oldest(&box));
            assert_int_equal(got, list_extract(unimportant, false));
            break;
        case 2: /* whichever it is, it is the oldest of its queue */
            got = took(mailbox_pop(&box));
            for (unsigned p = 0; p < PRIORITIES; p++)
                if (list_nr[p] && lists[p][0].type == got)
                    got -= list_take(p, 0);
            assert_int_equal(got, 0);
            break;
        default:
            if (list_nr[priority] == 399)
                break;
            push(priority, end ? AISYS_ENVELOPE_END : AISYS_ENVELOPE_ASK, type);
            lists[priority][list_nr[priority]++] = (struct listed){ type, end };
            break;
        }
        assert_int_equal(box.queued, list_nr[0] + list_nr[1] + list_nr[2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_extraction, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
