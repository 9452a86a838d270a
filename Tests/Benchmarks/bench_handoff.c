// What passes between generations: messages over the shared ring, and descriptors over a link.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "include/px_handoff.h"

enum { MESSAGES = 64, MESSAGE_MAX = 1024, RING = 131072, PACKET = PX_PACKET_MAX };

// ---- the shared ring ------------------------------------------------------------------------------------------------------------

static px_queue *attach_copy(const struct bench *bench, const px_queue *queue) {
    struct px_detail detail;
    int32_t fds[3];
    px_queue_fds(queue, fds);
    for (int i = 0; i < 3; i++) fds[i] = dup(fds[i]);
    px_queue *copy = px_queue_attach(fds, PX_QUEUE_CHILD, &detail);
    if (!copy) bench_fail(bench, "%s: %s", detail.call, detail.text);
    return copy;
}

// What no ring can do without: the bytes go in and come out.
static double copy_ns(const struct bench *bench, uint32_t length) {
    static uint8_t ring[MESSAGES * MESSAGE_MAX], bytes[MESSAGE_MAX];
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += MESSAGES) {
        for (uint32_t i = 0; i < MESSAGES; i++) {
            memcpy(ring + i * length, bytes, length);
            bench_keep(ring);
        }
        for (uint32_t i = 0; i < MESSAGES; i++) {
            memcpy(bytes, ring + i * length, length);
            bench_keep(bytes);
        }
    }
    return bench_ns_per_operation(&loop);
}

// `clear`: the consumer was woken and resets its eventfd, so each burst pays for one wake-up.
static double message_ns(const struct bench *bench, px_queue *from, px_queue *to, uint32_t length, uint32_t burst, bool clear) {
    uint8_t bytes[MESSAGE_MAX] = {0};
    uint32_t type;
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += MESSAGES) {
        for (uint32_t done = 0; done < MESSAGES; done += burst) {
            for (uint32_t i = 0; i < burst; i++)
                if (px_queue_push(from, i, bytes, length) < 0) bench_fail(bench, "push");
            if (clear) px_queue_clear(to);
            for (uint32_t i = 0; i < burst; i++)
                if (px_queue_pop(to, &type, bytes, sizeof bytes) != (int)length) bench_fail(bench, "pop");
        }
    }
    return bench_ns_per_operation(&loop);
}

BENCH(queue) {
    struct px_detail detail;
    px_queue *from = px_queue_create(RING, PX_QUEUE_PARENT, &detail);
    if (!from) bench_fail(bench, "%s: %s", detail.call, detail.text);
    px_queue *to = attach_copy(bench, from);
    double small = copy_ns(bench, 32), large = copy_ns(bench, MESSAGE_MAX);
    bench_report(bench, "push + pop, 32 bytes", "ns", message_ns(bench, from, to, 32, MESSAGES, false), small, "memcpy in and out");
    bench_report(bench, "push + pop, 1024 bytes", "ns", message_ns(bench, from, to, MESSAGE_MAX, MESSAGES, false), large, "memcpy in and out");
    bench_report(bench, "32 bytes, a wake-up for 64", "ns", message_ns(bench, from, to, 32, MESSAGES, true), small, "memcpy in and out");
    bench_report(bench, "32 bytes, a wake-up for each", "ns", message_ns(bench, from, to, 32, 1, true), small, "memcpy in and out");
    px_queue_destroy(from);
    px_queue_destroy(to);
}

// ---- descriptors over a link ----------------------------------------------------------------------------------------------------

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(PX_PACKET_FDS_MAX * sizeof(int32_t))];
};

struct batch {
    int32_t pair[2];
    int32_t sent[PX_PACKET_FDS_MAX], came[PX_PACKET_FDS_MAX];
    uint8_t bytes[PACKET];
};

static void close_came(const struct batch *batch, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) close(batch->came[i]);
}

// A field per descriptor, as listening sockets and connections are described.
static int compose(struct batch *batch) {
    struct px_writer writer;
    px_writer_begin(&writer, batch->bytes, sizeof batch->bytes, 1, 7, 1);
    for (uint32_t i = 0; i < PX_PACKET_FDS_MAX; i++) px_writer_put_u64(&writer, 1, i);
    return px_writer_finish(&writer, PX_PACKET_FDS_MAX);
}

static uint32_t parse(const struct batch *batch, int length) {
    struct px_packet packet;
    struct px_field field;
    uint64_t value, sum = 0;
    uint32_t cursor = 0, fields = 0;
    if (px_packet_parse(batch->bytes, (uint32_t)length, &packet) < 0) return 0;
    for (; px_packet_next(&packet, &cursor, &field); fields++)
        if (px_field_u64(&field, &value)) sum += value;
    bench_keep(sum);
    return fields;
}

static double link_per_s(const struct bench *bench, struct batch *batch) {
    uint32_t count;
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += PX_PACKET_FDS_MAX) {
        int length = compose(batch);
        int code = px_link_send(batch->pair[0], batch->bytes, (uint32_t)length, batch->sent, PX_PACKET_FDS_MAX);
        if (code < 0) bench_fail(bench, "send: %s", px_error_name(code));
        length = px_link_receive(batch->pair[1], batch->bytes, sizeof batch->bytes, batch->came, &count);
        if (length < 0) bench_fail(bench, "receive: %s", px_error_name(length));
        if (parse(batch, length) != PX_PACKET_FDS_MAX || count != PX_PACKET_FDS_MAX) bench_fail(bench, "parse");
        close_came(batch, count);
    }
    return 1e9 / bench_ns_per_operation(&loop);
}

// The kernel's part alone: the same descriptors and as many bytes.
static double bare_per_s(const struct bench *bench, struct batch *batch) {
    union control control;
    struct iovec part = {.iov_base = batch->bytes, .iov_len = (size_t)compose(batch)};
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += PX_PACKET_FDS_MAX) {
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof batch->sent)};
        memcpy(CMSG_DATA(header), batch->sent, sizeof batch->sent);
        if (sendmsg(batch->pair[0], &message, MSG_DONTWAIT) < 0) bench_fail(bench, "sendmsg: %s", px_error_name(errno));
        if (recvmsg(batch->pair[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) bench_fail(bench, "recvmsg: %s", px_error_name(errno));
        memcpy(batch->came, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof batch->came);
        close_came(batch, PX_PACKET_FDS_MAX);
    }
    return 1e9 / bench_ns_per_operation(&loop);
}

BENCH(link) {
    static struct batch batch;
    int code = px_link_pair(batch.pair);
    if (code < 0) bench_fail(bench, "socketpair: %s", px_error_name(code));
    // The soft limit may be 1024; a batch there and here is 506.
    for (uint32_t i = 0; i < PX_PACKET_FDS_MAX; i++)
        if ((batch.sent[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) bench_fail(bench, "open: %s", px_error_name(errno));
    double floor = bare_per_s(bench, &batch);
    bench_report(bench, "descriptors in batches of 253", "1/s", link_per_s(bench, &batch), floor, "bare sendmsg + recvmsg + close");
    for (uint32_t i = 0; i < PX_PACKET_FDS_MAX; i++) close(batch.sent[i]);
    close(batch.pair[0]);
    close(batch.pair[1]);
}
