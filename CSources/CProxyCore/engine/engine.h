// Inside of px_engine: what its files share.
#ifndef PX_ENGINE_INTERNAL_H
#define PX_ENGINE_INTERNAL_H

#include "engine/log_writer.h"
#include "engine/mainloop.h"
#include "engine/resolver.h"
#include "engine/worker.h"

//            accept_start            all workers answered
//   NEW ───────────────► STARTING ───────────────────────► ACCEPTING
//                           ▲                                  │ accept_stop, drain_listeners
//              all answered │                                  ▼
//                       PAUSING ◄──── STOPPED ◄──────────── STOPPING
//                           ▲   accept_start (rollback)
//                           └──── from any state but NEW
enum px_engine_phase {
    PX_ENGINE_NEW = 0,
    PX_ENGINE_STARTING = 1,
    PX_ENGINE_ACCEPTING = 2,
    PX_ENGINE_STOPPING = 3,
    PX_ENGINE_STOPPED = 4,
    PX_ENGINE_PAUSING = 5,   // before sockets are touched for a rollback
};

struct px_engine {
    px_plan *plan;
    px_stats_block *stats;
    px_control_block *control;
    px_mainloop *mainloop;
    struct px_engine_options options;
    px_cell *shard;                 // the main thread's
    struct px_sockets sockets;
    struct px_worker **workers;
    struct px_log_writer *log_writer;
    struct px_resolver *resolver;
    struct px_report_queue reports;
    _Atomic uint64_t global_open;
    _Atomic uint64_t *listener_open;

    enum px_engine_phase phase;
    uint64_t round;                 // of the last command about accepting; answers to earlier ones no longer matter
    uint32_t unanswered;
    bool lost_reported, empty_reported;
    struct px_timer settle;         // armed when the first accepting began
    uint32_t closing;               // workers that have yet to answer px_engine_close_all
    uint64_t closed;
};

// drain.c
void px__engine_handle_report(void *engine, const struct px_report *report);

#endif
