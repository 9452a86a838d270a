/// What passes between generations: packets with descriptors over a Unix SOCK_SEQPACKET link, the shared control block, the
/// queue, and the making of processes. docs/design/0002-handover-protocol.md describes the messages; the driver composes
/// them, the codec and the transport are here.
#ifndef PX_HANDOFF_H
#define PX_HANDOFF_H

#include "px_base.h"

PX_ASSUME_NONNULL_BEGIN

// ---- packets --------------------------------------------------------------------------------------------------------------

/// The range of control-protocol versions this program speaks.
#define PX_PROTOCOL_MIN 1
#define PX_PROTOCOL_MAX 1
/// Largest packet, header included. Below the default net.core.wmem_default (212992), so one packet always fits.
#define PX_PACKET_MAX 65536
/// Descriptors in one packet: the kernel's SCM_MAX_FD (include/net/scm.h).
#define PX_PACKET_FDS_MAX 253
/// Bit of a tag: whoever does not know the tag must refuse the message.
#define PX_TAG_REQUIRED 0x8000

/// A packet being written, in caller's storage. A put that does not fit sets `error` and changes nothing else; check once, at the end.
struct px_writer {
    uint8_t *PX_NULLABLE bytes;
    uint32_t capacity;
    uint32_t length;
    int32_t error;
};
/// Begin a packet: magic, protocol version, type, sequence number, descriptor count 0.
PX_API void px_writer_begin(struct px_writer *writer, uint8_t *bytes, uint32_t capacity, uint16_t version, uint16_t type, uint32_t sequence);
PX_API void px_writer_put_u64(struct px_writer *writer, uint16_t tag, uint64_t value);
PX_API void px_writer_put_bytes(struct px_writer *writer, uint16_t tag, const void *PX_NULLABLE bytes, uint32_t length);
/// Finish: writes length and descriptor count. Returns the packet's length or -PX_E_NO_SPACE.
PX_API PX_MUST_USE int px_writer_finish(struct px_writer *writer, uint32_t descriptors);

/// A checked packet. Points into the caller's bytes.
struct px_packet {
    uint16_t version;
    uint16_t type;
    uint32_t sequence;
    uint32_t descriptors;   ///< how many the sender says it attached
    const uint8_t *PX_NULLABLE fields;
    uint32_t fields_length;
};
struct px_field {
    uint16_t tag;
    uint32_t length;
    const uint8_t *PX_NULLABLE bytes;
};
/// Check magic, lengths and every field's bounds. Returns 0 or -PX_E_MALFORMED. Never reads past `length`. thread: any.
PX_API PX_MUST_USE int px_packet_parse(const uint8_t *bytes, uint32_t length, struct px_packet *out);
/// Walk the fields: `*cursor` starts at 0. Returns false at the end.
PX_API bool px_packet_next(const struct px_packet *packet, uint32_t *cursor, struct px_field *out);
/// Value of an integer field of 8 bytes. Returns false if the length is another.
PX_API bool px_field_u64(const struct px_field *field, uint64_t *out);

// ---- links ----------------------------------------------------------------------------------------------------------------

/// Bind (not listen) the control name: abstract with a leading '@', else a path. A path left by a crash (connection refused) is
/// replaced under a lock file `<path>.lock`; one that somebody answers on gives -PX_E_NAME_IN_USE. `mode`: permission bits of a path.
/// Returns a descriptor or a negative code with `detail`.
PX_API PX_MUST_USE int px_link_bind(const char *name, uint32_t mode, struct px_detail *detail);
/// listen() (again): from now on SO_PEERCRED of connecting sockets shows this process.
PX_API PX_MUST_USE int px_link_listen(int fd);
/// Connect. Returns a non-blocking descriptor; -ECONNREFUSED or -ENOENT: nobody there; -EAGAIN: backlog full, try again.
PX_API PX_MUST_USE int px_link_connect(const char *name, struct px_detail *detail);
/// Accept one link, non-blocking. Returns a descriptor, -EAGAIN or -errno.
PX_API PX_MUST_USE int px_link_accept(int fd);
/// A connected pair (supervision channels, tests). Returns 0 or -errno.
PX_API PX_MUST_USE int px_link_pair(int32_t fds[PX_NONNULL 2]);

struct px_peer {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};
/// Credentials of the other side (SO_PEERCRED). Returns 0 or -errno.
PX_API PX_MUST_USE int px_link_peer(int fd, struct px_peer *out);
/// Whether `peer` may take part: same effective user as ours, or root.
PX_API bool px_peer_is_permitted(const struct px_peer *peer);
/// A pidfd of the other side: SO_PEERPIDFD (Linux 6.5), else pidfd_open of the peer's pid. Returns a descriptor, or -errno
/// (the process is gone, or the kernel has no pidfds).
PX_API PX_MUST_USE int px_link_peer_pidfd(int fd);

