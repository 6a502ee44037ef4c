#include "memory/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Words without a topic, as they look without apostrophes and before their endings are cut. Sorted. */
static const char *const words_stop[] = { "a", "about", "after", "again", "all", "also", "am", "an",
    "and", "any", "are", "arent", "as", "at", "be", "because", "been", "before", "being", "but",
    "by", "can", "cant", "could", "couldnt", "did", "didnt", "do", "does", "doesnt", "doing",
    "dont", "for", "from", "get", "give", "go", "had", "has", "have", "havent", "having", "he",
    "her", "here", "hers", "him", "his", "how", "i", "id", "if", "ill", "im", "in", "into", "is",
    "isnt", "it", "its", "ive", "just", "let", "lets", "like", "me", "might", "mine", "more",
    "most", "much", "must", "my", "no", "nor", "not", "now", "of", "off", "oh", "ok", "on", "one",
    "only", "or", "other", "our", "ours", "out", "over", "own", "please", "really", "shall", "she",
    "shes", "should", "so", "some", "such", "tell", "than", "that", "thats", "the", "their",
    "theirs", "them", "then", "there", "theres", "these", "they", "theyre", "this", "those", "to",
    "too", "under", "until", "up", "us", "very", "was", "wasnt", "we", "well", "were", "werent",
    "what", "whats", "when", "where", "wheres", "which", "while", "who", "whom", "whose", "why",
    "will", "with", "wont", "would", "yes", "you", "your", "youre", "yours" };

static int words_compare(const void *a, const void *b)
{
    return strcmp(a, *(const char *const *)b);
}

static bool words_is_stop(const char *word)
{
    return bsearch(word, words_stop, sizeof(words_stop) / sizeof(words_stop[0]),
               sizeof(words_stop[0]), words_compare) != NULL;
}

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* The code point at *@at, which moves past it; UINT32_MAX and no move when there is none. */
static uint32_t words_decode(const char **at, const char *end)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = (const unsigned char *)*at;
    const unsigned char first = p[0];
    const unsigned bytes = first < 0x80   ? 1
                           : first < 0xc2 ? 0
                           : first < 0xe0 ? 2
                           : first < 0xf0 ? 3
                           : first < 0xf5 ? 4
                                          : 0;
    uint32_t c = bytes == 1 ? first : first & (0x7fu >> bytes);

    if (bytes == 0 || (size_t)(end - *at) < bytes)
        return UINT32_MAX;
    for (unsigned i = 1; i < bytes; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return UINT32_MAX;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[bytes] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
        return UINT32_MAX;
    *at += bytes;
    return c;
}

