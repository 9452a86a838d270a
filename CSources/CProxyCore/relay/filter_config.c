// Choice of a cluster among weighted_clusters. Pure; any thread, with its own random state.
#include "relay/filter_config.h"

struct px_cluster *px_filter_pick_cluster(const struct px_filter_config *config, uint64_t *random) {
    if (config->target_count == 0) return NULL;
    if (config->target_count == 1) return config->targets[0].cluster;
    uint64_t draw = px_random_next(random) % config->target_weight;
    uint32_t i = 0;
    while (draw >= config->targets[i].weight) draw -= config->targets[i++].weight;
    return config->targets[i].cluster;
}
