// One packet with its descriptors, sent or received. Never blocks and never leaks: whatever descriptors arrive with a packet
// that cannot be used as it is are closed here.
//
// Kernel facts: SCM_RIGHTS beyond RLIMIT_NOFILE sets MSG_CTRUNC and delivers those that fitted (net/core/scm.c); queued
// descriptors count against RLIMIT_NOFILE of the sending user, over which sendmsg gives ETOOMANYREFS.
//
// Threads: any, one per link.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "handoff/wire.h"
#include "include/px_handoff.h"

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(PX_PACKET_FDS_MAX * sizeof(int32_t))];
};

int px_link_send(int fd, const uint8_t *bytes, uint32_t length, const int32_t *fds, uint32_t count) {
    union control control;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    // A packet of no bytes would look like the end of the link to the receiver.
    if (length == 0 || length > PX_PACKET_MAX || count > PX_PACKET_FDS_MAX) return -EINVAL;
    if (count > 0 && px__fault_drops()) count--;
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof *fds);
        memcpy(CMSG_DATA(header), fds, count * sizeof *fds);
    }
    if (px__fault_truncates()) part.iov_len = length / 2;
    for (;;) {
        if (px__fault_fails("sendmsg")) return -errno;
        if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
        if (errno != EINTR) return -errno;
    }
}

static void close_all(const int32_t *fds, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) close(fds[i]);
}

static uint32_t take_descriptors(struct msghdr *message, int32_t *fds) {
    uint32_t count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        uint32_t here = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof *fds);
        memcpy(fds + count, CMSG_DATA(header), here * sizeof *fds);
        count += here;
    }
    return count;
}

// What is no packet of ours says that it has no descriptors.
static uint32_t descriptors_said(const uint8_t *bytes, uint32_t length) {
    struct px_wire_header header;
    if (length < sizeof header) return 0;
    memcpy(&header, bytes, sizeof header);
    return header.magic == PX_WIRE_MAGIC ? header.descriptors : 0;
}

// A side that closed with packets of ours unread makes the next call here fail once with ECONNRESET (net/unix/af_unix.c,
// unix_release_sock), even while packets it sent before are queued. Those come first: the last may say why it left.
static ssize_t receive_message(int fd, struct msghdr *message) {
    bool was_reset = false;
    for (;;) {
        ssize_t length = recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (length >= 0) return length;
        if (errno == ECONNRESET && !was_reset) was_reset = true;
        else if (errno != EINTR) return -errno;
    }
}

int px_link_receive(int fd, uint8_t *bytes, uint32_t capacity, int32_t *fds, uint32_t *count) {
    union control control;
    struct iovec part = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int code = 0;
    ssize_t length;
    *count = 0;
    length = receive_message(fd, &message);
    if (length < 0) return (int)length;

    uint32_t came = take_descriptors(&message, fds);
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) code = -PX_E_TRUNCATED;
    else if (length == 0) code = -PX_E_CLOSED;
    else if (came != descriptors_said(bytes, (uint32_t)length)) code = -PX_E_DESCRIPTOR_COUNT;
    if (code < 0) {
        close_all(fds, came);
        return code;
    }
    *count = came;
    return (int)length;
}
