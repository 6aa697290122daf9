/* prepare.c: squeeze prepare, in order: spec, sources, who goes where, then sample by sample. */
#include "io/prepare.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct job {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_prepare_spec spec;
    sqz_source source, test; /* test.read NULL: test samples come from source */
    sqz_shaper shaper, test_shaper;
    sqz_deal deal, test_deal;
    bool store_bytes;
    int64_t n[SQZ_N_SPLIT];
    char checksum[65];
    uint64_t bytes;
    const char *recipe;
} job;

/* ---- sizes of splits ---- */
static sqz_status count_of(const job *j, int split, int64_t n, int64_t *out)
{
    const sqz_amount *a = &j->spec.split[split];
    *out = !a->node ? 0 : a->share ? (int64_t)rint(a->value * (double)n) : (int64_t)a->value;
    if (*out > n)
        return sqz_yaml_fail(&j->spec.doc, a->node, "%s: %" PRId64 " samples, there are %" PRId64,
                             sqz_split_name[split], *out, n);
    return SQZ_OK;
}

static sqz_status split_sizes(job *j)
{
    int64_t n = j->source.n, sum = 0;
    double shares = 0;
    bool all_shares = true;
    const int parts = j->test.read ? 2 : 3; /* that come out of the source */
    for (int s = 0; s < parts; s++) {
        const sqz_amount *a = &j->spec.split[s];
        SQZ_TRY(count_of(j, s, n, &j->n[s]));
        sum += j->n[s];
        shares += a->value;
        all_shares = all_shares && (!a->node || a->share);
    }
    if (all_shares && fabs(shares - 1) < 1e-9) { /* rounding goes to train */
        j->n[SQZ_SPLIT_TRAIN] += n - sum;
        sum = n;
    }
    if (!j->spec.split[SQZ_SPLIT_TRAIN].node && sum < n) { /* not said: what is left */
        j->n[SQZ_SPLIT_TRAIN] = n - sum;
        sum = n;
    }
    if (sum > n)
        return sqz_yaml_fail(&j->spec.doc, sqz_yaml_get(j->spec.doc.root, "splits"),
                             "splits want %" PRId64 " samples, %s has %" PRId64, sum,
                             j->source.spec->file, n);
    if (j->test.read) { /* all of it unless told */
        j->n[SQZ_SPLIT_TEST] = j->test.n;
        if (j->spec.split[SQZ_SPLIT_TEST].node)
            SQZ_TRY(count_of(j, SQZ_SPLIT_TEST, j->test.n, &j->n[SQZ_SPLIT_TEST]));
    }
    SQZ_TRY(count_of(j, SQZ_SPLIT_CALIB, j->n[SQZ_SPLIT_TRAIN], &j->n[SQZ_SPLIT_CALIB]));
    if (sum + j->n[SQZ_SPLIT_TEST] == 0)
        return sqz_yaml_fail(&j->spec.doc, sqz_yaml_get(j->spec.doc.root, "splits"),
                             "every split is empty");
    return SQZ_OK;
}

static sqz_status deal_source(job *j, const sqz_source *s, const int64_t want[SQZ_N_SPLIT],
                              uint64_t seed, sqz_deal *out)
{
    int32_t *class_of = NULL;
    if (s->classes && j->spec.stratify) {
        class_of = sqz_calloc(j->ctx, (size_t)s->n, sizeof *class_of);
        if (!class_of)
            return SQZ_E_NOMEM;
        for (int64_t i = 0; i < s->n; i++)
            class_of[i] = s->class_of(s, i);
    }
    sqz_status st = sqz_deal_out(j->ctx, s->n, class_of, s->classes, want, j->spec.shuffle, seed,
                                 out);
    sqz_free(j->ctx, class_of);
    return st;
}

static sqz_status deal(job *j)
{
    int64_t want[SQZ_N_SPLIT], test[SQZ_N_SPLIT] = {0};
    memcpy(want, j->n, sizeof want);
    if (!j->test.read)
        return deal_source(j, &j->source, want, (uint64_t)j->spec.seed, &j->deal);
    test[SQZ_SPLIT_TEST] = want[SQZ_SPLIT_TEST];
    want[SQZ_SPLIT_TEST] = 0;
    SQZ_TRY(deal_source(j, &j->source, want, (uint64_t)j->spec.seed, &j->deal));
    return deal_source(j, &j->test, test, (uint64_t)j->spec.seed + 1, &j->test_deal);
}

