// Command line of the load client. Every number has a range; one outside it is a usage error (exit 64), never cut silently.
#include "load.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64 };

static const char help[] =
    "usage: load-client MODE ADDRESS [options]\n"
    "modes:\n"
    "  connect      connect, send, verify the echo, close; again and again\n"
    "  hold         hold sessions open, each with a verified exchange every so often\n"
    "  bulk         stream through sessions as fast as they go, verifying the echo\n"
    "  echo-server  accept and echo, counting connections and bytes\n"
    "address: 127.0.0.1:10000, [::1]:10000, /path or @abstract\n"
    "  -r, --rate N         connections begun per second; 0: as fast as possible (100)\n"
    "  -c, --concurrency N  connections open at a time, or sessions held (256)\n"
    "  -n, --count N        end after N connections; 0: until told (0)\n"
    "  -d, --duration S     end after S seconds (600)\n"
    "  -s, --size BYTES     payload of one exchange (64)\n"
    "  -i, --interval MS    hold: pause between exchanges of a session (1000)\n"
    "  -t, --timeout MS     of each step of a connection (10000)\n"
    "      --sources N      connect from N addresses 127.0.0.x in turn (0)\n"
    "      --seed N         of the payload\n"
    "      --reset          end connections with RST, leaving no TIME_WAIT\n"
    "      --half-close     end with shutdown and wait for the other side's end\n"
    "      --events         one JSON line for every failure as it happens\n"
    "      --outcomes FILE  connect: one line for each connection: outcome, begun, answered, ended (us)\n"
    "SIGTERM or SIGINT ends it: what is open is finished, then one JSON object is printed.\n"
    "SIGUSR1 opens a marked period with latencies of its own, SIGUSR2 ends it.\n";

static const struct option long_options[] = {
    {"rate", required_argument, NULL, 'r'},     {"concurrency", required_argument, NULL, 'c'},
    {"count", required_argument, NULL, 'n'},    {"duration", required_argument, NULL, 'd'},
    {"size", required_argument, NULL, 's'},     {"interval", required_argument, NULL, 'i'},
    {"timeout", required_argument, NULL, 't'},  {"sources", required_argument, NULL, 'S'},
    {"seed", required_argument, NULL, 'E'},     {"reset", no_argument, NULL, 'R'},
    {"half-close", no_argument, NULL, 'H'},     {"events", no_argument, NULL, 'V'},
    {"outcomes", required_argument, NULL, 'O'}, {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int usage_error(const char *what, const char *value) {
    fprintf(stderr, "load-client: %s '%s'; see load-client --help\n", what, value);
    return EXIT_USAGE;
}

static bool parse_number(const char *text, double low, double high, double *out) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < low || value > high) return false;
    *out = value;
    return true;
}

static bool parse_mode(const char *text, enum load_mode *out) {
    static const struct { const char *name; enum load_mode mode; } modes[] = {
        {"connect", MODE_CONNECT}, {"hold", MODE_HOLD}, {"bulk", MODE_BULK}, {"echo-server", MODE_ECHO_SERVER}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(text, modes[i].name) != 0) continue;
        *out = modes[i].mode;
        return true;
    }
    return false;
}

// Returns whether the option and its value are good.
static bool apply_option(int option, const char *value, struct load_options *out) {
    double number = 0;
    switch (option) {
        case 'r': return parse_number(value, 0, 1e6, &out->rate);
        case 'd': return parse_number(value, 0.001, LOAD_SECONDS_MAX, &out->seconds);
        case 'c': return parse_number(value, 1, LOAD_SESSIONS_MAX, &number) && (out->concurrency = (uint32_t)number, true);
        case 'n': return parse_number(value, 0, 1e15, &number) && (out->count = (uint64_t)number, true);
        case 's': return parse_number(value, 1, LOAD_PAYLOAD_MAX, &number) && (out->size = (uint32_t)number, true);
        case 'i': return parse_number(value, 1, 3600000, &number) && (out->interval_ms = (uint32_t)number, true);
        case 't': return parse_number(value, 1, 3600000, &number) && (out->timeout_ms = (uint32_t)number, true);
        case 'S': return parse_number(value, 0, 250, &number) && (out->sources = (uint32_t)number, true);
        case 'E': return parse_number(value, 0, 1e15, &number) && (out->seed = (uint64_t)number, true);
        case 'R': return out->reset = true;
        case 'H': return out->half_close = true;
        case 'V': return out->events = true;
        case 'O': return (out->outcomes = value) != NULL;
        default: return false;
    }
}

int load_options_parse(int argc, char **argv, struct load_options *out, bool *done) {
    *out = (struct load_options){.rate = 100, .concurrency = 256, .seconds = 600, .size = 64, .interval_ms = 1000,
        .timeout_ms = 10000, .seed = 1};
    *done = true;
    int option;
    while ((option = getopt_long(argc, argv, "r:c:n:d:s:i:t:h", long_options, NULL)) != -1) {
        if (option == 'h') return fputs(help, stdout), 0;
        if (option == '?') return EXIT_USAGE;
        if (!apply_option(option, optarg, out)) return usage_error("option value out of range:", optarg);
    }
    if (argc - optind != 2) return fputs(help, stderr), EXIT_USAGE;
    if (!parse_mode(argv[optind], &out->mode)) return usage_error("unknown mode", argv[optind]);
    out->address = argv[optind + 1];
    struct load_address address;
    if (load_address_parse(out->address, &address) != 0) return usage_error("not an address:", out->address);
    *done = false;
    return 0;
}
