/* lower_dropout.c: Dropout at inference: y = x, and a mask of ones. How much training drops is
 * kept. */
#include "ops/build.h"
#include "ops/dropout.h"

/* Whether the node asks for random numbers: in training mode, at a ratio that is not 0. Before
 * opset 7 `is_test` said so, which exporters left at 0: those files are read for inference as well.
 */
static sqz_status draws(sqz_import *im, bool *yes)
{
    const sqz_tensor *training = NULL, *ratio = NULL;
    *yes = false;
    SQZ_TRY(sqz_import_const(im, 2, &training));
    if (!training || !training->count || !sqz_tensor_i64(training, 0))
        return SQZ_OK;
    SQZ_TRY(sqz_import_const(im, 1, &ratio));
    *yes = !ratio || !ratio->count || sqz_tensor_f64(ratio, 0) != 0;
    return SQZ_OK;
}

/* An attribute before opset 12, then an input; 0.5 where the file says nothing. */
static double read_ratio(const sqz_import *im)
{
    const sqz_raw_attr *at = sqz_import_attr(im, "ratio");
    const sqz_tensor *t = NULL;
    const sqz_value *v = im->n_in > 1 && im->in[1] != SQZ_NONE ? sqz_val(im->g, im->in[1]) : NULL;
    if (v && v->constant)
        t = v->constant;
    const double ratio = t && t->count ? sqz_tensor_f64(t, 0) : at ? (double)at->f : 0.5;
    return ratio >= 0 && ratio <= 1 ? ratio : 0; /* another means nothing, and is not needed */
}

static sqz_status dropout(sqz_import *im)
{
    sqz_graph *g = im->g;
    sqz_tensor t;
    bool random;
    if (im->n_in == 0 || im->in[0] == SQZ_NONE)
        return sqz_fail(g->ctx, SQZ_E_FORMAT, "input 0 is missing");
    SQZ_TRY(draws(im, &random));
    if (random)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "Dropout in training mode draws random numbers: export the model for "
                        "inference");
    const sqz_value *x = sqz_val(g, im->in[0]);
    const sqz_shape shape = x->shape;
    const sqz_dtype mask = im->opset < 10 ? x->dtype : SQZ_BOOL;
    const unsigned n_out = im->n_out;
    im->n_out = 1;
    const sqz_dropout_attrs a = {read_ratio(im)};
    sqz_status s = sqz_import_node(im, sqz_op_find("dropout"), &a, im->in, 1);
    im->n_out = n_out;
    if (s != SQZ_OK || n_out < 2 || !im->out_name[1])
        return s;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, mask, &shape, &t));
    for (size_t i = 0; i < t.count; i++)
        sqz_tensor_set_i64(&t, i, 1);
    return sqz_graph_constant(g, im->out_name[1], &t, &im->out[1]);
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "Dropout", .since = 1, .import = dropout}};
const sqz_lower_set sqz_lower_dropout = {rules, SQZ_COUNT(rules)};
