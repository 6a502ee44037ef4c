/* Typed calls: requests unpacked, checked and handled, answers now and later, errors with their details. */
#include "unit.h"

#include "core/core.h"
#include "fake_env.h"
#include <aisys/diag.h>
#include <aisys/error.pb-c.h>
#include <desk.pb-c.h>
#include <errno.h>

enum { ON_RECEIPT, ON_ANY, ON_LATER };
enum how { WELL, TWICE, BAD_BYTES, WRONG_TYPE, TOO_LARGE, BADLY, PASS_ON };

static struct fake_env fake;
static struct aisys_core *core;
static struct aisys_id desk, asker;
static enum how how;
static struct aisys_diag diag;

/* What the desk remembers, and what came back. */
static const Tests__Order *kept_order;
static aisys_reply kept;
static unsigned handled_nr, ends_nr;
static int code;
static char words[500], text[200], details[200];

/* ---- The desk --------------------------------------------------------------------------------- */

static int answer(struct aisys_actor *self, const Tests__Order *order, aisys_reply reply)
{
    static uint8_t padding[40000];
    Tests__Receipt receipt = TESTS__RECEIPT__INIT;

    receipt.text = order->what;
    if (how == TOO_LARGE) {
        receipt.has_padding = 1;
        receipt.padding = (ProtobufCBinaryData){ sizeof(padding), padding };
        assert_int_equal(aisys_answer(self, reply, &receipt.base), -ENOMEM);
    } else {
        const int r = aisys_answer(self, reply, &receipt.base);

        assert_true(r == 0 || r == AISYS_SEND_GONE); /* too late, and known to be */
    }
    return 0;
}

static int desk_take(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Tests__Order *order = request;

    handled_nr++;
    switch (how) {
    case TWICE:
        answer(self, order, reply);
        assert_string_equal(order->what, "soap"); /* still there */
        assert_int_equal(aisys_fail(self, reply, AISYS_ABORTED, "again"), AISYS_SEND_GONE);
        return 0;
    case BAD_BYTES:
        return aisys_answer_bytes(self, reply, AISYS_BYTES("\xff\xff\xff", 3));
    case WRONG_TYPE:
        aisys_answer(self, reply, &order->base);
        fail();
        return 0;
    case BADLY:
        return -EIO;
    case PASS_ON:
        return aisys_fail_as(self, reply,
            &(struct aisys_end){ .code = AISYS_RESOURCE_EXHAUSTED, .words = "it arose here" });
    default:
        return answer(self, order, reply);
    }
}

static int desk_keep(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const struct aisys_then later = { .continuation = ON_LATER };

    kept_order = request;
    kept = reply;
    return aisys_after(self, 10, later);
}

static int desk_on_later(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)end;
    return answer(self, kept_order, kept);
}

static int on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    const Tests__Receipt *receipt = end->message;
    Aisys__Error *error;

    (void)self;
    ends_nr++;
    code = end->code;
    snprintf(words, sizeof(words), "%s", end->words);
    snprintf(text, sizeof(text), "%s", receipt && receipt->text ? receipt->text : "");
    details[0] = '\0';
    error = end->code != AISYS_OK ? aisys__error__unpack(NULL, end->bytes, end->data) : NULL;
    for (size_t i = 0; error && i < error->n_details; i++)
        snprintf(details, sizeof(details), "%s: %s, %s", error->details[i]->path,
            error->details[i]->problem, error->details[i]->expected);
    if (error)
        aisys__error__free_unpacked(error, NULL);
    return 0;
}

static const struct aisys_method methods[] = { { "Take", desk_take }, { "Keep", desk_keep },
    { 0 } };

static const struct aisys_continuation continuations[] = {
    [ON_RECEIPT] = { "on_receipt", on_end, &tests__receipt__descriptor },
    [ON_ANY] = { "on_any", on_end, NULL },
    [ON_LATER] = { "on_later", desk_on_later, NULL },
    { 0 },
};

static const struct aisys_actor_ops ops = {
    .abi = AISYS_ABI,
    .name = "desk",
    .service = &tests__desk__descriptor,
    .methods = methods,
    .continuations = continuations,
};

/* ---- The stage -------------------------------------------------------------------------------- */

