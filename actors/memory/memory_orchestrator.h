/* Inside of the actor memory_orchestrator: its state, and what its parts ask of each other.
 *
 *     memory_orchestrator.c   life: open, load, health, Stats
 *     memory_load.c           the rows from the database into memory
 *     memory_change.c         Store, Supersede, Relate
 *     memory_forget.c         Forget, Consolidate
 *     memory_find.c           Get, Search
 *     memory_reply.c          from rows and texts to the messages of memory.proto
 *     memory_prepare.c        from a text to what is stored of it
 *     memory_index.c          changes of the index
 *     memory_redis.c          records in Redis
 *     memory_sync.c           the index beside Redis, at the start
 *     memory_work.c           what is open
 *
 * Everything that takes more than one step is a `work`: made by a method, found again by the token of
 * what it began, gone when its caller has been answered.
 *
 * Threads: the loop's; a scan (memory_find.c) runs on the pool with what it owns. */
#ifndef AISYS_MEMORY_ORCHESTRATOR_H
#define AISYS_MEMORY_ORCHESTRATOR_H

#include <aisys/actor.h>
#include <aisys/db.h>

#include "aisys/memory.pb-c.h"
#include "memory/index.h"
#include "memory/search.h"

extern const struct aisys_actor_ops aisys_memory_orchestrator_ops;

enum memory_continuation {
    MEMORY_ON_OPEN,
    MEMORY_ON_LOAD,
    MEMORY_ON_EMBEDDED,
    MEMORY_ON_PREPARED,
    MEMORY_ON_STORED,
    MEMORY_ON_RELATED,
    MEMORY_ON_CHANGED,
    MEMORY_ON_COUNTS,
    MEMORY_ON_MATCH,
    MEMORY_ON_SCAN,
    MEMORY_ON_FETCH,
    MEMORY_ON_TIMER,
    MEMORY_ON_KEPT,
    MEMORY_ON_SETTLED,
    MEMORY_ON_SYNC,
    MEMORY_ON_SYNC_INDEX,
    MEMORY_ON_LOOK,
    MEMORY_CONTINUATIONS,
};

#define MEMORY_SCANS_MAX 4

/* A text made ready to be stored: on the loop when it is short, else by a job. */
struct memory_prepared {
    struct memory_record record; /* strings owned by `block` */
    uint64_t tags[MEMORY_TAGS_MAX];
    int8_t vector[MEMORY_VECTOR_BYTES];
    char
        duplicates[MEMORY_DUPLICATES_MAX * 24]; /* ids with a space between: what the answer says */
    size_t text_bytes;
    char *words;
    char *block;
};

enum memory_work_kind {
    MEMORY_WORK_STORE,
    MEMORY_WORK_RELATE,
    MEMORY_WORK_SEARCH,
    MEMORY_WORK_GET,
    MEMORY_WORK_CHANGE,
};

struct memory_work {
    uint64_t token; /* 0: a free place */
    uint32_t next_free;
    enum memory_work_kind kind;
    aisys_reply reply; /* 0: nobody waits for it */
    uint64_t until_ms; /* the caller's deadline */

    struct memory_prepared *prepared; /* STORE; owned */
    bool supersede;                   /* STORE: answered as Supersede */
    bool counted;                     /* STORE: one of state.in_flight */
    int64_t from, to;                 /* RELATE, with its type in `words` */
    double weight;

    struct memory_search *search; /* SEARCH, GET; owned */
    unsigned open;                /* SEARCH: ends to wait for */
    unsigned n_near;
    struct memory_near *near; /* owned */
    int code;                 /* of the first end that went wrong */
    char words[200];

    int64_t *ids; /* CHANGE: to be forgotten; owned */
    uint32_t n_ids, ids_done;
    uint32_t *slots; /* CHANGE: rows to be saved; owned */
    uint32_t n_slots, slots_done;
    bool consolidates;
    bool tidied;
    uint64_t expired, promoted, decayed;
};

/* The actor's memory outside of its account, because the pool shares it (vectors) or because a library
 * of ours makes it; kept where the next start finds it when the actor failed without stop(). */
struct memory_heap {
    struct memory_rows *rows;
    struct memory_work **works; /* by index; pointers stay */
    uint32_t n_works;
    uint32_t works_room;
    uint32_t free; /* index + 1 of the first free one */
};

