// Accepting. Worker threads only; owns no descriptor.
//
// Level-triggered, unlike every other registration: batches are bounded, and what a batch leaves in the queue must be reported again,
// also to another worker or another process that accepts from the same socket. A socket that several workers accept from is
// registered EPOLLEXCLUSIVE, so that one connection wakes one of them (Linux 4.5).
//
// A batch is one accept4() and doubles after STREAK full batches, back to one at the first EAGAIN, so that lone connections cost
// one call each (hardly ever a second one that only says EAGAIN) and a burst is taken in few turns.
//
// Where only the reserve of descriptors is left (base/reserve.h), all listeners of the process rest as if there were none.
#include "net/listener.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "base/reserve.h"

enum { BATCH_DEFAULT = 32, STREAK = 8, RESUME_MS = 100, GRACE_MS = 50, EMPTY_MAX = 65536, EMPTY_TRIES = 20 };

static struct px_listener *of_handle(struct px_handle *handle) {
    return (struct px_listener *)((char *)handle - offsetof(struct px_listener, handle));
}

static struct px_listener *of_timer(struct px_timer *timer) {
    return (struct px_listener *)((char *)timer - offsetof(struct px_listener, resume));
}

// A connection has got a descriptor of the reserve: nobody is accepted until one below it is free. Of all listeners, since each of them
// would else take one before it noticed.
static atomic_bool reserve_reached;

static bool has_room(const struct px_listener *listener) {
    if (!atomic_load_explicit(&reserve_reached, memory_order_relaxed)) return true;
    if (px_reserve_is_next(listener->fd)) return false;
    atomic_store_explicit(&reserve_reached, false, memory_order_relaxed);
    return true;
}

