/* The classes of this module. */
#ifndef ACTORS_SYSTEM_CLASSES_H
#define ACTORS_SYSTEM_CLASSES_H

#include <aisys/actor.h>
#include <aisys/exposition.h>

extern const struct aisys_actor_ops aisys_orchestrator_ops;
extern const struct aisys_actor_ops aisys_health_service_ops;
extern const struct aisys_actor_ops aisys_metrics_ops;

/* Declaration @i of what metrics writes, for its manual page and its test; NULL behind the last. */
const struct aisys_metric *aisys_metrics_declared(size_t i);

#endif
