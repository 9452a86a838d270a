// The bytes of a packet, little-endian: one header, then fields, each padded with zeroes to 8 bytes.
//
//     header   magic u32 | version u16 | type u16 | sequence u32 | length u32 | descriptors u32 | reserved u32
//     field    tag u16 | reserved u16 | length u32 | length bytes | padding
//
// `length` of the header counts the whole packet. Reserved words are written as 0 and not looked at, so that a later version
// can use them. The header is the same in all protocol versions: a refusal must be readable by whoever it refuses.
#ifndef PX_WIRE_H
#define PX_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define PX_WIRE_MAGIC 0x4b505850u  // "PXPK"
#define PX_WIRE_ALIGN 8u

struct px_wire_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t sequence;
    uint32_t length;
    uint32_t descriptors;
    uint32_t reserved;
};
_Static_assert(sizeof(struct px_wire_header) == 24, "wire layout");
_Static_assert(offsetof(struct px_wire_header, length) == 12, "wire layout");
_Static_assert(offsetof(struct px_wire_header, descriptors) == 16, "wire layout");

struct px_wire_field {
    uint16_t tag;
    uint16_t reserved;
    uint32_t length;
};
_Static_assert(sizeof(struct px_wire_field) == 8, "wire layout");

// Every supported machine (x86-64, aarch64) is little-endian: structs are copied in and out as they are.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

#define PX_WIRE_HEADER ((uint32_t)sizeof(struct px_wire_header))
#define PX_WIRE_FIELD ((uint32_t)sizeof(struct px_wire_field))

static inline uint64_t px__wire_padded(uint64_t length) {
    return (length + PX_WIRE_ALIGN - 1) & ~(uint64_t)(PX_WIRE_ALIGN - 1);
}

#endif
