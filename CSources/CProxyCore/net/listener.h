// One worker's accepting from one listening socket. The socket belongs to the engine and may be shared with other workers and
// other processes; each worker that accepts from it has a px_listener of its own.
#ifndef PX_LISTENER_H
#define PX_LISTENER_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/un.h>

#include "loop/loop.h"
#include "net/listener_config.h"
#include "stats/stats_block.h"

struct px_listener;

// Who connected, as accept4 told it.
struct px_peer_addr {
    uint32_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        struct sockaddr_un path;
    };
};

// What a listener asks its worker.
struct px_listener_ops {
    // May this process accept now? Asked before each batch. false: the worker has stopped its listeners, this one among them.
    bool (*may_accept)(struct px_listener *listener);
    // One connection, which is the callee's now.
    void (*accepted)(struct px_listener *listener, int fd, const struct px_peer_addr *peer);
    // px_listener_empty is done; the listener is stopped.
    void (*emptied)(struct px_listener *listener);
};

struct px_listener {
    struct px_handle handle;
    struct px_timer resume;            // armed while out of epoll for want of descriptors or memory
    struct px_timer grace;             // armed while emptying
    const struct px_listener_ops *ops;
    void *owner;                       // of ops
    px_loop *loop;
    px_cell *shard;
    const struct px_listener_config *config;
    int32_t fd;                        // the engine's
    uint32_t batch;
    bool pipe;                         // a Unix socket
    bool shared;                       // other workers accept from the same socket
    bool emptying;
    uint32_t tries;                    // of emptying
    atomic_bool *shut;                 // of emptying: the socket was shut down
    uint32_t burst;                    // how many to try next; adapts between 1 and batch
    uint32_t streak;                   // full batches in a row
};

// Put the socket into the loop; where the kernel has no room for it (ENOMEM, ENOSPC), try again until it has.
void px_listener_start(struct px_listener *listener);
// Out of the loop; the socket stays open and listening. Also gives up emptying.
void px_listener_stop(struct px_listener *listener);
// The address is no longer served by anybody: accept what waits or is about to, then shut the socket down for reading, so that
// clients are refused instead of left hanging. ops->emptied follows, perhaps at once. `shut` is the socket's, of all workers
// that empty it: whoever sets it does the shutdown.
void px_listener_empty(struct px_listener *listener, atomic_bool *shut);

#endif
