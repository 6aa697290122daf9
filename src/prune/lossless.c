/* lossless.c: a class may leave without a change when each node that ends it (reads it, and has
 * nothing of it in its outputs) reads it with zero weights, or reads one number all the time. Zeros
 * add nothing; another number adds the same to every output, which the bias takes over. */
#include "prune/lossless.h"
#include "prune/watch.h"
#include <math.h>
#include <string.h>

#define SAMPLES 512

typedef struct work {
    const sqz_graph *g;
    const sqz_classes *c;
    sqz_arena *a;
    float *lo, *hi; /* of each element of an activation; lo > hi: not seen */
    bool *gone;     /* of each class */
    bool *folded;   /* it is not zero where it is read */
    uint32_t *stamp;
    uint32_t round;
} work;

/* ---- what is seen ---- */

static bool may_leave(const sqz_classes *c, uint32_t k)
{
    return !c->cls[k].pin.text && !c->cls[k].shift.text;
}

/* Extremes of each index of an axis. */
static void see_axis(const work *w, sqz_vid v, int32_t axis, const sqz_tensor *t)
{
    const uint32_t first = sqz_element(w->c, v, axis, 0);
    const size_t n = (size_t)t->shape.dim[axis];
    size_t inner = 1;
    for (int32_t i = axis + 1; i < t->shape.rank; i++)
        inner *= (size_t)t->shape.dim[i];
    for (size_t at = 0; at < t->count; at++) {
        const float x = SQZ_F32P(t)[at];
        const uint32_t e = first + (uint32_t)(at / inner % n);
        if (!(x >= w->lo[e])) /* NaN too: never one number again */
            w->lo[e] = isnan(x) ? -INFINITY : x;
        if (!(x <= w->hi[e]))
            w->hi[e] = isnan(x) ? INFINITY : x;
    }
}

static sqz_status see(void *user, sqz_nid node, sqz_vid v, const sqz_tensor *t)
{
    const work *w = user;
    (void)node;
    for (int32_t i = 0; t->dtype == SQZ_F32 && i < t->shape.rank; i++) {
        bool any = false;
        for (int64_t k = 0; !any && k < t->shape.dim[i]; k++)
            any = i > 0 && may_leave(w->c, sqz_class_of(w->c, v, i, k));
        if (any)
            see_axis(w, v, i, t);
    }
    return SQZ_OK;
}

/* ---- readers ---- */

static bool is(const sqz_node *n, const char *op) { return strcmp(n->op->info.name, op) == 0; }

static const void *option(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NULL;
}

/* A product with constant weights in which input channels have one axis; *axis: of the weights.
 * -1: none. *flat: no border of zeros lies around the input. */
static int32_t weight_axis(const sqz_graph *g, const sqz_node *n, bool *flat)
{
    const sqz_value *w = n->n_in > 1 && n->in[1] != SQZ_NONE ? sqz_val(g, n->in[1]) : NULL;
    *flat = true;
    if (!w || !w->constant || w->dtype != SQZ_F32 || sqz_val(g, n->out[0])->dtype != SQZ_F32)
        return -1;
    const int64_t *turned = option(n, "trans_b"), *group = option(n, "group");
    const sqz_ints *pads = option(n, "pads");
    for (uint32_t i = 0; pads && i < pads->n; i++)
        *flat = *flat && pads->v[i] == 0;
    if (is(n, "gemm") && !*turned)
        return 1;
    if (is(n, "matmul") && w->shape.rank == 2 && !*turned)
        return 0;
    return is(n, "conv2d") && *group == 1 ? sqz_axis_c(w) : -1;
}

/* Axis of the weights that outputs are on. */
static int32_t output_axis(const sqz_node *n) { return is(n, "matmul") ? 1 : 0; }

/* Sums of the weights with which input `index` is read, for each output, into sum (NULL: not
 * wanted); true when all that belong to outputs that stay are zero. */
