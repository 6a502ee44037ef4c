/* Every service of the .proto files here, so that one can be found by its name
 * ("aisys.CacheManager"): for the command line, the manual, and tests that hold for all of them.
 * Read only; any thread. */
#ifndef AISYS_SERVICES_H
#define AISYS_SERVICES_H

#include <protobuf-c/protobuf-c.h>

/* Ends with NULL. */
extern const ProtobufCServiceDescriptor *const aisys_services[];

#endif
