#include "schema/json_schema.h"

#include <errno.h>
#include <string.h>

#include "schema/field.h"
#include "schema/write.h"

struct json_schema {
    struct aisys_arena *arena;
    struct aisys_node *defs;
};

static void schema_set_string(
    struct json_schema *js, struct aisys_node *map, const char *key, const char *text)
{
    aisys_node_set(map, key, aisys_node_string(js->arena, text));
}

static struct aisys_node *schema_of_type(struct json_schema *js, const char *type)
{
    struct aisys_node *const map = aisys_node_map(js->arena);

    schema_set_string(js, map, "type", type);
    return map;
}

/* A number without a fraction is written as an integer. */
static struct aisys_node *schema_bound(struct json_schema *js, double value)
{
    return aisys_node_double(js->arena, value);
}

static struct aisys_node *schema_number_type(
    struct json_schema *js, const ProtobufCFieldDescriptor *field, const Aisys__FieldRules *rules)
{
    struct aisys_node *const map = aisys_node_map(js->arena);
    const bool is_unsigned = field->type >= PROTOBUF_C_TYPE_UINT32 && schema_is_integer(field);

    if (schema_is_64_bit(field)) {
        struct aisys_node *const types = aisys_node_list(js->arena);

        aisys_node_append(types, aisys_node_string(js->arena, "integer"));
        aisys_node_append(types, aisys_node_string(js->arena, "string"));
        aisys_node_set(map, "type", types);
    } else {
        schema_set_string(js, map, "type", schema_is_integer(field) ? "integer" : "number");
    }
    if (rules->has_min || is_unsigned)
        aisys_node_set(map, "minimum", schema_bound(js, rules->has_min ? rules->min : 0));
    if (rules->has_max)
        aisys_node_set(map, "maximum", schema_bound(js, rules->max));
    return map;
}

static struct aisys_node *schema_enum_type(struct json_schema *js, const ProtobufCEnumDescriptor *e)
{
    struct aisys_node *const map = schema_of_type(js, "string");
    struct aisys_node *const names = aisys_node_list(js->arena);

    for (unsigned i = 0; i < e->n_values; i++)
        aisys_node_append(names, aisys_node_string(js->arena, e->values[i].name));
    aisys_node_set(map, "enum", names);
    return map;
}

static struct aisys_node *schema_string_type(
    struct json_schema *js, const ProtobufCFieldDescriptor *field, const Aisys__FieldRules *rules)
{
    struct aisys_node *const map = schema_of_type(js, "string");

    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        schema_set_string(js, map, "contentEncoding", "base64");
        if (rules->has_max_len)
            aisys_node_set(
                map, "maxLength", aisys_node_uint(js->arena, (rules->max_len + 2) / 3 * 4));
        return map;
    }
    if (rules->has_min_len) /* a character has at most four bytes */
        aisys_node_set(map, "minLength", aisys_node_uint(js->arena, (rules->min_len + 3) / 4));
    if (rules->has_max_len)
        aisys_node_set(map, "maxLength", aisys_node_uint(js->arena, rules->max_len));
    if (rules->pattern != NULL)
        aisys_node_set(map, "pattern", aisys_node_printf(js->arena, "^(%s)$", rules->pattern));
    return map;
}

static struct aisys_node *schema_message_ref(
    struct json_schema *js, const ProtobufCMessageDescriptor *descriptor)
{
    struct aisys_node *const map = aisys_node_map(js->arena);

    aisys_node_set(map, "$ref", aisys_node_printf(js->arena, "#/$defs/%s", descriptor->name));
    if (aisys_node_get(js->defs, descriptor->name) == NULL) {
        struct aisys_node *const place = aisys_node_map(js->arena);
        struct aisys_node *part;

        /* The place comes first: a message may hold itself. */
        aisys_node_set(js->defs, descriptor->name, place);
        part = aisys_json_schema_part(descriptor, js->defs, js->arena);
        if (place != NULL && part != NULL)
            place->items = part->items;
    }
    return map;
}

static struct aisys_node *schema_value_type(struct json_schema *js,
    const ProtobufCFieldDescriptor *field, const struct aisys_schema_field *doc)
{
    struct aisys_node *map;

    if (doc->rules->time) {
        map = schema_of_type(js, "string");
        schema_set_string(js, map, "format", "date-time");
        return map;
    }
    if (schema_is_number(field))
        return schema_number_type(js, field, doc->rules);
    if (field->type == PROTOBUF_C_TYPE_BOOL)
        return schema_of_type(js, "boolean");
    if (field->type == PROTOBUF_C_TYPE_ENUM)
        return schema_enum_type(js, field->descriptor);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return schema_message_ref(js, field->descriptor);
    return schema_string_type(js, field, doc->rules);
}

static struct aisys_node *schema_list_type(
    struct json_schema *js, struct aisys_node *items, const Aisys__FieldRules *rules)
{
    struct aisys_node *const map = schema_of_type(js, "array");

