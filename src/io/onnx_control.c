/* onnx_control.c: If, Loop and Scan. Their course must be known while importing: a condition or a
 * number of steps that folds to a constant. The branch that is taken, or as many copies of the body
 * as there are steps, become part of the graph around. */
#include "io/onnx.h"
#include "ops/build.h"
#include <stdio.h>
#include <string.h>

static const Onnx__GraphProto *body_of(const sqz_onnx_import *all, const Onnx__NodeProto *n,
                                       const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++) {
        const Onnx__AttributeProto *a = sqz_onnx_attribute(all, n, i);
        if (a && a->g && strcmp(sqz_onnx_str(n->attribute[i]->name), name) == 0)
            return a->g;
    }
    return NULL;
}

/* One number of input `slot`; `what` for the message. *t NULL: left out. */
static sqz_status known(sqz_import *im, unsigned slot, const char *what, const sqz_tensor **t)
{
    sqz_graph *g = im->g;
    *t = NULL;
    if (slot >= im->n_in || im->in[slot] == SQZ_NONE)
        return SQZ_OK;
    SQZ_TRY(sqz_fold_value(g, im->in[slot]));
    const sqz_value *v = sqz_val(g, im->in[slot]);
    *t = v->constant;
    if (*t && (*t)->count == 1)
        return SQZ_OK;
    if (*t)
        return sqz_fail(g->ctx, SQZ_E_FORMAT, "%s has %zu elements, expected one", what,
                        (*t)->count);
    return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                    "%s ('%.80s') is computed from data, only one that is known beforehand is "
                    "supported%s",
                    what, v->name,
                    v->role == SQZ_ROLE_INPUT ? ": give it with --bind" : " (see --bind, --shape)");
}

/* ---- If ---- */

static sqz_status import_if(sqz_onnx_import *all, const Onnx__NodeProto *n, sqz_import *im)
{
    const sqz_tensor *cond;
    SQZ_TRY(known(im, 0, "the condition", &cond));
    if (!cond)
        return sqz_fail(all->ctx, SQZ_E_FORMAT, "has no condition");
    const char *what = sqz_tensor_i64(cond, 0) ? "then_branch" : "else_branch";
    const sqz_onnx_body body = {.graph = body_of(all, n, what), .call = n, .what = what};
    if (!body.graph)
        return sqz_fail(all->ctx, SQZ_E_FORMAT, "has no %s", what);
    return sqz_onnx_inline(all, &body, NULL, 0, im->out, im->n_out);
}

/* ---- what Loop and Scan share ---- */

typedef struct steps {
    sqz_onnx_import *all;
    sqz_import *im;
    sqz_build b;
    sqz_arena arena;
    sqz_onnx_body body;
    size_t n_state, n_scan; /* values carried along; values collected */
    sqz_vid *in, *out;      /* of the body */
    sqz_vid **made;         /* made[k][step] of collected output k */
    size_t n_made, room;
} steps;

static sqz_status room_for_step(steps *s)
{
    if (s->n_made < s->room)
        return SQZ_OK;
    size_t room = 2 * s->room + 16;
    for (size_t k = 0; k < s->n_scan; k++) {
        sqz_vid *grown = sqz_arena_alloc(&s->arena, room, sizeof *grown);
        if (!grown)
            return SQZ_E_NOMEM;
        if (s->n_made)
            memcpy(grown, s->made[k], s->n_made * sizeof *grown);
        s->made[k] = grown;
    }
    s->room = room;
    return SQZ_OK;
}

/* in and out have `extra` entries before the state. */
static sqz_status steps_begin(steps *s, size_t n_in, size_t n_out)
{
    s->in = sqz_arena_alloc(&s->arena, n_in + 1, sizeof *s->in);
    s->out = sqz_arena_alloc(&s->arena, n_out + 1, sizeof *s->out);
    s->made = sqz_arena_alloc(&s->arena, s->n_scan + 1, sizeof *s->made);
    return s->in && s->out && s->made ? SQZ_OK : SQZ_E_NOMEM;
}

/* Runs the body once; *poisoned: it cannot be run, which is on the list. */
static sqz_status step(steps *s, size_t n_in, size_t first_out, bool *poisoned)
{
    const size_t n_out = first_out + s->n_state + s->n_scan;
    SQZ_TRY(room_for_step(s));
    SQZ_TRY(sqz_onnx_inline(s->all, &s->body, s->in, n_in, s->out, n_out));
    *poisoned = false;
    for (size_t i = 0; i < n_out; i++)
        *poisoned = *poisoned || s->out[i] == SQZ_ONNX_POISON;
    for (size_t k = 0; k < s->n_scan; k++)
        s->made[k][s->n_made] = s->out[first_out + s->n_state + k];
    s->n_made++;
    return SQZ_OK;
}

