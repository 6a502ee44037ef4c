/* A core in virtual time with actors on it, and somebody who calls their methods: what tests of actors
 * share. Requests are validated as on a node, by the options of their .proto.
 *
 *     struct stage stage;
 *
 *     stage_open(&stage);
 *     stage_add(&stage, &aisys_metrics_ops, &(struct aisys_actor_options){ .name = "metrics" });
 *     stage_start(&stage);
 *     stage_call(&stage, "metrics", "Expose", &request.base);
 *     reply = stage_reply(&stage, &aisys__system__expose_reply__descriptor);    // or stage.code, .words
 *     stage_close(&stage);                                  // the accounts add up, nothing leaks
 *
 * Threads: the main one; everything is asserted with cmocka. */
#ifndef TESTS_ACTOR_STAGE_H
#define TESTS_ACTOR_STAGE_H

#include "core/core.h"
#include "fake_env.h"

#define STAGE_REPLY_BYTES (24u * 1024 * 1024)

struct stage {
    struct fake_env fake;
    struct aisys_core *core;
    struct aisys_id caller;
    uint32_t deadline_ms; /* of calls; 0: the default */

    /* Of the last call. */
    bool ended;
    int code;
    char words[512];
    unsigned char *data; /* owned */
    size_t bytes;
    ProtobufCMessage *reply; /* owned; the last that stage_reply() gave */
};

void stage_open(struct stage *stage);

/* Add an actor of class @ops; its class is made known first, when it is not. */
struct aisys_id stage_add(struct stage *stage, const struct aisys_actor_ops *ops,
    const struct aisys_actor_options *options);

/* Start what was added, and let it settle. */
void stage_start(struct stage *stage);

/* Begin a call, and no more: see stage.ended. */
void stage_begin(
    struct stage *stage, const char *to, const char *method, const ProtobufCMessage *request);

/* ... and settle: asserts that it has ended. Returns stage.code. */
int stage_call(
    struct stage *stage, const char *to, const char *method, const ProtobufCMessage *request);

/* The reply of the last call, which is asserted to have ended well; borrowed until the next one. */
const void *stage_reply(struct stage *stage, const ProtobufCMessageDescriptor *type);

void stage_close(struct stage *stage);

#endif
