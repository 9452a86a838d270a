// Shared memory: sealed, zero, refused when it is not, and made in spite of signals.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/shared_memory.h"
#include "test.h"

static struct px_shared_memory make(size_t bytes, enum px_shared_memory_access access) {
    struct px_shared_memory memory;
    struct px_detail detail = {0};
    int code = px__shared_memory_create(&memory, "test", bytes, access, &detail);
    if (code < 0) FAIL("%s: %s: %s", detail.call, px_error_name(code), detail.text);
    return memory;
}

TEST(shared_memory_is_sealed_and_zero) {
    struct px_shared_memory memory = make(10000, PX_SHARED_WRITABLE);
    const char *bytes = memory.map;
    for (size_t i = 0; i < 10000; i++) ASSERT_EQ(bytes[i], 0);
    ASSERT_EQ(ftruncate(memory.fd, 1), -1);
    ASSERT_EQ(ftruncate(memory.fd, 20000), -1);
    ASSERT_EQ(fcntl(memory.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);  // nor can anybody seal more
    ASSERT_TRUE(fcntl(memory.fd, F_GETFD) & FD_CLOEXEC);
    px__shared_memory_detach(&memory);
}

TEST(shared_memory_can_be_read_only_for_others) {
    struct px_detail detail = {0};
    struct px_shared_memory memory = make(4096, PX_SHARED_READ_ONLY), other;
    ASSERT_EQ(px__shared_memory_attach(&other, memory.fd, "other", 1, 4096, PX_SHARED_WRITABLE, &detail), -PX_E_INCOMPATIBLE);
    ASSERT_OK(px__shared_memory_attach(&other, dup(memory.fd), "other", 4096, 4096, PX_SHARED_READ_ONLY, &detail));
    memcpy(memory.map, "seen", 4);
    ASSERT_MEM(other.map, "seen", 4);
    px__shared_memory_detach(&other);
    // The writer's own mapping is not enough of a promise: without the seal others could still map it for writing.
    struct px_shared_memory writable = make(4096, PX_SHARED_WRITABLE);
    ASSERT_EQ(px__shared_memory_attach(&other, writable.fd, "other", 1, 4096, PX_SHARED_READ_ONLY, &detail), -PX_E_INCOMPATIBLE);
    ASSERT_CONTAINS(detail.text, "seals are");
    px__shared_memory_detach(&writable);
    px__shared_memory_detach(&memory);
}

static void do_nothing(int signal) {
    (void)signal;
}

// Before Linux 6.10 a signal makes fallocate() fail with EINTR and give back all it had.
TEST(shared_memory_is_made_in_spite_of_signals) {
    struct sigaction action = {.sa_handler = do_nothing};
    struct itimerval every = {.it_interval = {.tv_usec = 5000}, .it_value = {.tv_usec = 1000}};
    ASSERT_CALL(sigaction(SIGALRM, &action, NULL));
    ASSERT_CALL(setitimer(ITIMER_REAL, &every, NULL));
    for (int i = 0; i < 4; i++) {
        struct px_shared_memory memory = make(96 << 20, PX_SHARED_WRITABLE);
        px__shared_memory_detach(&memory);
    }
}

TEST(shared_memory_names_the_descriptor_limit) {
    struct px_shared_memory memory;
    struct px_detail detail = {0};
    struct rlimit before, none;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &before));
    none = before;
    none.rlim_cur = 0;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &none));
    int code = px__shared_memory_create(&memory, "test", 4096, PX_SHARED_WRITABLE, &detail);
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &before));
    ASSERT_EQ(code, -EMFILE);
    ASSERT_STR(detail.call, "memfd_create");
    ASSERT_CONTAINS(detail.text, "asked for 4096 bytes; descriptor limit (RLIMIT_NOFILE) is 0");
}