/* As the field options would say: at most ten. */
static void validate(void *ctx, const ProtobufCMessage *message, struct aisys_diag *findings)
{
    const Tests__Order *order = (const Tests__Order *)(const void *)message;

    (void)ctx;
    assert_ptr_equal(message->descriptor, &tests__order__descriptor);
    if (order->has_count && order->count > 10)
        aisys_diag_add(findings, NULL, "count", "0 to 10", "is %u", (unsigned)order->count);
}

static int open_core(bool loopback)
{
    const struct aisys_core_options options = {
        .node = 1, .loopback = loopback, .message_bytes_max = 30000
    };
    struct aisys_class *class;

    how = WELL;
    handled_nr = ends_nr = 0;
    code = -1;
    kept_order = NULL;
    fake_env_init(&fake);
    fake.env.validate = validate;
    assert_int_equal(aisys_core_new(&fake.env, &options, &core), 0);
    fake.core = core;
    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_class_add(core, &ops, &diag, &class), 0);
    assert_int_equal(
        aisys_core_spawn(core, class, &(struct aisys_actor_options){ .name = "desk" }, &desk), 0);
    assert_int_equal(
        aisys_core_spawn(core, class, &(struct aisys_actor_options){ .name = "asker" }, &asker), 0);
    assert_int_equal(aisys_core_start(core, &diag), 0);
    fake_env_settle(&fake);
    return 0;
}

static int setup_direct(void **state)
{
    (void)state;
    return open_core(false);
}

static int setup_socket(void **state)
{
    (void)state;
    return open_core(true);
}

static int teardown(void **state)
{
    (void)state;
    aisys_core_free(core);
    fake_env_deinit(&fake);
    return 0;
}

static const struct aisys_then receipt_then = { .continuation = ON_RECEIPT, .deadline_ms = 100 };

static void call(const char *method, uint32_t count)
{
    char what[] = "soap";
    Tests__Order order = TESTS__ORDER__INIT;

    order.what = what;
    order.has_count = 1;
    order.count = count;
    assert_int_equal(
        aisys_call(aisys_core_actor(core, asker), desk, method, &order.base, receipt_then), 0);
    fake_env_settle(&fake);
}

static void call_bytes(const void *data, size_t bytes)
{
    assert_int_equal(aisys_call_packed(aisys_core_actor(core, asker), desk, "Take",
                         AISYS_BYTES(data, bytes), receipt_then),
        0);
    fake_env_settle(&fake);
}

static void expect(int expected_code, const char *expected_words)
{
    assert_int_equal(ends_nr, 1);
    assert_int_equal(code, expected_code);
    assert_string_equal(words, expected_words);
    ends_nr = 0;
}

/* ---- Cases ------------------------------------------------------------------------------------ */

static void test_a_call_is_answered(void **state)
{
    (void)state;
    call("Take", 1);
    expect(AISYS_OK, "");
    assert_string_equal(text, "soap");
    how = TWICE;
    call("Take", 1);
    expect(AISYS_OK, "");
}

static void test_an_answer_may_come_later(void **state)
{
    (void)state;
    call("Keep", 1);
    assert_int_equal(ends_nr, 0);
    assert_string_equal(kept_order->what, "soap"); /* the request lives as long as the reply */
    fake_env_pass(&fake, 10);
    expect(AISYS_OK, "");
    assert_string_equal(text, "soap");
    /* ... or too late */
    call("Keep", 1);
    fake.now_ms += 200;
    fake_env_settle(&fake);
    expect(AISYS_DEADLINE_EXCEEDED, "no answer before the deadline");
}

static void test_a_request_is_checked_first(void **state)
{
    (void)state;
    call("Take", 11);
    expect(AISYS_INVALID_ARGUMENT, "count: is 11");
    assert_string_equal(details, "count: is 11, 0 to 10");
    assert_int_equal(handled_nr, 0);
    fake.fail_alloc_after = 1; /* the message, and no more: the code at least */
    call("Take", 11);
    fake.fail_alloc_after = -1;
    assert_int_equal(ends_nr, 1);
    assert_true(code == AISYS_INVALID_ARGUMENT || code == AISYS_RESOURCE_EXHAUSTED);
}

