/* JPEG, by libjpeg-turbo. The probe is ours, so that a bomb never reaches it. */

#include "image_codec.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#define JPEG_SCANS_MAX 100 /* ordinary progressive files have about ten */

bool aisys_vision_jpeg_is(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

static unsigned jpeg_u16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* SOF0 to SOF15: the frame header, whatever the process; C4, C8 and CC share the range. */
static bool jpeg_is_frame(unsigned marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static enum aisys_code jpeg_fail_cut(size_t size, struct vision_error *err)
{
    return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
        "the JPEG is cut off: it ends after %zu bytes without its end mark (EOI)", size);
}

static void jpeg_probe_exif(const uint8_t *data, size_t size, struct vision_image_info *info)
{
    if (size > 6 && memcmp(data, "Exif\0\0", 6) == 0)
        info->orientation = aisys_vision_exif_orientation(data + 6, size - 6);
}

static enum aisys_code jpeg_probe_frame(
    const uint8_t *data, size_t size, struct vision_image_info *info, struct vision_error *err)
{
    if (size < 6)
        return aisys_vision_fail(
            err, AISYS_INVALID_ARGUMENT, "a broken JPEG: its frame header (SOF) is too short");
    info->stored_height = jpeg_u16(data + 1);
    info->stored_width = jpeg_u16(data + 3);
    if (info->stored_width == 0 || info->stored_height == 0)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "a JPEG whose header says %" PRIu32 " x %" PRIu32 " pixels cannot be decoded",
            info->stored_width, info->stored_height);
    return AISYS_OK;
}

/* Is there an end mark behind the first scan? It is searched from the end. */
static bool jpeg_has_end(const uint8_t *bytes, size_t size, size_t scan_at)
{
    for (size_t at = size - 1; at > scan_at; at--) {
        if (bytes[at] == 0xd9 && bytes[at - 1] == 0xff)
            return true;
    }
    return false;
}

enum aisys_code aisys_vision_jpeg_probe(
    const uint8_t *bytes, size_t size, struct vision_image_info *info, struct vision_error *err)
{
    size_t at = 2;
    enum aisys_code code;

    info->format = VISION_FORMAT_JPEG;
    for (;;) {
        unsigned marker;
        size_t data_bytes;

        while (at < size && bytes[at] != 0xff)
            at++; /* rubbish between segments: decoders skip it too */
        while (at < size && bytes[at] == 0xff)
            at++;
        if (size - at < 3)
            return jpeg_fail_cut(size, err);
        marker = bytes[at++];
        if (marker == 0 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8))
            continue; /* these stand alone */
        if (marker == 0xd9)
            return aisys_vision_fail(
                err, AISYS_INVALID_ARGUMENT, "a broken JPEG: it ends before any picture data");
        data_bytes = jpeg_u16(bytes + at);
        if (data_bytes < 2)
            return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
                "a broken JPEG: the segment at byte %zu has an impossible length", at);
        if (data_bytes > size - at)
            return jpeg_fail_cut(size, err);
        if (marker == 0xda)
            break; /* picture data begins */
        if (marker == 0xe1)
            jpeg_probe_exif(bytes + at + 2, data_bytes - 2, info);
        if (jpeg_is_frame(marker)) {
            code = jpeg_probe_frame(bytes + at + 2, data_bytes - 2, info, err);
            if (code != AISYS_OK)
                return code;
        }
        at += data_bytes;
    }
    if (info->stored_width == 0)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "a broken JPEG: picture data comes before the frame header (SOF)");
    if (!jpeg_has_end(bytes, size, at))
        return jpeg_fail_cut(size, err);
    return AISYS_OK;
}

/* One decoding. All that must survive a longjmp lives here; callbacks find it in client_data. */
struct jpeg_job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    struct vision_rows *rows;
    const struct vision_stop *stop;
    struct vision_error *err;
    uint8_t *stored; /* a row as libjpeg gives it, up to four channels */
    uint8_t *row;    /* only for CMYK: a converted row */
};

static void jpeg_job_give_up(struct jpeg_job *job, enum aisys_code code)
{
    (void)code; /* it is in job->err */
    longjmp(job->back, 1);
}

/* libjpeg's callbacks. error_exit must not return; nothing is ever printed. */

static void jpeg_on_error(j_common_ptr common)
{
    struct jpeg_job *job = common->client_data;
    char words[JMSG_LENGTH_MAX];

    common->err->format_message(common, words);
    if (common->err->msg_code == JERR_OUT_OF_MEMORY)
        jpeg_job_give_up(job,
            aisys_vision_fail(job->err, AISYS_RESOURCE_EXHAUSTED, "no memory to decode a JPEG"));
    jpeg_job_give_up(
        job, aisys_vision_fail(job->err, AISYS_INVALID_ARGUMENT, "a broken JPEG: %s", words));
}

/* libjpeg goes on, with grey filling, after damage that we call an error; extra bytes and odd
 * version numbers do no harm. */
static void jpeg_on_message(j_common_ptr common, int level)
{
    if (level >= 0)
        return; /* a trace */
    switch (common->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_TOO_MUCH_DATA:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_ICC:
        return;
    default:
        jpeg_on_error(common);
    }
}

static void jpeg_on_output(j_common_ptr common)
{
    (void)common;
}

