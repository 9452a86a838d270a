/// The engine: worker threads, their event loops, the listening sockets and everything that moves bytes.
/// All functions: thread: owner (the main loop's thread), unless said otherwise. Reports come as events of the main loop.
#ifndef PX_ENGINE_H
#define PX_ENGINE_H

#include "px_base.h"
#include "px_handoff.h"
#include "px_mainloop.h"
#include "px_plan.h"
#include "px_stats.h"

PX_ASSUME_NONNULL_BEGIN

typedef struct px_engine px_engine;

struct px_engine_options {
    uint32_t workers;              ///< threads, >= 1
    uint64_t epoch;                ///< this generation
    uint32_t access_log_flush_ms;  ///< --file-flush-interval-msec
    uint32_t access_log_min_bytes; ///< --file-flush-min-size-kb * 1024
};

/// Create the engine: takes over `plan` (on success), borrows `stats`, `control` (NULL: hot restart disabled, this process
/// always serves) and `loop` until destroy. Opens no socket and starts no thread yet. Access-log files are opened here (O_APPEND|O_CREAT).
PX_API PX_MUST_USE px_engine *PX_NULLABLE px_engine_create(px_plan *plan, px_stats_block *stats, px_control_block *PX_NULLABLE control, px_mainloop *loop, const struct px_engine_options *options, struct px_detail *detail);
/// Stop and join all threads (connections are closed), flush access logs, close all descriptors. NULL is fine.
PX_API void px_engine_destroy(px_engine *PX_NULLABLE engine);

// ---- listening sockets, in the order of a start ----------------------------------------------------------------------

/// What a listening socket is for, as it travels between generations.
struct px_socket_label {
    const char *PX_NULLABLE listener;  ///< listener name, never NULL in a call; lent
    uint32_t address_index;
    uint32_t worker_index;
    struct px_addr addr;         ///< bound address (real port)
};

/// Offer an inherited listening socket. Matched by bound address, or for a listener configured with port 0 by listener name,
/// address index and IP. Returns 1: wanted, ownership passed. 0: no place for it, stays the caller's. -errno: not a listening
/// stream socket, stays the caller's.
PX_API PX_MUST_USE int px_engine_offer_socket(px_engine *engine, const struct px_socket_label *label, int fd);

/// The next address that has inherited sockets, wants more (reuse_port with more workers than sockets), and for which nobody
/// was asked yet. Returns false when there is none. `*count`: how many more.
PX_API bool px_engine_next_wanting(px_engine *engine, struct px_addr *addr, uint32_t *count);
/// A socket that the parent made for `addr` (bound, not listening). Ownership passes on 0.
PX_API PX_MUST_USE int px_engine_adopt_extra(px_engine *engine, const struct px_addr *addr, int fd);

/// Open (bind, not listen) what no inherited socket covers. Fails on the first that cannot be, with `detail`; what was opened
/// is closed by px_engine_destroy. `cold`: nothing was inherited; then probe first, without SO_REUSEPORT, for somebody else on the
/// address, and name the holder in detail.text where /proc tells.
PX_API PX_MUST_USE int px_engine_open_sockets(px_engine *engine, bool cold, struct px_detail *detail);
/// Would px_engine_open_sockets(cold) be possible as far as can be told without binding (address is local, path's directory
/// exists and is writable)? For --mode validate. Returns 0 or -errno with `detail`.
PX_API PX_MUST_USE int px_plan_check(const px_plan *plan, struct px_detail *detail);

/// Start worker threads and name resolution. PX_EVENT_ENGINE_WARM follows.
PX_API PX_MUST_USE int px_engine_start(px_engine *engine, struct px_detail *detail);

