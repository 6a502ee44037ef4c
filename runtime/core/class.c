/* Classes: ops tables, checked and indexed once. */
#include "internal.h"

#include <errno.h>

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), 32 bits: a method's number on every wire. */
uint32_t aisys_method_id(const char *name)
{
    uint32_t hash = 2166136261u;

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

const struct class_method *aisys_class_method(const struct aisys_class *class, uint32_t id)
{
    for (unsigned i = 0; i < class->methods_nr; i++)
        if (class->methods[i].id == id)
            return &class->methods[i];
    return NULL;
}

struct aisys_class *aisys_core_class(const struct aisys_core *core, const char *name)
{
    for (struct aisys_class *class = core->classes; class; class = class->next)
        if (strcmp(class->ops->name, name) == 0)
            return class;
    return NULL;
}

const struct aisys_actor_ops *aisys_class_ops(const struct aisys_class *class)
{
    return class->ops;
}

static const struct aisys_method *ops_method(const struct aisys_actor_ops *ops, const char *name)
{
    for (const struct aisys_method *method = ops->methods; method && method->name; method++)
        if (strcmp(method->name, name) == 0)
            return method;
    return NULL;
}

/* Everything that is wrong with @ops, into @diag. */
static void class_check(const struct aisys_actor_ops *ops, struct aisys_diag *diag)
{
    if (ops->methods && ops->methods[0].name && !ops->service) {
        aisys_diag_add(diag, NULL, "methods", "a service", "methods without a service");
        return;
    }
    for (const struct aisys_method *method = ops->methods; method && method->name; method++) {
        if (!protobuf_c_service_descriptor_get_method_by_name(ops->service, method->name))
            aisys_diag_add(diag, NULL, method->name, "a method of the service",
                "%s has no such method", ops->service->name);
        if (!method->handle)
            aisys_diag_add(diag, NULL, method->name, "a handler", "no handler");
        if (ops_method(ops, method->name) != method)
            aisys_diag_add(diag, NULL, method->name, "one handler", "two handlers");
    }
    for (const struct aisys_continuation *c = ops->continuations; c && c->name; c++) {
        if (!c->handle)
            aisys_diag_add(diag, NULL, c->name, "a handler", "no handler");
        for (const struct aisys_continuation *other = ops->continuations; other < c; other++)
            if (strcmp(other->name, c->name) == 0)
                aisys_diag_add(diag, NULL, c->name, "another name", "two continuations have it");
    }
    for (unsigned i = 0; ops->service && i < ops->service->n_methods; i++)
        for (unsigned k = i + 1; k < ops->service->n_methods; k++)
            if (aisys_method_id(ops->service->methods[i].name) ==
                aisys_method_id(ops->service->methods[k].name))
                aisys_diag_add(diag, NULL, ops->service->methods[i].name, "another name",
                    "same number on the wire as %s", ops->service->methods[k].name);
}

int aisys_core_class_add(struct aisys_core *core, const struct aisys_actor_ops *ops,
    struct aisys_diag *diag, struct aisys_class **ret_class)
{
    const unsigned before = aisys_diag_errors(diag);
    struct aisys_class *class;

    if (ops->abi != AISYS_ABI) {
        aisys_diag_add(diag, NULL, ops->name ? ops->name : "class",
            "a module built for this runtime", "built for ABI %u, this is %u", (unsigned)ops->abi,
            AISYS_ABI);
        return -EINVAL;
    }
    if (!ops->name || !ops->name[0]) {
        aisys_diag_add(diag, NULL, "name", "a class name", "a class without a name");
        return -EINVAL;
    }
    class_check(ops, diag);
    if (aisys_diag_errors(diag) != before)
        return -EINVAL;
    if (aisys_core_class(core, ops->name))
        return -EEXIST;

    class = core_calloc(core, sizeof(*class));
    if (!class)
        return -ENOMEM;
    class->ops = ops;
    class->methods_nr = ops->service ? ops->service->n_methods : 0;
    if (class->methods_nr) {
        class->methods = core_calloc(core, class->methods_nr * sizeof(*class->methods));
        if (!class->methods) {
            core_release(core, class);
            return -ENOMEM;
        }
    }
    for (unsigned i = 0; i < class->methods_nr; i++) {
        const ProtobufCMethodDescriptor *descriptor = &ops->service->methods[i];
        const struct aisys_method *method = ops_method(ops, descriptor->name);

        class->methods[i] = (struct class_method){ .id = aisys_method_id(descriptor->name),
            .descriptor = descriptor,
            .handle = method ? method->handle : NULL };
    }
    for (const struct aisys_continuation *c = ops->continuations; c && c->name; c++)
        class->continuations_nr++;
    class->next = core->classes;
    core->classes = class;
    *ret_class = class;
    return 0;
}