/* Collected output k: its steps along a new axis. */
static sqz_vid collect(steps *s, size_t k, int64_t axis, bool backwards)
{
    sqz_vid y;
    char attrs[48];
    sqz_vid *part = sqz_arena_alloc(&s->arena, s->n_made + 1, sizeof *part);
    if (!part)
        s->b.status = SQZ_E_NOMEM;
    for (size_t i = 0; s->b.status == SQZ_OK && i < s->n_made; i++) {
        sqz_vid v = s->made[k][backwards ? s->n_made - 1 - i : i];
        const int64_t rank = sqz_val(s->im->g, v)->shape.rank + 1;
        if (axis < -rank || axis >= rank) {
            s->b.status = sqz_fail(s->all->ctx, SQZ_E_SHAPE, "axis %lld of an output of %d axes",
                                   (long long)axis, (int)rank);
            return SQZ_NONE;
        }
        (void)snprintf(attrs, sizeof attrs, "axes=%lld",
                       (long long)(axis < 0 ? axis + rank : axis));
        part[i] = sqz_b(&s->b, "unsqueeze", attrs, 1, v);
    }
    /* at most 255 at a time: an operator has no more inputs */
    for (size_t n = s->n_made; s->b.status == SQZ_OK && n > 1;) {
        size_t groups = 0;
        for (size_t i = 0; i < n; groups++) {
            unsigned take = (unsigned)SQZ_MIN(n - i, (size_t)64);
            (void)snprintf(attrs, sizeof attrs, "axis=%lld", (long long)axis);
            if (take > 1)
                sqz_b_multi(&s->b, "concat", attrs, &part[i], take, &y, 1);
            else
                y = part[i];
            part[groups] = y;
            i += take;
        }
        n = groups;
    }
    return s->b.status == SQZ_OK ? part[0] : SQZ_NONE;
}

/* ---- Loop ---- */

static sqz_vid number(steps *s, sqz_dtype d, int64_t v)
{
    const sqz_shape scalar = {0};
    sqz_tensor t;
    if (s->b.status == SQZ_OK)
        s->b.status = sqz_tensor_alloc(s->all->ctx, d, &scalar, &t);
    if (s->b.status != SQZ_OK)
        return SQZ_NONE;
    sqz_tensor_set_i64(&t, 0, v);
    return sqz_b_tensor(&s->b, &t);
}

/* The condition that the body left, folded. */
static sqz_status go_on(steps *s, bool *on)
{
    sqz_graph *g = s->im->g;
    if (s->out[0] == SQZ_NONE)
        return SQZ_OK;
    SQZ_TRY(sqz_fold_value(g, s->out[0]));
    const sqz_tensor *t = sqz_val(g, s->out[0])->constant;
    if (!t || t->count != 1)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "its body computes from data whether to go on; only loops whose number of "
                        "steps is known beforehand are supported");
    *on = sqz_tensor_i64(t, 0) != 0;
    return SQZ_OK;
}

static sqz_status loop_end(steps *s)
{
    sqz_import *im = s->im;
    for (size_t k = 0; k < s->n_state && k < im->n_out; k++)
        im->out[k] = s->in[2 + k];
    for (size_t k = 0; k < s->n_scan && s->n_state + k < im->n_out; k++) {
        if (!im->out_name[s->n_state + k])
            continue;
        if (!s->n_made)
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                            "it makes no step, so that output %zu has no shape", s->n_state + k);
        im->out[s->n_state + k] = collect(s, k, 0, false);
    }
    return s->b.status;
}

static sqz_status loop_steps(steps *s, int64_t trips, bool on)
{
    bool poisoned = false;
    sqz_import *im = s->im;
    for (int64_t i = 0; on && i < trips && !poisoned; i++) {
        s->in[0] = number(s, SQZ_S64, i);
        s->in[1] = number(s, SQZ_BOOL, 1);
        SQZ_TRY(s->b.status);
        SQZ_TRY(step(s, 2 + s->n_state, 1, &poisoned));
        for (size_t k = 0; k < s->n_state; k++)
            s->in[2 + k] = s->out[1 + k];
        if (!poisoned)
            SQZ_TRY(go_on(s, &on));
    }
    for (unsigned k = 0; poisoned && k < im->n_out; k++)
        im->out[k] = SQZ_ONNX_POISON;
    return poisoned ? SQZ_OK : loop_end(s);
}

static sqz_status loop(steps *s)
{
    sqz_import *im = s->im;
    const sqz_tensor *trips, *cond;
    const Onnx__GraphProto *g = s->body.graph;
    SQZ_TRY(known(im, 0, "the number of steps", &trips));
    SQZ_TRY(known(im, 1, "the condition", &cond));
    s->n_state = im->n_in > 2 ? im->n_in - 2 : 0;
    if (!g || g->n_input != 2 + s->n_state || g->n_output < 1 + s->n_state)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT,
                        "its body does not fit %zu values that are carried along", s->n_state);
    s->n_scan = g->n_output - 1 - s->n_state;
    SQZ_TRY(steps_begin(s, 2 + s->n_state, 1 + s->n_state + s->n_scan));
    for (size_t k = 0; k < s->n_state; k++)
        s->in[2 + k] = im->in[2 + k];
    return loop_steps(s, trips ? sqz_tensor_i64(trips, 0) : INT64_MAX,
                      !cond || sqz_tensor_i64(cond, 0));
}

