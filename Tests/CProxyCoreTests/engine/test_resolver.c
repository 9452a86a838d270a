// The resolver, with a getaddrinfo() of the test's own (it takes the C library's place in this program) that answers from a table, and
// once with the real one.
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/resolver.h"
#include "test.h"

// ---- the name server --------------------------------------------------------------------------------------------------------------

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool in_charge;      // else the C library answers
    bool hold;           // lookups wait until it is false
    int waiting;         // lookups that wait
    int error;           // for every name
    const char *v4[8];   // addresses of every name, by family
    const char *v6[8];
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct addrinfo *one_address(const char *ip, struct addrinfo *next) {
    struct px_addr addr;
    ASSERT_OK(px_addr_from_ip(ip, 0, &addr));
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_storage));  // one block, as freeaddrinfo() frees it
    info->ai_family = px_addr_family(&addr);
    info->ai_socktype = SOCK_STREAM;
    info->ai_addr = (struct sockaddr *)(info + 1);
    info->ai_addrlen = addr.length;
    memcpy(info->ai_addr, addr.storage, addr.length);
    info->ai_next = next;
    return info;
}

static int answer(int family, struct addrinfo **list) {
    pthread_mutex_lock(&server.lock);
    server.waiting++;
    pthread_cond_broadcast(&server.changed);
    while (server.hold) pthread_cond_wait(&server.changed, &server.lock);
    server.waiting--;
    *list = NULL;
    int error = server.error;
    for (int i = 7; error == 0 && i >= 0; i--) {
        if (server.v4[i] != NULL && family != AF_INET6) *list = one_address(server.v4[i], *list);
        if (server.v6[i] != NULL && family != AF_INET) *list = one_address(server.v6[i], *list);
    }
    pthread_mutex_unlock(&server.lock);
    return error != 0 ? error : *list != NULL ? 0 : EAI_NONAME;
}

typedef int (*getaddrinfo_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list) {
    if (server.in_charge) return answer(hints->ai_family, list);
    getaddrinfo_fn real = (getaddrinfo_fn)dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, list);
}

static void set_answer(const char *first, const char *second, int error) {
    pthread_mutex_lock(&server.lock);
    server.v4[0] = first;
    server.v4[1] = second;
    server.error = error;
    pthread_mutex_unlock(&server.lock);
}

static void set_hold(bool hold) {
    pthread_mutex_lock(&server.lock);
    server.hold = hold;
    pthread_cond_broadcast(&server.changed);
    pthread_mutex_unlock(&server.lock);
}

// ---- the engine's side --------------------------------------------------------------------------------------------------------------

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int published, warm;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_publish(void *context, struct px_cluster *cluster, struct px_host_set *set) {
    ASSERT_TRUE(context == &events);
    ASSERT_TRUE(cluster != NULL && set != NULL);
    pthread_mutex_lock(&events.lock);
    events.published++;
    pthread_cond_broadcast(&events.changed);
    pthread_mutex_unlock(&events.lock);
}

static void on_warm(void *context) {
    ASSERT_TRUE(context == &events);
    pthread_mutex_lock(&events.lock);
    events.warm++;
    pthread_cond_broadcast(&events.changed);
    pthread_mutex_unlock(&events.lock);
}

static void wait_on(pthread_mutex_t *lock, pthread_cond_t *changed, const int *value, int at_least, const char *what) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 5;
    pthread_mutex_lock(lock);
    while (*value < at_least)
        if (pthread_cond_timedwait(changed, lock, &deadline) == ETIMEDOUT) FAIL("waited 5 s for %s (%d of %d)", what, *value, at_least);
    pthread_mutex_unlock(lock);
}

static void wait_published(int count) { wait_on(&events.lock, &events.changed, &events.published, count, "a host set"); }
static void wait_warm(void) { wait_on(&events.lock, &events.changed, &events.warm, 1, "the first resolution"); }

static px_cell cells[64];
static struct px_cluster *cluster;

static struct px_resolver *start(enum px_cluster_type type, enum px_dns_family family, uint32_t refresh_ms, const char *second_endpoint) {
    struct px_cluster_spec spec = {
        .name = "c", .type = type, .dns_family = family, .dns_refresh_ms = refresh_ms, .connect_timeout_ms = 1, .max_connections = UINT32_MAX};
    cluster = px_cluster_create(&spec, 0);
    for (uint32_t i = 0; i < sizeof cluster->stats / sizeof(uint32_t); i++) ((uint32_t *)&cluster->stats)[i] = i;
    struct px_endpoint_spec endpoint = {.host = "localhost", .port = 21500, .weight = 1};
    ASSERT_EQ(px_cluster_add_endpoint(cluster, &endpoint), 0);
    endpoint.host = second_endpoint;
    if (second_endpoint != NULL) ASSERT_EQ(px_cluster_add_endpoint(cluster, &endpoint), 1);
    ASSERT_OK(px_cluster_load_static(cluster));
    struct px_resolver_options options = {
        .clusters = &cluster, .cluster_count = 1, .shard = cells, .publish = on_publish, .warm = on_warm, .context = &events};
    struct px_detail detail;
    struct px_resolver *resolver = px_resolver_start(&options, &detail);
    ASSERT_TRUE(resolver != NULL);
    return resolver;
}

