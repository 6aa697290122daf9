/* Device files: every key, every refusal; costs and limits against figures worked out by hand. */
#include "device/device.h"
#include "sqz_test.h"
#include <unistd.h>

static char folder[64];

typedef struct fixture {
    sqz_ctx *ctx;
    sqz_device *d;
    sqz_graph *g;
    sqz_estimate *e;
} fixture;

static int enter(void **state)
{
    static fixture f;
    f = (fixture){.ctx = test_ctx()};
    *state = &f;
    (void)snprintf(folder, sizeof folder, "/tmp/sqz-device-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int leave(void **state)
{
    fixture *f = *state;
    char path[128];
    static const char *const files[] = {"d.yaml", "b.yaml", "c.yaml"};
    for (size_t i = 0; i < SQZ_COUNT(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    sqz_estimate_free(f->ctx, f->e);
    sqz_graph_free(f->g);
    sqz_device_free(f->ctx, f->d);
    sqz_ctx_free(f->ctx);
    return rmdir(folder);
}

static void write_file(fixture *f, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    TEST_OK(f->ctx, sqz_file_write(f->ctx, path, text, strlen(text)));
}

static sqz_status load(fixture *f, const char *text)
{
    char path[128];
    sqz_device_free(f->ctx, f->d);
    write_file(f, "d.yaml", text);
    (void)snprintf(path, sizeof path, "%s/d.yaml", folder);
    return sqz_device_load(f->ctx, path, &f->d);
}

#define HEAD "squeeze_device: 1\ncore: {clock: 100 MHz}\nkernels: {conv: {int8: 2}}\n"

/* ---- files ---- */
static void test_every_key_is_read(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx,
            load(f, "squeeze_device: 1\n"
                    "name: board\n"
                    "doc: a board\n"
                    "source: measured\n"
                    "latency_error: 12 %\n"
                    "core: {arch: cortex-m7, clock: 400 MHz}\n"
                    "memory:\n"
                    "  - {name: axi, kind: ram, size: 512 KiB, reserve: 64 KiB, "
                    "bytes_per_cycle: 4, arena: true}\n"
                    "  - {name: dtcm, kind: ram, size: 128 KiB}\n"
                    "  - {name: flash, kind: flash, size: 2 MiB, reserve: 900 KiB, "
                    "bytes_per_cycle: 8, weights: true}\n"
                    "runtime: {ram: 8 KiB, code: 60 KiB, io_in_arena: false, alignment: 32, "
                    "in_place: false, io: float32}\n"
                    "numerics: {weights: [int4], activations: [int8, int16], granularity: "
                    "per_tensor}\n"
                    "kernels: {conv: {int8: 1.1, float32: 4, int16: 2, int4: 1.5, fixed: "
                    "4000}, depthwise: {int8: 3.5}, unsupported: [LSTM, GRU]}\n"
                    "energy: {active_power: 234 mW, sleep_power: 80 uW}\n"
                    "limits:\n"
                    "  flash: 420 KiB\n"
                    "  ram: {max: 256 KiB}\n"
                    "  latency: {max: 40 ms, margin: 10 %}\n"
                    "  energy: 9 mJ\n"
                    "  accuracy: {metric: top1, min: 85.0 %, max_drop: 0.5 pp, confidence: "
                    "95 %}\n"
                    "baseline: {file: old.json, max_growth: {flash: 2 %, ram: 0 B, latency: "
                    "5 ms}}\n"
                    "budget: {time: 20 min, trials: 64, energy: 30 Wh, money: 0.50 USD, "
                    "price: 0.12 USD/h, power: 45 W}\n"));
    const sqz_device *d = f->d;
    assert_string_equal(d->name, "board");
    assert_string_equal(d->doc, "a board");
    assert_string_equal(d->source, "measured");
    assert_string_equal(d->arch, "cortex-m7");
    assert_true(d->latency_error == 0.12 && d->clock == 400e6);
    assert_int_equal(d->n_memory, 3);
    assert_true(d->memory[0].size == 524288 && d->memory[0].reserve == 65536);
    assert_true(d->memory[0].arena && !d->memory[0].is_flash && !d->memory[1].arena);
    assert_true(d->memory[2].is_flash && d->memory[2].weights && d->memory[2].bytes_per_cycle == 8);
    assert_true(d->runtime.ram == 8192 && d->runtime.code == 61440 && d->runtime.alignment == 32);
    assert_true(!d->runtime.io_in_arena && !d->runtime.in_place && d->runtime.float_io);
    assert_true(!d->numerics.f32 && d->numerics.s8 && d->numerics.s16);
    assert_true(!d->numerics.w_s8 && d->numerics.w_s4 && !d->numerics.per_channel);
    const sqz_kernel_cost *k = &d->kernel[SQZ_COST_CONV];
    assert_true(k->s8 == 1.1 && k->f32 == 4 && k->s16 == 2 && k->s4 == 1.5 && k->fixed == 4000);
    assert_true(d->kernel[SQZ_COST_DEPTHWISE].s8 == 3.5);
    assert_int_equal(d->n_unsupported, 2);
    assert_string_equal(d->unsupported[1], "GRU");
    assert_true(fabs(d->active_power - 0.234) < 1e-12 && fabs(d->sleep_power - 80e-6) < 1e-12);
    assert_true(d->limits.flash.set && d->limits.flash.max == 430080 &&
                d->limits.flash.margin == 0);
    assert_true(d->limits.ram.max == 262144);
    assert_true(fabs(d->limits.latency.max - 0.04) < 1e-12 && d->limits.latency.margin == 0.1);
    assert_true(fabs(d->limits.energy.max - 0.009) < 1e-12);
    assert_true(d->limits.accuracy.set && d->limits.accuracy.min == 0.85);
    assert_string_equal(d->limits.accuracy.metric, "top1");
    assert_true(d->limits.accuracy.max_drop == 0.005 && d->limits.accuracy.confidence == 0.95);
    assert_non_null(strstr(d->baseline.file, folder)); /* beside the device file */
    assert_true(d->baseline.has_flash && d->baseline.flash_is_percent && d->baseline.flash == 0.02);
    assert_true(d->baseline.has_ram && !d->baseline.ram_is_percent && d->baseline.ram == 0);
    assert_true(d->baseline.has_latency && !d->baseline.latency_is_percent);
    assert_true(d->budget.time == 1200 && d->budget.trials == 64 && d->budget.energy == 108000);
    assert_true(d->budget.money == 0.5 && d->budget.price == 0.12 && d->budget.power == 45);
    assert_string_equal(d->budget.currency, "USD");
}

static void test_refusals_name_place_and_cure(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"name: x\n", "'squeeze_device: 1' is missing"},
        {"[1]\n", "'squeeze_device: 1' is missing"},
        {"squeeze_device: 2\n", "d.yaml:1:17: version 2; this build reads version 1"},
        {"squeeze_device: 1\nmemroy: []\n",
         "d.yaml:2:1: unknown key 'memroy'; did you mean 'memory'"},
        {HEAD "limits: {flsh: 1 B}\n", "d.yaml:4:10: unknown key 'flsh'; did you mean 'flash'"},
        {"squeeze_device: 1\ncore: {clock: 100}\n",
         "d.yaml:2:15: 'clock' is '100'; the unit is missing"},
        {"squeeze_device: 1\ncore: {clock: 0 Hz}\n", "must be more than 0"},
        {"squeeze_device: 1\nkernels: {conv: {int8: 1}}\n", "'core: {clock: ...}' is missing"},
        {"squeeze_device: 1\ncore: {clock: 1 MHz}\n", "'kernels: {conv: {int8: ...}}' is missing"},
        {HEAD "memory: {name: x}\n", "'memory' must be a list"},
        {HEAD "memory: [{name: x, kind: ram}]\n", "d.yaml:4:10: a memory needs"},
        {HEAD "memory: [{name: x, kind: rom, size: 1 KiB}]\n", "ram or flash is expected"},
        {HEAD "memory: [{name: x, kind: ram, size: 64 KB}]\n",
         "d.yaml:4:37: 'size' is '64 KB': KiB or kB?"},
        {HEAD "memory: [{name: x, kind: ram, size: 1 B, reserve: 2 B}]\n",
         "reserves more than its size"},
        {HEAD "memory: [{name: x, kind: flash, size: 1 B, arena: true}]\n", "activations need ram"},
        {HEAD "memory: [{name: x, kind: ram, size: 1 B}, {name: x, kind: ram, size: 1 B}]\n",
         "here twice"},
        {HEAD "memory: [{name: x, kind: ram, size: 1 B}, {name: y, kind: ram, size: 1 B}]\n",
         "0 memories are marked 'arena: true'"},
        {HEAD "memory: [{name: x, kind: flash, size: 1 B, weights: true}, {name: y, kind: flash, "
              "size: 1 B, "
              "weights: true}]\n",
         "2 memories are marked 'weights: true'"},
        {HEAD "runtime: {alignment: 12}\n", "a power of two"},
        {HEAD "runtime: {io: float}\n", "quantized or float32 is expected"},
        {HEAD "runtime: {alignment: 0}\n", "allowed is 1 to 4096"},
        {HEAD "numerics: {weights: [int3]}\n",
         "'int3' is not known for 'weights'; int8, int4, float32 are"},
        {HEAD "numerics: {activations: []}\n", "could compute nothing"},
        {HEAD "numerics: {activations: int8}\n", "must be a list"},
        {HEAD "numerics: {granularity: channel}\n", "per_channel or per_tensor"},
        {"squeeze_device: 1\nkernels: {cnv: {int8: 1}}\n", "did you mean 'conv'"},
        {"squeeze_device: 1\nkernels: {conv: {int8: -1}}\n", "allowed is 0 to"},
        {"squeeze_device: 1\nkernels: {unsupported: LSTM}\n", "must be a list of ONNX operators"},
        {HEAD "limits: {latency: {margin: 5 %}}\n", "'latency' needs 'max'"},
        {HEAD "limits: {energy: 1 mJ}\n", "needs 'energy: {active_power: ...}'"},
        {HEAD "limits: {accuracy: {min: 120 %}}\n", "more than 100 %"},
        {HEAD "limits: {accuracy: {max_drop: 1 %}}\n", "must be one of pp"},
        {HEAD "budget: {money: 1 USD, price: 1 EUR/h}\n", "one currency is expected"},
        {HEAD "budget: {trials: 0}\n", "allowed is 1"},
        {HEAD "extends: cortex-m77\n",
         "no profile is named 'cortex-m77'; did you mean 'cortex-m7'"},
        {HEAD "extends: d.yaml\n", "goes in a circle"},
        {HEAD "extends: none.yaml\n", "none.yaml"},
    };
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        sqz_status s = load(f, bad[i].text);
        if (s != SQZ_E_FORMAT && s != SQZ_E_NOTFOUND)
            fail_msg("'%s': status %d", bad[i].text, (int)s);
        TEST_FAILS(f->ctx, s, s, bad[i].part);
        assert_null(f->d);
    }
    TEST_FAILS(f->ctx, sqz_device_load(f->ctx, "cortex-m44", &f->d), SQZ_E_NOTFOUND,
               "did you mean 'cortex-m4'");
    TEST_FAILS(f->ctx, sqz_device_load(f->ctx, "/no/such.yaml", &f->d), SQZ_E_NOTFOUND,
               "/no/such.yaml");
}

