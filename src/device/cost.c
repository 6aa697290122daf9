/* cost.c: what a graph costs on a device, from the graph alone. Per node
 *   cycles = max(work x cycles_per_work(kind, type), weight_bytes / bw + activation_bytes / bw)
 *            + fixed(kind)                                  (a roofline for each operator)
 * and in all: latency = cycles / clock, energy = latency x active power, flash = constants + tables
 * + code of the runtime, ram = memory plan + ram of the runtime. docs/device-files.md has the
 * details and how far off it is. */
#include "device/boundary.h"
#include "device/device.h"
#include "exec/exec.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Firmware keeps one int32 multiplier and one int32 shift for each scale of a weight. */
#define BYTES_PER_SCALE 8
#define BYTES_PER_TABLE 256 /* int8 table of a unary function */

typedef enum number { NUMBER_OTHER, NUMBER_F32, NUMBER_S8, NUMBER_S16 } number;

typedef struct estimator {
    const sqz_graph *g;
    const sqz_device *d;
    sqz_estimate *e;
    bool *counted; /* constants whose bytes are in already, by value */
    double bw_weights, bw_arena;
    uint32_t room; /* for sentences in e->refused */
} estimator;

/* ---- what a node computes with ---- */
static number number_of(const sqz_value *v)
{
    if (sqz_dtype_is_float(v->dtype))
        return NUMBER_F32;
    if (!v->quant)
        return NUMBER_OTHER; /* shapes and indices */
    return v->dtype == SQZ_S16 || v->dtype == SQZ_U16 ? NUMBER_S16 : NUMBER_S8;
}

static bool is_boundary(const sqz_node *n) /* changes between real numbers and grids */
{
    return strcmp(n->op->info.name, "quantize") == 0 || strcmp(n->op->info.name, "dequantize") == 0;
}

static const sqz_value *weight_of(const sqz_graph *g, const sqz_node *n)
{
    int slot = n->op->quant.kind == SQZ_Q_LINEAR ? n->op->quant.weight : 0;
    return slot > 0 && slot < n->n_in && n->in[slot] != SQZ_NONE ? sqz_val(g, n->in[slot]) : NULL;
}

static bool is_4bit(const sqz_value *v) { return v && (v->dtype == SQZ_S4 || v->dtype == SQZ_U4); }

/* ---- bytes ---- */
static double value_bytes(const sqz_graph *g, const sqz_value *v)
{
    size_t count, bytes = 0; /* was counted when the value was made: cannot fail */
    (void)sqz_shape_count(g->ctx, &v->shape, v->dtype, &count, &bytes);
    return (double)bytes;
}

/* Codes and indices that use fewer bits than their type are packed in flash. */
static double constant_bytes(const sqz_graph *g, const sqz_node *n, unsigned slot)
{
    const sqz_value *v = sqz_val(g, n->in[slot]);
    const double bits = v->quant ? sqz_quant_bits(v->quant) : sqz_dtype_bits(v->dtype);
    if (slot == 1 && v->constant && sqz_node_is_palette(g, n)) {
        const double colors = (double)sqz_val(g, n->in[0])->shape.dim[0];
        return ceil((double)v->constant->count * ceil(log2(fmax(colors, 2.0))) / 8.0);
    }
    if (!v->constant || v->constant->dtype != (v->quant ? v->quant->dtype : v->dtype))
        return value_bytes(g, v);
    return ceil((double)v->constant->count * bits / 8.0);
}

/* Weights that are dequantized keep their scales as floats, and zero points other than 0 as codes.
 */
static double grid_bytes(const sqz_graph *g, const sqz_node *n)
{
    const sqz_value *v = n->n_in ? sqz_val(g, n->in[0]) : NULL;
    bool zeros = false;
    if (strcmp(n->op->info.name, "dequantize") != 0 || !v->constant || !v->quant)
        return 0;
    for (uint32_t i = 0; i < v->quant->n; i++)
        zeros = zeros || v->quant->zero[i] != 0;
    const double scales = 4.0 * v->quant->n;
    return scales + (zeros ? ceil((double)v->quant->n * sqz_quant_bits(v->quant) / 8.0) : 0.0);
}

