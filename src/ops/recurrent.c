/* recurrent.c: see recurrent.h. The input part of all gates is one matrix product over all steps;
 * then blocks of samples walk through the steps side by side. */
#include "ops/recurrent.h"
#include <limits.h>
#include <string.h>

#define BLOCK 32     /* samples that walk together */
#define WORK  600000 /* products of a chunk of the input part, about: 10 us on one core */

/* ---- shapes ---- */

static int64_t n_dirs(const sqz_rec_attrs *at) { return at->direction == 2 ? 2 : 1; }

/* Input `slot` has this shape, or is left out. */
static sqz_status expect(const sqz_infer *q, unsigned slot, const char *what, sqz_shape want)
{
    char found[160], wanted[160];
    if (slot >= q->n_in || !q->in[slot] || sqz_shape_eq(&q->in[slot]->shape, &want))
        return SQZ_OK;
    sqz_shape_print(found, &q->in[slot]->shape);
    sqz_shape_print(wanted, &want);
    return sqz_fail(q->ctx, SQZ_E_SHAPE, "%s (input %u) are %s, expected %s", what, slot, found,
                    wanted);
}

static sqz_shape shape3(int64_t a, int64_t b, int64_t c)
{
    return (sqz_shape){.rank = 3, .dim = {a, b, c}};
}
static sqz_shape shape2(int64_t a, int64_t b) { return (sqz_shape){.rank = 2, .dim = {a, b}}; }

static sqz_status check_types(const sqz_infer *q, const sqz_rec_kind *kind)
{
    for (unsigned i = 0; i < q->n_in; i++)
        if (q->in[i] && i != SQZ_REC_LENS)
            SQZ_TRY(sqz_need_real(q, i));
    if (q->n_in > SQZ_REC_LENS && q->in[SQZ_REC_LENS] && q->in[SQZ_REC_LENS]->dtype != SQZ_S32)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "lengths of sequences are %s, expected s32",
                        sqz_dtype_name(q->in[SQZ_REC_LENS]->dtype));
    for (unsigned i = SQZ_REC_X; i <= SQZ_REC_R; i++)
        if (!q->in[i] || q->in[i]->shape.rank != 3)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "input %u must have three dimensions", i);
    sqz_act act[SQZ_REC_ACTS];
    return sqz_rec_acts(q->ctx, kind, q->attrs, (size_t)n_dirs(q->attrs), act);
}

/* The products of matrices count with int. */
static sqz_status check_sizes(const sqz_infer *q, int64_t steps, int64_t batch, int64_t gates)
{
    const int64_t in = q->in[SQZ_REC_W]->shape.dim[2];
    if (gates > INT_MAX || in > INT_MAX || (batch && steps > INT_MAX / batch))
        return sqz_fail(q->ctx, SQZ_E_LIMIT,
                        "%lld steps of %lld samples, %lld inputs, %lld gates: too large",
                        (long long)steps, (long long)batch, (long long)in, (long long)gates);
    return SQZ_OK;
}

sqz_status sqz_rec_infer(sqz_infer *q, const sqz_rec_kind *kind)
{
    const sqz_rec_attrs *at = q->attrs;
    SQZ_TRY(check_types(q, kind));
    const int64_t d = n_dirs(at), h = q->in[SQZ_REC_R]->shape.dim[2], g = kind->gates;
    const sqz_shape *x = &q->in[SQZ_REC_X]->shape;
    const int64_t steps = x->dim[at->layout], batch = x->dim[!at->layout];
    const sqz_shape state = at->layout ? shape3(batch, d, h) : shape3(d, batch, h);
    if (h < 1 || h > INT_MAX / 8)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "%lld hidden units, expected 1 .. %d", (long long)h,
                        INT_MAX / 8);
    SQZ_TRY(expect(q, SQZ_REC_W, "the weights of the input", shape3(d, g * h, x->dim[2])));
    SQZ_TRY(expect(q, SQZ_REC_R, "the recurrent weights", shape3(d, g * h, h)));
    SQZ_TRY(expect(q, SQZ_REC_B, "the biases", shape2(d, 2 * g * h)));
    SQZ_TRY(expect(q, SQZ_REC_LENS, "the lengths", (sqz_shape){.rank = 1, .dim = {batch}}));
    SQZ_TRY(expect(q, SQZ_REC_H0, "the first states", state));
    SQZ_TRY(expect(q, SQZ_REC_C0, "the first cells", state));
    SQZ_TRY(expect(q, SQZ_REC_PEEP, "the peepholes", shape2(d, 3 * h)));
    SQZ_TRY(check_sizes(q, steps, batch, g * h));
    q->out[0] = (sqz_shape){.rank = 4, .dim = {steps, d, batch, h}};
    if (at->layout)
        q->out[0] = (sqz_shape){.rank = 4, .dim = {batch, steps, d, h}};
    for (unsigned i = 1; i < q->n_out; i++) {
        q->out[i] = state;
        q->out_dtype[i] = q->out_dtype[0];
    }
    return SQZ_OK;
}

