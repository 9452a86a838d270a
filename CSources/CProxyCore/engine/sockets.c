// Owns every listening socket of the engine. Owner thread only.
//
// What the kernel asks for: a SO_REUSEPORT socket that any process still holds is given connections, so every inherited
// socket of an address is kept and accepted from, however many there are, and none is closed while its address is served.
// Sockets of one group all need SO_REUSEPORT before the next is bound. A socket gets connections from its listen() on, so a
// child's additional ones are made by the parent, which keeps copies and can accept from them after a rollback.
#include "engine/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log_ring.h"

// ---- places -----------------------------------------------------------------------------------------------------------------

static uint32_t count_places(const struct px_plan *plan) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->listener_count; i++) {
        const struct px_listener_config *listener = &plan->listeners[i]->listener;
        if (listener->bind_to_port) count += listener->address_count;
    }
    return count;
}

int px_sockets_init(struct px_sockets *sockets, struct px_plan *plan, uint32_t workers) {
    uint32_t count = count_places(plan);
    *sockets = (struct px_sockets){.workers = workers, .places = calloc(count > 0 ? count : 1, sizeof *sockets->places)};
    if (!sockets->places) return -ENOMEM;
    for (uint32_t i = 0; i < plan->listener_count; i++) {
        const struct px_listener_plan *listener = plan->listeners[i];
        for (uint32_t j = 0; listener->listener.bind_to_port && j < listener->listener.address_count; j++) {
            const struct px_address_config *config = &listener->listener.addresses[j];
            sockets->places[sockets->place_count++] =
                (struct px_place){.plan = listener, .config = config, .address_index = j, .addr = config->addr};
        }
    }
    return 0;
}

static void free_sockets(struct px_socket **items, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (items[i]->fd >= 0) close(items[i]->fd);
        free(items[i]->saved);
        free(items[i]);
    }
    free(items);
}

void px_sockets_deinit(struct px_sockets *sockets) {
    free_sockets(sockets->items, sockets->count);
    free_sockets(sockets->extras, sockets->extra_count);
    free(sockets->offered);
    free(sockets->places);
    *sockets = (struct px_sockets){0};
}

static bool is_ip(const struct px_addr *addr) { return px_addr_family(addr) == AF_INET || px_addr_family(addr) == AF_INET6; }

static uint32_t wanted(const struct px_sockets *sockets, const struct px_place *place) {
    return place->plan->listener.reuse_port && is_ip(&place->addr) ? sockets->workers : 1;
}

static bool same_ip(const struct px_addr *a, const struct px_addr *b) {
    char left[PX_ADDR_TEXT], right[PX_ADDR_TEXT];
    if (px_addr_family(a) != px_addr_family(b)) return false;
    return strcmp(px_addr_format_ip(a, left, sizeof left), px_addr_format_ip(b, right, sizeof right)) == 0;
}

// A listener on port 0 gets the port its predecessor of the same name had.
static bool is_successor(const struct px_place *place, const struct px_socket_label *label, const struct px_addr *addr) {
    return is_ip(&place->addr) && px_addr_port(&place->addr) == 0 && place->address_index == label->address_index &&
           strcmp(place->plan->listener.name, label->listener) == 0 && same_ip(&place->addr, addr);
}

static struct px_place *find_place(struct px_sockets *sockets, const struct px_addr *addr) {
    for (uint32_t i = 0; i < sockets->place_count; i++) {
        if (px_addr_equal(&sockets->places[i].addr, addr)) return &sockets->places[i];
    }
    return NULL;
}

static struct px_place *find_place_for(struct px_sockets *sockets, const struct px_socket_label *label, const struct px_addr *addr) {
    struct px_place *place = find_place(sockets, addr);
    for (uint32_t i = 0; !place && i < sockets->place_count; i++) {
        if (is_successor(&sockets->places[i], label, addr)) place = &sockets->places[i];
    }
    return place;
}

// Whether sockets of the two addresses get into each other's way: the same, or one is the other's wildcard.
static bool related(const struct px_addr *a, const struct px_addr *b) {
    return px_addr_equal(a, b) || px_addr_covers(a, b) || px_addr_covers(b, a);
}

