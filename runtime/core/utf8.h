/* UTF-8, checked as RFC 3629 says: nothing overlong, no surrogates, at most U+10FFFF. Pure. */
#ifndef AISYS_CORE_UTF8_H
#define AISYS_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character at @at, of which at most @bytes may be read: 1 to 4, 0 when it is not
 * UTF-8. Stops at a NUL by itself, so that @bytes may overstate what a C string holds. */
static inline size_t aisys_utf8_char(const unsigned char *at, size_t bytes)
{
    const unsigned char c = bytes > 0 ? at[0] : 0xff;
    size_t n;

    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (bytes < n || (at[1] & 0xc0) != 0x80)
        return 0;
    if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || (c == 0xf0 && at[1] < 0x90) ||
        (c == 0xf4 && at[1] > 0x8f))
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Length of the longest prefix of @text that is UTF-8: @bytes when all of it is. */
static inline size_t aisys_utf8_valid_bytes(const char *text, size_t bytes)
{
    const unsigned char *const from = (const unsigned char *)text;
    size_t at = 0;

    while (at < bytes) {
        uint64_t eight;
        size_t n;

        /* Most text is ASCII: eight at a time. */
        if (bytes - at >= sizeof(eight)) {
            memcpy(&eight, from + at, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof(eight);
                continue;
            }
        }
        n = aisys_utf8_char(from + at, bytes - at);

        if (n == 0)
            break;
        at += n;
    }
    return at;
}

/* As much of @from as @to holds, in whole characters; '?' for each byte that is not UTF-8. */
static inline void aisys_utf8_copy(char *to, size_t to_bytes, const char *from)
{
    const size_t bytes = strnlen(from, to_bytes - 1);
    const unsigned char *at = (const unsigned char *)from;
    size_t i = 0;

    while (i < bytes) {
        const size_t n = aisys_utf8_char(at + i, bytes - i);
        const size_t needs = at[i] < 0xc2 || at[i] > 0xf4 ? 1
                             : at[i] < 0xe0               ? 2
                             : at[i] < 0xf0               ? 3
                                                          : 4;

        if (n == 0 && i + needs > bytes)
            break; /* cut here, or before it came to us */
        if (n == 0)
            to[i] = '?';
        else
            memcpy(to + i, from + i, n);
        i += n ? n : 1;
    }
    to[i] = '\0';
}

static inline bool aisys_utf8_valid(const char *text, size_t bytes)
{
    return aisys_utf8_valid_bytes(text, bytes) == bytes;
}

#endif
