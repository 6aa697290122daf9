/* palette: every weight of a product becomes one of a few numbers, which a table holds: indices of
 * 1 to 8 bits in place of floats (weight clustering; Han et al. 2016, "Deep Compression"). The
 * table is the best there is (kmeans.h). With calibration data a weight counts as much as the
 * square of what it is multiplied with, so that the error of the layer's output is what becomes
 * small.
 *
 *     gather(colors f32 (k), indices u8 or u4 in the file's layout) -> mul -> [transpose] -> node
 */
#include "quant/feed.h"
#include "quant/kmeans.h"
#include "quant/ptq.h"
#include <math.h>
#include <string.h>

typedef struct options {
    const char *exclude;
    int64_t colors, weighted, scaled, samples;
} options;

typedef struct palettes {
    sqz_graph *g;
    sqz_env *env;
    const options *o;
    sqz_flow *flow; /* of the float graph; NULL: not weighted */
    uint32_t n;
} palettes;

/* ---- how much a weight counts ---- */

static const void *attr(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NULL;
}

static bool is_op(const sqz_node *n, const char *op) { return strcmp(n->op->info.name, op) == 0; }

/* Which channel of the data each weight is multiplied with; false: not known here. */
static bool channels(const sqz_graph *g, const sqz_node *n, size_t c, uint32_t *of)
{
    const sqz_shape *s = &sqz_val(g, n->in[n->op->quant.weight])->shape;
    const int64_t *trans = attr(n, "trans_b"), *group = attr(n, "group");
    const size_t count = sqz_val(g, n->in[n->op->quant.weight])->constant->count;
    const size_t rows = (size_t)s->dim[0], depth = (size_t)s->dim[s->rank - 1];
    if (is_op(n, "conv2d") || is_op(n, "dwconv2d")) {
        const size_t groups = group ? (size_t)*group : c, each = rows / SQZ_MAX(groups, (size_t)1);
        if (groups * depth != c || each == 0)
            return false;
        for (size_t i = 0; i < count; i++)
            of[i] = (uint32_t)(i / (count / rows) / each * depth + i % depth);
        return true;
    }
    if (s->rank != 2 || (trans && *trans) || (!is_op(n, "gemm") && !is_op(n, "matmul")))
        return false;
    const bool terms_last = is_op(n, "gemm");
    if ((terms_last ? depth : rows) != c)
        return false;
    for (size_t i = 0; i < count; i++)
        of[i] = (uint32_t)(terms_last ? i % depth : i / depth);
    return true;
}

/* Mean square of each of c channels of value v at the cut. */
static sqz_status squares(sqz_flow *f, sqz_vid v, size_t c, sqz_arena *a, double *sum)
{
    const size_t n = sqz_flow_count(f, SQZ_FLOAT_SIDE, v), batches = sqz_flow_batches(f);
    float *x = sqz_arena_alloc(a, n, sizeof *x);
    if (!x)
        return SQZ_E_NOMEM;
    for (size_t b = 0; b < batches; b++) {
        SQZ_TRY(sqz_flow_read(f, SQZ_FLOAT_SIDE, v, b, x));
        for (size_t i = 0; i < n; i++)
            sum[i % c] += (double)x[i] * (double)x[i];
    }
    for (size_t i = 0; i < c; i++)
        sum[i] /= (double)n / (double)c * (double)batches;
    return SQZ_OK;
}

/* *weight stays NULL where it is not known what a weight meets. */
static sqz_status importance(const palettes *p, sqz_nid id, sqz_arena *a, float **weight)
{
    const sqz_node *n = sqz_nod(p->g, id);
    const size_t count = sqz_val(p->g, n->in[n->op->quant.weight])->constant->count;
    *weight = NULL;
    if (!p->flow)
        return SQZ_OK;
    SQZ_TRY(sqz_flow_advance(p->flow, id));
    const sqz_value *x = sqz_flow_value(p->flow, SQZ_FLOAT_SIDE, n->in[0]);
    if (!x || x->shape.rank < 1)
        return SQZ_OK;
    const size_t c = (size_t)x->shape.dim[x->shape.rank - 1];
    uint32_t *of = sqz_arena_alloc(a, count, sizeof *of);
    double *sum = sqz_arena_alloc(a, c + 1, sizeof *sum);
    float *w = sqz_arena_alloc(a, count, sizeof *w);
    if (!of || !sum || !w)
        return SQZ_E_NOMEM;
    if (!channels(p->g, n, c, of))
        return SQZ_OK;
    SQZ_TRY(squares(p->flow, n->in[0], c, a, sum));
    for (size_t i = 0; i < count; i++)
        w[i] = (float)sum[of[i]];
    *weight = w;
    return SQZ_OK;
}

