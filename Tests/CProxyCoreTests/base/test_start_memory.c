#include <stdio.h>

#include "include/px_base.h"
#include "test.h"

// Pages of files this process has mapped in. (PSS would also depend on how many other tests run at this moment.)
static long file_kib(void) {
    char line[128];
    long rss = -1, anonymous = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    ASSERT_TRUE(file != NULL);
    while (fgets(line, sizeof line, file)) {
        (void)sscanf(line, "Rss: %ld", &rss);
        (void)sscanf(line, "Anonymous: %ld", &anonymous);
    }
    fclose(file);
    ASSERT_GT(rss, 0);
    ASSERT_GE(anonymous, 0);
    return rss - anonymous;
}

// A table that the linker has to relocate: it lies in a segment that is read-only by now, but was written.
static const char *const relocated[] = {"one", "two", "three"};

TEST(pages_of_the_start_are_unmapped_and_come_back_when_needed) {
    struct px_addr addr;
    char text[PX_ADDR_TEXT];
    long before = file_kib();
    px_start_memory_release();
    ASSERT_LT(file_kib(), before);
    ASSERT_OK(px_addr_from_ip("::1", 80, &addr));
    ASSERT_STR(px_addr_format(&addr, text, sizeof text), "[::1]:80");
    const char *volatile const *table = relocated;
    ASSERT_STR(table[2], "three");
}
