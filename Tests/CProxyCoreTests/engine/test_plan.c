// The plan: deep copies, checked indexes, Envoy's statistics names, and what --mode validate can tell.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/plan.h"
#include "include/px_engine.h"
#include "test.h"

static struct px_addr ip(const char *text, uint16_t port) {
    struct px_addr addr;
    ASSERT_OK(px_addr_from_ip(text, port, &addr));
    return addr;
}

static struct px_cluster_spec cluster_spec(const char *name) {
    return (struct px_cluster_spec){
        .name = name, .connect_timeout_ms = 5000, .dns_refresh_ms = 5000, .max_connections = 1024, .choice_count = 2, .buffer_limit_bytes = 1 << 20};
}

static struct px_listener_spec tcp_listener(const char *name) {
    return (struct px_listener_spec){
        .name = name, .reuse_port = true, .bind_to_port = true, .filter = PX_FILTER_TCP_PROXY, .tcp_stat_prefix = "t", .max_connect_attempts = 1};
}

// One TCP listener with everything on it.
static px_plan *full_plan(void) {
    px_plan *plan = px_plan_create();
    struct px_cluster_spec cluster = cluster_spec("up");
    ASSERT_EQ(px_plan_add_cluster(plan, &cluster), 0);
    ASSERT_EQ(px_plan_add_endpoint(plan, 0, &(struct px_endpoint_spec){.host = "127.0.0.1", .port = 1, .weight = 1, .hostname = "h"}), 0);
    struct px_listener_spec listener = tcp_listener("in");
    ASSERT_EQ(px_plan_add_listener(plan, &listener), 0);
    ASSERT_EQ(px_plan_add_address(plan, 0, &(struct px_addr[]){ip("127.0.0.1", 21600)}[0], 0), 0);
    ASSERT_OK(px_plan_add_target(plan, 0, 0, 3));
    ASSERT_OK(px_plan_add_target(plan, 0, -1, 1));
    struct px_log_op ops[2] = {{.kind = PX_LOG_DURATION}, {.kind = PX_LOG_LITERAL, .text = "\n"}};
    ASSERT_EQ(px_plan_add_access_log(plan, "/tmp/px-never-opened.log", ops, 2), 0);
    ASSERT_OK(px_plan_attach_access_log(plan, 0, 0));
    return plan;
}

TEST(plan_copies_everything_deeply) {
    px_plan *plan = px_plan_create();
    char name[] = "up", host[] = "127.0.0.1", path[] = "/tmp/a.log", text[] = "hello\n";
    uint8_t response[] = "response", bytes[] = {1, 2, 3};
    struct px_cluster_spec cluster = cluster_spec(name);
    ASSERT_EQ(px_plan_add_cluster(plan, &cluster), 0);
    ASSERT_EQ(px_plan_add_endpoint(plan, 0, &(struct px_endpoint_spec){.host = host, .port = 1, .weight = 1, .hostname = name}), 0);
    struct px_listener_spec listener = {
        .name = name, .stat_prefix = name, .filter = PX_FILTER_DIRECT_RESPONSE, .response = response, .response_length = sizeof response};
    ASSERT_EQ(px_plan_add_listener(plan, &listener), 0);
    ASSERT_EQ(px_plan_add_address(plan, 0, &(struct px_addr[]){ip("127.0.0.1", 1)}[0], 0), 0);
    struct px_socket_option option = {.level = 1, .name = 2, .bytes = bytes, .length = sizeof bytes};
    ASSERT_OK(px_plan_add_socket_option(plan, 0, -1, &option));
    ASSERT_EQ(px_plan_add_access_log(plan, path, &(struct px_log_op){.kind = PX_LOG_LITERAL, .text = text}, 1), 0);
    memset(name, 'x', 2), memset(host, 'x', 9), memset(path, 'x', 10), memset(text, 'x', 6), memset(response, 'x', 8), memset(bytes, 9, 3);
    ASSERT_STR(plan->clusters[0]->name, "up");
    ASSERT_STR(plan->clusters[0]->endpoints[0].host, "127.0.0.1");
    ASSERT_STR(plan->clusters[0]->endpoints[0].hostname, "up");
    ASSERT_STR(plan->listeners[0]->listener.name, "up");
    ASSERT_MEM(plan->listeners[0]->filter.response, "response", sizeof response);
    ASSERT_MEM(plan->listeners[0]->listener.addresses[0].options[0].bytes, ((uint8_t[]){1, 2, 3}), 3);
    ASSERT_STR(plan->log_files[0]->path, "/tmp/a.log");
    ASSERT_STR(plan->access_logs[0]->ops[0].text, "hello\n");
    px_plan_destroy(plan);
    px_plan_destroy(NULL);
}

