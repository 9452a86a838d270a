// Listening sockets from one engine to the next: two engines in one process stand for two generations, with copies of the sockets
// passed as a link would pass them. The control block says who serves.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/rig.h"
#include "net/sock.h"

static px_control_block *control_block(uint64_t epoch) {
    struct px_detail detail;
    px_control_block *block = px_control_block_create(epoch, &detail);
    ASSERT_TRUE(block != NULL);
    return block;
}

static void begin_generation(struct rig *rig, uint32_t workers, uint64_t epoch, px_control_block *control) {
    rig_begin(rig, workers);
    rig->epoch = epoch;
    rig->control = control;
}

// The rig's loop knows the rig's address, so it is filled in place.
static void begin_echo(struct rig *rig, uint32_t workers, uint64_t epoch, px_control_block *control, bool reuse_port, uint16_t port) {
    struct px_listener_spec spec = rig_listener_spec("echo", PX_FILTER_ECHO);
    begin_generation(rig, workers, epoch, control);
    spec.reuse_port = reuse_port;
    rig_listener(rig, &spec, port);
}

static void take_over(struct rig *parent, struct rig *child, px_control_block *control) {
    rig_create(child);
    rig_pass_sockets(parent, child);
    ASSERT_TRUE(px_control_block_take(control, parent->epoch, child->epoch));
    rig_serve(child, false);
    px_engine_accept_stop(parent->engine);
    rig_wait(parent, PX_EVENT_ACCEPT_STOPPED);
}

static void use(uint16_t port, int times) {
    for (int i = 0; i < times; i++) {
        int fd = tcp_connect(port);
        expect_echo(fd, "hello");
        close(fd);
    }
}

// ---- workers and reuse_port change, nobody is lost -----------------------------------------------------------------------------

static void change(uint32_t workers_before, bool reuse_before, uint32_t workers_after, bool reuse_after) {
    struct rig parent, child;
    px_control_block *control = control_block(0);
    int pending[64];
    begin_echo(&parent, workers_before, 0, control, reuse_before, 0);
    rig_serve(&parent, true);
    uint16_t port = rig_port(&parent, 0);
    use(port, 20);
    int old = tcp_connect(port);
    expect_echo(old, "old");
    begin_echo(&child, workers_after, 1, control, reuse_after, 0);
    // Connections that arrive all through the take-over, spread over all sockets of the group by their source ports.
    rig_create(&child);
    rig_pass_sockets(&parent, &child);
    for (int i = 0; i < 20; i++) pending[i] = tcp_connect(port);
    ASSERT_TRUE(px_control_block_take(control, 0, 1));
    for (int i = 20; i < 40; i++) pending[i] = tcp_connect(port);
    rig_serve(&child, false);
    ASSERT_EQ(rig_port(&child, 0), port);
    for (int i = 40; i < 64; i++) pending[i] = tcp_connect(port);
    px_engine_accept_stop(parent.engine);
    rig_wait(&parent, PX_EVENT_ACCEPT_STOPPED);
    for (int i = 0; i < 64; i++) expect_echo(pending[i], "pending");
    expect_echo(old, "the old one goes on");
    use(port, 50);
    for (int i = 0; i < 64; i++) close(pending[i]);
    ASSERT_EQ(px_engine_connections(parent.engine) > 0, true);
    close(old);
    rig_wait(&parent, PX_EVENT_EMPTY);
    rig_end(&parent);
    use(port, 50);
    rig_end(&child);
    px_control_block_destroy(control);
}

TEST(restart_with_the_same_number_of_workers) { change(2, true, 2, true); }
TEST(restart_with_more_workers) { change(1, true, 4, true); }
TEST(restart_with_fewer_workers) { change(4, true, 1, true); }
TEST(restart_that_turns_reuse_port_on) { change(2, false, 3, true); }
TEST(restart_that_turns_reuse_port_off) { change(3, true, 2, false); }
TEST(restart_without_reuse_port) { change(1, false, 3, false); }

