#include "schema/doc.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "descriptor_set.h"
#include "google/protobuf/descriptor.pb-c.h"

typedef Google__Protobuf__FileDescriptorSet FileSet;
typedef Google__Protobuf__FileDescriptorProto File;
typedef Google__Protobuf__DescriptorProto Message;
typedef Google__Protobuf__EnumDescriptorProto Enum;
typedef Google__Protobuf__ServiceDescriptorProto Service;
typedef Google__Protobuf__SourceCodeInfo__Location Location;

#define DOC_OPTION_NUMBER 50000 /* of every extension in options.proto */
#define DOC_BUCKETS       1024u
#define DOC_BYTES_MAX     (16u * 1024u * 1024u)
#define DOC_NAME_BYTES    256
#define DOC_DEPTH_MAX     8 /* messages inside of messages */

struct doc_comment {
    const char *name;
    const char *text;
    struct doc_comment *next;
};

/* The index. Everything in it lives in the arena, until the process ends. */
static struct {
    struct aisys_arena arena;
    struct aisys_schema_message *messages[DOC_BUCKETS];
    struct doc_comment *comments[DOC_BUCKETS];
    int error; /* of loading the built-in set */
} doc;

static pthread_once_t doc_once = PTHREAD_ONCE_INIT;
static const Aisys__FieldRules doc_no_field_rules = AISYS__FIELD_RULES__INIT;
static const Aisys__MessageRules doc_no_message_rules = AISYS__MESSAGE_RULES__INIT;
static const struct aisys_schema_field doc_no_field = {
    .name = "",
    .comment = "",
    .rules = &doc_no_field_rules,
};

static unsigned doc_bucket(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash % DOC_BUCKETS;
}

static const char *doc_comment_find(const char *name)
{
    for (const struct doc_comment *c = doc.comments[doc_bucket(name)]; c != NULL; c = c->next)
        if (strcmp(c->name, name) == 0)
            return c->text;
    return "";
}

static const struct aisys_schema_message *doc_message_find(const char *name)
{
    const struct aisys_schema_message *m = doc.messages[doc_bucket(name)];

    while (m != NULL && strcmp(m->name, name) != 0)
        m = m->next;
    return m;
}

/* protoc keeps the blank that follows each comment mark, and the last newline. */
static const char *doc_clean_comment(const char *text)
{
    char *const clean = aisys_arena_strdup(&doc.arena, text);
    bool line_start = true;
    char *to = clean;

    if (clean == NULL)
        return NULL;
    for (; *text != '\0'; text++) {
        if (!(line_start && *text == ' '))
            *to++ = *text;
        line_start = *text == '\n';
    }
    while (to > clean && (to[-1] == '\n' || to[-1] == ' '))
        to--;
    *to = '\0';
    return clean;
}

static int doc_add_comment(const char *name, const char *text)
{
    struct doc_comment *const c = aisys_arena_calloc(&doc.arena, 1, sizeof(*c));
    const unsigned bucket = doc_bucket(name);

    if (c == NULL)
        return -ENOMEM;
    c->name = aisys_arena_strdup(&doc.arena, name);
    c->text = doc_clean_comment(text);
    if (c->name == NULL || c->text == NULL)
        return -ENOMEM;
    c->next = doc.comments[bucket];
    doc.comments[bucket] = c;
    return 0;
}

/* Append ".part" to @name of DOC_NAME_BYTES. */
static bool doc_name_add(char *name, const char *part)
{
    const size_t at = strlen(name);
    const int n = snprintf(name + at, DOC_NAME_BYTES - at, "%s%s", at > 0 ? "." : "", part);

    return n > 0 && (size_t)n < DOC_NAME_BYTES - at;
}

/* The names along a location's path, by the field numbers of descriptor.proto. */
enum {
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,
};

static bool doc_name_enum(char *name, const Enum *e, const int32_t *path, size_t n)
{
    if (!doc_name_add(name, e->name))
        return false;
    if (n == 0)
        return true;
    return n == 2 && path[0] == ENUM_VALUE && (size_t)path[1] < e->n_value &&
           doc_name_add(name, e->value[path[1]]->name);
}

static bool doc_name_message(char *name, const Message *m, const int32_t *path, size_t n)
{
    for (;; path += 2, n -= 2) {
        if (!doc_name_add(name, m->name))
            return false;
        if (n == 0)
            return true;
        if (n == 1)
            return false;
        if (path[0] == MESSAGE_FIELD)
            return n == 2 && (size_t)path[1] < m->n_field &&
                   doc_name_add(name, m->field[path[1]]->name);
        if (path[0] == MESSAGE_ENUM)
            return (size_t)path[1] < m->n_enum_type &&
                   doc_name_enum(name, m->enum_type[path[1]], path + 2, n - 2);
        if (path[0] != MESSAGE_NESTED || (size_t)path[1] >= m->n_nested_type)
            return false;
        m = m->nested_type[path[1]];
    }
}

