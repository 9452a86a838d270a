// Puts the layers together: creates workers, log writer and resolver around a plan, and takes them down in the order in which they
// stop needing each other. Owner thread only.
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log_ring.h"

// ---- creation ---------------------------------------------------------------------------------------------------------------

static int create_workers(struct px_engine *engine, struct px_detail *detail) {
    struct px_worker_options options = {
        .count = engine->options.workers,
        .plan = engine->plan,
        .stats = engine->stats,
        .control = engine->control,
        .epoch = engine->options.epoch,
        .global_open = engine->plan->global_connection_limit > 0 ? &engine->global_open : NULL,
        .listener_open = engine->listener_open,
        .reports = &engine->reports,
    };
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        options.index = i;
        engine->workers[i] = px_worker_create(&options, detail);
        if (!engine->workers[i]) return -ENOMEM;
    }
    return 0;
}

static int load_clusters(struct px_engine *engine) {
    px_plan *plan = engine->plan;
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        int error = px_cluster_load_static(plan->clusters[i]);
        if (error < 0) return error;
        px_cluster_count_members(plan->clusters[i], plan->clusters[i]->hosts, engine->shard);
    }
    px__cell_add(engine->shard, plan->cluster_manager.cluster_added, plan->cluster_count);
    px__cell_add(engine->shard, plan->cluster_manager.active_clusters, plan->cluster_count);
    px__cell_add(engine->shard, plan->listener_manager.listener_added, plan->listener_count);
    return 0;
}

static int create_log_writer(struct px_engine *engine, struct px_detail *detail) {
    const struct px_log_writer_options options = {
        .files = engine->plan->log_files,
        .file_count = engine->plan->log_file_count,
        .control = engine->control,
        .shard = engine->shard,
        .flush_ms = engine->options.access_log_flush_ms > 0 ? engine->options.access_log_flush_ms : 1000,
        .min_bytes = engine->options.access_log_min_bytes,
    };
    engine->log_writer = px_log_writer_create(&options, detail);
    return engine->log_writer ? 0 : -EIO;
}

static int create_parts(struct px_engine *engine, struct px_detail *detail) {
    int error = px_plan_bind_stats(engine->plan, engine->stats);
    if (error < 0) return px_fail(detail, error, "px_plan_bind_stats", "plan", "%s", "its statistics were not registered");
    engine->shard = px__stats_shard(engine->stats, engine->options.workers);
    engine->workers = calloc(engine->options.workers, sizeof *engine->workers);
    engine->listener_open = calloc(engine->plan->listener_count + 1, sizeof *engine->listener_open);
    if (!engine->workers || !engine->listener_open) return px_fail(detail, -ENOMEM, "calloc", "engine", "%s", "");
    error = px_report_queue_init(&engine->reports, px__mainloop_loop(engine->mainloop), px__engine_handle_report, engine);
    if (error < 0) return px_fail(detail, error, "eventfd", "engine", "%s", "");
    error = px_sockets_init(&engine->sockets, engine->plan, engine->options.workers);
    if (error == 0) error = load_clusters(engine);
    if (error < 0) return px_fail(detail, error, "calloc", "engine", "%s", "");
    error = create_workers(engine, detail);
    return error < 0 ? error : create_log_writer(engine, detail);
}

// Everything but the plan. Nothing that runs may outlive what it uses: the resolver tells workers, workers write to log files.
static void destroy_parts(struct px_engine *engine) {
    px_timer_cancel(px__mainloop_loop(engine->mainloop), &engine->settle);
    px_resolver_stop(engine->resolver);
    for (uint32_t i = 0; engine->workers && i < engine->options.workers; i++) px_worker_destroy(engine->workers[i]);
    px_log_writer_destroy(engine->log_writer);
    px_sockets_deinit(&engine->sockets);
    px_report_queue_deinit(&engine->reports);
    free(engine->workers);
    free(engine->listener_open);
}

