// A whole engine in a test: a plan with a few listeners and clusters, its main loop, and clients and upstreams to use it with.
// The test's thread is the owner; it turns the main loop while it waits for an event or a figure.
#ifndef RIG_H
#define RIG_H

#include "include/px.h"
#include "test.h"

#define RIG_EVENTS 11
#define RIG_DEADLINE_MS 8000

struct rig {
    px_mainloop *loop;
    px_plan *plan;             // until the engine has it
    px_stats_block *stats;
    px_stats_reader *reader;
    px_engine *engine;
    px_control_block *control; // borrowed; NULL: always serves
    uint64_t epoch;
    uint32_t workers;
    uint32_t events[RIG_EVENTS];   // how often each came
    uint64_t last_count;           // of the last event
};

// Begin a plan.
void rig_begin(struct rig *rig, uint32_t workers);
// What a listener or cluster is where a test does not say otherwise: loopback, port 0, no limits, connect time-out 2 s.
struct px_listener_spec rig_listener_spec(const char *name, enum px_filter_kind filter);
struct px_cluster_spec rig_cluster_spec(const char *name);
// Add to the plan; they return the index.
uint32_t rig_listener(struct rig *rig, const struct px_listener_spec *spec, uint16_t port);
uint32_t rig_cluster(struct rig *rig, const struct px_cluster_spec *spec);
void rig_endpoint(struct rig *rig, uint32_t cluster, uint16_t port);
// A tcp_proxy listener "tcp" on port 0 with a cluster "up" of one endpoint.
void rig_relay(struct rig *rig, uint16_t upstream_port);

// Make the engine, and no sockets yet.
void rig_create(struct rig *rig);
// Make the engine where there is none, open what is missing, start, listen, accept. `cold` as in px_engine_open_sockets.
void rig_serve(struct rig *rig, bool cold);
void rig_end(struct rig *rig);
uint16_t rig_port(const struct rig *rig, uint32_t listener);

// Turn the loop until `kind` has come once more than when the last wait for it ended.
void rig_wait(struct rig *rig, enum px_event_kind kind);
// Turn it until a counter or gauge has this value.
void rig_wait_value(struct rig *rig, const char *name, int64_t value);
int64_t rig_value(struct rig *rig, const char *name);
void rig_turn(struct rig *rig, int timeout_ms);
// Pass every listening socket of `from` (as copies) to `to`, with what it wants in addition. Returns how many were wanted.
uint32_t rig_pass_sockets(struct rig *from, struct rig *to);

// Blocking sockets with a deadline of RIG_DEADLINE_MS for each operation.
int tcp_listen(uint16_t *port, int backlog);
int tcp_accept(int listener);
int tcp_connect(uint16_t port);
// Returns -errno instead of failing the test.
int tcp_try_connect(uint16_t port);
// Starts to connect and does not wait for it.
int tcp_connect_no_wait(uint16_t port);
void send_all(int fd, const void *bytes, size_t length);
void receive_all(int fd, void *bytes, size_t length);
// The next read says: end of stream; connection reset.
void expect_end(int fd);
void expect_reset(int fd);
// One round trip of a short text through an echo.
void expect_echo(int fd, const char *text);
void close_with_reset(int fd);

// An upstream that echoes every connection, on a thread of its own, until the process ends. Returns its port.
uint16_t echo_upstream(void);

uint64_t now_ms(void);

#endif