static void test_later_files_override_key_by_key(void **state)
{
    fixture *f = *state;
    sqz_device *m4;
    TEST_OK(f->ctx, sqz_device_load(f->ctx, "cortex-m4", &m4));
    write_file(f, "b.yaml",
               "squeeze_device: 1\nname: base\nextends: cortex-m4\n"
               "kernels: {conv: {int8: 9}}\nlimits: {flash: 1 MiB, ram: 1 MiB}\n");
    TEST_OK(
        f->ctx,
        load(f,
             "squeeze_device: 1\nextends: b.yaml\ncore: {clock: 80 MHz}\nlimits: {ram: 2 MiB}\n"));
    assert_non_null(strstr(f->d->name, "d.yaml")); /* not the name of what it extends */
    assert_true(f->d->clock == 80e6);
    assert_string_equal(f->d->arch, m4->arch);
    assert_true(f->d->kernel[SQZ_COST_CONV].s8 == 9);
    assert_true(f->d->kernel[SQZ_COST_CONV].f32 == m4->kernel[SQZ_COST_CONV].f32);
    assert_true(f->d->kernel[SQZ_COST_DEPTHWISE].s8 == m4->kernel[SQZ_COST_DEPTHWISE].s8);
    assert_true(f->d->limits.flash.max == 1048576 && f->d->limits.ram.max == 2097152);
    sqz_device_free(f->ctx, m4);
}

