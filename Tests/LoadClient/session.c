// One client connection as a small state machine, used by the connecting and the holding mode alike.
//
//   FREE → CONNECTING → EXCHANGING → IDLE → (EXCHANGING …) → CLOSING → FREE
//             ↑ RETRYING (a Unix socket's backlog was full: EAGAIN, nothing was refused)
//
// Registered once, edge-triggered: every step goes on until the socket says EAGAIN. Nothing is read while IDLE but an end or a
// byte too many, which are failures.
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

void session_list_add(struct session_list *list, struct session *session) {
    session->prev = list->last;
    session->next = NULL;
    if (list->last != NULL) list->last->next = session;
    else list->first = session;
    list->last = session;
}

void session_list_remove(struct session_list *list, struct session *session) {
    if (session->prev != NULL) session->prev->next = session->next;
    else list->first = session->next;
    if (session->next != NULL) session->next->prev = session->prev;
    else list->last = session->prev;
    session->prev = session->next = NULL;
}

// Many source addresses: one alone has some 28,000 ports, each a minute in TIME_WAIT. The kernel picks the port at connect(),
// when it knows the whole 4-tuple, so ports are shared between destinations.
static int bind_source(int fd, uint64_t id) {
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(0x7F000001u + 1 + (uint32_t)(id % load_options.sources));
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) return -errno;
    return bind(fd, (const struct sockaddr *)&source, sizeof source) == 0 ? 0 : -errno;
}

static int open_socket(const struct load_address *target, uint64_t id) {
    int family = target->storage.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int on = 1;
    if (family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (family == AF_INET && load_options.sources > 0) {
        int code = bind_source(fd, id);
        if (code != 0) return close(fd), code;
    }
    return fd;
}

void session_abort(struct session *session) {
    if (session->fd >= 0) {
        epoll_ctl(load_epoll, EPOLL_CTL_DEL, session->fd, NULL);
        close(session->fd);
    }
    session->fd = -1;
    session->state = SESSION_FREE;
}

enum load_outcome session_open(struct session *session, uint64_t id) {
    struct load_address target;
    if (session->state == SESSION_FREE) session->begun_us = load_now_us();
    *session = (struct session){.fd = -1, .id = id, .begun_us = session->begun_us, .marked = load_marked};
    if (load_address_parse(load_options.address, &target) != 0) return OUTCOME_OTHER;
    int fd = open_socket(&target, id);
    if (fd < 0) return load_outcome_of_errno(-fd);
    session->fd = fd;
    if (connect(fd, (const struct sockaddr *)&target.storage, target.length) != 0 && errno != EINPROGRESS) {
        int error = errno;
        session_abort(session);
        if (error != EAGAIN || target.storage.ss_family != AF_UNIX) return load_outcome_of_errno(error);
        session->state = SESSION_RETRYING;
        load_report.retries++;
        return OUTCOME_OK;
    }
    session->state = SESSION_CONNECTING;
    int code = load_watch(fd, session, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (code == 0) return OUTCOME_OK;
    session_abort(session);
    return load_outcome_of_errno(-code);
}

void session_begin_exchange(struct session *session, uint32_t length) {
    session->position += session->length;
    session->length = length;
    session->sent = session->received = 0;
    session->exchange_us = load_now_us();
    session->marked = load_marked;
    session->state = SESSION_EXCHANGING;
}

static enum load_outcome check_connected(struct session *session) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return load_outcome_of_errno(error);
    uint64_t begun = session->begun_us;
    session_begin_exchange(session, load_options.size);
    session->exchange_us = begun;  // the first exchange's time includes connecting
    return OUTCOME_OK;
}

static enum load_outcome send_payload(struct session *session) {
    while (session->sent < session->length) {
        const uint8_t *bytes = load_pattern(session->id, session->position + session->sent);
        ssize_t count = send(session->fd, bytes, session->length - session->sent, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN || errno == EINTR ? OUTCOME_OK : load_outcome_of_errno(errno);
        session->sent += (uint32_t)count;
        load_report.bytes_sent += (uint64_t)count;
    }
    return OUTCOME_OK;
}

static enum load_outcome at_end(struct session *session) {
    load_last_error = 0;
    if (session->state == SESSION_CLOSING) return session_abort(session), OUTCOME_OK;
    return session->received == 0 || session->state == SESSION_IDLE ? OUTCOME_EOF_BEFORE_REPLY : OUTCOME_SHORT_REPLY;
}

static enum load_outcome receive_reply(struct session *session) {
    uint8_t bytes[LOAD_PAYLOAD_MAX];
    for (;;) {
        ssize_t count = recv(session->fd, bytes, sizeof bytes, 0);
        if (count < 0) return errno == EAGAIN || errno == EINTR ? OUTCOME_OK : load_outcome_of_errno(errno);
        if (count == 0) return at_end(session);
        load_report.bytes_received += (uint64_t)count;
        load_last_error = 0;
        if (session->state != SESSION_EXCHANGING || (uint32_t)count > session->sent - session->received) return OUTCOME_WRONG_BYTES;
        const uint8_t *expected = load_pattern(session->id, session->position + session->received);
        if (memcmp(bytes, expected, (size_t)count) != 0) return OUTCOME_WRONG_BYTES;
        session->received += (uint32_t)count;
        if (session->received == session->length) session->state = SESSION_IDLE;
    }
}

enum load_outcome session_advance(struct session *session, uint32_t events) {
    enum load_outcome outcome = OUTCOME_OK;
    if (session->state == SESSION_CONNECTING) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return OUTCOME_OK;
        outcome = check_connected(session);
    }
    if (load_marked) session->marked = true;
    if (outcome == OUTCOME_OK && session->state == SESSION_EXCHANGING) outcome = send_payload(session);
    if (outcome == OUTCOME_OK) outcome = receive_reply(session);
    return outcome;
}

void session_finish(struct session *session) {
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    if (load_options.reset) setsockopt(session->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    if (!load_options.half_close || load_options.reset) {
        session_abort(session);
        return;
    }
    session->state = SESSION_CLOSING;
    shutdown(session->fd, SHUT_WR);
}

enum load_outcome session_timeout_outcome(const struct session *session) {
    load_last_error = 0;
    if (session->state == SESSION_CONNECTING || session->state == SESSION_RETRYING) return OUTCOME_CONNECT_TIMEOUT;
    return session->state == SESSION_CLOSING ? OUTCOME_CLOSE_TIMEOUT : OUTCOME_REPLY_TIMEOUT;
}
