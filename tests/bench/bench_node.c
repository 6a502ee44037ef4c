/* A whole node: how long it takes to start, and what it holds when it has nothing to do.
 *
 *     start_ms   from exec of `aisys-runtime --role pc2` on an empty data directory to the answer "healthy" at
 *                its request door. Limit: the same program with --version: exec, linking, exit
 *     rss_kib    proportional set size two seconds after that */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "port/nng_port.h"

#define PATIENCE_MS 20000
#define IDLE_S      2
#define HEALTHY     "healthy"

const char *bench_runtime;

struct bench_node {
    pid_t pid;
    int log;         /* its standard error */
    char text[8192]; /* of it */
    size_t text_bytes;
    char dir[64];
    char url[AISYS_NNG_URL_BYTES];
};

/* ---- Its process ---------------------------------------------------------------------------- */

/* The environment without what would configure the node. NULL: no memory. */
static char **clean_environment(void)
{
    size_t n = 0, kept = 0;
    char **clean;

    while (environ[n])
        n++;
    clean = calloc(n + 1, sizeof(*clean));
    for (size_t i = 0; clean && i < n; i++)
        if (strncmp(environ[i], "AI_", 3) != 0 && strncmp(environ[i], "ENVIRONMENT=", 12) != 0)
            clean[kept++] = environ[i];
    return clean;
}

/* Start the runtime with @argv; *@ret_log reads its standard error, its standard output goes nowhere. */
static int spawn_runtime(char *const argv[], pid_t *ret_pid, int *ret_log)
{
    posix_spawn_file_actions_t actions;
    char **clean = clean_environment();
    int pipe_fds[2], r;

    if (!clean)
        return -ENOMEM;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        free(clean);
        return -errno;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 2);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    r = posix_spawn(ret_pid, bench_runtime, &actions, NULL, argv, clean);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    free(clean);
    if (r != 0) {
        close(pipe_fds[0]);
        return -r;
    }
    *ret_log = pipe_fds[0];
    return 0;
}

/* Seconds from exec to the end of `aisys-runtime --version`. */
static int bare_start(double *ret_seconds)
{
    char name[] = "aisys-runtime", option[] = "--version";
    char *const argv[] = { name, option, NULL };
    const double start = bench_seconds();
    pid_t pid;
    int log, status;
    int r = spawn_runtime(argv, &pid, &log);

    if (r < 0)
        return r;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        r = -EPROTO;
    close(log);
    *ret_seconds = bench_seconds() - start;
    return r;
}

/* ---- Starting and stopping it --------------------------------------------------------------- */

