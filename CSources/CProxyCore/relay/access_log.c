// Runs a compiled access-log format over a connection's record. Pure but for the append; any worker.
//
// Nothing that a peer chooses may break the file's structure: in text, control bytes become '_' (a Unix peer may be bound to a path
// with a newline in it); in JSON, strings are escaped and what is not UTF-8 becomes U+FFFD.
#include "relay/access_log.h"

#include <stdio.h>
#include <string.h>

#include "relay/log_time.h"

struct output {
    char *bytes;
    size_t size, used;
};

static void put(struct output *out, const char *text, size_t length) {
    size_t room = out->size - out->used;
    if (length > room) length = room;
    memcpy(out->bytes + out->used, text, length);
    out->used += length;
}

static void put_text(struct output *out, const char *text, size_t length) {
    for (size_t i = 0; i < length && out->used < out->size; i++) {
        unsigned char byte = (unsigned char)text[i];
        out->bytes[out->used++] = byte < 0x20 || byte == 0x7f ? '_' : text[i];
    }
}

// Length of the UTF-8 sequence at `text` (RFC 3629, overlong forms and surrogates refused), 0 if it is none.
static size_t utf8_length(const unsigned char *text, size_t length) {
    unsigned char first = text[0];
    size_t count = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (count == 0 || count > length) return 0;
    for (size_t i = 1; i < count; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f)) return 0;
    if ((first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f)) return 0;
    return count;
}

