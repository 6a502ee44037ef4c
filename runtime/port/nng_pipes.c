/* The table of a door's pipes: who is there, since when silent, with how many requests in flight. A table of
 * at most a few hundred rows, so it is searched from end to end. */
#include <errno.h>
#include <stdlib.h>

#include <nng/nng.h>

#include "core/check.h"
#include "port/nng_impl.h"

#define OWN_MAX 64 /* rows for inproc pipes: the lanes of the node, an embedding program */

int nng_pipes_init(struct nng_pipes *pipes, unsigned pipes_max)
{
    /* Twice: a pipe that was closed has a row until NNG is done with it. */
    pipes->rows_max = 2 * pipes_max + OWN_MAX;
    pipes->rows = calloc(pipes->rows_max, sizeof(*pipes->rows));
    return pipes->rows ? 0 : -ENOMEM;
}

void nng_pipes_deinit(struct nng_pipes *pipes)
{
    free(pipes->rows);
}

struct nng_pipe_row *nng_pipes_find(struct nng_pipes *pipes, uint32_t id)
{
    for (unsigned i = 0; i < pipes->rows_nr; i++)
        if (pipes->rows[i].id == id)
            return &pipes->rows[i];
    return NULL;
}

void nng_pipes_add(struct nng_pipes *pipes, uint32_t id, bool ours, uint64_t now_ms)
{
    AISYS_CHECK(pipes->rows_nr < pipes->rows_max);
    pipes->rows[pipes->rows_nr++] =
        (struct nng_pipe_row){ .id = id, .last_ms = now_ms, .ours = ours };
    if (!ours)
        pipes->counted++;
}

void nng_pipes_give_up(struct nng_pipes *pipes, struct nng_pipe_row *row)
{
    if (row->closing)
        return;
    row->closing = true;
    if (!row->ours)
        pipes->counted--;
}

void nng_pipes_remove(struct nng_pipes *pipes, struct nng_pipe_row *row)
{
    nng_pipes_give_up(pipes, row);
    *row = pipes->rows[--pipes->rows_nr];
}

struct nng_pipe_row *nng_pipes_silent(struct nng_pipes *pipes, uint64_t silent_ms, uint64_t now_ms)
{
    struct nng_pipe_row *silent = NULL;

    for (unsigned i = 0; i < pipes->rows_nr; i++) {
        struct nng_pipe_row *row = &pipes->rows[i];

        if (row->ours || row->closing || row->requests || row->last_ms + silent_ms > now_ms)
            continue;
        if (!silent || row->last_ms < silent->last_ms)
            silent = row;
    }
    return silent;
}
