#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/admin_rig.h"
#include "test.h"

TEST(admin_answers_with_envoys_header_fields) {
    admin_open();
    int fd = admin_dial();
    admin_send(fd, GET("/stats?x=1"));
    const char *text = admin_receive(fd, "GET /stats?x=1|");
    ASSERT_TRUE(strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0);
    ASSERT_CONTAINS(text, "\r\ncontent-type: text/plain; charset=UTF-8\r\n");
    ASSERT_CONTAINS(text, "\r\ncache-control: no-cache, max-age=0\r\n");
    ASSERT_CONTAINS(text, "\r\nx-content-type-options: nosniff\r\n");
    ASSERT_CONTAINS(text, "\r\nserver: envoy\r\n");
    ASSERT_CONTAINS(text, "\r\ncontent-length: 15\r\n");
    ASSERT_CONTAINS(text, " GMT\r\n");
    ASSERT_TRUE(strstr(text, "connection:") == NULL);
    close(fd);
    admin_await_count(0, "the connection's end");
    admin_close();
}

TEST(admin_keeps_a_connection_alive_and_serves_pipelined_requests_in_order) {
    admin_open();
    int fd = admin_dial();
    for (int i = 0; i < 3; i++) {
        admin_send(fd, GET("/one"));
        admin_receive(fd, "GET /one?|");
    }
    admin_send(fd, GET("/a") "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/c") "GET /d HT");
    const char *text = admin_receive(fd, "GET /c?|");
    const char *a = strstr(text, "GET /a?|"), *b = strstr(text, "POST /b?|body");
    ASSERT_TRUE(a && b && a < b);
    admin_send(fd, "TP/1.1\r\nHost: a\r\n\r\n");
    admin_receive(fd, "GET /d?|");
    ASSERT_EQ(admin_requests, 7);
    admin_close();
}

TEST(admin_reads_a_request_that_arrives_byte_by_byte) {
    static const char text[] = "POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    admin_open();
    int fd = admin_dial();
    for (size_t i = 0; i < strlen(text); i++) {
        ASSERT_EQ(admin_requests, 0);
        ASSERT_EQ(send(fd, text + i, 1, 0), 1);
        ASSERT_OK(px_mainloop_turn(admin_loop, 10));
    }
    admin_receive(fd, "POST /x?y|abc");
    admin_close();
}

TEST(admin_answers_later_and_one_request_at_a_time) {
    admin_open();
    admin_answer = admin_keep_id;
    int fd = admin_dial();
    admin_send(fd, GET("/1") GET("/2"));
    admin_await_requests(1);
    for (int i = 0; i < 5; i++) ASSERT_OK(px_mainloop_turn(admin_loop, 1));
    ASSERT_EQ(admin_requests, 1);
    admin_respond(4711, 200, "nobody asked");
    admin_respond(admin_last_id, 200, "first");
    admin_respond(admin_last_id, 200, "twice");
    admin_receive(fd, "first");
    admin_await_requests(2);
    admin_respond(admin_last_id, 404, "second");
    ASSERT_EQ(admin_status(admin_receive(fd, "second")), 404);
    admin_send(fd, GET("/3"));
    admin_await_requests(3);
    close(fd);  // gone before the answer
    for (int i = 0; i < 5; i++) ASSERT_OK(px_mainloop_turn(admin_loop, 1));
    admin_respond(admin_last_id, 200, "to nobody");
    admin_await_count(0, "the connection's end");
    admin_close();
}

