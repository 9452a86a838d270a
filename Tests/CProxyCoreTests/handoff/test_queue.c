// The queue: order and content around the ring's end, its limits, two processes, death in the middle of a push, hostile
// memory, and the wake-up, which must never be missing.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handoff/queue.h"
#include "test.h"

enum { RING = 4096, DEADLINE_MS = 10000 };

struct both {
    px_queue *parent, *child;
    struct px_queue_layout *shared;
    uint8_t *ring;  // the parent's: what the child pops
};

static void dup_fds(const px_queue *queue, int32_t fds[3]) {
    px_queue_fds(queue, fds);
    for (int i = 0; i < 3; i++) fds[i] = (int32_t)ASSERT_CALL(dup(fds[i]));
}

static px_queue *attach_copy(const px_queue *queue, enum px_queue_side side) {
    struct px_detail detail = {0};
    int32_t fds[3];
    dup_fds(queue, fds);
    px_queue *copy = px_queue_attach(fds, side, &detail);
    if (!copy) FAIL("attach: %s", detail.text);
    return copy;
}

static struct both both_sides(uint32_t ring_bytes) {
    struct px_detail detail = {0};
    struct both both = {.parent = px_queue_create(ring_bytes, PX_QUEUE_PARENT, &detail)};
    int32_t fds[3];
    if (!both.parent) FAIL("create: %s", detail.text);
    both.child = attach_copy(both.parent, PX_QUEUE_CHILD);
    px_queue_fds(both.parent, fds);
    both.shared = mmap(NULL, px__queue_bytes(RING), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    ASSERT_TRUE(both.shared != MAP_FAILED);
    both.ring = (uint8_t *)(both.shared + 1);
    return both;
}

static void end_both(struct both *both) {
    px_queue_destroy(both->parent);
    px_queue_destroy(both->child);
    munmap(both->shared, px__queue_bytes(RING));
}

static void fill(uint8_t *bytes, uint32_t length, uint32_t seed) {
    for (uint32_t i = 0; i < length; i++) bytes[i] = (uint8_t)(seed * 31 + i);
}

static void expect(px_queue *queue, uint32_t type, uint32_t length) {
    uint8_t wanted[RING], bytes[RING];
    uint32_t got = ~type;
    fill(wanted, length, type);
    ASSERT_EQ(px_queue_pop(queue, &got, bytes, sizeof bytes), length);
    ASSERT_EQ(got, type);
    ASSERT_MEM(bytes, wanted, length);
}

static void push(px_queue *queue, uint32_t type, uint32_t length) {
    uint8_t bytes[RING];
    fill(bytes, length, type);
    ASSERT_OK(px_queue_push(queue, type, bytes, length));
}

static void expect_empty(px_queue *queue) {
    uint32_t type;
    uint8_t byte;
    ASSERT_EQ(px_queue_pop(queue, &type, &byte, 1), -EAGAIN);
}

TEST(queue_passes_messages_both_ways_around_the_end) {
    struct both both = both_sides(1);  // rounded up to RING
    uint32_t down = 0, up = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t length = i * 7 % 900;
        push(both.parent, i, length);
        push(both.child, ~i, length / 2);
        if (i % 3 != 2) continue;
        for (; down <= i; down++) expect(both.child, down, down * 7 % 900);
        for (; up <= i; up++) expect(both.parent, ~up, up * 7 % 900 / 2);
    }
    expect_empty(both.child);
    expect_empty(both.parent);
    end_both(&both);
}

TEST(queue_is_full_at_its_last_byte) {
    struct both both = both_sides(RING);
    for (uint32_t i = 0; i < RING / 16; i++) push(both.parent, i, 8);
    ASSERT_EQ(px_queue_push(both.parent, 1, NULL, 0), -EAGAIN);
    expect(both.child, 0, 8);
    push(both.parent, RING / 16, 1);  // padded to as much as was taken
    ASSERT_EQ(px_queue_push(both.parent, 1, NULL, 0), -EAGAIN);
    for (uint32_t i = 1; i < RING / 16; i++) expect(both.child, i, 8);
    expect(both.child, RING / 16, 1);
    push(both.parent, 5, RING - 8);  // the largest there is, alone
    ASSERT_EQ(px_queue_push(both.parent, 1, NULL, 0), -EAGAIN);
    expect(both.child, 5, RING - 8);
    end_both(&both);
}