static void remove_files(const char *path)
{
    DIR *dir = opendir(path);
    char inside[512];

    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(inside, sizeof(inside), "%s/%s", path, e->d_name);
        if (unlink(inside) < 0)
            remove_files(inside);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* Read its log until it says where its request door is. */
static int node_await_ready(struct bench_node *node)
{
    const double end = bench_seconds() + PATIENCE_MS / 1e3;

    for (;;) {
        struct pollfd p = { node->log, POLLIN, 0 };
        const char *ready, *at;
        ssize_t n;

        if (bench_seconds() > end || poll(&p, 1, PATIENCE_MS) <= 0)
            return -ETIMEDOUT;
        n = read(
            node->log, node->text + node->text_bytes, sizeof(node->text) - 1 - node->text_bytes);
        if (n <= 0) {
            fprintf(stderr, "aisys-runtime did not start:\n%s", node->text);
            return -EPROTO;
        }
        node->text_bytes += (size_t)n;
        node->text[node->text_bytes] = '\0';
        ready = strstr(node->text, " ready ");
        at = ready ? strstr(ready, " request=") : NULL;
        if (at && strchr(at, '\n')) {
            snprintf(node->url, sizeof(node->url), "%.*s",
                (int)strcspn(at + strlen(" request="), " \n"), at + strlen(" request="));
            return 0;
        }
    }
}

static int node_await_healthy(const struct bench_node *node)
{
    const double end = bench_seconds() + PATIENCE_MS / 1e3;

    while (bench_seconds() < end) {
        void *answer;
        size_t bytes;
        const int r = aisys_nng_request(
            node->url, "health_check", strlen("health_check"), PATIENCE_MS, &answer, &bytes);
        bool healthy;

        if (r < 0)
            return r;
        healthy = bytes == strlen(HEALTHY) && memcmp(answer, HEALTHY, bytes) == 0;
        free(answer);
        if (healthy)
            return 0;
    }
    return -ETIMEDOUT;
}

/* Read its log to the end, which is its own; false: it does not end. */
static bool node_await_end(struct bench_node *node)
{
    struct pollfd p = { node->log, POLLIN, 0 };

    while (poll(&p, 1, PATIENCE_MS) > 0) {
        const size_t room = sizeof(node->text) - 1 - node->text_bytes;
        char rest[512];
        const ssize_t n = read(
            node->log, room ? node->text + node->text_bytes : rest, room ? room : sizeof(rest));

        if (n <= 0)
            return true;
        node->text_bytes += room ? (size_t)n : 0;
    }
    return false;
}

/* Returns 0, or -EPROTO when it did not stop as it should: then its log is on standard error. */
static int node_stop(struct bench_node *node)
{
    int status = 0;

    if (node->pid > 0) {
        kill(node->pid, SIGTERM);
        if (!node_await_end(node))
            kill(node->pid, SIGKILL);
        waitpid(node->pid, &status, 0);
        close(node->log);
        if (status != 0)
            fprintf(stderr, "aisys-runtime did not stop well (wait status %d):\n%.*s", status,
                (int)node->text_bytes, node->text);
    }
    remove_files(node->dir);
    return status == 0 ? 0 : -EPROTO;
}

/* Start it; seconds until it is healthy. */
static int node_start(struct bench_node *node, double *ret_seconds)
{
    char data_dir[96];
    char name[] = "aisys-runtime", role[] = "--role", pc2[] = "pc2", set[] = "--set";
    char request[] = "network.request_port=0", http[] = "network.port=0";
    char events[] = "network.events_port=0", metrics[] = "monitoring.port=0";
    char *const argv[] = { name, role, pc2, set, data_dir, set, request, set, http, set, events,
        set, metrics, NULL };
    double start;
    int r;

    memset(node, 0, sizeof(*node));
    snprintf(node->dir, sizeof(node->dir), "/tmp/aisys-bench.XXXXXX");
    if (!mkdtemp(node->dir))
        return -errno;
    snprintf(data_dir, sizeof(data_dir), "data.dir=%s", node->dir);
    start = bench_seconds();
    r = spawn_runtime(argv, &node->pid, &node->log);
    if (r == 0)
        r = node_await_ready(node);
    if (r == 0)
        r = node_await_healthy(node);
    *ret_seconds = bench_seconds() - start;
    if (r < 0)
        node_stop(node);
    return r;
}

/* 0; BENCH_SKIPPED when there is no runtime. NNG starts its threads now, not while time is taken. */
static int set_up(void)
{
    void *answer;
    size_t bytes;

    if (!bench_runtime) {
        fprintf(stderr, "no aisys-runtime beside this program: its benchmarks are left out\n");
        return BENCH_SKIPPED;
    }
    if (aisys_nng_request("ipc:///nonexistent", "", 0, 1000, &answer, &bytes) == 0)
        free(answer);
    return 0;
}

/* ---- The figures ---------------------------------------------------------------------------- */

static int measure_start(double *ret_figure, double *ret_limit)
{
    static struct bench_node node;
    double seconds;
    int r = set_up();

    if (r == 0)
        r = node_start(&node, &seconds);
    if (r != 0)
        return r;
    *ret_figure = seconds * 1e3;
    r = node_stop(&node);
    if (r == 0)
        r = bare_start(&seconds);
    *ret_limit = seconds * 1e3;
    return r;
}

static int read_pss(pid_t pid, double *ret_kib)
{
    char path[64], line[256];
    FILE *file;
    int r = -EPROTO;

    snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", (long)pid);
    file = fopen(path, "r");
    if (!file)
        return -errno;
    while (r < 0 && fgets(line, sizeof(line), file))
        if (sscanf(line, "Pss: %lf kB", ret_kib) == 1)
            r = 0;
    fclose(file);
    return r;
}

static int measure_rss(double *ret_figure, double *ret_limit)
{
    static struct bench_node node;
    double seconds;
    int r = set_up();

    if (r == 0)
        r = node_start(&node, &seconds);
    if (r != 0)
        return r;
    nanosleep(&(struct timespec){ IDLE_S, 0 }, NULL);
    r = read_pss(node.pid, ret_figure);
    *ret_limit = 0;
    return node_stop(&node) < 0 ? -EPROTO : r;
}

const struct bench bench_node_group[] = {
    { "start_ms", "ms", measure_start, 11 },
    { "rss_kib", "KiB", measure_rss, 3 },
    { 0 },
};
