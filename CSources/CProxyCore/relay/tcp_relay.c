// The tcp_proxy filter: finds an upstream, then passes bytes, half-closes and resets both ways. Worker threads only.
//
// Until the upstream is connected nothing is read from the downstream: what the client sends early waits in the kernel, bounded
// by its receive window, and its FIN with it. Both descriptors are registered once, edge-triggered, and never changed.
//
// System calls of one echo round trip: 2 recv, 2 send, and an epoll_wait before each pair. Of a connection: accept4, socket,
// TCP_NODELAY, connect (the accepted socket inherits TCP_NODELAY from the listening one), 2 EPOLL_CTL_ADD, one shutdown for
// the FIN that comes first (the second goes with close), 2 close, which end the registrations. No fcntl (flags come with accept4 and socket),
// and SO_ERROR is read only when epoll reports an error.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/conn.h"

static void connect_next(struct px_conn *conn);

// ---- deadlines --------------------------------------------------------------------------------------------------------------

// One timer per connection, armed for the nearest deadline. What moves that away (activity, a connection made) does not move the
// timer: one that fires too early is armed again for the rest. So a read costs one store, and a short connection arms once.
static uint64_t next_deadline(const struct px_conn *conn) {
    const struct px_filter_config *filter = conn->origin->filter;
    uint64_t deadline = filter->max_duration_ms > 0 ? conn->accepted_ms + filter->max_duration_ms : UINT64_MAX;
    uint64_t other = UINT64_MAX;
    if (conn->state == PX_CONN_CONNECTING) {
        other = conn->connecting_ms + conn->cluster->connect_timeout_ms;
    } else if (filter->idle_timeout_ms > 0) {
        other = conn->active_ms + filter->idle_timeout_ms;
    }
    return other < deadline ? other : deadline;
}

static void arm_deadline(struct px_conn *conn) {
    uint64_t deadline = next_deadline(conn), now = px_loop_now_ms(conn->set->loop);
    if (deadline == UINT64_MAX) {
        px_timer_cancel(conn->set->loop, &conn->timer);
    } else if (!px_timer_is_armed(&conn->timer) || conn->timer.due_ms > deadline) {
        px_timer_arm(conn->set->loop, &conn->timer, deadline > now ? deadline - now : 0);
    }
}

// ---- connecting -------------------------------------------------------------------------------------------------------------

static void give_up(struct px_conn *conn, uint32_t flag, uint32_t cell, enum px_conn_end end) {
    conn->flags |= flag;
    px_conn_count(conn, cell, 1);
    px_conn_close(conn, end);
}

// What this process or machine lacks, whichever the upstream is.
static const char *shortage_of(int error) {
    switch (error) {
        case -EMFILE: return "raise the descriptor limit (ulimit -n, LimitNOFILE=) or lower the connection limits";
        case -ENFILE: return "raise the system's descriptor limit (fs.file-max)";
        case -EADDRNOTAVAIL: return "no local port is left for this address (net.ipv4.ip_local_port_range)";
        case -ENOMEM:
        case -ENOBUFS: return "raise the memory limit or lower the connection limits";
        default: return NULL;
    }
}

// A line in a few seconds for each cluster; each connection is in the access log and in the counters.
static void log_failed(const struct px_conn *conn, int error) {
    char addr[PX_ADDR_TEXT];
    uint64_t skipped;
    const char *advice = shortage_of(error);
    if (!px_log_gate_open(&conn->cluster->connect_gate, px_loop_now_ms(conn->set->loop), &skipped)) return;
    px_addr_format(&conn->host->addr, addr, sizeof addr);
    px_log(PX_WARNING, "upstream", "cluster %s: cannot connect to %s: %s (%llu like this not shown)%s%s", conn->cluster->name, addr,
        px_error_text(error), (unsigned long long)skipped, advice ? "; " : "", advice ? advice : "");
}

