/* calib: gives every float activation a range, from ranges that were read or from data. */
#include "calib/calib.h"
#include "ir/pass.h"

typedef struct options {
    const char *method;
    int64_t samples, bits;
} options;

/* Ranges that a person left open ("calibrator": ...) are computed from the data, if there is any.
 */
static sqz_status complete(const sqz_graph *g, const sqz_env *env, int64_t samples,
                           sqz_ranges **out)
{
    sqz_str text = {.ctx = g->ctx};
    sqz_stats *stats = NULL;
    sqz_status s = sqz_ranges_print(env->ranges, &text);
    if (s == SQZ_OK)
        s = sqz_ranges_parse(g->ctx, "ranges", text.data, text.len, out);
    if (s == SQZ_OK)
        s = sqz_stats_collect(g, env->calib, env->layout, samples, env->batch, &stats);
    if (s == SQZ_OK)
        s = sqz_ranges_resolve(g->ctx, *out, stats);
    sqz_stats_free(g->ctx, stats);
    sqz_str_free(&text);
    return s;
}

/* Statistics that an earlier recipe left, if they are of as many samples. */
static bool reusable(const sqz_env *env, int64_t samples)
{
    return env->stats && *env->stats &&
           (int64_t)(*env->stats)->samples == SQZ_MIN(samples ? samples : 512, env->calib->n);
}

static sqz_status from_data(const sqz_graph *g, const sqz_env *env, const options *o,
                            int64_t samples, sqz_ranges **out)
{
    sqz_stats *stats = NULL;
    if (reusable(env, samples))
        return sqz_ranges_for_bits(g->ctx, *env->stats, o->method, (unsigned)o->bits, out);
    SQZ_TRY(sqz_stats_collect(g, env->calib, env->layout, samples, env->batch, &stats));
    sqz_status s = sqz_ranges_for_bits(g->ctx, stats, o->method, (unsigned)o->bits, out);
    if (env->stats) {
        sqz_stats_free(g->ctx, *env->stats);
        *env->stats = stats;
    } else {
        sqz_stats_free(g->ctx, stats);
    }
    return s;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const options *o = opts;
    int64_t samples = o->samples ? o->samples : env->samples;
    sqz_ranges *made = NULL;
    sqz_status s = SQZ_OK;
    if (!env->ranges && !env->calib)
        return sqz_fail(g->ctx, SQZ_E_ARG, "calibration needs data, or ranges from a file");
    if (!env->ranges)
        s = from_data(g, env, o, samples, &made);
    else if (env->calib && !sqz_ranges_complete(env->ranges))
        s = complete(g, env, samples, &made);
    if (s == SQZ_OK)
        s = sqz_ranges_apply(made ? made : env->ranges, g, NULL);
    sqz_ranges_free(g->ctx, made);
    return s;
}

static const sqz_attr schema[] = {
    {.name = "method",
     .offset = offsetof(options, method),
     .type = SQZ_A_STRING,
     .names = "mse",
     .doc = "calibrator, with options in brackets: \"percentile(p=99.9)\""},
    {.name = "samples",
     .offset = offsetof(options, samples),
     .type = SQZ_A_INT,
     .max = 9007199254740992.0,
     .doc = "samples to look at, taken evenly from the set; 0: as the job says, else 512"},
    {.name = "bits",
     .offset = offsetof(options, bits),
     .type = SQZ_A_INT,
     .def = 8,
     .min = 2,
     .max = 16,
     .doc = "bits of the activations that the ranges are for"},
};

const sqz_pass sqz_pass_calib = {
    .info = {.name = "calib",
             .doc = "ranges of activations from calibration data",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_LAYOUT,
    .gives = SQZ_HAS_RANGES,
    .exact = true,
    .run = run,
};
