// load-client: load and faults for a server that echoes, from outside its process. It connects at a fixed rate, holds
// sessions, moves bulk data or plays the upstream, verifies every byte, and prints one JSON object at the end. One thread.
// Bounded on every side: connections, payload, time (--duration, ten minutes unless told), steps (--timeout).
#include "load.h"

#include <signal.h>

struct load_options load_options;

int main(int argc, char **argv) {
    bool done = false;
    int code = load_options_parse(argc, argv, &load_options, &done);
    if (done) return code;
    signal(SIGPIPE, SIG_IGN);
    load_pattern_init(load_options.seed);
    code = load_loop_init();
    if (code != 0) return 1;
    load_report.begun_us = load_now_us();
    switch (load_options.mode) {
        case MODE_CONNECT: code = load_run_connect(); break;
        case MODE_HOLD: code = load_run_hold(); break;
        case MODE_BULK: code = load_run_bulk(); break;
        case MODE_ECHO_SERVER: code = load_run_echo_server(); break;
    }
    if (code == 0) load_report_print();
    return code;
}
