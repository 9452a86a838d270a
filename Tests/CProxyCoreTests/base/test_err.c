#include <errno.h>
#include <string.h>

#include "base/log_ring.h"
#include "test.h"

TEST(error_names_cover_kernel_and_own_codes_of_either_sign) {
    ASSERT_STR(px_error_name(-EADDRINUSE), "EADDRINUSE");
    ASSERT_STR(px_error_name(EADDRINUSE), "EADDRINUSE");
    ASSERT_STR(px_error_name(-PX_E_MALFORMED), "PX_E_MALFORMED");
    ASSERT_STR(px_error_text(-EADDRINUSE), "Address already in use");
    ASSERT_STR(px_error_text(PX_E_CLOSED), "peer closed the connection");
    ASSERT_STR(px_error_name(0), "0");
    ASSERT_STR(px_error_name(123456), "UNKNOWN");
    ASSERT_STR(px_error_name(INT32_MIN), "UNKNOWN");
}

TEST(fail_fills_the_detail_and_returns_the_code) {
    struct px_detail detail;
    memset(&detail, 0xff, sizeof detail);
    ASSERT_EQ(px_fail(&detail, -EACCES, "bind", "/run/x", "limit %d", 7), -EACCES);
    ASSERT_EQ(detail.code, -EACCES);
    ASSERT_STR(detail.call, "bind");
    ASSERT_STR(detail.object, "/run/x");
    ASSERT_STR(detail.text, "limit 7");
    ASSERT_EQ(px_fail(NULL, -EACCES, "bind", "x", "y"), -EACCES);
}

TEST(fail_cuts_what_is_too_long_and_terminates) {
    struct px_detail detail;
    char object[1000];
    memset(object, 'o', sizeof object);
    object[sizeof object - 1] = '\0';
    ASSERT_EQ(px_fail(&detail, -ENOENT, object, object, "%s", object), -ENOENT);
    ASSERT_EQ(strlen(detail.call), sizeof detail.call - 1);
    ASSERT_EQ(strlen(detail.object), sizeof detail.object - 1);
    ASSERT_EQ(strlen(detail.text), sizeof detail.text - 1);
    ASSERT_EQ(px_fail(&detail, -ENOENT, "open", NULL, "%s", ""), -ENOENT);
    ASSERT_STR(detail.object, "");
    ASSERT_STR(detail.text, "");
}
