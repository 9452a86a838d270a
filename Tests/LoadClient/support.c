// Clock, addresses, the byte pattern, and the loop: what every mode of the load client stands on.
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PATTERN_PERIOD = 65521 };

int load_epoll = -1;
bool load_marked;
bool load_stopping;
static int signal_fd = -1;
static uint8_t pattern[PATTERN_PERIOD + LOAD_PAYLOAD_MAX];

uint64_t load_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t load_unix_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void load_pattern_init(uint64_t seed) {
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;  // splitmix64's odd constant; xorshift needs a state other than 0
    for (size_t i = 0; i < sizeof pattern; i++) {
        if (i >= PATTERN_PERIOD) {
            pattern[i] = pattern[i - PATTERN_PERIOD];
            continue;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (uint8_t)(state >> 32);
    }
}

const uint8_t *load_pattern(uint64_t id, uint64_t position) {
    return pattern + (id * 7919 + position) % PATTERN_PERIOD;
}

static int parse_unix(const char *text, struct load_address *out) {
    struct sockaddr_un unix_address = {.sun_family = AF_UNIX};
    size_t length = strlen(text);
    if (length < 2 || length >= sizeof unix_address.sun_path) return -EINVAL;
    memcpy(unix_address.sun_path, text, length);
    if (text[0] == '@') unix_address.sun_path[0] = '\0';
    out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '@' ? 0 : 1));
    memcpy(&out->storage, &unix_address, sizeof unix_address);
    return 0;
}

int load_address_parse(const char *text, struct load_address *out) {
    *out = (struct load_address){0};
    if (text[0] == '/' || text[0] == '@') return parse_unix(text, out);
    const char *colon = strrchr(text, ':');
    char ip[64];
    if (colon == NULL || (size_t)(colon - text) >= sizeof ip) return -EINVAL;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port > 65535) return -EINVAL;
    bool v6 = text[0] == '[' && colon[-1] == ']';
    snprintf(ip, sizeof ip, "%.*s", (int)(colon - text) - (v6 ? 2 : 0), text + (v6 ? 1 : 0));
    if (v6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        if (inet_pton(AF_INET6, ip, &in6.sin6_addr) != 1) return -EINVAL;
        memcpy(&out->storage, &in6, out->length = sizeof in6);
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        if (inet_pton(AF_INET, ip, &in.sin_addr) != 1) return -EINVAL;
        memcpy(&out->storage, &in, out->length = sizeof in);
    }
    return 0;
}

const char *load_address_format(const struct load_address *address, char *text, size_t size) {
    char ip[INET6_ADDRSTRLEN] = "";
    if (address->storage.ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &address->storage, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, ip, sizeof ip);
        snprintf(text, size, "%s:%u", ip, ntohs(in.sin_port));
    } else if (address->storage.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &address->storage, sizeof in6);
        inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof ip);
        snprintf(text, size, "[%s]:%u", ip, ntohs(in6.sin6_port));
    } else {
        struct sockaddr_un un;
        memcpy(&un, &address->storage, sizeof un);
        snprintf(text, size, "%s%s", un.sun_path[0] == '\0' ? "@" : "", un.sun_path + (un.sun_path[0] == '\0'));
    }
    return text;
}

int load_watch(int fd, void *object, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = object};
    return epoll_ctl(load_epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int load_loop_init(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    load_epoll = epoll_create1(EPOLL_CLOEXEC);
    signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (load_epoll >= 0 && signal_fd >= 0 && load_watch(signal_fd, &signal_fd, EPOLLIN) == 0) return 0;
    perror("load-client: epoll");
    return -errno;
}

static void take_signals(void) {
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGUSR1) load_marked = true;
        else if (info.ssi_signo == SIGUSR2) load_marked = false;
        else load_stopping = true;
    }
}

void load_turn(int timeout_ms, void (*handle)(void *object, uint32_t events)) {
    struct epoll_event events[256];
    int count = epoll_wait(load_epoll, events, 256, timeout_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == &signal_fd) take_signals();
        else handle(events[i].data.ptr, events[i].events);
    }
    if ((double)(load_now_us() - load_report.begun_us) >= load_options.seconds * 1e6) load_stopping = true;
}
