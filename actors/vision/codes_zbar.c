/* The engine for QR and bar codes, by zbar.
 *
 * zbar cannot be interrupted and takes up to 0.15 us a pixel on noise, so it never gets more than
 * PIECE_PIXELS at once. A picture larger than that is looked at twice: shrunk, which shows large
 * codes whole, and in overlapping pieces at full size, which shows small ones. Every look is taken
 * on the picture and on its negative, for codes that are light on dark. */

#include "engines.h"

#include <stdlib.h>
#include <string.h>

#include <zbar.h>

#include <aisys/api.h>

#define PIECE_SIDE    1800u
#define PIECE_OVERLAP 450u
#define PIECE_PIXELS  (PIECE_SIDE * PIECE_SIDE)

/* The names that callers see, and how many scan lines must agree before we believe it: bar codes
 * with weak or no check digits are also "seen" in noise. */
static const struct code_type {
    zbar_symbol_type_t type;
    const char *name;
    int quality_min;
} code_types[] = {
    { ZBAR_QRCODE, "QR_CODE", 0 },
    { ZBAR_EAN13, "EAN13", 2 },
    { ZBAR_EAN8, "EAN8", 3 },
    { ZBAR_UPCE, "UPCE", 3 },
    { ZBAR_CODE128, "CODE128", 2 },
    { ZBAR_CODE93, "CODE93", 2 },
    { ZBAR_CODE39, "CODE39", 3 },
    { ZBAR_I25, "I25", 5 },
    { ZBAR_CODABAR, "CODABAR", 5 },
    { ZBAR_DATABAR, "DATABAR", 5 },
    { ZBAR_DATABAR_EXP, "DATABAR_EXP", 5 },
};

#define CODE_TYPES_NR (sizeof(code_types) / sizeof(code_types[0]))

/* A part of the picture that zbar looks at, and how its pixels lie in the whole. */
struct piece {
    struct vision_image image;          /* grey */
    uint32_t x, y;                      /* of its corner, in the whole picture */
    uint32_t whole_width, whole_height; /* what its width and height are there */
};

struct finder {
    zbar_image_scanner_t *scanner;
    struct vision_codes found;
};

static const struct code_type *code_type_of(const zbar_symbol_t *symbol)
{
    const zbar_symbol_type_t type = zbar_symbol_get_type(symbol);

    for (size_t i = 0; i < CODE_TYPES_NR; i++) {
        if (code_types[i].type == type)
            return &code_types[i];
    }
    return NULL;
}

/* The smallest box around all points of @symbol, in pixels of the whole picture. */
static struct vision_box code_box(const zbar_symbol_t *symbol, const struct piece *piece)
{
    const unsigned points = zbar_symbol_get_loc_size(symbol);
    uint64_t left = piece->image.width - 1;
    uint64_t top = piece->image.height - 1;
    uint64_t right = 0;
    uint64_t bottom = 0;

    for (unsigned i = 0; i < points; i++) {
        int x = zbar_symbol_get_loc_x(symbol, i);
        int y = zbar_symbol_get_loc_y(symbol, i);

        /* A corner that is computed can lie outside. */
        x = x < 0 ? 0 : x >= (int)piece->image.width ? (int)piece->image.width - 1 : x;
        y = y < 0 ? 0 : y >= (int)piece->image.height ? (int)piece->image.height - 1 : y;
        left = (uint64_t)x < left ? (uint64_t)x : left;
        right = (uint64_t)x > right ? (uint64_t)x : right;
        top = (uint64_t)y < top ? (uint64_t)y : top;
        bottom = (uint64_t)y > bottom ? (uint64_t)y : bottom;
    }
    if (points == 0)
        return (struct vision_box){ piece->x, piece->y, piece->whole_width, piece->whole_height };

    left = left * piece->whole_width / piece->image.width;
    top = top * piece->whole_height / piece->image.height;
    right = (right + 1) * piece->whole_width / piece->image.width;
    bottom = (bottom + 1) * piece->whole_height / piece->image.height;
    return (struct vision_box){ piece->x + (uint32_t)left, piece->y + (uint32_t)top,
        (uint32_t)(right - left), (uint32_t)(bottom - top) };
}

