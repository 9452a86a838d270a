// A worker: one thread with its event loop, its shard of the statistics, its connections, and its share of the listening sockets.
#ifndef PX_WORKER_H
#define PX_WORKER_H

#include <pthread.h>

#include "engine/report.h"
#include "engine/sockets.h"
#include "handoff/control_block.h"
#include "relay/conn.h"

struct px_worker;

// What a worker is told. Each is answered with one report of the same kind (a stop that another command overtakes is not).
enum px_command_kind {
    PX_COMMAND_ACCEPT = 0,   // from these sockets, and no others
    PX_COMMAND_PAUSE = 1,    // take all listeners out of the loop
    PX_COMMAND_STOP = 2,     // the same, and empty and shut down those marked removed
    PX_COMMAND_REMOVE = 3,   // empty and shut down those marked removed; go on with the others
    PX_COMMAND_CLOSE_ALL = 4,
    PX_REPORT_LOST_SERVICE = 5,  // reports that no command asked for
    PX_REPORT_EMPTY = 6,
    PX_REPORT_WARM = 7,          // the resolver's
};

struct px_worker_options {
    uint32_t index, count;
    struct px_plan *plan;
    px_stats_block *stats;
    const px_control_block *control;    // NULL: this process always serves
    uint64_t epoch;
    _Atomic uint64_t *global_open;      // NULL: no limit
    _Atomic uint64_t *listener_open;    // by listener
    struct px_report_queue *reports;
};

// One listening socket as one worker accepts from it.
struct px_accept_point {
    struct px_listener listener;
    struct px_socket *socket;
    const struct px_conn_origin *origin;
};

struct px_worker {
    struct px_conn_set conns;
    struct px_worker_options options;
    struct px_conn_origin *origins;     // by listener
    struct px_accept_point *points;
    uint32_t point_count;
    bool accepting;
    uint32_t emptying;                  // points at it
    bool stopping;                      // PX_COMMAND_STOP is answered when that is 0
    uint64_t stop_round;
    bool running;                       // owner thread's: there is a thread to join
    bool ending;
    pthread_t thread;
};

// No thread yet. NULL with `detail`.
struct px_worker *px_worker_create(const struct px_worker_options *options, struct px_detail *detail);
int px_worker_start(struct px_worker *worker, struct px_detail *detail);
// Close the worker's connections, end its thread, free it. NULL is fine.
void px_worker_destroy(struct px_worker *worker);

// Any thread. 0 or -ENOMEM; then no report follows. PX_COMMAND_ACCEPT: `sockets` is copied; `shared[i]`: others accept from it too.
int px_worker_command(struct px_worker *worker, enum px_command_kind kind, uint64_t round, struct px_socket *const *sockets, const bool *shared, uint32_t count);
// A cluster has new hosts; takes a reference of its own. Any thread.
int px_worker_update_hosts(struct px_worker *worker, struct px_cluster *cluster, struct px_host_set *set);

#endif