TEST(admin_head_has_the_length_but_no_body) {
    admin_open();
    int fd = admin_dial();
    admin_send(fd, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" GET("/next"));
    const char *text = admin_receive(fd, "GET /next?|");
    ASSERT_CONTAINS(text, "content-length: 9\r\n\r\nHTTP/1.1 200");
    admin_close();
}

TEST(admin_closes_when_asked_and_serves_http_1_0) {
    admin_open();
    int fd = admin_dial();
    admin_send(fd, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    ASSERT_CONTAINS(admin_receive(fd, NULL), "\r\nconnection: close\r\n");
    close(fd);
    fd = admin_dial();
    admin_send(fd, "GET /x HTTP/1.0\r\n\r\n");
    ASSERT_CONTAINS(admin_receive(fd, NULL), "GET /x?|");
    close(fd);
    fd = admin_dial();
    admin_send(fd, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ASSERT_CONTAINS(admin_receive(fd, "GET /x?|"), "\r\nconnection: keep-alive\r\n");
    admin_close();
}

TEST(admin_answers_a_client_that_has_ended_its_side) {
    admin_open();
    int fd = admin_dial();
    admin_send(fd, GET("/x"));
    ASSERT_CALL(shutdown(fd, SHUT_WR));
    ASSERT_CONTAINS(admin_receive(fd, NULL), "GET /x?|");
    admin_await_count(0, "the connection's end");
    admin_close();
}

TEST(admin_refuses_bad_requests_with_their_status_and_closes) {
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"nonsense\r\n\r\n", 400},
        {"GET / HTTP/1.1\n", 400},
        {"GET / HTTP/3.0\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413},
        {"GET /ok HTTP/1.1\r\nHost: a\r\n\r\nbroken\r\n\r\n", 200},
    };
    admin_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = admin_dial();
        admin_send(fd, cases[i].text);
        const char *text = admin_receive(fd, NULL);
        ASSERT_EQ(admin_status(text), cases[i].status);
        ASSERT_CONTAINS(text, "connection: close\r\n");
        close(fd);
        admin_await_count(0, "the connection's end");
    }
    ASSERT_EQ(admin_requests, 1);
    admin_close();
}

TEST(admin_refusal_reaches_a_client_that_is_still_sending) {
    static char body[600000];
    admin_open();
    int fd = admin_dial();
    memset(body, 'x', sizeof body);
    admin_send(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n");
    uint64_t deadline = admin_deadline();
    for (size_t sent = 0; sent < sizeof body;) {
        ssize_t count = send(fd, body + sent, sizeof body - sent, MSG_NOSIGNAL);
        if (count < 0) ASSERT_EQ(errno, EAGAIN);  // and not ECONNRESET or EPIPE
        else sent += (size_t)count;
        admin_turn(deadline, "the server to take the body");
    }
    ASSERT_EQ(admin_status(admin_receive(fd, NULL)), 413);
    admin_close();
}

TEST(admin_head_over_its_limit_is_431) {
    static char head[9000];
    admin_open();
    int fd = admin_dial();
    memset(head, 'x', sizeof head);
    memcpy(head, "GET /", 5);
    ASSERT_EQ(send(fd, head, sizeof head, 0), sizeof head);
    ASSERT_EQ(admin_status(admin_receive(fd, NULL)), 431);
    admin_close();
}

TEST(admin_sends_100_continue_to_a_client_that_waits_for_it) {
    admin_open();
    int fd = admin_dial();
    admin_send(fd, "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    admin_receive(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    admin_send(fd, "body");
    admin_receive(fd, "POST /x?|body");
    admin_close();
}

static char large[10000000];
static void answer_large(const struct px_admin_request *request) {
    px_admin_respond(admin, request->id, 200, "application/json", "x-extra: 1\r\n", (const uint8_t *)large, sizeof large);
}

TEST(admin_sends_large_answers_in_parts_whole) {
    admin_open();
    for (size_t i = 0; i < sizeof large; i++) large[i] = (char)('a' + i * 2654435761u % 26);
    admin_answer = answer_large;
    int fd = admin_dial();
    admin_send(fd, GET("/x"));
    for (int i = 0; i < 5; i++) ASSERT_OK(px_mainloop_turn(admin_loop, 1));  // the socket is full now
    ASSERT_EQ(admin->conns[0]->state, PX_ADMIN_WRITING);
    admin_send(fd, "GET /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *text = admin_receive(fd, NULL), *body = strstr(text, "\r\n\r\n");
    ASSERT_CONTAINS(text, "\r\nx-extra: 1\r\n");
    ASSERT_MEM(body + 4, large, sizeof large);
    ASSERT_EQ(admin_requests, 2);
    admin_close();
}

TEST(admin_gives_up_a_client_that_does_not_read) {
    admin_open();
    admin->idle_timeout_ms = 50;
    admin_answer = answer_large;
    int fd = admin_dial();
    admin_send(fd, GET("/x"));
    admin_await_requests(1);
    admin_await_count(0, "the connection's end");
    close(fd);
    admin_close();
}

TEST(admin_times_out_slow_requests_and_idle_connections) {
    admin_open();
    admin->request_timeout_ms = 60;
    int slow = admin_dial();
    admin_send(slow, "GET / HT");
    struct pollfd answered = {.fd = slow, .events = POLLIN};
    uint64_t deadline = admin_deadline();
    while (poll(&answered, 1, 0) == 0) {  // more bytes do not buy more time
        admin_turn(deadline, "the slow request to be given up");
        (void)!send(slow, "x", 1, MSG_NOSIGNAL);
    }
    ASSERT_EQ(admin_status(admin_receive(slow, NULL)), 408);
    close(slow);
    admin_await_count(0, "the slow connection's end");
    admin->idle_timeout_ms = 30;
    int idle = admin_dial();
    ASSERT_STR(admin_receive(idle, NULL), "");  // closed without a word
    close(idle);
    idle = admin_dial();
    admin_send(idle, GET("/x"));
    ASSERT_CONTAINS(admin_receive(idle, NULL), "GET /x?|");  // also after a request
    admin_close();
}

enum { VISITORS = 80, VISITS = 20000 };  // more than the server keeps

static int visitors[VISITORS];

static void leave(int *fd) {
    struct linger reset = {.l_onoff = 1};
    if (random() % 2) setsockopt(*fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(*fd);
    *fd = -1;
}

// Part of a request, sometimes with a byte changed; what is received is looked at now and then only.
static void misbehave(int *fd) {
    static const char text[] = GET("/a?b") "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n0123456789ab"
                               "GET /d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    char part[sizeof text];
    size_t begin = random() % 3 ? 0 : (size_t)random() % (sizeof text - 1), length = 1 + (size_t)random() % (sizeof text - 1 - begin);
    memcpy(part, text + begin, length);
    if (random() % 4 == 0) part[(size_t)random() % length] = (char)random();
    ssize_t sent = send(*fd, part, length, MSG_NOSIGNAL);
    if (random() % 3 == 0) (void)!recv(*fd, admin_received, 1 + (size_t)random() % 1000, 0);
    if (sent < 0 || random() % 16 == 0) leave(fd);
    else if (random() % 16 == 0) shutdown(*fd, SHUT_WR);
}

static void answer_sometimes(const struct px_admin_request *request) {
    if (random() % 4) admin_echo(request);
    admin_last_id = request->id;
}

TEST(admin_survives_clients_that_send_and_leave_at_random) {
    srandom(11);
    admin_open();
    admin_answer = answer_sometimes;
    admin->linger_timeout_ms = 5;
    admin->request_timeout_ms = 20;
    for (int i = 0; i < VISITORS; i++) visitors[i] = -1;
    for (int i = 0; i < VISITS; i++) {
        int *fd = &visitors[random() % VISITORS];
        if (*fd < 0) *fd = admin_dial();
        else misbehave(fd);
        if (random() % 8 == 0) admin_respond((uint64_t)random() % (admin_last_id + 1), 200, "late");
        if (random() % 4 == 0) ASSERT_OK(px_mainloop_turn(admin_loop, 0));
        ASSERT_LE(admin->count, PX_ADMIN_CONNECTIONS_MAX);
    }
    for (int i = 0; i < VISITORS; i++) if (visitors[i] >= 0) leave(&visitors[i]);
    admin_answer = admin_echo;
    for (uint64_t id = 1; id <= admin_last_id; id++) admin_respond(id, 200, "late");
    admin_await_count(0, "every connection's end");
    ASSERT_GT(admin_requests, 1000);
    int fd = admin_dial();
    admin_send(fd, GET("/x"));
    admin_receive(fd, "GET /x?|");
    admin_close();
}
