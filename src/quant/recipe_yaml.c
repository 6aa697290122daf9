/* recipe_yaml.c: recipes as YAML for people, read as strictly as device files; and those that ship.
 * docs/recipes.md documents every key. */
#include "base/yaml.h"
#include "quant/recipe.h"
#include <string.h>

/* ---- the recipes that ship ---- */
#define SQZ_RECIPE(id, name)                                                                       \
    extern const unsigned char sqz_embed_recipe_##id[];                                            \
    extern const size_t sqz_embed_recipe_##id##_size;
#include "sqz_recipe_list.inc"
#undef SQZ_RECIPE
static const struct {
    const unsigned char *text;
    const size_t *bytes;
} shipped[] = {
#define SQZ_RECIPE(id, name) {sqz_embed_recipe_##id, &sqz_embed_recipe_##id##_size},
#include "sqz_recipe_list.inc"
#undef SQZ_RECIPE
};
const char *const sqz_recipe_names[] = {
#define SQZ_RECIPE(id, name) name,
#include "sqz_recipe_list.inc"
#undef SQZ_RECIPE
};
const size_t sqz_n_recipes = SQZ_COUNT(sqz_recipe_names);

/* ---- keys ---- */
typedef sqz_status (*reader)(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n, sqz_recipe *r);

/* What the library says of a value, with its place in the file. */
static sqz_status at_place(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n, sqz_status s)
{
    if (s == SQZ_OK || s == SQZ_E_NOMEM)
        return s;
    const char *said = sqz_arena_strdup(a, sqz_last_error(a->ctx));
    return said ? sqz_yaml_fail(d, n, "%s", said) : SQZ_E_NOMEM;
}

static sqz_status scalar(const sqz_yaml_doc *d, const sqz_yaml *n, const char **out)
{
    *out = "";
    return sqz_yaml_str(d, n, out);
}

static sqz_status read_weights(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n,
                               sqz_recipe *r)
{
    const char *text;
    SQZ_TRY(scalar(d, n, &text));
    return at_place(a, d, n, sqz_recipe_weights(a, r, text));
}

static sqz_status read_activations(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n,
                                   sqz_recipe *r)
{
    const char *text;
    SQZ_TRY(scalar(d, n, &text));
    return at_place(a, d, n, sqz_recipe_activations(a, r, text));
}

