/* The node's NNG doors: requests (REP) and events (PUB).
 *
 * The request door speaks the bare text `health_check` -> `healthy` or `unhealthy: <why>`, and JSON calls:
 *
 *     {"to":"memory_orchestrator","method":"Search","args":{...},"deadline_ms":5000}
 *     {"ok":true,"result":{...}}
 *     {"ok":false,"error":{"code":"NOT_FOUND","message":"...","details":[...]}}
 *
 * It listens on tcp, on ipc://<data.dir>/run/request.sock (mode 0600) and on inproc://aisys/<node>/request.
 *
 * Threads: the loop thread.  Errors: negative errno, what is taken in the diag. */
#ifndef AISYS_NODE_DOORS_H
#define AISYS_NODE_DOORS_H

#include "api.h"
#include "config.h"
#include "port/nng_port.h"

struct aisys_doors;

int aisys_doors_open(struct aisys_nng *nng, const struct aisys_config *config,
    struct aisys_api *api, struct aisys_core *core, struct aisys_diag *diag,
    struct aisys_doors **ret_doors);

/* The addresses in use. */
const char *aisys_doors_request_url(const struct aisys_doors *doors);
const char *aisys_doors_events_url(const struct aisys_doors *doors);

/* Publish @json under @topic (error, health, reload, actor). */
void aisys_doors_publish(
    struct aisys_doors *doors, const char *topic, const char *json, size_t bytes);

void aisys_doors_stats(const struct aisys_doors *doors, struct aisys_nng_stats *ret_requests,
    struct aisys_nng_stats *ret_events);

/* @closed(@arg) when nothing of them is left. NULL doors: at once. */
void aisys_doors_close(struct aisys_doors *doors, void (*closed)(void *arg), void *arg);

#endif