static bool weights_of(const work *w, const sqz_node *n, int32_t axis, int64_t index, double *sum)
{
    const sqz_tensor *t = sqz_val(w->g, n->in[1])->constant;
    const int32_t out = output_axis(n);
    const uint32_t first = sqz_element(w->c, n->in[1], out, 0);
    size_t step[2] = {1, 1}; /* numbers from one index to the next, of axis and out */
    bool zero = true;
    for (int32_t i = t->shape.rank - 1; i > 0; i--) {
        step[0] *= i > axis ? (size_t)t->shape.dim[i] : 1;
        step[1] *= i > out ? (size_t)t->shape.dim[i] : 1;
    }
    const size_t line = step[0] * (size_t)t->shape.dim[axis];
    for (size_t from = step[0] * (size_t)index; from < t->count; from += line)
        for (size_t i = from; i < from + step[0]; i++) {
            const size_t o = i / step[1] % (size_t)t->shape.dim[out];
            if (SQZ_F32P(t)[i] != 0 && !w->gone[w->c->of[first + (uint32_t)o]])
                zero = false;
            if (sum)
                sum[o] += (double)SQZ_F32P(t)[i];
        }
    return zero;
}

typedef struct reader { /* a node that ends a class: input `slot`, index of its axis */
    sqz_nid node;
    unsigned slot;
    int32_t axis;
    int64_t index;
    uint32_t cls;
    struct reader *next; /* of the class */
} reader;

/* Ends of all classes that may leave, by class. */
static sqz_status find_readers(work *w, reader ***out)
{
    const sqz_graph *g = w->g;
    reader **of = sqz_arena_alloc(w->a, (size_t)w->c->n_class + 1, sizeof *of);
    *out = of;
    if (!of)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        w->round++;
        for (unsigned i = 0; i < n->n_out; i++)
            for (uint32_t e = w->c->start[n->out[i]]; e < w->c->start[n->out[i] + 1]; e++)
                w->stamp[w->c->of[e]] = w->round;
        for (unsigned i = 0; i < n->n_in; i++) {
            const sqz_vid v = n->in[i];
            if (v == SQZ_NONE || sqz_val(g, v)->constant)
                continue;
            for (uint32_t e = w->c->start[v]; e < w->c->start[v + 1]; e++) {
                const uint32_t k = w->c->of[e];
                if (!may_leave(w->c, k) || w->stamp[k] == w->round)
                    continue;
                const sqz_place p = sqz_element_place(w->c, e);
                reader *r = sqz_arena_alloc(w->a, 1, sizeof *r);
                if (!r)
                    return SQZ_E_NOMEM;
                *r = (reader){id, i, p.axis, p.index, k, of[k]};
                of[k] = r;
            }
        }
    }
    return SQZ_OK;
}

/* The number that is read all the time; false: there is none. */
static bool number_of(const work *w, const reader *r, float *x)
{
    const uint32_t e = sqz_element(w->c, sqz_nod(w->g, r->node)->in[r->slot], r->axis, r->index);
    *x = w->lo[e];
    return w->lo[e] == w->hi[e] && isfinite(w->lo[e]);
}

/* The node can do without what it reads there. */
static bool does_without(const work *w, const reader *r, bool *unread, bool *fold)
{
    const sqz_node *n = sqz_nod(w->g, r->node);
    const sqz_value *x = sqz_val(w->g, n->in[r->slot]);
    bool flat;
    float number;
    const int32_t axis = weight_axis(w->g, n, &flat);
    const bool product = r->slot == 0 && axis >= 0 &&
                         r->axis == (is(n, "conv2d") ? sqz_axis_c(x) : x->shape.rank - 1);
    if (product && weights_of(w, n, axis, r->index, NULL))
        return true;
    *unread = false;
    if (!number_of(w, r, &number))
        return false;
    *fold = *fold || number != 0;
    return number == 0 || (product && flat);
}

