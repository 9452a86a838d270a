// The event loop of one thread: epoll, timers, and work posted from other threads. Used by workers and by the main loop.
//
// Registrations are edge-triggered and made once per descriptor (a listening socket asks for level-triggered, and says why).
// epoll_data carries the descriptor and a 32-bit registration id; an event whose id is not the descriptor's present one is stale
// (the descriptor was closed and its number used again within the same batch) and dropped.
//
// A descriptor is always taken out with px_loop_remove (EPOLL_CTL_DEL) before it is passed to another process: while another process
// holds the same open file, close() alone would leave it reporting. Where nobody else holds it, px_loop_close saves that call.
#ifndef PX_LOOP_H
#define PX_LOOP_H

#include "include/px_base.h"

typedef struct px_loop px_loop;
struct px_handle;
struct px_timer;
struct px_deferred;

// `events`: PX_READABLE | PX_WRITABLE | PX_HANGUP (both directions ended or error) | PX_READ_HANGUP (EPOLLRDHUP).
typedef void (*px_handle_fn)(struct px_handle *handle, uint32_t events);
typedef void (*px_timer_fn)(struct px_timer *timer);
typedef void (*px_post_fn)(void *context);
typedef void (*px_deferred_fn)(struct px_deferred *deferred);

enum { PX_READABLE = 1, PX_WRITABLE = 2, PX_HANGUP = 4, PX_READ_HANGUP = 8 };
enum { PX_LEVEL = 1, PX_EXCLUSIVE = 2, PX_READ_ONLY = 4 };  // flags of px_loop_add; none = edge-triggered, both directions

// Embedded in whatever owns the descriptor; the loop borrows it between add and remove.
struct px_handle {
    px_handle_fn on_events;
    int32_t fd;             // -1 while not registered
    uint32_t registration;
};

// Embedded; must not move while armed. Resolution 1 ms, never early.
struct px_timer {
    struct px_timer *next, **link;  // list of one wheel slot; link == NULL: not armed
    px_timer_fn on_fire;
    uint64_t due_ms;
};

// Embedded; zeroed but for `run` while not queued.
struct px_deferred {
    struct px_deferred *next;
    px_deferred_fn run;
    bool queued;
};

px_loop *px_loop_create(struct px_detail *detail);
void px_loop_destroy(px_loop *loop);

// 0 or -errno.
int px_loop_add(px_loop *loop, struct px_handle *handle, int fd, uint32_t flags);
// EPOLL_CTL_DEL; the descriptor stays open and its owner's. Safe inside callbacks, also for other handles of the same batch.
void px_loop_remove(px_loop *loop, struct px_handle *handle);

// Close the descriptor of a registered handle, which ends its registration. Not for one that another process was given. A child that
// is forked in this moment holds it until its exec: what the open file reports until then, edge by edge, is stale and dropped.
void px_loop_close(px_loop *loop, struct px_handle *handle);

// Re-arms if armed. Counted from the actual time, not the turn's cached one: costs a clock read, so a timer that is pushed back
// at every event is better left to fire and armed again for what is left.
void px_timer_arm(px_loop *loop, struct px_timer *timer, uint64_t delay_ms);
void px_timer_cancel(px_loop *loop, struct px_timer *timer);                  // fine if not armed
static inline bool px_timer_is_armed(const struct px_timer *timer) { return timer->link != NULL; }

// Time cached once per turn, CLOCK_MONOTONIC.
uint64_t px_loop_now_ms(const px_loop *loop);

// Run `fn(context)` on the loop's thread in a coming turn, in order. Any thread. -ENOMEM.
int px_loop_post(px_loop *loop, px_post_fn fn, void *context);

// Run it once in the next turn, which then does not wait; nothing if it is queued already. Loop thread only: where a post takes
// memory and two system calls, this takes neither. The memory may go with the loop, not before it.
void px_loop_defer(px_loop *loop, struct px_deferred *deferred);

// One turn: wait for events or timers (at most timeout_ms, -1 = without end), run what is due. Returns callbacks run or -errno. It
// may return 0 before the time is over: after a signal, and where a timer was due that has been cancelled.
int px_loop_turn(px_loop *loop, int timeout_ms);
// Turns until px_loop_stop.
int px_loop_run(px_loop *loop);
// Ends the run after the present callback; what that turn had left is delivered by the next run or turn. Any thread.
void px_loop_stop(px_loop *loop);

#endif