static void test_circles_are_refused(void **state)
{
    fixture *f = *state;
    write_file(f, "b.yaml", "squeeze_device: 1\nextends: c.yaml\n");
    write_file(f, "c.yaml", "squeeze_device: 1\nextends: b.yaml\n");
    TEST_FAILS(f->ctx, load(f, "squeeze_device: 1\nextends: b.yaml\n"), SQZ_E_FORMAT,
               "goes in a circle");
    write_file(f, "b.yaml", "squeeze_device: 1\nextends: ./b.yaml\n"); /* another name each time */
    TEST_FAILS(f->ctx, load(f, "squeeze_device: 1\nextends: b.yaml\n"), SQZ_E_FORMAT,
               "more than 8 files");
}

static void test_shipped_profiles_are_complete(void **state)
{
    fixture *f = *state;
    assert_true(sqz_n_devices >= 8);
    for (size_t i = 0; i < sqz_n_devices; i++) {
        sqz_device *d = NULL;
        TEST_OK(f->ctx, sqz_device_load(f->ctx, sqz_device_names[i], &d));
        assert_string_equal(d->name, sqz_device_names[i]);
        assert_true(d->doc && d->source && d->arch);
        assert_true(d->latency_error > 0 && d->latency_error < 1);
        assert_true(d->runtime.ram > 0 && d->runtime.code > 0);
        for (int k = SQZ_COST_CONV; k < SQZ_N_COST_KIND; k++)
            assert_true(d->kernel[k].s8 > 0 && d->kernel[k].fixed > 0);
        assert_true(!d->limits.flash.set && !d->limits.ram.set && !d->limits.latency.set);
        sqz_device_free(f->ctx, d);
    }
}

