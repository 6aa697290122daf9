/* student.c: a smaller network from one line of text. */
#include "prune/student.h"
#include "ir/pass.h"
#include "prune/score.h"
#include <math.h>
#include <string.h>

typedef struct options {
    double width, depth;
    int64_t automatic, init, multiple;
    const char *score;
} options;
enum { TEACHER, RANDOM };
static const sqz_attr schema[] = {
    {.name = "width",
     .offset = offsetof(options, width),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .min = 0.001,
     .max = 1,
     .doc = "share of the channels of each layer that stays"},
    {.name = "depth",
     .offset = offsetof(options, depth),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .min = 0,
     .max = 1,
     .doc = "share of the residual blocks that stays"},
    {.name = "auto",
     .offset = offsetof(options, automatic),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "the largest width that fits the device"},
    {.name = "init",
     .offset = offsetof(options, init),
     .type = SQZ_A_ENUM,
     .max = RANDOM,
     .names = "teacher|random",
     .doc = "where the weights begin"},
    {.name = "multiple",
     .offset = offsetof(options, multiple),
     .type = SQZ_A_INT,
     .def = 8,
     .min = 1,
     .max = 1024,
     .doc = "layers keep a multiple of so many channels"},
    {.name = "score",
     .offset = offsetof(options, score),
     .type = SQZ_A_STRING,
     .names = "l2",
     .doc = "which channels stay: l2, l1, bn, fpgm, random"},
};
static const sqz_info info = {.name = "student",
                              .doc = "a smaller network made of the teacher",
                              .opt_size = sizeof(options),
                              .opts = schema,
                              .n_opts = SQZ_COUNT(schema)};

/* "auto,init=random" as the options "auto=1 init=random". */
static sqz_status read_spec(sqz_arena *a, const char *spec, options *o)
{
    sqz_str text = {.ctx = a->ctx};
    sqz_opts_default(&info, o);
    for (const char *p = spec; *p;) {
        const size_t n = strcspn(p, ",");
        sqz_str_addn(&text, p, n);
        if (n && !memchr(p, '=', n))
            sqz_str_add(&text, "=1");
        p += n + (p[n] == ',');
        sqz_str_add(&text, " ");
    }
    sqz_status s = text.status;
    if (s == SQZ_OK)
        s = sqz_opts_parse(a, &info, text.data ? text.data : "", o);
    sqz_str_free(&text);
    SQZ_TRY(sqz_note(a->ctx, s, "student '%s'", spec));
    if (o->automatic && o->width < 1)
        return sqz_fail(a->ctx, SQZ_E_ARG, "student '%s': auto finds the width itself", spec);
    if (!o->automatic && o->width == 1 && o->depth == 1)
        return sqz_fail(a->ctx, SQZ_E_ARG,
                        "student '%s' is the teacher: give width=0.5, depth=0.5 or auto", spec);
    return SQZ_OK;
}

/* ---- auto ---- */

/* What stands in the way on the device once the graph is int8, in *why (a text of `a`); NULL:
 * nothing. Grids have placeholder ranges: they cost the same. */
static sqz_status judge(sqz_graph *g, const sqz_device *d, sqz_arena *a, const char **why)
{
    static const sqz_range unit = {-1, 1};
    sqz_limit_result row[8];
    sqz_estimate *e;
    unsigned n;
    *why = NULL;
    SQZ_TRY(sqz_run_recipe(g, "fold_bn,dce", NULL));
    for (sqz_vid v = 0; v < g->n_value; v++) {
        sqz_value *x = sqz_val(g, v);
        if (!sqz_value_dead(x) && !x->constant && x->dtype == SQZ_F32)
            x->range = &unit;
    }
    g->have |= SQZ_HAS_RANGES;
    if (d->numerics.s8)
        SQZ_TRY(sqz_run_recipe(g, "ptq", &(sqz_env){.integer_only = !d->numerics.f32}));
    SQZ_TRY(sqz_estimate_graph(g, d, &e));
    sqz_limits_check(d, e, NAN, NAN, row, &n);
    bool asked = false;
    for (unsigned i = 0; i < n; i++)
        asked = asked ||
                (row[i].verdict != SQZ_V_NOT_ASKED && strcmp(row[i].what, "operators") != 0);
    for (unsigned i = 0; i < n && !*why; i++)
        if (row[i].verdict == SQZ_V_BROKEN)
            *why = sqz_arena_printf(a, "%s %s", row[i].what, row[i].why ? row[i].why : "is broken");
    sqz_estimate_free(g->ctx, e);
    return asked ? SQZ_OK
                 : sqz_fail(g->ctx, SQZ_E_ARG,
                            "device '%s' sets no limit on flash, RAM, latency or energy: nothing "
                            "says how large a student by auto may be",
                            d->name);
}

