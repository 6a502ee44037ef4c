/* What the parts of the configuration share:
 *     config.c         the layers, from files to one tree
 *     config_text.c    variables and --set
 *     config_agents.c  agents, depends, --only
 *     config_check.c   what holds between sections
 *     config_print.c  --print-config and --print-schema */
#ifndef AISYS_NODE_CONFIG_INTERNAL_H
#define AISYS_NODE_CONFIG_INTERNAL_H

#include "node/config.h"

struct config_load {
    const struct aisys_config_sources *sources;
    struct aisys_arena *arena;
    struct aisys_diag *diag;
    struct aisys_config *config;
    struct aisys_node *tree; /* the layers so far */
};

/* The value of @name in the environment, NULL when it is not set. */
const char *config_variable(const struct aisys_config_sources *sources, const char *name);

/* Lay AI_* variables, then --set, over the tree. 0 or -ENOMEM; findings in the diag. */
int config_add_variables(struct config_load *load);
int config_add_sets(struct config_load *load);

/* Put @text at @path ("section.key") into @map as a value from @origin. 0 or -ENOMEM. */
int config_put_text(struct config_load *load, struct aisys_node *map, const char *path,
    const char *text, const char *origin);

/* Turn @agents (the map at agents; NULL: none) into config->agents, checked. 0 or -ENOMEM. */
int config_read_agents(struct config_load *load, const struct aisys_node *agents);

/* Check what holds between sections. @tree for positions. */
void config_check(struct config_load *load);

/* The position of the value at @path; zero when the tree has none. */
struct aisys_where config_where(const struct aisys_node *tree, const char *path);

#endif
