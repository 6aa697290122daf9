/* feed.c: live values of two networks over all calibration samples, moved from cut to cut.
 *
 * A value that is live has a slot: one block for each batch, in memory or in a file of its own. An
 * advance makes the piece of each graph between the two cuts, runs it for every batch from slots
 * into slots, and drops the slots of what is not read any more. */
#include "quant/feed.h"
#include "calib/calib.h"
#include "exec/exec.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SAMPLES = 512, /* unless asked otherwise */
    BATCH_MAX = 32,
    BATCH_BYTES = 32 << 20, /* of all activations of a batch */
    SLACK = SQZ_ALIGN       /* kernels may read a few bytes behind a row of codes */
};
#define MEMORY ((size_t)128 << 20)

typedef struct slot {          /* one live value */
    sqz_value value;           /* with the shape for a batch; name and quant are the graph's */
    size_t count, bytes, step; /* of a batch; from batch to batch */
    char *data;                /* NULL: in the file */
    FILE *file;
} slot;

typedef struct side {
    const sqz_graph *g;
    slot **slot; /* by value id; room entries */
    sqz_vid room;
    sqz_nid at; /* the cut; SQZ_NONE: behind the last node */
} side;

struct sqz_flow {
    sqz_ctx *ctx;
    side side[SQZ_N_SIDE];
    size_t n_batch;
    int64_t batch;
    bool keep_shapes; /* the graphs stand at that batch already */
    size_t memory, used;
};

/* ---- slots ---- */

static void free_slot(sqz_flow *f, side *s, sqz_vid v)
{
    slot *x = v < s->room ? s->slot[v] : NULL;
    if (!x)
        return;
    if (x->data) {
        f->used -= x->step * f->n_batch;
        sqz_free_aligned(f->ctx, x->data);
    }
    if (x->file)
        (void)fclose(x->file);
    sqz_free(f->ctx, x);
    s->slot[v] = NULL;
}

static sqz_status make_room(sqz_flow *f, side *s, sqz_vid n)
{
    if (n <= s->room)
        return SQZ_OK;
    slot **more = sqz_realloc(f->ctx, s->slot, s->room * sizeof *more, n * sizeof *more);
    if (!more)
        return SQZ_E_NOMEM;
    for (sqz_vid v = s->room; v < n; v++)
        more[v] = NULL;
    s->slot = more;
    s->room = n;
    return SQZ_OK;
}

static sqz_status place(sqz_flow *f, slot *x)
{
    size_t all;
    if (!sqz_mul(x->step, f->n_batch, &all))
        return sqz_fail(f->ctx, SQZ_E_LIMIT, "value '%s' of all samples is too large",
                        x->value.name);
    if (f->used + all <= f->memory) {
        x->data = sqz_malloc_aligned(f->ctx, all);
        if (!x->data)
            return SQZ_E_NOMEM;
        f->used += all;
        return SQZ_OK;
    }
    x->file = tmpfile();
    if (!x->file)
        return sqz_fail(f->ctx, SQZ_E_IO, "a temporary file for value '%s' cannot be made: %s",
                        x->value.name, strerror(errno));
    return SQZ_OK;
}

/* A slot for value v of graph g, whose shapes are for a batch. */
static sqz_status new_slot(sqz_flow *f, side *s, const sqz_graph *g, sqz_vid v)
{
    const sqz_value *val = sqz_val(g, v);
    SQZ_TRY(make_room(f, s, v + 1));
    slot *x = sqz_calloc(f->ctx, 1, sizeof *x);
    if (!x)
        return SQZ_E_NOMEM;
    s->slot[v] = x;
    x->value = *val;
    x->value.name = sqz_val(s->g, v)->name; /* g may go */
    x->value.quant = sqz_val(s->g, v)->quant;
    x->value.range = sqz_val(s->g, v)->range;
    SQZ_TRY(sqz_shape_count(f->ctx, &val->shape, val->dtype, &x->count, &x->bytes));
    if (!sqz_add(x->bytes, SLACK + SQZ_ALIGN - 1, &x->step))
        return sqz_fail(f->ctx, SQZ_E_LIMIT, "value '%s' is too large", x->value.name);
    x->step -= x->step % SQZ_ALIGN;
    return place(f, x);
}

