/* capi.c: models and tables of squeeze.h, on top of the rest. */
#include "calib/calib.h"
#include "device/device.h"
#include "distill/loss.h"
#include "eval/eval.h"
#include "exec/exec.h"
#include "io/data.h"
#include "io/hdf5.h"
#include "io/import.h"
#include "ir/pass.h"
#include "kernels/blas.h"
#include "kernels/kernels.h"
#include "quant/recipe.h"
#include "train/augment.h"
#include "train/optim.h"
#include "train/schedule.h"
#include <string.h>

void sqz_own_process(sqz_ctx *ctx)
{
    sqz_h5_own_process();
    sqz_blas_single_thread(ctx);
}

struct sqz_model {
    sqz_ctx *ctx;
    sqz_graph *graph; /* as loaded and as recipes have left it */
    sqz_exec *exec;   /* for the last batch; dropped when the graph changes */
    int64_t batch;
};

static sqz_status wrap(sqz_ctx *ctx, sqz_graph *g, sqz_model **out)
{
    *out = sqz_calloc(ctx, 1, sizeof **out);
    if (!*out) {
        sqz_graph_free(g);
        return SQZ_E_NOMEM;
    }
    (*out)->ctx = ctx;
    (*out)->graph = g;
    return SQZ_OK;
}

sqz_status sqz_model_open(sqz_ctx *ctx, const sqz_model_source *source, sqz_model **out)
{
    sqz_model_source src = SQZ_MODEL_SOURCE_INIT;
    if (!ctx || !source || !out)
        return SQZ_E_ARG;
    *out = NULL;
    memcpy(&src, source, SQZ_MIN(source->struct_size, sizeof src));
    if (!src.path && !src.bytes)
        return sqz_fail(ctx, SQZ_E_ARG, "the source has neither a path nor bytes");
    const sqz_import_options opt = {.path = src.path, .shape = src.shape, .bind = src.bind};
    sqz_graph *g;
    SQZ_TRY(src.bytes ? sqz_import_bytes(ctx, src.bytes, src.n, &opt, &g)
                      : sqz_import_file(ctx, &opt, NULL, &g));
    return wrap(ctx, g, out);
}

sqz_status sqz_model_load(sqz_ctx *ctx, const char *path, sqz_model **out)
{
    sqz_model_source source = SQZ_MODEL_SOURCE_INIT;
    source.path = path;
    return sqz_model_open(ctx, &source, out);
}

sqz_status sqz_model_load_bytes(sqz_ctx *ctx, const void *bytes, size_t n, sqz_model **out)
{
    sqz_model_source source = SQZ_MODEL_SOURCE_INIT;
    source.bytes = bytes;
    source.n = n;
    return sqz_model_open(ctx, &source, out);
}

sqz_status sqz_model_save(sqz_model *m, const char *path)
{
    if (!m)
        return SQZ_E_ARG;
    if (!path)
        return sqz_fail(m->ctx, SQZ_E_ARG, "path is NULL");
    return sqz_export_onnx_file(m->graph, NULL, path);
}

sqz_status sqz_model_clone(const sqz_model *m, sqz_model **out)
{
    if (!m || !out)
        return SQZ_E_ARG;
    *out = NULL;
    sqz_graph *g;
    SQZ_TRY(sqz_graph_clone(m->graph, &g));
    return wrap(m->ctx, g, out);
}

static void drop_exec(sqz_model *m)
{
    sqz_exec_free(m->exec);
    m->exec = NULL;
    m->batch = 0;
}

void sqz_model_free(sqz_model *m)
{
    if (!m)
        return;
    drop_exec(m);
    sqz_graph_free(m->graph);
    sqz_free(m->ctx, m);
}

sqz_status sqz_model_apply(sqz_model *m, const char *recipe)
{
    if (!m)
        return SQZ_E_ARG;
    if (!recipe)
        return sqz_fail(m->ctx, SQZ_E_ARG, "recipe is NULL");
    drop_exec(m);
    sqz_env env = {0};
    return sqz_run_recipe(m->graph, recipe, &env);
}