/* Each allocation made to fail once: a status and nothing left behind (leave() checks). */
typedef struct budget {
    int left;
} budget;
static void *counted_alloc(void *user, size_t n)
{
    return ((budget *)user)->left-- > 0 ? malloc(n) : NULL;
}
static void counted_free(void *user, void *p)
{
    (void)user;
    free(p);
}

static void test_loading_survives_any_failing_allocation(void **state)
{
    fixture *f = *state;
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    budget b = {.left = INT32_MAX};
    sqz_ctx *ctx = NULL;
    (void)f;
    o.allocator = (sqz_allocator){&b, counted_alloc, counted_free};
    o.threads = 1;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    int n = 0;
    for (bool done = false; !done && n < 5000; n++) {
        sqz_device *d;
        size_t live = ctx->live;
        b.left = n;
        sqz_status s = sqz_device_load(ctx, "nucleo-l4r5zi", &d);
        done = s == SQZ_OK;
        assert_true(done || s == SQZ_E_NOMEM);
        assert_true(done == (d != NULL));
        sqz_device_free(ctx, d);
        assert_int_equal(ctx->live, live);
    }
    assert_true(n > TEST_ALLOCATIONS(100) && n < 5000);
    sqz_ctx_free(ctx);
}

/* Many single changed bits of a good file: loaded or refused with a sentence, never a crash. */
static void test_damaged_files_never_crash(void **state)
{
    fixture *f = *state;
    static const char good[] = HEAD
        "extends: cortex-m4\nmemory: [{name: r, kind: ram, size: 8 KiB}]\n"
        "limits: {ram: {max: 1 kB, margin: 5 %}, accuracy: {min: 1 %}}\n"
        "budget: {money: 1 USD}\n";
    char text[sizeof good];
    for (size_t i = 0; i + 1 < sizeof good; i++)
        for (int bit = (int)(i % 3); bit < 8; bit += 3) {
            memcpy(text, good, sizeof good);
            text[i] = (char)(text[i] ^ 1 << bit);
            if (load(f, text) != SQZ_OK)
                assert_true(*sqz_last_error(f->ctx));
        }
}

/* ---- costs: an operator of our own, so that every figure below can be worked out by hand ---- */
static sqz_status fake_infer(sqz_infer *q)
{
    q->out[0] = sqz_shape_of(4, (const int64_t[]){1, 8, 8, 16});
    return SQZ_OK;
}
static sqz_status fake_run(const sqz_call *c)
{
    (void)c;
    return SQZ_OK;
}
static void fake_cost(const sqz_infer *q, sqz_cost *out)
{
    (void)q;
    *out = (sqz_cost){.macs = 100000, .device_scratch = 100, .kind = SQZ_COST_CONV};
}
static const sqz_op fake = {.info = {.name = "fake", .doc = "100,000 MACs"},
                            .n_in_min = 2,
                            .n_in_max = 3,
                            .n_out_min = 1,
                            .n_out_max = 1,
                            .infer = fake_infer,
                            .run = fake_run,
                            .cost = fake_cost,
                            .run_int = fake_run,
                            .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .bias = 2},
                            .onnx = {.op_type = "Fake"}};
static const sqz_op lazy = {.info = {.name = "lazy", .doc = "without integer kernel"},
                            .n_in_min = 1,
                            .n_in_max = 1,
                            .n_out_min = 1,
                            .n_out_max = 1,
                            .infer = fake_infer,
                            .run = fake_run,
                            .cost = fake_cost,
                            .onnx = {.op_type = "Lazy"}};

static sqz_vid constant(fixture *f, const char *name, sqz_dtype d, sqz_shape s)
{
    sqz_tensor t;
    sqz_vid v;
    TEST_OK(f->ctx, sqz_tensor_alloc(f->ctx, d, &s, &t));
    TEST_OK(f->ctx, sqz_graph_constant(f->g, name, &t, &v));
    return v;
}

static void grid(fixture *f, sqz_vid v, uint32_t n, int32_t zero)
{
    float scale[16];
    int32_t zeros[16];
    for (int i = 0; i < 16; i++) {
        scale[i] = 0.1f;
        zeros[i] = zero;
    }
    const sqz_dtype d = sqz_val(f->g, v)->dtype;
    TEST_OK(f->ctx, sqz_value_set_quant(f->g, v, d, n > 1 ? 0 : -1, n, scale, zeros));
}

