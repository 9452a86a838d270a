// Log records on their way from the core's threads to the driver, which prints them. One ring for the process, under a mutex:
// nothing logs per connection above debug, so the lock is cold. When full, the record is dropped and counted.
//
// Invariant, under the mutex: the eventfd is readable exactly while the ring holds a record. So a level-triggered watcher
// needs no further protocol.
#include "base/log_ring.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RING_RECORDS = 128 };

static struct {
    pthread_mutex_t mutex;
    int event_fd;  // -1 until first used
    uint32_t head, count;
    uint64_t lost;
    struct px_log_record records[RING_RECORDS];
} ring = {.mutex = PTHREAD_MUTEX_INITIALIZER, .event_fd = -1};

static _Atomic uint32_t lowest_level = PX_INFO;

void px_log_set_level(uint32_t level) {
    atomic_store_explicit(&lowest_level, level, memory_order_relaxed);
}

static int event_fd_locked(void) {
    // Readable from birth if there are records already: an earlier try may have met the descriptor limit.
    if (ring.event_fd < 0) ring.event_fd = eventfd(ring.count > 0, EFD_CLOEXEC | EFD_NONBLOCK);
    return ring.event_fd;
}

int px_log_fd(void) {
    pthread_mutex_lock(&ring.mutex);
    int fd = event_fd_locked();
    pthread_mutex_unlock(&ring.mutex);
    return fd;
}

static void push_locked(const struct px_log_record *record) {
    if (ring.count == RING_RECORDS) {
        ring.lost++;
        return;
    }
    ring.records[(ring.head + ring.count) % RING_RECORDS] = *record;
    // Nothing to do if it fails: px_log_fd tries again, and the driver also takes records when it wakes for other reasons.
    if (ring.count++ == 0) (void)!eventfd_write(event_fd_locked(), 1);
}

void px_log(enum px_log_level level, const char *component, const char *format, ...) {
    if (level < atomic_load_explicit(&lowest_level, memory_order_relaxed)) return;
    struct px_log_record record = {.level = level};
    snprintf(record.component, sizeof record.component, "%s", component);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(record.text, sizeof record.text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&ring.mutex);
    push_locked(&record);
    pthread_mutex_unlock(&ring.mutex);
}

bool px_log_gate_open(struct px_log_gate *gate, uint64_t now_ms, uint64_t *skipped) {
    uint64_t last = atomic_load_explicit(&gate->last_ms, memory_order_relaxed);
    bool is_early = last != 0 && now_ms - last < PX_LOG_GATE_MS;
    if (is_early || !atomic_compare_exchange_strong(&gate->last_ms, &last, now_ms)) {
        atomic_fetch_add_explicit(&gate->skipped, 1, memory_order_relaxed);
        return false;
    }
    *skipped = atomic_exchange_explicit(&gate->skipped, 0, memory_order_relaxed);
    return true;
}

bool px_log_take(struct px_log_record *out) {
    pthread_mutex_lock(&ring.mutex);
    bool taken = ring.count > 0;
    if (taken) {
        *out = ring.records[ring.head];
        ring.head = (ring.head + 1) % RING_RECORDS;
        eventfd_t ignored;
        if (--ring.count == 0) (void)!eventfd_read(ring.event_fd, &ignored);
    }
    pthread_mutex_unlock(&ring.mutex);
    return taken;
}

uint64_t px_log_lost(void) {
    pthread_mutex_lock(&ring.mutex);
    uint64_t lost = ring.lost;
    ring.lost = 0;
    pthread_mutex_unlock(&ring.mutex);
    return lost;
}

void px__bug(const char *file, int line, const char *text) {
    static _Atomic uint64_t total;
    uint64_t count = atomic_fetch_add_explicit(&total, 1, memory_order_relaxed) + 1;
#ifdef DEBUG
    fprintf(stderr, "%s:%d: impossible: %s (number %llu)\n", file, line, text, (unsigned long long)count);
    abort();
#else
    // Those whose number is a power of two: one in a loop must not push everything else out of the ring.
    if ((count & (count - 1)) == 0) {
        px_log(PX_ERROR, "main", "internal error number %llu: %s (%s:%d); please report it", (unsigned long long)count, text,
            file, line);
    }
#endif
}
