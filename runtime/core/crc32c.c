#include "crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define CRC32C_POLYNOMIAL 0x82f63b78u /* 0x1EDC6F41, bits reversed */

/* Long inputs are taken as three runs of this many bytes at once: the instruction gives one result a
 * cycle but each takes three. */
#define CRC32C_RUN_BYTES 1360u

/* slices[k][b]: what byte b does to the checksum when k more bytes follow it in its word. */
static uint32_t slices[8][256];

/* skip[k][b]: what byte k of a checksum, being b, becomes after CRC32C_RUN_BYTES zero bytes. */
static uint32_t skip[4][256];

typedef uint32_t (*crc32c_fn)(uint32_t crc, const unsigned char *at, size_t bytes);

static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *at, size_t bytes)
{
    for (; bytes >= 8; at += 8, bytes -= 8) {
        const uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                                       (uint32_t)at[3] << 24);

        crc = slices[7][low & 0xff] ^ slices[6][low >> 8 & 0xff] ^ slices[5][low >> 16 & 0xff] ^
              slices[4][low >> 24] ^ slices[3][at[4]] ^ slices[2][at[5]] ^ slices[1][at[6]] ^
              slices[0][at[7]];
    }
    for (; bytes > 0; at++, bytes--)
        crc = crc >> 8 ^ slices[0][(crc ^ *at) & 0xff];
    return crc;
}

static crc32c_fn engine = crc32c_by_table;

#if defined(__x86_64__)

static inline uint64_t crc32c_word(const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint32_t crc32c_skip(uint32_t crc)
{
    return skip[0][crc & 0xff] ^ skip[1][crc >> 8 & 0xff] ^ skip[2][crc >> 16 & 0xff] ^
           skip[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_by_sse42(
    uint32_t crc, const unsigned char *at, size_t bytes)
{
    uint64_t a = crc;

    while (bytes >= 3 * CRC32C_RUN_BYTES) {
        const unsigned char *const end = at + CRC32C_RUN_BYTES;
        uint64_t b = 0;
        uint64_t c = 0;

        for (; at < end; at += 8) {
            a = _mm_crc32_u64(a, crc32c_word(at));
            b = _mm_crc32_u64(b, crc32c_word(at + CRC32C_RUN_BYTES));
            c = _mm_crc32_u64(c, crc32c_word(at + 2 * CRC32C_RUN_BYTES));
        }
        a = crc32c_skip(crc32c_skip((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
        at += 2 * CRC32C_RUN_BYTES;
        bytes -= 3 * CRC32C_RUN_BYTES;
    }
    for (; bytes >= 8; at += 8, bytes -= 8)
        a = _mm_crc32_u64(a, crc32c_word(at));
    for (; bytes > 0; at++, bytes--)
        a = _mm_crc32_u8((uint32_t)a, *at);
    return (uint32_t)a;
}

static crc32c_fn crc32c_choose(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") ? crc32c_by_sse42 : crc32c_by_table;
}

#else

static crc32c_fn crc32c_choose(void)
{
    return crc32c_by_table;
}

#endif

__attribute__((constructor)) static void crc32c_prepare(void)
{
    static const unsigned char zeros[CRC32C_RUN_BYTES];

    for (unsigned b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) ? CRC32C_POLYNOMIAL : 0);
        slices[0][b] = crc;
    }
    for (unsigned k = 1; k < 8; k++)
        for (unsigned b = 0; b < 256; b++)
            slices[k][b] = slices[k - 1][b] >> 8 ^ slices[0][slices[k - 1][b] & 0xff];

    /* The checksum is linear: 32 single bits give every entry. */
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned bit = 0; bit < 8; bit++)
            skip[k][1u << bit] = crc32c_by_table(1u << (8 * k + bit), zeros, sizeof(zeros));
        for (unsigned b = 1; b < 256; b++)
            skip[k][b] = skip[k][b & (b - 1)] ^ skip[k][b & -b];
    }
    engine = crc32c_choose();
}

uint32_t aisys_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return ~engine(~crc, data, bytes);
}

uint32_t aisys_crc32c_table(uint32_t crc, const void *data, size_t bytes)
{
    return ~crc32c_by_table(~crc, data, bytes);
}

const char *aisys_crc32c_engine(void)
{
    return engine == crc32c_by_table ? "table" : "sse4.2";
}
