// Sockets against the real kernel: what binding, probing, connecting and their failures look like from outside.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/sock.h"
#include "test.h"

static struct px_addr ip(const char *text, uint16_t port) {
    struct px_addr addr;
    ASSERT_OK(px_addr_from_ip(text, port, &addr));
    return addr;
}

static struct px_addr pipe_at(const char *path) {
    struct px_addr addr;
    ASSERT_OK(px_addr_from_path(path, &addr));
    return addr;
}

static const char *path_in_directory(const char *name) {
    static char paths[4][108];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", test_directory(), name);
    return path;
}

static int bind_to(struct px_addr addr) {
    struct px_detail detail = {0};
    int fd = px_sock_bind(&(struct px_bind_spec){.addr = addr}, &detail);
    if (fd < 0) FAIL("bind %s: %s %s", detail.object, px_error_name(fd), detail.text);
    return fd;
}

static int listen_on(struct px_addr addr) {
    int fd = bind_to(addr);
    ASSERT_OK(px_sock_listen(fd, 0, NULL, 0, NULL));
    return fd;
}

static struct px_addr bound(int fd) {
    struct px_addr addr;
    ASSERT_OK(px_addr_of_socket(fd, &addr));
    return addr;
}

// 0 or -errno of a connect that is waited for.
static int connect_to(const struct px_addr *addr) {
    bool connected;
    struct px_keepalive none = {0};
    int fd = px_sock_connect(addr, &none, &connected);
    if (fd < 0) return fd;
    if (!connected) WAIT_FD(fd, POLLOUT, 2000, "connect");
    int result = px_sock_error(fd);
    close(fd);
    return result;
}

static int option_int(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    ASSERT_CALL(getsockopt(fd, level, name, &value, &length));
    return value;
}

static void assert_holder_is_us(const struct px_detail *detail) {
    char pid[32];
    snprintf(pid, sizeof pid, "pid %d ", (int)getpid());
    ASSERT_CONTAINS(detail->text, pid);
}

TEST(sock_bind_leaves_listening_to_later) {
    int fd = bind_to(ip("127.0.0.1", 0));
    struct px_addr addr = bound(fd);
    ASSERT_EQ(px_sock_is_listening(fd), 0);
    ASSERT_EQ(connect_to(&addr), -ECONNREFUSED);
    ASSERT_OK(px_sock_listen(fd, 0, NULL, 0, NULL));
    ASSERT_EQ(px_sock_is_listening(fd), 1);
    ASSERT_EQ(connect_to(&addr), 0);
    ASSERT_CALL(shutdown(fd, SHUT_RD));
    ASSERT_EQ(connect_to(&addr), -ECONNREFUSED);
    ASSERT_OK(px_sock_listen(fd, 0, NULL, 0, NULL));
    ASSERT_EQ(connect_to(&addr), 0);
}

TEST(sock_descriptors_are_nonblocking_and_closed_on_exec) {
    int fd = listen_on(ip("127.0.0.1", 0));
    struct px_addr addr = bound(fd);
    bool connected;
    int client = (int)ASSERT_OK(px_sock_connect(&addr, &(struct px_keepalive){0}, &connected));
    int both[2] = {fd, client};
    for (int i = 0; i < 2; i++) {
        ASSERT_TRUE(fcntl(both[i], F_GETFL) & O_NONBLOCK);
        ASSERT_TRUE(fcntl(both[i], F_GETFD) & FD_CLOEXEC);
    }
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_OK(px_sock_adopt_flags(plain));
    ASSERT_TRUE(fcntl(plain, F_GETFL) & O_NONBLOCK);
    ASSERT_TRUE(fcntl(plain, F_GETFD) & FD_CLOEXEC);
}

TEST(sock_ipv6_wildcard_leaves_ipv4_free_unless_compat) {
    int six = bind_to(ip("::", 0));
    uint16_t port = px_addr_port(&(struct px_addr[]){bound(six)}[0]);
    ASSERT_OK(px_sock_listen(six, 0, NULL, 0, NULL));
    int four = listen_on(ip("0.0.0.0", port));
    close(four);
    close(six);
    six = (int)ASSERT_OK(px_sock_bind(&(struct px_bind_spec){.addr = ip("::", port), .ipv4_compat = true}, NULL));
    ASSERT_OK(px_sock_listen(six, 0, NULL, 0, NULL));
    struct px_detail detail;
    ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = ip("0.0.0.0", port)}, &detail), -EADDRINUSE);
    assert_holder_is_us(&detail);
}

