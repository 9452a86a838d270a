// Statistics over real processes: writers that count while others read, and are killed at any moment.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stats/stats_block_internal.h"
#include "stats_rig.h"
#include "test.h"

// What a child says of itself in shared memory, so that nothing is lost when it is killed.
struct said {
    _Atomic uint64_t begun, done;
};

static struct said *share(void) {
    struct said *said = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(said != MAP_FAILED);
    return said;
}

static void pause_us(long us) {
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void kill_and_reap(pid_t pid) {
    int status;
    ASSERT_CALL(kill(pid, SIGKILL));
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
}

static pid_t start_counting(struct generation *generation, struct said *said) {
    pid_t pid = fork();
    ASSERT_CALL(pid);
    if (pid > 0) return pid;
    for (;;) {
        atomic_fetch_add(&said->begun, 1);
        gen_count(generation, 1);
        px_stats_record(generation->block, LENGTH, 1);
        atomic_fetch_add(&said->done, 1);
    }
}

static void fold_and_check(struct generation *c, struct generation *p, struct said *said) {
    struct px_stat stat;
    int64_t before = gen_value(c, "count");
    ASSERT_GE(before, said->done);
    ASSERT_LE(before, said->begun);
    ASSERT_EQ(px_stats_reader_fold(c->reader, p->id), 0);
    ASSERT_EQ(gen_value(c, "count"), before);
    ASSERT_TRUE(gen_find(c, "length_ms", &stat));
    ASSERT_GE(stat.histogram_count, said->done);
    ASSERT_LE(stat.histogram_count, said->begun);
}

TEST(stats_of_a_writer_killed_while_it_counts_are_all_there) {
    for (int i = 0; i < 20; i++) {
        struct said *said = share();
        struct generation p = gen_start(0, NULL), c = gen_start(1, NULL);
        pid_t pid = start_counting(&p, said);
        ASSERT_EQ(gen_attach(&c, &p), 0);
        int64_t last = 0;
        for (int k = 0; k < 50; k++) {
            int64_t done = (int64_t)said->done, value = gen_value(&c, "count");
            ASSERT_GE(value, last);
            ASSERT_GE(value, done);
            last = value;
            pause_us(20);
        }
        kill_and_reap(pid);
        fold_and_check(&c, &p, said);
        gen_stop(&p);
        gen_stop(&c);
        munmap(said, 4096);
    }
}

enum { DEAD = 12 };

// Folds the dead one after the other, counting a little in between, until it is killed or has folded all.
static pid_t start_folding(struct generation *folder, const struct generation *dead, struct said *said) {
    pid_t pid = fork();
    ASSERT_CALL(pid);
    if (pid > 0) return pid;
    for (int i = 0; i < DEAD; i++) {
        atomic_fetch_add(&said->begun, 1);
        (void)!px_stats_reader_fold(folder->reader, dead[i].id);
    }
    for (;;) pause();
}

// The folder is killed at any moment; a reader that has everything attached sees one total all the time and afterwards.
static void kill_a_folder(long us) {
    struct said *said = share();
    struct generation dead[DEAD], folder = gen_start(100, NULL), c = gen_start(101, NULL);
    int64_t total = 0;
    for (int i = 0; i < DEAD; i++) {
        dead[i] = gen_start((uint64_t)i, NULL);
        gen_count(&dead[i], (uint64_t)1 << i);
        total += (int64_t)1 << i;
        ASSERT_EQ(gen_attach(&folder, &dead[i]), 0);
        ASSERT_EQ(gen_attach(&c, &dead[i]), 0);
    }
    ASSERT_EQ(gen_attach(&c, &folder), 0);
    pid_t pid = start_folding(&folder, dead, said);
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        ASSERT_EQ(gen_value(&c, "count"), total);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
    kill_and_reap(pid);
    ASSERT_EQ(gen_value(&c, "count"), total);
    ASSERT_EQ(px_stats_reader_fold(c.reader, folder.id), 0);
    ASSERT_EQ(gen_value(&c, "count"), total);
    for (int i = 0; i < DEAD; i++) (void)!px_stats_reader_fold(c.reader, dead[i].id);
    ASSERT_EQ(px_stats_reader_count(c.reader), 0);
    ASSERT_EQ(gen_value(&c, "count"), total);
    for (int i = 0; i < DEAD; i++) gen_stop(&dead[i]);
    gen_stop(&folder);
    gen_stop(&c);
    munmap(said, 4096);
}

TEST_WITH_LIMIT(stats_folder_killed_at_any_moment_loses_and_doubles_nothing, 60) {
    for (long us = 0; us < 4000; us += 50) kill_a_folder(us);
}

// A death between any two stores of a fold leaves rubbish in the copy that does not count: put it there by hand.
TEST(stats_half_written_copy_of_a_base_is_never_read) {
    struct generation g = gen_start(0, NULL), p = gen_start(1, NULL), c = gen_start(2, NULL);
    gen_count(&g, 100);
    ASSERT_EQ(gen_attach(&p, &g), 0);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_attach(&c, &g), 0);
    const struct px_stats_shape *shape = &p.block->header->shape;
    for (uint64_t version = 0; version < 2; version++) {
        ASSERT_EQ(gen_base_version(&p), version);
        struct px_stats_base *other = px__stats_base(shape, p.block->memory.map, version + 1);
        uint64_t *words = (uint64_t *)other;
        for (size_t i = 0; i < shape->base_bytes / sizeof *words; i++) {
            words[i] = i % 3 == 0 ? UINT64_MAX : 1;
            if (i % 256 == 0) ASSERT_EQ(gen_value(&c, "count"), 100);
        }
        other->folded_count = 1;
        other->folded[0] = g.id;
        ASSERT_EQ(gen_value(&c, "count"), 100);
        if (version == 0) ASSERT_EQ(px_stats_reader_fold(p.reader, g.id), 0);
        ASSERT_EQ(gen_value(&c, "count"), 100);
    }
    ASSERT_EQ(px_stats_reader_fold(c.reader, p.id), 0);
    ASSERT_EQ(gen_value(&c, "count"), 100);
    gen_stop(&g);
    gen_stop(&p);
    gen_stop(&c);
}

