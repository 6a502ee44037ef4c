/* aisys/db.h for real: SQLite files below the node's data directory, on libuv's pool.
 *
 * A database belongs to the actor that opened it and is closed when that stops, after what it wrote has
 * been committed. Writes that arrive while a commit runs are the next one: whoever brought the first of them
 * has the turn that commits them all.
 *
 * Threads: the loop thread, but db_read, which is called on pool threads. */
#ifndef AISYS_NODE_ENV_DB_H
#define AISYS_NODE_ENV_DB_H

#include "core/core.h"
#include "port/uv_port.h"

struct aisys_env_db;

/* Set the db functions of @env, which call back into @env's core as set by attach. @data_dir is borrowed. */
int aisys_env_db_open(struct aisys_uv *uv, struct aisys_env *env, const char *data_dir,
    struct aisys_env_db **ret_dbs);
void aisys_env_db_attach(struct aisys_env_db *dbs, struct aisys_core *core);

/* All actors have stopped and the loop is closed; the core is still there. NULL is fine. */
void aisys_env_db_close(struct aisys_env_db *dbs);

/* Close what @actor has open. */
void aisys_env_db_actor_gone(struct aisys_env_db *dbs, const struct aisys_actor *actor);

#endif
