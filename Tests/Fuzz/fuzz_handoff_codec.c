// Fuzzes packets. Read: the input as a packet; whatever px_packet_parse lets through must have its fields inside the bytes, and
// must come out of a writer again as the same fields. Written: fields chosen by the input into a buffer of any size must be read
// as they were written, or the writer must say that they did not fit. Heap blocks of exactly the bytes there are.
#include <stdlib.h>
#include <string.h>

#include "handoff/wire.h"
#include "include/px_handoff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

static uint32_t write_again(const struct px_packet *packet, uint8_t *out, uint32_t capacity) {
    struct px_writer writer;
    struct px_field field;
    uint32_t cursor = 0;
    px_writer_begin(&writer, out, capacity, packet->version, packet->type, packet->sequence);
    while (px_packet_next(packet, &cursor, &field)) px_writer_put_bytes(&writer, field.tag, field.bytes, field.length);
    int length = px_writer_finish(&writer, packet->descriptors);
    require(length > 0);
    return (uint32_t)length;
}

static void require_same(const struct px_packet *a, const struct px_packet *b) {
    struct px_field x, y;
    uint32_t at_a = 0, at_b = 0;
    uint64_t value, other;
    require(a->version == b->version && a->type == b->type && a->sequence == b->sequence && a->descriptors == b->descriptors);
    while (px_packet_next(a, &at_a, &x)) {
        require(px_packet_next(b, &at_b, &y));
        require(x.tag == y.tag && x.length == y.length && memcmp(x.bytes, y.bytes, x.length) == 0);
        require(px_field_u64(&x, &value) == (x.length == 8));
        require(x.length != 8 || (px_field_u64(&y, &other) && value == other));
    }
    require(!px_packet_next(b, &at_b, &y));
}

static void require_inside(const struct px_packet *packet, const uint8_t *bytes, uint32_t length) {
    struct px_field field;
    uint32_t cursor = 0;
    require(packet->descriptors <= PX_PACKET_FDS_MAX);
    while (px_packet_next(packet, &cursor, &field)) {
        require(field.bytes >= bytes + PX_WIRE_HEADER && field.bytes <= bytes + length);
        require(field.length <= (size_t)(bytes + length - field.bytes));
    }
}

static void read_packet(const uint8_t *data, uint32_t size) {
    struct px_packet packet, again;
    uint8_t *bytes = malloc(size + !size), *copy = malloc(size + !size);
    memcpy(bytes, data, size);
    if (px_packet_parse(bytes, size, &packet) == 0) {
        require_inside(&packet, bytes, size);
        require(write_again(&packet, copy, size) == size);
        require(px_packet_parse(copy, size, &again) == 0);
        require_same(&packet, &again);
    }
    free(bytes);
    free(copy);
}

// The same input as fields: (tag, length, bytes) over and over.
static void write_packet(const uint8_t *data, uint32_t size) {
    struct px_writer writer;
    struct px_packet packet;
    struct px_field field;
    uint32_t capacity = size > 0 ? data[0] * 4u : 0, cursor = 0, written = 0;
    uint8_t *out = malloc(capacity + !capacity);
    px_writer_begin(&writer, out, capacity, 1, 2, 3);
    for (uint32_t at = 1; at + 3 <= size; written++) {
        uint32_t length = data[at + 2] < size - at - 3 ? data[at + 2] : size - at - 3;
        px_writer_put_bytes(&writer, (uint16_t)(data[at] | data[at + 1] << 8), data + at + 3, length);
        at += 3 + length;
    }
    int length = px_writer_finish(&writer, size % 300);
    require(length <= (int)capacity);
    if (length > 0) {
        require(px_packet_parse(out, (uint32_t)length, &packet) == 0);
        for (uint32_t at = 1; at + 3 <= size; at += 3 + field.length) {
            require(px_packet_next(&packet, &cursor, &field));
            require(memcmp(field.bytes, data + at + 3, field.length) == 0);
            written--;
        }
        require(written == 0 && !px_packet_next(&packet, &cursor, &field));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > PX_PACKET_MAX + 8) return 0;
    read_packet(data, (uint32_t)size);
    write_packet(data, (uint32_t)size);
    return 0;
}
