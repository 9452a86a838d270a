// One mode per process; Tests/Benchmarks/Peers/run.py puts them together.
#include "peers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int usage(void) {
    fputs("usage: peers backend ECHO_PORT:BULK_PORT ...\n"
          "       peers relay [--splice] LISTEN:UPSTREAM ...\n"
          "       peers round-trips|connects|bulk PORT CONNECTIONS BYTES SECONDS [PID ...]\n"
          "       peers hold PORT CONNECTIONS BYTES\n"
          "       peers first-answer PORT BYTES PROCESSOR PROGRAM ARGUMENT ...\n", stderr);
    return 64;
}

static int run_load(const char *mode, int argc, char **argv) {
    struct peers_options options = {
        .port = (uint16_t)atoi(argv[0]), .connections = (uint32_t)atoi(argv[1]), .size = (uint32_t)atoi(argv[2]), .seconds = argc > 3 ? atof(argv[3]) : 0};
    if (options.connections == 0 || options.size == 0 || options.size > PEERS_MESSAGE_MAX || argc > 4 + PEERS_PIDS_MAX) return usage();
    for (int i = 4; i < argc; i++) options.pids[options.pid_count++] = atoi(argv[i]);
    if (strcmp(mode, "round-trips") == 0) return peers_round_trips(&options);
    if (strcmp(mode, "connects") == 0) return peers_connects(&options);
    if (strcmp(mode, "bulk") == 0) return peers_bulk(&options);
    return strcmp(mode, "hold") == 0 ? peers_hold(&options) : usage();
}

int main(int argc, char **argv) {
    struct rlimit limit;
    signal(SIGPIPE, SIG_IGN);  // splice() to a closed socket
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc < 3) return usage();
    if (strcmp(argv[1], "backend") == 0) return peers_backend(argc - 2, argv + 2);
    if (strcmp(argv[1], "relay") == 0) return peers_relay(argc - 2, argv + 2);
    if (argc < 5) return usage();
    if (strcmp(argv[1], "first-answer") != 0) return run_load(argv[1], argc - 2, argv + 2);
    const struct peers_options options = {.port = (uint16_t)atoi(argv[2]), .size = (uint32_t)atoi(argv[3])};
    return argc > 5 ? peers_first_answer(&options, atoi(argv[4]), argv + 5) : usage();
}
