// Log records from any thread of the core to the driver: a bounded ring under a mutex (nothing logs per connection above debug).
// When full, the record is dropped and counted.
#ifndef PX_LOG_RING_H
#define PX_LOG_RING_H

#include <stdatomic.h>

#include "include/px_base.h"

enum px_log_level { PX_TRACE = 0, PX_DEBUG = 1, PX_INFO = 2, PX_NOTICE = 3, PX_WARNING = 4, PX_ERROR = 5, PX_CRITICAL = 6 };

// Any thread. `component` is a literal.
void px_log(enum px_log_level level, const char *component, const char *format, ...) __attribute__((format(printf, 3, 4)));

// For what may happen thousands of times a second: one line in PX_LOG_GATE_MS, and how many of its kind were held back before it.
// Zeroed memory is a gate. Any thread.
enum { PX_LOG_GATE_MS = 5000 };
struct px_log_gate {
    _Atomic uint64_t last_ms;  // 0: never
    _Atomic uint64_t skipped;
};
bool px_log_gate_open(struct px_log_gate *gate, uint64_t now_ms, uint64_t *skipped);

// Fill a detail (NULL is fine) and return `code`, so that an error path is one line.
int px_fail(struct px_detail *detail, int code, const char *call, const char *object, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

// An impossibility: stops in debug builds, logs and counts in release builds.
#define PX_BUG(text) px__bug(__FILE__, __LINE__, text)
void px__bug(const char *file, int line, const char *text);

#endif
