/* From the configuration to actors: each agent's module, class and own configuration.
 *
 * Threads: the loop thread, before the core starts.
 * Errors:  negative errno, all reasons in the diag. */
#ifndef AISYS_NODE_AGENTS_H
#define AISYS_NODE_AGENTS_H

#include "config.h"
#include "core/core.h"
#include "modules.h"

/* Load what @config names and add its actors to @core. Goes through all of
 * them, so that all faults are told at once; returns the first: -EINVAL, -ENOENT, -ENOEXEC, -ENOMEM. */
int aisys_agents_add(struct aisys_modules *modules, struct aisys_core *core,
    struct aisys_config *config, struct aisys_diag *diag);

#endif
