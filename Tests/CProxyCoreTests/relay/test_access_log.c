// Access-log lines: every operator, text and JSON, and that nothing a peer chooses breaks a line.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "relay/access_log.h"
#include "relay/log_time.h"
#include "test.h"

static struct px_access_record record(void) {
    struct px_access_record made = {
        .start_unix_ns = 1795493552123456789,  // 2026-11-24T04:12:32.123456789Z
        .duration_ms = 41,
        .bytes_received = 2,
        .bytes_sent = 3,
        .connection_id = 17,
        .attempts = 1,
        .cluster = "up",
        .filter_chain_name = "",
    };
    ASSERT_OK(px_addr_from_ip("10.0.0.1", 5000, &made.downstream_remote));
    ASSERT_OK(px_addr_from_ip("::1", 80, &made.downstream_local));
    ASSERT_OK(px_addr_from_ip("127.0.0.1", 9000, &made.upstream_host));
    return made;
}

static char line[1024];

static const char *run(const struct px_access_record *of, struct px_log_op *ops, uint32_t count) {
    struct px_access_log log = {.ops = ops, .op_count = count};
    for (uint32_t i = 0; i < count; i++)
        if (ops[i].text == NULL) ops[i].text = "";
    size_t length = px_access_log_format(&log, of, line, sizeof line - 1);
    line[length] = '\0';
    return line;
}

static const char *run_one(const struct px_access_record *of, enum px_log_op_kind kind, bool json) {
    return run(of, &(struct px_log_op){.kind = kind, .json = json}, 1);
}

