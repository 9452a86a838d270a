// The admin request parser; what it accepts is in the header. No state but the caller's struct.
//
// Two passes over the head: one that finds its end as bytes arrive, each byte looked at once, and one that takes it apart when
// it is whole. Nothing at or beyond `length` is read; nothing beyond the head is written.
#include "proto/admin_request.h"

#include <string.h>
#include <strings.h>

enum {
    BAD_REQUEST = -400, LENGTH_REQUIRED = -411, CONTENT_TOO_LARGE = -413, EXPECTATION_FAILED = -417, HEAD_TOO_LARGE = -431,
    NOT_IMPLEMENTED = -501, VERSION_NOT_SUPPORTED = -505
};

// A part of the head, begin <= end <= head_length.
struct span {
    uint32_t begin, end;
};

static uint32_t span_length(struct span span) {
    return span.end - span.begin;
}

static bool span_is(const char *bytes, struct span span, const char *text) {
    return span_length(span) == strlen(text) && strncasecmp(bytes + span.begin, text, span_length(span)) == 0;
}

static bool span_starts(const char *bytes, struct span span, const char *text) {
    return span_length(span) >= strlen(text) && strncasecmp(bytes + span.begin, text, strlen(text)) == 0;
}

// RFC 9110 section 5.6.2. Not isalnum(): that is the locale's idea.
static bool is_token_byte(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool is_token(const char *bytes, struct span span) {
    for (uint32_t i = span.begin; i < span.end; i++) {
        if (!is_token_byte(bytes[i])) return false;
    }
    return span_length(span) > 0;
}

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t';
}

// Without the blanks around it.
static struct span trimmed(const char *bytes, struct span span) {
    while (span.begin < span.end && is_blank(bytes[span.begin])) span.begin++;
    while (span.begin < span.end && is_blank(bytes[span.end - 1])) span.end--;
    return span;
}

// Visible ASCII, what a request target may hold.
static bool is_visible(const char *bytes, struct span span) {
    for (uint32_t i = span.begin; i < span.end; i++) {
        if (bytes[i] <= ' ' || bytes[i] >= 0x7f) return false;
    }
    return span_length(span) > 0;
}

static uint32_t find(const char *bytes, struct span span, char byte) {
    const char *place = memchr(bytes + span.begin, byte, span_length(span));
    return place ? (uint32_t)(place - bytes) : span.end;
}

// ---- request line ----------------------------------------------------------------------------------------------------

static int parse_version(struct px_admin_parser *parser, const char *bytes, struct span span) {
    if (span_length(span) != 8 || memcmp(bytes + span.begin, "HTTP/", 5) != 0) return BAD_REQUEST;
    const char *digits = bytes + span.begin + 5;
    if (digits[0] < '0' || digits[0] > '9' || digits[1] != '.' || digits[2] < '0' || digits[2] > '9') return BAD_REQUEST;
    if (digits[0] != '1') return VERSION_NOT_SUPPORTED;
    parser->minor_zero = digits[2] == '0';
    return 0;
}

// Take "http://authority" off an absolute-form target; the authority then stands in for Host (RFC 9112 section 3.2.2).
static int strip_authority(struct px_admin_parser *parser, char *bytes, struct span *target) {
    if (bytes[target->begin] == '/') return 0;
    uint32_t scheme = span_starts(bytes, *target, "http://") ? 7 : span_starts(bytes, *target, "https://") ? 8 : 0;
    if (scheme == 0) return BAD_REQUEST;
    struct span rest = {target->begin + scheme, target->end};
    uint32_t slash = find(bytes, rest, '/');
    if (slash == rest.begin || slash == rest.end || find(bytes, rest, '?') < slash) return BAD_REQUEST;
    // One byte to the left, over the scheme, so that there is room for a NUL before the path.
    uint32_t length = slash - rest.begin;
    memmove(bytes + rest.begin - 1, bytes + rest.begin, length);
    bytes[rest.begin - 1 + length] = '\0';
    parser->host = rest.begin - 1;
    target->begin = slash;
    return 0;
}

