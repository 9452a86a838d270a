// The load client: what its modes share. One thread, one epoll, fixed tables; everything a server does to a connection ends in
// exactly one outcome, and every outcome is counted.
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum load_mode { MODE_CONNECT, MODE_HOLD, MODE_BULK, MODE_ECHO_SERVER };

// What became of a connection. The first is the only good one.
#define LOAD_OUTCOMES(X)                                                                  \
    X(OK, "ok")                             /* echo verified, closed in order */          \
    X(REFUSED, "refused")                   /* ECONNREFUSED, ENOENT of a path */          \
    X(RESET, "reset")                       /* ECONNRESET, EPIPE */                       \
    X(EOF_BEFORE_REPLY, "eof_before_reply") /* orderly end before the first reply byte */ \
    X(SHORT_REPLY, "short_reply")           /* orderly end within the reply */            \
    X(WRONG_BYTES, "wrong_bytes")           /* other bytes, or bytes too many */          \
    X(CONNECT_TIMEOUT, "connect_timeout")                                                 \
    X(REPLY_TIMEOUT, "reply_timeout")                                                     \
    X(CLOSE_TIMEOUT, "close_timeout")       /* half-closed, and no end came back */       \
    X(LOCAL, "local")                       /* this machine's fault: no port, no fd */    \
    X(OTHER, "other")

enum load_outcome {
#define LOAD_OUTCOME_ENUM(name, text) OUTCOME_##name,
    LOAD_OUTCOMES(LOAD_OUTCOME_ENUM)
#undef LOAD_OUTCOME_ENUM
    OUTCOME_COUNT
};

enum { LOAD_PAYLOAD_MAX = 65536, LOAD_SESSIONS_MAX = 65536, LOAD_SECONDS_MAX = 86400 };

struct load_options {
    enum load_mode mode;
    const char *address;
    double rate;           // connections begun per second; 0 = as fast as `concurrency` allows
    uint32_t concurrency;  // connections open at a time (hold: sessions)
    uint64_t count;        // end after so many connections; 0 = until told
    double seconds;        // end after so long
    uint32_t size;         // payload bytes of one exchange
    uint32_t interval_ms;  // hold: pause between two exchanges of a session
    uint32_t timeout_ms;   // of each step of a connection
    uint32_t sources;      // how many 127.0.0.x to connect from, in turn; 0 = let the kernel choose
    uint64_t seed;
    bool reset;            // end with RST, which leaves no TIME_WAIT behind
    bool half_close;       // end with shutdown(SHUT_WR) and wait for the server's end
    bool events;           // print one JSON line per failure as it happens
    const char *outcomes;  // connect: a file that gets one line for each connection; NULL = none
};

// Returns 0, or the exit code after having printed what is wrong (or the help).
int load_options_parse(int argc, char **argv, struct load_options *out, bool *done);

// ---- clock, addresses, bytes ----------------------------------------------------------------------------------------------

uint64_t load_now_us(void);   // CLOCK_MONOTONIC
uint64_t load_unix_ms(void);  // CLOCK_REALTIME

struct load_address {
    struct sockaddr_storage storage;
    socklen_t length;
};
// "1.2.3.4:80", "[::1]:80", "/path", "@name". Returns 0 or -EINVAL.
int load_address_parse(const char *text, struct load_address *out);
// Print `address` the same way into `text`.
const char *load_address_format(const struct load_address *address, char *text, size_t size);

// Bytes that belong to position `position` of stream `id`, valid for `LOAD_PAYLOAD_MAX` bytes. The pattern repeats after a prime
// number of bytes, so that a lost, doubled or swapped block of any usual size shows.
void load_pattern_init(uint64_t seed);
const uint8_t *load_pattern(uint64_t id, uint64_t position);

// ---- what was measured ----------------------------------------------------------------------------------------------------

// Log-linear histogram of microseconds, 16 sub-buckets per octave: quantiles are at most 6 % too high.
enum { HISTOGRAM_BUCKETS = 64 * 16 };
struct load_histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max;
};
void load_histogram_record(struct load_histogram *histogram, uint64_t value);
uint64_t load_histogram_quantile(const struct load_histogram *histogram, double quantile);

// `plain` and `marked`: SIGUSR1 opens a marked period (a restart, say), SIGUSR2 ends it.
struct load_report {
    uint64_t tried;
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t exchanges;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t retries;  // connect() to a Unix socket whose backlog was full
    uint64_t open;     // sessions or connections still open at the end
    uint64_t first_failure_ms, last_failure_ms;
    struct load_histogram plain, marked;
    uint64_t begun_us;
};
extern struct load_report load_report;
extern struct load_options load_options;

// Count an outcome; a failure is also printed as it happens if --events asks for it.
void load_report_outcome(enum load_outcome outcome, uint64_t id, uint64_t age_us, int error);
// connect, with --outcomes: "outcome begun answered ended" of one connection, the times in µs of CLOCK_MONOTONIC; answered is 0 where
// no reply was verified.
int load_outcomes_open(void);
void load_outcomes_write(enum load_outcome outcome, uint64_t begun_us, uint64_t answered_us);
int load_outcomes_close(void);
// The one JSON object at the end.
void load_report_print(void);
const char *load_outcome_name(enum load_outcome outcome);
enum load_outcome load_outcome_of_errno(int error);

// ---- the loop -------------------------------------------------------------------------------------------------------------

extern int load_epoll;
extern bool load_marked;    // between SIGUSR1 and SIGUSR2
extern bool load_stopping;  // SIGTERM, SIGINT, the time or the count is over

// One epoll_wait of at most `timeout_ms`; every event of a registered pointer goes to `handle`. Sees to signals and the end of
// time.
void load_turn(int timeout_ms, void (*handle)(void *object, uint32_t events));
int load_loop_init(void);
int load_watch(int fd, void *object, uint32_t events);

// ---- one client connection ------------------------------------------------------------------------------------------------

enum session_state { SESSION_FREE, SESSION_RETRYING, SESSION_CONNECTING, SESSION_EXCHANGING, SESSION_IDLE, SESSION_CLOSING };

struct session {
    int fd;
    enum session_state state;
    uint64_t id;
    uint64_t begun_us;     // connect() was called
    uint64_t exchange_us;  // this exchange began
    uint64_t answered_us;  // the last exchange was verified; 0: none was
    uint64_t due_us;       // end of the present step's time, or when an idle session's next exchange is due
    uint64_t position;     // of the stream, where this exchange begins
    uint32_t length, sent, received;
    bool marked;           // touched a marked period
    struct session *prev, *next;
};

// Lists are in order of due_us, because every member of one list waits for the same length of time.
struct session_list {
    struct session *first, *last;
};
void session_list_add(struct session_list *list, struct session *session);
void session_list_remove(struct session_list *list, struct session *session);

// Every step returns OUTCOME_OK as long as nothing is wrong; what has been reached is in `state`.
enum load_outcome session_open(struct session *session, uint64_t id);
void session_begin_exchange(struct session *session, uint32_t length);
// Go on as far as the socket lets: EXCHANGING becomes IDLE once the whole reply is verified, CLOSING becomes FREE.
enum load_outcome session_advance(struct session *session, uint32_t events);
// After a verified exchange: end it as the options say. State is CLOSING or FREE afterwards.
void session_finish(struct session *session);
// Close at once, whatever it is doing.
void session_abort(struct session *session);
enum load_outcome session_timeout_outcome(const struct session *session);

extern int load_last_error;  // errno behind the last outcome that was not OK

int load_run_connect(void);
int load_run_hold(void);
int load_run_bulk(void);
int load_run_echo_server(void);

#endif
