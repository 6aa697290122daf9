/* teacher.c: see teacher.h. Means over teachers are taken of logits: the geometric mean of what
 * they predict. */
#include "distill/teacher_work.h"
#include "distill/work.h"
#include "ir/pass.h"
#include <string.h>

/* ---- making ---- */

static sqz_status count_values(sqz_teacher *t)
{
    sqz_answers *a = &t->answers;
    const sqz_objective *o = a->o;
    a->count = sqz_arena_alloc(&t->arena, o->n_teacher + 1u, sizeof *a->count);
    t->sum = sqz_arena_alloc(&t->arena, o->n_teacher + 1u, sizeof *t->sum);
    if (!a->count || !t->sum)
        return SQZ_E_NOMEM;
    for (uint32_t k = 0; k < o->n_teacher; k++) {
        size_t n;
        const sqz_value *v = sqz_val(o->g, o->teacher[k].to);
        SQZ_TRY(sqz_shape_count(t->ctx, &v->shape, SQZ_F32, &n, NULL));
        a->count[k] = n / (size_t)t->batch;
        a->all += a->count[k];
        if (!o->teacher[k].mean || t->n < 2)
            continue;
        t->sum[k] = sqz_arena_room(&t->arena, n, sizeof(float));
        if (!t->sum[k])
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

static sqz_status same_shape(const sqz_teacher *t, const sqz_graph *g, sqz_vid v, uint32_t k)
{
    const sqz_objective *o = t->answers.o;
    const sqz_value *a = sqz_val(g, v), *b = sqz_val(o->g, o->teacher[k].to);
    char have[160], want[160];
    if (sqz_shape_eq(&a->shape, &b->shape) && a->channel_last == b->channel_last)
        return SQZ_OK;
    sqz_shape_print(have, &a->shape);
    sqz_shape_print(want, &b->shape);
    return sqz_fail(t->ctx, SQZ_E_SHAPE, "its output '%s' is %s, that of the first teacher %s",
                    a->name, have, want);
}

/* A copy of teacher i that makes the wanted values only, and the list of these. */
static sqz_status reduced(sqz_teacher *t, uint32_t i, sqz_graph *g)
{
    sqz_one_teacher *one = &t->one[i];
    const sqz_objective *o = t->answers.o;
    sqz_vid *list = sqz_arena_alloc(&t->arena, o->n_teacher + 1u, sizeof *list);
    one->value = sqz_arena_alloc(&t->arena, o->n_teacher + 1u, sizeof *one->value);
    if (!list || !one->value)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_graph_set_batch(g, t->batch));
    for (uint32_t k = 0; k < o->n_teacher; k++) {
        const sqz_teacher_value *v = &o->teacher[k];
        if (i > 0 && !v->mean)
            continue;
        list[one->n_value] = i == 0 ? v->from : v->logits ? sqz_graph_logits(g) : g->output[0];
        SQZ_TRY(same_shape(t, g, list[one->n_value], k));
        one->value[one->n_value++] = k;
    }
    one->out = sqz_arena_alloc(&t->arena, one->n_value + 1u, sizeof *one->out);
    if (!one->out)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_graph_set_outputs(g, list, one->n_value));
    return sqz_run_recipe(g, "dce", NULL);
}

static sqz_status make_one(sqz_teacher *t, uint32_t i, const sqz_dataset *ds, const char *layout)
{
    sqz_one_teacher *one = &t->one[i];
    const sqz_graph *from = t->answers.o->options.teacher[i];
    sqz_graph *g;
    SQZ_TRY(sqz_graph_clone(from, &g));
    sqz_status s = reduced(t, i, g);
    if (s == SQZ_OK && one->n_value)
        s = sqz_feeds_plan(&t->arena, ds, g, layout, &one->feeds);
    if (s != SQZ_OK || !one->n_value) {
        sqz_graph_free(g);
        return s;
    }
    SQZ_TRY(sqz_exec_adopt(g, 0, NULL, &one->exec));
    one->in = sqz_arena_alloc(&t->arena, one->feeds.n + 1u, sizeof *one->in);
    return one->in ? sqz_feeds_memory(&one->feeds, t->batch, one->in) : SQZ_E_NOMEM;
}