/* ---- one weight ---- */

typedef struct weight {
    const sqz_value *v;
    int32_t axis;    /* of the output channels */
    size_t c, inner; /* element i belongs to channel i / inner % c */
    float *x;        /* its numbers, each by its channel's factor */
    float *factor;   /* root mean square of each channel; NULL: not scaled */
} weight;

/* Divides every channel by its size; *importance, if there is one, grows with its square. */
static sqz_status scale_channels(weight *w, sqz_arena *a, float **importance)
{
    const size_t n = w->v->constant->count;
    double *sum = sqz_arena_alloc(a, w->c, sizeof *sum);
    w->factor = sqz_arena_alloc(a, w->c, sizeof *w->factor);
    if (!*importance) {
        *importance = sqz_arena_alloc(a, n, sizeof **importance);
        for (size_t i = 0; *importance && i < n; i++)
            (*importance)[i] = 1.0f;
    }
    if (!sum || !w->factor || !*importance)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        sum[i / w->inner % w->c] += (double)w->x[i] * (double)w->x[i];
    for (size_t c = 0; c < w->c; c++) {
        const double size = sqrt(sum[c] * (double)w->c / (double)n);
        w->factor[c] = size > 1e-30 ? (float)size : 1.0f;
    }
    for (size_t i = 0; i < n; i++) {
        const float f = w->factor[i / w->inner % w->c];
        w->x[i] /= f;
        (*importance)[i] *= f * f;
    }
    return SQZ_OK;
}

static sqz_status read_weight(const palettes *p, const sqz_node *n, sqz_arena *a, weight *w)
{
    const int32_t axis = n->op->quant.channel_axis;
    *w = (weight){.v = sqz_val(p->g, n->in[n->op->quant.weight])};
    const sqz_shape *s = &w->v->shape;
    const sqz_tensor *t = w->v->constant;
    w->axis = axis < 0 ? s->rank + axis : axis;
    if (w->axis < 0 || w->axis >= s->rank)
        return sqz_fail(p->g->ctx, SQZ_E_SHAPE, "weights of %d dimensions", (int)s->rank);
    w->c = (size_t)s->dim[w->axis];
    w->inner = 1;
    for (int32_t i = w->axis + 1; i < s->rank; i++)
        w->inner *= (size_t)s->dim[i];
    w->x = sqz_arena_alloc(a, t->count, sizeof *w->x);
    if (!w->x)
        return SQZ_E_NOMEM;
    memcpy(w->x, t->data, t->count * sizeof *w->x);
    return SQZ_OK;
}

/* Indices of the numbers, in the file's layout. */
static sqz_status find_indices(const sqz_graph *g, const weight *from, const float *color,
                               uint32_t n, sqz_tensor *out)
{
    const sqz_value *w = from->v;
    sqz_tensor t, turned;
    int perm[SQZ_MAX_RANK] = {0};
    SQZ_TRY(sqz_tensor_alloc(g->ctx, n <= 16 ? SQZ_U4 : SQZ_U8, &w->shape, &t));
    for (size_t i = 0; i < t.count; i++)
        sqz_tensor_set_i64(&t, i, sqz_center_of(color, n, from->x[i]));
    *out = t;
    if (!w->channel_last)
        return SQZ_OK;
    for (int32_t i = 0; i < w->shape.rank; i++)
        perm[i] = sqz_axis_to_last(i, w->shape.rank);
    const sqz_status s = sqz_tensor_permute(g->ctx, &t, perm, &turned);
    sqz_tensor_free(g->ctx, &t);
    *out = turned;
    return s;
}

