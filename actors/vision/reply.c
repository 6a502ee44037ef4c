#include "reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aisys/vision.pb-c.h"

/* The messages of one reply, all in arrays of their own; they borrow strings from the result. */
struct reply_parts {
    Aisys__Vision__AnalyzeReply__Word *words, **word_list;
    Aisys__Vision__AnalyzeReply__Code *codes, **code_list;
    Aisys__Vision__Box *word_boxes, *code_boxes;
};

static int reply_parts_init(struct reply_parts *parts, const struct vision_result *result)
{
    const size_t words = result->text.words_nr + 1; /* never 0, so that NULL is a failure */
    const size_t codes = result->codes.codes_nr + 1;

    parts->words = calloc(words, sizeof(*parts->words));
    parts->word_list = calloc(words, sizeof(*parts->word_list));
    parts->word_boxes = calloc(words, sizeof(*parts->word_boxes));
    parts->codes = calloc(codes, sizeof(*parts->codes));
    parts->code_list = calloc(codes, sizeof(*parts->code_list));
    parts->code_boxes = calloc(codes, sizeof(*parts->code_boxes));
    if (parts->words == NULL || parts->word_list == NULL || parts->word_boxes == NULL ||
        parts->codes == NULL || parts->code_list == NULL || parts->code_boxes == NULL)
        return -ENOMEM;
    return 0;
}

static void reply_parts_deinit(struct reply_parts *parts)
{
    free(parts->words);
    free(parts->word_list);
    free(parts->word_boxes);
    free(parts->codes);
    free(parts->code_list);
    free(parts->code_boxes);
}

static Aisys__Vision__Box *reply_box(const struct vision_box *from, Aisys__Vision__Box *to)
{
    aisys__vision__box__init(to);
    to->has_x = to->has_y = to->has_width = to->has_height = true;
    to->x = from->x;
    to->y = from->y;
    to->width = from->width;
    to->height = from->height;
    return to;
}

static void reply_words(const struct vision_text *text, struct reply_parts *parts)
{
    for (size_t i = 0; i < text->words_nr; i++) {
        Aisys__Vision__AnalyzeReply__Word *word = &parts->words[i];

        aisys__vision__analyze_reply__word__init(word);
        word->text = text->words[i].text;
        word->has_confidence = true;
        word->confidence = text->words[i].confidence;
        word->box = reply_box(&text->words[i].box, &parts->word_boxes[i]);
        parts->word_list[i] = word;
    }
}

static void reply_codes(const struct vision_codes *codes, struct reply_parts *parts)
{
    for (size_t i = 0; i < codes->codes_nr; i++) {
        Aisys__Vision__AnalyzeReply__Code *code = &parts->codes[i];

        aisys__vision__analyze_reply__code__init(code);
        code->type = codes->codes[i].type;
        code->has_data = true;
        code->data.data = codes->codes[i].data;
        code->data.len = codes->codes[i].data_bytes;
        code->box = reply_box(&codes->codes[i].box, &parts->code_boxes[i]);
        parts->code_list[i] = code;
    }
}

static int reply_pack(const ProtobufCMessage *message, void **ret_packed, size_t *ret_bytes)
{
    const size_t bytes = protobuf_c_message_get_packed_size(message);
    void *packed = malloc(bytes + 1); /* an empty reply is one, too */

    if (packed == NULL)
        return -ENOMEM;
    protobuf_c_message_pack(message, packed);
    *ret_packed = packed;
    *ret_bytes = bytes;
    return 0;
}

int aisys_vision_reply_analyze(
    const struct vision_result *result, unsigned wants, void **ret_packed, size_t *ret_bytes)
{
    Aisys__Vision__AnalyzeReply reply = AISYS__VISION__ANALYZE_REPLY__INIT;
    Aisys__Vision__AnalyzeReply__Info info = AISYS__VISION__ANALYZE_REPLY__INFO__INIT;
    Aisys__Vision__AnalyzeReply__Text text = AISYS__VISION__ANALYZE_REPLY__TEXT__INIT;
    char hash[VISION_HASH_TEXT_BYTES];
    struct reply_parts parts;
    int r;

    r = reply_parts_init(&parts, result);
    if (r == 0) {
        info.has_width = info.has_height = true;
        info.width = result->info.width;
        info.height = result->info.height;
        info.format = (char *)aisys_vision_format_name(result->info.format);
        reply_words(&result->text, &parts);
        text.full = result->text.full;
        text.words = parts.word_list;
        text.n_words = result->text.words_nr;
        reply_codes(&result->codes, &parts);
        aisys_vision_hash_format(result->hash, hash);

        reply.info = wants & VISION_WANT_INFO ? &info : NULL;
        reply.text = wants & VISION_WANT_TEXT ? &text : NULL;
        reply.codes = parts.code_list;
        reply.n_codes = wants & VISION_WANT_CODES ? result->codes.codes_nr : 0;
        reply.hash = wants & VISION_WANT_HASH ? hash : NULL;
        r = reply_pack(&reply.base, ret_packed, ret_bytes);
    }
    reply_parts_deinit(&parts);
    return r;
}

int aisys_vision_reply_compare(unsigned distance, void **ret_packed, size_t *ret_bytes)
{
    Aisys__Vision__CompareReply reply = AISYS__VISION__COMPARE_REPLY__INIT;

    reply.has_distance = true;
    reply.distance = distance;
    return reply_pack(&reply.base, ret_packed, ret_bytes);
}
