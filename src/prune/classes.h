/* classes.h: which indices leave a graph together. docs/pruning.md tells how.
 *
 * Every index of every axis of every value is an element. The rows of the operators (column `ties`)
 * unite them; a class is what is united, and all of it leaves or stays. A class is pinned where an
 * operator has no row for one of its elements, or where the model's interface shows it. */
#ifndef SQZ_CLASSES_H
#define SQZ_CLASSES_H
#include "ir/op.h"

typedef struct sqz_why { /* a node and what completes "because it" */
    sqz_nid node;        /* SQZ_NONE: not a node */
    sqz_vid value;       /* where it was said */
    const char *text;    /* NULL: nothing was said */
} sqz_why;
typedef struct sqz_class {
    uint32_t first, n; /* elements: list[first] .. list[first + n - 1], ascending */
    sqz_why pin;       /* text NULL: it may leave */
    sqz_why shift;     /* text: what stays is computed differently without it */
    uint32_t family;   /* SQZ_NONE: pinned */
} sqz_class;
/* Classes with elements on the same axes, as many on each: the channels of a layer and of all that
 * goes with it. */
typedef struct sqz_family {
    uint32_t first, n; /* classes: member[first] ... , in the order of their first elements */
    bool shifts;
} sqz_family;
typedef struct sqz_classes {
    sqz_arena arena;
    const sqz_graph *g; /* must stay as it is */
    uint32_t n_element, n_class, n_family;
    uint32_t *start; /* of each value: element 0 of its axis 0; its axes follow one another */
    uint32_t *of;    /* class of each element */
    uint32_t *list;  /* elements by class */
    sqz_class *cls;
    sqz_family *family;
    uint32_t *member;
} sqz_classes;

typedef struct sqz_class_options {
    bool open_ends; /* inputs and outputs of the graph are not pinned: a part of a model */
} sqz_class_options;
/* For a float graph. o NULL: defaults. */
sqz_status sqz_classes_build(const sqz_graph *g, const sqz_class_options *o, sqz_classes **out);
void sqz_classes_free(sqz_classes *c); /* NULL is fine */
/* The element of an index, and back. */
static inline uint32_t sqz_element(const sqz_classes *c, sqz_vid v, int32_t axis, int64_t index)
{
    const sqz_shape *s = &sqz_val(c->g, v)->shape;
    uint32_t e = c->start[v];
    for (int32_t i = 0; i < axis; i++)
        e += (uint32_t)s->dim[i];
    return e + (uint32_t)index;
}
typedef struct sqz_place {
    sqz_vid value;
    int32_t axis;
    int64_t index;
} sqz_place;
sqz_place sqz_element_place(const sqz_classes *c, uint32_t element);
static inline uint32_t sqz_class_of(const sqz_classes *c, sqz_vid v, int32_t axis, int64_t index)
{
    return c->of[sqz_element(c, v, axis, index)];
}
/* "node 'x' (softmax) has no rule for axis 1 of 'y'". */
void sqz_why_print(sqz_str *out, const sqz_graph *g, const sqz_why *w);

/* The graph without the classes that `gone` (one entry for each) names: smaller constants,
 * attributes and shapes to match; ids and names stay. Refuses pinned classes and axes of which
 * nothing would be left (cut.c). */
sqz_status sqz_prune_cut(const sqz_classes *c, const bool *gone, sqz_graph **out);
#endif
