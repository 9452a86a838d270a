// Links between generations: packets with descriptors both ways over a real socket pair, while sendmsg and recvmsg (wrapped by the
// linker, see fuzz.sh) fail, are interrupted or have less room than asked. The input is a program of sends, receives, faults and
// packets of a stranger that never heard of the protocol; a model says what each receive has to return.
//
// What must hold: a packet arrives whole, in order, with its descriptors in their order and close-on-exec, or is refused by name; and
// no descriptor is left, whatever came with what.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handoff/wire.h"
#include "include/px_handoff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 4, IN_FLIGHT = 64, BYTES_MAX = 2048, OPERATIONS = 200, LESS_ROOM = 23 };
enum fault { FAULT_NONE, FAULT_INTERRUPTED, FAULT_AGAIN, FAULT_RESET, FAULT_NO_MEMORY, FAULT_LESS_ROOM, FAULT_FEWER_DESCRIPTORS, FAULTS };

struct input {
    const uint8_t *bytes;
    size_t left;
};

// A packet on its way: byte i is first + i after the header.
struct sent {
    uint32_t length, said, count, first_file;
    uint8_t first_byte;
};

static int32_t ends[2] = {-1, -1};
static int files[FILES];
static ino_t inodes[FILES];
static struct sent flying[2][IN_FLIGHT];  // by receiver
static uint32_t flying_count[2];
static enum fault armed;  // of the next call

static void require(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "link: %s\n", what);
    abort();
}

static uint8_t take(struct input *input) {
    if (input->left == 0) return 0;
    input->left--;
    return *input->bytes++;
}

