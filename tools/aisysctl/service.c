/* Which service an actor speaks. */
#include <ctype.h>
#include <string.h>

#include "ctl.h"
#include "services.h"

const ProtobufCServiceDescriptor *ctl_service_find(const char *full_name)
{
    for (const ProtobufCServiceDescriptor *const *at = aisys_services; *at; at++)
        if (strcmp((*at)->name, full_name) == 0)
            return *at;
    return NULL;
}

/* Whether @camel ("MemoryOrchestrator") is @snake ("memory_orchestrator"). */
static bool is_same_name(const char *camel, const char *snake)
{
    for (; *camel; camel++, snake++) {
        if (isupper((unsigned char)*camel) && *snake == '_')
            snake++;
        if (tolower((unsigned char)*camel) != *snake)
            return false;
    }
    return *snake == '\0';
}

const ProtobufCServiceDescriptor *ctl_service_guess(const char *actor)
{
    for (const ProtobufCServiceDescriptor *const *at = aisys_services; *at; at++)
        if (is_same_name((*at)->short_name, actor))
            return *at;
    return NULL;
}

int ctl_service_of(
    struct ctl *ctl, const char *actor, const ProtobufCServiceDescriptor **ret_service)
{
    struct aisys_node *args = aisys_node_map(&ctl->arena);
    const struct aisys_node *reply, *error;
    const char *name;
    int r;

    aisys_node_set(args, "actor", aisys_node_string(&ctl->arena, actor));
    r = ctl_ask_either(ctl, "orchestrator", "Describe", args, &reply, &error);
    if (r != 0)
        return r;
    name = reply ? aisys_node_get_string(reply, "service") : NULL;
    *ret_service = name ? ctl_service_find(name) : ctl_service_guess(actor);
    return 0;
}

const ProtobufCMethodDescriptor *ctl_service_method(
    const ProtobufCServiceDescriptor *service, const char *method)
{
    return service ? protobuf_c_service_descriptor_get_method_by_name(service, method) : NULL;
}
