/* ew_int.c: integer forms of elementwise operators: tables for unary ones, multipliers for add, sub
 * and mul. docs/numerics.md has the formulas. */
#include "ir/qround.h"
#include "kernels/kernels.h"
#include "kernels/multiplier.h"
#include "ops/ew.h"

#define GRAIN 65536 /* codes of one piece of work */

sqz_status sqz_lut_prepare(sqz_prep *p, sqz_map_fn map)
{
    bool integer = false;
    float x[256], y[256];
    SQZ_TRY(sqz_need_s8(p, 1, &integer));
    if (!integer)
        return SQZ_OK;
    const sqz_quant *in = p->in_q[0], *out = p->out_q[0];
    int8_t *table = sqz_arena_alloc(p->arena, 256, 1);
    if (!table)
        return SQZ_E_NOMEM;
    for (int i = 0; i < 256; i++)
        x[i] = in->scale[0] * (float)(i - 128 - in->zero[0]);
    map(p->attrs, x, y, 256);
    for (int i = 0; i < 256; i++)
        table[i] = (int8_t)sqz_qround(y[i], out->scale[0], out->zero[0], -128, 127);
    p->state = table;
    return SQZ_OK;
}

sqz_status sqz_lut_part(const sqz_call *c, size_t begin, size_t end)
{
    c->ctx->kernels->lut_s8(c->state, end - begin, SQZ_S8P(c->in[0]) + begin,
                            SQZ_S8P(c->out[0]) + begin);
    return SQZ_OK;
}

static sqz_status lut_piece(void *arg, size_t begin, size_t end)
{
    return sqz_lut_part(arg, begin, end);
}

sqz_status sqz_lut_run(const sqz_call *c)
{
    sqz_call call = *c;
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, lut_piece, &call);
}

/* Zero points and the full clamp of a binary operator: *integer false, a float node. Codes less
 * their zero point have 9 bits. */
static sqz_status grids(const sqz_prep *p, bool *integer, sqz_rt_binary *b)
{
    SQZ_TRY(sqz_need_s8(p, 2, integer));
    if (!*integer)
        return SQZ_OK;
    for (unsigned i = 0; i < 3; i++) {
        const int32_t zero = (i < 2 ? p->in_q[i] : p->out_q[0])->zero[0];
        if (zero < INT8_MIN || zero > INT8_MAX)
            return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                            "a zero point of %d, expected one of the codes of int8", (int)zero);
    }
    *b = (sqz_rt_binary){.zero_a = p->in_q[0]->zero[0],
                         .zero_b = p->in_q[1]->zero[0],
                         .zero_y = p->out_q[0]->zero[0],
                         .act_min = INT8_MIN,
                         .act_max = INT8_MAX};
    return SQZ_OK;
}

typedef struct add_state {
    sqz_add_s8 p;
    sqz_add_s8_fn kernel;
} add_state;

sqz_status sqz_ew_add_prepare(sqz_prep *p, int32_t sign)
{
    bool integer = false;
    sqz_rt_binary b;
    SQZ_TRY(grids(p, &integer, &b));
    if (!integer)
        return SQZ_OK;
    add_state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    const double sa = p->in_q[0]->scale[0], sb = p->in_q[1]->scale[0], sy = p->out_q[0]->scale[0];
    const double twice = 2 * SQZ_MAX(sa, sb);
    sqz_multiplier(sa / twice, &b.mult_a, &b.shift_a);
    sqz_multiplier(sb / twice, &b.mult_b, &b.shift_b);
    sqz_multiplier(twice / (1048576.0 * sy), &b.mult_y, &b.shift_y); /* inputs carry 20 bits */
    sqz_add_s8_make(&s->p, &b, sign);
    s->kernel = p->ctx->kernels->add_s8;
    sqz_add_s8_fit(&s->p, s->kernel);
    p->state = s;
    return SQZ_OK;
}

void sqz_ew_add_row(const void *state, const void *a, const void *b, void *y, size_t n)
{
    const add_state *s = state;
    s->kernel(&s->p, n, a, b, y);
}

typedef struct mul_state {
    sqz_mul_s8 p;
    sqz_mul_s8_fn kernel;
} mul_state;

sqz_status sqz_ew_mul_prepare(sqz_prep *p)
{
    bool integer = false;
    sqz_rt_binary b;
    SQZ_TRY(grids(p, &integer, &b));
    if (!integer)
        return SQZ_OK;
    mul_state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    const double sa = p->in_q[0]->scale[0], sb = p->in_q[1]->scale[0], sy = p->out_q[0]->scale[0];
    sqz_multiplier(sa * sb / sy, &b.mult_y, &b.shift_y);
    sqz_mul_s8_make(&s->p, &b);
    s->kernel = p->ctx->kernels->mul_s8;
    p->state = s;
    return SQZ_OK;
}

void sqz_ew_mul_row(const void *state, const void *a, const void *b, void *y, size_t n)
{
    const mul_state *s = state;
    s->kernel(&s->p, n, a, b, y);
}
