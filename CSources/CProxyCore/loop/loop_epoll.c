// The loop's descriptors: registration with epoll and delivery of its events. Loop thread only.
//
// A registration's id and descriptor travel in epoll_data; the table says which handle stands behind a descriptor now. An
// event collected before its handle was removed finds an empty place or another id, and is dropped: the table is the only way
// to a handle, so memory freed in a callback is never looked at.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "loop/loop_internal.h"

enum { FIRST_CAPACITY = 64 };

int px__loop_epoll_open(px_loop *loop, struct px_detail *detail) {
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? px_fail(detail, -errno, "epoll_create1", "event loop", "%s", "") : 0;
}

void px__loop_epoll_close(px_loop *loop) {
    if (loop->epoll_fd >= 0) close(loop->epoll_fd);
    free(loop->handles);
}

// Doubles up to the descriptor limit: a descriptor above it can only be an inherited one, and then exactly fits.
static uint32_t capacity_for(const px_loop *loop, uint32_t fd) {
    struct rlimit limit;
    uint64_t capacity = loop->handle_capacity ? loop->handle_capacity : FIRST_CAPACITY;
    while (capacity <= fd) capacity *= 2;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && capacity > limit.rlim_cur) capacity = limit.rlim_cur;
    return capacity > fd ? (uint32_t)capacity : fd + 1;
}

static int reserve(px_loop *loop, uint32_t fd) {
    if (fd < loop->handle_capacity) return 0;
    uint32_t capacity = capacity_for(loop, fd);
    struct px_handle **grown = realloc(loop->handles, capacity * sizeof *grown);
    if (!grown) return -ENOMEM;
    memset(grown + loop->handle_capacity, 0, (capacity - loop->handle_capacity) * sizeof *grown);
    loop->handles = grown;
    loop->handle_capacity = capacity;
    return 0;
}

static uint32_t interest(uint32_t flags) {
    uint32_t events = EPOLLIN;
    if (!(flags & PX_READ_ONLY)) events |= EPOLLOUT;
    if (!(flags & PX_LEVEL)) events |= EPOLLET;
    // EPOLLRDHUP may not stand beside EPOLLEXCLUSIVE (epoll_ctl(2)).
    return events | (flags & PX_EXCLUSIVE ? EPOLLEXCLUSIVE : EPOLLRDHUP);
}

int px_loop_add(px_loop *loop, struct px_handle *handle, int fd, uint32_t flags) {
    if (fd < 0) return -EBADF;
    int result = reserve(loop, (uint32_t)fd);
    if (result < 0) return result;
    if (loop->handles[fd]) return -EEXIST;
    uint32_t registration = ++loop->next_registration;
    struct epoll_event event = {.events = interest(flags), .data.u64 = (uint64_t)registration << 32 | (uint32_t)fd};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) return -errno;
    handle->fd = fd;
    handle->registration = registration;
    loop->handles[fd] = handle;
    return 0;
}

// The descriptor, which is the handle's no longer; -1 where it was not registered.
static int forget(px_loop *loop, struct px_handle *handle) {
    int fd = handle->fd;
    if (fd < 0 || (uint32_t)fd >= loop->handle_capacity || loop->handles[fd] != handle) return -1;
    loop->handles[fd] = NULL;
    handle->fd = -1;
    return fd;
}

void px_loop_remove(px_loop *loop, struct px_handle *handle) {
    int fd = forget(loop, handle);
    if (fd >= 0 && epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0) PX_BUG("descriptor closed before px_loop_remove");
}

void px_loop_close(px_loop *loop, struct px_handle *handle) {
    int fd = forget(loop, handle);
    if (fd >= 0) close(fd);
}

// Why not epoll_pwait2: its nanoseconds would let a timer fire within its millisecond instead of at the next one's start,
// which no deadline of ours needs, and the call costs the same.
int px__loop_epoll_wait(px_loop *loop, int timeout_ms) {
    int count = epoll_wait(loop->epoll_fd, loop->batch, PX_LOOP_BATCH, timeout_ms);
    loop->batch_next = 0;
    loop->batch_count = count > 0 ? (uint32_t)count : 0;
    return count < 0 && errno != EINTR ? -errno : 0;
}

static uint32_t translate(uint32_t events) {
    uint32_t ours = 0;
    if (events & EPOLLIN) ours |= PX_READABLE;
    if (events & EPOLLOUT) ours |= PX_WRITABLE;
    if (events & (EPOLLHUP | EPOLLERR)) ours |= PX_HANGUP;
    if (events & EPOLLRDHUP) ours |= PX_READ_HANGUP;
    return ours;
}

bool px__loop_epoll_dispatch(px_loop *loop) {
    struct epoll_event event = loop->batch[loop->batch_next++];
    uint32_t fd = (uint32_t)event.data.u64, registration = (uint32_t)(event.data.u64 >> 32);
    struct px_handle *handle = fd < loop->handle_capacity ? loop->handles[fd] : NULL;
    if (!handle || handle->registration != registration) return false;
    handle->on_events(handle, translate(event.events));
    return handle != &loop->alarm;
}
