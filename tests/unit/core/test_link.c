#include "core/link.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NR(table) (sizeof(table) / sizeof((table)[0]))

/* ---- Memory that counts, and fails on order ------------------------------------------------- */

static long blocks;
static long fail_after = -1; /* allocations until one fails; -1: none does */

static void *counted_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    if (fail_after == 0)
        return NULL;
    if (fail_after > 0)
        fail_after--;
    blocks++;
    return malloc(bytes);
}

static void counted_free(void *ctx, void *memory)
{
    (void)ctx;
    blocks--;
    free(memory);
}

static const struct aisys_allocator counted = { counted_alloc, counted_free, NULL };

/* ---- Two ends and what lies between --------------------------------------------------------- */

enum { MESSAGES_MAX = 4096, PACKETS_MAX = 4096, PAIRS = 4 };

struct message {
    uint64_t from, to;
    uint32_t bytes;
    unsigned pair, priority;
    unsigned delivered, lost;
    enum aisys_link_loss why;
};

struct packet {
    unsigned char *data;
    size_t bytes;
    uint64_t at_ms;
    unsigned to;
};

struct end {
    struct world *world;
    struct aisys_link *link;
    uint64_t node;
    bool blocked; /* the carrier is full */
    unsigned peers_met;
    uint32_t last[AISYS_LOW + 1][PAIRS]; /* index of the last message delivered */
    uint32_t deadline_ms;                /* of the last one */
};

struct world {
    struct end ends[2];
    struct message messages[MESSAGES_MAX];
    uint32_t messages_nr; /* from 1 */
    struct packet packets[PACKETS_MAX];
    unsigned packets_nr;
    uint64_t now_ms;
    uint64_t random;
    unsigned loss_percent, double_percent, late_percent, busy_percent;
    bool cut;
    bool silent; /* packets are not kept */
};

static struct world world;

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)((w->random >> 16) % below);
}

static void post(struct world *w, unsigned to, const void *frame, size_t bytes)
{
    struct packet *const p = &w->packets[w->packets_nr];

    if (w->packets_nr == PACKETS_MAX)
        return;
    w->packets_nr++;
    *p = (struct packet){ malloc(bytes), bytes, w->now_ms + 1, to };
    assert_non_null(p->data);
    memcpy(p->data, frame, bytes);
    if (w->late_percent && draw(w, 100) < w->late_percent)
        p->at_ms += draw(w, 300);
}

static int on_carrier(void *ctx, const void *frame, size_t bytes)
{
    struct end *const end = ctx;
    struct world *const w = end->world;
    const unsigned to = end == &w->ends[0];

    if (end->blocked)
        return AISYS_LINK_BUSY;
    if (w->busy_percent && draw(w, 100) < w->busy_percent) {
        end->blocked = true;
        return AISYS_LINK_BUSY;
    }
    if (w->cut || w->silent || (w->loss_percent && draw(w, 100) < w->loss_percent))
        return 0;
    post(w, to, frame, bytes);
    if (w->double_percent && draw(w, 100) < w->double_percent)
        post(w, to, frame, bytes);
    return 0;
}

static uint32_t index_of(const struct aisys_envelope *e)
{
    return (uint32_t)e->correlation;
}

static void check_payload(const struct message *m, const struct aisys_envelope *e)
{
    const unsigned char *const at = e->payload.data;

    assert_int_equal(e->payload.len, m->bytes);
    for (size_t i = 0; i < m->bytes; i += 509)
        assert_int_equal(at[i], (unsigned char)(index_of(e) + i));
    if (m->bytes > 0)
        assert_int_equal(at[m->bytes - 1], (unsigned char)(index_of(e) + m->bytes - 1));
}

static void on_deliver(void *ctx, const struct aisys_envelope *e)
{
    struct end *const end = ctx;
    struct message *const m = &end->world->messages[index_of(e)];

    assert_true(index_of(e) >= 1 && index_of(e) <= end->world->messages_nr);
    assert_int_equal(m->delivered, 0); /* once */
    m->delivered++;
    assert_true(e->from.node == m->from && e->to.node == m->to && m->to == end->node);
    assert_int_equal(e->priority, m->priority);
    assert_true(index_of(e) > end->last[m->priority][m->pair]); /* in order */
    end->last[m->priority][m->pair] = index_of(e);
    end->deadline_ms = e->deadline_ms;
    check_payload(m, e);
}

