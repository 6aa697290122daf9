/* pairs.c: which value of the student goes with which of the teacher. */
#include "distill/work.h"
#include <stdio.h>
#include <string.h>

enum { MOST = 64, CHOSEN = 3 };

typedef struct marks { /* values of one network where its pairs can be, in order */
    sqz_vid v[MOST];
    uint32_t n;
} marks;

/* ---- choosing ---- */

static bool is_spatial(const sqz_value *v)
{
    bool more = false;
    for (int32_t i = 1; i + 1 < v->shape.rank; i++)
        more = more || v->shape.dim[i] > 1;
    return v->channel_last && more;
}

static bool same_resolution(const sqz_value *a, const sqz_value *b)
{
    bool same = a->shape.rank == b->shape.rank;
    for (int32_t i = 1; same && i + 1 < a->shape.rank; i++)
        same = a->shape.dim[i] == b->shape.dim[i];
    return same;
}

/* What activations and sums make: not in the middle of something. */
static bool is_feature(const sqz_node *n)
{
    return (n->op->traits & SQZ_T_ELEMENTWISE) &&
           ((n->op->traits & SQZ_T_UNARY) || strcmp(n->op->info.name, "add") == 0) &&
           strcmp(n->op->info.name, "identity") != 0;
}

/* The last feature of each resolution. */
static void find_stages(const sqz_graph *g, uint32_t n_node, marks *m)
{
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        const sqz_value *v = id < n_node && n->n_out ? sqz_val(g, n->out[0]) : NULL;
        if (!v || v->dtype != SQZ_F32 || !is_feature(n) || !is_spatial(v))
            continue;
        if (m->n && same_resolution(sqz_val(g, m->v[m->n - 1]), v))
            m->v[m->n - 1] = n->out[0];
        else if (m->n < MOST)
            m->v[m->n++] = n->out[0];
    }
}

/* Networks without maps: sums (of transformers), else activations; CHOSEN of them, evenly. */
static void find_layers(const sqz_graph *g, uint32_t n_node, bool sums, marks *m)
{
    sqz_vid last[1024];
    uint32_t n_last = 0, n;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *nd = sqz_nod(g, id);
        const sqz_value *v = id < n_node && nd->n_out ? sqz_val(g, nd->out[0]) : NULL;
        if (v && v->dtype == SQZ_F32 && is_feature(nd) && v->shape.rank == (sums ? 3 : 2) &&
            (!sums || !(nd->op->traits & SQZ_T_UNARY)) && n_last < SQZ_COUNT(last))
            last[n_last++] = nd->out[0];
    }
    n = SQZ_MIN(n_last, (uint32_t)CHOSEN);
    for (uint32_t i = 0; i < n; i++)
        m->v[m->n++] = last[(i + 1) * n_last / n - 1];
}

static void find_marks(const sqz_graph *g, uint32_t n_node, marks *m)
{
    *m = (marks){.n = 0};
    find_stages(g, n_node, m);
    if (!m->n)
        find_layers(g, n_node, true, m);
    if (!m->n)
        find_layers(g, n_node, false, m);
}

/* What the last linear layer reads; the logits where there is none. */
static sqz_vid embedding_of(const sqz_graph *g, sqz_vid logits)
{
    for (sqz_vid v = logits; sqz_val(g, v)->producer != SQZ_NONE;) {
        const sqz_node *n = sqz_nod(g, sqz_val(g, v)->producer);
        const char *op = n->op->info.name;
        if (n->op->quant.kind == SQZ_Q_LINEAR && n->n_in > 1 && n->in[1] != SQZ_NONE &&
            sqz_val(g, n->in[1])->constant)
            return n->in[0];
        const bool bias = strcmp(op, "add") == 0 && sqz_val(g, n->in[1])->constant;
        if (!bias && strcmp(op, "reshape") != 0 && strcmp(op, "flatten") != 0 &&
            strcmp(op, "identity") != 0 && strcmp(op, "squeeze") != 0)
            break;
        v = n->in[0];
    }
    return logits;
}

/* ---- by name ---- */

static sqz_status unknown(const sqz_loss_site *s, const sqz_graph *g, uint32_t n_node,
                          const char *whose, const char *name)
{
    marks m;
    sqz_str text = {.ctx = g->ctx};
    find_marks(g, n_node, &m);
    for (uint32_t i = 0; i < m.n; i++)
        sqz_str_addf(&text, "%s'%s'", i ? ", " : "", sqz_val(g, m.v[i])->name);
    const sqz_status e = sqz_fail(s->g->ctx, SQZ_E_NOTFOUND, "%s has no value '%s' of f32%s%s",
                                  whose, name, m.n ? "; among its values are " : "",
                                  text.len ? text.data : "");
    sqz_str_free(&text);
    return e;
}

static sqz_status find_name(const sqz_loss_site *s, const sqz_graph *g, uint32_t n_node,
                            const char *whose, const char *name, sqz_vid *out)
{
    *out = sqz_graph_find(g, name);
    const sqz_value *v = *out == SQZ_NONE ? NULL : sqz_val(g, *out);
    if (!v || v->constant || v->dtype != SQZ_F32 || v->shape.rank < 2 ||
        (v->producer != SQZ_NONE && v->producer >= n_node))
        return unknown(s, g, n_node, whose, name);
    return SQZ_OK;
}

static sqz_status read_pair(const sqz_loss_site *s, char *text, sqz_vid *student, sqz_vid *teacher)
{
    const sqz_objective_work *w = s->o->work;
    char *arrow = strstr(text, "->");
    const char *to = arrow ? arrow + 2 : text;
    if (arrow)
        *arrow = 0;
    SQZ_TRY(find_name(s, s->g, w->n_node, "the student", text, student));
    return find_name(s, w->first, w->first->n_node, "the teacher", to, teacher);
}