static uint32_t count_descriptors(void) {
    uint32_t count = 0;
    for (int fd = 0; fd < 320; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

// ---- the wrapped calls ------------------------------------------------------------------------------------------------------

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

static enum fault take_fault(void) {
    enum fault fault = armed;
    armed = FAULT_NONE;
    return fault;
}

static int error_of(enum fault fault, bool sending) {
    switch (fault) {
        case FAULT_INTERRUPTED: return EINTR;
        case FAULT_AGAIN: return EAGAIN;
        case FAULT_RESET: return sending ? EPIPE : ECONNRESET;
        case FAULT_NO_MEMORY: return sending ? ETOOMANYREFS : ENOMEM;
        default: return 0;
    }
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags) {
    errno = error_of(take_fault(), true);
    return errno != 0 ? -1 : __real_sendmsg(fd, message, flags);
}

// With less room the kernel cuts the packet and says so.
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags) {
    enum fault fault = take_fault();
    errno = error_of(fault, false);
    if (errno != 0) return -1;
    if (fault == FAULT_LESS_ROOM && message->msg_iov[0].iov_len > LESS_ROOM) message->msg_iov[0].iov_len = LESS_ROOM;
    if (fault == FAULT_FEWER_DESCRIPTORS) message->msg_controllen = CMSG_SPACE(sizeof(int32_t));
    return __real_recvmsg(fd, message, flags);
}

// ---- sending ----------------------------------------------------------------------------------------------------------------

static uint8_t byte_at(const struct sent *sent, uint32_t position) { return (uint8_t)(sent->first_byte + position); }

static void note(int receiver, const struct sent *sent) { flying[receiver][flying_count[receiver]++] = *sent; }

static struct sent take_packet(struct input *input, int32_t fds[PX_PACKET_FDS_MAX], uint8_t bytes[BYTES_MAX]) {
    struct sent sent;
    sent.first_file = take(input) % FILES;
    sent.count = take(input);
    sent.length = 1 + take(input) * 8u;
    sent.first_byte = take(input);
    if (sent.count > PX_PACKET_FDS_MAX) sent.count = PX_PACKET_FDS_MAX;
    uint8_t lie = take(input);
    sent.said = lie < 200 ? sent.count : lie;
    for (uint32_t i = 0; i < sent.count; i++) fds[i] = files[(sent.first_file + i) % FILES];
    for (uint32_t i = 0; i < sent.length; i++) bytes[i] = byte_at(&sent, i);
    return sent;
}

static void send_packet(struct input *input, int from) {
    int32_t fds[PX_PACKET_FDS_MAX];
    uint8_t bytes[BYTES_MAX];
    struct sent sent = take_packet(input, fds, bytes);
    struct px_wire_header header = {.magic = PX_WIRE_MAGIC, .length = sent.length, .descriptors = sent.said};
    if (sent.length >= sizeof header) memcpy(bytes, &header, sizeof header);
    else sent.said = 0;  // no packet of ours
    if (ends[from] < 0 || flying_count[!from] == IN_FLIGHT) return;
    int expected = armed == FAULT_INTERRUPTED ? 0 : -error_of(armed, true);
    int result = px_link_send(ends[from], bytes, sent.length, fds, sent.count);
    if (expected == 0 && ends[!from] < 0) require(result == -EPIPE || result == -ECONNRESET, "sent to nobody");
    else if (expected == 0) require(result == 0 || result == -EAGAIN || result == -ETOOMANYREFS, "not sent");
    else require(result == expected, "an error of sendmsg is not passed on");
    if (result == 0) note(!from, &sent);
}

// ---- receiving --------------------------------------------------------------------------------------------------------------

static void check_descriptors(const struct sent *sent, const int32_t *fds, uint32_t count) {
    struct stat status;
    for (uint32_t i = 0; i < count; i++) {
        require(fstat(fds[i], &status) == 0 && status.st_ino == inodes[(sent->first_file + i) % FILES], "another descriptor came");
        require(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, "a descriptor that came is not close-on-exec");
        close(fds[i]);
    }
}

static void check_bytes(const struct sent *sent, const uint8_t *bytes) {
    for (uint32_t i = sent->length >= PX_WIRE_HEADER ? PX_WIRE_HEADER : 0; i < sent->length; i++) require(bytes[i] == byte_at(sent, i), "another byte came");
}

static int expected_of(const struct sent *sent, enum fault fault, uint32_t capacity) {
    bool cut = sent->length > capacity || (fault == FAULT_LESS_ROOM && sent->length > LESS_ROOM);
    // Room is aligned, so that of one descriptor has space for two.
    bool fewer = fault == FAULT_FEWER_DESCRIPTORS && sent->count > 2;
    if (cut || fewer) return -PX_E_TRUNCATED;
    return sent->count == sent->said ? (int)sent->length : -PX_E_DESCRIPTOR_COUNT;
}

static int receive(int at, uint32_t capacity) {
    int32_t fds[PX_PACKET_FDS_MAX];
    uint8_t *bytes = malloc(capacity);
    uint32_t count = 99;
    enum fault fault = armed;
    bool failing = fault == FAULT_AGAIN || fault == FAULT_NO_MEMORY;
    int result = px_link_receive(ends[at], bytes, capacity, fds, &count);
    require(result >= 0 || count == 0, "descriptors of a packet that was refused");
    if (failing) {
        require(result == -error_of(fault, false), "an error of recvmsg is not passed on");
    } else if (flying_count[at] == 0) {
        bool lost = result == -ECONNRESET && ends[!at] < 0;  // by a peer that left packets unread, said twice
        require(lost || result == (ends[!at] < 0 ? -PX_E_CLOSED : -EAGAIN), "received what was not sent");
    } else if (result != -ECONNRESET || fault != FAULT_RESET) {
        struct sent sent = flying[at][0];
        memmove(&flying[at][0], &flying[at][1], --flying_count[at] * sizeof sent);
        require(result == expected_of(&sent, fault, capacity), "a packet came otherwise than it was sent");
        if (result >= 0) check_bytes(&sent, bytes);
        check_descriptors(&sent, fds, count);
    }
    free(bytes);
    return result;
}

static void operate(struct input *input) {
    uint8_t operation = take(input);
    int side = operation >> 7;
    switch (operation % 8) {
        case 0: case 1: case 2: send_packet(input, side); break;
        case 3: case 4: if (ends[side] >= 0) (void)receive(side, BYTES_MAX); break;
        case 5: if (ends[side] >= 0) (void)receive(side, 1 + take(input) * 8u); break;
        case 6: armed = take(input) % FAULTS; break;
        case 7:
            if (take(input) % 8 != 0 || ends[side] < 0) break;
            close(ends[side]);
            ends[side] = -1;
            flying_count[side] = 0;
            break;
    }
}

static void begin(void) {
    struct stat status;
    for (int i = 0; i < FILES; i++) {
        files[i] = memfd_create("fuzz", MFD_CLOEXEC);
        require(files[i] >= 0 && fstat(files[i], &status) == 0, "memfd_create");
        inodes[i] = status.st_ino;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    if (inodes[0] == 0) begin();
    uint32_t before = count_descriptors();
    require(px_link_pair(ends) == 0, "pair");
    flying_count[0] = flying_count[1] = 0;
    armed = FAULT_NONE;
    for (int i = 0; i < OPERATIONS && input.left > 0; i++) operate(&input);
    armed = FAULT_NONE;
    for (int side = 0; side < 2; side++) {
        while (ends[side] >= 0 && flying_count[side] > 0) (void)receive(side, BYTES_MAX);
    }
    for (int side = 0; side < 2; side++) {
        if (ends[side] >= 0) close(ends[side]);
        ends[side] = -1;
    }
    require(count_descriptors() == before, "descriptors are left");
    return 0;
}
