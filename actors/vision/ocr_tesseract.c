/* The engine that reads text, by tesseract. What it does to a picture first is ocr_picture.c's.
 *
 * Stopping: tesseract asks before each word, but not while it searches for lines; so that this never
 * takes more than about a second, large or noisy pictures are shrunk. Silence: neither tesseract
 * nor leptonica may write to stderr. */

#include "engines.h"
#include "ocr_picture.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leptonica/allheaders.h>
#include <tesseract/capi.h>

#include <aisys/api.h>

#define OCR_LANGUAGES_MAX 64 /* installed ones that are looked at */

struct ocr_engine {
    TessBaseAPI *tesseract;
};

/* libgomp's, which libtesseract brings along: no teams of threads in the thread that asks. The
 * environment (OMP_THREAD_LIMIT=1) would do it too, but only when set before the library loads. */
extern void omp_set_max_active_levels(int levels) __attribute__((weak));

/* ---- Languages ---------------------------------------------------------------------------- */

static const char *const ocr_data_dirs[] = {
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
};

struct ocr_languages {
    char dir[512];
    char name[OCR_LANGUAGES_MAX][32];
    unsigned name_nr;
};

static int ocr_compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Fill *@list from @dir; false when there is no language in it. */
static bool ocr_list_dir(const char *dir, struct ocr_languages *list)
{
    static const char suffix[] = ".traineddata";
    const struct dirent *entry;
    DIR *d = opendir(dir);

    list->name_nr = 0;
    snprintf(list->dir, sizeof(list->dir), "%s", dir);
    if (d == NULL)
        return false;
    while ((entry = readdir(d)) != NULL && list->name_nr < OCR_LANGUAGES_MAX) {
        const size_t length = strlen(entry->d_name);
        const size_t stem = length > sizeof(suffix) - 1 ? length - (sizeof(suffix) - 1) : 0;

        if (stem == 0 || stem >= sizeof(list->name[0]) || strcmp(entry->d_name + stem, suffix) != 0)
            continue;
        memcpy(list->name[list->name_nr], entry->d_name, stem);
        list->name[list->name_nr][stem] = '\0';
        /* Data for finding the script, or formulas, is no language. */
        if (strcmp(list->name[list->name_nr], "osd") != 0 &&
            strcmp(list->name[list->name_nr], "equ") != 0)
            list->name_nr++;
    }
    closedir(d);
    qsort(list->name, list->name_nr, sizeof(list->name[0]), ocr_compare_names);
    return list->name_nr > 0;
}

/* As tesseract does: TESSDATA_PREFIX is the directory itself, or what contains it. */
static bool ocr_list(struct ocr_languages *list)
{
    const char *prefix = getenv("TESSDATA_PREFIX");
    char dir[512];

    if (prefix != NULL && prefix[0] != '\0') {
        if (ocr_list_dir(prefix, list))
            return true;
        snprintf(dir, sizeof(dir), "%s/tessdata", prefix);
        return ocr_list_dir(dir, list);
    }
    for (size_t i = 0; i < sizeof(ocr_data_dirs) / sizeof(ocr_data_dirs[0]); i++) {
        if (ocr_list_dir(ocr_data_dirs[i], list))
            return true;
    }
    return false;
}

static bool ocr_has_language(const struct ocr_languages *list, const char *name, size_t length)
{
    for (unsigned i = 0; i < list->name_nr; i++) {
        if (strlen(list->name[i]) == length && memcmp(list->name[i], name, length) == 0)
            return true;
    }
    return false;
}

/* Each part of @languages must be the name of an installed one: nothing else reaches tesseract,
 * which would make file names of it. */
static enum aisys_code ocr_check_languages(
    const struct ocr_languages *list, const char *languages, struct vision_error *err)
{
    char installed[200] = "";

    for (unsigned i = 0; i < list->name_nr; i++) {
        const size_t at = strlen(installed);

        snprintf(installed + at, sizeof(installed) - at, "%s%s", i > 0 ? ", " : "", list->name[i]);
    }
    for (const char *at = languages;; at++) {
        const size_t length = strcspn(at, "+");

        if (!ocr_has_language(list, at, length))
            return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
                "language \"%.*s\" is not installed; installed are: %s",
                length < 40 ? (int)length : 40, at, installed);
        at += length;
        if (*at == '\0')
            return AISYS_OK;
    }
}

/* ---- Opening ------------------------------------------------------------------------------ */

/* tesseract's tables and its log are made by the first instance, without a lock of its own. */
static pthread_mutex_t ocr_open_lock = PTHREAD_MUTEX_INITIALIZER;

