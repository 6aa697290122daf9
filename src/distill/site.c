/* site.c: what losses are written with. */
#include "distill/work.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- lists ---- */

sqz_status sqz_vids_add(sqz_objective *o, sqz_vids *list, sqz_vid v)
{
    if (list->n == list->room) {
        const uint32_t room = SQZ_MAX(2 * list->room, (uint32_t)16);
        sqz_vid *more = sqz_arena_alloc(&o->arena, room, sizeof *more);
        if (!more)
            return SQZ_E_NOMEM;
        if (list->n)
            memcpy(more, list->v, list->n * sizeof *more);
        list->v = more;
        list->room = room;
    }
    list->v[list->n++] = v;
    return SQZ_OK;
}

static sqz_status full(const sqz_loss_site *s, uint32_t n, const char *what)
{
    return n < SQZ_OBJECTIVE_MOST ? SQZ_OK
                                  : sqz_fail(s->g->ctx, SQZ_E_LIMIT, "losses use more than %d %s",
                                             SQZ_OBJECTIVE_MOST, what);
}

static bool ok(const sqz_loss_site *s) { return s->b.status == SQZ_OK; }

/* Keeps the first error. */
static bool try(sqz_loss_site *s, sqz_status e)
{
    if (ok(s))
        s->b.status = e;
    return ok(s);
}

/* ---- inputs ---- */

static sqz_vid input(sqz_loss_site *s, const char *name, const sqz_shape *shape, bool channel_last)
{
    sqz_vid v = SQZ_NONE;
    if (!ok(s) || !try(s, sqz_graph_input(s->g, name, SQZ_F32, shape, &v)))
        return SQZ_NONE;
    sqz_val(s->g, v)->channel_last = channel_last;
    return v;
}

static sqz_shape label_shape(const sqz_loss_site *s)
{
    sqz_shape shape = s->o->options.label;
    for (int32_t i = shape.rank; i > 0; i--)
        shape.dim[i] = shape.dim[i - 1];
    shape.dim[0] = s->batch;
    shape.rank++;
    return shape;
}

static sqz_status check_label(const sqz_loss_site *s, const sqz_shape *have, sqz_vid like)
{
    const sqz_value *want = sqz_val(s->g, like);
    char a[160], b[160];
    size_t n, m;
    SQZ_TRY(sqz_shape_count(s->g->ctx, have, SQZ_F32, &n, NULL));
    SQZ_TRY(sqz_shape_count(s->g->ctx, &want->shape, SQZ_F32, &m, NULL));
    if (n == m)
        return SQZ_OK;
    sqz_shape_print(a, have);
    sqz_shape_print(b, &want->shape);
    return sqz_fail(s->g->ctx, SQZ_E_SHAPE,
                    "labels of shape %s do not fit the output '%s' of "
                    "shape %s",
                    a, want->name, b);
}

sqz_vid sqz_loss_label(sqz_loss_site *s, sqz_vid like)
{
    sqz_objective *o = s->o;
    const sqz_shape shape = label_shape(s);
    char text[SQZ_MAX_RANK * 21 + 8] = "shape=";
    if (!ok(s) || (like != SQZ_NONE && !try(s, check_label(s, &shape, like))))
        return SQZ_NONE;
    if (o->label == SQZ_NONE)
        o->label = input(s, "label", &shape, false);
    if (o->label == SQZ_NONE || like == SQZ_NONE)
        return o->label;
    const sqz_shape *to = &sqz_val(s->g, like)->shape;
    if (sqz_shape_eq(&shape, to))
        return o->label;
    for (int32_t i = 0; i < to->rank; i++)
        (void)snprintf(text + strlen(text), 24, "%s%lld", i ? "," : "", (long long)to->dim[i]);
    return sqz_b(&s->b, "reshape", text, 1, o->label);
}

