#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/admin_rig.h"
#include "test.h"

TEST(admin_closes_the_connection_idle_longest_for_a_new_one) {
    int fds[PX_ADMIN_CONNECTIONS_MAX];
    admin_open();
    for (int i = 0; i < PX_ADMIN_CONNECTIONS_MAX; i++) {
        fds[i] = admin_dial();
        admin_await_count((uint32_t)i + 1, "the connection");
    }
    usleep(2000);
    admin_send(fds[0], GET("/x"));  // now the second is the one idle longest
    admin_receive(fds[0], "GET /x?|");
    int newest = admin_dial();
    ASSERT_STR(admin_receive(fds[1], NULL), "");
    admin_send(newest, GET("/y"));
    admin_receive(newest, "GET /y?|");
    admin_send(fds[0], GET("/z"));
    admin_receive(fds[0], "GET /z?|");
    admin_close();
}

TEST(admin_prefers_giving_up_half_a_request_to_refusing_a_new_connection) {
    admin_open();
    int first = admin_dial();
    admin_send(first, "GET /half");
    admin_await_count(1, "the first connection");
    for (uint32_t i = 1; i < PX_ADMIN_CONNECTIONS_MAX; i++) {
        admin_send(admin_dial(), "GET /half");
        admin_await_count(i + 1, "a connection");
    }
    int newest = admin_dial();
    admin_send(newest, GET("/x"));
    admin_receive(newest, "GET /x?|");
    ASSERT_EQ(admin->count, PX_ADMIN_CONNECTIONS_MAX);
    admin_close();
}

TEST(admin_refuses_a_connection_only_while_all_wait_for_answers) {
    admin_open();
    admin_answer = admin_keep_id;
    for (int i = 0; i < PX_ADMIN_CONNECTIONS_MAX; i++) {
        admin_send(admin_dial(), GET("/x"));
        admin_await_requests(i + 1);
    }
    int refused = admin_dial();
    ASSERT_STR(admin_receive(refused, NULL), "");
    admin_respond(admin_last_id, 200, "done");
    for (int i = 0; i < 5; i++) ASSERT_OK(px_mainloop_turn(admin_loop, 2));
    admin_send(admin_dial(), GET("/x"));
    admin_await_requests(PX_ADMIN_CONNECTIONS_MAX + 1);
    admin_close();
}

TEST(admin_stop_finishes_what_is_asked_and_start_serves_again) {
    admin_open();
    admin_answer = admin_keep_id;
    int idle = admin_dial(), waiting = admin_dial(), sent = admin_dial();
    admin_await_count(3, "three connections");
    admin_send(waiting, GET("/1"));
    admin_await_requests(1);
    admin_send(sent, GET("/2"));  // not read yet when the server stops
    px_admin_stop(admin);
    px_admin_stop(admin);
    ASSERT_STR(admin_receive(idle, NULL), "");
    admin_respond(admin_last_id - (admin_requests == 2), 200, "one");
    ASSERT_CONTAINS(admin_receive(waiting, NULL), "connection: close\r\n");
    admin_await_requests(2);
    admin_respond(admin_last_id, 200, "two");
    ASSERT_CONTAINS(admin_receive(sent, NULL), "two");
    int queued = admin_dial();  // the socket still listens, for whoever else holds it
    admin_send(queued, GET("/3"));
    for (int i = 0; i < 5; i++) ASSERT_OK(px_mainloop_turn(admin_loop, 1));
    ASSERT_EQ(admin_requests, 2);
    ASSERT_OK(px_admin_start(admin));
    admin_await_requests(3);
    admin_respond(admin_last_id, 200, "three");
    admin_receive(queued, "three");
    admin_close();
}