/* Number of records of a word, for a while. */
struct memory_count {
    uint64_t word; /* hash; 0: none */
    uint32_t rows;
    uint32_t living; /* rows there were when it was counted */
};

#define MEMORY_COUNTS 4096

/* Where records live. What filters, ranks and indexes is the same for all. */
struct memory_store {
    const char *backend;
    const char *durability; /* what an answer means, in words */

    /* Keep the change that @work stands at, then call memory_index_change(). 0, or not 0 when it could not
     * begin: the work has failed and is gone. */
    int (*keep)(struct aisys_actor *self, struct memory_work *work);

    /* The index has it, too. */
    void (*settled)(struct aisys_actor *self, const struct memory_work *work);
};

extern const struct memory_store memory_store_sqlite;
extern const struct memory_store memory_store_redis;

struct memory_sync;

struct memory_state {
    const struct memory_store *store;
    struct memory_sync *sync; /* while the index is compared with Redis; actor's account */
    struct aisys_db *db;
    struct memory_heap *heap;
    struct memory_count *counts; /* actor's account */
    int64_t next_id;
    int64_t loaded; /* greatest id loaded so far */
    bool re_embeds; /* the vectors on the disk are another embedder's */
    bool load_ends; /* the last rows were read */
    struct memory_half_lives half_lives;
    struct memory_rank_params params;
    uint32_t memories_max;
    uint32_t in_flight; /* records on their way to the database */
    uint32_t promote_uses;
    double decay_half_lives;
    uint32_t consolidate_every_s;
    bool ready;
    bool away; /* Redis is not there, or the index was not compared with it since */
    bool stopping;
    bool saving; /* stop() waits for the last save */
    bool consolidating;
    char trouble[160]; /* what the database said last; "" when it was well */
};

/* ---- memory_work.c -------------------------------------------------------------------------- */

struct memory_heap *memory_heap_take(struct aisys_id owner); /* NULL: out of memory */
void memory_heap_give(struct aisys_id owner);

/* NULL: out of memory. */
struct memory_work *memory_work_new(struct memory_state *m, aisys_reply reply);
struct memory_work *memory_work_find(struct memory_state *m, uint64_t token); /* NULL: gone */

/* Slots of rows that were known before are void after it: with the last work that knows any, the rows may
 * be compacted. */
void memory_work_end(struct memory_state *m, struct memory_work *work);

/* How the end of a step of @work comes back. */
struct aisys_then memory_then(
    struct aisys_actor *self, const struct memory_work *work, unsigned continuation);

