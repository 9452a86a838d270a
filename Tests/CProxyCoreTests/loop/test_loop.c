#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "loop/loop.h"
#include "test.h"

static px_loop *loop;

static void open_loop(void) {
    struct px_detail detail;
    loop = px_loop_create(&detail);
    ASSERT_TRUE(loop != NULL);
}

// Turns until *count reaches `target`.
static void turn_until(const volatile int *count, int target, const char *what) {
    uint64_t deadline = px_clock_monotonic_ns() + 10000000000u;
    while (*count < target) {
        if (px_clock_monotonic_ns() > deadline) FAIL("waited 10 s for %s: %d of %d", what, *count, target);
        ASSERT_OK(px_loop_turn(loop, 1000));
    }
}

struct end {
    struct px_handle handle;
    int calls;
    uint32_t events;
    struct end *remove, *close;  // what to do in the callback
};

static void on_events(struct px_handle *handle, uint32_t events) {
    struct end *end = (struct end *)handle;
    end->calls++;
    end->events = events;
    if (end->remove) px_loop_remove(loop, &end->remove->handle);
    if (end->close) {
        int fd = end->close->handle.fd;
        px_loop_remove(loop, &end->close->handle);
        close(fd);
    }
}

static void pair(int fds[2]) {
    ASSERT_CALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
}

static void add(struct end *end, int fd, uint32_t flags) {
    end->handle = (struct px_handle){.on_events = on_events, .fd = -1};
    ASSERT_OK(px_loop_add(loop, &end->handle, fd, flags));
    ASSERT_EQ(end->handle.fd, fd);
}

TEST(loop_events_are_edges_of_both_directions) {
    struct end end = {0};
    int fds[2];
    open_loop();
    pair(fds);
    add(&end, fds[0], 0);
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    ASSERT_EQ(end.events, PX_WRITABLE);
    ASSERT_EQ(px_loop_turn(loop, 0), 0);
    ASSERT_EQ(write(fds[1], "x", 1), 1);
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    ASSERT_EQ(end.events, PX_READABLE | PX_WRITABLE);
    ASSERT_EQ(px_loop_turn(loop, 0), 0);  // unread, but no new edge
    ASSERT_CALL(shutdown(fds[1], SHUT_WR));
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    ASSERT_EQ(end.events & PX_READ_HANGUP, PX_READ_HANGUP);
    ASSERT_EQ(end.events & PX_HANGUP, 0);
    close(fds[1]);
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    ASSERT_EQ(end.events & PX_HANGUP, PX_HANGUP);
    px_loop_remove(loop, &end.handle);
    ASSERT_EQ(end.handle.fd, -1);
    close(fds[0]);
    px_loop_destroy(loop);
}

TEST(loop_level_triggered_registrations_repeat) {
    struct end end = {0};
    int fds[2];
    open_loop();
    pair(fds);
    add(&end, fds[0], PX_LEVEL | PX_READ_ONLY);
    ASSERT_EQ(px_loop_turn(loop, 0), 0);
    ASSERT_EQ(write(fds[1], "x", 1), 1);
    for (int i = 1; i <= 3; i++) {
        ASSERT_EQ(px_loop_turn(loop, 0), 1);
        ASSERT_EQ(end.calls, i);
        ASSERT_EQ(end.events, PX_READABLE);
    }
    px_loop_remove(loop, &end.handle);
    ASSERT_EQ(px_loop_turn(loop, 0), 0);
    close(fds[0]);
    close(fds[1]);
    px_loop_destroy(loop);
}

TEST(loop_exclusive_listener_is_accepted_by_the_kernel) {
    struct end end = {0};
    open_loop();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ASSERT_CALL(listen(fd, 1));
    add(&end, fd, PX_LEVEL | PX_READ_ONLY | PX_EXCLUSIVE);
    px_loop_remove(loop, &end.handle);
    close(fd);
    px_loop_destroy(loop);
}

TEST(loop_drops_collected_events_of_a_handle_removed_in_the_same_batch) {
    struct end ends[2] = {0};
    int fds[2];
    open_loop();
    pair(fds);
    for (int i = 0; i < 2; i++) add(&ends[i], fds[i], 0);
    ends[0].remove = &ends[1];
    ends[1].remove = &ends[0];
    ASSERT_EQ(px_loop_turn(loop, 0), 1);  // both writable; whoever is first removes the other
    ASSERT_EQ(ends[0].calls + ends[1].calls, 1);
    px_loop_destroy(loop);
    close(fds[0]);
    close(fds[1]);
}

