/* The descriptor set of the .proto in docs/writing-an-actor.md; made by the build. */
#ifndef AISYS_TESTS_GUIDE_SET_H
#define AISYS_TESTS_GUIDE_SET_H

#include <stddef.h>

extern const unsigned char guide_set[];
extern const size_t guide_set_bytes;

#endif
