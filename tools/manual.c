/* Writes the reference manual to standard output, as Markdown: every service and every section of
 * the configuration, from the descriptors that are built in. Exit: 0; 1 when it could not be
 * written. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aisys/config.pb-c.h"
#include "schema/manual.h"
#include "services.h"

#define MANUAL_BYTES_MAX (64u * 1024u * 1024u)

static int manual_write(void *ctx, const char *text, size_t bytes)
{
    return fwrite(text, 1, bytes, ctx) == bytes ? 0 : -EIO;
}

static int manual_services(struct aisys_arena *arena)
{
    int r = 0;

    for (const ProtobufCServiceDescriptor *const *at = aisys_services; r == 0 && *at != NULL; at++)
        r = aisys_manual_service(*at, 2, arena, manual_write, stdout);
    return r;
}

int main(void)
{
    struct aisys_arena arena;
    int r;

    aisys_arena_init(&arena, NULL, MANUAL_BYTES_MAX);
    printf("# Reference\n\n"
           "Made from proto/aisys/*.proto. In JSON bytes are base64, times RFC 3339, and integers "
           "of 64 bits "
           "may be strings.\n\n");
    r = manual_services(&arena);
    if (r == 0)
        r = aisys_manual_message(&aisys__config__descriptor, 2, &arena, manual_write, stdout);
    if (r == 0)
        r = aisys_manual_message(&aisys__agent_config__descriptor, 2, &arena, manual_write, stdout);
    aisys_arena_deinit(&arena);
    if (r != 0 || fflush(stdout) != 0)
        fprintf(stderr, "manual: %s\n", strerror(r < 0 ? -r : errno));
    return r != 0;
}
