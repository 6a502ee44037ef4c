/* health_service: says whether the node is well (proto/aisys/system.proto).
 *
 * It keeps nothing: every Check looks anew. The checks have the names of the operations guide; what the
 * node itself says about one of them counts, else it is judged here by what runs on the node. */
#include "aisys/system.pb-c.h"
#include "scratch.h"
#include "system_classes.h"

#include <aisys/redis.h>
#include <string.h>

#define CHECKS_MAX 32u /* of the guide and of the node together */
#define WHY_MAX    64u /* reasons that are listed; the rest is counted */

struct health_service {
    const Aisys__System__HealthServiceConfig *config; /* borrowed; NULL: none */
};

/* One Check in the making. */
struct examination {
    struct aisys_actor *self;
    const struct aisys_node_facts *facts;
    struct scratch scratch;
    struct snapshot snapshot;
    struct aisys_health *health; /* of snapshot.actors, in its order */
    Aisys__System__NodeCheck checks[CHECKS_MAX];
    size_t checks_nr;
    Aisys__System__NodeCheck *check_rows[CHECKS_MAX];
    char *why[WHY_MAX];
    size_t why_nr, why_more;
    bool critical; /* an actor without which the node is of no use does not work */
};

/* ---- Checks ----------------------------------------------------------------------------------- */

struct verdict {
    enum aisys_health_status status;
    const char *message;
};

static struct verdict verdict(enum aisys_health_status status, const char *message)
{
    return (struct verdict){ status, message };
}

static struct verdict check_redis(struct examination *e)
{
    const char *why;

    switch (aisys_redis_state(e->self, &why)) {
    case AISYS_REDIS_THERE:
        return verdict(AISYS_HEALTHY, "Redis answers");
    case AISYS_REDIS_AWAY:
        return verdict(AISYS_DEGRADED, scratch_text(&e->scratch, "Redis is away: %s", why));
    default:
        return verdict(AISYS_SKIPPED, "redis.host is not set");
    }
}

/* The agents of this node, when it has the role that the check is about. */
static struct verdict check_agents(struct examination *e, const char *role)
{
    size_t healthy = 0, all = 0;

    if (!e->facts->role || strcmp(e->facts->role, role) != 0)
        return verdict(AISYS_SKIPPED, "no peer with this role is configured");
    for (size_t i = 0; i < e->snapshot.nr; i++) {
        if (e->snapshot.actors[i].hidden)
            continue;
        all++;
        healthy += e->health[i].status == AISYS_HEALTHY || e->health[i].status == AISYS_SKIPPED;
    }
    return verdict(healthy == all ? AISYS_HEALTHY : AISYS_DEGRADED,
        scratch_text(&e->scratch, "%zu of %zu are healthy", healthy, all));
}

static struct verdict check_main_pc(struct examination *e)
{
    return check_agents(e, "main_pc");
}

static struct verdict check_pc2(struct examination *e)
{
    return check_agents(e, "pc2");
}

static struct verdict check_cross_machine(struct examination *e)
{
    (void)e;
    return verdict(AISYS_SKIPPED, "no peer is configured");
}

/* The health of one actor, when there is one with this name. */
static struct verdict check_actor(struct examination *e, const char *name, const char *absent)
{
    struct aisys_actor_info info;
    struct aisys_health health;

    if (!aisys_system_find(e->self, name, &info))
        return verdict(AISYS_SKIPPED, absent);
    aisys_system_health(e->self, info.id, &health);
    if (health.status == AISYS_HEALTHY)
        return verdict(AISYS_HEALTHY, scratch_text(&e->scratch, "%s is healthy", name));
    return verdict(health.status, scratch_text(&e->scratch, "%s: %s", name, health.why));
}

static struct verdict check_error_bus(struct examination *e)
{
    return check_actor(e, "error_bus", "no error_bus runs on this node");
}

static struct verdict check_monitoring(struct examination *e)
{
    return check_actor(e, "metrics", "no metrics actor runs on this node");
}

