/* shape_option.h: the text of --shape: "name=1,3,224,224", with semicolons between inputs. */
#ifndef SQZ_SHAPE_OPTION_H
#define SQZ_SHAPE_OPTION_H
#include "ir/graph.h"

/* The entry for `name`; *found false when there is none. A name may itself contain '=': the last
 * one counts. */
sqz_status sqz_shape_option(sqz_ctx *ctx, const char *text, const char *name, bool *found,
                            sqz_shape *out);
/* Every name in the text is one of the n. */
sqz_status sqz_shape_option_check(sqz_ctx *ctx, const char *text, const char *const *name,
                                  size_t n);
#endif
