// Names to hosts, off the data path: one thread goes round the DNS clusters and calls getaddrinfo() for one name after the other.
//
// getaddrinfo() cannot be interrupted and may take half a minute when no server answers, so px_resolver_stop does not wait for it: the
// thread works on memory of its own (copies of names, reference-counted `struct px_resolver`), and touches clusters, counters and
// callbacks only under `lock` and only while `stopped` is false. Stop sets `stopped` under the lock; a thread inside
// getaddrinfo() is then detached and frees its memory when the call returns; one that sleeps is woken and joined.
#include "engine/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log_ring.h"
#include "base/random.h"

// Addresses one name may have: what a name server says must not grow without bound.
enum { ADDRESSES_MAX = 256 };

// A name of a cluster, with the addresses it had last; a literal has its one from the start. Copies, because they are used while the
// cluster may be gone.
struct name {
    char *host;
    char *hostname;   // what /clusters shows: endpoint.hostname, else the name
    uint16_t port;
    uint32_t weight;
    bool healthy;
    bool literal;
    struct px_addr *addresses;
    uint32_t address_count;
    uint64_t due_ns;
    bool resolved_once;
    bool failing;                 // the last attempt failed, and that was logged
};

struct job {
    struct px_cluster *cluster;  // only under the lock, while not stopped
    enum px_cluster_type type;
    enum px_dns_family family;
    uint32_t refresh_ms;
    struct name *names;
    uint32_t name_count;
};

struct px_resolver {
    _Atomic uint32_t references;  // px_resolver_stop's and the thread's
    pthread_mutex_t lock;         // held for every touch of what is not the resolver's own
    pthread_cond_t wake;
    bool stopped;
    bool looking_up;              // the thread is inside getaddrinfo()
    struct px_resolver_options options;
    struct job *jobs;
    uint32_t job_count;
    uint32_t cold_names;          // that had no first result yet
    uint64_t random;
    pthread_t thread;
};

// ---- memory -----------------------------------------------------------------------------------------------------------------