static const struct guide_check {
    const char *name;
    struct verdict (*check)(struct examination *e);
} guide_checks[] = {
    { "Redis Connection", check_redis },
    { "Main PC Agents", check_main_pc },
    { "PC2 Agents", check_pc2 },
    { "Cross-Machine Communication", check_cross_machine },
    { "Error Bus", check_error_bus },
    { "Monitoring Stack", check_monitoring },
};
#define GUIDE_CHECKS (sizeof(guide_checks) / sizeof(guide_checks[0]))

static void check_put(
    struct examination *e, Aisys__System__NodeCheck *row, const char *name, struct verdict v)
{
    aisys__system__node_check__init(row);
    row->name = scratch_text(&e->scratch, "%s", name);
    row->has_status = true;
    row->status = (Aisys__System__NodeCheck__Status)v.status;
    row->message = scratch_text(&e->scratch, "%s", v.message ? v.message : "");
}

/* What the node found: it replaces the guide's check of that name, or comes behind them. */
static void check_of_node(void *ctx, const struct aisys_node_check *check)
{
    const struct verdict v = { check->status, check->message };
    struct examination *e = ctx;
    size_t i;

    for (i = 0; i < GUIDE_CHECKS; i++)
        if (strcmp(guide_checks[i].name, check->name) == 0)
            break;
    if (i < GUIDE_CHECKS)
        check_put(e, &e->checks[i], check->name, v);
    else if (e->checks_nr < CHECKS_MAX)
        check_put(e, &e->checks[e->checks_nr++], check->name, v);
}

static void examine_checks(struct examination *e)
{
    for (size_t i = 0; i < GUIDE_CHECKS; i++)
        check_put(e, &e->checks[i], guide_checks[i].name, guide_checks[i].check(e));
    e->checks_nr = GUIDE_CHECKS;
    if (e->facts->checks)
        e->facts->checks(e->facts->ctx, check_of_node, e);
    for (size_t i = 0; i < e->checks_nr; i++)
        e->check_rows[i] = &e->checks[i];
}

/* ---- Why -------------------------------------------------------------------------------------- */

static void why_add(struct examination *e, const char *who, const char *words)
{
    if (e->why_nr + 1 < WHY_MAX)
        e->why[e->why_nr++] = scratch_text(&e->scratch, "%s: %s", who, words);
    else
        e->why_more++;
}

static bool is_bad(int status)
{
    return status == AISYS_DEGRADED || status == AISYS_UNHEALTHY;
}

static bool is_critical(const struct health_service *service, const struct aisys_actor_info *info)
{
    for (size_t i = 0; service->config && i < service->config->n_critical; i++)
        if (strcmp(service->config->critical[i], info->name) == 0 ||
            (info->alias[0] && strcmp(service->config->critical[i], info->alias) == 0))
            return true;
    return false;
}

/* A check that only repeats what the actors say is no reason of its own. */
static bool check_repeats(const Aisys__System__NodeCheck *check)
{
    return strcmp(check->name, "Main PC Agents") == 0 || strcmp(check->name, "PC2 Agents") == 0;
}

static void examine_reasons(struct examination *e)
{
    const struct health_service *service = aisys_state(e->self);
    const size_t before = e->why_nr;

    for (size_t i = 0; i < e->snapshot.nr; i++) {
        const struct aisys_actor_info *info = &e->snapshot.actors[i];

        if (!is_bad((int)e->health[i].status))
            continue;
        why_add(e, info->name, e->health[i].why[0] ? e->health[i].why : "not healthy");
        if (e->health[i].status == AISYS_UNHEALTHY && is_critical(service, info))
            e->critical = true;
    }
    for (size_t i = 0; i < e->checks_nr; i++)
        if (is_bad((int)e->checks[i].status) &&
            !(check_repeats(&e->checks[i]) && e->why_nr > before))
            why_add(e, e->checks[i].name, e->checks[i].message);
    if (e->why_more)
        e->why[e->why_nr++] = scratch_text(&e->scratch, "and %zu more", e->why_more);
}

