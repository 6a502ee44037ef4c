/* completion.bash, as bytes. */
#ifndef AISYSCTL_COMPLETION_BASH_H
#define AISYSCTL_COMPLETION_BASH_H

#include <stddef.h>

extern const unsigned char ctl_completion_bash[];
extern const size_t ctl_completion_bash_bytes;

#endif
