// A downstream connection and what a filter did with it; and all connections of one worker.
//
// The state is flat: descriptors, enums, counters and times, so that a live connection can be described to another process.
// Pointers lead only to what any generation can find again by name (listener, cluster, host address).
#ifndef PX_CONN_H
#define PX_CONN_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "net/listener.h"
#include "relay/balance.h"
#include "relay/filter_config.h"
#include "relay/stream.h"

struct px_conn_set;

// A listener as the connections of one worker see it.
struct px_conn_origin {
    const struct px_listener_config *listener;
    const struct px_filter_config *filter;
    const struct px_listener_worker_stats *worker_stats;
    _Atomic uint64_t *open;   // over all workers; NULL: the listener has no limit
};

//              accepted
//                 │            no cluster, no host, overflow, no attempt left
//   tcp_proxy ────┤──► CONNECTING ──────────────────────────────────────────────► closed
//                 │      │   ▲ │ refused, reset, timed out: next host
//                 │      │   └─┘
//                 │      ▼ connected
//                 │    RELAYING ──► both FINs passed on, reset, idle, too old ──► closed
//   echo ─────────┤──► RELAYING  (the one side is source and sink)
//   direct ───────┴──► ANSWERING ──► LINGERING ─────────────────────────────────► closed
//
// A descriptor: `down` in every state, `up` in CONNECTING and in RELAYING of a tcp_proxy.
enum px_conn_state {
    PX_CONN_CONNECTING = 0,
    PX_CONN_RELAYING = 1,
    PX_CONN_ANSWERING = 2,  // writing the configured response
    PX_CONN_LINGERING = 3,  // FIN sent; what the peer still sends is read and dropped, so that no RST destroys the response
};

// Why a connection ended, where it was not its peers' doing. The text is in conn.c.
enum px_conn_end {
    PX_END_NORMAL = 0,
    PX_END_NO_ROUTE = 1,
    PX_END_NO_HEALTHY_UPSTREAM = 2,
    PX_END_UPSTREAM_OVERFLOW = 3,
    PX_END_CONNECT_FAILED = 4,
    PX_END_IDLE = 5,
    PX_END_DURATION = 6,
    PX_END_FORCED = 7,       // px_conn_set_close_all
    PX_END_NO_RESOURCES = 8,
};

// An address without the room of a Unix path, of which connections have no use: peers of Unix listeners are unnamed.
struct px_conn_addr {
    uint8_t length;
    uint8_t bytes[sizeof(struct sockaddr_in6)];
};

struct px_conn {
    struct px_conn *older, *newer;          // of the set
    struct px_conn *next_busy, **busy_link; // of the set's busy list; link NULL: not in it
    struct px_conn_set *set;
    const struct px_conn_origin *origin;
    struct px_cluster *cluster;             // NULL: none
    struct px_host *host;       // the present attempt's or the last one's; NULL: none yet
    struct px_timer timer;                  // the next deadline, whatever it is for
    int32_t down_fd, up_fd;                 // ours from accept and connect on; -1: none. handle.fd is the loop's
    struct px_side down, up;
    struct px_stream request, response;     // down → up, up → down
    uint64_t id;
    uint64_t start_unix_ns;                 // 0 where no access log wants it
    uint64_t accepted_ms, connecting_ms, active_ms;  // px_loop_now_ms
    uint32_t flags;                         // PX_FLAG_…
    uint32_t attempts;
    int32_t connect_error;                  // errno of the last failed attempt
    uint8_t state;                          // enum px_conn_state
    uint8_t end;                            // enum px_conn_end
    bool up_open;                           // an upstream connection is counted as active
    bool up_remote;                         // it was the upstream that ended
    struct px_conn_addr peer, up_local;
};

struct px_conn_set {
    px_loop *loop;
    px_cell *shard;
    uint32_t worker, workers;
    struct px_pool pool;
    struct px_balancer *balancers;          // by cluster index
    struct px_conn *oldest, *newest;
    struct px_conn *busy;                   // used up their share of a turn
    struct px_deferred again;               // runs them
    uint64_t random;
    uint64_t opened;                        // ever, for connection ids
    px_cell scrap[5];                       // counters of filters that have none
    void (*emptied)(struct px_conn_set *set);  // the last connection is gone; may be NULL
    _Atomic uint64_t *global_open;  // over all workers; NULL: no limit
    uint64_t global_limit;
    // Written by the worker, read by anybody.
    _Alignas(64) _Atomic uint64_t open;
    _Atomic uint64_t oldest_open;           // see px_oldest_pack
};

// The oldest connection in one word, so that it can be read from another thread: accept time and listener; 0: none.
#define PX_OLDEST_LISTENER_BITS 20
static inline uint64_t px_oldest_pack(uint64_t accepted_ms, uint32_t listener) { return accepted_ms << PX_OLDEST_LISTENER_BITS | listener; }
static inline uint64_t px_oldest_accepted_ms(uint64_t packed) { return packed >> PX_OLDEST_LISTENER_BITS; }
static inline uint32_t px_oldest_listener(uint64_t packed) { return packed & ((1u << PX_OLDEST_LISTENER_BITS) - 1); }

// The caller has filled loop, shard, worker, workers, balancers, random and the limit.
void px_conn_set_start(struct px_conn_set *set);
// Close every connection by force. Returns how many.
uint64_t px_conn_set_close_all(struct px_conn_set *set);
// All connections must be closed.
void px_conn_set_stop(struct px_conn_set *set);

// Take over an accepted descriptor: close it if a limit is reached, else hand it to the listener's filter.
void px_conn_accept(struct px_conn_set *set, const struct px_conn_origin *origin, int fd, const struct px_peer_addr *peer);

// ---- for filters ------------------------------------------------------------------------------------------------------------

// Close both sides, count, log, free.
void px_conn_close(struct px_conn *conn, enum px_conn_end end);
// The same, but a peer that is not gone is sent a RST, as the other side got or sent one.
void px_conn_reset(struct px_conn *conn, enum px_conn_end end);
// Close the upstream side alone, and give back its host and its place under the circuit breaker.
void px_conn_close_upstream(struct px_conn *conn);
// Run the filter again in the next turn.
void px_conn_requeue(struct px_conn *conn);
void px_conn_count(struct px_conn *conn, uint32_t cell, uint64_t delta);

static inline struct px_conn *px_conn_of_down(struct px_handle *handle) {
    return (struct px_conn *)((char *)handle - offsetof(struct px_conn, down.handle));
}
static inline struct px_conn *px_conn_of_up(struct px_handle *handle) {
    return (struct px_conn *)((char *)handle - offsetof(struct px_conn, up.handle));
}

// Cells of one direction of a tcp_proxy connection, or of an echo.
struct px_stream_cells px_conn_request_cells(const struct px_conn *conn);
struct px_stream_cells px_conn_response_cells(const struct px_conn *conn);

// Filters. `start`: the connection is counted and its downstream not yet in epoll. `again`: after px_conn_requeue.
void px_tcp_relay_start(struct px_conn *conn);
void px_tcp_relay_again(struct px_conn *conn);
void px_echo_start(struct px_conn *conn);
void px_echo_again(struct px_conn *conn);
void px_direct_response_start(struct px_conn *conn);

#endif
