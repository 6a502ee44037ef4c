/* The actor in virtual time, on a real database: what users see. */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "actor_stage.h"
#include "aisys/memory.pb-c.h"
#include "fake_db.h"
#include "core/db_pack.h"
#include "port/sqlite_port.h"
#include "memory/memory_orchestrator.h"

#define DAY_MS 86400000

static struct stage stage;
static struct fake_db db;
static Aisys__Memory__MemoryOrchestratorConfig config;
static uint32_t mailbox_messages; /* 0: the default */

static void open_in(const char *dir)
{
    stage_open(&stage);
    fake_db_init(&db, &stage.fake, dir);
    stage_add(&stage, &aisys_memory_orchestrator_ops,
        &(struct aisys_actor_options){
            .name = "memory", .config = &config.base, .mailbox_messages = mailbox_messages });
    stage_start(&stage);
    fake_db_pump(&db);
}

static int setup(void **state)
{
    (void)state;
    mailbox_messages = 0;
    aisys__memory__memory_orchestrator_config__init(&config);
    open_in(NULL);
    return 0;
}

static void shut(bool keep)
{
    aisys_core_stop(stage.core);
    fake_db_pump(&db);
    assert_int_equal(aisys_core_state(stage.core), AISYS_CORE_STOPPED);
    stage_close(&stage);
    fake_db_deinit(&db, keep);
}

static int teardown(void **state)
{
    (void)state;
    shut(false);
    return 0;
}

/* The node starts again on the same files. */
static void reopen(void)
{
    char dir[64];

    strcpy(dir, db.dir);
    shut(true);
    open_in(dir);
}

static int call(const char *method, const ProtobufCMessage *request)
{
    stage_begin(&stage, "memory", method, request);
    fake_db_pump(&db);
    assert_true(stage.ended);
    return stage.code;
}

#define REPLY(type) ((const Aisys__Memory__##type *)stage_reply(&stage, descriptor_##type()))
#define DESCRIPTOR(type, name)                                                                     \
    static const ProtobufCMessageDescriptor *descriptor_##type(void)                               \
    {                                                                                              \
        return &aisys__memory__##name##__descriptor;                                               \
    }
DESCRIPTOR(StoreReply, store_reply)
DESCRIPTOR(SupersedeReply, supersede_reply)
DESCRIPTOR(GetReply, get_reply)
DESCRIPTOR(SearchReply, search_reply)
DESCRIPTOR(ForgetReply, forget_reply)
DESCRIPTOR(ConsolidateReply, consolidate_reply)
DESCRIPTOR(StatsReply, stats_reply)

static const char *store_full(Aisys__Memory__StoreRequest *r, const char *text)
{
    static char id[MEMORY_ID_ROOM];

    r->text = (char *)(uintptr_t)text;
    assert_int_equal(call("Store", &r->base), AISYS_OK);
    strcpy(id, REPLY(StoreReply)->id);
    return id;
}

static const char *store(const char *text)
{
    Aisys__Memory__StoreRequest r = AISYS__MEMORY__STORE_REQUEST__INIT;

    return store_full(&r, text);
}

/* Ids of the hits, "2 1". */
static const char *search_full(Aisys__Memory__SearchRequest *r, const char *query)
{
    static char ids[512];
    const Aisys__Memory__SearchReply *reply;

    r->query = (char *)(uintptr_t)query;
    assert_int_equal(call("Search", &r->base), AISYS_OK);
    reply = REPLY(SearchReply);
    ids[0] = '\0';
    for (size_t i = 0; i < reply->n_hits; i++) {
        if (i > 0)
            strcat(ids, " ");
        strcat(ids, reply->hits[i]->memory->id);
        assert_true(reply->hits[i]->score > 0 && reply->hits[i]->score <= 1);
    }
    return ids;
}

static const char *search(const char *query)
{
    Aisys__Memory__SearchRequest r = AISYS__MEMORY__SEARCH_REQUEST__INIT;

    return search_full(&r, query);
}

