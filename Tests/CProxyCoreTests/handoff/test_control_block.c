// The control block between processes: one winner for who serves, records that are whole or the ones before, and strangers'
// memory refused for a reason that is named.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "handoff/control_block.h"
#include "test.h"

enum { PROCESSES = 16, ROUNDS = 50 };

static px_control_block *make_block(uint64_t epoch) {
    struct px_detail detail = {0};
    px_control_block *block = px_control_block_create(epoch, &detail);
    if (!block) FAIL("create: %s %s", detail.call, detail.text);
    return block;
}

static void *share(size_t bytes) {
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(map != MAP_FAILED);
    return map;
}

static void await_all_passed(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        int status = -1;
        ASSERT_CALL(waitpid(-1, &status, 0));
        ASSERT_EQ(status, 0);
    }
}

// ---- who serves -----------------------------------------------------------------------------------------------------------------

struct race {
    _Atomic uint32_t ready, go, won;
};

static _Noreturn void race_to_serve(px_control_block *block, struct race *race, uint32_t self) {
    for (uint32_t round = 0; round < ROUNDS; round++) {
        atomic_fetch_add(&race->ready, 1);
        while (atomic_load(&race->go) <= round) usleep(10);
        if (px_control_block_take(block, round * 1000, (round + 1) * 1000)) atomic_fetch_add(&race->won, 1);
    }
    _exit(self == UINT32_MAX);
}

TEST(control_block_take_has_one_winner) {
    px_control_block *block = make_block(0);
    struct race *race = share(sizeof *race);
    for (uint32_t i = 0; i < PROCESSES; i++)
        if (ASSERT_CALL(fork()) == 0) race_to_serve(block, race, i);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        while (atomic_load(&race->ready) < PROCESSES * (round + 1)) usleep(10);
        ASSERT_EQ(atomic_load(&race->won), round);
        atomic_fetch_add(&race->go, 1);
    }
    await_all_passed(PROCESSES);
    ASSERT_EQ(atomic_load(&race->won), ROUNDS);
    ASSERT_EQ(px_control_block_serving(block), ROUNDS * 1000);
    px_control_block_destroy(block);
}

TEST(control_block_take_needs_the_epoch_that_serves) {
    px_control_block *block = make_block(3);
    ASSERT_FALSE(px_control_block_take(block, 2, 4));
    ASSERT_EQ(px_control_block_serving(block), 3);
    ASSERT_TRUE(px_control_block_take(block, 3, 4));
    ASSERT_TRUE(px__control_block_serves(block, 4));
    ASSERT_FALSE(px__control_block_serves(block, 3));
    px_control_block_destroy(block);
    px_control_block_destroy(NULL);
}

// ---- records --------------------------------------------------------------------------------------------------------------------

// Every word says the same number, so that a mixture shows.
static struct px_generation record_of(uint64_t epoch, uint64_t n) {
    struct px_generation record = {
        .epoch = epoch, .pid = (int32_t)n, .state = PX_GENERATION_DRAINING, .started_unix_ms = n, .first_started_unix_ms = n,
        .connections = n, .oldest_connection_ms = n, .drain_ends_unix_ms = n, .heartbeat_ns = n, .config_hash = n,
    };
    snprintf(record.version, sizeof record.version, "%llu", (unsigned long long)n);
    return record;
}

static void expect_whole(const struct px_generation *record, uint64_t epoch) {
    struct px_generation wanted = record_of(epoch, record->connections);
    ASSERT_MEM(record, &wanted, sizeof wanted);
}

static void publish(px_control_block *block, uint64_t epoch, uint64_t n) {
    struct px_generation record = record_of(epoch, n);
    ASSERT_OK(px_control_block_publish(block, &record));
}

static _Noreturn void publish_for_ever(px_control_block *block, uint64_t epoch) {
    for (uint64_t n = 1;; n++) publish(block, epoch, n);
}

static uint64_t read_one(px_control_block *block, uint64_t epoch) {
    struct px_generation records[4];
    uint32_t count = px_control_block_generations(block, records, 4);
    if (count == 0) return 0;  // the reader lost every try
    ASSERT_EQ(count, 1);
    expect_whole(&records[0], epoch);
    return records[0].connections;
}

