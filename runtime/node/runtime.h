/* A node put together: loop, core, modules, doors; from its settings to its exit code.
 *
 * Threads: the thread that opens it is the loop thread.
 * Errors:  negative errno, with the reasons in the diag; what an operator must know is logged. */
#ifndef AISYS_NODE_RUNTIME_H
#define AISYS_NODE_RUNTIME_H

#include "config.h"

struct aisys_runtime;

/* Called while the modules are loaded; @class_of(@class_ctx) finds the configuration of their classes. */
typedef int (*aisys_runtime_look_fn)(
    void *ctx, struct aisys_config *config, aisys_config_class_fn class_of, void *class_ctx);

/* What can be said without running: load the modules, read and check every agent's configuration, then
 * let @look (may be NULL) look. Opens nothing else. Returns what was found wrong first: -EINVAL, -ENOENT,
 * -ENOEXEC, -ENOMEM, or what @look returned. */
int aisys_runtime_check(
    struct aisys_config *config, struct aisys_diag *diag, aisys_runtime_look_fn look, void *ctx);

/* Lock the data directory, load modules, open doors, begin to start the actors. @config is borrowed until
 * close; its agents' configurations are read on the way. -EWOULDBLOCK or -EADDRINUSE: somebody has the directory
 * or a door; -EINVAL: the configuration is wrong. On an error nothing is left open. */
int aisys_runtime_open(
    struct aisys_config *config, struct aisys_diag *diag, struct aisys_runtime **ret_runtime);

/* Run until a signal has stopped it. Returns the exit code: 0, or 1 when something was not drained or not
 * closed, as the log says. */
int aisys_runtime_run(struct aisys_runtime *runtime);

/* Release everything. Does not return, and ends the process with run()'s exit code, when a job or a socket would
 * not end: what they use cannot be released, and exit() would wait for them. NULL is fine. */
void aisys_runtime_close(struct aisys_runtime *runtime);

#endif