static int get(const char *id)
{
    Aisys__Memory__GetRequest r = AISYS__MEMORY__GET_REQUEST__INIT;

    r.id = (char *)(uintptr_t)id;
    return call("Get", &r.base);
}

/* ---- Store, Get, Search ---------------------------------------------------------------------- */

static void test_stored_is_found_and_survives(void **state)
{
    Aisys__Memory__StoreRequest r = AISYS__MEMORY__STORE_REQUEST__INIT;
    char *tags[] = { (char *)"home", (char *)"keys and locks" };
    const Aisys__Memory__Record *memory;

    (void)state;
    r.has_kind = true;
    r.kind = AISYS__MEMORY__RECORD__KIND__KNOWLEDGE;
    r.tags = tags;
    r.n_tags = 2;
    r.session = (char *)"s1";
    r.source = (char *)"kitchen";
    r.has_importance = true;
    r.importance = 0.75;
    assert_string_equal(store_full(&r, "The spare key is in the blue drawer"), "1");
    assert_string_equal(store("We walked the dogs along the river"), "2");
    for (unsigned round = 0; round < 2; round++) {
        assert_string_equal(search("where is the key"), "1");
        memory = REPLY(SearchReply)->hits[0]->memory;
        assert_string_equal(memory->text, "The spare key is in the blue drawer");
        assert_int_equal(memory->kind, AISYS__MEMORY__RECORD__KIND__KNOWLEDGE);
        assert_int_equal(memory->n_tags, 2);
        assert_string_equal(memory->tags[1], "keys and locks");
        assert_string_equal(memory->session, "s1");
        assert_string_equal(memory->source, "kitchen");
        assert_true(memory->importance == 0.75);
        assert_null(memory->superseded_by);
        assert_int_equal(get("2"), AISYS_OK);
        assert_string_equal(REPLY(GetReply)->memory->text, "We walked the dogs along the river");
        assert_null(REPLY(GetReply)->memory->session);
        reopen();
    }
    assert_int_equal(get("3"), AISYS_NOT_FOUND);
    assert_string_equal(store("third"), "3");
    assert_string_equal(search(""), "3 2 1"); /* newest first */
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *text, *session, *tag;
        int code;
    } rows[] = {
        { NULL, NULL, NULL, AISYS_INVALID_ARGUMENT },
        { "", NULL, NULL, AISYS_INVALID_ARGUMENT },
        { "bad \xff utf-8", NULL, NULL, AISYS_INVALID_ARGUMENT },
        { "fine", "bad \xc3", NULL, AISYS_INVALID_ARGUMENT },
        { "fine", NULL, "bad \xc3", AISYS_INVALID_ARGUMENT },
        { "fine", NULL, "two\nlines", AISYS_INVALID_ARGUMENT },
        { "fine", "", NULL, AISYS_INVALID_ARGUMENT },
        { "fine", NULL, "", AISYS_INVALID_ARGUMENT },
        { "\xe6\x9d\xb1\xe4\xba\xac", "\xc3\xa4", "\xc3\xb6", AISYS_OK },
        { "?!", NULL, NULL, AISYS_OK },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        Aisys__Memory__StoreRequest r = AISYS__MEMORY__STORE_REQUEST__INIT;
        char *tags[] = { (char *)(uintptr_t)rows[i].tag };

        r.text = (char *)(uintptr_t)rows[i].text;
        r.session = (char *)(uintptr_t)rows[i].session;
        r.tags = tags;
        r.n_tags = rows[i].tag != NULL;
        if (call("Store", &r.base) != rows[i].code)
            fail_msg("row %u: %d %s", i, stage.code, stage.words);
    }
    {
        Aisys__Memory__SearchRequest r = AISYS__MEMORY__SEARCH_REQUEST__INIT;

        r.query = (char *)"\xff";
        assert_int_equal(call("Search", &r.base), AISYS_INVALID_ARGUMENT);
        r.query = (char *)"x";
        r.has_k = true;
        r.k = 0;
        assert_int_equal(call("Search", &r.base), AISYS_INVALID_ARGUMENT);
        r.k = 1;
        r.has_since = r.has_until = true;
        r.since = 2;
        r.until = 1;
        assert_int_equal(call("Search", &r.base), AISYS_INVALID_ARGUMENT);
    }
    assert_int_equal(get("one"), AISYS_INVALID_ARGUMENT);
}

