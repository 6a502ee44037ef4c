/* vision_processing: looks at pictures for others (proto/aisys/vision.proto).
 *
 * The actor itself only takes requests in and hands answers out. Each Analyze or Compare is one job in
 * the vision lane, named by the reply that it is for, with the caller's deadline; the job brings back a
 * packed reply or an error in words. Up to config.engines readers of text are kept (tools.h).
 *
 * A handler here never fails the actor: whatever goes wrong is the answer to one caller. */

#include "vision_processing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aisys/vision.pb-c.h"
#include "work.h"

enum { ON_WORK };

#define LANGUAGE_DEFAULT "eng"

/* The request's numbers are the bits of enum vision_want. */
_Static_assert(1 << AISYS__VISION__ANALYZE_REQUEST__WANT__INFO == VISION_WANT_INFO &&
                   1 << AISYS__VISION__ANALYZE_REQUEST__WANT__TEXT == VISION_WANT_TEXT &&
                   1 << AISYS__VISION__ANALYZE_REQUEST__WANT__CODES == VISION_WANT_CODES &&
                   1 << AISYS__VISION__ANALYZE_REQUEST__WANT__HASH == VISION_WANT_HASH,
    "wants");

struct vision_processing {
    struct vision_commons *commons; /* borrowed from vision_kept; the jobs share it */
    char languages[VISION_LANGUAGES_BYTES];
    uint32_t open; /* jobs whose end has not come */
    uint64_t answered, refused, late, failed;
    /* Why a configured root cannot be read; why the last picture that needed an engine had none. */
    char no_root[VISION_ERROR_WORDS_BYTES],
        no_engine[VISION_ERROR_WORDS_BYTES]; /* "": all is well */
};

/* ---- What a failure leaves behind ---------------------------------------------------------- */

/* The commons are shared with pool threads and so lie outside the actor's memory; an actor that fails
 * (a check, no memory) is torn down without stop(). The next start of the same actor finds here, and
 * releases, what the last one left. Loop thread. */
#define VISION_KEPT_MAX 16

static struct vision_kept {
    struct aisys_id owner;
    struct vision_commons *commons; /* NULL: a free place */
} vision_kept[VISION_KEPT_MAX];

static void vision_forget(struct aisys_id owner)
{
    for (unsigned i = 0; i < VISION_KEPT_MAX; i++) {
        if (vision_kept[i].commons == NULL || !aisys_id_equal(vision_kept[i].owner, owner))
            continue;
        aisys_vision_commons_unref(vision_kept[i].commons);
        vision_kept[i].commons = NULL;
    }
}

/* At the end of the process nobody starts again: the module goes, and takes what is left with it. */
__attribute__((destructor)) static void vision_forget_all(void)
{
    for (unsigned i = 0; i < VISION_KEPT_MAX; i++) {
        aisys_vision_commons_unref(vision_kept[i].commons);
        vision_kept[i].commons = NULL;
    }
}

/* Takes @commons. When there is no place, only a failure would leak it. */
static void vision_keep(struct aisys_id owner, struct vision_commons *commons)
{
    for (unsigned i = 0; i < VISION_KEPT_MAX; i++) {
        if (vision_kept[i].commons != NULL)
            continue;
        vision_kept[i] = (struct vision_kept){ owner, commons };
        return;
    }
}

/* ---- Life --------------------------------------------------------------------------------- */

/* "deu+eng" of a list; false when it is too long. */
static bool vision_join_languages(
    char *const *languages, size_t languages_nr, char ret_joined[VISION_LANGUAGES_BYTES])
{
    char joined[VISION_LANGUAGES_BYTES] = "";
    size_t at = 0;

    for (size_t i = 0; i < languages_nr; i++) {
        const size_t length = strlen(languages[i]);

        if (at + length + 2 > sizeof(joined))
            return false;
        if (i > 0)
            joined[at++] = '+';
        memcpy(joined + at, languages[i], length + 1);
        at += length;
    }
    memcpy(ret_joined, joined, sizeof(joined));
    return true;
}

static void vision_add_roots(struct aisys_actor *self, struct vision_processing *vision,
    const Aisys__Vision__VisionProcessingConfig *config, struct vision_roots *roots)
{
    for (size_t i = 0; i < config->n_roots; i++) {
        struct vision_error err;

        if (aisys_vision_roots_add(roots, config->roots[i], &err) == AISYS_OK)
            continue;
        /* A disk that is not there is no reason to read no text: go on, degraded. */
        aisys_log(self, AISYS_WARNING, "vision_root_unusable", "why=\"%s\"", err.words);
        strcpy(vision->no_root, err.words);
    }
}