static void test_methods_that_nobody_handles(void **state)
{
    static const char *const rows[] = { "Missing", "Nonsense" };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        call(rows[i], 1);
        expect(AISYS_UNIMPLEMENTED, "no such method");
    }
    assert_int_equal(aisys_ask(aisys_core_actor(core, asker), desk, 5, AISYS_NO_BYTES,
                         (struct aisys_then){ .continuation = ON_ANY }),
        0);
    fake_env_settle(&fake);
    expect(AISYS_UNIMPLEMENTED, "takes no untyped messages");
    assert_int_equal(aisys_send(aisys_core_actor(core, asker), desk, 5, AISYS_NO_BYTES), 0);
    fake_env_settle(&fake);
    assert_non_null(strstr(fake.log, "message_not_understood"));
}

static void test_requests_that_are_none(void **state)
{
    static unsigned char empty_orders[29998];

    (void)state;
    call_bytes("\xff\xff\xff", 3);
    expect(AISYS_INVALID_ARGUMENT, "the request is not a message of its type");
    call_bytes("\x0a\x7f", 2); /* announces what does not come */
    expect(AISYS_INVALID_ARGUMENT, "the request is not a message of its type");
    /* Small on the wire, large in memory. */
    for (size_t i = 0; i < sizeof(empty_orders); i += 2)
        empty_orders[i] = 0x1a;
    call_bytes(empty_orders, sizeof(empty_orders));
    expect(AISYS_RESOURCE_EXHAUSTED, "no memory to unpack the request");
    assert_int_equal(handled_nr, 0);
    call("Take", 1);
    expect(AISYS_OK, "");
}

static void test_handlers_that_do_wrong(void **state)
{
    static const struct {
        enum how how;
        int code;
        const char *words;
    } rows[] = {
        { BAD_BYTES, AISYS_INTERNAL, "the reply is not a message of its type" },
        { WRONG_TYPE, AISYS_INTERNAL, "the actor failed" },
        { TOO_LARGE, AISYS_RESOURCE_EXHAUSTED, "no memory for the answer, or it is too large" },
        { BADLY, AISYS_INTERNAL, "the actor failed" },
        { PASS_ON, AISYS_RESOURCE_EXHAUSTED, "it arose here" },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        how = rows[i].how;
        call("Take", 1);
        expect(rows[i].code, rows[i].words);
    }
}

/* The time between turns is time. */
static void test_a_call_after_an_idle_hour(void **state)
{
    (void)state;
    fake.now_ms += 3600000;
    assert_int_equal(aisys_after(aisys_core_actor(core, asker), 50,
                         (struct aisys_then){ .continuation = ON_ANY }),
        0);
    assert_int_equal(aisys_core_next_ms(core) <= fake.now_ms + 50, 1);
    call("Take", 1);
    expect(AISYS_OK, "");
    fake_env_pass(&fake, 49);
    assert_int_equal(ends_nr, 0);
    fake_env_pass(&fake, 1);
    assert_int_equal(ends_nr, 1);
}

static void test_deadlines_are_capped(void **state)
{
    static const struct {
        uint32_t asked, given;
    } rows[] = { { 0, 5000 }, { 1, 1 }, { 600000, 600000 }, { UINT32_MAX, 600000 } };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        Tests__Order order = TESTS__ORDER__INIT;
        const struct aisys_then then = { .continuation = ON_ANY, .deadline_ms = rows[i].asked };

        assert_int_equal(
            aisys_call(aisys_core_actor(core, asker), desk, "Keep", &order.base, then), 0);
        fake_env_settle(&fake);
        assert_int_equal(
            aisys_reply_remaining_ms(aisys_core_actor(core, desk), kept), rows[i].given);
        fake.now_ms += rows[i].given;
        ends_nr = 0;
        fake_env_settle(&fake);
        assert_int_equal(ends_nr, 1);
        fake_env_pass(&fake, 20);
    }
}

#define BOTH(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, setup_direct, teardown),                                 \
        cmocka_unit_test_setup_teardown(test, setup_socket, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_a_call_is_answered),
        BOTH(test_an_answer_may_come_later),
        BOTH(test_a_request_is_checked_first),
        BOTH(test_methods_that_nobody_handles),
        BOTH(test_requests_that_are_none),
        BOTH(test_handlers_that_do_wrong),
        BOTH(test_a_call_after_an_idle_hour),
        BOTH(test_deadlines_are_capped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
