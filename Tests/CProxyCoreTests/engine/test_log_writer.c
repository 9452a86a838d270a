// Access logs on real files: nothing lost at the end, whole lines from several threads and processes, rotation, slow and full disks.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/log_writer.h"
#include "test.h"

enum { WRITE_BUFFERED, WRITE_COMPLETED, WRITE_FAILED, FLUSHED_BY_TIMER, REOPEN_FAILED, WRITE_TOTAL_BUFFERED, CELLS };
static const struct px_filesystem_stats stats = {WRITE_BUFFERED, WRITE_COMPLETED, WRITE_FAILED, FLUSHED_BY_TIMER, REOPEN_FAILED, WRITE_TOTAL_BUFFERED};
static px_cell worker_cells[4][CELLS], main_cells[CELLS];

static uint64_t sum(int cell) {
    uint64_t total = main_cells[cell];
    for (int i = 0; i < 4; i++) total += worker_cells[i][cell];
    return total;
}

static const char *path_of(const char *name) {
    static char paths[4][200];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", test_directory(), name);
    return path;
}

static struct px_log_file *file;
static struct px_log_writer *writer;

static px_control_block *control;  // NULL in most tests

static void open_writer(const char *path, uint32_t flush_ms, uint32_t min_bytes) {
    static struct px_log_file *files[1];
    file = files[0] = px_log_file_create(path, &stats);
    struct px_log_writer_options options = {
        .files = files, .file_count = 1, .control = control, .shard = main_cells, .flush_ms = flush_ms, .min_bytes = min_bytes};
    struct px_detail detail = {0};
    writer = px_log_writer_create(&options, &detail);
    if (writer == NULL) FAIL("%s %s: %s", detail.call, detail.object, detail.text);
    ASSERT_OK(px_log_writer_start(writer, &detail));
}

static void close_writer(void) {
    px_log_writer_destroy(writer);
    px_log_file_destroy(file);
}

static void append(const char *line) { ASSERT_TRUE(px_log_file_append(file, line, strlen(line), worker_cells[0])); }

static char *contents(const char *path, size_t *length) {
    int fd = (int)ASSERT_CALL(open(path, O_RDONLY));
    struct stat status;
    ASSERT_CALL(fstat(fd, &status));
    char *bytes = calloc(1, (size_t)status.st_size + 1);
    ASSERT_EQ(read(fd, bytes, (size_t)status.st_size), status.st_size);
    close(fd);
    if (length != NULL) *length = (size_t)status.st_size;
    return bytes;
}

static void assert_contents(const char *path, const char *expected) {
    char *bytes = contents(path, NULL);
    ASSERT_STR(bytes, expected);
    free(bytes);
}

// Polls what another thread does to a file; there is no descriptor to wait on.
static void wait_for_size(const char *path, off_t size) {
    uint64_t deadline = px_clock_monotonic_ns() + 5000000000u;
    struct stat status = {0};
    while (stat(path, &status) != 0 || status.st_size < size) {
        if (px_clock_monotonic_ns() > deadline) FAIL("waited 5 s for %s to grow to %lld, it has %lld", path, (long long)size, (long long)status.st_size);
        usleep(1000);
    }
}

TEST(log_writer_writes_everything_at_the_end) {
    const char *path = path_of("a.log");
    open_writer(path, 60000, 65536);
    append("one\n");
    append("two\n");
    ASSERT_EQ(sum(WRITE_TOTAL_BUFFERED), 8);
    close_writer();
    assert_contents(path, "one\ntwo\n");
    ASSERT_EQ(sum(WRITE_TOTAL_BUFFERED), 0);
    ASSERT_EQ(sum(WRITE_BUFFERED), 2);
    ASSERT_EQ(sum(WRITE_COMPLETED), 1);
    ASSERT_EQ(sum(FLUSHED_BY_TIMER), 0);
    struct stat status;
    ASSERT_CALL(stat(path, &status));
    ASSERT_EQ(status.st_mode & 0700, 0600);
}

