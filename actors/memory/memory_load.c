/* The rows from the database into memory, at the start.
 *
 * When the vectors on the disk were made by another embedder than ours they are made again, from the
 * texts, and saved. */
#include "memory/memory_orchestrator.h"

#include <errno.h>
#include <string.h>

#include "memory/embed.h"

#define LOAD_ROWS  1000 /* read at once: a millisecond of the loop */
#define EMBED_ROWS 100  /* and when their vectors are made again */
#define LOAD_MS    60000

static unsigned load_limit(const struct memory_state *m)
{
    return m->re_embeds ? EMBED_ROWS : LOAD_ROWS;
}

int memory_load(struct aisys_actor *self)
{
    struct memory_state *m = aisys_state(self);
    struct memory_list list;
    const struct aisys_then then = { .continuation = MEMORY_ON_LOAD, .deadline_ms = LOAD_MS };

    memory_list_load(&list, m->loaded, load_limit(m), m->re_embeds);
    return aisys_db_exec(self, m->db, AISYS_DB_READ, list.stmts, list.n, then) == 0 ? 0 : -ENOMEM;
}

/* The vectors of the rows in @result, which are the last that were loaded, onto the disk. */
static int load_save(
    struct aisys_actor *self, struct memory_state *m, const struct aisys_db_result *result)
{
    const struct aisys_then then = { .continuation = MEMORY_ON_EMBEDDED, .deadline_ms = LOAD_MS };
    const struct memory_vectors *vectors = memory_rows_vectors(m->heap->rows);
    struct aisys_db_value values[2 * EMBED_ROWS + 1];
    struct aisys_db_stmt stmts[EMBED_ROWS + 1];
    struct aisys_db_rows rows;
    unsigned n = 0;

    aisys_db_rows(result, 0, &rows);
    for (; aisys_db_next(&rows) && n < EMBED_ROWS; n++) {
        const int64_t id = aisys_db_column_int(&rows, 0),
                      slot = memory_rows_find(m->heap->rows, id);

        if (slot < 0)
            return -EINVAL;
        values[2 * n] = aisys_db_int(id);
        values[2 * n + 1] =
            aisys_db_blob(memory_vectors_at(vectors, (uint32_t)slot), MEMORY_VECTOR_BYTES);
        stmts[n] = (struct aisys_db_stmt){
            .sql = memory_sql_vector, .values = &values[2 * n], .n_values = 2
        };
    }
    if (m->load_ends) {
        values[2 * n] = aisys_db_text(memory_embedder_lexical.name);
        stmts[n] = (struct aisys_db_stmt){
            .sql = memory_sql_embedder, .values = &values[2 * n], .n_values = 1
        };
        n++;
    }
    return aisys_db_exec(self, m->db, AISYS_DB_WRITE, stmts, n, then) == 0 ? 0 : -ENOMEM;
}

/* One row; -EIO: it cannot be right. */
static int load_row(struct memory_state *m, const struct aisys_db_rows *rows)
{
    uint64_t tags[MEMORY_TAGS_MAX];
    int8_t vector[MEMORY_VECTOR_BYTES];
    struct memory_row row;
    size_t bytes;
    int64_t slot;

    if (!memory_row_read(rows, &row, tags, vector))
        return -EIO;
    if (m->re_embeds) {
        const char *text = aisys_db_column_text(rows, MEMORY_ROW_TEXT, &bytes);

        memory_embedder_lexical.embed(text, bytes, vector);
    }
    slot = memory_rows_append(m->heap->rows, &row, tags, vector);
    m->loaded = row.id;
    return slot < 0 ? (int)slot : 0;
}

/* Are the vectors another embedder's? Seen once, before the first row is kept. */
static bool load_other_embedder(struct memory_state *m, const struct aisys_db_result *result)
{
    struct aisys_db_rows rows;

    if (m->loaded != 0 || m->re_embeds)
        return false;
    aisys_db_rows(result, 2, &rows);
    m->re_embeds = !aisys_db_next(&rows) ||
                   strcmp(aisys_db_column_text(&rows, 0, NULL), memory_embedder_lexical.name) != 0;
    return m->re_embeds;
}

int memory_on_load(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    struct aisys_db_rows rows;
    unsigned n = 0;
    int64_t last;
    int rc = 0;

    if (end->code != AISYS_OK) {
        aisys_give_up(self, -EIO, end->words);
        return 0;
    }
    if (load_other_embedder(m, end->result)) {
        aisys_log(self, AISYS_INFO, "memory_vectors_are_made_again", "embedder=%s",
            memory_embedder_lexical.name);
        return memory_load(self);
    }
    aisys_db_rows(end->result, 1, &rows);
    last = aisys_db_next(&rows) ? aisys_db_column_int(&rows, 0) : 0;
    m->next_id = last + 1 > m->next_id ? last + 1 : m->next_id;
    aisys_db_rows(end->result, 0, &rows);
    for (; rc == 0 && aisys_db_next(&rows); n++)
        rc = load_row(m, &rows);
    if (rc == -EIO) {
        aisys_give_up(
            self, -EIO, "the database holds a row that cannot be right: restore a backup");
        return 0;
    }
    if (rc < 0)
        return rc;
    m->load_ends = n < load_limit(m);
    if (m->re_embeds)
        return load_save(self, m, end->result);
    return m->load_ends ? memory_loaded(self) : memory_load(self);
}

int memory_on_embedded(struct aisys_actor *self, const struct aisys_end *end)
{
    const struct memory_state *m = aisys_state(self);

    if (end->code != AISYS_OK) {
        aisys_give_up(self, -EIO, end->words);
        return 0;
    }
    return m->load_ends ? memory_loaded(self) : memory_load(self);
}
