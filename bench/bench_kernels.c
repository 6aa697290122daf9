/* bench_kernels.c: one operator or kernel at a time, against what the machine can do at best.
 *
 *     ninja -C build/release bench_kernels
 *     taskset -c 0 build/release/bench_kernels [-j THREADS] [--cpu ISA] [TEXT...]
 *
 * Prints medians of interleaved repetitions: time, GOP/s and its share of the peak measured in the
 * same run (a multiply-add is two operations), and bytes read and written. TEXT: only cases whose
 * line contains one of these. A row of `cases` goes through the operator, as the executor calls it;
 * a bare kernel gets a function in `kernels`. */
#include "ir/op.h"
#include "kernels/kernels.h"
#include "kernels/peaks.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEATS 9
#define SECONDS 0.02 /* of a repetition */

typedef struct row {
    const char *op, *attrs;
    bool integer;
    sqz_shape in[3]; /* channel-last; rank 0: left out. Input 1 and 2 are constants */
} row;

#define X4(n, h, w, c)                                                                             \
    {                                                                                              \
        4, { n, h, w, c }                                                                          \
    }
#define X2(m, k)                                                                                   \
    {                                                                                              \
        2, { m, k }                                                                                \
    }
#define X1(n)                                                                                      \
    {                                                                                              \
        1, { n }                                                                                   \
    }
#define BOTH(op, attrs, ...)                                                                       \
    {op, attrs, false, __VA_ARGS__}, { op, attrs, true, __VA_ARGS__ }

