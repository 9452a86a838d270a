// echo-server: the upstream of the tests. Echoes what it gets, stops reading a connection while the other side does not read,
// passes an end on once everything is echoed, and counts connections and bytes. Says {"event":"listening"} with its real address.
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

struct client {
    int fd;
    bool ended;  // read the end
    uint32_t begin, end;
    struct client *next_free;
    uint8_t bytes[32768];
};

static int listener = -1;
static const uint32_t CLIENT_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
static uint64_t open_count;

static void drop(struct client *client, enum load_outcome outcome) {
    load_report_outcome(outcome, load_report.tried, 0, load_last_error);
    epoll_ctl(load_epoll, EPOLL_CTL_DEL, client->fd, NULL);
    close(client->fd);
    free(client);
    open_count--;
}

// Returns 1 when all is written, 0 when the socket is full, -errno.
static int flush(struct client *client) {
    while (client->begin < client->end) {
        ssize_t count = send(client->fd, client->bytes + client->begin, client->end - client->begin, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN ? 0 : -errno;
        client->begin += (uint32_t)count;
        load_report.bytes_sent += (uint64_t)count;
    }
    client->begin = client->end = 0;
    return 1;
}

// A modification reports what is ready once more, after everybody else's turn.
static void come_again(struct client *client) {
    struct epoll_event event = {.events = CLIENT_EVENTS, .data.ptr = client};
    epoll_ctl(load_epoll, EPOLL_CTL_MOD, client->fd, &event);
}

static void pump(struct client *client) {
    // The bound keeps a stream without a pause from starving the others.
    for (int i = 0; i < 16; i++) {
        int flushed = flush(client);
        if (flushed < 0) return drop(client, load_outcome_of_errno(-flushed));
        if (flushed == 0) return;
        if (client->ended) return drop(client, OUTCOME_OK);
        ssize_t count = recv(client->fd, client->bytes, sizeof client->bytes, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) return drop(client, load_outcome_of_errno(errno));
        client->ended = count == 0;
        client->end = (uint32_t)count;
        load_report.bytes_received += (uint64_t)count;
    }
    come_again(client);
}

static void accept_some(void) {
    for (int i = 0; i < 256; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        struct client *client = open_count < LOAD_SESSIONS_MAX ? malloc(sizeof *client) : NULL;
        if (client == NULL) {
            load_report_outcome(OUTCOME_LOCAL, load_report.tried, 0, ENOMEM);
            close(fd);
            continue;
        }
        client->fd = fd;
        client->ended = false;
        client->begin = client->end = 0;
        load_report.tried++;
        open_count++;
        if (load_watch(fd, client, CLIENT_EVENTS) != 0) drop(client, OUTCOME_LOCAL);
    }
}

static void handle(void *object, uint32_t events) {
    (void)events;
    if (object == &listener) accept_some();
    else pump(object);
}

static int open_listener(void) {
    struct load_address address;
    char text[160];
    int on = 1;
    if (load_address_parse(load_options.address, &address) != 0) return -EINVAL;
    listener = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) return -errno;
    if (address.storage.ss_family != AF_UNIX) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (const struct sockaddr *)&address.storage, address.length) != 0) return -errno;
    if (listen(listener, 4096) != 0) return -errno;
    address.length = sizeof address.storage;
    getsockname(listener, (struct sockaddr *)&address.storage, &address.length);
    printf("{\"event\":\"listening\",\"address\":\"%s\"}\n", load_address_format(&address, text, sizeof text));
    fflush(stdout);
    return load_watch(listener, &listener, EPOLLIN);
}

int load_run_echo_server(void) {
    int code = open_listener();
    if (code != 0) {
        fprintf(stderr, "load-client: cannot listen on %s: %s\n", load_options.address, strerror(-code));
        return 1;
    }
    while (!load_stopping) load_turn(100, handle);
    load_report.open = open_count;
    return 0;
}
