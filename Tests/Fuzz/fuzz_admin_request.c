// Fuzzes the admin request parser. The first byte of an input chooses how the rest arrives; the outcome must not depend on it.
// Each call sees a heap block of exactly the bytes there are, so that the address sanitizer catches a read beyond them.
#include <stdlib.h>
#include <string.h>

#include "proto/admin_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

static void check_string(const char *text, const char *bytes, size_t head_length) {
    if (*text == '\0') return;
    require(text > bytes - 1 && text < bytes + head_length);
    require(memchr(text, '\0', head_length - (size_t)(text - bytes)) != NULL);
    require(strpbrk(text, "\r\n") == NULL);
}

static void check_request(const struct px_admin_parser *parser, const char *bytes, int length) {
    struct px_admin_request request;
    px_admin_request_get(parser, bytes, &request);
    require(parser->head_length <= PX_ADMIN_HEAD_MAX && request.body_length <= PX_ADMIN_BODY_MAX);
    require(parser->head_length + request.body_length == (size_t)length);
    require(request.path[0] == '/' && request.method[0] != '\0');
    check_string(request.method, bytes, parser->head_length);
    check_string(request.path, bytes, parser->head_length);
    check_string(request.query, bytes, parser->head_length);
    check_string(request.host, bytes, parser->head_length);
    check_string(request.origin, bytes, parser->head_length);
}

static int parse(const uint8_t *data, size_t size, size_t step) {
    struct px_admin_parser parser = {0};
    char *bytes = NULL;
    int result = 0;
    for (size_t have = 0; result == 0 && have < size;) {
        size_t next = step < size - have ? have + step : size;
        char *grown = malloc(next);
        if (have) memcpy(grown, bytes, have);
        memcpy(grown + have, data + have, next - have);
        free(bytes);
        bytes = grown;
        have = next;
        result = px_admin_request_parse(&parser, bytes, have);
        require(result <= (int)have);
        if (result > 0) check_request(&parser, bytes, result);
    }
    free(bytes);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 100000) return 0;
    size_t step = data[0] + (size_t)1;
    require(parse(data + 1, size - 1, size) == parse(data + 1, size - 1, step));
    return 0;
}
