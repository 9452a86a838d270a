// Builds plans from random bytes through the driver's functions, in any order and with any arguments a driver could get wrong
// (indexes, empty names, odd lengths), then formats access-log lines from it and draws from its balancers. Registers and binds
// the statistics of each plan, and asserts what must hold of any of them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"
#include "relay/balance.h"

struct input {
    const uint8_t *bytes;
    size_t left;
};

static uint8_t take(struct input *input) {
    if (input->left == 0) return 0;
    input->left--;
    return *input->bytes++;
}

static uint32_t take_number(struct input *input) {
    uint32_t value = 0;
    for (int bytes = take(input) % 5; bytes > 0; bytes--) value = value << 8 | take(input);
    return value;
}

// A small index, now and then far outside.
static uint32_t take_index(struct input *input) {
    uint8_t byte = take(input);
    return byte < 250 ? byte % 4 : take_number(input);
}

static const char *take_text(struct input *input, char *out, size_t size) {
    size_t length = take(input) % size;
    for (size_t i = 0; i < length; i++) out[i] = (char)take(input);
    out[length] = '\0';
    return out;
}

static const char *take_name(struct input *input, char *out, size_t size) {
    static const char *const known[] = {"a", "b", "127.0.0.1", "::1", "localhost", "/tmp/s", "@s", "10.0.0.256"};
    uint8_t byte = take(input);
    return byte < 200 ? known[byte % 8] : take_text(input, out, size);
}

static void add_cluster(struct input *input, px_plan *plan) {
    char name[300], stat[600];
    struct px_cluster_spec spec = {
        .name = take_name(input, name, sizeof name),
        .stat_name = take(input) % 2 ? NULL : take_text(input, stat, sizeof stat),
        .type = take(input) % 3,
        .lb_policy = take(input) % 3,
        .dns_family = take(input) % 5,
        .connect_timeout_ms = take_number(input),
        .dns_refresh_ms = take_number(input),
        .max_connections = take_number(input),
        .choice_count = take(input) % 8,
        .keepalive = take(input) % 2,
    };
    (void)!px_plan_add_cluster(plan, &spec);
}

static void add_endpoint(struct input *input, px_plan *plan) {
    char host[300], hostname[64];
    struct px_endpoint_spec spec = {
        .host = take_name(input, host, sizeof host),
        .port = (uint16_t)take_number(input),
        .weight = take_number(input),
        .unhealthy = take(input) % 4 == 0,
        .hostname = take(input) % 2 ? NULL : take_text(input, hostname, sizeof hostname),
    };
    (void)!px_plan_add_endpoint(plan, take_index(input), &spec);
}

static void add_listener(struct input *input, px_plan *plan) {
    char name[300], stat[600], tcp[600];
    uint8_t response[32] = {0};
    struct px_listener_spec spec = {
        .name = take_name(input, name, sizeof name),
        .stat_prefix = take(input) % 2 ? NULL : take_text(input, stat, sizeof stat),
        .filter = take(input) % 3,
        .tcp_stat_prefix = take(input) % 4 == 0 ? NULL : take_text(input, tcp, sizeof tcp),
        .max_connect_attempts = take(input),
        .response = take(input) % 2 ? response : NULL,
        .response_length = take(input) % sizeof response,
    };
    (void)!px_plan_add_listener(plan, &spec);
}

static void add_address(struct input *input, px_plan *plan) {
    char text[300];
    struct px_addr addr = {0};
    const char *name = take_name(input, text, sizeof text);
    if (px_addr_from_ip(name, (uint16_t)take_number(input), &addr) != 0 && px_addr_from_path(name, &addr) != 0) addr.length = take(input);
    (void)!px_plan_add_address(plan, take_index(input), &addr, take_number(input));
}

static void add_option(struct input *input, px_plan *plan) {
    uint8_t bytes[256] = {0};
    struct px_socket_option option = {
        .level = (int32_t)take_number(input),
        .name = (int32_t)take_number(input),
        .state = take(input) % 3,
        .is_int = take(input) % 2,
        .bytes = take(input) % 8 ? bytes : NULL,
        .length = take(input),
    };
    (void)!px_plan_add_socket_option(plan, take_index(input), (int32_t)take_index(input) - 1, &option);
}