/* ---- sources ---- */
static sqz_status join_test(job *j)
{
    sqz_source *a = &j->source, *b = &j->test;
    char first[160], second[160];
    SQZ_TRY(sqz_shaper_open(j->ctx, &j->spec, b, &j->test_shaper));
    sqz_shape_print(first, &j->shaper.shape);
    sqz_shape_print(second, &j->test_shaper.shape);
    if (!sqz_shape_eq(&j->shaper.shape, &j->test_shaper.shape))
        return sqz_fail(j->ctx, SQZ_E_SHAPE, "%s: test samples are %s, those of %s are %s",
                        b->spec->file, second, a->spec->file, first);
    if (a->has_labels != b->has_labels || !a->classes != !b->classes ||
        !sqz_shape_eq(&a->label_shape, &b->label_shape))
        return sqz_fail(j->ctx, SQZ_E_SHAPE, "%s: its labels are of another kind than those of %s",
                        b->spec->file, a->spec->file);
    if (a->class_names && b->classes > a->classes)
        return sqz_fail(j->ctx, SQZ_E_FORMAT, "%s: %" PRId64 " classes, %s has %" PRId64,
                        b->spec->file, b->classes, a->spec->file, a->classes);
    a->classes = b->classes = SQZ_MAX(a->classes, b->classes);
    return SQZ_OK;
}

static sqz_status open_sources(job *j, const char *folder)
{
    SQZ_TRY(sqz_source_open(j->ctx, &j->spec, &j->spec.source, NULL, folder, &j->source));
    SQZ_TRY(sqz_shaper_open(j->ctx, &j->spec, &j->source, &j->shaper));
    if (j->spec.test.node) {
        SQZ_TRY(sqz_source_open(j->ctx, &j->spec, &j->spec.test, &j->source, folder, &j->test));
        SQZ_TRY(join_test(j));
    }
    bool bytes = j->source.bytes && (!j->test.read || j->test.bytes);
    if (strcmp(j->spec.store, "u8") == 0 && !bytes)
        return sqz_yaml_fail(&j->spec.doc, sqz_yaml_get(j->spec.doc.root, "store"),
                             "store: u8 is for sources of bytes (images, unsigned 8-bit arrays)");
    j->store_bytes = bytes && strcmp(j->spec.store, "f32") != 0;
    return split_sizes(j);
}

/* ---- the recipe: what was done, as JSON without dates ---- */
static void add_source(job *j, cJSON *to, const char *name, const sqz_source_spec *s,
                       sqz_status *st)
{
    cJSON *o = cJSON_AddObjectToObject(to, name);
    const char *const file[2] = {s->file, s->y_file};
    const char *slash = strrchr(j->spec.doc.file, '/');
    size_t folder = slash ? (size_t)(slash - j->spec.doc.file) + 1 : 0;
    cJSON_AddStringToObject(o, "kind", s->kind);
    for (int i = 0; i < 2; i++) {
        char hex[65];
        if (!file[i])
            continue;
        bool beside = folder && strncmp(file[i], j->spec.doc.file, folder) == 0;
        cJSON_AddStringToObject(o, i ? "labels" : "file", file[i] + (beside ? folder : 0));
        if (strcmp(s->kind, "images") == 0)
            continue;
        if (*st == SQZ_OK)
            *st = sqz_file_sha256(j->ctx, file[i], hex);
        if (*st == SQZ_OK)
            cJSON_AddStringToObject(o, i ? "labels_sha256" : "sha256", hex);
    }
    if (s->x)
        cJSON_AddStringToObject(o, "x", s->x);
    if (s->y)
        cJSON_AddStringToObject(o, "y", s->y);
}

static void add_numbers(cJSON *to, const char *name, const double *v, size_t n)
{
    cJSON *list = n ? cJSON_AddArrayToObject(to, name) : NULL;
    for (size_t i = 0; i < n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(v[i]));
}