/* Marks until nothing new is found: what only leaving channels read is read by nothing. */
static void mark(work *w, reader **of, sqz_lossless *found)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t k = 0; k < w->c->n_class; k++) {
            bool ok = may_leave(w->c, k) && !w->gone[k] && of[k], unread = true, fold = false;
            for (const reader *r = of[k]; r && ok; r = r->next)
                ok = does_without(w, r, &unread, &fold);
            if (!ok)
                continue;
            w->gone[k] = more = true;
            w->folded[k] = fold;
            *(unread ? &found->unread : &found->constant) += 1;
        }
    }
}

/* No axis loses everything: one class of it comes back. */
static void leave_one(work *w, sqz_lossless *found)
{
    for (sqz_vid v = 0; v < w->g->n_value; v++) {
        const sqz_value *x = sqz_val(w->g, v);
        for (int32_t i = 0; !sqz_value_dead(x) && i < x->shape.rank; i++) {
            bool all = x->shape.dim[i] > 0;
            for (int64_t k = 0; all && k < x->shape.dim[i]; k++)
                all = w->gone[sqz_class_of(w->c, v, i, k)];
            if (!all)
                continue;
            const uint32_t back = sqz_class_of(w->c, v, i, 0);
            w->gone[back] = w->folded[back] = false;
            *(found->constant ? &found->constant : &found->unread) -= 1;
        }
    }
}

/* ---- biases ---- */

/* Adds to the bias of a product, in a copy of the graph; makes one where there is none. */
static sqz_status add_bias(sqz_graph *g, sqz_nid id, const double *sum, size_t n)
{
    sqz_node *k = sqz_nod(g, id);
    const sqz_shape s = {1, {(int64_t)n}};
    const bool has = k->n_in > 2 && k->in[2] != SQZ_NONE;
    const sqz_tensor *old = has ? sqz_val(g, k->in[2])->constant : NULL;
    sqz_tensor t;
    sqz_vid v;
    if (has && !old)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED, "node '%s' has a bias that is computed",
                        k->name);
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < n; i++)
        SQZ_F32P(&t)[i] = (float)(sum[i] + (old ? (double)SQZ_F32P(old)[i] : 0));
    sqz_uses u;
    sqz_arena a = {.ctx = g->ctx};
    sqz_status st = sqz_uses_build(g, &a, &u);
    const bool own = has && st == SQZ_OK && sqz_n_uses(&u, k->in[2]) == 1;
    sqz_arena_free(&a);
    if (st != SQZ_OK) {
        sqz_tensor_free(g->ctx, &t);
        return st;
    }
    if (own)
        return sqz_value_set_constant(g, k->in[2], &t);
    char *name = sqz_arena_printf(&g->arena, "%s_bias", k->name);
    SQZ_TRY(sqz_graph_constant(g, name, &t, &v));
    sqz_vid *in = sqz_arena_alloc(&g->arena, 3, sizeof *in);
    if (!in)
        return SQZ_E_NOMEM;
    memcpy(in, k->in, 2 * sizeof *in);
    in[2] = v;
    k->in = in;
    k->n_in = 3;
    return SQZ_OK;
}

static sqz_status fold_node(work *w, sqz_graph *h, sqz_nid id, reader **of)
{
    const sqz_node *n = sqz_nod(w->g, id);
    bool flat, any = false;
    const int32_t axis = weight_axis(w->g, n, &flat);
    if (axis < 0)
        return SQZ_OK;
    const size_t outputs = (size_t)sqz_val(w->g, n->in[1])->shape.dim[output_axis(n)];
    double *sum = sqz_arena_alloc(w->a, outputs + 1, sizeof *sum);
    double *one = sqz_arena_alloc(w->a, outputs + 1, sizeof *one);
    if (!sum || !one)
        return SQZ_E_NOMEM;
    for (uint32_t k = 0; k < w->c->n_class; k++)
        for (const reader *r = w->gone[k] && w->folded[k] ? of[k] : NULL; r; r = r->next) {
            float x;
            if (r->node != id || r->slot != 0 || !number_of(w, r, &x) || x == 0)
                continue;
            memset(one, 0, outputs * sizeof *one);
            weights_of(w, n, axis, r->index, one);
            for (size_t o = 0; o < outputs; o++)
                sum[o] += one[o] * (double)x;
            any = true;
        }
    return any ? add_bias(h, id, sum, outputs) : SQZ_OK;
}

