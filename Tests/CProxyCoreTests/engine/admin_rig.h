// An admin server on a main loop in the test's own process, with clients on real sockets: whatever waits turns the loop.
#ifndef ADMIN_RIG_H
#define ADMIN_RIG_H

#include "engine/admin_conn.h"

extern px_mainloop *admin_loop;
extern px_admin *admin;
extern struct px_addr admin_addr;  // of the listening socket

// What the driver does with a request; by default admin_echo().
extern void (*admin_answer)(const struct px_admin_request *request);
extern int admin_requests;
extern uint64_t admin_last_id;  // by admin_keep_id()
extern char admin_received[1 << 24];

void admin_echo(const struct px_admin_request *request);     // answers "METHOD path?query|body"
void admin_keep_id(const struct px_admin_request *request);  // answers nothing: that comes later
void admin_respond(uint64_t id, uint32_t status, const char *text);

void admin_open_loop(void);
void admin_open(void);  // on 127.0.0.1
void admin_close(void);

int admin_dial(void);
void admin_send(int fd, const char *text);
// Everything until the text ends with `end`, or until the end of the stream if NULL.
const char *admin_receive(int fd, const char *end);
int admin_status(const char *response);

uint64_t admin_deadline(void);  // of a wait that begins now
void admin_turn(uint64_t deadline, const char *what);
void admin_await_count(uint32_t count, const char *what);  // of connections
void admin_await_requests(int count);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

#endif