/* Bytes that node n reads of constants, and those that no earlier node counted for flash. */
static void count_constants(estimator *x, const sqz_node *n, sqz_node_estimate *row)
{
    for (unsigned i = 0; i < n->n_in; i++) {
        const sqz_value *v = n->in[i] == SQZ_NONE ? NULL : sqz_val(x->g, n->in[i]);
        if (!v || v->role != SQZ_ROLE_CONSTANT)
            continue;
        double bytes = constant_bytes(x->g, n, i);
        row->weight_bytes += bytes;
        if (x->counted[n->in[i]])
            continue;
        x->counted[n->in[i]] = true;
        x->e->weight_bytes += bytes;
        x->e->parameters += v->constant ? v->constant->count : 0;
    }
    const sqz_value *w = weight_of(x->g, n);
    bool integer = number_of(sqz_val(x->g, n->out[0])) >= NUMBER_S8;
    double tables = 0;
    if (integer && w)
        tables = BYTES_PER_SCALE * (double)(w->quant ? w->quant->n : 1);
    else if (integer && n->op->quant.kind == SQZ_Q_LUT && !sqz_node_is_view(x->g, n))
        tables = BYTES_PER_TABLE;
    tables += grid_bytes(x->g, n);
    row->weight_bytes += tables;
    x->e->weight_bytes += tables;
}

static double activation_bytes(const sqz_graph *g, const sqz_node *n)
{
    double bytes = 0;
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE && sqz_val(g, n->in[i])->role != SQZ_ROLE_CONSTANT)
            bytes += value_bytes(g, sqz_val(g, n->in[i]));
    for (unsigned i = 0; i < n->n_out; i++)
        if (n->out[i] != SQZ_NONE)
            bytes += value_bytes(g, sqz_val(g, n->out[i]));
    return bytes;
}

/* ---- cycles ---- */
/* What the file leaves out is taken from what it states: 4 bits like 8; 16 bits twice 8; float as
 * the convolution's float relates to its int8, else four times (a device without float unit states
 * its own figure). */
static double figure(const sqz_kernel_cost *k, const sqz_kernel_cost *conv, number as, bool w4)
{
    double ratio = conv->f32 > 0 && conv->s8 > 0 ? conv->f32 / conv->s8 : 4;
    double s8 = k->s8 > 0 ? k->s8 : k->f32 / ratio;
    if (as == NUMBER_F32)
        return k->f32 > 0 ? k->f32 : s8 * ratio;
    if (as == NUMBER_S16)
        return k->s16 > 0 ? k->s16 : s8 * 2;
    return w4 && k->s4 > 0 ? k->s4 : s8;
}

/* A kind that the file does not know costs as the slowest that it does. */
static double cycles_per_work(const sqz_device *d, sqz_cost_kind kind, number as, bool w4)
{
    const sqz_kernel_cost *conv = &d->kernel[SQZ_COST_CONV];
    double c = figure(&d->kernel[kind], conv, as, w4);
    if (c > 0)
        return c;
    bool is_mac = kind <= SQZ_COST_FC;
    for (int k = is_mac ? SQZ_COST_CONV : SQZ_COST_POOL; k < SQZ_N_COST_KIND; k++)
        if (!is_mac || k <= SQZ_COST_FC)
            c = SQZ_MAX(c, figure(&d->kernel[k], conv, as, w4));
    return c > 0 ? c : figure(conv, conv, as, w4);
}

