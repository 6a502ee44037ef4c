/* The message with every type and every rule (everything.proto), and its descriptor set. */
#ifndef AISYS_TESTS_EVERYTHING_H
#define AISYS_TESTS_EVERYTHING_H

#include <stddef.h>

#include "everything.pb-c.h"

extern const unsigned char everything_set[];
extern const size_t everything_set_bytes;

#endif
