// The backend, as cheap as can be; and the bare relay: a loop of epoll_wait, recv, send (or splice) and shutdown with nothing
// else, which is what the kernel alone costs. It counts nothing, has no time-outs and no choice of upstream.
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int epoll;

// ---- backend -------------------------------------------------------------------------------------------------------------------

enum backend_kind { BACKEND_ECHO, BACKEND_BULK };

struct backend_object {
    bool listens;
    enum backend_kind kind;
    int fd;
};

static void backend_accept(const struct backend_object *listener) {
    for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct backend_object *object = malloc(sizeof *object);
        if (object == NULL) peers_die("no memory");
        *object = (struct backend_object){.kind = listener->kind, .fd = fd};
        peers_watch(epoll, fd, listener->kind == BACKEND_ECHO ? EPOLLIN : EPOLLOUT | EPOLLRDHUP, object);
    }
}

static void backend_close(struct backend_object *object) {
    close(object->fd);
    free(object);
}

static void backend_echo(struct backend_object *object) {
    static char bytes[PEERS_MESSAGE_MAX];
    ssize_t got = recv(object->fd, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || send(object->fd, bytes, (size_t)got, MSG_NOSIGNAL) != got) backend_close(object);
}

static void backend_pour(struct backend_object *object, uint32_t events) {
    static char bytes[PEERS_CHUNK];
    ssize_t sent = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ? -1 : send(object->fd, bytes, sizeof bytes, MSG_NOSIGNAL);
    if (sent < 0 && (errno != EAGAIN || (events & ~(uint32_t)EPOLLOUT))) backend_close(object);
}

static void backend_listen(uint16_t port, enum backend_kind kind) {
    struct backend_object *object = malloc(sizeof *object);
    if (object == NULL) peers_die("no memory");
    *object = (struct backend_object){.listens = true, .kind = kind, .fd = peers_listen(port)};
    peers_watch(epoll, object->fd, EPOLLIN, object);
}

int peers_backend(int argc, char **argv) {
    struct epoll_event events[256];
    epoll = peers_epoll();
    for (int i = 0; i < argc; i++) {
        unsigned echo, bulk;
        if (sscanf(argv[i], "%u:%u", &echo, &bulk) != 2) peers_die("not ECHO_PORT:BULK_PORT: %s", argv[i]);
        backend_listen((uint16_t)echo, BACKEND_ECHO);
        backend_listen((uint16_t)bulk, BACKEND_BULK);
    }
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct backend_object *object = events[i].data.ptr;
            if (object->listens) {
                backend_accept(object);
            } else if (object->kind == BACKEND_ECHO) {
                backend_echo(object);
            } else {
                backend_pour(object, events[i].events);
            }
        }
    }
}

// ---- bare relay ----------------------------------------------------------------------------------------------------------------

// One side of a connection, with what was read from it and not yet written to its peer. A listening socket has no peer.
struct end {
    int fd;
    uint16_t upstream;
    struct end *peer, *next_free;
    char *pending;
    size_t from, to;
    int pipe[2];
    size_t in_pipe;
    bool ended, watches_out;
};

static bool splices;
static struct end *freed;  // until the batch of events is done
static char scratch[65536];

static struct end *end_create(int fd, uint16_t upstream) {
    struct end *end = calloc(1, sizeof *end);
    if (end == NULL) peers_die("no memory");
    *end = (struct end){.fd = fd, .upstream = upstream};
    if (splices && fd >= 0 && upstream == 0 && pipe2(end->pipe, O_NONBLOCK | O_CLOEXEC) < 0) peers_die("pipe2: %s", strerror(errno));
    if (splices && upstream == 0) (void)fcntl(end->pipe[1], F_SETPIPE_SZ, 1024 * 1024);
    return end;
}

static void end_close(struct end *end) {
    close(end->fd);
    if (splices) close(end->pipe[0]), close(end->pipe[1]);
    free(end->pending);
    end->pending = NULL;
    end->fd = -1;
    end->next_free = freed;
    freed = end;
}

static void relay_accept(const struct end *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct end *down = end_create(fd, 0), *up = end_create(peers_connect(listener->upstream), 0);
    down->peer = up;
    up->peer = down;
    peers_watch(epoll, up->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, up);
    peers_watch(epoll, down->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, down);
}

