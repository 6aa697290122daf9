/* quantity.c: numbers with units. One table says which units there are and what they are worth. */
#include "base/yaml.h"
#include <math.h>
#include <string.h>

typedef struct unit {
    sqz_dim dim;
    const char *name;
    double times, per; /* value x times / per: dividing keeps 95 % the double nearest to 0.95 */
} unit;

static const unit units[] = {
    {SQZ_DIM_BYTES, "B", 1, 1},
    {SQZ_DIM_BYTES, "kB", 1e3, 1},
    {SQZ_DIM_BYTES, "MB", 1e6, 1},
    {SQZ_DIM_BYTES, "GB", 1e9, 1},
    {SQZ_DIM_BYTES, "KiB", 1024, 1},
    {SQZ_DIM_BYTES, "MiB", 1048576, 1},
    {SQZ_DIM_BYTES, "GiB", 1073741824, 1},
    {SQZ_DIM_HZ, "Hz", 1, 1},
    {SQZ_DIM_HZ, "kHz", 1e3, 1},
    {SQZ_DIM_HZ, "MHz", 1e6, 1},
    {SQZ_DIM_HZ, "GHz", 1e9, 1},
    {SQZ_DIM_SECONDS, "s", 1, 1},
    {SQZ_DIM_SECONDS, "ms", 1, 1e3},
    {SQZ_DIM_SECONDS, "us", 1, 1e6},
    {SQZ_DIM_SECONDS, "ns", 1, 1e9},
    {SQZ_DIM_SECONDS, "min", 60, 1},
    {SQZ_DIM_SECONDS, "h", 3600, 1},
    {SQZ_DIM_JOULES, "J", 1, 1},
    {SQZ_DIM_JOULES, "mJ", 1, 1e3},
    {SQZ_DIM_JOULES, "uJ", 1, 1e6},
    {SQZ_DIM_JOULES, "nJ", 1, 1e9},
    {SQZ_DIM_JOULES, "kJ", 1e3, 1},
    {SQZ_DIM_JOULES, "Wh", 3600, 1},
    {SQZ_DIM_JOULES, "kWh", 3.6e6, 1},
    {SQZ_DIM_WATTS, "W", 1, 1},
    {SQZ_DIM_WATTS, "mW", 1, 1e3},
    {SQZ_DIM_WATTS, "uW", 1, 1e6},
    {SQZ_DIM_WATTS, "kW", 1e3, 1},
    {SQZ_DIM_PERCENT, "%", 1, 1e2},
    {SQZ_DIM_POINTS, "pp", 1, 1e2},
};

/* "USD", or "USD/h" for a price: any three capital letters. */
static bool is_currency(const char *text, bool per_hour)
{
    for (int i = 0; i < 3; i++)
        if (text[i] < 'A' || text[i] > 'Z')
            return false;
    return strcmp(text + 3, per_hour ? "/h" : "") == 0;
}

static bool convert(sqz_dim dim, const char *name, double *v)
{
    if (dim == SQZ_DIM_MONEY || dim == SQZ_DIM_MONEY_PER_HOUR)
        return is_currency(name, dim == SQZ_DIM_MONEY_PER_HOUR);
    for (size_t i = 0; i < SQZ_COUNT(units); i++)
        if (units[i].dim == dim && strcmp(units[i].name, name) == 0) {
            *v = *v * units[i].times / units[i].per;
            return true;
        }
    return false;
}

static const char *expected(sqz_dim dim, sqz_str *s)
{
    if (dim == SQZ_DIM_MONEY || dim == SQZ_DIM_MONEY_PER_HOUR)
        return dim == SQZ_DIM_MONEY ? "a currency such as USD"
                                    : "a currency per hour such as USD/h";
    for (size_t i = 0; i < SQZ_COUNT(units); i++)
        if (units[i].dim == dim)
            sqz_str_addf(s, "%s%s", s->len ? ", " : "one of ", units[i].name);
    return s->data ? s->data : "a unit";
}

static sqz_status wrong_unit(sqz_ctx *ctx, const char *what, const char *text, const char *name,
                             sqz_dim dim)
{
    if (dim == SQZ_DIM_BYTES && (strcmp(name, "KB") == 0 || strcmp(name, "kb") == 0))
        return sqz_fail(ctx, SQZ_E_ARG,
                        "'%.60s' is '%.60s': KiB or kB? (1 KiB = 1024 B, 1 kB = 1000 B)", what,
                        text);
    sqz_str list = {.ctx = ctx};
    sqz_status s = sqz_fail(ctx, SQZ_E_ARG, "'%.60s' is '%.60s'; %s; the unit must be %s", what,
                            text, *name ? "this unit is not known here" : "the unit is missing",
                            expected(dim, &list));
    sqz_str_free(&list);
    return s;
}

sqz_status sqz_quantity(sqz_ctx *ctx, const char *what, const char *text, sqz_dim dim, double *out)
{
    const char *p;
    double v;
    if (!sqz_parse_f64(text, &p, &v))
        return sqz_fail(ctx, SQZ_E_ARG, "'%.60s' is '%.60s'; a number with a unit is expected",
                        what, text);
    while (*p == ' ')
        p++;
    if (!convert(dim, p, &v))
        return wrong_unit(ctx, what, text, p, dim);
    if (!isfinite(v) || v < 0 || signbit(v))
        return sqz_fail(ctx, SQZ_E_ARG, "'%.60s' is '%.60s'; it must be finite and not negative",
                        what, text);
    *out = v;
    return SQZ_OK;
}