/* x(1,8,8,4) -> fake -> relu -> sigmoid -> reshape; int8 with weights of type w, or float. */
static void build(fixture *f, bool integer, sqz_dtype w, uint32_t scales)
{
    const sqz_shape xs = {4, {1, 8, 8, 4}}, ws = {2, {16, 4}}, bs = {1, {16}};
    sqz_vid x, v[3], out = SQZ_NONE;
    sqz_estimate_free(f->ctx, f->e);
    sqz_graph_free(f->g);
    f->e = NULL;
    TEST_OK(f->ctx, sqz_graph_create(f->ctx, &f->g));
    TEST_OK(f->ctx, sqz_graph_input(f->g, "x", integer ? SQZ_S8 : SQZ_F32, &xs, &x));
    v[0] = x;
    v[1] = constant(f, "w", integer ? w : SQZ_F32, ws);
    v[2] = constant(f, "b", integer ? SQZ_S32 : SQZ_F32, bs);
    if (integer) {
        grid(f, x, 1, 0);
        grid(f, v[1], scales, 0);
        grid(f, v[2], scales, 0);
    }
    TEST_OK(f->ctx, sqz_graph_node(f->g, &fake, "first", NULL, v, 3, NULL, 1, SQZ_NONE, &out));
    static const char *const ops[] = {"relu", "sigmoid", "reshape"};
    for (size_t i = 0; i < SQZ_COUNT(ops); i++) {
        if (integer)
            grid(f, out, 1, -128);
        v[0] = out;
        TEST_OK(f->ctx, sqz_graph_node_text(f->g, ops[i], ops[i], i == 2 ? "shape=1,1024" : "", v,
                                            1, SQZ_NONE, &out));
    }
    if (integer)
        grid(f, out, 1, -128);
    TEST_OK(f->ctx, sqz_graph_set_outputs(f->g, &out, 1));
}

#define MEMORY                                                                                     \
    "memory: [{name: r, kind: ram, size: 8 KiB, bytes_per_cycle: 0.5}, "                           \
    "{name: f, kind: flash, size: 64 KiB, bytes_per_cycle: 1}]\n"                                  \
    "runtime: {ram: 1000 B, code: 5000 B, alignment: 1}\n"                                         \
    "energy: {active_power: 2 W}\n"
#define COSTS                                                                                      \
    "squeeze_device: 1\ncore: {clock: 1 MHz}\nlatency_error: 20 %\n"                               \
    "kernels: {conv: {int8: 2, float32: 5, int4: 3, fixed: 1000}, elementwise: {int8: 3, fixed: "  \
    "10}}\n" MEMORY

static void estimate(fixture *f)
{
    sqz_estimate_free(f->ctx, f->e);
    f->e = NULL;
    TEST_OK(f->ctx, sqz_estimate_graph(f->g, f->d, &f->e));
}

static void test_integer_graph_by_hand(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, load(f, COSTS));
    build(f, true, SQZ_S8, 16);
    estimate(f);
    const sqz_estimate *e = f->e;
    assert_int_equal(e->n_node, 4);
    assert_string_equal(e->node[0].name, "first");
    /* weights 64, bias 64, 8 for each of 16 scales; the sigmoid's table */
    assert_true(e->node[0].weight_bytes == 256 && e->node[2].weight_bytes == 256);
    assert_true(e->weight_bytes == 512 && e->flash == 5512);
    assert_int_equal(e->parameters, 80);
    assert_int_equal(e->macs, 100000);
    /* first: 100000 x 2 against 256 / 1 + (256 + 1024) / 0.5; then 1000 for the call */
    assert_true(e->node[0].cycles == 201000);
    /* relu and reshape leave nothing; sigmoid: 1024 x 3 against 256 / 1 + 2048 / 0.5 = 4352, and 10
     */
    assert_true(e->node[1].cycles == 0 && e->node[2].cycles == 4362 && e->node[3].cycles == 0);
    assert_true(fabs(e->latency - 0.205362) < 1e-12 && fabs(e->energy - 0.410724) < 1e-12);
    assert_true(e->latency_error == 0.2);
    /* x, y and scratch of the first node live together; all else happens in y's memory */
    assert_true(e->arena_bytes == 256 + 1024 + 100 && e->ram == 2380);
    assert_true(e->node[0].live_bytes == 1380 && e->node[2].live_bytes == 1024);
    assert_string_equal(e->peak_node, "first");
    assert_int_equal(e->n_refused, 0);
}

