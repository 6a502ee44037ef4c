/* YAML text to a tree with positions, by libyaml. The way back is core/tree_yaml.h.
 *
 * Scalars follow the YAML 1.2 core schema: unquoted true, false, null, integers and floats have
 * their type and keep their text (style PLAIN), anything else is a string; so `on` is a string,
 * and a string field that is given an unquoted 5555 still gets "5555". Refused: more than one
 * document, duplicate keys, keys that are no scalars, tags other than !!str, what is no UTF-8, and
 * anything past the limits; an alias counts with all that it stands for.
 *
 * Threads: any, one at a time per arena. */
#ifndef AISYS_PORT_YAML_H
#define AISYS_PORT_YAML_H

#include "core/tree.h"

#define AISYS_YAML_BYTES_MAX   (1024u * 1024u)
#define AISYS_YAML_ANCHORS_MAX 64

/* Parse @bytes of @text. @file (copied; NULL for none) goes into every position. @limits may be
 * NULL: AISYS_YAML_BYTES_MAX and the maxima of tree.h. An empty text is a null node.
 *
 * Returns 0, AISYS_TREE_INVALID with the findings in @diag (one, but all duplicate keys), or
 * -ENOMEM. */
int aisys_yaml_parse(struct aisys_arena *arena, const char *file, const char *text, size_t bytes,
    const struct aisys_tree_limits *limits, struct aisys_diag *diag, struct aisys_node **ret_root);

#endif
