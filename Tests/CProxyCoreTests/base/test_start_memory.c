#include <stdio.h>
#include <string.h>

#include "include/px_base.h"
#include "test.h"

static long file_kib(void) {
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    ASSERT_TRUE(file != NULL);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "Pss_File:", 9) == 0) ASSERT_EQ(sscanf(line + 9, "%ld", &kib), 1);
    }
    fclose(file);
    return kib;
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