TEST(queue_refuses_what_is_too_large) {
    struct both both = both_sides(RING);
    uint8_t bytes[RING] = {0}, small[8];
    uint32_t type = 0;
    ASSERT_EQ(px_queue_push(both.parent, 1, bytes, RING - 7), -EMSGSIZE);
    ASSERT_EQ(px_queue_push(both.parent, 1, bytes, UINT32_MAX), -EMSGSIZE);
    push(both.parent, 1, 9);
    push(both.parent, 2, 8);
    ASSERT_EQ(px_queue_pop(both.child, &type, small, sizeof small), -EMSGSIZE);
    ASSERT_EQ(type, 1);
    expect(both.child, 2, 8);  // only the one was lost
    end_both(&both);
}

TEST(queue_create_says_what_it_was_asked_for) {
    struct px_detail detail = {0};
    ASSERT_TRUE(px_queue_create(0, PX_QUEUE_PARENT, &detail) == NULL);
    ASSERT_EQ(detail.code, -EINVAL);
    ASSERT_TRUE(px_queue_create(PX_QUEUE_RING_MAX + 1, PX_QUEUE_PARENT, &detail) == NULL);
    ASSERT_CONTAINS(detail.text, "16777217 bytes");
    px_queue_destroy(NULL);
}

// ---- attaching ------------------------------------------------------------------------------------------------------------------

static void expect_refused(int32_t fds[3], int code, const char *text) {
    struct px_detail detail = {0};
    int before = test_open_descriptors();
    ASSERT_TRUE(px_queue_attach(fds, PX_QUEUE_CHILD, &detail) == NULL);
    ASSERT_EQ(detail.code, code);
    ASSERT_CONTAINS(detail.text, text);
    ASSERT_EQ(test_open_descriptors(), before);  // all three stay the caller's
}

static void expect_header_refused(struct both *both, const struct px_queue_header *header, const char *text) {
    int32_t fds[3];
    px_queue_fds(both->parent, fds);
    both->shared->header = *header;
    expect_refused(fds, -PX_E_INCOMPATIBLE, text);
}

TEST(queue_attach_refuses_another_layout) {
    struct both both = both_sides(RING);
    struct px_queue_header good = both.shared->header, bad = good;
    bad.magic++;
    expect_header_refused(&both, &bad, "magic");
    bad = good, bad.layout_version = 7;
    expect_header_refused(&both, &bad, "layout 7, wanted layout 1");
    bad = good, bad.ring_bytes = 2 * RING;
    expect_header_refused(&both, &bad, "2 rings of 8192 bytes");
    bad = good, bad.ring_bytes = 0;
    expect_header_refused(&both, &bad, "2 rings of 0 bytes");
    bad = good, bad.ring_bytes = RING + 8;
    expect_header_refused(&both, &bad, "2 rings of 4104 bytes");
    bad = good, bad.header_bytes = 64;
    expect_header_refused(&both, &bad, "after 64 bytes");
    bad = good, bad.ring_count = 3;
    expect_header_refused(&both, &bad, "3 rings");
    both.shared->header = good;
    px_queue_destroy(attach_copy(both.parent, PX_QUEUE_CHILD));
    end_both(&both);
}

TEST(queue_attach_refuses_other_descriptors) {
    struct both both = both_sides(RING);
    int32_t fds[3], bad[3];
    int ends[2];
    px_queue_fds(both.parent, fds);
    ASSERT_CALL(pipe(ends));
    memcpy(bad, fds, sizeof bad);
    bad[0] = ends[0];
    expect_refused(bad, -PX_E_INCOMPATIBLE, "not a memory file");
    memcpy(bad, fds, sizeof bad);
    bad[1] = ends[0];
    expect_refused(bad, -PX_E_INCOMPATIBLE, "an eventfd blocks");
    bad[1] = fds[0];
    expect_refused(bad, -PX_E_INCOMPATIBLE, "an eventfd blocks");
    bad[1] = -1;
    expect_refused(bad, -EBADF, "");
    int quiet[2];
    ASSERT_CALL(pipe2(quiet, O_NONBLOCK));
    memcpy(bad, fds, sizeof bad);
    bad[2] = quiet[1];
    expect_refused(bad, -PX_E_INCOMPATIBLE, "passed as eventfd is none");
    memcpy(bad, fds, sizeof bad);
    bad[0] = (int32_t)ASSERT_CALL(memfd_create("unsealed", MFD_ALLOW_SEALING));
    ASSERT_CALL(ftruncate(bad[0], (off_t)px__queue_bytes(RING)));
    expect_refused(bad, -PX_E_INCOMPATIBLE, "seals are");
    end_both(&both);
}

