#include "tools.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOOLS_ASK_MS 20 /* how often one who waits for a reader asks whether to stop */

struct tools_place {
    char languages[VISION_LANGUAGES_BYTES];
    void *engine;      /* NULL: free, or about to be made by the job that lent the place */
    uint64_t given_at; /* the count of gives when it came back: the smallest is idle longest */
    bool lent;
};

struct vision_tools {
    vision_open_engine_fn open_engine;
    pthread_mutex_t modules; /* held while a module opens; ocr and codes are set under it */
    const struct vision_ocr_ops *ocr;
    const struct vision_codes_ops *codes;

    pthread_mutex_t lock; /* the rest; never held while an engine works */
    pthread_cond_t given;
    unsigned refs;
    unsigned places_nr;
    uint64_t gives;
    struct vision_tools_stats stats;
    struct tools_place places[VISION_READERS_MAX];
};

int aisys_vision_tools_new(
    vision_open_engine_fn open_engine, unsigned readers_max, struct vision_tools **ret_tools)
{
    struct vision_tools *tools = calloc(1, sizeof(*tools));
    pthread_condattr_t attr;

    if (tools == NULL)
        return -ENOMEM;
    tools->open_engine = open_engine;
    tools->places_nr = readers_max < 1                    ? 1
                       : readers_max > VISION_READERS_MAX ? VISION_READERS_MAX
                                                          : readers_max;
    tools->stats.readers_max = tools->places_nr;
    tools->refs = 1;
    pthread_mutex_init(&tools->modules, NULL);
    pthread_mutex_init(&tools->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&tools->given, &attr);
    pthread_condattr_destroy(&attr);
    *ret_tools = tools;
    return 0;
}

struct vision_tools *aisys_vision_tools_ref(struct vision_tools *tools)
{
    pthread_mutex_lock(&tools->lock);
    tools->refs++;
    pthread_mutex_unlock(&tools->lock);
    return tools;
}

void aisys_vision_tools_unref(struct vision_tools *tools)
{
    unsigned left;

    if (tools == NULL)
        return;
    pthread_mutex_lock(&tools->lock);
    left = --tools->refs;
    pthread_mutex_unlock(&tools->lock);
    if (left > 0)
        return;
    for (unsigned i = 0; i < tools->places_nr; i++) {
        if (tools->places[i].engine != NULL)
            tools->ocr->close(tools->places[i].engine);
    }
    pthread_cond_destroy(&tools->given);
    pthread_mutex_destroy(&tools->lock);
    pthread_mutex_destroy(&tools->modules);
    free(tools);
}

/* Modules. Both tables begin with their ABI number, which is looked at first. */

/* The table at @symbol of @module: @known, or opened now. The modules lock is held. */
static const void *tools_open(struct vision_tools *tools, const void *known, const char *module,
    const char *symbol, struct vision_error *err)
{
    const uint32_t *table = known;

    if (table != NULL)
        return table;
    table = tools->open_engine(module, symbol, err);
    if (table == NULL || *table == VISION_ENGINE_ABI)
        return table;
    aisys_vision_fail(err, AISYS_UNAVAILABLE, "%s was built for engine ABI %u, not %u", module,
        *table, VISION_ENGINE_ABI);
    return NULL;
}

enum aisys_code aisys_vision_tools_codes(
    struct vision_tools *tools, const struct vision_codes_ops **ret_ops, struct vision_error *err)
{
    const struct vision_codes_ops *ops;

    pthread_mutex_lock(&tools->modules);
    ops = tools_open(tools, tools->codes, VISION_CODES_MODULE, VISION_CODES_SYMBOL, err);
    tools->codes = ops;
    pthread_mutex_unlock(&tools->modules);
    if (ops == NULL)
        return AISYS_UNAVAILABLE;
    *ret_ops = ops;
    return AISYS_OK;
}

static enum aisys_code tools_ocr(
    struct vision_tools *tools, const struct vision_ocr_ops **ret_ops, struct vision_error *err)
{
    const struct vision_ocr_ops *ops;

    pthread_mutex_lock(&tools->modules);
    ops = tools_open(tools, tools->ocr, VISION_OCR_MODULE, VISION_OCR_SYMBOL, err);
    tools->ocr = ops;
    pthread_mutex_unlock(&tools->modules);
    if (ops == NULL)
        return AISYS_UNAVAILABLE;
    *ret_ops = ops;
    return AISYS_OK;
}

