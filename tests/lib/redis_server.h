/* A real redis-server for a test: a child process on an ephemeral loopback port and on a Unix socket, in a
 * directory of its own, without persistence. It dies with the test, however the test ends.
 *
 * Starting waits for the server's own word that it is ready, and for nothing else.
 * Errors: 0 or negative errno; -ENOENT means that no redis-server is installed. */
#ifndef TESTS_REDIS_SERVER_H
#define TESTS_REDIS_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: not running */
    int log_fd;
    uint16_t port;              /* 0: chosen at the first start, kept afterwards */
    const char *password;       /* NULL: none; borrowed */
    const char *const *options; /* more arguments, ended by NULL, or NULL; borrowed */
    char dir[64];
    char socket_path[96];
};

/* Starts it, the first time or again after a kill (same port). Zero it, set password and options. */
int redis_server_start(struct redis_server *server);
/* SIGKILL; returns when it is gone. Accepts one that is not running. */
void redis_server_kill(struct redis_server *server);
/* SIGSTOP and SIGCONT: alive, and silent in between. */
void redis_server_pause(const struct redis_server *server);
void redis_server_resume(const struct redis_server *server);
/* Kills it and removes its directory. */
void redis_server_stop(struct redis_server *server);

#endif
