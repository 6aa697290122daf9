/* str.c: growing text, numbers as text whatever the locale, names that look alike, patterns.
 * Everything but the patterns (POSIX regcomp) gives the same answer in every locale. */
#include "base/base.h"
#include <locale.h>
#include <math.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text from files ---- */
/* Bytes of the UTF-8 sequence at p; 0: malformed, too long for what it says, a surrogate, or past
 * the last code point. A terminating 0 ends a sequence early, so nothing is read past it. */
static unsigned utf8_bytes(const unsigned char *p)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned n = *p < 0x80 ? 1 : *p < 0xc0 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf8 ? 4 : 0;
    if (n < 2)
        return n;
    uint32_t code = *p & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

void sqz_text_clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p;) {
        unsigned n = utf8_bytes(p);
        bool control = (*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f;
        bool c1 = n == 2 && *p == 0xc2 && p[1] < 0xa0; /* terminals obey these too */
        if (n == 0 || control || c1)
            *p = '?';
        if (c1)
            p[1] = '?';
        p += n ? n : 1;
    }
}

/* ---- growing text ---- */
static bool grow(sqz_str *s, size_t more) /* room for `more` bytes and the terminator */
{
    size_t need;
    if (s->status != SQZ_OK)
        return false;
    if (!sqz_add(s->len, more, &need) || !sqz_add(need, 1, &need)) {
        s->status = sqz_fail(s->ctx, SQZ_E_LIMIT, "text of %zu + %zu bytes is too long", s->len,
                             more);
        return false;
    }
    if (need <= s->cap)
        return true;
    size_t cap = s->cap < 64 ? 64 : s->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *p = sqz_realloc(s->ctx, s->data, s->cap, cap);
    if (!p) {
        s->status = SQZ_E_NOMEM;
        return false;
    }
    s->data = p;
    s->cap = cap;
    return true;
}

void sqz_str_addn(sqz_str *s, const char *text, size_t n)
{
    if (!grow(s, n))
        return;
    if (n) /* text may be NULL */
        memcpy(s->data + s->len, text, n);
    s->len += n;
    s->data[s->len] = 0;
}

void sqz_str_add(sqz_str *s, const char *text) { sqz_str_addn(s, text, strlen(text)); }

void sqz_str_addf(sqz_str *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && grow(s, (size_t)n)) {
        (void)vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void sqz_str_free(sqz_str *s)
{
    sqz_free(s->ctx, s->data);
    *s = (sqz_str){.ctx = s->ctx};
}

/* ---- numbers ---- */
#define NUMBER_MAX 400 /* characters: 1e308 written out in full, with room */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *digits(const char *p)
{
    while (is_digit(*p))
        p++;
    return p;
}

/* End of the longest decimal number at `text`; `text` itself when there is none. */
static const char *number_end(const char *text)
{
    const char *p = text + (*text == '+' || *text == '-');
    if (strncmp(p, "inf", 3) == 0 || strncmp(p, "nan", 3) == 0)
        return p + 3;
    const char *whole = p;
    p = digits(p);
    bool any = p > whole;
    if (*p == '.') {
        const char *fraction = p + 1;
        const char *q = digits(fraction);
        if (!any && q == fraction)
            return text;
        any = true;
        p = q;
    }
    if (!any)
        return text;
    if (*p == 'e' || *p == 'E') {
        const char *e = p + 1 + (p[1] == '+' || p[1] == '-');
        if (is_digit(*e))
            p = digits(e);
    }
    return p;
}

/* strtod of the "C" locale, which needs no memory and is the same object in every thread. */
static bool read_c(const char *text, double *d, float *f)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return false;
    *d = strtod_l(text, NULL, c);
    *f = strtof_l(text, NULL, c);
    freelocale(c);
    return true;
}

bool sqz_parse_f64(const char *text, const char **end, double *out)
{
    char copy[NUMBER_MAX + 1]; /* so that strtod sees no more than what was accepted (no hex) */
    const char *stop = number_end(text);
    size_t n = (size_t)(stop - text);
    if (n == 0 || n > NUMBER_MAX || (!end && *stop))
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    double d;
    float f;
    if (!read_c(copy, &d, &f) || (isinf(d) && stop[-1] != 'f'))
        return false;
    *out = d;
    if (end)
        *end = stop;
    return true;
}

bool sqz_parse_i64(const char *text, const char **end, int64_t *out)
{
    bool negative = *text == '-';
    const char *p = text + (*text == '+' || *text == '-');
    int64_t v = 0; /* kept negative: INT64_MIN has no positive twin */
    if (!is_digit(*p))
        return false;
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v))
            return false;
    if ((!negative && v == INT64_MIN) || (!end && *p))
        return false;
    *out = negative ? v : -v;
    if (end)
        *end = p;
    return true;
}

/* Splits "%.*e" of a finite v into its digits (no point, no trailing zeros) and its power of ten;
 * whatever bytes the locale puts for the point are skipped. */
static void split(double v, int precision, char digit[20], int *power)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.*e", precision - 1, fabs(v));
    size_t n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (is_digit(*p))
            digit[n++] = *p;
    while (n > 1 && digit[n - 1] == '0')
        n--;
    digit[n] = 0;
    int64_t e = 0;
    if (*p)
        (void)sqz_parse_i64(p + 1, NULL, &e);
    *power = (int)e;
}

