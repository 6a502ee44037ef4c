/* Modules: shared objects that hold classes. Loaded once each, checked before anything of them runs.
 *
 * Threads: the loop thread, before and while the node starts.
 * Errors:  negative errno, with the reason in the diag. */
#ifndef AISYS_NODE_MODULES_H
#define AISYS_NODE_MODULES_H

#include "core/core.h"

#define AISYS_MODULES_MAX 64

struct aisys_loaded_module {
    char *name;
    void *handle;
    const struct aisys_module *module;
};

struct aisys_modules {
    char *dir; /* owned; NULL: the places beside the executable */
    struct aisys_loaded_module loaded[AISYS_MODULES_MAX];
    unsigned nr;
};

int aisys_modules_init(struct aisys_modules *modules, const char *dir);

/* The classes in them must be in use no more. */
void aisys_modules_deinit(struct aisys_modules *modules);

/* Load module @name ("memory" is aisys_memory.so) unless it is there, and make its classes known. -ENOENT,
 * -ENOEXEC (not a module, or of another ABI), -EINVAL (a class is wrong), -ENOMEM, -ENFILE. */
int aisys_modules_load(struct aisys_modules *modules, struct aisys_core *core, const char *name,
    struct aisys_diag *diag);

/* The module's name that brought @ops, "" for the node's own. */
const char *aisys_modules_of(
    const struct aisys_modules *modules, const struct aisys_actor_ops *ops);

/* The path of the file with that base name (an engine of a module), where modules are; -ENOENT. */
int aisys_modules_path(
    const struct aisys_modules *modules, const char *file, char *buf, size_t size);

#endif
