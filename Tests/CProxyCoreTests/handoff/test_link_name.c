// The control name: what a crash leaves behind is replaced, what somebody holds is not, and who may reach it.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/px_handoff.h"
#include "test.h"

static char directory[64];
static char path[96];

static void make_path(void) {
    snprintf(directory, sizeof directory, "/tmp/px-link-XXXXXX");
    ASSERT_TRUE(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/name", directory);
}

static void remove_path(void) {
    char lock[112];
    snprintf(lock, sizeof lock, "%s.lock", path);
    unlink(path);
    unlink(lock);
    rmdir(directory);
}

TEST(link_name_left_by_a_crash_is_replaced) {
    struct px_detail detail;
    make_path();
    int first = px_link_bind(path, 0600, &detail);
    ASSERT_OK(first);
    close(first);
    int second = px_link_bind(path, 0600, &detail);
    ASSERT_OK(second);
    close(second);
    remove_path();
}

// A generation that drains still has the connections it accepted, and the kernel lists them under the path.
TEST(link_name_is_not_held_by_connections_it_accepted) {
    struct px_detail detail;
    make_path();
    int listener = px_link_bind(path, 0600, &detail);
    ASSERT_OK(listener);
    ASSERT_EQ(px_link_listen(listener), 0);
    int client = px_link_connect(path, &detail);
    ASSERT_OK(client);
    int accepted = px_link_accept(listener);
    ASSERT_OK(accepted);
    close(listener);
    int again = px_link_bind(path, 0600, &detail);
    ASSERT_OK(again);
    close(again);
    close(accepted);
    close(client);
    remove_path();
}

TEST(link_name_bound_but_not_listening_yet_is_held) {
    struct px_detail detail;
    make_path();
    int first = px_link_bind(path, 0600, &detail);
    ASSERT_OK(first);
    ASSERT_EQ(px_link_bind(path, 0600, &detail), -PX_E_NAME_IN_USE);
    close(first);
    remove_path();
}

static void expect_bind_fails(const char *name, int code, const char *text) {
    struct px_detail detail = {0};
    int before = test_open_descriptors();
    ASSERT_EQ(px_link_bind(name, 0600, &detail), code);
    ASSERT_EQ(detail.code, code);
    ASSERT_STR(detail.object, name);
    ASSERT_CONTAINS(detail.text, text);
    ASSERT_EQ(test_open_descriptors(), before);
}

static void expect_nobody_there(const char *name, int code) {
    struct px_detail detail = {0};
    int before = test_open_descriptors();
    ASSERT_EQ(px_link_connect(name, &detail), code);
    ASSERT_STR(detail.call, "connect");
    ASSERT_EQ(test_open_descriptors(), before);
}

TEST(link_name_somebody_serves_is_held_by_him) {
    struct px_detail detail;
    char held[64];
    make_path();
    snprintf(held, sizeof held, "held by pid %d of uid %u", getpid(), getuid());
    int fd = (int)ASSERT_OK(px_link_bind(path, 0600, &detail));
    ASSERT_OK(px_link_listen(fd));
    expect_bind_fails(path, -PX_E_NAME_IN_USE, held);
    char link[128];
    snprintf(link, sizeof link, "%s/other", directory);
    ASSERT_CALL(symlink(path, link));
    expect_bind_fails(link, -PX_E_NAME_IN_USE, "");  // whatever stands there, it is not ours to remove
    unlink(link);
    strcat(link, ".lock");
    unlink(link);
    remove_path();
}

TEST(link_name_may_be_abstract) {
    struct px_detail detail;
    char name[64], held[64];
    snprintf(name, sizeof name, "@px-name-test-%d", getpid());
    snprintf(held, sizeof held, "held by pid %d of uid", getpid());
    expect_nobody_there(name, -ECONNREFUSED);
    int fd = (int)ASSERT_OK(px_link_bind(name, 0600, &detail));
    ASSERT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    expect_bind_fails(name, -PX_E_NAME_IN_USE, "does not answer");
    ASSERT_OK(px_link_listen(fd));
    expect_bind_fails(name, -PX_E_NAME_IN_USE, held);
    close((int)ASSERT_OK(px_link_connect(name, &detail)));
    close(fd);
    close((int)ASSERT_OK(px_link_bind(name, 0600, &detail)));  // nothing is left behind
}

TEST(link_name_that_cannot_be_is_refused) {
    char name[200];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    struct px_detail detail = {0};
    int before = test_open_descriptors();
    ASSERT_EQ(px_link_bind(name, 0600, &detail), -ENAMETOOLONG);
    ASSERT_CONTAINS(detail.text, "1 to 107 bytes");
    name[0] = '@';
    name[109] = '\0';
    ASSERT_EQ(px_link_connect(name, &detail), -ENAMETOOLONG);
    ASSERT_EQ(px_link_bind(name, 0600, &detail), -ENAMETOOLONG);
    ASSERT_EQ(test_open_descriptors(), before);
    expect_bind_fails("", -EINVAL, "1 to 107 bytes");
    expect_bind_fails("/nowhere/at/all", -ENOENT, "/nowhere/at/all.lock");
    expect_nobody_there("/nowhere/at/all", -ENOENT);
}

TEST(link_name_that_is_no_socket_is_left_alone) {
    make_path();
    int file = (int)ASSERT_CALL(open(path, O_WRONLY | O_CREAT, 0600));
    ASSERT_EQ(write(file, "precious", 8), 8);
    expect_bind_fails(path, -PX_E_NAME_IN_USE, "");
    struct stat status;
    ASSERT_CALL(stat(path, &status));
    ASSERT_EQ(status.st_size, 8);
    remove_path();
}

// Another start holds the lock: it is waited for, but not for ever.
TEST(link_name_under_anothers_lock_is_in_use) {
    make_path();
    char lock[112];
    snprintf(lock, sizeof lock, "%s.lock", path);
    int fd = (int)ASSERT_CALL(open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_CALL(flock(fd, LOCK_EX));
    expect_bind_fails(path, -PX_E_NAME_IN_USE, ".lock");
    close(fd);
    struct px_detail detail;
    close((int)ASSERT_OK(px_link_bind(path, 0600, &detail)));
    remove_path();
}

static uint32_t mode_of(const char *name) {
    struct stat status;
    ASSERT_CALL(lstat(name, &status));
    return status.st_mode & 07777;
}

TEST(link_name_has_the_mode_asked_for) {
    struct px_detail detail;
    umask(077);
    static const uint32_t modes[] = {0600, 0660, 0666, 0777};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        make_path();
        int fd = (int)ASSERT_OK(px_link_bind(path, modes[i], &detail));
        ASSERT_EQ(mode_of(path), modes[i]);
        close(fd);
        remove_path();
    }
    umask(0);
    make_path();
    close((int)ASSERT_OK(px_link_bind(path, 0640, &detail)));
    ASSERT_EQ(mode_of(path), 0640);
    remove_path();
}

static _Noreturn void try_as_nobody(void) {
    ASSERT_CALL(setgroups(0, NULL));
    ASSERT_CALL(setgid(65534));
    ASSERT_CALL(setuid(65534));
    expect_nobody_there(path, -EACCES);
    struct px_detail detail;
    ASSERT_EQ(px_link_bind(path, 0600, &detail), -EACCES);
    _exit(0);
}

TEST(link_name_keeps_other_users_out_by_its_mode) {
    if (getuid() != 0) SKIP("needs root to become another user");
    struct px_detail detail;
    int status = -1;
    make_path();
    ASSERT_CALL(chmod(directory, 0755));
    int fd = (int)ASSERT_OK(px_link_bind(path, 0600, &detail));
    ASSERT_OK(px_link_listen(fd));
    pid_t pid = (pid_t)ASSERT_CALL(fork());
    if (pid == 0) try_as_nobody();
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
    close(fd);
    remove_path();
}

TEST(link_bind_names_the_descriptor_limit) {
    struct px_detail detail = {0};
    struct rlimit limit, before;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &before));
    limit = before;
    limit.rlim_cur = 3;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    int code = px_link_bind("@px-limit-test", 0600, &detail);
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &before));  // the leak check at exit opens files
    ASSERT_EQ(code, -EMFILE);
    ASSERT_CONTAINS(detail.text, "RLIMIT_NOFILE) is 3");
}
