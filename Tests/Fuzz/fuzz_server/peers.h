// The other ends of the server's connections: clients and upstreams, on the same thread. Every stream begins with its sender's id,
// and every later byte follows from id and position, so a receiver knows whose stream it reads and whether it is a prefix of it.
#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "include/px_base.h"

#define PEER_RESPONSE_ID 255  // of what a direct response sends

struct peer {
    int fd;              // -1: closed, or not open yet
    uint8_t id;
    int16_t from;        // id of whom it receives from; -1: not known yet
    uint64_t sent, received;
    bool established, shut, ended, failed;
};

uint8_t peer_byte(uint8_t id, uint64_t position);

// A listening socket for upstreams, blocking nobody; its address in `*addr`.
int peer_listen(struct px_addr *addr, bool pipe);
// Start to connect; peer_check learns how it went.
void peer_connect(struct peer *peer, const struct px_addr *addr);
void peer_check(struct peer *peer);
// Take a waiting connection. false: none.
bool peer_accept(struct peer *peer, int listener);

void peer_send(struct peer *peer, uint32_t length);
// Returns whether anything came: bytes, the end or an error.
bool peer_receive(struct peer *peer, uint32_t length);
void peer_shut(struct peer *peer);
void peer_close(struct peer *peer, bool reset);

#endif
