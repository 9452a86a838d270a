// Runs the whole server but its threads: the input is a program. Its first bytes are the configuration and how often system calls
// misbehave (fuzz_server/faults.h); then come operations of clients, upstreams, the driver and the clock. The engine's loops are
// turned by this thread and the clock is the input's, so an input does the same every time, but for which of two workers the kernel
// gives a connection to.
//
// What must hold, whatever happens: bytes arrive as a prefix of what was sent, at the peer they were for; the loops come to rest; once
// all peers are gone, every connection is gone, the counters balance, and no descriptor and no memory is left. In a lossless run
// (nothing fails, nobody resets) every byte sent also arrives and every end is passed on: whoever was connected is served.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "fuzz_server/faults.h"
#include "fuzz_server/peers.h"
#include "include/px.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RELAY, PIPE_RELAY, ECHO, DIRECT, NOWHERE, LISTENERS };
enum { CLIENTS = 16, UPSTREAMS = 64, FIRST_UPSTREAM = 100, OPERATIONS = 400, TURNS = 20000, EVENTS = 11 };

struct input {
    const uint8_t *bytes;
    size_t left;
};

struct server {
    px_mainloop *loop;
    px_plan *plan;
    px_stats_block *stats;
    px_stats_reader *reader;
    px_engine *engine;
    struct px_addr addresses[LISTENERS];
    struct peer clients[CLIENTS], upstreams[UPSTREAMS];
    uint8_t listener_of[CLIENTS];
    uint32_t client_count, upstream_count;
    bool lossless, stopped, rolled_back;
    uint32_t events[EVENTS], turns;
};

static int upstream_sockets[2] = {-1, -1};
static struct px_addr upstream_addresses[2];
static uint8_t response[3000];

static void fail(const char *what, uint64_t a, uint64_t b) {
    fprintf(stderr, "server: %s (%llu, %llu)\n", what, (unsigned long long)a, (unsigned long long)b);
    abort();
}

static void require(bool condition, const char *what) {
    if (!condition) fail(what, 0, 0);
}

static uint8_t take(struct input *input) {
    if (input->left == 0) return 0;
    input->left--;
    return *input->bytes++;
}

// Mostly small, some up to 64 KiB and a bit.
static uint32_t take_length(struct input *input) {
    uint8_t byte = take(input);
    return byte < 128 ? byte : (byte & 127u) << (byte % 10);
}