static int vision_start(struct aisys_actor *self, const void *config_message)
{
    static const Aisys__Vision__VisionProcessingConfig none =
        AISYS__VISION__VISION_PROCESSING_CONFIG__INIT;
    const Aisys__Vision__VisionProcessingConfig *config =
        config_message != NULL ? config_message : &none;
    struct vision_processing *vision = aisys_state(self);
    struct vision_commons_options options = {
        .limits = { .max_bytes = config->max_bytes, .max_pixels = config->max_pixels },
        .readers_max = config->engines,
        .open_engine = aisys_vision_open_engine,
    };
    int r;

    vision_forget(aisys_self(self));
    if (!vision_join_languages(config->languages, config->n_languages, vision->languages))
        return -E2BIG;
    if (vision->languages[0] == '\0')
        strcpy(vision->languages, LANGUAGE_DEFAULT);
    vision_add_roots(self, vision, config, &options.roots);
    r = aisys_vision_commons_new(&options, &vision->commons);
    if (r < 0) {
        aisys_vision_roots_deinit(&options.roots);
        return r;
    }
    vision_keep(aisys_self(self), vision->commons);
    return 0;
}

static int vision_stop(struct aisys_actor *self, enum aisys_stop why)
{
    (void)why;
    vision_forget(aisys_self(self)); /* jobs that still run keep what they need */
    return 0;
}

static void vision_health(const struct aisys_actor *self, struct aisys_health *ret_health)
{
    const struct vision_processing *vision = aisys_state(self);
    const char *why = vision->no_engine[0] != '\0' ? vision->no_engine : vision->no_root;

    ret_health->status = why[0] == '\0' ? AISYS_HEALTHY : AISYS_DEGRADED;
    snprintf(ret_health->why, sizeof(ret_health->why), "%.150s", why);
}

/* ---- Requests ----------------------------------------------------------------------------- */

/* Begin the job for @reply, or answer why not. Always 0: the actor goes on. */
static int vision_begin(struct aisys_actor *self, enum vision_work_kind kind,
    const struct vision_side *sides, unsigned wants, const char *languages, aisys_reply reply)
{
    struct vision_processing *vision = aisys_state(self);
    const struct aisys_then then = {
        .continuation = ON_WORK,
        .token = reply,
        .deadline_ms = aisys_reply_remaining_ms(self, reply),
    };
    struct vision_work *work;
    int r;

    r = aisys_vision_work_new(vision->commons, kind, sides, wants, languages, &work);
    if (r == 0) {
        r = aisys_job(self, AISYS_LANE_VISION, aisys_vision_work_run,
            (struct aisys_job_input){ work, aisys_vision_work_free }, then);
        if (r != 0)
            aisys_vision_work_free(work);
    }
    if (r == 0) {
        vision->open++;
        return 0;
    }
    vision->failed++;
    aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
        r == AISYS_SEND_FULL ? "too many pictures are waiting (%u); try again later"
                             : "no memory for the picture (%u at work)",
        vision->open);
    return 0;
}

static int vision_refuse(struct aisys_actor *self, aisys_reply reply, const char *words)
{
    struct vision_processing *vision = aisys_state(self);

    vision->refused++;
    aisys_fail(self, reply, AISYS_INVALID_ARGUMENT, "%s", words);
    return 0;
}

/* The pictures that a request holds; a NULL for bytes would mean "not here". */
static const void *vision_bytes(bool has, const ProtobufCBinaryData *bytes)
{
    return !has ? NULL : bytes->data != NULL ? (const void *)bytes->data : "";
}

static int vision_analyze(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const Aisys__Vision__AnalyzeRequest *request = message;
    const struct vision_processing *vision = aisys_state(self);
    const struct vision_side side = {
        .bytes = vision_bytes(request->has_image, &request->image),
        .bytes_nr = request->has_image ? request->image.len : 0,
        .path = request->path,
    };
    char languages[VISION_LANGUAGES_BYTES];
    unsigned wants = request->n_want == 0 ? VISION_WANT_INFO : 0;

    if ((side.bytes == NULL) == (side.path == NULL))
        return vision_refuse(self, reply, "exactly one of image and path is needed");
    for (size_t i = 0; i < request->n_want; i++)
        wants |= 1u << request->want[i];
    if (!vision_join_languages(request->languages, request->n_languages, languages))
        return vision_refuse(self, reply, "languages: too many, or with names too long");
    return vision_begin(self, VISION_WORK_ANALYZE, &side, wants,
        languages[0] != '\0' ? languages : vision->languages, reply);
}

/* Two hashes need no thread. */
static int vision_compare_hashes(
    struct aisys_actor *self, const struct vision_side sides[2], aisys_reply reply)
{
    struct vision_processing *vision = aisys_state(self);
    Aisys__Vision__CompareReply answer = AISYS__VISION__COMPARE_REPLY__INIT;
    struct vision_error err;
    uint64_t a;
    uint64_t b;

    if (aisys_vision_hash_parse(sides[0].hash, &a, &err) != AISYS_OK ||
        aisys_vision_hash_parse(sides[1].hash, &b, &err) != AISYS_OK)
        return vision_refuse(self, reply, err.words);
    answer.has_distance = true;
    answer.distance = aisys_vision_hash_distance(a, b);
    vision->answered++;
    aisys_answer(self, reply, &answer.base);
    return 0;
}