static void estimate_cycles(const estimator *x, const sqz_node *n, sqz_node_estimate *row)
{
    number as = number_of(sqz_val(x->g, n->out[0]));
    sqz_cost_kind kind = row->cost.kind;
    if (sqz_node_is_view(x->g, n) || kind == SQZ_COST_NONE)
        return;
    double work = (double)(row->cost.macs ? row->cost.macs : row->cost.ops);
    double compute = work * cycles_per_work(x->d, kind, as, is_4bit(weight_of(x->g, n)));
    double moved = 0;
    if (x->bw_weights > 0)
        moved += row->weight_bytes / x->bw_weights;
    if (x->bw_arena > 0)
        moved += activation_bytes(x->g, n) / x->bw_arena;
    row->cycles = SQZ_MAX(compute, moved) + x->d->kernel[kind].fixed;
    row->seconds = row->cycles / x->d->clock;
    row->joules = row->seconds * x->d->active_power;
}

/* ---- what the device cannot run ---- */
SQZ_PRINTF(3, 4)
static sqz_status refuse(estimator *x, const sqz_node *n, const char *fmt, ...)
{
    sqz_estimate *e = x->e;
    char why[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (e->n_refused == x->room) { /* the array before stays in the arena, until that is freed */
        uint32_t room = x->room ? x->room * 2 : 8;
        const char **list = sqz_arena_alloc(&e->arena, room, sizeof *list);
        if (!list)
            return SQZ_E_NOMEM;
        if (e->n_refused)
            memcpy(list, e->refused, e->n_refused * sizeof *list);
        e->refused = list;
        x->room = room;
    }
    const char *type = n->op->onnx.op_type ? n->op->onnx.op_type : n->op->info.name;
    const char *text = sqz_arena_printf(&e->arena, "node '%s' (%s): %s", n->name, type, why);
    if (!text)
        return SQZ_E_NOMEM;
    e->refused[e->n_refused++] = text;
    return SQZ_OK;
}

static sqz_status check_weights(estimator *x, const sqz_node *n)
{
    const sqz_value *w = weight_of(x->g, n);
    if (!w || !w->quant)
        return SQZ_OK;
    if (is_4bit(w) && !x->d->numerics.w_s4)
        return refuse(x, n, "its weights are int4, which '%s' has no kernels for", x->d->name);
    if (!is_4bit(w) && !x->d->numerics.w_s8)
        return refuse(x, n, "its weights are int8, which '%s' has no kernels for", x->d->name);
    if (w->quant->n > 1 && !x->d->numerics.per_channel)
        return refuse(x, n, "its weights have %u scales; '%s' takes one for each tensor",
                      w->quant->n, x->d->name);
    return SQZ_OK;
}

static sqz_status check_numbers(estimator *x, const sqz_node *n)
{
    const sqz_op *op = n->op;
    number as = number_of(sqz_val(x->g, n->out[0]));
    bool moves = op->traits & (SQZ_T_MOVES | SQZ_T_VIEW);
    bool can_int = op->run_int || moves || op->quant.kind == SQZ_Q_LUT;
    if (as == NUMBER_F32 && !x->d->numerics.f32 && !moves)
        return can_int
                   ? refuse(x, n,
                            "it computes in float32; '%s' computes with integers only, "
                            "so this node must be quantized",
                            x->d->name)
                   : refuse(x, n, "it has no integer kernel, and '%s' computes with integers only",
                            x->d->name);
    if (as == NUMBER_S8 && !x->d->numerics.s8)
        return refuse(x, n, "its activations are int8, which '%s' has no kernels for", x->d->name);
    if (as == NUMBER_S16 && !x->d->numerics.s16)
        return refuse(x, n, "its activations are int16, which '%s' has no kernels for", x->d->name);
    return check_weights(x, n);
}

static sqz_status check_node(estimator *x, const sqz_node *n)
{
    for (unsigned i = 0; n->op->onnx.op_type && !n->layout && i < x->d->n_unsupported; i++)
        if (strcmp(x->d->unsupported[i], n->op->onnx.op_type) == 0)
            return refuse(x, n, "'%s' does not run %s", x->d->name, n->op->onnx.op_type);
    return is_boundary(n) ? SQZ_OK : check_numbers(x, n);
}

/* ---- the whole ---- */
static sqz_status estimate_nodes(estimator *x)
{
    sqz_estimate *e = x->e;
    uint32_t count = 0;
    SQZ_EACH_NODE(x->g, n)
    count++;
    e->node = sqz_arena_alloc(&e->arena, count + 1, sizeof *e->node);
    x->counted = sqz_arena_alloc(&e->arena, x->g->n_value + 1, sizeof *x->counted);
    if (!e->node || !x->counted)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(x->g, n)
    {
        const sqz_node *node = sqz_nod(x->g, n);
        sqz_node_estimate *row = &e->node[e->n_node++];
        row->node = n;
        row->name = sqz_arena_strdup(&e->arena, node->name);
        if (!row->name)
            return SQZ_E_NOMEM;
        sqz_node_cost(x->g, node, &row->cost);
        count_constants(x, node, row);
        estimate_cycles(x, node, row);
        SQZ_TRY(check_node(x, node));
        e->latency += row->seconds;
        e->energy += row->joules;
        e->macs += row->cost.macs;
    }
    return SQZ_OK;
}

static sqz_status estimate_ram(estimator *x)
{
    sqz_estimate *e = x->e;
    const sqz_plan_options o = {.alignment = (size_t)x->d->runtime.alignment,
                                .in_place = x->d->runtime.in_place,
                                .io_in_arena = x->d->runtime.io_in_arena,
                                .device = true};
    sqz_plan *p;
    SQZ_TRY(sqz_plan_build(x->g, &o, &p));
    e->arena_bytes = (double)p->bytes;
    for (uint32_t i = 0; i < p->n_item; i++)
        if (p->item[i].alias == SQZ_NONE)
            for (uint32_t t = p->item[i].begin; t <= p->item[i].end && t < e->n_node; t++)
                e->node[t].live_bytes += (double)p->item[i].bytes;
    e->peak_node = p->peak_step < e->n_node ? e->node[p->peak_step].name : NULL;
    sqz_plan_free(x->g->ctx, p);
    return SQZ_OK;
}

static sqz_status estimate(estimator *x)
{
    for (unsigned i = 0; i < x->d->n_memory; i++) {
        const sqz_device_memory *m = &x->d->memory[i];
        if (m->weights)
            x->bw_weights = m->bytes_per_cycle;
        if (m->arena)
            x->bw_arena = m->bytes_per_cycle;
    }
    SQZ_TRY(estimate_nodes(x));
    SQZ_TRY(estimate_ram(x));
    x->e->flash = x->e->weight_bytes + x->d->runtime.code;
    x->e->ram = x->e->arena_bytes + x->d->runtime.ram;
    x->e->latency_error = x->d->latency_error;
    return SQZ_OK;
}

sqz_status sqz_estimate_graph(const sqz_graph *g, const sqz_device *d, sqz_estimate **out)
{
    *out = NULL;
    sqz_estimate *e = sqz_calloc(g->ctx, 1, sizeof *e);
    if (!e)
        return SQZ_E_NOMEM;
    e->arena.ctx = g->ctx;
    sqz_graph *on_device = NULL;
    sqz_status s = sqz_device_graph(g, d->runtime.float_io, &on_device);
    if (s == SQZ_OK) {
        estimator x = {.g = on_device, .d = d, .e = e};
        s = estimate(&x);
    }
    sqz_graph_free(on_device);
    if (s != SQZ_OK) {
        sqz_estimate_free(g->ctx, e);
        return sqz_note(g->ctx, s, "estimating the cost on '%s'", d->name);
    }
    *out = e;
    return SQZ_OK;
}

void sqz_estimate_free(sqz_ctx *ctx, sqz_estimate *e)
{
    if (!e)
        return;
    sqz_arena_free(&e->arena);
    sqz_free(ctx, e);
}