/* A long text is made ready on the pool; the largest there may be is fine. */
static void test_long_texts(void **state)
{
    Aisys__Memory__StoreRequest r = AISYS__MEMORY__STORE_REQUEST__INIT;
    char *text = malloc(65538);

    (void)state;
    for (unsigned i = 0; i < 65537; i++)
        text[i] = i % 7 == 6 ? ' ' : (char)('a' + i * i % 23);
    memcpy(text + 30000, " needle ", 8);
    text[65536] = '\0';
    store_full(&r, text);
    assert_string_equal(search("needle"), "1");
    assert_int_equal(strlen(REPLY(SearchReply)->hits[0]->memory->text), 65536);
    text[65536] = 'x';
    text[65537] = '\0';
    r.text = text;
    assert_int_equal(call("Store", &r.base), AISYS_INVALID_ARGUMENT);
    free(text);
}

static void test_duplicates_are_named(void **state)
{
    const Aisys__Memory__StoreReply *reply;

    (void)state;
    store("The spare key is in the blue drawer");
    store("Something else");
    store("the SPARE keys: is in the blue drawer!");
    reply = REPLY(StoreReply);
    assert_string_equal(reply->id, "3"); /* always creates */
    assert_int_equal(reply->n_duplicates, 1);
    assert_string_equal(reply->duplicates[0], "1");
}

static void test_same_request_id_gets_the_first_answer(void **state)
{
    Aisys__Memory__StoreRequest r = AISYS__MEMORY__STORE_REQUEST__INIT;
    Aisys__Memory__SupersedeRequest s = AISYS__MEMORY__SUPERSEDE_REQUEST__INIT;

    (void)state;
    store("same words");
    r.request_id = s.request_id = (char *)"abc";
    for (unsigned round = 0; round < 3; round++) {
        assert_string_equal(store_full(&r, "same words"), "2");
        assert_int_equal(REPLY(StoreReply)->n_duplicates, 1);
        assert_string_equal(REPLY(StoreReply)->duplicates[0], "1");
        if (round == 1)
            reopen();
    }
    s.id = (char *)"1";
    s.text = (char *)"other words";
    for (unsigned round = 0; round < 2; round++) {
        char id[8];

        assert_int_equal(call("Supersede", &s.base), AISYS_OK);
        strcpy(id, REPLY(SupersedeReply)->id);
        assert_int_equal(get(id), AISYS_OK);
        assert_string_equal(REPLY(GetReply)->memory->supersedes, "1");
    }
    s.request_id = (char *)"another";
    assert_int_equal(call("Supersede", &s.base), AISYS_FAILED_PRECONDITION);
    s.request_id = NULL;
    assert_int_equal(call("Supersede", &s.base), AISYS_FAILED_PRECONDITION);
    s.id = (char *)"77";
    assert_int_equal(call("Supersede", &s.base), AISYS_NOT_FOUND);
}

static void test_superseded_stays_readable(void **state)
{
    Aisys__Memory__SupersedeRequest s = AISYS__MEMORY__SUPERSEDE_REQUEST__INIT;
    Aisys__Memory__SearchRequest r = AISYS__MEMORY__SEARCH_REQUEST__INIT;

    (void)state;
    store("The key is in the blue drawer");
    s.id = (char *)"1";
    s.text = (char *)"The key is in the red drawer";
    assert_int_equal(call("Supersede", &s.base), AISYS_OK);
    for (unsigned round = 0; round < 2; round++) {
        assert_string_equal(search("key drawer"), "2");
        r.has_include_superseded = r.include_superseded = true;
        assert_string_equal(search_full(&r, "blue key drawer"), "1 2");
        assert_int_equal(get("1"), AISYS_OK);
        assert_string_equal(REPLY(GetReply)->memory->superseded_by, "2");
        reopen();
    }
}

