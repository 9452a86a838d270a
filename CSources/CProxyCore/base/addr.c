// Socket addresses as values: made from text, printed, compared. Stateless, any thread.
//
// The bytes are copied in and out of sockaddr structures, never cast, so that alignment and aliasing are no question. Every
// reader goes through load_…, which checks the length first: an address may come from another process.
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "include/px_base.h"

_Static_assert(sizeof(struct sockaddr_un) <= PX_ADDR_BYTES, "the largest address fits");

enum { UNIX_HEAD = offsetof(struct sockaddr_un, sun_path) };

static void store(struct px_addr *out, const void *address, size_t length) {
    memset(out, 0, sizeof *out);
    memcpy(out->storage, address, length);
    out->length = (uint32_t)length;
}

static bool load(const struct px_addr *addr, int family, void *out, size_t size) {
    if (px_addr_family(addr) != family || addr->length < size) return false;
    memcpy(out, addr->storage, size);
    return true;
}

int px_addr_family(const struct px_addr *addr) {
    sa_family_t family;
    if (addr->length < sizeof family || addr->length > PX_ADDR_BYTES) return AF_UNSPEC;
    memcpy(&family, addr->storage, sizeof family);
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX ? family : AF_UNSPEC;
}

// A scope is an interface's name or its number, RFC 4007 section 11.2.
static bool parse_scope(const char *text, uint32_t *scope) {
    *scope = if_nametoindex(text);
    if (*scope) return true;
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number == 0 || number > UINT32_MAX) return false;
    *scope = (uint32_t)number;
    return true;
}

static int from_ip6(const char *ip, uint16_t port, struct px_addr *out) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    char literal[INET6_ADDRSTRLEN];
    size_t length = strcspn(ip, "%");
    if (length >= sizeof literal) return -EINVAL;
    memcpy(literal, ip, length);
    literal[length] = '\0';
    if (inet_pton(AF_INET6, literal, &address.sin6_addr) != 1) return -EINVAL;
    if (ip[length] == '%' && !parse_scope(ip + length + 1, &address.sin6_scope_id)) return -EINVAL;
    store(out, &address, sizeof address);
    return 0;
}

int px_addr_from_ip(const char *ip, uint16_t port, struct px_addr *out) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) return from_ip6(ip, port, out);
    store(out, &address, sizeof address);
    return 0;
}

int px_addr_from_path(const char *path, struct px_addr *out) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool abstract = path[0] == '@';
    size_t length = strlen(path);
    // An abstract name of no bytes would ask the kernel to choose one (autobind, unix(7)).
    if (length == (abstract ? 1 : 0)) return -EINVAL;
    if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    if (abstract) address.sun_path[0] = '\0';
    store(out, &address, UNIX_HEAD + length + (abstract ? 0 : 1));
    return 0;
}

// The name of a Unix address: a path without its NUL, or an abstract name with its leading NUL. Unnamed: length 0.
static size_t unix_name(const struct px_addr *addr, const char **name) {
    size_t length = addr->length > UNIX_HEAD ? addr->length - UNIX_HEAD : 0;
    *name = (const char *)addr->storage + UNIX_HEAD;
    return length && (*name)[0] ? strnlen(*name, length) : length;
}

static void format_unix(const struct px_addr *addr, char *text, size_t size) {
    const char *name;
    size_t length = unix_name(addr, &name);
    if (length >= size) length = size - 1;
    for (size_t i = 0; i < length; i++) text[i] = name[i] ? name[i] : '@';  // as ss(8) shows abstract names
    text[length] = '\0';
}

static void format_ip6(const struct sockaddr_in6 *address, char *text, size_t size) {
    char literal[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
    inet_ntop(AF_INET6, &address->sin6_addr, literal, sizeof literal);
    if (!address->sin6_scope_id) snprintf(text, size, "%s", literal);
    else if (if_indextoname(address->sin6_scope_id, name)) snprintf(text, size, "%s%%%s", literal, name);
    else snprintf(text, size, "%s%%%u", literal, address->sin6_scope_id);
}

const char *px_addr_format_ip(const struct px_addr *addr, char *text, size_t size) {
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    if (size == 0) return text;
    text[0] = '\0';
    if (load(addr, AF_INET, &ip4, sizeof ip4)) inet_ntop(AF_INET, &ip4.sin_addr, text, (socklen_t)size);
    else if (load(addr, AF_INET6, &ip6, sizeof ip6)) format_ip6(&ip6, text, size);
    else if (px_addr_family(addr) == AF_UNIX) format_unix(addr, text, size);
    return text;
}

const char *px_addr_format(const struct px_addr *addr, char *text, size_t size) {
    char ip[PX_ADDR_TEXT];
    int family = px_addr_family(addr);
    if (size == 0) return text;
    px_addr_format_ip(addr, ip, sizeof ip);
    if (family == AF_UNIX || !ip[0]) snprintf(text, size, "%s", ip);
    else snprintf(text, size, family == AF_INET ? "%s:%u" : "[%s]:%u", ip, px_addr_port(addr));
    return text;
}

uint16_t px_addr_port(const struct px_addr *addr) {
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    if (load(addr, AF_INET, &ip4, sizeof ip4)) return ntohs(ip4.sin_port);
    if (load(addr, AF_INET6, &ip6, sizeof ip6)) return ntohs(ip6.sin6_port);
    return 0;
}

bool px_addr_equal(const struct px_addr *a, const struct px_addr *b) {
    struct sockaddr_in a4, b4;
    struct sockaddr_in6 a6, b6;
    if (load(a, AF_INET, &a4, sizeof a4) && load(b, AF_INET, &b4, sizeof b4)) {
        return a4.sin_port == b4.sin_port && a4.sin_addr.s_addr == b4.sin_addr.s_addr;
    }
    if (load(a, AF_INET6, &a6, sizeof a6) && load(b, AF_INET6, &b6, sizeof b6)) {
        // Not the flow label: it is no part of what a socket is bound to.
        return a6.sin6_port == b6.sin6_port && a6.sin6_scope_id == b6.sin6_scope_id &&
               memcmp(&a6.sin6_addr, &b6.sin6_addr, sizeof a6.sin6_addr) == 0;
    }
    if (px_addr_family(a) != AF_UNIX || px_addr_family(b) != AF_UNIX) return false;
    const char *a_name, *b_name;
    size_t length = unix_name(a, &a_name);
    return length == unix_name(b, &b_name) && memcmp(a_name, b_name, length) == 0;
}

bool px_addr_covers(const struct px_addr *general, const struct px_addr *addr) {
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    int family = px_addr_family(addr);
    if (px_addr_port(general) != px_addr_port(addr) || px_addr_equal(general, addr)) return false;
    if (load(general, AF_INET, &ip4, sizeof ip4)) return family == AF_INET && ip4.sin_addr.s_addr == htonl(INADDR_ANY);
    return load(general, AF_INET6, &ip6, sizeof ip6) && (family == AF_INET || family == AF_INET6) &&
           IN6_IS_ADDR_UNSPECIFIED(&ip6.sin6_addr);
}

int px_addr_of_socket(int fd, struct px_addr *out) {
    uint8_t bytes[PX_ADDR_BYTES];
    socklen_t length = sizeof bytes;
    if (getsockname(fd, (struct sockaddr *)bytes, &length) < 0) return -errno;
    if (length > sizeof bytes) return -ENAMETOOLONG;
    store(out, bytes, length);
    return 0;
}
