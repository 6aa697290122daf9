/* lower_generate.c: operators that make numbers of a few parameters: Range, EyeLike, Size, the
 * windows of signal processing, MelWeightMatrix. The parameters must be known, since they are the
 * size of the output; so the results are constants. */
#include "ops/build.h"
#include <math.h>

#define MOST_BYTES ((size_t)1 << 30) /* of one result: files may ask for any */

/* A tensor to fill, of a type that the file names. */
static sqz_status fresh(sqz_import *im, sqz_dtype d, const sqz_shape *s, sqz_tensor *t)
{
    size_t bytes;
    if (d == SQZ_N_DTYPE)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "results of a type that is not supported");
    SQZ_TRY(sqz_shape_count(im->g->ctx, s, d, NULL, &bytes));
    if (bytes > MOST_BYTES)
        return sqz_fail(im->g->ctx, SQZ_E_LIMIT, "a constant of %zu bytes, at most %zu are made",
                        bytes, MOST_BYTES);
    return sqz_tensor_alloc(im->g->ctx, d, s, t);
}

static sqz_status finish(sqz_import *im, sqz_tensor *t)
{
    return sqz_graph_constant(im->g, im->out_name[0], t, &im->out[0]);
}

/* Constant input i, one number. */
static sqz_status parameter(sqz_import *im, unsigned i, const sqz_tensor **t)
{
    SQZ_TRY(sqz_import_const(im, i, t));
    if (!*t || (*t)->count != 1)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u has %zu elements, expected one number",
                        i, *t ? (*t)->count : 0);
    return SQZ_OK;
}

/* ---- Range: start + i * delta below (delta > 0) or above (delta < 0) limit ---- */

static sqz_status range_real(sqz_import *im, const sqz_tensor *const in[3], sqz_tensor *t)
{
    const double start = sqz_tensor_f64(in[0], 0), delta = sqz_tensor_f64(in[2], 0);
    const double n = ceil((sqz_tensor_f64(in[1], 0) - start) / delta);
    if (!(n < 0x1p48)) /* NaN too */
        return sqz_fail(im->g->ctx, SQZ_E_ARG, "a range of %g numbers", n);
    const sqz_shape s = {1, {n > 0 ? (int64_t)n : 0}};
    SQZ_TRY(fresh(im, in[0]->dtype, &s, t));
    for (size_t i = 0; i < t->count; i++)
        sqz_tensor_set_f64(t, i, start + (double)i * delta);
    return SQZ_OK;
}

static sqz_status range_whole(sqz_import *im, const sqz_tensor *const in[3], sqz_tensor *t)
{
    const int64_t start = sqz_tensor_i64(in[0], 0), limit = sqz_tensor_i64(in[1], 0),
                  delta = sqz_tensor_i64(in[2], 0);
    const bool up = delta > 0, any = up ? start < limit : start > limit;
    const uint64_t step = up ? (uint64_t)delta : 0 - (uint64_t)delta;
    const uint64_t way = up ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    if (delta == 0)
        return sqz_fail(im->g->ctx, SQZ_E_ARG, "a range with steps of 0");
    const uint64_t n = any ? (way - 1) / step + 1 : 0;
    const sqz_shape s = {1, {(int64_t)SQZ_MIN(n, (uint64_t)INT64_MAX)}};
    SQZ_TRY(fresh(im, in[0]->dtype, &s, t));
    for (size_t i = 0; i < t->count; i++)
        sqz_tensor_set_i64(t, i, (int64_t)((uint64_t)start + i * (uint64_t)delta));
    return SQZ_OK;
}

static sqz_status range(sqz_import *im)
{
    const sqz_tensor *in[3];
    sqz_tensor t = {0};
    for (unsigned i = 0; i < 3; i++)
        SQZ_TRY(parameter(im, i, &in[i]));
    if (in[1]->dtype != in[0]->dtype || in[2]->dtype != in[0]->dtype)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "start, limit and delta are of different types");
    SQZ_TRY(sqz_dtype_is_float(in[0]->dtype) ? range_real(im, in, &t) : range_whole(im, in, &t));
    return finish(im, &t);
}

/* ---- from a shape ---- */

static sqz_status eye_like(sqz_import *im)
{
    const sqz_value *x = im->n_in && im->in[0] != SQZ_NONE ? sqz_val(im->g, im->in[0]) : NULL;
    const int64_t k = sqz_import_int(im, "k", 0);
    sqz_tensor t = {0};
    if (!x || x->shape.rank != 2)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "expected a matrix");
    const sqz_shape shape = x->shape;
    const sqz_dtype d = sqz_dtype_of_onnx(
        (int32_t)sqz_import_int(im, "dtype", sqz_dtype_onnx(x->dtype)));
    SQZ_TRY(fresh(im, d, &shape, &t));
    if (k >= shape.dim[1] || k <= -shape.dim[0]) /* any number of the file */
        return finish(im, &t);
    for (int64_t row = k < 0 ? -k : 0; row < shape.dim[0] && row + k < shape.dim[1]; row++)
        sqz_tensor_set_i64(&t, (size_t)(row * shape.dim[1] + row + k), 1);
    return finish(im, &t);
}