static void add_transform(const job *j, cJSON *to)
{
    const sqz_transform *t = &j->spec.transform;
    cJSON *o = cJSON_AddObjectToObject(to, "transform");
    char text[64];
    if (t->channels)
        cJSON_AddStringToObject(o, "channels", t->channels == 1 ? "gray" : t->bgr ? "bgr" : "rgb");
    if (t->height) {
        (void)snprintf(text, sizeof text, t->width ? "%" PRId64 "x%" PRId64 : "%" PRId64, t->height,
                       t->width);
        cJSON_AddStringToObject(o, "resize", text);
        cJSON_AddStringToObject(o, "fit", t->cover ? "cover" : "stretch");
        cJSON_AddBoolToObject(o, "antialias", t->antialias);
    }
    if (t->crop_height) {
        (void)snprintf(text, sizeof text, "%" PRId64 "x%" PRId64, t->crop_height, t->crop_width);
        cJSON_AddStringToObject(o, "crop", text);
    }
    cJSON_AddNumberToObject(o, "divide", t->divide);
    add_numbers(o, "mean", t->mean, t->n_mean);
    add_numbers(o, "std", t->stddev, t->n_std);
}

static sqz_status make_recipe(job *j)
{
    sqz_status st = SQZ_OK;
    cJSON *o = cJSON_CreateObject(), *splits;
    cJSON_AddNumberToObject(o, "squeeze_data", 1);
    cJSON_AddStringToObject(o, "version", SQZ_VERSION_STRING);
    add_source(j, o, "source", &j->spec.source, &st);
    if (j->spec.test.node)
        add_source(j, o, "test", &j->spec.test, &st);
    add_transform(j, o);
    splits = cJSON_AddObjectToObject(o, "splits");
    for (int s = 0; s < SQZ_N_SPLIT; s++)
        cJSON_AddNumberToObject(splits, sqz_split_name[s], (double)j->n[s]);
    cJSON_AddBoolToObject(o, "shuffle", j->spec.shuffle);
    cJSON_AddBoolToObject(o, "stratify", j->spec.stratify);
    cJSON_AddNumberToObject(o, "seed", (double)j->spec.seed);
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    if (st == SQZ_OK && !(text && (j->recipe = sqz_arena_strdup(&j->arena, text))))
        st = sqz_fail(j->ctx, SQZ_E_NOMEM, "no memory for the recipe");
    cJSON_free(text);
    return st;
}

/* ---- writing ---- */
typedef struct scratch {
    float *raw, *done, *y;
} scratch;

static sqz_status one_sample(job *j, sqz_source *src, sqz_shaper *shaper, int64_t i,
                             sqz_set_writer *w, const scratch *t)
{
    sqz_image img = {0};
    char what[64];
    (void)snprintf(what, sizeof what, "sample %" PRId64, i);
    const char *name = src->name_of ? src->name_of(src, i) : what;
    SQZ_TRY(src->read(src, i, &img, t->raw, t->y));
    sqz_status s = sqz_shaper_apply(shaper, src, &img, t->raw, name, t->done);
    if (s != SQZ_OK)
        return src->name_of ? s : sqz_note(j->ctx, s, "%s", src->spec->file);
    return sqz_set_add(w, t->done, t->y);
}

static sqz_status write_split(job *j, int split, sqz_set_writer *w, const scratch *t,
                              uint64_t *done, uint64_t all)
{
    char hex[65];
    bool other = split == SQZ_SPLIT_TEST && j->test.read;
    const sqz_deal *deal = other ? &j->test_deal : &j->deal;
    if (j->n[split] == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_set_begin_split(w, sqz_split_name[split], j->n[split]));
    for (int64_t i = 0; i < j->n[split]; i++, ++*done) {
        SQZ_TRY(one_sample(j, other ? &j->test : &j->source, other ? &j->test_shaper : &j->shaper,
                           deal->item[split][i], w, t));
        if ((*done & 255) == 0 && !sqz_progress(j->ctx, "preparing", *done, all))
            return sqz_fail(j->ctx, SQZ_E_ARG, "stopped");
    }
    return sqz_set_end_split(w, hex);
}

static sqz_status write_set(job *j, sqz_set_writer *w, const scratch *t)
{
    uint64_t done = 0, all = 0;
    for (int s = 0; s < SQZ_N_SPLIT; s++)
        all += (uint64_t)j->n[s];
    for (int s = 0; s < SQZ_N_SPLIT; s++)
        SQZ_TRY(write_split(j, s, w, t, &done, all));
    (void)sqz_progress(j->ctx, "preparing", all, all);
    return sqz_set_commit(w, j->recipe, j->checksum, &j->bytes);
}

static sqz_status with_writer(job *j, const char *path, const scratch *t)
{
    sqz_set_writer *w;
    sqz_set_info info = {.shaper = &j->shaper, .source = &j->source, .store_bytes = j->store_bytes};
    SQZ_TRY(sqz_set_create(j->ctx, path, &info, &w));
    sqz_status s = write_set(j, w, t);
    sqz_set_free(w);
    return s;
}

