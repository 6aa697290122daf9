/* chain.h: text that names entries of a table, one after another, with their options:
 * "fold_bn,calib(method=mse),ptq(per_tensor=1)". Recipes of passes, losses of a training.
 *
 *   chain = item { ',' item }      item = name [ '(' options ')' ]
 *
 * Options are what sqz_opts_parse reads; quoted ones may hold parentheses. */
#ifndef SQZ_CHAIN_H
#define SQZ_CHAIN_H
#include "base/schema.h"

#define SQZ_CHAIN_MOST 256 /* items of one chain */

typedef struct sqz_chain_table {
    const char *chain, *item; /* for sentences: "recipe", "pass" */
    size_t n;
    const sqz_info *(*info)(size_t i);
} sqz_chain_table;
typedef struct sqz_chain_item {
    size_t entry; /* of the table */
    void *opts;   /* info.opt_size bytes, checked; NULL: the entry has none */
    const char *text;
} sqz_chain_item;
/* Every entry is known and its options are checked; list in `a`. */
sqz_status sqz_chain_read(sqz_arena *a, const sqz_chain_table *t, const char *text,
                          sqz_chain_item **list, unsigned *n);
#endif
