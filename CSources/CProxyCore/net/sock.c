// Sockets as the kernel has them: making, binding, listening, connecting. No state; any thread.
//
// Each function that opens owns the descriptor until it returns it; on failure nothing stays open and no path stays bound. Texts of
// failures are made in sock_fail.c.
#include "net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "net/sock_fail.h"

static struct sockaddr_storage to_sockaddr(const struct px_addr *addr) {
    struct sockaddr_storage storage = {0};
    memcpy(&storage, addr->storage, addr->length <= PX_ADDR_BYTES ? addr->length : PX_ADDR_BYTES);
    return storage;
}

static int bind_addr(int fd, const struct px_addr *addr) {
    struct sockaddr_storage storage = to_sockaddr(addr);
    return !px__fault_fails("bind") && bind(fd, (const struct sockaddr *)&storage, addr->length) == 0 ? 0 : -errno;
}

static int connect_addr(int fd, const struct px_addr *addr) {
    struct sockaddr_storage storage = to_sockaddr(addr);
    return connect(fd, (const struct sockaddr *)&storage, addr->length) == 0 ? 0 : -errno;
}

static int open_stream(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 ? fd : -errno;
}

static int set_int(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

// ---- Unix paths ---------------------------------------------------------------------------------------------------------------

// The path of a Unix address, or NULL for an abstract or other address.
static const char *pipe_path(const struct px_addr *addr, char path[PX_ADDR_BYTES + 1]) {
    if (px_addr_family(addr) != AF_UNIX) return NULL;
    size_t start = offsetof(struct sockaddr_un, sun_path);
    if (addr->length <= start || addr->storage[start] == '\0') return NULL;
    memcpy(path, addr->storage + start, addr->length - start);
    path[addr->length - start] = '\0';
    return path;
}

// Does anybody listen there? 1, 0 (refused, or no such path), or -errno where it cannot be told.
static int pipe_answers(const struct px_addr *addr) {
    int fd = open_stream(AF_UNIX);
    if (fd < 0) return fd;
    int result = connect_addr(fd, addr);
    close(fd);
    if (result == 0 || result == -EAGAIN) return 1;  // EAGAIN: somebody listens and the queue is full (unix(7))
    if (result == -ECONNREFUSED || result == -ENOENT) return 0;
    return result;
}

// A socket file that a crash left behind. Anything else at that path is not ours to remove.
static void remove_stale_path(const char *path) {
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode)) (void)unlink(path);
}

static int bind_pipe(int fd, const struct px_addr *addr, uint32_t mode, bool replace) {
    char path_buffer[PX_ADDR_BYTES + 1];
    const char *path = pipe_path(addr, path_buffer);
    if (path != NULL && replace) remove_stale_path(path);
    int result = bind_addr(fd, addr);
    if (result == -EADDRINUSE && path != NULL && pipe_answers(addr) == 0) {
        remove_stale_path(path);
        result = bind_addr(fd, addr);
    }
    if (result != 0 || path == NULL || mode == 0) return result;
    if (chmod(path, (mode_t)mode) == 0) return 0;
    result = -errno;
    (void)unlink(path);
    return result;
}

int px_sock_rebind_pipe(const struct px_addr *addr, uint32_t mode, struct px_detail *detail) {
    if (px_addr_family(addr) != AF_UNIX) return px_sock_fail(detail, -EAFNOSUPPORT, "bind", addr);
    int fd = open_stream(AF_UNIX);
    if (fd < 0) return px_sock_fail(detail, fd, "socket", addr);
    int result = bind_pipe(fd, addr, mode, true);
    if (result == 0) return fd;
    close(fd);
    return px_sock_fail(detail, result, "bind", addr);
}

// ---- listening sockets ----------------------------------------------------------------------------------------------------------

// What must stand before bind(). SO_REUSEADDR lets a restart bind beside connections in TIME_WAIT.
static int prepare_ip(int fd, const struct px_bind_spec *spec) {
    int result = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (result == 0 && px_addr_family(&spec->addr) == AF_INET6)
        result = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !spec->ipv4_compat);
    if (result == 0 && spec->reuse_port) result = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return result;
}

static int bind_exactly(const struct px_bind_spec *spec, struct px_detail *detail) {
    const struct px_addr *addr = &spec->addr;
    bool is_pipe = px_addr_family(addr) == AF_UNIX;
    int fd = open_stream(px_addr_family(addr));
    if (fd < 0) return px_sock_fail(detail, fd, "socket", addr);
    int result = is_pipe ? 0 : prepare_ip(fd, spec);
    if (result != 0) {
        px_sock_fail(detail, result, "setsockopt", addr);
        goto failed;
    }
    result = px_sock_apply_options(fd, spec->options, spec->option_count, PX_OPTION_PREBIND, detail);
    if (result != 0) goto failed;
    result = is_pipe ? bind_pipe(fd, addr, spec->pipe_mode, false) : bind_addr(fd, addr);
    if (result != 0) {
        px_sock_fail(detail, result, "bind", addr);
        goto failed;
    }
    result = px_sock_apply_options(fd, spec->options, spec->option_count, PX_OPTION_BOUND, detail);
    if (result == 0) return fd;
    char path[PX_ADDR_BYTES + 1];
    if (pipe_path(addr, path) != NULL) (void)unlink(path);

failed:
    close(fd);
    return result;
}

