// Timers of one loop: a hierarchical wheel of 1 ms ticks. Arming and cancelling cost the same however many timers there are.
//
// Seven levels of 64 slots. A timer stands at the level of the highest base-64 digit in which its due time differs from the
// wheel's time, in the slot of that digit; so a slot of level 0 is one exact millisecond, and each timer moves down at most
// six times in its life. 7 * 6 bits of milliseconds are 139 years of uptime: there is no overflow list.
#ifndef PX_TIMER_WHEEL_H
#define PX_TIMER_WHEEL_H

#include "loop/loop.h"

enum { PX_WHEEL_BITS = 6, PX_WHEEL_SLOTS = 1 << PX_WHEEL_BITS, PX_WHEEL_LEVELS = 7 };

struct px_timer_wheel {
    uint64_t now_ms;                      // nothing armed is due before this
    uint64_t occupied[PX_WHEEL_LEVELS];   // bit n: slot n holds a timer
    struct px_timer *due;                 // taken out of its slot, not yet run
    struct px_timer *slots[PX_WHEEL_LEVELS][PX_WHEEL_SLOTS];
};

void px_timer_wheel_init(struct px_timer_wheel *wheel, uint64_t now_ms);
// `due_ms` not after the wheel's time means: at its next advance.
void px_timer_wheel_add(struct px_timer_wheel *wheel, struct px_timer *timer, uint64_t due_ms);
void px_timer_wheel_remove(struct px_timer_wheel *wheel, struct px_timer *timer);
// A time before which nothing is due: exact for the coming 64 ms, else the time at which a slot has to be spread over the next
// finer level. UINT64_MAX: no timer at all.
uint64_t px_timer_wheel_next(const struct px_timer_wheel *wheel);
// Take the next timer due at `now_ms` or before, in order of due time (within one millisecond in no order). NULL: none left, and
// the wheel's time is `now_ms`.
struct px_timer *px_timer_wheel_take(struct px_timer_wheel *wheel, uint64_t now_ms);

#endif