static int parse_target(struct px_admin_parser *parser, char *bytes, struct span target) {
    if (!is_visible(bytes, target) || find(bytes, target, '#') != target.end) return BAD_REQUEST;
    int result = strip_authority(parser, bytes, &target);
    if (result < 0) return result;
    uint32_t question = find(bytes, target, '?');
    parser->path = target.begin;
    if (question < target.end) parser->query = question + 1;
    bytes[question] = '\0';
    bytes[target.end] = '\0';
    return 0;
}

static int parse_request_line(struct px_admin_parser *parser, char *bytes, struct span line) {
    uint32_t first = find(bytes, line, ' ');
    struct span method = {line.begin, first};
    if (first == line.end || !is_token(bytes, method)) return BAD_REQUEST;
    struct span rest = {first + 1, line.end};
    uint32_t second = find(bytes, rest, ' ');
    if (second == line.end) return BAD_REQUEST;
    int result = parse_version(parser, bytes, (struct span){second + 1, line.end});
    if (result == 0) result = parse_target(parser, bytes, (struct span){first + 1, second});
    bytes[first] = '\0';
    parser->method = method.begin;
    return result;
}

// ---- fields ----------------------------------------------------------------------------------------------------------

static int parse_length(struct px_admin_parser *parser, const char *bytes, struct span value) {
    if (parser->has_length || span_length(value) == 0) return BAD_REQUEST;
    uint64_t length = 0;
    for (uint32_t i = value.begin; i < value.end; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') return BAD_REQUEST;
        // Stays above the limit once there, and so cannot overflow.
        if (length <= PX_ADMIN_BODY_MAX) length = length * 10 + (uint64_t)(bytes[i] - '0');
    }
    parser->has_length = true;
    parser->content_length = length > PX_ADMIN_BODY_MAX ? PX_ADMIN_BODY_MAX + 1 : (uint32_t)length;
    return 0;
}

static void parse_connection(struct px_admin_parser *parser, const char *bytes, struct span list) {
    while (list.begin < list.end) {
        uint32_t comma = find(bytes, list, ',');
        struct span option = trimmed(bytes, (struct span){list.begin, comma});
        if (span_is(bytes, option, "close")) parser->asks_close = true;
        if (span_is(bytes, option, "keep-alive")) parser->asks_keep_alive = true;
        list.begin = comma < list.end ? comma + 1 : comma;
    }
}

static int parse_single(uint32_t *place, struct span value) {
    if (*place) return BAD_REQUEST;
    *place = value.begin;
    return 0;
}

static int parse_known_field(struct px_admin_parser *parser, const char *bytes, struct span name, struct span value,
    uint32_t *host) {
    if (span_is(bytes, name, "host")) {
        if (span_length(value) && !is_visible(bytes, value)) return BAD_REQUEST;
        return parse_single(host, value);
    }
    if (span_is(bytes, name, "origin")) return parse_single(&parser->origin, value);
    if (span_is(bytes, name, "content-length")) return parse_length(parser, bytes, value);
    if (span_is(bytes, name, "connection")) parse_connection(parser, bytes, value);
    if (span_is(bytes, name, "transfer-encoding")) {
        parser->is_chunked = !parser->has_coding && span_is(bytes, value, "chunked");
        parser->has_coding = true;
    }
    if (span_is(bytes, name, "expect")) {
        if (!span_is(bytes, value, "100-continue")) return EXPECTATION_FAILED;
        parser->expects_continue = !parser->minor_zero;  // RFC 9110 section 10.1.1: ignored from a 1.0 client
    }
    return 0;
}

static bool is_field_value(const char *bytes, struct span value) {
    for (uint32_t i = value.begin; i < value.end; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if ((byte < ' ' && byte != '\t') || byte == 0x7f) return false;
    }
    return true;
}