sqz_vid sqz_loss_teacher(sqz_loss_site *s, sqz_vid v)
{
    sqz_objective *o = s->o;
    char name[512];
    if (!ok(s))
        return SQZ_NONE;
    for (uint32_t i = 0; i < o->n_teacher; i++)
        if (o->work->teacher[i].from == v)
            return o->work->teacher[i].to;
    const sqz_graph *t = o->work->first;
    const sqz_value *x = sqz_val(t, v);
    if (!try(s, full(s, o->n_teacher, "values of the teacher")))
        return SQZ_NONE;
    if (x->dtype != SQZ_F32) {
        (void)try(s, sqz_fail(t->ctx, SQZ_E_UNSUPPORTED,
                              "value '%s' of the teacher is %s, expected f32", x->name,
                              sqz_dtype_name(x->dtype)));
        return SQZ_NONE;
    }
    (void)snprintf(name, sizeof name, "teacher.%.490s", x->name);
    const sqz_vid to = input(s, name, &x->shape, x->channel_last);
    if (to != SQZ_NONE)
        o->work->teacher[o->n_teacher++] = (sqz_teacher_value){
            .name = sqz_val(o->options.teacher[0], v)->name, /* t goes */
            .from = v,
            .to = to,
            .mean = v == t->output[0] || v == sqz_graph_logits(t),
            .logits = v == sqz_graph_logits(t) && v != t->output[0]};
    return to;
}

sqz_vid sqz_loss_teacher_output(sqz_loss_site *s)
{
    return sqz_loss_teacher(s, s->o->work->first->output[0]);
}

sqz_vid sqz_loss_teacher_logits(sqz_loss_site *s)
{
    return sqz_loss_teacher(s, sqz_graph_logits(s->o->work->first));
}

sqz_vid sqz_loss_plain(sqz_loss_site *s, sqz_vid v)
{
    return v != SQZ_NONE && sqz_val(s->g, v)->channel_last
               ? sqz_b(&s->b, "transpose", "view=1", 1, v)
               : v;
}

sqz_vid sqz_loss_rows(sqz_loss_site *s, sqz_vid v)
{
    char text[64];
    if (v == SQZ_NONE || sqz_val(s->g, v)->shape.rank == 2)
        return v;
    (void)snprintf(text, sizeof text, "shape=%lld,-1", (long long)s->batch);
    return sqz_b(&s->b, "reshape", text, 1, sqz_loss_plain(s, v));
}

sqz_vid sqz_loss_classes(sqz_loss_site *s, sqz_vid v)
{
    const sqz_value *x = sqz_b_val(&s->b, v);
    char text[64];
    if (v == SQZ_NONE || x->shape.rank == 2)
        return v;
    if (x->shape.rank < 2) {
        (void)try(s, sqz_fail(s->g->ctx, SQZ_E_SHAPE, "value '%s' has no classes", x->name));
        return SQZ_NONE;
    }
    (void)snprintf(text, sizeof text, "shape=-1,%lld", (long long)x->shape.dim[x->shape.rank - 1]);
    return sqz_b(&s->b, "reshape", text, 1, sqz_loss_plain(s, v));
}

/* ---- compositions ---- */

sqz_vid sqz_loss_scale(sqz_loss_site *s, sqz_vid v, double factor)
{
    return v == SQZ_NONE || factor == 1
               ? v
               : sqz_b(&s->b, "mul", NULL, 2, v, sqz_b_num(&s->b, factor, v));
}

sqz_vid sqz_loss_sum(sqz_loss_site *s, sqz_vid v)
{
    return sqz_b(&s->b, "reduce_sum", "keepdims=0", 1, v);
}

sqz_vid sqz_loss_mean(sqz_loss_site *s, sqz_vid v)
{
    return sqz_b(&s->b, "reduce_mean", "keepdims=0", 1, v);
}

sqz_vid sqz_loss_mean_square(sqz_loss_site *s, sqz_vid a, sqz_vid b)
{
    const sqz_vid d = sqz_b(&s->b, "sub", NULL, 2, a, b);
    return sqz_loss_mean(s, sqz_b(&s->b, "mul", NULL, 2, d, d));
}