/* Answer @work's caller with an error and end it. Returns 0. */
int memory_work_fail(struct aisys_actor *self, struct memory_work *work, int code,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* As above for a step that could not begin: @rc is what aisys_db_exec() or aisys_job() returned. */
int memory_work_refused(struct aisys_actor *self, struct memory_work *work, int rc);

/* What stop() waited for has ended: release all and say so. The last thing that a handler does. */
void memory_stop_now(struct aisys_actor *self);

/* Run @list for @work; on a refusal the work has failed. 0, or not 0 when the work is gone. */
int memory_run(struct aisys_actor *self, struct memory_work *work, enum aisys_db_mode mode,
    const struct memory_list *list, unsigned continuation);

/* Note what the database said, for health(); when that turns, in the log. */
void memory_note(struct aisys_actor *self, const struct aisys_end *end);

/* ---- memory_index.c ------------------------------------------------------------------------- */

#define MEMORY_FORGET_AT_ONCE 256  /* memories forgotten in one transaction */
#define MEMORY_SAVE_AT_ONCE   1024 /* rows saved in one */

/* Do in the index what @work stands at. 0, or not 0 when the work is gone. */
int memory_index_change(struct aisys_actor *self, struct memory_work *work);

/* The part of a CHANGE that comes next: ids to be forgotten, then rows to be saved. 0: none is left. */
uint32_t memory_next_ids(const struct memory_work *work);
uint32_t memory_next_slots(const struct memory_work *work);

/* ---- memory_load.c -------------------------------------------------------------------------- */

/* Read the rows, then call memory_loaded(). 0 or a negative errno. */
int memory_load(struct aisys_actor *self);

/* In memory_orchestrator.c: the rows are there. */
int memory_loaded(struct aisys_actor *self);

/* ---- memory_sync.c -------------------------------------------------------------------------- */

/* Compare the index with Redis and put it right, then call memory_synced(). 0 or a negative errno. */
int memory_sync_begin(struct aisys_actor *self);

/* In memory_orchestrator.c: the index is as Redis has it, or Redis is away (then see @why). @last: the
 * greatest id ever given there. */
int memory_synced(struct aisys_actor *self, int64_t last, const char *why);

/* There, too: Redis did not answer. Changes are refused until it was compared with the index again. */
void memory_went_away(struct aisys_actor *self, const char *why);

/* ---- memory_prepare.c ----------------------------------------------------------------------- */

/* A copy of everything that @record points to, ready for memory_prepare(). NULL: out of memory. */
struct memory_prepared *memory_prepared_new(
    const struct memory_record *record, char *const *tags, size_t n_tags);
void memory_prepared_free(void *prepared); /* any thread; NULL is fine */

/* Move what @prepared holds to a new one; what is left may still be freed. NULL: out of memory. */
struct memory_prepared *memory_prepared_move(struct memory_prepared *prepared);

/* Words, hashes and vector of its text. Any thread. */
void memory_prepare(struct memory_prepared *prepared);

/* ---- memory_reply.c ------------------------------------------------------------------------- */

/* Answer @work's Search or Get with its candidates and the texts in @result. */
int memory_answer_found(
    struct aisys_actor *self, struct memory_work *work, const struct aisys_db_result *result);

/* "[1,2,3]" of @n numbers, in memory of malloc(); NULL: out of memory. */
char *memory_json_ids(const int64_t *ids, size_t n);

#define MEMORY_ID_ROOM 24
/* @id in decimal; returns @to. */
char *memory_id_text(int64_t id, char *to);
int64_t memory_id_read(const char *text); /* valid by its pattern */

/* ---- memory_find.c -------------------------------------------------------------------------- */

/* The slot of @id, or -1: not there, forgotten or expired. */
int64_t memory_find_slot(struct aisys_actor *self, int64_t id);

/* ---- memory_forget.c ------------------------------------------------------------------------ */

/* A filter as requests have it; borrowed. */
struct memory_filter_fields {
    const Aisys__Memory__Record__Kind *kinds;
    size_t n_kinds;
    char *const *tags;
    size_t n_tags;
    const char *session;
    const int64_t *since, *until;
    bool include_superseded;
};

void memory_filter_fill(
    struct memory_filter *filter, const struct memory_filter_fields *fields, int64_t now_ms);

/* ---- Methods and ends, in the files above ---------------------------------------------------- */

int memory_store(struct aisys_actor *self, const void *request, aisys_reply reply);
int memory_supersede(struct aisys_actor *self, const void *request, aisys_reply reply);
int memory_relate(struct aisys_actor *self, const void *request, aisys_reply reply);
int memory_forget(struct aisys_actor *self, const void *request, aisys_reply reply);
int memory_consolidate(struct aisys_actor *self, const void *request, aisys_reply reply);
int memory_get(struct aisys_actor *self, const void *request, aisys_reply reply);
int memory_search(struct aisys_actor *self, const void *request, aisys_reply reply);

int memory_on_load(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_embedded(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_prepared(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_stored(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_related(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_changed(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_counts(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_match(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_scan(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_fetch(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_timer(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_kept(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_settled(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_sync(struct aisys_actor *self, const struct aisys_end *end);
int memory_on_sync_index(struct aisys_actor *self, const struct aisys_end *end);

/* The guards of the index stopped a Store, or those of Redis: answer it. @repeated: the first answer's id
 * and duplicates with a space between, or NULL when the old record is taken. */
int memory_store_stopped(struct aisys_actor *self, struct memory_work *work, const char *repeated);

/* Begin a round of Consolidate that nobody asked for; also saves what was used. When @last, stop() waits
 * for its end. 0 or an AISYS_SEND_* outcome or a negative errno: it did not begin. */
int memory_consolidate_begin(struct aisys_actor *self, bool last);

#endif
