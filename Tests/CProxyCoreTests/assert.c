// Assertions and helpers of the C tests. They run in the test's own process and end it when they fail; the runner reads the
// exit status. _exit() on failure: the test's state is unknown, its atexit handlers and the leak check have nothing to add.
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/px_base.h"
#include "status.h"

_Noreturn static void finish(enum test_status status) {
    fflush(NULL);
    _exit(status);
}

void test_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    finish(TEST_FAILED);
}

void test_skip(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    finish(TEST_SKIPPED);
}

static bool holds(int64_t a, int64_t b, char relation) {
    switch (relation) {
        case '=': return a == b;
        case '!': return a != b;
        case '<': return a < b;
        case 'l': return a <= b;
        case '>': return a > b;
        default: return a >= b;
    }
}

void test_compare(const char *file, int line, const char *expression, int64_t a, int64_t b, char relation) {
    if (holds(a, b, relation)) return;
    test_fail(file, line, "expected %s\n    left:  %lld\n    right: %lld", expression, (long long)a, (long long)b);
}

void test_true(const char *file, int line, const char *expression, bool value) {
    if (!value) test_fail(file, line, "expected %s", expression);
}

void test_strings(const char *file, int line, const char *expression, const char *a, const char *b) {
    if (a && b && strcmp(a, b) == 0) return;
    test_fail(file, line, "expected %s\n    left:  %s%s%s\n    right: %s%s%s", expression, a ? "\"" : "", a ? a : "NULL",
        a ? "\"" : "", b ? "\"" : "", b ? b : "NULL", b ? "\"" : "");
}

void test_contains(const char *file, int line, const char *expression, const char *text, const char *part) {
    if (text && part && strstr(text, part)) return;
    test_fail(file, line, "expected %s\n    text: \"%s\"\n    part: \"%s\"", expression, text ? text : "(NULL)",
        part ? part : "(NULL)");
}

void test_bytes(const char *file, int line, const char *expression, const void *a, const void *b, size_t length) {
    const uint8_t *left = a, *right = b;
    for (size_t i = 0; i < length; i++) {
        if (left[i] == right[i]) continue;
        test_fail(file, line, "expected %s\n    byte %zu of %zu: left 0x%02x, right 0x%02x", expression, i, length, left[i],
            right[i]);
    }
}

int64_t test_ok(const char *file, int line, const char *expression, int64_t result) {
    if (result < 0) {
        test_fail(file, line, "expected success of %s\n    got: %lld (%s: %s)", expression, (long long)result,
            px_error_name((int)result), px_error_text((int)result));
    }
    return result;
}

int64_t test_call(const char *file, int line, const char *expression, int64_t result) {
    if (result < 0) test_fail(file, line, "expected success of %s\n    errno: %d (%s)", expression, errno, strerror(errno));
    return result;
}

short test_wait_fd(const char *file, int line, int fd, short events, int timeout_ms, const char *what) {
    struct pollfd entry = {.fd = fd, .events = events};
    int count;
    do count = poll(&entry, 1, timeout_ms); while (count < 0 && errno == EINTR);
    if (count == 0) test_fail(file, line, "waited %d ms for %s", timeout_ms, what);
    if (count < 0) test_fail(file, line, "poll for %s: %s", what, strerror(errno));
    return entry.revents;
}

int test_open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    if (!directory) test_fail(__FILE__, __LINE__, "/proc/self/fd: %s", strerror(errno));
    int count = -3;  // ".", ".." and the directory's own descriptor
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

static char directory_path[64];
static pid_t directory_owner;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)status, (void)type, (void)where;
    return remove(path);
}

// A child the test forked inherits the atexit handler; only the test itself removes.
static void remove_directory(void) {
    if (getpid() == directory_owner) nftw(directory_path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *test_directory(void) {
    if (directory_path[0]) return directory_path;
    snprintf(directory_path, sizeof directory_path, "/tmp/px-test-XXXXXX");
    if (!mkdtemp(directory_path)) test_fail(__FILE__, __LINE__, "mkdtemp: %s", strerror(errno));
    directory_owner = getpid();
    atexit(remove_directory);
    return directory_path;
}

bool test_is_slow(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return getenv("PX_TEST_SLOW") != NULL;
}