void sqz_rec_cost(const sqz_infer *q, const sqz_rec_kind *kind, sqz_cost *out)
{
    const sqz_shape *y = &q->out[0];
    out->kind = SQZ_COST_FC;
    out->macs = kind->gates *
                (uint64_t)(q->in[SQZ_REC_W]->shape.dim[2] + q->in[SQZ_REC_R]->shape.dim[2]);
    for (int32_t i = 0; i < 4; i++)
        out->macs *= (uint64_t)y->dim[i];
}

/* ---- what a run needs ---- */

/* Room for n floats in the scratch. */
static bool take(size_t *used, size_t a, size_t b, size_t *at)
{
    size_t n;
    *at = *used;
    return sqz_mul(a, b, &n) &&
           sqz_add(*used, sqz_scratch_round(n * sizeof(float)) / sizeof(float), used) &&
           n < SIZE_MAX / 2 / sizeof(float);
}

/* ---- packed weights ---- */

/* Units of a part of the gates: where they begin, and how many. */
static size_t part_at(const sqz_rec *v, unsigned part)
{
    return part ? v->kind->first * v->units : 0;
}
static size_t part_of(const sqz_rec *v, unsigned part)
{
    return (part ? v->kind->gates - v->kind->first : v->kind->first) * v->units;
}

/* Sizes of all packed weights, one behind the other; *floats: all together. */
static bool plan_weights(sqz_rec *v, size_t *floats)
{
    size_t bytes = 0;
    for (size_t d = 0; d < v->dirs; d++) {
        v->w[d] = (sqz_packed){.n = v->kind->gates * v->units, .n_seg = 1, .len = v->in};
        for (unsigned p = 0; p < 2; p++)
            v->r[d][p] = (sqz_packed){.n = part_of(v, p), .n_seg = 1, .len = v->units};
        const sqz_packed *all[] = {&v->w[d], &v->r[d][0], &v->r[d][1]};
        for (size_t i = 0; i < SQZ_COUNT(all); i++) {
            const size_t more = sqz_pack_f32_bytes(all[i]->n, 1, all[i]->len);
            if ((all[i]->n && !more) || !sqz_add(bytes, more, &bytes))
                return false;
        }
    }
    *floats = bytes / sizeof(float);
    return true;
}

/* Both biases of direction d, but those of r that are multiplied by the reset gate. */
static void add_biases(const sqz_rec *v, const float *b, size_t d, float *sum)
{
    const size_t wide = v->kind->gates * v->units;
    const float *of_w = b + 2 * d * wide, *of_r = of_w + wide;
    const size_t both = v->at->linear_before_reset ? 2 * v->units : wide;
    for (size_t i = 0; i < wide; i++)
        sum[i] = i < both ? of_w[i] + of_r[i] : of_w[i];
}

/* All weights to `to`; b NULL: no biases. `bias` has room for those of one direction. */
static void pack(sqz_rec *v, const float *const in[SQZ_REC_B + 1], float *bias, char *to)
{
    const size_t wide = v->kind->gates * v->units;
    for (size_t d = 0; d < v->dirs; d++) {
        const float *b = in[SQZ_REC_B], *r = in[SQZ_REC_R] + d * wide * v->units;
        if (b)
            add_biases(v, b, d, bias);
        v->w[d].data = to;
        to += sqz_pack_f32_bytes(wide, 1, v->in);
        sqz_pack_f32(&v->w[d], in[SQZ_REC_W] + d * wide * v->in, v->in, 1, b ? bias : NULL);
        for (unsigned p = 0; p < 2; p++) {
            const size_t from = part_at(v, p);
            const bool apart = b && p && v->at->linear_before_reset;
            v->r[d][p].data = to;
            to += sqz_pack_f32_bytes(v->r[d][p].n, 1, v->units);
            sqz_pack_f32(&v->r[d][p], r + from * v->units, v->units, 1,
                         apart ? b + (2 * d + 1) * wide + from : NULL);
        }
    }
}