/* The looked-up weights in the other layout, as the layout pass does it. */
static sqz_status turn(sqz_graph *g, sqz_vid v, sqz_nid before, sqz_vid *out)
{
    const int32_t rank = sqz_val(g, v)->shape.rank;
    char attrs[64] = "perm=0";
    size_t at = strlen(attrs);
    for (int32_t i = 1; i < rank; i++) {
        const int axis = sqz_axis_to_file(i, rank);
        attrs[at++] = ',';
        attrs[at++] = (char)('0' + axis);
    }
    SQZ_TRY(sqz_graph_node_text(g, "transpose", NULL, attrs, &v, 1, before, out));
    sqz_value *last = sqz_val(g, *out);
    sqz_nod(g, last->producer)->layout = true;
    last->channel_last = true;
    last->twin = v;
    return SQZ_OK;
}

/* Factors that broadcast against the weight in the file's layout. */
static sqz_status multiply(sqz_graph *g, const weight *w, sqz_nid before, sqz_vid *v)
{
    const int32_t rank = w->v->shape.rank;
    const int axis = w->v->channel_last ? sqz_axis_to_file(w->axis, rank) : w->axis;
    sqz_shape s = {.rank = rank - axis};
    sqz_tensor t;
    sqz_vid in[2] = {*v, SQZ_NONE};
    for (int32_t i = 0; i < s.rank; i++)
        s.dim[i] = i ? 1 : (int64_t)w->c;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &s, &t));
    memcpy(t.data, w->factor, t.bytes);
    SQZ_TRY(sqz_graph_constant(g, "factors", &t, &in[1]));
    return sqz_graph_node_text(g, "mul", NULL, "", in, 2, before, v);
}

static sqz_status put(const palettes *p, sqz_nid id, sqz_vid v, const weight *w, float *color,
                      uint32_t n)
{
    sqz_graph *g = p->g;
    sqz_tensor index, colors;
    sqz_vid in[2], out;
    const sqz_shape list = sqz_shape_of(1, (const int64_t[]){n});
    SQZ_TRY(find_indices(g, w, color, n, &index));
    SQZ_TRY(sqz_graph_constant(g, "indices", &index, &in[1]));
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &list, &colors));
    memcpy(colors.data, color, colors.bytes);
    SQZ_TRY(sqz_graph_constant(g, "palette", &colors, &in[0]));
    SQZ_TRY(sqz_graph_node_text(g, "gather", NULL, "axis=0", in, 2, id, &out));
    if (w->factor)
        SQZ_TRY(multiply(g, w, id, &out));
    if (w->v->channel_last)
        SQZ_TRY(turn(g, out, id, &out));
    sqz_graph_replace_uses(g, v, out);
    sqz_graph_remove_value(g, v);
    return SQZ_OK;
}

static sqz_status check_finite(const sqz_graph *g, const sqz_value *w)
{
    for (size_t i = 0; i < w->constant->count; i++)
        if (!isfinite(SQZ_F32P(w->constant)[i]))
            return sqz_fail(g->ctx, SQZ_E_FORMAT, "constant '%s': number %zu is %g", w->name, i,
                            (double)SQZ_F32P(w->constant)[i]);
    return SQZ_OK;
}

static sqz_status make(palettes *p, sqz_nid id, sqz_arena *a)
{
    const sqz_node *n = sqz_nod(p->g, id);
    const sqz_vid v = n->in[n->op->quant.weight];
    float *counts, color[256];
    uint32_t have;
    weight w;
    SQZ_TRY(check_finite(p->g, sqz_val(p->g, v)));
    SQZ_TRY(read_weight(p, n, a, &w));
    SQZ_TRY(importance(p, id, a, &counts));
    if (p->o->scaled)
        SQZ_TRY(scale_channels(&w, a, &counts));
    SQZ_TRY(sqz_kmeans(p->g->ctx, w.x, counts, w.v->constant->count, (uint32_t)p->o->colors, color,
                       &have));
    p->n++;
    return put(p, id, v, &w, color, have);
}

