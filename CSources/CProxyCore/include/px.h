/// The one door into the C core: what the Swift driver may call. Declares nothing itself.
#ifndef PX_H
#define PX_H

#include "px_base.h"
#include "px_engine.h"
#include "px_fault.h"
#include "px_handoff.h"
#include "px_mainloop.h"
#include "px_plan.h"
#include "px_stats.h"

#endif