static TessBaseAPI *ocr_new_tesseract(const char *dir, const char *languages)
{
    static bool quiet; /* one name for all instances, which others may be reading: it is set once */
    TessBaseAPI *tesseract;
    int r;

    pthread_mutex_lock(&ocr_open_lock);
    setMsgSeverity(L_SEVERITY_NONE);
    tesseract = TessBaseAPICreate();
    if (!quiet)
        quiet = TessBaseAPISetVariable(tesseract, "debug_file", "/dev/null");
    r = TessBaseAPIInit2(tesseract, dir, languages, OEM_DEFAULT);
    pthread_mutex_unlock(&ocr_open_lock);
    if (r == 0)
        return tesseract;
    TessBaseAPIDelete(tesseract);
    return NULL;
}

static enum aisys_code ocr_open(const char *languages, void **ret_engine, struct vision_error *err)
{
    struct ocr_languages list;
    struct ocr_engine *engine;
    enum aisys_code code;

    if (!ocr_list(&list))
        return aisys_vision_fail(err, AISYS_UNAVAILABLE,
            "no tesseract language is installed (looked for *.traineddata in %s; Debian has them "
            "in tesseract-ocr-eng and its sisters)",
            list.dir);
    code = ocr_check_languages(&list, languages, err);
    if (code != AISYS_OK)
        return code;
    engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory to read text");
    engine->tesseract = ocr_new_tesseract(list.dir, languages);
    if (engine->tesseract == NULL) {
        free(engine);
        return aisys_vision_fail(err, AISYS_UNAVAILABLE,
            "tesseract cannot use the data of \"%s\" in %s; it may be damaged or too old",
            languages, list.dir);
    }
    TessBaseAPISetPageSegMode(engine->tesseract, PSM_AUTO);
    *ret_engine = engine;
    return AISYS_OK;
}

static void ocr_close(void *ctx)
{
    struct ocr_engine *engine = ctx;

    if (engine == NULL)
        return;
    TessBaseAPIDelete(engine->tesseract);
    free(engine);
}

/* ---- Reading ------------------------------------------------------------------------------ */

static bool ocr_on_cancel(void *ctx, int words)
{
    (void)words;
    return aisys_vision_stopped(ctx);
}

static bool ocr_is_blank(const char *text)
{
    return text == NULL || text[strspn(text, " \t\n\f")] == '\0';
}

/* The word that @at stands on; @scale is from tesseract's pixels to the caller's, who has
 * @whole->width x height of them. */
static int ocr_take_word(TessResultIterator *at, double scale, const struct vision_image *whole,
    struct vision_text *taken)
{
    const TessPageIterator *page = TessResultIteratorGetPageIteratorConst(at);
    char *text = TessResultIteratorGetUTF8Text(at, RIL_WORD);
    struct vision_word *word = &taken->words[taken->words_nr];
    int left = 0;
    int top = 0;
    int right = 0;
    int bottom = 0;
    float confidence;

    if (ocr_is_blank(text)) {
        TessDeleteText(text);
        return 0;
    }
    word->text = strdup(text);
    TessDeleteText(text);
    if (word->text == NULL)
        return -ENOMEM;
    confidence = TessResultIteratorConfidence(at, RIL_WORD) / 100;
    word->confidence = confidence < 0 ? 0 : confidence > 1 ? 1 : confidence;
    TessPageIteratorBoundingBox(page, RIL_WORD, &left, &top, &right, &bottom);
    word->box.x = (uint32_t)(left * scale);
    word->box.y = (uint32_t)(top * scale);
    word->box.width = (uint32_t)(right * scale + 0.5) - word->box.x;
    word->box.height = (uint32_t)(bottom * scale + 0.5) - word->box.y;
    if (word->box.x + word->box.width > whole->width)
        word->box.width = whole->width - word->box.x;
    if (word->box.y + word->box.height > whole->height)
        word->box.height = whole->height - word->box.y;
    taken->words_nr++;
    return 0;
}

static int ocr_take_words(TessBaseAPI *tesseract, double scale, const struct vision_image *whole,
    struct vision_text *taken)
{
    TessResultIterator *at = TessBaseAPIGetIterator(tesseract);
    size_t capacity = 0;
    int r = 0;