static void test_filters(void **state)
{
    Aisys__Memory__SearchRequest r = AISYS__MEMORY__SEARCH_REQUEST__INIT;
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;
    Aisys__Memory__Record__Kind kinds[] = { AISYS__MEMORY__RECORD__KIND__EPISODIC };
    char *red[] = { (char *)"red", (char *)"round" };

    (void)state;
    store("green apple");
    s.tags = red;
    s.n_tags = 2;
    s.has_kind = true;
    s.kind = kinds[0];
    s.has_event_time = true;
    s.event_time = 1000;
    store_full(&s, "red apple");
    s.n_tags = 1;
    s.session = (char *)"s";
    s.event_time = 2000;
    store_full(&s, "red apple, sour");
    r.tags = red;
    r.n_tags = 2;
    assert_string_equal(search_full(&r, "apple"), "2");
    r.n_tags = 0;
    r.kind = kinds;
    r.n_kind = 1;
    assert_string_equal(search_full(&r, ""), "3 2");
    r.session = (char *)"s";
    assert_string_equal(search_full(&r, "apple"), "3");
    r.session = NULL;
    r.has_until = true;
    r.until = 2000;
    assert_string_equal(search_full(&r, "apple"), "2");
    r.has_since = true;
    r.since = 1001;
    assert_string_equal(search_full(&r, "apple"), "");
    r.n_kind = 0;
    r.has_since = r.has_until = false;
    r.has_k = true;
    r.k = 1;
    assert_string_equal(search_full(&r, ""), "1");
    r.has_mode = true;
    r.mode = AISYS__MEMORY__SEARCH_REQUEST__MODE__VECTOR;
    assert_string_equal(search_full(&r, "gren apples"), "1");
    r.mode = AISYS__MEMORY__SEARCH_REQUEST__MODE__TEXT;
    assert_string_equal(search_full(&r, "gren"), "");
}

static void test_relations(void **state)
{
    Aisys__Memory__RelateRequest r = AISYS__MEMORY__RELATE_REQUEST__INIT;
    const Aisys__Memory__Record *memory;

    (void)state;
    store("one");
    store("two");
    r.from = (char *)"1";
    r.to = (char *)"2";
    r.type = (char *)"causes";
    r.has_weight = true;
    r.weight = 0.25;
    assert_int_equal(call("Relate", &r.base), AISYS_OK);
    r.weight = 0.5;
    assert_int_equal(call("Relate", &r.base), AISYS_OK); /* again: the weight */
    r.type = (char *)"about";
    assert_int_equal(call("Relate", &r.base), AISYS_OK);
    assert_int_equal(get("1"), AISYS_OK);
    memory = REPLY(GetReply)->memory;
    assert_int_equal(memory->n_relations, 2);
    assert_string_equal(memory->relations[1]->type, "causes");
    assert_string_equal(memory->relations[1]->to, "2");
    assert_true(memory->relations[1]->weight == 0.5);
    r.to = (char *)"3";
    assert_int_equal(call("Relate", &r.base), AISYS_NOT_FOUND);
    r.to = (char *)"2";
    r.weight = 1.5;
    assert_int_equal(call("Relate", &r.base), AISYS_INVALID_ARGUMENT);
}

static void on_disk_done(struct aisys_db_request *request)
{
    request->token = 1;
}