TEST(plan_refuses_what_does_not_fit) {
    px_plan *plan = full_plan();
    struct px_cluster_spec cluster = cluster_spec("up");
    struct px_listener_spec listener = tcp_listener("in"), echo = {.name = "echo", .filter = PX_FILTER_ECHO};
    struct px_addr addr = ip("127.0.0.1", 1), none = {0};
    struct px_socket_option option = {.is_int = true}, missing = {.length = 4};
    ASSERT_EQ(px_plan_add_cluster(plan, &cluster), -EEXIST);
    ASSERT_EQ(px_plan_add_listener(plan, &listener), -EEXIST);
    ASSERT_EQ(px_plan_add_listener(plan, &echo), 1);
    ASSERT_EQ(px_plan_add_endpoint(plan, 0, &(struct px_endpoint_spec){.host = "localhost", .port = 1, .weight = 1}), -EINVAL);
    ASSERT_EQ(px_plan_add_endpoint(plan, 7, &(struct px_endpoint_spec){.host = "::1", .port = 1, .weight = 1}), -EINVAL);
    ASSERT_EQ(px_plan_add_endpoint(plan, 0, &(struct px_endpoint_spec){.host = "::1", .port = 1, .weight = 0}), -EINVAL);
    ASSERT_EQ(px_plan_add_address(plan, 7, &addr, 0), -EINVAL);
    ASSERT_EQ(px_plan_add_address(plan, 0, &none, 0), -EINVAL);
    ASSERT_EQ(px_plan_add_target(plan, 0, 7, 1), -EINVAL);
    ASSERT_EQ(px_plan_add_target(plan, 0, 0, 0), -EINVAL);
    ASSERT_EQ(px_plan_add_target(plan, 1, 0, 1), -EINVAL);
    ASSERT_EQ(px_plan_attach_access_log(plan, 0, 7), -EINVAL);
    ASSERT_EQ(px_plan_add_socket_option(plan, 0, 7, &option), -EINVAL);
    ASSERT_EQ(px_plan_add_socket_option(plan, 0, -1, &missing), -EINVAL);
    ASSERT_EQ(plan->listeners[0]->filter.target_weight, 4);
    ASSERT_TRUE(plan->listeners[0]->filter.targets[1].cluster == NULL);
    px_plan_destroy(plan);
}

TEST(plan_options_of_the_listener_come_before_those_of_an_address) {
    px_plan *plan = full_plan();
    struct px_addr second = ip("127.0.0.1", 21601);
    struct px_socket_option option = {.level = 1, .is_int = true};
    static const int32_t steps[][2] = {{-1, 1}, {0, 10}, {-1, 2}, {0, 11}};  // address, option name
    for (int i = 0; i < 4; i++) {
        option.name = steps[i][1];
        ASSERT_OK(px_plan_add_socket_option(plan, 0, steps[i][0], &option));
    }
    ASSERT_EQ(px_plan_add_address(plan, 0, &second, 0), 1);
    option.name = 3;
    ASSERT_OK(px_plan_add_socket_option(plan, 0, -1, &option));
    static const int32_t expected[2][5] = {{1, 2, 3, 10, 11}, {1, 2, 3, 0, 0}};
    const struct px_listener_config *listener = &plan->listeners[0]->listener;
    for (int a = 0; a < 2; a++) {
        ASSERT_EQ(listener->addresses[a].option_count, a == 0 ? 5 : 3);
        for (uint32_t i = 0; i < listener->addresses[a].option_count; i++) ASSERT_EQ(listener->addresses[a].options[i].name, expected[a][i]);
    }
    px_plan_destroy(plan);
}