TEST(sock_reuse_port_lets_several_bind_and_only_then) {
    struct px_bind_spec spec = {.addr = ip("127.0.0.1", 0), .reuse_port = true};
    int first = (int)ASSERT_OK(px_sock_bind(&spec, NULL));
    spec.addr = bound(first);
    ASSERT_OK(px_sock_listen(first, 0, NULL, 0, NULL));
    int second = (int)ASSERT_OK(px_sock_bind(&spec, NULL));
    ASSERT_OK(px_sock_listen(second, 0, NULL, 0, NULL));
    spec.reuse_port = false;
    struct px_detail detail;
    ASSERT_EQ(px_sock_bind(&spec, &detail), -EADDRINUSE);
    ASSERT_STR(detail.call, "bind");
    assert_holder_is_us(&detail);
}

TEST(sock_reuse_port_can_be_switched_on_after_bind) {
    int first = listen_on(ip("127.0.0.1", 0));
    struct px_bind_spec spec = {.addr = bound(first), .reuse_port = true};
    ASSERT_EQ(px_sock_bind(&spec, NULL), -EADDRINUSE);
    ASSERT_OK(px_sock_set_reuse_port(first));
    ASSERT_OK(px_sock_bind(&spec, NULL));
}

TEST(sock_probe_names_a_reuse_port_holder) {
    struct px_bind_spec spec = {.addr = ip("127.0.0.1", 0), .reuse_port = true};
    int fd = (int)ASSERT_OK(px_sock_bind(&spec, NULL));
    struct px_addr addr = bound(fd);
    ASSERT_OK(px_sock_listen(fd, 0, NULL, 0, NULL));
    int before = test_open_descriptors();
    struct px_detail detail;
    ASSERT_EQ(px_sock_probe(&addr, &detail), -EADDRINUSE);
    assert_holder_is_us(&detail);
    struct px_addr wildcard = ip("0.0.0.0", px_addr_port(&addr));
    ASSERT_EQ(px_sock_probe(&wildcard, &detail), -EADDRINUSE);
    assert_holder_is_us(&detail);
    ASSERT_EQ(test_open_descriptors(), before);
    close(fd);
    ASSERT_OK(px_sock_probe(&addr, &detail));
}

TEST(sock_probe_passes_over_time_wait) {
    int fd = listen_on(ip("127.0.0.1", 0));
    struct px_addr addr = bound(fd);
    bool connected;
    int client = (int)ASSERT_OK(px_sock_connect(&addr, &(struct px_keepalive){0}, &connected));
    WAIT_FD(fd, POLLIN, 2000, "a connection to accept");
    int server = (int)ASSERT_CALL(accept(fd, NULL, NULL));
    close(server);  // who closes first keeps the address in TIME_WAIT
    WAIT_FD(client, POLLIN, 2000, "the end of the connection");
    close(client);
    close(fd);
    ASSERT_OK(px_sock_probe(&addr, NULL));
}

TEST(sock_probe_finds_an_ipv6_holder) {
    struct px_detail detail;
    int fd = px_sock_bind(&(struct px_bind_spec){.addr = ip("::1", 0), .reuse_port = true}, &detail);
    if (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT) SKIP("no IPv6 here");
    ASSERT_OK(fd);
    ASSERT_OK(px_sock_listen(fd, 0, NULL, 0, NULL));
    struct px_addr addr = bound(fd);
    ASSERT_EQ(px_sock_probe(&addr, &detail), -EADDRINUSE);
    assert_holder_is_us(&detail);
}

TEST(sock_stale_pipe_is_replaced_and_a_live_one_is_not) {
    struct px_addr addr = pipe_at(path_in_directory("p.sock"));
    int first = listen_on(addr);
    struct px_detail detail;
    int before = test_open_descriptors();
    ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = addr}, &detail), -EADDRINUSE);
    assert_holder_is_us(&detail);
    ASSERT_EQ(px_sock_probe(&addr, &detail), -EADDRINUSE);
    ASSERT_EQ(test_open_descriptors(), before);
    ASSERT_EQ(connect_to(&addr), 0);
    close(first);  // as after a crash: the path stays
    ASSERT_OK(px_sock_probe(&addr, &detail));
    listen_on(addr);
    ASSERT_EQ(connect_to(&addr), 0);
}

