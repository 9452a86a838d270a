// Why a socket could not be had, in words: limits and their use, missing rights, who holds an address. Slow paths only; any thread.
#include "net/sock_fail.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "net/sock.h"

uint16_t px_sock_first_free_port(void) {
    unsigned port = 1024;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    if (file == NULL) return (uint16_t)port;
    if (fscanf(file, "%u", &port) != 1 || port > UINT16_MAX) port = 1024;
    fclose(file);
    return (uint16_t)port;
}

static void describe_descriptors(char *text, size_t size) {
    uint64_t limit;
    int64_t used;
    px_descriptor_usage(&limit, &used);
    snprintf(text, size, "%lld of %llu file descriptors are in use; raise the limit (ulimit -n, LimitNOFILE=)", (long long)used,
        (unsigned long long)limit);
}

// A Unix path may also be taken by a file, which binding never replaces.
static bool is_other_file(const struct px_addr *addr) {
    char path[PX_ADDR_TEXT];
    struct stat status;
    if (px_addr_family(addr) != AF_UNIX || px_addr_format(addr, path, sizeof path)[0] != '/') return false;
    return lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode);
}

static void describe_holder(const struct px_addr *addr, char *text, size_t size) {
    char holder[160];
    if (is_other_file(addr)) {
        snprintf(text, size, "there is a file of another kind at this path; it is not removed");
        return;
    }
    px_sock_holder(addr, holder, sizeof holder);
    if (holder[0] != '\0')
        snprintf(text, size, "held by %s; stop it or choose another address", holder);
    else
        snprintf(text, size, "somebody else listens there (who cannot be seen from here: another user's process or another container?)");
}

static void describe_rights(const struct px_addr *addr, char *text, size_t size) {
    if (px_addr_family(addr) == AF_UNIX) {
        snprintf(text, size, "the directory cannot be written by uid %u, or a directory above it cannot be entered", (unsigned)geteuid());
        return;
    }
    snprintf(text, size,
        "ports below %u need CAP_NET_BIND_SERVICE (AmbientCapabilities=, setcap) or a lower net.ipv4.ip_unprivileged_port_start",
        (unsigned)px_sock_first_free_port());
}

static void describe(int code, const struct px_addr *addr, char *text, size_t size) {
    bool is_pipe = px_addr_family(addr) == AF_UNIX, is_ipv6 = px_addr_family(addr) == AF_INET6;
    switch (-code) {
        case EMFILE: describe_descriptors(text, size); break;
        case ENFILE: snprintf(text, size, "the whole system's file descriptors are in use (fs.file-max)"); break;
        case EADDRINUSE: describe_holder(addr, text, size); break;
        case EACCES:
        case EPERM: describe_rights(addr, text, size); break;
        case EADDRNOTAVAIL:
            snprintf(text, size, "no interface of this machine has this address (use freebind to bind it nevertheless)");
            break;
        case EAFNOSUPPORT:
            snprintf(text, size, "this kernel has no %s", is_ipv6 ? "IPv6 (ipv6.disable?)" : "such address family");
            break;
        case ENOENT: snprintf(text, size, is_pipe ? "the directory does not exist" : "not found"); break;
        case EROFS: snprintf(text, size, "the file system is read-only"); break;
        case ENOBUFS:
        case ENOMEM: snprintf(text, size, "the kernel is out of memory for sockets"); break;
        default: break;
    }
}

int px_sock_fail(struct px_detail *detail, int code, const char *call, const struct px_addr *addr) {
    if (detail == NULL) return code;
    char object[PX_ADDR_TEXT] = "socket", text[sizeof detail->text] = "";
    if (addr->length > 0) px_addr_format(addr, object, sizeof object);
    describe(code, addr, text, sizeof text);
    return px_fail(detail, code, call, object, "%s", text);
}
