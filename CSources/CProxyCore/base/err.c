// Names and texts of errors, kernel's and our own, and the one-line error path px_fail. Stateless, any thread.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log_ring.h"

static int magnitude(int code) {
    return code < 0 ? (int)-(unsigned)code : code;  // unsigned: INT_MIN has no positive twin
}

const char *px_error_name(int code) {
    switch (magnitude(code)) {
#define PX_ERROR_NAME(number, name, text) \
    case number: return "PX_E_" #name;
        PX_ERROR_MAP(PX_ERROR_NAME)
#undef PX_ERROR_NAME
    }
    const char *name = strerrorname_np(magnitude(code));
    return name ? name : "UNKNOWN";
}

const char *px_error_text(int code) {
    switch (magnitude(code)) {
#define PX_ERROR_TEXT(number, name, text) \
    case number: return text;
        PX_ERROR_MAP(PX_ERROR_TEXT)
#undef PX_ERROR_TEXT
    }
    return strerror(magnitude(code));  // per-thread storage for unknown numbers since glibc 2.32
}

static void copy_cut(char *to, size_t size, const char *from) {
    size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}

int px_fail(struct px_detail *detail, int code, const char *call, const char *object, const char *format, ...) {
    if (!detail) return code;
    detail->code = code;
    copy_cut(detail->call, sizeof detail->call, call ? call : "");
    copy_cut(detail->object, sizeof detail->object, object ? object : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail->text, sizeof detail->text, format, arguments);
    va_end(arguments);
    return code;
}