static int accept_one(struct px_listener *listener) {
    struct px_peer_addr peer;
    socklen_t length = sizeof peer.path;
    int fd = accept4(listener->fd, &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return -errno;
    if (px_reserve_has(fd)) atomic_store_explicit(&reserve_reached, true, memory_order_relaxed);
    peer.length = length < sizeof peer.path ? length : sizeof peer.path;
    listener->ops->accepted(listener, fd, &peer);
    return 0;
}

static bool is_exhaustion(int error) {
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

// Errors of the listening socket itself. Every other error belongs to the one connection that accept4() was about to return
// (ECONNABORTED, EPERM of a firewall, pending network errors; accept(2) "Error handling"), and the next may do.
static bool is_final(int error) {
    return error == -EBADF || error == -EINVAL || error == -ENOTSOCK || error == -EOPNOTSUPP;
}

static void log_exhaustion(const struct px_listener *listener, int error) {
    static struct px_log_gate gate;
    uint64_t skipped;
    if (!px_log_gate_open(&gate, px_loop_now_ms(listener->loop), &skipped)) return;
    const char *remedy = error == -ENOSPC ? "raise fs.epoll.max_user_watches" : "raise the descriptor limit or lower the connection limits";
    px_log(PX_WARNING, "conn_handler", "cannot accept on listener %s: %s; trying again every %d ms (%llu like this not shown); %s",
        listener->config->name, px_error_text(error), RESUME_MS, (unsigned long long)skipped, remedy);
}

// A level-triggered socket that cannot be accepted from would spin the loop.
static void rest(struct px_listener *listener, int error) {
    px__cell_add(listener->shard, listener->config->stats.downstream_accept_paused, 1);
    log_exhaustion(listener, error);
    px_loop_remove(listener->loop, &listener->handle);
    px_timer_arm(listener->loop, &listener->resume, RESUME_MS);
}

static void on_resume(struct px_timer *timer) { px_listener_start(of_timer(timer)); }

static void adapt(struct px_listener *listener, int error) {
    if (error < 0) {
        listener->burst = 1;
        listener->streak = 0;
    } else if (++listener->streak == STREAK) {
        listener->streak = 0;
        listener->burst = listener->burst * 2 < listener->batch ? listener->burst * 2 : listener->batch;
    }
}

static void on_connection(struct px_handle *handle, uint32_t events) {
    struct px_listener *listener = of_handle(handle);
    if (!listener->emptying && !listener->ops->may_accept(listener)) return;
    uint32_t count = 0, burst = listener->burst;
    int error = 0;
    for (uint32_t i = 0; i < burst; i++) {
        error = listener->emptying || has_room(listener) ? accept_one(listener) : -EMFILE;
        if (error == 0) count++;
        if (error == -EAGAIN || is_exhaustion(error) || is_final(error)) break;
    }
    px__cell_record(listener->shard, listener->config->stats.connections_accepted_per_socket_event, count);
    adapt(listener, error);
    if (is_exhaustion(error)) rest(listener, error);
    // Shut down by whoever emptied it: nothing will come any more.
    if (is_final(error)) px_loop_remove(listener->loop, &listener->handle);
}

void px_listener_start(struct px_listener *listener) {
    if (listener->batch == 0) listener->batch = BATCH_DEFAULT;
    listener->burst = 1;
    listener->streak = 0;
    listener->handle.on_events = on_connection;
    listener->resume.on_fire = on_resume;
    int error = px_loop_add(listener->loop, &listener->handle, listener->fd, PX_READ_ONLY | PX_LEVEL | (listener->shared ? PX_EXCLUSIVE : 0));
    if (error < 0) rest(listener, error);
}

// ---- emptying ---------------------------------------------------------------------------------------------------------------
//
// shutdown() of a TCP socket resets what its queue holds and the handshakes under way. So first a filter drops every new SYN
// (a client sends it again after a second, and is refused); handshakes that had begun get GRACE_MS to end (a long one would make
// clients of an address that another socket now covers wait that second more often); then the queue is accepted empty, and
// only then comes shutdown(). It must come once: the second one, on a socket that no longer listens, sets
// RCV_SHUTDOWN, which every connection accepted after a later listen() would inherit and read as its end (inet_shutdown).

static int accept_rest(struct px_listener *listener) {
    int error = 0;
    for (uint32_t i = 0; i < EMPTY_MAX && error != -EAGAIN && !is_exhaustion(error) && !is_final(error); i++) {
        error = accept_one(listener);
    }
    return error;
}

static void filter_syns(const struct px_listener *listener) {
    enum { FLAGS_BYTE = 13, SYN = 0x02, ACK = 0x10 };  // RFC 9293 3.1
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_BYTE),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    (void)setsockopt(listener->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static void unfilter(const struct px_listener *listener) {
    int none = 0;
    (void)setsockopt(listener->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
}

static void finish_emptying(struct px_listener *listener) {
    px_listener_stop(listener);
    listener->ops->emptied(listener);
}

// Without descriptors what waits has to wait on, but not for ever.
static void on_grace(struct px_timer *timer) {
    struct px_listener *listener = (struct px_listener *)((char *)timer - offsetof(struct px_listener, grace));
    int error = accept_rest(listener);
    if (is_exhaustion(error) && listener->tries++ < EMPTY_TRIES) {
        px_timer_arm(listener->loop, timer, RESUME_MS);
        return;
    }
    if (!atomic_exchange(listener->shut, true)) shutdown(listener->fd, SHUT_RD);
    finish_emptying(listener);
}

// A Unix socket keeps its queue when it is shut down, so nothing falls between. Without O_NONBLOCK accept4() would then end with
// EINVAL; with it, it goes on saying EAGAIN, and epoll that there is something to read.
static void empty_pipe(struct px_listener *listener) {
    if (!atomic_exchange(listener->shut, true)) shutdown(listener->fd, SHUT_RD);
    on_grace(&listener->grace);
}

void px_listener_empty(struct px_listener *listener, atomic_bool *shut) {
    px_listener_stop(listener);
    listener->emptying = true;
    listener->shut = shut;
    listener->tries = 0;
    listener->grace.on_fire = on_grace;
    if (listener->pipe) {
        empty_pipe(listener);
        return;
    }
    filter_syns(listener);
    px_listener_start(listener);
    px_timer_arm(listener->loop, &listener->grace, GRACE_MS);
}

void px_listener_stop(struct px_listener *listener) {
    px_timer_cancel(listener->loop, &listener->resume);
    if (listener->handle.fd >= 0) px_loop_remove(listener->loop, &listener->handle);
    if (!listener->emptying) return;
    listener->emptying = false;
    px_timer_cancel(listener->loop, &listener->grace);
    if (!listener->pipe) unfilter(listener);
}
