
#include <ngx_config.h>
#include <ngx_core.h>

#include "../base/ngx_autocert_time.h"


#define NGX_AUTOCERT_TIME_MAX   253402300799LL  /* the end of 9999 */
#define NGX_AUTOCERT_TIME_DAY   86400
#define NGX_AUTOCERT_TIME_WEEK  604800


typedef struct {
    ngx_int_t  year;
    ngx_int_t  month;       /* from 1 */
    ngx_int_t  day;
    ngx_int_t  hour;
    ngx_int_t  min;
    ngx_int_t  sec;
    ngx_int_t  offset;      /* minutes east of UTC */
} ngx_autocert_time_t;


/* Text that is eaten from the left; a fault sticks. */

typedef struct {
    u_char    *pos;
    u_char    *last;
    unsigned   failed:1;
} ngx_autocert_time_text_t;


static void ngx_autocert_time_text(ngx_autocert_time_text_t *s,
    ngx_str_t *text);
static ngx_int_t ngx_autocert_time_number(ngx_autocert_time_text_t *s,
    ngx_uint_t digits);
static ngx_uint_t ngx_autocert_time_char(ngx_autocert_time_text_t *s,
    const char *set);
static void ngx_autocert_time_fixed(ngx_autocert_time_text_t *s,
    const char *fixed);
static ngx_int_t ngx_autocert_time_word(ngx_autocert_time_text_t *s,
    const char **words);
static void ngx_autocert_time_clock(ngx_autocert_time_text_t *s,
    ngx_autocert_time_t *tm);
static ngx_int_t ngx_autocert_time_offset(ngx_autocert_time_text_t *s);
static ngx_int_t ngx_autocert_time_instant(ngx_autocert_time_text_t *s,
    ngx_autocert_time_t *tm, time_t *t);
static int64_t ngx_autocert_time_days(ngx_int_t year, ngx_int_t month,
    ngx_int_t day);
static ngx_int_t ngx_autocert_time_leap(ngx_int_t year);


static const char  *ngx_autocert_time_weekdays[] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
    "Saturday", NULL
};

static const char  *ngx_autocert_time_short_weekdays[] = {
    "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", NULL
};

static const char  *ngx_autocert_time_months[] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", NULL
};

static const ngx_int_t  ngx_autocert_time_month_days[] = {
    31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
};


ngx_int_t
ngx_autocert_time_rfc3339(ngx_str_t *text, time_t *t)
{
    ngx_autocert_time_t       tm;
    ngx_autocert_time_text_t  s;

    ngx_autocert_time_text(&s, text);

    tm.year = ngx_autocert_time_number(&s, 4);
    ngx_autocert_time_fixed(&s, "-");
    tm.month = ngx_autocert_time_number(&s, 2);
    ngx_autocert_time_fixed(&s, "-");
    tm.day = ngx_autocert_time_number(&s, 2);

    /* RFC 3339, 5.6: T and Z may be of either case */

    if (!ngx_autocert_time_char(&s, "Tt")) {
        return NGX_ERROR;
    }

    ngx_autocert_time_clock(&s, &tm);

    if (ngx_autocert_time_char(&s, ".")) {

        (void) ngx_autocert_time_number(&s, 1);

        while (ngx_autocert_time_char(&s, "0123456789")) { /* void */ }
    }

    tm.offset = ngx_autocert_time_offset(&s);

    return ngx_autocert_time_instant(&s, &tm, t);
}


ngx_int_t
ngx_autocert_time_der(ngx_str_t *text, time_t *t)
{
    ngx_autocert_time_t       tm;
    ngx_autocert_time_text_t  s;

    ngx_autocert_time_text(&s, text);

    if (text->len == sizeof("YYMMDDHHMMSSZ") - 1) {
        tm.year = ngx_autocert_time_number(&s, 2);
        tm.year += (tm.year < 50) ? 2000 : 1900;

    } else {
        tm.year = ngx_autocert_time_number(&s, 4);
    }

    tm.month = ngx_autocert_time_number(&s, 2);
    tm.day = ngx_autocert_time_number(&s, 2);
    tm.hour = ngx_autocert_time_number(&s, 2);
    tm.min = ngx_autocert_time_number(&s, 2);
    tm.sec = ngx_autocert_time_number(&s, 2);
    tm.offset = 0;

    ngx_autocert_time_fixed(&s, "Z");

    /* to libcrypto there are no leap seconds */

    return (tm.sec == 60) ? NGX_ERROR : ngx_autocert_time_instant(&s, &tm, t);
}


