// The control socket: Unix SOCK_SEQPACKET by name, abstract or a path, and who is at its other end.
//
// A name is bound once, by the first generation, and then handed over as a descriptor. A path outlives a crash, so a start
// must tell a stale one from one in use; that and the bind happen under a lock file, which is left in place (removing a lock
// file is a race of its own).
//
// Threads: any; no state.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log_ring.h"
#include "include/px_handoff.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif

enum {
    LINK_BACKLOG = 128,
    LOCK_WAIT_MS = 2000,  // the lock is held for a few system calls; a holder that was stopped must not stop us
    LOCK_STEP_MS = 10,
    STATE_CONNECTED = 3,  // SS_CONNECTED in include/uapi/linux/net.h, as /proc/net/unix prints it
};

static int open_socket(void) {
    int fd = px__fault_fails("socket") ? -1 : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

// px_fail for a socket that could not be made, with the descriptor limit where that is the reason.
static int fail_socket(struct px_detail *detail, int code, const char *name) {
    uint64_t limit;
    int64_t used;
    if (code != -EMFILE) return px_fail(detail, code, "socket", name, "%s", "");
    px_descriptor_usage(&limit, &used);
    return px_fail(detail, code, "socket", name, "descriptor limit (RLIMIT_NOFILE) is %llu", (unsigned long long)limit);
}

static int bind_addr(int fd, const struct px_addr *addr) {
    return bind(fd, (const struct sockaddr *)addr->storage, addr->length) < 0 ? -errno : 0;
}

static int connect_addr(int fd, const struct px_addr *addr) {
    return connect(fd, (const struct sockaddr *)addr->storage, addr->length) < 0 ? -errno : 0;
}

// Say who holds `name`, as far as a connection shows it.
static int fail_in_use(struct px_detail *detail, const struct px_addr *addr, const char *name) {
    struct px_peer peer = {0};
    int code = -PX_E_NAME_IN_USE;
    int fd = open_socket();
    if (fd >= 0 && connect_addr(fd, addr) == 0 && px_link_peer(fd, &peer) == 0)
        px_fail(detail, code, "bind", name, "held by pid %d of uid %u", peer.pid, peer.uid);
    else
        px_fail(detail, code, "bind", name, "held by a process that does not answer");
    if (fd >= 0) close(fd);
    return code;
}

static int lock_file_open(const char *name, uint32_t mode) {
    char path[PX_ADDR_TEXT];
    if (snprintf(path, sizeof path, "%s.lock", name) >= (int)sizeof path) return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode & 0666);
    if (fd < 0) return -errno;
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_STEP_MS) {
        int code = errno == EWOULDBLOCK ? -PX_E_NAME_IN_USE : -errno;
        if (code != -PX_E_NAME_IN_USE || waited >= LOCK_WAIT_MS) {
            close(fd);
            return code;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOCK_STEP_MS * 1000000L}, NULL);
    }
    return fd;
}

// A socket that is bound and does not listen yet refuses connections exactly as a dead one does, but is listed. So are the
// connections it once accepted, under its path, for as long as they live: those say nothing.
static bool path_is_bound(const char *path) {
    char line[512];
    bool found = false;
    FILE *file = fopen("/proc/net/unix", "re");
    if (!file) return false;
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        int at = 0;  // seven columns, the sixth the state, then the path
        unsigned int state = 0;
        sscanf(line, "%*s %*s %*s %*s %*s %x %*s %n", &state, &at);
        found = at > 0 && state != STATE_CONNECTED && strcmp(line + at, path) == 0;
    }
    fclose(file);
    return found;
}

// Whether what stands at `path` is a socket that nobody holds any more.
static bool path_is_stale(const struct px_addr *addr, const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0) return errno == ENOENT;
    if (!S_ISSOCK(status.st_mode)) return false;
    int fd = open_socket();
    if (fd < 0) return false;
    int code = connect_addr(fd, addr);
    close(fd);
    return code == -ENOENT || (code == -ECONNREFUSED && !path_is_bound(path));
}

static int bind_path(int fd, const struct px_addr *addr, const char *path, uint32_t mode, struct px_detail *detail) {
    // The path is made with the mode of the socket's inode, less the umask: never wider than asked, not even for a moment.
    if (fchmod(fd, mode) < 0) return px_fail(detail, -errno, "fchmod", path, "%s", "");
    int code = bind_addr(fd, addr);
    if (code == -EADDRINUSE) {
        if (!path_is_stale(addr, path)) return fail_in_use(detail, addr, path);
        if (unlink(path) < 0 && errno != ENOENT) return px_fail(detail, -errno, "unlink", path, "stale path of a generation that crashed");
        code = bind_addr(fd, addr);
    }
    if (code < 0) return px_fail(detail, code, "bind", path, "%s", "");
    if (chmod(path, mode) < 0) return px_fail(detail, -errno, "chmod", path, "%s", "");
    return 0;
}

