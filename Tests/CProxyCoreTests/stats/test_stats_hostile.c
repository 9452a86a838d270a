// Blocks made to do harm: whatever bytes a relative puts into its block, a reader may show wrong numbers and nothing worse.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"
#include "stats/stats_layout.h"
#include "stats_rig.h"
#include "test.h"

struct image {
    uint8_t *bytes;
    size_t size;
};

static struct image take_image(const struct generation *of) {
    struct image image = {.size = px_stats_block_bytes(of->block)};
    image.bytes = malloc(image.size);
    ASSERT_TRUE(image.bytes != NULL);
    ASSERT_EQ(pread(px_stats_block_fd(of->block), image.bytes, image.size, 0), (ssize_t)image.size);
    return image;
}

static int sealed(const struct image *image, size_t size) {
    int fd = memfd_create("hostile", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_CALL(ftruncate(fd, (off_t)size));
    ASSERT_EQ(pwrite(fd, image->bytes, size < image->size ? size : image->size, 0), (ssize_t)(size < image->size ? size : image->size));
    ASSERT_CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | 0x10));
    return fd;
}

static void ignore(const struct px_stat *stat, void *context) {
    ASSERT_LE(strlen(stat->name), PX_STAT_NAME_MAX);
}

// All that can be done with a block. Returns whether it was accepted.
static bool use(int fd, size_t size) {
    struct px_detail detail;
    uint64_t id = 0;
    struct generation c = gen_start(1, NULL);
    px_stats_builder *builder = px_stats_builder_create();
    (void)!px_stats_builder_add_block(builder, fd, 10);
    px_stats_builder_destroy(builder);
    int result = px_stats_reader_attach_fd(c.reader, fd, &id, &detail);
    if (result != 0) close(fd);
    px_stats_reader_collect(c.reader, ignore, NULL);
    (void)gen_value(&c, "count");
    if (result == 0) (void)!px_stats_reader_fold(c.reader, id);
    px_stats_reader_collect(c.reader, ignore, NULL);
    (void)!px_stats_reader_reset(c.reader);
    gen_stop(&c);
    return result == 0;
}

static struct image make_image(void) {
    struct generation g = gen_start(0, "only.g"), older = gen_start(0, NULL), living = gen_start(0, NULL);
    px_stats_add(g.block, COUNT, 3);
    ASSERT_EQ(gen_attach(&g, &older), 0);
    ASSERT_EQ(px_stats_reader_fold(g.reader, older.id), 0);
    ASSERT_EQ(gen_attach(&g, &living), 0);
    struct image image = take_image(&g);
    gen_stop(&g);
    gen_stop(&older);
    gen_stop(&living);
    return image;
}

TEST(stats_image_that_is_whole_is_accepted) {
    struct image image = make_image();
    ASSERT_TRUE(use(sealed(&image, image.size), image.size));
    free(image.bytes);
}

TEST(stats_blocks_of_another_size_than_they_say_are_refused) {
    struct image image = make_image();
    size_t sizes[] = {1, 100, sizeof(struct px_stats_header) - 1, sizeof(struct px_stats_header), 4096, image.size - 64, image.size - 1, image.size + 1, image.size + 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) ASSERT_FALSE(use(sealed(&image, sizes[i]), sizes[i]));
    free(image.bytes);
}

// Every byte of the shape in turn, with every bit turned over, and extreme values in every field.
TEST_WITH_LIMIT(stats_headers_with_any_byte_changed_are_refused, 60) {
    struct image image = make_image();
    for (size_t at = 0; at < offsetof(struct px_stats_shape, id); at++) {
        image.bytes[at] ^= 0xff;
        ASSERT_FALSE(use(sealed(&image, image.size), image.size));
        image.bytes[at] ^= 0xff ^ 0x01;
        ASSERT_FALSE(use(sealed(&image, image.size), image.size));
        image.bytes[at] ^= 0x01;
    }
    for (size_t at = 0; at < offsetof(struct px_stats_shape, id); at += 4) {
        uint32_t kept, extreme[] = {0, UINT32_MAX, INT32_MAX, 0x80000000u};
        memcpy(&kept, image.bytes + at, 4);
        for (int i = 0; i < 4; i++) {
            if (extreme[i] == kept) continue;
            memcpy(image.bytes + at, &extreme[i], 4);
            ASSERT_FALSE(use(sealed(&image, image.size), image.size));
        }
        memcpy(image.bytes + at, &kept, 4);
    }
    free(image.bytes);
}

