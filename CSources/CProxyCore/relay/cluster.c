// A cluster over all workers: its endpoints as configured, its newest host set, its circuit breaker.
//
// Configuration is immutable once the engine runs. `hosts` is replaced by the resolver's thread and read by the main thread, under
// `lock`; workers have their own pointers (balance.c). `connections` is one atomic, touched when a connection opens or
// ends.
#include "relay/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct px_cluster *px_cluster_create(const struct px_cluster_spec *spec, uint32_t index) {
    // Aligned, because `connections` has a cache line of its own.
    struct px_cluster *cluster = aligned_alloc(_Alignof(struct px_cluster), sizeof *cluster);
    if (cluster == NULL) return NULL;
    memset(cluster, 0, sizeof *cluster);
    pthread_mutex_init(&cluster->lock, NULL);
    cluster->index = index;
    cluster->name = strdup(spec->name);
    cluster->stat_name = strdup(spec->stat_name != NULL ? spec->stat_name : spec->name);
    cluster->type = spec->type;
    cluster->lb_policy = spec->lb_policy;
    cluster->dns_family = spec->dns_family;
    cluster->connect_timeout_ms = spec->connect_timeout_ms;
    cluster->dns_refresh_ms = spec->dns_refresh_ms;
    cluster->max_connections = spec->max_connections;
    cluster->choice_count = spec->choice_count < 2 ? 2 : spec->choice_count;
    cluster->buffer_limit_bytes = spec->buffer_limit_bytes;
    cluster->keepalive = (struct px_keepalive){
        .enabled = spec->keepalive,
        .probes = spec->keepalive_probes,
        .time_s = spec->keepalive_time_s,
        .interval_s = spec->keepalive_interval_s,
    };
    if (cluster->name != NULL && cluster->stat_name != NULL) return cluster;
    px_cluster_destroy(cluster);
    return NULL;
}

void px_cluster_destroy(struct px_cluster *cluster) {
    if (cluster == NULL) return;
    px_host_set_release(cluster->hosts);
    for (uint32_t i = 0; i < cluster->endpoint_count; i++) {
        free(cluster->endpoints[i].host);
        free(cluster->endpoints[i].hostname);
    }
    free(cluster->endpoints);
    free(cluster->stat_name);
    free(cluster->name);
    pthread_mutex_destroy(&cluster->lock);
    free(cluster);
}

// A path where there is no port, else an IP literal. False: a name, to be resolved.
static bool endpoint_parse(const struct px_endpoint_spec *spec, struct px_addr *addr) {
    if (spec->port == 0 && (spec->host[0] == '/' || spec->host[0] == '@'))
        return px_addr_from_path(spec->host, addr) == 0;
    return px_addr_from_ip(spec->host, spec->port, addr) == 0;
}

static int endpoints_reserve(struct px_cluster *cluster) {
    if (cluster->endpoint_count < cluster->endpoint_capacity) return 0;
    if (cluster->endpoint_count > INT32_MAX / 2) return -ENOMEM;
    uint32_t capacity = cluster->endpoint_capacity == 0 ? 4 : cluster->endpoint_capacity * 2;
    struct px_endpoint *grown = realloc(cluster->endpoints, capacity * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    cluster->endpoints = grown;
    cluster->endpoint_capacity = capacity;
    return 0;
}

int px_cluster_add_endpoint(struct px_cluster *cluster, const struct px_endpoint_spec *spec) {
    struct px_endpoint endpoint = {.port = spec->port, .weight = spec->weight, .unhealthy = spec->unhealthy};
    endpoint.literal = endpoint_parse(spec, &endpoint.addr);
    if (spec->weight == 0 || spec->host[0] == '\0') return -EINVAL;
    if (!endpoint.literal && cluster->type == PX_CLUSTER_STATIC) return -EINVAL;
    if (endpoints_reserve(cluster) != 0) return -ENOMEM;
    endpoint.host = strdup(spec->host);
    endpoint.hostname = strdup(spec->hostname != NULL ? spec->hostname : "");
    if (endpoint.host == NULL || endpoint.hostname == NULL) {
        free(endpoint.host);
        free(endpoint.hostname);
        return -ENOMEM;
    }
    cluster->endpoints[cluster->endpoint_count] = endpoint;
    return (int)cluster->endpoint_count++;
}

int px_cluster_load_static(struct px_cluster *cluster) {
    struct px_host_spec *specs = calloc(cluster->endpoint_count + 1, sizeof *specs);
    if (specs == NULL) return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->endpoint_count; i++) {
        const struct px_endpoint *endpoint = &cluster->endpoints[i];
        if (!endpoint->literal) continue;
        specs[count++] = (struct px_host_spec){
            .addr = endpoint->addr,
            .weight = endpoint->weight,
            .healthy = !endpoint->unhealthy,
            .hostname = endpoint->hostname,
        };
        if (cluster->type == PX_CLUSTER_LOGICAL_DNS) break;  // one name, one host
    }
    struct px_host_set *set = px_host_set_create(specs, count, NULL);
    free(specs);
    if (set == NULL) return -ENOMEM;
    px_cluster_publish(cluster, set);
    return 0;
}

bool px_cluster_needs_resolver(const struct px_cluster *cluster) {
    uint32_t count = cluster->type == PX_CLUSTER_LOGICAL_DNS && cluster->endpoint_count > 1 ? 1 : cluster->endpoint_count;
    for (uint32_t i = 0; i < count; i++)
        if (!cluster->endpoints[i].literal) return true;
    return false;
}

struct px_host_set *px_cluster_hosts(struct px_cluster *cluster) {
    pthread_mutex_lock(&cluster->lock);
    struct px_host_set *set = px_host_set_acquire(cluster->hosts);
    pthread_mutex_unlock(&cluster->lock);
    return set;
}

void px_cluster_publish(struct px_cluster *cluster, struct px_host_set *set) {
    pthread_mutex_lock(&cluster->lock);
    struct px_host_set *old = cluster->hosts;
    cluster->hosts = set;
    pthread_mutex_unlock(&cluster->lock);
    px_host_set_release(old);
}

static void cell_set(px_cell *shard, uint32_t cell, uint64_t value) {
    atomic_store_explicit(&shard[cell], value, memory_order_relaxed);
}

void px_cluster_count_members(const struct px_cluster *cluster, const struct px_host_set *set, px_cell *shard) {
    cell_set(shard, cluster->stats.membership_total, set->count);
    cell_set(shard, cluster->stats.membership_healthy, set->healthy_count);
    cell_set(shard, cluster->stats.max_host_weight, set->max_weight);
}

bool px_cluster_admit(struct px_cluster *cluster, px_cell *shard) {
    if (cluster->max_connections == UINT32_MAX) return true;
    // Compare and swap, not add and take back: the count never passes the limit, so each crossing of it has exactly one author.
    uint32_t count = atomic_load_explicit(&cluster->connections, memory_order_relaxed);
    do {
        if (count >= cluster->max_connections) {
            px__cell_add(shard, cluster->stats.upstream_cx_overflow, 1);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &cluster->connections, &count, count + 1, memory_order_relaxed, memory_order_relaxed));
    if (count + 1 == cluster->max_connections) px__cell_add(shard, cluster->stats.cx_open, 1);
    return true;
}

void px_cluster_leave(struct px_cluster *cluster, px_cell *shard) {
    if (cluster->max_connections == UINT32_MAX) return;
    uint32_t before = atomic_fetch_sub_explicit(&cluster->connections, 1, memory_order_relaxed);
    if (before == cluster->max_connections) px__cell_add(shard, cluster->stats.cx_open, (uint64_t)-1);
}
