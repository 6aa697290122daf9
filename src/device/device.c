/* device.c: device files. A file states what differs from the profile that it extends; the chain
 * is read first and then applied from its root on. docs/device-files.md documents every key. */
#include "device/device.h"
#include "base/yaml.h"
#include <math.h>
#include <string.h>

#define CHAIN_MAX  8   /* files that extend one another */
#define CYCLES_MAX 1e6 /* per MAC; a slip of units is likelier beyond */

/* ---- the profiles that ship ---- */
typedef struct profile {
    const char *name;
    const unsigned char *text;
    const size_t *bytes;
} profile;
#define SQZ_DEVICE(id, name)                                                                       \
    extern const unsigned char sqz_embed_device_##id[];                                            \
    extern const size_t sqz_embed_device_##id##_size;
#include "sqz_device_list.inc"
#undef SQZ_DEVICE
static const profile profiles[] = {
#define SQZ_DEVICE(id, name) {name, sqz_embed_device_##id, &sqz_embed_device_##id##_size},
#include "sqz_device_list.inc"
#undef SQZ_DEVICE
};
const char *const sqz_device_names[] = {
#define SQZ_DEVICE(id, name) name,
#include "sqz_device_list.inc"
#undef SQZ_DEVICE
};
const size_t sqz_n_devices = SQZ_COUNT(sqz_device_names);

static bool is_path(const char *name)
{
    size_t n = strlen(name);
    return strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".yaml") == 0) ||
           (n > 4 && strcmp(name + n - 4, ".yml") == 0);
}

static const profile *find_profile(const char *name)
{
    for (size_t i = 0; i < SQZ_COUNT(profiles); i++)
        if (strcmp(profiles[i].name, name) == 0)
            return &profiles[i];
    return NULL;
}

static const char *nearest_profile(const char *name)
{
    return sqz_nearest(name, sqz_device_names, sqz_n_devices, sizeof *sqz_device_names);
}

/* ---- one section after another ----
 * Each reads what is there and leaves the rest as the file before left it. */
typedef struct section {
    const sqz_yaml_doc *d;
    const sqz_yaml *map;
} section;

#define KNOWN(s, ...)                                                                              \
    sqz_yaml_known((s).d, (s).map, (const char *const[]){__VA_ARGS__},                             \
                   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static sqz_status quantity(section s, const char *key, sqz_dim dim, double *out)
{
    return sqz_yaml_quantity(s.d, sqz_yaml_get(s.map, key), dim, out);
}

static sqz_status read_core(section s, sqz_device *dev)
{
    SQZ_TRY(KNOWN(s, "arch", "clock"));
    SQZ_TRY(sqz_yaml_str(s.d, sqz_yaml_get(s.map, "arch"), &dev->arch));
    SQZ_TRY(quantity(s, "clock", SQZ_DIM_HZ, &dev->clock));
    if (sqz_yaml_get(s.map, "clock") && dev->clock <= 0)
        return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, "clock"), "'clock' must be more than 0");
    return SQZ_OK;
}

