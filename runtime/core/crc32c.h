/* CRC32C (Castagnoli, polynomial 0x1EDC6F41, reflected; RFC 3720): the checksum of frames.
 *
 * The processor's own instruction (SSE4.2) where there is one, else tables; both give the same
 * results. Which one is chosen once, before main().
 *
 * Threads: any. Errors: none. */
#ifndef AISYS_CORE_CRC32C_H
#define AISYS_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of @bytes at @data behind what gave @crc; 0 to begin. So
 * crc32c(crc32c(0, a), b) is crc32c(0, a followed by b). */
uint32_t aisys_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same by tables alone, for tests and for comparison. */
uint32_t aisys_crc32c_table(uint32_t crc, const void *data, size_t bytes);

/* "sse4.2" or "table": what aisys_crc32c uses here. */
const char *aisys_crc32c_engine(void);

#endif