static size_t largest_sample(const sqz_source *s)
{
    size_t n = 1;
    for (int32_t i = 0; !s->is_image && i < s->shape.rank; i++)
        n *= (size_t)s->shape.dim[i]; /* was counted when the source was opened */
    return n;
}

static sqz_status write(job *j, const char *path)
{
    size_t labels = 1, raw = largest_sample(&j->source);
    for (int32_t i = 0; i < j->source.label_shape.rank; i++)
        labels *= (size_t)j->source.label_shape.dim[i];
    if (j->test.read)
        raw = SQZ_MAX(raw, largest_sample(&j->test));
    scratch t = {0};
    t.raw = sqz_calloc(j->ctx, raw, sizeof *t.raw);
    t.done = sqz_calloc(j->ctx, j->shaper.elements, sizeof *t.done);
    t.y = sqz_calloc(j->ctx, labels, sizeof *t.y);
    sqz_status s = t.raw && t.done && t.y ? make_recipe(j) : SQZ_E_NOMEM;
    if (s == SQZ_OK)
        s = with_writer(j, path, &t);
    sqz_free(j->ctx, t.raw);
    sqz_free(j->ctx, t.done);
    sqz_free(j->ctx, t.y);
    return s;
}

/* ---- the report ---- */
static void report_on(const job *j, const char *out_path, bool dry_run, cJSON *r)
{
    char shape[160];
    cJSON *samples = cJSON_AddObjectToObject(r, "samples");
    const size_t each = j->shaper.elements * (j->store_bytes ? 1 : 4);
    double total = 0;
    for (int s = 0; s < SQZ_N_SPLIT; s++) {
        cJSON_AddNumberToObject(samples, sqz_split_name[s], (double)j->n[s]);
        total += (double)j->n[s] * (double)each;
    }
    sqz_shape_print(shape, &j->shaper.shape);
    cJSON_AddStringToObject(r, "shape", shape);
    cJSON_AddStringToObject(r, "stored", j->store_bytes ? "u8" : "f32");
    if (j->source.has_labels)
        cJSON_AddNumberToObject(r, "classes", (double)j->source.classes);
    cJSON *names = j->source.class_names ? cJSON_AddArrayToObject(r, "class_names") : NULL;
    for (int64_t i = 0; names && i < j->source.classes; i++)
        cJSON_AddItemToArray(names, cJSON_CreateString(j->source.class_names[i]));
    cJSON_AddNumberToObject(r, "bytes_unpacked", total);
    if (dry_run)
        return;
    cJSON_AddNumberToObject(r, "bytes", (double)j->bytes);
    cJSON_AddStringToObject(r, "checksum", j->checksum);
    cJSON_AddStringToObject(r, "file", out_path);
}

/* Spools lie beside the set: that disk has room, or the set would not fit either. */
static const char *folder_of(sqz_arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ".";
    return slash == path ? "/" : sqz_arena_strndup(a, path, (size_t)(slash - path));
}

static sqz_status prepare(job *j, const char *spec_path, const char *out_path, bool dry_run)
{
    const char *folder = NULL;
    SQZ_TRY(sqz_prepare_parse(&j->arena, spec_path, &j->spec));
    if (!dry_run && !(folder = folder_of(&j->arena, out_path)))
        return SQZ_E_NOMEM;
    SQZ_TRY(open_sources(j, folder));
    if (dry_run)
        return SQZ_OK;
    SQZ_TRY(deal(j));
    return write(j, out_path);
}

sqz_status sqz_prepare_run(sqz_ctx *ctx, const char *spec_path, const char *out_path, bool dry_run,
                           struct cJSON *report)
{
    job j = {.ctx = ctx, .arena = {.ctx = ctx}};
    sqz_status s = prepare(&j, spec_path, out_path, dry_run);
    if (s == SQZ_OK)
        report_on(&j, out_path, dry_run, report);
    sqz_deal_free(ctx, &j.deal);
    sqz_deal_free(ctx, &j.test_deal);
    if (j.shaper.ctx)
        sqz_shaper_close(&j.shaper);
    if (j.test_shaper.ctx)
        sqz_shaper_close(&j.test_shaper);
    sqz_source_close(&j.source);
    sqz_source_close(&j.test);
    sqz_arena_free(&j.arena);
    return s;
}
