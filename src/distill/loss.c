/* loss.c: the table of losses. */
#include "distill/loss.h"
#include <string.h>

#define SQZ_ENTRY(name) extern const sqz_loss sqz_loss_##name;
#include "sqz_loss_list.inc"
#undef SQZ_ENTRY
const sqz_loss *const sqz_losses[] = {
#define SQZ_ENTRY(name) &sqz_loss_##name,
#include "sqz_loss_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_losses = SQZ_COUNT(sqz_losses);

const sqz_loss *sqz_loss_find(const char *name)
{
    for (size_t i = 0; i < sqz_n_losses; i++)
        if (strcmp(sqz_losses[i]->info.name, name) == 0)
            return sqz_losses[i];
    return NULL;
}