static unsigned words_encode(uint32_t c, char *at)
{
    if (c < 0x80) {
        at[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        at[0] = (char)(0xc0 | c >> 6);
        at[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        at[0] = (char)(0xe0 | c >> 12);
        at[1] = (char)(0x80 | (c >> 6 & 0x3f));
        at[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    at[0] = (char)(0xf0 | c >> 18);
    at[1] = (char)(0x80 | (c >> 12 & 0x3f));
    at[2] = (char)(0x80 | (c >> 6 & 0x3f));
    at[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

size_t memory_utf8_check(const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;

    while (at < end) {
        if (words_decode(&at, end) == UINT32_MAX)
            return (size_t)(at - text) + 1;
    }
    return 0;
}

/* ---- Words ---------------------------------------------------------------------------------- */

enum words_kind { WORDS_BREAK, WORDS_LETTER, WORDS_ALONE, WORDS_SILENT };

struct words_range {
    uint32_t first, last;
    enum words_kind kind;
};

/* Above ASCII, what is not here is a letter. */
static const struct words_range words_ranges[] = {
    { 0x80, 0xa9, WORDS_BREAK },
    { 0xab, 0xb4, WORDS_BREAK },
    { 0xb6, 0xb9, WORDS_BREAK },
    { 0xbb, 0xbf, WORDS_BREAK },
    { 0xd7, 0xd7, WORDS_BREAK },
    { 0xf7, 0xf7, WORDS_BREAK },
    { 0x300, 0x36f, WORDS_SILENT }, /* combining accents */
    { 0x589, 0x58a, WORDS_BREAK },
    { 0x5be, 0x5be, WORDS_BREAK },
    { 0x60c, 0x60d, WORDS_BREAK },
    { 0x61b, 0x61f, WORDS_BREAK },
    { 0x964, 0x965, WORDS_BREAK },
    { 0x2000, 0x2bff, WORDS_BREAK }, /* punctuation, arrows, mathematics, shapes */
    { 0x2e00, 0x2e7f, WORDS_BREAK },
    { 0x2e80, 0x2fff, WORDS_ALONE },
    { 0x3000, 0x303f, WORDS_BREAK },
    { 0x3040, 0x30ff, WORDS_ALONE }, /* kana */
    { 0x3400, 0x9fff, WORDS_ALONE }, /* Chinese characters */
    { 0xe000, 0xf8ff, WORDS_BREAK },
    { 0xf900, 0xfaff, WORDS_ALONE },
    { 0xfe00, 0xfe0f, WORDS_SILENT },
    { 0xfe10, 0xfe6f, WORDS_BREAK },
    { 0xff00, 0xff0f, WORDS_BREAK },
    { 0xff1a, 0xff20, WORDS_BREAK },
    { 0xff3b, 0xff40, WORDS_BREAK },
    { 0xff5b, 0xff65, WORDS_BREAK },
    { 0xfff0, 0xffff, WORDS_BREAK },
    { 0x1f000, 0x1faff, WORDS_ALONE }, /* pictures */
    { 0x20000, 0x3ffff, WORDS_ALONE },
};

static enum words_kind words_kind(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                   ? WORDS_LETTER
                   : WORDS_BREAK;
    for (unsigned i = 0; i < sizeof(words_ranges) / sizeof(words_ranges[0]); i++) {
        if (c <= words_ranges[i].last)
            return c >= words_ranges[i].first ? words_ranges[i].kind : WORDS_LETTER;
    }
    return WORDS_LETTER;
}

/* Append @c, folded, to @word; what no longer fits is cut. */
static void words_append(struct memory_word *word, uint32_t c)
{
    static const struct {
        uint32_t c;
        const char *letters;
    } two[] = { { 0xdf, "ss" }, { 0xc6, "ae" }, { 0xe6, "ae" }, { 0x152, "oe" }, { 0x153, "oe" },
        { 0xde, "th" }, { 0xfe, "th" } };

    if (word->bytes > MEMORY_WORD_BYTES_MAX - 4)
        return;
    if (c < 0x80) {
        word->text[word->bytes++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        return;
    }
    for (unsigned i = 0; i < sizeof(two) / sizeof(two[0]); i++) {
        if (two[i].c == c) {
            word->text[word->bytes++] = two[i].letters[0];
            word->text[word->bytes++] = two[i].letters[1];
            return;
        }
    }
    word->bytes += words_encode(memory_fold(c), word->text + word->bytes);
}

static bool words_all(const struct memory_word *word, size_t bytes, char first, char last)
{
    for (size_t i = 0; i < bytes; i++) {
        if (word->text[i] < first || word->text[i] > last)
            return false;
    }
    return bytes > 0;
}

/* "8th" is 8, stop words are marked, endings are cut. */
static void words_finish(struct memory_word *word)
{
    static const char *const ordinals[] = { "st", "nd", "rd", "th" };

    word->text[word->bytes] = '\0';
    if (words_all(word, word->bytes, 'a', 'z')) {
        word->stop = words_is_stop(word->text);
        word->bytes = (uint32_t)memory_stem(word->text, word->bytes);
    } else if (word->bytes > 2 && words_all(word, word->bytes - 2, '0', '9')) {
        for (unsigned i = 0; i < 4; i++) {
            if (strcmp(word->text + word->bytes - 2, ordinals[i]) == 0) {
                word->bytes -= 2;
                break;
            }
        }
    }
    word->text[word->bytes] = '\0';
}

/* Is the apostrophe before @at one of "Anna's"? Then *@at moves past the s. */
static bool words_possessive(const char **at, const char *end)
{
    const char *next = *at + 1;
    uint32_t c;

    if (*at >= end || (**at != 's' && **at != 'S'))
        return false;
    if (next < end) {
        c = words_decode(&next, end);
        if (c == UINT32_MAX || words_kind(c) == WORDS_LETTER || words_kind(c) == WORDS_SILENT)
            return false;
    }
    (*at)++;
    return true;
}

void memory_words_begin(struct memory_words *words, const char *text, size_t bytes)
{
    *words = (struct memory_words){ .at = text, .end = text + bytes };
}

bool memory_words_next(struct memory_words *words, struct memory_word *ret_word)
{
    ret_word->bytes = 0;
    ret_word->stop = false;
    while (words->at < words->end) {
        const char *before = words->at;
        const uint32_t c = words_decode(&words->at, words->end);
        const bool inside = ret_word->bytes > 0;

        if (c == UINT32_MAX) { /* not UTF-8: a break; callers have checked before */
            words->at++;
            if (inside)
                break;
            continue;
        }
        if (inside && (c == '\'' || c == 0x2019)) {
            if (words_possessive(&words->at, words->end))
                break;
            continue;
        }
        switch (words_kind(c)) {
        case WORDS_LETTER:
            words_append(ret_word, c);
            continue;
        case WORDS_SILENT:
            continue;
        case WORDS_ALONE:
            if (inside)
                words->at = before;
            else
                words_append(ret_word, c);
            words_finish(ret_word);
            return true;
        case WORDS_BREAK:
            break;
        }
        if (inside)
            break;
    }
    if (ret_word->bytes == 0)
        return false;
    words_finish(ret_word);
    return true;
}

size_t memory_normalise(const char *text, size_t bytes, char *ret_normal)
{
    struct memory_words words;
    struct memory_word word;
    size_t n = 0;

    memory_words_begin(&words, text, bytes);
    while (memory_words_next(&words, &word)) {
        if (n > 0)
            ret_normal[n++] = ' ';
        memcpy(ret_normal + n, word.text, word.bytes);
        n += word.bytes;
    }
    ret_normal[n] = '\0';
    return n;
}

size_t memory_date_words(int64_t wall_ms, char *ret_words)
{
    static const char *const days[] = { "sunday", "monday", "tuesday", "wednesday", "thursday",
        "friday", "saturday" };
    static const char *const months[] = { "january", "february", "march", "april", "may", "june",
        "july", "august", "september", "october", "november", "december" };
    const time_t seconds = (time_t)(wall_ms >= 0 ? wall_ms / 1000 : (wall_ms - 999) / 1000);
    struct tm tm;
    char words[64];
    int n;

    if (gmtime_r(&seconds, &tm) == NULL)
        return 0;
    n = snprintf(words, sizeof(words), "%d %s %d %s", tm.tm_year + 1900, months[tm.tm_mon],
        tm.tm_mday, days[tm.tm_wday]);
    return memory_normalise(words, (size_t)n, ret_words);
}

/* ---- Hashes --------------------------------------------------------------------------------- */

static uint64_t words_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t memory_hash(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t h = seed ^ bytes * 0x9e3779b97f4a7c15u;

    for (; bytes >= 8; bytes -= 8, p += 8) {
        uint64_t w = 0;

        for (unsigned i = 0; i < 8; i++) /* little-endian everywhere; compiled to one load */
            w |= (uint64_t)p[i] << 8 * i;
        h = words_mix(h ^ w);
    }
    for (unsigned i = 0; i < bytes; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return words_mix(h);
}

uint64_t memory_simhash(const char *normal, size_t bytes)
{
    int32_t sums[64] = { 0 };
    const char *at = normal, *end = normal + bytes;
    uint64_t bits = 0;

    while (at < end) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const size_t n = (size_t)((space != NULL ? space : end) - at);
        const uint64_t h = memory_hash(at, n, 0x5157);

        for (unsigned i = 0; i < 64; i++)
            sums[i] += (h >> i & 1) != 0 ? 1 : -1;
        at += n + 1;
    }
    for (unsigned i = 0; i < 64; i++)
        bits |= (uint64_t)(sums[i] > 0) << i;
    return bits;
}
