// Links: packets with descriptors that arrive whole or are closed, and who is at the other end. Names are in test_link_name.c.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handoff/wire.h"
#include "include/px_handoff.h"
#include "test.h"

enum { NOBODY = 65534, DEADLINE_MS = 5000 };

static uint32_t write_packet(uint8_t *bytes, uint32_t capacity, uint32_t descriptors) {
    struct px_writer writer;
    px_writer_begin(&writer, bytes, capacity, 1, 7, 42);
    px_writer_put_u64(&writer, 1, 99);
    return (uint32_t)ASSERT_OK(px_writer_finish(&writer, descriptors));
}

static int send_packet(int fd, const int32_t *fds, uint32_t count, uint32_t said) {
    uint8_t bytes[64];
    return px_link_send(fd, bytes, write_packet(bytes, sizeof bytes, said), fds, count);
}

static int receive(int fd) {
    static uint8_t bytes[PX_PACKET_MAX];
    int32_t fds[PX_PACKET_FDS_MAX];
    uint32_t count = 99;
    int code = px_link_receive(fd, bytes, sizeof bytes, fds, &count);
    if (code < 0) ASSERT_EQ(count, 0);
    for (uint32_t i = 0; i < count; i++) close(fds[i]);
    return code;
}

static void open_many(int32_t *fds, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) fds[i] = (int32_t)ASSERT_CALL(open("/dev/null", O_RDONLY));
}

