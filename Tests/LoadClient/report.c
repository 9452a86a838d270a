// What the load client counted: outcomes, latencies, and the JSON they are printed as. Failures carry wall-clock time, so that
// they can be laid beside the server's log.
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct load_report load_report;
int load_last_error;

static const char *const outcome_names[OUTCOME_COUNT] = {
#define LOAD_OUTCOME_NAME(name, text) text,
    LOAD_OUTCOMES(LOAD_OUTCOME_NAME)
#undef LOAD_OUTCOME_NAME
};
static const char *const mode_names[] = {"connect", "hold", "bulk", "echo-server"};

const char *load_outcome_name(enum load_outcome outcome) { return outcome_names[outcome]; }

enum load_outcome load_outcome_of_errno(int error) {
    load_last_error = error;
    switch (error) {
        case ECONNREFUSED:
        case ENOENT: return OUTCOME_REFUSED;
        case ECONNRESET:
        case EPIPE: return OUTCOME_RESET;
        case ETIMEDOUT: return OUTCOME_CONNECT_TIMEOUT;
        case EADDRNOTAVAIL:
        case EADDRINUSE:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return OUTCOME_LOCAL;
        default: return OUTCOME_OTHER;
    }
}

static unsigned bucket_of(uint64_t value) {
    if (value < 16) return (unsigned)value;
    unsigned octave = 63 - (unsigned)__builtin_clzll(value);
    return (octave - 3) * 16 + (unsigned)((value >> (octave - 4)) & 15);
}

// The highest value that falls into the bucket.
static uint64_t bucket_high(unsigned bucket) {
    if (bucket < 16) return bucket;
    unsigned octave = bucket / 16 + 3;
    return ((uint64_t)(16 + bucket % 16 + 1) << (octave - 4)) - 1;
}

void load_histogram_record(struct load_histogram *histogram, uint64_t value) {
    histogram->counts[bucket_of(value)]++;
    histogram->total++;
    if (value > histogram->max) histogram->max = value;
}

uint64_t load_histogram_quantile(const struct load_histogram *histogram, double quantile) {
    uint64_t wanted = (uint64_t)(quantile * (double)histogram->total + 0.999999);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram->total > 0; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) return bucket_high(i) < histogram->max ? bucket_high(i) : histogram->max;
    }
    return histogram->max;
}

void load_report_outcome(enum load_outcome outcome, uint64_t id, uint64_t age_us, int error) {
    load_report.outcomes[outcome]++;
    if (outcome == OUTCOME_OK) return;
    uint64_t now = load_unix_ms();
    if (load_report.first_failure_ms == 0) load_report.first_failure_ms = now;
    load_report.last_failure_ms = now;
    if (!load_options.events) return;
    printf("{\"event\":\"failure\",\"outcome\":\"%s\",\"at_ms\":%" PRIu64 ",\"connection\":%" PRIu64 ",\"age_us\":%" PRIu64
           ",\"errno\":\"%s\"}\n", outcome_names[outcome], now, id, age_us, error != 0 ? strerror(error) : "");
    fflush(stdout);
}

static FILE *outcomes;

int load_outcomes_open(void) {
    if (load_options.outcomes == NULL) return 0;
    outcomes = fopen(load_options.outcomes, "we");
    // By line, because tests read it while it grows.
    if (outcomes != NULL && setvbuf(outcomes, NULL, _IOLBF, BUFSIZ) == 0) return 0;
    fprintf(stderr, "load-client: cannot write %s: %s\n", load_options.outcomes, strerror(errno));
    return 1;
}

void load_outcomes_write(enum load_outcome outcome, uint64_t begun_us, uint64_t answered_us) {
    if (outcomes == NULL) return;
    fprintf(outcomes, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", outcome_names[outcome], begun_us, answered_us, load_now_us());
}

int load_outcomes_close(void) {
    if (outcomes == NULL || fclose(outcomes) == 0) return 0;
    fprintf(stderr, "load-client: cannot write %s: %s\n", load_options.outcomes, strerror(errno));
    return 1;
}

static void print_histogram(const char *name, const struct load_histogram *histogram) {
    printf(",\"%s\":{\"count\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64 "}", name,
        histogram->total, load_histogram_quantile(histogram, 0.5), load_histogram_quantile(histogram, 0.99),
        load_histogram_quantile(histogram, 0.999), histogram->max);
}

void load_report_print(void) {
    uint64_t failed = 0;
    printf("{\"mode\":\"%s\",\"seconds\":%.3f,\"tried\":%" PRIu64, mode_names[load_options.mode],
        (double)(load_now_us() - load_report.begun_us) / 1e6, load_report.tried);
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        printf(",\"%s\":%" PRIu64, outcome_names[i], load_report.outcomes[i]);
        if (i != OUTCOME_OK) failed += load_report.outcomes[i];
    }
    printf(",\"failed\":%" PRIu64 ",\"open\":%" PRIu64 ",\"exchanges\":%" PRIu64 ",\"bytes_sent\":%" PRIu64 ",\"bytes_received\":%" PRIu64
           ",\"retries\":%" PRIu64 ",\"first_failure_ms\":%" PRIu64 ",\"last_failure_ms\":%" PRIu64, failed, load_report.open,
        load_report.exchanges, load_report.bytes_sent, load_report.bytes_received, load_report.retries, load_report.first_failure_ms,
        load_report.last_failure_ms);
    print_histogram("latency_us", &load_report.plain);
    print_histogram("marked_us", &load_report.marked);
    printf("}\n");
    fflush(stdout);
}
