/* text_parse.c: a graph from text, strictly, line by line. docs/ir.md has the grammar. The text may
 * be anything: nothing recurses, and no allocation is larger than the text pays for. */
#include "ir/names.h"
#include "ir/text.h"
#include <math.h>
#include <string.h>

#define MAX_LIST UINT8_MAX /* inputs or outputs of a node */

typedef struct reader {
    sqz_ctx *ctx;
    sqz_graph *g;
    const char *p; /* next character */
    unsigned line;
    sqz_arena temp; /* names and lists of the line being read */
    struct twin {   /* resolved at the end: a twin may stand later */
        sqz_vid value;
        const char *name;
        unsigned line;
        struct twin *next;
    } * twin;
    sqz_arena twins;
} reader;

typedef struct described { /* a value as a line describes it */
    const char *name;      /* NULL: "_" */
    bool typed, last, was_u8;
    sqz_dtype dtype;
    sqz_shape shape;
    const char *twin;
    const sqz_range *range;
    sqz_normal normal; /* n 0: none */
    sqz_quant quant;
    bool has_quant;
} described;

/* Fails with the sentence, the line in front. */
#define wrong(r, ...)                                                                              \
    sqz_note((r)->ctx, sqz_fail((r)->ctx, SQZ_E_FORMAT, __VA_ARGS__), "graph text, line %u",       \
             (r)->line)

/* ---- words ---- */

static void skip(reader *r) { r->p += strspn(r->p, " \t\r"); }

static bool at_end(reader *r)
{
    skip(r);
    return *r->p == '\0' || *r->p == '\n' || *r->p == '#';
}

static bool take(reader *r, char c)
{
    skip(r);
    if (*r->p != c)
        return false;
    r->p++;
    return true;
}

static sqz_status expect(reader *r, char c)
{
    return take(r, c) ? SQZ_OK : wrong(r, "'%c' is expected at '%.20s'", c, r->p);
}

static size_t plain_length(const char *p)
{
    size_t n = 0;
    while (sqz_text_plain(p[n]))
        n++;
    return n;
}

