// The queue from other threads to the owner. Not px_loop_post: what is posted there cannot be taken back when the engine is destroyed
// before the main loop.
#include "engine/report.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log_ring.h"

static struct px_report *take_all(struct px_report_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    struct px_report *list = queue->first;
    queue->first = NULL;
    queue->end = &queue->first;
    pthread_mutex_unlock(&queue->lock);
    return list;
}

// Edge-triggered and never read: each write is a new edge. A callback may destroy the queue (the driver ends the engine in an
// event), so the rest of the list is not the queue's any more, and `destroyed` tells.
static void on_wake(struct px_handle *handle, uint32_t events) {
    struct px_report_queue *queue = (struct px_report_queue *)((char *)handle - offsetof(struct px_report_queue, wake));
    bool destroyed = false;
    queue->destroyed = &destroyed;
    for (struct px_report *report = take_all(queue); report;) {
        struct px_report *next = report->next;
        if (!destroyed) queue->on_report(queue->context, report);
        free(report);
        report = next;
    }
    if (!destroyed) queue->destroyed = NULL;
}

int px_report_queue_init(struct px_report_queue *queue, px_loop *loop, px_report_fn on_report, void *context) {
    *queue = (struct px_report_queue){.wake = {.on_events = on_wake, .fd = -1}, .loop = loop, .on_report = on_report, .context = context};
    queue->end = &queue->first;
    pthread_mutex_init(&queue->lock, NULL);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return -errno;
    int error = px_loop_add(loop, &queue->wake, fd, PX_READ_ONLY);
    if (error < 0) close(fd);
    return error;
}

void px_report_queue_deinit(struct px_report_queue *queue) {
    if (!queue->loop) return;
    if (queue->destroyed) *queue->destroyed = true;
    int fd = queue->wake.fd;
    px_loop_remove(queue->loop, &queue->wake);
    if (fd >= 0) close(fd);
    for (struct px_report *report = take_all(queue); report;) {
        struct px_report *next = report->next;
        free(report);
        report = next;
    }
    pthread_mutex_destroy(&queue->lock);
    queue->loop = NULL;
}

void px_report_send(struct px_report_queue *queue, uint32_t kind, uint64_t round, uint64_t count) {
    struct px_report *report = malloc(sizeof *report);
    if (!report) {
        px_log(PX_CRITICAL, "main", "no memory to report to the main loop (%u)", kind);
        return;
    }
    *report = (struct px_report){.kind = kind, .round = round, .count = count};
    pthread_mutex_lock(&queue->lock);
    *queue->end = report;
    queue->end = &report->next;
    pthread_mutex_unlock(&queue->lock);
    if (eventfd_write(queue->wake.fd, 1) < 0) PX_BUG("eventfd_write failed");
}
