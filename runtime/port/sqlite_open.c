/* Opening a database file: is it ours, whole and not newer than we are? Then migrate it.
 *
 * What can be seen in the file's first 100 bytes is looked at before the library opens the file, so
 * that a file we refuse is not touched in any way. */
#include "port/sqlite_open.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES    100
#define AT_USER_VERSION 60
#define CHECK_BYTES_MAX (64u << 20)

static int open_refuse(struct aisys_sqlite_error *ret_error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int open_refuse(struct aisys_sqlite_error *ret_error, int code, const char *format, ...)
{
    va_list args;

    ret_error->code = code;
    va_start(args, format);
    vsnprintf(ret_error->message, sizeof(ret_error->message), format, args);
    va_end(args);
    return -EIO;
}

static int open_newer(
    const struct aisys_db_options *options, uint32_t version, struct aisys_sqlite_error *ret_error)
{
    return open_refuse(ret_error, AISYS_FAILED_PRECONDITION,
        "%s: has version %u, written by a newer program; this one knows up to version %u. The file "
        "was left as it is",
        options->path, version, options->n_migrations);
}

static int open_corrupt(const char *path, const char *words, struct aisys_sqlite_error *ret_error)
{
    return open_refuse(ret_error, AISYS_DATA_LOSS,
        "%s: damaged (%s). The file was left as it is: restore a backup or move it away", path,
        words);
}

int aisys_sqlite_look(
    const struct aisys_db_options *options, off_t *ret_bytes, struct aisys_sqlite_error *ret_error)
{
    unsigned char header[HEADER_BYTES];
    struct stat st;
    uint32_t version;
    ssize_t n;
    int fd = open(options->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || fstat(fd, &st) < 0) {
        const int error = errno;

        if (fd >= 0)
            close(fd);
        return open_refuse(ret_error,
            error == ENOSPC || error == EDQUOT ? AISYS_RESOURCE_EXHAUSTED : AISYS_UNAVAILABLE,
            "%s: cannot be opened: %s", options->path, strerror(error));
    }
    n = pread(fd, header, sizeof(header), 0);
    close(fd);
    if (!S_ISREG(st.st_mode))
        return open_refuse(
            ret_error, AISYS_FAILED_PRECONDITION, "%s: not a regular file", options->path);
    *ret_bytes = st.st_size;
    if (st.st_size == 0)
        return 0;
    if (n < HEADER_BYTES || memcmp(header, "SQLite format 3", 16) != 0)
        return open_corrupt(options->path, "not a database file", ret_error);

    version = (uint32_t)header[AT_USER_VERSION] << 24 |
              (uint32_t)header[AT_USER_VERSION + 1] << 16 |
              (uint32_t)header[AT_USER_VERSION + 2] << 8 | header[AT_USER_VERSION + 3];
    return version > options->n_migrations ? open_newer(options, version, ret_error) : 0;
}

/* One number or the first word that @sql returns. */
static int open_ask(sqlite3 *db, const char *sql, int64_t *ret_number, char *ret_text, size_t room)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        if (ret_number != NULL)
            *ret_number = sqlite3_column_int64(stmt, 0);
        if (ret_text != NULL)
            snprintf(ret_text, room, "%s", (const char *)sqlite3_column_text(stmt, 0));
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    return rc;
}

