// Workers. A worker's connections, balancers and listeners are touched by its own thread alone; everything else reaches it as a
// post to its loop and leaves it as a report. All signals are blocked in its thread: they belong to the main loop.
#include "engine/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log_ring.h"

// ---- accepting --------------------------------------------------------------------------------------------------------------

static struct px_accept_point *point_of(struct px_listener *listener) {
    return (struct px_accept_point *)((char *)listener - offsetof(struct px_accept_point, listener));
}

static void report(struct px_worker *worker, enum px_command_kind kind, uint64_t round, uint64_t count) {
    px_report_send(worker->options.reports, kind, round, count);
}

static void emptied(struct px_listener *listener) {
    struct px_worker *worker = listener->owner;
    if (--worker->emptying > 0 || !worker->stopping) return;
    worker->stopping = false;
    report(worker, PX_COMMAND_STOP, worker->stop_round, 0);
}

static void empty_removed(struct px_worker *worker) {
    for (uint32_t i = 0; i < worker->point_count; i++) {
        struct px_accept_point *point = &worker->points[i];
        if (!atomic_load(&point->socket->removed) || point->listener.emptying) continue;
        // Another worker has emptied it: a Unix socket that is shut down would be reported as readable for ever.
        if (atomic_load(&point->socket->shut)) {
            px_listener_stop(&point->listener);
            continue;
        }
        worker->emptying++;
        px_listener_empty(&point->listener, &point->socket->shut);
    }
}

// Listeners that are being emptied go on with it.
static void stop_accepting(struct px_worker *worker) {
    worker->accepting = false;
    for (uint32_t i = 0; i < worker->point_count; i++) {
        if (!worker->points[i].listener.emptying) px_listener_stop(&worker->points[i].listener);
    }
}

static void pause_accepting(struct px_worker *worker) {
    worker->accepting = worker->stopping = false;
    worker->emptying = 0;
    for (uint32_t i = 0; i < worker->point_count; i++) px_listener_stop(&worker->points[i].listener);
}

// Answered once every removed listener is empty.
static void stop_and_empty(struct px_worker *worker, uint64_t round) {
    stop_accepting(worker);
    worker->stopping = true;
    worker->stop_round = round;
    worker->emptying++;  // so that the last of them does not answer before all have begun
    empty_removed(worker);
    if (--worker->emptying > 0) return;
    worker->stopping = false;
    report(worker, PX_COMMAND_STOP, round, 0);
}

// Also asked by a process that was stopped and continued, before it takes a connection that another generation should have.
static bool may_accept(struct px_listener *listener) {
    struct px_worker *worker = listener->owner;
    const px_control_block *control = worker->options.control;
    if (!control || px__control_block_serves(control, worker->options.epoch)) return true;
    if (!worker->accepting) return false;
    stop_accepting(worker);
    empty_removed(worker);
    report(worker, PX_REPORT_LOST_SERVICE, 0, 0);
    return false;
}

static void accepted(struct px_listener *listener, int fd, const struct px_peer_addr *peer) {
    struct px_worker *worker = listener->owner;
    px_conn_accept(&worker->conns, point_of(listener)->origin, fd, peer);
}

static const struct px_listener_ops listener_ops = {.may_accept = may_accept, .accepted = accepted, .emptied = emptied};

static void point_init(struct px_worker *worker, struct px_accept_point *point, struct px_socket *socket, bool shared) {
    const struct px_listener_config *config = &socket->place->plan->listener;
    *point = (struct px_accept_point){.socket = socket, .origin = &worker->origins[config->index]};
    point->listener = (struct px_listener){
        .handle.fd = -1,
        .ops = &listener_ops,
        .owner = worker,
        .loop = worker->conns.loop,
        .shard = worker->conns.shard,
        .config = config,
        .fd = socket->fd,
        .batch = config->accept_batch,
        .pipe = px_addr_family(&socket->addr) == AF_UNIX,
        .shared = shared,
    };
}

