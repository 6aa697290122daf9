/* keras_wrappers.c: TimeDistributed: the steps of (N, T, ...) become samples of (N * T, ...). */
#include "io/keras.h"
#include <string.h>

/* Layers that do the same on more axes. */
static bool by_itself(const sqz_klayer *l)
{
    return l->cls && sqz_kc_is("Dense|TimeDistributedDense|Activation|ReLU|LeakyReLU|ELU|"
                               "Dropout|GaussianNoise|GaussianDropout|AlphaDropout|Rescaling",
                               l->type);
}

/* dim[0] stands for what is left. */
static sqz_vid shaped(sqz_klayer *l, sqz_vid x, const char *suffix, int32_t rank, int64_t *dim)
{
    dim[0] = -1;
    return sqz_keras_node(l, "Reshape", suffix, NULL, 0,
                          SQZ_KI(x, sqz_keras_ints(l, (uint32_t)rank, dim)));
}

static sqz_status time_distributed(sqz_klayer *l)
{
    sqz_klayer *in = l->inner;
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    int64_t dim[SQZ_MAX_RANK + 1];
    if (!in || s.rank < 3)
        sqz_keras_fail(l, SQZ_E_FORMAT, "it has no layer inside, or an input without steps");
    if (l->status != SQZ_OK)
        return l->status;
    sqz_kval folded = *l->in[0], *list[1] = {&folded};
    bool direct = by_itself(in);
    if (!direct) {
        memcpy(dim + 1, s.dim + 2, sizeof(int64_t) * (size_t)(s.rank - 2));
        folded = (sqz_kval){
            .plain = shaped(l, sqz_keras_plain(l, l->in[0]), "steps", s.rank - 1, dim),
            .first = SQZ_NONE};
    }
    if (l->status != SQZ_OK)
        return l->status;
    in->in = list;
    in->n_in = 1;
    SQZ_TRY(sqz_keras_call(in));
    if (in->n_out == 0 || in->out[0].bad) {
        l->out[l->n_out++] = (sqz_kval){SQZ_NONE, SQZ_NONE, false, true};
        return SQZ_OK; /* on the list */
    }
    if (direct) {
        l->out[l->n_out++] = in->out[0];
        return l->status;
    }
    const sqz_shape y = sqz_keras_shape(l, &in->out[0]);
    if (y.rank + 1 > SQZ_MAX_RANK)
        sqz_keras_fail(l, SQZ_E_LIMIT, "an output of %d axes", (int)y.rank + 1);
    if (l->status != SQZ_OK)
        return l->status;
    dim[1] = s.dim[1];
    memcpy(dim + 2, y.dim + 1, sizeof(int64_t) * (size_t)(y.rank - 1));
    sqz_keras_out(l, shaped(l, sqz_keras_plain(l, &in->out[0]), "samples", y.rank + 1, dim), false);
    return l->status;
}

static const sqz_kclass classes[] = {
    {"TimeDistributed", time_distributed, 0, SQZ_K_MASK_USE},
};
const sqz_kclasses sqz_keras_wrappers = {classes, SQZ_COUNT(classes)};
