// Connections of one worker: opening, closing, and everything counted or logged at either end. Worker threads only.
//
// Invariants: a connection is in the set's list from accept to close; every gauge it raised is lowered in the same shard; its
// descriptors leave epoll before they are closed; after px_conn_close or px_conn_reset the pointer is gone, so both are the
// last thing a handler does.
#include "relay/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/client_memory.h"
#include "base/log_ring.h"

// Envoy's words, where it has some.
static const char *const end_texts[] = {
    [PX_END_NORMAL] = "",
    [PX_END_NO_ROUTE] = "tcp_proxy_initialization_failure:No route",
    [PX_END_NO_HEALTHY_UPSTREAM] = "tcp_proxy_initialization_failure:No healthy upstream",
    [PX_END_UPSTREAM_OVERFLOW] = "tcp_proxy_initialization_failure:Resource limit exceeded",
    [PX_END_CONNECT_FAILED] = "tcp_proxy_initialization_failure:Connect failed",
    [PX_END_IDLE] = "tcp_session_idle_timeout",
    [PX_END_DURATION] = "max_connection_duration_reached",
    [PX_END_FORCED] = "closed_by_shutdown",
    [PX_END_NO_RESOURCES] = "out_of_resources",
};

// ---- cells ------------------------------------------------------------------------------------------------------------------

void px_conn_count(struct px_conn *conn, uint32_t cell, uint64_t delta) { px__cell_add(conn->set->shard, cell, delta); }

static struct px_stream_cells scrap_cells(const struct px_conn *conn) {
    return (struct px_stream_cells){conn->set->scrap, 0, 1, 2, 3, 4};
}

struct px_stream_cells px_conn_request_cells(const struct px_conn *conn) {
    if (!conn->cluster) return scrap_cells(conn);
    const struct px_tcp_stats *tcp = &conn->origin->filter->stats;
    const struct px_cluster_stats *cluster = &conn->cluster->stats;
    return (struct px_stream_cells){conn->set->shard, tcp->downstream_cx_rx_bytes_total, cluster->upstream_cx_tx_bytes_total,
        tcp->downstream_flow_control_paused_reading_total, tcp->downstream_flow_control_resumed_reading_total,
        cluster->upstream_cx_tx_bytes_buffered};
}

struct px_stream_cells px_conn_response_cells(const struct px_conn *conn) {
    if (!conn->cluster) return scrap_cells(conn);
    const struct px_tcp_stats *tcp = &conn->origin->filter->stats;
    const struct px_cluster_stats *cluster = &conn->cluster->stats;
    return (struct px_stream_cells){conn->set->shard, cluster->upstream_cx_rx_bytes_total, tcp->downstream_cx_tx_bytes_total,
        cluster->upstream_flow_control_paused_reading_total, cluster->upstream_flow_control_resumed_reading_total,
        tcp->downstream_cx_tx_bytes_buffered};
}

// ---- busy connections -------------------------------------------------------------------------------------------------------

static void busy_remove(struct px_conn *conn) {
    if (!conn->busy_link) return;
    *conn->busy_link = conn->next_busy;
    if (conn->next_busy) conn->next_busy->busy_link = conn->busy_link;
    conn->busy_link = NULL;
}

static void run_again(struct px_conn *conn) {
    busy_remove(conn);
    if (conn->origin->filter->kind == PX_FILTER_ECHO) {
        px_echo_again(conn);
    } else {
        px_tcp_relay_again(conn);
    }
}

// Those that are still busy queue up anew for the turn after this one.
static void run_busy(struct px_deferred *deferred) {
    struct px_conn_set *set = (struct px_conn_set *)((char *)deferred - offsetof(struct px_conn_set, again));
    struct px_conn *batch = set->busy;
    set->busy = NULL;
    if (batch) batch->busy_link = &batch;
    while (batch) run_again(batch);
}

void px_conn_requeue(struct px_conn *conn) {
    struct px_conn_set *set = conn->set;
    if (conn->busy_link) return;
    conn->next_busy = set->busy;
    if (set->busy) set->busy->busy_link = &conn->next_busy;
    conn->busy_link = &set->busy;
    set->busy = conn;
    px_loop_defer(set->loop, &set->again);
}

// ---- opening ----------------------------------------------------------------------------------------------------------------

void px_conn_set_start(struct px_conn_set *set) {
    set->again.run = run_busy;
    px_pool_init(&set->pool);
}

static void remember(struct px_conn_addr *out, const void *bytes, size_t length) {
    out->length = (uint8_t)(length < sizeof out->bytes ? length : sizeof out->bytes);
    memcpy(out->bytes, bytes, out->length);
}