px_engine *px_engine_create(px_plan *plan, px_stats_block *stats, px_control_block *control, px_mainloop *loop, const struct px_engine_options *options, struct px_detail *detail) {
    px_engine *engine = options->workers > 0 ? calloc(1, sizeof *engine) : NULL;
    if (!engine) {
        (void)px_fail(detail, options->workers > 0 ? -ENOMEM : -EINVAL, "calloc", "engine", "%s", "");
        return NULL;
    }
    engine->plan = plan;
    engine->stats = stats;
    engine->control = control;
    engine->mainloop = loop;
    engine->options = *options;
    if (create_parts(engine, detail) == 0) return engine;
    destroy_parts(engine);
    free(engine);
    return NULL;
}

void px_engine_destroy(px_engine *engine) {
    if (!engine) return;
    destroy_parts(engine);
    px_plan_destroy(engine->plan);
    free(engine);
}

// ---- start ------------------------------------------------------------------------------------------------------------------

// On the resolver's thread.
static void publish_hosts(void *context, struct px_cluster *cluster, struct px_host_set *set) {
    struct px_engine *engine = context;
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        if (px_worker_update_hosts(engine->workers[i], cluster, set) < 0) {
            px_log(PX_ERROR, "upstream", "no memory to give worker %u the new hosts of cluster %s", i, cluster->name);
        }
    }
}

// On the resolver's thread.
static void resolver_warm(void *context) {
    px_report_send(&((struct px_engine *)context)->reports, PX_REPORT_WARM, 0, 0);
}

static int start_resolver(struct px_engine *engine, struct px_detail *detail) {
    struct px_detail failure = {0};
    const struct px_resolver_options options = {
        .clusters = engine->plan->clusters,
        .cluster_count = engine->plan->cluster_count,
        .shard = engine->shard,
        .publish = publish_hosts,
        .warm = resolver_warm,
        .context = engine,
    };
    engine->resolver = px_resolver_start(&options, &failure);
    if (!engine->resolver && failure.code == 0) resolver_warm(engine);
    if (failure.code < 0 && detail) *detail = failure;
    return failure.code;
}

int px_engine_start(px_engine *engine, struct px_detail *detail) {
    int error = px_log_writer_start(engine->log_writer, detail);
    for (uint32_t i = 0; error == 0 && i < engine->options.workers; i++) error = px_worker_start(engine->workers[i], detail);
    if (error == 0) error = start_resolver(engine, detail);
    if (error < 0) return error;
    px__cell_add(engine->shard, engine->plan->listener_manager.workers_started, 1);
    return 0;
}

// ---- listening sockets ------------------------------------------------------------------------------------------------------

int px_engine_offer_socket(px_engine *engine, const struct px_socket_label *label, int fd) {
    return px_sockets_offer(&engine->sockets, label, fd);
}

bool px_engine_next_wanting(px_engine *engine, struct px_addr *addr, uint32_t *count) {
    return px_sockets_next_wanting(&engine->sockets, addr, count);
}

int px_engine_adopt_extra(px_engine *engine, const struct px_addr *addr, int fd) {
    return px_sockets_adopt_extra(&engine->sockets, addr, fd);
}

int px_engine_open_sockets(px_engine *engine, bool cold, struct px_detail *detail) {
    int error = px_sockets_open(&engine->sockets, cold, detail);
    const struct px_listener_manager_stats *stats = &engine->plan->listener_manager;
    px__cell_add(engine->shard, error < 0 ? stats->listener_create_failure : stats->listener_create_success,
        error < 0 ? 1 : (uint64_t)engine->plan->listener_count * engine->options.workers);
    return error;
}

int px_engine_listen(px_engine *engine, struct px_detail *detail) { return px_sockets_listen(&engine->sockets, detail); }

uint32_t px_engine_socket_count(const px_engine *engine) { return engine->sockets.count; }

