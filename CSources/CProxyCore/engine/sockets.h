// The listening sockets of an engine: which addresses want how many, what was inherited, opened, made for a child. Owner thread
// only, except the two atomics.
#ifndef PX_SOCKETS_H
#define PX_SOCKETS_H

#include <stdatomic.h>

#include "engine/plan.h"
#include "include/px_engine.h"

// One address of one listener, with its sockets.
struct px_place {
    const struct px_listener_plan *plan;
    const struct px_address_config *config;
    uint32_t address_index;
    struct px_addr addr;       // the real port, as soon as there is a socket
    uint32_t socket_count;
    bool asked;                // px_engine_next_wanting has told it
};

struct px_socket {
    int32_t fd;
    struct px_place *place;
    struct px_addr addr;       // place->addr, but for one made for a child's more specific address
    uint32_t worker_index;     // as it is labelled; who accepts is worked out at accept_start
    bool inherited;
    struct px_saved_option *saved;  // what a child may change, as it was; owned, NULL for none
    size_t saved_count;
    atomic_bool removed;       // the child did not keep it: accepted from until empty, then shut down. Owner writes
    atomic_bool shut;          // that was done. Workers set it; the owner clears it while no worker accepts
};

struct px_sockets {
    struct px_place *places;
    uint32_t place_count;
    uint32_t workers;
    struct px_socket **items;  // listed for a child, by index
    uint32_t count;
    struct px_socket **extras; // made for a child, accepted from if they listen when we roll back
    uint32_t extra_count;
    struct px_addr *offered;   // every address that was offered, also those without a place
    uint32_t offered_count;
};

int px_sockets_init(struct px_sockets *sockets, struct px_plan *plan, uint32_t workers);
void px_sockets_deinit(struct px_sockets *sockets);
// Rollback: removed sockets listen again, extras that listen are adopted, options are as they were before the child. What fails is
// logged and the rest goes on. No worker may be accepting.
void px_sockets_restore(struct px_sockets *sockets);

// As px_engine.h says of px_engine_….
int px_sockets_offer(struct px_sockets *sockets, const struct px_socket_label *label, int fd);
bool px_sockets_next_wanting(struct px_sockets *sockets, struct px_addr *addr, uint32_t *count);
int px_sockets_adopt_extra(struct px_sockets *sockets, const struct px_addr *addr, int fd);
int px_sockets_open(struct px_sockets *sockets, bool cold, struct px_detail *detail);
int px_sockets_listen(struct px_sockets *sockets, struct px_detail *detail);
int px_sockets_make(struct px_sockets *sockets, const struct px_addr *addr, uint32_t count, int32_t *fds);
int px_sockets_remember_options(struct px_sockets *sockets, const struct px_option_name *names, uint32_t count);
void px_sockets_clear_marks(struct px_sockets *sockets);

#endif
