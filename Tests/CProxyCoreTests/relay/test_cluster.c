// Clusters, host sets and balancing: who is chosen how often, what is shared between sets, what the circuit breaker counts.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/balance.h"
#include "relay/filter_config.h"
#include "test.h"

static struct px_cluster *cluster_with(enum px_lb_policy policy, const uint32_t *weights, uint32_t count) {
    struct px_cluster_spec spec = {
        .name = "c", .lb_policy = policy, .connect_timeout_ms = 1000, .max_connections = UINT32_MAX, .choice_count = 2};
    struct px_cluster *cluster = px_cluster_create(&spec, 0);
    ASSERT_TRUE(cluster != NULL);
    for (uint32_t i = 0; i < count; i++) {
        struct px_endpoint_spec endpoint = {
            .host = "127.0.0.1", .port = (uint16_t)(21500 + i), .weight = weights[i] > 0 ? weights[i] : 1, .unhealthy = weights[i] == 0};
        ASSERT_EQ(px_cluster_add_endpoint(cluster, &endpoint), i);
    }
    ASSERT_OK(px_cluster_load_static(cluster));
    return cluster;
}

static uint32_t index_of(const struct px_host *host) { return px_addr_port(&host->addr) - 21500u; }

static void draw(struct px_balancer *balancer, uint32_t times, uint32_t *hits) {
    for (uint32_t i = 0; i < times; i++) {
        struct px_host *host = px_balancer_pick(balancer, NULL);
        ASSERT_TRUE(host != NULL);
        hits[index_of(host)]++;
        px_host_release(host);
    }
}

static void assert_between(uint32_t value, uint32_t low, uint32_t high) {
    ASSERT_GE(value, low);
    ASSERT_LE(value, high);
}

TEST(balance_round_robin_goes_round) {
    struct px_cluster *cluster = cluster_with(PX_LB_ROUND_ROBIN, (uint32_t[]){1, 1, 1}, 3);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, cluster, 7));
    uint32_t hits[3] = {0}, last = 3;
    for (int i = 0; i < 30; i++) {
        struct px_host *host = px_balancer_pick(&balancer, NULL);
        ASSERT_NE(index_of(host), last);
        last = index_of(host);
        hits[last]++;
        px_host_release(host);
    }
    for (int i = 0; i < 3; i++) ASSERT_EQ(hits[i], 10);
    px_balancer_deinit(&balancer);
    px_cluster_destroy(cluster);
}

TEST(balance_weights_are_exact_and_interleave) {
    struct px_cluster *cluster = cluster_with(PX_LB_ROUND_ROBIN, (uint32_t[]){4, 2, 1}, 3);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, cluster, 99));
    uint32_t hits[3] = {0}, row = 0, longest = 0;
    for (int i = 0; i < 7000; i++) {
        struct px_host *host = px_balancer_pick(&balancer, NULL);
        hits[index_of(host)]++;
        row = index_of(host) == 0 ? row + 1 : 0;
        if (row > longest) longest = row;
        px_host_release(host);
    }
    assert_between(hits[0], 3999, 4001);
    assert_between(hits[1], 1999, 2001);
    assert_between(hits[2], 999, 1001);
    ASSERT_LE(longest, 2);  // "AAAABBC" would be 4
    px_balancer_deinit(&balancer);
    px_cluster_destroy(cluster);
}

TEST(balance_never_chooses_an_unhealthy_host) {
    for (int policy = 0; policy < 3; policy++) {
        struct px_cluster *cluster = cluster_with((enum px_lb_policy)policy, (uint32_t[]){1, 0, 5, 0}, 4);
        ASSERT_EQ(cluster->hosts->count, 4);
        struct px_balancer balancer;
        ASSERT_OK(px_balancer_init(&balancer, cluster, 3));
        uint32_t hits[4] = {0};
        draw(&balancer, 1000, hits);
        ASSERT_EQ(hits[1] + hits[3], 0);
        ASSERT_GT(hits[0], 0);
        px_balancer_deinit(&balancer);
        px_cluster_destroy(cluster);
    }
}

TEST(balance_nobody_healthy_gives_nobody) {
    struct px_cluster *cluster = cluster_with(PX_LB_LEAST_REQUEST, (uint32_t[]){0, 0}, 2);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, cluster, 3));
    ASSERT_TRUE(px_balancer_pick(&balancer, NULL) == NULL);
    px_balancer_deinit(&balancer);
    px_cluster_destroy(cluster);
}

TEST(balance_random_is_even_and_knows_no_weights) {
    struct px_cluster *cluster = cluster_with(PX_LB_RANDOM, (uint32_t[]){1, 9, 1, 1}, 4);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, cluster, 12345));
    uint32_t hits[4] = {0};
    draw(&balancer, 40000, hits);
    for (int i = 0; i < 4; i++) assert_between(hits[i], 9500, 10500);  // 10,000 ± 5.8 standard deviations
    px_balancer_deinit(&balancer);
    px_cluster_destroy(cluster);
}

