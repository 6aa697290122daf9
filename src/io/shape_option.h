/* shape_option.h: the texts of --shape and --bind: "name=1,3,224,224", with semicolons between
 * inputs. */
#ifndef SQZ_SHAPE_OPTION_H
#define SQZ_SHAPE_OPTION_H
#include "ir/graph.h"

/* One entry. A name may itself contain '=': the last one counts. */
typedef struct sqz_option_entry {
    const char *name, *values, *end; /* values NULL: no '=' */
    size_t n_name;
} sqz_option_entry;
/* The entry at *text, which moves on to the next; false at the end. */
bool sqz_option_next(const char **text, sqz_option_entry *e);
/* The entry for `name`; false when there is none. */
bool sqz_option_find(const char *text, const char *name, sqz_option_entry *e);
/* Every entry has values and the name of one of the n inputs. `what`: "shape" or "bind". */
sqz_status sqz_option_check(sqz_ctx *ctx, const char *what, const char *text,
                            const char *const *name, size_t n);
/* The entry for `name` as a shape; *found false when there is none. */
sqz_status sqz_shape_option(sqz_ctx *ctx, const char *text, const char *name, bool *found,
                            sqz_shape *out);
#endif