// A group of SO_REUSEPORT belongs to one user, and not even root joins another's: the parent makes the sockets that root's workers want.
TEST(root_follows_another_user_with_more_workers) {
    if (geteuid() != 0) SKIP("needs root to become another user");
    struct rig parent, child;
    struct px_detail detail = {0};
    struct px_addr addr;
    uint32_t count;
    int32_t fds[8];
    ASSERT_CALL(seteuid(65534));
    begin_echo(&parent, 1, 0, NULL, true, 0);
    rig_serve(&parent, true);
    uint16_t port = rig_port(&parent, 0);
    ASSERT_CALL(seteuid(0));
    ASSERT_OK(px_addr_from_ip("127.0.0.1", port, &addr));
    ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = addr, .reuse_port = true}, &detail), -EADDRINUSE);
    begin_echo(&child, 4, 1, NULL, true, port);
    rig_create(&child);
    struct px_socket_label label;
    int first = (int)ASSERT_OK(px_engine_socket(parent.engine, 0, &label));
    ASSERT_EQ(px_engine_offer_socket(child.engine, &label, fcntl(first, F_DUPFD_CLOEXEC, 0)), 1);
    ASSERT_TRUE(px_engine_next_wanting(child.engine, &addr, &count));
    ASSERT_EQ(count, 3);
    ASSERT_CALL(seteuid(65534));
    ASSERT_EQ(px_engine_make_sockets(parent.engine, &addr, count, fds), 3);
    ASSERT_CALL(seteuid(0));
    for (uint32_t i = 0; i < count; i++) ASSERT_OK(px_engine_adopt_extra(child.engine, &addr, fcntl(fds[i], F_DUPFD_CLOEXEC, 0)));
    rig_serve(&child, false);
    px_engine_accept_stop(parent.engine);
    rig_wait(&parent, PX_EVENT_ACCEPT_STOPPED);
    use(port, 50);
    ASSERT_EQ(px_engine_socket_count(child.engine), 4);
    rig_end(&parent);
    use(port, 50);
    rig_end(&child);
}

// ---- removed listeners ---------------------------------------------------------------------------------------------------------

// Clients keep coming while the workers find out, empty the queue and shut it down: each is served or refused, none reset.
TEST(removed_listener_serves_what_waits_and_then_refuses) {
    struct rig parent, child;
    px_control_block *control = control_block(0);
    struct px_listener_spec kept = rig_listener_spec("kept", PX_FILTER_ECHO), removed = rig_listener_spec("removed", PX_FILTER_ECHO);
    static int waiting[2000];
    int count = 0, result = 0;
    begin_generation(&parent, 2, 0, control);
    rig_listener(&parent, &kept, 0);
    rig_listener(&parent, &removed, 0);
    rig_serve(&parent, true);
    uint16_t kept_port = rig_port(&parent, 0), removed_port = rig_port(&parent, 1);
    begin_generation(&child, 2, 1, control);
    rig_listener(&child, &kept, 0);
    rig_create(&child);
    ASSERT_EQ(rig_pass_sockets(&parent, &child), 2);
    ASSERT_TRUE(px_control_block_take(control, 0, 1));
    px_engine_accept_stop(parent.engine);
    while (count < 2000 && (result = tcp_try_connect(removed_port)) >= 0) waiting[count++] = result;
    ASSERT_EQ(result, -ECONNREFUSED);
    rig_serve(&child, false);
    rig_wait(&parent, PX_EVENT_ACCEPT_STOPPED);
    for (int i = 0; i < count; i++) {
        expect_echo(waiting[i], "served");
        close(waiting[i]);
    }
    ASSERT_EQ(tcp_try_connect(removed_port), -ECONNREFUSED);
    use(kept_port, 5);
    rig_wait(&parent, PX_EVENT_EMPTY);
    rig_end(&parent);
    rig_end(&child);
    px_control_block_destroy(control);
}

static void unix_address(const char *path, struct sockaddr_un *out) {
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(out->sun_path, sizeof out->sun_path, "%s", path);
}