/* d.ddd x 10^power, in the plain form from 1e-5 to 1e17, as "1.5e-7" elsewhere. */
static void write_number(char out[32], bool negative, const char *digit, int power)
{
    int n = (int)strlen(digit);
    char *o = out;
    if (negative)
        *o++ = '-';
    if (power < -5 || power > 16) {
        *o++ = digit[0];
        if (n > 1)
            *o++ = '.';
        memcpy(o, digit + 1, (size_t)n - 1);
        o += n - 1;
        (void)snprintf(o, (size_t)(out + 32 - o), "e%d", power);
        return;
    }
    if (power < 0) {
        *o++ = '0';
        *o++ = '.';
        for (int k = power + 1; k < 0; k++)
            *o++ = '0';
        memcpy(o, digit, (size_t)n);
        o += n;
    } else {
        for (int k = 0; k <= SQZ_MAX(power, n - 1); k++) {
            *o++ = k < n ? digit[k] : '0';
            if (k == power && n - 1 > power)
                *o++ = '.';
        }
    }
    *o = 0;
}

/* Most numbers people write are short, so the first precision that reads back is found soon. */
static void print_shortest(char out[32], double v, bool is_float)
{
    if (!isfinite(v)) {
        (void)snprintf(out, 32, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    int most = is_float ? 9 : 17; /* always enough */
    for (int precision = 1; precision <= most; precision++) {
        char digit[20] = "";
        int power;
        double d = 0;
        float f = 0;
        split(v, precision, digit, &power);
        write_number(out, signbit(v), digit, power);
        if (!read_c(out, &d, &f)) /* cannot check: the longest form is always right */
            continue;
        /* A float is read either directly or through a double: both must find it. */
        if (is_float ? f == (float)v && (float)d == (float)v : d == v)
            return;
    }
}

void sqz_print_f64(char out[32], double v) { print_shortest(out, v, false); }
void sqz_print_f32(char out[32], float v) { print_shortest(out, (double)v, true); }

void sqz_print_bytes(char out[32], uint64_t bytes)
{
    static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        (void)snprintf(out, 32, "%u B", (unsigned)bytes);
        return;
    }
    unsigned u = 0;
    /* In tenths, rounded to nearest; a figure that would show as 1024.0 takes the next unit. */
    unsigned __int128 tenths = (((unsigned __int128)bytes * 10) + 512) / 1024;
    uint64_t scale = 1024;
    while (tenths >= 10240 && u + 1 < SQZ_COUNT(unit)) {
        u++;
        scale *= 1024;
        tenths = (((unsigned __int128)bytes * 10) + scale / 2) / scale;
    }
    if (tenths % 10)
        (void)snprintf(out, 32, "%llu.%u %s", (unsigned long long)(tenths / 10),
                       (unsigned)(tenths % 10), unit[u]);
    else
        (void)snprintf(out, 32, "%llu %s", (unsigned long long)(tenths / 10), unit[u]);
}

/* ---- names that look alike ---- */
#define NAME_MAX_COMPARED 64

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). What
 * is beyond the first 64 characters counts by length only. */
unsigned sqz_distance(const char *a, const char *b)
{
    unsigned row[3][NAME_MAX_COMPARED + 1];
    size_t la = strlen(a), lb = strlen(b);
    size_t na = SQZ_MIN(la, NAME_MAX_COMPARED), nb = SQZ_MIN(lb, NAME_MAX_COMPARED);
    unsigned *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= nb; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = SQZ_MIN(best, SQZ_MIN(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = SQZ_MIN(best, before[j - 2] + 1);
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    size_t longer = la > lb ? (la - na) - (lb - nb) : (lb - nb) - (la - na);
    return last[nb] + (unsigned)SQZ_MIN(longer, (size_t)UINT32_MAX / 2);
}

const char *sqz_nearest(const char *name, const char *const *first, size_t n, size_t stride)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)(SQZ_MIN(strlen(name), (size_t)12) / 3 + 2); /* too far */
    for (size_t k = 0; k < n; k++) {
        const char *known;
        memcpy(&known, (const char *)first + k * stride, sizeof known);
        if (!known)
            continue;
        unsigned d = sqz_distance(name, known);
        if (d < best_distance && d < strlen(known)) { /* all letters replaced is not "near" */
            best = known;
            best_distance = d;
        }
    }
    return best;
}

/* ---- patterns ---- */
#define PATTERN_MAX 1024

static sqz_status match_regex(sqz_ctx *ctx, const char *pattern, const char *text, bool *yes)
{
    sqz_str whole = {.ctx = ctx};
    sqz_str_addf(&whole, "^(%s)$", pattern);
    if (whole.status != SQZ_OK) {
        sqz_status s = whole.status;
        sqz_str_free(&whole);
        return s;
    }
    regex_t re;
    int err = regcomp(&re, whole.data, REG_EXTENDED | REG_NOSUB);
    sqz_str_free(&whole);
    if (err) {
        char why[128];
        (void)regerror(err, &re, why, sizeof why);
        return sqz_fail(ctx, SQZ_E_ARG,
                        "'%s' is neither a name nor a POSIX extended regular expression: %s",
                        pattern, why);
    }
    *yes = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return SQZ_OK;
}

sqz_status sqz_match(sqz_ctx *ctx, const char *pattern, const char *text, bool *yes)
{
    *yes = strcmp(pattern, text) == 0;
    if (*yes || !strpbrk(pattern, ".[]()*+?{}|^$\\"))
        return SQZ_OK;
    if (strlen(pattern) > PATTERN_MAX)
        return sqz_fail(ctx, SQZ_E_LIMIT, "pattern of %zu characters; %d are allowed",
                        strlen(pattern), PATTERN_MAX);
    return match_regex(ctx, pattern, text, yes);
}
