// What one operation of the relay costs its worker, in processor time, beside a bare relay in the same run: a loop of epoll_wait,
// recv, send and shutdown with nothing else, which is what the kernel alone costs.
//
// Processor time of a thread is read from /proc/self/task/<tid>/schedstat. Clients and upstream are threads of this process.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "include/px.h"

enum { CONNECTIONS = 32, MESSAGE = 64, BULK = 256 * 1024, BARE_BUFFER = 64 * 1024, SLICE_NS = 10000000 };

// ---- sockets ------------------------------------------------------------------------------------------------------------------

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int open_listener(struct bench *bench, uint16_t *port) {
    struct sockaddr_in addr = loopback(0);
    socklen_t length = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 4096) < 0) bench_fail(bench, "listen: %s", strerror(errno));
    no_delay(fd);
    getsockname(fd, (struct sockaddr *)&addr, &length);
    *port = ntohs(addr.sin_port);
    return fd;
}

static int open_client(struct bench *bench, uint16_t port) {
    struct sockaddr_in addr = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) bench_fail(bench, "connect: %s", strerror(errno));
    no_delay(fd);
    return fd;
}

static void send_all(struct bench *bench, int fd, const char *bytes, size_t length) {
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0) bench_fail(bench, "send: %s", strerror(errno));
        sent += (size_t)n;
    }
}

static void receive_all(struct bench *bench, int fd, char *bytes, size_t length) {
    for (size_t got = 0; got < length;) {
        ssize_t n = recv(fd, bytes + got, length - got, 0);
        if (n <= 0) bench_fail(bench, "receive: %s", n == 0 ? "end" : strerror(errno));
        got += (size_t)n;
    }
}

// ---- threads with an epoll loop: the upstream that echoes, and the bare relay ---------------------------------------------------

struct bare {
    int listener, epoll;
    uint16_t port;
    uint16_t upstream;   // 0: echo, or discard
    bool discards;
    _Atomic long tid;
    atomic_bool stop;
    pthread_t thread;
    int peers[65536];
    bool ended[65536];
};

static void watch(struct bare *bare, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    epoll_ctl(bare->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void bare_accept(struct bare *bare) {
    int fd = accept4(bare->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int peer = fd;
    if (bare->upstream != 0) {
        struct sockaddr_in addr = loopback(bare->upstream);
        peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        no_delay(peer);
        (void)connect(peer, (struct sockaddr *)&addr, sizeof addr);
        bare->peers[peer] = fd;
        watch(bare, peer);
    }
    bare->peers[fd] = peer;
    watch(bare, fd);
}

// MSG_TRUNC: TCP drops the bytes without copying them.
static void bare_discard(int fd) {
    ssize_t n;
    while ((n = recv(fd, NULL, BULK, MSG_TRUNC)) > 0) {
    }
    if (n == 0 || errno != EAGAIN) close(fd);
}

static void bare_move(struct bare *bare, int fd, char *bytes) {
    int peer = bare->peers[fd];
    ssize_t n;
    while ((n = recv(fd, bytes, BARE_BUFFER, 0)) > 0) {
        for (ssize_t sent = 0; sent < n;) {
            ssize_t m = send(peer, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);
            if (m < 0 && errno != EAGAIN) break;
            if (m > 0) {
                sent += m;
            } else {
                poll(&(struct pollfd){.fd = peer, .events = POLLOUT}, 1, 100);
            }
        }
        if (n < BARE_BUFFER) return;
    }
    if (n < 0 && errno == EAGAIN) return;
    if (n == 0 && peer != fd && !bare->ended[peer]) {
        bare->ended[fd] = true;
        shutdown(peer, SHUT_WR);
        return;
    }
    bare->ended[peer] = false;
    close(fd);
    if (peer != fd) close(peer);
}

static void *bare_run(void *context) {
    struct bare *bare = context;
    struct epoll_event events[64];
    static _Thread_local char bytes[BARE_BUFFER];
    atomic_store(&bare->tid, syscall(SYS_gettid));
    while (!atomic_load(&bare->stop)) {
        int count = epoll_wait(bare->epoll, events, 64, 100);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == bare->listener) {
                bare_accept(bare);
            } else if (bare->discards) {
                bare_discard(events[i].data.fd);
            } else {
                bare_move(bare, events[i].data.fd, bytes);
            }
        }
    }
    return NULL;
}

static struct bare *bare_start(struct bench *bench, uint16_t upstream, bool discards) {
    struct bare *bare = calloc(1, sizeof *bare);
    if (!bare) bench_fail(bench, "no memory");
    bare->upstream = upstream;
    bare->discards = discards;
    bare->listener = open_listener(bench, &bare->port);
    bare->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = bare->listener};
    epoll_ctl(bare->epoll, EPOLL_CTL_ADD, bare->listener, &event);
    pthread_create(&bare->thread, NULL, bare_run, bare);
    return bare;
}