static struct end replacement;
static int replacement_fds[2];

// Closes the other end and puts a new registration on its number, within one batch.
static void replace_other(struct px_handle *handle, uint32_t events) {
    struct end *end = (struct end *)handle;
    int number = end->close->handle.fd;
    end->calls++;
    px_loop_remove(loop, &end->close->handle);
    memset(end->close, 0xee, sizeof *end->close);  // as freed memory would look
    ASSERT_CALL(dup3(replacement_fds[0], number, O_CLOEXEC));
    add(&replacement, number, PX_READ_ONLY);
}

TEST(loop_tells_a_stale_event_from_one_of_a_reused_descriptor_number) {
    struct end ends[2] = {0};
    int fds[2];
    open_loop();
    pair(fds);
    pair(replacement_fds);
    for (int i = 0; i < 2; i++) {
        add(&ends[i], fds[i], 0);
        ends[i].handle.on_events = replace_other;
        ends[i].close = &ends[1 - i];
    }
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    ASSERT_EQ(replacement.calls, 0);
    px_loop_remove(loop, ends[0].calls == 1 ? &ends[0].handle : &ends[1].handle);  // its peer is gone: an event we do not want
    ASSERT_EQ(write(replacement_fds[1], "x", 1), 1);
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    ASSERT_EQ(replacement.calls, 1);
    px_loop_destroy(loop);
}

TEST(loop_removed_descriptor_stays_silent_while_another_process_holds_it) {
    struct end end = {0};
    int fds[2];
    open_loop();
    pair(fds);
    int copy = dup(fds[0]);  // stands for the copy in another process: the same open file
    add(&end, fds[0], 0);
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    px_loop_remove(loop, &end.handle);
    close(fds[0]);
    ASSERT_EQ(write(fds[1], "x", 1), 1);
    ASSERT_EQ(px_loop_turn(loop, 0), 0);
    ASSERT_EQ(end.calls, 1);
    close(copy);
    close(fds[1]);
    px_loop_destroy(loop);
}

TEST(loop_registration_errors_are_returned) {
    struct px_handle handle = {.on_events = on_events, .fd = -1}, other = handle;
    int fds[2];
    open_loop();
    pair(fds);
    ASSERT_EQ(px_loop_add(loop, &handle, -1, 0), -EBADF);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(px_loop_add(loop, &handle, file, 0), -EPERM);  // a regular file has no readiness
    ASSERT_EQ(handle.fd, -1);
    px_loop_remove(loop, &handle);  // never added: nothing happens
    ASSERT_OK(px_loop_add(loop, &handle, fds[0], 0));
    ASSERT_EQ(px_loop_add(loop, &other, fds[0], 0), -EEXIST);
    px_loop_remove(loop, &other);
    ASSERT_OK(px_loop_add(loop, &other, fds[1], 0));
    px_loop_destroy(loop);
}

TEST(loop_takes_descriptors_with_high_numbers) {
    struct rlimit limit;
    struct end end = {0};
    int fds[2];
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &limit));
    int high = limit.rlim_cur > 5000 ? 5000 : (int)limit.rlim_cur - 1;
    open_loop();
    pair(fds);
    ASSERT_CALL(dup3(fds[0], high, O_CLOEXEC));
    limit.rlim_cur = (rlim_t)high / 2;  // lowered after the descriptor was made, as an inherited one would be
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    add(&end, high, 0);
    ASSERT_EQ(px_loop_turn(loop, 0), 1);
    px_loop_remove(loop, &end.handle);
    px_loop_destroy(loop);
}

TEST(loop_create_fails_with_the_step_when_descriptors_are_used_up) {
    struct rlimit usual, none;
    struct px_detail detail;
    int before = test_open_descriptors(), lowest_free = dup(0);
    close(lowest_free);
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &usual));
    for (rlim_t extra = 0; extra < 2; extra++) {
        none = usual;
        none.rlim_cur = (rlim_t)lowest_free + extra;
        ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &none));
        ASSERT_TRUE(px_loop_create(&detail) == NULL);
        ASSERT_EQ(detail.code, -EMFILE);
        ASSERT_STR(detail.call, extra ? "eventfd" : "epoll_create1");
        ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &usual));
        ASSERT_EQ(test_open_descriptors(), before);
    }
}

// ---- timers ----------------------------------------------------------------------------------------------------------

