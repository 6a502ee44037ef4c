/* AISYS_API marks what modules may call: the executable is built with hidden visibility. */
#ifndef AISYS_API_H
#define AISYS_API_H

#define AISYS_API __attribute__((visibility("default")))

#endif
