// The last descriptors are not for clients: who has taken all others must not keep a restart, the admin server or a log file from
// having the few they need. The kernel gives the lowest number that is free, so a number at or above the ceiling says, without any
// counting, that only the reserve is left.
#ifndef PX_RESERVE_H
#define PX_RESERVE_H

#include <stdbool.h>

enum { PX_RESERVE = 128, PX_RESERVE_SHARE = 8 };  // so many, at most that share of the limit (an eighth)

// Whether `fd`, which was just opened, is of the reserve. Any thread.
bool px_reserve_has(int fd);
// Whether the next descriptor would be of the reserve, or there is none. `fd`: any that is open. Any thread.
bool px_reserve_is_next(int fd);

#endif
