// A connection of the admin server: its states are drawn in the header. Main thread only.
//
// px__admin_conn_run is the only place that gives requests to the driver, and only the loop calls it; whatever the driver may
// call (respond, stop, destroy) closes, writes or asks for another turn, so its callbacks never nest. A connection closed while
// it runs is freed by run itself.
#include "engine/admin_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STEPS_MAX = 256,  // in one turn, so that a fast peer does not keep the main loop from everything else
    INPUT_FIRST = 2048,
    INPUT_MAX = PX_ADMIN_HEAD_MAX + PX_ADMIN_BODY_MAX  // the longest request: at this length the parser has decided
};

static void set_deadline(struct px_admin_conn *conn, uint64_t delay_ms) {
    px_timer_arm(conn->admin->loop, &conn->deadline, delay_ms);
}

// ---- open, close -----------------------------------------------------------------------------------------------------

static void on_events(struct px_handle *handle, uint32_t events) {
    struct px_admin_conn *conn = (struct px_admin_conn *)handle;
    // Whoever asked is gone; elsewhere reading or writing finds out, after what was sent before has been taken.
    if (conn->state == PX_ADMIN_WAITING && (events & PX_HANGUP)) px__admin_conn_close(conn);
    else px__admin_conn_run(conn);
}

static void on_deadline(struct px_timer *timer) {
    struct px_admin_conn *conn = (struct px_admin_conn *)((char *)timer - offsetof(struct px_admin_conn, deadline));
    if (conn->state != PX_ADMIN_READING || conn->input_length == 0) {
        px__admin_conn_close(conn);
        return;
    }
    static const char text[] = "request timeout\n";
    conn->keep_alive = conn->head_only = false;
    px__admin_conn_respond(conn, 408, "text/plain; charset=UTF-8", "", (const uint8_t *)text, sizeof text - 1);
}

static void on_resume(struct px_timer *timer) {
    px__admin_conn_run((struct px_admin_conn *)((char *)timer - offsetof(struct px_admin_conn, resume)));
}

int px__admin_conn_open(px_admin *admin, int fd) {
    int one = 1, result = -ENOMEM;
    struct px_admin_conn *conn = calloc(1, sizeof *conn);
    if (!conn) goto fail;
    conn->admin = admin;
    conn->handle = (struct px_handle){.on_events = on_events, .fd = -1};
    conn->deadline.on_fire = on_deadline;
    conn->resume.on_fire = on_resume;
    conn->idle_since_ms = px_loop_now_ms(admin->loop);
    // The last segment of a long answer is not to wait for an acknowledgement. Fails on Unix sockets, which have no such wait.
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    result = px_loop_add(admin->loop, &conn->handle, fd, 0);
    if (result < 0) goto fail;
    set_deadline(conn, conn->admin->idle_timeout_ms);
    admin->conns[admin->count++] = conn;
    return 0;
fail:
    free(conn);
    close(fd);
    return result;
}

static void forget(struct px_admin_conn *conn) {
    px_admin *admin = conn->admin;
    for (uint32_t i = 0; i < admin->count; i++) {
        if (admin->conns[i] != conn) continue;
        admin->conns[i] = admin->conns[--admin->count];
        return;
    }
}

static void free_conn(struct px_admin_conn *conn) {
    free(conn->input);
    free(conn->output);
    free(conn);
}

void px__admin_conn_close(struct px_admin_conn *conn) {
    if (conn->state == PX_ADMIN_CLOSED) return;
    int fd = conn->handle.fd;
    px_loop *loop = conn->admin->loop;
    px_timer_cancel(loop, &conn->deadline);
    px_timer_cancel(loop, &conn->resume);
    px_loop_remove(loop, &conn->handle);
    close(fd);
    forget(conn);
    conn->state = PX_ADMIN_CLOSED;
    conn->admin = NULL;  // may be gone by the time a running connection looks again
    if (!conn->running) free_conn(conn);
}

// ---- reading ---------------------------------------------------------------------------------------------------------

static bool grow_input(struct px_admin_conn *conn) {
    if (conn->input_length < conn->input_capacity) return true;
    size_t capacity = conn->input_capacity ? conn->input_capacity * 2 : INPUT_FIRST;
    if (capacity > INPUT_MAX) capacity = INPUT_MAX;
    char *grown = realloc(conn->input, capacity);
    if (!grown) return false;
    conn->input = grown;
    conn->input_capacity = capacity;
    return true;
}

static void wait_for_input(struct px_admin_conn *conn) {
    if (conn->input_length == 0 && !conn->admin->serving) {
        px__admin_conn_close(conn);
    } else if (conn->input_length == 0) {
        set_deadline(conn, conn->admin->idle_timeout_ms);
    } else if (!conn->request_begun) {
        conn->request_begun = true;  // once: more bytes do not buy more time
        set_deadline(conn, conn->admin->request_timeout_ms);
    }
}

// Returns whether there is something new to look at.
static bool read_more(struct px_admin_conn *conn) {
    if (conn->input_ended || !grow_input(conn)) {
        px__admin_conn_close(conn);
        return false;
    }
    ssize_t count = read(conn->handle.fd, conn->input + conn->input_length, conn->input_capacity - conn->input_length);
    if (count > 0) conn->input_length += (size_t)count;
    else if (count == 0) conn->input_ended = true;
    else if (errno == EINTR) return true;
    else if (errno == EAGAIN) wait_for_input(conn);
    else px__admin_conn_close(conn);
    return count >= 0;
}

