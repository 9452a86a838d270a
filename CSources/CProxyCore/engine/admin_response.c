// Responses of the admin server as bytes, with the header fields Envoy's has. Stateless.
//
// Content-Length instead of Envoy's chunks: every body is complete when it is sent, and clients can tell a cut one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/admin_conn.h"

static const char *reason_of(uint32_t status) {
    switch (status) {
        case 200: return "OK";
        case 400: return "Bad Request";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 411: return "Length Required";
        case 413: return "Content Too Large";
        case 417: return "Expectation Failed";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        case 505: return "HTTP Version Not Supported";
        default: return "";  // the phrase may be empty, RFC 9112 section 4
    }
}

static void format_date(char *text, size_t size) {
    time_t now = time(NULL);
    struct tm broken;
    gmtime_r(&now, &broken);
    strftime(text, size, "%a, %d %b %Y %H:%M:%S GMT", &broken);
}

char *px__admin_response(uint32_t status, const char *connection, const char *content_type, const char *extra,
    const uint8_t *body, size_t body_length, size_t *length) {
    char date[40], *head = NULL;
    format_date(date, sizeof date);
    int head_length = asprintf(&head,
        "HTTP/1.1 %u %s\r\ncontent-type: %s\r\ncache-control: no-cache, max-age=0\r\nx-content-type-options: nosniff\r\n"
        "date: %s\r\nserver: envoy\r\ncontent-length: %zu\r\n%s%s\r\n",
        status, reason_of(status), content_type, date, body_length, connection, extra);
    if (head_length < 0) return NULL;
    *length = (size_t)head_length + (body ? body_length : 0);
    if (!body || body_length == 0) return head;
    char *whole = realloc(head, *length);
    if (!whole) {
        free(head);
        return NULL;
    }
    memcpy(whole + head_length, body, body_length);
    return whole;
}