TEST(balance_least_request_evens_out_open_connections) {
    struct px_cluster *cluster = cluster_with(PX_LB_LEAST_REQUEST, (uint32_t[]){1, 1, 1, 1}, 4);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, cluster, 12345));
    atomic_store(&cluster->hosts->hosts[2]->cx_active, 1000);
    for (int i = 0; i < 900; i++) {
        struct px_host *host = px_balancer_pick(&balancer, NULL);
        px_host_started(host);
        px_host_release(host);
    }
    int64_t most = 0, least = INT64_MAX;
    for (int i = 0; i < 4; i++) {
        int64_t active = atomic_load(&cluster->hosts->hosts[i]->cx_active);
        if (i == 2) continue;
        if (active > most) most = active;
        if (active < least) least = active;
    }
    ASSERT_LE(most - least, 12);  // power of two choices: the gap stays small
    assert_between((uint32_t)atomic_load(&cluster->hosts->hosts[2]->cx_active), 1000, 1110);  // only drawn twice in a row
    px_balancer_deinit(&balancer);
    px_cluster_destroy(cluster);
}

TEST(balance_least_request_with_weights_follows_both) {
    struct px_cluster *cluster = cluster_with(PX_LB_LEAST_REQUEST, (uint32_t[]){3, 1}, 2);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, cluster, 1));
    uint32_t hits[2] = {0};
    draw(&balancer, 4000, hits);  // nothing stays open: plain weights
    assert_between(hits[0], 2990, 3010);
    atomic_store(&cluster->hosts->hosts[0]->cx_active, 5);  // 3 / 6 against 1
    memset(hits, 0, sizeof hits);
    draw(&balancer, 3000, hits);
    assert_between(hits[0], 980, 1020);
    px_balancer_deinit(&balancer);
    px_cluster_destroy(cluster);
}

TEST(balance_avoids_the_host_that_failed) {
    for (int policy = 0; policy < 3; policy++) {
        struct px_cluster *cluster = cluster_with((enum px_lb_policy)policy, (uint32_t[]){100, 1, 1}, 3);
        struct px_balancer balancer;
        ASSERT_OK(px_balancer_init(&balancer, cluster, 5));
        for (int i = 0; i < 500; i++) {
            struct px_host *first = px_balancer_pick(&balancer, NULL);
            struct px_host *second = px_balancer_pick(&balancer, first);
            ASSERT_TRUE(first != second);
            px_host_release(first);
            px_host_release(second);
        }
        px_balancer_deinit(&balancer);
        px_cluster_destroy(cluster);
    }
    struct px_cluster *alone = cluster_with(PX_LB_ROUND_ROBIN, (uint32_t[]){1}, 1);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, alone, 5));
    struct px_host *first = px_balancer_pick(&balancer, NULL), *second = px_balancer_pick(&balancer, first);
    ASSERT_TRUE(first == second);
    px_host_release(first);
    px_host_release(second);
    px_balancer_deinit(&balancer);
    px_cluster_destroy(alone);
}

TEST(host_sets_share_hosts_that_stay) {
    struct px_host_spec specs[3] = {
        {.weight = 1, .healthy = true, .hostname = "a"}, {.weight = 1, .healthy = true, .hostname = ""}, {.weight = 2, .healthy = true, .hostname = ""}};
    ASSERT_OK(px_addr_from_ip("127.0.0.1", 1, &specs[0].addr));
    ASSERT_OK(px_addr_from_ip("127.0.0.1", 2, &specs[1].addr));
    ASSERT_OK(px_addr_from_ip("127.0.0.1", 3, &specs[2].addr));
    struct px_host_set *first = px_host_set_create(specs, 2, NULL);
    px_host_started(first->hosts[1]);
    struct px_host_set *second = px_host_set_create(specs + 1, 2, first);
    ASSERT_TRUE(second->hosts[0] == first->hosts[1]);
    ASSERT_FALSE(px_host_set_equal(first, second));
    struct px_host *gone = px_host_acquire(first->hosts[0]);
    px_host_set_release(first);
    ASSERT_EQ(atomic_load(&second->hosts[0]->cx_total), 1);
    ASSERT_STR(gone->hostname, "a");  // a connection still holds it
    px_host_release(gone);
    struct px_host_spec twice[2] = {specs[0], specs[0]};
    struct px_host_set *third = px_host_set_create(twice, 2, NULL);
    ASSERT_EQ(third->count, 1);
    ASSERT_EQ(second->max_weight, 2);
    ASSERT_FALSE(second->equal_weights);
    struct px_host_spec swapped[2] = {specs[2], specs[1]};
    struct px_host_set *fourth = px_host_set_create(swapped, 2, second);
    ASSERT_TRUE(px_host_set_equal(second, fourth));
    px_host_set_release(second);
    px_host_set_release(third);
    px_host_set_release(fourth);
}

