// Turns of a loop: wait, deliver events, run posts and what was deferred, fire timers. One thread runs a loop; only px_loop_post and px_loop_stop
// may be called from others.
//
// Events come before timers, so that data that arrived in time wins over its own time-out in a loop that is late. A turn cut
// short by px_loop_stop loses nothing: batch, posts and due timers wait in the loop for the next turn.
#include "loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "loop/loop_internal.h"

static uint64_t clock_ms(void) {
    return px_clock_monotonic_ns() / 1000000;
}

static void list_clear(struct px_post_list *list) {
    list->first = NULL;
    list->end = &list->first;
}

static void list_free(struct px_post_list *list) {
    while (list->first) {
        struct px_post *post = list->first;
        list->first = post->next;
        free(post);
    }
}

// The eventfd is edge-triggered and never read: each write is a new edge, and 2^64 of them will not happen.
static void wake(px_loop *loop) {
    if (eventfd_write(loop->wake.fd, 1) < 0) PX_BUG("eventfd_write failed");
}

// Move what was posted over to `running`, once all of the last turn's has run; what is posted from here on makes a new edge.
static void on_wake(struct px_handle *handle, uint32_t events) {
    px_loop *loop = (px_loop *)((char *)handle - offsetof(px_loop, wake));
    pthread_mutex_lock(&loop->mutex);
    if (loop->posted.first) {
        *loop->running.end = loop->posted.first;
        loop->running.end = loop->posted.end;
        list_clear(&loop->posted);
    }
    pthread_mutex_unlock(&loop->mutex);
}

static int open_wake(px_loop *loop, struct px_detail *detail) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return px_fail(detail, -errno, "eventfd", "event loop", "%s", "");
    int result = px_loop_add(loop, &loop->wake, fd, PX_READ_ONLY);
    if (result == 0) return 0;
    close(fd);
    return px_fail(detail, result, "epoll_ctl", "event loop", "%s", "");
}

px_loop *px_loop_create(struct px_detail *detail) {
    px_loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        (void)px_fail(detail, -ENOMEM, "calloc", "event loop", "%zu bytes", sizeof *loop);
        return NULL;
    }
    loop->epoll_fd = -1;
    loop->wake = (struct px_handle){.on_events = on_wake, .fd = -1};
    loop->alarm.fd = -1;
    pthread_mutex_init(&loop->mutex, NULL);
    list_clear(&loop->posted);
    list_clear(&loop->running);
    loop->now_ms = clock_ms();
    px_timer_wheel_init(&loop->wheel, loop->now_ms);
    if (px__loop_epoll_open(loop, detail) == 0 && open_wake(loop, detail) == 0 && px__loop_alarm_open(loop, detail) == 0) return loop;
    px_loop_destroy(loop);
    return NULL;
}

void px_loop_destroy(px_loop *loop) {
    if (!loop) return;
    px__loop_alarm_close(loop);
    px_loop_close(loop, &loop->wake);
    px__loop_epoll_close(loop);
    list_free(&loop->running);
    list_free(&loop->posted);
    pthread_mutex_destroy(&loop->mutex);
    free(loop);
}

uint64_t px_loop_now_ms(const px_loop *loop) {
    return loop->now_ms;
}

// The clock is read here (a few ns through the vDSO) because the turn's cached time may be long past, and a timer counted from
// it early. The present millisecond has partly gone: one more makes the delay whole.
void px_timer_arm(px_loop *loop, struct px_timer *timer, uint64_t delay_ms) {
    px_timer_cancel(loop, timer);
    uint64_t now_ms = clock_ms();
    px_timer_wheel_add(&loop->wheel, timer, delay_ms < UINT64_MAX - now_ms ? now_ms + delay_ms + 1 : UINT64_MAX);
}

void px_timer_cancel(px_loop *loop, struct px_timer *timer) {
    if (timer->link) px_timer_wheel_remove(&loop->wheel, timer);
}

