#include "port/yaml_port.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "core/utf8.h"

struct yaml_anchor {
    const char *name;
    const struct aisys_node *node;
};

struct yaml_input {
    yaml_parser_t parser;
    struct aisys_arena *arena;
    struct aisys_diag *diag;
    const char *file;
    const char *text;
    size_t bytes;
    struct aisys_tree_limits limits;
    size_t nodes;
    struct yaml_anchor anchors[AISYS_YAML_ANCHORS_MAX];
    unsigned anchor_count;
};

static struct aisys_where yaml_where(const struct yaml_input *in, const yaml_mark_t *mark)
{
    return (struct aisys_where){
        .file = in->file,
        .line = (uint32_t)mark->line + 1,
        .column = (uint32_t)mark->column + 1,
    };
}

static int yaml_refuse(const struct yaml_input *in, const yaml_mark_t *mark, const char *expected,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static int yaml_refuse(const struct yaml_input *in, const yaml_mark_t *mark, const char *expected,
    const char *fmt, ...)
{
    const struct aisys_where where = yaml_where(in, mark);
    va_list ap;

    va_start(ap, fmt);
    aisys_diag_addv(in->diag, &where, "", expected, fmt, ap);
    va_end(ap);
    return AISYS_TREE_INVALID;
}

/* Whether the indentation of the line (from 0) has a tab: libyaml only says that a character cannot
 * start a token. */
static bool yaml_line_has_tab(const struct yaml_input *in, size_t line)
{
    const char *at = in->text;
    const char *const end = in->text + in->bytes;

    for (; line > 0 && at != NULL; line--) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at != NULL)
            at++;
    }
    for (; at != NULL && at < end && (*at == ' ' || *at == '\t'); at++)
        if (*at == '\t')
            return true;
    return false;
}

/* What libyaml has to say about the input. */
static int yaml_syntax(const struct yaml_input *in)
{
    const yaml_parser_t *const p = &in->parser;

    if (p->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    if (p->error == YAML_SCANNER_ERROR && yaml_line_has_tab(in, p->problem_mark.line))
        return yaml_refuse(in, &p->problem_mark, "spaces", "a tab is used to indent");
    return yaml_refuse(in, &p->problem_mark, NULL, "not YAML: %s%s%s",
        p->problem != NULL ? p->problem : "unreadable", p->context != NULL ? " " : "",
        p->context != NULL ? p->context : "");
}

static bool yaml_word(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* Sets @node to the integer that @text is: decimal, 0o or 0x, and within 64 bits. */
static bool yaml_integer(const char *text, struct aisys_node *node)
{
    const bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    int base = 10;
    uint64_t value;
    char *end;

    if (digits == text && digits[0] == '0' && (digits[1] == 'o' || digits[1] == 'x')) {
        base = digits[1] == 'o' ? 8 : 16;
        digits += 2;
    }
    if (*digits == '\0' || strspn(digits, "0123456789abcdefABCDEF") != strlen(digits))
        return false;
    errno = 0;
    value = strtoull(digits, &end, base);
    if (*end != '\0' || errno != 0 || (negative && value > (uint64_t)INT64_MAX + 1))
        return false;
    if (negative || value <= INT64_MAX) {
        node->kind = AISYS_NODE_INT;
        node->i64 = negative ? (int64_t)(0 - value) : (int64_t)value;
    } else {
        node->kind = AISYS_NODE_UINT;
        node->u64 = value;
    }
    return true;
}

static bool yaml_float(const char *text, struct aisys_node *node)
{
    static const char *const infinities[] = { ".inf", ".Inf", ".INF", "+.inf", "-.inf", NULL };
    static const char *const nans[] = { ".nan", ".NaN", ".NAN", NULL };
    char *end;

    if (yaml_word(text, infinities)) {
        node->f64 = *text == '-' ? -INFINITY : INFINITY;
    } else if (yaml_word(text, nans)) {
        node->f64 = NAN;
    } else {
        if (strspn(text, "0123456789+-.eE") != strlen(text) || strpbrk(text, "0123456789") == NULL)
            return false;
        node->f64 = strtod(text, &end);
        if (*end != '\0')
            return false;
    }
    node->kind = AISYS_NODE_DOUBLE;
    return true;
}

/* The core schema's view of a plain scalar; a string when it has none. */
static void yaml_resolve(struct aisys_node *node)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };

    node->style = AISYS_STYLE_PLAIN;
    if (yaml_word(node->text, nulls)) {
        node->kind = AISYS_NODE_NULL;
    } else if (yaml_word(node->text, trues) || yaml_word(node->text, falses)) {
        node->kind = AISYS_NODE_BOOL;
        node->boolean = yaml_word(node->text, trues);
    } else if (!yaml_integer(node->text, node)) {
        yaml_float(node->text, node);
    }
}