/* Readers. */

/* The place to lend: an idle reader of @languages, else a free place, else the reader idle longest;
 * NULL when all are lent. The lock is held. */
static struct tools_place *tools_choose(struct vision_tools *tools, const char *languages)
{
    struct tools_place *best = NULL;

    for (unsigned i = 0; i < tools->places_nr; i++) {
        struct tools_place *place = &tools->places[i];

        if (place->lent)
            continue;
        if (place->engine != NULL && strcmp(place->languages, languages) == 0)
            return place;
        if (best == NULL || (best->engine != NULL && place->engine == NULL) ||
            (best->engine != NULL && place->given_at < best->given_at))
            best = place;
    }
    return best;
}

/* Wait for a place, and lend it. The lock is held; NULL when told to stop. */
static struct tools_place *tools_wait(
    struct vision_tools *tools, const char *languages, const struct vision_stop *stop)
{
    struct tools_place *place;

    while ((place = tools_choose(tools, languages)) == NULL) {
        struct timespec until;

        if (aisys_vision_stopped(stop))
            return NULL;
        tools->stats.waits++;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TOOLS_ASK_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&tools->given, &tools->lock, &until);
    }
    place->lent = true;
    tools->stats.readers_lent++;
    return place;
}

/* Free @place again, with what is in it. */
static void tools_return(struct vision_tools *tools, struct tools_place *place)
{
    pthread_mutex_lock(&tools->lock);
    place->lent = false;
    place->given_at = ++tools->gives;
    tools->stats.readers_lent--;
    pthread_cond_signal(&tools->given);
    pthread_mutex_unlock(&tools->lock);
}

/* Make the reader of a place that is lent to us, in place of one for other languages. */
static enum aisys_code tools_make(struct vision_tools *tools, const struct vision_ocr_ops *ops,
    struct tools_place *place, const char *languages, struct vision_error *err)
{
    void *engine;
    enum aisys_code code;

    /* First make, then break: a wrong language costs nobody a reader that works. */
    code = ops->open(languages, &engine, err);
    if (code != AISYS_OK)
        return code;
    if (place->engine != NULL)
        ops->close(place->engine);
    pthread_mutex_lock(&tools->lock);
    tools->stats.readers += place->engine == NULL;
    tools->stats.readers_made++;
    place->engine = engine;
    strncpy(place->languages, languages, sizeof(place->languages) - 1);
    pthread_mutex_unlock(&tools->lock);
    return AISYS_OK;
}

enum aisys_code aisys_vision_tools_take(struct vision_tools *tools, const char *languages,
    const struct vision_stop *stop, struct vision_reader *ret_reader, struct vision_error *err)
{
    const struct vision_ocr_ops *ops;
    struct tools_place *place;
    enum aisys_code code;

    if (strlen(languages) >= VISION_LANGUAGES_BYTES)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "the list of languages is longer than %d bytes", VISION_LANGUAGES_BYTES - 1);
    code = tools_ocr(tools, &ops, err);
    if (code != AISYS_OK)
        return code;
    pthread_mutex_lock(&tools->lock);
    place = tools_wait(tools, languages, stop);
    pthread_mutex_unlock(&tools->lock);
    if (place == NULL)
        return aisys_vision_fail_stopped(err, "while all text readers were at work");

    if (place->engine == NULL || strcmp(place->languages, languages) != 0)
        code = tools_make(tools, ops, place, languages, err);
    if (code != AISYS_OK) {
        tools_return(tools, place);
        return code;
    }
    *ret_reader = (struct vision_reader){
        .ops = ops, .engine = place->engine, .place = (unsigned)(place - tools->places)
    };
    return AISYS_OK;
}

void aisys_vision_tools_give(struct vision_tools *tools, const struct vision_reader *reader)
{
    tools_return(tools, &tools->places[reader->place]);
}

void aisys_vision_tools_stats(struct vision_tools *tools, struct vision_tools_stats *ret_stats)
{
    pthread_mutex_lock(&tools->lock);
    *ret_stats = tools->stats;
    pthread_mutex_unlock(&tools->lock);
}
