#include "core/rfc3339.h"

#include <stdio.h>

#define DAY_MS INT64_C(86400000)

/* Days from 1970-01-01 to the given day of the proleptic Gregorian calendar. The year begins in
 * March here, so that the leap day is its last. */
static int64_t rfc3339_days(int year, unsigned month, unsigned day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void rfc3339_date(int64_t days, int *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    const int64_t z = days + 719468;
    const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    const int64_t doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;

    *ret_day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    *ret_month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    *ret_year = (int)(yoe + era * 400 + (*ret_month <= 2));
}

void aisys_rfc3339_write(int64_t time_ms, char *buf)
{
    unsigned month, day, ms;
    int64_t days, rest;
    int year, n;

    if (time_ms < AISYS_TIME_MIN_MS)
        time_ms = AISYS_TIME_MIN_MS;
    if (time_ms > AISYS_TIME_MAX_MS)
        time_ms = AISYS_TIME_MAX_MS;
    days = time_ms / DAY_MS;
    rest = time_ms % DAY_MS;
    if (rest < 0) {
        rest += DAY_MS;
        days--;
    }
    rfc3339_date(days, &year, &month, &day);
    ms = (unsigned)(rest % 1000);
    rest /= 1000;
    n = snprintf(buf, AISYS_RFC3339_BYTES, "%04d-%02u-%02uT%02u:%02u:%02u", year, month, day,
        (unsigned)(rest / 3600), (unsigned)(rest / 60 % 60), (unsigned)(rest % 60));
    if (n > 0)
        snprintf(buf + n, (size_t)(AISYS_RFC3339_BYTES - n), ms > 0 ? ".%03uZ" : "Z", ms);
}

struct rfc3339_text {
    const char *at;
    const char *end;
    bool bad;
};

static unsigned rfc3339_digits(struct rfc3339_text *t, unsigned n)
{
    unsigned value = 0;

    for (; n > 0; n--, t->at++) {
        if (t->at >= t->end || *t->at < '0' || *t->at > '9') {
            t->bad = true;
            return 0;
        }
        value = value * 10 + (unsigned)(*t->at - '0');
    }
    return value;
}

/* Step over one of the characters of @any. Returns it, '\0' when something else is there. */
static char rfc3339_char(struct rfc3339_text *t, const char *any)
{
    for (; t->at < t->end && *any != '\0'; any++)
        if (*t->at == *any)
            return *t->at++;
    return '\0';
}

static void rfc3339_expect(struct rfc3339_text *t, const char *any)
{
    if (rfc3339_char(t, any) == '\0')
        t->bad = true;
}

/* Milliseconds of the fraction that begins at its first digit. */
static unsigned rfc3339_fraction(struct rfc3339_text *t)
{
    unsigned ms = rfc3339_digits(t, 1) * 100;

    for (unsigned scale = 10; t->at < t->end && *t->at >= '0' && *t->at <= '9'; scale /= 10)
        ms += rfc3339_digits(t, 1) * scale;
    return ms;
}

static int64_t rfc3339_offset_ms(struct rfc3339_text *t)
{
    const char sign = rfc3339_char(t, "Zz+-");
    unsigned hours, minutes;
    int64_t ms;

    if (sign == '\0')
        t->bad = true;
    if (sign != '+' && sign != '-')
        return 0;
    hours = rfc3339_digits(t, 2);
    rfc3339_expect(t, ":");
    minutes = rfc3339_digits(t, 2);
    if (hours > 23 || minutes > 59)
        t->bad = true;
    ms = ((int64_t)hours * 60 + minutes) * 60000;
    return sign == '-' ? -ms : ms;
}

static unsigned rfc3339_month_days(unsigned year, unsigned month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

bool aisys_rfc3339_read(const char *text, size_t chars, int64_t *ret_time_ms)
{
    struct rfc3339_text t = { text, text + chars, false };
    unsigned year, month, day, hour, minute, second, ms = 0;
    int64_t time_ms;

    year = rfc3339_digits(&t, 4);
    rfc3339_expect(&t, "-");
    month = rfc3339_digits(&t, 2);
    rfc3339_expect(&t, "-");
    day = rfc3339_digits(&t, 2);
    rfc3339_expect(&t, "Tt ");
    hour = rfc3339_digits(&t, 2);
    rfc3339_expect(&t, ":");
    minute = rfc3339_digits(&t, 2);
    rfc3339_expect(&t, ":");
    second = rfc3339_digits(&t, 2);
    if (rfc3339_char(&t, ".") != '\0')
        ms = rfc3339_fraction(&t);
    if (t.bad || year < 1 || month < 1 || month > 12 || day < 1 ||
        day > rfc3339_month_days(year, month) || hour > 23 || minute > 59 || second > 60)
        return false;
    if (second == 60)
        second = 59;
    time_ms = rfc3339_days((int)year, month, day) * DAY_MS +
              ((int64_t)hour * 3600 + minute * 60 + second) * 1000 + ms;
    time_ms -= rfc3339_offset_ms(&t);
    if (t.bad || t.at != t.end || time_ms < AISYS_TIME_MIN_MS || time_ms > AISYS_TIME_MAX_MS)
        return false;
    *ret_time_ms = time_ms;
    return true;
}
