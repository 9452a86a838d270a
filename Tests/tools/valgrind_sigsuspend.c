// Preloaded where valgrind runs a program that uses libdispatch. Its dispatch_main() calls sigsuspend with a mask in read-only memory, and valgrind 3.19
// writes into the caller's mask, which ends valgrind itself.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KERNEL_MASK_BYTES = 8 };

int sigsuspend(const sigset_t *mask) {
    sigset_t writable = *mask;
    return (int)syscall(SYS_rt_sigsuspend, &writable, KERNEL_MASK_BYTES);
}