static uint32_t count_descriptors(void) {
    uint32_t count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

// ---- the server -------------------------------------------------------------------------------------------------------------

static void on_event(const struct px_event *event, void *context) {
    struct px_log_record record;
    ((struct server *)context)->events[event->kind]++;
    while (event->kind == PX_EVENT_LOG && px_log_take(&record)) {}
}

static uint32_t add_cluster(struct server *server, struct input *input, const char *name, const struct px_addr *addr) {
    char host[PX_ADDR_TEXT];
    uint8_t bits = take(input);
    const struct px_cluster_spec spec = {
        .name = name,
        .lb_policy = bits % 3,
        .connect_timeout_ms = server->lossless ? 3600000 : 1 + (bits & 0x30) * 10u,
        .dns_refresh_ms = 5000,
        .max_connections = !server->lossless && (bits & 0x40) ? 3 : UINT32_MAX,
        .choice_count = 2,
        .buffer_limit_bytes = bits & 0x80 ? 1000 : 1 << 20,
        .keepalive = bits & 8,
    };
    struct px_endpoint_spec endpoint = {.host = px_addr_format_ip(addr, host, sizeof host), .port = px_addr_port(addr), .weight = 1};
    int index = px_plan_add_cluster(server->plan, &spec);
    require(index >= 0 && px_plan_add_endpoint(server->plan, (uint32_t)index, &endpoint) >= 0, "cluster");
    return (uint32_t)index;
}

static void add_listener(struct server *server, struct input *input, const char *name, enum px_filter_kind filter, int32_t cluster, bool pipe) {
    char path[64];
    struct px_addr addr;
    uint8_t bits = take(input);
    const struct px_listener_spec spec = {
        .name = name,
        .stat_prefix = name,
        .reuse_port = bits & 1,
        .bind_to_port = true,
        .inbound = bits & 2,
        .accept_batch = bits & 4 ? 2 : 0,
        .buffer_limit_bytes = bits & 8 ? 700 : 1 << 20,
        .connection_limit = !server->lossless && (bits & 16) ? 2 : 0,
        .filter = filter,
        .tcp_stat_prefix = name,
        .idle_timeout_ms = !server->lossless && (bits & 32) ? 400 : 0,
        .max_duration_ms = !server->lossless && (bits & 64) ? 900 : 0,
        .max_connect_attempts = bits & 128 ? 3 : 1,
        .response = response,
        .response_length = sizeof response,
    };
    snprintf(path, sizeof path, "@fuzz-server-%s-%d", name, (int)getpid());
    require((pipe ? px_addr_from_path(path, &addr) : px_addr_from_ip("127.0.0.1", 0, &addr)) == 0, "address");
    int index = px_plan_add_listener(server->plan, &spec);
    require(index >= 0 && px_plan_add_address(server->plan, (uint32_t)index, &addr, 0) >= 0, "listener");
    require(filter != PX_FILTER_TCP_PROXY || px_plan_add_target(server->plan, (uint32_t)index, cluster, 1) >= 0, "target");
}

static void log_to_nowhere(struct server *server) {
    const struct px_log_op ops[] = {{.kind = PX_LOG_START_TIME}, {.kind = PX_LOG_DURATION}, {.kind = PX_LOG_RESPONSE_FLAGS},
        {.kind = PX_LOG_UPSTREAM_HOST}, {.kind = PX_LOG_UPSTREAM_LOCAL_ADDRESS}, {.kind = PX_LOG_UPSTREAM_FAILURE_REASON},
        {.kind = PX_LOG_DOWNSTREAM_REMOTE}, {.kind = PX_LOG_DOWNSTREAM_LOCAL}, {.kind = PX_LOG_TERMINATION_DETAILS, .json = true},
        {.kind = PX_LOG_LITERAL, .text = "\n"}};
    int index = px_plan_add_access_log(server->plan, "/dev/null", ops, sizeof ops / sizeof *ops);
    require(index >= 0, "access log");
    for (uint32_t i = 0; i < LISTENERS; i++) require(px_plan_attach_access_log(server->plan, i, (uint32_t)index) == 0, "access log");
}

static void plan(struct server *server, struct input *input) {
    server->plan = px_plan_create();
    require(server->plan != NULL, "plan");
    int32_t tcp = (int32_t)add_cluster(server, input, "tcp", &upstream_addresses[0]);
    int32_t pipe = (int32_t)add_cluster(server, input, "pipe", &upstream_addresses[1]);
    add_listener(server, input, "relay", PX_FILTER_TCP_PROXY, tcp, false);
    add_listener(server, input, "pipe-relay", PX_FILTER_TCP_PROXY, pipe, true);
    add_listener(server, input, "echo", PX_FILTER_ECHO, 0, false);
    add_listener(server, input, "direct", PX_FILTER_DIRECT_RESPONSE, 0, false);
    add_listener(server, input, "nowhere", PX_FILTER_TCP_PROXY, -1, false);
    uint8_t bits = take(input);
    if (bits & 1) log_to_nowhere(server);
    if (!server->lossless && (bits & 2)) px_plan_set_global_connection_limit(server->plan, 4);
}

static void create(struct server *server, struct input *input, uint32_t workers) {
    struct px_detail detail = {0};
    struct px_engine_options options = {.workers = workers, .epoch = 1, .access_log_flush_ms = 1000};
    px_stats_builder *builder = px_stats_builder_create();
    server->loop = px_mainloop_create(on_event, server, &detail);
    plan(server, input);
    require(server->loop && builder && px_plan_register_stats(server->plan, builder, workers) == 0, "statistics");
    server->stats = px_stats_block_create(builder, workers + 1, 1, &detail);
    require(server->stats != NULL, "statistics");
    px_stats_builder_destroy(builder);
    server->reader = px_stats_reader_create(server->stats);
    server->engine = px_engine_create(server->plan, server->stats, NULL, server->loop, &options, &detail);
    require(server->reader && server->engine, detail.call);
    require(px_engine_open_sockets(server->engine, false, &detail) == 0, detail.text);
    require(px_engine_listen(server->engine, &detail) == 0, detail.text);
    for (uint32_t i = 0; i < LISTENERS; i++) require(px_engine_listener_address(server->engine, i, 0, &server->addresses[i]) == 0, "address");
}

static void destroy(struct server *server) {
    px_engine_destroy(server->engine);
    px_stats_reader_destroy(server->reader);
    px_stats_block_destroy(server->stats);
    px_mainloop_destroy(server->loop);
}

// One turn of every loop. Returns how many callbacks ran.
static int turn(struct server *server) {
    int ran = 0;
    faults_on(true);
    for (uint32_t i = 0; i < server->engine->options.workers; i++) {
        int result = px_loop_turn(server->engine->workers[i]->conns.loop, 0);
        require(result >= 0, "a worker's loop failed");
        ran += result;
    }
    faults_on(false);
    int result = px_mainloop_turn(server->loop, 0);
    require(result >= 0, "the main loop failed");
    if (++server->turns > TURNS) fail("the loops do not come to rest", server->turns, (uint64_t)ran);
    return ran + result;
}

// Until nothing happens any more and no edge is owed.
static void settle(struct server *server) {
    for (int quiet = 0; quiet < 2 || faults_owed() > 0;) quiet = turn(server) > 0 ? 0 : quiet + 1;
}

static void start_accepting(struct server *server) {
    struct px_detail detail = {0};
    server->rolled_back |= server->stopped;
    require(px_engine_accept_start(server->engine, &detail) == 0, detail.text);
    server->stopped = false;
}

// ---- operations -------------------------------------------------------------------------------------------------------------

static void add_client(struct server *server, uint8_t listener) {
    if (server->client_count == CLIENTS) return;
    uint32_t index = server->client_count++;
    server->clients[index] = (struct peer){.fd = -1, .id = (uint8_t)index, .from = -1};
    server->listener_of[index] = listener % LISTENERS;
    peer_connect(&server->clients[index], &server->addresses[listener % LISTENERS]);
}

static bool add_upstream(struct server *server, uint8_t which) {
    if (server->upstream_count == UPSTREAMS) return false;
    struct peer *peer = &server->upstreams[server->upstream_count];
    *peer = (struct peer){.fd = -1, .id = (uint8_t)(FIRST_UPSTREAM + server->upstream_count), .from = -1};
    bool accepted = peer_accept(peer, upstream_sockets[which % 2]);
    server->upstream_count += accepted;
    return accepted;
}

static struct peer *take_peer(struct server *server, struct input *input) {
    uint8_t byte = take(input);
    uint32_t count = byte & 128 ? server->upstream_count : server->client_count;
    if (count == 0) return NULL;
    return &(byte & 128 ? server->upstreams : server->clients)[(byte & 127) % count];
}

static void operate_peer(struct server *server, struct input *input, uint8_t operation) {
    struct peer *peer = take_peer(server, input);
    if (!peer) return;
    switch (operation) {
        case 0: peer_send(peer, take_length(input)); break;
        case 1: (void)peer_receive(peer, take_length(input)); break;
        case 2: peer_shut(peer); break;
        case 3: if (!server->lossless) peer_close(peer, false); break;
        case 4: if (!server->lossless) peer_close(peer, true); break;
    }
}

static void look(struct server *server) {
    uint64_t age;
    char name[16];
    if (px_engine_oldest(server->engine, &age, name, sizeof name)) require(px_engine_connections(server->engine) > 0, "the oldest of none");
}

static void operate_driver(struct server *server, struct input *input) {
    uint8_t byte = take(input);
    switch (byte % 8) {
        case 0: px_engine_accept_stop(server->engine); server->stopped = true; break;
        case 1: start_accepting(server); break;
        case 2: px_engine_drain_listeners(server->engine, byte & 128); server->stopped = true; break;
        case 3: px_engine_mark_removed(server->engine, byte >> 4); break;
        case 4: px_engine_clear_marks(server->engine); break;
        case 5: if (!server->lossless) px_engine_close_all(server->engine); break;
        case 6: look(server); break;
        case 7: px_engine_reopen_logs(server->engine); break;
    }
}

static void operate(struct server *server, struct input *input) {
    uint8_t operation = take(input);
    switch (operation % 16) {
        case 0: add_client(server, take(input)); break;
        case 1: (void)add_upstream(server, operation >> 4); break;
        case 2: case 3: case 4: case 5: case 6: operate_peer(server, input, operation % 16 - 2); break;
        case 7: faults_advance_ms(take(input) * (operation & 128 ? 20u : 1u)); break;
        case 8: operate_driver(server, input); break;
        case 9: {
            uint8_t call = take(input), kind = take(input);
            faults_arm(call % FAULT_CALLS, 1 + kind % (FAULT_KINDS - 1), kind >> 4);
            break;
        }
        default: for (int turns = operation >> 4; turns >= 0; turns--) (void)turn(server); break;
    }
}

// ---- the end ----------------------------------------------------------------------------------------------------------------

static bool is_relayed(const struct server *server, uint32_t client) { return server->listener_of[client] <= PIPE_RELAY; }

// Everybody says what is left to say, reads what comes, and ends when the other has ended.
static bool converse(struct server *server) {
    bool moved = false;
    for (uint8_t which = 0; which < 2; which++) {
        while (add_upstream(server, which)) moved = true;
    }
    for (uint32_t i = 0; i < server->client_count; i++) {
        peer_shut(&server->clients[i]);
        while (peer_receive(&server->clients[i], UINT32_MAX)) moved = true;
    }
    for (uint32_t i = 0; i < server->upstream_count; i++) {
        while (peer_receive(&server->upstreams[i], UINT32_MAX)) moved = true;
        if (server->upstreams[i].ended) peer_shut(&server->upstreams[i]);
    }
    settle(server);
    return moved;
}

static bool is_ended(const struct peer *peer) { return !peer->established || peer->failed || peer->ended; }

static bool all_ended(const struct server *server) {
    for (uint32_t i = 0; i < server->client_count; i++) if (!is_ended(&server->clients[i])) return false;
    for (uint32_t i = 0; i < server->upstream_count; i++) if (!is_ended(&server->upstreams[i])) return false;
    return true;
}

// Pauses for want of descriptors are 100 ms long; the clock goes on for them. What is being drained gets the time to end. The kernel's own
// timers (delayed ACKs, retransmission) know nothing of our clock: who still waits then does so for three real seconds.
static void converse_to_the_end(struct server *server) {
    for (int i = 0; server->stopped && i < 30; i++) {
        faults_advance_ms(100);
        settle(server);
    }
    server->stopped = false;
    start_accepting(server);
    settle(server);
    for (int still = 0; still < 8 || (still < 150 && !all_ended(server)); still++) {
        if (converse(server)) still = 0;
        faults_advance_ms(60);
        if (still >= 8) usleep(20000);
    }
}

static void check_delivered(const struct server *server) {
    for (uint32_t i = 0; i < server->client_count; i++) {
        const struct peer *client = &server->clients[i];
        if (!client->established || server->listener_of[i] == DIRECT || server->listener_of[i] == NOWHERE) continue;
        if (client->failed) fail("a client's connection failed", i, server->listener_of[i]);
        if (!client->ended) fail("a client waits for its end", i, server->listener_of[i]);
        if (server->listener_of[i] == ECHO && client->received != client->sent) fail("not all was echoed", client->sent, client->received);
    }
    for (uint32_t i = 0; i < server->upstream_count; i++) {
        const struct peer *upstream = &server->upstreams[i];
        if (upstream->failed) fail("an upstream connection failed", i, 0);
        if (!upstream->ended) fail("an upstream waits for its end", i, 0);
        if (upstream->from < 0) continue;
        if (upstream->received != server->clients[upstream->from].sent) fail("not all reached the upstream", i, upstream->received);
    }
    for (uint32_t i = 0; i < server->client_count; i++) {
        const struct peer *client = &server->clients[i];
        if (!is_relayed(server, i) || client->from < 0) continue;
        if (client->received != server->upstreams[client->from - FIRST_UPSTREAM].sent) fail("not all reached the client", i, client->received);
    }
}

// Who receives from whom: each from the peer it sends to, and never from another listener's.
static void check_pairs(const struct server *server) {
    for (uint32_t i = 0; i < server->upstream_count; i++) {
        const struct peer *upstream = &server->upstreams[i];
        if (upstream->from < 0) continue;
        require(upstream->from < (int)server->client_count && is_relayed(server, (uint32_t)upstream->from), "an upstream read a stranger's bytes");
        const struct peer *client = &server->clients[upstream->from];
        require(client->from < 0 || client->from == upstream->id, "two upstreams share a client");
        require(upstream->received <= client->sent, "an upstream read more than was sent");
    }
    for (uint32_t i = 0; i < server->client_count; i++) {
        const struct peer *client = &server->clients[i];
        if (client->from < 0) continue;
        bool stranger = server->listener_of[i] == ECHO ? client->from != client->id
            : server->listener_of[i] == DIRECT ? client->from != PEER_RESPONSE_ID : client->from < FIRST_UPSTREAM || !is_relayed(server, i);
        require(!stranger, "a client read a stranger's bytes");
    }
}

static void close_peers(struct server *server) {
    struct peer *all[] = {server->clients, server->upstreams};
    uint32_t counts[] = {server->client_count, server->upstream_count};
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < counts[side]; i++) peer_close(&all[side][i], true);
    }
    for (uint8_t which = 0; which < 2; which++) {
        struct peer late;
        while (peer_accept(&late, upstream_sockets[which])) peer_close(&late, true);
    }
}