static void on_disk(const char *sql)
{
    char path[128];
    const struct aisys_db_options options = {
        .path = path, .migrations = memory_migrations, .n_migrations = memory_n_migrations
    };
    const struct aisys_db_stmt stmt = { .sql = sql };
    struct aisys_sqlite_error error;
    struct aisys_db_request *request;
    struct aisys_sqlite *file;

    snprintf(path, sizeof(path), "%s/memory.db", db.dir);
    assert_int_equal(aisys_sqlite_open(&options, &file, &error), 0);
    assert_int_equal(aisys_db_request_new(AISYS_DB_WRITE, &stmt, 1, &request), 0);
    request->done = on_disk_done;
    aisys_sqlite_submit(file, request);
    assert_false(aisys_sqlite_turn(file));
    assert_int_equal(request->result.code, AISYS_OK);
    aisys_db_request_free(request);
    aisys_sqlite_close(file);
}

/* Vectors of another embedder are made again from the texts, once. */
static void test_vectors_are_made_again(void **state)
{
    Aisys__Memory__SearchRequest r = AISYS__MEMORY__SEARCH_REQUEST__INIT;
    char text[32];

    (void)state;
    r.has_mode = true;
    r.mode = AISYS__MEMORY__SEARCH_REQUEST__MODE__VECTOR;
    for (unsigned i = 1; i <= 250; i++) {
        snprintf(text, sizeof(text), "number %u", i);
        store(i == 222 ? "wonderful umbrella" : text);
    }
    on_disk("UPDATE memory_meta SET value = 'another'");
    on_disk("UPDATE memory_row SET vector = zeroblob(256)");
    for (unsigned round = 0; round < 2; round++) {
        reopen();
        assert_int_equal(strstr(stage.fake.log, "made_again") != NULL, round == 0);
        assert_string_equal(search_full(&r, "umbrela"), "222");
    }
}

/* ---- Forget and Consolidate ------------------------------------------------------------------ */

static void test_forget(void **state)
{
    Aisys__Memory__ForgetRequest f = AISYS__MEMORY__FORGET_REQUEST__INIT;
    Aisys__Memory__ForgetRequest__Filter filter = AISYS__MEMORY__FORGET_REQUEST__FILTER__INIT;
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;
    char *ids[] = { (char *)"1", (char *)"9999" };

    (void)state;
    s.session = (char *)"s";
    for (unsigned i = 0; i < 600; i++)
        store_full(&s, "say cheese");
    store("say nothing");
    assert_int_equal(call("Forget", &f.base), AISYS_INVALID_ARGUMENT); /* neither */
    f.id = ids;
    f.n_id = 2;
    assert_int_equal(call("Forget", &f.base), AISYS_NOT_FOUND); /* then nothing is */
    assert_int_equal(get("1"), AISYS_OK);
    f.n_id = 1;
    assert_int_equal(call("Forget", &f.base), AISYS_OK);
    assert_int_equal(REPLY(ForgetReply)->count, 1);
    assert_int_equal(get("1"), AISYS_NOT_FOUND);

    f.filter = &filter;
    assert_int_equal(call("Forget", &f.base), AISYS_INVALID_ARGUMENT); /* both */
    f.n_id = 0;
    assert_int_equal(call("Forget", &f.base), AISYS_INVALID_ARGUMENT); /* all would be a mistake */
    filter.session = (char *)"s";
    f.has_dry_run = f.dry_run = true;
    assert_int_equal(call("Forget", &f.base), AISYS_OK);
    assert_int_equal(REPLY(ForgetReply)->count, 599);
    assert_int_equal(get("2"), AISYS_OK);
    f.dry_run = false;
    assert_int_equal(call("Forget", &f.base), AISYS_OK);
    assert_int_equal(REPLY(ForgetReply)->count, 599);
    assert_int_equal(REPLY(ForgetReply)->n_ids, 599);
    assert_string_equal(search("say cheese"), "601");
    reopen();
    assert_string_equal(search("say cheese"), "601");
    assert_string_equal(store("new"), "602"); /* no id is given twice */
}

