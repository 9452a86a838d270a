// Socket options from the configuration: applied by state, and remembered so that a rollback can put them back.
//
// An option of an inherited socket acts on every process that holds it at once, so these run only at a take-over. No state; any
// thread.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log_ring.h"
#include "net/sock.h"

static int apply_one(int fd, const struct px_socket_option *option) {
    const void *bytes = option->is_int ? (const void *)&option->int_value : option->bytes;
    size_t length = option->is_int ? sizeof option->int_value : option->length;
    return setsockopt(fd, option->level, option->name, bytes, (socklen_t)length) == 0 ? 0 : -errno;
}

static int option_fail(struct px_detail *detail, int fd, int code, const struct px_socket_option *option) {
    struct px_addr addr;
    char object[PX_ADDR_TEXT] = "socket";
    if (px_addr_of_socket(fd, &addr) == 0) px_addr_format(&addr, object, sizeof object);
    const char *remedy = "";
    if (code == -EPERM || code == -EACCES) remedy = "; it needs a right this process does not have (CAP_NET_ADMIN or CAP_NET_RAW)";
    if (code == -ENOPROTOOPT) remedy = "; this kernel or this kind of socket does not know it";
    if (code == -EINVAL || code == -EOPNOTSUPP) remedy = "; the value or its length does not suit this option in this state";
    return px_fail(detail, code, "setsockopt", object, "socket option level %d, name %d, value %d of %zu bytes%s", option->level,
        option->name, option->int_value, option->is_int ? sizeof option->int_value : option->length, remedy);
}

int px_sock_apply_options(int fd, const struct px_socket_option *options, size_t count, int state, struct px_detail *detail) {
    for (size_t i = 0; i < count; i++) {
        if (state >= 0 && (int)options[i].state != state) continue;
        int result = apply_one(fd, &options[i]);
        if (result != 0) return option_fail(detail, fd, result, &options[i]);
    }
    return 0;
}

// 0, or -errno where the option cannot be read or is longer than the slot.
static int read_option(int fd, int32_t level, int32_t name, struct px_saved_option *out) {
    socklen_t length = sizeof out->bytes;
    *out = (struct px_saved_option){.level = level, .name = name};
    if (getsockopt(fd, level, name, out->bytes, &length) != 0) return -errno;
    out->length = (uint32_t)length;
    return length < sizeof out->bytes ? 0 : -EMSGSIZE;
}

size_t px_sock_save_options(int fd, const struct px_option_name *names, size_t count, struct px_saved_option *saved) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (read_option(fd, names[i].level, names[i].name, &saved[kept]) == 0) kept++;
    }
    return kept;
}

static bool is_unchanged(int fd, const struct px_saved_option *saved) {
    struct px_saved_option now;
    return read_option(fd, saved->level, saved->name, &now) == 0 && now.length == saved->length &&
           memcmp(now.bytes, saved->bytes, now.length) == 0;
}

// What has to be set to have `value` read again. A buffer size is reported doubled (socket(7)). A socket without TCP_MAXSEG reports
// TCP_MSS_DEFAULT, and 0 unsets it (do_tcp_getsockopt, tcp_sock_set_maxseg).
static int value_to_set(const struct px_saved_option *saved, int value) {
    if (saved->level == SOL_SOCKET && (saved->name == SO_SNDBUF || saved->name == SO_RCVBUF)) return value / 2;
    if (saved->level == IPPROTO_TCP && saved->name == TCP_MAXSEG && value == (int)TCP_MSS_DEFAULT) return 0;
    return value;
}

static void restore_option(int fd, struct px_saved_option option) {
    int value;
    if (option.length == sizeof value) {
        memcpy(&value, option.bytes, sizeof value);
        value = value_to_set(&option, value);
        memcpy(option.bytes, &value, sizeof value);
    }
    if (setsockopt(fd, option.level, option.name, option.bytes, option.length) == 0) return;
    px_log(PX_WARNING, "config", "socket option level %d, name %d could not be put back: %s", option.level, option.name, px_error_name(errno));
}

void px_sock_restore_options(int fd, const struct px_saved_option *saved, size_t count) {
    while (count-- > 0) {  // backwards: where an option was saved twice, the first value is the original
        if (!is_unchanged(fd, &saved[count])) restore_option(fd, saved[count]);
    }
}
