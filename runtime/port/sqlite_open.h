/* Opening a database file. Inside of port/sqlite_*.c only. */
#ifndef AISYS_PORT_SQLITE_OPEN_H
#define AISYS_PORT_SQLITE_OPEN_H

#include "port/sqlite_conn.h"
#include "port/sqlite_port.h"

#include <sys/types.h>

/* Look at the file before the library does; create it empty when missing. 0, or -EIO with @ret_error:
 * it is not a database, or newer than @options' migrations. */
int aisys_sqlite_look(
    const struct aisys_db_options *options, off_t *ret_bytes, struct aisys_sqlite_error *ret_error);

/* Open the writing connection to the file of @bytes, check it, turn on WAL and migrate. As above. */
int aisys_sqlite_prepare_file(struct aisys_sqlite_conn *conn,
    const struct aisys_db_options *options, off_t bytes, struct aisys_sqlite_error *ret_error);

#endif