static void on_lost(void *ctx, const struct aisys_envelope *e, enum aisys_link_loss why)
{
    struct end *const end = ctx;
    struct message *const m = &end->world->messages[index_of(e)];

    assert_true(e->from.node == m->from && e->to.node == m->to && m->from == end->node);
    assert_int_equal(m->lost, 0);
    m->lost++;
    m->why = why;
    check_payload(m, e);
}

static void on_peer(void *ctx, uint64_t was, uint64_t is, struct aisys_bytes hello)
{
    struct end *const end = ctx;

    assert_true(was != is);
    assert_int_equal(hello.len, 5);
    assert_memory_equal(hello.data, "hello", 5);
    end->peers_met++;
    memset(end->last, 0, sizeof(end->last));
}

static const struct aisys_link_ops ops = { on_carrier, on_deliver, on_lost, on_peer };

static struct aisys_link_config config_of(unsigned end)
{
    return (struct aisys_link_config){ .node = world.ends[end].node,
        .peer = 100 + !end,
        .memory = &counted,
        .window_frames = 8,
        .message_bytes_max = 1 << 20,
        .queue_bytes = 4 << 20,
        .streams_max = 2,
        .resend_ms = 20,
        .resend_max_ms = 200,
        .hello = { "hello", 5 } };
}

static void end_start(unsigned end, uint32_t incarnation)
{
    struct end *const e = &world.ends[end];
    struct aisys_link_config config;

    *e = (struct end){ .world = &world, .node = (uint64_t)(100 + end) << 32 | incarnation };
    config = config_of(end);
    assert_int_equal(aisys_link_new(&config, &ops, e, &e->link), 0);
}

static void world_start(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    blocks = 0;
    fail_after = -1;
    world.random = seed * 0x9e3779b97f4a7c15u + 1;
    world.now_ms = 1000;
    end_start(0, 7);
    end_start(1, 9);
}

static void world_stop(void)
{
    for (unsigned i = 0; i < 2; i++)
        aisys_link_free(world.ends[i].link);
    for (unsigned i = 0; i < world.packets_nr; i++)
        free(world.packets[i].data);
    world.packets_nr = 0;
    assert_int_equal(blocks, 0);
}

static void check_accounts(void)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct aisys_link_accounts *const a = aisys_link_accounts(world.ends[i].link);

        assert_int_equal(a->accepted, a->acknowledged + a->in_flight + a->dead);
        if (a->in_flight == 0)
            assert_int_equal(a->in_flight_bytes, 0);
    }
}

/* One millisecond: what is due arrives (in any order if late), then whoever wants it is called. */
static void world_step(void)
{
    world.now_ms++;
    for (unsigned i = 0; i < world.packets_nr;) {
        const struct packet p = world.packets[i];

        if (p.at_ms > world.now_ms) {
            i++;
            continue;
        }
        memmove(&world.packets[i], &world.packets[i + 1],
            (--world.packets_nr - i) * sizeof(world.packets[0]));
        assert_int_equal(aisys_link_frame(world.ends[p.to].link, p.data, p.bytes, world.now_ms), 0);
        free(p.data);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct end *const e = &world.ends[i];

        if (e->blocked && draw(&world, 3) == 0) {
            e->blocked = false;
            aisys_link_writable(e->link, world.now_ms);
        }
        if (aisys_link_next_ms(e->link) <= world.now_ms)
            aisys_link_flush(e->link, world.now_ms);
    }
    check_accounts();
}

static void world_run(unsigned ms)
{
    while (ms-- > 0)
        world_step();
}

static struct aisys_envelope envelope_of(
    unsigned end, unsigned pair, unsigned priority, size_t bytes)
{
    static unsigned char payload[2 << 20];
    const uint32_t index = world.messages_nr + 1;

    for (size_t i = 0; i < bytes && i < sizeof(payload); i++)
        payload[i] = (unsigned char)(index + i);
    return (struct aisys_envelope){ .from = { world.ends[end].node, 1 + pair, 1 },
        .to = { aisys_link_peer(world.ends[end].link), 50 + pair, 2 },
        .correlation = index,
        .kind = AISYS_ENVELOPE_ASK,
        .priority = (uint8_t)priority,
        .payload = { payload, bytes } };
}