/// Whether a descriptor that came from another process is a control socket: Unix SOCK_SEQPACKET, bound, connected to nobody.
/// Returns 0 or -errno: -ENOTSOCK, -EAFNOSUPPORT, -EPROTOTYPE, -EISCONN, -EADDRNOTAVAIL.
PX_API PX_MUST_USE int px_link_check_control(int fd);
/// Whether it is a link: Unix SOCK_SEQPACKET, connected (its other end may be gone). Returns 0 or -errno, -ENOTCONN among them.
PX_API PX_MUST_USE int px_link_check(int fd);

/// Send one packet with descriptors (which stay the caller's). Never blocks: -EAGAIN when the other side does not read;
/// -EPIPE / -ECONNRESET when it is gone; -ETOOMANYREFS when too many descriptors are in flight.
PX_API PX_MUST_USE int px_link_send(int fd, const uint8_t *bytes, uint32_t length, const int32_t *PX_NULLABLE fds, uint32_t count);
/// Receive one packet. Returns its length; -EAGAIN; -PX_E_CLOSED at the end; -PX_E_TRUNCATED or -PX_E_DESCRIPTOR_COUNT after
/// closing what came. Received descriptors are close-on-exec and the caller's. `fds` has room for PX_PACKET_FDS_MAX.
PX_API PX_MUST_USE int px_link_receive(int fd, uint8_t *bytes, uint32_t capacity, int32_t *fds, uint32_t *count);

// ---- control block ----------------------------------------------------------------------------------------------------------

/// Shared by all living generations of one base id: who serves, the locks of the log files, one record per generation.
typedef struct px_control_block px_control_block;

/// Create with `epoch` serving. NULL with `detail` (errno, bytes asked for, limit found).
PX_API PX_MUST_USE px_control_block *PX_NULLABLE px_control_block_create(uint64_t epoch, struct px_detail *detail);
/// Map one that a parent passed, after checking seals, size, magic, layout version. Takes ownership of `fd` on success only.
PX_API PX_MUST_USE px_control_block *PX_NULLABLE px_control_block_attach(int fd, struct px_detail *detail);
PX_API void px_control_block_destroy(px_control_block *PX_NULLABLE block);
PX_API int px_control_block_fd(const px_control_block *block);

/// Epoch that serves. thread: any.
PX_API uint64_t px_control_block_serving(const px_control_block *block);
/// Compare and swap who serves. Returns whether it was swapped. thread: any.
PX_API bool px_control_block_take(px_control_block *block, uint64_t expected, uint64_t epoch);

enum PX_CLOSED_ENUM px_generation_state {
    PX_GENERATION_INITIALIZING = 0, PX_GENERATION_SERVING = 1, PX_GENERATION_DRAINING = 2, PX_GENERATION_STOPPING = 3
};
/// One generation's record, written by itself alone.
struct px_generation {
    uint64_t epoch;
    int32_t pid;
    enum px_generation_state state;
    uint64_t started_unix_ms;
    uint64_t first_started_unix_ms;   ///< of the first generation of this chain
    uint64_t connections;
    uint64_t oldest_connection_ms;    ///< age of the oldest connection
    uint64_t drain_ends_unix_ms;      ///< force deadline; 0 when not draining
    uint64_t heartbeat_ns;            ///< CLOCK_MONOTONIC of the last turn of its main loop's timer
    uint64_t config_hash;
    char version[32];
};
/// Records in the block, at most this many generations at a time.
#define PX_GENERATIONS_MAX 64
/// Write own record (found by epoch, else the first free place). Returns 0 or -PX_E_NO_SPACE. thread: owner.
PX_API PX_MUST_USE int px_control_block_publish(px_control_block *block, const struct px_generation *record);
/// Remove the record of `epoch` (by its owner when it leaves, or by the serving generation when the owner is dead).
PX_API void px_control_block_retire(px_control_block *block, uint64_t epoch);
/// Copy all records, sorted by epoch. Returns how many.
PX_API uint32_t px_control_block_generations(const px_control_block *block, struct px_generation *out, uint32_t capacity);

enum PX_CLOSED_ENUM px_lock { PX_LOCK_LOG = 0, PX_LOCK_ACCESS_LOG = 1 };
/// Write whole lines to an O_APPEND file under a lock of the control block (NULL: no lock), waiting for it at most `timeout_ms`;
/// then write anyway. One write() where the kernel takes all. If the lock's owner died (EOWNERDEAD) and the file's last byte is no
/// newline, ends the dead writer's partial line first. Returns 0 or -errno. thread: any but a worker.
PX_API PX_MUST_USE int px_locked_write(int fd, px_control_block *PX_NULLABLE block, enum px_lock lock, const void *bytes, size_t length, uint32_t timeout_ms);
/// End a partial last line left by a crash (regular files opened O_RDWR). Returns 0 or -errno.
PX_API PX_MUST_USE int px_end_partial_line(int fd);

// ---- queue ------------------------------------------------------------------------------------------------------------------

