// The main thread's loop: signals, timers and descriptors by token, the log ring, all given to the driver through one callback.
// Main thread only, but for px_mainloop_stop.
//
// Every descriptor here is level-triggered: the driver may leave one unread for a turn, and stopping in the middle of a turn
// loses nothing. A watch or timer is taken out of its table before the driver can free or replace it in its own callback.
#include "engine/mainloop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log_ring.h"

enum { BUCKETS = 64 };  // the driver has tens of watches and timers

struct watch {
    struct px_handle handle;
    px_mainloop *owner;
    struct watch *next;
    uint64_t token;
};

struct token_timer {
    struct px_timer timer;
    px_mainloop *owner;
    struct token_timer *next;
    uint64_t token;
};

struct px_mainloop {
    px_loop *loop;
    px_event_fn callback;
    void *context;
    struct px_handle log;
    struct px_handle signals;
    sigset_t signal_set;
    struct watch *watches[BUCKETS];        // by descriptor
    struct token_timer *timers[BUCKETS];   // by token
    int emitted;                           // in the present turn
};

void px__mainloop_emit(px_mainloop *loop, const struct px_event *event) {
    loop->emitted++;
    loop->callback(event, loop->context);
}

px_loop *px__mainloop_loop(px_mainloop *loop) {
    return loop->loop;
}

// ---- create, destroy -------------------------------------------------------------------------------------------------

static void on_log(struct px_handle *handle, uint32_t events) {
    px_mainloop *loop = (px_mainloop *)((char *)handle - offsetof(px_mainloop, log));
    px__mainloop_emit(loop, &(struct px_event){.kind = PX_EVENT_LOG});
}

static int watch_log(px_mainloop *loop, struct px_detail *detail) {
    int fd = px_log_fd();
    if (fd < 0) return px_fail(detail, -EMFILE, "eventfd", "log ring", "%s", "");
    int result = px_loop_add(loop->loop, &loop->log, fd, PX_LEVEL | PX_READ_ONLY);
    return result < 0 ? px_fail(detail, result, "epoll_ctl", "log ring", "%s", "") : 0;
}

px_mainloop *px_mainloop_create(px_event_fn callback, void *context, struct px_detail *detail) {
    px_mainloop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        (void)px_fail(detail, -ENOMEM, "calloc", "main loop", "%zu bytes", sizeof *loop);
        return NULL;
    }
    loop->callback = callback;
    loop->context = context;
    loop->log = (struct px_handle){.on_events = on_log, .fd = -1};
    loop->signals.fd = -1;
    sigemptyset(&loop->signal_set);
    loop->loop = px_loop_create(detail);
    if (loop->loop && watch_log(loop, detail) == 0) return loop;
    px_mainloop_destroy(loop);
    return NULL;
}

static void free_watch(struct watch *watch) {
    px_loop_remove(watch->owner->loop, &watch->handle);
    free(watch);
}

static void free_timer(struct token_timer *timer) {
    px_timer_cancel(timer->owner->loop, &timer->timer);
    free(timer);
}

static void free_tables(px_mainloop *loop) {
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct watch *watch = loop->watches[i], *next; watch; watch = next) {
            next = watch->next;
            free_watch(watch);
        }
        for (struct token_timer *timer = loop->timers[i], *next; timer; timer = next) {
            next = timer->next;
            free_timer(timer);
        }
    }
}

void px_mainloop_destroy(px_mainloop *loop) {
    if (!loop) return;
    if (loop->loop) {
        int signal_fd = loop->signals.fd;
        px_loop_remove(loop->loop, &loop->log);
        px_loop_remove(loop->loop, &loop->signals);
        if (signal_fd >= 0) close(signal_fd);
        free_tables(loop);
    }
    px_loop_destroy(loop->loop);
    free(loop);
}

// ---- signals ---------------------------------------------------------------------------------------------------------

// One at a time: a callback may stop the loop, and the signals after it must not have been taken out yet.
static void on_signal(struct px_handle *handle, uint32_t events) {
    px_mainloop *loop = (px_mainloop *)((char *)handle - offsetof(px_mainloop, signals));
    struct signalfd_siginfo info;
    if (read(handle->fd, &info, sizeof info) != sizeof info) return;
    struct px_event event = {
        .kind = PX_EVENT_SIGNAL, .signal = (int32_t)info.ssi_signo, .sender_pid = (int32_t)info.ssi_pid};
    px__mainloop_emit(loop, &event);
}