struct alarm {
    struct px_timer timer;
    uint64_t armed_ns, delay_ms;
    int fired;
    struct alarm *cancel;
};
static int order[64], order_count;

static void on_alarm(struct px_timer *timer) {
    struct alarm *alarm = (struct alarm *)timer;
    uint64_t passed = px_clock_monotonic_ns() - alarm->armed_ns;
    if (passed < alarm->delay_ms * 1000000) FAIL("timer of %d ms fired after %d ns", (int)alarm->delay_ms, (int)passed);
    ASSERT_FALSE(px_timer_is_armed(timer));
    alarm->fired++;
    order[order_count++ % 64] = (int)alarm->delay_ms;
    if (alarm->cancel) px_timer_cancel(loop, &alarm->cancel->timer);
}

static void arm(struct alarm *alarm, uint64_t delay_ms) {
    alarm->timer.on_fire = on_alarm;
    alarm->delay_ms = delay_ms;
    alarm->armed_ns = px_clock_monotonic_ns();
    px_timer_arm(loop, &alarm->timer, delay_ms);
}

TEST(timers_fire_in_order_and_never_early) {
    static const int delays[] = {70, 3, 150, 0, 40, 1, 65, 64, 2, 130};
    struct alarm alarms[10] = {0};
    open_loop();
    for (int i = 0; i < 10; i++) {
        arm(&alarms[i], (uint64_t)delays[i]);
        usleep(1500);  // so that a later-armed shorter timer and the turn's cached time differ by several ms
    }
    turn_until(&order_count, 10, "ten timers");
    for (int i = 0; i < 10; i++) ASSERT_EQ(alarms[i].fired, 1);
    px_loop_destroy(loop);
}

TEST(timers_armed_long_after_the_turn_began_are_not_early) {
    struct alarm alarm = {0};
    open_loop();
    ASSERT_EQ(px_loop_turn(loop, 0), 0);
    usleep(30000);  // a slow callback; the cached time is 30 ms old now
    arm(&alarm, 10);
    turn_until(&alarm.fired, 1, "the timer");
    px_loop_destroy(loop);
}

TEST(timers_of_one_late_turn_fire_in_order_of_due_time) {
    struct alarm alarms[3] = {0};
    unsigned ms = test_is_slow() ? 20 : 1;  // apart by more than a few statements can take
    open_loop();
    arm(&alarms[0], 30 * ms);
    arm(&alarms[1], 10 * ms);
    arm(&alarms[2], 20 * ms);
    usleep(60000 * ms);
    ASSERT_EQ(px_loop_turn(loop, 0), 3);
    ASSERT_EQ(order[0], 10 * ms);
    ASSERT_EQ(order[1], 20 * ms);
    ASSERT_EQ(order[2], 30 * ms);
    px_loop_destroy(loop);
}

TEST(timers_can_be_cancelled_and_rearmed_also_from_a_callback_of_the_same_millisecond) {
    struct alarm first = {0}, second = {0}, third = {0};
    open_loop();
    first.cancel = &second;
    second.cancel = &first;
    arm(&first, 5);
    arm(&second, 5);
    arm(&third, 5);
    px_timer_cancel(loop, &third.timer);
    px_timer_cancel(loop, &third.timer);
    arm(&third, 500);
    arm(&third, 20);
    turn_until(&third.fired, 1, "the timer that was armed again");
    ASSERT_EQ(first.fired + second.fired, 1);
    ASSERT_FALSE(px_timer_is_armed(&first.timer) || px_timer_is_armed(&second.timer) || px_timer_is_armed(&third.timer));
    px_loop_destroy(loop);
}

static void rearm_at_once(struct px_timer *timer) {
    ((struct alarm *)timer)->fired++;
    px_timer_arm(loop, timer, 0);
}

TEST(timers_that_rearm_themselves_at_once_do_not_hold_the_turn) {
    struct alarm alarm = {.timer.on_fire = rearm_at_once};
    open_loop();
    px_timer_arm(loop, &alarm.timer, 0);
    for (int turns = 0; turns < 20; turns++) ASSERT_EQ(px_loop_turn(loop, 1000), 1);
    ASSERT_EQ(alarm.fired, 20);
    px_timer_cancel(loop, &alarm.timer);
    px_loop_destroy(loop);
}

