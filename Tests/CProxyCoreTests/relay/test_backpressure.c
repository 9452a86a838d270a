// Many bytes, slow readers, many connections: every byte arrives once and in order, and memory stays bounded.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "engine/rig.h"

static uint8_t pattern(uint64_t position, uint64_t seed) {
    uint64_t x = (position + seed) * 0x9e3779b97f4a7c15u;
    return (uint8_t)(x >> 56);
}

// One end of a connection that sends `total` bytes of a pattern and checks what it receives, both in random chunks.
struct end {
    int fd;
    uint64_t sent, received, to_send, to_receive, send_seed, receive_seed, random;
    uint32_t slow;   // reads are skipped this often out of 16
    bool finished;   // its FIN is sent
};

static void push(struct end *end) {
    uint8_t bytes[65536];
    uint64_t left = end->to_send - end->sent;
    uint32_t chunk = 1 + px_random_below(&end->random, sizeof bytes - 1);
    if (chunk > left) chunk = (uint32_t)left;
    for (uint32_t i = 0; i < chunk; i++) bytes[i] = pattern(end->sent + i, end->send_seed);
    ssize_t n = chunk > 0 ? send(end->fd, bytes, chunk, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN) FAIL("send: %s", strerror(errno));
    if (n > 0) end->sent += (uint64_t)n;
    if (end->sent == end->to_send && !end->finished) {
        end->finished = true;
        ASSERT_CALL(shutdown(end->fd, SHUT_WR));
    }
}

// Returns whether the end of the stream was read.
static bool pull(struct end *end) {
    uint8_t bytes[65536];
    if (px_random_below(&end->random, 16) < end->slow) return false;
    uint32_t chunk = 1 + px_random_below(&end->random, sizeof bytes - 1);
    ssize_t n = recv(end->fd, bytes, chunk, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) FAIL("receive: %s", strerror(errno));
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != pattern(end->received + (uint64_t)i, end->receive_seed)) FAIL("byte %llu is wrong", (unsigned long long)(end->received + (uint64_t)i));
    }
    end->received += (uint64_t)n;
    return n == 0;
}

static void exchange(struct end *a, struct end *b) {
    uint64_t deadline = now_ms() + 15000;
    bool a_done = false, b_done = false;
    while (!a_done || !b_done) {
        struct pollfd fds[2] = {{.fd = a_done && a->finished ? -1 : a->fd, .events = (short)((a->finished ? 0 : POLLOUT) | (a_done ? 0 : POLLIN))},
            {.fd = b_done && b->finished ? -1 : b->fd, .events = (short)((b->finished ? 0 : POLLOUT) | (b_done ? 0 : POLLIN))}};
        poll(fds, 2, 100);
        if (!a->finished) push(a);
        if (!b->finished) push(b);
        if (!a_done) a_done = pull(a);
        if (!b_done) b_done = pull(b);
        if (now_ms() > deadline) {
            FAIL("stuck: a sent %llu received %llu, b sent %llu received %llu", (unsigned long long)a->sent, (unsigned long long)a->received,
                (unsigned long long)b->sent, (unsigned long long)b->received);
        }
    }
    ASSERT_EQ(a->received, a->to_receive);
    ASSERT_EQ(b->received, b->to_receive);
}

static void relay_exactly(uint32_t limit, uint64_t request, uint64_t response, uint32_t slow_a, uint32_t slow_b) {
    struct rig rig;
    uint16_t port = 0;
    int listener = tcp_listen(&port, 16);
    struct px_listener_spec spec = rig_listener_spec("tcp", PX_FILTER_TCP_PROXY);
    struct px_cluster_spec cluster = rig_cluster_spec("up");
    spec.buffer_limit_bytes = cluster.buffer_limit_bytes = limit;
    rig_begin(&rig, 1);
    uint32_t up = rig_cluster(&rig, &cluster);
    rig_endpoint(&rig, up, port);
    ASSERT_OK(px_plan_add_target(rig.plan, rig_listener(&rig, &spec, 0), (int32_t)up, 1));
    rig_serve(&rig, true);
    int client = tcp_connect(rig_port(&rig, 0)), upstream = tcp_accept(listener);
    struct end a = {.fd = client, .to_send = request, .to_receive = response, .send_seed = 1, .receive_seed = 2, .random = 3, .slow = slow_a};
    struct end b = {.fd = upstream, .to_send = response, .to_receive = request, .send_seed = 2, .receive_seed = 1, .random = 4, .slow = slow_b};
    exchange(&a, &b);
    close(client);
    close(upstream);
    close(listener);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_destroy", 1);
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.downstream_cx_rx_bytes_total"), request);
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.downstream_cx_tx_bytes_total"), response);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_tx_bytes_total"), request);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_rx_bytes_total"), response);
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.downstream_cx_tx_bytes_buffered"), 0);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_tx_bytes_buffered"), 0);
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.downstream_flow_control_paused_reading_total"), rig_value(&rig, "tcp.tcp.downstream_flow_control_resumed_reading_total"));
    rig_end(&rig);
}

static uint64_t scaled(uint64_t bytes) { return test_is_slow() ? bytes / 8 : bytes; }

TEST_WITH_LIMIT(bytes_are_exact_both_ways_at_once, 40) { relay_exactly(1 << 20, scaled(40000000), scaled(30000000), 0, 0); }
TEST_WITH_LIMIT(bytes_are_exact_with_slow_readers, 40) { relay_exactly(1 << 20, scaled(20000000), scaled(20000000), 12, 13); }
TEST_WITH_LIMIT(bytes_are_exact_with_one_slow_reader_and_nothing_back, 40) { relay_exactly(1 << 20, scaled(40000000), 0, 0, 12); }
TEST_WITH_LIMIT(bytes_are_exact_with_a_tiny_buffer_limit, 40) { relay_exactly(7, 200000, 100000, 4, 4); }
TEST_WITH_LIMIT(bytes_are_exact_with_an_odd_buffer_limit, 40) { relay_exactly(40001, scaled(20000000), scaled(10000000), 6, 6); }

