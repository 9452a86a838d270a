// What a C test needs. A test file includes this and defines TEST(name) { … }; the runner (main.c) finds it by itself.
// Every test runs in a process of its own: it may fork, change signals, leak threads and lower limits as it likes.
// What a test prints is shown only if it fails.
#ifndef TEST_H
#define TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
    const char *name;
    const char *file;
    void (*run)(void);
    unsigned limit_s;
    struct test_case *next;
};
void test_register(struct test_case *test);

#define TEST_LIMIT_S 20
#define TEST(name) TEST_WITH_LIMIT(name, TEST_LIMIT_S)
// A test that needs longer than the usual limit.
#define TEST_WITH_LIMIT(test_name, seconds)                                                               \
    static void test_##test_name(void);                                                                   \
    static struct test_case case_##test_name = {#test_name, __FILE__, test_##test_name, (seconds), NULL}; \
    __attribute__((constructor)) static void register_##test_name(void) {                                 \
        test_register(&case_##test_name);                                                                 \
    }                                                                                                     \
    static void test_##test_name(void)

// Assertions end the test's process. Both sides are evaluated once and printed with their values.
#define ASSERT_EQ(a, b) test_compare(__FILE__, __LINE__, #a " == " #b, (int64_t)(a), (int64_t)(b), '=')
#define ASSERT_NE(a, b) test_compare(__FILE__, __LINE__, #a " != " #b, (int64_t)(a), (int64_t)(b), '!')
#define ASSERT_LT(a, b) test_compare(__FILE__, __LINE__, #a " < " #b, (int64_t)(a), (int64_t)(b), '<')
#define ASSERT_LE(a, b) test_compare(__FILE__, __LINE__, #a " <= " #b, (int64_t)(a), (int64_t)(b), 'l')
#define ASSERT_GT(a, b) test_compare(__FILE__, __LINE__, #a " > " #b, (int64_t)(a), (int64_t)(b), '>')
#define ASSERT_GE(a, b) test_compare(__FILE__, __LINE__, #a " >= " #b, (int64_t)(a), (int64_t)(b), 'g')
#define ASSERT_TRUE(a) test_true(__FILE__, __LINE__, #a, (a))
#define ASSERT_FALSE(a) test_true(__FILE__, __LINE__, "!(" #a ")", !(a))
#define ASSERT_STR(a, b) test_strings(__FILE__, __LINE__, #a " is " #b, (a), (b))
#define ASSERT_CONTAINS(text, part) test_contains(__FILE__, __LINE__, #text " contains " #part, (text), (part))
#define ASSERT_MEM(a, b, length) test_bytes(__FILE__, __LINE__, #a " is " #b, (a), (b), (length))
// `a` is a result of the core or of a system call wrapped to return -errno: 0 or more, else the error is named.
#define ASSERT_OK(a) test_ok(__FILE__, __LINE__, #a, (int64_t)(a))
// A system call that returns -1: errno is named.
#define ASSERT_CALL(a) test_call(__FILE__, __LINE__, #a, (int64_t)(a))
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
// Not possible on this machine (no IPv6, not root, …). Counted and shown, never silent.
#define SKIP(...) test_skip(__VA_ARGS__)

void test_compare(const char *file, int line, const char *expression, int64_t a, int64_t b, char relation);
void test_true(const char *file, int line, const char *expression, bool value);
void test_strings(const char *file, int line, const char *expression, const char *a, const char *b);
void test_contains(const char *file, int line, const char *expression, const char *text, const char *part);
void test_bytes(const char *file, int line, const char *expression, const void *a, const void *b, size_t length);
int64_t test_ok(const char *file, int line, const char *expression, int64_t result);
int64_t test_call(const char *file, int line, const char *expression, int64_t result);
_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Waits that have a deadline and say what they waited for. `events`: POLLIN, POLLOUT, …; returns revents.
#define WAIT_FD(fd, events, timeout_ms, what) test_wait_fd(__FILE__, __LINE__, (fd), (events), (timeout_ms), (what))
short test_wait_fd(const char *file, int line, int fd, short events, int timeout_ms, const char *what);

// Descriptors this process has open. Take it before and after what must not leak.
int test_open_descriptors(void);
// A new empty directory, removed with all it holds when the test ends. Valid for the life of the process.
const char *test_directory(void);
// Slowed down by a sanitizer or valgrind: scale expectations about time, never about order.
bool test_is_slow(void);

#endif
