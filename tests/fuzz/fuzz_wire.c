/* Fuzz target: any bytes as a frame. What opens must walk to its end, and survive rebasing and a second
 * opening. With the checksum repaired, so that the records behind it are reached too. */
#include "core/crc32c.h"
#include "core/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void fuzz_walk(unsigned char *frame, size_t bytes)
{
    struct aisys_wire_frame header;
    struct aisys_wire_fault fault;
    struct aisys_wire_record record;
    struct aisys_wire_reader reader;
    unsigned count = 0;
    char words[160];

    if (aisys_wire_open(frame, bytes, &header, &fault) < 0) {
        aisys_wire_fault_print(&fault, words, sizeof(words));
        AISYS_CHECK(fault.error != AISYS_WIRE_OK && words[0] != '\0');
        return;
    }
    aisys_wire_reader_init(&reader, frame, &header);
    while (aisys_wire_next(&reader, &record, &fault) == 1)
        count++;
    AISYS_CHECK(count == header.count);
    AISYS_CHECK(reader.at == reader.end);
    aisys_wire_rebase(
        frame + AISYS_WIRE_FRAME_HEADER_BYTES, bytes - AISYS_WIRE_FRAME_HEADER_BYTES, 1000);
    aisys_wire_seal(frame, &header);
    AISYS_CHECK(aisys_wire_open(frame, bytes, &header, &fault) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    unsigned char *const copy =
        malloc(bytes ? bytes : 1); /* exact, so that a sanitizer sees an overrun */
    uint32_t crc;

    if (!copy)
        return 0;
    memcpy(copy, data, bytes);
    fuzz_walk(copy, bytes);
    if (bytes >= AISYS_WIRE_FRAME_HEADER_BYTES && bytes <= AISYS_WIRE_FRAME_BYTES_MAX) {
        memcpy(copy, data, bytes);
        for (unsigned i = 0; i < 4; i++) {
            copy[8 + i] = (unsigned char)(bytes >> (8 * i));
            copy[12 + i] = 0;
        }
        crc = aisys_crc32c(0, copy, bytes);
        for (unsigned i = 0; i < 4; i++)
            copy[12 + i] = (unsigned char)(crc >> (8 * i));
        fuzz_walk(copy, bytes);
    }
    free(copy);
    return 0;
}