TEST(plan_opens_each_log_path_once) {
    px_plan *plan = px_plan_create();
    struct px_log_op op = {.kind = PX_LOG_DASH};
    ASSERT_EQ(px_plan_add_access_log(plan, "/tmp/a", &op, 1), 0);
    ASSERT_EQ(px_plan_add_access_log(plan, "/tmp/b", &op, 1), 1);
    ASSERT_EQ(px_plan_add_access_log(plan, "/tmp/a", &op, 1), 2);
    ASSERT_EQ(plan->log_file_count, 2);
    ASSERT_TRUE(plan->access_logs[0]->file == plan->access_logs[2]->file);
    px_plan_destroy(plan);
}

// ---- statistics -----------------------------------------------------------------------------------------------------------------

static struct {
    char name[128];
    enum px_stat_kind kind;
    enum px_stat_import import;
    uint64_t value;
} seen[512];
static int seen_count;

static void see(const struct px_stat *stat, void *context) {
    snprintf(seen[seen_count].name, sizeof seen[0].name, "%s", stat->name);
    seen[seen_count].kind = stat->kind;
    seen[seen_count].import = stat->import;
    seen[seen_count++].value = stat->kind == PX_STAT_GAUGE ? (uint64_t)stat->gauge : stat->kind == PX_STAT_COUNTER ? stat->counter : stat->histogram_count;
}

static int find(const char *name) {
    for (int i = 0; i < seen_count; i++)
        if (strcmp(seen[i].name, name) == 0) return i;
    FAIL("no statistic %s", name);
}

static px_stats_block *register_and_bind(px_plan *plan, uint32_t workers) {
    px_stats_builder *builder = px_stats_builder_create();
    struct px_detail detail;
    ASSERT_OK(px_plan_register_stats(plan, builder, workers));
    px_stats_block *block = px_stats_block_create(builder, workers + 1, 0, &detail);
    ASSERT_TRUE(block != NULL);
    px_stats_builder_destroy(builder);
    ASSERT_OK(px_plan_bind_stats(plan, block));
    return block;
}

static void collect(px_stats_block *block) {
    px_stats_reader *reader = px_stats_reader_create(block);
    seen_count = 0;
    px_stats_reader_collect(reader, see, NULL);
    px_stats_reader_destroy(reader);
}

TEST(plan_statistics_have_envoys_names_kinds_and_import_modes) {
    static const struct { const char *name; enum px_stat_kind kind; enum px_stat_import import; } expected[] = {
        {"listener.127.0.0.1_21600.downstream_cx_total", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE},
        {"listener.127.0.0.1_21600.downstream_cx_active", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE},
        {"listener.127.0.0.1_21600.downstream_cx_length_ms", PX_STAT_HISTOGRAM, PX_IMPORT_ACCUMULATE},
        {"listener.127.0.0.1_21600.downstream_global_cx_overflow", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE},
        {"listener.127.0.0.1_21600.worker_0.downstream_cx_total", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE},
        {"listener.127.0.0.1_21600.worker_1.downstream_cx_active", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE},
        {"listener_manager.total_listeners_active", PX_STAT_GAUGE, PX_IMPORT_NEVER},
        {"listener_manager.listener_create_success", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE},
        {"cluster_manager.active_clusters", PX_STAT_GAUGE, PX_IMPORT_NEVER},
        {"tcp.t.downstream_cx_rx_bytes_total", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE},
        {"tcp.t.downstream_cx_tx_bytes_buffered", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE},
        {"cluster.up.upstream_cx_total", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE},
        {"cluster.up.membership_total", PX_STAT_GAUGE, PX_IMPORT_NEVER},
        {"cluster.up.max_host_weight", PX_STAT_GAUGE, PX_IMPORT_NEVER},
        {"cluster.up.circuit_breakers.default.cx_open", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE},
        {"cluster.up.upstream_cx_connect_ms", PX_STAT_HISTOGRAM, PX_IMPORT_ACCUMULATE},
        {"filesystem.write_completed", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE},
        {"filesystem.write_total_buffered", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE},
    };
    px_plan *plan = full_plan();
    px_stats_block *block = register_and_bind(plan, 2);
    collect(block);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int at = find(expected[i].name);
        ASSERT_EQ(seen[at].kind, expected[i].kind);
        ASSERT_EQ(seen[at].import, expected[i].import);
    }
    px_stats_block_destroy(block);
    px_plan_destroy(plan);
}