static bool is_same_file(int a, int b) {
    struct stat x, y;
    ASSERT_CALL(fstat(a, &x));
    ASSERT_CALL(fstat(b, &y));
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

// ---- packets --------------------------------------------------------------------------------------------------------------------

TEST(link_pair_does_not_block_and_closes_on_exec) {
    int32_t pair[2];
    ASSERT_OK(px_link_pair(pair));
    for (int i = 0; i < 2; i++) {
        ASSERT_TRUE(fcntl(pair[i], F_GETFD) & FD_CLOEXEC);
        ASSERT_TRUE(fcntl(pair[i], F_GETFL) & O_NONBLOCK);
        ASSERT_EQ(receive(pair[i]), -EAGAIN);
    }
}

TEST(link_passes_as_many_descriptors_as_fit_in_a_packet) {
    static uint8_t bytes[PX_PACKET_MAX];
    int32_t pair[2], sent[PX_PACKET_FDS_MAX], came[PX_PACKET_FDS_MAX];
    uint32_t count;
    ASSERT_OK(px_link_pair(pair));
    for (uint32_t i = 0; i < PX_PACKET_FDS_MAX; i += 2)
        for (uint32_t end = 0; end < 2 && i + end < PX_PACKET_FDS_MAX; end++) {
            int ends[2];
            ASSERT_CALL(pipe(ends));
            sent[i + end] = ends[0];
            close(ends[1]);
        }
    ASSERT_OK(send_packet(pair[0], sent, PX_PACKET_FDS_MAX, PX_PACKET_FDS_MAX));
    int length = px_link_receive(pair[1], bytes, sizeof bytes, came, &count);
    ASSERT_EQ(length, PX_WIRE_HEADER + 16);
    ASSERT_EQ(count, PX_PACKET_FDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        ASSERT_TRUE(is_same_file(sent[i], came[i]));  // in the order they were sent
        ASSERT_TRUE(fcntl(came[i], F_GETFD) & FD_CLOEXEC);
    }
    struct px_packet packet;
    ASSERT_OK(px_packet_parse(bytes, (uint32_t)length, &packet));
    ASSERT_EQ(packet.descriptors, PX_PACKET_FDS_MAX);
}

TEST(link_refuses_to_send_more_than_fits) {
    static uint8_t bytes[PX_PACKET_MAX + 1];
    int32_t pair[2], fds[PX_PACKET_FDS_MAX + 1];
    ASSERT_OK(px_link_pair(pair));
    open_many(fds, PX_PACKET_FDS_MAX + 1);
    ASSERT_EQ(px_link_send(pair[0], bytes, 24, fds, PX_PACKET_FDS_MAX + 1), -EINVAL);
    ASSERT_EQ(px_link_send(pair[0], bytes, PX_PACKET_MAX + 1, NULL, 0), -EINVAL);
    ASSERT_EQ(px_link_send(pair[0], bytes, 0, NULL, 0), -EINVAL);
    ASSERT_EQ(receive(pair[1]), -EAGAIN);  // nothing of it went
    ASSERT_OK(px_link_send(pair[0], bytes, PX_PACKET_MAX, NULL, 0));
    ASSERT_EQ(receive(pair[1]), PX_PACKET_MAX);
    fds[3] = -1;
    ASSERT_EQ(send_packet(pair[0], fds, 5, 5), -EBADF);
}

TEST(link_closes_what_came_with_another_count) {
    int32_t pair[2], fds[8];
    uint8_t junk[40] = "no packet of ours";
    ASSERT_OK(px_link_pair(pair));
    open_many(fds, 8);
    int before = test_open_descriptors();
    for (uint32_t said = 0; said <= PX_PACKET_FDS_MAX; said += 7) {
        ASSERT_OK(send_packet(pair[0], fds, 8, said));
        ASSERT_EQ(receive(pair[1]), -PX_E_DESCRIPTOR_COUNT);
    }
    ASSERT_OK(send_packet(pair[0], NULL, 0, 3));
    ASSERT_EQ(receive(pair[1]), -PX_E_DESCRIPTOR_COUNT);
    ASSERT_OK(px_link_send(pair[0], junk, sizeof junk, fds, 8));
    ASSERT_EQ(receive(pair[1]), -PX_E_DESCRIPTOR_COUNT);
    ASSERT_OK(px_link_send(pair[0], junk, 1, fds, 1));
    ASSERT_EQ(receive(pair[1]), -PX_E_DESCRIPTOR_COUNT);
    ASSERT_EQ(test_open_descriptors(), before);
}

TEST(link_closes_what_came_cut) {
    int32_t pair[2], fds[8], came[PX_PACKET_FDS_MAX];
    uint8_t bytes[64];
    uint32_t count;
    ASSERT_OK(px_link_pair(pair));
    open_many(fds, 8);
    ASSERT_OK(send_packet(pair[0], fds, 8, 8));
    int before = test_open_descriptors();
    ASSERT_EQ(px_link_receive(pair[1], bytes, 39, came, &count), -PX_E_TRUNCATED);
    ASSERT_EQ(count, 0);
    ASSERT_EQ(test_open_descriptors(), before);
    // Room for three of the eight: the kernel delivers those and says MSG_CTRUNC.
    struct rlimit limit;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_OK(send_packet(pair[0], fds, 8, 8));
    limit.rlim_cur = (rlim_t)ASSERT_CALL(dup(0)) + 3;
    before = test_open_descriptors();
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_EQ(receive(pair[1]), -PX_E_TRUNCATED);
    limit.rlim_cur = limit.rlim_max;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_EQ(test_open_descriptors(), before);
}

TEST(link_send_says_when_the_other_side_does_not_read) {
    int32_t pair[2];
    int code, sent = 0;
    ASSERT_OK(px_link_pair(pair));
    while ((code = send_packet(pair[0], NULL, 0, 0)) == 0) ASSERT_LT(sent++, 1000000);
    ASSERT_EQ(code, -EAGAIN);
    for (int i = 0; i < sent; i++) ASSERT_OK(receive(pair[1]));  // none was lost
    ASSERT_EQ(receive(pair[1]), -EAGAIN);
    ASSERT_OK(send_packet(pair[0], NULL, 0, 0));
}

TEST(link_says_when_the_other_side_is_gone) {
    int32_t pair[2];
    signal(SIGPIPE, SIG_DFL);
    ASSERT_OK(px_link_pair(pair));
    ASSERT_OK(send_packet(pair[0], NULL, 0, 0));
    close(pair[0]);
    ASSERT_OK(receive(pair[1]));  // what was sent before comes first
    ASSERT_EQ(receive(pair[1]), -PX_E_CLOSED);
    ASSERT_EQ(receive(pair[1]), -PX_E_CLOSED);
    ASSERT_EQ(send_packet(pair[1], NULL, 0, 0), -EPIPE);
}

// A generation that leaves says BYE and exits, with packets of ours unread: the kernel then reports ECONNRESET before it
// gives us what is queued, and a BYE lost there would turn a stop into a rollback.
TEST(link_receives_what_was_sent_by_a_side_that_did_not_read) {
    int32_t pair[2], fds[1];
    ASSERT_OK(px_link_pair(pair));
    open_many(fds, 1);
    ASSERT_OK(send_packet(pair[1], NULL, 0, 0));  // never read
    ASSERT_OK(send_packet(pair[0], NULL, 0, 0));
    ASSERT_OK(send_packet(pair[0], fds, 1, 1));
    close(pair[0]);
    int before = test_open_descriptors();
    ASSERT_OK(receive(pair[1]));
    ASSERT_OK(receive(pair[1]));
    ASSERT_EQ(receive(pair[1]), -PX_E_CLOSED);
    ASSERT_EQ(test_open_descriptors(), before);
}

TEST(link_says_when_too_many_descriptors_are_in_flight) {
    if (getuid() != 0) SKIP("needs root to become another user");
    int32_t pair[2], fds[PX_PACKET_FDS_MAX];
    struct rlimit limit = {.rlim_cur = 300, .rlim_max = 300};
    ASSERT_OK(px_link_pair(pair));
    open_many(fds, PX_PACKET_FDS_MAX);
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_CALL(setgroups(0, NULL));
    ASSERT_CALL(setgid(NOBODY));
    ASSERT_CALL(setuid(NOBODY));  // root is exempt
    int code, sent = 0;
    while ((code = send_packet(pair[0], fds, PX_PACKET_FDS_MAX, PX_PACKET_FDS_MAX)) == 0) ASSERT_LT(sent++, 100);
    ASSERT_EQ(code, -ETOOMANYREFS);
}

// ---- who is at the other end ----------------------------------------------------------------------------------------------------

static const char *abstract_name(void) {
    static char name[64];
    snprintf(name, sizeof name, "@px-link-test-%d", getpid());
    return name;
}

static int bind_name(const char *name) {
    struct px_detail detail = {0};
    int fd = px_link_bind(name, 0600, &detail);
    if (fd < 0) FAIL("bind %s: %s %s", name, px_error_name(fd), detail.text);
    return fd;
}

static int connect_name(const char *name) {
    struct px_detail detail = {0};
    int fd = px_link_connect(name, &detail);
    if (fd < 0) FAIL("connect %s: %s", name, px_error_name(fd));
    return fd;
}

static void expect_peer(int fd, pid_t pid) {
    struct px_peer peer;
    ASSERT_OK(px_link_peer(fd, &peer));
    ASSERT_EQ(peer.pid, pid);
    ASSERT_EQ(peer.uid, geteuid());
    ASSERT_EQ(peer.gid, getegid());
    ASSERT_TRUE(px_peer_is_permitted(&peer));
}

static void kill_and_reap(pid_t pid) {
    ASSERT_CALL(kill(pid, SIGKILL));
    ASSERT_EQ(waitpid(pid, NULL, 0), pid);
}

static _Noreturn void connect_and_stay(const char *name) {
    connect_name(name);
    for (;;) pause();
}

TEST(link_shows_its_peer_and_gives_a_pidfd) {
    const char *name = abstract_name();
    int listener = bind_name(name);
    ASSERT_OK(px_link_listen(listener));
    ASSERT_EQ(px_link_accept(listener), -EAGAIN);
    pid_t child = (pid_t)ASSERT_CALL(fork());
    if (child == 0) connect_and_stay(name);
    WAIT_FD(listener, POLLIN, DEADLINE_MS, "the child's connection");
    int link = (int)ASSERT_OK(px_link_accept(listener));
    ASSERT_TRUE(fcntl(link, F_GETFD) & FD_CLOEXEC);
    ASSERT_TRUE(fcntl(link, F_GETFL) & O_NONBLOCK);
    expect_peer(link, child);
    int pidfd = (int)ASSERT_OK(px_link_peer_pidfd(link));
    ASSERT_TRUE(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
    ASSERT_OK(px_pidfd_signal(pidfd, SIGKILL));
    WAIT_FD(pidfd, POLLIN, DEADLINE_MS, "the child's end");
    ASSERT_EQ(waitpid(child, NULL, 0), child);
    ASSERT_EQ(px_pidfd_signal(pidfd, SIGKILL), -ESRCH);
    ASSERT_EQ(receive(link), -PX_E_CLOSED);
    int late = px_link_peer_pidfd(link);  // gone and reaped
    if (late >= 0) ASSERT_EQ(px_pidfd_signal(late, 0), -ESRCH);
}

static _Noreturn void listen_and_stay(int listener, int ready) {
    ASSERT_OK(px_link_listen(listener));
    ASSERT_EQ(write(ready, "x", 1), 1);
    for (;;) pause();
}

TEST(link_listen_again_shows_the_new_process) {
    int ends[2];
    const char *name = abstract_name();
    int listener = bind_name(name);
    ASSERT_OK(px_link_listen(listener));
    expect_peer(connect_name(name), getpid());
    ASSERT_CALL(pipe(ends));
    pid_t child = (pid_t)ASSERT_CALL(fork());
    if (child == 0) listen_and_stay(listener, ends[1]);
    WAIT_FD(ends[0], POLLIN, DEADLINE_MS, "the child's listen()");
    expect_peer(connect_name(name), child);
    ASSERT_OK(px_link_listen(listener));  // rolled back
    expect_peer(connect_name(name), getpid());
    kill_and_reap(child);
}

static _Noreturn void connect_as_nobody(const char *name, int ready) {
    ASSERT_CALL(setgroups(0, NULL));
    ASSERT_CALL(setgid(NOBODY));
    ASSERT_CALL(setuid(NOBODY));
    struct px_peer peer;
    int fd = connect_name(name);
    ASSERT_OK(px_link_peer(fd, &peer));
    ASSERT_EQ(peer.uid, 0);
    ASSERT_TRUE(px_peer_is_permitted(&peer));  // root may take part everywhere
    ASSERT_EQ(write(ready, "x", 1), 1);
    for (;;) pause();
}

TEST(link_peer_of_another_user_is_not_permitted) {
    if (getuid() != 0) SKIP("needs root to become another user");
    int ends[2];
    const char *name = abstract_name();
    int listener = bind_name(name);
    ASSERT_OK(px_link_listen(listener));
    ASSERT_CALL(pipe(ends));
    pid_t child = (pid_t)ASSERT_CALL(fork());
    if (child == 0) connect_as_nobody(name, ends[1]);
    WAIT_FD(ends[0], POLLIN, DEADLINE_MS, "the other user's connection");
    struct px_peer peer;
    ASSERT_OK(px_link_peer((int)ASSERT_OK(px_link_accept(listener)), &peer));
    ASSERT_EQ(peer.uid, NOBODY);
    ASSERT_EQ(peer.gid, NOBODY);
    ASSERT_EQ(peer.pid, child);
    ASSERT_FALSE(px_peer_is_permitted(&peer));
    kill_and_reap(child);
}

TEST(link_connect_says_when_the_backlog_is_full) {
    const char *name = abstract_name();
    struct px_detail detail;
    int listener = bind_name(name);
    ASSERT_OK(px_link_listen(listener));
    int fd, count = 0;
    while ((fd = px_link_connect(name, &detail)) >= 0) ASSERT_LT(count++, 1000);
    ASSERT_EQ(fd, -EAGAIN);
    close((int)ASSERT_OK(px_link_accept(listener)));
    ASSERT_OK(px_link_connect(name, &detail));
}

// What comes from another process is used only as what it is.
TEST(link_check_tells_links_and_control_sockets_from_everything_else) {
    struct px_detail detail = {0};
    int32_t pair[2], streams[2];
    char name[64];
    ASSERT_OK(px_link_pair(pair));
    ASSERT_CALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, streams));
    snprintf(name, sizeof name, "@link-check-%d", (int)getpid());
    int control = px_link_bind(name, 0, &detail);
    ASSERT_GE(control, 0);
    int unbound = (int)ASSERT_CALL(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    int tcp = (int)ASSERT_CALL(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int null = (int)ASSERT_CALL(open("/dev/null", O_RDONLY | O_CLOEXEC));

    ASSERT_OK(px_link_check(pair[0]));
    ASSERT_OK(px_link_check_control(control));
    ASSERT_OK(px_link_listen(control));
    ASSERT_OK(px_link_check_control(control));

    ASSERT_EQ(px_link_check(control), -ENOTCONN);
    ASSERT_EQ(px_link_check(unbound), -ENOTCONN);
    ASSERT_EQ(px_link_check(streams[0]), -EPROTOTYPE);
    ASSERT_EQ(px_link_check(tcp), -EAFNOSUPPORT);
    ASSERT_EQ(px_link_check(null), -ENOTSOCK);
    ASSERT_EQ(px_link_check(-1), -EBADF);
    ASSERT_EQ(px_link_check_control(pair[0]), -EISCONN);
    ASSERT_EQ(px_link_check_control(unbound), -EADDRNOTAVAIL);
    ASSERT_EQ(px_link_check_control(streams[0]), -EPROTOTYPE);
    ASSERT_EQ(px_link_check_control(tcp), -EAFNOSUPPORT);
    ASSERT_EQ(px_link_check_control(null), -ENOTSOCK);
    close(pair[1]);
    ASSERT_OK(px_link_check(pair[0]));  // the end of a generation that has died is a link still
}