static void attempt_failed(struct px_conn *conn, int error, bool remote) {
    conn->flags |= PX_FLAG_UPSTREAM_CONNECTION_FAILURE;
    conn->connect_error = -error;
    conn->up_remote = remote;
    px_host_failed(conn->host);
    px_conn_count(conn, conn->cluster->stats.upstream_cx_connect_fail, 1);
    log_failed(conn, error);
    px_conn_close_upstream(conn);
}

static void attempt_started(struct px_conn *conn, struct px_host *host) {
    px_host_release(conn->host);
    conn->host = host;
    conn->attempts++;
    conn->up_open = true;
    conn->up_remote = false;
    conn->connecting_ms = px_loop_now_ms(conn->set->loop);
    px_host_started(host);
    px_conn_count(conn, conn->cluster->stats.upstream_cx_total, 1);
    px_conn_count(conn, conn->cluster->stats.upstream_cx_active, 1);
}

static void move(struct px_conn *conn);

static void remember_local(struct px_conn *conn) {
    struct px_addr local;
    if (conn->origin->filter->access_log_count == 0 || px_addr_of_socket(conn->up_fd, &local) < 0) return;
    conn->up_local.length = (uint8_t)(local.length < sizeof conn->up_local.bytes ? local.length : sizeof conn->up_local.bytes);
    memcpy(conn->up_local.bytes, local.storage, conn->up_local.length);
}

static void count_connected(struct px_conn *conn) {
    conn->state = PX_CONN_RELAYING;
    conn->active_ms = px_loop_now_ms(conn->set->loop);
    conn->connect_error = 0;
    conn->flags &= ~(uint32_t)PX_FLAG_UPSTREAM_CONNECTION_FAILURE;
    px__cell_record(conn->set->shard, conn->cluster->stats.upstream_cx_connect_ms, conn->active_ms - conn->connecting_ms);
    remember_local(conn);
}

static void connected(struct px_conn *conn) {
    count_connected(conn);
    arm_deadline(conn);
    move(conn);
}

static void on_up_events(struct px_handle *handle, uint32_t events);

// 1: connected; 0: in progress; -errno: failed, nothing is open.
static int attempt(struct px_conn *conn) {
    const struct px_addr *addr = &conn->host->addr;
    bool done = false;
    int fd = px_sock_connect(addr, &conn->cluster->keepalive, &done);
    if (fd < 0) return fd;
    conn->up_fd = fd;
    conn->up.bits = px_addr_family(addr) == AF_UNIX ? PX_SIDE_UNIX : 0;
    conn->up.handle.on_events = on_up_events;
    int error = px_loop_add(conn->set->loop, &conn->up.handle, fd, 0);
    if (error < 0) return error;
    return done ? 1 : 0;
}

// A host for the next attempt, with a place under the circuit breaker; or NULL, and the connection is closed with the reason.
static struct px_host *choose_host(struct px_conn *conn) {
    const struct px_cluster_stats *stats = &conn->cluster->stats;
    if (conn->attempts >= conn->origin->filter->max_connect_attempts) {
        give_up(conn, PX_FLAG_RETRY_LIMIT, stats->upstream_cx_connect_attempts_exceeded, PX_END_CONNECT_FAILED);
        return NULL;
    }
    if (!px_cluster_admit(conn->cluster, conn->set->shard)) {  // counts by itself
        conn->flags |= PX_FLAG_UPSTREAM_OVERFLOW;
        px_conn_close(conn, PX_END_UPSTREAM_OVERFLOW);
        return NULL;
    }
    struct px_host *host = px_balancer_pick(&conn->set->balancers[conn->cluster->index], conn->host);
    if (host) return host;
    px_cluster_leave(conn->cluster, conn->set->shard);
    give_up(conn, PX_FLAG_NO_HEALTHY_UPSTREAM, stats->upstream_cx_none_healthy, PX_END_NO_HEALTHY_UPSTREAM);
    return NULL;
}