ngx_int_t
ngx_autocert_time_http(ngx_str_t *text, time_t *t)
{
    ngx_autocert_time_t       tm;
    ngx_autocert_time_text_t  s;

    ngx_autocert_time_text(&s, text);
    tm.offset = 0;

    /* the long names first: a short one is the beginning of a long one */

    if (ngx_autocert_time_word(&s, ngx_autocert_time_weekdays) != NGX_ERROR) {

        /* RFC 850: Sunday, 06-Nov-94 08:49:37 GMT */

        ngx_autocert_time_fixed(&s, ", ");
        tm.day = ngx_autocert_time_number(&s, 2);
        ngx_autocert_time_fixed(&s, "-");
        tm.month = ngx_autocert_time_word(&s, ngx_autocert_time_months) + 1;
        ngx_autocert_time_fixed(&s, "-");
        tm.year = ngx_autocert_time_number(&s, 2);
        ngx_autocert_time_fixed(&s, " ");
        ngx_autocert_time_clock(&s, &tm);
        ngx_autocert_time_fixed(&s, " GMT");

        /* a century that does not depend on a clock, good until 2069 */

        tm.year += (tm.year < 70) ? 2000 : 1900;

        return ngx_autocert_time_instant(&s, &tm, t);
    }

    if (ngx_autocert_time_word(&s, ngx_autocert_time_short_weekdays)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    if (ngx_autocert_time_char(&s, ",")) {

        /* IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT */

        ngx_autocert_time_fixed(&s, " ");
        tm.day = ngx_autocert_time_number(&s, 2);
        ngx_autocert_time_fixed(&s, " ");
        tm.month = ngx_autocert_time_word(&s, ngx_autocert_time_months) + 1;
        ngx_autocert_time_fixed(&s, " ");
        tm.year = ngx_autocert_time_number(&s, 4);
        ngx_autocert_time_fixed(&s, " ");
        ngx_autocert_time_clock(&s, &tm);
        ngx_autocert_time_fixed(&s, " GMT");

        return ngx_autocert_time_instant(&s, &tm, t);
    }

    /* asctime(): Sun Nov  6 08:49:37 1994 */

    ngx_autocert_time_fixed(&s, " ");
    tm.month = ngx_autocert_time_word(&s, ngx_autocert_time_months) + 1;
    ngx_autocert_time_fixed(&s, " ");
    tm.day = ngx_autocert_time_number(&s,
                                      ngx_autocert_time_char(&s, " ") ? 1 : 2);
    ngx_autocert_time_fixed(&s, " ");
    ngx_autocert_time_clock(&s, &tm);
    ngx_autocert_time_fixed(&s, " ");
    tm.year = ngx_autocert_time_number(&s, 4);

    return ngx_autocert_time_instant(&s, &tm, t);
}


ngx_int_t
ngx_autocert_time_retry(ngx_str_t *text, time_t now, time_t *t)
{
    time_t      date;
    ngx_int_t   delay;
    ngx_uint_t  i;

    if (text->len == 0) {
        return NGX_DECLINED;
    }

    if (text->data[0] < '0' || text->data[0] > '9') {

        if (ngx_autocert_time_http(text, &date) != NGX_OK) {
            return NGX_DECLINED;
        }

        date = ngx_max(date, now);
        *t = ngx_min(date, now + NGX_AUTOCERT_TIME_WEEK);

        return NGX_OK;
    }

    delay = 0;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            return NGX_DECLINED;
        }

        delay = delay * 10 + (text->data[i] - '0');
        delay = ngx_min(delay, NGX_AUTOCERT_TIME_WEEK);
    }

    *t = now + delay;

    return NGX_OK;
}


time_t
ngx_autocert_time_renewal(time_t not_before, time_t not_after,
    time_t renew_before)
{
    time_t  life, cap;

    if (not_after <= not_before || renew_before <= 0) {
        return not_after;
    }

    life = not_after - not_before;
    cap = (life < 10 * NGX_AUTOCERT_TIME_DAY) ? life / 2 : life / 3;

    return not_after - ngx_min(renew_before, cap);
}


time_t
ngx_autocert_time_backoff(ngx_uint_t n, uint32_t random)
{
    time_t    delay;
    uint64_t  less;

    delay = 60;

    while (n > 1 && delay < 3600) {
        delay *= 2;
        n--;
    }

    delay = ngx_min(delay, 3600);
    less = ((uint64_t) delay / 4 + 1) * random >> 32;

    return delay - (time_t) less;
}


u_char *
ngx_autocert_time_print(u_char *p, time_t t)
{
    int64_t    days, sec;
    ngx_int_t  year, month, n;

    /* 20 bytes whatever comes */

    sec = ngx_max((int64_t) t, 0);
    sec = ngx_min(sec, NGX_AUTOCERT_TIME_MAX);

    days = sec / NGX_AUTOCERT_TIME_DAY;
    sec %= NGX_AUTOCERT_TIME_DAY;

    /* a guess that is never too high */

    year = 1970 + (ngx_int_t) (days / 366);

    while (ngx_autocert_time_days(year + 1, 1, 1) <= days) {
        year++;
    }

    days -= ngx_autocert_time_days(year, 1, 1);

    for (month = 1; month < 12; month++) {

        n = ngx_autocert_time_month_days[month - 1];
        n += (month == 2) ? ngx_autocert_time_leap(year) : 0;

        if (days < n) {
            break;
        }

        days -= n;
    }

    return ngx_sprintf(p, "%04i-%02i-%02iT%02i:%02i:%02iZ", year, month,
                       (ngx_int_t) days + 1, (ngx_int_t) (sec / 3600),
                       (ngx_int_t) (sec / 60 % 60), (ngx_int_t) (sec % 60));
}


