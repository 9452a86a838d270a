/// Words every other header uses: visibility, nullability, error codes, error detail, addresses.
///
/// Errors: functions return 0 (or a count) or a negative number: `-errno` from the kernel, or `-PX_E_…` of our own,
/// which start above the kernel's largest errno (4095, include/linux/err.h MAX_ERRNO).
#ifndef PX_BASE_H
#define PX_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PX_API __attribute__((visibility("default")))
#define PX_MUST_USE __attribute__((warn_unused_result))

// gcc has no nullability qualifiers and no closed enums; clang (and so Swift) has both.
#if defined(__clang__)
#define PX_NULLABLE _Nullable
#define PX_NONNULL _Nonnull
#define PX_ASSUME_NONNULL_BEGIN _Pragma("clang assume_nonnull begin")
#define PX_ASSUME_NONNULL_END _Pragma("clang assume_nonnull end")
#define PX_CLOSED_ENUM __attribute__((enum_extensibility(closed)))
#else
#define PX_NULLABLE
#define PX_NONNULL
#define PX_ASSUME_NONNULL_BEGIN
#define PX_ASSUME_NONNULL_END
#define PX_CLOSED_ENUM
#endif

PX_ASSUME_NONNULL_BEGIN

/// Version of the program, as `--version` and the control protocol show it.
#define PX_VERSION "0.1.0"

/// Own error codes: code, name, text. One table, so that name, text and number cannot drift apart.
#define PX_ERROR_MAP(X)                                                                     \
    X(5000, MALFORMED, "message is malformed")                                              \
    X(5001, UNKNOWN_FIELD, "message has a required field this version does not know")       \
    X(5002, TRUNCATED, "message or its descriptors arrived truncated")                      \
    X(5003, DESCRIPTOR_COUNT, "message carries another number of descriptors than it says") \
    X(5004, NOT_PERMITTED, "peer runs as another user")                                     \
    X(5005, INCOMPATIBLE, "layout or version is not one this program knows")                \
    X(5006, NO_SPACE, "no room left in a fixed-size structure")                             \
    X(5007, NAME_IN_USE, "somebody else holds the name")                                    \
    X(5008, CLOSED, "peer closed the connection")

enum px_error_code {
#define PX_ERROR_ENUM(code, name, text) PX_E_##name = code,
    PX_ERROR_MAP(PX_ERROR_ENUM)
#undef PX_ERROR_ENUM
};

/// Name of an error, for example "EADDRINUSE" or "PX_E_MALFORMED". `code` may be negative or positive.
/// Returns a static string. thread: any.
PX_API const char *px_error_name(int code);

/// Text of an error in English, for example "Address already in use". Static or per-thread string. thread: any.
PX_API const char *px_error_text(int code);

/// What failed, for a person: filled by functions that can fail for reasons an operator must understand.
/// All strings are NUL-terminated and cut where too long.
struct px_detail {
    int32_t code;      ///< the negative return value
    char call[32];     ///< system call or step, for example "bind"
    char object[160];  ///< what it was done to, for example "127.0.0.1:10000" or a path
    char text[320];    ///< further facts: limits found, sizes asked for; may be empty
};

/// Room for any socket address we handle (sockaddr_un is the largest, 110 bytes).
#define PX_ADDR_BYTES 112
#define PX_ADDR_TEXT 160

/// A socket address: IPv4, IPv6 or Unix (path or, with a leading '@', abstract).
struct px_addr {
    uint32_t length;               ///< bytes used of storage; 0 = no address
    uint8_t storage[PX_ADDR_BYTES];  ///< a struct sockaddr_in, _in6 or _un, copied in and out, never cast
};

/// Parse an IP literal (v4, v6, v6%scope) and a port. Returns 0 or -EINVAL. thread: any.
PX_API PX_MUST_USE int px_addr_from_ip(const char *ip, uint16_t port, struct px_addr *out);

/// Make a Unix address. A leading '@' means the abstract namespace; the rest of sun_path is then not padded.
/// Returns 0, -EINVAL (empty) or -ENAMETOOLONG (over 107 bytes). thread: any.
PX_API PX_MUST_USE int px_addr_from_path(const char *path, struct px_addr *out);

/// Print as "1.2.3.4:80", "[::1]:80", "/path" or "@name" into `text`. Always NUL-terminates. Returns `text`. thread: any.
PX_API const char *px_addr_format(const struct px_addr *addr, char *text, size_t size);

/// The IP alone ("1.2.3.4", "::1"); a Unix address prints its path.
PX_API const char *px_addr_format_ip(const struct px_addr *addr, char *text, size_t size);

/// Port in host order; 0 for Unix addresses.
PX_API uint16_t px_addr_port(const struct px_addr *addr);
/// AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC.
PX_API int px_addr_family(const struct px_addr *addr);
/// The same address bytes, port included. thread: any.
PX_API bool px_addr_equal(const struct px_addr *a, const struct px_addr *b);
/// Whether `general` is the wildcard address of the same family and port as `addr` (and differs from it);
/// [::]:p covers v4 addresses of that port too.
PX_API bool px_addr_covers(const struct px_addr *general, const struct px_addr *addr);
/// Bound address of a socket (getsockname). Returns 0 or -errno. thread: any.
PX_API PX_MUST_USE int px_addr_of_socket(int fd, struct px_addr *out);

/// Monotonic clock, nanoseconds (CLOCK_MONOTONIC; the same in all processes of one boot). thread: any.
PX_API uint64_t px_clock_monotonic_ns(void);

/// Descriptor limit and use: soft RLIMIT_NOFILE and how many descriptors this process has open (counted in /proc/self/fd;
/// -1 where it cannot be read). thread: any.
PX_API void px_descriptor_usage(uint64_t *limit, int64_t *used);
/// Raise the soft descriptor limit to the hard one. Returns the limit now in force. thread: owner.
PX_API uint64_t px_descriptor_limit_raise(void);
/// Bytes in use and bytes held by the C library's allocator (mallinfo2(3)). thread: any.
PX_API void px_memory_usage(uint64_t *allocated, uint64_t *heap);
/// Unmap the pages of the program and its libraries that have been read so far; what is needed again comes back from the page
/// cache. For the time shortly after a start. Does nothing while a debugger is attached. thread: any.
PX_API void px_start_memory_release(void);
/// Number of processors this process may run on (sched_getaffinity), at least 1. thread: any.
PX_API uint32_t px_processor_count(void);

/// One log record out of the core. Text is complete; the fields are kept apart so that the driver can print them as data.
struct px_log_record {
    uint32_t level;        ///< 0 trace, 1 debug, 2 info, 3 notice, 4 warning, 5 error, 6 critical
    char component[24];    ///< Envoy's logger name: "main", "conn_handler", "upstream", "config", "hot_restart", "admin", "file"
    char text[400];
};
/// Take the oldest record out of the process-wide bounded ring. Returns false when it is empty. thread: owner (one reader).
PX_API bool px_log_take(struct px_log_record *out);
/// Records lost because the ring was full, since the last call.
PX_API uint64_t px_log_lost(void);
/// Records below `level` are not even formatted (relaxed atomic). thread: any.
PX_API void px_log_set_level(uint32_t level);
/// An eventfd that becomes readable when the ring gets its first record; owned by the core, never closed.
PX_API int px_log_fd(void);

PX_ASSUME_NONNULL_END

#endif