static int open_signalfd(px_mainloop *loop, const sigset_t *set) {
    int fd = signalfd(loop->signals.fd, set, SFD_CLOEXEC | SFD_NONBLOCK);  // -1 makes one, else changes its set
    if (fd < 0) return -errno;
    if (loop->signals.fd >= 0) return 0;
    loop->signals.on_events = on_signal;
    int result = px_loop_add(loop->loop, &loop->signals, fd, PX_LEVEL | PX_READ_ONLY);
    if (result < 0) close(fd);
    return result;
}

int px_mainloop_watch_signals(px_mainloop *loop, const int32_t *signals, size_t count) {
    sigset_t set = loop->signal_set;
    for (size_t i = 0; i < count; i++) {
        if (sigaddset(&set, signals[i]) < 0) return -EINVAL;
    }
    int result = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (result != 0) return -result;
    // What they would end the process for is an errno as well: EPIPE; EFBIG, a log at its RLIMIT_FSIZE.
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return -errno;
    result = open_signalfd(loop, &set);
    if (result == 0) loop->signal_set = set;
    return result;
}

// ---- descriptors -----------------------------------------------------------------------------------------------------

static void on_readable(struct px_handle *handle, uint32_t events) {
    struct watch *watch = (struct watch *)handle;
    struct px_event event = {.kind = PX_EVENT_READABLE, .token = watch->token};
    px__mainloop_emit(watch->owner, &event);  // may unwatch: `watch` is not touched after this
}

static struct watch **find_watch(px_mainloop *loop, int fd) {
    struct watch **place = &loop->watches[(unsigned)fd % BUCKETS];
    while (*place && (*place)->handle.fd != fd) place = &(*place)->next;
    return place;
}

int px_mainloop_watch(px_mainloop *loop, int fd, uint64_t token) {
    if (fd < 0) return -EBADF;
    if (*find_watch(loop, fd)) return -EEXIST;
    struct watch *watch = malloc(sizeof *watch);
    if (!watch) return -ENOMEM;
    *watch = (struct watch){.handle = {.on_events = on_readable, .fd = -1}, .owner = loop, .token = token};
    int result = px_loop_add(loop->loop, &watch->handle, fd, PX_LEVEL | PX_READ_ONLY);
    if (result < 0) {
        free(watch);
        return result;
    }
    struct watch **bucket = &loop->watches[(unsigned)fd % BUCKETS];
    watch->next = *bucket;
    *bucket = watch;
    return 0;
}

void px_mainloop_unwatch(px_mainloop *loop, int fd) {
    if (fd < 0) return;
    struct watch **place = find_watch(loop, fd), *watch = *place;
    if (!watch) return;
    *place = watch->next;
    free_watch(watch);
}

// ---- timers ----------------------------------------------------------------------------------------------------------

static struct token_timer **find_timer(px_mainloop *loop, uint64_t token) {
    struct token_timer **place = &loop->timers[token % BUCKETS];
    while (*place && (*place)->token != token) place = &(*place)->next;
    return place;
}

static void on_fire(struct px_timer *fired) {
    struct token_timer *timer = (struct token_timer *)fired;
    px_mainloop *loop = timer->owner;
    struct px_event event = {.kind = PX_EVENT_TIMER, .token = timer->token};
    *find_timer(loop, timer->token) = timer->next;
    free(timer);
    px__mainloop_emit(loop, &event);
}

int px_mainloop_set_timer(px_mainloop *loop, uint64_t token, uint64_t delay_ms) {
    struct token_timer **place = find_timer(loop, token), *timer = *place;
    if (!timer) {
        timer = malloc(sizeof *timer);
        if (!timer) return -ENOMEM;
        *timer = (struct token_timer){.timer.on_fire = on_fire, .owner = loop, .token = token};
        *place = timer;
    }
    px_timer_arm(loop->loop, &timer->timer, delay_ms);
    return 0;
}

void px_mainloop_cancel_timer(px_mainloop *loop, uint64_t token) {
    struct token_timer **place = find_timer(loop, token), *timer = *place;
    if (!timer) return;
    *place = timer->next;
    free_timer(timer);
}

// ---- running ---------------------------------------------------------------------------------------------------------

int px_mainloop_run(px_mainloop *loop) {
    return px_loop_run(loop->loop);
}

void px_mainloop_stop(px_mainloop *loop) {
    px_loop_stop(loop->loop);
}

int px_mainloop_turn(px_mainloop *loop, int timeout_ms) {
    loop->emitted = 0;
    int result = px_loop_turn(loop->loop, timeout_ms);
    return result < 0 ? result : loop->emitted;
}