static sqz_status make(sqz_teacher *t, const sqz_dataset *ds, const char *layout)
{
    const sqz_objective *o = t->answers.o;
    t->n = o->options.n_teacher;
    t->one = sqz_arena_alloc(&t->arena, t->n + 1u, sizeof *t->one);
    if (!t->one)
        return SQZ_E_NOMEM;
    SQZ_TRY(count_values(t));
    for (uint32_t i = 0; i < t->n; i++)
        SQZ_TRY(sqz_note(t->ctx, make_one(t, i, ds, layout), "teacher %u", (unsigned)i + 1));
    return SQZ_OK;
}

sqz_status sqz_teacher_create(const sqz_objective *o, const sqz_dataset *ds, const char *layout,
                              sqz_teacher **out)
{
    sqz_teacher *t = sqz_calloc(o->ctx, 1, sizeof *t);
    *out = NULL;
    if (!t)
        return SQZ_E_NOMEM;
    t->ctx = t->arena.ctx = o->ctx;
    t->answers.o = o;
    t->batch = sqz_val(o->g, o->g->input[0])->shape.dim[0];
    const sqz_status s = make(t, ds, layout);
    if (s != SQZ_OK)
        sqz_teacher_free(t);
    else
        *out = t;
    return s;
}

void sqz_teacher_free(sqz_teacher *t)
{
    if (!t)
        return;
    sqz_ctx *ctx = t->ctx;
    for (uint32_t i = 0; t->one && i < t->n; i++) {
        sqz_exec_free(t->one[i].exec);
        if (t->one[i].in)
            sqz_feeds_free(&t->one[i].feeds, t->one[i].in);
    }
    sqz_cache_free(ctx, t->cache);
    sqz_arena_free(&t->arena);
    sqz_free(ctx, t);
}

/* ---- running ---- */

static void add_to(float *to, const float *from, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (to[i] + from[i]) * factor;
}

sqz_status sqz_teacher_run(sqz_teacher *t, const float *samples, float *const *to)
{
    for (uint32_t i = 0; i < t->n; i++) {
        sqz_one_teacher *one = &t->one[i];
        if (!one->exec)
            continue;
        SQZ_TRY(sqz_feeds_apply(&one->feeds, t->batch, samples, one->in));
        for (uint32_t k = 0; k < one->n_value; k++)
            one->out[k] = i == 0 ? to[one->value[k]] : t->sum[one->value[k]];
        SQZ_TRY(sqz_note(t->ctx, sqz_exec_run(one->exec, (const void *const *)one->in, one->out),
                         "teacher %u", (unsigned)i + 1));
        for (uint32_t k = 0; i > 0 && k < one->n_value; k++)
            add_to(to[one->value[k]], t->sum[one->value[k]],
                   (size_t)t->batch * t->answers.count[one->value[k]],
                   i + 1 == t->n ? 1 / (float)t->n : 1);
    }
    return SQZ_OK;
}

sqz_status sqz_teacher_fill(sqz_teacher *t, const float *samples, const int64_t *sample,
                            const sqz_tape *tape)
{
    const sqz_objective *o = t->answers.o;
    float *to[SQZ_OBJECTIVE_MOST];
    for (uint32_t k = 0; k < o->n_teacher; k++)
        to[k] = sqz_tape_data(tape, o->teacher[k].to);
    if (!o->n_teacher || !t->cache)
        return o->n_teacher ? sqz_teacher_run(t, samples, to) : SQZ_OK;
    if (!sample)
        return sqz_fail(t->ctx, SQZ_E_INTERNAL, "a cache of teachers needs the places of samples");
    for (int64_t i = 0; i < t->batch; i++) {
        SQZ_TRY(sqz_cache_read(t->cache, sample[i], to));
        for (uint32_t k = 0; k < o->n_teacher; k++)
            to[k] += t->answers.count[k];
    }
    return SQZ_OK;
}
