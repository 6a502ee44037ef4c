/* aisysctl: what its commands share. One thread, one command, then the process ends. */
#ifndef AISYSCTL_CTL_H
#define AISYSCTL_CTL_H

#include <protobuf-c/protobuf-c.h>

#include "core/tree.h"
#include "options.h"
#include "show.h"

struct ctl {
    struct ctl_options options;
    struct aisys_arena arena; /* of everything, until the end */
    FILE *out;
    FILE *err;
    bool color; /* of out */
};

/* --- asking (ask.c) -------------------------------------------------------------------------------- */

/* Ask actor @to. @args: a map, NULL for none. Returns 0 with the method's reply, in the arena; else the
 * exit code of what went wrong, which was said on err. */
int ctl_ask(struct ctl *ctl, const char *to, const char *method, struct aisys_node *args,
    const struct aisys_node **ret_reply);

/* The same, but an error that the actor answers is for the caller to judge: *@ret_error is set instead of
 * *@ret_reply, and nothing is said. */
int ctl_ask_either(struct ctl *ctl, const char *to, const char *method, struct aisys_node *args,
    const struct aisys_node **ret_reply, const struct aisys_node **ret_error);

/* The request as the door wants it (NUL-terminated, in the arena); NULL: no memory. */
const char *ctl_ask_text(struct ctl *ctl, const char *to, const char *method,
    struct aisys_node *args, size_t *ret_bytes);

/* Read what the door answered. As ctl_ask_either(). */
int ctl_ask_read(struct ctl *ctl, const char *text, size_t bytes,
    const struct aisys_node **ret_reply, const struct aisys_node **ret_error);

/* Say an error answer on err, with its details; returns the exit code that it means. */
int ctl_ask_error(struct ctl *ctl, const struct aisys_node *error);

/* No memory: says so. */
int ctl_no_memory(struct ctl *ctl);

/* --- what is known of services (service.c) ------------------------------------------------------------ */

/* The service with that full name; NULL: this program does not know it. */
const ProtobufCServiceDescriptor *ctl_service_find(const char *full_name);

/* The service whose name is @actor's in CamelCase ("memory_orchestrator": MemoryOrchestrator), or NULL. */
const ProtobufCServiceDescriptor *ctl_service_guess(const char *actor);

/* The service of a running @actor, as the node says, else by its name; NULL: not known. Says nothing;
 * returns an exit code only when the node was not reached. */
int ctl_service_of(
    struct ctl *ctl, const char *actor, const ProtobufCServiceDescriptor **ret_service);

const ProtobufCMethodDescriptor *ctl_service_method(
    const ProtobufCServiceDescriptor *service, const char *method);

/* --- words (words.c) -------------------------------------------------------------------------------------- */

/* The arguments of a call from key=value words. @input NULL: nothing is known of the method, and a value is
 * taken as JSON where it is JSON, else as text. Returns 0 or an exit code, after saying why. */
int ctl_words(struct ctl *ctl, const ProtobufCMessageDescriptor *input, char *const *words,
    int words_nr, struct aisys_node **ret_args);

/* The arguments from a JSON object on @in. */
int ctl_words_stdin(struct ctl *ctl, FILE *in, struct aisys_node **ret_args);

/* --- commands: each returns an exit code ------------------------------------------------------------------ */

int ctl_call(struct ctl *ctl);
int ctl_ps(struct ctl *ctl);
int ctl_describe(struct ctl *ctl);
int ctl_health(struct ctl *ctl);
int ctl_config(struct ctl *ctl);
int ctl_completion(struct ctl *ctl);

/* What ps and health make of a reply; for tests. */
void ctl_ps_show(struct ctl *ctl, const struct aisys_node *reply);
int ctl_health_show(struct ctl *ctl, const struct aisys_node *reply);
void ctl_describe_show(struct ctl *ctl, const struct aisys_node *reply, const char *method);

/* The aisys-runtime that belongs to this program; false: there is none beside it. */
bool ctl_runtime_path(char *buf, size_t size);

/* The colour of a health status or a state. */
enum ctl_color ctl_status_color(const char *status);

#endif