// Every deadline there can be passes meanwhile.
static void let_all_end(struct server *server) {
    for (int i = 0; i < 30; i++) {
        close_peers(server);
        settle(server);
        faults_advance_ms(200);
    }
    if (px_engine_connections(server->engine) > 0) fail("connections outlive their peers", px_engine_connections(server->engine), server->lossless);
}

static uint64_t value(struct server *server, const char *prefix, const char *name) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return (uint64_t)px_stats_reader_value(server->reader, full);
}

static void check_equal(struct server *server, const char *prefix, const char *a, const char *b) {
    if (value(server, prefix, a) == value(server, prefix, b)) return;
    fprintf(stderr, "server: %s.%s is not %s\n", prefix, a, b);
    fail("counters do not balance", value(server, prefix, a), value(server, prefix, b));
}

static void check_zero(const struct px_stat *stat, void *context) {
    static const char *const names[] = {"cx_active", "cx_open", "bytes_buffered"};
    if (stat->kind != PX_STAT_GAUGE) return;
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(stat->name), tail = strlen(names[i]);
        if (length < tail || strcmp(stat->name + length - tail, names[i]) != 0 || stat->gauge == 0) continue;
        fprintf(stderr, "server: %s is %lld\n", stat->name, (long long)stat->gauge);
        abort();
    }
}

