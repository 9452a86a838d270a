// What clients cannot take: the last descriptors, and memory that the driver may need.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/client_memory.h"
#include "base/reserve.h"
#include "test.h"

static void limit(int resource, rlim_t value) {
    struct rlimit now;
    ASSERT_CALL(getrlimit(resource, &now));
    now.rlim_cur = value;
    ASSERT_CALL(setrlimit(resource, &now));
}

TEST(reserve_is_an_eighth_of_the_limit_and_follows_it) {
    limit(RLIMIT_NOFILE, 256);
    ASSERT_FALSE(px_reserve_has(223));
    ASSERT_TRUE(px_reserve_has(224));
    limit(RLIMIT_NOFILE, 512);  // prlimit(1) from outside
    ASSERT_FALSE(px_reserve_has(447));
    ASSERT_TRUE(px_reserve_has(448));
    limit(RLIMIT_NOFILE, 4096);
    ASSERT_FALSE(px_reserve_has(3967));  // never more than 128
    ASSERT_TRUE(px_reserve_has(3968));
}

TEST(reserve_is_next_once_everything_below_is_open) {
    int hoard[256], held = 0, before = test_open_descriptors();
    limit(RLIMIT_NOFILE, 256);
    while (!px_reserve_is_next(0)) ASSERT_GE(hoard[held++] = fcntl(0, F_DUPFD_CLOEXEC, 0), 0);
    ASSERT_EQ(hoard[held - 1], 223);
    ASSERT_EQ(test_open_descriptors(), before + held);
    close(hoard[--held]);
    ASSERT_FALSE(px_reserve_is_next(0));
    while ((hoard[held] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0) held++;
    ASSERT_TRUE(px_reserve_is_next(0));  // there is none at all
    while (held > 0) close(hoard[--held]);
}

static rlim_t data_bytes(void) {
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "VmData: %llu", &kib) != 1) continue;
    if (file) fclose(file);
    return (rlim_t)kib * 1024;
}

TEST(clients_without_memory_leave_some_to_the_driver_and_get_none_until_there_is_enough) {
    if (test_is_slow()) return;  // sanitizers' allocators have no use for limits
    px_client_memory_begin();
    void *client = px_client_malloc(100);
    ASSERT_TRUE(client != NULL);
    limit(RLIMIT_DATA, data_bytes());
    ASSERT_TRUE(px_client_malloc(32 << 20) == NULL);
    char *volatile driver = malloc(6 << 20);  // of what was held back; volatile, or the compiler leaves the pair of calls out
    ASSERT_TRUE(driver != NULL);
    ASSERT_TRUE(px_client_malloc(100) == NULL);
    usleep(150000);
    ASSERT_TRUE(px_client_malloc(100) == NULL);  // tried again: the driver has it still
    free(driver);
    free(client);
    client = NULL;
    for (int i = 0; i < 100 && !client; i++) {
        usleep(20000);
        client = px_client_malloc(100);
    }
    ASSERT_TRUE(client != NULL);
    free(client);
}
