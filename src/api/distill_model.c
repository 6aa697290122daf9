/* distill_model.c: the teachers, and the model that is trained: a file, or made of the teacher. */
#include "api/distill.h"
#include "quant/quantize.h"
#include <string.h>

/* ---- files ---- */

static sqz_status load(sqz_course *c, const char *path, const char *recipe,
                       sqz_import_source *source, sqz_graph **out)
{
    const sqz_job *j = &c->w->job;
    const sqz_import_options o = {.path = path, .shape = j->shape, .bind = j->bind};
    sqz_env env = {0};
    sqz_status s = sqz_import_file(c->w->ctx, &o, source, out);
    if (s == SQZ_OK)
        s = sqz_note(c->w->ctx, sqz_run_recipe(*out, recipe, &env), "'%s'", path);
    if (s != SQZ_OK) {
        sqz_graph_free(*out);
        *out = NULL;
    }
    return s;
}

sqz_status sqz_course_folded(const sqz_graph *g, sqz_graph **out)
{
    sqz_env env = {0};
    SQZ_TRY(sqz_graph_clone(g, out));
    if (g->have & SQZ_HAS_QUANT)
        return SQZ_OK;
    sqz_status s = sqz_run_recipe(*out, "fold_bn,dce", &env);
    if (s != SQZ_OK) {
        sqz_graph_free(*out);
        *out = NULL;
    }
    return s;
}

static sqz_status open_teachers(sqz_course *c)
{
    const sqz_job *j = &c->w->job;
    sqz_str sums = {.ctx = c->w->ctx};
    sqz_status s = SQZ_OK;
    if (j->n_teachers < 0 || j->n_teachers > SQZ_TEACHERS)
        return sqz_fail(c->w->ctx, SQZ_E_LIMIT, "%d teachers, at most %d can be given",
                        (int)j->n_teachers, (int)SQZ_TEACHERS);
    for (int32_t i = 0; i < j->n_teachers && s == SQZ_OK; i++) {
        sqz_import_source source = {0};
        s = sqz_note(c->w->ctx, load(c, j->teachers[i], SQZ_CANONICAL, &source, &c->teacher[i]),
                     "--teacher");
        c->n_teacher += s == SQZ_OK;
        sqz_str_addf(&sums, "%s%s", i ? "," : "", source.sha256);
    }
    if (s == SQZ_OK)
        s = sums.status;
    if (s == SQZ_OK) {
        c->teachers = sqz_arena_strdup(&c->w->arena, sums.data ? sums.data : "");
        s = c->teachers ? SQZ_OK : SQZ_E_NOMEM;
    }
    sqz_str_free(&sums);
    return s;
}

/* ---- what the model is made of ---- */

/* "width=0.5", "auto,init=random": no file is called so by accident. */
static bool is_made(const char *student)
{
    static const char *const word[] = {"width=", "depth=", "auto"};
    for (size_t i = 0; student && i < SQZ_COUNT(word); i++)
        if (strncmp(student, word[i], strlen(word[i])) == 0)
            return true;
    return false;
}

static sqz_status base_of(sqz_course *c, const char **path)
{
    const sqz_job *j = &c->w->job;
    sqz_ctx *ctx = c->w->ctx;
    const bool made = is_made(j->student);
    if (j->model && j->student && !made)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "both '%s' and --student '%s' are given: which of them is to be trained?",
                        j->model, j->student);
    *path = j->model                ? j->model
            : made && j->n_teachers ? j->teachers[0]
            : !made                 ? j->student
                                    : NULL;
    if (*path)
        return SQZ_OK;
    if (made)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "--student %s is made of the teacher (--teacher) or of MODEL, and neither "
                        "is given",
                        j->student);
    return sqz_fail(ctx, SQZ_E_ARG,
                    "no model to train is given: name one, or --student FILE, or with --teacher "
                    "--student width=0.5");
}

