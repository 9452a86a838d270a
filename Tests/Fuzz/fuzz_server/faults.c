// The wrapped calls. What epoll(7) and the socket calls promise to an edge-triggered reader is kept: after an EAGAIN, or a short
// transfer that stands for a queue that was empty or full, the kernel owes an edge, and EPOLL_CTL_MOD makes it report again. Where
// it owes none (a FIN was reported, a Unix socket, splice) none is given, so whoever waits for one there hangs and is found out.
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 1024, ARMED = 64, BUDGET = 400, EXHAUSTIONS_MAX = 15, SMALLEST_OF_A_CONNECTION = 256 };

struct watched {
    int epoll;  // 0: not watched
    struct epoll_event event;
    uint8_t owed;  // epoll_waits until its edge comes; 0: none
};

static struct {
    bool running, on, lossless;
    uint8_t rate;
    uint64_t random, now_ns, exhausted_ns;
    uint32_t budget, owed, armed_count, exhaustions;
    struct { enum fault_call call; enum fault_kind kind; uint8_t skip; } armed[ARMED];
    struct watched watched[DESCRIPTORS];
} state;

// ---- what happens -----------------------------------------------------------------------------------------------------------

static uint32_t draw(uint32_t below) {
    state.random = state.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state.random >> 33) % below;
}

static enum fault_kind take_armed(enum fault_call call) {
    for (uint32_t i = 0; i < state.armed_count; i++) {
        if (state.armed[i].call != call || state.armed[i].skip-- > 0) continue;
        enum fault_kind kind = state.armed[i].kind;
        memmove(&state.armed[i], &state.armed[i + 1], (--state.armed_count - i) * sizeof state.armed[0]);
        return kind;
    }
    return FAULT_NONE;
}

static enum fault_kind next_fault(enum fault_call call) {
    if (!state.on || state.budget == 0) return FAULT_NONE;
    enum fault_kind kind = take_armed(call);
    if (kind == FAULT_NONE && draw(256) < state.rate) kind = 1 + draw(FAULT_KINDS - 1);
    if (kind == FAULT_FAILED && state.lossless) kind = FAULT_NONE;
    if (kind != FAULT_NONE) state.budget--;
    return kind;
}

static bool fails(enum fault_call call) { return next_fault(call) == FAULT_FAILED; }

static ssize_t refuse(int error) {
    errno = error;
    return -1;
}

static void owe_edge(int fd) {
    struct watched *watched = &state.watched[fd];
    if (!watched->epoll || watched->owed) return;
    watched->owed = (uint8_t)(1 + draw(3));
    state.owed++;
}

static void forget_edge(int fd) {
    if (state.watched[fd].owed) state.owed--;
    state.watched[fd].owed = 0;
}

void faults_begin(uint32_t seed, uint8_t rate, bool lossless) {
    memset(&state, 0, sizeof state);
    state.running = true;
    state.random = seed;
    state.rate = rate;
    state.lossless = lossless;
    state.budget = BUDGET;
    state.now_ns = 1000 * 1000000000ull;
}

void faults_end(void) { state.running = state.on = false; }
void faults_on(bool on) { state.on = on; }
void faults_stop(void) { state.budget = 0; }
void faults_advance_ms(uint64_t ms) { state.now_ns += ms * 1000000; }
uint32_t faults_owed(void) { return state.owed; }
bool faults_exhausted(void) { return state.exhaustions > 0; }

void faults_arm(enum fault_call call, enum fault_kind kind, uint8_t skip) {
    if (state.armed_count == ARMED) return;
    state.armed[state.armed_count].call = call;
    state.armed[state.armed_count].kind = kind;
    state.armed[state.armed_count++].skip = skip;
}

// ---- bytes ------------------------------------------------------------------------------------------------------------------

ssize_t __real_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __real_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __real_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags);
ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags);

static size_t less(size_t length) { return length > 1 ? 1 + draw(length > 4096 ? 4096 : (uint32_t)length - 1) : length; }

// What is left of a TCP stream counts as not there yet, and makes an edge when it comes; after the FIN nothing comes.
static bool more_may_come(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLRDHUP};
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain != AF_UNIX && poll(&entry, 1, 0) == 0;
}

static ssize_t receive_less(int fd, void *bytes, size_t length, int flags) {
    size_t asked = less(length);
    ssize_t got = __real_recv(fd, bytes, asked, flags);
    if (got == (ssize_t)asked && asked < length && more_may_come(fd)) owe_edge(fd);
    return got;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags) {
    // A peek asks what became of a connect(): anything but the answer is a failed one.
    bool peek = flags & MSG_PEEK;
    enum fault_kind kind = peek && state.lossless ? FAULT_NONE : next_fault(FAULT_RECV);
    switch (kind) {
        case FAULT_SHORT: return receive_less(fd, bytes, length, flags);
        case FAULT_AGAIN: owe_edge(fd); return refuse(EAGAIN);
        case FAULT_INTERRUPTED: return refuse(EINTR);
        case FAULT_FAILED: return refuse(draw(2) ? ECONNRESET : ETIMEDOUT);
        default: return __real_recv(fd, bytes, length, flags);
    }
}

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags) {
    switch (next_fault(FAULT_SEND)) {
        case FAULT_SHORT: owe_edge(fd); return __real_send(fd, bytes, less(length), flags);
        case FAULT_AGAIN: owe_edge(fd); return refuse(EAGAIN);
        case FAULT_INTERRUPTED: return refuse(EINTR);
        case FAULT_FAILED: return refuse(draw(2) ? ECONNRESET : EPIPE);
        default: return __real_send(fd, bytes, length, flags);
    }
}

ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    switch (next_fault(FAULT_SPLICE)) {
        case FAULT_SHORT: return __real_splice(in, in_at, out, out_at, less(length), flags);
        case FAULT_AGAIN: owe_edge(in); owe_edge(out); return refuse(EAGAIN);
        case FAULT_INTERRUPTED: return refuse(EINTR);
        case FAULT_FAILED: return refuse(draw(2) ? ECONNRESET : ENOMEM);
        default: return __real_splice(in, in_at, out, out_at, length, flags);
    }
}

