/* qdq_spread.c: integers that go through moves and max pools before somebody dequantizes them:
 * their grid is that of the whole set, and kernels see int8 only: uint8 is shifted by 128, and
 * remembered for export. */
#include "canon/qdq.h"

/* Output codes are input codes: the grid of one is that of the other. A relu or a pad of codes is
 * none of reals. */
static bool hands_on(const sqz_node *n)
{
    const bool moves = n->op->traits & (SQZ_T_MOVES | SQZ_T_VIEW);
    return (moves && !sqz_qdq_is_op(n, "pad")) || sqz_qdq_is_op(n, "max_pool");
}

static bool eight_bits(const sqz_qdq_work *w, sqz_vid v)
{
    return v != SQZ_NONE &&
           (sqz_val(w->g, v)->dtype == SQZ_S8 || sqz_val(w->g, v)->dtype == SQZ_U8);
}

typedef struct sets { /* values joined by nodes that hand codes on */
    sqz_vid *parent;
    const sqz_quant **grid; /* of a root; NULL: none known */
    bool *stuck;            /* of a root: two grids, or uint8 that cannot be shifted */
} sets;

static sqz_vid root(const sets *s, sqz_vid v)
{
    while (s->parent[v] != v)
        v = s->parent[v] = s->parent[s->parent[v]];
    return v;
}

static void join(const sqz_qdq_work *w, sets *s, const sqz_node *n)
{
    for (unsigned i = 0; i < (unsigned)n->n_in + n->n_out; i++) {
        sqz_vid v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        bool data = i >= n->n_in || (eight_bits(w, v) && (i == 0 || sqz_qdq_is_data(n, i)));
        if (data && eight_bits(w, v) && eight_bits(w, n->out[0]))
            s->parent[root(s, v)] = root(s, n->out[0]);
    }
}

static bool one_grid(const sqz_quant *a, const sqz_quant *b)
{
    return a->dtype == b->dtype && a->axis < 0 && b->axis < 0 && sqz_qdq_same_grid(a, b);
}

/* A uint8 value can be shifted where we make it and where its readers know its grid. Inputs and
 * outputs of the graph keep their type. */
static bool can_shift(const sqz_qdq_work *w, sqz_vid v)
{
    const sqz_value *val = sqz_val(w->g, v);
    const sqz_node *maker = val->producer == SQZ_NONE ? NULL : sqz_nod(w->g, val->producer);
    if (!val->constant && (!maker || !(sqz_qdq_is_op(maker, "quantize") || hands_on(maker))))
        return false;
    for (uint32_t i = w->u.first[v]; i < w->u.first[v + 1]; i++) {
        const sqz_node *n = w->u.node[i] == SQZ_NONE ? NULL : sqz_nod(w->g, w->u.node[i]);
        if (!n || !(sqz_qdq_is_op(n, "dequantize") || (hands_on(n) && eight_bits(w, n->out[0]))))
            return false;
    }
    return true;
}

static void collect(const sqz_qdq_work *w, sets *s)
{
    for (sqz_vid v = 0; v < w->g->n_value; v++)
        s->parent[v] = v;
    SQZ_EACH_NODE(w->g, id)
    {
        if (hands_on(sqz_nod(w->g, id)))
            join(w, s, sqz_nod(w->g, id));
    }
    for (sqz_vid v = 0; v < w->g->n_value; v++) {
        const sqz_value *val = sqz_val(w->g, v);
        sqz_vid r = root(s, v);
        if (sqz_value_dead(val) || !eight_bits(w, v))
            continue;
        if (val->quant && !s->grid[r])
            s->grid[r] = val->quant;
        s->stuck[r] = s->stuck[r] || (val->dtype == SQZ_U8 && !can_shift(w, v)) ||
                      (val->quant && val->quant->group) ||
                      (val->quant && val->quant != s->grid[r] && !one_grid(val->quant, s->grid[r]));
    }
}

static sqz_status shift_constant(sqz_qdq_work *w, sqz_vid v)
{
    sqz_tensor t;
    const sqz_quant *q = sqz_val(w->g, v)->quant;
    SQZ_TRY(sqz_tensor_cast(w->g->ctx, sqz_val(w->g, v)->constant, SQZ_U8, &t));
    for (size_t i = 0; i < t.bytes; i++)
        ((uint8_t *)t.data)[i] ^= 0x80;
    t.dtype = SQZ_S8;
    SQZ_TRY(sqz_value_set_constant(w->g, v, &t));
    sqz_val(w->g, v)->quant = q;
    return SQZ_OK;
}

static sqz_status set_dtype(sqz_qdq_work *w, sqz_nid id, sqz_dtype d)
{
    const sqz_node *n = sqz_nod(w->g, id);
    void *attrs = NULL;
    char *text = sqz_arena_printf(w->a, "dtype=%s", sqz_dtype_name(d));
    if (!text)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_opts_copy(w->a, &n->op->info, n->attrs, &attrs));
    SQZ_TRY(sqz_opts_parse(w->a, &n->op->info, text, attrs));
    return sqz_node_set_attrs(w->g, id, attrs);
}

static sqz_status shift(sqz_qdq_work *w, sqz_vid v)
{
    sqz_value *val = sqz_val(w->g, v);
    const sqz_quant *q = val->quant;
    int32_t *zero = sqz_arena_alloc(w->a, q->n, sizeof *zero);
    if (!zero)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < q->n; i++)
        zero[i] = q->zero[i] - 128;
    if (val->constant)
        SQZ_TRY(shift_constant(w, v));
    else if (sqz_qdq_is_op(sqz_nod(w->g, val->producer), "quantize"))
        SQZ_TRY(set_dtype(w, val->producer, SQZ_S8));
    val->dtype = SQZ_S8;
    val->was_u8 = true;
    return sqz_value_set_quant(w->g, v, SQZ_S8, q->axis, q->n, q->scale, zero);
}

/* All values of a set get its grid; uint8 ones become int8, 128 lower. */
sqz_status sqz_qdq_spread(sqz_qdq_work *w)
{
    const uint32_t n = w->g->n_value;
    sets s = {.parent = sqz_arena_alloc(w->a, n + 1u, sizeof *s.parent),
              .grid = sqz_arena_alloc(w->a, n + 1u, sizeof *s.grid),
              .stuck = sqz_arena_alloc(w->a, n + 1u, sizeof *s.stuck)};
    if (!s.parent || !s.grid || !s.stuck)
        return SQZ_E_NOMEM;
    collect(w, &s);
    for (sqz_vid v = 0; v < n; v++) {
        sqz_value *val = sqz_val(w->g, v);
        const sqz_vid r = root(&s, v);
        if (sqz_value_dead(val) || !eight_bits(w, v) || s.stuck[r] || !s.grid[r])
            continue;
        if (!val->quant && s.grid[r]->axis >= 0) /* axes may have moved */
            continue;
        if (!val->quant)
            val->quant = s.grid[r];
        if (val->dtype == SQZ_U8)
            SQZ_TRY(shift(w, v));
    }
    return SQZ_OK;
}
