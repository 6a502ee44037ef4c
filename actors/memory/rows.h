/* What the memory knows of every record without asking the database: a row of some 90 bytes beside its
 * vector. Filters, duplicates, tiers and recency are worked out here; texts stay in the database.
 *
 * Rows are in the order of their ids; the place of a row (its slot) is the place of its vector. A record
 * that is forgotten leaves a dead slot until memory_rows_compact().
 *
 * Threads: the owner's only.
 * Errors:  negative errno.
 * Units:   milliseconds since 1970 (UTC). */
#ifndef AISYS_MEMORY_ROWS_H
#define AISYS_MEMORY_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/vectors.h"

#define MEMORY_KINDS            3
#define MEMORY_TAGS_MAX         32
#define MEMORY_DUPLICATES_MAX   16 /* named in one answer */
#define MEMORY_SIMHASH_DISTANCE 3  /* bits that may differ between duplicates */

enum memory_tier { MEMORY_SHORT, MEMORY_MEDIUM, MEMORY_LONG };
#define MEMORY_TIERS 3

enum memory_row_flags {
    MEMORY_ROW_DEAD = 1 << 0, /* forgotten */
    MEMORY_ROW_SUPERSEDED = 1 << 1,
    MEMORY_ROW_USED = 1 << 2, /* hits, used_ms or tier changed since they were saved */
};

struct memory_row {
    int64_t id;
    int64_t event_ms;
    int64_t expires_ms; /* 0: never */
    int64_t used_ms;    /* last found or read; at first when it was stored */
    int64_t tier_ms;    /* since when it is in its tier */
    uint64_t simhash;
    uint64_t normal;  /* hash of the normalised text */
    uint64_t session; /* hash; 0: none */
    float importance;
    uint32_t hits;    /* times found or read */
    uint32_t tags_at; /* in the pool of tag hashes */
    uint8_t n_tags;
    uint8_t kind;
    uint8_t tier;
    uint8_t flags;
    uint32_t next[4]; /* of the same band of the simhash: slot + 1 */
};

/* What a search may find. Zero is everything that lives and is not superseded. */
struct memory_filter {
    unsigned kinds;                 /* bit per kind; 0: all */
    uint64_t session;               /* 0: all */
    uint64_t tags[MEMORY_TAGS_MAX]; /* all must match */
    unsigned n_tags;
    bool has_since, has_until;
    int64_t since_ms, until_ms; /* since <= event < until */
    bool include_superseded;
    int64_t now_ms;
};

struct memory_rows;

struct memory_rows *memory_rows_new(void); /* NULL: out of memory */
void memory_rows_free(struct memory_rows *rows);

/* Append @row with its tags and vector; ids must grow. Its slot, or -ENOMEM, -ENOSPC. */
int64_t memory_rows_append(struct memory_rows *rows, const struct memory_row *row,
    const uint64_t *tags, const int8_t *vector);

/* The slot of @id, or -1: not there or forgotten. */
int64_t memory_rows_find(const struct memory_rows *rows, int64_t id);
struct memory_row *memory_rows_at(struct memory_rows *rows, uint32_t slot);
void memory_rows_kill(struct memory_rows *rows, uint32_t slot);
int memory_rows_supersede(struct memory_rows *rows, uint32_t slot); /* 0 or -ENOMEM */

/* Are there so many dead slots that memory_rows_compact() pays? */
bool memory_rows_sparse(const struct memory_rows *rows);

/* Leave the dead slots out, of the vectors, too. Slots, pointers to rows and selections from before are
 * void. 0, or -EBUSY: somebody holds a reference of the vectors; nothing changed. */
int memory_rows_compact(struct memory_rows *rows);

uint32_t memory_rows_count(const struct memory_rows *rows); /* slots, dead ones too */
uint32_t memory_rows_living(const struct memory_rows *rows);
uint64_t memory_rows_bytes(const struct memory_rows *rows);
struct memory_vectors *memory_rows_vectors(const struct memory_rows *rows); /* borrowed */

bool memory_filter_match(
    const struct memory_rows *rows, const struct memory_filter *filter, uint32_t slot);

/* The filter over all slots, for a vector scan and for the full text search. */
struct memory_selection {
    uint64_t *bits; /* owned; bit per slot */
    uint32_t n_slots;
    uint32_t n;    /* slots that match */
    bool excludes; /* ids are those left out, not those let in: whichever are fewer */
    int64_t *ids;  /* owned; ascending */
    uint32_t n_ids;
};

int memory_select(const struct memory_rows *rows, const struct memory_filter *filter,
    struct memory_selection *ret_selection);
void memory_selection_deinit(struct memory_selection *selection);

/* Ids of living records with the same normalised text, or with a simhash within
 * MEMORY_SIMHASH_DISTANCE bits; newest first, at most MEMORY_DUPLICATES_MAX. Returns how many.
 * Of very many that are alike, only the newest are looked at. */
unsigned memory_rows_duplicates(const struct memory_rows *rows, uint64_t normal, uint64_t simhash,
    int64_t now_ms, int64_t *ret_ids);

#endif
