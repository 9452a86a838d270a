// The direct_response filter: writes the configured bytes and closes. Worker threads only.
//
// A close() with unread bytes in the receive queue sends a RST, which can destroy the response on its way (RFC 9112 9.6 tells the
// story for HTTP). So the FIN goes first, and what the peer still sends is read and dropped until its own FIN, at most LINGER_MS.
#include <errno.h>
#include <sys/socket.h>

#include "relay/conn.h"

enum { LINGER_MS = 1000, READS_PER_EVENT = 16 };

// Returns whether the peer is done.
static bool discard(struct px_conn *conn) {
    struct px_buffer *buffer = px_pool_take_buffer(&conn->set->pool);
    if (!buffer) return true;
    ssize_t got = 1;
    for (int i = 0; i < READS_PER_EVENT && got > 0; i++) got = recv(conn->down_fd, buffer->bytes, sizeof buffer->bytes, 0);
    int error = errno;
    px_pool_put_buffer(&conn->set->pool, buffer);
    // A peer that sends faster than this gets no further edge heard, and the timer closes it.
    return got == 0 || (got < 0 && error != EAGAIN && error != EINTR);
}

static void linger(struct px_conn *conn) {
    if (discard(conn)) px_conn_close(conn, PX_END_NORMAL);
}

// Returns whether the whole response is written, or cannot be.
static bool answer(struct px_conn *conn) {
    const struct px_filter_config *filter = conn->origin->filter;
    while (conn->response.written < filter->response_length) {
        const uint8_t *rest = filter->response + conn->response.written;
        ssize_t sent = send(conn->down_fd, rest, filter->response_length - conn->response.written, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno != EAGAIN;
        conn->response.written += (uint64_t)sent;
    }
    return true;
}

static void proceed(struct px_conn *conn) {
    if (conn->state == PX_CONN_ANSWERING) {
        if (!answer(conn)) return;
        conn->state = PX_CONN_LINGERING;
        (void)shutdown(conn->down_fd, SHUT_WR);
        px_timer_arm(conn->set->loop, &conn->timer, LINGER_MS);
    }
    linger(conn);
}

static void on_events(struct px_handle *handle, uint32_t events) { proceed(px_conn_of_down(handle)); }

static void on_deadline(struct px_timer *timer) {
    px_conn_close((struct px_conn *)((char *)timer - offsetof(struct px_conn, timer)), PX_END_NORMAL);
}

void px_direct_response_start(struct px_conn *conn) {
    conn->state = PX_CONN_ANSWERING;
    conn->timer.on_fire = on_deadline;
    conn->down.handle.on_events = on_events;
    if (px_loop_add(conn->set->loop, &conn->down.handle, conn->down_fd, 0) < 0) {
        px_conn_close(conn, PX_END_NO_RESOURCES);
        return;
    }
    proceed(conn);
}
