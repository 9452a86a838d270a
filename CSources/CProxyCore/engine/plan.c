// The plan as it is filled: deep copies of what the driver lends, in arrays that grow, every index checked.
//
// Main thread only, before the engine exists. Clusters, listeners and access logs are allocated one by one, because the layers below
// keep pointers to them; nothing here is freed before px_plan_destroy.
#include "engine/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

px_plan *px_plan_create(void) { return calloc(1, sizeof(px_plan)); }

// Room for one more element behind `count`. The capacity is the next power of two, so it need not be kept. NULL: out of memory,
// the array is as it was.
static void *reserve_one(void *array, uint32_t count, size_t size) {
    if ((count & (count - 1)) != 0 || count > INT32_MAX / 2) return count > INT32_MAX / 2 ? NULL : array;
    return reallocarray(array, count == 0 ? 1 : 2 * (size_t)count, size);
}

static char *copy_text(const char *text) { return strdup(text != NULL ? text : ""); }

// ---- clusters ---------------------------------------------------------------------------------------------------------------

int px_plan_add_cluster(px_plan *plan, const struct px_cluster_spec *spec) {
    for (uint32_t i = 0; i < plan->cluster_count; i++)
        if (strcmp(plan->clusters[i]->name, spec->name) == 0) return -EEXIST;
    struct px_cluster **grown = reserve_one(plan->clusters, plan->cluster_count, sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    plan->clusters = grown;
    struct px_cluster *cluster = px_cluster_create(spec, plan->cluster_count);
    if (cluster == NULL) return -ENOMEM;
    plan->clusters[plan->cluster_count] = cluster;
    return (int)plan->cluster_count++;
}

int px_plan_add_endpoint(px_plan *plan, uint32_t cluster, const struct px_endpoint_spec *spec) {
    if (cluster >= plan->cluster_count) return -EINVAL;
    return px_cluster_add_endpoint(plan->clusters[cluster], spec);
}

// ---- access logs ------------------------------------------------------------------------------------------------------------

static struct px_log_file *log_file_for(px_plan *plan, const char *path) {
    for (uint32_t i = 0; i < plan->log_file_count; i++)
        if (strcmp(plan->log_files[i]->path, path) == 0) return plan->log_files[i];
    struct px_log_file **grown = reserve_one(plan->log_files, plan->log_file_count, sizeof *grown);
    if (grown == NULL) return NULL;
    plan->log_files = grown;
    struct px_log_file *file = px_log_file_create(path, &plan->filesystem);
    if (file != NULL) plan->log_files[plan->log_file_count++] = file;
    return file;
}

static void access_log_destroy(struct px_access_log *log) {
    if (log == NULL) return;
    for (uint32_t i = 0; i < log->op_count; i++) free((char *)log->ops[i].text);
    free(log->ops);
    free(log);
}

static struct px_access_log *access_log_create(struct px_log_file *file, const struct px_log_op *ops, size_t count) {
    struct px_access_log *log = calloc(1, sizeof *log);
    if (log == NULL) return NULL;
    log->file = file;
    log->ops = calloc(count + 1, sizeof *log->ops);
    if (log->ops == NULL) goto failed;
    for (size_t i = 0; i < count; i++) {
        log->ops[i] = ops[i];
        log->ops[i].text = copy_text(ops[i].text);
        log->op_count++;
        if (log->ops[i].text == NULL) goto failed;
    }
    return log;

failed:
    access_log_destroy(log);
    return NULL;
}

int px_plan_add_access_log(px_plan *plan, const char *path, const struct px_log_op *ops, size_t count) {
    if (path[0] == '\0' || count > UINT32_MAX / 2) return -EINVAL;
    struct px_access_log **grown = reserve_one(plan->access_logs, plan->access_log_count, sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    plan->access_logs = grown;
    struct px_log_file *file = log_file_for(plan, path);
    struct px_access_log *log = file != NULL ? access_log_create(file, ops, count) : NULL;
    if (log == NULL) return -ENOMEM;
    plan->access_logs[plan->access_log_count] = log;
    return (int)plan->access_log_count++;
}

// ---- listeners --------------------------------------------------------------------------------------------------------------

static void options_destroy(struct px_socket_option *options, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) free((uint8_t *)options[i].bytes);
    free(options);
}

static void listener_destroy(struct px_listener_plan *plan) {
    if (plan == NULL) return;
    struct px_listener_config *listener = &plan->listener;
    for (uint32_t i = 0; i < listener->address_count; i++)
        options_destroy(listener->addresses[i].options, listener->addresses[i].option_count);
    free(listener->addresses);
    free(listener->worker_stats);
    free(listener->stat_prefix);
    free(listener->name);
    options_destroy(plan->options, plan->option_count);
    free(plan->filter.targets);
    free(plan->filter.access_logs);
    free(plan->filter.response);
    free(plan->filter_chain_name);
    free(plan->tcp_stat_prefix);
    free(plan);
}

static struct px_listener_config listener_from_spec(const struct px_listener_spec *spec, uint32_t index) {
    return (struct px_listener_config){
        .index = index,
        .name = copy_text(spec->name),
        .stat_prefix = copy_text(spec->stat_prefix),
        .reuse_port = spec->reuse_port,
        .bind_to_port = spec->bind_to_port,
        .inbound = spec->inbound,
        .backlog = spec->backlog,
        .accept_batch = spec->accept_batch,
        .buffer_limit_bytes = spec->buffer_limit_bytes,
        .connection_limit = spec->connection_limit,
    };
}

static int filter_from_spec(struct px_listener_plan *plan, const struct px_listener_spec *spec) {
    struct px_filter_config *filter = &plan->filter;
    plan->filter_chain_name = copy_text(spec->filter_chain_name);
    plan->tcp_stat_prefix = copy_text(spec->tcp_stat_prefix);
    filter->kind = spec->filter;
    filter->filter_chain_name = plan->filter_chain_name;
    filter->stat_prefix = plan->tcp_stat_prefix;
    filter->idle_timeout_ms = spec->idle_timeout_ms;
    filter->max_duration_ms = spec->max_duration_ms;
    filter->max_connect_attempts = spec->max_connect_attempts > 0 ? spec->max_connect_attempts : 1;
    if (plan->filter_chain_name == NULL || plan->tcp_stat_prefix == NULL) return -ENOMEM;
    if (spec->response == NULL || spec->response_length == 0) return 0;
    filter->response = malloc(spec->response_length);
    if (filter->response == NULL) return -ENOMEM;
    memcpy(filter->response, spec->response, spec->response_length);
    filter->response_length = spec->response_length;
    return 0;
}

int px_plan_add_listener(px_plan *plan, const struct px_listener_spec *spec) {
    for (uint32_t i = 0; i < plan->listener_count; i++)
        if (strcmp(plan->listeners[i]->listener.name, spec->name) == 0) return -EEXIST;
    struct px_listener_plan **grown = reserve_one(plan->listeners, plan->listener_count, sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    plan->listeners = grown;
    struct px_listener_plan *added = calloc(1, sizeof *added);
    if (added == NULL) return -ENOMEM;
    added->listener = listener_from_spec(spec, plan->listener_count);
    if (filter_from_spec(added, spec) != 0 || added->listener.name == NULL || added->listener.stat_prefix == NULL) {
        listener_destroy(added);
        return -ENOMEM;
    }
    plan->listeners[plan->listener_count] = added;
    return (int)plan->listener_count++;
}

// ---- addresses and their socket options ---------------------------------------------------------------------------------------

// Insert a copy before position `at`.
static int option_insert(
    struct px_socket_option **options, uint32_t *count, uint32_t at, const struct px_socket_option *option) {
    struct px_socket_option *grown = reserve_one(*options, *count, sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    *options = grown;
    struct px_socket_option copy = *option;
    copy.bytes = NULL;
    if (!option->is_int) {
        uint8_t *bytes = calloc(1, option->length + 1);
        if (bytes == NULL) return -ENOMEM;
        if (option->length > 0) memcpy(bytes, option->bytes, option->length);
        copy.bytes = bytes;
    }
    memmove(grown + at + 1, grown + at, (*count - at) * sizeof *grown);
    grown[at] = copy;
    *count += 1;
    return 0;
}

// Envoy names an unnamed listener's statistics after its first address, as it names the listener itself in its output.
static int prefix_from_address(struct px_listener_config *listener, const struct px_addr *addr) {
    char text[PX_ADDR_TEXT];
    char *prefix = strdup(px_addr_format(addr, text, sizeof text));
    if (prefix == NULL) return -ENOMEM;
    free(listener->stat_prefix);
    listener->stat_prefix = prefix;
    return 0;
}

int px_plan_add_address(px_plan *plan, uint32_t listener, const struct px_addr *addr, uint32_t pipe_mode) {
    if (listener >= plan->listener_count || addr->length == 0 || addr->length > PX_ADDR_BYTES) return -EINVAL;
    struct px_listener_plan *owner = plan->listeners[listener];
    struct px_listener_config *config = &owner->listener;
    struct px_address_config *grown = reserve_one(config->addresses, config->address_count, sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    config->addresses = grown;
    struct px_address_config added = {.addr = *addr, .pipe_mode = pipe_mode};
    for (uint32_t i = 0; i < owner->option_count; i++) {
        if (option_insert(&added.options, &added.option_count, i, &owner->options[i]) == 0) continue;
        options_destroy(added.options, added.option_count);
        return -ENOMEM;
    }
    if (config->address_count == 0 && config->stat_prefix[0] == '\0' && prefix_from_address(config, addr) != 0) {
        options_destroy(added.options, added.option_count);
        return -ENOMEM;
    }
    config->addresses[config->address_count] = added;
    return (int)config->address_count++;
}

int px_plan_add_socket_option(px_plan *plan, uint32_t listener, int32_t address, const struct px_socket_option *option) {
    if (listener >= plan->listener_count || (!option->is_int && option->length > 0 && option->bytes == NULL)) return -EINVAL;
    struct px_listener_plan *owner = plan->listeners[listener];
    struct px_listener_config *config = &owner->listener;
    if (address >= 0) {
        if ((uint32_t)address >= config->address_count) return -EINVAL;
        struct px_address_config *one = &config->addresses[address];
        return option_insert(&one->options, &one->option_count, one->option_count, option);
    }
    // Behind the listener's other options, before the address' own, which so win where both set the same.
    for (uint32_t i = 0; i < config->address_count; i++) {
        struct px_address_config *one = &config->addresses[i];
        int result = option_insert(&one->options, &one->option_count, owner->option_count, option);
        if (result != 0) return result;
    }
    return option_insert(&owner->options, &owner->option_count, owner->option_count, option);
}

// ---- what a listener points to ------------------------------------------------------------------------------------------------

int px_plan_add_target(px_plan *plan, uint32_t listener, int32_t cluster, uint32_t weight) {
    if (listener >= plan->listener_count || weight == 0) return -EINVAL;
    struct px_filter_config *filter = &plan->listeners[listener]->filter;
    if (filter->kind != PX_FILTER_TCP_PROXY || (cluster >= 0 && (uint32_t)cluster >= plan->cluster_count)) return -EINVAL;
    struct px_target *grown = reserve_one(filter->targets, filter->target_count, sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    filter->targets = grown;
    grown[filter->target_count++] =
        (struct px_target){.cluster = cluster >= 0 ? plan->clusters[cluster] : NULL, .weight = weight};
    filter->target_weight += weight;
    return 0;
}

int px_plan_attach_access_log(px_plan *plan, uint32_t listener, uint32_t access_log) {
    if (listener >= plan->listener_count || access_log >= plan->access_log_count) return -EINVAL;
    struct px_filter_config *filter = &plan->listeners[listener]->filter;
    struct px_access_log **grown = reserve_one(filter->access_logs, filter->access_log_count, sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    filter->access_logs = grown;
    grown[filter->access_log_count++] = plan->access_logs[access_log];
    return 0;
}

void px_plan_set_global_connection_limit(px_plan *plan, uint64_t limit) { plan->global_connection_limit = limit; }

void px_plan_destroy(px_plan *plan) {
    if (plan == NULL) return;
    for (uint32_t i = 0; i < plan->listener_count; i++) listener_destroy(plan->listeners[i]);
    for (uint32_t i = 0; i < plan->cluster_count; i++) px_cluster_destroy(plan->clusters[i]);
    for (uint32_t i = 0; i < plan->access_log_count; i++) access_log_destroy(plan->access_logs[i]);
    for (uint32_t i = 0; i < plan->log_file_count; i++) px_log_file_destroy(plan->log_files[i]);
    free(plan->listeners);
    free(plan->clusters);
    free(plan->access_logs);
    free(plan->log_files);
    free(plan);
}