/* y = x + gather(colors, indices) + dequantize(codes): packed, with codebook and scales */
static void test_palettes_and_dequantized_weights_are_packed(void **state)
{
    fixture *f = *state;
    const sqz_shape s = {2, {20, 5}}, five = {1, {5}};
    sqz_vid v[3], out;
    TEST_OK(f->ctx, load(f, COSTS));
    sqz_graph_free(f->g);
    TEST_OK(f->ctx, sqz_graph_create(f->ctx, &f->g));
    TEST_OK(f->ctx, sqz_graph_input(f->g, "x", SQZ_F32, &s, &v[2]));
    v[0] = constant(f, "colors", SQZ_F32, five);
    v[1] = constant(f, "indices", SQZ_U8, s);
    TEST_OK(f->ctx, sqz_graph_node_text(f->g, "gather", "g", "", v, 2, SQZ_NONE, &v[0]));
    v[1] = v[2];
    TEST_OK(f->ctx, sqz_graph_node_text(f->g, "add", "a", "", v, 2, SQZ_NONE, &out));
    v[0] = constant(f, "codes", SQZ_S4, s);
    const float scale[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int32_t zero[20] = {1};
    const sqz_quant q = {.dtype = SQZ_S4, .bits = 2, .n = 20, .scale = scale, .zero = zero};
    TEST_OK(f->ctx, sqz_value_set_grid(f->g, v[0], &q));
    TEST_OK(f->ctx, sqz_graph_node_text(f->g, "dequantize", "d", "", v, 1, SQZ_NONE, &v[1]));
    v[0] = out;
    TEST_OK(f->ctx, sqz_graph_node_text(f->g, "add", "b", "", v, 2, SQZ_NONE, &out));
    TEST_OK(f->ctx, sqz_graph_set_outputs(f->g, &out, 1));
    estimate(f);
    assert_true(f->e->node[0].weight_bytes == 5 * 4 + 38);      /* 100 indices of 3 bits */
    assert_true(f->e->node[2].weight_bytes == 25 + 20 * 4 + 5); /* 100 codes of 2, 20 zero points */
    assert_true(f->e->weight_bytes == 58 + 110);
}

static void test_types_change_the_figures(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, load(f, COSTS));
    build(f, true, SQZ_S4, 1);
    estimate(f);
    assert_true(f->e->node[0].weight_bytes == 32 + 64 + 8); /* two weights to a byte, one scale */
    assert_true(f->e->node[0].cycles == 301000);            /* int4: 3 cycles */
    sqz_value *w = sqz_val(f->g, sqz_graph_find(f->g, "w"));
    sqz_quant three = *w->quant;
    three.bits = 3;
    TEST_OK(f->ctx, sqz_value_set_grid(f->g, sqz_graph_find(f->g, "w"), &three));
    estimate(f);
    assert_true(f->e->node[0].weight_bytes == 24 + 64 + 8); /* eight weights to three bytes */
    build(f, false, SQZ_F32, 1);
    estimate(f);
    assert_true(f->e->node[0].weight_bytes == 256 + 64); /* no multipliers, no table */
    assert_true(f->e->weight_bytes == 320);
    assert_true(f->e->node[0].cycles == 501000);
    /* elementwise states no float32: 3 x 5/2, as its convolution; relu is in place but not free */
    assert_true(f->e->node[1].cycles == SQZ_MAX(1024 * 7.5, 8192 / 0.5) + 10);
    assert_true(f->e->arena_bytes == 4 * (256 + 1024) + 100);
}

static void test_memory_bound_nodes_take_the_time_of_their_bytes(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, load(f, "squeeze_device: 1\ncore: {clock: 1 MHz}\n"
                            "kernels: {conv: {int8: 0.001}}\n" MEMORY));
    build(f, true, SQZ_S8, 16);
    estimate(f);
    assert_true(f->e->node[0].cycles == 2816);
}

static void test_io_of_the_application_is_not_in_the_arena(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, load(f, "squeeze_device: 1\ncore: {clock: 1 MHz}\nkernels: {conv: {int8: 2}}\n"
                            "runtime: {io_in_arena: false, alignment: 64}\n"));
    build(f, true, SQZ_S8, 16);
    estimate(f);
    assert_true(f->e->arena_bytes <= 1024 + 128 + 1024 && f->e->arena_bytes >= 1024 + 128);
}

/* float x -> quantize -> fake -> dequantize -> reshape -> float: by default the ends are integers.
 */
static void test_conversions_at_the_ends_are_the_applications(void **state)
{
    fixture *f = *state;
    const sqz_shape xs = {4, {1, 8, 8, 4}}, ws = {2, {16, 4}};
    sqz_vid v[2], out;
    TEST_OK(f->ctx, load(f, COSTS));
    TEST_OK(f->ctx, sqz_graph_create(f->ctx, &f->g));
    TEST_OK(f->ctx, sqz_graph_input(f->g, "x", SQZ_F32, &xs, &out));
    TEST_OK(f->ctx, sqz_graph_node_text(f->g, "quantize", "q", "", &out, 1, SQZ_NONE, &v[0]));
    grid(f, v[0], 1, 0);
    v[1] = constant(f, "w", SQZ_S8, ws);
    grid(f, v[1], 1, 0);
    TEST_OK(f->ctx, sqz_graph_node(f->g, &fake, "first", NULL, v, 2, NULL, 1, SQZ_NONE, &out));
    grid(f, out, 1, 0);
    TEST_OK(f->ctx, sqz_graph_node_text(f->g, "dequantize", "dq", "", &out, 1, SQZ_NONE, &out));
    TEST_OK(f->ctx,
            sqz_graph_node_text(f->g, "reshape", "last", "shape=1,1024", &out, 1, SQZ_NONE, &out));
    TEST_OK(f->ctx, sqz_graph_set_outputs(f->g, &out, 1));
    estimate(f);
    assert_int_equal(f->e->n_node, 2);
    assert_string_equal(f->e->node[0].name, "first");
    assert_true(f->e->arena_bytes == 256 + 1024 + 100);
    assert_int_equal(f->g->n_node, 4); /* the graph itself is as it was */
    assert_int_equal(sqz_val(f->g, out)->dtype, SQZ_F32);
    f->d->runtime.float_io = true;
    estimate(f);
    assert_int_equal(f->e->n_node, 4);
    assert_true(f->e->arena_bytes == 1024 + 4096); /* while the output is made real */
    f->d->numerics.f32 = false; /* conversions at the ends are not refused, what computes is */
    estimate(f);
    assert_int_equal(f->e->n_refused, 0);
}