static int unix_connect(const char *path) {
    struct sockaddr_un addr;
    unix_address(path, &addr);
    int fd = (int)ASSERT_CALL(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void add_pipe(struct rig *rig, const char *name, const char *path) {
    struct px_listener_spec spec = rig_listener_spec(name, PX_FILTER_ECHO);
    struct px_addr addr;
    spec.inbound = true;
    uint32_t index = (uint32_t)ASSERT_OK(px_plan_add_listener(rig->plan, &spec));
    ASSERT_OK(px_addr_from_path(path, &addr));
    ASSERT_OK(px_plan_add_address(rig->plan, index, &addr, 0600));
}

// The child removes a TCP listener and a pipe, adds workers, takes over and dies: the parent serves all of it again.
TEST(rollback_brings_back_removed_listeners_and_adopts_the_childs_sockets) {
    struct rig parent, child;
    px_control_block *control = control_block(0);
    struct px_listener_spec kept = rig_listener_spec("kept", PX_FILTER_ECHO), removed = rig_listener_spec("removed", PX_FILTER_ECHO);
    char path[108];
    snprintf(path, sizeof path, "%s/pipe", test_directory());
    begin_generation(&parent, 2, 0, control);
    rig_listener(&parent, &kept, 0);
    rig_listener(&parent, &removed, 0);
    add_pipe(&parent, "pipe", path);
    rig_serve(&parent, true);
    uint16_t kept_port = rig_port(&parent, 0), removed_port = rig_port(&parent, 1);
    int fd = (int)ASSERT_OK(unix_connect(path));
    expect_echo(fd, "by pipe");
    close(fd);
    begin_generation(&child, 4, 1, control);
    rig_listener(&child, &kept, 0);
    take_over(&parent, &child, control);
    ASSERT_EQ(tcp_try_connect(removed_port), -ECONNREFUSED);
    ASSERT_EQ(unix_connect(path), -ECONNREFUSED);
    use(kept_port, 40);
    rig_wait(&parent, PX_EVENT_EMPTY);
    rig_end(&child);  // its copies of the sockets are closed with it, as if it had been killed
    int waiting[40];  // on all sockets, also those made for the child
    for (int i = 0; i < 40; i++) waiting[i] = tcp_connect(kept_port);
    ASSERT_TRUE(px_control_block_take(control, 1, 0));
    struct px_detail detail;
    ASSERT_OK(px_engine_accept_start(parent.engine, &detail));
    rig_wait(&parent, PX_EVENT_ACCEPT_STARTED);
    ASSERT_EQ(px_engine_socket_count(parent.engine), 2 + 2 + 2 + 1);
    for (int i = 0; i < 40; i++) {
        expect_echo(waiting[i], "rolled back");
        close(waiting[i]);
    }
    use(kept_port, 40);
    use(removed_port, 20);
    fd = (int)ASSERT_OK(unix_connect(path));
    expect_echo(fd, "by pipe again");
    close(fd);
    rig_end(&parent);
    px_control_block_destroy(control);
}

// A child that fails before it takes over leaves the parent as it was.
TEST(failed_child_changes_nothing) {
    struct rig parent, child;
    px_control_block *control = control_block(0);
    begin_echo(&parent, 1, 0, control, true, 0);
    rig_serve(&parent, true);
    uint16_t port = rig_port(&parent, 0);
    begin_echo(&child, 3, 1, control, true, 0);
    rig_create(&child);
    rig_pass_sockets(&parent, &child);
    rig_end(&child);
    int before = test_open_descriptors();
    px_engine_clear_marks(parent.engine);
    ASSERT_EQ(test_open_descriptors(), before - 2);  // the two it made for the child
    use(port, 50);
    rig_end(&parent);
    px_control_block_destroy(control);
}

static void expect_options(int fd, int segment, int buffer, int lock) {
    int values[3];
    const int names[3][2] = {{IPPROTO_TCP, TCP_MAXSEG}, {SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, 72 /* SO_BUF_LOCK */}};
    for (int i = 0; i < 3; i++) {
        socklen_t length = sizeof values[i];
        ASSERT_OK(getsockopt(fd, names[i][0], names[i][1], &values[i], &length));
    }
    ASSERT_EQ(values[0], segment);
    ASSERT_EQ(values[1], buffer);
    ASSERT_EQ(values[2], lock);
}

// Also what goes with them: a buffer of a given size no longer grows, until the lock that says so is gone.
TEST(options_that_a_failed_child_has_set_are_put_back) {
    struct rig parent;
    const struct px_option_name names[] = {{IPPROTO_TCP, TCP_MAXSEG}, {SOL_SOCKET, SO_RCVBUF}};
    struct px_option_name too_many[PX_OPTION_NAMES_MAX + 1] = {{0}};
    struct px_socket_label label;
    int segment = 1000, buffer = 50000;
    begin_echo(&parent, 1, 0, NULL, true, 0);
    rig_serve(&parent, true);
    int fd = (int)ASSERT_OK(px_engine_socket(parent.engine, 0, &label)), size;
    socklen_t length = sizeof size;
    ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length));
    for (int child = 0; child < 2; child++) {
        ASSERT_OK(px_engine_remember_options(parent.engine, names, 2));
        ASSERT_OK(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment));
        ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer));
        expect_options(fd, segment, 2 * buffer, 2);
        px_engine_clear_marks(parent.engine);
        expect_options(fd, 536, size, 0);
    }
    px_engine_clear_marks(parent.engine);
    ASSERT_EQ(px_engine_remember_options(parent.engine, too_many, PX_OPTION_NAMES_MAX + 1), -E2BIG);
    use(rig_port(&parent, 0), 3);
    rig_end(&parent);
}