TEST(a_turn_without_events_waits_for_its_timeout_or_the_next_timer) {
    struct alarm alarm = {0};
    open_loop();
    uint64_t start = px_clock_monotonic_ns();
    ASSERT_EQ(px_loop_turn(loop, 20), 0);
    ASSERT_GE(px_clock_monotonic_ns() - start, 20000000);
    arm(&alarm, test_is_slow() ? 600 : 30);
    ASSERT_EQ(px_loop_turn(loop, 5), 0);
    turn_until(&alarm.fired, 1, "the timer");
    arm(&alarm, 10);
    start = px_clock_monotonic_ns();
    while (alarm.fired < 2) ASSERT_OK(px_loop_turn(loop, -1));
    ASSERT_LT(px_clock_monotonic_ns() - start, 5000000000);
    ASSERT_GE(px_loop_now_ms(loop) * 1000000, start);
    px_loop_destroy(loop);
}

TEST(a_timer_due_before_the_one_the_loop_waits_for_is_not_late) {
    struct alarm late = {0}, early = {0};
    open_loop();
    arm(&late, 60000);
    ASSERT_EQ(px_loop_turn(loop, 1), 0);
    uint64_t start = px_clock_monotonic_ns();
    arm(&early, 20);
    while (early.fired < 1) ASSERT_OK(px_loop_turn(loop, -1));
    ASSERT_LT(px_clock_monotonic_ns() - start, 30000000000);
    px_timer_cancel(loop, &late.timer);
    px_loop_destroy(loop);
}

TEST(a_wait_for_a_timer_that_was_cancelled_ends_once_and_the_next_timer_fires) {
    struct alarm cancelled = {0}, next = {0};
    uint64_t start = px_clock_monotonic_ns();
    open_loop();
    arm(&cancelled, 20);
    ASSERT_EQ(px_loop_turn(loop, 1), 0);
    px_timer_cancel(loop, &cancelled.timer);
    ASSERT_EQ(px_loop_turn(loop, 60000), 0);
    ASSERT_LT(px_clock_monotonic_ns() - start, 30000000000);
    start = px_clock_monotonic_ns();
    ASSERT_EQ(px_loop_turn(loop, 40), 0);
    ASSERT_GE(px_clock_monotonic_ns() - start, 40000000);
    arm(&next, 20);
    while (next.fired < 1) ASSERT_OK(px_loop_turn(loop, -1));
    px_loop_destroy(loop);
}

static void ignore_signal(int number) {
}

TEST(an_interrupted_wait_is_an_empty_turn) {
    struct sigaction action = {.sa_handler = ignore_signal};
    struct itimerval soon = {.it_value.tv_usec = 20000};
    open_loop();
    ASSERT_CALL(sigaction(SIGALRM, &action, NULL));
    ASSERT_CALL(setitimer(ITIMER_REAL, &soon, NULL));
    ASSERT_EQ(px_loop_turn(loop, 10000), 0);
    px_loop_destroy(loop);
}

// ---- posts and stop --------------------------------------------------------------------------------------------------

enum { POSTERS = 4, POSTS = 5000 };
static int next_post[POSTERS], posts_run;
static pthread_t loop_thread;

static void on_post(void *context) {
    uintptr_t value = (uintptr_t)context;
    ASSERT_TRUE(pthread_equal(pthread_self(), loop_thread));
    ASSERT_EQ(value % POSTS, next_post[value / POSTS]++);
    posts_run++;
}

static void *post_many(void *context) {
    for (uintptr_t i = 0; i < POSTS; i++) ASSERT_OK(px_loop_post(loop, on_post, (void *)((uintptr_t)context * POSTS + i)));
    return NULL;
}

TEST(posts_from_other_threads_run_on_the_loops_thread_in_order) {
    pthread_t threads[POSTERS];
    open_loop();
    loop_thread = pthread_self();
    for (uintptr_t i = 0; i < POSTERS; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, post_many, (void *)i), 0);
    turn_until(&posts_run, POSTERS * POSTS, "posts");
    for (int i = 0; i < POSTERS; i++) pthread_join(threads[i], NULL);
    px_loop_destroy(loop);
}

static void post_again(void *context) {
    int *left = context;
    if (--*left) ASSERT_OK(px_loop_post(loop, post_again, left));
}

TEST(a_post_made_by_a_post_runs_in_a_coming_turn) {
    int left = 3;
    open_loop();
    ASSERT_OK(px_loop_post(loop, post_again, &left));
    for (int expected = 2; expected >= 0; expected--) {
        ASSERT_GT(px_loop_turn(loop, 5000), 0);
        ASSERT_EQ(left, expected);
    }
    px_loop_destroy(loop);
}

