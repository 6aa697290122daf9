/* watch.c: samples through a copy of a graph. */
#include "prune/watch.h"

static sqz_status outputs_room(const sqz_graph *g, sqz_arena *a, void ***out)
{
    *out = sqz_arena_alloc(a, (size_t)g->n_output + 1, sizeof **out);
    for (uint32_t i = 0; *out && i < g->n_output; i++) {
        size_t bytes;
        const sqz_value *v = sqz_val(g, g->output[i]);
        SQZ_TRY(sqz_shape_count(g->ctx, &v->shape, v->dtype, NULL, &bytes));
        (*out)[i] = sqz_arena_alloc(a, SQZ_MAX(bytes, (size_t)1), 1);
        if (!(*out)[i])
            return SQZ_E_NOMEM;
    }
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status run(sqz_graph *g, const sqz_student_env *env, int64_t samples, sqz_arena *a,
                      const sqz_exec_options *o)
{
    sqz_feeds feeds;
    sqz_exec *e = NULL;
    void **out;
    if (g->batch_free)
        SQZ_TRY(sqz_graph_set_batch(g, 1));
    if (env->data->n < 1)
        return sqz_fail(g->ctx, SQZ_E_FORMAT, "%s: no samples", env->data->path);
    SQZ_TRY(sqz_feeds_plan(a, env->data, g, env->layout, &feeds));
    void **in = sqz_arena_alloc(a, (size_t)feeds.n + 1, sizeof *in);
    float *x = sqz_arena_alloc(a, SQZ_MAX(feeds.elements, (size_t)1), sizeof *x);
    if (!in || !x)
        return SQZ_E_NOMEM;
    SQZ_TRY(outputs_room(g, a, &out));
    SQZ_TRY(sqz_feeds_memory(&feeds, 1, in));
    sqz_status s = sqz_exec_create(g, 1, o, &e);
    const int64_t n = SQZ_MIN(env->data->n, samples);
    for (int64_t i = 0; s == SQZ_OK && i < n; i++) {
        s = sqz_data_read(env->data, (int64_t)((__int128)i * env->data->n / n), 1, x, NULL);
        if (s == SQZ_OK)
            s = sqz_feeds_apply(&feeds, 1, x, in);
        if (s == SQZ_OK)
            s = sqz_exec_run(e, (const void *const *)in, out);
    }
    sqz_exec_free(e);
    sqz_feeds_free(&feeds, in);
    return s;
}

sqz_status sqz_watch(const sqz_graph *g, const sqz_student_env *env, int64_t samples,
                     sqz_exec_hook hook, void *user)
{
    const sqz_exec_options o = {.hook = hook, .hook_user = user};
    sqz_arena a = {.ctx = g->ctx};
    sqz_graph *copy;
    SQZ_TRY(sqz_graph_clone(g, &copy));
    sqz_status s = run(copy, env, samples, &a, &o);
    sqz_graph_free(copy);
    sqz_arena_free(&a);
    return s;
}