uint32_t sqz_model_n_inputs(const sqz_model *m) { return m ? m->graph->n_input : 0; }
uint32_t sqz_model_n_outputs(const sqz_model *m) { return m ? m->graph->n_output : 0; }

/* Shapes are those of the file, whatever the layout inside. */
static sqz_status describe(const sqz_model *m, sqz_vid v, const char **name, int64_t *dims,
                           uint32_t *rank)
{
    const sqz_value *val = sqz_val(m->graph, v);
    int32_t r = val->shape.rank;
    if (name)
        *name = val->name;
    if (rank)
        *rank = (uint32_t)r;
    for (int32_t i = 0; dims && i < r; i++) {
        int32_t from = !val->channel_last || i == 0 ? i : i == 1 ? r - 1 : i - 1;
        dims[i] = val->shape.dim[from];
    }
    return SQZ_OK;
}

sqz_status sqz_model_input(const sqz_model *m, uint32_t i, const char **name, int64_t *dims,
                           uint32_t *rank)
{
    if (!m)
        return SQZ_E_ARG;
    if (i >= m->graph->n_input)
        return sqz_fail(m->ctx, SQZ_E_ARG, "the model has %u inputs, not %u",
                        (unsigned)m->graph->n_input, (unsigned)i + 1);
    return describe(m, m->graph->input[i], name, dims, rank);
}

sqz_status sqz_model_output(const sqz_model *m, uint32_t i, const char **name, int64_t *dims,
                            uint32_t *rank)
{
    if (!m)
        return SQZ_E_ARG;
    if (i >= m->graph->n_output)
        return sqz_fail(m->ctx, SQZ_E_ARG, "the model has %u outputs, not %u",
                        (unsigned)m->graph->n_output, (unsigned)i + 1);
    return describe(m, m->graph->output[i], name, dims, rank);
}

static sqz_status make_exec(sqz_model *m, int64_t batch)
{
    if (m->exec && m->batch == batch)
        return SQZ_OK;
    drop_exec(m);
    if (!(m->graph->have & SQZ_HAS_LAYOUT)) {
        sqz_env env = {0};
        SQZ_TRY(sqz_run_recipe(m->graph, SQZ_CANONICAL, &env));
    }
    for (uint32_t i = 0; i < m->graph->n_input + m->graph->n_output; i++) {
        const sqz_graph *g = m->graph;
        const sqz_value *v = sqz_val(g, i < g->n_input ? g->input[i] : g->output[i - g->n_input]);
        if (v->dtype != SQZ_F32)
            return sqz_fail(m->ctx, SQZ_E_UNSUPPORTED,
                            "'%s' is %s, and sqz_model_run takes float32; use sqz_run", v->name,
                            sqz_dtype_name(v->dtype));
    }
    SQZ_TRY(sqz_exec_create(m->graph, batch, NULL, &m->exec));
    m->batch = batch;
    return SQZ_OK;
}

/* The caller's channel-first samples as the graph wants them. */
static sqz_status feed(sqz_model *m, int64_t batch, uint32_t i, const float *from, sqz_tensor *t)
{
    const sqz_value *v = sqz_val(m->graph, m->graph->input[i]);
    int64_t dims[SQZ_MAX_RANK];
    int perm[SQZ_MAX_RANK] = {0};
    uint32_t rank;
    sqz_tensor view;
    SQZ_TRY(describe(m, m->graph->input[i], NULL, dims, &rank));
    sqz_shape s = sqz_shape_of((int32_t)rank, dims);
    if (rank)
        s.dim[0] = batch;
    SQZ_TRY(sqz_tensor_view(m->ctx, SQZ_F32, &s, (void *)(uintptr_t)from, &view));
    for (int k = 1; k < (int)rank; k++)
        perm[k] = !v->channel_last ? k : k + 1 < (int)rank ? k + 1 : 1;
    return sqz_tensor_permute(m->ctx, &view, perm, t);
}