TEST(balancer_swaps_sets_while_a_connection_lives) {
    struct px_cluster *cluster = cluster_with(PX_LB_ROUND_ROBIN, (uint32_t[]){1, 2}, 2);
    struct px_balancer balancer;
    ASSERT_OK(px_balancer_init(&balancer, cluster, 1));
    struct px_host *held = px_balancer_pick(&balancer, NULL);
    struct px_host_set *empty = px_host_set_create(NULL, 0, NULL);
    px_cluster_publish(cluster, px_host_set_acquire(empty));
    ASSERT_OK(px_balancer_replace(&balancer, empty));
    px_host_set_release(empty);
    ASSERT_TRUE(px_balancer_pick(&balancer, NULL) == NULL);
    px_host_ended(held);
    px_host_release(held);
    px_balancer_deinit(&balancer);
    px_cluster_destroy(cluster);
}

TEST(cluster_refuses_names_where_literals_are_due) {
    struct px_cluster_spec spec = {.name = "c", .max_connections = 1};
    struct px_cluster *cluster = px_cluster_create(&spec, 0);
    struct px_endpoint_spec name = {.host = "localhost", .port = 80, .weight = 1}, pipe = {.host = "@abstract", .weight = 1};
    ASSERT_EQ(px_cluster_add_endpoint(cluster, &name), -EINVAL);
    ASSERT_EQ(px_cluster_add_endpoint(cluster, &pipe), 0);
    ASSERT_FALSE(px_cluster_needs_resolver(cluster));
    px_cluster_destroy(cluster);
}

// ---- circuit breaker ------------------------------------------------------------------------------------------------------------

enum { THREADS = 4, ROUNDS = 20000, LIMIT = 3 };
static struct px_cluster *shared_cluster;
static _Atomic int inside, most_inside;
static px_cell shards[THREADS][4];

static void *admit_and_leave(void *shard) {
    for (int i = 0; i < ROUNDS; i++) {
        if (!px_cluster_admit(shared_cluster, shard)) continue;
        int now = atomic_fetch_add(&inside, 1) + 1;
        int most = atomic_load(&most_inside);
        while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now)) {}
        atomic_fetch_sub(&inside, 1);
        px_cluster_leave(shared_cluster, shard);
    }
    return NULL;
}

static uint64_t sum_of(uint32_t cell) {
    uint64_t sum = 0;
    for (int i = 0; i < THREADS; i++) sum += shards[i][cell];
    return sum;
}

TEST(circuit_breaker_holds_over_all_workers) {
    shared_cluster = cluster_with(PX_LB_ROUND_ROBIN, (uint32_t[]){1}, 1);
    shared_cluster->max_connections = LIMIT;
    shared_cluster->stats.upstream_cx_overflow = 1;
    shared_cluster->stats.cx_open = 2;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, admit_and_leave, shards[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    ASSERT_LE(atomic_load(&most_inside), LIMIT);
    ASSERT_EQ(atomic_load(&shared_cluster->connections), 0);
    ASSERT_EQ(sum_of(2), 0);
    for (int i = 0; i < LIMIT; i++) ASSERT_TRUE(px_cluster_admit(shared_cluster, shards[i]));
    ASSERT_EQ(sum_of(2), 1);
    uint64_t overflow = sum_of(1);
    ASSERT_FALSE(px_cluster_admit(shared_cluster, shards[3]));
    ASSERT_EQ(sum_of(1), overflow + 1);
    px_cluster_leave(shared_cluster, shards[1]);
    ASSERT_EQ(sum_of(2), 0);
}

// ---- weighted clusters ------------------------------------------------------------------------------------------------------------

TEST(weighted_clusters_are_drawn_by_weight) {
    struct px_cluster a = {.index = 0}, b = {.index = 1};
    struct px_target targets[3] = {{&a, 60}, {&b, 30}, {NULL, 10}};
    struct px_filter_config config = {.targets = targets, .target_count = 3, .target_weight = 100};
    uint64_t random = 42;
    uint32_t hits[3] = {0};
    for (int i = 0; i < 100000; i++) {
        const struct px_cluster *picked = px_filter_pick_cluster(&config, &random);
        hits[picked == NULL ? 2 : picked->index]++;
    }
    assert_between(hits[0], 59200, 60800);
    assert_between(hits[1], 29200, 30800);
    assert_between(hits[2], 9400, 10600);
    config.target_count = 0;
    ASSERT_TRUE(px_filter_pick_cluster(&config, &random) == NULL);
}