static int world_send(unsigned end, const struct aisys_envelope *e)
{
    const unsigned pair = e->from.slot - 1;
    int r;

    assert_true(world.messages_nr + 1 < MESSAGES_MAX);
    world.messages[world.messages_nr + 1] = (struct message){ .from = e->from.node,
        .to = e->to.node,
        .bytes = (uint32_t)e->payload.len,
        .pair = pair,
        .priority = e->priority };
    r = aisys_link_send(world.ends[end].link, e);
    if (r == 0)
        world.messages_nr++;
    return r;
}

static int send_one(unsigned end, unsigned pair, unsigned priority, size_t bytes)
{
    const struct aisys_envelope e = envelope_of(end, pair, priority, bytes);

    return world_send(end, &e);
}

static void assert_all_arrived(void)
{
    for (uint32_t i = 1; i <= world.messages_nr; i++)
        if (world.messages[i].delivered != 1 || world.messages[i].lost != 0)
            fail_msg("message %u: delivered %u, lost %u", i, world.messages[i].delivered,
                world.messages[i].lost);
}

/* ---- Stories -------------------------------------------------------------------------------- */

static void test_hello_then_messages(void **state)
{
    (void)state;
    world_start(1);
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, 10), AISYS_SEND_GONE);
    world_run(10);
    assert_true(aisys_link_peer(world.ends[0].link) == world.ends[1].node);
    assert_true(aisys_link_peer(world.ends[1].link) == world.ends[0].node);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(send_one(i % 2, i % PAIRS, i % 3, i), 0);
    assert_int_equal(aisys_link_next_ms(world.ends[0].link), 0);
    world_run(50);
    assert_all_arrived();
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->in_flight, 0);
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->resent, 0);
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->frames_out < 12, 1);
    assert_true(aisys_link_next_ms(world.ends[0].link) == UINT64_MAX);
    world_stop();
}

static void test_a_turn_is_one_frame(void **state)
{
    uint64_t before;

    (void)state;
    world_start(1);
    world_run(10);
    before = aisys_link_accounts(world.ends[0].link)->frames_out;
    for (unsigned i = 0; i < 90; i++)
        assert_int_equal(send_one(0, 0, i % 3, 64), 0);
    aisys_link_flush(world.ends[0].link, world.now_ms);
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->frames_out, before + 1);
    world_run(50);
    assert_all_arrived();
    world_stop();
}

static void test_window_is_an_answer(void **state)
{
    unsigned n = 0;

    (void)state;
    world_start(1);
    world_run(10);
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, (1 << 20) + 1), AISYS_SEND_TOO_BIG);
    world.cut = true;
    while (send_one(0, 0, AISYS_NORMAL, 10000) == 0)
        n++;
    assert_true(n > 400 && n < 420); /* 4 MiB */
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, 10000), AISYS_SEND_FULL);
    world_run(500);
    world.cut = false;
    aisys_link_reconnected(world.ends[0].link, world.now_ms);
    world_run(200);
    assert_all_arrived();
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, 10000), 0);
    world_stop();
}

static void test_small_ones_pass_a_large_one(void **state)
{
    (void)state;
    world_start(1);
    world_run(10);
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, 1 << 20), 0); /* 1 */
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, 10), 0);      /* 2: behind it */
    assert_int_equal(send_one(0, 1, AISYS_NORMAL, 10), 0);      /* 3: passes */
    assert_int_equal(send_one(0, 0, AISYS_HIGH, 10), 0);        /* 4: passes */
    world_run(2);
    assert_int_equal(world.messages[1].delivered, 0);
    assert_int_equal(world.messages[2].delivered, 0);
    assert_int_equal(world.messages[3].delivered, 1);
    assert_int_equal(world.messages[4].delivered, 1);
    world_run(100);
    assert_all_arrived();
    world_stop();
}

static void test_many_large_ones_share(void **state)
{
    (void)state;
    world_start(1);
    world_run(10);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(send_one(0, i % PAIRS, i % 3, 100000 + 30000 * i), 0);
    world_run(300);
    assert_all_arrived();
    world_stop();
}