static uint64_t unix_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct px_conn *conn_create(struct px_conn_set *set, const struct px_conn_origin *origin, int fd, const struct px_peer_addr *peer) {
    struct px_conn *conn = px_client_malloc(sizeof *conn);  // calloc() would pass by the thread's cache of free blocks (glibc 2.36)
    if (!conn) return NULL;
    *conn = (struct px_conn){.set = set, .origin = origin};
    conn->down.handle.fd = conn->up.handle.fd = -1;
    conn->down_fd = fd;
    conn->up_fd = -1;
    conn->down.bits = PX_SIDE_WRITABLE | (peer->any.sa_family == AF_UNIX ? PX_SIDE_UNIX : 0);
    conn->id = set->opened++ * set->workers + set->worker;
    conn->accepted_ms = conn->active_ms = px_loop_now_ms(set->loop);
    if (origin->filter->access_log_count > 0) conn->start_unix_ns = unix_ns();
    remember(&conn->peer, &peer->any, peer->length);
    return conn;
}

static void publish(struct px_conn_set *set, uint64_t delta) {
    const struct px_conn *oldest = set->oldest;
    uint64_t packed = oldest ? px_oldest_pack(oldest->accepted_ms, oldest->origin->listener->index) : 0;
    atomic_store_explicit(&set->oldest_open, packed, memory_order_relaxed);
    atomic_store_explicit(&set->open, atomic_load_explicit(&set->open, memory_order_relaxed) + delta, memory_order_relaxed);
}

static void set_append(struct px_conn_set *set, struct px_conn *conn) {
    conn->older = set->newest;
    if (set->newest) set->newest->newer = conn;
    set->newest = conn;
    if (!set->oldest) set->oldest = conn;
    publish(set, 1);
}

static void count_opened(struct px_conn *conn) {
    const struct px_listener_stats *stats = &conn->origin->listener->stats;
    px_conn_count(conn, stats->downstream_cx_total, 1);
    px_conn_count(conn, stats->downstream_cx_active, 1);
    px_conn_count(conn, conn->origin->worker_stats->downstream_cx_total, 1);
    px_conn_count(conn, conn->origin->worker_stats->downstream_cx_active, 1);
    if (conn->origin->filter->kind == PX_FILTER_TCP_PROXY) px_conn_count(conn, conn->origin->filter->stats.downstream_cx_total, 1);
}

static bool take_place(_Atomic uint64_t *open, uint64_t limit) {
    if (!open) return true;
    if (atomic_fetch_add_explicit(open, 1, memory_order_relaxed) < limit) return true;
    atomic_fetch_sub_explicit(open, 1, memory_order_relaxed);
    return false;
}

static void leave_place(_Atomic uint64_t *open) {
    if (open) atomic_fetch_sub_explicit(open, 1, memory_order_relaxed);
}

// Whether the limits leave room; what they do not is counted.
static bool admit(struct px_conn_set *set, const struct px_conn_origin *origin) {
    const struct px_listener_stats *stats = &origin->listener->stats;
    if (!take_place(set->global_open, set->global_limit)) {
        px__cell_add(set->shard, stats->downstream_global_cx_overflow, 1);
        return false;
    }
    if (!take_place(origin->open, origin->listener->connection_limit)) {
        leave_place(set->global_open);
        px__cell_add(set->shard, stats->downstream_cx_overflow, 1);
        return false;
    }
    return true;
}

static void log_no_memory(const struct px_conn_set *set, const struct px_conn_origin *origin) {
    static struct px_log_gate gate;
    uint64_t skipped;
    if (!px_log_gate_open(&gate, px_loop_now_ms(set->loop), &skipped)) return;
    px_log(PX_ERROR, "conn_handler", "no memory for a connection to listener %s, which is closed (%llu like this not shown); raise the memory limit (cgroup, ulimit -v) or lower the connection limits",
        origin->listener->name, (unsigned long long)skipped);
}

void px_conn_accept(struct px_conn_set *set, const struct px_conn_origin *origin, int fd, const struct px_peer_addr *peer) {
    if (!admit(set, origin)) {
        close(fd);
        return;
    }
    struct px_conn *conn = conn_create(set, origin, fd, peer);
    if (!conn) {
        leave_place(set->global_open);
        leave_place(origin->open);
        px__cell_add(set->shard, origin->listener->stats.downstream_cx_overload_reject, 1);
        log_no_memory(set, origin);
        close(fd);
        return;
    }
    set_append(set, conn);
    count_opened(conn);
    switch (origin->filter->kind) {
        case PX_FILTER_TCP_PROXY: px_tcp_relay_start(conn); break;
        case PX_FILTER_ECHO: px_echo_start(conn); break;
        case PX_FILTER_DIRECT_RESPONSE: px_direct_response_start(conn); break;
    }
}

// ---- access log -------------------------------------------------------------------------------------------------------------

static struct px_addr addr_of(const struct px_conn_addr *from) {
    struct px_addr addr = {.length = from->length};
    memcpy(addr.storage, from->bytes, from->length);
    return addr;
}

static const char *failure_reason(const struct px_conn *conn, char *text, size_t size) {
    if (conn->connect_error == 0) return NULL;
    if (conn->connect_error == ETIMEDOUT) return "connection_timeout";
    snprintf(text, size, "delayed_connect_error:_%s", px_error_text(conn->connect_error));
    for (char *c = text; *c; c++) {
        if (*c == ' ') *c = '_';
    }
    return text;
}