static void consolidate(bool dry, unsigned expired, unsigned promoted, unsigned decayed)
{
    Aisys__Memory__ConsolidateRequest c = AISYS__MEMORY__CONSOLIDATE_REQUEST__INIT;
    const Aisys__Memory__ConsolidateReply *reply;

    c.has_dry_run = true;
    c.dry_run = dry;
    assert_int_equal(call("Consolidate", &c.base), AISYS_OK);
    reply = REPLY(ConsolidateReply);
    assert_int_equal(reply->expired, expired);
    assert_int_equal(reply->promoted, promoted);
    assert_int_equal(reply->decayed, decayed);
}

static void test_consolidate(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;

    (void)state;
    store("used often");
    store("never used");
    s.has_ttl_ms = true;
    s.ttl_ms = DAY_MS;
    store_full(&s, "for a day");
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(get("1"), AISYS_OK);
    consolidate(true, 0, 1, 0);
    consolidate(false, 0, 1, 0);
    consolidate(false, 0, 0, 0);
    reopen(); /* tiers were saved */
    assert_int_equal(get("1"), AISYS_OK);
    assert_int_equal(REPLY(GetReply)->memory->tier, AISYS__MEMORY__RECORD__TIER__MEDIUM);
    assert_int_equal(get("3"), AISYS_OK);

    stage.fake.now_ms += DAY_MS;
    fake_db_pump(&db); /* the timer forgets what has expired */
    assert_int_equal(get("3"), AISYS_NOT_FOUND);
    assert_string_equal(search("day"), "");
    stage.fake.now_ms += (uint64_t)100 * DAY_MS;
    fake_db_pump(&db);
    assert_int_equal(get("1"), AISYS_OK);
    assert_int_equal(
        REPLY(GetReply)->memory->tier, AISYS__MEMORY__RECORD__TIER__SHORT); /* decayed */
}

static void test_expired_is_gone_at_once(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;
    Aisys__Memory__SupersedeRequest again = AISYS__MEMORY__SUPERSEDE_REQUEST__INIT;
    Aisys__Memory__RelateRequest relate = AISYS__MEMORY__RELATE_REQUEST__INIT;

    (void)state;
    s.has_ttl_ms = true;
    s.ttl_ms = 1000;
    store_full(&s, "soon gone");
    assert_string_equal(search("gone"), "1");
    stage.fake.now_ms += 1000;
    assert_string_equal(search("gone"), "");
    assert_string_equal(search(""), "");
    assert_int_equal(get("1"), AISYS_NOT_FOUND);
    store("stays");
    again.id = relate.to = (char *)(uintptr_t) "1";
    again.text = (char *)(uintptr_t) "back again";
    assert_int_equal(call("Supersede", &again.base), AISYS_NOT_FOUND);
    relate.from = (char *)(uintptr_t) "2";
    relate.type = (char *)(uintptr_t) "after";
    assert_int_equal(call("Relate", &relate.base), AISYS_NOT_FOUND);
}

static uint64_t stats_bytes(void)
{
    Aisys__Memory__StatsRequest r = AISYS__MEMORY__STATS_REQUEST__INIT;

    assert_int_equal(call("Stats", &r.base), AISYS_OK);
    return REPLY(StatsReply)->bytes;
}

/* What was forgotten takes no memory, and what stays is found as before. */
static void test_forgotten_gives_its_memory_back(void **state)
{
    enum { ROUNDS = 6, EACH = 1500 };
    Aisys__Memory__SearchRequest vectors = AISYS__MEMORY__SEARCH_REQUEST__INIT;
    uint64_t bytes = 0;
    char text[64];

    (void)state;
    vectors.has_mode = vectors.has_k = true;
    vectors.mode = AISYS__MEMORY__SEARCH_REQUEST__MODE__VECTOR;
    vectors.k = 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;

        s.has_ttl_ms = true;
        s.ttl_ms = 1000;
        for (unsigned i = 0; i < EACH; i++) {
            snprintf(text, sizeof(text), "passing %u", i);
            store_full(&s, text);
        }
        snprintf(text, sizeof(text), "the %s drawer", round % 2 == 0 ? "blue" : "red");
        store(text);
        stage.fake.now_ms += 1000;
        consolidate(false, EACH, 0, 0);
        bytes = round == 0 ? stats_bytes() : bytes;
    }
    assert_true(stats_bytes() < bytes + 512 * 1024); /* 9000 slots are 3 MiB */
    for (unsigned round = 0; round < 2; round++) {
        assert_string_equal(search(""), "9006 7505 6004 4503 3002 1501");
        assert_string_equal(search("red"), "9006 6004 3002");
        assert_string_equal(search_full(&vectors, "the blue drawer"), "7505");
        assert_int_equal(get("1501"), AISYS_OK);
        assert_int_equal(get("1502"), AISYS_NOT_FOUND);
        reopen();
    }
}