static void test_what_cannot_run_is_refused_by_name(void **state)
{
    fixture *f = *state;
    TEST_OK(f->ctx, load(f, COSTS "numerics: {activations: [int8], weights: [int8], granularity: "
                                  "per_tensor}\n"));
    build(f, false, SQZ_F32, 1);
    estimate(f);
    assert_int_equal(f->e->n_refused, 3); /* the reshape moves nothing */
    assert_non_null(strstr(f->e->refused[0], "node 'first' (Fake): it computes in float32"));
    assert_non_null(strstr(f->e->refused[0], "must be quantized"));
    build(f, true, SQZ_S8, 16);
    estimate(f);
    assert_int_equal(f->e->n_refused, 1);
    assert_non_null(strstr(f->e->refused[0], "its weights have 16 scales"));
    build(f, true, SQZ_S4, 1);
    estimate(f);
    assert_int_equal(f->e->n_refused, 1);
    assert_non_null(strstr(f->e->refused[0], "its weights are int4"));
    build(f, true, SQZ_S8, 1);
    estimate(f);
    assert_int_equal(f->e->n_refused, 0);

    sqz_vid x = f->g->input[0], out;
    TEST_OK(f->ctx, sqz_graph_node(f->g, &lazy, "slow", NULL, &x, 1, NULL, 1, SQZ_NONE, &out));
    sqz_val(f->g, out)->dtype = SQZ_F32;
    estimate(f);
    assert_int_equal(f->e->n_refused, 1);
    assert_non_null(strstr(f->e->refused[0], "node 'slow' (Lazy): it has no integer kernel"));

    TEST_OK(f->ctx, load(f, COSTS "numerics: {activations: [float32]}\n"));
    build(f, true, SQZ_S8, 1);
    estimate(f);
    assert_int_equal(f->e->n_refused, 4);
    assert_non_null(strstr(f->e->refused[0], "its activations are int8"));
    TEST_OK(f->ctx, load(f, "squeeze_device: 1\ncore: {clock: 1 MHz}\n"
                            "kernels: {conv: {int8: 2}, unsupported: [Sigmoid, Fake]}\n"));
    estimate(f);
    assert_int_equal(f->e->n_refused, 2);
    assert_non_null(strstr(f->e->refused[1], "node 'sigmoid' (Sigmoid): "));
    assert_non_null(strstr(f->e->refused[1], "does not run Sigmoid"));
}

/* ---- limits ---- */
static const sqz_limit_result *row(const sqz_limit_result *r, unsigned n, const char *what)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(r[i].what, what) == 0)
            return &r[i];
    return NULL;
}

static void check(fixture *f, const char *more, double accuracy, double reference,
                  sqz_limit_result out[8], unsigned *n)
{
    char text[2000];
    (void)snprintf(text, sizeof text, "%s%s", COSTS, more);
    TEST_OK(f->ctx, load(f, text));
    if (!f->g)
        build(f, true, SQZ_S8, 16);
    estimate(f);
    sqz_limits_check(f->d, f->e, accuracy, reference, out, n);
    assert_true(*n <= 8);
}

