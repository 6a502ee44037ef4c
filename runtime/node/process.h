/* Figures of this machine and this process, read from /proc.
 *
 * Threads: any, one reader at a time per struct.  Errors: what cannot be read is marked so (aisys/system.h). */
#ifndef AISYS_NODE_PROCESS_H
#define AISYS_NODE_PROCESS_H

#include <aisys/system.h>

struct aisys_process_reader {
    uint64_t busy, total; /* jiffies of all cores when they were last read */
};

/* @disk: a path on the file system whose use is wanted. */
void aisys_process_read(
    struct aisys_process_reader *reader, const char *disk, struct aisys_process_stats *ret_stats);

#endif
