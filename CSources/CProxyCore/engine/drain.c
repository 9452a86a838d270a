// Beginning and ending to accept, and what follows: rounds of commands to all workers, and the events for the driver when all have
// answered. Owner thread only.
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log_ring.h"

// The driver may destroy the engine in the event, so this comes last.
static void emit(struct px_engine *engine, enum px_event_kind kind, uint64_t count) {
    const struct px_event event = {.kind = kind, .count = count};
    px__mainloop_emit(engine->mainloop, &event);
}

// ---- rounds -----------------------------------------------------------------------------------------------------------------

static void set_gauge(struct px_engine *engine, uint32_t cell, uint64_t value) {
    atomic_store_explicit(&engine->shard[cell], value, memory_order_relaxed);
}

// Every socket has a worker and every worker a socket of each address. Which ones follows from the numbers alone.
static bool accepts(const struct px_socket *socket, uint32_t worker, uint32_t workers) {
    uint32_t count = socket->place->socket_count;
    return count >= workers ? socket->worker_index % workers == worker : worker % count == socket->worker_index;
}

static bool is_shared(const struct px_socket *socket, uint32_t workers) {
    return socket->worker_index + socket->place->socket_count < workers;
}

static int command_accept(struct px_engine *engine, uint32_t worker) {
    uint32_t workers = engine->options.workers, total = engine->sockets.count, count = 0;
    struct px_socket **chosen = calloc(total + 1, sizeof(struct px_socket *));
    bool *shared = calloc(total + 1, sizeof *shared);
    int error = chosen && shared ? 0 : -ENOMEM;
    for (uint32_t i = 0; error == 0 && i < total; i++) {
        struct px_socket *socket = engine->sockets.items[i];
        if (socket->fd < 0 || !accepts(socket, worker, workers)) continue;
        shared[count] = is_shared(socket, workers);
        chosen[count++] = socket;
    }
    if (error == 0) error = px_worker_command(engine->workers[worker], PX_COMMAND_ACCEPT, engine->round, chosen, shared, count);
    free(chosen);
    free(shared);
    return error;
}

// Tell all workers; the answers of an earlier round no longer count.
static int begin_round(struct px_engine *engine, enum px_command_kind kind, enum px_engine_phase phase) {
    int result = 0;
    engine->round++;
    engine->phase = phase;
    engine->unanswered = engine->options.workers;
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        int error = kind == PX_COMMAND_ACCEPT ? command_accept(engine, i) : px_worker_command(engine->workers[i], kind, engine->round, NULL, NULL, 0);
        if (error < 0) result = error;
    }
    if (result < 0) px_log(PX_CRITICAL, "main", "cannot command the workers: %s", px_error_text(result));
    return result;
}

static void check_empty(struct px_engine *engine) {
    if (engine->phase != PX_ENGINE_STOPPED || engine->empty_reported || px_engine_connections(engine) > 0) return;
    engine->empty_reported = true;
    emit(engine, PX_EVENT_EMPTY, 0);
}

static void on_settle(struct px_timer *timer) { px_start_memory_release(); }

// Not at once: the driver still has its first statistics, reports and log lines to write, and the workers their first connections
// to accept.
static void settle_later(struct px_engine *engine) {
    enum { SETTLE_MS = 1000 };
    if (engine->settle.on_fire) return;
    engine->settle.on_fire = on_settle;
    px_timer_arm(px__mainloop_loop(engine->mainloop), &engine->settle, SETTLE_MS);
}

static void started(struct px_engine *engine) {
    settle_later(engine);
    engine->phase = PX_ENGINE_ACCEPTING;
    set_gauge(engine, engine->plan->listener_manager.total_listeners_active, engine->plan->listener_count);
    set_gauge(engine, engine->plan->listener_manager.total_listeners_draining, 0);
    emit(engine, PX_EVENT_ACCEPT_STARTED, 0);
}

