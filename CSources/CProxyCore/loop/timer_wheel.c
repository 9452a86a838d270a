// The timer wheel; its shape is in the header. Loop thread only.
//
// Invariants: every armed timer's due time is >= now_ms; at level 0 it shares all higher digits with now_ms, at level n > 0 its
// digit n is above now_ms's. A slot's bit is set exactly when its list is not empty.
#include "loop/timer_wheel.h"

#include <string.h>

enum { DIGIT = PX_WHEEL_SLOTS - 1 };
// Due times stay below 2^42 ms, the range of the wheel, while the machine has been up for less than a century.
static const uint64_t farthest_ms = (uint64_t)1 << 40;

void px_timer_wheel_init(struct px_timer_wheel *wheel, uint64_t now_ms) {
    memset(wheel, 0, sizeof *wheel);
    wheel->now_ms = now_ms;
}

static unsigned digit(uint64_t ms, unsigned level) {
    return (unsigned)(ms >> (level * PX_WHEEL_BITS)) & DIGIT;
}

static unsigned level_of(uint64_t now_ms, uint64_t due_ms) {
    uint64_t difference = (now_ms ^ due_ms) | 1;
    return (63 - (unsigned)__builtin_clzll(difference)) / PX_WHEEL_BITS;
}

static void push(struct px_timer **list, struct px_timer *timer) {
    timer->next = *list;
    timer->link = list;
    if (timer->next) timer->next->link = &timer->next;
    *list = timer;
}

void px_timer_wheel_add(struct px_timer_wheel *wheel, struct px_timer *timer, uint64_t due_ms) {
    if (due_ms < wheel->now_ms) due_ms = wheel->now_ms;
    if (due_ms - wheel->now_ms > farthest_ms) due_ms = wheel->now_ms + farthest_ms;
    unsigned level = level_of(wheel->now_ms, due_ms), slot = digit(due_ms, level);
    timer->due_ms = due_ms;
    push(&wheel->slots[level][slot], timer);
    wheel->occupied[level] |= (uint64_t)1 << slot;
}

void px_timer_wheel_remove(struct px_timer_wheel *wheel, struct px_timer *timer) {
    struct px_timer **link = timer->link;
    *link = timer->next;
    if (timer->next) timer->next->link = link;
    timer->link = NULL;
    if (*link) return;
    // The list may have become empty; `link` tells which it is, if it is a slot's head and not another timer's `next` or `due`.
    size_t place = ((uintptr_t)link - (uintptr_t)wheel->slots) / sizeof *link;
    if ((uintptr_t)link < (uintptr_t)wheel->slots || place >= PX_WHEEL_LEVELS * PX_WHEEL_SLOTS) return;
    wheel->occupied[place / PX_WHEEL_SLOTS] &= ~((uint64_t)1 << place % PX_WHEEL_SLOTS);
}

// The lowest level that holds anything has what comes first: all of it shares the higher digits with now_ms.
static unsigned first_level(const struct px_timer_wheel *wheel) {
    unsigned level = 0;
    while (level < PX_WHEEL_LEVELS && !wheel->occupied[level]) level++;
    return level;
}

static uint64_t first_slot_ms(const struct px_timer_wheel *wheel, unsigned level) {
    uint64_t slot = (uint64_t)__builtin_ctzll(wheel->occupied[level]);
    unsigned shift = level * PX_WHEEL_BITS;
    return (wheel->now_ms >> shift >> PX_WHEEL_BITS << PX_WHEEL_BITS | slot) << shift;
}

uint64_t px_timer_wheel_next(const struct px_timer_wheel *wheel) {
    if (wheel->due) return wheel->now_ms;
    unsigned level = first_level(wheel);
    return level < PX_WHEEL_LEVELS ? first_slot_ms(wheel, level) : UINT64_MAX;
}

static struct px_timer *detach_slot(struct px_timer_wheel *wheel, unsigned level, unsigned slot) {
    struct px_timer *list = wheel->slots[level][slot];
    wheel->slots[level][slot] = NULL;
    wheel->occupied[level] &= ~((uint64_t)1 << slot);
    return list;
}

// Advance to the first occupied slot: a millisecond's timers become due, a coarser slot is spread over finer levels.
static void open_first_slot(struct px_timer_wheel *wheel, unsigned level) {
    wheel->now_ms = first_slot_ms(wheel, level);
    struct px_timer *list = detach_slot(wheel, level, digit(wheel->now_ms, level));
    if (level == 0) {
        wheel->due = list;
        list->link = &wheel->due;
        return;
    }
    while (list) {
        struct px_timer *timer = list;
        list = timer->next;
        px_timer_wheel_add(wheel, timer, timer->due_ms);
    }
}

struct px_timer *px_timer_wheel_take(struct px_timer_wheel *wheel, uint64_t now_ms) {
    while (!wheel->due) {
        unsigned level = first_level(wheel);
        if (level == PX_WHEEL_LEVELS || first_slot_ms(wheel, level) > now_ms) {
            if (wheel->now_ms < now_ms) wheel->now_ms = now_ms;
            return NULL;
        }
        open_first_slot(wheel, level);
    }
    struct px_timer *timer = wheel->due;
    px_timer_wheel_remove(wheel, timer);
    return timer;
}