TEST(plan_statistics_count_where_they_are_named) {
    px_plan *plan = full_plan();
    px_stats_block *block = register_and_bind(plan, 2);
    px_cell *worker = px__stats_shard(block, 1);
    px__cell_add(worker, plan->listeners[0]->listener.stats.downstream_cx_total, 5);
    px__cell_add(worker, plan->listeners[0]->listener.worker_stats[1].downstream_cx_total, 6);
    px__cell_record(worker, plan->clusters[0]->stats.upstream_cx_length_ms, 100);
    px__cell_add(worker, plan->filesystem.write_failed, 7);
    collect(block);
    ASSERT_EQ(seen[find("listener.127.0.0.1_21600.downstream_cx_total")].value, 5);
    ASSERT_EQ(seen[find("listener.127.0.0.1_21600.worker_1.downstream_cx_total")].value, 6);
    ASSERT_EQ(seen[find("listener.127.0.0.1_21600.worker_0.downstream_cx_total")].value, 0);
    ASSERT_EQ(seen[find("cluster.up.upstream_cx_length_ms")].value, 1);
    ASSERT_EQ(seen[find("filesystem.write_failed")].value, 7);
    px_stats_block_destroy(block);
    px_plan_destroy(plan);
}

TEST(plan_one_prefix_is_one_slot) {
    px_plan *plan = full_plan();
    struct px_listener_spec twin = tcp_listener("twin");
    twin.stat_prefix = "127.0.0.1:21600";
    ASSERT_EQ(px_plan_add_listener(plan, &twin), 1);
    struct px_cluster_spec cluster = cluster_spec("other");
    cluster.stat_name = "up";
    ASSERT_EQ(px_plan_add_cluster(plan, &cluster), 1);
    px_stats_block *block = register_and_bind(plan, 1);
    ASSERT_EQ(plan->listeners[0]->listener.stats.downstream_cx_total, plan->listeners[1]->listener.stats.downstream_cx_total);
    ASSERT_EQ(plan->listeners[0]->filter.stats.idle_timeout, plan->listeners[1]->filter.stats.idle_timeout);
    ASSERT_EQ(plan->clusters[0]->stats.upstream_cx_total, plan->clusters[1]->stats.upstream_cx_total);
    ASSERT_EQ(px_plan_bind_stats(plan, block), -EINVAL);  // once only
    px_stats_block_destroy(block);
    px_plan_destroy(plan);
}

TEST(plan_prefixes_of_pipes_and_ipv6) {
    px_plan *plan = px_plan_create();
    struct px_listener_spec listener = {.name = "a", .filter = PX_FILTER_ECHO};
    struct px_addr addr = ip("::1", 80);
    ASSERT_EQ(px_plan_add_listener(plan, &listener), 0);
    ASSERT_EQ(px_plan_add_address(plan, 0, &addr, 0), 0);
    listener.name = "b";
    ASSERT_OK(px_addr_from_path("/tmp/l.sock", &addr));
    ASSERT_EQ(px_plan_add_listener(plan, &listener), 1);
    ASSERT_EQ(px_plan_add_address(plan, 1, &addr, 0), 0);
    px_stats_block *block = register_and_bind(plan, 1);
    collect(block);
    find("listener.[__1]_80.downstream_cx_total");
    find("listener./tmp/l.sock.downstream_cx_total");
    px_stats_block_destroy(block);
    px_plan_destroy(plan);
}

TEST(plan_stats_must_be_registered_before_they_are_bound) {
    px_plan *plan = full_plan();
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_EQ(px_plan_register_stats(plan, builder, 0), -EINVAL);
    ASSERT_EQ(px_plan_bind_stats(plan, NULL), -EINVAL);
    px_stats_builder_destroy(builder);
    px_plan_destroy(plan);
}

// ---- px_plan_check ----------------------------------------------------------------------------------------------------------------

