// Inside of a loop, shared by loop.c (turns, posts, timers), loop_alarm.c (the wait for timers) and loop_epoll.c (descriptors).
#ifndef PX_LOOP_INTERNAL_H
#define PX_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "loop/loop.h"
#include "loop/timer_wheel.h"

// Events taken from the kernel at once: enough to make the system call cheap per event, few enough that timers and posts are
// not kept waiting.
enum { PX_LOOP_BATCH = 128 };

struct px_post {
    struct px_post *next;
    px_post_fn fn;
    void *context;
};

struct px_post_list {
    struct px_post *first, **end;
};

struct px_loop {
    int epoll_fd;
    uint32_t next_registration;
    struct px_handle **handles;  // by descriptor; NULL: not registered here
    uint32_t handle_capacity;
    struct epoll_event batch[PX_LOOP_BATCH];
    uint32_t batch_next, batch_count;  // a turn that was cut short is continued by the next

    uint64_t now_ms;
    struct px_timer_wheel wheel;
    struct px_handle alarm;            // timerfd
    uint64_t alarm_ms;                 // when it goes off; UINT64_MAX: it is not set

    struct px_deferred *deferred;      // for the next turn
    struct px_deferred *deferring;     // of this turn, still to run

    struct px_handle wake;             // eventfd
    atomic_bool stop;
    struct px_post_list running;       // taken from `posted`, being run
    pthread_mutex_t mutex;             // of `posted`
    struct px_post_list posted;
};

int px__loop_epoll_open(px_loop *loop, struct px_detail *detail);
void px__loop_epoll_close(px_loop *loop);
// Fill an empty batch, waiting at most `timeout_ms` (-1: for ever). 0 or -errno; an interrupted wait is an empty batch.
int px__loop_epoll_wait(px_loop *loop, int timeout_ms);
// Deliver the next event of the batch, or drop it if stale. Returns whether a callback of the loop's user ran.
bool px__loop_epoll_dispatch(px_loop *loop);

int px__loop_alarm_open(px_loop *loop, struct px_detail *detail);
void px__loop_alarm_close(px_loop *loop);
// Let it go off at `due_ms` at the latest (UINT64_MAX: it need not).
void px__loop_alarm_set(px_loop *loop, uint64_t due_ms);

#endif
