/* metric.c: the table of metrics. */
#include "eval/eval.h"
#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_metric sqz_metric_##name;
#include "sqz_metric_list.inc"
#undef SQZ_ENTRY
const sqz_metric *const sqz_metrics[] = {
#define SQZ_ENTRY(name) &sqz_metric_##name,
#include "sqz_metric_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_metrics = SQZ_COUNT(sqz_metrics);

const sqz_metric *sqz_metric_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_metrics; i++)
        if (strcmp(sqz_metrics[i]->info.name, name) == 0)
            return sqz_metrics[i];
    return NULL;
}
