/* distill_make.c: from models and data to a trainer: losses, the loader of batches, the teachers
 * that answer, what is trained, and the text that says all of it. */
#include "api/distill.h"
#include "base/yaml.h"
#include "distill/loss.h"
#include <math.h>
#include <string.h>

/* ---- losses ---- */

static int64_t outputs_of(const sqz_graph *g)
{
    const sqz_shape *s = &sqz_val(g, g->output[0])->shape;
    int64_t n = 1;
    for (int32_t i = 1; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

static const char *usual_loss(const sqz_course *c)
{
    const sqz_dataset *t = c->train;
    if (!t->has_labels)
        return !c->n_teacher ? NULL : "kd(temperature=4)";
    if (!t->classes)
        return c->n_teacher ? "mse(weight=0.5),mse(weight=0.5 to=teacher)" : "mse";
    if (!c->one_hot)
        return c->n_teacher ? "bce(weight=0.5),mse(weight=0.5 to=teacher)" : "bce";
    return c->n_teacher ? "ce(weight=0.1),kd(temperature=4 weight=0.9)" : "ce";
}

/* --loss, the usual ones where none is asked for, and the graph beside. */
static sqz_status loss_text(sqz_course *c)
{
    const sqz_job *j = &c->w->job;
    sqz_arena *a = &c->w->arena;
    const char *text = j->loss ? j->loss : j->loss_graph ? NULL : usual_loss(c);
    if (!text && !j->loss_graph)
        return sqz_fail(
            c->w->ctx, SQZ_E_ARG,
            "'%s' has no labels (array 'y'), and no teacher is given (--teacher): there "
            "is nothing to learn from",
            c->train->path);
    c->loss = !j->loss_graph ? text
              : text         ? sqz_arena_printf(a, "%s,graph(file=\"%s\")", text, j->loss_graph)
                             : sqz_arena_printf(a, "graph(file=\"%s\")", j->loss_graph);
    return c->loss ? SQZ_OK : SQZ_E_NOMEM;
}

/* Classes are rows of numbers, but for a single output, which says yes or no. A body cut off
 * before its head needs no labels that fit. */
static sqz_status fit_labels(sqz_course *c)
{
    const sqz_dataset *t = c->train;
    const int64_t n = outputs_of(c->w->graph);
    c->one_hot = t->has_labels && t->classes > 0 && !(n == 1 && t->classes == 2);
    if (!c->one_hot || n == t->classes || c->w->job.until)
        return SQZ_OK;
    return sqz_fail(c->w->ctx, SQZ_E_SHAPE,
                    "the model has %lld outputs, and '%s' has %lld classes: --replace-head "
                    "classes=%lld makes a head that fits",
                    (long long)n, t->path, (long long)t->classes, (long long)t->classes);
}

static sqz_status build_objective(sqz_course *c)
{
    const sqz_dataset *t = c->train;
    sqz_objective_options o = {.text = c->loss,
                               .teacher = (const sqz_graph *const *)c->teacher,
                               .n_teacher = c->n_teacher,
                               .labels = t->has_labels,
                               .samples = t->n,
                               .seed = c->w->job.seed,
                               .notes = &c->w->notes};
    if (c->one_hot)
        o.label = (sqz_shape){1, {t->classes}};
    else if (t->has_labels && !t->classes)
        o.label = t->label_shape;
    return sqz_note(c->w->ctx, sqz_objective_build(c->training.g, &o, &c->objective), "--loss");
}

/* ---- what answers and what is read in a step ---- */

static sqz_status make_loader(sqz_course *c)
{
    const sqz_job *j = &c->w->job;
    const sqz_loader_options o = {.data = c->train,
                                  .layout = j->layout,
                                  .batch = c->batch,
                                  .part = (uint32_t)c->team->rank,
                                  .parts = c->team->size > 1 ? (uint32_t)c->team->size : 0,
                                  .seed = j->seed,
                                  .augment = j->augment,
                                  .mixup = j->mixup,
                                  .smoothing = j->smoothing,
                                  .one_hot = c->one_hot};
    return sqz_loader_create(c->w->ctx, &o, &c->loader);
}

static sqz_status make_training(sqz_course *c)
{
    const sqz_training_options o = {.batch = c->part, .seed = c->w->job.seed, .frozen = c->still};
    if (!c->qat)
        SQZ_TRY(sqz_training_make(c->w->graph, &o, &c->training));
    SQZ_TRY(sqz_feeds_plan(&c->w->arena, c->train, c->training.g, c->w->job.layout, &c->feeds));
    c->in = sqz_arena_alloc(&c->w->arena, c->feeds.n + 1u, sizeof *c->in);
    return c->in ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status make_teachers(sqz_course *c)
{
    if (!c->objective->n_teacher)
        return SQZ_OK;
    return sqz_teacher_create(c->objective, c->train, c->w->job.layout, &c->answers);
}

/* ---- what is trained ---- */

/* Weights, biases and scales of the quantized model come first. */
static sqz_status choose_quantized(sqz_course *c)
{
    const sqz_objective *o = c->objective;
    uint32_t n;
    const sqz_trained *list = sqz_qat_trained(c->qat, &n);
    c->trained = sqz_arena_alloc(&c->w->arena, (size_t)n + o->n_param + 1, sizeof *c->trained);
    if (!c->trained)
        return SQZ_E_NOMEM;
    memcpy(c->trained, list, n * sizeof *list);
    c->n_trained = n;
    for (uint32_t i = 0; i < n; i++)
        c->n_number += sqz_val(c->training.g, list[i].value)->constant->count;
    return SQZ_OK;
}

static void add_trained(sqz_course *c, sqz_vid v, bool decays, double rate)
{
    c->trained[c->n_trained++] = (sqz_trained){
        .value = v, .decays = decays, .rate = rate, .floor = -INFINITY};
    c->n_number += sqz_val(c->training.g, v)->constant->count;
}

static sqz_status choose_model(sqz_course *c)
{
    sqz_parameter *list;
    uint32_t n;
    const sqz_objective *o = c->objective;
    if (c->qat)
        return choose_quantized(c);
    SQZ_TRY(sqz_training_parameters(c->w->graph, &c->w->arena, &list, &n));
    c->trained = sqz_arena_alloc(&c->w->arena, (size_t)n + o->n_param + 1, sizeof *c->trained);
    if (!c->trained)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (!c->frozen || !c->frozen[list[i].value])
            add_trained(c, list[i].value, list[i].decays, 1);
    if (!c->n_trained)
        return sqz_fail(c->w->ctx, SQZ_E_ARG, "nothing is left to train: %s",
                        c->frozen ? "--freeze names all of it" : "the model has no weights");
    return SQZ_OK;
}

static sqz_status choose_trained(sqz_course *c)
{
    const sqz_objective *o = c->objective;
    SQZ_TRY(choose_model(c));
    for (uint32_t i = 0; i < o->n_param; i++)
        add_trained(c, o->param[i], o->param_decays[i], o->param_rate[i]);
    return SQZ_OK;
}

/* ---- the text of it: what decides the bytes that come out ---- */

static void add_text(sqz_str *t, const char *key, const char *value)
{
    if (value)
        sqz_str_addf(t, " %s='%s'", key, value);
}

static void add_number(sqz_str *t, const char *key, double value)
{
    char text[32];
    sqz_print_f64(text, value);
    if (value != 0)
        sqz_str_addf(t, " %s=%s", key, text);
}

static void add_options(sqz_course *c, sqz_str *t)
{
    const sqz_job *j = &c->w->job;
    add_text(t, "student", j->student && j->model != c->base ? j->student : NULL);
    add_text(t, "init", j->init);
    add_text(t, "until", j->until);
    add_text(t, "replace_head", j->replace_head);
    add_text(t, "freeze", j->freeze);
    add_text(t, "qat", j->qat);
    add_text(t, "loss", c->loss);
    add_number(t, "epochs", (double)sqz_course_epochs(c));
    add_number(t, "batch", (double)c->batch);
    add_text(t, "optimizer", j->optimizer ? j->optimizer : "sgd");
    add_text(t, "schedule", j->schedule ? j->schedule : "cosine");
    add_number(t, "lr", j->rate);
    add_number(t, "decay", j->decay);
    add_text(t, "augment", j->augment);
    add_number(t, "mixup", j->mixup);
    add_number(t, "smoothing", j->smoothing);
    add_number(t, "clip", j->clip);
    add_number(t, "ema", j->ema);
    add_number(t, "patience", (double)j->patience);
    add_text(t, "metric", j->metric);
    add_number(t, "limit", (double)j->limit);
}

static sqz_status write_identity(sqz_course *c, sqz_str *t)
{
    sqz_work *w = c->w;
    char sha[65] = "";
    if (w->job.loss_graph)
        SQZ_TRY(sqz_file_sha256(w->ctx, w->job.loss_graph, sha));
    if (w->judge->checksum[0] == 0)
        SQZ_TRY(sqz_data_checksum(w->judge));
    sqz_str_addf(t,
                 "squeeze %s\nmodel %s\nteachers %s\ndata %s\nvalid %s %lld\nloss %s\nseed %llu\n",
                 sqz_version(), w->source.sha256, c->teachers, w->calib->checksum,
                 w->judge->checksum, (long long)c->valid->n, sha, (unsigned long long)w->job.seed);
    sqz_str_addf(t, "layout %s\nmemory %s\ncache %d\nprocesses %d\n%s\n",
                 w->job.layout ? w->job.layout : "", w->job.memory ? w->job.memory : "",
                 w->job.cache != NULL, (int)c->team->size, c->recipe);
    return t->status;
}

static sqz_status texts(sqz_course *c)
{
    sqz_arena *a = &c->w->arena;
    sqz_str recipe = {.ctx = c->w->ctx}, identity = {.ctx = c->w->ctx};
    sqz_str_add(&recipe, "distill");
    add_options(c, &recipe);
    c->recipe = recipe.status == SQZ_OK ? sqz_arena_strdup(a, recipe.data) : NULL;
    sqz_status s = c->recipe ? write_identity(c, &identity) : SQZ_E_NOMEM;
    if (s == SQZ_OK) {
        c->identity = sqz_arena_strdup(a, identity.data);
        if (c->w->job.out)
            c->checkpoint = sqz_arena_printf(a, "%s.training", c->w->job.out);
        s = c->identity && (!c->w->job.out || c->checkpoint) ? SQZ_OK : SQZ_E_NOMEM;
    }
    sqz_str_free(&recipe);
    sqz_str_free(&identity);
    return s;
}

/* ---- the trainer ---- */

int64_t sqz_course_epochs(const sqz_course *c)
{
    return c->w->job.epochs > 0 ? c->w->job.epochs : 10;
}

static sqz_status memory_of(const sqz_course *c, size_t *out)
{
    double bytes = 0;
    if (c->w->job.memory)
        SQZ_TRY(sqz_quantity(c->w->ctx, "--memory", c->w->job.memory, SQZ_DIM_BYTES, &bytes));
    *out = (size_t)SQZ_MIN(bytes, 1e15);
    return SQZ_OK;
}

sqz_status sqz_course_trainer(sqz_course *c, int64_t epochs, int64_t steps, const char *checkpoint)
{
    const sqz_job *j = &c->w->job;
    sqz_trainer_options o = {.optimizer = j->optimizer,
                             .schedule = j->schedule,
                             .rate = j->rate,
                             .decay = j->decay,
                             .clip = j->clip,
                             .ema = j->ema,
                             .epochs = epochs,
                             .steps = steps,
                             .patience = j->patience,
                             .team = c->team->size > 1 ? c->team : NULL,
                             .trained = c->trained,
                             .n_trained = c->n_trained,
                             .n_report = c->objective->n_report,
                             .saved = c->objective->saved,
                             .n_saved = c->objective->n_saved,
                             .checkpoint = checkpoint,
                             .identity = c->identity};
    SQZ_TRY(memory_of(c, &o.memory));
    sqz_trainer_free(c->trainer);
    c->trainer = NULL;
    SQZ_TRY(sqz_trainer_create(&c->training, &o, &c->trainer));
    const sqz_tape *t = sqz_trainer_tape(c->trainer);
    for (uint32_t i = 0; i < c->feeds.n; i++)
        c->in[i] = sqz_tape_data(t, c->training.g->input[i]);
    return SQZ_OK;
}

/* ---- all of it ---- */

/* Started by mpirun, each process takes an equal part of every batch. */
static sqz_status join_team(sqz_course *c)
{
    SQZ_TRY(sqz_team_join(c->w->ctx, &c->team));
    c->part = c->batch / c->team->size;
    if (c->part * c->team->size == c->batch)
        return SQZ_OK;
    return sqz_fail(c->w->ctx, SQZ_E_ARG,
                    "batches of %lld samples cannot be shared equally by %d processes: give "
                    "--batch a multiple of them",
                    (long long)c->batch, (int)c->team->size);
}

sqz_status sqz_course_make(sqz_course *c)
{
    SQZ_TRY(join_team(c));
    SQZ_TRY(fit_labels(c));
    SQZ_TRY(sqz_course_quantize(c));
    SQZ_TRY(loss_text(c));
    SQZ_TRY(make_loader(c));
    SQZ_TRY(make_training(c));
    SQZ_TRY(build_objective(c));
    SQZ_TRY(make_teachers(c));
    SQZ_TRY(choose_trained(c));
    return texts(c);
}

void sqz_course_close(sqz_course *c)
{
    sqz_trainer_free(c->trainer);
    sqz_loader_free(c->loader);
    sqz_teacher_free(c->answers);
    sqz_objective_free(c->objective);
    sqz_training_free(&c->training);
    sqz_qat_free(c->qat);
    sqz_graph_free(c->quantized);
    sqz_graph_free(c->reference);
    for (uint32_t i = 0; i < c->n_teacher; i++)
        sqz_graph_free(c->teacher[i]);
    sqz_team_leave(c->w->ctx, c->team);
}
