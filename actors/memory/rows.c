#include "memory/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BANDS       4
#define BAND_VALUES 65536
#define LOOKS_MAX   128 /* rows of one band that a search for duplicates looks at */

/* Dead slots below which nothing is compacted, and slots beyond which every so many are too many. */
#define SPARSE_LEAST 1024
#define SPARSE_FULL  (MEMORY_VECTORS_MAX - MEMORY_VECTORS_MAX / 64)

struct memory_rows {
    struct memory_row *rows;
    uint32_t n;
    uint32_t room;
    uint32_t living;
    uint64_t *tags;
    uint32_t n_tags;
    uint32_t tags_room;
    struct memory_vectors *vectors;
    uint64_t *current;   /* bit per slot: lives and is not superseded */
    int64_t *superseded; /* ids of living superseded records, in no order */
    uint32_t n_superseded;
    uint32_t superseded_room;
    uint32_t n_expiring; /* rows that ever had a time to go */
    uint32_t *bands;     /* BANDS x BAND_VALUES: newest slot + 1 with these 16 bits */
};

struct memory_rows *memory_rows_new(void)
{
    struct memory_rows *rows = calloc(1, sizeof(*rows));

    if (rows == NULL)
        return NULL;
    rows->vectors = memory_vectors_new();
    rows->bands = calloc((size_t)BANDS * BAND_VALUES, sizeof(*rows->bands));
    if (rows->vectors == NULL || rows->bands == NULL) {
        memory_rows_free(rows);
        return NULL;
    }
    return rows;
}

void memory_rows_free(struct memory_rows *rows)
{
    if (rows == NULL)
        return;
    memory_vectors_unref(rows->vectors);
    free(rows->bands);
    free(rows->current);
    free(rows->superseded);
    free(rows->tags);
    free(rows->rows);
    free(rows);
}

