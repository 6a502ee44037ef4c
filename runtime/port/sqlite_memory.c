/* The library's memory, charged to the database it works for.
 *
 * Every allocation carries a header with its size and the account that paid. Accounts are places in
 * a table that is never freed, so that an allocation may outlive its database (the library keeps some);
 * a place is given away again only when all that it paid for has come back. */
#include "port/sqlite_conn.h"

#include <sqlite3.h>
#include <stdlib.h>

#define ACCOUNTS 64

struct memory_account {
    _Atomic int64_t bytes;
    atomic_bool taken;
};

struct memory_header {
    _Atomic int64_t *account;
    size_t bytes;
};

_Static_assert(sizeof(struct memory_header) == 16, "keeps the alignment of malloc");

/* The last one pays for what no database asked for. */
static struct memory_account memory_accounts[ACCOUNTS + 1];
static _Thread_local _Atomic int64_t *memory_payer;

static void *memory_malloc(int bytes)
{
    struct memory_header *h = malloc(sizeof(*h) + (size_t)bytes);

    if (h == NULL)
        return NULL;
    h->account = memory_payer != NULL ? memory_payer : &memory_accounts[ACCOUNTS].bytes;
    h->bytes = (size_t)bytes;
    atomic_fetch_add_explicit(h->account, bytes, memory_order_relaxed);
    return h + 1;
}

static void memory_free(void *p)
{
    struct memory_header *h = (struct memory_header *)p - 1;

    atomic_fetch_sub_explicit(h->account, (int64_t)h->bytes, memory_order_relaxed);
    free(h);
}

static void *memory_realloc(void *p, int bytes)
{
    struct memory_header *h;

    h = realloc((struct memory_header *)p - 1, sizeof(*h) + (size_t)bytes);
    if (h == NULL)
        return NULL; /* SQLite keeps @p */
    atomic_fetch_add_explicit(h->account, bytes - (int64_t)h->bytes, memory_order_relaxed);
    h->bytes = (size_t)bytes;
    return h + 1;
}

static int memory_size(void *p)
{
    return p == NULL ? 0 : (int)((struct memory_header *)p - 1)->bytes;
}

static int memory_roundup(int bytes)
{
    return (bytes + 7) & ~7;
}

static int memory_init(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}

static void memory_shutdown(void *unused)
{
    (void)unused;
}

/* Before main: sqlite3_config() works only until the first use of the library, whoever's it is. */
__attribute__((constructor)) static void memory_install(void)
{
    static const sqlite3_mem_methods methods = {
        .xMalloc = memory_malloc,
        .xFree = memory_free,
        .xRealloc = memory_realloc,
        .xSize = memory_size,
        .xRoundup = memory_roundup,
        .xInit = memory_init,
        .xShutdown = memory_shutdown,
    };

    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
}

_Atomic int64_t *aisys_sqlite_account_new(void)
{
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        bool taken = false;

        if (atomic_load(&memory_accounts[i].bytes) == 0 &&
            atomic_compare_exchange_strong(&memory_accounts[i].taken, &taken, true))
            return &memory_accounts[i].bytes;
    }
    return NULL;
}

void aisys_sqlite_account_free(_Atomic int64_t *account)
{
    if (account != NULL)
        atomic_store(&((struct memory_account *)(void *)account)->taken, false);
}

_Atomic int64_t *aisys_sqlite_charge(_Atomic int64_t *account)
{
    _Atomic int64_t *before = memory_payer;

    memory_payer = account;
    return before;
}