sqz_vid sqz_loss_difference(sqz_loss_site *s, bool teacher)
{
    const sqz_vid y = sqz_loss_plain(s, s->output);
    sqz_vid want;
    if (!teacher && !s->o->options.labels)
        (void)try(s, sqz_fail(s->g->ctx, SQZ_E_ARG, "it needs labels, and the data have none"));
    if (teacher && !s->o->options.n_teacher)
        (void)try(s, sqz_fail(s->g->ctx, SQZ_E_ARG, "it needs a teacher (--teacher)"));
    if (!ok(s))
        return SQZ_NONE;
    want = teacher ? sqz_loss_plain(s, sqz_loss_teacher_output(s)) : sqz_loss_label(s, y);
    if (ok(s) && !sqz_shape_eq(&sqz_val(s->g, y)->shape, &sqz_val(s->g, want)->shape))
        (void)try(s, sqz_fail(s->g->ctx, SQZ_E_SHAPE,
                              "output '%s' and that of the teacher differ in their shapes",
                              sqz_val(s->g, s->output)->name));
    return sqz_b(&s->b, "sub", NULL, 2, y, want);
}

sqz_vid sqz_loss_kl(sqz_loss_site *s, sqz_vid log_p, sqz_vid log_q)
{
    const sqz_vid p = sqz_b(&s->b, "exp", NULL, 1, log_p);
    return sqz_b(&s->b, "mul", NULL, 2, p, sqz_b(&s->b, "sub", NULL, 2, log_p, log_q));
}

sqz_status sqz_loss_same_classes(const sqz_loss_site *s, sqz_vid student, sqz_vid teacher)
{
    SQZ_TRY(s->b.status);
    const sqz_shape *a = &sqz_val(s->g, student)->shape, *b = &sqz_val(s->g, teacher)->shape;
    char have[160], want[160];
    if (sqz_shape_eq(a, b))
        return SQZ_OK;
    sqz_shape_print(have, a);
    sqz_shape_print(want, b);
    return sqz_fail(s->g->ctx, SQZ_E_SHAPE,
                    "the student's classes are %s, the teacher's %s: they must be the same", have,
                    want);
}

/* With c = min(|d|, delta): c (|d| - c / 2) / delta is d^2 / (2 delta) inside. */
sqz_vid sqz_loss_huber_of(sqz_loss_site *s, sqz_vid d, double delta)
{
    const sqz_vid size = sqz_b(&s->b, "abs", NULL, 1, d);
    const sqz_vid c = sqz_bf(&s->b, "clip", &size, 1, "max=%.17g", delta);
    const sqz_vid rest = sqz_b(&s->b, "sub", NULL, 2, size, sqz_loss_scale(s, c, 0.5));
    return sqz_loss_scale(s, sqz_b(&s->b, "mul", NULL, 2, c, rest), 1 / delta);
}

sqz_vid sqz_loss_unit(sqz_loss_site *s, sqz_vid x)
{
    const sqz_vid square = sqz_b(&s->b, "mul", NULL, 2, x, x);
    const sqz_vid sum = sqz_b(&s->b, "reduce_sum", "axes=-1 keepdims=1", 1, square);
    const sqz_vid norm = sqz_b(&s->b, "sqrt", NULL, 1, sqz_b(&s->b, "clip", "min=1e-12", 1, sum));
    return sqz_b(&s->b, "div", NULL, 2, x, norm);
}

sqz_vid sqz_loss_constant(sqz_loss_site *s, const sqz_shape *shape, const float *numbers)
{
    sqz_tensor t;
    if (!ok(s) || !try(s, sqz_tensor_room(s->g->ctx, SQZ_F32, shape, &t)))
        return SQZ_NONE;
    memcpy(t.data, numbers, t.bytes);
    return sqz_b_tensor(&s->b, &t);
}

/* ---- trained ---- */

sqz_status sqz_loss_train(sqz_loss_site *s, sqz_vid constant, double rate, bool decays)
{
    sqz_objective_work *w = s->o->work;
    SQZ_TRY(s->b.status);
    SQZ_TRY(full(s, w->param.n, "trained constants"));
    w->rate[w->param.n] = rate;
    w->decays[w->param.n] = decays;
    return sqz_vids_add(s->o, &w->param, constant);
}

static sqz_vid trained(sqz_loss_site *s, const char *what, sqz_tensor *t)
{
    char name[256];
    sqz_vid v = SQZ_NONE;
    const bool decays = t->shape.rank > 1; /* no bias */
    (void)snprintf(name, sizeof name, "loss.%.100s.%.100s", s->name, what);
    if (!try(s, sqz_graph_constant(s->g, name, t, &v)) || !try(s, sqz_loss_train(s, v, 1, decays)))
        return SQZ_NONE;
    return v;
}

