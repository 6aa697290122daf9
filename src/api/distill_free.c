/* distill_free.c: --data synthetic: samples made from what the teacher's batch norms remember, sure
 * of a class each and smooth (Yin et al. 2020, "Dreaming to distill"), without labels. */
#include "api/distill.h"
#include "train/synthetic.h"
#include <string.h>

enum { SAMPLES = 1024, JUDGED = 8 }; /* to train on; of so many, one more to choose on */

/* As the model's file has them, like the real ones that they stand for. */
static sqz_status in_file_layout(sqz_dataset *from, sqz_dataset **out)
{
    sqz_ctx *ctx = from->ctx;
    sqz_tensor t, file = {0};
    sqz_shape shape = {.rank = from->shape.rank + 1, .dim = {from->n}}, sample = {0};
    int perm[SQZ_MAX_RANK];
    for (int32_t i = 0; i < from->shape.rank; i++)
        shape.dim[i + 1] = from->shape.dim[i];
    for (int32_t i = 0; i < shape.rank; i++)
        perm[i] = sqz_axis_to_last(i, shape.rank);
    SQZ_TRY(sqz_tensor_room(ctx, SQZ_F32, &shape, &t));
    sqz_status s = sqz_data_read(from, 0, from->n, SQZ_F32P(&t), NULL);
    if (s == SQZ_OK)
        s = sqz_tensor_permute(ctx, &t, perm, &file);
    sqz_tensor_free(ctx, &t);
    float *x = s == SQZ_OK ? sqz_malloc(ctx, SQZ_MAX(file.bytes, (size_t)1)) : NULL;
    if (x) {
        memcpy(x, file.data, file.bytes);
        sample.rank = from->shape.rank;
        for (int32_t i = 0; i < sample.rank; i++)
            sample.dim[i] = file.shape.dim[i + 1];
        s = sqz_data_in_memory(ctx, "synthetic", &sample,
                               sample.rank == 3 ? SQZ_LAYOUT_NCHW : SQZ_LAYOUT_UNKNOWN, from->n, x,
                               out);
    } else if (s == SQZ_OK) {
        s = SQZ_E_NOMEM;
    }
    sqz_tensor_free(ctx, &file);
    return s;
}

static sqz_status make(sqz_course *c, int64_t samples, uint64_t seed, sqz_dataset **out)
{
    const sqz_synthetic_options o = {
        .samples = samples, .seed = seed, .one_hot = 1, .variation = 0.1, .notes = &c->w->notes};
    SQZ_TRY(sqz_synthetic_data(c->teacher[0], &o, out));
    if ((*out)->layout != SQZ_LAYOUT_NHWC)
        return SQZ_OK;
    sqz_dataset *last = *out;
    *out = NULL;
    const sqz_status s = in_file_layout(last, out);
    sqz_data_close(last);
    return s;
}

sqz_status sqz_course_synthetic(sqz_course *c)
{
    sqz_work *w = c->w;
    if (!c->n_teacher)
        return sqz_fail(w->ctx, SQZ_E_ARG,
                        "--data synthetic makes samples from what a teacher's batch norms "
                        "remember: give --teacher");
    const int64_t n = w->job.samples > 0 ? w->job.samples : SAMPLES;
    SQZ_TRY(make(c, n, w->job.seed, &w->calib));
    return w->job.valid ? SQZ_OK : make(c, (n + JUDGED - 1) / JUDGED, ~w->job.seed, &w->judge);
}