static int vision_compare(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const Aisys__Vision__CompareRequest *request = message;
    const struct vision_side sides[2] = {
        {
            .bytes = vision_bytes(request->has_a_image, &request->a_image),
            .bytes_nr = request->has_a_image ? request->a_image.len : 0,
            .hash = request->a_hash,
        },
        {
            .bytes = vision_bytes(request->has_b_image, &request->b_image),
            .bytes_nr = request->has_b_image ? request->b_image.len : 0,
            .hash = request->b_hash,
        },
    };

    if ((sides[0].bytes == NULL) == (sides[0].hash == NULL))
        return vision_refuse(self, reply, "exactly one of a_hash and a_image is needed");
    if ((sides[1].bytes == NULL) == (sides[1].hash == NULL))
        return vision_refuse(self, reply, "exactly one of b_hash and b_image is needed");
    if (sides[0].hash != NULL && sides[1].hash != NULL)
        return vision_compare_hashes(self, sides, reply);
    return vision_begin(self, VISION_WORK_COMPARE, sides, VISION_WANT_HASH, "", reply);
}

static int vision_stats(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const struct vision_processing *vision = aisys_state(self);
    Aisys__Vision__StatsReply answer = AISYS__VISION__STATS_REPLY__INIT;
    struct vision_tools_stats tools;

    (void)message;
    aisys_vision_tools_stats(aisys_vision_commons_tools(vision->commons), &tools);
    answer.has_answered = answer.has_refused = answer.has_late = answer.has_failed = true;
    answer.answered = vision->answered;
    answer.refused = vision->refused;
    answer.late = vision->late;
    answer.failed = vision->failed;
    answer.has_open = true;
    answer.open = vision->open;
    answer.has_readers = answer.has_readers_busy = answer.has_readers_max = true;
    answer.readers = tools.readers;
    answer.readers_busy = tools.readers_lent;
    answer.readers_max = tools.readers_max;
    answer.has_readers_made = answer.has_readers_waits = true;
    answer.readers_made = tools.readers_made;
    answer.readers_waits = tools.waits;
    aisys_answer(self, reply, &answer.base);
    return 0;
}

/* ---- Ends --------------------------------------------------------------------------------- */

static void vision_count(struct vision_processing *vision, int code)
{
    switch (code) {
    case AISYS_OK:
        vision->answered++;
        break;
    case AISYS_INVALID_ARGUMENT:
    case AISYS_NOT_FOUND:
    case AISYS_PERMISSION_DENIED:
        vision->refused++;
        break;
    case AISYS_DEADLINE_EXCEEDED:
    case AISYS_CANCELLED:
        vision->late++;
        break;
    default:
        vision->failed++;
        break;
    }
}

/* An engine that cannot be opened shows in health until a picture finds it. */
static void vision_note_engine(
    struct vision_processing *vision, const struct vision_outcome *outcome)
{
    if (outcome->error.code == AISYS_UNAVAILABLE && outcome->engines)
        strcpy(vision->no_engine, outcome->error.words);
    else if (outcome->error.code == AISYS_OK && outcome->engines)
        vision->no_engine[0] = '\0';
}

static int vision_on_work(struct aisys_actor *self, const struct aisys_end *end)
{
    struct vision_processing *vision = aisys_state(self);
    const struct vision_outcome *outcome = end->result;

    vision->open--;
    if (end->code != AISYS_OK) {
        vision_count(vision, end->code);
        aisys_fail_as(self, end->token, end);
        return 0;
    }
    vision_count(vision, (int)outcome->error.code);
    vision_note_engine(vision, outcome);
    if (outcome->error.code == AISYS_OK)
        aisys_answer_bytes(self, end->token, AISYS_BYTES(outcome->packed, outcome->packed_bytes));
    else
        aisys_fail(self, end->token, outcome->error.code, "%s", outcome->error.words);
    return 0;
}

/* ---- The class ---------------------------------------------------------------------------- */

static const struct aisys_method vision_methods[] = {
    { "Analyze", vision_analyze },
    { "Compare", vision_compare },
    { "Stats", vision_stats },
    { 0 },
};

static const struct aisys_continuation vision_continuations[] = {
    [ON_WORK] = { "on_work", vision_on_work, NULL },
    { 0 },
};

const struct aisys_actor_ops aisys_vision_processing_ops = {
    .abi = AISYS_ABI,
    .name = "vision_processing",
    .service = &aisys__vision__vision_processing__descriptor,
    .config = &aisys__vision__vision_processing_config__descriptor,
    .methods = vision_methods,
    .continuations = vision_continuations,
    .state_bytes = sizeof(struct vision_processing),
    .state_version = 1,
    .start = vision_start,
    .stop = vision_stop,
    .health = vision_health,
};