TEST(admin_abandoned_address_refuses_although_another_process_holds_the_socket) {
    admin_open();
    admin_answer = admin_keep_id;
    int waiting = admin_dial();
    admin_send(waiting, GET("/1"));
    admin_await_requests(1);
    int copy = dup(px_admin_fd(admin));
    ASSERT_CALL(copy);
    px_admin_abandon(admin);
    ASSERT_EQ(px_admin_fd(admin), -1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(connect(fd, (struct sockaddr *)admin_addr.storage, admin_addr.length), -1);
    ASSERT_EQ(errno, ECONNREFUSED);
    admin_respond(admin_last_id, 200, "one");
    ASSERT_CONTAINS(admin_receive(waiting, NULL), "one");
    struct px_detail detail;
    ASSERT_OK(px_admin_open(admin, &admin_addr, &detail));
    ASSERT_OK(px_admin_start(admin));
    admin_send(admin_dial(), GET("/2"));
    admin_await_requests(2);
    close(copy);
    admin_close();
}

static void stop_then_echo(const struct px_admin_request *request) {
    px_admin_stop(admin);
    admin_echo(request);
}

static void destroy_admin(const struct px_admin_request *request) {
    px_admin_destroy(admin);
    admin = NULL;
}

TEST(admin_can_be_stopped_or_destroyed_by_the_request_it_serves) {
    admin_open();
    admin_answer = stop_then_echo;
    int fd = admin_dial(), other = admin_dial();
    admin_send(fd, GET("/a") GET("/b"));
    admin_send(other, GET("/c"));
    ASSERT_CONTAINS(admin_receive(fd, NULL), "GET /a?|");
    ASSERT_CONTAINS(admin_receive(other, NULL), "GET /c?|");
    ASSERT_EQ(admin_requests, 2);  // what came behind a closing answer is not served
    admin_answer = destroy_admin;
    ASSERT_OK(px_admin_start(admin));
    fd = admin_dial();
    admin_send(fd, GET("/a"));
    admin_await_requests(3);
    ASSERT_TRUE(admin == NULL);
    ASSERT_EQ(recv(fd, admin_received, 1, 0) > 0, false);
    admin_close();
}

// The address moves from a specific one to the wildcard of the same port, or back, while the other generation still listens.
static void move_beside(const char *from, const char *to) {
    struct px_detail detail = {0};
    struct px_addr addr;
    int shared = -1;
    socklen_t length = sizeof shared;
    px_admin *parent = px_admin_create(admin_loop), *child = px_admin_create(admin_loop), *stranger = px_admin_create(admin_loop);
    ASSERT_OK(px_addr_from_ip(from, 0, &addr));
    ASSERT_OK(px_admin_open(parent, &addr, &detail));
    ASSERT_OK(px_admin_start(parent));
    ASSERT_OK(px_admin_address(parent, &addr));
    uint16_t port = px_addr_port(&addr);
    ASSERT_OK(px_addr_from_ip(to, port, &addr));
    ASSERT_EQ(px_admin_open(child, &addr, &detail), -EADDRINUSE);
    ASSERT_OK(px_admin_open_beside(child, &addr, px_admin_fd(parent), &detail));
    ASSERT_OK(px_admin_start(child));
    ASSERT_CALL(getsockopt(px_admin_fd(child), SOL_SOCKET, SO_REUSEPORT, &shared, &length));
    ASSERT_EQ(shared, 0);
    px_admin_abandon(parent);
    ASSERT_EQ(px_admin_open(stranger, &addr, &detail), -EADDRINUSE);
    px_admin_destroy(stranger);
    px_admin_destroy(child);
    px_admin_destroy(parent);
}

TEST(admin_moves_between_a_specific_and_the_wildcard_address) {
    admin_open_loop();
    move_beside("127.0.0.1", "0.0.0.0");
    move_beside("0.0.0.0", "127.0.0.1");
    move_beside("::1", "::");
}

TEST(admin_shares_an_inherited_socket_with_another_process) {
    admin_open();
    px_admin *parent = admin;
    admin = px_admin_create(admin_loop);
    ASSERT_EQ(px_admin_adopt_fd(admin, -1), -EBADF);
    int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(px_admin_adopt_fd(admin, datagram), -EPROTOTYPE);
    close(datagram);
    int copy = dup(px_admin_fd(parent));
    ASSERT_OK(px_admin_adopt_fd(admin, copy));
    ASSERT_EQ(px_admin_adopt_fd(admin, copy), -EBUSY);
    ASSERT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
    ASSERT_OK(px_admin_start(admin));
    // Both accept from the one queue and wake for each connection: one of them finds nothing, and nobody is refused.
    for (int i = 0; i < 50; i++) {
        int fd = admin_dial();
        uint64_t deadline = admin_deadline();
        while (parent->count + admin->count == 0) admin_turn(deadline, "one of the two to accept");
        ASSERT_EQ(parent->count + admin->count, 1);
        close(fd);
        while (parent->count + admin->count) admin_turn(deadline, "the connection's end");
    }
    px_admin_stop(parent);
    px_admin_destroy(parent);
    int fd = admin_dial();
    admin_send(fd, GET("/x"));
    admin_receive(fd, "GET /x?|");
    admin_close();
}

TEST(admin_works_on_ipv6_pipes_and_abstract_names) {
    char path[200];
    struct px_detail detail;
    snprintf(path, sizeof path, "%s/admin", test_directory());
    for (int i = 0; i < 3; i++) {
        admin_open_loop();
        if (i == 0) ASSERT_OK(px_addr_from_ip("::1", 0, &admin_addr));
        if (i == 1) ASSERT_OK(px_addr_from_path(path, &admin_addr));
        if (i == 2) ASSERT_OK(px_addr_from_path("@px-test-admin", &admin_addr));
        int result = px_admin_open(admin, &admin_addr, &detail);
        if (i == 0 && result == -EADDRNOTAVAIL) SKIP("no IPv6 on this machine");
        ASSERT_OK(result);
        ASSERT_OK(px_admin_address(admin, &admin_addr));
        ASSERT_OK(px_admin_start(admin));
        int fd = admin_dial();
        admin_send(fd, GET("/x"));
        admin_receive(fd, "GET /x?|");
        close(fd);
        admin_close();
    }
}

TEST(admin_open_names_what_failed_and_replaces_only_a_dead_path) {
    char path[200], text[PX_ADDR_TEXT];
    struct px_detail detail;
    admin_open();
    px_admin *second = px_admin_create(admin_loop);
    ASSERT_EQ(px_admin_open(second, &admin_addr, &detail), -EADDRINUSE);
    ASSERT_EQ(detail.code, -EADDRINUSE);
    ASSERT_STR(detail.call, "bind");
    ASSERT_STR(detail.object, px_addr_format(&admin_addr, text, sizeof text));
    ASSERT_CONTAINS(detail.text, "another process");
    struct px_addr foreign;
    ASSERT_OK(px_addr_from_ip("192.0.2.1", 1, &foreign));
    ASSERT_EQ(px_admin_open(second, &foreign, &detail), -EADDRNOTAVAIL);
    ASSERT_EQ(px_admin_fd(second), -1);

    snprintf(path, sizeof path, "%s/admin", test_directory());
    struct px_addr pipe;
    ASSERT_OK(px_addr_from_path(path, &pipe));
    ASSERT_OK(px_admin_open(second, &pipe, &detail));
    ASSERT_OK(px_admin_start(second));
    px_admin *third = px_admin_create(admin_loop);
    ASSERT_EQ(px_admin_open(third, &pipe, &detail), -EADDRINUSE);  // somebody lives there
    px_admin_destroy(second);
    ASSERT_OK(px_admin_open(third, &pipe, &detail));  // the path is still there, but nobody behind it
    px_admin_destroy(third);

    snprintf(path, sizeof path, "%s/file", test_directory());
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ASSERT_OK(px_addr_from_path(path, &pipe));
    third = px_admin_create(admin_loop);
    ASSERT_EQ(px_admin_open(third, &pipe, &detail), -EADDRINUSE);  // not a socket: not ours to remove
    struct stat status;
    ASSERT_CALL(stat(path, &status));
    ASSERT_TRUE(S_ISREG(status.st_mode));
    px_admin_destroy(third);
    admin_close();
}

TEST(admin_waits_while_descriptors_are_used_up_and_goes_on) {
    struct rlimit usual, none;
    admin_open();
    int fd = admin_dial(), lowest_free = dup(0);
    close(lowest_free);
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &usual));
    none = usual;
    none.rlim_cur = (rlim_t)lowest_free;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &none));
    admin_send(fd, GET("/x"));
    uint64_t start = px_clock_monotonic_ns();
    int turns = 0;
    for (; px_clock_monotonic_ns() - start < 250000000; turns++) ASSERT_OK(px_mainloop_turn(admin_loop, 50));
    ASSERT_LT(turns, 40);  // and does not spin meanwhile
    ASSERT_EQ(admin_requests, 0);
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &usual));
    admin_receive(fd, "GET /x?|");
    admin_close();
}

