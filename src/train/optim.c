/* optim.c: the table of optimizers, and how they are spelt. */
#include "train/optim.h"
#include "base/chain.h"
#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_optim sqz_optim_##name;
#include "sqz_optim_list.inc"
#undef SQZ_ENTRY
const sqz_optim *const sqz_optims[] = {
#define SQZ_ENTRY(name) &sqz_optim_##name,
#include "sqz_optim_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_optims = SQZ_COUNT(sqz_optims);

const sqz_optim *sqz_optim_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_optims; i++)
        if (strcmp(sqz_optims[i]->info.name, name) == 0)
            return sqz_optims[i];
    return NULL;
}

static const sqz_info *info_of(size_t i) { return &sqz_optims[i]->info; }

sqz_status sqz_optim_spec(sqz_arena *a, const char *spec, const sqz_optim **o, const void **opts)
{
    const sqz_chain_table t = {
        .chain = "optimizer", .item = "optimizer", .n = sqz_n_optims, .info = info_of};
    sqz_chain_item *list;
    unsigned n;
    SQZ_TRY(sqz_chain_read(a, &t, spec, &list, &n));
    if (n != 1)
        return sqz_fail(a->ctx, SQZ_E_ARG, "'%s' names %u optimizers, expected one", spec, n);
    *o = sqz_optims[list[0].entry];
    *opts = list[0].opts;
    return SQZ_OK;
}