static sqz_status read_memory(section s, sqz_device *dev)
{
    sqz_device_memory m = {0};
    const char *kind = NULL;
    const sqz_yaml *bw = sqz_yaml_get(s.map, "bytes_per_cycle");
    SQZ_TRY(KNOWN(s, "name", "kind", "size", "reserve", "bytes_per_cycle", "arena", "weights"));
    SQZ_TRY(sqz_yaml_str(s.d, sqz_yaml_get(s.map, "name"), &m.name));
    SQZ_TRY(sqz_yaml_str(s.d, sqz_yaml_get(s.map, "kind"), &kind));
    SQZ_TRY(quantity(s, "size", SQZ_DIM_BYTES, &m.size));
    SQZ_TRY(quantity(s, "reserve", SQZ_DIM_BYTES, &m.reserve));
    SQZ_TRY(sqz_yaml_f64(s.d, bw, 1e-6, 1e6, &m.bytes_per_cycle));
    SQZ_TRY(sqz_yaml_bool(s.d, sqz_yaml_get(s.map, "arena"), &m.arena));
    SQZ_TRY(sqz_yaml_bool(s.d, sqz_yaml_get(s.map, "weights"), &m.weights));
    if (!m.name || !kind || m.size <= 0)
        return sqz_yaml_fail(s.d, s.map, "a memory needs 'name', 'kind' and 'size'");
    if (strcmp(kind, "ram") != 0 && strcmp(kind, "flash") != 0)
        return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, "kind"),
                             "'kind' is %.40s; ram or flash is expected", kind);
    m.is_flash = *kind == 'f';
    if (m.reserve > m.size)
        return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, "reserve"),
                             "memory '%.40s' reserves more than its size", m.name);
    if (m.arena && m.is_flash)
        return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, "arena"),
                             "memory '%.40s' is flash; activations need ram", m.name);
    for (unsigned i = 0; i < dev->n_memory; i++)
        if (strcmp(dev->memory[i].name, m.name) == 0)
            return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, "name"), "memory '%.40s' is here twice",
                                 m.name);
    if (dev->n_memory == SQZ_DEVICE_MEMORIES)
        return sqz_yaml_fail(s.d, s.map, "more than %d memories", SQZ_DEVICE_MEMORIES);
    dev->memory[dev->n_memory++] = m;
    return SQZ_OK;
}

static sqz_status read_memories(section s, sqz_device *dev)
{
    if (s.map->kind != SQZ_YAML_LIST)
        return sqz_yaml_fail(s.d, s.map, "'memory' must be a list of maps");
    dev->n_memory = 0; /* a list replaces the one of the profile */
    for (const sqz_yaml *n = s.map->child; n; n = n->next)
        SQZ_TRY(read_memory((section){s.d, n}, dev));
    return SQZ_OK;
}

static sqz_status read_runtime(section s, sqz_device *dev)
{
    int64_t alignment = (int64_t)dev->runtime.alignment;
    const sqz_yaml *n = sqz_yaml_get(s.map, "alignment");
    const char *io = NULL;
    SQZ_TRY(KNOWN(s, "ram", "code", "io_in_arena", "in_place", "alignment", "io"));
    SQZ_TRY(quantity(s, "ram", SQZ_DIM_BYTES, &dev->runtime.ram));
    SQZ_TRY(quantity(s, "code", SQZ_DIM_BYTES, &dev->runtime.code));
    SQZ_TRY(sqz_yaml_bool(s.d, sqz_yaml_get(s.map, "io_in_arena"), &dev->runtime.io_in_arena));
    SQZ_TRY(sqz_yaml_bool(s.d, sqz_yaml_get(s.map, "in_place"), &dev->runtime.in_place));
    SQZ_TRY(sqz_yaml_str(s.d, sqz_yaml_get(s.map, "io"), &io));
    if (io) {
        dev->runtime.float_io = strcmp(io, "float32") == 0;
        if (!dev->runtime.float_io && strcmp(io, "quantized") != 0)
            return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, "io"),
                                 "'io' is %.40s; quantized or float32 is expected", io);
    }
    SQZ_TRY(sqz_yaml_int(s.d, n, 1, 4096, &alignment));
    if (alignment & (alignment - 1))
        return sqz_yaml_fail(s.d, n, "'alignment' is %lld; a power of two is expected",
                             (long long)alignment);
    dev->runtime.alignment = (double)alignment;
    return SQZ_OK;
}

