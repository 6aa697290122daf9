/* recipe.c: building a recipe from options and passes, and its text. Options are set and printed by
 * the schemas of calib and ptq: nothing here knows their names but what people ask for by flags. */
#include "quant/recipe.h"
#include <string.h>

/* ---- options by name ---- */

static const sqz_attr *option_of(const sqz_pass *p, const char *name)
{
    for (unsigned i = 0; i < p->info.n_opts; i++)
        if (strcmp(p->info.opts[i].name, name) == 0)
            return &p->info.opts[i];
    return NULL;
}

static sqz_status defaults(sqz_arena *a, const char *pass, void **out)
{
    const sqz_pass *p = sqz_pass_find(pass);
    if (!p)
        return sqz_fail(a->ctx, SQZ_E_INTERNAL, "there is no pass '%s'", pass);
    *out = sqz_arena_alloc(a, p->info.opt_size, 1);
    if (!*out)
        return SQZ_E_NOMEM;
    sqz_opts_default(&p->info, *out);
    return SQZ_OK;
}

sqz_status sqz_recipe_default(sqz_arena *a, sqz_recipe *out)
{
    *out = (sqz_recipe){.before = "", .between = "", .after = ""};
    SQZ_TRY(defaults(a, "calib", &out->calib));
    return defaults(a, "ptq", &out->ptq);
}