static void on_last_closed(struct px_conn_set *set) {
    struct px_worker *worker = (struct px_worker *)((char *)set - offsetof(struct px_worker, conns));
    if (!worker->accepting && !worker->ending) report(worker, PX_REPORT_EMPTY, 0, 0);
}

// ---- commands ---------------------------------------------------------------------------------------------------------------

struct command {
    struct px_worker *worker;
    enum px_command_kind kind;
    uint64_t round;
    struct px_accept_point *points;  // PX_COMMAND_ACCEPT: the worker's from then on
    uint32_t point_count;
};

static void start_accepting(struct px_worker *worker, struct command *command) {
    pause_accepting(worker);
    free(worker->points);
    worker->points = command->points;
    worker->point_count = command->point_count;
    worker->accepting = true;
    for (uint32_t i = 0; i < worker->point_count; i++) px_listener_start(&worker->points[i].listener);
}

static void run_command(void *context) {
    struct command *command = context;
    struct px_worker *worker = command->worker;
    uint64_t count = 0;
    switch (command->kind) {
        case PX_COMMAND_ACCEPT: start_accepting(worker, command); break;
        case PX_COMMAND_PAUSE: pause_accepting(worker); break;
        case PX_COMMAND_STOP: stop_and_empty(worker, command->round); break;
        case PX_COMMAND_REMOVE: empty_removed(worker); break;
        case PX_COMMAND_CLOSE_ALL: count = px_conn_set_close_all(&worker->conns); break;
        case PX_REPORT_LOST_SERVICE:
        case PX_REPORT_EMPTY:
        case PX_REPORT_WARM: break;
    }
    if (command->kind != PX_COMMAND_STOP) report(worker, command->kind, command->round, count);
    free(command);
}

int px_worker_command(struct px_worker *worker, enum px_command_kind kind, uint64_t round, struct px_socket *const *sockets, const bool *shared, uint32_t count) {
    struct command *command = calloc(1, sizeof *command);
    struct px_accept_point *points = count > 0 ? calloc(count, sizeof *points) : NULL;
    if (!command || (count > 0 && !points)) goto failed;
    *command = (struct command){.worker = worker, .kind = kind, .round = round, .points = points, .point_count = count};
    for (uint32_t i = 0; i < count; i++) point_init(worker, &points[i], sockets[i], shared[i]);
    if (px_loop_post(worker->conns.loop, run_command, command) == 0) return 0;
failed:
    free(points);
    free(command);
    return -ENOMEM;
}

struct update {
    struct px_worker *worker;
    struct px_cluster *cluster;
    struct px_host_set *set;
};

static void run_update(void *context) {
    struct update *update = context;
    struct px_balancer *balancer = &update->worker->conns.balancers[update->cluster->index];
    if (px_balancer_replace(balancer, update->set) < 0) {
        px_log(PX_ERROR, "upstream", "no memory for the new hosts of cluster %s; the old ones stay", update->cluster->name);
    }
    px_host_set_release(update->set);
    free(update);
}

int px_worker_update_hosts(struct px_worker *worker, struct px_cluster *cluster, struct px_host_set *set) {
    struct update *update = malloc(sizeof *update);
    if (!update) return -ENOMEM;
    *update = (struct update){.worker = worker, .cluster = cluster, .set = px_host_set_acquire(set)};
    if (px_loop_post(worker->conns.loop, run_update, update) == 0) return 0;
    px_host_set_release(set);
    free(update);
    return -ENOMEM;
}

// ---- life -------------------------------------------------------------------------------------------------------------------

static int create_origins(struct px_worker *worker) {
    const struct px_plan *plan = worker->options.plan;
    worker->origins = calloc(plan->listener_count + 1, sizeof *worker->origins);
    if (!worker->origins) return -ENOMEM;
    for (uint32_t i = 0; i < plan->listener_count; i++) {
        const struct px_listener_plan *listener = plan->listeners[i];
        worker->origins[i] = (struct px_conn_origin){
            .listener = &listener->listener,
            .filter = &listener->filter,
            .worker_stats = &listener->listener.worker_stats[worker->options.index],
            .open = listener->listener.connection_limit > 0 ? &worker->options.listener_open[i] : NULL,
        };
    }
    return 0;
}