static int open_check(struct aisys_sqlite_conn *conn, const struct aisys_db_options *options,
    off_t bytes, int64_t *ret_version, struct aisys_sqlite_error *ret_error)
{
    const uint64_t check_max =
        options->check_bytes_max != 0 ? options->check_bytes_max : CHECK_BYTES_MAX;
    char words[160] = "ok";
    int64_t tables = 0;
    int rc = open_ask(conn->db, "PRAGMA user_version", ret_version, NULL, 0);

    if (rc == SQLITE_OK) /* reads the schema whatever the size */
        rc = open_ask(conn->db, "SELECT count(*) FROM sqlite_schema", &tables, NULL, 0);
    if (rc == SQLITE_OK && bytes > 0 && (uint64_t)bytes <= check_max)
        rc = open_ask(conn->db, "PRAGMA quick_check(1)", NULL, words, sizeof(words));
    if (aisys_sqlite_code(conn, rc) == AISYS_DATA_LOSS)
        return open_corrupt(options->path, sqlite3_errmsg(conn->db), ret_error);
    if (rc != SQLITE_OK)
        return open_refuse(ret_error, aisys_sqlite_code(conn, rc), "%s: cannot be read: %s",
            options->path, sqlite3_errmsg(conn->db));
    if (strcmp(words, "ok") != 0)
        return open_corrupt(options->path, words, ret_error);
    if (*ret_version < 0 || *ret_version > options->n_migrations)
        return open_newer(options, (uint32_t)*ret_version, ret_error);
    if (*ret_version == 0 && tables > 0)
        return open_refuse(ret_error, AISYS_FAILED_PRECONDITION,
            "%s: holds tables of another program. The file was left as it is", options->path);
    return 0;
}

static int open_migrate_one(
    struct aisys_sqlite_conn *conn, const struct aisys_db_options *options, int64_t version)
{
    char words[64];
    int rc = aisys_sqlite_conn_own(conn, "BEGIN IMMEDIATE");

    if (rc != SQLITE_OK)
        return rc;
    conn->own_words = true;
    rc = sqlite3_exec(conn->db, options->migrations[version], NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        snprintf(words, sizeof(words), "PRAGMA user_version=%lld", (long long)version + 1);
        rc = sqlite3_exec(conn->db, words, NULL, NULL, NULL);
    }
    conn->own_words = false;
    if (rc == SQLITE_OK)
        rc = aisys_sqlite_conn_own(conn, "COMMIT");
    return rc;
}

int aisys_sqlite_prepare_file(struct aisys_sqlite_conn *conn,
    const struct aisys_db_options *options, off_t bytes, struct aisys_sqlite_error *ret_error)
{
    int64_t version = 0;
    char words[200];
    int rc = aisys_sqlite_conn_open(conn, options->path, AISYS_DB_WRITE, options, words);

    if (rc != SQLITE_OK)
        return aisys_sqlite_code(conn, rc) == AISYS_DATA_LOSS
                   ? open_corrupt(options->path, words, ret_error)
                   : open_refuse(ret_error, aisys_sqlite_code(conn, rc), "%s: cannot be opened: %s",
                         options->path, words);

    conn->own_words = true;
    rc = open_check(conn, options, bytes, &version, ret_error);
    conn->own_words = false;
    if (rc < 0) { /* closing would fold a journal into the file */
        sqlite3_db_config(conn->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return rc;
    }

    conn->own_words = true;
    rc = open_ask(conn->db, "PRAGMA journal_mode=WAL", NULL, words, sizeof(words));
    if (rc == SQLITE_OK && strcmp(words, "wal") != 0)
        rc = SQLITE_CANTOPEN;
    if (rc == SQLITE_OK && options->pages_max != 0) {
        snprintf(words, sizeof(words), "PRAGMA max_page_count=%u", options->pages_max);
        rc = open_ask(conn->db, words, NULL, NULL, 0);
    }
    if (rc == SQLITE_OK) /* a checkpoint every 16 MiB of journal, which then shrinks again */
        rc = sqlite3_exec(conn->db,
            "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864", NULL, NULL, NULL);
    conn->own_words = false;
    while (rc == SQLITE_OK && version < options->n_migrations) {
        rc = open_migrate_one(conn, options, version);
        version += rc == SQLITE_OK;
    }
    if (rc != SQLITE_OK)
        return open_refuse(ret_error, aisys_sqlite_code(conn, rc),
            "%s: migration to version %lld: %s", options->path, (long long)version + 1,
            sqlite3_errmsg(conn->db));
    return 0;
}