// A port that the kernel chose is given up by shutdown() (tcp_set_state: no SOCK_BINDPORT_LOCK), and a later listen() would be on another
// one. So the chosen port is bound once more by its number, while the first socket keeps it from others.
static int bind_any_port(const struct px_bind_spec *spec, struct px_detail *detail) {
    int keeper = bind_exactly(spec, detail);
    if (keeper < 0) return keeper;
    struct px_bind_spec exact = *spec;
    int fd = px_addr_of_socket(keeper, &exact.addr) == 0 ? bind_exactly(&exact, NULL) : -1;
    if (fd < 0) return keeper;  // say, because an option takes SO_REUSEADDR away again
    close(keeper);
    return fd;
}

int px_sock_bind(const struct px_bind_spec *spec, struct px_detail *detail) {
    bool any_port = px_addr_family(&spec->addr) != AF_UNIX && px_addr_port(&spec->addr) == 0;
    return any_port ? bind_any_port(spec, detail) : bind_exactly(spec, detail);
}

int px_sock_probe(const struct px_addr *addr, struct px_detail *detail) {
    if (px_addr_family(addr) == AF_UNIX) return pipe_answers(addr) == 1 ? px_sock_fail(detail, -EADDRINUSE, "bind", addr) : 0;
    if (px_addr_port(addr) == 0) return 0;  // the kernel picks a free one
    // SO_REUSEADDR: an address with connections in TIME_WAIT is free, one with a listener is not (inet_csk_bind_conflict).
    struct px_bind_spec spec = {.addr = *addr};
    int fd = open_stream(px_addr_family(addr));
    if (fd < 0) return px_sock_fail(detail, fd, "socket", addr);
    int result = prepare_ip(fd, &spec);
    // A free address that is not up yet, or a port we may not take, is for the real bind to report, with its options set.
    if (result == 0 && bind_addr(fd, addr) == -EADDRINUSE) result = -EADDRINUSE;
    close(fd);
    return result == 0 ? 0 : px_sock_fail(detail, result, "bind", addr);
}

int px_sock_listen(int fd, int32_t backlog, const struct px_socket_option *options, size_t count, struct px_detail *detail) {
    // The kernel cuts a backlog to net.core.somaxconn.
    if (px__fault_fails("listen") || listen(fd, backlog > 0 ? backlog : INT32_MAX) != 0) {
        int result = -errno;
        struct px_addr addr;
        if (px_addr_of_socket(fd, &addr) != 0) addr.length = 0;
        return px_sock_fail(detail, result, "listen", &addr);
    }
    return px_sock_apply_options(fd, options, count, PX_OPTION_LISTENING, detail);
}

static int get_int(int fd, int name, int *value) {
    socklen_t length = sizeof *value;
    return getsockopt(fd, SOL_SOCKET, name, value, &length) == 0 ? 0 : -errno;
}

int px_sock_is_listening(int fd) {
    int listening = 0;
    int result = get_int(fd, SO_ACCEPTCONN, &listening);
    return result != 0 ? result : listening != 0;
}

int px_sock_check_listener(int fd) {
    int type = 0, domain = 0;
    int result = get_int(fd, SO_TYPE, &type);
    if (result == 0) result = get_int(fd, SO_DOMAIN, &domain);
    if (result != 0) return result;
    if (type != SOCK_STREAM) return -EPROTOTYPE;
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX) return -EAFNOSUPPORT;
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0) return -EISCONN;
    struct px_addr bound;
    result = px_addr_of_socket(fd, &bound);
    if (result != 0) return result;
    bool named = domain == AF_UNIX ? bound.length > sizeof(sa_family_t) : px_addr_port(&bound) != 0;
    return named ? 0 : -EADDRNOTAVAIL;
}

int px_sock_set_reuse_port(int fd) { return set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1); }

int px_sock_adopt_flags(int fd) {
    int status = fcntl(fd, F_GETFL);
    if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0) return -errno;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : -errno;
}

// ---- upstream connections -------------------------------------------------------------------------------------------------------

static int set_if_given(int fd, int name, uint32_t value) {
    return value > 0 && value <= INT32_MAX ? set_int(fd, IPPROTO_TCP, name, (int)value) : 0;
}

static int set_keepalive(int fd, const struct px_keepalive *keepalive) {
    int result = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (result == 0) result = set_if_given(fd, TCP_KEEPCNT, keepalive->probes);
    if (result == 0) result = set_if_given(fd, TCP_KEEPIDLE, keepalive->time_s);
    if (result == 0) result = set_if_given(fd, TCP_KEEPINTVL, keepalive->interval_s);
    return result;
}

int px_sock_connect(const struct px_addr *addr, const struct px_keepalive *keepalive, bool *connected) {
    int fd = open_stream(px_addr_family(addr));
    if (fd < 0) return fd;
    int result = 0;
    if (px_addr_family(addr) != AF_UNIX) {
        px_sock_no_delay(fd);
        if (keepalive->enabled) result = set_keepalive(fd, keepalive);
    }
    if (result == 0) result = connect_addr(fd, addr);
    *connected = result == 0;
    if (result == 0 || result == -EINPROGRESS) return fd;
    close(fd);
    return result;
}

int px_sock_error(int fd) {
    int pending = 0;
    int result = get_int(fd, SO_ERROR, &pending);
    return result != 0 ? result : -pending;
}

void px_sock_no_delay(int fd) { (void)set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1); }
