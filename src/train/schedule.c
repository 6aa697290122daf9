/* schedule.c: the table of learning rate schedules, and how they are spelt. */
#include "train/schedule.h"
#include "base/chain.h"
#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_schedule sqz_lr_##name;
#include "sqz_lr_list.inc"
#undef SQZ_ENTRY
const sqz_schedule *const sqz_schedules[] = {
#define SQZ_ENTRY(name) &sqz_lr_##name,
#include "sqz_lr_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_schedules = SQZ_COUNT(sqz_schedules);

const sqz_schedule *sqz_schedule_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_schedules; i++)
        if (strcmp(sqz_schedules[i]->info.name, name) == 0)
            return sqz_schedules[i];
    return NULL;
}

double sqz_warmup_at(const sqz_warmup *w, double epoch)
{
    return epoch >= w->warmup ? 1 : w->from + (1 - w->from) * (epoch / w->warmup);
}

static const sqz_info *info_of(size_t i) { return &sqz_schedules[i]->info; }

sqz_status sqz_schedule_spec(sqz_arena *a, const char *spec, const sqz_schedule **s,
                             const void **opts)
{
    const sqz_chain_table t = {
        .chain = "schedule", .item = "schedule", .n = sqz_n_schedules, .info = info_of};
    sqz_chain_item *list;
    unsigned n;
    SQZ_TRY(sqz_chain_read(a, &t, spec, &list, &n));
    if (n != 1)
        return sqz_fail(a->ctx, SQZ_E_ARG, "'%s' names %u schedules, expected one", spec, n);
    *s = sqz_schedules[list[0].entry];
    *opts = list[0].opts;
    return SQZ_OK;
}
