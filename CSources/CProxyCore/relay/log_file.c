// Two buffers per access-log file: workers fill one under a mutex that is held for a memcpy, the writer thread empties the other
// without it. The buffers' pages are touched only as far as lines come.
#include "relay/log_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

struct px_log_file *px_log_file_create(const char *path, const struct px_filesystem_stats *stats) {
    struct px_log_file *file = calloc(1, sizeof *file);
    if (file == NULL) return NULL;
    pthread_mutex_init(&file->lock, NULL);
    file->path = strdup(path);
    file->stats = stats;
    file->wake_bytes = PX_LOG_BUFFER_BYTES / 2;
    file->wake_fd = -1;
    file->fd = -1;
    if (file->path != NULL) return file;
    px_log_file_destroy(file);
    return NULL;
}

void px_log_file_destroy(struct px_log_file *file) {
    if (file == NULL) return;
    free(file->filling);
    free(file->spare);
    free(file->path);
    pthread_mutex_destroy(&file->lock);
    free(file);
}

// Under the lock.
static bool buffer_append(struct px_log_file *file, const char *line, size_t length) {
    if (file->filling == NULL) file->filling = malloc(PX_LOG_BUFFER_BYTES);
    if (file->filling == NULL || length > PX_LOG_BUFFER_BYTES - file->filled) {
        file->dropped++;
        return false;
    }
    memcpy(file->filling + file->filled, line, length);
    file->filled += length;
    return true;
}

bool px_log_file_append(struct px_log_file *file, const char *line, size_t length, px_cell *shard) {
    pthread_mutex_lock(&file->lock);
    size_t before = file->filled;
    bool appended = buffer_append(file, line, length);
    bool wake = before < file->wake_bytes && file->filled >= file->wake_bytes;
    pthread_mutex_unlock(&file->lock);
    if (!appended) {
        px__cell_add(shard, file->stats->write_failed, 1);
        return false;
    }
    px__cell_add(shard, file->stats->write_buffered, 1);
    px__cell_add(shard, file->stats->write_total_buffered, length);
    if (wake && file->wake_fd >= 0) (void)!eventfd_write(file->wake_fd, 1);  // can only fail when it is set already
    return true;
}

size_t px_log_file_take(struct px_log_file *file, char **bytes, uint64_t *dropped) {
    pthread_mutex_lock(&file->lock);
    char *taken = file->filling;
    size_t length = file->filled;
    file->filling = file->spare;
    file->filled = 0;
    *dropped = file->dropped;
    file->dropped = 0;
    pthread_mutex_unlock(&file->lock);
    file->spare = taken;
    *bytes = taken;
    return length;
}
