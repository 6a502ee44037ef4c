/* PNG, by libpng. The probe is ours, so that a bomb never reaches it. */

#include "image_codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#define PNG_HEADER_BYTES    33         /* signature, IHDR */
#define PNG_CHUNK_MAX_BYTES (1u << 20) /* of an ancillary chunk, inflated; pixels do not count */

static const uint8_t png_magic[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

bool aisys_vision_png_is(const uint8_t *bytes, size_t size)
{
    return size >= sizeof(png_magic) && memcmp(bytes, png_magic, sizeof(png_magic)) == 0;
}

/* Walk the list of chunks from behind IHDR until IEND: is the file whole? */
static enum aisys_code png_walk(
    const uint8_t *bytes, size_t size, struct vision_image_info *info, struct vision_error *err)
{
    size_t at = PNG_HEADER_BYTES;

    for (;;) {
        uint64_t data_bytes;

        if (size - at < 12)
            return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
                "the PNG is cut off: it has %zu bytes and no end (IEND)", size);
        data_bytes = png_get_uint_32(bytes + at);
        if (data_bytes > size - at - 12)
            return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
                "the PNG is cut off: the part at byte %zu says it has %" PRIu64
                " bytes, but the file ends after %zu",
                at, data_bytes, size);
        if (memcmp(bytes + at + 4, "IEND", 4) == 0)
            return AISYS_OK;
        if (memcmp(bytes + at + 4, "eXIf", 4) == 0)
            info->orientation = aisys_vision_exif_orientation(bytes + at + 8, (size_t)data_bytes);
        at += 12 + (size_t)data_bytes;
    }
}

enum aisys_code aisys_vision_png_probe(
    const uint8_t *bytes, size_t size, struct vision_image_info *info, struct vision_error *err)
{
    info->format = VISION_FORMAT_PNG;
    if (size < PNG_HEADER_BYTES)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "the PNG is cut off: %zu bytes do not even hold its header", size);
    if (png_get_uint_32(bytes + 8) != 13 || memcmp(bytes + 12, "IHDR", 4) != 0)
        return aisys_vision_fail(
            err, AISYS_INVALID_ARGUMENT, "a broken PNG: it does not begin with its header (IHDR)");
    info->stored_width = png_get_uint_32(bytes + 16);
    info->stored_height = png_get_uint_32(bytes + 20);
    if (info->stored_width == 0 || info->stored_height == 0 || info->stored_width > INT32_MAX ||
        info->stored_height > INT32_MAX)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "a broken PNG: its header says %" PRIu32 " x %" PRIu32 " pixels", info->stored_width,
            info->stored_height);
    return png_walk(bytes, size, info, err);
}

/* One decoding. All that must survive a longjmp lives here. */
struct png_job {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t size, at;
    struct vision_rows *rows;
    const struct vision_stop *stop;
    struct vision_error *err;
    uint8_t *row;      /* a converted row */
    uint8_t *stored;   /* one stored row, or all of them when interlaced */
    size_t row_bytes;  /* of a stored row */
    unsigned channels; /* of a stored row */
    bool explained;    /* err is filled in */
};

static void png_job_give_up(struct png_job *job, enum aisys_code code)
{
    (void)code; /* it is in job->err */
    job->explained = true;
    png_longjmp(job->png, 1);
}

/* libpng's callbacks. The error one must not return; nothing is ever printed. */

static void png_on_error(png_structp png, png_const_charp words)
{
    struct png_job *job = png_get_error_ptr(png);

    if (!job->explained)
        aisys_vision_fail(job->err, AISYS_INVALID_ARGUMENT, "a broken PNG: %s", words);
    job->explained = true;
    png_longjmp(png, 1);
}

static void png_on_warning(png_structp png, png_const_charp words)
{
    (void)png;
    (void)words;
}

static void png_on_read(png_structp png, png_bytep to, size_t bytes)
{
    struct png_job *job = png_get_io_ptr(png);

    if (bytes > job->size - job->at)
        png_error(png, "the data ends too early");
    memcpy(to, job->bytes + job->at, bytes);
    job->at += bytes;
}

