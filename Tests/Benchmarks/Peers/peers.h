// Load, backend and bare relay of `make bench-peers`: what its programs share. Each mode is one single-threaded process on loopback
// that ends with its parent, so nothing is left behind however the run ends.
#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEERS_MESSAGE_MAX = 65536, PEERS_PIDS_MAX = 32, PEERS_CHUNK = 256 * 1024 };

struct peers_options {
    uint16_t port;
    uint32_t connections;
    uint32_t size;      // bytes of a message
    double seconds;
    int pids[PEERS_PIDS_MAX];  // whose processor time is measured
    int pid_count;
};

// ---- common.c ----------------------------------------------------------------------------------------------------------------

// Print and exit 1: the run could not be done.
void peers_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
uint64_t peers_now_ns(void);
// Processor time, user and system, that the threads of the measured processes have used.
uint64_t peers_cpu_ns(const struct peers_options *options);
// One line of JSON: what was done in how much time, and what it cost the measured processes.
void peers_print(const char *unit, uint64_t operations, uint64_t elapsed_ns, uint64_t cpu_ns);

int peers_epoll(void);
void peers_watch(int epoll, int fd, uint32_t events, void *object);
int peers_listen(uint16_t port);
// Nonblocking; the connection may still be under way, or refused: the next call on it tells.
int peers_connect(uint16_t port);
int peers_connect_and_wait(uint16_t port);
void peers_no_delay(int fd);

// ---- servers.c, clients.c ------------------------------------------------------------------------------------------------------

// argv: ECHO_PORT:BULK_PORT ...
int peers_backend(int argc, char **argv);
// argv: [--splice] LISTEN:UPSTREAM ...
int peers_relay(int argc, char **argv);

int peers_round_trips(const struct peers_options *options);
int peers_connects(const struct peers_options *options);
int peers_bulk(const struct peers_options *options);
// Holds the connections until standard input ends.
int peers_hold(const struct peers_options *options);
// argv: the program. From its exec, on that processor, until it first echoes; then it is killed.
int peers_first_answer(const struct peers_options *options, int processor, char **argv);

#endif
