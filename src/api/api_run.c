/* api_run.c: squeeze run: a model once, on named arrays. */
#include "api/work.h"
#include "exec/exec.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>

typedef struct arrays {
    sqz_array *list;
    size_t n;
} arrays;

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static sqz_status read_pb(sqz_work *w, const char *file, sqz_tensor *out)
{
    char name[256];
    void *bytes;
    size_t n;
    SQZ_TRY(sqz_file_read(w->ctx, file, SIZE_MAX / 2, &bytes, &n));
    sqz_status s = sqz_tensor_from_pb(w->ctx, bytes, n, out, name, sizeof name);
    sqz_free(w->ctx, bytes);
    return sqz_note(w->ctx, s, "%s", file);
}

/* input_0.pb, input_1.pb, ... as ONNX's own test vectors have them: by place, as names in the files
 * are optional. */
static sqz_status read_folder(sqz_work *w, sqz_arena *a, const char *path, arrays *out)
{
    struct stat st;
    for (size_t room = 0;; out->n++) {
        char *file = sqz_arena_printf(a, "%s/input_%zu.pb", path, out->n);
        if (!file)
            return SQZ_E_NOMEM;
        if (out->n && stat(file, &st) != 0) /* the first one is missed by name */
            return SQZ_OK;
        if (out->n == room) {
            sqz_array *grown = sqz_arena_alloc(a, room = 2 * room + 8, sizeof *grown);
            if (!grown)
                return SQZ_E_NOMEM;
            if (out->n)
                memcpy(grown, out->list, out->n * sizeof *grown);
            out->list = grown;
        }
        SQZ_TRY(read_pb(w, file, &out->list[out->n].t));
    }
}

/* Loads the model with the arrays as known values: operators that need an input as a constant (a
 * shape, a condition) get it. Arrays get the names of their inputs. */
static sqz_status load_model(sqz_work *w, sqz_arena *a, arrays *in)
{
    sqz_given *given = sqz_arena_alloc(a, in->n + 1, sizeof *given);
    if (!given)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < in->n; i++)
        given[i] = (sqz_given){
            .name = in->list[i].name, .tensor = &in->list[i].t, .value = SQZ_NONE};
    w->source.unhashed = true;
    SQZ_TRY(sqz_work_model_given(w, given, in->n));
    for (size_t i = 0; i < in->n; i++)
        if (given[i].name)
            in->list[i].name = given[i].name;
    return SQZ_OK;
}

static const sqz_array *pick(const sqz_work *w, const arrays *in, uint32_t i)
{
    const char *name = sqz_val(w->graph, w->graph->input[i])->name;
    for (size_t k = 0; k < in->n; k++)
        if (in->list[k].name && strcmp(in->list[k].name, name) == 0)
            return &in->list[k];
    return NULL;
}

static sqz_status execute(sqz_work *w, sqz_arena *a, const arrays *in, arrays *out)
{
    sqz_graph *g = w->graph;
    sqz_tensor *ins = sqz_arena_alloc(a, g->n_input + 1u, sizeof *ins);
    sqz_tensor *outs = sqz_arena_alloc(a, g->n_output + 1u, sizeof *outs);
    out->list = sqz_arena_alloc(a, g->n_output + 1u, sizeof *out->list);
    if (!ins || !outs || !out->list)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < g->n_input; i++) {
        const sqz_array *x = pick(w, in, i);
        if (!x)
            return sqz_fail(w->ctx, SQZ_E_FORMAT, "'%s' has no array for input '%s'", w->job.inputs,
                            sqz_val(g, g->input[i])->name);
        ins[i] = x->t; /* borrowed */
    }
    SQZ_TRY(sqz_exec_once(g, ins, outs));
    for (; out->n < g->n_output; out->n++)
        out->list[out->n] = (sqz_array){sqz_value_file_name(g, g->output[out->n]), outs[out->n]};
    return SQZ_OK;
}

static void describe(sqz_work *w, const arrays *out)
{
    cJSON *list = sqz_json_array(w->rep, NULL, "outputs");
    sqz_view_table(w->rep, "output|type|shape|>min|>mean|>max");
    for (size_t i = 0; i < out->n; i++) {
        const sqz_tensor *t = &out->list[i].t;
        double lo = INFINITY, hi = -INFINITY, sum = 0.0;
        for (size_t k = 0; k < t->count; k++) {
            double v = sqz_tensor_f64(t, k);
            lo = SQZ_MIN(lo, v);
            hi = SQZ_MAX(hi, v);
            sum += v;
        }
        char shape[160];
        sqz_shape_print(shape, &t->shape);
        cJSON *o = sqz_json_object(w->rep, list, NULL);
        sqz_json_str(w->rep, o, "name", out->list[i].name);
        sqz_json_str(w->rep, o, "type", sqz_dtype_name(t->dtype));
        sqz_json_str(w->rep, o, "shape", shape);
        sqz_json_num(w->rep, o, "min", lo);
        sqz_json_num(w->rep, o, "mean", t->count ? sum / (double)t->count : 0.0);
        sqz_json_num(w->rep, o, "max", hi);
        sqz_view_row(w->rep, "%s|%s|%s|%.6g|%.6g|%.6g", out->list[i].name, sqz_dtype_name(t->dtype),
                     shape, lo, t->count ? sum / (double)t->count : 0.0, hi);
    }
}

static sqz_status run(sqz_work *w)
{
    if (!w->job.inputs)
        return sqz_fail(w->ctx, SQZ_E_ARG,
                        "no inputs are given (--inputs in.npz, or a folder of input_0.pb, ...)");
    sqz_arena a = {.ctx = w->ctx};
    arrays in = {0}, out = {0};
    sqz_status s = is_folder(w->job.inputs) ? read_folder(w, &a, w->job.inputs, &in)
                                            : sqz_npz_read(&a, w->job.inputs, &in.list, &in.n);
    if (s == SQZ_OK)
        s = load_model(w, &a, &in);
    if (s == SQZ_OK)
        s = execute(w, &a, &in, &out);
    if (s == SQZ_OK)
        describe(w, &out);
    if (s == SQZ_OK && w->job.out && !w->job.dry_run)
        s = sqz_npz_write(w->ctx, w->job.out, out.list, out.n);
    sqz_arrays_free(w->ctx, in.list, in.n);
    sqz_arrays_free(w->ctx, out.list, out.n);
    sqz_arena_free(&a);
    return s;
}

sqz_status sqz_run(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "run", run, out);
}
