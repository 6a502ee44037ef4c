#include "memory/index.h"

/* What was released never changes: a change is a new string at the end. */
const char *const memory_migrations[] = {
    /* 1 */
    "CREATE TABLE memory("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT," /* never given twice, also after Forget */
    "  text TEXT NOT NULL, words TEXT NOT NULL, date TEXT NOT NULL,"
    "  session TEXT, source TEXT, created_ms INTEGER NOT NULL);"
    "CREATE INDEX memory_session ON memory(session, id) WHERE session IS NOT NULL;"
    "CREATE TABLE memory_row("
    "  id INTEGER PRIMARY KEY REFERENCES memory(id),"
    "  kind INTEGER NOT NULL, tier INTEGER NOT NULL, tier_ms INTEGER NOT NULL,"
    "  event_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, importance REAL NOT NULL,"
    "  simhash INTEGER NOT NULL, normal INTEGER NOT NULL, session INTEGER NOT NULL,"
    "  hits INTEGER NOT NULL, used_ms INTEGER NOT NULL,"
    "  supersedes INTEGER NOT NULL, superseded_by INTEGER NOT NULL,"
    "  tags TEXT NOT NULL, vector BLOB NOT NULL);"
    "CREATE TABLE memory_link("
    "  from_id INTEGER NOT NULL, type TEXT NOT NULL, to_id INTEGER NOT NULL, weight REAL NOT NULL,"
    "  PRIMARY KEY(from_id, type, to_id)) WITHOUT ROWID;"
    "CREATE INDEX memory_link_to ON memory_link(to_id);"
    "CREATE TABLE memory_request("
    "  request TEXT PRIMARY KEY, id INTEGER NOT NULL, duplicates TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX memory_request_created ON memory_request(created_ms);"
    "CREATE VIRTUAL TABLE memory_fts USING fts5(words, before, after, date, content='', "
    "columnsize=0, tokenize='ascii');"
    "CREATE VIRTUAL TABLE memory_vocab USING fts5vocab(memory_fts, row);"
    /* The fields of a record as they are in memory_fts. */
    "CREATE VIEW memory_doc(id, words, before, after, date) AS"
    "  SELECT m.id, m.words,"
    "    ifnull((SELECT p.words FROM memory p WHERE p.session = m.session AND p.id < m.id"
    "            ORDER BY p.id DESC LIMIT 1), '') || ' ' ||"
    "    ifnull((SELECT p.words FROM memory p WHERE p.session = m.session AND p.id < m.id"
    "            ORDER BY p.id DESC LIMIT 1 OFFSET 1), ''),"
    "    ifnull((SELECT p.words FROM memory p WHERE p.session = m.session AND p.id > m.id"
    "            ORDER BY p.id LIMIT 1), ''),"
    "    m.date"
    "  FROM memory m;",
    /* 2: which embedder made the vectors */
    "CREATE TABLE memory_meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT INTO memory_meta(name, value) VALUES('embedder', 'lexical-1');",
};

const unsigned memory_n_migrations = sizeof(memory_migrations) / sizeof(memory_migrations[0]);