/* Around the largest payload of one record, traced and not; and around what is cut into pieces. */
static void test_every_size_at_the_edges(void **state)
{
    static const size_t edges[] = { 0, 4008, 16384, 65380, 65440, 130900 };

    (void)state;
    world_start(1);
    world_run(10);
    for (size_t i = 0; i < NR(edges); i++) {
        for (size_t more = 0; more < 128; more++) {
            struct aisys_envelope e = envelope_of(0, 0, AISYS_NORMAL, edges[i] + more);

            e.traced = more % 2 == 1;
            assert_int_equal(world_send(0, &e), 0);
            aisys_link_flush(world.ends[0].link, world.now_ms);
            if (more % 8 == 0)
                world_run(20);
        }
        world_run(100);
    }
    assert_all_arrived();
    world_stop();
}

static void test_busy_carrier_keeps_everything(void **state)
{
    (void)state;
    world_start(1);
    world_run(10);
    world.ends[0].blocked = true;
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(send_one(0, i % PAIRS, i % 3, 1000), 0);
    aisys_link_flush(world.ends[0].link, world.now_ms);
    assert_true(aisys_link_next_ms(world.ends[0].link) == UINT64_MAX);
    world_run(100);
    assert_all_arrived();
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->resent, 0);
    world_stop();
}

static void test_lost_frames_are_sent_again(void **state)
{
    (void)state;
    world_start(1);
    world_run(10);
    world.cut = true;
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, 10), 0);
    world_run(5);
    world.cut = false;
    assert_int_equal(send_one(0, 0, AISYS_NORMAL, 10), 0); /* a gap, that is asked for */
    world_run(10);
    assert_all_arrived();
    assert_int_equal(aisys_link_accounts(world.ends[1].link)->gaps, 1);
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->resent, 2);
    world_stop();
}

static void test_restarted_peer(void **state)
{
    (void)state;
    world_start(1);
    world_run(10);
    world.cut = true;
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(send_one(0, i % PAIRS, i % 3, i % 7 == 0 ? 50000 : 100), 0);
    world_run(10);
    aisys_link_free(world.ends[1].link);
    end_start(1, 3); /* not greater than the old one */
    world.cut = false;
    world_run(100);
    assert_true(aisys_link_peer(world.ends[0].link) == world.ends[1].node);
    assert_int_equal(world.ends[0].peers_met, 2);
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->dead, 40);
    for (uint32_t i = 1; i <= world.messages_nr; i++) {
        assert_int_equal(world.messages[i].delivered, 0);
        assert_int_equal(world.messages[i].lost, 1);
        assert_int_equal(world.messages[i].why, AISYS_LINK_LOST_RESTARTED);
    }
    world_stop();
}

static void test_closing_gives_everything_back(void **state)
{
    (void)state;
    world_start(1);
    world_run(10);
    world.cut = true;
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(send_one(0, i % PAIRS, i % 3, i % 7 == 0 ? 200000 : 3000), 0);
    world_run(3);
    assert_int_equal(send_one(0, 0, AISYS_LOW, 1), 0);
    aisys_link_close(world.ends[0].link);
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->dead, 61);
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->in_flight_bytes, 0);
    assert_int_equal(send_one(0, 0, AISYS_LOW, 1), AISYS_SEND_GONE);
    assert_true(aisys_link_next_ms(world.ends[0].link) == UINT64_MAX);
    world_stop();
}

static void test_deadlines(void **state)
{
    struct aisys_envelope e;

    (void)state;
    world_start(1);
    world_run(10);
    e = envelope_of(0, 0, AISYS_NORMAL, 10); /* arrives with what it was given */
    e.deadline_ms = 5000;
    assert_int_equal(world_send(0, &e), 0);
    world_run(3);
    assert_int_equal(world.ends[1].deadline_ms, 5000);

    world.ends[0].blocked = true; /* waits for the carrier, before it is in a frame */
    e = envelope_of(0, 0, AISYS_NORMAL, 10);
    e.deadline_ms = 5000;
    assert_int_equal(world_send(0, &e), 0);
    aisys_link_flush(world.ends[0].link, world.now_ms);
    e = envelope_of(0, 1, AISYS_LOW, 10);
    e.deadline_ms = 40;
    assert_int_equal(world_send(0, &e), 0);
    aisys_link_flush(world.ends[0].link, world.now_ms);
    e = envelope_of(0, 2, AISYS_LOW, 100000); /* large ones too */
    e.deadline_ms = 40;
    assert_int_equal(world_send(0, &e), 0);
    aisys_link_flush(world.ends[0].link, world.now_ms);
    world.now_ms += 60;
    world.ends[0].blocked = false;
    aisys_link_writable(world.ends[0].link, world.now_ms);
    world_run(5);
    assert_int_equal(world.messages[2].delivered, 1);
    assert_int_equal(world.ends[1].deadline_ms, 4940);
    assert_int_equal(world.messages[3].lost, 1);
    assert_int_equal(world.messages[3].why, AISYS_LINK_LOST_DEADLINE);
    assert_int_equal(world.messages[4].lost, 1);
    world_run(20);

    e = envelope_of(0, 0, AISYS_NORMAL, 1 << 20); /* in pieces, the time that they take counts */
    e.deadline_ms = 5000;
    assert_int_equal(world_send(0, &e), 0);
    world_run(50);
    assert_int_equal(world.messages[5].delivered, 1);
    assert_true(world.ends[1].deadline_ms < 5000 && world.ends[1].deadline_ms > 4950);

    world.cut = true; /* once in a frame it stays there, and is sent again with less */
    e = envelope_of(0, 0, AISYS_NORMAL, 10);
    e.deadline_ms = 30;
    assert_int_equal(world_send(0, &e), 0);
    world_run(50);
    world.cut = false;
    world_run(200);
    assert_int_equal(world.messages[6].delivered, 1);
    assert_int_equal(world.ends[1].deadline_ms, 1);
    world_stop();
}