static void bare_stop(struct bare *bare) {
    atomic_store(&bare->stop, true);
    pthread_join(bare->thread, NULL);
    close(bare->listener);
    close(bare->epoll);
    free(bare);
}

// ---- our relay ------------------------------------------------------------------------------------------------------------------

struct ours {
    px_mainloop *loop;
    px_stats_block *stats;
    px_engine *engine;
    bool started;
    uint16_t port;
};

static void on_event(const struct px_event *event, void *context) {
    if (event->kind == PX_EVENT_ACCEPT_STARTED) ((struct ours *)context)->started = true;
}

static px_plan *make_plan(struct bench *bench, uint16_t upstream) {
    px_plan *plan = px_plan_create();
    struct px_cluster_spec cluster = {.name = "up", .connect_timeout_ms = 5000, .dns_refresh_ms = 5000, .max_connections = UINT32_MAX, .choice_count = 2, .buffer_limit_bytes = 1 << 20};
    struct px_listener_spec listener = {.name = "bench", .bind_to_port = true, .reuse_port = true, .buffer_limit_bytes = 1 << 20,
        .filter = PX_FILTER_TCP_PROXY, .tcp_stat_prefix = "bench", .idle_timeout_ms = 3600000, .max_connect_attempts = 1};
    struct px_endpoint_spec endpoint = {.host = "127.0.0.1", .port = upstream, .weight = 1};
    struct px_addr addr;
    if (!plan || px_addr_from_ip("127.0.0.1", 0, &addr) < 0 || px_plan_add_cluster(plan, &cluster) < 0 || px_plan_add_endpoint(plan, 0, &endpoint) < 0 ||
        px_plan_add_listener(plan, &listener) < 0 || px_plan_add_address(plan, 0, &addr, 0) < 0 || px_plan_add_target(plan, 0, 0, 1) < 0) {
        bench_fail(bench, "cannot make a plan");
    }
    return plan;
}

static void ours_start(struct bench *bench, struct ours *ours, uint16_t upstream) {
    struct px_detail detail = {0};
    struct px_addr addr;
    const struct px_engine_options options = {.workers = 1, .access_log_flush_ms = 1000};
    px_plan *plan = make_plan(bench, upstream);
    px_stats_builder *builder = px_stats_builder_create();
    *ours = (struct ours){.loop = px_mainloop_create(on_event, ours, &detail)};
    if (!builder || px_plan_register_stats(plan, builder, 1) < 0) bench_fail(bench, "cannot register statistics");
    ours->stats = px_stats_block_create(builder, 2, 0, &detail);
    px_stats_builder_destroy(builder);
    ours->engine = ours->stats ? px_engine_create(plan, ours->stats, NULL, ours->loop, &options, &detail) : NULL;
    if (!ours->engine || px_engine_open_sockets(ours->engine, true, &detail) < 0 || px_engine_start(ours->engine, &detail) < 0 ||
        px_engine_listen(ours->engine, &detail) < 0 || px_engine_accept_start(ours->engine, &detail) < 0) {
        bench_fail(bench, "%s %s: %s", detail.call, detail.object, px_error_text(detail.code));
    }
    while (!ours->started) (void)!px_mainloop_turn(ours->loop, 100);
    if (px_engine_listener_address(ours->engine, 0, 0, &addr) < 0) bench_fail(bench, "no address");
    ours->port = px_addr_port(&addr);
}

static void ours_stop(struct ours *ours) {
    px_engine_destroy(ours->engine);
    px_stats_block_destroy(ours->stats);
    px_mainloop_destroy(ours->loop);
}

// ---- processor time -------------------------------------------------------------------------------------------------------------

static uint64_t thread_ns(long tid) {
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", tid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    if (fscanf(file, "%llu", &ns) != 1) ns = 0;
    fclose(file);
    return ns;
}

