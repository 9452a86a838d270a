// The load: closed loops, as fast as the other side answers. Bytes are not verified, which the load client of the end-to-end tests
// does: here the client must cost less than what it measures.
#include "peers.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_UP_NS = 100000000, STALL_MS = 5000 };

struct client {
    int fd;
    uint32_t received;
    bool sent;
};

static char bytes[PEERS_CHUNK];
static struct client *clients;
static int epoll;
static uint64_t operations;

static void start(const struct peers_options *options) {
    epoll = peers_epoll();
    clients = calloc(options->connections, sizeof *clients);
    if (clients == NULL) peers_die("no memory");
}

// Warm up, then measure: both by turns of the same step.
static int measure(const struct peers_options *options, const char *unit, void (*handle)(const struct peers_options *options, struct client *client, uint32_t events)) {
    struct epoll_event events[256];
    uint64_t begun_ns = peers_now_ns() + WARM_UP_NS, ended_ns, cpu_ns = 0;
    bool measuring = false;
    for (;;) {
        int count = epoll_wait(epoll, events, 256, STALL_MS);
        if (count == 0) peers_die("nothing moved for %d ms", STALL_MS);
        for (int i = 0; i < count; i++) handle(options, events[i].data.ptr, events[i].events);
        ended_ns = peers_now_ns();
        if (!measuring && ended_ns >= begun_ns) {
            measuring = true;
            operations = 0;
            cpu_ns = peers_cpu_ns(options);
            begun_ns = peers_now_ns();
        } else if (measuring && (double)(ended_ns - begun_ns) >= options->seconds * 1e9) {
            break;
        }
    }
    cpu_ns = peers_cpu_ns(options) - cpu_ns;
    peers_print(unit, operations, ended_ns - begun_ns, cpu_ns);
    return 0;
}

// ---- round trips on open connections -------------------------------------------------------------------------------------------

static void send_message(const struct peers_options *options, struct client *client) {
    client->received = 0;
    if (send(client->fd, bytes, options->size, MSG_NOSIGNAL) != (ssize_t)options->size) peers_die("send: %s", strerror(errno));
}

static bool receive_message(const struct peers_options *options, struct client *client) {
    ssize_t got = recv(client->fd, bytes, options->size, 0);
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) peers_die("receive: %s", got == 0 ? "end" : strerror(errno));
    client->received += (uint32_t)got;
    return client->received == options->size;
}

static void round_trip(const struct peers_options *options, struct client *client, uint32_t events) {
    (void)events;
    if (!receive_message(options, client)) return;
    operations++;
    send_message(options, client);
}

int peers_round_trips(const struct peers_options *options) {
    start(options);
    for (uint32_t i = 0; i < options->connections; i++) {
        clients[i].fd = peers_connect_and_wait(options->port);
        peers_watch(epoll, clients[i].fd, EPOLLIN | EPOLLET, &clients[i]);
        send_message(options, &clients[i]);
    }
    return measure(options, "round trip", round_trip);
}

// ---- connect, echo, close ------------------------------------------------------------------------------------------------------

static void connect_and_send(const struct peers_options *options, struct client *client) {
    *client = (struct client){.fd = peers_connect(options->port)};
    ssize_t sent = send(client->fd, bytes, options->size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) peers_die("send: %s", strerror(errno));
    client->sent = sent > 0;
    peers_watch(epoll, client->fd, client->sent ? EPOLLIN : EPOLLIN | EPOLLOUT, client);
}

static void connect_step(const struct peers_options *options, struct client *client, uint32_t events) {
    if (!client->sent && (events & EPOLLOUT)) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        send_message(options, client);
        client->sent = true;
        epoll_ctl(epoll, EPOLL_CTL_MOD, client->fd, &event);
    } else if (receive_message(options, client)) {
        close(client->fd);
        operations++;
        connect_and_send(options, client);
    }
}

int peers_connects(const struct peers_options *options) {
    start(options);
    for (uint32_t i = 0; i < options->connections; i++) connect_and_send(options, &clients[i]);
    return measure(options, "connect, echo, close", connect_step);
}

// ---- bulk ----------------------------------------------------------------------------------------------------------------------

// MSG_TRUNC: TCP drops the bytes without copying them.
static void swallow(const struct peers_options *options, struct client *client, uint32_t events) {
    (void)events, (void)options;
    ssize_t got = recv(client->fd, NULL, 1 << 20, MSG_TRUNC);
    if (got == 0 || (got < 0 && errno != EAGAIN)) peers_die("receive: %s", got == 0 ? "end" : strerror(errno));
    if (got > 0) operations += (uint64_t)got;
}

int peers_bulk(const struct peers_options *options) {
    start(options);
    for (uint32_t i = 0; i < options->connections; i++) {
        clients[i].fd = peers_connect_and_wait(options->port);
        peers_watch(epoll, clients[i].fd, EPOLLIN, &clients[i]);
    }
    return measure(options, "byte", swallow);
}

// ---- held connections ----------------------------------------------------------------------------------------------------------

int peers_hold(const struct peers_options *options) {
    char end;
    start(options);
    for (uint32_t i = 0; i < options->connections; i++) {
        struct pollfd wait = {.fd = clients[i].fd = peers_connect_and_wait(options->port), .events = POLLIN};
        send_message(options, &clients[i]);
        if (poll(&wait, 1, STALL_MS) <= 0 || !receive_message(options, &clients[i])) peers_die("connection %u: no whole answer", i);
    }
    printf("{\"held\":%u}\n", options->connections);
    fflush(stdout);
    while (read(STDIN_FILENO, &end, 1) > 0) {
    }
    return 0;
}

// ---- first answer --------------------------------------------------------------------------------------------------------------

static bool answers(const struct peers_options *options) {
    int fd = peers_connect(options->port);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    bool answered = send(fd, bytes, options->size, MSG_NOSIGNAL) > 0 && poll(&wait, 1, STALL_MS) > 0 && recv(fd, bytes, options->size, 0) > 0;
    close(fd);
    return answered;
}

static pid_t run(int processor, char **argv) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pid_t pid = fork();
    if (pid < 0) peers_die("fork: %s", strerror(errno));
    if (pid > 0) return pid;
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    if (sched_setaffinity(0, sizeof set, &set) < 0) _exit(125);
    if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL) _exit(126);
    execv(argv[0], argv);
    _exit(127);
}

// A refused connection costs 10 µs of the load's own processor; the pause keeps it from being all that happens.
int peers_first_answer(const struct peers_options *options, int processor, char **argv) {
    uint64_t begun_ns = peers_now_ns(), elapsed_ns = 0;
    pid_t pid = run(processor, argv);
    bool answered = false;
    while (!answered && elapsed_ns < 10000000000u) {
        answered = answers(options);
        elapsed_ns = peers_now_ns() - begun_ns;
        if (waitpid(pid, NULL, WNOHANG) == pid) break;
        if (!answered) usleep(100);
    }
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (!answered) peers_die("%s did not answer", argv[0]);
    peers_print("start", 1, elapsed_ns, 0);
    return 0;
}