/* Room for one more row and @n_tags more tags. */
static int rows_grow(struct memory_rows *rows, unsigned n_tags)
{
    if (rows->n == rows->room) {
        const uint32_t room = rows->room != 0 ? rows->room * 2 : 256;
        struct memory_row *grown = realloc(rows->rows, room * sizeof(*grown));
        uint64_t *bits;

        if (grown == NULL)
            return -ENOMEM;
        rows->rows = grown;
        bits = realloc(rows->current, room / 64 * sizeof(*bits));
        if (bits == NULL)
            return -ENOMEM;
        memset(bits + rows->room / 64, 0, (room - rows->room) / 64 * sizeof(*bits));
        rows->current = bits;
        rows->room = room;
    }
    if (n_tags > rows->tags_room - rows->n_tags) {
        const uint32_t room = rows->tags_room * 2 + 256;
        uint64_t *grown = realloc(rows->tags, room * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        rows->tags = grown;
        rows->tags_room = room;
    }
    return 0;
}

static uint32_t *rows_band(const struct memory_rows *rows, unsigned band, uint64_t simhash)
{
    return &rows->bands[band * BAND_VALUES + (simhash >> 16 * band & 0xffff)];
}

static void rows_link(struct memory_rows *rows, uint32_t slot)
{
    struct memory_row *row = &rows->rows[slot];

    for (unsigned band = 0; band < BANDS; band++) {
        uint32_t *head = rows_band(rows, band, row->simhash);

        row->next[band] = *head;
        *head = slot + 1;
    }
}

int64_t memory_rows_append(struct memory_rows *rows, const struct memory_row *row,
    const uint64_t *tags, const int8_t *vector)
{
    struct memory_row *added;
    int64_t slot;
    int rc;

    if (rows->n > 0 && row->id <= rows->rows[rows->n - 1].id)
        return -EINVAL;
    rc = rows_grow(rows, row->n_tags);
    if (rc < 0)
        return rc;
    slot = memory_vectors_append(rows->vectors, vector);
    if (slot < 0)
        return slot;

    added = &rows->rows[rows->n++];
    *added = *row;
    added->tags_at = rows->n_tags;
    if (row->n_tags > 0)
        memcpy(rows->tags + rows->n_tags, tags, row->n_tags * sizeof(*tags));
    rows->n_tags += row->n_tags;
    rows_link(rows, (uint32_t)slot);
    rows->living++;
    rows->n_expiring += row->expires_ms != 0;
    rows->current[slot / 64] |= 1ull << slot % 64;
    if ((row->flags & MEMORY_ROW_SUPERSEDED) != 0) {
        added->flags &= (uint8_t)~MEMORY_ROW_SUPERSEDED;
        rc = memory_rows_supersede(rows, (uint32_t)slot);
    }
    return rc < 0 ? rc : slot;
}

int64_t memory_rows_find(const struct memory_rows *rows, int64_t id)
{
    uint32_t low = 0, high = rows->n;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (rows->rows[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == rows->n || rows->rows[low].id != id ||
        (rows->rows[low].flags & MEMORY_ROW_DEAD) != 0)
        return -1;
    return low;
}

struct memory_row *memory_rows_at(struct memory_rows *rows, uint32_t slot)
{
    return &rows->rows[slot];
}

void memory_rows_kill(struct memory_rows *rows, uint32_t slot)
{
    if ((rows->rows[slot].flags & MEMORY_ROW_DEAD) != 0)
        return;
    rows->rows[slot].flags |= MEMORY_ROW_DEAD;
    rows->living--;
    rows->current[slot / 64] &= ~(1ull << slot % 64);
    memory_vectors_kill(rows->vectors, slot);
    for (uint32_t i = 0; i < rows->n_superseded; i++) {
        if ((rows->rows[slot].flags & MEMORY_ROW_SUPERSEDED) == 0)
            break;
        if (rows->superseded[i] == rows->rows[slot].id)
            rows->superseded[i--] = rows->superseded[--rows->n_superseded];
    }
}

int memory_rows_supersede(struct memory_rows *rows, uint32_t slot)
{
    if ((rows->rows[slot].flags & (MEMORY_ROW_SUPERSEDED | MEMORY_ROW_DEAD)) != 0)
        return 0;
    if (rows->n_superseded == rows->superseded_room) {
        const uint32_t room = rows->superseded_room * 2 + 64;
        int64_t *grown = realloc(rows->superseded, room * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        rows->superseded = grown;
        rows->superseded_room = room;
    }
    rows->superseded[rows->n_superseded++] = rows->rows[slot].id;
    rows->rows[slot].flags |= MEMORY_ROW_SUPERSEDED;
    rows->current[slot / 64] &= ~(1ull << slot % 64);
    return 0;
}

/* Half as many dead as living ones: what is moved stays in proportion to what was forgotten. */
bool memory_rows_sparse(const struct memory_rows *rows)
{
    const uint32_t dead = rows->n - rows->living;

    return dead >= SPARSE_LEAST && (dead >= rows->living / 2 || rows->n > SPARSE_FULL);
}

/* Give room back; what cannot be had smaller stays. */
static void rows_shrink(struct memory_rows *rows)
{
    const uint32_t tags_room = rows->n_tags + 256;
    uint32_t room = rows->room;
    void *less;

    while (room > 256 && room / 2 >= rows->n)
        room /= 2;
    if (room < rows->room && (less = realloc(rows->rows, room * sizeof(*rows->rows))) != NULL) {
        rows->rows = less;
        rows->room = room;
        less = realloc(rows->current, room / 64 * sizeof(*rows->current));
        rows->current = less != NULL ? less : rows->current;
    }
    if (tags_room < rows->tags_room &&
        (less = realloc(rows->tags, tags_room * sizeof(*rows->tags))) != NULL) {
        rows->tags = less;
        rows->tags_room = tags_room;
    }
}

int memory_rows_compact(struct memory_rows *rows)
{
    const uint32_t count = rows->n;
    const int rc = memory_vectors_compact(rows->vectors);

    if (rc < 0 || count == 0)
        return rc;
    memset(rows->bands, 0, (size_t)BANDS * BAND_VALUES * sizeof(*rows->bands));
    memset(rows->current, 0, rows->room / 64 * sizeof(*rows->current));
    rows->n = rows->n_tags = rows->n_expiring = 0;
    for (uint32_t slot = 0; slot < count; slot++) {
        struct memory_row *row = &rows->rows[rows->n];

        if ((rows->rows[slot].flags & MEMORY_ROW_DEAD) != 0)
            continue;
        *row = rows->rows[slot];
        if (row->n_tags > 0) /* in the order of their rows */
            memmove(rows->tags + rows->n_tags, rows->tags + row->tags_at,
                row->n_tags * sizeof(*rows->tags));
        row->tags_at = rows->n_tags;
        rows->n_tags += row->n_tags;
        rows->n_expiring += row->expires_ms != 0;
        if ((row->flags & MEMORY_ROW_SUPERSEDED) == 0)
            rows->current[rows->n / 64] |= 1ull << rows->n % 64;
        rows_link(rows, rows->n++);
    }
    rows_shrink(rows);
    return 0;
}

uint32_t memory_rows_count(const struct memory_rows *rows)
{
    return rows->n;
}

uint32_t memory_rows_living(const struct memory_rows *rows)
{
    return rows->living;
}

uint64_t memory_rows_bytes(const struct memory_rows *rows)
{
    return sizeof(*rows) + (uint64_t)rows->room * sizeof(*rows->rows) + rows->room / 8 +
           (uint64_t)rows->superseded_room * sizeof(*rows->superseded) +
           (uint64_t)rows->tags_room * sizeof(*rows->tags) +
           (uint64_t)BANDS * BAND_VALUES * sizeof(*rows->bands) +
           memory_vectors_bytes(rows->vectors);
}

struct memory_vectors *memory_rows_vectors(const struct memory_rows *rows)
{
    return rows->vectors;
}

/* ---- Filters -------------------------------------------------------------------------------- */

static bool rows_has_tag(const struct memory_rows *rows, const struct memory_row *row, uint64_t tag)
{
    for (unsigned i = 0; i < row->n_tags; i++) {
        if (rows->tags[row->tags_at + i] == tag)
            return true;
    }
    return false;
}

bool memory_filter_match(
    const struct memory_rows *rows, const struct memory_filter *filter, uint32_t slot)
{
    const struct memory_row *row = &rows->rows[slot];

    if ((row->flags & MEMORY_ROW_DEAD) != 0 ||
        ((row->flags & MEMORY_ROW_SUPERSEDED) != 0 && !filter->include_superseded) ||
        (row->expires_ms != 0 && row->expires_ms <= filter->now_ms) ||
        (filter->kinds != 0 && (filter->kinds >> row->kind & 1) == 0) ||
        (filter->session != 0 && filter->session != row->session) ||
        (filter->has_since && row->event_ms < filter->since_ms) ||
        (filter->has_until && row->event_ms >= filter->until_ms))
        return false;
    for (unsigned i = 0; i < filter->n_tags; i++) {
        if (!rows_has_tag(rows, row, filter->tags[i]))
            return false;
    }
    return true;
}

static int select_ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* Everything that is current, as it is kept: without a look at every row. */
static int select_current(const struct memory_rows *rows, struct memory_selection *ret_selection)
{
    const size_t bytes = ((size_t)rows->n / 64 + 1) * sizeof(uint64_t);
    struct memory_selection s = { .n_slots = rows->n, .excludes = true };

    s.bits = calloc(1, bytes);
    s.ids = malloc(((size_t)rows->n_superseded + 1) * sizeof(*s.ids));
    if (s.bits == NULL || s.ids == NULL) {
        memory_selection_deinit(&s);
        return -ENOMEM;
    }
    if (rows->n > 0)
        memcpy(s.bits, rows->current, ((size_t)rows->n + 63) / 64 * sizeof(uint64_t));
    s.n = rows->living - rows->n_superseded;
    s.n_ids = rows->n_superseded;
    if (s.n_ids > 0)
        memcpy(s.ids, rows->superseded, s.n_ids * sizeof(*s.ids));
    qsort(s.ids, s.n_ids, sizeof(*s.ids), select_ascending);
    *ret_selection = s;
    return 0;
}

int memory_select(const struct memory_rows *rows, const struct memory_filter *filter,
    struct memory_selection *ret_selection)
{
    const bool all = filter->kinds == 0 && filter->session == 0 && filter->n_tags == 0 &&
                     !filter->has_since && !filter->has_until && !filter->include_superseded;
    struct memory_selection s = { .n_slots = rows->n };
    uint32_t left_out = 0, at = 0;

    if (all && rows->n_expiring == 0)
        return select_current(rows, ret_selection);

    s.bits = calloc((size_t)rows->n / 64 + 1, sizeof(*s.bits));
    if (s.bits == NULL)
        return -ENOMEM;
    for (uint32_t slot = 0; slot < rows->n; slot++) {
        const bool match = memory_filter_match(rows, filter, slot);

        s.bits[slot / 64] |= (uint64_t)match << slot % 64;
        s.n += match;
        left_out += !match && (rows->rows[slot].flags & MEMORY_ROW_DEAD) == 0;
    }
    s.excludes = left_out < s.n;
    s.n_ids = s.excludes ? left_out : s.n;
    s.ids = malloc((size_t)(s.n_ids + 1) * sizeof(*s.ids));
    if (s.ids == NULL) {
        free(s.bits);
        return -ENOMEM;
    }
    for (uint32_t slot = 0; slot < rows->n && at < s.n_ids; slot++) {
        const bool match = (s.bits[slot / 64] >> slot % 64 & 1) != 0;

        if (match != s.excludes && (rows->rows[slot].flags & MEMORY_ROW_DEAD) == 0)
            s.ids[at++] = rows->rows[slot].id;
    }
    *ret_selection = s;
    return 0;
}

void memory_selection_deinit(struct memory_selection *selection)
{
    free(selection->bits);
    free(selection->ids);
    memset(selection, 0, sizeof(*selection));
}

/* ---- Duplicates ----------------------------------------------------------------------------- */

/* Put @id among @n descending ids; the new number. */
static unsigned rows_put_duplicate(int64_t *ids, unsigned n, int64_t id)
{
    unsigned at = n;

    for (unsigned i = 0; i < n; i++) {
        if (ids[i] == id)
            return n;
    }
    while (at > 0 && ids[at - 1] < id)
        at--;
    if (at == MEMORY_DUPLICATES_MAX)
        return n;
    if (n == MEMORY_DUPLICATES_MAX)
        n--;
    memmove(ids + at + 1, ids + at, (n - at) * sizeof(*ids));
    ids[at] = id;
    return n + 1;
}

unsigned memory_rows_duplicates(const struct memory_rows *rows, uint64_t normal, uint64_t simhash,
    int64_t now_ms, int64_t *ret_ids)
{
    unsigned n = 0;

    /* Of 64 bits in four bands, at most three differ: one band is the same. */
    for (unsigned band = 0; band < BANDS; band++) {
        uint32_t next = *rows_band(rows, band, simhash);

        for (unsigned looks = 0; next != 0 && looks < LOOKS_MAX; looks++) {
            const struct memory_row *row = &rows->rows[next - 1];

            next = row->next[band];
            if ((row->flags & MEMORY_ROW_DEAD) != 0 ||
                (row->expires_ms != 0 && row->expires_ms <= now_ms))
                continue;
            if (row->normal == normal ||
                __builtin_popcountll(row->simhash ^ simhash) <= MEMORY_SIMHASH_DISTANCE)
                n = rows_put_duplicate(ret_ids, n, row->id);
        }
    }
    return n;
}
