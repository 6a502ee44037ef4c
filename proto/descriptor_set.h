/* Every .proto file of this folder as a serialised google.protobuf.FileDescriptorSet, with
 * comments and options. runtime/schema/doc.h reads it; nobody else needs to. */
#ifndef AISYS_DESCRIPTOR_SET_H
#define AISYS_DESCRIPTOR_SET_H

#include <stddef.h>

extern const unsigned char aisys_descriptor_set[];
extern const size_t aisys_descriptor_set_bytes;

#endif
