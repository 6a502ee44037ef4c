/* Everything about one actor, as Describe answers it. */
#include "orchestrator.h"

#include <errno.h>
#include <stdio.h>

#define MESSAGES_MAX       64u /* message types that one actor is described with */
#define CONFIG_BYTES_FIRST 4096u
#define CONFIG_BYTES_MAX   (1024u * 1024)

static const char *comment_of(const struct scratch *scratch, const char *full_name)
{
    const struct aisys_node_facts *facts = aisys_system_facts(scratch->self);

    return facts->comment ? facts->comment(facts->ctx, full_name) : "";
}

/* ---- Types ------------------------------------------------------------------------------------ */

struct types {
    const ProtobufCMessageDescriptor *found[MESSAGES_MAX];
    size_t nr;
};

static void types_add(struct types *types, const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < types->nr; i++)
        if (types->found[i] == type)
            return;
    if (types->nr < MESSAGES_MAX)
        types->found[types->nr++] = type;
}

/* Methods and configuration, then what their fields are made of. */
static void types_collect(struct types *types, const struct aisys_actor_ops *ops)
{
    types->nr = 0;
    for (unsigned i = 0; ops->service && i < ops->service->n_methods; i++) {
        types_add(types, ops->service->methods[i].input);
        types_add(types, ops->service->methods[i].output);
    }
    if (ops->config)
        types_add(types, ops->config);
    for (size_t i = 0; i < types->nr; i++)
        for (unsigned k = 0; k < types->found[i]->n_fields; k++)
            if (types->found[i]->fields[k].type == PROTOBUF_C_TYPE_MESSAGE)
                types_add(types, types->found[i]->fields[k].descriptor);
}

