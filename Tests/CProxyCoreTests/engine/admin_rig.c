// See the header.
#include "engine/admin_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log_ring.h"
#include "test.h"

px_mainloop *admin_loop;
px_admin *admin;
struct px_addr admin_addr;

void (*admin_answer)(const struct px_admin_request *request);
int admin_requests;
static int depth;
uint64_t admin_last_id;

void admin_respond(uint64_t id, uint32_t status, const char *text) {
    px_admin_respond(admin, id, status, "text/plain; charset=UTF-8", "", (const uint8_t *)text, strlen(text));
}

void admin_echo(const struct px_admin_request *request) {
    char text[1000];
    snprintf(text, sizeof text, "%s %s?%s|%.*s", request->method, request->path, request->query, (int)request->body_length,
        (const char *)request->body);
    admin_respond(request->id, 200, text);
}

void admin_keep_id(const struct px_admin_request *request) {
    ASSERT_GT(request->id, admin_last_id);
    admin_last_id = request->id;
}

static void on_event(const struct px_event *event, void *context) {
    struct px_log_record record;
    if (event->kind == PX_EVENT_LOG) while (px_log_take(&record)) {}
    if (event->kind != PX_EVENT_ADMIN_REQUEST) return;
    ASSERT_EQ(depth++, 0);  // never one callback within another
    admin_requests++;
    admin_answer(event->request);
    depth--;
}

void admin_open_loop(void) {
    struct px_detail detail;
    admin_answer = admin_echo;
    admin_loop = px_mainloop_create(on_event, NULL, &detail);
    ASSERT_TRUE(admin_loop != NULL);
    admin = px_admin_create(admin_loop);
    ASSERT_TRUE(admin != NULL);
    ASSERT_EQ(px_admin_fd(admin), -1);
}

void admin_open(void) {
    struct px_detail detail;
    admin_open_loop();
    ASSERT_OK(px_addr_from_ip("127.0.0.1", 0, &admin_addr));
    ASSERT_OK(px_admin_open(admin, &admin_addr, &detail));
    ASSERT_OK(px_admin_address(admin, &admin_addr));
    ASSERT_OK(px_admin_start(admin));
}

void admin_close(void) {
    px_admin_destroy(admin);
    px_mainloop_destroy(admin_loop);
}

int admin_dial(void) {
    int fd = socket(px_addr_family(&admin_addr), SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_CALL(connect(fd, (struct sockaddr *)admin_addr.storage, admin_addr.length));
    ASSERT_CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
    return fd;
}

void admin_send(int fd, const char *text) {
    ASSERT_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

uint64_t admin_deadline(void) {
    return px_clock_monotonic_ns() + 10000000000u;
}

void admin_turn(uint64_t deadline, const char *what) {
    if (px_clock_monotonic_ns() > deadline) FAIL("waited 10 s for %s", what);
    ASSERT_OK(px_mainloop_turn(admin_loop, 10));
}

char admin_received[1 << 24];

const char *admin_receive(int fd, const char *end) {
    size_t have = 0;
    uint64_t deadline = admin_deadline();
    for (;;) {
        ssize_t count = recv(fd, admin_received + have, sizeof admin_received - 1 - have, 0);
        if (count < 0 && errno != EAGAIN) FAIL("recv: %s after \"%.200s\"", strerror(errno), admin_received);
        if (count > 0) have += (size_t)count;
        admin_received[have] = '\0';
        if (count == 0 && end) FAIL("end of stream before \"%s\" in \"%.500s\"", end, admin_received);
        if (count == 0) return admin_received;
        if (end && have >= strlen(end) && strcmp(admin_received + have - strlen(end), end) == 0) return admin_received;
        if (count < 0) admin_turn(deadline, end ? end : "the end of the stream");
    }
}

void admin_await_count(uint32_t count, const char *what) {
    uint64_t deadline = admin_deadline();
    while (admin->count != count) admin_turn(deadline, what);
}

void admin_await_requests(int count) {
    uint64_t deadline = admin_deadline();
    while (admin_requests < count) admin_turn(deadline, "a request");
}

int admin_status(const char *response) {
    int status = 0;
    ASSERT_EQ(sscanf(response, "HTTP/1.1 %d", &status), 1);
    return status;
}
