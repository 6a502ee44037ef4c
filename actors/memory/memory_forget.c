/* Forget and Consolidate: changes of many memories, some hundred in a transaction. */
#include "memory/memory_orchestrator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/words.h"

#define NAMED_MAX        10000 /* ids in an answer */
#define REQUESTS_KEPT_MS (24LL * 3600 * 1000)

/* ---- Filters --------------------------------------------------------------------------------- */

void memory_filter_fill(
    struct memory_filter *filter, const struct memory_filter_fields *fields, int64_t now_ms)
{
    *filter = (struct memory_filter){ .now_ms = now_ms,
        .include_superseded = fields->include_superseded };
    for (size_t i = 0; i < fields->n_kinds; i++)
        filter->kinds |= 1u << fields->kinds[i];
    for (size_t i = 0; i < fields->n_tags && i < MEMORY_TAGS_MAX; i++)
        filter->tags[filter->n_tags++] = memory_name_hash(fields->tags[i], strlen(fields->tags[i]));
    if (fields->session != NULL)
        filter->session = memory_name_hash(fields->session, strlen(fields->session));
    filter->has_since = fields->since != NULL;
    filter->has_until = fields->until != NULL;
    filter->since_ms = filter->has_since ? *fields->since : 0;
    filter->until_ms = filter->has_until ? *fields->until : 0;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static int forget_answer(struct aisys_actor *self, struct memory_work *work)
{
    Aisys__Memory__ForgetReply answer = AISYS__MEMORY__FORGET_REPLY__INIT;
    const size_t n = work->n_ids < NAMED_MAX ? work->n_ids : NAMED_MAX;
    char **names = calloc(n + 1, sizeof(*names)), *texts = malloc((n + 1) * MEMORY_ID_ROOM);

    if (names == NULL || texts == NULL) {
        free(names);
        free(texts);
        return memory_work_refused(self, work, -ENOMEM);
    }
    for (size_t i = 0; i < n; i++)
        names[i] = memory_id_text(work->ids[i], texts + i * MEMORY_ID_ROOM);
    answer.has_count = true;
    answer.count = work->n_ids;
    answer.ids = names;
    answer.n_ids = n;
    aisys_answer(self, work->reply, &answer.base);
    free(names);
    free(texts);
    memory_work_end(aisys_state(self), work);
    return 0;
}

static int consolidate_answer(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_state *m = aisys_state(self);
    Aisys__Memory__ConsolidateReply answer = AISYS__MEMORY__CONSOLIDATE_REPLY__INIT;
    const bool was_last = m->saving && work->reply == 0;

    answer.has_expired = answer.has_promoted = answer.has_decayed = true;
    answer.expired = work->expired;
    answer.promoted = work->promoted;
    answer.decayed = work->decayed;
    if (work->reply != 0)
        aisys_answer(self, work->reply, &answer.base);
    else
        m->consolidating = false;
    memory_work_end(m, work);
    if (was_last)
        memory_stop_now(self);
    return 0;
}

/* ---- Step by step ---------------------------------------------------------------------------- */

/* Begin the next transaction, or answer when there is none. */
static int change_step(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_state *m = aisys_state(self);
    struct memory_list list;

    if (memory_next_ids(work) > 0 || memory_next_slots(work) > 0) {
        m->store->keep(self, work);
        return 0;
    }
    if (!work->consolidates)
        return forget_answer(self, work);
    if (work->tidied || m->saving)
        return consolidate_answer(self, work);
    work->tidied = true;
    memory_list_tidy(&list, aisys_wall_ms(self) - REQUESTS_KEPT_MS);
    memory_run(self, work, AISYS_DB_WRITE, &list, MEMORY_ON_CHANGED);
    return 0;
}

/* A transaction is on the disk: do the same to the rows. */
static void change_keep(struct memory_state *m, struct memory_work *work)
{
    struct memory_rows *rows = m->heap->rows;
    const uint32_t ids = memory_next_ids(work), slots = memory_next_slots(work);

    for (uint32_t i = 0; i < ids; i++) {
        const int64_t slot = memory_rows_find(rows, work->ids[work->ids_done + i]);

        if (slot >= 0)
            memory_rows_kill(rows, (uint32_t)slot);
    }
    work->ids_done += ids;
    work->slots_done += slots;
}

int memory_on_changed(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    struct memory_work *work = memory_work_find(m, end->token);

    memory_note(self, end);
    if (work == NULL)
        return 0;
    if (end->code == AISYS_OK) {
        m->store->settled(self, work);
        change_keep(m, work);
        return change_step(self, work);
    }
    for (uint32_t i = work->slots_done; i < work->n_slots; i++) /* the next round saves them */
        memory_rows_at(m->heap->rows, work->slots[i])->flags |= MEMORY_ROW_USED;
    return memory_work_fail(self, work, end->code, "%s%s", end->words,
        work->ids_done > 0 ? " (some were forgotten before that)" : "");
}

/* ---- Forget ---------------------------------------------------------------------------------- */

static int forget_named(
    struct aisys_actor *self, struct memory_work *work, char *const *names, size_t n)
{
    struct memory_state *m = aisys_state(self);

