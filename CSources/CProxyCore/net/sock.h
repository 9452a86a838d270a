// Sockets as the kernel has them: open, bind, options, connect. No state of its own, no loop; any thread, except where said.
//
// Every descriptor is born CLOEXEC and NONBLOCK. Functions return a descriptor or 0, or -errno; those with a `detail` fill it
// (call, object, and in the text what an operator needs: limits, rights, who holds the address).
#ifndef PX_SOCK_H
#define PX_SOCK_H

#include "include/px_plan.h"

// Values of socket options as they were, to be put back when a take-over is rolled back.
#define PX_SAVED_OPTION_BYTES 64
struct px_saved_option {
    int32_t level, name;
    uint32_t length;
    uint8_t bytes[PX_SAVED_OPTION_BYTES];
};

struct px_bind_spec {
    struct px_addr addr;
    bool reuse_port;
    bool ipv4_compat;       // let an IPv6 wildcard take IPv4 too (IPV6_V6ONLY off)
    uint32_t pipe_mode;     // permission bits of a pipe path; 0 = leave
    const struct px_socket_option *options;
    size_t option_count;
};

// ---- listening sockets ------------------------------------------------------------------------------------------------------

// Make a stream socket and bind it; no listen(). Options of state PREBIND and BOUND are applied. A stale pipe path (nobody answers) is
// replaced; one that somebody answers on is -EADDRINUSE.
int px_sock_bind(const struct px_bind_spec *spec, struct px_detail *detail);
// Cold start: is anybody on this address already? Binds without SO_REUSEPORT (a reuse_port server would let us join silently) and
// closes again; a pipe is asked by connect(). 0, or -EADDRINUSE with the holder named in detail->text where /proc tells.
int px_sock_probe(const struct px_addr *addr, struct px_detail *detail);
// The same pipe address bound anew, for a rollback after the old socket was shut down (which listen() does not undo for a
// Unix socket). The path is replaced without asking; of an abstract name the old socket must be closed first.
int px_sock_rebind_pipe(const struct px_addr *addr, uint32_t mode, struct px_detail *detail);

// listen(); backlog 0 or less = net.core.somaxconn. Applies options of state LISTENING.
int px_sock_listen(int fd, int32_t backlog, const struct px_socket_option *options, size_t count, struct px_detail *detail);
// SO_ACCEPTCONN: 1, 0 or -errno.
int px_sock_is_listening(int fd);
// 0 if `fd` is a bound stream socket of IPv4, IPv6 or Unix that listens or may (no peer); else -ENOTSOCK, -EPROTOTYPE, -EISCONN …
int px_sock_check_listener(int fd);
// SO_REUSEPORT on a socket that is bound already: the others of its group may then be joined. 0 or -errno.
int px_sock_set_reuse_port(int fd);
// O_NONBLOCK and FD_CLOEXEC on a descriptor that came from outside. 0 or -errno.
int px_sock_adopt_flags(int fd);

// ---- options ----------------------------------------------------------------------------------------------------------------

// Apply those of `state` (all states if `state` < 0). Stops at the first that fails.
int px_sock_apply_options(int fd, const struct px_socket_option *options, size_t count, int state, struct px_detail *detail);
// Read the present values of `names` into `saved` (room for `count`); those that cannot be read are left out. Returns how many.
size_t px_sock_save_options(int fd, const struct px_option_name *names, size_t count, struct px_saved_option *saved);
// Set those whose value has changed since. What cannot be put back is logged.
void px_sock_restore_options(int fd, const struct px_saved_option *saved, size_t count);

// ---- upstream connections ---------------------------------------------------------------------------------------------------

struct px_keepalive {
    bool enabled;
    uint32_t probes, time_s, interval_s;  // 0 = the system's default
};

// Start to connect; NODELAY and keep-alive are set where they apply. Returns the descriptor; `*connected` says whether it is done
// already (pipes, sometimes loopback). -errno: nothing is open.
int px_sock_connect(const struct px_addr *addr, const struct px_keepalive *keepalive, bool *connected);
// SO_ERROR, read and cleared: 0, or -errno of the pending error.
int px_sock_error(int fd);
// TCP_NODELAY; quietly nothing for a Unix socket.
void px_sock_no_delay(int fd);

// Who listens on `addr`, from /proc: "pid 812 (nginx)", or "" where it cannot be told. The scan is bounded. Returns `text`.
const char *px_sock_holder(const struct px_addr *addr, char *text, size_t size);

#endif