/* Rows stay where they are while a search knows their slots. */
static void test_slots_stay_while_they_are_known(void **state)
{
    struct memory_state m = { .heap = memory_heap_take((struct aisys_id){ 0 }) };
    const int8_t vector[MEMORY_VECTOR_BYTES] = { 0 };
    struct memory_work *search_work, *store_work;

    (void)state;
    assert_non_null(m.heap);
    for (int64_t id = 1; id <= 3000; id++)
        memory_rows_append(m.heap->rows, &(struct memory_row){ .id = id }, NULL, vector);
    for (uint32_t slot = 0; slot < 2999; slot++)
        memory_rows_kill(m.heap->rows, slot);
    search_work = memory_work_new(&m, 0);
    search_work->search = calloc(1, sizeof(*search_work->search));
    store_work = memory_work_new(&m, 0);
    memory_work_end(&m, store_work);
    assert_int_equal(memory_rows_find(m.heap->rows, 3000), 2999);
    memory_work_end(&m, search_work);
    assert_int_equal(memory_rows_find(m.heap->rows, 3000), 0);
    assert_int_equal(memory_rows_count(m.heap->rows), 1);
    memory_heap_give((struct aisys_id){ 0 });
}

/* The work that the timer begins never takes the place of the next timer. */
static void test_timer_in_a_small_mailbox(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;
    Aisys__Memory__GetRequest g = AISYS__MEMORY__GET_REQUEST__INIT;
    Aisys__Memory__StatsRequest all = AISYS__MEMORY__STATS_REQUEST__INIT;

    (void)state;
    mailbox_messages = 2; /* one of which the timer holds */
    config.consolidate_every_s = 1;
    reopen();
    s.has_ttl_ms = true;
    s.ttl_ms = 100;
    store_full(&s, "gone at the first round");
    s.ttl_ms = 1500;
    store_full(&s, "gone at the second");
    store("stays");
    g.id = (char *)(uintptr_t) "3";
    stage_begin(&stage, "memory", "Get", &g.base);
    fake_env_settle(&stage.fake); /* what Get reads holds the other one */
    fake_env_pass(&stage.fake, 1000);
    fake_db_pump(&db);
    assert_true(stage.ended);
    fake_env_pass(&stage.fake, 1000);
    fake_db_pump(&db);
    assert_int_equal(call("Stats", &all.base), AISYS_OK);
    assert_int_equal(REPLY(StatsReply)->count, 1);
}

static void test_stats(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;
    Aisys__Memory__StatsRequest r = AISYS__MEMORY__STATS_REQUEST__INIT;
    const Aisys__Memory__StatsReply *reply;

    (void)state;
    store("one");
    s.has_kind = true;
    s.kind = AISYS__MEMORY__RECORD__KIND__KNOWLEDGE;
    store_full(&s, "two");
    store_full(&s, "three");
    assert_int_equal(call("Stats", &r.base), AISYS_OK);
    reply = REPLY(StatsReply);
    assert_int_equal(reply->count, 3);
    assert_int_equal(reply->n_rows, 2);
    assert_int_equal(reply->rows[1]->count, 2);
    assert_string_equal(reply->backend, "sqlite");
    assert_true(reply->bytes > 100000);
}

