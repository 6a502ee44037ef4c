/* aisysctl describe ACTOR [METHOD]: orchestrator.Describe, with what the .proto files say of the service
 * where this program has them; of others it shows what the node tells. */
#include <stdarg.h>
#include <string.h>

#include "core/tree_json.h"
#include "ctl.h"
#include "port/jansson_port.h"
#include "schema/doc.h"
#include "schema/field.h"
#include "schema/write.h"

#define DEPTH_MAX 3 /* messages inside of messages */

static void heading(struct ctl *ctl, const char *text)
{
    fprintf(ctl->out, ctl->color ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

static void comment(struct ctl *ctl, const char *text, unsigned indent)
{
    if (!text || !*text)
        return;
    fprintf(ctl->out, "%*s", (int)indent, "");
    ctl_show_lines(ctl->out, text, strlen(text), indent);
    fputc('\n', ctl->out);
}

/* "  label    value", when there is a value. */
static void line(struct ctl *ctl, const char *label, const char *value)
{
    if (!value || !*value)
        return;
    fprintf(ctl->out, "  %-10s ", label);
    ctl_show_line(ctl->out, value, strlen(value));
    fputc('\n', ctl->out);
}

static void field(
    struct ctl *ctl, const char *name, const char *what, const char *words, unsigned indent)
{
    fprintf(ctl->out, "%*s", (int)indent, "");
    ctl_show_line(ctl->out, name, strlen(name));
    fputs("  ", ctl->out);
    ctl_show_line(ctl->out, what, strlen(what));
    fputc('\n', ctl->out);
    comment(ctl, words, indent + 4);
}

/* --- methods by their descriptors -------------------------------------------------------------------- */

static const char *field_what(
    struct ctl *ctl, const ProtobufCFieldDescriptor *f, const struct aisys_schema_field *doc)
{
    const bool list = f->label == PROTOBUF_C_LABEL_REPEATED;
    struct aisys_node *value =
        list ? NULL : aisys_schema_default(f, AISYS_WRITE_NUMBERS, &ctl->arena);
    const char *needed = doc->rules->required ? ", required" : "";
    char expected[SCHEMA_WORDS_BYTES];
    char *text = NULL;

    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return aisys_arena_printf(&ctl->arena, "%s%s%s", list ? "a list of " : "",
            ((const ProtobufCMessageDescriptor *)f->descriptor)->short_name, needed);
    schema_expected_field(f, doc, expected, sizeof(expected));
    /* JSON has base64 for bytes; words and answers here have the bytes. */
    if (f->type == PROTOBUF_C_TYPE_BYTES && strncmp(expected, "base64", 6) == 0)
        return aisys_arena_printf(&ctl->arena, "bytes%s%s", expected + 6, needed);
    if (value && aisys_tree_json(&ctl->arena, value, 0, &text, NULL) < 0)
        text = NULL;
    return aisys_arena_printf(
        &ctl->arena, "%s%s%s%s", expected, needed, text ? "; default " : "", text ? text : "");
}

static void descriptor_fields(
    struct ctl *ctl, const ProtobufCMessageDescriptor *message, unsigned indent, unsigned depth)
{
    const struct aisys_schema_message *doc = aisys_schema_message(message->name);

    for (unsigned i = 0; i < message->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &message->fields[i];
        const struct aisys_schema_field *said = aisys_schema_field(doc, f);
        const char *what = field_what(ctl, f, said);

        field(ctl, f->name, what ? what : "", said->comment, indent);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && depth > 1)
            descriptor_fields(ctl, f->descriptor, indent + 4, depth - 1);
    }
}

static void descriptor_method(struct ctl *ctl, const ProtobufCServiceDescriptor *service,
    const ProtobufCMethodDescriptor *method)
{
    const char *name = aisys_arena_printf(&ctl->arena, "%s.%s", service->name, method->name);

    heading(ctl, method->name);
    comment(ctl, name ? aisys_schema_comment(name) : "", 2);
    if (method->input->n_fields > 0) {
        fprintf(ctl->out, "  takes\n");
        descriptor_fields(ctl, method->input, 4, DEPTH_MAX);
    }
    if (method->output->n_fields > 0) {
        fprintf(ctl->out, "  gives\n");
        descriptor_fields(ctl, method->output, 4, DEPTH_MAX);
    }
}

/* --- methods as the node tells ------------------------------------------------------------------------- */

static const struct aisys_node *first_of(const struct aisys_node *map, const char *key)
{
    const struct aisys_node *list = aisys_node_get(map, key);

    return list && list->kind == AISYS_NODE_LIST ? list->items.first : NULL;
}

/* The element of the list at @key that is called @name. */
static const struct aisys_node *named(
    const struct aisys_node *map, const char *key, const char *name)
{
    for (const struct aisys_node *at = first_of(map, key); at; at = at->next) {
        const char *its = aisys_node_get_string(at, "name");

        if (its && name && strcmp(its, name) == 0)
            return at;
    }
    return NULL;
}

static void told_fields(struct ctl *ctl, const struct aisys_node *reply, const char *message,
    unsigned indent, unsigned depth)
{
    const struct aisys_node *fields = named(reply, "messages", message);

    for (const struct aisys_node *at = first_of(fields, "fields"); at; at = at->next) {
        const struct aisys_node *repeated = aisys_node_get(at, "repeated");
        const bool list = repeated && repeated->kind == AISYS_NODE_BOOL && repeated->boolean;
        const char *name = aisys_node_get_string(at, "name");
        const char *type = aisys_node_get_string(at, "type");
        const char *what =
            aisys_arena_printf(&ctl->arena, "%s%s", list ? "a list of " : "", type ? type : "?");

        field(
            ctl, name ? name : "?", what ? what : "", aisys_node_get_string(at, "comment"), indent);
        if (type && depth > 1)
            told_fields(ctl, reply, type, indent + 4, depth - 1);
    }
}

static void told_method(
    struct ctl *ctl, const struct aisys_node *reply, const struct aisys_node *method)
{
    const char *name = aisys_node_get_string(method, "name");
    const char *input = aisys_node_get_string(method, "input");
    const char *output = aisys_node_get_string(method, "output");

    heading(ctl, name ? name : "?");
    comment(ctl, aisys_node_get_string(method, "comment"), 2);
    if (first_of(named(reply, "messages", input), "fields")) {
        fprintf(ctl->out, "  takes\n");
        told_fields(ctl, reply, input, 4, DEPTH_MAX);
    }
    if (first_of(named(reply, "messages", output), "fields")) {
        fprintf(ctl->out, "  gives\n");
        told_fields(ctl, reply, output, 4, DEPTH_MAX);
    }
}

/* --- the actor ------------------------------------------------------------------------------------------- */

static const char *or_nothing(const char *text)
{
    return text ? text : "";
}

static void show_actor(struct ctl *ctl, const struct aisys_node *reply)
{
    const struct aisys_node *actor = aisys_node_get(reply, "actor");
    const char *alias = aisys_node_get_string(actor, "alias");
    const char *state = aisys_node_get_string(actor, "state");
    const char *health = aisys_node_get_string(actor, "health");
    const struct ctl_cell cells[] = { { aisys_node_get_string(actor, "name"), CTL_BOLD },
        { state, ctl_status_color(state) }, { health, ctl_status_color(health) } };

    ctl_show_table(ctl->out, &(struct ctl_table){ 3, "lll", cells, NULL, 1 }, ctl->color);
    comment(ctl, aisys_node_get_string(reply, "comment"), 2);
    line(ctl, "why", aisys_node_get_string(actor, "why"));
    line(ctl, "alias", alias);
    line(ctl, "class", aisys_node_get_string(actor, "class"));
    line(ctl, "module", aisys_node_get_string(actor, "module"));
    line(ctl, "service", aisys_node_get_string(reply, "service"));
    line(ctl, "failed", aisys_node_get_string(reply, "last_failure"));
}

static void show_depends(struct ctl *ctl, const struct aisys_node *reply)
{
    const char *all = "";

    for (const struct aisys_node *at = first_of(reply, "depends"); at && all; at = at->next)
        if (at->kind == AISYS_NODE_STRING)
            all = aisys_arena_printf(&ctl->arena, "%s%s%s", all, *all ? ", " : "", at->text);
    line(ctl, "depends", all);
}

/* "offered 12 = handled 11 + queued 1": the parts that are not zero. */
static void show_accounts(struct ctl *ctl, const struct aisys_node *reply)
{
    static const char *const parts[] = { "handled", "failed", "refused", "dropped", "dead",
        "queued", "in_hand" };
    const struct aisys_node *accounts = aisys_node_get(reply, "accounts");
    const char *text;
    double n = 0;
    bool first = true;

    if (!accounts)
        return;
    ctl_node_number(accounts, "offered", &n);
    text = aisys_arena_printf(&ctl->arena, "%.0f offered", n);
    for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts) && text; i++) {
        if (!ctl_node_number(accounts, parts[i], &n) || n == 0)
            continue;
        text =
            aisys_arena_printf(&ctl->arena, "%s %s %.0f %s", text, first ? "=" : "+", n, parts[i]);
        first = false;
    }
    line(ctl, "messages", text);
}