/* Priorities share by weight: of a full queue, eight high and four normal frames pass for one low. */
static void test_weights(void **state)
{
    unsigned delivered[3] = { 0 };

    (void)state;
    world_start(1);
    world_run(10);
    world.ends[0].blocked = true;
    for (unsigned i = 0; i < 390; i++)
        assert_int_equal(send_one(0, i % PAIRS, i % 3, 9000), 0);
    aisys_link_flush(world.ends[0].link, world.now_ms);
    world.ends[0].blocked = false;
    aisys_link_writable(world.ends[0].link, world.now_ms);
    while (delivered[AISYS_LOW] == 0) {
        world_step();
        memset(delivered, 0, sizeof(delivered));
        for (uint32_t i = 1; i <= world.messages_nr; i++)
            delivered[world.messages[i].priority] += world.messages[i].delivered;
    }
    assert_true(delivered[AISYS_HIGH] >= 8 * 7); /* seven to a frame */
    assert_true(delivered[AISYS_NORMAL] >= 4 * 7);
    assert_int_equal(delivered[AISYS_LOW], 7);
    world_run(300);
    assert_all_arrived();
    world_stop();
}

/* ---- Bad frames ----------------------------------------------------------------------------- */

static size_t numbered_piece(unsigned char *frame, uint64_t sequence, uint64_t ack)
{
    struct aisys_wire_frame header = { .from = world.ends[1].node,
        .to = world.ends[0].node,
        .sequence = sequence,
        .ack = ack,
        .count = 1,
        .window = 8 };

    header.bytes = AISYS_WIRE_FRAME_HEADER_BYTES +
                   (uint32_t)aisys_wire_put_piece(
                       frame + AISYS_WIRE_FRAME_HEADER_BYTES, 1, 77, AISYS_BYTES("abc", 3));
    aisys_wire_seal(frame, &header);
    return header.bytes;
}

static void test_bad_frames(void **state)
{
    struct aisys_link *link;
    unsigned char frame[256];
    size_t bytes;

    (void)state;
    world_start(1);
    world_run(10);
    link = world.ends[0].link;
    assert_int_equal(aisys_link_frame(link, "junk", 4, world.now_ms), -EBADMSG);
    assert_int_equal(aisys_link_fault(link)->error, AISYS_WIRE_SHORT);

    bytes = numbered_piece(frame, 1, 99);
    assert_int_equal(aisys_link_frame(link, frame, bytes, world.now_ms), -EBADMSG);
    assert_int_equal(aisys_link_fault(link)->error, AISYS_WIRE_BAD_ACK);

    bytes = numbered_piece(frame, 1, 0);
    frame[17] ^= 1; /* another node; the checksum is wrong too */
    assert_int_equal(aisys_link_frame(link, frame, bytes, world.now_ms), -EBADMSG);
    assert_int_equal(aisys_link_fault(link)->error, AISYS_WIRE_BAD_CRC);

    world.ends[1].node ^= (uint64_t)1 << 32;
    bytes = numbered_piece(frame, 1, 0);
    world.ends[1].node ^= (uint64_t)1 << 32;
    assert_int_equal(aisys_link_frame(link, frame, bytes, world.now_ms), -EBADMSG);
    assert_int_equal(aisys_link_fault(link)->error, AISYS_WIRE_STRANGER);

    assert_int_equal(aisys_link_accounts(link)->bad_frames, 4);
    assert_int_equal(send_one(1, 0, AISYS_NORMAL, 10), 0); /* nothing has suffered */
    world_run(10);
    assert_all_arrived();
    world_stop();
}

