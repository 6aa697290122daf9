/* pass.c: the table of passes, and recipes: chains of them such as "fold_bn,calib(method=mse),ptq".
 */
#include "ir/pass.h"
#include "base/chain.h"
#include <string.h>

/* sqz_pass_list.inc is generated from the file names pass_<name>.c */
#define SQZ_ENTRY(name) extern const sqz_pass sqz_pass_##name;
#include "sqz_pass_list.inc"
#undef SQZ_ENTRY
const sqz_pass *const sqz_passes[] = {
#define SQZ_ENTRY(name) &sqz_pass_##name,
#include "sqz_pass_list.inc"
#undef SQZ_ENTRY
    NULL, /* the table may be empty while squeeze is being built up; not counted */
};
const size_t sqz_n_passes = SQZ_COUNT(sqz_passes) - 1;

const sqz_pass *sqz_pass_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_passes; i++)
        if (strcmp(sqz_passes[i]->info.name, name) == 0)
            return sqz_passes[i];
    return NULL;
}

/* ---- reading a recipe ---- */

typedef sqz_step step;

static const sqz_info *info_of(size_t i) { return &sqz_passes[i]->info; }

sqz_status sqz_recipe_read(sqz_arena *a, const char *text, sqz_step **steps, unsigned *n)
{
    const sqz_chain_table t = {
        .chain = "recipe", .item = "pass", .n = sqz_n_passes, .info = info_of};
    sqz_chain_item *list;
    *n = 0;
    SQZ_TRY(sqz_chain_read(a, &t, text, &list, n));
    *steps = sqz_arena_alloc(a, *n + 1u, sizeof **steps);
    if (!*steps)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < *n; i++)
        (*steps)[i] = (step){
            .pass = sqz_passes[list[i].entry], .opts = list[i].opts, .text = list[i].text};
    return SQZ_OK;
}

void sqz_step_print(sqz_str *out, const sqz_pass *pass, const void *opts)
{
    sqz_str text = {.ctx = out->ctx};
    if (pass->info.n_opts)
        sqz_opts_print(&text, &pass->info, opts);
    sqz_str_add(out, pass->info.name);
    if (text.len)
        sqz_str_addf(out, "(%s)", text.data);
    if (out->status == SQZ_OK)
        out->status = text.status;
    sqz_str_free(&text);
}

/* ---- needs, gives and breaks ---- */

static const struct {
    unsigned bit;
    const char *name;
} have_row[] = {{SQZ_HAS_LAYOUT, "layout"},
                {SQZ_HAS_FOLDED, "folded constants"},
                {SQZ_HAS_RANGES, "ranges"},
                {SQZ_HAS_QUANT, "grids"}};

static const char *giver(unsigned bit)
{
    for (size_t i = 0; i < sqz_n_passes; i++)
        if (sqz_passes[i]->gives & bit)
            return sqz_passes[i]->info.name;
    return NULL;
}

/* The whole recipe is checked before its first pass changes anything. */
static sqz_status check_needs(sqz_ctx *ctx, unsigned have, const step *st, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const sqz_pass *p = st[i].pass;
        unsigned lack = (p->needs | (p->needs_by ? p->needs_by(st[i].opts) : 0)) & ~have;
        for (size_t k = 0; k < SQZ_COUNT(have_row); k++) {
            const char *by = lack & have_row[k].bit ? giver(have_row[k].bit) : NULL;
            if (by)
                return sqz_fail(ctx, SQZ_E_ARG, "pass '%s' needs %s: put '%s' before it",
                                st[i].pass->info.name, have_row[k].name, by);
            if (lack & have_row[k].bit)
                return sqz_fail(ctx, SQZ_E_ARG, "pass '%s' needs %s, and no pass gives them",
                                st[i].pass->info.name, have_row[k].name);
        }
        have = (have & ~st[i].pass->breaks) | st[i].pass->gives;
    }
    return SQZ_OK;
}

/* ---- running ---- */

static sqz_status run_step(sqz_graph *g, const step *st, sqz_env *env)
{
    sqz_status s = st->pass->run(g, st->opts, env);
    if (s == SQZ_OK) {
        g->have = (g->have & ~st->pass->breaks) | st->pass->gives;
        s = sqz_graph_verify(g);
    }
    return sqz_note(g->ctx, s, "pass '%s'", st->pass->info.name);
}

sqz_status sqz_reference(const sqz_graph *g, const sqz_env *env, const char *pass,
                         const sqz_graph **out)
{
    *out = env->reference;
    return *out ? SQZ_OK
                : sqz_fail(g->ctx, SQZ_E_ARG,
                           "pass '%s' compares with the float graph, which only 'ptq' in the same "
                           "recipe keeps: the graph was quantized before",
                           pass);
}

sqz_status sqz_keep_reference(const sqz_graph *g, sqz_env *env)
{
    sqz_graph *kept;
    if (!env->refined)
        return SQZ_OK;
    SQZ_TRY(sqz_graph_clone(g, &kept));
    if (env->made_reference)
        sqz_graph_free(env->reference);
    env->reference = kept;
    env->made_reference = true;
    return SQZ_OK;
}

/* A step after i works on the quantized graph. */
static bool is_refined(const step *st, unsigned n, unsigned i)
{
    for (unsigned k = i + 1; k < n; k++)
        if (st[k].pass->needs & SQZ_HAS_QUANT)
            return true;
    return false;
}

static sqz_status run_recipe(sqz_graph *g, const char *recipe, sqz_env *env, sqz_arena *a)
{
    unsigned n;
    step *st;
    SQZ_TRY(sqz_recipe_read(a, recipe, &st, &n));
    SQZ_TRY(check_needs(g->ctx, g->have, st, n));
    for (unsigned i = 0; i < n; i++) {
        env->refined = is_refined(st, n, i);
        SQZ_TRY(run_step(g, &st[i], env));
    }
    return SQZ_OK;
}

sqz_status sqz_run_recipe(sqz_graph *g, const char *recipe, sqz_env *env)
{
    sqz_env own = env ? *env : (sqz_env){0};
    sqz_arena a = {.ctx = g->ctx};
    own.made_reference = false;
    sqz_status s = run_recipe(g, recipe, &own, &a);
    if (own.made_reference)
        sqz_graph_free(own.reference);
    sqz_arena_free(&a);
    return s;
}