// Each generation is gone before the next one begins: only the descriptor of its block lives on, as a keeper holds it.
static void run_generation(uint64_t epoch, uint64_t left, int parent_fd, int report) {
    struct px_detail detail;
    struct generation own = gen_start(epoch, NULL);
    int64_t value = 0;
    if (parent_fd >= 0) {
        uint64_t id = 0;
        ASSERT_EQ(px_stats_reader_attach_fd(own.reader, parent_fd, &id, &detail), 0);
        ASSERT_EQ(px_stats_reader_fold(own.reader, id), 0);
    }
    gen_count(&own, epoch);
    if (left > 0) {
        int fd = dup(px_stats_block_fd(own.block));
        gen_stop(&own);
        run_generation(epoch + 1, left - 1, fd, report);
        return;
    }
    value = gen_value(&own, "count");
    ASSERT_EQ(write(report, &value, sizeof value), (ssize_t)sizeof value);
    gen_stop(&own);
}

// Each generation is a process, forked by the one before it; it kills its parent and folds its block.
static void chain(uint64_t epoch, uint64_t last, int parent_fd, pid_t parent, int report) {
    struct px_detail detail;
    struct generation own = gen_start(epoch, NULL);
    uint64_t id = 0;
    if (parent_fd >= 0) {
        ASSERT_EQ(px_stats_reader_attach_fd(own.reader, parent_fd, &id, &detail), 0);
        gen_count(&own, 1);
        ASSERT_CALL(kill(parent, SIGKILL));
        while (getppid() == parent) pause_us(50);
        ASSERT_EQ(px_stats_reader_fold(own.reader, id), 0);
    }
    gen_count(&own, epoch);
    if (epoch == last) {
        int64_t value = gen_value(&own, "count");
        ASSERT_EQ(write(report, &value, sizeof value), (ssize_t)sizeof value);
        _exit(0);
    }
    int fd = dup(px_stats_block_fd(own.block));
    pid_t self = getpid(), child = fork();
    ASSERT_CALL(child);
    if (child == 0) chain(epoch + 1, last, fd, self, report);
    for (;;) pause();
}

static int64_t read_report(int fd) {
    int64_t value;
    WAIT_FD(fd, POLLIN, 15000, "the last generation's total");
    ASSERT_EQ(read(fd, &value, sizeof value), (ssize_t)sizeof value);
    return value;
}

TEST(stats_are_exact_over_a_chain_of_blocks_whose_owners_are_gone) {
    int fds[2];
    ASSERT_CALL(pipe(fds));
    run_generation(0, 100, -1, fds[1]);
    ASSERT_EQ(read_report(fds[0]), 100 * 101 / 2);
}

TEST(stats_are_exact_over_a_hundred_killed_processes) {
    int fds[2], status;
    ASSERT_CALL(pipe(fds));
    pid_t pid = fork();
    ASSERT_CALL(pid);
    if (pid == 0) chain(0, 100, -1, 0, fds[1]);
    ASSERT_EQ(read_report(fds[0]), 100 * 101 / 2 + 100);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
}

TEST(stats_blocks_of_different_processes_have_different_ids) {
    int fds[2], status;
    uint64_t ids[20];
    ASSERT_CALL(pipe(fds));
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        ASSERT_CALL(pid);
        if (pid == 0) {
            struct generation g = gen_start(0, NULL);
            _exit(write(fds[1], &g.id, sizeof g.id) == sizeof g.id ? 0 : 1);
        }
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
        ASSERT_EQ(read(fds[0], &ids[i], sizeof ids[i]), (ssize_t)sizeof ids[i]);
        for (int k = 0; k < i; k++) ASSERT_TRUE(ids[i] != ids[k]);
    }
}