TEST(sock_pipe_with_a_full_queue_counts_as_alive) {
    struct px_addr addr = pipe_at(path_in_directory("full.sock"));
    int fd = bind_to(addr);
    ASSERT_CALL(listen(fd, 0));
    int result = 0;
    for (int i = 0; i < 64 && result >= 0; i++) {
        bool connected;
        result = px_sock_connect(&addr, &(struct px_keepalive){0}, &connected);  // kept open on purpose
    }
    ASSERT_EQ(result, -EAGAIN);
    ASSERT_EQ(px_sock_probe(&addr, NULL), -EADDRINUSE);
}

TEST(sock_pipe_mode_and_abstract_names) {
    const char *path = path_in_directory("mode.sock");
    umask(0);
    struct px_bind_spec spec = {.addr = pipe_at(path), .pipe_mode = 0600};
    ASSERT_OK(px_sock_bind(&spec, NULL));
    struct stat status;
    ASSERT_CALL(stat(path, &status));
    ASSERT_EQ(status.st_mode & 07777, 0600);
    char name[64];
    snprintf(name, sizeof name, "@px-test-sock-%d", (int)getpid());
    struct px_addr addr = pipe_at(name);
    listen_on(addr);
    struct px_detail detail;
    ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = addr}, &detail), -EADDRINUSE);
    assert_holder_is_us(&detail);
    ASSERT_STR(detail.object, name);
}

TEST(sock_pipe_never_replaces_another_kind_of_file) {
    const char *path = path_in_directory("precious");
    close((int)ASSERT_CALL(open(path, O_CREAT | O_WRONLY, 0600)));
    struct px_detail detail;
    ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = pipe_at(path)}, &detail), -EADDRINUSE);
    ASSERT_CONTAINS(detail.text, "another kind");
    ASSERT_CALL(access(path, F_OK));
    ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = pipe_at(path_in_directory("none/p.sock"))}, &detail), -ENOENT);
    ASSERT_CONTAINS(detail.text, "directory does not exist");
}

TEST(sock_failed_option_leaves_neither_path_nor_descriptor) {
    const char *path = path_in_directory("opt.sock");
    struct px_socket_option option = {.level = SOL_SOCKET, .name = 9999, .state = PX_OPTION_BOUND, .is_int = true, .int_value = 1};
    struct px_bind_spec spec = {.addr = pipe_at(path), .options = &option, .option_count = 1};
    int before = test_open_descriptors();
    struct px_detail detail;
    ASSERT_EQ(px_sock_bind(&spec, &detail), -ENOPROTOOPT);
    ASSERT_STR(detail.call, "setsockopt");
    ASSERT_CONTAINS(detail.text, "name 9999");
    ASSERT_EQ(access(path, F_OK), -1);
    ASSERT_EQ(test_open_descriptors(), before);
}

TEST(sock_pipe_bound_anew_after_shutdown) {
    const char *path = path_in_directory("again.sock");
    struct px_addr addr = pipe_at(path);
    int old = listen_on(addr);
    ASSERT_CALL(shutdown(old, SHUT_RD));
    ASSERT_EQ(connect_to(&addr), -ECONNREFUSED);
    ASSERT_OK(px_sock_listen(old, 0, NULL, 0, NULL));
    ASSERT_EQ(connect_to(&addr), -ECONNREFUSED);  // why it has to be bound anew
    int fresh = (int)ASSERT_OK(px_sock_rebind_pipe(&addr, 0640, NULL));
    ASSERT_OK(px_sock_listen(fresh, 0, NULL, 0, NULL));
    ASSERT_EQ(connect_to(&addr), 0);
    struct px_addr now = bound(fresh);
    ASSERT_TRUE(px_addr_equal(&now, &addr));
}