static void show_memory(struct ctl *ctl, const struct aisys_node *reply)
{
    const struct aisys_node *limits = aisys_node_get(reply, "limits");
    char now[CTL_SHOW_QUANTITY_BYTES], peak[CTL_SHOW_QUANTITY_BYTES], most[CTL_SHOW_QUANTITY_BYTES];
    double n = 0, peak_n = 0, limit = 0, messages = 0, bytes = 0;

    ctl_node_number(aisys_node_get(reply, "actor"), "memory_bytes", &n);
    ctl_node_number(reply, "memory_peak_bytes", &peak_n);
    line(ctl, "memory",
        ctl_node_number(limits, "memory_bytes", &limit)
            ? aisys_arena_printf(&ctl->arena, "%s now, %s at most so far, limit %s",
                  ctl_show_bytes(n, now), ctl_show_bytes(peak_n, peak), ctl_show_bytes(limit, most))
            : aisys_arena_printf(&ctl->arena, "%s now, %s at most so far, no limit",
                  ctl_show_bytes(n, now), ctl_show_bytes(peak_n, peak)));
    if (ctl_node_number(limits, "mailbox_messages", &messages) &&
        ctl_node_number(limits, "mailbox_bytes", &bytes))
        line(ctl, "mailbox",
            aisys_arena_printf(
                &ctl->arena, "at most %.0f messages or %s", messages, ctl_show_bytes(bytes, most)));
}