/* name="value" with quotes and backslashes escaped, as sqz_opts_parse reads it. */
static void add_quoted(sqz_str *s, const char *name, const char *value)
{
    sqz_str_addf(s, "%s=\"", name);
    for (; *value; value++)
        sqz_str_addf(s, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    sqz_str_add(s, "\"");
}

sqz_status sqz_recipe_set(sqz_arena *a, sqz_recipe *r, const char *pass, const char *option,
                          const char *value)
{
    bool calib = strcmp(pass, "calib") == 0;
    void *opts = calib ? r->calib : r->ptq;
    sqz_str text = {.ctx = a->ctx};
    if (!opts)
        return sqz_fail(a->ctx, SQZ_E_ARG, "the recipe has no pass '%s' to set '%s' of", pass,
                        option);
    add_quoted(&text, option, value);
    sqz_status s = text.status;
    if (s == SQZ_OK)
        s = sqz_opts_parse(a, &sqz_pass_find(pass)->info, text.data, opts);
    sqz_str_free(&text);
    return s;
}

const char *sqz_recipe_ptq_text(const sqz_recipe *r, const char *option)
{
    const sqz_attr *at = option_of(sqz_pass_find("ptq"), option);
    const char *text = at && at->type == SQZ_A_STRING ? *(char **)sqz_opt_field(at, r->ptq) : NULL;
    return text ? text : "";
}

int64_t sqz_recipe_ptq_int(const sqz_recipe *r, const char *option)
{
    const sqz_attr *at = option_of(sqz_pass_find("ptq"), option);
    bool whole = at && (at->type == SQZ_A_INT || at->type == SQZ_A_BOOL || at->type == SQZ_A_ENUM);
    return whole ? *(int64_t *)sqz_opt_field(at, r->ptq) : 0;
}

sqz_status sqz_recipe_copy(sqz_arena *a, const sqz_recipe *from, sqz_recipe *out)
{
    *out = *from;
    if (from->calib)
        SQZ_TRY(sqz_opts_copy(a, &sqz_pass_find("calib")->info, from->calib, &out->calib));
    return sqz_opts_copy(a, &sqz_pass_find("ptq")->info, from->ptq, &out->ptq);
}

/* ---- what people ask for ---- */

static bool among(const char *text, const char *list) /* list: "8|4|3" */
{
    size_t n = strlen(text);
    for (const char *p = list; *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == n && memcmp(p, text, n) == 0)
            return true;
    return false;
}

sqz_status sqz_recipe_weights(sqz_arena *a, sqz_recipe *r, const char *bits)
{
    if (strncmp(bits, "int", 3) == 0)
        bits += 3;
    if (!among(bits, "8|4|3|2|auto"))
        return sqz_fail(
            a->ctx, SQZ_E_ARG,
            "weights of '%s' bits; 8, 4, 3, 2 or auto is expected (a file of Keras with "
            "weights is given with --keras-weights)",
            bits);
    r->automatic = strcmp(bits, "auto") == 0;
    return r->automatic ? SQZ_OK : sqz_recipe_set(a, r, "ptq", "weights", bits);
}

sqz_status sqz_recipe_activations(sqz_arena *a, sqz_recipe *r, const char *bits)
{
    if (strncmp(bits, "int", 3) == 0)
        bits += 3;
    if (!among(bits, "8|16|4|float|dynamic"))
        return sqz_fail(a->ctx, SQZ_E_ARG,
                        "activations of '%s' bits; 8, 16, 4, float or dynamic is expected", bits);
    if (strcmp(bits, "dynamic") == 0)
        return sqz_recipe_set(a, r, "ptq", "dynamic", "1");
    return sqz_recipe_set(a, r, "ptq", "activations", strcmp(bits, "float") == 0 ? "0" : bits);
}

bool sqz_pass_is_method(const sqz_pass *p)
{
    return p->needs && !p->gives; /* canonical passes need nothing or give what others need */
}

static const char *joined(sqz_arena *a, const char *list, const char *item)
{
    return *list ? sqz_arena_printf(a, "%s,%s", list, item) : sqz_arena_strdup(a, item);
}

static sqz_status add_method(sqz_arena *a, sqz_recipe *r, const sqz_step *st)
{
    if (!sqz_pass_is_method(st->pass))
        return sqz_fail(a->ctx, SQZ_E_ARG,
                        "'%s' is no method of quantization (`squeeze list method` has them)",
                        st->pass->info.name);
    const char **list = st->pass->needs & SQZ_HAS_QUANT ? &r->after : &r->before;
    *list = joined(a, *list, st->text);
    return *list ? SQZ_OK : SQZ_E_NOMEM;
}

sqz_status sqz_recipe_methods(sqz_arena *a, sqz_recipe *r, const char *list)
{
    sqz_step *st;
    unsigned n;
    SQZ_TRY(sqz_recipe_read(a, list, &st, &n));
    for (unsigned i = 0; i < n; i++)
        SQZ_TRY(add_method(a, r, &st[i]));
    return SQZ_OK;
}

sqz_status sqz_recipe_exclude(sqz_arena *a, sqz_recipe *r, const char *nodes)
{
    const char *all = joined(a, sqz_recipe_ptq_text(r, "exclude"), nodes);
    return all ? sqz_recipe_set(a, r, "ptq", "exclude", all) : SQZ_E_NOMEM;
}

/* ---- text ---- */

sqz_status sqz_recipe_from_text(sqz_arena *a, const char *text, sqz_recipe *out)
{
    sqz_step *st;
    unsigned n;
    SQZ_TRY(sqz_recipe_read(a, text, &st, &n));
    *out = (sqz_recipe){.before = "", .between = "", .after = ""};
    for (unsigned i = 0; i < n; i++) {
        const char *name = st[i].pass->info.name;
        bool calib = strcmp(name, "calib") == 0, ptq = strcmp(name, "ptq") == 0;
        if ((calib && (out->calib || out->ptq)) || (ptq && out->ptq))
            return sqz_fail(a->ctx, SQZ_E_ARG, "recipe: a second '%s', or one after 'ptq'", name);
        const char **list = out->ptq ? &out->after : out->calib ? &out->between : &out->before;
        if (calib)
            out->calib = st[i].opts;
        else if (ptq)
            out->ptq = st[i].opts;
        else if (!(*list = joined(a, *list, st[i].text)))
            return SQZ_E_NOMEM;
    }
    return out->ptq ? SQZ_OK
                    : sqz_fail(a->ctx, SQZ_E_ARG,
                               "recipe: no pass makes integers: 'ptq' is missing in '%.60s'", text);
}

static void add_part(sqz_str *s, const char *text)
{
    if (*text)
        sqz_str_addf(s, "%s%s", s->len ? "," : "", text);
}

static void add_step(sqz_str *s, const char *pass, const void *opts)
{
    if (!opts)
        return;
    sqz_str_add(s, s->len ? "," : "");
    sqz_step_print(s, sqz_pass_find(pass), opts);
}

static char *take(sqz_arena *a, sqz_str *s)
{
    char *text = s->status == SQZ_OK ? sqz_arena_strdup(a, s->data ? s->data : "") : NULL;
    sqz_str_free(s);
    return text;
}

char *sqz_recipe_text(sqz_arena *a, const sqz_recipe *r)
{
    sqz_str s = {.ctx = a->ctx};
    add_part(&s, r->before);
    add_step(&s, "calib", r->calib);
    add_part(&s, r->between);
    add_step(&s, "ptq", r->ptq);
    add_part(&s, r->after);
    return take(a, &s);
}

/* Names of passes without their options. */
static void add_names(sqz_str *s, const char *list)
{
    int depth = 0;
    bool skip = false;
    sqz_str_add(s, *list ? " " : "");
    for (; *list; list++) {
        depth += (*list == '(') - (*list == ')');
        skip = depth > 0 || *list == ')';
        if (!skip)
            sqz_str_addn(s, *list == ',' ? " " : list, 1);
    }
}

char *sqz_recipe_title(sqz_arena *a, const sqz_recipe *r)
{
    sqz_str s = {.ctx = a->ctx};
    int64_t group = sqz_recipe_ptq_int(r, "group");
    const bool knows = option_of(sqz_pass_find("ptq"), "activations") != NULL;
    int64_t act = knows ? sqz_recipe_ptq_int(r, "activations") : 8;
    int64_t weights = sqz_recipe_ptq_int(r, "weights");
    bool dynamic = sqz_recipe_ptq_int(r, "dynamic") != 0;
    if (weights == 8 && act == 8 && !dynamic)
        sqz_str_add(&s, "int8");
    else
        sqz_str_addf(&s, "w%lld", (long long)weights);
    if (dynamic)
        sqz_str_add(&s, " dynamic");
    else if (act == 0)
        sqz_str_add(&s, " a-float");
    else if (weights != 8 || act != 8)
        sqz_str_addf(&s, " a%lld", (long long)act);
    if (*sqz_recipe_ptq_text(r, "bits"))
        sqz_str_add(&s, " mixed");
    if (group > 0)
        sqz_str_addf(&s, " g%lld", (long long)group);
    if (sqz_recipe_ptq_int(r, "per_tensor"))
        sqz_str_add(&s, " per-tensor");
    if (sqz_recipe_ptq_int(r, "pow2"))
        sqz_str_add(&s, " pow2");
    if (r->calib) {
        const sqz_attr *at = option_of(sqz_pass_find("calib"), "method");
        const char *rule = at ? *(char **)sqz_opt_field(at, r->calib) : NULL;
        sqz_str_addf(&s, " %s", rule ? rule : "");
    }
    add_names(&s, r->before);
    add_names(&s, r->after);
    return take(a, &s);
}
