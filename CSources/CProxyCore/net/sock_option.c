// Socket options from the configuration: applied by state, and remembered so that a rollback can put them back.
//
// An option of an inherited socket acts on every process that holds it at once, so these run only at a take-over. No state; any
// thread.
#include <errno.h>
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

size_t px_sock_save_options(int fd, const struct px_socket_option *options, size_t count, struct px_saved_option *saved) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct px_saved_option *slot = &saved[kept];
        socklen_t length = sizeof slot->bytes;
        slot->level = options[i].level;
        slot->name = options[i].name;
        if (getsockopt(fd, slot->level, slot->name, slot->bytes, &length) != 0) continue;
        slot->length = (uint32_t)length;
        kept++;
    }
    return kept;
}

// The kernel reports a buffer size doubled (socket(7)); set as read it would double with every rollback.
static bool is_buffer_size(const struct px_saved_option *saved) {
    return saved->level == SOL_SOCKET && (saved->name == SO_SNDBUF || saved->name == SO_RCVBUF) && saved->length == sizeof(int);
}

void px_sock_restore_options(int fd, const struct px_saved_option *saved, size_t count) {
    while (count-- > 0) {  // backwards: where an option was saved twice, the first value is the original
        struct px_saved_option option = saved[count];
        if (is_buffer_size(&option)) {
            int value;
            memcpy(&value, option.bytes, sizeof value);
            value /= 2;
            memcpy(option.bytes, &value, sizeof value);
        }
        if (setsockopt(fd, option.level, option.name, option.bytes, option.length) != 0)
            px_log(PX_WARNING, "config", "socket option level %d, name %d could not be put back: %s", option.level, option.name,
                px_error_name(errno));
    }
}
