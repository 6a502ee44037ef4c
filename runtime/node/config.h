/* The configuration of a node: laid together from layers, checked as a whole, every value knowing
 * where it came from.
 *
 * Layers, later wins, key by key (a null takes a key or an agent out again; an empty section says
 * nothing):
 *   1 defaults/base.yaml         in sources.directory
 *   2 defaults/<env>.yaml        dev, staging, prod
 *   3 roles/<role>.yaml          the agents of this machine
 *   4 the operator's             a file, or every *.yaml of a directory by name (--config)
 *   5 AI_<SECTION>_<KEY>         lists by commas; AI_MAIN_PC_HOST=h adds the peer main_pc=h
 *   6 --set section.key=value, --set agents.NAME.config.KEY=value
 *
 * What proto/aisys/config.proto says about the values is enforced here; an agent's own `config`
 * stays a tree until the module that has its class is there to describe it
 * (aisys_config_agent_read).
 *
 * Use: load; for each agent open its module and read its config; let the class check it, then
 * aisys_config_locate() so that its findings have positions; if the diag has errors print them and
 * exit 78, else print its warnings and start.
 *
 * Threads: any, one at a time; a loaded configuration is read-only.
 * Memory:  all of it lives in the arena given to load.
 * Errors:  0; -ENOMEM; the positive outcomes below. Findings go to the diag, all of them at once,
 *          with file:line:column, the variable or "--set" as their place. */
#ifndef AISYS_NODE_CONFIG_H
#define AISYS_NODE_CONFIG_H

#include <aisys/diag.h>

#include "aisys/config.pb-c.h"
#include "core/arena.h"
#include "core/tree_json.h"

#define AISYS_CONFIG_INVALID 1 /* the diag has errors; the configuration is good for finding more */
#define AISYS_CONFIG_NO_ROLE 2 /* neither --role nor AI_SYSTEM_MACHINE; nothing was read */

/* The infrastructure actors' module: defaults/base.yaml has them on every node, and --only keeps them. */
#define AISYS_CONFIG_SYSTEM_MODULE "system"

#define AISYS_CONFIG_AGENTS_MAX 512
#define AISYS_CONFIG_BYTES_MAX  (64u * 1024u * 1024u) /* a fair limit for the arena */

/* Read the whole file @path into @arena, NUL behind. 0 or a negative errno. */
typedef int (*aisys_config_read_fn)(
    void *ctx, const char *path, struct aisys_arena *arena, char **ret_text, size_t *ret_bytes);

/* Where to look. Everything is borrowed for the call. NULL is "not given" for all but directory. */
struct aisys_config_sources {
    const char *directory;      /* with defaults/ and roles/: config/ of the checkout or /etc */
    const char *role;           /* --role; else AI_SYSTEM_MACHINE */
    const char *env;            /* --env; else AI_SYSTEM_ENV, ENVIRONMENT, "dev" */
    const char *operator_path;  /* --config */
    const char *const *environ; /* "NAME=value", NULL ends */
    const char *const *sets;    /* --set: "section.key=value", NULL ends */
    const char *only;           /* --only: "NAME,NAME" */
    const char *data_dir;       /* for data.dir when nothing sets it; else var/<role> in dev,
                                   /var/lib/ai-system/<role> otherwise */
    aisys_config_read_fn read;  /* NULL: the C library */
    void *read_ctx;
};

struct aisys_config_agent {
    const char *name;
    const char *class_name;                     /* options->class_, or the name */
    const Aisys__AgentConfig *options;          /* complete but for strings without a default */
    const Aisys__AgentConfig__Mailbox *mailbox; /* never NULL */
    const Aisys__AgentConfig__Limits *limits;   /* never NULL */
    const struct aisys_node *node;              /* its entry, with positions, without config */
    const struct aisys_node *config;            /* its config; NULL when it has none */
    const ProtobufCMessage *config_message;     /* NULL until aisys_config_agent_read() */
};

/* Every section is there (never NULL) and every field with a default has its value. */
struct aisys_config {
    const char *role;
    const char *env; /* "dev", "staging", "prod" */
    const Aisys__SystemConfig *system;
    const Aisys__LoggingConfig *logging;
    const Aisys__NetworkConfig *network;
    const Aisys__BusConfig *bus;
    const Aisys__PerformanceConfig *performance;
    const Aisys__HealthConfig *health;
    const Aisys__RedisConfig *redis; /* password_file has been read into password */
    const Aisys__StorageConfig *storage;
    const Aisys__SecurityConfig *security;
    const Aisys__MonitoringConfig *monitoring;
    const Aisys__ClusterConfig *cluster;
    const Aisys__SupervisionConfig *supervision;
    const Aisys__DataConfig *data;
    struct aisys_config_agent *agents; /* those that run, in the order of the files */
    size_t agent_count;

    const Aisys__Config *message; /* the sections, as one message */
    struct aisys_node *tree;      /* all layers as one document; agents included */
    struct aisys_arena *arena;
};

/* Read all layers and check them. @arena outlives the configuration.
 *
 * Returns 0 (then the diag may hold warnings, as for AI_* variables that match no key);
 * AISYS_CONFIG_INVALID, with what could be read as *ret_config, so that --check-config can go on to
 * the agents' own configuration, but no node may run with it; AISYS_CONFIG_NO_ROLE or -ENOMEM. */
int aisys_config_load(const struct aisys_config_sources *sources, struct aisys_arena *arena,
    struct aisys_diag *diag, struct aisys_config **ret_config);

/* Read the config of @agent as @descriptor, the class's config message (NULL: the class has none,
 * and any config is an error), and keep it as agent->config_message. Paths begin with
 * agents.<name>.config.
 *
 * Returns 0, AISYS_CONFIG_INVALID or -ENOMEM. */
int aisys_config_agent_read(struct aisys_config *config, struct aisys_config_agent *agent,
    const ProtobufCMessageDescriptor *descriptor, struct aisys_diag *diag);

/* "agents.<name>.config", for aisys_diag_enter() before a class's check(). In the arena; NULL: no
 * memory. */
const char *aisys_config_agent_path(
    const struct aisys_config *config, const struct aisys_config_agent *agent);

/* Give each finding in @diag that has no place the one of the value at its path, or of what is
 * nearest. */
void aisys_config_locate(const struct aisys_config *config, struct aisys_diag *diag);

/* @port with network.port_offset; 0 stays 0. */
unsigned aisys_config_port(const struct aisys_config *config, unsigned port);

/* True when the doors can be reached from this machine alone. */
bool aisys_config_is_loopback(const char *address);

/* --print-config: everything as YAML, defaults included, the origin of each value behind it as a
 * comment, secrets masked. Returns 0, -ENOMEM, or what @sink returned. */
int aisys_config_print(const struct aisys_config *config, aisys_text_fn sink, void *ctx);

/* Find the config descriptor of an agent's class; NULL: it has none, or the module is not there. */
typedef const ProtobufCMessageDescriptor *(*aisys_config_class_fn)(
    void *ctx, const char *module, const char *class_name);

/* --print-schema: JSON Schema of the files. @config (may be NULL) and @class_of (may be NULL) say
 * which agents there are and what their config is. As above. */
int aisys_config_print_schema(const struct aisys_config *config, aisys_config_class_fn class_of,
    void *class_ctx, struct aisys_arena *scratch, aisys_text_fn sink, void *ctx);

#endif