TEST(log_writer_flushes_by_timer_by_size_and_on_request) {
    const char *path = path_of("a.log");
    open_writer(path, 30, 65536);
    append("timer\n");
    wait_for_size(path, 6);
    close_writer();
    ASSERT_GE(sum(FLUSHED_BY_TIMER), 1);
    open_writer(path, 60000, 10);
    append("0123456789\n");
    wait_for_size(path, 17);
    append("x\n");
    ASSERT_OK(px_log_writer_flush(writer, 5000));
    assert_contents(path, "timer\n0123456789\nx\n");
    close_writer();
}

TEST(log_writer_reopens_after_rotation) {
    const char *path = path_of("a.log"), *rotated = path_of("a.log.1");
    open_writer(path, 60000, 65536);
    append("before\n");
    ASSERT_CALL(rename(path, rotated));
    px_log_writer_reopen(writer);
    ASSERT_OK(px_log_writer_flush(writer, 5000));
    append("after\n");
    close_writer();
    assert_contents(rotated, "before\n");
    assert_contents(path, "after\n");
}

TEST(log_writer_keeps_the_old_file_when_reopening_fails) {
    char directory[200], path[220], moved[220];
    snprintf(directory, sizeof directory, "%s/d", test_directory());
    snprintf(path, sizeof path, "%s/a.log", directory);
    snprintf(moved, sizeof moved, "%s-moved/a.log", directory);
    ASSERT_CALL(mkdir(directory, 0700));
    open_writer(path, 60000, 65536);
    char target[220];
    snprintf(target, sizeof target, "%s-moved", directory);
    ASSERT_CALL(rename(directory, target));
    px_log_writer_reopen(writer);
    ASSERT_OK(px_log_writer_flush(writer, 5000));
    append("still\n");
    close_writer();
    ASSERT_EQ(sum(REOPEN_FAILED), 1);
    assert_contents(moved, "still\n");
}

TEST(log_writer_ends_a_line_that_a_crash_tore) {
    const char *path = path_of("a.log");
    int fd = (int)ASSERT_CALL(open(path, O_CREAT | O_WRONLY, 0600));
    ASSERT_EQ(write(fd, "whole\ntor", 9), 9);
    close(fd);
    open_writer(path, 60000, 65536);
    append("next\n");
    close_writer();
    assert_contents(path, "whole\ntor\nnext\n");
}

TEST(log_file_full_buffer_drops_and_counts) {
    file = px_log_file_create("unused", &stats);
    char line[1024];
    memset(line, 'x', sizeof line);
    uint32_t kept = 0;
    for (int i = 0; i < 2000; i++) kept += px_log_file_append(file, line, sizeof line, worker_cells[0]);
    ASSERT_EQ(kept, PX_LOG_BUFFER_BYTES / sizeof line);
    ASSERT_EQ(sum(WRITE_FAILED), 2000 - kept);
    char *bytes;
    uint64_t dropped;
    ASSERT_EQ(px_log_file_take(file, &bytes, &dropped), PX_LOG_BUFFER_BYTES);
    ASSERT_EQ(dropped, 2000 - kept);
    ASSERT_TRUE(px_log_file_append(file, line, sizeof line, worker_cells[0]));
    px_log_file_destroy(file);
}

static bool logged(const char *part) {
    struct px_log_record record;
    while (px_log_take(&record))
        if (strstr(record.text, part) != NULL) return true;
    return false;
}

TEST(log_writer_tells_a_full_disk_once_and_goes_on) {
    const char *path = path_of("a.log");
    signal(SIGXFSZ, SIG_IGN);
    open_writer(path, 60000, 65536);
    struct rlimit before, limit;
    ASSERT_CALL(getrlimit(RLIMIT_FSIZE, &before));
    limit = (struct rlimit){.rlim_cur = 6, .rlim_max = before.rlim_max};
    ASSERT_CALL(setrlimit(RLIMIT_FSIZE, &limit));  // EFBIG stands in for ENOSPC: both come in the middle of a write
    for (int i = 0; i < 3; i++) {
        append("0123456789\n");
        ASSERT_OK(px_log_writer_flush(writer, 5000));
    }
    ASSERT_EQ(sum(WRITE_FAILED), 3);
    ASSERT_EQ(sum(WRITE_TOTAL_BUFFERED), 0);
    ASSERT_TRUE(logged("could not be written"));
    ASSERT_FALSE(logged("could not be written"));
    ASSERT_CALL(setrlimit(RLIMIT_FSIZE, &before));
    append("well\n");
    close_writer();
    assert_contents(path, "012345\nwell\n");  // the torn line was ended
}

