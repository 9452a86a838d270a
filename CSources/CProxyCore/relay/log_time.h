// Wall-clock times as access-log formats want them: strftime in UTC with Envoy's fractions of a second.
#ifndef PX_LOG_TIME_H
#define PX_LOG_TIME_H

#include <stddef.h>
#include <stdint.h>

// `format`: strftime, and %f (nine digits), %1f … %9f, %s (seconds since 1970); "" = 2026-11-24T04:12:29.123Z. Returns the length,
// cut at size - 1; always terminated.
size_t px_log_time_format(const char *format, uint64_t unix_ns, char *text, size_t size);

#endif