// ---- who serves ----------------------------------------------------------------------------------------------------------------

TEST(worker_that_finds_another_generation_serving_stops_and_says_so_once) {
    struct rig rig;
    px_control_block *control = control_block(0);
    begin_echo(&rig, 2, 0, control, true, 0);
    rig_serve(&rig, true);
    uint16_t port = rig_port(&rig, 0);
    use(port, 4);
    ASSERT_TRUE(px_control_block_take(control, 0, 1));
    int fds[16];
    for (int i = 0; i < 16; i++) fds[i] = tcp_connect(port);
    rig_wait(&rig, PX_EVENT_LOST_SERVICE);
    for (int i = 0; i < 20; i++) rig_turn(&rig, 5);
    ASSERT_EQ(rig.events[PX_EVENT_LOST_SERVICE], 0);
    ASSERT_EQ(px_engine_connections(rig.engine), 0);
    // They wait in the queue, and are served when the word comes back.
    struct px_detail detail;
    ASSERT_TRUE(px_control_block_take(control, 1, 0));
    ASSERT_OK(px_engine_accept_start(rig.engine, &detail));
    rig_wait(&rig, PX_EVENT_ACCEPT_STARTED);
    for (int i = 0; i < 16; i++) {
        expect_echo(fds[i], "late");
        close(fds[i]);
    }
    rig_end(&rig);
    px_control_block_destroy(control);
}

// ---- the rest of the face --------------------------------------------------------------------------------------------------------

TEST(close_all_counts_and_empties) {
    struct rig rig;
    int fds[30];
    begin_echo(&rig, 2, 0, NULL, true, 0);
    rig_serve(&rig, true);
    for (int i = 0; i < 30; i++) {
        fds[i] = tcp_connect(rig_port(&rig, 0));
        expect_echo(fds[i], "open");
    }
    char name[32];
    uint64_t age;
    ASSERT_TRUE(px_engine_oldest(rig.engine, &age, name, sizeof name));
    ASSERT_STR(name, "echo");
    ASSERT_LT(age, 5000);
    px_engine_accept_stop(rig.engine);
    rig_wait(&rig, PX_EVENT_ACCEPT_STOPPED);
    px_engine_close_all(rig.engine);
    rig_wait(&rig, PX_EVENT_CLOSED_ALL);
    ASSERT_EQ(rig.last_count, 30);
    rig_wait(&rig, PX_EVENT_EMPTY);
    ASSERT_FALSE(px_engine_oldest(rig.engine, &age, name, sizeof name));
    for (int i = 0; i < 30; i++) {
        expect_end(fds[i]);
        close(fds[i]);
    }
    ASSERT_EQ(rig_value(&rig, "listener.echo.downstream_cx_active"), 0);
    rig_end(&rig);
}

TEST(drain_listeners_refuses_inbound_ones_only) {
    struct rig rig;
    struct px_listener_spec in = rig_listener_spec("in", PX_FILTER_ECHO), out = rig_listener_spec("out", PX_FILTER_ECHO);
    rig_begin(&rig, 2);
    in.inbound = true;
    rig_listener(&rig, &in, 0);
    rig_listener(&rig, &out, 0);
    rig_serve(&rig, true);
    int fd = tcp_connect(rig_port(&rig, 0));
    expect_echo(fd, "before");
    px_engine_drain_listeners(rig.engine, true);
    uint64_t deadline = now_ms() + RIG_DEADLINE_MS;
    int refused = 0;
    while (refused != -ECONNREFUSED && now_ms() < deadline) {
        refused = tcp_try_connect(rig_port(&rig, 0));
        if (refused >= 0) close(refused);
    }
    ASSERT_EQ(refused, -ECONNREFUSED);
    expect_echo(fd, "the open one goes on");
    use(rig_port(&rig, 1), 10);
    close(fd);
    rig_end(&rig);
}

