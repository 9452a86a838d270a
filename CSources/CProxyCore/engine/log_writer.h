// The one thread that writes access-log files: at the flush interval, when a buffer has reached the minimum, on request, and
// everything at the end. Writing under the shared lock of the control block keeps lines of two generations whole.
#ifndef PX_LOG_WRITER_H
#define PX_LOG_WRITER_H

#include "include/px_handoff.h"
#include "relay/log_file.h"

struct px_log_writer;

struct px_log_writer_options {
    struct px_log_file **files;   // borrowed until destroy
    uint32_t file_count;
    px_control_block *control;    // may be NULL
    px_cell *shard;               // the main thread's; the writer alone writes its filesystem.* cells; NULL: not counted
    uint32_t flush_ms;            // > 0
    uint32_t min_bytes;           // wake early at this much; 0 = every line
};

// Opens every file (O_APPEND|O_CREAT, 0644; ends a partial last line). No thread yet. NULL with `detail` naming the file that could
// not be opened.
struct px_log_writer *px_log_writer_create(const struct px_log_writer_options *options, struct px_detail *detail);
int px_log_writer_start(struct px_log_writer *writer, struct px_detail *detail);
// Ask for all files to be opened again, after writing what they hold. Any thread.
void px_log_writer_reopen(struct px_log_writer *writer);
// Write out everything appended before the call; waits at most `timeout_ms`. 0 or -ETIMEDOUT. Any thread but the writer.
int px_log_writer_flush(struct px_log_writer *writer, uint32_t timeout_ms);
// Write out what is left, end the thread, close the files. No worker may append any more. NULL is fine.
void px_log_writer_destroy(struct px_log_writer *writer);

#endif