/* Count one more node, or @n of an alias. */
static int yaml_count(struct yaml_input *in, const yaml_mark_t *mark, size_t n)
{
    if (n > in->limits.nodes - in->nodes)
        return yaml_refuse(in, mark, NULL,
            "more than %zu values (aliases count with all they hold)", in->limits.nodes);
    in->nodes += n;
    return 0;
}

static int yaml_check_tag(
    struct yaml_input *in, const yaml_event_t *event, const yaml_char_t *tag, bool *ret_string)
{
    *ret_string = tag != NULL && strcmp((const char *)tag, YAML_STR_TAG) == 0;
    if (tag == NULL || *ret_string || strcmp((const char *)tag, "!") == 0)
        return 0;
    return yaml_refuse(
        in, &event->start_mark, "no tag", "the tag \"%s\" is not used here", (const char *)tag);
}

static int yaml_scalar(
    struct yaml_input *in, const yaml_event_t *event, struct aisys_node **ret_node)
{
    const char *const value = (const char *)event->data.scalar.value;
    const size_t bytes = event->data.scalar.length;
    struct aisys_node *node;
    bool string;
    int r;

    r = yaml_check_tag(in, event, event->data.scalar.tag, &string);
    if (r != 0)
        return r;
    node = aisys_node_string_n(in->arena, value, bytes);
    if (node == NULL)
        return -ENOMEM;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !string)
        yaml_resolve(node);
    *ret_node = node;
    return 0;
}

/* Remember the finished @node under @anchor. Only then may an alias name it, so none can be inside
 * of what it stands for. */
static int yaml_anchor(struct yaml_input *in, const yaml_mark_t *mark, const char *anchor,
    const struct aisys_node *node)
{
    if (anchor == NULL)
        return 0;
    if (in->anchor_count == AISYS_YAML_ANCHORS_MAX)
        return yaml_refuse(in, mark, NULL, "more than %d anchors", AISYS_YAML_ANCHORS_MAX);
    in->anchors[in->anchor_count].name = anchor;
    in->anchors[in->anchor_count].node = node;
    in->anchor_count++;
    return 0;
}