// One line for each access log of the listener. The local address is asked of the kernel only here, where it is wanted.
static void log_access(struct px_conn *conn) {
    const struct px_filter_config *filter = conn->origin->filter;
    if (filter->access_log_count == 0) return;
    char reason[128];
    struct px_access_record record = {
        .start_unix_ns = conn->start_unix_ns,
        .duration_ms = px_loop_now_ms(conn->set->loop) - conn->accepted_ms,
        .bytes_received = conn->request.read,
        .bytes_sent = conn->response.written,
        .connection_id = conn->id,
        .flags = conn->flags,
        .attempts = conn->attempts,
        .downstream_remote = addr_of(&conn->peer),
        .upstream_local = addr_of(&conn->up_local),
        .cluster = conn->cluster ? conn->cluster->name : NULL,
        .failure_reason = failure_reason(conn, reason, sizeof reason),
        .termination_details = end_texts[conn->end],
        .filter_chain_name = filter->filter_chain_name,
    };
    if (conn->host) record.upstream_host = conn->host->addr;
    if (px_addr_of_socket(conn->down_fd, &record.downstream_local) < 0) record.downstream_local.length = 0;
    for (uint32_t i = 0; i < filter->access_log_count; i++) {
        px_access_log_emit(filter->access_logs[i], &record, conn->set->shard);
    }
}

// ---- closing ----------------------------------------------------------------------------------------------------------------

static void close_side(struct px_conn *conn, struct px_side *side, int32_t *fd) {
    if (*fd < 0) return;
    if (side->handle.fd >= 0) {
        px_loop_close(conn->set->loop, &side->handle);
    } else {
        close(*fd);
    }
    *fd = -1;
}

static void count_upstream_closed(struct px_conn *conn) {
    const struct px_cluster_stats *stats = &conn->cluster->stats;
    px_conn_count(conn, stats->upstream_cx_active, (uint64_t)-1);
    px_conn_count(conn, stats->upstream_cx_destroy, 1);
    px_conn_count(conn, conn->up_remote ? stats->upstream_cx_destroy_remote : stats->upstream_cx_destroy_local, 1);
    px__cell_record(conn->set->shard, stats->upstream_cx_length_ms, px_loop_now_ms(conn->set->loop) - conn->connecting_ms);
}

void px_conn_close_upstream(struct px_conn *conn) {
    close_side(conn, &conn->up, &conn->up_fd);
    if (!conn->up_open) return;
    conn->up_open = false;
    count_upstream_closed(conn);
    px_host_ended(conn->host);
    px_cluster_leave(conn->cluster, conn->set->shard);
}

static void set_remove(struct px_conn_set *set, struct px_conn *conn) {
    *(conn->older ? &conn->older->newer : &set->oldest) = conn->newer;
    *(conn->newer ? &conn->newer->older : &set->newest) = conn->older;
    publish(set, (uint64_t)-1);
    leave_place(set->global_open);
}

static void count_closed(struct px_conn *conn) {
    const struct px_listener_stats *stats = &conn->origin->listener->stats;
    px_conn_count(conn, stats->downstream_cx_active, (uint64_t)-1);
    px_conn_count(conn, conn->origin->worker_stats->downstream_cx_active, (uint64_t)-1);
    px_conn_count(conn, stats->downstream_cx_destroy, 1);
    px__cell_record(conn->set->shard, stats->downstream_cx_length_ms, px_loop_now_ms(conn->set->loop) - conn->accepted_ms);
    leave_place(conn->origin->open);
}

void px_conn_close(struct px_conn *conn, enum px_conn_end end) {
    struct px_conn_set *set = conn->set;
    conn->end = (uint8_t)end;
    px_timer_cancel(set->loop, &conn->timer);
    busy_remove(conn);
    struct px_stream_cells request = px_conn_request_cells(conn), response = px_conn_response_cells(conn);
    px_stream_drop(&conn->request, &set->pool, &request);
    px_stream_drop(&conn->response, &set->pool, &response);
    log_access(conn);
    px_conn_close_upstream(conn);
    close_side(conn, &conn->down, &conn->down_fd);
    count_closed(conn);
    set_remove(set, conn);
    px_host_release(conn->host);
    free(conn);
    if (atomic_load_explicit(&set->open, memory_order_relaxed) == 0 && set->emptied) set->emptied(set);
}

// RFC 9293 3.10.5 ABORT: with a linger time of 0, close() sends a RST and drops what waits.
static void abort_on_close(int fd) {
    struct linger abort = {.l_onoff = 1, .l_linger = 0};
    if (fd >= 0) (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
}

void px_conn_reset(struct px_conn *conn, enum px_conn_end end) {
    abort_on_close(conn->down_fd);
    abort_on_close(conn->up_fd);
    px_conn_close(conn, end);
}

uint64_t px_conn_set_close_all(struct px_conn_set *set) {
    uint64_t closed = 0;
    for (; set->oldest; closed++) px_conn_close(set->oldest, PX_END_FORCED);
    return closed;
}

void px_conn_set_stop(struct px_conn_set *set) {
    if (set->oldest) PX_BUG("a worker stops with connections open");
    px_pool_deinit(&set->pool);
}
