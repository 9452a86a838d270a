// Parser of one admin request, HTTP/1.1 and 1.0 (RFC 9112): pure, incremental, over a buffer the caller keeps and grows. The
// parser remembers offsets, never pointers, so the buffer may move between calls.
//
// Strict where leniency has been used to smuggle requests: lines end in CRLF alone, no folding, no space before the colon, one
// Host, one Content-Length, never Content-Length beside Transfer-Encoding. Bodies come with Content-Length; a chunked one is
// refused with 411 (RFC 9112 section 6.3 allows that).
#ifndef PX_ADMIN_REQUEST_H
#define PX_ADMIN_REQUEST_H

#include "include/px_mainloop.h"

enum { PX_ADMIN_HEAD_MAX = 8192, PX_ADMIN_BODY_MAX = 65536 };

struct px_admin_parser {
    uint32_t begin;           // where the request line begins: empty lines before it are skipped (section 2.2)
    uint32_t scanned;         // bytes in which the end of the head was looked for
    uint32_t line;            // where the line that is being looked at begins
    uint32_t head_length;     // 0: head not complete
    uint32_t content_length;
    uint32_t method, path, query, host, origin;  // offsets of NUL-terminated strings; 0: absent
    bool keep_alive;          // set when the request is complete
    bool asks_close, asks_keep_alive;
    bool minor_zero;          // HTTP/1.0
    bool expects_continue;    // and the body is not complete
    bool has_length, has_coding, is_chunked;
};

// Look at bytes[0, length), of which only those after the last call's are new. Returns
//   > 0  the request is complete and this many bytes long; what follows belongs to the next
//   0    more is needed
//   < 0  -status: answer with this HTTP status and close
// Bytes of the head are overwritten with NUL where its parts end.
int px_admin_request_parse(struct px_admin_parser *parser, char *bytes, size_t length);

// A complete request's parts, pointing into `bytes`. `id` is left to the caller.
void px_admin_request_get(const struct px_admin_parser *parser, const char *bytes, struct px_admin_request *out);

#endif
