// Runner of the C tests: each test in a process (and process group) of its own, one after the other, with a watchdog.
//
//   CProxyCoreTests [-l] [-v] [name-part]…
//   CProxyCoreTests -x name
//
// Without arguments all tests run; with some, those whose name or file contains one of them. -l lists, -v names each test
// as it ends. -x runs one test in this very process, under a debugger or valgrind. What a test printed is shown if it failed. The last line is "N passed, N failed"; exit status 1 if any failed.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "status.h"
#include "test.h"

static struct test_case *first;

void test_register(struct test_case *test) {
    struct test_case **place = &first;
    while (*place) {
        int order = strcmp((*place)->file, test->file);
        if (order > 0) break;
        place = &(*place)->next;
    }
    test->next = *place;
    *place = test;
}

struct tally {
    unsigned passed, failed, skipped;
};

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool is_selected(const struct test_case *test, char **parts, int count) {
    for (int i = 0; i < count; i++) {
        if (strstr(test->name, parts[i]) || strstr(test->file, parts[i])) return true;
    }
    return count == 0;
}

_Noreturn static void run_in_child(const struct test_case *test, int output) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    test->run();
    exit(TEST_PASSED);  // not _exit: the leak check runs at exit
}

// Waits for the test to end, or kills it at its limit. Returns the wait status.
static int await_test(pid_t pid, unsigned limit_s, bool *timed_out) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        perror("pidfd_open");
        exit(2);
    }
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    int count;
    do count = poll(&entry, 1, (int)limit_s * 1000); while (count < 0 && errno == EINTR);
    *timed_out = count == 0;
    kill(-pid, SIGKILL);  // the test itself at its limit; in any case what it started and left behind
    if (*timed_out) kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    close(pidfd);
    return status;
}

static void show_output(int output) {
    char bytes[4096];
    ssize_t count;
    for (off_t at = 0; (count = pread(output, bytes, sizeof bytes, at)) > 0; at += count) {
        fwrite(bytes, 1, (size_t)count, stdout);
    }
}

static void report(const struct test_case *test, int status, bool timed_out, double seconds, int output, bool verbose,
    struct tally *tally) {
    if (!timed_out && WIFEXITED(status) && WEXITSTATUS(status) == TEST_PASSED) {
        tally->passed++;
        if (verbose) printf("ok      %s (%.3f s)\n", test->name, seconds);
        return;
    }
    if (!timed_out && WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED) {
        tally->skipped++;
        printf("skipped %s: ", test->name);
    } else {
        tally->failed++;
        printf("FAILED  %s (%s): ", test->name, test->file);
        if (timed_out) printf("still running after its limit of %u s\n", test->limit_s);
        else if (WIFSIGNALED(status)) printf("killed by %s\n", strsignal(WTERMSIG(status)));
        else printf("exit status %d\n", WEXITSTATUS(status));
    }
    show_output(output);
}

static void run_test(const struct test_case *test, bool verbose, struct tally *tally) {
    int output = memfd_create("test output", MFD_CLOEXEC);
    if (output < 0) {
        perror("memfd_create");
        exit(2);
    }
    fflush(NULL);
    double start = now_s();
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) run_in_child(test, output);
    bool timed_out;
    int status = await_test(pid, test->limit_s * (test_is_slow() ? 3 : 1), &timed_out);
    report(test, status, timed_out, now_s() - start, output, verbose, tally);
    close(output);
}

// Returns the exit status of a test that does not end the process itself.
static int run_here(const char *name) {
    for (struct test_case *test = first; test; test = test->next) {
        if (strcmp(test->name, name) != 0) continue;
        test->run();
        return TEST_PASSED;
    }
    fprintf(stderr, "there is no test %s\n", name);
    return 2;
}

int main(int argc, char **argv) {
    bool verbose = false, list = false;
    int option;
    while ((option = getopt(argc, argv, "lvx:")) != -1) {
        if (option == 'x') return run_here(optarg);
        if (option == 'l') list = true;
        else if (option == 'v') verbose = true;
        else return 2;
    }
    struct tally tally = {0};
    for (struct test_case *test = first; test; test = test->next) {
        if (!is_selected(test, argv + optind, argc - optind)) continue;
        if (list) printf("%s  %s\n", test->name, test->file);
        else run_test(test, verbose, &tally);
    }
    if (list) return 0;
    if (tally.skipped) printf("%u skipped\n", tally.skipped);
    printf("%u passed, %u failed\n", tally.passed, tally.failed);
    // A selection that selects nothing must not look like success.
    return tally.failed > 0 || tally.passed + tally.skipped == 0;
}
