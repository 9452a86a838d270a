// Packets: what a writer writes a reader reads, and nothing malformed gets past px_packet_parse.
#include <string.h>

#include "handoff/wire.h"
#include "include/px_handoff.h"
#include "test.h"

static uint32_t write_sample(uint8_t *bytes, uint32_t capacity) {
    struct px_writer writer;
    px_writer_begin(&writer, bytes, capacity, 1, 7, 42);
    px_writer_put_u64(&writer, 1, 0x0102030405060708ull);
    px_writer_put_bytes(&writer, 2 | PX_TAG_REQUIRED, "abc", 3);
    px_writer_put_bytes(&writer, 3, NULL, 0);
    int length = px_writer_finish(&writer, 5);
    ASSERT_OK(length);
    return (uint32_t)length;
}

TEST(packet_comes_back_as_written) {
    uint8_t bytes[256];
    struct px_packet packet;
    struct px_field field;
    uint32_t cursor = 0;
    uint64_t value;
    uint32_t length = write_sample(bytes, sizeof bytes);
    ASSERT_OK(px_packet_parse(bytes, length, &packet));
    ASSERT_EQ(packet.version, 1);
    ASSERT_EQ(packet.type, 7);
    ASSERT_EQ(packet.sequence, 42);
    ASSERT_EQ(packet.descriptors, 5);
    ASSERT_TRUE(px_packet_next(&packet, &cursor, &field));
    ASSERT_TRUE(px_field_u64(&field, &value));
    ASSERT_TRUE(value == 0x0102030405060708ull);
    ASSERT_TRUE(px_packet_next(&packet, &cursor, &field));
    ASSERT_EQ(field.tag, 2 | PX_TAG_REQUIRED);
    ASSERT_EQ(field.length, 3);
    ASSERT_MEM(field.bytes, "abc", 3);
    ASSERT_FALSE(px_field_u64(&field, &value));
    ASSERT_TRUE(px_packet_next(&packet, &cursor, &field));
    ASSERT_EQ(field.length, 0);
    ASSERT_FALSE(px_packet_next(&packet, &cursor, &field));
}

// The bytes are the contract between versions of the program: they may not change by accident.
TEST(packet_bytes_are_these) {
    uint8_t bytes[64];
    struct px_writer writer;
    static const uint8_t expected[] = {'P', 'X', 'P', 'K', 1, 0, 7, 0, 42, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        2, 0x80, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0, 0};
    px_writer_begin(&writer, bytes, sizeof bytes, 1, 7, 42);
    px_writer_put_bytes(&writer, 2 | PX_TAG_REQUIRED, "abc", 3);
    ASSERT_EQ(px_writer_finish(&writer, 2), sizeof expected);
    ASSERT_MEM(bytes, expected, sizeof expected);
}

TEST(every_cut_of_a_packet_is_malformed) {
    uint8_t bytes[256];
    struct px_packet packet;
    uint32_t length = write_sample(bytes, sizeof bytes);
    for (uint32_t cut = 0; cut < length; cut++) {
        ASSERT_EQ(px_packet_parse(bytes, cut, &packet), -PX_E_MALFORMED);
        uint8_t fixed[256];
        memcpy(fixed, bytes, cut);
        if (cut < PX_WIRE_HEADER) continue;
        memcpy(fixed + offsetof(struct px_wire_header, length), &cut, sizeof cut);  // a header that tells the truth
        uint32_t whole[] = {PX_WIRE_HEADER, PX_WIRE_HEADER + 16, PX_WIRE_HEADER + 32};
        bool at_field = cut == whole[0] || cut == whole[1] || cut == whole[2];
        ASSERT_EQ(px_packet_parse(fixed, cut, &packet), at_field ? 0 : -PX_E_MALFORMED);
    }
}

TEST(lying_lengths_are_malformed) {
    uint8_t bytes[256];
    struct px_packet packet;
    uint32_t length = write_sample(bytes, sizeof bytes);
    uint32_t lies[] = {0xffffffff, 0xfffffff8, 0xfffffff0, 0x80000000, length, length - 24, 41};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(bytes + PX_WIRE_HEADER + 4, &lies[i], 4);
        ASSERT_EQ(px_packet_parse(bytes, length, &packet), -PX_E_MALFORMED);
    }
    length = write_sample(bytes, sizeof bytes);
    uint32_t many = PX_PACKET_FDS_MAX + 1;
    memcpy(bytes + offsetof(struct px_wire_header, descriptors), &many, 4);
    ASSERT_EQ(px_packet_parse(bytes, length, &packet), -PX_E_MALFORMED);
}

TEST(writer_that_is_full_says_so_once_at_the_end) {
    uint8_t bytes[64];
    struct px_writer writer;
    memset(bytes, 0xaa, sizeof bytes);
    px_writer_begin(&writer, bytes, 48, 1, 1, 1);
    px_writer_put_u64(&writer, 1, 1);
    px_writer_put_u64(&writer, 2, 2);
    px_writer_put_bytes(&writer, 3, NULL, 0);  // would fit; but something before it did not
    ASSERT_EQ(writer.length, 40);
    ASSERT_EQ(px_writer_finish(&writer, 0), -PX_E_NO_SPACE);
    for (int i = 40; i < 64; i++) ASSERT_EQ(bytes[i], 0xaa);
    px_writer_begin(&writer, bytes, 10, 1, 1, 1);
    ASSERT_EQ(px_writer_finish(&writer, 0), -PX_E_NO_SPACE);
}

TEST(writer_takes_no_more_than_a_packet) {
    static uint8_t bytes[PX_PACKET_MAX * 2], payload[PX_PACKET_MAX];
    struct px_writer writer;
    px_writer_begin(&writer, bytes, sizeof bytes, 1, 1, 1);
    px_writer_put_bytes(&writer, 1, payload, PX_PACKET_MAX - PX_WIRE_HEADER - PX_WIRE_FIELD);
    ASSERT_EQ(px_writer_finish(&writer, 0), PX_PACKET_MAX);
    px_writer_begin(&writer, bytes, sizeof bytes, 1, 1, 1);
    px_writer_put_bytes(&writer, 1, payload, 0xfffffff9u);
    ASSERT_EQ(px_writer_finish(&writer, 0), -PX_E_NO_SPACE);
}
