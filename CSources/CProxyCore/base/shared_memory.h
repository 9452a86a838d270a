// Sealed shared memory: a memfd that can neither shrink nor grow, so that a mapping of it can never fault.
#ifndef PX_SHARED_MEMORY_H
#define PX_SHARED_MEMORY_H

#include "include/px_base.h"

struct px_shared_memory {
    void *map;
    size_t bytes;
    int fd;
};

// Whether others may map it for writing.
enum px_shared_memory_access { PX_SHARED_WRITABLE, PX_SHARED_READ_ONLY };

// Create, fill with zeroes, map for writing, seal. 0 or a negative code with `detail` (errno, bytes asked for, limit found).
int px__shared_memory_create(
    struct px_shared_memory *memory, const char *name, size_t bytes, enum px_shared_memory_access access, struct px_detail *detail);
// Map a descriptor that somebody else passed: it must be sealed as above and have at least `least` and at most `most` bytes.
// Takes ownership of `fd` on success only. 0, -PX_E_INCOMPATIBLE or -errno, with `detail`.
int px__shared_memory_attach(struct px_shared_memory *memory, int fd, const char *name, size_t least, size_t most,
    enum px_shared_memory_access access, struct px_detail *detail);
// Unmap and close.
void px__shared_memory_detach(struct px_shared_memory *memory);

#endif