static sqz_status file_io(const sqz_flow *f, const slot *x, size_t i, void *data, bool write)
{
    const int fd = fileno(x->file);
    for (size_t done = 0; done < x->bytes;) {
        const off_t at = (off_t)(i * x->step + done);
        const ssize_t n = write ? pwrite(fd, (char *)data + done, x->bytes - done, at)
                                : pread(fd, (char *)data + done, x->bytes - done, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sqz_fail(f->ctx, SQZ_E_IO, "a temporary file cannot be %s: %s",
                            write ? "written" : "read", n ? strerror(errno) : "it is too short");
        done += (size_t)n;
    }
    return SQZ_OK;
}

/* ---- from cut to cut ---- */

typedef struct move { /* of one side */
    sqz_flow *f;
    side *s;
    sqz_arena a;
    sqz_graph *piece;
    sqz_exec *exec;
    void **in, **out;         /* where batch i lies, or memory to pass it through */
    void **in_own, **out_own; /* of slots in files */
} move;

static sqz_status ends(move *m, uint32_t n, const sqz_vid *v, void ***at, void ***own)
{
    *at = sqz_arena_alloc(&m->a, n + 1u, sizeof **at);
    *own = sqz_arena_alloc(&m->a, n + 1u, sizeof **own);
    if (!*at || !*own)
        return SQZ_E_NOMEM;
    for (uint32_t k = 0; k < n; k++) {
        const slot *x = v[k] < m->s->room ? m->s->slot[v[k]] : NULL;
        if (!x)
            return sqz_fail(m->f->ctx, SQZ_E_INTERNAL, "value '%s' is not live at the cut",
                            sqz_val(m->s->g, v[k])->name);
        if (x->file && !((*own)[k] = sqz_arena_alloc(&m->a, x->step, 1)))
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

static sqz_status run_batch(const move *m, size_t i)
{
    const sqz_graph *p = m->piece;
    for (uint32_t k = 0; k < p->n_input; k++) {
        const slot *x = m->s->slot[p->input[k]];
        m->in[k] = x->data ? x->data + i * x->step : m->in_own[k];
        if (x->file)
            SQZ_TRY(file_io(m->f, x, i, m->in[k], false));
    }
    for (uint32_t k = 0; k < p->n_output; k++) {
        const slot *x = m->s->slot[p->output[k]];
        m->out[k] = x->data ? x->data + i * x->step : m->out_own[k];
    }
    SQZ_TRY(sqz_exec_run(m->exec, (const void *const *)m->in, m->out));
    for (uint32_t k = 0; k < p->n_output; k++) {
        const slot *x = m->s->slot[p->output[k]];
        if (x->file)
            SQZ_TRY(file_io(m->f, x, i, m->out[k], true));
    }
    return SQZ_OK;
}

/* The nodes in between, with shapes for a batch. */
static sqz_status make_piece(move *m, sqz_nid begin, sqz_nid end)
{
    sqz_graph *whole;
    SQZ_TRY(sqz_graph_clone(m->s->g, &whole));
    sqz_status s = m->f->keep_shapes ? SQZ_OK : sqz_graph_set_batch(whole, m->f->batch);
    if (s == SQZ_OK)
        s = sqz_graph_piece(whole, begin, end, NULL, 0, &m->piece);
    sqz_graph_free(whole);
    return s;
}

static sqz_status run_piece(move *m)
{
    const sqz_exec_options o = {0};
    sqz_graph *own;
    for (uint32_t k = 0; k < m->piece->n_output; k++)
        SQZ_TRY(new_slot(m->f, m->s, m->piece, m->piece->output[k]));
    SQZ_TRY(ends(m, m->piece->n_input, m->piece->input, &m->in, &m->in_own));
    SQZ_TRY(ends(m, m->piece->n_output, m->piece->output, &m->out, &m->out_own));
    SQZ_TRY(sqz_graph_clone(m->piece, &own)); /* the executor's */
    SQZ_TRY(sqz_exec_adopt(own, 0, &o, &m->exec));
    for (size_t i = 0; i < m->f->n_batch; i++)
        SQZ_TRY(run_batch(m, i));
    return SQZ_OK;
}

static sqz_status drop_dead(move *m, sqz_nid cut)
{
    sqz_vid *live;
    uint32_t n;
    SQZ_TRY(sqz_graph_live(m->s->g, &m->a, cut, &live, &n));
    for (sqz_vid v = 0, k = 0; v < m->s->room; v++) { /* ids go up in the list */
        while (k < n && live[k] < v)
            k++;
        if (k == n || live[k] != v)
            free_slot(m->f, m->s, v);
    }
    return SQZ_OK;
}

static sqz_status advance_side(sqz_flow *f, side *s, sqz_nid to)
{
    move m = {.f = f, .s = s, .a = {.ctx = f->ctx}};
    sqz_status st = make_piece(&m, s->at, to);
    if (st == SQZ_OK && m.piece->first != SQZ_NONE)
        st = run_piece(&m);
    if (st == SQZ_OK)
        st = drop_dead(&m, to);
    sqz_exec_free(m.exec);
    sqz_graph_free(m.piece);
    sqz_arena_free(&m.a);
    return st;
}

/* `to` does not lie in front of the cut. */
static sqz_status check_forward(const side *s, sqz_nid to)
{
    sqz_nid n = s->at;
    while (n != SQZ_NONE && n != to)
        n = sqz_nod(s->g, n)->next;
    if (n != to)
        return sqz_fail(s->g->ctx, SQZ_E_INTERNAL, "a flow cannot go to node %u from here",
                        (unsigned)to);
    return SQZ_OK;
}

sqz_status sqz_flow_advance(sqz_flow *f, sqz_nid node)
{
    for (int k = 0; k < SQZ_N_SIDE; k++)
        if (f->side[k].g)
            SQZ_TRY(check_forward(&f->side[k], node));
    for (int k = 0; k < SQZ_N_SIDE; k++) {
        side *s = &f->side[k];
        if (!s->g || s->at == node)
            continue;
        SQZ_TRY(advance_side(f, s, node));
        s->at = node;
    }
    return SQZ_OK;
}

/* ---- opening ---- */

/* Every input has the batch of input 0, so that another one can be set. */
static bool one_batch(const sqz_graph *g)
{
    for (uint32_t i = 0; i < g->n_input; i++) {
        const sqz_shape *s = &sqz_val(g, g->input[i])->shape;
        if (!s->rank || s->dim[0] != sqz_val(g, g->input[0])->shape.dim[0])
            return false;
    }
    return true;
}

/* Whole batches only: as many samples as fit, of nearly equal batches. */
static sqz_status pick_batch(sqz_flow *f, const sqz_graph *g, int64_t total, int64_t asked)
{
    const sqz_shape *in = &sqz_val(g, g->input[0])->shape;
    const int64_t own = in->rank ? in->dim[0] : 1;
    size_t bytes, all = 0;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        const sqz_value *x = sqz_val(g, v);
        if (x->constant || sqz_value_dead(x))
            continue;
        SQZ_TRY(sqz_shape_count(f->ctx, &x->shape, x->dtype, NULL, &bytes));
        if (!sqz_add(all, bytes, &all))
            return sqz_fail(f->ctx, SQZ_E_LIMIT, "activations of the model exceed memory");
    }
    const size_t fit = (size_t)BATCH_BYTES / SQZ_MAX(all, 1u);
    int64_t wanted = asked > 0 ? asked : (int64_t)SQZ_MIN(SQZ_MAX(fit, 1u), (size_t)BATCH_MAX);
    f->batch = own;
    if (own == 1 && wanted > 1 && one_batch(g)) {
        const int64_t n = (total + wanted - 1) / wanted;
        SQZ_TRY(sqz_graph_max_batch(g, total / n, &f->batch));
    }
    f->n_batch = (size_t)(total / f->batch);
    f->keep_shapes = f->batch == own;
    if (!f->n_batch)
        return sqz_fail(f->ctx, SQZ_E_ARG,
                        "the model takes %lld samples at once, the data has %lld",
                        (long long)f->batch, (long long)total);
    return SQZ_OK;
}

typedef struct input_buffers {
    sqz_arena a;
    sqz_feeds feeds;
    float *raw;
    void **in;
} input_buffers;

static sqz_status put_batch(sqz_flow *f, const sqz_graph *g, size_t i, const input_buffers *b)
{
    for (int k = 0; k < SQZ_N_SIDE; k++) {
        const side *s = &f->side[k];
        for (uint32_t v = 0; s->g && v < g->n_input; v++) {
            const slot *x = s->slot[g->input[v]];
            if (x->file)
                SQZ_TRY(file_io(f, x, i, b->in[v], true));
            else
                memcpy(x->data + i * x->step, b->in[v], x->bytes);
        }
    }
    return SQZ_OK;
}

static sqz_status read_all(sqz_flow *f, const sqz_graph *g, const sqz_flow_options *o,
                           int64_t total, input_buffers *b)
{
    size_t count;
    SQZ_TRY(sqz_feeds_plan(&b->a, o->ds, g, o->layout, &b->feeds));
    if (!sqz_mul(b->feeds.elements, (size_t)f->batch, &count))
        return sqz_fail(f->ctx, SQZ_E_LIMIT, "a batch of %lld samples is too large",
                        (long long)f->batch);
    b->raw = sqz_arena_alloc(&b->a, count, sizeof *b->raw);
    b->in = sqz_arena_alloc(&b->a, b->feeds.n, sizeof *b->in);
    if (!b->raw || !b->in)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_feeds_memory(&b->feeds, f->batch, b->in));
    for (size_t i = 0; i < f->n_batch; i++) {
        for (int64_t k = 0; k < f->batch; k++) {
            const int64_t at = (int64_t)i * f->batch + k;
            SQZ_TRY(sqz_data_read(o->ds, sqz_sample_at(at, o->ds->n, total), 1,
                                  b->raw + (size_t)k * b->feeds.elements, NULL));
        }
        SQZ_TRY(sqz_feeds_apply(&b->feeds, f->batch, b->raw, b->in));
        SQZ_TRY(put_batch(f, g, i, b));
    }
    return SQZ_OK;
}

static sqz_status fill_inputs(sqz_flow *f, const sqz_flow_options *o, int64_t total)
{
    const sqz_graph *g = f->side[SQZ_FLOAT_SIDE].g;
    input_buffers b = {.a = {.ctx = f->ctx}};
    sqz_graph *whole;
    SQZ_TRY(sqz_graph_clone(g, &whole));
    sqz_status s = f->keep_shapes ? SQZ_OK : sqz_graph_set_batch(whole, f->batch);
    for (int k = 0; k < SQZ_N_SIDE; k++)
        for (uint32_t v = 0; s == SQZ_OK && f->side[k].g && v < g->n_input; v++)
            s = new_slot(f, &f->side[k], whole, g->input[v]);
    sqz_graph_free(whole);
    if (s == SQZ_OK)
        s = read_all(f, g, o, total, &b);
    if (b.in)
        sqz_feeds_free(&b.feeds, b.in);
    sqz_arena_free(&b.a);
    return s;
}

static sqz_status open_flow(sqz_flow *f, const sqz_flow_options *o)
{
    const sqz_graph *g = f->side[SQZ_FLOAT_SIDE].g, *q = f->side[SQZ_QUANT_SIDE].g;
    if (g->n_input < 1 || g->first == SQZ_NONE)
        return sqz_fail(f->ctx, SQZ_E_UNSUPPORTED, "the model has no inputs, or computes nothing");
    if (!o->ds || o->ds->n < 1)
        return sqz_fail(f->ctx, SQZ_E_ARG, "there are no samples to look at");
    if (q && (q->n_input != g->n_input || q->first == SQZ_NONE ||
              memcmp(q->input, g->input, g->n_input * sizeof *g->input) != 0))
        return sqz_fail(f->ctx, SQZ_E_INTERNAL, "two graphs of other inputs");
    const int64_t total = SQZ_MIN(o->samples > 0 ? o->samples : SAMPLES, o->ds->n);
    SQZ_TRY(pick_batch(f, g, total, o->batch));
    return fill_inputs(f, o, total);
}

sqz_status sqz_flow_open(const sqz_graph *reference, const sqz_graph *quantized,
                         const sqz_flow_options *o, sqz_flow **out)
{
    *out = NULL;
    sqz_flow *f = sqz_calloc(reference->ctx, 1, sizeof *f);
    if (!f)
        return SQZ_E_NOMEM;
    f->ctx = reference->ctx;
    f->memory = o->memory ? o->memory : MEMORY;
    f->side[SQZ_FLOAT_SIDE] = (side){.g = reference, .at = reference->first};
    if (quantized)
        f->side[SQZ_QUANT_SIDE] = (side){.g = quantized, .at = quantized->first};
    sqz_status s = open_flow(f, o);
    if (s != SQZ_OK)
        sqz_flow_close(f);
    else
        *out = f;
    return s;
}

void sqz_flow_close(sqz_flow *f)
{
    if (!f)
        return;
    for (int k = 0; k < SQZ_N_SIDE; k++) {
        side *s = &f->side[k];
        for (sqz_vid v = 0; v < s->room; v++)
            free_slot(f, s, v);
        sqz_free(f->ctx, s->slot);
    }
    sqz_free(f->ctx, f);
}

/* ---- reading ---- */

size_t sqz_flow_batches(const sqz_flow *f) { return f->n_batch; }
int64_t sqz_flow_batch(const sqz_flow *f) { return f->batch; }

static const slot *find(const sqz_flow *f, sqz_flow_side k, sqz_vid v)
{
    return v < f->side[k].room ? f->side[k].slot[v] : NULL;
}

const sqz_value *sqz_flow_value(const sqz_flow *f, sqz_flow_side k, sqz_vid v)
{
    const slot *x = find(f, k, v);
    return x ? &x->value : NULL;
}

size_t sqz_flow_count(const sqz_flow *f, sqz_flow_side k, sqz_vid v)
{
    const slot *x = find(f, k, v);
    return x ? x->count : 0;
}

static sqz_status live(const sqz_flow *f, sqz_flow_side k, sqz_vid v, size_t i, const slot **out)
{
    *out = find(f, k, v);
    if (!*out || i >= f->n_batch)
        return sqz_fail(f->ctx, SQZ_E_INTERNAL, "batch %zu of value %u is not live at the cut", i,
                        (unsigned)v);
    return SQZ_OK;
}

sqz_status sqz_flow_read_raw(sqz_flow *f, sqz_flow_side k, sqz_vid v, size_t i, void *out)
{
    const slot *x;
    SQZ_TRY(live(f, k, v, i, &x));
    if (x->file)
        return file_io(f, x, i, out, false);
    memcpy(out, x->data + i * x->step, x->bytes);
    return SQZ_OK;
}

static void to_real(const slot *x, const void *from, float *out)
{
    const sqz_quant *q = x->value.quant;
    sqz_tensor t = {.dtype = x->value.dtype,
                    .shape = x->value.shape,
                    .count = x->count,
                    .bytes = x->bytes,
                    .data = (void *)(uintptr_t)from};
    const double scale = q ? (double)q->scale[0] : 1.0;
    const int32_t zero = q ? q->zero[0] : 0;
    if (t.dtype == SQZ_S8)
        for (size_t i = 0; i < x->count; i++)
            out[i] = (float)(scale * (SQZ_S8P(&t)[i] - zero));
    else
        for (size_t i = 0; i < x->count; i++)
            out[i] = (float)(scale * (sqz_tensor_f64(&t, i) - zero));
}

sqz_status sqz_flow_read(sqz_flow *f, sqz_flow_side k, sqz_vid v, size_t i, float *out)
{
    const slot *x;
    SQZ_TRY(live(f, k, v, i, &x));
    if (x->value.dtype == SQZ_F32)
        return sqz_flow_read_raw(f, k, v, i, out);
    if (!x->file) {
        to_real(x, x->data + i * x->step, out);
        return SQZ_OK;
    }
    void *codes = sqz_malloc_aligned(f->ctx, SQZ_MAX(x->bytes, 1u));
    if (!codes)
        return SQZ_E_NOMEM;
    sqz_status s = file_io(f, x, i, codes, false);
    if (s == SQZ_OK)
        to_real(x, codes, out);
    sqz_free_aligned(f->ctx, codes);
    return s;
}
