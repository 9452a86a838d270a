// Names of the plan's statistics. The tables come from the X-macros next to the structs that hold the slots, so that a counter is
// named in one place. A name that comes twice (two listeners with one stat_prefix) gets the same slot from the builder.
//
// Main thread only. Until px_plan_bind_stats the structs hold slots, afterwards cell indexes.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"

struct stat_row {
    const char *name;
    enum px_stat_kind kind;
    enum px_stat_import import;
};

#define ROW(field, name, kind, import) {name, PX_STAT_##kind, PX_IMPORT_##import},
static const struct stat_row listener_rows[] = {PX_LISTENER_STATS(ROW)};
static const struct stat_row listener_worker_rows[] = {PX_LISTENER_WORKER_STATS(ROW)};
static const struct stat_row tcp_rows[] = {PX_TCP_STATS(ROW)};
static const struct stat_row cluster_rows[] = {PX_CLUSTER_STATS(ROW)};
static const struct stat_row listener_manager_rows[] = {PX_LISTENER_MANAGER_STATS(ROW)};
static const struct stat_row cluster_manager_rows[] = {PX_CLUSTER_MANAGER_STATS(ROW)};
static const struct stat_row filesystem_rows[] = {PX_FILESYSTEM_STATS(ROW)};
#undef ROW

// A struct of slots is walked as an array: it holds one uint32_t for each row and nothing else.
#define ROWS(rows) (sizeof(rows) / sizeof(rows)[0])
#define GROUP(rows, stats) rows, ROWS(rows), (uint32_t *)(stats)
_Static_assert(sizeof(struct px_listener_stats) == ROWS(listener_rows) * sizeof(uint32_t), "one slot per row");
_Static_assert(sizeof(struct px_listener_worker_stats) == ROWS(listener_worker_rows) * sizeof(uint32_t), "one slot per row");
_Static_assert(sizeof(struct px_tcp_stats) == ROWS(tcp_rows) * sizeof(uint32_t), "one slot per row");
_Static_assert(sizeof(struct px_cluster_stats) == ROWS(cluster_rows) * sizeof(uint32_t), "one slot per row");
_Static_assert(sizeof(struct px_listener_manager_stats) == ROWS(listener_manager_rows) * sizeof(uint32_t), "one slot per row");
_Static_assert(sizeof(struct px_cluster_manager_stats) == ROWS(cluster_manager_rows) * sizeof(uint32_t), "one slot per row");
_Static_assert(sizeof(struct px_filesystem_stats) == ROWS(filesystem_rows) * sizeof(uint32_t), "one slot per row");

// What is done to every group: registering its names, or turning its slots into cells.
struct visitor {
    px_stats_builder *builder;      // registering
    const px_stats_block *block;    // binding
};

static int register_one(px_stats_builder *builder, const char *prefix, const struct stat_row *row, uint32_t *slot) {
    char name[PX_STAT_NAME_MAX + 1];
    int length = snprintf(name, sizeof name, "%s%s", prefix, row->name);
    if (length < 0 || (size_t)length >= sizeof name) return -EINVAL;
    int result = px_stats_builder_add(builder, name, row->kind, row->import);
    if (result < 0) return result;
    *slot = (uint32_t)result;
    return 0;
}

static int visit(
    const struct visitor *visitor, const char *prefix, const struct stat_row *rows, size_t count, uint32_t *slots) {
    for (size_t i = 0; i < count; i++) {
        if (visitor->builder == NULL) {
            slots[i] = px__stats_cell(visitor->block, slots[i]);
            continue;
        }
        int result = register_one(visitor->builder, prefix, &rows[i], &slots[i]);
        if (result < 0) return result;
    }
    return 0;
}

// "listener." + "127.0.0.1:80" + "." with every ':' as '_', as Envoy writes scope names.
static int make_prefix(char *out, size_t size, const char *scope, const char *name) {
    int length = snprintf(out, size, "%s%s.", scope, name);
    if (length < 0 || (size_t)length >= size) return -EINVAL;
    for (char *at = out; *at != '\0'; at++)
        if (*at == ':') *at = '_';
    return 0;
}

static int visit_workers(const struct visitor *visitor, struct px_listener_config *listener, const char *prefix, uint32_t workers) {
    for (uint32_t i = 0; i < workers; i++) {
        char worker[PX_STAT_NAME_MAX];
        int length = snprintf(worker, sizeof worker, "%sworker_%u.", prefix, i);
        if (length < 0 || (size_t)length >= sizeof worker) return -EINVAL;
        int result = visit(visitor, worker, GROUP(listener_worker_rows, &listener->worker_stats[i]));
        if (result < 0) return result;
    }
    return 0;
}

static int visit_listener(const struct visitor *visitor, struct px_listener_plan *plan, uint32_t workers) {
    char prefix[PX_STAT_NAME_MAX];
    int result = make_prefix(prefix, sizeof prefix, "listener.", plan->listener.stat_prefix);
    if (result == 0) result = visit(visitor, prefix, GROUP(listener_rows, &plan->listener.stats));
    if (result == 0) result = visit_workers(visitor, &plan->listener, prefix, workers);
    if (result != 0 || plan->filter.kind != PX_FILTER_TCP_PROXY) return result;
    result = make_prefix(prefix, sizeof prefix, "tcp.", plan->filter.stat_prefix);
    return result != 0 ? result : visit(visitor, prefix, GROUP(tcp_rows, &plan->filter.stats));
}

static int visit_cluster(const struct visitor *visitor, struct px_cluster *cluster) {
    char prefix[PX_STAT_NAME_MAX];
    int result = make_prefix(prefix, sizeof prefix, "cluster.", cluster->stat_name);
    return result != 0 ? result : visit(visitor, prefix, GROUP(cluster_rows, &cluster->stats));
}

static int visit_plan(const struct visitor *visitor, px_plan *plan) {
    int result = visit(visitor, "listener_manager.", GROUP(listener_manager_rows, &plan->listener_manager));
    if (result == 0) result = visit(visitor, "cluster_manager.", GROUP(cluster_manager_rows, &plan->cluster_manager));
    if (result == 0) result = visit(visitor, "filesystem.", GROUP(filesystem_rows, &plan->filesystem));
    for (uint32_t i = 0; i < plan->listener_count && result == 0; i++)
        result = visit_listener(visitor, plan->listeners[i], plan->workers);
    for (uint32_t i = 0; i < plan->cluster_count && result == 0; i++) result = visit_cluster(visitor, plan->clusters[i]);
    return result;
}

static int allocate_worker_stats(px_plan *plan, uint32_t workers) {
    for (uint32_t i = 0; i < plan->listener_count; i++) {
        struct px_listener_config *listener = &plan->listeners[i]->listener;
        free(listener->worker_stats);
        listener->worker_stats = calloc(workers, sizeof *listener->worker_stats);
        if (listener->worker_stats == NULL) return -ENOMEM;
    }
    return 0;
}

int px_plan_register_stats(px_plan *plan, px_stats_builder *builder, uint32_t workers) {
    if (workers == 0 || plan->stats_bound) return -EINVAL;
    plan->workers = 0;
    if (allocate_worker_stats(plan, workers) != 0) return -ENOMEM;
    plan->workers = workers;
    return visit_plan(&(struct visitor){.builder = builder}, plan);
}

int px_plan_bind_stats(struct px_plan *plan, px_stats_block *block) {
    if (plan->workers == 0 || plan->stats_bound) return -EINVAL;
    plan->stats_bound = true;
    return visit_plan(&(struct visitor){.block = block}, plan);
}
