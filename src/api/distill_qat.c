/* distill_qat.c: --qat: what is trained is the model as ptq makes it, and that is what is judged
 * and written. Without a teacher, the float model is one: its answers say more than labels do. */
#include "api/distill.h"
#include <string.h>

/* "weights=4,activations=4", as options of ptq. */
static sqz_status recipe_of(sqz_course *c, char **out)
{
    *out = sqz_arena_printf(&c->w->arena, "calib,ptq(%s)", c->w->job.qat);
    if (!*out)
        return SQZ_E_NOMEM;
    for (char *p = *out + strlen("calib,"); *p; p++)
        *p = *p == ',' ? ' ' : *p;
    return SQZ_OK;
}

static sqz_status be_teacher(sqz_course *c)
{
    if (c->n_teacher)
        return SQZ_OK;
    SQZ_TRY(sqz_graph_clone(c->reference, &c->teacher[0]));
    c->n_teacher = 1;
    return SQZ_OK;
}

sqz_status sqz_course_quantize(sqz_course *c)
{
    sqz_job *j = &c->w->job;
    sqz_env env = {.calib = c->train,
                   .layout = j->layout,
                   .seed = j->seed,
                   .samples = j->samples,
                   .notes = &c->w->notes};
    char *recipe;
    if (!j->qat)
        return SQZ_OK;
    if (c->frozen || j->until)
        return sqz_fail(c->w->ctx, SQZ_E_ARG, "--qat trains the whole model: without --%s",
                        c->frozen ? "freeze" : "until");
    if (!j->optimizer) /* without batch norms, and with steps at every border of the grid, the
                          sizes of gradients differ widely: sgd reaches far less */
        j->optimizer = "adam";
    SQZ_TRY(recipe_of(c, &recipe));
    SQZ_TRY(sqz_course_folded(c->w->graph, &c->reference));
    SQZ_TRY(sqz_graph_clone(c->reference, &c->quantized));
    SQZ_TRY(sqz_note(c->w->ctx, sqz_run_recipe(c->quantized, recipe, &env), "--qat"));
    SQZ_TRY(be_teacher(c));
    const sqz_qat_options o = {.batch = c->part};
    SQZ_TRY(sqz_note(c->w->ctx, sqz_qat_make(c->reference, c->quantized, &o, &c->qat), "--qat"));
    c->training = sqz_qat_take(c->qat);
    return SQZ_OK;
}

sqz_status sqz_course_quantized(const sqz_course *c, const sqz_trainer *t, sqz_graph **out)
{
    uint32_t n;
    (void)sqz_qat_trained(c->qat, &n);
    sqz_arena a = {.ctx = c->w->ctx};
    const float **numbers = sqz_arena_alloc(&a, n + 1u, sizeof *numbers);
    sqz_status s = numbers ? sqz_graph_clone(c->quantized, out) : SQZ_E_NOMEM;
    for (uint32_t i = 0; s == SQZ_OK && i < n; i++)
        numbers[i] = sqz_trainer_numbers(t, i);
    if (s == SQZ_OK) {
        s = sqz_qat_write(c->qat, numbers, *out);
        if (s != SQZ_OK)
            sqz_graph_free(*out);
    }
    sqz_arena_free(&a);
    return s;
}