    work->ids = malloc((n + 1) * sizeof(*work->ids));
    if (work->ids == NULL)
        return memory_work_refused(self, work, -ENOMEM);
    for (size_t i = 0; i < n; i++) {
        const int64_t id = memory_id_read(names[i]);

        if (memory_rows_find(m->heap->rows, id) < 0)
            return memory_work_fail(self, work, AISYS_NOT_FOUND, "there is no memory %s", names[i]);
        work->ids[work->n_ids++] = id;
    }
    return 1;
}

static int forget_filtered(struct aisys_actor *self, struct memory_work *work,
    const Aisys__Memory__ForgetRequest__Filter *f)
{
    struct memory_state *m = aisys_state(self);
    struct memory_rows *rows = m->heap->rows;
    struct memory_filter filter;

    if (f->n_kind == 0 && f->n_tags == 0 && f->session == NULL && !f->has_since && !f->has_until)
        return memory_work_fail(self, work, AISYS_INVALID_ARGUMENT,
            "filter: is empty; at least one of kind, tags, session, since and until is needed");
    memory_filter_fill(&filter,
        &(struct memory_filter_fields){ f->kind, f->n_kind, f->tags, f->n_tags, f->session,
            f->has_since ? &f->since : NULL, f->has_until ? &f->until : NULL,
            f->include_superseded },
        aisys_wall_ms(self));
    work->ids = malloc(((size_t)memory_rows_living(rows) + 1) * sizeof(*work->ids));
    if (work->ids == NULL)
        return memory_work_refused(self, work, -ENOMEM);
    for (uint32_t slot = 0; slot < memory_rows_count(rows); slot++) {
        if (memory_filter_match(rows, &filter, slot))
            work->ids[work->n_ids++] = memory_rows_at(rows, slot)->id;
    }
    return 1;
}

int memory_forget(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Aisys__Memory__ForgetRequest *r = request;
    struct memory_work *work;

    if ((r->n_id > 0) == (r->filter != NULL)) {
        aisys_fail(self, reply, AISYS_INVALID_ARGUMENT, "exactly one of id and filter is needed");
        return 0;
    }
    work = memory_work_new(aisys_state(self), reply);
    if (work == NULL)
        return -ENOMEM;
    work->kind = MEMORY_WORK_CHANGE;
    if ((r->filter != NULL ? forget_filtered(self, work, r->filter)
                           : forget_named(self, work, r->id, r->n_id)) == 0)
        return 0; /* answered */
    return r->dry_run ? forget_answer(self, work) : change_step(self, work);
}

/* ---- Consolidate ----------------------------------------------------------------------------- */

/* The tier that a living row should be in. */
static unsigned consolidate_tier(
    const struct memory_state *m, const struct memory_row *row, int64_t now_ms)
{
    const uint32_t needed =
        m->promote_uses / (row->importance >= 0.8f && m->promote_uses > 1 ? 2 : 1);
    const int64_t quiet_since = row->used_ms > row->tier_ms ? row->used_ms : row->tier_ms;

    if (row->tier < MEMORY_LONG && row->hits >= needed && (row->flags & MEMORY_ROW_SUPERSEDED) == 0)
        return row->tier + 1u;
    if (row->tier > MEMORY_SHORT &&
        (double)(now_ms - quiet_since) > m->decay_half_lives * (double)m->half_lives.ms[row->tier])
        return row->tier - 1u;
    return row->tier;
}

/* Find out what is to be done; unless @dry, rows change tier now and are saved after. */
static int consolidate_plan(
    struct memory_state *m, struct memory_work *work, int64_t now_ms, bool dry)
{
    struct memory_rows *rows = m->heap->rows;
    const size_t n = (size_t)memory_rows_living(rows) + 1;

