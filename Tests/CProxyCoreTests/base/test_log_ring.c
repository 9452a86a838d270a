#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log_ring.h"
#include "test.h"

static bool is_readable(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

TEST(log_records_come_out_in_order_and_the_descriptor_follows) {
    struct px_log_record record;
    int fd = px_log_fd();
    ASSERT_GE(fd, 0);
    ASSERT_FALSE(is_readable(fd));
    ASSERT_FALSE(px_log_take(&record));
    px_log(PX_WARNING, "config", "number %d", 1);
    px_log(PX_INFO, "main", "number %d", 2);
    ASSERT_TRUE(is_readable(fd));
    ASSERT_TRUE(px_log_take(&record));
    ASSERT_EQ(record.level, PX_WARNING);
    ASSERT_STR(record.component, "config");
    ASSERT_STR(record.text, "number 1");
    ASSERT_TRUE(is_readable(fd));
    ASSERT_TRUE(px_log_take(&record));
    ASSERT_STR(record.text, "number 2");
    ASSERT_FALSE(is_readable(fd));
    ASSERT_FALSE(px_log_take(&record));
}

TEST(log_levels_below_the_set_one_are_dropped) {
    struct px_log_record record;
    px_log(PX_DEBUG, "main", "not by default");
    ASSERT_FALSE(px_log_take(&record));
    px_log_set_level(PX_TRACE);
    px_log(PX_TRACE, "main", "now");
    ASSERT_TRUE(px_log_take(&record));
    px_log_set_level(PX_CRITICAL + 1);
    px_log(PX_CRITICAL, "main", "off");
    ASSERT_FALSE(px_log_take(&record));
}

TEST(log_texts_are_cut_and_terminated) {
    struct px_log_record record;
    char text[1000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    px_log(PX_ERROR, text, "%s", text);
    ASSERT_TRUE(px_log_take(&record));
    ASSERT_EQ(strlen(record.component), sizeof record.component - 1);
    ASSERT_EQ(strlen(record.text), sizeof record.text - 1);
}

TEST(a_full_log_ring_drops_and_counts) {
    struct px_log_record record;
    unsigned taken = 0;
    for (int i = 0; i < 1000; i++) px_log(PX_ERROR, "main", "%d", i);
    uint64_t lost = px_log_lost();
    ASSERT_EQ(px_log_lost(), 0);
    for (char text[16]; px_log_take(&record); taken++) {
        snprintf(text, sizeof text, "%u", taken);
        ASSERT_STR(record.text, text);
    }
    ASSERT_GT(taken, 0);
    ASSERT_EQ(taken + lost, 1000);
}

enum { WRITERS = 4, LINES = 2000 };

static void *write_lines(void *context) {
    for (int i = 0; i < LINES; i++) px_log(PX_ERROR, "main", "%d %d", (int)(intptr_t)context, i);
    return NULL;
}

TEST(log_records_of_many_threads_are_whole_and_all_accounted_for) {
    pthread_t threads[WRITERS];
    int last[WRITERS] = {-1, -1, -1, -1};
    for (intptr_t i = 0; i < WRITERS; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, write_lines, (void *)i), 0);
    uint64_t accounted = 0;
    struct px_log_record record;
    while (accounted < WRITERS * LINES) {
        accounted += px_log_lost();
        if (!px_log_take(&record)) continue;
        int writer, line;
        ASSERT_EQ(sscanf(record.text, "%d %d", &writer, &line), 2);
        ASSERT_GT(line, last[writer]);
        last[writer] = line;
        accounted++;
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    ASSERT_EQ(accounted, WRITERS * LINES);
    ASSERT_FALSE(is_readable(px_log_fd()));
}

// The first record came while no descriptor was to be had.
TEST(the_log_descriptor_is_readable_from_birth_if_there_are_records) {
    struct px_log_record record;
    struct rlimit before, none;
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &before));
    none = before;
    none.rlim_cur = 0;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &none));
    px_log(PX_ERROR, "main", "early");
    ASSERT_EQ(px_log_fd(), -1);
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &before));
    int fd = px_log_fd();
    ASSERT_GE(fd, 0);
    ASSERT_TRUE(is_readable(fd));
    ASSERT_TRUE(px_log_take(&record));
    ASSERT_FALSE(is_readable(fd));
}