static sqz_status pack_known(sqz_prep *p, sqz_rec *v, size_t floats)
{
    const sqz_tensor *b = p->n_in > SQZ_REC_B ? p->in[SQZ_REC_B] : NULL;
    v->known = p->in[SQZ_REC_W]->data && p->in[SQZ_REC_R]->data && (!b || b->data);
    if (!v->known)
        return SQZ_OK;
    char *to = sqz_arena_alloc(p->arena, floats + 1, sizeof(float));
    float *bias = sqz_arena_alloc(p->arena, v->kind->gates * v->units, sizeof *bias);
    if (!to || !bias)
        return SQZ_E_NOMEM;
    const float *const in[SQZ_REC_B + 1] = {[SQZ_REC_W] = p->in[SQZ_REC_W]->data,
                                            [SQZ_REC_R] = p->in[SQZ_REC_R]->data,
                                            [SQZ_REC_B] = b ? b->data : NULL};
    pack(v, in, bias, to);
    return SQZ_OK;
}

sqz_status sqz_rec_prepare(sqz_prep *p, const sqz_rec_kind *kind)
{
    const sqz_rec_attrs *at = p->attrs;
    sqz_rec *v = sqz_arena_alloc(p->arena, 1, sizeof *v);
    size_t used = 0, floats;
    if (!v)
        return SQZ_E_NOMEM;
    *v = (sqz_rec){.kind = kind, .at = at};
    v->steps = sqz_dim(p->in[SQZ_REC_X], (int32_t)at->layout);
    v->batch = sqz_dim(p->in[SQZ_REC_X], !at->layout);
    v->in = sqz_dim(p->in[SQZ_REC_X], 2);
    v->units = sqz_dim(p->in[SQZ_REC_R], 2);
    v->dirs = (size_t)n_dirs(at);
    const size_t rows = v->dirs * v->batch, wide = kind->gates * v->units;
    SQZ_TRY(sqz_rec_acts(p->ctx, kind, at, v->dirs, v->act));
    if (!plan_weights(v, &floats))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the weights are too large");
    SQZ_TRY(pack_known(p, v, floats));
    if (!take(&used, v->known ? 0 : floats, 1, &v->packed) || !take(&used, wide, 1, &v->bias) ||
        !take(&used, rows * v->steps, wide, &v->gates) || !take(&used, rows, v->units, &v->h) ||
        !take(&used, rows, v->units, &v->c) || !take(&used, rows, wide, &v->rec) ||
        !take(&used, rows, v->units, &v->reset) || !sqz_mul(used, sizeof(float), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "%zu steps of %zu gates: too large", v->steps, wide);
    p->state = v;
    return SQZ_OK;
}

static float *scratch(const sqz_call *c, size_t at) { return (float *)c->scratch + at; }

/* ---- products ---- */

/* y = a . w^T (+ add), a with rows of w->len numbers one behind the other. */
static void product(const sqz_call *c, const sqz_packed *w, const float *a, size_t rows,
                    const sqz_out_f32 *out)
{
    static const size_t start = 0;
    const sqz_left l = {.a = a,
                        .m = rows,
                        .width = rows,
                        .step = w->len * sizeof(float),
                        .seg = &start,
                        .n_seg = 1,
                        .len = w->len};
    sqz_out_f32 o = *out;
    o.lo = -INFINITY;
    o.hi = INFINITY;
    if (rows && w->n)
        c->ctx->kernels->gemm_f32(w, 0, w->n, &l, &o);
}

typedef struct input_job {
    const sqz_call *c;
    size_t dir;
} input_job;

static sqz_status input_chunk(void *arg, size_t begin, size_t end)
{
    const input_job *j = arg;
    const sqz_rec *v = j->c->state;
    const size_t wide = v->w[0].n, first = j->dir * v->steps * v->batch + begin;
    product(j->c, &v->w[j->dir], SQZ_F32P(j->c->in[SQZ_REC_X]) + begin * v->in, end - begin,
            &(sqz_out_f32){.y = scratch(j->c, v->gates) + first * wide, .ld = wide});
    return SQZ_OK;
}

/* What the input says to the gates, of all steps at once. */
static sqz_status input_part(const sqz_call *c)
{
    const sqz_rec *v = c->state;
    const size_t rows = WORK / (v->w[0].n * (v->in + 1)) + 1;
    for (size_t d = 0; d < v->dirs; d++) {
        input_job j = {c, d};
        SQZ_TRY(
            sqz_parallel(c->ctx, v->steps * v->batch, SQZ_MAX(rows, (size_t)48), input_chunk, &j));
    }
    return SQZ_OK;
}

static void pack_given(const sqz_call *c)
{
    sqz_rec *v = c->state;
    const sqz_tensor *b = sqz_input(c, SQZ_REC_B);
    const float *const in[SQZ_REC_B + 1] = {[SQZ_REC_W] = SQZ_F32P(c->in[SQZ_REC_W]),
                                            [SQZ_REC_R] = SQZ_F32P(c->in[SQZ_REC_R]),
                                            [SQZ_REC_B] = b ? SQZ_F32P(b) : NULL};
    if (!v->known)
        pack(v, in, scratch(c, v->bias), (char *)scratch(c, v->packed));
}

/* ---- the steps ---- */

static size_t length(const sqz_rec_block *k, size_t row)
{
    const sqz_tensor *lens = sqz_input(k->call, SQZ_REC_LENS);
    return lens ? (size_t)SQZ_S32P(lens)[k->first + row] : k->v->steps;
}

/* Bidirectional: direction 1 is the reverse one. */
static bool is_reverse(const sqz_rec_block *k) { return k->v->at->direction == 1 || k->dir == 1; }

/* Step of the file that a row is at; false: its sequence is over. */
static bool at_step(const sqz_rec_block *k, size_t row, size_t *t)
{
    size_t n = length(k, row);
    *t = is_reverse(k) && k->step < n ? n - 1 - k->step : k->step;
    return k->step < n;
}

float *sqz_rec_gates(const sqz_rec_block *k, size_t row)
{
    const sqz_rec *v = k->v;
    const size_t wide = v->kind->gates * v->units, b = k->first + row;
    size_t t;
    if (!at_step(k, row, &t))
        return NULL;
    return scratch(k->call, v->gates) +
           (k->dir * v->steps * v->batch + (v->at->layout ? b * v->steps + t : t * v->batch + b)) *
               wide;
}

void sqz_rec_product(const sqz_rec_block *k, const float *a, unsigned part)
{
    const sqz_rec *v = k->v;
    product(k->call, &v->r[k->dir][part], a, k->rows,
            &(sqz_out_f32){.y = k->rec + part_at(v, part), .ld = v->kind->gates * v->units});
}

void sqz_rec_add(const sqz_rec_block *k, const float *a, unsigned part)
{
    const sqz_rec *v = k->v;
    const size_t wide = v->kind->gates * v->units, from = part_at(v, part), n = part_of(v, part);
    if (!sqz_input(k->call, SQZ_REC_LENS)) { /* all rows are at one step */
        const size_t ld = v->at->layout ? v->steps * wide : wide;
        float *gates = sqz_rec_gates(k, 0) + from;
        product(k->call, &v->r[k->dir][part], a, k->rows,
                &(sqz_out_f32){.y = gates, .ld = ld, .add = gates, .ld_add = ld});
        return;
    }
    sqz_rec_product(k, a, part);
    for (size_t row = 0; row < k->rows; row++) {
        float *gates = sqz_rec_gates(k, row);
        for (size_t i = from; gates && i < from + n; i++)
            gates[i] = k->rec[row * wide + i] + gates[i];
    }
}

/* The new states go to y; rows whose sequence is over are 0 there. */
static void put(const sqz_rec_block *k)
{
    const sqz_rec *v = k->v;
    float *y = SQZ_F32P(k->call->out[0]);
    for (size_t i = 0; i < k->rows; i++) {
        size_t t;
        bool on = at_step(k, i, &t);
        float *to = y + sqz_rec_out_at(v, t, k->dir, k->first + i);
        if (on)
            memcpy(to, k->h + i * v->units, v->units * sizeof *to);
        else
            memset(to, 0, v->units * sizeof *to);
    }
}

/* First states of all rows from input `slot`, or zeros. */
static void load(const sqz_rec_block *k, unsigned slot, float *to)
{
    const sqz_rec *v = k->v;
    const sqz_tensor *from = sqz_input(k->call, slot);
    for (size_t i = 0; i < k->rows; i++, to += v->units)
        if (from)
            memcpy(to, SQZ_F32P(from) + sqz_rec_state_at(v, k->dir, k->first + i),
                   v->units * sizeof *to);
        else
            memset(to, 0, v->units * sizeof *to);
}

/* Last states; an empty sequence has none: zeros, as ONNX Runtime has it. */
static void store(const sqz_rec_block *k, unsigned output, const float *from)
{
    const sqz_rec *v = k->v;
    if (output >= k->call->n_out)
        return;
    for (size_t i = 0; i < k->rows; i++, from += v->units) {
        float *to = SQZ_F32P(k->call->out[output]) + sqz_rec_state_at(v, k->dir, k->first + i);
        if (length(k, i))
            memcpy(to, from, v->units * sizeof *to);
        else
            memset(to, 0, v->units * sizeof *to);
    }
}

static sqz_rec_block block_of(const sqz_call *c, size_t dir, size_t first)
{
    const sqz_rec *v = c->state;
    const size_t h = v->units, wide = v->kind->gates * h, row = dir * v->batch + first;
    const sqz_tensor *peep = v->kind->has_cell ? sqz_input(c, SQZ_REC_PEEP) : NULL;
    return (sqz_rec_block){.v = v,
                           .call = c,
                           .dir = dir,
                           .first = first,
                           .rows = SQZ_MIN((size_t)BLOCK, v->batch - first),
                           .peep = peep ? SQZ_F32P(peep) + dir * 3 * h : NULL,
                           .act = v->act + dir * v->kind->n_act,
                           .clip = (float)v->at->clip,
                           .h = scratch(c, v->h) + row * h,
                           .c = scratch(c, v->c) + row * h,
                           .rec = scratch(c, v->rec) + row * wide,
                           .reset = scratch(c, v->reset) + row * h};
}

static sqz_status walk(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const sqz_rec *v = c->state;
    const size_t blocks = (v->batch + BLOCK - 1) / BLOCK;
    for (size_t i = begin; i < end; i++) {
        sqz_rec_block k = block_of(c, i / blocks, i % blocks * BLOCK);
        load(&k, SQZ_REC_H0, k.h);
        if (v->kind->has_cell)
            load(&k, SQZ_REC_C0, k.c);
        for (; k.step < v->steps; k.step++) {
            v->kind->step(&k);
            put(&k);
        }
        store(&k, 1, k.h);
        if (v->kind->has_cell)
            store(&k, 2, k.c);
    }
    return SQZ_OK;
}

static sqz_status check_lengths(const sqz_call *c)
{
    const sqz_rec *v = c->state;
    const sqz_tensor *lens = sqz_input(c, SQZ_REC_LENS);
    for (size_t i = 0; lens && i < lens->count; i++)
        if (SQZ_S32P(lens)[i] < 0 || (size_t)SQZ_S32P(lens)[i] > v->steps)
            return sqz_fail(c->ctx, SQZ_E_ARG, "sequence %zu has length %d, expected 0 .. %zu", i,
                            (int)SQZ_S32P(lens)[i], v->steps);
    return SQZ_OK;
}

sqz_status sqz_rec_run(const sqz_call *c)
{
    const sqz_rec *v = c->state;
    sqz_call call = *c;
    SQZ_TRY(check_lengths(c));
    if (v->batch == 0)
        return SQZ_OK;
    pack_given(c);
    SQZ_TRY(input_part(c));
    return sqz_parallel(c->ctx, v->dirs * ((v->batch + BLOCK - 1) / BLOCK), 1, walk, &call);
}

/* ---- ONNX ---- */

/* Strings as "a,b,c". */
static sqz_status join(sqz_import *im, const char **out)
{
    const sqz_raw_attr *a = sqz_import_attr(im, "activations");
    sqz_str s = {.ctx = im->g->ctx};
    *out = NULL;
    for (uint32_t i = 0; a && i < a->n_strings; i++)
        if (strchr(a->strings[i], ','))
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "activation %u has a comma in its name",
                            (unsigned)i);
    for (uint32_t i = 0; a && i < a->n_strings; i++) {
        sqz_str_add(&s, i ? "," : "");
        sqz_str_add(&s, a->strings[i]);
    }
    if (s.len && s.status == SQZ_OK && !(*out = sqz_arena_strdup(&im->g->arena, s.data)))
        s.status = SQZ_E_NOMEM;
    sqz_str_free(&s);
    return s.status;
}