    aisys_node_set(map, "items", items);
    if (rules->has_min_items || rules->required)
        aisys_node_set(map, "minItems",
            aisys_node_int(js->arena, rules->has_min_items ? rules->min_items : 1));
    if (rules->has_max_items)
        aisys_node_set(map, "maxItems", aisys_node_int(js->arena, rules->max_items));
    if (rules->unique)
        aisys_node_set(map, "uniqueItems", aisys_node_bool(js->arena, true));
    return map;
}

static struct aisys_node *schema_field_type(struct json_schema *js,
    const ProtobufCFieldDescriptor *field, const struct aisys_schema_field *doc)
{
    struct aisys_node *map = schema_value_type(js, field, doc);
    const Aisys__FieldRules *const rules = doc->rules;

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        map = schema_list_type(js, map, rules);
    if (*doc->comment != '\0' && rules->unit != NULL)
        aisys_node_set(
            map, "description", aisys_node_printf(js->arena, "%s (%s)", doc->comment, rules->unit));
    else if (*doc->comment != '\0')
        schema_set_string(js, map, "description", doc->comment);
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        aisys_node_set(map, "default", aisys_schema_default(field, AISYS_WRITE_NUMBERS, js->arena));
    if (rules->secret)
        aisys_node_set(map, "writeOnly", aisys_node_bool(js->arena, true));
    return map;
}

/* {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, and for at most one of them also none. */
static struct aisys_node *schema_choice(
    struct json_schema *js, const Aisys__MessageRules__Choice *choice)
{
    struct aisys_node *const map = aisys_node_map(js->arena), *const one =
                                                                  aisys_node_list(js->arena);
    struct aisys_node *const any = aisys_node_list(js->arena);

    for (size_t i = 0; i < choice->n_of; i++) {
        struct aisys_node *const required = aisys_node_list(js->arena);
        struct aisys_node *const item = aisys_node_map(js->arena);

        aisys_node_append(required, aisys_node_string(js->arena, choice->of[i]));
        aisys_node_set(item, "required", required);
        aisys_node_append(any, aisys_tree_copy(js->arena, item));
        aisys_node_append(one, item);
    }
    if (choice->at_most_one) {
        struct aisys_node *const none = aisys_node_map(js->arena);
        struct aisys_node *const some = aisys_node_map(js->arena);

        aisys_node_set(some, "anyOf", any);
        aisys_node_set(none, "not", some);
        aisys_node_append(one, none);
    }
    aisys_node_set(map, "oneOf", one);
    return map;
}

struct aisys_node *aisys_json_schema_part(const ProtobufCMessageDescriptor *descriptor,
    struct aisys_node *defs, struct aisys_arena *arena)
{
    const struct aisys_schema_message *const doc = aisys_schema_message(descriptor->name);
    struct json_schema js = { .arena = arena, .defs = defs };
    struct aisys_node *const map = schema_of_type(&js, "object");
    struct aisys_node *const fields = aisys_node_map(arena), *const required =
                                                                 aisys_node_list(arena);
    struct aisys_node *const choices = aisys_node_list(arena);

    if (map == NULL || fields == NULL || required == NULL || choices == NULL)
        return NULL;
    if (doc != NULL && *doc->comment != '\0')
        schema_set_string(&js, map, "description", doc->comment);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *const field = &descriptor->fields[i];
        const struct aisys_schema_field *const field_doc = aisys_schema_field(doc, field);

        aisys_node_set(fields, field->name, schema_field_type(&js, field, field_doc));
        if (field_doc->rules->required)
            aisys_node_append(required, aisys_node_string(arena, field->name));
    }
    aisys_node_set(map, "properties", fields);
    if (required->items.count > 0)
        aisys_node_set(map, "required", required);
    for (size_t i = 0; doc != NULL && i < doc->rules->n_choice; i++)
        aisys_node_append(choices, schema_choice(&js, doc->rules->choice[i]));
    if (choices->items.count > 0)
        aisys_node_set(map, "allOf", choices);
    aisys_node_set(map, "additionalProperties", aisys_node_bool(arena, false));
    return map;
}

int aisys_json_schema(const ProtobufCMessageDescriptor *descriptor, struct aisys_arena *arena,
    struct aisys_node **ret_schema)
{
    struct aisys_node *const root = aisys_node_map(arena), *const defs = aisys_node_map(arena);
    struct aisys_node *part;

    if (root == NULL || defs == NULL)
        return -ENOMEM;
    aisys_node_set(
        root, "$schema", aisys_node_string(arena, "https://json-schema.org/draft/2020-12/schema"));
    aisys_node_set(root, "title", aisys_node_string(arena, descriptor->name));
    part = aisys_json_schema_part(descriptor, defs, arena);
    if (part == NULL)
        return -ENOMEM;
    aisys_tree_overlay(root, part);
    if (defs->items.count > 0)
        aisys_node_set(root, "$defs", defs);
    if (aisys_arena_failed(arena))
        return -ENOMEM;
    *ret_schema = root;
    return 0;
}
