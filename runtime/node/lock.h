/* The lock on a node's data directory: one node at a time writes there.
 *
 * Threads: any.  Errors: negative errno. */
#ifndef AISYS_NODE_LOCK_H
#define AISYS_NODE_LOCK_H

#include <sys/types.h>

/* Make @dir and @dir/run (mode 0700) where they are missing, and lock @dir. On 0, *ret_fd holds the lock until it
 * is closed. -EWOULDBLOCK: another process has it, its number is in *ret_pid (0: unknown). */
int aisys_lock_dir(const char *dir, int *ret_fd, pid_t *ret_pid);

#endif
