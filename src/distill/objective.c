/* objective.c: reads the text, lets each loss append itself, and adds them up. */
#include "distill/objective.h"
#include "base/chain.h"
#include "distill/work.h"
#include <stdio.h>
#include <string.h>

static const sqz_info *info_of(size_t i) { return &sqz_losses[i]->info; }

/* ---- one loss ---- */

static sqz_status check_needs(const sqz_objective *o, const sqz_loss *l)
{
    if ((l->needs & SQZ_LOSS_LABEL) && !o->options.labels)
        return sqz_fail(o->ctx, SQZ_E_ARG, "it needs labels, and the data have none");
    if ((l->needs & SQZ_LOSS_TEACHER) && !o->options.n_teacher)
        return sqz_fail(o->ctx, SQZ_E_ARG, "it needs a teacher (--teacher)");
    return SQZ_OK;
}

/* The weight as a number, or as an input that before() fills while it rises. */
static sqz_vid weighted(sqz_loss_site *s, const sqz_loss_common *c, sqz_vid loss)
{
    const sqz_shape one = {0};
    sqz_objective_work *w = s->o->work;
    if (c->warmup <= 0)
        return sqz_loss_scale(s, loss, c->weight);
    const sqz_vid factor = sqz_loss_input(s, "factor", &one);
    w->factor[w->n_factor++] = (sqz_factor){factor, c->weight, c->warmup};
    return sqz_b(&s->b, "mul", NULL, 2, loss, factor);
}

static sqz_status check_number(const sqz_loss_site *s, sqz_vid v)
{
    size_t n;
    char text[160];
    SQZ_TRY(s->b.status);
    const sqz_value *x = sqz_val(s->g, v);
    SQZ_TRY(sqz_shape_count(s->g->ctx, &x->shape, x->dtype, &n, NULL));
    if (n == 1 && x->dtype == SQZ_F32)
        return SQZ_OK;
    sqz_shape_print(text, &x->shape);
    return sqz_fail(s->g->ctx, SQZ_E_SHAPE, "value '%s' is %s %s, expected one f32 number", x->name,
                    sqz_dtype_name(x->dtype), text);
}

/* As many losses of the same kind as are wanted: "hint", "hint_2", ... */
static const char *name_of(sqz_objective *o, const char *name)
{
    unsigned same = 1;
    for (uint32_t i = 0; i < o->work->report.n; i++)
        same += strncmp(o->work->report_name[i], "loss.", 5) == 0 &&
                strncmp(o->work->report_name[i] + 5, name, strlen(name)) == 0 &&
                strchr("_", o->work->report_name[i][5 + strlen(name)]) != NULL;
    return same == 1 ? name : sqz_arena_printf(&o->arena, "%s_%u", name, same);
}

static sqz_status append(sqz_objective *o, const sqz_chain_item *item, sqz_vid *total)
{
    const sqz_loss *l = sqz_losses[item->entry];
    const char *name = name_of(o, l->info.name);
    sqz_vid loss = SQZ_NONE, parts = SQZ_NONE;
    char report[256];
    if (!name)
        return SQZ_E_NOMEM;
    const char *node = sqz_arena_printf(&o->arena, "loss.%s", name);
    sqz_import im = {.g = o->g, .name = node};
    sqz_loss_site s = {.b = {.im = &im}, .g = o->g, .name = name, .o = o};
    if (!node)
        return SQZ_E_NOMEM;
    SQZ_TRY(check_needs(o, l));
    s.output = o->work->output[0];
    s.logits = o->work->logits;
    s.batch = sqz_val(o->g, o->g->input[0])->shape.dim[0];
    const uint32_t extra = o->work->report.n;
    (void)snprintf(report, sizeof report, "loss.%s", name);
    SQZ_TRY(sqz_loss_report(&s, report, SQZ_NONE)); /* before what it reports itself */
    SQZ_TRY(l->build(&s, item->opts, &loss));
    SQZ_TRY(check_number(&s, loss));
    if (sqz_val(o->g, loss)->shape.rank)
        loss = sqz_loss_sum(&s, loss);
    loss = weighted(&s, item->opts, loss);
    parts = *total == SQZ_NONE ? loss : sqz_b(&s.b, "add", NULL, 2, *total, loss);
    SQZ_TRY(s.b.status);
    o->work->report.v[extra] = loss;
    *total = parts;
    return SQZ_OK;
}

/* ---- all of them ---- */

static sqz_status make_room(sqz_objective *o)
{
    sqz_arena *a = &o->arena;
    sqz_objective_work *w = o->work = sqz_arena_alloc(a, 1, sizeof *w);
    if (!w)
        return SQZ_E_NOMEM;
    w->rng.seed = o->options.seed ^ 0x6c6f7373u;
    w->report_name = sqz_arena_alloc(a, SQZ_OBJECTIVE_MOST, sizeof *w->report_name);
    w->memory = sqz_arena_alloc(a, SQZ_OBJECTIVE_MOST, sizeof *w->memory);
    w->teacher = sqz_arena_alloc(a, SQZ_OBJECTIVE_MOST, sizeof *w->teacher);
    w->saved = sqz_arena_alloc(a, SQZ_OBJECTIVE_MOST, sizeof *w->saved);
    w->rate = sqz_arena_alloc(a, SQZ_OBJECTIVE_MOST, sizeof *w->rate);
    w->decays = sqz_arena_alloc(a, SQZ_OBJECTIVE_MOST, sizeof *w->decays);
    w->factor = sqz_arena_alloc(a, SQZ_CHAIN_MOST, sizeof *w->factor);
    w->output = sqz_arena_alloc(a, o->g->n_output + 1u, sizeof *w->output);
    if (!w->rate || !w->decays || !w->report_name || !w->memory || !w->teacher || !w->saved ||
        !w->factor || !w->output)
        return SQZ_E_NOMEM;
    w->n_output = o->g->n_output;
    memcpy(w->output, o->g->output, w->n_output * sizeof *w->output);
    w->logits = sqz_graph_logits(o->g);
    w->n_node = o->g->n_node;
    return SQZ_OK;
}

