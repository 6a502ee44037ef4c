/* Who may come: addresses and networks, as `monitoring.allow` lists them.
 *
 * Threads: any. */
#ifndef AISYS_NODE_ALLOW_H
#define AISYS_NODE_ALLOW_H

#include <stdbool.h>
#include <stddef.h>

/* Whether @text is an address ("10.1.2.3", "fd00::1") or a network ("10.0.0.0/8"). */
bool aisys_allow_valid(const char *text);

/* Whether the numeric address @peer is this machine's loopback, or in one of @list. */
bool aisys_allow_match(char *const *list, size_t list_nr, const char *peer);

#endif