static long find_thread(const char *name) {
    DIR *directory = opendir("/proc/self/task");
    long found = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[300], text[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file) continue;
        if (fgets(text, sizeof text, file) && strncmp(text, name, strlen(name)) == 0) found = strtol(entry->d_name, NULL, 10);
        fclose(file);
    }
    if (directory) closedir(directory);
    return found;
}

// ---- operations -------------------------------------------------------------------------------------------------------------------

struct load {
    uint16_t port;
    int fds[CONNECTIONS];
    char *bytes;
};

static uint64_t echo_round(struct bench *bench, struct load *load) {
    for (int i = 0; i < CONNECTIONS; i++) send_all(bench, load->fds[i], load->bytes, MESSAGE);
    for (int i = 0; i < CONNECTIONS; i++) receive_all(bench, load->fds[i], load->bytes, MESSAGE);
    return CONNECTIONS;
}

static uint64_t accept_relay_close(struct bench *bench, struct load *load) {
    int fd = open_client(bench, load->port);
    send_all(bench, fd, load->bytes, MESSAGE);
    receive_all(bench, fd, load->bytes, MESSAGE);
    close(fd);
    return 1;
}

// One direction; the upstream drops what it gets. Counted in MiB.
static uint64_t bulk_round(struct bench *bench, struct load *load) {
    for (int i = 0; i < 16; i++) send_all(bench, load->fds[0], load->bytes, BULK);
    return 16 * BULK >> 20;
}

typedef uint64_t (*operation_fn)(struct bench *bench, struct load *load);

struct side {
    struct load load;
    long tid;
    uint64_t spent_ns, operations;
};

static void open_side(struct bench *bench, struct side *side, uint16_t port, long tid, operation_fn operation, bool connected) {
    *side = (struct side){.load = {.port = port, .bytes = calloc(1, BULK)}, .tid = tid};
    if (!side->load.bytes) bench_fail(bench, "no memory");
    for (int i = 0; connected && i < CONNECTIONS; i++) side->load.fds[i] = open_client(bench, port);
    for (int i = 0; i < 8; i++) (void)operation(bench, &side->load);
}

static void close_side(struct side *side, bool connected) {
    for (int i = 0; connected && i < CONNECTIONS; i++) close(side->load.fds[i]);
    free(side->load.bytes);
}

static void run_slice(struct bench *bench, struct side *side, operation_fn operation) {
    struct bench_loop slice = bench_begin(bench);
    slice.budget_ns = SLICE_NS;
    uint64_t before = thread_ns(side->tid);
    while (bench_go_on(&slice)) slice.operations += operation(bench, &side->load);
    side->spent_ns += thread_ns(side->tid) - before;
    side->operations += slice.operations;
}

static double cost_us(const struct side *side) { return (double)side->spent_ns / 1000.0 / (double)side->operations; }

// In slices by turns, so that both meet the same state of the machine.
static void side_by_side(struct bench *bench, const char *what, operation_fn operation, bool connected) {
    bool discards = operation == bulk_round;
    struct bare *upstream = bare_start(bench, 0, discards), *bare = bare_start(bench, upstream->port, false);
    struct side us, them;
    struct ours ours;
    ours_start(bench, &ours, upstream->port);
    while (atomic_load(&bare->tid) == 0) usleep(100);
    open_side(bench, &us, ours.port, find_thread("worker-0"), operation, connected);
    open_side(bench, &them, bare->port, atomic_load(&bare->tid), operation, connected);
    struct bench_loop loop = bench_begin(bench);
    while (bench_go_on(&loop)) {
        run_slice(bench, &them, operation);
        run_slice(bench, &us, operation);
        loop.operations++;
    }
    bench_report(bench, what, "us", cost_us(&us), cost_us(&them), "bare relay");
    close_side(&us, connected);
    close_side(&them, connected);
    ours_stop(&ours);
    bare_stop(bare);
    bare_stop(upstream);
}

BENCH(echo_round_trip) { side_by_side(bench, "processor time per 64-byte round trip", echo_round, true); }
BENCH(accept_relay_close) { side_by_side(bench, "processor time per connect, echo, close", accept_relay_close, false); }
BENCH(relay_bulk) { side_by_side(bench, "processor time per MiB in bulk", bulk_round, true); }