/* clang-format off */
static const row cases[] = {
    /* large: 85 % of the float peak and 75 % of the int8 peak are wanted here */
    BOTH("conv2d", "pads=1,1,1,1", {X4(1, 56, 56, 64), X4(64, 3, 3, 64), X1(64)}),
    BOTH("conv2d", "pads=1,1,1,1", {X4(1, 28, 28, 128), X4(128, 3, 3, 128), X1(128)}),
    BOTH("conv2d", "pads=1,1,1,1", {X4(1, 14, 14, 256), X4(256, 3, 3, 256), X1(256)}),
    BOTH("conv2d", "pads=1,1,1,1", {X4(4, 7, 7, 512), X4(512, 3, 3, 512), X1(512)}),
    BOTH("conv2d", "", {X4(1, 56, 56, 256), X4(64, 1, 1, 256), X1(64)}),
    BOTH("conv2d", "", {X4(1, 14, 14, 256), X4(1024, 1, 1, 256), X1(1024)}),
    BOTH("conv2d", "pads=3,3,3,3 strides=2,2", {X4(1, 224, 224, 3), X4(64, 7, 7, 3), X1(64)}),
    BOTH("conv2d", "pads=1,1,1,1 strides=2,2", {X4(1, 56, 56, 128), X4(128, 3, 3, 128), X1(128)}),
    BOTH("gemm", "", {X2(128, 256), X2(1024, 256), X1(1024)}),
    BOTH("gemm", "", {X2(512, 1024), X2(1024, 1024), X1(1024)}),
    /* small and odd */
    BOTH("conv2d", "pads=1,1,1,1", {X4(1, 32, 32, 16), X4(16, 3, 3, 16), X1(16)}),
    BOTH("conv2d", "pads=1,1,1,1", {X4(1, 32, 32, 3), X4(16, 3, 3, 3), X1(16)}),
    BOTH("conv2d", "pads=1,1,1,1 strides=2,2", {X4(1, 224, 224, 3), X4(32, 3, 3, 3), X1(32)}),
    BOTH("conv2d", "pads=4,1,5,2 strides=2,2", {X4(1, 49, 10, 1), X4(64, 10, 4, 1), X1(64)}),
    BOTH("conv2d", "", {X4(1, 25, 5, 64), X4(64, 1, 1, 64), X1(64)}),
    BOTH("conv2d", "", {X4(1, 56, 56, 24), X4(144, 1, 1, 24), X1(144)}),
    BOTH("conv2d", "", {X4(1, 7, 7, 960), X4(160, 1, 1, 960), X1(160)}),
    BOTH("conv2d", "pads=1,1,1,1 group=4", {X4(1, 28, 28, 128), X4(128, 3, 3, 32), X1(128)}),
    BOTH("gemm", "", {X2(1, 640), X2(128, 640), X1(128)}),
    BOTH("gemm", "", {X2(1, 2048), X2(1000, 2048), X1(1000)}),
    BOTH("gemm", "", {X2(128, 128), X2(128, 128), X1(128)}),
    BOTH("gemm", "", {X2(1, 4096), X2(4096, 4096), X1(4096)}),
    /* depthwise */
    BOTH("dwconv2d", "pads=1,1,1,1", {X4(1, 112, 112, 32), X4(32, 3, 3, 1), X1(32)}),
    BOTH("dwconv2d", "pads=1,1,1,1 strides=2,2", {X4(1, 112, 112, 96), X4(96, 3, 3, 1), X1(96)}),
    BOTH("dwconv2d", "pads=1,1,1,1", {X4(1, 14, 14, 384), X4(384, 3, 3, 1), X1(384)}),
    BOTH("dwconv2d", "pads=1,1,1,1", {X4(1, 25, 5, 64), X4(64, 3, 3, 1), X1(64)}),
    BOTH("dwconv2d", "pads=2,2,2,2", {X4(1, 28, 28, 120), X4(120, 5, 5, 1), X1(120)}),
    /* memory bound */
    {"relu", "", false, {X4(1, 56, 56, 256)}},
    {"sigmoid", "", false, {X4(1, 56, 56, 64)}},
    {"gelu", "", false, {X2(128, 1024)}},
    {"erf", "", false, {X2(128, 1024)}},
    {"tanh", "", false, {X2(128, 1024)}},
    {"softmax", "", false, {X2(512, 128)}},
    {"softmax", "", true, {X2(512, 128)}},
    {"layer_norm", "", false, {X2(128, 256), X1(256), X1(256)}},
    {"global_average_pool", "", false, {X4(1, 7, 7, 2048)}},
    {"global_average_pool", "", true, {X4(1, 7, 7, 2048)}},
    {"max_pool", "kernel_shape=3,3 strides=2,2 pads=1,1,1,1", false, {X4(1, 112, 112, 64)}},
    {"max_pool", "kernel_shape=3,3 strides=2,2 pads=1,1,1,1", true, {X4(1, 112, 112, 64)}},
    BOTH("average_pool", "kernel_shape=2,2 strides=2,2", {X4(1, 56, 56, 128)}),
    BOTH("add", "", {X4(1, 56, 56, 256), X4(1, 56, 56, 256)}),
    BOTH("mul", "", {X4(1, 56, 56, 96), X4(1, 1, 1, 96)}),
    {"sigmoid", "", true, {X4(1, 56, 56, 256)}},
    BOTH("transpose", "perm=0,3,1,2", {X4(1, 56, 56, 64)}),
    BOTH("transpose", "perm=0,2,3,1", {X4(1, 3, 224, 224)}),
    BOTH("slice", "starts=64 ends=128 axes=3", {X4(1, 28, 28, 192)}),
    BOTH("pad", "pads=0,1,1,0,0,1,1,0", {X4(1, 56, 56, 64)}),
};
/* clang-format on */

typedef struct job { /* something to time */
    char name[120];
    double ops, bytes; /* of one call */
    bool integer;      /* measured against the int8 peak */
    sqz_status (*run)(void *arg);
    void *arg;
    double seconds[REPEATS];
} job;

typedef struct bench {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_rng rng;
    char **only;
    int n_only;
    job *job;
    size_t n_job, room;
} bench;

static void check(const bench *b, sqz_status s, const char *what)
{
    if (s == SQZ_OK)
        return;
    (void)fprintf(stderr, "bench_kernels: %s: %s\n", what, sqz_last_error(b->ctx));
    exit(1);
}

