/* grad_of MODEL.onnx IN.npz OUT.npz [train]: gradients of sum(u * output 0), for tests that compare
 * them with others'. IN: the inputs by their names, and u. OUT: y, and grad.NAME of every input and
 * of every constant that training would move; grad.NAME@last where it lies channel-last. `train`:
 * batch norms take the statistics of the batch. */
#include "exec/exec.h"
#include "io/data.h"
#include "io/import.h"
#include "ir/pass.h"
#include "train/training.h"
#include <stdio.h>
#include <string.h>

typedef struct task {
    sqz_ctx *ctx;
    sqz_arena a;
    sqz_graph *g;
    sqz_training t;
    sqz_tape *tape;
    sqz_array *in;
    size_t n_in;
} task;

static const sqz_tensor *given(const task *k, const char *name)
{
    for (size_t i = 0; i < k->n_in; i++)
        if (strcmp(k->in[i].name, name) == 0)
            return &k->in[i].t;
    return NULL;
}

static sqz_status put(const task *k, sqz_vid v, const char *name, float *to)
{
    const sqz_tensor *t = given(k, name);
    if (!t || t->dtype != SQZ_F32 || t->count != sqz_tape_count(k->tape, v))
        return sqz_fail(k->ctx, SQZ_E_ARG, "no float32 array '%s' of %zu numbers", name,
                        sqz_tape_count(k->tape, v));
    if (!sqz_val(k->t.g, v)->channel_last) {
        memcpy(to, t->data, t->bytes);
        return SQZ_OK;
    }
    const size_t n = (size_t)t->shape.dim[0], c = (size_t)t->shape.dim[1];
    const sqz_turn turn = {n, c, t->count / n / c, sizeof(float)};
    return sqz_turn_last(k->ctx, &turn, t->data, to);
}

static sqz_status take(task *k, sqz_vid v, const char *name, float *numbers, sqz_array *out)
{
    const sqz_value *x = sqz_val(k->t.g, v);
    out->name = sqz_arena_printf(&k->a, "%s%s", name, x->channel_last ? "@last" : "");
    if (!out->name)
        return SQZ_E_NOMEM;
    return sqz_tensor_view(k->ctx, SQZ_F32, &x->shape, numbers, &out->t);
}

static sqz_status gradients(task *k, const sqz_vid *want, uint32_t n, const char *to)
{
    const sqz_graph *g = k->t.g;
    const sqz_vid y = g->output[0];
    sqz_array *out = sqz_arena_alloc(&k->a, n + 1u, sizeof *out);
    if (!out)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < g->n_input; i++)
        SQZ_TRY(put(k, g->input[i], sqz_val(g, g->input[i])->name,
                    sqz_tape_data(k->tape, g->input[i])));
    SQZ_TRY(sqz_tape_forward(k->tape));
    SQZ_TRY(put(k, y, "u", sqz_tape_grad(k->tape, y)));
    SQZ_TRY(take(k, y, "y", sqz_tape_data(k->tape, y), &out[n]));
    SQZ_TRY(sqz_tape_backward(k->tape));
    for (uint32_t i = 0; i < n; i++) {
        const char *name = sqz_arena_printf(&k->a, "grad.%s", sqz_val(g, want[i])->name);
        if (!name)
            return SQZ_E_NOMEM;
        SQZ_TRY(take(k, want[i], name, sqz_tape_grad(k->tape, want[i]), &out[i]));
    }
    return sqz_npz_write(k->ctx, to, out, n + 1u);
}

static sqz_status run(task *k, char **argv, bool train)
{
    const sqz_import_options o = {.path = argv[1]};
    const sqz_training_options form = {.no_dropout = true, .freeze_norms = !train};
    sqz_parameter *p;
    uint32_t n, n_want = 0;
    SQZ_TRY(sqz_npz_read(&k->a, argv[2], &k->in, &k->n_in));
    SQZ_TRY(sqz_import_file(k->ctx, &o, NULL, &k->g));
    SQZ_TRY(sqz_run_recipe(k->g, SQZ_TRAINABLE, NULL));
    SQZ_TRY(sqz_training_parameters(k->g, &k->a, &p, &n));
    SQZ_TRY(sqz_training_make(k->g, &form, &k->t));
    sqz_vid *want = sqz_arena_alloc(&k->a, (size_t)n + k->g->n_input + 1, sizeof *want);
    if (!want)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < k->g->n_input; i++)
        want[n_want++] = k->t.g->input[i];
    for (uint32_t i = 0; i < n; i++)
        want[n_want++] = p[i].value;
    const sqz_tape_options tape = {.want = want,
                                   .n_want = n_want,
                                   .seed = k->t.g->output,
                                   .n_seed = 1,
                                   .read = k->t.read,
                                   .n_read = k->t.n_read};
    SQZ_TRY(sqz_tape_create(k->t.g, &tape, &k->tape));
    return gradients(k, want, n_want, argv[3]);
}

int main(int argc, char **argv)
{
    task k = {0};
    if (argc < 4 || sqz_ctx_create(NULL, &k.ctx) != SQZ_OK)
        return 2;
    k.a.ctx = k.ctx;
    const sqz_status s = run(&k, argv, argc > 4);
    if (s != SQZ_OK)
        (void)fprintf(stderr, "%s\n", sqz_last_error(k.ctx));
    sqz_tape_free(k.tape);
    sqz_training_free(&k.t);
    sqz_graph_free(k.g);
    sqz_arrays_free(k.ctx, k.in, k.n_in);
    sqz_arena_free(&k.a);
    sqz_ctx_free(k.ctx);
    return s == SQZ_OK ? 0 : 1;
}