int px_loop_post(px_loop *loop, px_post_fn fn, void *context) {
    struct px_post *post = malloc(sizeof *post);
    if (!post) return -ENOMEM;
    *post = (struct px_post){.fn = fn, .context = context};
    pthread_mutex_lock(&loop->mutex);
    // Only the first of a list has to wake the loop. Under the mutex: the loop may be destroyed once this post has run.
    if (!loop->posted.first) wake(loop);
    *loop->posted.end = post;
    loop->posted.end = &post->next;
    pthread_mutex_unlock(&loop->mutex);
    return 0;
}

void px_loop_defer(px_loop *loop, struct px_deferred *deferred) {
    if (deferred->queued) return;
    deferred->queued = true;
    deferred->next = loop->deferred;
    loop->deferred = deferred;
}

void px_loop_stop(px_loop *loop) {
    atomic_store(&loop->stop, true);
    wake(loop);
}

static bool is_stopping(px_loop *loop) {
    return atomic_load_explicit(&loop->stop, memory_order_relaxed);
}

static bool has_leftovers(const px_loop *loop) {
    return loop->batch_next < loop->batch_count || loop->running.first || loop->deferring || loop->wheel.due;
}

// How long epoll_wait may wait; timers end the wait by their alarm.
static int prepare_wait(px_loop *loop, int timeout_ms) {
    if (timeout_ms == 0 || has_leftovers(loop)) return 0;
    px__loop_alarm_set(loop, px_timer_wheel_next(&loop->wheel));
    return timeout_ms;
}

// Each of these runs callbacks until none is left or one has stopped the loop, and returns how many ran.

static int deliver_events(px_loop *loop) {
    int ran = 0;
    while (loop->batch_next < loop->batch_count) {
        if (!px__loop_epoll_dispatch(loop)) continue;
        ran++;
        if (is_stopping(loop)) break;
    }
    return ran;
}

static int run_posts(px_loop *loop) {
    int ran = 0;
    while (loop->running.first && !(ran && is_stopping(loop))) {
        struct px_post post = *loop->running.first;
        free(loop->running.first);
        loop->running.first = post.next;
        if (!post.next) list_clear(&loop->running);
        post.fn(post.context);
        ran++;
    }
    return ran;
}

static int run_deferred(px_loop *loop) {
    int ran = 0;
    while (loop->deferring && !(ran && is_stopping(loop))) {
        struct px_deferred *deferred = loop->deferring;
        loop->deferring = deferred->next;
        deferred->queued = false;
        deferred->run(deferred);
        ran++;
    }
    return ran;
}

// What is deferred from here on is for the turn after this one.
static void take_deferred(px_loop *loop) {
    if (loop->deferring) return;
    loop->deferring = loop->deferred;
    loop->deferred = NULL;
}

static int fire_timers(px_loop *loop) {
    int ran = 0;
    while (!(ran && is_stopping(loop))) {
        struct px_timer *timer = px_timer_wheel_take(&loop->wheel, loop->now_ms);
        if (!timer) break;
        timer->on_fire(timer);
        ran++;
    }
    return ran;
}

int px_loop_turn(px_loop *loop, int timeout_ms) {
    take_deferred(loop);
    int timeout = prepare_wait(loop, timeout_ms);
    if (loop->batch_next == loop->batch_count) {
        int result = px__loop_epoll_wait(loop, timeout);
        if (result < 0) return result;
    }
    loop->now_ms = clock_ms();
    int ran = deliver_events(loop);
    if (!(ran && is_stopping(loop))) ran += run_posts(loop);
    if (!(ran && is_stopping(loop))) ran += run_deferred(loop);
    if (!(ran && is_stopping(loop))) ran += fire_timers(loop);
    return ran;
}

int px_loop_run(px_loop *loop) {
    int result = 0;
    while (result >= 0 && !atomic_exchange(&loop->stop, false)) result = px_loop_turn(loop, -1);
    return result < 0 ? result : 0;
}