TEST(control_block_readers_see_whole_records) {
    px_control_block *block = make_block(5);
    pid_t pid = (pid_t)ASSERT_CALL(fork());
    if (pid == 0) publish_for_ever(block, 5);
    uint64_t last = 0, deadline_ns = px_clock_monotonic_ns() + 10000000000;
    for (int seen = 0; seen < 3000;) {  // different records
        uint64_t n = read_one(block, 5);
        ASSERT_LT(px_clock_monotonic_ns(), deadline_ns);
        if (n == 0) continue;
        ASSERT_GE(n, last);
        seen += n > last;
        last = n;
    }
    ASSERT_CALL(kill(pid, SIGKILL));
    px_control_block_destroy(block);
}

TEST(control_block_owner_killed_while_it_publishes_leaves_a_whole_record) {
    for (int round = 0; round < 100; round++) {
        px_control_block *block = make_block(5);
        pid_t pid = (pid_t)ASSERT_CALL(fork());
        if (pid == 0) publish_for_ever(block, 5);
        while (read_one(block, 5) == 0) usleep(10);
        ASSERT_CALL(kill(pid, SIGKILL));
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
        uint64_t n = read_one(block, 5);
        ASSERT_GT(n, 0);
        ASSERT_EQ(read_one(block, 5), n);
        px_control_block_destroy(block);
    }
}

// The same at every word: what stands in the copy that is not current does not matter.
TEST(control_block_half_a_publish_leaves_the_old_record) {
    px_control_block *block = make_block(5);
    struct px_control_record *record = &block->shared->records[0];
    publish(block, 5, 1);
    publish(block, 5, 2);
    uint64_t next = atomic_load(&record->version) + 1;
    for (uint32_t i = 0; i < PX_RECORD_WORDS; i++) {
        atomic_store(&record->words[next & 1][i], UINT64_MAX);
        ASSERT_EQ(read_one(block, 5), 2);
    }
    publish(block, 5, 3);
    ASSERT_EQ(read_one(block, 5), 3);
    px_control_block_destroy(block);
}

TEST(control_block_lists_generations_by_epoch_until_they_retire) {
    px_control_block *block = make_block(9);
    struct px_generation records[PX_GENERATIONS_MAX];
    publish(block, 9, 90);
    publish(block, 7, 70);
    publish(block, 8, 80);
    ASSERT_EQ(px_control_block_generations(block, records, PX_GENERATIONS_MAX), 3);
    for (uint32_t i = 0; i < 3; i++) expect_whole(&records[i], 7 + i);
    ASSERT_EQ(px_control_block_generations(block, records, 2), 2);
    ASSERT_EQ(px_control_block_generations(block, records, 0), 0);
    px_control_block_retire(block, 8);
    px_control_block_retire(block, 8);
    px_control_block_retire(block, 1234);
    px_control_block_retire(block, UINT64_MAX);
    ASSERT_EQ(px_control_block_generations(block, records, PX_GENERATIONS_MAX), 2);
    ASSERT_EQ(records[1].epoch, 9);
    px_control_block_destroy(block);
}

TEST(control_block_is_full_at_its_last_place) {
    px_control_block *block = make_block(0);
    struct px_generation records[PX_GENERATIONS_MAX], one_more = record_of(PX_GENERATIONS_MAX, 1), impossible = record_of(UINT64_MAX, 1);
    for (uint64_t epoch = 0; epoch < PX_GENERATIONS_MAX; epoch++) publish(block, epoch, epoch);
    ASSERT_EQ(px_control_block_publish(block, &one_more), -PX_E_NO_SPACE);
    publish(block, 3, 33);  // one that has its place keeps it
    px_control_block_retire(block, 40);
    ASSERT_EQ(px_control_block_publish(block, &impossible), -EINVAL);
    ASSERT_OK(px_control_block_publish(block, &one_more));
    ASSERT_EQ(px_control_block_generations(block, records, PX_GENERATIONS_MAX), PX_GENERATIONS_MAX);
    ASSERT_EQ(records[PX_GENERATIONS_MAX - 1].epoch, PX_GENERATIONS_MAX);
    px_control_block_destroy(block);
}

// A place that was claimed anew shows nothing until its new owner has published.
TEST(control_block_does_not_show_a_predecessors_record) {
    px_control_block *block = make_block(0);
    struct px_generation records[2];
    publish(block, 5, 50);
    atomic_store(&block->shared->records[0].owner, 7);
    ASSERT_EQ(px_control_block_generations(block, records, 2), 0);
    publish(block, 6, 60);
    ASSERT_EQ(px_control_block_generations(block, records, 2), 1);
    expect_whole(&records[0], 6);
    px_control_block_destroy(block);
}