/* A list of names out of `known`; bit i of *out: name i is there. */
static sqz_status read_names(section s, const char *const *known, size_t n_known, unsigned *out)
{
    if (s.map->kind != SQZ_YAML_LIST)
        return sqz_yaml_fail(s.d, s.map, "'%s' must be a list such as [%s]", s.map->key, known[0]);
    *out = 0;
    for (const sqz_yaml *n = s.map->child; n; n = n->next) {
        const char *name = NULL;
        size_t i = 0;
        SQZ_TRY(sqz_yaml_str(s.d, n, &name));
        while (i < n_known && strcmp(known[i], name) != 0)
            i++;
        if (i == n_known)
            return sqz_yaml_fail(s.d, n, "'%.40s' is not known for '%s'; %s%s%s%s%s are", name,
                                 s.map->key, known[0], n_known > 1 ? ", " : "",
                                 n_known > 1 ? known[1] : "", n_known > 2 ? ", " : "",
                                 n_known > 2 ? known[2] : "");
        *out |= 1U << i;
    }
    return SQZ_OK;
}

static sqz_status read_numerics(section s, sqz_device *dev)
{
    static const char *const activations[] = {"float32", "int8", "int16"};
    static const char *const weights[] = {"int8", "int4", "float32"};
    const sqz_yaml *n;
    unsigned set = 0;
    const char *granularity = NULL;
    SQZ_TRY(KNOWN(s, "weights", "activations", "granularity"));
    if ((n = sqz_yaml_get(s.map, "activations")) != NULL) {
        SQZ_TRY(read_names((section){s.d, n}, activations, SQZ_COUNT(activations), &set));
        dev->numerics.f32 = set & 1;
        dev->numerics.s8 = set & 2;
        dev->numerics.s16 = set & 4;
        if (!set)
            return sqz_yaml_fail(s.d, n,
                                 "'activations' is empty: the device could compute nothing");
    }
    if ((n = sqz_yaml_get(s.map, "weights")) != NULL) {
        SQZ_TRY(read_names((section){s.d, n}, weights, SQZ_COUNT(weights), &set));
        dev->numerics.w_s8 = set & 1;
        dev->numerics.w_s4 = dev->numerics.s4 = (set & 2) != 0;
    }
    SQZ_TRY(sqz_yaml_str(s.d, sqz_yaml_get(s.map, "granularity"), &granularity));
    if (!granularity)
        return SQZ_OK;
    dev->numerics.per_channel = strcmp(granularity, "per_channel") == 0;
    if (!dev->numerics.per_channel && strcmp(granularity, "per_tensor") != 0)
        return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, "granularity"),
                             "'granularity' is %.40s; per_channel or per_tensor is expected",
                             granularity);
    return SQZ_OK;
}

static sqz_status read_kernel(section s, sqz_kernel_cost *k)
{
    SQZ_TRY(KNOWN(s, "float32", "int8", "int16", "int4", "fixed"));
    SQZ_TRY(sqz_yaml_f64(s.d, sqz_yaml_get(s.map, "float32"), 0, CYCLES_MAX, &k->f32));
    SQZ_TRY(sqz_yaml_f64(s.d, sqz_yaml_get(s.map, "int8"), 0, CYCLES_MAX, &k->s8));
    SQZ_TRY(sqz_yaml_f64(s.d, sqz_yaml_get(s.map, "int16"), 0, CYCLES_MAX, &k->s16));
    SQZ_TRY(sqz_yaml_f64(s.d, sqz_yaml_get(s.map, "int4"), 0, CYCLES_MAX, &k->s4));
    return sqz_yaml_f64(s.d, sqz_yaml_get(s.map, "fixed"), 0, 1e12, &k->fixed);
}

static sqz_status read_unsupported(section s, sqz_device *dev)
{
    unsigned n = 0;
    if (s.map->kind != SQZ_YAML_LIST)
        return sqz_yaml_fail(s.d, s.map, "'unsupported' must be a list of ONNX operators");
    for (const sqz_yaml *c = s.map->child; c; c = c->next)
        n++;
    const char **names = sqz_arena_alloc(&dev->arena, n + 1, sizeof *names);
    if (!names)
        return SQZ_E_NOMEM;
    n = 0;
    for (const sqz_yaml *c = s.map->child; c; c = c->next)
        SQZ_TRY(sqz_yaml_str(s.d, c, &names[n++]));
    dev->unsupported = names;
    dev->n_unsupported = n;
    return SQZ_OK;
}