/* ---- the whole ---- */

/* The same choice in the classes of a copy that has further constants. */
static sqz_status cut_copy(const work *w, const sqz_graph *h, sqz_graph **out)
{
    sqz_classes *c;
    SQZ_TRY(sqz_classes_build(h, NULL, &c));
    bool *gone = sqz_arena_alloc(w->a, (size_t)c->n_class + 1, sizeof *gone);
    for (uint32_t k = 0; gone && k < w->c->n_class; k++)
        if (w->gone[k]) {
            const sqz_place p = sqz_element_place(w->c, w->c->list[w->c->cls[k].first]);
            gone[sqz_class_of(c, p.value, p.axis, p.index)] = true;
        }
    sqz_status s = gone ? sqz_prune_cut(c, gone, out) : SQZ_E_NOMEM;
    sqz_classes_free(c);
    return s;
}

static uint64_t numbers(const sqz_graph *g)
{
    uint64_t n = 0;
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (!sqz_value_dead(sqz_val(g, v)) && sqz_val(g, v)->constant)
            n += sqz_val(g, v)->constant->count;
    return n;
}

static sqz_status begin(work *w)
{
    const size_t n = (size_t)w->c->n_element + 1, k = (size_t)w->c->n_class + 1;
    w->lo = sqz_arena_alloc(w->a, n, sizeof *w->lo);
    w->hi = sqz_arena_alloc(w->a, n, sizeof *w->hi);
    w->gone = sqz_arena_alloc(w->a, k, sizeof *w->gone);
    w->folded = sqz_arena_alloc(w->a, k, sizeof *w->folded);
    w->stamp = sqz_arena_alloc(w->a, k, sizeof *w->stamp);
    if (!w->lo || !w->hi || !w->gone || !w->folded || !w->stamp)
        return SQZ_E_NOMEM;
    for (uint32_t e = 0; e < w->c->n_element; e++) {
        w->lo[e] = INFINITY;
        w->hi[e] = -INFINITY;
    }
    return SQZ_OK;
}

static sqz_status lossless(work *w, const sqz_student_env *env, int64_t samples,
                           sqz_lossless *found, sqz_graph *h, sqz_graph **out)
{
    reader **of;
    SQZ_TRY(begin(w));
    if (env && env->data)
        SQZ_TRY(sqz_watch(w->g, env, samples ? samples : SAMPLES, see, w));
    SQZ_TRY(find_readers(w, &of));
    mark(w, of, found);
    leave_one(w, found);
    SQZ_EACH_NODE(w->g, id) { SQZ_TRY(fold_node(w, h, id, of)); }
    return cut_copy(w, h, out);
}

sqz_status sqz_prune_lossless(const sqz_graph *g, const sqz_student_env *env, int64_t samples,
                              sqz_lossless *found, sqz_graph **out)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_classes *c = NULL;
    sqz_graph *h = NULL;
    *found = (sqz_lossless){.before = numbers(g)};
    *out = NULL;
    sqz_status s = sqz_classes_build(g, NULL, &c);
    if (s == SQZ_OK)
        s = sqz_graph_clone(g, &h);
    if (s == SQZ_OK)
        s = lossless(&(work){.g = g, .c = c, .a = &a}, env, samples, found, h, out);
    if (s == SQZ_OK)
        found->after = numbers(*out);
    sqz_graph_free(h);
    sqz_classes_free(c);
    sqz_arena_free(&a);
    return s;
}