static void show_times(struct ctl *ctl, const struct aisys_node *reply, const char *key)
{
    const struct aisys_node *times = aisys_node_get(reply, key);
    char mean[CTL_SHOW_QUANTITY_BYTES], p50[CTL_SHOW_QUANTITY_BYTES], p99[CTL_SHOW_QUANTITY_BYTES];
    double a = 0, b = 0, c = 0;

    if (!times)
        return;
    ctl_node_number(times, "mean_us", &a);
    ctl_node_number(times, "p50_us", &b);
    ctl_node_number(times, "p99_us", &c);
    line(ctl, key,
        aisys_arena_printf(&ctl->arena, "mean %s, half below %s, 99 %% below %s",
            ctl_show_duration(a / 1e3, mean), ctl_show_duration(b / 1e3, p50),
            ctl_show_duration(c / 1e3, p99)));
}

static void show_config(struct ctl *ctl, const struct aisys_node *reply)
{
    const struct aisys_node *config = aisys_node_get(reply, "config");
    struct aisys_diag diag;
    struct aisys_node *root;

    if (!config || config->kind != AISYS_NODE_STRING)
        return;
    aisys_diag_init(&diag);
    if (aisys_json_parse(&ctl->arena, config->text, config->text_bytes, NULL, &diag, &root) != 0)
        return;
    heading(ctl, "Configuration");
    ctl_show_tree(ctl->out, root);
}

static void show_methods(struct ctl *ctl, const struct aisys_node *reply, const char *only)
{
    const char *name = aisys_node_get_string(reply, "service");
    const ProtobufCServiceDescriptor *service = name ? ctl_service_find(name) : NULL;

    if (service) {
        for (unsigned i = 0; i < service->n_methods; i++)
            if (!only || strcmp(only, service->methods[i].name) == 0)
                descriptor_method(ctl, service, &service->methods[i]);
        return;
    }
    for (const struct aisys_node *at = first_of(reply, "methods"); at; at = at->next)
        if (!only || strcmp(only, or_nothing(aisys_node_get_string(at, "name"))) == 0)
            told_method(ctl, reply, at);
}

void ctl_describe_show(struct ctl *ctl, const struct aisys_node *reply, const char *method)
{
    if (!method) {
        show_actor(ctl, reply);
        show_depends(ctl, reply);
        show_accounts(ctl, reply);
        show_memory(ctl, reply);
        show_times(ctl, reply, "wait");
        show_times(ctl, reply, "handling");
    }
    show_methods(ctl, reply, method);
    if (!method)
        show_config(ctl, reply);
}

/* Whether the actor has @method; says what it has when not. */
static bool has_method(struct ctl *ctl, const struct aisys_node *reply, const char *method)
{
    if (named(reply, "methods", method))
        return true;
    fprintf(ctl->err, "aisysctl: ");
    ctl_show_line(ctl->err, ctl->options.args[0], strlen(ctl->options.args[0]));
    fprintf(ctl->err, " has no method ");
    ctl_show_line(ctl->err, method, strlen(method));
    fprintf(ctl->err, "; it has:");
    for (const struct aisys_node *at = first_of(reply, "methods"); at; at = at->next) {
        const char *name = or_nothing(aisys_node_get_string(at, "name"));

        fputc(' ', ctl->err);
        ctl_show_line(ctl->err, name, strlen(name));
    }
    fputc('\n', ctl->err);
    return false;
}

int ctl_describe(struct ctl *ctl)
{
    const char *method = ctl->options.args_nr > 1 ? ctl->options.args[1] : NULL;
    struct aisys_node *args = aisys_node_map(&ctl->arena);
    const struct aisys_node *reply;
    int r;

    aisys_node_set(args, "actor", aisys_node_string(&ctl->arena, ctl->options.args[0]));
    r = ctl_ask(ctl, "orchestrator", "Describe", args, &reply);
    if (r != 0)
        return r;
    if (method && !has_method(ctl, reply, method))
        return CTL_FAILED;
    if (ctl->options.json)
        ctl_show_json(ctl->out, reply);
    else
        ctl_describe_show(ctl, reply, method);
    return aisys_arena_failed(&ctl->arena) ? ctl_no_memory(ctl) : CTL_OK;
}
