// What the system lets this process have: descriptors and processors. Stateless, any thread.
#include <dirent.h>
#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>

#include "include/px_base.h"

static int64_t count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    if (!directory) return -1;
    int64_t count = -1;  // the directory's own descriptor
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] != '.') count++;
    }
    closedir(directory);
    return count;
}

void px_descriptor_usage(uint64_t *limit, int64_t *used) {
    struct rlimit now = {0};
    getrlimit(RLIMIT_NOFILE, &now);
    *limit = now.rlim_cur;
    *used = count_descriptors();
}

uint64_t px_descriptor_limit_raise(void) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

uint32_t px_processor_count(void) {
    // The kernel refuses (EINVAL) a set smaller than its own; 8192 is its largest NR_CPUS (arch/x86/Kconfig).
    cpu_set_t sets[8192 / CPU_SETSIZE];
    if (sched_getaffinity(0, sizeof sets, sets) < 0) return 1;
    int count = CPU_COUNT_S(sizeof sets, sets);
    return count > 0 ? (uint32_t)count : 1;
}

void px_memory_usage(uint64_t *allocated, uint64_t *heap) {
    struct mallinfo2 info = mallinfo2();
    *allocated = info.uordblks + info.hblkhd;
    *heap = info.arena + info.hblkhd;
}