int px_engine_socket(const px_engine *engine, uint32_t index, struct px_socket_label *label) {
    if (index >= engine->sockets.count) return -ENOENT;
    const struct px_socket *socket = engine->sockets.items[index];
    *label = (struct px_socket_label){
        .listener = socket->place->plan->listener.name,
        .address_index = socket->place->address_index,
        .worker_index = socket->worker_index,
        .addr = socket->addr,
    };
    return socket->fd;
}

void px_engine_mark_removed(px_engine *engine, uint32_t index) {
    if (index < engine->sockets.count) atomic_store(&engine->sockets.items[index]->removed, true);
}

int px_engine_remember_options(px_engine *engine, const struct px_option_name *names, uint32_t count) {
    return px_sockets_remember_options(&engine->sockets, names, count);
}

void px_engine_clear_marks(px_engine *engine) { px_sockets_clear_marks(&engine->sockets); }

int px_engine_make_sockets(px_engine *engine, const struct px_addr *addr, uint32_t count, int32_t *fds) {
    return px_sockets_make(&engine->sockets, addr, count, fds);
}

int px_engine_listener_address(const px_engine *engine, uint32_t listener, uint32_t address_index, struct px_addr *out) {
    for (uint32_t i = 0; i < engine->sockets.place_count; i++) {
        const struct px_place *place = &engine->sockets.places[i];
        if (place->plan->listener.index != listener || place->address_index != address_index) continue;
        *out = place->addr;
        return 0;
    }
    return -ENOENT;
}

// ---- connections and logs ---------------------------------------------------------------------------------------------------

uint64_t px_engine_connections(const px_engine *engine) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        sum += atomic_load_explicit(&engine->workers[i]->conns.open, memory_order_relaxed);
    }
    return sum;
}

bool px_engine_oldest(px_engine *engine, uint64_t *age_ms, char *listener, size_t size) {
    uint64_t oldest = 0, now = px_clock_monotonic_ns() / 1000000;
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        uint64_t candidate = atomic_load_explicit(&engine->workers[i]->conns.oldest_open, memory_order_relaxed);
        if (candidate != 0 && (oldest == 0 || candidate < oldest)) oldest = candidate;
    }
    if (oldest == 0) return false;
    *age_ms = now > px_oldest_accepted_ms(oldest) ? now - px_oldest_accepted_ms(oldest) : 0;
    snprintf(listener, size, "%s", engine->plan->listeners[px_oldest_listener(oldest)]->listener.name);
    return true;
}

void px_engine_reopen_logs(px_engine *engine) { px_log_writer_reopen(engine->log_writer); }

int px_engine_flush_logs(px_engine *engine, uint32_t timeout_ms) { return px_log_writer_flush(engine->log_writer, timeout_ms); }

// ---- snapshots --------------------------------------------------------------------------------------------------------------

uint32_t px_engine_cluster_count(const px_engine *engine) { return engine->plan->cluster_count; }

const char *px_engine_cluster_name(const px_engine *engine, uint32_t cluster) {
    return cluster < engine->plan->cluster_count ? engine->plan->clusters[cluster]->name : "";
}

void px_engine_each_host(px_engine *engine, uint32_t cluster, void (*each)(const struct px_host_snapshot *host, void *context), void *context) {
    if (cluster >= engine->plan->cluster_count) return;
    struct px_host_set *set = px_cluster_hosts(engine->plan->clusters[cluster]);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct px_host *host = set->hosts[i];
        const struct px_host_snapshot snapshot = {
            .addr = host->addr,
            .hostname = host->hostname,
            .weight = host->weight,
            .healthy = host->healthy,
            .cx_active = atomic_load_explicit(&host->cx_active, memory_order_relaxed),
            .cx_total = atomic_load_explicit(&host->cx_total, memory_order_relaxed),
            .cx_connect_fail = atomic_load_explicit(&host->cx_connect_fail, memory_order_relaxed),
        };
        each(&snapshot, context);
    }
    px_host_set_release(set);
}