// ---- the list ---------------------------------------------------------------------------------------------------------------

static int push(struct px_socket ***items, uint32_t *count, struct px_socket *socket) {
    struct px_socket **grown = realloc(*items, (*count + 1) * sizeof *grown);
    if (!grown) return -ENOMEM;
    *items = grown;
    grown[(*count)++] = socket;
    return 0;
}

static struct px_socket *socket_create(struct px_place *place, int fd, const struct px_addr *addr, bool inherited) {
    struct px_socket *socket = calloc(1, sizeof *socket);
    if (!socket) return NULL;
    socket->fd = fd;
    socket->place = place;
    socket->addr = *addr;
    socket->inherited = inherited;
    return socket;
}

static int append(struct px_socket ***items, uint32_t *count, struct px_socket *socket) {
    int error = socket ? push(items, count, socket) : -ENOMEM;
    if (error < 0) free(socket);
    return error;
}

// `fd` is the list's on success only.
static int add(struct px_sockets *sockets, struct px_place *place, int fd, bool inherited) {
    struct px_addr addr;
    int error = px_addr_of_socket(fd, &addr);
    if (error < 0) return error;
    error = append(&sockets->items, &sockets->count, socket_create(place, fd, &addr, inherited));
    if (error < 0) return error;
    sockets->items[sockets->count - 1]->worker_index = place->socket_count++;
    place->addr = addr;
    return 0;
}

static int note_offered(struct px_sockets *sockets, const struct px_addr *addr) {
    for (uint32_t i = 0; i < sockets->offered_count; i++) {
        if (px_addr_equal(&sockets->offered[i], addr)) return 0;
    }
    struct px_addr *grown = realloc(sockets->offered, (sockets->offered_count + 1) * sizeof *grown);
    if (!grown) return -ENOMEM;
    sockets->offered = grown;
    grown[sockets->offered_count++] = *addr;
    return 0;
}

int px_sockets_offer(struct px_sockets *sockets, const struct px_socket_label *label, int fd) {
    struct px_addr addr;
    int error = px_sock_check_listener(fd);
    if (error == 0) error = px_sock_adopt_flags(fd);
    if (error == 0) error = px_addr_of_socket(fd, &addr);
    if (error == 0) error = note_offered(sockets, &addr);
    if (error < 0) return error;
    struct px_place *place = find_place_for(sockets, label, &addr);
    if (!place) return 0;
    error = add(sockets, place, fd, true);
    return error < 0 ? error : 1;
}

// Without sockets of its own, but in the way of one that was offered: then the parent has to make them, because only it can set
// SO_REUSEPORT on a socket that the child has no place for, and because it must be able to accept from them after a rollback.
static bool is_beside_offered(const struct px_sockets *sockets, const struct px_place *place) {
    for (uint32_t i = 0; i < sockets->offered_count; i++) {
        if (is_ip(&place->addr) && related(&sockets->offered[i], &place->addr)) return true;
    }
    return false;
}

bool px_sockets_next_wanting(struct px_sockets *sockets, struct px_addr *addr, uint32_t *count) {
    for (uint32_t i = 0; i < sockets->place_count; i++) {
        struct px_place *place = &sockets->places[i];
        uint32_t target = wanted(sockets, place);
        if (place->asked || place->socket_count >= target) continue;
        if (place->socket_count == 0 && !is_beside_offered(sockets, place)) continue;
        place->asked = true;
        *addr = place->addr;
        *count = target - place->socket_count;
        return true;
    }
    return false;
}

int px_sockets_adopt_extra(struct px_sockets *sockets, const struct px_addr *addr, int fd) {
    struct px_place *place = find_place(sockets, addr);
    struct px_addr bound;
    if (!place) return -ENOENT;
    int error = px_sock_adopt_flags(fd);
    if (error == 0) error = px_addr_of_socket(fd, &bound);
    if (error == 0 && !px_addr_equal(&bound, addr)) error = -EADDRNOTAVAIL;
    return error < 0 ? error : add(sockets, place, fd, true);
}

// ---- opening ----------------------------------------------------------------------------------------------------------------

