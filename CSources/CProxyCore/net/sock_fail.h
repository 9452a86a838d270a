// Texts of socket failures: what the kernel said, and what an operator can do about it.
#ifndef PX_SOCK_FAIL_H
#define PX_SOCK_FAIL_H

#include "include/px_base.h"

// Fill `detail` (NULL is fine) for `call` on `addr` and return `code`.
int px_sock_fail(struct px_detail *detail, int code, const char *call, const struct px_addr *addr);
// First port that needs no right of its own (net.ipv4.ip_unprivileged_port_start; 1024 where it cannot be read).
uint16_t px_sock_first_free_port(void);

#endif