// Root may read and write whatever the permission bits say, so it steps down.
TEST(log_writer_needs_no_right_to_read_and_says_when_it_may_not_write) {
    if (geteuid() != 0) SKIP("needs root, to give it up");
    const char *path = path_of("write-only.log");
    ASSERT_CALL(chmod(test_directory(), 0755));
    close((int)ASSERT_CALL(open(path, O_CREAT | O_WRONLY, 0200)));
    ASSERT_CALL(chown(path, 65534, 65534));
    ASSERT_CALL(seteuid(65534));
    ASSERT_EQ(open(path, O_RDWR), -1);
    open_writer(path, 1000, 0);
    append("a line\n");
    close_writer();
    static struct px_log_file *files[1];
    files[0] = px_log_file_create(path_of("not-ours.log"), &stats);
    struct px_log_writer_options options = {.files = files, .file_count = 1, .flush_ms = 1000};
    struct px_detail detail;
    ASSERT_TRUE(px_log_writer_create(&options, &detail) == NULL);
    ASSERT_CALL(seteuid(0));
    px_log_file_destroy(files[0]);
    ASSERT_EQ(detail.code, -EACCES);
    ASSERT_CONTAINS(detail.text, "may not write there");
    assert_contents(path, "a line\n");
}

TEST(log_writer_says_which_file_cannot_be_opened) {
    static struct px_log_file *files[2];
    files[0] = px_log_file_create(path_of("good.log"), &stats);
    files[1] = px_log_file_create(path_of("no/such/dir.log"), &stats);
    int before = test_open_descriptors();
    struct px_detail detail;
    struct px_log_writer_options options = {.files = files, .file_count = 2, .flush_ms = 1000};
    ASSERT_TRUE(px_log_writer_create(&options, &detail) == NULL);
    ASSERT_EQ(detail.code, -ENOENT);
    ASSERT_CONTAINS(detail.object, "no/such/dir.log");
    ASSERT_CONTAINS(detail.text, "directory does not exist");
    ASSERT_EQ(test_open_descriptors(), before);
    px_log_file_destroy(files[0]);
    px_log_file_destroy(files[1]);
}

TEST(log_writer_is_not_stopped_by_a_pipe_nobody_reads) {
    const char *path = path_of("fifo");
    ASSERT_CALL(mkfifo(path, 0600));
    open_writer(path, 60000, 65536);
    char line[1000];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 200; i++) ASSERT_TRUE(px_log_file_append(file, line, sizeof line, worker_cells[0]));
    uint64_t start = px_clock_monotonic_ns();
    close_writer();
    ASSERT_LT((px_clock_monotonic_ns() - start) / 1000000, 5000);
    ASSERT_GE(sum(WRITE_FAILED), 1);
}

TEST(log_writer_pipe_reader_gets_whole_lines_in_order) {
    const char *path = path_of("fifo");
    ASSERT_CALL(mkfifo(path, 0600));
    open_writer(path, 10, 1);
    int reader = (int)ASSERT_CALL(open(path, O_RDONLY | O_NONBLOCK));
    enum { LINES = 3000 };
    size_t used = 0, capacity = LINES * 110;
    char *got = calloc(1, capacity + 1);
    for (int i = 0, sent = 0; used < LINES * 100u;) {
        for (; sent < LINES && i < 100; i++, sent++) {
            char line[128];
            snprintf(line, sizeof line, "%099d\n", sent);
            append(line);
        }
        i = 0;
        WAIT_FD(reader, POLLIN, 5000, "log lines");
        ssize_t n = read(reader, got + used, capacity - used);
        if (n > 0) used += (size_t)n;
    }
    for (int i = 0; i < LINES; i++) {
        char line[128];
        snprintf(line, sizeof line, "%099d\n", i);
        ASSERT_MEM(got + (size_t)i * 100, line, 100);
    }
    close_writer();
    close(reader);
    free(got);
}

