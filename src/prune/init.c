/* init.c: fresh numbers for the parameters of a network. */
#include "prune/student.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct fill { /* how one constant is filled */
    enum { KEEP, VALUE, NORMAL, UNIFORM, LSTM_BIAS } kind;
    double size; /* the value; standard deviation; half width */
} fill;

typedef struct job {
    sqz_graph *g;
    sqz_uses uses;
    fill *fill; /* of each value */
    const bool *only;
} job;

static bool is(const sqz_node *n, const char *names) /* "|a|b|" */
{
    char key[64];
    (void)snprintf(key, sizeof key, "|%s|", n->op->info.name);
    return strstr(names, key) != NULL;
}

/* ---- what follows a layer ---- */

/* Operators that leave the form of a distribution to the next one. */
#define PASSES                                                                                     \
    "|batch_norm|add|identity|reshape|flatten|transpose|squeeze|unsqueeze|max_pool|average_pool|"  \
    "global_average_pool|global_max_pool|pad|concat|layer_norm|group_norm|instance_norm|dropout|"
#define RECTIFIES                                                                                  \
    "|relu|clip|leaky_relu|prelu|elu|selu|celu|gelu|swish|hard_swish|mish|softplus|"               \
    "thresholded_relu|"

static bool rectifier_follows(const job *j, const sqz_node *n)
{
    for (int steps = 0; steps < 16; steps++) {
        const sqz_vid y = n->out[0];
        if (!sqz_n_uses(&j->uses, y) || j->uses.node[j->uses.first[y]] == SQZ_NONE)
            return false;
        n = sqz_nod(j->g, j->uses.node[j->uses.first[y]]);
        if (is(n, RECTIFIES))
            return true;
        if (!is(n, PASSES))
            return false;
    }
    return false;
}

/* ---- rules ---- */

static bool is_constant(const sqz_graph *g, const sqz_node *n, unsigned k)
{
    return k < n->n_in && n->in[k] != SQZ_NONE && sqz_val(g, n->in[k])->constant &&
           sqz_dtype_is_float(sqz_val(g, n->in[k])->dtype);
}

/* The first reader of a constant decides. */
static void set(job *j, const sqz_node *n, unsigned k, fill f)
{
    if (is_constant(j->g, n, k) && j->fill[n->in[k]].kind == KEEP &&
        (!j->only || j->only[n->in[k]]))
        j->fill[n->in[k]] = f;
}

/* He et al. (2015): variance 2 / fan in. Glorot & Bengio (2010): uniform, variance 2 / (in + out).
 */
static fill by_fans(const job *j, const sqz_node *n, double in, double out)
{
    if (rectifier_follows(j, n))
        return (fill){NORMAL, sqrt(2 / fmax(in, 1))};
    return (fill){UNIFORM, sqrt(6 / fmax(in + out, 1))};
}

static void set_convolution(job *j, const sqz_node *n)
{
    const sqz_value *w = sqz_val(j->g, n->in[1]), *x = sqz_val(j->g, n->in[0]);
    const double many = (double)w->shape.dim[0], each = (double)w->shape.dim[sqz_axis_c(w)];
    double taps = 1;
    for (int32_t i = 1; i < w->shape.rank; i++)
        taps *= (double)w->shape.dim[i];
    taps /= fmax(each, 1);
    const double channels = (double)x->shape.dim[sqz_axis_c(x)];
    if (is(n, "|conv_transpose|")) { /* (I, taps, O / groups); groups see I / groups */
        const double y = (double)sqz_val(j->g, n->out[0])->shape.dim[sqz_axis_c(x)];
        set(j, n, 1, by_fans(j, n, many * each / fmax(y, 1) * taps, each * taps));
    } else {
        const double groups = channels / fmax(each, 1);
        set(j, n, 1, by_fans(j, n, each * taps, many / fmax(groups, 1) * taps));
    }
    set(j, n, 2, (fill){VALUE, 0});
}

static void set_matrix(job *j, const sqz_node *n)
{
    const sqz_shape *w = &sqz_val(j->g, n->in[1])->shape;
    const bool gemm = is(n, "|gemm|");
    const double last = (double)w->dim[w->rank - 1];
    const double before = w->rank > 1 ? (double)w->dim[w->rank - 2] : 1;
    set(j, n, 1, by_fans(j, n, gemm ? last : before, gemm ? before : last));
    set(j, n, 2, (fill){VALUE, 0});
}