static int check_address(struct px_addr addr, const struct px_socket_option *option, struct px_detail *detail) {
    px_plan *plan = px_plan_create();
    struct px_listener_spec listener = {.name = "a", .bind_to_port = true, .filter = PX_FILTER_ECHO};
    ASSERT_EQ(px_plan_add_listener(plan, &listener), 0);
    ASSERT_EQ(px_plan_add_address(plan, 0, &addr, 0), 0);
    if (option != NULL) ASSERT_OK(px_plan_add_socket_option(plan, 0, 0, option));
    int result = px_plan_check(plan, detail);
    px_plan_destroy(plan);
    return result;
}

TEST(plan_check_knows_local_addresses) {
    struct px_detail detail = {0};
    ASSERT_EQ(check_address(ip("127.0.0.9", 21600), NULL, &detail), 0);
    ASSERT_EQ(check_address(ip("0.0.0.0", 21600), NULL, &detail), 0);
    ASSERT_EQ(check_address(ip("::", 21600), NULL, &detail), 0);
    ASSERT_EQ(check_address(ip("192.0.2.1", 21600), NULL, &detail), -EADDRNOTAVAIL);
    ASSERT_STR(detail.object, "192.0.2.1:21600");
    ASSERT_EQ(check_address(ip("2001:db8::1", 21600), NULL, &detail), -EADDRNOTAVAIL);
    struct px_socket_option freebind = {.level = IPPROTO_IP, .name = IP_FREEBIND, .is_int = true, .int_value = 1};
    ASSERT_EQ(check_address(ip("192.0.2.1", 21600), &freebind, &detail), 0);
}

TEST(plan_check_binds_and_creates_nothing) {
    char path[200];
    snprintf(path, sizeof path, "%s/l.sock", test_directory());
    struct px_addr addr;
    ASSERT_OK(px_addr_from_path(path, &addr));
    struct px_detail detail;
    ASSERT_EQ(check_address(addr, NULL, &detail), 0);
    ASSERT_EQ(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/none/l.sock", test_directory());
    ASSERT_OK(px_addr_from_path(path, &addr));
    ASSERT_EQ(check_address(addr, NULL, &detail), -ENOENT);
    ASSERT_CONTAINS(detail.text, "/none");
    snprintf(path, sizeof path, "%s/file", test_directory());
    close((int)ASSERT_CALL(open(path, O_CREAT | O_WRONLY, 0600)));
    ASSERT_OK(px_addr_from_path(path, &addr));
    ASSERT_EQ(check_address(addr, NULL, &detail), -EADDRINUSE);
}

static int check_log(const char *path, struct px_detail *detail) {
    px_plan *plan = px_plan_create();
    ASSERT_EQ(px_plan_add_access_log(plan, path, &(struct px_log_op){.kind = PX_LOG_DASH}, 1), 0);
    int result = px_plan_check(plan, detail);
    px_plan_destroy(plan);
    return result;
}

TEST(plan_check_knows_rights) {
    if (geteuid() != 0) SKIP("needs root, to give it up");
    const char *directory = test_directory();
    char mine[200], theirs[200];
    snprintf(mine, sizeof mine, "%s/mine", directory);
    snprintf(theirs, sizeof theirs, "%s/theirs", directory);
    ASSERT_CALL(chmod(directory, 0755));
    ASSERT_CALL(mkdir(mine, 0755));
    ASSERT_CALL(chown(mine, 65534, 65534));
    close((int)ASSERT_CALL(open(theirs, O_CREAT | O_WRONLY, 0600)));
    ASSERT_CALL(setresuid(65534, 65534, 65534));
    struct px_detail detail;
    ASSERT_EQ(check_log(directory, &detail), -EISDIR);
    ASSERT_EQ(check_log(theirs, &detail), -EACCES);
    char path[220];
    snprintf(path, sizeof path, "%s/new.log", directory);
    ASSERT_EQ(check_log(path, &detail), -EACCES);
    ASSERT_CONTAINS(detail.text, "uid 65534");
    snprintf(path, sizeof path, "%s/new.log", mine);
    ASSERT_EQ(check_log(path, &detail), 0);
    if (check_address(ip("127.0.0.1", 81), NULL, &detail) == 0) SKIP("low ports are free here (net.ipv4.ip_unprivileged_port_start)");
    ASSERT_CONTAINS(detail.text, "CAP_NET_BIND_SERVICE");
}