TEST(control_block_does_not_show_nonsense) {
    px_control_block *block = make_block(0);
    struct px_generation records[2], bad = record_of(5, 1);
    memset(&bad.state, 0x7f, sizeof bad.state);
    ASSERT_OK(px_control_block_publish(block, &bad));
    ASSERT_EQ(px_control_block_generations(block, records, 2), 0);
    bad = record_of(5, 1);
    memset(bad.version, 'v', sizeof bad.version);
    ASSERT_OK(px_control_block_publish(block, &bad));
    ASSERT_EQ(px_control_block_generations(block, records, 2), 1);
    ASSERT_EQ(strlen(records[0].version), sizeof bad.version - 1);
    px_control_block_destroy(block);
}

// ---- attaching ------------------------------------------------------------------------------------------------------------------

static void expect_refused(int fd, int code, const char *text) {
    struct px_detail detail = {0};
    int before = test_open_descriptors();
    ASSERT_TRUE(px_control_block_attach(fd, &detail) == NULL);
    ASSERT_EQ(detail.code, code);
    ASSERT_CONTAINS(detail.text, text);
    ASSERT_EQ(test_open_descriptors(), before);
    ASSERT_NE(fcntl(fd, F_GETFD), -1);  // stays the caller's
}

static int memory_file(size_t bytes, int seals) {
    int fd = (int)ASSERT_CALL(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_CALL(ftruncate(fd, (off_t)bytes));
    ASSERT_CALL(fcntl(fd, F_ADD_SEALS, seals));
    return fd;
}

TEST(control_block_attach_refuses_what_is_no_sealed_memory) {
    const size_t bytes = sizeof(struct px_control_layout);
    const int both = F_SEAL_SHRINK | F_SEAL_GROW;
    int ends[2];
    ASSERT_CALL(pipe(ends));
    expect_refused(ends[0], -PX_E_INCOMPATIBLE, "not a memory file");
    expect_refused(memory_file(bytes, 0), -PX_E_INCOMPATIBLE, "seals are 0, wanted 0x6");
    expect_refused(memory_file(bytes, F_SEAL_SHRINK), -PX_E_INCOMPATIBLE, "seals are 0x2");
    expect_refused(memory_file(bytes - 1, both), -PX_E_INCOMPATIBLE, "size is");
    expect_refused(memory_file(0, both), -PX_E_INCOMPATIBLE, "size is 0");
    expect_refused(memory_file(bytes * 17, both), -PX_E_INCOMPATIBLE, "size is");
    expect_refused(memory_file(bytes, both | F_SEAL_WRITE), -PX_E_INCOMPATIBLE, "cannot be written");
    expect_refused(memory_file(bytes, both), -PX_E_INCOMPATIBLE, "magic is 0");
}

TEST(control_block_attach_refuses_another_layout) {
    px_control_block *block = make_block(5);
    struct px_control_layout *shared = block->shared;
    int fd = px_control_block_fd(block);
    shared->magic++;
    expect_refused(fd, -PX_E_INCOMPATIBLE, "magic");
    shared->magic--;
    shared->layout_version = 9;
    expect_refused(fd, -PX_E_INCOMPATIBLE, "layout 9");
    shared->layout_version = PX_CONTROL_LAYOUT;
    shared->mutex_bytes = 24;
    expect_refused(fd, -PX_E_INCOMPATIBLE, "locks of 24 bytes");
    shared->mutex_bytes = sizeof(pthread_mutex_t);
    shared->record_count = 65;
    expect_refused(fd, -PX_E_INCOMPATIBLE, "65 records");
    shared->record_count = PX_GENERATIONS_MAX;
    struct px_detail detail = {0};
    px_control_block *other = px_control_block_attach(dup(fd), &detail);
    ASSERT_TRUE(other != NULL);
    ASSERT_TRUE(px_control_block_take(other, 5, 6));
    ASSERT_EQ(px_control_block_serving(block), 6);
    px_control_block_destroy(other);
    px_control_block_destroy(block);
}

TEST(control_block_create_names_the_limit_it_met) {
    struct px_detail detail = {0};
    struct rlimit small = {.rlim_cur = 4096, .rlim_max = 4096};
    int before = test_open_descriptors();
    ASSERT_CALL(setrlimit(RLIMIT_FSIZE, &small));
    ASSERT_TRUE(px_control_block_create(1, &detail) == NULL);
    ASSERT_EQ(detail.code, -EFBIG);
    ASSERT_CONTAINS(detail.text, "RLIMIT_FSIZE");
    ASSERT_EQ(test_open_descriptors(), before);
}
