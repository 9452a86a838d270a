/// The main thread's event loop and the admin server on it. The driver gives one callback and gets everything as events:
/// signals, timers, readable descriptors, admin requests, and what the engine reports. Everything here: thread: owner (the
/// thread that runs the loop), unless a declaration says otherwise.
#ifndef PX_MAINLOOP_H
#define PX_MAINLOOP_H

#include "px_base.h"

PX_ASSUME_NONNULL_BEGIN

typedef struct px_mainloop px_mainloop;
typedef struct px_admin px_admin;

enum PX_CLOSED_ENUM px_event_kind {
    PX_EVENT_SIGNAL = 0,          ///< `signal`, `sender_pid`
    PX_EVENT_TIMER = 1,           ///< `token`; one shot
    PX_EVENT_READABLE = 2,        ///< `token`; level-triggered: comes again until read or unwatched. Hang-up counts as readable
    PX_EVENT_ADMIN_REQUEST = 3,   ///< `request`
    PX_EVENT_ENGINE_WARM = 4,     ///< every cluster had its first name resolution (well or badly)
    PX_EVENT_ACCEPT_STOPPED = 5,  ///< every worker has stopped accepting
    PX_EVENT_ACCEPT_STARTED = 6,  ///< every worker accepts
    PX_EVENT_EMPTY = 7,           ///< no connection left while not accepting
    PX_EVENT_LOG = 8,             ///< px_log_take has something
    PX_EVENT_CLOSED_ALL = 9,      ///< px_engine_close_all is done: `count` connections were closed
    PX_EVENT_LOST_SERVICE = 10,   ///< a worker found that another generation serves (word in the control block) and stopped accepting
};

/// A parsed admin request. Strings live until the callback returns.
struct px_admin_request {
    uint64_t id;                   ///< for px_admin_respond
    const char *method;            ///< "GET", "POST", ...
    const char *path;              ///< percent-decoding not applied; without the query
    const char *query;             ///< after '?', may be ""
    const char *origin;            ///< Origin header, "" where absent
    const char *host;              ///< Host header, "" where absent
    const uint8_t *body;
    size_t body_length;            ///< at most 64 KiB; larger bodies are refused with 413 before this
};

struct px_event {
    enum px_event_kind kind;
    uint64_t token;
    int32_t signal;
    int32_t sender_pid;
    uint64_t count;
    const struct px_admin_request *PX_NULLABLE request;
};

/// Called on the loop's thread, for one event at a time; may call anything here except px_mainloop_run and _destroy.
typedef void (*px_event_fn)(const struct px_event *event, void *PX_NULLABLE context);

/// Create the loop. Blocks nothing yet. NULL with `detail` on failure.
PX_API PX_MUST_USE px_mainloop *PX_NULLABLE px_mainloop_create(px_event_fn callback, void *PX_NULLABLE context, struct px_detail *detail);
/// After this returns, the callback never runs again. NULL is fine.
PX_API void px_mainloop_destroy(px_mainloop *PX_NULLABLE loop);
/// Block `signals` in the calling thread (call before any other thread exists) and deliver them as events; SIGPIPE and SIGXFSZ are ignored.
PX_API PX_MUST_USE int px_mainloop_watch_signals(px_mainloop *loop, const int32_t *signals, size_t count);
/// Report `fd` readable as `token`. The descriptor stays the caller's, who must unwatch it before closing it.
PX_API PX_MUST_USE int px_mainloop_watch(px_mainloop *loop, int fd, uint64_t token);
/// Stop watching; events of `fd` already collected in this turn are dropped too. Unknown descriptors are ignored.
PX_API void px_mainloop_unwatch(px_mainloop *loop, int fd);
/// Arm (or re-arm) the one-shot timer `token`, ms from now.
PX_API PX_MUST_USE int px_mainloop_set_timer(px_mainloop *loop, uint64_t token, uint64_t delay_ms);
PX_API void px_mainloop_cancel_timer(px_mainloop *loop, uint64_t token);
/// Run until px_mainloop_stop. Returns 0 or -errno.
PX_API PX_MUST_USE int px_mainloop_run(px_mainloop *loop);
/// Make px_mainloop_run return after the present callback. thread: any.
PX_API void px_mainloop_stop(px_mainloop *loop);
/// One turn: wait at most `timeout_ms` (-1 = for ever), deliver events, return how many, or -errno. For tests and tools.
PX_API PX_MUST_USE int px_mainloop_turn(px_mainloop *loop, int timeout_ms);

/// Admin server: HTTP/1.1 on the main thread, at most 64 connections, 8 KiB of request head, 10 s to send it, idle 60 s.
PX_API PX_MUST_USE px_admin *PX_NULLABLE px_admin_create(px_mainloop *loop);
/// Closes the listening socket and all connections.
PX_API void px_admin_destroy(px_admin *PX_NULLABLE admin);
/// Open the listening socket (bound, not listening yet). Returns 0 or -errno with `detail`.
PX_API PX_MUST_USE int px_admin_open(px_admin *admin, const struct px_addr *addr, struct px_detail *detail);
/// As px_admin_open, beside `other`: another generation's listening socket, which may be bound to the same port with the wildcard address
/// where ours is a specific one, or the other way round. `other` (-1 for none) stays the caller's; it shares its port from then on
/// (SO_REUSEPORT).
PX_API PX_MUST_USE int px_admin_open_beside(px_admin *admin, const struct px_addr *addr, int other, struct px_detail *detail);
/// Whether a descriptor that came from another process can be the listening socket: a stream socket, bound, connected to nobody.
/// Returns 0 or -errno.
PX_API PX_MUST_USE int px_admin_check_fd(int fd);
/// Take over an inherited listening socket, which is checked so first. Ownership passes on success.
PX_API PX_MUST_USE int px_admin_adopt_fd(px_admin *admin, int fd);
/// The listening socket, or -1. Stays the admin server's.
PX_API int px_admin_fd(const px_admin *admin);
PX_API PX_MUST_USE int px_admin_address(const px_admin *admin, struct px_addr *out);
/// listen() and accept from now on.
PX_API PX_MUST_USE int px_admin_start(px_admin *admin);
/// Accept no more (the socket stays open and listening, for whoever else holds it); open connections finish their response
/// and are closed.
PX_API void px_admin_stop(px_admin *admin);
/// As px_admin_stop, and nobody else serves the address either: the listening socket is shut down, so that copies of it in older
/// generations do not let clients connect and hang, and closed. px_admin_open opens one again.
PX_API void px_admin_abandon(px_admin *admin);
/// Answer a request, once, during or after its callback. Unknown ids (connection gone) are ignored. `body` is copied.
/// `extra` : further header lines, each ending in CRLF, or "".
PX_API void px_admin_respond(px_admin *admin, uint64_t request_id, uint32_t status, const char *content_type, const char *extra, const uint8_t *body, size_t length);

PX_ASSUME_NONNULL_END

#endif
