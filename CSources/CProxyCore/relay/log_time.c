// Times for access-log lines. Pure; any thread.
//
// gmtime_r() is not used: glibc takes a process-wide lock in it (the time zone's), where the workers would meet. The civil date
// is computed here; strftime() itself touches no time zone unless the format has %Z, which reads tm_zone.
#include "relay/log_time.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// Days since 1970-01-01 to year, month, day (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
static void civil_from_days(int64_t days, struct tm *tm) {
    int64_t shifted = days + 719468;  // since 0000-03-01, so that the leap day is a year's last
    int64_t era = shifted / 146097;
    int64_t day_of_era = shifted % 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;  // 0 = March
    tm->tm_mday = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    tm->tm_mon = (int)(month < 10 ? month + 2 : month - 10);
    tm->tm_year = (int)(year_of_era + era * 400 + (tm->tm_mon <= 1 ? 1 : 0) - 1900);
}

static int day_of_year(const struct tm *tm) {
    static const int before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int year = tm->tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return before[tm->tm_mon] + tm->tm_mday - 1 + (leap && tm->tm_mon > 1 ? 1 : 0);
}

static struct tm utc_time(uint64_t unix_s) {
    struct tm tm = {.tm_zone = "UTC"};
    uint64_t second = unix_s % 86400;
    int64_t days = (int64_t)(unix_s / 86400);
    civil_from_days(days, &tm);
    tm.tm_yday = day_of_year(&tm);
    tm.tm_wday = (int)((days + 4) % 7);  // 1970-01-01 was a Thursday
    tm.tm_hour = (int)(second / 3600);
    tm.tm_min = (int)(second / 60 % 60);
    tm.tm_sec = (int)(second % 60);
    return tm;
}

// Writes what one of our own conversions stands for, and returns how much of the format it was; 0: not one of ours.
static size_t expand_own(const char *format, uint64_t unix_ns, char *text, size_t size) {
    if (format[0] == 's') {
        snprintf(text, size, "%llu", (unsigned long long)(unix_ns / 1000000000u));
        return 1;
    }
    bool counted = format[0] >= '1' && format[0] <= '9' && format[1] == 'f';
    if (!counted && format[0] != 'f') return 0;
    char digits[16];
    snprintf(digits, sizeof digits, "%09u", (unsigned)(unix_ns % 1000000000u));
    snprintf(text, size, "%.*s", counted ? format[0] - '0' : 9, digits);
    return counted ? 2 : 1;
}

// The format with our own conversions replaced by their digits, for strftime to do the rest.
static void expand_format(const char *format, uint64_t unix_ns, char *out, size_t size) {
    size_t used = 0;
    while (*format != '\0' && used + 24 < size) {
        if (format[0] == '%' && format[1] != '\0') {
            size_t length = expand_own(format + 1, unix_ns, out + used, size - used);
            if (length > 0) {
                used += strlen(out + used);
                format += 1 + length;
                continue;
            }
            out[used++] = *format++;  // "%%" and strftime's own go on as pairs, so that "%%f" stays one
        }
        out[used++] = *format++;
    }
    out[used] = '\0';
}

size_t px_log_time_format(const char *format, uint64_t unix_ns, char *text, size_t size) {
    struct tm tm = utc_time(unix_ns / 1000000000u);
    if (format[0] == '\0') {
        int length = snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
            tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(unix_ns / 1000000u % 1000u));
        return (size_t)length < size ? (size_t)length : size - 1;
    }
    char expanded[256];
    expand_format(format, unix_ns, expanded, sizeof expanded);
    size_t length = strftime(text, size, expanded, &tm);
    text[length] = '\0';  // strftime leaves the text undefined where it does not fit
    return length;
}