TEST(admin_low_port_without_the_right_names_the_right) {
    if (geteuid() != 0) SKIP("needs root, to give it up");
    struct px_addr addr;
    struct px_detail detail = {0};
    ASSERT_OK(px_addr_from_ip("127.0.0.1", 81, &addr));
    ASSERT_CALL(setresuid(65534, 65534, 65534));
    admin_open_loop();
    px_admin *low = px_admin_create(admin_loop);
    int result = px_admin_open(low, &addr, &detail);
    px_admin_destroy(low);
    if (result == 0) SKIP("low ports are free here (net.ipv4.ip_unprivileged_port_start)");
    ASSERT_EQ(result, -EACCES);
    ASSERT_CONTAINS(detail.text, "CAP_NET_BIND_SERVICE");
}

TEST(admin_leaves_no_descriptor_behind) {
    (void)px_log_fd();
    int before = test_open_descriptors();
    admin_open();
    int fds[3] = {admin_dial(), admin_dial(), admin_dial()};
    admin_await_count(3, "three connections");
    admin_send(fds[0], "GET /half");
    admin_send(fds[1], GET("/x"));
    admin_await_requests(1);
    admin_close();
    for (int i = 0; i < 3; i++) close(fds[i]);
    px_admin_destroy(NULL);
    ASSERT_EQ(test_open_descriptors(), before);
}
