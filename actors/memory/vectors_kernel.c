/* The product of vectors of signed bytes, for the processor at hand.
 *
 * All sums are of integers and exact, so every kernel gives the same result. */
#include "memory/vectors.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static void products_plain(
    const int8_t *query, const int8_t *vectors, uint32_t n, int32_t *ret_products)
{
    for (uint32_t v = 0; v < n; v++, vectors += MEMORY_VECTOR_BYTES) {
        int32_t sum = 0;

        for (unsigned i = 0; i < MEMORY_VECTOR_BYTES; i++)
            sum += query[i] * vectors[i];
        ret_products[v] = sum;
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AHEAD_BYTES                                                                                \
    2048 /* fetched before it is needed: the next page is not foreseen by hardware */

__attribute__((target("avx2"))) static void products_avx2(
    const int8_t *query, const int8_t *vectors, uint32_t n, int32_t *ret_products)
{
    __m256i q[MEMORY_VECTOR_BYTES / 16];

    for (unsigned i = 0; i < MEMORY_VECTOR_BYTES / 16; i++)
        q[i] =
            _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(query + 16 * i)));
    for (uint32_t v = 0; v < n; v++, vectors += MEMORY_VECTOR_BYTES) {
        __m256i sum = _mm256_setzero_si256();
        __m128i half;

        for (unsigned i = 0; i < MEMORY_VECTOR_BYTES / 16; i++) {
            const __m256i x = _mm256_cvtepi8_epi16(
                _mm_loadu_si128((const __m128i *)(const void *)(vectors + 16 * i)));

            if (i % 4 == 0)
                _mm_prefetch((const char *)vectors + AHEAD_BYTES + 16 * i, _MM_HINT_T0);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(q[i], x));
        }
        half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
        ret_products[v] = _mm_cvtsi128_si32(half);
    }
}

/* VPDPBUSD wants one side unsigned: x + 128 is, and what that adds, 128 times the sum of the query, is
 * taken away again at the end. */
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void products_avx512vnni(
    const int8_t *query, const int8_t *vectors, uint32_t n, int32_t *ret_products)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512i q[MEMORY_VECTOR_BYTES / 64];
    int32_t extra = 0;

    for (unsigned i = 0; i < MEMORY_VECTOR_BYTES; i++)
        extra += query[i] * 128;
    for (unsigned i = 0; i < MEMORY_VECTOR_BYTES / 64; i++)
        q[i] = _mm512_loadu_si512(query + 64 * i);
    for (uint32_t v = 0; v < n; v++, vectors += MEMORY_VECTOR_BYTES) {
        __m512i sum = _mm512_setzero_si512();

        for (unsigned i = 0; i < MEMORY_VECTOR_BYTES / 64; i++) {
            const __m512i x = _mm512_xor_si512(_mm512_loadu_si512(vectors + 64 * i), flip);

            _mm_prefetch((const char *)vectors + AHEAD_BYTES + 64 * i, _MM_HINT_T0);
            sum = _mm512_dpbusd_epi32(sum, x, q[i]);
        }
        ret_products[v] = _mm512_reduce_add_epi32(sum) - extra;
    }
}
#endif

static struct memory_kernel kernels[3];
static unsigned n_kernels;
static pthread_once_t kernels_once = PTHREAD_ONCE_INIT;

static void kernels_find(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vnni"))
        kernels[n_kernels++] = (struct memory_kernel){ "avx512vnni", products_avx512vnni };
    if (__builtin_cpu_supports("avx2"))
        kernels[n_kernels++] = (struct memory_kernel){ "avx2", products_avx2 };
#endif
    kernels[n_kernels++] = (struct memory_kernel){ "plain", products_plain };
}

unsigned memory_kernels(const struct memory_kernel **ret_kernels)
{
    pthread_once(&kernels_once, kernels_find);
    *ret_kernels = kernels;
    return n_kernels;
}