static void stop(struct px_resolver *resolver) {
    px_resolver_stop(resolver);
    px_cluster_destroy(cluster);
}

static void assert_hosts(const char *expected) {
    struct px_host_set *set = px_cluster_hosts(cluster);
    char text[400] = "", one[PX_ADDR_TEXT];
    for (uint32_t i = 0; i < set->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? " " : "", px_addr_format(&set->hosts[i]->addr, one, sizeof one));
    px_host_set_release(set);
    ASSERT_STR(text, expected);
}

static uint64_t cell(uint32_t index) { return atomic_load(&cells[index]); }

// A counter has no event to wait for.
static void wait_cell(uint32_t index, uint64_t at_least, const char *what) {
    uint64_t deadline = px_clock_monotonic_ns() + 5000000000u;
    while (cell(index) < at_least) {
        if (px_clock_monotonic_ns() > deadline) FAIL("waited 5 s for %s", what);
        usleep(1000);
    }
}

// ---- tests --------------------------------------------------------------------------------------------------------------------------

TEST(resolver_resolves_localhost_for_real) {
    struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, PX_DNS_V4_ONLY, 60000, NULL);
    wait_warm();
    assert_hosts("127.0.0.1:21500");
    ASSERT_STR(cluster->hosts->hosts[0]->hostname, "localhost");
    ASSERT_EQ(cell(cluster->stats.update_attempt), 1);
    ASSERT_EQ(cell(cluster->stats.update_success), 1);
    ASSERT_EQ(cell(cluster->stats.membership_total), 1);
    ASSERT_EQ(cell(cluster->stats.membership_healthy), 1);
    stop(resolver);
}

TEST(resolver_strict_takes_all_and_logical_the_first) {
    server.in_charge = true;
    set_answer("10.0.0.1", "10.0.0.2", 0);
    struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, PX_DNS_V4_ONLY, 60000, NULL);
    wait_warm();
    assert_hosts("10.0.0.1:21500 10.0.0.2:21500");
    stop(resolver);
    events.warm = 0;
    resolver = start(PX_CLUSTER_LOGICAL_DNS, PX_DNS_V4_ONLY, 60000, NULL);
    wait_warm();
    assert_hosts("10.0.0.1:21500");
    stop(resolver);
}

TEST(resolver_families_as_envoy) {
    static const struct { enum px_dns_family family; const char *both, *only_v4; } expected[] = {
        {PX_DNS_AUTO, "[fd00::1]:21500", "10.0.0.1:21500"},
        {PX_DNS_V4_ONLY, "10.0.0.1:21500", "10.0.0.1:21500"},
        {PX_DNS_V6_ONLY, "[fd00::1]:21500", ""},
        {PX_DNS_V4_PREFERRED, "10.0.0.1:21500", "10.0.0.1:21500"},
        {PX_DNS_ALL, "[fd00::1]:21500 10.0.0.1:21500", "10.0.0.1:21500"},
    };
    server.in_charge = true;
    set_answer("10.0.0.1", NULL, 0);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        for (int v6 = 0; v6 < 2; v6++) {
            server.v6[0] = v6 ? "fd00::1" : NULL;
            events.warm = 0;
            struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, expected[i].family, 60000, NULL);
            wait_warm();
            assert_hosts(v6 ? expected[i].both : expected[i].only_v4);
            stop(resolver);
        }
    }
}

