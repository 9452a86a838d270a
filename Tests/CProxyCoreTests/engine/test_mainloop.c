#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "engine/mainloop.h"
#include "test.h"

static px_mainloop *loop;
static struct px_event seen[64];
static int seen_count;
static void (*react)(const struct px_event *event);

static void on_event(const struct px_event *event, void *context) {
    ASSERT_TRUE(context == &seen_count);
    seen[seen_count++ % 64] = *event;
    if (react) react(event);
}

static void open_loop(void) {
    struct px_detail detail;
    loop = px_mainloop_create(on_event, &seen_count, &detail);
    ASSERT_TRUE(loop != NULL);
}

static void turn_until(int count, const char *what) {
    uint64_t deadline = px_clock_monotonic_ns() + 10000000000u;
    while (seen_count < count) {
        if (px_clock_monotonic_ns() > deadline) FAIL("waited 10 s for %s", what);
        ASSERT_OK(px_mainloop_turn(loop, 1000));
    }
}

TEST(signals_arrive_as_events_with_their_sender_and_sigpipe_and_sigxfsz_are_ignored) {
    static const int32_t first[] = {SIGTERM, SIGHUP}, second[] = {SIGUSR1};
    open_loop();
    ASSERT_OK(px_mainloop_watch_signals(loop, first, 2));
    ASSERT_OK(px_mainloop_watch_signals(loop, second, 1));
    kill(getpid(), SIGTERM);
    turn_until(1, "SIGTERM");
    ASSERT_EQ(seen[0].kind, PX_EVENT_SIGNAL);
    ASSERT_EQ(seen[0].signal, SIGTERM);
    ASSERT_EQ(seen[0].sender_pid, getpid());
    pid_t child = fork();
    if (child == 0) _exit(kill(getppid(), SIGUSR1));
    turn_until(2, "SIGUSR1");
    ASSERT_EQ(seen[1].signal, SIGUSR1);
    ASSERT_EQ(seen[1].sender_pid, child);
    ASSERT_CALL(waitpid(child, NULL, 0));
    int fds[2];
    ASSERT_CALL(pipe2(fds, O_CLOEXEC));
    close(fds[0]);
    ASSERT_EQ(write(fds[1], "x", 1), -1);
    ASSERT_EQ(errno, EPIPE);
    close(fds[1]);
    struct rlimit limit = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
    int file = (int)ASSERT_CALL(memfd_create("log", MFD_CLOEXEC));
    ASSERT_CALL(setrlimit(RLIMIT_FSIZE, &limit));
    ASSERT_EQ(write(file, "x", 1), -1);
    ASSERT_EQ(errno, EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    ASSERT_CALL(setrlimit(RLIMIT_FSIZE, &limit));
    close(file);
    static const int32_t bad[] = {9999};
    ASSERT_EQ(px_mainloop_watch_signals(loop, bad, 1), -EINVAL);
    px_mainloop_destroy(loop);
}

static void stop_loop(const struct px_event *event) {
    px_mainloop_stop(loop);
}

TEST(stop_returns_after_the_present_callback_and_loses_no_signal) {
    static const int32_t both[] = {SIGTERM, SIGHUP};
    open_loop();
    react = stop_loop;
    ASSERT_OK(px_mainloop_watch_signals(loop, both, 2));
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGHUP);
    ASSERT_OK(px_mainloop_run(loop));
    ASSERT_EQ(seen_count, 1);
    ASSERT_OK(px_mainloop_run(loop));
    ASSERT_EQ(seen_count, 2);
    ASSERT_EQ(seen[0].signal + seen[1].signal, SIGTERM + SIGHUP);
    px_mainloop_destroy(loop);
}

TEST(mainloop_timers_are_one_shot_and_known_by_token) {
    uint64_t ms = test_is_slow() ? 40 : 1;  // apart by more than a few statements can take
    open_loop();
    ASSERT_OK(px_mainloop_set_timer(loop, 7, 20 * ms));
    ASSERT_OK(px_mainloop_set_timer(loop, 7 + 64, 5 * ms));  // the same bucket
    ASSERT_OK(px_mainloop_set_timer(loop, 8, 10000));
    ASSERT_OK(px_mainloop_set_timer(loop, 8, 1));  // again: earlier
    ASSERT_OK(px_mainloop_set_timer(loop, UINT64_MAX, 3));
    px_mainloop_cancel_timer(loop, UINT64_MAX);
    px_mainloop_cancel_timer(loop, 12345);
    turn_until(3, "three timers");
    ASSERT_EQ(seen[0].token, 8);
    ASSERT_EQ(seen[1].token, 7 + 64);
    ASSERT_EQ(seen[2].token, 7);
    ASSERT_EQ(px_mainloop_turn(loop, 10), 0);
    ASSERT_OK(px_mainloop_set_timer(loop, 9, UINT64_MAX));
    ASSERT_EQ(px_mainloop_turn(loop, 10), 0);
    px_mainloop_destroy(loop);
}

static void rearm(const struct px_event *event) {
    if (event->kind == PX_EVENT_TIMER) ASSERT_OK(px_mainloop_set_timer(loop, event->token, 1));
}