// Root may have pipes of any size; another user's new ones have one page once fs.pipe-user-pages-soft are used up.
TEST_WITH_LIMIT(bytes_are_exact_for_a_user_without_pipe_pages, 40) {
    enum { PIPES = 400 };
    if (geteuid() != 0) SKIP("needs root, to give it up");
    ASSERT_CALL(setresuid(65534, 65534, 65534));
    int fds[2], refused = 0;
    for (int i = 0; i < PIPES && refused == 0; i++) {
        ASSERT_CALL(pipe(fds));
        if (fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) < 0) refused = errno;
    }
    if (refused == 0) SKIP("%d pipes of 1 MiB are not too many here (fs.pipe-user-pages-soft)", PIPES);
    ASSERT_EQ(refused, EPERM);
    relay_exactly(1 << 20, scaled(40000000), scaled(30000000), 0, 6);
}

// An upstream that never reads: what the relay took in is bounded by its buffer limit and the kernel's socket buffers.
TEST(a_reader_that_stops_stops_the_sender) {
    struct rig rig;
    uint16_t port = 0;
    int listener = tcp_listen(&port, 16);
    static uint8_t zeros[65536];
    rig_begin(&rig, 1);
    rig_relay(&rig, port);
    rig_serve(&rig, true);
    int client = tcp_connect(rig_port(&rig, 0)), upstream = tcp_accept(listener);
    uint64_t sent = 0, unchanged_since = now_ms();
    while (now_ms() - unchanged_since < 300) {
        ssize_t n = send(client, zeros, sizeof zeros, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            sent += (uint64_t)n;
            unchanged_since = now_ms();
            if (sent > 200000000) FAIL("the sender was never stopped");
        } else {
            poll(NULL, 0, 5);
        }
    }
    int64_t buffered = rig_value(&rig, "cluster.up.upstream_cx_tx_bytes_buffered");
    ASSERT_GT(buffered, 0);
    ASSERT_LE(buffered, 1 << 20);
    ASSERT_EQ(buffered, rig_value(&rig, "tcp.tcp.downstream_cx_rx_bytes_total") - rig_value(&rig, "cluster.up.upstream_cx_tx_bytes_total"));
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.downstream_flow_control_paused_reading_total"), rig_value(&rig, "tcp.tcp.downstream_flow_control_resumed_reading_total") + 1);
    // The client gives up: nothing that is stuck may keep the connection alive.
    close_with_reset(client);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_active", 0);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_tx_bytes_buffered"), 0);
    close(upstream);
    close(listener);
    rig_end(&rig);
}

// One connection in bulk does not keep another waiting.
TEST(bulk_does_not_starve_small_messages) {
    struct rig rig;
    struct px_listener_spec spec = rig_listener_spec("echo", PX_FILTER_ECHO);
    static uint8_t bytes[1 << 20];
    rig_begin(&rig, 1);
    rig_listener(&rig, &spec, 0);
    rig_serve(&rig, true);
    int bulk = tcp_connect(rig_port(&rig, 0)), small = tcp_connect(rig_port(&rig, 0));
    uint64_t worst = 0, begin = now_ms();
    while (now_ms() - begin < 400) {
        for (int i = 0; i < 4; i++) {
            (void)send(bulk, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
            (void)recv(bulk, bytes, sizeof bytes, MSG_DONTWAIT);
        }
        uint64_t start = now_ms();
        expect_echo(small, "small");
        if (now_ms() - start > worst) worst = now_ms() - start;
    }
    ASSERT_LT(worst, test_is_slow() ? 2000 : 200);
    close(bulk);
    close(small);
    rig_end(&rig);
}

TEST_WITH_LIMIT(a_thousand_connections_at_once, 60) {
    struct rig rig;
    struct rlimit limit = {0};
    uint32_t count = 1000;
    static int fds[1000];
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < count * 4 + 100) SKIP("needs %u descriptors, the limit is %llu", count * 4 + 100, (unsigned long long)limit.rlim_cur);
    (void)px_log_fd();  // opened once and never closed
    int before = test_open_descriptors();
    rig_begin(&rig, 2);
    rig_relay(&rig, echo_upstream());
    rig_serve(&rig, true);
    for (uint32_t i = 0; i < count; i++) fds[i] = tcp_connect(rig_port(&rig, 0));
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < count; i++) send_all(fds[i], "ping", 4);
        for (uint32_t i = 0; i < count; i++) {
            char answer[4];
            receive_all(fds[i], answer, 4);
            ASSERT_MEM(answer, "ping", 4);
        }
    }
    ASSERT_EQ(px_engine_connections(rig.engine), count);
    rig_wait_value(&rig, "cluster.up.upstream_cx_rx_bytes_total", (int64_t)count * 12);
    for (uint32_t i = 0; i < count; i++) close(fds[i]);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_active", 0);
    ASSERT_EQ(rig_value(&rig, "listener.tcp.downstream_cx_total"), count);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy"), count);
    rig_end(&rig);
    uint64_t deadline = now_ms() + RIG_DEADLINE_MS;
    while (test_open_descriptors() > before + 1 && now_ms() < deadline) usleep(2000);  // the upstream's threads close theirs
    ASSERT_LE(test_open_descriptors(), before + 1);                                     // its listening socket stays
}
