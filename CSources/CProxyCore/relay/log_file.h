// One access-log file as workers see it: a bounded buffer of whole lines. Workers append under a short mutex; one writer thread
// (engine/log_writer.c) takes what is there and writes it. A full buffer drops the line and counts it: a slow disk never
// stops traffic.
#ifndef PX_LOG_FILE_H
#define PX_LOG_FILE_H

#include <pthread.h>

#include "net/listener_config.h"
#include "stats/stats_block.h"

#define PX_FILESYSTEM_STATS(X)                                     \
    X(write_buffered, "write_buffered", COUNTER, ACCUMULATE)       \
    X(write_completed, "write_completed", COUNTER, ACCUMULATE)     \
    X(write_failed, "write_failed", COUNTER, ACCUMULATE)           \
    X(flushed_by_timer, "flushed_by_timer", COUNTER, ACCUMULATE)   \
    X(reopen_failed, "reopen_failed", COUNTER, ACCUMULATE)         \
    X(write_total_buffered, "write_total_buffered", GAUGE, ACCUMULATE)

struct px_filesystem_stats {
    PX_FILESYSTEM_STATS(PX_STAT_FIELD)
};

#define PX_LOG_BUFFER_BYTES (1u << 20)  // per file: 1 MiB waiting, 1 MiB being written

struct px_log_file {
    char *path;
    const struct px_filesystem_stats *stats;
    pthread_mutex_t lock;      // of filling … dropped
    char *filling;             // lines that wait; NULL until the first
    size_t filled;
    uint64_t dropped;          // lines lost since the writer last looked
    char *spare;               // the other buffer; the writer's
    size_t wake_bytes;         // wake the writer when `filled` reaches this
    int wake_fd;               // eventfd of the writer; -1: none
    int fd;                    // O_APPEND; the writer's alone
};

struct px_log_file *px_log_file_create(const char *path, const struct px_filesystem_stats *stats);  // opens nothing; NULL: no memory
void px_log_file_destroy(struct px_log_file *file);
// Append whole lines; false: dropped (buffer full) and counted in write_failed. Any worker, with its own shard.
bool px_log_file_append(struct px_log_file *file, const char *line, size_t length, px_cell *shard);
// Writer: exchange buffers; returns how many bytes wait in `*bytes`, valid until the next call, and the lines dropped meanwhile.
size_t px_log_file_take(struct px_log_file *file, char **bytes, uint64_t *dropped);

#endif
