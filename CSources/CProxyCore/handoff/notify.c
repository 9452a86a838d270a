// One datagram to a service manager (sd_notify(3)); the text is composed by the caller.
//
// Threads: any; no state. Never waits: a manager that does not read loses the message, not us.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "include/px_handoff.h"

int px_notify(const char *socket_path, const char *text) {
    struct px_addr addr;
    int code = px_addr_from_path(socket_path, &addr);
    if (code < 0) return code;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)addr.storage, addr.length);
    code = sent < 0 ? -errno : 0;
    close(fd);
    return code;
}
