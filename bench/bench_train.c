/* bench_train.c: training steps of a model on random data, for train.py: forward, backward and SGD
 * with momentum on the tape, as the trainer does them.
 *
 *     bench_train MODEL.onnx BATCH ce|mse [-j THREADS] [--profile]
 *
 * Then answers lines: "run SECONDS" with the seconds of a step, "peak" with the bytes of memory
 * that were in use at most beyond those at the start, "step X LABEL OUT" with the loss after one
 * step without an update on the float32 numbers of these files (file layout), the gradients going
 * to OUT one after the other, in the order of "names". --profile lists nodes by time at the end. */
#include "io/import.h"
#include "ir/pass.h"
#include "kernels/kernels.h"
#include "train/optim.h"
#include "train/training.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct trial {
    sqz_ctx *ctx;
    sqz_graph *model, *g; /* as in the file; in training form, the latter is training's */
    sqz_training training;
    sqz_tape *tape;
    sqz_vid x, label, loss;
    sqz_vid *want;
    float **moment;
    const sqz_optim *optim;
    const void *optim_opts;
    uint32_t n;
    int64_t batch;
    bool profile;
    double steps;
} trial;

static void check(const trial *t, sqz_status s)
{
    if (s == SQZ_OK)
        return;
    fprintf(stderr, "bench_train: %s\n", sqz_last_error(t->ctx));
    exit(1);
}

static long memory(const char *field)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtol(line + strlen(field) + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib * 1024;
}

/* ---- the graph ---- */

static sqz_vid node(const trial *t, const char *op, const char *attrs, sqz_vid a, sqz_vid b)
{
    const sqz_vid in[2] = {a, b};
    sqz_vid out = SQZ_NONE;
    check(t, sqz_graph_node_text(t->g, op, NULL, attrs, in, b == SQZ_NONE ? 1 : 2, SQZ_NONE, &out));
    return out;
}

static sqz_vid number(const trial *t, double v)
{
    const sqz_shape one = {0};
    sqz_tensor c;
    sqz_vid out;
    check(t, sqz_tensor_alloc(t->ctx, SQZ_F32, &one, &c));
    sqz_tensor_set_f64(&c, 0, v);
    check(t, sqz_graph_constant(t->g, NULL, &c, &out));
    return out;
}

/* Mean over the batch of -sum label log softmax(y), or over all numbers of (y - label)^2. */
static void add_loss(trial *t, bool ce)
{
    const sqz_vid y = t->g->output[0];
    check(t, sqz_graph_input(t->g, "label", SQZ_F32, &sqz_val(t->g, y)->shape, &t->label));
    if (ce) {
        const sqz_vid p = node(t, "mul", "", node(t, "log_softmax", "axis=-1", y, SQZ_NONE),
                               t->label);
        t->loss = node(t, "mul", "", node(t, "reduce_sum", "keepdims=0", p, SQZ_NONE),
                       number(t, -1.0 / (double)t->batch));
    } else {
        const sqz_vid d = node(t, "sub", "", y, t->label);
        t->loss = node(t, "reduce_mean", "keepdims=0", node(t, "mul", "", d, d), SQZ_NONE);
    }
    check(t, sqz_graph_set_outputs(t->g, &t->loss, 1));
}

static void trainable(trial *t)
{
    sqz_parameter *list;
    check(t, sqz_training_parameters(t->model, &t->training.arena, &list, &t->n));
    t->want = calloc(t->n + 1u, sizeof *t->want);
    for (uint32_t i = 0; t->want && i < t->n; i++)
        t->want[i] = list[i].value;
}