static unsigned yaml_depth(const struct aisys_node *node)
{
    unsigned deepest = 0;

    if (node->kind != AISYS_NODE_LIST && node->kind != AISYS_NODE_MAP)
        return 0;
    for (const struct aisys_node *at = node->items.first; at != NULL; at = at->next) {
        const unsigned depth = yaml_depth(at);

        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

static int yaml_alias(
    struct yaml_input *in, const yaml_event_t *event, unsigned depth, struct aisys_node **ret_node)
{
    const char *const name = (const char *)event->data.alias.anchor;
    const struct aisys_node *node = NULL;
    struct aisys_node *copy;
    int r;

    for (unsigned i = 0; i < in->anchor_count; i++) /* the last of a name counts */
        if (strcmp(in->anchors[i].name, name) == 0)
            node = in->anchors[i].node;
    if (node == NULL)
        return yaml_refuse(in, &event->start_mark, "the name of an anchor before it",
            "nothing is anchored as \"%s\"", name);
    if (depth + yaml_depth(node) > in->limits.depth)
        return yaml_refuse(
            in, &event->start_mark, NULL, "nested deeper than %u levels", in->limits.depth);
    r = yaml_count(in, &event->start_mark, aisys_tree_count(node) - 1);
    if (r != 0)
        return r;
    copy = aisys_tree_copy(in->arena, node);
    if (copy == NULL)
        return -ENOMEM;
    copy->key = NULL;
    *ret_node = copy;
    return 0;
}

static int yaml_next(struct yaml_input *in, yaml_event_t *ret_event)
{
    if (!yaml_parser_parse(&in->parser, ret_event))
        return yaml_syntax(in);
    return 0;
}

static int yaml_node(
    struct yaml_input *in, const yaml_event_t *event, unsigned depth, struct aisys_node **ret_node);

static int yaml_list(struct yaml_input *in, unsigned depth, struct aisys_node *list)
{
    for (;;) {
        struct aisys_node *item = NULL;
        yaml_event_t event;
        bool end;
        int r = yaml_next(in, &event);

        if (r != 0)
            return r;
        end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            r = yaml_node(in, &event, depth, &item);
        yaml_event_delete(&event);
        if (end || r != 0)
            return r;
        aisys_node_append(list, item);
    }
}

/* The key that @event is, copied. */
static int yaml_key(struct yaml_input *in, const yaml_event_t *event, const char **ret_key)
{
    const size_t bytes = event->type == YAML_SCALAR_EVENT ? event->data.scalar.length : 0;

    if (event->type != YAML_SCALAR_EVENT)
        return yaml_refuse(in, &event->start_mark, "a name", "a key that is no scalar");
    if (memchr(event->data.scalar.value, '\0', bytes) != NULL)
        return yaml_refuse(in, &event->start_mark, "a name", "a key with a NUL in it");
    *ret_key = aisys_arena_copy(in->arena, event->data.scalar.value, bytes);
    return *ret_key != NULL ? 0 : -ENOMEM;
}

static int yaml_map_value(struct yaml_input *in, unsigned depth, const char *key,
    const yaml_mark_t *mark, struct aisys_node *map)
{
    struct aisys_node *item = NULL;
    yaml_event_t event;
    int r = yaml_next(in, &event);

    if (r != 0)
        return r;
    r = yaml_node(in, &event, depth, &item);
    yaml_event_delete(&event);
    if (r != 0)
        return r;
    item->key_line = (uint32_t)mark->line + 1;
    item->key_column = (uint32_t)mark->column + 1;
    aisys_node_set(map, key, item);
    return 0;
}

static int yaml_map(struct yaml_input *in, unsigned depth, struct aisys_node *map)
{
    for (;;) {
        const char *key = NULL;
        yaml_event_t event;
        yaml_mark_t mark;
        bool end;
        int r = yaml_next(in, &event);

        if (r != 0)
            return r;
        mark = event.start_mark;
        end = event.type == YAML_MAPPING_END_EVENT;
        if (!end)
            r = yaml_key(in, &event, &key);
        yaml_event_delete(&event);
        if (end)
            return aisys_tree_check_keys(map, in->arena, in->diag, "");
        if (r == 0)
            r = yaml_map_value(in, depth, key, &mark, map);
        if (r != 0)
            return r;
    }
}

static int yaml_collection(
    struct yaml_input *in, const yaml_event_t *event, unsigned depth, struct aisys_node **ret_node)
{
    const bool list = event->type == YAML_SEQUENCE_START_EVENT;
    struct aisys_node *node;
    bool string;
    int r;

    r = yaml_check_tag(
        in, event, list ? event->data.sequence_start.tag : event->data.mapping_start.tag, &string);
    if (r != 0)
        return r;
    if (depth >= in->limits.depth)
        return yaml_refuse(
            in, &event->start_mark, NULL, "nested deeper than %u levels", in->limits.depth);
    node = list ? aisys_node_list(in->arena) : aisys_node_map(in->arena);
    if (node == NULL)
        return -ENOMEM;
    r = list ? yaml_list(in, depth + 1, node) : yaml_map(in, depth + 1, node);
    if (r == 0)
        *ret_node = node;
    return r;
}

/* The name that the node of @event is anchored as, NULL when it is not. */
static const yaml_char_t *yaml_event_anchor(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

/* The node that begins with @event (still the caller's), to its end. */
static int yaml_node(
    struct yaml_input *in, const yaml_event_t *event, unsigned depth, struct aisys_node **ret_node)
{
    const yaml_char_t *const anchor = yaml_event_anchor(event);
    const char *name = NULL;
    struct aisys_node *node = NULL;
    int r;

    if (anchor != NULL) {
        name = aisys_arena_strdup(in->arena, (const char *)anchor);
        if (name == NULL)
            return -ENOMEM;
    }
    r = yaml_count(in, &event->start_mark, 1);
    if (r != 0)
        return r;
    if (event->type == YAML_SCALAR_EVENT)
        r = yaml_scalar(in, event, &node);
    else if (event->type == YAML_ALIAS_EVENT)
        r = yaml_alias(in, event, depth, &node);
    else
        r = yaml_collection(in, event, depth, &node);
    if (r != 0)
        return r;
    node->where = yaml_where(in, &event->start_mark);
    *ret_node = node;
    return yaml_anchor(in, &event->start_mark, name, node);
}

/* The events of one document, or none, and nothing else. */
static int yaml_stream(struct yaml_input *in, struct aisys_node **ret_root)
{
    struct aisys_node *root = NULL;
    unsigned documents = 0;

    for (;;) {
        bool end = false;
        yaml_event_t event;
        int r = yaml_next(in, &event);

        if (r != 0)
            return r;
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            end = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents > 1)
                r = yaml_refuse(in, &event.start_mark, "one document", "a second document");
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        default:
            r = yaml_node(in, &event, 0, &root);
            break;
        }
        yaml_event_delete(&event);
        if (r != 0)
            return r;
        if (end)
            break;
    }
    if (root == NULL)
        root = aisys_node_null(in->arena);
    if (root == NULL || aisys_arena_failed(in->arena))
        return -ENOMEM;
    if (root->where.line == 0)
        root->where = (struct aisys_where){ .file = in->file, .line = 1, .column = 1 };
    *ret_root = root;
    return 0;
}

/* libyaml gives no position for this, so it is looked for before. */
static int yaml_check_utf8(const struct yaml_input *in)
{
    const size_t valid = aisys_utf8_valid_bytes(in->text, in->bytes);
    yaml_mark_t mark = { 0 };

    if (valid == in->bytes)
        return 0;
    for (size_t i = 0; i < valid; i++) {
        if (in->text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)in->text[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return yaml_refuse(
        in, &mark, "UTF-8", "the byte 0x%02x is not UTF-8", (unsigned char)in->text[valid]);
}

int aisys_yaml_parse(struct aisys_arena *arena, const char *file, const char *text, size_t bytes,
    const struct aisys_tree_limits *limits, struct aisys_diag *diag, struct aisys_node **ret_root)
{
    struct yaml_input in = { .arena = arena, .diag = diag, .text = text, .bytes = bytes };
    const unsigned errors = aisys_diag_errors(diag);
    struct aisys_node *root = NULL;
    int r;

    in.limits = limits != NULL ? *limits
                               : (struct aisys_tree_limits){ AISYS_YAML_BYTES_MAX,
                                     AISYS_TREE_DEPTH_MAX, AISYS_TREE_NODES_MAX };
    if (file != NULL) {
        in.file = aisys_arena_strdup(arena, file);
        if (in.file == NULL)
            return -ENOMEM;
    }
    if (bytes > in.limits.bytes) {
        const struct aisys_where where = { .file = file };

        aisys_diag_add(diag, &where, "", NULL, "%zu bytes are more than the limit of %zu", bytes,
            in.limits.bytes);
        return AISYS_TREE_INVALID;
    }
    r = yaml_check_utf8(&in);
    if (r != 0)
        return r;

    if (!yaml_parser_initialize(&in.parser))
        return -ENOMEM;
    yaml_parser_set_encoding(&in.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&in.parser, (const unsigned char *)text, bytes);
    r = yaml_stream(&in, &root);
    yaml_parser_delete(&in.parser);
    if (r == 0 && aisys_diag_errors(diag) > errors)
        return AISYS_TREE_INVALID; /* duplicate keys, all of them */
    if (r == 0)
        *ret_root = root;
    return r;
}
