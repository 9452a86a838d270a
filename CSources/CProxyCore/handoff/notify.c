// One datagram to a service manager (sd_notify(3)), and what such a manager keeps for us; the text is composed by the caller.
//
// Threads: any; no state. Never waits: a manager that does not read loses the message, not us.
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "include/px_handoff.h"

static int send_datagram(const char *socket_path, const struct iovec *text, void *control, size_t control_length) {
    struct px_addr addr;
    int code = px_addr_from_path(socket_path, &addr);
    if (code < 0) return code;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    const struct msghdr message = {
        .msg_name = addr.storage,
        .msg_namelen = addr.length,
        .msg_iov = (struct iovec *)text,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = control_length,
    };
    code = sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
    close(fd);
    return code;
}

int px_notify(const char *socket_path, const char *text) {
    const struct iovec part = {.iov_base = (char *)text, .iov_len = strlen(text)};
    return send_datagram(socket_path, &part, NULL, 0);
}

int px_notify_fd(const char *socket_path, const char *text, int fd) {
    const struct iovec part = {.iov_base = (char *)text, .iov_len = strlen(text)};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return send_datagram(socket_path, &part, &control, sizeof control.room);
}

int px_memory_file(const char *name, const void *bytes, size_t length) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) return -errno;
    for (size_t written = 0; written < length;) {
        ssize_t count = write(fd, (const char *)bytes + written, length - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            int code = count < 0 ? -errno : -ENOSPC;
            close(fd);
            return code;
        }
        written += (size_t)count;
    }
    return fd;
}
