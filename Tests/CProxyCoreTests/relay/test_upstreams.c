// What a tcp_proxy does when its upstream does not answer, refuses, is full or is missing; and its time limits.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/rig.h"

// A port where nobody listens; a bound socket keeps it so.
static uint16_t refusing_port(void) {
    uint16_t port = 0;
    int fd = tcp_listen(&port, 1);
    shutdown(fd, SHUT_RD);
    return port;
}

// A port whose accept queue is full: the kernel drops further SYNs without an answer.
static uint16_t silent_port(void) {
    uint16_t port = 0;
    int listener = tcp_listen(&port, 0);
    (void)listener;
    for (int i = 0; i < 8; i++) {
        int fd = tcp_connect_no_wait(port);
        (void)fd;
    }
    return port;
}

static void read_log(const char *path, char *text, size_t size) {
    uint64_t deadline = now_ms() + RIG_DEADLINE_MS;
    size_t length = 0;
    while (length == 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, size - 1) : 0;
        if (fd >= 0) close(fd);
        length = n > 0 ? (size_t)n : 0;
        if (now_ms() > deadline) FAIL("no access-log line in %d ms", RIG_DEADLINE_MS);
        if (length == 0) usleep(2000);
    }
    text[length] = '\0';
}

// A relay whose access log has "flags|details|attempts|reason" in one line.
static const char *add_log(struct rig *rig, uint32_t listener) {
    static char path[512];
    const struct px_log_op ops[] = {
        {.kind = PX_LOG_RESPONSE_FLAGS}, {.kind = PX_LOG_LITERAL, .text = "|"}, {.kind = PX_LOG_TERMINATION_DETAILS},
        {.kind = PX_LOG_LITERAL, .text = "|"}, {.kind = PX_LOG_UPSTREAM_ATTEMPTS}, {.kind = PX_LOG_LITERAL, .text = "|"},
        {.kind = PX_LOG_UPSTREAM_FAILURE_REASON}, {.kind = PX_LOG_LITERAL, .text = "\n"},
    };
    snprintf(path, sizeof path, "%s/access.log", test_directory());
    uint32_t log = (uint32_t)ASSERT_OK(px_plan_add_access_log(rig->plan, path, ops, sizeof ops / sizeof *ops));
    ASSERT_OK(px_plan_attach_access_log(rig->plan, listener, log));
    return path;
}

struct relay {
    struct px_listener_spec listener;
    struct px_cluster_spec cluster;
    uint16_t ports[3];
    uint32_t port_count;
};

static struct relay relay_to(uint16_t port) {
    return (struct relay){rig_listener_spec("tcp", PX_FILTER_TCP_PROXY), rig_cluster_spec("up"), {port}, 1};
}

static const char *serve(struct rig *rig, const struct relay *relay) {
    rig_begin(rig, 1);
    uint32_t up = rig_cluster(rig, &relay->cluster), listener = rig_listener(rig, &relay->listener, 0);
    for (uint32_t i = 0; i < relay->port_count; i++) rig_endpoint(rig, up, relay->ports[i]);
    ASSERT_OK(px_plan_add_target(rig->plan, listener, (int32_t)up, 1));
    const char *path = add_log(rig, listener);
    rig_serve(rig, true);
    return path;
}

TEST(refused_upstream_ends_the_connection_and_is_told) {
    struct rig rig;
    char line[512];
    struct relay relay = relay_to(refusing_port());
    const char *log = serve(&rig, &relay);
    int fd = tcp_connect(rig_port(&rig, 0));
    expect_end(fd);
    close(fd);
    read_log(log, line, sizeof line);
    ASSERT_CONTAINS(line, "UF,URX|");
    ASSERT_CONTAINS(line, "|1|delayed_connect_error:_Connection_refused");
    rig_wait_value(&rig, "listener.tcp.downstream_cx_destroy", 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_connect_fail"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_connect_attempts_exceeded"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_total"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_active"), 0);
    rig_end(&rig);
}

