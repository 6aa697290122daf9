/* fuzz_run.h: a graph from a hostile file: the canonical recipe, and a run when it is small. */
#ifndef SQZ_FUZZ_RUN_H
#define SQZ_FUZZ_RUN_H
#include "exec/exec.h"
#include "fuzz.h"
#include "io/import.h"
#include "ir/pass.h"

#define FUZZ_NUMBERS 65536
#define FUZZ_MACS    1e7

/* Numbers and multiplications of the graph are few enough for a fuzzer. */
static inline bool fuzz_small(const sqz_graph *g)
{
    double numbers = 0, work = 0;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        size_t count, bytes;
        const sqz_value *a = sqz_val(g, v);
        if (sqz_shape_count(g->ctx, &a->shape, a->dtype, &count, &bytes) != SQZ_OK)
            return false;
        numbers += (double)count;
    }
    SQZ_EACH_NODE(g, n)
    {
        sqz_cost c = {0};
        if (numbers > FUZZ_NUMBERS)
            return false;
        sqz_node_cost(g, sqz_nod(g, n), &c);
        work += (double)c.macs + (double)c.ops;
    }
    return numbers <= FUZZ_NUMBERS && work <= FUZZ_MACS;
}

/* Zeros in, as many inputs as there are. */
static inline void fuzz_execute(sqz_graph *g)
{
    enum { MOST = 16 };
    sqz_tensor in[MOST] = {0}, out[MOST] = {0};
    sqz_status s = g->n_input <= MOST && g->n_output <= MOST ? SQZ_OK : SQZ_E_LIMIT;
    for (uint32_t i = 0; s == SQZ_OK && i < g->n_input; i++) {
        const sqz_value *v = sqz_val(g, g->input[i]);
        const sqz_shape shape = sqz_value_file_shape(v);
        s = sqz_tensor_alloc(g->ctx, v->dtype, &shape, &in[i]);
    }
    if (s == SQZ_OK && fuzz_may(g->ctx, sqz_exec_once(g, in, out), "run"))
        for (uint32_t i = 0; i < g->n_output; i++)
            sqz_tensor_free(g->ctx, &out[i]);
    for (uint32_t i = 0; i < g->n_input && i < MOST; i++)
        sqz_tensor_free(g->ctx, &in[i]);
}

static inline void fuzz_run(sqz_graph *g)
{
    if (fuzz_small(g) && fuzz_may(g->ctx, sqz_run_recipe(g, SQZ_CANONICAL, NULL), "recipe") &&
        fuzz_small(g))
        fuzz_execute(g);
}
/* What is exported is read again: always when `imported`, as constants were computed before; a
 * graph from text may have an index that is found too large only then. */
static inline void fuzz_export(const sqz_graph *g, bool imported)
{
    sqz_ctx *ctx = g->ctx;
    void *bytes;
    size_t n;
    sqz_graph *back = NULL;
    if (g->n_output == 0) /* text may have none, ONNX may not */
        return;
    sqz_status s = sqz_export_onnx(g, &bytes, &n);
    if (s == SQZ_E_UNSUPPORTED) /* grids that ONNX cannot spell */
        return;
    fuzz_must(ctx, s, "export");
    if (s != SQZ_OK)
        return;
    s = sqz_import_bytes(ctx, bytes, n, NULL, &back);
    if (imported)
        fuzz_must(ctx, s, "import of what was exported");
    else
        (void)fuzz_may(ctx, s, "import of what was exported");
    sqz_graph_free(back);
    sqz_free(ctx, bytes);
}
#endif
