/* names.h: a map from names to ids: open addressing, linear probing, names not owned. */
#ifndef SQZ_NAMES_H
#define SQZ_NAMES_H
#include "base/base.h"

typedef struct sqz_name_entry {
    const char *name; /* NULL: free */
    uint32_t id;
} sqz_name_entry;
typedef struct sqz_name_map {
    sqz_ctx *ctx;
    sqz_name_entry *entry;
    uint32_t n, room; /* room: a power of two, or 0 */
    uint32_t made_up; /* counter of fresh names */
} sqz_name_map;

sqz_status sqz_names_create(sqz_ctx *ctx, sqz_name_map **out);
void sqz_names_free(sqz_name_map *m);
uint32_t sqz_names_get(const sqz_name_map *m, const char *name); /* UINT32_MAX: none */
/* The name must not be there yet and must outlive the map. */
sqz_status sqz_names_put(sqz_name_map *m, const char *name, uint32_t id);
void sqz_names_remove(sqz_name_map *m, const char *name);
/* `wanted` itself when free, else wanted_1, wanted_2, ...; a copy in the arena. NULL: no memory. */
const char *sqz_names_fresh(sqz_name_map *m, sqz_arena *a, const char *wanted);
#endif
