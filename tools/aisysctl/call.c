/* aisysctl call ACTOR METHOD [key=value... | -] */
#include <string.h>

#include "core/base64.h"
#include "core/utf8.h"
#include "ctl.h"

/* --- bytes that are text ---------------------------------------------------------------------- */

static bool is_readable(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t')
            return false;
    return aisys_utf8_valid(text, bytes);
}

/* Make of base64 the text that it is, if it is one; else say what it is. */
static void show_bytes(struct ctl *ctl, struct aisys_node *node)
{
    char *data = aisys_arena_alloc(&ctl->arena, AISYS_BASE64_DATA_BYTES(node->text_bytes) + 1);
    size_t bytes;

    if (!data || !aisys_base64_decode(node->text, node->text_bytes, (uint8_t *)data, &bytes))
        return;
    data[bytes] = '\0';
    if (!is_readable(data, bytes)) {
        data = aisys_arena_printf(&ctl->arena, "%.*s (base64)", (int)node->text_bytes, node->text);
        bytes = data ? strlen(data) : 0;
    }
    if (data) {
        node->text = data;
        node->text_bytes = bytes;
    }
}

static void for_people(
    struct ctl *ctl, struct aisys_node *map, const ProtobufCMessageDescriptor *message);

static void value_for_people(
    struct ctl *ctl, struct aisys_node *node, const ProtobufCFieldDescriptor *field)
{
    if (field->type == PROTOBUF_C_TYPE_BYTES && node->kind == AISYS_NODE_STRING)
        show_bytes(ctl, node);
    else if (field->type == PROTOBUF_C_TYPE_MESSAGE && node->kind == AISYS_NODE_MAP)
        for_people(ctl, node, field->descriptor);
}

/* Bytes in JSON are base64, which nobody reads. */
static void for_people(
    struct ctl *ctl, struct aisys_node *map, const ProtobufCMessageDescriptor *message)
{
    for (struct aisys_node *at = map->items.first; at; at = at->next) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(message, at->key);

        if (!field)
            continue;
        value_for_people(ctl, at, field);
        if (at->kind == AISYS_NODE_LIST)
            for (struct aisys_node *item = at->items.first; item; item = item->next)
                value_for_people(ctl, item, field);
    }
}

/* --- the call --------------------------------------------------------------------------------- */

/* Show @reply; it is what @method gives, when that is known. */
static void call_show(
    struct ctl *ctl, const struct aisys_node *reply, const ProtobufCMethodDescriptor *method)
{
    struct aisys_node *copy;

    if (ctl->options.json) {
        ctl_show_json(ctl->out, reply);
        return;
    }
    copy = aisys_tree_copy(&ctl->arena, reply);
    if (!copy)
        return;
    if (method && copy->kind == AISYS_NODE_MAP)
        for_people(ctl, copy, method->output);
    if (copy->kind == AISYS_NODE_MAP && copy->items.count == 0)
        fprintf(ctl->out, "done\n");
    else
        ctl_show_tree(ctl->out, copy);
}

int ctl_call(struct ctl *ctl)
{
    const char *actor = ctl->options.args[0];
    char *const *words = ctl->options.args + 2;
    const int words_nr = ctl->options.args_nr - 2;
    const ProtobufCServiceDescriptor *service = ctl_service_guess(actor);
    const ProtobufCMethodDescriptor *method;
    const struct aisys_node *reply;
    struct aisys_node *args = NULL;
    int r = 0;

    /* Words must become what the method takes, so the node is asked; for the rest the name will do. */
    if (words_nr == 1 && strcmp(words[0], "-") == 0)
        r = ctl_words_stdin(ctl, stdin, &args);
    else if (words_nr > 0)
        r = ctl_service_of(ctl, actor, &service);
    method = ctl_service_method(service, ctl->options.args[1]);
    if (r == 0 && words_nr > 0 && !args)
        r = ctl_words(ctl, method ? method->input : NULL, words, words_nr, &args);
    if (r == 0)
        r = ctl_ask(ctl, actor, ctl->options.args[1], args, &reply);
    if (r != 0)
        return r;
    call_show(ctl, reply, method);
    return aisys_arena_failed(&ctl->arena) ? ctl_no_memory(ctl) : CTL_OK;
}