static int open_one(struct px_sockets *sockets, struct px_place *place, struct px_detail *detail) {
    const struct px_bind_spec spec = {
        .addr = place->addr,
        .reuse_port = place->plan->listener.reuse_port && is_ip(&place->addr),
        .pipe_mode = place->config->pipe_mode,
        .options = place->config->options,
        .option_count = place->config->option_count,
    };
    int fd = px_sock_bind(&spec, detail);
    if (fd < 0) return fd;
    int error = add(sockets, place, fd, false);
    if (error < 0) close(fd);
    return error < 0 ? px_fail(detail, error, "bind", place->plan->listener.name, "cannot note the socket") : 0;
}

// With port 0 the first socket gets a port, and the others of the group join it there.
static int open_place(struct px_sockets *sockets, struct px_place *place, bool cold, struct px_detail *detail) {
    bool probe = cold && (!is_ip(&place->addr) || px_addr_port(&place->addr) != 0);
    int error = probe ? px_sock_probe(&place->addr, detail) : 0;
    uint32_t target = wanted(sockets, place);
    while (error == 0 && place->socket_count < target) error = open_one(sockets, place, detail);
    return error;
}

int px_sockets_open(struct px_sockets *sockets, bool cold, struct px_detail *detail) {
    for (uint32_t i = 0; i < sockets->place_count; i++) {
        struct px_place *place = &sockets->places[i];
        // Fewer inherited sockets than workers: whoever has none accepts from another's.
        if (place->socket_count > 0) continue;
        int error = open_place(sockets, place, cold, detail);
        if (error < 0) return error;
    }
    return 0;
}

// listen() on a socket that listens already only sets its backlog.
static int listen_one(const struct px_socket *socket, bool apply_options, struct px_detail *detail) {
    const struct px_listener_config *listener = &socket->place->plan->listener;
    const struct px_address_config *config = socket->place->config;
    // Accepted sockets inherit it (inet_csk_clone_lock), which saves a system call per connection.
    px_sock_no_delay(socket->fd);
    if (apply_options) {
        int error = px_sock_apply_options(socket->fd, config->options, config->option_count, -1, detail);
        if (error < 0) return error;
    }
    return px_sock_listen(socket->fd, listener->backlog, config->options, config->option_count, detail);
}

int px_sockets_listen(struct px_sockets *sockets, struct px_detail *detail) {
    for (uint32_t i = 0; i < sockets->count; i++) {
        int error = listen_one(sockets->items[i], sockets->items[i]->inherited, detail);
        if (error < 0) return error;
    }
    return 0;
}

// ---- for a child, and back --------------------------------------------------------------------------------------------------

static struct px_place *related_place(struct px_sockets *sockets, const struct px_addr *addr) {
    struct px_place *place = find_place(sockets, addr);
    for (uint32_t i = 0; !place && i < sockets->place_count; i++) {
        if (related(&sockets->places[i].addr, addr)) place = &sockets->places[i];
    }
    return place;
}

static int prepare_group(struct px_sockets *sockets, const struct px_addr *addr) {
    for (uint32_t i = 0; i < sockets->count; i++) {
        if (!related(&sockets->items[i]->addr, addr)) continue;
        int error = px_sock_set_reuse_port(sockets->items[i]->fd);
        if (error < 0) return error;
    }
    return 0;
}

static int make_one(struct px_sockets *sockets, struct px_place *place, const struct px_addr *addr) {
    const struct px_bind_spec spec = {.addr = *addr, .reuse_port = true};
    int fd = px_sock_bind(&spec, NULL);
    if (fd < 0) return fd;
    int error = append(&sockets->extras, &sockets->extra_count, socket_create(place, fd, addr, true));
    if (error < 0) close(fd);
    return error < 0 ? error : fd;
}

int px_sockets_make(struct px_sockets *sockets, const struct px_addr *addr, uint32_t count, int32_t *fds) {
    struct px_place *place = related_place(sockets, addr);
    if (!place || !is_ip(addr) || px_addr_port(addr) == 0) return -EINVAL;
    int error = prepare_group(sockets, addr);
    uint32_t made = 0;
    for (; error >= 0 && made < count; made++) {
        error = make_one(sockets, place, addr);
        if (error < 0) break;
        fds[made] = error;
    }
    return made > 0 || error >= 0 ? (int)made : error;
}