static sqz_status fits(const sqz_graph *g, const sqz_device *d, sqz_arena *a, const char **why)
{
    sqz_graph *copy;
    SQZ_TRY(sqz_graph_clone(g, &copy));
    sqz_status s = judge(copy, d, a, why);
    sqz_graph_free(copy);
    return s;
}

#define STEPS 64 /* widths that auto tries are whole numbers of this part */

/* The graph at k / STEPS of its width, and whether it fits. */
static sqz_status try_width(const sqz_graph *g, const options *o, const sqz_student_env *env,
                            sqz_arena *a, int k, sqz_graph **out, const char **why)
{
    const sqz_width_options w = {(double)k / STEPS, o->multiple, o->score, env->seed};
    if (k == STEPS)
        SQZ_TRY(sqz_graph_clone(g, out));
    else
        SQZ_TRY(sqz_student_width(g, &w, out));
    sqz_status s = fits(*out, env->device, a, why);
    if (s != SQZ_OK) {
        sqz_graph_free(*out);
        *out = NULL;
    }
    return s;
}

/* Bisection between a width that fits and one that does not. */
static sqz_status find_width(const sqz_graph *g, const options *o, const sqz_student_env *env,
                             sqz_arena *a, sqz_graph **out, int *width)
{
    const char *why = NULL;
    int lo = 0, hi = STEPS + 1;
    sqz_graph *best = NULL, *h = NULL;
    for (int k = STEPS; hi - lo > 1; k = (lo + hi) / 2) {
        sqz_status s = try_width(g, o, env, a, k, &h, &why);
        if (s != SQZ_OK) {
            sqz_graph_free(best);
            return s;
        }
        sqz_graph_free(why ? h : best);
        best = why ? best : h;
        *(why ? &hi : &lo) = k;
    }
    *width = lo;
    *out = best;
    if (best)
        return SQZ_OK;
    SQZ_TRY(try_width(g, o, env, a, 1, &h, &why));
    sqz_graph_free(h);
    return sqz_fail(g->ctx, SQZ_E_BUDGET, "no width fits device '%s': at the least one, %s",
                    env->device->name, why ? why : "nothing is said");
}

static sqz_status narrow(const sqz_graph *g, const options *o, const sqz_student_env *env,
                         sqz_arena *a, sqz_graph **out)
{
    int k = STEPS;
    if (!o->automatic) {
        const sqz_width_options w = {o->width, o->multiple, o->score, env->seed};
        return sqz_student_width(g, &w, out);
    }
    if (!env->device)
        return sqz_fail(g->ctx, SQZ_E_ARG, "a student by auto needs a device: --device FILE");
    SQZ_TRY(find_width(g, o, env, a, out, &k));
    if (env->notes && k == STEPS)
        sqz_str_addf(env->notes,
                     "the teacher itself fits device '%s' in int8: nothing of its "
                     "width is taken\n",
                     env->device->name);
    else if (env->notes)
        sqz_str_addf(env->notes, "width %.3g is the largest that fits device '%s' in int8\n",
                     (double)k / STEPS, env->device->name);
    return SQZ_OK;
}

/* ---- the whole ---- */

static sqz_status make(const sqz_graph *teacher, const char *spec, const sqz_student_env *env,
                       sqz_arena *a, sqz_graph **g)
{
    options o;
    SQZ_TRY(read_spec(a, spec, &o));
    if (teacher->have & SQZ_HAS_QUANT)
        return sqz_fail(a->ctx, SQZ_E_UNSUPPORTED,
                        "a student is made of a float model, and this one is quantized");
    if (o.depth < 1) {
        SQZ_TRY(sqz_student_depth(teacher, o.depth, env, g));
    } else {
        SQZ_TRY(sqz_graph_clone(teacher, g));
    }
    if (o.width < 1 || o.automatic) {
        sqz_graph *less = NULL;
        SQZ_TRY(narrow(*g, &o, env, a, &less));
        sqz_graph_free(*g);
        *g = less;
    }
    return o.init == RANDOM ? sqz_init_random(*g, env->seed, NULL) : SQZ_OK;
}

sqz_status sqz_student_make(const sqz_graph *teacher, const char *spec, const sqz_student_env *env,
                            sqz_graph **out)
{
    static const sqz_student_env none;
    sqz_arena a = {.ctx = teacher->ctx};
    sqz_graph *g = NULL;
    *out = NULL;
    sqz_status s = make(teacher, spec, env ? env : &none, &a, &g);
    sqz_arena_free(&a);
    if (s != SQZ_OK)
        sqz_graph_free(g);
    else
        *out = g;
    return s;
}
