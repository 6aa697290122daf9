/* lower_stft.c: STFT: frames of a signal (N,L,1 or 2), each times a window, each transformed:
 * (N, frames, bins, 2) with frames = (L - length) / step + 1 of `length` samples. */
#include "ops/build.h"

static sqz_status number(sqz_import *im, unsigned slot, int64_t *out)
{
    const sqz_tensor *t = NULL;
    SQZ_TRY(sqz_import_const(im, slot, &t));
    if (!t)
        return SQZ_OK;
    if (t->count != 1)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u has %zu elements, expected one number",
                        slot, t->count);
    *out = sqz_tensor_i64(t, 0);
    return SQZ_OK;
}

/* Which sample every place of every frame is. */
static sqz_status places(sqz_import *im, int64_t frames, int64_t step, int64_t length,
                         sqz_tensor *t)
{
    const sqz_shape s = {2, {frames, length}};
    SQZ_TRY(sqz_tensor_alloc(im->g->ctx, SQZ_S64, &s, t));
    for (int64_t f = 0; f < frames; f++)
        for (int64_t i = 0; i < length; i++)
            SQZ_S64P(t)[f * length + i] = f * step + i;
    return SQZ_OK;
}

static sqz_status stft(sqz_import *im)
{
    sqz_build b = {.im = im};
    if (im->n_in == 0 || im->in[0] == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "the signal is missing");
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    const sqz_vid window = sqz_b_in(&b, 2);
    int64_t step = 0, length = 0;
    sqz_tensor t;
    if (x->rank != 3)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "a signal of rank %d, expected (N,L,1 or 2)",
                        (int)x->rank);
    SQZ_TRY(number(im, 1, &step));
    SQZ_TRY(number(im, 3, &length));
    if (window != SQZ_NONE && sqz_val(im->g, window)->shape.rank != 1)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "a window of rank %d, expected 1",
                        (int)sqz_val(im->g, window)->shape.rank);
    const int64_t wide = window == SQZ_NONE ? 0 : sqz_val(im->g, window)->shape.dim[0];
    length = length ? length : wide ? wide : x->dim[1];
    if (step < 1 || length < 1 || length > x->dim[1] || (wide && wide != length))
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT,
                        "frames of %lld every %lld samples of %lld, with a window of %lld",
                        (long long)length, (long long)step, (long long)x->dim[1], (long long)wide);
    SQZ_TRY(places(im, (x->dim[1] - length) / step + 1, step, length, &t));
    const sqz_vid cut[] = {im->in[0], sqz_b_tensor(&b, &t)};
    sqz_vid y = sqz_bf(&b, "gather", cut, 2, "axis=1");
    if (window != SQZ_NONE)
        y = sqz_b(&b, "mul", NULL, 2, y, sqz_b(&b, "unsqueeze", "axes=1", 1, window));
    return sqz_b_end(
        &b, 1,
        sqz_bf(&b, "dft", &y, 1, "axis=2 onesided=%d", sqz_import_int(im, "onesided", 1) != 0));
}

static const sqz_lower rules[] = {{.domain = "", .op_type = "STFT", .since = 17, .import = stft}};
const sqz_lower_set sqz_lower_stft = {rules, SQZ_COUNT(rules)};