static int bind_path_locked(int fd, const struct px_addr *addr, const char *path, uint32_t mode, struct px_detail *detail) {
    int lock = lock_file_open(path, mode);
    if (lock < 0) return px_fail(detail, lock, "open", path, "lock file %s.lock", path);
    int code = bind_path(fd, addr, path, mode, detail);
    close(lock);
    return code;
}

int px_link_bind(const char *name, uint32_t mode, struct px_detail *detail) {
    struct px_addr addr;
    int code = px_addr_from_path(name, &addr);
    if (code < 0) return px_fail(detail, code, "bind", name, "not a usable socket name (1 to 107 bytes)");
    int fd = open_socket();
    if (fd < 0) return fail_socket(detail, fd, name);
    if (name[0] != '@') {
        code = bind_path_locked(fd, &addr, name, mode & 0777, detail);
    } else {
        code = bind_addr(fd, &addr);
        if (code == -EADDRINUSE) code = fail_in_use(detail, &addr, name);
        else if (code < 0) px_fail(detail, code, "bind", name, "%s", "");
    }
    if (code == 0) return fd;
    close(fd);
    return code;
}

int px_link_listen(int fd) {
    return listen(fd, LINK_BACKLOG) < 0 ? -errno : 0;
}

int px_link_connect(const char *name, struct px_detail *detail) {
    struct px_addr addr;
    int code = px_addr_from_path(name, &addr);
    if (code < 0) return px_fail(detail, code, "connect", name, "not a usable socket name (1 to 107 bytes)");
    int fd = open_socket();
    if (fd < 0) return fail_socket(detail, fd, name);
    code = connect_addr(fd, &addr);
    if (code == 0) return fd;
    close(fd);
    return px_fail(detail, code, "connect", name, "%s", "");
}

int px_link_accept(int fd) {
    for (;;) {
        int link = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (link >= 0) return link;
        // ECONNABORTED: gone while it waited; there may be another behind it.
        if (errno != EINTR && errno != ECONNABORTED) return -errno;
    }
}

int px_link_pair(int32_t fds[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ? -errno : 0;
}

static int get_int(int fd, int name, int *value) {
    socklen_t size = sizeof *value;
    return getsockopt(fd, SOL_SOCKET, name, value, &size) < 0 ? -errno : 0;
}

static int check_kind(int fd) {
    int domain = 0, type = 0;
    int code = get_int(fd, SO_DOMAIN, &domain);
    if (code == 0) code = get_int(fd, SO_TYPE, &type);
    if (code < 0) return code;
    if (domain != AF_UNIX) return -EAFNOSUPPORT;
    return type == SOCK_SEQPACKET ? 0 : -EPROTOTYPE;
}

static bool is_connected(int fd) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
}

int px_link_check_control(int fd) {
    struct px_addr bound;
    int code = check_kind(fd);
    if (code < 0) return code;
    if (is_connected(fd)) return -EISCONN;
    code = px_addr_of_socket(fd, &bound);
    if (code < 0) return code;
    return bound.length > sizeof(sa_family_t) ? 0 : -EADDRNOTAVAIL;  // of a socket without a name only the family is told
}

int px_link_check(int fd) {
    int code = check_kind(fd);
    if (code < 0) return code;
    return is_connected(fd) ? 0 : -ENOTCONN;
}

int px_link_peer(int fd, struct px_peer *out) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -errno;
    *out = (struct px_peer){.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
    return 0;
}

bool px_peer_is_permitted(const struct px_peer *peer) {
    return peer->uid == 0 || peer->uid == geteuid();
}

static bool link_has_ended(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) != 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP));
}

int px_link_peer_pidfd(int fd) {
    struct px_peer peer = {0};
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) return pidfd;
    if (errno != ENOPROTOOPT) return -errno;
    int code = px_link_peer(fd, &peer);
    if (code < 0) return code;
    pidfd = px_pidfd_open(peer.pid);
    // The pid could have been used again only if the peer was gone before we opened it, and then the link has ended.
    if (pidfd >= 0 && link_has_ended(fd)) {
        close(pidfd);
        return -ESRCH;
    }
    return pidfd;
}