/// A pair of lock-free single-producer single-consumer rings in one sealed memfd, one in each direction, each with an eventfd.
typedef struct px_queue px_queue;
enum PX_CLOSED_ENUM px_queue_side { PX_QUEUE_PARENT = 0, PX_QUEUE_CHILD = 1 };
/// `ring_bytes` (1 to 16 MiB) is rounded up to a power of two of at least 4096. NULL with `detail`.
PX_API PX_MUST_USE px_queue *PX_NULLABLE px_queue_create(uint32_t ring_bytes, enum px_queue_side side, struct px_detail *detail);
/// Descriptors to pass: memfd, eventfd parent→child, eventfd child→parent. Stay the queue's.
PX_API void px_queue_fds(const px_queue *queue, int32_t fds[PX_NONNULL 3]);
/// Attach to passed descriptors; takes ownership of all three on success only. Somebody else may have used this side before
/// (never at the same time): begin with px_queue_clear and px_queue_pop, not with a wait.
PX_API PX_MUST_USE px_queue *PX_NULLABLE px_queue_attach(const int32_t fds[PX_NONNULL 3], enum px_queue_side side, struct px_detail *detail);
PX_API void px_queue_destroy(px_queue *PX_NULLABLE queue);
/// Append one message for the other side and wake it. Returns 0, -EAGAIN (full; the message is dropped by the caller or tried again),
/// -EMSGSIZE (larger than the ring less 8 bytes) or -PX_E_MALFORMED as px_queue_pop. thread: one producer.
PX_API PX_MUST_USE int px_queue_push(px_queue *queue, uint32_t type, const void *PX_NULLABLE bytes, uint32_t length);
/// Take one message sent by the other side. Returns its length, -EAGAIN when empty, -EMSGSIZE when it does not fit (it is gone
/// then, there may be more behind it), -PX_E_MALFORMED if the other side wrote nonsense (the queue is then dead for good).
/// thread: one consumer.
PX_API PX_MUST_USE int px_queue_pop(px_queue *queue, uint32_t *type, void *bytes, uint32_t capacity);
/// The eventfd that says something may be there for us. It is raised once after each px_queue_clear; so: clear, then
/// px_queue_pop until -EAGAIN. Who stops before that must come back by himself, or raise it again for himself.
PX_API int px_queue_event_fd(const px_queue *queue);
PX_API void px_queue_clear(px_queue *queue);
PX_API void px_queue_raise(px_queue *queue);

// ---- processes ----------------------------------------------------------------------------------------------------------------

struct px_spawn_spec {
    const char *path;                        ///< program, absolute or with a '/' (no PATH search)
    const char *PX_NULLABLE const *PX_NONNULL argv;  ///< NULL-terminated
    const char *PX_NULLABLE const *PX_NONNULL envp;  ///< NULL-terminated
    const int32_t *PX_NULLABLE inherit;      ///< descriptors to pass: inherit[2i] here becomes inherit[2i+1] there
    uint32_t inherit_count;                  ///< number of such pairs
    bool new_session;                        ///< setsid(): detached from the terminal
};
/// fork and exec with all signals at default, none blocked, everything but 0, 1, 2 and `inherit` closed. An exec that fails is
/// reported here (the child is reaped). Returns 0 with `*pid` and `*pidfd` (caller's; -1 where the kernel has none), or -errno with `detail`
/// (call = the step that failed).
PX_API PX_MUST_USE int px_spawn(const struct px_spawn_spec *spec, int32_t *pid, int32_t *pidfd, struct px_detail *detail);
/// Send a signal through a pidfd (never to a recycled pid). Returns 0 or -errno.
PX_API PX_MUST_USE int px_pidfd_signal(int pidfd, int signal);
PX_API PX_MUST_USE int px_pidfd_open(int32_t pid);
/// Whether process `pid` (> 0) runs; one that has ended and was not reaped does not. A pidfd tells; where none can be had (no descriptor
/// left, a seccomp filter that does not know the call) the pid alone, which may be another's by now: never takes a living process for dead.
PX_API PX_MUST_USE bool px_process_is_running(int32_t pid);
/// Reap `pid` if it has ended (WNOHANG): returns 1 with `*exit_code` (or `*term_signal` > 0), 0 while it runs, -errno.
/// pid -1: any child; `*reaped` gets its pid.
PX_API PX_MUST_USE int px_reap(int32_t pid, int32_t *reaped, int32_t *exit_code, int32_t *term_signal);
/// Send `text` to a systemd notification socket (path or '@' abstract). Returns 0 or -errno.
PX_API PX_MUST_USE int px_notify(const char *socket_path, const char *text);
/// The same with one descriptor (sd_pid_notify_with_fds(3)), which stays the caller's. Returns 0 or -errno.
PX_API PX_MUST_USE int px_notify_fd(const char *socket_path, const char *text, int fd);
/// A memory file (memfd_create(2)) with these bytes, to be kept by somebody who keeps descriptors. Returns a close-on-exec descriptor
/// or -errno.
PX_API PX_MUST_USE int px_memory_file(const char *name, const void *PX_NULLABLE bytes, size_t length);

PX_ASSUME_NONNULL_END

#endif