static int parse_field(struct px_admin_parser *parser, char *bytes, struct span line, uint32_t *host) {
    uint32_t colon = find(bytes, line, ':');
    struct span name = {line.begin, colon};
    if (colon == line.end || !is_token(bytes, name)) return BAD_REQUEST;  // folded lines too: they begin with a space
    struct span value = trimmed(bytes, (struct span){colon + 1, line.end});
    if (!is_field_value(bytes, value)) return BAD_REQUEST;
    int result = parse_known_field(parser, bytes, name, value, host);
    bytes[value.end] = '\0';
    return result;
}

// What the fields say together about who is asked and how long the body is.
static int check_fields(struct px_admin_parser *parser, uint32_t host) {
    if (!host && !parser->minor_zero) return BAD_REQUEST;
    if (!parser->host) parser->host = host;
    if (parser->has_coding && (parser->has_length || parser->minor_zero)) return BAD_REQUEST;
    if (parser->has_coding) return parser->is_chunked ? LENGTH_REQUIRED : NOT_IMPLEMENTED;
    return parser->content_length > PX_ADMIN_BODY_MAX ? CONTENT_TOO_LARGE : 0;
}

// ---- head ------------------------------------------------------------------------------------------------------------

static int parse_head(struct px_admin_parser *parser, char *bytes) {
    uint32_t host = 0, at = parser->begin, last = parser->head_length - 2;  // the empty line
    int result = 0;
    for (bool first = true; at < last && result == 0; first = false) {
        uint32_t feed = find(bytes, (struct span){at, parser->head_length}, '\n');
        struct span line = {at, feed - 1};
        result = first ? parse_request_line(parser, bytes, line) : parse_field(parser, bytes, line, &host);
        at = feed + 1;
    }
    return result < 0 ? result : check_fields(parser, host);
}

// A line has ended at `feed`. Returns whether it was the head's last.
static bool end_line(struct px_admin_parser *parser, uint32_t feed) {
    bool empty = feed - 1 == parser->line;
    if (empty && parser->line == parser->begin) {
        parser->begin = feed + 1;
        empty = false;
    }
    parser->line = feed + 1;
    return empty;
}

// Returns 1 when the head is complete, 0 when more is needed, -status.
static int scan_head(struct px_admin_parser *parser, const char *bytes, size_t length) {
    uint32_t limit = length < PX_ADMIN_HEAD_MAX ? (uint32_t)length : PX_ADMIN_HEAD_MAX;
    while (parser->scanned < limit) {
        uint32_t feed = find(bytes, (struct span){parser->scanned, limit}, '\n');
        if (feed == limit) {
            parser->scanned = limit;
            break;
        }
        parser->scanned = feed + 1;
        if (feed == parser->line || bytes[feed - 1] != '\r') return BAD_REQUEST;
        if (!end_line(parser, feed)) continue;
        parser->head_length = feed + 1;
        return 1;
    }
    return limit == PX_ADMIN_HEAD_MAX ? HEAD_TOO_LARGE : 0;
}

int px_admin_request_parse(struct px_admin_parser *parser, char *bytes, size_t length) {
    if (!parser->head_length) {
        int result = scan_head(parser, bytes, length);
        if (result <= 0) return result;
        result = parse_head(parser, bytes);
        if (result < 0) return result;
    }
    // RFC 9112 section 9.3: "close" wins over "keep-alive".
    parser->keep_alive = !parser->asks_close && (!parser->minor_zero || parser->asks_keep_alive);
    uint32_t whole = parser->head_length + parser->content_length;
    if (length < whole) return 0;
    parser->expects_continue = false;
    return (int)whole;
}

void px_admin_request_get(const struct px_admin_parser *parser, const char *bytes, struct px_admin_request *out) {
    *out = (struct px_admin_request){
        .method = bytes + parser->method,
        .path = bytes + parser->path,
        .query = parser->query ? bytes + parser->query : "",
        .origin = parser->origin ? bytes + parser->origin : "",
        .host = parser->host ? bytes + parser->host : "",
        .body = (const uint8_t *)bytes + parser->head_length,
        .body_length = parser->content_length,
    };
}