static void resolver_release(struct px_resolver *resolver) {
    if (atomic_fetch_sub_explicit(&resolver->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < resolver->job_count; i++) {
        for (uint32_t k = 0; k < resolver->jobs[i].name_count; k++) {
            free(resolver->jobs[i].names[k].host);
            free(resolver->jobs[i].names[k].hostname);
            free(resolver->jobs[i].names[k].addresses);
        }
        free(resolver->jobs[i].names);
    }
    free(resolver->jobs);
    pthread_cond_destroy(&resolver->wake);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

static int name_set_addresses(struct name *name, const struct px_addr *addresses, uint32_t count) {
    struct px_addr *copy = calloc(count + 1, sizeof *copy);
    if (copy == NULL) return -ENOMEM;
    if (count > 0) memcpy(copy, addresses, count * sizeof *copy);
    free(name->addresses);
    name->addresses = copy;
    name->address_count = count;
    return 0;
}

static int name_init(struct name *name, const struct px_endpoint *endpoint) {
    const char *shown = endpoint->hostname[0] != '\0' || endpoint->literal ? endpoint->hostname : endpoint->host;
    *name = (struct name){
        .host = strdup(endpoint->host),
        .hostname = strdup(shown),
        .port = endpoint->port,
        .weight = endpoint->weight,
        .healthy = !endpoint->unhealthy,
        .literal = endpoint->literal,
    };
    if (name->host == NULL || name->hostname == NULL) return -ENOMEM;
    return name_set_addresses(name, &endpoint->addr, endpoint->literal ? 1 : 0);
}

static int job_init(struct job *job, struct px_cluster *cluster) {
    *job = (struct job){
        .cluster = cluster,
        .type = cluster->type,
        .family = cluster->dns_family,
        .refresh_ms = cluster->dns_refresh_ms > 0 ? cluster->dns_refresh_ms : 5000,
    };
    uint32_t count = cluster->type == PX_CLUSTER_LOGICAL_DNS ? 1 : cluster->endpoint_count;
    job->names = calloc(count, sizeof *job->names);
    if (job->names == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        job->name_count++;  // counted first: half a copy is freed with the rest
        int result = name_init(&job->names[i], &cluster->endpoints[i]);
        if (result != 0) return result;
    }
    return 0;
}

static int jobs_create(struct px_resolver *resolver) {
    const struct px_resolver_options *options = &resolver->options;
    resolver->jobs = calloc(options->cluster_count + 1, sizeof *resolver->jobs);
    if (resolver->jobs == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < options->cluster_count; i++) {
        if (!px_cluster_needs_resolver(options->clusters[i])) continue;
        struct job *job = &resolver->jobs[resolver->job_count++];
        int result = job_init(job, options->clusters[i]);
        if (result != 0) return result;
        for (uint32_t k = 0; k < job->name_count; k++) resolver->cold_names += !job->names[k].literal;
    }
    return 0;
}

// ---- one lookup, without the lock -----------------------------------------------------------------------------------------------

struct answer {
    uint32_t count;
    struct px_addr addresses[ADDRESSES_MAX];
};

// Adds the addresses of one family (AF_UNSPEC: both), in getaddrinfo's order (RFC 6724). Returns 0 or getaddrinfo's error.
static int lookup_family(const struct name *name, int family, struct answer *answer) {
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int result = getaddrinfo(name->host, NULL, &hints, &list);
    if (result != 0) return result;
    for (const struct addrinfo *at = list; at != NULL && answer->count < ADDRESSES_MAX; at = at->ai_next) {
        char host[NI_MAXHOST];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0) continue;
        if (px_addr_from_ip(host, name->port, &answer->addresses[answer->count]) == 0) answer->count++;
    }
    freeaddrinfo(list);
    return 0;
}

// "There is no such name" and "it has no such address" are answers, unlike "the server is silent".
static bool is_answer(int result) { return result == 0 || result == EAI_NONAME || result == EAI_NODATA; }

// As Envoy's dns_lookup_family: the preferred family, and the other one only where the first has nothing. 0, or the error.
static int lookup(const struct name *name, enum px_dns_family family, struct answer *answer) {
    static const int preferred[] = {
        [PX_DNS_AUTO] = AF_INET6,      [PX_DNS_V4_ONLY] = AF_INET, [PX_DNS_V6_ONLY] = AF_INET6,
        [PX_DNS_V4_PREFERRED] = AF_INET, [PX_DNS_ALL] = AF_UNSPEC,
    };
    int result = lookup_family(name, preferred[family], answer);
    bool other_too = family == PX_DNS_AUTO || family == PX_DNS_V4_PREFERRED;
    if (answer->count == 0 && other_too) {
        int other = lookup_family(name, preferred[family] == AF_INET6 ? AF_INET : AF_INET6, answer);
        if (is_answer(result)) result = other;
    }
    return answer->count > 0 || is_answer(result) ? 0 : result;
}

// Looks up and keeps the result. A failure keeps what was known; so does an empty answer to LOGICAL_DNS (as in Envoy), while
// STRICT_DNS takes it at its word.
static int name_refresh(const struct job *job, struct name *name, bool *empty) {
    struct answer answer;
    answer.count = 0;
    int result = lookup(name, job->family, &answer);
    *empty = result == 0 && answer.count == 0;
    if (result != 0) return result;
    if (job->type == PX_CLUSTER_LOGICAL_DNS) {
        if (answer.count == 0) return 0;
        answer.count = 1;
    }
    return name_set_addresses(name, answer.addresses, answer.count) == 0 ? 0 : EAI_MEMORY;
}

// ---- results, under the lock ------------------------------------------------------------------------------------------------------

static void count(const struct px_resolver *resolver, uint32_t cell) {
    if (resolver->options.shard != NULL) px__cell_add(resolver->options.shard, cell, 1);
}

// All hosts of the cluster as its names have them now. NULL: out of memory.
static struct px_host_set *job_host_set(const struct job *job, const struct px_host_set *old) {
    size_t total = 0;
    for (uint32_t i = 0; i < job->name_count; i++) total += job->names[i].address_count;
    struct px_host_spec *specs = calloc(total + 1, sizeof *specs);
    if (specs == NULL) return NULL;
    uint32_t filled = 0;
    for (uint32_t i = 0; i < job->name_count; i++) {
        const struct name *name = &job->names[i];
        for (uint32_t k = 0; k < name->address_count; k++)
            specs[filled++] = (struct px_host_spec){
                .addr = name->addresses[k], .weight = name->weight, .healthy = name->healthy, .hostname = name->hostname};
    }
    struct px_host_set *set = px_host_set_create(specs, filled, old);
    free(specs);
    return set;
}

static int job_publish(struct px_resolver *resolver, const struct job *job) {
    struct px_cluster *cluster = job->cluster;
    struct px_host_set *old = px_cluster_hosts(cluster);
    struct px_host_set *set = job_host_set(job, old);
    bool same = set != NULL && px_host_set_equal(old, set);
    px_host_set_release(old);
    if (set == NULL) return EAI_MEMORY;
    if (same) {
        count(resolver, cluster->stats.update_no_rebuild);
    } else {
        count(resolver, cluster->stats.membership_change);
        if (resolver->options.shard != NULL) px_cluster_count_members(cluster, set, resolver->options.shard);
        px_cluster_publish(cluster, px_host_set_acquire(set));
        resolver->options.publish(resolver->options.context, cluster, set);
    }
    px_host_set_release(set);
    return 0;
}

static void name_failed(struct px_resolver *resolver, const struct job *job, struct name *name, int failure) {
    count(resolver, job->cluster->stats.update_failure);
    if (!name->failing)
        px_log(PX_WARNING, "upstream", "cluster %s: %s could not be resolved (%s); the addresses known so far stay", job->cluster->name,
            name->host, gai_strerror(failure));
    name->failing = true;
}

static void name_done(struct px_resolver *resolver, const struct job *job, struct name *name, int failure, bool empty) {
    if (failure == 0) failure = job_publish(resolver, job);
    if (failure != 0) {
        name_failed(resolver, job, name, failure);
    } else {
        count(resolver, job->cluster->stats.update_success);
        if (empty) count(resolver, job->cluster->stats.update_empty);
        if (name->failing) px_log(PX_INFO, "upstream", "cluster %s: %s resolves again", job->cluster->name, name->host);
        name->failing = false;
    }
    if (name->resolved_once) return;
    name->resolved_once = true;
    if (--resolver->cold_names == 0) resolver->options.warm(resolver->options.context);
}

// Up to a tenth later than asked, so that names and processes do not go on asking in step.
static uint64_t next_due(struct px_resolver *resolver, const struct job *job) {
    uint64_t period = (uint64_t)job->refresh_ms * 1000000;
    return px_clock_monotonic_ns() + period + px_random_next(&resolver->random) % (period / 10 + 1);
}

// ---- the thread -----------------------------------------------------------------------------------------------------------------

// Under the lock, which is open during the lookup.
static void run_name(struct px_resolver *resolver, const struct job *job, struct name *name) {
    bool empty;
    count(resolver, job->cluster->stats.update_attempt);
    resolver->looking_up = true;
    pthread_mutex_unlock(&resolver->lock);
    int failure = name_refresh(job, name, &empty);
    pthread_mutex_lock(&resolver->lock);
    resolver->looking_up = false;
    if (resolver->stopped) return;
    name_done(resolver, job, name, failure, empty);
    name->due_ns = next_due(resolver, job);
}

// The name that is due first; there is at least one that is no literal.
static struct name *earliest(const struct px_resolver *resolver, const struct job **job) {
    struct name *first = NULL;
    for (uint32_t i = 0; i < resolver->job_count; i++) {
        for (uint32_t k = 0; k < resolver->jobs[i].name_count; k++) {
            struct name *name = &resolver->jobs[i].names[k];
            if (name->literal || (first != NULL && name->due_ns >= first->due_ns)) continue;
            first = name;
            *job = &resolver->jobs[i];
        }
    }
    return first;
}

static void wait_until(struct px_resolver *resolver, uint64_t due_ns) {
    struct timespec at = {.tv_sec = (time_t)(due_ns / 1000000000u), .tv_nsec = (long)(due_ns % 1000000000u)};
    pthread_cond_timedwait(&resolver->wake, &resolver->lock, &at);
}

static void *resolver_main(void *context) {
    struct px_resolver *resolver = context;
    pthread_setname_np(pthread_self(), "resolver");
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stopped) {
        const struct job *job = NULL;
        struct name *name = earliest(resolver, &job);
        if (name->due_ns > px_clock_monotonic_ns())
            wait_until(resolver, name->due_ns);
        else
            run_name(resolver, job, name);
    }
    pthread_mutex_unlock(&resolver->lock);
    resolver_release(resolver);
    return NULL;
}

