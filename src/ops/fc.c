/* fc.c: see fc.h. Chunks of rows; the weights are packed once. */
#include "ops/fc.h"

typedef struct fc {
    sqz_linear *lin;
    size_t rows, grain, each;
} fc;

sqz_status sqz_fc_prepare(sqz_prep *p, const sqz_weights *w)
{
    if (!sqz_is_integer(p))
        return SQZ_OK;
    fc *f = sqz_arena_alloc(p->arena, 1, sizeof *f);
    if (!f)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_linear_prepare(p, w, &f->lin));
    f->rows = p->out[0]->count / w->n;
    /* a multiple of 24 fills the tiles of every matrix kernel */
    f->grain = SQZ_MAX(1, SQZ_MIN(65536 / SQZ_MAX(w->k, 4 * w->n) / 24, 16)) * 24;
    f->each = sqz_scratch_round(f->grain * w->n * sizeof(int32_t));
    p->state = f;
    return sqz_scratch_all(p, f->each);
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const fc *f = c->state;
    const sqz_packed_v1 *w = f->lin->packed;
    int32_t *acc = (int32_t *)(void *)((char *)c->scratch + (size_t)sqz_worker_index() * f->each);
    c->ctx->kernels->gemm_s8(w, end - begin, SQZ_S8P(c->in[0]) + begin * w->k, w->k, acc, w->n);
    c->ctx->kernels->requant_s8(&f->lin->out, end - begin, acc, SQZ_S8P(c->out[0]) + begin * w->n,
                                w->n);
    return sqz_fused_then(c->fused, begin * w->n, end * w->n);
}

sqz_status sqz_fc_run_s8(const sqz_call *c)
{
    sqz_call call = *c;
    const fc *f = c->state;
    return sqz_parallel(c->ctx, f->rows, f->grain, chunk, &call);
}