static void set_recurrent(job *j, const sqz_node *n)
{
    for (unsigned k = 1; k < 3; k++) { /* (D, gates * H, I or H) */
        const sqz_shape *w = &sqz_val(j->g, n->in[k])->shape;
        set(j, n, k, (fill){UNIFORM, sqrt(6.0 / (double)(w->dim[1] + w->dim[2]))});
    }
    /* forget gates begin open: Jozefowicz et al. (2015) */
    set(j, n, 3, (fill){is(n, "|lstm|") ? LSTM_BIAS : VALUE, 0});
}

/* x + constant behind a product is its bias. */
static void set_bias(job *j, const sqz_node *n)
{
    for (unsigned k = 0; k < 2; k++) {
        const sqz_nid p = sqz_val(j->g, n->in[1 - k])->producer;
        if (p != SQZ_NONE && is(sqz_nod(j->g, p), "|matmul|gemm|conv2d|dwconv2d|conv_transpose|"))
            set(j, n, k, (fill){VALUE, 0});
    }
}

static void set_node(job *j, const sqz_node *n)
{
    if (is(n, "|conv2d|dwconv2d|conv_transpose|"))
        set_convolution(j, n);
    else if (is(n, "|gemm|matmul|"))
        set_matrix(j, n);
    else if (is(n, "|lstm|gru|rnn|"))
        set_recurrent(j, n);
    else if (is(n, "|add|"))
        set_bias(j, n);
    else if (is(n, "|prelu|"))
        set(j, n, 1, (fill){VALUE, 0.25});
    else if (is(n, "|gather|")) /* a table that indices look up */
        set(j, n, 0, (fill){UNIFORM, 0.05});
    else if (is(n, "|batch_norm|layer_norm|group_norm|instance_norm|rms_norm|"))
        for (unsigned k = 1; k < 5; k++) /* scale, bias, mean, variance */
            set(j, n, k, (fill){VALUE, k == 1 || k == 4});
}

/* ---- filling ---- */

static double draw(const fill *f, const sqz_value *x, size_t i, sqz_rng *r)
{
    switch (f->kind) {
    case NORMAL: return f->size * sqz_rng_normal(r);
    case UNIFORM: return f->size * (2 * sqz_rng_uniform(r) - 1);
    case LSTM_BIAS: /* (D, 8 * H): gates input, output, forget, cell, twice */
        return i / SQZ_MAX((size_t)x->shape.dim[1] / 8, (size_t)1) % 8 == 2;
    default: return f->size;
    }
}

static sqz_status fill_one(const job *j, sqz_vid v, uint64_t seed)
{
    const sqz_value *x = sqz_val(j->g, v);
    const fill f = j->fill[v];
    sqz_tensor t;
    if (x->twin != SQZ_NONE && sqz_val(j->g, x->twin)->constant)
        return sqz_fail(j->g->ctx, SQZ_E_UNSUPPORTED,
                        "'%s' is read in two layouts: it cannot be drawn anew", x->name);
    sqz_rng r = {.seed = seed ^ 0xcbf29ce484222325u};
    for (const char *p = x->name; *p; p++) /* a stream for each name */
        r.seed = (r.seed ^ (unsigned char)*p) * 0x100000001b3u;
    SQZ_TRY(sqz_tensor_alloc(j->g->ctx, x->dtype, &x->shape, &t));
    for (size_t i = 0; i < t.count; i++)
        sqz_tensor_set_f64(&t, i, draw(&f, x, i, &r));
    return sqz_value_set_constant(j->g, v, &t);
}

static sqz_status fill_all(job *j, sqz_arena *a, uint64_t seed)
{
    j->fill = sqz_arena_alloc(a, (size_t)j->g->n_value + 1, sizeof *j->fill);
    if (!j->fill)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_uses_build(j->g, a, &j->uses));
    SQZ_EACH_NODE(j->g, id) { set_node(j, sqz_nod(j->g, id)); }
    for (sqz_vid v = 0; v < j->g->n_value; v++)
        if (j->fill[v].kind != KEEP)
            SQZ_TRY(fill_one(j, v, seed));
    return SQZ_OK;
}

sqz_status sqz_init_random(sqz_graph *g, uint64_t seed, const bool *only)
{
    sqz_arena a = {.ctx = g->ctx};
    job j = {.g = g, .only = only};
    sqz_status s = fill_all(&j, &a, seed);
    sqz_arena_free(&a);
    return s;
}
