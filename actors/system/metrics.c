/* metrics: everything that the node counts, as one page for Prometheus (proto/aisys/system.proto).
 *
 * The list `families` below is all there is to know about a metric of this module: name, type, unit, help,
 * and what writes its samples. The doors, HTTP and Redis belong to the node, which appends its own. */
#include "aisys/system.pb-c.h"
#include "scratch.h"
#include "system_classes.h"

#include <errno.h>

#define PAGE_BYTES_DEFAULT (8u * 1024 * 1024)

struct metrics {
    uint32_t page_bytes_max;
};

/* One page in the making. */
struct page {
    struct aisys_exposition out;
    struct aisys_actor *self;
    const struct aisys_node_facts *facts;
    struct snapshot snapshot;
    struct aisys_core_info core;
    struct aisys_process_stats process;
    bool has_process;
};

struct family {
    struct aisys_metric metric;
    void (*write)(struct page *page, const struct family *family);
    size_t at; /* of what write() needs: an offset */
};

/* ---- Of each actor ---------------------------------------------------------------------------- */

static const void *field_of(const void *object, size_t at)
{
    return (const unsigned char *)object + at;
}

#define EACH_ACTOR(page, info)                                                                     \
    for (const struct aisys_actor_info *info = (page)->snapshot.actors,                            \
                                       *end_ = info + (page)->snapshot.nr;                         \
         info < end_; info++)

static void write_actor_u64(struct page *page, const struct family *family)
{
    EACH_ACTOR(page, info)
    aisys_exposition_u64(&page->out, &(struct aisys_metric_label){ "actor", info->name }, 1,
        *(const uint64_t *)field_of(info, family->at));
}

static void write_actor_u32(struct page *page, const struct family *family)
{
    EACH_ACTOR(page, info)
    aisys_exposition_u64(&page->out, &(struct aisys_metric_label){ "actor", info->name }, 1,
        *(const uint32_t *)field_of(info, family->at));
}

/* A limit: none is no sample. */
static void write_actor_limit(struct page *page, const struct family *family)
{
    EACH_ACTOR(page, info)
    {
        const uint64_t limit = *(const uint64_t *)field_of(info, family->at);

        if (limit)
            aisys_exposition_u64(
                &page->out, &(struct aisys_metric_label){ "actor", info->name }, 1, limit);
    }
}

static void write_actor_ns(struct page *page, const struct family *family)
{
    EACH_ACTOR(page, info)
    aisys_exposition_ns(&page->out, &(struct aisys_metric_label){ "actor", info->name }, 1,
        *(const uint64_t *)field_of(info, family->at));
}

static void write_actor_messages(struct page *page, const struct family *family)
{
    static const struct {
        const char *outcome;
        size_t at;
    } outcomes[] = {
        { "offered", offsetof(struct aisys_accounts, offered) },
        { "handled", offsetof(struct aisys_accounts, handled) },
        { "failed", offsetof(struct aisys_accounts, failed) },
        { "refused", offsetof(struct aisys_accounts, refused) },
        { "dropped", offsetof(struct aisys_accounts, dropped) },
        { "dead", offsetof(struct aisys_accounts, dead) },
    };

    (void)family;
    EACH_ACTOR(page, info)
    {
        for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
            aisys_exposition_u64(&page->out,
                (const struct aisys_metric_label[]){
                    { "actor", info->name }, { "outcome", outcomes[i].outcome } },
                2, *(const uint64_t *)field_of(&info->accounts, outcomes[i].at));
    }
}

/* What is kept per power of two comes out per power of four, from 1 us to 17 s. */
#define BOUND_FIRST 10u /* 2^10 ns */
#define BOUND_STEP  2u
#define BOUNDS      13u

static void write_actor_histogram(struct page *page, const struct family *family)
{
    uint64_t bounds[BOUNDS], counts[BOUNDS + 1];

    for (unsigned i = 0; i < BOUNDS; i++)
        bounds[i] = UINT64_C(1) << (BOUND_FIRST + i * BOUND_STEP);
    EACH_ACTOR(page, info)
    {
        const struct aisys_histogram *kept =
            *(const struct aisys_histogram *const *)field_of(info, family->at);
        struct aisys_exposition_histogram histogram = { bounds, counts, BOUNDS, 0 };

        for (unsigned i = 0; i <= BOUNDS; i++)
            counts[i] = 0;
        for (unsigned i = 0; kept && i < AISYS_HISTOGRAM_BUCKETS; i++) {
            const unsigned to = i < BOUND_FIRST ? 0 : (i - BOUND_FIRST) / BOUND_STEP + 1;

            counts[to < BOUNDS ? to : BOUNDS] += kept->buckets[i];
        }
        histogram.sum_ns = kept ? kept->sum_ns : 0;
        aisys_exposition_buckets(
            &page->out, &(struct aisys_metric_label){ "actor", info->name }, 1, &histogram);
    }
}

