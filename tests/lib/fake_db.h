/* Databases for a core in a test: real SQLite files in a directory of their own, run when the test says.
 *
 *     fake_db_init(&db, &stage.fake);      after stage_open(), before stage_start()
 *     fake_db_pump(&db);                   opens, commits and jobs, until there is nothing to do
 *     fake_db_deinit(&db);                 after stage_close(); removes the files unless keep is set
 *
 * Threads: one.  Errors: asserted with cmocka. */
#ifndef TESTS_FAKE_DB_H
#define TESTS_FAKE_DB_H

#include "fake_env.h"

#define FAKE_DBS_MAX 8

struct fake_db_write;

struct fake_db {
    struct fake_env *fake;
    char dir[64];
    struct aisys_db *open[FAKE_DBS_MAX];
    struct fake_db_write *first, **last;
    unsigned fail_writes; /* so many writes from now on fail, */
    int fail_code;        /* with this code and */
    const char *fail_words;
    unsigned commits;
    bool hold_writes; /* the pump leaves writes alone */
};

/* In @dir, or in a new directory when it is NULL. */
void fake_db_init(struct fake_db *db, struct fake_env *fake, const char *dir);
void fake_db_deinit(struct fake_db *db, bool keep);

/* Returns whether there was anything to do. */
bool fake_db_pump(struct fake_db *db);

#endif
