/* A tree as YAML text that any YAML 1.1 or 1.2 reader takes for the same: block style, two spaces,
 * strings quoted wherever a reader might take them for something else. Written here and not by
 * libyaml, whose emitter has no comments: the origin of a value goes beside it.
 *
 * Threads and errors as in tree_json.h. */
#ifndef AISYS_CORE_TREE_YAML_H
#define AISYS_CORE_TREE_YAML_H

#include "core/tree_json.h"

/* What to write behind the line of @node ("base.yaml:12"), or NULL. The text is used at once. */
typedef const char *(*aisys_yaml_comment_fn)(void *ctx, const struct aisys_node *node);

/* Write @node. @comment may be NULL; @comment_ctx is its. */
int aisys_tree_yaml_write(const struct aisys_node *node, aisys_yaml_comment_fn comment,
    void *comment_ctx, aisys_text_fn sink, void *ctx);

#endif
