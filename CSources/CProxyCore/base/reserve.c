// The descriptors kept for restarts, the admin server and logs. One number for the process, which is read anew only where it
// matters: the limit of a running process may be changed from outside (prlimit(1)).
#include "base/reserve.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

static _Atomic int ceiling;  // 0: not known yet

static int read_ceiling(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX) return INT_MAX;
    int all = (int)limit.rlim_cur, share = all / PX_RESERVE_SHARE;
    return all - (share < PX_RESERVE ? share : PX_RESERVE);
}

bool px_reserve_has(int fd) {
    if (fd < atomic_load_explicit(&ceiling, memory_order_relaxed)) return false;
    int now = read_ceiling();
    atomic_store_explicit(&ceiling, now, memory_order_relaxed);
    return fd >= now;
}

bool px_reserve_is_next(int fd) {
    int next = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (next < 0) return true;
    close(next);
    return px_reserve_has(next);
}