static void
ngx_autocert_time_text(ngx_autocert_time_text_t *s, ngx_str_t *text)
{
    s->pos = text->data;
    s->last = text->len ? text->data + text->len : text->data;
    s->failed = 0;
}


static ngx_int_t
ngx_autocert_time_number(ngx_autocert_time_text_t *s, ngx_uint_t digits)
{
    ngx_int_t  n;

    n = 0;

    while (digits--) {

        if (s->failed || s->pos == s->last || *s->pos < '0' || *s->pos > '9') {
            s->failed = 1;
            return 0;
        }

        n = n * 10 + (*s->pos++ - '0');
    }

    return n;
}


static ngx_uint_t
ngx_autocert_time_char(ngx_autocert_time_text_t *s, const char *set)
{
    if (s->failed || s->pos == s->last || *s->pos == '\0'
        || ngx_strchr(set, *s->pos) == NULL)
    {
        return 0;
    }

    s->pos++;

    return 1;
}


static void
ngx_autocert_time_fixed(ngx_autocert_time_text_t *s, const char *fixed)
{
    size_t  len;

    len = ngx_strlen(fixed);

    if (s->failed || (size_t) (s->last - s->pos) < len
        || ngx_memcmp(s->pos, fixed, len) != 0)
    {
        s->failed = 1;
        return;
    }

    s->pos += len;
}


/* The index of the word that comes next; NGX_ERROR, and nothing is eaten. */

static ngx_int_t
ngx_autocert_time_word(ngx_autocert_time_text_t *s, const char **words)
{
    size_t      len;
    ngx_uint_t  i;

    for (i = 0; !s->failed && words[i]; i++) {

        len = ngx_strlen(words[i]);

        if ((size_t) (s->last - s->pos) >= len
            && ngx_memcmp(s->pos, words[i], len) == 0)
        {
            s->pos += len;
            return i;
        }
    }

    return NGX_ERROR;
}


static void
ngx_autocert_time_clock(ngx_autocert_time_text_t *s, ngx_autocert_time_t *tm)
{
    tm->hour = ngx_autocert_time_number(s, 2);
    ngx_autocert_time_fixed(s, ":");
    tm->min = ngx_autocert_time_number(s, 2);
    ngx_autocert_time_fixed(s, ":");
    tm->sec = ngx_autocert_time_number(s, 2);
}


static ngx_int_t
ngx_autocert_time_offset(ngx_autocert_time_text_t *s)
{
    ngx_int_t   hour, min;
    ngx_uint_t  west;

    if (ngx_autocert_time_char(s, "Zz")) {
        return 0;
    }

    west = ngx_autocert_time_char(s, "-");

    if (!west) {
        ngx_autocert_time_fixed(s, "+");
    }

    hour = ngx_autocert_time_number(s, 2);
    ngx_autocert_time_fixed(s, ":");
    min = ngx_autocert_time_number(s, 2);

    if (hour > 23 || min > 59) {
        s->failed = 1;
    }

    return west ? -(hour * 60 + min) : hour * 60 + min;
}


static ngx_int_t
ngx_autocert_time_instant(ngx_autocert_time_text_t *s,
    ngx_autocert_time_t *tm, time_t *t)
{
    int64_t    n;
    ngx_int_t  days;

    if (s->failed || s->pos != s->last) {
        return NGX_ERROR;
    }

    if (tm->year < 1970 || tm->month < 1 || tm->month > 12 || tm->day < 1) {
        return NGX_ERROR;
    }

    days = ngx_autocert_time_month_days[tm->month - 1];
    days += (tm->month == 2) ? ngx_autocert_time_leap(tm->year) : 0;

    if (tm->day > days || tm->hour > 23 || tm->min > 59 || tm->sec > 60) {
        return NGX_ERROR;
    }

    n = ngx_autocert_time_days(tm->year, tm->month, tm->day)
        * NGX_AUTOCERT_TIME_DAY;

    n += tm->hour * 3600 + (tm->min - tm->offset) * 60 + tm->sec;

    /* a leap second is the last of a day in UTC and counts as the next */

    if (tm->sec == 60 && n % NGX_AUTOCERT_TIME_DAY != 0) {
        return NGX_ERROR;
    }

    if (n < 0 || n > NGX_AUTOCERT_TIME_MAX || (int64_t) (time_t) n != n) {
        return NGX_ERROR;
    }

    *t = (time_t) n;

    return NGX_OK;
}


/* Days from 1970-01-01 to a date of the Gregorian calendar behind it. */

static int64_t
ngx_autocert_time_days(ngx_int_t year, ngx_int_t month, ngx_int_t day)
{
    int64_t    days;
    ngx_int_t  y, m;

    y = year - 1;
    days = (int64_t) y * 365 + y / 4 - y / 100 + y / 400 - 719162;

    for (m = 1; m < month; m++) {
        days += ngx_autocert_time_month_days[m - 1];
    }

    if (month > 2) {
        days += ngx_autocert_time_leap(year);
    }

    return days + day - 1;
}


static ngx_int_t
ngx_autocert_time_leap(ngx_int_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}