static void write_actor_up(struct page *page, const struct family *family)
{
    (void)family;
    EACH_ACTOR(page, info)
    aisys_exposition_u64(
        &page->out, &(struct aisys_metric_label){ "actor", info->name }, 1, info->running);
}

static void write_actor_healthy(struct page *page, const struct family *family)
{
    (void)family;
    EACH_ACTOR(page, info)
    {
        struct aisys_health health;

        aisys_system_health(page->self, info->id, &health);
        aisys_exposition_u64(&page->out, &(struct aisys_metric_label){ "actor", info->name }, 1,
            health.status == AISYS_HEALTHY || health.status == AISYS_SKIPPED);
    }
}

static void write_actor_state(struct page *page, const struct family *family)
{
    (void)family;
    EACH_ACTOR(page, info)
    aisys_exposition_u64(&page->out,
        (const struct aisys_metric_label[]){ { "actor", info->name }, { "state", info->state } }, 2,
        1);
}

/* ---- Of lanes --------------------------------------------------------------------------------- */

static const char *const lane_names[AISYS_LANE_NR] = {
    [AISYS_LANE_GENERAL] = "general",
    [AISYS_LANE_MEMORY] = "memory",
    [AISYS_LANE_VISION] = "vision",
};

#define LANE(field) offsetof(struct aisys_core_info, lanes[0].field)

static const void *lane_field(const struct page *page, unsigned lane, size_t at)
{
    return field_of(&page->core, at + lane * sizeof(page->core.lanes[0]));
}

static void write_lane_u32(struct page *page, const struct family *family)
{
    for (unsigned i = 0; i < AISYS_LANE_NR; i++)
        aisys_exposition_u64(&page->out, &(struct aisys_metric_label){ "lane", lane_names[i] }, 1,
            *(const uint32_t *)lane_field(page, i, family->at));
}

static void write_lane_ns(struct page *page, const struct family *family)
{
    for (unsigned i = 0; i < AISYS_LANE_NR; i++)
        aisys_exposition_ns(&page->out, &(struct aisys_metric_label){ "lane", lane_names[i] }, 1,
            *(const uint64_t *)lane_field(page, i, family->at));
}

static void write_lane_jobs(struct page *page, const struct family *family)
{
    (void)family;
    for (unsigned i = 0; i < AISYS_LANE_NR; i++) {
        aisys_exposition_u64(&page->out,
            (const struct aisys_metric_label[]){ { "lane", lane_names[i] }, { "outcome", "done" } },
            2, page->core.lanes[i].done);
        aisys_exposition_u64(&page->out,
            (const struct aisys_metric_label[]){
                { "lane", lane_names[i] }, { "outcome", "refused" } },
            2, page->core.lanes[i].refused);
    }
}

/* ---- Of the core ------------------------------------------------------------------------------ */

static void write_core_u64(struct page *page, const struct family *family)
{
    aisys_exposition_u64(&page->out, NULL, 0, *(const uint64_t *)field_of(&page->core, family->at));
}

static void write_core_u32(struct page *page, const struct family *family)
{
    aisys_exposition_u64(&page->out, NULL, 0, *(const uint32_t *)field_of(&page->core, family->at));
}

static void write_dead_letters(struct page *page, const struct family *family)
{
    (void)family;
    for (int i = 0; i < AISYS_DEAD_NR; i++)
        aisys_exposition_u64(&page->out,
            &(struct aisys_metric_label){
                "reason", aisys_dead_reason_name((enum aisys_dead_reason)i) },
            1, page->core.dead[i]);
}

static void write_ready(struct page *page, const struct family *family)
{
    (void)family;
    aisys_exposition_u64(&page->out, NULL, 0, page->core.state == AISYS_CORE_READY);
}

