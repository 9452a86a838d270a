// What a test asked for and has not happened yet; each happens once. The main thread asks and, but for log writers, is asked; the
// fields are atomic all the same, because a test may be early or late.
#include "base/fault.h"

#ifdef PX_FAULT_POINTS

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static char failing_call[32];
static _Atomic int32_t failing_error;
static atomic_bool truncates, drops;

void px_fault_fail_next(const char *call, int32_t error) {
    snprintf(failing_call, sizeof failing_call, "%s", call);
    atomic_store(&failing_error, error);
}

void px_fault_truncate_next(void) { atomic_store(&truncates, true); }

void px_fault_drop_next(void) { atomic_store(&drops, true); }

bool px__fault_fails(const char *call) {
    int32_t error = atomic_load(&failing_error);
    if (error == 0 || strcmp(call, failing_call) != 0) return false;
    if (!atomic_compare_exchange_strong(&failing_error, &error, 0)) return false;
    errno = error;
    return true;
}

bool px__fault_truncates(void) { return atomic_exchange(&truncates, false); }

bool px__fault_drops(void) { return atomic_exchange(&drops, false); }

#else
typedef int px_fault_points_are_not_built;  // a file of nothing is not C
#endif
