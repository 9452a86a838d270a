// Wakes the loop for its timers: one timerfd among its descriptors. Loop thread only.
//
// The alarm is set anew only when something is due before it, and never taken back: timers of connections are mostly cancelled long
// before they are due, and an alarm for nothing every few seconds costs less than the time-out of epoll_wait, which is a kernel
// timer set up and taken down in every wait (docs/design/0004).
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "loop/loop_internal.h"

// Which timers are due is the wheel's to say, in the same turn.
static void on_alarm(struct px_handle *handle, uint32_t events) {
    px_loop *loop = (px_loop *)((char *)handle - offsetof(px_loop, alarm));
    loop->alarm_ms = UINT64_MAX;
}

// Edge-triggered and never read: each expiry is an edge of its own.
int px__loop_alarm_open(px_loop *loop, struct px_detail *detail) {
    loop->alarm = (struct px_handle){.on_events = on_alarm, .fd = -1};
    loop->alarm_ms = UINT64_MAX;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0) return px_fail(detail, -errno, "timerfd_create", "event loop", "%s", "");
    int result = px_loop_add(loop, &loop->alarm, fd, PX_READ_ONLY);
    if (result == 0) return 0;
    close(fd);
    return px_fail(detail, result, "epoll_ctl", "event loop", "%s", "");
}

void px__loop_alarm_close(px_loop *loop) {
    px_loop_close(loop, &loop->alarm);
}

void px__loop_alarm_set(px_loop *loop, uint64_t due_ms) {
    if (due_ms >= loop->alarm_ms) return;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000}};
    if (timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &when, NULL) < 0) PX_BUG("timerfd_settime failed");
    loop->alarm_ms = due_ms;
}
