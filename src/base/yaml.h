/* yaml.h: strict YAML for people (device files, data specs, recipes), through libyaml.
 * Refused with file, line and column: repeated keys, anchors, aliases, tags, several documents,
 * more than 64 levels, 4096 keys in a map, 1 MiB. Scalars stay text; the readers below give them
 * types and units. */
#ifndef SQZ_YAML_H
#define SQZ_YAML_H
#include "base/base.h"

typedef enum sqz_yaml_kind { SQZ_YAML_SCALAR, SQZ_YAML_LIST, SQZ_YAML_MAP } sqz_yaml_kind;

typedef struct sqz_yaml { /* a node; all of it lives in the arena given to sqz_yaml_load */
    sqz_yaml_kind kind;
    int line, column; /* of the value, from 1 */
    const char *key;  /* when in a map; else NULL */
    int key_line, key_column;
    const char *text; /* scalar */
    bool quoted;      /* scalar was in quotes: never a number, boolean or null */
    struct sqz_yaml *child, *next;
    struct sqz_yaml *parent;
} sqz_yaml;

typedef struct sqz_yaml_doc {
    sqz_arena *arena;
    const char *file; /* for messages */
    sqz_yaml *root;
} sqz_yaml_doc;

sqz_status sqz_yaml_load(sqz_arena *a, const char *path, sqz_yaml_doc *out);
sqz_status sqz_yaml_parse(sqz_arena *a, const char *name, const char *text, size_t bytes,
                          sqz_yaml_doc *out);
/* "file:line:column: <message>", as SQZ_E_FORMAT. */
SQZ_PRINTF(3, 4)
sqz_status sqz_yaml_fail(const sqz_yaml_doc *d, const sqz_yaml *n, const char *fmt, ...);
const sqz_yaml *sqz_yaml_get(const sqz_yaml *map, const char *key); /* NULL: absent */
/* Every key of `map` must be among the n names; else an error that names the nearest one. */
sqz_status sqz_yaml_known(const sqz_yaml_doc *d, const sqz_yaml *map, const char *const *names,
                          size_t n);
/* Absent (node NULL): *out is left as it is, SQZ_OK. Wrong kind or range: an error with the place.
 */
sqz_status sqz_yaml_str(const sqz_yaml_doc *d, const sqz_yaml *n, const char **out);
sqz_status sqz_yaml_bool(const sqz_yaml_doc *d, const sqz_yaml *n, bool *out);
sqz_status sqz_yaml_int(const sqz_yaml_doc *d, const sqz_yaml *n, int64_t min, int64_t max,
                        int64_t *out);
sqz_status sqz_yaml_f64(const sqz_yaml_doc *d, const sqz_yaml *n, double min, double max,
                        double *out);

/* Quantities carry their unit. The result is in the base unit of the dimension: bytes, hertz,
 * seconds, joules, watts, fraction (50 % and 50 pp are 0.5), money (as written; the currency is the
 * caller's to compare). Negative quantities are refused, and "KB": KiB or kB? */
typedef enum sqz_dim {
    SQZ_DIM_BYTES,
    SQZ_DIM_HZ,
    SQZ_DIM_SECONDS,
    SQZ_DIM_JOULES,
    SQZ_DIM_WATTS,
    SQZ_DIM_PERCENT,
    SQZ_DIM_POINTS,
    SQZ_DIM_MONEY,
    SQZ_DIM_MONEY_PER_HOUR
} sqz_dim;
sqz_status sqz_yaml_quantity(const sqz_yaml_doc *d, const sqz_yaml *n, sqz_dim dim, double *out);
/* The same for command-line text; the error says what units are allowed. */
sqz_status sqz_quantity(sqz_ctx *ctx, const char *what, const char *text, sqz_dim dim, double *out);
#endif
