/* The contract between this group and its engines: the shared modules that read text and codes.
 *
 * An engine is a module of its own because its libraries are heavy: it is opened when the first
 * picture needs it, and never closed. It exports one table:
 *
 *     module                    symbol               table
 *     aisys_ocr_tesseract.so    aisys_vision_ocr     struct vision_ocr_ops
 *     aisys_codes_zbar.so       aisys_vision_codes   struct vision_codes_ops
 *
 * Results are plain malloc() memory; the functions below release them.
 *
 * Threads: any, also several at once; one engine that open() gave serves one thread at a time.
 * Errors:  see base.h. Engines print nothing. */
#ifndef AISYS_VISION_ENGINES_H
#define AISYS_VISION_ENGINES_H

#include "image.h"

#define VISION_ENGINE_ABI 1u

#define VISION_OCR_MODULE   "aisys_ocr_tesseract.so"
#define VISION_OCR_SYMBOL   "aisys_vision_ocr"
#define VISION_CODES_MODULE "aisys_codes_zbar.so"
#define VISION_CODES_SYMBOL "aisys_vision_codes"

#define VISION_WORDS_MAX       20000 /* of one picture; a page of a newspaper has some 5000 */
#define VISION_CODES_MAX       256   /* of one picture */
#define VISION_LANGUAGES_BYTES 128   /* "eng+deu", with its NUL */

/* ---- Text --------------------------------------------------------------------------------- */

struct vision_word {
    char *text;       /* owned, UTF-8, no white space in it */
    float confidence; /* 0 to 1 */
    struct vision_box box;
};

struct vision_text {
    char
        *full; /* owned, UTF-8; lines end in "\n", blocks in an empty line; "" when there is none */
    struct vision_word *words; /* owned, in reading order */
    size_t words_nr;
};

struct vision_ocr_ops {
    uint32_t abi; /* VISION_ENGINE_ABI */
    const char *name;

    /* A reader for @languages ("eng", or several as "deu+eng"). Some 60 ms and 20 MiB. A language
     * that is not installed: AISYS_INVALID_ARGUMENT, naming those that are. */
    enum aisys_code (*open)(const char *languages, void **ret_engine, struct vision_error *err);
    void (*close)(void *engine);

    /* Read a grey picture. Once @stop says so it ends with AISYS_DEADLINE_EXCEEDED and the engine
     * can be used again; it asks before every word. In between lies the search for lines: with
     * limits on what is searched, at most about a second. */
    enum aisys_code (*read)(void *engine, const struct vision_image *image,
        const struct vision_stop *stop, struct vision_text *ret_text, struct vision_error *err);
};

void aisys_vision_text_deinit(struct vision_text *text);

/* ---- Codes -------------------------------------------------------------------------------- */

struct vision_code {
    char type[16]; /* "QR_CODE", "EAN13", "EAN8", "UPCE", "CODE128", "CODE93", "CODE39", "I25",
                      * "CODABAR", "DATABAR", "DATABAR_EXP" */
    uint8_t *data; /* owned; the bytes as encoded, which need not be text */
    size_t data_bytes;
    struct vision_box box;
};

struct vision_codes {
    struct vision_code *codes; /* owned */
    size_t codes_nr;
};

struct vision_codes_ops {
    uint32_t abi; /* VISION_ENGINE_ABI */
    const char *name;

    /* Find the QR and bar codes of a grey picture, dark on light and light on dark. Asks @stop
     * about once in half a second of work. */
    enum aisys_code (*find)(const struct vision_image *image, const struct vision_stop *stop,
        struct vision_codes *ret_codes, struct vision_error *err);
};

void aisys_vision_codes_deinit(struct vision_codes *codes);

#endif