TEST(listener_without_a_port_has_no_socket) {
    struct rig rig;
    struct px_listener_spec spec = rig_listener_spec("virtual", PX_FILTER_ECHO);
    struct px_addr addr;
    rig_begin(&rig, 1);
    spec.bind_to_port = false;
    rig_listener(&rig, &spec, 22100);
    rig_serve(&rig, true);
    ASSERT_EQ(px_engine_socket_count(rig.engine), 0);
    ASSERT_EQ(px_engine_listener_address(rig.engine, 0, 0, &addr), -ENOENT);
    ASSERT_EQ(tcp_try_connect(22100), -ECONNREFUSED);
    rig_end(&rig);
}

TEST(cold_start_beside_a_reuse_port_server_is_refused) {
    struct rig first, second;
    struct px_detail detail = {0};
    begin_echo(&first, 1, 0, NULL, true, 0);
    rig_serve(&first, true);
    begin_echo(&second, 1, 0, NULL, true, rig_port(&first, 0));
    rig_create(&second);
    ASSERT_EQ(px_engine_open_sockets(second.engine, true, &detail), -EADDRINUSE);
    rig_end(&second);
    rig_end(&first);
}

// Descriptors run out: accepting rests, and goes on when there are some again.
// Take all descriptors but one, for the client's end of the next connection.
static int hoard_descriptors(int hoard[4096]) {
    int held = 0;
    struct rlimit limit;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 256;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    while (held < 4096 && (hoard[held] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0) held++;
    ASSERT_GT(held, 0);
    close(hoard[--held]);
    return held;
}

TEST(accepting_rests_while_there_are_no_descriptors) {
    struct rig rig;
    int hoard[4096];
    begin_echo(&rig, 1, 0, NULL, true, 0);
    rig_serve(&rig, true);
    int fd = tcp_connect(rig_port(&rig, 0));
    expect_echo(fd, "before");
    int held = hoard_descriptors(hoard);
    int late = tcp_connect(rig_port(&rig, 0));
    rig_wait_value(&rig, "listener.echo.downstream_accept_paused", 1);
    expect_echo(fd, "the open one is served meanwhile");
    while (held > 0) close(hoard[--held]);
    expect_echo(late, "late but served");
    close(fd);
    close(late);
    rig_end(&rig);
}

// Drained at a moment without descriptors: what waits in the queue waits on.
TEST(pipe_that_is_drained_without_descriptors_serves_what_waits) {
    struct rig rig;
    int hoard[4096];
    char path[108];
    snprintf(path, sizeof path, "%s/pipe", test_directory());
    rig_begin(&rig, 1);
    add_pipe(&rig, "pipe", path);
    rig_serve(&rig, true);
    int held = hoard_descriptors(hoard);
    int late = (int)ASSERT_OK(unix_connect(path));
    rig_wait_value(&rig, "listener.pipe.downstream_accept_paused", 1);
    px_engine_drain_listeners(rig.engine, false);
    rig_turn(&rig, 100);  // the worker shuts the pipe down and tries to empty it
    while (held > 0) close(hoard[--held]);
    expect_echo(late, "late but served");
    close(late);
    rig_wait(&rig, PX_EVENT_ACCEPT_STOPPED);
    rig_end(&rig);
}

// ---- addresses that get into each other's way ------------------------------------------------------------------------------------

static uint32_t add_address(struct rig *rig, const char *name, const char *ip, uint16_t port, bool reuse_port) {
    struct px_listener_spec spec = rig_listener_spec(name, PX_FILTER_ECHO);
    struct px_addr addr;
    spec.reuse_port = reuse_port;
    uint32_t index = (uint32_t)ASSERT_OK(px_plan_add_listener(rig->plan, &spec));
    ASSERT_OK(px_addr_from_ip(ip, port, &addr));
    ASSERT_OK(px_plan_add_address(rig->plan, index, &addr, 0));
    return index;
}

static void replace_address(const char *before, bool reuse_before, const char *after, bool reuse_after) {
    struct rig parent, child;
    px_control_block *control = control_block(0);
    begin_generation(&parent, 2, 0, control);
    add_address(&parent, "listener", before, 0, reuse_before);
    rig_serve(&parent, true);
    uint16_t port = rig_port(&parent, 0);
    use(port, 5);
    begin_generation(&child, 2, 1, control);
    add_address(&child, "listener", after, port, reuse_after);
    rig_create(&child);
    ASSERT_EQ(rig_pass_sockets(&parent, &child), 0);
    ASSERT_TRUE(px_control_block_take(control, 0, 1));
    rig_serve(&child, false);
    px_engine_accept_stop(parent.engine);
    use(port, 20);  // while the parent empties and closes its own
    rig_wait(&parent, PX_EVENT_ACCEPT_STOPPED);
    use(port, 20);
    ASSERT_EQ(rig_value(&child, "listener.listener.downstream_cx_total") > 0, true);
    rig_wait(&parent, PX_EVENT_EMPTY);
    rig_end(&parent);
    use(port, 5);
    rig_end(&child);
    px_control_block_destroy(control);
}

TEST(restart_from_wildcard_to_specific_address) { replace_address("0.0.0.0", true, "127.0.0.1", true); }
TEST(restart_from_specific_address_to_wildcard) { replace_address("127.0.0.1", true, "0.0.0.0", true); }
TEST(restart_from_wildcard_without_reuse_port_to_specific_address) { replace_address("0.0.0.0", false, "127.0.0.1", false); }

TEST(restart_with_ipv6_and_many_addresses) {
    struct rig parent, child;
    px_control_block *control = control_block(0);
    char name[16];
    struct px_detail detail = {0};
    begin_generation(&parent, 2, 0, control);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "l%d", i);
        add_address(&parent, name, i % 2 ? "::1" : "127.0.0.1", 0, true);
    }
    rig_create(&parent);
    if (px_engine_open_sockets(parent.engine, true, &detail) == -EADDRNOTAVAIL) SKIP("no IPv6 on this machine");
    rig_serve(&parent, false);
    ASSERT_EQ(px_engine_socket_count(parent.engine), 200);
    begin_generation(&child, 2, 1, control);
    for (int i = 0; i < 100; i++) {  // port 0 again: each keeps the port it had, by name
        snprintf(name, sizeof name, "l%d", i);
        add_address(&child, name, i % 2 ? "::1" : "127.0.0.1", 0, true);
    }
    take_over(&parent, &child, control);
    ASSERT_EQ(px_engine_socket_count(child.engine), 200);
    for (uint32_t i = 0; i < 100; i++) ASSERT_EQ(rig_port(&child, i), rig_port(&parent, i));
    for (uint32_t i = 0; i < 100; i += 2) use(rig_port(&child, i), 1);
    rig_end(&parent);
    rig_end(&child);
    px_control_block_destroy(control);
}