sqz_vid sqz_loss_weight(sqz_loss_site *s, const char *what, const sqz_shape *shape, double sd)
{
    sqz_tensor t;
    if (!ok(s) || !try(s, sqz_tensor_alloc(s->g->ctx, SQZ_F32, shape, &t)))
        return SQZ_NONE;
    for (size_t i = 0; sd > 0 && i < t.count; i++)
        SQZ_F32P(&t)[i] = (float)(sd * sqz_rng_normal(&s->o->work->rng));
    return trained(s, what, &t);
}

static sqz_vid identity(sqz_loss_site *s, int64_t n)
{
    const sqz_shape shape = {2, {n, n}};
    sqz_tensor t;
    if (!ok(s) || !try(s, sqz_tensor_alloc(s->g->ctx, SQZ_F32, &shape, &t)))
        return SQZ_NONE;
    for (int64_t i = 0; i < n; i++)
        SQZ_F32P(&t)[i * n + i] = 1;
    return trained(s, "w", &t);
}

sqz_vid sqz_loss_adapter(sqz_loss_site *s, sqz_vid x, int64_t to)
{
    if (x == SQZ_NONE)
        return SQZ_NONE;
    const sqz_shape *in = &sqz_val(s->g, x)->shape;
    const int64_t from = in->dim[in->rank - 1];
    const sqz_shape w = {2, {from, to}}, b = {1, {to}};
    const sqz_vid matrix = from == to ? identity(s, to)
                                      : sqz_loss_weight(s, "w", &w, 1 / sqrt((double)from));
    const sqz_vid bias = sqz_loss_weight(s, "b", &b, 0);
    return sqz_b(&s->b, "add", NULL, 2, sqz_b(&s->b, "matmul", NULL, 2, x, matrix), bias);
}

/* ---- remembered ---- */

void *sqz_loss_alloc(sqz_loss_site *s, size_t count, size_t elem)
{
    void *p = ok(s) ? sqz_arena_alloc(&s->o->arena, count, elem) : NULL;
    if (!p)
        (void)try(s, SQZ_E_NOMEM);
    return p;
}

sqz_status sqz_loss_remember(sqz_loss_site *s, const sqz_loss_memory *m)
{
    SQZ_TRY(s->b.status);
    SQZ_TRY(full(s, s->o->work->n_memory, "memories"));
    s->o->work->memory[s->o->work->n_memory++] = *m;
    return SQZ_OK;
}

sqz_status sqz_loss_saves(sqz_loss_site *s, const char *what, float *numbers, size_t n)
{
    SQZ_TRY(s->b.status);
    SQZ_TRY(full(s, s->o->n_saved, "saved arrays"));
    const char *name = sqz_arena_printf(&s->o->arena, "loss.%s.%s.%u", s->name, what,
                                        (unsigned)s->o->n_saved);
    if (!name)
        return SQZ_E_NOMEM;
    s->o->work->saved[s->o->n_saved++] = (sqz_saved){name, numbers, n};
    return SQZ_OK;
}

sqz_vid sqz_loss_input(sqz_loss_site *s, const char *what, const sqz_shape *shape)
{
    char name[256];
    (void)snprintf(name, sizeof name, "loss.%.100s.%.100s", s->name, what);
    return input(s, name, shape, false);
}

sqz_status sqz_loss_watch(sqz_loss_site *s, sqz_vid v)
{
    SQZ_TRY(s->b.status);
    return sqz_vids_add(s->o, &s->o->work->watch, v);
}

sqz_status sqz_loss_report(sqz_loss_site *s, const char *what, sqz_vid v)
{
    sqz_objective_work *w = s->o->work;
    SQZ_TRY(s->b.status);
    SQZ_TRY(full(s, w->report.n, "reported numbers"));
    w->report_name[w->report.n] = sqz_arena_strdup(&s->o->arena, what);
    if (!w->report_name[w->report.n])
        return SQZ_E_NOMEM;
    return sqz_vids_add(s->o, &w->report, v);
}
