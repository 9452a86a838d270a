// Microbenchmarks of the C core: a file `bench_x.c` defines `BENCH(name) { ... }` and reports each figure with the floor it is
// to be judged by, measured in the same run. A benchmark loops until bench_time_is_up(), so that a brief run (in `make test`)
// and a measuring one differ in time alone.
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

struct bench {
    const char *name;
    void (*run)(struct bench *bench);
    struct bench *next;
    uint64_t budget_ns;  // for each timed loop
};

#define BENCH(id)                                                              \
    static void bench_##id(struct bench *bench);                               \
    static struct bench bench_entry_##id = {.name = #id, .run = bench_##id};   \
    __attribute__((constructor)) static void bench_register_##id(void) {       \
        bench_register(&bench_entry_##id);                                     \
    }                                                                          \
    static void bench_##id(struct bench *bench)

void bench_register(struct bench *bench);

// One timed loop:  for (struct bench_loop l = bench_begin(bench); bench_go_on(&l);) { … one batch … l.operations += BATCH; }
// The clock is read once per batch, so a batch should take a microsecond at least.
struct bench_loop {
    uint64_t begun_ns, ended_ns, budget_ns, operations;
};
struct bench_loop bench_begin(const struct bench *bench);
bool bench_go_on(struct bench_loop *loop);
double bench_ns_per_operation(const struct bench_loop *loop);

// A figure and its floor, both in `unit`; `floor_name` says what the floor is ("plain memory increment"). For units of which more
// is better (".../s") the ratio is turned round, so that a lower ratio is always better. floor 0: there is none.
void bench_report(const struct bench *bench, const char *what, const char *unit, double value, double floor, const char *floor_name);

// The benchmark cannot go on; the runner prints why and exits 1.
void bench_fail(const struct bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

// Keep the compiler from optimising a value away.
#define bench_keep(value) __asm__ volatile("" : : "g"(value) : "memory")

#endif