static int create_balancers(struct px_worker *worker) {
    const struct px_plan *plan = worker->options.plan;
    worker->conns.balancers = calloc(plan->cluster_count + 1, sizeof *worker->conns.balancers);
    if (!worker->conns.balancers) return -ENOMEM;
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        int error = px_balancer_init(&worker->conns.balancers[i], plan->clusters[i], px_random_next(&worker->conns.random));
        if (error < 0) return error;
    }
    return 0;
}

static void destroy_balancers(struct px_worker *worker) {
    for (uint32_t i = 0; worker->conns.balancers && i < worker->options.plan->cluster_count; i++) {
        if (worker->conns.balancers[i].cluster) px_balancer_deinit(&worker->conns.balancers[i]);
    }
    free(worker->conns.balancers);
}

struct px_worker *px_worker_create(const struct px_worker_options *options, struct px_detail *detail) {
    struct px_worker *worker = aligned_alloc(_Alignof(struct px_worker), sizeof *worker);
    if (!worker) {
        (void)px_fail(detail, -ENOMEM, "aligned_alloc", "worker", "%zu bytes", sizeof *worker);
        return NULL;
    }
    *worker = (struct px_worker){.options = *options};
    worker->conns = (struct px_conn_set){
        .loop = px_loop_create(detail),
        .shard = px__stats_shard(options->stats, options->index),
        .worker = options->index,
        .workers = options->count,
        .random = px_clock_monotonic_ns() ^ ((uint64_t)options->index << 56) ^ options->epoch,
        .emptied = on_last_closed,
        .global_open = options->global_open,
        .global_limit = options->plan->global_connection_limit,
    };
    px_conn_set_start(&worker->conns);
    if (!worker->conns.loop) goto failed;
    if (create_origins(worker) < 0 || create_balancers(worker) < 0) {
        (void)px_fail(detail, -ENOMEM, "calloc", "worker", "%s", "");
        goto failed;
    }
    return worker;
failed:
    px_worker_destroy(worker);
    return NULL;
}

static void *run(void *context) {
    struct px_worker *worker = context;
    int error = px_loop_run(worker->conns.loop);
    if (error < 0) px_log(PX_CRITICAL, "main", "worker %u: event loop failed: %s", worker->options.index, px_error_text(error));
    worker->ending = true;
    pause_accepting(worker);
    (void)px_conn_set_close_all(&worker->conns);
    return NULL;
}

int px_worker_start(struct px_worker *worker, struct px_detail *detail) {
    sigset_t all, old;
    char name[16];
    sigfillset(&all);
    int error = -pthread_sigmask(SIG_BLOCK, &all, &old);
    if (error < 0) return px_fail(detail, error, "pthread_sigmask", "worker", "%s", "");
    error = -pthread_create(&worker->thread, NULL, run, worker);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error < 0) return px_fail(detail, error, "pthread_create", "worker", "worker %u of %u", worker->options.index, worker->options.count);
    worker->running = true;
    snprintf(name, sizeof name, "worker-%u", worker->options.index);
    (void)pthread_setname_np(worker->thread, name);
    return 0;
}

static void post_stop(void *context) { px_loop_stop(((struct px_worker *)context)->conns.loop); }

// The stop is a post itself, so that what was posted before it runs; without memory for it, that is lost.
static void stop_thread(struct px_worker *worker) {
    if (px_loop_post(worker->conns.loop, post_stop, worker) < 0) px_loop_stop(worker->conns.loop);
    (void)pthread_join(worker->thread, NULL);
}

void px_worker_destroy(struct px_worker *worker) {
    if (!worker) return;
    if (worker->running) stop_thread(worker);
    px_conn_set_stop(&worker->conns);
    destroy_balancers(worker);
    free(worker->origins);
    free(worker->points);
    px_loop_destroy(worker->conns.loop);
    free(worker);
}