// ---- two processes --------------------------------------------------------------------------------------------------------------

static _Noreturn void produce(px_queue *queue, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value[2] = {i, ~(uint64_t)i};
        int code;
        while ((code = px_queue_push(queue, i, value, 4 + i % 13)) == -EAGAIN) usleep(50);
        if (code < 0) _exit(1);
    }
    _exit(0);
}

static void check_message(uint32_t i, uint32_t type, const void *bytes, int length) {
    uint64_t value[2] = {i, ~(uint64_t)i};
    ASSERT_EQ(type, i);
    ASSERT_EQ(length, 4 + i % 13);
    ASSERT_MEM(bytes, value, (size_t)length);
}

TEST_WITH_LIMIT(queue_carries_a_million_messages_between_processes, 60) {
    struct both both = both_sides(RING);
    uint32_t count = test_is_slow() ? 100000 : 1000000, type = 0;
    uint8_t bytes[32];
    pid_t pid = (pid_t)ASSERT_CALL(fork());
    if (pid == 0) produce(both.parent, count);
    for (uint32_t i = 0; i < count;) {
        // A wake-up that were lost would end the test here.
        WAIT_FD(px_queue_event_fd(both.child), POLLIN, DEADLINE_MS, "a wake-up");
        px_queue_clear(both.child);
        for (int length; (length = px_queue_pop(both.child, &type, bytes, sizeof bytes)) != -EAGAIN; i++)
            check_message(i, type, bytes, (int)ASSERT_OK(length));
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
    end_both(&both);
}

static void *produce_in_thread(void *queue) {
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t value[2] = {i, ~(uint64_t)i};
        while (px_queue_push(queue, i, value, 4 + i % 13) < 0) usleep(50);
    }
    return NULL;
}

// What the thread sanitizer can see of the memory order.
TEST(queue_orders_bytes_between_threads) {
    struct both both = both_sides(RING);
    pthread_t thread;
    uint32_t type = 0;
    uint8_t bytes[32];
    ASSERT_EQ(pthread_create(&thread, NULL, produce_in_thread, both.parent), 0);
    for (uint32_t i = 0; i < 20000;) {
        WAIT_FD(px_queue_event_fd(both.child), POLLIN, DEADLINE_MS, "a wake-up");
        px_queue_clear(both.child);
        for (int length; (length = px_queue_pop(both.child, &type, bytes, sizeof bytes)) >= 0; i++)
            check_message(i, type, bytes, length);
    }
    ASSERT_EQ(pthread_join(thread, NULL), 0);
    end_both(&both);
}

static _Noreturn void push_for_ever(px_queue *queue) {
    uint8_t bytes[1500];
    for (uint32_t i = 0;;) {
        uint32_t length = i % sizeof bytes;
        memset(bytes, (int)(i & 255), length);
        i += px_queue_push(queue, i, bytes, length) == 0;
    }
}

// Whole messages in order, then nothing: never an error, never half a message. Returns the next number.
static uint32_t take_what_is_there(px_queue *queue, uint32_t next) {
    uint8_t bytes[1500], wanted[1500];
    uint32_t type = 0;
    for (int length; (length = px_queue_pop(queue, &type, bytes, sizeof bytes)) != -EAGAIN; next++) {
        ASSERT_EQ(length, next % sizeof bytes);
        ASSERT_EQ(type, next);
        memset(wanted, (int)(next & 255), (size_t)length);
        ASSERT_MEM(bytes, wanted, (size_t)length);
    }
    return next;
}