/* ---- all ---- */

/* Float weights of a product that are large enough to gain. */
static sqz_status wanted(const palettes *p, sqz_nid id, bool *yes)
{
    const sqz_node *n = sqz_nod(p->g, id);
    bool excluded;
    *yes = false;
    if (!sqz_ptq_has_weights(p->g, n))
        return SQZ_OK;
    const sqz_value *w = sqz_val(p->g, n->in[n->op->quant.weight]);
    if (w->dtype != SQZ_F32 || w->constant->count < 4 * (size_t)p->o->colors)
        return SQZ_OK;
    SQZ_TRY(sqz_node_selected(p->g, id, p->o->exclude, &excluded));
    *yes = !excluded;
    return SQZ_OK;
}

static sqz_status walk(palettes *p, uint32_t total)
{
    uint32_t seen = 0;
    SQZ_EACH_NODE(p->g, id)
    {
        bool yes;
        sqz_arena a = {.ctx = p->g->ctx};
        const sqz_node *n = sqz_nod(p->g, id);
        SQZ_TRY(wanted(p, id, &yes));
        if (!yes)
            continue;
        const sqz_status s = make(p, id, &a);
        sqz_arena_free(&a);
        SQZ_TRY(sqz_note(p->g->ctx, s, "node '%s' (%s)", n->name, n->op->info.name));
        if (!sqz_progress(p->g->ctx, "palette", ++seen, total))
            return sqz_fail(p->g->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

/* Statistics come from the graph as it was. */
static sqz_status open_flow(palettes *p, sqz_graph **before)
{
    const sqz_flow_options fo = {
        .ds = p->env->calib, .layout = p->env->layout, .samples = p->o->samples};
    if (!p->env->calib || !p->o->weighted)
        return SQZ_OK;
    SQZ_TRY(sqz_graph_clone(p->g, before));
    return sqz_flow_open(*before, NULL, &fo, &p->flow);
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    palettes p = {.g = g, .env = env, .o = opts};
    sqz_graph *before = NULL;
    uint32_t total = 0;
    SQZ_TRY(sqz_note(g->ctx, sqz_selection_check(g, p.o->exclude), "exclude"));
    SQZ_EACH_NODE(g, id)
    {
        bool yes;
        SQZ_TRY(wanted(&p, id, &yes));
        total += yes;
    }
    sqz_status s = open_flow(&p, &before);
    if (s == SQZ_OK)
        s = walk(&p, total);
    sqz_flow_close(p.flow);
    sqz_graph_free(before);
    if (s == SQZ_OK && env->notes)
        sqz_str_addf(env->notes, "%u weights have palettes of at most %lld colors\n", p.n,
                     (long long)p.o->colors);
    return s == SQZ_OK && env->notes ? env->notes->status : s;
}

static const sqz_attr schema[] = {
    {.name = "colors",
     .offset = offsetof(options, colors),
     .type = SQZ_A_INT,
     .def = 16,
     .min = 2,
     .max = 256,
     .doc = "different numbers that a weight may be: 16 make 4 bits, 256 make 8"},
    {.name = "exclude",
     .offset = offsetof(options, exclude),
     .type = SQZ_A_STRING,
     .doc = "nodes whose weights stay: names, regular expressions or operator types, by commas"},
    {.name = "weighted",
     .offset = offsetof(options, weighted),
     .type = SQZ_A_BOOL,
     .def = 1,
     .doc = "weights count by the squares of their inputs, where there is calibration data"},
    {.name = "scaled",
     .offset = offsetof(options, scaled),
     .type = SQZ_A_BOOL,
     .def = 1,
     .doc = "a factor for each output channel beside the palette"},
    {.name = "samples",
     .offset = offsetof(options, samples),
     .type = SQZ_A_INT,
     .def = 64,
     .min = 1,
     .max = 1000000,
     .doc = "calibration samples for that"},
};

const sqz_pass sqz_pass_palette = {
    .info = {.name = "palette",
             .doc = "weights of few colors: indices into a table (k-means)",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_LAYOUT,
    .run = run,
};