/* ---- Of the node ------------------------------------------------------------------------------ */

static void write_build_info(struct page *page, const struct family *family)
{
    (void)family;
    aisys_exposition_u64(
        &page->out, &(struct aisys_metric_label){ "version", page->facts->version }, 1, 1);
}

static void write_node_info(struct page *page, const struct family *family)
{
    (void)family;
    aisys_exposition_u64(&page->out,
        (const struct aisys_metric_label[]){ { "node", page->facts->name },
            { "role", page->facts->role }, { "environment", page->facts->environment } },
        3, 1);
}

static void write_uptime(struct page *page, const struct family *family)
{
    (void)family;
    aisys_exposition_ns(&page->out, NULL, 0,
        (aisys_now_ms(page->self) - page->facts->started_ms) * UINT64_C(1000000));
}

static void write_start_time(struct page *page, const struct family *family)
{
    (void)family;
    aisys_exposition_double(&page->out, NULL, 0, (double)page->facts->started_wall_ms / 1000);
}

/* What could not be read is no sample. */
static void write_process_double(struct page *page, const struct family *family)
{
    const double value = *(const double *)field_of(&page->process, family->at);

    if (page->has_process && value >= 0)
        aisys_exposition_double(&page->out, NULL, 0, value);
}

static void write_process_u64(struct page *page, const struct family *family)
{
    if (page->has_process)
        aisys_exposition_u64(
            &page->out, NULL, 0, *(const uint64_t *)field_of(&page->process, family->at));
}

static void write_process_u32(struct page *page, const struct family *family)
{
    if (page->has_process)
        aisys_exposition_u64(
            &page->out, NULL, 0, *(const uint32_t *)field_of(&page->process, family->at));
}

/* ---- The list --------------------------------------------------------------------------------- */

#define ACTOR(field)   offsetof(struct aisys_actor_info, field)
#define CORE(field)    offsetof(struct aisys_core_info, field)
#define PROCESS(field) offsetof(struct aisys_process_stats, field)

#define C AISYS_METRIC_COUNTER
#define G AISYS_METRIC_GAUGE
#define H AISYS_METRIC_HISTOGRAM