sqz_status sqz_course_open(sqz_course *c)
{
    sqz_work *w = c->w;
    SQZ_TRY(base_of(c, &c->base));
    if (!w->job.out && !w->job.dry_run)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no file to write is given (-o OUT.onnx)");
    if (w->job.init && strcmp(w->job.init, "random") != 0 && strcmp(w->job.init, "teacher") != 0)
        return sqz_fail(w->ctx, SQZ_E_ARG, "--init '%s': expected random or teacher", w->job.init);
    if (w->job.init && strcmp(w->job.init, "teacher") == 0 && !is_made(w->job.student))
        return sqz_fail(w->ctx, SQZ_E_ARG,
                        "--init teacher is for a student that is made of it (--student width=0.5): "
                        "'%s' has its own weights",
                        c->base);
    SQZ_TRY(sqz_work_device(w));
    SQZ_TRY(open_teachers(c));
    SQZ_TRY(load(c, c->base, SQZ_TRAINABLE, &w->source, &w->graph));
    if (w->graph->have & SQZ_HAS_QUANT)
        return sqz_fail(w->ctx, SQZ_E_UNSUPPORTED,
                        "'%s' is quantized: train the float model it was made from", c->base);
    return SQZ_OK;
}

/* ---- changes before training ---- */

static void replace(sqz_work *w, sqz_graph *g)
{
    sqz_graph_free(w->graph);
    w->graph = g;
}

static sqz_status make_student(sqz_course *c)
{
    sqz_work *w = c->w;
    const sqz_student_env env = {.device = w->device,
                                 .data = c->train,
                                 .layout = w->job.layout,
                                 .seed = w->job.seed,
                                 .notes = &w->notes};
    sqz_graph *g;
    if (!is_made(w->job.student))
        return SQZ_OK;
    SQZ_TRY(sqz_student_make(w->graph, w->job.student, &env, &g));
    replace(w, g);
    return SQZ_OK;
}

static sqz_status replace_head(sqz_work *w)
{
    const char *text = w->job.replace_head, *key = "classes=";
    int64_t n;
    if (!text)
        return SQZ_OK;
    if (strncmp(text, key, strlen(key)) != 0 || !sqz_parse_i64(text + strlen(key), NULL, &n) ||
        n < 1 || n > 1 << 20)
        return sqz_fail(w->ctx, SQZ_E_ARG,
                        "--replace-head '%s': expected classes=N, such as "
                        "classes=5",
                        text);
    return sqz_note(w->ctx, sqz_replace_head(w->graph, n, w->job.seed, NULL, NULL),
                    "--replace-head");
}

static sqz_status cut(sqz_work *w)
{
    sqz_graph *g;
    if (!w->job.until)
        return SQZ_OK;
    SQZ_TRY(sqz_note(w->ctx, sqz_graph_until(w->graph, w->job.until, &g), "--until"));
    replace(w, g);
    return SQZ_OK;
}

static sqz_status freeze(sqz_course *c)
{
    sqz_work *w = c->w;
    const char *list = w->job.freeze, *entry;
    size_t n;
    if (!list)
        return SQZ_OK;
    c->frozen = sqz_arena_alloc(&w->arena, w->graph->n_value + 1u, sizeof *c->frozen);
    c->still = sqz_arena_alloc(&w->arena, w->graph->n_node + 1u, sizeof *c->still);
    if (!c->frozen || !c->still)
        return SQZ_E_NOMEM;
    while (sqz_next_entry(&list, &entry, &n)) {
        const char *pattern = sqz_arena_strndup(&w->arena, entry, n);
        if (!pattern)
            return SQZ_E_NOMEM;
        SQZ_TRY(sqz_note(w->ctx, sqz_freeze(w->graph, pattern, c->frozen, c->still), "--freeze"));
    }
    return SQZ_OK;
}

static void name_model(sqz_course *c)
{
    sqz_work *w = c->w;
    if (is_made(w->job.student))
        w->job.model = sqz_arena_printf(&w->arena, "%s of %s", w->job.student, c->base);
    else
        w->job.model = c->base;
}

sqz_status sqz_course_model(sqz_course *c)
{
    sqz_work *w = c->w;
    SQZ_TRY(make_student(c));
    SQZ_TRY(cut(w));
    SQZ_TRY(replace_head(w));
    if (w->job.init && strcmp(w->job.init, "random") == 0)
        SQZ_TRY(sqz_init_random(w->graph, w->job.seed, NULL));
    SQZ_TRY(freeze(c));
    name_model(c);
    sqz_describe_model(w, "model", w->graph, (double)w->source.bytes);
    return SQZ_OK;
}