/* Attributes of the schema, `hidden_size`, which the weights say too, and one of old files that
 * tells whether output 0 is wanted. */
static sqz_status known(sqz_import *im, const sqz_op *op, sqz_raw_attr *kept, unsigned *n)
{
    for (unsigned i = 0; i < im->n_attr; i++) {
        const char *name = im->attr[i].name;
        bool found = false;
        for (unsigned k = 0; k < op->info.n_opts && !found; k++)
            found = strcmp(op->info.opts[k].name, name) == 0;
        if (found)
            kept[(*n)++] = im->attr[i];
        else if (strcmp(name, "hidden_size") != 0 && strcmp(name, "output_sequence") != 0)
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "attribute '%.60s' is not supported",
                            name);
    }
    return SQZ_OK;
}

static sqz_status import(sqz_import *im, const sqz_op *op, sqz_arena *temp)
{
    sqz_rec_attrs at;
    unsigned n = 0;
    sqz_raw_attr *kept = sqz_arena_alloc(temp, im->n_attr + 1u, sizeof *kept);
    if (!kept)
        return SQZ_E_NOMEM;
    SQZ_TRY(known(im, op, kept, &n));
    if (im->n_in > 2 && im->in[2] != SQZ_NONE) {
        const sqz_shape *r = &sqz_val(im->g, im->in[2])->shape;
        int64_t h = r->rank == 3 ? r->dim[2] : 0, said = sqz_import_int(im, "hidden_size", h);
        if (said != h)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT,
                            "hidden_size is %lld, the recurrent weights have %lld", (long long)said,
                            (long long)h);
    }
    sqz_import with = *im;
    with.attr = kept;
    with.n_attr = n;
    SQZ_TRY(sqz_import_attrs(&with, op, &at));
    SQZ_TRY(join(im, &at.activations));
    return sqz_import_node(im, op, &at, im->in, im->n_in);
}

