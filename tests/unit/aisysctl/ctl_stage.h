/* A command of aisysctl whose output and errors are texts. */
#ifndef TESTS_CTL_STAGE_H
#define TESTS_CTL_STAGE_H

#include "unit.h"

#include <stdlib.h>

#include "ctl.h"
#include "port/jansson_port.h"

struct ctl_stage {
    struct ctl ctl;
    char *out, *err;
    size_t out_bytes, err_bytes;
};

static inline void ctl_stage_init(struct ctl_stage *stage)
{
    memset(stage, 0, sizeof(*stage));
    stage->ctl.out = open_memstream(&stage->out, &stage->out_bytes);
    stage->ctl.err = open_memstream(&stage->err, &stage->err_bytes);
    stage->ctl.options.to = CTL_TO_DEFAULT;
    stage->ctl.options.deadline_ms = 2000;
    aisys_arena_init(&stage->ctl.arena, NULL, 64u << 20);
}

static inline void ctl_stage_deinit(struct ctl_stage *stage)
{
    fclose(stage->ctl.out);
    fclose(stage->ctl.err);
    free(stage->out);
    free(stage->err);
    aisys_arena_deinit(&stage->ctl.arena);
}

/* What was written so far; the next one starts anew. */
static inline const char *ctl_stage_text(FILE *stream, char *const *text)
{
    fputc('\0', stream);
    fflush(stream);
    rewind(stream);
    return *text;
}

static inline const char *ctl_stage_out(struct ctl_stage *stage)
{
    return ctl_stage_text(stage->ctl.out, &stage->out);
}

static inline const char *ctl_stage_err(struct ctl_stage *stage)
{
    return ctl_stage_text(stage->ctl.err, &stage->err);
}

static inline struct aisys_node *ctl_stage_json(struct ctl_stage *stage, const char *text)
{
    struct aisys_node *root = NULL;
    struct aisys_diag diag;

    aisys_diag_init(&diag);
    if (aisys_json_parse(&stage->ctl.arena, text, strlen(text), NULL, &diag, &root) != 0)
        fail_msg("%s: %s", text, diag.entries[0].problem);
    return root;
}

#endif