static const char *type_name(const ProtobufCFieldDescriptor *field)
{
    static const char *const names[] = {
        [PROTOBUF_C_TYPE_INT32] = "int32",
        [PROTOBUF_C_TYPE_SINT32] = "sint32",
        [PROTOBUF_C_TYPE_SFIXED32] = "sfixed32",
        [PROTOBUF_C_TYPE_INT64] = "int64",
        [PROTOBUF_C_TYPE_SINT64] = "sint64",
        [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
        [PROTOBUF_C_TYPE_UINT32] = "uint32",
        [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
        [PROTOBUF_C_TYPE_UINT64] = "uint64",
        [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
        [PROTOBUF_C_TYPE_FLOAT] = "float",
        [PROTOBUF_C_TYPE_DOUBLE] = "double",
        [PROTOBUF_C_TYPE_BOOL] = "bool",
        [PROTOBUF_C_TYPE_STRING] = "string",
        [PROTOBUF_C_TYPE_BYTES] = "bytes",
    };

    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return ((const ProtobufCMessageDescriptor *)field->descriptor)->name;
    if (field->type == PROTOBUF_C_TYPE_ENUM)
        return ((const ProtobufCEnumDescriptor *)field->descriptor)->name;
    return (unsigned)field->type < sizeof(names) / sizeof(names[0]) ? names[field->type] : "";
}

static void fill_values(
    struct scratch *scratch, const ProtobufCEnumDescriptor *type, Aisys__System__Field *field)
{
    field->values = scratch_alloc(scratch, type->n_values * sizeof(char *));
    for (unsigned i = 0; field->values && i < type->n_values; i++)
        field->values[field->n_values++] = text_or_unset(type->values[i].name);
}

static void fill_field(struct scratch *scratch, const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *descriptor, Aisys__System__Field *field)
{
    aisys__system__field__init(field);
    field->name = text_or_unset(descriptor->name);
    field->type = text_or_unset(type_name(descriptor));
    field->has_repeated = field->repeated = descriptor->label == PROTOBUF_C_LABEL_REPEATED;
    field->comment = text_or_unset(
        comment_of(scratch, scratch_text(scratch, "%s.%s", type->name, descriptor->name)));
    if (descriptor->type == PROTOBUF_C_TYPE_ENUM)
        fill_values(scratch, descriptor->descriptor, field);
}

static void fill_message(struct scratch *scratch, const ProtobufCMessageDescriptor *type,
    Aisys__System__Message *message)
{
    Aisys__System__Field *fields = scratch_alloc(scratch, type->n_fields * sizeof(*fields));

    aisys__system__message__init(message);
    message->name = text_or_unset(type->name);
    message->comment = text_or_unset(comment_of(scratch, type->name));
    message->fields = scratch_alloc(scratch, type->n_fields * sizeof(Aisys__System__Field *));
    for (unsigned i = 0; message->fields && i < type->n_fields; i++) {
        fill_field(scratch, type, &type->fields[i], &fields[i]);
        message->fields[message->n_fields++] = &fields[i];
    }
}

static void fill_messages(
    struct scratch *scratch, const struct aisys_actor_ops *ops, Aisys__System__DescribeReply *reply)
{
    Aisys__System__Message *messages;
    struct types types;

    types_collect(&types, ops);
    messages = scratch_alloc(scratch, types.nr * sizeof(*messages));
    reply->messages = scratch_alloc(scratch, types.nr * sizeof(Aisys__System__Message *));
    for (size_t i = 0; reply->messages && i < types.nr; i++) {
        fill_message(scratch, types.found[i], &messages[i]);
        reply->messages[reply->n_messages++] = &messages[i];
    }
}

static void fill_service(struct scratch *scratch, const ProtobufCServiceDescriptor *service,
    Aisys__System__DescribeReply *reply)
{
    Aisys__System__Method *methods = scratch_alloc(scratch, service->n_methods * sizeof(*methods));

    reply->service = text_or_unset(service->name);
    reply->comment = text_or_unset(comment_of(scratch, service->name));
    reply->methods = scratch_alloc(scratch, service->n_methods * sizeof(Aisys__System__Method *));
    for (unsigned i = 0; reply->methods && i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];

        aisys__system__method__init(&methods[i]);
        methods[i].name = text_or_unset(method->name);
        methods[i].input = text_or_unset(method->input->name);
        methods[i].output = text_or_unset(method->output->name);
        methods[i].comment = text_or_unset(
            comment_of(scratch, scratch_text(scratch, "%s.%s", service->name, method->name)));
        reply->methods[reply->n_methods++] = &methods[i];
    }
}

/* ---- Figures ---------------------------------------------------------------------------------- */

/* The upper bound of the bucket in which the @part-th of all lies, in us. */
static double quantile_us(const struct aisys_histogram *histogram, double part)
{
    const double wanted = part * (double)histogram->count;
    uint64_t seen = 0;

    for (unsigned i = 0; i < AISYS_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen && (double)seen >= wanted)
            return (double)(UINT64_C(2) << i) / 1e3;
    }
    return 0;
}

static Aisys__System__Times *times(struct scratch *scratch, const struct aisys_histogram *histogram)
{
    Aisys__System__Times *t;

    if (!histogram || !histogram->count)
        return NULL;
    t = scratch_alloc(scratch, sizeof(*t));
    if (!t)
        return NULL;
    aisys__system__times__init(t);
    t->has_count = t->has_mean_us = t->has_p50_us = t->has_p99_us = true;
    t->count = histogram->count;
    t->mean_us = (double)histogram->sum_ns / (double)histogram->count / 1e3;
    t->p50_us = quantile_us(histogram, 0.5);
    t->p99_us = quantile_us(histogram, 0.99);
    return t;
}

static Aisys__System__Accounts *accounts(struct scratch *scratch, const struct aisys_accounts *from)
{
    Aisys__System__Accounts *a = scratch_alloc(scratch, sizeof(*a));

    if (!a)
        return NULL;
    aisys__system__accounts__init(a);
    a->has_offered = a->has_handled = a->has_failed = a->has_refused = a->has_dropped =
        a->has_dead = a->has_queued = a->has_in_hand = true;
    a->offered = from->offered;
    a->handled = from->handled;
    a->failed = from->failed;
    a->refused = from->refused;
    a->dropped = from->dropped;
    a->dead = from->dead;
    a->queued = from->queued;
    a->in_hand = from->in_hand;
    return a;
}

static Aisys__System__Limits *limits(struct scratch *scratch, const struct aisys_actor_info *info)
{
    Aisys__System__Limits *l = scratch_alloc(scratch, sizeof(*l));

    if (!l)
        return NULL;
    aisys__system__limits__init(l);
    l->has_mailbox_messages = l->has_mailbox_bytes = true;
    l->mailbox_messages = info->mailbox_messages_max;
    l->mailbox_bytes = info->mailbox_bytes_max;
    l->has_memory_bytes = info->memory_bytes_max != 0;
    l->memory_bytes = info->memory_bytes_max;
    return l;
}

/* The configuration as JSON; NULL when there is none, or nobody who could write it. */
static char *config_json(struct scratch *scratch, const struct aisys_actor_info *info)
{
    const struct aisys_node_facts *facts = aisys_system_facts(scratch->self);
    int r = -ENOSPC;

    if (!info->config || !facts->json)
        return NULL;
    for (size_t bytes = CONFIG_BYTES_FIRST; bytes <= CONFIG_BYTES_MAX && r == -ENOSPC;
         bytes *= 16) {
        char *text = scratch_alloc(scratch, bytes);

        if (!text)
            return NULL;
        r = facts->json(facts->ctx, info->config, text, bytes);
        if (r == 0)
            return text;
    }
    return scratch_text(scratch, "\"cannot be shown: %s\"", r == -ENOSPC ? "too long" : "an error");
}

static void fill_depends(struct scratch *scratch, const struct aisys_actor_info *info,
    Aisys__System__DescribeReply *reply)
{
    size_t nr = 0;

    while (info->depends[nr])
        nr++;
    reply->depends = scratch_alloc(scratch, nr * sizeof(char *));
    for (size_t i = 0; reply->depends && i < nr; i++)
        reply->depends[reply->n_depends++] = text_or_unset(info->depends[i]);
}

void orchestrator_fill_description(struct scratch *scratch, const struct aisys_actor_info *info,
    Aisys__System__DescribeReply *ret_reply)
{
    aisys__system__describe_reply__init(ret_reply);
    ret_reply->actor = scratch_alloc(scratch, sizeof(*ret_reply->actor));
    if (!ret_reply->actor)
        return;
    orchestrator_fill_actor(scratch, info, ret_reply->actor);
    if (info->ops->service)
        fill_service(scratch, info->ops->service, ret_reply);
    fill_messages(scratch, info->ops, ret_reply);
    fill_depends(scratch, info, ret_reply);
    ret_reply->config = config_json(scratch, info);
    if (info->ops->config)
        ret_reply->config_type = text_or_unset(info->ops->config->name);
    ret_reply->accounts = accounts(scratch, &info->accounts);
    ret_reply->limits = limits(scratch, info);
    ret_reply->wait = times(scratch, info->wait);
    ret_reply->handling = times(scratch, info->handle);
    ret_reply->has_memory_peak_bytes = ret_reply->has_open_work = ret_reply->has_open_answers =
        true;
    ret_reply->memory_peak_bytes = info->memory_peak_bytes;
    ret_reply->open_work = info->open_ops;
    ret_reply->open_answers = info->open_replies;
    ret_reply->last_failure = text_or_unset(info->last_failure);
}
