// Load balancing of one worker over one cluster's healthy hosts.
//
// Equal weights: an index that goes round, the least busy of a few random hosts, or a random host. Unequal weights: a queue by earliest
// deadline, where each host comes back after 1/weight of virtual time, so that a heavy host's turns lie between the
// others' instead of in a row; under LEAST_REQUEST the weight shrinks with the host's open connections (as Envoy does, with
// its default bias of 1). RANDOM knows no weights, in Envoy neither.
#include "relay/balance.h"

#include <errno.h>
#include <stdlib.h>

#include "base/random.h"

struct px_deadline {
    double due;
    uint64_t order;  // among equal deadlines the longest waiting goes first
    struct px_host *host;
};

static bool goes_before(const struct px_deadline *a, const struct px_deadline *b) {
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void sift_down(struct px_deadline *queue, uint32_t count, uint32_t at) {
    struct px_deadline moving = queue[at];
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && goes_before(&queue[child + 1], &queue[child])) child++;
        if (!goes_before(&queue[child], &moving)) break;
        queue[at] = queue[child];
    }
    queue[at] = moving;
}

static double turn_length(const struct px_balancer *balancer, const struct px_host *host) {
    if (balancer->cluster->lb_policy != PX_LB_LEAST_REQUEST) return 1.0 / host->weight;
    int64_t active = atomic_load_explicit(&host->cx_active, memory_order_relaxed);
    return (double)(active > 0 ? active + 1 : 1) / host->weight;
}

static struct px_host *pick_by_deadline(struct px_balancer *balancer) {
    struct px_deadline *first = &balancer->queue[0];
    struct px_host *host = first->host;
    balancer->now = first->due;
    first->due = balancer->now + turn_length(balancer, host);
    first->order = balancer->order++;
    sift_down(first, balancer->set->healthy_count, 0);
    return host;
}

// NULL with `*needed` false: this set is chosen from without a queue.
static struct px_deadline *queue_create(const struct px_balancer *balancer, const struct px_host_set *set, bool *needed) {
    *needed = !set->equal_weights && balancer->cluster->lb_policy != PX_LB_RANDOM;
    if (!*needed) return NULL;
    struct px_deadline *queue = calloc(set->healthy_count, sizeof *queue);
    if (queue == NULL) return NULL;
    for (uint32_t i = 0; i < set->healthy_count; i++) {
        queue[i].host = set->healthy[i];
        queue[i].due = turn_length(balancer, set->healthy[i]);
        queue[i].order = i;
    }
    for (uint32_t i = set->healthy_count / 2; i-- > 0;) sift_down(queue, set->healthy_count, i);
    return queue;
}

int px_balancer_replace(struct px_balancer *balancer, struct px_host_set *set) {
    bool needed;
    struct px_deadline *queue = queue_create(balancer, set, &needed);
    if (needed && queue == NULL) return -ENOMEM;
    free(balancer->queue);
    px_host_set_release(balancer->set);
    balancer->set = px_host_set_acquire(set);
    balancer->queue = queue;
    balancer->now = 0;
    balancer->order = set->healthy_count;
    if (set->healthy_count == 0) return 0;
    // Each worker starts elsewhere, or all of them would meet at the same host.
    balancer->next = px_random_below(&balancer->random, set->healthy_count);
    for (uint32_t i = 0; queue != NULL && i < balancer->next; i++) (void)pick_by_deadline(balancer);
    return 0;
}

int px_balancer_init(struct px_balancer *balancer, struct px_cluster *cluster, uint64_t seed) {
    *balancer = (struct px_balancer){.cluster = cluster, .random = seed};
    struct px_host_set *set = px_cluster_hosts(cluster);
    int result = px_balancer_replace(balancer, set);
    px_host_set_release(set);
    return result;
}

void px_balancer_deinit(struct px_balancer *balancer) {
    free(balancer->queue);
    px_host_set_release(balancer->set);
    balancer->queue = NULL;
    balancer->set = NULL;
}

static struct px_host *pick_random(struct px_balancer *balancer) {
    return balancer->set->healthy[px_random_below(&balancer->random, balancer->set->healthy_count)];
}

static struct px_host *pick_least_busy(struct px_balancer *balancer) {
    struct px_host *best = pick_random(balancer);
    for (uint32_t i = 1; i < balancer->cluster->choice_count; i++) {
        struct px_host *other = pick_random(balancer);
        if (atomic_load_explicit(&other->cx_active, memory_order_relaxed) <
            atomic_load_explicit(&best->cx_active, memory_order_relaxed))
            best = other;
    }
    return best;
}

static struct px_host *pick_next(struct px_balancer *balancer) {
    if (balancer->next >= balancer->set->healthy_count) balancer->next = 0;
    return balancer->set->healthy[balancer->next++];
}

static struct px_host *pick_by_policy(struct px_balancer *balancer) {
    if (balancer->queue != NULL) return pick_by_deadline(balancer);
    switch (balancer->cluster->lb_policy) {
        case PX_LB_LEAST_REQUEST: return pick_least_busy(balancer);
        case PX_LB_RANDOM: return pick_random(balancer);
        case PX_LB_ROUND_ROBIN: break;
    }
    return pick_next(balancer);
}

// Any healthy host but `avoid`, of which there is at least one other.
static struct px_host *pick_other(struct px_balancer *balancer, const struct px_host *avoid) {
    const struct px_host_set *set = balancer->set;
    uint32_t at = px_random_below(&balancer->random, set->healthy_count);
    return set->healthy[at] != avoid ? set->healthy[at] : set->healthy[(at + 1) % set->healthy_count];
}

struct px_host *px_balancer_pick(struct px_balancer *balancer, const struct px_host *avoid) {
    if (balancer->set->healthy_count == 0) return NULL;
    struct px_host *host = pick_by_policy(balancer);
    if (host == avoid && balancer->set->healthy_count > 1) host = pick_other(balancer, avoid);
    return px_host_acquire(host);
}
