#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 65536 };

static void require(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "peer: %s\n", what);
    abort();
}

uint8_t peer_byte(uint8_t id, uint64_t position) {
    return position == 0 ? id : (uint8_t)((position * 2654435761u + id * 40503u) >> 13);
}

int peer_listen(struct px_addr *addr, bool pipe) {
    char name[64];
    snprintf(name, sizeof name, "@fuzz-server-upstream-%d", (int)getpid());
    require((pipe ? px_addr_from_path(name, addr) : px_addr_from_ip("127.0.0.1", 0, addr)) == 0, "address");
    int fd = socket(px_addr_family(addr), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(fd >= 0 && bind(fd, (const struct sockaddr *)addr->storage, addr->length) == 0 && listen(fd, 1024) == 0, "cannot listen");
    require(px_addr_of_socket(fd, addr) == 0, "getsockname");
    return fd;
}

static void failed(struct peer *peer) { peer->failed = true; }

void peer_connect(struct peer *peer, const struct px_addr *addr) {
    peer->fd = socket(px_addr_family(addr), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(peer->fd >= 0, "socket");
    if (connect(peer->fd, (const struct sockaddr *)addr->storage, addr->length) != 0 && errno != EINPROGRESS) failed(peer);
    peer_check(peer);
}

void peer_check(struct peer *peer) {
    struct pollfd entry = {.fd = peer->fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (peer->fd < 0 || peer->established || peer->failed || poll(&entry, 1, 0) != 1) return;
    require(getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0, "SO_ERROR");
    if (error == 0) peer->established = true;
    else failed(peer);
}

bool peer_accept(struct peer *peer, int listener) {
    peer->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    peer->established = peer->fd >= 0;
    return peer->established;
}

void peer_send(struct peer *peer, uint32_t length) {
    static uint8_t bytes[CHUNK];
    peer_check(peer);
    if (!peer->established || peer->failed || peer->shut) return;
    if (length > CHUNK) length = CHUNK;
    for (uint32_t i = 0; i < length; i++) bytes[i] = peer_byte(peer->id, peer->sent + i);
    ssize_t sent = send(peer->fd, bytes, length, MSG_NOSIGNAL);
    if (sent > 0) peer->sent += (uint64_t)sent;
    if (sent < 0 && errno != EAGAIN) failed(peer);
}

bool peer_receive(struct peer *peer, uint32_t length) {
    static uint8_t bytes[CHUNK];
    peer_check(peer);
    if (!peer->established || peer->failed || peer->ended || length == 0) return false;
    ssize_t got = recv(peer->fd, bytes, length < CHUNK ? length : CHUNK, 0);
    if (got < 0 && errno == EAGAIN) return false;
    if (got < 0) failed(peer);
    if (got == 0) peer->ended = true;
    if (got > 0 && peer->from < 0) peer->from = bytes[0];
    for (ssize_t i = 0; i < got; i++) {
        require(bytes[i] == peer_byte((uint8_t)peer->from, peer->received + (uint64_t)i), "received what was not sent, or not in this order");
    }
    if (got > 0) peer->received += (uint64_t)got;
    return true;
}

void peer_shut(struct peer *peer) {
    peer_check(peer);
    if (!peer->established || peer->failed || peer->shut) return;
    peer->shut = true;
    (void)shutdown(peer->fd, SHUT_WR);
}

void peer_close(struct peer *peer, bool reset) {
    struct linger abort = {.l_onoff = 1};
    if (peer->fd < 0) return;
    if (reset) (void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close(peer->fd);
    peer->fd = -1;
    peer->established = false;
}