static bool box_overlaps(const struct vision_box *a, const struct vision_box *b)
{
    return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height &&
           b->y < a->y + a->height;
}

static bool finder_has(const struct finder *finder, const struct vision_code *code)
{
    for (size_t i = 0; i < finder->found.codes_nr; i++) {
        const struct vision_code *other = &finder->found.codes[i];

        if (strcmp(other->type, code->type) == 0 && other->data_bytes == code->data_bytes &&
            memcmp(other->data, code->data, code->data_bytes) == 0 &&
            box_overlaps(&other->box, &code->box))
            return true;
    }
    return false;
}

/* 0 or -1 without memory. */
static int finder_add(struct finder *finder, const zbar_symbol_t *symbol, const struct piece *piece)
{
    const struct code_type *type = code_type_of(symbol);
    struct vision_code code = { 0 };

    if (type == NULL || zbar_symbol_get_quality(symbol) < type->quality_min ||
        finder->found.codes_nr == VISION_CODES_MAX)
        return 0;
    strncpy(code.type, type->name, sizeof(code.type) - 1);
    code.data = (uint8_t *)zbar_symbol_get_data(symbol); /* borrowed until it proves new */
    code.data_bytes = zbar_symbol_get_data_length(symbol);
    code.box = code_box(symbol, piece);
    if (finder_has(finder, &code))
        return 0;
    code.data = malloc(code.data_bytes + 1);
    if (code.data == NULL)
        return -1;
    memcpy(code.data, zbar_symbol_get_data(symbol), code.data_bytes);
    code.data[code.data_bytes] = '\0';
    finder->found.codes[finder->found.codes_nr++] = code;
    return 0;
}

static int finder_scan(struct finder *finder, const struct piece *piece)
{
    const size_t bytes = (size_t)piece->image.width * piece->image.height;
    zbar_image_t *image = zbar_image_create();
    const zbar_symbol_t *symbol;
    int r = 0;

    if (image == NULL)
        return -1;
    zbar_image_set_format(image, zbar_fourcc('Y', '8', '0', '0'));
    zbar_image_set_size(image, piece->image.width, piece->image.height);
    zbar_image_set_data(image, piece->image.data, bytes, NULL); /* stays ours */
    if (zbar_scan_image(finder->scanner, image) > 0) {
        symbol = zbar_image_first_symbol(image);
        for (; symbol != NULL && r == 0; symbol = zbar_symbol_next(symbol))
            r = finder_add(finder, symbol, piece);
    }
    zbar_image_destroy(image);
    return r;
}

/* Look at the piece and at its negative, which is what it is left as. */
static enum aisys_code finder_look(struct finder *finder, struct piece *piece,
    const struct vision_stop *stop, struct vision_error *err)
{
    const size_t bytes = (size_t)piece->image.width * piece->image.height;

    for (unsigned n = 0; n < 2; n++) {
        if (aisys_vision_stopped(stop))
            return aisys_vision_fail_stopped(err, "while looking for codes");
        if (finder_scan(finder, piece) < 0)
            return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory for codes");
        for (size_t i = 0; n == 0 && i < bytes; i++)
            piece->image.data[i] = (uint8_t)~piece->image.data[i];
    }
    return AISYS_OK;
}

/* The rectangle of @width x @height at (@x, @y) of @image, as a piece with pixels of its own. */
static int piece_cut(const struct vision_image *image, uint32_t x, uint32_t y, uint32_t width,
    uint32_t height, struct piece *ret_piece)
{
    struct piece piece = { .x = x, .y = y, .whole_width = width, .whole_height = height };

    if (aisys_vision_image_init(&piece.image, width, height, 1) < 0)
        return -1;
    for (uint32_t row = 0; row < height; row++)
        memcpy(piece.image.data + (size_t)row * width,
            image->data + (size_t)(y + row) * image->width + x, width);
    *ret_piece = piece;
    return 0;
}