static sqz_status read_kernels(section s, sqz_device *dev)
{
    const char *known[SQZ_N_COST_KIND];
    for (int k = SQZ_COST_CONV; k < SQZ_N_COST_KIND; k++)
        known[k - SQZ_COST_CONV] = sqz_cost_kind_name((sqz_cost_kind)k);
    known[SQZ_N_COST_KIND - 1] = "unsupported";
    SQZ_TRY(sqz_yaml_known(s.d, s.map, known, SQZ_COUNT(known)));
    for (int k = SQZ_COST_CONV; k < SQZ_N_COST_KIND; k++) {
        const sqz_yaml *n = sqz_yaml_get(s.map, known[k - SQZ_COST_CONV]);
        if (n)
            SQZ_TRY(read_kernel((section){s.d, n}, &dev->kernel[k]));
    }
    const sqz_yaml *n = sqz_yaml_get(s.map, "unsupported");
    return n ? read_unsupported((section){s.d, n}, dev) : SQZ_OK;
}

static sqz_status read_energy(section s, sqz_device *dev)
{
    SQZ_TRY(KNOWN(s, "active_power", "sleep_power"));
    SQZ_TRY(quantity(s, "active_power", SQZ_DIM_WATTS, &dev->active_power));
    return quantity(s, "sleep_power", SQZ_DIM_WATTS, &dev->sleep_power);
}

/* "420 KiB", or {max: 420 KiB, margin: 10 %}. */
static sqz_status read_limit(section s, const char *key, sqz_dim dim, sqz_limit *l)
{
    const sqz_yaml *n = sqz_yaml_get(s.map, key);
    if (!n)
        return SQZ_OK;
    sqz_limit read = {.set = true};
    if (n->kind == SQZ_YAML_MAP) {
        section in = {s.d, n};
        SQZ_TRY(KNOWN(in, "max", "margin"));
        if (!sqz_yaml_get(n, "max"))
            return sqz_yaml_fail(s.d, n, "'%s' needs 'max'", key);
        SQZ_TRY(quantity(in, "max", dim, &read.max));
        SQZ_TRY(quantity(in, "margin", SQZ_DIM_PERCENT, &read.margin));
    } else {
        SQZ_TRY(sqz_yaml_quantity(s.d, n, dim, &read.max));
    }
    *l = read;
    return SQZ_OK;
}

static sqz_status read_accuracy(section s, sqz_device *dev)
{
    static const struct {
        const char *key;
        sqz_dim dim;
    } field[] = {
        {"min", SQZ_DIM_PERCENT}, {"max_drop", SQZ_DIM_POINTS}, {"confidence", SQZ_DIM_PERCENT}};
    double *const out[] = {&dev->limits.accuracy.min, &dev->limits.accuracy.max_drop,
                           &dev->limits.accuracy.confidence};
    SQZ_TRY(KNOWN(s, "metric", "min", "max_drop", "confidence"));
    SQZ_TRY(sqz_yaml_str(s.d, sqz_yaml_get(s.map, "metric"), &dev->limits.accuracy.metric));
    for (size_t i = 0; i < SQZ_COUNT(field); i++) {
        SQZ_TRY(quantity(s, field[i].key, field[i].dim, out[i]));
        if (*out[i] > 1)
            return sqz_yaml_fail(s.d, sqz_yaml_get(s.map, field[i].key), "'%s' is more than 100 %%",
                                 field[i].key);
    }
    dev->limits.accuracy.set = true;
    return SQZ_OK;
}

static sqz_status read_limits(section s, sqz_device *dev)
{
    SQZ_TRY(KNOWN(s, "flash", "ram", "latency", "energy", "accuracy"));
    SQZ_TRY(read_limit(s, "flash", SQZ_DIM_BYTES, &dev->limits.flash));
    SQZ_TRY(read_limit(s, "ram", SQZ_DIM_BYTES, &dev->limits.ram));
    SQZ_TRY(read_limit(s, "latency", SQZ_DIM_SECONDS, &dev->limits.latency));
    SQZ_TRY(read_limit(s, "energy", SQZ_DIM_JOULES, &dev->limits.energy));
    const sqz_yaml *n = sqz_yaml_get(s.map, "accuracy");
    return n ? read_accuracy((section){s.d, n}, dev) : SQZ_OK;
}