sqz_status sqz_rec_import(sqz_import *im, const sqz_op *op)
{
    sqz_arena temp = {.ctx = im->g->ctx};
    sqz_status s = import(im, op, &temp);
    sqz_arena_free(&temp);
    return s;
}

static sqz_status write_activations(sqz_export *e, const char *text)
{
    const char **list = sqz_arena_alloc(e->arena, SQZ_REC_ACTS, sizeof *list);
    uint32_t n = 0;
    for (const char *p = text; list && n < SQZ_REC_ACTS; p++) {
        size_t len = strcspn(p, ",");
        if (!(list[n++] = sqz_arena_strndup(e->arena, p, len)))
            return SQZ_E_NOMEM;
        p += len;
        if (!*p)
            break;
    }
    if (!list)
        return SQZ_E_NOMEM;
    e->attr[e->n_attr++] = (sqz_export_attr){
        .name = "activations", .type = 8, .strings = list, .n_strings = n};
    return SQZ_OK;
}

sqz_status sqz_rec_write(sqz_export *e)
{
    const sqz_rec_attrs *at = e->attrs;
    SQZ_TRY(sqz_export_schema(e));
    e->attr[e->n_attr++] = (sqz_export_attr){
        .name = "hidden_size", .type = 2, .i = sqz_val(e->g, e->node->in[SQZ_REC_R])->shape.dim[2]};
    return at->activations && *at->activations ? write_activations(e, at->activations) : SQZ_OK;
}

void sqz_rec_ties(sqz_ties *t)
{
    /* axis with units of inputs w, r, b, then (after lens) the states and peepholes */
    static const int32_t axis[8] = {-1, 1, 1, 1, -1, 2, 2, 1};
    const sqz_tie_end unit = SQZ_TIE_IN(2, 2);
    const int64_t units = sqz_tie_dim(t, &unit);
    sqz_tie_same(t, SQZ_TIE_IN(0, 2), SQZ_TIE_IN(1, 2));
    for (unsigned k = 0; k < t->n_in && k < SQZ_COUNT(axis); k++) {
        const sqz_tie_end end = SQZ_TIE_IN(k, axis[k]);
        if (t->in[k] && axis[k] > 0)
            t->row(t, &end, &unit, units);
    }
    for (unsigned k = 0; k < t->n_out; k++)
        if (t->out[k])
            sqz_tie_same(t, SQZ_TIE_OUT(k, t->out[k]->shape.rank - 1), unit);
}