TEST(posts_never_run_are_freed_with_the_loop) {
    int left = 1;
    open_loop();
    ASSERT_OK(px_loop_post(loop, post_again, &left));
    px_loop_destroy(loop);
    ASSERT_EQ(left, 1);
}

struct chore {
    struct px_deferred deferred;
    int runs;
    bool again, stops;
};

static void do_chore(struct px_deferred *deferred) {
    struct chore *chore = (struct chore *)deferred;
    chore->runs++;
    if (chore->again) px_loop_defer(loop, deferred);
    if (chore->stops) px_loop_stop(loop);
}

TEST(deferred_work_runs_once_in_the_next_turn_which_does_not_wait) {
    struct chore chore = {.deferred.run = do_chore};
    open_loop();
    px_loop_defer(loop, &chore.deferred);
    px_loop_defer(loop, &chore.deferred);
    uint64_t start = px_clock_monotonic_ns();
    ASSERT_EQ(px_loop_turn(loop, 5000), 1);
    ASSERT_LT(px_clock_monotonic_ns() - start, 4000000000);
    ASSERT_EQ(px_loop_turn(loop, 0), 0);
    ASSERT_EQ(chore.runs, 1);
    px_loop_destroy(loop);
}

TEST(deferred_work_that_defers_itself_does_not_hold_the_turn) {
    struct chore chore = {.deferred.run = do_chore, .again = true};
    open_loop();
    px_loop_defer(loop, &chore.deferred);
    for (int turns = 1; turns <= 20; turns++) {
        ASSERT_EQ(px_loop_turn(loop, 5000), 1);
        ASSERT_EQ(chore.runs, turns);
    }
    px_loop_destroy(loop);  // while it is queued
}

TEST(deferred_work_that_stops_the_loop_leaves_the_rest_to_the_next_run) {
    struct chore chores[3] = {0};
    open_loop();
    for (int i = 0; i < 3; i++) {
        chores[i] = (struct chore){.deferred.run = do_chore, .stops = true};
        px_loop_defer(loop, &chores[i].deferred);
    }
    for (int runs = 1; runs <= 3; runs++) {
        ASSERT_OK(px_loop_run(loop));
        ASSERT_EQ(chores[0].runs + chores[1].runs + chores[2].runs, runs);
    }
    px_loop_destroy(loop);
}

static void *run_loop(void *context) {
    return (void *)(intptr_t)px_loop_run(loop);
}

TEST(stop_from_another_thread_ends_a_run_also_when_it_comes_first) {
    pthread_t thread;
    void *result;
    open_loop();
    for (int i = 0; i < 100; i++) {
        ASSERT_EQ(pthread_create(&thread, NULL, run_loop, NULL), 0);
        px_loop_stop(loop);
        ASSERT_EQ(pthread_join(thread, &result), 0);
        ASSERT_EQ((intptr_t)result, 0);
    }
    px_loop_destroy(loop);
}

static int stops;
static void stop_loop(void *context) {
    stops++;
    px_loop_stop(loop);
}

static void stop_on_event(struct px_handle *handle, uint32_t events) {
    ((struct end *)handle)->calls++;
    px_loop_stop(loop);
}

static void stop_on_fire(struct px_timer *timer) {
    ((struct alarm *)timer)->fired++;
    px_loop_stop(loop);
}

TEST(stop_in_a_callback_ends_the_turn_there_and_the_next_run_goes_on) {
    struct end ends[2] = {0};
    struct alarm alarms[2] = {{.timer.on_fire = stop_on_fire}, {.timer.on_fire = stop_on_fire}};
    int fds[2];
    open_loop();
    pair(fds);
    for (int i = 0; i < 2; i++) {
        add(&ends[i], fds[i], 0);
        ends[i].handle.on_events = stop_on_event;
        px_timer_arm(loop, &alarms[i].timer, 0);
        ASSERT_OK(px_loop_post(loop, stop_loop, NULL));
    }
    usleep(3000);  // all six are due in one turn
    for (int runs = 1; runs <= 6; runs++) {
        ASSERT_OK(px_loop_run(loop));
        ASSERT_EQ(ends[0].calls + ends[1].calls + stops + alarms[0].fired + alarms[1].fired, runs);
    }
    ASSERT_EQ(stops, 2);
    px_loop_destroy(loop);
}
