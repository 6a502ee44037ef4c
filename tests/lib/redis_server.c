#include "redis_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 48
#define TRIES         20 /* somebody else may take the port between choosing and binding */

/* A port that is free now. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        address.sin_port = 0;
    if (fd >= 0)
        close(fd);
    return ntohs(address.sin_port);
}

static void server_exec(const struct redis_server *server, int log_fd)
{
    const char *arguments[ARGUMENTS_MAX] = { "redis-server", "--bind", "127.0.0.1", "--port", NULL,
        "--unixsocket", server->socket_path, "--dir", server->dir, "--save", "", "--appendonly",
        "no", "--daemonize", "no" };
    size_t n = 15;
    char port[8];

    snprintf(port, sizeof(port), "%u", server->port);
    arguments[4] = port;
    if (server->password) {
        arguments[n++] = "--requirepass";
        arguments[n++] = server->password;
    }
    for (size_t i = 0; server->options && server->options[i] && n < ARGUMENTS_MAX - 1; i++)
        arguments[n++] = server->options[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execvp(arguments[0], (char *const *)arguments);
    _exit(127);
}

/* Reads the log until the server says that it is ready. */
static int server_wait(const struct redis_server *server)
{
    char log[8192];
    size_t used = 0;

    while (used < sizeof(log) - 1) {
        const ssize_t n = read(server->log_fd, log + used, sizeof(log) - 1 - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO; /* it ended: the port was taken, perhaps */
        used += (size_t)n;
        log[used] = '\0';
        /* the last thing it says; it listens on both by then */
        if (strstr(log, "The server is now ready to accept connections at"))
            return 0;
    }
    return -EIO;
}

static int server_try(struct redis_server *server)
{
    int pipe_fds[2];
    int status;
    int r;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    server->pid = fork();
    if (server->pid == 0)
        server_exec(server, pipe_fds[1]);
    close(pipe_fds[1]);
    server->log_fd = pipe_fds[0];
    if (server->pid < 0) {
        server->pid = 0;
        close(server->log_fd);
        return -EAGAIN;
    }
    r = server_wait(server);
    if (r < 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, &status, 0);
        close(server->log_fd);
        server->pid = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
            r = -ENOENT;
    }
    return r;
}

int redis_server_start(struct redis_server *server)
{
    const uint16_t wanted = server->port;
    int r = -EIO;

    if (!server->dir[0]) {
        snprintf(server->dir, sizeof(server->dir), "/tmp/aisys-redis-XXXXXX");
        if (!mkdtemp(server->dir))
            return -errno;
        snprintf(server->socket_path, sizeof(server->socket_path), "%s/redis.sock", server->dir);
    }
    for (unsigned i = 0; i < TRIES; i++) {
        server->port = wanted ? wanted : free_port();
        r = server_try(server);
        if (r == 0 || r == -ENOENT)
            break;
    }
    return r;
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid == 0)
        return;
    kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(server->log_fd);
    unlink(server->socket_path);
    server->pid = 0;
}

void redis_server_pause(const struct redis_server *server)
{
    kill(server->pid, SIGSTOP);
    waitpid(server->pid, NULL, WUNTRACED);
}

void redis_server_resume(const struct redis_server *server)
{
    kill(server->pid, SIGCONT);
}

void redis_server_stop(struct redis_server *server)
{
    redis_server_kill(server);
    if (server->dir[0])
        rmdir(server->dir);
    server->dir[0] = '\0';
}
