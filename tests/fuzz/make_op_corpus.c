/* make_op_corpus.c: writes seeds of fuzz_onnx and fuzz_graph into two folders: a graph of one node
 * for every case of every operator, as it stands in the table. `./dev fuzz` does it; they are many
 * and are not kept. */
#include "io/import.h"
#include "ir/op.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 8

static sqz_status operand(sqz_graph *g, const sqz_case *c, unsigned i, sqz_rng *r, sqz_vid *out)
{
    sqz_tensor t;
    if (c->in[i].rank < 0) {
        *out = SQZ_NONE;
        return SQZ_OK;
    }
    if (!(c->constant >> i & 1))
        return sqz_graph_input(g, NULL, c->dtype[i], &c->in[i], out);
    double lo = c->lo, hi = c->lo == 0 && c->hi == 0 ? 1 : c->hi;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, c->dtype[i], &c->in[i], &t));
    for (size_t k = 0; k < t.count; k++)
        sqz_tensor_set_f64(&t, k, lo + (hi - lo) * sqz_rng_uniform(r));
    return sqz_graph_constant(g, NULL, &t, out);
}

/* With as many outputs as the attributes ask for. */
static sqz_status node(sqz_graph *g, sqz_arena *a, const sqz_op *op, const sqz_case *c,
                       const sqz_vid *in)
{
    sqz_vid out[MOST];
    void *opts = op->info.opt_size ? sqz_arena_alloc(a, 1, op->info.opt_size) : NULL;
    sqz_status s = SQZ_E_LIMIT;
    if (opts) {
        sqz_opts_default(&op->info, opts);
        SQZ_TRY(sqz_opts_parse(a, &op->info, c->attrs ? c->attrs : "", opts));
    }
    for (unsigned n = op->n_out_min; s != SQZ_OK && n <= op->n_out_max && n <= MOST; n++) {
        s = sqz_graph_node(g, op, "node", opts, in, c->n_in, NULL, n, SQZ_NONE, out);
        if (s == SQZ_OK)
            s = sqz_graph_set_outputs(g, out, n);
    }
    return s;
}

static sqz_status save(const sqz_graph *g, const char *onnx, const char *text, const char *name)
{
    char path[1024];
    void *bytes;
    size_t n;
    sqz_str s = {.ctx = g->ctx};
    SQZ_TRY(sqz_graph_print(g, 4096, &s));
    (void)snprintf(path, sizeof path, "%s/%s", text, name);
    sqz_status st = sqz_file_write(g->ctx, path, s.data, s.len);
    sqz_str_free(&s);
    if (st != SQZ_OK || sqz_export_onnx(g, &bytes, &n) != SQZ_OK) /* not every one is ONNX's */
        return st;
    (void)snprintf(path, sizeof path, "%s/%s", onnx, name);
    st = sqz_file_write(g->ctx, path, bytes, n);
    sqz_free(g->ctx, bytes);
    return st;
}

static sqz_status one(sqz_ctx *ctx, const sqz_op *op, unsigned k, char *const *folder)
{
    const sqz_case *c = &op->cases[k];
    sqz_arena a = {.ctx = ctx};
    sqz_rng r = {.seed = k};
    sqz_vid in[MOST];
    sqz_graph *g;
    char name[128];
    sqz_status s = c->n_in <= MOST ? sqz_graph_create(ctx, &g) : SQZ_E_LIMIT;
    if (s != SQZ_OK)
        return s;
    for (unsigned i = 0; s == SQZ_OK && i < c->n_in; i++)
        s = operand(g, c, i, &r, &in[i]);
    if (s == SQZ_OK)
        s = node(g, &a, op, c, in);
    (void)snprintf(name, sizeof name, "%s_%u", op->info.name, k);
    if (s == SQZ_OK)
        s = save(g, folder[0], folder[1], name);
    sqz_graph_free(g);
    sqz_arena_free(&a);
    return s;
}

int main(int argc, char **argv)
{
    sqz_ctx *ctx;
    unsigned made = 0;
    if (argc != 3 || sqz_ctx_create(NULL, &ctx) != SQZ_OK) {
        (void)fprintf(stderr, "usage: make_op_corpus ONNX_FOLDER TEXT_FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < sqz_n_ops; i++)
        for (unsigned k = 0; k < sqz_ops[i]->n_cases; k++)
            made += one(ctx, sqz_ops[i], k, argv + 1) == SQZ_OK;
    sqz_ctx_free(ctx);
    printf("%u operator cases\n", made);
    return made ? 0 : 1;
}
