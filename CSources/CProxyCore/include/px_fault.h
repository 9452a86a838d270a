/// Faults that the end-to-end tests ask for. Declared always, defined only where the package trait `FaultPoints` is on
/// (PX_FAULT_POINTS): what is shipped has none of it.
#ifndef PX_FAULT_H
#define PX_FAULT_H

#include "px_base.h"

PX_ASSUME_NONNULL_BEGIN

/// The next call of the system call `call` (for example "memfd_create") fails with `error`. thread: any.
PX_API void px_fault_fail_next(const char *call, int32_t error);
/// The next message that is sent ends in its middle. thread: any.
PX_API void px_fault_truncate_next(void);
/// The next message that carries descriptors carries one less than it says. thread: any.
PX_API void px_fault_drop_next(void);

PX_ASSUME_NONNULL_END

#endif