    if (at == NULL)
        return 0; /* nothing on the page */
    do {
        if (taken->words_nr == VISION_WORDS_MAX) {
            r = -E2BIG;
            break;
        }
        if (taken->words_nr == capacity) {
            struct vision_word *more;

            capacity = capacity == 0 ? 64 : capacity * 2;
            more = realloc(taken->words, capacity * sizeof(*more));
            if (more == NULL) {
                r = -ENOMEM;
                break;
            }
            taken->words = more;
        }
        r = ocr_take_word(at, scale, whole, taken);
    } while (r == 0 && TessResultIteratorNext(at, RIL_WORD));
    TessResultIteratorDelete(at);
    return r;
}

static int ocr_take_full(TessBaseAPI *tesseract, struct vision_text *taken)
{
    char *text = taken->words_nr > 0 ? TessBaseAPIGetUTF8Text(tesseract) : NULL;
    const char *from = text == NULL ? "" : text;
    size_t length;

    from += strspn(from, " \t\n\f");
    length = strlen(from);
    while (length > 0 && strchr(" \t\n\f", from[length - 1]) != NULL)
        length--;
    taken->full = strndup(from, length);
    TessDeleteText(text);
    return taken->full == NULL ? -ENOMEM : 0;
}

/* Recognize what is set. 0, -ECANCELED, -EIO when tesseract fails of itself, or -ENOMEM. */
static int ocr_recognize(TessBaseAPI *tesseract, const struct vision_stop *stop)
{
    ETEXT_DESC *monitor = TessMonitorCreate();
    int r;

    if (monitor == NULL)
        return -ENOMEM;
    TessMonitorSetCancelFunc(monitor, ocr_on_cancel);
    TessMonitorSetCancelThis(monitor, (void *)stop);
    r = TessBaseAPIRecognize(tesseract, monitor);
    TessMonitorDelete(monitor);
    /* Asked again: after a stop during the search for lines tesseract has nothing to cancel. */
    if (aisys_vision_stopped(stop))
        return -ECANCELED;
    return r == 0 ? 0 : -EIO;
}

/* Read @seen, which is @whole or a smaller one, with boxes in pixels of @whole. */
static int ocr_read_pixels(struct ocr_engine *engine, const struct vision_image *seen,
    const struct vision_image *whole, const struct vision_stop *stop, struct vision_text *ret_text)
{
    struct vision_text text = { 0 };
    unsigned enlarge;
    PIX *pix = aisys_ocr_picture_prepare(seen, &enlarge);
    double scale;
    int r;

    if (pix == NULL)
        return -ENOMEM;
    scale = (double)whole->width / seen->width / enlarge;
    TessBaseAPISetImage2(engine->tesseract, pix);
    TessBaseAPISetSourceResolution(engine->tesseract, 70); /* unknown: it then estimates */
    r = ocr_recognize(engine->tesseract, stop);
    if (r == 0)
        r = ocr_take_words(engine->tesseract, scale, whole, &text);
    if (r == 0)
        r = ocr_take_full(engine->tesseract, &text);
    TessBaseAPIClear(engine->tesseract);
    pixDestroy(&pix);
    if (r < 0) {
        aisys_vision_text_deinit(&text);
        return r;
    }
    *ret_text = text;
    return 0;
}

static enum aisys_code ocr_explain(int error, struct vision_error *err)
{
    switch (-error) {
    case ECANCELED:
        return aisys_vision_fail_stopped(err, "while reading text");
    case E2BIG:
        return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED,
            "the picture has more than %d words; send it in parts", VISION_WORDS_MAX);
    case ENOMEM:
        return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory to read text");
    default:
        return aisys_vision_fail(err, AISYS_INTERNAL, "tesseract could not read the picture");
    }
}

static enum aisys_code ocr_read(void *ctx, const struct vision_image *image,
    const struct vision_stop *stop, struct vision_text *ret_text, struct vision_error *err)
{
    const struct vision_image *seen;
    struct vision_image owned;
    int r;

    if (aisys_vision_stopped(stop))
        return aisys_vision_fail_stopped(err, "before text was read");
    if (omp_set_max_active_levels != NULL)
        omp_set_max_active_levels(0);
    r = aisys_ocr_picture_fit(image, &owned, &seen);
    if (r == 0)
        r = ocr_read_pixels(ctx, seen, image, stop, ret_text);
    aisys_vision_image_deinit(&owned);
    return r == 0 ? AISYS_OK : ocr_explain(r, err);
}

AISYS_API extern const struct vision_ocr_ops aisys_vision_ocr;
const struct vision_ocr_ops aisys_vision_ocr = {
    .abi = VISION_ENGINE_ABI,
    .name = "tesseract",
    .open = ocr_open,
    .close = ocr_close,
    .read = ocr_read,
};