static enum aisys_code finder_cut_and_look(struct finder *finder, const struct vision_image *image,
    uint32_t x, uint32_t y, const struct vision_stop *stop, struct vision_error *err)
{
    const uint32_t width = image->width - x < PIECE_SIDE ? image->width - x : PIECE_SIDE;
    const uint32_t height = image->height - y < PIECE_SIDE ? image->height - y : PIECE_SIDE;
    struct piece piece;
    enum aisys_code code;

    if (piece_cut(image, x, y, width, height, &piece) < 0)
        return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory to look for codes");
    code = finder_look(finder, &piece, stop, err);
    aisys_vision_image_deinit(&piece.image);
    return code;
}

/* The picture shrunk until it fits one piece. */
static enum aisys_code finder_look_from_afar(struct finder *finder,
    const struct vision_image *image, const struct vision_stop *stop, struct vision_error *err)
{
    struct piece piece = { .whole_width = image->width, .whole_height = image->height };
    uint32_t divisor = 2;
    uint32_t width;
    uint32_t height;
    enum aisys_code code;

    while ((uint64_t)image->width * image->height / divisor / divisor > PIECE_PIXELS)
        divisor++;
    width = image->width / divisor > 0 ? image->width / divisor : 1;
    height = image->height / divisor > 0 ? image->height / divisor : 1;
    if (aisys_vision_image_shrink(image, width, height, &piece.image) < 0)
        return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory to look for codes");
    code = finder_look(finder, &piece, stop, err);
    aisys_vision_image_deinit(&piece.image);
    return code;
}

static enum aisys_code finder_run(struct finder *finder, const struct vision_image *image,
    const struct vision_stop *stop, struct vision_error *err)
{
    const uint32_t step = PIECE_SIDE - PIECE_OVERLAP;
    enum aisys_code code = AISYS_OK;

    if (image->width > PIECE_SIDE || image->height > PIECE_SIDE)
        code = finder_look_from_afar(finder, image, stop, err);
    for (uint32_t y = 0; code == AISYS_OK; y += step) {
        for (uint32_t x = 0; code == AISYS_OK; x += step) {
            code = finder_cut_and_look(finder, image, x, y, stop, err);
            if (image->width - x <= PIECE_SIDE)
                break;
        }
        if (image->height - y <= PIECE_SIDE)
            break;
    }
    return code;
}

static int finder_init(struct finder *finder)
{
    finder->found.codes_nr = 0;
    finder->found.codes = calloc(VISION_CODES_MAX, sizeof(*finder->found.codes));
    finder->scanner = zbar_image_scanner_create();
    if (finder->found.codes == NULL || finder->scanner == NULL)
        return -1;
    zbar_image_scanner_set_config(finder->scanner, ZBAR_NONE, ZBAR_CFG_ENABLE, 0);
    for (size_t i = 0; i < CODE_TYPES_NR; i++)
        zbar_image_scanner_set_config(finder->scanner, code_types[i].type, ZBAR_CFG_ENABLE, 1);
    /* The bytes as they were encoded, not what zbar takes them to be as text. */
    zbar_image_scanner_set_config(finder->scanner, ZBAR_QRCODE, ZBAR_CFG_BINARY, 1);
    return 0;
}

static void finder_deinit(struct finder *finder)
{
    if (finder->scanner != NULL)
        zbar_image_scanner_destroy(finder->scanner);
    aisys_vision_codes_deinit(&finder->found);
}

static enum aisys_code codes_find(const struct vision_image *image, const struct vision_stop *stop,
    struct vision_codes *ret_codes, struct vision_error *err)
{
    struct finder finder;
    enum aisys_code code;

    if (finder_init(&finder) < 0)
        code = aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory to look for codes");
    else
        code = finder_run(&finder, image, stop, err);
    if (code == AISYS_OK) {
        *ret_codes = finder.found;
        finder.found = (struct vision_codes){ 0 };
    }
    finder_deinit(&finder);
    return code;
}

AISYS_API extern const struct vision_codes_ops aisys_vision_codes;
const struct vision_codes_ops aisys_vision_codes = {
    .abi = VISION_ENGINE_ABI,
    .name = "zbar",
    .find = codes_find,
};
