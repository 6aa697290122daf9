/* adaround: learned rounding, layer by layer (Nagel et al. 2020, "Up or down? Adaptive rounding for
 * post-training quantization"), integer-aware: the inputs are those that the quantized network
 * really has, the target is the float network. Most iterations need no data: see adaround.h. */
#include "quant/adaround.h"
#include <math.h>
#include <string.h>

typedef struct options {
    sqz_adaround_options learn;
    double damping;
    int64_t start, bias, samples, patches;
} options;
enum { START_GPTQ, START_NEAREST };

typedef struct job {
    const options *o;
    const sqz_graph *reference;
} job;

/* What rows lose by their codes: on the patches where there are some, else J. */
static sqz_status lost(const sqz_rounding *r, const sqz_patch_pool *pool, const int8_t *codes,
                       double *cost)
{
    return pool->n ? sqz_patch_pool_cost(r, pool, codes, cost) : sqz_rounding_cost(r, codes, cost);
}

/* From the codes at hand; rows that did not gain keep them. */
static sqz_status learn(const job *j, sqz_rounding *r, sqz_arena *a)
{
    const size_t k = r->cols;
    sqz_patch_pool pool = {0};
    const bool clamped = isfinite(r->site->clip_lo) || isfinite(r->site->clip_hi);
    double *before = sqz_arena_alloc(a, r->rows, sizeof *before);
    double *after = sqz_arena_alloc(a, r->rows, sizeof *after);
    int8_t *start = sqz_arena_alloc(a, r->rows, k);
    if (!before || !after || !start)
        return SQZ_E_NOMEM;
    memcpy(start, r->codes, r->rows * k);
    if (clamped && r->asymmetric && j->o->learn.data > 0)
        SQZ_TRY(sqz_patch_pool_make(r, j->reference, a, &pool));
    SQZ_TRY(sqz_adaround(r, pool.n ? &pool : NULL, &j->o->learn));
    if (!pool.n)
        SQZ_TRY(sqz_rounding_descend(r, r->codes));
    SQZ_TRY(lost(r, &pool, start, before));
    SQZ_TRY(lost(r, &pool, r->codes, after));
    for (size_t row = 0; row < r->rows; row++)
        if (!(after[row] < before[row]))
            memcpy(r->codes + row * k, start + row * k, k);
    return SQZ_OK;
}

static sqz_status solve(void *user, sqz_rounding *r)
{
    const job *j = user;
    sqz_arena a = {.ctx = r->ctx};
    const sqz_gptq_options g = {
        .order = r->site->depth > 1, .exact = true, .polish = true, .scales = r->hi < 127};
    sqz_status s = SQZ_OK;
    if (j->o->start == START_GPTQ)
        s = sqz_gptq(r, &g, r->codes);
    if (s == SQZ_OK)
        s = learn(j, r, &a);
    sqz_arena_free(&a);
    return s;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const options *o = opts;
    job j = {.o = o};
    SQZ_TRY(sqz_sites_ready(g, env, "adaround", &j.reference));
    sqz_refine r = {.pass = "adaround",
                    .samples = o->samples,
                    .patches = o->patches,
                    .damping = o->damping,
                    .asymmetric = -1,
                    .bias = (int)o->bias,
                    .round = solve,
                    .user = &j};
    return sqz_refine_run(g, env, &r);
}

static const sqz_attr schema[] = {
    {.name = "iterations",
     .offset = offsetof(options, learn.iterations),
     .type = SQZ_A_INT,
     .def = 500,
     .min = 1,
     .max = 1000000,
     .doc = "steps of Adam for each layer"},
    {.name = "rate",
     .offset = offsetof(options, learn.rate),
     .type = SQZ_A_FLOAT,
     .def = 0.02,
     .min = 1e-6,
     .max = 10,
     .doc = "learning rate"},
    {.name = "lambda",
     .offset = offsetof(options, learn.lambda),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = 0,
     .max = 1e6,
     .doc = "weight of the regularizer that draws towards whole codes"},
    {.name = "warmup",
     .offset = offsetof(options, learn.warmup),
     .type = SQZ_A_FLOAT,
     .def = 0.2,
     .min = 0,
     .max = 1,
     .doc = "part of the steps without the regularizer"},
    {.name = "data",
     .offset = offsetof(options, learn.data),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = 0,
     .max = 1,
     .doc = "part of the steps, the last ones, on samples where a clamp follows the layer"},
    {.name = "damping",
     .offset = offsetof(options, damping),
     .type = SQZ_A_FLOAT,
     .def = 0.01,
     .min = 0,
     .max = 1,
     .doc = "part of the mean diagonal of the moments that is added to it"},
    {.name = "start",
     .offset = offsetof(options, start),
     .type = SQZ_A_ENUM,
     .names = "gptq|nearest",
     .doc = "codes to begin with"},
    {.name = "bias",
     .offset = offsetof(options, bias),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -1,
     .max = 1,
     .doc = "biases take up the shift of the means; -1: beside data on integer grids"},
    {.name = "samples",
     .offset = offsetof(options, samples),
     .type = SQZ_A_INT,
     .max = 9007199254740992.0,
     .doc = "calibration samples to look at; 0: as the job says, else 512"},
    {.name = "patches",
     .offset = offsetof(options, patches),
     .type = SQZ_A_INT,
     .max = 9007199254740992.0,
     .doc = "positions of each layer to look at; 0: 16384 and 8 for each term"},
};

const sqz_pass sqz_pass_adaround = {
    .info = {.name = "adaround",
             .doc = "learned rounding of weights, layer by layer",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_QUANT,
    .run = run,
};