static void watch_out(struct end *end) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = end};
    if (!end->watches_out) epoll_ctl(epoll, EPOLL_CTL_MOD, end->fd, &event);
    end->watches_out = true;
}

static bool keep_rest(struct end *end, const char *bytes, size_t length) {
    if (end->pending == NULL) end->pending = malloc(sizeof scratch);
    if (end->pending == NULL) return false;
    memcpy(end->pending, bytes, length);
    end->from = 0;
    end->to = length;
    watch_out(end->peer);
    return true;
}

enum moved { MOVED_ALL, MOVED_SOME, MOVED_ENDED, MOVED_FAILED };

static enum moved copy(struct end *end) {
    if (end->from < end->to) {
        ssize_t sent = send(end->peer->fd, end->pending + end->from, end->to - end->from, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN ? MOVED_SOME : MOVED_FAILED;
        end->from += (size_t)sent;
        if (end->from < end->to) return MOVED_SOME;
    }
    for (;;) {
        ssize_t got = recv(end->fd, scratch, sizeof scratch, 0);
        if (got == 0) return MOVED_ENDED;
        if (got < 0) return errno == EAGAIN ? MOVED_ALL : MOVED_FAILED;
        ssize_t sent = send(end->peer->fd, scratch, (size_t)got, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return MOVED_FAILED;
        if (sent < 0) sent = 0;
        if (sent < got) return keep_rest(end, scratch + sent, (size_t)(got - sent)) ? MOVED_SOME : MOVED_FAILED;
        if ((size_t)got < sizeof scratch) return MOVED_ALL;
    }
}

static enum moved splice_through(struct end *end) {
    for (;;) {
        while (end->in_pipe > 0) {
            ssize_t sent = splice(end->pipe[0], NULL, end->peer->fd, NULL, end->in_pipe, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (sent < 0 && errno == EAGAIN) return watch_out(end->peer), MOVED_SOME;
            if (sent <= 0) return MOVED_FAILED;
            end->in_pipe -= (size_t)sent;
        }
        ssize_t got = splice(end->fd, NULL, end->pipe[1], NULL, 1024 * 1024, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (got == 0) return MOVED_ENDED;
        if (got < 0) return errno == EAGAIN ? MOVED_ALL : MOVED_FAILED;
        end->in_pipe = (size_t)got;
    }
}

static void relay_move(struct end *end) {
    struct end *peer = end->peer;
    enum moved moved = end->ended ? MOVED_ALL : splices ? splice_through(end) : copy(end);
    if (moved == MOVED_ENDED) end->ended = true;
    if (moved == MOVED_FAILED || (end->ended && peer->ended)) {
        end_close(end);
        end_close(peer);
    } else if (moved == MOVED_ENDED) {
        shutdown(peer->fd, SHUT_WR);
    }
}

static void relay_handle(struct end *end, uint32_t events) {
    if (end->peer == NULL) {
        relay_accept(end);
        return;
    }
    if (end->fd >= 0 && (events & ~(uint32_t)EPOLLOUT)) relay_move(end);
    if (end->fd >= 0 && (events & EPOLLOUT)) relay_move(end->peer);
}

static void free_closed(void) {
    while (freed != NULL) {
        struct end *end = freed;
        freed = end->next_free;
        free(end);
    }
}

int peers_relay(int argc, char **argv) {
    struct epoll_event events[128];
    epoll = peers_epoll();
    for (int i = 0; i < argc; i++) {
        unsigned port, upstream;
        if (strcmp(argv[i], "--splice") == 0) {
            splices = true;
            continue;
        }
        if (sscanf(argv[i], "%u:%u", &port, &upstream) != 2) peers_die("not LISTEN:UPSTREAM: %s", argv[i]);
        struct end *listener = end_create(peers_listen((uint16_t)port), (uint16_t)upstream);
        peers_watch(epoll, listener->fd, EPOLLIN, listener);
    }
    for (;;) {
        int count = epoll_wait(epoll, events, 128, -1);
        for (int i = 0; i < count; i++) relay_handle(events[i].data.ptr, events[i].events);
        free_closed();
    }
}
