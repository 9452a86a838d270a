// Where the core asks whether a test wants a call to fail. Without PX_FAULT_POINTS every question is the constant "no".
#ifndef PX_BASE_FAULT_H
#define PX_BASE_FAULT_H

#include "include/px_fault.h"

#ifdef PX_FAULT_POINTS
// Whether `call` is to fail now; sets errno.
bool px__fault_fails(const char *call);
bool px__fault_truncates(void);
bool px__fault_drops(void);
#else
#define px__fault_fails(call) false
#define px__fault_truncates() false
#define px__fault_drops() false
#endif

#endif
