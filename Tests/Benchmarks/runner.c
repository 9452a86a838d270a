// Runs the microbenchmarks one after the other in this process and prints a table, or JSON with --json. Exit 1 if one could
// not run, 64 for wrong usage.
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static struct bench *benches;
static bool as_json;
static uint32_t reported;

void bench_register(struct bench *bench) {
    struct bench **link = &benches;
    while (*link != NULL && strcmp((*link)->name, bench->name) < 0) link = &(*link)->next;
    bench->next = *link;
    *link = bench;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct bench_loop bench_begin(const struct bench *bench) {
    return (struct bench_loop){.begun_ns = now_ns(), .budget_ns = bench->budget_ns};
}

bool bench_go_on(struct bench_loop *loop) {
    loop->ended_ns = now_ns();
    return loop->operations == 0 || loop->ended_ns - loop->begun_ns < loop->budget_ns;
}

double bench_ns_per_operation(const struct bench_loop *loop) {
    return (double)(loop->ended_ns - loop->begun_ns) / (double)loop->operations;
}

static double ratio_of(const char *unit, double value, double floor) {
    size_t length = strlen(unit);
    bool more_is_better = length >= 2 && strcmp(unit + length - 2, "/s") == 0;
    if (floor <= 0 || value <= 0) return 0;
    return more_is_better ? floor / value : value / floor;
}

void bench_report(const struct bench *bench, const char *what, const char *unit, double value, double floor, const char *floor_name) {
    double ratio = ratio_of(unit, value, floor);
    if (as_json) {
        printf("%s\n  {\"bench\":\"%s\",\"what\":\"%s\",\"unit\":\"%s\",\"value\":%.4g,\"floor\":%.4g,\"floor_name\":\"%s\",\"ratio\":%.3g}",
            reported == 0 ? "" : ",", bench->name, what, unit, value, floor, floor_name, ratio);
    } else {
        printf("%-26s %-38s %12.2f %-6s %12.2f %7.2f  %s\n", bench->name, what, value, unit, floor, ratio, floor_name);
    }
    reported++;
    fflush(stdout);
}

void bench_fail(const struct bench *bench, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "benchmarks: %s: ", bench->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void print_head(void) {
    struct utsname machine;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (uname(&machine) != 0) memset(&machine, 0, sizeof machine);
    if (as_json) {
        printf("{\"kernel\":\"%s\",\"machine\":\"%s\",\"processors\":%ld,\"results\":[", machine.release, machine.machine, processors);
        return;
    }
    printf("Linux %s, %s, %ld processors\n", machine.release, machine.machine, processors);
    printf("%-26s %-38s %12s %-6s %12s %7s  %s\n", "benchmark", "what", "value", "unit", "floor", "ratio", "the floor is");
}

static int usage(FILE *out) {
    fputs("usage: benchmarks [--brief] [--json] [--list] [NAME ...]\n", out);
    return out == stdout ? 0 : 64;
}

static bool is_wanted(const struct bench *bench, char **names) {
    if (*names == NULL) return true;
    for (; *names != NULL; names++) {
        if (strcmp(*names, bench->name) == 0) return true;
    }
    return false;
}

int main(int argc, char **argv) {
    uint64_t budget_ns = 500000000;
    int first = 1;
    for (; first < argc && argv[first][0] == '-'; first++) {
        if (strcmp(argv[first], "--brief") == 0) budget_ns = 10000000;
        else if (strcmp(argv[first], "--json") == 0) as_json = true;
        else if (strcmp(argv[first], "--help") == 0) return usage(stdout);
        else if (strcmp(argv[first], "--list") == 0) {
            for (struct bench *bench = benches; bench != NULL; bench = bench->next) puts(bench->name);
            return 0;
        } else return usage(stderr);
    }
    uint32_t ran = 0;
    print_head();
    for (struct bench *bench = benches; bench != NULL; bench = bench->next) {
        if (!is_wanted(bench, argv + first)) continue;
        bench->budget_ns = budget_ns;
        bench->run(bench);
        ran++;
    }
    printf(as_json ? "\n]}\n" : "");
    fprintf(stderr, "%u passed, 0 failed\n", ran);
    return ran == 0 ? 1 : 0;
}