static void put_json_ascii(struct output *out, unsigned char byte) {
    char escaped[8];
    switch (byte) {
        case '"': put(out, "\\\"", 2); return;
        case '\\': put(out, "\\\\", 2); return;
        case '\n': put(out, "\\n", 2); return;
        case '\r': put(out, "\\r", 2); return;
        case '\t': put(out, "\\t", 2); return;
        default: break;
    }
    if (byte >= 0x20 && byte != 0x7f) {
        put(out, (const char *)&byte, 1);
        return;
    }
    put(out, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", byte));
}

static void put_json_string(struct output *out, const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text;
    put(out, "\"", 1);
    while (length > 0) {
        size_t count = utf8_length(at, length);
        if (count == 0) {
            put(out, "\\ufffd", 6);
            count = 1;
        } else if (count == 1) {
            put_json_ascii(out, *at);
        } else {
            put(out, (const char *)at, count);
        }
        at += count;
        length -= count;
    }
    put(out, "\"", 1);
}

// One operator's value: points into `scratch` or into the record; NULL = absent.
struct value {
    const char *text;
    bool number;
    char scratch[512];
};

static void set_number(struct value *value, uint64_t number) {
    snprintf(value->scratch, sizeof value->scratch, "%llu", (unsigned long long)number);
    value->text = value->scratch;
    value->number = true;
}

static void set_string(struct value *value, const char *text) {
    value->text = text != NULL && text[0] != '\0' ? text : NULL;
}

static void set_address(struct value *value, const struct px_addr *addr) {
    if (addr->length > 0) value->text = px_addr_format(addr, value->scratch, sizeof value->scratch);
}

static void set_ip(struct value *value, const struct px_addr *addr) {
    if (addr->length > 0) value->text = px_addr_format_ip(addr, value->scratch, sizeof value->scratch);
}

static void set_port(struct value *value, const struct px_addr *addr) {
    if (addr->length > 0) set_number(value, px_addr_port(addr));
}

// Names of all flags set, separated by commas; "-" when none, in JSON too (as in Envoy).
static void set_flags(struct value *value, uint32_t flags, bool full) {
    static const char *const names[PX_FLAG_BITS][2] = {
#define PX_FLAG_NAMES(name, brief, long_name) {brief, long_name},
        PX_RESPONSE_FLAG_MAP(PX_FLAG_NAMES)
#undef PX_FLAG_NAMES
    };
    size_t used = 0;
    for (uint32_t bit = 0; bit < PX_FLAG_BITS; bit++) {
        if ((flags & (1u << bit)) == 0) continue;
        used += (size_t)snprintf(value->scratch + used, sizeof value->scratch - used, "%s%s", used > 0 ? "," : "", names[bit][full]);
    }
    value->text = used > 0 ? value->scratch : "-";
}

static void evaluate(const struct px_log_op *op, const struct px_access_record *record, struct value *value) {
    value->text = NULL;
    value->number = false;
    switch (op->kind) {
        case PX_LOG_LITERAL: value->text = op->text; break;
        case PX_LOG_DASH: break;
        case PX_LOG_START_TIME:
            px_log_time_format(op->text, record->start_unix_ns, value->scratch, sizeof value->scratch);
            value->text = value->scratch;
            break;
        case PX_LOG_BYTES_RECEIVED: set_number(value, record->bytes_received); break;
        case PX_LOG_BYTES_SENT: set_number(value, record->bytes_sent); break;
        case PX_LOG_DURATION: set_number(value, record->duration_ms); break;
        case PX_LOG_RESPONSE_FLAGS: set_flags(value, record->flags, false); break;
        case PX_LOG_RESPONSE_FLAGS_LONG: set_flags(value, record->flags, true); break;
        case PX_LOG_RESPONSE_CODE: set_number(value, 0); break;
        case PX_LOG_UPSTREAM_HOST: set_address(value, &record->upstream_host); break;
        case PX_LOG_UPSTREAM_CLUSTER: set_string(value, record->cluster); break;
        case PX_LOG_UPSTREAM_LOCAL_ADDRESS: set_address(value, &record->upstream_local); break;
        case PX_LOG_UPSTREAM_FAILURE_REASON: set_string(value, record->failure_reason); break;
        case PX_LOG_UPSTREAM_ATTEMPTS: set_number(value, record->attempts); break;
        case PX_LOG_DOWNSTREAM_REMOTE: set_address(value, &record->downstream_remote); break;
        case PX_LOG_DOWNSTREAM_REMOTE_IP: set_ip(value, &record->downstream_remote); break;
        case PX_LOG_DOWNSTREAM_LOCAL: set_address(value, &record->downstream_local); break;
        case PX_LOG_DOWNSTREAM_LOCAL_IP: set_ip(value, &record->downstream_local); break;
        case PX_LOG_DOWNSTREAM_LOCAL_PORT: set_port(value, &record->downstream_local); break;
        case PX_LOG_CONNECTION_ID: set_number(value, record->connection_id); break;
        case PX_LOG_TERMINATION_DETAILS: set_string(value, record->termination_details); break;
        case PX_LOG_FILTER_CHAIN_NAME: set_string(value, record->filter_chain_name); break;
        case PX_LOG_ACCESS_LOG_TYPE: value->text = "TcpConnectionEnd"; break;
        case PX_LOG_UPSTREAM_REMOTE_IP: set_ip(value, &record->upstream_host); break;
        case PX_LOG_UPSTREAM_REMOTE_PORT: set_port(value, &record->upstream_host); break;
    }
}

static void put_value(struct output *out, const struct px_log_op *op, const struct value *value) {
    const char *text = value->text;
    if (text == NULL) {
        put(out, op->json ? "null" : "-", op->json ? 4 : 1);
        return;
    }
    size_t length = strlen(text);
    if (op->json && value->number) {
        put(out, text, length);  // a number is never cut: what is left would be another number
        return;
    }
    if (op->max_length > 0 && length > op->max_length) length = op->max_length;
    if (op->json)
        put_json_string(out, text, length);
    else
        put_text(out, text, length);
}

size_t px_access_log_format(const struct px_access_log *log, const struct px_access_record *record, char *line, size_t size) {
    struct output out = {.bytes = line, .size = size};
    struct value value;
    for (uint32_t i = 0; i < log->op_count; i++) {
        const struct px_log_op *op = &log->ops[i];
        if (op->kind == PX_LOG_LITERAL && !op->json) {
            put(&out, op->text, strlen(op->text));
            continue;
        }
        evaluate(op, record, &value);
        put_value(&out, op, &value);
    }
    if (out.used == size && size > 0 && line[size - 1] != '\n') line[size - 1] = '\n';  // cut, but still one line
    return out.used;
}

void px_access_log_emit(const struct px_access_log *log, const struct px_access_record *record, px_cell *shard) {
    char line[PX_ACCESS_LINE_MAX];
    size_t length = px_access_log_format(log, record, line, sizeof line);
    if (length > 0) (void)px_log_file_append(log->file, line, length, shard);
}