/* clang-format off */
static const struct family families[] = {
    { { "system_cpu_usage_percent", G, "percent", "How busy all cores of the machine are." },
        write_process_double, PROCESS(machine_cpu_percent) },
    { { "system_memory_usage_percent", G, "percent", "Memory of the machine in use, caches aside." },
        write_process_double, PROCESS(machine_memory_percent) },
    { { "system_disk_usage_percent", G, "percent", "How full the file system of data.dir is." },
        write_process_double, PROCESS(machine_disk_percent) },

    { { "ai_system_build_info", G, NULL, "1, with the version of the program." },
        write_build_info, 0 },
    { { "ai_system_node_info", G, NULL, "1, with the name, role and environment of the node." },
        write_node_info, 0 },
    { { "ai_system_ready", G, NULL, "1 when every actor runs or has given up, and the node does not stop." },
        write_ready, 0 },
    { { "ai_system_uptime_seconds", G, "seconds", "Time since the node started." },
        write_uptime, 0 },

    { { "ai_system_actors", G, NULL, "Actors, anonymous ones included." },
        write_core_u32, CORE(actors) },
    { { "ai_system_actors_down", G, NULL, "Actors that failed too often and stay down." },
        write_core_u32, CORE(actors_down) },

    { { "ai_system_actor_up", G, NULL, "1 when the actor runs." },
        write_actor_up, 0 },
    { { "ai_system_actor_healthy", G, NULL, "1 when the actor says that it is well." },
        write_actor_healthy, 0 },
    { { "ai_system_actor_state", G, NULL, "1, with the state that the actor is in." },
        write_actor_state, 0 },
    { { "ai_system_actor_messages_total", C, NULL, "Messages by outcome: offered is the sum of the others, of ai_system_queue_size and of ai_system_actor_in_hand." },
        write_actor_messages, 0 },
    { { "ai_system_queue_size", G, NULL, "Messages that wait in the mailbox." },
        write_actor_u64, ACTOR(accounts.queued) },
    { { "ai_system_actor_in_hand", G, NULL, "Messages being handled at this moment." },
        write_actor_u64, ACTOR(accounts.in_hand) },
    { { "ai_system_actor_mailbox_limit", G, NULL, "Messages that the mailbox takes." },
        write_actor_u32, ACTOR(mailbox_messages_max) },
    { { "ai_system_actor_mailbox_bytes", G, "bytes", "Payload that waits in the mailbox." },
        write_actor_u32, ACTOR(mailbox_bytes) },
    { { "ai_system_actor_mailbox_limit_bytes", G, "bytes", "Payload that the mailbox takes." },
        write_actor_u32, ACTOR(mailbox_bytes_max) },
    { { "ai_system_actor_wait_seconds", H, "seconds", "Time in the mailbox, 1 message in 64." },
        write_actor_histogram, ACTOR(wait) },
    { { "ai_system_actor_handling_seconds", H, "seconds", "Time in the handler, 1 message in 64." },
        write_actor_histogram, ACTOR(handle) },
    { { "ai_system_actor_restarts_total", C, NULL, "Starts after the first one." },
        write_actor_u32, ACTOR(restarts) },
    { { "ai_system_actor_memory_bytes", G, "bytes", "Memory in the actor's account." },
        write_actor_u64, ACTOR(memory_bytes) },
    { { "ai_system_actor_memory_peak_bytes", G, "bytes", "The most memory that was ever in the account." },
        write_actor_u64, ACTOR(memory_peak_bytes) },
    { { "ai_system_actor_memory_limit_bytes", G, "bytes", "Memory that the actor may have; no sample when there is no limit." },
        write_actor_limit, ACTOR(memory_bytes_max) },
    { { "ai_system_actor_loop_seconds_total", C, "seconds", "Time that the actor had the loop." },
        write_actor_ns, ACTOR(loop_ns) },
    { { "ai_system_actor_pool_seconds_total", C, "seconds", "Time that jobs of the actor had the pool." },
        write_actor_ns, ACTOR(pool_ns) },
    { { "ai_system_actor_open_work", G, NULL, "Asks, timers, jobs and other work that has not ended." },
        write_actor_u32, ACTOR(open_ops) },
    { { "ai_system_actor_open_answers", G, NULL, "Answers that the actor owes." },
        write_actor_u32, ACTOR(open_replies) },

    { { "ai_system_lane_jobs_running", G, NULL, "Jobs on the pool." },
        write_lane_u32, LANE(running) },
    { { "ai_system_lane_jobs_waiting", G, NULL, "Jobs that wait for the pool." },
        write_lane_u32, LANE(queued) },
    { { "ai_system_lane_running_limit", G, NULL, "Jobs that may be on the pool at once." },
        write_lane_u32, LANE(limits.running) },
    { { "ai_system_lane_waiting_limit", G, NULL, "Jobs that may wait." },
        write_lane_u32, LANE(limits.queued) },
    { { "ai_system_lane_jobs_total", C, NULL, "Jobs by outcome." },
        write_lane_jobs, 0 },
    { { "ai_system_lane_pool_seconds_total", C, "seconds", "Time that the jobs had the pool." },
        write_lane_ns, LANE(pool_ns) },

    { { "ai_system_core_turns_total", C, NULL, "Times that the loop let actors run." },
        write_core_u64, CORE(turns) },
    { { "ai_system_core_activations_total", C, NULL, "Times that an actor had its turn." },
        write_core_u64, CORE(activations) },
    { { "ai_system_core_open_work", G, NULL, "Asks, timers, jobs and other work of all actors that has not ended." },
        write_core_u32, CORE(ops) },
    { { "ai_system_core_open_work_limit", G, NULL, "How much of it there may be." },
        write_core_u32, CORE(ops_max) },
    { { "ai_system_core_message_memory_bytes", G, "bytes", "Memory held by messages and their free lists." },
        write_core_u64, CORE(message_bytes) },
    { { "ai_system_core_unknown_messages_total", C, NULL, "Messages for actors that are not there; all are dead letters." },
        write_core_u64, CORE(unknown) },
    { { "ai_system_dead_letters_total", C, NULL, "Messages that reached nobody, by reason." },
        write_dead_letters, 0 },

    { { "process_cpu_seconds_total", C, "seconds", "Time on a core, user and system." },
        write_process_double, PROCESS(cpu_seconds) },
    { { "process_resident_memory_bytes", G, "bytes", "Memory of the process in RAM." },
        write_process_u64, PROCESS(resident_bytes) },
    { { "process_virtual_memory_bytes", G, "bytes", "Address space of the process." },
        write_process_u64, PROCESS(virtual_bytes) },
    { { "process_threads", G, NULL, "Threads of the process." },
        write_process_u32, PROCESS(threads) },
    { { "process_open_fds", G, NULL, "Open file descriptors." },
        write_process_u32, PROCESS(open_fds) },
    { { "process_max_fds", G, NULL, "File descriptors that may be open." },
        write_process_u32, PROCESS(max_fds) },
    { { "process_start_time_seconds", G, "seconds", "When the process started, since 1970." },
        write_start_time, 0 },
};
/* clang-format on */