static sqz_status run(sqz_model *m, int64_t batch, const float *const *in, float *const *out,
                      sqz_tensor *t, const void **ins)
{
    for (uint32_t i = 0; i < m->graph->n_input; i++) {
        if (!in[i])
            return sqz_fail(m->ctx, SQZ_E_ARG, "input %u is NULL", (unsigned)i);
        SQZ_TRY(feed(m, batch, i, in[i], &t[i]));
        ins[i] = t[i].data;
    }
    for (uint32_t i = 0; i < m->graph->n_output; i++)
        if (!out[i])
            return sqz_fail(m->ctx, SQZ_E_ARG, "output %u is NULL", (unsigned)i);
    return sqz_exec_run(m->exec, ins, (void *const *)(uintptr_t)out);
}

sqz_status sqz_model_run(sqz_model *m, int64_t batch, const float *const *in, float *const *out)
{
    if (!m)
        return SQZ_E_ARG;
    if (!in || !out || batch < 1)
        return sqz_fail(m->ctx, SQZ_E_ARG, "in or out is NULL, or batch %lld is below 1",
                        (long long)batch);
    SQZ_TRY(make_exec(m, batch));
    sqz_arena a = {.ctx = m->ctx};
    sqz_tensor *t = sqz_arena_alloc(&a, m->graph->n_input + 1u, sizeof *t);
    const void **ins = sqz_arena_alloc(&a, m->graph->n_input + 1u, sizeof *ins);
    sqz_status s = t && ins ? run(m, batch, in, out, t, ins) : SQZ_E_NOMEM;
    for (uint32_t i = 0; t && i < m->graph->n_input; i++)
        sqz_tensor_free(m->ctx, &t[i]);
    sqz_arena_free(&a);
    return s;
}

sqz_status sqz_model_text(const sqz_model *m, char **out)
{
    if (!m || !out)
        return SQZ_E_ARG;
    sqz_str s = {.ctx = m->ctx};
    *out = NULL;
    sqz_status st = sqz_graph_print(m->graph, 16, &s);
    if (st == SQZ_OK)
        st = s.status;
    if (st != SQZ_OK) {
        sqz_str_free(&s);
        return st;
    }
    *out = s.data;
    return SQZ_OK;
}

void sqz_text_free(sqz_ctx *ctx, char *text) { sqz_free(ctx, text); }

/* ---- tables ---- */
static void add(sqz_str *s, const sqz_info *i) { sqz_str_addf(s, "%s\t%s\n", i->name, i->doc); }

static const char kernel_list[] =
#define SQZ_KERNEL(kernel, isa) #kernel "\t" #isa "\n"
#include "sqz_kernel_list.inc"
#undef SQZ_KERNEL
    ;

static sqz_status list_devices(sqz_ctx *ctx, sqz_str *s)
{
    for (size_t i = 0; i < sqz_n_devices; i++) {
        sqz_device *d;
        SQZ_TRY(sqz_device_load(ctx, sqz_device_names[i], &d));
        sqz_str_addf(s, "%s\t%s\n", sqz_device_names[i], d->doc ? d->doc : "");
        sqz_device_free(ctx, d);
    }
    return SQZ_OK;
}

static sqz_status list_recipes(sqz_ctx *ctx, sqz_str *s)
{
    sqz_arena a = {.ctx = ctx};
    sqz_status st = SQZ_OK;
    for (size_t i = 0; i < sqz_n_recipes && st == SQZ_OK; i++) {
        sqz_recipe r;
        st = sqz_recipe_load(&a, sqz_recipe_names[i], &r);
        if (st == SQZ_OK)
            sqz_str_addf(s, "%s\t%s\n", sqz_recipe_names[i], r.doc ? r.doc : "");
    }
    sqz_arena_free(&a);
    return st;
}

static void list_methods(sqz_str *s)
{
    for (size_t i = 0; i < sqz_n_passes; i++)
        if (sqz_pass_is_method(sqz_passes[i]))
            sqz_str_addf(s, "%s\t%s (%s ptq)\n", sqz_passes[i]->info.name, sqz_passes[i]->info.doc,
                         sqz_passes[i]->needs & SQZ_HAS_QUANT ? "after" : "before");
}