static void *memory(bench *b, size_t bytes)
{
    void *p = sqz_arena_alloc(&b->arena, SQZ_MAX(bytes, (size_t)1), 1);
    check(b, p ? SQZ_OK : SQZ_E_NOMEM, "memory");
    return p;
}

static bool wanted(const bench *b, const char *name)
{
    for (int i = 0; i < b->n_only; i++)
        if (strstr(name, b->only[i]))
            return true;
    return b->n_only == 0;
}

/* A case; for kernels: bench_add(b, "gemm_f32 64x64x576", 2.0 * m * n * k, bytes, false, fn, arg).
 */
static void bench_add(bench *b, const char *name, double ops, double bytes, bool integer,
                      sqz_status (*run)(void *arg), void *arg)
{
    if (b->n_job == b->room) {
        job *more = memory(b, (b->room = 2 * b->room + 64) * sizeof *more);
        if (b->n_job)
            memcpy(more, b->job, b->n_job * sizeof *more);
        b->job = more;
    }
    job *j = &b->job[b->n_job++];
    *j = (job){.ops = ops, .bytes = bytes, .integer = integer, .run = run, .arg = arg};
    (void)snprintf(j->name, sizeof j->name, "%s", name);
}

/* ---- operators ---- */

typedef struct op_call {
    sqz_call call;
    sqz_status (*run)(const sqz_call *c);
    sqz_tensor in[3], out;
    const sqz_tensor *in_p[3];
    sqz_tensor *out_p[1];
    sqz_quant in_q[3], out_q;
    const sqz_quant *in_qp[3], *out_qp[1];
} op_call;

static sqz_status run_op(void *arg)
{
    const op_call *o = arg;
    return o->run(&o->call);
}

static void fill(bench *b, sqz_tensor *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->dtype == SQZ_F32)
            SQZ_F32P(t)[i] = (float)sqz_rng_uniform(&b->rng) - 0.5f;
        else
            sqz_tensor_set_i64(t, i, (int64_t)sqz_rng_below(&b->rng, 255) - 127);
}

static sqz_quant grid(bench *b, sqz_dtype d, int32_t axis, size_t n, float scale)
{
    float *s = memory(b, n * sizeof *s);
    for (size_t i = 0; i < n; i++)
        s[i] = scale * (1 + 0.1f * (float)(i % 7));
    return (sqz_quant){.dtype = d,
                       .axis = axis,
                       .n = (uint32_t)n,
                       .scale = s,
                       .zero = memory(b, n * sizeof(int32_t))};
}

/* One scale for activations, one a channel for weights and biases. Operators without a weight take
 * two activations. */
static void set_grids(bench *b, const sqz_op *op, op_call *o, unsigned n_in)
{
    const size_t k = n_in > 1 ? o->in[1].count / (size_t)o->in[1].shape.dim[0] : 1;
    const float x = 0.02f, w = 0.01f;
    o->in_q[0] = grid(b, SQZ_S8, -1, 1, x);
    if (n_in > 1 && !op->quant.weight)
        o->in_q[1] = grid(b, SQZ_S8, -1, 1, 0.7f * x);
    else if (n_in > 1)
        o->in_q[1] = grid(b, SQZ_S8, 0, (size_t)o->in[1].shape.dim[0], w);
    if (n_in > 2)
        o->in_q[2] = grid(b, SQZ_S32, 0, (size_t)o->in[2].shape.dim[0], x * w);
    o->out_q = grid(b, SQZ_S8, -1, 1,
                    n_in > 1 && op->quant.weight ? x * w * 40 * sqrtf((float)k) : x);
    if (op->quant.kind == SQZ_Q_FIXED) {
        *(float *)(uintptr_t)o->out_q.scale = op->quant.fixed_scale;
        *(int32_t *)(uintptr_t)o->out_q.zero = op->quant.fixed_zero;
    }
    for (unsigned i = 0; i < n_in; i++)
        o->in_qp[i] = &o->in_q[i];
    o->out_qp[0] = &o->out_q;
}