// ---- failed children --------------------------------------------------------------------------------------------------------

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72  // Linux 5.15: which buffer sizes were set by hand and no longer grow by themselves (socket(7))
#endif

// Options act on every holder of a socket, and a child sets its own when it takes over (docs/design/0002). The values it replaces are
// kept here, because only we are there when it has died. Setting a buffer size sets a lock beside it, which has to be put back after it:
// the first in the list is the last to be restored.
static int remember_options(struct px_socket *socket, const struct px_option_name *names, uint32_t count) {
    static const struct px_option_name lock = {SOL_SOCKET, SO_BUF_LOCK};
    struct px_saved_option *saved = calloc(count + 1, sizeof *saved);
    if (!saved) return -ENOMEM;
    free(socket->saved);
    socket->saved = saved;
    socket->saved_count = px_sock_save_options(socket->fd, &lock, 1, saved);
    socket->saved_count += px_sock_save_options(socket->fd, names, count, saved + socket->saved_count);
    return 0;
}

int px_sockets_remember_options(struct px_sockets *sockets, const struct px_option_name *names, uint32_t count) {
    int error = count <= PX_OPTION_NAMES_MAX ? 0 : -E2BIG;
    for (uint32_t i = 0; error == 0 && i < sockets->count; i++) error = remember_options(sockets->items[i], names, count);
    return error;
}

static void restore_options(struct px_socket *socket) {
    px_sock_restore_options(socket->fd, socket->saved, socket->saved_count);
    free(socket->saved);
    socket->saved = NULL;
    socket->saved_count = 0;
}

// Forget extras that do not listen: nobody can have connected to them.
static void drop_silent_extras(struct px_sockets *sockets) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sockets->extra_count; i++) {
        struct px_socket *extra = sockets->extras[i];
        if (px_sock_is_listening(extra->fd) > 0) {
            sockets->extras[kept++] = extra;
        } else {
            close(extra->fd);
            free(extra);
        }
    }
    sockets->extra_count = kept;
}

void px_sockets_clear_marks(struct px_sockets *sockets) {
    for (uint32_t i = 0; i < sockets->count; i++) {
        atomic_store(&sockets->items[i]->removed, false);
        restore_options(sockets->items[i]);
    }
    drop_silent_extras(sockets);
}

// The child that died had connections queued on these.
static int adopt_listening_extras(struct px_sockets *sockets) {
    drop_silent_extras(sockets);
    while (sockets->extra_count > 0) {
        struct px_socket *extra = sockets->extras[sockets->extra_count - 1];
        int error = push(&sockets->items, &sockets->count, extra);
        if (error < 0) return error;
        extra->worker_index = extra->place->socket_count++;
        sockets->extra_count--;
    }
    return 0;
}

// listen() does not undo a Unix socket's shutdown(), so a pipe is bound anew.
static int reopen_pipe(struct px_socket *socket, struct px_detail *detail) {
    close(socket->fd);
    socket->fd = px_sock_rebind_pipe(&socket->addr, socket->place->config->pipe_mode, detail);
    return socket->fd < 0 ? socket->fd : 0;
}

static int restore_one(struct px_socket *socket, struct px_detail *detail) {
    int error = 0;
    if (atomic_load(&socket->shut) && !is_ip(&socket->addr)) error = reopen_pipe(socket, detail);
    if (error < 0) return error;
    atomic_store(&socket->shut, false);
    atomic_store(&socket->removed, false);
    restore_options(socket);
    return listen_one(socket, true, detail);
}

void px_sockets_restore(struct px_sockets *sockets) {
    struct px_detail detail = {0};
    if (adopt_listening_extras(sockets) < 0) px_log(PX_ERROR, "config", "rollback: no memory for sockets made for the failed generation");
    for (uint32_t i = 0; i < sockets->count; i++) {
        struct px_socket *socket = sockets->items[i];
        if (restore_one(socket, &detail) == 0) continue;
        px_log(PX_ERROR, "config", "rollback: listener %s does not listen again: %s %s: %s", socket->place->plan->listener.name,
            detail.call, detail.object, px_error_text(detail.code));
    }
}