// What this process lacks is not the upstream's fault, and the log says what to do about it.
TEST(no_descriptor_for_the_upstream_is_told_and_counted) {
    struct rig rig;
    int hoard[256], held = 0;
    struct px_log_record record = {0};
    struct rlimit limit;
    struct relay relay = relay_to(echo_upstream());
    serve(&rig, &relay);
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 256;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    while ((hoard[held] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0) held++;
    close(hoard[--held]);  // for the client's end
    close(hoard[--held]);  // and the proxy's
    int fd = tcp_connect(rig_port(&rig, 0));
    expect_end(fd);
    while (held > 0) close(hoard[--held]);
    while (!strstr(record.text, "cannot connect to")) ASSERT_TRUE(px_log_take(&record));
    ASSERT_CONTAINS(record.text, "cluster up: ");
    ASSERT_CONTAINS(record.text, "Too many open files");
    ASSERT_CONTAINS(record.text, "raise the descriptor limit");
    rig_wait_value(&rig, "cluster.up.upstream_cx_connect_fail", 1);
    close(fd);
    rig_end(&rig);
}

TEST(next_endpoint_serves_when_the_first_refuses) {
    struct rig rig;
    struct relay relay = relay_to(refusing_port());
    relay.ports[1] = echo_upstream();
    relay.port_count = 2;
    relay.listener.max_connect_attempts = 2;
    serve(&rig, &relay);
    for (int i = 0; i < 6; i++) {
        int fd = tcp_connect(rig_port(&rig, 0));
        expect_echo(fd, "found");
        close(fd);
    }
    rig_wait_value(&rig, "listener.tcp.downstream_cx_destroy", 6);
    ASSERT_GT(rig_value(&rig, "cluster.up.upstream_cx_connect_fail"), 0);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_total"), 6 + rig_value(&rig, "cluster.up.upstream_cx_connect_fail"));
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_connect_attempts_exceeded"), 0);
    rig_end(&rig);
}

TEST(silent_upstream_times_out) {
    struct rig rig;
    char line[512];
    struct relay relay = relay_to(silent_port());
    relay.cluster.connect_timeout_ms = 150;
    const char *log = serve(&rig, &relay);
    uint64_t begin = now_ms();
    int fd = tcp_connect(rig_port(&rig, 0));
    expect_end(fd);
    ASSERT_GE(now_ms() - begin, 150);
    ASSERT_LT(now_ms() - begin, 1500);
    close(fd);
    read_log(log, line, sizeof line);
    ASSERT_CONTAINS(line, "UF,URX|");
    ASSERT_CONTAINS(line, "|connection_timeout");
    rig_wait_value(&rig, "listener.tcp.downstream_cx_destroy", 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_connect_timeout"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_connect_fail"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy_local"), 1);
    rig_end(&rig);
}

TEST(client_that_resets_while_connecting_frees_the_upstream) {
    struct rig rig;
    char line[512];
    struct relay relay = relay_to(silent_port());
    const char *log = serve(&rig, &relay);
    int fd = tcp_connect(rig_port(&rig, 0));
    rig_wait_value(&rig, "cluster.up.upstream_cx_active", 1);
    close_with_reset(fd);
    rig_wait_value(&rig, "cluster.up.upstream_cx_active", 0);
    read_log(log, line, sizeof line);
    ASSERT_CONTAINS(line, "DC|");
    rig_end(&rig);
}

TEST(no_route_and_no_endpoint_are_told_apart) {
    struct rig rig;
    char line[512];
    struct px_listener_spec lost = rig_listener_spec("lost", PX_FILTER_TCP_PROXY), hollow = rig_listener_spec("hollow", PX_FILTER_TCP_PROXY);
    struct px_cluster_spec cluster = rig_cluster_spec("up");
    rig_begin(&rig, 1);
    uint32_t up = rig_cluster(&rig, &cluster);
    ASSERT_OK(px_plan_add_target(rig.plan, rig_listener(&rig, &lost, 0), -1, 1));
    ASSERT_OK(px_plan_add_target(rig.plan, rig_listener(&rig, &hollow, 0), (int32_t)up, 1));
    const char *log = add_log(&rig, 1);
    rig_serve(&rig, true);
    int fd = tcp_connect(rig_port(&rig, 0));
    expect_end(fd);
    close(fd);
    rig_wait_value(&rig, "tcp.lost.downstream_cx_no_route", 1);
    fd = tcp_connect(rig_port(&rig, 1));
    expect_end(fd);
    close(fd);
    read_log(log, line, sizeof line);
    ASSERT_CONTAINS(line, "UH|");
    rig_wait_value(&rig, "cluster.up.upstream_cx_none_healthy", 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_total"), 0);
    rig_end(&rig);
}

TEST(circuit_breaker_refuses_above_its_limit_and_recovers) {
    struct rig rig;
    struct relay relay = relay_to(echo_upstream());
    relay.cluster.max_connections = 2;
    serve(&rig, &relay);
    int a = tcp_connect(rig_port(&rig, 0)), b = tcp_connect(rig_port(&rig, 0));
    expect_echo(a, "a");
    expect_echo(b, "b");
    int c = tcp_connect(rig_port(&rig, 0));
    expect_end(c);
    close(c);
    rig_wait_value(&rig, "cluster.up.upstream_cx_overflow", 1);
    close(a);
    rig_wait_value(&rig, "cluster.up.upstream_cx_active", 1);
    c = tcp_connect(rig_port(&rig, 0));
    expect_echo(c, "c");
    close(b);
    close(c);
    rig_wait_value(&rig, "cluster.up.upstream_cx_active", 0);
    rig_end(&rig);
}

TEST(idle_connections_end_and_busy_ones_do_not) {
    struct rig rig;
    char line[512];
    struct relay relay = relay_to(echo_upstream());
    relay.listener.idle_timeout_ms = 200;
    const char *log = serve(&rig, &relay);
    int fd = tcp_connect(rig_port(&rig, 0));
    uint64_t begin = now_ms(), last = begin;
    while (now_ms() - begin < 500) {  // five times the time-out would be up, were it not for this
        last = now_ms();
        expect_echo(fd, "still here");
        usleep(20000);
    }
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.idle_timeout"), 0);
    begin = now_ms();
    expect_end(fd);
    ASSERT_GE(now_ms() - last, 200);
    ASSERT_LT(now_ms() - begin, 1500);
    close(fd);
    read_log(log, line, sizeof line);
    ASSERT_CONTAINS(line, "SI|tcp_session_idle_timeout|1|");
    rig_wait_value(&rig, "tcp.tcp.idle_timeout", 1);
    rig_end(&rig);
}

TEST(connections_end_at_their_maximum_duration) {
    struct rig rig;
    char line[512];
    struct relay relay = relay_to(echo_upstream());
    relay.listener.max_duration_ms = 200;
    const char *log = serve(&rig, &relay);
    int fd = tcp_connect(rig_port(&rig, 0));
    uint64_t begin = now_ms();
    expect_echo(fd, "early");
    expect_end(fd);
    ASSERT_GE(now_ms() - begin, 190);
    close(fd);
    read_log(log, line, sizeof line);
    ASSERT_CONTAINS(line, "DT|max_connection_duration_reached|1|");
    rig_wait_value(&rig, "tcp.tcp.max_downstream_connection_duration", 1);
    rig_end(&rig);
}

TEST(listener_limit_closes_what_is_above_it) {
    struct rig rig;
    struct relay relay = relay_to(echo_upstream());
    relay.listener.connection_limit = 2;
    serve(&rig, &relay);
    int a = tcp_connect(rig_port(&rig, 0)), b = tcp_connect(rig_port(&rig, 0));
    expect_echo(a, "a");
    expect_echo(b, "b");
    int c = tcp_connect(rig_port(&rig, 0));
    expect_end(c);
    close(c);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_overflow", 1);
    ASSERT_EQ(rig_value(&rig, "listener.tcp.downstream_cx_total"), 2);
    close(a);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_active", 1);
    c = tcp_connect(rig_port(&rig, 0));
    expect_echo(c, "c");
    close(b);
    close(c);
    rig_end(&rig);
}

TEST(global_limit_counts_over_listeners) {
    struct rig rig;
    struct px_listener_spec one = rig_listener_spec("one", PX_FILTER_ECHO), two = rig_listener_spec("two", PX_FILTER_ECHO);
    rig_begin(&rig, 2);
    rig_listener(&rig, &one, 0);
    rig_listener(&rig, &two, 0);
    px_plan_set_global_connection_limit(rig.plan, 1);
    rig_serve(&rig, true);
    int a = tcp_connect(rig_port(&rig, 0));
    expect_echo(a, "a");
    int b = tcp_connect(rig_port(&rig, 1));
    expect_end(b);
    close(b);
    rig_wait_value(&rig, "listener.two.downstream_global_cx_overflow", 1);
    close(a);
    rig_wait_value(&rig, "listener.one.downstream_cx_active", 0);
    b = tcp_connect(rig_port(&rig, 1));
    expect_echo(b, "b");
    close(b);
    rig_end(&rig);
}
