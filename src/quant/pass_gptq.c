/* gptq: rounds weights column by column, later columns making up for the errors of earlier ones, in
 * the metric of the layer's inputs (Frantar et al. 2022, "GPTQ"). Then single codes are changed as
 * long as that helps, and rows of few terms (depthwise) get the best codes there are. */
#include "quant/refine.h"

typedef struct options {
    double damping;
    int64_t act_order, asymmetric, bias, polish, scales, samples, patches;
} options;

static sqz_status solve(void *user, sqz_rounding *r)
{
    const options *o = user;
    /* a depthwise row has a handful of terms: its order is the kernel's */
    const sqz_gptq_options g = {.order = o->act_order != 0 && r->site->depth > 1,
                                .exact = o->polish != 0,
                                .polish = o->polish != 0,
                                .scales = o->scales != 0 && r->hi < 127};
    return sqz_gptq(r, &g, r->codes);
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    options o = *(const options *)opts;
    sqz_refine r = {.pass = "gptq",
                    .samples = o.samples,
                    .patches = o.patches,
                    .damping = o.damping,
                    .asymmetric = (int)o.asymmetric,
                    .bias = (int)o.bias,
                    .round = solve,
                    .user = &o};
    return sqz_refine_run(g, env, &r);
}

static const sqz_attr schema[] = {
    {.name = "damping",
     .offset = offsetof(options, damping),
     .type = SQZ_A_FLOAT,
     .def = 0.01,
     .min = 0,
     .max = 1,
     .doc = "part of the mean diagonal of the moments that is added to it"},
    {.name = "act_order",
     .offset = offsetof(options, act_order),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "columns by falling size of their inputs; never on depthwise layers"},
    {.name = "asymmetric",
     .offset = offsetof(options, asymmetric),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -1,
     .max = 1,
     .doc = "aim at the float network's outputs, not at those of the quantized inputs; -1: "
            "convolutions "
            "do"},
    {.name = "bias",
     .offset = offsetof(options, bias),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -1,
     .max = 1,
     .doc = "biases take up the shift of the means; -1: beside data on integer grids"},
    {.name = "polish",
     .offset = offsetof(options, polish),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "change single codes afterwards as long as that helps"},
    {.name = "scales",
     .offset = offsetof(options, scales),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "below 8 bits: look for better scales too, where each row has one"},
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

const sqz_pass sqz_pass_gptq = {
    .info = {.name = "gptq",
             .doc = "weights rounded column by column, errors made up for by the rest",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_QUANT,
    .run = run,
};