static void jpeg_job_check_stop(struct jpeg_job *job)
{
    if (aisys_vision_stopped(job->stop))
        jpeg_job_give_up(job, aisys_vision_fail_stopped(job->err, "while decoding the JPEG"));
}

/* Called once for every row of blocks: a progressive file is read whole before its first row
 * comes out, and can hold any number of scans. */
static void jpeg_on_progress(j_common_ptr common)
{
    struct jpeg_job *job = common->client_data;

    if (job->jpeg.input_scan_number > JPEG_SCANS_MAX)
        jpeg_job_give_up(
            job, aisys_vision_fail(job->err, AISYS_INVALID_ARGUMENT,
                     "the JPEG has more than %d scans; no honest file has", JPEG_SCANS_MAX));
    jpeg_job_check_stop(job);
}

static void jpeg_job_init(struct jpeg_job *job)
{
    job->jpeg.err = jpeg_std_error(&job->errors);
    job->errors.error_exit = jpeg_on_error;
    job->errors.emit_message = jpeg_on_message;
    job->errors.output_message = jpeg_on_output;
    job->jpeg.client_data = job;
    jpeg_create_decompress(&job->jpeg);
    job->progress.progress_monitor = jpeg_on_progress;
    job->jpeg.progress = &job->progress;
}

/* The strongest shrinking that leaves both sides @min_side pixels; 8, 4, 2 or 1. */
static unsigned jpeg_scale_for(const struct vision_image_info *info, uint32_t min_side)
{
    unsigned scale = 8;

    if (min_side == 0)
        return 1;
    while (scale > 1 &&
           (info->stored_width / scale < min_side || info->stored_height / scale < min_side))
        scale /= 2;
    return scale;
}

static void jpeg_job_start(
    struct jpeg_job *job, const struct vision_image_info *info, uint32_t min_side)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;

    jpeg_read_header(jpeg, TRUE);
    /* The header that libjpeg believes must be the one that was checked against the limits. */
    if (jpeg->image_width != info->stored_width || jpeg->image_height != info->stored_height)
        jpeg_job_give_up(job,
            aisys_vision_fail(job->err, AISYS_INVALID_ARGUMENT, "a broken JPEG: it has two sizes"));
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK)
        jpeg->out_color_space = JCS_CMYK;
    else
        jpeg->out_color_space = job->rows->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->scale_num = 1;
    jpeg->scale_denom = jpeg_scale_for(info, min_side);
    jpeg_start_decompress(jpeg);
}

/* Ink to light. Adobe's files, which are nearly all there are, store the complement. */
static void jpeg_job_from_cmyk(struct jpeg_job *job)
{
    const unsigned invert = job->jpeg.saw_Adobe_marker ? 0 : 255;
    uint8_t *at = job->stored;

    for (uint32_t x = 0; x < job->jpeg.output_width; x++) {
        const unsigned k = job->stored[4 * (size_t)x + 3] ^ invert;

        for (unsigned c = 0; c < 3; c++)
            at[c] = (uint8_t)(((job->stored[4 * (size_t)x + c] ^ invert) * k + 127) / 255);
        at += 3;
    }
    aisys_vision_row_convert(job->stored, 3, job->jpeg.output_width, job->rows->channels, job->row);
}

static void jpeg_job_rows(struct jpeg_job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    const bool cmyk = jpeg->out_color_space == JCS_CMYK;

    if (aisys_vision_rows_open(job->rows, jpeg->output_width, jpeg->output_height) < 0 ||
        (job->stored = malloc((size_t)jpeg->output_width * 4)) == NULL ||
        (job->row = malloc((size_t)jpeg->output_width * 3)) == NULL)
        jpeg_job_give_up(job, aisys_vision_fail(job->err, AISYS_RESOURCE_EXHAUSTED,
                                  "no memory for a picture of %" PRIu32 " x %" PRIu32 " pixels",
                                  jpeg->output_width, jpeg->output_height));
    while (jpeg->output_scanline < jpeg->output_height) {
        const uint32_t y = jpeg->output_scanline;
        JSAMPROW row = job->stored;

        jpeg_job_check_stop(job);
        jpeg_read_scanlines(jpeg, &row, 1);
        if (cmyk)
            jpeg_job_from_cmyk(job);
        aisys_vision_rows_put(job->rows, y, cmyk ? job->row : job->stored);
    }
    /* No jpeg_finish_decompress(): what follows the last row is of no interest. */
}

/* True when the whole picture was read; else job->err says why not. */
static bool jpeg_job_run(struct jpeg_job *job, const uint8_t *bytes, size_t size,
    const struct vision_image_info *info, uint32_t min_side)
{
    if (setjmp(job->back) != 0)
        return false;
    jpeg_job_init(job);
    jpeg_mem_src(&job->jpeg, bytes, size);
    jpeg_job_start(job, info, min_side);
    jpeg_job_rows(job);
    return true;
}

enum aisys_code aisys_vision_jpeg_decode(const uint8_t *bytes, size_t size,
    const struct vision_image_info *info, uint32_t min_side, struct vision_rows *rows,
    const struct vision_stop *stop, struct vision_error *err)
{
    struct jpeg_job job = { .rows = rows, .stop = stop, .err = err };
    bool whole;

    whole = jpeg_job_run(&job, bytes, size, info, min_side);
    jpeg_destroy_decompress(&job.jpeg);
    free(job.stored);
    free(job.row);
    return whole ? AISYS_OK : err->code;
}