static void add_access_log(struct input *input, px_plan *plan) {
    struct px_log_op ops[8];
    char texts[8][40], path[100];
    size_t count = take(input) % 9;
    for (size_t i = 0; i < count; i++) {
        ops[i] = (struct px_log_op){
            .kind = take(input) % (PX_LOG_UPSTREAM_REMOTE_PORT + 1),
            .text = take(input) % 4 ? take_text(input, texts[i], sizeof texts[i]) : NULL,
            .max_length = take(input) % 2 ? take(input) : 0,
            .json = take(input) % 2,
        };
    }
    (void)!px_plan_add_access_log(plan, take_text(input, path, sizeof path), ops, count);
}

static void add_something(struct input *input, px_plan *plan) {
    switch (take(input) % 8) {
        case 0: add_cluster(input, plan); break;
        case 1: add_endpoint(input, plan); break;
        case 2: add_listener(input, plan); break;
        case 3: add_address(input, plan); break;
        case 4: add_option(input, plan); break;
        case 5: add_access_log(input, plan); break;
        case 6: (void)!px_plan_add_target(plan, take_index(input), (int32_t)take_index(input) - 1, take_number(input)); break;
        default: (void)!px_plan_attach_access_log(plan, take_index(input), take_index(input)); break;
    }
}

static void require(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static void draw(struct input *input, struct px_cluster *cluster) {
    struct px_balancer balancer;
    require(px_cluster_load_static(cluster) == 0, "memory");
    require(px_balancer_init(&balancer, cluster, take(input)) == 0, "memory");
    struct px_host *last = NULL;
    for (int i = 0; i < 16; i++) {
        struct px_host *host = px_balancer_pick(&balancer, last);
        require((host == NULL) == (cluster->hosts->healthy_count == 0), "somebody healthy is chosen");
        require(host == NULL || host->healthy, "the chosen host is healthy");
        require(host == NULL || host != last || cluster->hosts->healthy_count == 1, "the avoided host is avoided");
        px_host_release(last);
        last = host;
    }
    px_host_release(last);
    px_balancer_deinit(&balancer);
}

static void format(struct input *input, const struct px_access_log *log) {
    char line[256], reason[60];
    size_t size = 1 + take(input) % sizeof line;
    struct px_access_record record = {
        .start_unix_ns = (uint64_t)take_number(input) << 32 | take_number(input),
        .flags = take_number(input),
        .failure_reason = take_text(input, reason, sizeof reason),
    };
    if (px_addr_from_path(record.failure_reason, &record.downstream_remote) != 0) record.downstream_remote.length = 0;
    require(px_access_log_format(log, &record, line, size > sizeof line ? sizeof line : size) <= size, "a line stays in its buffer");
}

static void count(px_plan *plan) {
    px_stats_builder *builder = px_stats_builder_create();
    struct px_detail detail;
    if (px_plan_register_stats(plan, builder, 2) == 0) {
        px_stats_block *block = px_stats_block_create(builder, 3, 0, &detail);
        require(block != NULL, "a block can be made");
        require(px_plan_bind_stats(plan, block) == 0, "slots become cells");
        px_cell *shard = px__stats_shard(block, 1);
        for (uint32_t i = 0; i < plan->cluster_count; i++) px__cell_record(shard, plan->clusters[i]->stats.upstream_cx_length_ms, i);
        px_stats_block_destroy(block);
    }
    px_stats_builder_destroy(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    struct input input = {bytes, length};
    px_plan *plan = px_plan_create();
    uint8_t what = take(&input);
    for (int i = 0; i < 200 && input.left > 0; i++) add_something(&input, plan);
    for (uint32_t i = 0; i < plan->cluster_count; i++) draw(&input, plan->clusters[i]);
    for (uint32_t i = 0; i < plan->access_log_count; i++) format(&input, plan->access_logs[i]);
    uint64_t random = what;
    for (uint32_t i = 0; i < plan->listener_count; i++) (void)px_filter_pick_cluster(&plan->listeners[i]->filter, &random);
    if (what % 4 == 0) count(plan);
    px_plan_destroy(plan);
    return 0;
}
