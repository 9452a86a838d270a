// What workers and the resolver tell the owner thread: a queue that the main loop wakes up for.
#ifndef PX_REPORT_H
#define PX_REPORT_H

#include <pthread.h>

#include "loop/loop.h"

struct px_report {
    struct px_report *next;
    uint32_t kind;           // enum px_command_kind
    uint64_t round, count;
};

typedef void (*px_report_fn)(void *context, const struct px_report *report);

struct px_report_queue {
    struct px_handle wake;   // eventfd in the main loop
    px_loop *loop;
    px_report_fn on_report;  // owner thread
    void *context;
    bool *destroyed;         // set while on_report runs
    pthread_mutex_t lock;    // of the list
    struct px_report *first, **end;
};

int px_report_queue_init(struct px_report_queue *queue, px_loop *loop, px_report_fn on_report, void *context);
// No thread may report any more. What waits is dropped, and on_report never runs again.
void px_report_queue_deinit(struct px_report_queue *queue);
// Any thread.
void px_report_send(struct px_report_queue *queue, uint32_t kind, uint64_t round, uint64_t count);

#endif
