// A relative's stats block made of any bytes: attached beside an honest relative, read, folded, reset. Bytes beyond the input are
// zero up to the size the input's own header asks for, so that small inputs reach past the size check.
//
// What must hold of any block: no crash, no endless loop, names that end, histograms that agree with their buckets.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stats/stats_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_BYTES = 1 << 20, OWN = 5 };

static void require(bool condition) {
    if (!condition) abort();
}

static size_t size_asked_for(const uint8_t *data, size_t size) {
    uint64_t asked;
    if (size < offsetof(struct px_stats_shape, bytes) + sizeof asked) return size;
    memcpy(&asked, data + offsetof(struct px_stats_shape, bytes), sizeof asked);
    return asked > size && asked <= SIZE_MAX_BYTES ? (size_t)asked : size;
}

static int make_descriptor(const uint8_t *data, size_t size) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    require(fd >= 0);
    require(write(fd, data, size) == (ssize_t)size);
    require(ftruncate(fd, (off_t)size_asked_for(data, size)) == 0);
    require(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) == 0);
    return fd;
}

static px_stats_block *make_block(uint64_t epoch, int names_of) {
    struct px_detail detail;
    px_stats_builder *builder = px_stats_builder_create();
    require(builder != NULL);
    require(px_stats_builder_add(builder, "count", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE) == 0);
    require(px_stats_builder_add(builder, "active", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE) == 1);
    require(px_stats_builder_add(builder, "length_ms", PX_STAT_HISTOGRAM, PX_IMPORT_ACCUMULATE) == 2);
    if (names_of >= 0) (void)!px_stats_builder_add_block(builder, names_of, 100);
    px_stats_block *block = px_stats_block_create(builder, 2, epoch, &detail);
    require(block != NULL);
    px_stats_builder_destroy(builder);
    return block;
}

static void check_one(const struct px_stat *stat, void *context) {
    uint64_t sum = 0;
    require(strlen(stat->name) >= 1 && strlen(stat->name) <= PX_STAT_NAME_MAX);
    require(stat->kind <= PX_STAT_HISTOGRAM && stat->import <= PX_IMPORT_NEVER);
    require((stat->buckets != NULL) == (stat->kind == PX_STAT_HISTOGRAM));
    for (uint32_t i = 0; stat->buckets && i < PX_HISTOGRAM_BUCKETS; i++) sum += stat->buckets[i];
    require(sum == stat->histogram_count);
    (*(uint32_t *)context)++;
}

static void read_all(px_stats_reader *reader) {
    uint32_t shown = 0;
    px_stats_reader_collect(reader, check_one, &shown);
    require(shown >= 3);
    (void)px_stats_reader_value(reader, "count");
    (void)px_stats_reader_value(reader, "length_ms");
}

static void attach_all(px_stats_reader *reader, int hostile, px_stats_block *honest, bool hostile_first) {
    struct px_detail detail;
    for (int i = 0; i < 2; i++) {
        int fd = (i == 0) == hostile_first ? dup(hostile) : dup(px_stats_block_fd(honest));
        require(fd >= 0);
        if (px_stats_reader_attach_fd(reader, fd, NULL, &detail) != 0) close(fd);
        read_all(reader);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > SIZE_MAX_BYTES) return 0;
    int hostile = make_descriptor(data, size);
    px_stats_block *honest = make_block(1, -1), *own = make_block(2, hostile);
    px_stats_reader *reader = px_stats_reader_create(own);
    require(reader != NULL);
    px_stats_add(own, 0, OWN);
    require(px_stats_reader_value(reader, "count") == OWN);
    attach_all(reader, hostile, honest, data[size - 1] & 1);
    while (px_stats_reader_count(reader) > 0) {
        uint32_t count = px_stats_reader_count(reader);
        if (px_stats_reader_fold(reader, px_stats_reader_block_id(reader, data[size - 1] % count)) != 0) break;
        read_all(reader);
    }
    (void)!px_stats_reader_reset(reader);
    read_all(reader);
    px_stats_reader_destroy(reader);
    px_stats_block_destroy(own);
    px_stats_block_destroy(honest);
    close(hostile);
    return 0;
}
