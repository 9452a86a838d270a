// The admin server: its listening socket and the set of its connections (admin_conn.c). Main thread only.
//
// The listening socket may be shared with another generation, so an accept that finds nothing is ordinary, the socket is not shut
// down unless nobody serves its address any more, and O_NONBLOCK, which lives on the shared open file, is set once and never
// toggled.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "engine/admin_conn.h"
#include "net/sock.h"

enum {
    BACKLOG = 128, ACCEPT_BATCH = 16, RETRY_MS = 100, REQUEST_TIMEOUT_MS = 10000, IDLE_TIMEOUT_MS = 60000, LINGER_TIMEOUT_MS = 1000
};

// ---- accepting -------------------------------------------------------------------------------------------------------

// The connection to give up for a new one: the one idle longest, else the one that has been sending a request longest.
static struct px_admin_conn *find_dispensable(px_admin *admin) {
    struct px_admin_conn *found = NULL;
    for (uint32_t i = 0; i < admin->count; i++) {
        struct px_admin_conn *conn = admin->conns[i];
        if (conn->state != PX_ADMIN_READING && conn->state != PX_ADMIN_LINGERING) continue;
        bool idle = conn->input_length == 0, found_idle = found && found->input_length == 0;
        if (!found || idle > found_idle || (idle == found_idle && conn->idle_since_ms < found->idle_since_ms)) found = conn;
    }
    return found;
}

static void take_connection(px_admin *admin, int fd) {
    if (admin->count == PX_ADMIN_CONNECTIONS_MAX) {
        struct px_admin_conn *dispensable = find_dispensable(admin);
        if (!dispensable) {
            px_log(PX_WARNING, "admin", "admin connection refused: %d are open and being answered", PX_ADMIN_CONNECTIONS_MAX);
            close(fd);
            return;
        }
        px__admin_conn_close(dispensable);
    }
    int result = px__admin_conn_open(admin, fd);
    if (result < 0) px_log(PX_WARNING, "admin", "admin connection refused: %s", px_error_text(result));
}

static int listen_again(px_admin *admin);

// Out of descriptors or memory, say: the listener would report readable without end, so it is left alone for a while.
static void pause_accepting(px_admin *admin, int error) {
    px_log(PX_WARNING, "admin", "admin server cannot accept: %s; trying again", px_error_text(error));
    px_loop_remove(admin->loop, &admin->listener);
    px_timer_arm(admin->loop, &admin->retry, RETRY_MS);
}

static void on_retry(struct px_timer *timer) {
    px_admin *admin = (px_admin *)((char *)timer - offsetof(px_admin, retry));
    int result = listen_again(admin);
    if (result < 0) pause_accepting(admin, result);
}

// One connection that failed before it was accepted (accept(2), "Error handling"); the next may be fine.
static bool is_of_one_connection(int error) {
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == ENETDOWN || error == ENOPROTOOPT ||
           error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH || error == EOPNOTSUPP || error == ENETUNREACH;
}

static void on_listener(struct px_handle *handle, uint32_t events) {
    px_admin *admin = (px_admin *)((char *)handle - offsetof(px_admin, listener));
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(admin->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            take_connection(admin, fd);
        } else if (errno == EAGAIN) {  // also when another process was faster
            return;
        } else if (!is_of_one_connection(errno)) {
            pause_accepting(admin, -errno);
            return;
        }
    }
}

// Level-triggered: what a batch leaves in the queue, or another process, is reported again.
static int listen_again(px_admin *admin) {
    return px_loop_add(admin->loop, &admin->listener, admin->fd, PX_LEVEL | PX_READ_ONLY);
}

// ---- the listening socket --------------------------------------------------------------------------------------------

static const char *advice_of(int error) {
    switch (error) {
        case EADDRINUSE: return "another process holds it (or, if it is a path, it is no socket)";
        case EACCES: return "no permission (ports below 1024 need CAP_NET_BIND_SERVICE)";
        case EADDRNOTAVAIL: return "this machine has no such address";
        case EMFILE: return "descriptor limit reached";
        default: return "";
    }
}

static int set_options(int fd, int family) {
    int one = 1;
    if (family == AF_UNIX) return 0;
    // Else a start soon after a stop fails while connections of the old process are in TIME_WAIT.
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) return -errno;
    // As Envoy without ipv4_compat: [::] does not take the IPv4 side of the port.
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) return -errno;
    return 0;
}

// A socket's path on which nobody listens is what a crash has left behind. (A plain file refuses connections too.)
static bool remove_stale_path(const struct px_addr *addr) {
    char path[PX_ADDR_TEXT];
    struct stat status;
    px_addr_format(addr, path, sizeof path);
    if (px_addr_family(addr) != AF_UNIX || path[0] == '@') return false;
    if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode)) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    bool refused = connect(fd, (const struct sockaddr *)addr->storage, addr->length) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused && unlink(path) == 0;
}

static int bind_to(int fd, const struct px_addr *addr) {
    if (bind(fd, (const struct sockaddr *)addr->storage, addr->length) == 0) return 0;
    if (errno != EADDRINUSE) return -errno;
    if (!remove_stale_path(addr)) return -EADDRINUSE;
    return bind(fd, (const struct sockaddr *)addr->storage, addr->length) < 0 ? -errno : 0;
}