// ---- several threads, several processes -----------------------------------------------------------------------------------------

enum { WRITERS = 4, LINES_EACH = 20000 };

static void *append_many(void *context) {
    int index = (int)(intptr_t)context;
    for (int i = 0; i < LINES_EACH; i++) {
        char line[96];
        int length = snprintf(line, sizeof line, "%d %d %0*d\n", index, i, 20 + i % 40, 0);
        while (!px_log_file_append(file, line, (size_t)length, worker_cells[index % 4])) sched_yield();
    }
    return NULL;
}

static void run_writers(int first) {
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, append_many, (void *)(intptr_t)(first + i)), 0);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
}

// Each writer's lines are all there, whole and in order.
static void check_lines(const char *path, int writers) {
    int next[16] = {0};
    char *bytes = contents(path, NULL);
    for (char *at = bytes; *at != '\0';) {
        char *end = strchr(at, '\n');
        ASSERT_TRUE(end != NULL);
        *end = '\0';
        int index = -1, number = -1, zeros_at = 0;
        ASSERT_EQ(sscanf(at, "%d %d %n", &index, &number, &zeros_at), 2);
        ASSERT_TRUE(index >= 0 && index < writers);
        ASSERT_EQ(number, next[index]++);
        ASSERT_EQ(strlen(at + zeros_at), 20 + number % 40);
        at = end + 1;
    }
    for (int i = 0; i < writers; i++) ASSERT_EQ(next[i], LINES_EACH);
    free(bytes);
}

TEST(log_writer_lines_of_many_threads_stay_whole) {
    const char *path = path_of("a.log");
    open_writer(path, 5, 4096);
    run_writers(0);
    close_writer();
    check_lines(path, WRITERS);
    ASSERT_EQ(sum(WRITE_TOTAL_BUFFERED), 0);
}

TEST(log_writer_lines_of_two_processes_stay_whole) {
    const char *path = path_of("a.log");
    pid_t child = fork();
    ASSERT_CALL(child);
    open_writer(path, 5, 4096);
    run_writers(child == 0 ? WRITERS : 0);
    close_writer();
    if (child == 0) _exit(0);
    int status;
    ASSERT_CALL(waitpid(child, &status, 0));
    ASSERT_EQ(status, 0);
    check_lines(path, 2 * WRITERS);
}

// A generation is killed while it writes: its last line may be cut, but is ended, and no line of the other is touched.
TEST(log_writer_lines_of_a_survivor_stay_whole) {
    const char *path = path_of("a.log");
    struct px_detail detail;
    control = px_control_block_create(0, &detail);
    ASSERT_TRUE(control != NULL);
    pid_t child = fork();
    ASSERT_CALL(child);
    open_writer(path, 1, 4096);
    if (child == 0) {
        char line[4000];
        memset(line, '#', sizeof line);
        line[sizeof line - 1] = '\n';
        for (;;)
            if (!px_log_file_append(file, line, sizeof line, worker_cells[0])) sched_yield();
    }
    wait_for_size(path, 1 << 20);
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, append_many, (void *)0), 0);
    ASSERT_CALL(kill(child, SIGKILL));
    ASSERT_CALL(waitpid(child, NULL, 0));
    pthread_join(thread, NULL);
    close_writer();
    char *bytes = contents(path, NULL), *save = NULL;
    int next = 0, cut = 0;
    for (char *line = strtok_r(bytes, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        size_t length = strlen(line);
        if (line[0] == '#') {
            ASSERT_EQ(strspn(line, "#"), length);
            cut += length != 3999;
            continue;
        }
        int number = -1, zeros_at = 0;
        ASSERT_EQ(sscanf(line, "0 %d %n", &number, &zeros_at), 1);
        ASSERT_EQ(number, next++);
        ASSERT_EQ(length - (size_t)zeros_at, 20 + number % 40);
    }
    ASSERT_EQ(next, LINES_EACH);
    ASSERT_LE(cut, 1);
    free(bytes);
    px_control_block_destroy(control);
}
