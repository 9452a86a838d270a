// The echo filter: one stream whose source is its sink. Worker threads only.
#include "relay/conn.h"

static void move(struct px_conn *conn) {
    struct px_stream_cells cells = px_conn_request_cells(conn);
    switch (px_stream_pump(&conn->request, &conn->down, &conn->down, &conn->set->pool, &cells)) {
        case PX_STREAM_WAITING: break;
        case PX_STREAM_BUSY: px_conn_requeue(conn); break;
        case PX_STREAM_ENDED:
        case PX_STREAM_SOURCE_FAILED:
        case PX_STREAM_SINK_FAILED: px_conn_close(conn, PX_END_NORMAL); break;
    }
}

static void on_events(struct px_handle *handle, uint32_t events) {
    struct px_conn *conn = px_conn_of_down(handle);
    px_side_note(&conn->down, events);
    // Reset while its own unread echo holds up reading: the pump would wait for ever for an edge that cannot come.
    if ((conn->down.bits & PX_SIDE_HANGUP) && conn->request.paused) {
        px_conn_close(conn, PX_END_NORMAL);
        return;
    }
    move(conn);
}

void px_echo_again(struct px_conn *conn) { move(conn); }

void px_echo_start(struct px_conn *conn) {
    conn->state = PX_CONN_RELAYING;
    conn->request.limit = conn->origin->listener->buffer_limit_bytes;
    conn->down.handle.on_events = on_events;
    if (px_loop_add(conn->set->loop, &conn->down.handle, conn->down_fd, 0) < 0) px_conn_close(conn, PX_END_NO_RESOURCES);
}