TEST(access_log_operators_in_text) {
    struct px_access_record of = record();
    static const struct { enum px_log_op_kind kind; const char *text; } expected[] = {
        {PX_LOG_DASH, "-"},
        {PX_LOG_START_TIME, "2026-11-24T04:12:32.123Z"},
        {PX_LOG_BYTES_RECEIVED, "2"},
        {PX_LOG_BYTES_SENT, "3"},
        {PX_LOG_DURATION, "41"},
        {PX_LOG_RESPONSE_FLAGS, "-"},
        {PX_LOG_RESPONSE_CODE, "0"},
        {PX_LOG_UPSTREAM_HOST, "127.0.0.1:9000"},
        {PX_LOG_UPSTREAM_CLUSTER, "up"},
        {PX_LOG_UPSTREAM_LOCAL_ADDRESS, "-"},
        {PX_LOG_UPSTREAM_FAILURE_REASON, "-"},
        {PX_LOG_UPSTREAM_ATTEMPTS, "1"},
        {PX_LOG_DOWNSTREAM_REMOTE, "10.0.0.1:5000"},
        {PX_LOG_DOWNSTREAM_REMOTE_IP, "10.0.0.1"},
        {PX_LOG_DOWNSTREAM_LOCAL, "[::1]:80"},
        {PX_LOG_DOWNSTREAM_LOCAL_IP, "::1"},
        {PX_LOG_DOWNSTREAM_LOCAL_PORT, "80"},
        {PX_LOG_CONNECTION_ID, "17"},
        {PX_LOG_TERMINATION_DETAILS, "-"},
        {PX_LOG_FILTER_CHAIN_NAME, "-"},
        {PX_LOG_ACCESS_LOG_TYPE, "TcpConnectionEnd"},
        {PX_LOG_UPSTREAM_REMOTE_IP, "127.0.0.1"},
        {PX_LOG_UPSTREAM_REMOTE_PORT, "9000"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) ASSERT_STR(run_one(&of, expected[i].kind, false), expected[i].text);
}

TEST(access_log_flags_short_and_long_in_order) {
    struct px_access_record of = record();
    of.flags = PX_FLAG_RETRY_LIMIT | PX_FLAG_UPSTREAM_CONNECTION_FAILURE;
    ASSERT_STR(run_one(&of, PX_LOG_RESPONSE_FLAGS, false), "UF,URX");
    ASSERT_STR(run_one(&of, PX_LOG_RESPONSE_FLAGS_LONG, false), "UpstreamConnectionFailure,UpstreamRetryLimitExceeded");
    of.flags = (1u << PX_FLAG_BITS) - 1;
    ASSERT_CONTAINS(run_one(&of, PX_LOG_RESPONSE_FLAGS_LONG, false), "DownstreamRemoteReset");
}

TEST(access_log_json_types) {
    struct px_access_record of = record();
    ASSERT_STR(run_one(&of, PX_LOG_BYTES_SENT, true), "3");
    ASSERT_STR(run_one(&of, PX_LOG_UPSTREAM_REMOTE_PORT, true), "9000");
    ASSERT_STR(run_one(&of, PX_LOG_UPSTREAM_HOST, true), "\"127.0.0.1:9000\"");
    ASSERT_STR(run_one(&of, PX_LOG_UPSTREAM_LOCAL_ADDRESS, true), "null");
    ASSERT_STR(run_one(&of, PX_LOG_DASH, true), "null");
    ASSERT_STR(run_one(&of, PX_LOG_RESPONSE_FLAGS, true), "\"-\"");
    ASSERT_STR(run(&of, (struct px_log_op[]){{.kind = PX_LOG_DURATION, .json = true, .max_length = 1}}, 1), "41");
}

TEST(access_log_json_escaping) {
    struct px_access_record of = record();
    of.failure_reason = "quote \" back \\ line\nreturn\rtab\tbell\x07 del\x7f ok \xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82";
    ASSERT_STR(run_one(&of, PX_LOG_UPSTREAM_FAILURE_REASON, true),
        "\"quote \\\" back \\\\ line\\nreturn\\rtab\\tbell\\u0007 del\\u007f ok \xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82\"");
    of.failure_reason = "bad \xff over \xc0\xaf cut \xe2\x82";
    ASSERT_STR(run_one(&of, PX_LOG_UPSTREAM_FAILURE_REASON, true), "\"bad \\ufffd over \\ufffd\\ufffd cut \\ufffd\\ufffd\"");
    of.failure_reason = "\xed\xa0\x80 \xf5\x80\x80\x80";  // a surrogate, and beyond U+10FFFF
    ASSERT_STR(run_one(&of, PX_LOG_UPSTREAM_FAILURE_REASON, true), "\"\\ufffd\\ufffd\\ufffd \\ufffd\\ufffd\\ufffd\\ufffd\"");
}

TEST(access_log_control_bytes_cannot_break_a_line) {
    struct px_access_record of = record();
    of.termination_details = "a\nb\x1b[31m";
    ASSERT_STR(run_one(&of, PX_LOG_TERMINATION_DETAILS, false), "a_b_[31m");
    ASSERT_OK(px_addr_from_path("/tmp/evil\nline", &of.downstream_remote));
    ASSERT_TRUE(strchr(run_one(&of, PX_LOG_DOWNSTREAM_REMOTE, false), '\n') == NULL);
}

TEST(access_log_max_length_cuts_strings) {
    struct px_access_record of = record();
    struct px_log_op ops[] = {{.kind = PX_LOG_UPSTREAM_HOST, .max_length = 5}, {.kind = PX_LOG_LITERAL, .text = "|"},
        {.kind = PX_LOG_UPSTREAM_HOST, .max_length = 5, .json = true}, {.kind = PX_LOG_LITERAL, .text = "\n"}};
    ASSERT_STR(run(&of, ops, 4), "127.0|\"127.0\"\n");
}

TEST(access_log_line_that_is_too_long_still_ends) {
    struct px_access_record of = record();
    struct px_log_op ops[] = {{.kind = PX_LOG_LITERAL, .text = "0123456789"}, {.kind = PX_LOG_LITERAL, .text = "\n"}};
    struct px_access_log log = {.ops = ops, .op_count = 2};
    char small[6];
    ASSERT_EQ(px_access_log_format(&log, &of, small, sizeof small), sizeof small);
    ASSERT_MEM(small, "01234\n", 6);
}

TEST(log_time_formats) {
    char text[128];
    uint64_t ns = 1795493552123456789;
    px_log_time_format("%Y/%m/%d %H:%M:%S %j %a %b", ns, text, sizeof text);
    ASSERT_STR(text, "2026/11/24 04:12:32 328 Tue Nov");
    px_log_time_format("%s.%3f", ns, text, sizeof text);
    ASSERT_STR(text, "1795493552.123");
    px_log_time_format("%f|%1f|%9f|%6f", ns, text, sizeof text);
    ASSERT_STR(text, "123456789|1|123456789|123456");
    px_log_time_format("100%% %%f %Z", ns, text, sizeof text);
    ASSERT_STR(text, "100% %f UTC");
    px_log_time_format("", 951782400000000000, text, sizeof text);
    ASSERT_STR(text, "2000-02-29T00:00:00.000Z");
    px_log_time_format("%Y-%m-%d %j %a", 1735689599000000000, text, sizeof text);
    ASSERT_STR(text, "2024-12-31 366 Tue");
    px_log_time_format("%", ns, text, sizeof text);
    char tiny[8];
    ASSERT_EQ(px_log_time_format("", ns, tiny, sizeof tiny), 7);
}

TEST(log_time_agrees_with_the_c_library) {
    for (uint64_t day = 0; day < 80000; day += 13) {
        time_t seconds = (time_t)(day * 86400 + 3661);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        char expected[64], text[64];
        strftime(expected, sizeof expected, "%Y-%m-%d %H:%M:%S %j %u", &tm);
        px_log_time_format("%Y-%m-%d %H:%M:%S %j %u", (uint64_t)seconds * 1000000000u, text, sizeof text);
        ASSERT_STR(text, expected);
    }
}
