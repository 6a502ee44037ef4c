/* The module aisys_memory.so: its classes. */
#include "memory/cache_manager.h"
#include "memory/memory_orchestrator.h"

static const struct aisys_actor_ops *const module_classes[] = {
    &aisys_cache_manager_ops,
    &aisys_memory_orchestrator_ops,
    NULL,
};

AISYS_API extern const struct aisys_module aisys_module;
const struct aisys_module aisys_module = {
    .abi = AISYS_ABI,
    .name = "memory",
    .license = "Apache-2.0",
    .classes = module_classes,
};
