/* The node's HTTP doors: the API with its health pages on one port, metrics on another.
 *
 *     /health                            what HealthService.Check says: "healthy", "degraded" (200) or "unhealthy" (503)
 *     /livez                             200 while the loop turns
 *     /readyz                            200 when every actor runs, else 503 and why
 *     /api/v1/actors                     Orchestrator.List
 *     /api/v1/actors/<actor>             Orchestrator.Describe
 *     /api/v1/actors/<actor>/<Method>    POST: the request message in, the reply message out
 *     /metrics                           (on its own port) Metrics.Expose
 *
 * A deadline in milliseconds may come in the header X-Deadline-Ms.
 *
 * Threads: the loop thread.  Errors: negative errno, what is taken in the diag. */
#ifndef AISYS_NODE_HTTP_H
#define AISYS_NODE_HTTP_H

#include "api.h"
#include "config.h"
#include "log.h"
#include "port/http_port.h"

struct uv_loop_s;
struct aisys_http_doors;

int aisys_http_doors_open(struct uv_loop_s *loop, const struct aisys_config *config,
    struct aisys_api *api, struct aisys_core *core, struct aisys_log *log, struct aisys_diag *diag,
    struct aisys_http_doors **ret_doors);

uint16_t aisys_http_doors_port(const struct aisys_http_doors *doors);
uint16_t aisys_http_doors_metrics_port(const struct aisys_http_doors *doors);

void aisys_http_doors_stats(const struct aisys_http_doors *doors, struct aisys_http_stats *ret_api,
    struct aisys_http_stats *ret_metrics);

/* Let what is open be answered for up to @grace_ms; then @closed(@arg). NULL doors: at once. */
void aisys_http_doors_close(
    struct aisys_http_doors *doors, uint32_t grace_ms, void (*closed)(void *arg), void *arg);

#endif
