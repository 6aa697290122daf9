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
                    "in_place: false}\n"
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
    assert_true(!d->runtime.io_in_arena && !d->runtime.in_place);
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

#define TEST(t) cmocka_unit_test_setup_teardown(t, enter, leave)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_key_is_read),
        TEST(test_refusals_name_place_and_cure),
        TEST(test_later_files_override_key_by_key),
        TEST(test_circles_are_refused),
        TEST(test_shipped_profiles_are_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
