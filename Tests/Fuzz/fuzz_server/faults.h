// System calls that misbehave, within what the kernel is allowed to do. The program is linked with --wrap for every function that
// faults.c defines, so what is shipped has no seam. One thread; calls misbehave only between faults_on(true) and faults_on(false).
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_call {
    FAULT_RECV,
    FAULT_SEND,
    FAULT_SPLICE,
    FAULT_ACCEPT,
    FAULT_CONNECT,
    FAULT_WAIT,    // epoll_wait
    FAULT_WATCH,   // EPOLL_CTL_ADD
    FAULT_SOCKET,
    FAULT_PIPE,    // pipe2 and its size
    FAULT_MEMORY,  // malloc of a connection or a buffer
    FAULT_CALLS,
};

// What a call may do instead of what it was asked. Those before FAULT_FAILED lose nothing: whoever copes with them delivers
// every byte. Where a kind makes no sense for a call it does not happen.
enum fault_kind { FAULT_NONE, FAULT_SHORT, FAULT_AGAIN, FAULT_INTERRUPTED, FAULT_FAILED, FAULT_KINDS };

// Begin a run. `rate` of 256 calls misbehave, drawn from `seed`, until a budget is used up, so that every run ends. `lossless`: no
// call fails. The clock (CLOCK_MONOTONIC of every caller) stands still but for faults_advance_ms.
void faults_begin(uint32_t seed, uint8_t rate, bool lossless);
void faults_end(void);
void faults_on(bool on);
// The next `call` after `skip` others behaves like `kind`.
void faults_arm(enum fault_call call, enum fault_kind kind, uint8_t skip);
// No fault from here on. Edges that are owed are still given.
void faults_stop(void);
void faults_advance_ms(uint64_t ms);
// Whether there were no descriptors to accept with, at any time.
bool faults_exhausted(void);
// Edges that the kernel owes after an EAGAIN or a short transfer that it did not mean.
uint32_t faults_owed(void);

#endif