TEST(resolver_failure_keeps_hosts_and_recovery_replaces_them) {
    server.in_charge = true;
    set_answer("10.0.0.1", NULL, 0);
    struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, PX_DNS_V4_ONLY, 20, NULL);
    wait_published(1);
    struct px_host_set *first = px_cluster_hosts(cluster);
    set_answer(NULL, NULL, EAI_AGAIN);
    wait_cell(cluster->stats.update_failure, 2, "two failures");
    assert_hosts("10.0.0.1:21500");
    set_answer("10.0.0.1", "10.0.0.2", 0);
    wait_published(2);
    assert_hosts("10.0.0.1:21500 10.0.0.2:21500");
    struct px_host_set *second = px_cluster_hosts(cluster);
    ASSERT_TRUE(first->hosts[0] == second->hosts[0]);  // its counters go on
    uint64_t unchanged = cell(cluster->stats.update_no_rebuild);
    wait_cell(cluster->stats.update_no_rebuild, unchanged + 1, "an answer that changes nothing");
    ASSERT_EQ(cell(cluster->stats.membership_change), 2);
    ASSERT_EQ(cell(cluster->stats.membership_total), 2);
    px_host_set_release(first);
    px_host_set_release(second);
    stop(resolver);
}

TEST(resolver_first_failure_is_warm_and_leaves_nobody) {
    server.in_charge = true;
    set_answer(NULL, NULL, EAI_FAIL);
    struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, PX_DNS_AUTO, 60000, NULL);
    wait_warm();
    assert_hosts("");
    ASSERT_EQ(cell(cluster->stats.update_failure), 1);
    ASSERT_EQ(cell(cluster->stats.update_success), 0);
    stop(resolver);
}

TEST(resolver_a_vanished_name_empties_strict_but_not_logical) {
    server.in_charge = true;
    for (int logical = 0; logical < 2; logical++) {
        set_answer("10.0.0.1", NULL, 0);
        events.published = 0;
        memset(cells, 0, sizeof cells);
        struct px_resolver *resolver = start(logical ? PX_CLUSTER_LOGICAL_DNS : PX_CLUSTER_STRICT_DNS, PX_DNS_V4_ONLY, 20, NULL);
        wait_published(1);
        set_answer(NULL, NULL, EAI_NONAME);
        wait_cell(cluster->stats.update_empty, 1, "an empty answer");
        if (!logical) wait_published(2);
        assert_hosts(logical ? "10.0.0.1:21500" : "");
        stop(resolver);
    }
}

TEST(resolver_literals_serve_before_the_first_answer) {
    server.in_charge = true;
    set_hold(true);
    set_answer("10.0.0.1", NULL, 0);
    struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, PX_DNS_V4_ONLY, 60000, "192.0.2.7");
    wait_on(&server.lock, &server.changed, &server.waiting, 1, "a lookup");
    assert_hosts("192.0.2.7:21500");
    set_hold(false);
    wait_warm();
    assert_hosts("10.0.0.1:21500 192.0.2.7:21500");
    stop(resolver);
}

TEST(resolver_is_not_started_for_literals_alone) {
    struct px_cluster_spec spec = {.name = "c", .type = PX_CLUSTER_STRICT_DNS, .dns_refresh_ms = 1000, .max_connections = 1};
    cluster = px_cluster_create(&spec, 0);
    ASSERT_EQ(px_cluster_add_endpoint(cluster, &(struct px_endpoint_spec){.host = "::1", .port = 1, .weight = 1}), 0);
    ASSERT_OK(px_cluster_load_static(cluster));
    assert_hosts("[::1]:1");
    struct px_resolver_options options = {.clusters = &cluster, .cluster_count = 1, .publish = on_publish, .warm = on_warm};
    struct px_detail detail = {.code = 1};
    ASSERT_TRUE(px_resolver_start(&options, &detail) == NULL);
    ASSERT_EQ(detail.code, 0);
    px_cluster_destroy(cluster);
}

TEST(resolver_stops_at_once_while_a_lookup_hangs) {
    server.in_charge = true;
    set_hold(true);
    set_answer("10.0.0.1", NULL, 0);
    struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, PX_DNS_V4_ONLY, 60000, NULL);
    wait_on(&server.lock, &server.changed, &server.waiting, 1, "a lookup");
    uint64_t before = px_clock_monotonic_ns();
    stop(resolver);  // destroys the cluster as well: the thread must not touch it any more
    ASSERT_LT((px_clock_monotonic_ns() - before) / 1000000, 1000);
    set_hold(false);
    struct timespec moment = {.tv_nsec = 50000000};
    nanosleep(&moment, NULL);  // for the sanitizers: let the abandoned thread end
    ASSERT_EQ(events.warm + events.published, 0);
}

TEST(resolver_stops_at_once_while_it_sleeps) {
    server.in_charge = true;
    set_answer("10.0.0.1", NULL, 0);
    struct px_resolver *resolver = start(PX_CLUSTER_STRICT_DNS, PX_DNS_V4_ONLY, 3600000, NULL);
    wait_warm();
    uint64_t before = px_clock_monotonic_ns();
    stop(resolver);
    ASSERT_LT((px_clock_monotonic_ns() - before) / 1000000, 1000);
}