static void png_job_header(struct png_job *job)
{
    /* Read, but never kept: text and colour profiles, which can be inflated to any size. */
    static const uint8_t unwanted[] = "iCCP\0zTXt\0iTXt\0tEXt\0sPLT\0eXIf";
    png_structp png = job->png;

    png_set_read_fn(png, job, png_on_read);
    png_set_user_limits(png, INT32_MAX, INT32_MAX); /* the probe has checked the pixels */
    png_set_chunk_cache_max(png, 16);
    png_set_chunk_malloc_max(png, PNG_CHUNK_MAX_BYTES);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unwanted, sizeof(unwanted) / 5);
    png_read_info(png, job->info);
    png_set_expand(png); /* palette to RGB, grey to 8 bits, tRNS to alpha */
    png_set_scale_16(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, job->info);
    job->channels = png_get_channels(png, job->info);
    job->row_bytes = png_get_rowbytes(png, job->info);
}

static void png_job_out_of_memory(struct png_job *job, uint64_t bytes)
{
    png_job_give_up(job, aisys_vision_fail(job->err, AISYS_RESOURCE_EXHAUSTED,
                             "no memory for the picture's %" PRIu64 " bytes", bytes));
}

static void png_job_check_stop(struct png_job *job)
{
    if (aisys_vision_stopped(job->stop))
        png_job_give_up(job, aisys_vision_fail_stopped(job->err, "while decoding the PNG"));
}

static void png_job_put(struct png_job *job, uint32_t y, const uint8_t *stored)
{
    aisys_vision_row_convert(
        stored, job->channels, job->rows->stored_width, job->rows->channels, job->row);
    aisys_vision_rows_put(job->rows, y, job->row);
}

static void png_job_rows(struct png_job *job, uint32_t width, uint32_t height)
{
    const bool interlaced = png_get_interlace_type(job->png, job->info) != PNG_INTERLACE_NONE;
    const uint64_t stored_bytes = (uint64_t)job->row_bytes * (interlaced ? height : 1);

    if (aisys_vision_rows_open(job->rows, width, height) < 0)
        png_job_out_of_memory(job, (uint64_t)width * height * job->rows->channels);
    job->row = malloc((size_t)width * job->rows->channels);
    job->stored = calloc(1, stored_bytes);
    if (job->row == NULL || job->stored == NULL)
        png_job_out_of_memory(job, stored_bytes);

    /* Each pass of an interlaced file adds to the rows of the passes before it. */
    for (unsigned pass = 0; interlaced && pass < 7; pass++) {
        for (uint32_t y = 0; y < height; y++) {
            png_job_check_stop(job);
            png_read_row(job->png, job->stored + (size_t)y * job->row_bytes, NULL);
        }
    }
    for (uint32_t y = 0; y < height; y++) {
        png_job_check_stop(job);
        if (!interlaced)
            png_read_row(job->png, job->stored, NULL);
        png_job_put(job, y, job->stored + (interlaced ? (size_t)y * job->row_bytes : 0));
    }
}

/* True when the whole picture was read; else job->err says why not. */
static bool png_job_run(struct png_job *job, uint32_t width, uint32_t height)
{
    if (setjmp(png_jmpbuf(job->png)) != 0)
        return false;
    png_job_header(job);
    png_job_rows(job, width, height);
    return true;
}

enum aisys_code aisys_vision_png_decode(const uint8_t *bytes, size_t size,
    const struct vision_image_info *info, struct vision_rows *rows, const struct vision_stop *stop,
    struct vision_error *err)
{
    struct png_job job = { .bytes = bytes, .size = size, .rows = rows, .stop = stop, .err = err };
    bool whole = false;

    job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, png_on_error, png_on_warning);
    job.info = job.png != NULL ? png_create_info_struct(job.png) : NULL;
    if (job.info == NULL)
        aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory to decode a PNG");
    else
        whole = png_job_run(&job, info->stored_width, info->stored_height);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    free(job.row);
    free(job.stored);
    return whole ? AISYS_OK : err->code;
}