TEST(a_mainloop_timer_can_be_set_again_in_its_own_event) {
    open_loop();
    react = rearm;
    ASSERT_OK(px_mainloop_set_timer(loop, 1, 0));
    turn_until(5, "five rounds");
    px_mainloop_destroy(loop);
}

TEST(watched_descriptors_report_until_read_and_hang_up_counts) {
    int fds[2];
    char byte;
    open_loop();
    ASSERT_CALL(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
    ASSERT_OK(px_mainloop_watch(loop, fds[0], 42));
    ASSERT_EQ(px_mainloop_watch(loop, fds[0], 43), -EEXIST);
    ASSERT_EQ(px_mainloop_watch(loop, -1, 43), -EBADF);
    ASSERT_EQ(px_mainloop_turn(loop, 0), 0);
    ASSERT_EQ(write(fds[1], "x", 1), 1);
    ASSERT_EQ(px_mainloop_turn(loop, 1000), 1);
    ASSERT_EQ(px_mainloop_turn(loop, 1000), 1);
    ASSERT_EQ(seen[1].kind, PX_EVENT_READABLE);
    ASSERT_EQ(seen[1].token, 42);
    ASSERT_EQ(read(fds[0], &byte, 1), 1);
    ASSERT_EQ(px_mainloop_turn(loop, 0), 0);
    close(fds[1]);
    ASSERT_EQ(px_mainloop_turn(loop, 1000), 1);
    px_mainloop_unwatch(loop, fds[0]);
    px_mainloop_unwatch(loop, fds[0]);
    px_mainloop_unwatch(loop, 4711);
    ASSERT_EQ(px_mainloop_turn(loop, 0), 0);
    close(fds[0]);
    px_mainloop_destroy(loop);
}

static int watched[2];
static void unwatch_both(const struct px_event *event) {
    for (int i = 0; i < 2; i++) px_mainloop_unwatch(loop, watched[i]);
}

TEST(unwatch_drops_events_already_collected_in_the_turn) {
    int pipes[2][2];
    open_loop();
    react = unwatch_both;
    for (int i = 0; i < 2; i++) {
        ASSERT_CALL(pipe2(pipes[i], O_CLOEXEC));
        watched[i] = pipes[i][0];
        ASSERT_OK(px_mainloop_watch(loop, watched[i], (uint64_t)i));
        ASSERT_EQ(write(pipes[i][1], "x", 1), 1);
    }
    ASSERT_EQ(px_mainloop_turn(loop, 1000), 1);
    ASSERT_EQ(px_mainloop_turn(loop, 0), 0);
    px_mainloop_destroy(loop);
}

TEST(log_records_are_announced_until_taken) {
    struct px_log_record record;
    open_loop();
    ASSERT_EQ(px_mainloop_turn(loop, 0), 0);
    px_log(PX_ERROR, "main", "something");
    ASSERT_EQ(px_mainloop_turn(loop, 1000), 1);
    ASSERT_EQ(px_mainloop_turn(loop, 1000), 1);
    ASSERT_EQ(seen[0].kind, PX_EVENT_LOG);
    ASSERT_TRUE(px_log_take(&record));
    ASSERT_EQ(px_mainloop_turn(loop, 0), 0);
    px_mainloop_destroy(loop);
}

static void emit_closed_all(void *context) {
    struct px_event event = {.kind = PX_EVENT_CLOSED_ALL, .count = (uint64_t)(uintptr_t)context};
    px__mainloop_emit(loop, &event);
}

static void *worker(void *context) {
    ASSERT_OK(px_loop_post(px__mainloop_loop(loop), emit_closed_all, (void *)17));
    return NULL;
}

TEST(a_workers_report_reaches_the_driver_on_the_loops_thread) {
    pthread_t thread;
    open_loop();
    ASSERT_EQ(pthread_create(&thread, NULL, worker, NULL), 0);
    turn_until(1, "the worker's event");
    pthread_join(thread, NULL);
    ASSERT_EQ(seen[0].kind, PX_EVENT_CLOSED_ALL);
    ASSERT_EQ(seen[0].count, 17);
    px_mainloop_destroy(loop);
}

TEST(destroying_a_mainloop_leaves_the_callers_descriptors_and_no_other) {
    static const int32_t one[] = {SIGUSR2};
    int fds[2];
    (void)px_log_fd();  // the process's own, made once
    ASSERT_CALL(pipe2(fds, O_CLOEXEC));
    int before = test_open_descriptors();
    open_loop();
    ASSERT_OK(px_mainloop_watch(loop, fds[0], 1));
    ASSERT_OK(px_mainloop_set_timer(loop, 1, 1000));
    ASSERT_OK(px_mainloop_watch_signals(loop, one, 1));
    px_mainloop_destroy(loop);
    px_mainloop_destroy(NULL);
    ASSERT_EQ(test_open_descriptors(), before);
    ASSERT_EQ(write(fds[1], "x", 1), 1);
    ASSERT_EQ(seen_count, 0);
}
