#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "include/px_base.h"
#include "test.h"

TEST(descriptor_usage_counts_what_is_open) {
    uint64_t limit;
    int64_t before, after;
    px_descriptor_usage(&limit, &before);
    struct rlimit actual;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &actual));
    ASSERT_EQ(limit, actual.rlim_cur);
    ASSERT_EQ(before, test_open_descriptors());
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ASSERT_CALL(fd);
    px_descriptor_usage(&limit, &after);
    ASSERT_EQ(after, before + 1);
    close(fd);
}

TEST(descriptor_usage_is_unknown_when_no_descriptor_is_left) {
    struct rlimit usual, none;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &usual));
    for (int fd = 3; fd < 64; fd++) close(fd);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = usual.rlim_max};
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &none));
    uint64_t limit;
    int64_t used;
    px_descriptor_usage(&limit, &used);
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &usual));  // the leak check at exit opens files
    ASSERT_EQ(limit, 3);
    ASSERT_EQ(used, -1);
}

TEST(descriptor_limit_is_raised_to_the_hard_one) {
    struct rlimit limit;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    limit.rlim_max = limit.rlim_max < 512 ? limit.rlim_max : 512;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_EQ(px_descriptor_limit_raise(), limit.rlim_max);
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_EQ(limit.rlim_cur, limit.rlim_max);
}

TEST(processor_count_is_what_the_process_may_use) {
    cpu_set_t usual, one;
    ASSERT_CALL(sched_getaffinity(0, sizeof usual, &usual));
    ASSERT_EQ(px_processor_count(), CPU_COUNT(&usual));
    int processor = 0;
    while (!CPU_ISSET(processor, &usual)) processor++;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    ASSERT_CALL(sched_setaffinity(0, sizeof one, &one));
    ASSERT_EQ(px_processor_count(), 1);
}

TEST(the_clock_goes_forward) {
    uint64_t before = px_clock_monotonic_ns();
    usleep(1000);
    ASSERT_GE(px_clock_monotonic_ns() - before, 1000000);
}