static void share_port(int fd, int shared) {
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof shared);
}

// The kernel lets two sockets listen at a port only if both share it and belong to one user, and looks when one is bound and when it begins
// to listen (inet_csk_bind_conflict). So both share it until ours listens; from then on nobody else gets in, as with any admin server.
static int bind_beside(px_admin *admin, int fd, const struct px_addr *addr, int other) {
    struct px_addr theirs;
    int result = bind_to(fd, addr);
    if (result != -EADDRINUSE || other < 0 || px_addr_family(addr) == AF_UNIX || px_addr_of_socket(other, &theirs) < 0) return result;
    if (!px_addr_covers(addr, &theirs) && !px_addr_covers(&theirs, addr)) return result;
    share_port(fd, 1);
    share_port(other, 1);
    result = bind_to(fd, addr);
    admin->shares_port = result == 0;
    return result;
}

int px_admin_open_beside(px_admin *admin, const struct px_addr *addr, int other, struct px_detail *detail) {
    char text[PX_ADDR_TEXT];
    const char *call = "socket";
    int result, fd = -1;
    px_addr_format(addr, text, sizeof text);
    if (admin->fd >= 0) return px_fail(detail, -EBUSY, call, text, "the admin server has its socket already");
    fd = socket(px_addr_family(addr), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    result = fd < 0 ? -errno : 0;
    if (result < 0) goto fail;
    call = "setsockopt";
    result = set_options(fd, px_addr_family(addr));
    if (result < 0) goto fail;
    call = "bind";
    result = bind_beside(admin, fd, addr, other);
    if (result < 0) goto fail;
    admin->fd = fd;
    return 0;
fail:
    if (fd >= 0) close(fd);
    return px_fail(detail, result, call, text, "%s", advice_of(-result));
}

int px_admin_open(px_admin *admin, const struct px_addr *addr, struct px_detail *detail) {
    return px_admin_open_beside(admin, addr, -1, detail);
}

int px_admin_check_fd(int fd) {
    return px_sock_check_listener(fd);
}

int px_admin_adopt_fd(px_admin *admin, int fd) {
    if (admin->fd >= 0) return -EBUSY;
    int result = px_admin_check_fd(fd);
    if (result < 0) return result;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    // Every generation of ours has it set; a blocking one, from elsewhere, would hang in accept.
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
    admin->fd = fd;
    return 0;
}

int px_admin_fd(const px_admin *admin) {
    return admin->fd;
}

int px_admin_address(const px_admin *admin, struct px_addr *out) {
    return px_addr_of_socket(admin->fd, out);
}

// ---- life ------------------------------------------------------------------------------------------------------------

px_admin *px_admin_create(px_mainloop *mainloop) {
    px_admin *admin = calloc(1, sizeof *admin);
    if (!admin) return NULL;
    admin->mainloop = mainloop;
    admin->loop = px__mainloop_loop(mainloop);
    admin->fd = -1;
    admin->listener = (struct px_handle){.on_events = on_listener, .fd = -1};
    admin->retry.on_fire = on_retry;
    admin->request_timeout_ms = REQUEST_TIMEOUT_MS;
    admin->idle_timeout_ms = IDLE_TIMEOUT_MS;
    admin->linger_timeout_ms = LINGER_TIMEOUT_MS;
    return admin;
}

static void stop_accepting(px_admin *admin) {
    px_loop_remove(admin->loop, &admin->listener);
    px_timer_cancel(admin->loop, &admin->retry);
    admin->serving = false;
}

void px_admin_destroy(px_admin *admin) {
    if (!admin) return;
    stop_accepting(admin);
    while (admin->count) px__admin_conn_close(admin->conns[admin->count - 1]);
    if (admin->fd >= 0) close(admin->fd);
    free(admin);
}

int px_admin_start(px_admin *admin) {
    if (admin->serving) return 0;
    if (listen(admin->fd, BACKLOG) < 0) return -errno;
    if (admin->shares_port) share_port(admin->fd, 0);
    admin->shares_port = false;
    int result = listen_again(admin);
    admin->serving = result == 0;
    return result;
}

void px_admin_stop(px_admin *admin) {
    if (!admin->serving) return;
    stop_accepting(admin);
    // Each looks once more for a request that is already there, is answered with "connection: close", or closes if idle.
    for (uint32_t i = 0; i < admin->count; i++) {
        if (admin->conns[i]->state == PX_ADMIN_READING) px__admin_conn_resume(admin->conns[i]);
    }
}

void px_admin_abandon(px_admin *admin) {
    if (admin->fd < 0) return;
    if (admin->serving) on_listener(&admin->listener, 0);
    px_admin_stop(admin);
    shutdown(admin->fd, SHUT_RD);
    close(admin->fd);
    admin->fd = -1;
}

void px_admin_respond(px_admin *admin, uint64_t request_id, uint32_t status, const char *content_type, const char *extra,
    const uint8_t *body, size_t length) {
    for (uint32_t i = 0; i < admin->count; i++) {
        struct px_admin_conn *conn = admin->conns[i];
        if (conn->state != PX_ADMIN_WAITING || conn->request_id != request_id) continue;
        px__admin_conn_respond(conn, status, content_type, extra, body, length);
        return;
    }
}