TEST(sock_options_are_applied_in_their_state) {
    struct px_socket_option options[] = {
        {.level = SOL_SOCKET, .name = SO_KEEPALIVE, .state = PX_OPTION_PREBIND, .is_int = true, .int_value = 1},
        {.level = IPPROTO_TCP, .name = TCP_KEEPIDLE, .state = PX_OPTION_BOUND, .is_int = true, .int_value = 77},
        {.level = IPPROTO_TCP, .name = TCP_KEEPCNT, .state = PX_OPTION_LISTENING, .bytes = (const uint8_t *)&(int){5}, .length = sizeof(int)},
    };
    struct px_bind_spec spec = {.addr = ip("127.0.0.1", 0), .options = options, .option_count = 3};
    int fd = (int)ASSERT_OK(px_sock_bind(&spec, NULL));
    ASSERT_EQ(option_int(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    ASSERT_EQ(option_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    ASSERT_NE(option_int(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
    ASSERT_OK(px_sock_listen(fd, 16, options, 3, NULL));
    ASSERT_EQ(option_int(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
}

TEST(sock_options_are_put_back_as_they_were) {
    int fd = bind_to(ip("127.0.0.1", 0));
    struct px_socket_option options[] = {
        {.level = IPPROTO_TCP, .name = TCP_KEEPIDLE, .is_int = true, .int_value = 77},
        {.level = SOL_SOCKET, .name = SO_RCVBUF, .is_int = true, .int_value = 32768},
    };
    int idle = option_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), buffer = option_int(fd, SOL_SOCKET, SO_RCVBUF);
    struct px_option_name names[] = {{IPPROTO_TCP, TCP_KEEPIDLE}, {SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, 9999}};
    struct px_saved_option saved[3];
    size_t count = px_sock_save_options(fd, names, 3, saved);
    ASSERT_EQ(count, 2);
    ASSERT_EQ(px_sock_apply_options(fd, options, 2, -1, NULL), 0);
    ASSERT_EQ(option_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    px_sock_restore_options(fd, saved, count);
    ASSERT_EQ(option_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), idle);
    ASSERT_EQ(option_int(fd, SOL_SOCKET, SO_RCVBUF), buffer);
}

TEST(sock_connect_sets_nodelay_and_keepalive) {
    int fd = listen_on(ip("127.0.0.1", 0));
    struct px_addr addr = bound(fd);
    struct px_keepalive keepalive = {.enabled = true, .probes = 4, .time_s = 33, .interval_s = 11};
    bool connected;
    int client = (int)ASSERT_OK(px_sock_connect(&addr, &keepalive, &connected));
    ASSERT_EQ(option_int(client, IPPROTO_TCP, TCP_NODELAY), 1);
    ASSERT_EQ(option_int(client, SOL_SOCKET, SO_KEEPALIVE), 1);
    ASSERT_EQ(option_int(client, IPPROTO_TCP, TCP_KEEPCNT), 4);
    ASSERT_EQ(option_int(client, IPPROTO_TCP, TCP_KEEPIDLE), 33);
    ASSERT_EQ(option_int(client, IPPROTO_TCP, TCP_KEEPINTVL), 11);
    int plain = (int)ASSERT_OK(px_sock_connect(&addr, &(struct px_keepalive){0}, &connected));
    ASSERT_EQ(option_int(plain, SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST(sock_connect_reports_refusal_and_missing_paths) {
    int fd = bind_to(ip("127.0.0.1", 0));
    struct px_addr refused = bound(fd);
    ASSERT_EQ(connect_to(&refused), -ECONNREFUSED);
    struct px_addr missing = pipe_at(path_in_directory("nobody.sock"));
    int before = test_open_descriptors();
    ASSERT_EQ(connect_to(&missing), -ENOENT);
    ASSERT_EQ(test_open_descriptors(), before);
    listen_on(missing);
    bool connected = false;
    ASSERT_OK(px_sock_connect(&missing, &(struct px_keepalive){0}, &connected));
    ASSERT_TRUE(connected);
}

TEST(sock_check_listener_takes_bound_streams_only) {
    int stream = bind_to(ip("127.0.0.1", 0));
    ASSERT_OK(px_sock_check_listener(stream));
    ASSERT_OK(px_sock_listen(stream, 0, NULL, 0, NULL));
    ASSERT_OK(px_sock_check_listener(stream));
    struct px_addr addr = bound(stream);
    bool connected;
    int client = (int)ASSERT_OK(px_sock_connect(&addr, &(struct px_keepalive){0}, &connected));
    WAIT_FD(client, POLLOUT, 2000, "connect");
    ASSERT_EQ(px_sock_check_listener(client), -EISCONN);
    ASSERT_EQ(px_sock_check_listener((int)ASSERT_CALL(socket(AF_INET, SOCK_DGRAM, 0))), -EPROTOTYPE);
    ASSERT_EQ(px_sock_check_listener((int)ASSERT_CALL(socket(AF_INET, SOCK_STREAM, 0))), -EADDRNOTAVAIL);
    ASSERT_EQ(px_sock_check_listener((int)ASSERT_CALL(socket(AF_UNIX, SOCK_STREAM, 0))), -EADDRNOTAVAIL);
    ASSERT_EQ(px_sock_check_listener((int)ASSERT_CALL(open("/dev/null", O_RDONLY))), -ENOTSOCK);
    ASSERT_OK(px_sock_check_listener(bind_to(pipe_at(path_in_directory("c.sock")))));
}

TEST(sock_descriptor_limit_is_told_with_numbers) {
    struct rlimit before, limit;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &before));
    limit = (struct rlimit){.rlim_cur = (rlim_t)test_open_descriptors() + 8, .rlim_max = before.rlim_max};
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    struct px_detail detail = {0};
    int fd = 0;
    for (int i = 0; i < 64 && fd >= 0; i++) fd = px_sock_bind(&(struct px_bind_spec){.addr = ip("127.0.0.1", 0)}, &detail);
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &before));
    ASSERT_EQ(fd, -EMFILE);
    char number[32];
    snprintf(number, sizeof number, "of %llu ", (unsigned long long)limit.rlim_cur);
    ASSERT_CONTAINS(detail.text, number);
    ASSERT_CONTAINS(detail.text, "LimitNOFILE");
}

TEST(sock_low_port_without_the_right_names_the_right) {
    if (geteuid() != 0) SKIP("needs root, to give it up");
    ASSERT_CALL(setresuid(65534, 65534, 65534));
    struct px_detail detail;
    int fd = px_sock_bind(&(struct px_bind_spec){.addr = ip("127.0.0.1", 81)}, &detail);
    if (fd >= 0) SKIP("low ports are free here (net.ipv4.ip_unprivileged_port_start)");
    ASSERT_EQ(fd, -EACCES);
    ASSERT_CONTAINS(detail.text, "CAP_NET_BIND_SERVICE");
}

TEST(sock_option_without_the_right_names_the_right) {
    if (geteuid() != 0) SKIP("needs root, to give it up");
    struct px_socket_option mark = {.level = SOL_SOCKET, .name = SO_MARK, .state = PX_OPTION_PREBIND, .is_int = true, .int_value = 1};
    struct px_bind_spec spec = {.addr = ip("127.0.0.1", 0), .options = &mark, .option_count = 1};
    struct px_detail detail;
    ASSERT_CALL(setresuid(65534, 65534, 65534));
    ASSERT_EQ(px_sock_bind(&spec, &detail), -EPERM);
    ASSERT_STR(detail.call, "setsockopt");
    ASSERT_CONTAINS(detail.text, "CAP_NET_ADMIN");
}

// What another user's process has open cannot be seen in /proc; nobody is named then, least of all somebody else.
TEST(sock_holder_of_another_user_is_not_guessed) {
    if (geteuid() != 0) SKIP("needs root, to give it up");
    struct px_addr addr = bound(listen_on(ip("127.0.0.1", 0)));
    pid_t child = (pid_t)ASSERT_CALL(fork());
    if (child == 0) {
        struct px_detail detail;
        ASSERT_CALL(close_range(3, ~0u, 0));
        ASSERT_CALL(setresuid(65534, 65534, 65534));
        ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = addr}, &detail), -EADDRINUSE);
        ASSERT_CONTAINS(detail.text, "cannot be seen from here");
        _exit(0);
    }
    int status;
    ASSERT_CALL(waitpid(child, &status, 0));
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(WEXITSTATUS(status), 0);
}

TEST(sock_foreign_address_is_told) {
    struct px_detail detail;
    ASSERT_EQ(px_sock_bind(&(struct px_bind_spec){.addr = ip("192.0.2.1", 21500)}, &detail), -EADDRNOTAVAIL);
    ASSERT_STR(detail.object, "192.0.2.1:21500");
    ASSERT_CONTAINS(detail.text, "no interface");
    ASSERT_OK(px_sock_probe(&(struct px_addr[]){ip("192.0.2.1", 21500)}[0], &detail));
}
