/* The module aisys_vision.so: its classes, and how it opens its engines, which lie beside it. */

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "vision_processing.h"

/* dlopen() of @module in the directory that this code was loaded from; never closed again. */
static const void *module_open_engine(
    const char *module, const char *symbol, struct vision_error *err)
{
    const void *table;
    char path[1024];
    const char *slash;
    void *handle;
    Dl_info here;

    if (dladdr(&aisys_vision_open_engine, &here) == 0 || here.dli_fname == NULL ||
        (slash = strrchr(here.dli_fname, '/')) == NULL ||
        snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - here.dli_fname), here.dli_fname,
            module) >= (int)sizeof(path))
        snprintf(path, sizeof(path), "%s", module); /* then the system's search path */
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL) {
        aisys_vision_fail(err, AISYS_UNAVAILABLE, "no engine: %s", dlerror());
        return NULL;
    }
    table = dlsym(handle, symbol);
    if (table == NULL)
        aisys_vision_fail(err, AISYS_UNAVAILABLE, "no engine: %s has no table %s", module, symbol);
    return table;
}

vision_open_engine_fn aisys_vision_open_engine = module_open_engine;

static const struct aisys_actor_ops *const module_classes[] = {
    &aisys_vision_processing_ops,
    NULL,
};

AISYS_API extern const struct aisys_module aisys_module;
const struct aisys_module aisys_module = {
    .abi = AISYS_ABI,
    .name = "vision",
    .license = "Apache-2.0",
    .classes = module_classes,
};
