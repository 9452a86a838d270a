// The main loop as the rest of the engine layer sees it.
#ifndef PX_ENGINE_MAINLOOP_H
#define PX_ENGINE_MAINLOOP_H

#include "include/px_mainloop.h"
#include "loop/loop.h"

// Give an event to the driver, at once. Loop thread only: a worker posts to px__mainloop_loop a function that calls this.
void px__mainloop_emit(px_mainloop *loop, const struct px_event *event);

// The loop underneath, for timers and descriptors of the engine's own, and for px_loop_post.
px_loop *px__mainloop_loop(px_mainloop *loop);

#endif
