#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "include/px_base.h"
#include "test.h"

static const char *text_of(const struct px_addr *addr) {
    static char text[PX_ADDR_TEXT];
    return px_addr_format(addr, text, sizeof text);
}

static struct px_addr ip(const char *literal, uint16_t port) {
    struct px_addr addr;
    ASSERT_OK(px_addr_from_ip(literal, port, &addr));
    return addr;
}

static struct px_addr path(const char *name) {
    struct px_addr addr;
    ASSERT_OK(px_addr_from_path(name, &addr));
    return addr;
}

TEST(addresses_print_as_they_are_written) {
    struct px_addr addr = ip("1.2.3.4", 80);
    ASSERT_STR(text_of(&addr), "1.2.3.4:80");
    ASSERT_EQ(px_addr_port(&addr), 80);
    ASSERT_EQ(px_addr_family(&addr), AF_INET);
    addr = ip("::1", 65535);
    ASSERT_STR(text_of(&addr), "[::1]:65535");
    addr = ip("fe80::1%lo", 1);
    ASSERT_STR(text_of(&addr), "[fe80::1%lo]:1");
    addr = ip("fe80::1%1", 1);
    ASSERT_STR(text_of(&addr), "[fe80::1%lo]:1");
    addr = ip("fe80::1%4000000", 1);
    ASSERT_STR(text_of(&addr), "[fe80::1%4000000]:1");
    addr = path("/run/x");
    ASSERT_STR(text_of(&addr), "/run/x");
    ASSERT_EQ(px_addr_port(&addr), 0);
    addr = path("@name");
    ASSERT_STR(text_of(&addr), "@name");
    char only_ip[PX_ADDR_TEXT];
    addr = ip("::ffff:1.2.3.4", 5);
    ASSERT_STR(px_addr_format_ip(&addr, only_ip, sizeof only_ip), "::ffff:1.2.3.4");
}

TEST(what_is_no_ip_literal_is_refused) {
    static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "localhost", "::1%", "::1%nosuch", "::1%0",
        "::1%-1", "::1%4294967296", "::1% 1", ":::", "1.2.3.4 ", "[::1]", "%lo",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct px_addr addr;
        if (px_addr_from_ip(bad[i], 1, &addr) != -EINVAL) FAIL("\"%s\" was accepted", bad[i]);
    }
}

TEST(unix_paths_have_their_bounds) {
    struct px_addr addr;
    char name[200];
    ASSERT_EQ(px_addr_from_path("", &addr), -EINVAL);
    ASSERT_EQ(px_addr_from_path("@", &addr), -EINVAL);
    memset(name, 'a', sizeof name);
    name[108] = '\0';
    ASSERT_EQ(px_addr_from_path(name, &addr), -ENAMETOOLONG);
    name[107] = '\0';
    ASSERT_OK(px_addr_from_path(name, &addr));
    ASSERT_STR(text_of(&addr), name);
    ASSERT_LE(addr.length, sizeof(struct sockaddr_un));
    name[0] = '@';
    ASSERT_OK(px_addr_from_path(name, &addr));
    ASSERT_EQ(addr.length, offsetof(struct sockaddr_un, sun_path) + 107);
    ASSERT_STR(text_of(&addr), name);
}

TEST(formatting_cuts_and_terminates) {
    struct px_addr addr = ip("fe80::1234%4000000", 8080);
    char text[8];
    memset(text, 'x', sizeof text);
    px_addr_format(&addr, text, 5);
    ASSERT_EQ(text[4], '\0');
    ASSERT_EQ(text[5], 'x');
    addr = path("/a/long/path");
    ASSERT_STR(px_addr_format(&addr, text, sizeof text), "/a/long");
    addr = ip("127.0.0.1", 1);
    px_addr_format_ip(&addr, text, sizeof text);
    ASSERT_LT(strlen(text), sizeof text);
    px_addr_format(&addr, text, 0);
}

TEST(an_address_from_elsewhere_is_checked_before_it_is_read) {
    struct px_addr addr;
    memset(&addr, 0xff, sizeof addr);
    ASSERT_EQ(px_addr_family(&addr), AF_UNSPEC);
    ASSERT_STR(text_of(&addr), "");
    struct px_addr whole = ip("1.2.3.4", 80);
    addr = whole;
    addr.length = 4;  // too short for what its family says
    ASSERT_EQ(px_addr_port(&addr), 0);
    ASSERT_STR(text_of(&addr), "");
    ASSERT_FALSE(px_addr_equal(&addr, &whole));
    addr.length = 0;
    ASSERT_STR(text_of(&addr), "");
    ASSERT_FALSE(px_addr_equal(&addr, &addr));
}

TEST(equality_and_wildcards) {
    struct px_addr any4 = ip("0.0.0.0", 80), any6 = ip("::", 80), local4 = ip("127.0.0.1", 80), local6 = ip("::1", 80);
    struct px_addr other_port = ip("127.0.0.1", 81), scoped = ip("fe80::1%1", 80), unscoped = ip("fe80::1", 80);
    struct px_addr file = path("/run/x"), abstract = path("@/run/x"), longer = path("/run/xy");
    ASSERT_TRUE(px_addr_equal(&local4, &local4));
    ASSERT_FALSE(px_addr_equal(&local4, &other_port));
    ASSERT_FALSE(px_addr_equal(&local4, &local6));
    ASSERT_FALSE(px_addr_equal(&scoped, &unscoped));
    ASSERT_TRUE(px_addr_equal(&file, &file));
    ASSERT_FALSE(px_addr_equal(&file, &abstract));
    ASSERT_FALSE(px_addr_equal(&file, &longer));
    ASSERT_TRUE(px_addr_covers(&any4, &local4));
    ASSERT_TRUE(px_addr_covers(&any6, &local6));
    ASSERT_TRUE(px_addr_covers(&any6, &local4));
    ASSERT_FALSE(px_addr_covers(&any4, &local6));
    ASSERT_FALSE(px_addr_covers(&any4, &any4));
    ASSERT_FALSE(px_addr_covers(&any4, &other_port));
    ASSERT_FALSE(px_addr_covers(&local4, &any4));
    ASSERT_FALSE(px_addr_covers(&any6, &file));
}

TEST(the_bound_address_of_a_socket_equals_the_one_asked_for) {
    struct px_addr asked = path("@px-test-addr"), bound;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_CALL(bind(fd, (struct sockaddr *)asked.storage, asked.length));
    ASSERT_OK(px_addr_of_socket(fd, &bound));
    ASSERT_TRUE(px_addr_equal(&asked, &bound));
    close(fd);

    char name[200];
    snprintf(name, sizeof name, "%s/socket", test_directory());
    asked = path(name);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_CALL(bind(fd, (struct sockaddr *)asked.storage, asked.length));
    ASSERT_OK(px_addr_of_socket(fd, &bound));
    ASSERT_TRUE(px_addr_equal(&asked, &bound));
    close(fd);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);  // never bound: no name
    ASSERT_OK(px_addr_of_socket(fd, &bound));
    ASSERT_STR(text_of(&bound), "");
    close(fd);
    ASSERT_EQ(px_addr_of_socket(fd, &bound), -EBADF);
}