static void test_limits_hold_up_to_equality(void **state)
{
    fixture *f = *state;
    sqz_limit_result r[8];
    unsigned n;
    check(f,
          "limits: {flash: 5512 B, ram: {max: 2618 B, margin: 10 %}, latency: 205.362 ms, energy: "
          "1 J}\n",
          (double)NAN, (double)NAN, r, &n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(r[i].verdict, SQZ_V_HOLDS);
    assert_non_null(row(r, n, "operators"));
    assert_null(row(r, n, "accuracy"));
    check(f,
          "limits: {flash: 5511 B, ram: {max: 2617 B, margin: 10 %}, latency: 205 ms, energy: 0.4 "
          "J}\n",
          (double)NAN, (double)NAN, r, &n);
    static const char *const broken[] = {"flash", "ram", "latency", "energy"};
    for (size_t i = 0; i < SQZ_COUNT(broken); i++)
        assert_int_equal(row(r, n, broken[i])->verdict, SQZ_V_BROKEN);
}

static void test_broken_limits_say_what_is_in_the_way(void **state)
{
    fixture *f = *state;
    sqz_limit_result r[8];
    unsigned n;
    check(f,
          "limits: {flash: 4 KiB, ram: {max: 2 KiB, margin: 10 %}, latency: 100 ms, energy: 200 "
          "mJ}\n",
          (double)NAN, (double)NAN, r, &n);
    assert_string_equal(row(r, n, "flash")->why,
                        "needs 5.4 KiB, 1.4 KiB more than the 4 KiB allowed; weights are 512 B and "
                        "the runtime's code is 4.9 KiB; most is in node 'first' (256 B)");
    assert_string_equal(
        row(r, n, "ram")->why,
        "needs 2.3 KiB (with the margin of 10 %), 570 B more than the 2 KiB allowed; "
        "peak is at node 'first'; activations need 1.3 KiB and the runtime 1000 B");
    assert_string_equal(row(r, n, "latency")->why,
                        "takes 205 ms, 105 ms more than the 100 ms allowed; 97.88 % of it is node "
                        "'first' with 100000 MAC");
    assert_string_equal(row(r, n, "energy")->why,
                        "takes 411 mJ, 211 mJ more than the 200 mJ allowed; 97.88 % of it is node "
                        "'first' with 100000 MAC");
}

static void test_memory_less_its_reserve_is_a_limit_of_its_own(void **state)
{
    fixture *f = *state;
    sqz_limit_result r[8];
    unsigned n;
    check(f, "", (double)NAN, (double)NAN, r, &n);
    assert_true(row(r, n, "ram")->limit == 8192 && row(r, n, "ram")->verdict == SQZ_V_HOLDS);
    assert_int_equal(row(r, n, "latency")->verdict, SQZ_V_NOT_ASKED);
    static const char tight[] =
        "squeeze_device: 1\ncore: {clock: 1 MHz}\nkernels: {conv: {int8: 2}}\n"
        "memory: [{name: r, kind: ram, size: 8 KiB, reserve: 7 KiB}]\n"
        "limits: {ram: 1 MiB}\n";
    TEST_OK(f->ctx, load(f, tight)); /* a generous limit does not make the memory larger */
    estimate(f);
    sqz_limits_check(f->d, f->e, (double)NAN, (double)NAN, r, &n);
    assert_int_equal(row(r, n, "ram")->verdict, SQZ_V_BROKEN);
    assert_true(row(r, n, "ram")->limit == 1024);
    assert_int_equal(row(r, n, "flash")->verdict, SQZ_V_NOT_ASKED); /* no flash, no limit stated */
}

static void test_accuracy_limits(void **state)
{
    fixture *f = *state;
    sqz_limit_result r[8];
    unsigned n;
    static const char limits[] =
        "limits: {accuracy: {metric: top1, min: 85 %, max_drop: 0.5 pp}}\n";
    check(f, limits, 0.85, 0.855, r, &n);
    assert_int_equal(row(r, n, "accuracy")->verdict, SQZ_V_HOLDS);
    assert_int_equal(row(r, n, "accuracy drop")->verdict, SQZ_V_HOLDS);
    check(f, limits, 0.8499, 0.87, r, &n);
    assert_string_equal(row(r, n, "accuracy")->why, "is 84.99 %; at least 85 % is asked");
    assert_string_equal(row(r, n, "accuracy drop")->why,
                        "loses 2.01 %, 1.51 % more than the 0.5 % allowed");
    check(f, limits, (double)NAN, (double)NAN, r, &n);
    assert_int_equal(row(r, n, "accuracy")->verdict, SQZ_V_NOT_ASKED);
    assert_non_null(row(r, n, "accuracy drop")->why);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, enter, leave)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_key_is_read),
        TEST(test_refusals_name_place_and_cure),
        TEST(test_later_files_override_key_by_key),
        TEST(test_circles_are_refused),
        TEST(test_shipped_profiles_are_complete),
        TEST(test_loading_survives_any_failing_allocation),
        TEST(test_damaged_files_never_crash),
        TEST(test_integer_graph_by_hand),
        TEST(test_palettes_and_dequantized_weights_are_packed),
        TEST(test_types_change_the_figures),
        TEST(test_memory_bound_nodes_take_the_time_of_their_bytes),
        TEST(test_io_of_the_application_is_not_in_the_arena),
        TEST(test_conversions_at_the_ends_are_the_applications),
        TEST(test_what_cannot_run_is_refused_by_name),
        TEST(test_limits_hold_up_to_equality),
        TEST(test_broken_limits_say_what_is_in_the_way),
        TEST(test_memory_less_its_reserve_is_a_limit_of_its_own),
        TEST(test_accuracy_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
