/* feeds.c: samples of a set to all inputs of a graph. */
#include "io/data.h"
#include <string.h>

/* Input i as sqz_feed_plan wants it: with the batch in front. An input that has no batch (a state
 * of its own first dimension, a number) is fed whole, from samples of its whole shape. */
static sqz_value batched(const sqz_graph *g, uint32_t i)
{
    sqz_value v = *sqz_val(g, g->input[i]);
    const sqz_shape *first = &sqz_val(g, g->input[0])->shape;
    const int64_t batch = first->rank ? first->dim[0] : 1;
    if ((v.shape.rank && v.shape.dim[0] == batch) || v.shape.rank == SQZ_MAX_RANK)
        return v;
    for (int32_t k = v.shape.rank; k > 0; k--)
        v.shape.dim[k] = v.shape.dim[k - 1];
    v.shape.dim[0] = 1;
    v.shape.rank++;
    v.channel_last = false;
    return v;
}

sqz_status sqz_feeds_plan(sqz_arena *a, const sqz_dataset *ds, const sqz_graph *g,
                          const char *layout, sqz_feeds *out)
{
    *out = (sqz_feeds){.ctx = g->ctx, .n = g->n_input};
    if (g->n_input == 0 || (g->n_input > 1 && ds->n_part != g->n_input))
        return sqz_fail(g->ctx, SQZ_E_ARG,
                        "the model has %u inputs: data must be an NPZ or HDF5 file with an array "
                        "for each, of its name",
                        (unsigned)g->n_input);
    out->feed = sqz_arena_alloc(a, out->n, sizeof *out->feed);
    out->dtype = sqz_arena_alloc(a, out->n, sizeof *out->dtype);
    if (!out->feed || !out->dtype)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < out->n; i++) {
        const sqz_value v = batched(g, i);
        const sqz_dataset *from = ds->n_part ? ds->part[i] : ds;
        SQZ_TRY(sqz_feed_plan(g->ctx, from, &v, layout, &out->feed[i]));
        out->dtype[i] = v.dtype;
        out->elements += out->feed[i].elements;
    }
    return SQZ_OK;
}

sqz_status sqz_feeds_memory(const sqz_feeds *f, int64_t batch, void **in)
{
    memset(in, 0, f->n * sizeof *in);
    for (uint32_t i = 0; i < f->n; i++) {
        size_t bytes;
        if (!sqz_mul(f->feed[i].elements, (size_t)batch, &bytes) || !sqz_mul(bytes, 8, &bytes))
            return sqz_fail(f->ctx, SQZ_E_LIMIT, "a batch of %lld samples is too large",
                            (long long)batch);
        bytes = (bytes / 8 * sqz_dtype_bits(f->dtype[i]) + 7) / 8;
        in[i] = sqz_malloc_aligned(f->ctx, SQZ_MAX(bytes, (size_t)1));
        if (!in[i])
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

void sqz_feeds_free(const sqz_feeds *f, void **in)
{
    for (uint32_t i = 0; i < f->n; i++) {
        sqz_free_aligned(f->ctx, in[i]);
        in[i] = NULL;
    }
}

/* n samples of input i, at distance `row`, through temp memory of 2 n elements. */
static sqz_status apply_one(const sqz_feeds *f, uint32_t i, int64_t n, const float *samples,
                            void *in)
{
    const sqz_feed *feed = &f->feed[i];
    const size_t each = feed->elements;
    size_t count, bytes;
    if (!sqz_mul(each, (size_t)n, &count) || !sqz_mul(count, 2 * sizeof(float), &bytes))
        return sqz_fail(f->ctx, SQZ_E_LIMIT, "a batch of %lld samples is too large", (long long)n);
    float *t = sqz_calloc(f->ctx, SQZ_MAX(2 * count, (size_t)1), sizeof *t);
    if (!t)
        return SQZ_E_NOMEM;
    for (size_t k = 0; k < (size_t)n; k++)
        memcpy(t + k * each, samples + k * f->elements, each * sizeof *t);
    sqz_feed_apply(feed, n, t, t + count);
    const sqz_shape s = {1, {(int64_t)count}};
    sqz_tensor to;
    sqz_status st = sqz_tensor_view(f->ctx, f->dtype[i], &s, in, &to);
    for (size_t k = 0; st == SQZ_OK && k < count; k++)
        sqz_tensor_set_f64(&to, k, (double)t[count + k]);
    sqz_free(f->ctx, t);
    return st;
}

sqz_status sqz_feeds_apply(const sqz_feeds *f, int64_t n, const float *samples, void *const *in)
{
    if (f->n == 1 && f->dtype[0] == SQZ_F32) {
        sqz_feed_apply(&f->feed[0], n, samples, in[0]);
        return SQZ_OK;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        SQZ_TRY(apply_one(f, i, n, samples + at, in[i]));
        at += f->feed[i].elements;
    }
    return SQZ_OK;
}
