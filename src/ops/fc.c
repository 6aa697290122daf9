/* fc.c: see fc.h. */
#include "ops/fc.h"
#include "ops/product_s8.h"

sqz_status sqz_fc_prepare(sqz_prep *p, const sqz_weights *w)
{
    if (!sqz_is_integer(p))
        return SQZ_OK;
    sqz_s8_product *f = sqz_arena_alloc(p->arena, 1, sizeof *f);
    sqz_linear *lin;
    sqz_weights one = *w;
    if (!f)
        return SQZ_E_NOMEM;
    one.n_seg = 1;
    one.len = w->k;
    SQZ_TRY(sqz_linear_prepare(p, &one, &lin));
    *f = (sqz_s8_product){.lin = lin, .rows = p->out[0]->count / w->n, .unit = 1, .len = w->k};
    p->state = f;
    return sqz_s8_prepare_matrix(p, f);
}

sqz_status sqz_fc_run_s8(const sqz_call *c)
{
    const sqz_s8_product *f = c->state;
    return sqz_s8_run_matrix(c, f, SQZ_MAX(f->rows, (size_t)1), f->len, 0);
}