static void consume(struct px_admin_conn *conn, size_t length) {
    conn->input_length -= length;
    memmove(conn->input, conn->input + length, conn->input_length);
    memset(&conn->parser, 0, sizeof conn->parser);
    conn->request_begun = conn->continue_sent = false;
    if (conn->input_length) return;
    free(conn->input);
    conn->input = NULL;
    conn->input_capacity = 0;
}

static void deliver(struct px_admin_conn *conn, size_t length) {
    struct px_admin_request request;
    px_admin_request_get(&conn->parser, conn->input, &request);
    request.id = conn->request_id = ++conn->admin->last_request_id;
    conn->keep_alive = conn->parser.keep_alive;
    conn->minor_zero = conn->parser.minor_zero;
    conn->head_only = strcmp(request.method, "HEAD") == 0;
    conn->state = PX_ADMIN_WAITING;
    px_timer_cancel(conn->admin->loop, &conn->deadline);
    px__mainloop_emit(conn->admin->mainloop, &(struct px_event){.kind = PX_EVENT_ADMIN_REQUEST, .request = &request});
    if (conn->state != PX_ADMIN_CLOSED) consume(conn, length);
}

static void refuse(struct px_admin_conn *conn, uint32_t status) {
    char text[64];
    int length = snprintf(text, sizeof text, "request refused: status %u\n", status);
    conn->keep_alive = conn->head_only = false;
    px__admin_conn_respond(conn, status, "text/plain; charset=UTF-8", "", (const uint8_t *)text, (size_t)length);
}

static bool send_continue(struct px_admin_conn *conn) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    conn->continue_sent = true;
    // Nothing else is in the send buffer, so all of it fits, or the connection is of no use.
    return send(conn->handle.fd, text, sizeof text - 1, MSG_NOSIGNAL) == (ssize_t)sizeof text - 1;
}

static bool step_reading(struct px_admin_conn *conn) {
    int result = conn->input_length ? px_admin_request_parse(&conn->parser, conn->input, conn->input_length) : 0;
    if (result > 0) {
        deliver(conn, (size_t)result);
        return true;
    }
    if (result < 0) {
        refuse(conn, (uint32_t)-result);
        return true;
    }
    if (conn->parser.expects_continue && !conn->continue_sent && !send_continue(conn)) {
        px__admin_conn_close(conn);
        return false;
    }
    return read_more(conn);
}

// ---- writing ---------------------------------------------------------------------------------------------------------

static bool finish_response(struct px_admin_conn *conn) {
    free(conn->output);
    conn->output = NULL;
    if (conn->keep_alive) {
        conn->state = PX_ADMIN_READING;
        conn->idle_since_ms = px_loop_now_ms(conn->admin->loop);
        return true;
    }
    shutdown(conn->handle.fd, SHUT_WR);
    conn->state = PX_ADMIN_LINGERING;
    set_deadline(conn, conn->admin->linger_timeout_ms);
    return true;
}

static bool step_writing(struct px_admin_conn *conn) {
    size_t left = conn->output_length - conn->output_sent;
    ssize_t count = send(conn->handle.fd, conn->output + conn->output_sent, left, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) return true;
    if (count < 0 && errno == EAGAIN) return false;
    if (count < 0) {
        px__admin_conn_close(conn);
        return false;
    }
    conn->output_sent += (size_t)count;
    if ((size_t)count == left) return finish_response(conn);
    set_deadline(conn, conn->admin->idle_timeout_ms);
    return true;
}

static bool step_lingering(struct px_admin_conn *conn) {
    char ignored[4096];
    ssize_t count = read(conn->handle.fd, ignored, sizeof ignored);
    if (count > 0 || (count < 0 && errno == EINTR)) return true;
    if (count == 0 || errno != EAGAIN) px__admin_conn_close(conn);
    return false;
}

// ---- running ---------------------------------------------------------------------------------------------------------

// One step; returns whether another may follow at once.
static bool step(struct px_admin_conn *conn) {
    switch (conn->state) {
        case PX_ADMIN_READING: return step_reading(conn);
        case PX_ADMIN_WRITING: return step_writing(conn);
        case PX_ADMIN_LINGERING: return step_lingering(conn);
        case PX_ADMIN_WAITING:
        case PX_ADMIN_CLOSED: return false;
    }
    return false;
}

void px__admin_conn_resume(struct px_admin_conn *conn) {
    px_timer_arm(conn->admin->loop, &conn->resume, 0);
}

static void run(struct px_admin_conn *conn, bool may_read) {
    unsigned steps = 0;
    conn->running = true;
    while ((may_read || conn->state != PX_ADMIN_READING) && steps < STEPS_MAX && step(conn)) steps++;
    conn->running = false;
    if (conn->state == PX_ADMIN_CLOSED) free_conn(conn);
    else if (steps == STEPS_MAX || (!may_read && conn->state == PX_ADMIN_READING)) px__admin_conn_resume(conn);
}

void px__admin_conn_run(struct px_admin_conn *conn) {
    run(conn, true);
}

void px__admin_conn_respond(struct px_admin_conn *conn, uint32_t status, const char *content_type, const char *extra,
    const uint8_t *body, size_t length) {
    conn->keep_alive = conn->keep_alive && conn->admin->serving;
    const char *connection = !conn->keep_alive ? "connection: close\r\n" : conn->minor_zero ? "connection: keep-alive\r\n" : "";
    conn->request_id = 0;
    conn->output_sent = 0;
    conn->output = px__admin_response(
        status, connection, content_type, extra, conn->head_only ? NULL : body, length, &conn->output_length);
    if (!conn->output) {
        px__admin_conn_close(conn);
        return;
    }
    conn->state = PX_ADMIN_WRITING;
    set_deadline(conn, conn->admin->idle_timeout_ms);
    if (!conn->running) run(conn, false);
}
