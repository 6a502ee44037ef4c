/* The module aisys_system.so. */
#include "system_classes.h"

static const struct aisys_actor_ops *const module_classes[] = {
    &aisys_orchestrator_ops,
    &aisys_health_service_ops,
    &aisys_metrics_ops,
    NULL,
};

AISYS_API extern const struct aisys_module aisys_module;
const struct aisys_module aisys_module = {
    .abi = AISYS_ABI,
    .name = "system",
    .license = "Apache-2.0",
    .classes = module_classes,
};
