#include "engine/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ms(void) { return px_clock_monotonic_ns() / 1000000; }

static void on_event(const struct px_event *event, void *context) {
    struct rig *rig = context;
    rig->events[event->kind]++;
    rig->last_count = event->count;
}

// ---- plan -------------------------------------------------------------------------------------------------------------------

void rig_begin(struct rig *rig, uint32_t workers) {
    struct px_detail detail = {0};
    *rig = (struct rig){.workers = workers};
    rig->loop = px_mainloop_create(on_event, rig, &detail);
    rig->plan = px_plan_create();
    ASSERT_TRUE(rig->loop != NULL && rig->plan != NULL);
}

struct px_listener_spec rig_listener_spec(const char *name, enum px_filter_kind filter) {
    return (struct px_listener_spec){
        .name = name, .stat_prefix = name, .reuse_port = true, .bind_to_port = true, .buffer_limit_bytes = 1 << 20,
        .filter = filter, .tcp_stat_prefix = name, .max_connect_attempts = 1,
    };
}

struct px_cluster_spec rig_cluster_spec(const char *name) {
    return (struct px_cluster_spec){
        .name = name, .connect_timeout_ms = 2000, .dns_refresh_ms = 5000, .max_connections = UINT32_MAX, .choice_count = 2, .buffer_limit_bytes = 1 << 20,
    };
}

uint32_t rig_listener(struct rig *rig, const struct px_listener_spec *spec, uint16_t port) {
    struct px_addr addr;
    uint32_t index = (uint32_t)ASSERT_OK(px_plan_add_listener(rig->plan, spec));
    ASSERT_OK(px_addr_from_ip("127.0.0.1", port, &addr));
    ASSERT_OK(px_plan_add_address(rig->plan, index, &addr, 0));
    return index;
}

uint32_t rig_cluster(struct rig *rig, const struct px_cluster_spec *spec) { return (uint32_t)ASSERT_OK(px_plan_add_cluster(rig->plan, spec)); }

void rig_endpoint(struct rig *rig, uint32_t cluster, uint16_t port) {
    struct px_endpoint_spec spec = {.host = "127.0.0.1", .port = port, .weight = 1};
    ASSERT_OK(px_plan_add_endpoint(rig->plan, cluster, &spec));
}

void rig_relay(struct rig *rig, uint16_t upstream_port) {
    struct px_listener_spec listener = rig_listener_spec("tcp", PX_FILTER_TCP_PROXY);
    struct px_cluster_spec cluster = rig_cluster_spec("up");
    uint32_t up = rig_cluster(rig, &cluster);
    rig_endpoint(rig, up, upstream_port);
    ASSERT_OK(px_plan_add_target(rig->plan, rig_listener(rig, &listener, 0), (int32_t)up, 1));
}

// ---- life -------------------------------------------------------------------------------------------------------------------

void rig_create(struct rig *rig) {
    struct px_detail detail = {0};
    struct px_engine_options options = {.workers = rig->workers, .epoch = rig->epoch, .access_log_flush_ms = 50};
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_OK(px_plan_register_stats(rig->plan, builder, rig->workers));
    rig->stats = px_stats_block_create(builder, rig->workers + 1, rig->epoch, &detail);
    ASSERT_TRUE(rig->stats != NULL);
    px_stats_builder_destroy(builder);
    rig->reader = px_stats_reader_create(rig->stats);
    rig->engine = px_engine_create(rig->plan, rig->stats, rig->control, rig->loop, &options, &detail);
    if (!rig->engine) FAIL("engine: %s %s: %s %s", detail.call, detail.object, px_error_text(detail.code), detail.text);
    rig->plan = NULL;
}

static void check(int result, const struct px_detail *detail) {
    if (result < 0) FAIL("%s %s: %s %s", detail->call, detail->object, px_error_text(result), detail->text);
}

void rig_serve(struct rig *rig, bool cold) {
    struct px_detail detail = {0};
    if (!rig->engine) rig_create(rig);
    check(px_engine_open_sockets(rig->engine, cold, &detail), &detail);
    check(px_engine_start(rig->engine, &detail), &detail);
    check(px_engine_listen(rig->engine, &detail), &detail);
    check(px_engine_accept_start(rig->engine, &detail), &detail);
    rig_wait(rig, PX_EVENT_ACCEPT_STARTED);
}

void rig_end(struct rig *rig) {
    px_engine_destroy(rig->engine);
    px_plan_destroy(rig->plan);
    px_stats_reader_destroy(rig->reader);
    px_stats_block_destroy(rig->stats);
    px_mainloop_destroy(rig->loop);
}

uint16_t rig_port(const struct rig *rig, uint32_t listener) {
    struct px_addr addr;
    ASSERT_OK(px_engine_listener_address(rig->engine, listener, 0, &addr));
    return px_addr_port(&addr);
}

uint32_t rig_pass_sockets(struct rig *from, struct rig *to) {
    uint32_t wanted = 0, count;
    struct px_addr addr;
    for (uint32_t i = 0; i < px_engine_socket_count(from->engine); i++) {
        struct px_socket_label label;
        int fd = fcntl((int)ASSERT_OK(px_engine_socket(from->engine, i, &label)), F_DUPFD_CLOEXEC, 0);
        int taken = (int)ASSERT_OK(px_engine_offer_socket(to->engine, &label, fd));
        if (taken == 0) {
            px_engine_mark_removed(from->engine, i);
            close(fd);
        }
        wanted += (uint32_t)taken;
    }
    while (px_engine_next_wanting(to->engine, &addr, &count)) {
        int32_t fds[64];
        int made = (int)ASSERT_OK(px_engine_make_sockets(from->engine, &addr, count, fds));
        for (int i = 0; i < made; i++) ASSERT_OK(px_engine_adopt_extra(to->engine, &addr, fcntl(fds[i], F_DUPFD_CLOEXEC, 0)));
    }
    return wanted;
}

