/* scaling.h: channels of a float graph that may be scaled without changing its outputs.
 *
 * Where relu, pools, sums, transposes and the like connect values, y / s goes through them as it
 * is: such channels are one class with one factor s. What makes a channel of the class divides by s
 * (rows of weights, biases, constants), what reads it multiplies by s (columns of weights).
 * Channels that something else reads or makes are fixed: s = 1. Cross-layer equalization,
 * SmoothQuant and AWQ differ in how they choose s.
 *
 *   map     which channel an element of a value belongs to      scaling_map.c
 *   find    classes, and what makes and reads them              scaling.c
 *   apply   the factors go into the constants                   scaling_apply.c */
#ifndef SQZ_SCALING_H
#define SQZ_SCALING_H
#include "ir/pass.h"

/* ---- maps: element e of a value, counted flat, belongs to channel base + sum over digits of
 * step * (e / stride % count). No digits: the value has no channels that are known ---- */
#define SQZ_DIGITS 6
typedef struct sqz_digit {
    size_t stride, count;
    uint32_t step;
} sqz_digit;
typedef struct sqz_channel_map {
    uint32_t base;
    unsigned n;
    sqz_digit digit[SQZ_DIGITS];
} sqz_channel_map;
static inline uint32_t sqz_channel_of(const sqz_channel_map *m, size_t e)
{
    uint32_t c = m->base;
    for (unsigned i = 0; i < m->n; i++)
        c += (uint32_t)(e / m->digit[i].stride % m->digit[i].count) * m->digit[i].step;
    return c;
}
/* Digits of one axis of a shape, in units of the axis. */
typedef struct sqz_axis_digit {
    int32_t axis;
    size_t sub, count; /* (index of the axis / sub) % count */
    uint32_t step;
} sqz_axis_digit;
/* false: the map does not follow the axes of the shape, or needs too many digits. */
bool sqz_map_split(const sqz_channel_map *m, const sqz_shape *s, sqz_axis_digit *out, unsigned *n);
bool sqz_map_join(uint32_t base, const sqz_axis_digit *d, unsigned n, const sqz_shape *s,
                  sqz_channel_map *out);
/* Axis a of `from` becomes axis to[a] of `into` (-1: it vanishes; it must have no channels). Sizes
 * of axes with channels must stay. */
bool sqz_map_move(const sqz_channel_map *m, const sqz_shape *from, const sqz_shape *into,
                  const int32_t *to, sqz_channel_map *out);
/* The axis has channels. */
bool sqz_map_has_axis(const sqz_channel_map *m, const sqz_shape *s, int32_t axis);

/* ---- what the channels belong to ---- */
typedef struct sqz_scaled { /* a linear node: w has outs x cols blocks of `taps` numbers */
    sqz_nid node;
    sqz_vid x, w, b, y; /* b SQZ_NONE: none */
    size_t outs, ins;   /* channels */
    size_t cols, share; /* inputs that an output reads; outputs that read the same ones */
    size_t taps;
    enum { SQZ_W_ROWS, SQZ_W_COLUMNS, SQZ_W_TURNED } form; /* (O,T,I/g), (I,O), (I,T,O/g) */
    uint32_t *in, *out; /* channel of each; SQZ_NONE: not known */
    bool padded;        /* zeros around x count as inputs */
} sqz_scaled;
/* Output and input (0 .. cols-1, of those that the output reads) of element e of the weights. */
void sqz_scaled_at(const sqz_scaled *l, size_t e, size_t *out, size_t *col);
static inline size_t sqz_scaled_input(const sqz_scaled *l, size_t out, size_t col)
{
    return out / l->share * l->cols + col;
}

typedef struct sqz_scaled_constant { /* an operand that is multiplied by s(in) / s(out) */
    sqz_nid node;
    unsigned slot;
    sqz_channel_map in, out; /* over elements of y; no digits: 1 */
    sqz_shape y;
    bool quotient; /* it divides: the other way round */
} sqz_scaled_constant;

typedef struct sqz_scaled_clip { /* a clip whose input has channels */
    sqz_nid node;
    sqz_vid x;
    sqz_channel_map map;
    float lo, hi;
} sqz_scaled_clip;

typedef struct sqz_scaling {
    sqz_graph *g;
    sqz_arena *a;
    uint32_t n, room;     /* channels */
    uint32_t *parent;     /* sqz_channel_class finds the class */
    bool *fixed;          /* of a class: s = 1 */
    double *s;            /* of a class; 1 at first */
    sqz_channel_map *map; /* of a value */
    sqz_scaled *linear;   /* in execution order */
    sqz_scaled_constant *constant;
    sqz_scaled_clip *clip;
    uint32_t n_linear, n_constant, n_clip;
} sqz_scaling;
uint32_t sqz_channel_class(const sqz_scaling *k, uint32_t channel);
/* SQZ_NONE: the channel is not known, or fixed. */
static inline uint32_t sqz_channel_free(const sqz_scaling *k, uint32_t channel)
{
    uint32_t c = channel == SQZ_NONE ? SQZ_NONE : sqz_channel_class(k, channel);
    return c == SQZ_NONE || k->fixed[c] ? SQZ_NONE : c;
}
/* Everything lives in `a`. Channels that a clip reads are tied through it: whoever calls fixes
 * those that it cannot keep inside of the bounds (sqz_scaling.clip). */
sqz_status sqz_scaling_find(sqz_graph *g, sqz_arena *a, sqz_scaling *out);
/* Fixes all channels that a clip reads: its bounds do not scale. */
void sqz_scaling_hold_clips(sqz_scaling *k);
/* Weights, biases and constants take over the factors (s of each class, > 0 and finite). Ranges of
 * values that change are forgotten, their means and deviations divided. *changed: classes with
 * s != 1. */
sqz_status sqz_scaling_apply(sqz_scaling *k, uint32_t *changed);
/* Constant input `slot` of node becomes t, as a copy of its own when others read it, too. Takes
 * over t. */
sqz_status sqz_put_operand(sqz_graph *g, sqz_nid node, unsigned slot, sqz_tensor *t);
/* The bias slot of a linear node gets zeros where it has none. */
sqz_status sqz_need_bias(sqz_graph *g, sqz_scaled *l);
#endif
