// Packets to bytes and back. Pure: no system calls, no memory of its own.
//
// A writer that ran out of room remembers it and ignores what follows, so that callers check once. A packet is checked whole
// by px_packet_parse; px_packet_next checks again, because it costs nothing and what it walks may be shared or fuzzed.
//
// Threads: any; the caller's storage is all there is.
#include <string.h>

#include "handoff/wire.h"
#include "include/px_handoff.h"

void px_writer_begin(struct px_writer *writer, uint8_t *bytes, uint32_t capacity, uint16_t version, uint16_t type, uint32_t sequence) {
    struct px_wire_header header = {.magic = PX_WIRE_MAGIC, .version = version, .type = type, .sequence = sequence};
    if (capacity > PX_PACKET_MAX) capacity = PX_PACKET_MAX;
    *writer = (struct px_writer){.bytes = bytes, .capacity = capacity};
    if (capacity < PX_WIRE_HEADER) {
        writer->error = -PX_E_NO_SPACE;
        return;
    }
    memcpy(bytes, &header, sizeof header);
    writer->length = PX_WIRE_HEADER;
}

void px_writer_put_bytes(struct px_writer *writer, uint16_t tag, const void *bytes, uint32_t length) {
    struct px_wire_field field = {.tag = tag, .length = length};
    uint64_t padded = px__wire_padded(length);
    if (writer->error) return;
    if (padded + PX_WIRE_FIELD > writer->capacity - writer->length) {
        writer->error = -PX_E_NO_SPACE;
        return;
    }
    uint8_t *to = writer->bytes + writer->length;
    memcpy(to, &field, sizeof field);
    if (length > 0) memcpy(to + PX_WIRE_FIELD, bytes, length);
    memset(to + PX_WIRE_FIELD + length, 0, padded - length);
    writer->length += PX_WIRE_FIELD + (uint32_t)padded;
}

void px_writer_put_u64(struct px_writer *writer, uint16_t tag, uint64_t value) {
    px_writer_put_bytes(writer, tag, &value, sizeof value);
}

int px_writer_finish(struct px_writer *writer, uint32_t descriptors) {
    if (writer->error) return writer->error;
    if (descriptors > PX_PACKET_FDS_MAX) return -PX_E_NO_SPACE;
    memcpy(writer->bytes + offsetof(struct px_wire_header, length), &writer->length, sizeof writer->length);
    memcpy(writer->bytes + offsetof(struct px_wire_header, descriptors), &descriptors, sizeof descriptors);
    return (int)writer->length;
}

int px_packet_parse(const uint8_t *bytes, uint32_t length, struct px_packet *out) {
    struct px_wire_header header;
    struct px_field field;
    uint32_t cursor = 0;
    if (length < PX_WIRE_HEADER || length > PX_PACKET_MAX) return -PX_E_MALFORMED;
    memcpy(&header, bytes, sizeof header);
    if (header.magic != PX_WIRE_MAGIC || header.length != length || header.descriptors > PX_PACKET_FDS_MAX) return -PX_E_MALFORMED;
    *out = (struct px_packet){
        .version = header.version,
        .type = header.type,
        .sequence = header.sequence,
        .descriptors = header.descriptors,
        .fields = bytes + PX_WIRE_HEADER,
        .fields_length = length - PX_WIRE_HEADER,
    };
    while (px_packet_next(out, &cursor, &field)) continue;
    return cursor == out->fields_length ? 0 : -PX_E_MALFORMED;
}

bool px_packet_next(const struct px_packet *packet, uint32_t *cursor, struct px_field *out) {
    struct px_wire_field field;
    if (*cursor > packet->fields_length) return false;
    uint32_t left = packet->fields_length - *cursor;
    if (left < PX_WIRE_FIELD) return false;
    memcpy(&field, packet->fields + *cursor, sizeof field);
    uint64_t padded = px__wire_padded(field.length);
    if (padded > left - PX_WIRE_FIELD) return false;
    *out = (struct px_field){.tag = field.tag, .length = field.length, .bytes = packet->fields + *cursor + PX_WIRE_FIELD};
    *cursor += PX_WIRE_FIELD + (uint32_t)padded;
    return true;
}

bool px_field_u64(const struct px_field *field, uint64_t *out) {
    if (field->length != sizeof *out) return false;
    memcpy(out, field->bytes, sizeof *out);
    return true;
}