TEST(pipe_moves_to_the_next_generation) {
    struct rig parent, child;
    px_control_block *control = control_block(0);
    char path[108];
    int fd;
    snprintf(path, sizeof path, "%s/pipe", test_directory());
    begin_generation(&parent, 2, 0, control);
    add_pipe(&parent, "pipe", path);
    rig_serve(&parent, true);
    fd = (int)ASSERT_OK(unix_connect(path));
    expect_echo(fd, "parent");
    begin_generation(&child, 3, 1, control);
    add_pipe(&child, "pipe", path);
    take_over(&parent, &child, control);
    for (int i = 0; i < 20; i++) {
        int other = (int)ASSERT_OK(unix_connect(path));
        expect_echo(other, "child");
        close(other);
    }
    expect_echo(fd, "parent still");
    close(fd);
    rig_wait(&parent, PX_EVENT_EMPTY);
    rig_end(&parent);
    rig_end(&child);
    px_control_block_destroy(control);
}

static void add_socket_events(const struct px_stat *stat, void *context) {
    bool is_pipe = strncmp(stat->name, "listener.pipe", 13) == 0 && strstr(stat->name, "accepted_per_socket_event");
    if (is_pipe) *(uint64_t *)context += stat->histogram_count;
}

// All workers accept from one socket of a pipe. Those that did not empty it must let go of it too: a Unix socket that was shut down
// is readable for ever, and a worker that goes on with other listeners would turn for nothing.
TEST(pipes_that_are_drained_beside_other_listeners_are_left_alone) {
    enum { PIPES = 20, WORKERS = 4 };
    struct rig rig;
    char names[PIPES][16], paths[PIPES][108];
    struct px_listener_spec out = rig_listener_spec("out", PX_FILTER_ECHO);
    rig_begin(&rig, WORKERS);
    uint32_t index = rig_listener(&rig, &out, 0);
    for (int i = 0; i < PIPES; i++) {
        snprintf(names[i], sizeof names[i], "pipe%d", i);
        snprintf(paths[i], sizeof paths[i], "%s/%d", test_directory(), i);
        add_pipe(&rig, names[i], paths[i]);
    }
    rig_serve(&rig, true);
    px_engine_drain_listeners(rig.engine, true);
    uint64_t deadline = now_ms() + RIG_DEADLINE_MS, events = 0;
    for (int i = 0; i < PIPES;) {
        int fd = unix_connect(paths[i]);
        if (fd == -ECONNREFUSED) i++;
        else if (now_ms() > deadline) FAIL("%s still accepts after %d ms", names[i], RIG_DEADLINE_MS);
        if (fd >= 0) close(fd);
    }
    use(rig_port(&rig, index), 200);
    px_stats_reader_collect(rig.reader, add_socket_events, &events);
    ASSERT_LT(events, PIPES * 50);
    rig_end(&rig);
}