// ---- connections ------------------------------------------------------------------------------------------------------------

int __real_accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags);
int __real_connect(int fd, const struct sockaddr *addr, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t length);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);

// Descriptors stay used up until the clock goes on: whoever tries again at once spins. A listener that is drained waits for them only
// so often.
static bool exhausted(enum fault_kind kind) {
    if (kind == FAULT_SHORT && state.exhaustions < EXHAUSTIONS_MAX) {
        state.exhaustions++;
        state.exhausted_ns = state.now_ns;
    }
    return state.exhausted_ns == state.now_ns;
}

// None of these takes a connection out of the queue, so none loses one. EAGAIN would say that the queue is empty.
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags) {
    enum fault_kind kind = next_fault(FAULT_ACCEPT);
    if (state.on && exhausted(kind)) return (int)refuse(EMFILE);
    switch (kind) {
        case FAULT_INTERRUPTED: return (int)refuse(EINTR);
        case FAULT_FAILED: return (int)refuse(ECONNABORTED);
        default: return __real_accept4(fd, addr, length, flags);
    }
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t length) {
    static const int errors[] = {ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, EAGAIN, ETIMEDOUT};
    return fails(FAULT_CONNECT) ? (int)refuse(errors[draw(5)]) : __real_connect(fd, addr, length);
}

int __wrap_socket(int domain, int type, int protocol) { return fails(FAULT_SOCKET) ? (int)refuse(EMFILE) : __real_socket(domain, type, protocol); }

int __wrap_pipe2(int fds[2], int flags) { return next_fault(FAULT_PIPE) != FAULT_NONE ? (int)refuse(EMFILE) : __real_pipe2(fds, flags); }

int __wrap_fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    if (command == F_SETPIPE_SZ && next_fault(FAULT_PIPE) != FAULT_NONE) return (int)refuse(EPERM);
    return __real_fcntl(fd, command, argument);
}

// ---- epoll, time, memory ----------------------------------------------------------------------------------------------------

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __wrap_px_start_memory_release(void);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    if (!state.running || fd < 0 || fd >= DESCRIPTORS) return __real_epoll_ctl(epoll, operation, fd, event);
    // A connection is lost without its watch, a listening socket (level-triggered) is not.
    enum fault_kind kind = operation == EPOLL_CTL_ADD ? next_fault(FAULT_WATCH) : FAULT_NONE;
    if (kind == FAULT_FAILED || (kind != FAULT_NONE && !(event->events & EPOLLET))) return (int)refuse(draw(2) ? ENOMEM : ENOSPC);
    int result = __real_epoll_ctl(epoll, operation, fd, event);
    if (result != 0) return result;
    forget_edge(fd);
    state.watched[fd] = operation == EPOLL_CTL_ADD ? (struct watched){.epoll = epoll, .event = *event} : (struct watched){0};
    return 0;
}

// Closing ends a registration.
int __wrap_close(int fd) {
    if (state.running && fd >= 0 && fd < DESCRIPTORS) {
        forget_edge(fd);
        state.watched[fd] = (struct watched){0};
    }
    return __real_close(fd);
}

static void give_edges(int epoll) {
    for (int fd = 0; state.owed > 0 && fd < DESCRIPTORS; fd++) {
        struct watched *watched = &state.watched[fd];
        if (watched->epoll != epoll || !watched->owed || --watched->owed > 0) continue;
        state.owed--;
        if (__real_epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &watched->event) != 0) abort();
    }
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms) {
    if (!state.running) return __real_epoll_wait(epoll, events, count, timeout_ms);
    give_edges(epoll);
    switch (next_fault(FAULT_WAIT)) {
        case FAULT_SHORT: return __real_epoll_wait(epoll, events, 1, 0);
        case FAULT_AGAIN: return 0;
        case FAULT_INTERRUPTED: return (int)refuse(EINTR);
        default: return __real_epoll_wait(epoll, events, count, 0);
    }
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out) {
    if (!state.running || clock != CLOCK_MONOTONIC) return __real_clock_gettime(clock, out);
    *out = (struct timespec){.tv_sec = (time_t)(state.now_ns / 1000000000), .tv_nsec = (long)(state.now_ns % 1000000000)};
    return 0;
}

// The small blocks are messages between threads, whose loss the core reports as critical and does not survive in order.
void *__wrap_malloc(size_t size) {
    if (!state.on || size < SMALLEST_OF_A_CONNECTION || !fails(FAULT_MEMORY)) return __real_malloc(size);
    errno = ENOMEM;
    return NULL;
}

// Would unmap the fuzzer's own pages in every run.
void __wrap_px_start_memory_release(void) {}
