#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/admin_request.h"
#include "test.h"

// Every parse happens in a block of exactly the bytes there are, so that the address sanitizer sees a read beyond them.
static int parse_in(char *bytes, const char *text, size_t length, size_t step, struct px_admin_parser *parser) {
    int result = 0;
    memset(parser, 0, sizeof *parser);
    for (size_t have = 0; result == 0 && have < length;) {
        size_t next = have + step < length ? have + step : length;
        memcpy(bytes + have, text + have, next - have);
        have = next;
        char *exact = malloc(have);
        memcpy(exact, bytes, have);
        result = px_admin_request_parse(parser, exact, have);
        memcpy(bytes, exact, have);
        free(exact);
    }
    return result;
}

static char kept[100000];
static struct px_admin_parser kept_parser;

// The result must not depend on how the bytes arrive.
static int parse_bytes(const char *text, size_t length) {
    static const size_t steps[] = {1, 2, 7, 100000};
    int first = 0;
    for (int i = 0; i < 4; i++) {
        int result = parse_in(kept, text, length, steps[i], &kept_parser);
        if (i == 0) first = result;
        else ASSERT_EQ(result, first);
    }
    return first;
}

static int parse(const char *text) {
    return parse_bytes(text, strlen(text));
}

static struct px_admin_request parsed(const char *text) {
    struct px_admin_request request;
    ASSERT_EQ(parse(text), strlen(text));
    px_admin_request_get(&kept_parser, kept, &request);
    return request;
}

TEST(a_request_is_taken_apart) {
    struct px_admin_request request =
        parsed("GET /stats?filter=a%20b&x HTTP/1.1\r\nHost: h:1 \r\nX: y\r\norigin:\thttp://o\t\r\n\r\n");
    ASSERT_STR(request.method, "GET");
    ASSERT_STR(request.path, "/stats");
    ASSERT_STR(request.query, "filter=a%20b&x");
    ASSERT_STR(request.host, "h:1");
    ASSERT_STR(request.origin, "http://o");
    ASSERT_EQ(request.body_length, 0);
    ASSERT_TRUE(kept_parser.keep_alive);
}

TEST(a_body_may_hold_any_byte) {
    static const char text[] = "POST / HTTP/1.1\r\nHost:\r\nContent-Length: 5\r\n\r\na\0\r\n\xff";
    struct px_admin_request request;
    ASSERT_EQ(parse_bytes(text, sizeof text - 1), sizeof text - 1);
    px_admin_request_get(&kept_parser, kept, &request);
    ASSERT_STR(request.host, "");
    ASSERT_EQ(request.body_length, 5);
    ASSERT_MEM(request.body, "a\0\r\n\xff", 5);
}

TEST(what_follows_a_request_is_the_next) {
    static const char text[] = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n";
    struct px_admin_request request;
    ASSERT_EQ(parse(text), strlen(text) - strlen("GET /b HTTP/1.1\r\n"));
    px_admin_request_get(&kept_parser, kept, &request);
    ASSERT_EQ(request.body_length, 3);
    ASSERT_MEM(request.body, "abc", 3);
    ASSERT_STR(request.origin, "");
    ASSERT_STR(request.query, "");
}

TEST(keep_alive_follows_version_and_connection) {
    static const struct {
        const char *text;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: foo ,close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: foo\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: close, keep-alive,,\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parsed(cases[i].text);
        if (kept_parser.keep_alive != cases[i].keep_alive) FAIL("keep-alive of \"%s\"", cases[i].text);
    }
}

TEST(absolute_form_replaces_the_host) {
    struct px_admin_request request = parsed("GET http://a.b:80/x?y HTTP/1.1\r\nHost: other\r\n\r\n");
    ASSERT_STR(request.host, "a.b:80");
    ASSERT_STR(request.path, "/x");
    ASSERT_STR(request.query, "y");
}

TEST(empty_lines_before_a_request_are_skipped) {
    struct px_admin_request request = parsed("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_STR(request.method, "GET");
    ASSERT_STR(request.path, "/x");
}

TEST(expect_continue_is_seen_while_the_body_is_missing) {
    static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nab";
    ASSERT_EQ(parse_bytes(text, strlen(text) - 1), 0);
    ASSERT_TRUE(kept_parser.expects_continue);
    ASSERT_EQ(parse(text), strlen(text));
    ASSERT_FALSE(kept_parser.expects_continue);
}

TEST(incomplete_requests_ask_for_more) {
    static const char text[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
    for (size_t length = 0; length < strlen(text); length++) ASSERT_EQ(parse_bytes(text, length), 0);
}

#define HOST "Host: a\r\n"
TEST(what_could_be_read_in_two_ways_is_refused) {
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: a\n\n", 400},                      // bare LF
        {"\nGET / HTTP/1.1\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", 400},         // bare CR
        {"GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n folded: x\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n: a\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nno colon\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nA(b: c\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nA: \x01\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nA: \x7f\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},                            // no Host
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "Origin: a\r\nOrigin: a\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
        {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400},
        {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"G(T / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET a HTTP/1.1\r\n" HOST "\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400},
        {"CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http://a HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http://a?b/c HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /\r\n\r\n", 400},                                     // HTTP/0.9
        {"GET / http/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1x\r\n" HOST "\r\n", 400},
        {"GET / HTTP/11\r\n" HOST "\r\n", 400},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: identity\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999999\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" HOST "Expect: something\r\n\r\n", 417},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int result = parse(cases[i].text);
        if (result != -cases[i].status) FAIL("expected %d, got %d of \"%s\"", -cases[i].status, result, cases[i].text);
    }
}

TEST(nul_bytes_are_refused_everywhere_in_a_head) {
    static const char text[] = "GET /path?query HTTP/1.1\r\nHost: a\r\nName: value\r\n\r\n";
    for (size_t at = 0; at < strlen(text); at++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        copy[at] = '\0';
        int result = parse_bytes(copy, strlen(text));
        // Over the last line feeds the head just does not end.
        if (result != -400 && !(result == 0 && at >= strlen(text) - 3)) FAIL("NUL at %zu gave %d", at, result);
    }
}

TEST(the_head_has_its_limit_to_the_byte) {
    static char text[PX_ADMIN_HEAD_MAX + 10];
    static const char begin[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    memset(text, 'x', sizeof text);
    memcpy(text, begin, strlen(begin));
    memcpy(text + PX_ADMIN_HEAD_MAX - 4, "\r\n\r\n", 4);
    ASSERT_EQ(parse_bytes(text, PX_ADMIN_HEAD_MAX), PX_ADMIN_HEAD_MAX);
    ASSERT_EQ(parse_bytes(text, PX_ADMIN_HEAD_MAX - 1), 0);
    memset(text + PX_ADMIN_HEAD_MAX - 4, 'x', 4);
    memcpy(text + PX_ADMIN_HEAD_MAX - 3, "\r\n\r\n", 4);
    ASSERT_EQ(parse_bytes(text, PX_ADMIN_HEAD_MAX + 1), -431);
    ASSERT_EQ(parse_bytes(text, PX_ADMIN_HEAD_MAX), -431);
}

TEST(a_body_of_the_greatest_length_is_taken) {
    static char text[PX_ADMIN_BODY_MAX + 200];
    int head = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", PX_ADMIN_BODY_MAX);
    size_t whole = (size_t)head + PX_ADMIN_BODY_MAX;
    struct px_admin_parser parser;
    ASSERT_EQ(parse_in(kept, text, whole - 1, 4096, &parser), 0);
    ASSERT_EQ(parse_in(kept, text, whole, 4096, &parser), whole);
}
