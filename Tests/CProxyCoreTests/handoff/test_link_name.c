// The control name as a path: what a crash leaves behind is replaced, what somebody holds is not.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "include/px_handoff.h"
#include "test.h"

static char directory[64];
static char path[96];

static void make_path(void) {
    snprintf(directory, sizeof directory, "/tmp/px-link-XXXXXX");
    ASSERT_TRUE(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/name", directory);
}

static void remove_path(void) {
    char lock[112];
    snprintf(lock, sizeof lock, "%s.lock", path);
    unlink(path);
    unlink(lock);
    rmdir(directory);
}

TEST(link_name_left_by_a_crash_is_replaced) {
    struct px_detail detail;
    make_path();
    int first = px_link_bind(path, 0600, &detail);
    ASSERT_OK(first);
    close(first);
    int second = px_link_bind(path, 0600, &detail);
    ASSERT_OK(second);
    close(second);
    remove_path();
}

// A generation that drains still has the connections it accepted, and the kernel lists them under the path.
TEST(link_name_is_not_held_by_connections_it_accepted) {
    struct px_detail detail;
    make_path();
    int listener = px_link_bind(path, 0600, &detail);
    ASSERT_OK(listener);
    ASSERT_EQ(px_link_listen(listener), 0);
    int client = px_link_connect(path, &detail);
    ASSERT_OK(client);
    int accepted = px_link_accept(listener);
    ASSERT_OK(accepted);
    close(listener);
    int again = px_link_bind(path, 0600, &detail);
    ASSERT_OK(again);
    close(again);
    close(accepted);
    close(client);
    remove_path();
}

TEST(link_name_bound_but_not_listening_yet_is_held) {
    struct px_detail detail;
    make_path();
    int first = px_link_bind(path, 0600, &detail);
    ASSERT_OK(first);
    ASSERT_EQ(px_link_bind(path, 0600, &detail), -PX_E_NAME_IN_USE);
    close(first);
    remove_path();
}