static sqz_status copy_teacher(sqz_objective *o)
{
    const int64_t batch = sqz_val(o->g, o->g->input[0])->shape.dim[0];
    if (!o->options.n_teacher)
        return SQZ_OK;
    const sqz_graph **list = sqz_arena_alloc(&o->arena, o->options.n_teacher, sizeof(sqz_graph *));
    if (!list)
        return SQZ_E_NOMEM;
    memcpy(list, o->options.teacher, o->options.n_teacher * sizeof(sqz_graph *));
    o->options.teacher = list;
    SQZ_TRY(sqz_graph_clone(o->options.teacher[0], &o->work->first));
    return sqz_note(o->ctx, sqz_graph_set_batch(o->work->first, batch), "the teacher");
}

/* The total, what is reported, what is watched, the student's own. */
static sqz_status outputs(sqz_objective *o, sqz_vid total)
{
    sqz_objective_work *w = o->work;
    const uint32_t n = 1 + w->report.n + w->watch.n + w->n_output;
    sqz_vid *list = sqz_arena_alloc(&o->arena, n, sizeof *list);
    const char **name = sqz_arena_alloc(&o->arena, w->report.n + 1u, sizeof *name);
    uint32_t k = 0;
    if (!list || !name)
        return SQZ_E_NOMEM;
    list[k] = total;
    name[k++] = "loss";
    for (uint32_t i = 0; i < w->report.n; i++) {
        list[k] = w->report.v[i];
        name[k++] = w->report_name[i];
    }
    o->report = name;
    o->n_report = k;
    for (uint32_t i = 0; i < w->watch.n; i++)
        list[k++] = w->watch.v[i];
    o->first_output = k;
    for (uint32_t i = 0; i < w->n_output; i++)
        list[k++] = w->output[i];
    o->param = w->param.v;
    o->n_param = w->param.n;
    o->param_rate = w->rate;
    o->param_decays = w->decays;
    o->teacher = w->teacher;
    o->saved = w->saved;
    return sqz_graph_set_outputs(o->g, list, k);
}

static sqz_status build(sqz_objective *o)
{
    const sqz_chain_table t = {
        .chain = "losses", .item = "loss", .n = sqz_n_losses, .info = info_of};
    sqz_chain_item *list;
    sqz_vid total = SQZ_NONE;
    unsigned n;
    SQZ_TRY(make_room(o));
    SQZ_TRY(sqz_chain_read(&o->arena, &t, o->options.text ? o->options.text : "", &list, &n));
    if (!n)
        return sqz_fail(o->ctx, SQZ_E_ARG, "losses: none is given");
    SQZ_TRY(copy_teacher(o));
    for (unsigned i = 0; i < n; i++)
        SQZ_TRY(sqz_note(o->ctx, append(o, &list[i], &total), "loss '%s'",
                         sqz_losses[list[i].entry]->info.name));
    return outputs(o, total);
}

sqz_status sqz_objective_build(sqz_graph *g, const sqz_objective_options *options,
                               sqz_objective **out)
{
    sqz_objective *o = sqz_calloc(g->ctx, 1, sizeof *o);
    *out = NULL;
    if (!o)
        return SQZ_E_NOMEM;
    o->ctx = o->arena.ctx = g->ctx;
    o->g = g;
    o->options = *options;
    o->label = SQZ_NONE;
    const sqz_status s = build(o);
    if (o->work)
        sqz_graph_free(o->work->first);
    if (s != SQZ_OK) {
        sqz_objective_free(o);
        return s;
    }
    o->work->first = NULL;
    *out = o;
    return SQZ_OK;
}

void sqz_objective_free(sqz_objective *o)
{
    if (!o)
        return;
    sqz_ctx *ctx = o->ctx;
    sqz_arena_free(&o->arena);
    sqz_free(ctx, o);
}

sqz_status sqz_objective_before(const sqz_objective *o, const sqz_tape *t, const sqz_loss_step *s)
{
    const sqz_objective_work *w = o->work;
    for (uint32_t i = 0; i < w->n_factor; i++) {
        const sqz_factor *f = &w->factor[i];
        *sqz_tape_data(t, f->input) = (float)(f->weight * SQZ_MIN(s->epoch / f->warmup, 1.0));
    }
    for (uint32_t i = 0; i < w->n_memory; i++)
        if (w->memory[i].before)
            SQZ_TRY(w->memory[i].before(w->memory[i].state, t, s));
    return SQZ_OK;
}

sqz_status sqz_objective_after(const sqz_objective *o, const sqz_tape *t, const sqz_loss_step *s)
{
    const sqz_objective_work *w = o->work;
    for (uint32_t i = 0; i < w->n_memory; i++)
        if (w->memory[i].after)
            SQZ_TRY(w->memory[i].after(w->memory[i].state, t, s));
    return SQZ_OK;
}