static void load(trial *t, const char *path, bool ce)
{
    sqz_env env = {0};
    check(t, sqz_import_file(t->ctx, &(sqz_import_options){.path = path}, NULL, &t->model));
    check(t, sqz_run_recipe(t->model, SQZ_TRAINABLE, &env));
    check(t, sqz_training_make(t->model, &(sqz_training_options){.batch = t->batch}, &t->training));
    t->g = t->training.g;
    t->x = t->g->input[0];
    add_loss(t, ce);
    trainable(t);
    check(t, sqz_tape_create(t->g,
                             &(sqz_tape_options){.want = t->want,
                                                 .n_want = t->n,
                                                 .seed = &t->loss,
                                                 .n_seed = 1,
                                                 .read = t->training.read,
                                                 .n_read = t->training.n_read,
                                                 .time_nodes = t->profile},
                             &t->tape));
    check(t, sqz_optim_spec(&t->training.arena, "sgd(momentum=0.9)", &t->optim, &t->optim_opts));
    t->moment = calloc(t->n + 1u, sizeof *t->moment);
    for (uint32_t i = 0; t->moment && i < t->n; i++)
        t->moment[i] = calloc(t->optim->n_state * sqz_tape_count(t->tape, t->want[i]) + 1,
                              sizeof(float));
}

/* ---- steps ---- */

static void gradients(trial *t)
{
    check(t, sqz_tape_forward(t->tape));
    sqz_training_moved(&t->training, t->tape);
    *sqz_tape_grad(t->tape, t->loss) = 1;
    check(t, sqz_tape_backward(t->tape));
}

static void update(trial *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const sqz_optim_step s = {.w = sqz_tape_data(t->tape, t->want[i]),
                                  .g = sqz_tape_grad(t->tape, t->want[i]),
                                  .state = t->moment[i],
                                  .n = sqz_tape_count(t->tape, t->want[i]),
                                  .t = (uint64_t)t->steps + 1,
                                  .rate = 1e-4,
                                  .scale = 1,
                                  .floor = -INFINITY};
        check(t, t->optim->update(t->ctx, t->optim_opts, &s));
    }
}

static void fill(const trial *t, bool ce)
{
    sqz_rng r = {7, 0};
    float *x = sqz_tape_data(t->tape, t->x), *l = sqz_tape_data(t->tape, t->label);
    const size_t n = sqz_tape_count(t->tape, t->label), classes = n / (size_t)t->batch;
    for (size_t i = 0; i < sqz_tape_count(t->tape, t->x); i++)
        x[i] = (float)sqz_rng_normal(&r);
    for (size_t i = 0; i < n; i++)
        l[i] = ce ? (float)(i % classes == i / classes % classes) : (float)sqz_rng_normal(&r);
}

static double run(trial *t, double seconds)
{
    const double begin = sqz_now();
    double n = 0, took;
    do {
        gradients(t);
        update(t);
        n++;
        took = sqz_now() - begin;
    } while (took < seconds);
    t->steps += n;
    return took / n;
}

/* ---- a step on given numbers ---- */

static void read_file(const trial *t, const char *path, float *to, size_t n)
{
    FILE *f = fopen(path, "rb");
    if (!f || fread(to, sizeof *to, n, f) != n) {
        fprintf(stderr, "bench_train: %s has no %zu numbers\n", path, n);
        exit(1);
    }
    (void)t;
    fclose(f);
}

/* Numbers (n, rest, C) as (n, C, rest), or back. */
static void turn(size_t n, size_t rest, size_t c, const float *from, float *to, bool to_last)
{
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < rest; r++)
            for (size_t k = 0; k < c; k++) {
                const size_t last = (i * rest + r) * c + k, file = (i * c + k) * rest + r;
                to[to_last ? last : file] = from[to_last ? file : last];
            }
}

/* Copies the numbers of a value between its layout and the file's; to and from do not overlap. */
static void lay(const trial *t, sqz_vid v, const float *from, float *to, bool to_last)
{
    const sqz_value *x = sqz_val(t->g, v);
    const size_t all = sqz_tape_count(t->tape, v), n = (size_t)x->shape.dim[0];
    const size_t c = (size_t)x->shape.dim[x->shape.rank > 0 ? x->shape.rank - 1 : 0];
    if (x->channel_last)
        turn(n, all / n / c, c, from, to, to_last);
    else
        memcpy(to, from, all * sizeof *to);
}