// Start to connect, as often as attempts are left and connect() fails at once.
static void connect_next(struct px_conn *conn) {
    conn->state = PX_CONN_CONNECTING;
    for (struct px_host *host; (host = choose_host(conn)) != NULL;) {
        attempt_started(conn, host);
        int result = attempt(conn);
        if (result < 0) {
            attempt_failed(conn, result, false);
            continue;
        }
        if (result > 0) {
            conn->up.bits |= PX_SIDE_WRITABLE;
            connected(conn);
        } else {
            arm_deadline(conn);
        }
        return;
    }
}

// An error event before we knew the connection stood. A refused one and one that was accepted, used and reset meanwhile look the
// same to epoll; peeking tells them apart and leaves what the upstream said for the relay to read. A RST in SYN_SENT gives
// ECONNREFUSED, later ones ECONNRESET or EPIPE (tcp_reset).
static void on_connect_error(struct px_conn *conn) {
    char byte;
    int error = recv(conn->up_fd, &byte, 1, MSG_PEEK) < 0 ? -errno : 0;
    if (error == 0) {
        connected(conn);
    } else if (error == -ECONNRESET || error == -EPIPE) {
        count_connected(conn);
        conn->up_remote = true;
        conn->flags |= PX_FLAG_UPSTREAM_CONNECTION_TERMINATION;
        px_conn_reset(conn, PX_END_NORMAL);
    } else {
        attempt_failed(conn, error, true);
        connect_next(conn);
    }
}

static void on_connect_events(struct px_conn *conn) {
    if (conn->up.bits & PX_SIDE_HANGUP) {
        on_connect_error(conn);
    } else if (conn->up.bits & PX_SIDE_WRITABLE) {
        connected(conn);
    }
}

// ---- relaying ---------------------------------------------------------------------------------------------------------------

// Pass the source's FIN on. Where the other direction has ended too, close() will.
static void pass_end(struct px_stream *stream, struct px_stream *other, struct px_side *sink) {
    if (stream->passed) return;
    stream->passed = true;
    if (!other->ended) (void)shutdown(sink->handle.fd, SHUT_WR);  // ENOTCONN: reset meanwhile, and its event is on the way
}

// A side is gone although nobody sent it a FIN: it was reset. Bytes that it sent before were moved first; if the other side
// does not take them now, they are lost, as the reset means. (A Unix peer that closed looks the same, so it is left to read
// and write errors.)
static bool was_reset(const struct px_side *side, const struct px_stream *to_it, enum px_stream_result from_it) {
    bool gone = (side->bits & PX_SIDE_HANGUP) && !(side->bits & PX_SIDE_UNIX);
    return gone && !to_it->passed && from_it != PX_STREAM_BUSY;
}

static void settle(struct px_conn *conn, enum px_stream_result request, enum px_stream_result response) {
    bool down_failed = request == PX_STREAM_SOURCE_FAILED || response == PX_STREAM_SINK_FAILED;
    bool up_failed = request == PX_STREAM_SINK_FAILED || response == PX_STREAM_SOURCE_FAILED;
    down_failed |= was_reset(&conn->down, &conn->response, request);
    up_failed |= was_reset(&conn->up, &conn->request, response);
    if (down_failed || up_failed) {
        conn->up_remote = up_failed && !down_failed;
        conn->flags |= down_failed ? PX_FLAG_DOWNSTREAM_RESET : PX_FLAG_UPSTREAM_CONNECTION_TERMINATION;
        px_conn_reset(conn, PX_END_NORMAL);
    } else if (request == PX_STREAM_ENDED && response == PX_STREAM_ENDED) {
        px_conn_close(conn, PX_END_NORMAL);
    } else if (request == PX_STREAM_BUSY || response == PX_STREAM_BUSY) {
        px_conn_requeue(conn);
    }
}

static enum px_stream_result pump_request(struct px_conn *conn) {
    if (px_stream_is_idle(&conn->request, &conn->down)) return PX_STREAM_WAITING;
    struct px_stream_cells cells = px_conn_request_cells(conn);
    return px_stream_pump(&conn->request, &conn->down, &conn->up, &conn->set->pool, &cells);
}