// ---- waiting ----------------------------------------------------------------------------------------------------------------

void rig_turn(struct rig *rig, int timeout_ms) { ASSERT_OK(px_mainloop_turn(rig->loop, timeout_ms)); }

void rig_wait(struct rig *rig, enum px_event_kind kind) {
    uint64_t deadline = now_ms() + RIG_DEADLINE_MS;
    while (rig->events[kind] == 0) {
        if (now_ms() > deadline) FAIL("event %d did not come in %d ms", (int)kind, RIG_DEADLINE_MS);
        rig_turn(rig, 100);
    }
    rig->events[kind]--;
}

int64_t rig_value(struct rig *rig, const char *name) { return px_stats_reader_value(rig->reader, name); }

void rig_wait_value(struct rig *rig, const char *name, int64_t value) {
    uint64_t deadline = now_ms() + RIG_DEADLINE_MS;
    while (rig_value(rig, name) != value) {
        if (now_ms() > deadline) FAIL("%s is %lld, not %lld, after %d ms", name, (long long)rig_value(rig, name), (long long)value, RIG_DEADLINE_MS);
        rig_turn(rig, 1);
    }
}

// ---- sockets ----------------------------------------------------------------------------------------------------------------

static int tcp_socket(void) {
    struct timeval deadline = {.tv_sec = RIG_DEADLINE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    ASSERT_CALL(fd);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int tcp_listen(uint16_t *port, int backlog) {
    struct sockaddr_in addr = loopback(*port);
    socklen_t length = sizeof addr;
    int fd = tcp_socket(), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    ASSERT_CALL(bind(fd, (struct sockaddr *)&addr, sizeof addr));
    ASSERT_CALL(listen(fd, backlog));
    ASSERT_CALL(getsockname(fd, (struct sockaddr *)&addr, &length));
    *port = ntohs(addr.sin_port);
    return fd;
}

int tcp_accept(int listener) {
    struct timeval deadline = {.tv_sec = RIG_DEADLINE_MS / 1000};
    WAIT_FD(listener, POLLIN, RIG_DEADLINE_MS, "a connection at the upstream");
    int fd = (int)ASSERT_CALL(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    return fd;
}

int tcp_try_connect(uint16_t port) {
    struct sockaddr_in addr = loopback(port);
    int fd = tcp_socket();
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

int tcp_connect(uint16_t port) { return (int)ASSERT_OK(tcp_try_connect(port)); }

int tcp_connect_no_wait(uint16_t port) {
    struct sockaddr_in addr = loopback(port);
    int fd = tcp_socket();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)connect(fd, (struct sockaddr *)&addr, sizeof addr);
    return fd;
}

void send_all(int fd, const void *bytes, size_t length) {
    for (size_t sent = 0; sent < length;) sent += (size_t)ASSERT_CALL(send(fd, (const char *)bytes + sent, length - sent, MSG_NOSIGNAL));
}

void receive_all(int fd, void *bytes, size_t length) {
    for (size_t got = 0; got < length;) {
        ssize_t n = recv(fd, (char *)bytes + got, length - got, 0);
        if (n <= 0) FAIL("received %zu of %zu bytes, then %s", got, length, n == 0 ? "the end" : strerror(errno));
        got += (size_t)n;
    }
}

void expect_end(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    if (n != 0) FAIL("expected the end of the stream, got %s", n > 0 ? "a byte" : strerror(errno));
}

void expect_reset(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    if (n >= 0 || errno != ECONNRESET) FAIL("expected a reset, got %s", n > 0 ? "a byte" : n == 0 ? "the end" : strerror(errno));
}

void expect_echo(int fd, const char *text) {
    char answer[256];
    size_t length = strlen(text);
    send_all(fd, text, length);
    receive_all(fd, answer, length);
    ASSERT_MEM(answer, text, length);
}

void close_with_reset(int fd) {
    struct linger abort = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close(fd);
}

// ---- an upstream that echoes ------------------------------------------------------------------------------------------------

static void *echo_connection(void *context) {
    int fd = (int)(intptr_t)context;
    char bytes[16384];
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) > 0;) {
        for (ssize_t sent = 0; sent < n;) {
            ssize_t m = send(fd, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);
            if (m < 0) goto out;
            sent += m;
        }
    }
out:
    close(fd);
    return NULL;
}

static void start_thread(void *(*run)(void *), void *context) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    ASSERT_EQ(pthread_create(&thread, &attributes, run, context), 0);
    pthread_attr_destroy(&attributes);
}

static void *echo_accept(void *context) {
    for (;;) {
        int fd = accept4((int)(intptr_t)context, NULL, NULL, SOCK_CLOEXEC), one = 1;
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        start_thread(echo_connection, (void *)(intptr_t)fd);
    }
    return NULL;
}

uint16_t echo_upstream(void) {
    uint16_t port = 0;
    int fd = tcp_listen(&port, 4096);
    struct timeval none = {0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    start_thread(echo_accept, (void *)(intptr_t)fd);
    return port;
}