static sqz_status import_loop(sqz_onnx_import *all, const Onnx__NodeProto *n, sqz_import *im)
{
    steps s = {.all = all,
               .im = im,
               .b = {.im = im},
               .arena = {.ctx = all->ctx},
               .body = {.graph = body_of(all, n, "body"), .call = n, .what = "the body"}};
    sqz_status st = loop(&s);
    sqz_arena_free(&s.arena);
    return st;
}

/* ---- Scan (opset 9 and newer) ---- */

/* Entry k of an attribute list, or 0. */
static int64_t entry(const sqz_import *im, const char *name, size_t k)
{
    const sqz_raw_attr *a = sqz_import_attr(im, name);
    return a && k < a->ints.n ? a->ints.v[k] : 0;
}

/* Slice number i of input `slot` along its axis. */
static sqz_status slice_at(steps *s, size_t k, int64_t i, int64_t steps_total, sqz_vid *out)
{
    sqz_import *im = s->im;
    const sqz_vid x = im->in[s->n_state + k];
    const sqz_value *v = sqz_val(im->g, x);
    int32_t axis;
    char attrs[96];
    SQZ_TRY(sqz_axis(im->g->ctx, entry(im, "scan_input_axes", k), v->shape.rank, &axis));
    if (v->shape.dim[axis] != steps_total)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "its inputs have %lld and %lld steps",
                        (long long)steps_total, (long long)v->shape.dim[axis]);
    if (entry(im, "scan_input_directions", k))
        i = steps_total - 1 - i;
    (void)snprintf(attrs, sizeof attrs, "starts=%lld ends=%lld axes=%d", (long long)i,
                   (long long)i + 1, (int)axis);
    sqz_vid cut = sqz_b(&s->b, "slice", attrs, 1, x);
    (void)snprintf(attrs, sizeof attrs, "axes=%d", (int)axis);
    *out = sqz_b(&s->b, "squeeze", attrs, 1, cut);
    return s->b.status;
}

static sqz_status scan_end(steps *s, bool poisoned)
{
    sqz_import *im = s->im;
    for (size_t k = 0; k < im->n_out; k++) {
        const size_t scan = k - s->n_state;
        if (poisoned)
            im->out[k] = SQZ_ONNX_POISON;
        else if (k < s->n_state)
            im->out[k] = s->in[k];
        else if (scan < s->n_scan && im->out_name[k])
            im->out[k] = collect(s, scan, entry(im, "scan_output_axes", scan),
                                 entry(im, "scan_output_directions", scan) != 0);
    }
    return s->b.status;
}

static sqz_status scan(steps *s)
{
    sqz_import *im = s->im;
    const Onnx__GraphProto *g = s->body.graph;
    const int64_t n_scan_in = sqz_import_int(im, "num_scan_inputs", 0);
    bool poisoned = false;
    int32_t axis;
    if (im->opset < 9)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "its meaning of opset 8 is not supported, export at 9 or newer");
    if (n_scan_in < 1 || n_scan_in > im->n_in || !g || g->n_input != im->n_in)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%lld scanned inputs of %u; its body has %zu",
                        (long long)n_scan_in, im->n_in, g ? g->n_input : 0);
    s->n_state = im->n_in - (size_t)n_scan_in;
    if (g->n_output < s->n_state)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "its body has %zu outputs for %zu states",
                        g->n_output, s->n_state);
    s->n_scan = g->n_output - s->n_state;
    for (unsigned i = 0; i < im->n_in; i++)
        if (im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    const sqz_value *x = sqz_val(im->g, im->in[s->n_state]);
    SQZ_TRY(sqz_axis(im->g->ctx, entry(im, "scan_input_axes", 0), x->shape.rank, &axis));
    const int64_t n = x->shape.dim[axis];
    if (n < 1)
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "it makes no step");
    SQZ_TRY(steps_begin(s, im->n_in, g->n_output));
    memcpy(s->in, im->in, s->n_state * sizeof *s->in);
    for (int64_t i = 0; i < n && !poisoned; i++) {
        for (size_t k = 0; k < (size_t)n_scan_in; k++)
            SQZ_TRY(slice_at(s, k, i, n, &s->in[s->n_state + k]));
        SQZ_TRY(step(s, im->n_in, 0, &poisoned));
        memcpy(s->in, s->out, s->n_state * sizeof *s->in);
    }
    return scan_end(s, poisoned);
}

static sqz_status import_scan(sqz_onnx_import *all, const Onnx__NodeProto *n, sqz_import *im)
{
    steps s = {.all = all,
               .im = im,
               .b = {.im = im},
               .arena = {.ctx = all->ctx},
               .body = {.graph = body_of(all, n, "body"), .call = n, .what = "the body"}};
    sqz_status st = scan(&s);
    sqz_arena_free(&s.arena);
    return st;
}

sqz_onnx_control_fn sqz_onnx_control(const char *op_type)
{
    return strcmp(op_type, "If") == 0     ? import_if
           : strcmp(op_type, "Loop") == 0 ? import_loop
           : strcmp(op_type, "Scan") == 0 ? import_scan
                                          : NULL;
}