TEST_WITH_LIMIT(stats_directories_with_any_byte_changed_do_no_harm, 60) {
    struct image image = make_image();
    const struct px_stats_shape *shape = (const struct px_stats_shape *)image.bytes;
    for (size_t at = shape->directory_offset; at < shape->written_offset; at++) {
        for (int bit = 0; bit < 8; bit++) {
            image.bytes[at] ^= (uint8_t)(1 << bit);
            (void)use(sealed(&image, image.size), image.size);
            image.bytes[at] ^= (uint8_t)(1 << bit);
        }
    }
    free(image.bytes);
}

// Several bytes at once, anywhere before the cells: header, `known`, directory, names, ids of the base.
TEST_WITH_LIMIT(stats_blocks_with_random_bytes_do_no_harm, 60) {
    struct image image = make_image();
    const struct px_stats_shape shape = *(const struct px_stats_shape *)image.bytes;
    uint64_t seed = 20240607;
    uint8_t *pristine = malloc(image.size);
    memcpy(pristine, image.bytes, image.size);
    for (int i = 0; i < 4000; i++) {
        uint32_t from = i % 4 == 0 ? 0 : sizeof(struct px_stats_shape);
        uint32_t to = i % 2 == 0 ? (uint32_t)shape.written_offset : (uint32_t)shape.shards_offset;
        for (uint32_t k = 1 + px_random_below(&seed, 8); k > 0; k--) image.bytes[from + px_random_below(&seed, to - from)] = (uint8_t)px_random_next(&seed);
        (void)use(sealed(&image, image.size), image.size);
        memcpy(image.bytes, pristine, image.size);
    }
    free(pristine);
    free(image.bytes);
}

TEST(stats_ids_in_a_hostile_base_take_nothing_from_own_counts) {
    struct px_detail detail;
    struct generation p = gen_start(0, NULL), c = gen_start(1, NULL);
    struct image image = take_image(&p);
    const struct px_stats_shape *shape = (const struct px_stats_shape *)image.bytes;
    struct px_stats_base *base = (struct px_stats_base *)(image.bytes + shape->base_offset);
    base->folded_count = UINT64_MAX;
    base->folded[0] = c.id;
    base->cells[0] = 1000;
    gen_count(&c, 5);
    ASSERT_EQ(px_stats_reader_attach_fd(c.reader, sealed(&image, image.size), NULL, &detail), 0);
    ASSERT_EQ(gen_value(&c, "count"), 5);
    ASSERT_EQ(px_stats_reader_fold(c.reader, p.id), 0);
    ASSERT_EQ(gen_value(&c, "count"), 5);
    gen_stop(&p);
    gen_stop(&c);
    free(image.bytes);
}

// The owner changes everything while it is read.
TEST(stats_blocks_that_change_while_they_are_read_do_no_harm) {
    struct generation p = gen_start(0, "only.p"), c = gen_start(1, NULL);
    uint64_t seed = 7;
    struct px_stats_header *header = (struct px_stats_header *)((char *)px__stats_shard(p.block, 0) -
        (px_stats_block_bytes(p.block) - 2 * (size_t)((char *)px__stats_shard(p.block, 1) - (char *)px__stats_shard(p.block, 0))));
    ASSERT_TRUE(header->shape.id == p.id);
    size_t until = (size_t)((char *)px__stats_shard(p.block, 0) - (char *)header);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    px_stats_reader_destroy(p.reader);
    for (int i = 0; i < 300; i++) {
        for (size_t at = 0; at < until; at += 1 + px_random_below(&seed, 512)) ((uint8_t *)header)[at] = (uint8_t)px_random_next(&seed);
        px_stats_reader_collect(c.reader, ignore, NULL);
        (void)gen_value(&c, "count");
    }
    (void)!px_stats_reader_fold(c.reader, p.id);
    px_stats_reader_collect(c.reader, ignore, NULL);
    gen_stop(&c);
    px_stats_block_destroy(p.block);
}