/* A frame that the peer can never read ends the stream with a reason, at both ends. */
static void test_refused_frames(void **state)
{
    unsigned char frame[256];
    size_t bytes;

    (void)state;
    world_start(1);
    world_run(10);
    bytes = numbered_piece(frame, 1, 0);
    world.silent = true;
    assert_int_equal(send_one(1, 0, AISYS_NORMAL, 10), 0);
    aisys_link_flush(world.ends[1].link, world.now_ms);
    world.silent = false;
    assert_int_equal(aisys_link_frame(world.ends[0].link, frame, bytes, world.now_ms), -EBADMSG);
    world_run(5);
    assert_int_equal(world.messages[1].lost, 1);
    assert_int_equal(world.messages[1].why, AISYS_LINK_LOST_REFUSED);
    assert_int_equal(aisys_link_fault(world.ends[1].link)->error, AISYS_WIRE_BAD_PIECE);
    assert_int_equal(send_one(1, 0, AISYS_NORMAL, 10), AISYS_SEND_GONE);
    world_stop();
}

static void test_limits_are_checked(void **state)
{
    struct aisys_link_config config;
    struct aisys_link *link;

    (void)state;
    world_start(1);
    config = config_of(0);
    config.queue_bytes = 1000;
    assert_int_equal(aisys_link_new(&config, &ops, &world.ends[0], &link), -EINVAL);
    config = config_of(0);
    config.node = (uint64_t)5 << 32;
    assert_int_equal(aisys_link_new(&config, &ops, &world.ends[0], &link), -EINVAL);
    config = config_of(0);
    config.piece_above_bytes = 60000;
    assert_int_equal(aisys_link_new(&config, &ops, &world.ends[0], &link), -EINVAL);
    world_stop();
}

/* Fail the first allocation, then the second, until a run needs no more. */
static void test_no_memory_loses_nothing(void **state)
{
    static const size_t sizes[] = { 10, 3000, 3000, 200000, 10 };
    bool fired = true;

    (void)state;
    for (long n = 0; fired; n++) {
        world_start(1);
        world_run(10);
        fail_after = n;
        for (unsigned i = 0; i < NR(sizes); i++) {
            const int r = send_one(0, 0, AISYS_NORMAL, sizes[i]);

            assert_true(r == 0 || r == -ENOMEM);
        }
        aisys_link_flush(world.ends[0].link, world.now_ms);
        for (unsigned i = 0; i < world.packets_nr; i++) {
            const struct packet *const p = &world.packets[i];
            const int r = aisys_link_frame(world.ends[p->to].link, p->data, p->bytes, world.now_ms);

            assert_true(r == 0 || r == -ENOMEM);
            free(p->data);
        }
        world.packets_nr = 0;
        fired = fail_after == 0;
        fail_after = -1;
        world_run(300);
        assert_all_arrived();
        world_stop();
    }
}

/* ---- A link to oneself ---------------------------------------------------------------------- */

static void test_a_link_to_oneself(void **state)
{
    struct aisys_link_config config;

    (void)state;
    world_start(1);
    for (unsigned i = 0; i < 2; i++)
        aisys_link_free(world.ends[i].link);
    world.ends[0].node = world.ends[1].node; /* carrier: from end 1 to end 0 */
    config = config_of(0);
    config.peer = (uint32_t)(config.node >> 32);
    config.peer_incarnation = (uint32_t)config.node;
    assert_int_equal(aisys_link_new(&config, &ops, &world.ends[1], &world.ends[1].link), 0);
    world.ends[0].link = world.ends[1].link;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(send_one(1, i % PAIRS, i % 3, i), 0);
    world_run(50);
    assert_all_arrived();
    assert_int_equal(aisys_link_accounts(world.ends[0].link)->in_flight, 0);
    world.ends[0].link = NULL;
    world_stop();
}

/* ---- Any order of anything ------------------------------------------------------------------ */