/* A scalar, or a list of them, joined by commas. */
static sqz_status read_names(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n, char **out)
{
    const char *text;
    *out = "";
    if (n->kind == SQZ_YAML_SCALAR) {
        SQZ_TRY(scalar(d, n, &text));
        *out = sqz_arena_strdup(a, text);
        return *out ? SQZ_OK : SQZ_E_NOMEM;
    }
    if (n->kind != SQZ_YAML_LIST)
        return sqz_yaml_fail(d, n, "'%s' must be a list of names", n->key);
    for (const sqz_yaml *i = n->child; i; i = i->next) {
        SQZ_TRY(scalar(d, i, &text));
        *out = sqz_arena_printf(a, "%s%s%s", *out, **out ? "," : "", text);
        if (!*out)
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

static sqz_status read_exclude(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n,
                               sqz_recipe *r)
{
    char *names;
    SQZ_TRY(read_names(a, d, n, &names));
    return at_place(a, d, n, sqz_recipe_set(a, r, "ptq", "exclude", names));
}

/* {conv1: 8, "fc.*": 4} -> "conv1:8,fc.*:4" */
static sqz_status read_bits(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n, sqz_recipe *r)
{
    char *all = "";
    if (n->kind != SQZ_YAML_MAP)
        return sqz_yaml_fail(d, n, "'bits' must be a map of nodes to bits, such as {conv1: 8}");
    for (const sqz_yaml *i = n->child; i && all; i = i->next) {
        int64_t bits = 8;
        SQZ_TRY(sqz_yaml_int(d, i, 2, 8, &bits));
        all = sqz_arena_printf(a, "%s%s%s:%d", all, *all ? "," : "", i->key, (int)bits);
    }
    return all ? at_place(a, d, n, sqz_recipe_set(a, r, "ptq", "bits", all)) : SQZ_E_NOMEM;
}

/* - cle   or   - gptq: {damp: 0.01, order: true} */
static sqz_status read_method(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n, sqz_recipe *r)
{
    const char *text;
    if (n->kind == SQZ_YAML_SCALAR) {
        SQZ_TRY(scalar(d, n, &text));
        return at_place(a, d, n, sqz_recipe_methods(a, r, text));
    }
    const sqz_yaml *one = n->kind == SQZ_YAML_MAP ? n->child : NULL;
    if (!one || one->next || one->kind != SQZ_YAML_MAP)
        return sqz_yaml_fail(d, n, "a method is a name, or a name with a map of options");
    char *all = sqz_arena_printf(a, "%s(", one->key);
    for (const sqz_yaml *i = one->child; i && all; i = i->next) {
        SQZ_TRY(scalar(d, i, &text));
        if (strpbrk(text, "\"\\"))
            return sqz_yaml_fail(d, i, "quotes and backslashes have no place in an option");
        all = sqz_arena_printf(a, "%s%s%s=\"%s\"", all, i == one->child ? "" : " ", i->key, text);
    }
    all = all ? sqz_arena_printf(a, "%s)", all) : NULL;
    return all ? at_place(a, d, one, sqz_recipe_methods(a, r, all)) : SQZ_E_NOMEM;
}

static sqz_status read_methods(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n,
                               sqz_recipe *r)
{
    if (n->kind == SQZ_YAML_SCALAR)
        return read_method(a, d, n, r);
    if (n->kind != SQZ_YAML_LIST)
        return sqz_yaml_fail(d, n, "'methods' must be a list");
    for (const sqz_yaml *i = n->child; i; i = i->next)
        SQZ_TRY(read_method(a, d, i, r));
    return SQZ_OK;
}

static sqz_status read_max_drop(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n,
                                sqz_recipe *r)
{
    double v;
    SQZ_TRY(scalar(d, n, &r->max_drop));
    SQZ_TRY(
        sqz_yaml_quantity(d, n, strchr(r->max_drop, '%') ? SQZ_DIM_PERCENT : SQZ_DIM_POINTS, &v));
    r->max_drop = sqz_arena_strdup(a, r->max_drop);
    return r->max_drop ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status read_name(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n, sqz_recipe *r)
{
    (void)a;
    return sqz_yaml_str(d, n, strcmp(n->key, "doc") == 0 ? &r->doc : &r->name);
}

static const struct key {
    const char *name;
    const char *pass, *option; /* an option that is set as it stands; NULL: by `read` */
    reader read;
} keys[] = {
    {"squeeze_recipe", NULL, NULL, NULL}, /* looked at first of all */
    {"name", NULL, NULL, read_name},
    {"doc", NULL, NULL, read_name},
    {"passes", NULL, NULL, NULL}, /* in place of all that follow, but max_drop */
    {"weights", NULL, NULL, read_weights},
    {"activations", NULL, NULL, read_activations},
    {"group", "ptq", "group", NULL},
    {"per_tensor", "ptq", "per_tensor", NULL},
    {"pow2", "ptq", "pow2", NULL},
    {"symmetric", "ptq", "symmetric", NULL},
    {"ranges", "ptq", "ranges", NULL},
    {"edges", "ptq", "edges", NULL},
    {"bits", NULL, NULL, read_bits},
    {"exclude", NULL, NULL, read_exclude},
    {"calibrator", "calib", "method", NULL},
    {"samples", "calib", "samples", NULL},
    {"methods", NULL, NULL, read_methods},
    {"max_drop", NULL, NULL, read_max_drop},
};

static sqz_status read_key(sqz_arena *a, const sqz_yaml_doc *d, const struct key *k,
                           const sqz_yaml *n, sqz_recipe *r)
{
    const char *text;
    if (k->read)
        return k->read(a, d, n, r);
    if (!k->pass)
        return SQZ_OK;
    SQZ_TRY(scalar(d, n, &text));
    return at_place(a, d, n, sqz_recipe_set(a, r, k->pass, k->option, text));
}

/* `passes` says all: what else would say it differently is refused. */
static sqz_status read_passes(sqz_arena *a, const sqz_yaml_doc *d, const sqz_yaml *n,
                              const sqz_yaml *root, sqz_recipe *r)
{
    static const char *const beside[] = {"squeeze_recipe", "name", "doc", "passes", "max_drop"};
    const char *text;
    for (const sqz_yaml *i = root->child; i; i = i->next) {
        bool fine = false;
        for (size_t k = 0; k < SQZ_COUNT(beside); k++)
            fine = fine || strcmp(i->key, beside[k]) == 0;
        if (!fine)
            return sqz_yaml_fail(d, i, "'%s' has no place beside 'passes', which says it all",
                                 i->key);
    }
    SQZ_TRY(scalar(d, n, &text));
    return at_place(a, d, n, sqz_recipe_from_text(a, text, r));
}

static sqz_status read_root(sqz_arena *a, const sqz_yaml_doc *d, sqz_recipe *r)
{
    const char *names[SQZ_COUNT(keys)];
    int64_t version = 0;
    if (d->root->kind != SQZ_YAML_MAP)
        return sqz_yaml_fail(d, d->root, "a recipe is a map of keys");
    const sqz_yaml *v = sqz_yaml_get(d->root, "squeeze_recipe");
    if (!v)
        return sqz_yaml_fail(d, d->root, "'squeeze_recipe: 1' is missing: is this a recipe?");
    SQZ_TRY(sqz_yaml_int(d, v, 1, 1, &version));
    for (size_t i = 0; i < SQZ_COUNT(keys); i++)
        names[i] = keys[i].name;
    SQZ_TRY(sqz_yaml_known(d, d->root, names, SQZ_COUNT(names)));
    const sqz_yaml *passes = sqz_yaml_get(d->root, "passes");
    if (passes)
        SQZ_TRY(read_passes(a, d, passes, d->root, r));
    for (size_t i = 0; i < SQZ_COUNT(keys); i++) {
        const sqz_yaml *n = sqz_yaml_get(d->root, keys[i].name);
        if (n)
            SQZ_TRY(read_key(a, d, &keys[i], n, r));
    }
    return SQZ_OK;
}

sqz_status sqz_recipe_from_yaml(sqz_arena *a, const char *name, const char *text, size_t bytes,
                                sqz_recipe *out)
{
    sqz_yaml_doc d;
    SQZ_TRY(sqz_recipe_default(a, out));
    SQZ_TRY(sqz_yaml_parse(a, name, text, bytes, &d));
    return read_root(a, &d, out);
}

/* ---- by name, file or text ---- */

static bool is_path(const char *name)
{
    size_t n = strlen(name), text = strcspn(name, "(,");
    return text == n && (strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".yaml") == 0) ||
                         (n > 4 && strcmp(name + n - 4, ".yml") == 0));
}

static sqz_status load_file(sqz_arena *a, const char *path, sqz_recipe *out)
{
    sqz_yaml_doc d;
    SQZ_TRY(sqz_recipe_default(a, out));
    SQZ_TRY(sqz_yaml_load(a, path, &d));
    return read_root(a, &d, out);
}

sqz_status sqz_recipe_load(sqz_arena *a, const char *what, sqz_recipe *out)
{
    for (size_t i = 0; i < sqz_n_recipes; i++)
        if (strcmp(sqz_recipe_names[i], what) == 0)
            return sqz_recipe_from_yaml(a, what, (const char *)shipped[i].text, *shipped[i].bytes,
                                        out);
    if (is_path(what))
        return load_file(a, what, out);
    bool text = strpbrk(what, "(,") || sqz_pass_find(what);
    if (text)
        return sqz_recipe_from_text(a, what, out);
    const char *near = sqz_nearest(what, sqz_recipe_names, sqz_n_recipes, sizeof *sqz_recipe_names);
    return sqz_fail(
        a->ctx, SQZ_E_NOTFOUND,
        "no recipe is called '%s'%s%s%s; give a name that `squeeze list recipe` shows, a "
        "file.yaml, or passes such as \"calib,ptq\"",
        what, near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
}
