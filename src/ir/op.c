/* op.c: the operator table. */
#include "ir/op.h"
#include <string.h>

/* sqz_op_list.inc is generated from the file names src/ops/op_<name>.c */
#define SQZ_ENTRY(name) extern const sqz_op sqz_op_##name;
#include "sqz_op_list.inc"
#undef SQZ_ENTRY
const sqz_op *const sqz_ops[] = {
#define SQZ_ENTRY(name) &sqz_op_##name,
#include "sqz_op_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_ops = SQZ_COUNT(sqz_ops);

const sqz_op *sqz_op_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_ops; i++)
        if (strcmp(sqz_ops[i]->info.name, name) == 0)
            return sqz_ops[i];
    return NULL;
}