    work->ids = malloc(n * sizeof(*work->ids));
    work->slots = malloc(n * sizeof(*work->slots));
    if (work->ids == NULL || work->slots == NULL)
        return -ENOMEM;
    for (uint32_t slot = 0; slot < memory_rows_count(rows); slot++) {
        struct memory_row *row = memory_rows_at(rows, slot);
        unsigned tier;

        if ((row->flags & MEMORY_ROW_DEAD) != 0)
            continue;
        if (row->expires_ms != 0 && row->expires_ms <= now_ms) {
            work->ids[work->n_ids++] = row->id;
            work->expired++;
            continue;
        }
        tier = consolidate_tier(m, row, now_ms);
        work->promoted += tier > row->tier;
        work->decayed += tier < row->tier;
        if (dry)
            continue;
        if (tier != row->tier) {
            row->tier = (uint8_t)tier;
            row->tier_ms = now_ms;
            row->hits = 0;
            row->flags |= MEMORY_ROW_USED;
        }
        if ((row->flags & MEMORY_ROW_USED) != 0) {
            row->flags &= (uint8_t)~MEMORY_ROW_USED;
            work->slots[work->n_slots++] = slot;
        }
    }
    return 0;
}

int memory_consolidate(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Aisys__Memory__ConsolidateRequest *r = request;
    struct memory_state *m = aisys_state(self);
    struct memory_work *work = memory_work_new(m, reply);

    if (work == NULL)
        return -ENOMEM;
    work->kind = MEMORY_WORK_CHANGE;
    work->consolidates = true;
    if (consolidate_plan(m, work, aisys_wall_ms(self), r->dry_run) < 0)
        return memory_work_refused(self, work, -ENOMEM);
    return r->dry_run ? consolidate_answer(self, work) : change_step(self, work);
}

int memory_consolidate_begin(struct aisys_actor *self, bool last)
{
    struct memory_state *m = aisys_state(self);
    struct memory_work *work;
    int rc;

    if (m->consolidating) {
        m->saving = last;
        return 0;
    }
    work = memory_work_new(m, 0);
    if (work == NULL)
        return -ENOMEM;
    work->kind = MEMORY_WORK_CHANGE;
    work->consolidates = true;
    rc = consolidate_plan(m, work, aisys_wall_ms(self), false);
    if (rc < 0) {
        memory_work_end(m, work);
        return rc;
    }
    if (last && work->n_ids == 0 && work->n_slots == 0) {
        memory_work_end(m, work);
        return AISYS_SEND_GONE; /* nothing to do */
    }
    m->consolidating = true;
    change_step(self, work);
    if (!m->consolidating)
        return AISYS_SEND_FULL;
    m->saving = last;
    return 0;
}

int memory_on_timer(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    /* First the next one: the place of this end in the mailbox is still free. */
    const int rc = aisys_after(self, m->consolidate_every_s * 1000,
        (struct aisys_then){ .continuation = MEMORY_ON_TIMER });

    (void)end;
    memory_consolidate_begin(self, false);
    return rc == 0 ? 0 : -ENOMEM;
}