/* ---- When things go wrong --------------------------------------------------------------------- */

static void test_full_disk_changes_nothing(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;
    struct aisys_health health;
    const struct aisys_id id = aisys_core_lookup(stage.core, "memory");

    (void)state;
    store("one");
    db.fail_writes = 1;
    db.fail_code = AISYS_RESOURCE_EXHAUSTED;
    db.fail_words = "disk full: nothing was written";
    s.text = (char *)"two";
    assert_int_equal(call("Store", &s.base), AISYS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(stage.words, "disk full"));
    aisys_core_health(stage.core, id, &health);
    assert_int_equal(health.status, AISYS_DEGRADED);
    assert_string_equal(search(""), "1");
    assert_int_not_equal(call("Store", &s.base), AISYS_RESOURCE_EXHAUSTED);
    aisys_core_health(stage.core, id, &health);
    assert_int_equal(health.status, AISYS_HEALTHY);
}

static void test_too_many(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;

    (void)state;
    shut(false);
    config.memories_max = 2;
    open_in(NULL);
    store("one");
    store("two");
    s.text = (char *)"three";
    assert_int_equal(call("Store", &s.base), AISYS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(stage.words, "memories_max"));
}

/* An answer means that it is on the disk: none before the commit, and late ones harm nobody. */
static void test_answers_wait_for_the_commit(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;

    (void)state;
    s.text = (char *)"one";
    stage.deadline_ms = 100;
    db.hold_writes = true;
    stage_begin(&stage, "memory", "Store", &s.base);
    fake_db_pump(&db);
    assert_false(stage.ended);
    fake_env_pass(&stage.fake, 101);
    assert_true(stage.ended);
    assert_int_equal(stage.code, AISYS_DEADLINE_EXCEEDED);
    db.hold_writes = false;
    fake_db_pump(&db);
    assert_string_equal(search("one"), "1"); /* it was stored all the same */
}

static void test_stops_with_work_open(void **state)
{
    Aisys__Memory__StoreRequest s = AISYS__MEMORY__STORE_REQUEST__INIT;

    (void)state;
    s.text = (char *)"one";
    stage_begin(&stage, "memory", "Store", &s.base);
    fake_env_settle(&stage.fake); /* it waits for the commit */
    reopen();
    assert_string_equal(search("one"), "1");
}

static void test_damaged_database(void **state)
{
    struct aisys_health health;
    char path[128], dir[64];
    FILE *f;

    (void)state;
    store("one");
    strcpy(dir, db.dir);
    snprintf(path, sizeof(path), "%s/memory.db", dir);
    shut(true);
    f = fopen(path, "r+");
    fputs("this is not a database any more", f);
    fclose(f);
    open_in(dir);
    fake_env_pass(&stage.fake, 20000);
    fake_db_pump(&db);
    assert_int_equal(aisys_core_down(stage.core), 1);
    aisys_core_health(stage.core, aisys_core_lookup(stage.core, "memory"), &health);
    assert_int_equal(health.status, AISYS_UNHEALTHY);
    assert_non_null(strstr(stage.fake.log, "damaged"));
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_stored_is_found_and_survives),
        CASE(test_bad_requests),
        CASE(test_long_texts),
        CASE(test_duplicates_are_named),
        CASE(test_same_request_id_gets_the_first_answer),
        CASE(test_superseded_stays_readable),
        CASE(test_filters),
        CASE(test_relations),
        CASE(test_vectors_are_made_again),
        CASE(test_forget),
        CASE(test_consolidate),
        CASE(test_expired_is_gone_at_once),
        CASE(test_forgotten_gives_its_memory_back),
        CASE(test_slots_stay_while_they_are_known),
        CASE(test_timer_in_a_small_mailbox),
        CASE(test_stats),
        CASE(test_full_disk_changes_nothing),
        CASE(test_too_many),
        CASE(test_answers_wait_for_the_commit),
        CASE(test_stops_with_work_open),
        CASE(test_damaged_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
