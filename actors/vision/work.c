#include "work.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"

struct vision_commons {
    atomic_uint refs;
    struct vision_limits limits;
    struct vision_roots roots;
    struct vision_tools *tools;
};

struct work_side {
    void *bytes; /* owned, or NULL */
    size_t bytes_nr;
    char *path; /* owned, or NULL */
    char *hash; /* owned, or NULL */
};

struct vision_work {
    struct vision_commons *commons; /* shared */
    enum vision_work_kind kind;
    struct work_side sides[2];
    unsigned wants;
    char languages[VISION_LANGUAGES_BYTES];
};

/* ---- Commons ------------------------------------------------------------------------------ */

int aisys_vision_commons_new(
    const struct vision_commons_options *options, struct vision_commons **ret_commons)
{
    struct vision_commons *commons = calloc(1, sizeof(*commons));
    int r;

    if (commons == NULL)
        return -ENOMEM;
    r = aisys_vision_tools_new(options->open_engine, options->readers_max, &commons->tools);
    if (r < 0) {
        free(commons);
        return r;
    }
    atomic_init(&commons->refs, 1);
    commons->limits = options->limits;
    commons->roots = options->roots;
    *ret_commons = commons;
    return 0;
}

void aisys_vision_commons_unref(struct vision_commons *commons)
{
    if (commons == NULL || atomic_fetch_sub(&commons->refs, 1) > 1)
        return;
    aisys_vision_tools_unref(commons->tools);
    aisys_vision_roots_deinit(&commons->roots);
    free(commons);
}

struct vision_tools *aisys_vision_commons_tools(struct vision_commons *commons)
{
    return commons->tools;
}

/* ---- Work --------------------------------------------------------------------------------- */

static int work_copy_side(const struct vision_side *from, struct work_side *to)
{
    if (from->bytes != NULL) {
        to->bytes = malloc(from->bytes_nr + 1);
        if (to->bytes == NULL)
            return -ENOMEM;
        memcpy(to->bytes, from->bytes, from->bytes_nr);
        to->bytes_nr = from->bytes_nr;
    }
    if (from->path != NULL && (to->path = strdup(from->path)) == NULL)
        return -ENOMEM;
    if (from->hash != NULL && (to->hash = strdup(from->hash)) == NULL)
        return -ENOMEM;
    return 0;
}

int aisys_vision_work_new(struct vision_commons *commons, enum vision_work_kind kind,
    const struct vision_side *sides, unsigned wants, const char *languages,
    struct vision_work **ret_work)
{
    struct vision_work *work = calloc(1, sizeof(*work));
    int r;

    if (work == NULL)
        return -ENOMEM;
    atomic_fetch_add(&commons->refs, 1);
    work->commons = commons;
    work->kind = kind;
    work->wants = wants;
    strncpy(work->languages, languages, sizeof(work->languages) - 1);
    r = work_copy_side(&sides[0], &work->sides[0]);
    if (r == 0 && kind == VISION_WORK_COMPARE)
        r = work_copy_side(&sides[1], &work->sides[1]);
    if (r < 0) {
        aisys_vision_work_free(work);
        return r;
    }
    *ret_work = work;
    return 0;
}

void aisys_vision_work_free(void *ctx)
{
    struct vision_work *work = ctx;

    if (work == NULL)
        return;
    for (unsigned i = 0; i < 2; i++) {
        free(work->sides[i].bytes);
        free(work->sides[i].path);
        free(work->sides[i].hash);
    }
    aisys_vision_commons_unref(work->commons);
    free(work);
}

/* ---- On the pool -------------------------------------------------------------------------- */

static bool work_ask_stop(void *ctx)
{
    return aisys_job_stopped(ctx);
}

static enum aisys_code work_look(const struct vision_work *work, const struct work_side *side,
    unsigned wants, const struct vision_stop *stop, struct vision_result *ret_result,
    struct vision_error *err)
{
    const struct vision_request request = {
        .bytes = side->bytes,
        .bytes_nr = side->bytes_nr,
        .path = side->path,
        .roots = &work->commons->roots,
        .wants = wants,
        .languages = work->languages,
        .limits = work->commons->limits,
    };

    return aisys_vision_analyze(work->commons->tools, &request, stop, ret_result, err);
}

static void work_analyze(
    const struct vision_work *work, const struct vision_stop *stop, struct vision_outcome *outcome)
{
    struct vision_result result;

    outcome->engines = work->wants & (VISION_WANT_TEXT | VISION_WANT_CODES);
    if (work_look(work, &work->sides[0], work->wants, stop, &result, &outcome->error) != AISYS_OK)
        return;
    if (aisys_vision_reply_analyze(&result, work->wants, &outcome->packed, &outcome->packed_bytes) <
        0)
        aisys_vision_fail(&outcome->error, AISYS_RESOURCE_EXHAUSTED, "no memory for the answer");
    aisys_vision_result_deinit(&result);
}

static enum aisys_code work_hash(const struct vision_work *work, const struct work_side *side,
    const struct vision_stop *stop, uint64_t *ret_hash, struct vision_error *err)
{
    struct vision_result result;
    enum aisys_code code;

    if (side->hash != NULL)
        return aisys_vision_hash_parse(side->hash, ret_hash, err);
    code = work_look(work, side, VISION_WANT_HASH, stop, &result, err);
    if (code != AISYS_OK)
        return code;
    *ret_hash = result.hash;
    aisys_vision_result_deinit(&result);
    return AISYS_OK;
}

static void work_compare(
    const struct vision_work *work, const struct vision_stop *stop, struct vision_outcome *outcome)
{
    uint64_t hashes[2];

    for (unsigned i = 0; i < 2; i++) {
        struct vision_error err;

        if (work_hash(work, &work->sides[i], stop, &hashes[i], &err) == AISYS_OK)
            continue;
        /* Two pictures came: say which one. */
        aisys_vision_fail(&outcome->error, err.code, "%s: %.300s", i == 0 ? "a" : "b", err.words);
        return;
    }
    if (aisys_vision_reply_compare(aisys_vision_hash_distance(hashes[0], hashes[1]),
            &outcome->packed, &outcome->packed_bytes) < 0)
        aisys_vision_fail(&outcome->error, AISYS_RESOURCE_EXHAUSTED, "no memory for the answer");
}

static void work_free_outcome(void *ctx)
{
    struct vision_outcome *outcome = ctx;

    free(outcome->packed);
    free(outcome);
}

void aisys_vision_work_run(struct aisys_job *job)
{
    const struct vision_work *work = aisys_job_input(job);
    const struct vision_stop stop = { .ask = work_ask_stop, .ctx = job };
    struct vision_outcome *outcome = calloc(1, sizeof(*outcome));

    if (outcome == NULL) {
        aisys_job_fail(job, AISYS_RESOURCE_EXHAUSTED, "no memory to look at a picture");
        return;
    }
    if (work->kind == VISION_WORK_ANALYZE)
        work_analyze(work, &stop, outcome);
    else
        work_compare(work, &stop, outcome);
    aisys_job_result(job, outcome, work_free_outcome);
}
