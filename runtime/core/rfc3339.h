/* Times as text: milliseconds since 1970-01-01T00:00:00Z to RFC 3339 and back. Pure; any thread. */
#ifndef AISYS_CORE_RFC3339_H
#define AISYS_CORE_RFC3339_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z, as in the protobuf mapping. */
#define AISYS_TIME_MIN_MS INT64_C(-62135596800000)
#define AISYS_TIME_MAX_MS INT64_C(253402300799999)

#define AISYS_RFC3339_BYTES 32

/* "2026-01-31T12:00:00Z", with ".250" before the Z when there are milliseconds. @buf has
 * AISYS_RFC3339_BYTES; a time outside the limits above is shown as the nearest that is inside. */
void aisys_rfc3339_write(int64_t time_ms, char *buf);

/* Read @chars of @text: date, T (or t or a space), time, an optional fraction (cut to
 * milliseconds), and Z or an offset. A leap second counts as the second before it. False when it
 * is no such text. */
bool aisys_rfc3339_read(const char *text, size_t chars, int64_t *ret_time_ms);

#endif
