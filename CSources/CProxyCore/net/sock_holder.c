// Who listens on an address: the inode from /proc/net, then the process that has it open from /proc/<pid>/fd. Only processes of the
// same user (or all, for root) can be seen, in the same network namespace. Runs once, when a start fails; the scan ends after a
// fixed number of entries and two seconds (it takes some milliseconds, but on a machine that is overloaded most of the time is others').
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/sock.h"

enum { SCAN_ENTRIES_MAX = 200000, SCAN_NS_MAX = 2000000000 };

// ---- the inode ------------------------------------------------------------------------------------------------------------------

// An address of /proc/net/tcp{,6}: 32-bit words in hex, each in the machine's byte order; "0A" is TCP_LISTEN.
static bool tcp_line_matches(const char *line, const struct px_addr *addr, uint64_t *inode) {
    char host[40];
    unsigned port, state;
    if (sscanf(line, " %*u: %39[0-9A-F]:%x %*s %x %*s %*s %*s %*u %*u %" SCNu64, host, &port, &state, inode) != 4) return false;
    if (state != 0x0a || port != px_addr_port(addr)) return false;
    uint32_t words[4] = {0};
    size_t count = strlen(host) / 8;
    for (size_t i = 0; i < count && i < 4; i++) {
        char word[9] = {0};
        memcpy(word, host + 8 * i, 8);
        words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    struct px_addr listed = {0};
    if (count == 1) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = words[0]};
        memcpy(listed.storage, &in, listed.length = sizeof in);
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        memcpy(&in6.sin6_addr, words, sizeof in6.sin6_addr);
        memcpy(listed.storage, &in6, listed.length = sizeof in6);
    }
    return px_addr_equal(&listed, addr) || px_addr_covers(&listed, addr) || px_addr_covers(addr, &listed);
}

// "address: refs protocol flags type state inode path"; flag 0x10000 is __SO_ACCEPTCON.
static bool unix_line_matches(const char *line, const struct px_addr *addr, uint64_t *inode) {
    unsigned flags;
    int path_at = 0;
    if (sscanf(line, "%*x: %*x %*x %x %*x %*x %" SCNu64 " %n", &flags, inode, &path_at) != 2 || path_at == 0) return false;
    char path[PX_ADDR_TEXT];
    px_addr_format(addr, path, sizeof path);
    return (flags & 0x10000) != 0 && strcmp(line + path_at, path) == 0;
}

typedef bool (*line_fn)(const char *line, const struct px_addr *addr, uint64_t *inode);

static bool find_inode(const char *table, line_fn matches, const struct px_addr *addr, uint64_t *inode) {
    FILE *file = fopen(table, "re");
    if (file == NULL) return false;
    char line[512];
    bool found = false;
    for (int i = 0; !found && i < SCAN_ENTRIES_MAX && fgets(line, sizeof line, file) != NULL; i++) {
        line[strcspn(line, "\n")] = '\0';
        found = matches(line, addr, inode);
    }
    fclose(file);
    return found;
}

static bool inode_of_listener(const struct px_addr *addr, uint64_t *inode) {
    if (px_addr_family(addr) == AF_UNIX) return find_inode("/proc/net/unix", unix_line_matches, addr, inode);
    return find_inode("/proc/net/tcp", tcp_line_matches, addr, inode) || find_inode("/proc/net/tcp6", tcp_line_matches, addr, inode);
}

// ---- the process ----------------------------------------------------------------------------------------------------------------

static bool process_has(const char *pid, const char *wanted, int *budget) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *directory = opendir(path);
    if (directory == NULL) return false;
    bool found = false;
    for (struct dirent *entry; !found && *budget > 0 && (entry = readdir(directory)) != NULL; --*budget) {
        char target[64];
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        if (length < 0) continue;
        target[length] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    closedir(directory);
    return found;
}

static void describe_process(const char *pid, char *text, size_t size) {
    char path[64], name[64] = "?";
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) != NULL) name[strcspn(name, "\n")] = '\0';
        fclose(file);
    }
    snprintf(text, size, "pid %.20s (%s)", pid, name);
}

const char *px_sock_holder(const struct px_addr *addr, char *text, size_t size) {
    text[0] = '\0';
    uint64_t inode;
    if (!inode_of_listener(addr, &inode)) return text;
    char wanted[40];
    snprintf(wanted, sizeof wanted, "socket:[%" PRIu64 "]", inode);
    DIR *directory = opendir("/proc");
    if (directory == NULL) return text;
    uint64_t give_up = px_clock_monotonic_ns() + SCAN_NS_MAX;
    int budget = SCAN_ENTRIES_MAX;
    for (struct dirent *entry; budget > 0 && (entry = readdir(directory)) != NULL; budget--) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        if (process_has(entry->d_name, wanted, &budget)) {
            describe_process(entry->d_name, text, size);
            break;
        }
        if (px_clock_monotonic_ns() > give_up) break;
    }
    closedir(directory);
    return text;
}