/// Take over: apply socket options to inherited sockets, listen() on all that do not listen yet. Returns 0 or -errno.
PX_API PX_MUST_USE int px_engine_listen(px_engine *engine, struct px_detail *detail);
/// Accept from now on, on every worker. PX_EVENT_ACCEPT_STARTED follows. Also the rollback: sockets marked removed listen again
/// (a pipe is bound anew), extra sockets made for the child that listen are accepted from, our options are applied again.
PX_API PX_MUST_USE int px_engine_accept_start(px_engine *engine, struct px_detail *detail);
/// Accept no more; descriptors stay open. Sockets marked removed are accepted from until empty, then shut down for reading, so
/// that clients are refused. PX_EVENT_ACCEPT_STOPPED follows, then PX_EVENT_EMPTY as soon as no connection is left.
PX_API void px_engine_accept_stop(px_engine *engine);
/// Admin /drain_listeners: for every listener (or only those with traffic_direction INBOUND) mark removed and stop as above.
PX_API void px_engine_drain_listeners(px_engine *engine, bool inbound_only);

/// Sockets of listeners, to be passed to a child. Index is stable until accept_start or destroy. The fd stays the engine's.
PX_API uint32_t px_engine_socket_count(const px_engine *engine);
PX_API PX_MUST_USE int px_engine_socket(const px_engine *engine, uint32_t index, struct px_socket_label *label);  ///< returns the fd
/// The child did not keep socket `index`.
PX_API void px_engine_mark_removed(px_engine *engine, uint32_t index);
/// A child will set these options on our sockets when it takes over: note their present values, in place of what was noted before, so
/// that px_engine_clear_marks and a rollback can put them back. At most PX_OPTION_NAMES_MAX. 0 or -errno.
PX_API PX_MUST_USE int px_engine_remember_options(px_engine *engine, const struct px_option_name *names, uint32_t count);
/// Forget all such marks and forget extra sockets that do not listen (a failed child); put options back that it has changed.
PX_API void px_engine_clear_marks(px_engine *engine);
/// Parent side: make up to `count` further sockets for `addr` (which must be, or be covered by, an address of ours), bound and
/// not listening, with SO_REUSEPORT set on all of the group. Keeps a copy of each. Returns how many stand in `fds` (the
/// caller sends and does not close them), or -errno.
PX_API PX_MUST_USE int px_engine_make_sockets(px_engine *engine, const struct px_addr *addr, uint32_t count, int32_t *fds);

// ---- connections --------------------------------------------------------------------------------------------------------

/// Open downstream connections over all workers. thread: any.
PX_API uint64_t px_engine_connections(const px_engine *engine);
/// Age in ms of the oldest open connection and the listener it came by. Returns false when there is none or no worker answered
/// within 50 ms.
PX_API bool px_engine_oldest(px_engine *engine, uint64_t *age_ms, char *listener, size_t size);
/// Close every connection by force. PX_EVENT_CLOSED_ALL follows with the count.
PX_API void px_engine_close_all(px_engine *engine);
/// Reopen access-log files (SIGUSR1). Done by the writer thread.
PX_API void px_engine_reopen_logs(px_engine *engine);
/// Write out what the access logs hold, waiting at most `timeout_ms`. Returns 0 or -ETIMEDOUT.
PX_API PX_MUST_USE int px_engine_flush_logs(px_engine *engine, uint32_t timeout_ms);

// ---- snapshots for the admin page ----------------------------------------------------------------------------------------

/// One host of a cluster, as /clusters shows it.
struct px_host_snapshot {
    struct px_addr addr;
    const char *hostname;   ///< "" where none; valid until the call returns
    uint32_t weight;
    bool healthy;
    int64_t cx_active;
    uint64_t cx_total;
    uint64_t cx_connect_fail;
};
PX_API uint32_t px_engine_cluster_count(const px_engine *engine);
PX_API const char *px_engine_cluster_name(const px_engine *engine, uint32_t cluster);
PX_API void px_engine_each_host(px_engine *engine, uint32_t cluster, void (*each)(const struct px_host_snapshot *host, void *PX_NULLABLE context), void *PX_NULLABLE context);
/// Bound address of a listener (real port). Returns 0 or -ENOENT.
PX_API PX_MUST_USE int px_engine_listener_address(const px_engine *engine, uint32_t listener, uint32_t address_index, struct px_addr *out);

PX_ASSUME_NONNULL_END

#endif