/* "5 %" of what was, or an amount. */
static sqz_status read_growth(section s, const char *key, sqz_dim dim, double *v, bool *has,
                              bool *percent)
{
    const sqz_yaml *n = sqz_yaml_get(s.map, key);
    if (!n)
        return SQZ_OK;
    *has = true;
    *percent = n->kind == SQZ_YAML_SCALAR && strchr(n->text, '%');
    return sqz_yaml_quantity(s.d, n, *percent ? SQZ_DIM_PERCENT : dim, v);
}

/* A path in a device file is relative to the folder of that file. */
static sqz_status beside(sqz_arena *a, const char *file, const char *name, const char **out)
{
    const char *slash = strrchr(file, '/');
    if (*name == '/' || !slash)
        *out = name;
    else
        *out = sqz_arena_printf(a, "%.*s/%s", (int)(slash - file), file, name);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status read_baseline(section s, sqz_device *dev)
{
    const sqz_yaml *n = sqz_yaml_get(s.map, "max_growth");
    const char *file = NULL;
    SQZ_TRY(KNOWN(s, "file", "max_growth"));
    SQZ_TRY(sqz_yaml_str(s.d, sqz_yaml_get(s.map, "file"), &file));
    if (file)
        SQZ_TRY(beside(&dev->arena, s.d->file, file, &dev->baseline.file));
    if (!n)
        return SQZ_OK;
    section g = {s.d, n};
    SQZ_TRY(KNOWN(g, "flash", "ram", "latency"));
    SQZ_TRY(read_growth(g, "flash", SQZ_DIM_BYTES, &dev->baseline.flash, &dev->baseline.has_flash,
                        &dev->baseline.flash_is_percent));
    SQZ_TRY(read_growth(g, "ram", SQZ_DIM_BYTES, &dev->baseline.ram, &dev->baseline.has_ram,
                        &dev->baseline.ram_is_percent));
    return read_growth(g, "latency", SQZ_DIM_SECONDS, &dev->baseline.latency,
                       &dev->baseline.has_latency, &dev->baseline.latency_is_percent);
}

static sqz_status read_money(section s, const char *key, sqz_dim dim, sqz_device *dev, double *out)
{
    const sqz_yaml *n = sqz_yaml_get(s.map, key);
    if (!n)
        return SQZ_OK;
    SQZ_TRY(sqz_yaml_quantity(s.d, n, dim, out));
    const char *unit = strpbrk(n->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"); /* checked: three letters */
    if (dev->budget.currency && strncmp(dev->budget.currency, unit, 3) != 0)
        return sqz_yaml_fail(s.d, n,
                             "'%s' is in %.3s and something before in %s; one currency is expected",
                             key, unit, dev->budget.currency);
    dev->budget.currency = sqz_arena_strndup(&dev->arena, unit, 3);
    return dev->budget.currency ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status read_budget(section s, sqz_device *dev)
{
    SQZ_TRY(KNOWN(s, "time", "trials", "energy", "money", "price", "power"));
    SQZ_TRY(quantity(s, "time", SQZ_DIM_SECONDS, &dev->budget.time));
    SQZ_TRY(sqz_yaml_int(s.d, sqz_yaml_get(s.map, "trials"), 1, 1000000000, &dev->budget.trials));
    SQZ_TRY(quantity(s, "energy", SQZ_DIM_JOULES, &dev->budget.energy));
    SQZ_TRY(quantity(s, "power", SQZ_DIM_WATTS, &dev->budget.power));
    SQZ_TRY(read_money(s, "money", SQZ_DIM_MONEY, dev, &dev->budget.money));
    return read_money(s, "price", SQZ_DIM_MONEY_PER_HOUR, dev, &dev->budget.price);
}

/* ---- a file ---- */
static const struct {
    const char *key;
    sqz_status (*read)(section s, sqz_device *dev);
} sections[] = {
    {"core", read_core},         {"memory", read_memories},   {"runtime", read_runtime},
    {"numerics", read_numerics}, {"kernels", read_kernels},   {"energy", read_energy},
    {"limits", read_limits},     {"baseline", read_baseline}, {"budget", read_budget},
};

static sqz_status apply(const sqz_yaml_doc *d, sqz_device *dev)
{
    const sqz_yaml *root = d->root, *n;
    section top = {d, root};
    SQZ_TRY(sqz_yaml_str(d, sqz_yaml_get(root, "name"), &dev->name));
    SQZ_TRY(sqz_yaml_str(d, sqz_yaml_get(root, "doc"), &dev->doc));
    SQZ_TRY(sqz_yaml_str(d, sqz_yaml_get(root, "source"), &dev->source));
    SQZ_TRY(quantity(top, "latency_error", SQZ_DIM_PERCENT, &dev->latency_error));
    for (size_t i = 0; i < SQZ_COUNT(sections); i++)
        if ((n = sqz_yaml_get(root, sections[i].key)) != NULL)
            SQZ_TRY(sections[i].read((section){d, n}, dev));
    return SQZ_OK;
}

/* Version and top-level keys of one file of the chain, and which file it extends (NULL: none). */
static sqz_status read_head(const sqz_yaml_doc *d, const char **extends)
{
    const sqz_yaml *version;
    int64_t v = 0;
    if (d->root->kind != SQZ_YAML_MAP || !(version = sqz_yaml_get(d->root, "squeeze_device")))
        return sqz_yaml_fail(d, d->root, "not a device file: 'squeeze_device: 1' is missing");
    SQZ_TRY(sqz_yaml_int(d, version, 0, INT64_MAX, &v));
    if (v != 1)
        return sqz_yaml_fail(d, version, "version %lld; this build reads version 1", (long long)v);
    SQZ_TRY(KNOWN(((section){d, d->root}), "squeeze_device", "name", "doc", "source", "extends",
                  "latency_error", "core", "memory", "runtime", "numerics", "kernels", "energy",
                  "limits", "baseline", "budget"));
    return sqz_yaml_str(d, sqz_yaml_get(d->root, "extends"), extends);
}

static sqz_status read_profile(sqz_arena *a, const profile *p, sqz_yaml_doc *out)
{
    return sqz_yaml_parse(a, p->name, (const char *)p->text, *p->bytes, out);
}

/* What `from` extends: a profile, or a file beside it. */
static sqz_status read_base(sqz_arena *a, const sqz_yaml_doc *from, const char *name,
                            sqz_yaml_doc *out)
{
    const sqz_yaml *at = sqz_yaml_get(from->root, "extends");
    if (is_path(name)) {
        const char *path;
        SQZ_TRY(beside(a, from->file, name, &path));
        return sqz_note(a->ctx, sqz_yaml_load(a, path, out), "%s:%d:%d: extends", from->file,
                        at->line, at->column);
    }
    const profile *p = find_profile(name);
    const char *near = nearest_profile(name);
    if (!p)
        return sqz_yaml_fail(from, at, "no profile is named '%.60s'%s%s%s", name,
                             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return read_profile(a, p, out);
}

/* Exactly one memory of a kind holds what `flag` says; a single one needs no flag. */
static sqz_status choose_memory(sqz_ctx *ctx, sqz_device *dev, bool flash)
{
    unsigned n = 0, flagged = 0;
    sqz_device_memory *only = NULL;
    for (unsigned i = 0; i < dev->n_memory; i++) {
        sqz_device_memory *m = &dev->memory[i];
        flagged += flash ? m->weights : m->arena;
        if (m->is_flash == flash) {
            n++;
            only = m;
        }
    }
    const char *flag = flash ? "weights" : "arena";
    if (flagged > 1 || (flagged == 0 && n > 1))
        return sqz_fail(ctx, SQZ_E_FORMAT, "%s: %u memories are marked '%s: true'; one is expected",
                        dev->file, flagged, flag);
    if (flagged == 0 && only)
        *(flash ? &only->weights : &only->arena) = true;
    return SQZ_OK;
}

static sqz_status complete(sqz_ctx *ctx, sqz_device *dev)
{
    const sqz_kernel_cost *conv = &dev->kernel[SQZ_COST_CONV];
    if (!dev->name)
        dev->name = dev->file;
    if (dev->clock <= 0)
        return sqz_fail(ctx, SQZ_E_FORMAT, "%s: 'core: {clock: ...}' is missing", dev->file);
    if (conv->s8 <= 0 && conv->f32 <= 0)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "%s: 'kernels: {conv: {int8: ...}}' is missing: without cycles per MAC "
                        "nothing can be estimated; extend a profile or measure them",
                        dev->file);
    if (dev->limits.energy.set && dev->active_power <= 0)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "%s: 'limits: energy' needs 'energy: {active_power: ...}'", dev->file);
    SQZ_TRY(choose_memory(ctx, dev, false));
    return choose_memory(ctx, dev, true);
}

static sqz_status read_chain(sqz_device *dev, const char *name)
{
    sqz_arena *a = &dev->arena;
    sqz_yaml_doc chain[CHAIN_MAX];
    unsigned n = 0;
    const profile *p = is_path(name) ? NULL : find_profile(name);
    const char *near = nearest_profile(name), *extends = NULL;
    if (p)
        SQZ_TRY(read_profile(a, p, &chain[0]));
    else if (is_path(name))
        SQZ_TRY(sqz_yaml_load(a, name, &chain[0]));
    else
        return sqz_fail(a->ctx, SQZ_E_NOTFOUND,
                        "no device profile is named '%.60s'%s%s%s; see 'squeeze devices', or give "
                        "a file that ends in .yaml",
                        name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    SQZ_TRY(read_head(&chain[n++], &extends));
    while (extends) {
        if (n == CHAIN_MAX)
            return sqz_fail(a->ctx, SQZ_E_FORMAT, "%s: 'extends' goes more than %d files deep",
                            chain[0].file, CHAIN_MAX);
        SQZ_TRY(read_base(a, &chain[n - 1], extends, &chain[n]));
        for (unsigned i = 0; i < n; i++)
            if (strcmp(chain[i].file, chain[n].file) == 0)
                return sqz_yaml_fail(&chain[n - 1], sqz_yaml_get(chain[n - 1].root, "extends"),
                                     "'extends' goes in a circle: '%s' is already being read",
                                     chain[n].file);
        extends = NULL;
        SQZ_TRY(read_head(&chain[n++], &extends));
    }
    dev->file = chain[0].file;
    while (n--) {
        dev->name = NULL; /* only the last file names the device */
        SQZ_TRY(apply(&chain[n], dev));
    }
    return complete(a->ctx, dev);
}

sqz_status sqz_device_load(sqz_ctx *ctx, const char *name, sqz_device **out)
{
    *out = NULL;
    sqz_device *dev = sqz_calloc(ctx, 1, sizeof *dev);
    if (!dev)
        return SQZ_E_NOMEM;
    dev->arena.ctx = ctx;
    dev->runtime.io_in_arena = dev->runtime.in_place = true;
    dev->runtime.alignment = 16;
    dev->numerics.f32 = dev->numerics.s8 = true;
    dev->numerics.w_s8 = dev->numerics.w_s4 = dev->numerics.s4 = true;
    dev->numerics.per_channel = true;
    sqz_status s = read_chain(dev, name);
    if (s != SQZ_OK) {
        sqz_device_free(ctx, dev);
        return s;
    }
    *out = dev;
    return SQZ_OK;
}

void sqz_device_free(sqz_ctx *ctx, sqz_device *d)
{
    if (!d)
        return;
    sqz_arena_free(&d->arena);
    sqz_free(ctx, d);
}