// ---- in the middle of things -----------------------------------------------------------------------------------------------------

// The child dies while the parent is still emptying what the child removed: the parent goes back without waiting for it.
TEST(rollback_in_the_middle_of_emptying) {
    struct rig rig;
    struct px_detail detail;
    px_control_block *control = control_block(0);
    begin_echo(&rig, 3, 0, control, true, 0);
    rig_serve(&rig, true);
    uint16_t port = rig_port(&rig, 0);
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < px_engine_socket_count(rig.engine); i++) px_engine_mark_removed(rig.engine, i);
        px_engine_accept_stop(rig.engine);
        if (round % 2) rig_turn(&rig, 5);
        ASSERT_OK(px_engine_accept_start(rig.engine, &detail));
        rig_wait(&rig, PX_EVENT_ACCEPT_STARTED);
        use(port, 6);
    }
    ASSERT_EQ(rig.events[PX_EVENT_ACCEPT_STOPPED], 0);
    rig_end(&rig);
    px_control_block_destroy(control);
}

TEST(engine_ends_with_connections_open_and_listeners_half_emptied) {
    struct rig rig;
    int fds[20];
    begin_echo(&rig, 2, 0, NULL, true, 0);
    rig_serve(&rig, true);
    for (int i = 0; i < 20; i++) {
        fds[i] = tcp_connect(rig_port(&rig, 0));
        if (i % 2) expect_echo(fds[i], "open");
    }
    for (uint32_t i = 0; i < px_engine_socket_count(rig.engine); i++) px_engine_mark_removed(rig.engine, i);
    px_engine_accept_stop(rig.engine);
    rig_end(&rig);
    for (int i = 0; i < 20; i++) close(fds[i]);
}

static void end_on_stopped(const struct px_event *event, void *context) {
    px_engine **engine = context;
    if (event->kind != PX_EVENT_ACCEPT_STOPPED) return;
    px_engine_destroy(*engine);
    *engine = NULL;
}

TEST(engine_may_be_destroyed_in_its_own_event) {
    struct rig rig;
    struct px_detail detail;
    px_engine *engine = NULL;
    px_mainloop *loop = px_mainloop_create(end_on_stopped, &engine, &detail);
    begin_echo(&rig, 2, 0, NULL, true, 0);
    px_mainloop *own = rig.loop;
    rig.loop = loop;
    rig_create(&rig);
    engine = rig.engine;
    rig.engine = NULL;
    ASSERT_OK(px_engine_open_sockets(engine, true, &detail));
    ASSERT_OK(px_engine_start(engine, &detail));
    ASSERT_OK(px_engine_listen(engine, &detail));
    ASSERT_OK(px_engine_accept_start(engine, &detail));
    px_engine_accept_stop(engine);
    uint64_t deadline = now_ms() + RIG_DEADLINE_MS;
    while (engine && now_ms() < deadline) ASSERT_OK(px_mainloop_turn(loop, 100));
    ASSERT_TRUE(engine == NULL);
    ASSERT_OK(px_mainloop_turn(loop, 10));
    px_mainloop_destroy(own);
    rig_end(&rig);
}