static void stopped(struct px_engine *engine) {
    engine->phase = PX_ENGINE_STOPPED;
    set_gauge(engine, engine->plan->listener_manager.total_listeners_active, 0);
    set_gauge(engine, engine->plan->listener_manager.total_listeners_draining, engine->plan->listener_count);
    px_report_send(&engine->reports, PX_REPORT_EMPTY, 0, 0);  // looked at in a later turn, after this event
    emit(engine, PX_EVENT_ACCEPT_STOPPED, 0);
}

static void paused(struct px_engine *engine) {
    px_sockets_restore(&engine->sockets);
    (void)begin_round(engine, PX_COMMAND_ACCEPT, PX_ENGINE_STARTING);  // logged there; workers that were reached accept
}

static void answered(struct px_engine *engine, uint64_t round) {
    if (round != engine->round || engine->unanswered == 0 || --engine->unanswered > 0) return;
    if (engine->phase == PX_ENGINE_STARTING) {
        started(engine);
    } else if (engine->phase == PX_ENGINE_STOPPING) {
        stopped(engine);
    } else if (engine->phase == PX_ENGINE_PAUSING) {
        paused(engine);
    }
}

static void lost_service(struct px_engine *engine) {
    bool accepting = engine->phase == PX_ENGINE_ACCEPTING || engine->phase == PX_ENGINE_STARTING;
    if (!accepting || engine->lost_reported) return;
    engine->lost_reported = true;
    emit(engine, PX_EVENT_LOST_SERVICE, 0);
}

void px__engine_handle_report(void *context, const struct px_report *report) {
    struct px_engine *engine = context;
    switch ((enum px_command_kind)report->kind) {
        case PX_COMMAND_ACCEPT:
        case PX_COMMAND_PAUSE:
        case PX_COMMAND_STOP: answered(engine, report->round); break;
        case PX_COMMAND_REMOVE: break;
        case PX_COMMAND_CLOSE_ALL:
            engine->closed += report->count;
            if (--engine->closing == 0) emit(engine, PX_EVENT_CLOSED_ALL, engine->closed);
            break;
        case PX_REPORT_LOST_SERVICE: lost_service(engine); break;
        case PX_REPORT_EMPTY: check_empty(engine); break;
        case PX_REPORT_WARM: emit(engine, PX_EVENT_ENGINE_WARM, 0); break;
    }
}

// ---- what the driver asks ---------------------------------------------------------------------------------------------------

int px_engine_accept_start(px_engine *engine, struct px_detail *detail) {
    bool first = engine->phase == PX_ENGINE_NEW;
    engine->lost_reported = engine->empty_reported = false;
    // A worker may be emptying and shutting down sockets at this moment, so a rollback waits until all let go of them.
    int error = first ? begin_round(engine, PX_COMMAND_ACCEPT, PX_ENGINE_STARTING) : begin_round(engine, PX_COMMAND_PAUSE, PX_ENGINE_PAUSING);
    return error < 0 ? px_fail(detail, error, "accept", "workers", "%s", "") : 0;
}

void px_engine_accept_stop(px_engine *engine) {
    (void)begin_round(engine, PX_COMMAND_STOP, PX_ENGINE_STOPPING);
}

void px_engine_drain_listeners(px_engine *engine, bool inbound_only) {
    bool all = true;
    for (uint32_t i = 0; i < engine->sockets.count; i++) {
        struct px_socket *socket = engine->sockets.items[i];
        if (!inbound_only || socket->place->plan->listener.inbound) {
            atomic_store(&socket->removed, true);
        } else {
            all = false;
        }
    }
    if (all) {
        px_engine_accept_stop(engine);
        return;
    }
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        if (px_worker_command(engine->workers[i], PX_COMMAND_REMOVE, 0, NULL, NULL, 0) < 0) px_log(PX_CRITICAL, "main", "cannot command worker %u: no memory", i);
    }
}

void px_engine_close_all(px_engine *engine) {
    if (engine->closing == 0) engine->closed = 0;
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        if (px_worker_command(engine->workers[i], PX_COMMAND_CLOSE_ALL, 0, NULL, NULL, 0) == 0) engine->closing++;
    }
}
