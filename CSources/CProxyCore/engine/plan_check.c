// --mode validate: would the plan's sockets and files open? Told without binding, connecting, resolving or creating anything, so it can
// run beside a serving proxy. Main thread; no state.
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "engine/plan.h"
#include "include/px_engine.h"
#include "net/sock_fail.h"

enum { CAPABILITY_NET_BIND_SERVICE = 10 };  // linux/capability.h

static bool may_bind_low_ports(void) {
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL) return geteuid() == 0;
    char line[256];
    uint64_t effective = 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "CapEff: %" SCNx64, &effective) == 1) break;
    fclose(file);
    return (effective >> CAPABILITY_NET_BIND_SERVICE & 1) != 0;
}

// The address alone, without port and scope, as bytes.
static bool same_host(const struct px_addr *addr, const struct sockaddr *interface) {
    if (interface == NULL || interface->sa_family != px_addr_family(addr)) return false;
    if (interface->sa_family == AF_INET) {
        struct sockaddr_in mine, theirs;
        memcpy(&mine, addr->storage, sizeof mine);
        memcpy(&theirs, interface, sizeof theirs);
        return mine.sin_addr.s_addr == theirs.sin_addr.s_addr;
    }
    struct sockaddr_in6 mine, theirs;
    memcpy(&mine, addr->storage, sizeof mine);
    memcpy(&theirs, interface, sizeof theirs);
    return memcmp(&mine.sin6_addr, &theirs.sin6_addr, sizeof mine.sin6_addr) == 0;
}

// Wildcards, and the whole of 127/8, for which the loopback interface answers.
static bool needs_no_interface(const struct px_addr *addr) {
    if (px_addr_family(addr) == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, addr->storage, sizeof in);
        uint32_t host = ntohl(in.sin_addr.s_addr);
        return host == INADDR_ANY || host >> 24 == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, addr->storage, sizeof in6);
    return IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
}

static bool is_local(const struct px_addr *addr) {
    if (needs_no_interface(addr)) return true;
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) return true;  // cannot be told
    bool found = false;
    for (const struct ifaddrs *at = list; at != NULL && !found; at = at->ifa_next) found = same_host(addr, at->ifa_addr);
    freeifaddrs(list);
    return found;
}

// IP_FREEBIND and IP_TRANSPARENT let an address be bound that no interface has.
static bool binds_freely(const struct px_address_config *address) {
    for (uint32_t i = 0; i < address->option_count; i++) {
        const struct px_socket_option *option = &address->options[i];
        bool ipv4 = option->level == IPPROTO_IP && (option->name == IP_FREEBIND || option->name == IP_TRANSPARENT);
        bool ipv6 = option->level == IPPROTO_IPV6 && (option->name == IPV6_FREEBIND || option->name == IPV6_TRANSPARENT);
        if (option->state == PX_OPTION_PREBIND && (ipv4 || ipv6)) return true;
    }
    return false;
}

static int check_ip(const struct px_address_config *address, struct px_detail *detail) {
    uint16_t port = px_addr_port(&address->addr);
    if (!binds_freely(address) && !is_local(&address->addr)) return px_sock_fail(detail, -EADDRNOTAVAIL, "bind", &address->addr);
    if (port != 0 && port < px_sock_first_free_port() && !may_bind_low_ports())
        return px_sock_fail(detail, -EACCES, "bind", &address->addr);
    return 0;
}

// A file could be made in the directory of `path`: 0 or -errno with `detail`.
static int check_directory(const char *path, const char *call, struct px_detail *detail) {
    char *copy = strdup(path);
    if (copy == NULL) return -ENOMEM;
    const char *directory = dirname(copy);
    struct stat status;
    int result = 0;
    if (stat(directory, &status) != 0)
        result = px_fail(detail, -errno, call, path, "directory %s: %s", directory, px_error_text(-errno));
    else if (!S_ISDIR(status.st_mode))
        result = px_fail(detail, -ENOTDIR, call, path, "%s is not a directory", directory);
    else if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
        result = px_fail(detail, -errno, call, path, "directory %s cannot be written by uid %u", directory, (unsigned)geteuid());
    free(copy);
    return result;
}

static int check_pipe(const struct px_addr *addr, struct px_detail *detail) {
    char path[PX_ADDR_TEXT];
    px_addr_format(addr, path, sizeof path);
    if (path[0] == '@') return 0;
    struct stat status;
    if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        return px_fail(detail, -EADDRINUSE, "bind", path, "there is a file of another kind at this path; it is not removed");
    return check_directory(path, "bind", detail);
}

static int check_log_file(const char *path, struct px_detail *detail) {
    struct stat status;
    if (stat(path, &status) != 0) return check_directory(path, "open", detail);
    if (S_ISDIR(status.st_mode)) return px_fail(detail, -EISDIR, "open", path, "access_log needs a file, this is a directory");
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0) return 0;
    return px_fail(detail, -errno, "open", path, "the file cannot be written by uid %u", (unsigned)geteuid());
}

static int check_listener(const struct px_listener_config *listener, struct px_detail *detail) {
    if (!listener->bind_to_port) return 0;
    for (uint32_t i = 0; i < listener->address_count; i++) {
        const struct px_address_config *address = &listener->addresses[i];
        int result = px_addr_family(&address->addr) == AF_UNIX ? check_pipe(&address->addr, detail) : check_ip(address, detail);
        if (result != 0) return result;
    }
    return 0;
}

int px_plan_check(const px_plan *plan, struct px_detail *detail) {
    int result = 0;
    for (uint32_t i = 0; i < plan->listener_count && result == 0; i++) result = check_listener(&plan->listeners[i]->listener, detail);
    for (uint32_t i = 0; i < plan->log_file_count && result == 0; i++) result = check_log_file(plan->log_files[i]->path, detail);
    return result;
}