static void random_send(void)
{
    const unsigned end = draw(&world, 2);
    const unsigned burst = draw(&world, 12);

    for (unsigned i = 0; i < burst && world.messages_nr + 2 < MESSAGES_MAX; i++) {
        const uint32_t dice = draw(&world, 100);
        const size_t bytes = dice < 2    ? 16000 + draw(&world, 250000)
                             : dice < 10 ? draw(&world, 17000)
                                         : draw(&world, 300);
        struct aisys_envelope e = envelope_of(end, draw(&world, PAIRS), draw(&world, 3), bytes);
        int r;

        if (draw(&world, 10) == 0)
            e.deadline_ms = 1 + draw(&world, 200);
        r = world_send(end, &e);
        assert_true(r == 0 || r == AISYS_SEND_FULL || r == AISYS_SEND_GONE);
    }
    aisys_link_flush(world.ends[end].link, world.now_ms);
}

static void random_restart(void)
{
    const unsigned end = draw(&world, 2);

    aisys_link_free(world.ends[end].link);
    end_start(end, 1 + draw(&world, 1000000));
}

static void random_run(uint64_t seed)
{
    world_start(seed);
    world.loss_percent = draw(&world, 3) ? draw(&world, 30) : 0;
    world.double_percent = draw(&world, 2) ? draw(&world, 30) : 0;
    world.late_percent = draw(&world, 2) ? draw(&world, 40) : 0;
    world.busy_percent = draw(&world, 2) ? draw(&world, 20) : 0;
    for (unsigned t = 0; t < 250; t++) {
        const uint32_t dice = draw(&world, 1000);

        if (dice < 120)
            random_send();
        else if (dice < 125)
            random_restart();
        else if (dice < 135)
            world.cut = !world.cut;
        else if (dice < 140)
            aisys_link_reconnected(world.ends[dice & 1].link, world.now_ms);
        world_step();
    }
    world.cut = false;
    world.loss_percent = 0;
    for (unsigned t = 0; t < 4000; t++) {
        world_step();
        if (world.packets_nr == 0 && aisys_link_next_ms(world.ends[0].link) == UINT64_MAX &&
            aisys_link_next_ms(world.ends[1].link) == UINT64_MAX && !world.ends[0].blocked &&
            !world.ends[1].blocked)
            break;
    }
}

static void test_any_order_of_anything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        random_run(seed);
        for (uint32_t i = 1; i <= world.messages_nr; i++) {
            const struct message *const m = &world.messages[i];
            const bool expired = m->lost && m->why == AISYS_LINK_LOST_DEADLINE;
            const bool alive = (m->from == world.ends[0].node && m->to == world.ends[1].node) ||
                               (m->from == world.ends[1].node && m->to == world.ends[0].node);

            if (m->delivered > 1 || m->lost > 1 ||
                (alive && !expired && (m->delivered != 1 || m->lost != 0)) ||
                (expired && m->delivered != 0))
                fail_msg("seed %u, message %u: delivered %u, lost %u", (unsigned)seed, i,
                    m->delivered, m->lost);
            if (m->delivered == 0 && m->lost == 0)
                fail_msg("seed %u, message %u vanished", (unsigned)seed, i);
        }
        assert_int_equal(aisys_link_accounts(world.ends[0].link)->in_flight, 0);
        assert_int_equal(aisys_link_accounts(world.ends[1].link)->in_flight, 0);
        assert_int_equal(aisys_link_accounts(world.ends[0].link)->bad_frames, 0);
        world_stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_then_messages),
        cmocka_unit_test(test_a_turn_is_one_frame),
        cmocka_unit_test(test_window_is_an_answer),
        cmocka_unit_test(test_small_ones_pass_a_large_one),
        cmocka_unit_test(test_many_large_ones_share),
        cmocka_unit_test(test_every_size_at_the_edges),
        cmocka_unit_test(test_busy_carrier_keeps_everything),
        cmocka_unit_test(test_lost_frames_are_sent_again),
        cmocka_unit_test(test_restarted_peer),
        cmocka_unit_test(test_closing_gives_everything_back),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_refused_frames),
        cmocka_unit_test(test_limits_are_checked),
        cmocka_unit_test(test_no_memory_loses_nothing),
        cmocka_unit_test(test_a_link_to_oneself),
        cmocka_unit_test(test_any_order_of_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