static void check_host(const struct px_host_snapshot *host, void *context) {
    if (host->cx_active != 0) fail("a host has connections", (uint64_t)host->cx_active, 0);
}

static void check_counters(struct server *server) {
    static const char *const listeners[] = {"listener.relay", "listener.pipe-relay", "listener.echo", "listener.direct", "listener.nowhere"};
    static const char *const clusters[] = {"cluster.tcp", "cluster.pipe"};
    px_stats_reader_collect(server->reader, check_zero, NULL);
    for (int i = 0; i < LISTENERS; i++) check_equal(server, listeners[i], "downstream_cx_total", "downstream_cx_destroy");
    check_equal(server, "tcp.nowhere", "downstream_cx_total", "downstream_cx_no_route");
    for (uint32_t i = 0; i < 2; i++) {
        check_equal(server, clusters[i], "upstream_cx_total", "upstream_cx_destroy");
        uint64_t local = value(server, clusters[i], "upstream_cx_destroy_local"), remote = value(server, clusters[i], "upstream_cx_destroy_remote");
        if (local + remote != value(server, clusters[i], "upstream_cx_destroy")) fail("ended neither locally nor remotely", local, remote);
        px_engine_each_host(server->engine, i, check_host, NULL);
        if (atomic_load(&server->engine->plan->clusters[i]->connections) != 0) fail("a place under the circuit breaker is lost", i, 0);
    }
    if (atomic_load(&server->engine->global_open) != 0) fail("a place under the global limit is lost", 0, 0);
    for (int i = 0; i < LISTENERS; i++) if (atomic_load(&server->engine->listener_open[i]) != 0) fail("a place under a listener's limit is lost", 0, 0);
}