static enum px_stream_result pump_response(struct px_conn *conn) {
    if (px_stream_is_idle(&conn->response, &conn->up)) return PX_STREAM_WAITING;
    struct px_stream_cells cells = px_conn_response_cells(conn);
    return px_stream_pump(&conn->response, &conn->up, &conn->down, &conn->set->pool, &cells);
}

// Most events concern one direction; the other costs a look at its state.
static void move(struct px_conn *conn) {
    uint64_t before = conn->request.read + conn->request.written + conn->response.read + conn->response.written;
    bool up_had_ended = conn->response.ended;
    enum px_stream_result request = pump_request(conn), response = pump_response(conn);
    uint64_t after = conn->request.read + conn->request.written + conn->response.read + conn->response.written;
    if (after != before) conn->active_ms = px_loop_now_ms(conn->set->loop);
    if (request == PX_STREAM_ENDED) pass_end(&conn->request, &conn->response, &conn->up);
    if (response == PX_STREAM_ENDED) pass_end(&conn->response, &conn->request, &conn->down);
    if (conn->response.ended && !up_had_ended) conn->up_remote = conn->request.passed;
    settle(conn, request, response);
}

static void on_down_events(struct px_handle *handle, uint32_t events) {
    struct px_conn *conn = px_conn_of_down(handle);
    px_side_note(&conn->down, events);
    if (conn->state == PX_CONN_RELAYING) {
        move(conn);
    } else if ((conn->down.bits & PX_SIDE_HANGUP)) {
        conn->flags |= PX_FLAG_DOWNSTREAM_TERMINATION;
        px_conn_reset(conn, PX_END_NORMAL);
    }
}

static void on_up_events(struct px_handle *handle, uint32_t events) {
    struct px_conn *conn = px_conn_of_up(handle);
    px_side_note(&conn->up, events);
    if (conn->state == PX_CONN_RELAYING) {
        move(conn);
    } else {
        on_connect_events(conn);
    }
}

void px_tcp_relay_again(struct px_conn *conn) { move(conn); }

// ---- beginning and deadlines ------------------------------------------------------------------------------------------------

static void on_deadline(struct px_timer *timer) {
    struct px_conn *conn = (struct px_conn *)((char *)timer - offsetof(struct px_conn, timer));
    const struct px_filter_config *filter = conn->origin->filter;
    uint64_t now = px_loop_now_ms(conn->set->loop);
    if (now < next_deadline(conn)) {
        arm_deadline(conn);
    } else if (filter->max_duration_ms > 0 && now >= conn->accepted_ms + filter->max_duration_ms) {
        give_up(conn, PX_FLAG_DURATION_TIMEOUT, filter->stats.max_downstream_connection_duration, PX_END_DURATION);
    } else if (conn->state == PX_CONN_CONNECTING) {
        px_conn_count(conn, conn->cluster->stats.upstream_cx_connect_timeout, 1);
        attempt_failed(conn, -ETIMEDOUT, false);
        connect_next(conn);
    } else {
        give_up(conn, PX_FLAG_IDLE_TIMEOUT, filter->stats.idle_timeout, PX_END_IDLE);
    }
}

void px_tcp_relay_start(struct px_conn *conn) {
    const struct px_filter_config *filter = conn->origin->filter;
    struct px_conn_set *set = conn->set;
    conn->timer.on_fire = on_deadline;
    conn->cluster = px_filter_pick_cluster(filter, &set->random);
    if (!conn->cluster) {
        give_up(conn, PX_FLAG_NO_ROUTE, filter->stats.downstream_cx_no_route, PX_END_NO_ROUTE);
        return;
    }
    conn->request.limit = conn->cluster->buffer_limit_bytes;
    conn->response.limit = conn->origin->listener->buffer_limit_bytes;
    conn->down.handle.on_events = on_down_events;
    if (px_loop_add(set->loop, &conn->down.handle, conn->down_fd, 0) < 0) {
        px_conn_close(conn, PX_END_NO_RESOURCES);
        return;
    }
    connect_next(conn);
}
