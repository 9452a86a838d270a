// One connection of the admin server. Main thread only.
//
//              request complete             px_admin_respond              all written, keep-alive
//    READING ──────────────────▶ WAITING ──────────────────▶ WRITING ───────────────────────────▶ READING
//       │ request refused, timed out                            ▲ │ all written, no keep-alive
//       └───────────────────────────────────────────────────────┘ └────────▶ LINGERING ─────────▶ CLOSED
//
// READING owns input; WAITING also the request's id, and the driver must answer; WRITING owns output; LINGERING owns nothing but
// the descriptor, and waits for the client to have read the answer: close() with unread input would reset it (RFC 9112 9.6).
// Requests that came along behind one wait in input: they are served one after the other.
#ifndef PX_ADMIN_CONN_H
#define PX_ADMIN_CONN_H

#include "engine/mainloop.h"
#include "proto/admin_request.h"

enum { PX_ADMIN_CONNECTIONS_MAX = 64 };

enum px_admin_conn_state { PX_ADMIN_READING, PX_ADMIN_WAITING, PX_ADMIN_WRITING, PX_ADMIN_LINGERING, PX_ADMIN_CLOSED };

struct px_admin_conn {
    struct px_handle handle;
    struct px_timer deadline;
    struct px_timer resume;       // reads on, in a turn of its own: the driver's callbacks must not nest
    px_admin *admin;
    enum px_admin_conn_state state;
    bool running;                 // inside px__admin_conn_run: whoever closes it leaves freeing to that
    bool input_ended;
    bool request_begun;           // its deadline is armed
    bool continue_sent;
    bool keep_alive, head_only, minor_zero;  // of the request being answered
    uint64_t request_id;          // WAITING
    uint64_t idle_since_ms;       // READING with nothing read
    char *input;
    size_t input_length, input_capacity;
    struct px_admin_parser parser;
    char *output;
    size_t output_length, output_sent;
};

struct px_admin {
    px_mainloop *mainloop;
    px_loop *loop;
    int fd;                       // listening socket; -1: none
    struct px_handle listener;
    struct px_timer retry;        // accept again after running out of descriptors
    bool serving;                 // between start and stop
    bool shares_port;             // with another generation's socket, until ours listens
    uint32_t request_timeout_ms;  // from a request's first byte to its last
    uint32_t idle_timeout_ms;     // between requests, and without progress in writing
    uint32_t linger_timeout_ms;
    uint64_t last_request_id;
    uint32_t count;
    struct px_admin_conn *conns[PX_ADMIN_CONNECTIONS_MAX];
};

// Take over an accepted descriptor. Returns 0, or -errno with the descriptor closed.
int px__admin_conn_open(px_admin *admin, int fd);
// Close at once and forget. Frees the connection unless it is running.
void px__admin_conn_close(struct px_admin_conn *conn);
// Go on as far as possible: read, hand requests to the driver, write.
void px__admin_conn_run(struct px_admin_conn *conn);
// Go on in the next turn.
void px__admin_conn_resume(struct px_admin_conn *conn);
// Make the answer and begin to write it. Gives nothing to the driver.
void px__admin_conn_respond(struct px_admin_conn *conn, uint32_t status, const char *content_type, const char *extra,
    const uint8_t *body, size_t length);

// The whole response in one block of *length bytes, or NULL. `body` NULL: the head alone (HEAD).
char *px__admin_response(uint32_t status, const char *connection, const char *content_type, const char *extra,
    const uint8_t *body, size_t body_length, size_t *length);

#endif
