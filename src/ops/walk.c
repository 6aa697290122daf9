/* walk.c: see walk.h. */
#include "ops/walk.h"

/* Step of each output axis in an operand of shape s. */
static void steps_of(const sqz_shape *s, const sqz_shape *out, unsigned k,
                     size_t step[SQZ_MAX_RANK][SQZ_WALK_IN])
{
    size_t at = 1;
    for (int32_t i = out->rank - 1; i >= 0; i--) {
        int32_t d = i - (out->rank - s->rank);
        step[i][k] = d < 0 || s->dim[d] == 1 ? 0 : at;
        at *= d < 0 ? 1 : (size_t)s->dim[d];
    }
}

void sqz_walk_plan(sqz_walk *w, const sqz_tensor *const *in, unsigned n_in, const sqz_shape *out)
{
    size_t step[SQZ_MAX_RANK][SQZ_WALK_IN] = {{0}};
    w->n_dim = 0;
    for (unsigned k = 0; k < n_in; k++)
        steps_of(&in[k]->shape, out, k, step);
    for (int32_t i = 0; i < out->rank; i++) {
        const size_t d = (size_t)out->dim[i];
        int last = w->n_dim - 1;
        bool alike = last >= 0;
        if (d == 1)
            continue;
        for (unsigned k = 0; alike && k < n_in; k++)
            alike = w->step[last][k] == step[i][k] * d;
        if (!alike)
            w->dim[last = w->n_dim++] = 1;
        w->dim[last] *= d;
        for (unsigned k = 0; k < SQZ_WALK_IN; k++)
            w->step[last][k] = step[i][k];
    }
    if (w->n_dim == 0) { /* one element */
        w->n_dim = 1;
        w->dim[0] = 1;
        for (unsigned k = 0; k < SQZ_WALK_IN; k++)
            w->step[0][k] = k < n_in;
    }
}

void sqz_walk_at(const sqz_walk *w, size_t at, size_t from[SQZ_WALK_IN])
{
    for (unsigned k = 0; k < SQZ_WALK_IN; k++)
        from[k] = 0;
    for (int d = w->n_dim - 1; d >= 0; d--) {
        const size_t i = d ? at % w->dim[d] : at;
        for (unsigned k = 0; k < SQZ_WALK_IN; k++)
            from[k] += i * w->step[d][k];
        at /= w->dim[d];
    }
}