#undef C
#undef G
#undef H

const struct aisys_metric *aisys_metrics_declared(size_t i)
{
    return i < sizeof(families) / sizeof(families[0]) ? &families[i].metric : NULL;
}

/* ---- The actor -------------------------------------------------------------------------------- */

static void *metrics_resize(void *ctx, void *p, size_t old_bytes, size_t new_bytes)
{
    (void)old_bytes;
    if (new_bytes)
        return aisys_realloc(ctx, p, new_bytes);
    aisys_free(ctx, p);
    return NULL;
}

static void page_write(struct page *page)
{
    if (page->facts->process) {
        page->facts->process(page->facts->ctx, &page->process);
        page->has_process = true;
    }
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        aisys_exposition_family(&page->out, &families[i].metric);
        families[i].write(page, &families[i]);
    }
    if (page->facts->metrics)
        page->facts->metrics(page->facts->ctx, &page->out);
}

static void metrics_failed(
    struct aisys_actor *self, aisys_reply reply, int error, const struct metrics *metrics)
{
    if (error == -EFBIG)
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
            "the page would be larger than config.page_bytes of %u bytes",
            (unsigned)metrics->page_bytes_max);
    else if (error == -ENOMEM)
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
            "no memory for the page: raise limits.memory_mb of %s", aisys_name(self));
    else
        aisys_fail(self, reply, AISYS_INTERNAL, "the page is wrong: error %d", -error);
}

static int metrics_expose(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const Aisys__System__ExposeRequest *request = message;
    Aisys__System__ExposeReply answer = AISYS__SYSTEM__EXPOSE_REPLY__INIT;
    const struct metrics *metrics = aisys_state(self);
    struct page page = { .self = self, .facts = aisys_system_facts(self) };
    enum aisys_exposition_format format = AISYS_EXPOSITION_PROMETHEUS;
    struct scratch scratch;
    int r = -ENOMEM;

    if (!request->has_format && request->accept)
        format = aisys_exposition_choose(request->accept);
    else if (request->format == AISYS__SYSTEM__EXPOSE_REQUEST__FORMAT__OPENMETRICS)
        format = AISYS_EXPOSITION_OPENMETRICS;
    scratch_init(&scratch, self);
    aisys_exposition_init(&page.out, format, metrics->page_bytes_max, metrics_resize, self);
    if (snapshot_take(&scratch, &page.snapshot)) {
        aisys_system_stats(self, &page.core);
        page_write(&page);
        r = aisys_exposition_finish(&page.out);
    }
    if (r < 0) {
        metrics_failed(self, reply, r, metrics);
    } else {
        answer.text = page.out.text;
        answer.content_type = (char *)(uintptr_t)aisys_exposition_content_type(format);
        aisys_answer(self, reply, &answer.base);
    }
    aisys_exposition_deinit(&page.out);
    scratch_deinit(&scratch);
    return 0;
}

static int metrics_start(struct aisys_actor *self, const void *message)
{
    const Aisys__System__MetricsConfig *config = message;
    struct metrics *metrics = aisys_state(self);

    metrics->page_bytes_max = config ? config->page_bytes : PAGE_BYTES_DEFAULT;
    return 0;
}

static const struct aisys_method metrics_methods[] = {
    { "Expose", metrics_expose },
    { 0 },
};

const struct aisys_actor_ops aisys_metrics_ops = {
    .abi = AISYS_ABI,
    .name = "metrics",
    .service = &aisys__system__metrics__descriptor,
    .config = &aisys__system__metrics_config__descriptor,
    .methods = metrics_methods,
    .state_bytes = sizeof(struct metrics),
    .start = metrics_start,
};
