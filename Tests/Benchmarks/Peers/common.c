// Clock, processor time of other processes, sockets.
#include "peers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

void peers_die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("peers: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

uint64_t peers_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// ---- processor time ------------------------------------------------------------------------------------------------------------

static uint64_t task_ns(int pid, const char *task) {
    char path[300];
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    if (fscanf(file, "%llu", &ns) != 1) ns = 0;
    fclose(file);
    return ns;
}

// The first figure of schedstat is the time on a processor, user and system, in ns; utime and stime of stat are the same time
// in steps of 10 ms.
static uint64_t process_ns(int pid) {
    char path[64];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *directory = opendir(path);
    if (directory == NULL) peers_die("process %d is gone", pid);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] != '.') sum += task_ns(pid, entry->d_name);
    }
    closedir(directory);
    return sum;
}

uint64_t peers_cpu_ns(const struct peers_options *options) {
    uint64_t sum = 0;
    for (int i = 0; i < options->pid_count; i++) sum += process_ns(options->pids[i]);
    return sum;
}

void peers_print(const char *unit, uint64_t operations, uint64_t elapsed_ns, uint64_t cpu_ns) {
    printf("{\"unit\":\"%s\",\"operations\":%llu,\"seconds\":%.4f,\"cpu_seconds\":%.6f}\n", unit, (unsigned long long)operations,
        (double)elapsed_ns / 1e9, (double)cpu_ns / 1e9);
    fflush(stdout);
}

// ---- sockets -------------------------------------------------------------------------------------------------------------------

int peers_epoll(void) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) peers_die("epoll_create1: %s", strerror(errno));
    return epoll;
}

void peers_watch(int epoll, int fd, uint32_t events, void *object) {
    struct epoll_event event = {.events = events, .data.ptr = object};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) peers_die("epoll_ctl: %s", strerror(errno));
}

void peers_no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int peers_listen(uint16_t port) {
    struct sockaddr_in addr = loopback(port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) peers_die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    peers_no_delay(fd);  // accepted sockets inherit it
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 4096) < 0) peers_die("listen on port %u: %s", port, strerror(errno));
    return fd;
}

int peers_connect(uint16_t port) {
    struct sockaddr_in addr = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) peers_die("socket: %s", strerror(errno));
    peers_no_delay(fd);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0 && errno != EINPROGRESS && errno != ECONNREFUSED) peers_die("connect to port %u: %s", port, strerror(errno));
    return fd;
}

int peers_connect_and_wait(uint16_t port) {
    int fd = peers_connect(port), error = 0;
    socklen_t length = sizeof error;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (poll(&wait, 1, 5000) <= 0) peers_die("connect to port %u: nothing in 5 s", port);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) peers_die("connect to port %u: %s", port, strerror(error));
    return fd;
}
