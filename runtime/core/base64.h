/* Base64 (RFC 4648) as the protobuf JSON mapping has it: written with the standard alphabet and
 * padding, read with either alphabet and with or without padding. Pure; any thread. */
#ifndef AISYS_CORE_BASE64_H
#define AISYS_CORE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of text for @bytes of data, without a NUL. */
#define AISYS_BASE64_TEXT_BYTES(bytes) (((bytes) + 2) / 3 * 4)

/* At most so many bytes of data are in @chars of text. */
#define AISYS_BASE64_DATA_BYTES(chars) ((chars) / 4 * 3 + 3)

/* Write @bytes of @data as text, NUL behind: @text has AISYS_BASE64_TEXT_BYTES(bytes) + 1. */
void aisys_base64_encode(const void *data, size_t bytes, char *text);

/* Read @chars of @text into @data, which has AISYS_BASE64_DATA_BYTES(chars). False when it is not
 * base64. */
bool aisys_base64_decode(const char *text, size_t chars, uint8_t *data, size_t *ret_bytes);

#endif