static void list_ops(sqz_str *s)
{
    for (size_t i = 0; i < sqz_n_ops; i++) {
        const sqz_op *op = sqz_ops[i];
        bool integer = op->run_int || (op->traits & SQZ_T_MOVES);
        sqz_str_addf(s, "%s\t%s%s%s, %s%s: %s\n", op->info.name,
                     op->onnx.op_type ? op->onnx.op_type : "(internal)", op->onnx.also ? "|" : "",
                     op->onnx.also ? op->onnx.also : "", integer ? "int8" : "float",
                     op->grad ? ", trains" : "", op->info.doc);
    }
}

/* What ONNX has beside the operators of the table. */
static void list_compositions(sqz_str *s)
{
    for (size_t k = 0; k < sqz_n_lower_sets; k++)
        for (size_t i = 0; i < sqz_lower_sets[k]->n; i++) {
            const sqz_lower *r = &sqz_lower_sets[k]->rule[i];
            if (!r->refused)
                sqz_str_addf(s, "%s\t%s, from opset %d\n", r->op_type,
                             *r->domain ? r->domain : "ai.onnx", r->since);
        }
}

/* Tables whose entries are all that is to be said. */
static bool list_plain(sqz_str *s, const char *table)
{
#define SQZ_PLAIN(name, list, n)                                                                   \
    if (strcmp(table, name) == 0) {                                                                \
        for (size_t i = 0; i < (n); i++)                                                           \
            add(s, &(list)[i]->info);                                                              \
        return true;                                                                               \
    }
    SQZ_PLAIN("pass", sqz_passes, sqz_n_passes)
    SQZ_PLAIN("calib", sqz_calibs, sqz_n_calibs)
    SQZ_PLAIN("metric", sqz_metrics, sqz_n_metrics)
    SQZ_PLAIN("data", sqz_data_formats, sqz_n_data_formats)
    SQZ_PLAIN("importer", sqz_importers, sqz_n_importers)
    SQZ_PLAIN("loss", sqz_losses, sqz_n_losses)
    SQZ_PLAIN("optimizer", sqz_optims, sqz_n_optims)
    SQZ_PLAIN("augment", sqz_augments, sqz_n_augments)
    SQZ_PLAIN("schedule", sqz_schedules, sqz_n_schedules)
#undef SQZ_PLAIN
    return false;
}

static sqz_status list_table(sqz_ctx *ctx, const char *table, sqz_str *s)
{
    sqz_str_add(s, "");
    if (list_plain(s, table))
        return s->status;
    if (strcmp(table, "op") == 0)
        list_ops(s);
    else if (strcmp(table, "composition") == 0)
        list_compositions(s);
    else if (strcmp(table, "kernel") == 0)
        sqz_str_add(s, kernel_list);
    else if (strcmp(table, "method") == 0)
        list_methods(s);
    else if (strcmp(table, "device") == 0)
        SQZ_TRY(list_devices(ctx, s));
    else if (strcmp(table, "recipe") == 0)
        SQZ_TRY(list_recipes(ctx, s));
    else
        return sqz_fail(ctx, SQZ_E_ARG,
                        "no table '%s' (op, composition, pass, method, recipe, calib, metric, "
                        "device, importer, data, kernel, loss, augment, "
                        "optimizer, schedule)",
                        table);
    return s->status;
}

sqz_status sqz_list(sqz_ctx *ctx, const char *table, const char **text)
{
    if (!ctx || !table || !text)
        return SQZ_E_ARG;
    sqz_str s = {.ctx = ctx};
    sqz_status st = list_table(ctx, table, &s);
    if (st != SQZ_OK) {
        sqz_str_free(&s);
        return st;
    }
    sqz_free(ctx, ctx->list);
    *text = ctx->list = s.data;
    return SQZ_OK;
}