static void check_bytes(struct server *server) {
    uint64_t sent = 0, got = 0;
    for (uint32_t i = 0; i < server->client_count; i++) {
        if (is_relayed(server, i)) sent += server->clients[i].sent;
    }
    for (uint32_t i = 0; i < server->upstream_count; i++) got += server->upstreams[i].received;
    uint64_t read = value(server, "tcp.relay", "downstream_cx_rx_bytes_total") + value(server, "tcp.pipe-relay", "downstream_cx_rx_bytes_total");
    uint64_t written = value(server, "cluster.tcp", "upstream_cx_tx_bytes_total") + value(server, "cluster.pipe", "upstream_cx_tx_bytes_total");
    if (read > sent || written > read || got > written) fail("bytes are counted that were not moved", read, written);
    if (server->lossless && (read != sent || got != sent)) fail("bytes were moved and not counted", read, sent);
}

static void run(struct server *server, struct input *input) {
    start_accepting(server);
    for (int i = 0; i < OPERATIONS && input->left > 0; i++) operate(server, input);
    faults_stop();
    settle(server);
    // A rollback that comes while a drained pipe's queue waits for descriptors binds the pipe anew, and the queue is lost.
    if (server->rolled_back && faults_exhausted()) server->lossless = false;
    if (server->lossless) {
        converse_to_the_end(server);
        check_delivered(server);
    }
    check_pairs(server);
    let_all_end(server);
    check_counters(server);
    check_bytes(server);
}

// As the main loop does for the process: splice() to a socket that was reset raises SIGPIPE, and no flag prevents it.
static void begin(void) {
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof response; i++) response[i] = peer_byte(PEER_RESPONSE_ID, i);
    for (int i = 0; i < 2; i++) upstream_sockets[i] = peer_listen(&upstream_addresses[i], i == 1);
    require(px_log_fd() >= 0, "log");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct server server;
    struct input input = {data, size};
    if (size < 12 || size > 4096) return 0;
    if (upstream_sockets[0] < 0) begin();
    memset(&server, 0, sizeof server);
    uint32_t before = count_descriptors();
    uint8_t bits = take(&input), rate = take(&input), seed = take(&input);
    server.lossless = bits & 1;
    faults_begin(seed, rate, server.lossless);
    create(&server, &input, 1 + (bits & 2) / 2);
    run(&server, &input);
    destroy(&server);
    faults_end();
    if (count_descriptors() != before) fail("descriptors are left", before, count_descriptors());
    return 0;
}