static void one_step(trial *t, const char *x, const char *label, const char *out)
{
    size_t most = sqz_tape_count(t->tape, t->x);
    for (uint32_t i = 0; i < t->n; i++)
        most = SQZ_MAX(most, sqz_tape_count(t->tape, t->want[i]));
    float *room = malloc(most * sizeof *room);
    FILE *f = fopen(out, "wb");
    if (!room || !f)
        exit(1);
    read_file(t, x, room, sqz_tape_count(t->tape, t->x));
    lay(t, t->x, room, sqz_tape_data(t->tape, t->x), true);
    read_file(t, label, sqz_tape_data(t->tape, t->label), sqz_tape_count(t->tape, t->label));
    gradients(t);
    for (uint32_t i = 0; i < t->n; i++) {
        lay(t, t->want[i], sqz_tape_grad(t->tape, t->want[i]), room, false);
        fwrite(room, sizeof *room, sqz_tape_count(t->tape, t->want[i]), f);
    }
    fclose(f);
    free(room);
    printf("%.9g\n", (double)*sqz_tape_data(t->tape, t->loss));
}

static void names(const trial *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        printf("%s:%zu ", sqz_val(t->g, t->want[i])->name, sqz_tape_count(t->tape, t->want[i]));
    printf("\n");
}

/* ---- where the time goes ---- */

static void profile(const trial *t)
{
    double sum[2] = {0, 0};
    SQZ_EACH_NODE(t->g, id)
    {
        const sqz_node *n = sqz_nod(t->g, id);
        double s[2];
        char shape[160];
        sqz_cost cost;
        sqz_tape_seconds(t->tape, id, s);
        sqz_node_cost(t->g, n, &cost);
        sqz_shape_print(shape, &sqz_val(t->g, n->out[0])->shape);
        for (int i = 0; i < 2; i++) {
            s[i] *= 1e3 / t->steps;
            sum[i] += s[i];
        }
        const double flops = 2e-6 * (double)cost.macs;
        fprintf(stderr, "%-16s %-20s %8.3f ms %6.1f GF/s  back %8.3f ms %6.1f GF/s  %s\n",
                n->op->info.name, shape, s[0], flops / s[0], s[1], 2 * flops / s[1], n->name);
    }
    fprintf(stderr, "forward %.3f ms, backward %.3f ms; %.1f MB planned\n", sum[0], sum[1],
            (double)sqz_tape_bytes(t->tape) / 1e6);
}

static void serve(trial *t, long start)
{
    char line[4096], a[1024], b[1024], c[1024];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "run %1000s", a) == 1)
            printf("%.9f\n", run(t, strtod(a, NULL)));
        else if (sscanf(line, "step %1000s %1000s %1000s", a, b, c) == 3)
            one_step(t, a, b, c);
        else if (strncmp(line, "names", 5) == 0)
            names(t);
        else if (strncmp(line, "peak", 4) == 0)
            printf("%ld\n", memory("VmHWM") - start);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    trial t = {0};
    o.threads = 1;
    if (argc < 4)
        return 2;
    for (int i = 4; i < argc; i++) {
        t.profile = t.profile || strcmp(argv[i], "--profile") == 0;
        if (strcmp(argv[i], "-j") == 0 && i + 1 < argc)
            o.threads = (int32_t)strtol(argv[i + 1], NULL, 10);
    }
    if (sqz_ctx_create(&o, &t.ctx) != SQZ_OK)
        return 1;
    sqz_own_process(t.ctx);
    const long start = memory("VmRSS");
    t.batch = strtol(argv[2], NULL, 10);
    load(&t, argv[1], strcmp(argv[3], "ce") == 0);
    fill(&t, strcmp(argv[3], "ce") == 0);
    gradients(&t); /* touches the memory */
    t.steps = 1;
    printf("ready\n");
    fflush(stdout);
    serve(&t, start);
    if (t.profile)
        profile(&t);
    sqz_tape_free(t.tape);
    sqz_training_free(&t.training);
    sqz_graph_free(t.model);
    for (uint32_t i = 0; t.moment && i < t.n; i++)
        free(t.moment[i]);
    free(t.moment);
    free(t.want);
    sqz_ctx_free(t.ctx);
    return 0;
}
