/* schema.h: one description of a set of options. It drives text ("bits=8 pads=1,1,1,1"), defaults,
 * checks, help, printing, and the ONNX spelling of operator attributes. */
#ifndef SQZ_SCHEMA_H
#define SQZ_SCHEMA_H
#include "base/base.h"

typedef struct sqz_ints {
    uint32_t n;
    const int64_t *v; /* in the arena of the graph or recipe that owns the options */
} sqz_ints;
typedef struct sqz_floats {
    uint32_t n;
    const float *v;
} sqz_floats;

typedef enum sqz_attr_type {
    SQZ_A_INT,    /* int64_t */
    SQZ_A_BOOL,   /* int64_t 0/1 */
    SQZ_A_FLOAT,  /* double: ONNX floats fit exactly */
    SQZ_A_ENUM,   /* int64_t index into `names` (a "a|b|c" list) */
    SQZ_A_STRING, /* const char *, in the owner's arena */
    SQZ_A_INTS,   /* sqz_ints */
    SQZ_A_FLOATS  /* sqz_floats */
} sqz_attr_type;

enum {
    SQZ_AF_REQUIRED = 1, /* no default: the importer refuses a node without it */
    SQZ_AF_AXIS = 2,     /* int or ints naming axes of input 0: the layout pass renumbers them */
    SQZ_AF_PER_AXIS =
        4, /* ints or floats with one entry per axis of input 0 (Resize scales): permuted */
    SQZ_AF_PER_AXIS2 = 8, /* two entries per axis, all begins then all ends (Pad pads): permuted */
    SQZ_AF_INTERNAL =
        16, /* not an ONNX attribute: neither read from nor written to ONNX by default */
};

typedef struct sqz_attr {
    const char *name; /* also the ONNX attribute name */
    size_t offset;
    sqz_attr_type type;
    double def, min, max; /* int, float; bool, enum: def only; lists: bounds of each entry, default
                             empty. min >= max: no bounds */
    const char *names;    /* enum: "a|b|c"; string: default text or NULL */
    unsigned flags;
    int8_t slot;   /* newer opsets pass this as constant input `slot`; 0: never (slot 0 is data) */
    uint8_t since; /* ... from this opset on; with slot != 0 */
    const char *doc;
} sqz_attr;

/* Fills `opts` (opt_size bytes) with defaults. */
void sqz_opts_default(const sqz_info *info, void *opts);
/* Parses "name=value name=value" (grammar in schema.c) over what is already in `opts`, and checks
 * each value given. Unknown names answer with the nearest known one. */
sqz_status sqz_opts_parse(sqz_arena *a, const sqz_info *info, const char *text, void *opts);
/* Range and enum checks of every field. */
sqz_status sqz_opts_check(sqz_ctx *ctx, const sqz_info *info, const void *opts);
/* Prints what differs from the defaults in the form that sqz_opts_parse reads. */
void sqz_opts_print(sqz_str *out, const sqz_info *info, const void *opts);
/* Field access by schema row. */
static inline void *sqz_opt_field(const sqz_attr *at, const void *opts)
{
    return (char *)(uintptr_t)opts + at->offset;
}
bool sqz_opts_equal(const sqz_info *info, const void *a, const void *b);
/* Deep copy into an arena: lists and strings too. */
sqz_status sqz_opts_copy(sqz_arena *a, const sqz_info *info, const void *from, void **to);
#endif