static sqz_cost infer(bench *b, const sqz_op *op, const void *attrs, op_call *o, unsigned n_in,
                      sqz_shape *shape)
{
    sqz_value v[3];
    const sqz_value *vp[3];
    sqz_dtype dtype = o->in[0].dtype;
    sqz_cost cost = {0};
    for (unsigned i = 0; i < n_in; i++) {
        v[i] = (sqz_value){.name = "x", .shape = o->in[i].shape, .dtype = o->in[i].dtype};
        v[i].channel_last = v[i].shape.rank >= 3;
        v[i].quant = o->in_qp[i];
        vp[i] = &v[i];
    }
    sqz_infer q = {b->ctx, attrs, vp, n_in, 1, shape, &dtype};
    check(b, op->infer(&q), op->info.name);
    if (op->cost)
        op->cost(&q, &cost);
    check(b, sqz_tensor_alloc(b->ctx, dtype, shape, &o->out), op->info.name);
    return cost;
}

static void prepare(bench *b, const sqz_op *op, const void *attrs, op_call *o, unsigned n_in,
                    bool integer)
{
    sqz_tensor seen[3];
    const sqz_tensor *seen_p[3] = {&seen[0], &seen[1], &seen[2]};
    memcpy(seen, o->in, sizeof seen);
    seen[0].data = NULL; /* not a constant */
    o->out_p[0] = &o->out;
    for (unsigned i = 0; i < n_in; i++)
        o->in_p[i] = &o->in[i];
    sqz_prep p = {.ctx = b->ctx,
                  .arena = &b->arena,
                  .attrs = attrs,
                  .n_in = n_in,
                  .n_out = 1,
                  .in = seen_p,
                  .out = (const sqz_tensor *const *)o->out_p,
                  .in_q = o->in_qp,
                  .out_q = o->out_qp};
    if (op->prepare)
        check(b, op->prepare(&p), op->info.name);
    o->call = (sqz_call){.ctx = b->ctx,
                         .attrs = attrs,
                         .n_in = n_in,
                         .n_out = 1,
                         .in = o->in_p,
                         .out = o->out_p,
                         .in_q = o->in_qp,
                         .out_q = o->out_qp,
                         .state = p.state,
                         .scratch = memory(b, p.scratch_bytes)};
    o->run = integer && op->run_int ? op->run_int : op->run;
}

static void op_name(char *out, size_t size, const row *r)
{
    int used = snprintf(out, size, "%s %s", r->op, r->integer ? "int8" : "float");
    for (int i = 0; i < 2 && r->in[i].rank; i++) {
        char shape[160];
        sqz_shape_print(shape, &r->in[i]);
        used += snprintf(out + used, size - (size_t)used, "%s%s", i ? " by " : " ", shape);
    }
    (void)snprintf(out + used, size - (size_t)used, "%s%s", *r->attrs ? " " : "", r->attrs);
}

static void add_op(bench *b, const row *r)
{
    static const sqz_dtype type[2][3] = {{SQZ_F32, SQZ_F32, SQZ_F32}, {SQZ_S8, SQZ_S8, SQZ_S32}};
    char name[120];
    const sqz_op *op = sqz_op_find(r->op);
    op_name(name, sizeof name, r);
    if (!wanted(b, name))
        return;
    check(b, op ? SQZ_OK : SQZ_E_NOTFOUND, r->op);
    op_call *o = memory(b, sizeof *o);
    void *attrs = op->info.opt_size ? memory(b, op->info.opt_size) : NULL;
    unsigned n_in = 0;
    double bytes = 0;
    sqz_shape shape = {0};
    if (attrs) {
        sqz_opts_default(&op->info, attrs);
        check(b, sqz_opts_parse(&b->arena, &op->info, r->attrs, attrs), name);
    }
    for (; n_in < 3 && r->in[n_in].rank; n_in++) {
        check(b, sqz_tensor_alloc(b->ctx, type[r->integer][n_in], &r->in[n_in], &o->in[n_in]),
              name);
        fill(b, &o->in[n_in]);
        bytes += (double)o->in[n_in].bytes;
    }
    if (r->integer)
        set_grids(b, op, o, n_in);
    sqz_cost cost = infer(b, op, attrs, o, n_in, &shape);
    prepare(b, op, attrs, o, n_in, r->integer);
    bench_add(b, name, 2.0 * (double)cost.macs, bytes + (double)o->out.bytes, r->integer, run_op,
              o);
}

