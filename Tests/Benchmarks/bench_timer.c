// Timers of a loop: arming and cancelling among many others, and firing, each through the wheel as a connection uses it.
#include <stdlib.h>

#include "bench.h"
#include "loop/loop.h"
#include "loop/timer_wheel.h"

enum { BATCH = 1000, STANDING = 10000 };

static struct px_timer standing[STANDING], timers[BATCH];
static uint64_t fired;

static void count_fired(struct px_timer *timer) {
    fired++;
}

// What no timer can do without: know the time, and enter and leave a list.
static double floor_ns(const struct bench *bench) {
    static struct px_timer *head;
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            struct px_timer *timer = &timers[i];
            timer->due_ms = px_clock_monotonic_ns();
            timer->next = head;
            timer->link = &head;
            head = timer;
            __asm__ volatile("" ::: "memory");  // the list is to be in memory in between
            *timer->link = timer->next;
            timer->link = NULL;
        }
    }
    return bench_ns_per_operation(&loop);
}

// Every timer of a batch is armed, then every one cancelled: no timer finds its own cache lines as it left them.
static double arm_cancel_ns(const struct bench *bench, px_loop *timer_loop, uint64_t delay_ms) {
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += BATCH) {
        for (int i = 0; i < BATCH; i++) px_timer_arm(timer_loop, &timers[i], delay_ms + (uint64_t)i);
        for (int i = 0; i < BATCH; i++) px_timer_cancel(timer_loop, &timers[i]);
    }
    return bench_ns_per_operation(&loop);
}

// From arming in the coarsest level in use down to firing, in virtual time.
static double fire_ns(const struct bench *bench) {
    static struct px_timer_wheel wheel;
    uint64_t now_ms = 1;
    px_timer_wheel_init(&wheel, now_ms);
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += BATCH) {
        for (int i = 0; i < BATCH; i++) px_timer_wheel_add(&wheel, &timers[i], now_ms + 1 + (uint64_t)i * 300);
        now_ms += BATCH * 300;
        for (struct px_timer *timer; (timer = px_timer_wheel_take(&wheel, now_ms));) timer->on_fire(timer);
    }
    return bench_ns_per_operation(&loop);
}

BENCH(timer) {
    px_loop *timer_loop = px_loop_create(NULL);
    if (!timer_loop) bench_fail(bench, "no loop");
    for (int i = 0; i < BATCH; i++) timers[i].on_fire = count_fired;
    for (int i = 0; i < STANDING; i++) px_timer_arm(timer_loop, &standing[i], 1000 + (uint64_t)i * 97);
    double floor = floor_ns(bench);
    bench_report(bench, "arm + cancel, 15 s", "ns", arm_cancel_ns(bench, timer_loop, 15000), floor, "clock read + list in and out");
    bench_report(bench, "arm + fire, up to 300 s", "ns", fire_ns(bench), floor, "clock read + list in and out");
    for (int i = 0; i < STANDING; i++) px_timer_cancel(timer_loop, &standing[i]);
    px_loop_destroy(timer_loop);
}