/* Takes `word` when it stands next and ends there. */
static bool take_word(reader *r, const char *word)
{
    skip(r);
    size_t n = strlen(word);
    if (plain_length(r->p) != n || strncmp(r->p, word, n) != 0 || r->p[n] == '=')
        return false;
    r->p += n;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static sqz_status take_quoted(reader *r, const char **out)
{
    const char *end = ++r->p;
    while (*end && *end != '"' && *end != '\n')
        end += *end == '\\' && end[1] && end[1] != '\n' ? 2 : 1;
    if (*end != '"')
        return wrong(r, "a quote is not closed");
    char *text = sqz_arena_alloc(&r->temp, (size_t)(end - r->p) + 1, 1);
    if (!text)
        return SQZ_E_NOMEM;
    size_t n = 0;
    for (const char *p = r->p; p < end; p++) {
        if (*p == '\\' && *++p == 'x') {
            int hi = p + 2 < end ? hex_digit(p[1]) : -1, lo = hi < 0 ? -1 : hex_digit(p[2]);
            if (lo < 0 || hi * 16 + lo == 0)
                return wrong(r, "'\\x' needs two hexadecimal digits, not 00");
            text[n++] = (char)(hi * 16 + lo);
            p += 2;
        } else {
            text[n++] = *p;
        }
    }
    r->p = end + 1;
    *out = text;
    return SQZ_OK;
}

/* A name, quoted or plain; "_" without quotes is NULL. */
static sqz_status take_name(reader *r, const char **out)
{
    skip(r);
    *out = NULL;
    if (*r->p == '"')
        return take_quoted(r, out);
    size_t n = plain_length(r->p);
    if (!n)
        return wrong(r, "a name is expected at '%.20s'", r->p);
    const char *word = r->p;
    r->p += n;
    if (n == 1 && *word == '_')
        return SQZ_OK;
    *out = sqz_arena_strndup(&r->temp, word, n);
    return *out ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status take_int(reader *r, int64_t *out)
{
    const char *end;
    skip(r);
    if (!sqz_parse_i64(r->p, &end, out))
        return wrong(r, "an integer is expected at '%.20s'", r->p);
    r->p = end;
    return SQZ_OK;
}

static sqz_status take_f64(reader *r, double *out)
{
    static const struct {
        const char *word;
        double value;
    } special[] = {{"nan", NAN}, {"-inf", -INFINITY}, {"inf", INFINITY}};
    const char *end;
    skip(r);
    for (size_t i = 0; i < SQZ_COUNT(special); i++)
        if (take_word(r, special[i].word)) {
            *out = special[i].value;
            return SQZ_OK;
        }
    if (!sqz_parse_f64(r->p, &end, out))
        return wrong(r, "a number is expected at '%.20s'", r->p);
    r->p = end;
    return SQZ_OK;
}

/* ---- values ---- */

static sqz_status take_type(reader *r, described *d)
{
    const char *name;
    SQZ_TRY(take_name(r, &name));
    d->dtype = sqz_dtype_find(name ? name : "");
    if (d->dtype == SQZ_N_DTYPE)
        return wrong(r, "'%s' is no type", name ? name : "_");
    d->typed = true;
    if (take_word(r, "scalar"))
        return SQZ_OK;
    skip(r);
    do {
        if (d->shape.rank == SQZ_MAX_RANK)
            return wrong(r, "a shape has more than %d dimensions", SQZ_MAX_RANK);
        SQZ_TRY(take_int(r, &d->shape.dim[d->shape.rank++]));
    } while (*r->p == 'x' && r->p++);
    return SQZ_OK;
}

/* "key=" and a number. */
static sqz_status take_key(reader *r, const char *key, int64_t *out)
{
    skip(r);
    if (strncmp(r->p, key, strlen(key)) != 0)
        return wrong(r, "'%s' is expected at '%.20s'", key, r->p);
    r->p += strlen(key);
    return take_int(r, out);
}

static sqz_status take_quant(reader *r, described *d)
{
    const char *type;
    int64_t axis = 0, group = 0, bits = 0, zero;
    double scale;
    SQZ_TRY(take_name(r, &type));
    if (d->has_quant)
        return wrong(r, "a second grid");
    d->quant.dtype = sqz_dtype_find(type ? type : "");
    if (d->quant.dtype == SQZ_N_DTYPE)
        return wrong(r, "'%s' is no type", type ? type : "_");
    skip(r);
    if (*r->p == 'b')
        SQZ_TRY(take_key(r, "bits=", &bits));
    SQZ_TRY(take_key(r, "axis=", &axis));
    SQZ_TRY(take_key(r, "group=", &group));
    if (bits < 0 || bits >= (int64_t)sqz_dtype_bits(d->quant.dtype))
        return wrong(r, "a grid of %s cannot have %lld bits", type, (long long)bits);
    SQZ_TRY(expect(r, '['));
    size_t room = strcspn(r->p, "]\n") / 4 + 1; /* "1@0 " */
    float *s = sqz_arena_alloc(&r->temp, room, sizeof *s);
    int32_t *z = sqz_arena_alloc(&r->temp, room, sizeof *z);
    if (!s || !z)
        return SQZ_E_NOMEM;
    while (!take(r, ']')) {
        SQZ_TRY(take_f64(r, &scale));
        SQZ_TRY(expect(r, '@'));
        SQZ_TRY(take_int(r, &zero));
        if (d->quant.n == room || zero < INT32_MIN || zero > INT32_MAX)
            return wrong(r, "the grid is malformed");
        s[d->quant.n] = (float)scale;
        z[d->quant.n++] = (int32_t)zero;
    }
    if (axis < -1 || axis >= SQZ_MAX_RANK || group < 0 || group > INT32_MAX)
        return wrong(r, "the grid's axis or group is out of range");
    d->quant.bits = (uint8_t)bits;
    d->quant.axis = (int32_t)axis;
    d->quant.group = (int32_t)group;
    d->quant.scale = s;
    d->quant.zero = z;
    d->has_quant = true;
    return SQZ_OK;
}

static sqz_status take_range(reader *r, described *d)
{
    double lo, hi;
    SQZ_TRY(expect(r, '['));
    SQZ_TRY(take_f64(r, &lo));
    SQZ_TRY(take_f64(r, &hi));
    SQZ_TRY(expect(r, ']'));
    sqz_range *range = sqz_arena_alloc(&r->g->arena, 1, sizeof *range);
    if (!range)
        return SQZ_E_NOMEM;
    *range = (sqz_range){(float)lo, (float)hi};
    d->range = range;
    return SQZ_OK;
}

static sqz_status take_normal(reader *r, described *d)
{
    double m, s;
    if (d->normal.n)
        return wrong(r, "a second list of means");
    SQZ_TRY(expect(r, '['));
    const size_t room = strcspn(r->p, "]\n") / 4 + 1; /* "1@0 " */
    float *mean = sqz_arena_alloc(&r->temp, room, sizeof *mean);
    float *sd = sqz_arena_alloc(&r->temp, room, sizeof *sd);
    if (!mean || !sd)
        return SQZ_E_NOMEM;
    uint32_t n = 0;
    for (; !take(r, ']'); n++) {
        SQZ_TRY(take_f64(r, &m));
        SQZ_TRY(expect(r, '@'));
        SQZ_TRY(take_f64(r, &s));
        if (n == room)
            return wrong(r, "the list of means is malformed");
        mean[n] = (float)m;
        sd[n] = (float)s;
    }
    d->normal = (sqz_normal){n, mean, sd};
    return n ? SQZ_OK : wrong(r, "the list of means is empty");
}

/* name [ type shape { last | was_u8 | twin name | range [lo hi] | normal [...] | quant ... } ] */
static sqz_status take_value(reader *r, described *d)
{
    *d = (described){.dtype = SQZ_F32};
    SQZ_TRY(take_name(r, &d->name));
    skip(r);
    if (d->name && sqz_graph_find(r->g, d->name) != SQZ_NONE)
        return wrong(r, "value '%s' is defined twice", d->name);
    if (!sqz_text_plain(*r->p))
        return SQZ_OK;
    SQZ_TRY(take_type(r, d));
    for (;;) {
        if (take_word(r, "last"))
            d->last = true;
        else if (take_word(r, "was_u8"))
            d->was_u8 = true;
        else if (take_word(r, "twin"))
            SQZ_TRY(take_name(r, &d->twin));
        else if (take_word(r, "range"))
            SQZ_TRY(take_range(r, d));
        else if (take_word(r, "normal"))
            SQZ_TRY(take_normal(r, d));
        else if (take_word(r, "quant"))
            SQZ_TRY(take_quant(r, d));
        else
            return SQZ_OK;
    }
}

static sqz_status dress(reader *r, sqz_vid v, const described *d)
{
    sqz_value *val = sqz_val(r->g, v);
    if (d->typed)
        val->channel_last = d->last;
    val->range = d->range;
    val->was_u8 = d->was_u8;
    if (d->normal.n)
        SQZ_TRY(sqz_note(r->ctx,
                         sqz_value_set_normal(r->g, v, d->normal.n, d->normal.mean, d->normal.sd),
                         "graph text, line %u", r->line));
    if (d->has_quant)
        SQZ_TRY(sqz_value_set_grid(r->g, v, &d->quant));
    if (d->twin) {
        struct twin *t = sqz_arena_alloc(&r->twins, 1, sizeof *t);
        const char *name = sqz_arena_strdup(&r->twins, d->twin);
        if (!t || !name)
            return SQZ_E_NOMEM;
        *t = (struct twin){v, name, r->line, r->twin};
        r->twin = t;
    }
    return SQZ_OK;
}

static sqz_status resolve_twins(reader *r)
{
    for (const struct twin *t = r->twin; t; t = t->next) {
        r->line = t->line;
        sqz_vid v = sqz_graph_find(r->g, t->name);
        if (v == SQZ_NONE)
            return wrong(r, "twin '%s' is not defined", t->name);
        sqz_val(r->g, t->value)->twin = v;
    }
    return SQZ_OK;
}

/* ---- lines ---- */

static sqz_status graph_line(reader *r)
{
    sqz_graph *g = r->g;
    const char *text = "";
    skip(r);
    if (*r->p != '"')
        return wrong(r, "the graph's name in quotes is expected");
    SQZ_TRY(take_quoted(r, &text));
    if (*text && !(g->name = sqz_arena_strdup(&g->arena, text)))
        return SQZ_E_NOMEM;
    while (!at_end(r)) {
        bool known = true;
        if (take_word(r, "producer")) {
            SQZ_TRY(take_name(r, &text));
            if (!(g->producer = sqz_arena_strdup(&g->arena, text ? text : "")))
                return SQZ_E_NOMEM;
        } else if (take_word(r, "opset")) {
            SQZ_TRY(take_int(r, &g->opset));
        } else if (take_word(r, "batch_free")) {
            g->batch_free = true;
        } else if (take_word(r, "batch")) {
            SQZ_TRY(take_name(r, &text));
            if (!(g->batch_name = sqz_arena_strdup(&g->arena, text ? text : "")))
                return SQZ_E_NOMEM;
        } else {
            known = false;
            for (size_t i = 0; !known && i < SQZ_COUNT(sqz_have_names); i++)
                if (take_word(r, sqz_have_names[i].name)) {
                    g->have |= sqz_have_names[i].bit;
                    known = true;
                }
        }
        if (!known)
            return wrong(r, "'%.20s' is not known here", r->p);
    }
    return SQZ_OK;
}

static sqz_status meta_line(reader *r)
{
    const char *key, *value;
    SQZ_TRY(take_name(r, &key));
    SQZ_TRY(take_name(r, &value));
    if (!key || !value)
        return wrong(r, "a key and a value are expected");
    return sqz_graph_add_meta(r->g, key, value);
}

static sqz_status input_line(reader *r)
{
    described d;
    sqz_vid v;
    SQZ_TRY(take_value(r, &d));
    if (!d.name || !d.typed)
        return wrong(r, "an input needs a name, a type and a shape");
    SQZ_TRY(sqz_note(r->ctx, sqz_graph_input(r->g, d.name, d.dtype, &d.shape, &v),
                     "graph text, line %u", r->line));
    return dress(r, v, &d);
}

static sqz_status take_u64(reader *r, uint64_t *out)
{
    skip(r);
    *out = 0;
    if (*r->p < '0' || *r->p > '9')
        return wrong(r, "a number is expected at '%.20s'", r->p);
    for (; *r->p >= '0' && *r->p <= '9'; r->p++)
        if (__builtin_mul_overflow(*out, (uint64_t)10, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*r->p - '0'), out))
            return wrong(r, "a number is too large");
    return SQZ_OK;
}

static sqz_status take_numbers(reader *r, sqz_tensor *t)
{
    for (size_t i = 0; i < t->count; i++) {
        double f = 0;
        int64_t n = 0;
        if (at_end(r))
            return wrong(r, "%zu numbers are expected, there are %zu", t->count, i);
        if (t->dtype == SQZ_U64) {
            SQZ_TRY(take_u64(r, &((uint64_t *)t->data)[i]));
        } else if (sqz_dtype_is_float(t->dtype)) {
            SQZ_TRY(take_f64(r, &f));
            sqz_tensor_set_f64(t, i, f);
        } else {
            SQZ_TRY(take_int(r, &n));
            sqz_tensor_set_i64(t, i, n);
            if (sqz_tensor_i64(t, i) != n)
                return wrong(r, "%lld does not fit %s", (long long)n, sqz_dtype_name(t->dtype));
        }
    }
    return at_end(r) ? SQZ_OK : wrong(r, "more than %zu numbers", t->count);
}

static sqz_status const_line(reader *r)
{
    described d;
    sqz_vid v;
    sqz_tensor t;
    size_t count;
    SQZ_TRY(take_value(r, &d));
    if (!d.name || !d.typed)
        return wrong(r, "a constant needs a name, a type and a shape");
    SQZ_TRY(expect(r, '='));
    skip(r);
    if (strncmp(r->p, "sha256:", 7) == 0)
        return wrong(r, "the numbers of '%s' were left out when this was printed", d.name);
    SQZ_TRY(sqz_note(r->ctx, sqz_shape_count(r->ctx, &d.shape, d.dtype, &count, NULL),
                     "graph text, line %u", r->line));
    if (count > strcspn(r->p, "\n") + 1) /* a number takes a character at least */
        return wrong(r, "%zu numbers are expected, the line is too short for them", count);
    SQZ_TRY(sqz_tensor_alloc(r->ctx, d.dtype, &d.shape, &t));
    sqz_status s = take_numbers(r, &t);
    if (s != SQZ_OK) {
        sqz_tensor_free(r->ctx, &t);
        return s;
    }
    SQZ_TRY(sqz_graph_constant(r->g, d.name, &t, &v));
    return dress(r, v, &d);
}

static sqz_status take_used(reader *r, sqz_vid *out)
{
    const char *name;
    SQZ_TRY(take_name(r, &name));
    *out = name ? sqz_graph_find(r->g, name) : SQZ_NONE;
    if (name && *out == SQZ_NONE)
        return wrong(r, "value '%s' is not defined yet", name);
    return SQZ_OK;
}

static sqz_status output_line(reader *r)
{
    uint32_t n = 0, room = 1;
    for (const char *p = r->p; *p && *p != '\n'; p++)
        room += *p == ',';
    sqz_vid *v = sqz_arena_alloc(&r->temp, room, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    while (!at_end(r) && n < room) {
        SQZ_TRY(take_used(r, &v[n]));
        if (v[n++] == SQZ_NONE)
            return wrong(r, "an output needs a name");
        if (!take(r, ','))
            break;
    }
    return sqz_graph_set_outputs(r->g, v, n);
}

/* Attributes are the rest of the line. */
static sqz_status take_attrs(reader *r, const sqz_op *op, void **out)
{
    skip(r);
    size_t n = strcspn(r->p, "\n");
    char *text = sqz_arena_strndup(&r->temp, r->p, n);
    *out = op->info.opt_size ? sqz_arena_alloc(&r->temp, 1, op->info.opt_size) : NULL;
    if (!text || (op->info.opt_size && !*out))
        return SQZ_E_NOMEM;
    r->p += n;
    if (op->info.opt_size)
        sqz_opts_default(&op->info, *out);
    return sqz_note(r->ctx, sqz_opts_parse(&r->temp, &op->info, text, *out), "graph text, line %u",
                    r->line);
}

static sqz_status check_made(reader *r, sqz_vid v, const described *d)
{
    const sqz_value *val = sqz_val(r->g, v);
    if (!d->typed || (val->dtype == d->dtype && sqz_shape_eq(&val->shape, &d->shape)))
        return SQZ_OK;
    char have[160], want[160];
    sqz_shape_print(have, &d->shape);
    sqz_shape_print(want, &val->shape);
    return wrong(r, "'%s' is written as %s %s, inference says %s %s", val->name,
                 sqz_dtype_name(d->dtype), have, sqz_dtype_name(val->dtype), want);
}

typedef struct call { /* right side of a node line */
    const sqz_op *op;
    sqz_vid in[MAX_LIST];
    unsigned n_in;
    const char *name;
    bool layout;
    void *attrs;
} call;

/* op(a, b, _) [@name] [layout] attributes */
static sqz_status take_call(reader *r, call *c)
{
    const char *op;
    SQZ_TRY(take_name(r, &op));
    c->op = sqz_op_find(op ? op : "");
    if (!c->op)
        return wrong(r, "no operator is called '%s'", op ? op : "_");
    SQZ_TRY(expect(r, '('));
    while (!take(r, ')')) {
        if (c->n_in && !take(r, ','))
            return wrong(r, "',' or ')' is expected at '%.20s'", r->p);
        if (c->n_in == MAX_LIST)
            return wrong(r, "more than %d inputs", MAX_LIST);
        SQZ_TRY(take_used(r, &c->in[c->n_in++]));
    }
    if (take(r, '@'))
        SQZ_TRY(take_name(r, &c->name));
    if (c->name && sqz_names_get(r->g->node_names, c->name) != SQZ_NONE)
        return wrong(r, "node '%s' is defined twice", c->name);
    c->layout = take_word(r, "layout");
    return take_attrs(r, c->op, &c->attrs);
}

static sqz_status node_line(reader *r)
{
    described *d = sqz_arena_alloc(&r->temp, MAX_LIST, sizeof *d);
    const char **name = sqz_arena_alloc(&r->temp, MAX_LIST, sizeof *name);
    sqz_vid *out = sqz_arena_alloc(&r->temp, MAX_LIST, sizeof *out);
    call *c = sqz_arena_alloc(&r->temp, 1, sizeof *c);
    unsigned n = 0;
    if (!d || !name || !out || !c)
        return SQZ_E_NOMEM;
    do {
        if (n == MAX_LIST)
            return wrong(r, "more than %d outputs", MAX_LIST);
        SQZ_TRY(take_value(r, &d[n]));
        for (unsigned i = 0; i < n; i++)
            if (d[n].name && d[i].name && strcmp(d[i].name, d[n].name) == 0)
                return wrong(r, "value '%s' is defined twice", d[n].name);
        name[n] = d[n].name;
        n++;
    } while (take(r, ','));
    SQZ_TRY(expect(r, '='));
    SQZ_TRY(take_call(r, c));
    SQZ_TRY(sqz_note(
        r->ctx,
        sqz_graph_node(r->g, c->op, c->name, c->attrs, c->in, c->n_in, name, n, SQZ_NONE, out),
        "graph text, line %u", r->line));
    sqz_nod(r->g, sqz_val(r->g, out[0])->producer)->layout = c->layout;
    for (unsigned i = 0; i < n; i++) {
        SQZ_TRY(check_made(r, out[i], &d[i]));
        SQZ_TRY(dress(r, out[i], &d[i]));
    }
    return SQZ_OK;
}

static sqz_status one_line(reader *r)
{
    sqz_status s;
    if (at_end(r))
        return SQZ_OK;
    if (take_word(r, "graph"))
        s = graph_line(r);
    else if (take_word(r, "meta"))
        s = meta_line(r);
    else if (take_word(r, "input"))
        s = input_line(r);
    else if (take_word(r, "const"))
        s = const_line(r);
    else if (take_word(r, "output"))
        s = output_line(r);
    else
        s = node_line(r);
    if (s == SQZ_OK && !at_end(r))
        s = wrong(r, "'%.20s' is left over", r->p);
    return s;
}

static sqz_status parse(reader *r)
{
    for (;; r->line++) {
        sqz_status s = one_line(r);
        sqz_arena_free(&r->temp);
        SQZ_TRY(s);
        r->p += strcspn(r->p, "\n"); /* a comment */
        if (*r->p++ == '\0')
            break;
    }
    SQZ_TRY(resolve_twins(r));
    return sqz_note(r->ctx, sqz_graph_verify(r->g), "graph text");
}

sqz_status sqz_graph_parse(sqz_ctx *ctx, const char *text, sqz_graph **out)
{
    reader r = {.ctx = ctx, .p = text, .line = 1, .temp = {.ctx = ctx}, .twins = {.ctx = ctx}};
    *out = NULL;
    SQZ_TRY(sqz_graph_create(ctx, &r.g));
    sqz_status s = parse(&r);
    sqz_arena_free(&r.twins);
    sqz_arena_free(&r.temp);
    if (s != SQZ_OK) {
        sqz_graph_free(r.g);
        /* what verification calls our mistake is the text's here */
        return s == SQZ_E_INTERNAL ? SQZ_E_FORMAT : s;
    }
    *out = r.g;
    return SQZ_OK;
}