static bool doc_name_service(char *name, const Service *s, const int32_t *path, size_t n)
{
    if (!doc_name_add(name, s->name))
        return false;
    if (n == 0)
        return true;
    return n == 2 && path[0] == SERVICE_METHOD && (size_t)path[1] < s->n_method &&
           doc_name_add(name, s->method[path[1]]->name);
}

/* The full name of what @location is about; false when we do not document that. */
static bool doc_name(const File *file, const Location *location, char *name)
{
    const int32_t *const path = location->path;
    const size_t n = location->n_path;

    name[0] = '\0';
    if (file->package != NULL && !doc_name_add(name, file->package))
        return false;
    if (n < 2 || path[1] < 0)
        return false;
    if (path[0] == FILE_MESSAGE && (size_t)path[1] < file->n_message_type)
        return doc_name_message(name, file->message_type[path[1]], path + 2, n - 2);
    if (path[0] == FILE_ENUM && (size_t)path[1] < file->n_enum_type)
        return doc_name_enum(name, file->enum_type[path[1]], path + 2, n - 2);
    if (path[0] == FILE_SERVICE && (size_t)path[1] < file->n_service)
        return doc_name_service(name, file->service[path[1]], path + 2, n - 2);
    return false;
}

static int doc_add_comments(const File *file)
{
    char name[DOC_NAME_BYTES];

    for (size_t i = 0; file->source_code_info != NULL && i < file->source_code_info->n_location;
         i++) {
        const Location *const location = file->source_code_info->location[i];
        const char *const text = location->leading_comments != NULL ? location->leading_comments
                                                                    : location->trailing_comments;

        if (text == NULL || !doc_name(file, location, name))
            continue;
        if (doc_add_comment(name, text) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The bytes of our extension among the unknown fields of an options message. protoc may write one
 * field for each part of it; put one behind the other they are the whole message. */
static int doc_extension(
    const ProtobufCMessage *options, struct aisys_arena *scratch, uint8_t **ret, size_t *ret_bytes)
{
    uint8_t *bytes = NULL;
    size_t n = 0;

    for (unsigned i = 0; options != NULL && i < options->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *const f = &options->unknown_fields[i];
        uint8_t *joined;
        size_t skip = 0;

        if (f->tag != DOC_OPTION_NUMBER || f->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            continue;
        while (skip < f->len && (f->data[skip] & 0x80) != 0)
            skip++;
        skip++;
        if (skip > f->len)
            return -EINVAL;
        joined = aisys_arena_alloc(scratch, n + f->len - skip);
        if (joined == NULL)
            return -ENOMEM;
        if (n > 0)
            memcpy(joined, bytes, n);
        memcpy(joined + n, f->data + skip, f->len - skip);
        bytes = joined;
        n += f->len - skip;
    }
    *ret = bytes;
    *ret_bytes = n;
    return 0;
}

static int doc_add_pattern(struct aisys_schema_field *field)
{
    const char *text;
    regex_t *pattern;

    if (field->rules->pattern == NULL)
        return 0;
    pattern = aisys_arena_calloc(&doc.arena, 1, sizeof(*pattern));
    text = aisys_arena_printf(&doc.arena, "^(%s)$", field->rules->pattern);
    if (pattern == NULL || text == NULL)
        return -ENOMEM;
    if (regcomp(pattern, text, REG_EXTENDED | REG_NOSUB) != 0)
        return -EINVAL;
    field->pattern = pattern;
    return 0;
}

static int doc_add_field(struct aisys_schema_field *field, const char *message_name,
    const Google__Protobuf__FieldDescriptorProto *proto, struct aisys_arena *scratch)
{
    ProtobufCAllocator keep = aisys_arena_protobuf(&doc.arena);
    char name[DOC_NAME_BYTES];
    uint8_t *bytes;
    size_t n;
    int r;

    snprintf(name, sizeof(name), "%s", message_name);
    if (!doc_name_add(name, proto->name))
        return -EINVAL;
    field->name = aisys_arena_strdup(&doc.arena, proto->name);
    field->number = (uint32_t)proto->number;
    field->comment = doc_comment_find(name);
    field->rules = &doc_no_field_rules;
    if (field->name == NULL)
        return -ENOMEM;
    r = doc_extension(proto->options != NULL ? &proto->options->base : NULL, scratch, &bytes, &n);
    if (r < 0 || bytes == NULL)
        return r;
    field->rules = aisys__field_rules__unpack(&keep, n, bytes);
    if (field->rules == NULL)
        return aisys_arena_failed(&doc.arena) ? -ENOMEM : -EINVAL;
    return doc_add_pattern(field);
}

static int doc_add_fields(
    struct aisys_schema_message *m, const Message *proto, struct aisys_arena *scratch)
{
    struct aisys_schema_field *const fields =
        aisys_arena_calloc(&doc.arena, proto->n_field, sizeof(*fields));

    if (fields == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < proto->n_field; i++) {
        size_t at = i;

        for (; at > 0 && fields[at - 1].number > (uint32_t)proto->field[i]->number; at--)
            fields[at] = fields[at - 1];
        memset(&fields[at], 0, sizeof(fields[at]));

        const int r = doc_add_field(&fields[at], m->name, proto->field[i], scratch);

        if (r < 0)
            return r;
    }
    m->fields = fields;
    m->field_count = proto->n_field;
    return 0;
}

static int doc_add_message(
    const char *scope, const Message *proto, unsigned depth, struct aisys_arena *scratch)
{
    ProtobufCAllocator keep = aisys_arena_protobuf(&doc.arena);
    struct aisys_schema_message *m;
    char name[DOC_NAME_BYTES];
    unsigned bucket;
    uint8_t *bytes;
    size_t n;
    int r;

    snprintf(name, sizeof(name), "%s", scope);
    if (depth == DOC_DEPTH_MAX || !doc_name_add(name, proto->name))
        return -EINVAL;
    if (doc_message_find(name) != NULL)
        return 0;
    m = aisys_arena_calloc(&doc.arena, 1, sizeof(*m));
    if (m == NULL || (m->name = aisys_arena_strdup(&doc.arena, name)) == NULL)
        return -ENOMEM;
    m->comment = doc_comment_find(name);
    m->rules = &doc_no_message_rules;
    r = doc_extension(proto->options != NULL ? &proto->options->base : NULL, scratch, &bytes, &n);
    if (r < 0)
        return r;
    if (bytes != NULL)
        m->rules = aisys__message_rules__unpack(&keep, n, bytes);
    if (m->rules == NULL)
        return -EINVAL;
    r = doc_add_fields(m, proto, scratch);
    if (r < 0)
        return r;
    bucket = doc_bucket(name);
    m->next = doc.messages[bucket];
    doc.messages[bucket] = m;

    for (size_t i = 0; i < proto->n_nested_type; i++) {
        r = doc_add_message(name, proto->nested_type[i], depth + 1, scratch);
        if (r < 0)
            return r;
    }
    return 0;
}

static int doc_add_file(const File *file, struct aisys_arena *scratch)
{
    int r = doc_add_comments(file);

    for (size_t i = 0; r == 0 && i < file->n_message_type; i++)
        r = doc_add_message(
            file->package != NULL ? file->package : "", file->message_type[i], 0, scratch);
    return r;
}

static int doc_add_set(const void *set, size_t bytes)
{
    struct aisys_arena scratch;
    ProtobufCAllocator allocator;
    FileSet *files;
    int r = -EINVAL;

    aisys_arena_init(&scratch, NULL, DOC_BYTES_MAX);
    allocator = aisys_arena_protobuf(&scratch);
    files = google__protobuf__file_descriptor_set__unpack(&allocator, bytes, set);
    if (files != NULL) {
        r = 0;
        for (size_t i = 0; r == 0 && i < files->n_file; i++)
            r = doc_add_file(files->file[i], &scratch);
    } else if (aisys_arena_failed(&scratch)) {
        r = -ENOMEM;
    }
    aisys_arena_deinit(&scratch);
    return r;
}

static void doc_load(void)
{
    aisys_arena_init(&doc.arena, NULL, DOC_BYTES_MAX);
    doc.error = doc_add_set(aisys_descriptor_set, aisys_descriptor_set_bytes);
}

int aisys_schema_load(void)
{
    pthread_once(&doc_once, doc_load);
    return doc.error;
}

int aisys_schema_add(const void *set, size_t bytes)
{
    const int r = aisys_schema_load();

    return r == 0 ? doc_add_set(set, bytes) : r;
}

const struct aisys_schema_message *aisys_schema_message(const char *full_name)
{
    aisys_schema_load();
    return doc_message_find(full_name);
}

const struct aisys_schema_field *aisys_schema_field(
    const struct aisys_schema_message *message, const ProtobufCFieldDescriptor *field)
{
    size_t low = 0;
    size_t high = message != NULL ? message->field_count : 0;

    while (low < high) {
        const size_t mid = (low + high) / 2;

        if (message->fields[mid].number == field->id)
            return &message->fields[mid];
        if (message->fields[mid].number < field->id)
            low = mid + 1;
        else
            high = mid;
    }
    return &doc_no_field;
}

const char *aisys_schema_comment(const char *full_name)
{
    aisys_schema_load();
    return doc_comment_find(full_name);
}
