// Memory for clients: connections and their bytes. A client for whom there is none is turned away; the driver, which is written in a
// language that ends the process where malloc() fails, must not meet that. So some address space is held back, is let go of when a client
// finds no memory, and until it can be had again clients get none.
#ifndef PX_CLIENT_MEMORY_H
#define PX_CLIENT_MEMORY_H

#include <stddef.h>

#include "include/px_base.h"

// Hold the reserve back, if there is that much; again does nothing. px_client_malloc would do it too, but only once clients come.
// Any thread.
void px_client_memory_begin(void);
// As malloc(); NULL also while the reserve is let go of. Free with free(). Any thread.
void *PX_NULLABLE px_client_malloc(size_t bytes);

#endif