TEST(queue_survives_a_producer_killed_in_the_middle) {
    for (unsigned round = 0; round < 60; round++) {
        struct both both = both_sides(RING);
        pid_t pid = (pid_t)ASSERT_CALL(fork());
        if (pid == 0) push_for_ever(both.parent);
        uint32_t next = 0;
        for (unsigned i = 0; i < 20 + round * 3; i++) next = take_what_is_there(both.child, next);
        ASSERT_CALL(kill(pid, SIGKILL));
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
        next = take_what_is_there(both.child, next);
        // Its successor goes on where it was, and its first message wakes the consumer.
        px_queue_clear(both.child);
        px_queue *successor = attach_copy(both.parent, PX_QUEUE_PARENT);
        ASSERT_OK(px_queue_push(successor, 77, "after", 5));
        WAIT_FD(px_queue_event_fd(both.child), POLLIN, DEADLINE_MS, "the successor's message");
        uint32_t type = 0;
        char bytes[5];
        ASSERT_EQ(px_queue_pop(both.child, &type, bytes, sizeof bytes), 5);
        ASSERT_EQ(type, 77);
        px_queue_destroy(successor);
        end_both(&both);
    }
}

// ---- wake-up --------------------------------------------------------------------------------------------------------------------

static bool is_awake(px_queue *queue) {
    struct pollfd entry = {.fd = px_queue_event_fd(queue), .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

TEST(queue_wakes_once_after_each_clear) {
    struct both both = both_sides(RING);
    uint64_t count;
    ASSERT_FALSE(is_awake(both.child));
    for (uint32_t i = 0; i < 5; i++) push(both.parent, i, 8);
    ASSERT_FALSE(is_awake(both.parent));
    ASSERT_EQ(read(px_queue_event_fd(both.child), &count, sizeof count), sizeof count);
    ASSERT_EQ(count, 1);  // one system call for five messages
    px_queue_clear(both.child);
    for (uint32_t i = 0; i < 5; i++) expect(both.child, i, 8);
    expect_empty(both.child);
    push(both.parent, 9, 0);
    ASSERT_TRUE(is_awake(both.child));
    px_queue_clear(both.child);
    ASSERT_FALSE(is_awake(both.child));
    end_both(&both);
}

TEST(queue_consumer_that_stops_early_comes_back) {
    struct both both = both_sides(RING);
    push(both.parent, 1, 8);
    push(both.parent, 2, 8);
    px_queue_clear(both.child);
    expect(both.child, 1, 8);
    ASSERT_FALSE(is_awake(both.child));
    px_queue_raise(both.child);
    ASSERT_TRUE(is_awake(both.child));
    px_queue_clear(both.child);
    expect(both.child, 2, 8);
    end_both(&both);
}

// A producer that was killed after it made its message visible and before it raised the eventfd.
TEST(queue_next_push_makes_up_for_a_lost_wake) {
    struct both both = both_sides(RING);
    atomic_uint_fast64_t *word = (void *)both.ring;
    px_queue_clear(both.child);
    *word = 3;
    atomic_store(&both.shared->rings[0].tail, 8);
    ASSERT_FALSE(is_awake(both.child));
    push(both.parent, 4, 0);
    ASSERT_TRUE(is_awake(both.child));
    expect(both.child, 3, 0);
    expect(both.child, 4, 0);
    end_both(&both);
}

TEST(queue_push_does_not_wait_on_a_full_eventfd) {
    struct both both = both_sides(RING);
    uint64_t most = UINT64_MAX - 1;
    int fd = px_queue_event_fd(both.child);
    ASSERT_EQ(write(fd, &most, sizeof most), sizeof most);
    push(both.parent, 1, 8);
    px_queue_clear(both.child);
    px_queue_clear(both.child);  // and a second one on an empty eventfd
    expect(both.child, 1, 8);
    end_both(&both);
}

// ---- hostile memory -------------------------------------------------------------------------------------------------------------

static void expect_dead(px_queue *queue) {
    uint8_t bytes[RING];
    uint32_t type = 0;
    ASSERT_EQ(px_queue_pop(queue, &type, bytes, sizeof bytes), -PX_E_MALFORMED);
    ASSERT_EQ(px_queue_push(queue, 1, NULL, 0), -PX_E_MALFORMED);
}

static void expect_nonsense(uint64_t head, uint64_t tail, uint64_t word) {
    struct both both = both_sides(RING);
    _Atomic uint64_t *words = (void *)both.ring;
    for (uint32_t i = 0; i < RING / 8; i++) atomic_store(&words[i], word);
    atomic_store(&both.shared->rings[0].head, head);
    atomic_store(&both.shared->rings[0].tail, tail);
    expect_dead(both.child);
    atomic_store(&both.shared->rings[0].head, 0);
    atomic_store(&both.shared->rings[0].tail, 0);
    expect_dead(both.child);  // for good
    end_both(&both);
}

TEST(queue_refuses_impossible_cursors) {
    expect_nonsense(0, 1, 0);
    expect_nonsense(1, 9, 0);
    expect_nonsense(8, 0, 0);
    expect_nonsense(0, RING + 8, 0);
    expect_nonsense(0, UINT64_MAX - 7, 0);
    expect_nonsense(0, 1ull << 32, 0);
    expect_nonsense(UINT64_MAX - 7, UINT64_MAX - 8, 0);
}

TEST(queue_refuses_impossible_lengths) {
    expect_nonsense(0, 8, 1ull << 32);
    expect_nonsense(0, 16, 9ull << 32);
    expect_nonsense(0, 16, (uint64_t)UINT32_MAX << 32);
    expect_nonsense(0, RING, (uint64_t)(RING - 7) << 32);
    expect_nonsense(RING - 8, RING + 8, 9ull << 32);
    expect_nonsense(0, 16, (uint64_t)(UINT32_MAX - 6) << 32);  // padded, it would be 0
}

TEST(queue_push_refuses_impossible_cursors) {
    struct both both = both_sides(RING);
    atomic_store(&both.shared->rings[0].head, 8);
    ASSERT_EQ(px_queue_push(both.parent, 1, "x", 1), -PX_E_MALFORMED);
    atomic_store(&both.shared->rings[0].head, 0);
    expect_dead(both.parent);
    end_both(&both);
}

TEST(queue_cursors_may_pass_their_largest_value) {
    struct both both = both_sides(RING);
    atomic_store(&both.shared->rings[0].head, UINT64_MAX - 15);
    atomic_store(&both.shared->rings[0].tail, UINT64_MAX - 15);
    for (uint32_t i = 0; i < 10; i++) push(both.parent, i, 100);
    for (uint32_t i = 0; i < 10; i++) expect(both.child, i, 100);
    end_both(&both);
}

static uint64_t random_word(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    // Half of them near what is possible, where the checks are.
    return *state & 1 ? *state : (*state >> 8) % (2 * RING) & ~(*state >> 40 & 7);
}

static _Noreturn void scribble(struct px_queue_layout *shared, uint64_t state) {
    uint64_t words = px__queue_bytes(RING) / 8, from = sizeof *shared / 8;
    for (;;) {
        uint64_t i = random_word(&state) % 4 ? sizeof shared->header / 8 + random_word(&state) % 32 : from + random_word(&state) % (words - from);
        atomic_store_explicit((_Atomic uint64_t *)shared + i, random_word(&state), memory_order_relaxed);
    }
}

// Somebody writes nonsense everywhere while we pop and push: whatever comes back, nothing leaves the ring or the caller's
// bytes (the address sanitizer watches), and a message is never longer than there was room for.
TEST(queue_bears_memory_that_changes_under_it) {
    struct both both = both_sides(RING);
    pid_t pid = (pid_t)ASSERT_CALL(fork());
    if (pid == 0) scribble(both.shared, 88172645463325252ull);
    uint32_t dead = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        px_queue *queue = attach_copy(both.parent, PX_QUEUE_CHILD);
        uint8_t *bytes = malloc(64);
        for (uint32_t n = 0; n < 50; n++) {
            uint32_t type;
            int length = px_queue_pop(queue, &type, bytes, 64);
            int pushed = px_queue_push(queue, n, bytes, 64);
            ASSERT_LE(length, 64);
            ASSERT_LE(pushed, 0);
            dead += length == -PX_E_MALFORMED;
            px_queue_clear(queue);
        }
        free(bytes);
        px_queue_destroy(queue);
    }
    ASSERT_CALL(kill(pid, SIGKILL));
    ASSERT_GT(dead, 0);
    end_both(&both);
}
