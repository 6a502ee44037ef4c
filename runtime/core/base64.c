#include "core/base64.h"

static const char base64_digits[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void aisys_base64_encode(const void *data, size_t bytes, char *text)
{
    const uint8_t *from = data;

    for (; bytes >= 3; bytes -= 3, from += 3) {
        const uint32_t v = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];

        *text++ = base64_digits[v >> 18];
        *text++ = base64_digits[v >> 12 & 63];
        *text++ = base64_digits[v >> 6 & 63];
        *text++ = base64_digits[v & 63];
    }
    if (bytes > 0) {
        const uint32_t v = (uint32_t)from[0] << 16 | (bytes > 1 ? (uint32_t)from[1] << 8 : 0);

        *text++ = base64_digits[v >> 18];
        *text++ = base64_digits[v >> 12 & 63];
        *text++ = bytes > 1 ? base64_digits[v >> 6 & 63] : '=';
        *text++ = '=';
    }
    *text = '\0';
}

/* What each character stands for, plus 1; 0 is none. */
#define BASE64_RUN(first, value, i) [(first) + (i)] = (value) + (i) + 1
#define BASE64_RUN8(f, v)                                                                          \
    BASE64_RUN(f, v, 0), BASE64_RUN(f, v, 1), BASE64_RUN(f, v, 2), BASE64_RUN(f, v, 3),            \
        BASE64_RUN(f, v, 4), BASE64_RUN(f, v, 5), BASE64_RUN(f, v, 6), BASE64_RUN(f, v, 7)
static const uint8_t base64_values[256] = {
    BASE64_RUN8('A', 0),
    BASE64_RUN8('I', 8),
    BASE64_RUN8('Q', 16),
    BASE64_RUN('Y', 24, 0),
    BASE64_RUN('Y', 24, 1),
    BASE64_RUN8('a', 26),
    BASE64_RUN8('i', 34),
    BASE64_RUN8('q', 42),
    BASE64_RUN('y', 50, 0),
    BASE64_RUN('y', 50, 1),
    BASE64_RUN8('0', 52),
    BASE64_RUN('8', 60, 0),
    BASE64_RUN('8', 60, 1),
    ['+'] = 63,
    ['-'] = 63,
    ['/'] = 64,
    ['_'] = 64,
};
#undef BASE64_RUN8
#undef BASE64_RUN

bool aisys_base64_decode(const char *text, size_t chars, uint8_t *data, size_t *ret_bytes)
{
    const uint8_t *const from = (const uint8_t *)text;
    uint8_t *to = data;
    uint32_t v = 0;
    size_t at;

    /* Padding may only fill up the last four. */
    if (chars > 0 && chars % 4 == 0 && from[chars - 1] == '=')
        chars -= from[chars - 2] == '=' ? 2 : 1;
    for (at = 0; at + 4 <= chars; at += 4) {
        const uint8_t a = base64_values[from[at]], b = base64_values[from[at + 1]];
        const uint8_t c = base64_values[from[at + 2]], d = base64_values[from[at + 3]];

        if (a == 0 || b == 0 || c == 0 || d == 0)
            return false;
        v = (uint32_t)(a - 1) << 18 | (uint32_t)(b - 1) << 12 | (uint32_t)(c - 1) << 6 | (d - 1u);
        *to++ = (uint8_t)(v >> 16);
        *to++ = (uint8_t)(v >> 8);
        *to++ = (uint8_t)v;
    }
    if (chars - at == 1)
        return false;
    v = 0;
    for (size_t i = at; i < chars; i++) {
        if (base64_values[from[i]] == 0)
            return false;
        v |= (uint32_t)(base64_values[from[i]] - 1) << (18 - 6 * (i - at));
    }
    if (chars - at >= 2)
        *to++ = (uint8_t)(v >> 16);
    if (chars - at == 3)
        *to++ = (uint8_t)(v >> 8);
    *ret_bytes = (size_t)(to - data);
    return true;
}