/* ---- bare kernels ---- */

static void kernels(bench *b) { (void)b; }

/* ---- measuring ---- */

static void measure(bench *b)
{
    int *count = memory(b, b->n_job * sizeof *count);
    for (size_t i = 0; i < b->n_job; i++) {
        double begin = sqz_now();
        while (sqz_now() - begin < SECONDS || count[i] < 2) {
            check(b, b->job[i].run(b->job[i].arg), b->job[i].name);
            count[i]++;
        }
    }
    for (int r = 0; r < REPEATS; r++)
        for (size_t i = 0; i < b->n_job; i++) {
            double begin = sqz_now();
            for (int k = 0; k < count[i]; k++)
                (void)b->job[i].run(b->job[i].arg);
            b->job[i].seconds[r] = (sqz_now() - begin) / count[i];
        }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(bench *b, const sqz_peaks *peak)
{
    sqz_isa isa = b->ctx->kernels->isa; /* the cap: what is there may be lower */
    while (!sqz_isa_supported(isa))
        isa = (sqz_isa)(isa - 1);
    (void)printf("peaks: float %.1f, int8 %.1f GOP/s, memory %.1f GB/s; %s, %d threads\n",
                 peak->f32 / 1e9, peak->s8 / 1e9, peak->read / 1e9, sqz_isa_name(isa),
                 sqz_pool_threads(b->ctx->pool));
    (void)printf("%-68s %10s %7s %9s %6s %7s\n", "case", "us", "+-", "GOP/s", "peak", "GB/s");
    for (size_t i = 0; i < b->n_job; i++) {
        job *j = &b->job[i];
        qsort(j->seconds, REPEATS, sizeof *j->seconds, by_value);
        double t = j->seconds[REPEATS / 2], spread = (j->seconds[REPEATS - 2] - j->seconds[1]) / t;
        (void)printf("%-68s %10.2f %6.1f%%", j->name, t * 1e6, 100 * spread);
        if (j->ops > 0)
            (void)printf(" %9.1f %5.1f%%", j->ops / t / 1e9,
                         100 * j->ops / t / (j->integer ? peak->s8 : peak->f32));
        else
            (void)printf(" %9s %6s", "", "");
        (void)printf(" %7.1f\n", j->bytes / t / 1e9);
    }
}

int main(int argc, char **argv)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    bench b = {.rng = {.seed = 1}, .only = argv + 1};
    o.threads = 1;
    for (int i = 1; i < argc; i++)
        if (i + 1 < argc && strcmp(argv[i], "-j") == 0)
            o.threads = atoi(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--cpu") == 0)
            o.cpu = argv[++i];
        else
            b.only[b.n_only++] = argv[i];
    if (sqz_ctx_create(&o, &b.ctx) != SQZ_OK) {
        (void)fprintf(stderr, "bench_kernels: no context: is --cpu right?\n");
        return 1;
    }
    sqz_own_process(b.ctx);
    b.arena.ctx = b.ctx;
    for (size_t i = 0; i < SQZ_COUNT(cases); i++)
        add_op(&b, &cases[i]);
    kernels(&b);
    sqz_peaks peak, after;
    check(&b, sqz_peaks_measure(b.ctx, 0.3, &peak), "peaks");
    measure(&b);
    check(&b, sqz_peaks_measure(b.ctx, 0.3, &after), "peaks");
    peak.f32 = SQZ_MAX(peak.f32, after.f32);
    peak.s8 = SQZ_MAX(peak.s8, after.s8);
    peak.read = SQZ_MAX(peak.read, after.read);
    print(&b, &peak);
    return 0; /* the system takes the memory */
}