/* ---- all pairs ---- */

static sqz_status choose(sqz_loss_site *s, sqz_pair_kind kind, marks *a, marks *b)
{
    const sqz_objective_work *w = s->o->work;
    if (kind == SQZ_PAIR_EMBEDDING) {
        *a = (marks){.v = {embedding_of(s->g, s->logits)}, .n = 1};
        *b = (marks){.v = {embedding_of(w->first, sqz_graph_logits(w->first))}, .n = 1};
        return SQZ_OK;
    }
    find_marks(s->g, w->n_node, a);
    find_marks(w->first, w->first->n_node, b);
    const uint32_t n = SQZ_MIN(SQZ_MIN(a->n, b->n), kind == SQZ_PAIR_LAST ? 1u : MOST);
    if (!n)
        return sqz_fail(s->g->ctx, SQZ_E_UNSUPPORTED,
                        "no pairs of values were found: name them (pairs=student->teacher)");
    memmove(a->v, a->v + a->n - n, n * sizeof *a->v);
    memmove(b->v, b->v + b->n - n, n * sizeof *b->v);
    a->n = b->n = n;
    return SQZ_OK;
}

static sqz_status read_all(sqz_loss_site *s, const char *text, marks *a, marks *b)
{
    char *copy = sqz_arena_strdup(&s->o->arena, text);
    if (!copy)
        return SQZ_E_NOMEM;
    *a = *b = (marks){.n = 0};
    for (char *p = copy, *next; p; p = next) {
        next = strchr(p, ';');
        if (next)
            *next++ = 0;
        if (a->n == MOST)
            return sqz_fail(s->g->ctx, SQZ_E_LIMIT, "more than %d pairs", MOST);
        SQZ_TRY(read_pair(s, p, &a->v[a->n], &b->v[a->n]));
        a->n = b->n = a->n + 1;
    }
    return SQZ_OK;
}

sqz_status sqz_loss_pairs(sqz_loss_site *s, const char *text, sqz_pair_kind kind,
                          sqz_loss_pair **list, uint32_t *n)
{
    const bool chosen = !text || !*text || strcmp(text, "auto") == 0;
    marks a, b;
    SQZ_TRY(s->b.status);
    if (!s->o->options.n_teacher)
        return sqz_fail(s->g->ctx, SQZ_E_ARG, "it needs a teacher (--teacher)");
    SQZ_TRY(chosen ? choose(s, kind, &a, &b) : read_all(s, text, &a, &b));
    *n = a.n;
    *list = sqz_arena_alloc(&s->o->arena, a.n, sizeof **list);
    if (!*list)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < a.n; i++) {
        (*list)[i] = (sqz_loss_pair){a.v[i], sqz_loss_teacher(s, b.v[i])};
        SQZ_TRY(s->b.status);
        const char *to = sqz_val(s->o->work->first, b.v[i])->name,
                   *from = sqz_val(s->g, a.v[i])->name;
        sqz_log(s->g->ctx, SQZ_LOG_INFO, "%s: '%s' of the student with '%s' of the teacher",
                s->name, from, to);
        if (s->o->options.notes)
            sqz_str_addf(s->o->options.notes,
                         "loss %s: '%s' of the student with '%s' of the teacher\n", s->name, from,
                         to);
    }
    return SQZ_OK;
}

/* ---- sizes ---- */

static sqz_status refuse_sizes(const sqz_loss_site *s, const sqz_value *a, const sqz_value *b)
{
    char have[160], want[160];
    sqz_shape_print(have, &a->shape);
    sqz_shape_print(want, &b->shape);
    return sqz_fail(s->g->ctx, SQZ_E_SHAPE, "'%s' of shape %s cannot be compared with '%s' of %s",
                    a->name, have, b->name, want);
}

/* Average pooling with the strides that divide, and windows that cover the rest. */
static sqz_vid pooled(sqz_loss_site *s, sqz_vid v, const sqz_shape *to)
{
    const sqz_shape *from = &sqz_val(s->g, v)->shape;
    char kernel[128] = "", stride[128] = "";
    for (int32_t i = 1; i + 1 < from->rank; i++) {
        const int64_t step = from->dim[i] / to->dim[i];
        (void)snprintf(kernel + strlen(kernel), 24, "%s%lld", i > 1 ? "," : "",
                       (long long)(from->dim[i] - (to->dim[i] - 1) * step));
        (void)snprintf(stride + strlen(stride), 24, "%s%lld", i > 1 ? "," : "", (long long)step);
    }
    return sqz_bf(&s->b, "average_pool", &v, 1, "kernel_shape=%s strides=%s", kernel, stride);
}

sqz_status sqz_loss_same_size(sqz_loss_site *s, sqz_vid *a, sqz_vid *b)
{
    SQZ_TRY(s->b.status);
    const sqz_value *x = sqz_val(s->g, *a), *y = sqz_val(s->g, *b);
    const int32_t rank = x->shape.rank;
    bool finer = true, coarser = true;
    if (rank != y->shape.rank || x->channel_last != y->channel_last)
        return refuse_sizes(s, x, y);
    for (int32_t i = 1; i + 1 < rank; i++) {
        finer = finer && x->shape.dim[i] >= y->shape.dim[i];
        coarser = coarser && x->shape.dim[i] <= y->shape.dim[i];
    }
    if ((!finer && !coarser) || (!(finer && coarser) && !x->channel_last))
        return refuse_sizes(s, x, y);
    if (!coarser)
        *a = pooled(s, *a, &y->shape);
    else if (!finer)
        *b = pooled(s, *b, &x->shape);
    return s->b.status;
}
