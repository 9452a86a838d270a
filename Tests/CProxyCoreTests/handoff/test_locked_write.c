// Lines of several processes in one file: none of a survivor is torn, whoever is killed, stopped or out of room.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "handoff/control_block.h"
#include "test.h"

enum { LINES = 100000, LINE_MAX_BYTES = 160, TIMEOUT_MS = 2000 };

struct fixture {
    px_control_block *block;
    char path[128];
    int fd;
};

static struct fixture make_fixture(void) {
    struct px_detail detail = {0};
    struct fixture fixture = {.block = px_control_block_create(1, &detail)};
    if (!fixture.block) FAIL("create: %s", detail.text);
    snprintf(fixture.path, sizeof fixture.path, "%s/log", test_directory());
    fixture.fd = (int)ASSERT_CALL(open(fixture.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    return fixture;
}

static void end_fixture(struct fixture *fixture) {
    close(fixture->fd);
    px_control_block_destroy(fixture->block);
}

static int write_text(const struct fixture *fixture, const char *text, uint32_t timeout_ms) {
    return px_locked_write(fixture->fd, fixture->block, PX_LOCK_LOG, text, strlen(text), timeout_ms);
}

static char *read_file(const struct fixture *fixture, size_t *size) {
    off_t end = (off_t)ASSERT_CALL(lseek(fixture->fd, 0, SEEK_END));
    char *text = calloc(1, (size_t)end + 1);
    ASSERT_TRUE(text != NULL);
    for (off_t at = 0; at < end;) {
        ssize_t n = (ssize_t)ASSERT_CALL(pread(fixture->fd, text + at, (size_t)(end - at), at));
        ASSERT_GT(n, 0);
        at += n;
    }
    *size = (size_t)end;
    return text;
}

static void expect_file(const struct fixture *fixture, const char *wanted) {
    size_t size;
    char *text = read_file(fixture, &size);
    ASSERT_STR(text, wanted);
    free(text);
}

// "<writer> <number> <filler>\n": the filler follows from the number, so that a torn line shows.
static size_t print_line(char line[LINE_MAX_BYTES], char writer, uint32_t number) {
    int n = snprintf(line, LINE_MAX_BYTES, "%c %u ", writer, number);
    size_t filler = number * 7 % 100;
    memset(line + n, 'a' + (int)(number % 26), filler);
    line[(size_t)n + filler] = '\n';
    return (size_t)n + filler + 1;
}

static void write_line(const struct fixture *fixture, char writer, uint32_t number) {
    char line[LINE_MAX_BYTES];
    size_t length = print_line(line, writer, number);
    ASSERT_OK(px_locked_write(fixture->fd, fixture->block, PX_LOCK_LOG, line, length, TIMEOUT_MS));
}

static _Noreturn void write_lines(const struct fixture *fixture, char writer) {
    for (uint32_t i = 0; i < LINES; i++) write_line(fixture, writer, i);
    _exit(0);
}

// Every line of `writer` whole and in order. Returns how many.
static uint32_t count_lines(const char *text, char writer) {
    uint32_t count = 0;
    char wanted[LINE_MAX_BYTES];
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        ASSERT_TRUE(end != NULL);
        if (*line == writer) {
            size_t length = print_line(wanted, writer, count++);
            ASSERT_EQ(end - line + 1, length);
            ASSERT_MEM(line, wanted, length);
        }
        line = end + 1;
    }
    return count;
}

static void expect_exit_0(pid_t pid) {
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
}

TEST_WITH_LIMIT(locked_write_keeps_survivors_lines_whole_while_others_are_killed, 60) {
    struct fixture fixture = make_fixture();
    pid_t survivors[2], victim;
    for (int i = 0; i < 2; i++)
        if ((survivors[i] = (pid_t)ASSERT_CALL(fork())) == 0) write_lines(&fixture, (char)('A' + i));
    int status, kills = 0;
    for (int living = 2; living > 0; kills++) {
        if ((victim = (pid_t)ASSERT_CALL(fork())) == 0) write_lines(&fixture, 'v');
        usleep(3000);
        ASSERT_CALL(kill(victim, SIGKILL));
        ASSERT_EQ(waitpid(victim, NULL, 0), victim);
        for (int i = 0; i < 2; i++) {
            if (survivors[i] == 0 || waitpid(survivors[i], &status, WNOHANG) == 0) continue;
            ASSERT_EQ(status, 0);
            survivors[i] = 0;
            living--;
        }
    }
    size_t size;
    char *text = read_file(&fixture, &size);
    ASSERT_EQ(strlen(text), size);
    ASSERT_EQ(count_lines(text, 'A'), LINES);
    ASSERT_EQ(count_lines(text, 'B'), LINES);
    ASSERT_GT(kills, 2);
    free(text);
    end_fixture(&fixture);
}

static pthread_mutex_t *mutex_of(const struct fixture *fixture) {
    return &fixture->block->shared->locks[PX_LOCK_LOG].mutex;
}

// Takes the lock, writes `text`, says so over `ready` and stays until it is killed.
static _Noreturn void hold_lock(const struct fixture *fixture, const char *text, int ready) {
    ASSERT_EQ(pthread_mutex_lock(mutex_of(fixture)), 0);
    ASSERT_EQ(write(fixture->fd, text, strlen(text)), strlen(text));
    ASSERT_EQ(write(ready, "x", 1), 1);
    for (;;) pause();
}

static pid_t start_holder(const struct fixture *fixture, const char *text) {
    int ends[2];
    ASSERT_CALL(pipe2(ends, O_CLOEXEC));
    pid_t pid = (pid_t)ASSERT_CALL(fork());
    if (pid == 0) hold_lock(fixture, text, ends[1]);
    WAIT_FD(ends[0], POLLIN, 5000, "the lock's holder");
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void kill_and_reap(pid_t pid) {
    ASSERT_CALL(kill(pid, SIGKILL));
    ASSERT_EQ(waitpid(pid, NULL, 0), pid);
}

TEST(locked_write_ends_a_dead_holders_partial_line) {
    struct fixture fixture = make_fixture();
    kill_and_reap(start_holder(&fixture, "half a li"));
    ASSERT_OK(write_text(&fixture, "whole\n", TIMEOUT_MS));
    expect_file(&fixture, "half a li\nwhole\n");
    ASSERT_EQ(pthread_mutex_trylock(mutex_of(&fixture)), 0);  // consistent again, and let go of
    ASSERT_EQ(pthread_mutex_unlock(mutex_of(&fixture)), 0);
    kill_and_reap(start_holder(&fixture, "a whole line\n"));
    ASSERT_OK(write_text(&fixture, "next\n", TIMEOUT_MS));
    expect_file(&fixture, "half a li\nwhole\na whole line\nnext\n");
    end_fixture(&fixture);
}

// One that waits when the holder dies gets the lock from the dead one's hand.
TEST(locked_write_takes_over_from_a_holder_killed_meanwhile) {
    struct fixture fixture = make_fixture();
    pid_t holder = start_holder(&fixture, "half");
    pid_t waiter = (pid_t)ASSERT_CALL(fork());
    if (waiter == 0) {
        ASSERT_OK(write_text(&fixture, "whole\n", 15000));
        _exit(0);
    }
    usleep(50000);
    kill_and_reap(holder);
    expect_exit_0(waiter);
    expect_file(&fixture, "half\nwhole\n");
    end_fixture(&fixture);
}

// The last byte of a file opened for writing alone is read all the same.
TEST(locked_write_ends_a_partial_line_of_a_write_only_file) {
    struct fixture fixture = make_fixture();
    struct fixture other = fixture;
    other.fd = (int)ASSERT_CALL(open(fixture.path, O_WRONLY | O_APPEND | O_CLOEXEC));
    kill_and_reap(start_holder(&other, "half"));
    ASSERT_OK(write_text(&other, "whole\n", TIMEOUT_MS));
    expect_file(&fixture, "half\nwhole\n");
    close(other.fd);
    end_fixture(&fixture);
}

static uint64_t now_ms(void) {
    return px_clock_monotonic_ns() / 1000000;
}

TEST(locked_write_does_not_wait_for_ever_for_a_stopped_holder) {
    struct fixture fixture = make_fixture();
    pid_t holder = start_holder(&fixture, "held\n");
    ASSERT_CALL(kill(holder, SIGSTOP));
    uint64_t before = now_ms();
    ASSERT_OK(write_text(&fixture, "anyway\n", 150));
    ASSERT_GE(now_ms() - before, 140);
    ASSERT_LT(now_ms() - before, 5000);
    ASSERT_OK(write_text(&fixture, "again\n", 0));
    expect_file(&fixture, "held\nanyway\nagain\n");
    ASSERT_EQ(px_locked_write(fixture.fd, fixture.block, PX_LOCK_ACCESS_LOG, "x\n", 2, 5000), 0);  // the other lock is free
    kill_and_reap(holder);
    ASSERT_OK(write_text(&fixture, "recovered\n", TIMEOUT_MS));
    expect_file(&fixture, "held\nanyway\nagain\nx\nrecovered\n");
    end_fixture(&fixture);
}

// A lock whose owner died while nobody made it consistent is gone for good; lines are written without it.
TEST(locked_write_goes_on_without_a_lock_that_is_beyond_recovery) {
    struct fixture fixture = make_fixture();
    kill_and_reap(start_holder(&fixture, "held\n"));
    ASSERT_EQ(pthread_mutex_lock(mutex_of(&fixture)), EOWNERDEAD);
    pthread_mutex_unlock(mutex_of(&fixture));
    ASSERT_OK(write_text(&fixture, "anyway\n", TIMEOUT_MS));
    expect_file(&fixture, "held\nanyway\n");
    end_fixture(&fixture);
}

TEST(locked_write_needs_no_block) {
    struct fixture fixture = make_fixture();
    ASSERT_OK(px_locked_write(fixture.fd, NULL, PX_LOCK_LOG, "one\n", 4, 0));
    ASSERT_OK(px_locked_write(fixture.fd, NULL, PX_LOCK_LOG, "", 0, 0));
    ASSERT_EQ(px_locked_write(-1, NULL, PX_LOCK_LOG, "two\n", 4, 0), -EBADF);
    expect_file(&fixture, "one\n");
    end_fixture(&fixture);
}

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    ASSERT_CALL(setrlimit(RLIMIT_FSIZE, &limit));
}

TEST(locked_write_ends_its_own_partial_line_once_there_is_room) {
    struct fixture fixture = make_fixture();
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(10);
    ASSERT_OK(write_text(&fixture, "whole\n", TIMEOUT_MS));
    ASSERT_EQ(write_text(&fixture, "too long\n", TIMEOUT_MS), -EFBIG);
    expect_file(&fixture, "whole\ntoo ");
    // Still no room: neither for the newline nor for the line, and the next one must know.
    ASSERT_EQ(write_text(&fixture, "none\n", TIMEOUT_MS), -EFBIG);
    expect_file(&fixture, "whole\ntoo ");
    limit_file_size(11);  // for the newline alone
    ASSERT_EQ(write_text(&fixture, "none\n", TIMEOUT_MS), -EFBIG);
    limit_file_size(RLIM_INFINITY);
    ASSERT_OK(write_text(&fixture, "after\n", TIMEOUT_MS));
    expect_file(&fixture, "whole\ntoo \nafter\n");
    end_fixture(&fixture);
}

static void fill_pipe(int fd) {
    static char bytes[65536];
    memset(bytes, '\n', sizeof bytes);
    while (write(fd, bytes, sizeof bytes) > 0) continue;
    while (write(fd, bytes, 1) > 0) continue;
    ASSERT_EQ(errno, EAGAIN);
}

static void do_nothing(int signal) {
    (void)signal;
}

// A signal is no reason to give up, and none to wait longer.
TEST(locked_write_to_a_full_pipe_waits_for_its_time_out) {
    int ends[2];
    ASSERT_CALL(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    fill_pipe(ends[1]);
    struct sigaction action = {.sa_handler = do_nothing};
    struct itimerval every = {.it_interval = {.tv_usec = 20000}, .it_value = {.tv_usec = 20000}};
    ASSERT_CALL(sigaction(SIGALRM, &action, NULL));
    ASSERT_CALL(setitimer(ITIMER_REAL, &every, NULL));
    uint64_t before = now_ms();
    ASSERT_EQ(px_locked_write(ends[1], NULL, PX_LOCK_LOG, "x\n", 2, 300), -EAGAIN);
    ASSERT_GE(now_ms() - before, 290);
    ASSERT_LT(now_ms() - before, 5000);
}

// Standard error whose reader has stopped: the pipe blocks, we do not.
TEST(locked_write_to_a_blocking_pipe_nobody_reads_ends_at_its_time_out) {
    int ends[2];
    char byte;
    ASSERT_CALL(pipe2(ends, O_CLOEXEC));
    ASSERT_OK(px_locked_write(ends[1], NULL, PX_LOCK_LOG, "x\n", 2, 0));  // room needs no time
    ASSERT_CALL(fcntl(ends[1], F_SETFL, O_NONBLOCK));
    fill_pipe(ends[1]);
    ASSERT_CALL(fcntl(ends[1], F_SETFL, 0));
    uint64_t before = now_ms();
    ASSERT_EQ(px_locked_write(ends[1], NULL, PX_LOCK_LOG, "x\n", 2, 200), -EAGAIN);
    ASSERT_GE(now_ms() - before, 190);
    ASSERT_LT(now_ms() - before, 5000);
    ASSERT_EQ(read(ends[0], &byte, 1), 1);
}

static _Noreturn void write_long_lines(int fd, char letter) {
    static char bytes[20000];
    memset(bytes, letter, sizeof bytes);
    for (size_t at = 999; at < sizeof bytes; at += 1000) bytes[at] = '\n';
    for (int i = 0; i < 20; i++) ASSERT_OK(px_locked_write(fd, NULL, PX_LOCK_LOG, bytes, sizeof bytes, TIMEOUT_MS));
    _exit(0);
}

// Without any lock: pieces end at lines and are small enough for the pipe to keep them whole.
TEST(locked_write_keeps_lines_whole_in_a_pipe) {
    int ends[2];
    ASSERT_CALL(pipe2(ends, O_CLOEXEC));
    for (int i = 0; i < 2; i++)
        if (ASSERT_CALL(fork()) == 0) write_long_lines(ends[1], (char)('a' + i));
    close(ends[1]);
    FILE *file = fdopen(ends[0], "r");
    ASSERT_TRUE(file != NULL);
    char line[2000], wanted[1000];
    int lines = 0;
    for (; fgets(line, sizeof line, file); lines++) {
        memset(wanted, line[0], 999);
        ASSERT_EQ(strlen(line), 1000);
        ASSERT_MEM(line, wanted, 999);
    }
    ASSERT_EQ(lines, 2 * 20 * 20);
    fclose(file);
}

static _Noreturn void read_slowly(int fd) {
    char bytes[4096];
    for (;;) {
        usleep(50000);
        if (read(fd, bytes, sizeof bytes) <= 0) _exit(0);
    }
}

// The time-out is one for the whole write: a reader that takes a little now and then does not make it longer.
TEST(locked_write_to_a_slow_pipe_ends_at_its_time_out) {
    static char bytes[1 << 20];
    int ends[2];
    ASSERT_CALL(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    fill_pipe(ends[1]);
    fcntl(ends[0], F_SETFL, 0);
    pid_t reader = (pid_t)ASSERT_CALL(fork());
    if (reader == 0) read_slowly(ends[0]);
    memset(bytes, 'x', sizeof bytes);
    uint64_t before = now_ms();
    ASSERT_EQ(px_locked_write(ends[1], NULL, PX_LOCK_LOG, bytes, sizeof bytes, 400), -EAGAIN);
    ASSERT_LT(now_ms() - before, 3000);
    kill_and_reap(reader);
}

TEST(end_partial_line_leaves_whole_lines_and_pipes_alone) {
    struct fixture fixture = make_fixture();
    int ends[2];
    ASSERT_OK(px_end_partial_line(fixture.fd));  // empty
    ASSERT_OK(write_text(&fixture, "whole\n", 0));
    ASSERT_OK(px_end_partial_line(fixture.fd));
    expect_file(&fixture, "whole\n");
    ASSERT_OK(write_text(&fixture, "half", 0));
    ASSERT_OK(px_end_partial_line(fixture.fd));
    ASSERT_OK(px_end_partial_line(fixture.fd));
    expect_file(&fixture, "whole\nhalf\n");
    ASSERT_CALL(pipe(ends));
    ASSERT_OK(px_end_partial_line(ends[1]));
    ASSERT_EQ(px_end_partial_line(-1), -EBADF);
    end_fixture(&fixture);
}

// The lock's owner stands still, again and again and once for as long as the others write: they write on without it.
TEST_WITH_LIMIT(locked_write_keeps_lines_whole_while_the_locks_owner_is_stopped, 120) {
    struct fixture fixture = make_fixture();
    pid_t holder = start_holder(&fixture, "held by one that stands still\n");
    ASSERT_CALL(kill(holder, SIGSTOP));
    pid_t writers[3];
    for (int i = 0; i < 3; i++)
        if ((writers[i] = (pid_t)ASSERT_CALL(fork())) == 0) write_lines(&fixture, (char)('A' + i));
    // The third is stopped and continued all the while; should it hold the lock then, the first two wait once and go on.
    int status = -1;
    while (waitpid(writers[0], &status, WNOHANG) == 0) {
        ASSERT_CALL(kill(writers[2], SIGSTOP));
        usleep(3000);
        ASSERT_CALL(kill(writers[2], SIGCONT));
        usleep(3000);
    }
    ASSERT_EQ(status, 0);
    kill_and_reap(holder);  // from here on the lock can be had again
    expect_exit_0(writers[1]);
    expect_exit_0(writers[2]);
    ASSERT_OK(write_text(&fixture, "after all\n", TIMEOUT_MS));
    size_t size;
    char *text = read_file(&fixture, &size);
    for (int i = 0; i < 3; i++) ASSERT_EQ(count_lines(text, (char)('A' + i)), LINES);
    ASSERT_TRUE(strstr(text, "after all\n") != NULL);
    ASSERT_EQ(pthread_mutex_trylock(mutex_of(&fixture)), 0);
    free(text);
    end_fixture(&fixture);
}

TEST(locked_write_waits_for_a_stopped_holder_once) {
    struct fixture fixture = make_fixture();
    pid_t holder = start_holder(&fixture, "held\n");
    uint64_t before = now_ms();
    for (int i = 0; i < 20; i++) ASSERT_OK(write_text(&fixture, "x\n", 1000));
    ASSERT_GE(now_ms() - before, 990);
    ASSERT_LT(now_ms() - before, 10000);
    kill_and_reap(holder);
    ASSERT_OK(write_text(&fixture, "free again\n", 1000));
    // The next holder that stands still is waited for like the first.
    holder = start_holder(&fixture, "held again\n");
    before = now_ms();
    ASSERT_OK(write_text(&fixture, "y\n", 300));
    ASSERT_GE(now_ms() - before, 290);
    kill_and_reap(holder);
    end_fixture(&fixture);
}
