/* prepare_spec.c: the YAML of a data set, checked key by key. docs/data.md describes it. */
#include "io/prepare.h"
#include <math.h>
#include <string.h>

const char *const sqz_split_name[SQZ_N_SPLIT] = {"train", "valid", "test", "calib"};

#define NAMES(...)                                                                                 \
    (const char *const[]){__VA_ARGS__}, SQZ_COUNT(((const char *const[]){__VA_ARGS__}))

static sqz_status is_map(const sqz_yaml_doc *d, const sqz_yaml *n, const char *what)
{
    return n->kind == SQZ_YAML_MAP ? SQZ_OK : sqz_yaml_fail(d, n, "%s: expected a map", what);
}

/* Relative paths begin at the folder of the spec. */
static sqz_status path_of(sqz_prepare_spec *p, const sqz_yaml *n, const char **out)
{
    const char *text = NULL, *slash = strrchr(p->doc.file, '/');
    SQZ_TRY(sqz_yaml_str(&p->doc, n, &text));
    if (!text)
        return SQZ_OK;
    if (!*text)
        return sqz_yaml_fail(&p->doc, n, "the path is empty");
    *out = *text == '/' || !slash ? text
                                  : sqz_arena_printf(p->doc.arena, "%.*s/%s",
                                                     (int)(slash - p->doc.file), p->doc.file, text);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status layout_of(const sqz_yaml_doc *d, const sqz_yaml *n, sqz_layout *out)
{
    const char *text = NULL;
    SQZ_TRY(sqz_yaml_str(d, n, &text));
    if (!text)
        return SQZ_OK;
    *out = strcmp(text, "nchw") == 0   ? SQZ_LAYOUT_NCHW
           : strcmp(text, "nhwc") == 0 ? SQZ_LAYOUT_NHWC
                                       : SQZ_LAYOUT_UNKNOWN;
    return *out ? SQZ_OK : sqz_yaml_fail(d, n, "layout '%s': expected nchw or nhwc", text);
}

static sqz_status list_of_text(sqz_prepare_spec *p, const sqz_yaml *list, const char *const **out,
                               size_t *n)
{
    if (!list)
        return SQZ_OK;
    if (list->kind != SQZ_YAML_LIST || !list->child)
        return sqz_yaml_fail(&p->doc, list, "expected a list of names");
    *n = 0;
    for (const sqz_yaml *c = list->child; c; c = c->next)
        ++*n;
    const char **text = sqz_arena_alloc(p->doc.arena, *n, sizeof *text);
    if (!text)
        return SQZ_E_NOMEM;
    size_t i = 0;
    for (const sqz_yaml *c = list->child; c; c = c->next)
        SQZ_TRY(sqz_yaml_str(&p->doc, c, &text[i++]));
    *out = text;
    return SQZ_OK;
}

/* ---- sources ---- */
static sqz_status two_files(sqz_prepare_spec *p, const sqz_yaml *m, sqz_source_spec *s)
{
    SQZ_TRY(is_map(&p->doc, m, s->kind));
    SQZ_TRY(sqz_yaml_known(&p->doc, m, NAMES("x", "y")));
    SQZ_TRY(path_of(p, sqz_yaml_get(m, "x"), &s->file));
    return path_of(p, sqz_yaml_get(m, "y"), &s->y_file);
}

static sqz_status file_of_arrays(sqz_prepare_spec *p, const sqz_yaml *m, sqz_source_spec *s)
{
    SQZ_TRY(is_map(&p->doc, m, s->kind));
    SQZ_TRY(sqz_yaml_known(&p->doc, m, NAMES("file", "x", "y")));
    SQZ_TRY(path_of(p, sqz_yaml_get(m, "file"), &s->file));
    SQZ_TRY(sqz_yaml_str(&p->doc, sqz_yaml_get(m, "x"), &s->x));
    return sqz_yaml_str(&p->doc, sqz_yaml_get(m, "y"), &s->y);
}

static sqz_status table(sqz_prepare_spec *p, const sqz_yaml *m, sqz_source_spec *s)
{
    const char *separator = ",", *labels = "classes";
    const sqz_yaml *at;
    s->header = true;
    SQZ_TRY(is_map(&p->doc, m, "csv"));
    SQZ_TRY(sqz_yaml_known(&p->doc, m, NAMES("file", "x", "y", "header", "separator", "labels")));
    SQZ_TRY(path_of(p, sqz_yaml_get(m, "file"), &s->file));
    SQZ_TRY(list_of_text(p, sqz_yaml_get(m, "x"), &s->columns, &s->n_columns));
    SQZ_TRY(sqz_yaml_str(&p->doc, sqz_yaml_get(m, "y"), &s->y));
    SQZ_TRY(sqz_yaml_bool(&p->doc, sqz_yaml_get(m, "header"), &s->header));
    SQZ_TRY(sqz_yaml_str(&p->doc, at = sqz_yaml_get(m, "separator"), &separator));
    if (strcmp(separator, "tab") == 0)
        separator = "\t";
    if (strlen(separator) != 1 || strchr("\"\n\r", separator[0]))
        return sqz_yaml_fail(&p->doc, at, "separator: expected one character, or \"tab\"");
    s->separator = separator[0];
    SQZ_TRY(sqz_yaml_str(&p->doc, at = sqz_yaml_get(m, "labels"), &labels));
    s->values = strcmp(labels, "values") == 0;
    if (!s->values && strcmp(labels, "classes") != 0)
        return sqz_yaml_fail(&p->doc, at, "labels: expected classes or values");
    return SQZ_OK;
}

static sqz_status source(sqz_prepare_spec *p, const sqz_yaml *m, const char *what,
                         sqz_source_spec *s)
{
    static const char *const kinds[] = {"images", "idx", "npy", "npz", "hdf5", "csv"};
    if (!m)
        return SQZ_OK;
    SQZ_TRY(is_map(&p->doc, m, what));
    SQZ_TRY(
        sqz_yaml_known(&p->doc, m, NAMES("images", "idx", "npy", "npz", "hdf5", "csv", "layout")));
    const sqz_yaml *body = NULL;
    for (size_t i = 0; i < SQZ_COUNT(kinds); i++) {
        const sqz_yaml *n = sqz_yaml_get(m, kinds[i]);
        if (n && body)
            return sqz_yaml_fail(&p->doc, n, "%s: has both %s and %s, expected one", what, s->kind,
                                 kinds[i]);
        if (n) {
            body = n;
            s->kind = kinds[i];
        }
    }
    s->node = m;
    if (!body)
        return sqz_yaml_fail(&p->doc, m, "%s: expected one of images, idx, npy, npz, hdf5, csv",
                             what);
    SQZ_TRY(layout_of(&p->doc, sqz_yaml_get(m, "layout"), &s->layout));
    if (strcmp(s->kind, "images") == 0)
        SQZ_TRY(path_of(p, body, &s->file));
    else if (strcmp(s->kind, "csv") == 0)
        SQZ_TRY(table(p, body, s));
    else if (strcmp(s->kind, "idx") == 0 || strcmp(s->kind, "npy") == 0)
        SQZ_TRY(two_files(p, body, s));
    else
        SQZ_TRY(file_of_arrays(p, body, s));
    return s->file ? SQZ_OK : sqz_yaml_fail(&p->doc, body, "%s: names no file", what);
}

/* ---- transform ---- */
/* "96x88" (height x width), or "96": both 0 when absent. */
static sqz_status size_of(const sqz_yaml_doc *d, const sqz_yaml *n, const char *what, int64_t *h,
                          int64_t *w)
{
    const char *text = NULL, *end;
    SQZ_TRY(sqz_yaml_str(d, n, &text));
    if (!text)
        return SQZ_OK;
    bool ok = sqz_parse_i64(text, &end, h) && (*end == 0 || *end == 'x');
    if (ok && *end == 'x')
        ok = sqz_parse_i64(end + 1, NULL, w) && *w >= 1 && *w <= 65536;
    if (!ok || *h < 1 || *h > 65536)
        return sqz_yaml_fail(d, n, "%s '%s': expected HEIGHTxWIDTH such as 96x96, each 1 to 65536",
                             what, text);
    return SQZ_OK;
}

/* A number or a fraction such as 1/255. */
static bool number(const char *text, double *out)
{
    const char *end;
    double below = 1;
    bool ok = sqz_parse_f64(text, &end, out);
    if (ok && *end == '/')
        ok = sqz_parse_f64(end + 1, NULL, &below) && below != 0;
    else
        ok = ok && *end == 0;
    *out /= below;
    return ok && isfinite(*out);
}

static sqz_status numbers(sqz_prepare_spec *p, const sqz_yaml *n, const char *what, double **out,
                          size_t *count)
{
    const char *const *text = NULL;
    const char *one;
    if (!n)
        return SQZ_OK;
    if (n->kind == SQZ_YAML_SCALAR) {
        SQZ_TRY(sqz_yaml_str(&p->doc, n, &one));
        text = &one;
        *count = 1;
    } else {
        SQZ_TRY(list_of_text(p, n, &text, count));
    }
    *out = sqz_arena_alloc(p->doc.arena, *count, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < *count; i++)
        if (!number(text[i], &(*out)[i]))
            return sqz_yaml_fail(&p->doc, n, "%s: '%s' is no number", what, text[i]);
    return SQZ_OK;
}

static sqz_status scaling(sqz_prepare_spec *p, const sqz_yaml *m)
{
    sqz_transform *t = &p->transform;
    const sqz_yaml *divide = sqz_yaml_get(m, "divide"), *scale = sqz_yaml_get(m, "scale");
    double *v = NULL;
    size_t n = 0;
    if (divide && scale)
        return sqz_yaml_fail(&p->doc, scale, "scale and divide say the same: give one of them");
    SQZ_TRY(numbers(p, divide ? divide : scale, divide ? "divide" : "scale", &v, &n));
    if (v && (n != 1 || !(v[0] > 0)))
        return sqz_yaml_fail(&p->doc, divide ? divide : scale,
                             "expected one positive number such as %s", divide ? "255" : "1/255");
    if (v) /* 1/255 in double times 255 is 1: dividing by 255 is what was meant */
        t->divide = divide                                    ? v[0]
                    : fabs(1 / v[0] - round(1 / v[0])) < 1e-9 ? round(1 / v[0])
                                                              : 1 / v[0];
    SQZ_TRY(numbers(p, sqz_yaml_get(m, "mean"), "mean", &t->mean, &t->n_mean));
    SQZ_TRY(numbers(p, sqz_yaml_get(m, "std"), "std", &t->stddev, &t->n_std));
    for (size_t i = 0; i < t->n_std; i++)
        if (!(t->stddev[i] > 0))
            return sqz_yaml_fail(&p->doc, sqz_yaml_get(m, "std"), "std: expected positive numbers");
    return SQZ_OK;
}

static sqz_status geometry(sqz_prepare_spec *p, const sqz_yaml *m)
{
    sqz_transform *t = &p->transform;
    const char *fit = "stretch", *channels = NULL;
    const sqz_yaml *n;
    SQZ_TRY(size_of(&p->doc, sqz_yaml_get(m, "resize"), "resize", &t->height, &t->width));
    SQZ_TRY(size_of(&p->doc, n = sqz_yaml_get(m, "crop"), "crop", &t->crop_height, &t->crop_width));
    if (t->crop_height && !t->crop_width)
        t->crop_width = t->crop_height;
    if (t->height && t->width && (t->crop_height > t->height || t->crop_width > t->width))
        return sqz_yaml_fail(&p->doc, n, "crop: larger than resize");
    SQZ_TRY(sqz_yaml_str(&p->doc, n = sqz_yaml_get(m, "fit"), &fit));
    t->cover = strcmp(fit, "cover") == 0;
    if (!t->cover && strcmp(fit, "stretch") != 0)
        return sqz_yaml_fail(&p->doc, n, "fit '%s': expected stretch or cover", fit);
    t->antialias = true;
    SQZ_TRY(sqz_yaml_bool(&p->doc, sqz_yaml_get(m, "antialias"), &t->antialias));
    SQZ_TRY(sqz_yaml_str(&p->doc, n = sqz_yaml_get(m, "channels"), &channels));
    if (!channels)
        return SQZ_OK;
    t->bgr = strcmp(channels, "bgr") == 0;
    t->channels = t->bgr || strcmp(channels, "rgb") == 0 ? 3 : strcmp(channels, "gray") == 0;
    return t->channels
               ? SQZ_OK
               : sqz_yaml_fail(&p->doc, n, "channels '%s': expected rgb, bgr or gray", channels);
}

static sqz_status transform(sqz_prepare_spec *p, const sqz_yaml *m)
{
    p->transform.divide = 1;
    if (!m)
        return SQZ_OK;
    SQZ_TRY(is_map(&p->doc, m, "transform"));
    SQZ_TRY(sqz_yaml_known(
        &p->doc, m,
        NAMES("resize", "fit", "antialias", "crop", "channels", "divide", "scale", "mean", "std")));
    SQZ_TRY(geometry(p, m));
    return scaling(p, m);
}

/* ---- splits ---- */
static sqz_status amount(const sqz_yaml_doc *d, const sqz_yaml *n, sqz_amount *out)
{
    const char *text = NULL;
    int64_t count = 0;
    SQZ_TRY(sqz_yaml_str(d, n, &text));
    if (!text)
        return SQZ_OK;
    out->node = n;
    out->share = strchr(text, '%') != NULL;
    if (out->share) {
        SQZ_TRY(sqz_yaml_quantity(d, n, SQZ_DIM_PERCENT, &out->value));
        return out->value >= 0 && out->value <= 1
                   ? SQZ_OK
                   : sqz_yaml_fail(d, n, "'%s': expected 0 %% to 100 %%", text);
    }
    SQZ_TRY(sqz_yaml_int(d, n, 0, INT32_MAX, &count));
    out->value = (double)count;
    return SQZ_OK;
}

static sqz_status splits(sqz_prepare_spec *p, const sqz_yaml *m)
{
    if (!m)
        return sqz_yaml_fail(
            &p->doc, p->doc.root,
            "no splits: say for example splits: {train: 80 %%, valid: 10 %%, test: "
            "10 %%, calib: 512}");
    SQZ_TRY(is_map(&p->doc, m, "splits"));
    SQZ_TRY(sqz_yaml_known(&p->doc, m, sqz_split_name, SQZ_N_SPLIT));
    for (int i = 0; i < SQZ_N_SPLIT; i++)
        SQZ_TRY(amount(&p->doc, sqz_yaml_get(m, sqz_split_name[i]), &p->split[i]));
    return SQZ_OK;
}

static sqz_status top(sqz_prepare_spec *p)
{
    const sqz_yaml *root = p->doc.root, *n;
    int64_t version = 0;
    SQZ_TRY(is_map(&p->doc, root, "data set"));
    SQZ_TRY(sqz_yaml_known(&p->doc, root,
                           NAMES("squeeze_data", "source", "test", "transform", "layout", "splits",
                                 "shuffle", "stratify", "seed", "store", "class_names")));
    if (!(n = sqz_yaml_get(root, "squeeze_data")))
        return sqz_yaml_fail(&p->doc, root, "the first line must be squeeze_data: 1");
    SQZ_TRY(sqz_yaml_int(&p->doc, n, 1, 1, &version));
    if (!sqz_yaml_get(root, "source"))
        return sqz_yaml_fail(&p->doc, root, "no source");
    SQZ_TRY(source(p, sqz_yaml_get(root, "source"), "source", &p->source));
    SQZ_TRY(source(p, sqz_yaml_get(root, "test"), "test", &p->test));
    SQZ_TRY(transform(p, sqz_yaml_get(root, "transform")));
    SQZ_TRY(layout_of(&p->doc, sqz_yaml_get(root, "layout"), &p->layout));
    SQZ_TRY(splits(p, sqz_yaml_get(root, "splits")));
    SQZ_TRY(sqz_yaml_bool(&p->doc, sqz_yaml_get(root, "shuffle"), &p->shuffle));
    SQZ_TRY(sqz_yaml_bool(&p->doc, sqz_yaml_get(root, "stratify"), &p->stratify));
    SQZ_TRY(sqz_yaml_int(&p->doc, sqz_yaml_get(root, "seed"), 0, INT64_MAX, &p->seed));
    SQZ_TRY(sqz_yaml_str(&p->doc, n = sqz_yaml_get(root, "store"), &p->store));
    if (strcmp(p->store, "auto") != 0 && strcmp(p->store, "u8") != 0 &&
        strcmp(p->store, "f32") != 0)
        return sqz_yaml_fail(&p->doc, n, "store '%s': expected auto, u8 or f32", p->store);
    return list_of_text(p, sqz_yaml_get(root, "class_names"), &p->class_names, &p->n_class_names);
}

sqz_status sqz_prepare_parse(sqz_arena *a, const char *path, sqz_prepare_spec *out)
{
    *out = (sqz_prepare_spec){.shuffle = true, .stratify = true, .store = "auto"};
    SQZ_TRY(sqz_yaml_load(a, path, &out->doc));
    return top(out);
}
