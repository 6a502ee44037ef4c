#include "core/check.h"
#include "modules.h"

#include <aisys/diag.h>
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE_SYMBOL "aisys_module"

/* Where shared objects are, as seen from the folder of the executable: the build tree, an installation. */
static const char *const places[] = { "../../actors/*", "../lib/*/aisys", "../lib/aisys" };

int aisys_modules_init(struct aisys_modules *modules, const char *dir)
{
    *modules = (struct aisys_modules){ 0 };
    if (dir && dir[0]) {
        modules->dir = strdup(dir);
        if (!modules->dir)
            return -ENOMEM;
    }
    return 0;
}

void aisys_modules_deinit(struct aisys_modules *modules)
{
    for (unsigned i = 0; i < modules->nr; i++) {
        dlclose(modules->loaded[i].handle);
        free(modules->loaded[i].name);
    }
    free(modules->dir);
    *modules = (struct aisys_modules){ 0 };
}

static int executable_dir(char *buf, size_t size)
{
    const ssize_t n = readlink("/proc/self/exe", buf, size - 1);
    char *slash;

    if (n < 0)
        return -errno;
    buf[n] = '\0';
    slash = strrchr(buf, '/');
    if (slash)
        *slash = '\0';
    return 0;
}

/* The first existing file that @pattern matches. */
static int first_match(const char *pattern, char *buf, size_t size)
{
    glob_t found;
    int r = -ENOENT;

    if (glob(pattern, 0, NULL, &found) == 0) {
        if (found.gl_pathc > 0 && strlen(found.gl_pathv[0]) < size) {
            strcpy(buf, found.gl_pathv[0]);
            r = 0;
        }
        globfree(&found);
    }
    return r;
}

int aisys_modules_path(
    const struct aisys_modules *modules, const char *file, char *buf, size_t size)
{
    char dir[PATH_MAX - 256], pattern[PATH_MAX];
    int r;

    if (strchr(file, '/') || strpbrk(file, "*?["))
        return -ENOENT;
    if (modules->dir) {
        snprintf(pattern, sizeof(pattern), "%s/%s", modules->dir, file);
        return first_match(pattern, buf, size);
    }
    r = executable_dir(dir, sizeof(dir));
    for (size_t i = 0; r == 0 && i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(pattern, sizeof(pattern), "%s/%s/%s", dir, places[i], file);
        if (first_match(pattern, buf, size) == 0)
            return 0;
    }
    return -ENOENT;
}

static bool modules_has(const struct aisys_modules *modules, const char *name)
{
    for (unsigned i = 0; i < modules->nr; i++)
        if (strcmp(modules->loaded[i].name, name) == 0)
            return true;
    return false;
}

static int module_check(
    const struct aisys_module *module, const char *path, struct aisys_diag *diag)
{
    if (!module) {
        aisys_diag_add(diag, NULL, path, "a module of aisys-runtime", "exports no " MODULE_SYMBOL);
        return -ENOEXEC;
    }
    if (module->abi != AISYS_ABI) {
        aisys_diag_add(diag, NULL, path, "a module built for this version",
            "was built for ABI %u, this is %u", (unsigned)module->abi, AISYS_ABI);
        return -ENOEXEC;
    }
    return 0;
}

static int module_add_classes(
    const struct aisys_module *module, struct aisys_core *core, struct aisys_diag *diag)
{
    for (const struct aisys_actor_ops *const *ops = module->classes; *ops; ops++) {
        const unsigned mark = aisys_diag_enter(diag, module->name);
        struct aisys_class *class;
        const int r = aisys_core_class_add(core, *ops, diag, &class);

        if (r == -EEXIST)
            aisys_diag_add(
                diag, NULL, (*ops)->name, "one module for each class", "is there already");
        aisys_diag_leave(diag, mark);
        if (r < 0)
            return r;
    }
    return 0;
}

int aisys_modules_load(struct aisys_modules *modules, struct aisys_core *core, const char *name,
    struct aisys_diag *diag)
{
    struct aisys_loaded_module *slot = &modules->loaded[modules->nr];
    const struct aisys_module *module;
    char file[128], path[PATH_MAX];
    void *handle;
    char *copy;
    int r;

    if (modules_has(modules, name))
        return 0;
    if (modules->nr == AISYS_MODULES_MAX)
        return -ENFILE;
    snprintf(file, sizeof(file), "aisys_%s.so", name);
    r = aisys_modules_path(modules, file, path, sizeof(path));
    if (r < 0) {
        aisys_diag_add(diag, NULL, name, "the name of a module that is built or installed",
            "there is no %s", file);
        return r;
    }
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        aisys_diag_add(diag, NULL, path, "a module of aisys-runtime", "%s", dlerror());
        return -ENOEXEC;
    }
    module = dlsym(handle, MODULE_SYMBOL);
    r = module_check(module, path, diag);
    if (r < 0)
        goto fail;
    copy = strdup(name);
    if (!copy) {
        r = -ENOMEM;
        goto fail;
    }
    /* From here on its classes may be known to the core: it stays. */
    *slot = (struct aisys_loaded_module){ copy, handle, module };
    modules->nr++;
    return module_add_classes(module, core, diag);

fail:
    dlclose(handle);
    return r;
}

const char *aisys_modules_of(const struct aisys_modules *modules, const struct aisys_actor_ops *ops)
{
    for (unsigned i = 0; i < modules->nr; i++)
        for (const struct aisys_actor_ops *const *class = modules->loaded[i].module->classes;
             *class; class ++)
            if (*class == ops)
                return modules->loaded[i].name;
    return "";
}