static sqz_status size(sqz_import *im)
{
    size_t count;
    sqz_tensor t = {0};
    const sqz_shape scalar = {0};
    if (im->n_in == 0 || im->in[0] == SQZ_NONE)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input 0 is missing");
    SQZ_TRY(sqz_shape_count(im->g->ctx, &sqz_val(im->g, im->in[0])->shape, SQZ_F32, &count, NULL));
    SQZ_TRY(fresh(im, SQZ_S64, &scalar, &t));
    sqz_tensor_set_i64(&t, 0, (int64_t)count);
    return finish(im, &t);
}

/* ---- windows: a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N) ---- */

static sqz_status window(sqz_import *im, double a0, double a1, double a2)
{
    const sqz_tensor *n;
    sqz_tensor t = {0};
    SQZ_TRY(parameter(im, 0, &n));
    const sqz_shape s = {1, {sqz_tensor_i64(n, 0)}};
    const bool periodic = sqz_import_int(im, "periodic", 1) != 0;
    SQZ_TRY(
        fresh(im, sqz_dtype_of_onnx((int32_t)sqz_import_int(im, "output_datatype", 1)), &s, &t));
    const double turn = 2 * acos(-1.0) / (double)(periodic ? s.dim[0] : SQZ_MAX(s.dim[0] - 1, 1));
    for (size_t i = 0; i < t.count; i++) {
        const double w = turn * (double)i, v = a0 - a1 * cos(w) + a2 * cos(2 * w);
        sqz_tensor_set_f64(&t, i, sqz_dtype_is_float(t.dtype) ? v : trunc(v));
    }
    return finish(im, &t);
}
static sqz_status hann(sqz_import *im) { return window(im, 0.5, 0.5, 0); }
static sqz_status hamming(sqz_import *im) { return window(im, 25.0 / 46, 21.0 / 46, 0); }
static sqz_status blackman(sqz_import *im) { return window(im, 0.42, 0.5, 0.08); }

/* ---- MelWeightMatrix: triangles over the bins of a spectrum, evenly spaced on the mel scale,
 * mel = 2595 log10(1 + f / 700) ---- */

static double mel_of(double f) { return 2595 * log10(1 + f / 700); }
static double frequency_of(double mel) { return 700 * (pow(10, mel / 2595) - 1); }

/* Column `m` rises from bin `left` to 1 at `center` and falls until `right`. */
static void triangle(sqz_tensor *t, size_t m, int64_t left, int64_t center, int64_t right)
{
    const int64_t bins = t->shape.dim[0], columns = t->shape.dim[1];
    for (int64_t j = SQZ_MAX(left, 0); j <= right && j < bins; j++) {
        double v = j == center  ? 1
                   : j < center ? (double)(j - left) / (double)(center - left)
                                : (double)(right - j) / (double)(right - center);
        sqz_tensor_set_f64(t, (size_t)(j * columns) + m,
                           sqz_dtype_is_float(t->dtype) ? v : trunc(v));
    }
}

static sqz_status mel_weight_matrix(sqz_import *im)
{
    const sqz_tensor *in[5];
    sqz_tensor t = {0};
    for (unsigned i = 0; i < 5; i++)
        SQZ_TRY(parameter(im, i, &in[i]));
    const int64_t n = sqz_tensor_i64(in[0], 0), dft = sqz_tensor_i64(in[1], 0),
                  rate = sqz_tensor_i64(in[2], 0);
    const double low = mel_of(sqz_tensor_f64(in[3], 0)), high = mel_of(sqz_tensor_f64(in[4], 0));
    if (n < 0 || n > INT32_MAX || dft < 0 || dft > INT32_MAX || rate <= 0 || !isfinite(low) ||
        !isfinite(high))
        return sqz_fail(im->g->ctx, SQZ_E_ARG,
                        "%lld bins for a transform of length %lld at %lld Hz", (long long)n,
                        (long long)dft, (long long)rate);
    const sqz_shape s = {2, {dft / 2 + 1, n}};
    SQZ_TRY(
        fresh(im, sqz_dtype_of_onnx((int32_t)sqz_import_int(im, "output_datatype", 1)), &s, &t));
    int64_t edge[3];
    for (int64_t m = 0; m < n; m++) {
        for (int64_t k = 0; k < 3; k++) {
            const double f = frequency_of(low + (double)(m + k) * (high - low) / ((double)n + 2));
            edge[k] = (int64_t)fmin(fmax(floor((double)(dft + 1) * f / (double)rate), -1),
                                    (double)INT32_MAX);
        }
        triangle(&t, (size_t)m, edge[0], edge[1], edge[2]);
    }
    return finish(im, &t);
}

static const sqz_lower rules[] = {
    {.domain = "", .op_type = "Range", .since = 11, .import = range},
    {.domain = "", .op_type = "EyeLike", .since = 9, .import = eye_like},
    {.domain = "", .op_type = "Size", .since = 1, .import = size},
    {.domain = "", .op_type = "HannWindow", .since = 17, .import = hann},
    {.domain = "", .op_type = "HammingWindow", .since = 17, .import = hamming},
    {.domain = "", .op_type = "BlackmanWindow", .since = 17, .import = blackman},
    {.domain = "", .op_type = "MelWeightMatrix", .since = 17, .import = mel_weight_matrix},
};
const sqz_lower_set sqz_lower_generate = {rules, SQZ_COUNT(rules)};
