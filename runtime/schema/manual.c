#include "schema/manual.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schema/field.h"
#include "schema/write.h"

#define MANUAL_MESSAGES_MAX 64

struct manual {
    struct aisys_arena *scratch;
    aisys_text_fn sink;
    void *ctx;
    int error;
    /* Messages met in fields, described behind what uses them, each once. */
    const ProtobufCMessageDescriptor *messages[MANUAL_MESSAGES_MAX];
    unsigned message_count;
};

static void manual_put(struct manual *manual, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void manual_put(struct manual *manual, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf, sizeof(buf), fmt, ap);
    va_end(ap);
    if (manual->error == 0)
        manual->error = manual->sink(manual->ctx, buf, strlen(buf));
}

static void manual_heading(struct manual *manual, unsigned level, const char *text)
{
    for (unsigned i = 0; i < level; i++)
        manual_put(manual, "#");
    manual_put(manual, " %s\n\n", text);
}

/* @text line by line; inside of a table a line break is a blank and a bar is escaped. */
static void manual_text(struct manual *manual, const char *text, bool in_table)
{
    for (; *text != '\0'; text++) {
        if (in_table && (*text == '\n' || *text == '|'))
            manual_put(manual, "%s", *text == '|' ? "\\|" : " ");
        else
            manual_put(manual, "%c", *text);
    }
}

static void manual_note(struct manual *manual, const ProtobufCMessageDescriptor *message)
{
    for (unsigned i = 0; i < manual->message_count; i++)
        if (manual->messages[i] == message)
            return;
    if (manual->message_count < MANUAL_MESSAGES_MAX)
        manual->messages[manual->message_count++] = message;
}

static void manual_default(struct manual *manual, const ProtobufCFieldDescriptor *field)
{
    struct aisys_node *const node =
        field->label != PROTOBUF_C_LABEL_REPEATED
            ? aisys_schema_default(field, AISYS_WRITE_NUMBERS, manual->scratch)
            : NULL;
    char *text;

    if (node == NULL || aisys_tree_json(manual->scratch, node, 0, &text, NULL) < 0)
        return;
    manual_put(manual, "`");
    manual_text(manual, text, true);
    manual_put(manual, "`");
}

static void manual_field(struct manual *manual, const ProtobufCFieldDescriptor *field,
    const struct aisys_schema_field *doc)
{
    char expected[SCHEMA_WORDS_BYTES];

    schema_expected_field(field, doc, expected, sizeof(expected));
    manual_put(manual, "| `%s`%s | ", field->name, doc->rules->required ? " (required)" : "");
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessageDescriptor *const inner = field->descriptor;

        manual_note(manual, inner);
        manual_put(manual, "%s%s", field->label == PROTOBUF_C_LABEL_REPEATED ? "a list of " : "",
            inner->short_name);
    } else {
        manual_text(manual, expected, true);
    }
    manual_put(manual, " | ");
    manual_default(manual, field);
    manual_put(manual, " | ");
    manual_text(manual, doc->comment, true);
    manual_put(manual, "%s |\n", doc->rules->secret ? " Secret: never shown." : "");
}

static void manual_fields(struct manual *manual, const ProtobufCMessageDescriptor *message)
{
    const struct aisys_schema_message *const doc = aisys_schema_message(message->name);

    if (message->n_fields == 0) {
        manual_put(manual, "No fields.\n\n");
        return;
    }
    manual_put(manual, "| field | what | default | |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < message->n_fields; i++)
        manual_field(manual, &message->fields[i], aisys_schema_field(doc, &message->fields[i]));
    manual_put(manual, "\n");
    for (size_t i = 0; doc != NULL && i < doc->rules->n_choice; i++) {
        const Aisys__MessageRules__Choice *const choice = doc->rules->choice[i];

        manual_put(manual, choice->at_most_one ? "At most one of" : "Exactly one of");
        for (size_t j = 0; j < choice->n_of; j++)
            manual_put(manual, "%s `%s`", j > 0 ? "," : "", choice->of[j]);
        manual_put(manual, ".\n\n");
    }
}

static void manual_comment(struct manual *manual, const char *comment)
{
    if (*comment == '\0')
        return;
    manual_text(manual, comment, false);
    manual_put(manual, "\n\n");
}

static void manual_inner_messages(struct manual *manual, unsigned level)
{
    for (unsigned i = 0; i < manual->message_count; i++) {
        manual_heading(manual, level, manual->messages[i]->short_name);
        manual_comment(manual, aisys_schema_comment(manual->messages[i]->name));
        manual_fields(manual, manual->messages[i]); /* may note more */
    }
}

static void manual_method(struct manual *manual, const ProtobufCServiceDescriptor *service,
    const ProtobufCMethodDescriptor *method, unsigned level)
{
    char name[256];

    manual_heading(manual, level, method->name);
    snprintf(name, sizeof(name), "%s.%s", service->name, method->name);
    manual_comment(manual, aisys_schema_comment(name));
    manual_put(manual, "Request (%s):\n\n", method->input->short_name);
    manual_fields(manual, method->input);
    manual_put(manual, "Reply (%s):\n\n", method->output->short_name);
    manual_fields(manual, method->output);
}

int aisys_manual_service(const ProtobufCServiceDescriptor *service, unsigned level,
    struct aisys_arena *scratch, aisys_text_fn sink, void *ctx)
{
    struct manual manual = { .scratch = scratch, .sink = sink, .ctx = ctx };

    manual_heading(&manual, level, service->short_name);
    manual_comment(&manual, aisys_schema_comment(service->name));
    for (unsigned i = 0; i < service->n_methods; i++)
        manual_method(&manual, service, &service->methods[i], level + 1);
    manual_inner_messages(&manual, level + 1);
    return aisys_arena_failed(scratch) ? -ENOMEM : manual.error;
}

int aisys_manual_message(const ProtobufCMessageDescriptor *message, unsigned level,
    struct aisys_arena *scratch, aisys_text_fn sink, void *ctx)
{
    struct manual manual = { .scratch = scratch, .sink = sink, .ctx = ctx };

    manual_heading(&manual, level, message->short_name);
    manual_comment(&manual, aisys_schema_comment(message->name));
    manual_fields(&manual, message);
    manual_inner_messages(&manual, level + 1);
    return aisys_arena_failed(scratch) ? -ENOMEM : manual.error;
}
