// bulk: each of --concurrency connections sends a verified stream as fast as it goes and reads its echo at the same time, until
// it is told to stop; then it half-closes and reads the rest. A stream that ends a byte short is a failure.
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct stream {
    struct session session;  // for connecting and closing; the bytes are moved here
    uint64_t sent, received;
    bool connected, ended_sending, done;
};

static struct stream *streams;
static uint32_t alive;
enum { CHUNK = LOAD_PAYLOAD_MAX };

static void end_stream(struct stream *stream, enum load_outcome outcome) {
    load_report_outcome(outcome, stream->session.id, load_now_us() - stream->session.begun_us, load_last_error);
    session_abort(&stream->session);
    stream->done = true;
    alive--;
}

static enum load_outcome send_more(struct stream *stream) {
    // The bound keeps one connection from starving the others.
    for (int i = 0; i < 16 && !load_stopping; i++) {
        ssize_t count = send(stream->session.fd, load_pattern(stream->session.id, stream->sent), CHUNK, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN || errno == EINTR ? OUTCOME_OK : load_outcome_of_errno(errno);
        stream->sent += (uint64_t)count;
        load_report.bytes_sent += (uint64_t)count;
    }
    return OUTCOME_OK;
}

static enum load_outcome receive_more(struct stream *stream) {
    static uint8_t bytes[CHUNK];
    for (int i = 0; i < 16; i++) {
        ssize_t count = recv(stream->session.fd, bytes, sizeof bytes, 0);
        if (count < 0) return errno == EAGAIN || errno == EINTR ? OUTCOME_OK : load_outcome_of_errno(errno);
        load_last_error = 0;
        if (count == 0) {
            bool whole = stream->ended_sending && stream->received == stream->sent;
            end_stream(stream, whole ? OUTCOME_OK : stream->received == 0 ? OUTCOME_EOF_BEFORE_REPLY : OUTCOME_SHORT_REPLY);
            return OUTCOME_OK;
        }
        load_report.bytes_received += (uint64_t)count;
        if (memcmp(bytes, load_pattern(stream->session.id, stream->received), (size_t)count) != 0) return OUTCOME_WRONG_BYTES;
        stream->received += (uint64_t)count;
        stream->session.due_us = load_now_us() + (uint64_t)load_options.timeout_ms * 1000;
    }
    return OUTCOME_OK;
}

// Level-triggered on purpose: the bounds above leave work behind that must be reported again.
static void handle(void *object, uint32_t events) {
    struct stream *stream = object;
    enum load_outcome outcome = OUTCOME_OK;
    if (stream->done) return;
    if (!stream->connected) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(stream->session.fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) outcome = load_outcome_of_errno(error);
        stream->connected = outcome == OUTCOME_OK;
    }
    if (outcome == OUTCOME_OK && (events & EPOLLOUT)) outcome = send_more(stream);
    if (outcome == OUTCOME_OK && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) outcome = receive_more(stream);
    if (outcome != OUTCOME_OK) end_stream(stream, outcome);
}

static void stop_sending(struct stream *stream) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    stream->ended_sending = true;
    epoll_ctl(load_epoll, EPOLL_CTL_MOD, stream->session.fd, &event);
    shutdown(stream->session.fd, SHUT_WR);
}

static void open_stream(struct stream *stream, uint64_t id) {
    enum load_outcome outcome = session_open(&stream->session, id);
    load_report.tried++;
    stream->session.due_us = load_now_us() + (uint64_t)load_options.timeout_ms * 1000;
    if (outcome == OUTCOME_OK && stream->session.state == SESSION_RETRYING) outcome = OUTCOME_CONNECT_TIMEOUT;
    if (outcome != OUTCOME_OK) {
        end_stream(stream, outcome);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = stream};
    epoll_ctl(load_epoll, EPOLL_CTL_MOD, stream->session.fd, &event);
}

static void look_after_all(void) {
    uint64_t now = load_now_us();
    for (uint32_t i = 0; i < load_options.concurrency; i++) {
        struct stream *stream = &streams[i];
        if (stream->done) continue;
        if (load_stopping && stream->connected && !stream->ended_sending) stop_sending(stream);
        if (stream->session.due_us <= now) end_stream(stream, session_timeout_outcome(&stream->session));
    }
}

int load_run_bulk(void) {
    streams = calloc(load_options.concurrency, sizeof *streams);
    if (streams == NULL) return perror("load-client"), 1;
    alive = load_options.concurrency;
    for (uint32_t i = 0; i < load_options.concurrency; i++) {
        streams[i].session.fd = -1;
        open_stream(&streams[i], i);
    }
    while (alive > 0) {
        load_turn(20, handle);
        look_after_all();
    }
    free(streams);
    return 0;
}