static Aisys__System__CheckReply__Status overall(const struct examination *e)
{
    struct aisys_core_info core;

    aisys_system_stats(e->self, &core);
    if (core.state == AISYS_CORE_NEW || core.state == AISYS_CORE_STARTING)
        return AISYS__SYSTEM__CHECK_REPLY__STATUS__STARTING;
    if (core.state != AISYS_CORE_READY)
        return AISYS__SYSTEM__CHECK_REPLY__STATUS__STOPPING;
    if (e->critical)
        return AISYS__SYSTEM__CHECK_REPLY__STATUS__UNHEALTHY;
    return e->why_nr ? AISYS__SYSTEM__CHECK_REPLY__STATUS__DEGRADED
                     : AISYS__SYSTEM__CHECK_REPLY__STATUS__HEALTHY;
}

/* ---- The answer ------------------------------------------------------------------------------- */

static void fill_actors(struct examination *e, Aisys__System__CheckReply *answer)
{
    Aisys__System__ActorHealth *rows = scratch_alloc(&e->scratch, e->snapshot.nr * sizeof(*rows));

    answer->actors = scratch_alloc(&e->scratch, e->snapshot.nr * sizeof(*answer->actors));
    for (size_t i = 0; answer->actors && i < e->snapshot.nr; i++) {
        Aisys__System__ActorHealth *row = &rows[answer->n_actors];

        if (e->snapshot.actors[i].hidden)
            continue;
        aisys__system__actor_health__init(row);
        row->name = text_or_unset(e->snapshot.actors[i].name);
        row->has_status = true;
        row->status = (Aisys__System__NodeCheck__Status)e->health[i].status;
        row->why = text_or_unset(e->health[i].why);
        answer->actors[answer->n_actors++] = row;
    }
}

static void examine(struct examination *e, Aisys__System__CheckReply *answer)
{
    if (!snapshot_take(&e->scratch, &e->snapshot))
        return;
    e->health = scratch_alloc(&e->scratch, e->snapshot.nr * sizeof(*e->health));
    if (!e->health)
        return;
    for (size_t i = 0; i < e->snapshot.nr; i++)
        aisys_system_health(e->self, e->snapshot.actors[i].id, &e->health[i]);
    examine_checks(e);
    examine_reasons(e);

    answer->has_status = true;
    answer->status = overall(e);
    answer->why = e->why;
    answer->n_why = e->why_nr;
    answer->checks = e->check_rows;
    answer->n_checks = e->checks_nr;
    fill_actors(e, answer);
    answer->node = text_or_unset(e->facts->name);
    answer->role = text_or_unset(e->facts->role);
    answer->version = text_or_unset(e->facts->version);
    answer->has_uptime_ms = true;
    answer->uptime_ms = aisys_now_ms(e->self) - e->facts->started_ms;
}

static int health_service_check(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    Aisys__System__CheckReply answer = AISYS__SYSTEM__CHECK_REPLY__INIT;
    struct examination e = { .self = self, .facts = aisys_system_facts(self) };

    (void)request;
    scratch_init(&e.scratch, self);
    examine(&e, &answer);
    if (scratch_failed(&e.scratch))
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
            "no memory to write the answer: raise limits.memory_mb of health_service");
    else
        aisys_answer(self, reply, &answer.base);
    scratch_deinit(&e.scratch);
    return 0;
}

static int health_service_start(struct aisys_actor *self, const void *config)
{
    struct health_service *service = aisys_state(self);

    service->config = config;
    return 0;
}

static const struct aisys_method health_service_methods[] = {
    { "Check", health_service_check },
    { 0 },
};

const struct aisys_actor_ops aisys_health_service_ops = {
    .abi = AISYS_ABI,
    .name = "health_service",
    .service = &aisys__system__health_service__descriptor,
    .config = &aisys__system__health_service_config__descriptor,
    .methods = health_service_methods,
    .state_bytes = sizeof(struct health_service),
    .start = health_service_start,
};