static void init_locks(struct px_resolver *resolver) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int thread_start(struct px_resolver *resolver) {
    sigset_t all, old;
    sigfillset(&all);
    atomic_store(&resolver->references, 2);
    pthread_sigmask(SIG_SETMASK, &all, &old);  // signals are the main loop's; the thread inherits this mask
    int result = pthread_create(&resolver->thread, NULL, resolver_main, resolver);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (result != 0) atomic_store(&resolver->references, 1);
    return -result;
}

struct px_resolver *px_resolver_start(const struct px_resolver_options *options, struct px_detail *detail) {
    if (detail != NULL) *detail = (struct px_detail){0};
    struct px_resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        px_fail(detail, -ENOMEM, "calloc", "resolver", "out of memory");
        return NULL;
    }
    atomic_init(&resolver->references, 1);
    resolver->options = *options;
    resolver->random = px_clock_monotonic_ns();
    init_locks(resolver);
    int result = options->cluster_count > 0 ? jobs_create(resolver) : 0;
    if (result == 0 && resolver->job_count > 0) result = thread_start(resolver);
    if (result == 0 && resolver->job_count > 0) return resolver;
    if (result != 0) px_fail(detail, result, "pthread_create", "resolver", "no memory or too many threads (ulimit -u, TasksMax=)");
    resolver_release(resolver);
    return NULL;
}

void px_resolver_stop(struct px_resolver *resolver) {
    if (resolver == NULL) return;
    pthread_mutex_lock(&resolver->lock);
    resolver->stopped = true;
    bool looking_up = resolver->looking_up;
    pthread_t thread = resolver->thread;
    pthread_cond_signal(&resolver->wake);
    pthread_mutex_unlock(&resolver->lock);
    if (looking_up)
        pthread_detach(thread);
    else
        pthread_join(thread, NULL);
    resolver_release(resolver);
}
